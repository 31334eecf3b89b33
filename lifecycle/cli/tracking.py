"""The command that follows batches of the real client: a live view on a terminal, one line an event elsewhere."""

import contextlib
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lifecycle import MessageBatch, Phase, Profile, Record, RequestCounts, SnapshotConflict, TrackerError
from lifecycle.cli.batch_view import counts_text, span_text, time_text
from lifecycle.cli.output import (
    CLEAN,
    FAILED,
    FOUND,
    INTERRUPTED,
    NOTHING,
    UsageError,
    hidden,
    is_terminal,
    plural,
    safe,
    talk,
    until_closed,
    write,
)
from lifecycle.cli.records import is_url, open_store
from lifecycle.lines import STDIN
from lifecycle.tracker import Download, Poll
from lifecycle.tracker import track as follow

if TYPE_CHECKING:
    from lifecycle.store.sql import SQLStore

_FRAME = 1.0  # seconds between two frames: ages are shown in seconds
_TITLES = ("batch", "phase", "requests done", "age", "left", "seen")
_BATCH, _DONE, _AGE, _LEFT, _SEEN = 0, 2, 3, 4, 5
_GAP = 2  # between two columns, and after the last: what a terminal shows for Ctrl-C must not begin a new line
_STILL_KNOWN, _STILL_SEEN = 13, 10  # characters: of the end of an id, and of when it was seen
_LONGEST_COMMAND = 400  # characters; a longer one is not told again
_STYLES = {Phase.IN_PROGRESS: "cyan", Phase.CANCELING: "yellow", Phase.ENDED: "green"}
_OVER = frozenset({Phase.ENDED, Phase.ARCHIVED, Phase.DELETED})


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- the command line is an adapter


_pause = time.sleep


def _client() -> Any:
    """
    The official client, with the key that it finds in the environment.

    Raises:
        TrackerError: It is not installed, or does not find what it needs.
    """
    try:
        import anthropic
    except ImportError as error:
        need = "pip install 'lifecycle[tracker]' (in a checkout: pip install '.[tracker]')"
        raise TrackerError(f"tracking needs the official client: {need}") from error
    try:
        return anthropic.Anthropic()
    except Exception as error:  # noqa: BLE001 -- what it says may have the key in it
        name = type(error).__name__
    raise TrackerError(f"the official client cannot be made ({name}): see to ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL")


def track(ids: Sequence[str], log: str, results: str | None, profile: Profile, requests_per_second: float) -> int:
    """
    Follow batches until all have ended.

    Raises:
        UsageError: An argument is none that can be followed, written or done.
        LogError: The log or the folder of the results cannot be read or written.
        StoreError: The store cannot.
    """
    if log in {"", STDIN}:
        raise UsageError(f"--log: expected a file or the URL of a store, got {log!r}")
    if math.isinf(requests_per_second):
        raise UsageError("--requests-per-second: expected a number, got inf")
    try:
        client = _client()
    except TrackerError as error:
        talk(error.reason)
        return FAILED
    view = (_Live if is_terminal(sys.stdout) else _Lines)(list(dict.fromkeys(ids)))
    command = ["lifecycle", "track", *ids, "--log", log]
    command += [] if results is None else ["--results", results]
    with until_closed(), contextlib.ExitStack() as stack:
        try:
            place: str | SQLStore = log
            if is_url(log):
                place = stack.enter_context(open_store(log, profile=profile, create=True))
            try:
                records = follow(
                    client,
                    ids,
                    log=place,
                    results=results,
                    profile=profile,
                    requests_per_second=requests_per_second,
                    on_start=view.start,
                    on_conflict=view.conflict,
                    on_poll=view.poll,
                    on_results=view.results,
                    clock=_now,
                    sleep=view.sleep,
                )
            except ValueError as error:
                raise UsageError(str(error)) from error
            with view.shown(), contextlib.closing(records):
                for record in records:
                    view.event(record)
        except KeyboardInterrupt:
            view.interrupted(command)
            return INTERRUPTED
        except TrackerError as error:
            see = "see to ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL, then run the same command again"
            talk(f"{error.reason}. The log is whole; {see}")
            return FAILED
    if not all(map(view.is_over, ids)):  # whoever read our output has gone
        view.interrupted(command)
        return INTERRUPTED
    view.sum_up(log)
    return FOUND if view.wrong else CLEAN


class _View:
    """
    What is told of the tracking, wherever it is told.

    Args:
        ids: The batches.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.polls: dict[str, Poll] = {}
        """The last look at each batch."""
        self.seen: dict[str, datetime] = {}
        """When each batch was last shown."""
        self.batches: dict[str, MessageBatch] = {}
        """Each batch as the log has it."""
        self.events = 0
        self.wrong = False
        """Whether a snapshot was contradictory, or results are missing or do not agree."""

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it in here."""
        yield

    def sleep(self, seconds: float) -> None:
        """Wait."""
        _pause(seconds)

    def start(self, known: Mapping[str, MessageBatch]) -> None:
        """The log has been read."""
        self.batches.update(known)

    def is_over(self, batch_id: str) -> bool:
        """Whether a batch has ended."""
        batch = self.batches.get(batch_id)
        return batch is not None and batch.phase in _OVER

    def event(self, _record: Record, /) -> None:
        """An event has been written down."""
        self.events += 1

    def note(self, message: str) -> None:
        """Something that is no event."""
        talk(message)

    def poll(self, poll: Poll) -> None:
        """A batch has been looked at."""
        self.polls[poll.batch_id] = poll
        if poll.batch is not None:
            self.batches[poll.batch_id] = poll.batch
        if poll.problem is None:
            self.seen[poll.batch_id] = poll.at

    def conflict(self, conflict: SnapshotConflict) -> None:
        """A snapshot was contradictory."""
        self.wrong = True
        self.note(f"warning: {conflict} It is not in the log; the batch is looked at again.")

    def results(self, download: Download) -> None:
        """Results are there, or were given up."""
        found = download.reconciliation
        if found is None:
            self.wrong = True
            self.note(f"warning: batch {download.batch_id!r}: no results: {download.problem}")
        elif not found.whole:
            self.wrong = True
            what = ", ".join(f"{name}: expected {expected}, found {got}" for name, expected, got in found.mismatches)
            malformed = plural(len(found.malformed), "line") + " not readable" if found.malformed else ""
            told = "; ".join(filter(None, (what, malformed)))
            self.note(f"warning: batch {download.batch_id!r}: {download.path} does not agree with it: {told}")
        else:
            self.note(f"batch {download.batch_id!r}: results in {download.path}, whole")

    def interrupted(self, command: Sequence[str]) -> None:
        """Say how to go on."""
        text = safe(hidden(shlex.join(command)))
        short = len(text) <= _LONGEST_COMMAND
        how = "go on with:" if short else "the same command goes on where it was"
        talk(f"interrupted; {plural(self.events, 'event')} written, and the log is whole; {how}")
        if short and sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"    {text}\n")  # in one piece, for it will be copied

    def sum_up(self, log: str) -> None:
        """Say what came of it."""
        phases: dict[str, int] = {}
        for batch in self.batches.values():
            phases[batch.phase] = phases.get(batch.phase, 0) + 1
        found = ", ".join(f"{number:,} {phase}" for phase, number in phases.items())
        talk(f"{plural(len(self.ids), 'batch')}: {found}; {plural(self.events, 'event')} written to {log}")


class _Lines(_View):
    """One line an event, for whatever is no terminal."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(ids)
        self._told: set[tuple[str, str]] = set()

    def event(self, record: Record, /) -> None:
        """See `_View.event`."""
        super().event(record)
        counts = getattr(record.event, "request_counts", None)
        # Created has no counts, but their sum; the others have one time at the most.
        detail = counts_text(counts) if counts is not None else ""
        if (size := getattr(record.event, "request_count", None)) is not None:
            detail = plural(size, "request")
        cells = (time_text(record.recorded_at), safe(record.batch_id), f"v{record.version}", record.event.tag, detail)
        write("  ".join(filter(None, cells)) + "\n")
        sys.stdout.flush()  # who reads the pipe sees it now, and what was told is told if the process is killed

    def poll(self, poll: Poll) -> None:
        """See `_View.poll`. A problem is told when it is new; that of all batches, such as a 429, once."""
        super().poll(poll)
        if poll.problem is None or "contradiction" in poll.problem:
            return
        key = (poll.batch_id if "(404)" in poll.problem else "", poll.problem)
        if key not in self._told:
            self._told.add(key)
            why = ": not there yet, deleted, or another key's" if key[0] else ""
            talk(f"warning: batch {poll.batch_id!r}: {poll.problem}{why}; it is asked again")


class _Live(_View):
    """A table that is drawn again and again, on a terminal."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(ids)
        self._live: Any = None
        self._drawn: datetime | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """See `_View.shown`. What was shown last stays."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as self._live:
            try:
                self._draw()
                yield
            finally:
                self._drawn = None
                self._draw()

    def sleep(self, seconds: float) -> None:
        """See `_View.sleep`."""
        while seconds > 0:
            _pause(min(seconds, _FRAME))
            seconds -= _FRAME
            self._draw()

    def start(self, known: Mapping[str, MessageBatch]) -> None:
        """See `_View.start`."""
        super().start(known)
        self._drawn = None
        self._draw()

    def event(self, record: Record, /) -> None:
        """See `_View.event`. The row tells it."""
        super().event(record)
        self._draw()

    def note(self, message: str) -> None:
        """See `_View.note`: above the table."""
        from rich.text import Text

        self._live.console.print(Text(safe(message)))

    def _draw(self) -> None:
        from rich.table import Table
        from rich.text import Text

        now, console = _now(), self._live.console
        if self._drawn is not None and abs(now - self._drawn) < timedelta(seconds=_FRAME / 2):
            return  # a frame costs some milliseconds, and a thousand batches have many events
        self._drawn = now
        height = max(1, console.height - 3)
        ids = self.ids
        if len(ids) > height:  # those that are still on their way are worth more
            ids = sorted(ids, key=self.is_over)[:height]
        rows = [[Text(safe(text), style) for text, style in self._cells(batch_id, now)] for batch_id in ids]
        widths = [max(len(title), *(row[at].cell_len for row in rows)) for at, title in enumerate(_TITLES)]
        shown = _fit(widths, console.width)
        grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for at in shown:
            grid.add_column(_TITLES[at], no_wrap=True, overflow="ellipsis", width=widths[at])
        for row in rows:
            if row[_BATCH].cell_len > widths[_BATCH]:
                row[_BATCH] = Text(f"…{row[_BATCH].plain[1 - widths[_BATCH] :]}", "bold")  # the ends differ
            grid.add_row(*(row[at] for at in shown))
        if len(self.ids) > len(ids):
            grid.add_row(Text(f"and {len(self.ids) - len(ids):,} more", "dim"))
        self._live.update(grid, refresh=True)

    def _cells(self, batch_id: str, now: datetime) -> Iterator[tuple[str, str]]:
        batch, poll = self.batches.get(batch_id), self.polls.get(batch_id)
        yield batch_id, "bold"
        if batch is None:
            yield from ((NOTHING, ""),) * 4
        else:
            yield batch.phase, _STYLES.get(batch.phase, "")
            yield _requests(batch.request_counts), ""
            yield _span((batch.ended_at or now) - batch.created_at), ""
            yield NOTHING if batch.phase in _OVER else _span(batch.expires_at - now), ""
        seen = self.seen.get(batch_id)
        ago = None if seen is None else f"{_span(now - seen)} ago"
        problem = None if poll is None else poll.problem
        yield ", ".join(filter(None, (problem, ago))) or NOTHING, "yellow" if problem else ""


def _fit(widths: list[int], room: int) -> list[int]:
    """Choose the columns that are shown, and cut their *widths*, until they fit: what matters less goes first."""
    shown = list(range(len(widths)))

    def excess() -> int:
        return sum(widths[at] + _GAP for at in shown) - room

    done = len(_TITLES[_DONE])
    steps = (_SEEN, _STILL_SEEN), (_BATCH, _STILL_KNOWN), (_AGE, 0), (_LEFT, 0), (_DONE, done), (_SEEN, 0), (_DONE, 0)
    for at, least in steps:
        if excess() <= 0:
            break
        if least:
            widths[at] = max(min(widths[at], least), widths[at] - excess())
        else:
            shown.remove(at)
    return shown


def _requests(counts: RequestCounts) -> str:
    """How many requests are done, and what did not succeed, in short."""
    others = [f"{getattr(counts, name):,} {name}" for name in ("errored", "canceled", "expired")]
    told = [text for text in others if not text.startswith("0 ")]
    return ", ".join([f"{counts.total - counts.processing:,} of {counts.total:,}", *told])


def _span(span: timedelta) -> str:
    """A span of time without its sign, if it is positive, and without fractions of a second."""
    return span_text(timedelta(seconds=int(span.total_seconds()))).removeprefix("+")
