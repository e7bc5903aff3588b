"""Where the engine keeps what no documented call shows: found, or refused with a message that says which."""

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from vmm.engine import calibrate as calibrating
from vmm.engine.calibrate import Layout, calibrate, check_context, find_counter
from vmm.engine.raw import EngineError


def test_this_build_of_the_engine_is_understood() -> None:
    check_context()
    assert calibrate().counter == find_counter()
    assert calibrate() is calibrate(), "found once in a process"


def test_a_build_with_another_context_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "CONTEXT_SYNDROME", calibrating.CONTEXT_SYNDROME + 4)
    with pytest.raises(EngineError, match="keeps the syndrome of SVC #0xabc in a context elsewhere"):
        check_context.__wrapped__()


def test_a_build_with_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Moved(Layout):
        """As if X0 lay a register further on."""

        def __init__(self, counter: int) -> None:
            super().__init__(counter, x0=Layout(0).x0 + 8)

    monkeypatch.setattr(calibrating, "Layout", Moved)
    with pytest.raises(EngineError, match="keeps X0 elsewhere"):
        calibrate.__wrapped__()


def test_a_build_without_the_counter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "_ENGINE_BYTES", 0x100)
    with pytest.raises(EngineError, match="0 candidates for its instruction counter"):
        find_counter.__wrapped__()
