"""
DuckDB groups and sorts, the reducer judges: the same report as from one pass, finding by finding.

What is expected is sorted here, with a key written from the specification.
"""

import contextlib
import gzip
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from duckdb import Error, OutOfMemoryException
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import log, testing, wire
from lifecycle.engines import Order, columns, duckdb, judging, parquet
from lifecycle.engines.report import Audit, Findings
from lifecycle.replaying import Reducer
from lifecycle.testing.faults import LOG_FAULTS, STREAM_FAULTS
from tests.cli.running import GOLDEN
from tests.engines.test_columns import ODD, put
from tests.lives import CREATED, DAY, LIFE, T

NIGHT = GOLDEN / "night.jsonl"
"""It breaks every rule that a log can break."""
RULES = ["wire", *lc.RULES]


def place(finding: lc.Finding, names: Sequence[str]) -> tuple[Any, ...]:
    """By what a report is sorted."""
    rule = RULES.index(finding.rule.id)
    file = names.index(str(finding.file))
    return finding.batch_id is not None, finding.batch_id or "", finding.version or 0, rule, file, finding.line or 0


def expected(paths: Sequence[Path], profile: lc.Profile) -> list[lc.Finding]:
    """What one pass finds in files of lines."""
    names = list(map(str, paths))
    return sorted(lc.audit(log.read(*paths), profile=profile), key=lambda finding: place(finding, names))


def expected_by_version(paths: Sequence[Path], profile: lc.Profile) -> list[lc.Finding]:
    """What is found in records that are sorted here."""
    refused: list[lc.LogError] = []
    found = list(log.read(*paths, on_error=lambda error: None if error.torn else refused.append(error)))
    found.sort(key=lambda record: (record.batch_id, record.version, record.place))
    names = sorted(map(str, paths))
    return sorted(lc.audit([*refused, *found], profile=profile), key=lambda finding: place(finding, names))


def report(paths: Iterable[Path], profile: lc.Profile = lc.HOSTED, order: Order = "log") -> list[lc.Finding]:
    return list(duckdb.audit(paths, profile=profile, order=order, threads=1).findings)


def as_parquet(path: Path, *files: Path) -> Path:
    """The records of files as Parquet, without what is none."""
    parquet.write(path, log.read(*files, on_error=lambda _: None))
    return path


def told(findings: Iterable[lc.Finding]) -> list[tuple[Any, ...]]:
    """Findings without their places, and without those of lines that are no records."""
    return [attrs.astuple(attrs.evolve(each, file=None, line=None)) for each in findings if each.batch_id is not None]


@pytest.fixture(autouse=True)
def spilling(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, in which nothing is left behind."""
    folder = tmp_path_factory.mktemp("spill")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """The night, cut into files whose names are not in their order; one is compressed."""
    lines = NIGHT.read_bytes().splitlines(keepends=True)
    paths = [tmp_path / name for name in ("c.jsonl", "a.jsonl.gz", "b.jsonl")]
    for number, path in enumerate(paths):
        body = b"".join(lines[number * 50 : number * 50 + 50])
        path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return paths


class TestTheSameReport:
    @pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED], ids=lambda profile: str(profile.name))
    def test_from_lines(self, profile: lc.Profile) -> None:
        found = expected([NIGHT], profile)
        assert report([NIGHT], profile) == found
        assert len(found) > 20

    def test_from_several_files_in_the_order_given(self, parts: list[Path]) -> None:
        assert report(parts) == expected(parts, lc.HOSTED)
        assert report(parts[::-1]) == expected(parts[::-1], lc.HOSTED)
        assert told(report(parts)) != told(report(parts[::-1]))

    def test_from_a_file_given_twice(self, parts: list[Path]) -> None:
        paths = [parts[0], parts[1], parts[0]]
        assert report(paths) == expected(paths, lc.HOSTED)

    def test_from_parquet(self, tmp_path: Path) -> None:
        path = as_parquet(tmp_path / "a.log", NIGHT)
        assert told(report([path])) == told(expected([NIGHT], lc.HOSTED))

    def test_from_both(self, parts: list[Path], tmp_path: Path) -> None:
        mixed = [parts[0], as_parquet(tmp_path / "a.parquet", parts[1]), parts[2]]
        assert told(report(mixed)) == told(expected(parts, lc.HOSTED))
        assert [each.line for each in report(mixed) if each.batch_id is None] == [
            each.line for each in expected(parts, lc.HOSTED) if each.batch_id is None and each.file != str(parts[1])
        ]

    @pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED], ids=lambda profile: str(profile.name))
    def test_by_version_whatever_the_order_of_the_files(self, parts: list[Path], profile: lc.Profile) -> None:
        found = expected_by_version(parts, profile)
        for seed in range(3):
            shuffled = random.Random(seed).sample(parts, len(parts))
            assert report(shuffled, profile, "version") == found
        assert told(found) != told(expected(parts, profile))

    def test_by_version_a_log_whose_lines_were_shuffled_is_whole_again(self, tmp_path: Path) -> None:
        lines = [wire.encode_record(record) for name in "abc" for record in life(name)]
        random.Random(1).shuffle(lines)
        paths = [tmp_path / name for name in ("1", "2")]
        for number, path in enumerate(paths):
            path.write_bytes(b"".join(line + b"\n" for line in lines[number::2]))
        assert report(paths, order="version") == []
        assert report(paths) != []

    def test_the_totals_are_those_of_one_pass(self, parts: list[Path]) -> None:
        once = lc.replay(log.read(*parts), profile=lc.HOSTED)
        done = duckdb.audit(parts, profile=lc.HOSTED)
        assert (done.events, done.streams, done.broken) == (once.events, once.streams, len(once.broken))
        phases = [batch.phase for batch in once.batches.values()]
        assert done.phases == {phase: phases.count(phase) for phase in lc.Phase}

    def test_an_empty_log_is_clean(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"\n\n")
        parquet.write(tmp_path / "b", [])
        done = duckdb.audit([tmp_path / "a", tmp_path / "b"])
        assert (list(done.findings), done.events, done.streams, done.broken) == ([], 0, 0, 0)
        assert list(duckdb.audit([]).findings) == []


def life(batch_id: str) -> list[lc.Record]:
    events = (attrs.evolve(CREATED, id=batch_id), *LIFE[1:])
    return [lc.Record(batch_id, version, event, None, T) for version, event in enumerate(events, 1)]


CAN = sorted({*STREAM_FAULTS["hosted"], *LOG_FAULTS} - {"B1"})
"""The rules that a log of lines can break alone; a negative count cannot be on a line."""


@st.composite
def faulty_logs(draw: st.DrawFn) -> list[lc.Record]:
    """Streams that each break one rule or none, in one log."""
    streams: list[list[lc.Record]] = []
    for number, rule in enumerate(draw(st.lists(st.sampled_from(CAN), min_size=1, max_size=5))):
        if rule in LOG_FAULTS:
            found = list(draw(testing.broken_logs(rule=rule))[0])
        else:
            events, _ = draw(testing.broken_streams(rule=rule, profile=lc.HOSTED))
            assert isinstance(events[0], lc.Created)
            found = [lc.Record(events[0].id, version, event, None, T) for version, event in enumerate(events, 1)]
        streams.append([renamed(record, f"{record.batch_id}-{number}") for record in found])
    # Any interleaving: each turn takes the next of some stream.
    order = draw(st.permutations([number for number, stream in enumerate(streams) for _ in stream]))
    waiting = [iter(stream) for stream in streams]
    return [next(waiting[number]) for number in order]


def renamed(record: lc.Record, batch_id: str) -> lc.Record:
    event = record.event
    if isinstance(event, lc.Created) and event.id == record.batch_id:
        event = attrs.evolve(event, id=batch_id)
    return attrs.evolve(record, batch_id=batch_id, event=event)


class TestRandomLogs:
    @settings(max_examples=settings().max_examples // 10)
    @given(found=faulty_logs(), cuts=st.lists(st.integers(0, 40), max_size=2), spoiled=st.none() | st.integers(0, 40))
    def test_the_reports_are_equal(
        self, tmp_path_factory: pytest.TempPathFactory, found: list[lc.Record], cuts: list[int], spoiled: int | None
    ) -> None:
        folder = tmp_path_factory.mktemp("log")
        lines = [wire.encode_record(record) for record in found]
        if spoiled is not None and spoiled < len(lines):
            lines[spoiled] = lines[spoiled][:-1]
        ends = [0, *sorted(cuts), len(lines)]
        paths = [folder / f"{9 - number}.jsonl" for number in range(len(ends) - 1)]
        for path, start, stop in zip(paths, ends, ends[1:], strict=False):
            path.write_bytes(b"".join(line + b"\n" for line in lines[start:stop]))
        rows = [as_parquet(folder / f"{9 - number}.parquet", path) for number, path in enumerate(paths)]
        assert report(paths) == expected(paths, lc.HOSTED)
        assert told(report(rows)) == told(expected(paths, lc.HOSTED))
        by_version = expected_by_version(paths, lc.HOSTED)
        assert report(paths[::-1], order="version") == by_version
        assert told(report(rows[::-1], order="version")) == told(by_version)

    @pytest.mark.parametrize("rule", CAN)
    def test_each_rule_is_found_when_it_is_broken_alone(self, rule: str, tmp_path: Path) -> None:
        seen: list[list[str]] = []

        @settings(max_examples=1, database=None)
        @given(
            testing.broken_logs(rule=rule)
            if rule in LOG_FAULTS
            else testing.broken_streams(rule=rule, profile=lc.HOSTED)
        )
        def judge(found: tuple[tuple[Any, ...], str]) -> None:
            first = found[0][0]
            records = (
                list(found[0])
                if isinstance(first, lc.Record)
                else [lc.Record(first.id, version, event, None, T) for version, event in enumerate(found[0], 1)]
            )
            parquet.write(tmp_path / "log.parquet", records)
            seen.append([each.rule.id for each in report([tmp_path / "log.parquet"])])

        judge()
        assert seen == [[rule]]


class TestLeniency:
    """What DuckDB would read out of JSON or Parquet on its own never reaches a verdict."""

    LINE = wire.encode_record(lc.Record("a", 1, lc.Created("a", T, T + DAY, 4), None, T))[:-20] + b"}"

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"request_count":4', b'"request_count":4,'),
            (b'"request_count":4', b'"request_count":4.0'),
            (b'"request_count":4', b'"request_count":3.5'),
            (b'"request_count":4', b'"request_count":"4"'),
            (b'"request_count":4', b'"request_count":true'),
            (b'"request_count":4', b'"request_count":null'),
            (b'"request_count":4', b'"request_count":4e0'),
            (b'"request_count":4', b'"request_count":9223372036854775808'),
            (b'"request_count":4', b'"request_count":04'),
            (b'"request_count":4', b'"request_count":NaN'),
            (b".570697+00:00", b".570697"),
            (b"2025-01-29T", b"2025-02-30T"),
            (b"2025-01-29T14:24:59.570697+00:00", b"29/01/2025"),
            (b'"id":"a"', b"'id':'a'"),
            (b'"subject":"a"', b'"subject":1'),
        ],
    )
    def test_a_line_that_is_nearly_right_is_a_finding(self, tmp_path: Path, old: bytes, new: bytes) -> None:
        path = tmp_path / "log.jsonl"
        assert old in self.LINE
        path.write_bytes(self.LINE.replace(old, new) + b"\n")
        [finding] = report([path])
        assert (finding.rule.id, finding.batch_id, finding.file, finding.line) == ("wire", None, str(path), 1)

    def test_an_offset_is_no_decoration(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        expires = b"2025-01-30T14:24:59.570697+00:00"
        assert report([write(path, self.LINE)]) == []
        assert report([write(path, self.LINE.replace(expires, b"2025-01-30T16:24:59.570697+02:00"))]) == []
        shifted = self.LINE.replace(expires, b"2025-01-30T14:24:59.570697+02:00")
        assert [each.rule.id for each in report([write(path, shifted)])] == ["B3"]

    @pytest.mark.parametrize(
        ("name", "column"),
        [
            ("processing", pa.array([None, 4.0, None, 0.0, None, None])),
            ("processing", pa.array([None, "4", None, "0", None, None])),
            ("created_at", pa.array([T.replace(tzinfo=None)] + [None] * 5)),
            ("created_at", pa.array([T.isoformat()] + [None] * 5)),
        ],
    )
    def test_a_column_of_another_type_is_refused(self, tmp_path: Path, name: str, column: Any) -> None:
        batch = put("version", 0, 1)
        batch = batch.set_column(batch.schema.names.index(name), name, column)
        pq.write_table(pa.Table.from_batches([batch]), tmp_path / "log.parquet")
        with pytest.raises(lc.LogError):
            duckdb.audit([tmp_path / "log.parquet"])

    def test_a_row_that_is_no_record_is_a_finding_and_never_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "log.parquet"
        pq.write_table(pa.Table.from_batches([put("processing", 1, None)]), path)
        found = [(each.rule.id, each.file, each.line) for each in report([path])]
        assert found == [("wire", str(path), 2), ("L3", str(path), 3)]


def write(path: Path, line: bytes) -> Path:
    path.write_bytes(line + b"\n")
    return path


class TestHostileText:
    def test_ids_come_through_unchanged_and_sorted_as_python_sorts(self, tmp_path: Path) -> None:
        odd = [
            *ODD,
            "a",
            "A",
            "z",
            "\uffff",
            "a" * 1_000_000 + "1",
            "a" * 1_000_000 + "2",
            "NULL",
            "$1",
            "?",
            "); drop",
        ]
        found = [lc.Record(name, 2, LIFE[1], name, T) for name in odd]
        parquet.write(tmp_path / "log.parquet", found)
        log.append(tmp_path / "log.jsonl", [record for record in found if len(record.batch_id) < 1000])
        findings = report([tmp_path / "log.parquet"])
        assert [each.batch_id for each in findings] == sorted(odd)
        assert {each.rule.id for each in findings} == {"L1"}
        paths = [tmp_path / "log.jsonl"]
        assert report(paths) == expected(paths, lc.HOSTED)

    def test_so_do_the_names_of_files(self, tmp_path: Path) -> None:
        paths = [tmp_path / name for name in ("it's.jsonl", 'a "b".jsonl', "漢字.jsonl", "a\nb", os.fsdecode(b"\xff"))]
        for path in paths:
            log.append(path, life("a"))
        assert report(paths) == expected(paths, lc.HOSTED) == []
        paths[1].write_bytes(b"{}\n")
        assert report(paths) == expected(paths, lc.HOSTED) != []


def long_blocks() -> Iterator[columns.Block]:
    """300,000 records of as many streams, in no order: more than DuckDB can hold in 64 MB."""
    for start in range(0, 300_000, 10_000):
        numbers = pa.array(range(start, start + 10_000), pa.int64())
        ids = pa.array([f"{number * 7919 % 1_000_003:040x}" for number in numbers.to_pylist()], pa.large_string())
        held = {"batch_id": ids, "event_id": ids, "event": pa.array([1] * 10_000, pa.int8())}
        found = [
            held.get(field.name, pa.nulls(10_000, field.type) if field.type == pa.large_string() else numbers)
            for field in columns.COLUMNS
        ]
        yield pa.RecordBatch.from_arrays(found, schema=columns.COLUMNS), []


def long_in_order(memory_limit: str) -> Iterator[pa.RecordBatch]:
    source = duckdb.Source("long", long_blocks)
    return duckdb.in_order([source], order="log", memory_limit=memory_limit, threads=1, refuse=lambda _: None)


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """As if the disk were full: no file can grow beyond 100,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class TestMemoryAndDisk:
    def test_a_log_that_memory_does_not_hold_is_sorted_on_the_disk(self, spilling: Path) -> None:
        last, rows = "", 0
        for batch in long_in_order("64MB"):
            ids = batch.column("batch_id").to_pylist()
            assert [last, *ids] == sorted([last, *ids])
            last, rows = ids[-1], rows + len(ids)
        assert rows == 300_000
        with small_files(), pytest.raises(lc.EngineError) as caught:
            next(long_in_order("64MB"))
        assert f"in {spilling}; TMPDIR" in caught.value.reason

    @pytest.mark.parametrize("limit", ["1KB", "1MB", "8MB"])
    def test_too_little_memory_is_told(self, limit: str) -> None:
        with pytest.raises(lc.EngineError) as caught:
            next(long_in_order(limit))
        assert f"a limit of {limit}" in caught.value.reason
        assert "\n" not in caught.value.reason

    def test_no_temporary_folder_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        with pytest.raises(lc.EngineError):
            next(long_in_order("64MB"))

    def test_who_stops_listening_leaves_nothing_behind(self) -> None:
        source = duckdb.Source("night", lambda: columns.of_lines(log.read(NIGHT)))
        batches = duckdb.in_order([source], order="log", memory_limit=None, threads=1, refuse=lambda _: None)
        assert next(batches).num_rows > 0
        del batches

    def test_the_state_of_a_stream_is_dropped_when_it_is_done(self, tmp_path: Path) -> None:
        held = []

        class Watched(Reducer):
            def run(self, records: Any, jobs: int = 1) -> Iterator[lc.Finding]:
                def watched() -> Iterator[Any]:
                    for record in records:
                        held.append(len(self.streams))
                        yield record

                return super().run(watched(), jobs)

        path = tmp_path / "log.parquet"
        names = [f"{number:03}" for number in range(300)]
        lives = [life(name) for name in names]
        for records in lives:  # or else the reducer would not see them
            records.append(attrs.evolve(records[-1], version=len(records) + 1, event_id="again"))
        parquet.write(path, [record for turn in zip(*lives, strict=True) for record in turn])
        reducer, done = Watched(lc.LAWS), Audit(Findings([str(path)], "log"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "ROWS", 100)  # a stream goes on in the next block
            source = duckdb.Source(str(path), parquet.Reading(path).blocks)
            batches = duckdb.in_order([source], order="log", memory_limit=None, threads=1, refuse=lambda _: None)
            assert len(list(judging.judge(batches, [str(path)], reducer, done))) == 300
        assert (done.events, done.streams, done.broken, max(held)) == (2100, 300, 300, 1)
        assert done.phases[lc.Phase.DELETED] == 300

    def test_rows_may_come_in_any_number(self) -> None:
        source = duckdb.Source("night", lambda: columns.of_lines(log.read(NIGHT)))
        batches = list(duckdb.in_order([source], order="log", memory_limit=None, threads=1, refuse=lambda _: None))
        reducer, done = Reducer(lc.HOSTED), Audit(Findings(["night"], "log"))
        one_by_one = (batch.slice(row, length) for batch in batches for row in range(len(batch)) for length in (0, 1))
        found = list(judging.judge(one_by_one, ["night"], reducer, done))
        assert sorted(told(found)) == sorted(told(expected([NIGHT], lc.HOSTED)))


class TestTheScreen:
    """Which streams the reducer has to see does not depend on where the sorted rows are cut."""

    @pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 1000])
    @pytest.mark.parametrize("long", [0, 1, 4, 100])
    def test_it_is_the_same_report_however_the_rows_are_cut(
        self, rows: int, long: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lives = [life(name) for name in "abcde"]
        lives[1].insert(3, attrs.evolve(lives[1][2], event_id="again"))  # L3
        lives[3].append(attrs.evolve(lives[3][-1], version=7, event_id="more"))  # T1
        lives[4] = lives[4][:-1]
        records = [record for one in lives for record in one]
        [(whole, _)] = columns.of_records(
            attrs.evolve(record, place=("x", line)) for line, record in enumerate(records, 1)
        )
        whole = pa.RecordBatch.from_arrays(
            [pa.array([0] * whole.num_rows, pa.int32()), *whole.columns],
            schema=duckdb._SCHEMA,
        )
        batches = [whole.slice(start, rows) for start in range(0, whole.num_rows, rows)]
        batches[1:1] = [whole.slice(0, 0)]
        monkeypatch.setattr(judging, "_LONG", long)
        done = Audit(Findings(["x"], "log"))
        found = list(judging.judge(batches, ["x"], Reducer(lc.HOSTED), done))
        assert told(found) == told(lc.audit(records, profile=lc.HOSTED))
        assert (done.events, done.streams, done.broken) == (len(records), 5, 2)
        assert done.phases == {phase: {"deleted": 4, "archived": 1}.get(phase, 0) for phase in lc.Phase}

    def test_streams_that_are_plainly_legal_do_not_reach_the_reducer(self) -> None:
        class Blind(Reducer):
            def add(self, *arguments: Any) -> Any:
                raise AssertionError(arguments)

        [(rows, _)] = columns.of_records(attrs.evolve(record, place=("x", 1)) for name in "ab" for record in life(name))
        done = Audit(Findings(["x"], "log"))
        assert list(judging.judge([rows], ["x"], Blind(lc.HOSTED), done)) == []
        assert (done.events, done.streams) == (12, 2)


@pytest.mark.parametrize("threads", [1, 2])
class TestReadingThatFails:
    def test_a_file_that_breaks_off_stops_it(self, tmp_path: Path, threads: int) -> None:
        body = gzip.compress(NIGHT.read_bytes())
        path = tmp_path / "log.jsonl.gz"
        path.write_bytes(body[: len(body) // 2])
        with pytest.raises(lc.LogError) as caught:
            duckdb.audit([NIGHT, path], threads=threads)
        assert (caught.value.path, caught.value.line) == (str(path), None)

    def test_what_else_goes_wrong_while_reading_comes_as_it_is(self, threads: int) -> None:
        class OddError(Exception):
            pass

        def blocks() -> Iterator[columns.Block]:
            yield next(long_blocks())
            raise OddError

        batches = duckdb.in_order(
            [duckdb.Source("odd", blocks)], order="log", memory_limit=None, threads=threads, refuse=lambda _: None
        )
        with pytest.raises(OddError):
            next(batches)


def test_what_fails_while_reading_is_kept_for_whoever_asks() -> None:
    """DuckDB reads in threads of its own, or in ours, and tells nothing but the text."""

    def blocks() -> Iterator[columns.Block]:
        yield next(long_blocks())
        raise KeyError("odd")

    feed = duckdb._Feed([duckdb.Source("odd", blocks)], lambda _: None)
    with pytest.raises(KeyError):
        list(feed)
    assert isinstance(feed.error, KeyError)


class TestFailures:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(lc.LogError) as caught:
            duckdb.audit([NIGHT, tmp_path / "none"])
        assert caught.value.path == str(tmp_path / "none")

    def test_what_duckdb_says_is_told_in_a_line(self) -> None:
        assert duckdb._told(Error("odd\nand long"), {}).reason == "DuckDB cannot sort the log (odd)"
        assert "what the machine has" in duckdb._told(OutOfMemoryException("odd"), {}).reason

    @pytest.mark.parametrize(
        "options", [{"order": "time"}, {"memory_limit": "much"}, {"threads": 0}, {"memory_limit": "1MB' --"}]
    )
    def test_options_that_are_none(self, options: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            duckdb.audit([NIGHT], **options)

    def test_a_single_path_is_no_list_of_paths(self) -> None:
        wrong: Any = str(NIGHT)
        with pytest.raises(TypeError):
            duckdb.audit(wrong)


class TestTheExtra:
    @pytest.mark.usefixtures("children_are_measured")
    @pytest.mark.parametrize(
        ("module", "missing"),
        [
            ("duckdb", "duckdb"),
            ("duckdb", "pyarrow"),
            ("parquet", "numpy"),
            ("parquet", "pyarrow"),
            ("parquet", "duckdb"),
        ],
    )
    def test_without_it_one_sentence_says_what_to_install(self, module: str, missing: str) -> None:
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            f"try:\n    from lifecycle.engines import {module}\n"
            "except ImportError as error:\n    print(error)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
        needed = missing != "duckdb" or module == "duckdb"
        assert ("pip install 'lifecycle[bulk]'" in done.stdout) == needed
        assert done.stderr == ""
