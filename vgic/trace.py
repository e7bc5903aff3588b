"""A trace port that writes structlog events: KVM's tracepoints, with KVM's names and fields.

Room:    the top; the only module that logs, and nothing of the library imports it to work.
Never:   formats anything itself: what an event looks like is the choice of whoever configured structlog.

    vm.trace = StructlogTrace()

Events are logged at level debug, so a logger that filters them drops each after one call.
KVM: arch/arm64/kvm/vgic/trace.h, trace_arm.h, include/trace/events/kvm.h.
"""

from typing import Final, final

import structlog
from structlog.typing import FilteringBoundLogger

from vgic.ids import LineType
from vgic.ports import TracePort

_KINDS: Final[dict[int, str]] = {LineType.CPU: "CPU", LineType.PPI: "VGIC PPI", LineType.SPI: "VGIC SPI"}


@final
class StructlogTrace(TracePort):
    """Writes every traced event to a structlog logger."""

    __slots__ = ("_log",)

    def __init__(self, logger: FilteringBoundLogger | None = None) -> None:
        """Log to `logger`; by default to the one structlog is configured to give."""
        self._log: FilteringBoundLogger = structlog.get_logger() if logger is None else logger

    def vgic_update_irq_pending(self, vcpu: int, intid: int, level: bool) -> None:
        """An injection: the vCPU's index (0 for none), the INTID, and the level its line is driven to."""
        self._log.debug("kvm:vgic_update_irq_pending", vcpu_id=vcpu, irq=intid, level=int(level))

    def kvm_irq_line(self, kind: int, vcpu_id: int, number: int, level: int) -> None:
        """A KVM_IRQ_LINE; `vcpu_idx` is what KVM labels so, though it is the vCPU's id."""
        inject = _KINDS.get(kind, "UNKNOWN")
        self._log.debug("kvm:kvm_irq_line", inject=inject, type=kind, vcpu_idx=vcpu_id, irq_num=number, level=level)

    def kvm_set_irq(self, gsi: int, level: bool) -> None:
        """kvm:kvm_set_irq."""
        self._log.debug("kvm:kvm_set_irq", gsi=gsi, level=level)

    def kvm_ack_irq(self, irqchip: int, pin: int) -> None:
        """An end-of-interrupt notification."""
        self._log.debug("kvm:kvm_ack_irq", irqchip=irqchip, pin=pin)
