"""What a log looks like, however its records come."""

import pickle
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle import log
from lifecycle.engines import columns, duckdb, parquet
from lifecycle.engines.report import Audit, Findings
from lifecycle.engines.survey import PARTS, SAMPLE, WORST, Life, Series, Stays, Survey
from lifecycle.rules import COUNTS
from tests.lives import DAY, HOUR, LIFE, T, records

NIGHT = Path(__file__).resolve().parents[1] / "cli" / "golden" / "night.jsonl"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def surveyed(found: Iterable[lc.Record | lc.LogError], *, worst: int = WORST, sample: int = SAMPLE) -> Audit:
    """An audit in one pass."""
    survey = Survey(worst=worst, sample=sample)
    done = Audit(Findings([str(NIGHT)], "log"), survey=survey)
    reducer = survey.reducer(lc.HOSTED)
    for finding in reducer.run(found):
        done.findings.add(finding)
    done.count(reducer)
    return done


def of(done: Audit) -> Survey:
    assert done.survey is not None
    return done.survey


def everything(survey: Survey) -> Any:
    """All that a survey says."""
    lives = [(life.id, life.events, life.findings, life.broken, life.moments(survey.files)) for life in survey.lives()]
    stays = {phase: (one.number, one.shortest, one.longest, one.classes) for phase, one in survey.stays.items()}
    return survey.series.width, survey.series.columns(), stays, lives, survey.broken, survey.first, survey.last


def night() -> list[lc.Record]:
    return list(log.read(NIGHT, on_error=lambda _: None))


def by_batch(found: Sequence[lc.Record]) -> list[list[lc.Record]]:
    ordered = sorted(found, key=lambda record: record.batch_id)
    return [list(group) for _, group in groupby(ordered, key=lambda record: record.batch_id)]


class TestAgainstReplay:
    """The sums are those of the batches that `replay` rebuilds, record by record."""

    def test_requests_over_time(self) -> None:
        survey = of(surveyed(night()))
        sums: dict[int, list[int]] = {}
        for stream in by_batch(night()):
            before = dict.fromkeys(COUNTS, 0)
            for number, record in enumerate(stream, 1):
                report = lc.replay(stream[:number], profile=lc.HOSTED)
                earlier = lc.replay(stream[: number - 1], profile=lc.HOSTED)
                after = before
                if batch := report.batches.get(record.batch_id):
                    after = {name: getattr(batch.request_counts, name) for name in COUNTS}
                second = (record.recorded_at - EPOCH) // timedelta(seconds=1)
                moved = [after[name] - before[name] for name in COUNTS]
                more = len(report.findings) - len(earlier.findings)
                at = sums.setdefault(second // survey.series.width * survey.series.width, [0] * 7)
                at[:] = [one + other for one, other in zip(at, [*moved, 1, more], strict=True)]
                before = after
        found = survey.series.columns()
        assert [(one.start, [*one.moved, one.events, one.findings]) for one in found] == sorted(sums.items())
        assert survey.series.width == 1

    def test_time_in_each_phase(self) -> None:
        survey = of(surveyed(night()))
        spans: dict[lc.Phase, list[timedelta]] = {phase: [] for phase in survey.stays}
        for batch in lc.replay(night(), profile=lc.HOSTED).batches.values():
            cancel, ended, archived, deleted = (
                batch.cancel_initiated_at,
                batch.ended_at,
                batch.archived_at,
                batch.deleted_at,
            )
            moments = [
                (lc.Phase.IN_PROGRESS, batch.created_at),
                (lc.Phase.CANCELING, cancel),
                (lc.Phase.ENDED, ended),
                (lc.Phase.ARCHIVED, archived),
                (lc.Phase.DELETED, deleted),
            ]
            seen = [(phase, time) for phase, time in moments if time is not None]
            for (phase, since), (_, until) in pairwise(seen):
                spans[phase].append(until - since)
        for phase, stays in survey.stays.items():
            assert stays.number == len(spans[phase]) == sum(stays.classes.values()) > 0
            assert (stays.shortest, stays.longest) == (min(spans[phase]), max(spans[phase]))

    def test_the_lives_of_all_broken_batches(self) -> None:
        survey = of(surveyed(night()))
        report = lc.replay(night(), profile=lc.HOSTED)
        counts = Counter(finding.batch_id for finding in report.findings)
        assert survey.broken == len(report.broken) == 14
        expected = sorted(report.broken, key=lambda name: (-counts[name], name))
        assert [(life.id, life.findings) for life in survey.lives()] == [(name, counts[name]) for name in expected]
        for life in survey.lives():
            own = [record for record in night() if record.batch_id == life.id]
            moments = life.moments(survey.files)
            assert [(m.version, m.recorded_at, m.tag, (m.file, m.line)) for m in moments] == [
                (record.version, record.recorded_at, record.event.tag, record.place) for record in own
            ]
            first = next(f for f in report.findings if f.batch_id == life.id and f.rule.tier is lc.Tier.LAW)
            assert (moments[life.broken].version, moments[life.broken].line) == (first.version, first.line)
            tiers = {f.line: f.rule.tier for f in report.findings if f.batch_id == life.id}
            law = {f.line for f in report.findings if f.rule.tier is lc.Tier.LAW}
            for moment in moments:
                assert moment.tier == (lc.Tier.LAW if moment.line in law else tiers.get(moment.line))


class TestWhoeverReads:
    """It says the same, however the records come."""

    def test_lines_records_parquet_and_sorted_streams(self, tmp_path: Path) -> None:
        expected = everything(of(surveyed(log.read(NIGHT, on_error=lambda _: None))))
        assert everything(of(surveyed(night()))) == expected
        done = Audit(Findings([str(NIGHT)], "log"), survey=Survey())
        sources = [duckdb.Source(str(NIGHT), lambda: columns.of_lines(log.read(NIGHT)))]
        told = duckdb.audit_sources(sources, profile=lc.HOSTED, order="log", memory_limit=None, threads=None, done=done)
        assert told is done
        assert everything(of(done)) == expected
        plain = duckdb.audit([NIGHT], profile=lc.HOSTED)
        assert (done.events, done.streams, done.broken, done.phases) == (
            plain.events,
            plain.streams,
            plain.broken,
            plain.phases,
        )
        assert list(done.findings) == list(plain.findings)
        path = tmp_path / "night.parquet"
        with parquet.Writer(path) as file:
            for record in night():
                file.add(record)
        found = of(surveyed(parquet.read(path)))
        assert everything(found)[:3] == expected[:3]

    def test_refused_lines_are_findings_of_no_batch(self) -> None:
        refused: list[lc.LogError] = []
        whole = list(log.read(NIGHT, on_error=refused.append))
        done = surveyed([*refused, *whole])
        assert done.findings.rules["wire"] == len(refused) == 4
        assert everything(of(done)) == everything(of(surveyed(whole)))

    @pytest.mark.parametrize("parts", [1, 2, 5])
    def test_parts_add_up(self, parts: int) -> None:
        streams = by_batch(night())
        whole = Survey(worst=2, sample=3)
        for number in range(parts):
            some = [record for stream in streams[number::parts] for record in stream]
            whole.add(pickle.loads(pickle.dumps(of(surveyed(some, worst=2, sample=3)))))
        assert everything(whole) == everything(of(surveyed(night(), worst=2, sample=3)))

    def test_nothing_adds_nothing(self) -> None:
        survey = of(surveyed(night()))
        before = everything(survey)
        survey.add(Survey())
        assert everything(survey) == before
        assert everything(of(surveyed([]))) == everything(Survey())

    def test_records_without_a_place(self) -> None:
        survey = of(surveyed([lc.Record("a", 2, LIFE[3], None, T)]))
        [moment] = survey.lives()[0].moments(survey.files)
        assert (moment.file, moment.line, moment.phase, moment.tier) == (None, None, None, lc.Tier.LAW)
        whole = Survey()
        whole.add(survey)
        assert whole.lives()[0].moments(whole.files) == [moment]


class TestSeries:
    def test_columns_become_wider_when_there_are_too_many(self) -> None:
        series, sums = Series(limit=8), Counter[int]()
        chance = random.Random(1)
        for _ in range(1000):
            second = chance.randrange(40_000)
            series.at(EPOCH + timedelta(seconds=second, microseconds=999_999))[-2] += 1
            sums[second // 10_800 * 10_800] += 1
        assert series.width == 10_800
        assert {column.start: column.events for column in series.columns()} == sums
        assert [column.start for column in series.columns()] == sorted(sums)

    def test_all_years_fit(self) -> None:
        series = Series(limit=2)
        for year in (1, 1969, 1970, 9999):
            series.at(datetime(year, 1, 1, tzinfo=UTC))[-2] += 1
        first, *_ = series.columns()
        assert sum(column.events for column in series.columns()) == 4
        assert len(series.columns()) == 2
        assert first.start < 0

    def test_the_wider_columns_count(self) -> None:
        narrow, wide = Series(), Series(limit=1)
        narrow.at(T)[0] += 3
        for time in (T, T + HOUR):
            wide.at(time)[0] += 1
        for one, other in ((narrow, wide), (wide, narrow)):
            both = pickle.loads(pickle.dumps(one))
            both.add(other)
            assert both.width == wide.width
            assert sum(column.moved[0] for column in both.columns()) == 5


class TestStays:
    def test_a_quantile_is_12_percent_too_long_at_most(self) -> None:
        chance = random.Random(2)
        spans = sorted(timedelta(microseconds=int(10 ** chance.uniform(0, 12))) for _ in range(501))
        stays = Stays()
        for span in chance.sample(spans, len(spans)):
            stays.add(span)
        for part in (0.01, 0.5, 0.9, 0.99, 1):
            exact = spans[max(0, -(-int(part * 1000) * len(spans) // 1000) - 1)]
            assert exact <= stays.quantile(part) <= exact * 10 ** (1 / PARTS) + timedelta(microseconds=1)
        assert stays.quantile(1) == spans[-1]

    def test_one_stay_is_every_quantile(self) -> None:
        stays = Stays()
        stays.add(timedelta(seconds=7))
        assert {stays.quantile(part) for part in (0.0, 0.5, 1.0)} == {timedelta(seconds=7)}

    def test_no_time_at_all_and_all_of_it(self) -> None:
        stays = Stays()
        for span in (timedelta(), timedelta(), timedelta(days=3_650_000)):
            stays.add(span)
        assert (stays.quantile(0.5), stays.quantile(1)) == (timedelta(), timedelta(days=3_650_000))

    def test_of_nothing_there_is_no_quantile_but_no_time(self) -> None:
        assert Stays().quantile(0.5) == timedelta()


class TestLives:
    def test_of_a_long_life_the_beginning_and_what_is_around_the_fault_is_kept(self) -> None:
        life = Life("a")
        for version in range(1, 1001):
            life.add(
                version, T + version * HOUR, 0, 0, "counts_updated", lc.Tier.LAW if version in {500, 510} else None
            )
        moments = life.moments([])
        versions = [moment.version for moment in moments]
        assert life.events == 1000
        assert moments[life.broken].version == 500
        assert versions[:8] == list(range(1, 9))
        assert versions[-1] == 500 + 24
        near = versions[8:]
        assert near == list(range(near[0], near[-1] + 1))
        assert near[0] <= 500 - 24
        assert [moment.skipped for moment in moments if moment.skipped] == [near[0] - 9]
        assert len(moments) < 8 + 48 + 26

    def test_the_worst_and_a_sample_are_kept(self) -> None:
        created, ended = LIFE[0], LIFE[3]
        found = []
        for number in range(100):
            name = f"b{number}"
            found += [lc.Record(name, 1, ended, None, T)] * (3 if number in {17, 23} else 1)
        found += records((created, ended), "msgbatch_01")
        assert isinstance(created, lc.Created)
        survey = of(surveyed(found, worst=2, sample=5))
        names = [life.id for life in survey.lives()]
        assert names[:2] == ["b17", "b23"]
        assert (len(names), survey.broken) == (7, 100)
        random.Random(3).shuffle(found)
        assert [life.id for life in of(surveyed(found, worst=2, sample=5)).lives()] == names
        other = [record for record in found if record.batch_id not in names[2:4]]
        assert set(names[4:]) < {life.id for life in of(surveyed(other, worst=2, sample=5)).lives()}

    def test_a_million_streams_take_no_more_than_a_few(self) -> None:
        """When a stream is done nothing of it is held but sums, unless it is one of the few."""
        survey = Survey(worst=1, sample=2)
        reducer = survey.reducer(lc.LAWS)
        done = Audit(Findings([], "log"), survey=survey)
        for number in range(50):
            list(reducer.run([lc.Record(f"b{number}", 1, LIFE[3], None, T + number * DAY)]))
            done.count(reducer)
            assert len(survey._open) == 0
            assert len(survey._worst._kept) <= 1
            assert len(survey._sample._kept) <= 3
        assert (survey.broken, len(survey.lives())) == (50, 3)
