"""
Event stores: what every store can do, and `execute`.

`MemoryStore` is here; `lifecycle.store.sql` has the stores for SQLite and PostgreSQL (extras ``sql`` and ``postgres``).
What a store promises stands in ``specs/stores.md``, and `lifecycle.testing.check_store` holds a store to it.

The words: a *stream* is one batch's events in order; a *version* counts them from 1, so that a stream's version is the
number of its events and 0 means that there is none; a *position* counts all events of the store, from 1, in the order
in which they were committed.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from lifecycle.batch import MessageBatch
from lifecycle.deciding import Command, decide
from lifecycle.errors import StreamNotFound, VersionConflict
from lifecycle.events import Event, Record
from lifecycle.folding import fold
from lifecycle.rules import Profile
from lifecycle.store.ledger import UPCASTS, Damage, Head, Upcast, Upcasts, upcast
from lifecycle.store.memory import MemoryStore

__all__ = [
    "UPCASTS",
    "AsyncStore",
    "Damage",
    "Head",
    "MemoryStore",
    "Store",
    "Upcast",
    "Upcasts",
    "execute",
    "execute_async",
    "upcast",
]


@runtime_checkable
class Store(Protocol):
    """What every store can do. All of it is safe for threads, unless the store stands on the caller's connection."""

    profile: Profile
    """Which rules an append has to keep."""

    def append(
        self,
        stream: str,
        events: Iterable[Event],
        *,
        expected_version: int,
        event_ids: Iterable[str] | None = None,
        recorded_at: datetime | Iterable[datetime] | None = None,
    ) -> tuple[Record, ...]:
        """
        Append events to a stream: all of them, durably, or none.

        Args:
            stream: The batch id.
            events: What happened, in order.
            expected_version: The version that the stream has before; 0 for a new one.
            event_ids: An id for each event. An id that the stream has already, with the same event, is a repeat and
                writes nothing, even at a stale version; so a call may be repeated when its outcome is not known.
                Without ids nothing counts as a repeat.
            recorded_at: When the events were written down, one time or one for each; the store's clock unless given.

        Returns:
            The record of each event, that of a repeat as it was stored.

        Raises:
            VersionConflict: The stream is at another version, be it stale or ahead. Nothing changed.
            IllegalTransition: An event has no arrow from the phase that it meets (T1). Nothing changed.
            RuleBroken: An event breaks a rule of the profile; or it names another batch (L2); or its id came before,
                with other content (L4). Nothing changed.
            WireError: Something cannot be stored, such as a NUL in a text. Nothing changed.
            StoreError: It cannot be written. Nothing changed unless `StoreError.unknown` says so.
            TypeError: A value of the wrong type.
            ValueError: The number of ids or times is not that of the events, or *expected_version* is below 0.
        """
        ...

    def import_records(self, records: Iterable[Record]) -> int:
        """
        Append records of any number of streams, as they are: all of them, durably, or none.

        Each has to be the next of its stream, or a repeat of the record that has its event id and its version. They are
        held in memory, so give a long log in parts; what was imported before is a repeat when it comes again.

        Args:
            records: The records, with their versions, event ids and times.

        Returns:
            How many of them were new.

        Raises:
            LifecycleError: As for `append`. Nothing changed.
            TypeError: Something among *records* is no record.
        """
        ...

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[Record, ...]:
        """
        Read the records of a stream.

        Args:
            stream: The batch id.
            after: Only what follows this version.
            until: Only up to this version, inclusive.

        Raises:
            StreamNotFound: There is no such stream, or it was forgotten (`StreamNotFound.forgotten`).
            StoreError: It cannot be read.
        """
        ...

    def read_all(self, *, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """
        Read the records of all streams in the order in which they were committed.

        No position is ever passed over that could still come. What was forgotten is left out, and so are records that
        are committed after the last page was read: `follow` waits for them.

        Args:
            after: Only what follows this position.
            limit: At most so many.

        Yields:
            Each record with its position.

        Raises:
            StoreError: It cannot be read.
        """
        ...

    def follow(self, *, after: int = 0, timeout: float | None = None) -> Generator[tuple[int, Record], None, None]:
        """
        Read as `read_all` does, and wait for more.

        Args:
            after: Only what follows this position.
            timeout: How many seconds to wait for the next record before it ends; None: for ever, until the generator
                is closed. To be able to stop, give a short one and call again with the last position.

        Yields:
            Each record with its position.

        Raises:
            StoreError: It cannot be read.
        """
        ...

    def head(self, stream: str) -> Head:
        """
        Say where a stream stands: its version and its batch.

        Raises:
            StreamNotFound: There is no such stream. (A forgotten one has a head, without its batch.)
            StoreError: It cannot be read.
        """
        ...

    def batch(self, stream: str) -> MessageBatch:
        """
        Give the batch that the events of a stream have led to, in constant time.

        Raises:
            StreamNotFound: There is no such stream, or it was forgotten.
            StoreError: It cannot be read.
        """
        ...

    def streams(self) -> Iterator[Head]:
        """
        Say of every stream where it stands, forgotten ones too, sorted by batch id.

        Raises:
            StoreError: It cannot be read.
        """
        ...

    def forget(self, stream: str) -> None:
        """
        Erase the data of a deleted batch: of its events and of the batch itself.

        What stays is a tombstone for each event: its position, version, event id, type and time, and the digest that
        the chain needs. Forgetting again changes nothing.

        Raises:
            StreamNotFound: There is no such stream.
            StoreError: Its batch is not deleted, or it cannot be written. Nothing changed.
        """
        ...

    def verify(self) -> Iterator[Damage]:
        """
        Recompute everything from the events, and find what is not as it was written: changed, lost or moved.

        Yields:
            All damage, each with its place where that is known; nothing if the store is whole. It does not raise for
            damage, not even for one that stops it; that is the last it tells.
        """
        ...

    def close(self) -> None:
        """Give back what the store holds, such as connections."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """A `Store` for asyncio: the same methods with the same promises, as coroutines and asynchronous iterators."""

    profile: Profile
    """Which rules an append has to keep."""

    async def append(
        self,
        stream: str,
        events: Iterable[Event],
        *,
        expected_version: int,
        event_ids: Iterable[str] | None = None,
        recorded_at: datetime | Iterable[datetime] | None = None,
    ) -> tuple[Record, ...]:
        """See `Store.append`."""
        ...

    async def import_records(self, records: Iterable[Record]) -> int:
        """See `Store.import_records`."""
        ...

    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[Record, ...]:
        """See `Store.read`."""
        ...

    def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[tuple[int, Record]]:
        """See `Store.read_all`."""
        ...

    def follow(self, *, after: int = 0, timeout: float | None = None) -> AsyncGenerator[tuple[int, Record], None]:
        """See `Store.follow`."""
        ...

    async def head(self, stream: str) -> Head:
        """See `Store.head`."""
        ...

    async def batch(self, stream: str) -> MessageBatch:
        """See `Store.batch`."""
        ...

    def streams(self) -> AsyncIterator[Head]:
        """See `Store.streams`."""
        ...

    async def forget(self, stream: str) -> None:
        """See `Store.forget`."""
        ...

    def verify(self) -> AsyncIterator[Damage]:
        """See `Store.verify`."""
        ...

    async def close(self) -> None:
        """See `Store.close`."""
        ...


def execute(
    store: Store, stream: str, command: Command, *, attempts: int = 100
) -> tuple[MessageBatch, tuple[Event, ...]]:
    """
    Load, decide, append; and once more if another writer was first.

    Args:
        store: Where the stream is. Its profile decides.
        stream: The batch id.
        command: What is asked for.
        attempts: How often to try before giving up. Of eight writers that never rest each loses seven times in a row
            now and then, a hundred times never.

    Returns:
        The batch as it then stands, and the events that were appended: ``()`` if it already had what is asked.

    Raises:
        CommandRejected: The command cannot be done. Nothing changed.
        VersionConflict: Another writer was first each time. Nothing changed.
        StreamNotFound: The stream was forgotten. Nothing changed.
        LifecycleError: As for `Store.append`.
        TypeError: *command* is no command.
    """
    while True:
        attempts -= 1
        try:
            head = store.head(stream)
        except StreamNotFound:
            head = None
        version, batch, events = _decided(head, command, store.profile)
        try:
            if events:
                store.append(stream, events, expected_version=version)
        except VersionConflict:
            if attempts <= 0:
                raise
        else:
            return batch, events


async def execute_async(
    store: AsyncStore, stream: str, command: Command, *, attempts: int = 100
) -> tuple[MessageBatch, tuple[Event, ...]]:
    """`execute` for an `AsyncStore`."""
    while True:
        attempts -= 1
        try:
            head = await store.head(stream)
        except StreamNotFound:
            head = None
        version, batch, events = _decided(head, command, store.profile)
        try:
            if events:
                await store.append(stream, events, expected_version=version)
        except VersionConflict:
            if attempts <= 0:
                raise
        else:
            return batch, events


def _decided(head: Head | None, command: Command, profile: Profile) -> tuple[int, MessageBatch, tuple[Event, ...]]:
    """The version that a command meets, the batch that it leads to, and the events that follow from it."""
    if head is not None and head.batch is None:
        raise StreamNotFound(head.stream, forgotten=True)
    version, batch = (0, None) if head is None else (head.version, head.batch)
    events = decide(batch, command, profile=profile)
    return version, fold(events, start=batch, profile=profile), events
