"""The members of a snapshot, version 1: one table for each record, read for writing and for reading.

Room:    above forms and records.
Holds:   a change of these tables is a new version.
"""

from typing import Final

from vgic.ids import FIRST_LPI, MAX_VCPUS_V3
from vgic.snapshot.forms import Choice, Flag, Form, Hex, Json, Layout, Many, Maybe, Number, Text
from vgic.snapshot.records import (
    CachedRecord,
    CollectionRecord,
    DeviceRecord,
    DistRecord,
    EventRecord,
    HostRecord,
    InterfaceRecord,
    IrqRecord,
    ItsRecord,
    MappedRecord,
    PlaceRecord,
    RegionRecord,
    RouteRecord,
    VcpuRecord,
    VmRecord,
)

VERSION: Final = 1

MODEL_NONE: Final = "none"
MODEL_GICV2: Final = "GICv2"
MODEL_GICV3: Final = "GICv3"

EDGE: Final = "edge"
LEVEL: Final = "level"

MAX_INTID: Final = 0xFFFF
MAX_LPIS: Final = MAX_INTID + 1 - FIRST_LPI
_MAX_ITS: Final = 4096
_MAX_ROUTES: Final = 4096

_FLAG: Final = Flag()
_U8: Final = Number(0, 0xFF)
_U16: Final = Number(0, 0xFFFF)
_W32: Final = Hex(32)
_W64: Final = Hex(64)
_INDEX: Final = Number(0, MAX_VCPUS_V3 - 1)
_TRIGGER: Final = Choice((EDGE, LEVEL))
_GROUP: Final = Number(0, 1)
_TARGET: Final = Maybe(_INDEX)
_APRS: Final = Many(_W32, 4)

_MAPPED: Final = Layout(
    MappedRecord,
    (
        ("hwintid", Number(0, 0xFFFF_FFFF)),
        ("vcpu", _INDEX),
        ("sw_resample", _FLAG),
        ("input_level", _FLAG),
        ("physical_active", _FLAG),
    ),
)

_RARE: Final[tuple[tuple[str, Form, object], ...]] = (
    ("source", _U8, 0),
    ("active_source", _INDEX, 0),
    ("owner", Maybe(Text()), None),
    ("opaque_owner", _FLAG, False),
    ("host_irq", Number(0, 0xFFFF_FFFF), 0),
    ("mapped", Maybe(_MAPPED), None),
)

_IRQ: Final = Layout(
    IrqRecord,
    (
        ("intid", _U16),
        ("target", _TARGET),
        ("enabled", _FLAG),
        ("pending_latch", _FLAG),
        ("line_level", _FLAG),
        ("active", _FLAG),
        ("trigger", _TRIGGER),
        ("priority", _U8),
        ("group", _GROUP),
        ("route", _W32),
    ),
    _RARE,
)

_LPI: Final = Layout(
    IrqRecord,
    (
        ("intid", Number(FIRST_LPI, MAX_INTID)),
        ("target", _TARGET),
        ("enabled", _FLAG),
        ("pending_latch", _FLAG),
        ("active", _FLAG),
        ("priority", _U8),
    ),
    (
        ("line_level", _FLAG, False),
        ("trigger", _TRIGGER, EDGE),
        ("group", _GROUP, 1),
        ("route", _W32, 0),
        *_RARE,
    ),
)

_INTERFACE: Final = Layout(
    InterfaceRecord,
    (
        ("pmr", _U8),
        ("bpr0", Number(0, 7)),
        ("bpr1", Number(0, 7)),
        ("group0", _FLAG),
        ("group1", _FLAG),
        ("ack_ctl", _FLAG),
        ("fiq_en", _FLAG),
        ("cbpr", _FLAG),
        ("eoi_mode", _FLAG),
        ("ap0r", _APRS),
        ("ap1r", _APRS),
        ("pri_bits", Number(0, 8)),
        ("id_bits_code", Number(0, 7)),
    ),
)

_VCPU: Final = Layout(
    VcpuRecord,
    (
        ("vcpu_id", _INDEX),
        ("affinity", _W32),
        ("cpu", _U16),
        ("has_run", _FLAG),
        ("irq_line", _FLAG),
        ("fiq_line", _FLAG),
        ("serror", _FLAG),
        ("redistributor", Maybe(Layout(PlaceRecord, (("region", _U8), ("slot", _U16))))),
        ("lpis_enabled", _FLAG),
        ("pendbaser", _W64),
        ("interface", _INTERFACE),
        ("ap_list", Many(_U16, MAX_INTID + 1)),
        ("interrupts", Many(_IRQ, 32)),
    ),
)

_REGION: Final = Layout(RegionRecord, (("base", _W64), ("count", _U16), ("slots_used", _U16)))

_DIST: Final = Layout(
    DistRecord,
    (
        ("model", Choice((MODEL_NONE, MODEL_GICV2, MODEL_GICV3))),
        ("initialized", _FLAG),
        ("ready", _FLAG),
        ("enabled", _FLAG),
        ("nr_spis", Number(0, 960)),
        ("implementation_rev", Number(0, 3)),
        ("max_vcpus", Number(0, MAX_VCPUS_V3)),
        ("dist_base", Maybe(_W64)),
        ("cpu_base", Maybe(_W64)),
        ("groups_writable", _FLAG),
        ("propbaser", _W64),
        ("bus", Many(Text(), 1000)),
        ("regions", Many(_REGION, 256)),
    ),
    (("nassgireq", _FLAG, False),),
)

_EVENT: Final = Layout(EventRecord, (("eventid", _U16), ("intid", _U16), ("icid", Maybe(_U16))))

_DEVICE: Final = Layout(
    DeviceRecord,
    (
        ("devid", _U16),
        ("itt", _W64),
        ("bits", Number(1, 16)),
        ("events", Many(_EVENT, 0x1_0000)),
    ),
)

_ITS: Final = Layout(
    ItsRecord,
    (
        ("base", Maybe(_W64)),
        ("abi", Number(0, 0)),
        ("enabled", _FLAG),
        ("cbaser", _W64),
        ("creadr", Hex(20)),
        ("cwriter", Hex(20)),
        ("device_table", _W64),
        ("collection_table", _W64),
        ("collections", Many(Layout(CollectionRecord, (("icid", _U16), ("target", _TARGET))), 0x1_0000)),
        ("devices", Many(_DEVICE, 0x1_0000)),
        ("cache", Many(Layout(CachedRecord, (("devid", _U16), ("eventid", _U16), ("intid", _U16))), 1 << 32)),
    ),
)

_HOST: Final = Layout(
    HostRecord,
    (
        ("gic", Choice((MODEL_GICV2, MODEL_GICV3))),
        ("list_registers", Number(1, 64)),
        ("pri_bits", Number(1, 8)),
        ("id_bits_code", Number(0, 7)),
        ("seis_a3v", _W32),
    ),
)

_ROUTE: Final = Layout(
    RouteRecord,
    (("gsi", Number(0, _MAX_ROUTES - 1)),),
    (
        ("pin", Maybe(Number(0, 987)), None),
        ("address", _W64, 0),
        ("data", _W32, 0),
        ("devid", _W32, 0),
        ("flags", Number(0, 1), 0),
    ),
)

_VM: Final = Layout(
    VmRecord,
    (
        ("host", _HOST),
        ("ipa_bits", Number(32, 52)),
        ("distributor", _DIST),
        ("vcpus", Many(_VCPU, MAX_VCPUS_V3)),
        ("spis", Many(_IRQ, 960)),
        ("lpis", Many(_LPI, MAX_LPIS)),
        ("its", Many(_ITS, _MAX_ITS)),
        ("routes", Maybe(Many(_ROUTE, _MAX_ROUTES))),
    ),
)


def encode(vm: VmRecord) -> Json:
    """Return the records as JSON values."""
    return _VM.encode(vm)


def decode(value: Json) -> VmRecord:
    """Return the records, each value in its range; whether they make sense together is check's."""
    vm = _VM.decode(value)
    assert isinstance(vm, VmRecord)
    return vm
