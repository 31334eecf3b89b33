"""
Logs as Parquet: one row a record, in the columns of `lifecycle.engines.columns` (``specs/log-format.md``).

A row that is no record is refused as a line is, with file and row; a file that does not have these columns is refused
as a whole.  Nothing is ever converted so that something would be lost.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import attrs

from lifecycle import wire
from lifecycle.engines import columns
from lifecycle.errors import LogError
from lifecycle.events import Record
from lifecycle.lines import said
from lifecycle.replaying import Finding, Reducer, content_of

# After `columns`, which says what is missing if it is.
import numpy as np  # isort: skip
import pyarrow as pa  # isort: skip
import pyarrow.parquet as pq  # isort: skip

_GROUP = 1 << 16
"""How many rows stand together in a file that we write; so many are held in memory."""

_AT_ONCE = 1 << 16
"""How many rows are judged at once."""

_UNREADABLE = (OSError, ValueError, pa.ArrowException)
"""All that reading a file raises when the file is at fault; a ValueError: no such path can be."""

OnError = Callable[[LogError], object]


class Reading:
    """
    The records of one Parquet file.

    Args:
        path: The file. Its columns are looked at now, its rows when they are asked for.

    Raises:
        LogError: It cannot be read, or has not the columns of a log.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        """The path, as it was given."""
        self.rows_read = 0
        """How many rows have been read."""
        with self._opened() as file:
            self.rows: int = file.metadata.num_rows
            """How many rows it has."""
            self.groups = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
            """How many rows stand in each of its groups."""
            self.size = Path(self.path).stat().st_size
            """How long it is, in bytes."""

    @property
    def bytes_read(self) -> int:
        """How much of it has been read, for showing progress."""
        return self.size * self.rows_read // max(1, self.rows)

    def blocks(
        self, rows: int | None = None, *, groups: range | None = None, threads: bool = True
    ) -> Iterator[columns.Block]:
        """
        Read it, in parts of `columns.COLUMNS`.

        Args:
            rows: How many rows a part has; `columns.ROWS` unless given.
            groups: Which of its groups, if not all.
            threads: Whether several columns are read at once, which takes more of the processor in all.

        Raises:
            LogError: It cannot be read to its end. What stands before has been given.
        """
        for first, stored in self.stored(rows or columns.ROWS, groups=groups, threads=threads):
            batch, refused = columns.structured(stored, np.arange(first, first + stored.num_rows))
            yield batch, [columns.refusal(self.path, first + row, problems) for row, problems in refused]

    def stored(
        self, rows: int, *, groups: range | None = None, threads: bool = True
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """
        Read it, in parts that are as they are in the file.

        Args:
            rows: How many rows a part has.
            groups: As for `blocks`.
            threads: As for `blocks`.

        Yields:
            The row of the file where a part starts, from 1; and the part.

        Raises:
            LogError: As for `blocks`.
        """
        groups = range(len(self.groups)) if groups is None else groups
        read = sum(self.groups[: groups.start])  # its own, for somebody else may read this at the same time
        self.rows_read = read
        with self._opened() as file:
            # Each group is asked for by itself, or else more and more of them would be held.
            for group in groups:
                for batch in _group(file, group, rows, threads=threads):
                    first, read = read + 1, read + batch.num_rows
                    self.rows_read = read
                    yield first, columns.sound(batch)

    def pieces(self, jobs: int = 1) -> Iterator["Piece"]:
        """
        Read it for a reducer (`lifecycle.replaying.Tables`).

        Args:
            jobs: With more than one the next rows are read while some are judged.

        Raises:
            LogError: As for `blocks`.
        """
        found = self._pieces()
        yield from _ahead(found) if jobs > 1 else found

    def _pieces(self) -> Iterator["Piece"]:
        held: list[pa.RecordBatch] = []
        start = size = length = 0
        error: LogError | None = None
        try:
            for first, batch in self.stored(_AT_ONCE, threads=False):
                if held and (size + batch.num_rows > _AT_ONCE or length + batch.nbytes > 8 * columns.BYTES):
                    yield Piece(self.path, held, start)
                    held, size, length = [], 0, 0
                start = start if held else first
                held.append(batch)
                size += batch.num_rows
                length += batch.nbytes
        except LogError as caught:
            error = caught
        if held:
            yield Piece(self.path, held, start)
        if error is not None:
            raise error

    def __iter__(self) -> Iterator[Record | LogError]:
        """Its records, each with its `place`, and what is said of the rows that are none, in the order of the file."""
        for batch, errors in self.blocks():
            waiting = iter(errors)
            error = next(waiting, None)
            for record, line in zip(columns.records(batch, self.path), batch.column("line").to_pylist(), strict=True):
                while error is not None and error.line < line:
                    yield error
                    error = next(waiting, None)
                yield record
            while error is not None:
                yield error
                error = next(waiting, None)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._file() as file:
                self._check(file.schema_arrow)
                yield file
        except LogError:
            raise
        except _UNREADABLE as error:
            raise LogError(self.path, None, f"cannot be read: {_said(error)}") from error

    def _file(self) -> Any:
        # Without a buffer for all of it, and with the checksums verified that we have written.
        settings: dict[str, Any] = {"pre_buffer": False, "page_checksum_verification": True}
        try:
            return pq.ParquetFile(self.path, **settings, read_dictionary=["batch_id", "event"])
        except KeyError:  # it does not have both, as `_check` will say
            return pq.ParquetFile(self.path, **settings)

    def _check(self, schema: pa.Schema) -> None:
        misfit = columns.misfit(schema)
        if misfit is not None:
            raise LogError(self.path, None, f"is no log: {misfit}")


def _group(file: Any, group: int, rows: int, *, threads: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a group, so many at a time; what stands before a fault is read, too, as far as it can be."""
    given = 0
    try:
        for stored in file.iter_batches(batch_size=rows, row_groups=[group], use_threads=threads):
            given += stored.num_rows
            yield stored
    except _UNREADABLE:
        if rows <= columns.ROWS:
            raise
        for stored in _group(file, group, columns.ROWS, threads=threads):
            known = min(given, stored.num_rows)
            given -= known
            if known < stored.num_rows:
                yield stored.slice(known)


class Piece:
    """
    Rows that a reducer takes, most of them as columns (`lifecycle.screening.Piece`).

    Args:
        path: The file.
        batches: They, one part after the other, as they are in the file.
        first: The row of the file where they start, from 1.
    """

    def __init__(self, path: str, batches: Sequence[pa.RecordBatch], first: int) -> None:
        batch = batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        self.path = path
        """The file."""
        self.columns = columns.screened(batch)
        """What is known of the rows."""
        self._batch = batch
        self._first = first

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def entries(self, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Some of the rows: their places in the file, and what `Reducer.take_entry` takes."""
        if not rows:  # as a rule
            return
        places = np.array(rows, np.int64)
        batch, found = columns.structured(self._batch.take(columns.column_of(places)), self._first + places)
        refused = dict(found)
        records = iter(columns.records(batch, self.path))
        for place, row in enumerate(rows):
            line = self._first + row
            if place in refused:
                yield line, columns.refusal(self.path, line, refused[place])
                continue
            record = next(records)
            event = record.event
            known = record.batch_id, record.version, record.event_id, event, content_of(event), record.recorded_at
            yield line, known

    def feed(self, reducer: Reducer) -> Iterator[Finding]:
        """Give all of them to a reducer."""
        for line, entry in self.entries(range(len(self))):
            yield from reducer.take_entry(entry, self.path, line)


@attrs.frozen
class Log:
    """Several files as one log, in the order given (`lifecycle.replaying.Tables`)."""

    readings: Sequence[Reading]

    def __iter__(self) -> Iterator[Record | LogError]:
        """As of `Reading`."""
        return itertools.chain.from_iterable(self.readings)

    def pieces(self, jobs: int = 1) -> Iterator[Piece]:
        """As of `Reading`."""
        for reading in self.readings:
            yield from reading.pieces(jobs)


def _ahead(found: Iterator[Piece]) -> Iterator[Piece]:
    """What another iterator gives; it is asked for the next while this one's is looked at."""
    with ThreadPoolExecutor(1) as pool:
        end = object()
        asked = pool.submit(next, found, end)
        while (one := asked.result()) is not end:
            asked = pool.submit(next, found, end)
            yield cast(Piece, one)


def _said(error: BaseException) -> str:
    return said(error).partition("\n")[0]


def read(*paths: str | os.PathLike[str], on_error: OnError | None = None) -> Iterator[Record]:
    """
    Read the records of logs that are Parquet.

    Args:
        paths: The files; several are one log in the order given.
        on_error: Called with the `LogError` of each row that is no record; reading goes on. Without it the first one
            raises.

    Yields:
        Records, each with its `place`: the file, and the row from 1.

    Raises:
        LogError: A file cannot be read or has not the columns of a log (`line` is None); or, without *on_error*, a row
            is no record.
    """
    for path in paths:
        for record in Reading(path):
            if isinstance(record, Record):
                yield record
            elif on_error is None:
                raise record
            else:
                on_error(record)


class Writer:
    """
    A Parquet file on its way. It is none before the end of the ``with`` block, which writes what belongs at its end.

    Args:
        path: The file; whatever is there is overwritten.
        name: What errors call it, if it will have another name.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self._path = os.fspath(path)
        self._name = name or self._path
        self._rows: list[columns.Row] = []
        self._size = 0
        self._written = 0
        with self._translated():
            self._sink = Path(self._path).open("wb")  # noqa: SIM115 -- closed by `__exit__`
            self._file: Any = pq.ParquetWriter(self._sink, columns.SCHEMA, compression="zstd", write_page_checksum=True)

    def add(self, record: Record) -> None:
        """
        Take a record, which is one that a line can hold.

        Raises:
            LogError: The file cannot be written.
        """
        self._written += 1
        self._rows.append(columns.row(record, self._written))
        self._size += len(record.batch_id) + len(record.event_id)
        if len(self._rows) >= _GROUP or self._size >= 8 * columns.BYTES:
            self._write()

    def _write(self) -> None:
        with self._translated():
            self._file.write_batch(columns.stored(columns.from_rows(self._rows)))
        self._rows, self._size = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write()
                with self._translated():
                    self._file.close()
                    self._sink.close()
        finally:
            # Where something failed the file must not get its end, which would make it one.
            with contextlib.suppress(*_UNREADABLE):
                self._sink.close()
            with contextlib.suppress(*_UNREADABLE):
                self._file.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise LogError(self._name, None, f"cannot be written: {_said(error)}") from error


def write(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """
    Write records as a log in Parquet. No rule is judged.

    Args:
        path: The file; whatever is there is overwritten.
        records: What to write; held in memory some ten thousand at a time.

    Raises:
        LogError: The file cannot be written. What is left of it is no Parquet file.
        WireError: A record holds what a line cannot.
        TypeError: Something among *records* is no record.
    """
    with Writer(path) as file:
        for record in records:
            wire.encode_record(record)  # which refuses what is none
            file.add(record)
