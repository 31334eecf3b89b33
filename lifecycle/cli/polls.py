"""The commands that ask what snapshots tell: observe, diff, outcome."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast
from zlib import crc32

import attrs

from lifecycle import (
    Event,
    LogError,
    MessageBatch,
    OutcomeKind,
    Profile,
    Record,
    SnapshotConflict,
    Tier,
    Violation,
    WireError,
    check,
    deadlines,
    fold,
    wire,
)
from lifecycle import observe as events_of
from lifecycle import outcome as outcome_of
from lifecycle import progress as progress_of
from lifecycle.cli.batch_view import COUNTS, FIELDS, counts_text, span_text, time_text, value_text
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
from lifecycle.cli.snapshots import Poll, Source, read_one, read_poll
from lifecycle.rules import WIRE

Unread = Callable[[str, int, WireError], None]


class _Polls:
    """
    The snapshots of some files, in order. What is wrong with some of them is collected, and told at the end.

    Args:
        paths: The files.
        unread: Called with the place of what is no snapshot, and why.
    """

    def __init__(self, paths: Sequence[str], unread: Unread | None = None) -> None:
        self._unread = unread
        self.sources = [Source(path) for path in paths]
        self._told: list[str] = []
        self._wrong = False
        self.seen = 0
        """How many there were, readable or not."""

    @property
    def bytes_read(self) -> int:
        """How much of the files has been read, as it lies on the disk."""
        return sum(source.bytes_read for source in self.sources)

    def __iter__(self) -> Iterator[tuple[str, int, Poll]]:
        for source in self.sources:
            for index, poll in self.of(source):
                yield source.path, index, poll

    def of(self, source: Source) -> Iterator[tuple[int, Poll]]:
        """Those of one file, each with its index."""
        for index, body in enumerate(source.snapshots()):
            self.seen += 1
            try:
                poll = read_poll(body)
            except WireError as error:
                self.note(source.path, index, f"no snapshot: {error}")
                if self._unread is not None:
                    self._unread(source.path, index, error)
            else:
                yield index, poll

    def note(self, path: str, index: int, message: str) -> None:
        """Keep in mind what is wrong with a snapshot."""
        self._told.append(f"{path}[{index}]: {message}")
        self._wrong = True

    def warn(self, path: str, index: int, message: str) -> None:
        """Keep in mind what is odd about a snapshot. It does not change the exit status."""
        self._told.append(f"warning: {path}[{index}]: {message}")

    def tell(self) -> None:
        """Say what was wrong or odd."""
        for message in self._told:
            talk(message)

    def finish(self) -> int:
        """Say so if there were none at all; returns the exit status that follows."""
        if not self.seen:
            talk(f"no snapshots in {', '.join(source.path for source in self.sources)}")
        return FOUND if self._wrong else CLEAN


@contextlib.contextmanager
def _reading(title: str, paths: Sequence[str], *, streams: bool, unread: Unread | None = None) -> Iterator[_Polls]:
    """Snapshots being read, with their progress; in the end it is told what was wrong."""
    total = check_paths(paths)
    polls = _Polls(paths, unread)
    try:
        with progress(title, lambda: polls.bytes_read, total, "bytes", streams=streams):
            yield polls
    finally:
        polls.tell()


# ----------------------------------------------------------------------------------------------------------- observe


def observe(paths: Sequence[str], profile: Profile) -> int:
    """Write the log of the events that the snapshots tell of; contradictions go to stderr."""
    known: dict[str, tuple[MessageBatch, int, datetime]] = {}
    with until_closed(), _reading("observe", paths, streams=True) as polls:
        for path, index, poll in polls:
            shown = poll.batch
            before, version, last = known.get(shown.id, (None, 0, None))
            stated = _earliest(shown)
            recorded_at = poll.observed_at or stated
            try:
                events = events_of(before, shown, profile=profile)
                lines = _lines(shown.id, version, events, recorded_at)
            except SnapshotConflict as error:
                polls.note(path, index, str(error))
            except WireError as error:
                polls.note(path, index, f"batch {shown.id!r}: its events cannot be written: {error}")
            else:
                write(lines)
                if not events:
                    continue  # nothing is recorded at its time
                if recorded_at < stated.replace(microsecond=0):  # many a poller notes whole seconds
                    reason = f"before {stated}, which the snapshot itself states"
                elif last is not None and recorded_at < last.replace(microsecond=0):
                    reason = f"before {last}, when its events before these were recorded"
                else:
                    reason = None
                if reason is not None:
                    polls.warn(path, index, f"batch {shown.id!r}: observed at {recorded_at}, {reason}")
                known[shown.id] = fold(events, start=before, profile=profile), version + len(events), recorded_at
    return polls.finish()


def _earliest(batch: MessageBatch) -> datetime:
    """The earliest time at which a snapshot can have been seen: the latest that it states of what has happened."""
    times = (batch.created_at, batch.cancel_initiated_at, batch.ended_at, batch.archived_at)
    return max(time for time in times if time is not None)


def _lines(batch_id: str, version: int, events: Sequence[Event], recorded_at: datetime) -> str:
    """
    The lines of the log that follow *version*, in printable ASCII.

    Raises:
        WireError: A line cannot be written, or is longer than a log may have it.
    """
    return "".join(
        printable_line(Record(batch_id, number, event, None, recorded_at))
        for number, event in enumerate(events, version + 1)
    )


def printable_line(record: Record) -> str:
    """
    A line of a log in printable ASCII, with its newline.

    Raises:
        WireError: It cannot be written, or is longer than a log may have it.
    """
    line = wire.encode_record(record).decode()
    if not line.isascii() or "\x7f" in line:
        values = json.loads(line)
        del values["crc32"]
        text = json_text(values)
        line = f'{text[:-1]},"crc32":"{crc32(text.encode()):08x}"}}'
    if len(line) > wire.MAX_BYTES:
        raise WireError((("$", f"{len(line):,} bytes are over the limit of {wire.MAX_BYTES:,}"),))
    return line + "\n"


# -------------------------------------------------------------------------------------------------------------- diff


def diff(path_a: str, path_b: str, profile: Profile, form: Format) -> int:
    """
    Say what leads from one snapshot to another.

    Raises:
        LogError: A file cannot be read, or does not hold one snapshot.
    """
    total = check_paths([path_a, path_b])
    known, shown = Source(path_a), Source(path_b)
    with progress("diff", lambda: known.bytes_read + shown.bytes_read, total, "bytes", streams=False):
        a, b = read_one(known), read_one(shown)
    comparison = _Comparison(a, b, profile)
    with until_closed():
        if form == "table":
            comparison.show()
        else:
            write(json_text(comparison.data()) + "\n")
    return FOUND if comparison.conflict else CLEAN


class _Comparison:
    """
    What leads from A to B.

    Args:
        a: What is known.
        b: What is shown.
        profile: Which rules count.
    """

    def __init__(self, a: MessageBatch, b: MessageBatch, profile: Profile) -> None:
        self.a, self.b = a, b
        self.events: Sequence[Event] = ()
        self.conflict: SnapshotConflict | None = None
        try:
            self.events = events_of(a, b, profile=profile)
        except SnapshotConflict as error:
            self.conflict = error
        if self.conflict is not None:
            self.verdict = "conflict"
        elif self.events:
            self.verdict = "later"
        else:
            self.verdict = "equal" if attrs.evolve(a, results_url=b.results_url) == b else "stale"

    def fields(self) -> Iterator[tuple[str, Any, Any]]:
        """Each field with its value in A and in B, unknown keys too."""
        a, b = self.a, self.b
        for name in FIELDS:
            if name == "request_counts":
                yield from _pairs("request_counts.", COUNTS, a.request_counts, b.request_counts)
            elif name != "deleted_at":  # no snapshot of a file has one
                yield name, getattr(a, name), getattr(b, name)
        yield from _extras("", a.extra, b.extra)
        yield from _extras("request_counts.", a.request_counts.extra, b.request_counts.extra)

    def data(self) -> dict[str, Any]:
        """All of it, for programs."""
        conflict = self.conflict
        return {
            "verdict": self.verdict,
            "events": [{"event": event.tag} | _event_data(event) for event in self.events],
            "violations": [] if conflict is None else _violations_data(conflict.violations),
            "stale_violations": [] if conflict is None else _violations_data(conflict.stale_violations),
            "changes": [
                {"field": name, "a": _plain(one), "b": _plain(other)}
                for name, one, other in self.fields()
                if one != other
            ],
        }

    def show(self) -> None:
        """All of it, for people: field by field, then what it means."""
        table = Table("field", "A", "B", "B against A")
        for name, one, other in self.fields():
            style = "" if one == other else "yellow"
            table.add((name, style), (value_text(one), style), (value_text(other), style), _difference(one, other))
        table.finish()
        prose = Prose()
        prose.add(0)
        match self.verdict:
            case "later":
                prose.add(0, ("B is later than A", "bold"), f", by {plural(len(self.events), 'event')}:")
                for event in self.events:
                    fields = ((field.name, getattr(event, field.name)) for field in attrs.fields(type(event)))
                    told = ", ".join(f"{name} {value_text(value)}" for name, value in fields)
                    prose.add(2, (event.tag, "bold"), f": {told}")
            case "equal":
                prose.add(0, ("B is equal to A", "bold"), self._but())
            case "stale":
                prose.add(0, ("B is stale", "bold"), ": events lead from B to A. It tells nothing new.")
            case _:
                self._show_conflict(prose)

    def _but(self) -> str:
        return "." if self.a == self.b else " but for results_url, which has no event of its own."

    def _show_conflict(self, prose: Prose) -> None:
        conflict = cast(SnapshotConflict, self.conflict)
        if conflict.stale_violations:
            prose.add(0, ("A and B contradict each other", "bold"), ".")
            _show_violations(prose, "As a later state B breaks", conflict.violations)
            _show_violations(prose, "As an earlier state it breaks, with A after it,", conflict.stale_violations)
        else:
            _show_violations(prose, "B cannot be. On its own it breaks", conflict.violations)


def _pairs(prefix: str, names: Sequence[str], one: object, other: object) -> Iterator[tuple[str, Any, Any]]:
    for name in names:
        yield f"{prefix}{name}", getattr(one, name), getattr(other, name)


def _extras(prefix: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Unknown keys, their values as JSON, so that null is not mistaken for no such key."""
    a, b = ({name: json_text(value) for name, value in values.items()} for values in (one, other))
    for name in {**a, **b}:
        yield f"{prefix}{name}", a.get(name), b.get(name)


def _difference(one: Any, other: Any) -> str:
    match one, other:
        case _ if one == other:
            return ""
        case None, _:
            return "new"
        case _, None:
            return "gone"
        case datetime(), datetime():
            return span_text(other - one)
        case int(), int():
            return f"{other - one:+,}"
        case _:
            return "changed"


def _plain(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _event_data(event: Event) -> dict[str, Any]:
    """The fields of an event as a log has them."""
    found = {field.name: _plain(getattr(event, field.name)) for field in attrs.fields(type(event))}
    if "request_counts" in found:
        found["request_counts"] = {name: getattr(found["request_counts"], name) for name in COUNTS}
    return found


def _violations_data(violations: Sequence[Violation]) -> list[dict[str, Any]]:
    return [{"rule": found.rule.id, "tier": found.rule.tier, "message": found.message} for found in violations]


def _show_violations(prose: Prose, head: str, violations: Sequence[Violation]) -> None:
    prose.add(0, head)
    for found in violations:
        tier = found.rule.tier
        prose.add(2, (f"{found.rule.id} ({tier})", STYLES[tier]), f" {found.message}")


# ----------------------------------------------------------------------------------------------------------- outcome


def outcome(paths: Sequence[str], profile: Profile, form: Format) -> int:
    """Say what each snapshot amounts to; what breaks a rule is told on stderr."""
    waiting: list[dict[str, Any]] = []
    kinds = dict.fromkeys(OutcomeKind, 0)
    table = Table("where", "batch", "outcome", "results until (UTC)", "requests", "what to do")
    broken_off: LogError | None = None

    def tell(data: dict[str, Any]) -> None:
        if form == "jsonl":
            write(json_text(data) + "\n")
        elif form == "json":
            waiting.append(data)

    def unread(path: str, index: int, error: WireError) -> None:
        problems = [Violation(WIRE, f"{where}: {message}") for where, message in error.problems]
        tell(_outcome_data(path, index, None, problems))

    with until_closed():
        with _reading("outcome", paths, streams=form == "jsonl", unread=unread) as polls:
            try:
                for path, index, poll in polls:
                    batch = poll.batch
                    found = outcome_of(batch)
                    kinds[found.kind] += 1
                    broken = [each for each in check(batch, profile=profile) if each.rule.tier is not Tier.ADVICE]
                    for violation in broken:
                        polls.note(path, index, f"batch {batch.id!r} cannot be: {violation}")
                    if form == "table":
                        until = time_text(deadlines(batch).results_until) if found.results_available else NOTHING
                        where, style = f"{path}[{index}]", _OUTCOME_STYLES.get(found.kind, "")
                        requests = counts_text(batch.request_counts)
                        table.add(where, batch.id, (found.kind, style), until, requests, found.next_step)
                    else:
                        tell(_outcome_data(path, index, batch, broken))
            except LogError as error:
                broken_off = error
        if form == "json":
            write_json_array(waiting)
            write("\n")
        elif form == "table":
            table.finish()
            _sum_up(kinds)
    if broken_off is not None:
        raise broken_off
    return polls.finish()


def _outcome_data(path: str, index: int, batch: MessageBatch | None, violations: Sequence[Violation]) -> dict[str, Any]:
    """All of it, for programs. What is no snapshot (None) has the same keys, without values."""
    keys = ("batch_id", "outcome", "results_available", "progress", "request_counts", "expires_at", "results_until")
    data: dict[str, Any] = dict.fromkeys((*keys, "next_step"))
    if batch is not None:
        found, limits = outcome_of(batch), deadlines(batch)
        data = {
            "batch_id": batch.id,
            "outcome": found.kind,
            "results_available": found.results_available,
            "progress": progress_of(batch),
            "request_counts": {name: getattr(batch.request_counts, name) for name in COUNTS},
            "expires_at": _plain(limits.expires_at),
            "results_until": _plain(limits.results_until),
            "next_step": found.next_step,
        }
    return {"file": path, "index": index, **data, "violations": _violations_data(violations)}


_OUTCOME_STYLES = {
    OutcomeKind.PENDING: "cyan",
    OutcomeKind.SUCCEEDED: "green",
    OutcomeKind.PARTIAL: "yellow",
    **dict.fromkeys((OutcomeKind.ERRORED, OutcomeKind.CANCELED, OutcomeKind.EXPIRED, OutcomeKind.FAILED), "red"),
}


def _sum_up(kinds: Mapping[OutcomeKind, int]) -> None:
    total = sum(kinds.values())
    parts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    prose = Prose()
    if total:
        prose.add(0)
    prose.add(0, f"{plural(total, 'snapshot')}: {parts}" if total else plural(total, "snapshot"))
