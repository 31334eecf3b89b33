"""Each labelled fault breaks the rule of its label and no other; every rule has a fault, or a reason why not."""

import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import testing, wire
from lifecycle.testing import faults
from lifecycle.testing.strategies import records
from tests.lives import ARCHIVED, CANCELED, CREATED, DAY, DELETED, HOUR, LIFE, URL, T

PROFILES = {profile.name: profile for profile in (lc.LAWS, lc.HOSTED)}
STREAMS = [(name, rule) for name, known in faults.STREAM_FAULTS.items() for rule in known]

# The same examples every time, so that what covers the kit's branches is not luck; test_library has the random ones.
same = settings(derandomize=True, database=None, max_examples=20)


def ids(violations: "tuple[lc.Violation, ...]") -> list[str]:
    return [violation.rule.id for violation in violations]


def audited(found: "tuple[lc.Record, ...]", profile: lc.Profile) -> list[str]:
    return ids(tuple(lc.audit(found, profile=profile)))


# ---------------------------------------------------------------------------------------------------------- streams


def judge_stream(events: tuple[lc.Event, ...], rule: str, profile: lc.Profile) -> None:
    *good, bad = events
    before = lc.fold(good, profile=profile) if good else None
    created = events[0]
    assert isinstance(created, lc.Created)
    assert audited(tuple(records(created.id, events)), profile) == [rule]
    if lc.RULES[rule].tier is lc.Tier.ADVICE:
        assert ids(lc.check(lc.fold(events, profile=profile), profile=profile)) == [rule]
        return
    with pytest.raises(lc.IllegalEvent) as caught:
        lc.fold(events, profile=profile)
    assert caught.value.version == len(events)
    assert caught.value.before == before
    assert caught.value.event == bad
    if isinstance(caught.value, lc.RuleBroken):
        assert ids(caught.value.violations) == [rule]
    else:
        assert rule == "T1"


@pytest.mark.parametrize(("profile", "rule"), STREAMS, ids=lambda value: value)
def test_a_broken_stream_breaks_its_rule_with_its_last_event_and_no_other(profile: str, rule: str) -> None:
    @same
    @given(testing.broken_streams(rule=rule, profile=PROFILES[profile]))
    def judge(found: tuple[tuple[lc.Event, ...], str]) -> None:
        assert found[1] == rule
        judge_stream(*found, PROFILES[profile])

    judge()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_broken_streams_reach_each_rule_of_the_profile(profile: lc.Profile) -> None:
    assert_reached(testing.broken_streams(profile=profile), faults.STREAM_FAULTS[profile.name])


def assert_reached(strategy: st.SearchStrategy[tuple[object, str]], labels: Collection[str]) -> None:
    """The values have these labels: a few hundred, or some more if not all are among them."""
    found: set[str] = set()

    for number in range(10):

        @seed(number)
        @settings(same, derandomize=False, max_examples=300, phases=[Phase.generate])
        @given(strategy)
        def note(value: tuple[object, str]) -> None:
            found.add(value[1])

        note()
        if found >= set(labels):
            break
    assert found == set(labels)


def test_under_hosted_each_rule_has_a_broken_stream_or_a_reason_why_not() -> None:
    assert set(faults.STREAM_FAULTS["hosted"]).isdisjoint(faults.NOT_IN_STREAMS)
    assert {*faults.STREAM_FAULTS["hosted"], *faults.NOT_IN_STREAMS} == set(lc.RULES)


def test_under_laws_each_law_has_a_broken_stream_or_a_reason_why_not() -> None:
    laws = {rule.id for rule in lc.RULES.values() if rule.tier is lc.Tier.LAW}
    hosted_only = {rule for rule, reason in faults.NOT_IN_STREAMS.items() if reason.startswith("under HOSTED")}
    assert hosted_only == {"B1", "T5"}
    assert set(faults.STREAM_FAULTS["laws"]) == laws - set(faults.NOT_IN_STREAMS) | hosted_only


def possible_events(*, started: bool, live: bool) -> Iterator[lc.Event]:
    """Every event with small numbers and few times, sensible or not."""
    times = [T - HOUR, T, T + HOUR, T + DAY, T + 30 * DAY]
    if not started:
        for expires, size in itertools.product(times, (-1, 0, 1, 2, 100_001)):
            yield lc.Created("msgbatch_01", T, expires, size)
        return
    few, fewer = range(-1, 3), range(2)
    counts = [lc.RequestCounts(*five) for five in itertools.product(few, few, few, fewer, fewer)]
    if not live:  # whatever they are, they come too late
        del counts[1:]
    odd = attrs.evolve(counts[0], extra={"total": 2})
    for some in (*counts, odd):
        yield lc.CountsUpdated(some)
        for at, url in ((T + HOUR, URL), (T + DAY, None), (T + DAY + HOUR, URL), (T - HOUR, URL)):
            yield lc.Ended(at, some, url)
    for at in times:
        yield lc.CancelInitiated(at)
        yield lc.Deleted(at)
        yield from (lc.Archived(at, url) for url in (None, URL, "http://localhost"))


def test_no_event_at_all_breaks_alone_what_no_stream_is_said_to_break_alone() -> None:
    alone: set[str] = set()
    created, ended = attrs.evolve(CREATED, request_count=2), lc.Ended(T + 2 * HOUR, lc.RequestCounts(0, 1, 1), URL)
    whole = (created, CANCELED, ended, ARCHIVED, DELETED)
    for events in (*(whole[:number] for number in range(6)), (created, ended), (created, ended, DELETED)):
        assert audited(tuple(records("msgbatch_01", events)), lc.HOSTED) == []
        live = events in (whole[:1], whole[:2])
        for event in possible_events(started=bool(events), live=live):
            found = audited(tuple(records("msgbatch_01", [*events, event])), lc.HOSTED)
            if len(found) == 1:
                alone.update(found)
    assert alone == set(faults.STREAM_FAULTS["hosted"])


# --------------------------------------------------------------------------------------------------------- snapshots


@pytest.mark.parametrize("rule", faults.SNAPSHOT_FAULTS)
def test_a_broken_snapshot_breaks_its_rule_and_no_other(rule: str) -> None:
    @same
    @given(testing.broken_snapshots(rule=rule))
    def judge(found: tuple[lc.MessageBatch, str]) -> None:
        batch, label = found
        assert label == rule
        assert ids(lc.check(batch, profile=lc.HOSTED)) == [rule]
        law = lc.RULES[rule].tier is lc.Tier.LAW
        assert ids(lc.check(batch)) == ([rule] if law else [])

    judge()


def test_broken_snapshots_reach_each_b_rule() -> None:
    assert set(faults.SNAPSHOT_FAULTS) == {rule for rule in lc.RULES if rule.startswith("B")}
    assert_reached(testing.broken_snapshots(), faults.SNAPSHOT_FAULTS)


@same
@given(testing.broken_snapshots())
def test_all_broken_snapshots_but_those_of_b1_can_go_over_the_wire(found: tuple[lc.MessageBatch, str]) -> None:
    batch, rule = found
    if rule == "B1":
        with pytest.raises(lc.WireError):
            wire.encode_batch(batch)
    else:
        assert wire.decode_batch(wire.encode_batch(batch)) == batch


# ------------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("rule", faults.PAIR_FAULTS)
def test_a_broken_pair_breaks_its_rule_and_no_other(rule: str) -> None:
    @same
    @given(testing.broken_pairs(rule=rule))
    def judge(found: tuple[tuple[lc.MessageBatch, lc.MessageBatch], str]) -> None:
        (before, after), label = found
        assert label == rule
        assert ids(lc.check(after, before=before, profile=lc.HOSTED)) == [rule]
        assert ids(lc.check(before, profile=lc.HOSTED)) == (["B7"] if rule == "T5" else [])
        law = lc.RULES[rule].tier is lc.Tier.LAW
        assert ids(lc.check(after, before=before)) == ([rule] if law else [])

    judge()


def test_broken_pairs_reach_each_t_rule_but_t1() -> None:
    assert {*faults.PAIR_FAULTS, "T1"} == {rule for rule in lc.RULES if rule.startswith("T")}
    assert_reached(testing.broken_pairs(), faults.PAIR_FAULTS)


def test_no_pair_of_lawful_batches_breaks_t1_alone() -> None:
    """By exhaustion, over all statuses and all orders of the times."""
    choice = (None, T, T + HOUR)
    lawful = [
        batch
        for status, ended, archived, cancel, deleted in itertools.product(
            lc.ProcessingStatus, choice, choice, choice, choice
        )
        if not lc.check(
            batch := lc.MessageBatch(
                *("msgbatch_01", status, lc.RequestCounts(0), T, T + DAY),
                *(ended, archived, cancel, None, deleted),
            )
        )
    ]
    assert {batch.phase for batch in lawful} == set(lc.Phase)
    broken = [ids(lc.check(after, before=before)) for before, after in itertools.product(lawful, repeat=2)]
    assert ["T4"] in broken
    assert any("T1" in found for found in broken)
    assert ["T1"] not in broken


# -------------------------------------------------------------------------------------------------------------- logs


@pytest.mark.parametrize("rule", faults.LOG_FAULTS)
def test_a_broken_log_breaks_its_rule_once_and_no_other(rule: str) -> None:
    @same
    @given(testing.broken_logs(rule=rule))
    def judge(found: tuple[tuple[lc.Record, ...], str]) -> None:
        log, label = found
        assert label == rule
        assert audited(log, lc.LAWS) == audited(log, lc.HOSTED) == [rule]

    judge()


def test_broken_logs_reach_each_l_rule() -> None:
    assert set(faults.LOG_FAULTS) == {rule for rule in lc.RULES if rule.startswith("L")}
    assert_reached(testing.broken_logs(), faults.LOG_FAULTS)


def test_every_rule_of_the_rulebook_has_a_fault() -> None:
    known = {*faults.STREAM_FAULTS["laws"], *faults.SNAPSHOT_FAULTS, *faults.PAIR_FAULTS, *faults.LOG_FAULTS}
    assert known == set(lc.RULES)


# -------------------------------------------------------------------------------------------------------------- wire


SHOWN = lc.fold(LIFE[:3], profile=lc.HOSTED)


def judge_body(body: bytes, path: str) -> None:
    with pytest.raises(lc.WireError) as caught:
        wire.decode_batch(body)
    assert [where for where, _ in caught.value.problems] == [path]


@same
@given(testing.broken_wire())
def test_a_broken_body_has_one_problem_at_its_path(found: tuple[bytes, str]) -> None:
    judge_body(*found)


@same
@given(testing.broken_wire(path="$.results_url"))
def test_a_broken_body_can_be_asked_for_by_its_path(found: tuple[bytes, str]) -> None:
    assert found[1] == "$.results_url"
    judge_body(*found)


@pytest.mark.parametrize("path", faults.WIRE_PATHS[1:])
def test_every_bad_value_is_one_problem_at_its_path(path: str) -> None:
    for value in faults._BAD_VALUES[path]:
        judge_body(faults._spoiled(SHOWN, path, value), path)


def test_every_bad_body_is_one_problem_of_the_whole() -> None:
    for spoil in faults._BAD_BODIES:
        judge_body(spoil(wire.encode_batch(SHOWN)), "$")


def test_broken_bodies_reach_each_path() -> None:
    assert_reached(testing.broken_wire(), faults.WIRE_PATHS)


def test_the_paths_of_broken_bodies_are_those_of_the_wire() -> None:
    shown = wire.unstructure_batch(lc.fold(LIFE[:1]))
    inner = {f"$.request_counts.{key}" for key in shown["request_counts"]}
    assert set(faults.WIRE_PATHS) == {"$", *(f"$.{key}" for key in shown), *inner}


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "arguments", "hint"),
    [
        (testing.broken_streams, {"rule": "T5", "profile": lc.HOSTED}, "B7"),
        (
            testing.broken_streams,
            {"rule": "B7"},
            "B7 is judged under HOSTED, not under LAWS; pass profile=lifecycle.HOSTED",
        ),
        (testing.broken_streams, {"rule": "B99"}, "expected one of"),
        (testing.broken_streams, {"rule": "T6"}, "Ended"),
        (testing.broken_snapshots, {"rule": "T1"}, "B16"),
        (testing.broken_pairs, {"rule": "T1"}, "arrows"),
        (testing.broken_logs, {"rule": "B1"}, "L4"),
        (testing.broken_wire, {"path": "$.nothing"}, "request_counts"),
    ],
)
def test_a_fault_that_there_is_not_is_refused_at_once_and_the_text_helps(
    call: "type[object]", arguments: dict[str, object], hint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        call(**arguments)


def test_what_is_no_profile_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="profile"):
        testing.broken_streams(profile="hosted")  # type: ignore[arg-type] # wrong on purpose


def test_the_kit_builds_and_never_filters() -> None:
    folder = Path(str(testing.__file__)).parent
    text = "".join((folder / name).read_text() for name in ("strategies.py", "faults.py"))
    assert re.findall(r"\.filter\(|\bassume\b|\breject\(", text) == []
