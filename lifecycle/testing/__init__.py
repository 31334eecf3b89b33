"""
For users' tests: strategies for Hypothesis, and what is built on them. Needs the extra ``testing``.

Everything here works without pytest.
"""

from lifecycle.testing.covering import Covered, covered
from lifecycle.testing.faults import broken_logs, broken_pairs, broken_snapshots, broken_streams, broken_wire
from lifecycle.testing.laws import check_idempotent_handler, check_projection, check_validator
from lifecycle.testing.model import Refused, Service, model_machine
from lifecycle.testing.scenario import given
from lifecycle.testing.strategies import (
    batches,
    commands,
    event_streams,
    events,
    logs,
    poll_sequences,
    request_counts,
    snapshots,
    wire_batches,
)

__all__ = [
    "Covered",
    "Refused",
    "Service",
    "batches",
    "broken_logs",
    "broken_pairs",
    "broken_snapshots",
    "broken_streams",
    "broken_wire",
    "check_idempotent_handler",
    "check_projection",
    "check_validator",
    "commands",
    "covered",
    "event_streams",
    "events",
    "given",
    "logs",
    "model_machine",
    "poll_sequences",
    "request_counts",
    "snapshots",
    "wire_batches",
]
