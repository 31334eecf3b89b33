"""
The package against the second opinion in ``oracle``.

Every state of small batches, every event in it; every rule, broken alone; any log. Times are numbers of
microseconds in the oracle and datetimes in the package; this module translates, field by field, and never asks
the package whether two of its batches are equal.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any

import pytest

import lifecycle as lc
from tests import oracle
from tests.oracle import (
    ADVICE,
    CONTRACT,
    DAY,
    HOUR,
    LAW,
    PHASES,
    PROFILES,
    TAGS,
    Counts,
    Event,
    Record,
    State,
)

RULE_IDS = {
    *("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13", "B14", "B15", "B16"),
    *("T1", "T2", "T3", "T4", "T5", "T6", "T7"),
    *("L1", "L2", "L3", "L4"),
}
NAMES = sorted(PROFILES)
THEIRS = {"LAWS": lc.LAWS, "HOSTED": lc.HOSTED}
EPOCH = datetime(2025, 1, 29, 14, 24, 59, 570697, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
NIGHTLY, BRIEF = PROFILE == "nightly", PROFILE == "brief"
# Requests in a batch, at most.
LARGEST = 2 if BRIEF else 4
LARGEST_IN_PAIRS = 1 if BRIEF else 2
# Up to this size every content of an event meets every time and URL; above, times and URLs take turns.
THOROUGH_UP_TO = 4 if NIGHTLY else 0 if BRIEF else 1
EFFORT = 10 if NIGHTLY else 1

Tell = Callable[[str, object], None]
"""`record_property`, which takes what was "tried" to the end of the report."""

# --- translation --------------------------------------------------------------------------------------------


@cache
def to_time(at: int) -> datetime:
    return EPOCH + at * MICROSECOND


@cache
def from_time(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def maybe_time(at: int | None) -> datetime | None:
    return None if at is None else to_time(at)


def maybe_from(at: datetime | None) -> int | None:
    return None if at is None else from_time(at)


@cache
def to_counts(counts: Counts) -> lc.RequestCounts:
    return lc.RequestCounts(*counts)


def to_batch(state: State) -> lc.MessageBatch:
    return lc.MessageBatch(
        id=state.id,
        processing_status=lc.ProcessingStatus(state.status),
        request_counts=to_counts(state.counts),
        created_at=to_time(state.created),
        expires_at=to_time(state.expires),
        ended_at=maybe_time(state.ended),
        archived_at=maybe_time(state.archived),
        cancel_initiated_at=maybe_time(state.cancel),
        results_url=state.url,
        deleted_at=maybe_time(state.deleted),
        **({"extra": {"total": 3}} if state.extra else {}),
    )


def maybe_batch(state: State | None) -> lc.MessageBatch | None:
    return None if state is None else to_batch(state)


def from_batch(batch: lc.MessageBatch) -> State:
    counts = batch.request_counts
    return State(
        id=batch.id,
        status=batch.processing_status.value,
        counts=(counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired),
        created=from_time(batch.created_at),
        expires=from_time(batch.expires_at),
        ended=maybe_from(batch.ended_at),
        archived=maybe_from(batch.archived_at),
        cancel=maybe_from(batch.cancel_initiated_at),
        url=batch.results_url,
        deleted=maybe_from(batch.deleted_at),
        extra=bool(batch.extra or counts.extra),
    )


def maybe_state(batch: lc.MessageBatch | None) -> State | None:
    return None if batch is None else from_batch(batch)


@cache
def to_event(event: Event) -> lc.Event:
    at = to_time(event.at)
    match event.tag:
        case "created":
            return lc.Created(id=event.id, created_at=at, expires_at=to_time(event.expires), request_count=event.size)
        case "counts_updated":
            return lc.CountsUpdated(request_counts=to_counts(event.counts))
        case "cancel_initiated":
            return lc.CancelInitiated(cancel_initiated_at=at)
        case "ended":
            return lc.Ended(ended_at=at, request_counts=to_counts(event.counts), results_url=event.url)
        case "archived":
            return lc.Archived(archived_at=at, results_url=event.url)
        case "deleted":
            return lc.Deleted(deleted_at=at)
    raise AssertionError(event)


@cache
def to_command(event: Event) -> lc.Command:
    """The command that asks for an event."""
    at = to_time(event.at)
    match event.tag:
        case "created":
            return lc.Create(id=event.id, created_at=at, expires_at=to_time(event.expires), request_count=event.size)
        case "counts_updated":
            return lc.RecordProgress(request_counts=to_counts(event.counts))
        case "cancel_initiated":
            return lc.Cancel(at=at)
        case "ended":
            return lc.End(at=at, request_counts=to_counts(event.counts), results_url=event.url)
        case "archived":
            return lc.Archive(at=at, results_url=event.url)
        case "deleted":
            return lc.Delete(at=at)
    raise AssertionError(event)


def to_records(records: Iterable[Record]) -> list[lc.Record]:
    """Each record with a recording time of its own, which is no part of its content."""
    return [
        lc.Record(
            batch_id=r.batch_id,
            version=r.version,
            event=to_event(r.event),
            event_id=r.event_id,
            recorded_at=to_time(index),
        )
        for index, r in enumerate(records)
    ]


def ids(violations: Iterable[lc.Violation]) -> list[str]:
    return [violation.rule.id for violation in violations]


def in_order(rules: Iterable[str]) -> list[str]:
    return sorted(rules, key=oracle.ORDER.index)


Outcome = tuple[State | None, list[str]]


def theirs(batch: lc.MessageBatch | None, event: lc.Event, profile: lc.Profile) -> Outcome:
    """What the package makes of an event: a state, or the rules that refuse it."""
    try:
        after = lc.evolve(batch, event, profile=profile)
    except lc.IllegalTransition:
        return None, ["T1"]
    except lc.RuleBroken as error:
        broken = ids(error.violations)
        assert "T1" not in broken
        return None, broken
    return from_batch(after), []


def ours(state: State | None, event: Event, profile: oracle.Profile) -> Outcome:
    after, broken = oracle.step(state, event, profile)
    return after, in_order(broken)


# --- every state of a small batch, and every event in it ----------------------------------------------------


@cache
def splits(total: int, parts: int) -> list[tuple[int, ...]]:
    """All ways to write *total* as a sum of *parts* numbers from 0."""
    if parts == 1:
        return [(total,)] if total >= 0 else []
    return [(first, *rest) for first in range(total + 1) for rest in splits(total - first, parts - 1)]


@cache
def vectors(size: int) -> list[Counts]:
    """Counts with the right total, with one too few or too many, and with one of them negative."""
    found: list[Any] = [v for total in (size - 1, size, size + 1) for v in splits(total, 5)]
    for index, v in enumerate(splits(size + 1, 4)):
        places = range(5) if size <= THOROUGH_UP_TO else [index % 5]
        found += [(*v[:place], -1, *v[place:]) for place in places]
    found.append((-1, -1, -1, -1, -1))
    return found


URLS = (None, "u", "v")


@cache
def ends(size: int, prev: int, expires: int) -> list[Event]:
    moments = sorted({prev - 1, prev, expires, expires + 1})
    combinations = list(product(moments, URLS))
    events: list[Event] = []
    for index, counts in enumerate(vectors(size)):
        if size <= THOROUGH_UP_TO:
            chosen = combinations
        elif sum(counts) == size and counts[0] == 0 and min(counts) >= 0:
            # The batch can end with these: at every time.
            chosen = [(at, URLS[(index + turn) % 3]) for turn, at in enumerate(moments)]
        else:
            chosen = [combinations[index % len(combinations)]]
        events += [oracle.ended(at, counts, url) for at, url in chosen]
    return events


@cache
def any_events(size: int) -> list[Event]:
    """A few events of each kind, for where the kind alone decides."""
    done = (0, size, 0, 0, 0)
    return [
        oracle.created("msgbatch_a", 0, DAY, size),
        oracle.created("msgbatch_b", 5, DAY, size + 1),
        oracle.counts_updated((size, 0, 0, 0, 0)),
        oracle.counts_updated((-1, 0, 0, 0, 0)),
        oracle.cancel_initiated(0),
        oracle.ended(DAY, done, "u"),
        oracle.ended(-1, (1, 1, 1, 1, 1)),
        oracle.archived(30 * DAY, "u"),
        oracle.deleted(31 * DAY),
    ]


def all_events(state: State | None, size: int) -> list[Event]:
    """Every event in a state: a kind with an arrow in all its contents, another kind in a few."""
    where = oracle.phase(state)
    tags = oracle.allowed(where)
    events = [event for event in any_events(size) if event.tag not in tags]
    if state is None:
        lifetimes = (DAY - 1, DAY, DAY + 1, 0, -1)
        sizes = (-1, 0, size, size + 1, 100_000, 100_001)
        return events + [oracle.created("msgbatch_a", 0, e, n) for e, n in product(lifetimes, sizes)]
    prev = max(t for t in (state.created, state.cancel, state.ended, state.archived) if t is not None)
    if "counts_updated" in tags:
        events += [oracle.counts_updated(counts) for counts in vectors(size)]
    if "cancel_initiated" in tags:
        times = (prev - 1, prev, prev + 1) if size <= max(THOROUGH_UP_TO, 2) else (prev - 1, prev + 1)
        events += [oracle.cancel_initiated(at) for at in times]
    if "ended" in tags:
        events += ends(size, prev, state.expires)
    if "archived" in tags:
        moments = (prev - 1, prev, 29 * DAY - 1, 29 * DAY)
        turns = [(at, URLS[turn % 3]) for turn, at in enumerate(moments)]
        chosen = product(moments, URLS) if size <= max(THOROUGH_UP_TO, 2) else turns
        events += [oracle.archived(at, url) for at, url in chosen]
    if "deleted" in tags:
        times = (prev - 1, prev, prev + 1) if size <= THOROUGH_UP_TO else (prev - 1, prev)
        events += [oracle.deleted(at) for at in (state.created - 1, *times)]
    return events


def roots(size: int, profile: oracle.Profile) -> list[State]:
    """The batches of a size that can be created, some with a lifetime a little off where the profile lets them."""
    lifetimes = (DAY, DAY - 1) if size <= THOROUGH_UP_TO else (DAY,)
    made = (oracle.step(None, oracle.created("msgbatch_a", 0, e, size), profile)[0] for e in lifetimes)
    return [state for state in made if state is not None]


def disagree(state: object, event: object, name: str, got: object, expected: object) -> str:
    return f"\nprofile  {name}\nbefore   {state}\nevent    {event}\npackage  {got}\noracle   {expected}"


REFUSED = {
    "LAWS": {"B1", "B5", "B11", "T1", "T3", "T5"},
    "HOSTED": {"B1", "B2", "B3", "B5", "B7", "B9", "B11", "T1", "T3", "T5"},
}
"""What must have been refused on the way, so that a walk which tries nothing cannot pass."""


@pytest.mark.parametrize("size", range(LARGEST + 1))
@pytest.mark.parametrize("name", NAMES)
def test_every_event_in_every_reachable_state_has_the_oracle_s_outcome(
    name: str, size: int, record_property: Tell
) -> None:
    profile, their_profile = PROFILES[name], THEIRS[name]
    seen: dict[State, None] = {}
    phases: set[str | None] = set()
    arrows: set[tuple[str | None, str]] = set()
    refused: set[str] = set()
    tried = 0

    def visit(state: State | None, batch: lc.MessageBatch | None) -> None:
        nonlocal tried
        for event in all_events(state, size):
            got, expected = theirs(batch, to_event(event), their_profile), ours(state, event, profile)
            assert got == expected, disagree(state, event, name, got, expected)
            after, rules = expected
            tried += 1
            refused.update(rules)
            if after is not None:
                arrows.add((oracle.phase(state), event.tag))
                if state is not None and after not in seen:
                    seen[after] = None
                    waiting.append(after)

    waiting = roots(size, profile)
    seen.update(dict.fromkeys(waiting))
    visit(None, None)
    while waiting:
        state = waiting.pop()
        phases.add(oracle.phase(state))
        batch = to_batch(state)
        visit(state, batch)
        # A refused call changes nothing, and neither does an accepted one.
        assert from_batch(batch) == state
        assert batch.phase.value == oracle.phase(state)
        for other in NAMES:
            found = ids(lc.check(batch, profile=THEIRS[other]))
            expected = in_order(oracle.check(state, PROFILES[other]))
            assert found == expected, disagree(state, "check", other, found, expected)

    record_property("tried", f"oracle: {name}, {size} requests: {len(seen):,} states, {tried:,} events")
    if size or name == "LAWS":
        assert phases == set(PHASES) - {None}
        assert arrows == set(oracle.ARROWS)
        assert REFUSED[name] - ({"T5"} if not size else set()) <= refused
    else:
        assert not seen


# --- check over pairs ---------------------------------------------------------------------------------------


def thin_events(state: State) -> list[Event]:
    """One or two contents of each kind: enough states to pair, few enough to pair all."""
    size = sum(state.counts)
    prev = max(t for t in (state.created, state.cancel, state.ended, state.archived) if t is not None)
    vectors: list[Any] = splits(size, 5)
    events = [oracle.counts_updated(counts) for counts in vectors]
    events += [oracle.cancel_initiated(1)]
    events += [oracle.ended(prev + 3, counts, url) for counts, url in product(vectors, (None, "u"))]
    events += [oracle.archived(29 * DAY, "u"), oracle.deleted(30 * DAY)]
    return events


@cache
def paths(size: int) -> dict[State, tuple[Event, ...]]:
    """States of a batch under LAWS, each with events that lead to it."""
    first = oracle.created("msgbatch_a", 0, DAY, size)
    root = oracle.apply(None, first)
    found: dict[State, tuple[Event, ...]] = {root: (first,)}
    waiting = [root]
    for state in waiting:
        tags = oracle.allowed(oracle.phase(state))
        for event in thin_events(state):
            after = oracle.step(state, event, oracle.LAWS)[0] if event.tag in tags else None
            if after is not None and after not in found:
                found[after] = (*found[state], event)
                waiting.append(after)
    return found


@cache
def states_of(size: int) -> list[State]:
    return list(paths(size))


@pytest.mark.parametrize("size", range(LARGEST_IN_PAIRS + 1))
def test_check_of_every_pair_of_states_is_the_oracle_s(size: int, record_property: Tell) -> None:
    states = [(state, to_batch(state)) for state in paths(size)]
    broken: set[str] = set()
    for (before, batch_before), (after, batch_after) in product(states, states):
        expected = oracle.check(after, oracle.HOSTED, before)
        found = ids(lc.check(batch_after, before=batch_before, profile=lc.HOSTED))
        assert found == in_order(expected), disagree(before, after, "HOSTED", found, in_order(expected))
        broken |= expected
    record_property("tried", f"oracle: {size} requests: {len(states):,} states, each after each")
    assert {"T1", "T4", "T7"} <= broken
    if size:
        assert {"T5", "T6"} <= broken


SOME_TIMES = (None, None, -1, 0, HOUR, DAY - 1, DAY, DAY + 1, 29 * DAY - 1, 29 * DAY, 30 * DAY)


def with_time(state: State, field: str, at: int | None) -> State:
    times: dict[str, Any] = {field: at}
    return state._replace(**times)


def change(rng: random.Random, state: State, fields: Sequence[str]) -> State:
    """A state with the named fields as they come, possible or not."""
    size = sum(state.counts)
    for field in fields:
        match field:
            case "id":
                state = state._replace(id=rng.choice(("msgbatch_a", "msgbatch_b")))
            case "status":
                state = state._replace(status=rng.choice(("in_progress", "canceling", "ended")))
            case "counts":
                state = state._replace(counts=rng.choice(vectors(rng.choice((size, size, max(size - 1, 0))))))
            case "created":
                state = state._replace(created=rng.choice((-1, 0, 1)))
            case "expires":
                state = state._replace(expires=state.created + rng.choice((DAY - 1, DAY, DAY, DAY + 1)))
            case "url":
                state = state._replace(url=rng.choice(URLS))
            case "extra":
                state = state._replace(extra=rng.random() < 0.5)
            case "ended" | "archived" | "cancel" | "deleted":
                state = with_time(state, field, rng.choice(SOME_TIMES))
            case _:
                raise AssertionError(field)
    return state


def any_state(rng: random.Random, size: int) -> State:
    """A reachable state with up to four of its fields changed."""
    state = rng.choice(states_of(size))
    return change(rng, state, rng.sample(State._fields, rng.choice((0, 1, 1, 2, 2, 3, 4))))


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_check_of_sampled_pairs_is_the_oracle_s(size: int) -> None:
    rng = random.Random(size)
    broken: set[str] = set()
    alone: set[str] = set()
    for _ in range(3_000 * EFFORT):
        before = any_state(rng, size)
        if rng.random() < 0.5:
            after = change(rng, before, rng.sample(State._fields, rng.choice((0, 1, 1, 2, 3))))
        else:
            after = any_state(rng, size if rng.random() < 0.9 else rng.randrange(LARGEST + 1))
        for name in NAMES:
            expected = in_order(oracle.check(after, PROFILES[name], before))
            found = ids(lc.check(to_batch(after), before=to_batch(before), profile=THEIRS[name]))
            assert found == expected, disagree(before, after, name, found, expected)
            broken.update(expected)
            if len(expected) == 1:
                alone.update(expected)
    assert broken == RULE_IDS - {"L1", "L2", "L3", "L4"}
    # Rules were also seen by themselves, so that none hides behind another.
    assert {"B1", "B11", "T2", "T4"} <= alone


# --- batches that were broken before ------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_an_event_answers_only_for_what_it_newly_breaks(size: int, record_property: Tell) -> None:
    rng = random.Random(100 + size)
    went_on = dict.fromkeys(NAMES, 0)
    refused: dict[str, set[str]] = {name: set() for name in NAMES}
    tried = 0
    fields = [field for field in State._fields if field != "extra"]
    for _ in range(350 * EFFORT):
        state = rng.choice((states_of(size)[0], rng.choice(states_of(size)), rng.choice(states_of(size))))
        state = change(rng, state, rng.sample(fields, rng.choice((1, 2, 3, 4))))
        batch = to_batch(state)
        known = [t for t in (state.cancel, state.ended, state.archived, state.deleted) if t is not None]
        moments = [*known, *(known or [0]), -1, 0, HOUR, DAY + 1, 29 * DAY, 31 * DAY]
        total = sum(state.counts)
        some = [state.counts, *rng.choices(vectors(max(total, 0)), k=10)]
        events = [event for event in any_events(size) if event.tag == "created"]
        events += [oracle.counts_updated(counts) for counts in some]
        events += [oracle.cancel_initiated(at) for at in rng.choices(moments, k=4)]
        events += [oracle.ended(rng.choice(moments), counts, rng.choice(URLS)) for counts in some * 2]
        events += [oracle.archived(at, rng.choice(URLS)) for at in rng.choices(moments, k=4)]
        events += [oracle.deleted(at) for at in rng.choices(moments, k=4)]
        for event, name in product(events, NAMES):
            got, expected = theirs(batch, to_event(event), THEIRS[name]), ours(state, event, PROFILES[name])
            assert got == expected, disagree(state, event, name, got, expected)
            tried += 1
            after, rules = expected
            refused[name].update(rules)
            went_on[name] += after is not None and bool(oracle.check(after, PROFILES[name]) - ADVICE)
    record_property("tried", f"oracle: {size} requests: {tried:,} events on broken batches")
    assert min(went_on.values()) > 50
    # From a broken batch an event can break more than from a sound one: T4 and T7.
    assert refused["LAWS"] == {"B1", "B5", "B11", "T1", "T3", "T4", "T5"}
    assert refused["LAWS"] | {"B7", "B9", "T7"} <= refused["HOSTED"]


# --- every phase, every event -------------------------------------------------------------------------------

CREATED = oracle.created("msgbatch_a", 0, DAY, 3)
STREAMS: dict[str | None, tuple[Event, ...]] = {
    None: (),
    "in_progress": (CREATED,),
    "canceling": (CREATED, oracle.cancel_initiated(HOUR)),
    "ended": (CREATED, oracle.cancel_initiated(HOUR), oracle.ended(2 * HOUR, (0, 1, 1, 1, 0), "u")),
    "archived": (CREATED, oracle.ended(2 * HOUR, (0, 2, 1, 0, 0), "u"), oracle.archived(29 * DAY)),
    "deleted": (CREATED, oracle.ended(2 * HOUR, (0, 2, 1, 0, 0), "u"), oracle.deleted(3 * HOUR)),
}
"""For each phase, events that lead to it."""

FITTING: dict[tuple[str | None, str], Event] = {
    (where, tag): event
    for where, tag in product(PHASES, TAGS)
    for event in [
        {
            "created": CREATED,
            "counts_updated": oracle.counts_updated((3, 0, 0, 0, 0)),
            "cancel_initiated": oracle.cancel_initiated(HOUR),
            "ended": oracle.ended(2 * HOUR, (0, 3, 0, 0, 0), "u"),
            "archived": oracle.archived(29 * DAY, "u"),
            "deleted": oracle.deleted(30 * DAY),
        }[tag]
    ]
}
"""For each phase and tag, an event that is fine wherever it has an arrow."""


def state_of(events: Iterable[Event]) -> State | None:
    state: State | None = None
    for event in events:
        state, broken = oracle.step(state, event, oracle.HOSTED)
        assert not broken
    return state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("where", "tag"), list(product(PHASES, TAGS)))
class TestEveryPhaseAndEvent:
    def test_evolve_refuses_exactly_the_pairs_without_an_arrow(self, where: str | None, tag: str, name: str) -> None:
        state, event = state_of(STREAMS[where]), FITTING[where, tag]
        batch, their_event = maybe_batch(state), to_event(event)
        if (where, tag) in oracle.ARROWS:
            after = lc.evolve(batch, their_event, profile=THEIRS[name])
            assert after.phase.value == oracle.ARROWS[where, tag]
            assert from_batch(after) == oracle.apply(state, event)
            return
        with pytest.raises(lc.IllegalTransition) as caught:
            lc.evolve(batch, their_event, profile=THEIRS[name])
        error = caught.value
        assert error.phase == (None if where is None else lc.Phase(where))
        assert set(error.allowed) == oracle.allowed(where)
        assert len(error.allowed) == len(oracle.allowed(where))
        assert error.before is batch
        assert error.event is their_event
        assert error.version is None

    def test_fold_says_at_which_event(self, where: str | None, tag: str, name: str) -> None:
        stream = [to_event(event) for event in STREAMS[where]]
        event = to_event(FITTING[where, tag])
        if (where, tag) in oracle.ARROWS:
            assert lc.fold([*stream, event], profile=THEIRS[name]).phase.value == oracle.ARROWS[where, tag]
            return
        with pytest.raises(lc.IllegalTransition) as caught:
            lc.fold([*stream, event], profile=THEIRS[name])
        assert caught.value.version == len(stream) + 1
        assert set(caught.value.allowed) == oracle.allowed(where)
        assert caught.value.before == maybe_batch(state_of(STREAMS[where]))

    def test_fold_counts_from_what_it_was_given_to_start_with(self, where: str | None, tag: str, name: str) -> None:
        state, event = state_of(STREAMS[where]), to_event(FITTING[where, tag])
        if (where, tag) in oracle.ARROWS:
            after = lc.fold([event], start=maybe_batch(state), profile=THEIRS[name])
            assert after.phase.value == oracle.ARROWS[where, tag]
            return
        with pytest.raises(lc.IllegalTransition) as caught:
            lc.fold([event], start=maybe_batch(state), profile=THEIRS[name])
        assert caught.value.version == 1


def test_the_table_is_the_arrows_of_the_rulebook() -> None:
    assert {(p and p.value, tag): after.value for (p, tag), after in lc.TRANSITIONS.items()} == oracle.ARROWS


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_fold_of_every_path_is_the_oracle_s_state(size: int) -> None:
    for state, events in paths(size).items():
        their_events = [to_event(event) for event in events]
        assert from_batch(lc.fold(their_events)) == state
        assert from_batch(lc.fold(iter(their_events))) == state
        for cut in range(1, len(events)):
            start = lc.fold(their_events[:cut])
            assert from_batch(lc.fold(their_events[cut:], start=start)) == state


Stop = tuple[int | None, list[str], State | None]
"""Where a fold stops, by which rules, and the batch before; without a place, the batch that it comes to."""


def our_fold(events: Sequence[Event], profile: oracle.Profile) -> Stop:
    state: State | None = None
    for place, event in enumerate(events, start=1):
        after, broken = oracle.step(state, event, profile)
        if after is None:
            return place, in_order(broken), state
        state = after
    return None, [], state


def their_fold(events: Sequence[Event], profile: lc.Profile) -> Stop:
    try:
        batch = lc.fold(map(to_event, events), profile=profile)
    except lc.RuleBroken as error:
        return error.version, ids(error.violations), maybe_state(error.before)
    except lc.IllegalTransition as error:
        return error.version, ["T1"], maybe_state(error.before)
    return None, [], from_batch(batch)


@pytest.mark.parametrize("size", range(4))
def test_fold_stops_where_the_oracle_stops(size: int) -> None:
    """A path with a bad event somewhere: the same rules, at the same place."""
    rng = random.Random(200 + size)
    root = states_of(size)[0]
    streams = list(paths(size).values())
    strays = [*any_events(size), *thin_events(root), *all_events(root, size)]
    places: set[int | None] = set()
    for name in NAMES:
        for _ in range(500 * EFFORT):
            events = list(rng.choice(streams))
            at = rng.randrange(len(events) + 1)
            events[at : at + rng.randrange(2)] = [rng.choice(strays)]
            expected = our_fold(events, PROFILES[name])
            assert their_fold(events, THEIRS[name]) == expected, (name, events)
            places.add(expected[0])
    assert {None, 1, 2, 3} <= places


# --- commands -----------------------------------------------------------------------------------------------


def asked(state: State | None, size: int) -> Iterator[Event]:
    """Things to ask of a batch: what it has, what it could have next, what it cannot have."""
    yield from any_events(size)
    sizes = (-1, 0, size, size + 1)
    yield from (oracle.created("msgbatch_a", 0, e, n) for e, n in product((DAY, DAY + 1), sizes))
    yield oracle.created("msgbatch_b", 0, DAY, size)
    if state is None:
        return
    yield from thin_events(state)
    yield from (oracle.counts_updated(counts) for counts in vectors(size)[::7])
    yield from (oracle.ended(DAY, counts, "u") for counts in vectors(size)[::7])
    yield from (oracle.cancel_initiated(at) for at in (-1, HOUR))
    yield from (oracle.ended(at, state.counts, state.url) for at in (-1, DAY))
    yield from (oracle.archived(at, state.url) for at in (-1, 29 * DAY))
    yield from (oracle.deleted(at) for at in (-1, 30 * DAY))


def settled(state: State | None, event: Event) -> bool:
    """
    Whether the documents say what comes of asking.

    They are silent where only the results URL differs from what an ended or archived batch has. Of the
    cancellation of a cancelled batch that has ended they say both that it is refused and that it is no news.
    """
    if state is None or state.status != "ended":
        return True
    if event.tag == "cancel_initiated":
        return state.cancel is None
    if event.tag == "ended":
        return event.counts != state.counts or event.url == state.url
    return event.tag != "archived" or state.archived is None or event.url == state.url


@pytest.mark.parametrize("size", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_decide_is_what_the_oracle_decides(name: str, size: int) -> None:
    came_to = {"nothing": 0, "an event": 0, "refused": 0}
    for state in [None, *paths(size)]:
        batch = maybe_batch(state)
        for event in asked(state, size):
            if not settled(state, event):
                continue
            expected = oracle.decide(state, event, PROFILES[name])
            got: tuple[lc.Event, ...] | None
            try:
                got = tuple(lc.decide(batch, to_command(event), profile=THEIRS[name]))
            except lc.CommandRejected:
                got = None
            wanted = expected if expected is None else tuple(to_event(e) for e in expected)
            assert got == wanted, disagree(state, f"asked for {event}", name, got, expected)
            came_to["refused" if got is None else "an event" if got else "nothing"] += 1
    assert min(came_to.values()) > 10


# --- every rule, broken alone -------------------------------------------------------------------------------

RUNNING = State("msgbatch_a", "in_progress", (3, 0, 0, 0, 0), created=0, expires=DAY)
CANCELING = RUNNING._replace(status="canceling", cancel=HOUR)
ENDED = RUNNING._replace(status="ended", counts=(0, 2, 1, 0, 0), ended=2 * HOUR, url="u")
ARCHIVED = ENDED._replace(archived=29 * DAY)
DELETED = ARCHIVED._replace(deleted=30 * DAY)


@pytest.mark.parametrize("state", [RUNNING, CANCELING, ENDED, ARCHIVED, DELETED], ids=oracle.phase)
def test_the_batches_that_the_cases_are_made_from_break_nothing(state: State) -> None:
    assert lc.check(to_batch(state), profile=lc.HOSTED) == ()
    assert lc.check(to_batch(state), before=to_batch(state), profile=lc.HOSTED) == ()


def check_breaks_only(rule: str, state: State, before: State | None = None) -> None:
    batch, batch_before = to_batch(state), maybe_batch(before)
    assert ids(lc.check(batch, before=batch_before, profile=lc.HOSTED)) == [rule]
    assert ids(lc.check(batch, before=batch_before)) == ([rule] if rule in LAW else [])
    assert oracle.check(state, oracle.HOSTED, before) == {rule}


def event_breaks_only(rule: str, state: State | None, event: Event, *, name: str = "HOSTED") -> None:
    batch = maybe_batch(state)
    with pytest.raises(lc.RuleBroken) as caught:
        lc.evolve(batch, to_event(event), profile=THEIRS[name])
    assert ids(caught.value.violations) == [rule]
    assert caught.value.before is batch
    assert caught.value.version is None
    assert oracle.step(state, event, PROFILES[name]) == (None, frozenset({rule}))
    if rule not in LAW:
        assert from_batch(lc.evolve(batch, to_event(event))) == oracle.apply(state, event)


def log_breaks_only(rule: str, records: list[Record], version: int) -> lc.Finding:
    """One finding in the whole log, under either profile; returns it."""
    findings = [f for name in NAMES for f in lc.replay(to_records(records), profile=THEIRS[name]).findings]
    assert [(f.batch_id, f.version, f.rule.id) for f in findings] == [("msgbatch_a", version, rule)] * 2
    return findings[0]


def numbered(*events: Event, batch_id: str = "msgbatch_a") -> list[Record]:
    return [Record(batch_id, v, event, f"{batch_id}/{v}") for v, event in enumerate(events, start=1)]


class TestB1:
    """Every count is 0 or more."""

    @pytest.mark.parametrize("counts", [(0, -1, 4, 0, 0), (0, 4, -1, 0, 0), (0, 4, 0, -1, 0), (0, 4, 0, 0, -1)])
    def test_in_a_batch(self, counts: Counts) -> None:
        check_breaks_only("B1", ENDED._replace(counts=counts))

    def test_by_an_event(self) -> None:
        event_breaks_only("B1", None, oracle.created("msgbatch_a", 0, DAY, -1), name="LAWS")


class TestB2:
    """The total is 1 to 100,000."""

    @pytest.mark.parametrize("total", [0, 100_001])
    def test_broken(self, total: int) -> None:
        check_breaks_only("B2", RUNNING._replace(counts=(total, 0, 0, 0, 0)))
        check_breaks_only("B2", ENDED._replace(counts=(0, total, 0, 0, 0)))
        event_breaks_only("B2", None, oracle.created("msgbatch_a", 0, DAY, total))

    @pytest.mark.parametrize("total", [1, 100_000])
    def test_just_kept(self, total: int) -> None:
        assert lc.check(to_batch(RUNNING._replace(counts=(total, 0, 0, 0, 0))), profile=lc.HOSTED) == ()


class TestB3:
    """`expires_at` is exactly 24 hours after `created_at`."""

    @pytest.mark.parametrize("lifetime", [DAY - 1, DAY + 1, 0, -DAY, 30 * DAY])
    def test_broken(self, lifetime: int) -> None:
        check_breaks_only("B3", RUNNING._replace(expires=lifetime))
        event_breaks_only("B3", None, oracle.created("msgbatch_a", 0, lifetime, 3))


class TestB4:
    """`ended` if and only if `ended_at` is set."""

    @pytest.mark.parametrize(
        "state",
        [ENDED._replace(ended=None), RUNNING._replace(ended=HOUR), CANCELING._replace(ended=2 * HOUR)],
    )
    def test_broken(self, state: State) -> None:
        check_breaks_only("B4", state)


class TestB5:
    """`ended` means `processing` is 0."""

    def test_broken(self) -> None:
        check_breaks_only("B5", ENDED._replace(counts=(1, 2, 0, 0, 0)))
        event_breaks_only("B5", RUNNING, oracle.ended(HOUR, (1, 2, 0, 0, 0), "u"))


class TestB6:
    """`canceling` means `cancel_initiated_at` is set; `in_progress` means it is null."""

    @pytest.mark.parametrize("state", [CANCELING._replace(cancel=None), RUNNING._replace(cancel=HOUR)])
    def test_broken(self, state: State) -> None:
        check_breaks_only("B6", state)

    def test_says_nothing_of_an_ended_batch(self) -> None:
        assert lc.check(to_batch(ENDED._replace(cancel=HOUR)), profile=lc.HOSTED) == ()


class TestB7:
    """Before `ended`, succeeded, errored, canceled and expired are all 0."""

    @pytest.mark.parametrize("counts", [(2, 1, 0, 0, 0), (2, 0, 1, 0, 0), (2, 0, 0, 1, 0), (2, 0, 0, 0, 1)])
    def test_broken(self, counts: Counts) -> None:
        check_breaks_only("B7", CANCELING._replace(counts=counts))
        event_breaks_only("B7", CANCELING, oracle.counts_updated(counts))
        if not counts[3]:
            check_breaks_only("B7", RUNNING._replace(counts=counts))
            event_breaks_only("B7", RUNNING, oracle.counts_updated(counts))


class TestB8:
    """Before `ended`, `results_url` is null."""

    @pytest.mark.parametrize("state", [RUNNING, CANCELING], ids=oracle.phase)
    def test_broken(self, state: State) -> None:
        check_breaks_only("B8", state._replace(url="u"))


class TestB9:
    """`canceled` > 0 means `cancel_initiated_at` is set."""

    def test_broken(self) -> None:
        check_breaks_only("B9", ENDED._replace(counts=(0, 2, 0, 1, 0)))
        event_breaks_only("B9", RUNNING, oracle.ended(HOUR, (0, 2, 0, 1, 0), "u"))

    def test_a_cancellation_may_cancel_nothing(self) -> None:
        assert lc.check(to_batch(ENDED._replace(cancel=HOUR)), profile=lc.HOSTED) == ()


class TestB10:
    """`archived_at` and `deleted_at` are set only on an ended batch."""

    @pytest.mark.parametrize("state", [RUNNING, CANCELING], ids=oracle.phase)
    @pytest.mark.parametrize("field", ["archived", "deleted"])
    def test_broken(self, state: State, field: str) -> None:
        check_breaks_only("B10", with_time(state, field, 29 * DAY))


class TestB11:
    """`created_at` <= `cancel_initiated_at` <= `ended_at` <= `archived_at` <= `deleted_at`, where set."""

    @pytest.mark.parametrize(
        "state",
        [
            CANCELING._replace(cancel=-1),
            ENDED._replace(ended=-1),
            ENDED._replace(cancel=2 * HOUR + 1),
            ENDED._replace(cancel=-1),
            ENDED._replace(deleted=2 * HOUR - 1),
            ENDED._replace(counts=(0, 2, 0, 0, 1), ended=30 * DAY, archived=30 * DAY - 1),
            ARCHIVED._replace(cancel=29 * DAY + 1, ended=DAY),
            ARCHIVED._replace(deleted=29 * DAY - 1),
        ],
    )
    def test_in_a_batch(self, state: State) -> None:
        check_breaks_only("B11", state)

    @pytest.mark.parametrize(
        "state",
        [
            ENDED._replace(cancel=3 * HOUR, ended=None, deleted=HOUR),
            ENDED._replace(cancel=30 * DAY, ended=None, archived=29 * DAY),
            ENDED._replace(ended=None, deleted=-1),
        ],
    )
    def test_across_a_time_that_is_not_set(self, state: State) -> None:
        assert ids(lc.check(to_batch(state), profile=lc.HOSTED)) == ["B4", "B11"]

    @pytest.mark.parametrize(
        ("state", "event"),
        [
            (RUNNING, oracle.cancel_initiated(-1)),
            (RUNNING, oracle.ended(-1, (0, 3, 0, 0, 0), "u")),
            (CANCELING, oracle.ended(HOUR - 1, (0, 3, 0, 0, 0), "u")),
            (ENDED, oracle.archived(2 * HOUR - 1)),
            (ENDED, oracle.deleted(2 * HOUR - 1)),
            (ARCHIVED, oracle.deleted(29 * DAY - 1)),
        ],
    )
    def test_by_an_event(self, state: State, event: Event) -> None:
        event_breaks_only("B11", state, event)

    def test_equal_times_are_in_order(self) -> None:
        state = State("a", "ended", (0, 1, 0, 0, 0), 0, 0, ended=0, archived=0, cancel=0, deleted=0, url="u")
        assert lc.check(to_batch(state)) == ()


class TestB12:
    """`expired` > 0 means `ended_at` is not before `expires_at`."""

    def test_broken(self) -> None:
        check_breaks_only("B12", ENDED._replace(counts=(0, 2, 0, 0, 1), ended=DAY - 1))

    def test_just_kept(self) -> None:
        state = ENDED._replace(counts=(0, 2, 0, 0, 1), ended=DAY)
        assert lc.check(to_batch(state), profile=lc.HOSTED) == ()


class TestB13:
    """`ended_at` after `expires_at` with `expired` = 0."""

    def test_broken(self) -> None:
        check_breaks_only("B13", ENDED._replace(ended=DAY + 1))

    def test_just_kept(self) -> None:
        assert lc.check(to_batch(ENDED._replace(ended=DAY)), profile=lc.HOSTED) == ()


class TestB14:
    """An ended batch that is not archived has a `results_url`."""

    def test_broken(self) -> None:
        check_breaks_only("B14", ENDED._replace(url=None))

    def test_says_nothing_of_an_archived_batch(self) -> None:
        assert lc.check(to_batch(ARCHIVED._replace(url=None)), profile=lc.HOSTED) == ()


class TestB15:
    """`archived_at` is not before 29 days after `created_at`."""

    def test_broken(self) -> None:
        check_breaks_only("B15", ARCHIVED._replace(archived=29 * DAY - 1))


class TestB16:
    """A snapshot has no key beyond the documented ones (`request_counts` too)."""

    def test_in_the_batch(self) -> None:
        check_breaks_only("B16", RUNNING._replace(extra=True))

    def test_in_the_counts(self) -> None:
        batch = lc.MessageBatch(
            id="msgbatch_a",
            processing_status=lc.ProcessingStatus("in_progress"),
            request_counts=lc.RequestCounts(3, extra={"total": 3}),
            created_at=to_time(0),
            expires_at=to_time(DAY),
        )
        assert ids(lc.check(batch, profile=lc.HOSTED)) == ["B16"]
        assert lc.check(batch) == ()


ADVISED = [
    (RUNNING, oracle.ended(DAY - 1, (0, 2, 0, 0, 1), "u"), "B12"),
    (RUNNING, oracle.ended(DAY + 1, (0, 2, 1, 0, 0), "u"), "B13"),
    (RUNNING, oracle.ended(HOUR, (0, 2, 1, 0, 0)), "B14"),
    (ENDED, oracle.archived(29 * DAY - 1), "B15"),
]


@pytest.mark.parametrize(("state", "event", "rule"), ADVISED)
def test_advice_never_refuses_an_event(state: State, event: Event, rule: str) -> None:
    after = lc.evolve(to_batch(state), to_event(event), profile=lc.HOSTED)
    assert ids(lc.check(after, profile=lc.HOSTED)) == [rule]


class TestT1:
    """Only the arrows."""

    def test_by_an_event(self) -> None:
        with pytest.raises(lc.IllegalTransition):
            lc.evolve(to_batch(ENDED), to_event(oracle.cancel_initiated(HOUR)))

    def test_from_one_state_to_another(self) -> None:
        # What was before is taken as it is, so that nothing but the way back is left to object to.
        check_breaks_only("T1", RUNNING, before=CANCELING._replace(cancel=None))
        check_breaks_only("T1", RUNNING, before=ENDED._replace(counts=RUNNING.counts, ended=None, url=None))

    def test_in_a_log(self) -> None:
        cancel = oracle.cancel_initiated(HOUR)
        finding = log_breaks_only("T1", numbered(CREATED, cancel, cancel), 3)
        assert finding.phase == lc.Phase("canceling")
        assert set(finding.allowed) == {"counts_updated", "ended"}


class TestT2:
    """`id`, `created_at` and `expires_at` never change."""

    def test_broken(self) -> None:
        check_breaks_only("T2", RUNNING._replace(id="msgbatch_b"), before=RUNNING)
        check_breaks_only("T2", RUNNING, before=RUNNING._replace(created=1))
        check_breaks_only("T2", RUNNING, before=RUNNING._replace(expires=DAY + 1))


class TestT3:
    """The sum of the counts never changes."""

    @pytest.mark.parametrize("counts", [(0, 2, 0, 0, 0), (0, 4, 0, 0, 0)])
    def test_broken(self, counts: Counts) -> None:
        check_breaks_only("T3", ENDED._replace(counts=counts), before=RUNNING)
        event_breaks_only("T3", RUNNING, oracle.ended(HOUR, counts, "u"))


class TestT4:
    """
    Set once.

    `cancel_initiated_at`, `ended_at`, `archived_at`, `deleted_at` are set once and never change or vanish.
    """

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (CANCELING, CANCELING._replace(cancel=HOUR + 1)),
            (CANCELING, ENDED),
            (ENDED, ENDED._replace(ended=HOUR)),
            (ENDED._replace(cancel=HOUR), ENDED),
            (ARCHIVED, ARCHIVED._replace(archived=30 * DAY)),
            (DELETED, DELETED._replace(deleted=31 * DAY)),
            (DELETED, DELETED._replace(archived=None)),
        ],
    )
    def test_from_one_state_to_another(self, before: State, after: State) -> None:
        check_breaks_only("T4", after, before=before)

    def test_by_an_event(self) -> None:
        event_breaks_only("T4", RUNNING._replace(cancel=0), oracle.cancel_initiated(HOUR))
        event_breaks_only("T4", RUNNING._replace(ended=0), oracle.ended(HOUR, (0, 3, 0, 0, 0), "u"))


class TestT5:
    """Before the end, `processing` never grows and the four outcome counts never shrink."""

    def test_broken(self) -> None:
        before = CANCELING._replace(counts=(1, 1, 0, 1, 0))
        check_breaks_only("T5", CANCELING, before=before)
        check_breaks_only("T5", ENDED._replace(cancel=HOUR, counts=(0, 3, 0, 0, 0)), before=before)
        event_breaks_only("T5", before, oracle.counts_updated((2, 1, 0, 0, 0)))
        event_breaks_only("T5", before, oracle.counts_updated((1, 0, 1, 1, 0)))
        event_breaks_only("T5", before, oracle.ended(2 * HOUR, (0, 3, 0, 0, 0), "u"))


class TestT6:
    """Once ended, the counts never change."""

    def test_broken(self) -> None:
        check_breaks_only("T6", ENDED._replace(counts=(0, 1, 2, 0, 0)), before=ENDED)
        check_breaks_only("T6", ARCHIVED._replace(counts=(0, 3, 0, 0, 0)), before=ENDED)


class TestT7:
    """`results_url`, once set, stays the same until the batch is archived."""

    def test_from_one_state_to_another(self) -> None:
        check_breaks_only("T7", ENDED._replace(url="v"), before=ENDED)

    def test_by_an_event(self) -> None:
        event_breaks_only("T7", RUNNING._replace(url="u"), oracle.ended(HOUR, (0, 3, 0, 0, 0), "v"))

    def test_archiving_sets_it_free(self) -> None:
        for url in URLS:
            after = to_batch(ARCHIVED._replace(url=url))
            assert lc.check(after, before=to_batch(ENDED), profile=lc.HOSTED) == ()
            assert lc.check(after, before=to_batch(ARCHIVED), profile=lc.HOSTED) == ()


END = oracle.ended(2 * HOUR, (0, 2, 1, 0, 0), "u")


class TestL1:
    """A stream starts with `Created`, and has one only."""

    def test_it_starts_with_another(self) -> None:
        log_breaks_only("L1", [Record("msgbatch_a", 1, END, "x"), *numbered(CREATED, END)], 1)

    def test_it_has_two(self) -> None:
        log_breaks_only("L1", numbered(CREATED, CREATED), 2)
        log_breaks_only("L1", numbered(CREATED, END, CREATED), 3)


class TestL2:
    """Every event of a stream names that stream's batch."""

    def test_broken(self) -> None:
        other = oracle.created("msgbatch_b", 0, DAY, 3)
        log_breaks_only("L2", numbered(other), 1)
        # The one that was refused does not count as seen.
        log_breaks_only("L2", [*numbered(other), *numbered(CREATED, END)], 1)


class TestL3:
    """Versions in a stream are 1, 2, 3 …: no gap, no repeat, no step back."""

    def test_a_gap(self) -> None:
        log_breaks_only("L3", [*numbered(CREATED), Record("msgbatch_a", 3, END, "x")], 3)

    def test_a_gap_at_the_start(self) -> None:
        log_breaks_only("L3", [Record("msgbatch_a", 2, CREATED, "x"), Record("msgbatch_a", 3, END, "y")], 2)

    def test_a_repeat(self) -> None:
        log_breaks_only("L3", [*numbered(CREATED, END), Record("msgbatch_a", 2, END, "x")], 2)

    def test_a_step_back(self) -> None:
        log_breaks_only("L3", [*numbered(CREATED, END), Record("msgbatch_a", 1, CREATED, "x")], 1)


class TestL4:
    """An event id occurs once: with the same content it is a harmless repeat, with other content an error."""

    def test_other_content(self) -> None:
        records = numbered(CREATED, END)
        log_breaks_only("L4", [*records, records[1]._replace(event=oracle.deleted(DAY))], 2)
        log_breaks_only("L4", [*records, records[1]._replace(version=1)], 1)

    def test_a_harmless_repeat(self) -> None:
        records = numbered(CREATED, END)
        report = lc.replay(to_records([*records, *records, records[0]]), profile=lc.HOSTED)
        assert tuple(report.findings) == ()
        assert report.events == 5
        assert report.streams == 1


def test_every_rule_has_a_class_here_that_breaks_it_alone() -> None:
    classes = {name.removeprefix("Test") for name in globals() if re.fullmatch(r"Test[BTL]\d+", name)}
    assert classes == RULE_IDS
    assert set(lc.RULES) == RULE_IDS
    assert list(lc.RULES) == oracle.ORDER


def test_every_rule_has_the_tier_of_the_rulebook() -> None:
    tiers = {"law": LAW, "contract": CONTRACT, "advice": ADVICE}
    for tier, rules in tiers.items():
        assert {id_ for id_, rule in lc.RULES.items() if rule.tier.value == tier} == rules


# --- any log ------------------------------------------------------------------------------------------------


def likely_event(rng: random.Random, state: State | None, batch_id: str) -> Event:
    """An event that often fits."""
    if state is None:
        size = rng.choice((1, 2, 3, 3, 3, 4, 0, -1))
        lifetime = rng.choice((DAY, DAY, DAY, DAY + 1))
        return oracle.created(rng.choice((batch_id,) * 9 + ("other",)), 0, lifetime, size)
    prev = max(t for t in (state.created, state.cancel, state.ended, state.archived) if t is not None)
    tags = sorted(oracle.allowed(oracle.phase(state))) or ["deleted"]
    tag = rng.choice(tags if rng.random() < 0.85 else TAGS)
    at = prev + rng.choice((0, 1, HOUR, HOUR, HOUR, DAY, DAY + 1, -1))
    left, *outcomes = state.counts
    moved = rng.randrange(max(left, 0) + 1)
    if tag == "ended" and rng.random() < 0.9:
        moved = left
    outcomes[rng.choice((0, 0, 0, 1, 2, 3))] += moved
    counts: Any = (left - moved, *outcomes)
    if rng.random() < 0.1:
        counts = rng.choice(vectors(max(sum(state.counts), 0)))
    url = rng.choice(("u", "u", "u", "v", None))
    match tag:
        case "created":
            return oracle.created(batch_id, 0, DAY, sum(state.counts))
        case "counts_updated":
            return oracle.counts_updated(counts)
        case "cancel_initiated":
            return oracle.cancel_initiated(at)
        case "ended":
            return oracle.ended(at, counts, url)
        case "archived":
            return oracle.archived(at if rng.random() < 0.5 else 29 * DAY + at, url)
        case _:
            return oracle.deleted(at)


def some_stream(rng: random.Random, batch_id: str) -> list[Record]:
    """One stream, mostly sound."""
    records: list[Record] = []
    state: State | None = None
    last = 0
    sloppiness = rng.choice((0.0, 0.0, 0.05, 0.3))
    for _ in range(rng.randrange(1, 12)):
        slip = rng.random() < sloppiness
        kind = rng.randrange(7) if slip else None
        if kind == 0 and records:  # Delivered again.
            records.append(rng.choice(records))
            continue
        if kind == 1 and records:  # The same id for something else.
            old = rng.choice(records)
            records.append(old._replace(event=likely_event(rng, state, batch_id)))
            continue
        if kind == 2 and records:  # The same event under another version or another id.
            old = rng.choice(records)
            version = rng.choice((old.version, old.version + 1, max(old.version - 1, 1)))
            records.append(old._replace(version=version, event_id=rng.choice((old.event_id, "fresh"))))
            continue
        if kind == 3:  # Something that belongs to another phase.
            other = rng.choice((None, state, state_of(STREAMS[rng.choice(PHASES)])))
            event = likely_event(rng, other, batch_id)
        else:
            event = likely_event(rng, state, batch_id)
        if not sloppiness and (event.id not in {"", batch_id} or oracle.judge(state, event, oracle.HOSTED)[1]):
            continue
        version = last + 1
        if kind == 4:
            version += rng.choice((1, 1, 2, 5))
        if kind == 5:
            version = rng.randrange(1, version + 1)
        event_id = f"{batch_id}/{version}"
        if kind == 6:
            event_id = rng.choice([f"{batch_id}/again", *(r.event_id for r in records)])
        records.append(Record(batch_id, version, event, event_id))
        after, broken = oracle.step(state, event, oracle.LAWS)
        if not broken:
            state = after
        last = max(last, version)
    return records


def some_log(rng: random.Random) -> list[Record]:
    """Several streams, interleaved, now and then with two neighbours swapped."""
    streams = [some_stream(rng, f"msgbatch_{i}") for i in range(rng.choice((1, 2, 3)))]
    log: list[Record] = []
    while any(streams):
        log.append(rng.choice([s for s in streams if s]).pop(0))
    for at in range(len(log) - 1):
        if rng.random() < 0.02:
            log[at], log[at + 1] = log[at + 1], log[at]
    return log


FOUND_IN_LOGS = {
    "LAWS": {"B1", "B5", "B11", "T1", "T3", "T5", "L1", "L2", "L3", "L4"},
    "HOSTED": {
        *("B1", "B2", "B3", "B5", "B7", "B9", "B11", "B12", "B13", "B14", "B15"),
        *("T1", "T3", "T5", "L1", "L2", "L3", "L4"),
    },
}
"""All that a log can break when no stream is broken to start with."""


@pytest.mark.parametrize("name", NAMES)
def test_replay_of_any_log_finds_what_the_oracle_finds(name: str, record_property: Tell) -> None:
    rng = random.Random(name)
    found: set[str] = set()
    clean = total = repeats = 0
    for turn in range(1_500 * EFFORT):
        log = some_log(rng)
        findings, states = oracle.reduce(log, PROFILES[name])
        records = to_records(log)
        report = lc.replay(records, profile=THEIRS[name])
        expected = [(log[i].batch_id, log[i].version, rule) for i, rule in findings]
        got = [(f.batch_id, f.version, f.rule.id) for f in report.findings]
        assert got == expected, "\n".join(map(str, log))
        assert [f.event for f in report.findings] == [log[i].event.tag for i, _ in findings]
        assert {id_: from_batch(batch) for id_, batch in report.batches.items()} == states
        assert report.events == len(log)
        assert report.streams == len({record.batch_id for record in log})
        if turn % 5 == 0:
            audited = lc.audit(iter(records), profile=THEIRS[name])
            assert [(f.batch_id, f.version, f.rule.id) for f in audited] == expected
        found.update(rule for _, rule in findings)
        clean += not findings
        total += len(log)
        repeats += len(log) - len(set(log))
    record_property("tried", f"oracle: {name}: {turn + 1:,} logs ({clean:,} sound), {total:,} records")
    assert found == FOUND_IN_LOGS[name]
    assert clean > 150
    assert repeats > 150
