"""
From snapshots to events: what a server shows now and then, turned into the facts that led there.

A poll may skip phases, repeat the one before, or come late.  A snapshot is *later* if events lead from what is known to
it, *stale* if events lead from it to what is known; anything else is a contradiction.  Which events there must have
been is said here; whether they can have been is for `fold` to say, with the rules that hold for every event.
"""

from collections.abc import Iterator

import attrs

from lifecycle.batch import MessageBatch, ProcessingStatus
from lifecycle.errors import IllegalTransition, RuleBroken, SnapshotConflict
from lifecycle.events import Archived, CancelInitiated, CountsUpdated, Created, Deleted, Ended, Event
from lifecycle.folding import check_type, fold
from lifecycle.fusing import is_clean, violations
from lifecycle.rules import LAWS, RULES, Profile, Scope, Violation


def observe(before: MessageBatch | None, snapshot: MessageBatch, *, profile: Profile = LAWS) -> tuple[Event, ...]:
    """
    Say which events a snapshot tells of.

    `results_url` has no event of its own: `Ended` and `Archived` carry the snapshot's, and a difference in it alone
    gives ``()`` unless rule T7 forbids it.  So, up to such a difference, ``fold(observe(before, snapshot),
    start=before) == snapshot`` for every later snapshot, observing it again gives ``()``, and polls may come in any
    order and any number of times.  What is `extra` is not carried.  `Deleted` is never inferred: it takes a snapshot
    that itself has a `deleted_at`, and the wire has none.

    Args:
        before: The batch as it is known, from its events; None if nothing is. Taken as it is: what it already breaks
            is not held against the snapshot.
        snapshot: The batch as a server showed it.
        profile: Which rules count. Advice is never raised.

    Returns:
        The shortest events that lead from *before* to *snapshot*; ``()`` if they are equal, or the snapshot is stale.
        `CancelInitiated` stands before `CountsUpdated`, and there is no `CountsUpdated` beside `Ended`.

    Raises:
        SnapshotConflict: The snapshot itself breaks a law or contract rule of the profile, or no events lead from
            either of the two to the other. `violations` say why. Nothing changed.
        TypeError: *before* or *snapshot* is no batch, or *profile* no profile.
    """
    check_type("snapshot", snapshot, MessageBatch)
    check_type("profile", profile, Profile)
    if not is_clean[profile.enforced](snapshot):
        raise SnapshotConflict(before, snapshot, violations(profile.enforced, snapshot))
    if before is None:
        created = Created(snapshot.id, snapshot.created_at, snapshot.expires_at, snapshot.size)
        return created, *_events(fold([created], profile=profile), snapshot, profile)
    check_type("before", before, MessageBatch)
    if before == snapshot:
        return ()
    broken = _broken_on_the_way(before, snapshot, profile)
    if not broken:
        return tuple(_events(before, snapshot, profile))
    broken_back = _broken_on_the_way(snapshot, before, profile)
    if not broken_back:
        return ()
    raise SnapshotConflict(before, snapshot, broken, broken_back)


def _events(start: MessageBatch, goal: MessageBatch, profile: Profile) -> Iterator[Event]:
    """The events without which *goal* cannot follow *start*, in the order of a life; each sets what differs."""
    running = start.processing_status is ProcessingStatus.IN_PROGRESS
    if goal.cancel_initiated_at is not None and (
        start.cancel_initiated_at != goal.cancel_initiated_at
        or (running and goal.processing_status is ProcessingStatus.CANCELING)
    ):
        yield CancelInitiated(goal.cancel_initiated_at)
    counts = goal.request_counts
    if counts.extra:
        counts = attrs.evolve(counts, extra={})
    if goal.ended_at is not None and (
        start.ended_at != goal.ended_at or start.processing_status is not goal.processing_status
    ):
        results_url = goal.results_url
        if start.results_url is not None and RULES["T7"].tier in profile.enforced:
            results_url = start.results_url  # it stayed the same, at least until the batch was archived
        yield Ended(goal.ended_at, counts, results_url)
    elif start.request_counts != counts:
        yield CountsUpdated(counts)
    if start.archived_at is None and goal.archived_at is not None:
        yield Archived(goal.archived_at, goal.results_url)
    if start.deleted_at is None and goal.deleted_at is not None:
        yield Deleted(goal.deleted_at)


def _broken_on_the_way(start: MessageBatch, goal: MessageBatch, profile: Profile) -> tuple[Violation, ...]:
    """Why no events lead from *start* to *goal*, but for `results_url`; ``()`` if some do."""
    # First what no event can do: change an id, take a time back, or a URL that T7 holds fast.
    broken = tuple(found for found in violations(profile.enforced, goal, start) if found.rule.scope is Scope.STEP)
    if broken:
        return broken
    try:
        reached = fold(_events(start, goal, profile), start=start, profile=profile)
    except RuleBroken as error:
        return error.violations
    except IllegalTransition as error:
        # Only from a batch that breaks a law, such as a canceling one whose `cancel_initiated_at` is yet to come.
        rule = RULES["T1"]
        message = f"{rule.sentence[:-1]}, but {error.event.tag} has no arrow from {error.phase}"
        return (Violation(rule, message),)
    # What no events lead to for another reason breaks a law itself, as a server's first snapshot may.
    return () if _same(reached, goal) else violations(profile.enforced, goal)


def _same(one: MessageBatch, other: MessageBatch) -> bool:
    """Whether two batches are equal but for `results_url`."""
    return one == other or attrs.evolve(one, results_url=other.results_url) == other
