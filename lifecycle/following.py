"""
Logs that grow: their findings as they come, in little memory, across restarts.

The reducer is that of every audit.  Here it forgets: a stream that has finished is kept as a digest of few bytes
(`lifecycle.digests`), and becomes a stream again when a late record of it comes.  What is finished is judged by the
times in the log, never by the clock on the wall, so every run over the same log says the same.

A checkpoint is all that is needed to go on: how far each log has been read, the live streams, the digests.  It takes
the place of the last one in one step, after all findings that it counts as given have been given.
"""

import contextlib
import json
import os
import stat
import struct
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import chain, combinations, islice, product
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar

import msgspec

from lifecycle import log, wire
from lifecycle.batch import Phase
from lifecycle.digests import Digests, content_of, key_of, mark_of, pack, unpack, without_outcome
from lifecycle.errors import LogError, StreamNotFound, quoted
from lifecycle.events import Created, Record
from lifecycle.folding import check_type
from lifecycle.fusing import new_counts
from lifecycle.lines import CHUNK, GZIP, STDIN, said
from lifecycle.replaying import Finding, Reducer, Stream, Totals, finding_values
from lifecycle.rules import LAWS, Profile, Tier

if TYPE_CHECKING:
    from lifecycle.store import Store

try:
    import fcntl
except ImportError:  # not a POSIX system: the caller has to see to it that there is one follower
    fcntl = None  # type: ignore[assignment] # stands for the module

FORGET_AFTER = timedelta(days=1)
"""How long a batch may have ended, unless the caller says otherwise, before it is kept as a digest."""
EVERY = timedelta(seconds=10)
"""How often a checkpoint is written at the most, unless the caller says otherwise."""
POLL = 0.5
"""How many seconds to wait before a log is looked at again, unless the caller says otherwise."""

_SHARE = 20  # a checkpoint is not written again before so many times as long as it took: 5 % of the time at the most
_RECORDS = 1000  # of a store, between two looks at whether a checkpoint is due
_SAMPLE = 4096  # bytes at the beginning of a file, and before the place it was read to, by which it is known again
_NEVER = "~"  # later than any time, as text
_VERSION = b"1\n"
_MAGIC = b"lifecycle checkpoint " + _VERSION
_SUM = 16  # bytes
_DAMAGED = "it is damaged; start anew, with another file"


# ---------------------------------------------------------------------------------------------------------- reducing


class _Entry(msgspec.Struct, array_like=True):
    """A live stream in a checkpoint."""

    id: str
    phase: str
    version: int
    counts: tuple[int, int, int, int, int]
    total: int
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    cancel_initiated_at: datetime | None
    results_url: str | None
    runs: list[tuple[int, bytes]]
    """The first version, and the marks, eight bytes each."""
    broken: bool


class _Summary(msgspec.Struct):
    """What a reducer has counted, in a checkpoint."""

    clock: str
    events: int
    broken: int
    finished: dict[str, int]
    ended: list[tuple[str, datetime]]


class _Reducer(Reducer):
    """A reducer that forgets what is finished. Its marks are those of `lifecycle.digests`, which last."""

    def __init__(self, profile: Profile, forget_after: timedelta) -> None:
        super().__init__(profile, wire.DATA)
        self._forget_after = forget_after
        self._clock = ""  # the latest time at which a record was written down, in the recorded form
        self._ended: OrderedDict[str, datetime] = OrderedDict()  # what has ended, and what the clock said then
        self._due = _NEVER  # after this time the first of them is forgotten
        self._digests = Digests()
        self._broken = 0  # digests of streams with a broken law
        self._finished: dict[Phase | None, int] = dict.fromkeys((None, *Phase), 0)

    @property
    def finished(self) -> int:
        """How many streams are kept as digests."""
        return len(self._digests)

    def take_lines(self, reading: log.Reading, path: str, first: int, lines: list[bytes | None]) -> Iterator[Finding]:
        """Take lines: `Reducer.take`, for one who forgets."""
        envelopes: list[Any]
        try:
            envelopes = wire.decode_block(lines)  # type: ignore[arg-type] # None is a TypeError
        except (*wire.REFUSED, TypeError):
            envelopes = [None] * len(lines)
        for number, envelope in enumerate(envelopes, first):
            if envelope is None or not self._take_plain(envelope):
                entry = reading.entry(path, number, lines[number - first], torn=False)
                if isinstance(entry, tuple):
                    batch_id, version, event_id, event, _, recorded_at = entry
                    yield from self.judge(batch_id, version, event_id, event, wire.stamp(recorded_at), (path, number))
                else:
                    yield from self.take_entry(entry, path, number)

    def take_records(self, records: list[tuple[int, Record]], name: str) -> Iterator[Finding]:
        """Take records of the store *name*, each with its position."""
        for position, record in records:
            check_type("record", record, Record)
            time, place = wire.stamp(record.recorded_at), (name, position)
            yield from self.judge(record.batch_id, record.version, record.event_id, record.event, time, place)

    def _take_plain(self, envelope: Any) -> bool:
        """Take a record that is plainly legal, and the next of a live or of a new stream. If not, nothing changes."""
        batch_id = envelope.subject
        stream = self.streams.get(batch_id)
        if stream is None:
            if envelope.type != _CREATED or self._digests.get(key_of(batch_id)) is not None:
                return False
            stream = Stream(self.table[None])
        if (
            envelope.source != wire.SOURCE_PREFIX + batch_id
            or "%" in batch_id
            or envelope.sequence != wire.sequence_of(stream.version + 1)
        ):
            return False
        try:
            event = wire.decode_data(envelope)
            content = content_of(event)
            wire.SETTLE[event.__class__](event)
        except wire.REFUSED:
            return False
        return self._step(stream, batch_id, event, mark_of(envelope.id, content), envelope.time)

    def judge(
        self, batch_id: str, version: int, event_id: str, event: Any, time: str, place: tuple[str, int]
    ) -> tuple[Finding, ...]:
        """Take any record; *time* is when it was written down, in the recorded form."""
        stream = self.streams.get(batch_id)
        if stream is None:
            stream = self.streams[batch_id] = self._thawed(batch_id)
        mark = mark_of(event_id, content_of(event))
        if version == stream.version + 1 and self._step(stream, batch_id, event, mark, time):
            return ()
        before = stream.legal.phase
        self.events += 1
        found = tuple(self._carefully(stream, batch_id, version, event_id, event, mark, *place))
        self._see(stream, batch_id, before, time)
        return found

    def _step(self, stream: Stream, batch_id: str, event: Any, mark: int, time: str) -> bool:
        """Take the next record of a stream, if it is plainly legal. If not, nothing changes."""
        before = stream.legal.phase
        step = stream.legal.get(event.__class__)
        # Only Created leads out of no batch, and only Created names its batch (L2).
        if step is None or (before is None and event.id != batch_id):
            return False
        following = step(stream, event)
        if following is None:
            return False
        stream.legal = following
        stream.version += 1
        stream.marks.append(mark)
        self.events += 1
        if before is None:
            self.streams[batch_id] = stream
            stream.id = batch_id  # one text, not two that are equal
        if following.phase is not before or time > self._due:
            self._see(stream, batch_id, before, time)
        elif time > self._clock:
            self._clock = time
        return True

    def _see(self, stream: Stream, batch_id: str, before: Phase | None, time: str) -> None:
        """After each record: keep the clock, and forget what has to be forgotten."""
        self._clock = max(self._clock, time)
        phase = stream.legal.phase
        if phase is not Phase.IN_PROGRESS and phase is not Phase.CANCELING:
            if phase is not Phase.ENDED or (before is Phase.ENDED and batch_id not in self._ended):
                self._forget(batch_id)
            elif before is not Phase.ENDED:
                self._ended[batch_id] = wire.recorded_time(self._clock)
                without_outcome(stream)
                if self._due == _NEVER:
                    self._set_due()
        if self._clock > self._due:
            self._forget_ended()

    def _forget_ended(self) -> None:
        self._set_due()  # the first may have been forgotten for another reason
        while self._clock > self._due:
            self._forget(next(iter(self._ended)))
            self._set_due()

    def _set_due(self) -> None:
        """Find out when the stream that has ended first is to be forgotten."""
        self._due = _NEVER
        with contextlib.suppress(StopIteration, OverflowError):
            self._due = wire.stamp(self._ended[next(iter(self._ended))] + self._forget_after)

    def _forget(self, batch_id: str) -> None:
        """Keep of a stream its digest only."""
        stream = self.streams.pop(batch_id)
        self._ended.pop(batch_id, None)
        broken = batch_id in self.broken
        self.broken.discard(batch_id)
        self._broken += broken
        self._finished[stream.legal.phase] += 1
        self._digests.put(key_of(batch_id), pack(batch_id, stream, broken=broken))

    def _thawed(self, batch_id: str) -> Stream:
        """The stream of a digest; a new one if there is none."""
        digest = self._digests.pop(key_of(batch_id))
        if digest is None:
            return Stream(self.table[None])
        found = unpack(batch_id, digest)
        self._finished[found.phase] -= 1
        if found.broken:
            self._broken -= 1
            self.broken.add(batch_id)
        if found.phase is None:
            return Stream(self.table[None])
        stream = self.begin(batch_id, found.phase, found.remembered, found.version)
        found.fill(stream)
        return stream

    def totals(self) -> Totals:
        """See `Reducer.totals`."""
        live = super().totals()
        phases = {phase: count + self._finished[phase] for phase, count in live.phases.items()}
        return Totals(self.events, live.streams + self.finished, live.broken + self._broken, phases)

    # ---------------------------------------------------------------------------------------------- for checkpoints

    def summary(self) -> _Summary:
        """What it has counted."""
        finished = {phase or "": count for phase, count in self._finished.items()}
        return _Summary(self._clock, self.events, self._broken, finished, list(self._ended.items()))

    def entries(self) -> Iterator[list[_Entry]]:
        """The live streams, in pieces."""
        streams = iter(self.streams.items())
        while piece := [self._entry(*item) for item in islice(streams, 1000)]:
            yield piece

    def _entry(self, batch_id: str, stream: Stream) -> _Entry:
        counts: Any = stream.counts
        return _Entry(
            batch_id,
            stream.legal.phase or "",
            stream.version,
            (counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired),
            stream.total,
            stream.created_at,
            stream.expires_at,
            stream.ended_at,
            stream.cancel_initiated_at,
            stream.results_url,
            [(first, struct.pack(f"<{len(marks)}Q", *marks)) for first, marks in stream.runs()],
            batch_id in self.broken,
        )

    def dump(self) -> Iterator[list[bytes]]:
        """The digests, in pieces."""
        return self._digests.dump()

    def restore(self, summary: _Summary, entries: Iterable[list[_Entry]], digests: Iterable[list[bytes]]) -> None:
        """Become what `summary`, `entries` and `dump` have told."""
        self._clock, self.events, self._broken = summary.clock, summary.events, summary.broken
        self._finished = {phase: summary.finished[phase or ""] for phase in self._finished}
        for entry in chain.from_iterable(entries):
            self.streams[entry.id] = self._stream(entry)
            if entry.broken:
                self.broken.add(entry.id)
        self._digests = Digests.load(digests)
        self._ended = OrderedDict(summary.ended)
        self._set_due()

    def _stream(self, entry: _Entry) -> Stream:
        stream = Stream(self.table[Phase(entry.phase)])
        stream.id, stream.version, stream.total = entry.id, entry.version, entry.total
        stream.counts = new_counts(*entry.counts, _NO_EXTRA)
        stream.created_at, stream.expires_at, stream.ended_at = entry.created_at, entry.expires_at, entry.ended_at
        stream.cancel_initiated_at, stream.results_url = entry.cancel_initiated_at, entry.results_url
        stream.archived_at = stream.deleted_at = None
        *earlier, (stream.first, stream.marks) = [
            (first, array("Q", struct.unpack(f"<{len(marks) >> 3}Q", marks))) for first, marks in entry.runs
        ]
        stream.earlier = tuple(earlier)
        return stream


_CREATED = wire.type_of(Created)
_NO_EXTRA: dict[str, Any] = {}


# -------------------------------------------------------------------------------------------------------------- logs


class _FilePlace(msgspec.Struct, tag="file"):
    """How far a file has been read, in a checkpoint."""

    offset: int
    number: int
    skipping: bool
    head: bytes
    tail: bytes


class _StorePlace(msgspec.Struct, tag="store"):
    """How far a store has been read, in a checkpoint: the last record."""

    position: int = 0
    batch_id: str = ""
    version: int = 0
    event_id: str = ""


class _File:
    """A file that grows. A line without an end is waited for, and read anew each time, for a writer may cut it off."""

    def __init__(self, path: str | os.PathLike[str], max_bytes: int, stack: contextlib.ExitStack) -> None:
        self.name = os.fsdecode(path)
        self._max_bytes = max_bytes
        self._reading = log.read(path, on_error=_ignore, max_bytes=max_bytes)
        self._offset = 0  # where the next line begins; or how far a line over the limit has been passed over
        self._number = 0
        self._skipping = False
        self._torn = False  # reading came to a line without an end
        self._end = 0
        # What was read, not what is there: the first bytes, and those before the place. It is known again by them.
        self._head = self._tail = b""
        self._seen = 0, 0  # size and time of the last change, when it was looked at last
        try:
            # A pipe would be waited for as soon as it is opened.
            regular = self.name != STDIN and stat.S_ISREG(Path(self.name).stat().st_mode)
            if regular:
                self._file = stack.enter_context(Path(self.name).open("rb", buffering=0))  # noqa: SIM115 -- it is
        except (OSError, ValueError) as error:
            raise self._refused(f"cannot be read: {said(error)}") from error
        if not regular:
            raise self._refused("only a regular file, or a store, can be followed")
        if self._bytes(0, len(GZIP)) == GZIP:
            raise self._refused("it is compressed, so it does not grow and cannot be followed")

    @property
    def behind(self) -> int:
        """How many bytes of it have been seen, and not been judged."""
        return self._end - self._offset

    @property
    def unfinished(self) -> int | None:
        """The number of a last line that has no end yet."""
        return self._number + 1 if self._torn else None

    def read(self, reducer: _Reducer) -> Iterator[Iterator[Finding]]:
        """
        Read what has come.

        Yields:
            The findings of each block of lines, to be read to their end before the next; then the block counts as read.

        Raises:
            LogError: It cannot be read, or is not the file that it was.
        """
        size = CHUNK
        self._torn = False
        status = os.fstat(self._file.fileno())
        self._end = status.st_size
        if self._end < self._offset:
            raise self._refused(
                f"it has {self._end:,} bytes, and {self._offset:,} were read: it was cut off or written anew"
            )
        seen = status.st_size, status.st_mtime_ns
        if seen != self._seen and self._samples(self._offset) != (self._head, self._tail):
            raise self._refused(
                f"it has not the bytes any more that were read, up to line {self._number:,}: it was written anew"
            )
        self._seen = seen
        while self._offset < self._end:
            data = self._bytes(self._offset, min(size, self._end - self._offset))
            if not data:
                break  # cut off this very moment
            cut = data.find(b"\n") + 1 if self._skipping else data.rfind(b"\n") + 1
            if self._skipping:
                self._pass(data, cut or len(data))
                self._skipping = not cut
            elif cut:
                lines: list[bytes | None] = [*data[: cut - 1].split(b"\n")]
                if cut > self._max_bytes:
                    lines = [line if line is not None and len(line) <= self._max_bytes else None for line in lines]
                size = CHUNK
                yield self._judged(reducer, lines, data, cut)
            elif len(data) > self._max_bytes:
                yield self._judged(reducer, [None], data, len(data), skipping=True)
            elif len(data) == size:
                size *= 4
            else:
                self._torn = True
                break
        self._check_name()

    def _judged(
        self, reducer: _Reducer, lines: list[bytes | None], data: bytes, size: int, *, skipping: bool = False
    ) -> Iterator[Finding]:
        yield from reducer.take_lines(self._reading, self.name, self._number + 1, lines)
        self._pass(data, size)
        self._number += len(lines)
        self._skipping = skipping

    def _pass(self, data: bytes, size: int) -> None:
        """So many bytes of *data* have been read."""
        self._offset += size
        self._head += data[: min(size, _SAMPLE - len(self._head))]
        self._tail = (self._tail + data[max(0, size - _SAMPLE) : size])[-_SAMPLE:]

    def place(self) -> _FilePlace:
        """How far it has been read."""
        return _FilePlace(self._offset, self._number, self._skipping, _hashed(self._head), _hashed(self._tail))

    def restore(self, place: "_FilePlace | _StorePlace") -> None:
        """
        Go on from a place.

        Raises:
            LogError: This is not the file that was read.
        """
        if not isinstance(place, _FilePlace):
            raise self._refused("the checkpoint is one of a store in its place")
        if os.fstat(self._file.fileno()).st_size < place.offset:
            raise self._refused(f"it is shorter than the {place.offset:,} bytes that were read before the checkpoint")
        self._head, self._tail = self._samples(place.offset)
        if (_hashed(self._head), _hashed(self._tail)) != (place.head, place.tail):
            raise self._refused("it is another file than the one that was read before the checkpoint")
        self._offset, self._number, self._skipping = place.offset, place.number, place.skipping

    def _samples(self, offset: int) -> tuple[bytes, bytes]:
        """By what it is known again: its first bytes, and those before a place, as far as they have been read."""
        size = min(offset, _SAMPLE)
        return self._bytes(0, size), self._bytes(offset - size, size)

    def _bytes(self, start: int, size: int) -> bytes:
        try:
            self._file.seek(start)
            return self._file.read(size)
        except OSError as error:
            raise self._refused(f"cannot be read: {said(error)}") from error

    def _check_name(self) -> None:
        """See that the file that has been read to its end is still the one of that name."""
        try:
            same = os.path.samestat(Path(self.name).stat(), os.fstat(self._file.fileno()))
        except OSError:
            same = False
        if not same:
            raise self._refused(
                f"another file has taken its place, or none, after line {self._number:,}; it was read to its end, "
                "and what has its name now is another log"
            )

    def _refused(self, reason: str) -> LogError:
        return LogError(self.name, None, reason)


class _Store:
    """A store that grows."""

    behind = 0
    unfinished = None

    def __init__(self, store: "Store") -> None:
        self.name = str(getattr(store, "url", type(store).__name__))
        self._store = store
        self._last = _StorePlace()

    def read(self, reducer: _Reducer) -> Iterator[Iterator[Finding]]:
        """See `_File.read`."""
        records = self._store.read_all(after=self._last.position)
        while part := list(islice(records, _RECORDS)):
            yield self._judged(reducer, part)

    def _judged(self, reducer: _Reducer, part: list[tuple[int, Record]]) -> Iterator[Finding]:
        yield from reducer.take_records(part, self.name)
        position, record = part[-1]
        self._last = _StorePlace(position, record.batch_id, record.version, record.event_id)

    def place(self) -> _StorePlace:
        """How far it has been read."""
        return self._last

    def restore(self, place: _FilePlace | _StorePlace) -> None:
        """
        Go on from a place.

        Raises:
            LogError: This is not the store that was read.
        """
        if not isinstance(place, _StorePlace):
            raise LogError(self.name, None, "the checkpoint is one of a file in its place")
        if place.position and not self._has(place):
            raise LogError(self.name, None, "it is another store than the one that was read before the checkpoint")
        self._last = place

    def _has(self, place: _StorePlace) -> bool:
        for position, record in self._store.read_all(after=place.position - 1, limit=1):
            if position == place.position:
                found = record.batch_id, record.version, record.event_id
                return found == (place.batch_id, place.version, place.event_id)
        try:  # it may have been forgotten since
            return self._store.head(place.batch_id).forgotten
        except StreamNotFound:
            return False


def _ignore(_: LogError) -> None:
    """A line is refused: the reducer makes a finding of it."""


def _hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM).digest()


# ------------------------------------------------------------------------------------------------- findings in a file


def encode_finding(finding: Finding) -> bytes:
    """A finding as a line of JSON, with its newline: what ``lifecycle audit --format jsonl`` writes."""
    return json.dumps(finding_values(finding), separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


class _FindingsPlace(msgspec.Struct):
    """How long the file of findings is, in a checkpoint."""

    size: int
    tail: bytes


class _Findings:
    """A file of findings. What comes after the last checkpoint is cut off at the next start, and found once more."""

    def __init__(self, path: str | os.PathLike[str], stack: contextlib.ExitStack) -> None:
        self._name = os.fsdecode(path)
        self._made = not Path(self._name).exists()
        with self._told():
            # Nothing is held back, which could be written after a failure.
            self._file = stack.enter_context(Path(self._name).open("a+b", buffering=0))  # noqa: SIM115 -- it is
        if not _locked(self._file):
            raise LogError(self._name, None, "cannot be written: somebody else is writing it")

    def add(self, finding: Finding) -> None:
        """Write a finding, as far as the system's memory: that outlives the process."""
        left = encode_finding(finding)
        with self._told():
            while left:  # a disk that becomes full takes a part of it
                left = left[self._file.write(left) :]

    def place(self) -> _FindingsPlace:
        """Bring all of it to the disk, and say how long it is."""
        with self._told():
            os.fsync(self._file.fileno())
            size = self._file.seek(0, os.SEEK_END)
            return _FindingsPlace(size, self._tail(size))

    def restore(self, place: _FindingsPlace | None) -> None:
        """
        Leave in it what a checkpoint knows of.

        Raises:
            LogError: It is not the file of the checkpoint.
        """
        with self._told():
            size = self._file.seek(0, os.SEEK_END)
            if place is None:
                if size:
                    raise LogError(
                        self._name, None, "it is not empty, and there is no checkpoint yet: give another file"
                    )
                return
            if size < place.size or self._tail(place.size) != place.tail:
                raise LogError(
                    self._name,
                    None,
                    "it has not the findings of the checkpoint: name the file that the checkpoint was written with",
                )
            self._file.truncate(place.size)

    def undo(self) -> None:
        """Remove it, if it is new: nothing has begun."""
        if self._made:
            with contextlib.suppress(OSError):
                Path(self._name).unlink()

    def _tail(self, size: int) -> bytes:
        start = max(0, size - _SAMPLE)
        self._file.seek(start)
        return _hashed(self._file.read(size - start))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except LogError:
            raise
        except (OSError, ValueError) as error:
            raise LogError(self._name, None, f"cannot be written: {said(error)}") from error


def _locked(file: IO[bytes]) -> bool:
    """Lock a file for as long as it is open, where the system can do that; False if somebody else has."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


# -------------------------------------------------------------------------------------------------------- checkpoints


class _Header(msgspec.Struct):
    """What a checkpoint says first."""

    tiers: list[str]
    forget_after: str
    """Microseconds; as text, for it may have more than 64 bits."""
    max_bytes: str
    places: list[_FilePlace | _StorePlace]
    findings: _FindingsPlace | None
    summary: _Summary


class _Checkpoint:
    """
    A checkpoint's file: a magic line; pieces of MessagePack, each with its length before it; and a sum over all that.

    The pieces are the header, live streams until an empty piece, and digests until an empty piece.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fsdecode(path)
        self.part = f"{self.name}.part"  # the next one, while it is written

    def write(self, header: _Header, entries: Iterable[list[_Entry]], digests: Iterable[list[bytes]]) -> None:
        """
        Put another in its place, durably: whatever happens, one of them is there.

        Raises:
            LogError: It cannot be written. The last one is there still.
        """
        encode = msgspec.msgpack.Encoder().encode
        try:
            with self._part() as file:
                file.truncate(0)
                total = blake2b(digest_size=_SUM)
                pieces = map(encode, chain([header], entries, [[]], digests, [[]]))
                for data in chain([_MAGIC], (struct.pack("<I", len(piece)) + piece for piece in pieces)):
                    total.update(data)
                    file.write(data)
                file.write(total.digest())
                file.flush()
                os.fsync(file.fileno())
                Path(self.part).replace(self.name)
            log.sync_folder(self.name)
        except OSError as error:
            raise self.refused(f"the checkpoint cannot be written: {said(error)}") from error

    @contextlib.contextmanager
    def _part(self) -> Iterator[BinaryIO]:
        """The file next to it, locked, which nobody but a follower has written; it goes if it cannot be written."""
        path = Path(self.part)
        with contextlib.ExitStack() as stack:
            while True:
                # Not "wb", for somebody else may be writing it; who has the lock empties it.
                file = stack.enter_context(path.open("a+b"))
                if not _locked(file):
                    raise self.refused("somebody else is writing it")
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        break
                stack.close()  # before it was locked, another follower made it the checkpoint
            file.seek(0)
            begin = _MAGIC[: -len(_VERSION)]
            if not begin.startswith(file.read(len(begin))):  # what was torn off begins so, too
                raise self.refused(
                    f"the checkpoint cannot be written: {self.part} is in its way, and is no checkpoint; "
                    "remove that, or give another file"
                )
            try:
                yield file
            except BaseException:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[_Header, Iterator[list[_Entry]], Iterator[list[bytes]]] | None]:
        """
        Read it: the header, and what is to be read after it, in this order. None if there is none.

        Raises:
            LogError: It cannot be read, is none, or is damaged.
        """
        try:
            with contextlib.ExitStack() as stack:
                try:
                    file = stack.enter_context(Path(self.name).open("rb"))
                except FileNotFoundError:
                    yield None
                    return
                except ValueError as error:  # no such path can be
                    raise self.refused(f"the checkpoint cannot be read: {said(error)}") from error
                self._check(file)
                header = _piece(file, _Header)
                yield header, iter(lambda: _piece(file, list[_Entry]), []), iter(lambda: _piece(file, list[bytes]), [])
        except LogError:
            raise
        except (msgspec.MsgspecError, struct.error, KeyError, ValueError) as error:
            raise self.refused(_DAMAGED) from error  # though its sum is right
        except OSError as error:
            raise self.refused(f"the checkpoint cannot be read: {said(error)}") from error

    def _check(self, file: BinaryIO) -> None:
        """See that it is whole, and go to its first piece."""
        left = file.seek(0, os.SEEK_END) - _SUM - len(_MAGIC)
        file.seek(0)
        magic = file.read(len(_MAGIC))
        if magic[: -len(_VERSION)] != _MAGIC[: -len(_VERSION)]:
            raise self.refused("it is no checkpoint")
        if magic != _MAGIC:
            raise self.refused("it was written by another release; start anew, with another file")
        total = blake2b(magic, digest_size=_SUM)
        while left > 0:
            data = file.read(min(left, 1 << 20))
            total.update(data)
            left -= len(data)
        if left or file.read() != total.digest():
            raise self.refused(_DAMAGED)
        file.seek(len(_MAGIC))

    def refused(self, reason: str) -> LogError:
        """Why one cannot go on from it."""
        return LogError(self.name, None, reason)


_Piece = TypeVar("_Piece")


def _piece(file: BinaryIO, kind: type[_Piece]) -> _Piece:
    (size,) = struct.unpack("<I", file.read(4))
    return msgspec.msgpack.decode(file.read(size), type=kind)


# ---------------------------------------------------------------------------------------------------------- following


class Following(Iterator[Finding]):
    """What `follow` gives: findings, and how far it is. All of it may be read at any time."""

    def __init__(
        self,
        logs: "tuple[str | os.PathLike[str] | Store, ...]",
        profile: Profile,
        forget_after: timedelta,
        checkpoint: str | os.PathLike[str] | None,
        findings: str | os.PathLike[str] | None,
        every: timedelta,
        poll: float,
        max_bytes: int,
        on_progress: "Callable[[Following], object] | None",
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        *,
        until_end: bool,
    ) -> None:
        if not logs:
            raise ValueError("logs: expected one or more")
        for place in logs:
            if not isinstance(place, str | os.PathLike) and not hasattr(place, "read_all"):
                raise TypeError(f"logs: expected files and stores, got {quoted(place)}")
        for name, span in ("forget_after", forget_after), ("every", every):
            check_type(name, span, timedelta)
            if span < timedelta(0):
                raise ValueError(f"{name}: expected a span of time from 0 on, got {span}")
        if findings is not None and checkpoint is None:
            raise ValueError("findings: a file of findings needs a checkpoint, which says how much of it is right")
        self._logs = logs
        self._profile = profile
        self._forget_after = forget_after
        self._checkpoint = None if checkpoint is None else _Checkpoint(checkpoint)
        self._findings_path = findings
        self._check_names()
        self._findings: _Findings | None = None
        self._every = every.total_seconds()
        self._poll = poll
        self._max_bytes = max_bytes
        self._on_progress = on_progress
        self._sleep = sleep
        self._clock = clock
        self._until_end = until_end
        self._reducer = _Reducer(profile, forget_after)
        self._sources: list[_File | _Store] = []
        self._found = self._run()
        self._between = True  # no record is half judged, and no finding half given
        self._new = False  # something has come since the last checkpoint
        self._next = 0.0  # when the next checkpoint is due
        self._stopped = False
        self.started = False
        """Whether the logs and the checkpoint were found to be good, and it has begun."""
        self.checkpoints = 0
        """How many checkpoints were written."""
        self.spent = 0.0
        """How many seconds that has taken."""
        self.resumed = False
        """Whether it has gone on from a checkpoint."""
        self.waiting = False
        """Whether all that had come was judged when it looked last."""
        self.tiers = dict.fromkeys(Tier, 0)
        """How many findings of each tier were given since the start; those before the checkpoint are not counted."""

    def _check_names(self) -> None:
        """See that no file is asked to be two: what is written here would be read as what was written there."""
        written: list[tuple[str, str]] = []
        if self._checkpoint is not None:
            written = [(self._checkpoint.name, "the checkpoint"), (self._checkpoint.part, "the next checkpoint")]
        if self._findings_path is not None:
            written.append((os.fsdecode(self._findings_path), "the file of findings"))
        logs = [(os.fsdecode(place), "a log") for place in self._logs if isinstance(place, str | os.PathLike)]
        for (name, what), (other, as_well) in chain(combinations(written, 2), product(written, logs)):
            if _same_file(name, other):
                raise ValueError(f"{name} would be {what}, and {as_well} as well: give each a file of its own")

    def __next__(self) -> Finding:
        return next(self._found)

    @property
    def events(self) -> int:
        """How many records there were, repeats among them, from the beginning of the logs."""
        return self._reducer.events

    @property
    def live(self) -> int:
        """How many streams are held whole."""
        return len(self._reducer.streams)

    @property
    def finished(self) -> int:
        """How many streams are held as digests."""
        return self._reducer.finished

    @property
    def behind(self) -> int:
        """How many bytes of the files had come when they were looked at last, and are not judged."""
        return sum(source.behind for source in self._sources)

    @property
    def unfinished(self) -> tuple[tuple[str, int], ...]:
        """The files whose last line has no end yet, and the number of that line."""
        return tuple((source.name, source.unfinished) for source in self._sources if source.unfinished is not None)

    def totals(self) -> Totals:
        """How much there was so far, from the beginning of the logs."""
        return self._reducer.totals()

    def stop(self) -> None:
        """Let it end as soon as the lines that are being judged are done, or the pause is over. For signal handlers."""
        self._stopped = True

    def close(self) -> None:
        """
        End it here, and give back the files.

        If it is in the middle of a block of lines, what was given of that block is given again after a restart.
        """
        self._found.close()

    def _run(self) -> Generator[Finding, None, None]:
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self.started = True
            try:
                while self._goes_on():
                    self.waiting = moved = False
                    for part in self._parts():
                        moved = self._new = True
                        self._between = False
                        yield from self._given(part)
                        self._between = True
                        self._progress()
                        if not self._goes_on():
                            break
                    else:
                        self.waiting = True
                        if self._until_end:
                            break
                        self._progress()
                        if not moved:
                            self._sleep(self._poll)
            finally:
                if self._between:
                    self._save()

    def _goes_on(self) -> bool:
        return not self._stopped

    def _parts(self) -> Iterator[Iterator[Finding]]:
        for source in self._sources:
            yield from source.read(self._reducer)

    def _given(self, part: Iterator[Finding]) -> Iterator[Finding]:
        for finding in part:
            self.tiers[finding.rule.tier] += 1
            if self._findings is not None:
                self._findings.add(finding)
            yield finding

    def _progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self)
        if self._clock() >= self._next:
            self._save()

    def _save(self) -> None:
        """Write what is new into the checkpoint. All findings of what it counts as read have been given."""
        if self._checkpoint is None or not self._new:
            return
        self._new = False
        start = self._clock()
        # The findings first: they have to be on the disk before anything says that they are.
        findings = None if self._findings is None else self._findings.place()
        reducer = self._reducer
        places = [source.place() for source in self._sources]
        header = _Header(*self._options(), places, findings, reducer.summary())
        self._checkpoint.write(header, reducer.entries(), reducer.dump())
        end = self._clock()
        self.checkpoints += 1
        self.spent += end - start
        self._next = end + max(self._every, _SHARE * (end - start))

    def _options(self) -> tuple[list[str], str, str]:
        """What has to be the same before and after a restart."""
        forget_after = self._forget_after // timedelta(microseconds=1)
        return sorted(self._profile.tiers), str(forget_after), str(self._max_bytes)

    def _open(self, stack: contextlib.ExitStack) -> None:
        for place in self._logs:
            if isinstance(place, str | os.PathLike):
                self._sources.append(_File(place, self._max_bytes, stack))
            else:
                self._sources.append(_Store(place))
        if self._checkpoint is None:
            return
        with contextlib.ExitStack() as undoing:
            if self._findings_path is not None:
                self._findings = _Findings(self._findings_path, stack)
                undoing.callback(self._findings.undo)
            with self._checkpoint.opened() as found:
                if found is not None:
                    self._restore(self._checkpoint, *found)
                    self.resumed = True
                elif self._findings is not None:
                    self._findings.restore(None)
            self._new = not self.resumed  # so that it is known now whether one can be written
            self._next = self._clock() + self._every
            self._save()
            undoing.pop_all()

    def _restore(
        self,
        checkpoint: _Checkpoint,
        header: _Header,
        entries: Iterator[list[_Entry]],
        digests: Iterator[list[bytes]],
    ) -> None:
        written = header.tiers, header.forget_after, header.max_bytes
        for what, then, now in zip(_OPTIONS, written, self._options(), strict=True):
            if then != now:
                raise checkpoint.refused(f"it was written with another {what}; go on with that, or with another file")
        if len(header.places) != len(self._sources):
            raise checkpoint.refused(f"it is one of {len(header.places)} logs, not of {len(self._sources)}")
        if header.findings is not None and self._findings is None:
            raise checkpoint.refused("it was written with a file of findings; name that again")
        if header.findings is None and self._findings is not None:
            raise checkpoint.refused(
                "it was written without a file of findings, which would not get the earlier ones; "
                "go on without, or start anew, with another file"
            )
        for source, place in zip(self._sources, header.places, strict=True):
            source.restore(place)
        self._reducer.restore(header.summary, entries, digests)
        if self._findings is not None:
            self._findings.restore(header.findings)


def _same_file(one: str, other: str) -> bool:
    """Whether two names are of one file, or would be if it were made."""
    with contextlib.suppress(ValueError):  # no such path can be, which is told later
        try:
            return Path(one).samefile(other)
        except OSError:  # there is none yet
            return os.path.realpath(one) == os.path.realpath(other)
    return False


_OPTIONS = ("profile", "time to forget after", "longest line")


def follow(
    *logs: "str | os.PathLike[str] | Store",
    profile: Profile = LAWS,
    forget_after: timedelta = FORGET_AFTER,
    checkpoint: str | os.PathLike[str] | None = None,
    findings: str | os.PathLike[str] | None = None,
    until_end: bool = False,
    every: timedelta = EVERY,
    poll: float = POLL,
    max_bytes: int = wire.MAX_BYTES,
    on_progress: Callable[[Following], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Following:
    """
    Audit logs that grow, and give each finding as it comes.

    The findings are those of `lifecycle.audit`, but for late records of finished streams: ``docs/following.md`` says
    which.  Several logs are judged in the order in which their records are come upon: all that the first has, then the
    next, and again from the first.

    Args:
        logs: Files in JSON Lines, and stores.
        profile: Which rules count.
        forget_after: A batch that ended so long ago is kept as a digest, as are those archived and deleted. By the
            latest time at which a record was written down, before it and when it ended; not by any clock.
        checkpoint: A file that says how to go on after a restart. It is made if there is none.
        findings: A file that gets each finding, as a line of JSON, once and once only, whenever the process is killed.
            It needs *checkpoint*, which says how much of it counts.
        until_end: End when all that has come is judged, instead of waiting for more.
        every: How often the checkpoint is written at the most; less often where that takes long.
        poll: How many seconds to wait before a log is looked at again.
        max_bytes: The longest line; a longer one is a finding.
        on_progress: Called after each block of lines, and each time before it waits.
        sleep: Waits so many seconds.
        clock: Seconds, from any time on.

    Returns:
        An iterator of findings, which has more to tell. A finding counts as given when the next one is asked for: after
        a crash those since the last checkpoint are given again, and none is missed.

    Raises:
        LogError: A file cannot be read, or is not what was read before: cut off, or another file; or the checkpoint or
            the file of findings cannot be read or written, is damaged, or is of another audit. Nothing was changed by
            that; what had been judged is in the checkpoint.
        StoreError: A store cannot be read.
        TypeError: Something among *logs* is neither a file nor a store, or a value of the wrong type.
        ValueError: There are no logs, a span is negative, there are *findings* without a *checkpoint*, or one file is
            named as two of them, or as a log, too; the checkpoint's name with ``.part`` counts as well.
    """
    return Following(
        logs,
        profile,
        forget_after,
        checkpoint,
        findings,
        every,
        poll,
        max_bytes,
        on_progress,
        sleep,
        clock,
        until_end=until_end,
    )
