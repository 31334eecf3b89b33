"""Given, when, then: what each sentence accepts, and what it says when it does not hold."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import testing
from tests.lives import BY_PHASE, CANCELED, CREATED, ENDED, HOUR, LIFE, REPEATED, T

NOON = T + HOUR
CANCEL = lc.Cancel(at=NOON)


def failure(scenario: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        scenario()
    return str(caught.value)


class TestThen:
    def test_it_accepts_the_events_that_come(self) -> None:
        testing.given(CREATED).when(CANCEL).then(lc.CancelInitiated(NOON))

    def test_nothing_at_all_may_have_happened_before(self) -> None:
        testing.given().when(lc.Create("msgbatch_01", T, CREATED.expires_at, 4)).then(CREATED)

    def test_it_refuses_other_events(self) -> None:
        said = failure(lambda: testing.given(CREATED).when(CANCEL).then(lc.CancelInitiated(T)))
        assert "expected\n  cancel_initiated: 2025-01-29 14:24:59.570697\n" in said
        assert said.endswith("came\n  cancel_initiated: 2025-01-29 15:24:59.570697")

    def test_it_refuses_a_rejection(self) -> None:
        said = failure(lambda: testing.given(CREATED, ENDED).when(CANCEL).then(lc.CancelInitiated(NOON)))
        assert said.endswith("came\n  rejected by T1: the batch is ended")

    def test_it_refuses_nothing(self) -> None:
        assert failure(lambda: testing.given(CREATED, CANCELED).when(CANCEL).then(CANCELED)).endswith("came\n  nothing")

    def test_a_failure_shows_the_whole_stream_as_a_table(self) -> None:
        end = lc.Ended(T + HOUR, lc.RequestCounts(0, 4))
        said = failure(lambda: testing.given(*LIFE).when(lc.End(T + HOUR, end.request_counts)).then(end)).splitlines()
        table = said[said.index("given") + 1 : said.index("when")]
        assert table[0].split() == ["version", "event", "phase", "after", "says"]
        assert [line.split()[:3] for line in table[1:]] == [
            ["1", "created", "in_progress"],
            ["2", "counts_updated", "in_progress"],
            ["3", "cancel_initiated", "canceling"],
            ["4", "ended", "ended"],
            ["5", "archived", "archived"],
            ["6", "deleted", "deleted"],
        ]
        when = said[said.index("when") + 1]
        assert when == "  End(at=2025-01-29 15:24:59.570697, request_counts=(4 succeeded), results_url=None)"

    def test_a_failure_on_no_stream_says_so(self) -> None:
        said = failure(lambda: testing.given().when(lc.Create("", T, T, 0)).then())
        assert "given\n  (no events)\nwhen\n" in said


class TestThenNothing:
    def test_it_accepts_a_command_for_what_is_already_so(self) -> None:
        testing.given(CREATED, CANCELED).when(CANCEL).then_nothing()

    def test_it_refuses_events(self) -> None:
        assert "expected\n  nothing\n" in failure(lambda: testing.given(CREATED).when(CANCEL).then_nothing())

    def test_it_refuses_a_rejection(self) -> None:
        assert "rejected by T1" in failure(lambda: testing.given(CREATED, ENDED).when(CANCEL).then_nothing())


class TestThenRejected:
    @pytest.mark.parametrize("rule", ["T1", lc.RULES["T1"]])
    def test_it_accepts_a_rejection_by_this_rule(self, rule: lc.Rule | str) -> None:
        testing.given(CREATED, ENDED).when(CANCEL).then_rejected(rule)

    def test_it_refuses_a_rejection_by_another(self) -> None:
        said = failure(lambda: testing.given(CREATED, ENDED).when(CANCEL).then_rejected("B11"))
        assert f"expected\n  rejected by B11: {lc.RULES['B11'].sentence}\n" in said

    def test_it_refuses_events(self) -> None:
        assert "came\n  cancel_initiated" in failure(lambda: testing.given(CREATED).when(CANCEL).then_rejected("T1"))

    def test_there_has_to_be_such_a_rule(self) -> None:
        with pytest.raises(ValueError, match="^rule: expected one of B1, .*, got 'B99'$"):
            testing.given(CREATED).when(CANCEL).then_rejected("B99")


class TestTwice:
    def test_it_goes_on_from_any_sentence(self) -> None:
        testing.given(CREATED).when(CANCEL).then(lc.CancelInitiated(NOON)).twice()
        testing.given(CREATED, CANCELED).when(CANCEL).then_nothing().twice()
        testing.given(CREATED, ENDED).when(CANCEL).then_rejected("T1").twice()
        testing.given().when(lc.Create("msgbatch_01", T, CREATED.expires_at, 4)).twice()

    def test_it_accepts_a_rejection_of_the_first_command_of_all(self) -> None:
        testing.given().when(CANCEL).then_rejected("T1").twice()

    @settings(max_examples=50)
    @hypothesis_given(st.data())
    def test_it_holds_for_every_command_of_the_library(self, data: st.DataObject) -> None:
        before = data.draw(st.sampled_from([events for phase, events in BY_PHASE.items() if phase != "deleted"]))
        batch = lc.fold(before) if before else None
        testing.given(*before).when(data.draw(testing.commands(before=batch))).twice()

    def test_it_refuses_a_handler_that_repeats_itself(self) -> None:
        forgetful = testing.given(CREATED, decide=lambda _, __: [REPEATED])
        said = failure(forgetful.when(CANCEL).then(REPEATED).twice)
        assert said.endswith(
            "expected\n  nothing, the second time\ncame\n  counts_updated: 4 processing\n"
            "  then: counts_updated: 4 processing"
        )

    def test_it_refuses_a_handler_whose_event_is_illegal(self) -> None:
        hasty = testing.given(CREATED, ENDED, decide=lambda _, __: [CANCELED])
        said = failure(hasty.when(CANCEL).then(CANCELED).twice)
        assert "expected\n  events that are legal here\ncame\n  cancel_initiated: " in said
        assert "(T1)" in said

    def test_it_refuses_a_handler_that_rejects_only_once(self) -> None:
        rejections = [lc.CommandRejected(CANCEL, None, lc.RULES["T1"], "no", None, None)]

        def decide(_: object, __: object) -> tuple[lc.Event, ...]:
            if rejections:
                raise rejections.pop()
            return ()

        said = failure(testing.given(CREATED, decide=decide).when(CANCEL).twice)
        assert said.endswith("expected\n  a rejection, the second time\ncame\n  rejected by T1: no\n  then: nothing")

    def test_it_refuses_a_handler_that_rejects_what_it_has_done(self) -> None:
        def decide(batch: lc.MessageBatch | None, _: object) -> tuple[lc.Event, ...]:
            if batch == lc.fold([CREATED]):
                return (CANCELED,)
            raise lc.CommandRejected(CANCEL, batch, lc.RULES["T1"], "canceling already", None, None)

        said = failure(testing.given(CREATED, decide=decide).when(CANCEL).then(CANCELED).twice)
        assert said.endswith("then: rejected by T1: canceling already")


class TestGiven:
    def test_the_profile_counts(self) -> None:
        short = lc.Create("msgbatch_01", T, T + HOUR, 4)
        testing.given().when(short).then(lc.Created("msgbatch_01", T, T + HOUR, 4))
        testing.given(profile=lc.HOSTED).when(short).then_rejected("B3").twice()

    def test_what_has_happened_has_to_be_legal(self) -> None:
        with pytest.raises(lc.IllegalTransition):
            testing.given(CREATED, CREATED)
        with pytest.raises(TypeError, match="^event: "):
            testing.given("created")  # type: ignore[arg-type] # it has to be refused

    @pytest.mark.parametrize(("came", "said"), [(None, "None"), ([3], "3 among them"), ("ab", "'a' among them")])
    def test_what_handles_a_command_has_to_give_events(self, came: Any, said: str) -> None:
        scenario = testing.given(CREATED, decide=lambda _, __: came)
        with pytest.raises(TypeError, match=f"^decide: expected an iterable of events, \\(\\) for none; got {said}$"):
            scenario.when(CANCEL)

    def test_what_is_expected_has_to_be_events(self) -> None:
        with pytest.raises(TypeError, match="^then: expected events; got 'x' among them$"):
            testing.given(CREATED).when(CANCEL).then("x")  # type: ignore[arg-type] # it has to be refused

    def test_a_command_has_to_be_one(self) -> None:
        with pytest.raises(TypeError, match="^command: "):
            testing.given(CREATED).when("cancel")  # type: ignore[arg-type] # it has to be refused
