"""The whole state for reading: KVM's debugfs file `vgic-state`, and the same facts for tools.

Room:    beside device and guest, above the state; vm hands it out.
Never:   changes anything, looks at hardware, folds a running vCPU: what its list registers hold is not shown.
Holds:   the text is made from the other form, so the two cannot disagree.

KVM: vgic-debug.c, print_dist_state() and print_irq_state().
"""

from typing import Final, TypedDict

from vgic.dist import Dist
from vgic.ids import MAX_SPI, NR_PRIVATE, NR_SGIS, V3
from vgic.irq import Irq
from vgic.vcpu import IN_GUEST, LEAVING, LOADED, PUT, TRAPPED, VcpuGic


class IrqState(TypedDict):
    """One interrupt's record; vCPUs are named by index."""

    type: str  # SGI, PPI, SPI or LPI
    intid: int
    target: int | None  # the vCPU it is delivered to when pending; None: an affinity nobody has
    pending_latch: bool
    line_level: bool
    active: bool
    enabled: bool
    hw: bool  # tied to the physical interrupt `hwintid`
    trigger: str  # "level" or "edge"
    group: int
    hwintid: int
    route: int  # GICv3: IROUTER's affinity; GICv2: the ITARGETSR byte
    source: int  # GICv2 SGI: bitmap of requesting vCPUs
    priority: int
    queued_on: int | None  # the vCPU whose ap_list holds it


class VcpuState(TypedDict):
    """One vCPU: its private interrupts, and the order of its ap_list."""

    index: int
    vcpu_id: int
    affinity: int  # Aff3.Aff2.Aff1.Aff0
    mode: str  # "put", "loaded", "in guest" or "trapped"
    ap_list: list[int]  # INTIDs, first to last
    interrupts: list[IrqState]


class DistState(TypedDict):
    """The distributor's own state."""

    model: str  # "GICv3", "GICv2", or "none" before there is a VGIC
    initialized: bool
    nr_spis: int
    nr_lpis: int | None  # None: the model has no LPIs
    enabled: bool


class VgicState(TypedDict):
    """Everything: what `state_json` returns.  Before init there are no vCPUs and no SPIs in it."""

    distributor: DistState
    vcpus: list[VcpuState]
    spis: list[IrqState]
    lpis: list[IrqState]


MODES: Final = {PUT: "put", LOADED: "loaded", IN_GUEST: "in guest", TRAPPED: "trapped", LEAVING: "leaving"}
"""What a vCPU's mode is called in words."""

_LEGEND: Final = """
P=pending_latch, L=line_level, A=active
E=enabled, H=hw, C=config (level=1, edge=0)
G=group
"""
_COLUMNS: Final = " TYP   ID TGT_ID PLAEHCG     HWID   TARGET SRC PRI VCPU_ID\n" + "-" * 64 + "\n"


def kind(intid: int) -> str:
    """Return what KVM's file calls the interrupt: SGI, PPI, SPI or LPI."""
    if intid < NR_SGIS:
        return "SGI"
    if intid < NR_PRIVATE:
        return "PPI"
    return "SPI" if intid < MAX_SPI else "LPI"


def state_json(dist: Dist) -> VgicState:
    """Return the state as plain dictionaries, lists, strings, numbers and None, ready for `json.dumps`."""
    live = dist.initialized
    return {
        "distributor": {
            "model": "none" if dist.model is None else "GICv3" if dist.model is V3 else "GICv2",
            "initialized": live,
            "nr_spis": dist.nr_spis,
            "nr_lpis": len(dist.lpis) if dist.model is V3 else None,
            "enabled": dist.enabled,
        },
        "vcpus": [_vcpu_state(vcpu) for vcpu in dist.vcpus] if live else [],
        "spis": [_irq_state(irq) for irq in dist.spis] if live else [],
        "lpis": [_irq_state(irq) for irq in dist.lpis.ascending()] if live else [],
    }


def _vcpu_state(vcpu: VcpuGic) -> VcpuState:
    return {
        "index": vcpu.index,
        "vcpu_id": vcpu.vcpu_id,
        "affinity": vcpu.mpidr,
        "mode": MODES[vcpu.mode],
        "ap_list": [irq.intid for irq in vcpu.ap_list],
        "interrupts": [_irq_state(irq) for irq in vcpu.private],
    }


def _irq_state(irq: Irq) -> IrqState:
    return {
        "type": kind(irq.intid),
        "intid": irq.intid,
        "target": _index(irq.target),
        "pending_latch": irq.pending_latch or _is_pending_sgi(irq),
        "line_level": irq.line_level,
        "active": irq.active,
        "enabled": irq.enabled,
        "hw": irq.hw or irq.direct is not None,
        "trigger": "level" if irq.level else "edge",
        "group": irq.group,
        "hwintid": irq.hwintid,
        "route": irq.route,
        "source": irq.source,
        "priority": irq.priority,
        "queued_on": _index(irq.queued_on),
    }


def _is_pending_sgi(irq: Irq) -> bool:
    """Ask hardware about a direct SGI, as KVM does; about a direct LPI nobody can."""
    return irq.direct is not None and irq.intid < NR_SGIS and irq.direct.is_pending()


def _index(vcpu: VcpuGic | None) -> int | None:
    return None if vcpu is None else vcpu.index


def state_text(dist: Dist) -> str:
    """Return KVM's debugfs file `vgic-state`, byte for byte: vgic_debug_show().

    Before init, the distributor's block alone; without vCPUs, that and the SPIs.
    """
    state = state_json(dist)
    parts = [_dist_text(state["distributor"])]
    for vcpu in state["vcpus"]:
        parts.append(f"\nVCPU{vcpu['index']:2}{_COLUMNS}")
        parts.extend(map(_irq_text, vcpu["interrupts"]))
    if state["spis"]:
        parts.append(f"\nSPI {0:2}{_COLUMNS}")
        parts.extend(map(_irq_text, state["spis"]))
    parts.extend(map(_irq_text, state["lpis"]))
    return "".join(parts)


def _dist_text(dist: DistState) -> str:
    lpis = "" if dist["nr_lpis"] is None else f"nr_lpis:\t{dist['nr_lpis']}\n"
    return (
        "Distributor\n===========\n"
        f"vgic_model:\t{dist['model']}\nnr_spis:\t{dist['nr_spis']}\n{lpis}enabled:\t{dist['enabled']:d}\n{_LEGEND}"
    )


def _irq_text(irq: IrqState) -> str:
    flags = (
        f"{irq['pending_latch']:d}{irq['line_level']:d}{irq['active']:d}{irq['enabled']:d}"
        f"{irq['hw']:d}{irq['trigger'] == 'level':d}{irq['group']}"
    )
    target = -1 if irq["target"] is None else irq["target"]
    queued_on = -1 if irq["queued_on"] is None else irq["queued_on"]
    return (
        f"       {irq['type']} {irq['intid']:4}     {target:2} {flags} {irq['hwintid']:8} {irq['route']:8x}"
        f"  {irq['source']:2x} {irq['priority']:3}      {queued_on:2} \n"
    )
