"""
From a command to events: what somebody asks for, answered with the facts that follow, or with a reason why not.

A command that asks for what the batch already has gives no events, so that a command handled twice writes nothing the
second time.  `decide` never emits what `evolve` refuses.
"""

from datetime import datetime
from typing import assert_never

import attrs

from lifecycle.batch import MessageBatch, ProcessingStatus, RequestCounts, checked
from lifecycle.errors import CommandRejected, IllegalTransition, RuleBroken, quoted
from lifecycle.events import Archived, CancelInitiated, CountsUpdated, Created, Deleted, Ended, Event
from lifecycle.folding import check_type, evolve
from lifecycle.fusing import violations
from lifecycle.rules import CONSTANTS, LAWS, RULES, Profile, Rule


@attrs.frozen(field_transformer=checked)
class Create:
    """Create a batch."""

    id: str
    """The batch."""
    created_at: datetime
    """UTC, like every time here."""
    expires_at: datetime
    """The hosted API: 24 hours later (rule B3)."""
    request_count: int
    """Its size."""


@attrs.frozen(field_transformer=checked)
class RecordProgress:
    """Record that requests were finished."""

    request_counts: RequestCounts
    """All five counts as they now are."""


@attrs.frozen(field_transformer=checked)
class Cancel:
    """Ask for cancellation."""

    at: datetime
    """When it is asked for."""


@attrs.frozen(field_transformer=checked)
class End:
    """Record that processing has ended."""

    at: datetime
    """When it ended."""
    request_counts: RequestCounts
    """The final counts."""
    results_url: str | None = None
    """Where the results can be had."""


@attrs.frozen(field_transformer=checked)
class Archive:
    """Record that the results are no longer available."""

    at: datetime
    """When they went."""
    results_url: str | None = None
    """The URL that still shows, if any."""


@attrs.frozen(field_transformer=checked)
class Delete:
    """Delete the batch."""

    at: datetime
    """When."""


Command = Create | RecordProgress | Cancel | End | Archive | Delete

COMMANDS: tuple[type[Command], ...] = (Create, RecordProgress, Cancel, End, Archive, Delete)


def decide(batch: MessageBatch | None, command: Command, *, profile: Profile = LAWS) -> tuple[Event, ...]:
    """
    Say which events follow from a command.

    Args:
        batch: The batch as it stands; None if there is none.
        command: What is asked for.
        profile: Which rules count.

    Returns:
        The events, in order; `evolve` admits them under the same profile. ``()`` if the batch already has what is
        asked: times are not compared, the first stays.

    Raises:
        CommandRejected: The command's event would break a rule (`rule`); where the API documents its answer, the error
            carries that too. Nothing changed.
        TypeError: *batch* is no batch, *command* no command, or *profile* no profile.
    """
    if batch is not None:
        check_type("batch", batch, MessageBatch)
    if type(command) not in COMMANDS:
        names = ", ".join(cls.__name__ for cls in COMMANDS)
        raise TypeError(f"command: expected one of {names}, got {quoted(command)}")
    if batch is not None and _is_repeated(batch, command, profile):
        return ()
    event = _event(command)
    try:
        evolve(batch, event, profile=profile)
    except IllegalTransition as error:
        state = "there is no such batch" if batch is None else f"the batch is {error.phase}"
        raise _rejected(batch, command, RULES["T1"], state) from None
    except RuleBroken as error:
        reason = "; ".join(str(violation) for violation in error.violations)
        raise _rejected(batch, command, error.violations[0].rule, reason) from None
    return (event,)


def _event(command: Command) -> Event:
    match command:
        case Create():
            return Created(command.id, command.created_at, command.expires_at, command.request_count)
        case RecordProgress():
            return CountsUpdated(command.request_counts)
        case Cancel():
            return CancelInitiated(command.at)
        case End():
            return Ended(command.at, command.request_counts, command.results_url)
        case Archive():
            return Archived(command.at, command.results_url)
        case Delete():
            return Deleted(command.at)
        case _:
            assert_never(command)


def _is_repeated(batch: MessageBatch, command: Command, profile: Profile) -> bool:
    """Whether the batch already has what is asked."""
    match command:
        case Create():
            return command.id == batch.id and command.request_count == batch.size
        case RecordProgress():
            return command.request_counts == batch.request_counts
        case Cancel():
            return batch.cancel_initiated_at is not None
        case End():
            if batch.processing_status is not ProcessingStatus.ENDED or command.request_counts != batch.request_counts:
                return False
            # The URL has no event of its own: another one is the same answer again, unless T7 forbids it.
            other = attrs.evolve(batch, results_url=command.results_url)
            return all(found.rule.id != "T7" for found in violations(profile.tiers, other, batch))
        case Archive():
            return batch.archived_at is not None
        case Delete():
            return batch.deleted_at is not None
        case _:
            assert_never(command)


def _rejected(batch: MessageBatch | None, command: Command, rule: Rule, reason: str) -> CommandRejected:
    """The rejection, with the API's own answer where its reference gives one ("What the API answers")."""
    error_type: str | None = None
    http_status: int | None = None
    match command:
        case Create() if rule.id == "B2" and command.request_count > CONSTANTS["LARGEST"]:
            error_type, http_status = "request_too_large", 413
        case Create() if rule.id == "B2":
            error_type, http_status = "invalid_request_error", 400
        case Cancel() if batch is not None and batch.processing_status is ProcessingStatus.ENDED:
            error_type, http_status = "invalid_request_error", 400
        case Delete() if batch is not None and batch.processing_status is not ProcessingStatus.ENDED:
            error_type, http_status = "invalid_request_error", 400
    return CommandRejected(command, batch, rule, reason, error_type, http_status)
