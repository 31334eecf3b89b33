"""
What a log looks like, for people: its requests over time, how long batches stay in each phase, the lives of some.

A reducer tells it what comes of each record, so it counts as the reducer judges: an event that breaks a law is left
out.  It takes any order of streams and gives the same for each.  While a stream is open its life is held, some 600
bytes and 32 for each of its events, up to a hundred; of closed ones only sums, and the lives of a few that are broken.
"""

import operator
from array import array
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import attrs

from lifecycle import wire
from lifecycle.batch import EPOCH, Phase
from lifecycle.errors import LogError
from lifecycle.events import EVENTS, Record
from lifecycle.replaying import Finding, Lines, Reducer, Stream
from lifecycle.rules import COUNTS, Profile, Tier

_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400

WORST: Final = 10
"""Of how many broken batches with the most findings the lives are kept."""
SAMPLE: Final = 50
"""Of how many others: those whose ids have the smallest hashes, which is chance, but the same in every run."""

# ----------------------------------------------------------------------------------------------------------- over time

_WIDTHS = (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, *(_DAY << power for power in range(23)))
"""Widths of columns in seconds, each a multiple of the one before; the last spans all years there are."""
_COLUMNS = 4096
"""How many columns there may be."""


@attrs.frozen
class Column:
    """What was recorded in a span of time."""

    start: int
    """Seconds since 1970."""
    moved: tuple[int, ...]
    """How much more requests there are in each of the five counts, over all batches, than before."""
    events: int
    """How many records there are."""
    findings: int
    """How many findings they gave."""


class Series:
    """
    Sums by the time at which records were made, in columns of one width.

    Only columns that have any records are held.  Where there are too many of them, all become wider.
    """

    def __init__(self, limit: int = _COLUMNS) -> None:
        self._limit = limit
        self._step = 0
        self._sums: dict[int, list[int]] = {}

    @property
    def width(self) -> int:
        """How many seconds a column spans. It begins at a multiple of them."""
        return _WIDTHS[self._step]

    def at(self, time: datetime) -> list[int]:
        """The sums of a column, to be added to at once: the five counts, events, findings."""
        since = time - EPOCH
        second = since.days * _DAY + since.seconds
        sums = self._sums.get(second // _WIDTHS[self._step])
        if sums is None:
            if len(self._sums) == self._limit:
                self._widen()
                return self.at(time)
            sums = self._sums[second // self.width] = [0] * (len(COUNTS) + 2)
        return sums

    def _widen(self) -> None:
        times = _WIDTHS[self._step + 1] // _WIDTHS[self._step]
        self._step += 1
        narrow, self._sums = self._sums, {}
        for place, sums in narrow.items():
            wide = self._sums.setdefault(place // times, [0] * len(sums))
            wide[:] = map(operator.add, wide, sums)

    def add(self, other: "Series") -> None:
        """Count another in; of two widths the sums have the larger."""
        while self.width < other.width:
            self._widen()
        for column in other.columns():
            sums = self.at(EPOCH + column.start * _SECOND)
            sums[:] = map(operator.add, sums, (*column.moved, column.events, column.findings))

    def columns(self) -> list[Column]:
        """The columns that have any records, in order."""
        return [
            Column(place * self.width, tuple(sums[: len(COUNTS)]), *sums[len(COUNTS) :])
            for place, sums in sorted(self._sums.items())
        ]


# ------------------------------------------------------------------------------------------------------- in each phase

PARTS: Final = 20
"""Into how many classes a factor of ten is divided: a class is 12 % wide."""
_BOUNDS = tuple(round(10 ** (place / PARTS)) for place in range(18 * PARTS + 1))  # microseconds; all years are 3e17


class Stays:
    """How long batches stayed in a phase: how many in each class of durations."""

    def __init__(self) -> None:
        self.number = 0
        """How many stays there were."""
        self.shortest = self.longest = timedelta()
        self.classes: dict[int, int] = {}
        """How many there were in a class; class 0 is no time at all, `n` from 10^((n-1)/`PARTS`) microseconds on."""

    def add(self, stay: timedelta) -> None:
        """Count a stay."""
        self.shortest = min(self.shortest, stay) if self.number else stay
        self.longest = max(self.longest, stay)
        self.number += 1
        place = bisect_right(_BOUNDS, stay // _MICROSECOND)
        self.classes[place] = self.classes.get(place, 0) + 1

    def add_all(self, other: "Stays") -> None:
        """Count those of another in."""
        if other.number:
            self.shortest = min(self.shortest, other.shortest) if self.number else other.shortest
            self.longest = max(self.longest, other.longest)
            self.number += other.number
            for place, number in other.classes.items():
                self.classes[place] = self.classes.get(place, 0) + number

    def quantile(self, part: float) -> timedelta:
        """
        How long all but the longest stays took at most: the end of a class, so up to 12 % too much.

        Args:
            part: How many count, from 0 to 1.
        """
        wanted, place = part * self.number, -1
        for place in sorted(self.classes):
            wanted -= self.classes[place]
            if wanted <= 0:
                break
        upper = (_BOUNDS[max(place, 0)] - 1) * _MICROSECOND
        return min(max(upper, self.shortest), self.longest)


# --------------------------------------------------------------------------------------------------------------- lives

_TIERS = (None, Tier.ADVICE, Tier.CONTRACT, Tier.LAW)
_PHASES = (None, *Phase)
_TAGS = {cls.tag: place for place, cls in enumerate(EVENTS)}
_NUMBERS = 4  # that stand for an event
_PLACE = 8 * 8 * 4  # what the place of a file is multiplied with
_HEAD, _TAIL, _AFTER = 8, 24, 24
"""Of a long life: how many events are kept of its beginning, before the first that breaks a law, and from there on."""


@attrs.frozen
class Moment:
    """An event in the life of a batch."""

    version: int
    """Its version, as recorded."""
    recorded_at: datetime
    """When it was recorded."""
    tag: str
    """What happened."""
    file: str | None
    """The file that it was read from, if it was."""
    line: int | None
    """The line."""
    phase: Phase | None
    """The phase of the batch afterwards."""
    tier: Tier | None
    """The highest tier of the rules that it breaks; with `Tier.LAW` it changed nothing."""
    skipped: int
    """How many events before this one are not kept."""


class Life:
    """One batch's events. A long life is kept in parts: its beginning, and what is around the first broken law."""

    __slots__ = ("_events", "_skipped", "broken", "counts", "events", "findings", "id", "phase")

    def __init__(self, batch_id: str) -> None:
        self.id = batch_id
        self.counts: tuple[int, ...] = (0,) * len(COUNTS)
        """The counts of the batch."""
        self.phase: Phase | None = None
        """The phase of the batch."""
        self.events = 0
        """How many there are, kept or not."""
        self.findings = 0
        """How many they gave."""
        self.broken = -1
        """Which of the kept events breaks a law first, from 0; -1 if none does."""
        self._events = array("q")
        self._skipped = 0

    def add(self, version: int, time: datetime, place: int, line: int, tag: str, tier: Tier | None) -> None:
        """Take an event, of the file that has this *place*."""
        self.events += 1
        kept = len(self._events) // _NUMBERS
        if self.broken < 0:
            if tier is Tier.LAW:
                self.broken = kept
            elif kept >= _HEAD + 2 * _TAIL:  # so that a long life is cut once in a while only
                del self._events[_HEAD * _NUMBERS : (_HEAD + _TAIL) * _NUMBERS]
                self._skipped += _TAIL
        elif kept > self.broken + _AFTER:
            return
        code = ((place * 8 + _TAGS[tag]) * 8 + _PHASES.index(self.phase)) * 4 + _TIERS.index(tier)
        self._events.extend((version, (time - EPOCH) // _MICROSECOND, line, code))

    def move(self, places: Sequence[int]) -> None:
        """Take other *places* for the files of its events."""
        for at in range(_NUMBERS - 1, len(self._events), _NUMBERS):
            place, rest = divmod(self._events[at], _PLACE)
            if place:
                self._events[at] = places[place - 1] * _PLACE + rest

    def moments(self, files: Sequence[str]) -> list[Moment]:
        """The events that are kept; *files* by their places."""
        found = []
        numbers = self._events.tolist()
        for kept in range(0, len(numbers), _NUMBERS):
            version, time, line, code = numbers[kept : kept + _NUMBERS]
            code, tier = divmod(code, 4)
            code, phase = divmod(code, 8)
            place, tag = divmod(code, 8)
            found.append(
                Moment(
                    version,
                    EPOCH + time * _MICROSECOND,
                    EVENTS[tag].tag,
                    files[place - 1] if place else None,
                    line or None,
                    _PHASES[phase],
                    _TIERS[tier],
                    self._skipped if kept == _HEAD * _NUMBERS else 0,
                )
            )
        return found


# -------------------------------------------------------------------------------------------------------------- survey

_SINCE = {
    Phase.IN_PROGRESS: "created_at",
    Phase.CANCELING: "cancel_initiated_at",
    Phase.ENDED: "ended_at",
    Phase.ARCHIVED: "archived_at",
    Phase.DELETED: "deleted_at",
}


class Survey:
    """
    What a log looks like.

    Args:
        worst: Of how many broken batches with the most findings the lives are kept.
        sample: Of how many others.
    """

    def __init__(self, *, worst: int = WORST, sample: int = SAMPLE) -> None:
        self.series = Series()
        """The requests over time."""
        self.stays: dict[Phase, Stays] = {phase: Stays() for phase in Phase if phase is not Phase.DELETED}
        """How long batches stayed in each phase, by the times of the events; the stays that have ended."""
        self.broken = 0
        """How many closed streams have a broken law among their findings."""
        self.files: list[str] = []
        """The files that records came from; `Life.moments` needs them."""
        self.first: datetime | None = None
        """The earliest time at which anything was recorded."""
        self.last: datetime | None = None
        """The latest."""
        self.worst = worst
        """Of how many with the most findings the lives are kept."""
        self._places: dict[str, int] = {}
        self._open: dict[str, Life] = {}
        self._worst = _Few(worst)
        self._sample = _Few(worst + sample)  # for the worst may be among them
        self._size = worst + sample

    def reducer(self, profile: Profile) -> Reducer:
        """A reducer that tells this survey what comes of each record."""
        return _Watched(profile, self)

    def take(
        self,
        version: int,
        tag: str,
        time: datetime,
        place: tuple[str | None, int | None],
        batch_id: str,
        stream: Stream,
        found: tuple[Finding, ...],
    ) -> None:
        """Take a record that the reducer has just taken, and what came of it."""
        self._note(time)
        life = self._open.get(batch_id)
        if life is None:
            life = self._open[batch_id] = Life(batch_id)
        sums = self.series.at(time)
        sums[-2] += 1
        phase = stream.legal.phase
        if phase is not None:
            its = stream.counts
            counts = its.processing, its.succeeded, its.errored, its.canceled, its.expired
            if counts != life.counts:
                for number, (now, before) in enumerate(zip(counts, life.counts, strict=True)):
                    sums[number] += now - before
                life.counts = counts
            if phase is not life.phase:
                if life.phase is not None:
                    since = getattr(stream, _SINCE[life.phase])
                    self.stays[life.phase].add(getattr(stream, _SINCE[phase]) - since)
                life.phase = phase
        tier = None
        if found:
            sums[-1] += len(found)
            life.findings += len(found)
            tier = max((finding.rule.tier for finding in found), key=_TIERS.index)
        file, line = place
        life.add(version, time, 0 if file is None else self._place(file), line or 0, tag, tier)

    def _note(self, time: datetime) -> None:
        if self.first is None or time < self.first:
            self.first = time
        if self.last is None or time > self.last:
            self.last = time

    def _place(self, file: str) -> int:
        place = self._places.get(file)
        if place is None:
            self.files.append(file)
            place = self._places[file] = len(self.files)
        return place

    def add(self, other: "Survey") -> None:
        """Count in what another has seen of other streams, all of them closed."""
        self.series.add(other.series)
        for phase, stays in other.stays.items():
            self.stays[phase].add_all(stays)
        for time in (other.first, other.last):
            if time is not None:
                self._note(time)
        self.broken += other.broken
        places = [self._place(file) for file in other.files]
        for life in other.lives():
            life.move(places)
            self._offer(life)

    def close(self) -> None:
        """Say that no more is to come of the streams so far."""
        for life in self._open.values():
            if life.broken >= 0:
                self.broken += 1
                self._offer(life)
        self._open.clear()

    def _offer(self, life: Life) -> None:
        self._worst.offer((-life.findings, life.id), life)
        self._sample.offer((blake2b(life.id.encode(), digest_size=8).digest(), life.id), life)

    def lives(self) -> list[Life]:
        """The lives of the closed streams that are kept, those with the most findings first."""
        chosen = {life.id: life for life in self._worst}
        for life in self._sample:
            if len(chosen) == self._size:
                break
            chosen[life.id] = life
        return sorted(chosen.values(), key=lambda life: (-life.findings, life.id))


class _Few:
    """The few lives with the least keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[Any, Life]] = []

    def offer(self, key: Any, life: Life) -> None:
        insort(self._kept, (key, life), key=lambda kept: kept[0])
        del self._kept[self._size :]

    def __iter__(self) -> Iterator[Life]:
        return (life for _, life in self._kept)


class _Watched(Reducer):
    """A reducer with somebody who watches. It sees every record, so no stream is judged elsewhere."""

    def __init__(self, profile: Profile, survey: Survey) -> None:
        super().__init__(profile, wire.DATA)
        self._survey = survey
        self._time = EPOCH

    def run(self, records: Iterable[Record | LogError], jobs: int = 1) -> Iterator[Finding]:
        """Take every record of *records*; always in this process."""
        if not isinstance(records, Lines):
            yield from super().run(self._noted(records), jobs)
            return
        for path, first, lines, torn in records.blocks():
            for number, line in enumerate(lines, first):
                entry = records.entry(path, number, line, torn=torn)
                if isinstance(entry, tuple):
                    self._time = entry[-1]
                yield from self.take_entry(entry, path, number)

    def _noted(self, records: Iterable[Record | LogError]) -> Iterator[Record | LogError]:
        for record in records:
            if isinstance(record, Record):
                self._time = record.recorded_at
            yield record

    def add(
        self, batch_id: str, version: int, event_id: str, event: Any, content: int, file: str | None, line: int | None
    ) -> tuple[Finding, ...]:
        """Take one record."""
        found = super().add(batch_id, version, event_id, event, content, file, line)
        self._survey.take(version, event.tag, self._time, (file, line), batch_id, self.streams[batch_id], found)
        return found
