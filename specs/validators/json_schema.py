"""
The JSON Schemas alone as a validator: ``lifecycle conform vectors -- python specs/validators/json_schema.py``.

They know one snapshot or one line, and nothing of what came before.  Needs ``jsonschema-rs``.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs

FILES = (Path(__file__).parents[1] / "schemas").glob("*.json")
REGISTRY = jsonschema_rs.Registry([(path.name, json.loads(path.read_text())) for path in FILES])
SNAPSHOT, RECORD = (
    jsonschema_rs.Draft202012Validator({"$ref": name}, registry=REGISTRY, validate_formats=True)
    for name in ("snapshot.json", "record.json")
)


def read(given: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(given["base64"]) if "base64" in given else given["text"])


def verdict(kind: str, given: dict[str, Any]) -> str:
    try:
        match kind:
            case "snapshot":
                valid = SNAPSHOT.is_valid(given["batch"])
            case "wire":
                valid = SNAPSHOT.is_valid(read(given))
            case "line":
                valid = RECORD.is_valid(read(given))
            case _:
                return "unsupported"
    except (ValueError, RecursionError):
        return "invalid"
    return "valid" if valid else "invalid"


for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "verdict": verdict(question["kind"], question["input"])}), flush=True)
