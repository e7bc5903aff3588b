"""What README and docs show does what they say."""

import re
import runpy
from pathlib import Path
from typing import Final

import pytest

from vgic.cli.comparison.workloads import WORKLOADS
from vgic.cli.figures import Figures
from vgic.cli.main import main

ROOT: Final = Path(__file__).parents[2]


def python_blocks(page: str) -> list[str]:
    """The pages' Python examples, in order."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def text_blocks(page: str) -> list[str]:
    """What the page says that commands print, in order."""
    return re.findall(r"^```text\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_readme_session_runs_as_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """One session: each block goes on where the last one stopped."""
    session: dict[str, object] = {}
    for block in python_blocks("README.md"):
        exec(compile(block, "README.md", "exec"), session)
    shown = capsys.readouterr().out
    assert "priority mask" in shown, "explain names the gate the guest left shut"
    assert "vgic_model:\tGICv3" in shown, "the state dump is KVM's"


def test_the_page_on_direct_injection_does_what_it_says() -> None:
    session: dict[str, object] = {}
    for block in python_blocks("docs/direct-injection.md"):
        exec(compile(block, "docs/direct-injection.md", "exec"), session)
    assert session["kicked"] == [], "a running guest needs no kick"


def test_the_example_vmm_delivers_its_devices_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "docs/example_vmm.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "vCPUs kicked: [1]",
        "guest: took INTID 40, read 'x'",
        "device: the guest completed SPI 40",
    ]


def test_the_example_vmm_is_as_short_as_the_readme_says() -> None:
    assert len((ROOT / "docs/example_vmm.py").read_text(encoding="utf-8").splitlines()) < 60


QUOTED: Final = (
    ["demo", "guide", "--explain"],
    ["demo", "smmute", "-n", "3"],
    ["compare"],
)


@pytest.mark.parametrize("block", range(len(QUOTED)), ids=[" ".join(arguments) for arguments in QUOTED])
def test_what_the_page_on_vlpis_quotes_is_printed(block: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(QUOTED[block]) == 0
    assert text_blocks("docs/vlpi.md")[block] in capsys.readouterr().out


def test_the_page_on_vlpis_names_every_figure_and_workload() -> None:
    page = (ROOT / "docs/vlpi.md").read_text(encoding="utf-8")
    for name, cycles in Figures().as_dict().items():
        assert f"`{name}`" in page, name
        assert not cycles or f"| `{name}` | {cycles} |" in page
    assert [name for name in WORKLOADS if f"`{name}`" not in page] == []
