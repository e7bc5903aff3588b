"""What a snapshot keeps: plain records, complete and without references into the VM.

Room:    the floor of the snapshot package.
Holds:   vCPUs are named by index (order of creation), interrupts by INTID.  What follows from something else is left
         out (who has an interrupt listed, references of LPIs, affinities looked up), so it cannot contradict it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """The physical interrupt below a mapped one."""

    hwintid: int
    vcpu: int  # whose physical CPU a private `hwintid` belongs to
    sw_resample: bool
    input_level: bool  # a LevelReader was supplied; restore leaves it to the embedder to supply it again
    physical_active: bool  # GICD_ISACTIVER of the host


@dataclass(frozen=True, slots=True)
class IrqRecord:
    """One interrupt.  Fields as in `vgic.irq.Irq`."""

    intid: int
    target: int | None
    enabled: bool
    pending_latch: bool
    line_level: bool
    active: bool
    trigger: str  # "edge" or "level"
    priority: int
    group: int
    route: int
    source: int = 0
    active_source: int = 0
    owner: str | None = None
    opaque_owner: bool = False  # owned by something that is no string, to be named again with set_owner
    host_irq: int = 0  # as last mapped; KVM does not clear it
    mapped: MappedRecord | None = None


@dataclass(frozen=True, slots=True)
class InterfaceRecord:
    """A saved CPU interface: ICH_VMCR_EL2 by field, active priorities, and how much of it the guest was promised."""

    pmr: int
    bpr0: int
    bpr1: int
    group0: bool
    group1: bool
    ack_ctl: bool
    fiq_en: bool
    cbpr: bool
    eoi_mode: bool
    ap0r: tuple[int, ...]
    ap1r: tuple[int, ...]
    pri_bits: int  # user space may have lowered it (ICC_CTLR_EL1), never raised
    id_bits_code: int


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """Which slot of which redistributor region a vCPU got."""

    region: int
    slot: int


@dataclass(frozen=True, slots=True)
class VcpuRecord:
    """One vCPU, off its physical CPU."""

    vcpu_id: int
    affinity: int
    cpu: int
    has_run: bool
    irq_line: bool
    fiq_line: bool
    serror: bool
    redistributor: PlaceRecord | None
    lpis_enabled: bool
    pendbaser: int  # with PTZ, which reads as zero
    interface: InterfaceRecord
    ap_list: tuple[int, ...]  # INTIDs, first to last
    interrupts: tuple[IrqRecord, ...]  # 32 private ones, or none before there is a VGIC


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """A redistributor region; slots that no vCPU names are lost, as those of failed vCPU creations."""

    base: int
    count: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class DistRecord:
    """The distributor and where frames lie."""

    model: str
    initialized: bool
    ready: bool
    enabled: bool
    nr_spis: int
    implementation_rev: int
    max_vcpus: int
    dist_base: int | None
    cpu_base: int | None
    groups_writable: bool
    propbaser: int
    bus: tuple[str, ...]  # the frames on the bus, in the order in which it finds them
    regions: tuple[RegionRecord, ...]
    nassgireq: bool = False  # the guest does without active SGIs


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """A collection; without a target it is a placeholder."""

    icid: int
    target: int | None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An interrupt translation entry; without a collection it is an orphan."""

    eventid: int
    intid: int
    icid: int | None


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device of an ITS."""

    devid: int
    itt: int
    bits: int
    events: tuple[EventRecord, ...]


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """A cached translation."""

    devid: int
    eventid: int
    intid: int


@dataclass(frozen=True, slots=True)
class ItsRecord:
    """One ITS."""

    base: int | None
    abi: int
    enabled: bool
    cbaser: int
    creadr: int
    cwriter: int
    device_table: int
    collection_table: int
    collections: tuple[CollectionRecord, ...]  # in order of creation
    devices: tuple[DeviceRecord, ...]
    cache: tuple[CachedRecord, ...]


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """Where a GSI goes: a pin (an SPI's INTID - 32), or without one a message."""

    gsi: int
    pin: int | None = None
    address: int = 0
    data: int = 0
    devid: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class HostRecord:
    """The host the VM ran on."""

    gic: str
    list_registers: int
    pri_bits: int
    id_bits_code: int
    seis_a3v: int


@dataclass(frozen=True, slots=True)
class VmRecord:
    """Everything."""

    host: HostRecord
    ipa_bits: int
    distributor: DistRecord
    vcpus: tuple[VcpuRecord, ...]
    spis: tuple[IrqRecord, ...]
    lpis: tuple[IrqRecord, ...]
    its: tuple[ItsRecord, ...]
    routes: tuple[RouteRecord, ...] | None  # None: GSI n is pin n
