"""What happened during a run, for readers and for programs.

Room:    below the commands.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from hw import GicVersion
from vmm.cli.session import Result
from vmm.clock import FREQUENCY
from vmm.configjson import as_json
from vmm.machine import Machine
from vmm.outcome import End, Outcome

Json: TypeAlias = "bool | int | float | str | Mapping[str, Json] | Sequence[Json] | None"

_WORDS: Final = {
    End.POWERED_OFF: "the guest powered off",
    End.RESET: "the guest asked for a reset",
    End.DEADLOCK: "deadlock: every vCPU waits and nothing will ever come",
    End.ALL_OFF: "every vCPU is off",
    End.BUDGET: "the budget is used up",
    End.TRIPLE_FAULT: "the guest faults at its own exception vector",
    End.ENGINE: "the engine cannot go on",
    End.MARK: "the mark was printed",
    End.TIMEOUT: "timed out",
    End.INTERRUPTED: "interrupted",
}


def in_words(outcome: Outcome) -> str:
    """Say how a run ended."""
    text = _WORDS[outcome.end]
    if outcome.end is End.POWERED_OFF and outcome.status is not None:
        text += f" with status {outcome.status}"
    return f"{text}: {outcome.detail}" if outcome.detail else text


def measure(result: Result) -> dict[str, Json]:
    """Return everything that is known about a run that ended."""
    machine, outcome, counts = result.machine, result.outcome, result.machine.counts
    seconds = result.wall_seconds
    return {
        "end": outcome.end.name,
        "detail": outcome.detail,
        "status": outcome.status,
        "exit_status": outcome.exit_status,
        "instructions": counts.instructions,
        "wall_seconds": round(seconds, 6),
        "mips": round(result.instructions / seconds / 1e6, 3) if seconds else 0.0,
        "guest_seconds": machine.clock.now() / FREQUENCY,
        "entries": counts.slices,
        "exits": _exits(machine),
        "mmio": dict(counts.frames),
        "interrupts": {"SGI": counts.sgis, "PPI": counts.ppis, "SPI": counts.spis, "LPI": counts.lpis},
        "kicks": counts.kicks,
        "kicks_of_running": counts.forced,
        "delays": {"count": counts.delayed, "ticks": counts.delay, "longest": counts.longest_delay},
        "gic": _traffic(machine),
        "events": {"count": machine.events.total, "hash": machine.events.digest()},
        "console": {"bytes": result.console.count, "hash": result.console.digest()},
        "warnings": dict(machine.warnings),
        "config": as_json(machine.config),
    }


def table(result: Result) -> str:
    """Return the same in a few lines."""
    machine, counts = result.machine, result.machine.counts
    seconds = result.wall_seconds
    mips = result.instructions / seconds / 1e6 if seconds else 0.0
    before = counts.instructions - result.instructions
    since = f" after {before:,} before" if before else ""
    gic = _traffic(machine)
    rows = {
        "instructions": f"{result.instructions:,}{since} in {seconds:.2f} s: {mips:.1f} MIPS; "
        f"{machine.clock.now() / FREQUENCY:.3f} s for the guest",
        "entries": f"{counts.slices:,}, {counts.kicks:,} kicks, {counts.forced:,} of them of running vCPUs",
        "exits": _listed(_exits(machine)),
        "MMIO": _listed(counts.frames),
        "interrupts": _listed({"SGI": counts.sgis, "PPI": counts.ppis, "SPI": counts.spis, "LPI": counts.lpis}),
        "list registers": f"{gic['lr_writes']:,} written, {gic['lr_reads']:,} read in {gic['entries']:,} entries",
    }
    if machine.config.gic_version is not GicVersion.V3:
        rows["direct injection"] = (
            f"{gic['direct_acks']:,} interrupts, {gic['doorbells']:,} doorbells, {gic['residencies']:,} residencies"
        )
    if counts.delayed:
        average = counts.delay / counts.delayed
        rows["delays"] = f"{counts.delayed:,} of {average:,.0f} ticks, the longest {counts.longest_delay:,}"
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "none"


def _exits(machine: Machine) -> dict[str, int]:
    """Return how often a guest left its core, by cause."""
    counts = machine.counts
    return {
        "MMIO": sum(counts.frames.values()),
        "ICC register": counts.icc_accesses,
        "timer register": counts.timer_accesses,
        "system register": counts.sysreg_traps,
        "hypercall": counts.hypercalls,
        "WFI": counts.waits,
        "exception": counts.exceptions,
    }


def _traffic(machine: Machine) -> dict[str, int]:
    """Return what the VGIC did to the host's GIC, all physical CPUs together."""
    total: Counter[str] = Counter()
    for pe in machine.gic.vm.host.machine.pes:
        total.update(pe.cost.as_dict())
    return dict(total)
