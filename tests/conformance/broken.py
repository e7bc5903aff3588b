"""What the tests of failing checks share: boards with something wrong, and the claim that a check notices.

Room:    under test_check_broken, _v2_broken, _its_broken and _migrate_broken.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest

from hw.arch import ICC_EOIR1_EL1, ICC_SGI1R_EL1, SGIR_IRM
from vgic.cli.check import run_checks
from vgic.cli.checks.board import Board
from vgic.cli.checks.guest import Load
from vgic.cli.checks.report import FAILED


class Broken(NamedTuple):
    """A board with one thing wrong, and the checks that have to notice."""

    board: Callable[[int, int, int], Board]
    checks: str


def each(rows: Mapping[str, Broken]) -> pytest.MarkDecorator:
    """One test for each row and each of its checks."""
    cases = {f"{name}: {what}": (row.board, name) for what, row in rows.items() for name in row.checks.split()}
    return pytest.mark.parametrize(("board", "name"), cases.values(), ids=cases)


def failing(board: Callable[[int, int, int], Board], name: str, gic: str = "v3", load: Load | None = None) -> str:
    """Run a check, which fails and says so; return its last line."""
    lines: list[str] = []
    assert run_checks([name], gic=gic, build=board, write=lines.append, load=load) == FAILED
    assert any(line.startswith(f"FAIL: gic{gic}: {name}: ") for line in lines)
    return lines[-1]


class KicksLost(Board):
    def kick(self, cpu: int) -> None:
        pass


class WriteIgnored(Board):
    """One system register ignores writes."""

    register: int

    def msr(self, cpu: int, register: int, value: int) -> bool:
        return register == self.register or super().msr(cpu, register, value)


class Eoir1Ignored(WriteIgnored):
    register = ICC_EOIR1_EL1


class SgiLosesIrm(Board):
    def msr(self, cpu: int, register: int, value: int) -> bool:
        return super().msr(cpu, register, value & ~SGIR_IRM if register == ICC_SGI1R_EL1 else value)


class LoadChanged(Board):
    """A load from some register gives something else."""

    def changed(self, gpa: int, value: int) -> int:
        return value

    def load(self, cpu: int, gpa: int, size: int) -> int:
        return self.changed(gpa, super().load(cpu, gpa, size))


class Stored(Board):
    """Registers that are memory: they give back what was stored."""

    first: int
    last: int

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        super().__init__(cpus, lrs, spis)
        self.memory: dict[int, int] = {}

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        if self.first <= gpa <= self.last:
            for n in range(size):
                self.memory[gpa + n] = value >> 8 * n & 0xFF
        return super().store(cpu, gpa, size, value)

    def load(self, cpu: int, gpa: int, size: int) -> int:
        value = super().load(cpu, gpa, size)
        return sum(self.memory.get(gpa + n, value >> 8 * n & 0xFF) << 8 * n for n in range(size))
