"""A tiny language for driving a virtual CPU interface register by register.

Room:    under the tests of ich and icv, whose tables are written in it.
Owns:    the notation.
Never:   computes an expected value.
Holds:   every access goes by encoding; after each one the interface passes check() and asserts
         at most one line.

    HCR=0x1         write of ICH_HCR_EL2 (also VMCR, LR<n>, AP0R<n>, AP1R<n>)
    EOIR1=40        write of ICV_EOIR1_EL1 (also PMR, BPR0, CTLR, IGRPEN1, DIR, V_AP0R0, ...)
    IAR1→40         read of ICV_IAR1_EL1 that must return 40
    AP1R2→UNDEFINED an access that must be UNDEFINED (V_AP1R2=UNDEFINED for a write)
    lines→vIRQ      what the guest's PE sees on vIRQ and vFIQ: vIRQ, vFIQ or none
    phys→45,46      physical interrupts deactivated since the last look; none: -
"""

from hw import arch
from hw.config import VirtConfig
from hw.cost import Cost
from hw.ich import PhysicalDeactivator
from hw.icv import Icv


class RecordingPort(PhysicalDeactivator):
    """Remembers the deactivations in order."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def deactivate(self, pintid: int) -> None:
        self.seen.append(pintid)


class Play:
    """One interface being driven, and the physical deactivations it asked for."""

    def __init__(self, config: VirtConfig | None = None, icv: Icv | None = None) -> None:
        self.icv = icv or Icv(config or VirtConfig(), Cost())
        self.port = RecordingPort()
        self.icv.deactivate_port = self.port

    def write(self, name: str, value: int) -> bool:
        """Write a register by its short name; False if that is UNDEFINED."""
        encoding = el2_encoding(name)
        if encoding is not None:
            return self.icv.write_ich(encoding, value)
        return self.icv.write_icv(guest_encoding(name), value)

    def read(self, name: str) -> int:
        """Read a register by its short name; arch.UNDEFINED if that is."""
        encoding = el2_encoding(name)
        return self.icv.read_icv(guest_encoding(name)) if encoding is None else self.icv.read_ich(encoding)

    def lines(self) -> str:
        """The line that is asserted: vIRQ, vFIQ or none."""
        virq, vfiq = self.icv.virq(), self.icv.vfiq()
        assert not (virq and vfiq), "vIRQ and vFIQ asserted together"
        return "vIRQ" if virq else "vFIQ" if vfiq else "none"

    def do(self, access: str) -> None:
        """Perform one write, or one read and compare; `access` is in the notation above."""
        if "=" in access:
            name, value = access.split("=")
            if value == "UNDEFINED":
                assert not self.write(name, 0), f"{access}: the register exists"
            else:
                assert self.write(name, int(value, 0)), f"{access}: UNDEFINED"
        else:
            name, expected = access.split("→")
            assert show(self.observe(name), expected) == expected, access
        self.icv.check()

    def run(self, accesses: str) -> None:
        """Perform accesses separated by "; "."""
        for access in accesses.split("; "):
            self.do(access)

    def start(self, initial: str, accesses: str) -> None:
        """Perform writes separated by spaces, then accesses separated by "; "; either may be empty."""
        for access in initial.split():
            self.do(access)
        if accesses:
            self.run(accesses)

    def observe(self, name: str) -> int | str:
        """What a read of `name` gives, be it a register, the lines or the physical deactivations."""
        if name == "lines":
            return self.lines()
        if name == "phys":
            seen = ",".join(map(str, self.port.seen)) or "-"
            self.port.seen.clear()
            return seen
        return self.read(name)


def show(got: int | str, like: str) -> str:
    """Write `got` the way the expected text `like` is written, so that a failure shows both alike."""
    if isinstance(got, str):
        return got
    if got == arch.UNDEFINED:
        return "UNDEFINED"
    return f"0x{got:0{len(like) - 2}X}" if like.startswith("0x") else str(got)


def el2_encoding(name: str) -> int | None:
    """The encoding of ICH_<name>_EL2, if there is one."""
    return arch.SYSREG_BY_NAME.get(f"ICH_{name}_EL2")


def guest_encoding(name: str) -> int:
    """The encoding of ICC_<name>_EL1; V_ tells the guest's active-priority registers from EL2's."""
    return arch.SYSREG_BY_NAME[f"ICC_{name.removeprefix('V_')}_EL1"]


def play(initial: str, accesses: str, config: VirtConfig | None = None) -> Play:
    """Apply the writes of `initial`, separated by spaces, to a reset interface; then perform `accesses`."""
    played = Play(config)
    played.start(initial, accesses)
    return played
