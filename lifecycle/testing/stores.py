"""
What a store promises, as plain functions: one for each promise of ``specs/stores.md``, in that order.

`check_store` calls them all.  They need no test runner.
"""

import asyncio
import contextlib
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import hypothesis
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire
from lifecycle.store import UPCASTS, AsyncStore, Head, Store, Upcasts, execute, execute_async, upcast
from lifecycle.testing.strategies import event_streams

T = TypeVar("T")

_ALL_HEALTH_CHECKS: list[Any] = list(hypothesis.HealthCheck)  # a store may be slow

MakeStore: TypeAlias = Callable[[], Store | AsyncStore]
"""Makes a store that is empty and whose profile is `LAWS`. It is closed after use."""


def check_store(make_store: MakeStore) -> None:
    """
    Check that a store keeps every promise of ``specs/stores.md``.

    Args:
        make_store: Makes an empty store, sync or async, each time it is called: about fifteen times. An async store is
            made and used inside of one event loop each.

    Raises:
        AssertionError: A promise is broken; the message says which, and how.
    """
    for check in PROMISES:
        check(make_store)


# -------------------------------------------------------------------------------------------------------- a small life

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_URL = "https://api.anthropic.com/v1/messages/batches/é\u2028'\"%_\\/results"


def _created(stream: str = "b") -> lc.Created:
    return lc.Created(stream, _NOON, _NOON + timedelta(hours=24), 3)


def _life(stream: str = "b") -> tuple[lc.Event, ...]:
    return (
        _created(stream),
        lc.CountsUpdated(lc.RequestCounts(2, 1)),
        lc.CancelInitiated(_NOON + _MINUTE),
        lc.Ended(_NOON + 2 * _MINUTE, lc.RequestCounts(0, 1, 0, 2), _URL),
        lc.Archived(_NOON + 3 * _MINUTE),
        lc.Deleted(_NOON + 4 * _MINUTE),
    )


_ODD = ("", "é\u2028\U0001f600", "a'b\"c%d_e\\f", "B", "a b", "x" * 500)
"""Ids that somebody might take for something else."""


# ------------------------------------------------------------------------------------------------------- the promises


def check_appending(make_store: MakeStore) -> None:
    """What was appended is read as it was, with the ids and times given, and versions from 1."""
    with _opened(make_store) as store:
        for stream in ("b", *_ODD):
            life = _life(stream)
            times = [_NOON + place * _MINUTE for place in range(6)]
            ids = [f"{stream}:{place}" for place in range(6)]
            written = store.append(stream, life[:1], expected_version=0, event_ids=ids[:1], recorded_at=times[:1])
            written += store.append(stream, life[1:], expected_version=1, event_ids=ids[1:], recorded_at=times[1:])
            expected = tuple(
                lc.Record(stream, version, *found)
                for version, found in enumerate(zip(life, ids, times, strict=True), 1)
            )
            _same("what append gave", written, expected)
            _same("what was read", store.read(stream), expected)
        before = datetime.now(UTC)  # noqa: TID251 -- against the store's clock
        (first, second) = store.append("clock", _life("clock")[:2], expected_version=0)
        late = timedelta(seconds=60)  # a server's clock may differ
        _true("the store's clock is the time", before - late < first.recorded_at < before + late)
        _true("events without ids get some that differ", first.event_id != second.event_id)
        _same("what an append of nothing gave", store.append("clock", (), expected_version=2), ())


def check_whole_appends(make_store: MakeStore) -> None:
    """An append is stored whole or not at all: an event that breaks a rule leaves nothing of it behind."""
    with _opened(make_store) as store:
        store.append("b", _life()[:2], expected_version=0)
        wrong: list[tuple[type[lc.LifecycleError], str, int, Sequence[lc.Event]]] = [
            (lc.IllegalTransition, "b", 2, [_life()[2], _life()[1], _created()]),
            (lc.IllegalTransition, "none", 0, _life()[1:2]),
            (lc.RuleBroken, "b", 2, [_life()[2], lc.CountsUpdated(lc.RequestCounts(3, 1))]),
            (lc.RuleBroken, "another", 0, [_created("b")]),
            (lc.WireError, "b", 2, [lc.CountsUpdated(lc.RequestCounts(2**63, 1 - 2**63 + 2))]),
            (lc.WireError, "b", 2, [lc.Ended(_NOON + _MINUTE, lc.RequestCounts(0, 3), "nul \0")]),
            (lc.WireError, "b", 2, [lc.Ended(_NOON + _MINUTE, lc.RequestCounts(0, 3), "lone \ud800")]),
            (lc.WireError, "nul \0", 0, [_created("nul \0")]),
            (lc.WireError, "lone \ud800", 0, [_created("lone \ud800")]),
        ]
        for error, stream, version, events in wrong:
            with _unchanged(store):
                _refused(error, lambda: store.append(stream, events, expected_version=version))  # noqa: B023 -- at once
        with _unchanged(store):
            _refused(lc.WireError, lambda: store.append("b", _life()[2:3], expected_version=2, event_ids=["\0"]))
            _refused(ValueError, lambda: store.append("b", _life()[2:3], expected_version=2, event_ids=[]))
            _refused(ValueError, lambda: store.append("b", _life()[2:3], expected_version=-1))
            _refused(ValueError, lambda: store.append("b", _life()[2:3], expected_version=2, recorded_at=[]))
            _refused(TypeError, lambda: store.append("b", cast(Any, [1]), expected_version=2))
            _refused(TypeError, lambda: store.append("b", _life()[2:3], expected_version=cast(Any, None)))


def check_versions(make_store: MakeStore) -> None:
    """An expected version that is stale or ahead is a `VersionConflict`, and nothing changes."""
    with _opened(make_store) as store:
        store.append("b", _life()[:2], expected_version=0)
        for stream, expected, actual in (("b", 0, 2), ("b", 1, 2), ("b", 3, 2), ("none", 1, 0)):
            for events in (_life()[2:3], ()):
                with _unchanged(store):
                    conflict = _refused(
                        lc.VersionConflict,
                        lambda: store.append(stream, events, expected_version=expected),  # noqa: B023 -- at once
                    )
                _same("the conflict", (conflict.stream, conflict.expected, conflict.actual), (stream, expected, actual))


def check_repeats(make_store: MakeStore) -> None:
    """An id that the caller gave makes a repeat harmless, at any expected version; with other content it breaks L4."""
    with _opened(make_store) as store:
        life, ids = _life(), ["1", "2", "3"]
        written = store.append("b", life[:3], expected_version=0, event_ids=ids, recorded_at=_NOON)
        with _unchanged(store):
            for version in (0, 1, 3, 99):
                again = store.append("b", life[:3], expected_version=version, event_ids=ids)
                _same("what a repeat gave", again, written)
            _same(
                "what one of them gave", store.append("b", life[1:2], expected_version=0, event_ids=["2"]), written[1:2]
            )
            other = _refused(lc.RuleBroken, lambda: store.append("b", life[3:4], expected_version=3, event_ids=["2"]))
            _same("the broken rule", [found.rule.id for found in other.violations], ["L4"])
            other = _refused(
                lc.RuleBroken,
                lambda: store.append("b", [life[3], life[4]], expected_version=3, event_ids=["4", "4"]),
            )
            _same("the broken rule", [found.rule.id for found in other.violations], ["L4"])
            _refused(lc.VersionConflict, lambda: store.append("b", life[:1], expected_version=0))
            _refused(lc.IllegalTransition, lambda: store.append("b", life[:1], expected_version=3))
            _refused(lc.VersionConflict, lambda: store.append("b", life[2:4], expected_version=3, event_ids=["3", "4"]))
            # What is known is no beginning of the call, or not the end of the stream: it was not stored in part.
            for events, given in (([life[3], life[2]], ["4", "3"]), ([life[0], life[3]], ["1", "4"])):
                _refused(
                    lc.VersionConflict,
                    lambda: store.append("b", events, expected_version=2, event_ids=given),  # noqa: B023 -- at once
                )
        # What was stored of a call moves it on, and a repeat within a call is none the worse.
        more = store.append("b", [life[2], life[3], life[3]], expected_version=2, event_ids=["3", "4", "4"])
        _same("the versions", [record.version for record in more], [3, 4, 4])
        _same(
            "the other stream's", store.append("c", [_created("c")], expected_version=0, event_ids=["1"])[0].version, 1
        )
        _same("the events", [record.event for record in store.read("b")], list(life[:4]))


def check_batches(make_store: MakeStore) -> None:
    """The batch of a stream is what all of its events lead to, at each of its versions and however it was appended."""

    @hypothesis.settings(
        max_examples=20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=_ALL_HEALTH_CHECKS,
        report_multiple_bugs=False,
    )
    @hypothesis.given(event_streams(max_size=6), st.integers(1, 3))
    def look(events: Sequence[lc.Event], step: int) -> None:
        stream = cast(lc.Created, events[0]).id
        if stream in seen or "\0" in repr(events) or "\\x00" in repr(events):
            return
        seen.add(stream)
        for start in range(0, len(events), step):
            store.append(stream, events[start : start + step], expected_version=start)
            known = events[: start + step]
            batch = lc.fold(known)
            head = store.head(stream)
            _same("the batch", store.batch(stream), batch)
            _same("where it stands", (head.stream, head.version, head.batch), (stream, len(known), batch))
            _same("the events", [record.event for record in store.read(stream)], list(known))

    seen: set[str] = set()
    with _opened(make_store) as store:
        look()
        _true("streams were tried", len(seen) > 1)


def check_reading(make_store: MakeStore) -> None:
    """A stream is read in parts; one that is not there is a `StreamNotFound`."""
    with _opened(make_store) as store:
        records = store.append("b", _life(), expected_version=0)
        for after, until in (
            (0, None),
            (2, None),
            (2, 4),
            (0, 3),
            (6, None),
            (4, 2),
            (-1, 99),
            (0, 2**70),
            (2**70, None),
        ):
            expected = records[max(after, 0) : until if until is None else max(until, after, 0)]
            _same(f"what follows {after} until {until}", store.read("b", after=after, until=until), expected)
        for stream in ("none", "nul \0", "lone \ud800"):
            for look in (store.read, store.batch, store.head, store.forget):
                missing = _refused(lc.StreamNotFound, lambda: look(stream))  # noqa: B023 -- called at once
                _same("what is missing", (missing.stream, missing.forgotten), (stream, False))


def check_order(make_store: MakeStore) -> None:
    """All records are read in the order of their commits, at positions from 1 with no gap, in parts or whole."""
    with _opened(make_store) as store:
        _same("what is in an empty store", list(store.read_all()), [])
        records: list[lc.Record] = []
        for version in range(3):
            for stream in ("c", "a", "b"):
                records += store.append(stream, _life(stream)[version : version + 1], expected_version=version)
        everything = list(enumerate(records, 1))
        _same("the order", list(store.read_all()), everything)
        for after, limit in ((0, 0), (0, 4), (4, 2), (8, 5), (9, None), (-1, None), (2**70, 1), (3, 2**70), (5, -1)):
            expected = everything[max(after, 0) :][: None if limit is None else max(limit, 0)]
            _same(f"{limit} after {after}", list(store.read_all(after=after, limit=limit)), expected)


def check_streams(make_store: MakeStore) -> None:
    """Every stream is listed with where it stands, sorted by id."""
    with _opened(make_store) as store:
        _same("the streams of an empty store", list(store.streams()), [])
        for place, stream in enumerate(_ODD):
            store.append(stream, _life(stream)[: place + 1], expected_version=0)
        expected = [store.head(stream) for stream in sorted(_ODD)]
        _same("the streams", list(store.streams()), expected)
        _same("their versions", [head.version for head in expected], [_ODD.index(name) + 1 for name in sorted(_ODD)])


def check_following(make_store: MakeStore) -> None:
    """`follow` gives what is there, then what comes, and ends when nothing comes for as long as it was told."""
    with _opened(make_store) as store:
        _same("what comes of nothing", list(store.follow(timeout=0)), [])
        store.append("b", _life()[:2], expected_version=0)
        following = store.follow(after=1, timeout=60)
        _same("what was there", next(following, (None,))[0], 2)
        store.append("b", _life()[2:4], expected_version=2)
        came = [next(following, None), next(following, None)]
        _same("what came", came, list(store.read_all(after=2)))
        came = [_while_waiting(store, following, "b", _life()[4:5], 4)]
        _same("what came while it waited", came, list(store.read_all(after=4)))
        following.close()
        started = time.monotonic()
        _same("what is left", list(store.follow(after=5, timeout=0.05)), [])
        _true("it waits as long as it was told", time.monotonic() - started >= 0.05)


def check_forgetting(make_store: MakeStore) -> None:
    """A deleted batch can be forgotten: its data is gone, its positions and versions stay; any other cannot."""
    with _opened(make_store) as store:
        store.append("a", _life("a")[:2], expected_version=0)
        ids = [*"123456"]
        store.append("b", _life(), expected_version=0, event_ids=ids)
        store.append("a", _life("a")[2:], expected_version=2)
        store.append("c", _life("c")[:5], expected_version=0)
        with _unchanged(store):
            _refused(lc.StoreError, lambda: store.forget("c"))
        others = [found for found in store.read_all() if found[1].batch_id != "b"]
        head = store.head("b")
        for _ in range(2):  # the second time changes nothing
            store.forget("b")
            _same("what is left of it", store.head("b"), Head("b", 6, None, head.hash))
            for look in (store.read, store.batch):
                gone = _refused(lc.StreamNotFound, lambda: look("b"))  # noqa: B023 -- called at once
                _true("it was forgotten", gone.forgotten)
            _same("the others", list(store.read_all()), others)
            _same("the others, followed", list(store.follow(timeout=0)), others)
            _same("the streams", [found.stream for found in store.streams()], ["a", "b", "c"])
        with _unchanged(store):
            _same(
                "repeats",
                [r.version for r in store.append("b", _life(), expected_version=0, event_ids=ids)],
                [*range(1, 7)],
            )
            _refused(lc.RuleBroken, lambda: store.append("b", _life()[:1], expected_version=6, event_ids=["2"]))
            _refused(lc.IllegalTransition, lambda: store.append("b", _life()[:1], expected_version=6))
            _refused(lc.VersionConflict, lambda: store.append("b", _life()[:1], expected_version=0))
            _refused(lc.StreamNotFound, lambda: _execute(store, "b", lc.Delete(_NOON)))
        _same("the next position", list(store.read_all(after=17)), [])
        store.append("d", [_created("d")], expected_version=0)
        _same("the next position", [position for position, _ in store.read_all(after=17)], [18])
        _same("the damage", list(store.verify()), [])


def check_importing(make_store: MakeStore) -> None:
    """Records are imported as they are, repeats among them left out, all of them or none."""
    with _opened(make_store) as store:
        records = [
            lc.Record(stream, version, event, f"{stream}-{version}", _NOON + version * _MINUTE)
            for version, pair in enumerate(zip(_life("a"), _life("b"), strict=True), 1)
            for stream, event in zip("ab", pair, strict=True)
        ]
        _same("how many of none", store.import_records([]), 0)
        _same("how many were new", store.import_records(records[:5]), 5)
        _same("how many were new", store.import_records(records[2:9]), 4)
        _same("how many were new", store.import_records([*records[9:], *records[9:]]), 3)
        _same("what was imported", [record for _, record in store.read_all()], records)
        with _unchanged(store):
            _same("how many were new", store.import_records(records), 0)
            created = lc.Record("c", 1, _created("c"), None, _NOON)
            late = lc.Record("c", 3, _life("c")[2], None, _NOON)
            _refused(lc.VersionConflict, lambda: store.import_records([created, late]))
            illegal = lc.Record("c", 2, _created("c"), None, _NOON)
            _refused(lc.IllegalTransition, lambda: store.import_records([created, illegal]))
            no_place = lc.Record("c", 0, _created("c"), None, _NOON)
            _refused(lc.RuleBroken, lambda: store.import_records([no_place]))
            other = lc.Record("a", 1, _created("a"), "a-2", _NOON)
            _refused(lc.RuleBroken, lambda: store.import_records([created, other]))
            counts = lc.CountsUpdated(lc.RequestCounts(3))
            again = [lc.Record("c", version, counts, "again", _NOON) for version in (2, 3)]
            _refused(lc.RuleBroken, lambda: store.import_records([created, *again]))
            elsewhere = lc.Record("b", 7, _life("b")[5], "b-6", _NOON)
            _refused(lc.RuleBroken, lambda: store.import_records([created, elsewhere]))
            _refused(TypeError, lambda: store.import_records(cast(Any, [created, _created("c")])))


def check_commands(make_store: MakeStore) -> None:
    """`execute` loads, decides and appends; a command that comes again, or is rejected, writes nothing."""
    with _opened(make_store) as store:
        create = lc.Create("b", _NOON, _NOON + timedelta(hours=24), 3)
        cancel = lc.Cancel(_NOON + _MINUTE)
        _same("what create gave", _execute(store, "b", create), (lc.fold([_created()]), (_created(),)))
        canceled = lc.CancelInitiated(_NOON + _MINUTE)
        batch = lc.fold([_created(), canceled])
        _same("what cancel gave", _execute(store, "b", cancel), (batch, (canceled,)))
        with _unchanged(store):
            _same("what cancel gave again", _execute(store, "b", cancel), (batch, ()))
            _refused(lc.CommandRejected, lambda: _execute(store, "b", lc.Delete(_NOON)))
            _refused(lc.CommandRejected, lambda: _execute(store, "none", cancel))
            _refused(lc.RuleBroken, lambda: _execute(store, "another", create))


def check_winners(make_store: MakeStore) -> None:
    """Of writers that append to one stream at once, one wins each version; those who try again all come to an end."""
    with _opened(make_store) as store:
        store.append("b", [_created()], expected_version=0)
        for version in (1, 2, 3):
            event = lc.CountsUpdated(lc.RequestCounts(3))
            writer = ("append", ("b", [event]), {"expected_version": version})
            results = _at_once(store, [writer] * 4)
            lost = [result for result in results if isinstance(result, lc.VersionConflict)]
            _same("how many lost", len(lost), 3)
        writers = [
            ("append", (f"new-{place}", [_created(f"new-{place}")]), {"expected_version": 0}) for place in range(8)
        ]
        results = _at_once(store, writers)
        _same("errors", [result for result in results if isinstance(result, BaseException)], [])
        _same("the versions", [record.version for record in store.read("b")], [1, 2, 3, 4])
        _same("the positions", [position for position, _ in store.read_all()], [*range(1, 13)])


def check_verifying(make_store: MakeStore) -> None:
    """`verify` finds nothing in a store that nobody has tampered with."""
    with _opened(make_store) as store:
        _same("the damage of an empty store", list(store.verify()), [])
        for place, stream in enumerate(_ODD):
            store.append(stream, _life(stream)[: place + 1], expected_version=0)
        store.import_records([lc.Record("i", 1, _created("i"), None, _NOON)])
        _same("the damage", list(store.verify()), [])


PROMISES: tuple[Callable[[MakeStore], None], ...] = (
    check_appending,
    check_whole_appends,
    check_versions,
    check_repeats,
    check_batches,
    check_reading,
    check_order,
    check_streams,
    check_following,
    check_forgetting,
    check_importing,
    check_commands,
    check_winners,
    check_verifying,
)
"""The checks, in the order of the promises."""


# -------------------------------------------------------------------------------------------------- older event schemas


def check_upcasting(log: str | Path | Iterable[bytes], *, upcasts: Upcasts = UPCASTS) -> None:
    """
    Check that a golden log, written by an older release and never edited, can still be read.

    Every line becomes a record of today's schema, the same each time; what is of today's schema is left alone; the
    records keep the laws; and no step is without a line that needs it.

    Args:
        log: A file of records, one a line, as `lifecycle.log` has them but of older types; or its lines.
        upcasts: The steps: those of this release unless given.

    Raises:
        AssertionError: A line cannot be read, a law is broken, or a step is not exercised.
    """
    lines = Path(log).read_bytes().splitlines() if isinstance(log, str | Path) else [*log]
    records, needed = [], set[str]()
    for number, line in enumerate(lines, 1):
        what = f"line {number}"
        try:
            found = json.loads(line)
            type_, data = found["type"], json.dumps(found["data"])
            newest, upcasted = upcast(type_, data, upcasts)
            _same(f"{what}, upcast again", upcast(type_, data, upcasts), (newest, upcasted))
            found.pop("crc32", None)  # it was that of the older line
            found |= {"type": newest, "data": json.loads(upcasted)}
            records.append(wire.decode_record(json.dumps(found)))
        except (ValueError, TypeError, LookupError) as error:
            raise AssertionError(f"{what} cannot be read: {type(error).__name__}: {error}") from error
        _same(f"{what}, of today's schema", upcast(newest, upcasted, upcasts), (newest, upcasted))
        while type_ in upcasts:
            needed.add(type_)
            type_ = upcasts[type_][0]
    _true("there are lines", records)
    _same("what replay finds", [str(finding) for finding in lc.audit(records)], [])
    _same("the steps that no line needs", sorted(upcasts.keys() - needed), [])


# -------------------------------------------------------------------------------------------------------------- helpers


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)


def _same(what: str, came: object, expected: object) -> None:
    if came != expected:
        _fail(f"{what} is wrong\nexpected: {expected!r}\ncame:     {came!r}")


def _true(what: str, came: object) -> None:
    if not came:
        _fail(f"it is not so that {what}")


E_ = TypeVar("E_", bound=BaseException)


def _refused(error: type[E_], call: Callable[[], object]) -> E_:
    """The error that a call has to be refused with."""
    try:
        came = call()
    except error as found:
        return found
    except Exception as found:
        raise AssertionError(f"expected {error.__name__}, came {type(found).__name__}: {found}") from found
    _fail(f"expected {error.__name__}, came {came!r}")


@contextlib.contextmanager
def _unchanged(store: Store) -> Iterator[None]:
    """What happens inside must change nothing."""
    before = list(store.read_all()), list(store.streams())
    yield
    _same("what a refused or repeated call left", (list(store.read_all()), list(store.streams())), before)


@contextlib.contextmanager
def _opened(make_store: MakeStore) -> Iterator[Store]:
    """A new store, as one that is not async; what it raises breaks the promise."""
    found: Any = make_store()
    with contextlib.ExitStack() as stack:
        if inspect.iscoroutinefunction(found.append):
            found = _Blocking(found, stack.enter_context(asyncio.Runner()))
        stack.enter_context(contextlib.closing(found))
        try:
            yield found
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"it raised {type(error).__name__}: {error}") from error


class _Blocking:
    """An async store, driven by an event loop of its own."""

    def __init__(self, store: AsyncStore, runner: asyncio.Runner) -> None:
        self.store = store
        self.runner = runner
        self.profile = store.profile

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if inspect.iscoroutinefunction(method):
            return lambda *arguments, **keywords: self.runner.run(method(*arguments, **keywords))
        return lambda *arguments, **keywords: self._iterate(method(*arguments, **keywords))

    def _iterate(self, found: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> list[T]:
            async for value in found:
                return [value]
            return []

        try:
            while values := self.runner.run(following()):
                yield from values
        finally:
            self.runner.run(cast(Any, found).aclose())


def _execute(store: Store, stream: str, command: lc.Command) -> tuple[lc.MessageBatch, tuple[lc.Event, ...]]:
    if isinstance(store, _Blocking):
        return store.runner.run(execute_async(store.store, stream, command))
    return execute(store, stream, command)


def _while_waiting(store: Store, following: Any, stream: str, events: Sequence[lc.Event], version: int) -> Any:
    """What a follower is given that waits while somebody appends."""
    if isinstance(store, _Blocking):
        return store.runner.run(_awaited(store.store, stream, events, version))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, following, None)
        store.append(stream, events, expected_version=version)
        return future.result()


async def _awaited(store: AsyncStore, stream: str, events: Sequence[lc.Event], version: int) -> Any:
    following = store.follow(after=version, timeout=60)
    waiting = asyncio.create_task(anext(following))
    await asyncio.sleep(0)  # so that it begins
    await store.append(stream, events, expected_version=version)
    came = await waiting
    await following.aclose()
    return came


def _at_once(store: Store, calls: Sequence[tuple[str, tuple[Any, ...], Mapping[str, Any]]]) -> list[Any]:
    """Call methods of a store at the same time; what each gave or raised."""
    if isinstance(store, _Blocking):
        return store.runner.run(_gathered(store.store, calls))
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(getattr(store, name), *arguments, **keywords) for name, arguments, keywords in calls]
    return [future.exception() or future.result() for future in futures]


async def _gathered(store: AsyncStore, calls: Sequence[tuple[str, tuple[Any, ...], Mapping[str, Any]]]) -> list[Any]:
    found = [getattr(store, name)(*arguments, **keywords) for name, arguments, keywords in calls]
    return await asyncio.gather(*found, return_exceptions=True)
