"""PostgreSQL that crashes, and connections that break, under eight writers: nothing lost, nothing twice."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lifecycle.store.sql import SQLStore
from tests.store.faults.scale import Guard, Tell, tries
from tests.store.faults.writers import Writers, judged
from tests.store.postgres import Server

STREAMS = [f"msgbatch_{number}" for number in range(12)]
MISTAKES = ("lost", "double", "wrong", "out of order", "damaged")


def crashed(url: str, harm: Callable[[], object], *, times: int) -> Counter[str]:
    """Do harm so often under eight writers; what became of their events."""
    with Writers(lambda: SQLStore(url), STREAMS) as writers:
        for _ in range(times):
            writers.wait_for(20)
            harm()
        writers.wait_for(20)
    with SQLStore(url) as store:
        tally = judged(store, writers.acknowledged)
    tally["acknowledged"] = len(writers.acknowledged)
    tally["refused"] = writers.refused
    return tally


def test_a_restart_loses_nothing_that_was_acknowledged(
    postgres_server: Server, postgres_url: str, record_property: Tell
) -> None:
    times = tries(2, 20)
    tally = crashed(postgres_url, postgres_server.restart_at_once, times=times)
    record_property("tried", f"{times} restarts of PostgreSQL under 8 writers, {tally['acknowledged']} events")
    assert {name: tally[name] for name in MISTAKES} == dict.fromkeys(MISTAKES, 0)


def test_broken_connections_lose_nothing_that_was_acknowledged(
    postgres_server: Server, postgres_url: str, record_property: Tell
) -> None:
    ended = 0

    def end_some() -> None:
        nonlocal ended
        ended += postgres_server.terminate_backends(4)

    tally = crashed(postgres_url, end_some, times=tries(3, 30))
    record_property("tried", f"{ended} connections to PostgreSQL broken under 8 writers")
    assert ended >= tries(6, 100)
    assert {name: tally[name] for name in MISTAKES} == dict.fromkeys(MISTAKES, 0)


def test_without_a_durable_commit_a_restart_loses_some(
    postgres_server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    SQLStore(postgres_url).close()  # the tables at least are durable
    guard = Guard(monkeypatch, "'synchronous_commit', 'on'", "'synchronous_commit', 'off'")
    tally = crashed(postgres_url, postgres_server.restart_at_once, times=1)
    assert guard.met > 0
    assert tally["lost"] > 0


def followed(url: str) -> Counter[str]:
    """Follow eight writers; what the reader has missed."""
    done = threading.Event()

    def follow() -> list[int]:
        read: list[int] = []
        with SQLStore(url) as store:
            while True:
                last = done.is_set()
                after = read[-1] if read else 0
                read += [position for position, _ in store.follow(after=after, timeout=0.0 if last else 0.2)]
                if last:
                    return read

    streams = [f"msgbatch_{number}" for number in range(200)]
    with ThreadPoolExecutor(1) as thread, Writers(lambda: SQLStore(url), streams) as writers:
        reader = thread.submit(follow)
        writers.wait_for(tries(200, 7000))
        done.set()
    with SQLStore(url) as store:
        there = [position for position, _ in store.read_all()]
    read = reader.result()
    tally = Counter({"there": len(there), "missed": len(set(there) - set(read)), "double": len(read) - len(set(read))})
    tally["out of order"] = read != sorted(read)
    return tally


def test_a_reader_of_eight_writers_misses_nothing(postgres_url: str, record_property: Tell) -> None:
    tally = followed(postgres_url)
    record_property("tried", f"a reader behind 8 writers of PostgreSQL, {tally['there']} events")
    assert (tally["missed"], tally["double"], tally["out of order"]) == (0, 0, 0)


def test_a_reader_of_writers_without_the_lock_misses_some(
    postgres_server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: positions by a sequence, as one would do it first."""
    SQLStore(postgres_url).close()
    schema = postgres_url.rpartition("search_path%3D")[2]
    postgres_server.execute(f"CREATE SEQUENCE {schema}.positions INCREMENT 10")
    lock = Guard(monkeypatch, r"pg_advisory_xact_lock\(", "concat(")
    last = Guard(monkeypatch, r"\(SELECT max\(lifecycle_events\.position\)[^)]*\)", "nextval('positions')")
    missed = any(followed(postgres_url)["missed"] for _ in range(10))  # as a rule the first time
    assert min(lock.met, last.met) > 0
    assert missed
