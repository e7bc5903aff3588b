"""Which interrupt the recorded GICv2 platform offers its guest: the emulated GIC-400 whose GICV_IIDR is 0x0002043B.

Room:    above icv; gich and pe3 choose it when the machine is built with V2Profile.RECORDED.
Holds:   a guest with system registers (ICC_SRE_EL1.SRE = 1) sees the architecture's rules.
"""

from typing import final

from hw.icv import Icv
from hw.lr import ListReg


class RecordedSelection(Icv):
    """Selection as that platform does it.

    VMCR.PMR and HCR.En decide already what is pending, group enables only which line it raises: an interrupt of a
    disabled group can hide others, unless both groups are disabled.  The running priority is compared with a
    pending interrupt's whole priority.
    """

    __slots__ = ()

    def candidate(self, signalled: bool) -> ListReg | None:
        """The highest priority pending virtual interrupt; if `signalled`, only if it preempts.  Not an access."""
        if self.sre:
            return super().candidate(signalled)
        if not self.en or not (self.veng0 or self.veng1):
            return None
        best = self.vpmr
        chosen = None
        for lr in self.lrs:
            if lr.pending and not lr.active and lr.priority < best:
                chosen = lr
                best = lr.priority
        active = self.ap1
        if signalled and active and best >= ((active & -active).bit_length() - 1) << self._ap_shift:
            return None
        return chosen

    def virq(self) -> bool:
        """The level of vIRQ: a wire, not an access."""
        if self.sre:
            return super().virq()
        lr = self.candidate(True)
        if lr is None:
            return False
        return self.veng1 if lr.group else self.veng0 and not self.vfiqen

    def vfiq(self) -> bool:
        """The level of vFIQ: a wire, not an access."""
        if self.sre:
            return super().vfiq()
        lr = self.candidate(True)
        return lr is not None and lr.group == 0 and self.veng0 and self.vfiqen


@final
class RecordedIcv(RecordedSelection):
    """The same on a GICv3, for a GICv2 guest there."""

    __slots__ = ()
