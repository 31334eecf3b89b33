"""
The model machine: a service that serves batches, driven at random and compared with the pure model.

The model is `lifecycle.decide` and `lifecycle.fold`.  Whatever the service may decide for itself (times, URLs, when
live counts move, when the clock ends or archives a batch) is taken from what it shows, as events; whatever it may not
is compared.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, NoReturn, Protocol, TypeAlias, cast

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import lifecycle as lc
from lifecycle import wire
from lifecycle.testing.tables import allowed_text, indented, stream_table

Body: TypeAlias = "bytes | str | Mapping[str, Any]"
"""A JSON object: as bytes, as text, or parsed."""


@attrs.frozen(eq=False)
class Refused(Exception):
    """What an adapter raises when its service answered with an error."""

    http_status: int
    """Such as 400."""
    error_type: str | None = None
    """Such as ``invalid_request_error``; None if the adapter cannot say, then it is not compared."""

    def __str__(self) -> str:
        return f"{self.http_status}" if self.error_type is None else f"{self.http_status} {self.error_type}"


_REFUSALS = (Refused, lc.CommandRejected)
_REFUSED_AS = 'testing.Refused(404, "not_found_error")'


class Service(Protocol):
    """
    What the machine asks of an adapter: four operations of the API, and two that replace the world around it.

    Each operation raises `Refused` where the service answers with an error. `lifecycle.CommandRejected`, where it
    stands on `lifecycle.decide`, does as well.
    """

    def create(self, request_count: int) -> Body:
        """Create a batch of so many requests; give its body."""
        ...

    def retrieve(self, batch_id: str) -> Body:
        """Give the body of a batch."""
        ...

    def cancel(self, batch_id: str) -> Body:
        """Ask for cancellation; give the body."""
        ...

    def delete(self, batch_id: str) -> object:
        """Delete a batch; give the receipt (under HOSTED it is looked at), or anything."""
        ...

    def advance(self, seconds: float) -> None:
        """Let so much time pass, and do what is due by then: expire requests, archive batches."""
        ...

    def finish(self, batch_id: str, *, succeeded: int = 0, errored: int = 0, canceled: int = 0) -> None:
        """
        Let so many unfinished requests come to an outcome (canceled: only after `cancel`).

        When this returns and no request of the batch is left, the batch has ended.
        """
        ...


_GRACE = timedelta(hours=1)
"""How long after `expires_at` a batch of the hosted API may still be running. No document says; an hour is generous."""
_RESULTS_LIFETIME = timedelta(days=29)
"""After which the hosted API archives (rule B15)."""
_MOST_BATCHES = 4
"""So many batches a run has at most: more would make it longer, not harder."""
_PICKS = st.integers(0, _MOST_BATCHES - 1)
_SIZES = st.integers(1, 6)
_SHARES = st.integers(0, 6)


def model_machine(
    make_service: Callable[[], Service],
    *,
    profile: lc.Profile = lc.LAWS,
    advice: bool = False,
    on_stream: Callable[[tuple[lc.Event, ...]], object] | None = None,
) -> type[RuleBasedStateMachine]:
    """
    Make a Hypothesis state machine that drives a service against the pure model.

    ``TestGateway = model_machine(make_service).TestCase`` is a test for pytest and unittest;
    `hypothesis.stateful.run_state_machine_as_test` runs the machine without either. It creates, finishes, cancels,
    deletes and lets time pass, and after each step retrieves every batch. Ends, archives and deletions are steps of
    their own, so they are reached whenever the service has them.

    Args:
        make_service: Makes a fresh adapter with no batches, once a run.
        profile: Which rules count. `LAWS` suits every gateway that imitates the API; `HOSTED` is for stand-ins of the
            hosted API: it adds the contract rules, the limits of creating, the receipt of deleting, and that a batch
            ends within an hour of its expiry.
        advice: Whether broken advice is a failure too (under `HOSTED`).
        on_stream: Called at the end of each run with the events of each batch, for `covered`.

    Returns:
        The machine, a class. A failure is an `AssertionError` with the shortest legal history that Hypothesis finds,
        what was allowed then, and what came.

    Raises:
        TypeError: *make_service* cannot be called; an adapter was given rather than its class, perhaps.
    """
    if not callable(make_service):
        raise TypeError(f"make_service: expected what makes an adapter, such as its class, got {make_service!r}")
    setup = _Setup(make_service, profile, advice, on_stream or (lambda _: None))
    return type("ModelMachine", (_Machine,), {"setup": setup})


@attrs.frozen
class _Setup:
    """What `model_machine` was given."""

    make_service: Callable[[], Service]
    profile: lc.Profile
    advice: bool
    on_stream: Callable[[tuple[lc.Event, ...]], object]


@attrs.define
class _Life:
    """A batch, as the model knows it."""

    events: list[lc.Event]
    batch: lc.MessageBatch
    succeeded: int = 0
    """So many requests the machine has let succeed."""
    errored: int = 0
    canceled: int = 0
    waits: dict[int, timedelta] = attrs.Factory(dict)
    """How long the machine has waited, by the number of the events until then."""

    @property
    def has_ended(self) -> bool:
        return self.batch.ended_at is not None

    @property
    def phase(self) -> lc.Phase:
        return self.batch.phase

    @property
    def left(self) -> int:
        """How many requests have no outcome yet."""
        return 0 if self.has_ended else self.batch.size - self.succeeded - self.errored - self.canceled

    def add(self, events: Iterable[lc.Event], profile: lc.Profile) -> None:
        events = tuple(events)
        self.batch = lc.fold(events, start=self.batch, profile=profile)
        self.events += events


def _is_running(life: _Life) -> bool:
    return life.left > 0


def _is_canceling(life: _Life) -> bool:
    return life.left > 0 and life.phase == "canceling"


def _is_kept(life: _Life) -> bool:
    return life.phase in {"ended", "archived"}


def _is_deleted(life: _Life) -> bool:
    return life.phase == "deleted"


def _when(fits: Callable[[_Life], bool]) -> Callable[[Any], Any]:
    """The step is there while some batch fits."""
    return precondition(lambda machine: any(map(fits, machine.lives)))


class _Machine(RuleBasedStateMachine):
    setup: ClassVar[_Setup]

    def __init__(self) -> None:
        super().__init__()
        self.service = self.setup.make_service()
        self.lives: list[_Life] = []
        self.now = datetime.min.replace(tzinfo=UTC)
        """The service's time is not earlier."""

    def teardown(self) -> None:
        for life in self.lives:
            self.setup.on_stream(tuple(life.events))

    # ---------------------------------------------------------------------------------------------------- the steps

    @initialize(request_count=_SIZES)
    def begin(self, request_count: int) -> None:
        self._create(request_count)

    @precondition(lambda self: len(self.lives) < _MOST_BATCHES)
    @rule(request_count=_SIZES)
    def create(self, request_count: int) -> None:
        self._create(request_count)

    @precondition(lambda self: len(self.lives) < _MOST_BATCHES)
    @rule(request_count=st.integers(2, 6))
    def create_and_cancel(self, request_count: int) -> None:
        """So that there is something left to do while a batch is canceling."""
        self._cancel(self._create(request_count))

    @precondition(lambda self: self.setup.profile is lc.HOSTED)
    @rule(request_count=st.sampled_from((0, 100_001)))
    def create_beyond_the_limits(self, request_count: int) -> None:
        said = f"create({request_count})"
        answer = self._asked(said, None, lambda: self.service.create(request_count))
        decided = self._decided(None, lc.Create("beyond", self.now, self.now + timedelta(hours=24), request_count))
        assert isinstance(decided, lc.CommandRejected)
        self._must_be_rejected(said, None, decided, answer)

    @rule()
    def retrieve_unknown(self) -> None:
        self._must_be_unknown("no_such_batch", None)

    # A step for each arrow, and for each refusal, that is there whenever a batch is: none waits for a lucky pick.

    @_when(lambda life: life.left > 1)
    @rule(pick=_PICKS, requests=_SIZES, errored=_SHARES, canceled=_SHARES)
    def finish_some(self, pick: int, requests: int, errored: int, canceled: int) -> None:
        life = self._picked(pick, lambda life: life.left > 1)
        self._finish(life, min(requests, life.left - 1), errored, canceled)

    @_when(lambda life: life.left > 1 and life.phase == "canceling")
    @rule(pick=_PICKS, requests=_SIZES, errored=_SHARES, canceled=_SHARES)
    def finish_some_while_canceling(self, pick: int, requests: int, errored: int, canceled: int) -> None:
        life = self._picked(pick, lambda life: life.left > 1 and life.phase == "canceling")
        self._finish(life, min(requests, life.left - 1), errored, canceled)

    @_when(_is_running)
    @rule(pick=_PICKS, errored=_SHARES, canceled=_SHARES)
    def finish_all(self, pick: int, errored: int, canceled: int) -> None:
        life = self._picked(pick, _is_running)
        self._finish(life, life.left, errored, canceled)

    @_when(_is_running)
    @rule(pick=_PICKS)
    def cancel_running(self, pick: int) -> None:
        self._cancel(self._picked(pick, _is_running))

    @_when(_is_canceling)
    @rule(pick=_PICKS)
    def wait_and_cancel_again(self, pick: int) -> None:
        """So that a time that moves is seen to."""
        life = self._picked(pick, _is_canceling)
        self._advance(timedelta(seconds=1))
        self._cancel(life)

    @_when(_is_kept)
    @rule(pick=_PICKS)
    def cancel_ended(self, pick: int) -> None:
        self._cancel(self._picked(pick, _is_kept))

    @_when(_is_deleted)
    @rule(pick=_PICKS)
    def cancel_deleted(self, pick: int) -> None:
        self._cancel(self._picked(pick, _is_deleted))

    @_when(_is_running)
    @rule(pick=_PICKS)
    def delete_running(self, pick: int) -> None:
        self._delete(self._picked(pick, _is_running))

    @_when(_is_kept)
    @rule(pick=_PICKS)
    def delete_ended(self, pick: int) -> None:
        self._delete(self._picked(pick, _is_kept))

    @_when(lambda life: life.phase == "archived")
    @rule(pick=_PICKS)
    def delete_archived(self, pick: int) -> None:
        self._delete(self._picked(pick, lambda life: life.phase == "archived"))

    @_when(_is_deleted)
    @rule(pick=_PICKS)
    def delete_deleted(self, pick: int) -> None:
        self._delete(self._picked(pick, _is_deleted))

    @rule(seconds=st.integers(1, 3600))
    def wait(self, seconds: int) -> None:
        self._advance(timedelta(seconds=seconds))

    @_when(_is_running)
    @rule(pick=_PICKS)
    def wait_for_expiry(self, pick: int) -> None:
        life = self._picked(pick, _is_running)
        self._advance(life.batch.expires_at + _GRACE - self.now)

    @_when(lambda life: life.phase == "ended")
    @rule(pick=_PICKS)
    def wait_for_archiving(self, pick: int) -> None:
        life = self._picked(pick, lambda life: life.phase == "ended")
        self._advance(life.batch.created_at + _RESULTS_LIFETIME + _GRACE - self.now)

    @invariant()
    def every_batch_is_as_the_model_has_it(self) -> None:
        for life in self.lives:
            if _is_deleted(life):
                self._must_be_unknown(life.batch.id, life)
            else:
                said, answer = self._retrieved(life.batch.id, life)
                self._see(said, life, answer)

    # ------------------------------------------------------------------------------------------------ what they do

    def _create(self, request_count: int) -> _Life:
        said = f"create({request_count})"
        answer = self._asked(said, None, lambda: self.service.create(request_count))
        shown = self._decoded(said, None, answer)
        if any(life.batch.id == shown.id for life in self.lives):
            self._fail(said, None, "the id is that of an earlier batch", answer)
        decided = self._decided(None, lc.Create(shown.id, shown.created_at, shown.expires_at, request_count))
        if isinstance(decided, lc.CommandRejected):
            self._fail(said, None, decided.reason, answer)
        life = _Life(list(decided), lc.fold(decided, profile=self.setup.profile))
        self.lives.append(life)
        self.now = max(self.now, shown.created_at)
        self._see(said, life, answer)
        return life

    def _finish(self, life: _Life, requests: int, errored: int, canceled: int) -> None:
        errored = min(errored, requests)
        canceled = 0 if life.batch.cancel_initiated_at is None else min(canceled, requests - errored)
        counts = {"succeeded": requests - errored - canceled, "errored": errored, "canceled": canceled}
        said = f"finish({life.batch.id!r}, {', '.join(f'{name}={number}' for name, number in counts.items())})"
        answer = self._asked(said, life, lambda: self.service.finish(life.batch.id, **counts))
        if isinstance(answer, _REFUSALS):
            self._fail(said, life, "the adapter refused to finish requests that are left", answer)
        life.succeeded += counts["succeeded"]
        life.errored += errored
        life.canceled += canceled

    def _cancel(self, life: _Life) -> None:
        said = f"cancel({life.batch.id!r})"
        decided = self._decided(life.batch, lc.Cancel(at=self._moment(life)))
        answer = self._asked(said, life, lambda: self.service.cancel(life.batch.id))
        if _is_deleted(life):
            self._must_be_refused(said, life, answer, None, "it was deleted")
        elif isinstance(decided, lc.CommandRejected):
            self._must_be_rejected(said, life, decided, answer)
        elif decided:
            self._see(said, life, answer, may_cancel=True)
            if life.batch.cancel_initiated_at is None:
                self._fail(said, life, "it was accepted, but cancel_initiated_at is not set", answer)
        elif not isinstance(answer, _REFUSALS):  # asked again: what the API answers is unknown
            self._see(said, life, answer)

    def _delete(self, life: _Life) -> None:
        said = f"delete({life.batch.id!r})"
        decided = self._decided(life.batch, lc.Delete(at=self._moment(life)))
        answer = self._asked(said, life, lambda: self.service.delete(life.batch.id))
        if isinstance(decided, lc.CommandRejected):
            self._must_be_rejected(said, life, decided, answer)
        elif decided:  # deleted again: what the API answers is unknown
            if isinstance(answer, _REFUSALS):
                self._fail(said, life, "it was refused, but is allowed", answer)
            if self.setup.profile is lc.HOSTED and not _is_receipt(answer, life.batch.id):
                receipt = {"id": life.batch.id, "type": "message_batch_deleted"}
                self._fail(said, life, f"expected the receipt {json.dumps(receipt)}", answer)
            life.add(decided, self.setup.profile)

    def _advance(self, time: timedelta) -> None:
        seconds = max(time.total_seconds(), 0.0)
        said = f"advance({seconds:g})"
        self._asked(said, None, lambda: self.service.advance(seconds))
        waited = timedelta(seconds=seconds)
        self.now += waited
        for life in self.lives:
            life.waits[len(life.events)] = life.waits.get(len(life.events), timedelta(0)) + waited

    # ------------------------------------------------------------------------------------------- how it is compared

    def _see(self, said: str, life: _Life, answer: object, *, may_cancel: bool = False) -> None:
        """Judge a body, and add to the history what it shows."""
        shown, known = self._decoded(said, life, answer), life.batch
        broken = [
            str(violation)
            for violation in lc.check(shown, before=known, profile=self.setup.profile)
            if self.setup.advice or violation.rule.tier is not lc.Tier.ADVICE
        ]
        if known.cancel_initiated_at is None and shown.cancel_initiated_at is not None and not may_cancel:
            broken.append("cancel_initiated_at is set, but nobody asked for cancellation")
        ended, counts = shown.ended_at is not None, shown.request_counts
        for outcome in ("succeeded", "errored"):
            number, finished = getattr(counts, outcome), getattr(life, outcome)
            if number > finished or (ended and number < finished):
                broken.append(f"{outcome} is {number}, but {finished} requests have {outcome}")
        if ended and counts.canceled < life.canceled:
            broken.append(f"canceled is {counts.canceled}, but {life.canceled} requests were canceled")
        if not ended and not life.left:
            broken.append(
                "every request has its outcome, but the batch has not ended (`finish` moves counts, ends it at last)"
            )
        if not ended and self.setup.profile is lc.HOSTED and self.now >= known.expires_at + _GRACE:
            broken.append("expires_at is an hour ago, but the batch has not ended")
        if broken:
            self._fail(said, life, "; ".join(broken), answer)
        life.add(_seen(known, shown), self.setup.profile)

    def _must_be_unknown(self, batch_id: str, life: _Life | None) -> None:
        said, answer = self._retrieved(batch_id, life)
        self._must_be_refused(said, life, answer, (404, "not_found_error"), "there is no such batch")

    def _retrieved(self, batch_id: str, life: _Life | None) -> tuple[str, object]:
        said = f"retrieve({batch_id!r})"
        return said, self._asked(said, life, lambda: self.service.retrieve(batch_id))

    def _must_be_rejected(self, said: str, life: _Life | None, rejected: lc.CommandRejected, answer: object) -> None:
        expected = None if rejected.http_status is None else (rejected.http_status, rejected.error_type)
        reason = rejected.reason.removeprefix(f"{rejected.rule.id}: ")
        self._must_be_refused(said, life, answer, expected, f"{rejected.rule.id}: {reason}")

    def _must_be_refused(
        self, said: str, life: _Life | None, answer: object, expected: tuple[int, str | None] | None, reason: str
    ) -> None:
        """The answer has to be a refusal; under HOSTED the API's own, where its documents give one."""
        if not isinstance(answer, _REFUSALS):
            self._fail(said, life, f"it was accepted, but has to be refused ({reason})", answer)
        if self.setup.profile is not lc.HOSTED or expected is None:
            return
        status, error_type = expected
        if answer.http_status != status or answer.error_type not in {None, error_type}:
            self._fail(said, life, f"expected the refusal {status} {error_type} ({reason})", answer)

    def _decided(self, batch: lc.MessageBatch | None, command: lc.Command) -> tuple[lc.Event, ...] | lc.CommandRejected:
        try:
            return lc.decide(batch, command, profile=self.setup.profile)
        except lc.CommandRejected as error:
            return error

    def _asked(self, said: str, life: _Life | None, call: Callable[[], object]) -> object:
        try:
            return call()
        except _REFUSALS as refused:
            return refused
        except Exception as error:  # noqa: BLE001 -- whatever it is, the adapter raised it
            try:
                raised = f"the adapter raised {type(error).__name__}: {error}"
                self._fail(said, life, f"{raised} (an error of the service is raised as {_REFUSED_AS})", None)
            except AssertionError as failure:
                raise failure from error

    def _decoded(self, said: str, life: _Life | None, answer: object) -> lc.MessageBatch:
        if isinstance(answer, _REFUSALS):
            self._fail(said, life, "it was refused, but is allowed", answer)
        try:
            if isinstance(answer, Mapping):
                return wire.structure_batch(answer)
            return wire.decode_batch(cast(bytes, answer))
        except (lc.WireError, TypeError) as error:
            self._fail(said, life, f"no body of a batch: {error}", answer)

    def _fail(self, said: str, life: _Life | None, wrong: str, answer: object) -> NoReturn:
        lines = [f"{said}: {wrong}"]
        if life is not None:
            history, allowed = stream_table(life.events, waits=life.waits), allowed_text(life.batch.phase)
            lines += ["the legal history so far", indented(history), f"allowed {allowed}"]
        if answer is not None:
            lines += ["came", indented(answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer))]
        raise AssertionError("\n".join(lines))

    def _picked(self, pick: int, fits: Callable[[_Life], bool]) -> _Life:
        lives = [life for life in self.lives if fits(life)]
        return lives[pick % len(lives)]

    def _moment(self, life: _Life) -> datetime:
        """Now, or later if the batch knows of something later."""
        batch = life.batch
        known = (batch.created_at, batch.cancel_initiated_at, batch.ended_at, batch.archived_at, batch.deleted_at)
        return max(self.now, *(time for time in known if time is not None))


def _seen(before: lc.MessageBatch, shown: lc.MessageBatch) -> Iterator[lc.Event]:
    """The events that lead from a batch to what a service showed of it, if it breaks no law."""
    if before.cancel_initiated_at is None and shown.cancel_initiated_at is not None:
        yield lc.CancelInitiated(shown.cancel_initiated_at)
    if before.ended_at is None and shown.ended_at is not None:
        yield lc.Ended(shown.ended_at, shown.request_counts, shown.results_url)
    elif before.request_counts != shown.request_counts:
        yield lc.CountsUpdated(shown.request_counts)
    if before.archived_at is None and shown.archived_at is not None:
        yield lc.Archived(shown.archived_at, shown.results_url)


def _is_receipt(answer: object, batch_id: str) -> bool:
    try:
        receipt = json.loads(answer) if isinstance(answer, str | bytes) else answer
    except ValueError:
        return False
    return isinstance(receipt, Mapping) and (receipt.get("id"), receipt.get("type")) == (
        batch_id,
        "message_batch_deleted",
    )
