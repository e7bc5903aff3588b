"""What was measured, for one delivered interrupt: the columns, as a table and as JSON.

Room:    above the workloads' outcome.
Never:   counts anything: the hardware did.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from vgic.cli.comparison.workloads import WORKLOADS, Measured
from vgic.cli.figures import Figures, exits, hypervisor_entries, registers
from vgic.cli.machines.kinds import KINDS


class Column(NamedTuple):
    """A column: its heading, and its name in JSON."""

    heading: str
    name: str


COLUMNS: Final = (
    Column("hyp. entries", "hypervisor_entries"),
    Column("exits", "exits"),
    Column("trap", "exits_trap"),
    Column("irq", "exits_irq"),
    Column("wfi", "exits_wfi"),
    Column("host irqs", "host_irqs"),
    Column("LR writes", "lr_writes"),
    Column("registers", "registers"),
    Column("commands", "its_commands"),
    Column("doorbells", "doorbells"),
    Column("tables", "table_accesses"),
    Column("cycles", "cycles"),
)
CYCLES: Final = "cycles"


def totals(measured: Measured, figures: Figures) -> dict[str, int]:
    """Return each column's total."""
    account = measured.account
    pes, gic = account.pes, account.gic
    return {
        "hypervisor_entries": hypervisor_entries(account),
        "exits": exits(account),
        "exits_trap": pes.exits_mmio + pes.exits_sysreg,
        "exits_irq": pes.exits_irq,
        "exits_wfi": pes.exits_wfi,
        "host_irqs": pes.phys_acks,
        "lr_writes": pes.lr_writes,
        "registers": registers(account),
        "its_commands": gic.commands,
        "doorbells": gic.default_doorbells + gic.individual_doorbells,
        "table_accesses": gic.table_reads + gic.table_writes,
        CYCLES: figures.cycles(account, measured.delivered),
    }


def per_interrupt(measured: Measured, figures: Figures) -> dict[str, float]:
    """Return each column for one delivered interrupt."""
    return {name: total / measured.delivered for name, total in totals(measured, figures).items()}


def as_table(results: Sequence[Measured], figures: Figures) -> str:
    """Return the table, with a line for each workload and machine."""
    lines: list[list[str]] = [["", *(column.heading for column in COLUMNS)]]
    for measured in results:
        values = per_interrupt(measured, figures)
        shown = [f"{values[c.name]:.0f}" if c.name == CYCLES else _short(values[c.name]) for c in COLUMNS]
        lines.append([f"  {KINDS[measured.kind].name}", *shown])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    text = [_line(lines[0], widths)]
    workload = ""
    for measured, line in zip(results, lines[1:], strict=True):
        if measured.workload != workload:
            workload = measured.workload
            text.append(f"{workload}: {WORKLOADS[workload].what}")
        text.append(_line(line, widths))
    assumed = ", ".join(f"{name} {cycles}" for name, cycles in figures.as_dict().items())
    text += [
        "",
        "All for one delivered interrupt.  Cycles are assumptions (--cycles NAME=N changes one):",
        f"  {assumed}",
    ]
    return "\n".join(text)


def as_json(results: Sequence[Measured], figures: Figures) -> str:
    """Return everything as one JSON object; the totals, and every counter of the hardware, are there too."""
    rows = [
        {
            "workload": measured.workload,
            "machine": KINDS[measured.kind].name,
            "delivered": measured.delivered,
            "per_interrupt": per_interrupt(measured, figures),
            "totals": totals(measured, figures),
            "counters": measured.account.as_dict(),
        }
        for measured in results
    ]
    return json.dumps({"assumed_cycles": figures.as_dict(), "rows": rows}, indent=1)


def _short(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return text or "0"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([cells[0].ljust(len(first)), *others])
