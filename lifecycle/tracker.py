"""
A real client's batches, followed to their end into a log.

`track` asks the official `anthropic` client, or anything shaped like it, how each batch is, turns what it shows into
events (`observe`), and writes them down.  The log is the only state: an event is durable before anybody hears of it,
and whoever starts again goes on where the log ends.

What to ask next, when, and what an answer means is one generator (`_Plan.run`), which neither sends nor waits: it
yields what is to be done and is told what came of it.  Two thin drivers do it, one for plain clients, one for asyncio.

The key of the client is the client's own: no message here repeats what a server, a header or a foreign error says,
beyond a status, a well-formed error type and the name of a class.
"""

import asyncio
import contextlib
import heapq
import inspect
import math
import os
import random
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict, TypeVar, Unpack, cast, overload
from urllib.parse import quote

import attrs

from lifecycle import log as logs
from lifecycle import results as results_files
from lifecycle import wire
from lifecycle.batch import MessageBatch, Phase
from lifecycle.errors import (
    LogError,
    SnapshotConflict,
    StreamNotFound,
    TrackerError,
    VersionConflict,
    WireError,
    quoted,
)
from lifecycle.events import Record
from lifecycle.folding import check_type, fold
from lifecycle.lines import GZIP, STDIN, File, said
from lifecycle.observing import observe
from lifecycle.parsing import text_problem
from lifecycle.replaying import replay
from lifecycle.rules import LAWS, Profile, Tier

if TYPE_CHECKING:  # the stores stand above the tracker, which needs no more of them than `append` and `head`
    from lifecycle.store import AsyncStore, Head, Store

SHORTEST_WAIT = 5.0
"""Seconds between two looks at a young batch, where the server does not ask for more (the hosted one: 10)."""
LONGEST_WAIT = 120.0
"""Seconds between two looks at an old batch, unless the caller says otherwise."""
_SHARE = 0.1  # a batch is looked at each time it has become a tenth older: then no end is seen later than that
_JITTER = 0.1
_LONGEST_RETRY_AFTER = 3600.0  # more than that is a slip of the server, and would be the end of the tracking
_LOOK_FOR_STOP = 1.0  # seconds
_LONGEST_SLEEP = 3600.0  # seconds; more than a few centuries no system's sleep can bear
# How often in all, before results are given up or taken as they are:
_DOWNLOADS = 3  # they came, and did not agree with the batch; or it was shown without a `results_url`
_ATTEMPTS = 10  # they did not come, which takes ten minutes at least

Clock = Callable[[], datetime]


class _Stop(Protocol):
    """`threading.Event` and `asyncio.Event` are such."""

    def is_set(self) -> bool: ...


class _Retrieving(Protocol):
    def retrieve(self, message_batch_id: str, /) -> Any: ...


class _AsyncRetrieving(Protocol):
    def retrieve(self, message_batch_id: str, /) -> Awaitable[Any]: ...


_T = TypeVar("_T")
_Batches_co = TypeVar("_Batches_co", covariant=True)


class _Messages(Protocol[_Batches_co]):
    @property
    def batches(self) -> _Batches_co: ...


class _Client(Protocol[_Batches_co]):
    @property
    def messages(self) -> _Messages[_Batches_co]: ...


@attrs.frozen
class Poll:
    """What came of one look at a batch: for people who watch."""

    batch_id: str
    """Which batch."""
    at: datetime
    """When the answer was there."""
    batch: MessageBatch | None
    """The batch as the log has it now; None as long as it was not seen."""
    problem: str | None
    """Why the answer told nothing, such as ``not seen (404)`` or ``500 api_error``; None: it showed the batch."""
    next_at: datetime | None
    """When it is looked at again; None: no more, it has ended."""


@attrs.frozen
class Download:
    """What became of the results of a batch."""

    batch_id: str
    """Which batch."""
    path: Path | None
    """Where they are; None: they were not fetched."""
    reconciliation: results_files.Reconciliation | None
    """What the file holds against the batch; `whole` says whether it agrees. None: there is no file."""
    problem: str | None
    """Why they were not fetched."""


class _Options(TypedDict, total=False):
    """The options of `track` that are the same for every client; their defaults stand there."""

    results: str | os.PathLike[str] | None
    profile: Profile | None
    requests_per_second: float
    longest_wait: float
    timeout: float
    concurrency: int
    on_start: Callable[[Mapping[str, MessageBatch]], object] | None
    on_event: Callable[[Record], object] | None
    on_conflict: Callable[[SnapshotConflict], object] | None
    on_poll: Callable[[Poll], object] | None
    on_results: Callable[[Download], object] | None
    stop: _Stop | None
    clock: Clock | None
    rng: random.Random | None


@overload
def track(  # pyright: ignore[reportOverlappingOverload] # what fits both is asynchronous
    client: _Client[_AsyncRetrieving],
    ids: Iterable[str],
    *,
    log: "str | os.PathLike[str] | Store | AsyncStore",
    sleep: Callable[[float], Awaitable[object]] | None = None,
    **options: Unpack[_Options],
) -> AsyncGenerator[Record, None]: ...


@overload
def track(
    client: _Client[_Retrieving],
    ids: Iterable[str],
    *,
    log: "str | os.PathLike[str] | Store",
    sleep: Callable[[float], object] | None = None,
    **options: Unpack[_Options],
) -> Generator[Record, None, None]: ...


def track(
    client: Any,
    ids: Iterable[str],
    *,
    log: Any,
    results: str | os.PathLike[str] | None = None,
    profile: Profile | None = None,
    requests_per_second: float = 5.0,
    longest_wait: float = LONGEST_WAIT,
    timeout: float = 30.0,
    concurrency: int = 8,
    on_start: Callable[[Mapping[str, MessageBatch]], object] | None = None,
    on_event: Callable[[Record], object] | None = None,
    on_conflict: Callable[[SnapshotConflict], object] | None = None,
    on_poll: Callable[[Poll], object] | None = None,
    on_results: Callable[[Download], object] | None = None,
    stop: _Stop | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], Any] | None = None,
    rng: random.Random | None = None,
) -> Generator[Record, None, None] | AsyncGenerator[Record, None]:
    """
    Follow batches until all of them have ended, and write down what happens to them.

    Each batch is looked at every few seconds while it is young and less often later; ``Retry-After`` is honoured; what
    the server or the network refuses for now is asked again later, and a 429 makes all requests wait.  A 404 means
    "not seen": it is asked again for as long as it takes, and never taken for a deletion.  A snapshot that contradicts
    what is known is told once, kept out of the log, and the batch is looked at again.

    To end it before all have ended set *stop*, or close the generator: the log is whole at any time, and the same call
    goes on from it.  Nothing is created, canceled or deleted here.

    A weakness: writers of one log file that know nothing of each other are noticed by its size before each append, and
    what they wrote is read; two appends in the same moment are not.  Give several trackers of the same batch a store.

    Args:
        client: ``anthropic.Anthropic``, ``anthropic.AsyncAnthropic``, or anything with
            ``client.messages.batches.retrieve(id)``. Its own retries are switched off where it has ``with_options``.
        ids: The ids of the batches; a repeated one counts once.
        log: A file, as for `lifecycle.log.append`; or a store. With an asynchronous client an `AsyncStore`, too;
            anything else is written without giving way to other tasks, for as long as a flush takes. What is no log is
            left as it is.
        results: A folder: the results of each batch that ends are streamed into a file of it, which has its name, the
            id percent-encoded and ``.jsonl``, once it is complete, and are reconciled with the batch. What is there
            already is not fetched again. The key goes to the origin of the client's ``base_url`` only
            (`lifecycle.results.same_origin`), and no redirect is followed. Needs the official client.
        profile: Which rules snapshots have to keep; by default those of the store, or `LAWS`.
        requests_per_second: No second, wherever it begins, has more requests than that (rounded up).
        longest_wait: Seconds between two looks at an old batch; a server's ``Retry-After`` may make it longer.
        timeout: Seconds that the client waits for a server, where it has ``with_options``.
        concurrency: How many requests of an asynchronous client may be under way; a plain one has one at a time.
        on_start: Called once, before anything is asked, with the batches that the log knows.
        on_event: Called with each record, when it is durable, before it is yielded.
        on_conflict: Called with a `SnapshotConflict`: once for each batch and each set of rules that is broken.
        on_poll: Called with a `Poll` after each look.
        on_results: Called with a `Download` when the results of a batch are there, or are given up. These callbacks are
            plain functions, for an asynchronous client, too; what they raise ends the tracking and reaches the caller.
        stop: Asked before each request and each second: it ends when `is_set` says so.
        clock: Gives the time, aware; by default that of the system.
        sleep: Waits for so many seconds; for an asynchronous client a coroutine function.
        rng: What the waits are jittered with.

    Yields:
        The records that were written, each when it is on the disk; none that the log had already. An asynchronous
        iterator for an asynchronous client.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An id is empty or no Unicode, a number is not above 0, or *log* is empty or ``-``.
        TrackerError: The server refuses the client's key (401 and 403), or the client cannot send at all. The log is
            whole.
        LogError: The log cannot be read or written, or what it says of these batches breaks a law; or the folder of
            the results cannot be made. Raised when iteration begins, before anything is asked, where that is possible.
        StoreError: As for `Store.append` and `Store.head`; and `IllegalEvent`, if *profile* allows what the store's own
            does not.
    """
    wanted = _ids(ids)
    for name, number in (
        ("requests_per_second", requests_per_second),
        ("longest_wait", longest_wait),
        ("timeout", timeout),
        ("concurrency", concurrency),
    ):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{name}: expected a number, got {quoted(number)}")
        if not 0 < number < math.inf:
            raise ValueError(f"{name}: expected a number above 0, got {number}")
    if stop is not None and not hasattr(stop, "is_set"):
        raise TypeError(f"stop: expected an event, which has `is_set`, got {quoted(stop)}")
    try:
        asynchronous = inspect.iscoroutinefunction(client.messages.batches.retrieve)
    except AttributeError:
        raise TypeError(f"client: expected one with messages.batches.retrieve, got {type(client).__name__}") from None
    hooks = _Hooks(on_start, on_event, on_conflict, on_poll, on_results)
    functions: list[tuple[str, object]] = [*hooks.named(), ("clock", clock), ("sleep", sleep)]
    for name, function in functions:
        awaited = asynchronous and name == "sleep"
        if function is not None and (not callable(function) or (inspect.iscoroutinefunction(function) and not awaited)):
            raise TypeError(f"{name}: expected {'a' if awaited else 'a plain'} function, got {quoted(function)}")
    if results is not None and not (hasattr(client, "get") and hasattr(client, "base_url")):
        raise TypeError("results: only the official client can fetch them; this one has no `get` and `base_url`")
    if not isinstance(log, str | os.PathLike):
        if not (hasattr(log, "append") and hasattr(log, "head")):
            raise TypeError(f"log: expected a path or a store, got {quoted(log)}")
        if inspect.iscoroutinefunction(log.append) and not asynchronous:
            raise TypeError("log: an asynchronous store needs an asynchronous client")
    elif os.fsdecode(log) in {"", STDIN}:
        raise ValueError(f"log: expected a file that can be appended to, got {os.fsdecode(log)!r}")
    usual = LAWS if isinstance(log, str | os.PathLike) else log.profile
    judged_by: Profile = usual if profile is None else profile
    check_type("profile", judged_by, Profile)
    folder = None if results is None else _Folder(Path(results), str(client.base_url))
    if hasattr(client, "with_options"):
        client = client.with_options(max_retries=0, timeout=timeout)
    clock = clock or _system_clock
    plan = _Plan(
        wanted,
        journal=_File(log, wanted, judged_by) if isinstance(log, str | os.PathLike) else _Stored(log),
        folder=folder,
        profile=judged_by,
        gap=1 / requests_per_second,
        longest=longest_wait,
        at_once=math.ceil(concurrency) if asynchronous else 1,
        hooks=hooks,
        stop=stop,
        clock=clock,
        rng=rng or random.Random(),  # noqa: S311 -- it spreads requests, it keeps no secret
    )
    if asynchronous:
        return _drive_async(plan.run(), partial(_ask_async, client, clock), sleep or asyncio.sleep)
    return _drive(plan.run(), partial(_ask, client, clock), sleep or time.sleep)


def _ids(ids: object) -> list[str]:
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"ids: expected several ids, got {quoted(ids)}")
    wanted = list(ids)
    for batch_id in wanted:
        check_type("ids", batch_id, str)
        problem = text_problem(batch_id) if batch_id else "an empty text"
        if problem is not None:
            raise ValueError(f"ids: expected ids of batches, got {problem}")
    return list(dict.fromkeys(wanted))


def _system_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 -- the tracker is an adapter


# --------------------------------------------------------------------------------------------- what is to be done


@attrs.frozen
class _Look:
    """Ask how a batch is."""

    batch_id: str


@attrs.frozen
class _Fetch:
    """Get the results of a batch."""

    batch: MessageBatch
    """With its `results_url`."""
    path: Path
    last: bool
    """Whether what comes is kept, even if it does not agree with the batch."""

    @property
    def batch_id(self) -> str:
        return self.batch.id


@attrs.frozen
class _Wait:
    """Wait for an answer, but no longer than so many seconds; tell all answers that are there."""

    seconds: float


@attrs.frozen
class _Call:
    """Call it, and wait for it if it is a coroutine; tell what it returns or raises."""

    function: Callable[[], Any]


_Request = _Look | _Fetch
_Step = _Request | _Wait | _Call | Record
"""What the plan asks its driver to do; a record is to be yielded."""

# ------------------------------------------------------------------------------------------------ what came of it


@attrs.frozen
class _Shown:
    """A batch, as the server showed it."""

    snapshot: MessageBatch
    retry_after: float | None


@attrs.frozen
class _Fetched:
    """The results are in the file, if `kept`."""

    reconciliation: results_files.Reconciliation
    kept: bool


@attrs.frozen
class _Failed:
    """Nothing came of a request."""

    problem: str
    """What is said of it; nothing that a server or a foreign error words."""
    status: int | None = None
    retry_after: float | None = None
    for_good: bool = False
    """Whether asking again is of no use: what is wrong is the client."""


_Answer = _Shown | _Fetched | _Failed

# Names, for neither the client's package nor its HTTP library is imported here: of the SDK and of httpx.
_PASSING = {"APIConnectionError", "RetryableError", "RequestError", "StreamError", "HTTPException"}
_UNSENDABLE = {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "UnicodeEncodeError"}
_ERROR_TYPE = re.compile(r"[a-z]{1,20}(?:_[a-z]{1,20}){0,4}_error|request_too_large")


def _failed(error: Exception, now: datetime) -> _Failed:
    """What an error of the client means."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", None)
        retry_after = _retry_after(headers, now)
        if status < 300:
            return _Failed(f"{status}, but no batch", status, retry_after)
        body = getattr(error, "body", None)
        detail = body.get("error") if isinstance(body, Mapping) else None
        kind = detail.get("type") if isinstance(detail, Mapping) else None
        known = isinstance(kind, str) and _ERROR_TYPE.fullmatch(kind)
        problem = "not seen (404)" if status == 404 else f"{status} {kind}" if known else str(status)
        return _Failed(problem, status, retry_after, for_good=status in {401, 403})
    if isinstance(error, WireError):
        paths = ", ".join(path for path, _ in error.problems[:3])
        return _Failed(f"no batch: wrong at {paths}")
    if isinstance(error, LogError):
        return _Failed(str(error))
    name = type(error).__name__
    for each in _chain(error):
        if not _UNSENDABLE.isdisjoint(_names(each)):
            name = type(each).__name__
            return _Failed(f"the client cannot send a request ({name}), as with an odd key or base_url", for_good=True)
    if isinstance(error, TimeoutError) or "Timeout" in name:
        return _Failed("timed out")
    if isinstance(error, ValueError):
        return _Failed(f"no batch ({name})")
    if isinstance(error, OSError | EOFError) or not _PASSING.isdisjoint(_names(error)):
        return _Failed(f"no connection ({name})")
    return _Failed(f"the client failed with {name}, as it does without a key", for_good=True)


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _retry_after(headers: Any, now: datetime) -> float | None:
    """How many seconds a server asks to wait (RFC 9110, section 10.2.3; in milliseconds, as the SDK reads it, too)."""
    if not hasattr(headers, "get"):
        return None
    seconds = math.nan
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(TypeError, ValueError):
            seconds = float(headers.get(name)) * unit
            break
    else:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            seconds = (parsedate_to_datetime(headers.get("retry-after")) - now).total_seconds()
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds > 0 else None


def _shown(look: _Look, answer: Any, now: datetime) -> _Answer:
    """What an answer of the client shows."""
    response = getattr(answer, "http_response", None)
    value = answer if response is None else response.content
    if hasattr(value, "model_dump_json"):
        value = value.model_dump_json()
    if isinstance(value, MessageBatch):
        snapshot = value
    elif inspect.iscoroutine(value):
        value.close()
        return _Failed("the client's retrieve is asynchronous, but no coroutine function", for_good=True)
    elif isinstance(value, Mapping):
        snapshot = wire.structure_batch(value)
    elif isinstance(value, str | bytes | bytearray):
        snapshot = wire.decode_batch(value)
    else:
        raise WireError((("$", "expected a batch"),))
    if snapshot.id != look.batch_id:
        raise WireError((("$.id", "it is another batch"),))
    return _Shown(snapshot, _retry_after(getattr(response, "headers", None), now))


# ---------------------------------------------------------------------------------------------------- the two drivers


def _drive(
    plan: Generator[_Step, Any, None], ask: Callable[[_Request], _Answer], sleep: Callable[[float], object]
) -> Generator[Record, None, None]:
    """Do what the plan says, one thing after the other."""
    answers: list[tuple[_Request, _Answer]] = []
    result: Any = None
    error: Exception | None = None
    with contextlib.closing(plan):
        while True:
            try:
                step = plan.send(result) if error is None else plan.throw(error)
            except StopIteration:
                return
            result = error = None
            match step:
                case Record():
                    yield step
                case _Call():
                    try:
                        result = step.function()
                    except Exception as raised:  # noqa: BLE001 -- it is the plan's to handle
                        error = raised
                case _Wait():
                    if not answers:
                        sleep(step.seconds)
                    result, answers = answers, []
                case _:
                    answers.append((step, ask(step)))


async def _drive_async(
    plan: Generator[_Step, Any, None],
    ask: Callable[[_Request], Awaitable[_Answer]],
    sleep: Callable[[float], Awaitable[object]],
) -> AsyncGenerator[Record, None]:
    """Do what the plan says, with requests under way beside each other."""
    requests: dict[asyncio.Future[_Answer], _Request] = {}
    result: Any = None
    error: Exception | None = None
    try:
        while True:
            try:
                step = plan.send(result) if error is None else plan.throw(error)
            except StopIteration:
                return
            result = error = None
            match step:
                case Record():
                    yield step
                case _Call():
                    try:
                        result = step.function()
                        if inspect.isawaitable(result):
                            result = await result
                    except Exception as raised:  # noqa: BLE001 -- it is the plan's to handle
                        error = raised
                case _Wait():
                    await _first(requests, step.seconds, sleep)
                    done = [request for request in requests if request.done()]
                    result = [(requests.pop(request), request.result()) for request in done]
                case _:
                    requests[asyncio.ensure_future(ask(step))] = step
    finally:
        plan.close()
        await _give_up(requests)


async def _first(
    requests: Iterable[asyncio.Future[Any]], seconds: float, sleep: Callable[[float], Awaitable[object]]
) -> None:
    """Wait until the first of the requests is done, or so many seconds are over."""
    waits: set[asyncio.Future[Any]] = set(requests)
    timers = [] if seconds == math.inf else [asyncio.ensure_future(sleep(seconds))]
    try:
        done, _ = await asyncio.wait({*waits, *timers}, return_when=asyncio.FIRST_COMPLETED)
        for timer in done.intersection(timers):
            timer.result()
    finally:
        await _give_up([timer for timer in timers if not timer.done()])


async def _in_thread(function: Callable[[], _T]) -> _T:
    """Run it in a thread. Who is canceled waits for its end: nothing goes on behind anybody's back."""
    running = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(running)
    finally:
        await asyncio.gather(running, return_exceptions=True)


async def _give_up(futures: Iterable[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _retriever(client: Any) -> Callable[[str], Any]:
    """The way to the bytes of an answer and to its headers, if the client has one."""
    batches = client.messages.batches
    retrieve: Callable[[str], Any] = getattr(batches, "with_raw_response", batches).retrieve
    return retrieve


# The SDK: such a header makes `get` hand over the response as it comes. It is what `with_streaming_response` sets, but
# the SDK's own `results` asks for the batch once more, and sends the key wherever that says.
_STREAMED = {
    "headers": {"X-Stainless-Raw-Response": "stream", "Accept": "application/binary"},
    "follow_redirects": False,
}


def _ask(client: Any, clock: Clock, request: _Request) -> _Answer:
    try:
        if isinstance(request, _Look):
            return _shown(request, _retriever(client)(request.batch_id), clock())
        with _Part(request) as part:
            response = client.get(request.batch.results_url, cast_to=object, options=_STREAMED)
            try:
                for chunk in response.iter_bytes():
                    part.write(chunk)
            finally:
                response.close()
            return part.finish()
    except Exception as error:  # noqa: BLE001 -- a client may raise anything, and nobody else may see it
        return _failed(error, clock())


async def _ask_async(client: Any, clock: Clock, request: _Request) -> _Answer:
    try:
        if isinstance(request, _Look):
            return _shown(request, await _retriever(client)(request.batch_id), clock())
        with _Part(request) as part:
            response = await client.get(request.batch.results_url, cast_to=object, options=_STREAMED)
            try:
                async for chunk in response.iter_bytes():
                    part.write(chunk)
            finally:
                await response.close()
            return await _in_thread(part.finish)
    except Exception as error:  # noqa: BLE001 -- as in _ask
        return _failed(error, clock())


# ---------------------------------------------------------------------------------------------------- files of results

_PART = ".part"


@attrs.define(eq=False)
class _Folder:
    """Where results go, and from where they may come."""

    path: Path
    base_url: str
    _remains: dict[str, list[Path]] = attrs.field(init=False, factory=dict)
    """What earlier lives, or other trackers, have begun to fetch, by the name that it would have got."""

    def make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for part in self.path.glob(f"*{_PART}"):
                self._remains.setdefault(part.name.removesuffix(_PART).rpartition(".")[0], []).append(part)
        except (OSError, ValueError) as error:
            raise LogError(str(self.path), None, f"no folder for results: {said(error)}") from error

    def file_of(self, batch_id: str) -> Path:
        return self.path / f"{quote(batch_id, safe='')}.jsonl"

    def has(self, batch_id: str) -> bool:
        return os.path.exists(self.file_of(batch_id))  # noqa: PTH110 -- False for a name that is too long, too

    def tidy(self, batch_id: str) -> None:
        """Take away what remains of earlier attempts. Who is at one at this moment finds that the file is there."""
        for part in self._remains.pop(self.file_of(batch_id).name, ()):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def obstacle(self, batch: MessageBatch) -> str | None:
        """Why the results of a batch are not fetched."""
        if batch.phase is not Phase.ENDED:
            return f"the batch is {batch.phase}: its results are no longer available"
        if batch.results_url is None:
            return "the batch has no results_url"
        if not results_files.same_origin(batch.results_url, self.base_url):
            return "its results_url is not of the client's origin: it must not have the key"
        return None


class _Part:
    """A file that is being fetched. It has its name only when it is complete; until then one that nobody else has."""

    def __init__(self, fetch: _Fetch) -> None:
        self._fetch = fetch
        self._name = fetch.path.with_name(f"{fetch.path.name}.{secrets.token_hex(4)}{_PART}")
        with self._told():
            self._file = self._name.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()  # what it still holds may find the disk full
        with contextlib.suppress(OSError):
            self._name.unlink(missing_ok=True)  # what is left of it without its name

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LogError(str(self._fetch.path), None, f"cannot be written: {said(error)}") from error

    def write(self, chunk: bytes) -> None:
        with self._told():
            self._file.write(chunk)

    def finish(self) -> _Fetched:
        """Reconcile it, and give it its name if it agrees with the batch, or if there will be no better one."""
        with self._told():
            self._file.flush()
            os.fsync(self._file.fileno())
            found = results_files.reconcile(self._fetch.batch, self._name)
            kept = found.whole or self._fetch.last
            if kept:
                self._name.replace(self._fetch.path)
                logs.sync_folder(str(self._fetch.path))
            return _Fetched(found, kept)


# ------------------------------------------------------------------------------------------------------------ journals

_Known = dict[str, tuple[MessageBatch | None, int]]
"""Of each batch, what the log says: the batch and the version of its stream; (None, 0) if it says nothing."""


class _Journal(Protocol):
    """Where events are kept. Both methods are parts of the plan: what blocks is yielded."""

    def load(self, ids: Iterable[str], /) -> Generator[_Step, Any, _Known]:
        """What is known of these batches, and maybe of others."""
        ...

    def append(self, records: Sequence[Record], /) -> Generator[_Step, Any, Sequence[Record] | None]:
        """Write down records of a batch, durably; they as they are kept. None: others have written, and nothing was."""
        ...


_BEGINNING = b'{"specversion":'  # of every line that we write


class _File:
    """A log file."""

    def __init__(self, path: str | os.PathLike[str], ids: Sequence[str], profile: Profile) -> None:
        self._path = os.fsdecode(path)
        self._ids = dict.fromkeys(ids)
        self._profile = profile
        self._size: int | None = None

    def load(self, _ids: Iterable[str], /) -> Generator[_Step, Any, _Known]:
        known: _Known = yield _Call(self._load)
        return known

    def _load(self) -> _Known:
        self._see_that_it_may_be_cut()
        logs.append(self._path, ())  # it can be written, which is better known before the first request; no torn tail
        self._size = self._measure()
        report = replay(logs.read(self._path), profile=self._profile)
        for finding in report.findings:
            if finding.rule.tier is Tier.LAW and (finding.batch_id is None or finding.batch_id in self._ids):
                raise LogError(self._path, finding.line, f"cannot be gone on with: {finding}; see `lifecycle audit`")
        return {each: (report.batches.get(each), report.versions.get(each, 0)) for each in self._ids}

    def _see_that_it_may_be_cut(self) -> None:
        """Appending cuts off a torn record: of a file that is no log, given by mistake, that would be the last line."""
        if not Path(self._path).is_file():
            return  # appending makes it, or says what is wrong
        file = File(self._path)
        size = file.size() or 0
        tail = file.span(max(0, size - wire.MAX_BYTES), size).rpartition(b"\n")[2]
        if tail.startswith(_BEGINNING[: len(tail)]) or file.span(0, len(GZIP)) == GZIP:
            return
        try:
            wire.decode_record(tail)
        except WireError as error:
            reason = "it is no log: its last line has no end, and does not begin as a record does; nothing was changed"
            raise LogError(self._path, None, reason) from error

    def append(self, records: Sequence[Record]) -> Generator[_Step, Any, Sequence[Record] | None]:
        appended: bool = yield _Call(partial(self._append, records))
        return records if appended else None

    def _append(self, records: Sequence[Record]) -> bool:
        if self._measure() != self._size:
            return False
        logs.append(self._path, records)
        self._size = self._measure()
        return True

    def _measure(self) -> int | None:
        try:
            return Path(self._path).stat().st_size
        except OSError:
            return None  # it has gone: that is noticed, and appending will say what is wrong


class _Stored:
    """A store, plain or asynchronous: what it returns is awaited by the driver, if need be."""

    def __init__(self, store: "Store | AsyncStore") -> None:
        self._store = store

    def load(self, ids: Iterable[str]) -> Generator[_Step, Any, _Known]:
        known: _Known = {}
        for batch_id in ids:
            try:
                head: Head = yield _Call(partial(self._store.head, batch_id))
            except StreamNotFound:
                known[batch_id] = None, 0
                continue
            if head.batch is None:
                raise StreamNotFound(batch_id, forgotten=True)
            known[batch_id] = head.batch, head.version
        return known

    def append(self, records: Sequence[Record]) -> Generator[_Step, Any, Sequence[Record] | None]:
        # Without event ids of ours. With them the same version from another tracker would be a repeat, which both had
        # written, or break L4; so it is a conflict of versions, and read again.
        first = records[0]
        try:
            written: Sequence[Record] = yield _Call(
                partial(
                    self._store.append,
                    first.batch_id,
                    [record.event for record in records],
                    expected_version=first.version - 1,
                    recorded_at=first.recorded_at,
                )
            )
        except VersionConflict:
            return None
        return written


# ------------------------------------------------------------------------------------------------------------ the plan


@attrs.frozen
class _Hooks:
    start: Callable[[Mapping[str, MessageBatch]], object] | None
    event: Callable[[Record], object] | None
    conflict: Callable[[SnapshotConflict], object] | None
    poll: Callable[[Poll], object] | None
    results: Callable[[Download], object] | None

    def named(self) -> Iterator[tuple[str, object]]:
        """Each, with the name that the caller knows."""
        for field in attrs.fields(type(self)):
            yield f"on_{field.name}", getattr(self, field.name)


@attrs.define
class _Followed:
    """A batch on its way."""

    batch: MessageBatch | None = None
    version: int = 0
    failures: int = 0
    """How many requests in a row told nothing."""
    conflicts: set[tuple[str, ...]] = attrs.field(factory=set)
    """The sets of rules that its snapshots broke, as they were told."""
    results_url: str | None = None
    """As it was shown last: it may come later than the end, and has no event of its own."""
    in_vain: int = 0
    """How often, since it has ended, it was looked at for its `results_url`, or its results did not agree with it."""


@attrs.define(eq=False)
class _Plan:
    """
    What to ask, when, and what the answers mean; the same for every driver.

    Its own time never runs backwards, whatever is done to the clock: or else a clock that is put back by an hour would
    be an hour without a request.
    """

    ids: Sequence[str]
    journal: _Journal = attrs.field(kw_only=True)
    folder: _Folder | None = attrs.field(kw_only=True)
    profile: Profile = attrs.field(kw_only=True)
    gap: float = attrs.field(kw_only=True)
    """Seconds between two requests."""
    longest: float = attrs.field(kw_only=True)
    at_once: int = attrs.field(kw_only=True)
    hooks: _Hooks = attrs.field(kw_only=True)
    stop: _Stop | None = attrs.field(kw_only=True)
    clock: Clock = attrs.field(kw_only=True)
    rng: random.Random = attrs.field(kw_only=True)
    _followed: dict[str, _Followed] = attrs.field(init=False, factory=dict)
    _due: list[tuple[float, int, _Request]] = attrs.field(init=False, factory=list)
    """A heap: when each request is due. A batch has one request, either here or under way."""
    _under_way: int = attrs.field(init=False, default=0)
    _order: Iterator[int] = attrs.field(init=False, factory=count)
    _time: float = attrs.field(init=False, default=0.0)
    _last: datetime = attrs.field(init=False)
    _free_at: float = attrs.field(init=False, default=0.0)
    """Before that no request is sent: the last one was just now, or the server has had enough (429)."""

    def run(self) -> Generator[_Step, Any, None]:
        """Say what to do, until all have ended."""
        self._last = self.clock()
        if self._last.utcoffset() is None:
            raise ValueError(f"clock: expected aware times, got the naive {self._last!r}")
        if self.folder is not None:
            self.folder.make()
        self._followed = {batch_id: _Followed() for batch_id in self.ids}
        yield from self._reload(self.ids)
        if self.hooks.start is not None:
            known = ((batch_id, followed.batch) for batch_id, followed in self._followed.items())
            self.hooks.start({batch_id: batch for batch_id, batch in known if batch is not None})
        for batch_id in self.ids:
            self._go_on(batch_id, 0.0)
        while (self._due or self._under_way) and not (self.stop is not None and self.stop.is_set()):
            seconds = self._seconds_to_next()
            if seconds <= 0:
                _, _, request = heapq.heappop(self._due)
                self._free_at = self._time + self.gap
                self._under_way += 1
                yield request
                continue
            # Waiting for a millionth of a second might not be waiting at all, by the clock.
            answers = yield _Wait(max(seconds if self.stop is None else min(seconds, _LOOK_FOR_STOP), 0.001))
            self._tick()
            for request, answer in answers:
                self._under_way -= 1
                yield from self._take(request, answer)

    def _tick(self) -> None:
        now = self.clock()
        self._time += max(0.0, (now - self._last).total_seconds())
        self._last = now

    def _seconds_to_next(self) -> float:
        self._tick()
        if not self._due or self._under_way == self.at_once:
            return math.inf
        return min(max(self._due[0][0], self._free_at) - self._time, _LONGEST_SLEEP)

    def _reload(self, ids: Iterable[str]) -> Generator[_Step, Any, None]:
        known = yield from self.journal.load(ids)
        for batch_id, (batch, version) in known.items():
            followed = self._followed[batch_id]
            followed.batch, followed.version = batch, version

    def _schedule(self, request: _Request, seconds: float) -> datetime:
        heapq.heappush(self._due, (self._time + seconds, next(self._order), request))
        return self.clock() + timedelta(seconds=seconds)

    def _take(self, request: _Request, answer: _Answer) -> Generator[_Step, Any, None]:
        """An answer has come."""
        # Results may be closed to somebody whom the batch itself is shown.
        closed = isinstance(request, _Fetch) and isinstance(answer, _Failed) and answer.status == 403
        if isinstance(answer, _Failed) and answer.for_good and not closed:
            who = "" if answer.status is None else "the server refuses the key: "
            raise TrackerError(f"{who}{answer.problem}", answer.status)
        if isinstance(request, _Fetch):
            self._take_results(request, answer)
        elif isinstance(answer, _Shown):
            yield from self._take_snapshot(request, answer)
        else:
            failed = cast(_Failed, answer)  # a look fetches nothing
            self._look_again(request.batch_id, failed.problem, self._back_off(request.batch_id, failed))

    def _take_snapshot(self, look: _Look, shown: _Shown) -> Generator[_Step, Any, None]:
        followed = self._followed[look.batch_id]
        try:
            records = yield from self._write_down(followed, shown.snapshot)
        except SnapshotConflict as conflict:
            rules = tuple(violation.rule.id for violation in conflict.violations)
            failed = _Failed(f"a contradiction: {', '.join(rules)}", None, shown.retry_after)
            self._look_again(look.batch_id, failed.problem, self._back_off(look.batch_id, failed))
            if rules not in followed.conflicts:
                followed.conflicts.add(rules)
                if self.hooks.conflict is not None:
                    self.hooks.conflict(conflict)
            return
        except WireError as error:  # a store cannot hold all that the wire can, such as a NUL in a text
            failed = _failed(error, self.clock())
            self._look_again(look.batch_id, failed.problem, self._back_off(look.batch_id, failed))
            return
        followed.failures = 0
        followed.results_url = shown.snapshot.results_url
        self._look_again(look.batch_id, None, self._interval(look.batch_id, shown.retry_after))
        for record in records:
            if self.hooks.event is not None:
                self.hooks.event(record)
            yield record

    def _write_down(self, followed: _Followed, snapshot: MessageBatch) -> Generator[_Step, Any, Sequence[Record]]:
        """Append what a snapshot tells; once more if somebody else was first."""
        while True:
            events = observe(followed.batch, snapshot, profile=self.profile)
            now = self.clock()
            records = [
                Record(snapshot.id, version, event, None, now)
                for version, event in enumerate(events, followed.version + 1)
            ]
            if not records:
                return records
            written = yield from self.journal.append(records)
            if written is not None:
                followed.batch = fold(events, start=followed.batch, profile=self.profile)
                followed.version += len(events)
                return written
            yield from self._reload([snapshot.id])

    def _look_again(self, batch_id: str, problem: str | None, seconds: float) -> None:
        """Say when to look next, and tell who watches."""
        next_at = self._go_on(batch_id, seconds)
        if self.hooks.poll is not None:
            self.hooks.poll(Poll(batch_id, self.clock(), self._followed[batch_id].batch, problem, next_at))

    def _go_on(self, batch_id: str, seconds: float) -> datetime | None:
        """Schedule what is to be asked of a batch now; when it is looked at again, if it is."""
        followed = self._followed[batch_id]
        batch = followed.batch
        if batch is None or batch.phase in {Phase.IN_PROGRESS, Phase.CANCELING}:
            return self._schedule(_Look(batch_id), seconds)
        if self.folder is None or self.folder.has(batch_id):
            return None
        if batch.results_url is None:
            batch = attrs.evolve(batch, results_url=followed.results_url)
        obstacle = self.folder.obstacle(batch)
        if obstacle is None:
            followed.failures = followed.in_vain = 0
            self._fetch(batch, 0.0)
        elif batch.phase is Phase.ENDED and batch.results_url is None and followed.in_vain < _DOWNLOADS:
            followed.in_vain += 1  # the server may show it later
            return self._schedule(_Look(batch_id), seconds)
        else:
            self._tell(Download(batch_id, None, None, obstacle))
        return None

    def _interval(self, batch_id: str, retry_after: float | None) -> float:
        """How long to wait after a batch was shown: the older, the longer."""
        batch = self._followed[batch_id].batch
        seconds = SHORTEST_WAIT
        if batch is not None and batch.ended_at is None:  # most that are canceled end within seconds
            since = batch.cancel_initiated_at or batch.created_at
            seconds = max(seconds, _SHARE * (self.clock() - since).total_seconds())
        seconds = min(seconds, self.longest)
        return max(seconds, retry_after or 0.0) * self.rng.uniform(1, 1 + _JITTER)

    def _back_off(self, batch_id: str, failed: _Failed) -> float:
        """How long to wait after a request that told nothing: twice as long each time."""
        followed = self._followed[batch_id]
        followed.failures += 1
        seconds: float = min(SHORTEST_WAIT * 2 ** min(followed.failures - 1, 30), self.longest) * self.rng.uniform(
            0.5, 1
        )
        seconds = max(seconds, (failed.retry_after or 0.0) * self.rng.uniform(1, 1 + _JITTER))
        if failed.status == 429:  # the limit is that of the whole account
            self._free_at = max(self._free_at, self._time + seconds)
        return seconds

    # -------------------------------------------------------------------------------------------------- results

    def _fetch(self, batch: MessageBatch, seconds: float) -> None:
        assert self.folder is not None  # noqa: S101 -- else nothing is fetched
        followed = self._followed[batch.id]
        last = followed.in_vain == _DOWNLOADS - 1 or followed.failures == _ATTEMPTS - 1
        self._schedule(_Fetch(batch, self.folder.file_of(batch.id), last), seconds)

    def _take_results(self, fetch: _Fetch, answer: _Answer) -> None:
        assert self.folder is not None  # noqa: S101 -- as above
        followed = self._followed[fetch.batch_id]
        if isinstance(answer, _Fetched) and answer.kept:
            self.folder.tidy(fetch.batch_id)
            self._tell(Download(fetch.batch_id, fetch.path, answer.reconciliation, None))
            return
        if self.folder.has(fetch.batch_id):
            return  # another tracker was first
        if isinstance(answer, _Failed):
            failed = answer
        else:
            failed = _Failed("they do not agree with the batch")
            followed.in_vain += 1
        seconds = self._back_off(fetch.batch_id, failed)
        useless = failed.status is not None and failed.status < 500 and failed.status not in {404, 408, 409, 429}
        if useless or followed.failures >= (_DOWNLOADS if failed.status == 404 else _ATTEMPTS):
            self._tell(Download(fetch.batch_id, None, None, failed.problem))
        else:
            self._fetch(fetch.batch, seconds)

    def _tell(self, download: Download) -> None:
        if self.hooks.results is not None:
            self.hooks.results(download)
