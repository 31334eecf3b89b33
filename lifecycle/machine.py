"""
The life of a batch as a state chart, and the table read off it (rule T1).

The chart is the definition. It stays flat: arrows only, no callback, no guard; what an event may say is for the rules.
It is never run in a fold: one ``send`` costs hundreds of microseconds, a look-up in the table a tenth of one.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import cast

from statemachine import Event, State, StateChart

from lifecycle.batch import Phase


class BatchChart(StateChart):  # type: ignore[type-arg] # the model is the library's own default
    """
    Six states, of which `absent` stands for "no such batch (yet)"; the event ids are the tags of `lifecycle.events`.

    Strict, which is not the library's default: an event without an arrow raises, and so does an error in an action.
    """

    allow_event_without_transition = False
    catch_errors_as_events = False

    absent = State(initial=True)
    in_progress = State()
    canceling = State()
    ended = State()
    archived = State()
    deleted = State(final=True)

    create = Event(absent.to(in_progress), id="created")
    update_counts = Event(in_progress.to(in_progress) | canceling.to(canceling), id="counts_updated")
    initiate_cancel = Event(in_progress.to(canceling), id="cancel_initiated")
    end = Event(in_progress.to(ended) | canceling.to(ended), id="ended")
    archive = Event(ended.to(archived), id="archived")
    delete = Event(ended.to(deleted) | archived.to(deleted), id="deleted")


def _phase(state: State) -> Phase | None:
    return None if state.initial else Phase(state.id)


def _arrows() -> Iterator[tuple[tuple[Phase | None, str], Phase]]:
    for state in BatchChart.states:
        for arrow in state.transitions:
            for event in arrow.events:
                yield (_phase(state), event.id), Phase(cast(State, arrow.target).id)


TRANSITIONS: Mapping[tuple[Phase | None, str], Phase] = MappingProxyType(dict(_arrows()))
"""Every legal arrow: (phase before, None for no batch yet; tag of the event) -> phase after. All others are illegal."""


def allowed(phase: Phase | None) -> tuple[str, ...]:
    """The tags of the events that may come next in *phase*, in the order of the chart."""
    return tuple(tag for before, tag in TRANSITIONS if before is phase)


def _reachable(start: Phase) -> frozenset[Phase]:
    found = {start}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in found} - found:
        found |= more
    return frozenset(found)


REACHABLE: Mapping[Phase, frozenset[Phase]] = MappingProxyType({phase: _reachable(phase) for phase in Phase})
"""The phases that zero or more arrows lead to from each phase."""
