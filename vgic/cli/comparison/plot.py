"""The comparison as a picture, drawn with matplotlib if that is installed: the extra `plot`.

Room:    beside rows; the only module that imports matplotlib, and only when a picture is asked for.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from vgic.cli.comparison.rows import per_interrupt
from vgic.cli.comparison.workloads import Measured
from vgic.cli.figures import Figures
from vgic.cli.machines.kinds import KINDS

SUFFIXES: Final = (".svg", ".png")
PANELS: Final = (("hypervisor_entries", "hypervisor entries"), ("cycles", "cycles, as assumed"))

_COLORS: Final = {"2": "#9e9e9e", "3": "#5b8db8", "4": "#e0913c", "4.1": "#4c9a5b"}


def is_available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(results: Sequence[Measured], figures: Figures, path: Path) -> None:
    """Write the picture: for each workload a group of bars, for each machine a bar.  Errors: OSError."""
    # Any: matplotlib is optional, so its types may not be there to check against
    figure_module: Any = importlib.import_module("matplotlib.figure")
    workloads = list(dict.fromkeys(measured.workload for measured in results))
    kinds = list(dict.fromkeys(measured.kind for measured in results))
    values = {(m.workload, m.kind): per_interrupt(m, figures) for m in results}
    figure = figure_module.Figure(figsize=(2 + 1.2 * len(workloads), 7), layout="constrained")
    width = 0.8 / len(kinds)
    for axes, (column, title) in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
        for n, kind in enumerate(kinds):
            at = [group + (n - (len(kinds) - 1) / 2) * width for group in range(len(workloads))]
            heights = [values[workload, kind][column] for workload in workloads]
            axes.bar(at, heights, width, label=KINDS[kind].name, color=_COLORS[kind])
        axes.set_title(f"{title}, for one delivered interrupt", loc="left", fontsize=10)
        axes.set_xticks(range(len(workloads)), workloads, rotation=20, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=len(kinds), frameon=False)
    figure.savefig(path)
