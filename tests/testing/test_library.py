"""
The kit on the library itself: fold, check, wire, log and replay under thousands of generated lives.

Legal lives here; that each fault is found for what it is stands in `test_faults`.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import log, testing, wire

T = TypeVar("T")

EXAMPLES = {"ci": 2_000, "brief": 200, "nightly": 100_000}[os.environ.get("HYPOTHESIS_PROFILE", "ci")]
"""For each test here; see tests/conftest.py for the profiles."""

thousands = settings(max_examples=EXAMPLES)


def under_both(strategy: Callable[[lc.Profile], st.SearchStrategy[T]]) -> st.SearchStrategy[tuple[lc.Profile, T]]:
    """Values of *strategy* under either profile, with the profile."""
    return st.one_of([st.tuples(st.just(profile), strategy(profile)) for profile in (lc.LAWS, lc.HOSTED)])


@thousands
@given(under_both(lambda profile: testing.event_streams(max_size=6, profile=profile)))
def test_a_fold_may_stop_anywhere_and_go_on(found: tuple[lc.Profile, tuple[lc.Event, ...]]) -> None:
    profile, events = found
    whole = lc.fold(events, profile=profile)
    batch = None
    for version, event in enumerate(events, 1):
        batch = lc.evolve(batch, event, profile=profile)
        assert lc.fold(events[version:], start=batch, profile=profile) == whole
    assert batch == whole
    # What is not an arrow of the machine is refused, and changes nothing.
    for event in events:
        if (whole.phase, event.tag) not in lc.TRANSITIONS:
            with pytest.raises(lc.IllegalTransition):
                lc.evolve(whole, event, profile=profile)


@thousands
@given(under_both(lambda profile: testing.poll_sequences(max_size=4, profile=profile)))
def test_check_finds_nothing_in_what_a_poller_sees_of_a_legal_life(
    found: tuple[lc.Profile, tuple[lc.MessageBatch, ...]],
) -> None:
    profile, seen = found
    assert [lc.check(batch, profile=profile) for batch in seen] == [()] * len(seen)
    for before, after in pairwise(seen):
        assert lc.check(after, before=before, profile=profile) == ()
        # The way back: nothing new, or forbidden.
        assert after == before or lc.check(before, before=after)


@thousands
@given(testing.wire_batches(), testing.logs(max_streams=1, max_size=2))
def test_what_the_wire_reads_it_writes_and_reads_again(body: bytes, records: tuple[lc.Record, ...]) -> None:
    batch = wire.decode_batch(body)
    assert lc.check(batch) == ()
    recorded = wire.encode_batch(batch)
    again = wire.decode_batch(recorded)
    assert again == batch
    assert (again.extra, again.request_counts.extra) == (batch.extra, batch.request_counts.extra)
    assert wire.encode_batch(again) == recorded
    for record in records:
        assert wire.decode_record(wire.encode_record(record)) == record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@thousands
@given(testing.logs(max_streams=2, max_size=2), st.integers(1, 1000))
def test_what_is_appended_to_a_log_is_read_from_it(folder: Path, records: tuple[lc.Record, ...], lost: int) -> None:
    path = folder / "night.jsonl"
    path.unlink(missing_ok=True)
    log.append(path, records)
    read = list(log.read(path))
    assert tuple(read) == records
    assert [record.place for record in read] == [(str(path), line) for line in range(1, len(records) + 1)]
    # A writer that was stopped in the middle of the last line: what stood before it is still there.
    content = path.read_bytes()
    last = len(wire.encode_record(records[-1]))
    path.write_bytes(content[: -1 - min(lost, last - 1)])
    assert tuple(log.read(path)) == records[:-1]
    assert lc.replay(log.read(path)) == lc.replay(records[:-1])


@thousands
@given(under_both(lambda profile: testing.logs(max_streams=2, max_size=3, repeats=True, profile=profile)))
def test_a_replayed_log_has_the_batches_of_its_streams(found: tuple[lc.Profile, tuple[lc.Record, ...]]) -> None:
    profile, records = found
    report = lc.replay(records, profile=profile)
    streams: dict[str, list[lc.Event]] = {}
    seen = set()
    for record in records:
        if (record.batch_id, record.version) not in seen:
            seen.add((record.batch_id, record.version))
            streams.setdefault(record.batch_id, []).append(record.event)
    assert report.findings == ()
    assert report.batches == {batch_id: lc.fold(events, profile=profile) for batch_id, events in streams.items()}
    assert report.versions == {batch_id: len(events) for batch_id, events in streams.items()}
    assert (report.events, report.streams) == (len(records), len(streams))
    # In any other interleaving that keeps the order of each stream.
    in_turn = sorted(records, key=lambda record: record.batch_id)
    assert lc.replay(in_turn).batches == report.batches
