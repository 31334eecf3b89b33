"""
Reading snapshots, and the command that judges each alone: check.

A file holds one object, an array, a list page, JSON Lines, or several objects one after the other.  Here the snapshots
are only found and cut out; each is then read by `lifecycle.wire` from its own bytes, so that nothing of the wire's
strictness is lost on the way.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, cast

import attrs

from lifecycle import LogError, MessageBatch, Profile, Rule, Tier, WireError, wire
from lifecycle import check as judge
from lifecycle.cli.logs import parse_time
from lifecycle.cli.output import (
    CLEAN,
    FOUND,
    NOTHING,
    STYLES,
    Format,
    Prose,
    Table,
    json_text,
    plural,
    progress,
    talk,
    until_closed,
    write,
    write_json_array,
)
from lifecycle.cli.records import check_paths
from lifecycle.lines import File, over_limit
from lifecycle.rules import WIRE

MAX_BYTES = 256 << 20
"""How long a line, or a JSON text of many lines, may be. A line over it is refused without being held."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

Body = bytes | WireError
"""The bytes of what may be a snapshot, or why there is none."""


# It finds where a JSON text ends, and is as lenient as can be on the way: what is wrong in it is for the wire to say.
_decode = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len, strict=False).raw_decode
_UNDECODABLE = (ValueError, RecursionError)


class Source:
    """
    A file of snapshots.

    Args:
        path: The file, compressed with gzip or not; ``-`` is standard input.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = File(path)

    @property
    def bytes_read(self) -> int:
        """How much of the file has been read, as it lies on the disk."""
        return self._file.bytes_read

    def snapshots(self) -> Iterator[Body]:
        """
        The snapshots in the order of the file.

        Raises:
            LogError: The file cannot be opened or read to its end.
        """
        for text in self._texts():
            if isinstance(text, WireError):
                yield text
            else:
                yield from map(_no_event, _cut(text))

    def _texts(self) -> Iterator[Body]:
        """The JSON texts: one a line; or, if the first line is only the beginning of one, whatever follows another."""
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            return
        if isinstance(first, WireError) or not _goes_on(first):
            yield first
            yield from lines
            return
        held: list[Body] = [first]
        size = len(first)
        while size <= MAX_BYTES and (line := next(lines, None)) is not None:
            held.append(line)
            size += MAX_BYTES if isinstance(line, WireError) else len(line)
        # A line that was cut off looks like the beginning of a longer text; the lines after it tell.
        if all(isinstance(line, bytes) and line.startswith(b"{") for line in held):
            yield from chain(held, lines)
        elif size > MAX_BYTES:
            yield _refusal(f"the text is over the limit of {MAX_BYTES:,} bytes; JSON Lines may be longer")
        else:
            yield from _split(b"\n".join(cast(list[bytes], held)))

    def _lines(self) -> Iterator[Body]:
        """The lines that are not blank, without their newlines."""
        for _, lines, _ in self._file.blocks(MAX_BYTES):
            for line in lines:
                if line is None:
                    yield _refusal(over_limit(MAX_BYTES))
                elif line.strip():
                    yield line


def _refusal(message: str) -> WireError:
    return WireError((("$", message),))


def _no_event(body: Body) -> Body:
    """What may be a snapshot as it is; what looks like an event of a log is refused in one sentence."""
    if isinstance(body, bytes) and b'"specversion"' in body and b'"processing_status"' not in body:
        return _refusal("this looks like a line of an event log, not like a snapshot; `lifecycle replay` reads logs")
    return body


def _goes_on(line: bytes) -> bool:
    """Whether a line is the beginning of a JSON text that goes on in the next."""
    rest = _STRINGS.sub(b"", line)
    # A string cannot go on: a newline in it is no JSON.
    return b'"' not in rest and rest.count(b"{") + rest.count(b"[") > rest.count(b"}") + rest.count(b"]")


def _split(text: bytes) -> Iterator[bytes]:
    """Cut JSON texts that stand one after the other; what is no JSON stays one piece with all after it."""
    letters = _letters(text)
    at = _skip(letters, 0)
    while at < len(letters):
        try:
            end = _decode(letters, at)[1]
        except _UNDECODABLE:
            end = len(letters)
        yield _bytes(letters[at:end])
        at = _skip(letters, end)


def _cut(text: bytes) -> Iterator[Body]:
    """The snapshots of one JSON text: itself, or the elements of an array or page."""
    is_array = text.lstrip().startswith(b"[")
    if not is_array and b'"data"' not in text:
        yield text
        return
    letters = _letters(text)
    start = _skip(letters, 0)
    try:
        elements, end = _array(letters, start) if is_array else _page(letters, start)
        if _skip(letters, end) < len(letters):
            raise ValueError(f"more after the end: char {end}")
    except _UNDECODABLE as error:
        # A body of the usual length is explained by the wire.
        yield text if len(text) <= wire.MAX_BYTES else _refusal(f"malformed JSON: {error}")
        return
    if elements is None:
        yield text
    else:
        yield from map(_bytes, elements)


def _array(letters: str, at: int) -> tuple[list[str], int]:
    """The elements of the array that begins at *at*, and where it ends."""
    found: list[str] = []
    at = _skip(letters, at + 1)
    if letters[at : at + 1] == "]":
        return found, at + 1
    while True:
        end = _decode(letters, at)[1]
        found.append(letters[at:end])
        at = _skip(letters, end)
        if letters[at : at + 1] == "]":
            return found, at + 1
        at = _skip(letters, _expect(",", letters, at))


def _page(letters: str, at: int) -> tuple[list[str] | None, int]:
    """The elements of the page that begins at *at* (None: it is none), and where it ends."""
    found: list[str] | None = None
    is_snapshot = False

    def value(key: str, at: int) -> int:
        nonlocal found, is_snapshot
        # A snapshot may have an unknown key that is called "data".
        is_snapshot = is_snapshot or key == "processing_status"
        if key == "data" and letters[at : at + 1] == "[":
            found, end = _array(letters, at)
        else:
            end = _decode(letters, at)[1]
            found = None if key == "data" else found
        return end

    end = _object(letters, at, value)
    return None if is_snapshot else found, end


def _object(letters: str, at: int, value: Callable[[str, int], int]) -> int:
    """Walk through the object that begins at *at*: *value* tells where each value ends. Returns its end."""
    at = _skip(letters, _expect("{", letters, at))
    while True:
        key, end = _decode(letters, _expect('"', letters, at) - 1)
        at = _skip(letters, _expect(":", letters, _skip(letters, end)))
        at = _skip(letters, value(key, at))
        if letters[at : at + 1] == "}":
            return at + 1
        at = _skip(letters, _expect(",", letters, at))


def _unwrapped(body: bytes) -> tuple[bytes, Any]:
    """The snapshot of a poll ``{"observed_at": …, "snapshot": {…}}``, and what it has as `observed_at`; else itself."""
    letters = _letters(body)
    values: dict[str, str] = {}

    def value(key: str, at: int) -> int:
        end: int = _decode(letters, at)[1]
        values[key] = letters[at:end]
        return end

    try:
        end = _object(letters, _skip(letters, 0), value)
    except _UNDECODABLE:
        return body, None  # for the wire to explain
    if "snapshot" not in values or "processing_status" in values or _skip(letters, end) < len(letters):
        return body, None
    return _bytes(values["snapshot"]), _decode(values.get("observed_at", "null"))[0]


def _expect(char: str, letters: str, at: int) -> int:
    if letters[at : at + 1] != char:
        raise ValueError(f"expected {char!r}: char {at}")
    return at + 1


def _skip(letters: str, at: int) -> int:
    return _SPACE.match(letters, at).end()  # type: ignore[union-attr] # it matches everywhere


def _letters(text: bytes) -> str:
    """Text that becomes the same bytes again, even where they are no UTF-8."""
    return text.decode(errors="surrogateescape")


def _bytes(letters: str) -> bytes:
    return letters.encode(errors="surrogateescape")


@attrs.frozen
class Poll:
    """A snapshot, and when it was seen, if the file says."""

    batch: MessageBatch
    observed_at: datetime | None


def read_poll(body: Body) -> Poll:
    """
    Read a snapshot, with its `observed_at`: an unknown key of its own, or beside it.

    Raises:
        WireError: It is no snapshot, or `observed_at` is no time.
    """
    if isinstance(body, WireError):
        raise body
    observed_at: Any = None
    if b'"snapshot"' in body:
        body, observed_at = _unwrapped(body)
    batch = wire.decode_batch(body)
    if observed_at is None:
        observed_at = batch.extra.get("observed_at")
    if observed_at is None:
        return Poll(batch, None)
    time = parse_time(observed_at) if isinstance(observed_at, str) else None
    if time is None:
        raise WireError((("$.observed_at", "expected a time with its offset, such as 2025-01-29T14:24:59Z"),))
    return Poll(batch, time)


def read_one(source: Source) -> MessageBatch:
    """
    Read the one snapshot of a file.

    Raises:
        LogError: It has none, or several; or it cannot be read to its end.
    """
    found = None
    for body in source.snapshots():
        if found is not None:
            raise LogError(source.path, None, "has several snapshots; one is needed")
        try:
            found = read_poll(body).batch
        except WireError as error:
            raise LogError(source.path, None, f"no snapshot of a batch: {error}", error.problems) from None
    if found is None:
        raise LogError(source.path, None, "has no snapshot of a batch")
    return found


class _Verdict:
    """What was found so far."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.tiers = dict.fromkeys(Tier, 0)
        self.waiting: list[dict[str, Any]] = []
        self.table = Table("where", "rule", "tier", "batch", "path", "what was seen")

    def add(
        self, form: Format, file: str, index: int, batch_id: str | None, rule: Rule, message: str, path: str | None
    ) -> None:
        self.tiers[rule.tier] += 1
        if form == "table":
            style = STYLES[rule.tier]
            where = f"{file}[{index}]"
            self.table.add(where, (rule.id, style), (rule.tier, style), batch_id or NOTHING, path or NOTHING, message)
            return
        found = {
            "file": file,
            "index": index,
            "batch_id": batch_id,
            "rule": rule.id,
            "tier": rule.tier,
            "message": message,
            "path": path,
        }
        if form == "jsonl":
            write(json_text(found) + "\n")
        else:
            self.waiting.append(found)

    def finish(self, form: Format) -> None:
        if form == "json":
            write_json_array(self.waiting)
            write("\n")
        elif form == "table":
            self.table.finish()
            total = sum(self.tiers.values())
            parts = ", ".join(f"{count:,} {tier}" for tier, count in self.tiers.items() if count)
            findings = f"{plural(total, 'finding')} ({parts})" if total else "no findings"
            prose = Prose()
            if total:
                prose.add(0)
            prose.add(0, f"{plural(self.snapshots, 'snapshot')}: {findings}")

    @property
    def status(self) -> int:
        return FOUND if self.tiers[Tier.LAW] or self.tiers[Tier.CONTRACT] else CLEAN


def check(paths: Sequence[str], profile: Profile, form: Format) -> int:
    """Judge each snapshot of each file alone. What was found before a file failed is written, too."""
    total = check_paths(paths)
    sources = [Source(path) for path in paths]
    verdict = _Verdict()
    broken_off: LogError | None = None
    with until_closed():
        with progress(
            "check", lambda: sum(source.bytes_read for source in sources), total, "bytes", streams=form == "jsonl"
        ):
            try:
                for source in sources:
                    _judge(source, verdict, profile, form)
            except LogError as error:
                broken_off = error
        verdict.finish(form)
    if broken_off is not None:
        raise broken_off
    if not verdict.snapshots:
        talk(f"no snapshots in {', '.join(paths)}")
    return verdict.status


def _judge(source: Source, verdict: _Verdict, profile: Profile, form: Format) -> None:
    for index, body in enumerate(source.snapshots()):
        verdict.snapshots += 1
        try:
            if isinstance(body, WireError):
                raise body
            batch = wire.decode_batch(body)
        except WireError as error:
            for path, message in error.problems:
                verdict.add(form, source.path, index, None, WIRE, message, path)
            continue
        for violation in judge(batch, profile=profile):
            verdict.add(form, source.path, index, batch.id, violation.rule, violation.message, None)
