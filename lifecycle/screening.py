"""
Streams judged many at a time, as columns; those that are not plainly legal are left to the reducer.

The rules are the ones of `lifecycle.rules`, worded there: each predicate is evaluated over NumPy arrays in place of
single values, ``and`` becoming ``&``.  That says which streams have any fault.  They are handed over to the `Reducer`,
as they were before, and it judges them event by event from then on; all others are known to be clean.

A stream takes about 460 bytes here, its id and room to grow among them; a record four, and some more where a stream
comes again in another piece of the log.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache, cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lifecycle import columns
from lifecycle.batch import EPOCH, Phase, ProcessingStatus
from lifecycle.columns import ID_WORDS, NULL, TAGS, Columns, Facts, Flags, Whole, Words
from lifecycle.errors import LogError
from lifecycle.fusing import EFFECTS, STATUS, new_counts, smaller
from lifecycle.machine import TRANSITIONS
from lifecycle.rules import CONSTANTS, COUNTS, FIELDS, Scope, Tier, rules_of
from lifecycle.scanning import PIECE, Scanned, Single, scanned

if TYPE_CHECKING:
    from lifecycle.replaying import Finding, Lines, Reducer

_PHASES: tuple[Phase | None, ...] = (None, *Phase)
_STATUSES = tuple(ProcessingStatus)
_STATUS = np.array([0, *(_STATUSES.index(STATUS[phase]) for phase in Phase)])
_ARROWS = np.array([[(phase, tag) in TRANSITIONS for tag in TAGS] for phase in _PHASES])
_TARGETS = [{_PHASES.index(after) for (_, other), after in TRANSITIONS.items() if other == tag} for tag in TAGS]
_STAYS = -1
_UPDATE = TAGS.index("counts_updated")
# Where each event leads; an event with several targets (an update) leaves the phase as it is, tests see to that.
_AFTER = np.array([min(targets) if len(targets) == 1 else _STAYS for targets in _TARGETS])
_MORE = 1024  # streams at first
_VERSION = re.compile(r"[1-9][0-9]{0,6}")
_FEW = 128  # lines that the reducer takes at once, so that they stay in the processor's cache


class _Arrays(ast.NodeTransformer):
    """Make of a predicate over single values one over arrays."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        found = node.values[0]
        for value in node.values[1:]:
            found = ast.BinOp(found, operator, value)
        return found

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        match node:
            case ast.Compare(ast.Name(name), [ast.Is() | ast.IsNot() as operator], [ast.Constant(None)]):
                null = ast.Constant(States.null(name.removeprefix("old_")))
                return ast.Compare(node.left, [ast.Eq() if isinstance(operator, ast.Is) else ast.NotEq()], [null])
            case _:
                return node


_VALUES: Mapping[str, Any] = {
    name: _STATUSES.index(value)
    if isinstance(value, ProcessingStatus)
    else value // timedelta(microseconds=1)
    if isinstance(value, timedelta)
    else value
    for name, value in CONSTANTS.items()
}


@cache
def _predicates(tiers: frozenset[Tier], tag: str) -> tuple[tuple[bool, CodeType], ...]:
    """
    The rules that an event can break, compiled for arrays.

    Returns:
        For each: whether it is about a step, so that nothing before is nothing to break; and its code.
    """
    moved = {"status", "phase"} if _AFTER[TAGS.index(tag)] != _STAYS else set()
    for name in EFFECTS[tag]:
        moved |= {*COUNTS, "total"} if name == "counts" else {name}
    found = []
    for scope in (Scope.BATCH, Scope.STEP):
        for rule in rules_of(tiers, scope):
            node = smaller(rule, {"extra_keys": "()"}, {})
            names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            if rule.id != "T1" and names & moved:  # the arrows are T1
                body = ast.fix_missing_locations(ast.Expression(_Arrays().visit(node)))
                found.append((scope is Scope.STEP, compile(body, f"<rule {rule.id}, for arrays>", "eval")))
    return tuple(found)


class States:
    """
    The batches of many streams, each a row.

    `phase` is a place among the phases, 0 before there is a batch; a time is in microseconds, `NULL` for none.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    @classmethod
    def absent(cls, rows: int) -> States:
        """No batch yet."""
        arrays: dict[str, Any] = {name: np.zeros(rows, np.int64) for name in ("phase", "version", *COUNTS)}
        arrays |= {name: np.full(rows, NULL) for name in FIELDS}
        arrays["results_url"] = np.zeros(rows, np.uint64)
        return cls(arrays)

    @staticmethod
    def null(name: str) -> int:
        """What stands for None."""
        return 0 if name == "results_url" else NULL

    def take(self, rows: Whole) -> States:
        """Some of them."""
        return States({name: values[rows] for name, values in self.arrays.items()})

    def put(self, rows: Whole, others: States) -> None:
        """Replace some of them."""
        for name, values in self.arrays.items():
            values[rows] = others.arrays[name]

    def phases(self) -> dict[Phase, int]:
        """How many of them are in each phase."""
        found: list[int] = np.bincount(self.arrays["phase"], minlength=len(_PHASES)).tolist()
        return dict(zip(Phase, found[1:], strict=True))

    def longer(self, rows: int) -> States:
        """The same, and more that are absent."""
        return States(
            {
                name: np.concatenate((values, more))
                for (name, values), more in zip(self.arrays.items(), States.absent(rows).arrays.values(), strict=True)
            }
        )


def judge(tiers: frozenset[Tier], found: Facts, rows: Whole, first: Whole, before: States) -> tuple[Flags, States]:
    """
    Judge whole streams, or what comes next of them.

    Args:
        tiers: Which rules count.
        found: The records.
        rows: Which of them, stream by stream, those of one stream in their order.
        first: Where in *rows* each stream begins; every stream has at least one.
        before: The states of the streams.

    Returns:
        Which streams have anything that is not plainly legal; and the states of the streams afterwards, which are of
        no use for those.
    """
    last = np.append(first[1:], len(rows)) - 1
    version, tag = found.version[rows], found.tag[rows]
    odd = ~found.plain[rows] | (version != _shifted(version, before.arrays["version"], first) + 1)
    wrong = np.logical_or.reduceat(odd, first)
    # An update that says the last one again, behind another, changes nothing: no rule can be newly broken.
    is_update = tag == _UPDATE
    earlier = _shifted(is_update, _ARROWS[before.arrays["phase"], _UPDATE], first)
    silent = is_update & earlier
    for name in COUNTS:
        counts = found.counts[name][rows]
        silent &= counts == _shifted(counts, before.arrays[name], first)
    loud = np.flatnonzero(~silent)
    after = before.take(np.arange(len(first)))
    if len(loud):
        stream = np.searchsorted(first, loud, "right") - 1
        streams, starts = np.unique(stream, return_index=True)
        faults, states = _judge(tiers, found, rows[loud], starts, before.take(streams))
        wrong[streams] |= faults
        after.put(streams, states)
    after.arrays["version"] = version[last]
    return wrong, after


def _shifted(values: Any, before: Any, first: Whole) -> Any:
    """What stood before each value: the one in front of it, or, where a stream begins, what was *before*."""
    shifted = np.empty_like(values)
    shifted[1:] = values[:-1]
    shifted[first] = before
    return shifted


def _judge(tiers: frozenset[Tier], found: Facts, rows: Whole, first: Whole, before: States) -> tuple[Flags, States]:
    count = len(rows)
    sizes = np.diff(first, append=count)
    stream = np.repeat(np.arange(len(first)), sizes)
    here = np.arange(count)
    tag = found.tag[rows]
    present = [number for number in range(len(TAGS)) if (tag == number).any()]
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    setting: dict[tuple[int, ...], tuple[Whole, Whole]] = {}
    for name, carried in before.arrays.items():
        values: Any = None
        if name == "phase":
            setters = tuple(number for number in present if _AFTER[number] != _STAYS)
            values = _AFTER[tag]
        else:
            effect = "counts" if name in COUNTS else name
            setters = tuple(number for number in present if effect in EFFECTS[TAGS[number]])
            if setters:
                values = _values(found, name)[rows]
            for number in setters:
                if EFFECTS[TAGS[number]][effect] == "None":
                    values[tag == number] = States.null(name)
        after = carried[stream]
        if setters:
            if setters not in setting:
                latest = np.maximum.accumulate(np.where(np.isin(tag, setters), here, -1))
                inside = np.flatnonzero(latest >= first[stream])
                setting[setters] = inside, latest[inside]
            inside, latest = setting[setters]
            after[inside] = values[latest]
        old[name], new[name] = _shifted(after, carried, first), after
    wrong = ~_ARROWS[old["phase"], tag]
    for number in present:
        chosen = np.flatnonzero(tag == number)
        names = _Names(old, new, chosen)
        for is_step, code in _predicates(tiers, TAGS[number]):
            broken = eval(code, {}, names)  # noqa: S307 -- the predicates of this package
            wrong[chosen] |= broken & (names["old_phase"] != 0) if is_step else broken
    last = first + sizes - 1
    return np.logical_or.reduceat(wrong, first), States({name: after[last] for name, after in new.items()})


def _values(found: Facts, name: str) -> Any:
    """What events may give to a field of a batch."""
    if name in COUNTS:
        return found.counts[name]
    return found.url if name == "results_url" else found.expires_at if name == "expires_at" else found.at


class _Names(dict[str, Any]):
    """What a predicate knows: arrays of the chosen rows, made when they are asked for."""

    def __init__(self, old: dict[str, Any], new: dict[str, Any], rows: Any) -> None:
        super().__init__(_VALUES)
        self._sides = {"old_": old, "": new}
        self._rows = rows
        self["id"] = self["old_id"] = 0  # of a stream that is plainly legal it never changes

    def __missing__(self, name: str) -> Any:
        prefix = "old_" if name.startswith("old_") else ""
        side, short = self._sides[prefix], name.removeprefix(prefix)
        if short == "total":
            value = sum(self[prefix + count] for count in COUNTS)
        elif short == "status":
            value = _STATUS[self[f"{prefix}phase"]]
        else:
            value = side[short][self._rows]
        self[name] = value
        return value


class Piece(Protocol):
    """What stands one after the other in a file: records, and what is none."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    @property
    def columns(self) -> Columns:
        """What is known of them, a row each; of what is no record, nothing."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def entries(self, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """The lines of some rows, and what they are for `Reducer.take_entry`."""
        ...

    def feed(self, reducer: Reducer) -> Iterator[Finding]:
        """Give all of it to a reducer."""
        ...


class Screen:
    """
    Takes whole pieces of a log in the place of a reducer, and leaves to it what it has to see.

    Args:
        reducer: Every stream that has ever had anything that is not plainly legal is in it; all, after `finish`.
    """

    def __init__(self, reducer: Reducer) -> None:
        self._reducer = reducer
        self._lines = 0
        self._done = False  # all has been given to the reducer
        self._urls: dict[int, str] = {}
        # Of each stream:
        self._place: dict[int, int] = {}  # by key
        self._ids: list[str] = []
        self._begun: list[int] = []  # its first line
        self._states = States.absent(_MORE)
        self._exact = np.zeros(_MORE, np.bool_)  # it is the reducer's
        self._words = np.zeros((_MORE, ID_WORDS), np.uint64)  # its id
        self._last = np.full(_MORE, -1)  # its last piece
        # Of each piece, which is what came of a stream in one block:
        self._before: list[Whole] = []  # the piece before, block by block
        self._start: list[
            NDArray[np.uint32]
        ] = []  # where it begins in what `_contents` has of the block; and where the last ends
        self._contents: list[NDArray[np.uint32]] = []
        self._pieces = [0]  # how many there were before each block

    def run(self, pieces: Iterable[Piece]) -> Iterator[Finding]:
        """Take all of a log. The findings come in its order."""
        for piece in pieces:
            yield from self._take(piece)
            self._lines += len(piece)

    def _take(self, piece: Piece) -> Iterator[Finding]:
        found, reducer = piece.columns, self._reducer
        if self._done or (len(piece) > 1 and 2 * int(found.plain.sum()) < len(piece)):
            self.finish()  # the log is not in the recorded form, and nothing is gained here
            yield from piece.feed(reducer)
            return
        for key, url in found.urls.items():
            if self._urls.setdefault(key, url) != url:
                found.plain &= found.url != np.uint64(key)
        rows, first, places = self._streams(found)
        entries: dict[int, Any] = {}
        odd = np.flatnonzero(~found.plain).tolist()
        for row, (number, entry) in zip(odd, piece.entries(odd), strict=True):
            self._see(entry, row)
            entries[number] = entry
        sizes = np.diff(first, append=len(rows))
        clean = ~self._exact[places]
        if clean.any():
            chosen = rows[np.repeat(clean, sizes)]
            starts = np.cumsum(sizes[clean]) - sizes[clean]
            wrong, states = judge(reducer.tiers, found, chosen, starts, self._states.take(places[clean]))
            if wrong.any():
                self._hand_over(places[clean][wrong])
                states = states.take(np.flatnonzero(~wrong))
                clean[clean] = ~wrong
                chosen = rows[np.repeat(clean, sizes)]
            self._states.put(places[clean], states)
            self._keep(found, places[clean], chosen, sizes[clean])
        entries.update(piece.entries(np.sort(rows[np.repeat(~clean, sizes)]).tolist()))
        for number in sorted(entries):
            yield from reducer.take_entry(entries[number], piece.path, number)

    def _streams(self, found: Columns) -> tuple[Whole, Whole, Whole]:
        """Sort the rows by stream: the rows, where each stream begins among them, and its place here."""
        rows = np.flatnonzero(found.plain)
        name: Any  # where the key and the id of a row stand
        mark: Any  # the same for the rows of a stream, which come together
        if found.name is None:
            rows = name = rows[_together(found.key[rows])]
            mark = found.key[rows]
        else:
            order = np.argsort(found.name[rows], kind="stable")  # of small numbers, which are sorted very fast
            rows = rows[order]
            name = mark = found.name[rows]
        change = np.ones(len(rows), np.bool_)
        change[1:] = mark[1:] != mark[:-1]
        first = np.flatnonzero(change)
        key, ids = found.key[name[first]], found.ids[name[first]]
        get = self._place.get
        places: Whole = np.array([get(one, -1) for one in key.tolist()], np.int64)
        new = np.flatnonzero(places < 0)
        if len(new):
            new = new[np.unique(key[new], return_index=True)[1]]
            places[new] = self._begin(key[new], ids[new], rows[first[new]])
        # Ids whose keys are the same by chance, or on purpose, are told apart here; and ids that are not usual.
        words = self._words[places]
        words[:, : ids.shape[1]] ^= ids
        unknown = (places < 0) | words.any(axis=1)
        sizes = np.diff(first, append=len(rows))
        if found.name is None:
            all_ids, same = found.ids[rows], np.repeat(ids, sizes, axis=0)
            others = np.zeros(0, np.bool_) if np.array_equal(all_ids, same) else (all_ids != same).any(axis=1)
        else:  # the same id may stand at several places
            unknown[np.delete(np.arange(len(places)), np.unique(places, return_index=True)[1])] = True
            others = np.zeros(0, np.bool_)
        if unknown.any() or others.any():
            odd = np.repeat(unknown, sizes)
            found.plain[rows[odd | others if len(others) else odd]] = False
            return self._streams(found)
        return rows, first, places

    def _begin(self, keys: Words, ids: Words, rows: Whole) -> Whole:
        """Places for streams that were not seen before; -1 where an id is not usual."""
        found = np.full(len(keys), -1)
        usual = np.flatnonzero(columns.usual_ids(ids))
        text, size = ids.tobytes().decode("latin-1"), 8 * ids.shape[1]  # the usual is ASCII
        batch_ids = [text[at * size : at * size + size].rstrip("\0") for at in usual.tolist()]
        found[usual] = places = self._new(batch_ids, rows[usual])
        self._place.update(zip(keys[usual].tolist(), places.tolist(), strict=True))
        self._words[places, : ids.shape[1]] = ids[usual]
        streams = self._reducer.streams
        if streams:
            self._exact[places] = [batch_id in streams for batch_id in batch_ids]
        return found

    def _new(self, batch_ids: Sequence[str], rows: Whole) -> Whole:
        """Places for streams."""
        start = len(self._ids)
        self._ids += batch_ids
        self._begun += (self._lines + rows).tolist()
        more = max(start, len(self._ids) - len(self._exact))  # twice as many
        if len(self._ids) > len(self._exact):
            self._states = self._states.longer(more)
            self._exact = np.concatenate((self._exact, np.zeros(more, np.bool_)))
            self._words = np.concatenate((self._words, np.zeros((more, ID_WORDS), np.uint64)))
            self._last = np.concatenate((self._last, np.full(more, -1)))
        return np.arange(start, len(self._ids))

    def _see(self, entry: Any, row: int) -> None:
        """See to it that the stream of a line that is not plain is the reducer's."""
        if entry is None or isinstance(entry, LogError):
            return
        batch_id = entry[0]
        place = self._find(batch_id)
        if place is not None:
            self._begun[place] = min(self._begun[place], self._lines + row)
            if not self._exact[place]:
                self._hand_over(np.array([place]))
        elif batch_id not in self._reducer.streams:
            places = self._new([batch_id], np.array([row]))  # first, for it may make the arrays longer
            self._exact[places] = True

    def _find(self, batch_id: str) -> int | None:
        text = batch_id.encode()
        if len(text) > 8 * ID_WORDS:
            return None
        place = self._place.get(columns.key_of(text))
        return place if place is not None and self._ids[place] == batch_id else None

    def _keep(self, found: Columns, places: Whole, rows: Whole, sizes: Whole) -> None:
        """Keep what is needed to recognise a repeat of these records."""
        self._reducer.events += len(rows)
        self._before.append(self._last[places])
        self._start.append(np.concatenate(([0], np.cumsum(sizes))).astype(np.uint32))
        self._contents.append(found.content(rows))
        self._last[places] = self._pieces[-1] + np.arange(len(places))
        self._pieces.append(self._pieces[-1] + len(places))

    def _hand_over(self, places: Whole) -> None:
        """Give streams to the reducer, as they are."""
        self._exact[places] = True
        states = self._states.take(places)
        columns_ = [states.arrays[name].tolist() for name in ("phase", "version", *COUNTS, *FIELDS)]
        for place, phase, version, *values in zip(places.tolist(), *columns_, strict=True):
            batch_id = self._ids[place]
            stream = self._reducer.begin(batch_id, _PHASES[phase], _Screened(batch_id, self, place), version)
            if phase:
                counts, fields = values[: len(COUNTS)], values[len(COUNTS) :]
                stream.id, stream.total = batch_id, sum(counts)
                stream.counts = new_counts(*counts, {})
                for name, value in zip(FIELDS, fields, strict=True):
                    setattr(stream, name, self._value(name, value))

    def _value(self, name: str, value: int) -> Any:
        if value == States.null(name):
            return None
        return self._urls[value] if name == "results_url" else EPOCH + timedelta(microseconds=value)

    def url(self, key: int) -> str | None:
        """The URL that a number stands for."""
        return self._urls.get(key)

    def contents(self, place: int) -> NDArray[np.uint32]:
        """A hash of what each event of a stream says that was judged here."""
        found: list[NDArray[np.uint32]] = []
        piece = int(self._last[place])
        while piece >= 0:
            block = bisect_right(self._pieces, piece) - 1
            within = piece - self._pieces[block]
            start = self._start[block]
            found.append(self._contents[block][start[within] : start[within + 1]])
            piece = int(self._before[block][within])
        return np.concatenate((*found[::-1], np.zeros(0, np.uint32)))

    def phases(self) -> Mapping[Phase, int]:
        """How many of the streams that are not the reducer's are in each phase; each of them is in one."""
        return self._states.take(np.flatnonzero(~self._exact[: len(self._ids)])).phases()

    def finish(self) -> None:
        """Give all streams to the reducer, in the order of their first lines."""
        if self._done:
            return
        self._done = True
        self._hand_over(np.flatnonzero(~self._exact[: len(self._ids)]))
        streams = self._reducer.streams
        begun: dict[str, int] = {}
        for batch_id, line in zip(self._ids, self._begun, strict=True):
            begun.setdefault(batch_id, line)
        for batch_id in sorted(begun, key=begun.__getitem__):
            if batch_id in streams:  # or else somebody has left in the middle
                streams[batch_id] = streams.pop(batch_id)


def _together(keys: Words) -> Whole:
    """Where the keys stand, so that equal ones come together, in their order."""
    row = np.uint64((1 << len(keys).bit_length()) - 1)
    # The key's upper bits and the row as one number: numbers are sorted much faster than places.
    mixed = (keys & ~row) | np.arange(len(keys), dtype=np.uint64)
    mixed.sort()
    order = (mixed & row).view(np.int64)
    upper, found = mixed & ~row, keys[order]
    if ((upper[1:] == upper[:-1]) & (found[1:] != found[:-1])).any():
        return np.argsort(keys, kind="stable")
    return order


class _Screened:
    """What is known of the records of a stream that were judged as columns: versions from 1 on, with the usual ids."""

    def __init__(self, batch_id: str, screen: Screen, place: int) -> None:
        self._batch_id = batch_id
        self._screen = screen
        self._place = place

    @cached_property
    def _contents(self) -> NDArray[np.uint32]:
        return self._screen.contents(self._place)

    def has(self, version: int, event_id: str, event: Any) -> bool:
        """Whether a record is one of them."""
        url = getattr(event, "results_url", None)
        return (
            1 <= version <= len(self._contents)
            and event_id == f"{self._batch_id}/{version}"
            and getattr(event, "id", self._batch_id) == self._batch_id
            and int(self._contents[version - 1]) == columns.content_of(event)
            and (url is None or self._screen.url(columns.url_key(url)) == url)
        )

    def knows(self, event_id: str) -> bool:
        """Whether one of them has this event id."""
        batch_id, _, version = event_id.rpartition("/")
        return (
            batch_id == self._batch_id
            and _VERSION.fullmatch(version) is not None
            and 1 <= int(version) <= len(self._contents)
        )


class _Lines:
    """Whole lines of a file."""

    def __init__(self, reading: Lines, path: str, first: int, block: Scanned) -> None:
        self.path = path
        self.columns = block.columns
        block.columns.plain &= block.ends - block.starts <= reading.max_bytes
        self._reading = reading
        self._first = first
        self._block = block

    def __len__(self) -> int:
        return len(self._block.ends)

    def entries(self, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        for row in rows:
            number = self._first + row
            yield number, self._reading.entry(self.path, number, self._known(self._block.line(row)), torn=False)

    def feed(self, reducer: Reducer) -> Iterator[Finding]:
        block = self._block
        for row in range(0, len(self), _FEW):
            lines = block.data[block.starts[row] : block.ends[row : row + _FEW][-1]].split(b"\n")
            yield from reducer.take(self._reading, self.path, self._first + row, [self._known(line) for line in lines])

    def _known(self, line: bytes) -> bytes | None:
        return line if len(line) <= self._reading.max_bytes else None


class _Line:
    """A line on its own: a torn one, or one over the limit."""

    def __init__(self, reading: Lines, path: str, number: int, line: bytes | None) -> None:
        self.path = path
        self.columns = Columns.unknown(1)
        self._number = number
        self._entry = reading.entry(path, number, line, torn=line is not None)

    def __len__(self) -> int:
        return 1

    def entries(self, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        return iter([(self._number, self._entry)] * len(rows))

    def feed(self, reducer: Reducer) -> Iterator[Finding]:
        return reducer.take_entry(self._entry, self.path, self._number)


def of_lines(reading: Lines, jobs: int = 1, size: int = PIECE) -> Iterator[Piece]:
    """
    The lines of a log as pieces.

    Args:
        reading: They.
        jobs: How many processes scan them.
        size: How many bytes are scanned at once.

    Raises:
        LogError: A file cannot be opened or read to its end.
    """
    for file in reading.files:
        number = 1
        for found in scanned(file, reading.max_bytes, jobs, size):
            piece: Piece
            if isinstance(found, Single):
                piece = _Line(reading, file.path, number, found.line)
            else:
                piece = _Lines(reading, file.path, number, found)
            yield piece
            number += len(piece)
