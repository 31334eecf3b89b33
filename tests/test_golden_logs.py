"""
The stored format for ever: what each release has written is read as that release read it.

``golden/README.md`` says what the files are.  An expectation is held to the log by three readers: the library; the
standard library's json, for the records; and the oracle, which knows the rules without the library, for the findings
and the batches.  ``python -m tests.test_golden_logs`` adds what a new log lacks, and changes nothing.
"""

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import attrs
import pytest

import lifecycle as lc
from lifecycle import log
from tests import oracle
from tests.cli.running import lifecycle

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
GOLDEN = Path(__file__).with_name("golden")
SUMS = "SHA256SUMS"
EXPECTED = ".expected.json"
PROFILES = {"laws": lc.LAWS, "hosted": lc.HOSTED}
ORACLES = {"laws": "LAWS", "hosted": "HOSTED"}


def files(folder: Path) -> list[Path]:
    """All that releases have left: the files in the folders of a golden folder."""
    return sorted(path for release in folder.iterdir() if release.is_dir() for path in release.rglob("*"))


def logs(folder: Path) -> list[Path]:
    return [path for path in files(folder) if not path.name.endswith(EXPECTED)]


def expectation(path: Path) -> Path:
    return path.with_name(path.name.split(".jsonl")[0] + EXPECTED)


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


LOGS = logs(GOLDEN)
each_log = pytest.mark.parametrize("path", LOGS, ids=name_of)
each_profile = pytest.mark.parametrize("profile", PROFILES)

# ---------------------------------------------------------------------------------------------------------- checksums


def sums(folder: Path) -> dict[str, str]:
    """The checksum of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)
    }


def said(folder: Path) -> dict[str, str]:
    """The checksums that the manifest has, in the form of ``sha256sum``."""
    lines = (folder / SUMS).read_text().splitlines()
    return {name: found for found, name in (line.split("  ", 1) for line in lines)}


def strayed(folder: Path) -> set[str]:
    """The files that were changed, taken away, or added without being noted down."""
    return {name for name, _ in sums(folder).items() ^ said(folder).items()}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN, tmp_path / "golden")


class TestNothingIsEverEdited:
    def test_each_file_is_as_it_was_written(self) -> None:
        assert strayed(GOLDEN) == set()

    def test_each_log_has_its_expectation_and_each_expectation_its_log(self) -> None:
        assert files(GOLDEN) == sorted([*LOGS, *map(expectation, LOGS)])
        assert len(LOGS) == len(set(map(expectation, LOGS))) >= 6

    @pytest.mark.parametrize("name", [path.relative_to(GOLDEN).as_posix() for path in files(GOLDEN)])
    def test_a_changed_byte_would_be_found(self, copied: Path, name: str) -> None:
        path = copied / name
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert strayed(copied) == {name}
        path.write_bytes(whole + b"\n")
        assert strayed(copied) == {name}
        path.write_bytes(whole)
        assert strayed(copied) == set()

    def test_a_file_that_was_added_or_taken_away_would_be_found(self, copied: Path) -> None:
        (copied / "0.1.0" / "more.jsonl").touch()
        (copied / "0.1.0" / "lives.jsonl").unlink()
        assert strayed(copied) == {"0.1.0/more.jsonl", "0.1.0/lives.jsonl"}

    def test_adding_writes_what_is_missing_and_nothing_else(self, copied: Path) -> None:
        before = sums(copied)
        release = copied / "0.2.0"
        release.mkdir()
        shutil.copy(copied / "0.1.0" / "lives.jsonl", release / "more.jsonl")
        add(copied)
        assert strayed(copied) == set()
        new = {name: found for name, found in sums(copied).items() if name not in before}
        assert sorted(new) == ["0.2.0/more.expected.json", "0.2.0/more.jsonl"]
        assert sums(copied) == before | new
        assert new["0.2.0/more.expected.json"] == before["0.1.0/lives.expected.json"]

    def test_adding_leaves_a_changed_file_as_wrong_as_it_is(self, copied: Path) -> None:
        (copied / "0.1.0" / "lives.jsonl").write_bytes(b"")
        add(copied)
        assert strayed(copied) == {"0.1.0/lives.jsonl"}


# ------------------------------------------------------------------------------------------------------ what is read


def plain(value: object) -> Any:
    """A value as JSON, told apart from how the wire writes it."""
    match value:
        case datetime():
            return value.isoformat(timespec="microseconds")
        case lc.RequestCounts():
            return {
                name: getattr(value, name) for name in ("processing", "succeeded", "errored", "canceled", "expired")
            }
        case _:
            return value


def fields(value: attrs.AttrsInstance, *but: str) -> dict[str, Any]:
    return {
        field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value)) if field.name not in but
    }


def records_of(path: Path) -> list[lc.Record]:
    """The records of a log, refused lines left out."""
    refused: list[lc.LogError] = []
    return list(log.read(path, on_error=refused.append))


def record_of(record: lc.Record) -> dict[str, Any]:
    assert record.place is not None
    said = fields(record, "event", "place")
    return {"line": record.place[1], **said, "event": record.event.tag, "data": fields(record.event)}


def finding_of(finding: lc.Finding) -> dict[str, Any]:
    return {
        "line": finding.line,
        "rule": finding.rule.id,
        "tier": finding.rule.tier,
        "batch_id": finding.batch_id,
        "version": finding.version,
        "event": finding.event,
        "phase": finding.phase,
    }


def read(path: Path) -> dict[str, Any]:
    """All that is read in a log."""
    torn: list[int | None] = []
    records = list(log.read(path, on_error=lambda error: torn.append(error.line) if error.torn else None))
    reports = {name: lc.replay(log.read(path), profile=PROFILES[name]) for name in PROFILES}
    laws, hosted = reports.values()
    assert (laws.batches, laws.versions, laws.broken) == (hosted.batches, hosted.versions, hosted.broken)
    return {
        "rules": [*lc.RULES, "wire"],
        "torn": torn,
        "events": laws.events,
        "streams": laws.streams,
        "broken": sorted(laws.broken),
        "versions": dict(laws.versions),
        "laws": list(map(finding_of, laws.findings)),
        "hosted": list(map(finding_of, hosted.findings)),
        "batches": {name: {"phase": batch.phase, **fields(batch, "extra")} for name, batch in laws.batches.items()},
        "records": list(map(record_of, records)),
    }


def agrees(found: Any, expected: Any) -> bool:
    """Whether all that is *expected* was found. An object may have keys that were not known then."""
    match found, expected:
        case dict(), dict():
            return all(key in found and agrees(found[key], expected[key]) for key in expected)
        case list(), list():
            return len(found) == len(expected) and all(map(agrees, found, expected))
        case _:
            return bool(found == expected) and isinstance(found, bool) == isinstance(expected, bool)


def known(found: Mapping[str, Any], rules: Iterable[str]) -> dict[str, Any]:
    """What was *found*, but for findings of rules that nobody knew then."""
    kept = {name: [finding for finding in found[name] if finding["rule"] in rules] for name in PROFILES}
    return {**found, **kept, "rules": list(rules)}


def expected_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(expectation(path).read_text())
    return found


def add(folder: Path) -> None:
    """Write the expectations and the checksums that new logs lack. What is there stays as it is."""
    for path in logs(folder):
        if not expectation(path).exists():
            found = read(path)
            rows = [f" {json.dumps(key)}: {_rows(value)}" for key, value in found.items()]
            expectation(path).write_text("{\n" + ",\n".join(rows) + "\n}\n")
    noted = said(folder) if (folder / SUMS).exists() else {}
    lines = [f"{found}  {name}\n" for name, found in sorted((sums(folder) | noted).items())]
    (folder / SUMS).write_text("".join(lines))


def _rows(value: object) -> str:
    """JSON with a line for each element, so that a person can read it beside the log."""
    match value:
        case [{}, *_]:
            return "[\n" + ",\n".join(f"  {json.dumps(element)}" for element in value) + "\n ]"
        case {} if value:
            return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value[key])}" for key in value) + "\n }"
        case _:
            return json.dumps(value)


class TestAllLogs:
    """Between them they have whatever a log can have: else they would prove little."""

    EXPECTED = tuple(map(expected_of, LOGS))

    def test_have_all_arrows_and_all_phases(self) -> None:
        lives = [
            [record["event"] for record in expected["records"] if record["batch_id"] == name]
            for expected in self.EXPECTED
            for name in expected["batches"]
            if name not in expected["broken"]
        ]
        walked: set[tuple[lc.Phase | None, str]] = set()
        for life in lives:
            phase: lc.Phase | None = None
            for tag in life:
                walked.add((phase, tag))
                phase = lc.TRANSITIONS.get((phase, tag), phase)  # a repeat leads nowhere
        assert walked >= set(lc.TRANSITIONS)
        phases = {batch["phase"] for expected in self.EXPECTED for batch in expected["batches"].values()}
        assert phases == set(lc.Phase)

    def test_break_every_rule_that_a_log_can_break(self) -> None:
        found = {finding["rule"] for expected in self.EXPECTED for finding in expected["hosted"]}
        cannot = {"B1", "B4", "B6", "B8", "B10", "B16", "T2", "T4", "T6", "T7"}
        assert found == set(lc.RULES) - cannot | {"wire"}

    def test_are_with_and_without_checksum_compressed_and_not_whole_and_torn(self) -> None:
        lines = [line for path in LOGS for line in numbered(path).values() if line.strip()]
        assert {b',"crc32":"' in line[-20:] for line in lines} == {True, False}
        assert {path.suffix for path in LOGS} == {".jsonl", ".gz"}
        assert {bool(expected["torn"]) for expected in self.EXPECTED} == {True, False}

    def test_have_odd_texts_times_and_numbers(self) -> None:
        records = [record for expected in self.EXPECTED for record in expected["records"]]
        ids = {record["batch_id"] for record in records}
        assert {"", ".", "7"} < ids
        assert any("%" in name and "/" in name for name in ids)
        assert any(not name.isascii() for name in ids)
        assert any(not name.isprintable() for name in ids)
        times = {record["recorded_at"] for record in records}
        assert {time[:4] for time in times} >= {"0001", "2026", "9999"}
        assert any(".000000+" in time for time in times)
        assert {record["data"].get("request_count") for record in records} >= {0, 100_000, 2**63 - 1}
        urls = {record["data"]["results_url"] for record in records if "results_url" in record["data"]}
        assert None in urls
        assert any(url is not None and url.startswith("http://localhost") for url in urls)


def in_order_of_lines(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A report is sorted by batch, what is expected by line."""
    return sorted(findings, key=lambda finding: (finding["line"], finding["rule"]))


class TestEachLog:
    @each_log
    def test_is_read_as_its_release_read_it(self, path: Path) -> None:
        expected = expected_of(path)
        assert agrees(known(read(path), expected["rules"]), expected)

    @each_log
    @each_profile
    def test_is_judged_alike_as_records(self, path: Path, profile: str) -> None:
        """The lines of a file take another way through the library than records do."""
        expected = expected_of(path)
        records = records_of(path)
        report = lc.replay(records, profile=PROFILES[profile])
        found = [finding for finding in map(finding_of, report.findings) if finding["rule"] in expected["rules"]]
        assert agrees(found, [finding for finding in expected[profile] if finding["rule"] != "wire"])
        batches = {name: {"phase": batch.phase, **fields(batch)} for name, batch in report.batches.items()}
        assert agrees(batches, expected["batches"])
        assert (report.events, report.streams) == (expected["events"], expected["streams"])

    @each_log
    def test_is_folded_stream_by_stream_where_nothing_is_wrong(self, path: Path) -> None:
        expected = expected_of(path)
        records = records_of(path)
        for name, batch in expected["batches"].items():
            if name not in expected["broken"]:
                by_version = {record.version: record.event for record in records if record.batch_id == name}
                folded = lc.fold(by_version[version] for version in sorted(by_version))
                assert agrees({"phase": folded.phase, **fields(folded)}, batch)

    @each_log
    @each_profile
    def test_is_audited_alike_by_the_command_line(self, path: Path, profile: str) -> None:
        expected = expected_of(path)
        status, out, _ = lifecycle("audit", str(path), "--format", "json", "--profile", profile)
        report = json.loads(out)
        found = [finding for finding in report["findings"] if finding["rule"] in expected["rules"]]
        assert agrees(in_order_of_lines(found), in_order_of_lines(expected[profile]))
        totals = (expected["events"], expected["streams"], len(expected["broken"]))
        assert (report["events"], report["streams"], report["broken"]) == totals
        assert status == any(finding["tier"] != "advice" for finding in expected[profile])

    @each_log
    def test_says_to_the_standard_library_what_it_says_to_us(self, path: Path) -> None:
        lines = numbered(path)
        for record in expected_of(path)["records"]:
            line = lines[record["line"]]
            value = json.loads(line)
            tag = value["type"].removeprefix("lifecycle.message_batch.").removesuffix(".v1")
            named = [value["subject"], int(value["sequence"]), value["id"], tag]
            assert named == [record[key] for key in ("batch_id", "version", "event_id", "event")]
            data = {key: usual(inner) for key, inner in value["data"].items()}
            assert {"results_url": None, **data} == {"results_url": None, **record["data"]}
            assert usual(value["time"]) == record["recorded_at"]
            if "crc32" in value:
                assert value["crc32"] == f"{crc32(line[:-20] + b'}'):08x}"

    @each_log
    @each_profile
    def test_is_judged_by_the_oracle_as_by_us(self, path: Path, profile: str) -> None:
        """Which rules are broken where, and what comes of the batches, by somebody who has the rules from the page."""
        expected = expected_of(path)
        records = [to_oracle(record) for record in expected["records"]]
        findings, states = oracle.reduce(records, oracle.PROFILES[ORACLES[profile]])
        assert [(expected["records"][index]["line"], rule) for index, rule in findings] == [
            (finding["line"], finding["rule"]) for finding in expected[profile] if finding["rule"] != "wire"
        ]
        assert states == {name: to_state(batch) for name, batch in expected["batches"].items()}

    @each_log
    def test_would_be_noticed_to_be_read_otherwise(self, path: Path) -> None:
        """The control: an expectation with anything in it changed is not met."""
        expected = expected_of(path)
        found = known(read(path), expected["rules"])
        changed = list(altered(expected))
        assert len(changed) > 50
        assert [other for other in changed if agrees(found, other)] == []


def numbered(path: Path) -> dict[int, bytes]:
    """The lines of a log by their numbers, read without the library."""
    whole = path.read_bytes()
    text = gzip.decompress(whole) if path.suffix == ".gz" else whole
    return dict(enumerate(text.split(b"\n"), 1))


def usual(value: Any) -> Any:
    """A time as an expectation has it; anything else as it is."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    date, clock, fraction, offset = match.groups()
    time = datetime.fromisoformat(f"{date}T{clock}{offset.upper().replace('Z', '+00:00')}").astimezone(UTC)
    return plain(time.replace(microsecond=int(f"{fraction or '':0<6}"[:6])))


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def altered(value: Any) -> Iterator[Any]:
    """*value* with one thing changed, for each thing in it."""
    match value:
        case dict():
            yield from ({**value, key: other} for key, inner in value.items() for other in altered(inner))
            yield {**value, "a key that nobody found": None}
        case list():
            for index, inner in enumerate(value):
                yield from ([*value[:index], other, *value[index + 1 :]] for other in altered(inner))
            yield [*value, None]
        case str():
            yield f"{value}x"
        case bool():
            yield not value
        case int():
            yield value + 1
        case None:
            yield "x"


# -------------------------------------------------------------------------------------------------- for the oracle


def micros(time: str | None) -> int:
    return 0 if time is None else (datetime.fromisoformat(time) - EPOCH) // timedelta(microseconds=1)


def maybe(time: str | None) -> int | None:
    return None if time is None else micros(time)


def to_counts(counts: dict[str, int]) -> oracle.Counts:
    return counts["processing"], counts["succeeded"], counts["errored"], counts["canceled"], counts["expired"]


def to_oracle(record: dict[str, Any]) -> oracle.Record:
    data = record["data"]
    match record["event"]:
        case "created":
            times = micros(data["created_at"]), micros(data["expires_at"])
            event = oracle.created(data["id"], *times, data["request_count"])
        case "counts_updated":
            event = oracle.counts_updated(to_counts(data["request_counts"]))
        case "cancel_initiated":
            event = oracle.cancel_initiated(micros(data["cancel_initiated_at"]))
        case "ended":
            event = oracle.ended(micros(data["ended_at"]), to_counts(data["request_counts"]), data["results_url"])
        case "archived":
            event = oracle.archived(micros(data["archived_at"]), data["results_url"])
        case _:
            event = oracle.deleted(micros(data["deleted_at"]))
    return oracle.Record(record["batch_id"], record["version"], event, record["event_id"])


def to_state(batch: dict[str, Any]) -> oracle.State:
    return oracle.State(
        id=batch["id"],
        status=batch["processing_status"],
        counts=to_counts(batch["request_counts"]),
        created=micros(batch["created_at"]),
        expires=micros(batch["expires_at"]),
        ended=maybe(batch["ended_at"]),
        archived=maybe(batch["archived_at"]),
        cancel=maybe(batch["cancel_initiated_at"]),
        url=batch["results_url"],
        deleted=maybe(batch["deleted_at"]),
    )


if __name__ == "__main__":
    add(GOLDEN)
