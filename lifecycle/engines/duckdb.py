"""
Logs that are grouped and sorted by DuckDB, and judged by the reducer (extra ``bulk``).

DuckDB parses nothing and knows no rule: it gets columns of records that are read already, and gives them back stream by
stream, spilling to a private temporary folder what its memory limit does not hold.  So the events of one batch are
judged together, its state is dropped when they are done, and memory does not grow with the log.

`in_order` sorts; `judging.judge` judges.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import attrs

from lifecycle import log
from lifecycle.engines import MISSING, Order, check_size, columns, expanded, is_parquet, judging, parquet
from lifecycle.engines.report import Audit, Findings
from lifecycle.errors import EngineError, LogError
from lifecycle.replaying import Reducer
from lifecycle.rules import LAWS, Profile

# After `columns`, which says what is missing if it is.
import pyarrow as pa  # isort: skip

try:
    import duckdb
except ImportError as error:
    raise ImportError(MISSING) from error


@attrs.frozen
class Source:
    """Where records come from."""

    name: str
    """The file or store, as findings name it."""
    blocks: Callable[[], Iterator[columns.Block]]
    """Reads it from its beginning."""


def audit(
    paths: Iterable[str | os.PathLike[str]],
    *,
    profile: Profile = LAWS,
    order: Order = "log",
    memory_limit: str | None = None,
    threads: int | None = None,
) -> Audit:
    """
    Find everything that is wrong with a log, however long it is and in whatever order.

    Args:
        paths: Files in JSON Lines (compressed or not) and in Parquet; patterns and folders as of `engines.expanded`.
        profile: Which rules count.
        order: Whether the records of a stream are judged in the order of the log or of their versions.
        memory_limit: How much memory DuckDB may take, such as ``512MB``; by default four fifths of the machine's. The
            process needs some 300 MB besides.
        threads: How many threads DuckDB may use; by default one for each core.

    Returns:
        The findings, sorted, and the totals.

    Raises:
        LogError: A file cannot be read to its end, or is Parquet but no log. Nothing was judged.
        EngineError: Memory or the disk does not suffice. Nothing was judged.
        ValueError: *order*, *memory_limit* or *threads* is none.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        raise TypeError(f"paths: expected several, got {paths!r}")
    return audit_sources(
        [_source(path) for path in expanded(paths)],
        profile=profile,
        order=order,
        memory_limit=memory_limit,
        threads=threads,
    )


def _source(path: str) -> Source:
    if is_parquet(path):
        return Source(path, parquet.Reading(path).blocks)
    return Source(path, lambda: columns.of_lines(log.read(path)))


def audit_sources(
    sources: Sequence[Source],
    *,
    profile: Profile,
    order: Order,
    memory_limit: str | None,
    threads: int | None,
    done: Audit | None = None,
) -> Audit:
    """`audit`, for sources of any kind. If *done* is given it grows as the log is judged, and so does its survey."""
    done = Audit(Findings([source.name for source in sources], order)) if done is None else done
    findings = done.findings
    reducer = Reducer(profile) if done.survey is None else done.survey.reducer(profile)
    refusals = Reducer(profile)

    def refuse(error: LogError) -> None:  # while the other waits for its first record
        for finding in refusals.run([error]):
            findings.add(finding)

    if order == "version":
        sources = sorted(sources, key=lambda source: source.name)
    batches = in_order(sources, order=order, memory_limit=memory_limit, threads=threads, refuse=refuse)
    for finding in judging.judge(batches, [source.name for source in sources], reducer, done):
        findings.add(finding)
    return done


# --------------------------------------------------------------------------------------------------------- the sorting

_SCHEMA = pa.schema([pa.field("file", pa.int32()), *columns.COLUMNS])
_KEYS: dict[Order, str] = {"log": "batch_id, file, line", "version": "batch_id, version, file, line"}


class _Feed:
    """Gives DuckDB the rows of all sources, and keeps what went wrong: through DuckDB only its text would come."""

    def __init__(self, sources: Sequence[Source], refuse: Callable[[LogError], None]) -> None:
        self._sources = sources
        self._refuse = refuse
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for place, source in enumerate(self._sources):
                for batch, refused in source.blocks():
                    for error in refused:
                        self._refuse(error)
                    file = pa.array([place], pa.int32()).take(pa.array([0] * batch.num_rows, pa.int64()))
                    yield pa.RecordBatch.from_arrays([file, *batch.columns], schema=_SCHEMA)
        except GeneratorExit:  # DuckDB has failed, and reads no more
            raise
        except BaseException as error:
            self.error = error
            raise


def in_order(
    sources: Sequence[Source],
    *,
    order: Order,
    memory_limit: str | None,
    threads: int | None,
    refuse: Callable[[LogError], None],
) -> Iterator[pa.RecordBatch]:
    """
    Read all sources, and sort their records by stream.

    Args:
        sources: Where the records come from.
        order: By what the records of a stream are sorted: the place of their source among *sources* and their line; or
            first by version.
        memory_limit: How much memory DuckDB may take.
        threads: How many threads it may use.
        refuse: Called with the `LogError` of whatever is no record, in the order of the sources.

    Yields:
        Rows of `columns.COLUMNS` after a column `file`, the place of their source from 0; sorted by `batch_id`, as
        Python sorts text, then as *order* says.

    Raises:
        LogError: A source cannot be read.
        EngineError: Memory or the disk does not suffice.
        ValueError: *order*, *memory_limit* or *threads* is none.
    """
    settings = _settings(order, memory_limit, threads)
    feed = _Feed(sources, refuse)
    try:
        with tempfile.TemporaryDirectory(prefix="lifecycle-", ignore_cleanup_errors=True) as folder:
            yield from _sorted(feed, settings | {"temp_directory": folder}, _KEYS[order])
    except OSError as error:
        raise EngineError(f"no temporary folder can be made in {tempfile.gettempdir()}: {error}") from error


def _settings(order: Order, memory_limit: str | None, threads: int | None) -> dict[str, Any]:
    if order not in _KEYS:
        raise ValueError(f"order: expected log or version, got {order!r}")
    # It shall load nothing from anywhere, and look at no variable of ours.
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "preserve_insertion_order": "false",  # the lines say what stood where
        "arrow_large_buffer_size": "true",  # long texts
    }
    if memory_limit is not None:
        settings["memory_limit"] = check_size("memory_limit", memory_limit)
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        settings["threads"] = threads
    return settings


def _sorted(feed: _Feed, settings: dict[str, Any], keys: str) -> Iterator[pa.RecordBatch]:
    try:
        with contextlib.closing(duckdb.connect(":memory:", config=settings)) as connection:
            yield from _query(connection, feed, keys)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if feed.error is not None:  # and DuckDB has only said so
            raise feed.error from None
        raise _told(error, settings) from error


def _query(connection: duckdb.DuckDBPyConnection, feed: _Feed, keys: str) -> Iterator[pa.RecordBatch]:
    rows: Any = None
    try:
        connection.register("log", pa.RecordBatchReader.from_batches(_SCHEMA, iter(feed)))
        query = f"SELECT * FROM log ORDER BY {keys}"  # noqa: S608 -- our own words
        rows = connection.sql(query).to_arrow_reader(columns.ROWS)
        while True:
            try:
                batch = rows.read_next_batch()
            except StopIteration:
                return
            yield batch
    finally:
        rows = None  # or else the traceback of an error would hold it, and DuckDB its files


def _told(error: BaseException, settings: dict[str, Any]) -> EngineError:
    """What DuckDB says, for people, and who has to give it what."""
    said = str(error).partition("\n")[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        limit = f"a limit of {settings['memory_limit']}" if "memory_limit" in settings else "what the machine has"
        return EngineError(
            f"DuckDB cannot sort the log with {limit}: give it more memory, or fewer threads, or more room for "
            f"temporary files (TMPDIR) ({said})"
        )
    if isinstance(error, duckdb.IOException):
        folder = tempfile.gettempdir()
        return EngineError(f"DuckDB cannot write its temporary files in {folder}; TMPDIR names another folder ({said})")
    return EngineError(f"DuckDB cannot sort the log ({said})")
