"""
What a set of logs exercises: which arrows of the chart, and which rules.

A rule is **at stake** in a stream if the case is there that the rule speaks of (an ended batch with canceled requests,
for B9), and **broken** if the audit says so.  Either way it is exercised: code that reads these streams has met it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from math import floor
from types import MappingProxyType
from typing import TypeAlias, cast

import attrs

import lifecycle as lc
from lifecycle.testing.faults import STREAM_FAULTS
from lifecycle.testing.tables import table

Arrow: TypeAlias = tuple[lc.Phase | None, str]
"""The phase before (None for no batch yet) and the tag of the event: a key of `lifecycle.TRANSITIONS`."""


Case: TypeAlias = Callable[[lc.MessageBatch, lc.Event], bool]
"""Whether an event and the batch after it are a case that a rule speaks of."""


def _is(*kinds: type[lc.Event]) -> Case:
    return lambda _, event: isinstance(event, kinds)


# Written by hand, for a predicate says when its rule is broken, not when it has something to say.
_EVENTS: Mapping[str, tuple[str, Case]] = MappingProxyType(
    {
        "B1": ("a batch", _is(lc.Created)),
        "B2": ("a batch", _is(lc.Created)),
        "B3": ("a batch", _is(lc.Created)),
        "B5": ("an end", _is(lc.Ended)),
        "B7": ("counts told before the end", _is(lc.CountsUpdated)),
        "B9": ("canceled requests", lambda batch, _: batch.request_counts.canceled > 0),
        "B11": ("a second time", _is(lc.CancelInitiated, lc.Ended, lc.Archived, lc.Deleted)),
        "B12": ("expired requests", lambda batch, _: batch.request_counts.expired > 0),
        "B13": (
            "an end after expires_at",
            lambda batch, event: isinstance(event, lc.Ended) and event.ended_at > batch.expires_at,
        ),
        "B14": ("an end", _is(lc.Ended)),
        "B15": ("an archived batch", _is(lc.Archived)),
        "T1": ("a second event", lambda _, event: not isinstance(event, lc.Created)),
        "T3": ("counts told after the creation", _is(lc.CountsUpdated, lc.Ended)),
        "T5": ("counts told after the creation", _is(lc.CountsUpdated, lc.Ended)),
    }
)
"""For each rule that an event can break: the case that it speaks of, in words and as code."""

_RECORDS: Mapping[str, str] = MappingProxyType(
    {"L1": "a batch", "L2": "a batch", "L3": "a second record", "L4": "a record that comes again"}
)
"""The same for the rules about records."""


@attrs.frozen
class Covered:
    """What some streams exercise. Values of one profile are joined with ``|``."""

    profile: lc.Profile
    """Which rules count."""
    arrows: frozenset[Arrow]
    """The arrows that an event took, legally."""
    at_stake: frozenset[str]
    """The ids of the rules that had something to say: their case was there, or they were broken."""
    broken: frozenset[str]
    """The ids of the rules with findings; a part of `at_stake`. ``wire`` is not counted, it is no rule of the book."""

    @property
    def missing_arrows(self) -> tuple[Arrow, ...]:
        """The arrows that no event took, in the order of the chart."""
        return tuple(arrow for arrow in lc.TRANSITIONS if arrow not in self.arrows)

    @property
    def missing_rules(self) -> tuple[lc.Rule, ...]:
        """The rules that were never at stake, in the order of the rulebook."""
        return tuple(rule for rule in coverable(self.profile) if rule.id not in self.at_stake)

    @property
    def percent(self) -> float:
        """How many of the arrows and of the coverable rules are exercised, of 100."""
        total = len(lc.TRANSITIONS) + len(coverable(self.profile))
        return 100 * (total - len(self.missing_arrows) - len(self.missing_rules)) / total

    @property
    def percent_text(self) -> str:
        """`percent` as it is shown: rounded down, so that what is below a threshold is shown below it."""
        return f"{floor(10 * self.percent) / 10:g} %"

    def __or__(self, other: object) -> "Covered":
        if not isinstance(other, Covered) or other.profile is not self.profile:
            return NotImplemented
        return Covered(
            self.profile, self.arrows | other.arrows, self.at_stake | other.at_stake, self.broken | other.broken
        )

    def __str__(self) -> str:
        """A table: each arrow and each rule with what was seen, and what a stream would need for those that miss."""
        rows = [
            ("arrow", f"{before or '(none)'} -> {tag}", "taken" if (before, tag) in self.arrows else "MISSING", "")
            for before, tag in lc.TRANSITIONS
        ]
        for rule in coverable(self.profile):
            seen = "broken" if rule.id in self.broken else "at stake" if rule.id in self.at_stake else "MISSING"
            rows.append(("rule", rule.id, seen, f"needs {_needs(rule.id)}" if seen == "MISSING" else ""))
        exercised = sum(seen != "MISSING" for _, _, seen, _ in rows)
        sums = f"{exercised} of {len(rows)} arrows and rules exercised under {self.profile.name}: {self.percent_text}"
        return f"{table(('kind', 'what', 'seen', ''), rows)}\n{sums}"


def coverable(profile: lc.Profile) -> tuple[lc.Rule, ...]:
    """
    The rules that a log can break alone under a profile, in the order of the rulebook.

    The others are not asked for: `lifecycle.testing.faults.NOT_IN_STREAMS` says of each why no stream breaks it.
    """
    return tuple(rule for rule in lc.RULES.values() if rule.id in STREAM_FAULTS[profile.name] or rule.id in _RECORDS)


def covered(
    streams: Iterable[lc.Record] | Iterable[Iterable[lc.Event] | Iterable[lc.Record]], *, profile: lc.Profile = lc.LAWS
) -> Covered:
    """
    Say which arrows and rules streams exercise.

    Args:
        streams: Streams of events; or logs, each an iterable of records; or the records of one log, such as
            `lifecycle.log.read` gives. They may be broken. Read once; each stream or log is judged on its own.
        profile: Which rules count.

    Returns:
        What was exercised; ``print`` shows it as a table, with what is missing.

    Raises:
        TypeError: Something is neither an event nor a record, or *profile* is no profile.
    """
    found = Covered(profile, frozenset(), frozenset(), frozenset())
    for records in _logs(streams):
        follower = _Follower()
        broken = frozenset(finding.rule.id for finding in lc.audit(follower.follow(records), profile=profile))
        known = frozenset(rule.id for rule in coverable(profile))
        found |= Covered(profile, frozenset(follower.arrows), known & (follower.at_stake | broken), known & broken)
    return found


_WANTED = "expected streams, such as [[created, ended]], or records"


def _logs(
    streams: Iterable[lc.Record] | Iterable[Iterable[lc.Event] | Iterable[lc.Record]],
) -> Iterator[Iterable[lc.Record]]:
    """Every stream or log as records; a stream of events becomes the log that it would be written to."""
    if not isinstance(streams, Iterable):
        raise TypeError(f"streams: {_WANTED}, got {streams!r}")
    items = iter(streams)
    for item in items:
        if not isinstance(item, Iterable | lc.Record):
            raise TypeError(f"streams: {_WANTED}, got {item!r} among them")
        if isinstance(item, lc.Record):
            yield chain([item], cast("Iterator[lc.Record]", items))
            return
        parts = iter(item)
        first = next(parts, None)
        if isinstance(first, lc.Record):
            yield chain([first], cast("Iterator[lc.Record]", parts))
        elif first is not None:
            yield _recorded([first, *cast("Iterator[lc.Event]", parts)])


def _recorded(events: list[lc.Event]) -> Iterator[lc.Record]:
    batch_id = next((event.id for event in events if isinstance(event, lc.Created)), "")
    for version, event in enumerate(events, 1):
        yield lc.Record(batch_id, version, event, None, datetime.min.replace(tzinfo=UTC))


@attrs.define
class _Life:
    """One stream, as far as it was followed."""

    batch: lc.MessageBatch | None = None
    version: int = 0
    event_ids: set[str] = attrs.Factory(set)


class _Follower:
    """Notes arrows and cases while the records go by; what is broken is for the audit to say."""

    def __init__(self) -> None:
        self.arrows: set[Arrow] = set()
        self.at_stake: set[str] = set()
        self._lives: defaultdict[str, _Life] = defaultdict(_Life)

    def follow(self, records: Iterable[lc.Record | lc.LogError]) -> Iterator[lc.Record | lc.LogError]:
        """The same records."""
        for record in records:
            yield record  # to the audit first, which refuses what is no record
            if isinstance(record, lc.Record):
                self._note(self._lives[record.batch_id], record)

    def _note(self, life: _Life, record: lc.Record) -> None:
        if life.version:
            self.at_stake.add("L3")
        if record.event_id in life.event_ids:
            self.at_stake.add("L4")
        if record.version <= life.version:
            return
        try:
            after = lc.evolve(life.batch, record.event)
        except lc.IllegalEvent:
            return
        if after.id != record.batch_id:
            return
        self.arrows.add((None if life.batch is None else life.batch.phase, record.event.tag))
        self.at_stake |= {"L1", "L2"}
        self.at_stake.update(rule for rule, (_, is_case) in _EVENTS.items() if is_case(after, record.event))
        life.batch, life.version = after, record.version
        life.event_ids.add(record.event_id)


def _needs(rule_id: str) -> str:
    return _EVENTS[rule_id][0] if rule_id in _EVENTS else _RECORDS[rule_id]
