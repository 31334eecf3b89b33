"""
A batch from its events: `evolve` applies one, `fold` many; `check` judges what is there.

Laws, which the tests hold: a fold may stop anywhere and go on; a refused event changes nothing; `fold` and `evolve`
admit the arrows of the machine and nothing else.
"""

from collections.abc import Iterable
from typing import Any

from lifecycle.batch import MessageBatch
from lifecycle.errors import EmptyStream, IllegalTransition, RuleBroken, quoted
from lifecycle.events import EVENTS, Event
from lifecycle.fusing import NO_MORE, State, fold_of, is_clean, newly_broken, steps, violations
from lifecycle.machine import TRANSITIONS, allowed
from lifecycle.rules import LAWS, Profile, Tier, Violation

_NOTHING: frozenset[Tier] = frozenset()


def evolve(batch: MessageBatch | None, event: Event, *, profile: Profile = LAWS) -> MessageBatch:
    """
    Apply one event.

    Args:
        batch: The batch before *event*; None before the first. It is taken as it is: what it already breaks is not
            held against the event.
        event: What happened. Its times are aware UTC.
        profile: Which rules count. Advice is never raised.

    Returns:
        A new batch; *batch* is untouched. Constant time, however long the history.

    Raises:
        IllegalTransition: The phase has no such arrow (rule T1). Nothing changed.
        RuleBroken: The arrow exists, but what the event says newly breaks a rule (B and T). Nothing changed.
        TypeError: *batch* is no batch, *event* no event, or *profile* no profile.
    """
    return _fold((event,), "batch", batch, profile)


def fold(events: Iterable[Event], *, start: MessageBatch | None = None, profile: Profile = LAWS) -> MessageBatch:
    """
    Apply events in order.

    Args:
        events: A stream, or what is left of one. Read once; may be lazy.
        start: The batch that the events before these have led to; None at the beginning of a stream. Taken as it is.
        profile: Which rules count. Advice is never raised.

    Returns:
        The batch after the last event; *start* itself if there is none. ``fold(a + b) == fold(b, start=fold(a))``.

    Raises:
        IllegalTransition: An event has no arrow from the phase that it meets (rule T1); its `version` says which.
        RuleBroken: An event newly breaks a rule (B and T).
        EmptyStream: There are no events and no *start*.
        TypeError: *events* is no iterable of events, *start* is no batch, or *profile* no profile.
    """
    try:
        return _fold(events, "start", start, profile)
    except TypeError:
        given: object = events  # only now: a fold that goes well does not pay for the question
        if isinstance(given, Iterable):
            raise
        raise TypeError(f"events: expected events, one after the other, got {quoted(given)}") from None


def check(batch: MessageBatch, *, before: MessageBatch | None = None, profile: Profile = LAWS) -> tuple[Violation, ...]:
    """
    Judge a batch on its own, or as the next state of another.

    Args:
        batch: The batch; any that can be built. Judging it never raises.
        before: An earlier state of the same batch, taken as it is. With it the T rules are judged too, and T1 reads:
            the phase of *batch* is reachable from the phase of *before* by zero or more arrows.
        profile: Which rules count; `HOSTED` adds contract and advice.

    Returns:
        Every broken rule with what was seen, in the rulebook's order; ``()`` means that all is well.

    Raises:
        TypeError: *batch* or *before* is no batch, or *profile* no profile.
    """
    if batch.__class__ is not MessageBatch or profile.__class__ is not Profile:
        check_type("batch", batch, MessageBatch)
        check_type("profile", profile, Profile)
    if before is not None:
        check_type("before", before, MessageBatch)
    elif is_clean[profile.tiers](batch):
        return ()
    return violations(profile.tiers, batch, before)


def check_type(name: str, value: object, kind: type) -> None:
    """Raise a `TypeError` that names the argument, unless *value* is of *kind*."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected {kind.__name__}, got {quoted(value)}")


def _fold(events: Iterable[Event], name: str, start: MessageBatch | None, profile: Profile) -> MessageBatch:
    if profile.__class__ is not Profile:
        check_type("profile", profile, Profile)
    if start is not None:
        check_type(name, start, MessageBatch)
    tiers = profile.enforced
    rest, batch, version = iter(events), start, 0
    while True:
        event: Any
        if batch is None or is_clean[LAWS.tiers](batch):
            batch, version, event = fold_of[tiers](rest, batch, version)
        else:  # the fused steps rely on all laws
            event, version = next(rest, NO_MORE), version + 1
        if event is NO_MORE:
            break
        batch = evolve_carefully(batch, event, tiers, version if name == "start" else None)
    if batch is None:
        raise EmptyStream
    return batch


def evolve_carefully(
    before: MessageBatch | None, event: Event, tiers: frozenset[Tier], version: int | None
) -> MessageBatch:
    """Apply one event to any batch, or say why not: what `evolve` does where the fused steps do not suffice."""
    if type(event) not in EVENTS:
        raise TypeError(f"event: expected one of {', '.join(cls.__name__ for cls in EVENTS)}, got {quoted(event)}")
    phase = None if before is None else before.phase
    following = TRANSITIONS.get((phase, event.tag))
    if following is None:
        raise IllegalTransition(event, before, version, phase, allowed(phase))
    state = State() if before is None else State.of(before)
    steps(_NOTHING)[phase][type(event)](state, event)
    after = state.batch(following)
    broken = newly_broken(tiers, after, before)
    if broken:
        raise RuleBroken(event, before, version, broken)
    return after
