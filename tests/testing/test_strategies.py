"""
What the strategies promise: legal values within the bounds, the corners that no recording shows, small examples.

Legality is judged under thousands of examples in `test_library`; here it is shown for what that leaves out.
"""

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import testing, wire
from tests.lives import CREATED, DAY, HOUR, LIFE, T, in_phase

MINUTE = timedelta(minutes=1)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
PROFILES = [lc.LAWS, lc.HOSTED]
both = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)

# The same examples every time: what is reached here is not luck.
same = settings(derandomize=True, database=None, max_examples=100)
first = settings(same, max_examples=3000, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def values(strategy: st.SearchStrategy[Any], number: int = 100) -> list[Any]:
    """The same values of *strategy* every time."""
    found: list[Any] = []

    @settings(same, max_examples=number)
    @given(strategy)
    def note(value: Any) -> None:
        found.append(value)

    note()
    return found


# ----------------------------------------------------------------------------------------------------------- corners


def ended(batch: lc.MessageBatch) -> bool:
    return batch.processing_status is lc.ProcessingStatus.ENDED


def times(batch: lc.MessageBatch) -> list[datetime]:
    found = (batch.created_at, batch.expires_at, batch.ended_at, batch.archived_at, batch.cancel_initiated_at)
    return [time for time in found if time is not None]


CORNERS: dict[str, Callable[[lc.MessageBatch], bool]] = {
    "all expired": lambda batch: 0 < batch.size == batch.request_counts.expired,
    "partly expired": lambda batch: ended(batch) and 0 < batch.request_counts.expired < batch.size,
    "errored": lambda batch: ended(batch) and batch.request_counts.errored > 0,
    "all canceled": lambda batch: 0 < batch.size == batch.request_counts.canceled,
    "partly canceled": lambda batch: ended(batch) and 0 < batch.request_counts.canceled < batch.size,
    "canceled in vain": lambda batch: (
        ended(batch) and batch.cancel_initiated_at is not None and batch.request_counts.canceled == 0
    ),
    "archived": lambda batch: batch.phase is lc.Phase.ARCHIVED,
    "archived with its URL": lambda batch: batch.archived_at is not None and batch.results_url is not None,
    "microsecond 0": lambda batch: batch.created_at.microsecond == 0,
    "the last microsecond": lambda batch: batch.created_at.microsecond == 999_999,
    "100,000 requests": lambda batch: batch.size == 100_000,
    "one request": lambda batch: batch.size == 1,
    "an hour after the first time": lambda batch: batch.created_at == FIRST + HOUR,
    "an hour before the last time": lambda batch: LAST - HOUR in times(batch),
    "canceled and ended at once": lambda batch: batch.created_at == batch.cancel_initiated_at == batch.ended_at,
    "ended at the very expiry": lambda batch: batch.ended_at == batch.expires_at,
    "an id of another form": lambda batch: not batch.id.startswith("msgbatch_"),
    "an id that a URL has to quote": lambda batch: "/" in batch.id,
}
LAWFUL_CORNERS: dict[str, Callable[[lc.MessageBatch], bool]] = {
    "no request": lambda batch: batch.size == 0,
    "over 100,000 requests": lambda batch: batch.size == 100_001,
    "the largest number of the wire": lambda batch: batch.size == wire.LARGEST_NUMBER,
    "counts that moved before the end": lambda batch: not ended(batch) and batch.request_counts.succeeded > 0,
    "a URL before the end": lambda batch: not ended(batch) and batch.results_url is not None,
    "ended without a URL": lambda batch: batch.phase is lc.Phase.ENDED and batch.results_url is None,
    "expired before it was created": lambda batch: batch.expires_at < batch.created_at,
    "canceled requests that nobody canceled": lambda batch: (
        batch.request_counts.canceled > 0 and batch.cancel_initiated_at is None
    ),
    "an unknown key": lambda batch: bool(batch.extra),
    "an unknown count": lambda batch: "total" in batch.request_counts.extra,
}


@both
@pytest.mark.parametrize("corner", CORNERS)
def test_snapshots_reach_the_corners_that_no_recording_shows(corner: str, profile: lc.Profile) -> None:
    assert lc.check(find(testing.snapshots(profile=profile), CORNERS[corner], settings=first), profile=profile) == ()


@pytest.mark.parametrize("corner", LAWFUL_CORNERS)
def test_under_the_laws_snapshots_do_what_the_hosted_api_does_not(corner: str) -> None:
    found = find(testing.snapshots(), LAWFUL_CORNERS[corner], settings=first)
    assert lc.check(found) == ()


@both
def test_streams_take_every_arrow_and_end_in_every_phase(profile: lc.Profile) -> None:
    arrows: Counter[tuple[lc.Phase | None, str]] = Counter()
    last = set()
    for events in values(testing.event_streams(profile=profile), 300):
        batch = None
        for event in events:
            arrows[None if batch is None else batch.phase, event.tag] += 1
            batch = lc.evolve(batch, event, profile=profile)
        assert batch is not None
        assert lc.check(batch, profile=profile) == ()
        last.add(batch.phase)
    assert arrows.keys() == lc.TRANSITIONS.keys()
    assert min(arrows.values()) >= 5
    assert last == set(lc.Phase)


FORMS: dict[str, Callable[[bytes], bool]] = {
    "recorded": lambda body: wire.encode_batch(wire.decode_batch(body)) == body,
    "Z": lambda body: b'Z"' in body,
    "an offset": lambda body: b"+05:30" in body,
    "an offset on the other side of Greenwich": lambda body: b"-05:30" in body,
    "a missing key": lambda body: b"archived_at" not in body,
    "white space": lambda body: b"\n" in body,
    "text beyond ASCII": lambda body: "ß".encode() in body,
}


@pytest.mark.parametrize("form", FORMS)
def test_bodies_have_every_form_that_reading_accepts(form: str) -> None:
    wire.decode_batch(find(testing.wire_batches(), FORMS[form], settings=first))


def test_hosted_bodies_are_in_the_recorded_form_to_the_byte() -> None:
    for body in values(testing.wire_batches(profile=lc.HOSTED)):
        assert FORMS["recorded"](body)
        assert lc.check(wire.decode_batch(body), profile=lc.HOSTED) == ()


# ------------------------------------------------------------------------------------------------------------- bounds


@both
@pytest.mark.parametrize("phase", lc.Phase)
def test_batches_are_in_the_phase_that_is_asked_for(phase: lc.Phase, profile: lc.Profile) -> None:
    @settings(same, max_examples=30)
    @given(testing.batches(phase=phase, profile=profile))
    def judge(batch: lc.MessageBatch) -> None:
        assert batch.phase is phase
        assert lc.check(batch, profile=profile) == ()

    judge()


def test_streams_end_where_they_may_and_are_no_longer_than_they_may() -> None:
    wanted = {lc.Phase.CANCELING, lc.Phase.DELETED}
    found = values(testing.event_streams(phases=wanted, max_size=4))
    assert {lc.fold(events).phase for events in found} == wanted
    assert {len(events) for events in found} == {2, 3, 4}


@pytest.mark.parametrize("phase", [lc.Phase.ENDED, "ended"])
def test_streams_and_logs_may_end_in_a_single_phase(phase: lc.Phase) -> None:
    assert {lc.fold(events).phase for events in values(testing.event_streams(phases=phase), 20)} == {"ended"}
    for records in values(testing.logs(phases=phase, max_streams=1), 20):
        assert lc.fold([record.event for record in records]).phase == "ended"


def test_counts_add_up_to_the_total_that_is_asked_for() -> None:
    found = values(testing.request_counts(total=7))
    assert {counts.total for counts in found} == {7}
    assert all(min(attrs.astuple(counts)[:5]) >= 0 for counts in found)
    assert any(0 < counts.processing < 7 for counts in found)
    totals = testing.request_counts().map(lambda counts: counts.total)
    for total in (0, 1, 100_000):
        assert find(totals, total.__eq__, settings=first) == total


@both
@pytest.mark.parametrize("phase", [None, *list(lc.Phase)[:4]])
def test_next_events_are_admitted_and_each_arrow_is_among_them(phase: lc.Phase | None, profile: lc.Profile) -> None:
    before = in_phase(phase)
    tags = set()

    @settings(same, max_examples=60)
    @given(testing.events(before=before, profile=profile))
    def judge(event: lc.Event) -> None:
        tags.add(event.tag)
        after = lc.evolve(before, event, profile=profile)
        assert lc.check(after, profile=profile) == ()

    judge()
    assert tags == {tag for at, tag in lc.TRANSITIONS if at == phase}


def test_what_is_left_before_the_last_time_is_enough_for_every_legal_event() -> None:
    late = lc.fold([lc.Created("msgbatch_01", LAST - DAY, LAST, 1)], profile=lc.HOSTED)
    canceled = lc.evolve(late, lc.CancelInitiated(LAST))
    over = lc.evolve(late, lc.Ended(LAST, lc.RequestCounts(0, 1), "https://example.com"))
    for before in (late, canceled, over):
        for event in values(testing.events(before=before, profile=lc.HOSTED), 40):
            assert lc.check(lc.evolve(before, event, profile=lc.HOSTED), profile=lc.HOSTED) == ()
    # 29 days after its creation is no datetime any more (rule B15).
    tags = {event.tag for event in values(testing.events(before=over, profile=lc.HOSTED), 40)}
    assert tags == {"deleted"}
    assert {event.tag for event in values(testing.events(before=over), 40)} == {"archived", "deleted"}


def test_a_batch_that_was_canceled_after_its_expiry_ends_with_expired_requests() -> None:
    late = lc.fold([CREATED, lc.CancelInitiated(CREATED.expires_at + HOUR)], profile=lc.HOSTED)
    ends = [event for event in values(testing.events(before=late, profile=lc.HOSTED)) if isinstance(event, lc.Ended)]
    assert ends
    assert all(event.request_counts.expired > 0 for event in ends)


@both
@pytest.mark.parametrize("phase", [None, *lc.Phase])
def test_commands_are_accepted(phase: lc.Phase | None, profile: lc.Profile) -> None:
    before = in_phase(phase)
    new: set[str] = set()
    again: set[type] = set()

    @settings(same, max_examples=80)
    @given(testing.commands(before=before, profile=profile))
    def judge(command: lc.Command) -> None:
        events = lc.decide(before, command, profile=profile)
        new.update(event.tag for event in events)
        if not events:
            again.add(type(command))

    judge()
    # Under HOSTED an update has nothing new to say (B7): it is among what was asked before.
    quiet = {"counts_updated"} if profile is lc.HOSTED else set()
    assert new == {tag for at, tag in lc.TRANSITIONS if at == phase} - quiet
    asked = {
        None: set(),
        lc.Phase.IN_PROGRESS: {lc.Create, lc.RecordProgress},
        lc.Phase.CANCELING: {lc.Create, lc.RecordProgress, lc.Cancel},
        lc.Phase.ENDED: {lc.Create, lc.RecordProgress, lc.Cancel, lc.End},
        lc.Phase.ARCHIVED: {lc.Create, lc.RecordProgress, lc.Cancel, lc.End, lc.Archive},
        lc.Phase.DELETED: {lc.Create, lc.RecordProgress, lc.Cancel, lc.End, lc.Archive, lc.Delete},
    }
    assert again == asked[phase]


# ---------------------------------------------------------------------------------------------------- logs and polls


@both
def test_logs_are_legal_interleaved_and_recorded_in_order(profile: lc.Profile) -> None:
    streams, mixed = set(), 0
    for records in values(testing.logs(max_streams=3, max_size=3, profile=profile)):
        report = lc.replay(records, profile=profile)
        assert report.findings == ()
        assert report.events == sum(report.versions.values())
        assert max(report.versions.values()) <= 3
        assert all(before.recorded_at <= after.recorded_at for before, after in pairwise(records))
        streams.add(report.streams)
        changes = sum(before.batch_id != after.batch_id for before, after in pairwise(records))
        mixed += changes > report.streams - 1
    assert streams == {1, 2, 3}
    assert mixed > 10


def test_logs_have_event_ids_of_both_kinds() -> None:
    names = {record.event_id for records in values(testing.logs(max_streams=1, max_size=2)) for record in records}
    assert {"msgbatch_01/1", "evt-1"} <= names


def test_logs_repeat_records_only_where_that_is_asked_for() -> None:
    for repeats in (False, True):
        found = values(testing.logs(max_streams=2, max_size=2, repeats=repeats))
        more = [records for records in found if lc.replay(records).events > sum(lc.replay(records).versions.values())]
        assert bool(more) is repeats
        assert all(lc.replay(records).findings == () for records in found)


def is_older(before: lc.MessageBatch, after: lc.MessageBatch) -> bool:
    return after != before and lc.check(before, before=after) == ()


def test_a_poller_sees_repeats_and_misses_phases() -> None:
    steps = [
        (a.phase, b.phase) for seen in values(testing.poll_sequences(profile=lc.HOSTED), 200) for a, b in pairwise(seen)
    ]
    assert (lc.Phase.IN_PROGRESS, lc.Phase.IN_PROGRESS) in steps
    assert (lc.Phase.IN_PROGRESS, lc.Phase.ENDED) in steps
    assert lc.Phase.DELETED not in {phase for pair in steps for phase in pair}


@pytest.mark.parametrize("odd", [testing.poll_sequences(stale=True), testing.poll_sequences(reordered=True)])
def test_a_poller_may_see_what_is_stale_or_out_of_order_where_that_is_asked_for(
    odd: st.SearchStrategy[tuple[lc.MessageBatch, ...]],
) -> None:
    found = values(odd)
    assert any(is_older(before, after) for seen in found for before, after in pairwise(seen))
    plain = values(testing.poll_sequences())
    assert not any(is_older(before, after) for seen in plain for before, after in pairwise(seen))


def test_polls_are_as_many_as_they_may_be() -> None:
    assert {len(seen) for seen in values(testing.poll_sequences(max_size=3))} == {1, 2, 3}


# ---------------------------------------------------------------------------------------------------------- shrinking

shrunk = settings(database=None, max_examples=500)


def test_the_simplest_values_are_small_and_readable() -> None:
    created = lc.Created("msgbatch_01", NOON, NOON + DAY, 1)
    assert find(testing.event_streams(), lambda events: len(events) > 0, settings=shrunk) == (created,)
    # In this phase, for to older versions of Hypothesis the simplest is what takes the fewest bytes to draw.
    batches = testing.batches(phase=lc.Phase.IN_PROGRESS)
    assert find(batches, lambda batch: batch.size > 0, settings=shrunk) == lc.fold([created])
    one = find(testing.logs(), lambda records: len(records) > 0, settings=shrunk)
    assert one == (lc.Record("msgbatch_01", 1, created, None, NOON),)


def test_a_failing_stream_shrinks_to_what_matters() -> None:
    found = find(
        testing.event_streams(profile=lc.HOSTED),
        lambda events: lc.fold(events).request_counts.expired > 0,
        settings=shrunk,
    )
    url = "https://api.anthropic.com/v1/messages/batches/msgbatch_01/results"
    late = lc.Ended(NOON + DAY + MINUTE, lc.RequestCounts(0, expired=1), url)
    assert found == (lc.Created("msgbatch_01", NOON, NOON + DAY, 1), late)


# ------------------------------------------------------------------------------------------------------------ refusals


BROKEN = attrs.evolve(lc.fold(LIFE[:1]), cancel_initiated_at=T)


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        (testing.request_counts, {"total": -1}, ValueError),
        (testing.request_counts, {"total": 1.0}, TypeError),
        (testing.request_counts, {"total": True}, TypeError),
        (testing.batches, {"phase": "done"}, ValueError),
        (testing.batches, {"profile": "hosted"}, TypeError),
        (testing.snapshots, {"phase": lc.Phase.DELETED}, ValueError),
        (testing.wire_batches, {"phase": lc.Phase.DELETED}, ValueError),
        (testing.event_streams, {"phases": []}, ValueError),
        (testing.event_streams, {"phases": ["done"]}, ValueError),
        (testing.event_streams, {"phases": "done"}, ValueError),
        (testing.event_streams, {"phases": 3}, TypeError),
        (testing.event_streams, {"phases": [lc.Phase.DELETED], "max_size": 2}, ValueError),
        (testing.event_streams, {"max_size": 0}, ValueError),
        (testing.logs, {"max_streams": 0}, ValueError),
        (testing.logs, {"max_size": "8"}, TypeError),
        (testing.poll_sequences, {"max_size": 0}, ValueError),
        (testing.events, {"before": lc.fold(LIFE)}, ValueError),
        (testing.events, {"before": BROKEN}, ValueError),
        (testing.events, {"before": "msgbatch_01"}, TypeError),
        (testing.commands, {"before": BROKEN}, ValueError),
    ],
)
def test_bounds_that_cannot_be_are_refused_at_once(
    call: Callable[..., object], arguments: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"^({next(iter(arguments)).removesuffix('s')}|no stream)"):
        call(**arguments)


def test_the_public_names_of_the_kit_are_sorted_and_all_there() -> None:
    assert testing.__all__ == sorted(testing.__all__)
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []


def test_without_hypothesis_the_kit_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "lifecycle.testing")
    said = r"^lifecycle.testing needs its extra: pip install 'lifecycle\[testing\]' \(in a checkout: .*\); .*hypothesis"
    with pytest.raises(ModuleNotFoundError, match=said) as caught:
        importlib.import_module("lifecycle.testing")
    assert caught.value.name == "hypothesis"
