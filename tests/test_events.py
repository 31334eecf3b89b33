"""Events and records: their types, their tags, the default event id."""

import pickle
from typing import Any

import pytest

import lifecycle as lc
from tests.lives import LIFE, T

TAGS = ["created", "counts_updated", "cancel_initiated", "ended", "archived", "deleted"]


def test_each_event_has_its_tag() -> None:
    assert [event.tag for event in LIFE] == TAGS


@pytest.mark.parametrize("event", LIFE, ids=TAGS)
def test_an_event_is_equal_to_its_pickled_self_and_hashes(event: lc.Event) -> None:
    again = pickle.loads(pickle.dumps(event))
    assert again == event
    assert hash(again) == hash(event)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: lc.Created(1, T, T, 1), "id"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Created("b", T, T, True), "request_count"),
        (lambda: lc.CountsUpdated({}), "request_counts"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.CancelInitiated(None), "cancel_initiated_at"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Ended(T, lc.RequestCounts(0), 5), "results_url"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Record("b", "1", LIFE[0], None, T), "version"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Record("b", 1, "created", None, T), "event"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Record("b", 1, LIFE[0], 5, T), "event_id"),  # type: ignore[arg-type] # wrong on purpose
        (lambda: lc.Record("b", 1, LIFE[0], None, None), "recorded_at"),  # type: ignore[arg-type] # wrong on purpose
    ],
)
def test_a_value_of_the_wrong_type_is_a_type_error_that_names_the_field(make: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        make()


def test_an_event_id_that_is_not_given_is_made_of_the_batch_id_and_the_version() -> None:
    assert lc.Record("b", 3, LIFE[1], None, T).event_id == "b/3"
    assert lc.Record("b", 3, LIFE[1], "given", T).event_id == "given"


def test_the_place_is_no_part_of_equality() -> None:
    assert lc.Record("b", 1, LIFE[0], None, T, place=("a.jsonl", 1)) == lc.Record("b", 1, LIFE[0], None, T)
