"""
For users' tests: strategies for Hypothesis, and what is built on them. Needs the extra ``testing``.

Everything here works without pytest.
"""

try:
    import hypothesis  # noqa: F401 -- before all that stands on it
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "lifecycle.testing needs its extra: "
        f"pip install 'lifecycle[testing]' (in a checkout: pip install '.[testing]'); {error}",
        name=error.name,
    ) from None

from lifecycle.conformance import Mark, Vector, vectors
from lifecycle.testing.covering import Covered, covered
from lifecycle.testing.faults import (
    WIRE_PATHS,
    broken_logs,
    broken_pairs,
    broken_snapshots,
    broken_streams,
    broken_wire,
)
from lifecycle.testing.laws import check_idempotent_handler, check_projection, check_validator
from lifecycle.testing.model import Refused, Service, model_machine
from lifecycle.testing.scenario import given
from lifecycle.testing.stores import PROMISES, check_store, check_upcasting
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

__all__ = [  # noqa: RUF022 -- sorted as `sorted` sorts
    "Covered",
    "Mark",
    "PROMISES",
    "Refused",
    "Service",
    "Vector",
    "WIRE_PATHS",
    "batches",
    "broken_logs",
    "broken_pairs",
    "broken_snapshots",
    "broken_streams",
    "broken_wire",
    "check_idempotent_handler",
    "check_projection",
    "check_store",
    "check_upcasting",
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
    "vectors",
    "wire_batches",
]
