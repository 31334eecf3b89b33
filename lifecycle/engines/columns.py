"""
Records as columns: one row a record, every field of every event a column of its own, null where its event has none.

`SCHEMA` is how a Parquet file has them (``specs/log-format.md``), `COLUMNS` how engines hand them on: times as
microseconds since 1970, events as places in `EVENTS`.  `screened` says what is known of rows of a file without taking
each apart; `structured` brings them to the second form, and says which are no records; `records` gives the records of
rows, `from_rows` the rows of records.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal

from lifecycle import log, wire
from lifecycle.batch import EPOCH, RequestCounts, unchecked
from lifecycle.engines import MISSING
from lifecycle.errors import LogError
from lifecycle.events import EVENTS, Event, Record
from lifecycle.fusing import new_counts
from lifecycle.parsing import shown
from lifecycle.rules import COUNTS

try:
    import numpy as np
    import pyarrow as pa

    from lifecycle.columns import LARGEST, NULL, Buffer, Columns, Facts, Names, Texts, known_url
except ImportError as error:
    raise ImportError(MISSING) from error

import attrs


@cache
def compute() -> Any:
    """The functions of `pyarrow.compute`, which take as long to load as many thousand rows to read."""
    return importlib.import_module("pyarrow.compute")  # its functions are made then, so no checker knows them


ROWS: Final = 1 << 14
"""How many rows go through at a time: enough to be quick, and so few that a dozen such parts are a small matter."""
BYTES: Final = 1 << 23
"""How many bytes of lines go through at a time: an id may be as long as a line."""

Kind = Literal["text", "whole", "time"]

_KINDS: Mapping[Any, Kind] = {str: "text", str | None: "text", int: "whole", datetime: "time"}

ENVELOPE: Mapping[str, Kind] = {
    "batch_id": "text",
    "version": "whole",
    "event_id": "text",
    "recorded_at": "time",
    "event": "text",
}
"""The columns that every row has. `event` is the tag."""


def _fields(cls: type[Event]) -> dict[str, tuple[Kind, bool]]:
    found: dict[str, tuple[Kind, bool]] = {}
    for field in attrs.fields(cls):
        if field.type is RequestCounts:
            found |= dict.fromkeys(COUNTS, ("whole", True))
        else:
            found[field.name] = _KINDS[field.type], field.default is attrs.NOTHING
    return found


OF_EVENT: Mapping[str, Mapping[str, tuple[Kind, bool]]] = {cls.tag: _fields(cls) for cls in EVENTS}
"""For each tag: the columns of its event, each with its kind and whether it must have a value."""
FIELDS: Mapping[str, Kind] = {name: kind for columns in OF_EVENT.values() for name, (kind, _) in columns.items()}
"""The columns of the events' fields, those of the first event first."""
_KIND_OF: Mapping[str, Kind] = {**ENVELOPE, **FIELDS}

_STORED: Mapping[Kind, Any] = {"text": pa.string(), "whole": pa.int64(), "time": pa.timestamp("us", "UTC")}
_HELD: Mapping[Kind, Any] = {"text": pa.large_string(), "whole": pa.int64(), "time": pa.int64()}

SCHEMA: Final = pa.schema(
    [pa.field(name, _STORED[kind], nullable=False) for name, kind in ENVELOPE.items()]
    + [pa.field(name, _STORED[kind]) for name, kind in FIELDS.items()]
)
"""The columns of a log as Parquet, as it is written."""

COLUMNS: Final = pa.schema(
    [pa.field("line", pa.int64())]
    + [pa.field(name, pa.int8() if name == "event" else _HELD[kind]) for name, kind in ENVELOPE.items()]
    + [pa.field(name, _HELD[kind]) for name, kind in FIELDS.items()]
)
"""
The columns of a log on its way: all values are those of records; no rule has been judged.

`line` is the line or row of the file, from 1; times are microseconds since 1970 in UTC; `event` is a place in `EVENTS`.
"""


@cache
def _tags() -> pa.Array:
    return pa.array([cls.tag for cls in EVENTS], pa.string())


_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def _bits(has: Callable[[Mapping[str, tuple[Kind, bool]], str], bool], otherwise: int) -> Any:
    """Which fields the event of each class has, a bit for each; the last row stands for whatever is no event."""
    rows = [sum(has(OF_EVENT[cls.tag], name) << place for place, name in enumerate(FIELDS)) for cls in EVENTS]
    return np.array([*rows, otherwise], np.uint32)


_MUST = _bits(lambda own, name: own.get(name, ("", False))[1], 0)
_MAY = _bits(lambda own, name: name in own, (1 << len(FIELDS)) - 1)

Refused = tuple[int, tuple[tuple[str, str], ...]]
"""A row, from 0, that is no record, and its problems: (path, message) each, as in `WireError`."""

Block = tuple[pa.RecordBatch, list[LogError]]
"""Rows of `COLUMNS` in the order of their file, and what stood between them and is no record."""

# ---------------------------------------------------------------------------------------------- what a file may have


def misfit(schema: pa.Schema) -> str | None:
    """Why a file with this schema is no log; None if it is one. Types may be narrower if nothing is lost by that."""
    for name in schema.names:
        if name not in _KIND_OF:
            return f"the column {shown(name)} is unknown"
        if schema.names.count(name) > 1:
            return f"there are two columns {shown(name)}"
    for name, kind in _KIND_OF.items():
        if name not in schema.names:
            return f"the column {name} is missing"
        found = schema.field(name).type
        if not _fits(found, kind):
            return f"the column {name}: expected {_STORED[kind]}, got {found}"
    return None


def _fits(found: pa.DataType, kind: Kind) -> bool:
    if pa.types.is_null(found):
        return True  # how others write a column without a value
    if kind == "time":
        return bool(pa.types.is_timestamp(found)) and found.tz is not None
    if kind == "whole":
        return bool(pa.types.is_integer(found)) and found != pa.uint64()
    if pa.types.is_dictionary(found):
        found = found.value_type
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def sound(stored: pa.RecordBatch) -> pa.RecordBatch:
    """
    Rows of a file as others here can take them.

    Raises:
        pyarrow.ArrowIndexError: A dictionary has no such place; a reader does not look.
    """
    for name in stored.schema.names:
        column = stored.column(name)
        if pa.types.is_dictionary(column.type):
            codes, there = _numbers(column.indices), _there(column)
            codes = codes if there is None else codes[there]
            if len(codes) and not 0 <= codes.min() <= codes.max() < len(column.dictionary):
                raise pa.ArrowIndexError(f"the column {name} names what is not in its dictionary")
        elif pa.types.is_string_view(column.type):  # of which Arrow cannot take some
            stored = stored.set_column(stored.schema.get_field_index(name), name, column.cast(pa.large_string()))
    return stored


def structured(stored: pa.RecordBatch, lines: Any) -> tuple[pa.RecordBatch, list[Refused]]:
    """
    Take rows of a file.

    Args:
        stored: Rows in a schema that is no `misfit`.
        lines: Where each stands in the file, from 1.

    Returns:
        Those that are records, as `COLUMNS`; and those that are none.
    """
    size = stored.num_rows
    held: dict[str, Any] = {}
    unfit: dict[str, Any] = {}
    wrong = np.zeros(size, bool)
    for name, kind in _KIND_OF.items():
        if name != "event":
            held[name], unfit[name] = _READERS[kind](stored.column(name))
            if unfit[name] is not None:
                wrong |= unfit[name]
            if name in ENVELOPE and held[name].null_count:
                wrong |= ~_there(held[name])
    codes = _codes(stored.column("event"))
    wrong |= ~_belong(codes, {name: _there(held[name]) for name in FIELDS if held[name].null_count < size})
    held["event"] = column_of(codes)
    held["line"] = column_of(lines)
    batch = pa.RecordBatch.from_arrays([held[name] for name in COLUMNS.names], schema=COLUMNS)
    if not wrong.any():
        return batch, []
    held["event"], unfit["event"] = _text(stored.column("event"))
    refused = [(row, tuple(_problems(stored, held, unfit, row))) for row in np.flatnonzero(wrong).tolist()]
    return batch.filter(pa.array(~wrong)), refused


def _belong(codes: Any, there: Mapping[str, Any]) -> Any:
    """
    Which rows have an event, all fields that it must have, and none that it may not have.

    Args:
        codes: The places in `EVENTS`; -1 for what is none.
        there: Of the fields that any row has, which rows have it; None for all.
    """
    found = np.zeros(len(codes), np.uint32)
    for place, name in enumerate(FIELDS):
        if name in there:
            np.bitwise_or(found, np.uint32(1 << place), out=found, where=True if there[name] is None else there[name])
    return (codes >= 0) & ((found & ~_MAY[codes]) | (_MUST[codes] & ~found) == 0)


def column_of(values: Any) -> pa.Array:
    """NumPy's whole numbers as a column. What pyarrow has for that loads pandas, if there is one: half a second."""
    return pa.Array.from_buffers(_WHOLE[values.dtype.itemsize], len(values), [None, pa.py_buffer(values)])


_WHOLE = {1: pa.int8(), 8: pa.int64()}


def _there(column: pa.Array) -> Any:
    """Which rows have a value; None for all."""
    if not column.null_count:
        return None
    bits, start = column.buffers()[0], column.offset
    found = np.unpackbits(np.frombuffer(bits, np.uint8)[start // 8 :], bitorder="little", count=start % 8 + len(column))
    return found[start % 8 :].view(bool)


def _numbers(column: pa.Array) -> Any:
    """The values of a column of whole numbers or times; anything where there is none."""
    data, start = column.buffers()[1], column.offset
    sign = "u" if pa.types.is_unsigned_integer(column.type) else "i"
    values = np.frombuffer(data or b"", f"{sign}{column.type.bit_width // 8}")
    return values[start : start + len(column)] if data else np.zeros(len(column), np.int64)


def refusal(path: str, row: int, problems: tuple[tuple[str, str], ...]) -> LogError:
    """What is said of a row of a file, from 1, that is no record."""
    text = "; ".join(f"{where}: {message}" for where, message in problems)
    return LogError(path, row, f"no record: {text}", problems)


def _text(column: pa.Array) -> tuple[pa.Array, Any]:
    text = column.cast(pa.large_string())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:  # not UTF-8, which nobody checks before
        values = text.cast(pa.large_binary()).to_pylist()
        unfit = np.array([value is not None and not _is_utf8(value) for value in values])
        text = compute().if_else(pa.array(unfit), pa.scalar("", pa.large_string()), text)
        return text, unfit
    return text, None


def _codes(column: pa.Array) -> Any:
    """The places in `EVENTS` of tags; -1 for what is none."""
    if not pa.types.is_dictionary(column.type):
        column = _spelled(column).dictionary_encode()
    known = np.array([*(_CODES.get(text, -1) for text in _texts(_spelled(column.dictionary)).bytes()), -1], np.int8)
    if (named := _there(column.dictionary)) is not None:
        known[:-1][~named] = -1
    indices, there = _numbers(column.indices), _there(column)
    return known[indices if there is None else np.where(there, indices, -1)]


_CODES = {cls.tag.encode(): code for code, cls in enumerate(EVENTS)}


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _whole(column: pa.Array) -> tuple[pa.Array, Any]:
    numbers = column.cast(pa.int64())
    unfit = numbers.fill_null(0).to_numpy() < 0
    return numbers, unfit if unfit.any() else None


_UNITS = {"s": 1_000_000, "ms": 1000, "us": 1}


def _times(column: pa.Array) -> tuple[pa.Array, Any]:
    if pa.types.is_null(column.type):
        return column.cast(pa.int64()), None
    there = column.is_valid()
    raw = column.cast(pa.int64()).fill_null(0).to_numpy()
    if column.type.unit == "ns":
        times, unfit = raw // 1000, raw % 1000 != 0
    else:
        scale = _UNITS[column.type.unit]
        unfit = (raw < -(-_FIRST // scale)) | (raw > _LAST // scale)
        times = np.where(unfit, 0, raw) * scale
    found = compute().if_else(there, pa.array(times), pa.scalar(None, pa.int64()))
    return found, unfit if unfit.any() else None


_READERS: Mapping[Kind, Callable[[pa.Array], tuple[pa.Array, Any]]] = {"text": _text, "whole": _whole, "time": _times}
_EXPECTED: Mapping[Kind, str] = {
    "text": "expected text in UTF-8",
    "whole": f"expected a number from 0 to {wire.LARGEST_NUMBER}",
    "time": "expected a time of whole microseconds in the years 1 to 9999",
}


def _problems(
    stored: pa.RecordBatch, held: Mapping[str, Any], unfit: Mapping[str, Any], row: int
) -> Iterator[tuple[str, str]]:
    tag = None if unfit["event"] is not None and unfit["event"][row] else stored.column("event")[row].as_py()
    own = OF_EVENT.get(tag or "")
    for name, kind in _KIND_OF.items():
        path = f"$.{name}"
        if unfit[name] is not None and unfit[name][row]:
            got = f", got {held[name][row].as_py()}" if kind == "whole" else ""
            yield path, f"{_EXPECTED[kind]}{got}"
        elif not held[name][row].is_valid:
            if name in ENVELOPE or (own is not None and own.get(name, ("", False))[1]):
                yield path, "missing"
        elif name == "event" and own is None:
            yield path, f"expected one of {', '.join(OF_EVENT)}, got {shown(tag)}"
        elif name in FIELDS and own is not None and name not in own:
            yield path, f"{tag} has no such field"


_MOMENTS = [name for name, kind in FIELDS.items() if kind == "time" and name != "expires_at"]


def facts(batch: pa.RecordBatch) -> Facts:
    """What the rules ask of rows of `COLUMNS`. The numbers that stand for URLs hold for these rows alone."""
    named = compute().coalesce(compute().equal(batch.column("id"), batch.column("batch_id")), pa.scalar(value=True))
    urls = batch.column("results_url").dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64) + 1
    columns = {name: batch.column(name) for name, kind in FIELDS.items() if kind != "text"}
    values = {name: (_numbers(held), _there(held)) for name, held in columns.items() if held.null_count < len(held)}
    version, tag = batch.column("version").to_numpy(), batch.column("event").to_numpy().astype(np.int64)
    found = _facts(named.to_numpy(zero_copy_only=False), version, tag, values, urls.view(np.uint64))
    found.plain = np.logical_and.reduce([found.plain, *(numbers <= LARGEST for numbers in found.counts.values())])
    return found


def screened(stored: pa.RecordBatch) -> Columns:
    """
    What is known of rows of a file.

    Args:
        stored: Rows in a schema that is no `misfit`.

    Returns:
        A row for each; `structured` says of those that are not plain whether they are records at all.
    """
    size = stored.num_rows
    columns = {name: _spelled(stored.column(name)) if kind == "text" else stored.column(name) for name, kind in _OTHERS}
    ids = stored.column("batch_id")
    if pa.types.is_dictionary(ids.type) and len(ids.dictionary) <= size and not ids.dictionary.null_count:
        columns["batch_id"] = ids  # as our own files have them
    there = {name: _there(column) for name, column in columns.items() if column.null_count < size}
    if not there.keys() >= ENVELOPE.keys() - {"event"}:
        return Columns.unknown(size)
    names, name = _names(columns["batch_id"])
    whose = np.arange(size) if name is None else name
    codes = _codes(stored.column("event"))
    plain = names.fine[whose] & _belong(codes, there)
    values: dict[str, Any] = {}
    for field, has in there.items():
        if field in ENVELOPE and has is not None:
            plain &= has
        if _KIND_OF[field] != "text":
            numbers, fine = _read(columns[field], _KIND_OF[field])
            values[field] = numbers, has
            if fine is not None:
                plain &= fine if has is None else fine | ~has
    version, _ = values["version"]
    plain &= names.number(_texts(columns["event_id"]), whose, version)
    if "id" in there:
        rows, texts = _some(columns["id"], there["id"])
        plain[rows] &= names.begin(texts, whose[rows]) & (names.sizes[whose[rows]] == texts.sizes)
    url, urls = np.zeros(size, np.uint64), dict[int, str]()
    if "results_url" in there:
        rows, texts = _some(columns["results_url"], there["results_url"])
        url[rows] = keys = np.array([_url(text, urls) for text in texts.bytes()], np.uint64)
        plain[rows] &= keys != 0
    found = _facts(plain, version, codes.astype(np.int64), values, url)
    return Columns(**attrs.asdict(found, recurse=False), name=name, key=names.key, ids=names.ids, urls=urls)


_OTHERS = [(name, kind) for name, kind in _KIND_OF.items() if name != "event"]
_RANGE: Mapping[Kind, tuple[int, int]] = {"whole": (0, LARGEST), "time": (_FIRST, _LAST)}


def _read(column: pa.Array, kind: Kind) -> tuple[Any, Any]:
    """Numbers or times; and which of them can be what they say, if not all."""
    unfit = None
    if column.type.id != _STORED[kind].id or (kind == "time" and column.type.unit != "us"):
        column, unfit = _READERS[kind](column)
    numbers, (least, most) = _numbers(column), _RANGE[kind]
    fine = (numbers - least).view(np.uint64) <= np.uint64(most - least)
    if unfit is not None:
        fine &= ~unfit
    return numbers, None if fine.all() else fine


def _spelled(column: pa.Array) -> pa.Array:
    """A column of texts, one for each row."""
    return column if column.type in _OFFSETS else column.cast(pa.large_string())


_OFFSETS = {pa.string(): np.int32, pa.large_string(): np.int64}


def _texts(column: pa.Array) -> Texts:
    """The texts of a column that is `_spelled`; anything where there is none."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets or bytes(8), _OFFSETS[column.type])[column.offset : column.offset + len(column) + 1]
    first, last = ends[0], ends[-1]
    starts = (ends - first).astype(np.int64)
    return Texts(Buffer(memoryview(data or b"")[first:last]), starts[:-1], np.diff(starts))


def _names(column: pa.Array) -> tuple[Names, Any]:
    """The names among batch ids, and which of them each is, any name where there is none; None if each has its own."""
    if not pa.types.is_dictionary(column.type):
        return Names.of(_texts(column)), None
    codes, there = _numbers(column.indices), _there(column)
    names = Names.of(_texts(_spelled(column.dictionary)))
    small = np.uint16 if len(names.key) <= 1 << 16 else np.uint32
    return names, (codes if there is None else np.where(there, codes, 0)).astype(small)


def _some(column: pa.Array, there: Any) -> tuple[Any, Texts]:
    """The rows that have a text; and they."""
    texts = _texts(column)
    if there is None:
        return np.arange(len(column)), texts
    rows = np.flatnonzero(there)
    return rows, texts.of(rows)


def _url(text: bytes, urls: dict[int, str]) -> int:
    """The number that stands for a URL; 0 if it is no text, or if the number stands for another."""
    try:
        return known_url(text.decode(), urls)
    except UnicodeDecodeError:
        return 0


def _facts(plain: Any, version: Any, tag: Any, values: Mapping[str, Any], url: Any) -> Facts:
    """Facts of *values*, which are numbers by name, each with the rows that have it (None: all)."""

    def laid(into: Any, *names: str) -> Any:
        for name in names:
            if name in values:
                numbers, there = values[name]
                np.copyto(into, numbers, where=True if there is None else there)
        return into

    size = len(tag)
    counts = {name: laid(np.zeros(size, np.int64), name) for name in COUNTS}
    laid(counts[COUNTS[0]], "request_count")  # no event has both
    return Facts(
        plain=plain,
        version=version,
        tag=tag,
        at=laid(np.full(size, NULL), *_MOMENTS),  # no event has two
        expires_at=laid(np.full(size, NULL), "expires_at"),
        counts=counts,
        url=url,
    )


def stored(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of `COLUMNS` as a file has them."""
    found = [
        _tags().take(batch.column(name)) if name == "event" else batch.column(name).cast(_STORED[kind])
        for name, kind in _KIND_OF.items()
    ]
    return pa.RecordBatch.from_arrays(found, schema=SCHEMA)


# ------------------------------------------------------------------------------------------------------- and records

_new_record = unchecked(Record)
_NEW: Sequence[Callable[..., Event]] = [unchecked(cls) for cls in EVENTS]


def records(batch: pa.RecordBatch, file: str | Sequence[str]) -> list[Record]:
    """
    The records of rows.

    Args:
        batch: Rows of `COLUMNS`, perhaps with a column `file`.
        file: Where they come from; or, if there is such a column, the names of the files that it counts from 0.
    """
    codes = batch.column("event").to_numpy()
    events: list[Any] = [None] * batch.num_rows
    for code, cls in enumerate(EVENTS):
        rows = np.flatnonzero(codes == code)
        if len(rows):
            part = batch if len(rows) == len(events) else batch.take(column_of(rows))
            arguments = [_values(part, field.name, field.type) for field in attrs.fields(cls)]
            for row, event in zip(rows.tolist(), map(_NEW[code], *arguments), strict=True):
                events[row] = event
    lines = batch.column("line").to_pylist()
    names = [file] * len(events) if isinstance(file, str) else [file[n] for n in batch.column("file").to_pylist()]
    columns = [
        _values(batch, name, _TYPES[ENVELOPE[name]]) for name in ("batch_id", "version", "event_id", "recorded_at")
    ]
    return [
        _new_record(batch_id, version, event, event_id, recorded_at, place)
        for batch_id, version, event_id, recorded_at, event, place in zip(
            *columns, events, zip(names, lines, strict=True), strict=True
        )
    ]


_TYPES: Mapping[Kind, Any] = {"text": str, "whole": int, "time": datetime}


def _values(batch: pa.RecordBatch, name: str, type_: Any) -> list[Any]:
    if type_ is RequestCounts:
        counts = [batch.column(count).to_pylist() for count in COUNTS]
        return [new_counts(*numbers, {}) for numbers in zip(*counts, strict=True)]
    values: list[Any] = batch.column(name).to_pylist()
    if type_ is datetime:
        return [EPOCH + timedelta(microseconds=value) for value in values]
    return values


Row = tuple[Any, ...]


def _picker(code: int, cls: type[Event]) -> Callable[[int, str, int, str, datetime, Any], Row]:
    """A function from a record with an event of *cls* to its row, written as source and compiled."""
    paths = {
        count if field.type is RequestCounts else field.name: f"event.{field.name}"
        + (f".{count}" if field.type is RequestCounts else "")
        for field in attrs.fields(cls)
        for count in (COUNTS if field.type is RequestCounts else ("",))
    }
    values = ", ".join(paths.get(name, "None") for name in FIELDS)
    scope: dict[str, Any] = {}
    row = f"line, batch_id, version, event_id, recorded_at, {code}, {values}"
    source = f"def pick(line, batch_id, version, event_id, recorded_at, event):\n    return ({row})"
    exec(source, scope)  # noqa: S102 -- the source is made of field names of our own classes
    pick: Callable[[int, str, int, str, datetime, Any], Row] = scope["pick"]
    return pick


# By tag, for reducers get the same events by way of other classes (`lifecycle.wire.Data`).
_PICK = {cls.tag: _picker(code, cls) for code, cls in enumerate(EVENTS)}
_TIMES = frozenset(name for name, kind in _KIND_OF.items() if kind == "time")


def row(record: Record, line: int) -> Row:
    """The row of a record, for `from_rows`."""
    event = record.event
    return _PICK[event.tag](line, record.batch_id, record.version, record.event_id, record.recorded_at, event)


def from_rows(rows: Iterable[Row]) -> pa.RecordBatch:
    """Rows of `COLUMNS` from those of `row`, which are of records that a line can hold."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS.names)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(values, _STORED["time"]).cast(pa.int64()) if field.name in _TIMES else pa.array(values, field.type)
            for field, values in zip(COLUMNS, columns, strict=True)
        ],
        schema=COLUMNS,
    )


def of_lines(reading: log.Reading) -> Iterator[Block]:
    """The records of one log in JSON Lines: each line is read as `lifecycle.wire` reads it."""
    return _blocks(_of_lines(reading))


def _of_lines(reading: log.Reading) -> Iterator[tuple[Row | LogError, int]]:
    for path, first, lines, torn in reading.blocks():
        for number, line in enumerate(lines, first):
            entry = reading.entry(path, number, line, torn=torn)
            if isinstance(entry, LogError):
                yield entry, 0
            elif entry is not None:
                batch_id, version, event_id, event, _, recorded_at = entry
                yield _PICK[event.tag](number, batch_id, version, event_id, recorded_at, event), len(line or b"")


def of_records(records: Iterable[Record]) -> Iterator[Block]:
    """Records that somebody else reads from one place; each has its `place`."""
    # A record has at least one line's worth of other things than its ids.
    return _blocks(
        (row(record, record.place[1]), 400 + 4 * len(record.batch_id + record.event_id))
        for record in records
        if record.place
    )


def _blocks(found: Iterable[tuple[Row | LogError, int]]) -> Iterator[Block]:
    rows: list[Row] = []
    refused: list[LogError] = []
    size = 0
    for one, length in found:
        if isinstance(one, LogError):
            refused.append(one)
        else:
            rows.append(one)
        size += length
        if len(rows) + len(refused) >= ROWS or size >= BYTES:
            yield from_rows(rows), refused
            rows, refused, size = [], [], 0
    if rows or refused:
        yield from_rows(rows), refused
