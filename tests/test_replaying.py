"""
The reducer: what it reports, and where it goes on. `test_oracle` holds it against a second opinion on random logs.

Here are the cases that the specification names, one by one.
"""

import itertools
import os
import pickle
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import lifecycle as lc
from lifecycle import log, replaying, wire
from tests.lives import ARCHIVED, CANCELED, CREATED, DAY, DELETED, ENDED, HOUR, LIFE, REPEATED, T, records


def found(events: list[lc.Record], profile: lc.Profile = lc.LAWS) -> list[tuple[int | None, str]]:
    return [(finding.version, finding.rule.id) for finding in lc.audit(events, profile=profile)]


def record(version: int, event: lc.Event, event_id: str | None = None, batch_id: str = "msgbatch_01") -> lc.Record:
    return lc.Record(batch_id, version, event, event_id, T)


def test_a_sound_log_has_its_batches_and_no_findings() -> None:
    report = lc.replay(records(), profile=lc.HOSTED)
    assert report.batches == {"msgbatch_01": lc.fold(LIFE)}
    assert (report.findings, report.events, report.streams) == ((), 6, 1)
    assert (report.versions, report.broken) == ({"msgbatch_01": 6}, frozenset())


def test_streams_may_be_interleaved_and_are_reported_in_order_of_first_appearance() -> None:
    names = ["b", "a", "c"]
    streams = [records((attrs.evolve(CREATED, id=name), *LIFE[1:]), name) for name in names]
    mixed = [one for turn in zip(*streams, strict=True) for one in turn]
    report = lc.replay(mixed)
    assert list(report.batches) == names
    assert report == lc.replay([one for stream in streams for one in stream])


class TestL1:
    """A stream starts with `Created`, and has one only."""

    def test_until_a_legal_created_every_other_event_is_l1_and_does_not_count_as_seen(self) -> None:
        late = [record(1, CANCELED), record(2, DELETED), record(1, CREATED), record(2, REPEATED)]
        assert found(late) == [(1, "L1"), (2, "L1")]
        assert lc.replay(late).versions == {"msgbatch_01": 2}

    def test_an_illegal_created_is_reported_for_what_it_is_and_does_not_count_as_seen(self) -> None:
        wrong = lc.Created("msgbatch_01", T, T + DAY, -1)
        assert found([record(1, wrong), record(1, CREATED)]) == [(1, "B1")]
        assert found([record(1, wrong), record(2, REPEATED)]) == [(1, "B1"), (2, "L1")]

    def test_a_second_created_is_l1_and_counts_as_seen(self) -> None:
        assert found([record(1, CREATED), record(2, CREATED), record(3, REPEATED)]) == [(2, "L1")]

    def test_a_stream_without_created_has_version_0_and_no_batch(self) -> None:
        report = lc.replay([record(1, ENDED)])
        assert (report.batches, report.versions, report.streams) == ({}, {"msgbatch_01": 0}, 1)
        (finding,) = report.findings
        assert (finding.phase, finding.allowed, finding.event) == (None, ("created",), "ended")


class TestL2:
    """Every event of a stream names that stream's batch."""

    def test_a_created_that_names_another_batch_is_skipped(self) -> None:
        assert found([record(1, CREATED, batch_id="x"), record(2, REPEATED, batch_id="x")]) == [(1, "L2"), (2, "L1")]

    def test_it_is_reported_beside_the_rules_that_the_event_breaks(self) -> None:
        event = lc.Created("y", T, T + HOUR, 0)
        assert found([record(1, event)], lc.HOSTED) == [(1, "B2"), (1, "B3"), (1, "L2")]


class TestL3:
    """Versions in a stream are 1, 2, 3 …: no gap, no repeat, no step back."""

    def test_a_gap_is_reported_and_the_event_judged_as_usual(self) -> None:
        gap = [record(1, CREATED), record(5, CANCELED), record(6, ENDED)]
        assert found(gap) == [(5, "L3")]
        assert lc.replay(gap).batches["msgbatch_01"].phase is lc.Phase.ENDED

    def test_a_gap_and_a_broken_rule_are_two_findings(self) -> None:
        assert found([record(1, CREATED), record(3, ARCHIVED)]) == [(3, "L3"), (3, "T1")]

    def test_a_step_back_is_skipped(self) -> None:
        back = [record(1, CREATED), record(2, REPEATED), record(1, CANCELED, "other")]
        assert found(back) == [(1, "L3")]
        assert lc.replay(back).batches["msgbatch_01"].phase is lc.Phase.IN_PROGRESS

    def test_a_created_may_come_after_a_gap_or_at_version_0(self) -> None:
        assert found([record(3, CREATED), record(4, REPEATED)]) == [(3, "L3")]
        assert found([record(0, CREATED), record(1, CREATED)]) == [(0, "L3")]

    def test_a_skipped_record_counts_as_seen(self) -> None:
        assert found([record(1, CREATED), record(2, ARCHIVED), record(3, REPEATED)]) == [(2, "T1")]

    def test_a_huge_gap_costs_nothing(self) -> None:
        far = 2**62
        jump = [record(1, CREATED), record(far, REPEATED), record(far, REPEATED), record(7, CANCELED, "x")]
        assert found(jump) == [(far, "L3"), (7, "L3")]
        assert lc.replay(jump).versions == {"msgbatch_01": far}


class TestL4:
    """An event id occurs once; again with the same content it is a harmless repeat, with other content an error."""

    def test_a_repeat_is_silent_and_counted(self) -> None:
        report = lc.replay([*records(), *records()])
        assert (report.findings, report.events) == ((), 12)

    def test_recorded_at_is_no_part_of_the_content(self) -> None:
        again = attrs.evolve(records()[1], recorded_at=T + DAY)
        assert found([*records(), again]) == []

    def test_the_same_id_with_other_content_is_an_error(self) -> None:
        assert found([*records(LIFE[:2]), record(2, lc.CountsUpdated(lc.RequestCounts(3, 1)))]) == [(2, "L4")]

    def test_the_same_id_at_another_version_is_other_content(self) -> None:
        twice = [*records(LIFE[:3]), record(2, REPEATED, "msgbatch_01/3")]
        assert found(twice) == [(2, "L4")]

    def test_a_skipped_record_is_remembered(self) -> None:
        skipped = record(2, ARCHIVED)
        assert found([record(1, CREATED), skipped, skipped]) == [(2, "T1")]

    def test_records_before_a_gap_are_remembered(self) -> None:
        gap = [record(1, CREATED), record(2, REPEATED), record(9, CANCELED)]
        assert found([*gap, *gap]) == [(9, "L3")]
        assert found([*gap, record(2, CANCELED)]) == [(9, "L3"), (2, "L4")]
        assert found([*gap, record(5, REPEATED)]) == [(9, "L3"), (5, "L3")]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (lc.RequestCounts(2**61 - 1), lc.RequestCounts(0, 2**61 - 1)),  # their numbers have the same hashes
            (lc.RequestCounts(0, 2**62 - 2), lc.RequestCounts(0, 2**61 - 1, 2**61 - 1)),
        ],
    )
    def test_large_numbers_are_told_apart(
        self, tmp_path: Path, first: lc.RequestCounts, second: lc.RequestCounts
    ) -> None:
        created = attrs.evolve(CREATED, request_count=first.total)
        log_of = [record(1, created), record(2, lc.CountsUpdated(first)), record(2, lc.CountsUpdated(second))]
        assert found(log_of) == [(2, "L4")]
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"".join(wire.encode_record(one) + b"\n" for one in log_of))
        assert [one.rule.id for one in lc.audit(log.read(path))] == ["L4"]
        other = [record(1, created), record(1, attrs.evolve(CREATED, request_count=first.total % (2**61 - 1)))]
        assert found(other) == [(1, "L4")]

    def test_nobody_can_write_two_contents_for_one_hash_though_the_seed_be_known(self) -> None:
        code = (
            "from datetime import UTC, datetime; from lifecycle import CancelInitiated; "
            "from lifecycle.replaying import content_of; "
            "print(hash('a'), content_of(CancelInitiated(datetime(2025, 1, 29, tzinfo=UTC))))"
        )
        known = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
        said = [subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, check=True) for _ in "ab"]
        (seed, content), (same_seed, other_content) = (one.stdout.split() for one in said)
        assert seed == same_seed
        assert content != other_content

    @pytest.mark.parametrize("event", LIFE, ids=lambda event: str(event.tag))
    def test_whatever_differs_is_other_content(self, event: lc.Event) -> None:
        values: Any = {
            field.name: lc.RequestCounts(9, 8, 7, 6, 5)
            if field.type is lc.RequestCounts
            else T + 9 * DAY
            if field.name.endswith("_at")
            else 77
            if field.type is int
            else "other"
            for field in attrs.fields(type(event))
        }
        others = [attrs.evolve(event, **{name: value}) for name, value in values.items()]
        assert len({replaying.content_of(one) for one in (event, *others)}) == len(others) + 1


class TestT1:
    """The status changes along the arrows of the chart only."""

    def test_it_comes_first_and_nothing_else_of_the_event_is_judged(self) -> None:
        wrong = lc.Ended(T - DAY, lc.RequestCounts(7, 7))
        report = lc.replay([*records(LIFE[:4]), record(5, wrong)])
        (finding,) = report.findings
        assert (finding.rule.id, finding.phase, finding.allowed) == ("T1", "ended", ("archived", "deleted"))
        assert report.batches["msgbatch_01"] == lc.fold(LIFE[:4])


def test_a_broken_law_skips_the_event_and_a_broken_contract_does_not() -> None:
    moved = record(2, lc.CountsUpdated(lc.RequestCounts(3, 1)))
    wrong = record(3, lc.CountsUpdated(lc.RequestCounts(4, 1)))
    report = lc.replay([record(1, CREATED), moved, wrong], profile=lc.HOSTED)
    assert [(f.version, f.rule.id) for f in report.findings] == [(2, "B7"), (3, "T3"), (3, "T5")]
    assert report.batches["msgbatch_01"].request_counts == lc.RequestCounts(3, 1)
    assert report.broken == {"msgbatch_01"}


def test_a_broken_rule_is_not_reported_again() -> None:
    again = [record(n, lc.CountsUpdated(lc.RequestCounts(5 - n, n - 1))) for n in range(2, 5)]
    assert found([record(1, CREATED), *again], lc.HOSTED) == [(2, "B7")]


def test_advice_is_reported_applied_and_breaks_no_stream() -> None:
    late = lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4))
    report = lc.replay([record(1, CREATED), record(2, late)], profile=lc.HOSTED)
    assert [f.rule.id for f in report.findings] == ["B13", "B14"]
    assert report.batches["msgbatch_01"].phase is lc.Phase.ENDED
    assert report.broken == frozenset()


def test_a_finding_says_where_and_pickles(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    log.append(path, [record(1, CREATED), record(2, ARCHIVED)])
    (finding,) = lc.audit(log.read(path))
    assert (finding.file, finding.line, finding.batch_id, finding.version) == (str(path), 2, "msgbatch_01", 2)
    assert pickle.loads(pickle.dumps(finding)) == finding
    (from_records,) = lc.audit(list(log.read(path)))
    assert from_records == finding


def test_a_refused_line_is_a_finding_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    lines = [wire.encode_record(one) for one in records()]
    path.write_bytes(b"\n".join([lines[0], b"{}", *lines[1:], b'{"torn']))
    told: list[lc.LogError] = []
    report = lc.replay(log.read(path, on_error=told.append))
    (finding,) = report.findings
    assert (finding.rule.id, finding.rule.tier, finding.line) == ("wire", "law", 2)
    assert (finding.batch_id, finding.version, finding.event, finding.phase) == (None, None, None, None)
    assert report.batches["msgbatch_01"].phase is lc.Phase.DELETED
    assert [(error.line, error.torn) for error in told] == [(2, False), (8, True)]
    assert list(lc.audit([*records(), told[0]])) == [finding]


@pytest.mark.parametrize("wrong", ["night.jsonl", b"night.jsonl", Path("night.jsonl"), None, 7])
@pytest.mark.parametrize("verb", [lc.replay, lc.audit])
def test_a_path_is_no_log_and_the_error_says_what_is(verb: Any, wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^records: .*; log\.read\(path\) gives those of a file$"):
        verb(wrong)


@pytest.mark.parametrize("stranger", [None, LIFE[0], "line", {"version": 1}])
def test_what_is_no_record_is_a_type_error(stranger: object) -> None:
    with pytest.raises(TypeError, match="^record: "):
        lc.replay([stranger])  # type: ignore[list-item] # wrong on purpose
    with pytest.raises(TypeError, match="^profile: "):
        lc.replay([], profile="laws")  # type: ignore[arg-type] # wrong on purpose


def test_audit_is_lazy() -> None:
    def endless() -> Iterator[lc.Record]:
        yield record(1, CREATED)
        yield from (record(version, CREATED) for version in itertools.count(2))

    assert [finding.version for finding in itertools.islice(lc.audit(endless()), 3)] == [2, 3, 4]


def test_lines_in_an_unusual_form_are_the_same_records(tmp_path: Path) -> None:
    """Times with Z, keys in another order, white space, no crc32: what a log of another writer looks like."""
    usual, other = tmp_path / "usual.jsonl", tmp_path / "other.jsonl"
    log.append(usual, [*records(), *records()[:2]])
    lines = []
    for line in usual.read_text().splitlines():
        first, rest = line[: line.rindex(',"crc32"')].removeprefix("{").replace("+00:00", "Z").split(",", 1)
        lines.append(f" {{ {rest} , {first} }} ")
    other.write_text("\n".join(lines) + "\n")
    one, two = lc.replay(log.read(usual)), lc.replay(log.read(other))
    assert (one.batches, one.events, one.findings) == (two.batches, two.events, two.findings)
    assert list(log.read(usual)) == list(log.read(other))


def test_memory_grows_with_the_streams_and_by_eight_bytes_a_record() -> None:
    def updates(count: int) -> Iterator[lc.Record]:
        yield record(1, CREATED)
        yield from (record(version, REPEATED) for version in range(2, count))

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            lc.replay(updates(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # compiles
    small, large = peak(2_000), peak(22_000)
    assert 8 * 20_000 <= large - small <= 8 * 20_000 * 1.3


class TestAnUpdateThatRepeatsTheLastOne:
    """It is recognised by its bytes; that must not outlive what it repeats."""

    MOVED = lc.CountsUpdated(lc.RequestCounts(3, 1))

    @staticmethod
    def lines(*given: lc.Record) -> bytes:
        return b"".join(wire.encode_record(one) + b"\n" for one in given)

    def test_is_legal_and_counts(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(self.lines(record(1, CREATED), *[record(version, self.MOVED) for version in range(2, 1103)]))
        report = lc.replay(log.read(path))
        assert (report.findings, report.events, report.versions) == ((), 1102, {"msgbatch_01": 1102})
        assert report == lc.replay(list(log.read(path)))

    def test_does_not_hide_a_step_back_after_an_update_that_followed_a_gap(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        events = [record(1, CREATED), record(2, REPEATED), record(4, self.MOVED), record(5, REPEATED)]
        path.write_bytes(self.lines(*events))
        assert found(events) == [(4, "L3"), (5, "T5")]
        assert [(one.version, one.rule.id) for one in lc.audit(log.read(path))] == [(4, "L3"), (5, "T5")]

    def test_does_not_hide_a_step_back_after_an_update_in_another_form(self, tmp_path: Path) -> None:
        paths = [tmp_path / name for name in "abc"]
        paths[0].write_bytes(self.lines(record(1, CREATED), record(2, REPEATED)))
        paths[1].write_bytes(wire.encode_record(record(3, self.MOVED))[:-20] + b"}\n")  # without its crc32
        paths[2].write_bytes(self.lines(record(4, REPEATED)))
        assert [(one.version, one.rule.id) for one in lc.audit(log.read(*paths))] == [(4, "T5")]

    def test_is_no_record_after_the_largest_version(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        last = record(2**63 - 1, REPEATED)
        after = self.lines(last).replace(b'"09223372036854775807"', b'"09223372036854775808"')
        body = after[:-21] + b"}"
        after = body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)
        path.write_bytes(self.lines(record(1, CREATED), last) + after)
        report = lc.replay(log.read(path))
        assert [one.rule.id for one in report.findings] == ["L3", "wire"]
        assert report.versions == {"msgbatch_01": 2**63 - 1}

    @pytest.mark.parametrize("event", [CANCELED, ENDED])
    def test_is_told_from_another_event_with_the_same_data(self, tmp_path: Path, event: lc.Event) -> None:
        path = tmp_path / "log.jsonl"
        update = self.lines(record(3, REPEATED))
        other = update.replace(b".counts_updated.", b"." + event.tag.encode() + b".")
        body = other[:-21] + b"}"
        other = body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)
        path.write_bytes(self.lines(record(1, CREATED), record(2, REPEATED)) + other)
        assert [one.rule.id for one in lc.audit(log.read(path))] == ["wire"]

    def test_of_an_id_that_has_to_be_encoded_is_judged_by_its_source(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        events = (attrs.evolve(CREATED, id="a%41"), REPEATED, REPEATED)
        good = self.lines(*records(events, "a%41"))
        path.write_bytes(good)
        assert lc.replay(log.read(path)).findings == ()
        body = good.splitlines()[-1][:-20].replace(b"a%2541", b"a%41") + b"}"
        bad = body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)
        path.write_bytes(b"".join(good.splitlines(keepends=True)[:-1]) + bad)
        assert [one.rule.id for one in lc.audit(log.read(path))] == ["wire"]
