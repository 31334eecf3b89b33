"""Following: the findings of an audit, as they come, each once, whenever it is stopped."""

import errno
import fcntl
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings

import lifecycle as lc
from lifecycle import following, log, wire
from lifecycle.digests import KEY
from lifecycle.following import Following, follow
from lifecycle.store import MemoryStore
from lifecycle.store.sql import SQLStore
from tests import kill_follow
from tests.lives import ARCHIVED, BY_PHASE, CANCELED, CREATED, DAY, DELETED, ENDED, HOUR, LIFE, REPEATED, T
from tests.test_screening import hostile, summed

ZERO, NEVER = timedelta(0), timedelta.max
PROFILES = (lc.LAWS, lc.HOSTED)


def line(record: lc.Record) -> bytes:
    return wire.encode_record(record) + b"\n"


def record(version: int, event: lc.Event, event_id: str | None = None, at: Any = T, batch_id: str = "b") -> lc.Record:
    return lc.Record(batch_id, version, event, event_id, at)


def life(batch_id: str = "b", events: tuple[lc.Event, ...] = LIFE, at: Any = T) -> list[lc.Record]:
    events = (attrs.evolve(CREATED, id=batch_id), *events[1:])
    return [record(version, event, None, at, batch_id) for version, event in enumerate(events, 1)]


def write(path: Path, *given_records: lc.Record) -> Path:
    with path.open("ab") as file:
        file.writelines(map(line, given_records))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log that is there, and empty."""
    found = tmp_path / "log.jsonl"
    found.touch()
    return found


def found_in(*logs: Any, **options: Any) -> list[lc.Finding]:
    """All findings so far."""
    return list(follow(*logs, until_end=True, **options))


def rules(findings: list[lc.Finding]) -> list[tuple[int | None, str]]:
    return [(finding.version, finding.rule.id) for finding in findings]


class TestTheFindings:
    """They are those of `audit`, in its order."""

    @staticmethod
    def same(path: Path, profile: lc.Profile = lc.LAWS, **more: Any) -> list[lc.Finding]:
        expected = list(lc.audit(log.read(path, on_error=str, **more), profile=profile))
        for forget_after in (ZERO, HOUR, NEVER):
            followed = follow(path, profile=profile, forget_after=forget_after, until_end=True, **more)
            assert list(followed) == expected
        return expected

    def test_of_a_log_with_faults_of_every_rule(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        arguments = ["generate", "--events", "700", "--seed", "3", "--faults", "0.3", "--interleave", "40"]
        made = subprocess.run([sys.executable, "-m", "lifecycle", *arguments], capture_output=True, check=True)
        path.write_bytes(made.stdout)
        for profile in PROFILES:
            every = {finding.rule.id for finding in self.same(path, profile)}
            assert every >= {"wire", "B5", "B11", "L1", "L2", "L3", "L4", "T1", "T3"}
            assert ("B14" in every) is (profile is lc.HOSTED)

    @pytest.mark.parametrize("phase", [None, lc.Phase.ENDED, lc.Phase.ARCHIVED, lc.Phase.DELETED])
    @pytest.mark.parametrize("ids", [None, "evt-{}"], ids=["usual event ids", "others"])
    def test_of_whatever_comes_late(self, path: Path, phase: lc.Phase | None, ids: str | None) -> None:
        """After the first part of a life all that may come: each event, early and late, at each version, as any id."""
        later = T + 400 * DAY  # all is forgotten but what is live
        late_events = [*LIFE, lc.Archived(T - DAY), lc.Deleted(T - DAY)]
        names = [None, "new" if ids is None else "evt-4"]
        firsts: list[lc.Record] = []
        lates: list[lc.Record] = []
        for version, event, name in itertools.product((0, 4, 5, 9), late_events, names):
            batch_id = f"b{len(firsts)}"
            events = [*(one for one in BY_PHASE[phase] if ids is None or one != CANCELED)]  # so that all is remembered
            first = [
                attrs.evolve(one, event_id=ids and ids.format(one.version)) for one in life(batch_id, tuple(events))
            ]
            if phase is None:
                first = []
            firsts += first
            late = record(version, event, name, later, batch_id)
            lates += [late, late, record(version + 1, DELETED, None, later, batch_id), *first]
        write(path, *firsts, record(1, attrs.evolve(CREATED, id="o"), at=later, batch_id="o"), *lates)
        expected = list(lc.audit(log.read(path), profile=lc.HOSTED))
        assert len(expected) > 64
        assert found_in(path, profile=lc.HOSTED, forget_after=HOUR) == expected

    @settings(max_examples=settings().max_examples // 3)
    @given(log_of=hostile())
    def test_of_any_log_but_for_what_is_forgotten(
        self, tmp_path_factory: pytest.TempPathFactory, log_of: tuple[bytes, int]
    ) -> None:
        """What is lost is lost of late records of finished streams alone: L3 or L4, or one of them for the other."""
        path = tmp_path_factory.getbasetemp() / "any.jsonl"
        path.write_bytes(log_of[0] + b"\n")
        for profile, forget_after in itertools.product(PROFILES, (ZERO, NEVER)):
            found = found_in(path, profile=profile, forget_after=forget_after, max_bytes=1500)
            expected = list(lc.audit(log.read(path, max_bytes=1500), profile=profile))
            late = [one for one in expected if one.rule.id in {"L3", "L4"} and one not in found]
            assert {one.line for one in found} | {one.line for one in late} == {one.line for one in expected}
            assert [one for one in found if one.rule.id not in {"L3", "L4"}] == [
                one for one in expected if one.rule.id not in {"L3", "L4"}
            ]

    def test_of_a_long_stream_that_has_finished_say_nothing_of_old_records(self, path: Path) -> None:
        """What a digest has no room for is taken for a repeat: this is what is lost."""
        events: tuple[lc.Event, ...] = (CREATED, *[REPEATED] * 100, ENDED, DELETED)
        wrong = [record(version, CANCELED, f"b/{version}") for version in (2, 102)]
        write(path, *life(events=events), *wrong)
        assert rules(list(lc.audit(log.read(path)))) == [(2, "L4"), (102, "L4")]
        assert rules(found_in(path)) == [(102, "L4")]

    def test_do_not_hang_on_where_a_block_ends(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(20):
            write(path, *life(f"b{number}", at=T + number * HOUR), record(9, REPEATED, batch_id=f"b{number}"))
        expected = found_in(path, forget_after=HOUR)
        assert len(expected) == 40
        for size in (1, 7, 1000):
            monkeypatch.setattr(following, "CHUNK", size)
            assert found_in(path, forget_after=HOUR) == expected

    def test_of_lines_in_any_form(self, path: Path) -> None:
        found = life()
        usual = [line(one) for one in found]
        odd = [b"", b"{}", usual[3][:-21] + b"}", usual[4].rstrip().replace(b"+00:00", b"Z"), b"x" * 3000, b"\xff"]
        path.write_bytes(b"".join([*usual[:3], *(text + b"\n" for text in odd), *usual[5:], *usual]))
        found_rules = [one.rule.id for one in self.same(path, max_bytes=1500)]
        assert found_rules == ["wire", "wire", "wire", "wire", "L3", "L3"]

    def test_of_ids_that_are_written_otherwise_in_a_source(self, path: Path) -> None:
        write(path, *life("100%"), *life("a b"), *life("é"), record(1, CREATED, batch_id="é"))
        assert len(self.same(path)) == 1

    def test_of_a_created_that_names_another_batch(self, path: Path) -> None:
        write(path, record(1, CREATED), record(1, attrs.evolve(CREATED, id="b")), record(2, REPEATED))
        assert rules(self.same(path)) == [(1, "L2")]

    def test_of_a_value_that_is_no_time(self, path: Path) -> None:
        """It cannot be seen before the data are read, in a line that is well-formed otherwise."""
        path.write_bytes(summed(line(life()[0]).replace(b'_at":"2025-01-29T14', b'_at":"2025-01-29T99')))
        assert rules(self.same(path)) == [(None, "wire")]


class TestWhatIsHeld:
    """Live streams, and digests of those that have finished."""

    def counts(self, path: Path, forget_after: timedelta) -> tuple[int, int]:
        followed = follow(path, forget_after=forget_after, until_end=True)
        list(followed)
        totals = followed.totals()
        report = lc.replay(log.read(path))
        phases = dict.fromkeys(lc.Phase, 0)
        for batch in report.batches.values():
            phases[batch.phase] += 1
        assert (totals.events, totals.streams, totals.broken) == (report.events, report.streams, len(report.broken))
        assert totals.phases == phases
        assert (followed.live + followed.finished, followed.events) == (report.streams, report.events)
        return followed.live, followed.finished

    def test_is_counted_together(self, path: Path) -> None:
        for place, phase in enumerate(lc.Phase):
            write(path, *life(f"b{place}", BY_PHASE[phase]))
            write(path, *life(f"x{place}", BY_PHASE[phase]), record(9, CREATED, batch_id=f"x{place}"))
        write(path, record(1, REPEATED, batch_id="n"), record(1, REPEATED, batch_id="n"), *life("n", BY_PHASE[None]))
        assert self.counts(path, DAY) == (7, 4)

    def test_a_batch_that_has_ended_is_forgotten_by_the_times_in_the_log(self, path: Path) -> None:
        """For longer than asked, by the latest time that was read until then, whatever its own record says."""
        write(path, *life("early", LIFE[:3], T + 10 * HOUR))
        write(path, record(4, ENDED, at=T, batch_id="early"))
        for hours, held in ((0, 1), (10, 1), (20, 1), (21, 0), (5, 0)):
            at = T + hours * HOUR
            write(path, record(1, attrs.evolve(CREATED, id=f"o{hours}"), at=at, batch_id=f"o{hours}"))
            assert (self.counts(path, 10 * HOUR)[1] == 0) is bool(held), hours

    def test_those_that_ended_first_are_forgotten_first(self, path: Path) -> None:
        for hours in range(5):
            write(path, *life(f"b{hours}", BY_PHASE[lc.Phase.ENDED], T + hours * HOUR))
        write(path, record(5, DELETED, at=T + 4 * HOUR, batch_id="b0"))  # the first is forgotten for another reason
        assert self.counts(path, 2 * HOUR) == (3, 2)
        write(path, record(2, REPEATED, at=T + 9 * HOUR, batch_id="b4"))
        assert self.counts(path, 2 * HOUR) == (0, 5)
        assert self.counts(path, NEVER) == (4, 1)

    def test_takes_less_than_64_bytes_a_finished_stream_and_a_thousand_a_live_one(self, path: Path) -> None:
        """As the allocator counts it; `benchmarks/follow.py` measures the process, with a million of them."""
        events = (CREATED, *[REPEATED] * 5, *LIFE[2:])
        texts = [line(one)[:-21] for one in life("b0000", events)]

        def held(count: int, texts: list[bytes]) -> float:
            with path.open("wb") as file:
                for number in range(count):
                    for text in texts:
                        body = text.replace(b"b0000", b"b%04d" % number)
                        file.write(b'%b,"crc32":"%08x"}\n' % (body, zlib.crc32(body + b"}")))
            tracemalloc.start()
            try:
                followed = follow(path, until_end=True)
                list(followed)
                assert followed.live + followed.finished == count
                return tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()

        held(10, texts)  # compiles
        finished = (held(250, texts) - held(50, texts)) / 200
        live = (held(100, texts[:-3]) - held(50, texts[:-3])) / 50
        assert KEY < finished < 64
        assert 300 < live < 1000


class Clock:
    """Seconds that go by when somebody sleeps, and what happens meanwhile."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.now = 0.0
        self._happens = iter(happens)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        next(self._happens)()


def stop() -> None:
    raise KeyboardInterrupt


def followed(clock: Clock, *logs: Any, **options: Any) -> list[lc.Finding]:
    """What is found until somebody stops."""
    found: list[lc.Finding] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(follow(*logs, sleep=clock.sleep, clock=clock, **options))
    return found


class TestALogThatGrows:
    def test_is_waited_for_and_judged_as_it_comes(self, path: Path) -> None:
        found = life()
        write(path, *found[:2])
        seen: list[tuple[int, bool, float]] = []
        clock = Clock(
            lambda: write(path, *found[3:]),
            lambda: None,
            lambda: write(path, found[2]),
            stop,
        )
        watch = follow(
            path,
            sleep=clock.sleep,
            clock=clock,
            on_progress=lambda now: seen.append((now.events, now.waiting, clock.now)),
            poll=2,
        )
        assert rules([next(watch)]) == [(4, "L3")]
        assert rules([next(watch)]) == [(3, "L3")]
        with pytest.raises(KeyboardInterrupt):
            next(watch)
        assert seen[:2] == [(2, False, 0), (2, True, 0)]
        assert [found for found in seen if found[2]][:2] == [(5, False, 2), (5, True, 2)]
        assert seen[-1] == (6, True, 6)

    def test_a_line_without_an_end_is_waited_for(self, path: Path) -> None:
        whole = b"".join(map(line, life()))
        cut = whole.rindex(b'"sequence"')
        path.write_bytes(whole[:cut])
        states: list[tuple[tuple[tuple[str, int], ...], int]] = []

        def rest() -> None:
            with path.open("ab") as file:
                file.write(whole[cut:])

        clock = Clock(rest, stop)
        watch = follow(
            path, sleep=clock.sleep, clock=clock, on_progress=lambda now: states.append((now.unfinished, now.behind))
        )
        with pytest.raises(KeyboardInterrupt):
            assert list(watch) == []
        assert states[1][0] == ((str(path), 6),)
        assert states[1][1] > 0
        assert states[-1] == ((), 0)
        assert watch.events == 6

    def test_a_torn_line_that_a_writer_cuts_off_was_never_read(self, path: Path) -> None:
        write(path, *life(events=LIFE[:2]))
        with path.open("ab") as file:
            file.write(b'{"specversion": "torn')
        clock = Clock(lambda: log.append(path, life()[2:]), stop)
        assert followed(clock, path) == []

    def test_a_long_line_is_a_finding_as_soon_as_it_is_too_long(self, path: Path) -> None:
        def add(data: bytes) -> None:
            with path.open("ab") as file:
                file.write(data)

        found = life()
        write(path, found[0])
        clock = Clock(
            lambda: add(b"x" * 900),
            lambda: add(b"x" * 200),
            lambda: add(b"x" * 5000),
            lambda: add(b"x\n" + line(found[2])),
            stop,
        )
        findings = followed(clock, path, max_bytes=1000)
        assert [(one.line, one.rule.id) for one in findings] == [(2, "wire"), (3, "L3")]

    def test_several_logs_take_turns(self, tmp_path: Path) -> None:
        one, other = write(tmp_path / "one", *life()[:2]), write(tmp_path / "other", life()[2])
        clock = Clock(lambda: (write(other, life()[4]), write(one, life()[3])), stop)
        assert followed(clock, one, other) == []
        with SQLStore(f"sqlite:///{tmp_path / 'batches.db'}") as store:
            store.import_records(life("c"))
            (path := tmp_path / "rest").touch()
            clock = Clock(lambda: store.append("d", [attrs.evolve(CREATED, id="d")], expected_version=0), stop)
            assert followed(clock, path, store, path) == []

    def test_a_store_is_waited_for(self) -> None:
        store = MemoryStore()
        store.append("b", [attrs.evolve(CREATED, id="b")], expected_version=0)
        clock = Clock(lambda: store.append("b", [REPEATED, CANCELED], expected_version=1), stop)
        watch = follow(store, sleep=clock.sleep, clock=clock)
        with pytest.raises(KeyboardInterrupt):
            list(watch)
        assert (watch.events, watch.unfinished, watch.behind) == (3, (), 0)

    def test_a_finding_in_a_store_has_its_position(self, tmp_path: Path) -> None:
        with SQLStore(f"sqlite:///{tmp_path / 'batches.db'}") as store:
            store.append(
                "b", [attrs.evolve(CREATED, id="b"), lc.CountsUpdated(lc.RequestCounts(3, 1))], expected_version=0
            )
            (finding,) = found_in(store, profile=lc.HOSTED)
            assert (finding.rule.id, finding.file, finding.line) == ("B7", store.url, 2)

    def test_it_stops_after_the_lines_that_are_being_judged(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "CHUNK", 100)
        write(path, *life(), *life("c"))
        seen = []

        def enough(now: Following) -> None:
            seen.append(now.events)
            now.stop()

        watch = follow(path, on_progress=enough)
        assert list(watch) == []
        assert seen == [1]
        assert (watch.unfinished, watch.behind > 0) == ((), True)  # the next line has an end, only nobody has seen it

    def test_it_waits_by_itself(self, path: Path) -> None:
        polls = []

        def enough(now: Following) -> None:
            polls.append(now.waiting)
            if len(polls) == 3:
                now.stop()

        assert list(follow(path, on_progress=enough, poll=0.001)) == []
        assert polls == [True] * 3


class TestACheckpoint:
    """All that is needed to go on."""

    LOG = (
        *life("a", at=T),
        *life("b", BY_PHASE[lc.Phase.ENDED], T + HOUR),
        *life("c", BY_PHASE[lc.Phase.CANCELING], T + 2 * HOUR),
        record(9, REPEATED, batch_id="c", at=T + 2 * HOUR),  # a gap
        *life("d", BY_PHASE[lc.Phase.ENDED], T + 30 * HOUR),
        record(1, ENDED, batch_id="e", at=T + 30 * HOUR),  # no created
        record(2, DELETED, batch_id="a", at=T + 30 * HOUR),  # changed
        record(2, CANCELED, batch_id="c", at=T + 30 * HOUR),  # changed
        record(9, REPEATED, batch_id="c", at=T + 31 * HOUR),  # a repeat
        record(10, lc.CountsUpdated(lc.RequestCounts(5)), batch_id="c", at=T + 31 * HOUR),
        record(5, ARCHIVED, batch_id="b", at=T + 32 * HOUR),
        record(6, CANCELED, batch_id="b", at=T + 32 * HOUR),
        record(2, REPEATED, batch_id="e", at=T + 33 * HOUR),
        record(5, lc.Archived(T), batch_id="d", at=T + 90 * HOUR),
    )

    def test_lets_it_go_on_after_every_record(self, path: Path, tmp_path: Path) -> None:
        expected = []
        for profile in PROFILES:
            path.write_bytes(b"")
            checkpoint = tmp_path / profile.name
            found = []
            for one in self.LOG:
                write(path, one)
                part = follow(path, profile=profile, checkpoint=checkpoint, until_end=True)
                found += list(part)
            expected = list(lc.audit(log.read(path), profile=profile))
            assert found == expected
            last = follow(path, profile=profile, checkpoint=checkpoint, until_end=True)
            assert list(last) == []
            whole = follow(path, profile=profile, until_end=True)
            list(whole)
            assert (last.totals(), last.live, last.finished) == (whole.totals(), whole.live, whole.finished)
            assert (last.resumed, whole.resumed, last.checkpoints) == (True, False, 0)
        assert len(expected) >= 10

    def test_is_of_a_store_too(self, tmp_path: Path) -> None:
        store = MemoryStore()
        options: dict[str, Any] = {"checkpoint": tmp_path / "checkpoint", "profile": lc.HOSTED, "until_end": True}
        assert list(follow(store, **options)) == []
        store.append("b", [attrs.evolve(CREATED, id="b"), lc.CountsUpdated(lc.RequestCounts(3, 1))], expected_version=0)
        assert rules(list(follow(store, **options))) == [(2, "B7")]
        assert list(follow(store, **options)) == []
        store.append("c", [attrs.evolve(CREATED, id="c"), lc.CountsUpdated(lc.RequestCounts(3, 1))], expected_version=0)
        assert rules(list(follow(store, **options))) == [(2, "B7")]

    def test_of_a_store_the_last_record_of_which_was_forgotten_is_good(self, tmp_path: Path) -> None:
        store, checkpoint = MemoryStore(), tmp_path / "checkpoint"
        store.import_records(life("b"))
        assert found_in(store, checkpoint=checkpoint) == []
        store.forget("b")
        assert found_in(store, checkpoint=checkpoint) == []
        store.import_records(life("c"))
        assert found_in(store, checkpoint=checkpoint) == []
        other = MemoryStore()
        other.import_records(life("c"))
        empty = MemoryStore()
        for wrong in (other, empty):
            with pytest.raises(lc.LogError, match="another store than the one that was read before"):
                found_in(wrong, checkpoint=checkpoint)

    def test_is_written_as_often_as_asked_and_no_more(self, path: Path, tmp_path: Path) -> None:
        more = [lambda number=number: write(path, *life(f"b{number}")) for number in range(40)]
        clock = Clock(*more, stop)
        watch = follow(
            path,
            checkpoint=tmp_path / "c",
            every=timedelta(seconds=5),
            poll=1,
            sleep=clock.sleep,
            clock=clock,
        )
        with pytest.raises(KeyboardInterrupt):
            list(watch)
        assert watch.checkpoints == 1 + 40 // 5  # the first, to see that it can be written, and the last
        assert watch.spent == 0

    def test_that_takes_long_is_written_less_often(self, path: Path, tmp_path: Path) -> None:
        more = [lambda number=number: write(path, *life(f"b{number}")) for number in range(40)]
        clock = Clock(*more, stop)

        def slow() -> float:
            clock.now += 0.25  # to write a checkpoint takes a quarter of a second, by this clock
            return clock.now

        watch = follow(path, checkpoint=tmp_path / "c", every=ZERO, poll=1, sleep=clock.sleep, clock=slow)
        with pytest.raises(KeyboardInterrupt):
            list(watch)
        assert watch.spent == 0.25 * watch.checkpoints
        assert watch.spent < clock.now / 20 + 0.5

    def test_of_lines_that_are_too_long_goes_on_in_the_middle_of_one(self, path: Path, tmp_path: Path) -> None:
        options: dict[str, Any] = {"checkpoint": tmp_path / "c", "max_bytes": 1000}
        write(path, life()[0])
        for data, expected in (
            (b"x" * 1500, [(2, "wire")]),
            (b"x" * 1500, []),
            (b"\n" + line(life()[2]), [(3, "L3")]),
        ):
            with path.open("ab") as file:
                file.write(data)
            assert [(one.line, one.rule.id) for one in found_in(path, **options)] == expected

    def test_has_the_longest_time_that_there_is(self, path: Path, tmp_path: Path) -> None:
        """It has more microseconds than 64 bits hold."""
        write(path, *self.LOG)
        expected = found_in(path, forget_after=NEVER)
        assert found_in(path, forget_after=NEVER, checkpoint=tmp_path / "c") == expected
        assert found_in(path, forget_after=NEVER, checkpoint=tmp_path / "c") == []

    def test_where_it_ends_in_the_middle_of_a_block_what_was_given_is_given_again(
        self, path: Path, tmp_path: Path
    ) -> None:
        """At least once: who asks for the next finding has the last one; who does not, gets it again."""
        write(path, *self.LOG)
        expected = found_in(path)
        watch = follow(path, checkpoint=tmp_path / "c", until_end=True)
        assert [next(watch), next(watch)] == expected[:2]
        watch.close()
        assert found_in(path, checkpoint=tmp_path / "c") == expected


class TestAFileOfFindings:
    """Each finding is in it once, wherever it was stopped."""

    @staticmethod
    def stopped_everywhere(path: Path, folder: Path, again: Callable[[Path, Path], Following]) -> Iterator[Path]:
        """A process that dies after each finding, and one that goes on to the end; the file of findings of each."""
        for after in itertools.count():
            work = folder / str(after)
            work.mkdir()
            watch = again(path, work)
            given = list(itertools.islice(watch, after))
            watch._found = iter(())  # type: ignore[assignment] # it dies: nothing more is done, not even closed
            list(again(path, work))
            yield work / "findings.jsonl"
            if len(given) < after:
                return

    @pytest.fixture
    def lines(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """What has to be found in the log, as lines. It is read in several blocks."""
        monkeypatch.setattr(following, "CHUNK", 2000)
        monkeypatch.setattr(following, "fcntl", None)  # for who died here is alive still
        write(path, *TestACheckpoint.LOG)
        return [following.encode_finding(one) for one in found_in(path)]

    @staticmethod
    def follow(path: Path, work: Path) -> Following:
        names = {"checkpoint": work / "checkpoint", "findings": work / "findings.jsonl"}
        return follow(path, **names, every=ZERO, until_end=True)  # type: ignore[arg-type] # of paths alone

    def test_has_each_of_them_once(self, path: Path, tmp_path: Path, lines: list[bytes]) -> None:
        tried = 0
        for findings in self.stopped_everywhere(path, tmp_path, self.follow):
            assert findings.read_bytes().splitlines(keepends=True) == lines
            tried += 1
        assert tried == len(lines) + 2

    def test_has_some_twice_if_it_is_not_cut_to_the_checkpoint(
        self, path: Path, tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The negative control of the test above, and of its other half."""
        monkeypatch.setattr(following._Findings, "restore", lambda _, __: None)
        sizes = [
            len(findings.read_bytes().splitlines()) for findings in self.stopped_everywhere(path, tmp_path, self.follow)
        ]
        assert max(sizes) > len(lines)
        assert min(sizes) == len(lines)

    def test_misses_some_if_the_checkpoint_is_written_before_they_are_given(
        self, path: Path, tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other negative control."""
        given = Following._given

        def early(self: Following, part: Iterator[lc.Finding]) -> Iterator[lc.Finding]:
            found = list(part)
            self._save()
            yield from given(self, iter(found))

        monkeypatch.setattr(Following, "_given", early)
        sizes = [
            len(findings.read_bytes().splitlines()) for findings in self.stopped_everywhere(path, tmp_path, self.follow)
        ]
        assert min(sizes) < len(lines)

    def test_is_whole_however_it_is_killed(self) -> None:
        ran = subprocess.run([sys.executable, kill_follow.__file__, "--times", "5"], capture_output=True, check=True)
        tally = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", ran.stdout.decode())}
        assert tally["kills"] == 5
        assert tally["findings"] == tally["logs"] * 4 * kill_follow._STREAMS
        assert (tally["missed"], tally["wrong"]) == (0, 0)

    def test_lines_are_json_in_ascii(self, path: Path) -> None:
        write(path, record(2, REPEATED, batch_id="é\x7f\u2028"))
        (finding,) = found_in(path)
        text = following.encode_finding(finding)
        assert text.isascii()
        assert b"\x7f" not in text
        values = json.loads(text)
        assert (values["batch_id"], values["rule"], values["phase"]) == ("é\x7f\u2028", "L1", None)
        assert list(values) == [
            *("batch_id", "version", "file", "line", "rule", "tier", "event", "phase", "allowed", "message")
        ]

    def test_is_not_written_by_two(self, path: Path, tmp_path: Path) -> None:
        write(path, *TestACheckpoint.LOG)
        watch = self.follow(path, tmp_path)
        next(watch)
        with pytest.raises(lc.LogError, match="somebody else is writing it"):
            next(self.follow(path, tmp_path))
        watch.close()
        assert next(self.follow(path, tmp_path)).rule.id == "L3"

    @pytest.mark.usefixtures("children_are_measured")
    def test_is_written_where_the_system_has_no_locks(self, path: Path, tmp_path: Path) -> None:
        write(path, *life()[:1], life()[2])
        script = """if True:
            import sys
            sys.modules["fcntl"] = None
            from lifecycle.following import follow
            path, checkpoint, findings = sys.argv[1:]
            assert len(list(follow(path, checkpoint=checkpoint, findings=findings, until_end=True))) == 1
        """
        names = [str(path), str(tmp_path / "checkpoint"), str(tmp_path / "findings.jsonl")]
        subprocess.run([sys.executable, "-c", script, *names], check=True)
        assert (tmp_path / "findings.jsonl").read_bytes().count(b"\n") == 1

    def test_of_others_is_refused_and_left_as_it_is(self, path: Path, tmp_path: Path) -> None:
        write(path, *TestACheckpoint.LOG)
        findings = tmp_path / "findings.jsonl"
        findings.write_bytes(b"of another\n")
        with pytest.raises(lc.LogError, match="it is not empty, and there is no checkpoint yet: give another file"):
            list(self.follow(path, tmp_path))
        assert findings.read_bytes() == b"of another\n"
        findings.unlink()
        list(self.follow(path, tmp_path))
        for wrong in (b"", b"x" + findings.read_bytes()[1:]):
            findings.write_bytes(wrong)
            with pytest.raises(lc.LogError, match="name the file that the checkpoint was written with"):
                list(self.follow(path, tmp_path))
            assert findings.read_bytes() == wrong

    def test_goes_with_a_checkpoint_from_its_beginning_to_its_end(self, path: Path, tmp_path: Path) -> None:
        """Neither may it go, nor come later: it would not have the findings that were given before."""
        write(path, *TestACheckpoint.LOG)
        list(self.follow(path, tmp_path))
        with pytest.raises(lc.LogError, match="was written with a file of findings"):
            found_in(path, checkpoint=tmp_path / "checkpoint")
        assert len(found_in(path, checkpoint=tmp_path / "without")) > 5
        with pytest.raises(lc.LogError, match="was written without a file of findings"):
            found_in(path, checkpoint=tmp_path / "without", findings=tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_is_not_made_by_a_start_that_is_refused(self, path: Path, tmp_path: Path) -> None:
        new, empty = tmp_path / "new", tmp_path / "empty"
        empty.touch()
        write(path, *TestACheckpoint.LOG)
        list(self.follow(path, tmp_path))
        for findings in (new, empty):
            with pytest.raises(lc.LogError, match="name the file that the checkpoint was written with"):
                found_in(path, checkpoint=tmp_path / "checkpoint", findings=findings)
            with pytest.raises(lc.LogError, match="the checkpoint cannot be written"):
                found_in(path, checkpoint=tmp_path / "nowhere" / "c", findings=findings)
            with pytest.raises(lc.LogError, match="No such file"):
                found_in(tmp_path / "nowhere", checkpoint=tmp_path / "c", findings=findings)
        assert (new.exists(), empty.read_bytes()) == (False, b"")

    def test_on_a_disk_that_is_full_is_told_and_gone_on_with(
        self, path: Path, tmp_path: Path, lines: list[bytes]
    ) -> None:
        """It has a part of a finding then, which the checkpoint does not count."""
        findings = tmp_path / "findings.jsonl"
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        watch = self.follow(path, tmp_path)
        next(watch)
        size = len(lines[0]) + 10
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with pytest.raises(lc.LogError, match="cannot be written: File too large") as error:
                next(watch)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert error.value.path == str(findings)
        assert findings.stat().st_size == size
        list(self.follow(path, tmp_path))
        assert findings.read_bytes().splitlines(keepends=True) == lines

    def test_that_cannot_be_written_is_told(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(lc.LogError, match="cannot be written") as error:
            found_in(path, checkpoint=tmp_path / "c", findings=tmp_path)
        assert error.value.path == str(tmp_path)
        with pytest.raises(lc.LogError, match="cannot be written: .*null"):
            found_in(path, checkpoint=tmp_path / "c", findings="a\0b")


class TestWhatIsRefused:
    """Clearly, and with nothing changed."""

    @pytest.fixture
    def checkpoint(self, path: Path, tmp_path: Path) -> Path:
        write(path, *TestACheckpoint.LOG)
        found_in(path, checkpoint=tmp_path / "checkpoint")
        return tmp_path / "checkpoint"

    @staticmethod
    def refused(checkpoint: Path, *logs: Any, **options: Any) -> str:
        before = checkpoint.read_bytes()
        with pytest.raises(lc.LogError) as error:
            found_in(*logs, checkpoint=checkpoint, **options)
        assert checkpoint.read_bytes() == before
        return error.value.reason

    @pytest.mark.parametrize(
        ("options", "what"),
        [
            ({"profile": lc.HOSTED}, "profile"),
            ({"forget_after": HOUR}, "time to forget after"),
            ({"max_bytes": 2000}, "longest line"),
        ],
    )
    def test_a_checkpoint_of_other_options(
        self, path: Path, checkpoint: Path, options: dict[str, Any], what: str
    ) -> None:
        assert f"another {what};" in self.refused(checkpoint, path, **options)

    def test_a_checkpoint_of_other_logs(self, path: Path, checkpoint: Path, tmp_path: Path) -> None:
        assert self.refused(checkpoint, path, path) == "it is one of 1 logs, not of 2"
        assert "is one of a file" in self.refused(checkpoint, MemoryStore())
        found_in(MemoryStore(), checkpoint=tmp_path / "of a store")
        assert "is one of a store" in self.refused(tmp_path / "of a store", path)

    def test_a_log_that_is_another(self, path: Path, checkpoint: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        assert "it is shorter than the" in self.refused(checkpoint, path)
        for wrong in (b"x" + whole[1:], whole[:-2] + b"x\n"):
            path.write_bytes(wrong)
            assert (
                self.refused(checkpoint, path) == "it is another file than the one that was read before the checkpoint"
            )

    @pytest.mark.parametrize("change", ["a bit", "the end", "a tail", "all of it"])
    def test_a_checkpoint_that_is_damaged(self, path: Path, checkpoint: Path, change: str) -> None:
        whole = checkpoint.read_bytes()
        middle = len(whole) // 2
        damaged = {
            "a bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "the end": whole[:-20],
            "a tail": whole + b"\0",
            "all of it": whole[:25],
        }
        checkpoint.write_bytes(damaged[change])
        assert self.refused(checkpoint, path) == "it is damaged; start anew, with another file"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "it is no checkpoint"),
            (b"some text of somebody\n" * 9, "it is no checkpoint"),
            (
                b"lifecycle checkpoint 2\n" + b"\0" * 99,
                "it was written by another release; start anew, with another file",
            ),
        ],
    )
    def test_a_checkpoint_that_is_none(self, path: Path, tmp_path: Path, content: bytes, reason: str) -> None:
        (tmp_path / "c").write_bytes(content)
        assert self.refused(tmp_path / "c", path) == reason

    @pytest.mark.parametrize(
        "pieces",
        [[], [b"\0"], [b"\0\0\0\x01"], [b"\x01\0\0\0\xc1"], [b"\x04\0\0\0", msgspec.msgpack.encode([1, 2, 3])]],
    )
    def test_a_checkpoint_that_is_nonsense_with_the_right_sum(
        self, path: Path, tmp_path: Path, pieces: list[bytes]
    ) -> None:
        content = b"lifecycle checkpoint 1\n" + b"".join(pieces)
        (tmp_path / "c").write_bytes(content + following._hashed(content))
        assert self.refused(tmp_path / "c", path) == "it is damaged; start anew, with another file"

    def test_a_checkpoint_that_cannot_be_read_or_written(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(lc.LogError, match="the checkpoint cannot be read"):
            found_in(path, checkpoint=tmp_path)
        with pytest.raises(lc.LogError, match="the checkpoint cannot be written"):
            found_in(path, checkpoint=tmp_path / "nowhere" / "c")
        with pytest.raises(lc.LogError, match=r"the checkpoint cannot be read: .*null"):
            found_in(path, checkpoint="a\0b")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        found_in(path, checkpoint=tmp_path / "c")
        before = (tmp_path / "c").read_bytes()
        write(path, *life())
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(lc.LogError, match="No space left"):
                found_in(path, checkpoint=tmp_path / "c")
        assert (tmp_path / "c").read_bytes() == before
        assert not (tmp_path / "c.part").exists()
        watch = follow(path, checkpoint=tmp_path / "c", until_end=True)
        assert (list(watch), watch.events) == ([], 6)

    def test_a_checkpoint_that_somebody_else_is_writing(self, path: Path, tmp_path: Path) -> None:
        with (tmp_path / "c.part").open("ab") as file:
            assert following._locked(file)
            with pytest.raises(lc.LogError, match="somebody else is writing it"):
                found_in(path, checkpoint=tmp_path / "c")
        assert found_in(path, checkpoint=tmp_path / "c") == []

    def test_a_file_of_somebody_where_the_next_checkpoint_is_written(self, path: Path, tmp_path: Path) -> None:
        part = tmp_path / "c.part"
        for content in (b"notes of somebody\n", b"life", b"\0" * 40):
            part.write_bytes(content)
            if content == b"life":  # the beginning of one that was not written to its end
                assert found_in(path, checkpoint=tmp_path / "c") == []
                assert not part.exists()
                (tmp_path / "c").unlink()
                continue
            with pytest.raises(lc.LogError, match=r"c\.part is in its way, and is no checkpoint"):
                found_in(path, checkpoint=tmp_path / "c")
            assert part.read_bytes() == content
        assert not (tmp_path / "c").exists()

    def test_one_file_that_is_asked_to_be_two(self, path: Path, tmp_path: Path) -> None:
        """Also while there is none, and by another name."""
        part = tmp_path / "c.part"
        write(part, *TestACheckpoint.LOG)
        before = part.read_bytes()
        (tmp_path / "link").symlink_to(path)
        other = tmp_path / ".." / tmp_path.name / "c"
        c = tmp_path / "c"
        for log_of, checkpoint, findings, said in (
            (part, c, None, "would be the next checkpoint, and a log as well: give each a file of its own"),
            (path, tmp_path / "link", None, "would be the checkpoint, and a log as well"),
            (path, c, path, "would be the file of findings, and a log as well"),
            (path, c, tmp_path / "link", "would be the file of findings, and a log as well"),
            (path, c, other, "would be the checkpoint, and the file of findings as well"),
            (path, c, f"{other}.part", "would be the next checkpoint, and the file of findings as well"),
        ):
            with pytest.raises(ValueError, match=said):
                follow(MemoryStore(), log_of, checkpoint=checkpoint, findings=findings)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["c.part", "link", "log.jsonl"]
        assert (part.read_bytes(), path.read_bytes()) == (before, b"")

    @pytest.mark.parametrize("again", [True, False], ids=["and writes the next", "and has gone"])
    def test_a_checkpoint_is_not_emptied_that_another_has_just_put_there(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
    ) -> None:
        """Between opening the file and locking it, it may become the checkpoint."""
        lock = fcntl.flock
        whole = b"lifecycle checkpoint 1\nof another"
        name = tmp_path / "c"
        seen: list[bytes] = []

        def late(file: Any, how: int) -> None:
            if not seen:
                (tmp_path / "c.part").rename(tmp_path / "c")
                (tmp_path / "c").write_bytes(whole)
                if again:
                    (tmp_path / "c.part").touch()
            seen.append((tmp_path / "c").read_bytes())
            lock(file, how)

        monkeypatch.setattr(fcntl, "flock", late)
        watch = follow(path, checkpoint=name, until_end=True)
        assert list(watch) == []
        assert seen == [whole] * 2  # the second is a file of its own
        assert found_in(path, checkpoint=name) == []

    def test_what_is_no_file_that_grows(self, tmp_path: Path) -> None:
        gzip = tmp_path / "log.gz"
        gzip.write_bytes(b"\x1f\x8b rest")
        os.mkfifo(tmp_path / "pipe")
        for wrong, reason in (
            (tmp_path / "nowhere", "No such file"),
            (tmp_path, "only a regular file"),
            (tmp_path / "pipe", "only a regular file"),
            ("-", "only a regular file"),
            (gzip, "it is compressed"),
            ("", "only a regular file"),
            ("a\0b", "cannot be read: .*null"),
        ):
            with pytest.raises(lc.LogError, match=reason):
                found_in(wrong)

    def test_a_log_that_is_cut_off_or_replaced_while_it_is_followed(self, path: Path, tmp_path: Path) -> None:
        def replace() -> None:
            write(path, life()[3])
            path.rename(tmp_path / "log.1")
            write(path, *life("c"))

        for change, reason, judged in (
            (lambda: path.write_bytes(b""), "it was cut off or written anew", 2),
            (path.unlink, "another file has taken its place, or none, after line 2;", 2),
            (replace, "another file has taken its place, or none, after line 3;", 3),
        ):
            path.unlink(missing_ok=True)
            write(path, *life()[:2])
            checkpoint = tmp_path / f"checkpoint of {reason}"
            clock = Clock(change, stop)
            watch = follow(path, sleep=clock.sleep, clock=clock, checkpoint=checkpoint, every=NEVER)
            with pytest.raises(lc.LogError, match=reason):
                list(watch)
            assert watch.events == judged
            assert watch.checkpoints == 2  # what was judged is in it

    @pytest.mark.parametrize("size", [1, 60], ids=["of few bytes", "longer than what it is known by"])
    def test_a_log_that_is_written_anew_between_two_looks(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        """However long it is then, it is not read on, nor is it what the checkpoint says was read."""
        first = [one for number in range(size) for one in life(f"b{number}")]
        write(path, *first)
        whole = path.read_bytes()
        assert (len(whole) > 2 * following._SAMPLE) is (size > 1)
        monkeypatch.setattr(following, "CHUNK", 3000)
        head = whole[:-2] + b"x\n" + whole  # what is before the place is another
        tail = b"x" + whole[1:] + whole
        for number, now in enumerate((head, tail, b"x" * 2 * len(whole), b"\n" + whole[1:])):
            path.write_bytes(whole)
            clock = Clock(partial(path.write_bytes, now), stop)
            checkpoint = tmp_path / f"c{number}"
            watch = follow(path, sleep=clock.sleep, clock=clock, checkpoint=checkpoint, every=NEVER)
            with pytest.raises(lc.LogError, match="not the bytes any more that were read, up to line .*: it was wr"):
                list(watch)
            assert (watch.events, watch.checkpoints) == (len(first), 2)
            assert "it is another file than" in self.refused(checkpoint, path)
            path.write_bytes(whole)
            write(path, *life("later"))
            again = follow(path, checkpoint=checkpoint, until_end=True)
            assert (list(again), again.events) == ([], len(first) + 6)

    def test_a_log_that_is_cut_off_and_put_back_can_be_gone_on_with(self, path: Path, tmp_path: Path) -> None:
        write(path, *life()[:5])
        whole = path.read_bytes()
        clock = Clock(lambda: write(path, *life()[5:]), lambda: path.write_bytes(whole[:100]), stop)
        watch = follow(path, sleep=clock.sleep, clock=clock, checkpoint=tmp_path / "c", every=NEVER)
        with pytest.raises(lc.LogError, match="it was cut off or written anew"):
            list(watch)
        path.write_bytes(whole)
        write(path, *life()[5:], life()[2])
        again = follow(path, checkpoint=tmp_path / "c", until_end=True)
        assert (list(again), again.events) == ([], 7)

    def test_a_log_that_is_cut_off_while_it_is_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(path, *life())
        monkeypatch.setattr(following, "CHUNK", 100)
        clock = Clock(stop)
        watch = follow(path, sleep=clock.sleep, clock=clock, on_progress=lambda _: os.truncate(path, 100))
        with pytest.raises(lc.LogError, match="it was cut off or written anew"):
            list(watch)

    def test_a_log_that_cannot_be_read(self, path: Path) -> None:
        class Broken:
            def __init__(self, file: Any) -> None:
                self.fileno = file.fileno

            def seek(self, _: int) -> None:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        def fails() -> None:
            source: Any = watch._sources[0]
            source._file = Broken(source._file)
            write(path, *life())

        clock = Clock(fails, stop)
        watch = follow(path, sleep=clock.sleep, clock=clock)
        with pytest.raises(lc.LogError, match=r"cannot be read: Input/output error"):
            list(watch)

    @pytest.mark.parametrize(
        ("logs", "options", "error"),
        [
            ((), {}, ValueError),
            ((7,), {}, TypeError),
            (([],), {}, TypeError),
            (("a",), {"profile": "laws"}, TypeError),
            (("a",), {"forget_after": 3}, TypeError),
            (("a",), {"forget_after": timedelta(-1)}, ValueError),
            (("a",), {"every": timedelta(-1)}, ValueError),
            (("a",), {"findings": "f"}, ValueError),
        ],
    )
    def test_a_wrong_use(self, logs: tuple[Any, ...], options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            follow(*logs, **options)
