"""PSCI and the SMC calling convention, as the guest's HVC and SMC reach them.

Room:    beside the vCPUs, whose power it switches.
Source:  DEN 0022, DEN 0028; KVM: kvm_psci_call().
"""

from typing import TYPE_CHECKING, Final, final

from vmm.guestcpu import GuestCpu, Power
from vmm.outcome import End

if TYPE_CHECKING:
    from vmm.machine import Machine

_VERSION: Final = 0x8400_0000
_CPU_SUSPEND: Final = 0x8400_0001
_CPU_OFF: Final = 0x8400_0002
_CPU_ON: Final = 0x8400_0003
_AFFINITY_INFO: Final = 0x8400_0004
_MIGRATE_INFO_TYPE: Final = 0x8400_0006
_SYSTEM_OFF: Final = 0x8400_0008
_SYSTEM_RESET: Final = 0x8400_0009
_FEATURES: Final = 0x8400_000A
_SMCCC_VERSION: Final = 0x8000_0000
_SMC64: Final = 0x4000_0000
_HAS_SMC64: Final = frozenset((_CPU_SUSPEND, _CPU_ON, _AFFINITY_INFO))
_FUNCTIONS: Final = frozenset(
    (
        *(_VERSION, _CPU_SUSPEND, _CPU_OFF, _CPU_ON, _AFFINITY_INFO, _MIGRATE_INFO_TYPE, _SYSTEM_OFF, _SYSTEM_RESET),
        *(_FEATURES, _SMCCC_VERSION),
    )
)

_PSCI_1_1: Final = 0x1_0001
_SMCCC_1_1: Final = 0x1_0001
_NO_MIGRATION: Final = 2
_AFFINITY_BITS: Final = 0xFF_00FF_FFFF

SUCCESS: Final = 0
NOT_SUPPORTED: Final = -1
INVALID_PARAMETERS: Final = -2
ALREADY_ON: Final = -4
INVALID_ADDRESS: Final = -9

AFFINITY_ON, AFFINITY_OFF = 0, 1


@final
class Psci:
    """The power controller of one machine."""

    __slots__ = ("_machine",)

    def __init__(self, machine: "Machine") -> None:
        """Control `machine`."""
        self._machine = machine

    def call(self, cpu: GuestCpu) -> None:
        """Answer the call in W0, with arguments from X1."""
        engine = cpu.engine
        called = engine.x(0) & 0xFFFF_FFFF
        wide = bool(called & _SMC64)
        function = called & ~_SMC64
        if function not in _FUNCTIONS or (wide and function not in _HAS_SMC64):
            engine.set_x(0, NOT_SUPPORTED & 0xFFFF_FFFF_FFFF_FFFF)
            return
        mask = 0xFFFF_FFFF_FFFF_FFFF if wide else 0xFFFF_FFFF
        result = self._run(cpu, function, [engine.x(n) & mask for n in (1, 2, 3)])
        if cpu.power is not Power.OFF:
            engine.set_x(0, result & 0xFFFF_FFFF_FFFF_FFFF)

    def _run(self, cpu: GuestCpu, function: int, arguments: list[int]) -> int:
        if function == _VERSION:
            return _PSCI_1_1
        if function == _SMCCC_VERSION:
            return _SMCCC_1_1
        if function == _MIGRATE_INFO_TYPE:
            return _NO_MIGRATION
        if function == _FEATURES:
            wanted = arguments[0]
            known = wanted in _FUNCTIONS or (wanted & _SMC64 and wanted & ~_SMC64 in _HAS_SMC64)
            return SUCCESS if known else NOT_SUPPORTED
        if function == _CPU_ON:
            return self._cpu_on(*arguments)
        if function == _AFFINITY_INFO:
            return self._affinity_info(arguments[0], arguments[1])
        if function == _CPU_SUSPEND:
            cpu.wants_wfi = True
        elif function == _CPU_OFF:
            cpu.power = Power.OFF
        else:
            self._machine.finish(End.POWERED_OFF if function == _SYSTEM_OFF else End.RESET)
        cpu.engine.stop()
        return SUCCESS

    def _cpu_on(self, mpidr: int, entry: int, context: int) -> int:
        machine = self._machine
        target = machine.cpu_at(mpidr) if not mpidr & ~_AFFINITY_BITS else None
        if target is None:
            return INVALID_PARAMETERS
        if target.power is not Power.OFF:
            return ALREADY_ON
        if not machine.ram.visible(entry):
            return INVALID_ADDRESS
        target.power_on(entry, context)
        return SUCCESS

    def _affinity_info(self, mpidr: int, level: int) -> int:
        if level > 3 or mpidr & ~_AFFINITY_BITS:
            return INVALID_PARAMETERS
        ignored = (0, 0xFF, 0xFFFF, 0xFF_FFFF)[level]
        low = mpidr & _AFFINITY_BITS
        matching = [cpu for cpu in self._machine.cpus if (cpu.affinity ^ low) & ~ignored == 0]
        if not matching:
            return INVALID_PARAMETERS
        return AFFINITY_OFF if all(cpu.power is Power.OFF for cpu in matching) else AFFINITY_ON
