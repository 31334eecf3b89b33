"""
The core against its peers: ``python -m benchmarks.core``. Needs the dependency group ``bench``.

- decode: one snapshot and all HOSTED rules, against a strict frozen pydantic model with the same rules;
- encode: against the same model's ``model_dump_json``;
- fold: an in-memory stream, against a hand-written function that checks as much and builds one batch at the end;
- the chart's own ``send``;
- the import, in processes of their own.
"""

import statistics
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal

import attrs
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

import lifecycle as lc
from benchmarks.measure import compare
from lifecycle import wire
from lifecycle.machine import BatchChart

DAY = timedelta(hours=24)
MONTH = timedelta(days=29)
ID = "msgbatch_016p4d74dpScsKg7Q1bcA9bz"
T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Counts(BaseModel):
    """What a careful user of pydantic writes."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    processing: Count
    succeeded: Count
    errored: Count
    canceled: Count
    expired: Count


class Batch(BaseModel):
    """The same, with the rules B1 to B16 in one validator."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: Counts
    ended_at: AwareDatetime | None = None
    created_at: AwareDatetime
    expires_at: AwareDatetime
    archived_at: AwareDatetime | None = None
    cancel_initiated_at: AwareDatetime | None = None
    results_url: str | None = None

    @model_validator(mode="after")
    def rules(self) -> "Batch":
        """Each rule of the rulebook for one batch."""
        counts, status = self.request_counts, self.processing_status
        ended, created, canceled, archived = self.ended_at, self.created_at, self.cancel_initiated_at, self.archived_at
        total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
        if not 1 <= total <= 100_000:
            raise ValueError("B2")
        if self.expires_at - created != DAY:
            raise ValueError("B3")
        if status == "ended":
            if ended is None:
                raise ValueError("B4")
            if counts.processing:
                raise ValueError("B5")
        else:
            if ended is not None:
                raise ValueError("B4")
            if (status == "canceling") != (canceled is not None):
                raise ValueError("B6")
            if counts.succeeded or counts.errored or counts.canceled or counts.expired:
                raise ValueError("B7")
            if self.results_url is not None:
                raise ValueError("B8")
            if archived is not None:
                raise ValueError("B10")
        if counts.canceled and canceled is None:
            raise ValueError("B9")
        if canceled is not None and canceled < created:
            raise ValueError("B11")
        if ended is not None:
            if ended < created or (canceled is not None and ended < canceled):
                raise ValueError("B11")
            if archived is not None and archived < ended:
                raise ValueError("B11")
            if counts.expired and ended < self.expires_at:
                raise ValueError("B12")
            if ended > self.expires_at and not counts.expired:
                raise ValueError("B13")
            if archived is None and self.results_url is None:
                raise ValueError("B14")
        if archived is not None and archived - created < MONTH:
            raise ValueError("B15")
        if self.model_extra or counts.model_extra:
            raise ValueError("B16")
        return self


@attrs.frozen
class Plain:
    """What a hand-written fold builds: a frozen attrs class without checks."""

    id: str
    processing_status: str
    request_counts: lc.RequestCounts
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    archived_at: datetime | None
    cancel_initiated_at: datetime | None
    results_url: str | None
    deleted_at: datetime | None


def by_hand(events: list[Any]) -> Plain:
    """The laws, in one function, on local variables; one assignment a line, for a tuple of five takes longer."""
    status = "absent"
    ended_at = archived_at = cancel_at = results_url = deleted_at = None
    batch_id = created_at = expires_at = None
    size = processing = succeeded = errored = canceled = expired = 0
    counts: Any = None
    for event in events:
        kind = type(event)
        if kind is lc.CountsUpdated or kind is lc.Ended:
            if status != "in_progress" and status != "canceling":
                raise ValueError("T1")
            counts = event.request_counts
            p = counts.processing
            s = counts.succeeded
            e = counts.errored
            c = counts.canceled
            x = counts.expired
            if p < 0 or s < 0 or e < 0 or c < 0 or x < 0:
                raise ValueError("B1")
            if p + s + e + c + x != size:
                raise ValueError("T3")
            if p > processing or s < succeeded or e < errored or c < canceled or x < expired:
                raise ValueError("T5")
            if kind is lc.Ended:
                ended_at = event.ended_at
                if p != 0:
                    raise ValueError("B5")
                if ended_at < created_at or (cancel_at is not None and ended_at < cancel_at):
                    raise ValueError("B11")
                results_url = event.results_url
                status = "ended"
            processing = p
            succeeded = s
            errored = e
            canceled = c
            expired = x
        elif kind is lc.Created:
            if status != "absent":
                raise ValueError("T1")
            batch_id, created_at, expires_at = event.id, event.created_at, event.expires_at
            size = processing = event.request_count
            if size < 0:
                raise ValueError("B1")
            status = "in_progress"
        elif kind is lc.CancelInitiated:
            if status != "in_progress":
                raise ValueError("T1")
            cancel_at = event.cancel_initiated_at
            if cancel_at < created_at:
                raise ValueError("B11")
            status = "canceling"
        elif kind is lc.Archived:
            if status != "ended":
                raise ValueError("T1")
            archived_at, results_url = event.archived_at, event.results_url
            if archived_at < ended_at:
                raise ValueError("B11")
            status = "archived"
        elif kind is lc.Deleted:
            if status != "ended" and status != "archived":
                raise ValueError("T1")
            deleted_at = event.deleted_at
            if deleted_at < ended_at or (archived_at is not None and deleted_at < archived_at):
                raise ValueError("B11")
            status = "deleted"
        else:
            raise TypeError(event)
    assert batch_id is not None
    assert created_at is not None
    assert expires_at is not None
    if counts is None:
        counts = lc.RequestCounts(size)
    word = "ended" if status in ("archived", "deleted") else status
    return Plain(
        batch_id, word, counts, created_at, expires_at, ended_at, archived_at, cancel_at, results_url, deleted_at
    )


def decode_and_check(body: bytes) -> tuple[lc.Violation, ...]:
    """What a service does with a body that comes in."""
    return lc.check(wire.decode_batch(body), profile=lc.HOSTED)


def stream(updates: int) -> list[lc.Event]:
    """A canceled batch with *updates* updates of its counts."""
    found: list[lc.Event] = [lc.Created("msgbatch_01", T, T + DAY, updates + 1)]
    found += [lc.CountsUpdated(lc.RequestCounts(updates + 1 - n, n)) for n in range(1, updates)]
    found.append(lc.CancelInitiated(T + DAY / 4))
    found.append(lc.Ended(T + DAY / 2, lc.RequestCounts(0, updates, 0, 1), "https://example.com/results"))
    found += [lc.Archived(T + 30 * DAY), lc.Deleted(T + 31 * DAY)]
    return found


def import_seconds(code: str) -> float:
    """CPU seconds that a new interpreter needs for *code*."""
    measured = f"import time; start = time.process_time()\n{code}\nprint(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", measured], capture_output=True, check=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print a line for each comparison."""
    url = f"https://api.anthropic.com/v1/messages/batches/{ID}/results"
    lives = {
        "in progress": lc.MessageBatch(ID, "in_progress", lc.RequestCounts(3), T, T + DAY),
        "ended": lc.MessageBatch(ID, "ended", lc.RequestCounts(0, 3), T, T + DAY, T + DAY / 2, results_url=url),
        "canceled, archived": lc.MessageBatch(
            ID, "ended", lc.RequestCounts(0, 2, 0, 1), T, T + DAY, T + DAY / 2,
            T + 30 * DAY, T + DAY / 3,
        ),
    }  # fmt: skip
    print(f"{'':<44} {'ours':>11} {'theirs':>11}")
    for name, batch in lives.items():
        body = wire.encode_batch(batch)
        model = Batch.model_validate_json(body)
        assert lc.check(wire.decode_batch(body), profile=lc.HOSTED) == ()
        compare(
            f"decode and check, {name} (pydantic)",
            partial(decode_and_check, body),
            partial(Batch.model_validate_json, body),
            times=2000,
        )
        compare(
            f"encode, {name} (pydantic)",
            partial(wire.encode_batch, batch),
            model.model_dump_json,
            times=2000,
        )
    for updates in (1, 5, 50):
        events = stream(updates)
        assert lc.fold(events).request_counts == by_hand(events).request_counts
        compare(
            f"fold, {len(events)} events, per event (by hand)",
            partial(lc.fold, events),
            partial(by_hand, events),
            times=20_000 // len(events),
            per=len(events),
        )
    chart = BatchChart()
    chart.send("created")
    updates_only = [lc.CountsUpdated(lc.RequestCounts(1))] * 1000
    start = lc.fold(stream(1)[:1])
    start = attrs.evolve(start, request_counts=lc.RequestCounts(1))
    compare(
        "fold, per event (the chart's own send)",
        lambda: lc.fold(updates_only, start=start),
        lambda: [chart.send("counts_updated") for _ in range(1000)],
        times=1,
        per=1000,
        count=5,
    )
    both = [
        (import_seconds("import statemachine, attrs, lifecycle"), import_seconds("import statemachine, attrs"))
        for _ in range(11)
    ]
    added = statistics.median(a - b for a, b in both)
    base = statistics.median(b for _, b in both)
    print(f"import lifecycle adds {added * 1e3:.0f} ms to the {base * 1e3:.0f} ms of statemachine and attrs")


if __name__ == "__main__":
    main()
