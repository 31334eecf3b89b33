"""Every error pickles, says what to do, and has the builtin parent that a caller would guess."""

import copy
import pickle

import attrs
import pytest

import lifecycle as lc
from tests.lives import ARCHIVED, CANCELED, CREATED, ENDED, T, in_phase


def caught(work: object) -> lc.LifecycleError:
    with pytest.raises(lc.LifecycleError) as found:
        work()  # type: ignore[operator] # wrong on purpose
    return found.value


ERRORS = [
    caught(lambda: lc.fold([CREATED, ARCHIVED])),
    caught(lambda: lc.evolve(in_phase(lc.Phase.DELETED), CANCELED)),
    caught(lambda: lc.evolve(None, ENDED)),
    caught(lambda: lc.fold([CREATED, lc.Ended(T, lc.RequestCounts(1, 1))])),
    caught(lambda: lc.fold([])),
    caught(lambda: lc.decide(None, lc.Cancel(T))),
    caught(lambda: lc.decide(in_phase(lc.Phase.IN_PROGRESS), lc.Delete(T))),
    caught(lambda: lc.observe(in_phase(lc.Phase.ENDED), attrs.evolve(lc.fold([CREATED]), id="msgbatch_02"))),
    caught(lambda: lc.observe(None, attrs.evolve(lc.fold([CREATED]), archived_at=T))),
    lc.WireError((("$.id", "missing"), ("$.type", "missing"))),
    lc.LogError("a.jsonl", 3, "no record", (("$", "malformed"),)),
    lc.LogError("a.jsonl", None, "cannot be read"),
    lc.TrackerError("no key"),
    lc.TrackerError("401 authentication_error", 401),
    lc.StoreError("sqlite:///a.db: disk full"),
    lc.StoreError("sqlite:///a.db: disk full", unknown=True),
    lc.VersionConflict("msgbatch_01", 3, 4),
    lc.StreamNotFound("msgbatch_01"),
    lc.StreamNotFound("msgbatch_01", forgotten=True),
    lc.EngineError("out of memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_pickles_with_all_its_fields_and_notes(error: lc.LifecycleError) -> None:
    noted = copy.copy(error)
    noted.add_note("seen in the night")
    again = pickle.loads(pickle.dumps(noted))
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error) == str(noted)
    assert again.__notes__ == ["seen in the night"]
    assert vars(again) == vars(noted)
    assert "__notes__" not in vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_raised_from_another_and_carry_notes(error: lc.LifecycleError) -> None:
    with pytest.raises(type(error)) as found:
        raise copy.copy(error) from KeyError("x")
    found.value.add_note("seen in the night")
    assert isinstance(found.value.__cause__, KeyError)


def test_an_id_of_a_megabyte_is_not_told_in_full() -> None:
    created = attrs.evolve(CREATED, id="x" * 1_000_000)
    start = lc.fold([created])
    for error in (
        caught(lambda: lc.fold([created, ARCHIVED])),
        caught(lambda: lc.evolve(start, lc.Ended(T, lc.RequestCounts(1, 1)))),
        caught(lambda: lc.observe(None, attrs.evolve(start, archived_at=T))),
    ):
        assert "batch 'xxx" in str(error)
        assert len(str(error)) < 1500


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (lc.IllegalTransition, (lc.IllegalEvent, lc.LifecycleError)),
        (lc.RuleBroken, (lc.IllegalEvent, lc.LifecycleError)),
        (lc.EmptyStream, (lc.LifecycleError, ValueError)),
        (lc.CommandRejected, (lc.LifecycleError,)),
        (lc.SnapshotConflict, (lc.LifecycleError,)),
        (lc.WireError, (lc.LifecycleError, ValueError)),
        (lc.LogError, (lc.LifecycleError, ValueError)),
        (lc.TrackerError, (lc.LifecycleError,)),
        (lc.StoreError, (lc.LifecycleError,)),
        (lc.EngineError, (lc.LifecycleError,)),
        (lc.VersionConflict, (lc.StoreError,)),
        (lc.StreamNotFound, (lc.StoreError, LookupError)),
    ],
)
def test_the_tree_is_as_it_is_drawn(error: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    assert all(issubclass(error, parent) for parent in parents)


def test_the_text_names_the_place_the_batch_what_was_allowed_and_the_rule() -> None:
    error = caught(lambda: lc.fold([CREATED, ARCHIVED]))
    text = str(error)
    assert all(part in text for part in ("event 2", "'msgbatch_01'", "archived", "in_progress", "counts_updated", "T1"))
