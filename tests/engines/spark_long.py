"""
What takes too long for every run: ``python -m tests.engines.spark_long [--events N] [--kills N] [--seed N]``.

A log of five million events, thousands of them at fault, is audited by one pass, by DuckDB and by Spark, on a cluster
of two workers with one core each, with 1, 2 and 4 partitions a core: the reports have to be equal, finding by finding.
Then workers are killed, or what they have started, at any moment: the report stays what it was.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.engines import duckdb, parquet, spark
from lifecycle.engines.report import Audit, Findings
from lifecycle.replaying import Reducer
from tests.engines.cluster import SETTINGS, Cluster, end, started
from tests.engines.test_spark import Report, whole

MORE = {**SETTINGS, "spark.driver.extraJavaOptions": "-XX:+UseSerialGC", "spark.executor.extraJavaOptions": ""}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def one_pass(path: Path) -> Report:
    done = Audit(Findings([str(path)], "log"))
    reducer = Reducer(lc.HOSTED, wire.DATA)
    for finding in reducer.run(log.read(path, on_error=lambda _: None)):
        done.findings.add(finding)
    done.count(reducer)
    return whole(done)


def generate(path: Path, events: int, seed: int) -> None:
    words = ["generate", "--events", str(events), "--seed", str(seed), "--interleave", "20000", "--faults", "0.0005"]
    with path.open("wb") as out:
        subprocess.run([sys.executable, "-m", "lifecycle", *words], stdout=out, stderr=subprocess.DEVNULL, check=True)


def equality(cluster: Cluster, folder: Path, events: int, seed: int) -> None:
    """The same report from everybody."""
    lines, rows = folder / "log.jsonl", folder / "log.parquet"
    generate(lines, events, seed)
    parquet.write(rows, log.read(lines, on_error=lambda _: None))
    of_lines = one_pass(lines)
    say(f"{of_lines[1]:,} events of {of_lines[2]:,} batches, {len(of_lines[0]):,} findings")
    assert whole(duckdb.audit([lines], profile=lc.HOSTED)) == of_lines
    of_rows = whole(duckdb.audit([rows], profile=lc.HOSTED))
    say("DuckDB: equal")
    with spark.session(cluster.url, settings=MORE) as session:
        frame = session.read.parquet(str(rows))
        for partitions in (2, 4, 8):
            for path, report in ((lines, of_lines), (rows, of_rows)):
                done = spark.audit([path], session=session, profile=lc.HOSTED, partitions=partitions)
                assert whole(done) == report
            found, *totals = whole(spark.audit_dataframe(frame, profile=lc.HOSTED, partitions=partitions))
            assert ([attrs.evolve(one, file=str(rows)) for one in found], *totals) == of_rows
            say(f"Spark, {partitions} partitions: equal, from lines, from Parquet and from a data frame")


def kills(cluster: Cluster, folder: Path, times: int, seed: int) -> None:
    """The same report, whoever is killed, and when."""
    path = folder / "short.jsonl"
    generate(path, 60_000, seed)
    report = one_pass(path)
    dice = random.Random(seed)
    lost = 0
    with spark.session(cluster.url, settings=MORE) as session, ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        assert whole(spark.audit([path], session=session, profile=lc.HOSTED, partitions=8)) == report
        usual = time.monotonic() - start
        for number in range(1, times + 1):
            done = pool.submit(spark.audit, [path], session=session, profile=lc.HOSTED, partitions=8)
            threading.Event().wait(dice.uniform(0, usual))
            in_time = not done.done()
            victim = dice.choice(sorted(cluster.workers))
            if dice.random() < 0.5:
                end(cluster.workers.pop(victim))
                cluster.add()
                what = "a worker"
            else:
                for child in Path(f"/proc/{victim}/task/{victim}/children").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(child), signal.SIGKILL)
                what = "what a worker had started"
            assert whole(done.result(600)) == report
            lost += in_time
            say(f"kill {number}: {what}, {'in the middle' if in_time else 'too late'}: the same report")
            usual = min(usual, 10)
    assert lost, "nobody was killed in the middle"
    say(f"{times} kills, {lost} of them in the middle of an audit: always the same report")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as cluster:
        if arguments.events:
            equality(cluster, Path(name), arguments.events, arguments.seed)
        if arguments.kills:
            kills(cluster, Path(name), arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
