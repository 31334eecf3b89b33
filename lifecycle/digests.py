"""
Finished streams in few bytes each: what a late record of one is still judged by.

A stream that is archived, deleted or long ended has little before it, and what may come is judged by few of its
fields: so much of it is kept exactly.  Of its records, two bytes each are kept (four if their event ids are not the
usual ones), as many as there is room for, the last first.

A digest is bytes, at most `SIZE` of them; a table of digests, `Digests`, keeps millions with a few bytes more for each.
Nothing here depends on the process: hashes are the same in the next one, and on every machine.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from types import MappingProxyType
from typing import Any
from zlib import crc32

import attrs

from lifecycle.batch import Phase
from lifecycle.fusing import new_counts
from lifecycle.replaying import Stream
from lifecycle.wire import stamp

SIZE = 44
"""How long a digest is at most. With its key, and its share of the table, it is less than 64 bytes."""
KEY = 12
"""How long a key is: 96 bits, so that of a thousand million batches no two have the same, but for 1 in 10**11."""

_FILL = 24  # digests in a bucket of the table, on average at the most; more of them make the search in it longer
_HALF = 0xFFFFFFFF


def key_of(batch_id: str) -> bytes:
    """What stands for a batch id."""
    return blake2b(batch_id.encode(errors="surrogatepass"), digest_size=KEY).digest()


# ------------------------------------------------------------------------------------------------- marks that last


def _counts(counts: Any) -> str:
    return "%d %d %d %d %d" % (  # noqa: UP031 -- in half the time of an f-string, for millions
        counts.processing,
        counts.succeeded,
        counts.errored,
        counts.canceled,
        counts.expired,
    )


def _time(time: Any) -> str:
    return time if time.__class__ is str else stamp(time)


_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "created": lambda event: f"1{_time(event.created_at)}{_time(event.expires_at)}{event.request_count} {event.id}",
    "counts_updated": lambda event: f"2{_counts(event.request_counts)}",
    "cancel_initiated": lambda event: f"3{_time(event.cancel_initiated_at)}",
    "ended": lambda event: f"4{_time(event.ended_at)}{_counts(event.request_counts)} {event.results_url!r}",
    "archived": lambda event: f"5{_time(event.archived_at)}{event.results_url!r}",
    "deleted": lambda event: f"6{_time(event.deleted_at)}",
}
"""What an event says, as text that is different for different events."""


def content_of(event: Any) -> int:
    """
    32 bits of what an event says, the same in every process.

    Args:
        event: An event, or the data of one as `lifecycle.wire` decodes them for reducers, with its times as datetimes
            or as text in the recorded form.
    """
    return crc32(_TEXTS[event.tag](event).encode(errors="surrogatepass"))


def mark_of(event_id: str, content: int) -> int:
    """The mark of a record: 32 bits of its event id, 32 of its content."""
    return crc32(event_id.encode(errors="surrogatepass")) << 32 | content


def short(mark: int) -> int:
    """A mark of half the size: 16 bits of each half, mixed, for of a checksum fewer bits are no good one."""
    return ((mark >> 32) * _MIX & _HALF) >> 16 << 16 | ((mark & _HALF) * _MIX & _HALF) >> 16


_MIX = 0x9E3779B1


def _usual(batch_id: str, first: int, count: int) -> list[int]:
    """The upper halves of the short marks of so many records, if their event ids are the usual ones."""
    start = crc32(f"{batch_id}/".encode(errors="surrogatepass"))
    return [(crc32(b"%d" % version, start) * _MIX & _HALF) >> 16 for version in range(first, first + count)]


Run = tuple[int, "array[int]"]
"""The short marks of records whose versions follow one another, and the first of these."""


@attrs.frozen
class Remembered:
    """The records of a finished stream. A `lifecycle.replaying.Screened`."""

    batch_id: str
    runs: tuple[Run, ...]
    """Those that are remembered: the last ones, from one gap in the versions to the next."""
    complete: bool
    """Whether they are all. If not, what came before them cannot be told any more, and passes for a repeat."""
    usual: bool
    """Whether all event ids are the usual ones."""

    def has(self, version: int, event_id: str, event: Any) -> bool:
        """See `Screened.has`."""
        if self._is_forgotten(version):
            return True
        mark = short(mark_of(event_id, content_of(event)))
        return any(
            first <= version < first + len(marks) and marks[version - first] == mark for first, marks in self.runs
        )

    def knows(self, event_id: str) -> bool:
        """See `Screened.knows`."""
        if not self.usual:
            half = short(mark_of(event_id, 0)) >> 16
            return any(mark >> 16 == half for _, marks in self.runs for mark in marks)
        batch_id, _, number = event_id.rpartition("/")
        if batch_id != self.batch_id or not number.isdecimal() or str(int(number[:20])) != number:
            return False
        version = int(number)
        return self._is_forgotten(version) or any(first <= version < first + len(marks) for first, marks in self.runs)

    def _is_forgotten(self, version: int) -> bool:
        return not self.complete and version > 0 and not any(first <= version for first, _ in self.runs)


# ---------------------------------------------------------------------------------------------------------- digests

_FINISHED: tuple[Phase | None, ...] = (None, Phase.ENDED, Phase.ARCHIVED, Phase.DELETED)
_PHASE, _CANCELED, _WIDE, _USUAL, _COMPLETE, _BROKEN = 3, 4, 8, 16, 32, 64

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ODD_BYTES = 6
"""For the time between the creation and another: nine years in microseconds, else it takes eight bytes."""

_TIMES: Mapping[Phase | None, tuple[str, ...]] = MappingProxyType(
    {
        None: (),
        Phase.ENDED: ("created_at", "cancel_initiated_at", "ended_at"),
        Phase.ARCHIVED: ("created_at", "cancel_initiated_at", "ended_at", "archived_at"),
        Phase.DELETED: (),
    }
)
"""By what is left of a batch what may follow is judged, by all rules of every profile: a test asks the rules."""

_NO_COUNTS = new_counts(0, 0, 0, 0, 0, {})


def without_outcome(stream: Stream) -> None:
    """Drop of a stream that has ended what no rule asks for any more."""
    stream.counts, stream.total, stream.results_url = _NO_COUNTS, 0, None
    stream.expires_at = stream.created_at
    stream.marks = array("Q", stream.marks)  # with no room for more


@attrs.frozen
class Digest:
    """What is kept of a finished stream."""

    phase: Phase | None
    """None: no legal `Created` has come."""
    version: int
    """The last seen."""
    broken: bool
    """Whether it has a broken law among its findings."""
    times: Mapping[str, datetime]
    """Those that count, where they are set."""
    remembered: Remembered

    def fill(self, stream: Stream) -> None:
        """Make *stream* what this is, as far as rules can tell. What no rule asks for any more is left empty."""
        stream.id = self.remembered.batch_id
        stream.created_at = self.times.get("created_at", _EARLIEST)
        stream.cancel_initiated_at = self.times.get("cancel_initiated_at")
        stream.ended_at = self.times.get("ended_at")
        stream.archived_at = self.times.get("archived_at")
        stream.deleted_at = None
        without_outcome(stream)


def pack(batch_id: str, stream: Stream, *, broken: bool) -> bytes:
    """
    Make a digest.

    Args:
        batch_id: The stream's.
        stream: The stream; it has ended, or there is no batch yet.
        broken: Whether it has a broken law among its findings.

    Returns:
        At most `SIZE` bytes.
    """
    phase = stream.legal.phase
    flags = _FINISHED.index(phase) | (_BROKEN if broken else 0)
    out = bytearray(1)
    _put(out, stream.version)
    if _TIMES[phase]:
        since, *others = (getattr(stream, name) for name in _TIMES[phase])
        out += _micros(since, _EARLIEST).to_bytes(8, "little")
        spans = [_micros(time, since) for time in others if time is not None]  # none is negative, by B11
        width = 8 if max(spans) >> 8 * _ODD_BYTES else _ODD_BYTES
        flags |= (_WIDE if width == 8 else 0) | (_CANCELED if others[0] is not None else 0)
        for span in spans:
            out += span.to_bytes(width, "little")
    runs, complete = _runs(stream)
    usual = all([mark >> 16 for mark in marks] == _usual(batch_id, first, len(marks)) for first, marks in runs)
    end = stream.version + 1
    for first, marks in reversed(runs):
        head = bytearray()
        _put(head, end - first - len(marks))  # the gap that follows it
        room = (SIZE - len(out) - len(head) - 1) // (2 if usual else 4)
        count = max(0, min(len(marks), room))  # it fits into one byte
        complete = complete and count == len(marks)
        if count:
            kept = marks[len(marks) - count :]
            out += head
            out.append(count)
            out += (
                struct.pack(f"<{count}H", *(mark & 0xFFFF for mark in kept))
                if usual
                else struct.pack(f"<{count}I", *kept)
            )
        if count < len(marks):
            break
        end = first
    out[0] = flags | (_USUAL if usual else 0) | (_COMPLETE if complete else 0)
    return bytes(out)


def _runs(stream: Stream) -> tuple[list[Run], bool]:
    """The short marks of all that is known of the records of *stream*, and whether that is all of them."""
    before = stream.screened
    runs, complete = (list(before.runs), before.complete) if isinstance(before, Remembered) else ([], True)
    for first, marks in stream.runs():
        shorts = array("I", [short(mark) for mark in marks])
        if runs and runs[-1][0] + len(runs[-1][1]) == first:
            runs[-1] = runs[-1][0], runs[-1][1] + shorts
        elif shorts:
            runs.append((first, shorts))
    return runs, complete


def unpack(batch_id: str, digest: bytes) -> Digest:
    """Read a digest of *batch_id*."""
    flags = digest[0]
    phase = _FINISHED[flags & _PHASE]
    version, at = _take(digest, 1)
    times: dict[str, datetime] = {}
    names = [name for name in _TIMES[phase] if name != "cancel_initiated_at" or flags & _CANCELED]
    for place, name in enumerate(names):
        width = 8 if not place or flags & _WIDE else _ODD_BYTES
        span = int.from_bytes(digest[at : at + width], "little") * _MICROSECOND
        times[name] = times["created_at"] + span if place else _EARLIEST + span
        at += width
    usual = bool(flags & _USUAL)
    runs: list[Run] = []
    end = version + 1
    while at < len(digest):
        gap, at = _take(digest, at)
        count, at = digest[at], at + 1
        width = count * (2 if usual else 4)
        marks = array("I", struct.unpack_from(f"<{count}{'H' if usual else 'I'}", digest, at))
        first = end - gap - count
        if usual:
            halves = _usual(batch_id, first, count)
            marks = array("I", [half << 16 | mark for half, mark in zip(halves, marks, strict=True)])
        runs.insert(0, (first, marks))
        at, end = at + width, first
    remembered = Remembered(batch_id, tuple(runs), bool(flags & _COMPLETE), usual)
    return Digest(phase, version, bool(flags & _BROKEN), times, remembered)


def _micros(time: datetime, since: datetime) -> int:
    return (time - since) // _MICROSECOND


def _put(out: bytearray, number: int) -> None:
    """Append a number from 0 on: seven bits a byte, the lowest first."""
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _take(data: bytes, at: int) -> tuple[int, int]:
    """Read what `_put` has written: the number, and where it ends."""
    number = shift = 0
    while data[at] > 127:
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1


# -------------------------------------------------------------------------------------------------------- the table


class Digests:
    """
    Digests by key, in bytes rather than objects.

    They stand in buckets, each one object of bytes: length, key, digest, and the next.  Buckets are split one at a time
    as digests come (linear hashing), so there is never a moment at which all of them move.
    """

    def __init__(self) -> None:
        self._buckets: list[bytes] = [b""]
        self._low = 1  # the largest power of two that is not above the number of buckets
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, key: bytes) -> bytes | None:
        """The digest of *key*, if there is one."""
        bucket = self._buckets[self._place(key)]
        at = _find(bucket, key)
        return None if at < 0 else bucket[at + 1 + KEY : at + 1 + KEY + bucket[at]]

    def put(self, key: bytes, digest: bytes) -> None:
        """Keep a digest for *key*, in the place of any other."""
        place = self._place(key)
        bucket = self._buckets[place]
        at = _find(bucket, key)
        if at < 0:
            self._count += 1
        else:
            bucket = bucket[:at] + bucket[at + 1 + KEY + bucket[at] :]
        self._buckets[place] = b"%b%c%b%b" % (bucket, len(digest), key, digest)
        if self._count > _FILL * len(self._buckets):
            self._split()

    def pop(self, key: bytes) -> bytes | None:
        """Take the digest of *key* out, if there is one."""
        place = self._place(key)
        bucket = self._buckets[place]
        at = _find(bucket, key)
        if at < 0:
            return None
        end = at + 1 + KEY + bucket[at]
        self._buckets[place] = bucket[:at] + bucket[end:]
        self._count -= 1
        return bucket[at + 1 + KEY : end]

    def _place(self, key: bytes) -> int:
        number = int.from_bytes(key[:8], "little")
        place = number & (2 * self._low - 1)
        return place if place < len(self._buckets) else number & (self._low - 1)

    def _split(self) -> None:
        """Let another bucket take half of the oldest that has not been split since their number doubled."""
        old = self._buckets[len(self._buckets) - self._low]
        halves: tuple[list[bytes], list[bytes]] = [], []
        for at in _starts(old):
            number = int.from_bytes(old[at + 1 : at + 9], "little")
            halves[bool(number & self._low)].append(old[at : at + 1 + KEY + old[at]])
        self._buckets[len(self._buckets) - self._low] = b"".join(halves[0])
        self._buckets.append(b"".join(halves[1]))
        if len(self._buckets) == 2 * self._low:
            self._low *= 2

    def dump(self) -> Iterator[list[bytes]]:
        """All that is in it, in pieces for `load`."""
        for start in range(0, len(self._buckets), 1000):
            yield self._buckets[start : start + 1000]

    @classmethod
    def load(cls, pieces: Iterable[list[bytes]]) -> "Digests":
        """What was dumped."""
        found = cls()
        found._buckets = [bucket for piece in pieces for bucket in piece]
        found._low = 1 << len(found._buckets).bit_length() - 1
        found._count = sum(1 for bucket in found._buckets for _ in _starts(bucket))
        return found


def _starts(bucket: bytes) -> Iterator[int]:
    at = 0
    while at < len(bucket):
        yield at
        at += 1 + KEY + bucket[at]


def _find(bucket: bytes, key: bytes) -> int:
    """Where the entry of *key* begins; -1 if there is none."""
    if key not in bucket:
        return -1
    # What looks like the key may be a part of something else.
    return next((at for at in _starts(bucket) if bucket.startswith(key, at + 1)), -1)
