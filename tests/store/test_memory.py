"""The store in memory, and what is judged for every store before it is written."""

import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

import lifecycle as lc
from lifecycle.store import Damage, MemoryStore, execute, execute_async
from lifecycle.store.sql import AsyncSQLStore
from tests.lives import CANCELED, CREATED, DAY, LIFE, T
from tests.store.databases import REPEATED, created, life


def test_it_can_be_used_with_with() -> None:
    with MemoryStore() as store:
        store.append("a", life("a"), expected_version=0)
        assert store.batch("a") == lc.fold(life("a"))


def test_a_profile_is_needed() -> None:
    with pytest.raises(TypeError, match="profile"):
        MemoryStore(profile="hosted")  # type: ignore[arg-type] # wrong on purpose


def test_contract_rules_are_kept_under_hosted_only() -> None:
    events: list[lc.Event] = [created("a"), lc.CountsUpdated(lc.RequestCounts(3, 1))]  # B7
    MemoryStore().append("a", events, expected_version=0)
    store = MemoryStore(profile=lc.HOSTED)
    with pytest.raises(lc.RuleBroken) as raised:
        store.append("a", events, expected_version=0)
    assert [found.rule.id for found in raised.value.violations] == ["B7"]
    assert list(store.streams()) == []
    with pytest.raises(lc.CommandRejected):
        execute(store, "a", lc.Create("a", T, T + 2 * DAY, 4))  # B3


def test_a_broken_law_of_records_says_which() -> None:
    store = MemoryStore()
    with pytest.raises(lc.RuleBroken) as raised:
        store.append("another", [CREATED], expected_version=0)
    assert [found.rule.id for found in raised.value.violations] == ["L2"]
    with pytest.raises(lc.RuleBroken) as raised:
        store.import_records([lc.Record("a", 0, created("a"), None, T)])
    assert [found.rule.id for found in raised.value.violations] == ["L3"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream": 7},
        {"events": 7},
        {"events": "created"},
        {"events": [7]},
        {"events": [CREATED, None]},
        {"event_ids": "x"},
        {"event_ids": [7]},
        {"recorded_at": 7},
        {"recorded_at": [7]},
        {"expected_version": True},
        {"expected_version": "0"},
    ],
)
def test_a_value_of_the_wrong_type_is_a_type_error(wrong: Any) -> None:
    store = MemoryStore()
    given: dict[str, Any] = {"stream": "msgbatch_01", "events": [CREATED], "expected_version": 0} | wrong
    with pytest.raises(TypeError):
        store.append(given.pop("stream"), given.pop("events"), **given)
    assert list(store.streams()) == []


def test_a_naive_time_is_a_value_error() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="naive"):
        store.append("a", [created("a")], expected_version=0, recorded_at=T.replace(tzinfo=None))


def test_places_are_whole_numbers() -> None:
    store = MemoryStore()
    store.append("a", life("a"), expected_version=0)
    for call in (
        lambda: store.read("a", after=cast(int, 0.5)),
        lambda: store.read("a", until=cast(int, "1")),
        lambda: list(store.read_all(after=cast(int, None))),
        lambda: list(store.read_all(limit=cast(int, True))),
        lambda: list(store.follow(after=cast(int, "1"), timeout=0)),
        lambda: store.head(cast(str, 7)),
    ):
        with pytest.raises(TypeError):
            call()


def test_text_of_a_subclass_is_stored_as_text() -> None:
    store = MemoryStore()
    store.append(lc.Phase.ENDED, [created("ended")], expected_version=0, event_ids=[lc.Phase.ENDED])
    [record] = store.read("ended")
    assert (type(record.batch_id), type(record.event_id)) == (str, str)
    assert store.head(lc.Phase.ENDED).version == 1


def test_escaped_backslashes_are_no_nul() -> None:
    store = MemoryStore()
    store.append("a\\u0000", [created("a\\u0000")], expected_version=0)
    assert store.head("a\\u0000").version == 1


def test_a_follower_waits() -> None:
    store = MemoryStore()
    following = store.follow(timeout=60)
    thread = threading.Thread(target=store.append, args=("a", [created("a")]), kwargs={"expected_version": 0})
    thread.start()
    assert next(following)[0] == 1
    thread.join()


def test_damage_says_where_it_is() -> None:
    assert str(Damage("lost")) == "lost"
    assert str(Damage("lost", "a")) == "stream 'a': lost"
    assert str(Damage("lost", "a", 2, 7)) == "stream 'a', version 2, position 7: lost"
    assert pickle.loads(pickle.dumps(Damage("lost", "a"))) == Damage("lost", "a")


class Contended(MemoryStore):
    """Another writer is first, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def append(self, stream: str, events: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        if self.times:
            self.times -= 1
            head = self.head(stream)
            super().append(stream, [REPEATED], expected_version=head.version)
        return super().append(stream, events, **keywords)


class AsyncContended:
    """The same for asyncio."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.profile = store.profile

    async def head(self, stream: str) -> Any:
        return self.store.head(stream)

    async def append(self, stream: str, events: Any, **keywords: Any) -> Any:
        return self.store.append(stream, events, **keywords)


class TestExecute:
    CANCEL = lc.Cancel(CANCELED.cancel_initiated_at)

    @staticmethod
    def started(times: int) -> MemoryStore:
        store = Contended(0)
        store.append("msgbatch_01", LIFE[:1], expected_version=0)
        store.times = times
        return store

    def executed(self, store: MemoryStore, *, asynchronous: bool, **keywords: Any) -> Any:
        if asynchronous:
            wrapped = cast(AsyncSQLStore, AsyncContended(store))
            return run(execute_async(wrapped, "msgbatch_01", self.CANCEL, **keywords))
        return execute(store, "msgbatch_01", self.CANCEL, **keywords)

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_it_tries_again_on_conflict(self, asynchronous: bool) -> None:
        store = self.started(3)
        batch, events = self.executed(store, asynchronous=asynchronous)
        assert events == (CANCELED,)
        assert store.batch("msgbatch_01") == batch
        assert store.head("msgbatch_01").version == 5

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_it_gives_up_after_so_many_attempts(self, asynchronous: bool) -> None:
        store = self.started(3)
        with pytest.raises(lc.VersionConflict):
            self.executed(store, asynchronous=asynchronous, attempts=3)
        assert store.batch("msgbatch_01").phase is lc.Phase.IN_PROGRESS

    def test_a_stream_must_be_named_by_its_batch(self) -> None:
        store = MemoryStore()
        with pytest.raises(lc.RuleBroken):
            execute(store, "another", lc.Create("a", T, T + DAY, 4))
        assert list(store.streams()) == []


def run(work: Any) -> Any:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400])
def test_a_follower_may_wait_longer_than_a_lock_can(timeout: float) -> None:
    store = MemoryStore()
    with ThreadPoolExecutor(1) as pool:
        following = store.follow(timeout=timeout)
        waiting = pool.submit(next, following)
        store.append("a", [created("a")], expected_version=0)
        assert waiting.result()[0] == 1


def test_a_follower_is_told_how_long_to_wait_in_seconds() -> None:
    with pytest.raises(ValueError, match="timeout"):
        MemoryStore().follow(timeout=math.nan)
    with pytest.raises(TypeError, match="timeout"):
        MemoryStore().follow(timeout="1")  # type: ignore[arg-type] # wrong on purpose
    assert list(MemoryStore().follow(timeout=-1)) == []
