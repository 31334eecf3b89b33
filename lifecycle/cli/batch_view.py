"""How a batch, its counts and its times are put into words for people."""

from datetime import datetime, timedelta
from typing import Any

from lifecycle import MessageBatch, RequestCounts
from lifecycle.cli.output import NOTHING

COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
FIELDS = (
    "id",
    "processing_status",
    "request_counts",
    "created_at",
    "expires_at",
    "cancel_initiated_at",
    "ended_at",
    "archived_at",
    "deleted_at",
    "results_url",
)


def counts_text(counts: RequestCounts) -> str:
    """The counts that are not 0, such as ``95 succeeded, 5 errored``."""
    found = [f"{getattr(counts, name):,} {name}" for name in COUNTS if getattr(counts, name)]
    return ", ".join(found) or "0 requests"


def time_text(time: datetime | None, *, exact: bool = False) -> str:
    """A time in UTC, to the second or, if *exact*, to the microsecond."""
    if time is None:
        return NOTHING
    return time.replace(tzinfo=None).isoformat(" ", "microseconds" if exact else "seconds")


def span_text(span: timedelta) -> str:
    """A span of time in its two largest units, such as ``+2h 5m`` or ``-0.25s``."""
    sign, span = ("-", -span) if span < timedelta(0) else ("+", span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if span.days:
        return f"{sign}{span.days:,}d {hours}h"
    if hours:
        return f"{sign}{hours}h {minutes}m"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{f'{seconds}.{span.microseconds:06d}'.rstrip('0').rstrip('.')}s"


def changes(before: MessageBatch | None, after: MessageBatch) -> list[str]:
    """What is different in *after*, field by field; all that is set if there was no batch before."""
    found = []
    for name in FIELDS:
        new = getattr(after, name)
        if before is None:
            if new is not None:
                found.append(f"{name}: {value_text(new)}")
        elif (old := getattr(before, name)) != new:
            found.append(f"{name}: {value_text(old)} → {value_text(new)}")
    found += [
        f"{key}: unknown key"
        for key in (*after.extra, *(f"request_counts.{key}" for key in after.request_counts.extra))
    ]
    return found


def value_text(value: Any) -> str:
    """A field of a batch or an event, for people."""
    match value:
        case None:
            return NOTHING
        case datetime():
            return time_text(value, exact=True)
        case RequestCounts():
            return counts_text(value)
        case _:
            return str(value)
