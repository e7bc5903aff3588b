"""VM-wide state of the interrupt controller: SPIs, distributor enable, who the vCPUs are.

Room:    beside irq and vcpu: state, and lookups by INTID and by affinity.
Holds:   initialized  =>  len(spis) == nr_spis, and every vCPU has its private interrupts.
         ready => initialized.
"""

from typing import TYPE_CHECKING, final

from vgic.ids import FIRST_SPI, UNDEFINED_ADDR
from vgic.irq import Irq
from vgic.its.maps import DEFAULT_CAP, Budget
from vgic.lpis import LpiStore

if TYPE_CHECKING:
    from vgic.bus import Bus
    from vgic.direct import DirectVm
    from vgic.host import Host
    from vgic.ids import DeviceType
    from vgic.irqfd import Resampler
    from vgic.its.state import Its
    from vgic.mmio import Frame
    from vgic.model import Model
    from vgic.ports import AckNotifier, GuestMemory, TracePort
    from vgic.routes import Route
    from vgic.v3.regions import RedistRegion
    from vgic.vcpu import VcpuGic


@final
class Dist:
    """The distributor of one VM (KVM: struct vgic_dist and what it needs of struct kvm)."""

    __slots__ = (
        "ack_notifiers",
        "bus",
        "by_aff",
        "by_id",
        "cpu_base",
        "dead",
        "direct",
        "dist_base",
        "enabled",
        "frame",
        "gsi_of_pin",
        "guest",
        "has_its",
        "held_kicks",
        "holds_kicks",
        "host",
        "implementation_rev",
        "initialized",
        "ipa_size",
        "its_budget",
        "its_list",
        "lpis",
        "max_vcpus",
        "memory",
        "model",
        "nassgireq",
        "nr_spis",
        "propbaser",
        "ready",
        "regions",
        "resamplers",
        "routes",
        "spis",
        "trace",
        "v2_groups_user_writable",
        "vcpus",
        "wants_its",
    )

    def __init__(self, host: "Host", bus: "Bus", ipa_size: int, guest: "Model") -> None:
        """Build the state of a VM that has no VGIC yet; `guest` says so."""
        self.host = host
        self.bus = bus
        self.ipa_size = ipa_size  # bytes
        self.max_vcpus = host.max_vcpus
        self.guest = guest  # what depends on the GIC version the guest sees
        self.model: DeviceType | None = None  # its name in the KVM API; None: no in-kernel irqchip
        self.initialized = False
        self.ready = False  # frames are on the bus and some vCPU has run
        self.dead = False  # a first entry failed: every call gives -EIO
        self.direct: DirectVm | None = None  # GICv4: the VM's vPEs
        self.nassgireq = False  # GICv4.1: GICD_CTLR.nASSGIreq: the guest does without active SGIs
        self.implementation_rev = 0  # GICD_IIDR.Revision; 0: not chosen, 3 at init
        self.nr_spis = 0  # frozen at init
        self.dist_base = UNDEFINED_ADDR
        self.frame: Frame | None = None  # the distributor's, on the bus once ready
        self.cpu_base = UNDEFINED_ADDR  # GICv2
        self.v2_groups_user_writable = False  # GICv2: user space has written GICD_IIDR
        self.regions: list[RedistRegion] = []
        self.enabled = False  # GICv3: GICD_CTLR.EnableGrp1; group 0 has no enable of its own
        self.propbaser = 0  # one LPI configuration table for all redistributors
        self.spis: list[Irq] = []
        self.vcpus: list[VcpuGic] = []
        self.by_aff: dict[int, VcpuGic] = {}  # affinity -> the first vCPU that has it
        self.by_id: dict[int, VcpuGic] = {}  # vcpu_id -> vCPU
        self.routes: dict[int, Route] | None = None  # GSI -> route; None: GSI n is pin n
        self.gsi_of_pin: dict[int, int] = {}  # the way back, of `routes`
        self.resamplers: dict[int, Resampler] = {}  # GSI -> who is told that its interrupt completed
        self.memory: GuestMemory | None = None  # None: no guest address is RAM
        self.lpis = LpiStore()
        self.its_list: list[Its] = []
        self.its_budget = Budget(DEFAULT_CAP)
        self.wants_its = False  # some ITS was created
        self.has_its = False  # ... and the VM has a GICv3: LPIs exist
        self.ack_notifiers: dict[int, list[AckNotifier]] = {}  # SPI INTID -> listeners
        self.trace: TracePort | None = None
        self.holds_kicks = False  # an ITS is at its queue: whoever is kicked might look at LPIs in between
        self.held_kicks: dict[int, VcpuGic] = {}  # vCPU index -> vCPU, in the order they were kicked meanwhile

    def release_kicks(self) -> None:
        """Kick every vCPU that was to be kicked while kicks were held, once."""
        held = self.held_kicks
        self.held_kicks = {}
        for vcpu in held.values():
            vcpu.kick()

    @property
    def nr_irqs(self) -> int:
        """INTIDs below this exist (SGIs, PPIs, SPIs)."""
        return FIRST_SPI + self.nr_spis

    def find_spi(self, intid: int) -> Irq | None:
        """Return the SPI or LPI `intid` (32 or more), or None: vgic_get_irq() without a vCPU."""
        at = intid - FIRST_SPI
        spis = self.spis
        return spis[at] if at < len(spis) else self.lpis.get(intid)

    def index_affinities(self) -> None:
        """Rebuild the affinity lookup after a vCPU came or changed its MPIDR: kvm_mpidr_to_vcpu()."""
        by_aff: dict[int, VcpuGic] = {}
        for vcpu in self.vcpus:
            by_aff.setdefault(vcpu.mpidr, vcpu)
        self.by_aff = by_aff
