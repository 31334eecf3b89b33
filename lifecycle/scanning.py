"""
The lines of a log as columns, block by block; scanned by this process, or by several at once.

The others are told which span of which file to read, and answer with its columns; so no line is read twice, but for the
few that somebody asks for.  If one of them fails, this process does its work: the answer is the same.
"""

import contextlib
import itertools
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from queue import SimpleQueue
from subprocess import DEVNULL, PIPE, Popen
from typing import BinaryIO, cast

import attrs

from lifecycle.columns import Block, Columns, Whole, scan
from lifecycle.lines import File

PIECE = 1 << 23
"""How many bytes are scanned at once; a block of columns."""


@attrs.define(slots=False)
class Scanned:
    """Whole lines of a file, and their columns."""

    columns: Columns
    starts: Whole
    """Where each line begins in `data`."""
    ends: Whole
    """Where its newline stands."""
    read: Callable[[], bytes]

    @cached_property
    def data(self) -> bytes:
        """The lines as they are."""
        return self.read()

    def line(self, row: int) -> bytes:
        """One line, without its newline."""
        return self.data[self.starts[row] : self.ends[row]]


@attrs.frozen
class Single:
    """A line on its own: a torn one; or None for one over the limit."""

    line: bytes | None


def scanned(file: File, max_bytes: int, jobs: int, size: int = PIECE) -> Iterator[Scanned | Single]:
    """
    Scan a file.

    Args:
        file: The file, compressed or not.
        max_bytes: The longest line that is held.
        jobs: How many processes there are; what can be read from its beginning only is scanned by this one.
        size: How many bytes are scanned at once.

    Raises:
        LogError: It cannot be opened or read to its end.
    """
    spans = file.spans(max_bytes, size) if jobs > 1 else []
    if spans:
        yield from _by_others(file, spans, jobs)
    for piece in file.pieces(max_bytes, size, spans[-1][1] if spans else 0):
        if piece is None:
            yield Single(None)
        else:
            parts, torn = piece
            yield Single(b"".join(parts)) if torn else _scanned(Block(*parts))


def _scanned(block: Block) -> Scanned:
    return Scanned(scan(block), block.starts, block.ends, lambda: block.data)


def _by_others(file: File, spans: Sequence[tuple[int, int]], jobs: int) -> Iterator[Scanned]:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(jobs))  # threads that wait for processes
        idle: SimpleQueue[Popen[bytes] | None] = SimpleQueue()  # None: one that could not be started
        for _ in range(jobs):
            process = None
            with contextlib.suppress(OSError):
                process = _start()
                stack.callback(_stop, process)
            idle.put(process)

        def ask(span: tuple[int, int]) -> Scanned | None:
            process = idle.get()
            try:
                return None if process is None else _asked(process, file, span)
            finally:
                idle.put(process)

        asked: deque[Future[Scanned | None]] = deque()
        ahead = iter(spans)
        for span in spans:
            asked += [pool.submit(ask, later) for later in itertools.islice(ahead, 2 * jobs - len(asked))]
            answer = asked.popleft().result()
            file.bytes_read = span[1]
            yield _scanned(Block(file.span(*span))) if answer is None else answer


def _asked(process: "Popen[bytes]", file: File, span: tuple[int, int]) -> Scanned | None:
    """What a process answers; None if it has failed."""
    try:
        pickle.dump((file.path, span), cast(BinaryIO, process.stdin))
        cast(BinaryIO, process.stdin).flush()
        found, starts, ends = pickle.load(cast(BinaryIO, process.stdout))  # noqa: S301 -- ours
        if len(found.plain) == len(starts) == len(ends):
            return Scanned(found, starts, ends, partial(file.span, *span))
    except Exception:  # noqa: BLE001, S110 -- there is nothing that reading another's rubbish cannot raise
        pass
    _stop(process)  # what it says later would be taken for an answer about another span
    return None


# Not -m, which would let the folder that one happens to be in come before all that is installed.
_SCRIPT = "import sys; sys.path[:] = sys.argv[1:]; from lifecycle.scanning import serve; serve()"


def _start() -> "Popen[bytes]":
    return Popen([sys.executable or "", "-P", "-c", _SCRIPT, *sys.path], stdin=PIPE, stdout=PIPE, stderr=DEVNULL)


def _stop(process: "Popen[bytes]") -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # something was still to be written
            cast(BinaryIO, pipe).close()
    process.wait()


def serve() -> None:
    """Answer what `scanned` asks, in a process of its own."""
    asking, answering = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            path, span = pickle.load(asking)  # noqa: S301 -- from the process that has started this one
            block = Block(File(path).span(*span))
            pickle.dump((scan(block), block.starts, block.ends), answering, pickle.HIGHEST_PROTOCOL)
            answering.flush()
