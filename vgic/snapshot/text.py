"""Snapshots for people: a summary, and what differs between two.

Room:    above records and forms; changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vgic.dump import kind
from vgic.snapshot.forms import Json, show
from vgic.snapshot.records import IrqRecord, VmRecord
from vgic.snapshot.schema import LEVEL, MODEL_NONE

_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "spis": ("intid",),
    "lpis": ("intid",),
    "interrupts": ("intid",),
    "collections": ("icid",),
    "devices": ("devid",),
    "events": ("eventid",),
    "cache": ("devid", "eventid"),
    "routes": ("gsi",),
}
"""What names the entries of a list, so that one more or less does not shift the others."""

_ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs: where, and how it looks in the older and in the newer snapshot."""

    where: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.where}: {self.old} -> {self.new}"


def differences(old: Json, new: Json, where: str = "") -> Iterator[Difference]:
    """Walk two trees together."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _members(old, new, where)
    elif isinstance(old, list) and isinstance(new, list) and _has_objects(old, new):
        keys = _KEYS.get(where.rpartition(".")[2])
        named_old, named_new = _named(old, keys), _named(new, keys)
        yield from _members(named_old, named_new, where, "[{}]")
        common = [name for name in named_old if name in named_new]
        order = [name for name in named_new if name in named_old]
        if common != order:
            yield Difference(f"{where}, in order", ", ".join(common), ", ".join(order))
    else:
        yield Difference(where, _brief(old), _brief(new))


def _members(old: dict[str, Json], new: dict[str, Json], where: str, step: str = ".{}") -> Iterator[Difference]:
    for name in [*old, *(name for name in new if name not in old)]:
        here = (where + step.format(name)).removeprefix(".")
        if name not in new:
            yield Difference(here, _brief(old[name]), _ABSENT)
        elif name not in old:
            yield Difference(here, _ABSENT, _brief(new[name]))
        else:
            yield from differences(old[name], new[name], here)


def _has_objects(old: list[Json], new: list[Json]) -> bool:
    return all(isinstance(each, dict) for each in (*old, *new))


def _named(entries: list[Json], keys: tuple[str, ...] | None) -> dict[str, Json]:
    named: dict[str, Json] = {}
    for n, entry in enumerate(entries):
        if keys is not None and isinstance(entry, dict):
            named[", ".join(f"{key} {entry[key]}" for key in keys)] = entry
        else:
            named[str(n)] = entry
    return named


def _brief(value: Json) -> str:
    return "an entry" if isinstance(value, dict) else show(value)


def summary(vm: VmRecord) -> str:
    """Return the VM in one line, its vCPUs and ITSs in one each, and each interrupt that is on its way in one."""
    dist = vm.distributor
    parts = [dist.model if dist.model != MODEL_NONE else "no interrupt controller"]
    parts += [_count(len(vm.vcpus), "vCPU"), _count(len(vm.spis), "SPI"), _count(len(vm.lpis), "LPI")]
    if vm.its:
        parts.append(_count(len(vm.its), "ITS", "ITSs"))
    parts.append("has run" if dist.ready else "initialised" if dist.initialized else "not initialised")
    parts.append(f"distributor {'enabled' if dist.enabled else 'disabled'}")
    lines = [", ".join(parts)]
    for n, vcpu in enumerate(vm.vcpus):
        cpu = vcpu.interface
        enabled = [group for group, on in (("0", cpu.group0), ("1", cpu.group1)) if on]
        facts = [f"id {vcpu.vcpu_id}", f"affinity {_dotted(vcpu.affinity)}", f"PMR {cpu.pmr:#04x}"]
        facts.append(f"groups enabled: {' '.join(enabled) or 'none'}")
        if vcpu.lpis_enabled:
            facts.append("LPIs enabled")
        facts.append(f"listed: {' '.join(map(str, vcpu.ap_list)) or 'none'}")
        lines.append(f"vCPU {n}: {', '.join(facts)}")
        lines += [_irq(irq) for irq in vcpu.interrupts if _on_its_way(irq)]
    for n, its in enumerate(vm.its):
        events = sum(len(device.events) for device in its.devices)
        lines.append(
            f"ITS {n}: {'enabled' if its.enabled else 'disabled'}, {_count(len(its.devices), 'device')},"
            f" {_count(events, 'event')}, {_count(len(its.collections), 'collection')},"
            f" {_count(len(its.cache), 'cached translation')}"
        )
    shared = [irq for irq in (*vm.spis, *vm.lpis) if _on_its_way(irq)]
    if shared:
        lines.append("shared:")
        lines += [_irq(irq) for irq in shared]
    return "\n".join(lines)


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _on_its_way(irq: IrqRecord) -> bool:
    return irq.pending_latch or irq.active or (irq.trigger == LEVEL and irq.line_level)


def _irq(irq: IrqRecord) -> str:
    state = [
        word
        for word, true in (
            ("latched", irq.pending_latch),
            ("line high", irq.trigger == LEVEL and irq.line_level),
            ("active", irq.active),
            ("disabled", not irq.enabled),
        )
        if true
    ]
    where = "nowhere" if irq.target is None else f"vCPU {irq.target}"
    mapped = "" if irq.mapped is None else f", on physical interrupt {irq.mapped.hwintid}"
    return (
        f"  {kind(irq.intid)} {irq.intid}: {', '.join(state)}; {irq.trigger}, priority {irq.priority:#04x},"
        f" group {irq.group}, to {where}{mapped}"
    )


def _dotted(aff: int) -> str:
    return ".".join(str(aff >> shift & 0xFF) for shift in (24, 16, 8, 0))
