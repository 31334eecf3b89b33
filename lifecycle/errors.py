"""
Every exception of the package, split by who must act.

::

    LifecycleError
    ├── IllegalEvent               the owner of the history; do not retry
    │   ├── IllegalTransition      no such arrow
    │   └── RuleBroken             the arrow exists, but what the event says cannot be
    ├── EmptyStream(ValueError)    the caller: nothing to fold
    ├── CommandRejected            the caller: not now; nothing was recorded
    ├── SnapshotConflict           the server: two snapshots contradict each other
    ├── WireError(ValueError)      the sender
    ├── LogError(ValueError)       the operator
    ├── TrackerError               the operator: the client cannot ask
    ├── StoreError                 the operator
    │   ├── VersionConflict        another writer was first: reload, decide, append
    │   └── StreamNotFound(LookupError)
    └── EngineError                the operator

Fields are for programs; the text is for people: what happened, where, what was allowed, what to do.  All of them
pickle.  Beside these, a value of the wrong type is a plain `TypeError` that names the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:  # errors stands at the bottom of the core: it names the values, it does not need them
    from lifecycle.batch import MessageBatch, Phase
    from lifecycle.events import Event
    from lifecycle.rules import Rule, Violation


_LONGEST_PATH = 1000
"""How much of a path is told: of most all, but not a text that somebody took for one."""


def quoted(value: object) -> str:
    """A value as a message shows it: as code has it, and in short."""
    return cut(repr(value))


def cut(text: str, length: int = 200) -> str:
    """No more of a text than a message should show."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


class LifecycleError(Exception):
    """Whatever this package raises on purpose, except a plain `TypeError` or `ValueError` for a value's own type."""


@attrs.frozen(eq=False, getstate_setstate=False)  # or its notes would not be pickled
class IllegalEvent(LifecycleError):
    """An event that its history does not admit. The history is wrong, or the event is: trying again changes nothing."""

    event: Event
    """The refused event."""
    before: MessageBatch | None
    """The batch as it stood, untouched; None before the first event."""
    version: int | None
    """The event's 1-based place in what `fold` was given; None from `evolve`."""

    def _where(self) -> str:
        place = "" if self.version is None else f"event {self.version}: "
        batch_id = getattr(self.event, "id", None) if self.before is None else self.before.id
        return place + ("" if batch_id is None else f"batch {quoted(batch_id)}: ")


@attrs.frozen(eq=False, getstate_setstate=False)
class IllegalTransition(IllegalEvent):
    """The phase has no such arrow (rule T1)."""

    phase: Phase | None
    """The phase of `before`; None if there is no batch yet."""
    allowed: tuple[str, ...]
    """The tags of the events that the phase admits."""

    def __str__(self) -> str:
        state = "there is no batch yet" if self.phase is None else f"the batch is {self.phase}"
        choice = f"allowed: {', '.join(self.allowed)}" if self.allowed else "nothing may follow"
        return (
            f"{self._where()}{self.event.tag} is illegal here: {state}; {choice} (T1). "
            "Nothing changed; correct the history, a retry will not help."
        )


@attrs.frozen(eq=False, getstate_setstate=False)
class RuleBroken(IllegalEvent):
    """The arrow exists, but what the event says breaks a law, or a contract rule of the profile."""

    violations: tuple[Violation, ...]
    """All that the event newly breaks, in the rulebook's order."""

    def __str__(self) -> str:
        said = "; ".join(str(violation) for violation in self.violations)
        return (
            f"{self._where()}{self.event.tag} breaks {said}. "
            "Nothing changed; correct the history, a retry will not help."
        )


class EmptyStream(LifecycleError, ValueError):
    """There is nothing to fold: no event and no batch to start from."""

    def __str__(self) -> str:
        return "no events and no start: a batch begins with a Created event; pass one, or pass start="


@attrs.frozen(eq=False, getstate_setstate=False)
class CommandRejected(LifecycleError):
    """The batch is not where the command could be done. Nothing was recorded."""

    command: Any
    """The rejected command."""
    batch: MessageBatch | None
    """The batch as it stands; None if there is none."""
    rule: Rule
    """The first rule that the command's event would break."""
    reason: str
    """What is in the way, for people."""
    error_type: str | None
    """The error type of the API's answer, such as ``invalid_request_error``; None where its documents are silent."""
    http_status: int | None
    """The HTTP status of the API's answer; None where its documents are silent."""

    def __str__(self) -> str:
        answer = "" if self.http_status is None else f" The API answers {self.http_status} {self.error_type}."
        return f"{type(self.command).__name__} rejected ({self.rule.id}): {self.reason}. Nothing was recorded.{answer}"


@attrs.frozen(eq=False, getstate_setstate=False)
class SnapshotConflict(LifecycleError):
    """A snapshot that cannot be, or that contradicts what is known of its batch. Ask the server; nothing changed."""

    before: MessageBatch | None
    """The batch as it is known; None if this is the first of it."""
    snapshot: MessageBatch
    """The refused snapshot."""
    violations: tuple[Violation, ...]
    """What the snapshot breaks on its own; if nothing, what it breaks as a later state of `before`. Never empty."""
    stale_violations: tuple[Violation, ...] = ()
    """Why it is no earlier state of `before` either; empty if it breaks something on its own."""

    def __str__(self) -> str:
        said = "; ".join(str(violation) for violation in self.violations)
        if not self.stale_violations:
            reason = f"the snapshot cannot be: {said}"
        else:
            rules = ", ".join(violation.rule.id for violation in self.stale_violations)
            reason = (
                f"the snapshot contradicts what is known. As a later state it breaks {said}. As an earlier one {rules}"
            )
        return f"batch {quoted(self.snapshot.id)}: {reason}. Nothing changed; ask the server again."


@attrs.frozen(eq=False, getstate_setstate=False)
class WireError(LifecycleError, ValueError):
    """A body or a value that is not of the wire's form. The sender has to mend it."""

    problems: tuple[tuple[str, str], ...]
    """All that is wrong: (path, message) each, the path in wire names, such as ``$.request_counts.processing``."""

    def __str__(self) -> str:
        return "; ".join(f"{path}: {message}" for path, message in self.problems)


@attrs.frozen(eq=False, getstate_setstate=False)
class LogError(LifecycleError, ValueError):
    """A log that cannot be read or written, or one line of it that is no record."""

    path: str
    """The file, as it was given."""
    line: int | None
    """The line, from 1; None if the file as a whole is meant."""
    reason: str
    """What is wrong, for people."""
    problems: tuple[tuple[str, str], ...] = ()
    """For a refused line: (path, message) each, as in `WireError`."""
    torn: bool = False
    """The last line has no end: a writer was stopped in the middle. Harmless; the next append cuts it off."""

    def __str__(self) -> str:
        path = cut(self.path, _LONGEST_PATH) or "''"
        place = path if self.line is None else f"{path}:{self.line}"
        return f"{place}: {self.reason}"


@attrs.frozen(eq=False, getstate_setstate=False)
class TrackerError(LifecycleError):
    """A client that cannot ask, such as one the key of which is refused. What was tracked until then is in the log."""

    reason: str
    """What is wrong, for people. No key is in it."""
    status: int | None = None
    """The HTTP status of the answer, if there was one."""

    def __str__(self) -> str:
        return f"{self.reason}. The log is whole; see to the client, then start again: it goes on where it was."


class StoreError(LifecycleError):
    """A store that cannot be opened, read or written, or that is asked for what it must not do."""

    reason: str
    """What is wrong, for people. No password is in it."""
    unknown: bool
    """
    Whether the call may have been done nevertheless: the answer to the commit was lost. Else nothing changed.

    Appending again with the same event ids finds out.
    """

    def __init__(self, reason: str, unknown: bool = False) -> None:  # noqa: FBT001, FBT002 -- positional, to pickle
        super().__init__(reason, unknown)
        self.reason = reason
        self.unknown = unknown

    def __str__(self) -> str:
        return self.reason


class VersionConflict(StoreError):
    """The stream is not at the version that was expected. Nothing changed; reload, decide, append."""

    stream: str
    """The stream."""
    expected: int
    """The version that the caller expected."""
    actual: int
    """The version that the stream has; 0 if there is none."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(
            f"stream {quoted(stream)} is at version {actual}, not {expected}. "
            "Nothing changed; load it again, decide again, append again."
        )
        self.args = (stream, expected, actual)
        self.stream = stream
        self.expected = expected
        self.actual = actual


class StreamNotFound(StoreError, LookupError):
    """There is no such stream, or its data was forgotten."""

    stream: str
    """The stream."""
    forgotten: bool
    """Whether there was one, the data of which has been erased."""

    def __init__(self, stream: str, forgotten: bool = False) -> None:  # noqa: FBT001, FBT002 -- positional, to pickle
        gone = "was forgotten: the data of its events is erased"
        super().__init__(f"stream {quoted(stream)} {gone if forgotten else 'does not exist'}")
        self.args = (stream, forgotten)
        self.stream = stream
        self.forgotten = forgotten


@attrs.frozen(eq=False, getstate_setstate=False)
class EngineError(LifecycleError):
    """What sorts a long log has not enough memory or room on the disk, or is not installed. Nothing was judged."""

    reason: str
    """What is missing, for people."""

    def __str__(self) -> str:
        return self.reason
