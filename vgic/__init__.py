"""vgic: KVM's Arm virtual interrupt controller, modelled in Python.

Room:    the embedder's whole vocabulary, re-exported; nothing else is public.
"""

from hw import arch
from hw.arch import UNDEFINED
from vgic.device import Device
from vgic.dump import VgicState
from vgic.errors import BusyError, ConfigError, DeadVmError, StateError, VgicError
from vgic.eventfd import EventCounter, OsEventFd
from vgic.gates import Explanation, Gate
from vgic.guest import UNCLAIMED, Vcpu
from vgic.host import Host
from vgic.ids import (
    CREATE_DEVICE_TEST,
    CTRL_INIT,
    CTRL_SAVE_PENDING_TABLES,
    ITS_CTRL_RESET,
    ITS_RESTORE_TABLES,
    ITS_SAVE_TABLES,
    MSI_VALID_DEVID,
    Addr,
    Cap,
    DeviceType,
    Group,
    LineType,
)
from vgic.inject import irq_word
from vgic.ports import AckNotifier, EventFd, GuestMemory, Kick, LevelReader, TracePort
from vgic.ram import Ram
from vgic.routes import MsiRoute, PinRoute
from vgic.snapshot.text import Difference
from vgic.state import Snapshot
from vgic.trace import StructlogTrace
from vgic.v4.hostdev import HostMsi
from vgic.v4.limit import DeviceLimit
from vgic.vm import GICC_BASE, GICD_BASE, GICR_BASE, Vgic

__all__ = [
    "CREATE_DEVICE_TEST",
    "CTRL_INIT",
    "CTRL_SAVE_PENDING_TABLES",
    "GICC_BASE",
    "GICD_BASE",
    "GICR_BASE",
    "ITS_CTRL_RESET",
    "ITS_RESTORE_TABLES",
    "ITS_SAVE_TABLES",
    "MSI_VALID_DEVID",
    "UNCLAIMED",
    "UNDEFINED",
    "AckNotifier",
    "Addr",
    "BusyError",
    "Cap",
    "ConfigError",
    "DeadVmError",
    "Device",
    "DeviceLimit",
    "DeviceType",
    "Difference",
    "EventCounter",
    "EventFd",
    "Explanation",
    "Gate",
    "Group",
    "GuestMemory",
    "Host",
    "HostMsi",
    "Kick",
    "LevelReader",
    "LineType",
    "MsiRoute",
    "OsEventFd",
    "PinRoute",
    "Ram",
    "Snapshot",
    "StateError",
    "StructlogTrace",
    "TracePort",
    "Vcpu",
    "Vgic",
    "VgicError",
    "VgicState",
    "arch",
    "irq_word",
]
