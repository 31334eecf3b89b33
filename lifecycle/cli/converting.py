"""The command convert: the same records as JSON Lines, as Parquet, or in a store."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from lifecycle import LAWS, LogError, Record
from lifecycle.cli import stores
from lifecycle.cli.output import CLEAN, FOUND, UsageError, cannot_be_written, new_file, until_closed
from lifecycle.cli.records import Input, bulk, is_url, opened
from lifecycle.lines import STDIN

_PARQUET = ".parquet"


def convert(paths: Sequence[str], to: str, *, skip: bool, force: bool) -> int:
    """
    Write the records of logs and stores as another log, or into a store.

    Args:
        paths: Where they are.
        to: A file (Parquet if its name says so, else JSON Lines), ``-`` for standard output, or the URL of a store.
        skip: Whether to leave out what is no record; or, for a store, what it does not take.
        force: Whether a file may be overwritten.

    Raises:
        UsageError: There is no such output.
        LogError: A log cannot be read to its end, or, without *skip*, something in it is no record; or the file is
            there already or cannot be written. No file was made or changed.
        StoreError: A store cannot be read, or holds what a log cannot. No file was made or changed.
        EngineError: What reads or writes Parquet is not installed.
    """
    if is_url(to):
        if force:
            raise UsageError("--force: a store is added to, never overwritten")
        return stores.import_logs(paths, to, LAWS, "table", skip=skip)
    if to.endswith(".gz"):
        raise UsageError(f"a log is not written compressed: leave out .gz, and compress it then; got {to!r}")
    with (
        until_closed(),
        opened("convert", paths, None, None, streams=to == STDIN) as records,
        _output(to, force=force) as take,
    ):
        found = _records(records, skip=skip)
        while part := list(islice(found, stores.PART)):
            take(part)
    return FOUND if records.refused else CLEAN


def _records(found: Input, *, skip: bool) -> Iterator[Record]:
    for record in found:
        if isinstance(record, Record):
            yield record
        elif skip:
            found.refused += 1
        else:
            reason = f"{record.reason}; nothing was written, --skip leaves out what is no record"
            raise LogError(record.path, record.line, reason, record.problems)


_Take = Callable[[Sequence[Record]], object]


@contextlib.contextmanager
def _output(to: str, *, force: bool) -> Iterator[_Take]:
    if to == STDIN:
        with stores.standard_output() as take:
            yield take
        return
    with new_file(to, force=force) as path:
        if to.endswith(_PARQUET):
            with bulk("parquet").Writer(path, name=to) as file:

                def take_rows(part: Sequence[Record]) -> None:
                    for record in part:
                        file.add(record)

                yield take_rows
        else:
            with cannot_be_written(to), Path(path).open("wb") as lines:

                def take_lines(part: Sequence[Record]) -> None:
                    lines.write(b"".join(stores.log_line(record) for record in part))

                yield take_lines
        with cannot_be_written(to), Path(path).open("r+b") as written:
            os.fsync(written.fileno())
