"""The command that audits logs that grow: a line for each finding as it comes, and on a terminal how far it is."""

import contextlib
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import attrs

from lifecycle import Finding, Profile, Tier
from lifecycle.cli.logs import place_text
from lifecycle.cli.output import (
    CLEAN,
    FOUND,
    INTERRUPTED,
    STYLES,
    Format,
    UsageError,
    hidden,
    is_terminal,
    json_text,
    plural,
    safe,
    talk,
    until_closed,
    write,
)
from lifecycle.cli.records import expanded_paths, is_url, open_store
from lifecycle.engines import is_parquet
from lifecycle.following import EVERY, FORGET_AFTER, Following
from lifecycle.following import follow as follow_logs
from lifecycle.lines import STDIN
from lifecycle.replaying import finding_values

_FRAME = 0.5  # seconds between two frames

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([0-9]{1,12})([smhdw])")

_pause = time.sleep
_clock = time.monotonic


@attrs.frozen
class How:
    """How logs are followed: the options, as they were typed."""

    forget_after: str | None = None
    checkpoint: str | None = None
    findings: str | None = None
    every: str | None = None
    until_end: bool = False


def parse_span(option: str, text: str | None, default: timedelta) -> timedelta:
    """
    Read a span of time, such as ``90s``, ``15m``, ``12h`` or ``7d``.

    Raises:
        UsageError: It is none.
    """
    if text is None:
        return default
    match = _SPAN.fullmatch(text)
    if match is not None:
        with contextlib.suppress(OverflowError):
            return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    raise UsageError(f"{option}: expected a span of time such as 90s, 15m, 12h or 7d, got {text!r}")


def follow(paths: Sequence[str], profile: Profile, form: Format, how: How, others: Sequence[str]) -> int:
    """
    Write every finding as it comes, until it is interrupted or, if that is asked for, all that has come is judged.

    Args:
        paths: Files, and URLs of stores.
        profile: Which rules count.
        form: For people, or as JSON Lines.
        how: The options of following.
        others: Options that were given, and have nothing to do with following.

    Raises:
        UsageError: What is asked for cannot be followed.
        LogError: As for `lifecycle.following.follow`.
        StoreError: A store cannot be read.
    """
    paths = expanded_paths(paths)
    _check(paths, form, how, others)
    forget_after = parse_span("--forget-after", how.forget_after, FORGET_AFTER)
    every = parse_span("--checkpoint-every", how.every, EVERY)
    view = _view()
    status = CLEAN
    text = json_lines if form == "jsonl" else line_text
    with until_closed(), contextlib.ExitStack() as stack:
        logs: list[Any] = [stack.enter_context(open_store(path)) if is_url(path) else path for path in paths]
        try:
            following = follow_logs(
                *logs,
                profile=profile,
                forget_after=forget_after,
                checkpoint=how.checkpoint,
                findings=how.findings,
                until_end=how.until_end,
                every=every,
                on_progress=view.progress,
                sleep=view.sleep,
                clock=_clock,
            )
        except ValueError as error:  # one file is named twice
            raise UsageError(f"--follow: {error}") from error
        try:
            with view.shown(), _interruptible(view, following), contextlib.closing(following):
                for finding in following:
                    view.show(text(finding), STYLES[finding.rule.tier])
        except KeyboardInterrupt:
            view.interrupted = True
        finally:
            if following.started:
                _sum_up(following)
        if view.interrupted:
            _say_how_to_go_on(paths, profile, form, how)
            status = INTERRUPTED
        elif any(count for tier, count in following.tiers.items() if tier is not Tier.ADVICE):
            status = FOUND
    return status


def _check(paths: Sequence[str], form: Format, how: How, others: Sequence[str]) -> None:
    if others:
        raise UsageError(f"{others[0]} is for logs that are complete; --follow judges in one pass, as they grow")
    if form == "json":
        raise UsageError("--follow: findings come one by one; choose the format table or jsonl")
    if how.findings is not None and how.checkpoint is None:
        raise UsageError("--findings needs --checkpoint, which says how much of the file counts")
    if how.every is not None and how.checkpoint is None:
        raise UsageError("--checkpoint-every says how often a checkpoint is written; name its file with --checkpoint")
    for option, name in ("--checkpoint", how.checkpoint), ("--findings", how.findings):
        # An empty name is that of the folder.
        if name is not None and (name == STDIN or Path(name).is_dir()):
            raise UsageError(f"{option}: expected a file, got {name!r}")
    for path in paths:
        if path == STDIN:
            raise UsageError("--follow: expected files and stores; - is standard input")
        if not is_url(path) and is_parquet(path):
            raise UsageError(f"--follow: {path} is Parquet, which does not grow; audit it without")


def json_lines(finding: Finding) -> str:
    """A finding for programs."""
    return json_text(finding_values(finding))


def line_text(finding: Finding) -> str:
    """A finding for people, in one line."""
    about = "" if finding.batch_id is None else f"batch {finding.batch_id!r} version {finding.version}: "
    return safe(f"{place_text(finding)}: {about}{finding} ({finding.rule.tier})")


def _sum_up(following: Following) -> None:
    totals = following.totals()
    phases = ", ".join(f"{count:,} {phase}" for phase, count in totals.phases.items() if count)
    found = sum(following.tiers.values())
    tiers = ", ".join(f"{count:,} {tier}" for tier, count in following.tiers.items() if count)
    seen = f"{plural(totals.events, 'event')} of {plural(totals.streams, 'batch')}{f' ({phases})' if phases else ''}"
    resumed = " since the checkpoint" if following.resumed else ""
    told = f"{plural(found, 'finding')} ({tiers})" if found else "no findings"
    talk(f"{seen}: {told}{resumed}")
    for path, line in following.unfinished:
        talk(f"{path}:{line}: the line has no end yet; it is judged when it has")


def _say_how_to_go_on(paths: Sequence[str], profile: Profile, form: Format, how: How) -> None:
    if how.checkpoint is None:
        talk("interrupted; there is no --checkpoint, so the next time it begins anew")
        return
    options = {
        "--profile": profile.name,
        "--format": form,
        "--forget-after": how.forget_after,
        "--checkpoint": how.checkpoint,
        "--findings": how.findings,
        "--checkpoint-every": how.every,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    talk("interrupted; go on with:")
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            text = shlex.join(["lifecycle", "audit", "--follow", *paths, *given])
            sys.stderr.write(f"    {safe(hidden(text))}\n")  # in one piece, for it will be copied


@contextlib.contextmanager
def _interruptible(view: "_View", following: Following) -> Iterator[None]:
    """
    Let Ctrl-C end it between two lines: so nothing is judged in vain, and nothing given twice.

    The second time it is an exception, as ever; and where it is ignored, as in the background, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handler(_number: int, _frame: object) -> None:
        if view.sleeping or view.interrupted:
            raise KeyboardInterrupt
        view.interrupted = True
        following.stop()

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _View:
    """One line a finding, for whatever is no terminal."""

    def __init__(self) -> None:
        self.sleeping = False
        self.interrupted = False

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it in here."""
        yield

    def show(self, text: str, _style: str) -> None:
        """Show a finding."""
        write(f"{text}\n")
        sys.stdout.flush()  # who reads the pipe has it now, and a kill does not take it back

    def progress(self, following: Following) -> None:
        """Show how far it is."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.sleeping = True
        try:
            _pause(seconds)
        finally:
            self.sleeping = False


class _Live(_View):
    """A line below the findings that says how far it is."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__()
        self._terminal = terminal
        self._live: Any = None
        self._drawn = self._since = _clock()
        self._events = 0
        self._speed = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """See `_View.shown`. In the end the line goes."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._terminal, highlight=False, markup=False, emoji=False)
        with Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True
        ) as self._live:
            yield

    def show(self, text: str, style: str) -> None:
        """See `_View.show`."""
        if self._terminal is not sys.stdout:
            super().show(text, style)
            return
        from rich.text import Text

        self._live.console.print(Text(text, style), soft_wrap=True)

    def progress(self, following: Following) -> None:
        """See `_View.progress`."""
        from rich.text import Text

        now = _clock()
        if now - self._drawn < _FRAME and not following.waiting:
            return
        if now - self._since >= _FRAME:
            self._speed = (following.events - self._events) / (now - self._since)
            self._since, self._events = now, following.events
        self._drawn = now
        held = f"{following.live:,} live, {following.finished:,} finished"
        doing = "waiting for more" if following.waiting else f"{self._speed:,.0f} a second"
        left = f", {following.behind:,} bytes left" if following.behind and not following.waiting else ""
        found = plural(sum(following.tiers.values()), "finding")
        line = f"{plural(following.events, 'event')} ({doing}{left}); batches: {held}; {found}"
        self._live.update(Text(line, "dim", no_wrap=True, overflow="ellipsis"), refresh=True)


def _view() -> _View:
    for stream in sys.stdout, sys.stderr:
        if is_terminal(stream):
            return _Live(stream)
    return _View()
