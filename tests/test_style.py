"""The whole tree passes the static checkers, each as configured in pyproject.toml."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

LINT_IMPORTS: Final = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


class Checker(NamedTuple):
    """One checker: the module that must be installed for it, and what the interpreter is told to run."""

    module: str
    arguments: tuple[str, ...]


CHECKERS: Final = {
    "ruff finds nothing": Checker("ruff", ("-m", "ruff", "check")),
    "ruff would reformat nothing": Checker("ruff", ("-m", "ruff", "format", "--check")),
    "mypy --strict finds nothing": Checker("mypy", ("-m", "mypy", "--strict")),
    "imports keep their contracts": Checker("importlinter", ("-c", LINT_IMPORTS)),
}


@pytest.mark.style
@pytest.mark.parametrize("checker", CHECKERS.values(), ids=CHECKERS)
def test_style(checker: Checker) -> None:
    if importlib.util.find_spec(checker.module) is None:
        pytest.skip(f"{checker.module} is not installed: pip install -e '.[dev]'")
    ran = subprocess.run([sys.executable, *checker.arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"\n{ran.stdout}{ran.stderr}"
