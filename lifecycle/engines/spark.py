"""
Logs that are grouped and sorted by a Spark cluster, and judged by the reducer on its workers (extra ``spark``).

Spark parses nothing and knows no rule.  It gets columns of records, brings those of a stream together, sorts them, and
hands them to `lifecycle.engines.judging` where they are; what comes back to the driver is findings and totals.  The
report is the same, finding by finding, as from one process and from DuckDB.

`audit_dataframe` judges records that Spark has already, in the columns of a log as Parquet; `audit` reads files, by
ways of our own, each worker its part: no leniency of an engine can change a verdict.  `session` starts a session for
those who have none.

Every machine of the cluster needs the extra, too, and the same Python as the driver.
"""

import base64
import contextlib
import importlib
import itertools
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

import attrs

from lifecycle import log, wire
from lifecycle.batch import Phase
from lifecycle.engines import Order, expanded, is_parquet
from lifecycle.engines.report import Audit, Findings
from lifecycle.errors import EngineError, LogError
from lifecycle.lines import STDIN, File
from lifecycle.machine import allowed
from lifecycle.replaying import Finding, Reducer, Totals
from lifecycle.rules import LAWS, RULES, WIRE, Profile

MISSING: Final = "the engine Spark needs more: pip install 'lifecycle[spark]'"
"""What is said where the extra is not installed."""

try:
    importlib.import_module("pandas")  # without which PySpark moves no Arrow
    import numpy as np
    import pyarrow as pa
    from pyspark import SparkConf, SparkContext, StorageLevel
    from pyspark.errors import AnalysisException, PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    from lifecycle.engines import columns, judging, parquet
except ImportError as error:
    raise ImportError(MISSING) from error

_PART = 1 << 24
"""How many bytes of a log in lines one task reads, about: less than a second's work."""
_ROWS_OF_PART = 1 << 18
"""How many rows of Parquet one task reads, about."""
_PARTS = 20_000
"""How many tasks a driver keeps an eye on without being the one that is waited for; longer logs have larger parts."""
_LINES = 40
"""
How many bits of a number of a line on its way are those of the line in its part; the part stands in those above, so
that the numbers have the order of the file. Nobody knows how many lines stand before a part until all are read.
"""
_FOUND_AT_ONCE = 1000
_HELD = 20_000
"""How many findings a worker holds in memory."""
_GOODBYE = 10.0
"""How many seconds Java has to end."""

# ------------------------------------------------------------------------------------------- what travels through Spark

_TYPES: Mapping[columns.Kind, t.DataType] = {
    "text": t.StringType(),
    "whole": t.LongType(),
    "time": t.LongType(),
}

_ROWS: Final = t.StructType(
    [
        t.StructField("file", t.IntegerType()),
        t.StructField("refused", t.StringType()),
        t.StructField("line", t.LongType()),
    ]
    + [
        t.StructField(name, t.ByteType() if name == "event" else _TYPES[kind])
        for name, kind in (*columns.ENVELOPE.items(), *columns.FIELDS.items())
    ]
)
"""
`columns.COLUMNS`, after the place of the file and what is said of a line that is no record; which has no other value,
but for a torn tail, which has the `event` -1.
"""
_ROWS_HELD: Final = pa.schema(
    [pa.field("file", pa.int32()), pa.field("refused", pa.string())]
    + [pa.field(each.name, pa.string() if each.type == pa.large_string() else each.type) for each in columns.COLUMNS]
)
_TORN: Final = -1

_FOUND: Final = t.StructType(
    [t.StructField(name, t.StringType()) for name in ("rule", "message", "batch_id", "file", "event", "phase")]
    + [t.StructField(name, t.LongType()) for name in ("version", "line")]
    + [t.StructField("counted", t.ArrayType(t.LongType())), t.StructField("files", t.ArrayType(t.StringType()))]
)
"""
What a partition says: its findings; a torn tail, with the rule `torn`; and, in a row without a rule, what there was:
the `Totals`, and of which files there are findings. As rows, for accumulators count twice what is done twice.
"""
_FOUND_HELD: Final = pa.schema(
    [pa.field(name, pa.string()) for name in ("rule", "message", "batch_id", "file", "event", "phase")]
    + [pa.field(name, pa.int64()) for name in ("version", "line")]
    + [pa.field("counted", pa.list_(pa.int64())), pa.field("files", pa.list_(pa.string()))]
)


class _WorkerError(Exception):
    """What goes wrong on a worker because of its input or its disk; through Spark only its text comes."""

    def __init__(self, error: LogError | EngineError) -> None:
        path = error.path if isinstance(error, LogError) else None
        said = json.dumps([path, f"{error.reason} (on the worker {socket.gethostname()})"]).encode()
        super().__init__(f"lifecycle:{base64.b64encode(said).decode()}:")


_TOLD = re.compile(r"lifecycle:([A-Za-z0-9+/=]+):")


# ----------------------------------------------------------------------------------------------- what runs on a worker


@attrs.frozen
class _Part:
    """What one task reads."""

    file: int
    """The place of the file among those given."""
    path: str
    number: int
    """Which part of the file it is."""
    start: int
    """The first byte; of Parquet, the first group of rows."""
    end: int | None
    """Where it ends; None: where the file does."""
    is_parquet: bool = False


@attrs.frozen
class _Reader:
    """Reads parts of files, which are asked for by their number."""

    parts: Sequence[_Part]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from _translated(self.rows(self.parts[number]))

    def rows(self, part: _Part) -> Iterator[pa.RecordBatch]:
        """Rows of `_ROWS`."""
        high = part.number << _LINES
        torn: list[LogError] = []
        for batch, refused in _blocks(part, torn):
            if batch.num_rows:
                held = [
                    column.cast(field.type) for column, field in zip(batch.columns, list(_ROWS_HELD)[2:], strict=True)
                ]
                held[0] = columns.compute().add(held[0], high)
                file, none = pa.scalar(part.file, pa.int32()), pa.nulls(batch.num_rows, pa.string())
                yield pa.RecordBatch.from_arrays([pa.repeat(file, batch.num_rows), none, *held], schema=_ROWS_HELD)
            if refused:
                yield _refused(part.file, high, refused)
        if torn:
            yield _refused(part.file, high, torn, _TORN)


def _translated(rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from rows
    except (LogError, EngineError) as error:
        raise _WorkerError(error) from None


def _blocks(part: _Part, torn: list[LogError]) -> Iterator[columns.Block]:
    if part.is_parquet:
        return parquet.Reading(part.path).blocks(groups=None if part.end is None else range(part.start, part.end))
    _check_ends(part)
    file = File(part.path, start=part.start, end=part.end)

    def note(error: LogError) -> None:
        if error.torn:
            torn.append(error)

    return columns.of_lines(log.Reading([file], note, None, None, wire.MAX_BYTES))


def _check_ends(part: _Part) -> None:
    """See that the file is the one that the driver has cut: where it was cut there is an end of a line."""
    file = File(part.path)
    for end in (part.start, part.end):
        if end and file.span(end - 1, end) != b"\n":
            raise LogError(part.path, None, "is not the file that the driver sees")


def _refused(file: int, high: int, refused: Sequence[LogError], event: int | None = None) -> pa.RecordBatch:
    values = {
        "file": pa.array([file] * len(refused), pa.int32()),
        "refused": pa.array([error.reason for error in refused], pa.string()),
        "line": pa.array([high + (error.line or 0) for error in refused], pa.int64()),
        "event": pa.array([event] * len(refused), pa.int8()),
    }
    found = [values.get(field.name, pa.nulls(len(refused), field.type)) for field in _ROWS_HELD]
    return pa.RecordBatch.from_arrays(found, schema=_ROWS_HELD)


@attrs.frozen
class _Counter:
    """Counts the lines of parts of files, which are asked for by their number."""

    parts: Sequence[_Part]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from _translated(self.count(number))

    def count(self, number: int) -> Iterator[pa.RecordBatch]:
        """How many lines there are: the number of the part, and they."""
        part = self.parts[number]
        pieces = File(part.path, start=part.start, end=part.end).pieces(wire.MAX_BYTES, _PART)
        lines = sum(1 if piece is None else sum(map(_newlines, piece[0])) for piece in pieces)
        yield pa.RecordBatch.from_arrays([pa.array([number]), pa.array([lines])], names=["part", "lines"])


def _newlines(data: bytes | memoryview) -> int:
    return bytes(data).count(b"\n")


@attrs.frozen
class _Judge:
    """Judges the sorted rows of a partition."""

    profile: Profile
    files: int | None
    """How many files there are, if rows name them by their places. If not, they are as they were stored, too."""

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _translated(self.judged(batches))

    def judged(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `_FOUND`."""
        names = list(map(str, range(self.files or 0)))
        done = Audit(Findings((), "log", run=_HELD))
        refusals, torn = Reducer(self.profile), list[LogError]()

        def refuse(error: LogError) -> None:
            if error.torn:
                torn.append(error)
            for finding in () if error.torn else refusals.run([error]):
                done.findings.add(finding)

        rows = _structured(batches, names, refuse) if self.files is None else _decoded(batches, names, refuse)
        for finding in judging.judge(rows, names, Reducer(self.profile), done):
            done.findings.add(finding)
        told = [("torn", error.reason, None, error.path, None, None, None, error.line) for error in torn]
        if told:
            yield _found(told)
        files = dict.fromkeys(error.path for error in torn)
        findings = iter(done.findings)
        while some := list(itertools.islice(findings, _FOUND_AT_ONCE)):
            files |= dict.fromkeys(finding.file or "" for finding in some)
            yield _found(
                [
                    (one.rule.id, one.message, one.batch_id, one.file, one.event, one.phase, one.version, one.line)
                    for one in some
                ]
            )
        counted = [len(files), done.events, done.streams, done.broken, *(done.phases[phase] for phase in Phase)]
        yield _found([(None,) * 8], [counted], [list(files)])


def _found(rows: Sequence[tuple[Any, ...]], *more: Any) -> pa.RecordBatch:
    arrays = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), _FOUND_HELD, strict=False)]
    for values, field in zip(more or ([None] * len(rows),) * 2, list(_FOUND_HELD)[8:], strict=True):
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=_FOUND_HELD)


Refuse = Callable[[LogError], None]


def _decoded(batches: Iterable[pa.RecordBatch], names: Sequence[str], refuse: Refuse) -> Iterator[pa.RecordBatch]:
    """What `_Reader` has read, as it is judged."""
    for batch in batches:
        is_refused = batch.column("refused").is_valid()
        for row in batch.filter(is_refused).select(["file", "line", "refused", "event"]).to_pylist():
            file: int = row["file"]
            refuse(LogError(names[file], row["line"], row["refused"], torn=row["event"] == _TORN))
        rows = batch.filter(columns.compute().invert(is_refused))
        held = [rows.column(field.name).cast(field.type) for field in _JUDGED]
        yield pa.RecordBatch.from_arrays(held, schema=_JUDGED)


_JUDGED: Final = pa.schema([pa.field("file", pa.int32()), *columns.COLUMNS])


def _structured(batches: Iterable[pa.RecordBatch], names: list[str], refuse: Refuse) -> Iterator[pa.RecordBatch]:
    """Rows of a log as Parquet, as they are judged; *names* gets the names of their files."""
    places: dict[str, int] = {}
    for batch in batches:
        files = batch.column("file").cast(pa.string()).fill_null("").dictionary_encode()
        for name in files.dictionary.to_pylist():
            if places.setdefault(name, len(names)) == len(names):
                names.append(name)
        numbers = pa.array([places[name] for name in files.dictionary.to_pylist()], pa.int32()).take(files.indices)
        lines = batch.column("line").cast(pa.int64())
        rows, refused = columns.structured(batch.select(columns.SCHEMA.names), np.arange(batch.num_rows))
        for row, problems in refused:
            refuse(columns.refusal(names[numbers[row].as_py()], lines[row].as_py(), problems))
        kept = rows.column("line")  # the rows, from 0
        held = [numbers.take(kept), lines.take(kept), *rows.columns[1:]]
        yield pa.RecordBatch.from_arrays(held, schema=_JUDGED)


# ------------------------------------------------------------------------------------------------------- on the driver


def audit_dataframe(
    df: DataFrame, *, profile: Profile = LAWS, order: Order = "log", partitions: int | None = None
) -> Audit:
    """
    Find everything that is wrong with a log that Spark has as a data frame.

    Args:
        df: Records, one a row, in the columns of a log as Parquet (``specs/log-format.md``). Where each comes from is
            said by the columns `file` (text) and `line` (a number from 1); without these, and if it was read from
            Parquet, by the path and the row. It is read once, by the settings of its session; but the workers keep the
            findings until they are fetched, and what is lost with a worker is done again.
        profile: Which rules count.
        order: Whether the records of a stream are judged in the order of the log, which is that of the paths of its
            files, then line; or of their versions (ties by the path, then line).
        partitions: In how many partitions the streams are judged; by default as many as Spark finds right
            (``spark.sql.shuffle.partitions``), but no more than there are parts to read, or cores.

    Returns:
        The findings, sorted, and the totals.

    Raises:
        EngineError: Spark has failed: not enough memory or room, or no workers. Nothing was judged.
        LogError: A file cannot be read.
        ValueError: *df* has not the columns of a log, or *order* or *partitions* is none.
        TypeError: *df* is no data frame.
    """
    if not isinstance(df, DataFrame):
        raise TypeError(f"df: expected a data frame of Spark, got {df!r}")
    _check(order, partitions)
    with _spoken():
        rows = _placed(df)
        if partitions is None:
            partitions = _usual(df.sparkSession, df.rdd.getNumPartitions())
        return _audited(rows, None, profile, order, partitions)


def audit(
    paths: Iterable[str | os.PathLike[str]],
    *,
    session: SparkSession,
    profile: Profile = LAWS,
    order: Order = "log",
    partitions: int | None = None,
    on_torn: Callable[[LogError], object] | None = None,
) -> Audit:
    """
    Find everything that is wrong with a log in files that the driver and every worker have under the same paths.

    Args:
        paths: Files in JSON Lines (compressed or not) and in Parquet; patterns and folders as of `engines.expanded`. A
            file is read by several tasks, unless it is compressed with gzip.
        session: Where it is done.
        profile: Which rules count.
        order: As of `lifecycle.engines.duckdb.audit`.
        partitions: As of `audit_dataframe`.
        on_torn: Called with the `LogError` of each torn tail, which is no finding.

    Returns:
        The findings, sorted, and the totals.

    Raises:
        LogError: A file cannot be read to its end by whoever has to, or is Parquet but no log. Nothing was judged.
        EngineError: As of `audit_dataframe`.
        ValueError: *order* or *partitions* is none, or standard input is among the paths.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"paths: expected several, got {paths!r}")
    _check(order, partitions)
    names = expanded(paths)
    if STDIN in names:
        raise ValueError("paths: standard input is no file that workers could read")
    if order == "version":
        names.sort()
    parts = list(_parts(names))
    with _spoken():
        rows = _each(session, _Reader(parts), len(parts), _ROWS)
        files = _Files(names, parts, lambda some: _each(session, _Counter(some), len(some), _COUNTED).collect())
        if partitions is None:
            partitions = _usual(session, len(parts))
        return _audited(rows, files, profile, order, partitions, on_torn)


def _usual(session: SparkSession, parts: int) -> int:
    """In how many partitions a log is judged that is read in so many parts: each takes a moment to start."""
    most = int(session.conf.get("spark.sql.shuffle.partitions") or parts)
    return max(1, min(most, max(parts, session.sparkContext.defaultParallelism)))


def _parts(names: Sequence[str]) -> Iterator[_Part]:
    sizes = [0 if is_parquet(name) else File(name).size() or 0 for name in names]
    size = max(_PART, sum(sizes) // _PARTS)
    for place, name in enumerate(names):
        if is_parquet(name):
            cuts = list(_runs(parquet.Reading(name).groups))
            yield from (_Part(place, name, 0, start, end, is_parquet=True) for start, end in cuts)
        else:
            spans = File(name).spans(wire.MAX_BYTES, size)
            yield from (_Part(place, name, number, *span) for number, span in enumerate(spans))
            yield _Part(place, name, len(spans), spans[-1][1] if spans else 0, None)


def _runs(groups: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Groups of rows that one task reads, one behind the other."""
    start, rows = 0, 0
    for end, more in enumerate(groups, 1):
        rows += more
        if rows >= _ROWS_OF_PART or end == len(groups):
            yield start, end
            start, rows = end, 0


def _each(session: SparkSession, work: Callable[..., Any], count: int, schema: t.StructType) -> DataFrame:
    """What *work* makes of the numbers below *count*, each in a task of its own."""
    return _mapped(session.range(0, count, 1, max(1, count)), work, schema)


def _mapped(rows: DataFrame, work: Callable[..., Any], schema: t.StructType) -> DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PySpark warns of any pandas 3; we use none of it
        return rows.mapInArrow(work, schema)


@attrs.frozen
class _Files:
    """What the places of findings mean that were read in parts."""

    names: Sequence[str]
    parts: Sequence[_Part]
    count: Callable[[Sequence[_Part]], Sequence[Any]]
    """How many lines there are in parts: rows of `_COUNTED`."""

    def before(self, places: Iterable[int]) -> dict[tuple[int, int], int]:
        """How many lines stand before each part of these files, by the file and the number of the part."""
        found: dict[tuple[int, int], int] = {}
        wanted = set(places)
        # Of the last part of a file nobody has to know how many lines it has.
        parts = [part for part in self.parts if part.file in wanted and part.end is not None and not part.is_parquet]
        counts = {row["part"]: row["lines"] for row in self.count(parts)} if parts else {}
        for number, part in enumerate(parts):
            found[part.file, part.number + 1] = found.get((part.file, part.number), 0) + counts[number]
        return found


_COUNTED: Final = t.StructType([t.StructField("part", t.LongType()), t.StructField("lines", t.LongType())])


def _placed(df: DataFrame) -> DataFrame:
    """A data frame with the columns of a log, and where each row comes from."""
    stored = columns.SCHEMA.names
    _check_columns([field for field in df.schema.fields if field.name not in _PLACE])
    rows = df
    if not set(_PLACE) <= set(df.columns):
        row = (f.col("_metadata.row_index") + 1).alias("line")
        try:
            rows = df.select(*stored, f.col("_metadata.file_path").alias("file"), row)
            _ = rows.schema  # now it is looked at
        except AnalysisException:
            raise ValueError(
                "df: where its rows come from is not known; give it a column file (text) and a column line (a whole "
                "number from 1)"
            ) from None
    return rows.select(f.col("file").cast("string"), f.col("line").cast("long"), *stored)


_PLACE: Final = ("file", "line")


def _check_columns(fields: Iterable[t.StructField]) -> None:
    found = pa.schema([pa.field(field.name, _arrow(field.dataType)) for field in fields])
    misfit = columns.misfit(found)
    if misfit is not None:
        raise ValueError(f"df: is no log: {misfit}")


def _arrow(type_: t.DataType) -> pa.DataType:
    """What a column of Spark's is as Arrow; a nonsense for what a log cannot have."""
    match type_:
        case t.StringType() if type_ == t.StringType():  # of another collation other texts would be equal
            return pa.string()
        case t.ByteType() | t.ShortType() | t.IntegerType() | t.LongType():
            return pa.int64()
        case t.TimestampType():
            return pa.timestamp("us", "UTC")
        case t.NullType():
            return pa.null()
        case _:
            return pa.binary()


_KEYS: Mapping[Order, Sequence[str]] = {
    "log": ("batch_id", "file", "line"),
    "version": ("batch_id", "version", "file", "line"),
}


def _check(order: Order, partitions: int | None) -> None:
    if order not in _KEYS:
        raise ValueError(f"order: expected log or version, got {order!r}")
    if partitions is not None and partitions < 1:
        raise ValueError(f"partitions: expected 1 or more, got {partitions}")


def _audited(
    rows: DataFrame,
    files: _Files | None,
    profile: Profile,
    order: Order,
    partitions: int,
    on_torn: Callable[[LogError], object] | None = None,
) -> Audit:
    # What is no record has no stream: it goes anywhere, or else a partition would have all of it.
    by = ["batch_id"] if files is None else ["batch_id", "refused"]
    together = rows.repartition(partitions, *by)
    judge = _Judge(profile, None if files is None else len(files.names))
    # Batches may come in any order. Spark compares eight bytes of the first key before it looks at rows, and those of a
    # batch id are the same in all.
    ordered = together.sortWithinPartitions(f.xxhash64("batch_id"), *_KEYS[order])
    found = _mapped(ordered, judge, _FOUND)
    found = found.persist(StorageLevel.DISK_ONLY)
    try:
        # Whatever is asked for first has all of it done, and kept where it was done.
        totals = found.where("rule IS NULL").collect()
        rest = found.where("rule IS NOT NULL")
        return _report(totals, lambda: rest.toLocalIterator(prefetchPartitions=True), files, order, on_torn)
    finally:
        found.unpersist()


def _report(
    totals: Sequence[Any],
    rest: Callable[[], Iterable[Any]],
    files: _Files | None,
    order: Order,
    on_torn: Callable[[LogError], object] | None,
) -> Audit:
    told = sorted({name for row in totals for name in row["files"]})
    names = told if files is None else files.names
    done = Audit(Findings(names, order))
    for row in totals:
        _, events, streams, broken, *phases = row["counted"]
        done.add(Totals(events, streams, broken, dict(zip(Phase, phases, strict=True))))
    if told:
        torn: list[tuple[int, LogError]] = []
        before = {} if files is None else files.before(map(int, told))
        for row in rest():
            file, line = row["file"], row["line"]
            if files is not None:
                file, line = files.names[int(file)], (line & _MASK) + before.get((int(file), line >> _LINES), 0)
            if row["rule"] != "torn":
                done.findings.add(_finding(row, file or None, line))
            else:
                torn.append((int(row["file"]), LogError(file, line, row["message"], torn=True)))
        for _, error in sorted(torn, key=lambda each: each[0]):
            if on_torn is not None:
                on_torn(error)
    return done


_MASK: Final = (1 << _LINES) - 1


def _finding(row: Any, file: str | None, line: int | None) -> Finding:
    rule = RULES.get(row["rule"], WIRE)
    phase = None if row["phase"] is None else Phase(row["phase"])
    may = () if rule is WIRE else allowed(phase)
    return Finding(rule, row["message"], row["batch_id"], row["version"], file, line, row["event"], phase, may)


# ------------------------------------------------------------------------------------------------ what Spark says of it


@contextlib.contextmanager
def _spoken() -> Iterator[None]:
    """Whatever Spark raises, as an error of ours: a sentence, and no trace of Java, which PySpark would log."""
    with contextlib.ExitStack() as stack:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(setattr, logger, "disabled", logger.disabled)
            logger.disabled = True
        with _translated_errors():
            yield


_LOGGERS: Final = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, ConnectionError) or type(error).__module__.partition(".")[0] in {"py4j", "pyspark"}:
            raise _told(error) from None
        raise


# What is said where one of these words stands in what Spark says, which is a page of Java; the first one counts.
_SENTENCES: Mapping[str, str] = {
    "OutOfMemory|Cannot allocate memory|MemoryError|exit code: 137|exit code 137|SIGKILL": (
        "Spark's processes do not have enough memory: give them more (spark.executor.memory, "
        "spark.executor.memoryOverhead; without a cluster spark.driver.memory), or have more partitions"
    ),
    "No space left on device": "Spark's processes have no room for temporary files (spark.local.dir)",
    "PYTHON_VERSION_MISMATCH|different minor versions": (
        "the workers have another Python than this process: PYSPARK_PYTHON names the one that they start"
    ),
    "No module named": (
        "the workers cannot load lifecycle: pip install 'lifecycle[spark]' there, or let PYSPARK_PYTHON name a Python "
        "that has it"
    ),
    "Cannot run program": "the workers have no Python where it was looked for: PYSPARK_PYTHON names it",
    "ExecutorLostFailure|exited caused by one of the running tasks|MetadataFetchFailed|FetchFailed": (
        "Spark has lost one worker after the other, and has given up; what they say in their logs tells why"
    ),
    "SparkContext was shut down|stopped SparkContext|Answer from Java side is empty|Connection refused": (
        "Spark has stopped in the middle of it"
    ),
}


def _told(error: BaseException) -> EngineError | LogError:
    text = str(error)
    told = _TOLD.search(text)
    if told is not None:
        path, reason = json.loads(base64.b64decode(told[1]))
        return EngineError(reason) if path is None else LogError(path, None, reason)
    for words, sentence in _SENTENCES.items():
        found = re.search(words, text)
        if found is not None:
            return EngineError(f"{sentence} ({found[0]})")
    return EngineError(f"Spark has failed ({_first(text)})")


# ------------------------------------------------------------------------------------------------- a session of our own

_PATIENCE = 60.0
"""How many seconds a master has to give us a worker."""

_LOCAL = re.compile(r"local(?:\[.*\])?")
_SETTINGS: Mapping[str, str] = {
    "spark.app.name": "lifecycle audit",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.useLargeVarTypes": "true",  # long texts
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",  # half the time of judging 10,000 at once
    "spark.sql.session.timeZone": "UTC",
}


@contextlib.contextmanager
def session(master: str = "local[*]", *, settings: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """
    A session of Spark, for those who have none.

    If this process has one already, it is that one, and stays as it is.  One of our own serves no page, logs nothing,
    and ends with the ``with`` block.

    Args:
        master: Where: ``local[2]`` for two threads of this machine, ``spark://host:7077``, ``yarn``, ``k8s://...``.
        settings: More settings (``spark.executor.memory`` and so on) for one of our own. ``spark-defaults.conf``
            counts, too.

    Raises:
        EngineError: There is no Java; the master does not answer, or gives no worker within a minute; or this process
            has a session elsewhere.
    """
    active = SparkContext._active_spark_context  # noqa: SLF001 -- PySpark has no other way to ask
    if active is not None:
        if active.master != master:
            raise EngineError(f"this process has a session of Spark at {active.master}, and cannot have two")
        yield SparkSession(active)
        return
    is_local = _LOCAL.fullmatch(master) is not None
    if not is_local:
        _check_master(master)
    _check_java()
    config = SparkConf(loadDefaults=False).setAll([*_SETTINGS.items(), ("spark.master", master)])
    if is_local:  # no other machine has to find us, and none shall
        config.setAll([("spark.driver.host", "127.0.0.1"), ("spark.driver.bindAddress", "127.0.0.1")])
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    config.setAll(list((settings or {}).items()))
    interrupt = signal.getsignal(signal.SIGINT)
    with contextlib.ExitStack() as stack:
        with _spoken():
            said = stack.enter_context(tempfile.TemporaryFile())  # what Java says of itself
            gateway = _launched(config, said)
            stack.callback(_close, gateway)
            context = SparkContext(conf=config, gateway=gateway)
            stack.callback(context.stop)
            _wait_for_workers(context, master, 1 if is_local else 2)
            spark = SparkSession(context)
            stack.callback(spark.stop)
            with contextlib.suppress(ValueError):  # this is not the main thread
                signal.signal(signal.SIGINT, interrupt)  # PySpark takes it
        yield spark


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    if shutil.which(java) is None:
        where = f"JAVA_HOME is {home}, where there is none" if home else "there is none on PATH"
        raise EngineError(f"Spark needs Java 17 or later, and {where}: install a Java run time (such as OpenJDK)")


def _launched(config: SparkConf, said: IO[bytes]) -> Any:
    try:
        launch: Any = launch_gateway
        return launch(config, {"stdout": said, "stderr": said})
    except PySparkException:
        said.seek(0)
        text = said.read().decode(errors="replace")
    if "UnsupportedClassVersionError" in text or "jdk.incubator.vector not found" in text:
        raise EngineError("Spark needs a Java 17 or later that is complete, and JAVA_HOME or PATH leads to another")
    raise EngineError(f"Java did not start ({_first(text)})")


def _first(text: str) -> str:
    lines = (line.strip()[:300] for line in text.splitlines() if not line.startswith("WARNING"))
    return next(filter(None, lines), "it did not say why")


def _check_master(master: str) -> None:
    """See that something listens there, for Spark itself would try for a minute."""
    if master == "yarn" or master.startswith("k8s://"):
        return  # whoever manages the cluster is found in its own way
    if not master.startswith("spark://"):
        raise EngineError(f"{master!r} is no master: expected local[2], spark://host:7077, yarn or k8s://host:port")
    reason = ""
    for address in master.removeprefix("spark://").split(","):
        try:
            found = urlsplit(f"spark://{address}")
            socket.create_connection((found.hostname or "", found.port or 7077), timeout=10).close()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
        else:
            return
    raise EngineError(f"no Spark master answers at {master}: {reason}")


def _wait_for_workers(context: SparkContext, master: str, processes: int) -> None:
    """See that there are so many processes, of which this is one, for Spark itself would wait for ever."""
    java: Any = context._jsc  # noqa: SLF001 -- as above
    status = java.sc().statusTracker()
    end = time.monotonic() + _PATIENCE
    while len(status.getExecutorInfos()) < processes:
        if time.monotonic() > end:
            raise EngineError(
                f"{master} gives no worker: there is none, or none with as much memory and as many cores as are asked "
                "for (spark.executor.memory, spark.executor.cores)"
            )
        time.sleep(0.1)


def _close(gateway: Any) -> None:
    """End Java. PySpark would keep it for the next session, as long as this process lives."""
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001 -- as above
    with contextlib.suppress(Exception):
        gateway.shutdown()
    if gateway.proc is None:
        return  # it is not ours: spark-submit has started this process
    gateway.proc.stdin.close()  # then it ends by itself
    try:
        gateway.proc.wait(_GOODBYE)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()
        gateway.proc.wait()
