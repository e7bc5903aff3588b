"""The host: what KVM learns of the machine at boot, and which vCPU each physical CPU holds.

Room:    between hw and the VMs that share it; one for each Machine.
Owns:    `loaded`, the vCPU whose CPU interface is live on each physical CPU.
"""

from typing import TYPE_CHECKING, Final, final

from hw import Machine
from hw.arch import (
    CTLR_A3V,
    CTLR_SEIS,
    HCR_TALL0,
    HCR_TALL1,
    HCR_TC,
    VTR_A3V,
    VTR_IDBITS_SHIFT,
    VTR_PRIBITS_SHIFT,
    VTR_SEIS,
)
from vgic.ids import MAX_VCPUS_V2, MAX_VCPUS_V3
from vgic.switch import Switch
from vgic.v2.switch import SwitchV2
from vgic.v3.switch import SwitchV3

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic

NO_GIC_TRAPS: Final = HCR_TC | HCR_TALL0 | HCR_TALL1
"""What a guest without a GICv3 is run with, so that every ICC access is UNDEFINED: __vgic_v3_activate_traps()."""

_VTR_LISTREGS_V2: Final = 0x3F
_VTR_LISTREGS_V3: Final = 0xF


@final
class Host:
    """A KVM host on `machine` (KVM: kvm_vgic_global_state).

    group0_trap, group1_trap, common_trap: KVM's boot options `kvm-arm.vgic_v3_group0_trap` and so on; they make KVM
    emulate that part of a GICv3 guest's CPU interface instead of leaving it to hardware.
    gicv_trap: GICV does not fill whole pages, so that KVM cannot map it into a GICv2 guest: a GICv2 host then forwards
    the accesses, and a GICv3 host has no GICv2 guests.
    """

    __slots__ = (
        "gicv_trap",
        "has_gicv2_guests",
        "id_bits_code",
        "is_gicv3",
        "loaded",
        "machine",
        "max_vcpus",
        "nr_lr",
        "pri_bits",
        "seis_a3v",
        "switch",
        "trap_bits",
    )

    def __init__(
        self,
        machine: Machine,
        *,
        group0_trap: bool = False,
        group1_trap: bool = False,
        common_trap: bool = False,
        gicv_trap: bool = False,
    ) -> None:
        """Probe the machine: vgic_v2_probe(), vgic_v3_probe()."""
        pe = machine.pes[0]
        vtr = pe.virt.read_vtr()
        self.machine = machine
        self.is_gicv3 = machine.gic is None
        self.gicv_trap = gicv_trap
        self.switch: Switch
        if self.is_gicv3:
            self.has_gicv2_guests = pe.gicv is not None and not gicv_trap
            self.max_vcpus = MAX_VCPUS_V3
            self.switch = SwitchV3()
            self.nr_lr = (vtr & _VTR_LISTREGS_V3) + 1
            self.trap_bits = HCR_TALL0 * group0_trap | HCR_TALL1 * group1_trap | HCR_TC * common_trap
        else:
            self.has_gicv2_guests = True
            self.max_vcpus = MAX_VCPUS_V2
            self.switch = SwitchV2()
            self.nr_lr = (vtr & _VTR_LISTREGS_V2) + 1
            self.trap_bits = 0
        self.pri_bits = (vtr >> VTR_PRIBITS_SHIFT & 7) + 1
        self.id_bits_code = vtr >> VTR_IDBITS_SHIFT & 7
        # ICH_VTR_EL2.SEIS and A3V, where ICC_CTLR_EL1 shows them
        self.seis_a3v = (CTLR_SEIS if vtr & VTR_SEIS else 0) | (CTLR_A3V if vtr & VTR_A3V else 0)
        self.loaded: dict[int, VcpuGic] = {}  # physical CPU index -> vCPU
