"""What `track` promises, with the official clients before a server in memory."""

import asyncio
import contextlib
import gzip
import json
import os
import random
import threading
import traceback
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.store import MemoryStore
from lifecycle.store.sql import AsyncSQLStore, SQLStore
from lifecycle.tracker import LONGEST_WAIT, SHORTEST_WAIT, Poll, track
from tests.test_log import room_for
from tests.tracker.api import App, Course, Receive, Scope, Send
from tests.tracker.clocks import START, Clock, run
from tests.tracker.wires import answering, async_client, client, rewritten
from tests.tracker.world import KINDS, Kind, World

KEY = "sk-ant-a-key-that-nobody-may-see"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "night.jsonl"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# ---------------------------------------------------------------------------------------------------------- the log


@pytest.mark.parametrize("kind", KINDS)
class TestEveryClient:
    """Plain or asynchronous: the same is written and told."""

    def test_batches_are_followed_to_their_end(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(3)
        records = world.track(ids, kind=kind, log=path)
        assert records == list(log.read(path)) == world.heard
        world.assert_told(path, ids)
        assert {record.event.tag for record in records} == {"created", "counts_updated", "ended"}
        assert all(record.recorded_at.tzinfo is UTC for record in records)
        assert {poll.batch_id for poll in world.polls if poll.next_at is None} == set(ids)

    def test_a_canceled_batch_is_followed_through_canceling(self, kind: Kind, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(hours=1)))
        [batch_id] = world.create()

        def cancel(poll: Poll) -> None:
            if poll.at > START + timedelta(minutes=20) and world.api.batch(batch_id).phase is lc.Phase.IN_PROGRESS:
                world.api.cancel(batch_id)

        tags = [record.event.tag for record in world.track([batch_id], kind=kind, log=path, on_poll=cancel)]
        assert tags == ["created", "cancel_initiated", "ended"]
        world.assert_told(path, [batch_id])

    def test_an_event_is_in_the_log_before_it_is_told(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(2)
        told: list[lc.Record] = []

        def hear(record: lc.Record) -> None:
            told.append(record)
            assert list(log.read(path))[: len(told)] == told

        world.track(ids, kind=kind, log=path, on_event=hear)
        assert len(told) >= 4

    def test_it_goes_on_where_the_log_ends(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(2)
        first = world.track(ids, kind=kind, log=path, until=3)
        rest = world.track(ids, kind=kind, log=path)
        assert first + rest == list(log.read(path))
        world.assert_told(path, ids)
        assert world.track(ids, kind=kind, log=path) == []

    def test_what_has_ended_is_not_asked_for(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids, kind=kind, log=path)
        looks = len(world.faults.looks)
        assert world.track(ids, kind=kind, log=path) == []
        assert len(world.faults.looks) == looks

    def test_it_ends_on_request(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(2)
        stop = threading.Event() if kind == "sync" else asyncio.Event()

        def stopping(poll: Poll) -> None:
            if poll.at > START + timedelta(minutes=2):
                stop.set()

        world.track(ids, kind=kind, log=path, stop=stop, on_poll=stopping)
        assert timedelta(minutes=2) < world.clock.now - START < timedelta(minutes=2, seconds=30)
        world.track(ids, kind=kind, log=path)
        world.assert_told(path, ids)

    def test_a_stop_is_noticed_while_it_waits(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(1)

        class AtHalfPast:
            def is_set(self) -> bool:
                return world.clock.now >= START + timedelta(seconds=3)

        world.track(ids, kind=kind, log=path, stop=AtHalfPast())
        assert world.clock.now - START < timedelta(seconds=5)
        assert len(world.faults.looks) == 1

    def test_no_batches_are_no_requests(self, kind: Kind, path: Path) -> None:
        world = World()
        assert world.track([], kind=kind, log=path) == []
        assert world.faults.looks == []

    def test_a_repeated_id_counts_once(self, kind: Kind, path: Path) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids * 3, kind=kind, log=path)
        world.assert_told(path, ids)


class TestTheLog:
    """The file or the store is the only state."""

    def test_a_store_keeps_the_events_too(self) -> None:
        world, store = World(), MemoryStore()
        ids = world.create(2)
        world.track(ids, log=store, until=3)
        world.track(ids, log=store)
        for batch_id in ids:
            assert store.batch(batch_id) == world.api.batch(batch_id)
        assert [record for _, record in store.read_all()] == world.heard

    def test_a_store_on_disk_does(self, tmp_path: Path) -> None:
        world = World()
        ids = world.create(2)
        with SQLStore(f"sqlite:///{tmp_path / 'batches.db'}") as store:
            records = world.track(ids, log=store)
            assert [record for _, record in store.read_all()] == records

    def test_an_asynchronous_store_does(self, tmp_path: Path) -> None:
        world = World()
        ids = world.create(2)

        async def main() -> list[lc.Record]:
            async with (
                AsyncSQLStore(f"sqlite+aiosqlite:///{tmp_path / 'batches.db'}") as store,
                async_client(world.api, world.faults, world.clock) as its,
            ):
                told = [record async for record in track(its, ids, log=store, clock=world.clock)]
                assert [record async for _, record in store.read_all()] == told
                return told

        assert len(run(world.clock, main())) >= 4

    @pytest.mark.parametrize("kind", KINDS)
    def test_in_a_store_another_tracker_may_be_first(self, kind: Kind) -> None:
        world, store = World(), MemoryStore()
        [batch_id] = world.create(1)
        others: list[lc.Record] = []

        def interfere(poll: Poll) -> None:
            if len(others) < 2:
                world.clock.sleep(130)
                shown = lc.observe(poll.batch, world.api.batch(batch_id))
                assert poll.batch is not None
                others.extend(store.append(batch_id, shown, expected_version=store.head(batch_id).version))

        world.track([batch_id], kind=kind, log=store, on_poll=interfere)
        assert len(others) == 2
        events = [record.event for record in store.read(batch_id)]
        assert len(set(events)) == len(events)
        assert store.batch(batch_id) == world.api.batch(batch_id)

    @pytest.mark.parametrize("meanwhile", [0, 130])
    def test_in_a_store_another_tracker_may_be_first_while_the_answer_is_on_its_way(self, meanwhile: int) -> None:
        """The same events then, or others: each is written once, and told by who has written it."""
        world, store = World(), MemoryStore()
        [batch_id] = world.create(1)
        others: list[lc.Record] = []

        class Batches:
            def retrieve(self, batch_id: str) -> lc.MessageBatch:
                shown = world.api.batch(batch_id)
                if len(others) < 3:
                    world.clock.sleep(meanwhile + 1)
                    others.extend(world.track([batch_id], log=store, until=1, on_poll=None, on_event=None))
                return shown

        told: list[lc.Record] = []
        tracked_by(Batches(), [batch_id], store, world.clock, on_event=told.append)
        written = [record for _, record in store.read_all()]
        assert sorted([*told, *others], key=lambda record: record.version) == written
        assert len(others) == 3
        assert store.batch(batch_id) == world.api.batch(batch_id)

    def test_in_a_file_another_tracker_may_be_first(self, path: Path) -> None:
        world = World()
        ids = world.create(2)
        others: list[lc.Record] = []

        def interfere(_: Poll) -> None:
            if len(others) < 3:
                others.extend(world.track(ids, log=path, until=1, on_poll=None, on_event=None))

        world.track(ids, log=path, on_poll=interfere)
        assert len(others) == 3
        world.assert_told(path, ids)

    def test_a_log_that_is_taken_away_is_written_anew(self, path: Path) -> None:
        world = World()
        ids = world.create(1)
        removed: list[Callable[[], None]] = []

        def remove(record: lc.Record) -> None:
            if record.version == 2 and not removed:
                removed.append(path.unlink)
                removed[0]()

        world.track(ids, log=path, on_event=remove)
        world.assert_told(path, ids)

    def test_a_torn_tail_is_no_obstacle(self, path: Path) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids, log=path, until=2)
        path.write_bytes(path.read_bytes()[:-20])
        world.track(ids, log=path)
        world.assert_told(path, ids)

    @pytest.mark.parametrize(
        "content",
        [
            b"my notes\nand the last line of them",
            b'{"id": "msgbatch_0001", "type": "message_batch"}',
            b"SQLite format 3\0\x10\0\x01\x01\0@  \0\0\0",
            gzip.compress(b"a log, perhaps\n", mtime=0),
            b"not a log at all\n",
        ],
    )
    def test_what_is_no_log_is_left_as_it_is(self, path: Path, content: bytes) -> None:
        """Appending would cut its last line off, as a torn record."""
        world = World()
        path.write_bytes(content)
        with pytest.raises(lc.LogError) as found:
            world.track(world.create(1), log=path)
        assert found.value.path == str(path)
        assert path.read_bytes() == content
        assert world.faults.looks == []

    @pytest.mark.parametrize("cut", [1, 5, 60])
    def test_the_beginning_of_a_record_is_a_torn_tail(self, path: Path, cut: int) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids, log=path, until=1)
        path.write_bytes(path.read_bytes()[:cut])
        world.track(ids, log=path)
        world.assert_told(path, ids)

    def test_a_last_record_without_its_newline_is_gone_on_from_whoever_wrote_it(self, path: Path) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids, log=path)
        *most, last = path.read_bytes().splitlines(keepends=True)
        keys = json.loads(last)
        del keys["crc32"]
        path.write_bytes(b"".join(most) + json.dumps(dict(reversed(keys.items()))).encode())
        assert world.track(ids, log=path) == []
        world.assert_told(path, ids)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_full_disk_ends_it_and_the_log_is_whole(self, path: Path, kind: Kind) -> None:
        world = World()
        ids = world.create(2)
        with pytest.raises(lc.LogError), room_for(1000):
            world.track(ids, kind=kind, log=path)
        assert 0 < len(list(log.read(path))) == len(world.heard)
        world.track(ids, kind=kind, log=path)
        world.assert_told(path, ids)

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_the_log_knows_is_told_at_the_start(self, path: Path, kind: Kind) -> None:
        world = World()
        ids = world.create(2)
        world.track(ids[:1], kind=kind, log=path)
        known: list[Any] = []
        world.track(ids, kind=kind, log=path, on_start=known.append)
        assert known == [{ids[0]: world.api.batch(ids[0])}]

    @pytest.mark.parametrize("damage", ["unreadable", "a gap"])
    def test_a_log_that_breaks_a_law_is_not_gone_on_with(self, path: Path, damage: str) -> None:
        world = World()
        ids = world.create(1)
        world.track(ids, log=path)
        first, second, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([first, *([b"?\n", second] if damage == "unreadable" else []), *rest]))
        before = path.read_bytes()
        looks = len(world.faults.looks)
        with pytest.raises(lc.LogError) as found:
            world.track(ids, log=path)
        assert (found.value.path, found.value.line) == (str(path), 2)
        assert path.read_bytes() == before
        assert len(world.faults.looks) == looks

    def test_what_is_wrong_with_other_batches_is_no_obstacle(self, path: Path) -> None:
        world = World()
        log.append(path, [lc.Record("another", 2, lc.CancelInitiated(START), None, START)])
        ids = world.create(1)
        world.track(ids, log=path)
        assert lc.replay(log.read(path)).batches[ids[0]] == world.api.batch(ids[0])

    def test_a_log_that_cannot_be_written_is_told_before_anything_is_asked(self, tmp_path: Path) -> None:
        world = World()
        with pytest.raises(lc.LogError):
            world.track(world.create(1), log=tmp_path)
        assert world.faults.looks == []

    def test_a_forgotten_batch_cannot_be_followed(self) -> None:
        world, store = World(), MemoryStore()
        [batch_id] = world.create(1)
        world.track([batch_id], log=store)
        store.append(batch_id, [lc.Deleted(world.clock.now)], expected_version=store.head(batch_id).version)
        assert world.track([batch_id], log=store) == []
        store.forget(batch_id)
        with pytest.raises(lc.StreamNotFound) as found:
            world.track([batch_id], log=store)
        assert found.value.forgotten

    def test_an_interrupt_leaves_a_whole_log(self, path: Path) -> None:
        world = World()
        ids = world.create(2)
        calls = []

        def interrupt(poll: Poll) -> None:
            calls.append(poll)
            if len(calls) == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            world.track(ids, log=path, on_poll=interrupt)
        assert lc.replay(log.read(path)).findings == ()
        world.track(ids, log=path)
        world.assert_told(path, ids)


# --------------------------------------------------------------------------------------------------------- when to ask


def gaps(world: World) -> list[float]:
    looks = world.faults.looks
    return [(after - before).total_seconds() for before, after in pairwise(looks)]


class TestTheIntervals:
    """Quick at first, slower later, and never against what the server asks."""

    def test_a_young_batch_is_looked_at_as_often_as_the_server_allows(self, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(seconds=95)))
        world.track(world.create(1), log=path)
        assert all(10 <= gap <= 11.1 for gap in gaps(world)), gaps(world)  # Retry-After: 10

    def test_an_old_one_less_often_but_never_less_than_that(self, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(hours=2)))
        world.track(world.create(1), log=path)
        found = gaps(world)
        assert all(after > before / 1.2 for before, after in pairwise(found))  # but for the jitter they only grow
        assert found[0] < 12
        assert LONGEST_WAIT <= found[-1] <= LONGEST_WAIT * 1.1 + 0.1
        assert len(found) < 2 * 3600 / LONGEST_WAIT + 60

    def test_without_retry_after_it_is_five_seconds(self, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(seconds=40)))
        batch_id = world.create(1)[0]

        polls = tracked_by(SimpleNamespace(retrieve=world.api.batch), [batch_id], path, world.clock)
        assert polls[0].next_at is not None
        assert 5 <= (polls[0].next_at - polls[0].at).total_seconds() <= 5.5

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ([("retry-after", "40")], (40, 44.1)),
            ([("retry-after", format_datetime(START + timedelta(seconds=50), usegmt=True))], (50, 55.1)),
            ([("retry-after-ms", "60000"), ("retry-after", "7")], (60, 66.1)),
            ([("retry-after", "1e9")], (3600, 3961)),
            ([("retry-after", "nan")], (2.5, 5.1)),
            ([("retry-after", "-3")], (2.5, 5.1)),
            ([("retry-after", "soon")], (2.5, 5.1)),
            ([("retry-after", "")], (2.5, 5.1)),
            ([("retry-after", "inf")], (3600, 3961)),
            ([("retry-after", format_datetime(START - timedelta(days=1), usegmt=True))], (2.5, 5.1)),
            ([("retry-after", "Thu, 01 Jan 2026 12:00:50")], (2.5, 5.1)),
            ([("retry-after", f"Mon, 01 Jan {10**20} 00:00:00 GMT")], (2.5, 5.1)),
            ([], (2.5, 5.1)),
        ],
    )
    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured(
        self, path: Path, headers: list[tuple[str, str]], seconds: tuple[float, float], status: int
    ) -> None:
        world = World(around=answering(status, b"{}", *headers, times=1))
        world.track(world.create(1), log=path, until=1)
        first, second = world.faults.looks
        assert seconds[0] <= (second - first).total_seconds() <= seconds[1]

    def test_it_backs_off_from_a_server_in_trouble(self, path: Path) -> None:
        world = World(["500"] * 8)
        world.track(world.create(1), log=path, until=1)
        found = gaps(world)
        expected = [min(SHORTEST_WAIT * 2**n, LONGEST_WAIT) for n in range(8)]
        assert all(most / 2 <= gap <= most + 0.1 for gap, most in zip(found, expected, strict=True)), found

    def test_who_takes_hours_to_cancel_is_looked_at_less_often(self, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(hours=5)))
        [batch_id] = world.create(1)

        class Batches:
            def retrieve(self, batch_id: str) -> lc.MessageBatch:
                world.faults.looks.append(world.clock.now)
                shown = world.api.batch(batch_id)
                status = lc.ProcessingStatus.CANCELING if shown.ended_at is None else shown.processing_status
                return attrs.evolve(shown, processing_status=status, cancel_initiated_at=START)

        tracked_by(Batches(), [batch_id], path, world.clock)
        found = gaps(world)
        assert found[0] < 6
        assert found[-1] >= LONGEST_WAIT

    def test_at_a_rate_of_once_in_an_age_it_still_wakes_up(self, path: Path) -> None:
        """No system can sleep for so long at once."""
        world = World()
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                raise KeyboardInterrupt

        with client(world.api, world.faults, world.clock) as plain, pytest.raises(KeyboardInterrupt):
            list(track(plain, world.create(2), log=path, requests_per_second=5e-324, clock=world.clock, sleep=sleep))
        assert slept == [3600] * 3
        assert len(world.faults.looks) == 1

    def test_after_a_429_no_batch_is_asked_for(self, path: Path) -> None:
        world = World([None, None, "429"])
        world.track(world.create(5), log=path, until=5)
        looks = world.faults.looks
        assert (looks[2] - looks[1]).total_seconds() < 1
        assert (looks[3] - looks[2]).total_seconds() >= 17

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("rate", [0.5, 3])
    def test_no_second_has_more_requests_than_allowed(self, path: Path, kind: Kind, rate: float) -> None:
        world = World(course=lambda _: Course(timedelta(minutes=3)))
        world.track(world.create(6), kind=kind, log=path, requests_per_second=rate)
        looks = world.faults.looks
        assert len(looks) > 30
        span = max(1, 1 / rate)
        for place, look in enumerate(looks):
            within = [each for each in looks[place:] if (each - look).total_seconds() < span - 0.05]
            assert len(within) <= max(1, rate)

    def test_several_requests_of_an_asynchronous_client_are_under_way_at_once(self, path: Path) -> None:
        world = World()
        at_once, most = 0, 0
        ids = world.create(8)

        class Batches:
            async def retrieve(self, batch_id: str) -> lc.MessageBatch:
                nonlocal at_once, most
                at_once += 1
                most = max(most, at_once)
                await asyncio.sleep(5)
                at_once -= 1
                return world.api.batch(batch_id)

        client: Any = SimpleNamespace(messages=SimpleNamespace(batches=Batches()))

        async def main() -> None:
            async for _ in track(client, ids, log=path, clock=world.clock, concurrency=4):
                pass

        run(world.clock, main())
        assert most == 4
        world.assert_told(path, ids)

    @pytest.mark.parametrize("hours", [-5, 5])
    def test_a_clock_that_is_put_forward_or_back_stops_nothing(self, path: Path, hours: int) -> None:
        world = World(course=lambda _: Course(timedelta(hours=20)))
        ids = world.create(1)
        clock = world.clock
        moved: list[Poll] = []

        def move(poll: Poll) -> None:
            moved.append(poll)
            if len(moved) == 3:
                clock.now += timedelta(hours=hours)

        world.track(ids, log=path, on_poll=move, until=1)
        stop = threading.Event()
        slept = [0.0]

        def sleep(seconds: float) -> None:
            slept[0] += seconds
            clock.sleep(seconds)
            if slept[0] > 600:
                stop.set()

        with client(world.api, world.faults, clock) as plain:
            list(track(plain, ids, log=path, clock=clock, sleep=sleep, on_poll=move, stop=stop))
        assert len(moved) > 5

    def test_the_system_has_a_clock_and_a_sleep(self, path: Path) -> None:
        """Without arguments: what has ended is seen at once, so nobody sleeps here."""
        world = World(course=lambda _: Course(timedelta(minutes=1)))
        ids = world.create(1)
        world.clock.sleep(60)
        with client(world.api, world.faults, world.clock) as plain:
            before = datetime.now(UTC)  # noqa: TID251 -- against the system's clock
            records = list(track(plain, ids, log=path))
        assert all(before <= record.recorded_at <= datetime.now(UTC) for record in records)  # noqa: TID251 -- as above
        assert [record.event.tag for record in records] == ["created", "ended"]


# -------------------------------------------------------------------------------------------------------------- trouble


class TestTrouble:
    """What the server and the network do wrong is asked again; what the caller did is told."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_404_is_not_seen_and_never_deleted(self, path: Path, kind: Kind) -> None:
        world = World(["404", "404", None, "404", None, "404"])
        ids = world.create(1)
        records = world.track(ids, kind=kind, log=path)
        assert "deleted" not in {record.event.tag for record in records}
        assert world.polls[0].problem == "not seen (404)"
        assert world.polls[0].batch is None
        assert world.polls[3].batch is not None
        world.assert_told(path, ids)

    def test_a_batch_that_is_deleted_while_it_is_tracked_is_not_seen(self, path: Path) -> None:
        """Only whoever deletes it knows; so it is asked for until somebody stops it."""
        world = World(course=lambda _: Course(timedelta(minutes=1)))
        [one, other] = world.create(2)
        world.clock.sleep(60)
        world.api.delete(one)
        stop = threading.Event()

        def late(poll: Poll) -> None:
            if poll.at > START + timedelta(hours=1):
                stop.set()

        world.track([one, other], log=path, stop=stop, on_poll=late)
        assert list(lc.replay(log.read(path)).batches) == [other]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_key_ends_it_and_is_nowhere(self, path: Path, kind: Kind, status: int) -> None:
        echo = f'{{"type":"error","error":{{"type":"{KEY}","message":"no such key: {KEY}"}}}}'.encode()
        world = World(around=answering(status, echo), api_key=KEY)
        with pytest.raises(lc.TrackerError) as found:
            world.track(world.create(1), kind=kind, log=path)
        assert found.value.status == status
        assert KEY not in "".join(traceback.format_exception(found.value))
        assert KEY not in repr(found.value) + path.read_text()
        assert (found.value.__cause__, found.value.__context__) == (None, None)

    def test_the_server_says_which_kind_of_refusal_it_is(self, path: Path) -> None:
        world = World(api_key="sk-ant-another")
        with pytest.raises(lc.TrackerError) as found:
            world.track(world.create(1), log=path)
        assert found.value.reason == "the server refuses the key: 401 authentication_error"

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("key", [KEY + "\n", KEY + "ü", None])
    def test_a_client_that_cannot_send_ends_it(
        self, path: Path, kind: Kind, key: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN":
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(path.parent))  # no credentials of whoever runs the tests
        world = World(around=checked, api_key=key)
        with pytest.raises(lc.TrackerError) as found:
            world.track(world.create(1), kind=kind, log=path)
        assert KEY not in "".join(traceback.format_exception(found.value))

    @pytest.mark.parametrize(
        ("error", "problem"),
        [
            (TimeoutError(), "timed out"),
            (ConnectionResetError(), "no connection (ConnectionResetError)"),
            (EOFError(), "no connection (EOFError)"),
            (ValueError("no JSON"), "no batch (ValueError)"),
        ],
    )
    def test_what_passes_is_asked_again(self, path: Path, error: Exception, problem: str) -> None:
        world = World()
        [batch_id] = world.create(1)
        errors = [error]

        class Batches:
            def retrieve(self, batch_id: str) -> Any:
                if errors:
                    raise errors.pop()
                return wire.unstructure_batch(world.api.batch(batch_id))

        polls = tracked_by(Batches(), [batch_id], path, world.clock)
        assert polls[0].problem == problem
        world.assert_told(path, [batch_id])

    @pytest.mark.parametrize("shown", [None, 7, {}, "no JSON", b"[]"])
    def test_what_is_no_batch_is_asked_again(self, path: Path, shown: Any) -> None:
        world = World()
        [batch_id] = world.create(1)
        answers = [shown]

        class Batches:
            def retrieve(self, batch_id: str) -> Any:
                return answers.pop() if answers else wire.encode_batch(world.api.batch(batch_id)).decode()

        polls = tracked_by(Batches(), [batch_id], path, world.clock)
        assert polls[0].problem is not None
        assert polls[0].problem.startswith("no batch: wrong at $")
        world.assert_told(path, [batch_id])

    def test_a_model_of_the_sdk_is_a_snapshot_too(self, path: Path) -> None:
        world = World()
        [batch_id] = world.create(1)
        with client(world.api, world.api, world.clock) as plain:
            retrieve = plain.messages.batches.retrieve

            class Batches:
                def retrieve(self, batch_id: str) -> Any:
                    return retrieve(batch_id)

            tracked_by(Batches(), [batch_id], path, world.clock)
        world.assert_told(path, [batch_id])

    def test_an_answer_that_the_client_refuses_is_asked_again(self, path: Path) -> None:
        class Refused(Exception):
            status_code = 200

        world = World()
        [batch_id] = world.create(1)
        errors = [Refused()]

        class Batches:
            def retrieve(self, batch_id: str) -> Any:
                if errors:
                    raise errors.pop()
                return world.api.batch(batch_id)

        assert tracked_by(Batches(), [batch_id], path, world.clock)[0].problem == "200, but no batch"

    def test_another_batch_than_asked_for_is_not_written_down(self, path: Path) -> None:
        world = World(around=rewritten(lambda snapshot: snapshot.update(id="msgbatch_of_another")))
        ids = world.create(1)
        stop = threading.Event()

        def once(poll: Poll) -> None:
            world.polls.append(poll)
            stop.set()

        world.track(ids, log=path, stop=stop, on_poll=once)
        assert path.read_bytes() == b""
        assert world.polls[0].problem == "no batch: wrong at $.id"

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_contradiction_is_told_once_kept_apart_and_polled_on(self, path: Path, kind: Kind) -> None:
        """The size of the batch changes for a while (T3)."""
        looks = [0]

        def grow(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if 3 <= looks[0] <= 6:
                snapshot["request_counts"]["processing"] += 1

        world = World(around=rewritten(grow), course=lambda _: Course(timedelta(minutes=5)))
        ids = world.create(1)
        world.track(ids, kind=kind, log=path)
        [conflict] = world.conflicts
        assert [violation.rule.id for violation in conflict.violations] == ["T3", "T5"]
        assert [poll.problem for poll in world.polls].count("a contradiction: T3, T5") == 4
        world.assert_told(path, ids)

    def test_a_snapshot_that_cannot_be_is_kept_apart_from_the_beginning(self, path: Path) -> None:
        looks = [0]

        def break_it(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if looks[0] <= 2:
                snapshot["ended_at"] = snapshot["created_at"]

        world = World(around=rewritten(break_it))
        ids = world.create(1)
        world.track(ids, log=path)
        assert len(world.conflicts) == 1
        assert world.conflicts[0].before is None
        world.assert_told(path, ids)

    def test_what_a_store_cannot_hold_is_asked_again(self) -> None:
        looks = [0]

        def break_it(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if looks[0] == 1:
                snapshot["results_url"] = "https://example.com/\0"

        world, store = World(around=rewritten(break_it), course=lambda _: Course(timedelta(minutes=1))), MemoryStore()
        ids = world.create(1)
        world.clock.sleep(60)
        world.track(ids, log=store)
        assert world.polls[0].problem is not None
        assert world.polls[0].problem.startswith("no batch: wrong at ")
        assert store.batch(ids[0]) == world.api.batch(ids[0])

    def test_a_client_that_hides_that_it_is_asynchronous_is_told(self, path: Path) -> None:
        async def retrieve(batch_id: str) -> Any:
            return never(batch_id)

        class Batches:
            def retrieve(self, batch_id: str) -> Any:
                return retrieve(batch_id)

        with pytest.raises(lc.TrackerError, match="asynchronous"):
            tracked_by(Batches(), ["msgbatch_01"], path, World().clock)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("hook", ["on_start", "on_event", "on_poll", "on_conflict", "on_results"])
    def test_what_a_callback_raises_reaches_the_caller_and_the_log_is_whole(
        self, path: Path, kind: Kind, hook: str
    ) -> None:
        looks = [0]

        def break_it(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if looks[0] == 1:
                snapshot["ended_at"] = snapshot["created_at"]

        def fail(_: object) -> None:
            raise ZeroDivisionError

        world = World(around=rewritten(break_it), course=lambda _: Course(timedelta(minutes=1)))
        ids = world.create(1)
        failing: dict[str, Any] = {hook: fail}
        with pytest.raises(ZeroDivisionError):
            world.track(ids, kind=kind, log=path, results=path.parent, **failing)
        assert lc.replay(log.read(path)).findings == ()
        world.track(ids, kind=kind, log=path, results=path.parent)
        world.assert_told(path, ids)
        assert (path.parent / f"{ids[0]}.jsonl").exists()

    def test_canceled_at_any_await_it_leaves_nothing_behind(self, path: Path) -> None:
        """And goes on, until it is canceled at the next."""
        for place in count(1):
            folder = path.parent / f"{place}"
            folder.mkdir()
            world = World(["429", None, "timeout"], course=lambda _: Course(timedelta(seconds=30), live=True))
            ids = world.create(2)
            if not canceled(world, ids, place, log=folder / path.name, results=folder):
                break
            assert lc.replay(log.read(folder / path.name)).findings == ()
            assert [name for name in names(folder) if name.endswith(".part")] == []
            world.track(ids, kind="async", log=folder / path.name, results=folder)
            world.assert_told(folder / path.name, ids)
            assert len(names(folder)) == 1 + len(ids)
        assert place > 10

    def test_so_it_does_with_a_store(self, tmp_path: Path) -> None:
        for place in count(1):
            url = f"sqlite+aiosqlite:///{tmp_path / f'{place}.db'}"
            world = World(course=lambda _: Course(timedelta(seconds=1)))
            [batch_id] = world.create(1)
            world.clock.sleep(1)
            if not canceled(world, [batch_id], place, log=url):
                break
            with SQLStore(url.replace("+aiosqlite", "")) as store:
                world.track([batch_id], log=store)
                assert list(store.verify()) == []
                assert [record.event.tag for record in store.read(batch_id)] == ["created", "ended"]
        assert place > 3

    def test_nobody_has_to_listen(self, path: Path) -> None:
        looks = [0]

        def break_it(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            snapshot["results_url"] = None
            if looks[0] == 1:
                snapshot["ended_at"] = snapshot["created_at"]

        world = World(around=rewritten(break_it))
        ids = world.create(1)
        nobody: Any = dict.fromkeys(("on_start", "on_event", "on_poll", "on_conflict", "on_results"))
        assert world.track(ids, log=path, results=path.parent / "results", **nobody)

    def test_the_profile_decides_what_a_contradiction_is(self, path: Path) -> None:
        world = World(course=lambda _: Course(timedelta(minutes=5), live=True))  # B7
        ids = world.create(1, size=300)
        world.track(ids, log=path, profile=lc.HOSTED)
        assert [violation.rule.id for violation in world.conflicts[0].violations] == ["B7"]
        report = lc.replay(log.read(path), profile=lc.HOSTED)
        assert report.findings == ()
        assert report.batches[ids[0]] == world.api.batch(ids[0])

    def test_of_a_store_it_is_the_store_s_own(self) -> None:
        world, store = World(course=lambda _: Course(timedelta(minutes=5), live=True)), MemoryStore(profile=lc.HOSTED)
        ids = world.create(1, size=300)
        world.track(ids, log=store)
        assert len(world.conflicts) == 1


def canceled(world: World, ids: list[str], place: int, *, log: Any, **options: Any) -> bool:
    """Track in a task that is canceled at its n-th await; whether it came to that."""

    async def following() -> None:
        async with (
            contextlib.AsyncExitStack() as stack,
            async_client(world.api, world.faults, world.clock) as its,
        ):
            store = await stack.enter_async_context(AsyncSQLStore(log)) if isinstance(log, str) else log
            records = track(its, ids, log=store, clock=world.clock, rng=random.Random(1), **options)
            async with contextlib.aclosing(records):
                await at_await(place, consumed(records))

    async def main() -> bool:
        task = asyncio.ensure_future(following())
        await asyncio.wait([task])
        assert len(asyncio.all_tasks()) == 1
        if not task.cancelled():
            task.result()
        return task.cancelled()

    return run(world.clock, main())


async def consumed(records: Any) -> None:
    async for _ in records:
        pass


@types.coroutine
def at_await(place: int, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
    """Run a coroutine, and cancel its task when it awaits something for the n-th time."""
    steps = work.__await__()
    step: Callable[[], Any] = partial(steps.send, None)
    for number in count(1):
        try:
            future = step()
        except StopIteration:
            return
        if number == place:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        try:
            yield future
            step = partial(steps.send, None)
        except asyncio.CancelledError as error:
            step = partial(steps.throw, error)


def checked(app: App) -> App:
    """What h11 does before it sends a header."""
    from tests.tracker.wires import HTTP  # noqa: PLC0415 -- beside its only use

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        for _, value in scope["headers"]:
            if b"\n" in value:
                raise HTTP.LocalProtocolError(f"Illegal header value {value!r}")
        await app(scope, receive, send)

    return check


def tracked_by(batches: Any, ids: list[str], log: Any, clock: Clock, **options: Any) -> list[Poll]:
    """Track with a client that has nothing but `retrieve`."""
    client: Any = SimpleNamespace(messages=SimpleNamespace(batches=batches))
    polls: list[Poll] = []
    list(track(client, ids, log=log, clock=clock, sleep=clock.sleep, on_poll=polls.append, **options))
    return polls


# -------------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("kind", KINDS)
class TestResults:
    """Streamed into a file, atomically, and reconciled; fetched from the client's origin only."""

    def ended(self, **more: Any) -> tuple[World, list[str]]:
        world = World(course=lambda _: Course(timedelta(minutes=1), {"r1": "errored"}), **more)
        ids = world.create(1)
        world.clock.sleep(60)
        return world, ids

    def test_they_are_there_when_it_is_over(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        world.track(ids, kind=kind, log=path, results=path.parent / "deep" / "results")
        [download] = world.downloads
        assert download.path == path.parent / "deep" / "results" / f"{ids[0]}.jsonl"
        assert download.reconciliation is not None
        assert download.reconciliation.whole
        assert download.reconciliation.tallies == lc.RequestCounts(0, succeeded=2, errored=1)
        assert names(path.parent / "deep" / "results") == [f"{ids[0]}.jsonl"]

    def test_what_is_there_is_not_fetched_again(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        for _ in range(2):
            world.track(ids, kind=kind, log=path, results=path.parent)
        assert len(world.downloads) == 1

    def test_what_is_missing_is_fetched_the_next_time(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        world.track(ids, kind=kind, log=path)
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert (path.parent / f"{ids[0]}.jsonl").exists()

    @pytest.mark.parametrize(
        "url", ["https://evil.example/results", "http://api.anthropic.com/results", "/results", None]
    )
    def test_the_key_goes_nowhere_else(self, path: Path, kind: Kind, url: str | None) -> None:
        world, ids = self.ended(around=rewritten(lambda snapshot: snapshot.update(results_url=url)))
        world.track(ids, kind=kind, log=path, results=path.parent / "results")
        [download] = world.downloads
        assert (download.path, download.reconciliation) == (None, None)
        assert download.problem is not None
        assert len(world.faults.looks) == (1 if url else 4)  # where there is none, one may come
        assert names(path.parent / "results") == []

    def test_where_they_are_may_be_shown_later_than_the_end(self, path: Path, kind: Kind) -> None:
        looks = [0]

        def hide(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if looks[0] <= 3:
                snapshot["results_url"] = None

        world, ids = self.ended(around=rewritten(hide))
        assert len(world.track(ids, kind=kind, log=path)) == 2
        assert world.track(ids, kind=kind, log=path, results=path.parent) == []  # started again, it asks for them
        [download] = world.downloads
        assert download.reconciliation is not None
        assert download.reconciliation.whole
        assert [poll.next_at is None for poll in world.polls] == [True, False, False, True]
        assert world.clock.now - START < timedelta(seconds=60 + 2 * 6)

    @pytest.mark.parametrize("problem", ["404", "500"])
    def test_a_batch_that_is_no_longer_shown_is_not_asked_for_its_url_for_ever(
        self, path: Path, kind: Kind, problem: str
    ) -> None:
        world, ids = self.ended(around=rewritten(lambda snapshot: snapshot.update(results_url=None)))
        world.track(ids, kind=kind, log=path)
        world.faults._plan = iter([problem] * 9)
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert [download.problem for download in world.downloads] == ["the batch has no results_url"]
        assert len(world.faults.looks) == 1 + 3

    def test_no_redirect_is_followed(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended(around=answering(302, b"", ("location", "https://evil.example/"), only="/results"))
        world.track(ids, kind=kind, log=path, results=path.parent / "results")
        assert world.downloads[0].problem == "302"
        assert len(world.faults.looks) == 2

    def test_an_archived_batch_has_none(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        world.clock.sleep(29 * 24 * 3600)
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert world.downloads[0].problem == "the batch is archived: its results are no longer available"

    @pytest.mark.parametrize("status", [404, 429, 500])
    def test_what_passes_is_tried_again(self, path: Path, kind: Kind, status: int) -> None:
        world, ids = self.ended(around=answering(status, only="/results", times=2))
        world.track(ids, kind=kind, log=path, results=path.parent)
        [download] = world.downloads
        assert download.path is not None

    @pytest.mark.parametrize(("status", "times", "minutes"), [(404, 3, 0), (500, 10, 5), (429, 10, 5)])
    def test_after_some_time_they_are_given_up(
        self, path: Path, kind: Kind, status: int, times: int, minutes: int
    ) -> None:
        world, ids = self.ended(around=answering(status, only="/results"))
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert [download.problem for download in world.downloads] == [
            "not seen (404)" if status == 404 else f"{status}"
        ]
        assert len(world.faults.looks) == 1 + times
        assert world.clock.now - START > timedelta(minutes=minutes)

    def test_whoever_may_not_have_them_still_tracks(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended(around=answering(403, only="/results"))
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert [download.problem for download in world.downloads] == ["403"]

    def test_a_body_that_is_cut_off_is_no_file(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended(around=cut_off)
        world.track(ids, kind=kind, log=path, results=path.parent / "results")
        assert world.downloads[0].path is None
        assert names(path.parent / "results") == []

    def test_what_does_not_agree_is_fetched_again_and_told(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended(around=answering(200, b"", only="/results"))
        world.track(ids, kind=kind, log=path, results=path.parent)
        [download] = world.downloads
        assert download.reconciliation is not None
        assert not download.reconciliation.whole
        assert download.path is not None
        assert download.path.read_bytes() == b""
        assert len(world.faults.looks) == 1 + 3

    def test_elsewhere_than_on_posix_no_folder_is_flushed(
        self, path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "name", "other")
        world, ids = self.ended()
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert world.downloads[0].path is not None

    def test_a_folder_that_is_taken_away_is_told(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        folder = path.parent / "results"

        def remove(record: lc.Record) -> None:
            if record.version == 1:
                folder.rmdir()

        world.track(ids, kind=kind, log=path, results=folder, on_event=remove)
        [download] = world.downloads
        assert download.problem is not None
        assert "cannot be written" in download.problem

    def test_a_full_disk_is_waited_for(self, path: Path, kind: Kind) -> None:
        world = World(course=lambda _: Course(timedelta(minutes=1)))
        ids = world.create(1, size=100)
        world.clock.sleep(60)
        with room_for(10_000) as _, pytest.raises(KeyboardInterrupt):
            world.track(ids, kind=kind, log=path, results=path.parent, stop=LookingAt(world, path.parent))
        assert names(path.parent) == [path.name]
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert world.downloads[-1].path is not None

    def test_what_a_kill_has_left_goes_when_they_are_there(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        (path.parent / f"{ids[0]}.jsonl.0123abcd.part").write_bytes(b"{")
        (path.parent / f"{ids[0]}.jsonl.4567cdef.part").mkdir()  # which is none of ours
        (path.parent / "another.jsonl.0123abcd.part").write_bytes(b"{")
        world.track(ids, kind=kind, log=path, results=path.parent)
        left = {path.name, f"{ids[0]}.jsonl", f"{ids[0]}.jsonl.4567cdef.part", "another.jsonl.0123abcd.part"}
        assert set(names(path.parent)) == left

    @pytest.mark.parametrize("cut", [False, True])
    def test_two_trackers_may_have_one_folder(self, path: Path, kind: Kind, cut: bool) -> None:
        """Who is later finds that they are there."""
        world, ids = self.ended()
        inside: list[int] = []

        def around(app: App) -> App:
            async def meanwhile(scope: Scope, receive: Receive, send: Send) -> None:
                if scope["path"].endswith("/results") and not inside:
                    inside.append(1)
                    world.track(ids, log=path, results=path.parent)
                    await (cut_off(app) if cut else app)(scope, receive, send)
                    return
                await app(scope, receive, send)

            return meanwhile

        world.faults.app = around(world.faults.app)
        world.track(ids, kind=kind, log=path, results=path.parent)
        assert [download.problem for download in world.downloads] == [None]
        assert set(names(path.parent)) == {path.name, f"{ids[0]}.jsonl"}
        assert len((path.parent / f"{ids[0]}.jsonl").read_bytes().splitlines()) == 3

    def test_a_folder_that_cannot_be_made_ends_it_before_anything_is_asked(self, path: Path, kind: Kind) -> None:
        world, ids = self.ended()
        path.touch()
        with pytest.raises(lc.LogError):
            world.track(ids, kind=kind, log=path, results=path / "results")
        assert world.faults.looks == []


class LookingAt:
    """A stop that is asked often: when a download has failed, and something is waited for, it interrupts."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder

    def is_set(self) -> bool:
        if self._world.clock.now > START + timedelta(seconds=62):
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize("batch_id", ["../x", "x" * 300])
def test_an_id_cannot_lead_out_of_the_folder(path: Path, batch_id: str) -> None:
    world = World(course=lambda _: Course(timedelta(minutes=1)))
    [real] = world.create(1)
    world.clock.sleep(60)

    class Batches:
        def retrieve(self, asked_for: str) -> lc.MessageBatch:
            return attrs.evolve(world.api.batch(real), id=asked_for)

    class Answer:
        def iter_bytes(self) -> Iterator[bytes]:
            yield b""

        def close(self) -> None:
            pass

    class Client:
        base_url = "https://api.anthropic.com"
        messages: Any

        def get(self, *_: Any, **__: Any) -> Answer:
            return Answer()

    Client.messages = SimpleNamespace(batches=Batches())
    (path.parent / "in").mkdir()
    options: Any = {"clock": world.clock, "sleep": world.clock.sleep, "on_results": world.downloads.append}
    list(track(Client(), [batch_id], log=path, results=path.parent / "in", **options))
    found = "..%2Fx.jsonl" if batch_id == "../x" else None  # no file can have the longer name, which is told
    assert [download.path and download.path.name for download in world.downloads] == [found]
    assert names(path.parent / "in") == ([found] if found else [])


def cut_off(app: App) -> App:
    """Results break off after the first line."""
    from tests.tracker.wires import HTTP  # noqa: PLC0415 -- beside its only use

    async def cut(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].endswith("/results"):
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise HTTP.RemoteProtocolError("peer closed connection")

    return cut


# ------------------------------------------------------------------------------------------------------------ arguments


def never(batch_id: str) -> Any:
    raise AssertionError(batch_id)


NEVER: Any = SimpleNamespace(messages=SimpleNamespace(batches=SimpleNamespace(retrieve=never)))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"ids": "msgbatch_01"}, TypeError),
        ({"ids": b"msgbatch_01"}, TypeError),
        ({"ids": 7}, TypeError),
        ({"ids": [7]}, TypeError),
        ({"ids": [["msgbatch_01"]]}, TypeError),
        ({"ids": [""]}, ValueError),
        ({"ids": ["msgbatch_\udcff"]}, ValueError),
        ({"client": object()}, TypeError),
        ({"log": 7}, TypeError),
        ({"log": AsyncSQLStore}, TypeError),
        ({"log": "-"}, ValueError),
        ({"log": ""}, ValueError),
        ({"profile": "hosted"}, TypeError),
        ({"results": "results"}, TypeError),
        ({"requests_per_second": 0}, ValueError),
        ({"requests_per_second": "1"}, TypeError),
        ({"longest_wait": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": float("inf")}, ValueError),
        ({"concurrency": True}, TypeError),
        ({"on_event": 7}, TypeError),
        ({"on_poll": asyncio.sleep}, TypeError),
        ({"clock": START}, TypeError),
        ({"sleep": 7}, TypeError),
        ({"sleep": asyncio.sleep}, TypeError),
        ({"stop": True}, TypeError),
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments: dict[str, Any], error: type[Exception], tmp_path: Path) -> None:
    given: dict[str, Any] = {"client": NEVER, "ids": ["msgbatch_01"], "log": tmp_path / "a.jsonl"} | arguments
    with pytest.raises(error):
        track(given.pop("client"), given.pop("ids"), **given)
    assert names(tmp_path) == []


def test_a_naive_clock_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    naive: Any = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="clock"):
        next(track(NEVER, ["msgbatch_01"], log=tmp_path / "a.jsonl", clock=lambda: naive))
    assert names(tmp_path) == []


def test_nothing_is_opened_before_the_first_event_is_asked_for(tmp_path: Path) -> None:
    records = track(NEVER, ["msgbatch_01"], log=tmp_path / "a.jsonl", rng=random.Random(1))
    records.close()
    assert names(tmp_path) == []
