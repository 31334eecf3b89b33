"""
Spark groups and sorts, the reducer judges on the workers: the same report as from DuckDB and one pass.

What runs on workers is tested here in this process first, piece by piece; then all of it on a cluster of two workers,
one of which is killed.  The cluster is started once, for it takes a while: so that is one test.
"""

import contextlib
import gc
import gzip
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

import lifecycle as lc
from lifecycle.cli.app import run
from lifecycle.engines import Order, columns, duckdb, parquet, spark
from lifecycle.engines.report import Audit
from tests.engines.cluster import PATIENCE, SETTINGS, Cluster, end, started
from tests.engines.test_columns import ODD, put
from tests.engines.test_duckdb import NIGHT, as_parquet, faulty_logs
from tests.lives import LIFE, T

Report = tuple[list[lc.Finding], int, int, int, dict[lc.Phase, int]]


def whole(done: Audit) -> Report:
    """All that a report says."""
    return list(done.findings), done.events, done.streams, done.broken, done.phases


def expected(paths: Sequence[Path], order: Order = "log", profile: lc.Profile = lc.HOSTED) -> Report:
    """What DuckDB has sorted; its tests hold that against one pass."""
    return whole(duckdb.audit(paths, profile=profile, order=order, threads=1))


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """The night, cut into files whose names are not in their order; one is compressed, one torn, one Parquet."""
    lines = NIGHT.read_bytes().splitlines(keepends=True)
    paths = [tmp_path / name for name in ("c.jsonl", "a.jsonl.gz", "b é.jsonl", "d.parquet")]
    for number, path in enumerate(paths[:3]):
        body = b"".join(lines[number * 40 : number * 40 + 40])
        path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    with paths[0].open("ab") as file:
        file.write(b"\n\n{\n" + lines[-1][:50])
    (tmp_path / "rest").write_bytes(b"".join(lines[120:]))
    as_parquet(paths[3], tmp_path / "rest")
    return paths


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are cut into many parts."""
    monkeypatch.setattr(spark, "_PART", 6000)
    monkeypatch.setattr(spark, "_ROWS_OF_PART", 10)
    monkeypatch.setattr(parquet, "_GROUP", 7)


# ------------------------------------------------------------------------------------ what runs on workers, run by hand


def as_spark_sorts(rows: pa.Table, order: Order) -> pa.Table:
    """Rows sorted as Spark has them: texts by their bytes, what has no value first."""
    keys = spark._KEYS[order]

    def key(row: dict[str, Any]) -> list[Any]:
        values = [row[name].encode() if isinstance(row[name], str) else row[name] for name in keys]
        return [(value is not None, value) if value is not None else (False,) for value in values]

    return pa.Table.from_pylist(sorted(rows.to_pylist(), key=key), rows.schema)


def judged(rows: pa.Table, judge: Any, order: Order, partitions: int) -> list[dict[str, Any]]:
    """What comes of rows, streams being dealt out at random to so many partitions."""
    places = [hash((each["batch_id"], each.get("refused"))) % partitions for each in rows.to_pylist()]
    said: list[dict[str, Any]] = []
    for partition in range(partitions):
        own = as_spark_sorts(rows.filter(pa.array([place == partition for place in places], pa.bool_())), order)
        said += pa.Table.from_batches(judge(iter(own.to_batches(max_chunksize=5)))).to_pylist()
    return said


def numbers(count: int) -> Iterator[pa.RecordBatch]:
    return iter([pa.RecordBatch.from_pydict({"id": [number]}) for number in range(count)])


def counted(parts: Sequence[Any]) -> list[dict[str, int]]:
    return [row for batch in spark._Counter(parts)(numbers(len(parts))) for row in batch.to_pylist()]


def reported(said: Sequence[dict[str, Any]], files: Any, order: Order, torn: list[lc.LogError]) -> Report:
    totals = [row for row in said if row["rule"] is None]
    rest = [row for row in said if row["rule"] is not None]
    return whole(spark._report(totals, lambda: rest, files, order, torn.append))


def by_hand(paths: Sequence[Path], order: Order = "log", partitions: int = 3) -> tuple[Report, list[lc.LogError]]:
    """An audit, with this process in the place of Spark; and torn tails."""
    names = sorted(map(str, paths)) if order == "version" else list(map(str, paths))
    found = list(spark._parts(names))
    rows = pa.Table.from_batches(spark._Reader(found)(numbers(len(found))), spark._ROWS_HELD)
    torn: list[lc.LogError] = []
    said = judged(rows, spark._Judge(lc.HOSTED, len(names)), order, partitions)
    return reported(said, spark._Files(names, found, counted), order, torn), torn


def by_hand_from_columns(path: Path, order: Order = "log", partitions: int = 3) -> Report:
    """The same for rows that are as they were stored."""
    rows = pq.read_table(path)
    place = {"file": [str(path)] * len(rows), "line": pa.array(range(1, len(rows) + 1), pa.int64())}
    for name, values in place.items():
        rows = rows.append_column(name, [values])
    return reported(judged(rows, spark._Judge(lc.HOSTED, None), order, partitions), None, order, [])


class TestByHand:
    @pytest.mark.usefixtures("small_parts")
    @pytest.mark.parametrize("order", ["log", "version"])
    def test_it_is_the_same_report(self, parts: list[Path], order: Order) -> None:
        assert by_hand(parts, order)[0] == expected(parts, order)
        assert by_hand(parts[::-1], order)[0] == expected(parts[::-1], order)
        assert len({part.number for part in spark._parts(list(map(str, parts)))}) > 2

    @pytest.mark.usefixtures("small_parts")
    def test_of_a_file_given_twice_too(self, parts: list[Path]) -> None:
        paths = [parts[0], parts[3], parts[0]]
        assert by_hand(paths)[0] == expected(paths)

    def test_torn_tails_are_told_in_the_order_of_the_files_and_no_findings(self, parts: list[Path]) -> None:
        parts[2].write_bytes(b"{")
        _, torn = by_hand(parts[:3], partitions=1)
        assert [(error.path, error.line, error.torn) for error in torn] == [
            (str(parts[0]), 44, True),
            (str(parts[2]), 1, True),
        ]
        rest = spark._report([], list, None, "log", None)
        assert whole(rest)[:2] == ([], 0)

    @pytest.mark.parametrize("order", ["log", "version"])
    def test_it_is_the_same_report_from_columns(self, parts: list[Path], tmp_path: Path, order: Order) -> None:
        path = as_parquet(tmp_path / "all.parquet", *parts[:3])
        assert by_hand_from_columns(path, order) == expected([path], order)

    def test_rows_that_are_no_records_are_findings(self, tmp_path: Path) -> None:
        path = tmp_path / "log.parquet"
        pq.write_table(pa.Table.from_batches([put("processing", 1, None), put("batch_id", 0, None)]), path)
        assert by_hand_from_columns(path) == by_hand([path])[0] == expected([path])
        assert [each.rule.id for each in expected([path])[0]].count("wire") == 2

    @settings(max_examples=settings().max_examples // 10)
    @given(found=faulty_logs(), partitions=st.integers(1, 4))
    def test_it_is_the_same_report_of_random_logs(
        self, tmp_path_factory: pytest.TempPathFactory, found: list[lc.Record], partitions: int
    ) -> None:
        path = tmp_path_factory.mktemp("log") / "log.parquet"
        parquet.write(path, found)
        assert by_hand([path], "log", partitions)[0] == expected([path])
        assert by_hand_from_columns(path, "version", partitions) == expected([path], "version")

    def test_ids_come_through_unchanged(self, tmp_path: Path) -> None:
        path = hostile(tmp_path)
        assert by_hand([path])[0] == by_hand_from_columns(path) == expected([path])

    def test_of_what_holds_no_record_at_all_too(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"{}\n")
        assert by_hand([path])[0] == expected([path])
        path.write_bytes(b"")
        assert by_hand([path])[0] == expected([path])

    def test_findings_that_are_many_come_in_several_batches(
        self, parts: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spark, "_FOUND_AT_ONCE", 3)
        assert by_hand(parts)[0] == expected(parts)


def hostile(folder: Path) -> Path:
    odd = [*ODD, "a", "A", "z", "\uffff", "\U0001f600", "a" * 200_000 + "1", "a" * 200_000 + "2", "NULL", "$1", "a\0b"]
    path = folder / "hostile.parquet"
    parquet.write(path, [lc.Record(name, 2, LIFE[1], name, T) for name in odd])
    return path


class TestOnWorkers:
    def test_a_file_that_is_not_there_is_told_by_its_name(self, tmp_path: Path) -> None:
        part = spark._Part(0, str(tmp_path / "\udcff none"), 0, 0, None)
        with pytest.raises(spark._WorkerError) as caught:
            list(spark._Reader([part])(numbers(1)))
        told = spark._told(RuntimeError(f"a page of Java\n{caught.value}\nand more"))
        assert isinstance(told, lc.LogError)
        assert (told.path, told.line) == (part.path, None)
        assert socket.gethostname() in told.reason

    @pytest.mark.parametrize("body", [b"one\ntw", b"one\ntwo\nx", b""])
    def test_a_file_that_is_another_one_is_told(self, tmp_path: Path, body: bytes) -> None:
        path = tmp_path / "log"
        path.write_bytes(body)
        for part in (spark._Part(0, str(path), 1, 6, None), spark._Part(0, str(path), 0, 0, 6)):
            with pytest.raises(spark._WorkerError):
                list(spark._Reader([part])(numbers(1)))

    def test_no_room_for_findings_is_told(self, parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        monkeypatch.setattr(spark, "_HELD", 2)
        with pytest.raises(spark._WorkerError) as caught:
            by_hand(parts)
        assert isinstance(spark._told(caught.value), lc.EngineError)


# ---------------------------------------------------------------------------------------------- what Spark says of it


class TestWhatSparkSays:
    @pytest.mark.parametrize(
        ("said", "word"),
        [
            ("java.lang.OutOfMemoryError: Java heap space\n\tat java.base/...", "memory"),
            ("MemoryError\n", "memory"),
            ("java.io.IOException: No space left on device", "room"),
            ("[PYTHON_VERSION_MISMATCH] Python in worker has different version", "PYSPARK_PYTHON"),
            ("ModuleNotFoundError: No module named 'lifecycle'", "pip install 'lifecycle[spark]'"),
            ('Cannot run program "python9"', "PYSPARK_PYTHON"),
            ("ExecutorLostFailure (executor 1 exited", "worker after the other"),
            ("SparkContext was shut down", "stopped"),
            ("\n  odd\n\tat java.base/...", "(odd)"),
            ("", "did not say why"),
        ],
    )
    def test_becomes_a_sentence(self, said: str, word: str) -> None:
        error = spark._told(RuntimeError(said))
        assert isinstance(error, lc.EngineError)
        assert word in error.reason
        assert "\tat" not in error.reason
        assert "\n" not in error.reason

    def test_only_of_spark_and_its_bridge(self) -> None:
        with pytest.raises(KeyError), spark._spoken():
            raise KeyError
        for error in (PySparkRuntimeError("odd"), ConnectionRefusedError("odd")):
            with pytest.raises(lc.EngineError), spark._spoken():
                raise error


class TestTheSession:
    def test_without_java_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(lc.EngineError, match="PATH"), spark.session():
            pass
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        with pytest.raises(lc.EngineError, match="JAVA_HOME"), spark.session():
            pass

    @pytest.mark.parametrize(
        ("said", "word"),
        [
            ("Error: LinkageError java.lang.UnsupportedClassVersionError: org/apache/...", "Java 17"),
            ("Module jdk.incubator.vector not found", "Java 17"),
            ("WARNING: Using incubator modules: jdk.incubator.vector\n\nout of luck", "(out of luck)"),
        ],
    )
    # PySpark leaves the pipe to a Java that has not started.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_java_that_does_not_start_is_told(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, word: str
    ) -> None:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
        java.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
        with pytest.raises(lc.EngineError) as caught, spark.session("local[1]"):
            pass
        assert word in caught.value.reason
        gc.collect()

    def test_a_master_that_does_not_answer_is_told_at_once(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and nobody listens
            url = f"spark://127.0.0.1:{closed.getsockname()[1]}"
            with pytest.raises(lc.EngineError) as caught, spark.session(url):
                pass
        assert url in caught.value.reason
        with pytest.raises(lc.EngineError), spark.session("spark://127.0.0.1:port"):
            pass

    def test_of_several_masters_one_is_enough_and_other_managers_are_not_asked(self) -> None:
        with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as server:
            closed.bind(("127.0.0.1", 0))
            spark._check_master(f"spark://127.0.0.1:{closed.getsockname()[1]},127.0.0.1:{server.getsockname()[1]}")
        spark._check_master("yarn")
        spark._check_master("k8s://https://127.0.0.1:443")

    @pytest.mark.parametrize("master", ["foo://x", "", "127.0.0.1:7077"])
    def test_what_is_no_master_is_told(self, master: str) -> None:
        with pytest.raises(lc.EngineError) as caught, spark.session(master):
            pass
        assert f"{master!r} is no master" in caught.value.reason

    @pytest.mark.parametrize(
        ("parts", "cores", "found"), [(1, 2, 2), (50, 2, 50), (500, 2, 200), (1, 300, 200), (0, 1, 1)]
    )
    def test_a_short_log_has_few_partitions(self, parts: int, cores: int, found: int) -> None:
        some: Any = SimpleNamespace(
            conf={"spark.sql.shuffle.partitions": "200"}, sparkContext=SimpleNamespace(defaultParallelism=cores)
        )
        assert spark._usual(some, parts) == found

    def test_java_that_does_not_end_is_killed(self) -> None:
        class Gateway:
            proc = subprocess.Popen(["sleep", "1000"], stdin=subprocess.PIPE)

            def shutdown(self) -> None:
                raise ConnectionResetError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spark, "_GOODBYE", 0.01)
            spark._close(Gateway())
        assert Gateway.proc.returncode == -signal.SIGKILL

    def test_java_that_has_started_us_is_left_alone(self) -> None:
        class Gateway:
            proc = None

            def shutdown(self) -> None:
                pass

        spark._close(Gateway())


STORED = {"text": t.StringType(), "whole": t.LongType(), "time": t.TimestampType()}


class TestArguments:
    @pytest.mark.parametrize("options", [{"order": "time"}, {"partitions": 0}])
    def test_that_are_none(self, options: Any) -> None:
        nothing: Any = None
        with pytest.raises(ValueError, match=next(iter(options))):
            spark.audit([], session=nothing, **options)

    def test_a_single_path_is_no_list_of_paths_and_standard_input_no_file(self) -> None:
        nothing: Any = None
        with pytest.raises(TypeError):
            spark.audit(str(NIGHT), session=nothing)
        with pytest.raises(ValueError, match="standard input"):
            spark.audit(["-"], session=nothing)
        with pytest.raises(TypeError):
            spark.audit_dataframe(nothing)

    def test_a_schema_that_is_no_log_is_refused(self) -> None:
        fields = [t.StructField(name, STORED[kind]) for name, kind in columns._KIND_OF.items()]
        spark._check_columns(fields)
        spark._check_columns([*fields[:1], t.StructField("version", t.IntegerType()), *fields[2:]])
        spark._check_columns([*fields[:-1], t.StructField(fields[-1].name, t.NullType())])
        for other in (t.StringType("UTF8_LCASE"), t.BinaryType(), t.LongType()):
            with pytest.raises(ValueError, match="batch_id"):
                spark._check_columns([t.StructField("batch_id", other), *fields[1:]])
        with pytest.raises(ValueError, match="missing"):
            spark._check_columns(fields[1:])


class TestTheExtra:
    @pytest.mark.usefixtures("children_are_measured")
    @pytest.mark.parametrize("missing", ["pyspark", "pandas", "pyarrow", "numpy"])
    def test_without_it_one_sentence_says_what_to_install(self, missing: str) -> None:
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from lifecycle.cli.app import run\n"
            f"raise SystemExit(run(['audit', {str(NIGHT)!r}, '--engine', 'spark']))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (3, "")
        assert "pip install 'lifecycle[spark]'" in done.stderr


# ------------------------------------------------------------------------------------------------------- on a cluster


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("spark")
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in SETTINGS.items()))
    monkeypatch.setenv("SPARK_CONF_DIR", str(folder))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    with started(folder) as found:
        yield found


class TestOnACluster:
    @pytest.mark.usefixtures("small_parts")
    def test_of_a_master_and_two_workers(
        self,
        cluster: Cluster,
        parts: list[Path],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        subtests: pytest.Subtests,
    ) -> None:
        handler = signal.getsignal(signal.SIGINT)
        with spark.session(cluster.url) as session:
            assert signal.getsignal(signal.SIGINT) is handler
            with subtests.test("the command writes the very same report"):
                words = ["audit", *map(str, parts), "--profile", "hosted", "--format", "json"]
                assert run([*words, "--engine", "duckdb"]) == 1
                plain = capsys.readouterr()
                assert run([*words, "--engine", "spark", "--master", cluster.url, "--partitions", "2"]) == 1
                assert capsys.readouterr() == plain
                assert "warning:" in plain.err
            with subtests.test("files, hostile ids among them, by version"):
                paths = [*parts, hostile(tmp_path)]
                done = spark.audit(paths, session=session, profile=lc.HOSTED, order="version", partitions=8)
                assert whole(done) == expected(paths, "version")
            with subtests.test("nothing"):
                assert whole(spark.audit([], session=session))[:2] == ([], 0)

            all_in_one = as_parquet(tmp_path / "all of it.parquet", *parts[:3])
            frame = session.read.parquet(str(all_in_one))
            report = expected([all_in_one])
            with subtests.test("a data frame says itself where its rows come from"):
                for partitions in (None, 4):
                    found = whole(spark.audit_dataframe(frame, profile=lc.HOSTED, partitions=partitions))
                    assert in_file(found, all_in_one) == report
                    assert {each.file for each in found[0]} == {all_in_one.as_uri().replace("file:///", "file:/")}
            with subtests.test("or cannot say it"):
                capsys.readouterr()
                placeless = session.createDataFrame([], frame.schema)
                with pytest.raises(ValueError, match="file"):
                    spark.audit_dataframe(placeless)
                assert capsys.readouterr().err == ""
            with subtests.test("a file that a worker does not have"):
                with tempfile.NamedTemporaryFile() as file:
                    file.write(b"{}\n")
                    file.flush()
                    path = f"/proc/self/fd/{file.fileno()}"
                    with pytest.raises(lc.LogError) as caught:
                        spark.audit([path], session=session)
                assert (caught.value.path, "\n" in caught.value.reason) == (path, False)
            with subtests.test("a second session"), pytest.raises(lc.EngineError), spark.session():
                pass
            with subtests.test("a worker that is killed in the middle of it changes nothing"):
                kill_in_the_middle(cluster, session, all_in_one, report, tmp_path)
            with subtests.test("no worker is left"):
                monkeypatch.setattr(spark, "_PATIENCE", 0.5)
                for worker in cluster.workers.values():
                    end(worker)
                status = session.sparkContext._jsc.sc().statusTracker()
                while len(status.getExecutorInfos()) > 1:  # until the driver has seen that they are gone
                    pass
                with pytest.raises(lc.EngineError, match="no worker"):
                    spark._wait_for_workers(session.sparkContext, cluster.url, 2)


def in_file(report: Report, path: Path) -> Report:
    return [attrs.evolve(each, file=str(path)) for each in report[0]], *report[1:]


def kill_in_the_middle(cluster: Cluster, session: SparkSession, path: Path, report: Report, folder: Path) -> None:
    """Kill the worker that is the first to have read something, while it holds it back."""
    reached, never, tries = (folder / name for name in ("reached", "never", "tries"))
    os.mkfifo(reached)
    os.mkfifo(never)
    frame = session.read.parquet(str(path))
    row = (f.col("_metadata.row_index") + 1).alias("line")
    frame = frame.select(*frame.columns, f.lit(str(path)).alias("file"), row).repartition(3, "version")

    def hold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(tries, os.O_CREAT | os.O_EXCL)
            os.close(descriptor)
            reached.write_text(str(os.getsid(0)))
            never.read_text()

    with ThreadPoolExecutor(1) as pool:
        held = spark._mapped(frame, hold, frame.schema)
        done = pool.submit(lambda: whole(spark.audit_dataframe(held, profile=lc.HOSTED, partitions=2)))
        listening = os.open(reached, os.O_RDONLY | os.O_NONBLOCK)
        ready, _, _ = select.select([listening], [], [], PATIENCE)
        assert ready, done
        killed = int(os.read(listening, 100))
        os.close(listening)
        end(cluster.workers.pop(killed))
        assert done.result(PATIENCE) == report
    assert len(cluster.workers) == 1
