"""The commands that read event logs, in what the golden files do not show."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import wire
from lifecycle.cli import logs, records
from lifecycle.cli.output import NOTHING, Look, UsageError
from lifecycle.cli.records import Until
from lifecycle.engines.report import Audit, Findings
from lifecycle.replaying import Reducer
from tests.cli.running import GOLDEN, lifecycle

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
URL = "https://api.example/results"


def events_of(batch_id: str) -> dict[str, lc.Event]:
    """One event of each tag."""
    return {
        "created": lc.Created(batch_id, NOON, NOON + DAY, 3),
        "counts_updated": lc.CountsUpdated(lc.RequestCounts(3)),
        "cancel_initiated": lc.CancelInitiated(NOON + HOUR),
        "ended": lc.Ended(NOON + 2 * HOUR, lc.RequestCounts(0, succeeded=2, errored=1), URL),
        "archived": lc.Archived(NOON + 29 * DAY, URL),
        "deleted": lc.Deleted(NOON + 30 * DAY),
    }


def record_lines(batch_id: str, *tags: str) -> list[bytes]:
    """The lines of one stream; each event is recorded an hour after the one before."""
    events = events_of(batch_id)
    records = [
        lc.Record(batch_id, version, events[tag], f"{batch_id}/{version}", NOON + (version - 1) * HOUR)
        for version, tag in enumerate(tags, 1)
    ]
    return [wire.encode_record(record) for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A legal log of two streams, `a` and `b`, one after the other."""
    path = tmp_path / "log.jsonl"
    lines = record_lines("a", "created", "counts_updated", "ended") + record_lines("b", "created")
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


class TestUntil:
    @pytest.mark.parametrize(
        ("text", "until"),
        [
            (None, None),
            ("3", 3),
            ("9223372036854775807", 2**63 - 1),
            ("2025-01-29T14:24:59Z", datetime(2025, 1, 29, 14, 24, 59, tzinfo=UTC)),
            ("2025-01-29t14:24:59z", datetime(2025, 1, 29, 14, 24, 59, tzinfo=UTC)),
            ("2025-01-29 14:24Z", datetime(2025, 1, 29, 14, 24, tzinfo=UTC)),
            ("2025-01-29T14:24:59.5+02:00", datetime(2025, 1, 29, 12, 24, 59, 500000, tzinfo=UTC)),
            ("2025-01-29T14:24:59.1234567-00:30", datetime(2025, 1, 29, 14, 54, 59, 123456, tzinfo=UTC)),
        ],
    )
    def test_it_is_a_version_or_a_time(self, text: str | None, until: Until) -> None:
        assert logs.parse_until(text) == until

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0",
            "00",
            "-1",
            "1.5",
            "v3",
            "9" * 20,
            "2025-01-29",
            "2025-01-29T14:24:59",
            "20250129T142459Z",
            "2025-W05-3T00:00Z",
            "2025-01-29T24:00:00Z",
            "2025-01-29T14:24:60Z",
            "2025-02-30T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "٣",
            "3 ",
            "2025-01-29T14:24:59+24:00",
            "2025-01-29T14:24:59+0100",
            "2025-01-29T14Z",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError):
            logs.parse_until(text)

    def test_a_time_is_inclusive_and_goes_by_when_it_was_recorded(self, log: Path) -> None:
        phases = {}
        for minute in ("12:59:59", "13:00:00", "13:59:59", "14:00:00"):
            _, out, _ = lifecycle("replay", str(log), "--format", "jsonl", "--until", f"2026-01-01T{minute}Z")
            state = json.loads(out.splitlines()[0])
            phases[minute] = (state["version"], state["phase"])
        assert phases == {
            "12:59:59": (1, "in_progress"),
            "13:00:00": (2, "in_progress"),
            "13:59:59": (2, "in_progress"),
            "14:00:00": (3, "ended"),
        }

    def test_a_version_is_that_of_each_batch(self, log: Path) -> None:
        _, out, _ = lifecycle("replay", str(log), "--format", "jsonl", "--until", "2")
        assert [(state["batch_id"], state["version"]) for state in map(json.loads, out.splitlines())] == [
            ("a", 2),
            ("b", 1),
        ]


class TestReplay:
    def test_a_legal_log_is_clean(self, log: Path) -> None:
        status, out, err = lifecycle("replay", str(log), "--profile", "hosted", "--format", "jsonl")
        assert (status, err) == (0, "")
        states = [json.loads(line) for line in out.splitlines()]
        batches = lc.replay(map(wire.decode_record, log.read_bytes().splitlines())).batches
        assert [wire.structure_batch(state["batch"]) for state in states] == list(batches.values())
        assert [state["whole"] for state in states] == [True, True]

    def test_a_stream_without_a_legal_created_has_no_phase_and_no_batch(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(record_lines("a", "ended")[0] + b"\n")
        status, out, err = lifecycle("replay", str(path), "--format", "jsonl")
        assert status == 1
        assert json.loads(out) == {"batch_id": "a", "version": 0, "phase": None, "whole": False, "batch": None}
        assert "L1" in err
        assert lifecycle("replay", str(path))[1].splitlines()[1].split() == ["a", "0", NOTHING, "no", *[NOTHING] * 3]

    def test_its_findings_go_to_stderr_and_the_first_twenty_will_do(self) -> None:
        _, _, err = lifecycle("replay", "night.jsonl", "--profile", "hosted", cwd=GOLDEN)
        *told, last = err.splitlines()
        assert len(told) == 20
        assert told[0].startswith("lifecycle: night.jsonl:1: batch 'msgbatch_01AJwnfRphh7POGhsGPHpBVU' version 1: L2: ")
        count = len((GOLDEN / "audit.jsonl").read_text().splitlines()) - 20
        assert last == f"lifecycle: {count} more findings; `lifecycle audit` lists them all"

    def test_it_goes_on_after_a_refused_line(self, log: Path) -> None:
        whole = lifecycle("replay", str(log))[1]
        log.write_bytes(b"{}\n" + log.read_bytes())
        status, out, err = lifecycle("replay", str(log))
        assert (status, out) == (1, whole)
        assert f"lifecycle: {log}:1: wire: " in err

    def test_advice_alone_does_not_fail(self, tmp_path: Path) -> None:
        event = lc.Ended(NOON + HOUR, lc.RequestCounts(0, 3))
        record = lc.Record("a", 2, event, "a/2", NOON)
        path = tmp_path / "log.jsonl"
        path.write_bytes(record_lines("a", "created")[0] + b"\n" + wire.encode_record(record) + b"\n")
        for name in ("replay", "audit"):
            status, out, err = lifecycle(name, str(path), "--profile", "hosted")
            assert status == 0
            assert "B14" in out + err
            assert lifecycle(name, str(path))[0] == 0

    def test_a_torn_tail_warns_and_does_not_fail(self, log: Path) -> None:
        clean = lifecycle("replay", str(log))
        log.write_bytes(log.read_bytes() + b'{"specversion":"1.0","id":"b/2","sou')
        for name in ("replay", "audit"):
            status, out, err = lifecycle(name, str(log))
            assert status == 0
            assert err.startswith(f"lifecycle: warning: {log}:5: ")
            assert err.count("\n") == 1
            assert name == "audit" or out == clean[1]

    def test_one_batch_can_be_asked_for(self, log: Path) -> None:
        _, out, _ = lifecycle("replay", str(log), "--batch", "b", "--format", "jsonl")
        assert [json.loads(line)["batch_id"] for line in out.splitlines()] == ["b"]

    def test_a_batch_that_is_not_there_is_told(self, log: Path) -> None:
        status, out, err = lifecycle("replay", str(log), "--batch", "c", "--format", "jsonl")
        assert (status, out, err) == (1, "", f"lifecycle: no event of batch 'c' in {log}\n")

    def test_several_files_are_one_log(self, log: Path, tmp_path: Path) -> None:
        lines = log.read_bytes().splitlines(keepends=True)
        halves = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
        halves[0].write_bytes(b"".join(lines[:2]))
        halves[1].write_bytes(b"".join(lines[2:]))
        assert lifecycle("replay", *map(str, halves)) == lifecycle("replay", str(log))
        assert lifecycle("replay", *map(str, halves[::-1]))[0] == 1

    def test_without_streams_json_is_an_empty_array(self, tmp_path: Path) -> None:
        path = tmp_path / "empty"
        path.write_bytes(b"")
        assert lifecycle("replay", str(path), "--format", "json")[1] == "[]\n"


class TestAudit:
    def test_a_legal_log_is_clean(self, log: Path) -> None:
        assert lifecycle("audit", str(log), "--profile", "hosted") == (
            0,
            "4 events of 2 batches (1 in_progress, 1 ended): no findings\n",
            "",
        )
        assert lifecycle("audit", str(log), "--format", "jsonl") == (0, "", "")
        assert json.loads(lifecycle("audit", str(log), "--format", "json")[1]) == {
            "events": 4,
            "streams": 2,
            "broken": 0,
            "phases": {"in_progress": 1, "canceling": 0, "ended": 1, "archived": 0, "deleted": 0},
            "rules": {},
            "findings": [],
            "worst": [],
        }

    def test_contract_counts_only_under_the_hosted_profile(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        created = lc.Created("a", NOON, NOON + 30 * DAY, 3)
        path.write_bytes(wire.encode_record(lc.Record("a", 1, created, "a/1", NOON)) + b"\n")
        assert lifecycle("audit", str(path))[0] == 0
        assert lifecycle("audit", str(path), "--profile", "hosted")[0] == 1

    def test_lines_are_counted_in_each_file(self, tmp_path: Path) -> None:
        paths = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
        for path in paths:
            path.write_bytes(b"\n[]\n")
        _, out, _ = lifecycle("audit", *map(str, paths), "--format", "jsonl")
        assert [(found["file"], found["line"]) for found in map(json.loads, out.splitlines())] == [
            (str(path), 2) for path in paths
        ]

    def test_a_stream_without_a_batch_has_no_phase(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(record_lines("a", "ended")[0] + b"\n")
        _, out, _ = lifecycle("audit", str(path))
        assert out.splitlines()[-1] == "1 event of 1 batch: 1 finding (1 law); 1 batch with a broken law"


class TestHowFarItIs:
    def test_reading_then_sorting_then_judging(self, log: Path) -> None:
        with contextlib.ExitStack() as stack:
            found = records.Input([str(log), str(log)], None, None, stack)
            done = Audit(Findings(found.names, "log"))
            assert found.look("audit") == Look("audit", 0, 2 * log.stat().st_size, "bytes", None)
            for source in found.sources(done):
                assert found.look("audit").title == "audit"
                assert len(list(source.blocks())) == 1
            assert found.look("audit") == Look("audit: sorting", 0, None, "bytes")
            done.events = 3
            assert found.look("audit") == Look("audit: judging", 3, 8, "events")

    def test_events_are_known_to_who_judges_in_one_pass(self, log: Path) -> None:
        with contextlib.ExitStack() as stack:
            found = records.Input([str(log)], None, None, stack)
            found.reducer = Reducer(lc.LAWS, wire.DATA)
            assert list(found.reducer.run(found.for_reducer())) == []
            size = log.stat().st_size
            assert found.look("audit") == Look("audit", size, size, "bytes", 4)


class TestEngines:
    """Whoever groups the records, the report is the same to the byte."""

    WAYS: tuple[list[str], ...] = (
        [],
        ["--engine", "one"],
        ["--engine", "duckdb"],
        ["--memory-limit", "300MB"],
        ["--threads", "1"],
    )

    @pytest.mark.parametrize("form", ["table", "json", "jsonl"])
    def test_from_lines(self, form: str) -> None:
        told = [
            lifecycle("audit", "night.jsonl", "--profile", "hosted", "--format", form, *way, cwd=GOLDEN)
            for way in self.WAYS
        ]
        assert told == [told[0]] * len(self.WAYS)
        assert told[0][0] == 1

    def test_from_parquet_under_any_name(self, tmp_path: Path) -> None:
        lifecycle("convert", "night.jsonl", str(tmp_path / "a.parquet"), "--skip", cwd=GOLDEN)
        (tmp_path / "a.parquet").rename(tmp_path / "night")
        lifecycle("convert", "night", "night.jsonl", cwd=tmp_path)
        lines = lifecycle("audit", "night.jsonl", "--profile", "hosted", "--format", "jsonl", cwd=tmp_path)
        for way in self.WAYS:
            status, out, err = lifecycle(
                "audit", "night", "--profile", "hosted", "--format", "jsonl", *way, cwd=tmp_path
            )
            assert (status, out.replace('"file":"night"', '"file":"night.jsonl"'), err) == lines

    def test_from_a_store(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        records = [
            lc.Record(name, 1, lc.Created(name, NOON, NOON + 2 * DAY, 3), None, NOON) for name in ("b", "a", "'", "é")
        ]
        for number, record in enumerate(records):
            (tmp_path / f"{number}.jsonl").write_bytes(wire.encode_record(record) + b"\n")
        lifecycle("store", "import", *(str(tmp_path / f"{number}.jsonl") for number in range(4)), "--to", url)
        told = [
            lifecycle("audit", url, "--profile", "hosted", "--format", "json", *way)
            for way in (*self.WAYS, ["--order", "version"])
        ]
        assert told == [told[0]] * 6
        found = json.loads(told[0][1])["findings"]
        assert [(each["batch_id"], each["file"], each["line"]) for each in found] == [
            ("'", url, 3),
            ("a", url, 2),
            ("b", url, 1),
            ("é", url, 4),
        ]

    def test_by_version_the_order_of_the_files_is_no_matter(self, tmp_path: Path) -> None:
        lines = record_lines("a", "created", "counts_updated", "ended", "archived")
        for name, number in (("1", 2), ("2", 0), ("3", 3), ("4", 1)):
            (tmp_path / name).write_bytes(lines[number] + b"\n")
        clean = (0, "4 events of 1 batch (1 archived): no findings\n", "")
        assert lifecycle("audit", "1", "2", "3", "4", "--order", "version", cwd=tmp_path) == clean
        assert lifecycle("audit", "4", "3", "1", "2", "--order", "version", cwd=tmp_path) == clean
        assert lifecycle("audit", "1", "2", "3", "4", cwd=tmp_path)[0] == 1

    def test_a_folder_and_a_quoted_pattern_are_their_files(self, tmp_path: Path) -> None:
        for name, tag in (("b", "created"), ("a", "created")):
            (tmp_path / "log.jsonl").write_bytes(record_lines(name, tag)[0] + b"\n")
            lifecycle("convert", "log.jsonl", f"{name}.parquet", cwd=tmp_path)
        told = "2 events of 2 batches (2 in_progress): no findings\n"
        assert lifecycle("audit", ".", cwd=tmp_path) == (0, told, "")
        assert lifecycle("audit", "*.parquet", cwd=tmp_path) == (0, told, "")
        states = lifecycle("replay", "*.parquet", "--format", "jsonl", cwd=tmp_path)[1].splitlines()
        assert [json.loads(state)["batch_id"] for state in states] == ["a", "b"]

    def test_parquet_is_read_wherever_lines_are(self, log: Path, tmp_path: Path) -> None:
        path = str(tmp_path / "log.parquet")
        lifecycle("convert", str(log), path)
        assert lifecycle("replay", path) == lifecycle("replay", str(log))
        for more in (["--until", "2"], ["--until", "2026-01-01T13:00:00Z"], ["--batch", "a"]):
            assert lifecycle("replay", path, *more) == lifecycle("replay", str(log), *more)
        for more in ([], ["--until", "2"]):
            assert lifecycle("show", path, "a", *more) == lifecycle("show", str(log), "a", *more)

    @pytest.mark.parametrize("way", [["--order", "version"], ["--memory-limit", "1GB"], ["--threads", "2"]])
    def test_what_only_duckdb_can_do_one_pass_refuses(self, way: list[str], log: Path) -> None:
        status, _, err = lifecycle("audit", str(log), "--engine", "one", *way)
        option = "--order version" if way[0] == "--order" else way[0]
        others = " or spark" if way[0] == "--order" else ""
        assert (status, err.splitlines()[0]) == (2, f"lifecycle: {option} needs the engine duckdb{others}")

    @pytest.mark.parametrize(
        "way", [["--memory-limit", "much"], ["--threads", "0"], ["--order", "time"], ["--engine", "sparks"]]
    )
    def test_a_mistake_is_named(self, way: list[str], log: Path) -> None:
        assert lifecycle("audit", str(log), *way)[0] == 2

    @pytest.mark.parametrize(
        ("way", "said"),
        [
            (["--master", "yarn"], "--master needs the engine spark"),
            (["--partitions", "2", "--engine", "duckdb"], "--partitions needs the engine spark"),
            (["--threads", "2", "--engine", "spark"], "--threads needs the engine duckdb"),
            (["--memory-limit", "1GB", "--engine", "spark"], "--memory-limit needs the engine duckdb"),
            (
                ["--html", "page.html", "--engine", "spark"],
                "--html: Spark's workers see no log as a whole; the engines one and duckdb write the page",
            ),
        ],
    )
    def test_what_is_spark_s_and_what_is_not(self, way: list[str], said: str, log: Path) -> None:
        status, _, err = lifecycle("audit", str(log), *way)
        assert (status, err.splitlines()[0]) == (2, f"lifecycle: {said}")

    @pytest.mark.parametrize(
        "way",
        [["--engine", "duckdb"], ["--engine", "spark"], ["--order", "version"], ["--html", "page.html"]],
    )
    def test_jobs_are_for_one_pass_without_a_page(self, way: list[str], log: Path) -> None:
        status, _, err = lifecycle("audit", str(log), "--jobs", "0", *way, cwd=log.parent)
        assert (status, err.splitlines()[0]) == (2, "lifecycle: --jobs is for one pass that writes no page")
        assert not (log.parent / "page.html").exists()

    def test_spark_reads_files_alone(self, log: Path) -> None:
        for path in ("-", "sqlite:///batches.db"):
            lifecycle("store", "import", str(log), "--to", "sqlite:///batches.db", cwd=log.parent)
            status, _, err = lifecycle("audit", path, "--engine", "spark", "--order", "version", cwd=log.parent)
            assert (status, err.splitlines()[0].partition(",")[0]) == (2, "lifecycle: the engine spark reads files")

    def test_too_little_memory_is_told(self, log: Path) -> None:
        status, out, err = lifecycle("audit", str(log), "--memory-limit", "1KB")
        assert (status, out) == (3, "")
        assert err.startswith("lifecycle: DuckDB cannot sort the log with a limit of 1KB: ")

    def test_a_torn_tail_warns_and_does_not_fail(self, log: Path) -> None:
        log.write_bytes(log.read_bytes() + b"{")
        told = [lifecycle("audit", str(log), *way) for way in self.WAYS]
        assert told == [told[0]] * len(self.WAYS)
        assert (told[0][0], "has no end" in told[0][2]) == (0, True)


class TestShow:
    def test_a_life_is_told_event_by_event(self, log: Path) -> None:
        status, out, err = lifecycle("show", str(log), "a")
        assert (status, err) == (0, "")
        assert out.splitlines() == [
            "a",
            "",
            "v1  2026-01-01 12:00:00.000000  created",
            "    allowed: created",
            "    id: a",
            "    processing_status: in_progress",
            "    request_counts: 3 processing",
            "    created_at: 2026-01-01 12:00:00.000000",
            "    expires_at: 2026-01-02 12:00:00.000000",
            "",
            "v2  2026-01-01 13:00:00.000000  +1h 0m  counts_updated",
            "    allowed: counts_updated, cancel_initiated, ended",
            "    nothing changed",
            "",
            "v3  2026-01-01 14:00:00.000000  +1h 0m  ended",
            "    allowed: counts_updated, cancel_initiated, ended",
            "    processing_status: in_progress → ended",
            "    request_counts: 3 processing → 2 succeeded, 1 errored",
            f"    ended_at: {NOTHING} → 2026-01-01 14:00:00.000000",
            f"    results_url: {NOTHING} → https://api.example/results",
            "",
            "3 events: the batch is ended; no findings",
        ]

    def test_it_stops_where_it_is_told_to(self, log: Path) -> None:
        _, out, _ = lifecycle("show", str(log), "a", "--until", "2")
        assert out.splitlines()[-1] == "2 events: the batch is in_progress; no findings"

    def test_findings_stand_in_place_and_what_is_skipped_is_said(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"\n".join(record_lines("a", "created", "archived", "ended", "archived", "deleted")) + b"\n")
        status, out, _ = lifecycle("show", str(path), "a")
        blocks = out.split("\n\n")
        assert status == 1
        assert [("T1" in block, "left out" in block) for block in blocks[1:-1]] == [
            (False, False),
            (True, True),
            (False, False),
            (False, False),
            (False, False),
        ]
        assert f"at {path}:2" in blocks[2]
        assert blocks[-1] == "5 events: the batch is deleted; 1 finding\n"
        assert "allowed: deleted" in blocks[-2]

    def test_after_the_end_nothing_is_allowed(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"\n".join(record_lines("a", "created", "ended", "deleted", "deleted")) + b"\n")
        _, out, _ = lifecycle("show", str(path), "a")
        assert "allowed: nothing" in out

    def test_a_stream_of_which_no_batch_comes(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(record_lines("a", "ended")[0] + b"\n")
        status, out, _ = lifecycle("show", str(path), "a")
        assert status == 1
        assert out.splitlines()[-1] == "1 event: no batch has come of it; 1 finding"

    def test_several_logs_are_one(self, log: Path, tmp_path: Path) -> None:
        more = tmp_path / "more.jsonl"
        more.write_bytes(record_lines("b", "created", "ended")[1] + b"\n")
        assert (
            lifecycle("show", str(log), str(more), "b")[1].splitlines()[-1]
            == "2 events: the batch is ended; no findings"
        )

    @pytest.mark.parametrize(("more", "said"), [([], ""), (["--until", "2020-01-01T00:00:00Z"], " so early")])
    def test_a_batch_that_is_not_there_is_told(self, log: Path, more: list[str], said: str) -> None:
        batch_id = "a" if more else "c"
        status, out, err = lifecycle("show", str(log), batch_id, *more)
        assert (status, out, err) == (1, "", f"lifecycle: no event of batch {batch_id!r} in {log}{said}\n")

    def test_a_torn_tail_warns(self, log: Path) -> None:
        log.write_bytes(log.read_bytes() + b"{")
        status, _, err = lifecycle("show", str(log), "a")
        assert status == 0
        assert err.startswith(f"lifecycle: warning: {log}:5: ")
