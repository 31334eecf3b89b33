"""For each rule, something that breaks it and nothing else. `explain` shows it, and a test holds it to that."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from lifecycle import (
    HOSTED,
    Archived,
    CancelInitiated,
    CountsUpdated,
    Created,
    Deleted,
    Ended,
    Event,
    MessageBatch,
    Phase,
    Record,
    RequestCounts,
    Violation,
    audit,
    check,
    fold,
    wire,
)

ID = "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d"
_URL = f"https://api.anthropic.com/v1/messages/batches/{ID}/results"

_CREATED = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
_EXPIRES = _CREATED + timedelta(hours=24)
_CANCEL = _CREATED + timedelta(minutes=2)
_ENDED = _CREATED + timedelta(minutes=5)
_ARCHIVED = _CREATED + timedelta(days=29)
_DELETED = _CREATED + timedelta(days=30)
_DONE = RequestCounts(0, succeeded=2, errored=1)

EVENTS: Mapping[str, Event] = {
    event.tag: event
    for event in (
        Created(ID, _CREATED, _EXPIRES, 3),
        CountsUpdated(RequestCounts(3)),
        CancelInitiated(_CANCEL),
        Ended(_ENDED, _DONE, _URL),
        Archived(_ARCHIVED, _URL),
        Deleted(_DELETED),
    )
}
"""One event of each tag."""


@attrs.frozen
class Snapshot:
    """A batch that breaks a rule on its own, and a legal one that it resembles."""

    legal: MessageBatch
    broken: MessageBatch

    def violations(self) -> Sequence[Violation]:
        """What it breaks."""
        return check(self.broken, profile=HOSTED)


@attrs.frozen
class Step:
    """Two states of a batch that cannot follow one another."""

    before: MessageBatch
    after: MessageBatch

    def violations(self) -> Sequence[Violation]:
        """What the second breaks after the first."""
        return check(self.after, before=self.before, profile=HOSTED)


@attrs.frozen
class Stream:
    """Records of which the last breaks a rule."""

    records: Sequence[Record]

    def violations(self) -> Sequence[Violation]:
        """What they break."""
        return tuple(audit(self.records, profile=HOSTED))


Example = Snapshot | Step | Stream

_IN_PROGRESS = fold([EVENTS["created"]])
_CANCELING = fold([EVENTS["cancel_initiated"]], start=_IN_PROGRESS)
_OVER = fold([EVENTS["ended"]], start=_IN_PROGRESS)
_GONE = fold([EVENTS["archived"]], start=_OVER)

BATCHES: Mapping[Phase, MessageBatch] = {
    batch.phase: batch for batch in (_IN_PROGRESS, _CANCELING, _OVER, _GONE, fold([EVENTS["deleted"]], start=_GONE))
}
"""One legal batch in each phase."""


def _with(batch: MessageBatch, changed: Mapping[str, Any]) -> MessageBatch:
    return attrs.evolve(batch, **changed)


def _snapshot(legal: MessageBatch, **changed: Any) -> Snapshot:
    return Snapshot(legal, _with(legal, changed))


def _step(before: MessageBatch, **changed: Any) -> Step:
    return Step(before, _with(before, changed))


def record_of(event: Event, version: int | None = None) -> Record:
    """A record of *event*; its version is the usual one, if none is given."""
    if version is None:
        version = {"created": 1, "archived": 3, "deleted": 4}.get(event.tag, 2)
    return Record(ID, version, event, f"{ID}/{version}", _CREATED + timedelta(seconds=version))


_FIRST = record_of(EVENTS["created"])

EXAMPLES: Mapping[str, Example] = {
    "B1": _snapshot(_OVER, request_counts=RequestCounts(0, succeeded=4, errored=-1)),
    "B2": _snapshot(_IN_PROGRESS, request_counts=RequestCounts(100_001)),
    "B3": _snapshot(_IN_PROGRESS, expires_at=_CREATED + timedelta(days=30)),
    "B4": _snapshot(_OVER, ended_at=None),
    "B5": _snapshot(_OVER, request_counts=RequestCounts(1, succeeded=2)),
    "B6": _snapshot(_CANCELING, cancel_initiated_at=None),
    "B7": _snapshot(_IN_PROGRESS, request_counts=RequestCounts(1, succeeded=2)),
    "B8": _snapshot(_IN_PROGRESS, results_url=_URL),
    "B9": _snapshot(_OVER, request_counts=RequestCounts(0, succeeded=2, canceled=1)),
    "B10": _snapshot(_IN_PROGRESS, archived_at=_ARCHIVED),
    "B11": _snapshot(_OVER, ended_at=_CREATED - timedelta(minutes=1)),
    "B12": _snapshot(_OVER, request_counts=RequestCounts(0, succeeded=2, expired=1)),
    "B13": _snapshot(_OVER, ended_at=_EXPIRES + timedelta(minutes=1)),
    "B14": _snapshot(_OVER, results_url=None),
    "B15": _snapshot(_GONE, archived_at=_CREATED + timedelta(days=7)),
    "B16": _snapshot(_IN_PROGRESS, extra={"archive_at": None}),
    "T1": Stream([_FIRST, record_of(EVENTS["archived"], 2)]),
    "T2": _step(_IN_PROGRESS, id="msgbatch_02"),
    "T3": Step(_IN_PROGRESS, _with(_OVER, {"request_counts": RequestCounts(0, succeeded=3, errored=1)})),
    "T4": _step(_OVER, ended_at=_ENDED + timedelta(minutes=1)),
    "T5": Step(_with(_IN_PROGRESS, {"request_counts": RequestCounts(0, succeeded=3)}), _OVER),
    "T6": _step(_OVER, request_counts=RequestCounts(0, succeeded=3)),
    "T7": _step(_OVER, results_url=_URL + "?page=2"),
    "L1": Stream([record_of(EVENTS["ended"], 1)]),
    "L2": Stream([Record("msgbatch_02", 1, EVENTS["created"], None, _CREATED)]),
    "L3": Stream([_FIRST, record_of(EVENTS["ended"], 3)]),
    "L4": Stream([_FIRST, record_of(EVENTS["ended"], 2), record_of(EVENTS["cancel_initiated"], 2)]),
}
"""An example of each rule of the rulebook."""

DAMAGED_LINE = wire.encode_record(_FIRST).replace(b'"request_count":3', b'"request_count":4')
"""A line of a log that was changed after it was written; its `crc32` tells."""
