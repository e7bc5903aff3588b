"""What must hold of a VM with direct injection after every step, whatever was done: P01 to P20 of its specification.

Room:    beside v4_walk; looks at both sides of the registers.
"""

from typing import Final, cast, final

from hw import ItsConfig, Machine, Tracer
from hw import arch4 as a
from hw.arch import FIRST_LPI
from hw.vlpi41 import Vlpi41
from tests.unit.vgic.v4.rig import CommandLog
from vgic.v4.forward import Vlpi
from vgic.v4.hostdev import HostMsi
from vgic.v4.vm import ItsVm
from vgic.v4.vpe import Vpe
from vgic.v4.vsgi import Vsgi
from vgic.vcpu import PUT, VcpuGic

ALLOWED: Final = {"M-35"}
_VIRTUAL: Final = {"VMAPTI", "VMAPI", "VMOVI", "VMOVP", "VINVALL", "INVDB", "VSGI"}
NR_SGIS: Final = 16


@final
class Watch(Tracer):
    """The commands that one machine is sent, and the doorbells between residencies."""

    def __init__(self, machine: Machine, configs: list[ItsConfig]) -> None:
        self.machine = machine
        self.log = CommandLog(machine)
        self.listed = not all(config.vmovp for config in configs)
        self.sequences: list[list[int]] = [[] for _ in machine.itss]
        self.rung: set[int] = set()  # vPEs whose default doorbell rang since they were mapped, or resident
        machine.trace = self

    def event(self, name: str, *fields: object) -> None:
        """P09."""
        if name == "resid" and fields[3] == "scanning":
            self.rung.discard(cast(int, fields[1]))
        elif name == "its_cmd":
            words = cast(tuple[int, ...], fields[2])
            if words[0] & 0xFF == a.VMAPP:
                self.rung.discard(words[1] >> 32)
        elif name == "doorbell" and fields[1] == "default":
            assert fields[0] not in self.rung, f"P09: vPE {fields[0]} rings twice"
            self.rung.add(cast(int, fields[0]))

    def commands(self, v41: bool) -> None:
        """P15, P16, P18."""
        for its in self.machine.itss:
            words = self.log.words(its.number)
            names = [a.COMMAND_NAMES[each[0] & 0xFF] for each in words]
            for n, (name, each) in enumerate(zip(names, words, strict=True)):
                unmaps = name == "VMAPP" and not each[2] >> 63
                if name in _VIRTUAL or (name == "VMAPP" and not unmaps):
                    assert names[n + 1] == "VSYNC", f"P15: {name} without VSYNC"
                    assert words[n + 1][1] >> 32 == each[1] >> 32, "P15: another vPE's"
                if unmaps:
                    assert names[n + 1 : n + 2] != ["VSYNC"], "P15: a VSYNC after the unmapping"
                if name == "VMAPP" and v41:
                    assert not each[0] & a.VMAPP_PTZ, "P16"
                if name == "VMOVP" and self.listed:
                    self.sequences[its.number].append(each[0] >> 32)
            assert not its.errors, f"ITS {its.number}: {its.errors}"
        if self.listed and v41:
            assert all(seen == self.sequences[0] for seen in self.sequences), "P18"


def check(vm: ItsVm, vcpus: tuple[VcpuGic, ...], msis: list[HostMsi], watch: Watch) -> None:
    """Raise AssertionError for the first that does not hold."""
    machine = watch.machine
    machine.check()
    vm.check()
    records = [record for record in machine.misuse.records if record.code not in ALLOWED]
    assert not records, f"P04: {records}"
    watch.commands(vm.gic.has_v4_1)
    counts = [0] * len(vcpus)
    for irq in vcpus[0].dist.lpis.ascending():
        direct = irq.direct
        if isinstance(direct, Vlpi):
            assert not irq.pending_latch, "P05"
            assert direct.vpe.vcpu is irq.target, "a vLPI goes elsewhere than its LPI"
            counts[direct.vpe.vcpu.index] += 1
            assert machine.memory.read(vm.vct + irq.intid - FIRST_LPI, 1) == direct.byte, "P13"
            assert direct.byte & 1 == irq.enabled, "P13"
            assert direct.byte & 0xFC == irq.priority, "P13"
    assert counts == [vpe.vlpis for vpe in vm.vpes], "P10"
    for msi in msis:
        ite = machine.itss[msi.device.its.number].find(msi.device.devid, msi.eventid)
        assert ite is not None, "a vector is unmapped"
        assert ite.virtual == (msi.direct is not None), "P17"
    for vpe in vm.vpes:
        _vpe(vpe, watch)


def _vpe(vpe: Vpe, watch: Watch) -> None:
    vcpu, machine = vpe.vcpu, watch.machine
    assert vpe.resident == (vcpu.mode != PUT), f"P01, P02: vPE {vpe.vpeid}"
    key = vpe.vpeid if vpe.gic.has_v4_1 else vpe.vpt
    for pe in machine.pes:
        frame = getattr(pe.redist, "vlpi", None)
        assert frame is not None
        mine = frame.valid and frame.key == key
        assert mine == (vpe.resident and pe is vcpu.pe), f"P01: vPE {vpe.vpeid} on CPU {pe.index}"
        if mine and isinstance(frame, Vlpi41):
            assert frame.enables == (2 if vcpu.dist.enabled else 0), "P22"
    if vpe.resident and vpe.maps:
        assert vpe.cpu == vcpu.pe.index, "P03"
    mapped = [its.number for its in machine.itss if vpe.vpeid in its.vpes]
    assert vpe.maps == sum(1 << number for number in mapped), "P11"
    if vpe.gic.eager:
        assert len(mapped) == len(vpe.gic.v4_itss), "P11"
    _doorbell(vpe, watch, key)
    for irq in vcpu.private[:NR_SGIS]:
        assert isinstance(irq.direct, Vsgi) == vcpu.dist.nassgireq, "SGIs are not as the guest wants them"
        if irq.direct is not None:
            assert not irq.pending_latch, "P05"
            assert not irq.active
            byte = machine.vpes.by_key[vpe.vpeid].config[irq.intid]
            assert byte == irq.priority & 0xF0 | irq.group << 1 | irq.enabled, f"P14: SGI {irq.intid}"


def _doorbell(vpe: Vpe, watch: Watch, key: int) -> None:
    """P08."""
    unit = watch.machine.vpes.by_key.get(key)
    if vpe.in_wfi and unit is not None and (unit.ready0 or unit.ready1):
        assert vpe.pending_last, f"P08: vPE {vpe.vpeid} sleeps with something pending"
