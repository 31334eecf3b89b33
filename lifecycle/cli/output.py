"""
What the command line writes, and how: data to stdout, talk to stderr, and nothing that could harm a terminal.

Text from data passes `safe` before it is shown to people; programs get JSON in pure ASCII.  Tables are drawn by rich on
a terminal and laid out plainly elsewhere, where nothing is ever cut or folded.
"""

import contextlib
import json
import os
import re
import secrets
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, TextIO
from unicodedata import east_asian_width

import attrs

from lifecycle import LogError, Tier, log
from lifecycle.lines import said

NOTHING: Final = "–"  # noqa: RUF001 -- an en dash: the rulebook's own sign
"""What stands where there is nothing: no batch yet, no time."""

CLEAN: Final = 0
FOUND: Final = 1
USAGE: Final = 2
FAILED: Final = 3
INTERRUPTED: Final = 130

Format = Literal["table", "json", "jsonl"]
Unit = Literal["bytes", "events"]

Cell = str | tuple[str, str]
"""What stands in a table: text, or text and the style that rich gives it on a terminal."""

STYLES = {Tier.LAW: "bold red", Tier.CONTRACT: "yellow", Tier.ADVICE: "cyan"}
"""How a rule is shown on a terminal, by its tier."""

# Characters that show nothing, or show it elsewhere, though Unicode does not class them as control or format:
# the grapheme joiner, the Hangul fillers, the Khmer inherent vowels, the variation selectors.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
)


class UsageError(Exception):
    """The command line was wrongly used; the message says how."""


def safe(text: str) -> str:
    r"""
    Make text from data harmless on a terminal.

    Control characters, ESC, bidirectional and zero-width characters, odd spaces and lone surrogates become escapes such
    as ``\x1b`` and ``\u202e``.  A backslash stays as it is: who needs the exact text asks for JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() and char not in _INVISIBLE else char.encode("unicode_escape").decode()
        for char in text
    )


# A user and a password before a host, as in the URL of a store: but a web page may have a port, and our own messages an
# example. All up to the last @, for who forgets to encode one has it in the password. And the options of connections.
_PASSWORD = re.compile(
    r"((?:(?<!http:)(?<!https:)(?<!/)//(?!/|user:password@host/)|\b(?:postgres\w*|sqlite)(?:\+\w+)?:(?!/))[^:/@\s]*:).*@",
    re.DOTALL | re.IGNORECASE,
)
_OPTION = re.compile(r"(passw\w*\s*=\s*)('[^']*'|[^&\s'\"]+)", re.IGNORECASE)


def hidden(text: str) -> str:
    """A text without the passwords that may be in it, as in URLs."""
    return _OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def json_text(value: Any) -> str:
    """JSON in one line and in printable ASCII, whatever the data hold."""
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f")


def write(text: str) -> None:
    """Write data to stdout. An `OSError` is for `lifecycle.cli.app.run` to tell."""
    _stdout().write(text)


def write_bytes(data: bytes) -> None:
    """Write data to stdout, as they are."""
    stream = _stdout()
    stream.flush()
    stream.buffer.write(data)


def write_json_lines(values: Iterable[Any]) -> None:
    """Write one JSON text a line."""
    for value in values:
        write(json_text(value) + "\n")


def write_json_array(values: Iterable[Any], indent: str = "") -> None:
    """Write a JSON array, one element a line; no newline follows it."""
    opening = "["
    for value in values:
        write(f"{opening}\n{indent}  {json_text(value)}")
        opening = ","
    write("[]" if opening == "[" else f"\n{indent}]")


def talk(message: str) -> None:
    """Say something to people, on stderr, but no password. Talk that cannot be delivered is dropped."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            text = f"lifecycle: {safe(hidden(message))}"
            if is_terminal(sys.stderr):
                text = textwrap.fill(text, _columns(sys.stderr), break_long_words=False, break_on_hyphens=False)
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _columns(stream: TextIO) -> int:
    try:
        return max(20, os.get_terminal_size(stream.fileno()).columns)
    except OSError:
        return 80


@contextlib.contextmanager
def until_closed() -> Iterator[None]:
    """Write all data in here: when the reader of a pipe has gone, the rest of the block is left out, quietly."""
    try:
        yield
        _stdout().flush()
    except BrokenPipeError:
        abandon(sys.stdout)


def abandon(stream: TextIO | None) -> None:
    """Let what a stream still holds go nowhere, so that the interpreter does not stumble over it when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr] # None has no fileno, which is suppressed
        os.close(nowhere)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether *stream* is a terminal. A closed one is not."""
    return stream is not None and stream.isatty()


def plural(number: int, noun: str) -> str:
    """Such as ``1 event`` and ``1,200 events``."""
    ending = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}{ending}"


# -------------------------------------------------------------------------------------------------- tables and prose


class Table:
    """
    Rows for people. They are drawn when they are complete, or, where stdout is no terminal, a thousand at a time.

    Args:
        titles: The heads of the columns. A column whose head starts with ``#`` holds numbers.
    """

    _CHUNK = 1000
    _WIDEST = 64

    def __init__(self, *titles: str) -> None:
        self._titles = [title.removeprefix("#") for title in titles]
        self._numbers = [title.startswith("#") for title in titles]
        self._rows: list[Sequence[Cell]] = []
        self._headed = False
        self._terminal = is_terminal(sys.stdout)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self._rows.append(cells)
        if len(self._rows) == self._CHUNK and not self._terminal:
            self._write_plain()

    def finish(self) -> None:
        """Write what is left; no rows at all leave no trace."""
        if not self._rows:
            return
        if self._terminal:
            self._draw()
        else:
            self._write_plain()

    def _write_plain(self) -> None:
        rows = [[safe(_text(cell)) for cell in row] for row in self._rows]
        if not self._headed:
            rows.insert(0, self._titles)
            self._headed = True
        # One id of a megabyte must not make a thousand rows as wide.
        widths = [min(max(map(_width, column)), self._WIDEST) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            padded = [
                " " * (width - _width(cell)) + cell if right else cell + " " * (width - _width(cell))
                for cell, width, right in zip(row, widths, self._numbers, strict=True)
            ]
            lines.append("  ".join(padded).rstrip() + "\n")
        write("".join(lines))
        self._rows.clear()

    def _draw(self) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text

        console = Console(file=_stdout(), highlight=False, markup=False, emoji=False)
        rows = [[Text(safe(_text(cell)), _style(cell)) for cell in row] for row in self._rows]
        widths = [
            max(Text(title).cell_len, *(text.cell_len for text in column))
            for title, column in zip(self._titles, zip(*rows, strict=True), strict=True)
        ]
        # The last column may fold into a few lines; where others would have to, each row becomes a block of its own.
        if sum(widths[:-1]) + 2 * len(widths) + min(widths[-1], 40) > console.width:
            self._draw_blocks(console, rows)
            return
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for title, right in zip(self._titles[:-1], self._numbers, strict=False):
            grid.add_column(Text(title), justify="right" if right else "left", no_wrap=True)
        grid.add_column(Text(self._titles[-1]), overflow="fold")
        for row in rows:
            grid.add_row(*row)
        console.print(grid)

    def _draw_blocks(self, console: Any, rows: list[list[Any]]) -> None:
        from rich.padding import Padding
        from rich.text import Text

        titles = self._titles[1:-1]
        for number, (first, *middle, last) in enumerate(rows):
            pairs = [
                Text.assemble((title, "dim"), " ", text)
                for title, text in zip(titles, middle, strict=True)
                if text.plain != NOTHING
            ]
            first.stylize("bold")
            line = Text(" · ", "dim").join(pairs)
            if number:
                console.print()
            for text, indent in ((first, 0), (line, 2), (last, 2)):
                if text.plain not in {"", NOTHING}:
                    text.overflow = "fold"
                    console.print(Padding(text, (0, 0, 0, indent)))


class Prose:
    """Indented lines for people: folded and styled on a terminal, plain and in one piece elsewhere."""

    def __init__(self) -> None:
        self._console: Any = None
        if is_terminal(sys.stdout):
            from rich.console import Console

            self._console = Console(file=_stdout(), highlight=False, markup=False, emoji=False)

    def add(self, indent: int, *cells: Cell) -> None:
        """Write a line that consists of *cells*; where it is folded, its parts are indented by as much."""
        self._write(" " * indent, cells)

    def add_fact(self, name: str, *cells: Cell) -> None:
        """Write a line that is headed by *name*; where it is folded, its parts stand below one another."""
        self._write(f"  {name:<12}", cells)

    def add_code(self, text: str) -> None:
        """Write text that will be copied: it is neither indented nor folded."""
        write(safe(text) + "\n")

    def _write(self, head: str, cells: Sequence[Cell]) -> None:
        if self._console is None:
            write((head + "".join(safe(_text(cell)) for cell in cells)).rstrip() + "\n")
            return
        from rich.table import Table as Grid
        from rich.text import Text

        text = Text.assemble(*((safe(_text(cell)), _style(cell)) for cell in cells), overflow="fold")
        if not head:
            self._console.print(text)
            return
        grid = Grid.grid()
        grid.add_column(style="dim", no_wrap=True, width=len(head))
        grid.add_column(overflow="fold")
        grid.add_row(Text(head), text)
        self._console.print(grid)


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _style(cell: Cell) -> str:
    return "" if isinstance(cell, str) else cell[1]


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


# ------------------------------------------------------------------------------------------------------------- files


@contextlib.contextmanager
def new_file(to: str, *, force: bool) -> Iterator[str]:
    """A file beside the one that is wanted, which takes its name in the end. If anything fails there is none."""
    _check_free(to, force=force)
    folder, name = os.path.split(to)
    path = os.path.join(folder, f".{name[:80]}.{secrets.token_hex(4)}.part")  # noqa: PTH118 -- it keeps "./"
    with cannot_be_written(to):
        Path(path).open("xb").close()
    try:
        yield path
        _check_free(to, force=force)
        with cannot_be_written(to):
            Path(path).replace(to)
            log.sync_folder(to)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(path).unlink()
        raise


def _check_free(to: str, *, force: bool) -> None:
    with cannot_be_written(to):
        try:
            os.lstat(to)
        except FileNotFoundError:
            return
        if not Path(to).is_file():  # /dev/null, say, would be gone
            raise LogError(to, None, "is no file; nothing was written")
        if not force:
            raise LogError(to, None, "is there already; nothing was written, --force overwrites it")


@contextlib.contextmanager
def cannot_be_written(path: str) -> Iterator[None]:
    """Say of whatever goes wrong in here that *path* cannot be written."""
    try:
        yield
    except LogError:
        raise
    except (OSError, ValueError) as error:
        raise LogError(path, None, f"cannot be written: {said(error)}") from error


# ---------------------------------------------------------------------------------------------------------- progress

_PATIENCE = 1.0  # seconds until a job is worth a progress bar


@attrs.frozen
class Look:
    """How far a job is."""

    title: str
    """What it is at: the command, and the stage, where there are several. Another title means another bar."""
    done: int
    """How much is done."""
    total: int | None
    """How much there is to do; None if that is not known."""
    unit: Unit
    """Of what."""
    events: int | None = None
    """How many events are done, if that is known and not what is counted anyway."""


@contextlib.contextmanager
def progress(title: str, done: Callable[[], int], total: int | None, unit: Unit, *, streams: bool) -> Iterator[None]:
    """
    Show how far a job of one stage is, as `watched` does.

    Args:
        title: The command.
        done: How much is done.
        total: How much there is to do; None if that is not known.
        unit: Of what.
        streams: As for `watched`.
    """
    with watched(lambda: Look(title, done(), total, unit), streams=streams):
        yield


@contextlib.contextmanager
def watched(look: Callable[[], Look], *, streams: bool) -> Iterator[None]:
    """
    Show how far a job is, if stderr is a terminal and the job takes more than a second.

    Args:
        look: How far it is; it is asked ten times a second, from another thread.
        streams: Whether the job writes data as it goes. On a terminal the data are progress enough.
    """
    if not is_terminal(sys.stderr) or (streams and is_terminal(sys.stdout)):
        yield
        return
    finished = threading.Event()
    thread = threading.Thread(target=_show_progress, args=(finished, look), daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _show_progress(finished: threading.Event, look: Callable[[], Look]) -> None:
    if finished.wait(_PATIENCE):
        return
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    with contextlib.suppress(OSError):
        while not finished.is_set():
            begun, first = time.monotonic(), look()
            with bars.Progress(
                *_columns_of(bars, first),
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as bar:
                task = bar.add_task(first.title, total=first.total, rate="")
                now = first
                while now.title == first.title:
                    rate = _rate_text(first, now, time.monotonic() - begun)
                    bar.update(task, completed=now.done, rate=rate, refresh=True)
                    if finished.wait(0.1):
                        break
                    now = look()


def _columns_of(bars: ModuleType, first: Look) -> list[Any]:
    columns: list[Any] = [bars.TextColumn("{task.description}"), bars.BarColumn(bar_width=24)]
    rate = bars.TextColumn("{task.fields[rate]}")
    if first.total is None:  # from a pipe it is not even known how much has come
        columns += [bars.TextColumn("{task.completed:,.0f} events")] if first.unit == "events" else []
        return [*columns, rate, bars.TimeElapsedColumn()]
    columns += [bars.DownloadColumn() if first.unit == "bytes" else bars.MofNCompleteColumn()]
    if first.unit == "bytes" and first.events is None:
        rate = bars.TransferSpeedColumn()
    return [*columns, rate, bars.TimeRemainingColumn()]


def _rate_text(first: Look, now: Look, seconds: float) -> str:
    """How many events a second it is since *first*; nothing where nobody knows, or nothing has been done."""
    if now.unit == "events":
        done = now.done - first.done
    elif now.events is not None and first.events is not None:
        done = now.events - first.events
    else:
        done = 0
    return f"{done / seconds:,.0f} events/s" if done and seconds else ""


def _stdout() -> TextIO:
    if sys.stdout is None:
        raise OSError("it is closed")
    return sys.stdout
