"""What a check found, in the words of kvm-unit-tests.

Room:    below every check; knows nothing of interrupts.
Owns:    the counts, and the prefix of the lines.
Holds:   `failures` and `skipped` are parts of `tests`.

    PASS: gicv3: ipi: self: Interrupts received
    INFO: gicv3: ipi: self: CPU 1: acknowledged nothing, expected 1
    SUMMARY: 3 tests, 1 unexpected failures

kvm-unit-tests: lib/report.c; the line of one check among several is run_tests.sh's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, final

PASSED: Final = 0
FAILED: Final = 1
SKIPPED: Final = 77
"""Exit status when nothing was tested, as Automake has it."""


@final
class Report:
    """Counts the tests of one check and writes a line for each."""

    __slots__ = ("_prefixes", "_write", "failures", "progress", "skipped", "tests")

    def __init__(
        self, write: Callable[[str], object], progress: Callable[[int, int], object] = lambda done, total: None
    ) -> None:
        """Start with no test; `write` is given each line, without its end.

        progress  told now and then how much of how much is done.
        """
        self._write = write
        self.progress = progress
        self._prefixes: list[str] = []
        self.tests = 0
        self.failures = 0
        self.skipped = 0

    @contextmanager
    def prefix(self, name: str) -> Iterator[None]:
        """Put `name` before the lines written inside: report_prefix_push()."""
        self._prefixes.append(name)
        try:
            yield
        finally:
            self._prefixes.pop()

    def expect(self, good: bool, what: str, found: str = "") -> None:
        """Count a test that passed if `good`; otherwise `found` says what was there instead."""
        self.tests += 1
        if good:
            self._line("PASS", what)
            return
        self.failures += 1
        self._line("FAIL", what)
        if found:
            self._line("INFO", found)

    def equal(self, found: object, wanted: object, what: str) -> None:
        """Count a test that passed if the two are equal."""
        self.expect(found == wanted, what, f"found {found}, expected {wanted}")

    def skip(self, why: str) -> None:
        """Count a test that cannot be made here."""
        self.tests += 1
        self.skipped += 1
        self._line("SKIP", why)

    def info(self, what: str) -> None:
        """Tell something that is no test."""
        self._line("INFO", what)

    def add(self, other: "Report") -> None:
        """Count the tests of `other` too."""
        self.tests += other.tests
        self.failures += other.failures
        self.skipped += other.skipped

    def counts(self) -> str:
        """Return what the summary says."""
        failures = f", {self.failures} unexpected failures" if self.failures else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.tests} tests{failures}{skipped}"

    def summary(self) -> str:
        """Return the last line: report_summary()."""
        return f"SUMMARY: {self.counts()}"

    def outcome(self, name: str) -> str:
        """Return one line for all of a check: `PASS ipi (3 tests)`."""
        return f"{_OUTCOMES[self.status()]} {name} ({self.counts()})"

    def status(self) -> int:
        """Return the exit status: everything was skipped, something failed, or neither."""
        if self.tests == self.skipped:
            return SKIPPED
        return FAILED if self.failures else PASSED

    def _line(self, kind: str, what: str) -> None:
        self._write(f"{kind}: {''.join(f'{name}: ' for name in self._prefixes)}{what}")


_OUTCOMES: Final = {PASSED: "PASS", FAILED: "FAIL", SKIPPED: "SKIP"}
