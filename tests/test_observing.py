"""observe: which events a snapshot tells of; against the oracle, and the laws that it keeps."""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache
from itertools import pairwise, product
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire
from tests import oracle, recorded
from tests.lives import ARCHIVED, CANCELED, CREATED, DAY, DELETED, ENDED, HOUR, LIFE, URL, T, in_phase
from tests.oracle import PROFILES, State, Ways
from tests.test_oracle import NAMES, THEIRS, maybe_batch, splits, to_batch

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def same(one: lc.MessageBatch, other: lc.MessageBatch) -> bool:
    """Equal up to a lone difference of the URL, which has no event of its own."""
    return attrs.evolve(one, results_url=other.results_url) == other


def rules(violations: Sequence[lc.Violation]) -> list[str]:
    return [violation.rule.id for violation in violations]


# --- against the oracle -------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = {"cancels": (1,), "ends": (3,), "archives": (29 * oracle.DAY,), "urls": (None, "u")}
"""Each thing can happen at one time."""
RIVAL: dict[str, Any] = {"cancels": (1, 2), "ends": (2, 4), "archives": (29 * oracle.DAY, 30 * oracle.DAY)} | {
    "urls": (None, "u", "v")
}
"""Each thing can happen at either of two times, so that two snapshots can contradict one another about it."""


def everything(
    size: int, *, cancels: Sequence[int], ends: Sequence[int], archives: Sequence[int], urls: Sequence[str | None]
) -> Iterator[oracle.Event]:
    """All that can happen to a batch of a size, at a few times."""
    yield oracle.created("msgbatch_a", 0, oracle.DAY, size)
    for counts in splits(size, 5):
        yield oracle.counts_updated(counts)  # type: ignore[arg-type] # five of them
    yield from map(oracle.cancel_initiated, cancels)
    for at, counts, url in product(ends, splits(size, 4), urls):
        yield oracle.ended(at, (0, *counts), url)  # type: ignore[arg-type] # five of them
    for at, url in product(archives, urls):
        yield oracle.archived(at, url)
    yield oracle.deleted(31 * oracle.DAY)


@cache
def ways(name: str, size: int, *, rival: bool = False) -> Ways:
    """All states that a batch of a size can reach under a profile, and which lead to which."""
    return Ways([None], everything(size, **(RIVAL if rival else PLAIN)), PROFILES[name])


def agree(name: str, found: Ways, before: State | None, snapshot: State) -> str:
    """Hold `observe` to the oracle for one pair; returns the verdict."""
    verdict, number = found.verdict(before, snapshot)
    batch, shown = maybe_batch(before), to_batch(snapshot)
    where = f"\nprofile  {name}\nbefore   {before}\nsnapshot {snapshot}\noracle   {verdict}, {number} events"
    try:
        events = lc.observe(batch, shown, profile=THEIRS[name])
    except lc.SnapshotConflict as error:
        assert verdict == "conflict", where
        assert error.violations, where
        assert (error.before, error.snapshot) == (batch, shown)
        return verdict
    assert verdict != "conflict", where
    assert len(events) == number, where
    tags = [event.tag for event in events]
    assert tags == sorted(tags, key=CANONICAL.index), where
    assert not {"counts_updated", "ended"} <= set(tags), where
    if number:
        assert same(lc.fold(events, start=batch, profile=THEIRS[name]), shown), where
    return verdict


def some_pairs(
    found: Ways, rng: random.Random, number: int, starts: Sequence[State] = ()
) -> Iterator[tuple[State, State]]:
    """Pairs of states: any two, which mostly contradict one another; and two of one life, either first."""
    for turn in range(number):
        before = snapshot = rng.choice(starts or found.states)
        if turn % 2:
            snapshot = rng.choice(found.states)
        else:
            for _ in range(rng.randrange(4)):
                snapshot = rng.choice(found.after(snapshot) or [snapshot])
        yield (before, snapshot) if rng.random() < 0.5 else (snapshot, before)


CANONICAL = ("created", "cancel_initiated", "counts_updated", "ended", "archived", "deleted")


@pytest.mark.parametrize("size", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_each_pair_of_reachable_states_is_what_the_oracle_says(
    name: str, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every pair of states up to one request and some of the others; in the night every pair up to four requests."""
    found = ways(name, size)
    if not found.states:
        assert (name, size) == ("HOSTED", 0)  # B2
        return
    pairs: list[tuple[State | None, State]] = list(product([None, *found.states], found.states))
    if size > 1 and not NIGHTLY:
        pairs = [(None, state) for state in found.states] + [*some_pairs(found, random.Random(size), 1_000)]
    verdicts = dict.fromkeys(("equal", "later", "stale", "conflict"), 0)
    for before, snapshot in pairs:
        verdicts[agree(name, found, before, snapshot)] += 1
    with capsys.disabled():
        shown = ", ".join(f"{number:,} {verdict}" for verdict, number in verdicts.items())
        print(f"\nobserve: {name}, {size} requests: {len(found.states):,} states, {len(pairs):,} pairs: {shown}")
    assert all(verdicts.values())


@pytest.mark.parametrize("size", [1, 2, 4] if NIGHTLY else [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_states_that_disagree_about_a_time_or_a_url_are_what_the_oracle_says(name: str, size: int) -> None:
    found = ways(name, size, rival=True)
    pairs = some_pairs(found, random.Random(size), 200_000 if NIGHTLY else 600)
    verdicts = {agree(name, found, *pair) for pair in pairs}
    assert verdicts == {"equal", "later", "stale", "conflict"}


@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_that_was_followed_under_the_laws_can_be_observed_under_hosted(size: int) -> None:
    """`before` may break contract rules; a snapshot may not."""
    seeds = ways("LAWS", size).states
    found = Ways(seeds, everything(size, **PLAIN), oracle.HOSTED)
    pairs = some_pairs(found, random.Random(size), 100_000 if NIGHTLY else 700)
    verdicts = {agree("HOSTED", found, *pair) for pair in pairs}
    assert verdicts == {"equal", "later", "stale", "conflict"}


def spoiled(rng: random.Random, state: State) -> State:
    """A state with one or two of its fields changed, possible or not."""
    size = sum(state.counts)
    values: dict[str, Sequence[Any]] = {
        "status": ("in_progress", "canceling", "ended"),
        "counts": [*splits(size, 5), *splits(size + 1, 5), (size + 1, -1, 0, 0, 0)],
        "cancel": (None, 1),
        "ended": (None, 3),
        "archived": (None, 29 * oracle.DAY),
        "deleted": (None, 31 * oracle.DAY),
        "url": (None, "u"),
    }
    for field in rng.sample(sorted(values), rng.choice((1, 1, 2))):
        state = state._replace(**{field: rng.choice(values[field])})
    return state


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_before_that_breaks_laws_is_taken_as_it_is(name: str, size: int) -> None:
    """A user's first `before` may be what a server showed. The oracle walks from it as from any other."""
    rng = random.Random(size)
    lawful = ways(name, size).states
    broken = [spoiled(rng, rng.choice(lawful)) for _ in range(600 if NIGHTLY else 60)]
    events = [*everything(size, **PLAIN), *everything(size + 1, **PLAIN)]
    found = Ways([*lawful, *broken], events, PROFILES[name])
    pairs = some_pairs(found, rng, 100_000 if NIGHTLY else 1_500, broken)
    verdicts = {agree(name, found, *pair) for pair in pairs}
    assert verdicts == {"equal", "later", "stale", "conflict"}


# --- the laws -----------------------------------------------------------------------------------------------


@st.composite
def lives(draw: st.DrawFn, *, hosted: bool = False) -> list[lc.MessageBatch]:
    """The states of a batch's life, from the first to any later one; legal by construction."""
    counts = [draw(st.integers(1 if hosted else 0, 9)), 0, 0, 0, 0]
    clock = T
    phase: lc.Phase | None = lc.Phase.IN_PROGRESS
    states = [lc.fold([lc.Created("msgbatch_01", T, T + DAY, counts[0])])]

    def move(*, all_of_them: bool) -> None:
        may_cancel = not hosted or states[-1].cancel_initiated_at is not None
        for _ in range(counts[0] if all_of_them else draw(st.integers(0, counts[0]))):
            counts[0] -= 1
            counts[draw(st.sampled_from([1, 2, 3, 4] if may_cancel else [1, 2, 4]))] += 1

    for _ in range(draw(st.integers(0, 6))):
        clock += timedelta(microseconds=draw(st.integers(0, 10**9)))
        tags = [tag for before, tag in lc.TRANSITIONS if before is phase and not (hosted and tag == "counts_updated")]
        if not tags:
            break
        event: lc.Event
        match draw(st.sampled_from(tags)):
            case "counts_updated":
                move(all_of_them=False)
                event = lc.CountsUpdated(lc.RequestCounts(*counts))
            case "cancel_initiated":
                event = lc.CancelInitiated(clock)
            case "ended":
                move(all_of_them=True)
                event = lc.Ended(clock, lc.RequestCounts(*counts), draw(st.none() | st.just(URL)))
            case "archived":
                event = lc.Archived(clock, draw(st.none() | st.just(URL)))
            case _:
                event = lc.Deleted(clock)
        states.append(lc.fold([event], start=states[-1], profile=lc.HOSTED if hosted else lc.LAWS))
        phase = states[-1].phase
    return states


BOTH = st.sampled_from([lc.LAWS, lc.HOSTED]).flatmap(
    lambda profile: st.tuples(st.just(profile), lives(hosted=profile is lc.HOSTED))
)


@given(BOTH)
def test_the_events_of_a_first_snapshot_fold_to_it(given: tuple[lc.Profile, list[lc.MessageBatch]]) -> None:
    profile, states = given
    for state in states:
        assert same(lc.fold(lc.observe(None, state, profile=profile), profile=profile), state)


@given(BOTH)
def test_the_events_of_a_later_snapshot_lead_to_it_and_an_earlier_one_tells_nothing(
    given: tuple[lc.Profile, list[lc.MessageBatch]],
) -> None:
    profile, states = given
    for number, before in enumerate(states):
        for snapshot in states[number:]:
            events = lc.observe(before, snapshot, profile=profile)
            after = lc.fold(events, start=before, profile=profile)
            assert same(after, snapshot)
            # Observed again it tells nothing; and neither does what was before.
            assert lc.observe(after, snapshot, profile=profile) == ()
            assert lc.observe(snapshot, before, profile=profile) == ()


@given(BOTH, st.data())
def test_polls_in_any_order_and_any_number_end_in_the_newest(
    given: tuple[lc.Profile, list[lc.MessageBatch]], data: st.DataObject
) -> None:
    profile, states = given
    polls = data.draw(st.lists(st.sampled_from(states), max_size=12))
    polls.insert(data.draw(st.integers(0, len(polls))), states[-1])
    events: list[lc.Event] = []
    for poll in polls:
        known = lc.fold(events, profile=profile) if events else None
        events += lc.observe(known, poll, profile=profile)
    assert same(lc.fold(events, profile=profile), states[-1])


def test_the_lives_reach_every_phase_and_every_arrow() -> None:
    """The laws above speak of something."""
    phases: set[lc.Phase] = set()

    @given(BOTH)
    def collect(given: tuple[lc.Profile, list[lc.MessageBatch]]) -> None:
        phases.update(state.phase for state in given[1])

    collect()
    assert phases == set(lc.Phase)


# --- what was recorded --------------------------------------------------------------------------------------

SEQUENCES = {batch_id: polls for batch_id, polls in recorded.polls().items() if len(polls) > 1}
"""The batches that were polled."""


def followed(bodies: Sequence[bytes]) -> tuple[list[lc.Event], lc.MessageBatch]:
    events: list[lc.Event] = []
    batch: lc.MessageBatch | None = None
    for body in bodies:
        new = lc.observe(batch, wire.decode_batch(body), profile=lc.HOSTED)
        batch = lc.fold(new, start=batch, profile=lc.HOSTED)
        events += new
    assert batch is not None
    return events, batch


def test_six_batches_were_polled_and_most_polls_repeat_the_one_before() -> None:
    assert sorted(map(len, SEQUENCES.values())) == [3, 3, 7, 10, 34, 37]
    bodies = [[body for _, body in polls] for polls in SEQUENCES.values()]
    assert sum(one == next_ for polls in bodies for one, next_ in pairwise(polls)) == 82


@pytest.mark.parametrize("batch_id", SEQUENCES)
def test_recorded_polls_fold_to_the_newest_snapshot(batch_id: str) -> None:
    bodies = [body for _, body in SEQUENCES[batch_id]]
    newest = wire.decode_batch(bodies[-1])
    assert followed(bodies)[1] == newest
    rng = random.Random(batch_id)
    for _ in range(20):
        polls = [*bodies, *rng.choices(bodies, k=10)]
        rng.shuffle(polls)
        assert followed(polls)[1] == newest
    assert followed(bodies[::-1])[1] == newest


@pytest.mark.parametrize("number", [34, 37])
def test_of_many_polls_two_events_are_left(number: int) -> None:
    [bodies] = [[body for _, body in polls] for polls in SEQUENCES.values() if len(polls) == number]
    events, batch = followed(bodies)
    assert events == [
        lc.Created(batch.id, batch.created_at, batch.expires_at, batch.size),
        lc.Ended(batch.ended_at, batch.request_counts, batch.results_url),  # type: ignore[arg-type] # it has ended
    ]


@pytest.mark.parametrize("batch_id", recorded.polls())
def test_every_recorded_snapshot_tells_its_whole_life(batch_id: str) -> None:
    for _, body in recorded.polls()[batch_id]:
        batch = wire.decode_batch(body)
        assert lc.fold(lc.observe(None, batch, profile=lc.HOSTED), profile=lc.HOSTED) == batch


# --- one by one ---------------------------------------------------------------------------------------------


class TestSkippedPhases:
    def test_a_cancelled_batch_that_was_not_seen_canceling(self) -> None:
        assert lc.observe(lc.fold([CREATED]), lc.fold([CREATED, CANCELED, ENDED])) == (CANCELED, ENDED)

    def test_an_unknown_batch_has_its_whole_life_so_far(self) -> None:
        whole = lc.fold([CREATED, CANCELED, ENDED, ARCHIVED])
        events = lc.observe(None, whole)
        assert [event.tag for event in events] == ["created", "cancel_initiated", "ended", "archived"]
        assert events[0] == CREATED

    def test_live_counts_come_after_the_cancellation(self) -> None:
        moved = lc.CountsUpdated(lc.RequestCounts(2, 2))
        assert lc.observe(None, lc.fold([CREATED, moved, CANCELED])) == (CREATED, CANCELED, moved)
        assert lc.observe(None, lc.fold([CREATED, moved])) == (CREATED, moved)
        assert lc.observe(lc.fold([CREATED]), lc.fold([CREATED, moved, ENDED])) == (ENDED,)


class TestStale:
    def test_what_was_before_tells_nothing(self) -> None:
        for number in range(1, len(LIFE)):
            assert lc.observe(lc.fold(LIFE), lc.fold(LIFE[:number])) == ()

    def test_a_deleted_batch_is_not_surprised_by_an_earlier_poll(self) -> None:
        for phase in lc.Phase:
            snapshot = in_phase(phase)
            assert snapshot is not None
            assert lc.observe(in_phase(lc.Phase.DELETED), snapshot, profile=lc.HOSTED) == ()


class TestDeleted:
    """It is never inferred: the wire does not show it."""

    def test_no_snapshot_of_the_wire_gives_it(self) -> None:
        for before in (None, *map(in_phase, lc.Phase)):
            for phase in lc.Phase:
                batch = in_phase(phase)
                assert batch is not None
                shown = wire.decode_batch(wire.encode_batch(batch))
                assert DELETED.tag not in [event.tag for event in lc.observe(before, shown)]

    def test_a_snapshot_that_states_it_does(self) -> None:
        assert lc.observe(lc.fold(LIFE[:-1]), lc.fold(LIFE)) == (DELETED,)


class TestResultsURL:
    """It has no event of its own: Ended and Archived carry it."""

    ended = lc.fold([CREATED, ENDED])

    @pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED])
    def test_one_that_comes_later_is_no_event(self, profile: lc.Profile) -> None:
        canceled = lc.fold([CREATED, CANCELED, ENDED])
        without = attrs.evolve(canceled, results_url=None)
        assert lc.observe(without, canceled, profile=profile) == ()
        assert lc.observe(canceled, without, profile=profile) == ()  # stale: once it was not there yet

    def test_another_one_is_a_contradiction_where_t7_counts(self) -> None:
        canceled = lc.fold([CREATED, CANCELED, ENDED])
        other = attrs.evolve(canceled, results_url=URL + "/2")
        assert lc.observe(canceled, other) == ()
        with pytest.raises(lc.SnapshotConflict) as found:
            lc.observe(canceled, other, profile=lc.HOSTED)
        assert (rules(found.value.violations), rules(found.value.stale_violations)) == (["T7"], ["T7"])

    def test_after_archiving_any_is_fine(self) -> None:
        archived = lc.fold(LIFE[:5])
        for url in (None, URL, "v"):
            assert lc.observe(archived, attrs.evolve(archived, results_url=url), profile=lc.HOSTED) == ()

    @pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED])
    def test_ended_and_archived_carry_that_of_the_snapshot(self, profile: lc.Profile) -> None:
        snapshot = attrs.evolve(lc.fold(LIFE[:5]), results_url="v")
        _, _, ended, archived = lc.observe(None, snapshot, profile=profile)
        assert (ended, archived) == (attrs.evolve(ENDED, results_url="v"), attrs.evolve(ARCHIVED, results_url="v"))

    def test_one_that_was_there_before_the_end_stays_until_archiving_where_t7_counts(self) -> None:
        early = attrs.evolve(lc.fold([CREATED]), results_url=URL)
        ended = lc.Ended(T + HOUR, lc.RequestCounts(0, 4), URL)
        archived = attrs.evolve(lc.fold([CREATED, ended, ARCHIVED]), results_url="v")
        found = {profile: lc.observe(early, archived, profile=profile) for profile in (lc.LAWS, lc.HOSTED)}
        carried = attrs.evolve(ARCHIVED, results_url="v")
        assert found[lc.LAWS] == (attrs.evolve(ended, results_url="v"), carried)
        assert found[lc.HOSTED] == (ended, carried)

    def test_one_that_was_there_before_the_end_is_no_event_either(self) -> None:
        running = lc.fold([CREATED])
        early = attrs.evolve(running, results_url=URL)  # B8, a contract rule
        assert lc.observe(None, early) == (CREATED,)
        assert lc.observe(early, running, profile=lc.HOSTED) == ()
        with pytest.raises(lc.SnapshotConflict) as found:
            lc.observe(running, early, profile=lc.HOSTED)
        assert (rules(found.value.violations), found.value.stale_violations) == (["B8"], ())


class TestConflicts:
    def conflict(
        self, before: lc.MessageBatch | None, snapshot: lc.MessageBatch, profile: lc.Profile = lc.LAWS
    ) -> lc.SnapshotConflict:
        kept = None if before is None else attrs.evolve(before), attrs.evolve(snapshot)
        with pytest.raises(lc.SnapshotConflict) as found:
            lc.observe(before, snapshot, profile=profile)
        assert (before, snapshot) == kept
        return found.value

    def test_a_snapshot_that_breaks_a_law_is_one_by_itself(self) -> None:
        impossible = attrs.evolve(lc.fold([CREATED]), ended_at=T + HOUR)
        for before in (None, lc.fold([CREATED]), impossible):
            error = self.conflict(before, impossible)
            assert (error.before, error.snapshot) == (before, impossible)
            assert (rules(error.violations), error.stale_violations) == (["B4"], ())
            assert "cannot be" in str(error)

    def test_so_is_one_that_breaks_the_contract_under_hosted_but_advice_is_not_raised(self) -> None:
        live = lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(3, 1))])
        assert rules(self.conflict(None, live, lc.HOSTED).violations) == ["B7"]
        late = lc.fold([CREATED, lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4))])  # B13, B14
        assert len(lc.observe(None, late, profile=lc.HOSTED)) == 2

    def test_advice_is_not_told_beside_what_is_broken(self) -> None:
        late = lc.Ended(T + 3 * DAY, lc.RequestCounts(0, 4))  # B13, B14
        longer = lc.fold([attrs.evolve(CREATED, expires_at=T + 2 * DAY), late])  # B3
        assert rules(self.conflict(None, longer, lc.HOSTED).violations) == ["B3"]

    @pytest.mark.parametrize(
        ("changed", "broken"),
        [
            ({"id": "msgbatch_02"}, ["T2"]),
            ({"created_at": T - HOUR}, ["T2"]),
            ({"expires_at": T + 2 * DAY}, ["T2"]),
            ({"request_counts": lc.RequestCounts(0, 2, 2, 1)}, ["T3", "T6"]),
            ({"request_counts": lc.RequestCounts(0, 3, 1)}, ["T6"]),
            ({"ended_at": T + 3 * HOUR}, ["T4"]),
            ({"cancel_initiated_at": T}, ["T4"]),
            ({"cancel_initiated_at": None, "archived_at": T + 30 * DAY}, ["T4"]),
        ],
    )
    def test_the_violations_say_what_contradicts(self, changed: dict[str, Any], broken: list[str]) -> None:
        before = lc.fold([CREATED, CANCELED, ENDED])
        error = self.conflict(before, attrs.evolve(before, **changed))
        assert rules(error.violations) == broken
        assert rules(error.violations) == rules(lc.check(error.snapshot, before=before))

    def test_both_directions_are_told(self) -> None:
        """Later it cannot be, for its cancellation is missing; nor earlier, for more is done."""
        before = lc.fold([CREATED, CANCELED])
        snapshot = lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(1, 3))])
        error = self.conflict(before, snapshot)
        assert rules(error.violations) == ["T1", "T4"]
        assert rules(error.stale_violations) == ["T5"]
        assert all(part in str(error) for part in ("'msgbatch_01'", "T1", "T4", "T5", "contradicts"))

    def test_a_before_without_the_arrow_is_told_by_t1(self) -> None:
        before = attrs.evolve(lc.fold([CREATED, CANCELED]), cancel_initiated_at=None)  # B6
        error = self.conflict(before, lc.fold([CREATED, CANCELED]))
        assert rules(error.violations) == ["T1"]
        assert "cancel_initiated has no arrow from canceling" in error.violations[0].message
        assert error.violations[0].message.startswith(lc.RULES["T1"].sentence.removesuffix(".") + ", but ")
        # Nor can what breaks a law have come of what keeps it: B6 was broken by no event.
        assert rules(error.stale_violations) == ["T4"]
        running = self.conflict(before, lc.fold([CREATED]))
        assert (rules(running.violations), rules(running.stale_violations)) == (["T1"], ["B6"])

    def test_advice_is_not_told_of_a_before_either(self) -> None:
        before = attrs.evolve(lc.fold([CREATED, CANCELED]), cancel_initiated_at=None, extra={"total": 4})  # B6, B16
        assert rules(self.conflict(before, lc.fold([CREATED]), lc.HOSTED).stale_violations) == ["B6"]

    def test_a_before_that_breaks_the_contract_came_of_no_clean_snapshot(self) -> None:
        before = lc.fold([CREATED, lc.CountsUpdated(lc.RequestCounts(3, 1))])  # B7
        error = self.conflict(before, lc.fold([CREATED]), lc.HOSTED)
        assert (rules(error.violations), rules(error.stale_violations)) == (["T5"], ["B7"])
        ended = lc.Ended(T + HOUR, lc.RequestCounts(0, 4), URL)
        assert lc.observe(before, lc.fold([CREATED, ended]), profile=lc.HOSTED) == (ended,)


@pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED])
@pytest.mark.parametrize("first", range(1, len(LIFE) + 1))
def test_what_was_heard_again_is_as_good_as_what_is_known(first: int, profile: lc.Profile) -> None:
    """Values are compared, and not whether they are the very same objects."""
    for second in range(1, len(LIFE) + 1):
        before, snapshot = lc.fold(LIFE[:first]), lc.fold(LIFE[:second])
        heard = pickle.loads(pickle.dumps(snapshot))
        assert heard.created_at is not snapshot.created_at
        assert lc.observe(before, heard, profile=profile) == lc.observe(before, snapshot, profile=profile)


def test_unknown_keys_are_not_carried() -> None:
    counts = lc.RequestCounts(0, 4, extra={"total": 4})
    snapshot = attrs.evolve(lc.fold([CREATED, ENDED]), request_counts=counts, extra={"archive_at": None})
    _, ended = lc.observe(None, snapshot, profile=lc.HOSTED)
    assert isinstance(ended, lc.Ended)
    assert ended.request_counts.extra == {}
    assert lc.observe(lc.fold([CREATED, attrs.evolve(ENDED, request_counts=counts)]), snapshot) == ()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: lc.observe({}, lc.fold(LIFE)), "before"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.observe(None, None), "snapshot"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.observe(None, lc.fold(LIFE), profile="laws"), "profile"),  # type: ignore[arg-type] # on purpose
    ],
)
def test_an_argument_of_the_wrong_type_is_a_type_error_that_names_it(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        call()


def test_the_profile_is_never_positional() -> None:
    with pytest.raises(TypeError, match="positional"):
        lc.observe(None, lc.fold(LIFE), lc.HOSTED)  # type: ignore[call-arg] # wrong on purpose


def test_a_conflict_pickles_with_its_violations() -> None:
    before = lc.fold([CREATED, ENDED])
    with pytest.raises(lc.SnapshotConflict) as found:
        lc.observe(before, attrs.evolve(before, id="msgbatch_02"))
    again = pickle.loads(pickle.dumps(found.value))
    assert (again.before, again.snapshot, again.violations) == (before, found.value.snapshot, found.value.violations)
    assert again.violations[0].rule is lc.RULES["T2"]
