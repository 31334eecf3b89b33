"""
Strategies for values with a single fault, each with its label: the one rule that is broken.

A value is built in full, with the fault in it; nothing is filtered.  Where which rule can break alone:

- a **snapshot** can break each of B1 to B16 alone, judged by ``check(value, profile=HOSTED)``;
- a **pair** can break each of T2 to T7 alone, judged by ``check(after, before=before, profile=HOSTED)``. Not T1: the
  way back along the arrows makes a time vanish (T4), or leaves one where the status forbids it (B4, B6);
- a **log** can break each of L1 to L4 alone, judged by ``audit(records)`` under either profile;
- a **stream** can break alone what an event can break at all, judged by ``fold`` or ``audit`` under the profile that it
  was made for: the keys of `STREAM_FAULTS`. `NOT_IN_STREAMS` says of each other rule why no stream breaks it, or not
  alone.

So every rule of the rulebook has a fault, and only what is in these tables has none.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire
from lifecycle.testing.strategies import (
    ANY,
    DAY,
    HOUR,
    IDS,
    LIFETIME,
    MINUTE,
    OUTCOMES,
    RESULTS_LIFETIME,
    TICK,
    Path,
    counted,
    created_at,
    interleaved,
    is_hosted,
    latest,
    life,
    next_event,
    records,
    snapshots,
    split,
    url_of,
)

T = TypeVar("T")

_Stream = list[lc.Event]

# ------------------------------------------------------------------------------------------------------- primitives

_STEPS = st.sampled_from([MINUTE, TICK, timedelta(seconds=1), HOUR])
"""Never none, and at most the hour that there is room for before the first time and after the last."""
_SMALL = st.integers(2, 9)
_SIZES = st.one_of(_SMALL, st.sampled_from([99_999, 1000]))
"""Sizes that may lose a request or get one more and are legal still (rule B2)."""


def _pick(draw: st.DrawFn, options: Sequence[T]) -> T:
    return options[draw(ANY) % len(options)]


def _some(draw: st.DrawFn, most: int) -> int:
    """Draw a whole number from 1 to *most*."""
    return 1 + draw(ANY) % most


def _created(draw: st.DrawFn, *, room: timedelta = RESULTS_LIFETIME) -> lc.Created:
    """Draw a legal `Created` with requests to spare and some time before it and after."""
    start = created_at(draw, room)
    return lc.Created(draw(IDS), start, start + LIFETIME, draw(_SIZES))


def _batch(draw: st.DrawFn, *tags: str) -> tuple[_Stream, lc.MessageBatch]:
    """Draw a hosted life of these events, that ended by its expiry and none of whose requests expired."""
    events: _Stream = [_created(draw)]
    batch = lc.evolve(None, events[0])
    for tag in tags:
        event: lc.Event
        if tag == "ended":
            event = _end(draw, batch)
        elif tag == "cancel_initiated":
            event = lc.CancelInitiated(batch.created_at + draw(_STEPS))
        else:
            event = next_event(draw, tag, batch, hosted=True)
        events.append(event)
        batch = lc.evolve(batch, event)
    return events, batch


def _end(draw: st.DrawFn, batch: lc.MessageBatch, counts: lc.RequestCounts | None = None) -> lc.Ended:
    """Draw an `Ended` that is legal but for its *counts*: by the expiry, with the usual URL."""
    if counts is None:
        outcomes = ("succeeded", "errored") + (() if batch.cancel_initiated_at is None else ("canceled",))
        counts = counted(0, **split(draw, batch.size, outcomes))
    return lc.Ended(latest(batch) + draw(_STEPS), counts, url_of(batch.id))


def _live(draw: st.DrawFn) -> tuple[_Stream, lc.MessageBatch]:
    """Draw a batch before its end, with all its requests in processing."""
    return _batch(draw, *_pick(draw, [(), ("cancel_initiated",)]))


# ---------------------------------------------------------------------------------------------------------- streams


def _stream_b1(draw: st.DrawFn) -> _Stream:
    if draw(st.booleans()):
        created = _created(draw)
        return [attrs.evolve(created, request_count=-_some(draw, 3))]
    events, batch = _live(draw)
    less = _some(draw, 3)
    return [*events, lc.CountsUpdated(counted(-less, succeeded=batch.size + less))]


def _stream_b2(draw: st.DrawFn) -> _Stream:
    return [attrs.evolve(_created(draw), request_count=draw(st.sampled_from([0, 100_001, wire.LARGEST_NUMBER])))]


def _not_a_day(draw: st.DrawFn, start: datetime) -> datetime:
    """Draw an expiry that rule B3 forbids."""
    lifetimes = [timedelta(0), LIFETIME - TICK, LIFETIME + TICK, LIFETIME - HOUR, LIFETIME + DAY, RESULTS_LIFETIME]
    return start + _pick(draw, lifetimes)


def _stream_b3(draw: st.DrawFn) -> _Stream:
    created = _created(draw)
    return [attrs.evolve(created, expires_at=_not_a_day(draw, created.created_at))]


def _stream_b5(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    rest = _some(draw, batch.size)
    return [*events, _end(draw, batch, counted(rest, succeeded=batch.size - rest))]


def _moving(draw: st.DrawFn, batch: lc.MessageBatch, outcomes: Sequence[str]) -> lc.RequestCounts:
    """Draw counts of *batch* where some requests are done, with one of *outcomes*."""
    done = _some(draw, batch.size)
    return counted(batch.size - done, **{_pick(draw, outcomes): done})


def _stream_b7(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    return [*events, lc.CountsUpdated(_moving(draw, batch, _allowed_outcomes(batch)))]


def _allowed_outcomes(batch: lc.MessageBatch) -> Sequence[str]:
    """The outcomes that rule B9 leaves."""
    return [name for name in OUTCOMES if name != "canceled" or batch.cancel_initiated_at is not None]


def _stream_b9(draw: st.DrawFn) -> _Stream:
    events, batch = _batch(draw)
    canceled = _some(draw, batch.size)
    return [*events, _end(draw, batch, counted(0, succeeded=batch.size - canceled, canceled=canceled))]


def _stream_b11(draw: st.DrawFn) -> _Stream:
    tag = draw(st.sampled_from(["cancel_initiated", "ended", "deleted"]))
    tags: tuple[str, ...] = ()
    if tag == "ended":
        tags = _pick(draw, [(), ("cancel_initiated",)])
    elif tag == "deleted":
        tags = _pick(draw, [("ended",), ("cancel_initiated", "ended"), ("ended", "archived")])
    events, batch = _batch(draw, *tags)
    early = latest(batch) - draw(_STEPS)
    if tag == "cancel_initiated":
        return [*events, lc.CancelInitiated(early)]
    if tag == "ended":
        return [*events, attrs.evolve(_end(draw, batch), ended_at=early)]
    return [*events, lc.Deleted(early)]


def _stream_b12(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    expired = _some(draw, batch.size)
    return [*events, _end(draw, batch, counted(0, succeeded=batch.size - expired, expired=expired))]


def _stream_b13(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    return [*events, attrs.evolve(_end(draw, batch), ended_at=batch.expires_at + draw(_STEPS))]


def _stream_b14(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    return [*events, attrs.evolve(_end(draw, batch), results_url=None)]


_ENDED: Sequence[Path] = [("ended",), ("cancel_initiated", "ended")]


def _stream_b15(draw: st.DrawFn) -> _Stream:
    events, batch = _batch(draw, *_pick(draw, _ENDED))
    return [*events, lc.Archived(_too_soon(draw, batch))]


def _too_soon(draw: st.DrawFn, batch: lc.MessageBatch) -> datetime:
    """Draw when *batch* was archived, against rule B15 alone."""
    return _pick(draw, [latest(batch) + MINUTE, latest(batch), batch.created_at + RESULTS_LIFETIME - TICK])


_ALIVE_AND_DEAD: Sequence[Path] = [
    (),
    ("cancel_initiated",),
    ("ended",),
    ("ended", "archived"),
    ("ended", "deleted"),
    ("ended", "archived", "deleted"),
]


def _stream_t1(draw: st.DrawFn) -> _Stream:
    events, batch = _batch(draw, *_pick(draw, _ALIVE_AND_DEAD))
    now = latest(batch)
    illegal: list[lc.Event] = [
        event
        for event in (
            lc.CountsUpdated(batch.request_counts),
            lc.CancelInitiated(now),
            lc.Ended(now, batch.request_counts, batch.results_url),
            lc.Archived(now),
            lc.Deleted(now),
        )
        if (batch.phase, event.tag) not in lc.TRANSITIONS
    ]
    return [*events, _pick(draw, illegal)]


def _stream_t3(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    if draw(st.booleans()):
        return [*events, _end(draw, batch, counted(0, succeeded=batch.size + _pick(draw, [1, -1])))]
    return [*events, lc.CountsUpdated(counted(batch.size - 1))]


def _stream_t5(draw: st.DrawFn) -> _Stream:
    events, batch = _live(draw)
    done = _some(draw, batch.size)
    events.append(lc.CountsUpdated(counted(batch.size - done, errored=done)))
    fewer = draw(ANY) % done
    if draw(st.booleans()):
        return [*events, _end(draw, batch, counted(0, succeeded=batch.size - fewer, errored=fewer))]
    return [*events, lc.CountsUpdated(counted(batch.size - fewer, errored=fewer))]


_LAWS_ALONE: dict[str, Callable[[st.DrawFn], _Stream]] = {
    "B5": _stream_b5,
    "B11": _stream_b11,
    "T1": _stream_t1,
    "T3": _stream_t3,
}

STREAM_FAULTS: Mapping[str, Mapping[str, Callable[[st.DrawFn], _Stream]]] = MappingProxyType(
    {
        lc.LAWS.name: _LAWS_ALONE | {"B1": _stream_b1, "T5": _stream_t5},
        lc.HOSTED.name: _LAWS_ALONE
        | {
            "B2": _stream_b2,
            "B3": _stream_b3,
            "B7": _stream_b7,
            "B9": _stream_b9,
            "B12": _stream_b12,
            "B13": _stream_b13,
            "B14": _stream_b14,
            "B15": _stream_b15,
        },
    }
)
"""By the name of the profile: the rules that a stream can break alone under it, each with what builds one."""

_SET_TOGETHER = "no event sets the one without the other"
NOT_IN_STREAMS: Mapping[str, str] = MappingProxyType(
    {
        "B1": "under HOSTED: a negative size is below 1 as well (B2); before the end any other count than that of "
        "Created breaks B7 or T3; at the end a negative `processing` breaks B5, a negative outcome has shrunk (T5)",
        "B4": f"{_SET_TOGETHER}: Ended sets the status and `ended_at`",
        "B6": f"{_SET_TOGETHER}: CancelInitiated sets the status and `cancel_initiated_at`",
        "B8": "only Ended and Archived carry a `results_url`, and they come at the end and after it",
        "B10": "Archived and Deleted have arrows from an ended batch only, so it is T1",
        "B16": "no event carries unknown keys",
        "T2": "only Created names id and times, and it comes once (T1)",
        "T4": "each of the four times is set by one event, which comes once (T1)",
        "T5": "under HOSTED the counts before the end are those of Created (B7), all in processing: with the same sum "
        "(T3) a greater `processing` or a shrunk outcome means a negative count (B1)",
        "T6": "after Ended no event carries counts (T1)",
        "T7": "after Ended only Archived carries a `results_url`, and once archived it may change",
        "L1": "it is about records; in a stream a missing or second Created is T1",
        "L2": "it is about records",
        "L3": "it is about records",
        "L4": "it is about records",
    }
)
"""The rules that no stream breaks, or not alone, and why; those of B1 and T5 hold for `HOSTED` only."""


def broken_streams(
    *, rule: str | None = None, profile: lc.Profile = lc.LAWS
) -> st.SearchStrategy[tuple[tuple[lc.Event, ...], str]]:
    """
    Streams whose last event breaks one rule, and the rule's id.

    Args:
        rule: The only rule to break; None for any that a stream can break alone under *profile*.
        profile: The rules that count.

    Returns:
        A strategy for ``(events, rule id)``. Judged under *profile*, that rule is broken and no other: `fold` refuses
        the last event for it (advice is never refused), and `audit` of its records finds it alone. All events but the
        last are legal under either profile; but in those that break T5, before the fault, counts move, which B7
        forbids.

    Raises:
        ValueError: No stream breaks *rule* alone under *profile*; the text says why.
        TypeError: *profile* is no profile.
    """
    if not is_hosted(profile) and rule not in STREAM_FAULTS[profile.name] and rule in STREAM_FAULTS[lc.HOSTED.name]:
        raise ValueError(f"rule: {rule} is judged under HOSTED, not under LAWS; pass profile=lifecycle.HOSTED")
    return _any_of("stream", STREAM_FAULTS[profile.name], rule, NOT_IN_STREAMS).map(
        lambda found: (tuple(found[0]), found[1])
    )


def _any_of(
    kind: str,
    faults: Mapping[str, Callable[[st.DrawFn], T]],
    rule: str | None,
    reasons: Mapping[str, str] = MappingProxyType({}),
) -> st.SearchStrategy[tuple[T, str]]:
    if rule is None:
        return _faulty(faults, tuple(sorted(faults, key=list(lc.RULES).index)))
    if rule in faults:
        return _faulty(faults, (rule,))
    why = reasons.get(rule, "")
    raise ValueError(
        f"rule: no {kind} breaks {rule} alone{f' ({why})' if why else ''}; expected one of {', '.join(faults)}"
    )


@st.composite
def _faulty(draw: st.DrawFn, faults: Mapping[str, Callable[[st.DrawFn], T]], choice: Sequence[str]) -> tuple[T, str]:
    rule = draw(st.sampled_from(choice))
    return faults[rule](draw), rule


# --------------------------------------------------------------------------------------------------------- snapshots


def _replaced(batch: lc.MessageBatch, **changes: Any) -> lc.MessageBatch:
    return attrs.evolve(batch, **changes)


def _ended(draw: st.DrawFn) -> lc.MessageBatch:
    return _batch(draw, *_pick(draw, _ENDED))[1]


def _snapshot_b1(draw: st.DrawFn) -> lc.MessageBatch:
    batch = _ended(draw)
    less = _some(draw, 3)
    counts = {"succeeded": batch.size + less, _pick(draw, ["errored", "canceled", "expired"]): -less}
    return _replaced(batch, request_counts=counted(0, **counts))


def _snapshot_b2(draw: st.DrawFn) -> lc.MessageBatch:
    total = draw(st.sampled_from([0, 100_001, wire.LARGEST_NUMBER]))
    if draw(st.booleans()):
        return _replaced(_ended(draw), request_counts=counted(0, succeeded=total))
    return _replaced(_live(draw)[1], request_counts=counted(total))


def _snapshot_b3(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _live(draw)
    return _replaced(batch, expires_at=_not_a_day(draw, batch.created_at))


def _snapshot_b4(draw: st.DrawFn) -> lc.MessageBatch:
    if draw(st.booleans()):
        return _replaced(_ended(draw), ended_at=None)
    _, batch = _live(draw)
    return _replaced(batch, ended_at=latest(batch) + draw(_STEPS))


def _snapshot_b5(draw: st.DrawFn) -> lc.MessageBatch:
    batch = _ended(draw)
    rest = _some(draw, batch.size)
    return _replaced(batch, request_counts=counted(rest, succeeded=batch.size - rest))


def _snapshot_b6(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _live(draw)
    at = None if batch.cancel_initiated_at is not None else batch.created_at + draw(_STEPS)
    return _replaced(batch, cancel_initiated_at=at)


def _snapshot_b7(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _live(draw)
    return _replaced(batch, request_counts=_moving(draw, batch, _allowed_outcomes(batch)))


def _snapshot_b8(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _live(draw)
    return _replaced(batch, results_url=url_of(batch.id))


def _snapshot_b9(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _batch(draw, *_pick(draw, [("ended",), ("ended", "archived")]))
    return _replaced(batch, request_counts=_moved_from(batch, _some(draw, batch.size), "canceled"))


def _moved_from(batch: lc.MessageBatch, number: int, outcome: str) -> lc.RequestCounts:
    return counted(0, **{"succeeded": batch.size - number, outcome: number})


def _snapshot_b10(draw: st.DrawFn) -> lc.MessageBatch:
    _, batch = _live(draw)
    return _replaced(batch, archived_at=batch.created_at + RESULTS_LIFETIME + draw(_STEPS))


def _snapshot_b11(draw: st.DrawFn) -> lc.MessageBatch:
    match draw(st.sampled_from(["cancel_initiated", "ended", "archived"])):
        case "cancel_initiated":
            _, batch = _batch(draw, "cancel_initiated")
            return _replaced(batch, cancel_initiated_at=batch.created_at - draw(_STEPS))
        case "ended":
            batch = _ended(draw)
            return _replaced(batch, ended_at=(batch.cancel_initiated_at or batch.created_at) - draw(_STEPS))
        case _:
            # It took so long to end that being archived before that is late enough for B15.
            _, batch = _batch(draw, "ended", "archived")
            at = batch.created_at + RESULTS_LIFETIME
            counts = _moved_from(batch, _some(draw, batch.size), "expired")
            return _replaced(batch, archived_at=at, ended_at=at + draw(_STEPS), request_counts=counts)


def _snapshot_b12(draw: st.DrawFn) -> lc.MessageBatch:
    batch = _ended(draw)
    return _replaced(batch, request_counts=_moved_from(batch, _some(draw, batch.size), "expired"))


def _snapshot_b13(draw: st.DrawFn) -> lc.MessageBatch:
    batch = _ended(draw)
    return _replaced(batch, ended_at=batch.expires_at + draw(_STEPS))


def _snapshot_b14(draw: st.DrawFn) -> lc.MessageBatch:
    return _replaced(_ended(draw), results_url=None)


def _snapshot_b15(draw: st.DrawFn) -> lc.MessageBatch:
    batch = _ended(draw)
    return _replaced(batch, archived_at=_too_soon(draw, batch))


def _snapshot_b16(draw: st.DrawFn) -> lc.MessageBatch:
    batch = draw(snapshots(profile=lc.HOSTED))
    if draw(st.booleans()):
        return _replaced(batch, extra={_pick(draw, ["archive_at", "status"]): None})
    return _replaced(batch, request_counts=attrs.evolve(batch.request_counts, extra={"total": batch.size}))


SNAPSHOT_FAULTS: Mapping[str, Callable[[st.DrawFn], lc.MessageBatch]] = MappingProxyType(
    {
        "B1": _snapshot_b1,
        "B2": _snapshot_b2,
        "B3": _snapshot_b3,
        "B4": _snapshot_b4,
        "B5": _snapshot_b5,
        "B6": _snapshot_b6,
        "B7": _snapshot_b7,
        "B8": _snapshot_b8,
        "B9": _snapshot_b9,
        "B10": _snapshot_b10,
        "B11": _snapshot_b11,
        "B12": _snapshot_b12,
        "B13": _snapshot_b13,
        "B14": _snapshot_b14,
        "B15": _snapshot_b15,
        "B16": _snapshot_b16,
    }
)
"""The rules that a snapshot can break alone under `HOSTED`, each with what builds one."""


def broken_snapshots(*, rule: str | None = None) -> st.SearchStrategy[tuple[lc.MessageBatch, str]]:
    """
    Batches that break one B rule, and the rule's id.

    Args:
        rule: The only rule to break; None for any.

    Returns:
        A strategy for ``(batch, rule id)``; ``check(batch, profile=HOSTED)`` finds that rule and no other. All can go
        over the wire but those that break B1, for it refuses a negative number itself.

    Raises:
        ValueError: *rule* is no B rule.
    """
    return _any_of("snapshot", SNAPSHOT_FAULTS, rule)


# ------------------------------------------------------------------------------------------------------------- pairs

_Pair = tuple[lc.MessageBatch, lc.MessageBatch]


def _pair_t2(draw: st.DrawFn) -> _Pair:
    if draw(st.booleans()):
        _, before = _batch(draw)  # no other time yet that a shift could overtake
        step = _pick(draw, [1, -1]) * draw(_STEPS)
        times = {"created_at": before.created_at + step, "expires_at": before.expires_at + step}
        return before, _replaced(before, **times)
    batch = draw(snapshots(profile=lc.HOSTED))
    return batch, _replaced(batch, id=f"{batch.id}2")


def _pair_t3(draw: st.DrawFn) -> _Pair:
    events, before = _live(draw)
    if draw(st.booleans()):
        counts = counted(0, succeeded=before.size + _pick(draw, [1, -1]))
        ended = _end(draw, before)
        return before, _replaced(lc.fold([*events, ended]), request_counts=counts)
    return before, _replaced(before, request_counts=counted(before.size - 1))


def _pair_t4(draw: st.DrawFn) -> _Pair:
    step = draw(_STEPS)
    match draw(st.sampled_from(["vanished", "cancel_initiated", "ended", "archived"])):
        case "vanished":
            _, before = _batch(draw, "cancel_initiated")
            ended = _end(draw, before, counted(0, succeeded=before.size))
            return before, _replaced(lc.evolve(before, ended), cancel_initiated_at=None)
        case "cancel_initiated":
            _, before = _batch(draw, "cancel_initiated")
            return before, _replaced(before, cancel_initiated_at=latest(before) + step)
        case "ended":
            before = _ended(draw)
            return before, _replaced(before, ended_at=latest(before) + step)
        case _:
            _, before = _batch(draw, "ended", "archived")
            before = _replaced(before, archived_at=before.created_at + RESULTS_LIFETIME)
            return before, _replaced(before, archived_at=latest(before) + step)


def _pair_t5(draw: st.DrawFn) -> _Pair:
    _, batch = _live(draw)
    return _replaced(batch, request_counts=_moving(draw, batch, _allowed_outcomes(batch))), batch


def _pair_t6(draw: st.DrawFn) -> _Pair:
    batch = _ended(draw)
    errored = draw(ANY) % batch.size
    other = errored + _some(draw, batch.size - errored)
    both = [_replaced(batch, request_counts=_moved_from(batch, number, "errored")) for number in (errored, other)]
    if draw(st.booleans()):
        both.reverse()
    return both[0], both[1]


def _pair_t7(draw: st.DrawFn) -> _Pair:
    batch = _ended(draw)
    return batch, _replaced(batch, results_url=_pick(draw, [f"{batch.results_url}?v=2", "http://localhost/results"]))


PAIR_FAULTS: Mapping[str, Callable[[st.DrawFn], _Pair]] = MappingProxyType(
    {"T2": _pair_t2, "T3": _pair_t3, "T4": _pair_t4, "T5": _pair_t5, "T6": _pair_t6, "T7": _pair_t7}
)
"""The rules that a pair can break alone under `HOSTED`, each with what builds one."""

_NOT_IN_PAIRS = {"T1": "the way back along the arrows makes a time vanish, or leaves one where the status forbids it"}


def broken_pairs(*, rule: str | None = None) -> st.SearchStrategy[tuple[_Pair, str]]:
    """
    Two states of a batch that cannot follow one another, and the id of the one rule that forbids it.

    Args:
        rule: The only rule to break; None for any.

    Returns:
        A strategy for ``((before, after), rule id)``; ``check(after, before=before, profile=HOSTED)`` finds that rule
        and no other. Each batch on its own breaks nothing; but for T5 the one before has counts that moved, which B7
        forbids and the laws do not.

    Raises:
        ValueError: No pair breaks *rule* alone.
    """
    return _any_of("pair", PAIR_FAULTS, rule, _NOT_IN_PAIRS)


# -------------------------------------------------------------------------------------------------------------- logs

_Log = tuple[lc.Record, ...]
_BAD = "msgbatch_bad"


def _hosted_stream(draw: st.DrawFn) -> _Stream:
    """Draw a hosted stream of `_BAD` with at least two events."""
    path = _pick(draw, [("created",), ("created", "ended"), ("created", "cancel_initiated", "ended", "archived")])
    return life(draw, path, hosted=True, updates=1 + draw(ANY) % 2, batch_id=_BAD)[0]


def _among_others(draw: st.DrawFn, bad: Sequence[lc.Record]) -> _Log:
    """Draw a log with the records *bad* and those of up to two legal streams."""
    others = []
    for number in range(draw(ANY) % 3):
        batch_id = f"msgbatch_0{number + 1}"
        path = _pick(draw, [("created",), ("created", "ended"), ("created", "cancel_initiated", "ended", "deleted")])
        others.append(records(batch_id, life(draw, path, hosted=True, batch_id=batch_id)[0]))
    return interleaved(draw, [bad, *others])


def _log_l1(draw: st.DrawFn) -> _Log:
    events = _hosted_stream(draw)
    place = draw(ANY) % (len(events) + 1)
    if place == 0:
        ended = _end(draw, lc.fold(events[:1]))
        return _among_others(draw, records(_BAD, [ended]))
    return _among_others(draw, records(_BAD, [*events[:place], events[0], *events[place:]]))


def _log_l2(draw: st.DrawFn) -> _Log:
    return _among_others(draw, records(_BAD, [_created(draw)]))


def _log_l3(draw: st.DrawFn) -> _Log:
    found = records(_BAD, _hosted_stream(draw))
    place = draw(ANY) % len(found)
    if draw(st.booleans()):  # told twice, under another name
        again = attrs.evolve(found[place], event_id=f"{_BAD}/again")
        return _among_others(draw, [*found, attrs.evolve(again, recorded_at=found[-1].recorded_at)])
    gap = _some(draw, 3)
    moved = [lc.Record(_BAD, one.version + gap, one.event, None, one.recorded_at) for one in found[place:]]
    return _among_others(draw, [*found[:place], *moved])


def _log_l4(draw: st.DrawFn) -> _Log:
    found = records(_BAD, _hosted_stream(draw))
    place = draw(ANY) % len(found)
    now = found[-1].recorded_at
    again = attrs.evolve(found[place], event=lc.Deleted(now), recorded_at=now)  # none of them is a Deleted
    return _among_others(draw, [*found, again])


LOG_FAULTS: Mapping[str, Callable[[st.DrawFn], _Log]] = MappingProxyType(
    {"L1": _log_l1, "L2": _log_l2, "L3": _log_l3, "L4": _log_l4}
)
"""The rules that a log can break alone, each with what builds one."""


def broken_logs(*, rule: str | None = None) -> st.SearchStrategy[tuple[_Log, str]]:
    """
    Logs in which one record breaks an L rule, and the rule's id.

    Args:
        rule: The only rule to break; None for any.

    Returns:
        A strategy for ``(records, rule id)``; `audit` finds that rule once and no other, under either profile. The
        faulty stream is ``msgbatch_bad``; up to two legal ones stand around it.

    Raises:
        ValueError: *rule* is no L rule.
    """
    return _any_of("log", LOG_FAULTS, rule)


# -------------------------------------------------------------------------------------------------------------- wire

_MISSING: Any = object()
_NOT_TEXT: tuple[Any, ...] = (7, None, True, [], {}, "\ud800")  # the last is a lone surrogate, which no UTF-8 can hold
_NOT_A_COUNT: tuple[Any, ...] = ("2", 2.0, True, None, [], {}, -1, 2**63)
_NOT_A_TIME: tuple[Any, ...] = (
    "2025-01-29T14:24:59.570697",  # naive
    "2025-01-29",
    "2025-01-29T14:24Z",
    "20250129T142459Z",  # basic format
    "2025-W05-3T14:24:59Z",  # ISO week
    "2025-029T14:24:59Z",  # ordinal
    "2025-01-29T14:24:59,570697Z",
    "2025-01-29 14:24:59Z",
    " 2025-01-29T14:24:59Z",
    "2025-01-29T14:24:59.Z",
    "2025-01-29T14:24:60Z",
    "2025-01-29T24:00:00Z",
    "2025-02-29T14:24:59Z",  # no leap year
    "2025-13-01T14:24:59Z",
    "2025-01-29T14:24:59+00",
    "2025-01-29T14:24:59+0000",
    "2025-01-29T14:24:59+24:00",
    "0001-01-01T00:30:00+01:00",  # before the first datetime in UTC
    "9999-12-31T23:30:00-01:00",  # after the last
    "\uff12\uff10\uff12\uff15-01-29T14:24:59Z",  # digits, but not those of ASCII
    "",
    "now",
    1738160699,
    True,
    [],
)
_BAD_VALUES: Mapping[str, tuple[Any, ...]] = {
    "$.id": (_MISSING, *_NOT_TEXT),
    "$.type": (_MISSING, "message_batch_deleted", "batch", "", None, 7, []),
    "$.processing_status": (
        *(_MISSING, "cancelling", "canceled", "failed", "expired", "completed", "Ended", "", None, 7, True, []),
    ),
    "$.request_counts": (_MISSING, None, 3, "3", True, [], [1, 0, 0, 0, 0]),
    **{f"$.request_counts.{name}": (_MISSING, *_NOT_A_COUNT) for name in ("processing", *OUTCOMES)},
    **{f"$.{name}": (_MISSING, None, *_NOT_A_TIME) for name in ("created_at", "expires_at")},
    **{f"$.{name}": _NOT_A_TIME for name in ("ended_at", "archived_at", "cancel_initiated_at")},
    "$.results_url": tuple(value for value in _NOT_TEXT if value is not None),
}
_COUNT = re.compile(rb'"processing":\d+')
_BAD_BODIES: Sequence[Callable[[bytes], bytes]] = (
    lambda body: b"[" + body + b"]",
    lambda _: b"null",
    lambda _: b'"msgbatch_01"',
    lambda _: b"7",
    lambda _: b"",
    lambda body: body[:-1],
    lambda body: body[: len(body) // 2],
    lambda body: body + b"}",
    lambda body: body + body,
    lambda body: body[:-1] + b",}",
    lambda body: body.replace(b'"', b"'"),
    lambda body: b"\xef\xbb\xbf" + body,  # a byte order mark
    lambda body: body.replace(b'"id":"', b'"id":"\xff', 1),  # no UTF-8
    lambda body: body.decode().encode("utf-16"),
    lambda body: _COUNT.sub(b'"processing":NaN', body),
    lambda body: _COUNT.sub(b'"processing":Infinity', body),
    lambda body: _COUNT.sub(b'"processing":-Infinity', body),
    lambda body: _COUNT.sub(b'"processing":01', body),
)
WIRE_PATHS: Sequence[str] = ("$", *_BAD_VALUES)
"""The paths that `broken_wire` labels bodies with: ``$`` for the body as a whole."""


def broken_wire(*, path: str | None = None) -> st.SearchStrategy[tuple[bytes, str]]:
    """
    Bodies that are no snapshot, and the path of the one thing that is wrong.

    Wrong types, missing keys, numbers out of range, unknown words, times that are not RFC 3339, and what is no JSON in
    UTF-8: half a body, trailing bytes, a byte order mark, NaN.  Limits of size and depth are each reader's own, so they
    are not among the faults.

    Args:
        path: The only path to have a fault at, one of `WIRE_PATHS`; None for any.

    Returns:
        A strategy for ``(body, path)``; `lifecycle.wire.decode_batch` refuses the body with a `WireError` whose
        `problems` name this path and no other.

    Raises:
        ValueError: There is no fault at *path*.
    """
    if path is None:
        return _broken_bodies(WIRE_PATHS)
    if path not in WIRE_PATHS:
        raise ValueError(f"path: expected one of {', '.join(WIRE_PATHS)}, got {path!r}")
    return _broken_bodies((path,))


@st.composite
def _broken_bodies(draw: st.DrawFn, choice: Sequence[str]) -> tuple[bytes, str]:
    path, batch = draw(st.sampled_from(choice)), draw(snapshots(profile=lc.HOSTED))
    if path == "$":
        return _pick(draw, _BAD_BODIES)(wire.encode_batch(batch)), path
    return _spoiled(batch, path, _pick(draw, _BAD_VALUES[path])), path


def _spoiled(batch: lc.MessageBatch, path: str, value: Any) -> bytes:
    """The body of *batch* with *value* at *path*, or with nothing there."""
    shown = wire.unstructure_batch(batch)
    *parents, key = path.split(".")[1:]
    inner = shown[parents[0]] if parents else shown
    if value is _MISSING:
        del inner[key]
    else:
        inner[key] = value
    return json.dumps(shown, separators=(",", ":")).encode()
