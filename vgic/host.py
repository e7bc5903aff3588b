"""The host: what KVM learns of the machine at boot, and which vCPU each physical CPU holds.

Room:    between hw and the VMs that share it; one for each Machine.
Owns:    `loaded`, the vCPU whose CPU interface is live on each physical CPU.
"""

from typing import TYPE_CHECKING, Final, final

from hw import Machine
from hw.arch import HCR_TALL0, HCR_TALL1, HCR_TC

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic

NO_GIC_TRAPS: Final = HCR_TC | HCR_TALL0 | HCR_TALL1
"""What a guest without a GICv3 is run with, so that every ICC access is UNDEFINED: __vgic_v3_activate_traps()."""

_VTR_LISTREGS: Final = 0xF
_VTR_PRIBITS: Final = 29
_VTR_IDBITS: Final = 23


@final
class Host:
    """A KVM host on `machine` (KVM: kvm_vgic_global_state).

    The three switches are KVM's boot options `kvm-arm.vgic_v3_group0_trap`, `..._group1_trap` and
    `..._common_trap`: they make KVM emulate that part of the CPU interface instead of leaving it to hardware.
    """

    __slots__ = ("id_bits_code", "loaded", "machine", "nr_lr", "pri_bits", "seis_a3v", "trap_bits")

    def __init__(
        self,
        machine: Machine,
        *,
        group0_trap: bool = False,
        group1_trap: bool = False,
        common_trap: bool = False,
    ) -> None:
        """Probe the machine: vgic_v3_probe()."""
        self.machine = machine
        vtr = machine.pes[0].virt.read_vtr()
        self.nr_lr = (vtr & _VTR_LISTREGS) + 1
        self.pri_bits = (vtr >> _VTR_PRIBITS & 7) + 1
        self.id_bits_code = vtr >> _VTR_IDBITS & 7
        # ICH_VTR_EL2.SEIS and A3V, moved to where ICC_CTLR_EL1 shows them (bits 14 and 15)
        self.seis_a3v = (vtr >> 22 & 1) << 14 | (vtr >> 21 & 1) << 15
        self.trap_bits = HCR_TALL0 * group0_trap | HCR_TALL1 * group1_trap | HCR_TC * common_trap
        self.loaded: dict[int, VcpuGic] = {}  # physical CPU index -> vCPU
