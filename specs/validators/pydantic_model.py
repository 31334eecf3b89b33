"""
A pydantic model with the checks that come to mind.

``lifecycle conform vectors -- python specs/validators/pydantic_model.py``

Strict types, no negative count, the times that a status calls for, and from one snapshot to the next the same batch
with the same number of requests.  Needs ``pydantic``.
"""

import base64
import json
import sys
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

Count = Annotated[int, Field(strict=True, ge=0)]
RANK = {"in_progress": 0, "canceling": 1, "ended": 2}


class Counts(BaseModel):
    processing: Count
    succeeded: Count
    errored: Count
    canceled: Count
    expired: Count

    def total(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class Batch(BaseModel):
    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: Counts
    created_at: AwareDatetime
    expires_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    archived_at: AwareDatetime | None = None
    cancel_initiated_at: AwareDatetime | None = None
    results_url: str | None = None

    @model_validator(mode="after")
    def fits_its_status(self) -> "Batch":
        ended = self.processing_status == "ended"
        assert ended == (self.ended_at is not None)
        assert not ended or self.request_counts.processing == 0
        assert self.processing_status != "canceling" or self.cancel_initiated_at is not None
        assert self.expires_at > self.created_at
        times: list[datetime] = [self.created_at]
        times += [time for time in (self.ended_at, self.archived_at) if time is not None]
        assert times == sorted(times)
        return self


def follows(after: Batch, before: Batch) -> bool:
    same = (after.id, after.created_at) == (before.id, before.created_at)
    same &= after.request_counts.total() == before.request_counts.total()
    return same and RANK[after.processing_status] >= RANK[before.processing_status]


def verdict(kind: str, given: dict[str, Any]) -> str:
    try:
        match kind:
            case "snapshot":
                Batch.model_validate(given["batch"])
            case "step":
                before, after = (Batch.model_validate(given[name]) for name in ("before", "after"))
                return "valid" if follows(after, before) else "invalid"
            case "wire":
                text = base64.b64decode(given["base64"]) if "base64" in given else given["text"]
                Batch.model_validate_json(text)
            case _:
                return "unsupported"
    except ValidationError:
        return "invalid"
    return "valid"


for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "verdict": verdict(question["kind"], question["input"])}), flush=True)
