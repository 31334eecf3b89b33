# ruff: noqa: INP001 -- a script in a folder of data; nothing imports it
"""
Write the three example files of this folder: ``python examples/build.py [FOLDER]``.

`recorded.jsonl` and `recorded_snapshots.jsonl` hold what ``tests/data/recorded_batches.csv`` says of real batches.
`broken.jsonl` is invented; each of its streams has one fault, and README.md says which.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lifecycle as lc
from lifecycle import wire

HERE = Path(__file__).resolve().parent
RECORDED = HERE.parent / "tests" / "data" / "recorded_batches.csv"

# ------------------------------------------------------------------------------------------------ the recorded batches

Row = dict[str, str]


def recorded_rows() -> dict[str, list[Row]]:
    """The polls of each batch, in order."""
    polls: dict[str, list[Row]] = {}
    with RECORDED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            polls.setdefault(row["batch"], []).append(row)
    return polls


def snapshot(row: Row) -> lc.MessageBatch:
    """What one poll showed."""

    def time(name: str) -> datetime:
        return datetime.fromisoformat(row[name])

    def maybe(name: str) -> datetime | None:
        return time(name) if row[name] not in ("", "absent") else None

    counts = ("processing", "succeeded", "errored", "canceled", "expired")
    url = f"https://api.anthropic.com/v1/messages/batches/{row['batch']}/results"
    return lc.MessageBatch(
        id=row["batch"],
        processing_status=lc.ProcessingStatus(row["processing_status"]),
        request_counts=lc.RequestCounts(*(int(row[name]) for name in counts)),
        created_at=time("created_at"),
        expires_at=time("expires_at"),
        ended_at=maybe("ended_at"),
        archived_at=maybe("archived_at"),
        cancel_initiated_at=maybe("cancel_initiated_at"),
        results_url=url if row["results_url"] == "yes" else None,
    )


def body(row: Row) -> bytes:
    """The bytes of one poll: the oldest payloads had no `archived_at`."""
    recorded = wire.encode_batch(snapshot(row))
    return recorded.replace(b'"archived_at":null,', b"") if row["archived_at"] == "absent" else recorded


def recorded_snapshots() -> Iterator[bytes]:
    """Each distinct body of each batch, in the order of the polls."""
    for polls in recorded_rows().values():
        yield from dict.fromkeys(map(body, polls))


def happened(event: lc.Event) -> datetime:
    """When the event says that it happened; no event of a recorded batch is without a time."""
    match event:
        case lc.Created(created_at=at) | lc.CancelInitiated(cancel_initiated_at=at) | lc.Ended(ended_at=at):
            return at
        case _:
            raise TypeError(event)


def recorded_stream(polls: list[Row]) -> Iterator[lc.Record]:
    """The events that lead to the newest snapshot of a batch, each recorded when a poll first showed it."""
    newest = snapshot(polls[-1])
    found: list[tuple[lc.Event, Callable[[lc.MessageBatch], object]]] = [
        (lc.Created(newest.id, newest.created_at, newest.expires_at, newest.size), lambda batch: batch.created_at)
    ]
    if newest.cancel_initiated_at is not None:
        found.append((lc.CancelInitiated(newest.cancel_initiated_at), lambda batch: batch.cancel_initiated_at))
    if newest.ended_at is not None:
        ended = lc.Ended(newest.ended_at, newest.request_counts, newest.results_url)
        found.append((ended, lambda batch: batch.ended_at))
    for version, (event, shows) in enumerate(found, 1):
        observed_at = next(row["observed_at"] for row in polls if shows(snapshot(row)) is not None)
        at = datetime.fromisoformat(observed_at) if observed_at else happened(event)
        yield lc.Record(newest.id, version, event, None, at)


def recorded_log() -> Iterator[bytes]:
    """The streams of all recorded batches as one log, in the order of recording."""
    records = [record for polls in recorded_rows().values() for record in recorded_stream(polls)]
    records.sort(key=lambda record: (record.recorded_at, happened(record.event), record.batch_id))
    return map(wire.encode_record, records)


# --------------------------------------------------------------------------------------------------- the broken batches

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    """A time of the night on which everything breaks."""
    return MIDNIGHT + timedelta(minutes=minutes)


def created(batch_id: str, minutes: int) -> lc.Created:
    """A batch of four requests."""
    return lc.Created(batch_id, at(minutes), at(minutes) + timedelta(hours=24), 4)


def ended(batch_id: str, minutes: int, *counts: int) -> lc.Ended:
    """An end, with all four requests succeeded unless *counts* say otherwise."""
    url = f"https://batches.example/v1/messages/batches/{batch_id}/results"
    return lc.Ended(at(minutes), lc.RequestCounts(*(counts or (0, 4))), url)


def moved(*counts: int) -> lc.CountsUpdated:
    """Progress."""
    return lc.CountsUpdated(lc.RequestCounts(*counts))


def broken_streams() -> Iterator[tuple[int, bytes]]:
    """Minute and line of each record."""

    def line(
        minutes: int, batch_id: str, version: int, event: lc.Event, event_id: str | None = None
    ) -> tuple[int, bytes]:
        return minutes, wire.encode_record(lc.Record(batch_id, version, event, event_id, at(minutes)))

    def stream(batch_id: str, *events: tuple[int, lc.Event]) -> Iterator[tuple[int, bytes]]:
        for version, (minutes, event) in enumerate(events, 1):
            yield line(minutes, batch_id, version, event)

    # Nothing is wrong with this one: the same line twice is a harmless repeat.
    name = "msgbatch_fine"
    yield from stream(name, (0, created(name, 0)), (30, ended(name, 30)))
    yield line(31, name, 2, ended(name, 30))
    # Cancelled after its end: no such arrow (T1).
    name = "msgbatch_cancelled_late"
    yield from stream(name, (1, created(name, 1)), (20, ended(name, 20)), (40, lc.CancelInitiated(at(40))))
    # Four requests went in, three came out (T3); what follows is judged against the four.
    name = "msgbatch_request_lost"
    yield from stream(name, (2, created(name, 2)), (21, ended(name, 21, 0, 3)), (41, ended(name, 41)))
    # A request that had succeeded is in processing again (T5).
    name = "msgbatch_counts_back"
    yield from stream(name, (3, created(name, 3)), (10, moved(1, 3)), (11, moved(2, 2)), (22, ended(name, 22)))
    # Ended with a request in processing (B5).
    name = "msgbatch_unfinished"
    yield from stream(name, (4, created(name, 4)), (23, ended(name, 23, 1, 3)))
    # Ended before it was created: two machines, two clocks (B11).
    name = "msgbatch_clock_back"
    yield from stream(name, (5, created(name, 5)), (24, ended(name, 4)))
    # Its beginning is missing (L1).
    name = "msgbatch_headless"
    yield line(25, name, 2, ended(name, 25))
    # Its first event names another batch (L2), so it has no legal beginning (L1).
    name = "msgbatch_misfiled"
    yield from stream(name, (6, created("msgbatch_other", 6)), (26, ended(name, 26)))
    # Version 2 was never written (L3); the rest is judged as usual.
    name = "msgbatch_gap"
    yield line(7, name, 1, created(name, 7))
    yield line(27, name, 3, ended(name, 27))
    # An event id came again with other content (L4).
    name = "msgbatch_two_writers"
    yield from stream(name, (8, created(name, 8)), (28, ended(name, 28)))
    yield line(29, name, 2, ended(name, 29, 0, 2, 2))
    # One character of a line was changed on the disk: crc32 tells (wire), and its version is missing (L3).
    name = "msgbatch_bit_rot"
    yield from stream(name, (9, created(name, 9)))
    minutes, whole = line(12, name, 2, moved(2, 2))
    yield minutes, whole.replace(b'"succeeded":2', b'"succeeded":3')
    yield line(32, name, 3, ended(name, 32))


def broken_log() -> Iterator[bytes]:
    """The broken streams as one log in time order; the last line is cut off, as by a crash."""
    for _, line in sorted(broken_streams(), key=lambda minute_and_line: minute_and_line[0]):
        yield line
    last = wire.encode_record(lc.Record("msgbatch_gap", 4, lc.Deleted(at(50)), None, at(50)))
    yield last[: len(last) // 2]


# ----------------------------------------------------------------------------------------------------------------------


def write(folder: Path) -> None:
    """Write the three files to *folder*."""

    def lines(found: Iterable[bytes]) -> bytes:
        return b"".join(line + b"\n" for line in found)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recorded.jsonl").write_bytes(lines(recorded_log()))
    (folder / "recorded_snapshots.jsonl").write_bytes(lines(recorded_snapshots()))
    (folder / "broken.jsonl").write_bytes(lines(broken_log()).removesuffix(b"\n"))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
