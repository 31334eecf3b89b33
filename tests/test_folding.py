"""evolve, fold, check. What every rule refuses is in `test_oracle`; here are the laws of folding itself."""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle.fusing import EFFECTS, steps
from tests.lives import ARCHIVED, BY_PHASE, CANCELED, CREATED, DAY, DELETED, ENDED, HOUR, LIFE, REPEATED, T, in_phase

COUNTS = st.integers(-1, 5)


def test_fold_rebuilds_the_batch_field_by_field() -> None:
    assert lc.fold(LIFE, profile=lc.HOSTED) == lc.MessageBatch(
        "msgbatch_01",
        "ended",
        lc.RequestCounts(0, 2, 1, 1, 0),
        T,
        T + DAY,
        T + 2 * HOUR,
        T + 30 * DAY,
        T + HOUR,
        None,
        T + 31 * DAY,
    )


@pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED], ids=lambda profile: profile.name)
@pytest.mark.parametrize("cut", range(1, len(LIFE) + 1))
def test_a_fold_may_stop_anywhere_and_go_on(profile: lc.Profile, cut: int) -> None:
    first = lc.fold(LIFE[:cut], profile=profile)
    assert lc.fold(LIFE[cut:], start=first, profile=profile) == lc.fold(LIFE, profile=profile)


def test_fold_is_evolve_again_and_again() -> None:
    batch = None
    for count, event in enumerate(LIFE, 1):
        batch = lc.evolve(batch, event)
        assert batch == lc.fold(LIFE[:count])


def test_a_fold_of_nothing_is_its_start() -> None:
    start = lc.fold(LIFE[:1])
    assert lc.fold([], start=start) is start


def test_a_fold_of_nothing_without_a_start_is_an_empty_stream() -> None:
    with pytest.raises(lc.EmptyStream):
        lc.fold([])


def test_fold_takes_a_lazy_stream_and_reads_no_further_than_the_refused_event() -> None:
    read: list[lc.Event] = []

    def lazily() -> Iterator[lc.Event]:
        for event in (CREATED, ARCHIVED, ENDED):
            read.append(event)
            yield event

    with pytest.raises(lc.IllegalTransition):
        lc.fold(lazily())
    assert read == [CREATED, ARCHIVED]


def test_a_refused_event_changes_nothing() -> None:
    before = lc.fold(LIFE[:3])
    kept = attrs.evolve(before)
    with pytest.raises(lc.RuleBroken) as found:
        lc.evolve(before, lc.Ended(T, lc.RequestCounts(1, 1)))
    assert found.value.before is before
    assert before == kept
    assert lc.evolve(before, ENDED).phase is lc.Phase.ENDED


def test_the_version_is_the_place_in_what_fold_was_given() -> None:
    with pytest.raises(lc.IllegalTransition) as found:
        lc.fold([CANCELED, CREATED], start=lc.fold([CREATED]))
    assert (found.value.version, found.value.before) == (2, lc.fold([CREATED, CANCELED]))
    with pytest.raises(lc.IllegalTransition) as found:
        lc.evolve(None, CANCELED)
    assert found.value.version is None


@pytest.mark.parametrize("count", range(1, len(LIFE) + 1))
def test_a_refusal_tells_of_the_batch_that_the_event_met(count: int) -> None:
    with pytest.raises(lc.IllegalTransition) as found:
        lc.fold([*LIFE[:count], CREATED])
    assert found.value.before == lc.fold(LIFE[:count])
    assert found.value.version == count + 1


def test_a_rule_that_refuses_tells_of_the_batch_that_the_event_met() -> None:
    grown = lc.RequestCounts(9)
    for count, event in (
        (1, lc.CountsUpdated(grown)),
        (2, lc.CancelInitiated(T - HOUR)),
        (2, lc.Ended(T + HOUR, grown)),
        (3, lc.CountsUpdated(grown)),
        (3, lc.Ended(T + HOUR, grown)),
        (4, lc.Archived(T)),
        (4, lc.Deleted(T)),
        (5, lc.Deleted(T)),
    ):
        with pytest.raises(lc.RuleBroken) as found:
            lc.fold([*LIFE[:count], event])
        assert found.value.before == lc.fold(LIFE[:count])
        assert (found.value.event, found.value.version) == (event, count + 1)


@pytest.mark.parametrize("phase", [None, *lc.Phase])
@pytest.mark.parametrize("stranger", [None, "created", lc.Created, 3, object(), lc.RequestCounts(1), lc.Cancel(T)])
def test_what_is_no_event_is_a_type_error(phase: lc.Phase | None, stranger: Any) -> None:
    with pytest.raises(TypeError, match="^event: "):
        lc.fold([*BY_PHASE[phase], stranger])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: lc.evolve(3, CREATED), "batch"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.evolve(None, CREATED, profile="laws"), "profile"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.fold(None), "events"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.fold(CREATED), "events"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.fold([], start="x"), "start"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.fold([], profile=None), "profile"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.check(None), "batch"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.check(None, before=lc.fold(LIFE)), "batch"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.check(lc.fold(LIFE), before={}), "before"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.check(lc.fold(LIFE), profile=1), "profile"),  # type: ignore[arg-type] # wrong on purpose
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error_that_names_it(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        call()


def test_a_message_shows_no_more_than_the_beginning_of_what_is_wrong() -> None:
    many: Any = [lc.fold(LIFE)] * 2000
    for call in (lambda: lc.observe(None, many), lambda: lc.check(many), lambda: lc.fold(LIFE, start=many)):
        with pytest.raises(TypeError) as found:
            call()
        assert len(str(found.value)) < 300
        assert str(found.value).endswith("...")


class TestDirtyStarts:
    """`start` and `before` are taken as they are: a batch that already broke a B rule may go on."""

    def test_an_old_fault_is_not_held_against_an_event(self) -> None:
        start = attrs.evolve(lc.fold(LIFE[:1]), archived_at=T + DAY)  # B10
        assert [found.rule.id for found in lc.check(start)] == ["B10"]
        after = lc.fold([lc.CountsUpdated(lc.RequestCounts(3, 1)), CANCELED], start=start)
        assert (after.phase, after.archived_at) == (lc.Phase.CANCELING, T + DAY)

    def test_a_new_fault_is_refused_beside_an_old_one(self) -> None:
        start = attrs.evolve(lc.fold(LIFE[:1]), archived_at=T + DAY)
        with pytest.raises(lc.RuleBroken) as found:
            lc.fold([CANCELED, lc.CountsUpdated(lc.RequestCounts(5))], start=start)
        assert [violation.rule.id for violation in found.value.violations] == ["T3", "T5"]
        assert found.value.version == 2

    def test_a_fault_that_an_event_mends_is_gone(self) -> None:
        start = attrs.evolve(lc.fold(LIFE[:1]), ended_at=T + 2 * HOUR)  # B4
        ended = lc.fold([ENDED, ARCHIVED, DELETED], start=start)
        assert [found.rule.id for found in lc.check(start)] == ["B4"]
        assert lc.check(ended) == ()
        with pytest.raises(lc.IllegalTransition) as refused:
            lc.fold([ENDED, ARCHIVED, DELETED, DELETED], start=start)
        assert (refused.value.before, refused.value.version) == (ended, 4)

    def test_a_contract_rule_that_was_broken_before_does_not_refuse_under_hosted(self) -> None:
        start = lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(3, 1))])  # B7, live counts
        after = lc.fold([lc.CountsUpdated(lc.RequestCounts(2, 2)), CANCELED], start=start, profile=lc.HOSTED)
        assert after.request_counts == lc.RequestCounts(2, 2)
        with pytest.raises(lc.RuleBroken) as found:
            lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(3, 1))], profile=lc.HOSTED)
        assert [violation.rule.id for violation in found.value.violations] == ["B7"]


def test_check_never_raises_on_a_batch_at_the_limits_of_time() -> None:
    low, high = datetime.min.replace(tzinfo=T.tzinfo), datetime.max.replace(tzinfo=T.tzinfo)
    for created, other in ((low, high), (high, low)):
        batch = lc.MessageBatch("b", "ended", lc.RequestCounts(0, 1), created, other, other, other, other, None, other)
        found = {violation.rule.id for violation in lc.check(batch, before=batch, profile=lc.HOSTED)}
        assert "B3" in found


@pytest.mark.parametrize(
    "call",
    [
        lambda: lc.evolve(None, CREATED, lc.HOSTED),  # type: ignore[call-arg] # wrong on purpose
        lambda: lc.fold([CREATED], None, profile=lc.HOSTED),  # type: ignore[call-arg] # wrong on purpose
        lambda: lc.check(lc.fold(LIFE), None, profile=lc.HOSTED),  # type: ignore[call-arg] # wrong on purpose
    ],
)
def test_what_has_a_default_is_never_positional(call: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        call()


def test_advice_is_reported_and_never_raised() -> None:
    late = lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4))  # B13, B14
    batch = lc.fold([CREATED, late], profile=lc.HOSTED)
    assert [found.rule.id for found in lc.check(batch, profile=lc.HOSTED)] == ["B13", "B14"]
    assert lc.check(batch) == ()


class TestUnknownKeys:
    """B16: a snapshot has no key beyond the documented ones."""

    def test_they_are_named(self) -> None:
        batch = attrs.evolve(
            lc.fold(LIFE[:1]), extra={"archive_at": None}, request_counts=lc.RequestCounts(4, extra={"total": 4})
        )
        (found,) = lc.check(batch, profile=lc.HOSTED)
        assert found.rule is lc.RULES["B16"]
        assert "archive_at" in found.message
        assert "request_counts.total" in found.message


@given(before=st.sampled_from([*lc.Phase]), counts=st.tuples(*[COUNTS] * 5), hours=st.integers(-2, 800))
def test_what_evolve_admits_check_admits_and_the_other_way_round(
    before: lc.Phase, counts: tuple[int, ...], hours: int
) -> None:
    """The fused functions and the predicates one by one are the same rules."""
    batch = in_phase(before)
    time = T + timedelta(hours=hours)
    for event in (
        lc.CountsUpdated(lc.RequestCounts(*counts)),
        lc.CancelInitiated(time),
        lc.Ended(time, lc.RequestCounts(*counts)),
        lc.Archived(time),
        lc.Deleted(time),
    ):
        for profile in (lc.LAWS, lc.HOSTED):
            try:
                after = lc.evolve(batch, event, profile=profile)
            except lc.RuleBroken as error:
                assert error.violations
            except lc.IllegalTransition:
                assert (before, event.tag) not in lc.TRANSITIONS
            else:
                found = lc.check(after, before=batch, profile=profile)
                assert [violation for violation in found if violation.rule.tier is not lc.Tier.ADVICE] == []


def called_by(call: Callable[[], object]) -> set[str]:
    """The names of all functions that are called on the way."""
    names: set[str] = set()
    sys.setprofile(lambda frame, _, __: names.add(frame.f_code.co_name))
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


def test_what_breaks_nothing_but_advice_takes_the_quick_way() -> None:
    """Predicates one by one are for those who are refused, and for batches that were broken before."""
    late = lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4))  # B13, B14
    for stream in (LIFE, (CREATED, late)):
        for cut in range(1, len(stream)):
            start = lc.fold(stream[:cut], profile=lc.HOSTED)
            names = called_by(partial(lc.fold, stream[cut:], start=start, profile=lc.HOSTED))
            assert "fused" in names
            assert "evolve_carefully" not in names
    broken = attrs.evolve(lc.fold([CREATED]), ended_at=T)
    assert "evolve_carefully" in called_by(partial(lc.fold, [REPEATED], start=broken))


def test_a_profile_without_rules_refuses_what_has_no_arrow_and_nothing_else() -> None:
    none = lc.Profile("none", frozenset())
    impossible = (lc.Created("b", T, T - DAY, -1), lc.CountsUpdated(lc.RequestCounts(-2)), lc.CancelInitiated(T - DAY))
    batch = lc.fold(impossible, profile=none)
    assert (batch.request_counts, batch.cancel_initiated_at) == (lc.RequestCounts(-2), T - DAY)
    assert lc.check(batch, profile=none) == ()
    assert lc.fold([lc.Ended(T, lc.RequestCounts(7)), DELETED], start=batch, profile=none).phase is lc.Phase.DELETED
    with pytest.raises(lc.IllegalTransition):
        lc.fold([CREATED], start=batch, profile=none)


class Counts(lc.RequestCounts):
    """Somebody's own."""


@pytest.mark.parametrize("counts", [Counts(2, 2), lc.RequestCounts(2, 2, extra={"total": 4})])
def test_what_is_extra_in_counts_is_not_carried(counts: lc.RequestCounts) -> None:
    start = lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(3, 1))])
    unlawful = attrs.evolve(start, archived_at=T + DAY)  # B10, so each event takes the careful way
    for before in (None, start, unlawful):
        first: list[lc.Event] = [CREATED] if before is None else []
        found = lc.fold([*first, lc.CountsUpdated(counts), CANCELED], start=before).request_counts
        assert found == lc.RequestCounts(2, 2)
        assert (type(found), found.extra) == (lc.RequestCounts, {})


def test_each_event_has_its_effects() -> None:
    assert list(EFFECTS) == [event.tag for event in LIFE]


def test_rules_that_an_event_cannot_break_are_left_out() -> None:
    step = steps(lc.HOSTED.enforced)[lc.Phase.IN_PROGRESS][lc.CancelInitiated]
    # Only B11 is left, and of it one comparison, of created_at and the event's time.
    assert set(step.__code__.co_names) == {"cancel_initiated_at", "created_at", "following"}
