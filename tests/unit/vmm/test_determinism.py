"""The same configuration gives the same run: twice, and on both kinds of core."""

from typing import Final

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.rig import DATA, OFF, SECOND, build, cpu_on, set_vbar
from vmm.config import IrqChip, MachineConfig
from vmm.guests import GUESTS, Guest, image
from vmm.layout import MIB
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End, Outcome

Run = tuple[Outcome, bytes, object, int, str]
"""The outcome, console, counts, time, and the digest of all events."""

TIMES: Final = {"exact": True, "coarse": False}


def ran(machine: Machine, console: bytearray) -> Run:
    """Run a machine; return all that can be compared."""
    outcome = machine.run()
    return outcome, bytes(console), machine.counts, machine.clock.now(), machine.events.digest()


# -- small programs ------------------------------------------------------------------------------

ROUNDS: Final = 100
_NEXT: Final = [asm.ldxr(5, 4), asm.add(5, 5, 1), asm.stxr(6, 5, 4), asm.cbnz(6, -3)]
COUNT: Final = [*asm.mov(4, DATA), *asm.mov(7, ROUNDS), *_NEXT, asm.mrs(8, asm.CNTVCT), asm.add(7, 7, -1)]
COUNTING: Final = [*COUNT, asm.cbnz(7, -len(_NEXT) - 2)]
"""Each vCPU adds to one counter in memory, ROUNDS times, and looks at the time."""


def counting(cpus: int) -> tuple[asm.Words, dict[int, asm.Words]]:
    """Return a program: all vCPUs count, and the first one waits for all."""
    start = [word for index in range(1, cpus) for word in cpu_on(index)]
    wait = [*asm.mov(9, cpus * ROUNDS), asm.load(8, 5, 4), 0xEB09_00BF, 0x54FF_FFC1]  # cmp x5, x9; b.ne
    return [*start, *COUNTING, *wait, *OFF], {SECOND: [*set_vbar(), *COUNTING, asm.WFI, asm.b(-1)]}


@pytest.mark.parametrize("exact", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize(("cpus", "pcpus"), [(1, 1), (2, 2), (2, 1), (4, 4), (4, 2)])
@pytest.mark.parametrize("slice_length", [7, 1000])
def test_vcpus_that_count_together(cpus: int, pcpus: int, slice_length: int, exact: bool) -> None:
    code, parts = counting(cpus)
    runs = []
    for fast in (True, True, False):
        options = {"cpus": cpus, "pcpus": pcpus, "slice_length": slice_length}
        machine = build(code, parts, fast=fast, exact=exact, **options)  # type: ignore[arg-type]  # all are integers
        runs.append(ran(machine, bytearray()))
        assert machine.ram.read(DATA, 8) == (cpus * ROUNDS).to_bytes(8, "little"), "STXR lost an update"
    assert runs[0][0].end is End.POWERED_OFF
    assert runs[1:] == [runs[0]] * 2


# -- guests of our own -----------------------------------------------------------------------------

SMALL: Final = [(guest, chip, cpus) for guest in GUESTS for chip in guest.irqchips[-2:] for cpus in (1, 2)]


def run_guest(guest: Guest, chip: IrqChip, cpus: int, *, fast: bool, exact: bool) -> Run:
    console = bytearray()
    config = MachineConfig(
        cpus=cpus, ram=64 * MIB, irqchip=chip, budget=3_000_000, fast_engine=fast, exact_time=exact, slice_length=5000
    )
    return ran(Machine(config, Images(firmware=image(guest.name)), console.append), console)


@pytest.mark.parametrize("exact", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize(
    ("guest", "chip", "cpus"), SMALL, ids=[f"{guest.name}, {chip.value}, {cpus}" for guest, chip, cpus in SMALL]
)
def test_a_guest_runs_the_same_on_both_kinds_of_core(guest: Guest, chip: IrqChip, cpus: int, exact: bool) -> None:
    first = run_guest(guest, chip, cpus, fast=True, exact=exact)
    assert first[0].end is not End.ENGINE
    assert run_guest(guest, chip, cpus, fast=True, exact=exact) == first
    assert run_guest(guest, chip, cpus, fast=False, exact=exact) == first
