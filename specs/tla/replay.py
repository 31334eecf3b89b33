"""
The model's state graph against the code: both reach the same states by the same events.

Each edge is an event that `evolve` must admit and that must lead to the state TLC has.  The other way round, each
event of an alphabet that `evolve` admits in a state must be an edge there.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import attrs

import lifecycle as lc
from specs.tla.tlc import Config, Graph, State

CREATED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = (
    CREATED_AT - timedelta(microseconds=1),
    CREATED_AT,
    CREATED_AT + timedelta(hours=24),
    CREATED_AT + timedelta(days=29),
)
"""The time that each tick stands for."""
URL = "https://api.anthropic.com/v1/messages/batches/msgbatch_01/results"
OVER_THE_LIMIT = 100_001
"""The size that stands for every one above the model's `Largest`."""

CROSSED = 2
"""Up to this size, every counts of `Ended` is tried with every tick and URL."""

COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
Counts = tuple[int, int, int, int, int]


def _time(tick: object) -> datetime | None:
    return TIMES[tick] if isinstance(tick, int) else None


def batch_of(state: State) -> lc.MessageBatch | None:
    """The batch that *state* stands for; None before `Created`."""
    values = dict(state.values)
    if values["status"] == "absent":
        return None
    return lc.MessageBatch(
        "msgbatch_01",
        lc.ProcessingStatus(str(values["status"])),
        lc.RequestCounts(*(dict(state.counts)[name] for name in COUNTS)),
        TIMES[int(values["created_at"] or 0)],
        TIMES[int(values["expires_at"] or 0)],
        _time(values["ended_at"]),
        _time(values["archived_at"]),
        _time(values["cancel_initiated_at"]),
        None if values["results_url"] is None else URL,
        _time(values["deleted_at"]),
    )


def event_of(action: str, after: lc.MessageBatch) -> lc.Event:
    """The event that *action* stands for, as it can be told from the batch *after* it."""
    match action:
        case "Created":
            return lc.Created(after.id, after.created_at, after.expires_at, after.size)
        case "CountsUpdated":
            return lc.CountsUpdated(after.request_counts)
        case "CancelInitiated" if after.cancel_initiated_at is not None:
            return lc.CancelInitiated(after.cancel_initiated_at)
        case "Ended" if after.ended_at is not None:
            return lc.Ended(after.ended_at, after.request_counts, after.results_url)
        case "Archived" if after.archived_at is not None:
            return lc.Archived(after.archived_at, after.results_url)
        case "Deleted" if after.deleted_at is not None:
            return lc.Deleted(after.deleted_at)
        case _:
            raise ValueError(f"{action} cannot lead to {after}")


@cache
def _splits(total: int) -> tuple[Counts, ...]:
    """Every way in which so many requests can stand."""
    ways = itertools.product(range(total + 1), repeat=4)
    return tuple((total - a - b - c - d, a, b, c, d) for a, b, c, d in ways if a + b + c + d <= total)


def _counts_of(batch: lc.MessageBatch) -> Counts:
    counts = batch.request_counts
    return counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired


def _stated(batch: lc.MessageBatch) -> Iterator[Counts]:
    """All counts with the total of *batch*, and its own with one request that comes, goes or moves, below 0 too."""
    yield from _splits(batch.size)
    own = _counts_of(batch)
    for one, other in itertools.product(range(5), repeat=2):
        for more, less in ((1, 0), (0, 1), (1, 1)):
            beside = list(own)
            beside[one] += more
            beside[other] -= less
            yield beside[0], beside[1], beside[2], beside[3], beside[4]


def alphabet(before: lc.MessageBatch | None, actions: frozenset[str], config: Config) -> set[lc.Event]:
    """
    The events to try in a state, possible and impossible ones.

    To save time, where the model has no edge for an action (*actions* are those it has one for), of all counts only
    those of the batch itself are tried; and in batches of more than `CROSSED` requests `Ended` has either any counts,
    at the last tick and without a URL, or any tick and URL, with every request finished that was not.
    """
    ticks = TIMES[: config.last + 1]
    sizes = {OVER_THE_LIMIT if size > config.largest else size for size in config.sizes} | {-1}
    events: set[lc.Event] = set()
    expiries = [TIMES[tick] for tick in config.expiries]
    events.update(lc.Created("msgbatch_01", CREATED_AT, expiry, size) for expiry in expiries for size in sizes)
    events.update(map(lc.CancelInitiated, ticks))
    events.update(map(lc.Deleted, ticks))
    events.update(lc.Archived(time, url) for time in ticks for url in (None, URL))
    own = (0, 0, 0, 0, 0) if before is None else _counts_of(before)
    stated = {own} if before is None else set(_stated(before))
    for counts in stated if "CountsUpdated" in actions else {own}:
        events.add(lc.CountsUpdated(lc.RequestCounts(*counts)))
    for counts in stated if "Ended" in actions else {own}:
        crossed = sum(own) <= CROSSED or counts in {own, (0, own[0] + own[1], *own[2:])}
        request_counts = lc.RequestCounts(*counts)
        events.update(
            lc.Ended(time, request_counts, url)
            for time in (ticks if crossed else ticks[-1:])
            for url in ((None, URL) if crossed else (None,))
        )
    return events


def admitted(before: lc.MessageBatch | None, event: lc.Event, config: Config) -> lc.MessageBatch | None:
    """The batch after *event*; None if a rule of the tiers is broken."""
    profile = lc.LAWS if config.tiers == ("law",) else lc.HOSTED
    try:
        after = lc.evolve(before, event, profile=profile)
    except lc.IllegalEvent:
        return None
    # Advice is never raised: a server that keeps to it is asked for.
    return None if "advice" in config.tiers and lc.check(after, before=before, profile=lc.HOSTED) else after


@attrs.frozen
class Replayed:
    """What a replay came to."""

    differences: tuple[str, ...]
    """Where the model and the code part; () is as it should be."""
    tried: int
    """How many events of the alphabet were tried."""
    states: Mapping[int, int]
    """The states of the model by the size of the batch; the one before `Created` is left out."""
    edges: Mapping[int, int]
    """The edges by the size of the batch."""
    arrows: frozenset[tuple[lc.Phase | None, str, lc.Phase]]
    """The arrows of the chart that the edges took."""


def replay(graph: Graph, config: Config) -> Replayed:
    """Replay *graph*, which TLC found under *config*, on `evolve`."""
    batches = {name: batch_of(state) for name, state in graph.states.items()}
    differences = [f"not before Created: {batches[graph.initial]}"] * (batches[graph.initial] is not None)
    edges: defaultdict[str, set[tuple[str, lc.MessageBatch]]] = defaultdict(set)
    for before, action, target in sorted(graph.edges):
        following = batches[target]
        if following is None:
            differences.append(f"{action} leads back to before Created")
        else:
            edges[before].add((action, following))
    tried = 0
    sizes: Counter[int] = Counter()
    edge_sizes: Counter[int] = Counter()
    arrows: set[tuple[lc.Phase | None, str, lc.Phase]] = set()
    for name, batch in batches.items():
        modelled: dict[lc.Event, lc.MessageBatch] = {}
        for action, after in edges[name]:
            event = event_of(action, after)
            modelled[event] = after
            edge_sizes[after.size] += 1
            arrows.add((None if batch is None else batch.phase, event.tag, after.phase))
            found = admitted(batch, event, config)
            if found != after:
                differences.append(f"{batch}, {event}: the model has {after}, the code {found}")
        events = alphabet(batch, frozenset(action for action, _ in edges[name]), config)
        tried += len(events)
        differences += [
            f"{batch}, {event}: the model has no such edge, the code admits it"
            for event in events - modelled.keys()
            if admitted(batch, event, config) is not None
        ]
        if batch is not None:
            sizes[batch.size] += 1
    differences += [f"no edge took {arrow}" for arrow in sorted(_chart() - arrows, key=str)]
    return Replayed(tuple(differences), tried, sizes, edge_sizes, frozenset(arrows))


def _chart() -> set[tuple[lc.Phase | None, str, lc.Phase]]:
    return {(before, tag, after) for (before, tag), after in lc.TRANSITIONS.items()}
