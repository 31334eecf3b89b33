"""
Stores in SQLite and PostgreSQL, on SQLAlchemy Core. Needs the extra ``sql``, and ``postgres`` for PostgreSQL.

What is done on a connection is written once, in `lifecycle.store.databases`, for both databases, sync and async.  Here
is what the two stores add: URLs, connections, what to do when something fails, and what to tell.

Durability is not an option.  SQLite: WAL, ``synchronous=FULL``, ``BEGIN IMMEDIATE``.  PostgreSQL: ``synchronous_commit
= on`` for each transaction that writes, which holds a lock of its own, so that the order of the positions is the order
of the commits.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

try:
    import sqlalchemy as sa
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "lifecycle.store.sql needs its extra: "
        f"pip install 'lifecycle[sql]' (in a checkout: pip install '.[sql]'); {error}",
        name=error.name,
    ) from None
from sqlalchemy.exc import ArgumentError, DBAPIError, SAWarning, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from lifecycle.batch import MessageBatch
from lifecycle.errors import LifecycleError, StoreError, cut
from lifecycle.events import Event, Record
from lifecycle.folding import check_type
from lifecycle.rules import LAWS, Profile
from lifecycle.store.databases import PAGE, Database, Postgres, SQLite, Unknown, notifications
from lifecycle.store.ledger import (
    UPCASTS,
    Damage,
    Head,
    HeadRow,
    Upcasts,
    head_of,
    number,
    plain,
    request,
    requests,
    seconds,
)
from lifecycle.wire import LARGEST_NUMBER

T = TypeVar("T")

# -------------------------------------------------------------------------------------------- URLs, and what went wrong


def _parsed(url: str | sa.URL, *, asynchronous: bool) -> sa.URL:
    """The URL with the driver that we use."""
    try:
        found = sa.make_url(url)
        if "@" in (found.host or ""):
            raise ValueError  # noqa: TRY301 -- a password with an @ that is not encoded: a part of it is the host's
        str(found).encode()  # with a lone surrogate it cannot be told
    except (ArgumentError, ValueError):
        # Not what it says: it may have the password in it, and so may its cause.
        raise StoreError(
            "the URL of the store cannot be read; it looks like sqlite:///batches.db or "
            "postgresql://user:password@host/database, with special characters percent-encoded"
        ) from None
    match found.drivername:
        case "sqlite" | "sqlite+pysqlite" | "sqlite+aiosqlite":
            database = found.database or ":memory:"
            elsewhere = found.host or found.port or found.username or found.password  # so with two slashes
            if elsewhere or ":memory:" in database or "mode=memory" in database or found.query.get("mode") == "memory":
                raise StoreError(
                    "an SQLite store is a file, as in sqlite:///batches.db; in memory there is MemoryStore"
                )
            return found.set(drivername="sqlite+aiosqlite" if asynchronous else "sqlite+pysqlite")
        case "postgresql" | "postgres" | "postgresql+psycopg" | "postgresql+psycopg_async":
            return found.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(
                f"no store for {other}: a URL begins with sqlite:// or postgresql:// (the driver is psycopg)"
            )


def _secrets(url: sa.URL) -> tuple[str, ...]:
    """What nobody may be told: the password, which may stand among the options, too."""
    options = [(name, str(value)) for name, value in url.normalized_query.items() for value in value]
    found = [url.password or "", *(value for name, value in options if "passw" in name)]
    return tuple(str(secret) for secret in found if secret)


class _Failures:
    """What goes wrong in one call to a store: whether to try again, and what to tell."""

    def __init__(self, database: Database, secrets: tuple[str, ...]) -> None:
        self.name = database.name
        self.secrets = secrets
        self.waits = iter(database.waits)
        self.unknown = False

    def wait(self, error: BaseException, *, may_pass: bool) -> float:
        """
        How long to wait before the next attempt.

        Raises:
            StoreError: There is none.
        """
        if isinstance(error, Unknown):
            self.unknown = may_pass = True
            error = cast(BaseException, error.__cause__)
        seconds = next(self.waits, None) if may_pass else None
        if seconds is None:
            raise self.told(error) from self.cause(error)
        return seconds

    def told(self, error: BaseException) -> StoreError:
        """What went wrong, in an error of ours."""
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
        for secret in self.secrets:
            said = said.replace(secret, "***")
        after = " It is not known whether it was done: append again, with the same event ids." if self.unknown else ""
        return StoreError(f"{self.name}: {cut(said, 1000)}{after}", self.unknown)

    def cause(self, error: BaseException) -> BaseException | None:
        """The error, unless it, or what has led to it, tells a secret."""
        link: BaseException | None = error
        while link is not None:
            if any(secret in str(link) for secret in self.secrets):
                return None
            link = link.__cause__ or link.__context__
        return error


# ---------------------------------------------------------------------------------------------------------- the stores


_DATABASES: Mapping[tuple[str, str], type[SQLite] | type[Postgres]] = {
    ("sqlite", "pysqlite"): SQLite,
    ("sqlite", "aiosqlite"): SQLite,
    ("postgresql", "psycopg"): Postgres,
}


_LONGEST_TIMEOUT = 2_000_000.0
"""Both databases count milliseconds in 32 bits."""


class _Base:
    """What both stores have, and all that they do without waiting."""

    profile: Profile
    """Which rules an append has to keep."""
    url: str
    """The URL, without password and options; for a caller's connection, what it is."""

    def __init__(
        self,
        url: str | sa.URL | None,
        connection: Any,
        make_engine: Callable[..., Any],
        profile: Profile,
        upcasts: Upcasts,
        timeout: float,
        *,
        create: bool,
    ) -> None:
        check_type("profile", profile, Profile)
        timeout = seconds("timeout", timeout, _LONGEST_TIMEOUT)
        if (url is None) is (connection is None):
            raise TypeError("url, connection: expected one of them, and no more")
        self.profile = profile
        self._create = create
        self._ready = False
        self._closed = False
        self._engine: Any = None
        self._secrets: tuple[str, ...] = ()
        if url is None:
            dialect = connection.dialect
            self.url = f"{dialect.name}, the caller's connection"
        else:
            parsed = _parsed(url, asynchronous=make_engine is create_async_engine)
            self._secrets = _secrets(parsed)
            shown = parsed.set(drivername=parsed.get_backend_name(), query={})
            self.url = shown.render_as_string(hide_password=True)
            if not create and parsed.get_backend_name() == "sqlite":
                if "uri" in parsed.query:
                    mode = "ro" if parsed.query.get("mode") == "ro" else "rw"
                    parsed = parsed.update_query_dict({"mode": mode})  # else to open is to make the file
                elif not Path(parsed.database or "").exists():
                    raise StoreError(f"{self.url}: there is no such file")
            self._engine = _engine(parsed, make_engine, timeout)
            dialect = self._engine.dialect
        kind = _DATABASES.get((dialect.name, dialect.driver.removesuffix("_async")))
        if kind is None:
            raise StoreError(
                f"no store on {dialect.name} with {dialect.driver}: there are SQLite and PostgreSQL (psycopg)"
            )
        self._database = kind(self.url, timeout, profile, upcasts, joined=connection is not None)
        # UnicodeError: so sqlite3 fails to say what is wrong with a damaged schema, and psycopg to write what the
        # encoding of the caller's connection has not; OverflowError: so sqlite3 refuses a number over 2^63-1, which
        # follows one in a damaged row.
        self._foreign = (SQLAlchemyError, dialect.loaded_dbapi.Error, Unknown, UnicodeError, OverflowError)

    def _opened(self, connection: sa.Connection) -> None:
        """Make a connection ready for work."""
        if not self._database.joined:
            self._database.connected(connection, create=self._create)
        if not self._ready:
            self._database.prepare(connection, create=self._create)
            self._ready = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.url}: the store is closed")

    def _may_pass(self, connection: sa.Connection | None) -> bool:
        """Whether a failure is one of the connection, so that another may do better; the caller's we cannot replace."""
        if self._database.joined or not self._ready:
            return False
        return connection is None or self._database.lost(connection)

    def _failures(self) -> _Failures:
        return _Failures(self._database, self._secrets)

    def _append(
        self,
        stream: str,
        events: Iterable[Event],
        expected_version: int,
        event_ids: Iterable[str] | None,
        recorded_at: datetime | Iterable[datetime] | None,
    ) -> "_Work[tuple[Record, ...]]":
        found = [request(stream, events, expected_version, event_ids, recorded_at)]
        return lambda connection, again: self._database.write(connection, found, again=again)[0][1]

    def _import(self, records: Iterable[Record]) -> "_Work[int]":
        found = requests(list(records))
        return lambda connection, again: sum(
            len(rows) for rows, _ in self._database.write(connection, found, again=again)
        )

    def _read(self, stream: str, after: int, until: int | None) -> "_Work[tuple[Record, ...]]":
        stream = plain("stream", stream)
        first, last = number("after", after), LARGEST_NUMBER if until is None else number("until", until)
        return lambda connection, _: self._database.read(connection, stream, first, last)

    def _page(self, after: int, size: int) -> "_Work[tuple[int, list[tuple[int, Record]]]]":
        return lambda connection, _: self._database.page(connection, after, size)

    def _head(self, stream: str) -> "_Work[Head]":
        plain_stream = plain("stream", stream)
        return lambda connection, _: self._database.head(connection, plain_stream)

    def _batch(self, stream: str) -> "_Work[MessageBatch]":
        plain_stream = plain("stream", stream)
        return lambda connection, _: self._database.batch(connection, plain_stream)

    def _heads(self, after: str | None) -> "_Work[list[HeadRow]]":
        return lambda connection, _: self._database.heads(connection, after)

    def _forget(self, stream: str) -> "_Work[None]":
        plain_stream = plain("stream", stream)
        return lambda connection, _: self._database.forget(connection, plain_stream)

    def _verify(self, connection: sa.Connection) -> Iterator[Damage]:
        try:
            yield from self._database.verify(connection)
        except self._foreign as error:
            yield Damage(str(self._failures().told(error)))
        except StoreError as error:
            yield Damage(str(error))

    def _check_following(self) -> None:
        if self._database.joined:
            raise StoreError(f"{self.url}: to follow takes a connection of the store's own: open it by its URL")


_Work: TypeAlias = Callable[[sa.Connection, bool], T]
"""What is done on a connection; true: it may have been done before, on one that was lost."""


def _engine(url: sa.URL, make_engine: Callable[..., Any], timeout: float) -> Any:
    # Each statement on its own, and BEGIN where we say so: the driver must begin nothing by itself. The stores keep
    # their idle connections, so SQLAlchemy pools none.
    options: dict[str, Any] = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT", "hide_parameters": True}
    sqlite_url = url.get_backend_name() == "sqlite"
    if sqlite_url:
        if "\0" in (url.database or ""):
            raise StoreError("the path of the store has a NUL in it; no file has")
        options["connect_args"] = {"timeout": timeout, "check_same_thread": False}
    else:
        options["connect_args"] = {"client_encoding": "utf8"}  # whatever the server's is, or the environment says
    try:
        return make_engine(url, **options)
    except ModuleNotFoundError as error:
        extra = "sql" if sqlite_url else "postgres"
        raise ModuleNotFoundError(
            f"this store needs the extra: pip install 'lifecycle[{extra}]' "
            f"(in a checkout: pip install '.[{extra}]'); {error}",
            name=error.name,
        ) from None
    except (ArgumentError, ValueError, SAWarning):  # a warning, where warnings are errors
        # Not what it says: what is taken for an option may be a part of the password.
        raise StoreError(
            "the URL of the store has an option that the database does not know, or in a wrong form"
        ) from None


class SQLStore(_Base):
    """
    A store in SQLite or PostgreSQL. A `lifecycle.store.Store`; use it with ``with``, or close it.

    By its URL it has connections of its own, and any number of threads may share it; open it anew after a fork.  With
    the caller's *connection* it takes part in the caller's transaction, so that "append the event and my row" is one
    commit: it never commits, an append is durable when the caller has committed, and after any error that is no refusal
    (`VersionConflict`, `IllegalEvent`) the caller rolls back.  From the first append on, other writers wait until the
    caller's transaction ends; on SQLite, begin it with ``BEGIN IMMEDIATE``, or an append may find that another was
    first with any row at all.

    Args:
        url: ``sqlite:///batches.db`` or ``postgresql://user:password@host/database``.
        connection: A connection of the caller's, instead of a URL. It has to be durable, on SQLite
            (``synchronous=FULL``), and read committed, on PostgreSQL.
        profile: Which rules an append has to keep.
        upcasts: The steps from older schemas of events.
        create: Whether to make the store if there is none.
        timeout: How many seconds an append waits for other writers.

    Raises:
        StoreError: It cannot be opened: it is not there, not readable, damaged, or of a newer release.
        ModuleNotFoundError: The driver's extra is not installed.
    """

    def __init__(
        self,
        url: str | sa.URL | None = None,
        *,
        connection: sa.Connection | None = None,
        profile: Profile = LAWS,
        upcasts: Upcasts = UPCASTS,
        create: bool = True,
        timeout: float = 30.0,
    ) -> None:
        if connection is not None:
            check_type("connection", connection, sa.Connection)
        super().__init__(url, connection, sa.create_engine, profile, upcasts, timeout, create=create)
        self._connection = connection
        self._idle: deque[sa.Connection] = deque()
        try:
            self._call(lambda _, __: None)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections. A caller's connection stays open."""
        self._closed = True
        self._drop_idle()

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
        return self._call(self._append(stream, events, expected_version, event_ids, recorded_at))

    def import_records(self, records: Iterable[Record]) -> int:
        """See `lifecycle.store.Store.import_records`."""
        return self._call(self._import(records))

    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[Record, ...]:
        """See `lifecycle.store.Store.read`."""
        return self._call(self._read(stream, after, until))

    def read_all(self, *, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """See `lifecycle.store.Store.read_all`."""
        pages = _Pages(after, limit)
        while pages.size:
            yield from pages.take(self._call(self._page(pages.position, pages.size)))

    def follow(self, *, after: int = 0, timeout: float | None = None) -> Generator[tuple[int, Record], None, None]:
        """See `lifecycle.store.Store.follow`."""
        self._check_following()
        pages = _Pages(after, None)
        until = _deadline(timeout)
        listening = None
        try:
            while True:
                listening = listening or self._listen()  # before looking, so that nothing comes between
                before = pages.position
                yield from pages.take(self._call(self._page(before, PAGE)))
                if pages.position > before:
                    until = _deadline(timeout)
                    continue
                left = until - time.monotonic()
                if left <= 0:
                    return
                seconds = min(left, self._database.poll)
                try:
                    if listening is None:
                        time.sleep(seconds)
                    else:
                        list(notifications(listening, seconds))
                except self._foreign:
                    self._discard(listening)
                    listening = None
        finally:
            self._discard(listening)

    def _listen(self) -> sa.Connection | None:
        """A connection that is told of new rows, if there can be one; else it is polled for them."""
        if not self._database.listens:
            return None
        connection: sa.Connection | None = None
        try:
            connection = cast(sa.Connection, self._engine.connect())
            self._database.listen(connection)
        except self._foreign:
            self._discard(connection)
            return None
        return connection

    def head(self, stream: str) -> Head:
        """See `lifecycle.store.Store.head`."""
        return self._call(self._head(stream))

    def batch(self, stream: str) -> MessageBatch:
        """See `lifecycle.store.Store.batch`."""
        return self._call(self._batch(stream))

    def streams(self) -> Iterator[Head]:
        """See `lifecycle.store.Store.streams`."""
        after = None
        while rows := self._call(self._heads(after)):
            yield from map(head_of, rows)
            after = rows[-1].stream

    def forget(self, stream: str) -> None:
        """See `lifecycle.store.Store.forget`."""
        self._call(self._forget(stream))

    def verify(self) -> Iterator[Damage]:
        """See `lifecycle.store.Store.verify`."""
        if self._connection is not None:
            yield from self._verify(self._connection)
            return
        try:
            connection = self._taken()
        except self._foreign as error:
            yield Damage(str(self._failures().told(error)))
            return
        try:
            yield from self._verify(connection)
        finally:
            self._discard(connection)  # it may be in a transaction still

    def _call(self, work: "_Work[T]") -> T:
        """Do *work*: on the caller's connection once, on our own again if that may help."""
        failures, again = None, False
        while True:
            connection = None
            try:
                connection = self._taken()
                found = work(connection, again)
            except self._foreign as error:
                may_pass = self._may_pass(connection)
                self._discard(connection)
                failures = failures or self._failures()
                time.sleep(failures.wait(error, may_pass=may_pass))
                self._drop_idle()  # they are as old
                again = True
            except LifecycleError:
                self._give_back(connection)
                raise
            except BaseException:
                self._discard(connection)
                raise
            else:
                self._give_back(connection)
                return found

    def _taken(self) -> sa.Connection:
        self._check_open()
        if self._connection is not None:
            self._opened(self._connection)
            return self._connection
        try:
            return self._idle.pop()
        except IndexError:
            connection: sa.Connection = self._engine.connect()
        try:
            self._opened(connection)
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _give_back(self, connection: sa.Connection | None) -> None:
        if connection is None or connection is self._connection:
            return
        self._idle.append(connection)
        if self._closed:
            self._drop_idle()

    def _discard(self, connection: sa.Connection | None) -> None:
        if connection is None or connection is self._connection:
            return
        with contextlib.suppress(*self._foreign):
            connection.invalidate()
        with contextlib.suppress(*self._foreign):
            connection.close()

    def _drop_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._discard(self._idle.pop())


class _Pages:
    """Where a reader of the whole store is."""

    def __init__(self, after: int, limit: int | None) -> None:
        self.position = number("after", after)
        self.left = None if limit is None else number("limit", limit)
        self.size = PAGE if self.left is None else min(self.left, PAGE)
        """How much to read next; 0 at the end."""

    def take(self, page: tuple[int, list[tuple[int, Record]]]) -> list[tuple[int, Record]]:
        """Go on by a page; its records."""
        position, found = page
        if position == self.position:
            self.size = 0
        elif self.left is not None:
            self.left -= len(found)
            self.size = min(self.left, PAGE)
        self.position = position
        return found


def _deadline(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + seconds("timeout", timeout, math.inf)


class AsyncSQLStore(_Base):
    """
    `SQLStore` for asyncio: a `lifecycle.store.AsyncStore`; use it with ``async with``, or close it.

    It is opened by the first call, or by ``async with``; it belongs to one event loop.

    Args:
        url: As for `SQLStore`.
        connection: An `AsyncConnection` of the caller's, instead of a URL; see `SQLStore`.
        profile: Which rules an append has to keep.
        upcasts: The steps from older schemas of events.
        create: Whether to make the store if there is none.
        timeout: How many seconds an append waits for other writers.

    Raises:
        StoreError: The URL is none of a store.
        ModuleNotFoundError: The driver's extra is not installed.
    """

    def __init__(
        self,
        url: str | sa.URL | None = None,
        *,
        connection: AsyncConnection | None = None,
        profile: Profile = LAWS,
        upcasts: Upcasts = UPCASTS,
        create: bool = True,
        timeout: float = 30.0,
    ) -> None:
        if connection is not None:
            check_type("connection", connection, AsyncConnection)
        super().__init__(url, connection, create_async_engine, profile, upcasts, timeout, create=create)
        self._connection = connection
        self._idle: deque[AsyncConnection] = deque()

    async def __aenter__(self) -> Self:
        try:
            await self._call(lambda _, __: None)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections. A caller's connection stays open."""
        self._closed = True
        await self._drop_idle()

    async def append(
        self,
        stream: str,
        events: Iterable[Event],
        *,
        expected_version: int,
        event_ids: Iterable[str] | None = None,
        recorded_at: datetime | Iterable[datetime] | None = None,
    ) -> tuple[Record, ...]:
        """See `lifecycle.store.Store.append`."""
        return await self._call(self._append(stream, events, expected_version, event_ids, recorded_at))

    async def import_records(self, records: Iterable[Record]) -> int:
        """See `lifecycle.store.Store.import_records`."""
        return await self._call(self._import(records))

    async def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[Record, ...]:
        """See `lifecycle.store.Store.read`."""
        return await self._call(self._read(stream, after, until))

    async def read_all(self, *, after: int = 0, limit: int | None = None) -> AsyncIterator[tuple[int, Record]]:
        """See `lifecycle.store.Store.read_all`."""
        pages = _Pages(after, limit)
        while pages.size:
            for found in pages.take(await self._call(self._page(pages.position, pages.size))):
                yield found

    async def follow(
        self,
        *,
        after: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 -- how long a record may fail to come, not how long this takes
    ) -> AsyncGenerator[tuple[int, Record], None]:
        """See `lifecycle.store.Store.follow`."""
        self._check_following()
        pages = _Pages(after, None)
        until = _deadline(timeout)
        listening = None
        try:
            while True:
                listening = listening or await self._listen()  # before looking, so that nothing comes between
                before = pages.position
                for found in pages.take(await self._call(self._page(before, PAGE))):
                    yield found
                if pages.position > before:
                    until = _deadline(timeout)
                    continue
                left = until - time.monotonic()
                if left <= 0:
                    return
                seconds = min(left, self._database.poll)
                try:
                    if listening is None:
                        await asyncio.sleep(seconds)
                    else:
                        await _notified(listening, seconds)
                except self._foreign:
                    await self._discard(listening)
                    listening = None
        finally:
            await self._discard(listening)

    async def _listen(self) -> AsyncConnection | None:
        """A connection that is told of new rows, if there can be one; else it is polled for them."""
        if not self._database.listens:
            return None
        connection: AsyncConnection | None = None
        try:
            connection = cast(AsyncConnection, await self._engine.connect())
            await connection.run_sync(self._database.listen)
        except self._foreign:
            await self._discard(connection)
            return None
        return connection

    async def head(self, stream: str) -> Head:
        """See `lifecycle.store.Store.head`."""
        return await self._call(self._head(stream))

    async def batch(self, stream: str) -> MessageBatch:
        """See `lifecycle.store.Store.batch`."""
        return await self._call(self._batch(stream))

    async def streams(self) -> AsyncIterator[Head]:
        """See `lifecycle.store.Store.streams`."""
        after = None
        while rows := await self._call(self._heads(after)):
            for row in rows:
                yield head_of(row)
            after = rows[-1].stream

    async def forget(self, stream: str) -> None:
        """See `lifecycle.store.Store.forget`."""
        await self._call(self._forget(stream))

    async def verify(self) -> AsyncIterator[Damage]:
        """See `lifecycle.store.Store.verify`."""
        try:
            connection = await self._taken()
        except self._foreign as error:
            yield Damage(str(self._failures().told(error)))
            return
        try:
            for damage in await connection.run_sync(lambda sync: [*self._verify(sync)]):
                yield damage
        finally:
            await self._discard(connection)  # it may be in a transaction still

    async def _call(self, work: "_Work[T]") -> T:
        """`SQLStore._call`, where waiting lets others go on."""
        failures, again = None, False
        while True:
            connection = None
            try:
                connection = await self._taken()
                found = await connection.run_sync(work, again)
            except self._foreign as error:
                may_pass = self._may_pass(None if connection is None else _sync(connection))
                await self._discard(connection)
                failures = failures or self._failures()
                await asyncio.sleep(failures.wait(error, may_pass=may_pass))
                await self._drop_idle()  # they are as old
                again = True
            except LifecycleError:
                await self._give_back(connection)
                raise
            except BaseException:
                await self._discard(connection)
                raise
            else:
                await self._give_back(connection)
                return found

    async def _taken(self) -> AsyncConnection:
        self._check_open()
        if self._connection is not None:
            await self._connection.run_sync(self._opened)
            return self._connection
        try:
            return self._idle.pop()
        except IndexError:
            connection: AsyncConnection = await self._engine.connect()
        try:
            await connection.run_sync(self._opened)
        except BaseException:
            await self._discard(connection)
            raise
        return connection

    async def _give_back(self, connection: AsyncConnection | None) -> None:
        if connection is None or connection is self._connection:
            return
        self._idle.append(connection)
        if self._closed:
            await self._drop_idle()

    async def _discard(self, connection: AsyncConnection | None) -> None:
        if connection is None or connection is self._connection:
            return
        with contextlib.suppress(*self._foreign):
            await connection.invalidate()
        with contextlib.suppress(*self._foreign):
            await connection.close()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._discard(self._idle.pop())


async def _notified(connection: AsyncConnection, seconds: float) -> list[Any]:
    return [found async for found in notifications(_sync(connection), seconds)]


def _sync(connection: AsyncConnection) -> sa.Connection:
    found: Any = connection.sync_connection
    return cast(sa.Connection, found)
