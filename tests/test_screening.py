"""
Screening: whatever a log is, the report is that of the reducer alone; and what is plainly legal never comes to it.

The reducer itself is held against a second opinion in `test_oracle`.
"""

import ast
import gzip
import random
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import columns, log, replaying, screening, wire
from lifecycle import testing as kit
from lifecycle.fusing import EFFECTS
from lifecycle.machine import TRANSITIONS
from lifecycle.replaying import Reducer
from lifecycle.rules import COUNTS, Scope, rules_of
from lifecycle.screening import Screen
from lifecycle.testing.faults import LOG_FAULTS, STREAM_FAULTS
from tests.lives import ARCHIVED, CANCELED, CREATED, DAY, DELETED, ENDED, HOUR, LIFE, REPEATED, T, records

PROFILES = (lc.LAWS, lc.HOSTED)
SIZES = (700, 1 << 22)
"""How many bytes are scanned at once: less than two lines, or all."""


def line(record: lc.Record) -> bytes:
    return wire.encode_record(record) + b"\n"


def lines(given_records: Iterable[lc.Record]) -> bytes:
    return b"".join(map(line, given_records))


def summed(text: bytes) -> bytes:
    """A line whose text, up to the comma before its crc32, was changed: with the right one again."""
    body = text.rstrip(b"\n")[:-20] + b"}"
    return body[:-1] + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def bare(text: bytes) -> bytes:
    """A line without its crc32: a record, but not in the recorded form."""
    return text[:-21] + b"}\n"


def life(batch_id: str, events: Sequence[lc.Event] = LIFE) -> list[lc.Record]:
    """The records of a life of *batch_id*."""
    return records(
        tuple(attrs.evolve(one, id=batch_id) if isinstance(one, lc.Created) else one for one in events), batch_id
    )


def record(batch_id: str, version: int, event: lc.Event, event_id: str | None = None) -> lc.Record:
    return lc.Record(batch_id, version, event, event_id, T)


def turns(*streams: Sequence[bytes]) -> bytes:
    """The lines of several streams, in turn."""
    waiting = [list(stream) for stream in streams]
    found = []
    while any(waiting):
        found += [stream.pop(0) for stream in waiting if stream]
    return b"".join(found)


@attrs.frozen
class Outcome:
    """All that a log amounts to, orders too."""

    findings: tuple[Any, ...]
    batches: list[Any]
    versions: list[Any]
    broken: set[str]
    events: int
    totals: Any
    refused: list[Any]
    """What `on_error` was told."""


def outcome(
    paths: Sequence[Path], profile: lc.Profile, size: int | None = None, jobs: int = 1, max_bytes: int = wire.MAX_BYTES
) -> tuple[Outcome, list[str]]:
    """What comes of a log, screened or (*size* is None) not; and the streams that the reducer has seen."""
    refused: list[lc.LogError] = []
    reading: Any = log.read(*paths, on_error=refused.append, max_bytes=max_bytes)
    reducer = Reducer(profile, wire.DATA)
    if size is None:
        findings = tuple(reducer.run(reading))
    else:
        reducer._screen = Screen(reducer)
        findings = tuple(reducer._screen.run(screening.of_lines(reading, jobs, size)))
    seen = list(reducer.streams)
    totals = reducer.totals()
    reducer.finish()
    assert reducer.totals() == totals
    streams = reducer.streams
    found = Outcome(
        findings,
        [(one, stream.batch(stream.legal.phase)) for one, stream in streams.items() if stream.legal.phase is not None],
        [(one, stream.version) for one, stream in streams.items()],
        reducer.broken,
        reducer.events,
        totals,
        [
            (error.path, error.line, error.reason, error.torn)
            for error in sorted(refused, key=lambda one: (one.path, one.line))
        ],
    )
    return found, seen


def same(
    paths: Path | Sequence[Path],
    *,
    sizes: Sequence[int] = SIZES,
    profiles: Sequence[lc.Profile] = PROFILES,
    max_bytes: int = wire.MAX_BYTES,
) -> list[str]:
    """Hold a log against the reducer alone; the streams that the reducer saw of the last."""
    paths = [paths] if isinstance(paths, Path) else paths
    seen: list[str] = []
    for profile in profiles:
        expected, _ = outcome(paths, profile, max_bytes=max_bytes)
        for size in sizes:
            found, seen = outcome(paths, profile, size, max_bytes=max_bytes)
            assert found == expected
    return seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "night.jsonl"


# --------------------------------------------------------------------------------------------------- what it is for


class TestCleanStreams:
    """They never come to the reducer: that is what screening is for."""

    @pytest.mark.parametrize("count", [1, 7, 1500])
    def test_are_judged_as_columns(self, path: Path, count: int) -> None:
        lives = [list(map(line, life(f"msgbatch_{number:04}"))) for number in range(count)]
        random.Random(count).shuffle(lives)
        path.write_bytes(turns(*lives))
        sizes = SIZES if count < 1500 else (100_000, 1 << 22)  # so many streams that what holds them has to grow
        assert same(path, sizes=sizes) == []

    def test_are_judged_as_columns_beside_others_that_are_not(self, path: Path) -> None:
        faulty = life("faulty", (*LIFE[:4], CANCELED))
        odd = [bare(line(one)) for one in life("odd")]
        path.write_bytes(turns(*[list(map(line, one)) for one in (life("a"), life("b"), faulty, life("c"))], odd))
        assert sorted(same(path)) == ["faulty", "odd"]

    def test_may_say_the_same_counts_any_number_of_times(self, path: Path) -> None:
        events = (CREATED, *[REPEATED] * 30, CANCELED, *[REPEATED] * 30, *LIFE[3:])
        path.write_bytes(turns(list(map(line, life("a", events))), list(map(line, life("b", events[:40])))))
        assert same(path) == []

    def test_may_move_their_counts_under_the_laws(self, path: Path) -> None:
        moved = [lc.CountsUpdated(lc.RequestCounts(4 - number, number)) for number in (0, 1, 1, 2, 3, 3)]
        path.write_bytes(lines(life("a", (CREATED, *moved))))
        assert same(path, profiles=[lc.LAWS]) == []
        assert same(path, profiles=[lc.HOSTED]) == ["a"]

    def test_may_be_many_that_come_one_after_the_other_in_several_files(self, tmp_path: Path) -> None:
        paths = [tmp_path / name for name in "abc"]
        for number, one in enumerate(paths):
            one.write_bytes(lines(life("x")[2 * number : 2 * number + 2]) + lines(life(one.name)))
        assert same(paths) == []

    def test_may_be_compressed(self, path: Path) -> None:
        path.write_bytes(gzip.compress(turns(list(map(line, life("a"))), list(map(line, life("b"))))))
        assert same(path) == []


# ------------------------------------------------------------------------------------------------------ hostile logs

OTHERS = [list(map(line, life(name))) for name in ("alpha", "beta", "gamma")]
MOVED = lc.CountsUpdated(lc.RequestCounts(3, 1))
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

LOGS: dict[str, bytes] = {}
"""Logs with something in them that is hard to see, or to say in the right order."""

EVENTS = {
    "a_repeat_in_another_place": [*life("x"), *life("x")[:3], *life("y"), *life("x")],
    "repeats_at_once": [one for one in life("x") for _ in range(3)],
    "a_repeat_and_then_more": [*life("x")[:3], *life("x")[:2], *life("x")[3:]],
    "the_last_record_again_as_version_0": [*life("x"), record("x", 0, DELETED, "x/0")],
    "version_0_with_the_usual_id_of_another": [*life("x"), record("x", 0, DELETED, "x/6")],
    "version_0_first": [record("x", 0, attrs.evolve(CREATED, id="x")), *life("x")],
    "an_id_at_another_version": [*life("x"), record("x", 2, REPEATED, "x/3"), record("x", 7, REPEATED, "x/1")],
    "other_content_under_the_same_id": [*life("x"), record("x", 2, MOVED), record("x", 5, lc.Archived(T + 40 * DAY))],
    "a_url_more_under_the_same_id": [*life("x"), record("x", 5, lc.Archived(T + 30 * DAY, ""))],
    "another_batch_named_under_the_same_id": [*life("x"), record("x", 1, attrs.evolve(CREATED, id="y"))],
    "another_batch_of_the_same_length_named_first": [record("x", 1, attrs.evolve(CREATED, id="y")), *life("x")],
    "numbers_too_large_for_columns_under_the_same_id": [
        *life("x"),
        record("x", 2, lc.CountsUpdated(lc.RequestCounts(2**32 + 4))),
        record("x", 1, attrs.evolve(CREATED, id="x", request_count=2**63 - 1)),
    ],
    "a_step_back_under_another_id": [
        *life("x"),
        record("x", 3, CANCELED, "elsewhere"),
        record("x", 3, CANCELED, "y/3"),
    ],
    "a_gap": [*life("x")[:2], record("x", 5, CANCELED), *life("y"), record("x", 6, ENDED), *life("x")],
    "a_huge_gap": [*life("x")[:2], record("x", 2**63 - 1, CANCELED), record("x", 9_999_999, ENDED)],
    "a_step_back": [*life("x")[:4], record("x", 3, REPEATED, "other"), *life("x")[4:]],
    "a_second_created": [*life("x")[:3], record("x", 4, attrs.evolve(CREATED, id="x")), *life("x")],
    "no_created": [*life("x")[1:], *life("y")[1:3]],
    "a_late_created": [*life("x")[1:3], *life("x")],
    "a_created_that_is_refused": [record("x", 1, lc.Created("x", T, T + HOUR, 0)), *life("x")],
    "an_update_after_the_end": [*life("x")[:4], record("x", 5, lc.CountsUpdated(ENDED.request_counts))],
    "an_update_on_nothing": [record("x", 1, lc.CountsUpdated(lc.RequestCounts(0))), *life("y")],
    "updates_after_a_fault": life("x", (CREATED, MOVED, REPEATED, MOVED, CANCELED, MOVED, REPEATED, MOVED)),
    "updates_that_move_and_stand": life(
        "x", (CREATED, *[REPEATED] * 3, *[MOVED] * 3, CANCELED, *[MOVED] * 3, REPEATED)
    ),
    "a_contract_broken_and_more": life("x", (attrs.evolve(CREATED, expires_at=T + HOUR), *LIFE[1:], DELETED)),
    "advice_broken_and_more": life("x", (CREATED, lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4)), *LIFE[4:], DELETED)),
    "times_as_early_and_as_late_as_can_be": [
        *life("x", (attrs.evolve(CREATED, created_at=FIRST, expires_at=LAST), REPEATED)),
        record("x", 3, lc.CancelInitiated(LAST)),
        record("x", 4, lc.Ended(FIRST, lc.RequestCounts(4))),
    ],
    "counts_as_large_as_columns_hold": life(
        "x", (attrs.evolve(CREATED, request_count=9_999_999), lc.CountsUpdated(lc.RequestCounts(9_999_998, 1)))
    ),
    "counts_larger_than_columns_hold": life(
        "x", (attrs.evolve(CREATED, request_count=10_000_000), lc.CountsUpdated(lc.RequestCounts(10_000_000)), CANCELED)
    ),
    "a_url_that_is_empty": life("x", (*LIFE[:3], attrs.evolve(ENDED, results_url=""), ARCHIVED)),
    "a_url_that_changes": life("x", (*LIFE[:4], attrs.evolve(ARCHIVED, results_url='https://elsewhere/é"\\'), DELETED)),
    "other_event_ids": [attrs.evolve(one, event_id=f"evt-{one.version}") for one in life("x")],
    "another_event_id_in_the_middle": [
        attrs.evolve(one, event_id="evt" if one.version == 3 else None) for one in [*life("x"), *life("x")]
    ],
    "the_usual_event_id_of_another_stream": [attrs.evolve(one, event_id=f"alpha/{one.version}") for one in life("x")],
}
ODD_IDS = {
    "empty": "",
    "a_quote": 'a"b',
    "a_backslash": "a\\b",
    "a_slash": "a/b",
    "only_slashes": "//",
    "a_percent": "a%41",
    "a_control_character": "a\x01b",
    "a_newline": "a\nb",
    "a_nul_inside": "a\0b",
    "a_nul_at_the_end": "alpha\0",
    "letters_of_other_scripts": "é😀",
    "a_line_separator": "a\u2028b",
    "a_delete": "a\x7fb",
    "a_space": "a b",
    "one": "a",
    "eight": "a" * 8,
    "nine": "a" * 9,
    "sixty_three": "a" * 63,
    "sixty_four": "a" * 64,
    "sixty_five": "a" * 65,
    "two_hundred": "a" * 200,
    "digits": "7",
    "the_rest_of_a_line": 'alpha/1","source":"/v1/messages/batches/alpha","subject":"alpha',
}
LOGS |= {name: lines(found) for name, found in EVENTS.items()}
LOGS |= {f"an_id_of_{name}": lines([*life(one), *life(one)[2:4]]) for name, one in ODD_IDS.items()}
LOGS["ids_that_are_prefixes"] = turns(*[list(map(line, life("a" * size))) for size in (1, 7, 8, 9, 16, 17, 63, 64, 65)])
LOGS["more_lengths_of_ids_than_are_tried"] = turns(*[[line(life("a" * size)[0])] for size in range(1, 40)])
LOGS["blank_lines"] = b"\n\n" + b"\n\n  \n\t\n".join(map(line, life("x"))) + b"\n\n \n"
LOGS["only_blank_lines"] = b"\n" * 3000
LOGS["short_lines"] = b"\n".join(b"x" * (number % 30) for number in range(200)) + b"\n" + lines(life("x"))
LOGS["carriage_returns"] = lines(life("y")) + lines(life("x")).replace(b"\n", b"\r\n")
LOGS["a_tail_only"] = line(life("x")[0])[-21:] + lines(life("x")) + line(life("x")[0])[-22:]
LOGS["a_torn_line"] = lines(life("x")) + line(life("y")[0])[:-30]
LOGS["a_line_that_only_lacks_its_newline"] = lines(life("x"))[:-1]
LOGS["a_torn_line_of_spaces"] = lines(life("x")) + b"   "
LOGS["nothing"] = b""
LOGS["no_records"] = b"{}\n[]\nnull\n\xff\xfe\n" * 20
LOGS["nuls"] = lines(life("x")[:3]) + b"\0" * 4000 + b"\n" + lines(life("x")[3:])
LOGS["bytes_that_are_no_text_in_an_id"] = summed(line(life("ab")[0]).replace(b"ab", b"\xff\xfe")) + lines(life("ab"))
LOGS["a_raw_nul_behind_an_id"] = lines(life("abc")[:1]) + summed(line(life("abcd")[1]).replace(b"abcd", b"abc\0"))
LOGS["a_raw_nul_behind_an_id_of_eight"] = (
    summed(line(life("12345678a")[0]).replace(b"12345678a", b"12345678\0")) + lines(life("12345678")) + lines(life("x"))
)
LOGS["a_created_that_names_no_text"] = summed(line(life("x")[0]).replace(b'"id":"x"', b'"id":"\0"')) + lines(life("y"))
LOGS["an_id_in_quotes_that_closes_early"] = summed(line(life("ab:cd")[0]).replace(b"ab:cd", b'a","b')) + lines(
    life("x")
)
LOGS["begun_by_an_odd_line"] = (
    bare(line(life("x")[0])) + lines(life("y")[:2]) + lines(life("x")[1:]) + lines(life("y")[2:])
)
LOGS["gone_on_by_an_odd_line"] = (
    lines(life("x")[:3]) + bare(line(life("x")[3])) + lines(life("y")) + lines(life("x")[4:])
)
LOGS["odd_lines_of_several_streams_that_have_no_others"] = b"".join(bare(line(life(name)[0])) for name in "zyxz")
LOGS["a_second_stream_between_the_lines_of_an_odd_one"] = (
    bare(line(life("x")[0])) + lines(life("y")) + bare(line(life("x")[1])) + line(life("x")[2])
)
LOGS["an_odd_line_of_a_stream_that_is_the_reducers"] = (
    lines(life("x", (CREATED, DELETED))) + lines(life("y")) + bare(line(record("x", 3, CANCELED))) + lines(life("x"))
)
LOGS["mostly_in_another_form"] = lines(life("x")) + b"".join(bare(line(one)) for one in [*life("y"), *life("x")]) * 5
LOGS["in_another_form_at_first"] = b"".join(bare(line(one)) for one in life("y")) * 5 + lines(life("x")) * 5
LOGS["an_odd_line_of_a_long_id_between"] = bare(line(life("a" * 70)[0])) + lines(life("x")) + lines(life("a" * 70))
LOGS["a_changed_byte_in_every_line"] = lines(life("x")).replace(b"specversion", b"specversiom")


class TestHostileLogs:
    """Whatever a log is, the report is that of the reducer alone: findings and batches in their order, all of it."""

    @pytest.mark.parametrize("name", LOGS)
    def test_are_reported_as_by_the_reducer(self, path: Path, name: str) -> None:
        path.write_bytes(LOGS[name])
        same(path)

    @pytest.mark.parametrize("name", LOGS)
    def test_are_reported_so_among_other_streams(self, path: Path, name: str) -> None:
        path.write_bytes(turns(*OTHERS, LOGS[name].splitlines(keepends=True)) + LOGS[name])
        same(path, sizes=[900], profiles=[lc.HOSTED])


class TestKeysThatAreTheSame:
    """By chance or on purpose: batches and URLs are told apart all the same."""

    @pytest.fixture(autouse=True)
    def _same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(columns, "_mixed", lambda _, word: np.full(len(word), 7, np.uint64))

    def test_of_all_batches(self, path: Path) -> None:
        lives = [list(map(line, life("b" * size))) for size in (8, 1, 16, 9, 64, 63, 8)]
        lives += [list(map(line, life(f"msgbatch_{number}", LIFE[: 1 + number % 6]))) for number in range(30)]
        faulty = [bare(line(one)) for one in life("b" * 17)]
        path.write_bytes(turns(*lives, faulty, list(map(line, life("faulty", (*LIFE, DELETED))))))
        assert len(same(path)) > 30

    @pytest.mark.parametrize("short", ["12345678", "1"])
    def test_of_an_id_and_of_one_that_it_begins(self, path: Path, short: str) -> None:
        path.write_bytes(lines(life("1234567890abcdef", LIFE[:3])) + lines(life(short)))
        same(path)
        path.write_bytes(lines(life(short)) + lines(life("1234567890abcdef", LIFE[:3])) + lines(life(short)))
        same(path)

    def test_of_very_many_batches(self, path: Path) -> None:
        path.write_bytes(b"".join(lines(life(f"{number}", LIFE[:1])) for number in range(1500)))
        assert len(same(path, sizes=[1 << 22], profiles=[lc.LAWS])) == 1499


@pytest.mark.parametrize("places", [1, 3, 60])
def test_keys_come_together_whatever_their_upper_bits_are(places: int) -> None:
    """The lower ones make room for the row, at first."""
    keys = np.random.default_rng(1).integers(0, 4, 500).astype(np.uint64) << np.uint64(places)
    assert screening._together(keys).tolist() == np.argsort(keys, kind="stable").tolist()
    assert screening._together(keys[:0]).tolist() == []


def test_urls_whose_keys_are_the_same_are_told_apart_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "url_key", lambda _: 1)
    ended = [attrs.evolve(ENDED, results_url=f"https://x/{number // 2}") for number in range(8)]
    streams = [life(f"b{number}", (*LIFE[:3], one, DELETED)) for number, one in enumerate(ended)]
    path.write_bytes(turns(*[list(map(line, one)) for one in streams]) + lines(streams[0]) + lines(streams[2]))
    assert len(same(path)) == 7


@pytest.mark.parametrize("count", [1023, 1024, 1025])
def test_any_number_of_streams_may_be_followed_by_one_that_an_odd_line_begins(path: Path, count: int) -> None:
    many = b"".join(lines(life(f"{number}", LIFE[:1])) for number in range(count))
    path.write_bytes(many + bare(line(life("x")[0])) + lines(life("y")))
    assert same(path, sizes=[1 << 22], profiles=[lc.LAWS]) == ["x"]


UUIDS = [attrs.evolve(one, event_id=f"{one.version:08}-0000") for one in life("u")]


class TestLogsInAnotherForm:
    """Nothing is gained where most lines are in another form: then the reducer has all of them, from there on."""

    def test_are_the_reducers_from_the_first_piece_on(self, path: Path) -> None:
        path.write_bytes(lines([*UUIDS, *life("x"), *UUIDS, *life("x")]) + b"{}\n" * 300)
        assert same(path) == ["u", "x"]

    def test_are_the_reducers_from_a_later_piece_on(self, path: Path) -> None:
        late = [attrs.evolve(one, event_id=f"{one.version:08}") for one in life("v")] * 4
        path.write_bytes(lines([*life("x")[:4], *life("y")]) + lines(late) + lines([*life("z"), *life("x")]))
        assert same(path, sizes=(2500,)) == ["x", "y", "v", "z"]

    def test_may_have_lines_that_are_too_long(self, path: Path) -> None:
        path.write_bytes(lines(UUIDS) + b"x" * 3000 + b"\n" + lines(life("x")) + b"y" * 2000 + b"\n\n" + b"z" * 1000)
        same(path, max_bytes=900)


class TestLongLines:
    """A line over the limit is refused, wherever it stands, and whatever it is."""

    @pytest.mark.parametrize("max_bytes", [0, 20, 400, 600, 5000])
    def test_are_refused(self, path: Path, max_bytes: int) -> None:
        long = attrs.evolve(ENDED, results_url="u" * 6000)
        first, second = life("x", (*LIFE[:3], long, *LIFE[4:])), life("y")
        path.write_bytes(
            turns(list(map(line, first)), list(map(line, second)), [b"x" * 9000 + b"\n"] * 3) + b"z" * 5500
        )
        same(path, max_bytes=max_bytes)


class TestFiles:
    """Several are one log, in the order given."""

    def test_may_be_the_same_one_twice(self, path: Path, tmp_path: Path) -> None:
        path.write_bytes(turns(*OTHERS) + b"{}\n" + lines(life("x", (CREATED, DELETED))) + b"{torn")
        packed = tmp_path / "packed"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        empty = tmp_path / "empty"
        empty.touch()
        same([path, empty, packed, path, packed])

    def test_that_end_early_have_told_what_stands_before(self, path: Path) -> None:
        path.write_bytes(gzip.compress(lines(life("x", (CREATED, DELETED))))[:-4])
        reducer = Reducer(lc.LAWS, wire.DATA)
        reading: Any = log.read(path)
        found = Screen(reducer).run(screening.of_lines(reading, 1, 700))
        assert next(found).rule.id == "T1"
        with pytest.raises(lc.LogError):
            list(found)


class TestReports:
    """`replay` and `audit` screen a log that is long, if NumPy is there."""

    @pytest.fixture(autouse=True)
    def _long(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(turns(*OTHERS, list(map(line, life("x", (*LIFE[:3], ARCHIVED, *LIFE[3:])))), [b"{}\n"]))
        monkeypatch.setattr(replaying, "LONG", 0)

    @pytest.fixture
    def screens(self, monkeypatch: pytest.MonkeyPatch) -> list[Screen]:
        """Every screen there is."""
        found: list[Screen] = []

        class Noted(Screen):
            def __init__(self, reducer: Reducer) -> None:
                super().__init__(reducer)
                found.append(self)

        monkeypatch.setattr(screening, "Screen", Noted)
        return found

    @staticmethod
    def expected(path: Path) -> lc.Report:
        return lc.replay([*log.read(path, on_error=lambda _: None)])

    def test_are_the_same(self, path: Path, screens: list[Screen]) -> None:
        expected = self.expected(path)
        report = lc.replay(log.read(path))
        assert attrs.evolve(report, findings=report.findings[1:]) == expected
        assert list(report.batches) == list(expected.batches)
        assert list(report.versions) == list(expected.versions)
        assert report.findings[0].rule.id == "wire"
        assert tuple(lc.audit(log.read(path))) == report.findings
        assert len(screens) == 2

    def test_of_one_stream_or_up_to_a_time_are_not_screened(self, path: Path, screens: list[Screen]) -> None:
        report = lc.replay(log.read(path, batch_id="beta", until=3))
        assert (list(report.versions.items()), report.events) == ([("beta", 3)], 3)
        assert screens == []

    def test_of_short_logs_and_of_standard_input_are_not_screened(
        self, path: Path, screens: list[Screen], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert len(list(lc.audit(log.read("-"), jobs=2))) == 2
        monkeypatch.setattr(replaying, "LONG", path.stat().st_size + 1)
        assert len(list(lc.audit(log.read(path), jobs=2))) == 2
        assert screens == []

    @pytest.mark.parametrize("older", [False, True])
    def test_are_the_same_without_numpy(self, path: Path, older: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if older:
            monkeypatch.delattr(np, "bitwise_count")
        else:
            monkeypatch.setitem(sys.modules, "numpy", None)
        for name in ("columns", "scanning", "screening"):
            monkeypatch.delitem(sys.modules, f"lifecycle.{name}")
        reducer = Reducer(lc.LAWS, wire.DATA)
        assert [one.rule.id for one in reducer.run(log.read(path), 2)] == ["wire", "T1"]
        assert reducer._screen is None
        assert list(reducer.streams) == ["alpha", "beta", "gamma", "x"]

    def test_may_be_given_up_at_any_finding(self, path: Path) -> None:
        reducer = Reducer(lc.LAWS, wire.DATA)
        found: Any = reducer.run(log.read(path))
        next(found)
        found.close()
        reducer.finish()
        assert reducer.totals().streams == 4

    def test_know_their_totals_at_every_finding(self, path: Path) -> None:
        path.write_bytes(path.read_bytes() * 2 + b"{}\n" * 3)
        reducer = Reducer(lc.LAWS, wire.DATA)
        totals = reducer.totals()
        for _ in reducer.run(log.read(path)):
            totals = reducer.totals()
            assert sum(totals.phases.values()) <= totals.streams == 4
        assert totals == attrs.evolve(totals, events=50, broken=1)


# ------------------------------------------------------------------------------------------------------ drawn by lot

STREAM_RULES = {
    profile: [rule for rule in STREAM_FAULTS[profile.name] if rule != "B1"] for profile in PROFILES
}  # no line has a negative number
HOW_MUCH = st.sampled_from([512, 700, 1000, 2000, 4000, 1 << 20])
RECORD_CHANGES: Sequence[Callable[[lc.Record], lc.Record]] = (
    lambda one: attrs.evolve(one, version=one.version + 1, event_id=f"{one.batch_id}/{one.version + 1}"),
    lambda one: attrs.evolve(one, version=max(0, one.version - 1)),
    lambda one: attrs.evolve(one, event_id="elsewhere"),
    lambda one: attrs.evolve(one, event=CANCELED),
    lambda one: attrs.evolve(one, event=lc.CountsUpdated(lc.RequestCounts(1))),
    lambda one: attrs.evolve(one, event=attrs.evolve(CREATED, id=one.batch_id)),
    lambda one: one,
)
LINE_CHANGES: Sequence[Callable[[bytes], bytes]] = (
    bare,
    lambda text: text[:-1] + b"\r\n",
    lambda text: b"\n" + text,
    lambda text: text.replace(b'":"', b'": "', 1),
    lambda text: text.replace(b"+00:00", b"Z"),
    lambda text: summed(text.replace(b"sequence", b"sequense")),
    lambda text: summed(text.replace(b"created", b"crea\\u0074ed")),
    lambda text: text[: len(text) // 2],
    lambda text: text[len(text) // 2 :],
    lambda text: text.replace(b"1", b"2", 1),
    lambda text: summed(text.replace(b"0", b"1")),
    lambda text: b"x" * 2000 + b"\n" + text,
)


@st.composite
def hostile(draw: st.DrawFn) -> tuple[bytes, int]:
    """A log of legal streams and others, disordered and changed in some places; and how much is scanned at once."""
    found = list(draw(kit.logs(max_streams=4, max_size=10, repeats=True, profile=draw(st.sampled_from(PROFILES)))))
    if draw(st.booleans()):
        profile = draw(st.sampled_from(PROFILES))
        events, _ = draw(kit.broken_streams(rule=draw(st.sampled_from(STREAM_RULES[profile])), profile=profile))
        found += life("msgbatch_broken", events)
    if draw(st.booleans()):
        found += draw(kit.broken_logs())[0]
    place = st.integers(0, len(found) - 1)
    for one, other in draw(st.lists(st.tuples(place, place), max_size=6)):
        found[one], found[other] = found[other], found[one]
    for one, change, other in draw(st.lists(st.tuples(place, st.sampled_from(RECORD_CHANGES), place), max_size=3)):
        found.insert(other, change(found[one]))
    texts = list(map(line, found))
    for one, odd in draw(st.lists(st.tuples(place, st.sampled_from(LINE_CHANGES)), max_size=3)):
        texts[one] = odd(texts[one])
    return b"".join(texts) + draw(st.sampled_from([b"", b"", b"\n", b"{torn", texts[0][:-1]])), draw(HOW_MUCH)


@settings(max_examples=settings().max_examples // 8)
@given(log_of=hostile())
def test_any_log_has_the_report_of_the_reducer_alone(
    tmp_path_factory: pytest.TempPathFactory, log_of: tuple[bytes, int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(log_of[0])
    same(path, sizes=[log_of[1]], max_bytes=1500)


FAULTS = [
    *[(kit.broken_streams, profile, rule) for profile in PROFILES for rule in STREAM_RULES[profile]],
    *[(kit.broken_logs, lc.LAWS, rule) for rule in LOG_FAULTS],
]


class TestLabelledFaults:
    """Each rule that a stream or a log can break is found, alone, among streams that break none."""

    @pytest.mark.parametrize(
        ("broken", "profile", "rule"), FAULTS, ids=[f"{rule}-{profile.name}" for _, profile, rule in FAULTS]
    )
    def test_are_found(
        self, tmp_path_factory: pytest.TempPathFactory, broken: Any, profile: lc.Profile, rule: str
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "faulty.jsonl"
        options = {"profile": profile} if broken is kit.broken_streams else {}

        @settings(max_examples=3)
        @given(faulty=broken(rule=rule, **options))
        def found(faulty: Any) -> None:
            given_records, _ = faulty
            if broken is kit.broken_streams:
                given_records = life("faulty", given_records)
            path.write_bytes(turns(*OTHERS, list(map(line, given_records))))
            (finding,) = outcome([path], profile, 1 << 20)[0].findings
            assert finding.rule.id == rule
            same(path, sizes=[900], profiles=[profile])

        found()


# -------------------------------------------------------------------------------------------- what it takes for granted


@pytest.mark.parametrize("profile", PROFILES)
class TestPredicates:
    """An event is judged by the rules that it can newly break; T1 is the table of arrows."""

    @staticmethod
    def judged(profile: lc.Profile, tag: str) -> set[str]:
        return {code.co_filename.split()[1].rstrip(",") for _, code in screening._predicates(profile.tiers, tag)}

    def test_are_those_of_every_rule_of_the_profile(self, profile: lc.Profile) -> None:
        found = set[str]().union(*[self.judged(profile, tag) for tag in columns.TAGS])
        every = {rule.id for scope in (Scope.BATCH, Scope.STEP) for rule in rules_of(profile.tiers, scope)}
        assert found == every - {"T1", "B16"}  # no event has a key that is not documented

    def test_are_those_that_name_what_the_event_changes(self, profile: lc.Profile) -> None:
        for tag, effects in EFFECTS.items():
            moved = set(effects) | ({*COUNTS, "total"} if "counts" in effects else set())
            moved |= {"status", "phase"} if tag != "counts_updated" else set()
            for scope in (Scope.BATCH, Scope.STEP):
                for rule in rules_of(profile.tiers, scope):
                    names = {node.id for node in ast.walk(ast.parse(rule.broken)) if isinstance(node, ast.Name)}
                    if rule.id != "T1":
                        assert (rule.id in self.judged(profile, tag)) is bool(names & moved), (tag, rule.id)


def test_an_event_with_several_targets_leaves_the_phase_as_it_is() -> None:
    several = set()
    for tag in columns.TAGS:
        arrows = [(before, after) for (before, other), after in TRANSITIONS.items() if other == tag]
        if len({after for _, after in arrows}) > 1:
            several.add(tag)
            assert all(before is after for before, after in arrows)
    assert several == {"counts_updated"}
    after = [screening._AFTER[columns.TAGS.index(tag)] == screening._STAYS for tag in columns.TAGS]
    assert {tag for tag, stays in zip(columns.TAGS, after, strict=True) if stays} == several


class TestWhoAsks:
    @pytest.mark.parametrize("ask", [lc.audit, lc.replay])
    def test_jobs_are_a_whole_number_of_at_least_one(self, ask: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match="jobs: expected int, got '2'"):
            ask([], jobs="2")
        with pytest.raises(ValueError, match="jobs: expected 1 or more, got 0"):
            ask([], jobs=0)

    def test_what_stands_before_a_file_that_is_missing_is_read_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replaying, "LONG", 0)
        (tmp_path / "a").write_bytes(b"no record\n")
        findings = lc.audit(log.read(tmp_path / "a", tmp_path / "b"))
        assert next(findings).line == 1
        with pytest.raises(lc.LogError):
            next(findings)
