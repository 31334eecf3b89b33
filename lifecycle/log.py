"""
Event logs as files: JSON Lines, one CloudEvent a line (``specs/log-format.md``).

Reading streams: a log may be longer than memory, compressed with gzip, or come from standard input.  Appending is
durable, and leaves a file that reads, whatever happens in the middle.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from lifecycle import wire
from lifecycle.errors import LogError, WireError
from lifecycle.events import Record
from lifecycle.lines import GZIP, File, over_limit, said

try:
    import fcntl
except ImportError:  # not a POSIX system: the caller has to see to it that there is one writer
    fcntl = None  # type: ignore[assignment] # stands for the module

OnError = Callable[[LogError], object]


def read(
    *paths: str | os.PathLike[str],
    on_error: OnError | None = None,
    batch_id: str | None = None,
    until: int | datetime | None = None,
    max_bytes: int = wire.MAX_BYTES,
) -> "Reading":
    """
    Read the records of a log.

    Args:
        paths: The files; several are one log in the order given. Gzip is recognised; ``-`` is standard input.
        on_error: Called with the `LogError` of each refused line, and of a torn tail (`LogError.torn`); reading goes
            on. Without it the first refused line raises, and a torn tail ends its file quietly.
        batch_id: Only the records of this stream.
        until: Only records up to this version, or up to this `recorded_at`, inclusive.
        max_bytes: The longest line; a longer one is refused without being held in memory.

    Returns:
        An iterator of records, each with its `place`. Nothing is opened before the first one is asked for. Given to
        `replay` or `audit` it builds no records, a refused line is a finding instead of an error, and the files are
        read from their beginning, whatever was read of them before.

    Raises:
        LogError: A file cannot be opened or read to its end (`line` is None); or, without *on_error*, a line is
            refused.
    """
    if isinstance(until, datetime) and until.utcoffset() is None:
        raise ValueError(f"until: expected an aware datetime, got the naive {until!r}")
    return Reading([File(path) for path in paths], on_error, batch_id, until, max_bytes)


class Reading(Iterator[Record]):
    """What `read` gives. Its counters may be read at any time, for showing progress."""

    def __init__(
        self,
        files: list[File],
        on_error: OnError | None,
        batch_id: str | None,
        until: int | datetime | None,
        max_bytes: int,
    ) -> None:
        self.files = files
        """What is read, one after the other."""
        self._on_error = on_error
        self._batch_id = batch_id
        self._until = until
        self.max_bytes = max_bytes
        """The longest line; a longer one is refused."""
        self._records = self._iterate()

    def __next__(self) -> Record:
        return next(self._records)

    @property
    def bytes_read(self) -> int:
        """How much of the files has been read, as it lies on the disk; nothing of a pipe."""
        return sum(file.bytes_read for file in self.files)

    def _iterate(self) -> Iterator[Record]:
        for path, first, lines, torn in self.blocks():
            for number, line in enumerate(lines, first):
                if line is not None and not line.strip():
                    continue
                try:
                    record = wire.decode_line(self._whole(line), (path, number), self.max_bytes)
                except WireError as error:
                    refused = _refused(path, number, error, torn=torn)
                    if self._on_error is not None:
                        self._on_error(refused)
                    elif not torn:
                        raise refused from None
                    continue
                if self._wanted(record.batch_id, record.version, record.recorded_at):
                    yield record

    def blocks(self) -> Iterator[tuple[str, int, list[bytes | None], bool]]:
        """For reducers: file, number of the first line, lines (None: over the limit), and whether the last is torn."""
        for file in self.files:
            for number, lines, torn in file.blocks(self.max_bytes):
                yield file.path, number, lines, torn

    @property
    def everything(self) -> bool:
        """For reducers: whether every record is wanted."""
        return self._batch_id is None and self._until is None

    def entry(self, path: str, number: int, line: bytes | None, *, torn: bool) -> wire.Entry | LogError | None:
        """For reducers: the entry of a line; or why it is refused; or None if it is blank, torn or not wanted."""
        if line is not None and not line.strip():
            return None
        try:
            entry = wire.decode_entry(self._whole(line), self.max_bytes)
        except WireError as error:
            refused = _refused(path, number, error, torn=torn)
            if self._on_error is not None:
                self._on_error(refused)
            return None if torn else refused
        return entry if self._wanted(entry[0], entry[1], entry[5]) else None

    def _whole(self, line: bytes | None) -> bytes:
        if line is None:
            raise WireError((("$", over_limit(self.max_bytes)),))
        return line

    def _wanted(self, batch_id: str, version: int, recorded_at: datetime) -> bool:
        if self._batch_id is not None and batch_id != self._batch_id:
            return False
        if self._until is None:
            return True
        return recorded_at <= self._until if isinstance(self._until, datetime) else version <= self._until


def _refused(path: str, number: int, error: WireError, *, torn: bool) -> LogError:
    if torn:
        reason = "the last line has no end, as after a crash; it is left out, and the next append cuts it off"
        return LogError(path, number, reason, error.problems, torn=True)
    return LogError(path, number, f"no record: {error}", error.problems)


def append(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """
    Append records to a log, durably: when this returns they are on the disk, and so is the name of a new file.

    No rule is judged.  A torn tail is cut off first; a last line that only lacks its newline gets it.  Writers wait for
    one another where the system has ``flock``; elsewhere the caller has to see to it that there is one at a time.

    Args:
        path: The file; it is made if it does not exist. Not a compressed one.
        records: What to append; read to its end before anything is written.

    Raises:
        LogError: The file cannot be written. What was written of these records has been taken back, if the disk lets
            us; what is left then is a torn tail, which does no harm.
        WireError: A record holds what a line cannot, or makes one longer than `wire.MAX_BYTES`. Nothing changed.
        TypeError: Something among *records* is no record. Nothing changed.
    """
    name = os.fspath(path)
    lines = b"".join(map(_line, records))
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(Path(name).open("a+b", buffering=0))
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            size = file.seek(0, os.SEEK_END)
            end, newline = _good_end(file, size)
            if size == 0:
                sync_folder(name)  # before the first record: where there is one, the name is on the disk
            try:
                if end < size:
                    file.truncate(end)
                _write(file, newline + lines)
                os.fsync(file.fileno())
            except BaseException:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise
    except (OSError, ValueError) as error:
        raise LogError(name, None, f"cannot be written: {said(error)}") from error


def _line(record: Record) -> bytes:
    line = wire.encode_record(record)
    if len(line) > wire.MAX_BYTES:
        raise WireError((("$", f"{len(line):,} bytes are over the limit of {wire.MAX_BYTES:,}"),))
    return line + b"\n"


def _read(file: io.FileIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _good_end(file: io.FileIO, size: int) -> tuple[int, bytes]:
    """Where the whole lines end, and the newline that the last one lacks."""
    if _read(file, 0, 2) == GZIP:
        raise ValueError("it is compressed; append to a plain file")
    if size == 0 or _read(file, size - 1, 1) == b"\n":
        return size, b""
    tail = _read(file, max(0, size - wire.MAX_BYTES - 1), wire.MAX_BYTES + 1)
    tail = tail[tail.rfind(b"\n") + 1 :]
    if len(tail) > wire.MAX_BYTES:
        raise ValueError("its last line has no end and is longer than any of a log; nothing was cut off")
    try:
        wire.decode_record(tail)
    except WireError:
        return size - len(tail), b""
    return size, b"\n"


def _write(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def sync_folder(name: str) -> None:
    """Bring the name of a file to the disk, where the system can do that."""
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened
    folder = os.open(Path(name).resolve().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
