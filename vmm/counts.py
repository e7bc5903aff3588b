"""What happened during a run, counted.

Room:    beside the machine.
Never:   decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from vmm.devices.device import Json
from vmm.devices.saved import Saved
from vmm.layout import (
    GICC_BASE,
    GICD_BASE,
    GICR_BASE,
    GITS_BASE,
    MSI_BASE,
    RTC_BASE,
    UART_BASE,
    VIRTIO_BASE,
)

_FIRST_PPI, _FIRST_SPI, _FIRST_SPECIAL, _FIRST_LPI = 16, 32, 1020, 8192
_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF
_SHIFT: Final = 16
_FRAMES: Final = (
    ("GICD", GICD_BASE, GICD_BASE + 0x1_0000),
    ("GICC", GICC_BASE, GICC_BASE + 0x2_0000),
    ("GITS", GITS_BASE, GITS_BASE + 0x2_0000),
    ("GICR", GICR_BASE, UART_BASE),
    ("PL011", UART_BASE, UART_BASE + 0x1_0000),
    ("PL031", RTC_BASE, RTC_BASE + 0x1_0000),
    ("MSI source", MSI_BASE, MSI_BASE + 0x1_0000),
    ("virtio", VIRTIO_BASE, VIRTIO_BASE + 0x1_0000),
)
_ELSEWHERE: Final = "nothing"
_FRAME_OF: Final = {page: name for name, base, end in _FRAMES for page in range(base >> _SHIFT, end >> _SHIFT)}


def _no_accesses() -> dict[str, int]:
    return dict.fromkeys([*(name for name, *_ in _FRAMES), _ELSEWHERE], 0)


@dataclass(slots=True)
class Counts:
    """Counters of one machine, all vCPUs together.

    exits are counted by cause, interrupts by kind as guests acknowledge them; `forced` are kicks of vCPUs that had
    something to run: on real CPUs each is an exit and an entry for an interrupt alone; `delayed` and `delay` are vCPUs
    that could run while another one had their physical CPU, and the ticks they waited for it.
    """

    instructions: int = 0
    slices: int = 0
    hypercalls: int = 0
    waits: int = 0
    icc_accesses: int = 0
    sysreg_traps: int = 0
    timer_accesses: int = 0
    exceptions: int = 0
    sgis: int = 0
    ppis: int = 0
    spis: int = 0
    lpis: int = 0
    kicks: int = 0
    forced: int = 0
    delayed: int = 0
    delay: int = 0
    longest_delay: int = 0
    frames: dict[str, int] = field(default_factory=_no_accesses)

    def mmio(self, gpa: int) -> None:
        """Count an access that trapped."""
        self.frames[_FRAME_OF.get(gpa >> _SHIFT, _ELSEWHERE)] += 1

    def acknowledged(self, intid: int) -> None:
        """Count what a read of IAR returned; the special INTIDs are no interrupt."""
        if intid < _FIRST_PPI:
            self.sgis += 1
        elif intid < _FIRST_SPI:
            self.ppis += 1
        elif intid < _FIRST_SPECIAL:
            self.spis += 1
        elif intid >= _FIRST_LPI:
            self.lpis += 1

    def waited(self, ticks: int) -> None:
        """Count a vCPU that could run and was entered `ticks` later."""
        if ticks:
            self.delayed += 1
            self.delay += ticks
            self.longest_delay = max(self.longest_delay, ticks)

    def save(self) -> dict[str, Json]:
        """Return every counter by name."""
        return {name: dict(value) if isinstance(value, dict) else value for name, value in self._counters().items()}

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned.  Errors: ConfigError, and nothing changed."""
        saved = Saved("the counters", state)
        accesses = Saved("the counters of accesses", saved.members("frames"))
        frames = {name: accesses.number(name, _MASK64) for name in self.frames}
        accesses.finish()
        numbers = {name: saved.number(name, _MASK64) for name in self._counters() if name != "frames"}
        saved.finish()
        self.frames = frames
        for name, value in numbers.items():
            setattr(self, name, value)

    def _counters(self) -> dict[str, int | dict[str, int]]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
