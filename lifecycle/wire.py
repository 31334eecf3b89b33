"""
Bytes to values and back: snapshots of batches, and the records of a log.

The common path is fast, the failing path explains.  A body is first decoded by msgspec into a shape that admits less
than the wire does; whatever it refuses goes to the reference path (the standard library's json, then cattrs with one
hook for each kind of value), which accepts it or says all that is wrong.  What the fast path accepts the reference path
accepts with the same value: tests hold them to it.

One exception leaves this module: `WireError` (and `TypeError` for an argument that is neither text nor a batch).
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, cast
from urllib.parse import quote, unquote
from zlib import crc32

import attrs
import msgspec
from msgspec.structs import astuple

from lifecycle.batch import MessageBatch, ProcessingStatus, RequestCounts, filling, unchecked
from lifecycle.errors import WireError, quoted
from lifecycle.events import EVENTS, Event, Record
from lifecycle.folding import check_type
from lifecycle.fusing import new_counts
from lifecycle.parsing import parse, refuse, shown, text_problem

if TYPE_CHECKING:
    import cattrs

MAX_BYTES = 1 << 20
"""How long a body or a line may be, in bytes, unless the caller says otherwise."""
MAX_DEPTH = 64
"""How deep objects and arrays may nest; the outermost object is 1."""
LARGEST_NUMBER = 2**63 - 1
"""The largest number on the wire; the smallest is 0."""
MAX_PROBLEMS = 1000
"""How many problems of a body are told; a hostile one has more than memory holds."""

TYPE_PREFIX, TYPE_SUFFIX = "lifecycle.message_batch.", ".v1"
"""What stands around an event's tag in the `type` of a record."""
SOURCE_PREFIX = "/v1/messages/batches/"
"""What stands before the percent-encoded batch id in the `source` of a record."""


def type_of(event: Event | type[Event]) -> str:
    """The `type` of the records of an event."""
    return f"{TYPE_PREFIX}{event.tag}{TYPE_SUFFIX}"


# ---------------------------------------------------------------------------------------------------------- times

# RFC 3339, section 5.6, date-time, without the leap second that Python cannot hold; "T" and "Z" may be lower case.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


_from_iso = datetime.fromisoformat  # not looked up anew for each of millions


def recorded_time(text: str) -> datetime:
    """A time in the recorded form, ``2025-01-29T14:24:59.570697+00:00``; a `ValueError` for any other."""
    # With these characters in place there is one form left that fromisoformat reads: it checks the rest.
    if (
        len(text) == 32
        and text[7] == "-"
        and text[10] == "T"
        and text[19] == "."
        and text[26] == "+"
        and text[29] == ":"
        and "\0" not in text  # at "Z" and a NUL fromisoformat stops
    ):
        time = _from_iso(text)
        if time.tzinfo is UTC and (time.microsecond or text[11:13] != "24"):  # hour 24: from Python 3.13 on
            return time
    raise ValueError


def _time(text: str) -> datetime:
    """Any RFC 3339 time; digits past the sixth are cut."""
    try:
        return recorded_time(text)
    except ValueError:
        pass  # another form; written out, for contextlib.suppress takes longer than all of this
    match = _RFC3339.fullmatch(text)
    if match is None or match[2].startswith("24"):
        raise ValueError(f"expected an RFC 3339 time such as 2025-01-29T14:24:59.570697+00:00, got {shown(text)}")
    date, clock, fraction, sign, hours, minutes = match.groups()
    try:
        naive = datetime.fromisoformat(f"{date}T{clock}.{(fraction or '')[:6]:0<6}")
        if sign is None:
            return naive.replace(tzinfo=UTC)
        # The hours are checked by `timezone`, which admits less than a day either way.
        offset = timedelta(hours=int(hours), minutes=int(minutes) if int(minutes) < 60 else 24 * 60)
        return naive.replace(tzinfo=timezone(-offset if sign == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"no such time: {shown(text)}") from None


def stamp(time: datetime) -> str:
    """A time, which is in UTC, in the recorded form."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}+00:00"


# ------------------------------------------------------------------------------------- shapes for the fast path

_Whole = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]


class _Counts(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    processing: _Whole
    succeeded: _Whole
    errored: _Whole
    canceled: _Whole
    expired: _Whole


class _Recorded(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The keys of a snapshot in the recorded order (49 of 49 bodies), with the values of a batch."""

    id: str
    type: Literal["message_batch"]
    processing_status: ProcessingStatus
    request_counts: _Counts
    ended_at: datetime | None
    created_at: datetime
    expires_at: datetime
    archived_at: datetime | None
    cancel_initiated_at: datetime | None
    results_url: str | None


class _Readable(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The same as it may be read: nullable keys may be missing, and times are whatever `_time` can read."""

    id: str
    type: Literal["message_batch"]
    processing_status: ProcessingStatus
    request_counts: _Counts
    created_at: str
    expires_at: str
    ended_at: str | None = None
    archived_at: str | None = None
    cancel_initiated_at: str | None = None
    results_url: str | None = None


class Data(Protocol):
    """The data of an event as it is decoded for a reducer: mutable, the fields of the event, and its tag."""

    tag: ClassVar[str]


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record as it is decoded first: the keys of its line."""

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: str
    type: str
    sequence: str
    time: str
    datacontenttype: Literal["application/json"]
    data: msgspec.Raw
    """Whole JSON, not decoded yet."""


_SHAPES: Mapping[Any, Any] = {
    str: str,
    str | None: str | None,
    int: _Whole,
    datetime: str,
    datetime | None: str | None,
    RequestCounts: _Counts,
}


def _data_shape(cls: type[Event]) -> type[msgspec.Struct]:
    fields = [
        (field.name, _SHAPES[field.type]) + (() if field.default is attrs.NOTHING else (field.default,))
        for field in attrs.fields(cls)
    ]
    return msgspec.defstruct(
        f"_{cls.__name__}Data", fields, namespace={"tag": cls.tag}, forbid_unknown_fields=True, gc=False
    )


DATA: tuple[type, ...] = tuple(_data_shape(cls) for cls in EVENTS)
"""The classes of `Data`, in the order of `EVENTS`."""


_decode_recorded = msgspec.json.Decoder(_Recorded).decode
_decode_readable = msgspec.json.Decoder(_Readable).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_DATA_DECODERS: Mapping[str, Callable[[Any], Data]] = {
    type_of(cls): msgspec.json.Decoder(data).decode for cls, data in zip(EVENTS, DATA, strict=True)
}


def _builtin(value: Any) -> Any:
    """What msgspec cannot write: a subclass (a data frame's text or number, say) as the builtin that it is."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return str.__str__(value)
    kind: Any = int if isinstance(value, int) else float
    return kind.__pos__(value)


_encode = msgspec.json.Encoder(enc_hook=_builtin).encode
_STATUSES = {status.value: status for status in ProcessingStatus}
REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)
"""All that the fast path raises for a body: neither UnicodeDecodeError nor RecursionError is a MsgspecError."""

# ------------------------------------------------------------------------------------------------ the public verbs


def decode_batch(data: bytes | bytearray | memoryview | str, *, max_bytes: int = MAX_BYTES) -> MessageBatch:
    """
    Read a snapshot from JSON.

    Args:
        data: One JSON object, as bytes in UTF-8 or as text. Missing nullable keys are read as null, unknown keys are
            kept in `extra`, of a repeated key the last counts. Times may have any RFC 3339 offset.
        max_bytes: The longest body, in bytes.

    Returns:
        The batch. It may break rules: that is for `check` to say.

    Raises:
        WireError: The body is no snapshot; `problems` has all that is wrong with it.
        TypeError: *data* is neither bytes nor text.
    """
    body = data if type(data) is bytes and len(data) <= max_bytes else _body(data, max_bytes)
    try:
        raw = _decode_recorded(body)
        ended_at, archived_at, cancel_at = raw.ended_at, raw.archived_at, raw.cancel_initiated_at
        url = raw.results_url
        which = 0  # of the eight
        if ended_at is not None:
            which += 4
        if archived_at is not None:
            which += 2
        if cancel_at is not None:
            which += 1
        times = _RECORDED_TIMES[which]
        # Before `end` stands the last key, or its value has less room than it takes; so no key after it changes a time.
        end = len(body) - (5 if url is None else 3 + len(url))
        # Of times in another form msgspec has its own opinion: it rounds fractions.
        if (
            body[end - len(times) : end].translate(_TO_ZEROS) == times
            and raw.created_at.tzinfo is UTC
            and raw.expires_at.tzinfo is UTC
            and (ended_at is None or ended_at.tzinfo is UTC)
            and (archived_at is None or archived_at.tzinfo is UTC)
            and (cancel_at is None or cancel_at.tzinfo is UTC)
        ):
            return _of_recorded(raw)
    except REFUSED:
        pass
    try:
        return _of_readable(_decode_readable(body))
    except REFUSED:
        return _structure_batch(_parse(body))


_TIMES = b',"ended_at":%b,"created_at":%b,"expires_at":%b,"archived_at":%b,"cancel_initiated_at":%b,"results_url":'
_NULL, _TIME = b"null", b'"0000-00-00T00:00:00.000000+00:00"'
_RECORDED_TIMES = tuple(
    _TIMES % values for values in product((_NULL, _TIME), (_TIME,), (_TIME,), (_NULL, _TIME), (_NULL, _TIME))
)
"""What stands between the counts and the value of `results_url` in the recorded form, with zeros for digits."""


def _snapshot_reader(time: str) -> Callable[[Any], MessageBatch]:
    """A function from what was decoded to the batch, written as source and compiled; *time* reads a time, `{0}`."""
    numbers = {name: f"counts.{name}" for name in _Counts.__struct_fields__}
    counts, scope = filling("request_counts", RequestCounts, numbers | {"extra": "{}"})
    values = {name: f"raw.{name}" for name in _Recorded.__struct_fields__ if name != "type"}
    values |= {name: time.format(value) for name, value in values.items() if name.endswith("_at")}
    values |= {"request_counts": "request_counts", "deleted_at": "None", "extra": "{}"}
    batch, more = filling("batch", MessageBatch, values)
    source = ["def snapshot(raw):", "counts = raw.request_counts", *counts, *batch, "return batch"]
    scope |= more | {"time": _time}
    exec("\n    ".join(source), scope)  # noqa: S102 -- the source is made of field names of our own classes
    snapshot: Callable[[Any], MessageBatch] = scope["snapshot"]
    return snapshot


_of_recorded = _snapshot_reader("{0}")
_of_readable = _snapshot_reader("None if {0} is None else time({0})")


def encode_batch(batch: MessageBatch) -> bytes:
    """
    Write a snapshot as JSON in the recorded form: all ten keys in order, compact, times with six digits and +00:00.

    Args:
        batch: The batch; `deleted_at` stays behind, the wire has no such key.

    Returns:
        UTF-8. A recorded body that was read comes out as the same bytes.

    Raises:
        WireError: The batch holds what the wire cannot: a number outside 0 to 2^63-1, text with a lone surrogate, or
            something in `extra` that is no JSON.
        TypeError: *batch* is no batch.
    """
    if batch.__class__ is MessageBatch:
        counts = batch.request_counts  # each value in a line of its own, for a tuple of five takes longer
        processing = counts.processing
        succeeded = counts.succeeded
        errored = counts.errored
        canceled = counts.canceled
        expired = counts.expired
        ended_at = batch.ended_at
        created_at = batch.created_at
        expires_at = batch.expires_at
        archived_at = batch.archived_at
        cancel_at = batch.cancel_initiated_at
        url = batch.results_url
        if not (
            processing < 0 or succeeded < 0 or errored < 0 or canceled < 0 or expired < 0
            or processing + succeeded + errored + canceled + expired > LARGEST_NUMBER
            or batch.extra or counts.extra
        ) and (
            created_at.microsecond  # msgspec leaves it out where it is 0
            and expires_at.microsecond
            and (ended_at is None or ended_at.microsecond)
            and (archived_at is None or archived_at.microsecond)
            and (cancel_at is None or cancel_at.microsecond)
        ):  # fmt: skip
            raw = _Recorded(
                _HOLE,
                "message_batch",
                batch.processing_status,
                _Counts(processing, succeeded, errored, canceled, expired),
                ended_at,
                created_at,
                expires_at,
                archived_at,
                cancel_at,
                None if url is None else _HOLE,
            )
            frame = _encode(raw).replace(b"Z", b"+00:00")  # msgspec writes "…59.570697Z"; there is no other capital Z
            try:
                return frame % _encode(batch.id) if url is None else frame % (_encode(batch.id), _encode(url))
            except UnicodeEncodeError:
                pass  # a lone surrogate: said below
    return _encode(unstructure_batch(batch))


_HOLE: Any = msgspec.Raw(b"%b")
"""Where free text is to go, which may have a Z."""


def structure_batch(mapping: Mapping[str, Any]) -> MessageBatch:
    """
    Read a snapshot from builtins, as a JSON parser leaves them: times are text.

    Args:
        mapping: The object; not changed.

    Returns:
        The batch, as `decode_batch` gives it.

    Raises:
        WireError: It is no snapshot; `problems` has all that is wrong with it.
    """
    return _structure_batch(mapping)


def unstructure_batch(batch: MessageBatch) -> dict[str, Any]:
    """
    Write a snapshot as builtins: the keys in the recorded order, times as text.

    Args:
        batch: The batch.

    Returns:
        A new dictionary that a JSON writer can take as it is; unknown keys stand last.

    Raises:
        WireError: The batch holds what the wire cannot.
        TypeError: *batch* is no batch.
    """
    check_type("batch", batch, MessageBatch)
    plain = {key: getattr(batch, key) for key in _Recorded.__struct_fields__}
    found: dict[str, Any] = _converter(keep_extra=True).unstructure(plain)
    found["request_counts"] |= batch.request_counts.extra
    found |= batch.extra
    problems: dict[str, str] = {}
    for path, documented, extra in (
        ("$", _BATCH_KEYS, batch.extra),
        ("$.request_counts", _COUNT_KEYS, batch.request_counts.extra),
    ):
        for key in sorted(documented & extra.keys()):
            problems[_path(path, key)] = "a documented key cannot stand in extra"
    _walk(found, "$", 1, problems)
    _raise_if(problems)
    return found


def decode_record(line: bytes | bytearray | memoryview | str, *, max_bytes: int = MAX_BYTES) -> Record:
    """
    Read a record from a line of a log.

    Args:
        line: One CloudEvent in JSON, with or without its newline.
        max_bytes: The longest line, in bytes, without its newline.

    Returns:
        The record. It may break L rules: that is for `replay` to say.

    Raises:
        WireError: The line is no record: see ``specs/log-format.md``; or its `crc32` says that it was changed.
        TypeError: *line* is neither bytes nor text.
    """
    return decode_line(line, None, max_bytes)


def encode_record(record: Record) -> bytes:
    """
    Write a record as a line of a log, without the newline; `crc32` stands last.

    Args:
        record: The record; `place` stays behind, and so does what is `extra` in its counts.

    Returns:
        UTF-8, with no newline in it. `decode_record` gives the record back.

    Raises:
        WireError: The record holds what the wire cannot: a number outside 0 to 2^63-1 or text with a lone surrogate.
        TypeError: *record* is no record.
    """
    check_type("record", record, Record)
    found: dict[str, Any] = {
        "specversion": "1.0",
        "id": record.event_id,
        "source": None,
        "subject": record.batch_id,
        "type": type_of(record.event),
        "sequence": None,
        "time": stamp(record.recorded_at),
        "datacontenttype": "application/json",
    }
    problems: dict[str, str] = {}
    if not 0 <= record.version <= LARGEST_NUMBER:
        problems["$.sequence"] = _out_of_range(record.version)
    _walk(found, "$", 1, problems)
    try:
        found["data"] = msgspec.Raw(encode_event(record.event))
    except WireError as error:
        problems |= error.problems
    _raise_if(problems)
    found["source"] = source_of(record.batch_id)
    found["sequence"] = sequence_of(record.version)
    body = _encode(found)
    return body[:-1] + b',"crc32":"%08x"}' % crc32(body)


def decode_event(type_: str, data: bytes | bytearray | memoryview | str, *, max_bytes: int = MAX_BYTES) -> Event:
    """
    Read an event from the `data` of a record.

    Args:
        type_: The `type` of the record.
        data: One JSON object.
        max_bytes: The longest data, in bytes.

    Returns:
        The event.

    Raises:
        WireError: There is no such type, or this is no data of it.
        TypeError: *data* is neither bytes nor text.
    """
    decode = _DATA_DECODERS.get(type_)
    try:
        # A character has four bytes at most.
        if decode is not None and len(data) <= max_bytes >> 2:
            return _event(decode(data))
    except (*REFUSED, TypeError):
        pass  # to be accepted after all or explained below
    body = _body(data, max_bytes)
    problems: dict[str, str] = {}
    cls = _class_of(type_, problems)
    value = _parse(body)
    event = None if cls is None else _structure_event(value, cls, "$.data", problems)
    _walk(value, "$.data", 1, problems)
    _raise_if(problems)
    return cast(Event, event)


def encode_event(event: Event) -> bytes:
    """
    Write an event as the `data` of a record.

    Args:
        event: The event; what is `extra` in its counts stays behind.

    Returns:
        UTF-8, with no newline in it; the same bytes that stand in the line of `encode_record`.

    Raises:
        WireError: The event holds what the wire cannot: a number outside 0 to 2^63-1 or text with a lone surrogate.
        TypeError: *event* is no event.
    """
    cls: Any = event.__class__
    if cls not in EVENTS:
        raise TypeError(f"event: expected one of {', '.join(cls.__name__ for cls in EVENTS)}, got {quoted(event)}")
    try:
        return _encoder(cls)(event)
    except ValueError:  # a number out of range, or text that cannot be in UTF-8
        found = _converter(keep_extra=False).unstructure(event)
        problems: dict[str, str] = {}
        _walk(found, "$.data", 1, problems)
        raise WireError(tuple(problems.items())) from None


@cache
def _encoder(cls: type[Event]) -> Callable[[Any], bytes]:
    """A function from an event of *cls* to its data: one text with gaps, written as source and compiled."""
    shape, values, numbers, lines = [], [], [], ["def encode(event):"]
    for field in attrs.fields(cls):
        value = f"event.{field.name}"
        if field.type is RequestCounts:
            lines.append(f"    counts = {value}")
            names = _Counts.__struct_fields__
            shape.append(f'"{field.name}":{{{",".join(f"{chr(34)}{name}{chr(34)}:%d" for name in names)}}}')
            values += [f"counts.{name}" for name in names]
            numbers += [f"counts.{name}" for name in names]
        elif field.type is int:
            shape.append(f'"{field.name}":%d')
            values.append(value)
            numbers.append(value)
        elif field.type is datetime:
            shape.append(f'"{field.name}":"%s"')
            values.append(f"stamp({value})")
        else:
            shape.append(f'"{field.name}":%s')
            values.append(f"text({value}).decode()")
    if numbers:
        # No bit above the 63rd, which every negative number has, too.
        lines += [f"    if ({' | '.join(numbers)}) >> 63:", "        raise ValueError"]
    lines.append(f"    return ({'{' + ','.join(shape) + '}'!r} % ({', '.join(values)},)).encode()")
    scope: dict[str, Any] = {"stamp": stamp, "text": _encode}
    exec("\n".join(lines), scope)  # noqa: S102 -- the source is made of field names of our own classes
    encode: Callable[[Any], bytes] = scope["encode"]
    return encode


# ------------------------------------------------------------------------------------- for reducers: no values built


def decode_block(lines: list[bytes]) -> list[Envelope]:
    """
    Decode many lines at once for a reducer.

    It admits the form that `encode_record` writes and little more, so as to be quick.  Lines that it refuses may yet be
    records: `decode_entry` says of each.

    Args:
        lines: Lines without their newlines.

    Returns:
        An envelope for each line: its keys, its `crc32` and the form of its time are verified.  What is left to do is
        to verify the source (`source_of`), the sequence (`sequence_of`) and the data (`decode_data`, `SETTLE`).

    Raises:
        Exception: One of `REFUSED`: not every line is plainly a record.
    """
    # Cut off here, a crc32 at any other place is an unknown key.
    bodies = [line[:-20] + b"}" for line in lines]
    sums = struct.pack(f">{len(lines)}I", *map(crc32, bodies)).hex("#", 4)
    if b"".join([line[-20:] for line in lines]) != b',"crc32":"%b"}' % sums.replace("#", '"},"crc32":"').encode():
        raise ValueError
    if not all(map(bytes.isascii, bodies)):
        deque(map(bytes.decode, bodies), 0)  # as in `_decode_line`
    envelopes = list(map(_decode_envelope, bodies))
    _check_recorded_times([envelope.time for envelope in envelopes])
    return envelopes


_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def _check_recorded_times(times: list[str]) -> None:
    """`recorded_time` for many, without their values: the same characters, column by column."""
    columns = "\n".join(times).encode()
    if (
        columns.translate(_TO_ZEROS) != b"\n".join([b"0000-00-00T00:00:00.000000+00:00"] * len(times))
        or (columns[27::33] + columns[28::33] + columns[30::33] + columns[31::33]).strip(b"0")
        or b"T24" in columns
    ):
        raise ValueError
    if columns.count(columns[:13]) == len(times) and not (columns[14::33] + columns[17::33]).strip(b"012345"):
        datetime.fromisoformat(times[0])  # all of them have its date and hour
    else:
        deque(map(datetime.fromisoformat, times), 0)


def decode_data(envelope: Envelope) -> Data:
    """
    Decode the data of a record for a reducer.

    Raises:
        Exception: One of `REFUSED`: it is not plainly the data of an event of this type.
    """
    decode = _DATA_DECODERS.get(envelope.type)
    if decode is None:
        raise ValueError
    return decode(envelope.data)


USUAL_SEQUENCES = tuple(f"{version:020d}" for version in range(1000))


def sequence_of(version: int) -> str:
    """The `sequence` of a record; after the largest version there is none, so it is ""."""
    if version < 1000:
        return USUAL_SEQUENCES[version]
    return f"{version:020d}" if version <= LARGEST_NUMBER else ""


Entry = tuple[str, int, str, Data, int, datetime]
"""
A record as a reducer takes it: batch id; version; event id; the event's fields, its times as datetimes; a hash of what
the event says, equal for equal events within one process; recorded_at.
"""


def decode_entry(line: bytes, max_bytes: int) -> Entry:
    """
    Decode one line for a reducer, whatever its form.

    Raises:
        WireError: The line is no record.
    """
    try:
        return _entry(_decode_line(line))
    except REFUSED:
        # Whatever is a record after all becomes an entry by way of its usual form.
        return _entry(_decode_line(encode_record(decode_line(line, None, max_bytes))))


def _entry(raw: Envelope) -> Entry:
    version = _version_of(raw.source, raw.subject, raw.sequence)
    data = decode_data(raw)
    return raw.subject, version, raw.id, data, SETTLE[data.__class__](data), recorded_time(raw.time)


def decode_line(line: bytes | bytearray | memoryview | str, place: tuple[str, int] | None, max_bytes: int) -> Record:
    """`decode_record`, for a line of which the *place* is known."""
    body = _body(line, max_bytes, newline=True)
    try:
        raw = _decode_line(body)
        return _new_record(
            raw.subject,
            _version_of(raw.source, raw.subject, raw.sequence),
            _event(decode_data(raw)),
            raw.id,
            _time(raw.time),
            place,
        )
    except REFUSED:
        record = _structure_record(body)
        return record if place is None else attrs.evolve(record, place=place)


def _decode_line(line: bytes) -> Envelope:
    """The envelope of a line in the recorded form; its `crc32` is verified."""
    if line[-20:-10] == b',"crc32":"':
        body = line[:-20] + b"}"
        if line[-10:] != b'%08x"}' % crc32(body):
            raise ValueError
        line = body
    if not line.isascii():
        line.decode()  # msgspec does not look into data that more data follows
    return _decode_envelope(line)


def _version_of(source: str, subject: str, sequence: str) -> int:
    """The version of a record; its source and its sequence are verified."""
    if (source != SOURCE_PREFIX + subject or "%" in subject) and source != source_of(subject):
        raise ValueError
    return _version(sequence)


_LARGEST_SEQUENCE = f"{LARGEST_NUMBER:020d}"


def _version(sequence: str) -> int:
    if len(sequence) == 20 and sequence.isascii() and sequence.isdigit() and sequence <= _LARGEST_SEQUENCE:
        return int(sequence)
    raise ValueError(f"expected a whole number of 20 digits, at most {_LARGEST_SEQUENCE}, got {shown(sequence)}")


_new_record = unchecked(Record)


def _counts(raw: Any) -> RequestCounts:
    return new_counts(raw.processing, raw.succeeded, raw.errored, raw.canceled, raw.expired, {})


def _reader(cls: type[Event]) -> Callable[[Any], Event]:
    """A function from the data of *cls* to *cls*, written as source and compiled."""
    values = {
        RequestCounts: "counts(data.{0})",
        datetime: "time(data.{0})",
    }
    arguments = [values.get(field.type, "data.{0}").format(field.name) for field in attrs.fields(cls)]
    scope: dict[str, Any] = {"new": unchecked(cls), "counts": _counts, "time": _time}
    exec(f"def read(data):\n    return new({', '.join(arguments)})", scope)  # noqa: S102 -- names of our own fields
    read: Callable[[Any], Event] = scope["read"]
    return read


_READERS: Mapping[type, Callable[[Any], Event]] = {data: _reader(cls) for cls, data in zip(EVENTS, DATA, strict=True)}


def _event(data: Data) -> Event:
    return _READERS[data.__class__](data)


def _settler(cls: type[Event]) -> Callable[[Any], int]:
    """For the data of *cls*: a function that reads its times in place and hashes what it says."""
    hashed, times = [repr(cls.tag)], []
    for field in attrs.fields(cls):
        value = f"data.{field.name}"
        if field.type is RequestCounts:
            # As text, for the hashes of numbers repeat: 2**61-1 has that of 0.
            hashed.append(f"'%d %d %d %d %d' % astuple({value})")
        elif field.type is int:
            hashed.append(f"str({value})")
        else:
            hashed.append(value)  # a time, too, is text still: in the recorded form there is one for each
        if field.type is datetime:
            times.append(f"    {value} = recorded_time({value})")
    source = "\n".join(
        ["def settle(data):", f"    content = hash(({', '.join(hashed)}))", *times, "    return content"]
    )
    scope: dict[str, Any] = {"astuple": astuple, "recorded_time": recorded_time}
    exec(source, scope)  # noqa: S102 -- the source is made of field names of our own classes
    settle: Callable[[Any], int] = scope["settle"]
    return settle


SETTLE: Mapping[type, Callable[[Any], int]] = {data: _settler(cls) for cls, data in zip(EVENTS, DATA, strict=True)}
"""For each class of `Data`: a function that turns its times into datetimes and gives a hash of what it says.

It raises a `ValueError` if a time has any form but the recorded one.
"""


def source_of(batch_id: str) -> str:
    """The `source` of the records of a batch."""
    return SOURCE_PREFIX + quote(batch_id, safe="")


# ------------------------------------------------------------------------------------------------ the reference path


class _Problem(ValueError):
    """What is wrong with one value; cattrs carries it to its path."""


def _path(parent: str, key: str) -> str:
    return f"{parent}.{key}" if _NAME.fullmatch(key) else f"{parent}[{shown(key)}]"


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")


def _out_of_range(value: object) -> str:
    return f"expected a number from 0 to {LARGEST_NUMBER}, got {shown(value)}"


def _raise_if(problems: Mapping[str, str]) -> None:
    if problems:
        raise WireError(tuple(problems.items()))


def _body(data: object, max_bytes: int, *, newline: bool = False) -> bytes:
    if isinstance(data, bytes):
        body = data
    elif isinstance(data, str):
        try:
            body = data.encode()
        except UnicodeEncodeError:
            refuse("text with a lone surrogate cannot be UTF-8")
    elif isinstance(data, bytearray | memoryview):
        body = bytes(data)
    else:
        raise TypeError(f"expected bytes or text, got {type(data).__name__}")
    if newline and body[-1:] == b"\n":
        body = body[:-1]
    if len(body) > max_bytes:
        refuse(f"{len(body):,} bytes are over the limit of {max_bytes:,}")
    return body


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[{\]}]")


def _depth(body: bytes) -> int:
    """How deep a body nests, be it JSON or not."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _parse(body: bytes) -> Any:
    # How deep json can read depends on how deep its caller stands, so what is hopeless is not left to it.
    hopeless = 10 * MAX_DEPTH
    if body.count(b"[") + body.count(b"{") > hopeless and _depth(body) > hopeless:
        refuse(f"nested deeper than {MAX_DEPTH}")
    try:
        return parse(body)
    except RecursionError:
        refuse(f"nested deeper than {MAX_DEPTH}")


def _walk(value: object, path: str, depth: int, problems: dict[str, str]) -> None:
    """Find what no JSON of ours may hold, wherever it stands; a path that has a problem already keeps it."""
    if len(problems) >= MAX_PROBLEMS:
        return
    match value:
        case str():
            if (problem := text_problem(value)) is not None:
                problems.setdefault(path, problem)
        case bool() | None:
            pass
        case int() | float():
            if not 0 <= value <= LARGEST_NUMBER:  # not true of NaN, either
                problems.setdefault(path, _out_of_range(value))
        case Mapping() | list() | tuple() if depth > MAX_DEPTH:
            problems.setdefault(path, f"nested deeper than {MAX_DEPTH}")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    problems.setdefault(path, f"expected text for a key, got {shown(key)}")
                else:
                    inner = _path(path, key)
                    _walk(key, inner, depth, problems)
                    _walk(item, inner, depth + 1, problems)
        case list() | tuple():
            for index, item in enumerate(value):
                _walk(item, f"{path}[{index}]", depth + 1, problems)
        case _:
            problems.setdefault(path, f"expected JSON, got {shown(value)}")


def _hook(expected: str, good: Callable[[Any], bool]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if good(value):
            return value
        raise _Problem(f"expected {expected}, got {shown(value)}")

    return structure


def _structure_time(value: Any, _: Any) -> datetime:
    if not isinstance(value, str):
        raise _Problem(f"expected a time as text, got {shown(value)}")
    try:
        return _time(value)
    except ValueError as error:
        raise _Problem(str(error)) from None


def _structure_status(value: Any, _: Any) -> ProcessingStatus:
    if isinstance(value, str) and value in _STATUSES:
        return _STATUSES[value]
    raise _Problem(f"expected one of {', '.join(_STATUSES)}, got {shown(value)}")


@attrs.frozen
class _Line:
    """The keys of a line but for `crc32`."""

    specversion: str
    id: str
    source: str
    subject: str
    type: str
    sequence: str
    time: datetime
    datacontenttype: str
    data: Any


_COUNT_KEYS = frozenset(_Counts.__struct_fields__)
_BATCH_KEYS = frozenset(_Recorded.__struct_fields__)


@cache
def _converter(*, keep_extra: bool) -> "cattrs.Converter":
    """A converter with one hook for each kind of value; unknown keys are kept in `extra`, or refused."""
    import cattrs  # noqa: PLC0415 -- only what is odd needs it, and loading it takes as long as decoding 10,000 bodies
    from cattrs.gen import make_dict_unstructure_fn, override  # noqa: PLC0415 -- as above

    converter = cattrs.Converter(detailed_validation=True)
    converter.register_structure_hook(int, _hook("a whole number", lambda value: type(value) is int))
    converter.register_structure_hook(str, _hook("text", lambda value: isinstance(value, str)))
    converter.register_structure_hook(ProcessingStatus, _structure_status)
    converter.register_structure_hook(datetime, _structure_time)
    converter.register_unstructure_hook(datetime, stamp)
    converter.register_unstructure_hook(
        RequestCounts, make_dict_unstructure_fn(RequestCounts, converter, extra=override(omit=True))
    )
    _register(converter, RequestCounts, _COUNT_KEYS, keep_extra=keep_extra)
    if keep_extra:
        _register(converter, MessageBatch, _BATCH_KEYS, keep_extra=True)
    else:
        for cls in (*EVENTS, _Line):
            _register(converter, cls, frozenset(field.name for field in attrs.fields(cls)), keep_extra=False)
    return converter


def _register(converter: "cattrs.Converter", cls: type, keys: frozenset[str], *, keep_extra: bool) -> None:
    """Teach *converter* to read *cls* from an object with *keys*."""
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 -- as in `_converter`

    fields = attrs.fields(cls)
    # Every wire key of a count is required, though its field has a default.
    required = {field.name: override(omit=field.name not in keys or None) for field in fields}
    structure_known: Callable[[Any, Any], Any] = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=not keep_extra, **cast(Any, required)
    )

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Problem(f"expected an object, got {shown(value)}")
        found = structure_known(value, cls)
        # A key that is no text is told by `_walk`.
        extra = {str.__str__(key): item for key, item in value.items() if key not in keys and isinstance(key, str)}
        return attrs.evolve(found, extra=extra) if extra and keep_extra else found

    converter.register_structure_hook(cls, structure)


def _missing(value: Mapping[Any, Any], keys: frozenset[str], path: str, problems: dict[str, str]) -> None:
    for key in sorted(keys - value.keys()):
        problems[_path(path, key)] = "missing"


def _structure(value: Any, cls: Any, path: str, problems: dict[str, str]) -> Any:
    """Read *value* as *cls*, or say why not in *problems* and return None."""
    from cattrs.errors import ClassValidationError  # noqa: PLC0415 -- as in `_converter`

    try:
        return _converter(keep_extra=cls is MessageBatch).structure(value, cls)
    except (ClassValidationError, _Problem) as error:
        _explain(error, path, problems)
        return None


def _explain(error: BaseException, path: str, problems: dict[str, str]) -> None:
    """The problems in what cattrs raised, each at its path."""
    from cattrs.errors import (  # noqa: PLC0415 -- as in `_converter`
        AttributeValidationNote,
        ClassValidationError,
        ForbiddenExtraKeysError,
    )

    if isinstance(error, ClassValidationError):
        for inner in error.exceptions:
            notes = [note for note in getattr(inner, "__notes__", ()) if isinstance(note, AttributeValidationNote)]
            _explain(inner, _path(path, notes[0].name) if notes else path, problems)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(map(str, error.extra_fields)):
            problems.setdefault(_path(path, key), "unknown key")
    else:
        problems.setdefault(path, "missing" if isinstance(error, KeyError) else str(error))


def _structure_batch(value: Any) -> MessageBatch:
    if not isinstance(value, Mapping):
        refuse(f"expected an object, got {shown(value)}")
    problems: dict[str, str] = {}
    found: MessageBatch | None = _structure(value, MessageBatch, "$", problems)
    if "type" not in value:
        problems["$.type"] = "missing"
    elif value["type"] != MessageBatch.type:
        problems["$.type"] = f'expected "{MessageBatch.type}", got {shown(value["type"])}'
    counts = value.get("request_counts")
    if isinstance(counts, Mapping):
        _missing(counts, _COUNT_KEYS, "$.request_counts", problems)
    _walk(value, "$", 1, problems)
    _raise_if(problems)
    return cast(MessageBatch, found)


def _structure_record(body: bytes) -> Record:
    problems: dict[str, str] = {}
    tail = _CRC32.search(body)
    value = _parse(body if tail is None else body[: tail.start()] + b"}")
    if not isinstance(value, Mapping):
        refuse(f"expected an object, got {shown(value)}")
    if "crc32" in value:
        problems["$.crc32"] = 'stands last, as ,"crc32":"0a1b2c3d"}, or not at all'
        value = {key: item for key, item in value.items() if key != "crc32"}
    elif tail is not None:
        computed = b"%08x" % crc32(body[: tail.start()] + b"}")
        if computed != tail[1]:
            problems["$.crc32"] = (
                f"the line was changed: it says {tail[1].decode()}, its content is {computed.decode()}"
            )
    line: _Line | None = _structure(value, _Line, "$", problems)
    for key, wanted in (("specversion", "1.0"), ("datacontenttype", "application/json")):
        if isinstance(value.get(key), str) and value[key] != wanted:
            problems[f"$.{key}"] = f'expected "{wanted}", got {shown(value[key])}'
    cls = _class_of(value.get("type"), problems)
    event: Event | None = None
    if cls is not None and "data" in value:
        event = _structure_event(value["data"], cls, "$.data", problems)
    _walk(value, "$", 1, problems)
    version = 0
    if isinstance(value.get("sequence"), str):
        try:
            version = _version(value["sequence"])
        except ValueError as error:
            problems.setdefault("$.sequence", str(error))
    if line is not None and not _names(line.source, line.subject):
        problems.setdefault(
            "$.source", f"expected {shown(SOURCE_PREFIX)} and the percent-encoded subject, got {shown(line.source)}"
        )
    _raise_if(problems)
    line, event = cast(_Line, line), cast(Event, event)  # else there were problems
    return Record(line.subject, version, event, line.id, line.time)


def _class_of(type_: object, problems: dict[str, str]) -> type[Event] | None:
    cls = _CLASSES.get(str(type_))
    if cls is None:
        problems.setdefault("$.type", f"expected one of {', '.join(_CLASSES)}, got {shown(type_)}")
    return cls


def _structure_event(value: Any, cls: type[Event], path: str, problems: dict[str, str]) -> Event | None:
    event: Event | None = _structure(value, cls, path, problems)
    counts = value.get("request_counts") if isinstance(value, Mapping) else None
    if isinstance(counts, Mapping):
        _missing(counts, _COUNT_KEYS, f"{path}.request_counts", problems)
    return event


_CRC32 = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\Z')
_CLASSES: Mapping[str, type[Event]] = {type_of(cls): cls for cls in EVENTS}


def _names(source: str, subject: str) -> bool:
    try:
        return source.startswith(SOURCE_PREFIX) and unquote(source[len(SOURCE_PREFIX) :], errors="strict") == subject
    except UnicodeDecodeError:
        return False
