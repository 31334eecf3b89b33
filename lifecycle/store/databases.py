"""
What a store does on a connection to its database: SQLite and PostgreSQL, sync and async, in one wording.

It is sync code against a plain `sqlalchemy.Connection`; `lifecycle.store.sql` calls it directly, or through
``run_sync`` under asyncio, and knows what to do when it fails.  The statements are built of Core constructs and
compiled once; they run on the driver's cursor, for a durable append has to cost little more than its commit.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import Any, TypeAlias, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

from lifecycle.batch import MessageBatch
from lifecycle.errors import LifecycleError, StoreError, StreamNotFound
from lifecycle.events import Record
from lifecycle.rules import Profile
from lifecycle.store.ledger import (
    Damage,
    Head,
    HeadRow,
    Request,
    Row,
    Upcasts,
    Values,
    can_exist,
    forgettable,
    head_of,
    head_row,
    judge,
    records_of,
    verified,
    without_data,
)

T = TypeVar("T")

PAGE = 1000
"""How many rows are read at once."""
_BLOCK = 50
"""How many rows are written to SQLite at once: more do not make it quicker."""

# ----------------------------------------------------------------------------------------------------------- the tables

_TABLES = sa.MetaData()

_EVENTS = sa.Table(
    "lifecycle_events",
    _TABLES,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("stream", sa.Text),
    sa.Column("version", sa.BigInteger),
    sa.Column("event_id", sa.Text),
    sa.Column("type", sa.Text),
    sa.Column("data", sa.Text),
    sa.Column("recorded_at", sa.Text),
    sa.Column("hash", sa.LargeBinary),
    sa.Column("digest", sa.LargeBinary),
)
_STREAMS = sa.Table(
    "lifecycle_streams",
    _TABLES,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("hash", sa.LargeBinary),
    sa.Column("batch", sa.Text),
    sa.Column("deleted_at", sa.Text),
)
_STORE = sa.Table("lifecycle_store", _TABLES, sa.Column("version", sa.Integer))

# Released schemas are text that never changes: the n-th entry leads from schema n to schema n + 1, so the newest schema
# is as many as there are entries.
_SQLITE_SCHEMAS = (
    """
CREATE TABLE lifecycle_store (version INTEGER NOT NULL) STRICT;
CREATE TABLE lifecycle_events (position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
event_id TEXT NOT NULL, type TEXT NOT NULL, data TEXT, recorded_at TEXT NOT NULL, hash BLOB NOT NULL, digest BLOB,
UNIQUE (stream, version), UNIQUE (stream, event_id)) STRICT;
CREATE TABLE lifecycle_streams (stream TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, hash BLOB NOT NULL,
batch TEXT, deleted_at TEXT) STRICT, WITHOUT ROWID
""",
)
# JSON, not JSONB: it keeps the text as it was written, which is what is hashed. COLLATE "C": sorted as SQLite sorts,
# and an index that no new version of the system's collations can spoil.
_POSTGRES_SCHEMAS = (
    """
CREATE TABLE lifecycle_store (version INTEGER NOT NULL);
CREATE TABLE lifecycle_events (position BIGINT PRIMARY KEY, stream TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL,
event_id TEXT COLLATE "C" NOT NULL, type TEXT NOT NULL, data JSON, recorded_at TEXT NOT NULL, hash BYTEA NOT NULL,
digest BYTEA, UNIQUE (stream, version), UNIQUE (stream, event_id));
CREATE TABLE lifecycle_streams (stream TEXT COLLATE "C" PRIMARY KEY, version BIGINT NOT NULL, hash BYTEA NOT NULL,
batch JSON, deleted_at TEXT)
""",
)


def _statements_of(schema: str) -> list[str]:
    return [statement.strip() for statement in schema.split(";")]


CHANNEL = "lifecycle_events"
"""What PostgreSQL's listeners listen to."""

_P = sa.bindparam


def _text(column: Any) -> Any:
    """A column of JSON as text."""
    return sa.cast(column, sa.Text).label(column.name)


_RECORD = [_text(column) if column is _EVENTS.c.data else column for column in _EVENTS.c][:7]
_ROW = [*_RECORD, _EVENTS.c.hash, _EVENTS.c.digest]
_HEAD = [_text(column) if column is _STREAMS.c.batch else column for column in _STREAMS.c]


class _Statement:
    """A statement of Core, compiled once for a driver."""

    def __init__(self, clause: Any, dialect: sa.Dialect) -> None:
        compiled = clause.compile(dialect=dialect)
        self.text = str(compiled)
        self.names = tuple(compiled.positiontup) if compiled.positional else None
        # SQLAlchemy adds some of its own, such as the offset that SQLite's LIMIT has to have.
        self.added = {name: value for name, value in compiled.params.items() if value is not None}

    def __call__(self, connection: sa.Connection, **values: Any) -> list[Any]:
        """Run it; its rows."""
        return _run(connection, *self.call(**values))

    def call(self, **values: Any) -> "Call":
        """It with these values."""
        values |= self.added
        return self.text, values if self.names is None else [values[name] for name in self.names]

    def many(self, connection: sa.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Run it for each of *rows*, of which the values stand in the order of its parameters."""
        cursor = connection.connection.cursor()
        try:
            if len(rows) == 1:
                cursor.execute(self.text, rows[0])
            else:
                cursor.executemany(self.text, rows)
        finally:
            cursor.close()


def _run(connection: sa.Connection, text: str, values: Any = ()) -> list[Any]:
    """Run a statement on the driver's cursor, which takes a fraction of the time of `Connection.execute`; its rows."""
    cursor = connection.connection.cursor()
    try:
        if values:
            cursor.execute(text, values)
        else:
            cursor.execute(text)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


Call: TypeAlias = tuple[str, Any]
"""A statement and its values, as the driver takes them."""


class Unknown(Exception):
    """A commit failed, so that nobody knows whether it was done; the driver's error is its cause."""


class _Statements:
    """The statements, and what differs in them between the two databases."""

    def __init__(self, dialect: sa.Dialect, streams: Any, pairs: Any) -> None:
        self.dialect = dialect
        one, heads, events = sa.select(sa.literal_column("1")).subquery("one"), _STREAMS.c, _EVENTS.c
        last = sa.select(sa.func.max(events.position)).scalar_subquery()
        state = sa.select(sa.func.coalesce(last, sa.literal_column("0")), *_HEAD)
        self.state = self.of(state.select_from(one.outerjoin(_STREAMS, heads.stream == _P("stream"))))
        self.states = self.of(state.select_from(one.outerjoin(_STREAMS, heads.stream.in_(streams))))
        self.head = self.of(sa.select(*_HEAD).where(heads.stream == _P("stream")))
        self.heads = self.of(
            sa.select(*_HEAD).where(heads.stream >= _P("start")).order_by(heads.stream).limit(_P("size"))
        )
        self.known = self.of(sa.select(*_ROW).where(sa.tuple_(events.stream, events.event_id).in_(pairs)))
        of_stream = sa.select(*_RECORD).where(events.stream == _P("stream"))
        between = of_stream.where(events.version > _P("after"), events.version <= _P("until"))
        self.stream = self.of(between.order_by(events.version))
        after = sa.select(*_RECORD).where(events.position > _P("after"))
        self.page = self.of(after.order_by(events.position).limit(_P("size")))
        place = sa.tuple_(events.stream, events.version) > sa.tuple_(_P("stream"), _P("version"))
        self.rows = self.of(sa.select(*_ROW).where(place).order_by(events.stream, events.version).limit(_P("size")))
        self.schema = self.of(sa.select(_STORE.c.version))
        self.unset_schema = self.of(sa.delete(_STORE))
        self.set_schema = self.of(sa.insert(_STORE).values(version=_P("newest")))
        tombstone = {"data": sa.null(), "digest": _P("of_data")}
        self.erase = self.of(sa.update(_EVENTS).where(events.position == _P("place")).values(tombstone))
        no_batch = {"batch": sa.null(), "deleted_at": sa.null()}
        self.erase_batch = self.of(sa.update(_STREAMS).where(heads.stream == _P("name")).values(no_batch))

    def of(self, clause: Any) -> _Statement:
        return _Statement(clause, self.dialect)


class _SQLiteStatements(_Statements):
    def __init__(self) -> None:
        value: Any = sa.column("value")
        streams = sa.select(value).select_from(sa.func.json_each(_P("streams")).alias("asked"))
        parts = [sa.func.json_extract(value, sa.literal_column(f"'$[{place}]'")) for place in (0, 1)]
        pairs = sa.select(*parts).select_from(sa.func.json_each(_P("pairs")).alias("asked"))
        super().__init__(sqlite.dialect(paramstyle="qmark"), streams, pairs)
        # All but the digest, which is null as long as there is data.
        self.insert = self.of(self._insert(1))
        put = sqlite.insert(_STREAMS)
        changed = {name: put.excluded[name] for name in HeadRow._fields[1:]}
        self.put = self.of(put.on_conflict_do_update(index_elements=["stream"], set_=changed))

    @cached_property
    def insert_block(self) -> _Statement:
        """`insert` for so many rows at once."""
        return self.of(self._insert(_BLOCK))

    def _insert(self, rows: int) -> Any:
        columns = [*_EVENTS.c][:8]
        return sa.insert(_EVENTS).values([{it: _P(f"{it.name}_{row}") for it in columns} for row in range(rows)])


class _PostgresStatements(_Statements):
    def __init__(self) -> None:
        texts = postgresql.ARRAY(sa.Text)
        streams = sa.select(sa.func.unnest(_P("streams", type_=texts)))
        pairs = sa.select(sa.func.unnest(_P("streams", type_=texts)), sa.func.unnest(_P("ids", type_=texts)))
        super().__init__(cast(Any, psycopg).dialect(), streams, pairs)
        self.write = self._write(_unnested(_EVENTS, ""), _unnested(_STREAMS, "head_"))
        self.write_one = self._write(_given(_EVENTS, ""), _given(_STREAMS, "head_"))  # arrays are dear to psycopg

    def _write(self, rows: Any, heads: Any) -> _Statement:
        """One statement for all, for each costs a way to the server and back."""
        insert = sa.insert(_EVENTS).from_select([*_EVENTS.c], rows).cte("inserted")
        put = postgresql.insert(_STREAMS).from_select([*_STREAMS.c], heads)
        changed = {name: put.excluded[name] for name in HeadRow._fields[1:]}
        upsert = put.on_conflict_do_update(index_elements=["stream"], set_=changed).cte("put")
        notify = sa.func.pg_notify(sa.literal_column(f"'{CHANNEL}'"), sa.literal_column("''"))
        return self.of(sa.select(sa.cast(notify, sa.Text)).add_cte(insert, upsert))


def _unnested(table: sa.Table, prefix: str) -> Any:
    """The rows of a table, from an array for each column."""
    arrays = [_P(prefix + column.name, type_=postgresql.ARRAY(column.type)) for column in table.c]
    found = sa.func.unnest(*arrays).table_valued(*(column.name for column in table.c)).render_derived().c
    return _selected({column.name: found[column.name] for column in table.c})


def _given(table: sa.Table, prefix: str) -> Any:
    """One row of a table, from a value for each column."""
    return _selected({column.name: _P(prefix + column.name, type_=column.type) for column in table.c})


def _selected(values: dict[str, Any]) -> Any:
    return sa.select(
        *(sa.cast(value, postgresql.JSON) if name in ("data", "batch") else value for name, value in values.items())
    )


# ---------------------------------------------------------------------------------------- what is done on a connection

Written: TypeAlias = tuple[list[Values], tuple[Record, ...]]


class Database(ABC):
    """
    What a store does, on a connection that it is given: sync code that knows nothing of retries.

    It raises the errors of a refusal, what the driver raises, and `Unknown`.
    """

    schemas: tuple[str, ...]
    """Statements that lead from each version of the schema to the next."""
    begin: tuple[Call, ...]
    """What begins a transaction that writes."""
    begin_reading: str
    """What begins one that sees one state of the store, however long it takes."""
    waits: tuple[float, ...]
    """After a failure that may pass: how many seconds to wait before each new attempt."""
    poll: float
    """How many seconds `follow` waits at most before it looks again."""
    listens: bool
    """Whether it is told of new rows."""
    sql: Any

    def __init__(self, name: str, timeout: float, profile: Profile, upcasts: Upcasts, *, joined: bool) -> None:
        self.name = name
        self.timeout = timeout
        self.profile = profile
        self.upcasts = upcasts
        self.joined = joined
        """Whether it takes part in transactions of the caller's."""

    # What differs.

    @abstractmethod
    def connected(self, connection: sa.Connection, *, create: bool) -> None:
        """Make a new connection of ours durable."""

    @abstractmethod
    def lost(self, connection: sa.Connection) -> bool:
        """Whether a connection is of no use any more."""

    @abstractmethod
    def sound(self, connection: sa.Connection) -> None:
        """Refuse a connection of the caller's that cannot be durable."""

    @abstractmethod
    def join(self, connection: sa.Connection) -> None:
        """Lock the store in the caller's transaction; refuse if there is none."""

    @abstractmethod
    def lock_schema(self, connection: sa.Connection) -> None:
        """In a transaction: wait for others that make or change the tables."""

    @abstractmethod
    def tables(self, connection: sa.Connection) -> set[str]:
        """Which of our tables there are."""

    @abstractmethod
    def states(self, streams: list[str]) -> Call:
        """Ask for the last position with each head of *streams*; one row at least."""

    @abstractmethod
    def known(self, pairs: list[tuple[str, str]]) -> Call:
        """Ask for the rows of these pairs of stream and event id."""

    @abstractmethod
    def insert(self, connection: sa.Connection, rows: list[Values], heads: list[HeadRow]) -> Sequence[Call]:
        """Write rows and heads: at once, or by what is left to run."""

    @abstractmethod
    def confirm(self, connection: sa.Connection) -> None:
        """See to it that what is there is durable once this transaction is: a repeat is as good as what it repeats."""

    @abstractmethod
    def forgotten(self, connection: sa.Connection) -> None:
        """Do what is left to do once a transaction that forgot is committed."""

    @abstractmethod
    def listen(self, connection: sa.Connection) -> None:
        """Ask to be told of new rows; `notifications` waits for them."""

    @abstractmethod
    def damage(self, connection: sa.Connection) -> list[Damage]:
        """What the database itself finds."""

    # What does not.

    def run(self, connection: sa.Connection, calls: Sequence[Call]) -> list[list[Any]]:
        """Run statements in order; the rows of each."""
        return [_run(connection, *call) for call in calls]

    def transact(
        self,
        connection: sa.Connection,
        work: Callable[..., tuple[T, Sequence[Call]]],
        asked: Sequence[Call] = (),
    ) -> T:
        """
        Do *work* in a transaction of ours, or in the caller's, where it is the caller who commits.

        Args:
            connection: Where.
            work: It is given the rows of each question. It returns what this returns, and what is left to run then.
            asked: The questions with which the transaction begins.
        """
        if self.joined:
            if not connection.in_transaction():
                connection.begin()  # as SQLAlchemy does it itself at the first statement
            self.join(connection)
            found, rest = work(*Database.run(self, connection, asked))
            Database.run(self, connection, rest)
            return found
        rows = self.run(connection, (*self.begin, *asked))
        try:
            found, rest = work(*rows[len(self.begin) :])
        except LifecycleError:
            _run(connection, "ROLLBACK")
            raise
        self.commit(connection, rest)
        return found

    def commit(self, connection: sa.Connection, rest: Sequence[Call]) -> None:
        """Run what is left to run, and commit."""
        self.run(connection, rest)
        try:
            _run(connection, *_COMMIT)
        except _driver(connection).Error as error:
            raise Unknown from error

    def prepare(self, connection: sa.Connection, *, create: bool) -> None:
        """Bring the schema to its newest version; refuse one that is newer still."""
        if self.joined:
            self.sound(connection)
        version, newest = self.version(connection), len(self.schemas)
        if version == newest:
            return
        if version == 0 and not create:
            raise StoreError(f"{self.name}: there is no store")

        def migrate() -> tuple[None, Sequence[Call]]:
            self.lock_schema(connection)
            version = self.version(connection)
            if version == newest:
                return None, ()  # another was first; and a third may read the row now, holding the lock of a store
            for schema in self.schemas[version:]:
                for statement in _statements_of(schema):
                    _run(connection, statement)
            self.sql.unset_schema(connection)
            return None, (self.sql.set_schema.call(newest=newest),)

        self.transact(connection, migrate)

    def version(self, connection: sa.Connection) -> int:
        """The version of the schema; 0 if there is none."""
        tables = self.tables(connection)
        if not tables:
            return 0
        if tables != {*_TABLES.tables}:
            raise StoreError(
                f"{self.name}: the store is damaged: of its tables it has {', '.join(sorted(tables))} only"
            )
        versions = [version for (version,) in self.sql.schema(connection)]
        if len(versions) != 1 or type(versions[0]) is not int or versions[0] < 1:
            raise StoreError(f"{self.name}: the store is damaged: it does not say which schema it has")
        if versions[0] > len(self.schemas):
            raise StoreError(
                f"{self.name}: the store has schema {versions[0]}, and this release of lifecycle knows those up to "
                f"{len(self.schemas)}: use a newer release"
            )
        return versions[0]

    def write(self, connection: sa.Connection, found: list[Request], *, again: bool) -> list[Written]:
        """Append for each of *found*, or for none; *again*: it may have been done before."""
        streams = [*{one.stream for one in found}]
        # Of one stream, the usual case, it is asked in half the time.
        asked = [self.sql.state.call(stream=streams[0]) if len(streams) == 1 else self.states(streams)]
        ids = [(one.stream, item.event_id) for one in found if again or one.given_ids for item in one.items]
        if ids:
            asked.append(self.known(ids))

        def work(state: list[Any], rows_of_ids: Sequence[Any] = ()) -> tuple[list[Written], Sequence[Call]]:
            position = state[0][0]
            heads = {row[1]: head_of(HeadRow(*row[1:])) for row in state if row[1] is not None}
            known: dict[str, dict[str, Row]] = {}
            for values in rows_of_ids:
                row = Row(*values)
                known.setdefault(row.stream, {})[row.event_id] = row
            written = []
            rows: list[Values] = []
            for one in found:
                ids = known.setdefault(one.stream, {})
                more, head, records = judge(
                    one, heads.get(one.stream), ids, position + len(rows), self.profile, self.upcasts
                )
                written.append((more, records))
                if head is not None:
                    heads[one.stream] = head
                    rows += more
                    if len(found) > 1:  # the stream may come again
                        ids |= {row.event_id: row for row in map(Row._make, more)}
            if rows:
                changed = [head_row(heads[stream]) for stream in dict.fromkeys(row[1] for row in rows)]
                return written, self.insert(connection, rows, changed)
            if any(known.values()):
                self.confirm(connection)
            return written, ()

        return self.transact(connection, work, asked)

    def read(self, connection: sa.Connection, stream: str, after: int, until: int) -> tuple[Record, ...]:
        """The records of a stream."""
        rows = self.sql.stream(connection, stream=stream, after=after, until=until) if can_exist(stream) else ()
        if not rows:
            self.batch(connection, stream)
        elif rows[0][5] is None:
            raise StreamNotFound(stream, forgotten=True)
        return tuple(records_of(rows, self.upcasts))

    def page(self, connection: sa.Connection, after: int, size: int) -> tuple[int, list[tuple[int, Record]]]:
        """The next records, and the position up to which they go: there are fewer, where some were forgotten."""
        rows = self.sql.page(connection, after=after, size=size)
        rows_there = [row for row in rows if row[5] is not None]
        found = [*zip([row[0] for row in rows_there], records_of(rows_there, self.upcasts), strict=True)]
        [last] = self._later((after,), rows[-1][:1]) if rows else (after,)
        return last, found

    def head(self, connection: sa.Connection, stream: str) -> Head:
        """Where a stream stands."""
        rows = self.sql.head(connection, stream=stream) if can_exist(stream) else ()
        if not rows:
            raise StreamNotFound(stream)
        return head_of(HeadRow(*rows[0]))

    def batch(self, connection: sa.Connection, stream: str) -> MessageBatch:
        """What a stream has led to."""
        found = self.head(connection, stream).batch
        if found is None:
            raise StreamNotFound(stream, forgotten=True)
        return found

    def heads(self, connection: sa.Connection, after: str | None) -> list[HeadRow]:
        """The next heads; after None the first."""
        rows = self.sql.heads(connection, start=after or "", size=PAGE)
        found = [HeadRow(*row) for row in rows if row[0] != after]
        if found:
            self._later(() if after is None else (after,), found[-1][:1])
        return found

    def forget(self, connection: sa.Connection, stream: str) -> None:
        """Erase the data of a stream."""

        def work() -> tuple[None, Sequence[Call]]:
            if not forgettable(self.head(connection, stream)):
                self.confirm(connection)
                return None, ()
            version = 0
            while rows := self.sql.rows(connection, stream=stream, version=version, size=PAGE):
                for row in map(Row._make, rows):
                    if row.stream != stream:
                        break
                    self.sql.erase(connection, place=row.position, of_data=without_data(row).digest)
                    [version] = self._later((version,), (row.version,))
                else:
                    continue
                break
            return None, (self.sql.erase_batch.call(name=stream),)

        self.transact(connection, work)
        if not self.joined:
            self.forgotten(connection)

    def verify(self, connection: sa.Connection) -> Iterator[Damage]:
        """All that is wrong."""
        if not self.joined:
            _run(connection, self.begin_reading)
        yield from self.damage(connection)
        yield from verified(self._all_rows(connection), self._all_heads(connection), self.upcasts)
        if not self.joined:
            _run(connection, "ROLLBACK")

    def _all_rows(self, connection: sa.Connection) -> Iterator[Row]:
        place: Sequence[Any] = "", 0
        while rows := self.sql.rows(connection, stream=place[0], version=place[1], size=PAGE):
            yield from map(Row._make, rows)
            place = self._later(place, rows[-1][1:3])

    def _all_heads(self, connection: sa.Connection) -> Iterator[HeadRow]:
        after: str | None = None
        while rows := self.heads(connection, after):
            yield from rows
            after = rows[-1].stream

    def _later(self, place: Sequence[Any], last: Sequence[Any]) -> Sequence[Any]:
        """Where the next page begins. A damaged index may lead in a circle, and whoever follows it never comes back."""
        kinds = [*map(type, place)] or [str]
        if [*map(type, last)] != kinds or tuple(last) <= tuple(place):
            raise StoreError(f"{self.name}: the store is damaged: an index is in no order; verify says what else is")
        return last


def _driver(connection: sa.Connection) -> Any:
    """The driver's module."""
    return connection.dialect.loaded_dbapi


class SQLite(Database):
    """SQLite, in its own words."""

    schemas = _SQLITE_SCHEMAS
    begin = (("BEGIN IMMEDIATE", ()),)
    begin_reading = "BEGIN"
    waits = (0.0,)
    poll = 0.05
    listens = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.sql = _sqlite_statements()

    def connected(self, connection: sa.Connection, *, create: bool) -> None:
        """As in `Database`."""
        if not create and not self.tables(connection):
            raise StoreError(f"{self.name}: there is no store")  # before anything of the file is changed
        ends = time.monotonic() + self.timeout
        while _run(connection, "PRAGMA journal_mode") != [("wal",)]:
            try:
                [(mode,)] = _run(connection, "PRAGMA journal_mode = WAL")
            except _driver(connection).Error:
                # Another that opens the file for the first time is at it; this is no lock that SQLite waits for.
                if time.monotonic() > ends:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise StoreError(f"{self.name}: SQLite cannot keep a write-ahead log (WAL) there; use a local disk")
        for setting in (
            "synchronous = FULL",
            "fullfsync = ON",  # macOS: there a plain fsync is none
            "checkpoint_fullfsync = ON",
            "secure_delete = ON",  # what is forgotten is overwritten
            "cell_size_check = ON",
        ):
            _run(connection, f"PRAGMA {setting}")

    def sound(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        [(mode,)] = _run(connection, "PRAGMA journal_mode")
        [(synchronous,)] = _run(connection, "PRAGMA synchronous")
        if mode in ("memory", "off") or synchronous < 2:
            raise StoreError(
                f"{self.name}: its commits are not durable: it has journal_mode {mode} and synchronous {synchronous}; "
                "set PRAGMA synchronous = FULL and PRAGMA journal_mode = WAL"
            )
        _run(connection, "PRAGMA secure_delete = ON")  # what is forgotten is overwritten

    def join(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        if self.tables(connection):
            # It changes nothing, but takes the lock for writing; if somebody has written since the transaction read,
            # it fails. So nothing depends on how the caller began.
            _run(connection, "DELETE FROM lifecycle_store WHERE false")
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr] # it is connected
            raise StoreError(f"{self.name}: the connection is in no transaction; begin one with BEGIN IMMEDIATE")

    def lock_schema(self, connection: sa.Connection) -> None:
        """Do nothing: whoever writes has the whole file."""

    def tables(self, connection: sa.Connection) -> set[str]:
        """As in `Database`."""
        # The tables come last: another may be making them just now, and then there are pages and no tables yet.
        [(pages,)], [(free,)] = (_run(connection, f"PRAGMA {name}") for name in ("page_count", "freelist_count"))
        found = _run(connection, "SELECT type, name FROM sqlite_master")
        if not found and pages > free + 1:
            raise StoreError(f"{self.name}: the file is damaged: it has {pages} pages, and nothing that they are for")
        return {name for kind, name in found if kind == "table"} & {*_TABLES.tables}

    def lost(self, connection: sa.Connection) -> bool:  # noqa: ARG002 -- it asks nothing
        """Never: a file does not go away."""
        return False

    def listen(self, connection: sa.Connection) -> None:
        """Do nothing: nobody tells of changes."""

    def states(self, streams: list[str]) -> Call:
        """As in `Database`."""
        return cast(Call, self.sql.states.call(streams=_json(streams)))

    def known(self, pairs: list[tuple[str, str]]) -> Call:
        """As in `Database`."""
        return cast(Call, self.sql.known.call(pairs=_json(pairs)))

    def insert(self, connection: sa.Connection, rows: list[Values], heads: list[HeadRow]) -> Sequence[Call]:
        """As in `Database`."""
        # sqlite3 looks for an adapter for each value that is bytes, in vain: that was a quarter of an insert's time.
        values = [(*row[:7], bytearray(row[7])) for row in rows]
        # A statement for many rows takes another quarter less than one for each.
        whole = len(values) // _BLOCK * _BLOCK
        for start in range(0, whole, _BLOCK):
            _run(connection, self.sql.insert_block.text, [*chain.from_iterable(values[start : start + _BLOCK])])
        self.sql.insert.many(connection, values[whole:])
        self.sql.put.many(connection, heads)
        return ()

    def confirm(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        # After a crash, or a commit that failed, SQLite takes from its log what nobody may have flushed yet. The next
        # commit that writes flushes all of it; an UPDATE to the same value writes nothing.
        self.sql.unset_schema(connection)
        self.sql.set_schema(connection, newest=len(self.schemas))

    def forgotten(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        # The log has the old pages still. While this waits for readers all writers wait, so it does not wait for long:
        # to forget again, when no reader is in the way, does it then.
        _run(connection, f"PRAGMA busy_timeout = {round(min(self.timeout, 0.2) * 1000)}")
        _run(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        _run(connection, f"PRAGMA busy_timeout = {round(self.timeout * 1000)}")

    def damage(self, connection: sa.Connection) -> list[Damage]:
        """As in `Database`."""
        messages = [message for (message,) in _run(connection, "PRAGMA integrity_check")]
        damage = [Damage(f"SQLite: {message}") for message in messages if message != "ok"]
        expected = {statement for schema in self.schemas for statement in _statements_of(schema)}
        found = _run(connection, "SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        if {sql for name, sql in found if name in _TABLES.tables} != expected:
            damage.append(Damage("its tables are not defined as they were"))
        return damage


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class Postgres(Database):
    """PostgreSQL, in its own words."""

    schemas = _POSTGRES_SCHEMAS
    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    waits = (0.0, 0.1, 0.4, 1.6)
    poll = 1.0
    listens = True

    _LOCK = "pg_advisory_xact_lock(1818845798, coalesce(to_regclass('lifecycle_events')::oid::int, 0))"
    _SCHEMA_LOCK = "pg_advisory_xact_lock(1818845798, 0)"
    """One that does not depend on whether the tables are there; who holds it asks for no other."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.sql = _postgres_statements()
        # A statement sees what was committed before it began: so the lock comes in one of its own, before the others.
        milliseconds = max(1, round(self.timeout * 1000))
        self.begin = (
            ("BEGIN ISOLATION LEVEL READ COMMITTED", ()),
            (f"SELECT {_DURABLE}, set_config('lock_timeout', '{milliseconds}', true), {self._LOCK}", ()),
        )

    def connected(self, connection: sa.Connection, *, create: bool) -> None:
        """Do nothing: each transaction that writes says for itself that it is durable."""

    def sound(self, connection: sa.Connection) -> None:
        """Do nothing: `join` makes each transaction durable."""

    def lost(self, connection: sa.Connection) -> bool:
        """As in `Database`."""
        driver: Any = connection.connection.driver_connection
        return bool(driver.closed)

    def join(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        [(isolation,)] = _run(connection, "SHOW transaction_isolation")
        if isolation != "read committed":
            raise StoreError(
                f"{self.name}: the transaction is {isolation}, so it cannot see who was first; use read committed"
            )
        _run(connection, f"SELECT {_DURABLE}, {self._LOCK}")
        driver: Any = connection.connection.driver_connection
        if driver.info.transaction_status == _IDLE:
            raise StoreError(f"{self.name}: the connection is in no transaction, for it commits each statement")

    def lock_schema(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        _run(connection, f"SELECT {self._SCHEMA_LOCK}")

    def tables(self, connection: sa.Connection) -> set[str]:
        """As in `Database`."""
        names = ", ".join(f"to_regclass('{name}')" for name in _TABLES.tables)
        # By way of a table: else what was not there before a wait is remembered as not there.
        found = _run(connection, f"SELECT relname FROM pg_catalog.pg_class WHERE oid IN ({names})")  # noqa: S608 -- ours
        return {name for (name,) in found}

    def run(self, connection: sa.Connection, calls: Sequence[Call]) -> list[list[Any]]:
        """As in `Database`, with one wait for all of them. Where one fails the server leaves out those behind it."""
        adapted: Any = connection.connection.dbapi_connection
        if isinstance(adapted, sa.AdaptedConnection):
            return adapted.run_async(lambda driver: _together_async(driver, calls))
        return _together(adapted, calls)

    def commit(self, connection: sa.Connection, rest: Sequence[Call]) -> None:
        """As in `Database`."""
        try:
            self.run(connection, (*rest, _COMMIT))
        except _driver(connection).Error as error:
            driver: Any = connection.connection.driver_connection
            if driver.info.transaction_status == _FAILED:
                raise  # the write was refused: the server left out the commit behind it, for the transaction is open
            raise Unknown from error

    def states(self, streams: list[str]) -> Call:
        """As in `Database`."""
        return cast(Call, self.sql.states.call(streams=streams))

    def known(self, pairs: list[tuple[str, str]]) -> Call:
        """As in `Database`."""
        streams, ids = zip(*pairs, strict=True)
        return cast(Call, self.sql.known.call(streams=list(streams), ids=list(ids)))

    def insert(self, connection: sa.Connection, rows: list[Values], heads: list[HeadRow]) -> Sequence[Call]:  # noqa: ARG002 -- the commit takes it along
        """As in `Database`."""
        if len(rows) == 1:
            one = dict(zip(_WRITTEN, (*rows[0], *heads[0]), strict=True))
            return (self.sql.write_one.call(**one),)
        columns = (*zip(*rows, strict=True), *zip(*heads, strict=True))
        return (self.sql.write.call(**dict(zip(_WRITTEN, map(list, columns), strict=True))),)

    def confirm(self, connection: sa.Connection) -> None:
        """Do nothing: a server shows a commit to others when it is durable, and flushes what a crash has left."""

    def forgotten(self, connection: sa.Connection) -> None:
        """Do nothing: the server's vacuum removes the old rows."""

    def listen(self, connection: sa.Connection) -> None:
        """As in `Database`."""
        _run(connection, f"LISTEN {CHANNEL}")

    def damage(self, connection: sa.Connection) -> list[Damage]:  # noqa: ARG002 -- it asks nothing
        """Nothing: the server has no check of its own that everybody may run."""
        return []


def notifications(connection: sa.Connection, seconds: float) -> Any:
    """Wait for one, so long at most; what to iterate over, in the way of the connection."""
    driver: Any = connection.connection.driver_connection
    return driver.notifies(timeout=seconds, stop_after=1)


def _together(driver: Any, calls: Sequence[Call]) -> list[list[Any]]:
    """Send statements to PostgreSQL together, and wait once; the rows of each."""
    cursors: list[Any] = []
    failed: BaseException | None = None
    try:
        with driver.pipeline():
            try:
                cursors = [driver.execute(*call) for call in calls]
            except BaseException as error:  # noqa: BLE001 -- raised through the pipeline, it would make psycopg log
                failed = error
    except driver.Error as error:
        failed = failed or error  # what comes first is the cause
    if failed is not None:
        raise failed
    return [cursor.fetchall() if cursor.pgresult.nfields else [] for cursor in cursors]


async def _together_async(driver: Any, calls: Sequence[Call]) -> list[list[Any]]:
    """`_together` on a connection of asyncio."""
    cursors: list[Any] = []
    failed: BaseException | None = None
    try:
        async with driver.pipeline():
            try:
                cursors = [await driver.execute(*call) for call in calls]
            except BaseException as error:  # noqa: BLE001 -- as above
                failed = error
    except driver.Error as error:
        failed = failed or error
    if failed is not None:
        raise failed
    return [await cursor.fetchall() if cursor.pgresult.nfields else [] for cursor in cursors]


_WRITTEN = (*Row._fields, *(f"head_{name}" for name in HeadRow._fields))
_COMMIT: Call = "COMMIT", ()
_DURABLE = "set_config('synchronous_commit', 'on', true)"
_IDLE = 0
"""libpq's PQTRANS_IDLE: no transaction is open."""
_FAILED = 3
"""libpq's PQTRANS_INERROR: one is open in which a statement has failed."""


@cache
def _sqlite_statements() -> _SQLiteStatements:
    return _SQLiteStatements()


@cache
def _postgres_statements() -> _PostgresStatements:
    return _PostgresStatements()
