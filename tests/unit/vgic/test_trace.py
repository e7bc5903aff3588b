"""The trace port that writes structlog events: KVM's names, KVM's fields, and nothing else."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
import structlog
from structlog.testing import capture_logs

from vgic import ConfigError, LineType, StructlogTrace, Vgic, VgicError, arch, irq_word
from vgic.vm import GICD_BASE

SPI: Final = 40

Event = dict[str, object]


class Traced(NamedTuple):
    """What is done to a VM, and the events it leaves."""

    act: Callable[[Vgic], None]
    events: list[Event]


def inject_edge(vm: Vgic) -> None:
    vm.inject(SPI)


def lower_ppi(vm: Vgic) -> None:
    vm.inject(27, False, vcpu=vm.vcpus[1])


def inject_beyond_the_last(vm: Vgic) -> None:
    with pytest.raises(ConfigError):
        vm.inject(500)


def inject_private_without_vcpu(vm: Vgic) -> None:
    with pytest.raises(ConfigError):
        vm.inject(27)


def line_spi(vm: Vgic) -> None:
    vm.irq_line(irq_word(LineType.SPI, SPI), 3)


def line_ppi(vm: Vgic) -> None:
    vm.irq_line(irq_word(LineType.PPI, 27, vcpu_id=1), 1)


def line_cpu(vm: Vgic) -> None:
    with pytest.raises(VgicError):
        vm.irq_line(irq_word(LineType.CPU, 0, vcpu_id=1), 1)


def line_of_no_type(vm: Vgic) -> None:
    with pytest.raises(ConfigError):
        vm.irq_line(9 << 24 | 7, 1)


def complete_a_level_spi(vm: Vgic) -> None:
    vcpu = vm.vcpus[0]
    vcpu.enter()
    vcpu.write(GICD_BASE, 4, arch.GICD_CTLR_ENABLE_GRP1)
    vcpu.write(GICD_BASE + arch.GICD_ISENABLER + 4, 4, 1 << SPI % 32)
    vcpu.write(GICD_BASE + arch.GICD_ICFGR + 8, 4, 0)
    vcpu.msr(arch.ICC_PMR_EL1, 0xF0)
    vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
    vcpu.exit()
    vm.inject(SPI)
    vcpu.enter()
    vcpu.msr(arch.ICC_EOIR1_EL1, vcpu.mrs(arch.ICC_IAR1_EL1))
    vcpu.exit()


def pending(vcpu: int, irq: int, level: int) -> Event:
    return {"event": "kvm:vgic_update_irq_pending", "vcpu_id": vcpu, "irq": irq, "level": level, "log_level": "debug"}


def line(inject: str, kind: int, vcpu_id: int, number: int, level: int) -> Event:
    fields = {"inject": inject, "type": kind, "vcpu_idx": vcpu_id, "irq_num": number, "level": level}
    return {"event": "kvm:kvm_irq_line", **fields, "log_level": "debug"}


TRACED: Final = {
    "an injection": Traced(inject_edge, [pending(0, SPI, 1)]),
    "an injection for a vCPU that changes nothing": Traced(lower_ppi, [pending(1, 27, 0)]),
    "an injection that then finds no interrupt": Traced(inject_beyond_the_last, [pending(0, 500, 1)]),
    "none for a private interrupt of nobody": Traced(inject_private_without_vcpu, []),
    "KVM_IRQ_LINE for an SPI, its level as given": Traced(
        line_spi, [line("VGIC SPI", 1, 0, SPI, 3), pending(0, SPI, 1)]
    ),
    "KVM_IRQ_LINE for a PPI": Traced(line_ppi, [line("VGIC PPI", 2, 1, 27, 1), pending(1, 27, 1)]),
    "KVM_IRQ_LINE for a CPU line, though refused": Traced(line_cpu, [line("CPU", 0, 1, 0, 1)]),
    "KVM_IRQ_LINE of no known type": Traced(line_of_no_type, [line("UNKNOWN", 9, 0, 7, 1)]),
    "the completion of a level SPI": Traced(
        complete_a_level_spi,
        [pending(0, SPI, 1), {"event": "kvm:kvm_ack_irq", "irqchip": 0, "pin": SPI - 32, "log_level": "debug"}],
    ),
}


@pytest.mark.parametrize("row", TRACED.values(), ids=TRACED)
def test_events(row: Traced) -> None:
    vm = Vgic.gicv3(2)
    with capture_logs() as events:
        vm.trace = StructlogTrace()
        row.act(vm)
    assert events == row.events


@pytest.mark.parametrize("row", TRACED.values(), ids=TRACED)
def test_nobody_listens_unless_asked(row: Traced) -> None:
    vm = Vgic.gicv3(2)
    assert vm.trace is None
    with capture_logs() as events:
        row.act(vm)
    assert events == []


def test_a_logger_of_the_embedder_is_used_as_it_is() -> None:
    vm = Vgic.gicv3(1)
    with capture_logs() as events:
        vm.trace = StructlogTrace(structlog.get_logger().bind(vm="first"))
        vm.inject(SPI)
    assert events == [{**pending(0, SPI, 1), "vm": "first"}]
