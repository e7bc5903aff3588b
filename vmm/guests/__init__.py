"""Guests of our own: what each shows, and its image.

Room:    beside the VMM, which knows none of them.
Owns:    the list of guests; sources lie in src/, images beside this file, made by `python -m vmm.guests.build`.
Holds:   an image is flat, entered at its first byte 0x80000 into RAM, finds everything else in the device tree,
         prints kvm-unit-tests' result lines on the PL011 and powers off by PSCI.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from vmm.config import IrqChip
from vmm.outcome import End

V2: Final = IrqChip.GICV2
V3: Final = IrqChip.GICV3
ITS: Final = IrqChip.GICV3_ITS


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest.

    shows     what a run of it demonstrates
    irqchips  the interrupt controllers it is written for
    cpus      vCPU counts worth running; any other works, too
    end       how its run ends
    status    the EXIT: STATUS it prints where nothing is wrong; None: it prints none
    bootargs  the words it understands
    """

    name: str
    shows: str
    irqchips: tuple[IrqChip, ...] = (V2, V3, ITS)
    cpus: tuple[int, ...] = (1, 2, 4, 8)
    end: End = End.POWERED_OFF
    status: int | None = 1
    bootargs: tuple[str, ...] = ()


GUESTS: Final = (
    Guest("ipi", "SGIs from each vCPU to each, broadcast, merged, to sleepers, and many at once."),
    Guest(
        "spi",
        "SPIs: edge, level and a wire; priorities, preemption, both EOI modes, active state, routing.",
        bootargs=("strict", "qemu"),
    ),
    Guest("timer", "Virtual and physical timer: condition, mask, line, wake-up, ticks on each vCPU."),
    Guest("lpi", "LPIs through an ITS that the guest programs: map, move, discard, pend, clear, queue wrap.", (ITS,)),
    Guest("wfi", "All vCPUs asleep, woken in turn by SGI, SPI and timer, interrupts on or masked."),
    Guest("fault", "Deliberate faults: external aborts, undefined instructions and registers.", bootargs=("isv0",)),
    Guest("overflow", "More interrupts pending and active than there are list registers.", bootargs=("strict",)),
    Guest("mark", "Leaves interrupts in every state, asks to be migrated, waits for a key and finds all as it was."),
    Guest(
        "silent-exit",
        "Ends as its arguments say: a status, a reset, its last vCPU off, or nothing at all.",
        cpus=(1,),
        status=None,
        bootargs=("1", "3", "77", "127", "reset", "cpu-off"),
    ),
    Guest("spin", "Never ends: for budgets and timeouts.", cpus=(1,), end=End.BUDGET, status=None),
    Guest("deadlock", "Sleeps with everything masked and no timer set.", cpus=(1,), end=End.DEADLOCK, status=None),
    Guest("wild", "Jumps where no memory is, its vectors there too.", cpus=(1,), end=End.TRIPLE_FAULT, status=None),
)


def image(name: str) -> bytes:
    """A guest's image.  Errors: KeyError."""
    if name not in {guest.name for guest in GUESTS}:
        raise KeyError(name)
    return files(__name__).joinpath(f"{name}.flat").read_bytes()


def compiler_of_images() -> str:
    """The compiler that made the images, in its own words."""
    return files(__name__).joinpath("compiler.txt").read_text().strip()
