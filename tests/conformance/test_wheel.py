"""The wheel holds what its users need: three typed packages, and a command that works without the extras."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "vgic", "hw", "vmm")

USER: Final = '''
"""A user's module: every public name of the three packages is there, and typed."""

import hw
import vgic
import vmm
from hw import Machine
from vgic import Host, Vcpu, Vgic
from vmm.config import IrqChip, MachineConfig


def guests(host: Host) -> list[Vcpu]:
    return list(Vgic(host).vcpus)


config: MachineConfig = MachineConfig(cpus=2, irqchip=IrqChip.GICV3)
count: int = len(guests(Host(Machine(cpus=config.cpus))))
names: list[str] = [*hw.__all__, *vgic.__all__, vmm.__name__]
reveal_type(vgic.Vgic.gicv3(1).vcpus[0].read(0, 4))
'''


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def require(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it depends on, and nothing else; returns its interpreter."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        there = ROOT / name
        if there.is_dir():
            shutil.copytree(there, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(there, source)
    python = folder / "env" / "bin" / "python"
    require(run(sys.executable, "-m", "venv", folder / "env", cwd=folder))
    reached = run(python, "-m", "pip", "download", "--no-deps", "-d", folder / "reached", "structlog", cwd=folder)
    if reached.returncode:
        pytest.skip(f"pip reaches no package index: {reached.stderr.strip().splitlines()[-1:]}")
    require(run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, source, cwd=folder))
    (wheel,) = folder.glob("vgic-*.whl")
    require(run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder))
    return python


def test_all_three_packages_are_typed_for_their_users(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: pip install -e '.[dev]'")
    user = tmp_path / "user.py"
    user.write_text(USER)
    told = require(run(sys.executable, "-m", "mypy", "--strict", "--python-executable", installed, user, cwd=tmp_path))
    assert 'Revealed type is "int"' in told or 'Revealed type is "builtins.int"' in told


def test_commands_of_the_core_need_no_extra(installed: Path, tmp_path: Path) -> None:
    said = require(run(installed, "-m", "vgic.cli.main", "check", "ipi", cwd=tmp_path))
    assert "PASS" in said


def test_commands_that_run_guests_say_what_to_install(installed: Path, tmp_path: Path) -> None:
    vgic = installed.parent / "vgic"
    ran = run(vgic, "run", "-f", "missing.flat", cwd=tmp_path)
    assert ran.returncode == 2
    assert "vgic[vmm]" in ran.stderr


def test_guest_images_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    told = require(run(installed, "-c", "from vmm.guests import image; print(len(image('ipi')))", cwd=tmp_path))
    assert int(told) > 1000
