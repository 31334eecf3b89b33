"""
Given, when, then: what follows from a command, said in events.

::

    given(created, ended).when(lc.Cancel(at=noon)).then_rejected("T1")
    given(created).when(lc.Cancel(at=noon)).then(lc.CancelInitiated(noon)).twice()

A scenario that does not hold is an `AssertionError` which shows the stream, what was expected and what came.
"""

from collections.abc import Callable, Iterable
from typing import NoReturn, TypeAlias

import attrs

import lifecycle as lc
from lifecycle.testing.tables import indented, says, says_command, stream_table

Decide: TypeAlias = Callable[[lc.MessageBatch | None, lc.Command], Iterable[lc.Event]]
"""What handles a command: the batch as it stands (None if there is none) and the command to events. It may raise
`lifecycle.CommandRejected`."""


def given(*events: lc.Event, profile: lc.Profile = lc.LAWS, decide: Decide | None = None) -> "Given":
    """
    Say what has happened so far.

    Args:
        events: The stream; none at all for a batch that does not exist yet.
        profile: Which rules count.
        decide: What handles the command; `lifecycle.decide` under *profile* unless given.

    Returns:
        What `when` is asked of.

    Raises:
        IllegalEvent: The stream is illegal under *profile* (rules B and T), so the scenario cannot be.
        TypeError: Something among *events* is no event, or *profile* no profile.
    """
    batch = lc.fold(events, profile=profile) if events else None
    return Given(events, batch, profile, decide or (lambda known, command: lc.decide(known, command, profile=profile)))


@attrs.frozen
class Given:
    """What has happened, before a command comes."""

    events: tuple[lc.Event, ...]
    """The stream."""
    batch: lc.MessageBatch | None
    """What the stream has led to."""
    profile: lc.Profile
    """Which rules count."""
    decide: Decide = attrs.field(repr=False)
    """What handles the command."""

    def when(self, command: lc.Command) -> "When":
        """
        Handle a command.

        Args:
            command: What is asked for.

        Returns:
            What `then` and its kin are asked of. Whatever came is kept until they are, a rejection too.

        Raises:
            TypeError: *command* is no command (from `lifecycle.decide`), or what handles it gave something else than
                events.
        """
        return When(self, command, self.handled(self.batch, command))

    def handled(self, batch: lc.MessageBatch | None, command: lc.Command) -> tuple[lc.Event, ...] | lc.CommandRejected:
        """What came of a command: events, or the rejection."""
        try:
            came: object = self.decide(batch, command)
            return _events("decide: expected an iterable of events, () for none", came)
        except lc.CommandRejected as error:
            return error


@attrs.frozen
class When:
    """A command that was handled, before anything is said of what came."""

    given: Given
    """What had happened."""
    command: lc.Command
    """What was asked for."""
    came: tuple[lc.Event, ...] | lc.CommandRejected
    """What came of it."""

    def then(self, *events: lc.Event) -> "When":
        """
        Expect these events, in this order, and no others.

        Returns:
            Itself, to go on with `twice`.

        Raises:
            AssertionError: Something else came.
            TypeError: Something among *events* is no event.
        """
        _events("then: expected events", events)
        if self.came != events:
            self._fail(_events_text(events))
        return self

    def then_nothing(self) -> "When":
        """
        Expect that nothing new follows: the batch already has what is asked.

        Returns:
            Itself, to go on with `twice`.

        Raises:
            AssertionError: Events came, or a rejection.
        """
        return self.then()

    def then_rejected(self, rule: lc.Rule | str) -> "When":
        """
        Expect a rejection.

        Args:
            rule: The first rule that the command's event would break, or its id.

        Returns:
            Itself, to go on with `twice`.

        Raises:
            AssertionError: Events came, or a rejection by another rule.
            ValueError: There is no such rule.
        """
        expected = rule if isinstance(rule, lc.Rule) else lc.RULES.get(rule)
        if expected is None:
            raise ValueError(f"rule: expected one of {', '.join(lc.RULES)}, got {rule!r}")
        if not isinstance(self.came, lc.CommandRejected) or self.came.rule is not expected:
            self._fail(f"rejected by {expected.id}: {expected.sentence}")
        return self

    def twice(self) -> "When":
        """
        Expect that the command, handled a second time on the result, gives nothing.

        After a rejection the result is the batch as it was, and the command has to be rejected again.

        Returns:
            Itself.

        Raises:
            AssertionError: Events came the second time; or what came the first time is illegal, so there is no result.
        """
        rejected = isinstance(self.came, lc.CommandRejected)
        first = () if isinstance(self.came, lc.CommandRejected) else self.came
        try:
            after = lc.fold(first, start=self.given.batch, profile=self.given.profile) if first else self.given.batch
        except lc.IllegalEvent as error:
            self._fail("events that are legal here", f"{_came_text(self.came)}\n{error}")
        again = self.given.handled(after, self.command)
        if isinstance(again, lc.CommandRejected) is not rejected or not (rejected or again == ()):
            expected = "a rejection" if rejected else "nothing"
            self._fail(f"{expected}, the second time", f"{_came_text(self.came)}\nthen: {_came_text(again)}")
        return self

    def _fail(self, expected: str, came: str | None = None) -> NoReturn:
        given = self.given
        raise AssertionError(
            f"{says_command(self.command)} came to something else than expected\n"
            f"given\n{indented(stream_table(given.events))}\n"
            f"when\n{indented(says_command(self.command))}\n"
            f"expected\n{indented(expected)}\n"
            f"came\n{indented(_came_text(self.came) if came is None else came)}"
        )


def _events(expected: str, came: object) -> tuple[lc.Event, ...]:
    """What came, if it is events."""
    if not isinstance(came, Iterable):
        raise TypeError(f"{expected}; got {came!r}")
    events = tuple(came)
    for event in events:
        if not isinstance(event, lc.Event):
            raise TypeError(f"{expected}; got {event!r} among them")
    return events


def _events_text(events: tuple[lc.Event, ...]) -> str:
    return "\n".join(f"{event.tag}: {says(event)}" for event in events) or "nothing"


def _came_text(came: tuple[lc.Event, ...] | lc.CommandRejected) -> str:
    if isinstance(came, lc.CommandRejected):
        return f"rejected by {came.rule.id}: {came.reason}"
    return _events_text(came)
