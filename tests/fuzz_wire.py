"""
Mutated bodies for the wire: only `WireError` may leave it, and its two paths must admit the same, with equal values.

    python tests/fuzz_wire.py --minutes 30 [--seed N]

A body starts as a snapshot or a record, is changed as a tree (values, keys, repeats, nesting), spelled anew (escapes,
white space, numbers in every spelling), and then, now and then, changed as bytes.  Times are also judged by a second
reading of RFC 3339.  What is found is printed as it comes, at the end the number of executions; the exit status is 1
if anything was found.
"""

import argparse
import json
import random
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

import lifecycle as lc
from lifecycle import wire
from lifecycle.events import EVENTS

# ----------------------------------------------------------------------------------------------------- where it starts

NOW = "2025-01-29T14:24:59.570697+00:00"
_COUNTS = '{"processing":0,"succeeded":2,"errored":1,"canceled":3,"expired":4}'
_LIVE = '{"processing":9223372036854775807,"succeeded":0,"errored":0,"canceled":0,"expired":0}'

BATCHES = (
    f"""{{"id":"msgbatch_01","type":"message_batch","processing_status":"ended","request_counts":{_COUNTS},
    "ended_at":"{NOW}","created_at":"{NOW}","expires_at":"{NOW}","archived_at":null,"cancel_initiated_at":null,
    "results_url":"https://x/y"}}""",
    f"""{{"id":"","type":"message_batch","processing_status":"in_progress","request_counts":{_LIVE},
    "created_at":"0001-01-01T00:00:00Z","expires_at":"9999-12-31T23:59:59.999999Z"}}""",
    f"""{{"processing_status":"canceling","type":"message_batch","request_counts":{_COUNTS},"created_at":"{NOW}",
    "expires_at":"{NOW}","id":"\\u00e9\\ud83d\\ude00","cancel_initiated_at":"2025-01-29t14:24:59.5-08:00",
    "more":[1,{{"a":[0.5,true,null,"x"]}}]}}""",
)
"""Each is a snapshot."""


def _line(tag: str, data: str, subject: str = "msgbatch_01", version: int = 1) -> str:
    return (
        f'{{"specversion":"1.0","id":"{subject}/{version}","source":"{wire.source_of(subject)}","subject":"{subject}",'
        f'"type":"lifecycle.message_batch.{tag}.v1","sequence":"{version:020d}","time":"{NOW}",'
        f'"datacontenttype":"application/json","data":{data}}}'
    )


RECORDS = (
    _line("created", f'{{"id":"msgbatch_01","created_at":"{NOW}","expires_at":"{NOW}","request_count":10}}'),
    _line("counts_updated", f'{{"request_counts":{_COUNTS}}}', version=2),
    _line("cancel_initiated", f'{{"cancel_initiated_at":"{NOW}"}}', "a b/é%", version=2**63 - 1),
    _line("ended", f'{{"ended_at":"{NOW}","request_counts":{_COUNTS},"results_url":"https://x/y"}}'),
    _line("archived", f'{{"archived_at":"{NOW}","results_url":null}}'),
    _line("archived", f'{{"archived_at":"{NOW}"}}', "%2F"),
    _line("deleted", f'{{"deleted_at":"{NOW}"}}', ""),
)
"""Each is a record, without `crc32`."""

# ----------------------------------------------------------------------------------------------- what it puts into them


def _words(text: str) -> list[str]:
    return text.split()


NUMBERS = [
    *_words("""
    0 1 2 -1 -0 00 01 +1 .5 1. 0.0 1.0 2.5 1e0 1e2 1E+2 10e-1 -1e-9 1e309 -1e309 1e-400 1e 0x1 1_0
    NaN Infinity -Infinity nan 9223372036854775807 9223372036854775808 9223372036854775807.0 9223372036854775806.5
    18446744073709551615 18446744073709551616 -9223372036854775808
    """),
    *("9" * 400, "1" + "0" * 5000, "-" + "9" * 700),
]
TIMES = [
    NOW,
    *_words("""
    2025-01-29T14:24:59Z 2025-01-29t14:24:59z 2025-01-29T14:24:59.570697Z 2025-01-29T14:24:59-00:00
    2025-01-29T14:24:59.5706971+00:00 2025-01-29T14:24:59.570697+01:00 2025-01-29T14:24:59+23:59
    2025-01-29T14:24:59-23:59 2025-01-29T14:24:59+24:00 2025-01-29T14:24:59.570697+0000 2025-01-29
    2025-01-29T14:24:60Z 2025-01-29T24:00:00Z 2025-01-29T24:00:00.000000+00:00 2025-02-29T00:00:00Z
    20250129T142459Z 2025-W05-3T14:24:59Z 2025-029T14:24:59Z 2025-01-29T14:24:59,570697+00:00 2025-01-29T14:24:59
    0001-01-01T00:00:00+00:01 9999-12-31T23:59:59.999999-00:01 0000-01-01T00:00:00Z 0001-01-01T00:00:00.000000+00:00
    2025-01-29T14:24:59.570697+00:60 2025-01-29T14:24:59.+00:00 2025-01-29T14:24:59.570697+00:00:00
    """),
    "2025-01-29 14:24:59Z",
    "\uff12025-01-29T14:24:59.570697+00:00",  # a full-width digit
    "2025-01-29T14:24:59.570697+00:0\uff10",
]
SEQUENCES = [
    *_words("""
    00000000000000000001 09223372036854775807 09223372036854775808 00000000000000000000 0000000000000000000x
    +0000000000000000001 -0000000000000000001 0000000000000000000_1 000000000000000000_1 000000000000000000001
    99999999999999999999 1
    """),
    "",
    " 0000000000000000001",
    "000000000000000000\u06601",  # an Arabic digit
    "0000000000000000000\u00b2",
]
SOURCES = [
    *_words("""
    /v1/messages/batches/ /v1/messages/batches/msgbatch_01 /v1/messages/batches/msgbatch%5F01 msgbatch_01
    /v1/messages/batches/a%20b%2F%C3%A9%25 /v1/messages/batches/a+b%2f%c3%a9%25 /v1/messages/batches/%252F
    /v1/messages/batches/%2F /v1/messages/batches// /v1/messages/batches/%ff % %2 /V1/messages/batches/msgbatch_01
    /v1/messages/batches/msgbatch_01/ /v1/messages/batches/msgbatch_01%
    """),
    "",
    "/v1/messages/batches/a b/é%",
]
_TYPES = ["message_batch", *(f"lifecycle.message_batch.{cls.tag}.v{v}" for cls in EVENTS for v in (1, 2))]
_STRINGS = [
    *_words("""
    x msgbatch_01 in_progress canceling ended canceled 1.0 application/json id type data crc32 extra é a/b %2F 😀 Z
    """),
    *("", "\u2028", "\x7f", 'Z"', "\\", "\n", "a b/é%"),
]
_RAW = [
    *_words(r"""
    "\ud800" "\udc00\ud800" "\ud83d\ude00" "\uD83D\uDE00" "\u0000" "\x" "\u12" " "\u006dessage_batch" 'x'
    true false null True nul [] {} [[]] {"a":{}} [1,] {,} //c {"processing":1}
    """),
    *('"\t"', "", _COUNTS, '{"a":' * 64 + "1" + "}" * 64, "[" * 70 + "]" * 70, "[" * 3000 + "]" * 3000),
]


def _quoted(texts: Sequence[str]) -> list[bytes]:
    return [json.dumps(text).encode() for text in texts]


def _bare(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in texts]


_SUITED = (
    dict.fromkeys(
        ("created_at", "expires_at", "ended_at", "archived_at", "cancel_initiated_at", "deleted_at", "time"),
        _quoted(TIMES),
    )
    | dict.fromkeys(
        ("request_count", "processing", "succeeded", "errored", "canceled", "expired"),
        _bare(NUMBERS),
    )
    | {
        "sequence": _quoted(SEQUENCES),
        "source": _quoted(SOURCES),
        "subject": _quoted(SOURCES),
        "type": _quoted(_TYPES),
    }
)
"""Values that go with a key."""
_TOKENS = _bare([*NUMBERS, *_RAW]) + _quoted([*TIMES, *SEQUENCES, *SOURCES, *_TYPES, *_STRINGS])
_KEYS = [
    *_SUITED,
    *_words("specversion id datacontenttype data processing_status request_counts results_url extra crc32 x é ID"),
    *("", "\ud800"),
]
_PIECES = [
    *map(bytes.fromhex, _words("ff c080 eda080 f4908080 e280a8 efbbbf c2a0 fffe")),
    *(bytes([byte]) for byte in b'\x00\x1f\x7f \n\r\t\x0b,:"\\{}[]0-.e'),
    *(b',"crc32":"00000000"}', b"//", b"/**/", b"u0000", b"\\u0000", b"\r\n"),
]

# ------------------------------------------------------------------------------------------------------------- mutation

# A tree: an object is an `_Object` of [key, node] pairs, an array a list, and all else its spelling as bytes.


class _Object(list[Any]):
    pass


def _tree(text: str) -> Any:
    def spelled(node: Any) -> Any:
        if isinstance(node, _Object):
            return _Object([key, spelled(item)] for key, item in node)
        if isinstance(node, list):
            return [spelled(item) for item in node]
        return json.dumps(node, ensure_ascii=False).encode()

    return spelled(json.loads(text, object_pairs_hook=_Object))


_BATCH_TREES = [_tree(text) for text in BATCHES]
_RECORD_TREES = [_tree(text) for text in RECORDS]


def _copy(node: Any) -> Any:
    if isinstance(node, _Object):
        return _Object([key, _copy(item)] for key, item in node)
    return [_copy(item) for item in node] if isinstance(node, list) else node


def _places(node: Any, found: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """Every value in the tree, as the container that holds it and its index there."""
    for index, item in enumerate(node):
        found.append((node, index))
        inner = item[1] if isinstance(node, _Object) else item
        if isinstance(inner, list):
            _places(inner, found)
    return found


def _twisted(rng: random.Random, token: bytes) -> bytes:
    """A token with a character or two of it changed, behind its first."""
    text = list(token.decode())
    for _ in range(rng.randint(1, 2)):
        if len(text) < 2:
            break
        at = rng.randrange(1, len(text))
        what = rng.choice("0123456789-+:.,TtZzWeE /%_aé")
        match rng.randrange(3):
            case 0:
                text[at] = what
            case 1:
                text.insert(at, what)
            case _:
                del text[at : at + rng.randint(1, 3)]
    return "".join(text).encode()


def _change(rng: random.Random, tree: _Object) -> None:
    """Change one thing in the tree."""
    container, index = rng.choice(_places(tree, []))
    pair = container[index] if isinstance(container, _Object) else None
    value = container[index] if pair is None else pair[1]
    choice = rng.randrange(10)
    if choice < 3:
        suited = _SUITED.get(pair[0]) if pair is not None and rng.random() < 0.5 else None
        value = rng.choice(suited or _TOKENS)
    elif choice < 5 and isinstance(value, bytes):
        value = _twisted(rng, value)
    elif choice == 5:
        value = [value] if rng.random() < 0.5 else _Object([[rng.choice(_KEYS), value]])
    elif choice == 6 and isinstance(container, _Object):
        container.insert(rng.randint(0, len(container)), [rng.choice(_KEYS), rng.choice(_TOKENS)])
        return
    elif choice == 7 and pair is not None:  # said twice
        container.insert(rng.randint(0, len(container)), [pair[0], rng.choice((value, rng.choice(_TOKENS)))])
        return
    elif choice == 8:
        del container[index]
        return
    elif pair is not None and rng.random() < 0.5:
        pair[0] = rng.choice(_KEYS)
    else:
        rng.shuffle(container)
        return
    if pair is None:
        container[index] = value
    else:
        pair[1] = value


def _plain(node: Any) -> bytes:
    """The tree as bytes, compact."""
    if isinstance(node, _Object):
        return b"{" + b",".join([json.dumps(key).encode() + b":" + _plain(item) for key, item in node]) + b"}"
    if isinstance(node, list):
        return b"[" + b",".join(map(_plain, node)) + b"]"
    return bytes(node)


def _loose(rng: random.Random, node: Any) -> bytes:
    """The tree as bytes, with escapes and white space where none is needed."""

    def space() -> bytes:
        return rng.choice((b"", b"", b" ", b"\n", b"\t", b"\r\n "))

    def text(token: bytes) -> bytes:
        return _escaped(rng, token) if rng.random() < 0.1 else token

    if isinstance(node, _Object):
        pairs = [text(json.dumps(key).encode()) + space() + b":" + space() + _loose(rng, item) for key, item in node]
        return b"{" + space() + (b"," + space()).join(pairs) + b"}" + space()
    if isinstance(node, list):
        return b"[" + b",".join([_loose(rng, item) for item in node]) + space() + b"]"
    return text(node) + space()


def _escaped(rng: random.Random, token: bytes) -> bytes:
    """The same text with one of its characters as an escape; another token as it is."""
    text = token.decode()
    if not re.fullmatch(r'"[^"\\]+"', text):
        return token
    at = rng.randrange(1, len(text) - 1)
    if ord(text[at]) > 0xFFFF:
        return token
    return f"{text[:at]}\\u{ord(text[at]):04{rng.choice('xX')}}{text[at + 1 :]}".encode()


def _scratched(rng: random.Random, body: bytes) -> bytes:
    """The body with some of its bytes changed, whatever they mean."""
    at = rng.randint(0, len(body))
    match rng.randrange(7):
        case 0 if at < len(body):
            return body[:at] + bytes([body[at] ^ 1 << rng.randrange(8)]) + body[at + 1 :]
        case 1:
            return body[:at] + rng.choice(_PIECES) + body[at:]
        case 2:
            return body[:at] + rng.choice(_PIECES) + body[at + 1 :]
        case 3:
            return body[:at] + body[at + rng.randint(1, 4) :]
        case 4:
            other = rng.randint(0, len(body))
            return body[:at] + body[other : other + rng.randint(1, 40)] + body[at:]
        case 5:
            return body[:at]
        case _:
            return rng.choice(_PIECES) + body if rng.random() < 0.5 else body + rng.choice(_PIECES)


def _mutant(rng: random.Random, trees: Sequence[Any]) -> bytes:
    tree = _copy(rng.choice(trees))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        if tree:
            _change(rng, tree)
    body = _loose(rng, tree) if rng.random() < 0.3 else _plain(tree)
    while rng.random() < 0.2:
        body = _scratched(rng, body)
    return body


def batch_mutant(rng: random.Random) -> bytes:
    """A body that is nearly a snapshot, or one."""
    return _mutant(rng, _BATCH_TREES)


def record_mutant(rng: random.Random) -> bytes:
    """A line that is nearly a record, or one; half of them with a `crc32`, most of those with the right one."""
    body = _mutant(rng, _RECORD_TREES)
    if rng.random() < 0.5 and body[-1:] == b"}":
        body = _stamped(body)
        if rng.random() < 0.1:
            body = _scratched(rng, body)
    return body


def block_mutant(rng: random.Random) -> list[bytes]:
    """Some lines that are nearly records, or are; or such as run on into the next; most with the right sum."""
    bodies = [
        _plain(rng.choice(_RECORD_TREES)) if rng.random() < 0.7 else _mutant(rng, _RECORD_TREES)
        for _ in range(rng.choice((1, 1, 2, 3)))
    ]
    if rng.random() < 0.2:  # cut where a brace stands, so that the brace behind the sum closes something else
        run = b"".join(bodies)
        at = rng.choice([found.start() for found in re.finditer(b"}", run)] or [0])
        bodies = [run[: at + 1], run[at + 1 :]]
    lines = [_stamped(body) for body in bodies]
    if rng.random() < 0.2:  # cut anywhere
        run = rng.choice((b"", b" ")).join(lines)
        at = rng.choice([found.end() for found in re.finditer(rb"[,:{}]", run)] or [0])
        lines = [line for line in (run[:at], run[at:]) if line]
    return [_forged(line) if rng.random() < 0.3 else line for line in lines]


def _stamped(body: bytes) -> bytes:
    """The line with its sum, as the format defines it."""
    return b'%b,"crc32":"%08x"}' % (body[:-1], zlib.crc32(body))


def _forged(line: bytes) -> bytes:
    """The line with the right sum in the place of one, whatever stands there."""
    return b"%b%08x%b" % (line[:-10], zlib.crc32(line[:-20] + b"}"), line[-2:])


def time_mutant(rng: random.Random) -> str:
    """A text that is nearly an RFC 3339 time, or one."""
    token = NOW if rng.random() < 0.5 else rng.choice(TIMES)
    while rng.random() < 0.6:
        token = _twisted(rng, f" {token}".encode()).decode()[1:]
    return token


# ------------------------------------------------------------------------------------------------------ second opinions

# RFC 3339, section 5.6, rule by rule. Section 5.7 limits the day by its month and year, and the second to 59 unless one
# is inserted, which Python cannot hold.
_FULL_DATE = "(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<mday>[0-9]{2})"
_PARTIAL_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<secfrac>[0-9]+))?"
_TIME_OFFSET = "(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2}))"
_DATE_TIME = re.compile(f"{_FULL_DATE}[Tt]{_PARTIAL_TIME}{_TIME_OFFSET}")


def _days_before(year: int) -> int:
    return 365 * (year - 1) + (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400


def microseconds_of(text: str) -> int | None:
    """
    Read RFC 3339 by arithmetic alone.

    Returns:
        The microseconds since 0001-01-01T00:00:00Z, digits past the sixth cut. None for what is no RFC 3339 time, for a
        leap second, and for what lies outside of the years 1 to 9999 in UTC.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.group("year", "month", "mday", "hour", "minute", "second"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    months = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= months[month - 1]:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    days = _days_before(year) + sum(months[: month - 1]) + day - 1
    seconds = (days * 24 + hour) * 3600 + minute * 60 + second
    if match["sign"]:
        hours, minutes = int(match["hours"]), int(match["minutes"])
        if hours > 23 or minutes > 59:
            return None
        seconds -= (hours * 3600 + minutes * 60) * (1 if match["sign"] == "+" else -1)
    found = seconds * 1_000_000 + int(((match["secfrac"] or "") + "000000")[:6])
    return found if 0 <= found < _days_before(10_000) * 86_400_000_000 else None


def microseconds(at: datetime) -> int:
    """The same number for a time as Python has it."""
    return (at - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def outcome(read: Callable[[bytes], Any], body: bytes) -> Any:
    """What *read* makes of the body: a value, or the problems that it tells."""
    try:
        return read(body)
    except lc.WireError as error:
        assert error.problems
        assert str(error).encode()
        return error.problems


def whole(value: Any) -> Any:
    """All of a value: what no comparison sees of it, too, such as 1 beside 1.0, and the unknown keys."""
    if isinstance(value, lc.MessageBatch):
        return value, repr(value), repr(value.extra), repr(value.request_counts.extra)
    return value, repr(value)


def _fields_of_entry(entry: wire.Entry) -> Any:
    batch_id, version, event_id, data, _, recorded_at = entry
    values: list[Any] = []
    for field in attrs.fields(next(cls for cls in EVENTS if cls.tag == data.tag)):
        value = getattr(data, field.name)
        if field.type is lc.RequestCounts:
            value = [value.processing, value.succeeded, value.errored, value.canceled, value.expired]
        values.append(value)
    return batch_id, version, event_id, data.tag, values, recorded_at


def _fields_of_record(record: lc.Record) -> Any:
    event = record.event
    values: list[Any] = [getattr(event, field.name) for field in attrs.fields(type(event))]
    values = [list(attrs.astuple(value))[:5] if isinstance(value, lc.RequestCounts) else value for value in values]
    return record.batch_id, record.version, record.event_id, event.tag, values, record.recorded_at


# --------------------------------------------------------------------------------------------------------------- checks


def check_batch(body: bytes) -> bool:
    """Assert that both paths say the same of *body*, and that a batch comes back from its bytes. Was it one?"""
    fast = outcome(wire.decode_batch, body)
    reference = outcome(lambda body: wire._structure_batch(wire._parse(body)), body)
    assert whole(fast) == whole(reference), f"the paths differ: {fast!r} and {reference!r}"
    if not isinstance(fast, lc.MessageBatch):
        return False
    again = wire.decode_batch(wire.encode_batch(fast))
    assert whole(again) == whole(fast), f"encoded and decoded it is {again!r}, was {fast!r}"
    return True


def check_record(body: bytes) -> bool:
    """Assert that all paths say the same of *body*, and that a record comes back from its line. Was it one?"""
    fast = outcome(wire.decode_record, body)
    reference = outcome(wire._structure_record, body.removesuffix(b"\n"))
    assert whole(fast) == whole(reference), f"the paths differ: {fast!r} and {reference!r}"
    entry = outcome(lambda body: _fields_of_entry(wire.decode_entry(body, wire.MAX_BYTES)), body)
    expected = _fields_of_record(fast) if isinstance(fast, lc.Record) else fast
    assert repr(entry) == repr(expected), f"a reducer sees {entry!r}, not {expected!r}"
    if not isinstance(fast, lc.Record):
        return False
    line = wire.encode_record(fast)
    again = wire.decode_record(line)
    assert whole(again) == whole(fast), f"encoded and decoded it is {again!r}, was {fast!r}"
    return True


def check_block(lines: list[bytes]) -> bool:
    """Assert that lines which are admitted as a block are admitted one by one, with the same values. Were they?"""
    try:
        envelopes = wire.decode_block(lines)
    except wire.REFUSED:
        return False
    for envelope in envelopes:
        wire.recorded_time(envelope.time)  # what a block has verified
    try:
        rows = [_fields_of_entry(wire._entry(envelope)) for envelope in envelopes]
    except wire.REFUSED:
        return False
    records = [outcome(wire._structure_record, line) for line in lines]
    assert all(isinstance(record, lc.Record) for record in records), f"a block of what are no records: {records!r}"
    assert repr(rows) == repr([_fields_of_record(record) for record in records])
    return True


def check_time(text: str) -> bool:
    """Assert that a snapshot with this time is admitted if RFC 3339 admits the time, with that value. Is it one?"""
    body = BATCHES[0].replace(f'"created_at":"{NOW}"', f'"created_at":{json.dumps(text)}')
    found = outcome(wire.decode_batch, body.encode())
    expected = microseconds_of(text)
    if expected is None:
        assert [path for path, _ in found] == ["$.created_at"]
        return False
    assert microseconds(found.created_at) == expected
    assert found.created_at.tzinfo is UTC
    return True


_KINDS: Sequence[tuple[str, Callable[[random.Random], Any], Callable[[Any], bool]]] = (
    ("batch", batch_mutant, check_batch),
    ("record", record_mutant, check_record),
    ("block", block_mutant, check_block),
    ("time", time_mutant, check_time),
)


def run(seed: int, until: Callable[[int], bool], *, most: int = 20) -> tuple[Counter[str], list[str]]:
    """Fuzz until *until*, which is given the executions so far, or until *most* findings; a tally and the findings."""
    rng = random.Random(seed)
    tally: Counter[str] = Counter()
    findings: list[str] = []
    executions = 0
    while len(findings) < most and not until(executions):
        name, make, check = _KINDS[executions % len(_KINDS)]
        body = make(rng)
        executions += 1
        try:
            tally[f"{name} {'admitted' if check(body) else 'refused'}"] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            tally[f"{name} found"] += 1
            findings.append(f"{name} {body!r}: {type(error).__name__}: {error}")
            print(findings[-1], flush=True)
    return tally, findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz for a time and print the number of executions."""
    parser = argparse.ArgumentParser(description="Fuzz the wire: the fast paths against the reference path.")
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other bodies (default: 1)")
    asked = parser.parse_args(arguments)
    limit: float = asked.minutes
    start, told = time.monotonic(), 0

    def until(executions: int) -> bool:
        nonlocal told
        if executions % 256:
            return False
        minutes = (time.monotonic() - start) / 60
        if minutes >= told + 1:
            told = int(minutes)
            print(f"{told} min: {executions:,} executions", flush=True)
        return minutes >= limit

    print(f"seed {asked.seed}, Python {sys.version.split()[0]}", flush=True)
    tally, findings = run(asked.seed, until)
    print(", ".join(f"{name}: {count:,}" for name, count in sorted(tally.items())))
    print(f"{tally.total():,} executions, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
