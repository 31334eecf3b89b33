"""The files of examples/: they are what build.py writes, and hold what examples/README.md says of them."""

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import log, wire

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = ("recorded.jsonl", "recorded_snapshots.jsonl", "broken.jsonl")

Found = tuple[int | None, str, str | None]


def documented() -> tuple[list[Found], list[Found]]:
    """Line, rule and batch of each documented finding: those under LAWS, and those that HOSTED adds."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| line \| rule \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    found: list[list[Found]] = [
        [
            (int(line), rule, batch.strip("`") if batch.startswith("`") else None)
            for line, rule, batch in re.findall(r"^\| (\d+) \| (\w+) \| (\S+) \|", rows, flags=re.MULTILINE)
        ]
        for rows in tables
    ]
    laws, hosted = found
    return laws, hosted


def findings(profile: lc.Profile) -> list[Found]:
    found = lc.audit(log.read(EXAMPLES / "broken.jsonl"), profile=profile)
    return [(finding.line, finding.rule.id, finding.batch_id) for finding in found]


@pytest.mark.parametrize("name", FILES)
def test_building_the_examples_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "build.py"))["write"](tmp_path)
    assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes()


def test_nothing_is_wrong_with_the_recorded_log() -> None:
    report = lc.replay(log.read(EXAMPLES / "recorded.jsonl"), profile=lc.HOSTED)
    assert report.findings == ()
    assert (report.streams, report.events) == (20, 38)
    assert Counter(batch.phase for batch in report.batches.values()) == {"ended": 14, "canceling": 3, "in_progress": 3}


def test_the_recorded_log_leads_to_the_newest_recorded_snapshots() -> None:
    newest = {}
    for line in (EXAMPLES / "recorded_snapshots.jsonl").read_bytes().splitlines():
        batch = wire.decode_batch(line)
        newest[batch.id] = batch
    assert lc.replay(log.read(EXAMPLES / "recorded.jsonl")).batches == newest


def test_the_recorded_snapshots_are_the_recorded_bytes() -> None:
    """They were written by the library; the standard library's json makes the same of the same rows."""
    bodies = runpy.run_path(str(EXAMPLES.parent / "tests" / "recorded.py"))["bodies"]()
    assert (EXAMPLES / "recorded_snapshots.jsonl").read_bytes() == b"".join(body + b"\n" for body in bodies)


def test_nothing_is_wrong_with_the_recorded_snapshots() -> None:
    lines = (EXAMPLES / "recorded_snapshots.jsonl").read_bytes().splitlines()
    assert [lc.check(wire.decode_batch(line), profile=lc.HOSTED) for line in lines] == [()] * 26
    assert len(set(lines)) == 26
    assert sum(b'"archived_at"' not in line for line in lines) == 4


def test_a_recorded_snapshot_survives_reading_and_writing() -> None:
    for line in (EXAMPLES / "recorded_snapshots.jsonl").read_bytes().splitlines():
        written = wire.encode_batch(wire.decode_batch(line))
        if b'"archived_at"' not in line:
            written = written.replace(b'"archived_at":null,', b"")
        assert written == line


def test_the_broken_log_has_exactly_the_documented_findings() -> None:
    laws, _ = documented()
    assert findings(lc.LAWS) == laws


def test_the_hosted_profile_adds_exactly_the_documented_findings() -> None:
    laws, more = documented()
    assert findings(lc.HOSTED) == sorted(laws + more, key=lambda found: found[0] or 0)


def test_the_broken_log_ends_in_a_torn_tail() -> None:
    torn: list[int | None] = []
    list(log.read(EXAMPLES / "broken.jsonl", on_error=lambda error: torn.append(error.line) if error.torn else None))
    assert torn == [29]
