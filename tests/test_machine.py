"""
T1: only the arrows of the chart.

The table is written out here by hand, from the specification, and held against the one that is read off the chart.
"""

from itertools import product

import pytest
from statemachine.exceptions import TransitionNotAllowed

import lifecycle as lc
from lifecycle.machine import REACHABLE, BatchChart, allowed

ARROWS = {
    (None, "created"): "in_progress",
    ("in_progress", "counts_updated"): "in_progress",
    ("in_progress", "cancel_initiated"): "canceling",
    ("in_progress", "ended"): "ended",
    ("canceling", "counts_updated"): "canceling",
    ("canceling", "ended"): "ended",
    ("ended", "archived"): "archived",
    ("ended", "deleted"): "deleted",
    ("archived", "deleted"): "deleted",
}
TAGS = ["created", "counts_updated", "cancel_initiated", "ended", "archived", "deleted"]
PHASES: list[lc.Phase | None] = [None, *lc.Phase]


def test_the_table_is_the_one_of_the_specification() -> None:
    assert dict(lc.TRANSITIONS) == ARROWS


def test_the_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        lc.TRANSITIONS[None, "ended"] = lc.Phase.ENDED  # type: ignore[index] # wrong on purpose


@pytest.mark.parametrize(("phase", "tag"), list(product(PHASES, TAGS)))
def test_the_chart_itself_goes_where_the_table_says_and_refuses_the_rest(phase: lc.Phase | None, tag: str) -> None:
    chart = BatchChart(start_value=str(phase or "absent"))
    after = lc.TRANSITIONS.get((phase, tag))
    if after is None:
        with pytest.raises(TransitionNotAllowed):
            chart.send(tag)
        assert list(chart.configuration_values) == [str(phase or "absent")]
    else:
        chart.send(tag)
        assert list(chart.configuration_values) == [str(after)]


@pytest.mark.parametrize("tag", ["canceled", "Created", ""])
def test_the_chart_is_strict_about_unknown_events(tag: str) -> None:
    with pytest.raises(TransitionNotAllowed):
        BatchChart().send(tag)


def test_the_chart_is_strict_about_errors_of_those_who_listen() -> None:
    class Listener:
        def after_transition(self) -> None:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        BatchChart(listeners=[Listener()]).send("created")


def test_what_is_allowed_in_each_phase() -> None:
    assert {phase: allowed(phase) for phase in PHASES} == {
        None: ("created",),
        "in_progress": ("counts_updated", "cancel_initiated", "ended"),
        "canceling": ("counts_updated", "ended"),
        "ended": ("archived", "deleted"),
        "archived": ("deleted",),
        "deleted": (),
    }


def test_which_phases_can_be_reached_from_each() -> None:
    assert {phase: set(found) for phase, found in REACHABLE.items()} == {
        "in_progress": {"in_progress", "canceling", "ended", "archived", "deleted"},
        "canceling": {"canceling", "ended", "archived", "deleted"},
        "ended": {"ended", "archived", "deleted"},
        "archived": {"archived", "deleted"},
        "deleted": {"deleted"},
    }
