"""Where the commands get their records from: files and stores, in any order, as one log."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle import LAWS, EngineError, LogError, Profile, Record, StoreError, StreamNotFound, log
from lifecycle.cli.output import Look, Unit, UsageError, plural, talk, watched
from lifecycle.engines import expanded, is_parquet
from lifecycle.lines import STDIN, File

if TYPE_CHECKING:  # they take a second to import, and drivers
    from types import ModuleType

    from lifecycle.engines import parquet
    from lifecycle.engines.columns import Block
    from lifecycle.engines.duckdb import Source
    from lifecycle.engines.report import Audit
    from lifecycle.replaying import Reducer
    from lifecycle.store.sql import SQLStore

Until = int | datetime | None

_SQLITE = re.compile(r"\s*sqlite(?:\+\w+)?:///", re.IGNORECASE)

_PAGE = 1000
"""How many records of one batch are read from a store at once."""

# Whatever else has a scheme was meant as a URL, too, and no file of that name is looked for.
_URL = re.compile(r"\s*(?:(?:sqlite|postgres(?:ql)?)(?:\+\w+)?:|[a-z][a-z0-9+.-]*://)", re.IGNORECASE)


def is_url(path: str) -> bool:
    """Whether a store is meant, and not a file. A file of such a name can be given as ``./sqlite:x``."""
    return _URL.match(path) is not None


def check_url(text: str) -> str:
    """
    See that *text* is the URL of a store.

    Raises:
        UsageError: It looks like a file.
    """
    if not is_url(text):
        raise UsageError(
            "expected the URL of a store, such as sqlite:///batches.db or postgresql://user:password@host/database, "
            f"got {text!r}"
        )
    return text


def open_store(url: str, *, profile: Profile = LAWS, create: bool = False) -> "SQLStore":
    """
    Open a store.

    Args:
        url: Where it is.
        profile: Which rules count for what is written.
        create: Whether to make it if there is none.

    Raises:
        StoreError: It cannot be opened, or is not there; or its driver is not installed.
    """
    try:
        from lifecycle.store.sql import SQLStore

        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Query string argument")  # so that the store refuses what nobody knows
            return SQLStore(url, profile=profile, create=create)
    except ImportError as error:  # no ModuleNotFoundError if it is a library of the system that psycopg misses
        extra = "sql" if url.lower().lstrip().startswith("sqlite") else "postgres"
        reason = str(error).partition("\n")[0]
        raise StoreError(f"this store needs more: pip install 'lifecycle[{extra}]' ({reason})") from error


def bulk(module: str) -> "ModuleType":
    """
    A module of `lifecycle.engines`.

    Raises:
        EngineError: What it needs is not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"lifecycle.engines.{module}")
    except ImportError as error:
        raise EngineError(str(error)) from error


def expanded_paths(paths: Sequence[str]) -> list[str]:
    """
    The files and stores that are meant: patterns and folders as of `lifecycle.engines.expanded`, URLs as they are.

    Raises:
        LogError: A folder has no Parquet.
    """
    found = [name for path in paths for name in ([path] if is_url(path) else expanded([path]))]
    for path in found:
        if not is_url(path) and Path(path).is_dir():
            raise LogError(path, None, "cannot be read: a folder without Parquet; name its files")
    return found


def check_paths(paths: Sequence[str]) -> int | None:
    """
    See whether *paths* can be input at all, before hours are spent on the first of them.

    Returns:
        Their size in bytes; None if it cannot be known, as for standard input.

    Raises:
        UsageError: Standard input is named twice.
        LogError: A file is not there, is a directory, or standard input is closed.
    """
    if paths.count(STDIN) > 1:
        raise UsageError("- is standard input, which can be read only once")
    total: int | None = 0
    for path in paths:
        size = File(path).size()
        total = None if total is None or size is None else total + size
    return total


def _is_early(record: Record, until: Until) -> bool:
    """Whether a record is no later than *until*."""
    if until is None:
        return True
    return record.version <= until if isinstance(until, int) else record.recorded_at <= until


class StoreReading:
    """
    The records of a store, in the order of their commits; or those of one batch.

    Each has a `place`: the URL without its password, and the position. One batch is found by its id, however large the
    store is, and then the positions are not known.
    """

    def __init__(self, store: "SQLStore", batch_id: str | None, until: Until) -> None:
        self._store = store
        self._batch_id = batch_id
        self._until = until
        self.name = store.url
        """The store, as the places of its records name it."""
        self.records_read = 0
        """How many records have been read."""
        self.forgotten: StreamNotFound | None = None
        """What the store says if the batch was forgotten."""

    def __iter__(self) -> Iterator[Record]:
        until = self._until
        found = self._store.read_all() if self._batch_id is None else self._one(self._batch_id)
        for position, record in found:
            self.records_read += 1
            if not _is_early(record, until):
                continue
            # The store has just made it, and nobody else has it; to build it anew takes as long as to read it.
            object.__setattr__(record, "place", (self.name, position))
            yield record

    def _one(self, batch_id: str) -> Iterator[tuple[int | None, Record]]:
        after = 0
        try:
            while records := self._store.read(batch_id, after=after, until=after + _PAGE):
                yield from ((None, record) for record in records)
                after += _PAGE
        except StreamNotFound as error:
            self.forgotten = error if error.forgotten else None


class Input:
    """
    Files and stores as one log, in the order given: an iterator of records, and of what is said of unreadable lines.

    Args:
        paths: Files, in JSON Lines and in Parquet, patterns and folders as of `lifecycle.engines.expanded`; and URLs.
        batch_id: Only the records of this batch.
        until: Only what was recorded up to this version or time.
        stack: Closes the stores in the end.

    Raises:
        UsageError: Standard input is named twice.
        LogError: A file is not there, or is Parquet but no log; or a folder has no Parquet.
        StoreError: A store is not there, or cannot be opened.
        EngineError: A file is Parquet, and what reads it is not installed.
    """

    def __init__(self, paths: Sequence[str], batch_id: str | None, until: Until, stack: contextlib.ExitStack) -> None:
        paths = expanded_paths(paths)
        self._paths = paths
        self._batch_id = batch_id
        self._until = until
        self._readings: list[log.Reading | parquet.Reading] = []
        self._torn: list[LogError] = []
        total = check_paths([path for path in paths if not is_url(path)])
        self.parquet: dict[int, parquet.Reading] = {
            place: bulk("parquet").Reading(path)
            for place, path in enumerate(paths)
            if not is_url(path) and is_parquet(path)
        }
        """Those of the paths that are Parquet, by their place."""
        self.stores = {
            place: StoreReading(stack.enter_context(open_store(path)), batch_id, until)
            for place, path in enumerate(paths)
            if is_url(path)
        }
        """Those among the paths, by their place."""
        self.unit: Unit = "events" if self.stores else "bytes"
        """What `done` counts."""
        self.total = None if self.stores else total
        """How much there is to read, where that is known."""
        self.refused = 0
        """How many lines a command has left out as unreadable; `tell` says so."""
        self.reducer: Reducer | None = None
        """Who takes the records, if anybody knows how many they are so far."""
        self._audit: Audit | None = None
        self._sorted = 0  # how many records are on their way to it
        self._unread = 0  # of how many sources there is more to come

    def __iter__(self) -> Iterator[Record | LogError]:
        for place, path in enumerate(self._paths):
            if place in self.stores:
                yield from self.stores[place]
            elif place in self.parquet:
                yield from self._of_parquet(place)
            else:
                yield from self._of_lines(path)

    def _of_lines(self, path: str) -> Iterator[Record | LogError]:
        refused: list[LogError] = []
        for record in self._read([path], refused):
            yield from refused
            refused.clear()
            yield record
        yield from refused

    def _of_parquet(self, place: int) -> Iterator[Record | LogError]:
        reading = self.parquet[place]
        self._readings.append(reading)
        for record in reading:
            if isinstance(record, LogError) or (
                self._batch_id in {None, record.batch_id} and _is_early(record, self._until)
            ):
                yield record

    def for_reducer(self) -> "log.Reading | parquet.Log | Input":
        """What a reducer takes best: if all are lines, or all Parquet, it takes them without building records."""
        if not self.stores and not self.parquet:
            return self._read(self._paths, None)
        if self.is_parquet and self._batch_id is None and self._until is None:
            self._readings += self.parquet.values()
            found: parquet.Log = bulk("parquet").Log([*self.parquet.values()])
            return found
        return self

    @property
    def is_parquet(self) -> bool:
        """Whether all of it is Parquet."""
        return len(self.parquet) == len(self._paths)

    @property
    def files(self) -> list[str]:
        """The files that it is read from, those of stores in SQLite among them."""
        return [_SQLITE.sub("", path).partition("?")[0] if is_url(path) else path for path in self._paths]

    @property
    def names(self) -> list[str]:
        """The files and stores, in order, as the places of their records name them."""
        return [self.stores[place].name if place in self.stores else path for place, path in enumerate(self._paths)]

    def sources(self, done: "Audit") -> "list[Source]":
        """The same for an engine, whose work *done* shows; all of it, whatever batch was asked for."""
        duckdb, columns = bulk("duckdb"), bulk("columns")
        self._audit, self._unread = done, len(self._paths)
        return [duckdb.Source(name, partial(self._blocks, columns, place)) for place, name in enumerate(self.names)]

    def _blocks(self, columns: Any, place: int) -> "Iterator[Block]":
        for batch, refused in self._read_blocks(columns, place):
            self._sorted += batch.num_rows
            yield batch, refused
        self._unread -= 1

    def _read_blocks(self, columns: Any, place: int) -> Any:
        if place in self.stores:
            return columns.of_records(self.stores[place])
        if place in self.parquet:
            self._readings.append(self.parquet[place])
            return self.parquet[place].blocks()
        return columns.of_lines(self._read([self._paths[place]], None))

    def _read(self, paths: Sequence[str], refused: list[LogError] | None) -> log.Reading:
        def note(error: LogError) -> None:
            if error.torn:
                self.note_torn(error)
            elif refused is not None:
                refused.append(error)

        reading = log.read(*paths, on_error=note, batch_id=self._batch_id, until=self._until)
        self._readings.append(reading)
        return reading

    def note_torn(self, error: LogError) -> None:
        """Take note of a torn tail; `tell` says so."""
        self._torn.append(error)

    @property
    def done(self) -> int:
        """How much has been read; where a store is among the paths, of the stores only."""
        if self.stores:
            return sum(store.records_read for store in self.stores.values())
        return sum(reading.bytes_read for reading in self._readings)

    def look(self, title: str) -> Look:
        """How far reading is, and then the engine that sorts and judges what was read."""
        if self._audit is not None and not self._unread:
            judged = self._audit.events
            if not judged:
                return Look(f"{title}: sorting", 0, None, "bytes")
            return Look(f"{title}: judging", judged, self._sorted, "events")
        events = self._sorted if self.reducer is None else self.reducer.events
        return Look(title, self.done, self.total, self.unit, events or None)

    def tell(self) -> None:
        """Say what was noticed: torn tails, lines that were left out, and a batch that was forgotten."""
        for error in self._torn:
            talk(f"warning: {error}")
        if self.refused:
            lines = plural(self.refused, "line")
            talk(f"warning: {lines} of the log could not be read; `lifecycle audit` lists them all")
        for store in self.stores.values():
            if store.forgotten is not None:
                talk(str(store.forgotten))


@contextlib.contextmanager
def opened(title: str, paths: Sequence[str], batch_id: str | None, until: Until, *, streams: bool) -> Iterator[Input]:
    """Logs being read, with their progress; in the end it is told what was noticed."""
    with contextlib.ExitStack() as stack:
        found = Input(paths, batch_id, until, stack)
        try:
            with watched(lambda: found.look(title), streams=streams):
                yield found
        finally:
            found.tell()
