"""Eight writers on one stream, and a reader behind them."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

import lifecycle as lc
from lifecycle.store import MemoryStore, Store, databases
from lifecycle.store.sql import SQLStore
from tests.store.faults.scale import Tell, event, tries
from tests.store.faults.writers import Attempt, contradictions
from tests.store.postgres import Server

STREAM = "msgbatch_01"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens one and the same store for each writer."""
    if request.param == "memory":
        store = MemoryStore()
        return lambda: store
    url = f"sqlite:///{tmp_path / 'night.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return lambda: SQLStore(url)


def raced(open_store: Callable[[], Store], append: Callable[[Store, int], None], *, times: int) -> list[Attempt]:
    """Let eight writers try to append to one stream, each so many times."""
    barrier = threading.Barrier(8)

    def write(_: int) -> list[Attempt]:
        store = open_store()
        attempts = []
        for number in range(times):
            try:
                expected = store.head(STREAM).version
            except lc.StreamNotFound:
                expected = 0
            if number % 3 == 0:
                barrier.wait(60)  # at times they all come at once
            actual, began = None, time.monotonic_ns()
            try:
                append(store, expected)
            except lc.VersionConflict as error:
                assert (error.stream, error.expected) == (STREAM, expected)
                actual = error.actual
            attempts.append(Attempt(began, time.monotonic_ns(), expected, actual))
        if isinstance(store, SQLStore):
            store.close()
        return attempts

    with ThreadPoolExecutor(8) as threads:
        return [attempt for attempts in threads.map(write, range(8)) for attempt in attempts]


def test_each_version_has_one_winner(open_store: Callable[[], Store], record_property: Tell) -> None:
    def append(store: Store, expected: int) -> None:
        store.append(STREAM, [event(STREAM, expected + 1)], expected_version=expected)

    history = raced(open_store, append, times=tries(15, 1000))
    won = sum(attempt.actual is None for attempt in history)
    store = open_store()
    record_property("tried", f"{type(store).__name__}: {len(history)} attempts of 8 writers, {won} of them won")
    assert contradictions(history) == []
    assert 0 < won < len(history)
    assert [record.version for record in store.read(STREAM)] == list(range(1, won + 1))
    if isinstance(store, SQLStore):
        store.close()


def test_writers_who_force_their_way_are_found_out() -> None:
    """The negative control: without the expected version, two win where one may."""
    store = MemoryStore()

    def append(_: Store, expected: int) -> None:
        try:
            store.append(STREAM, [event(STREAM, expected + 1)], expected_version=expected)
        except lc.VersionConflict as error:
            append(store, error.actual)

    assert any("two have won" in found for found in contradictions(raced(lambda: store, append, times=5)))


def test_whoever_opens_a_store_that_another_is_making_leaves_it_as_it_is(
    postgres_server: Server, postgres_url: str
) -> None:
    engine = sa.create_engine(postgres_url)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    made = sa.text("SELECT version, xmin::text FROM lifecycle_store")
    with ThreadPoolExecutor(1) as thread, engine.connect() as connection:
        SQLStore(connection=connection)
        opening = thread.submit(SQLStore, postgres_url)
        while postgres_server.execute(waiting) == [(0,)]:
            assert not opening.done()
        before = connection.execute(made).all()
        connection.commit()
        opening.result().close()
        assert connection.execute(made).all() == before
    engine.dispose()


@pytest.mark.parametrize("moment", range(12))
def test_a_store_that_another_makes_while_it_is_opened_is_whole(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, run, statements = f"sqlite:///{tmp_path / 'night.db'}", databases._run, itertools.count()

    def interrupted(connection: sa.Connection, text: str, values: Any = ()) -> list[Any]:
        driver: Any = connection.connection.driver_connection
        number, begun = next(statements), driver.in_transaction
        if number == moment and not begun:
            SQLStore(url).close()
        return run(connection, text, values)

    monkeypatch.setattr(databases, "_run", interrupted)
    with SQLStore(url) as store:
        assert list(store.verify()) == []


class TestTheModel:
    """It is independent of the stores; each contradiction is found in a history that has it alone."""

    HISTORY = (Attempt(0, 10, 0, None), Attempt(-5, 25, 0, 1), Attempt(11, 20, 1, None), Attempt(21, 30, 1, 2))

    def test_a_history_without_a_fault_has_none(self) -> None:
        assert contradictions(self.HISTORY) == []

    @pytest.mark.parametrize(
        ("place", "change", "found"),
        [
            (3, {"actual": None}, "two have won version 2"),
            (2, {"expected": 2}, "there are versions that nobody has won"),
            (2, {"began": -2, "ended": -1}, "version 2 was there before an earlier one was begun"),
            (1, {"actual": 0}, "refused at version 0, which it expected"),
            (1, {"ended": 5, "actual": 2}, "refused for version 2, which was not yet there"),
            (3, {"actual": 7}, "refused for version 7, which was not yet there"),
            (3, {"expected": 2, "actual": 1}, "refused for version 1, which was no longer the last"),
        ],
    )
    def test_each_fault_is_found(self, place: int, change: dict[str, Any], found: str) -> None:
        history = list(self.HISTORY)
        history[place] = attrs.evolve(history[place], **change)
        assert contradictions(history) == [found]
