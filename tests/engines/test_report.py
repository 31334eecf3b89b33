"""Findings in order, however many, and nothing left behind."""

import random
import resource
import tempfile
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.engines import report
from lifecycle.engines.report import Audit, Findings
from lifecycle.replaying import Reducer
from lifecycle.rules import WIRE
from tests.lives import LIFE, records

FILES = ["b", "a"]


def finding(batch_id: str | None, version: int | None, rule: str, file: str | None, line: int | None) -> lc.Finding:
    return lc.Finding(
        WIRE if rule == "wire" else lc.RULES[rule], "seen", batch_id, version, file, line, None, None, ("created",)
    )


IN_ORDER = [
    finding(None, None, "wire", None, None),
    finding(None, None, "wire", "b", 2),
    finding(None, None, "wire", "b", 10),
    finding(None, None, "wire", "a", 1),
    finding("", 1, "L1", "a", 1),
    finding("A", 1, "L1", "a", 1),
    finding("a", 0, "L3", "b", 4),
    finding("a", 2, "B2", "b", 9),
    finding("a", 2, "B10", "b", 8),
    finding("a", 2, "T5", "b", 7),
    finding("a", 2, "L3", "b", 6),
    finding("a", 2, "L3", "a", 5),
    finding("a", 10, "B2", "b", 3),
    finding("é", 1, "L1", "a", 1),
    finding("\uffff", 1, "L1", "a", 1),
    finding("\U0001f600", 1, "L1", "a", 1),
]
"""By batch as Python sorts text, version as a number, rule as in the rulebook, file as given, line."""


def fill(found: Findings) -> None:
    for _ in range(10_000):
        found.add(IN_ORDER[5])


@pytest.mark.parametrize("run", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("files", [2, 64])
def test_they_are_sorted_whatever_fits_into_memory(run: int, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_FILES", files)
    for seed in range(3):
        found = Findings(FILES, "log", run=run)
        for one in random.Random(seed).sample(IN_ORDER, len(IN_ORDER)):
            found.add(one)
        assert list(found) == IN_ORDER


def test_for_the_order_of_versions_files_count_by_their_names() -> None:
    given = [finding("a", 1, "L3", file, line) for file in ("b", "a") for line in (2, 1)]
    reports = []
    for files in (["b", "a"], ["a", "b"]):
        found = Findings(files, "version")
        for one in given:
            found.add(one)
        reports.append([(one.file, one.line) for one in found])
    assert reports == [[("a", 1), ("a", 2), ("b", 1), ("b", 2)]] * 2


def test_equal_ones_stay_as_they_came() -> None:
    said = ["d", "c", "b", "a", "e"]
    found = Findings(["x", "x"], "log", run=2)
    for message in said:
        found.add(lc.Finding(lc.RULES["L3"], message, "a", 1, "x", 1, None, None, ()))
    assert [one.message for one in found] == said


def test_they_are_counted_by_tier() -> None:
    found = Findings(FILES, "log")
    for one in IN_ORDER:
        found.add(one)
    assert found.tiers == {lc.Tier.LAW: 14, lc.Tier.CONTRACT: 2, lc.Tier.ADVICE: 0}


def test_temporary_files_are_closed_even_if_nobody_reads_them() -> None:
    found = Findings(FILES, "log", run=1)
    found.add(IN_ORDER[0])
    [file] = found._runs
    del found
    assert file.closed


def test_no_room_for_them_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Findings(FILES, "log", run=10_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(lc.EngineError) as caught:
            fill(found)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in caught.value.reason
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(lc.EngineError):
        Findings(FILES, "log", run=1).add(IN_ORDER[0])


def test_totals_add_up_and_the_reducer_forgets_what_was_counted() -> None:
    reducer = Reducer(lc.LAWS)
    done = Audit(Findings(FILES, "log"))
    for name, count in (("msgbatch_01", 6), ("msgbatch_01", 4), ("b", 2)):
        for one in reducer.run(records(LIFE[:count], name)):
            done.findings.add(one)
        done.count(reducer)
    assert (done.events, done.streams, done.broken) == (12, 3, 1)
    assert done.phases == {phase: int(phase in {"deleted", "ended"}) for phase in lc.Phase}
    assert not reducer.streams
    assert [one.rule.id for one in done.findings] == ["L2", "L1"]
