"""Writers that go on whatever happens to the database, and what must be true of the store afterwards."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Self

import attrs

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.store.faults.scale import event, events

Open = Callable[[], AbstractContextManager[SQLStore]]


class Writers:
    """
    Threads that append until they are told to stop; use it with ``with``.

    An append that fails without saying that nothing has changed is repeated with the same event ids, and so is one that
    says so: both must come to the same.

    Args:
        open_store: Opens the store; each writer does so for itself.
        streams: What they append to, all of them to each.
        number: How many.
    """

    def __init__(self, open_store: Open, streams: Sequence[str], *, number: int = 8) -> None:
        self._open = open_store
        self._streams = streams
        self._number = number
        self._stop = threading.Event()
        self._told = threading.Condition()
        self._threads = ThreadPoolExecutor(number)
        self._opened = threading.Barrier(number + 1)  # no harm is done before: to open a store is tried once
        self.acknowledged: dict[str, lc.Record] = {}
        """By event id."""
        self.refused = 0
        """How many appends failed, other than for another writer."""

    def __enter__(self) -> Self:
        self._running = [self._threads.submit(self._write, writer) for writer in range(self._number)]
        self._opened.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for running in self._running:
            running.result()

    def wait_for(self, number: int) -> None:
        """Wait until so many more events have been acknowledged."""
        with self._told:
            enough = len(self.acknowledged) + number
            done = self._told.wait_for(lambda: len(self.acknowledged) >= enough or self._failed(), timeout=120)
        assert done, "the writers are stuck"
        assert not self._failed()

    def _failed(self) -> bool:
        return any(running.done() for running in self._running)

    def _write(self, writer: int) -> None:
        rng = random.Random(writer)
        with self._open() as store:
            self._opened.wait(120)
            number = 0
            while not self._stop.is_set():
                number += 1
                stream, length = rng.choice(self._streams), rng.choice((1, 1, 1, 4))
                ids = [f"{writer}/{number}/{place}" for place in range(length)]
                records = self._append(store, stream, length, ids)
                with self._told:
                    self.acknowledged.update((record.event_id, record) for record in records)
                    self._told.notify_all()

    def _append(self, store: SQLStore, stream: str, length: int, ids: list[str]) -> tuple[lc.Record, ...]:
        version: int | None = None
        while True:
            try:
                if version is None:
                    version = self._version(store, stream)
                return store.append(stream, events(stream, version, length), expected_version=version, event_ids=ids)
            except lc.VersionConflict:
                version = None
            except lc.StoreError:
                self.refused += 1
                if self._stop.wait(0.005):  # the server may need a moment
                    return ()

    def _version(self, store: SQLStore, stream: str) -> int:
        try:
            return store.head(stream).version
        except lc.StreamNotFound:
            return 0


def judged(store: SQLStore, acknowledged: dict[str, lc.Record]) -> Counter[str]:
    """Count what is not as it should be."""
    tally: Counter[str] = Counter()
    found: dict[str, lc.Record] = {}
    versions: Counter[str] = Counter()
    last = 0
    for position, record in store.read_all():
        tally["out of order"] += position <= last
        last = position
        versions[record.batch_id] += 1
        version = versions[record.batch_id]
        tally["wrong"] += (record.version, record.event) != (version, event(record.batch_id, version))
        tally["double"] += record.event_id in found
        found[record.event_id] = record
    tally["lost"] += sum(found.get(name) != record for name, record in acknowledged.items())
    tally["damaged"] += len(list(store.verify()))
    return tally


@attrs.frozen
class Attempt:
    """An append of one event, as its writer saw it."""

    began: int
    """In nanoseconds, as `ended`."""
    ended: int
    expected: int
    """The version that it expected."""
    actual: int | None
    """The version that was in its way; None if it won."""


def contradictions(history: Sequence[Attempt]) -> list[str]:
    """
    What in a history of appends to one stream cannot be, if there is one stream and each append happens at one moment.

    A version is won by one attempt; it is won before the next one is; and who lost did so to a version that the stream
    had between the beginning and the end of the attempt.
    """
    found: list[str] = []
    wins: dict[int, Attempt] = {}
    for attempt in history:
        if attempt.actual is None:
            if attempt.expected + 1 in wins:
                found.append(f"two have won version {attempt.expected + 1}")
            wins[attempt.expected + 1] = attempt
    if sorted(wins) != list(range(1, len(wins) + 1)):
        found.append("there are versions that nobody has won")
        return found
    latest = 0
    for version in sorted(wins):
        if wins[version].ended < latest:
            found.append(f"version {version} was there before an earlier one was begun")
        latest = max(latest, wins[version].began)
    for attempt in history:
        if attempt.actual is not None:
            if attempt.actual == attempt.expected:
                found.append(f"refused at version {attempt.actual}, which it expected")
            if attempt.actual and (attempt.actual not in wins or wins[attempt.actual].began > attempt.ended):
                found.append(f"refused for version {attempt.actual}, which was not yet there")
            if attempt.actual + 1 in wins and wins[attempt.actual + 1].ended < attempt.began:
                found.append(f"refused for version {attempt.actual}, which was no longer the last")
    return found
