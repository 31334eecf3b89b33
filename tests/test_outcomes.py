"""outcome, deadlines, progress: total answers, held to a table that was worked out without the package."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from tests import outcome_table
from tests.lives import CREATED, DAY, HOUR, LIFE, T
from tests.strategies import batches
from tests.test_observing import BOTH

PAGE = Path(__file__).resolve().parents[1] / "specs" / "outcomes.md"
KINDS = lc.OutcomeKind


def ended(*counts: int) -> lc.MessageBatch:
    """An ended batch with five counts."""
    return lc.MessageBatch("b", lc.ProcessingStatus.ENDED, lc.RequestCounts(*counts), T, T + DAY, ended_at=T + HOUR)


class TestTheTable:
    """The outcomes of all states of four requests, as the page shows them."""

    def test_it_is_what_a_script_without_the_package_says(self) -> None:
        [shown] = re.findall(r"<!-- printed: states of four -->\n(.*?)\n<!-- /printed -->", PAGE.read_text(), re.DOTALL)
        assert shown == outcome_table.table()
        # 70 ways in which four requests lie in five counts, 35 of them with none in processing.
        assert shown.count("pending") == 2 * 70
        assert len(re.findall(r"partial|failed|succeeded \||errored \||canceled \||expired \|", shown)) >= 3 * 35

    def test_the_script_imports_nothing_of_the_package(self) -> None:
        tree = ast.parse(Path(outcome_table.__file__).read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert [ast.unparse(node) for node in imports] == ["from itertools import product"]

    @pytest.mark.parametrize("phase", lc.Phase)
    def test_the_package_says_the_same_of_every_state(self, phase: lc.Phase) -> None:
        running = phase in {lc.Phase.IN_PROGRESS, lc.Phase.CANCELING}
        asked = 0
        for row in outcome_table.table().splitlines()[2:]:
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            expected = cells[5 + list(lc.Phase).index(phase)]
            if expected == "–":  # noqa: RUF001 -- the project's sign for nothing
                continue
            batch = attrs.evolve(
                ended(*map(int, cells[:5])),
                processing_status=lc.ProcessingStatus(phase) if running else lc.ProcessingStatus.ENDED,
                ended_at=None if running else T + HOUR,
                cancel_initiated_at=T if phase is lc.Phase.CANCELING else None,
                archived_at=T + 30 * DAY if phase is lc.Phase.ARCHIVED else None,
                deleted_at=T + 30 * DAY if phase is lc.Phase.DELETED else None,
            )
            assert (batch.phase, lc.check(batch)) == (phase, ())
            assert lc.outcome(batch) == lc.Outcome(KINDS(expected), results_available=phase is lc.Phase.ENDED)
            asked += 1
        assert asked == (70 if running else 35)


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        (lc.fold(LIFE[:1]), KINDS.PENDING),
        (lc.fold(LIFE[:3]), KINDS.PENDING),
        (ended(0, 3), KINDS.SUCCEEDED),
        (ended(0, 0, 3), KINDS.ERRORED),
        (ended(0, 0, 0, 3), KINDS.CANCELED),
        (ended(0, 0, 0, 0, 3), KINDS.EXPIRED),
        (ended(0, 5, 0, 15), KINDS.PARTIAL),
        (ended(0, 1, 1, 1, 1), KINDS.PARTIAL),
        (ended(0, 0, 1, 1), KINDS.FAILED),
        (ended(0), KINDS.EMPTY),
        # Broken ones (B5, B1) get an answer, too: what is left in processing did not succeed.
        (ended(1, 3), KINDS.PARTIAL),
        (ended(3), KINDS.FAILED),
        (ended(1, 0, 3), KINDS.FAILED),
        (ended(0, 3, -1), KINDS.SUCCEEDED),
        (ended(-1, -1, -1, -1, -1), KINDS.EMPTY),
    ],
)
def test_each_batch_has_its_outcome(batch: lc.MessageBatch, kind: lc.OutcomeKind) -> None:
    found = lc.outcome(batch)
    assert (found.kind, str(found)) == (kind, kind.value)


def test_a_cancellation_decides_nothing() -> None:
    """B6: "cancellation may not result in any canceled requests"."""
    assert lc.outcome(attrs.evolve(ended(0, 4), cancel_initiated_at=T)).kind is KINDS.SUCCEEDED


@pytest.mark.parametrize(("length", "available"), [(1, False), (3, False), (4, True), (5, False), (6, False)])
def test_results_are_available_from_the_end_until_archived_or_deleted(length: int, available: bool) -> None:
    found = lc.outcome(lc.fold(LIFE[:length]))
    assert found.results_available is available
    assert (found.kind is KINDS.PENDING) is (length < 4)


def test_errored_requests_go_again_as_reconcile_says_wherever_there_are_some() -> None:
    for kind in KINDS:
        step = lc.Outcome(kind, results_available=True).next_step
        assert ("`reconcile` says to change" in step) is (kind in {KINDS.ERRORED, KINDS.PARTIAL, KINDS.FAILED})


def test_what_to_do_differs_for_each_outcome_and_says_when_results_are_gone() -> None:
    steps = {lc.Outcome(kind, results_available=True).next_step for kind in KINDS}
    assert len(steps) == len(KINDS)
    for kind in KINDS:
        gone = lc.Outcome(kind, results_available=False).next_step
        assert ("gone" in gone) is ("Fetch" in lc.Outcome(kind, results_available=True).next_step)
        assert "Fetch" not in gone


class TestDeadlines:
    def test_they_are_known_from_creation_on_and_stay(self) -> None:
        expected = lc.Deadlines(expires_at=T + DAY, results_until=T + 29 * DAY)
        assert {lc.deadlines(lc.fold(LIFE[:length])) for length in range(1, 7)} == {expected}

    def test_at_the_end_of_time_there_is_a_last_moment(self) -> None:
        latest = datetime.max.replace(tzinfo=UTC)
        batch = attrs.evolve(lc.fold(LIFE[:1]), created_at=latest - 28 * DAY)
        assert lc.deadlines(batch).results_until == latest
        assert lc.deadlines(attrs.evolve(batch, created_at=latest - 29 * DAY)).results_until == latest


class TestProgress:
    @pytest.mark.parametrize(
        ("counts", "fraction"),
        [
            ((4,), 0.0),
            ((3, 0, 1), 0.25),
            ((0, 1, 1, 1, 1), 1.0),
            ((0,), 0.0),
            # Broken ones (B1) stay within bounds.
            ((5, -1), 0.0),
            ((-1, 3), 1.0),
            ((-1,), 0.0),
            ((2**63 - 1, 2**63 - 1), 0.5),
        ],
    )
    def test_it_is_the_share_that_is_finished(self, counts: tuple[int, ...], fraction: float) -> None:
        assert lc.progress(attrs.evolve(lc.fold([CREATED]), request_counts=lc.RequestCounts(*counts))) == fraction

    def test_an_ended_batch_is_done_whatever_it_shows(self) -> None:
        assert [lc.progress(batch) for batch in (ended(0, 4), ended(0), ended(3, 1))] == [1.0, 1.0, 1.0]

    @given(BOTH)
    def test_it_never_runs_back(self, given: tuple[lc.Profile, list[lc.MessageBatch]]) -> None:
        fractions = [lc.progress(state) for state in given[1]]
        assert fractions == sorted(fractions)
        assert fractions[0] == 0.0
        assert (given[1][-1].ended_at is None) or fractions[-1] == 1.0


@given(batches(extra=True), st.none() | st.just(T))
def test_every_batch_that_can_be_built_gets_all_answers(batch: lc.MessageBatch, deleted_at: datetime | None) -> None:
    batch = attrs.evolve(batch, deleted_at=deleted_at)
    found = lc.outcome(batch)
    assert (found.kind is KINDS.PENDING) is (batch.processing_status is not lc.ProcessingStatus.ENDED)
    assert not found.results_available or batch.phase is lc.Phase.ENDED
    assert found.next_step
    assert 0.0 <= lc.progress(batch) <= 1.0
    assert lc.deadlines(batch).results_until - batch.created_at <= timedelta(days=29)


@pytest.mark.parametrize("call", [lc.outcome, lc.deadlines, lc.progress])
def test_what_is_no_batch_is_a_type_error(call: Any) -> None:
    with pytest.raises(TypeError, match="^batch: "):
        call(None)
