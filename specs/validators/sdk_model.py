"""
The official SDK's own model as a validator: ``lifecycle conform vectors -- python specs/validators/sdk_model.py``.

Its client builds the model without validating it; here it is asked to validate, which is more than users get.
Needs ``anthropic``.
"""

import base64
import json
import sys
from typing import Any

from anthropic.types.messages import MessageBatch
from pydantic import ValidationError


def verdict(kind: str, given: dict[str, Any]) -> str:
    """What the model says; it knows snapshots and bodies."""
    try:
        match kind:
            case "snapshot":
                MessageBatch.model_validate(given["batch"])
            case "wire":
                text = base64.b64decode(given["base64"]) if "base64" in given else given["text"]
                MessageBatch.model_validate_json(text)
            case _:
                return "unsupported"
    except ValidationError:
        return "invalid"
    return "valid"


for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "verdict": verdict(question["kind"], question["input"])}), flush=True)
