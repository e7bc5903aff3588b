"""What the GIC does by itself, in sentences, between the lines of a program's log.

Room:    beside the programs; a Tracer of their machine.
Holds:   a command is told of before what it caused, though the hardware reports it when it is done.
"""

from collections.abc import Callable
from typing import Final, cast, final

from hw import Tracer
from vgic.cli.demos.commands import Words, describe

MARK: Final = "    # "
"""Before each sentence, so that the log's own lines can be told from them."""

_SENTENCES: Final[dict[str, str]] = {
    "lpi_pend": "redistributor {0}: physical LPI {1} becomes pending",
    "lpi_clear": "redistributor {0}: physical LPI {1} is not pending any more",
    "vint_pend": "vPE {0}: virtual INTID {1} becomes pending",
    "vint_clear": "vPE {0}: virtual INTID {1} is not pending any more",
    "vint_ack": "vPE {0}: its guest acknowledges virtual INTID {1}, without an exit or a list register",
    "offer": "redistributor {0} offers its CPU interface virtual INTID {2} of vPE {1}, priority {3:#04x}, group {4}",
    "withdraw": "redistributor {0} offers nothing any more",
    "resid": "redistributor {0}: vPE {1}, {2} until now, is {3}",
    "doorbell": "vPE {0} is not resident: its {1} doorbell rings, physical LPI {2} at redistributor {3}",
    "misuse": "MISUSE {0} by {1} {2}",
}


@final
class Narrator(Tracer):
    """Passes on the lines of a log, `say` being where they go, and tells below each what the hardware did then."""

    def __init__(self, say: Callable[[str], None], *, v41: bool = True) -> None:
        """Nothing happened yet.  `v41`: the commands are GICv4.1's."""
        self._say = say
        self._v41 = v41
        self._told: list[str] = []  # since the last line
        self._command_at = 0  # where in `_told` the sentence about the command in progress belongs

    def line(self, text: str) -> None:
        """A line of the log: first tell what has happened since the last one."""
        self.flush()
        self._say(text)

    def flush(self) -> None:
        """Tell what has happened."""
        for sentence in self._told:
            self._say(MARK + sentence)
        self._told.clear()
        self._command_at = 0

    def event(self, name: str, *fields: object) -> None:
        """`name` happened; see hw.trace for the fields."""
        if name == "its_cmd":
            self._command(*fields)
        elif name == "xlate":
            kind = {"vlpi": "a virtual LPI", "lpi": "a physical LPI", "dropped": "not mapped: dropped"}[str(fields[3])]
            self._told.append(f"ITS {fields[0]}: event {fields[2]} of device {fields[1]} is {kind}")
        elif name == "cache_fill":
            byte = cast(int, fields[2])
            enabled = "enabled" if byte & 1 else "disabled"
            self._told.append(
                f"vPE {fields[0]}: the configuration byte of INTID {fields[1]} is read: {enabled}, "
                f"priority {byte & 0xFC:#04x}"
            )
        else:
            self._told.append(_SENTENCES[name].format(*fields))

    def _command(self, its: object, offset: object, words: object, error: object) -> None:
        failed = f", which fails: {error}" if error else ""
        self._told.insert(self._command_at, f"ITS {its} executes {describe(cast(Words, words), self._v41)}{failed}")
        self._command_at = len(self._told)
