"""
A service that serves batches from memory, written without the library, and one small bug for each way to be wrong.

With `bug` None it is correct.  Each name in `BUGS` changes one line of what it does.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import lifecycle as lc
from lifecycle.testing import Refused

DAY = timedelta(days=1)
INVALID = "invalid_request_error"


class Bug(NamedTuple):
    said: str
    """What the failure has to name."""
    profile: lc.Profile = lc.LAWS
    """The profile that it takes to see it."""
    advice: bool = False
    """Whether it is wrong only by advice."""


BUGS: dict[str, Bug] = {
    # For each rule that a service can break.
    "processing falls below zero": Bug("$.request_counts.processing"),  # B1: the wire refuses it
    "an empty batch is created": Bug("B2", lc.HOSTED),
    "a month until expiry": Bug("B3", lc.HOSTED),
    "ended without ended_at": Bug("B4"),
    "ended with requests in processing": Bug("B5"),
    "canceling without cancel_initiated_at": Bug("B6"),
    "counts move before the end": Bug("B7", lc.HOSTED),
    "a results URL before the end": Bug("B8", lc.HOSTED),
    "what expired counts as canceled": Bug("B9", lc.HOSTED),
    "archived_at tells when it will be archived": Bug("B10"),
    "ended_at by another clock": Bug("B11"),
    "expired ahead of time": Bug("B12", lc.HOSTED, advice=True),
    "what expired counts as errored": Bug("B13", lc.HOSTED, advice=True),
    "no results URL": Bug("B14", lc.HOSTED, advice=True),
    "archived on the second day": Bug("B15", lc.HOSTED, advice=True),
    "an invented total": Bug("B16", lc.HOSTED, advice=True),
    "a canceling batch is in progress again": Bug("T1"),
    "expires_at moves with the clock": Bug("T2"),
    "the total is the sum of three counts": Bug("T3"),
    "ended_at is now on each read": Bug("T4"),
    "counts start anew after a restart": Bug("T5"),
    "archiving forgets the outcomes": Bug("T6"),
    "the results URL is signed anew": Bug("T7", lc.HOSTED),
    # Others from the wild, and what the API answers.
    "cancelling with two l": Bug("$.processing_status"),
    "a key is missing": Bug("$.request_counts.expired"),
    "no JSON": Bug("no body of a batch"),
    "a second cancel moves cancel_initiated_at": Bug("T4"),
    "reading a canceling batch crashes": Bug("KeyError"),
    "nobody canceled, but it says so": Bug("nobody asked for cancellation"),
    "cancel does nothing": Bug("cancel_initiated_at is not set"),
    "cancel is refused": Bug("it was refused, but is allowed"),
    "an ended batch can be canceled": Bug("T1"),
    "a running batch can be deleted": Bug("T1"),
    "an ended batch cannot be deleted": Bug("it was refused, but is allowed"),
    "a deleted batch can be canceled": Bug("it was deleted"),
    "a deleted batch is still there": Bug("there is no such batch"),
    "the wrong status for a late cancel": Bug("400 invalid_request_error", lc.HOSTED),
    "the wrong type for an unknown batch": Bug("404 not_found_error", lc.HOSTED),
    "no receipt": Bug("message_batch_deleted", lc.HOSTED),
    "a receipt that is no JSON": Bug("message_batch_deleted", lc.HOSTED),
    "ids repeat": Bug("the id is that of an earlier batch"),
    "succeeded and errored are mixed up": Bug("requests have"),
    "a result is lost": Bug("requests have succeeded"),
    "what was canceled expires": Bug("requests were canceled"),
    "it never ends": Bug("the batch has not ended"),
    "it never expires": Bug("expires_at is an hour ago", lc.HOSTED),
    "requests cannot be finished": Bug("refused to finish"),
}


class Batch:
    """One batch of the service."""

    def __init__(self, batch_id: str, size: int, now: datetime) -> None:
        self.id = batch_id
        self.size = size
        self.created_at = now
        self.expires_at = now + DAY
        self.status = "in_progress"
        self.done = {"succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        self.cancel_initiated_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.archived_at: datetime | None = None

    @property
    def left(self) -> int:
        return self.size - sum(self.done.values())


class Gateway:
    """The service, and its adapter in one. *live*: whether counts move before the end."""

    def __init__(self, bug: str | None = None, *, live: bool = True) -> None:
        if bug not in {None, *BUGS}:
            raise ValueError(bug)
        self.bug = bug
        self.live = live or bug == "counts move before the end"
        self.now = datetime(2025, 1, 1, 12, tzinfo=UTC)
        self.batches: dict[str, Batch] = {}
        self.deleted: dict[str, Batch] = {}
        self.reads = 0

    # ------------------------------------------------------------------------------------------------ the operations

    def create(self, request_count: int) -> bytes:
        if request_count == 0 and self.bug != "an empty batch is created":
            raise Refused(400, INVALID)
        if request_count > 100_000:
            raise Refused(413, "request_too_large")
        number = 1 if self.bug == "ids repeat" else len(self.batches) + len(self.deleted) + 1
        batch = self.batches[f"batch_{number}"] = Batch(f"batch_{number}", request_count, self.now)
        if self.bug == "a month until expiry":
            batch.expires_at += 30 * DAY
        if self.bug == "archived_at tells when it will be archived":
            batch.archived_at = batch.created_at + 29 * DAY
        return self.body(batch)

    def retrieve(self, batch_id: str) -> bytes:
        self.reads += 1
        return self.body(self.known(batch_id))

    def cancel(self, batch_id: str) -> bytes:
        if self.bug == "a deleted batch can be canceled" and batch_id in self.deleted:
            return self.body(self.deleted[batch_id])
        batch = self.known(batch_id)
        if batch.ended_at is not None and self.bug == "the wrong status for a late cancel":
            raise Refused(409, "conflict_error")
        if batch.ended_at is not None and self.bug != "an ended batch can be canceled":
            raise Refused(400, INVALID)
        if self.bug == "cancel is refused":
            raise Refused(400)
        if batch.ended_at is None and self.bug != "cancel does nothing":
            batch.status = "canceling"
            if batch.cancel_initiated_at is None or self.bug == "a second cancel moves cancel_initiated_at":
                batch.cancel_initiated_at = self.now
            if self.bug == "ended with requests in processing":
                self.end(batch)
        return self.body(batch)

    def delete(self, batch_id: str) -> str:
        batch = self.known(batch_id)
        if batch.ended_at is None and self.bug != "a running batch can be deleted":
            raise Refused(400, INVALID)
        if self.bug == "an ended batch cannot be deleted":
            raise Refused(400)
        if self.bug != "a deleted batch is still there":
            self.deleted[batch_id] = self.batches.pop(batch_id)
        if self.bug == "a receipt that is no JSON":
            return "deleted"
        return json.dumps({"id": batch_id, "type": "deleted" if self.bug == "no receipt" else "message_batch_deleted"})

    # ------------------------------------------------------------------------------------------- the world around it

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for batch in self.batches.values():
            if batch.ended_at is None and self.bug == "counts start anew after a restart":
                batch.done = dict.fromkeys(batch.done, 0)
            if batch.ended_at is None and self.now >= batch.created_at + DAY and self.bug != "it never expires":
                wrong = {"what expired counts as canceled": "canceled", "what expired counts as errored": "errored"}
                batch.done[wrong.get(self.bug or "", "expired")] += batch.left
                self.end(batch)
                if self.bug == "expired ahead of time":
                    batch.ended_at = batch.expires_at - timedelta(seconds=1)
            kept = 2 if self.bug == "archived on the second day" else 29
            if batch.ended_at is not None and batch.archived_at is None and self.now >= batch.created_at + kept * DAY:
                batch.archived_at = max(batch.ended_at, batch.created_at + kept * DAY)
                if self.bug == "archiving forgets the outcomes":
                    batch.done = {**dict.fromkeys(batch.done, 0), "expired": batch.size}

    def finish(self, batch_id: str, *, succeeded: int = 0, errored: int = 0, canceled: int = 0) -> None:
        if self.bug == "requests cannot be finished":
            raise Refused(409)
        batch = self.known(batch_id)
        if self.bug == "succeeded and errored are mixed up":
            succeeded, errored = errored, succeeded
        for outcome, number in (("succeeded", succeeded), ("errored", errored), ("canceled", canceled)):
            batch.done[outcome] += number
        if batch.status == "canceling" and self.bug == "a canceling batch is in progress again":
            batch.status, batch.cancel_initiated_at = "in_progress", None
        if batch.left == 0 and self.bug != "it never ends":
            self.end(batch)

    # --------------------------------------------------------------------------------------------------- its insides

    def known(self, batch_id: str) -> Batch:
        if batch_id not in self.batches:
            raise Refused(404, INVALID if self.bug == "the wrong type for an unknown batch" else "not_found_error")
        return self.batches[batch_id]

    def end(self, batch: Batch) -> None:
        batch.status = "ended"
        batch.ended_at = self.now
        if self.bug == "ended_at by another clock":
            batch.ended_at = batch.created_at - timedelta(seconds=1)
        if self.bug == "nobody canceled, but it says so" and batch.cancel_initiated_at is None:
            batch.cancel_initiated_at = self.now
        if self.bug == "a result is lost" and batch.done["succeeded"]:
            batch.done["succeeded"] -= 1
            batch.done["expired"] += 1
        if self.bug == "what was canceled expires":
            batch.done["expired"] += batch.done["canceled"]
            batch.done["canceled"] = 0

    def body(self, batch: Batch) -> bytes:
        ended = batch.ended_at is not None
        done = batch.done if ended or self.live else dict.fromkeys(batch.done, 0)
        counts = {"processing": batch.size - sum(done.values()), **done}
        url = f"https://gateway.example/v1/messages/batches/{batch.id}/results"
        shown: dict[str, Any] = {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": batch.status,
            "request_counts": counts,
            "ended_at": batch.ended_at,
            "created_at": batch.created_at,
            "expires_at": batch.expires_at,
            "archived_at": batch.archived_at,
            "cancel_initiated_at": batch.cancel_initiated_at,
            "results_url": url if ended and batch.archived_at is None else None,
        }
        match self.bug:
            case "processing falls below zero" if ended:
                counts["processing"] -= 1
            case "the total is the sum of three counts":
                counts["processing"] = batch.size - done["succeeded"] - done["errored"] - done["canceled"]
            case "ended without ended_at":
                shown["ended_at"] = None
            case "canceling without cancel_initiated_at" if batch.status == "canceling":
                shown["cancel_initiated_at"] = None
            case "a results URL before the end":
                shown["results_url"] = url
            case "no results URL":
                shown["results_url"] = None
            case "an invented total":
                counts["total"] = batch.size
            case "expires_at moves with the clock":
                shown["expires_at"] = self.now + DAY
            case "ended_at is now on each read" if ended:
                shown["ended_at"] = self.now
            case "the results URL is signed anew" if shown["results_url"]:
                shown["results_url"] += f"?signature={self.reads}"
            case "cancelling with two l" if batch.status == "canceling":
                shown["processing_status"] = "cancelling"
            case "a key is missing":
                del counts["expired"]
            case "no JSON":
                return b"<html>502 Bad Gateway</html>"
            case "reading a canceling batch crashes":
                shown["processing_status"] = {"in_progress": "in_progress", "ended": "ended"}[batch.status]
            case _:
                pass
        return json.dumps(shown, default=datetime.isoformat).encode()
