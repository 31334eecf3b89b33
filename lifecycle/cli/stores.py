"""The commands below `store`: records into a store and out of it, and what a store holds."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lifecycle import (
    Finding,
    IllegalEvent,
    IllegalTransition,
    LogError,
    Phase,
    Profile,
    Record,
    RuleBroken,
    StoreError,
    StreamNotFound,
    VersionConflict,
    WireError,
    log,
    wire,
)
from lifecycle.cli import logs
from lifecycle.cli.batch_view import counts_text, time_text
from lifecycle.cli.logs import FINDING_TITLES, finding_cells, place_text
from lifecycle.cli.output import (
    CLEAN,
    FOUND,
    NOTHING,
    Format,
    Prose,
    Table,
    UsageError,
    is_terminal,
    json_text,
    plural,
    progress,
    talk,
    until_closed,
    write,
    write_bytes,
    write_json_array,
    write_json_lines,
)
from lifecycle.cli.polls import printable_line
from lifecycle.cli.records import StoreReading, Until, check_url, open_store, opened
from lifecycle.lines import STDIN, said
from lifecycle.machine import allowed
from lifecycle.replaying import finding_values, no_arrow
from lifecycle.rules import RULES, WIRE
from lifecycle.store import Damage, Head

if TYPE_CHECKING:
    from lifecycle.store.sql import SQLStore

PART = 1000
"""How many records are imported in one transaction, and exported at once."""

_REFUSALS = (IllegalEvent, VersionConflict, WireError)
"""What an import raises when a record is at fault, and not the store."""


# ------------------------------------------------------------------------------------------------------------ import


class _Import:
    """An import on its way: what was done, and what was refused."""

    def __init__(self, store: "SQLStore", found: Callable[[Finding], None], *, skip: bool) -> None:
        self._store = store
        self._found = found
        self._skip = skip
        self._broken: set[str] = set()
        self.new = self.known = self.left_out = 0
        self.stopped: str | None = None
        """Where it ended before its time."""

    def run(self, records: Iterable[Record | LogError]) -> None:
        """Import all of them; or, unless the rest may be left out, those before the first that cannot be imported."""
        part: list[Record] = []
        for record in records:
            if isinstance(record, LogError):
                self._write(part)
                part = []
                if self.stopped is None:
                    self._refuse(Finding(WIRE, record.reason, None, None, record.path, record.line, None, None, ()))
            elif record.batch_id in self._broken:
                self.left_out += 1
            else:
                part.append(record)
                if len(part) == PART:
                    self._write(part)
                    part = []
            if self.stopped is not None:
                return
        self._write(part)

    def _write(self, part: list[Record]) -> None:
        """
        Import some records, a transaction at a time.

        If they are refused, the first that is at fault is looked for by halves: what stands before it is imported.
        """
        size = len(part)
        while part and self.stopped is None:
            try:
                new = self._store.import_records(part[:size])
            except _REFUSALS as error:
                if size == 1:
                    self._refuse(self._finding(part[0], error))
                    self._broken.add(part[0].batch_id)
                    rest = [record for record in part[1:] if record.batch_id not in self._broken]
                    self.left_out += len(part) - 1 - len(rest)
                    part, size = rest, len(rest)
                    continue
            except StoreError as error:
                if not error.unknown:  # else the store has these records, or it has not
                    self.stopped = ":".join(map(str, part[0].place or ()))
                raise
            else:
                self.new += new
                self.known += size - new
                part = part[size:]
            size = max(1, size // 2)

    def _refuse(self, finding: Finding) -> None:
        self._found(finding)
        self.left_out += 1
        if not self._skip:
            self.stopped = place_text(finding)

    def _finding(self, record: Record, error: Exception) -> Finding:
        """Why a record cannot be imported, as an audit would say it."""
        phase = self._phase(record.batch_id)
        tag = record.event.tag
        match error:
            case RuleBroken():
                rule, message = error.violations[0].rule, error.violations[0].message
            case IllegalTransition():
                rule_id, seen = no_arrow(phase, tag)
                rule = RULES[rule_id]
                message = f"{rule.sentence[:-1]}, but {seen}"
            case VersionConflict():
                rule = RULES["L3"]
                after = f"after version {error.actual} of the store" if error.actual else "first"
                message = f"{rule.sentence[:-1]}, but version {record.version} comes {after}"
            case _:
                rule, message = WIRE, f"cannot be stored: {error}"
        file, line = record.place or (None, None)
        return Finding(rule, message, record.batch_id, record.version, file, line, tag, phase, allowed(phase))

    def _phase(self, batch_id: str) -> Phase | None:
        """The phase of a batch in the store; None if it is not there."""
        try:
            batch = self._store.head(batch_id).batch
        except StreamNotFound:
            return None
        return Phase.DELETED if batch is None else batch.phase  # what was forgotten was deleted before


def import_logs(paths: Sequence[str], url: str, profile: Profile, form: Format, *, skip: bool) -> int:
    """
    Import the records of logs and stores into a store, which is made if there is none.

    Raises:
        UsageError: *url* is none.
        LogError: A log cannot be read to its end. What was read before is in the store.
        StoreError: A store cannot be opened, read or written.
    """
    check_url(url)
    waiting: list[dict[str, Any]] = []
    table = Table(*FINDING_TITLES)
    count = 0

    def note(finding: Finding) -> None:
        nonlocal count
        count += 1
        if form == "jsonl":
            write(json_text(finding_values(finding)) + "\n")
        elif form == "json":
            waiting.append(finding_values(finding))
        else:
            table.add(*finding_cells(finding))

    broken_off: LogError | StoreError | None = None
    with until_closed():
        # The logs first: where one is missing, no store is made.
        with (
            opened("import", paths, None, None, streams=form == "jsonl") as records,
            open_store(url, profile=profile, create=True) as store,
        ):
            work = _Import(store, note, skip=skip)
            try:
                work.run(records)
            except (LogError, StoreError) as error:
                broken_off = error
            name = store.url
        if form == "json":
            write(
                f'{{\n  "file": {json_text(name)},\n  "new": {work.new},\n  "known": {work.known},\n'
                f'  "left_out": {work.left_out},\n  "findings": '
            )
            write_json_array(waiting, "  ")
            write("\n}\n")
        elif form == "table":
            table.finish()
            prose = Prose()
            if count:
                prose.add(0)
            prose.add(0, _sum(name, work))
    if broken_off is not None:
        raise broken_off
    return FOUND if count else CLEAN


def _sum(url: str, work: _Import) -> str:
    events = plural(work.new + work.known, "event")
    text = f"{url}: {events}: {work.new:,} new, {work.known:,} already there"
    if work.stopped is not None:
        return f"{text}; stopped at {work.stopped}, nothing from there on is imported"
    return f"{text}; {work.left_out:,} left out" if work.left_out else text


# ------------------------------------------------------------------------------------------------------------ export


def export(url: str, batch_id: str | None, to: str | None) -> int:
    """
    Write the records of a store as a log: to stdout, or to a new file.

    Raises:
        UsageError: *url* is none.
        StoreError: The store cannot be read, or holds what a log cannot.
        LogError: The file is there already, or cannot be written.
    """
    check_url(url)
    stdout = to is None or to == STDIN
    with until_closed(), open_store(url) as store:
        if batch_id is not None and not _is_there(store, batch_id):
            return FOUND
        reading = StoreReading(store, batch_id, None)
        with (
            standard_output() if to is None or stdout else _new_file(to) as take,
            progress("export", lambda: reading.records_read, None, "events", streams=stdout),
        ):
            records = iter(reading)
            while part := list(islice(records, PART)):
                take(part)
    if not reading.records_read:
        talk(f"no events in {url}")
    return CLEAN


def _is_there(store: "SQLStore", batch_id: str) -> bool:
    """Whether a store has the data of a batch. If not, that is told."""
    try:
        forgotten = store.head(batch_id).forgotten
    except StreamNotFound:
        talk(f"no event of batch {batch_id!r} in {store.url}")
        return False
    if forgotten:
        talk(str(StreamNotFound(batch_id, forgotten=True)))
    return not forgotten


_Take = Callable[[Sequence[Record]], None]


@contextlib.contextmanager
def standard_output() -> Iterator[_Take]:
    """Writes lines to stdout: to the byte as a log has them, except on a terminal."""
    encode = _printable if is_terminal(sys.stdout) else wire.encode_record
    yield lambda part: write_bytes(b"".join(log_line(record, encode) for record in part))


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[_Take]:
    """Appends to a new file, durably. If that fails there is none."""
    try:
        Path(path).open("xb").close()
    except FileExistsError:
        raise LogError(path, None, "is there already; nothing was written") from None
    except (OSError, ValueError) as error:
        raise LogError(path, None, f"cannot be written: {said(error)}") from error

    def take(part: Sequence[Record]) -> None:
        for record in part:
            log_line(record)
        log.append(path, part)

    try:
        yield take
    except BaseException:
        with contextlib.suppress(OSError):
            Path(path).unlink()
        raise


def _printable(record: Record) -> bytes:
    return printable_line(record).encode()[:-1]


def log_line(record: Record, encode: Callable[[Record], bytes] = wire.encode_record) -> bytes:
    """
    A line of a log, with its newline.

    Raises:
        StoreError: A log cannot hold the record, which has its `place`.
    """
    try:
        line = encode(record)
    except WireError as error:
        problem = str(error)
    else:
        if len(line) <= wire.MAX_BYTES:
            return line + b"\n"
        problem = f"{len(line):,} bytes are over the limit of {wire.MAX_BYTES:,}"
    where, name = (record.place or ("",))[0], repr(record.batch_id[:200])
    raise StoreError(f"{where}: version {record.version} of batch {name} is no line of a log: {problem}")


# ------------------------------------------------------------------------------------------------------------ verify


def verify(url: str, form: Format) -> int:
    """
    Find what is not as it was written.

    Raises:
        UsageError: *url* is none.
        StoreError: The store cannot be opened.
    """
    check_url(url)
    waiting: list[dict[str, Any]] = []
    table = Table("#position", "batch", "#version", "what is wrong")
    count = 0
    with until_closed(), open_store(url) as store:
        with progress("verify", lambda: 0, None, "bytes", streams=form == "jsonl"):
            for damage in store.verify():
                count += 1
                if form == "jsonl":
                    write(json_text(_damage(store.url, damage)) + "\n")
                elif form == "json":
                    waiting.append(_damage(store.url, damage))
                else:
                    table.add(
                        _number(damage.position), damage.stream or NOTHING, _number(damage.version), damage.message
                    )
        if form == "json":
            write_json_array(waiting)
            write("\n")
        elif form == "table":
            table.finish()
            prose = Prose()
            if count:
                prose.add(0)
            prose.add(0, f"{store.url}: {plural(count, 'finding') if count else 'no damage'}")
    return FOUND if count else CLEAN


def _damage(url: str, damage: Damage) -> dict[str, Any]:
    return {
        "file": url,
        "batch_id": damage.stream,
        "version": damage.version,
        "position": damage.position,
        "message": damage.message,
    }


def _number(value: int | None) -> str:
    return NOTHING if value is None else str(value)


# ------------------------------------------------------------------------------------------------------------- stats


def stats(url: str, form: Format) -> int:
    """
    Say how much is in a store.

    Raises:
        UsageError: *url* is none.
        StoreError: The store cannot be read.
    """
    check_url(url)
    phases = dict.fromkeys(Phase, 0)
    streams = forgotten = events = 0
    with open_store(url) as store:
        with progress("stats", lambda: events, None, "events", streams=False):
            for head in store.streams():
                streams += 1
                events += head.version
                if head.batch is None:
                    forgotten += 1
                else:
                    phases[head.batch.phase] += 1
        found = {
            "file": store.url,
            "schema": _schema(store),
            "bytes": _size(url),
            "streams": streams,
            "events": events,
            "last_position": events,  # positions have no gap
            "phases": phases,
            "forgotten": forgotten,
        }
    with until_closed():
        if form == "jsonl":
            write(json_text(found) + "\n")
        elif form == "json":
            write(json.dumps(found, indent=2) + "\n")
        else:
            prose = Prose()
            prose.add(0, (store.url, "bold"))
            prose.add_fact("schema", str(found["schema"]))
            prose.add_fact("size", NOTHING if found["bytes"] is None else f"{found['bytes']:,} bytes")
            prose.add_fact("batches", f"{streams:,}")
            for phase, count in (*phases.items(), ("forgotten", forgotten)):
                if count:
                    prose.add_fact("", f"{count:,} {phase}")
            prose.add_fact("events", f"{events:,}, at the positions 1 to {events:,}" if events else "0")
    return CLEAN


def _schema(store: "SQLStore") -> int:
    """The schema of an open store: the newest, for opening it brings it there."""
    from lifecycle.store.databases import Postgres, SQLite

    return len((SQLite if store.url.startswith("sqlite") else Postgres).schemas)


def _size(url: str) -> int | None:
    """How much room an SQLite store takes on the disk, with its write-ahead log; None of any other."""
    path = url.partition(":///")[2].partition("?")[0].removeprefix("file:")
    for name in (path, unquote(path)):  # it depends on the version of SQLAlchemy which of them is opened
        if url.lower().startswith("sqlite") and Path(name).is_file():
            return sum(Path(part).stat().st_size for part in (name, f"{name}-wal") if Path(part).is_file())
    return None


# -------------------------------------------------------------------------------------------------------------- show


def show(url: str, batch_id: str | None, until: Until, profile: Profile, form: Format) -> int:
    """
    Show the life of one batch; or where every batch stands.

    Raises:
        UsageError: *url* is none, or there is no life to be shown as JSON or up to somewhere.
        StoreError: The store cannot be read.
    """
    check_url(url)
    if batch_id is not None and form == "table":
        return logs.show([url], batch_id, until, profile)
    if until is not None:
        raise UsageError("--until: it belongs to the life of one batch, as a table")
    with until_closed(), open_store(url) as store:
        try:
            heads = store.streams() if batch_id is None else iter([store.head(batch_id)])
        except StreamNotFound:
            talk(f"no event of batch {batch_id!r} in {store.url}")
            return FOUND
        with progress("show", lambda: 0, None, "bytes", streams=form != "json"):
            if form == "json":
                write_json_array(map(_state, heads))
                write("\n")
            elif form == "jsonl":
                write_json_lines(map(_state, heads))
            else:
                _write_heads(heads)
    return CLEAN


def _state(head: Head) -> dict[str, Any]:
    batch = head.batch
    return {
        "batch_id": head.stream,
        "version": head.version,
        "phase": None if batch is None else batch.phase,
        "forgotten": head.forgotten,
        "batch": None if batch is None else wire.unstructure_batch(batch),
    }


def _write_heads(heads: Iterable[Head]) -> None:
    table = Table("batch", "#version", "phase", "created (UTC)", "ended (UTC)", "requests")
    for head in heads:
        batch = head.batch
        if batch is None:
            table.add(head.stream, str(head.version), "forgotten", NOTHING, NOTHING, NOTHING)
        else:
            created, ended = time_text(batch.created_at), time_text(batch.ended_at)
            table.add(head.stream, str(head.version), batch.phase, created, ended, counts_text(batch.request_counts))
    table.finish()
