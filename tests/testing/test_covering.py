"""What streams exercise: arrows and rules, from none to all of them."""

from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import log, testing
from lifecycle.testing.covering import coverable
from lifecycle.testing.faults import NOT_IN_STREAMS
from tests.lives import CANCELED, CREATED, DAY, ENDED, HOUR, LIFE, REPEATED, T, records

PROFILES = [lc.LAWS, lc.HOSTED]
SHORT = [
    (CREATED, lc.Ended(T + HOUR, lc.RequestCounts(0, 4), "url"), LIFE[-1]),
    (CREATED, CANCELED, REPEATED, ENDED),
    (CREATED, lc.Ended(T + DAY + HOUR, lc.RequestCounts(0, 3, expired=1), "url")),
]
"""With `LIFE`, every arrow; and every case but that of L4."""


class TestArrows:
    def test_no_stream_takes_none(self) -> None:
        found = testing.covered([])
        assert found.arrows == frozenset()
        assert found.missing_arrows == tuple(lc.TRANSITIONS)
        assert found.percent == 0

    def test_a_whole_life_takes_its_own(self) -> None:
        assert testing.covered([LIFE]).missing_arrows == (
            ("in_progress", "ended"),
            ("canceling", "counts_updated"),
            ("ended", "deleted"),
        )

    def test_a_few_lives_take_all(self) -> None:
        assert testing.covered([LIFE, *SHORT]).missing_arrows == ()

    def test_an_illegal_event_takes_none(self) -> None:
        assert testing.covered([(CREATED, lc.Archived(T))]).arrows == {(None, "created")}
        assert testing.covered([(CREATED, lc.CountsUpdated(lc.RequestCounts(9)))]).arrows == {(None, "created")}

    def test_an_event_that_breaks_a_contract_takes_its_arrow(self) -> None:
        moving = lc.CountsUpdated(lc.RequestCounts(3, 1))
        found = testing.covered([(CREATED, moving)], profile=lc.HOSTED)
        assert ("in_progress", "counts_updated") in found.arrows
        assert found.broken == {"B7"}

    def test_a_repeated_record_takes_none(self) -> None:
        first, second, *_ = records()
        found = testing.covered([[first, second, first]])
        assert found.arrows == {(None, "created"), ("in_progress", "counts_updated")}

    def test_a_record_under_a_foreign_batch_takes_none(self) -> None:
        found = testing.covered([lc.Record("another", 1, CREATED, None, T)])
        assert found.arrows == frozenset()
        assert found.broken == {"L2"}

    @settings(max_examples=25)
    @given(st.lists(testing.event_streams(), max_size=3))
    def test_they_are_those_of_the_folds(self, streams: list[tuple[lc.Event, ...]]) -> None:
        taken = {
            (None if place == 0 else lc.fold(stream[:place]).phase, stream[place].tag)
            for stream in streams
            for place in range(len(stream))
        }
        assert testing.covered(streams).arrows == taken


class TestRules:
    @pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
    def test_all_can_be_at_stake_with_none_broken(self, profile: lc.Profile) -> None:
        first, *_ = records()
        found = testing.covered([LIFE, *SHORT], profile=profile) | testing.covered([first, first], profile=profile)
        assert found.missing_rules == ()
        assert found.broken == frozenset()
        assert found.percent == 100

    @pytest.mark.parametrize(
        ("rule", "without"),
        [
            ("B5", [(CREATED, REPEATED)]),
            ("B7", [SHORT[0]]),
            ("B9", [(CREATED, CANCELED)]),
            ("B11", [(CREATED, REPEATED)]),
            ("B12", [LIFE]),
            ("B13", [LIFE]),
            ("B14", [(CREATED,)]),
            ("B15", [SHORT[0]]),
            ("T1", [(CREATED,)]),
            ("T3", [(CREATED, CANCELED)]),
            ("T5", [(CREATED, CANCELED)]),
            ("L3", [(CREATED,)]),
            ("L4", [LIFE]),
            ("L1", []),
            ("L2", []),
            ("B1", []),
            ("B2", []),
            ("B3", []),
        ],
    )
    def test_a_rule_whose_case_is_not_there_is_missing(self, rule: str, without: list[tuple[lc.Event, ...]]) -> None:
        profile = lc.LAWS if rule in {"B1", "T5"} else lc.HOSTED
        found = testing.covered(without, profile=profile)
        assert rule in [missing.id for missing in found.missing_rules]
        assert rule not in found.at_stake

    @pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
    def test_every_coverable_rule_can_be_broken(self, profile: lc.Profile) -> None:
        """The independent side of `coverable`: a rule of the profile is either broken by a fault, or said not to be."""
        for rule in lc.RULES.values():
            if rule.tier not in profile.tiers:
                assert rule not in coverable(profile)
            elif rule not in coverable(profile):
                assert rule.id in NOT_IN_STREAMS

    @settings(max_examples=50)
    @given(testing.broken_streams(profile=lc.HOSTED))
    def test_a_broken_rule_is_at_stake(self, fault: tuple[tuple[lc.Event, ...], str]) -> None:
        stream, rule = fault
        found = testing.covered([stream], profile=lc.HOSTED)
        assert found.broken == {rule}
        assert rule in found.at_stake

    @settings(max_examples=50)
    @given(testing.broken_logs())
    def test_a_broken_rule_about_records_is_at_stake(self, fault: tuple[tuple[lc.Record, ...], str]) -> None:
        log_with_fault, rule = fault
        found = testing.covered(log_with_fault)
        assert found.broken == {rule}
        assert rule in found.at_stake

    def test_a_line_that_is_no_record_breaks_no_rule_of_the_book(self) -> None:
        refused = lc.LogError("night.jsonl", 1, "no record")
        found = testing.covered([cast("list[lc.Record]", [*records(), refused])])  # as an on_error might collect them
        assert found.broken == frozenset()


class TestWhatIsGiven:
    def test_streams_logs_and_one_log_come_to_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "night.jsonl"
        log.append(path, records())
        expected = testing.covered([LIFE])
        assert testing.covered([records()]) == expected
        assert testing.covered(records()) == expected
        assert testing.covered(iter(records())) == expected
        assert testing.covered(log.read(path)) == expected
        assert testing.covered([log.read(path)]) == expected

    def test_an_empty_stream_adds_nothing(self) -> None:
        assert testing.covered([(), LIFE]) == testing.covered([LIFE])

    def test_two_streams_of_one_batch_are_judged_apart(self) -> None:
        assert testing.covered([LIFE, LIFE]) == testing.covered([LIFE])

    def test_a_stream_without_a_created_is_broken(self) -> None:
        assert testing.covered([LIFE[1:]]).broken == {"L1"}

    @pytest.mark.parametrize(
        ("streams", "said"),
        [
            (LIFE, r"streams: expected streams, such as \[\[created, ended\]\], or records, got Created\(.*among them"),
            ([3], "streams: expected streams, .* got 3 among them"),
            (3, "streams: expected streams, .* got 3"),
        ],
    )
    def test_what_are_no_streams_is_told_what_is_wanted(self, streams: object, said: str) -> None:
        with pytest.raises(TypeError, match=f"^{said}$"):
            testing.covered(streams)  # type: ignore[arg-type] # it has to be refused

    @pytest.mark.parametrize("streams", [[[3]], [[*records(), 3]]])
    def test_anything_else_is_refused(self, streams: object) -> None:
        with pytest.raises(TypeError):
            testing.covered(streams)  # type: ignore[arg-type] # it has to be refused

    def test_a_profile_has_to_be_one(self) -> None:
        with pytest.raises(TypeError):
            testing.covered([LIFE], profile="laws")  # type: ignore[arg-type] # it has to be refused


class TestCovered:
    def test_two_are_joined(self) -> None:
        both = testing.covered([LIFE]) | testing.covered(SHORT)
        assert both == testing.covered([LIFE, *SHORT])

    @pytest.mark.parametrize("other", [testing.covered([], profile=lc.HOSTED), 3])
    def test_what_does_not_fit_is_not_joined(self, other: object) -> None:
        with pytest.raises(TypeError):
            testing.covered([]) | other

    def test_it_is_shown_as_a_table_with_what_is_missing(self) -> None:
        broken = (CREATED, lc.CountsUpdated(lc.RequestCounts(9)))
        found = testing.covered([LIFE, broken], profile=lc.HOSTED)
        lines = str(found).splitlines()
        rows = [line.split() for line in lines[1:-1]]
        assert len(rows) == len(lc.TRANSITIONS) + len(coverable(lc.HOSTED))
        assert ["arrow", "(none)", "->", "created", "taken"] in rows
        assert ["arrow", "ended", "->", "deleted", "MISSING"] in rows
        assert ["rule", "B14", "at", "stake"] in rows
        assert ["rule", "T3", "broken"] in rows
        assert ["rule", "B12", "MISSING", "needs", "expired", "requests"] in rows
        assert ["rule", "L4", "MISSING", "needs", "a", "record", "that", "comes", "again"] in rows
        seen = Counter("MISSING" in row for row in rows)
        assert lines[-1].startswith(f"{seen[False]} of {len(rows)} arrows and rules exercised under hosted: ")
        assert found.percent == pytest.approx(100 * seen[False] / len(rows))
        assert lines[-1].endswith(f": {found.percent_text}")

    @pytest.mark.parametrize(
        ("streams", "exercised", "said"),
        [([LIFE, *SHORT], 18, "94.7 %"), ([LIFE], 15, "78.9 %"), ([(CREATED,)], 4, "21 %")],
    )
    def test_the_percentage_is_shown_rounded_down(
        self, streams: list[tuple[lc.Event, ...]], exercised: int, said: str
    ) -> None:
        found = testing.covered(streams)
        assert found.percent == pytest.approx(100 * exercised / 19)
        assert found.percent_text == said
