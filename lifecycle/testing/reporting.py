"""
What stands behind pytest's option ``--lifecycle-coverage``: it collects what tests report, and judges it at the end.

With pytest-xdist each worker collects for itself and hands the sum over.  The one module here that needs pytest.
"""

from collections.abc import Iterable
from typing import Any

import pytest

import lifecycle as lc
from lifecycle.testing.covering import Covered, covered

_KEY = "lifecycle_coverage"
"""Under which a worker hands its sum over."""


class CoveragePlugin:
    """One run of pytest."""

    def __init__(self, percent: float, profile: str) -> None:
        if not 0 <= percent <= 100:
            raise pytest.UsageError(f"--lifecycle-coverage: expected 0 to 100, got {percent:g}")
        self.percent = percent
        self.has_run = False
        self.workers_lost = 0
        self.found = covered([], profile={"laws": lc.LAWS, "hosted": lc.HOSTED}[profile])

    def add(self, streams: Iterable[lc.Record] | Iterable[Iterable[lc.Event] | Iterable[lc.Record]]) -> None:
        """What the fixture is."""
        self.found |= covered(streams, profile=self.found.profile)

    def pytest_runtest_logstart(self) -> None:
        """A test begins; where none does, as in ``--collect-only``, there is nothing to judge."""
        self.has_run = True

    @property
    def is_enough(self) -> bool:
        """Whether the threshold is reached."""
        return self.found.percent >= self.percent

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker hands over what it has; else a run that was fine so far fails under the threshold."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = _portable(self.found)
        elif self.has_run and not self.is_enough and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker has; one that died has handed nothing over."""
        output = getattr(node, "workeroutput", None)
        if output is None:
            self.workers_lost += 1
            return
        arrows, at_stake, broken = output[_KEY]
        taken = {(str(before), tag) for before, tag in arrows}
        self.found |= Covered(
            self.found.profile,
            frozenset(arrow for arrow in lc.TRANSITIONS if (str(arrow[0]), arrow[1]) in taken),
            frozenset(at_stake),
            frozenset(broken),
        )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the table, and whether it is enough; nothing if nothing ran."""
        if not self.has_run:
            return
        terminalreporter.section("lifecycle coverage")
        terminalreporter.line(str(self.found))
        if self.workers_lost:
            terminalreporter.line(
                f"Workers of pytest-xdist that died: {self.workers_lost}; what their tests exercised is not counted.",
                yellow=True,
            )
        asked = f"the {self.percent:g} % that --lifecycle-coverage asks for"
        if self.is_enough:
            terminalreporter.line(f"{asked[0].upper()}{asked[1:]} are reached.", green=True)
        else:
            terminalreporter.line(
                f"FAILED: {self.found.percent_text} is below {asked}; add streams with what is MISSING.", red=True
            )


def _portable(found: Covered) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """What a worker can send: builtins only."""
    arrows = sorted((str(before), tag) for before, tag in found.arrows)
    return arrows, sorted(found.at_stake), sorted(found.broken)
