"""
The lines of a file, plain or compressed with gzip, in blocks; and the one place that says why it cannot be read.

A file is read as a stream, and a line over the caller's limit is never held, so memory does not grow with either.  What
the lines mean is for the callers to say: `lifecycle.log`, `lifecycle.results` and the command line's snapshots.
"""

import contextlib
import errno
import gzip
import io
import itertools
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from lifecycle.errors import LogError

STDIN = "-"
"""The path that stands for standard input."""
GZIP = b"\x1f\x8b"
"""How a file compressed with gzip begins."""
CHUNK = 1 << 16
"""How much is read at once; so little that the lines of a block stay in the processor's cache."""

# All that reading a file, compressed or not, raises when the file is at fault; a ValueError: no such path can be, or
# standard input is closed.
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)

Block = tuple[int, list[bytes | None], bool]
"""
The number of the first line, from 1; lines, blank ones too, without their newlines, None for one over the limit; and
whether the last of them is torn: a last line of the file that is within the limit and has no newline.
"""


Piece = tuple[list[bytes | memoryview], bool] | None
"""
Whole lines with their newlines, in bytes that were cut anywhere; and False.  Or one torn line, and True.  Or None: one
line over the limit.
"""


class File:
    """
    A file of lines.

    Args:
        path: Where it is, whether it is compressed or not; ``-`` is standard input.
        start: Only what stands from here on is read, in lines that are numbered from 1; not of a compressed file.
        end: Only what stands before this place is read.
    """

    def __init__(self, path: str | os.PathLike[str], *, start: int = 0, end: int | None = None) -> None:
        self._start = start
        self._end = end
        self.path = os.fsdecode(path)
        """The path, as it was given."""
        self.bytes_read = 0
        """How much of it has been read, as it lies on the disk; 0 where that cannot be known, as for a pipe."""

    def size(self) -> int | None:
        """
        See, without opening it, whether it can be read at all, and how long it is.

        Returns:
            Its size on the disk; None if that cannot be known, as for standard input.

        Raises:
            LogError: It is not there or a directory, or standard input is closed.
        """
        try:
            if self.path == STDIN:
                _stdin()
                return None
            found = Path(self.path).stat()
        except _UNREADABLE as error:
            raise self._refused(error) from error
        if stat.S_ISDIR(found.st_mode):
            raise self._refused(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def blocks(self, max_bytes: int) -> Iterator[Block]:
        """
        Read it.

        Args:
            max_bytes: The longest line; of a longer one no more than this is ever held.

        Yields:
            Its lines, in blocks of about `CHUNK` bytes. A torn line is a block of its own.

        Raises:
            LogError: It cannot be opened or read to its end. What stands before has been given.
        """
        number = 1
        # Of the line that goes on: its pieces, joined once, and how long they are; over the limit, none is held.
        pieces: list[bytes] = []
        size = 0
        for chunk in self._chunks():
            lines = cast(list[bytes | None], chunk.split(b"\n"))
            head = cast(bytes, lines[0])
            size += len(head)
            if size <= max_bytes:
                pieces.append(head)
            else:
                pieces.clear()
            if len(lines) == 1:
                continue
            tail = cast(bytes, lines.pop())
            lines[0] = b"".join(pieces) if size <= max_bytes else None
            pieces, size = [tail], len(tail)
            if len(chunk) > max_bytes:
                lines = [line if line is not None and len(line) <= max_bytes else None for line in lines]
            yield number, lines, False
            number += len(lines)
        if size > max_bytes:
            yield number, [None], False  # it is refused for that, whether its end is there or not
        elif size:
            yield number, [b"".join(pieces)], True

    def pieces(self, max_bytes: int, size: int, start: int = 0) -> Iterator[Piece]:
        """
        Read it in larger pieces than `blocks` are, not split into lines.

        Args:
            max_bytes: The longest line; of a longer one that spans pieces no more than this is held. One that does not
                is given as any other.
            size: How long a piece is, about.
            start: Where to begin in the whole file, if it is not compressed.

        Raises:
            LogError: As for `blocks`.
        """
        parts: list[bytes | memoryview] = []
        held = 0  # how much of a line that goes on; over the limit, none of it is in the parts
        for chunk in self._chunks(size, start):
            first = 0
            end = chunk.rfind(b"\n") + 1
            if end:
                if held > max_bytes:
                    yield None
                    first = chunk.index(b"\n") + 1
                if first < end:
                    yield [*parts, memoryview(chunk)[first:end]], False  # it is large, and will be copied once
                parts, held = [], 0
            held += len(chunk) - end
            if held <= max_bytes:
                parts.append(chunk[end:])
            else:
                parts.clear()
        if held > max_bytes:
            yield None
        elif held:
            yield [b"".join(parts)], True

    def spans(self, max_bytes: int, size: int) -> list[tuple[int, int]]:
        """
        Where it could be cut.

        Args:
            max_bytes: The longest line.
            size: How long a piece is, about.

        Returns:
            Spans of whole lines, from its beginning to near its end; the rest is for `pieces`. None of them if it is
            short or only a part, if it cannot be read at any place, or if a line is too long.

        Raises:
            LogError: It cannot be opened or read.
        """
        length = self.size() if self._start == 0 and self._end is None else None
        if length is None or length < 2 * size or self.span(0, len(GZIP)) == GZIP:
            return []
        cuts = [0]
        for at in range(size, length - size, size):
            end = at + max_bytes
            found = ((start, self.span(start, min(start + CHUNK, end)).find(b"\n")) for start in range(at, end, CHUNK))
            cut = next((start + newline + 1 for start, newline in found if newline >= 0), None)
            if cut is None:
                return []
            cuts.append(cut)
        return list(itertools.pairwise(cuts))

    def span(self, start: int, end: int) -> bytes:
        """
        What stands in it from one place to another.

        Raises:
            LogError: It cannot be opened or read.
        """
        try:
            with Path(self.path).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except _UNREADABLE as error:
            raise self._refused(error) from error

    def _chunks(self, size: int = 0, start: int = 0) -> Iterator[bytes]:
        size = size or CHUNK
        start = start or self._start
        left = None if self._end is None else self._end - start
        try:
            with contextlib.ExitStack() as stack:
                raw = _stdin() if self.path == STDIN else stack.enter_context(Path(self.path).open("rb"))
                buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(Any, raw))
                file: Any = buffered
                if start:
                    buffered.seek(start)
                elif buffered.peek(2)[:2] == GZIP:
                    file = stack.enter_context(gzip.GzipFile(fileobj=cast(BinaryIO, buffered)))
                read = file.read1 if size <= CHUNK else file.read  # who asks for much has time to wait for it
                while chunk := read(size if left is None else min(size, left)):
                    left = None if left is None else left - len(chunk)
                    self.bytes_read = _told(buffered)
                    yield chunk
        except _UNREADABLE as error:
            raise self._refused(error) from error

    def _refused(self, error: BaseException) -> LogError:
        return LogError(self.path, None, f"cannot be read: {said(error) if self.path else 'the path is empty'}")


def in_blocks(lines: Iterable[bytes], max_bytes: int) -> Iterator[Block]:
    """Lines that somebody else reads, without their newlines, in blocks as of a file; none is torn."""
    number, size = 1, 0
    block: list[bytes | None] = []
    for line in lines:
        block.append(line if len(line) <= max_bytes else None)
        size += len(line)
        if size >= CHUNK:
            yield number, block, False
            number, block, size = number + len(block), [], 0
    if block:
        yield number, block, False


def over_limit(max_bytes: int) -> str:
    """What is wrong with a line that is None in its block."""
    return f"the line is over the limit of {max_bytes:,} bytes"


def said(error: BaseException) -> str:
    """What the system says of a file, without the path, which its reader knows."""
    return getattr(error, "strerror", None) or str(error)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer


def _told(file: io.BufferedReader) -> int:
    try:
        return file.tell()
    except OSError:
        return 0  # a pipe
