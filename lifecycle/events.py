"""
The facts of a batch's life, and the envelope that a log keeps each of them in.

These shapes are stored for ever: a released event is never changed, a new shape becomes a new schema version.
"""

from datetime import datetime
from typing import ClassVar, cast

import attrs

from lifecycle.batch import RequestCounts, checked
from lifecycle.errors import quoted


@attrs.frozen(field_transformer=checked)
class Created:
    """A batch was created; all its requests are in `processing`."""

    id: str
    """The batch."""
    created_at: datetime
    """UTC, like every time here."""
    expires_at: datetime
    """The hosted API: exactly 24 hours later (rule B3)."""
    request_count: int
    """The size of the batch, which never changes (rule T3)."""

    tag: ClassVar[str] = "created"
    """The event's id in the chart, in JSON and in messages."""


@attrs.frozen(field_transformer=checked)
class CountsUpdated:
    """Requests moved from `processing` to an outcome (rule T5)."""

    request_counts: RequestCounts
    """All five counts after the move."""

    tag: ClassVar[str] = "counts_updated"
    """The event's id in the chart, in JSON and in messages."""


@attrs.frozen(field_transformer=checked)
class CancelInitiated:
    """Somebody asked to cancel the batch; requests that were already sent still finish."""

    cancel_initiated_at: datetime
    """When it was asked for."""

    tag: ClassVar[str] = "cancel_initiated"
    """The event's id in the chart, in JSON and in messages."""


@attrs.frozen(field_transformer=checked)
class Ended:
    """Every request has succeeded, errored, been canceled or expired. It does not mean success."""

    ended_at: datetime
    """When the last request was finished."""
    request_counts: RequestCounts
    """The final counts; `processing` is 0 (rule B5)."""
    results_url: str | None = None
    """Where the results can be had."""

    tag: ClassVar[str] = "ended"
    """The event's id in the chart, in JSON and in messages."""


@attrs.frozen(field_transformer=checked)
class Archived:
    """The results became unavailable. The status on the wire stays `ended`."""

    archived_at: datetime
    """When the results went."""
    results_url: str | None = None
    """The URL that still shows after archiving, if any."""

    tag: ClassVar[str] = "archived"
    """The event's id in the chart, in JSON and in messages."""


@attrs.frozen(field_transformer=checked)
class Deleted:
    """The batch was deleted. Nothing may follow."""

    deleted_at: datetime
    """When it was deleted."""

    tag: ClassVar[str] = "deleted"
    """The event's id in the chart, in JSON and in messages."""


Event = Created | CountsUpdated | CancelInitiated | Ended | Archived | Deleted

EVENTS: tuple[type[Event], ...] = (Created, CountsUpdated, CancelInitiated, Ended, Archived, Deleted)


def _event_id(value: str | None) -> str:
    if value is None:
        return cast(str, value)  # until __attrs_post_init__ knows better
    if isinstance(value, str):
        return value
    raise TypeError(f"event_id: expected a string or None, got {quoted(value)}")


def _place(value: tuple[str, int] | None) -> tuple[str, int] | None:
    return value


@attrs.frozen(field_transformer=checked)
class Record:
    """
    An event with its envelope, as a log or a store keeps it.

    Raises:
        TypeError: A field has a value of the wrong type; the message names the field.
        ValueError: `recorded_at` is naive.
    """

    batch_id: str
    """The stream."""
    version: int
    """The event's place in its stream: 1, 2, 3 … (rule L3)."""
    event: Event
    """What happened."""
    event_id: str = attrs.field(converter=_event_id)
    """Unique in the stream (rule L4). Passed as None it becomes ``<batch_id>/<version>``."""
    recorded_at: datetime
    """When the fact was written down, which is not when it happened. UTC."""
    place: tuple[str, int] | None = attrs.field(default=None, kw_only=True, eq=False, converter=_place)
    """File and line (from 1) that the record was read from, set by `log.read`. No part of equality or of the wire."""

    def __attrs_post_init__(self) -> None:
        if cast(str | None, self.event_id) is None:
            object.__setattr__(self, "event_id", f"{self.batch_id}/{self.version}")
