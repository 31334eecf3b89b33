"""
A long log on Spark: ``python -m benchmarks.spark [--events N | --log FILE] [--rounds N] [--cores N]``.

Needs the extras ``spark``, ``bulk`` and ``cli``, and Java.  Both sides run in one session on this machine and take
turns; each has run once before it counts.  Wall seconds, and CPU seconds of Java and of the Python workers.

- `audit_dataframe` of a log in Parquet, against the same audit in Spark SQL with window functions: all the rules of the
  profile hosted, as somebody would write it who has no library.  It says how many rows break which of them; ours says
  which, where and why.
- `audit_dataframe` with 1, 2 and 4 partitions a core.
- `audit` of the same log as files: Parquet, and lines; and DuckDB, for comparison, as a process of its own.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pyspark.sql import SparkSession

import lifecycle as lc
from benchmarks.bulk import audit as by_duckdb
from benchmarks.bulk import generate, lifecycle
from lifecycle.engines import spark

SQL = """
WITH facts AS (
    SELECT batch_id, version, event AS tag, id AS named,
        lag(version) OVER w AS old_version, lag(event) OVER w AS old_tag,
        last_value(CASE WHEN event <> 'counts_updated' THEN event END) IGNORE NULLS OVER earlier AS old_turn,
        coalesce(processing, request_count) AS processing, succeeded, errored, canceled, expired,
        last_value(coalesce(processing, request_count)) IGNORE NULLS OVER earlier AS old_processing,
        last_value(succeeded) IGNORE NULLS OVER earlier AS old_succeeded,
        last_value(errored) IGNORE NULLS OVER earlier AS old_errored,
        last_value(canceled) IGNORE NULLS OVER earlier AS old_canceled,
        last_value(expired) IGNORE NULLS OVER earlier AS old_expired,
        first_value(request_count) OVER sofar AS size, first_value(created_at) OVER sofar AS created_at,
        first_value(expires_at) OVER sofar AS expires_at,
        last_value(cancel_initiated_at) IGNORE NULLS OVER sofar AS cancel_initiated_at,
        last_value(ended_at) IGNORE NULLS OVER sofar AS ended_at,
        last_value(archived_at) IGNORE NULLS OVER sofar AS archived_at, deleted_at, results_url
    FROM log
    WINDOW w AS (PARTITION BY batch_id ORDER BY version),
        sofar AS (PARTITION BY batch_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        earlier AS (PARTITION BY batch_id ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT count(*),
    count_if((tag = 'created') <> (old_version IS NULL) OR tag = 'created' AND named <> batch_id
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


def rival(session: SparkSession, path: Path, partitions: int) -> None:
    """The audit in SQL."""
    session.conf.set("spark.sql.shuffle.partitions", str(partitions))
    session.read.parquet(str(path)).createOrReplaceTempView("log")
    [row] = session.sql(SQL).collect()
    assert not any(row[1:]), row


def ours(session: SparkSession, path: Path, partitions: int) -> None:
    """Our audit."""
    done = spark.audit_dataframe(session.read.parquet(str(path)), profile=lc.HOSTED, partitions=partitions)
    assert not list(done.findings)


def files(session: SparkSession, path: Path, partitions: int) -> None:
    """The same, reading by ways of our own."""
    done = spark.audit([path], session=session, profile=lc.HOSTED, partitions=partitions)
    assert not list(done.findings)


def cpu() -> dict[str, float]:
    """CPU seconds of this process, with what it has waited for, and of all that it has started and that is alive."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            found[stat.parent.name] = stat.read_text().rpartition(")")[2].split()
    me = str(os.getpid())
    ours = {me}
    while more := {pid for pid, fields in found.items() if fields[1] in ours} - ours:
        ours |= more
    tick = os.sysconf("SC_CLK_TCK")
    return {pid: sum(map(int, found[pid][11 : 15 if pid == me else 13])) / tick for pid in ours if pid in found}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - wall, sum(spent - before.get(pid, 0) for pid, spent in cpu().items())


def show(name: str, runs: Sequence[tuple[float, float]], than: Sequence[tuple[float, float]], events: int) -> None:
    """Print medians, and the medians of the ratios to what ran beside."""
    ratios = [[a[kind] / b[kind] for a, b in zip(runs, than, strict=True)] for kind in (0, 1)]
    wall, spent = (statistics.median(each) / events * 1e6 for each in zip(*runs, strict=True))
    by_wall, by_cpu = map(statistics.median, ratios)
    print(
        f"{name:<46} {wall:6.2f} us wall, {spent:6.2f} us CPU an event   ratio {by_wall:.2f} "
        f"({min(ratios[0]):.2f} to {max(ratios[0]):.2f}) by wall, {by_cpu:.2f} by CPU",
        flush=True,
    )


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000, help="how long the log is")
    parser.add_argument("--log", type=Path, help="a log in lines that is there already, with its Parquet beside it")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side has its turn")
    parser.add_argument("--rivals", action="store_true", help="audit_dataframe and SQL, no more")
    parser.add_argument("--cores", type=int, default=2, help="how many cores Spark has")
    arguments = parser.parse_args()
    cores = arguments.cores
    settings = {"spark.driver.memory": "3g"}
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.log or generate(Path(folder) / "log.jsonl", arguments.events)
        parquet = path.with_suffix(".parquet")
        if not parquet.exists():
            lifecycle("convert", str(path), str(parquet))
        with spark.session(f"local[{cores}]", settings=settings) as session:
            events = session.read.parquet(str(parquet)).count()
            print(f"{events:,} events, {parquet.stat().st_size / 1e6:,.0f} MB as Parquet, {cores} cores", flush=True)
            sides: dict[str, Callable[[], object]] = {
                "Spark SQL": lambda: rival(session, parquet, 4 * cores),
                "audit_dataframe": lambda: ours(session, parquet, 4 * cores),
                "Spark SQL, 1 partition a core": lambda: rival(session, parquet, cores),
                "audit_dataframe, 1 partition a core": lambda: ours(session, parquet, cores),
                "audit_dataframe, 2 partitions a core": lambda: ours(session, parquet, 2 * cores),
            }
            if not arguments.rivals:
                sides |= {
                    "audit, Parquet": lambda: files(session, parquet, 4 * cores),
                    "audit, lines": lambda: files(session, path, 4 * cores),
                    "DuckDB, Parquet": lambda: by_duckdb(parquet, "--threads", str(cores)),
                }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
            for number in range(arguments.rounds + 1):
                for name, work in sides.items():
                    run = timed(work)
                    if number:
                        found[name].append(run)
                    print(f"  {name}: {run[0]:.1f} s, {run[1]:.1f} s of CPU", file=sys.stderr, flush=True)
            for name, runs in found.items():
                show(name, runs, found["Spark SQL"], events)


if __name__ == "__main__":
    main()
