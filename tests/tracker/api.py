"""
The Batches API in memory: an ASGI application that answers as the documents say.

What it answers (status, error type, headers, order of pages) was written from the API reference, the guide to batch
processing and the recordings, as they are gathered in ``specs/lifecycle.md`` and in the docstrings here.  Its batches
live by the clock that it is given: each follows a `Course`, and a request to cancel changes it.  What may follow what
is left to `lifecycle.decide`, which also knows the status and the type of each refusal.

    api = BatchesAPI(clock=lambda: datetime.now(UTC))
    client = anthropic.AsyncAnthropic(api_key=api.key, http_client=httpx.AsyncClient(transport=ASGITransport(api)))
"""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import attrs

import lifecycle as lc
from lifecycle import wire

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OUTCOMES = ("succeeded", "errored", "canceled", "expired")
EXPIRY = timedelta(hours=24)
"""The SDK: "24 hours after creation"."""
ARCHIVAL = timedelta(days=29)
"""The guide: results are available for 29 days after creation."""
CANCELING = timedelta(seconds=1.2)
"""How long canceling takes: 0.9 to 1.6 seconds in the recordings."""
MAX_REQUESTS = 100_000
MAX_BODY = 256 << 20


@attrs.frozen
class Course:
    """What becomes of a batch, if nobody interferes."""

    lasts: timedelta = timedelta(minutes=2)
    """From its creation to its end; from 24 hours on it expires."""
    outcomes: Mapping[str, str] = attrs.field(factory=dict)
    """What becomes of a request, by its custom id; of all others: ``succeeded``."""
    live: bool = False
    """Whether the counts move before the end, as some gateways have it. The hosted API does not."""


@attrs.define
class _Batch:
    """A batch as the server has it: requests are dealt with in their order, evenly over the course."""

    custom_ids: Sequence[str]
    course: Course
    batch: lc.MessageBatch

    def apply(self, command: lc.Command) -> None:
        """Do it, or raise `CommandRejected`."""
        self.batch = lc.fold(lc.decide(self.batch, command, profile=lc.LAWS), start=self.batch)

    def done_at(self, now: datetime) -> int:
        """How many requests have been dealt with."""
        share = (now - self.batch.created_at) / self.course.lasts
        return min(int(share * len(self.custom_ids)), len(self.custom_ids))

    def outcome(self, place: int) -> str:
        """What becomes of a request, if it is dealt with before the batch is canceled or expires."""
        return self.course.outcomes.get(self.custom_ids[place], "succeeded")

    def results(self) -> list[tuple[str, str]]:
        """What became of each request of an ended batch."""
        ended = self.batch
        stopped = ended.cancel_initiated_at or ended.expires_at
        rest = "expired" if ended.cancel_initiated_at is None else "canceled"
        done = self.done_at(min(stopped, self.batch.created_at + self.course.lasts))
        return [
            (custom_id, self.outcome(place) if place < done else rest)
            for place, custom_id in enumerate(self.custom_ids)
        ]

    def live(self, now: datetime, results_url: str) -> None:
        """Let time pass."""
        batch = self.batch
        end = min(batch.created_at + self.course.lasts, batch.expires_at)
        if batch.cancel_initiated_at is not None:
            end = min(end, batch.cancel_initiated_at + CANCELING)
        if batch.ended_at is None and now >= end:
            counts = _counts(0, (outcome for _, outcome in self.results()))
            self.apply(lc.End(end, counts, results_url))
        elif batch.ended_at is None and self.course.live:
            done = self.done_at(min(now, batch.cancel_initiated_at or now))
            self.apply(lc.RecordProgress(_counts(len(self.custom_ids) - done, map(self.outcome, range(done)))))
        batch = self.batch
        if batch.ended_at is not None and batch.archived_at is None and now >= batch.created_at + ARCHIVAL:
            self.apply(lc.Archive(max(batch.created_at + ARCHIVAL, batch.ended_at)))


def _counts(processing: int, outcomes: Iterable[str]) -> lc.RequestCounts:
    found = Counter(outcomes)
    return lc.RequestCounts(processing, *(found[name] for name in OUTCOMES))


class Refusal(Exception):
    """An answer that is an error: the envelope of the documents, with a status."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def _unknown(what: str) -> Refusal:
    return Refusal(404, "not_found_error", f"{what} was not found")


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request_error", message)


class BatchesAPI:
    """
    The application.

    Args:
        clock: Gives the time, aware.
        course: What becomes of a batch, by its id.
        base_url: Where it is served: `results_url` begins with it.
        key: The key that it accepts.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        course: Callable[[str], Course] = lambda _: Course(),
        base_url: str = "https://api.anthropic.com",
        key: str = "sk-ant-a-key-for-tests",
    ) -> None:
        self.key = key
        self._clock = clock
        self._course = course
        self._base_url = base_url
        self._batches: dict[str, _Batch] = {}
        self._numbers = count(1)
        self._requests = count(1)

    # ------------------------------------------------------------------------------------------- for the tests

    def create(self, custom_ids: Sequence[str]) -> lc.MessageBatch:
        """Create a batch."""
        batch_id = f"msgbatch_{next(self._numbers):04}"
        now = self._clock()
        batch = lc.fold(lc.decide(None, lc.Create(batch_id, now, now + EXPIRY, len(custom_ids))))
        self._batches[batch_id] = _Batch(custom_ids, self._course(batch_id), batch)
        return batch

    def batch(self, batch_id: str) -> lc.MessageBatch:
        """The batch as it is now. `Refusal`: there is none."""
        return self._find(batch_id).batch

    def cancel(self, batch_id: str) -> lc.MessageBatch:
        """Cancel a batch, or refuse it."""
        found = self._find(batch_id)
        found.apply(lc.Cancel(self._clock()))
        return found.batch

    def delete(self, batch_id: str) -> None:
        """Delete a batch, or refuse it."""
        self._find(batch_id).apply(lc.Delete(self._clock()))
        del self._batches[batch_id]

    def _find(self, batch_id: str) -> _Batch:
        try:
            found = self._batches[batch_id]
        except KeyError:
            raise _unknown(f"batch {batch_id}") from None
        found.live(self._clock(), f"{self._base_url}/v1/messages/batches/{batch_id}/results")
        return found

    # ------------------------------------------------------------------------------------------------- answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served, not {scope['type']}")
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        request_id = f"req_{next(self._requests):06}"
        headers: dict[str, str] = {}
        try:
            status, content = 200, self._answer(scope, body, headers)
        except lc.CommandRejected as refused:
            assert refused.http_status is not None
            kind = refused.error_type or "invalid_request_error"
            status, content = refused.http_status, [_envelope(kind, refused.reason, request_id)]
        except Refusal as refused:
            status, content = refused.status, [_envelope(refused.kind, str(refused), request_id)]
        headers = {"content-type": "application/json", "request-id": request_id} | headers
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        for part in content:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer(self, scope: Scope, body: bytes, headers: dict[str, str]) -> list[bytes]:
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        # The SDK sends the key as `x-api-key` up to 0.x, as a bearer token from 2.0 on.
        if self.key not in {given.get("x-api-key"), given.get("authorization", "").removeprefix("Bearer ")}:
            raise Refusal(401, "authentication_error", "invalid x-api-key")
        prefix, *words = scope["path"].rstrip("/").removeprefix("/v1/messages/").split("/")
        if prefix != "batches" or len(words) > 2:
            raise _unknown(scope["path"])
        match scope["method"], words:
            case "POST", []:
                return [wire.encode_batch(self.create(_custom_ids(body)))]
            case "GET", []:
                return [self._page(parse_qs(scope["query_string"].decode()))]
            case "GET", [batch_id]:
                batch = self.batch(batch_id)
                if batch.ended_at is None:
                    headers["retry-after"] = "10"  # 102 of 102 recordings, none once ended
                return [wire.encode_batch(batch)]
            case "DELETE", [batch_id]:
                self.delete(batch_id)
                return [json.dumps({"id": batch_id, "type": "message_batch_deleted"}).encode()]
            case "POST", [batch_id, "cancel"]:
                return [wire.encode_batch(self.cancel(batch_id))]
            case "GET", [batch_id, "results"]:
                found = self._find(batch_id)
                if found.batch.ended_at is None or found.batch.archived_at is not None:
                    raise Refusal(404, "not_found_error", f"batch {batch_id} has no available results")
                headers["content-type"] = "application/x-jsonl"
                return [result_line(*each) for each in found.results()]
            case _:
                raise Refusal(405, "invalid_request_error", "method not allowed")

    def _page(self, query: Mapping[str, Sequence[str]]) -> bytes:
        """
        A page of batches, newest first.

        ``limit`` is 1 to 1000, by default 20; ``after_id`` asks for the page after, ``before_id`` for the page
        immediately before.
        """
        limit = query.get("limit", ["20"])[-1]
        if not re.fullmatch("[0-9]{1,4}", limit) or not 1 <= int(limit) <= 1000:
            raise _invalid("limit: expected 1 to 1000")
        ids = list(reversed(self._batches))
        for name in "after_id", "before_id":
            if name not in query:
                continue
            if query[name][-1] not in ids:
                raise _invalid(f"{name}: unknown")
            place = ids.index(query[name][-1])
            ids = ids[place + 1 :] if name == "after_id" else ids[:place]
        shown = ids[-int(limit) :] if "before_id" in query else ids[: int(limit)]
        return json.dumps(
            {
                "data": [wire.unstructure_batch(self.batch(batch_id)) for batch_id in shown],
                "has_more": len(shown) < len(ids),
                "first_id": shown[0] if shown else None,
                "last_id": shown[-1] if shown else None,
            }
        ).encode()


def _envelope(kind: str, message: str, request_id: str) -> bytes:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    return json.dumps(body).encode()


def _custom_ids(body: bytes) -> list[str]:
    """The ids of the requests that are to be created."""
    if len(body) > MAX_BODY:
        raise Refusal(413, "request_too_large", "over 256 MB")
    try:
        found = [request["custom_id"] for request in json.loads(body)["requests"]]
    except (ValueError, LookupError, TypeError):
        raise _invalid("requests: expected a list of requests with a custom_id") from None
    if not found:
        raise _invalid("requests: at least one is needed")
    if len(found) > MAX_REQUESTS:
        raise Refusal(413, "request_too_large", "over 100,000 requests")
    if not all(isinstance(each, str) and re.fullmatch("[a-zA-Z0-9_-]{1,64}", each) for each in found):
        raise _invalid("custom_id: expected ^[a-zA-Z0-9_-]{1,64}$")
    if len(set(found)) < len(found):
        raise _invalid("custom_id: expected different ones")
    return found


def result_line(custom_id: str, outcome: str) -> bytes:
    result: dict[str, Any] = {"type": outcome}
    if outcome == "succeeded":
        result["message"] = {
            "id": f"msg_{custom_id}",
            "type": "message",
            "role": "assistant",
            "model": "claude-for-tests",
            "content": [{"type": "text", "text": f"the answer to {custom_id}"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    elif outcome == "errored":
        error = {"type": "invalid_request_error", "message": "of no use"}
        result["error"] = {"type": "error", "error": error, "request_id": None}
    return json.dumps({"custom_id": custom_id, "result": result}).encode() + b"\n"
