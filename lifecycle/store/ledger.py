"""
What every store keeps, what it may add, and what it has to look like: stores differ only in where the rows lie.

A store has two tables.  Its *rows* are the events, each with its position in the store: 1, 2, 3 … with no gap.  Its
*heads* say of each stream where it stands: the version, the batch that its events have led to, and the end of its
chain.  A row's hash covers the row and the hash before it in its stream (``specs/stores.md``), so a row that was
changed, lost or moved is found; a head repeats what the rows say, so that one that is wrong is found, too.

The data of an event is hashed by itself first, and the chain takes that digest.  So the data can be forgotten, and the
chain still holds.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from itertools import chain, groupby, product
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import attrs

from lifecycle import wire
from lifecycle.batch import MessageBatch, Phase, unchecked
from lifecycle.errors import (
    IllegalTransition,
    RuleBroken,
    StoreError,
    VersionConflict,
    WireError,
    quoted,
)
from lifecycle.events import EVENTS, Archived, Created, Deleted, Ended, Event, Record
from lifecycle.folding import check_type, fold
from lifecycle.parsing import parse, text_problem
from lifecycle.replaying import Reducer
from lifecycle.rules import LAWS, RULES, Profile, Violation

# ------------------------------------------------------------------------------------------------------ what is kept


class Row(NamedTuple):
    """An event as it is kept."""

    position: int
    """Its place in the whole store, from 1."""
    stream: str
    """The batch."""
    version: int
    """Its place in the stream, from 1."""
    event_id: str
    """Unique in the stream (rule L4)."""
    type: str
    """The type of its record, with the version of the event's schema."""
    data: str | None
    """The fields of the event, as JSON; None once forgotten."""
    recorded_at: str
    """In the recorded form of a time."""
    hash: bytes
    """`chained`: it covers this row and all before it in the stream."""
    digest: bytes | None
    """The SHA-256 of the data that was forgotten; None as long as the data is there."""


Values: TypeAlias = tuple[int, str, int, str, str, str | None, str, bytes, bytes | None]
"""A `Row` that is only to be written: a plain tuple is made, and bound to a statement, in less time."""


class HeadRow(NamedTuple):
    """Where a stream stands, as it is kept."""

    stream: str
    """The batch."""
    version: int
    """How many events the stream has."""
    hash: bytes
    """That of its last row."""
    batch: str | None
    """The batch that its events have led to, as a snapshot in JSON; None once forgotten."""
    deleted_at: str | None
    """When it was deleted, for a snapshot does not say that; None once forgotten."""


@attrs.frozen
class Head:
    """Where a stream stands."""

    stream: str
    """The batch id."""
    version: int
    """How many events the stream has."""
    batch: MessageBatch | None
    """The batch that its events have led to; None once it was forgotten."""
    hash: bytes
    """The end of the stream's chain. Kept elsewhere, it tells for good that no row up to `version` has changed."""

    @property
    def forgotten(self) -> bool:
        """Whether the data of the stream was erased."""
        return self.batch is None


@attrs.frozen
class Damage:
    """Something in a store that is not as it was written."""

    message: str
    """What is wrong, for people."""
    stream: str | None = None
    """The stream; None if it is not known, or the store as a whole is meant."""
    version: int | None = None
    """The version of the row, where one is meant."""
    position: int | None = None
    """The position of the row, where one is meant."""

    def __str__(self) -> str:
        place = ", ".join(
            f"{name} {quoted(value)}"
            for name, value in (("stream", self.stream), ("version", self.version), ("position", self.position))
            if value is not None
        )
        return f"{place}: {self.message}" if place else self.message


_new_record = unchecked(Record)
_new_head = unchecked(Head)


def chained(before: bytes, position: int, version: int, event_id: str, type_: str, time: str, digest: bytes) -> bytes:
    """
    The hash of a row.

    Args:
        before: That of the row before it in its stream; `chain_start` for the first.
        position: As all that follow: of the row.
        version: The same.
        event_id: The same.
        type_: The same.
        time: `Row.recorded_at`.
        digest: The SHA-256 of the row's data.
    """
    # The lengths say where one text ends and the next begins.
    text = f"{position} {version} {len(type_)} {len(time)} {type_}{time}{event_id}"
    return sha256(before + digest + text.encode()).digest()


def chain_start(stream: str) -> bytes:
    """What stands for the hash before the first row of a stream: the SHA-256 of its name."""
    return sha256(stream.encode()).digest()


def record_of(row: Row, steps: "Upcasts") -> Record:
    """The record that a row keeps: see `records_of`."""
    [record] = records_of((row[:7],), steps)
    return record


def records_of(rows: Iterable[Sequence[Any]], steps: "Upcasts") -> list[Record]:
    """
    The records that rows keep.

    Args:
        rows: The first seven values of each `Row`.
        steps: The upcasts of the store.

    Raises:
        StoreError: A row is damaged, or was forgotten.
    """
    records: list[Record] = []
    for position, stream, version, event_id, type_, data, time in rows:
        try:
            # A damaged file may show a value of any type.
            if type(version) is not int or type(event_id) is not str or type(stream) is not str:
                raise ValueError("a value of the wrong type")  # noqa: TRY301 -- one way for all that is wrong
            if type_ in steps:
                type_, data = upcast(type_, data, steps)  # noqa: PLW2901 -- the row in its newest form
            event = wire.decode_event(type_, data, max_bytes=_MAX_BYTES)
            records.append(_new_record(stream, version, event, event_id, wire.recorded_time(time), None))
        except (WireError, ValueError, TypeError, LookupError, AttributeError) as error:
            place = f"stream {quoted(stream)}, version {quoted(version)}, position {quoted(position)}"
            raise StoreError(f"{place}: the row is damaged: {error}; verify says what else is") from error
    return records


def head_of(row: HeadRow) -> Head:
    """
    The head that a row keeps.

    Raises:
        StoreError: The row is damaged.
    """
    stream, version, end, text, deleted_at = row
    try:
        if type(stream) is not str or type(version) is not int or type(end) is not bytes:
            raise ValueError("a value of the wrong type")  # noqa: TRY301 -- one way for all that is wrong
        batch = None if text is None else wire.decode_batch(text, max_bytes=_MAX_BYTES)
        if batch is not None and deleted_at is not None:
            batch = attrs.evolve(batch, deleted_at=wire.recorded_time(deleted_at))
        head: Head = _new_head(stream, version, batch, end)
    except (WireError, ValueError, TypeError) as error:
        place = f"stream {quoted(stream)}"
        raise StoreError(f"{place}: where it stands is damaged: {error}; verify says what else is") from error
    return head


def head_row(head: Head) -> HeadRow:
    """What is kept of a head."""
    batch = head.batch
    if batch is None:
        return HeadRow(head.stream, head.version, head.hash, None, None)
    deleted_at = None if batch.deleted_at is None else wire.stamp(batch.deleted_at)
    return HeadRow(head.stream, head.version, head.hash, wire.encode_batch(batch).decode(), deleted_at)


_MAX_BYTES = 1 << 62
"""What was let in is read, however long it is."""

# ------------------------------------------------------------------------------------------------------ older schemas

Upcast: TypeAlias = Callable[[dict[str, Any]], Mapping[str, Any]]
"""One step: the data of an event in one version of its schema to the data in the next."""

Upcasts: TypeAlias = Mapping[str, tuple[str, Upcast]]
"""The type of a record -> the next type, and the step that leads to it."""

UPCASTS: Upcasts = MappingProxyType({})
"""The steps of this release: none, for every schema is still in its first version."""


def upcast(type_: str, data: str, steps: Upcasts) -> tuple[str, str]:
    """
    Take data through the steps that lead from its schema to the newest.

    Args:
        type_: The type of the record.
        data: One JSON object.
        steps: The steps.

    Returns:
        The type and the data that the last step gives; what was given, if no step starts there.

    Raises:
        WireError: The data is no JSON object.
        ValueError: The steps lead in a circle.
    """
    seen = {type_}
    while (step := steps.get(type_)) is not None:
        value = parse(data.encode())
        check_type("data", value, dict)
        type_, apply = step
        if type_ in seen:
            raise ValueError(f"upcasts: the steps lead in a circle, back to {type_}")
        seen.add(type_)
        data = json.dumps(apply(value), ensure_ascii=False, separators=(",", ":"))
    return type_, data


# ------------------------------------------------------------------------------------------------------------ appending


class Item(NamedTuple):
    """An event that is to be written."""

    event: Event
    """The event."""
    event_id: str
    """Its id."""
    type: str
    """Of its record."""
    data: str
    """Its fields, as JSON."""
    digest: bytes
    """The SHA-256 of its data."""
    recorded_at: datetime
    """When it is written down."""
    time: str
    """The same in the recorded form."""


class Request(NamedTuple):
    """What a caller wants appended to a stream."""

    stream: str
    """The batch."""
    items: tuple[Item, ...]
    """The events."""
    expected_version: int
    """The version of the stream that they follow."""
    given_ids: bool
    """Whether the caller gave the ids: only then a repeat may be among them."""
    placed: bool = False
    """Whether the events have their versions already: then a repeat has to be of the same version, too."""


_new_item: Callable[[tuple[Any, ...]], Item] = partial(tuple.__new__, Item)  # in half the time
_WITH_TEXT = (Created, Ended, Archived)
_TYPE_OF: Mapping[type, str] = {cls: wire.type_of(cls) for cls in EVENTS}


def request(
    stream: str,
    events: Iterable[Event],
    expected_version: int,
    event_ids: Iterable[str] | None,
    recorded_at: datetime | Iterable[datetime] | None,
) -> Request:
    """
    Check and encode what a caller wants appended; the rules come later, when the stream is known.

    Without ids of the caller it makes some that nobody else makes: after a commit whose answer was lost, they tell
    which rows are this request's own.

    Raises:
        WireError: Something cannot be stored: a number outside 0 to 2^63-1, text with a lone surrogate or a NUL.
        TypeError: A value of the wrong type.
        ValueError: As many ids or times as events are needed; *expected_version* is negative; a time is naive.
    """
    stream = plain("stream", stream)
    if type(expected_version) is not int:
        raise TypeError(f"expected_version: expected a whole number, got {quoted(expected_version)}")
    if expected_version < 0:
        raise ValueError(f"expected_version: expected 0 or more, got {expected_version}; 0 means no stream yet")
    found = _listed("events", events)
    if event_ids is None:
        token = secrets.token_hex(16)
        ids: Sequence[str] = [f"{token}/{place}" for place in range(1, len(found) + 1)]
    else:
        ids = [plain("event_ids", event_id) for event_id in _listed("event_ids", event_ids)]
    if recorded_at is None or isinstance(recorded_at, datetime):
        times = [_recorded(now() if recorded_at is None else recorded_at)] * len(found)
    else:
        times = [_recorded(time) for time in _listed("recorded_at", recorded_at)]
    for name, given in (("event_ids", ids), ("recorded_at", times)):
        if len(given) != len(found):
            raise ValueError(f"{name}: expected {len(found)}, one for each event, got {len(given)}")
    for path, text in (("$.subject", stream), *(("$.id", event_id) for event_id in (() if event_ids is None else ids))):
        _storable(path, text)
    # Column by column: of the time that a batch of events takes, that saves a twentieth.
    encoded = [wire.encode_event(event) for event in found]
    for event, data in zip(found, encoded, strict=True):
        if event.__class__ in _WITH_TEXT and b"\\u0000" in data:
            for name in ("id", "results_url"):
                _storable(f"$.data.{name}", getattr(event, name, None) or "")
    digests = [sha256(data).digest() for data in encoded]
    types = [_TYPE_OF[event.__class__] for event in found]
    columns = zip(found, ids, types, map(bytes.decode, encoded), digests, *zip(*times, strict=True), strict=True)
    return Request(stream, tuple(map(_new_item, columns)), expected_version, event_ids is not None)


def requests(records: Sequence[Record]) -> list[Request]:
    """Records as requests to append them: one for each run of records that follow one another in one stream."""
    runs: list[tuple[Request, list[Item]]] = []
    for record in records:
        check_type("record", record, Record)
        one = request(
            record.batch_id, (record.event,), max(record.version - 1, 0), (record.event_id,), record.recorded_at
        )
        if record.version < 1:
            raise _broken(one.items[0], None, "L3", f"version {record.version} is no place in a stream")
        last, items = runs[-1] if runs else (None, [])
        if last is not None and (last.stream, last.expected_version + len(items)) == (one.stream, one.expected_version):
            items += one.items
        else:
            runs.append((one, [*one.items]))
    return [one._replace(items=tuple(items), placed=True) for one, items in runs]


def _recorded(time: datetime) -> tuple[datetime, str]:
    """*time* as a record has it, aware and in UTC, and in the recorded form."""
    utc = Record("", 1, Deleted(time), "", time).recorded_at
    return utc, wire.stamp(utc)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name}: expected one after the other, got {quoted(values)}")
    return list(values)


def _storable(path: str, text: str) -> None:
    """Refuse text that not every database can hold."""
    problem = text_problem(text)
    if problem is None and "\0" in text:
        problem = "text with a NUL, which a database cannot hold"
    if problem is not None:
        raise WireError(((path, problem),))


def now() -> datetime:
    """What time it is: a store's clock."""
    return datetime.now(UTC)  # noqa: TID251 -- the store is an adapter


def number(name: str, value: object) -> int:
    """A version, a position or a limit that a caller gave, cut to what a database knows."""
    if type(value) is not int:
        raise TypeError(f"{name}: expected a whole number, got {quoted(value)}")
    return min(max(value, 0), wire.LARGEST_NUMBER)


def seconds(name: str, value: object, most: float) -> float:
    """How long to wait, as a caller said, cut to what whoever waits can count."""
    if type(value) not in (int, float):
        raise TypeError(f"{name}: expected seconds, got {quoted(value)}")
    given = cast(float, value)
    if given != given:  # noqa: PLR0124 -- so is NaN alone
        raise ValueError(f"{name}: expected seconds, got {given}")
    return min(max(given, 0.0), most)


def plain(name: str, value: str) -> str:
    """A text that a caller gave, as a plain string: drivers have ideas of their own about subclasses."""
    check_type(name, value, str)
    return str.__str__(value)


def can_exist(stream: str) -> bool:
    """Whether a stream of this name can be in a store at all."""
    return text_problem(stream) is None and "\0" not in stream


def judge(
    found: Request,
    head: Head | None,
    known: Mapping[str, Row],
    position: int,
    profile: Profile,
    steps: Upcasts,
) -> tuple[list[Values], Head | None, tuple[Record, ...]]:
    """
    Say what an append writes, or why it is refused: the truth table of ``specs/stores.md``.

    Args:
        found: What is asked for.
        head: Where the stream stands; None if there is none.
        known: The rows of the stream that have one of the ids asked for, by id.
        position: The last of the store.
        profile: Which rules count.
        steps: The upcasts of the store.

    Returns:
        The rows to insert, the head to put (None: there is nothing to write), and the record of each event given.

    Raises:
        RuleBroken: An id came before with other content (L4); or the event breaks a rule.
        VersionConflict: The stream is at another version.
        IllegalTransition: The phase has no such arrow.
    """
    stream, items = found.stream, found.items
    version = 0 if head is None else head.version
    batch = None if head is None else head.batch
    repeats: dict[str, Record] = {}
    fresh: Sequence[Item] = items
    if found.given_ids or known:
        fresh = _fresh(found, known, repeats, batch, steps)
    # What is stored of this very call moves it on: the rest then follows, as if it had been one append. So what is
    # stored has to be its beginning, and the end of the stream.
    if (fresh or not items) and found.expected_version + len(repeats) != version:
        raise VersionConflict(stream, found.expected_version, version)
    if fresh and repeats:
        beginning = [*dict.fromkeys(item.event_id for item in items)][: len(repeats)]
        versions = [record.version for record in repeats.values()]
        if beginning != [*repeats] or versions != [*range(found.expected_version + 1, version + 1)]:
            raise VersionConflict(stream, found.expected_version, version)
    if not fresh:
        return [], None, tuple([repeats[item.event_id] for item in items])
    first = fresh[0]
    if head is not None and batch is None:
        raise IllegalTransition(first.event, None, 1, Phase.DELETED, ())
    if head is None and isinstance(first.event, Created) and first.event.id != stream:
        raise _broken(first, batch, "L2", f"the event names {first.event.id!r}, the stream is {stream!r}")
    after = fold([item.event for item in fresh], start=batch, profile=profile)
    end = chain_start(stream) if head is None else head.hash
    rows: list[Values] = []
    records = []
    for event, event_id, type_, data, digest, recorded_at, time in fresh:
        position += 1
        version += 1
        end = chained(end, position, version, event_id, type_, time, digest)
        rows.append((position, stream, version, event_id, type_, data, time, end, None))
        records.append(_new_record(stream, version, event, event_id, recorded_at, None))
    if fresh is not items:
        written = repeats | {record.event_id: record for record in records}
        records = [written[item.event_id] for item in items]
    return rows, _new_head(stream, version, after, end), tuple(records)


def _fresh(
    found: Request,
    known: Mapping[str, Row],
    repeats: dict[str, Record],
    batch: MessageBatch | None,
    steps: Upcasts,
) -> list[Item]:
    """What of a request is new; the records of what is not go to *repeats*."""
    fresh: dict[str, Item] = {}
    for version, item in enumerate(found.items, found.expected_version + 1):
        row, earlier = known.get(item.event_id), fresh.get(item.event_id)
        if row is not None:
            if not _same(row, item, steps):
                raise _broken(item, batch, "L4", f"event id {item.event_id!r} came before, with other content")
            if found.placed and row.version != version:
                raise _broken(item, batch, "L4", f"event id {item.event_id!r} came before, as version {row.version}")
            recorded_at = wire.recorded_time(row.recorded_at)
            repeats[item.event_id] = _new_record(
                found.stream, row.version, item.event, item.event_id, recorded_at, None
            )
        elif earlier is None:
            fresh[item.event_id] = item
        elif found.placed or (earlier.type, earlier.data) != (item.type, item.data):
            raise _broken(item, batch, "L4", f"event id {item.event_id!r} came before, with other content")
    return [*fresh.values()]


def _same(row: Row, item: Item, steps: Upcasts) -> bool:
    """Whether a row says what is asked for: the same event; when it was recorded does not count (L4)."""
    if row.data is None:
        return (row.type, row.digest) == (item.type, item.digest)
    return (row.type, row.data) == (item.type, item.data) or record_of(row, steps).event == item.event


def _broken(item: Item, before: MessageBatch | None, rule_id: str, seen: str) -> RuleBroken:
    rule = RULES[rule_id]
    return RuleBroken(item.event, before, None, (Violation(rule, f"{rule.sentence[:-1]}, but {seen}"),))


# ----------------------------------------------------------------------------------------------------------- forgetting


def forgettable(head: Head) -> bool:
    """
    Whether there is something to forget.

    Raises:
        StoreError: The batch is not deleted.
    """
    if head.batch is not None and head.batch.phase is not Phase.DELETED:
        raise StoreError(
            f"stream {quoted(head.stream)}: only a deleted batch can be forgotten, and this one is {head.batch.phase}. "
            "Nothing changed."
        )
    return not head.forgotten


def without_data(row: Row) -> Row:
    """What is left of a row when its data is forgotten."""
    return row if row.data is None else row._replace(data=None, digest=sha256(row.data.encode()).digest())


# ------------------------------------------------------------------------------------------------------------ verifying


def verified(rows: Iterable[Row], heads: Iterable[HeadRow], steps: Upcasts) -> Iterator[Damage]:
    """
    Recompute all that a store says from its rows.

    Args:
        rows: All of them, sorted by stream (code point by code point) and version.
        heads: All of them, sorted by stream.
        steps: The upcasts of the store.

    Yields:
        All that is wrong.
    """
    odd: list[Damage] = []
    waiting: Iterator[HeadRow] = _typed(heads, _HEAD_TYPES, odd)
    head: HeadRow | None = None
    count = last = total = 0
    for stream, found in groupby(_typed(rows, _ROW_TYPES, odd), key=lambda row: row.stream):
        head = head or next(waiting, None)
        while head is not None and head.stream < stream:
            yield Damage("it has no rows, or they are at another place", head.stream)
            head = next(waiting, None)
        of_stream = _Stream(stream, steps)
        for row in found:
            yield from of_stream.add(row)
            count, last, total = count + 1, max(last, row.position), total + row.position
        if head is None or head.stream != stream:
            yield Damage("it is not said where it stands", stream)
            continue
        yield from of_stream.end(head)
        head = None
    for left in chain(() if head is None else (head,), waiting):
        yield Damage("it has no rows, or they are at another place", left.stream)
    yield from odd
    if (last, total) != (count, count * (count + 1) // 2):
        yield Damage(f"the positions of {count} rows are not 1 to {count}; the last is {last}")


def _types(kind: type, hints: Mapping[str, tuple[type, ...]]) -> frozenset[tuple[type, ...]]:
    """All types that the values of a row may have."""
    return frozenset(product(*(hints[name] for name in kind._fields)))  # type: ignore[attr-defined] # a NamedTuple


_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("position", "version"), (int,)),
    **dict.fromkeys(("stream", "event_id", "type", "recorded_at"), (str,)),
    **dict.fromkeys(("data", "batch", "deleted_at"), (str, NoneType)),
    "hash": (bytes,),
    "digest": (bytes, NoneType),
}
_ROW_TYPES, _HEAD_TYPES = _types(Row, _TYPES), _types(HeadRow, _TYPES)

R = TypeVar("R", Row, HeadRow)


def _typed(rows: Iterable[R], types: frozenset[tuple[type, ...]], odd: list[Damage]) -> Iterator[R]:
    """The rows that have values of the right types: a damaged file may show others."""
    for row in rows:
        if tuple(map(type, row)) in types:
            yield row
        else:
            odd.append(Damage(f"a row has values of the wrong types: {quoted(tuple(row))}"))


class _Stream:
    """One stream on its way through `verified`."""

    def __init__(self, stream: str, steps: Upcasts) -> None:
        self.stream = stream
        self.steps = steps
        self.reducer = Reducer(LAWS)
        self.hash = chain_start(stream)
        self.version = self.position = 0
        self.type = ""
        self.erased = False
        self.whole = True

    def add(self, row: Row) -> Iterator[Damage]:
        """Judge the next row."""

        def damage(message: str) -> Damage:
            self.whole = False
            return Damage(message, self.stream, row.version, row.position)

        position, _, version, event_id, type_, data, time, end, digest = row
        if version != self.version + 1:
            yield damage(f"it comes after version {self.version}: what was between is lost")
        if position <= self.position:
            yield damage(f"it comes after position {self.position}: the order was changed")
        if self.version and self.erased is not (data is None):
            yield damage("the data of a stream is forgotten as a whole, or not at all")
        if (data is None) is (digest is None):
            yield damage("a row has either its data or, once that is forgotten, its digest")
        self.erased = data is None
        whole = (digest or b"") if data is None else sha256(data.encode()).digest()
        if end != chained(self.hash, position, version, event_id, type_, time, whole):
            yield damage("its hash does not fit: it was changed, or what stands before it was")
        self.version, self.position, self.hash, self.type = version, position, end, type_
        if data is None:
            return
        try:
            event = record_of(row, self.steps).event
        except StoreError as error:
            yield damage(str(error.__cause__))
            return
        for finding in self.reducer.add(self.stream, version, event_id, event, 0, None, None):
            yield damage(str(finding))

    def end(self, head: HeadRow) -> Iterator[Damage]:
        """Judge where the stream is said to stand."""
        if (head.version, head.hash) != (self.version, self.hash):
            yield Damage(f"it is said to stand at version {head.version}, but it ends in another row", self.stream)
        if self.erased:
            if head.batch is not None or head.deleted_at is not None:
                yield Damage("its data is forgotten, but not its batch", self.stream)
            if self.type != wire.type_of(Deleted):
                yield Damage("it is forgotten, but does not end with deleted", self.stream)
            return
        state = self.reducer.streams.get(self.stream)
        if not self.whole or state is None or state.legal.phase is None:
            return  # what its batch should be is not known; that much was said
        batch = state.batch(state.legal.phase)
        if head != head_row(Head(self.stream, self.version, batch, self.hash)):
            yield Damage("its batch is not what its events lead to", self.stream)
