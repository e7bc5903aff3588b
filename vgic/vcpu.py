"""Per-vCPU state: private interrupts, ap_list, saved CPU interface, redistributor registers.

Room:    beside irq and dist: state, and no rule beyond reset values and the kick.
Owns:    `mode`, which says where the vCPU is (below); run and guest move it.
Holds:   mode IN_GUEST or TRAPPED  =>  loaded on `pe`, with its live VMCR and active priorities.
         used_lrs != 0  =>  mode is IN_GUEST.
"""

from typing import TYPE_CHECKING, Final

from hw.arch import HCR_EN
from vgic.ids import FIRST_SPI, NR_PRIVATE, NR_SGIS
from vgic.irq import Irq

if TYPE_CHECKING:
    from hw import Pe
    from vgic.direct import Residency
    from vgic.dist import Dist
    from vgic.mmio import Frame
    from vgic.ports import Kick
    from vgic.v2.window import CpuWindow
    from vgic.v3.regions import RedistRegion

PUT: Final = 0  # its CPU interface is saved here; no physical CPU holds it
LOADED: Final = 1  # its CPU interface is live on `pe`, outside the guest
IN_GUEST: Final = 2  # list registers filled, guest running
TRAPPED: Final = 3  # on its way out of the guest and back in: an access is being handled, or it is halted
LEAVING: Final = 4  # on its way out, to LOADED

APRS: Final = 4


class VcpuGic:
    """The interrupt controller's view of one vCPU (KVM: struct vgic_cpu and what it needs of kvm_vcpu)."""

    __slots__ = (
        "ap0r",
        "ap1r",
        "ap_list",
        "cost",
        "dist",
        "entry_rules",
        "has_run",
        "hcr",
        "host_hcr",
        "id_bits_code",
        "index",
        "kick_port",
        "lpis_enabled",
        "lr_irqs",
        "lr_rules",
        "mode",
        "mpidr",
        "nr_lr",
        "pe",
        "pendbaser",
        "pri_bits",
        "private",
        "rd_region",
        "rd_slot",
        "redist",
        "serror",
        "sre",
        "used_lrs",
        "vcpu_id",
        "vf",
        "vi",
        "vmcr",
        "vpe",
        "window",
    )

    def __init__(self, dist: "Dist", index: int, vcpu_id: int, pe: "Pe") -> None:
        """Build a vCPU without private interrupts (KVM 6.12 allocates those once a VGIC exists)."""
        self.dist = dist
        self.index = index  # creation order; KVM's vcpu_idx
        self.vcpu_id = vcpu_id  # chosen by the VMM; KVM's vcpu_id
        # reset_mpidr(): at most 16 vCPUs in an Aff1 cluster
        self.mpidr = (vcpu_id & 0xF) | ((vcpu_id >> 4) & 0xFF) << 8 | ((vcpu_id >> 12) & 0xFF) << 16
        self.pe = pe  # the physical CPU it last ran on, or will run on
        self.cost = pe.cost
        self.mode = PUT
        self.has_run = False
        self.kick_port: Kick | None = None
        self.private: list[Irq] = []  # 16 SGIs, 16 PPIs, or none yet
        self.ap_list: list[Irq] = []  # written by ap_list alone
        self.nr_lr = 0  # list registers of the host
        self.used_lrs = 0  # list registers filled by the last flush
        self.lr_irqs: list[Irq] = []  # what they hold, [0] to [used_lrs - 1]
        self.lr_rules = dist.guest.lr_rules
        self.entry_rules = self.lr_rules  # what the last flush went by: the same, or less where less is enough
        self.vi = False  # HCR_EL2.VI and VF as KVM_IRQ_LINE's CPU lines set them
        self.vf = False
        # the saved CPU interface, stale while loaded
        self.hcr = 0  # ICH_HCR_EL2 to run the guest with; the UIE bit is flush's
        self.host_hcr = ~HCR_EN  # what of `hcr` stays in ICH_HCR_EL2 outside the guest: with a vPE En does
        self.vmcr = 0
        self.sre = True  # the guest uses system registers; False: a GICv2 guest on a GICv3 host
        self.ap0r: list[int] = [0] * APRS
        self.ap1r: list[int] = [0] * APRS
        self.pri_bits = 0
        self.id_bits_code = 0
        self.vpe: Residency | None = None  # GICv4: the vCPU as hardware knows it
        # GICv2: where the guest finds its CPU interface, past the bus
        self.window: CpuWindow | None = None
        self.serror = False  # a virtual SError is pending (HCR_EL2.VSE); the VMM delivers it and clears this
        # GICv3: redistributor
        self.redist: Frame | None = None  # GICv3: its frame, on the bus once it has a slot
        self.rd_region: RedistRegion | None = None
        self.rd_slot = 0
        self.lpis_enabled = False  # GICR_CTLR.EnableLPIs
        self.pendbaser = 0

    @property
    def in_guest(self) -> bool:
        """Whether the guest is running."""
        return self.mode == IN_GUEST

    def allocate_private(self) -> None:
        """Create the 32 private interrupts in reset state, unless they exist: vgic_allocate_private_irqs_locked()."""
        if not self.private:
            self.private = [Irq(i, i >= NR_SGIS, i < NR_SGIS, self) for i in range(NR_PRIVATE)]

    def kick(self) -> None:
        """Ask the vCPU to enter again, by the embedder's kick port: kvm_vcpu_kick().

        One that is on its way back into the guest needs none: it will look at its list.
        """
        port = self.kick_port
        if port is None or self.mode == TRAPPED:
            return
        if self.dist.holds_kicks:
            self.dist.held_kicks[self.index] = self
        else:
            port(self.index)

    def find_irq(self, intid: int) -> Irq | None:
        """Return the interrupt `intid` as this vCPU sees it, or None: vgic_get_irq()."""
        if intid < FIRST_SPI:
            return self.private[intid] if self.private and intid >= 0 else None
        return self.dist.find_spi(intid)
