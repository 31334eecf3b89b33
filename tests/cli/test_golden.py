"""
What each command writes, to the byte, in each of its formats.

`golden/night.jsonl` is itself the golden output of `generate`; it breaks every rule that a log can break, and some
streams break several.  After a wanted change ``python -m tests.cli.test_golden`` writes the files anew: read the
difference before you keep it.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

import lifecycle as lc
from tests.cli.running import GOLDEN, lifecycle

LABELS = "night.labels"
TALK = {"night.jsonl": LABELS, "observe.jsonl": "observe.err", "outcome.txt": "outcome.err"}
"""What some of them say on stderr."""
MANY = "msgbatch_01UTW0Kh5cVECzxuCazuwLyW"
"""The batch of night.jsonl that breaks most rules."""

CASES: dict[str, list[str]] = {
    "night.jsonl": ["generate", "--events", "150", "--seed", "8339", "--faults", "0.35", "--interleave", "5"],
    "replay.txt": ["replay", "night.jsonl", "--profile", "hosted"],
    "replay.json": ["replay", "night.jsonl", "--format", "json"],
    "replay.jsonl": ["replay", "night.jsonl", "--format", "jsonl", "--until", "2025-01-10T12:00:00Z"],
    "replay-one.jsonl": ["replay", "night.jsonl", "--format", "jsonl", "--batch", MANY, "--until", "3"],
    "audit.txt": ["audit", "night.jsonl", "--profile", "hosted"],
    "audit.json": ["audit", "night.jsonl", "--profile", "hosted", "--format", "json"],
    "audit.jsonl": ["audit", "night.jsonl", "--profile", "hosted", "--format", "jsonl"],
    "audit-laws.txt": ["audit", "night.jsonl"],
    "check.txt": ["check", "snapshots.jsonl", "page.json", "--profile", "hosted"],
    "check.json": ["check", "snapshots.jsonl", "page.json", "--profile", "hosted", "--format", "json"],
    "check.jsonl": ["check", "snapshots.jsonl", "page.json", "--profile", "hosted", "--format", "jsonl"],
    "observe.jsonl": ["observe", "polls.jsonl", "--profile", "hosted"],
    "diff-later.txt": ["diff", "known.json", "later.json"],
    "diff-later.json": ["diff", "known.json", "later.json", "--format", "json"],
    "diff-conflict.txt": ["diff", "later.json", "conflict.json"],
    "diff-conflict.jsonl": ["diff", "later.json", "conflict.json", "--format", "jsonl"],
    "outcome.txt": ["outcome", "polls.jsonl"],
    "outcome.json": ["outcome", "later.json", "snapshots.jsonl", "--format", "json"],
    "outcome.jsonl": ["outcome", "later.json", "snapshots.jsonl", "--format", "jsonl"],
    "reconcile.txt": ["reconcile", "batch.json", "results.jsonl", "--submitted", "requests.jsonl"],
    "reconcile.json": ["reconcile", "batch.json", "results.jsonl", "--format", "json"],
    "reconcile.jsonl": [
        *("reconcile", "batch.json", "results.jsonl", "--submitted", "requests.jsonl"),
        *("--format", "jsonl"),
    ],
    "show.txt": ["show", "night.jsonl", MANY, "--profile", "hosted"],
    "machine.txt": ["machine"],
    "machine.json": ["machine", "--format", "json"],
    "machine.mmd": ["machine", "--format", "mermaid"],
    "schema.txt": ["schema"],
    "explain-B7.txt": ["explain", "B7"],
    "explain-T1.txt": ["explain", "t1"],
    "explain-T5.txt": ["explain", "T5"],
    "explain-L4.txt": ["explain", "L4"],
    "explain-wire.txt": ["explain", "wire"],
    "explain-ended.txt": ["explain", "ended"],
    "explain-canceling.txt": ["explain", "canceling"],
}

FINDINGS = {"replay", "audit", "check", "show", "observe", "outcome", "reconcile"}


@pytest.mark.parametrize("name", CASES)
def test_a_command_writes_what_it_wrote_before(name: str) -> None:
    arguments = CASES[name]
    status, out, err = lifecycle(*arguments, cwd=GOLDEN)
    assert out == (GOLDEN / name).read_text(encoding="utf-8")
    assert status == (1 if arguments[0] in FINDINGS or "conflict" in name else 0)
    if name in TALK:
        assert err == (GOLDEN / TALK[name]).read_text(encoding="utf-8")
    elif arguments[0] not in {"replay", "show", "outcome"}:
        assert err == ""


def test_the_golden_log_breaks_every_rule_that_a_log_can_break() -> None:
    labels = [line.split() for line in (GOLDEN / LABELS).read_text().splitlines()]
    cannot = {"B1", "B4", "B6", "B8", "B10", "B16", "T2", "T4", "T6", "T7"}
    assert {rule for _, _, rule, _, _ in labels} == set(lc.RULES) - cannot | {"wire"}
    assert max(Counter(batch for *_, batch, _ in labels).values()) >= 5


def test_an_audit_finds_exactly_what_the_golden_log_is_labelled_with() -> None:
    labels = [line.split() for line in (GOLDEN / LABELS).read_text().splitlines()]
    findings = [json.loads(line) for line in (GOLDEN / "audit.jsonl").read_text().splitlines()]
    expected = [
        ("night.jsonl", int(line[:-1]), rule, *((None, None) if rule == "wire" else (batch, int(version))))
        for _, line, rule, batch, version in labels
    ]
    keys = ("file", "line", "rule", "batch_id", "version")
    assert sorted([tuple(finding[key] for key in keys) for finding in findings], key=repr) == sorted(expected, key=repr)


def test_the_findings_of_an_audit_are_sorted_by_batch_version_and_rule() -> None:
    findings = [json.loads(line) for line in (GOLDEN / "audit.jsonl").read_text().splitlines()]
    rules = ["wire", *lc.RULES]
    places = [
        (found["batch_id"] or "", found["version"] or 0, rules.index(found["rule"]), found["line"])
        for found in findings
    ]
    assert places == sorted(places)


def test_the_formats_of_an_audit_tell_the_same() -> None:
    lines = [json.loads(line) for line in (GOLDEN / "audit.jsonl").read_text().splitlines()]
    whole = json.loads((GOLDEN / "audit.json").read_text())
    assert list(whole) == ["events", "streams", "broken", "phases", "rules", "findings", "worst"]
    assert whole["findings"] == lines
    assert whole["rules"] == Counter(line["rule"] for line in lines)
    batches = {line["batch_id"] for line in lines} - {None}
    by_batch = {name: Counter(line["rule"] for line in lines if line["batch_id"] == name) for name in batches}
    ranked = sorted(by_batch.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    assert [(one["batch_id"], one["rules"]) for one in whole["worst"]] == ranked[:10]
    assert whole["broken"] == len({line["batch_id"] for line in lines if line["tier"] == "law"} - {None})
    table, rules, worst, _ = (GOLDEN / "audit.txt").read_text().split("\n\n")
    found = [row.split()[:2] for row in table.splitlines()[1:]]
    assert found == [[f"{line['file']}:{line['line']}", line["rule"]] for line in lines]
    assert {row.split()[0]: int(row.split()[2]) for row in rules.splitlines()[1:]} == whole["rules"]
    named = [(row.split()[0], int(row.split()[1])) for row in worst.splitlines()[1:]]
    assert named == [(name, count.total()) for name, count in ranked[:5]]


def test_the_keys_of_a_finding_are_those_that_programs_rely_on() -> None:
    first = json.loads((GOLDEN / "audit.jsonl").read_text().splitlines()[0])
    assert " ".join(first) == "batch_id version file line rule tier event phase allowed message"
    first = json.loads((GOLDEN / "check.jsonl").read_text().splitlines()[0])
    assert " ".join(first) == "file index batch_id rule tier message path"
    first = json.loads((GOLDEN / "replay.jsonl").read_text().splitlines()[0])
    assert " ".join(first) == "batch_id version phase whole batch"
    first = json.loads((GOLDEN / "diff-later.json").read_text())
    assert " ".join(first) == "verdict events violations stale_violations changes"
    first = json.loads((GOLDEN / "outcome.jsonl").read_text().splitlines()[0])
    assert " ".join(first) == (
        "file index batch_id outcome results_available progress request_counts expires_at results_until next_step"
        " violations"
    )


def _write() -> None:
    for name, arguments in CASES.items():
        _, out, err = lifecycle(*arguments, cwd=GOLDEN)
        Path(GOLDEN / name).write_text(out, encoding="utf-8")
        if name in TALK:
            (GOLDEN / TALK[name]).write_text(err, encoding="utf-8")


if __name__ == "__main__":
    _write()
