"""
A second opinion: the rulebook of a Message Batch in plain Python.

Written from the sentences of the rulebook and from nothing else: it imports nothing of the package it judges and
shares no predicate with it. A time is a whole number of microseconds, a count vector a tuple of five numbers; a
phase, a status and a tag are strings; ``None`` is a batch that does not exist yet.

Each predicate says whether the rule *holds*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

HOUR = 3_600_000_000
DAY = 24 * HOUR

Counts = tuple[int, int, int, int, int]
"""processing, succeeded, errored, canceled, expired"""


class State(NamedTuple):
    """A batch."""

    id: str
    status: str
    counts: Counts
    created: int
    expires: int
    ended: int | None = None
    archived: int | None = None
    cancel: int | None = None
    url: str | None = None
    deleted: int | None = None
    extra: bool = False


class Event(NamedTuple):
    """Any of the six events; which fields mean something depends on the tag."""

    tag: str
    at: int = 0
    counts: Counts = (0, 0, 0, 0, 0)
    url: str | None = None
    id: str = ""
    expires: int = 0
    size: int = 0


class Record(NamedTuple):
    """An event with its envelope."""

    batch_id: str
    version: int
    event: Event
    event_id: str


def created(id: str, at: int, expires: int, size: int) -> Event:
    return Event("created", at=at, id=id, expires=expires, size=size)


def counts_updated(counts: Counts) -> Event:
    return Event("counts_updated", counts=counts)


def cancel_initiated(at: int) -> Event:
    return Event("cancel_initiated", at=at)


def ended(at: int, counts: Counts, url: str | None = None) -> Event:
    return Event("ended", at=at, counts=counts, url=url)


def archived(at: int, url: str | None = None) -> Event:
    return Event("archived", at=at, url=url)


def deleted(at: int) -> Event:
    return Event("deleted", at=at)


# --- the arrows ---------------------------------------------------------------------------------------------

TAGS = ("created", "counts_updated", "cancel_initiated", "ended", "archived", "deleted")
PHASES = (None, "in_progress", "canceling", "ended", "archived", "deleted")

ARROWS: dict[tuple[str | None, str], str] = {
    (None, "created"): "in_progress",
    ("in_progress", "counts_updated"): "in_progress",
    ("in_progress", "cancel_initiated"): "canceling",
    ("in_progress", "ended"): "ended",
    ("canceling", "counts_updated"): "canceling",
    ("canceling", "ended"): "ended",
    ("ended", "archived"): "archived",
    ("ended", "deleted"): "deleted",
    ("archived", "deleted"): "deleted",
}

REACHABLE: dict[str, tuple[str, ...]] = {
    "in_progress": ("in_progress", "canceling", "ended", "archived", "deleted"),
    "canceling": ("canceling", "ended", "archived", "deleted"),
    "ended": ("ended", "archived", "deleted"),
    "archived": ("archived", "deleted"),
    "deleted": ("deleted",),
}
"""By zero or more arrows."""


def phase(state: State | None) -> str | None:
    """Deleted if the deletion is set; else archived if archived and ended; else the status."""
    if state is None:
        return None
    if state.deleted is not None:
        return "deleted"
    if state.archived is not None and state.status == "ended":
        return "archived"
    return state.status


def allowed(before: str | None) -> set[str]:
    """The tags that have an arrow from a phase."""
    return {tag for (from_, tag) in ARROWS if from_ == before}


# --- one batch on its own -----------------------------------------------------------------------------------


def b1(s: State) -> bool:
    """Every count is 0 or more."""
    return min(s.counts) >= 0


def b2(s: State) -> bool:
    """The total is 1 to 100,000."""
    return 1 <= sum(s.counts) <= 100_000


def b3(s: State) -> bool:
    """`expires_at` is exactly 24 hours after `created_at`."""
    return s.expires - s.created == DAY


def b4(s: State) -> bool:
    """`ended` if and only if `ended_at` is set."""
    return (s.status == "ended") == (s.ended is not None)


def b5(s: State) -> bool:
    """`ended` means `processing` is 0."""
    return s.status != "ended" or s.counts[0] == 0


def b6(s: State) -> bool:
    """`canceling` means `cancel_initiated_at` is set; `in_progress` means it is null."""
    if s.status == "canceling":
        return s.cancel is not None
    if s.status == "in_progress":
        return s.cancel is None
    return True


def b7(s: State) -> bool:
    """Before `ended`, succeeded, errored, canceled and expired are all 0."""
    return s.status == "ended" or s.counts[1:] == (0, 0, 0, 0)


def b8(s: State) -> bool:
    """Before `ended`, `results_url` is null."""
    return s.status == "ended" or s.url is None


def b9(s: State) -> bool:
    """`canceled` > 0 means `cancel_initiated_at` is set."""
    return not (s.counts[3] > 0 and s.cancel is None)


def b10(s: State) -> bool:
    """`archived_at` and `deleted_at` are set only on an ended batch."""
    return s.status == "ended" or (s.archived is None and s.deleted is None)


def b11(s: State) -> bool:
    """`created_at` <= `cancel_initiated_at` <= `ended_at` <= `archived_at` <= `deleted_at`, where set."""
    times = [t for t in (s.created, s.cancel, s.ended, s.archived, s.deleted) if t is not None]
    return all(early <= late for early, late in combinations(times, 2))


def b12(s: State) -> bool:
    """`expired` > 0 means `ended_at` is not before `expires_at`."""
    return not (s.counts[4] > 0 and s.ended is not None and s.ended < s.expires)


def b13(s: State) -> bool:
    """Not: `ended_at` after `expires_at` with `expired` = 0."""
    return not (s.ended is not None and s.ended > s.expires and s.counts[4] == 0)


def b14(s: State) -> bool:
    """An ended batch that is not archived has a `results_url`."""
    return not (s.status == "ended" and s.archived is None and s.url is None)


def b15(s: State) -> bool:
    """`archived_at` is not before 29 days after `created_at`."""
    return not (s.archived is not None and s.archived < s.created + 29 * DAY)


def b16(s: State) -> bool:
    """A snapshot has no key beyond the documented ones."""
    return not s.extra


# --- from one state of a batch to its next ------------------------------------------------------------------


def t1(a: State, b: State) -> bool:
    """Only the arrows: the phase after is reachable from the phase before by zero or more of them."""
    return phase(b) in REACHABLE[str(phase(a))]


def t2(a: State, b: State) -> bool:
    """`id`, `created_at` and `expires_at` never change."""
    return a.id == b.id and a.created == b.created and a.expires == b.expires


def t3(a: State, b: State) -> bool:
    """The sum of the counts never changes."""
    return sum(a.counts) == sum(b.counts)


def t4(a: State, b: State) -> bool:
    """The times of cancellation, end, archiving and deletion are set once and never change or vanish."""
    pairs = ((a.cancel, b.cancel), (a.ended, b.ended), (a.archived, b.archived), (a.deleted, b.deleted))
    return all(was is None or was == now for was, now in pairs)


def t5(a: State, b: State) -> bool:
    """Before the end, `processing` never grows and the four outcome counts never shrink."""
    if a.status == "ended":
        return True
    if b.counts[0] > a.counts[0]:
        return False
    return all(now >= was for was, now in zip(a.counts[1:], b.counts[1:], strict=True))


def t6(a: State, b: State) -> bool:
    """Once ended, the counts never change."""
    return a.status != "ended" or a.counts == b.counts


def t7(a: State, b: State) -> bool:
    """`results_url`, once set, stays the same until the batch is archived."""
    if a.archived is not None or b.archived is not None:
        return True
    return a.url is None or a.url == b.url


# --- the book -----------------------------------------------------------------------------------------------

B_RULES: dict[str, Callable[[State], bool]] = {
    "B1": b1,
    "B2": b2,
    "B3": b3,
    "B4": b4,
    "B5": b5,
    "B6": b6,
    "B7": b7,
    "B8": b8,
    "B9": b9,
    "B10": b10,
    "B11": b11,
    "B12": b12,
    "B13": b13,
    "B14": b14,
    "B15": b15,
    "B16": b16,
}
T_RULES: dict[str, Callable[[State, State], bool]] = {
    "T1": t1,
    "T2": t2,
    "T3": t3,
    "T4": t4,
    "T5": t5,
    "T6": t6,
    "T7": t7,
}
LAW = {"B1", "B4", "B5", "B6", "B10", "B11", "T1", "T2", "T3", "T4", "T5", "T6", "L1", "L2", "L3", "L4"}
CONTRACT = {"B2", "B3", "B7", "B8", "B9", "T7"}
ADVICE = {"B12", "B13", "B14", "B15", "B16"}
ORDER = [*B_RULES, *T_RULES, "L1", "L2", "L3", "L4"]

LAWS = frozenset(LAW)
HOSTED = frozenset(LAW | CONTRACT | ADVICE)
PROFILES = {"LAWS": LAWS, "HOSTED": HOSTED}

Profile = frozenset[str]


@lru_cache(maxsize=64)  # the state before is asked for once an event
def broken_alone(state: State) -> frozenset[str]:
    """The B rules that a batch breaks, whatever the profile."""
    return frozenset([rule for rule, holds in B_RULES.items() if not holds(state)])


def broken_between(before: State, after: State) -> frozenset[str]:
    """The T rules that two states of a batch break, whatever the profile."""
    return frozenset([rule for rule, holds in T_RULES.items() if not holds(before, after)])


def check(state: State, profile: Profile, before: State | None = None) -> frozenset[str]:
    """The rules of the profile, advice too, that a batch breaks; with *before*, the T rules too."""
    broken = broken_alone(state)
    if before is not None:
        broken |= broken_between(before, state)
    return broken & profile


# --- one event ----------------------------------------------------------------------------------------------


def apply(state: State | None, event: Event) -> State:
    """What an event makes of a batch; judges nothing."""
    if state is None:
        counts = (event.size, 0, 0, 0, 0)
        return State(event.id, "in_progress", counts, created=event.at, expires=event.expires)
    if event.tag == "counts_updated":
        return state._replace(counts=event.counts)
    if event.tag == "cancel_initiated":
        return state._replace(status="canceling", cancel=event.at)
    if event.tag == "ended":
        return state._replace(status="ended", ended=event.at, counts=event.counts, url=event.url)
    if event.tag == "archived":
        return state._replace(archived=event.at, url=event.url)
    if event.tag == "deleted":
        return state._replace(deleted=event.at)
    raise AssertionError(event)


def judge(state: State | None, event: Event, profile: Profile) -> tuple[State | None, frozenset[str]]:
    """
    The state that an event leads to, and every rule of the profile that it newly breaks, advice too.

    T1 comes first; where it fails, nothing else is judged and there is no state.
    """
    if (phase(state), event.tag) not in ARROWS:
        return None, frozenset({"T1"})
    after = apply(state, event)
    if state is None:
        return after, broken_alone(after) & profile
    newly = broken_alone(after) - broken_alone(state)
    # T1 was one arrow, and is there: what is left are the rules from T2 on.
    return after, (newly | (broken_between(state, after) - {"T1"})) & profile


def step(state: State | None, event: Event, profile: Profile) -> tuple[State | None, frozenset[str]]:
    """The state after an event, or None and the rules that refuse it: law and contract, never advice."""
    after, broken = judge(state, event, profile)
    refusing = broken - ADVICE
    return (None, refusing) if refusing else (after, refusing)


# --- commands -----------------------------------------------------------------------------------------------


def repeated(state: State | None, event: Event) -> bool:
    """
    The batch already has what is asked; times are not compared.

    A command is told by the event that it asks for.
    """
    if state is None:
        return False
    if event.tag == "created":
        return (event.id, event.size) == (state.id, sum(state.counts))
    if event.tag == "counts_updated":
        return event.counts == state.counts
    if event.tag == "cancel_initiated":
        return phase(state) == "canceling"
    if event.tag == "ended":
        return state.status == "ended" and (event.counts, event.url) == (state.counts, state.url)
    if event.tag == "archived":
        return state.archived is not None and event.url == state.url
    return state.deleted is not None


def decide(state: State | None, event: Event, profile: Profile) -> tuple[Event, ...] | None:
    """The events that a command comes to, or None where it is rejected."""
    if repeated(state, event):
        return ()
    after, _ = step(state, event, profile)
    return None if after is None else (event,)


# --- snapshots ----------------------------------------------------------------------------------------------


def without_url(state: State) -> State:
    return state._replace(url=None)


class Ways:
    """
    Which states of a batch lead to which, by how many events: found by walking the arrows, each judged on its own.

    *seeds* are where walks may begin (None is a batch that does not exist yet); *events* are all that can happen.
    """

    def __init__(self, seeds: Iterable[State | None], events: Iterable[Event], profile: Profile) -> None:
        self.profile = profile
        self._events = tuple(events)
        self._next: dict[State | None, set[State]] = {}
        waiting = list(seeds)
        while waiting:
            state = waiting.pop()
            if state not in self._next:
                after = {step(state, event, profile)[0] for event in self._events if self._has_arrow(state, event)}
                self._next[state] = {found for found in after if found is not None and found != state}
                waiting += self._next[state]
        self.states = sorted((state for state in self._next if state is not None), key=repr)
        self._found: dict[State | None, dict[State, tuple[int, set[str | None]]]] = {}

    @staticmethod
    def _has_arrow(state: State | None, event: Event) -> bool:
        return (phase(state), event.tag) in ARROWS

    def _reached(self, state: State | None) -> dict[State, tuple[int, set[str | None]]]:
        """Each state that events lead to, less its URL: the fewest events, and the URLs that it can have then."""
        if state not in self._found:
            distances: dict[State | None, int] = {state: 0}
            edge = [state]
            while edge:
                edge = list(dict.fromkeys(b for a in edge for b in self._next[a] if b not in distances))
                distances |= dict.fromkeys(edge, max(distances.values()) + 1)
            found: dict[State, tuple[int, set[str | None]]] = {}
            for reached, distance in distances.items():
                if reached is not None:
                    fewest, urls = found.setdefault(without_url(reached), (distance, set()))
                    found[without_url(reached)] = (min(fewest, distance), urls | {reached.url})
            self._found[state] = found
        return self._found[state]

    def lead(self, start: State | None, goal: State) -> int | None:
        """
        How many events lead from one to the other; None if none do.

        A difference in the URL alone does not count, unless T7 forbids it.
        """
        fewest, urls = self._reached(start).get(without_url(goal), (None, set()))
        if "T7" in self.profile and not any(t7(goal._replace(url=url), goal) for url in urls):
            return None
        return fewest

    def after(self, state: State) -> list[State]:
        """The states that one event leads to."""
        return sorted(self._next[state], key=repr)

    def verdict(self, before: State | None, snapshot: State) -> tuple[str, int]:
        """Equal, later, stale or conflict; and how many events a later snapshot tells of."""
        if check(snapshot, self.profile) - ADVICE:
            return "conflict", 0
        forward = self.lead(before, snapshot)
        if forward:
            return "later", forward
        if forward == 0:
            return "equal", 0
        if before is not None and self.lead(snapshot, before) is not None:
            return "stale", 0
        return "conflict", 0


# --- many streams -------------------------------------------------------------------------------------------


class Stream:
    """What the reducer knows of one stream, with nothing spared."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.last_seen = 0
        self.seen: dict[str, list[Record]] = {}


def reduce(records: Iterable[Record], profile: Profile) -> tuple[list[tuple[int, str]], dict[str, State]]:
    """The findings of a log as (index of the record, rule id), in order; and the last state of each batch."""
    streams: dict[str, Stream] = {}
    findings: list[tuple[int, str]] = []
    for index, record in enumerate(records):
        stream = streams.setdefault(record.batch_id, Stream())
        findings += [(index, rule) for rule in _take(stream, record, profile)]
    return findings, {id_: s.state for id_, s in streams.items() if s.state is not None}


def _take(stream: Stream, record: Record, profile: Profile) -> list[str]:
    is_created = record.event.tag == "created"

    # Until a legal `Created`, every other event is L1 (in place of T1) and does not count as seen.
    if stream.state is None and not is_created:
        return ["L1"]

    # At or below: same event id and content = silent repeat; same id, other content = L4; else L3.
    # All three skipped.
    if record.version <= stream.last_seen:
        same_id = stream.seen.get(record.event_id, [])
        if record in same_id:
            return []
        return ["L4"] if same_id else ["L3"]

    # Above last seen + 1: L3, then judged as usual.
    found = ["L3"] if record.version > stream.last_seen + 1 else []

    if stream.state is not None:
        # After it, every record above the last seen version counts as seen, a skipped one too.
        _see(stream, record)
        # So is a second `Created` (L1 in place of T1).
        if is_created:
            return [*found, "L1"]

    after, broken = judge(stream.state, record.event, profile)
    if is_created and record.event.id != record.batch_id:
        broken |= {"L2"}
    found += sorted(broken, key=ORDER.index)

    # A broken law: reported, and the event is skipped. Contract or advice: reported, and the event applied.
    if not broken & LAW:
        if stream.state is None:
            _see(stream, record)
        stream.state = after
    return found


def _see(stream: Stream, record: Record) -> None:
    stream.last_seen = record.version
    stream.seen.setdefault(record.event_id, []).append(record)
