"""What software must not do with an ITS, LPIs and direct injection: a table of codes, and the log of those met.

Room:    below redistributors, ITSs and memory ownership, which report here.
Owns:    the records, and which access is in progress.
Never:   decides what hardware does instead: whoever reports has its own recovery, and the mode changes none of it.
Holds:   at most MAX_RECORDS records; `counts` counts every report.

In strict mode the outermost access raises GicMisuse, once everything it does is done.
"""

from dataclasses import dataclass
from typing import Final, final

from hw.arch4 import COMMAND_NAMES
from hw.trace import Tracer

MAX_RECORDS: Final = 1000

MISUSES: Final[dict[str, str]] = {
    "M-01": "a vPE that is not mapped was made resident",
    "M-02": "GICR_VPROPBASER.Valid is 0",
    "M-03": "a vPE was made resident outside the CommonLPIAff group of its redistributor",
    "M-04": "a vPE is resident already",
    "M-05": "memory promised to be zero, or a table promised to be empty, is not",
    "M-06": "a base register was written while it is in use",
    "M-07": "GICR_VPENDBASER was written while Dirty is 1",
    "M-08": "GICR_VPENDBASER was changed while Valid stays 1",
    "M-09": "VMAPP took the last mapping of a resident vPE",
    "M-10": "a device was unmapped or mapped again while events of it are mapped",
    "M-11": "an event that is mapped was mapped again",
    "M-12": "two CommonLPIAff groups share a vPE table",
    "M-13": "the redistributors or the ITS of a CommonLPIAff group name different vPE tables",
    "M-14": "software wrote memory that the GIC owns",
    "M-15": "software read the pending table of a mapped vPE, which may be stale",
    "M-16": "GICR_PROPBASER differs within a CommonLPIAff group",
    "M-17": "a command names a vPE that is not mapped: SError possible",
    "M-18": "VMOVP took a resident vPE to another CommonLPIAff group",
    "M-19": "VMOVP on several ITSs: wrong list, order or sequence number",
    "M-20": "an individual doorbell, which this ITS does not support",
    "M-21": "vPEs share a doorbell",
    "M-22": "GICR_VSGIR names a vPE that is not mapped in this CommonLPIAff group",
    "M-23": "GICR_VSGIR was written while GICR_VSGIPENDR is Busy",
    "M-24": "a virtual INTID out of range",
    "M-25": "VSGI with Clear ignores the configuration beside it",
    "M-26": "a redistributor was put to sleep, or its LPIs disabled, while a vPE is resident",
    "M-27": "one virtual INTID is in a list register and directly pending",
    "M-28": "INV does not reach the configuration of a default doorbell: INVDB does",
    "M-29": "GITS_SGIR names a vPE that is not mapped",
    "M-30": "VMAPP's Alloc does not agree with the mappings that exist",
    "M-31": "a guest was entered with ICH_HCR_EL2.En 0 while a directly injected interrupt is waiting",
    "M-32": "a vPE was made resident although ICH_VTR_EL2.nV4 is 1",
    "M-33": "ICH_* state was switched before descheduling ended",
    "M-34": "a vPE is resident under the ICH_* state of another guest",
    "M-35": "a vPE was unmapped while events still go to it",
    "ACCESS_SIZE": "an access of a width that the register does not have",
}
WARNINGS: Final = frozenset(("M-25", "M-31", "M-35"))


@dataclass(frozen=True, slots=True)
class Misuse:
    """One hypervisor bug."""

    code: str
    cause: str  # the command or register write that did it
    details: str

    @property
    def text(self) -> str:
        """What the code stands for."""
        return MISUSES[self.code]

    @property
    def warning(self) -> bool:
        """Whether this may be meant: it never raises."""
        return self.code in WARNINGS

    def __str__(self) -> str:
        details = f" ({self.details})" if self.details else ""
        return f"{self.code}: {self.text}{details}, by {self.cause}"


class GicMisuse(Exception):  # noqa: N818 - the name says whose error it is
    """Raised in strict mode by the access that misused the GIC; `record` says how."""

    def __init__(self, record: Misuse) -> None:
        """Describe `record`."""
        super().__init__(str(record))
        self.record = record
        self.code = record.code


@final
class MisuseLog:
    """The hypervisor bugs that one machine's GIC met, the first MAX_RECORDS of them in full."""

    __slots__ = ("_frame", "_offset", "_raised", "_value", "_words", "counts", "records", "strict", "trace")

    def __init__(self, strict: bool = False) -> None:
        """Nothing met yet.  `strict`: accesses that misuse the GIC raise."""
        self.strict = strict
        self.records: list[Misuse] = []
        self.counts: dict[str, int] = {}
        self._frame = ""
        self._offset = 0
        self._value = 0
        self._words: tuple[int, int, int, int] | None = None
        self._raised: Misuse | None = None
        self.trace: Tracer | None = None

    def doing(self, frame: str, offset: int, value: int) -> None:
        """An access starts: a write of `value` at `offset` of `frame`."""
        self._frame = frame
        self._offset = offset
        self._value = value
        self._words = None

    def doing_command(self, frame: str, offset: int, words: tuple[int, int, int, int]) -> None:
        """The ITS `frame` starts the command at `offset` of its queue."""
        self._frame = frame
        self._offset = offset
        self._words = words

    def report(self, code: str, details: str = "") -> None:
        """What is being done is misuse `code`."""
        record = Misuse(code, self._cause(), details)
        self.counts[code] = self.counts.get(code, 0) + 1
        if len(self.records) < MAX_RECORDS:
            self.records.append(record)
        if self.trace is not None:
            self.trace.event("misuse", code, record.cause, details)
        if self.strict and self._raised is None and not record.warning:
            self._raised = record

    def done(self) -> None:
        """The outermost access ends: in strict mode, raise what it misused first."""
        record = self._raised
        if record is not None:
            self._raised = None
            raise GicMisuse(record)

    def codes(self) -> list[str]:
        """The codes recorded, in order."""
        return [record.code for record in self.records]

    def clear(self) -> None:
        """Forget everything met so far."""
        self.records.clear()
        self.counts.clear()

    def _cause(self) -> str:
        words = self._words
        if words is None:
            return f"{self._frame}+{self._offset:#x} = {self._value:#x}"
        name = COMMAND_NAMES.get(words[0] & 0xFF, "command")
        shown = " ".join(f"{word:016X}" for word in words)
        return f"{name} at {self._offset:#x} of {self._frame}'s queue: {shown}"
