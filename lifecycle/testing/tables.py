"""Streams and findings as plain text tables: what the messages of failed tests show."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import assert_never

import attrs

import lifecycle as lc


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under headings, columns aligned; the last column is as long as its text."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def indented(text: str) -> str:
    """Every line two spaces in."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def stream_table(events: Iterable[lc.Event], *, waits: Mapping[int, timedelta] = MappingProxyType({})) -> str:
    """
    A stream: version, event, the phase after it, and what it says.

    An event without an arrow is shown as such; whether an event may say what it says is not judged. *waits* says how
    long time was let pass after a version.
    """
    rows: list[tuple[str, str, str, str]] = []
    phase: lc.Phase | None = None
    for version, event in enumerate(events, 1):
        following = lc.TRANSITIONS.get((phase, event.tag))
        rows.append((str(version), event.tag, "illegal here" if following is None else following, says(event)))
        phase = following or phase
        if version in waits:
            rows.append(("", "(wait)", "", str(waits[version])))
    return table(("version", "event", "phase after", "says"), rows) if rows else "(no events)"


def record_table(records: Iterable[lc.Record]) -> str:
    """Records in their order: batch, version, event id, event, and what it says."""
    rows = [
        (record.batch_id, str(record.version), record.event_id, record.event.tag, says(record.event))
        for record in records
    ]
    return table(("batch", "version", "event id", "event", "says"), rows)


def says(event: lc.Event) -> str:
    """What an event says, in a line."""
    match event:
        case lc.Created():
            times = f"created {time_text(event.created_at)}, expires {time_text(event.expires_at)}"
            return f"{event.id!r}, {event.request_count} requests, {times}"
        case lc.CountsUpdated():
            return counts_text(event.request_counts)
        case lc.CancelInitiated():
            return time_text(event.cancel_initiated_at)
        case lc.Ended():
            return f"{time_text(event.ended_at)}, {counts_text(event.request_counts)}{_url(event.results_url)}"
        case lc.Archived():
            return time_text(event.archived_at) + _url(event.results_url)
        case lc.Deleted():
            return time_text(event.deleted_at)
        case _:
            assert_never(event)


def says_command(command: lc.Command) -> str:
    """A command with its arguments, in a line."""
    fields = [(field.name, getattr(command, field.name)) for field in attrs.fields(type(command))]
    return f"{type(command).__name__}({', '.join(f'{name}={_plain(value)}' for name, value in fields)})"


def counts_text(counts: lc.RequestCounts) -> str:
    """The counts that are not 0."""
    names = ("processing", "succeeded", "errored", "canceled", "expired")
    return ", ".join(f"{getattr(counts, name)} {name}" for name in names if getattr(counts, name)) or "0 requests"


def time_text(time: datetime) -> str:
    """A time without its zone, which is always UTC."""
    return time.replace(tzinfo=None).isoformat(sep=" ")


def allowed_text(phase: lc.Phase | None) -> str:
    """The events that may follow in a phase, with the phase."""
    tags = ", ".join(tag for before, tag in lc.TRANSITIONS if before is phase)
    return f"{'before the first event' if phase is None else f'when {phase}'}: {tags or 'nothing may follow'}"


def _url(url: str | None) -> str:
    return "" if url is None else f", results at {url}"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return time_text(value)
    return f"({counts_text(value)})" if isinstance(value, lc.RequestCounts) else repr(value)
