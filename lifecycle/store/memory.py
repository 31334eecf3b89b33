"""A store in memory: for tests, and for what need not last."""

import threading
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self

import attrs

from lifecycle.batch import MessageBatch
from lifecycle.errors import StreamNotFound
from lifecycle.events import Event, Record
from lifecycle.folding import check_type
from lifecycle.rules import LAWS, Profile
from lifecycle.store.ledger import (
    UPCASTS,
    Damage,
    Head,
    HeadRow,
    Request,
    Row,
    Upcasts,
    Values,
    forgettable,
    head_of,
    head_row,
    judge,
    number,
    plain,
    record_of,
    request,
    requests,
    seconds,
    verified,
    without_data,
)


class MemoryStore:
    """
    A store in memory, as safe for threads as the others.

    Args:
        profile: Which rules an append has to keep.
        upcasts: The steps from older schemas of events.
    """

    def __init__(self, *, profile: Profile = LAWS, upcasts: Upcasts = UPCASTS) -> None:
        check_type("profile", profile, Profile)
        self.profile = profile
        """Which rules an append has to keep."""
        self._upcasts = upcasts
        self._rows: list[Row] = []
        self._heads: dict[str, HeadRow] = {}
        self._places: dict[tuple[str, int | str], int] = {}  # of a version of a stream, and of an event id of it
        self._changed = threading.Condition(threading.RLock())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def append(
        self,
        stream: str,
        events: Iterable[Event],
        *,
        expected_version: int,
        event_ids: Iterable[str] | None = None,
        recorded_at: datetime | Iterable[datetime] | None = None,
    ) -> tuple[Record, ...]:
        """See `lifecycle.store.Store.append`."""
        found = request(stream, events, expected_version, event_ids, recorded_at)
        with self._changed:
            return self._write([found])[0][1]

    def import_records(self, records: Iterable[Record]) -> int:
        """See `lifecycle.store.Store.import_records`."""
        found = requests(list(records))
        with self._changed:
            return sum(len(rows) for rows, _ in self._write(found))

    def _write(self, found: list[Request]) -> list[tuple[list[Values], tuple[Record, ...]]]:
        """Append for each of *found*, or for none."""
        before = len(self._rows)
        heads = dict[str, HeadRow | None]()
        written = []
        try:
            for one in found:
                stream = one.stream
                kept = self._heads.get(stream)
                heads.setdefault(stream, kept)
                ids = [(stream, item.event_id) for item in one.items if (stream, item.event_id) in self._places]
                rows, head, records = judge(
                    one,
                    None if kept is None else head_of(kept),
                    {event_id: self._rows[self._places[stream, event_id]] for stream, event_id in ids},
                    len(self._rows),
                    self.profile,
                    self._upcasts,
                )
                for row in map(Row._make, rows):
                    self._places[stream, row.event_id] = self._places[stream, row.version] = len(self._rows)
                    self._rows.append(row)
                if head is not None:
                    self._heads[stream] = head_row(head)
                written.append((rows, records))
        except BaseException:
            for row in self._rows[before:]:
                del self._places[row.stream, row.event_id], self._places[row.stream, row.version]
            del self._rows[before:]
            for stream, kept in heads.items():
                if kept is None:
                    self._heads.pop(stream, None)
                else:
                    self._heads[stream] = kept
            raise
        self._changed.notify_all()
        return written

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[Record, ...]:
        """See `lifecycle.store.Store.read`."""
        with self._changed:
            head = self.head(stream)
            if head.batch is None:
                raise StreamNotFound(stream, forgotten=True)
            last = head.version if until is None else min(number("until", until), head.version)
            versions = range(number("after", after) + 1, last + 1)
            rows = [self._rows[self._places[stream, version]] for version in versions]
        return tuple(record_of(row, self._upcasts) for row in rows)

    def read_all(self, *, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """See `lifecycle.store.Store.read_all`."""
        left = None if limit is None else number("limit", limit)
        return islice(self._rest(number("after", after), 0), left)

    def follow(self, *, after: int = 0, timeout: float | None = None) -> Generator[tuple[int, Record], None, None]:
        """See `lifecycle.store.Store.follow`."""
        return self._rest(
            number("after", after), None if timeout is None else seconds("timeout", timeout, threading.TIMEOUT_MAX)
        )

    def _rest(self, place: int, timeout: float | None) -> Generator[tuple[int, Record], None, None]:
        while True:
            with self._changed:
                if not self._changed.wait_for(partial(self._has, place), timeout):
                    return
                row = self._rows[place]
            place += 1
            if row.data is not None:
                yield place, record_of(row, self._upcasts)

    def _has(self, place: int) -> bool:
        return len(self._rows) > place

    def head(self, stream: str) -> Head:
        """See `lifecycle.store.Store.head`."""
        stream = plain("stream", stream)
        with self._changed:
            row = self._heads.get(stream)
        if row is None:
            raise StreamNotFound(stream)
        return head_of(row)

    def batch(self, stream: str) -> MessageBatch:
        """See `lifecycle.store.Store.batch`."""
        found = self.head(stream).batch
        if found is None:
            raise StreamNotFound(stream, forgotten=True)
        return found

    def streams(self) -> Iterator[Head]:
        """See `lifecycle.store.Store.streams`."""
        with self._changed:
            rows = sorted(self._heads.values())
        return map(head_of, rows)

    def forget(self, stream: str) -> None:
        """See `lifecycle.store.Store.forget`."""
        with self._changed:
            head = self.head(stream)
            if not forgettable(head):
                return
            for version in range(1, head.version + 1):
                place = self._places[stream, version]
                self._rows[place] = without_data(self._rows[place])
            self._heads[stream] = head_row(attrs.evolve(head, batch=None))

    def verify(self) -> Iterator[Damage]:
        """See `lifecycle.store.Store.verify`."""
        with self._changed:
            rows = sorted(self._rows, key=lambda row: (row.stream, row.version))
            heads = sorted(self._heads.values())
        return verified(rows, heads, self._upcasts)
