"""Small lives of batches, for tests that only need one. Hand-made, with no rule imported."""

from datetime import UTC, datetime, timedelta

import lifecycle as lc

T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
URL = "https://api.anthropic.com/v1/messages/batches/msgbatch_01/results"

CREATED = lc.Created("msgbatch_01", T, T + DAY, 4)
REPEATED = lc.CountsUpdated(lc.RequestCounts(4))
CANCELED = lc.CancelInitiated(T + HOUR)
ENDED = lc.Ended(T + 2 * HOUR, lc.RequestCounts(0, 2, 1, 1), URL)
ARCHIVED = lc.Archived(T + 30 * DAY)
DELETED = lc.Deleted(T + 31 * DAY)

LIFE: tuple[lc.Event, ...] = (CREATED, REPEATED, CANCELED, ENDED, ARCHIVED, DELETED)
"""A whole life that keeps every rule, advice too."""

BY_PHASE: dict[lc.Phase | None, tuple[lc.Event, ...]] = {
    None: (),
    lc.Phase.IN_PROGRESS: LIFE[:1],
    lc.Phase.CANCELING: LIFE[:3],
    lc.Phase.ENDED: LIFE[:4],
    lc.Phase.ARCHIVED: LIFE[:5],
    lc.Phase.DELETED: LIFE,
}


def in_phase(phase: lc.Phase | None) -> lc.MessageBatch | None:
    """A batch in *phase*."""
    return None if phase is None else lc.fold(BY_PHASE[phase], profile=lc.HOSTED)


def records(events: tuple[lc.Event, ...] = LIFE, batch_id: str = "msgbatch_01") -> list[lc.Record]:
    """The records of a stream."""
    return [lc.Record(batch_id, version, event, None, T) for version, event in enumerate(events, 1)]
