"""
The command that makes logs up: generate.

The same arguments give the same bytes on every system: all chance comes from ``random.Random(seed).random()``, which
Python promises not to change.  Lines are written from a template; a test holds them to what
`wire.encode_record` writes.
"""

import contextlib
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import heapify, heapreplace

import attrs

from lifecycle import TRANSITIONS, Phase
from lifecycle.cli.output import CLEAN, progress, until_closed, write
from lifecycle.machine import allowed

_START = datetime(2025, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000  # times are whole microseconds since _START
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LARGEST = 100_000  # requests in one batch (rule B2)
_TAGS = tuple(dict.fromkeys(tag for _, tag in TRANSITIONS))

_ALIVE = 1_000  # batches at a time, unless the caller says otherwise; few who poll have more
_LIVES = 4  # how many lives follow one another where one batch is alive, in a long log
_EVENTS = 8  # in a life, in a short log

Counts = tuple[int, int, int, int, int]


def generate(events: int, seed: int, faults: float, interleave: int | None) -> int:
    """Write a log of *events* lines; say on stderr which of them are faulty, and which rule they break."""
    if interleave is None:
        interleave = min(_ALIVE, max(1, events // 40))
    story = _Story(events, min(interleave, events), random.Random(seed).random, faults)  # noqa: S311 -- nothing secret
    # The labels of the faults go to stderr, too: they are progress enough.
    bar = (
        contextlib.nullcontext()
        if faults
        else progress("generate", lambda: story.lines, events, "events", streams=True)
    )
    with until_closed(), bar:
        for chunk in story.chunks():
            write(chunk)
    return CLEAN


@attrs.define
class _Life:
    """What a batch will go through, and how far it is. Its times are those of events, recorded a little later."""

    id: str
    created: int
    expires: int
    size: int
    ends: int
    outcome: str
    """What becomes of those requests that do not succeed: ``errored`` or ``expired``."""
    polls: int
    """How often its counts are recorded before it ends."""
    cancels: int
    """After how many of these cancellation is asked for; -1 for never."""
    archives: int
    """When its results go; -1 for never."""
    deletes: int
    """How long after that it is deleted; -1 for never."""
    polled: int = 0
    version: int = 0
    phase: Phase | None = None
    counts: Counts = (0, 0, 0, 0, 0)
    counts_data: str = ""
    last: int = 0
    """When it ended or was archived."""

    def next(self) -> str | None:
        """The tag of the next event; None when there is none."""
        match self.phase:
            case None:
                return "created"
            case Phase.IN_PROGRESS if self.polled == self.cancels:
                return "cancel_initiated"
            case Phase.IN_PROGRESS | Phase.CANCELING:
                return "counts_updated" if self.polled < self.polls else "ended"
            case Phase.ENDED if self.archives >= 0:
                return "archived"
            case Phase.ENDED | Phase.ARCHIVED if self.deletes >= 0:
                return "deleted"
            case _:
                return None

    def due(self, tag: str | None, chance: float) -> int:
        """When the event *tag* is to be recorded."""
        late = int(chance * _SECOND)
        match tag:
            case "counts_updated" | "cancel_initiated":
                pause = (self.ends - self.created) // (self.polls + 1)
                return self.created + pause * self.polled + int(pause * (0.5 + chance / 2))
            case "ended":
                return self.ends + late
            case "archived":
                return self.archives + late
            case "deleted":
                return self.last + self.deletes + late
            case _:
                return 0

    def count(self, counts: Counts) -> str:
        """Take *counts*; they are the data of what comes next."""
        self.counts = counts
        self.counts_data = f'{{"request_counts":{_counts(counts)}}}'
        return self.counts_data


class _Story:
    """Many lives at once, in the order of time."""

    def __init__(self, events: int, alive: int, chance: Callable[[], float], faults: float) -> None:
        self._events = events
        self._alive = alive
        self._chance = chance
        self._faults = faults
        # In a long log the lives are longer, not more: who asks for the same number alive gets as many batches.
        self._mean = max(_EVENTS, events // (_LIVES * max(1, alive)))
        self.lines = 0

    def chunks(self) -> Iterator[str]:
        """The lines, some at a time."""
        chance, faults, events = self._chance, self._faults, self._events
        lives = [self._born(int(chance() * self._alive * 10 * _SECOND)) for _ in range(self._alive)]
        # The place in the list decides where times are equal.
        queue = [(life.created + int(chance() * _SECOND), place) for place, life in enumerate(lives)]
        heapify(queue)
        chunk: list[str] = []
        while self.lines < events:
            now, place = queue[0]
            life = lives[place]
            tag = life.next()
            if tag is None:
                life = lives[place] = self._born(now + int(chance() ** 2 * 30 * _DAY))
                heapreplace(queue, (life.created + int(chance() * _SECOND), place))
                continue
            self.lines += 1
            chunk.append(self._fault(life, tag, now) if faults and chance() < faults else self._event(life, tag, now))
            heapreplace(queue, (max(now + 1, life.due(life.next(), chance())), place))
            if len(chunk) == 1000:
                yield "".join(chunk)
                chunk.clear()
        yield "".join(chunk)

    def _below(self, number: int) -> int:
        return int(self._chance() * number)

    def _born(self, now: int) -> _Life:
        """A batch that will be created *now*."""
        chance, below = self._chance, self._below
        name = "".join(_LETTERS[below(62)] for _ in range(22))
        # Most batches are small, and most are done soon.
        size = 1 + int(_LARGEST ** chance()) - 1 or 1
        expired = chance() < 0.08
        lasts = _DAY + below(5 * _MINUTE) + 1 if expired else _MINUTE + int(chance() ** 3 * 22 * _HOUR)
        polls = int(max(0, self._mean - 3) * (0.5 + chance()))
        return _Life(
            id=f"msgbatch_01{name}",
            created=now,
            expires=now + _DAY,
            size=size,
            ends=now + lasts,
            outcome="expired" if expired else "errored",
            polls=polls,
            cancels=below(polls + 1) if not expired and chance() < 0.15 else -1,
            archives=now + 29 * _DAY + below(_DAY) if chance() < 0.5 else -1,
            deletes=below(5 * _DAY) if chance() < 0.25 else -1,
        )

    def _event(self, life: _Life, tag: str, now: int) -> str:
        """The line of the next event of a life, which goes on."""
        life.version += 1
        data = self._data(life, tag, now)
        life.phase = TRANSITIONS[life.phase, tag]
        return _line(life, tag, now, data)

    def _data(self, life: _Life, tag: str, now: int) -> str:
        match tag:
            case "counts_updated":
                life.polled += 1
                return life.counts_data
            case "created":
                life.count((life.size, 0, 0, 0, 0))
                return _created(life.id, life.created, life.expires, life.size)
            case "cancel_initiated":
                return f'{{"cancel_initiated_at":"{_stamp(min(now, life.ends, life.expires))}"}}'
            case "ended":
                return self._end(life, life.ends, self._final(life), url=True)
            case "archived":
                life.last = now
                return f'{{"archived_at":"{_stamp(now)}","results_url":null}}'
            case _:
                return f'{{"deleted_at":"{_stamp(now)}"}}'

    def _final(self, life: _Life) -> Counts:
        """What becomes of the requests that are still in processing."""
        processing, succeeded, errored, canceled, expired = life.counts
        if life.outcome == "expired":
            lost = min(processing, 1 + self._below(processing))
            return 0, succeeded + processing - lost, errored, canceled, expired + lost
        lost = self._below(processing + 1) if life.phase is Phase.CANCELING else 0
        failed = self._below(processing - lost + 1) if self._chance() < 0.3 else 0
        return 0, succeeded + processing - lost - failed, errored + failed, canceled + lost, expired

    def _end(self, life: _Life, time: int, counts: Counts, *, url: bool) -> str:
        life.count(counts)
        life.last = time
        return _ended(life.id, time, counts, url=url)

    # ------------------------------------------------------------------------------------------------------- faults

    def _fault(self, life: _Life, tag: str, now: int) -> str:
        """A line that breaks one rule alone. Then the life goes on as the rules say: after a law as if nothing were."""
        rules = list(_breakable(life, tag))
        rule = rules[self._below(len(rules))]
        version = life.version + 1
        match rule:
            case "wire":
                line = self._damaged(_line(life, tag, now, _untold(life, tag, now), version))
            case "L1" | "L2" if life.phase is None:
                told = (
                    _untold(life, "ended", now)
                    if rule == "L1"
                    else _created("msgbatch_02", life.created, life.expires, 1)
                )
                line = _line(life, "ended" if rule == "L1" else "created", now, told, version)
            case "L3" if life.phase is None or self._chance() < 0.5:  # a gap
                life.version += 1 + self._below(3)
                version = life.version + 1
                line = self._event(life, tag, now)
            case "L3":  # a step back
                version = 1 + self._below(life.version)
                line = _line(life, tag, now, _untold(life, tag, now), version, f"{life.id}/{version}/{self.lines}")
            case "L4":
                version = life.version
                line = _line(life, "deleted", now, _untold(life, "deleted", now), version)
            case "B2" | "B3" | "B9" | "B12" | "B13" | "B14" | "B15":
                line = self._odd(life, tag, now, rule)
            case _:
                life.version = version
                line = self._illegal(life, tag, now, rule)
        label = "- -" if rule == "wire" else f"{life.id} {version}"
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.write(f"line {self.lines}: {rule} {label}\n")
        return line

    def _damaged(self, line: str) -> str:
        """What an unlucky disk or writer makes of a line."""
        cut = 1 + self._below(len(line) - 2)
        match self._below(3):
            case 0:
                return line[:cut] + "\n"
            case 1:
                return line[:-4] + ("0" if line[-4] == "1" else "1") + line[-3:]
            case _:
                return "\0" * cut + "\n"

    def _odd(self, life: _Life, tag: str, now: int, rule: str) -> str:
        """The next event of the life, with something in it that the hosted API does not do."""
        if rule == "B2":
            life.size = 0 if self._chance() < 0.5 else _LARGEST + 1
        elif rule == "B3":
            life.expires += 29 * _DAY
        elif rule == "B15":
            life.archives = -1
            life.version += 1
            life.phase = Phase.ARCHIVED
            life.last += _HOUR
            return _line(life, tag, now, f'{{"archived_at":"{_stamp(life.last)}","results_url":null}}')
        if tag == "created":
            # With no requests none can expire, and with another expiry the end is not after it.
            life.outcome, life.ends = "errored", min(life.ends, life.created + 22 * _HOUR)
            return self._event(life, tag, now)
        processing, succeeded, errored, canceled, expired = life.counts
        counts, time = self._final(life), life.ends
        if rule == "B9":
            counts = (0, succeeded + processing - 1, errored, canceled + 1, expired)
        elif rule == "B12":
            counts = (0, succeeded + processing - 1, errored, canceled, expired + 1)
        elif rule == "B13":
            time = life.expires + 1 + self._below(_HOUR)
        life.version += 1
        life.phase = Phase.ENDED
        return _line(life, tag, now, self._end(life, time, counts, url=rule != "B14"))

    def _illegal(self, life: _Life, tag: str, now: int, rule: str) -> str:
        """An event that comes at the wrong time, or tells of what cannot be."""
        processing, succeeded, errored, canceled, expired = life.counts
        early = life.created - 1 - self._below(_HOUR)
        match rule:
            case "T1":
                tags = [tag for tag in _TAGS[1:] if tag not in allowed(life.phase)]
                tag = tags[self._below(len(tags))]
                return _line(life, tag, now, _untold(life, tag, now))
            case "L1":
                return _line(life, "created", now, _created(life.id, life.created, life.expires, life.size))
            case "T3":
                data = f'{{"request_counts":{_counts((processing - 1, succeeded, errored, canceled, expired))}}}'
            case "T5":
                data = f'{{"request_counts":{_counts((processing + 1, succeeded - 1, errored, canceled, expired))}}}'
            case "B7":
                done = 1 + self._below(processing - 1)
                data = life.count((processing - done, succeeded + done, errored, canceled, expired))
            case "B5":
                time = min(life.ends, life.expires)
                data = _ended(life.id, time, (1, succeeded + processing - 1, errored, canceled, expired), url=True)
                return _line(life, "ended", now, data)
            case _:  # B11
                if tag == "deleted":
                    return _line(life, tag, now, f'{{"deleted_at":"{_stamp(early)}"}}')
                data = _ended(life.id, early, (0, succeeded + processing, errored, canceled, expired), url=True)
                return _line(life, "ended", now, data)
        return _line(life, "counts_updated", now, data)


def _breakable(life: _Life, tag: str) -> Iterator[str]:
    """The rules that the next line of a life can break alone."""
    yield from ("wire", "L1", "L3")
    if life.phase is None:
        yield from ("L2", "B2")
        if life.outcome != "expired":
            yield "B3"
        return
    yield from ("L4", "T1")
    processing, succeeded, *_ = life.counts
    if life.phase in (Phase.IN_PROGRESS, Phase.CANCELING):
        yield "B11"
        if processing:
            yield "B5"
        if processing > 1:
            yield "T3"
            if not succeeded:
                yield "B7"
        if succeeded:
            yield "T5"
    if tag == "ended" and life.outcome != "expired":
        yield "B14"
        if processing:
            yield "B12"
            if life.phase is Phase.IN_PROGRESS:
                yield "B9"
        if life.expires - life.created == _DAY:
            yield "B13"
    elif tag == "archived":
        yield "B15"
    elif tag == "deleted":
        yield "B11"


# --------------------------------------------------------------------------------------------------------------- lines


def _line(life: _Life, tag: str, now: int, data: str, version: int | None = None, event_id: str | None = None) -> str:
    if version is None:
        version = life.version
    whole = (
        f'{{"specversion":"1.0","id":"{event_id or f"{life.id}/{version}"}","source":"/v1/messages/batches/{life.id}",'
        f'"subject":"{life.id}","type":"lifecycle.message_batch.{tag}.v1","sequence":"{version:020d}",'
        f'"time":"{_stamp(now)}","datacontenttype":"application/json","data":{data}}}'
    )
    return f'{whole[:-1]},"crc32":"{zlib.crc32(whole.encode()):08x}"}}\n'


def _untold(life: _Life, tag: str, now: int) -> str:
    """The data of an event that changes nothing, because nobody takes it."""
    match tag:
        case "created":
            return _created(life.id, life.created, life.expires, life.size)
        case "counts_updated":
            return f'{{"request_counts":{_counts(life.counts)}}}'
        case "ended":
            return _ended(life.id, now, (0, life.size, 0, 0, 0), url=True)
        case _:
            return f'{{"{tag}_at":"{_stamp(now)}"}}'


def _created(batch_id: str, created: int, expires: int, size: int) -> str:
    times = f'"created_at":"{_stamp(created)}","expires_at":"{_stamp(expires)}"'
    return f'{{"id":"{batch_id}",{times},"request_count":{size}}}'


def _ended(batch_id: str, time: int, counts: Counts, *, url: bool) -> str:
    where = f'"https://api.anthropic.com/v1/messages/batches/{batch_id}/results"' if url else "null"
    return f'{{"ended_at":"{_stamp(time)}","request_counts":{_counts(counts)},"results_url":{where}}}'


def _counts(counts: Counts) -> str:
    processing, succeeded, errored, canceled, expired = counts
    outcomes = f'"succeeded":{succeeded},"errored":{errored},"canceled":{canceled},"expired":{expired}'
    return f'{{"processing":{processing},{outcomes}}}'


def _stamp(time: int) -> str:
    return (_START + timedelta(microseconds=time)).isoformat(timespec="microseconds")
