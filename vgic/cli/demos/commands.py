"""An ITS command in words: what its four doublewords ask for.

Room:    below the narrator.
Holds:   every command of GICv3, v4.0 and v4.1 has a sentence; other numbers are shown as numbers.

Source: IHI 0069H, ITS commands.
"""

from collections.abc import Callable
from typing import Final

from hw import arch4 as a

Words = tuple[int, int, int, int]

_ITT: Final = 0x000F_FFFF_FFFF_FF00
_INTID_MASK: Final = 0xFFFF_FFFF
_ID: Final = 0xFFFF


def describe(words: Words, v41: bool = True) -> str:
    """Return the command's name and what it says; `v41`: VMAPP and VMOVP are GICv4.1's."""
    number = words[0] & 0xFF
    if number not in a.COMMAND_NAMES:
        return f"command {number:#x}"
    return f"{a.COMMAND_NAMES[number]}: {_SENTENCES[number](words, v41)}"


def _event(words: Words) -> str:
    return f"event {words[1] & _INTID_MASK} of device {words[0] >> 32}"


def _vpe(words: Words) -> str:
    return f"vPE {words[1] >> 32 & _ID}"


def _rd(word: int) -> str:
    """An RDbase field: a processor number, or bits of an address."""
    return f"redistributor {word >> 16 & 0xF_FFFF_FFFF}"


def _doorbell(intid: int) -> str:
    return "no individual doorbell" if intid == a.NO_DOORBELL else f"individual doorbell {intid}"


def _mapd(w: Words, v41: bool) -> str:
    if not w[2] & a.VALID:
        return f"device {w[0] >> 32} is unmapped"
    return f"device {w[0] >> 32} has {1 << (w[1] & 0x1F) + 1} events, in the table at {w[2] & _ITT:#x}"


def _mapc(w: Words, v41: bool) -> str:
    where = f"goes to {_rd(w[2] & a.PA_64K)}" if w[2] & a.VALID else "is unmapped"
    return f"collection {w[2] & _ID} {where}"


def _vmapp(w: Words, v41: bool) -> str:
    if not w[2] & a.VALID:
        last = ", the last ITS that had it: its tables are software's again" if v41 and w[0] & a.VMAPP_ALLOC else ""
        return f"{_vpe(w)} is unmapped{last}"
    text = f"{_vpe(w)} is at {_rd(w[2])}, its pending table at {w[3] & a.PA_64K:#x}"
    if not v41:
        return text
    first = ", for the first time" if w[0] & a.VMAPP_ALLOC else ""
    zero = ", which is empty" if w[0] & a.VMAPP_PTZ else ""
    doorbell = w[1] & _INTID_MASK
    ring = "no default doorbell" if doorbell == a.NO_DOORBELL else f"default doorbell {doorbell}"
    return f"{text}{zero}, its configuration table at {w[0] & a.PA_64K:#x}, {ring}{first}"


def _vmovp(w: Words, v41: bool) -> str:
    doorbell = f", with default doorbell {w[3] & _INTID_MASK}" if v41 and w[2] & a.VALID else ""
    return f"{_vpe(w)} moves to {_rd(w[2] & ~a.VALID)}{doorbell}"


def _vsgi(w: Words, v41: bool) -> str:
    sgi = f"SGI {w[0] >> a.VSGI_INTID_SHIFT & 0xF} of {_vpe(w)}"
    if w[0] & a.VSGI_CLEAR:
        return f"{sgi} is not pending any more"
    enable = "enabled" if w[0] & a.VSGI_ENABLE else "disabled"
    group = w[0] >> 10 & 1
    return f"{sgi} is {enable}, group {group}, priority {(w[0] >> a.VSGI_PRIORITY_SHIFT & 0xF) << 4:#04x}"


_SENTENCES: Final[dict[int, Callable[[Words, bool], str]]] = {
    a.MOVI: lambda w, v41: f"{_event(w)} goes to collection {w[2] & _ID}",
    a.INT: lambda w, v41: f"as if {_event(w)} had been sent",
    a.CLEAR: lambda w, v41: f"what {_event(w)} names is not pending any more",
    a.SYNC: lambda w, v41: f"until all before has reached {_rd(w[2])}",
    a.MAPD: _mapd,
    a.MAPC: _mapc,
    a.MAPTI: lambda w, v41: f"{_event(w)} is physical LPI {w[1] >> 32}, in collection {w[2] & _ID}",
    a.MAPI: lambda w, v41: f"{_event(w)} is the physical LPI of that number, in collection {w[2] & _ID}",
    a.INV: lambda w, v41: f"read the configuration byte of what {_event(w)} names again",
    a.INVALL: lambda w, v41: f"read the configuration of collection {w[2] & _ID} again",
    a.MOVALL: lambda w, v41: f"pending LPIs move from {_rd(w[2])} to {_rd(w[3])}",
    a.DISCARD: lambda w, v41: f"{_event(w)} is unmapped, and what it names is not pending any more",
    a.VMOVI: lambda w, v41: f"{_event(w)} goes to {_vpe(w)}",
    a.VMOVP: _vmovp,
    a.VSGI: _vsgi,
    a.VSYNC: lambda w, v41: f"until all before has reached {_vpe(w)}",
    a.VMAPP: _vmapp,
    a.VMAPTI: lambda w, v41: f"{_event(w)} is vLPI {w[2] & _INTID_MASK} of {_vpe(w)}, {_doorbell(w[2] >> 32)}",
    a.VMAPI: lambda w, v41: f"{_event(w)} is the vLPI of that number of {_vpe(w)}, {_doorbell(w[2] >> 32)}",
    a.VINVALL: lambda w, v41: f"read the configuration of all vLPIs of {_vpe(w)} again",
    a.INVDB: lambda w, v41: f"read the configuration byte of the default doorbell of {_vpe(w)} again",
}
