"""vgic: KVM's Arm virtual interrupt controller, modelled in Python.

Room:    the embedder's whole vocabulary, re-exported; nothing else is public.
"""

from hw import arch
from hw.arch import UNDEFINED
from vgic.device import Device
from vgic.dump import VgicState
from vgic.errors import BusyError, ConfigError, DeadVmError, VgicError
from vgic.explain import Explanation, Gate
from vgic.guest import UNCLAIMED, Vcpu
from vgic.host import Host
from vgic.ids import (
    CREATE_DEVICE_TEST,
    CTRL_INIT,
    CTRL_SAVE_PENDING_TABLES,
    Addr,
    Cap,
    DeviceType,
    Group,
    LineType,
)
from vgic.inject import irq_word
from vgic.ports import AckNotifier, Kick, LevelReader, TracePort
from vgic.trace import StructlogTrace
from vgic.vm import GICC_BASE, GICD_BASE, GICR_BASE, Vgic

__all__ = [
    "CREATE_DEVICE_TEST",
    "CTRL_INIT",
    "CTRL_SAVE_PENDING_TABLES",
    "GICC_BASE",
    "GICD_BASE",
    "GICR_BASE",
    "UNCLAIMED",
    "UNDEFINED",
    "AckNotifier",
    "Addr",
    "BusyError",
    "Cap",
    "ConfigError",
    "DeadVmError",
    "Device",
    "DeviceType",
    "Explanation",
    "Gate",
    "Group",
    "Host",
    "Kick",
    "LevelReader",
    "LineType",
    "StructlogTrace",
    "TracePort",
    "Vcpu",
    "Vgic",
    "VgicError",
    "VgicState",
    "arch",
    "irq_word",
]
