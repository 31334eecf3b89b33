"""
What a batch amounts to: its outcome, its deadlines, how far it is.

Each answer is total: every batch that can be built gets one, also one that breaks a rule (`lifecycle.check` tells).
Time enters as data: a deadline is a time, and whether it has passed is for the caller to see.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

import attrs

from lifecycle.batch import MessageBatch, Phase, ProcessingStatus
from lifecycle.folding import check_type
from lifecycle.rules import CONSTANTS, COUNTS


class OutcomeKind(StrEnum):
    """What came of the requests of a batch."""

    PENDING = "pending"
    """The batch has not ended, so nothing is decided."""
    SUCCEEDED = "succeeded"
    """Every request succeeded."""
    ERRORED = "errored"
    """Every request met an error."""
    CANCELED = "canceled"
    """Every request was canceled before it could be sent."""
    EXPIRED = "expired"
    """Every request was overtaken by the expiry of the batch."""
    PARTIAL = "partial"
    """Some requests succeeded, others did not."""
    FAILED = "failed"
    """No request succeeded, and not all for the same reason."""
    EMPTY = "empty"
    """The batch has no requests. The hosted API refuses to create one (rule B2)."""


_AGAIN = "go into a new batch: as they are, but for the errored ones that `reconcile` says to change; mend those first."

_NEXT: Mapping[OutcomeKind, str] = MappingProxyType(
    {
        OutcomeKind.PENDING: "Poll again until it has ended. Requests that are not finished at `expires_at` expire.",
        OutcomeKind.SUCCEEDED: "Fetch the results.",
        OutcomeKind.ERRORED: f"Fetch the results: each line says what was wrong. The requests {_AGAIN}",
        OutcomeKind.CANCELED: "Nothing was sent. What is still wanted goes into a new batch, as it is.",
        OutcomeKind.EXPIRED: "No request was finished in time. What is still wanted goes into a new batch, as it is.",
        OutcomeKind.PARTIAL: f"Fetch the results and keep what succeeded. Only the other requests {_AGAIN}",
        OutcomeKind.FAILED: "Fetch the results: they tell the errored requests from the canceled and expired ones."
        f" All of them {_AGAIN}",
        OutcomeKind.EMPTY: "Nothing is to be done. See to it that whoever creates batches does not create empty ones.",
    }
)
_GONE = (
    "The results are gone from the server: work with the copy that was kept. Without one, what is still wanted goes"
    " into a new batch."
)
_TAKES_RESULTS = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.ERRORED, OutcomeKind.PARTIAL, OutcomeKind.FAILED})


@attrs.frozen
class Outcome:
    """What a batch amounts to."""

    kind: OutcomeKind
    """What came of its requests."""
    results_available: bool
    """Whether the server still has results: true from the end on, until the batch is archived or deleted."""

    def __str__(self) -> str:
        return self.kind

    @property
    def next_step(self) -> str:
        """What its owner should do, for people."""
        if self.kind in _TAKES_RESULTS and not self.results_available:
            return _GONE
        return _NEXT[self.kind]


@attrs.frozen
class Deadlines:
    """Until when what is possible. Both are known from the moment of creation."""

    expires_at: datetime
    """Requests that are not finished by then expire, and the batch ends. UTC."""
    results_until: datetime
    """Results are promised until then: 29 days after creation (rule B15), if nobody deletes the batch. UTC."""


def outcome(batch: MessageBatch) -> Outcome:
    """
    Say what a batch amounts to.

    The word is read from the status and the counts, never from a time: a batch that was canceled after 5 of its 20
    requests had succeeded is ``partial``.

    Args:
        batch: The batch, in any phase. One that breaks a rule gets an answer, too; check it before you trust that.

    Returns:
        ``pending`` until the batch has ended. Then the name of the count that all requests are in; ``partial`` if some
        succeeded, ``failed`` if none did, ``empty`` if there are no requests.

    Raises:
        TypeError: *batch* is no batch.
    """
    check_type("batch", batch, MessageBatch)
    if batch.processing_status is not ProcessingStatus.ENDED:
        return Outcome(OutcomeKind.PENDING, results_available=False)
    return Outcome(_kind(batch), results_available=batch.phase is Phase.ENDED)


def _kind(batch: MessageBatch) -> OutcomeKind:
    counts = batch.request_counts
    # `processing` is 0 by rule B5. Where a server says otherwise, those requests count as ones that did not succeed.
    found = [name for name in COUNTS if getattr(counts, name) > 0]
    match found:
        case []:
            return OutcomeKind.EMPTY
        case [name] if name != "processing":
            return OutcomeKind(name)
        case _:
            return OutcomeKind.PARTIAL if counts.succeeded > 0 else OutcomeKind.FAILED


def deadlines(batch: MessageBatch) -> Deadlines:
    """
    Say until when what is possible.

    Args:
        batch: The batch, in any phase.

    Returns:
        When it expires, and until when its results are promised: 29 days after creation, or the last moment that a
        datetime can hold. Both stay the same for all its life (rule T2).

    Raises:
        TypeError: *batch* is no batch.
    """
    check_type("batch", batch, MessageBatch)
    try:
        results_until = batch.created_at + CONSTANTS["RESULTS_LIFETIME"]
    except OverflowError:
        results_until = datetime.max.replace(tzinfo=UTC)
    return Deadlines(batch.expires_at, results_until)


def progress(batch: MessageBatch) -> float:
    """
    Say how far a batch is.

    It never runs back in a legal life: before the end `processing` never grows (rule T5), and the size never changes
    (T3).  The hosted API moves the counts only when the batch ends (B7); there it is 0.0 until it is 1.0.

    Args:
        batch: The batch, in any phase.

    Returns:
        The share of its requests that are finished, 0.0 to 1.0; 1.0 for every batch that has ended.

    Raises:
        TypeError: *batch* is no batch.
    """
    check_type("batch", batch, MessageBatch)
    if batch.processing_status is ProcessingStatus.ENDED:
        return 1.0
    size = batch.size
    finished = min(max(size - batch.request_counts.processing, 0), size)
    return finished / size if size > 0 else 0.0
