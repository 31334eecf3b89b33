"""
Records as NumPy columns: lines of a log, recognised many at a time.

`scan` knows one form of a line, the one that `lifecycle.wire` writes, and compares every byte of it; its `crc32` is
verified.  A line of any other form is not refused here but left to `lifecycle.wire`, which says of each what it is.  So
what is read does not depend on this module; only the time it takes does.

Nothing here knows a rule.
"""

import os
import re
from array import array
from binascii import hexlify
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from lifecycle import wire
from lifecycle.batch import EPOCH, RequestCounts
from lifecycle.events import EVENTS, Event
from lifecycle.rules import COUNTS

Words = NDArray[np.uint64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bytes = NDArray[np.void]

try:
    from isal.isal_zlib import crc32  # in a third of the time
except ImportError:
    from zlib import crc32

if not hasattr(np, "bitwise_count"):
    raise ImportError("NumPy 2 is needed")

NULL = np.iinfo(np.int64).min
"""What stands for no time."""
LARGEST = 9_999_999
"""The largest number of requests, and the largest version, that a column is read from."""
ID_WORDS = 8
"""The longest batch id that is recognised, in words of 8 bytes."""
TAGS = tuple(cls.tag for cls in EVENTS)
"""A tag in a column is its place here."""

_PAD = b"\0" * 1024
# glibc gives each large array back to the system as soon as it is dropped, and gets the next one page by page, until
# one of up to 32 MiB has been dropped: from then on it keeps what is no larger.
np.empty((32 << 20) - 16384, np.uint8)
_GUESSES = 32  # how many lengths of ids are tried in one block


@attrs.define
class Facts:
    """What records say, one a row: all that the rules ask of them."""

    plain: Flags
    """Whether the rest of the row says it all; if not, the record has to be looked at by itself."""
    version: Whole
    tag: Whole
    """Which event it is: a place in `TAGS`."""
    at: Whole
    """When it happened, in microseconds since 1970; `NULL` for an event that has no time."""
    expires_at: Whole
    """Of `Created`."""
    counts: dict[str, Whole]
    """By the names of the counts; the size that `Created` states is its `processing`."""
    url: Words
    """A number that stands for the `results_url`; 0 if there is none."""


@attrs.define
class Columns(Facts):
    """
    Records of a log, in the order of its lines, or of the rows of a file.

    A row is `plain` if it is a record in the recorded form, with the event id that is usual; of others nothing is
    known, and they have to be read one by one. A `url` is the `url_key`.
    """

    name: NDArray[np.unsignedinteger] | None
    """Whose record it is: a place in `key` and `ids`; None if they have a row for each record."""
    key: Words
    """64 bits that stand for a batch id; other ids may have the same."""
    ids: Words
    """Batch ids, in UTF-8 and filled up with zeros: a row of words for each."""
    urls: dict[int, str]
    """The URLs themselves, by the numbers that stand for them."""

    @classmethod
    def unknown(cls, rows: int) -> "Columns":
        """Rows of which nothing is known."""
        return cls(
            plain=np.zeros(rows, np.bool_),
            name=None,
            key=np.zeros(rows, np.uint64),
            ids=np.zeros((rows, 1), np.uint64),
            version=np.zeros(rows, np.int64),
            tag=np.zeros(rows, np.int64),
            at=np.full(rows, NULL),
            expires_at=np.full(rows, NULL),
            counts={name: np.zeros(rows, np.int64) for name in COUNTS},
            url=np.zeros(rows, np.uint64),
            urls={},
        )

    def content(self, rows: Whole) -> NDArray[np.uint32]:
        """32 bits of a hash of what each of some events says; it is another one in every process."""
        times, numbers = (self.at, self.expires_at), (self.tag, *(self.counts[name] for name in COUNTS), self.url)
        columns = [*((column, NULL) for column in times), *((column, 0) for column in numbers)]
        total = np.full(len(self.tag), _KEYS[0])
        for key, (column, usual) in zip(_PAIRS, columns, strict=True):
            # Most of the times and of the URLs are not there, and most of the numbers are 0.
            others: Any = np.flatnonzero(column != usual)
            if 2 * len(others) > len(column):
                others = slice(None)
            values, (low, high) = column[others].view(np.uint64), (np.uint64(half) for half in key)
            total += np.uint64(_hashed(key, usual))
            more = low * (values & np.uint64(0xFFFFFFFF)) + high * (values >> np.uint64(32))
            total[others] += more - np.uint64(_hashed(key, usual))
        return (total >> np.uint64(32)).astype(np.uint32)[rows]


def content_of(event: Any) -> int:
    """The `Columns.content` of an event, or of the data of one; None of its values may be over what columns hold."""
    names = {field.name for field in attrs.fields(EVENTS[TAGS.index(event.tag)])}
    at = next((micros(getattr(event, name)) for name in _TIMES if name in names), NULL)
    counts: Any = getattr(event, "request_counts", None)
    numbers = [0 if counts is None else getattr(counts, name) for name in COUNTS]
    if event.tag == "created":
        numbers[0] = event.request_count
    url = getattr(event, "results_url", None)
    expires_at = micros(event.expires_at) if "expires_at" in names else NULL
    if any(number > LARGEST for number in numbers):
        return -1
    total = int(_KEYS[0])
    values = at, expires_at, TAGS.index(event.tag), *numbers, 0 if url is None else url_key(url)
    for key, value in zip(_PAIRS, values, strict=True):
        total += _hashed(key, value)
    return (total & 0xFFFFFFFFFFFFFFFF) >> 32


def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def url_key(url: str) -> int:
    """The 64 bits that stand for a URL; never 0."""
    return int.from_bytes(blake2b(url.encode(), digest_size=8).digest(), "little") or 1


def known_url(url: str, urls: dict[int, str]) -> int:
    """The `url_key` of a URL, which is among these from now on; 0 if another one of them has it."""
    key = url_key(url)
    return key if urls.setdefault(key, url) == url else 0


_TIMES = ("created_at", "cancel_initiated_at", "ended_at", "archived_at", "deleted_at")


# Of two events, whatever they are, one in 2^32 pairs of keys makes the contents the same, and nobody can know the keys.
_KEYS = np.frombuffer(os.urandom(8 * (2 * (len(COUNTS) + 4) + 1)), np.uint64)
_PAIRS = _KEYS[1:].reshape(-1, 2).tolist()


def _hashed(key: list[int], value: int) -> int:
    """What a value adds to the hash of an event."""
    return (key[0] * (value & 0xFFFFFFFF) + key[1] * (value >> 32 & 0xFFFFFFFF)) & 0xFFFFFFFFFFFFFFFF


def _mixed(state: Words, word: Words) -> Words:
    state = (state ^ word) * np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(29)
    return state


# ------------------------------------------------------------------------------------------------------------- bytes


class Buffer:
    """
    Bytes, of which something is read at many places at once.

    Args:
        parts: They, cut anywhere.
    """

    def __init__(self, *parts: bytes | memoryview) -> None:
        self.data = b"".join((*parts, _PAD))
        """They, and something behind them."""
        self._views: dict[int, Any] = {}

    def bytes(self, at: Whole, length: int) -> Bytes:
        """So many bytes from each of these places on, each place's as one thing."""
        view = self._views.get(length)
        if view is None:  # one thing of that length at every place, overlapping
            size = len(self.data) - length + 1
            view = self._views[length] = np.ndarray((size,), f"V{length}", self.data, strides=(1,))
        return cast(Bytes, view[at])

    def words(self, at: Whole, length: int) -> Words:
        """So many bytes and up to seven more, from each of these places on: a row of words for each."""
        count = (length + 7) // 8
        return self.bytes(at, 8 * count).view("<u8").reshape(len(at), count)

    def word(self, at: Whole) -> Words:
        """The eight bytes at each of these places."""
        view = self._views.get(0)
        if view is None:
            view = self._views[0] = np.ndarray((len(self.data) - 7,), "<u8", self.data, strides=(1,))
        return cast(Words, view[at])

    def byte(self, at: Whole) -> NDArray[np.uint8]:
        """The byte at each of these places."""
        return np.frombuffer(self.data, np.uint8)[at]


class Block(Buffer):
    """
    Whole lines of a file, as bytes.

    Args:
        parts: The lines, each with its newline, cut anywhere.
    """

    def __init__(self, *parts: bytes | memoryview) -> None:
        super().__init__(*parts)
        self.ends = _newlines(self.data)
        """Where the newline of each line stands."""
        self.starts: Whole = np.empty_like(self.ends)
        """Where each line begins."""
        self.starts[:1] = 0
        self.starts[1:] = self.ends[:-1] + 1

    def line(self, row: int) -> bytes:
        """One line, without its newline."""
        return self.text(self.starts[row], self.ends[row])

    def text(self, start: int, end: int) -> bytes:
        """What stands from one place to another."""
        return self.data[start:end]

    def sums(self) -> NDArray[np.uint32]:
        """The `crc32` of each line that its end is about: of all before its last 20 characters, and a brace."""
        data = self.data
        spans = zip(self.starts.tolist(), (self.ends - 20).tolist(), strict=True)
        found = np.array(array("I", [crc32(data[start:end]) for start, end in spans]), np.uint32)
        return cast(
            NDArray[np.uint32], ~(_CRC[(~found ^ np.uint32(ord("}"))) & np.uint32(0xFF)] ^ (~found >> np.uint32(8)))
        )


def _newlines(data: bytes) -> Whole:
    flags = np.frombuffer(data, np.uint8)[: len(data) // 8 * 8] == ord("\n")
    words = flags.view("<u8")  # a look at words leaves an eighth to look at
    at = np.flatnonzero(words != 0)
    found = words[at]
    if (found & (found - np.uint64(1))).any():
        return np.flatnonzero(flags)  # lines of less than eight characters
    return cast(Whole, at * 8 + (np.bitwise_count(found - np.uint64(1)) >> 3))


def _crc_table() -> NDArray[np.uint32]:
    # What crc32 makes of one byte more: zlib has it for bytes alone.
    table = np.array([crc32(bytes([byte]), 0xFFFFFFFF) for byte in range(256)], np.uint32)
    return ~table


_CRC = _crc_table()


class _Text:
    """Characters that must stand somewhere, with gaps where anything may."""

    def __init__(self) -> None:
        self.text = ""
        self.gaps: dict[str, tuple[int, int]] = {}
        """Where each begins, and how long it is."""

    def add(self, text: str) -> None:
        """Go on with characters that must stand."""
        self.text += text

    def gap(self, name: str, length: int) -> None:
        """Go on with a gap."""
        self.gaps[name] = len(self.text), length
        self.text += " " * length

    def done(self) -> "_Text":
        """No more comes."""
        self.length = len(self.text)
        spans = dict(self.gaps)
        if self.length % 8:
            spans["behind"] = self.length, -self.length % 8
        self._dtype = np.dtype(
            {
                "names": list(spans),
                "formats": [f"V{length}" for _, length in spans.values()],
                "offsets": [start for start, _ in spans.values()],
                "itemsize": (self.length + 7) // 8 * 8,
            }
        )
        self._usual = np.frombuffer(self.text.encode().ljust(self._dtype.itemsize), f"V{self._dtype.itemsize}")
        return self

    def read(self, block: Block, at: Whole, **given: Bytes | str) -> tuple[Bytes, Flags]:
        """
        What stands at these places.

        Args:
            block: Where they are.
            at: The places.
            given: What must stand in gaps, where it is known; a value for each place, or the name of another gap.

        Returns:
            The gaps, by name; and where all that must stand does.
        """
        found = block.bytes(at, self._dtype.itemsize).view(self._dtype)
        # What must stand is compared as one piece, of all places: faster by far than place by place.
        must = np.repeat(self._usual, len(at)).view(self._dtype)
        for name in self._dtype.names or ():
            value = given.get(name, name)
            must[name] = found[value] if isinstance(value, str) else value
        here, there = found.view("<u8"), must.view("<u8")
        if np.array_equal(here, there):
            return found, np.ones(len(at), np.bool_)
        return found, np.bitwise_or.reduce((here ^ there).reshape(len(at), -1), axis=1) == 0

    def stands(self, block: Block, at: Whole) -> Flags:
        """Where, of these places, it stands."""
        return self.read(block, at)[1]


def _text(text: str) -> _Text:
    made = _Text()
    made.add(text)
    return made.done()


def _words(things: Bytes) -> Words:
    """Things of some words each: a row for each."""
    return np.ascontiguousarray(things).view("<u8").reshape(len(things), -1)


_ZEROS = np.uint64(0x3030303030303030)
_HIGH = np.uint64(0x8080808080808080)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _not_digits(values: Words) -> Words:
    """The high bit of each byte that is over 9."""
    return ((values + np.uint64(0x7676767676767676)) | values) & _HIGH


def _eight_digits(values: Words) -> Whole:
    """What eight bytes, each 0 to 9, are as a number."""
    values = (values * np.uint64(10) + (values >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    values = (values * np.uint64(100) + (values >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return ((values * np.uint64(10_000) + (values >> np.uint64(32))) & np.uint64(0xFFFFFFFF)).view(np.int64)


def _number(word: Words) -> tuple[Words, Whole, Flags]:
    """The digits, 1 to 7, with which *word* begins, as `_eight_digits` takes them; how many; whether it is a number."""
    values = word ^ _ZEROS
    stop = _not_digits(values)
    bits = np.bitwise_count((stop & (~stop + np.uint64(1))) - np.uint64(1)) & np.uint8(0x78)  # 8 for each digit
    fine = (stop != 0) & (bits != 0) & ((bits == 8) | ((values & np.uint64(0xFF)) != 0))
    # Eight digits, with zeros in front: a shift by 64 is none at all, so it is made in two.
    return (values << (np.uint64(56) - bits)) << np.uint64(8), (bits >> np.uint8(3)).astype(np.int64), fine


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


# A time in the recorded form is four words: "2025-01-", "29T14:24", ":59.5706", "97+00:00".  Digits become their
# values, and what stands between them becomes 0.
_CLOCK, _CLOCK_GAPS = _word(b"00T00:00"), _word(b"\0\0\xff\0\0\xff\0\0")
_SECONDS, _SECONDS_GAPS = _word(b":00.0000"), _word(b"\xff\0\0\xff\0\0\0\0")
_ZONE, _ZONE_GAPS = _word(b"00+00:00"), _word(b"\0\0\xff\xff\xff\xff\xff\xff")


def _byte(words: Words, place: int) -> Words:
    return words >> np.uint64(8 * place) & np.uint64(0xFF)


def _times(words: Words, *, values: bool = True) -> tuple[Whole, Flags]:
    """
    Read times, four words each.

    Returns:
        Their microseconds since 1970, if *values* are wanted; and which of them are times in the recorded form.
    """
    clock, seconds, zone = words[:, 1] ^ _CLOCK, words[:, 2] ^ _SECONDS, words[:, 3] ^ _ZONE
    wrong = (clock & _CLOCK_GAPS) | (seconds & _SECONDS_GAPS) | (zone & _ZONE_GAPS)
    wrong |= _not_digits(clock) | _not_digits(seconds) | _not_digits(zone)
    hour = _byte(clock, 3) * np.uint64(10) + _byte(clock, 4)
    fine = (wrong == 0) & (hour < 24) & (_byte(clock, 6) < 6) & (_byte(seconds, 1) < 6)
    # The date is the same for many rows, one after the other.
    high, low = words[:, 0], words[:, 1] & np.uint64(0xFFFF)
    change = np.ones(len(words), np.bool_)
    change[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    first = np.flatnonzero(change)
    text = np.ascontiguousarray(words[first, :2]).tobytes()
    days = np.array([_day(text[place : place + 10]) for place in range(0, len(text), 16)], np.int64)
    day = np.repeat(days, np.diff(first, append=len(words)))
    fine &= day != NULL
    if not values:
        return day, fine
    minute = _byte(clock, 6) * np.uint64(10) + _byte(clock, 7) + hour * np.uint64(60)
    # Bytes 1 and 2 of the seconds, 4 to 7 of them, and the two that are left of the fraction: eight digits.
    digits = (seconds >> np.uint64(8) & np.uint64(0xFFFF)) | (seconds >> np.uint64(16) & np.uint64(0xFFFFFFFF0000))
    fraction = _eight_digits(digits | zone << np.uint64(48))
    return np.where(fine, day, 0) + minute.view(np.int64) * 60_000_000 + fraction, fine


@lru_cache(maxsize=100_000)
def _day(text: bytes) -> int:
    """Microseconds of a day since 1970, from such as ``2025-01-29``; `NULL` if there is none such."""
    try:
        return micros(wire.recorded_time(f"{text.decode()}T00:00:00.000000+00:00"))
    except ValueError:
        return NULL


# ------------------------------------------------------------------------------------------------------------- lines

_HEAD = re.compile(rb'\{"specversion":"1\.0","id":"([^"\\/]{1,%d})/[0-9]+","source":' % (8 * ID_WORDS))
_URL = re.compile(rb'"[ !#-\[\]-~]*"\}')
_USUAL = np.array([re.fullmatch(r"[!#$&-.0-\[\]-~]", chr(letter)) is not None for letter in range(256)])
_TAIL = _Text()
_TAIL.add(',"crc32":"')
_TAIL.gap("said", 8)
_TAIL.add('"}\n')
_TAIL.done()
_NULL_URL = _text("null}")
_AFTER_ID = np.uint64(int.from_bytes(b'","sourc', "little"))


def usual_ids(ids: Words) -> Flags:
    """Whether each of these `Columns.ids` stands in its records as it is: no character of it is escaped or encoded."""
    letters = np.ascontiguousarray(ids).view(np.uint8)
    ends = letters == 0
    rest = ends[:, :-1] & ~ends[:, 1:]  # a NUL, and something behind it
    return cast(Flags, ~ends[:, 0] & ~rest.any(axis=1) & (_USUAL[letters] | ends).all(axis=1))


@lru_cache(maxsize=256)
def _start(size: int) -> _Text:
    """The beginning of a line up to its version, if the batch id has *size* characters."""
    text = _Text()
    text.add('{"specversion":"1.0","id":"')
    text.gap("id", size)
    text.add("/")
    return text.done()


class _Shape:
    """What follows the version in a line of one event, if the batch id has *size* characters."""

    def __init__(self, size: int, cls: type[Event]) -> None:
        text = self.text = _Text()
        text.add(f'","source":"{wire.SOURCE_PREFIX}')
        text.gap("source", size)
        text.add('","subject":"')
        text.gap("subject", size)
        before, after = wire.type_of(cls).split(cls.tag)
        text.add(f'","type":"{before}')
        self.tag_at = len(text.text)
        text.add(f'{cls.tag}{after}","sequence":"{"0" * 12}')
        text.gap("sequence", 8)
        text.add('","time":"')
        text.gap("time", 32)
        text.add('","datacontenttype":"application/json","data":{')
        self.tag_word = _word(f'{cls.tag}{after}","'.encode()[:8])
        self.times: list[str] = []
        self.same: dict[str, Bytes | str] = {"source": "subject"}  # L2 is for the reducer to find
        self.rest: list[str | _Text] = []
        """What follows the first gap whose length is not known: the names of numbers, and what stands between."""
        self.url = False
        for place, field in enumerate(attrs.fields(cls)):
            key = f'{"," if place else ""}"{field.name}":'
            if field.type is RequestCounts:
                for first, name in enumerate(COUNTS):
                    self._add(f'{key}{{"{name}":' if first == 0 else f',"{name}":')
                    self.rest.append(name)
                self._add("}")
            elif field.type is int:
                self._add(key)
                self.rest.append(COUNTS[0])  # `request_count`: the size, of which all is processing
            elif field.type is datetime:
                self._add(f'{key}"')
                self.text.gap(field.name, 32)
                self.times.append(field.name)
                self._add('"')
            elif field.name == "id":
                self.same["named"] = "subject"
                self._add(f'{key}"')
                self.text.gap("named", size)
                self._add('"')
            else:
                self._add(key)
                self.url = True
        if not self.url:
            self._add("}")
        text.done()
        texts = [made.done() if isinstance(made, _Text) else None for made in self.rest]
        self.zeros = None
        """The rest, if all further numbers are 0."""
        if len(self.rest) > 2 and not self.url:
            self.zeros = _text("".join("0" if made is None else made.text for made in texts[1:]))

    def _add(self, text: str) -> None:
        if not self.rest:
            self.text.add(text)
        else:
            if not isinstance(self.rest[-1], _Text):
                self.rest.append(_Text())
            cast(_Text, self.rest[-1]).add(text)


@lru_cache(maxsize=1024)
def _shape(size: int, tag: int) -> _Shape:
    return _Shape(size, EVENTS[tag])


def scan(block: Block) -> Columns:
    """
    Read the lines of a block.

    Args:
        block: Its lines may be anything.

    Returns:
        The columns; a row for each line. It remains to be seen whether the batch ids are `usual_ids`.
    """
    found = Columns.unknown(len(block.ends))
    left = np.flatnonzero(_whole(block))
    for _ in range(_GUESSES):
        if not len(left):
            break
        head = _HEAD.match(block.line(left[0]))
        if head is None:
            left = left[1:]
            continue
        size = len(head[1])
        start, first = _start(size), left[0]
        at = block.starts[left]
        version, digits, fits = _number(block.word(at + start.length))
        at += digits + start.length
        fits &= (block.word(at) == _AFTER_ID) & (block.byte(at - digits - 1) == ord("/"))
        found.version[left] = _eight_digits(version)
        tags = block.word(at + _shape(size, 0).tag_at)
        for tag in range(len(TAGS)):
            shape = _shape(size, tag)
            chosen = fits & (tags == shape.tag_word)
            if chosen.any():
                found.tag[left[chosen]] = tag
                _read(found, block, size, shape, left[chosen], at[chosen], version[chosen])
        left = left[~fits]
        if len(left) and left[0] == first:
            left = left[1:]
    return found


def _whole(block: Block) -> Flags:
    """Which lines end as they should, with the right crc32."""
    tail, fine = _TAIL.read(block, np.maximum(block.ends, len(_TAIL.text)) - 20)
    said = np.frombuffer(hexlify(block.sums().astype(">u4").tobytes()), "V8")
    return cast(Flags, fine & (tail["said"] == said) & (block.ends - block.starts >= len(_TAIL.text)))


@attrs.frozen
class Texts:
    """A column of texts."""

    buffer: Buffer
    """They, one behind the other."""
    starts: Whole
    """Where each begins."""
    sizes: Whole
    """How long each is."""

    def of(self, rows: Whole) -> "Texts":
        """Some of them, in any order and any number of times."""
        return Texts(self.buffer, self.starts[rows], self.sizes[rows])

    def bytes(self) -> Iterator[bytes]:
        """They, one by one."""
        data = self.buffer.data
        for start, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            yield data[start : start + size]


@attrs.frozen
class Names:
    """Batch ids, as `Columns` has them."""

    key: Words
    """The `Columns.key` of each."""
    ids: Words
    """The `Columns.ids` of each."""
    sizes: Whole
    """How long each is."""
    fine: Flags
    """Whether the rest says it all: not of one that is too long. It remains to be seen whether they are `usual_ids`."""

    @classmethod
    def of(cls, texts: Texts) -> "Names":
        """Batch ids."""
        sizes = np.minimum(texts.sizes, 8 * ID_WORDS)
        fine = (texts.sizes == sizes) & (sizes > 0)
        fine &= texts.buffer.byte(texts.starts + np.maximum(sizes, 1) - 1) != 0  # as in `_read`
        width = max(1, (int(sizes.max(initial=0)) + 7) // 8)
        ids = texts.buffer.words(texts.starts, 8 * width) & _FIRST[sizes, :width]
        return cls(_key(ids, sizes), ids, sizes, fine)

    def begin(self, texts: Texts, name: Whole) -> Flags:
        """Whether each text begins with a name."""
        width, sizes, ids = self.ids.shape[1], self.sizes[name], self.ids[name]
        same = len(sizes) > 0 and (sizes == sizes[0]).all()
        there = texts.buffer.words(texts.starts, 8 * width) & _FIRST[sizes[:1] if same else sizes, :width]
        fine = texts.sizes >= sizes
        return fine if np.array_equal(there, ids) else fine & (there == ids).all(axis=1)

    def number(self, event_ids: Texts, name: Whole, version: Whole) -> Flags:
        """Whether each event id is the usual one of a name and a version."""
        fine = self.begin(event_ids, name)
        sizes = self.sizes[name]
        digits = event_ids.sizes - sizes - 1
        fine &= (digits > 0) & (digits < 8)
        at = np.where(fine, event_ids.starts + sizes, 0)  # for it may be anywhere
        fine &= event_ids.buffer.byte(at) == ord("/")
        word = event_ids.buffer.word(at + 1) & _FIRST[np.clip(digits, 0, 7), 0]
        values, said, good = _number(word)
        return cast(Flags, fine & good & (said == digits) & (_eight_digits(values) == version))


# The first so many bytes of `ID_WORDS` words.
_FIRST = np.frombuffer(
    b"".join(b"\xff" * size + bytes(8 * ID_WORDS - size) for size in range(8 * ID_WORDS + 1)), "<u8"
).reshape(-1, ID_WORDS)


def _read(found: Columns, block: Block, size: int, shape: _Shape, rows: Whole, at: Whole, version: Words) -> None:
    """Read what follows the version in lines that say that they are of one event."""
    text, fine = shape.text.read(block, at, **shape.same)
    fine &= _start(size).read(block, block.starts[rows], id=text["subject"])[1]
    ids = block.words(at + shape.text.gaps["subject"][0], size)
    last = _ALL >> np.uint64(-size % 8 * 8)
    ids[:, -1] &= last
    fine &= (
        ids[:, -1] & last & ~(last >> np.uint64(8)) != 0
    )  # with a NUL at its end it would be taken for a shorter one
    if ids.shape[1] > found.ids.shape[1]:
        found.ids = np.concatenate(
            (found.ids, np.zeros((len(found.ids), ids.shape[1] - found.ids.shape[1]), np.uint64)), axis=1
        )
    found.ids[rows, : ids.shape[1]] = ids
    found.key[rows] = _key(ids)
    fine &= _words(text["sequence"])[:, 0] ^ _ZEROS == version
    fine &= _times(_words(text["time"]), values=False)[1]
    for name in shape.times:
        values, good = _times(_words(text[name]))
        fine &= good
        (found.expires_at if name == "expires_at" else found.at)[rows] = values
    end = at + shape.text.length
    if shape.rest:
        fine &= _numbers(found, block, shape, rows, end)
    if shape.url:
        fine &= _urls(found, block, rows, end)
    else:
        fine &= end == block.ends[rows] - 20
    found.plain[rows] = fine


def key_of(batch_id: bytes) -> int:
    """The `Columns.key` of a batch id."""
    return int(_key(np.frombuffer(batch_id.ljust(-(-len(batch_id) // 8) * 8, b"\0"), "<u8").reshape(1, -1))[0])


def _key(ids: Words, sizes: Whole | None = None) -> Words:
    """The keys of batch ids: all of the same number of words, or (with *sizes*) of any."""
    mixed = np.zeros(len(ids), np.uint64)
    for column in range(ids.shape[1]):
        more = _mixed(mixed, ids[:, column])
        mixed = more if sizes is None else np.where(sizes > 8 * column, more, mixed)
    return mixed


def _numbers(found: Columns, block: Block, shape: _Shape, rows: Whole, end: Whole) -> Flags:
    """Read the numbers and what stands between them; *end* moves on behind them."""
    first, *rest = shape.rest
    values, digits, fine = _number(block.word(end))
    found.counts[cast(str, first)][rows] = _eight_digits(values)
    end += digits
    if shape.zeros is not None:  # until a batch ends, all its other counts are 0 as a rule
        usual = shape.zeros.stands(block, end)
        end[usual] += shape.zeros.length
        if usual.all():
            return fine
        others = np.flatnonzero(~usual)
        at = end[others]
        fine[others] &= _others(found, block, rest, rows[others], at)
        end[others] = at
        return fine
    return fine & _others(found, block, rest, rows, end)


def _others(found: Columns, block: Block, rest: list[str | _Text], rows: Whole, end: Whole) -> Flags:
    fine = np.ones(len(rows), np.bool_)
    for part in rest:
        if isinstance(part, _Text):
            fine &= part.stands(block, end)
            end += part.length
        else:
            values, digits, good = _number(block.word(end))
            fine &= good
            found.counts[part][rows] = _eight_digits(values)
            end += digits
    return fine


def _urls(found: Columns, block: Block, rows: Whole, at: Whole) -> Flags:
    """Read a URL or null, and the brace behind it."""
    null = _NULL_URL.stands(block, at)
    fine = null & (at + _NULL_URL.length == block.ends[rows] - 20)
    others = np.flatnonzero(~null)
    keys = []
    for start, end in zip(at[others].tolist(), (block.ends[rows[others]] - 20).tolist(), strict=True):
        text = block.text(start, end)
        key = 0
        if _URL.fullmatch(text) is not None:
            key = known_url(text[1:-2].decode(), found.urls)
        keys.append(key)
    found.url[rows[others]] = given = np.array(keys, np.uint64)
    fine[others] = given != 0
    return cast(Flags, fine)
