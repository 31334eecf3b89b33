"""The model machine: a correct service passes, and each bug is caught by name."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

import lifecycle as lc
from lifecycle import testing
from tests.testing.services import BUGS, Gateway

QUICK = settings(
    max_examples=40,
    stateful_step_count=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
QUICKER = settings(QUICK, max_examples=10)
UNTIL_CAUGHT = settings(QUICK, max_examples=300, stateful_step_count=25)


def run(machine: type[RuleBasedStateMachine], like: settings = QUICK) -> None:
    run_state_machine_as_test(machine, settings=like)


def failure(machine: type[RuleBasedStateMachine], like: settings = QUICK) -> str:
    with pytest.raises(AssertionError) as caught:
        run(machine, like)
    return str(caught.value)


class TestACorrectService:
    @pytest.mark.parametrize("live", [True, False], ids=["live", "hidden"])
    def test_it_passes_under_the_laws(self, live: bool) -> None:
        run(testing.model_machine(lambda: Gateway(live=live)))

    def test_it_passes_as_a_stand_in_of_the_hosted_api_even_with_advice(self) -> None:
        run(testing.model_machine(lambda: Gateway(live=False), profile=lc.HOSTED, advice=True))

    def test_bodies_may_be_text_or_parsed(self) -> None:
        class Parsed(Gateway):
            def create(self, request_count: int) -> str:  # type: ignore[override] # another kind of body
                return super().create(request_count).decode()

            def retrieve(self, batch_id: str) -> Mapping[str, Any]:  # type: ignore[override] # another kind of body
                body: Mapping[str, Any] = json.loads(super().retrieve(batch_id))
                return body

            def delete(self, batch_id: str) -> Mapping[str, Any]:  # type: ignore[override] # another kind of receipt
                receipt: Mapping[str, Any] = json.loads(super().delete(batch_id))
                return receipt

        run(testing.model_machine(lambda: Parsed(live=False), profile=lc.HOSTED), QUICKER)

    def test_canceling_again_may_be_refused(self) -> None:
        class Strict(Gateway):
            def cancel(self, batch_id: str) -> bytes:
                if batch_id in self.batches and self.batches[batch_id].cancel_initiated_at is not None:
                    raise testing.Refused(400)
                return super().cancel(batch_id)

        run(testing.model_machine(Strict), QUICKER)

    def test_an_error_without_a_type_is_compared_by_its_status(self) -> None:
        class Terse(Gateway):
            def known(self, batch_id: str) -> Any:
                try:
                    return super().known(batch_id)
                except testing.Refused as refused:
                    raise testing.Refused(refused.http_status) from None

        run(testing.model_machine(lambda: Terse(live=False), profile=lc.HOSTED), QUICKER)

    def test_its_test_case_is_one_of_unittest(self) -> None:
        case = testing.model_machine(Gateway).TestCase
        case.settings = QUICKER
        case("runTest").debug()

    def test_every_arrow_is_reached_again_and_again(self) -> None:
        """At the least 50 times in 1,000 runs. Here are 60, as a rule; the next ones only if those were one-sided."""
        arrows: Counter[tuple[lc.Phase | None, str]] = Counter()
        streams: list[tuple[lc.Event, ...]] = []

        def note(stream: tuple[lc.Event, ...]) -> None:
            streams.append(stream)
            phase: lc.Phase | None = None
            for event in stream:
                arrows[phase, event.tag] += 1
                phase = lc.TRANSITIONS[phase, event.tag]

        like = settings(QUICK, derandomize=False, max_examples=60, stateful_step_count=50)
        for runs in range(60, 660, 60):
            run(testing.model_machine(Gateway, on_stream=note), like)
            if min(arrows[arrow] for arrow in lc.TRANSITIONS) >= runs * 50 / 1000:
                break
        else:
            pytest.fail(f"arrows in {runs} runs: {arrows}")
        assert testing.covered(streams).missing_arrows == ()


class TestAMutant:
    @pytest.mark.parametrize("name", BUGS)
    def test_it_is_caught_by_name(self, name: str) -> None:
        said, profile, advice = BUGS[name]
        live = profile is lc.LAWS
        machine = testing.model_machine(lambda: Gateway(name, live=live), profile=profile, advice=advice)
        assert said in failure(machine, UNTIL_CAUGHT)

    def test_there_is_one_for_each_rule_that_a_service_can_break(self) -> None:
        wanted = {rule.id for rule in lc.RULES.values() if rule.id[0] != "L"} - {"B1"}
        assert wanted <= {bug.said for bug in BUGS.values()}
        assert BUGS["processing falls below zero"].said == "$.request_counts.processing"  # B1 does not cross the wire

    @pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.advice])
    def test_advice_is_no_failure_unless_asked_for(self, name: str) -> None:
        told = "errored is" if name == "what expired counts as errored" else None
        machine = testing.model_machine(lambda: Gateway(name, live=False), profile=lc.HOSTED)
        if told is None:
            run(machine, QUICKER)
        else:
            assert told in failure(machine)

    @pytest.mark.parametrize("name", ["the wrong status for a late cancel", "no receipt", "it never expires"])
    def test_what_the_laws_leave_open_is_no_failure_under_them(self, name: str) -> None:
        run(testing.model_machine(lambda: Gateway(name)), QUICKER)


class TestAFailure:
    def test_it_shows_the_shortest_legal_history_and_what_was_allowed(self) -> None:
        shrinking = settings(QUICK, phases=[Phase.generate, Phase.shrink])
        said = failure(testing.model_machine(lambda: Gateway("ended_at is now on each read")), shrinking).splitlines()
        assert said[0].startswith("retrieve('batch_1'): ")
        assert "T4: " in said[0]
        assert said[1] == "the legal history so far"
        assert [line.split()[:3] for line in said[3:5]] == [["1", "created", "in_progress"], ["2", "ended", "ended"]]
        assert said[5].split()[0] == "(wait)"  # how long, older versions of Hypothesis do not make as short
        assert said[6] == "allowed when ended: archived, deleted"
        assert said[7] == "came"
        assert json.loads(said[8])["processing_status"] == "ended"
        assert len(said) == 9

    def test_a_short_run_is_enough_to_see_a_second_cancel_move_its_time(self) -> None:
        machine = testing.model_machine(lambda: Gateway("a second cancel moves cancel_initiated_at"))
        said = failure(machine, settings(QUICK, max_examples=100, stateful_step_count=20))
        assert "T4: " in said
        assert "(wait)" in said

    def test_what_was_waited_in_a_row_is_one_row(self) -> None:
        machine: Any = testing.model_machine(lambda: Gateway("ended_at is now on each read"))()
        machine.begin(1)
        machine.wait(3600)
        machine.wait(3600)
        machine.finish_all(0, 0, 0)
        machine.every_batch_is_as_the_model_has_it()
        machine.wait(59)
        with pytest.raises(AssertionError) as caught:
            machine.every_batch_is_as_the_model_has_it()
        rows = [line.split()[:2] for line in str(caught.value).splitlines()[3:7]]
        assert rows == [["1", "created"], ["(wait)", "2:00:00"], ["2", "ended"], ["(wait)", "0:00:59"]]

    def test_it_says_how_an_error_of_the_service_is_raised(self) -> None:
        class Plain(Gateway):
            def known(self, batch_id: str) -> Any:
                return self.batches[batch_id]

        said = failure(testing.model_machine(Plain), QUICKER)
        assert "KeyError" in said
        assert 'an error of the service is raised as testing.Refused(404, "not_found_error")' in said

    def test_it_says_what_finish_is_for(self) -> None:
        class Idle(Gateway):
            def finish(self, batch_id: str, *, succeeded: int = 0, errored: int = 0, canceled: int = 0) -> None:
                pass

        said = failure(testing.model_machine(Idle))
        assert "the batch has not ended (`finish` moves counts, ends it at last)" in said

    @pytest.mark.parametrize("adapter", [None, Gateway()])
    def test_what_makes_no_adapter_is_refused_at_once(self, adapter: Any) -> None:
        with pytest.raises(TypeError, match="^make_service: expected what makes an adapter, such as its class, got "):
            testing.model_machine(adapter)

    def test_it_keeps_what_the_adapter_raised(self) -> None:
        with pytest.raises(AssertionError) as caught:
            run(testing.model_machine(lambda: Gateway("reading a canceling batch crashes")))
        assert isinstance(caught.value.__cause__, KeyError)

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (lambda: 7, "no body of a batch: expected bytes or text, got int"),
            (lambda: {"id": 7}, "no body of a batch: $.id: expected text, got 7"),
            (lambda: b"\xff", "no body of a batch: $"),
        ],
    )
    def test_what_is_no_body_is_told(self, answer: Callable[[], Any], said: str) -> None:
        class Broken(Gateway):
            def create(self, _: int) -> Any:
                return answer()

        assert said in failure(testing.model_machine(Broken))


class TestRefused:
    def test_it_says_its_status_and_its_type(self) -> None:
        assert str(testing.Refused(404)) == "404"
        assert str(testing.Refused(404, "not_found_error")) == "404 not_found_error"


def test_the_services_here_have_no_other_bugs() -> None:
    with pytest.raises(ValueError, match="a typo"):
        Gateway("a typo")
