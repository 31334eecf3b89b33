"""
Many streams at once, in any interleaving: `replay` rebuilds every batch, `audit` finds everything that is wrong.

One reducer does both.  It holds one small state for each stream and eight bytes for each of its records, never the
events.  The T and B rules judge an event, as `lifecycle.folding` has them; the L rules judge its record, here.

Of a long log on the disk, and of Parquet, `lifecycle.screening` takes the streams that are plainly legal, if NumPy is
there: the reducer sees only the others.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, assert_never, runtime_checkable

import attrs

from lifecycle.batch import EPOCH, MessageBatch, Phase, RequestCounts
from lifecycle.errors import LogError, quoted
from lifecycle.events import (
    EVENTS,
    Archived,
    CancelInitiated,
    CountsUpdated,
    Created,
    Deleted,
    Ended,
    Event,
    Record,
)
from lifecycle.folding import check_type
from lifecycle.fusing import State, Steps, newly_broken, steps
from lifecycle.machine import TRANSITIONS, allowed
from lifecycle.rules import LAWS, RULES, WIRE, Profile, Rule, Tier, Violation

if TYPE_CHECKING:
    from lifecycle.lines import File
    from lifecycle.screening import Piece, Screen

LONG = 1 << 25
"""From how many bytes on a log is screened first; before that, loading NumPy takes longer."""
_HALF = 0xFFFFFFFF
_NOWHERE: tuple[None, None] = (None, None)


@attrs.frozen
class Finding(Violation):
    """A violation with its place in a log. Only the rule and the message are there for a line that is no record."""

    batch_id: str | None
    """The stream."""
    version: int | None
    """The version of the record."""
    file: str | None
    """The file that the record was read from, if it was."""
    line: int | None
    """The line of the file, from 1."""
    event: str | None
    """The tag of the event."""
    phase: Phase | None
    """The phase of the batch before the event; None before a legal `Created`."""
    allowed: tuple[str, ...]
    """The tags of the events that the phase admits."""


def finding_values(finding: Finding) -> dict[str, Any]:
    """A finding for programs: the JSON that every command writes."""
    return {
        "batch_id": finding.batch_id,
        "version": finding.version,
        "file": finding.file,
        "line": finding.line,
        "rule": finding.rule.id,
        "tier": finding.rule.tier,
        "event": finding.event,
        "phase": finding.phase,
        "allowed": finding.allowed,
        "message": finding.message,
    }


@attrs.frozen
class Report:
    """What a log amounts to."""

    batches: Mapping[str, MessageBatch]
    """The batch of each stream that has a legal `Created`, by id, in order of first appearance."""
    findings: tuple[Finding, ...]
    """All that is wrong, in the order of the log; those of one record in the order L3, B, T, L."""
    events: int
    """How many records there were, repeats among them; lines that are no record are not counted."""
    streams: int
    """How many batch ids there were, those without a legal `Created` among them."""
    versions: Mapping[str, int]
    """For every stream, in order of first appearance, the version of the last record seen; 0 without a `Created`."""
    broken: frozenset[str]
    """The ids of the streams that have a broken law among their findings."""


@attrs.frozen
class Totals:
    """How much there was in a log."""

    events: int
    """Records, repeats among them; lines that are no record are not counted."""
    streams: int
    """Batch ids, those without a legal `Created` among them."""
    broken: int
    """Batch ids with a broken law among their findings."""
    phases: Mapping[Phase, int]
    """How many batches have come to each phase."""


class Screened(Protocol):
    """The records of a stream that were judged elsewhere: versions from 1 on, with the usual event ids."""

    def has(self, version: int, event_id: str, event: Any) -> bool:
        """Whether a record is one of them."""
        ...

    def knows(self, event_id: str) -> bool:
        """Whether one of them has this event id."""
        ...


class Stream(State):
    """One stream: its batch, and what the L rules ask of it."""

    __slots__ = ("content", "earlier", "first", "legal", "marks", "said", "screened", "version")

    legal: Steps
    version: int
    """The last seen."""
    marks: "array[int]"
    """For each record seen from version `first` on: 32 bits of its event id's hash, 32 of its content's."""
    first: int
    earlier: "tuple[tuple[int, array[int]], ...]"
    """The same for the records before each gap in the versions."""
    said: Any
    """The data of the last event as its line spells it, if it updated the counts and was plainly legal."""
    content: int
    """32 bits of the hash of what `said` says."""
    screened: Screened | None
    """The records before all these, if they were judged elsewhere."""

    def __init__(self, legal: Steps) -> None:
        self.legal = legal
        self.version = 0
        self.marks = array("Q")
        self.first = 1
        self.earlier = ()
        self.said = None
        self.screened = None

    def note(self, version: int, mark: int) -> None:
        """Count the record of *version* as seen."""
        if version != self.first + len(self.marks):
            if self.marks:
                self.earlier += ((self.first, self.marks),)
                self.marks = array("Q")
            self.first = version
        self.marks.append(mark)
        self.version = version

    def runs(self) -> "Iterator[tuple[int, array[int]]]":
        """The marks of the records seen, from one gap to the next: their first version, and they."""
        yield from self.earlier
        yield self.first, self.marks

    def has(self, version: int, mark: int) -> bool:
        """Whether the record of *version* is the one with this *mark*."""
        return any(
            first <= version < first + len(marks) and marks[version - first] == mark for first, marks in self.runs()
        )

    def knows(self, mark: int) -> bool:
        """Whether any record seen has the event id of *mark*. Slow, for what is broken anyway."""
        return any(seen >> 32 == mark >> 32 for _, marks in self.runs() for seen in marks)


@runtime_checkable
class Lines(Protocol):
    """Records as lines that are not decoded yet, such as what `lifecycle.log.read` gives."""

    @property
    def files(self) -> "Sequence[File]":
        """What is read, one after the other."""
        ...

    @property
    def everything(self) -> bool:
        """Whether every record is wanted."""
        ...

    @property
    def max_bytes(self) -> int:
        """The longest line."""
        ...

    def blocks(self) -> Iterator[tuple[str, int, list[bytes | None], bool]]:
        """File, number of the first line, lines (None: too long to keep), and whether the last is torn."""
        ...

    def entry(self, path: str, number: int, line: bytes | None, *, torn: bool) -> Any:
        """The entry (of `lifecycle.wire`) of a line; or the `LogError` that refuses it; or None if it is not wanted."""
        ...


@runtime_checkable
class Tables(Protocol):
    """Records that are columns already, such as those of a Parquet file."""

    def __iter__(self) -> Iterator[Record | LogError]:
        """They, one by one."""
        ...

    def pieces(self, jobs: int) -> "Iterator[Piece]":
        """They, many at a time; with several *jobs* some are read ahead."""
        ...


class Reducer:
    """Folds the records of many streams, one after the other. `add` gives the findings of each."""

    def __init__(self, profile: Profile, data: tuple[type, ...] = ()) -> None:
        """Take *data* for classes of events beside our own: what `lifecycle.wire` decodes for reducers."""
        check_type("profile", profile, Profile)
        classes = (*EVENTS, *data)
        self.tiers = profile.tiers
        self.table = steps(profile.tiers, classes)
        self.unjudged = steps(frozenset(), classes)
        self.streams: dict[str, Stream] = {}
        self.broken: set[str] = set()
        self.events = 0
        self._screen: Screen | None = None

    def add(
        self, batch_id: str, version: int, event_id: str, event: Any, content: int, file: str | None, line: int | None
    ) -> tuple[Finding, ...]:
        """Take one record; *content* is a hash of the event."""
        self.events += 1
        stream = self.streams.get(batch_id)
        if stream is None:
            stream = self.streams[batch_id] = Stream(self.table[None])
        mark = (hash(event_id) & _HALF) << 32 | content & _HALF
        if version == stream.version + 1:  # L3 is kept
            step = stream.legal.get(event.__class__)
            # Only Created leads out of no batch, and only Created names its batch (L2).
            if step is not None and (version != 1 or event.id == batch_id):
                following = step(stream, event)
                if following is not None:
                    stream.legal = following
                    stream.marks.append(mark)
                    stream.version = version
                    return ()
        return tuple(self._carefully(stream, batch_id, version, event_id, event, mark, file, line))

    def _carefully(
        self,
        stream: Stream,
        batch_id: str,
        version: int,
        event_id: str,
        event: Any,
        mark: int,
        file: str | None,
        line: int | None,
    ) -> Iterator[Finding]:
        """Judge a record exactly: what `add` does for one that is not plainly legal."""
        phase, tag = stream.legal.phase, event.tag

        def finding(rule: Rule, message: str) -> Finding:
            if rule.tier is Tier.LAW:
                self.broken.add(batch_id)
            return Finding(rule, message, batch_id, version, file, line, tag, phase, allowed(phase))

        def but(rule_id: str, seen: str) -> Finding:
            rule = RULES[rule_id]
            return finding(rule, f"{rule.sentence[:-1]}, but {seen}")

        if phase is None and tag != "created":
            yield but(*no_arrow(phase, tag))
            return
        place = f"version {version} comes {f'after version {stream.version}' if stream.version else 'first'}"
        if version <= stream.version:
            screened = stream.screened
            if stream.has(version, mark) or (screened is not None and screened.has(version, event_id, event)):
                return
            if stream.knows(mark) or (screened is not None and screened.knows(event_id)):
                yield but("L4", f"event id {event_id!r} came before, with other content")
            else:
                yield but("L3", place)
            return
        if version > stream.version + 1:
            yield but("L3", place)
        following = TRANSITIONS.get((phase, tag))
        if following is None:
            yield but(*no_arrow(phase, tag))
            stream.note(version, mark)
            return
        before = None if phase is None else stream.batch(phase)
        state = State() if before is None else State.of(before)
        self.unjudged[phase][type(event)](state, event)
        found = newly_broken(self.tiers, state.batch(following), before)
        legal = all(violation.rule.tier is not Tier.LAW for violation in found)
        for violation in found:
            yield finding(violation.rule, violation.message)
        if tag == "created" and event.id != batch_id:
            yield but("L2", f"the event names {event.id!r}, the record {batch_id!r}")
            legal = False
        if legal:
            self.unjudged[phase][type(event)](stream, event)
            stream.legal = self.table[following]
        if legal or phase is not None:
            stream.note(version, mark)

    def run(self, records: Iterable[Record | LogError], jobs: int = 1) -> Iterator[Finding]:
        """Take every record of *records*, and yield the findings as they come; *jobs* as of `audit`."""
        self.finish()  # what another run has left
        if isinstance(records, Lines):
            yield from self._run_lines(records, jobs)
            return
        if isinstance(records, Tables):
            from lifecycle.screening import Screen  # noqa: PLC0415 -- it needs NumPy, which whoever has tables has

            self._screen = Screen(self)
            yield from self._screen.run(records.pieces(jobs))
            return
        for record in records:
            if isinstance(record, LogError):
                yield _refused(record)
                continue
            check_type("record", record, Record)
            event, place = record.event, record.place or _NOWHERE
            yield from self.add(record.batch_id, record.version, record.event_id, event, content_of(event), *place)

    def _run_lines(self, reading: Lines, jobs: int) -> Iterator[Finding]:
        """`run` for lines, which is where a long log spends its time."""
        if reading.everything and _long(reading.files):
            try:
                from lifecycle.screening import Screen, of_lines  # noqa: PLC0415 -- it needs NumPy, and time to load it
            except ImportError:
                pass
            else:
                self._screen = Screen(self)
                yield from self._screen.run(of_lines(reading, jobs))
                return
        for path, first, lines, torn in reading.blocks():
            yield from self.take(reading, path, first, lines, torn=torn)

    def take(
        self, reading: Lines, path: str, first: int, lines: list[bytes | None], *, torn: bool = False
    ) -> Iterator[Finding]:
        """
        Take lines.

        They are decoded all at once, and an update that says the last one again is recognised by its bytes.  Where one
        of them has any other form than ours, all go to `add` one by one, by way of the functions of `lifecycle.wire`
        that say whether they are records at all.  So does every record that is not plainly legal, for it has to be
        judged exactly.

        Args:
            reading: Where they come from.
            path: The file.
            first: The number of the first line.
            lines: The lines; None for one that is too long.
            torn: Whether the last has no end.
        """
        from lifecycle import wire  # noqa: PLC0415 -- the core is light to import

        find, half, sequence_of = self.streams.get, _HALF, wire.sequence_of
        prefix, usual, update_type = wire.SOURCE_PREFIX, wire.USUAL_SEQUENCES, wire.type_of(CountsUpdated)
        start = self.table[None]
        plain = 0  # records that were plainly legal
        try:
            try:
                if not reading.everything:
                    raise ValueError  # each record has to be asked for
                envelopes: list[Any] = wire.decode_block(lines)  # type: ignore[arg-type] # None is a TypeError
            except (*wire.REFUSED, TypeError):
                envelopes = [None] * len(lines)
            for number, record in enumerate(envelopes, first):
                if record is not None:
                    # What follows is `add`, without its calls.
                    batch_id = record.subject
                    stream = find(batch_id) or Stream(start)
                    version = stream.version + 1
                    if record.source == prefix + batch_id and record.sequence == (
                        usual[version] if version < 1000 else sequence_of(version)
                    ):
                        if record.type == update_type and record.data == stream.said:
                            # The counts stay as they are: no rule can be newly broken.
                            stream.version = version
                            stream.marks.append((hash(record.id) & half) << 32 | stream.content)
                            plain += 1
                            continue
                        if self._take(wire, stream, record):
                            plain += 1
                            continue
                entry = reading.entry(path, number, lines[number - first], torn=torn)
                yield from self.take_entry(entry, path, number)
        finally:
            self.events += plain

    def _take(self, wire: ModuleType, stream: Stream, record: Any) -> bool:
        """`add` for an envelope that is next in its stream. False if it is not plainly legal: then nothing changed."""
        try:
            event = wire.decode_data(record)
            content = wire.SETTLE[event.__class__](event)
        except wire.REFUSED:
            return False
        batch_id, step = record.subject, stream.legal.get(event.__class__)
        if step is None or "%" in batch_id or (stream.version == 0 and event.id != batch_id):
            return False
        following = step(stream, event)
        if following is None:
            return False
        if stream.version == 0:
            self.streams[batch_id] = stream
        stream.legal = following
        stream.version += 1
        stream.content = content & _HALF
        stream.said = record.data.copy() if event.tag == CountsUpdated.tag else None
        stream.marks.append((hash(record.id) & _HALF) << 32 | stream.content)
        return True

    def take_entry(self, entry: Any, path: str, number: int) -> Iterator[Finding]:
        """Take one line, whatever it is: what `Lines.entry` says of it."""
        if entry is None:
            return
        if isinstance(entry, LogError):
            yield _refused(entry)
            return
        batch_id, version, event_id, event, content, _ = entry
        yield from self.add(batch_id, version, event_id, event, content, path, number)
        self.streams[batch_id].said = None

    def begin(self, batch_id: str, phase: Phase | None, screened: Screened, version: int) -> Stream:
        """Take a stream over that was judged elsewhere up to *version*. What its batch is remains to be set."""
        stream = self.streams[batch_id] = Stream(self.table[phase])
        stream.version, stream.first = version, version + 1
        stream.screened = screened
        return stream

    def finish(self) -> None:
        """See to it that every stream is in `streams`, in the order of their first records."""
        if self._screen is not None:
            self._screen.finish()
            self._screen = None

    def totals(self) -> Totals:
        """How much there was so far."""
        streams, phases = len(self.streams), dict.fromkeys(Phase, 0)
        for stream in self.streams.values():
            if stream.legal.phase is not None:
                phases[stream.legal.phase] += 1
        if self._screen is not None:
            for phase, count in self._screen.phases().items():
                streams += count
                phases[phase] += count
        return Totals(self.events, streams, len(self.broken), phases)


def _long(files: "Sequence[File]") -> bool:
    try:
        sizes = [file.size() for file in files]
    except LogError:
        return False  # what can be read before it is read first
    return None not in sizes and sum(size or 0 for size in sizes) >= LONG


def no_arrow(phase: Phase | None, tag: str) -> tuple[str, str]:
    """Which rule an event breaks in a log that has no arrow from its phase, and what was seen, for people."""
    if tag == "created":
        return "L1", "this is a second created"
    if phase is None:
        return "L1", f"no legal created stands before this {tag}"
    return "T1", f"{tag} came when the batch was {phase}"


# Where Python's own hash of text has a seed that anybody can know (PYTHONHASHSEED, which Spark sets to 0), two events
# with the same content could be written: the second would be taken for a harmless repeat.
_SALT = os.urandom(16).hex()


def content_of(event: Event) -> int:
    """A hash of what *event* says, which nobody can foresee."""
    match event:
        case Created():
            said = f"{event.id!r} {_since(event.created_at)} {_since(event.expires_at)} {event.request_count}"
        case CountsUpdated():
            said = _counts(event.request_counts)
        case Ended():
            said = f"{_counts(event.request_counts)} {_since(event.ended_at)} {event.results_url!r}"
        case CancelInitiated():
            said = _since(event.cancel_initiated_at)
        case Archived():
            said = f"{_since(event.archived_at)} {event.results_url!r}"
        case Deleted():
            said = _since(event.deleted_at)
        case _:
            assert_never(event)
    return hash(f"{_SALT} {event.tag} {said}")


def _counts(counts: RequestCounts) -> str:
    return f"{counts.processing} {counts.succeeded} {counts.errored} {counts.canceled} {counts.expired}"


def _since(time: datetime) -> str:
    since = time - EPOCH  # its own text takes several times as long to make
    return f"{since.days} {since.seconds} {since.microseconds}"


def _refused(error: LogError) -> Finding:
    return Finding(WIRE, error.reason, None, None, error.path, error.line, None, None, ())


def _reducer(records: object, profile: Profile, jobs: int) -> Reducer:
    check_type("jobs", jobs, int)
    if jobs < 1:
        raise ValueError(f"jobs: expected 1 or more, got {jobs}")
    if not isinstance(records, Lines):
        if isinstance(records, str | bytes) or not isinstance(records, Iterable):
            raise TypeError(f"records: expected records, got {quoted(records)}; log.read(path) gives those of a file")
        return Reducer(profile)
    from lifecycle import wire  # noqa: PLC0415 -- the core is light to import

    return Reducer(profile, wire.DATA)


def audit(records: Iterable[Record | LogError], *, profile: Profile = LAWS, jobs: int = 1) -> Iterator[Finding]:
    """
    Find everything that is wrong with a log.

    Args:
        records: The records of any number of streams, in any interleaving; read once. What `lifecycle.log.read` gives
            is taken without building records, and its refused lines are findings with the rule ``wire``; so is a
            `lifecycle.engines.parquet.Reading`, with its refused rows.
        profile: Which rules count.
        jobs: How many processes read a long log, if NumPy is there; of Parquet, with more than one, the next rows are
            read while some are judged. The findings are the same.

    Yields:
        A finding for each violation, in the order of the log. A broken law: the event is skipped, the batch stays as
        it was. Contract or advice: the event is applied. The stream goes on in every case.

    Raises:
        TypeError: *records* is no iterable of records, *profile* is no profile, or *jobs* is no whole number.
        ValueError: *jobs* is less than 1.
        LogError: A file cannot be opened or read to its end.
    """
    return _reducer(records, profile, jobs).run(records, jobs)


def replay(records: Iterable[Record | LogError], *, profile: Profile = LAWS, jobs: int = 1) -> Report:
    """
    Rebuild every batch of a log, and find what is wrong with it.

    Args:
        records: As for `audit`. Memory grows with the streams and by eight bytes a record, not with the events.
        profile: Which rules count.
        jobs: As for `audit`.

    Returns:
        The batches and the findings.

    Raises:
        TypeError: *records* is no iterable of records, *profile* is no profile, or *jobs* is no whole number.
        ValueError: *jobs* is less than 1.
        LogError: A file cannot be opened or read to its end.
    """
    reducer = _reducer(records, profile, jobs)
    findings = tuple(reducer.run(records, jobs))
    reducer.finish()
    streams = reducer.streams
    return Report(
        batches={
            batch_id: stream.batch(stream.legal.phase)
            for batch_id, stream in streams.items()
            if stream.legal.phase is not None
        },
        findings=findings,
        events=reducer.events,
        streams=len(streams),
        versions={batch_id: stream.version for batch_id, stream in streams.items()},
        broken=frozenset(reducer.broken),
    )
