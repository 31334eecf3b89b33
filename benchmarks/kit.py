"""
The kit's strategies against the same values by ``st.builds`` and ``.filter``: ``python -m benchmarks.kit``.

Each side is drawn by Hypothesis itself, so both pay for its engine; the first line says how much that is.  What the
peer's filters throw away is counted where they do it.  Its domains are narrow on purpose, the way a careful user would
write them: one id, times on a grid of hours around one day, few requests.  With `st.datetimes` and any integers next
to nothing would be left.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

import lifecycle as lc
from lifecycle import testing

T = datetime(2025, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URL = "https://api.anthropic.com/v1/messages/batches/msgbatch_01/results"
ROUNDS, EXAMPLES = 3, 60

quick = settings(
    max_examples=EXAMPLES,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Counted:
    """A filter that counts what it saw and what it let pass."""

    def __init__(self, legal: Callable[[Any], bool]) -> None:
        """Let pass what is *legal*."""
        self.legal = legal
        self.seen = self.passed = 0

    def __call__(self, value: Any) -> bool:
        """Whether *value* is legal."""
        self.seen += 1
        legal = self.legal(value)
        self.passed += legal
        return legal

    def rejected(self) -> str:
        """How many of those seen were rejected."""
        return f"{1 - self.passed / self.seen:.2%} of {self.seen:,} rejected" if self.seen else "nothing seen"


hours = st.sampled_from([T, T + HOUR, T + 2 * HOUR, T + DAY, T + DAY + HOUR, T + 30 * DAY])
numbers = st.integers(0, 3)
counts = st.builds(lc.RequestCounts, numbers, numbers, numbers, numbers, numbers)
urls = st.sampled_from([None, URL])

BATCHES = st.builds(
    lc.MessageBatch,
    id=st.just("msgbatch_01"),
    processing_status=st.sampled_from(lc.ProcessingStatus),
    request_counts=counts,
    created_at=st.just(T),
    expires_at=st.sampled_from([T + DAY, T + HOUR]),
    ended_at=st.none() | hours,
    archived_at=st.none() | hours,
    cancel_initiated_at=st.none() | hours,
    results_url=urls,
    deleted_at=st.none() | hours,
    extra=st.just({}),
)
created = st.builds(lc.Created, st.just("msgbatch_01"), st.just(T), st.sampled_from([T + DAY, T + HOUR]), numbers)
later = st.one_of(
    st.builds(lc.CountsUpdated, counts),
    st.builds(lc.CancelInitiated, hours),
    st.builds(lc.Ended, hours, counts, urls),
    st.builds(lc.Archived, hours, urls),
    st.builds(lc.Deleted, hours),
)
STREAMS = st.builds(lambda first, rest: (first, *rest), created, st.lists(later, max_size=7))


def is_legal_batch(batch: lc.MessageBatch) -> bool:
    """Whether *batch* keeps every law."""
    return lc.check(batch) == ()


def is_legal_stream(events: tuple[lc.Event, ...]) -> bool:
    """Whether the laws admit *events*."""
    try:
        lc.fold(events)
    except lc.IllegalEvent:
        return False
    return True


def is_ended_stream(events: tuple[lc.Event, ...]) -> bool:
    """Whether the laws admit *events*, and the batch has ended."""
    return is_legal_stream(events) and lc.fold(events).ended_at is not None


def stepwise(legal: Counted) -> st.SearchStrategy[tuple[lc.Event, ...]]:
    """Streams event by event, each drawn from *later* and filtered by what came before: the peer's better way."""

    @st.composite
    def streams(draw: st.DrawFn) -> tuple[lc.Event, ...]:
        events: tuple[lc.Event, ...] = (draw(created),)
        for _ in range(draw(st.integers(0, 7))):
            if lc.fold(events).deleted_at is not None:
                break
            event: Any = draw(later.filter(partial(_admitted, legal, events)))
            events = (*events, event)
        return events

    return streams()


def _admitted(legal: Counted, events: tuple[lc.Event, ...], event: lc.Event) -> bool:
    return legal((*events, event))


def a_second(strategy: st.SearchStrategy[Any]) -> tuple[float, float]:
    """How many values of *strategy* come in one CPU second (0 if Hypothesis gives up), and their mean length."""
    lengths: list[int] = []

    @quick
    @given(strategy)
    def draw(value: Any) -> None:
        lengths.append(len(value) if isinstance(value, tuple) else 1)

    start = time.process_time()
    with suppress(Unsatisfiable):
        draw()
    seconds = time.process_time() - start
    return len(lengths) / seconds, statistics.mean(lengths) if lengths else 0


def report(name: str, ours: st.SearchStrategy[Any], theirs: st.SearchStrategy[Any], legal: Counted) -> None:
    """Print the medians of interleaved rounds, the mean lengths, and what the peer's filter threw away."""
    pairs = [(a_second(ours), a_second(theirs)) for _ in range(ROUNDS)]
    (mine, long), (other, short) = (
        [statistics.median(column) for column in zip(*side, strict=True)] for side in zip(*pairs, strict=True)
    )
    ratio = f"{mine / other:6.1f} x" if other else "gave up"
    lengths = f"{long:.1f} and {short:.1f} events" if max(long, short) > 1 else ""
    print(f"{name:<42} {mine:7,.0f} /s {other:8,.1f} /s {ratio:>9}   {lengths:<22} {legal.rejected()}")


def main() -> None:
    """Print a line for each comparison."""
    print(f"{'ten integers, for comparison':<42} {a_second(st.tuples(*[st.integers(0, 9)] * 10))[0]:7,.0f} /s")
    print(f"{'':<42} {'ours':>10} {'theirs':>10}   {'':<30} theirs, by the filter")
    batch, stream = Counted(is_legal_batch), Counted(is_legal_stream)
    end, step = Counted(is_ended_stream), Counted(is_legal_stream)
    ended = testing.event_streams(phases=[lc.Phase.ENDED, lc.Phase.ARCHIVED, lc.Phase.DELETED])
    report("batches (builds, filter)", testing.batches(), BATCHES.filter(batch), batch)
    report("streams (builds, filter)", testing.event_streams(), STREAMS.filter(stream), stream)
    report("streams that end (builds, filter)", ended, STREAMS.filter(end), end)
    report("streams (each event by builds, filter)", testing.event_streams(), stepwise(step), step)


if __name__ == "__main__":
    main()
