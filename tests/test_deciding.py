"""decide: given a batch, when a command, then events, or nothing, or a rejection."""

from collections.abc import Callable
from itertools import product

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from tests.lives import DAY, HOUR, LIFE, URL, T, in_phase

CREATE = lc.Create("msgbatch_01", T, T + DAY, 4)
PROGRESS = lc.RecordProgress(lc.RequestCounts(4))
CANCEL = lc.Cancel(T + HOUR)
END = lc.End(T + 2 * HOUR, lc.RequestCounts(0, 2, 1, 1), URL)
ARCHIVE = lc.Archive(T + 30 * DAY)
DELETE = lc.Delete(T + 31 * DAY)
COMMANDS: tuple[lc.Command, ...] = (CREATE, PROGRESS, CANCEL, END, ARCHIVE, DELETE)
PHASES: list[lc.Phase | None] = [None, *lc.Phase]


def test_each_command_becomes_its_event() -> None:
    batch: lc.MessageBatch | None = None
    for command, event in zip(COMMANDS, LIFE, strict=True):
        if isinstance(command, lc.RecordProgress):
            continue  # it repeats the counts
        assert lc.decide(batch, command, profile=lc.HOSTED) == (event,)
        batch = lc.evolve(batch, event, profile=lc.HOSTED)


def test_progress_becomes_counts_updated() -> None:
    command = lc.RecordProgress(lc.RequestCounts(3, 1))
    assert lc.decide(in_phase(lc.Phase.IN_PROGRESS), command) == (lc.CountsUpdated(lc.RequestCounts(3, 1)),)


@pytest.mark.parametrize(("phase", "command"), list(product(PHASES, COMMANDS)))
def test_a_command_handled_twice_gives_nothing_the_second_time(phase: lc.Phase | None, command: lc.Command) -> None:
    batch = in_phase(phase)
    try:
        events = lc.decide(batch, command)
    except lc.CommandRejected as error:
        assert error.batch is batch
        assert error.command is command
        return
    after = lc.fold(events, start=batch)
    assert lc.decide(after, command) == ()


@pytest.mark.parametrize(
    ("phase", "command"),
    [
        (lc.Phase.DELETED, lc.Create("msgbatch_01", T + HOUR, T + DAY, 4)),
        (lc.Phase.CANCELING, lc.Cancel(T + 9 * HOUR)),
        (lc.Phase.ENDED, lc.Cancel(T + 9 * HOUR)),  # it was canceled
        (lc.Phase.ENDED, lc.RecordProgress(lc.RequestCounts(0, 2, 1, 1))),
        (lc.Phase.ARCHIVED, lc.End(T + 9 * HOUR, lc.RequestCounts(0, 2, 1, 1), URL)),
        (lc.Phase.ENDED, lc.End(T + 9 * HOUR, lc.RequestCounts(0, 2, 1, 1), URL)),
        (lc.Phase.DELETED, lc.Archive(T + 99 * DAY, URL)),
        (lc.Phase.DELETED, lc.Delete(T + 99 * DAY)),
    ],
)
def test_what_the_batch_already_has_gives_nothing_and_times_are_not_compared(
    phase: lc.Phase, command: lc.Command
) -> None:
    assert lc.decide(in_phase(phase), command, profile=lc.HOSTED) == ()


@pytest.mark.parametrize(
    ("phase", "command"),
    [
        (lc.Phase.IN_PROGRESS, lc.Create("msgbatch_01", T, T + DAY, 5)),
        (lc.Phase.IN_PROGRESS, lc.Create("msgbatch_01", T, T + DAY, 3)),
        (lc.Phase.IN_PROGRESS, lc.Create("msgbatch_02", T, T + DAY, 4)),
        (lc.Phase.IN_PROGRESS, lc.Create("msgbatch_00", T, T + DAY, 4)),
        (lc.Phase.ENDED, lc.End(T + 2 * HOUR, lc.RequestCounts(0, 4), URL)),
        (lc.Phase.ENDED, lc.RecordProgress(lc.RequestCounts(0, 4))),
    ],
)
def test_other_counts_or_ids_are_refused(phase: lc.Phase, command: lc.Command) -> None:
    with pytest.raises(lc.CommandRejected) as found:
        lc.decide(in_phase(phase), command)
    assert found.value.rule is lc.RULES["T1"]


def test_a_large_batch_that_is_created_again_is_the_same_batch() -> None:
    batch = lc.fold([lc.Created("msgbatch_01", T, T + DAY, 1_000)])
    heard = b"msgbatch_01".decode()  # not the very same string
    assert lc.decide(batch, lc.Create(heard, T, T + DAY, 1_000)) == ()


@pytest.mark.parametrize("canceled", [(), (lc.CancelInitiated(T + HOUR),)])
def test_a_batch_whose_requests_are_all_finished_can_still_be_ended(canceled: tuple[lc.Event, ...]) -> None:
    finished = lc.RequestCounts(0, 4)
    batch = lc.fold([LIFE[0], *canceled, lc.CountsUpdated(finished)])
    assert lc.decide(batch, lc.End(T + 2 * HOUR, finished)) == (lc.Ended(T + 2 * HOUR, finished),)


def test_what_else_is_odd_about_an_ended_batch_does_not_make_its_end_another() -> None:
    end = lc.End(T + 2 * HOUR, lc.RequestCounts(0, 4))  # without a URL: B14
    batch = lc.fold([LIFE[0], lc.Ended(end.at, end.request_counts)])
    assert lc.decide(batch, end, profile=lc.HOSTED) == ()


def test_another_url_is_the_same_end_again_unless_t7_forbids_it() -> None:
    again = lc.End(T + 2 * HOUR, lc.RequestCounts(0, 2, 1, 1), "https://elsewhere.example")
    assert lc.decide(in_phase(lc.Phase.ENDED), again) == ()
    assert lc.decide(in_phase(lc.Phase.ARCHIVED), again, profile=lc.HOSTED) == ()
    with pytest.raises(lc.CommandRejected):
        lc.decide(in_phase(lc.Phase.ENDED), again, profile=lc.HOSTED)


@pytest.mark.parametrize(
    ("phase", "command", "rule", "answer"),
    [
        (None, lc.Create("b", T, T + DAY, 0), "B2", ("invalid_request_error", 400)),
        (None, lc.Create("b", T, T + DAY, 100_001), "B2", ("request_too_large", 413)),
        (None, lc.Create("b", T, T + HOUR, 1), "B3", (None, None)),
        (None, lc.Create("b", T, T + HOUR, 0), "B2", ("invalid_request_error", 400)),  # and B3: the first of the two
        (None, lc.Create("b", T, T + DAY, -1), "B1", (None, None)),
        (lc.Phase.IN_PROGRESS, lc.Create("b", T, T + DAY, 100_001), "T1", (None, None)),
        (None, CANCEL, "T1", (None, None)),
        (None, DELETE, "T1", (None, None)),
        (lc.Phase.IN_PROGRESS, DELETE, "T1", ("invalid_request_error", 400)),
        (lc.Phase.CANCELING, DELETE, "T1", ("invalid_request_error", 400)),
        (lc.Phase.ENDED, lc.Delete(T), "B11", (None, None)),
        (lc.Phase.IN_PROGRESS, ARCHIVE, "T1", (None, None)),
        (lc.Phase.IN_PROGRESS, lc.Cancel(T - HOUR), "B11", (None, None)),
        (lc.Phase.IN_PROGRESS, lc.End(T, lc.RequestCounts(1, 3)), "B5", (None, None)),
    ],
)
def test_a_rejection_has_the_rule_and_the_answer_of_the_api_where_it_is_documented(
    phase: lc.Phase | None, command: lc.Command, rule: str, answer: tuple[str | None, int | None]
) -> None:
    with pytest.raises(lc.CommandRejected) as found:
        lc.decide(in_phase(phase), command, profile=lc.HOSTED)
    assert found.value.rule.id == rule
    assert (found.value.error_type, found.value.http_status) == answer


def test_cancel_of_an_ended_batch_is_answered_400() -> None:
    ended = lc.fold([LIFE[0], lc.Ended(T + HOUR, lc.RequestCounts(0, 4), URL)])
    with pytest.raises(lc.CommandRejected) as found:
        lc.decide(ended, lc.Cancel(T + 2 * HOUR))
    assert (found.value.error_type, found.value.http_status) == ("invalid_request_error", 400)
    assert "400 invalid_request_error" in str(found.value)


def test_cancel_of_a_canceling_batch_that_does_not_say_since_when_has_no_documented_answer() -> None:
    canceling = attrs.evolve(lc.fold(LIFE[:3]), cancel_initiated_at=None)
    with pytest.raises(lc.CommandRejected) as found:
        lc.decide(canceling, CANCEL)
    assert (found.value.rule.id, found.value.error_type, found.value.http_status) == ("T1", None, None)


def test_a_rejection_says_what_there_is() -> None:
    with pytest.raises(lc.CommandRejected, match="no such batch"):
        lc.decide(None, CANCEL)
    with pytest.raises(lc.CommandRejected, match="the batch is in_progress"):
        lc.decide(in_phase(lc.Phase.IN_PROGRESS), ARCHIVE)


@pytest.mark.parametrize("stranger", [None, "cancel", lc.Cancel, LIFE[0]])
def test_what_is_no_command_is_a_type_error(stranger: object) -> None:
    with pytest.raises(TypeError, match="^command: "):
        lc.decide(None, stranger)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(TypeError, match="^batch: "):
        lc.decide(3, CANCEL)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: lc.Create(1, T, T + DAY, 4), "id"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.RecordProgress(4), "request_counts"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Cancel(0), "at"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.End(T, lc.RequestCounts(4), 0), "results_url"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Archive("now"), "at"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Delete(None), "at"),  # type: ignore[arg-type] # wrong on purpose
    ],
)
def test_a_command_checks_its_types_and_names_the_field(build: Callable[[], object], field: str) -> None:
    with pytest.raises(TypeError, match=f"^{field}: "):
        build()


def test_the_profile_is_never_positional() -> None:
    with pytest.raises(TypeError, match="positional"):
        lc.decide(None, CREATE, lc.HOSTED)  # type: ignore[call-arg] # wrong on purpose


@given(
    phase=st.sampled_from(PHASES),
    command=st.one_of(
        st.builds(lc.Create, st.just("msgbatch_01"), st.just(T), st.sampled_from([T, T + DAY]), st.integers(-1, 5)),
        st.builds(lc.RecordProgress, st.builds(lc.RequestCounts, *[st.integers(-1, 4)] * 5)),
        st.builds(lc.Cancel, st.sampled_from([T - HOUR, T + HOUR])),
        st.builds(
            lc.End, st.sampled_from([T - HOUR, T + HOUR]), st.builds(lc.RequestCounts, *[st.integers(-1, 4)] * 5)
        ),
        st.builds(lc.Archive, st.sampled_from([T - HOUR, T + 30 * DAY])),
        st.builds(lc.Delete, st.sampled_from([T - HOUR, T + 31 * DAY])),
    ),
    profile=st.sampled_from([lc.LAWS, lc.HOSTED]),
)
def test_decide_never_emits_what_evolve_refuses(
    phase: lc.Phase | None, command: lc.Command, profile: lc.Profile
) -> None:
    batch = in_phase(phase)
    try:
        events = lc.decide(batch, command, profile=profile)
    except lc.CommandRejected as error:
        assert error.rule.tier in profile.enforced
    else:
        assert len(events) <= 1
        lc.fold(events, start=batch, profile=profile) if events or batch else None
