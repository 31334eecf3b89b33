"""
For users' tests: strategies for Hypothesis, and what is built on them. Needs the extra ``testing``.

Everything here works without pytest.
"""

from lifecycle.testing.faults import broken_logs, broken_pairs, broken_snapshots, broken_streams, broken_wire
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
    "batches",
    "broken_logs",
    "broken_pairs",
    "broken_snapshots",
    "broken_streams",
    "broken_wire",
    "commands",
    "event_streams",
    "events",
    "logs",
    "poll_sequences",
    "request_counts",
    "snapshots",
    "wire_batches",
]
