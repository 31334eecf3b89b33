"""The bodies that the live API sent, made from the rows of ``data/recorded_batches.csv`` (see ``data/README.md``)."""

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("data") / "recorded_batches.csv"
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def rows() -> Iterator[dict[str, str]]:
    """The rows as they stand."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _body(row: dict[str, str]) -> bytes:
    url = f"https://api.anthropic.com/v1/messages/batches/{row['batch']}/results"
    body: dict[str, Any] = {
        "id": row["batch"],
        "type": "message_batch",
        "processing_status": row["processing_status"],
        "request_counts": {name: int(row[name]) for name in _COUNTS},
        "ended_at": row["ended_at"] or None,
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "archived_at": row["archived_at"] or None,
        "cancel_initiated_at": row["cancel_initiated_at"] or None,
        "results_url": url if row["results_url"] == "yes" else None,
    }
    if row["archived_at"] == "absent":
        del body["archived_at"]
    return json.dumps(body, separators=(",", ":")).encode()


@cache
def bodies() -> tuple[bytes, ...]:
    """Every different body, in the order of the rows, as the bytes that were recorded: compact, the keys in order."""
    return tuple(dict.fromkeys(map(_body, rows())))


@cache
def polls() -> dict[str, list[tuple[str, bytes]]]:
    """Every answer about each batch, in order, repeats too: when it was seen, if the recording says, and its body."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for row in rows():
        found.setdefault(row["batch"], []).append((row["observed_at"], _body(row)))
    return found
