"""Which interrupt the recorded GICv2 platform offers its guest: the emulated GIC-400 whose GICV_IIDR is 0x0002043B.

Room:    above icv; gich and pe3 choose it when the machine is built with V2Profile.RECORDED.
Holds:   a guest with system registers (ICC_SRE_EL1.SRE = 1) sees the architecture's rules.

VMCR.PMR and HCR.En decide already what is pending, group enables only which line it raises: an interrupt of a
disabled group can hide others, unless both groups are disabled.  The running priority is compared with a
pending interrupt's whole priority.
"""

from typing import final

from hw.icv import Icv
from hw.lr import ListReg


def recorded_candidate(icv: Icv, signalled: bool) -> ListReg | None:
    """Return the highest priority pending virtual interrupt; if `signalled`, only if it preempts."""
    if not icv.en or not (icv.veng0 or icv.veng1):
        return None
    best = icv.vpmr
    chosen = None
    for lr in icv.lrs:
        if lr.pending and not lr.active and lr.priority < best:
            chosen = lr
            best = lr.priority
    active = icv.ap1
    if signalled and active and best >= ((active & -active).bit_length() - 1) << icv.config.ap_shift:
        return None
    return chosen


def recorded_virq(icv: Icv) -> bool:
    """Return the level of vIRQ."""
    lr = recorded_candidate(icv, True)
    if lr is None:
        return False
    return icv.veng1 if lr.group else icv.veng0 and not icv.vfiqen


def recorded_vfiq(icv: Icv) -> bool:
    """Return the level of vFIQ."""
    lr = recorded_candidate(icv, True)
    return lr is not None and lr.group == 0 and icv.veng0 and icv.vfiqen


@final
class RecordedIcv(Icv):
    """That platform's selection on a GICv3, for a GICv2 guest there."""

    __slots__ = ()

    def candidate(self, signalled: bool) -> ListReg | None:
        """The highest priority pending virtual interrupt; if `signalled`, only if it preempts.  Not an access."""
        return Icv.candidate(self, signalled) if self.sre else recorded_candidate(self, signalled)

    def virq(self) -> bool:
        """The level of vIRQ: a wire, not an access."""
        return Icv.virq(self) if self.sre else recorded_virq(self)

    def vfiq(self) -> bool:
        """The level of vFIQ: a wire, not an access."""
        return Icv.vfiq(self) if self.sre else recorded_vfiq(self)
