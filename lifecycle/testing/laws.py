"""
Laws that users' code has to keep, as plain functions: they need no test runner.

Each draws values, calls the code under test, and raises an `AssertionError` with the simplest counterexample that
Hypothesis finds.  They draw the same values in every run unless told otherwise, so that a build does not break by luck.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import attrs
import hypothesis
from hypothesis import strategies as st
from hypothesis.errors import Flaky

import lifecycle as lc
from lifecycle import wire
from lifecycle.testing.faults import SNAPSHOT_FAULTS, WIRE_PATHS, broken_snapshots, broken_wire
from lifecycle.testing.strategies import event_streams, logs, wire_batches
from lifecycle.testing.tables import indented, record_table, stream_table, table

_ALL_HEALTH_CHECKS: list[Any] = list(hypothesis.HealthCheck)  # code under test may be slow

S = TypeVar("S")
T = TypeVar("T")


def check_projection(
    fn: Callable[[S | None, Sequence[Any]], S],
    *,
    streams: st.SearchStrategy[Sequence[Any]] | None = None,
    profile: lc.Profile = lc.LAWS,
    max_examples: int = 100,
    derandomize: bool = True,
) -> None:
    """
    Check that a projection gives the same result for a stream folded in one go and in any two parts.

    The second part may be empty, the first is not: ``fn(fn(None, a), b) == fn(None, a + b)``. So a projection may stop
    anywhere, be stored, and go on later.

    Args:
        fn: Takes a state, None at the beginning, and events; gives the state after them. States are compared with
            ``==``. It may change the state that it is given.
        streams: What to fold; `event_streams` of *profile* unless given. For a projection over whole logs pass `logs`:
            then *fn* is given records.
        profile: Which rules the streams keep.
        max_examples: How many streams to try.
        derandomize: Whether every run tries the same streams.

    Raises:
        AssertionError: A cut changed the result, folding the same stream again did, or *fn* raised; the message shows
            the shortest such stream. Or *fn* gave None for every stream, as a function without a return does.
        TypeError: *streams* is no strategy, or draws something else than streams and logs.
    """
    if not isinstance(streams, st.SearchStrategy | None):
        raise TypeError(f"streams: expected a strategy, such as testing.event_streams(), got {streams!r}")
    results = _Results()

    def wrong(stream: Sequence[Any]) -> str | None:
        if not isinstance(stream, Sequence):
            raise TypeError(f"streams: expected a strategy of streams, such as testing.logs(); it drew {stream!r}")
        try:
            whole = fn(None, stream)
            results.note(stream, whole)
            if fn(None, stream) != whole:
                return "the same stream gave another result the second time"
            for cut in range(1, len(stream) + 1):
                parts = fn(fn(None, stream[:cut]), stream[cut:])
                if parts != whole:
                    return (
                        f"cut after event {cut} it gives another result\n"
                        f"in one go:    {whole!r}\nin two parts: {parts!r}"
                    )
        except Exception as error:  # noqa: BLE001 -- whatever it is, the projection raised it
            return f"it raised {_error_text(error)}"
        return None

    values = event_streams(profile=profile) if streams is None else streams
    stream = _search(values, lambda value: wrong(value) is not None, max_examples, derandomize=derandomize)
    if stream is not None:
        _fail("the projection", wrong(stream), stream)
    results.must_be_states("the projection")


def check_idempotent_handler(
    fn: Callable[[S | None, lc.Record], S],
    *,
    profile: lc.Profile = lc.LAWS,
    max_examples: int = 100,
    derandomize: bool = True,
) -> None:
    """
    Check that a record delivered more than once changes nothing the second time (rule L4).

    Whole logs are delivered as a queue that promises *at least once* does it: in the order of each stream, but with
    records that come again, at once or later. What is lost is not looked for: a handler that ignores records which it
    should take, such as one that tells repeats by the version and not by the batch too, may pass.

    Args:
        fn: Takes a state, None at the beginning, and a record; gives the state after it. States are compared with
            ``==``. It may change the state that it is given; None has to begin anew.
        profile: Which rules the logs keep.
        max_examples: How many logs to try.
        derandomize: Whether every run tries the same logs.

    Raises:
        AssertionError: Repeats changed the result, or *fn* raised; the message shows the shortest such delivery. Or
            *fn* gave None for every delivery, as a function without a return does.
    """
    results = _Results()

    def handled(records: Sequence[lc.Record]) -> S | None:
        state: S | None = None
        for record in records:
            state = fn(state, record)
        return state

    def wrong(delivered: Sequence[lc.Record]) -> str | None:
        once: dict[tuple[str, str], lc.Record] = {}
        for record in delivered:
            once.setdefault((record.batch_id, record.event_id), record)
        try:
            expected, came = handled([*once.values()]), handled(delivered)
            results.note(delivered, came)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the handler raised it
            return f"it raised {_error_text(error)}"
        if came != expected:
            return f"repeated records change the result\neach record once: {expected!r}\nwith repeats:     {came!r}"
        return None

    values = _deliveries(logs(max_streams=2, profile=profile))
    delivered = _search(values, lambda value: wrong(value) is not None, max_examples, derandomize=derandomize)
    if delivered is not None:
        _fail("the handler", wrong(delivered), delivered)
    results.must_be_states("the handler")


@st.composite
def _deliveries(draw: st.DrawFn, of: st.SearchStrategy[Sequence[lc.Record]]) -> Sequence[lc.Record]:
    """Logs of which some records come again. The repeats are drawn last, so that the log itself shrinks freely."""
    found = list(draw(of))
    for which, later in draw(_REPEATS):
        place = which % len(found)
        found.insert(place + 1 + later % (len(found) - place), found[place])
    return found


_REPEATS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=3)


def check_validator(
    fn: Callable[[bytes], object],
    *,
    profile: lc.Profile = lc.LAWS,
    advice: bool = False,
    malformed: bool = True,
    max_examples: int = 100,
    derandomize: bool = True,
) -> None:
    """
    Check that a validator of bodies accepts every legal one and refuses every fault.

    Args:
        fn: Takes a body and refuses it by raising an `Exception` or returning False; anything else accepts it.
        profile: Which rules it is to know: the B rules of the tiers that the profile enforces.
        advice: Whether it is to refuse broken advice, too (under `HOSTED`).
        malformed: Whether it is to refuse what is no body of a batch at all: wrong types, missing keys, no JSON.
        max_examples: How many legal bodies to try; for each rule, and for each path of the wire, it is a quarter.
        derandomize: Whether every run tries the same bodies.

    Raises:
        AssertionError: A legal body was refused, or a fault accepted. The message has a table of all rules that *fn*
            misses, each with its sentence, and a body for each; ``wire`` and a path stand for malformed ones.
    """

    def accepts(body: bytes) -> bool:
        return _refusal(fn, body) is None

    def missed(faults: st.SearchStrategy[tuple[bytes, str]]) -> bytes | None:
        return _search(faults.map(lambda found: found[0]), accepts, -(-max_examples // 4), derandomize=derandomize)

    lines = []
    legal = wire_batches(profile=profile)
    refused = _search(legal, lambda body: not accepts(body), max_examples, derandomize=derandomize)
    if refused is not None:
        lines += ["it refuses a legal body", f"  {_refusal(fn, refused)} for {_body_text(refused)}"]
    tiers = profile.tiers if advice else profile.enforced
    rules = [lc.RULES[rule_id] for rule_id in SNAPSHOT_FAULTS if lc.RULES[rule_id].tier in tiers]
    found = [(rule.id, rule.sentence, missed(_encoded(broken_snapshots(rule=rule.id)))) for rule in rules]
    if malformed:
        found += [
            (f"wire {path}", "What stands there can be read.", missed(broken_wire(path=path))) for path in WIRE_PATHS
        ]
    accepted = [(rule, sentence, body) for rule, sentence, body in found if body is not None]
    if accepted:
        lines += ["it accepts what breaks", indented(table(("rule", "says"), [row[:2] for row in accepted]))]
        lines += ["for example", *(f"  {rule}: {_body_text(body)}" for rule, _, body in accepted)]
    if lines:
        raise AssertionError("\n".join(["the validator is wrong", *lines]))


def _search(
    values: st.SearchStrategy[T], is_wrong: Callable[[T], bool], max_examples: int, *, derandomize: bool
) -> T | None:
    """The simplest value found that is wrong, if any is."""
    found: list[T] = []

    @hypothesis.settings(
        max_examples=max_examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=_ALL_HEALTH_CHECKS,
        report_multiple_bugs=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(values)
    def look(value: T) -> None:
        if is_wrong(value):
            found[:] = [value]
            raise _WrongError

    try:
        look()
    except (_WrongError, Flaky):  # flaky: what is wrong once may be right the next time
        return found[0]
    return None


class _WrongError(Exception):
    pass


class _Results:
    """What code under test gave: None is a state like any other, but not if nothing else ever comes."""

    def __init__(self) -> None:
        self._are_none: set[bool] = set()

    def note(self, stream: Sequence[Any], result: object) -> None:
        if stream:
            self._are_none.add(result is None)

    def must_be_states(self, what: str) -> None:
        if self._are_none == {True}:
            raise AssertionError(f"{what} is wrong: it returned None for every stream; it has to return the state")


def _fail(what: str, wrong: str | None, stream: Sequence[Any]) -> NoReturn:
    shown = record_table(stream) if stream and isinstance(stream[0], lc.Record) else stream_table(stream)
    said = wrong or "it is wrong now and then, for the same stream"
    raise AssertionError(f"{what} is wrong: {said}\nthe stream\n{indented(shown)}")


def _refusal(fn: Callable[[bytes], object], body: bytes) -> str | None:
    """How *fn* refuses a body; None if it accepts."""
    try:
        return "returned False" if fn(body) is False else None
    except Exception as error:  # noqa: BLE001 -- raising anything is how a validator refuses
        return f"raised {_error_text(error)}"


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _encoded(faults: st.SearchStrategy[tuple[lc.MessageBatch, str]]) -> st.SearchStrategy[tuple[bytes, str]]:
    return faults.map(lambda found: (_body(found[0]), found[1]))


def _body(batch: lc.MessageBatch) -> bytes:
    """The body of a batch, also of one with the negative counts that our own encoder refuses (rule B1)."""
    counts = batch.request_counts
    shown = wire.unstructure_batch(attrs.evolve(batch, request_counts=lc.RequestCounts(0)))
    shown["request_counts"] = {key: getattr(counts, key) for key in shown["request_counts"]} | dict(counts.extra)
    return json.dumps(shown, separators=(",", ":")).encode()


def _body_text(body: bytes) -> str:
    return body.decode(errors="backslashreplace")
