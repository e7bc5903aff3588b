"""The words of `vgic demo`: every ITS command has its sentence, and every event of the hardware too."""

from typing import Final

import pytest

from hw import Machine, arch4, trace
from tests.unit.hw import rig4
from vgic.cli.demos.commands import describe
from vgic.cli.demos.narrator import MARK, Narrator

DESCRIBED: Final = {
    rig4.mapd(3, 5): "MAPD: device 3 has 32 events, in the table at 0x3030000",
    rig4.mapd(3, 5, valid=False): "MAPD: device 3 is unmapped",
    rig4.mapc(2, 1): "MAPC: collection 2 goes to redistributor 1",
    rig4.mapc(2, 1, valid=False): "MAPC: collection 2 is unmapped",
    rig4.mapti(3, 4, 8200, 2): "MAPTI: event 4 of device 3 is physical LPI 8200, in collection 2",
    rig4.mapi(3, 8200, 2): "MAPI: event 8200 of device 3 is the physical LPI of that number, in collection 2",
    rig4.movi(3, 4, 1): "MOVI: event 4 of device 3 goes to collection 1",
    rig4.of_event(arch4.INT, 3, 4): "INT: as if event 4 of device 3 had been sent",
    rig4.of_event(
        arch4.DISCARD, 3, 4
    ): "DISCARD: event 4 of device 3 is unmapped, and what it names is not pending any more",
    rig4.movall(1, 2): "MOVALL: pending LPIs move from redistributor 1 to redistributor 2",
    rig4.sync(2): "SYNC: until all before has reached redistributor 2",
    rig4.of_vpe(arch4.VSYNC, 7): "VSYNC: until all before has reached vPE 7",
    rig4.vmapp(
        1, 2, rig4.ALLOC | rig4.PTZ
    ): "VMAPP: vPE 1 is at redistributor 2, its pending table at 0x2010000, which "
    "is empty, its configuration table at 0x1010000, default doorbell 9001, for the first time",
    rig4.vmapp(
        1, 2, 0, db=1023
    ): "VMAPP: vPE 1 is at redistributor 2, its pending table at 0x2010000, its configuration "
    "table at 0x1010000, no default doorbell",
    rig4.vunmapp(1): "VMAPP: vPE 1 is unmapped, the last ITS that had it: its tables are software's again",
    rig4.vunmapp(1, 0): "VMAPP: vPE 1 is unmapped",
    rig4.vmapti(3, 4, 1, 8192): "VMAPTI: event 4 of device 3 is vLPI 8192 of vPE 1, no individual doorbell",
    rig4.vmapi(
        3, 8192, 1, 9000
    ): "VMAPI: event 8192 of device 3 is the vLPI of that number of vPE 1, individual doorbell 9000",
    rig4.vmovi(3, 4, 2): "VMOVI: event 4 of device 3 goes to vPE 2",
    rig4.vmovp(1, 3): "VMOVP: vPE 1 moves to redistributor 3",
    rig4.vmovp(1, 3, db=9001): "VMOVP: vPE 1 moves to redistributor 3, with default doorbell 9001",
    rig4.vsgi(1, 5): "VSGI: SGI 5 of vPE 1 is enabled, group 1, priority 0xa0",
    rig4.vsgi(1, 5, 0, 0, 0x20): "VSGI: SGI 5 of vPE 1 is disabled, group 0, priority 0x20",
    rig4.vsgi(1, 5, clear=1): "VSGI: SGI 5 of vPE 1 is not pending any more",
    (0x7F, 0, 0, 0): "command 0x7f",
}


@pytest.mark.parametrize(("words", "text"), DESCRIBED.items(), ids=[text[:24] for text in DESCRIBED.values()])
def test_commands(words: rig4.Words, text: str) -> None:
    assert describe(words) == text


def test_vmapp_of_gicv40_has_no_doorbell() -> None:
    text = "VMAPP: vPE 1 is at redistributor 2, its pending table at 0x2010000"
    assert describe(rig4.vmapp40(1, 2), v41=False) == text


@pytest.mark.parametrize("number", arch4.COMMAND_NAMES, ids=arch4.COMMAND_NAMES.values())
def test_every_command_has_a_sentence(number: int) -> None:
    assert describe((number, 0, 0, 0)).startswith(f"{arch4.COMMAND_NAMES[number]}: ")


def test_every_event_of_the_hardware_has_a_sentence() -> None:
    """The table in the docstring of hw.trace names them and their fields."""
    said: list[str] = []
    narrator = Narrator(said.append)
    table = (trace.__doc__ or "").partition("event        fields\n")[2].split("\n\n")[0]
    names = [line.split()[0] for line in table.splitlines() if not line.startswith(" " * 8)]
    for name in names:
        fields: tuple[object, ...] = (0, 1, 2, 3, 4)
        if name == "its_cmd":
            fields = (0, 0, (arch4.SYNC, 0, 0, 0), "RD_OOR")
        elif name == "xlate":
            fields = (0, 1, 2, "dropped")
        narrator.event(name, *fields)
    narrator.flush()
    assert len(said) == len(names) >= 13
    assert all(line.startswith(MARK) for line in said)


def test_a_command_is_told_of_before_what_it_caused() -> None:
    said: list[str] = []
    machine = Machine(1)
    machine.trace = narrator = Narrator(said.append)
    narrator.line("first")
    narrator.event("lpi_pend", 0, 8192)
    narrator.event("its_cmd", 0, 0, (arch4.INT, 0, 0, 0), "")
    narrator.event("its_cmd", 0, 32, (arch4.SYNC, 0, 0, 0), "")
    assert said == ["first"], "what happens after a line is told before the next one"
    narrator.line("second")
    assert said == [
        "first",
        f"{MARK}ITS 0 executes INT: as if event 0 of device 0 had been sent",
        f"{MARK}redistributor 0: physical LPI 8192 becomes pending",
        f"{MARK}ITS 0 executes SYNC: until all before has reached redistributor 0",
        "second",
    ]
