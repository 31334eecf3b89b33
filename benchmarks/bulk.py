"""
Big logs: ``python -m benchmarks.bulk [--events N] [--rounds N] [--scale [--logs FOLDER]]``.

Needs the extras ``bulk`` and ``cli`` and the dependency group ``bench``.  All figures are medians of rounds in which
the sides take turns; every side is a process of its own, from its start to its end.

- ``lifecycle audit`` of a log in JSON Lines, by CPU, against the bare decoding of its lines: one msgspec struct for
  each, garbage collection off, and nothing else.
- The same on two cores, by the wall clock, against SQL for DuckDB that checks the same rules with window functions, as
  somebody would write it who has no library. It verifies no ``crc32``, and reads leniently.
- The same from Parquet against from JSON Lines.
- The audit of an event, by CPU, against what `eventsourcing` takes to rebuild an aggregate from its store in memory,
  for each of its events; the aggregate checks no rule.
- with ``--scale``, instead of all that: the time of an event in logs of 100,000 to 50 million events of one make,
  without what the same command takes to start, and a picture of it (``benchmarks/scale.svg``), for which matplotlib is
  needed, too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

# Each script below runs by itself: ``python -c SCRIPT PATH``.
DECODE = """
import sys
from pathlib import Path
from benchmarks.logs import decode_only
print(decode_only(Path(sys.argv[1])))
"""

SQL = """
WITH lines AS (
    SELECT subject, CAST(sequence AS BIGINT) AS version, type[25:-4] AS tag, data, data.request_counts AS counts
    FROM read_json($path, format = 'newline_delimited', columns = {
        'subject': 'VARCHAR', 'type': 'VARCHAR', 'sequence': 'VARCHAR',
        'data': 'STRUCT(id VARCHAR, created_at TIMESTAMP, expires_at TIMESTAMP, request_count BIGINT, request_counts
            STRUCT(processing BIGINT, succeeded BIGINT, errored BIGINT, canceled BIGINT, expired BIGINT),
            cancel_initiated_at TIMESTAMP, ended_at TIMESTAMP, results_url VARCHAR, archived_at TIMESTAMP,
            deleted_at TIMESTAMP)'
    })
), facts AS (
    SELECT subject, version, tag, data.id AS named, lag(version) OVER w AS old_version, lag(tag) OVER w AS old_tag,
        last_value(CASE WHEN tag <> 'counts_updated' THEN tag END IGNORE NULLS) OVER earlier AS old_turn,
        coalesce(counts.processing, data.request_count) AS processing, counts.succeeded AS succeeded,
        counts.errored AS errored, counts.canceled AS canceled, counts.expired AS expired,
        last_value(coalesce(counts.processing, data.request_count) IGNORE NULLS) OVER earlier AS old_processing,
        last_value(counts.succeeded IGNORE NULLS) OVER earlier AS old_succeeded,
        last_value(counts.errored IGNORE NULLS) OVER earlier AS old_errored,
        last_value(counts.canceled IGNORE NULLS) OVER earlier AS old_canceled,
        last_value(counts.expired IGNORE NULLS) OVER earlier AS old_expired,
        first_value(data.request_count) OVER w AS size, first_value(data.created_at) OVER w AS created_at,
        first_value(data.expires_at) OVER w AS expires_at,
        last_value(data.cancel_initiated_at IGNORE NULLS) OVER sofar AS cancel_initiated_at,
        last_value(data.ended_at IGNORE NULLS) OVER sofar AS ended_at,
        last_value(data.archived_at IGNORE NULLS) OVER sofar AS archived_at,
        data.deleted_at AS deleted_at, data.results_url AS results_url
    FROM lines
    WINDOW w AS (PARTITION BY subject ORDER BY version),
        sofar AS (PARTITION BY subject ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        earlier AS (PARTITION BY subject ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT count(*),
    count_if((tag = 'created') <> (old_version IS NULL) OR tag = 'created' AND named <> subject
        OR version <> coalesce(old_version, 0) + 1
        OR NOT CASE tag
            WHEN 'created' THEN old_tag IS NULL
            WHEN 'counts_updated' THEN old_turn IN ('created', 'cancel_initiated')
            WHEN 'cancel_initiated' THEN old_turn = 'created'
            WHEN 'ended' THEN old_turn IN ('created', 'cancel_initiated')
            WHEN 'archived' THEN old_turn = 'ended'
            WHEN 'deleted' THEN old_turn IN ('ended', 'archived')
            ELSE false END),
    count_if(processing < 0 OR succeeded < 0 OR errored < 0 OR canceled < 0 OR expired < 0),
    count_if(tag = 'created' AND (size < 1 OR size > 100000 OR expires_at - created_at <> INTERVAL 24 HOUR)),
    count_if(tag IN ('counts_updated', 'ended')
        AND (processing + succeeded + errored + canceled + expired <> size OR processing > old_processing
            OR succeeded < old_succeeded OR errored < old_errored OR canceled < old_canceled
            OR expired < old_expired)),
    count_if(tag = 'counts_updated' AND (succeeded <> 0 OR errored <> 0 OR canceled <> 0 OR expired <> 0)),
    count_if(tag = 'ended'
        AND (processing <> 0 OR canceled > 0 AND cancel_initiated_at IS NULL OR expired > 0 AND ended_at < expires_at
            OR ended_at > expires_at AND expired = 0 OR results_url IS NULL)),
    count_if(cancel_initiated_at < created_at OR ended_at < created_at OR ended_at < cancel_initiated_at
        OR archived_at < ended_at OR deleted_at < ended_at OR deleted_at < archived_at),
    count_if(tag = 'archived' AND archived_at - created_at < INTERVAL 29 DAY)
FROM facts
"""
"""What checks the rules of the profile hosted without us."""

RIVAL = f"""
import sys
import duckdb
connection = duckdb.connect(config={{"threads": 2}})
[row] = connection.execute({SQL!r}, {{"path": sys.argv[1]}}).fetchall()
assert not any(row[1:]), row
"""


def process(*arguments: str, stdout: Path | None = None) -> tuple[float, float, int, str]:
    """Run a command, which has to be satisfied: its CPU seconds, wall seconds, peak memory in KiB, and what it said."""
    start = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE if stdout is None else stdout.open("wb"))
    said = "" if child.stdout is None else child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss, said


def lifecycle(*arguments: str, stdout: Path | None = None) -> tuple[float, float, int, str]:
    """Run our command."""
    return process(sys.executable, "-m", "lifecycle", *arguments, stdout=stdout)


def audit(path: Path, *options: str) -> tuple[float, float, int]:
    """Run ``lifecycle audit``: CPU, wall, memory."""
    return lifecycle("audit", "--profile", "hosted", *options, str(path), stdout=path.with_suffix(".out"))[:3]


def decode_only(path: Path) -> float:
    """CPU seconds of the yardstick, without its start-up and its reading."""
    return float(process(sys.executable, "-c", DECODE, str(path))[3])


def show(name: str, ours: Sequence[float], theirs: Sequence[float], events: int) -> None:
    """Print the medians, for an event, and the median of the ratios."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    mine, other = (statistics.median(times) / events * 1e6 for times in (ours, theirs))
    print(
        f"{name:<52} {mine:6.2f} us {other:6.2f} us an event   ratio {statistics.median(ratios):.2f}"
        f"  ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def generate(path: Path, events: int, interleave: int = 5000) -> Path:
    """A legal log, with so many streams alive at a time."""
    lifecycle("generate", "--events", str(events), "--seed", "1", "--interleave", str(interleave), stdout=path)
    return path


def side_by_side(events: int, rounds: int) -> None:
    """The audit of one log against its rivals."""
    with tempfile.TemporaryDirectory() as folder:
        path = generate(Path(folder) / "log.jsonl", events)
        parquet = path.with_suffix(".parquet")
        lifecycle("convert", str(path), str(parquet))
        print(
            f"{events:,} events, {path.stat().st_size / 1e6:,.0f} MB, {parquet.stat().st_size / 1e6:,.0f} MB as Parquet"
        )
        one, two, bare, rival, columns, ahead, peer = [], [], [], [], [], [], []
        for _ in range(rounds):
            bare.append(decode_only(path))
            one.append(audit(path))
            rival.append(process(sys.executable, "-c", RIVAL, str(path)))
            two.append(audit(path, "--jobs", "2"))
            columns.append(audit(parquet))
            ahead.append(audit(parquet, "--jobs", "2"))
            peer.append(events * float(process(sys.executable, "-c", PEER)[3]))
        sides = {"one": one, "two": two, "columns": columns, "ahead": ahead}
        cpu = {name: [x[0] for x in runs] for name, runs in sides.items()}
        wall = {name: [x[1] for x in runs] for name, runs in sides.items()}
        show("audit, by CPU (decoding alone)", cpu["one"], bare, events)
        show("audit, by CPU (eventsourcing's aggregates)", cpu["one"], peer, events)
        show("audit on two cores, by wall (SQL in DuckDB)", wall["two"], [x[1] for x in rival], events)
        show("audit on two cores, by CPU (SQL in DuckDB)", cpu["two"], [x[0] for x in rival], events)
        show("audit from Parquet, by wall (from lines)", wall["columns"], wall["one"], events)
        show("the same on two cores", wall["ahead"], wall["two"], events)
        show("audit from Parquet, by CPU (from lines)", cpu["columns"], cpu["one"], events)
        show("the same (eventsourcing's aggregates)", cpu["columns"], peer, events)
        for name, runs in (("lines", one), ("Parquet", columns)):
            print(f"peak memory of an audit from {name}: {max(run[2] for run in runs) / 1024:.0f} MiB")


PEER = """
import gc, time
from datetime import UTC, datetime, timedelta
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

class Batch(Aggregate):
    @event("Created")
    def __init__(self, batch_id, created_at, expires_at, request_count):
        self.batch_id, self.created_at, self.expires_at = batch_id, created_at, expires_at
        self.counts = request_count, 0, 0, 0, 0

    @event("CountsUpdated")
    def update(self, processing, succeeded, errored, canceled, expired):
        self.counts = processing, succeeded, errored, canceled, expired

app = Application()
ids = []
now = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
for number in range(100):
    batch = Batch(f"msgbatch_{number}", now, now + timedelta(hours=24), 100)
    for done in range(99):
        batch.update(100 - done, done, 0, 0, 0)
    app.save(batch)
    ids.append(batch.id)
gc.disable()
start = time.process_time()
for id in ids:
    app.repository.get(id)
print((time.process_time() - start) / 10_000)
"""
"""Aggregates of `eventsourcing`, rebuilt from what its store in memory has: seconds of CPU for an event."""

LENGTHEN = """
import sys
from zlib import crc32
import pyarrow.compute as pc
import pyarrow.parquet as pq

path, target, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
usual = "msgbatch_01"
if target.endswith(".parquet"):
    log = pq.ParquetFile(path)
    with pq.ParquetWriter(target, log.schema_arrow, compression="zstd", write_page_checksum=True) as file:
        for number in range(1, times + 1):
            for rows in log.iter_batches(65536):
                for place, name in enumerate(rows.schema.names):
                    if name in {"batch_id", "event_id", "id", "results_url"}:
                        text = pc.replace_substring(rows.column(name), usual, f"msgbatch_{number:02}")
                        rows = rows.set_column(place, rows.schema.field(name), text)
                file.write_batch(rows)
else:
    with open(target, "wb") as file:
        for number in range(1, times + 1):
            with open(path, "rb") as log:
                for line in log:
                    body = line[:-21].replace(usual.encode(), b"msgbatch_%02d" % number)
                    file.write(b'%s,"crc32":"%08x"}\\n' % (body, crc32(body + b"}")))
"""
"""A log several times over, each time of other batches; quicker to make than one of as many events."""
_PART = 1_000_000
_ENOUGH = 10_000_000
"""A log is read again as long as no more events than these come to be read in all: long logs have one round."""
_ALIVE = 200
"""Of so many events one stream is alive at a time: logs of one make have as many events a stream, short or long."""
START = """
import sys
from lifecycle import replaying
replaying.LONG = 0
from lifecycle.__main__ import main
sys.exit(main())
"""
"""The command, which reads a short log in the same way as a long one."""

SIZES = (100_000, 1_000_000, 10_000_000, 50_000_000)


def scale(sizes: Sequence[int], rounds: int, folder: Path, picture: Path) -> None:
    """The time of an event, from small logs to large ones; those that are in the *folder* are used again."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- needed here alone

    found: dict[str, list[float]] = {}
    for events in sizes:
        for to in (path := folder / f"{events}.jsonl", path.with_suffix(".parquet")):
            if to.exists():
                pass
            elif events > _PART:
                part = folder / f"{_PART}{to.suffix}"
                process(sys.executable, "-c", LENGTHEN, str(part), str(to), str(events // _PART))
            elif to == path:
                generate(path, events, events // _ALIVE)
            else:
                lifecycle("convert", str(path), str(to))
    short = folder / "1.jsonl"
    with (folder / f"{sizes[0]}.jsonl").open("rb") as file:
        short.write_bytes(file.readline())
    lifecycle("convert", "--force", str(short), str(short.with_suffix(".parquet")))
    ways: dict[str, tuple[str, Sequence[str]]] = {
        "one process": (".jsonl", ()),
        "two processes": (".jsonl", ("--jobs", "2")),
        "from Parquet": (".parquet", ()),
        "from Parquet, sorted in 512 MB": (".parquet", ("--memory-limit", "512MB")),
    }
    for name, (suffix, options) in ways.items():
        command = [sys.executable, "-c", START, "audit", *options, str(short.with_suffix(suffix))]
        start = statistics.median(process(*command, stdout=short.with_suffix(".out"))[1] for _ in range(rounds))
        print(f"{name}: {start:.2f} s to start", flush=True)
        for events in sizes:
            path = folder / f"{events}{suffix}"
            runs = [audit(path, *options) for _ in range(max(1, min(rounds, _ENOUGH // events)))]
            cpu, wall = (statistics.median(run[place] for run in runs) for place in (0, 1))
            found.setdefault(name, []).append((wall - start) / events * 1e6)
            print(
                f"{events:>11,} events: {wall:7.2f} s of wall and {cpu:7.2f} of CPU, {runs[0][2] / 1024:6.0f} MiB; "
                f"after the start {found[name][-1]:5.2f} us of wall an event",
                flush=True,
            )
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, times in found.items():
        axes.plot(sizes, times, marker="o", label=name)
    axes.set(xscale="log", xlabel="events in the log", ylabel="microseconds of wall time for an event", ylim=(0, None))
    axes.set_title("without the time to start")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000, help="how long the log is")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side has its turn")
    parser.add_argument("--scale", action="store_true", help="logs of several sizes, and a picture, no more")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest of them")
    parser.add_argument("--logs", type=Path, help="a folder that keeps the logs of several sizes (35 GB)")
    arguments = parser.parse_args()
    if arguments.scale:
        sizes = [size for size in SIZES if size <= arguments.most]
        with tempfile.TemporaryDirectory() as folder:
            scale(sizes, arguments.rounds, arguments.logs or Path(folder), Path(__file__).parent / "scale.svg")
    else:
        side_by_side(arguments.events, arguments.rounds)


if __name__ == "__main__":
    main()
