"""A recorded state graph of TLC against the code, and that a difference would be seen."""

from collections.abc import Mapping

import attrs
import pytest

import lifecycle as lc
from tests.specs.models import RECORDED

from specs.tla import replay, tlc  # isort: skip -- tests.specs.models makes it known

CONFIG = tlc.Config(range(1, 2), 5, range(1, 2), 1, ("law",), ())


@pytest.fixture(scope="module")
def graph() -> tlc.Graph:
    return tlc.graph(RECORDED.read_text(encoding="utf-8"))


def changed(graph: tlc.Graph, *, states: Mapping[str, tlc.State] | None = None, without: str = "") -> tlc.Graph:
    """*graph* with other states, or without the first edge of an action."""
    gone = sorted(edge for edge in graph.edges if edge[1] == without)[:1]
    return attrs.evolve(graph, states={**graph.states, **(states or {})}, edges=graph.edges - set(gone))


def test_the_model_and_the_code_reach_the_same_states(graph: tlc.Graph) -> None:
    found = replay.replay(graph, CONFIG)
    assert found.differences == ()
    assert found.arrows == {(before, tag, after) for (before, tag), after in lc.TRANSITIONS.items()}
    assert (found.states, found.edges) == ({1: 74}, {1: 120})
    assert found.tried > 1000


@pytest.mark.parametrize("action", ["Created", "CountsUpdated", "CancelInitiated", "Ended", "Archived", "Deleted"])
def test_an_edge_that_the_model_lacks_is_seen(graph: tlc.Graph, action: str) -> None:
    assert replay.replay(changed(graph, without=action), CONFIG).differences != ()


@pytest.mark.parametrize(
    ("name", "value"), [("ended_at", None), ("deleted_at", 0), ("results_url", "url"), ("status", "absent")]
)
def test_a_state_that_the_code_does_not_reach_is_seen(graph: tlc.Graph, name: str, value: tlc.Value) -> None:
    deleted = next(
        key
        for key, state in sorted(graph.states.items())
        if dict(state.values)["deleted_at"] and dict(state.values)["results_url"] is None
    )
    values = dict(graph.states[deleted].values) | {name: value}
    wrong = attrs.evolve(graph.states[deleted], values=tuple(sorted(values.items())))
    assert replay.replay(changed(graph, states={deleted: wrong}), CONFIG).differences != ()


def test_a_first_state_with_a_batch_in_it_is_seen(graph: tlc.Graph) -> None:
    created = next(after for before, _, after in graph.edges if before == graph.initial)
    wrong = changed(graph, states={graph.initial: graph.states[created]})
    assert any(found.startswith("not before Created") for found in replay.replay(wrong, CONFIG).differences)


def test_an_action_that_cannot_lead_to_a_state_is_refused(graph: tlc.Graph) -> None:
    [created] = [replay.batch_of(graph.states[after]) for before, _, after in graph.edges if before == graph.initial]
    assert created is not None
    with pytest.raises(ValueError):
        replay.event_of("Ended", created)


def test_a_server_that_keeps_to_advice_refuses_what_evolve_lets_pass() -> None:
    created = lc.Created("msgbatch_01", replay.TIMES[1], replay.TIMES[2], 1)
    batch = lc.evolve(None, created)
    early = lc.Ended(replay.TIMES[1], lc.RequestCounts(0, expired=1), replay.URL)
    hosted = attrs.evolve(CONFIG, tiers=("law", "contract"))
    advised = attrs.evolve(CONFIG, tiers=("law", "contract", "advice"))
    assert replay.admitted(batch, early, hosted) == lc.evolve(batch, early, profile=lc.HOSTED)
    assert replay.admitted(batch, early, advised) is None
