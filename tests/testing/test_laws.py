"""The law checks: code that keeps a law passes, and code that breaks it is told how."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import testing, wire
from tests.lives import LIFE


def failure(check: Callable[..., None], fn: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check(fn, **options)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- projections


def fold(state: lc.MessageBatch | None, events: Sequence[lc.Event]) -> lc.MessageBatch:
    return lc.fold(events, start=state)


def tally(state: dict[str, int] | None, events: Sequence[lc.Event]) -> dict[str, int]:
    """Changes the state that it is given."""
    state = {} if state is None else state
    for event in events:
        state[event.tag] = state.get(event.tag, 0) + 1
    return state


class TestCheckProjection:
    @pytest.mark.parametrize("fn", [fold, tally])
    @pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED], ids=lambda profile: profile.name)
    def test_one_that_keeps_the_law_passes(self, fn: Callable[..., Any], profile: lc.Profile) -> None:
        testing.check_projection(fn, profile=profile, max_examples=20)

    def test_one_over_records_passes(self) -> None:
        def last(state: dict[str, int] | None, records: Sequence[lc.Record]) -> dict[str, int]:
            return (state or {}) | {record.batch_id: record.version for record in records}

        testing.check_projection(last, streams=testing.logs(max_streams=2), max_examples=20)

    def test_one_that_begins_anew_is_told_where_the_cut_is(self) -> None:
        said = failure(testing.check_projection, lambda _, events: len(events))
        assert said.splitlines()[:4] == [
            "the projection is wrong: cut after event 1 it gives another result",
            "in one go:    1",
            "in two parts: 0",
            "the stream",
        ]
        assert said.splitlines()[5].split()[:3] == ["1", "created", "in_progress"]

    def test_one_that_knows_only_the_phases_of_recordings_is_told_the_stream(self) -> None:
        known = {"created": 0, "cancel_initiated": 1, "ended": 2, "counts_updated": 0, "deleted": 3}
        said = failure(testing.check_projection, lambda _, events: known[events[-1].tag] if events else 0)
        assert "cut after event" in said
        said = failure(testing.check_projection, lambda state, events: (state or 0) + sum(known[e.tag] for e in events))
        assert said.startswith("the projection is wrong: it raised KeyError: 'archived'\nthe stream\n")
        assert said.splitlines()[-1].split()[1] == "archived"

    def test_one_that_remembers_too_much_is_told(self) -> None:
        seen: list[lc.Event] = []

        def remembers(_: object, events: Sequence[lc.Event]) -> int:
            seen.extend(events)
            return len(seen)

        said = failure(testing.check_projection, remembers)
        assert said.startswith("the projection is wrong: the same stream gave another result the second time")

    def test_one_over_records_is_told_the_records(self) -> None:
        said = failure(testing.check_projection, lambda _, records: len(records), streams=testing.logs())
        assert said.splitlines()[4].split() == ["batch", "version", "event", "id", "event", "says"]

    def test_one_that_is_wrong_now_and_then_is_told_so(self) -> None:
        answers = iter([1, 2])
        said = failure(testing.check_projection, lambda _, __: next(answers, 0))
        assert said.startswith("the projection is wrong: it is wrong now and then, for the same stream")

    def test_one_that_returns_nothing_is_told(self) -> None:
        said = failure(testing.check_projection, lambda _, __: None, max_examples=20)
        assert said == "the projection is wrong: it returned None for every stream; it has to return the state"

    def test_one_that_returns_none_for_some_streams_passes(self) -> None:
        def cancellation(state: lc.Event | None, events: Sequence[lc.Event]) -> lc.Event | None:
            return next((event for event in events if isinstance(event, lc.CancelInitiated)), state)

        testing.check_projection(cancellation, streams=st.sampled_from([LIFE, LIFE[:2]]), max_examples=20)

    def test_for_no_stream_at_all_none_is_a_state(self) -> None:
        def first(state: lc.Event | None, events: Sequence[lc.Event]) -> lc.Event | None:
            return state or next(iter(events), None)

        testing.check_projection(first, streams=st.just(()), max_examples=1)

    @pytest.mark.parametrize(
        ("streams", "said"),
        [
            (testing.batches(), "^streams: expected a strategy of streams, .*; it drew MessageBatch"),
            ([()], "^streams: expected a strategy, such as testing.event_streams\\(\\), got \\[\\(\\)\\]$"),
        ],
    )
    def test_what_are_no_streams_is_refused(self, streams: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            testing.check_projection(fold, streams=streams)

    def test_it_tries_the_same_streams_each_time_unless_told_otherwise(self) -> None:
        def tried(*, derandomize: bool) -> list[Sequence[lc.Event]]:
            found: list[Sequence[lc.Event]] = []

            def note(_: object, events: Sequence[lc.Event]) -> int:
                found.append(events)
                return 0

            testing.check_projection(note, max_examples=20, derandomize=derandomize)
            return found

        assert tried(derandomize=True) == tried(derandomize=True)
        assert tried(derandomize=False) != tried(derandomize=False)

    def test_it_prints_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        failure(testing.check_projection, lambda _, events: len(events))
        assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------------------- handlers


class TestCheckIdempotentHandler:
    def test_one_that_keeps_the_versions_passes(self) -> None:
        def handle(state: dict[str, int] | None, record: lc.Record) -> dict[str, int]:
            state = state or {}
            return state | {record.batch_id: max(record.version, state.get(record.batch_id, 0))}

        testing.check_idempotent_handler(handle, max_examples=50)

    def test_one_that_counts_is_told_the_shortest_delivery(self) -> None:
        said = failure(testing.check_idempotent_handler, lambda state, _: (state or 0) + 1).splitlines()
        assert said[:4] == [
            "the handler is wrong: repeated records change the result",
            "each record once: 1",
            "with repeats:     2",
            "the stream",
        ]
        assert [line.split()[1] for line in said[5:]] == ["1", "1"]

    def test_one_that_only_sees_a_repeat_at_once_is_told(self) -> None:
        """A queue may deliver the first record again when the second has come."""

        def handle(state: tuple[str, int] | None, record: lc.Record) -> tuple[str, int]:
            last, count = state or ("", 0)
            return (last, count) if record.event_id == last else (record.event_id, count + 1)

        said = failure(testing.check_idempotent_handler, handle, max_examples=60).splitlines()
        versions = [line.split()[1] for line in said[5:]]
        assert versions[-1] in versions[:-2]
        assert len(versions) <= 4

    def test_one_that_returns_nothing_is_told(self) -> None:
        said = failure(testing.check_idempotent_handler, lambda _, __: None, max_examples=20)
        assert said == "the handler is wrong: it returned None for every stream; it has to return the state"

    def test_it_does_not_look_for_lost_records(self) -> None:
        """As the documentation says; this one drops the records of every batch but the first."""

        def handle(state: tuple[int, ...] | None, record: lc.Record) -> tuple[int, ...]:
            state = state or ()
            return state if record.version in state else (*state, record.version)

        testing.check_idempotent_handler(handle, max_examples=50)

    def test_one_that_raises_on_a_repeat_is_told(self) -> None:
        def handle(state: set[tuple[str, int]] | None, record: lc.Record) -> set[tuple[str, int]]:
            place = (record.batch_id, record.version)
            if state and place in state:
                raise LookupError("seen")
            return (state or set()) | {place}

        said = failure(testing.check_idempotent_handler, handle, max_examples=50)
        assert said.startswith("the handler is wrong: it raised LookupError: seen\n")


# -------------------------------------------------------------------------------------------------------- validators


def validator(missing: str = "", *, profile: lc.Profile = lc.HOSTED, advice: bool = True) -> Callable[[bytes], object]:
    """A validator that knows every rule of the profile but one."""

    def validate(body: bytes) -> object:
        found = [violation.rule for violation in lc.check(wire.decode_batch(body), profile=profile)]
        return not [rule for rule in found if rule.id != missing and (advice or rule.tier is not lc.Tier.ADVICE)]

    return validate


def without_b1(body: bytes) -> object:
    """It would accept a negative count."""
    shown = json.loads(body)
    for name, count in shown["request_counts"].items():
        if type(count) is int and count < 0:
            shown["request_counts"] = {**dict.fromkeys(shown["request_counts"], 0), name: 1, "succeeded": 1}
            break
    return validator()(json.dumps(shown).encode())


B_RULES = [rule.id for rule in lc.RULES.values() if rule.id[0] == "B"]


def missed(said: str) -> list[str]:
    """What the table of a failure names."""
    lines = said.splitlines()
    return [
        line.split("  ")[1] for line in lines[lines.index("it accepts what breaks") + 2 : lines.index("for example")]
    ]


class TestCheckValidator:
    @pytest.mark.parametrize(("profile", "advice"), [(lc.LAWS, False), (lc.HOSTED, False), (lc.HOSTED, True)])
    def test_one_that_knows_all_passes(self, profile: lc.Profile, advice: bool) -> None:
        fn = validator(profile=profile, advice=advice)
        testing.check_validator(fn, profile=profile, advice=advice, max_examples=8)

    def test_refusing_by_raising_counts(self) -> None:
        def validate(body: bytes) -> None:
            if not validator(profile=lc.LAWS)(body):
                raise ValueError("no")

        testing.check_validator(validate, malformed=False, max_examples=8)

    @pytest.mark.parametrize("rule", B_RULES[1:])
    def test_one_that_misses_a_rule_is_told_which(self, rule: str) -> None:
        fn = validator(rule)
        said = failure(testing.check_validator, fn, profile=lc.HOSTED, advice=True, malformed=False, max_examples=8)
        assert missed(said) == [rule]
        example = said.splitlines()[-1].removeprefix(f"  {rule}: ")
        batch = wire.decode_batch(example)
        assert [violation.rule.id for violation in lc.check(batch, profile=lc.HOSTED)] == [rule]

    def test_one_that_misses_negative_counts_is_told(self) -> None:
        said = failure(testing.check_validator, without_b1, malformed=False, profile=lc.HOSTED, max_examples=8)
        assert missed(said) == ["B1"]
        assert '":-' in said

    def test_one_that_only_parses_misses_every_rule_of_the_profile(self) -> None:
        said = failure(testing.check_validator, wire.decode_batch, max_examples=8)
        assert missed(said) == ["B4", "B5", "B6", "B10", "B11"]

    def test_one_that_reads_too_much_is_told_the_paths(self) -> None:
        def lenient(body: bytes) -> object:
            shown = json.loads(body)
            shown["id"] = str(shown.get("id"))
            return validator(profile=lc.LAWS)(json.dumps(shown).encode())

        said = failure(testing.check_validator, lenient, max_examples=20)
        assert "wire $.id" in missed(said)
        assert not [name for name in missed(said) if name.startswith("B")]

    @pytest.mark.parametrize(
        ("bug", "said"),
        [
            ("it crashes on canceling", "KeyError: 'canceling'"),
            ("it forbids unknown keys", "returned False"),
            ("it reads one form of time only", "ValueError: "),
        ],
    )
    def test_one_that_refuses_what_is_legal_is_told_the_body(self, bug: str, said: str) -> None:
        def strict(body: bytes) -> object:
            shown = json.loads(body)
            if bug == "it crashes on canceling":
                {"in_progress": 1, "ended": 2}[shown["processing_status"]]
            elif bug == "it forbids unknown keys":
                return len(shown) <= 10 and validator(profile=lc.LAWS)(body)
            else:
                datetime.strptime(shown["created_at"], "%Y-%m-%dT%H:%M:%S.%f+00:00")  # noqa: DTZ007 -- it is a bug
            return validator(profile=lc.LAWS)(body)

        lines = failure(testing.check_validator, strict, malformed=False, max_examples=60).splitlines()
        assert lines[:2] == ["the validator is wrong", "it refuses a legal body"]
        assert said in lines[2]
        legal = wire.decode_batch(lines[2].split(" for ", 1)[1])
        assert lc.check(legal) == ()

    def test_one_that_accepts_nothing_is_told_a_simple_body(self) -> None:
        lines = failure(testing.check_validator, lambda _: False, max_examples=8).splitlines()
        batch = wire.decode_batch(lines[2].split(" for ", 1)[1])
        assert (batch.phase, batch.size) == ("in_progress", 1)
        assert batch.expires_at - batch.created_at == timedelta(hours=24)
        assert len(lines) == 3
