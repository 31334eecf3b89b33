"""How a batch is put into words."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

import lifecycle as lc
from lifecycle.cli.batch_view import changes, counts_text, span_text, time_text
from lifecycle.cli.output import NOTHING

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BATCH = lc.MessageBatch("a", lc.ProcessingStatus.IN_PROGRESS, lc.RequestCounts(3), NOON, NOON + timedelta(days=1))


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "+0s"),
        (timedelta(microseconds=1), "+0.000001s"),
        (timedelta(seconds=-0.25), "-0.25s"),
        (timedelta(seconds=10), "+10s"),
        (timedelta(minutes=1, seconds=5.5), "+1m 5s"),
        (timedelta(hours=2, minutes=5), "+2h 5m"),
        (timedelta(days=1234, hours=3), "+1,234d 3h"),
        (timedelta(days=-1), "-1d 0h"),
    ],
)
def test_a_span_is_told_in_its_largest_units(span: timedelta, text: str) -> None:
    assert span_text(span) == text


def test_only_counts_that_are_not_zero_are_told() -> None:
    assert counts_text(lc.RequestCounts(0, succeeded=1234, expired=1)) == "1,234 succeeded, 1 expired"
    assert counts_text(lc.RequestCounts(0)) == "0 requests"


def test_a_time_may_be_exact() -> None:
    assert time_text(NOON) == "2026-01-01 12:00:00"
    assert time_text(NOON, exact=True) == "2026-01-01 12:00:00.000000"
    assert time_text(None) == NOTHING


def test_each_field_that_changed_is_told() -> None:
    ended = attrs.evolve(
        BATCH, processing_status="ended", ended_at=NOON, results_url="u", request_counts=lc.RequestCounts(0, 3)
    )
    assert changes(BATCH, BATCH) == []
    assert changes(BATCH, ended) == [
        "processing_status: in_progress → ended",
        "request_counts: 3 processing → 3 succeeded",
        f"ended_at: {NOTHING} → 2026-01-01 12:00:00.000000",
        f"results_url: {NOTHING} → u",
    ]


def test_unknown_keys_are_told() -> None:
    odd = attrs.evolve(BATCH, extra={"archive_at": None}, request_counts=lc.RequestCounts(3, extra={"total": 3}))
    assert changes(BATCH, odd) == ["archive_at: unknown key", "request_counts.total: unknown key"]
