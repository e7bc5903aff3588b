"""How a run of a machine ends, and what exit status that is.

Room:    beside config.
Owns:    every ending there is: a guest, whatever it does, comes to one of them, never to a traceback.
"""

from dataclasses import dataclass
from enum import Enum


class End(Enum):
    """Why a machine stopped; the value is the exit status of `vgic run`, where the guest named none.

    POWERED_OFF and RESET are the guest's own; TIMEOUT is what timeout(1) returns, INTERRUPTED what a shell
    reports for Ctrl-C.
    """

    POWERED_OFF = 0
    RESET = 4
    DEADLOCK = 5
    ALL_OFF = 6
    BUDGET = 7
    TRIPLE_FAULT = 8
    ENGINE = 9
    MARK = 10
    TIMEOUT = 124
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    end     why it stopped
    detail  one sentence, or "" when `end` says everything
    status  what the guest printed as `EXIT: STATUS=n` (kvm-unit-tests: 1 pass, 3 fail, 77 skip, 127 abort), or None
    """

    end: End
    detail: str = ""
    status: int | None = None

    @property
    def exit_status(self) -> int:
        """0 when the guest ended itself and found nothing wrong; else its status, or how it ended."""
        if self.end is not End.POWERED_OFF or self.status is None:
            return self.end.value
        return 0 if self.status == 1 else self.status
