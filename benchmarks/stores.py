"""
The stores against their databases by hand and against `eventsourcing`: ``python -m benchmarks.stores [--events N]``.

Needs the dependency group ``bench``.

- append, one event or 500 at a time, durably: against the driver by hand, with the same settings, isolation and check
  of the expected version. Both start from events and encode them alike; ours judges, hashes and folds them, too. On
  PostgreSQL also against the recorder of `eventsourcing`, which is given bytes.
- load a stream of ten events and fold it: against fetching its rows, and against the ``repository.get`` of
  `eventsourcing` with an aggregate of the same six events, which checks none of the rules.
- with ``--events N``, instead of all that: one stream of a store that has so many events already against one of a store
  that has none.

Writing waits for the disk or the server, so it is measured by the wall clock, and the rounds are short: what else the
machine does meanwhile then hits both sides.
"""

import argparse
import itertools
import random
import secrets
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

import lifecycle as lc
from benchmarks.measure import compare
from lifecycle import wire
from lifecycle.store.sql import SQLStore
from tests.store.postgres import Server

DAY = timedelta(hours=24)
T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
URL = "https://api.anthropic.com/v1/messages/batches/msgbatch_016p4d74dpScsKg7Q1bcA9bz/results"
UPDATES = tuple(lc.CountsUpdated(lc.RequestCounts(100 - done, done)) for done in (10, 20, 30, 40, 50))
REST: tuple[lc.Event, ...] = (
    *UPDATES,
    lc.CancelInitiated(T + DAY / 4),
    lc.Ended(T + DAY / 2, lc.RequestCounts(0, 60, 0, 40), URL),
    lc.Archived(T + 30 * DAY),
    lc.Deleted(T + 31 * DAY),
)
"""What follows in a life of ten events."""


def life(stream: str) -> list[lc.Event]:
    """A whole life, of ten events."""
    return [lc.Created(stream, T, T + DAY, 100), *REST]


def now() -> datetime:
    """What time it is: a peer's clock."""
    return datetime.now(UTC)  # noqa: TID251 -- what stores do


def names() -> Iterator[str]:
    """Ids of new streams."""
    return (f"msgbatch_{secrets.token_hex(12)}" for _ in itertools.count())


def one_by_one(
    append: Callable[[str, int, lc.Event], object], streams: Iterator[str] | None = None
) -> Callable[[], None]:
    """A function that appends one event: the next of a life of ten, or the first of the next stream."""

    def steps() -> Iterator[None]:
        for stream in streams or names():
            for version, found in enumerate(life(stream)):
                append(stream, version, found)
                yield

    return partial(next, steps())


# --------------------------------------------------------------------------------------------------- databases by hand


class SQLiteByHand:
    """What a careful user writes: WAL, FULL, STRICT, ``BEGIN IMMEDIATE``, and a check of the expected version."""

    schema = """
CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
event_id TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, recorded_at TEXT NOT NULL,
UNIQUE (stream, version), UNIQUE (stream, event_id)) STRICT"""
    current = "SELECT coalesce(max(version), 0) FROM events WHERE stream = ?"
    insert = "INSERT INTO events (stream, version, event_id, type, data, recorded_at) VALUES (?, ?, ?, ?, ?, ?)"
    select = (
        "SELECT position, stream, version, event_id, type, data, recorded_at FROM events WHERE stream = ? "
        "ORDER BY version"
    )

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute(self.schema)

    def append(self, stream: str, expected_version: int, events: Sequence[lc.Event]) -> None:
        """Append events to a stream that has this version."""
        connection, token, time_ = self.connection, secrets.token_hex(16), wire.stamp(now())
        connection.execute("BEGIN IMMEDIATE")
        try:
            [(version,)] = connection.execute(self.current, (stream,))
            if version != expected_version:
                raise ValueError(version)  # noqa: TRY301 -- one way back
            values = [
                (stream, place, f"{token}/{place}", wire.type_of(found), wire.encode_event(found).decode(), time_)
                for place, found in enumerate(events, expected_version + 1)
            ]
            if len(values) == 1:
                connection.execute(self.insert, values[0])
            else:
                connection.executemany(self.insert, values)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def fetch(self, stream: str) -> list[Any]:
        """The rows of a stream."""
        return self.connection.execute(self.select, (stream,)).fetchall()


class PostgresByHand:
    """The same with psycopg, which prepares what is executed often; one lock, so that positions are in order."""

    schema = """
CREATE TABLE events (position BIGINT PRIMARY KEY, stream TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL,
event_id TEXT COLLATE "C" NOT NULL, type TEXT NOT NULL, data JSON NOT NULL, recorded_at TEXT NOT NULL,
UNIQUE (stream, version), UNIQUE (stream, event_id))"""
    begin = (
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = 30000; "
        "SELECT pg_advisory_xact_lock(1)"
    )
    current = (
        "SELECT (SELECT coalesce(max(position), 0) FROM events), coalesce(max(version), 0) FROM events "
        "WHERE stream = %s"
    )
    insert = "INSERT INTO events VALUES (%s, %s, %s, %s, %s, %s, %s)"

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self.connection.execute(self.schema)

    def append(self, stream: str, expected_version: int, found: lc.Event) -> None:
        """Append an event to a stream that has this version."""
        connection, token, time_ = self.connection, secrets.token_hex(16), wire.stamp(now())
        connection.execute(self.begin)
        try:
            [(position, version)] = connection.execute(self.current, (stream,)).fetchall()
            if version != expected_version:
                raise ValueError(version)  # noqa: TRY301 -- one way back
            type_, data = wire.type_of(found), wire.encode_event(found).decode()
            values = (position + 1, stream, version + 1, f"{token}/{version + 1}", type_, data, time_)
            connection.execute(self.insert, values)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


# ------------------------------------------------------------------------------------------------------- eventsourcing


class Batch(Aggregate):
    """The life of a batch as `eventsourcing` has it: six events, each a method that applies it."""

    @event("Created")
    def __init__(self, batch_id: str, created_at: datetime, expires_at: datetime, request_count: int) -> None:
        self.batch_id = batch_id
        self.status = "in_progress"
        self.batch_created_at = created_at
        self.expires_at = expires_at
        self.counts = {"processing": request_count, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        self.ended_at: datetime | None = None
        self.cancel_initiated_at: datetime | None = None
        self.archived_at: datetime | None = None
        self.deleted_at: datetime | None = None
        self.results_url: str | None = None

    @event("CountsUpdated")
    def update_counts(self, counts: dict[str, int]) -> None:
        """The counts have moved."""
        self.counts = counts

    @event("CancelInitiated")
    def cancel(self, cancel_initiated_at: datetime) -> None:
        """It is being canceled."""
        self.status = "canceling"
        self.cancel_initiated_at = cancel_initiated_at

    @event("Ended")
    def end(self, ended_at: datetime, counts: dict[str, int], results_url: str | None) -> None:
        """It has ended."""
        self.status = "ended"
        self.ended_at = ended_at
        self.counts = counts
        self.results_url = results_url

    @event("Archived")
    def archive(self, archived_at: datetime, results_url: str | None) -> None:
        """Its results are gone."""
        self.archived_at = archived_at
        self.results_url = results_url

    @event("Deleted")
    def delete(self, deleted_at: datetime) -> None:
        """It is deleted."""
        self.deleted_at = deleted_at


def aggregate_of(stream: str) -> Batch:
    """An aggregate that has gone through the same life."""

    def counts_of(found: lc.CountsUpdated | lc.Ended) -> dict[str, int]:
        counts = found.request_counts
        keys = ("processing", "succeeded", "errored", "canceled", "expired")
        return {key: getattr(counts, key) for key in keys}

    batch = Batch(stream, T, T + DAY, 100)
    for found in REST:
        match found:
            case lc.CountsUpdated():
                batch.update_counts(counts_of(found))
            case lc.CancelInitiated():
                batch.cancel(found.cancel_initiated_at)
            case lc.Ended():
                batch.end(found.ended_at, counts_of(found), found.results_url)
            case lc.Archived():
                batch.archive(found.archived_at, found.results_url)
            case lc.Deleted():
                batch.delete(found.deleted_at)
    return batch


def same(ours: lc.MessageBatch, theirs: Batch) -> bool:
    """Whether both sides have come to the same batch."""
    return (
        ours.id,
        ours.processing_status,
        ours.created_at,
        ours.expires_at,
        ours.ended_at,
        ours.cancel_initiated_at,
        ours.archived_at,
        ours.deleted_at,
        ours.results_url,
        ours.request_counts.canceled,
    ) == (
        theirs.batch_id,
        theirs.status,
        theirs.batch_created_at,
        theirs.expires_at,
        theirs.ended_at,
        theirs.cancel_initiated_at,
        theirs.archived_at,
        theirs.deleted_at,
        theirs.results_url,
        theirs.counts["canceled"],
    )


# -------------------------------------------------------------------------------------------------------- the parts


def load(store: SQLStore, stream: str) -> lc.MessageBatch:
    """Load a stream and fold it."""
    return lc.fold([record.event for record in store.read(stream)])


def append_one(store: SQLStore, stream: str, version: int, found: lc.Event) -> None:
    """Append an event to ours."""
    store.append(stream, (found,), expected_version=version)


def append_one_by_hand(by_hand: SQLiteByHand, stream: str, version: int, found: lc.Event) -> None:
    """Append an event by hand."""
    by_hand.append(stream, version, (found,))


def check_kept(store: SQLStore, connection: Any) -> None:
    """Both sides have the same events, as often, at the same places of their streams."""
    # The first event of a stream names it, so those differ.
    ours = Counter(
        (record.version, wire.type_of(record.event), wire.encode_event(record.event).decode())
        for _, record in store.read_all()
        if record.version > 1
    )
    found = connection.execute("SELECT version, type, CAST(data AS TEXT) FROM events WHERE version > 1")
    assert ours == Counter(map(tuple, found))


def sqlite(folder: Path) -> None:
    """SQLite by hand, and `eventsourcing` on it."""
    by_hand = SQLiteByHand(folder / "by_hand.db")
    with closing(by_hand.connection), SQLStore(f"sqlite:///{folder / 'ours.db'}") as store:
        updates = [lc.CountsUpdated(lc.RequestCounts(500 - done, done)) for done in range(1, 500)]
        streams, others = names(), names()

        def append_many() -> None:
            stream = next(streams)
            store.append(stream, [lc.Created(stream, T, T + DAY, 500), *updates], expected_version=0)

        def append_many_by_hand() -> None:
            stream = next(others)
            by_hand.append(stream, 0, [lc.Created(stream, T, T + DAY, 500), *updates])

        for clock, by in ((time.perf_counter, "wall"), (time.process_time, "CPU")):
            one, other = one_by_one(partial(append_one, store)), one_by_one(partial(append_one_by_hand, by_hand))
            compare(f"SQLite, append, {by} (sqlite3)", one, other, times=10, count=101, clock=clock)
            name = f"SQLite, append 500, per event, {by} (sqlite3)"
            compare(name, append_many, append_many_by_hand, times=1, per=500, count=51, clock=clock)
        check_kept(store, by_hand.connection)
        stream = next(streams)
        for version, found in enumerate(life(stream)):
            append_one(store, stream, version, found)
            by_hand.append(stream, version, [found])
        ours, batch, fetch = partial(load, store, stream), partial(store.batch, stream), partial(by_hand.fetch, stream)
        assert [wire.encode_event(record.event).decode() for record in store.read(stream)] == [
            row[5] for row in fetch()
        ]
        compare("SQLite, read and fold 10 events (their rows)", ours, fetch, times=100, count=51)
        assert batch() == ours()
        compare("SQLite, batch of 10 events (their rows)", batch, fetch, times=100, count=51)
        app: Application[UUID] = Application(
            env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "eventsourcing.db")}
        )
        with app:
            aggregate = aggregate_of(stream)
            app.save(aggregate)
            get = partial(app.repository.get, aggregate.id)
            assert same(ours(), get())
            compare("SQLite, read and fold 10 events (eventsourcing)", ours, get, times=100)
            compare("SQLite, batch of 10 events (eventsourcing)", batch, get, times=100)


def postgres() -> None:
    """PostgreSQL by hand, and the recorder of `eventsourcing`."""
    with Server(synchronous_commit="on", fsync="on") as server, server.schema() as url:
        [(fsync, commit)] = server.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        assert (fsync, commit) == ("on", "on")
        by_hand = PostgresByHand(url)
        with closing(by_hand.connection), SQLStore(url) as store, recorder(server) as theirs:
            ours, raw = one_by_one(partial(append_one, store)), one_by_one(by_hand.append)
            for name, other in (("psycopg", raw), ("eventsourcing", theirs)):
                compare(f"PostgreSQL, append, wall ({name})", ours, other, times=10, count=101, clock=time.perf_counter)
                if other is raw:
                    check_kept(store, by_hand.connection)


@contextmanager
def recorder(server: Server) -> Iterator[Callable[[], None]]:
    """A function that appends one event with the recorder of `eventsourcing`."""
    with server.schema() as url:
        schema = url.rpartition("%3D")[2]
        host = str(server.folder)
        with PostgresDatastore("postgres", host, "5432", "postgres", "", schema=schema) as datastore:
            found = PostgresApplicationRecorder(datastore, events_table_name="stored_events")
            found.create_table()

            streams: dict[str, UUID] = {}

            def append(stream: str, version: int, one: lc.Event) -> None:
                stored = streams.get(stream) or streams.setdefault(stream, uuid4())
                found.insert_events([StoredEvent(stored, version + 1, wire.type_of(one), wire.encode_event(one))])

            yield one_by_one(append)
            for stream, stored in [*streams.items()][:-1]:
                kept = [one.state for one in found.select_events(stored)]
                assert kept == list(map(wire.encode_event, life(stream)))


# ------------------------------------------------------------------------------------------------------- a large store


def build(path: Path, events: int) -> None:
    """A store of so many events: lives of ten, through the store itself, 100,000 in one transaction of the caller's."""
    with SQLStore(f"sqlite:///{path}"):
        pass
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
        connection.exec_driver_sql("PRAGMA cache_size = -200000")
        connection.commit()
        store = SQLStore(connection=connection)
        for number in range(events // 10):
            stream = f"msgbatch_{number:010d}"
            store.append(stream, life(stream), expected_version=0, recorded_at=T)
            if number % 10_000 == 9_999:
                connection.commit()
        connection.commit()
    engine.dispose()


def large(folder: Path, events: int, path: Path | None) -> None:
    """A store with so many events against one with none."""
    if path is None or not path.exists():
        path = path or folder / "large.db"
        start = time.monotonic()
        build(path, events)
        print(f"built in {time.monotonic() - start:,.0f} s: {path.stat().st_size / 2**30:.2f} GiB")
    with SQLStore(f"sqlite:///{path}") as full, SQLStore(f"sqlite:///{folder / 'empty.db'}") as empty:
        assert len([*full.read_all(after=events - 1, limit=1)]) == 1
        for clock, by in ((time.perf_counter, "wall"), (time.process_time, "CPU")):
            compare(
                f"append to {events:,} events (to none), {by}",
                one_by_one(partial(append_one, full), between(events)),
                one_by_one(partial(append_one, empty), between(events)),
                times=10,
                count=101,
                clock=clock,
            )
            stream = next(between(events))
            for store in (full, empty):
                store.append(stream, life(stream), expected_version=0)
            assert load(full, stream) == load(empty, stream)
            loads = partial(load, full, stream), partial(load, empty, stream)
            compare(f"load of one stream, {by}", *loads, times=100, clock=clock)
            compare(f"load of any stream, {by}", lambda: load(full, old(events)), loads[1], times=100, clock=clock)


def between(events: int) -> Iterator[str]:
    """Ids of new streams anywhere between the old ones, as those of new batches fall."""
    return (f"{old(events)}_{secrets.token_hex(5)}" for _ in itertools.count())


def old(events: int) -> str:
    """The id of a stream that `build` has made."""
    return f"msgbatch_{random.randrange(events // 10):010d}"  # noqa: S311 -- no secret


def main() -> None:
    """Print a line for each comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stores")
    parser.add_argument("--events", type=int, help="compare a store with so many events with an empty one, no more")
    parser.add_argument("--path", type=Path, help="where that store is, or is to be kept")
    arguments, _ = parser.parse_known_args()  # all benchmarks are given those of the session
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'':<44} {'ours':>11} {'theirs':>11}")
        if arguments.events:
            large(folder, arguments.events, arguments.path)
            return
        sqlite(folder)
        postgres()


if __name__ == "__main__":
    main()
