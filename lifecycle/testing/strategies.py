"""
Strategies for legal values: what a Message Batch and its log can look like, built and never filtered.

One function, `next_event`, knows what may come next and is the only place where legal events are made.  A stream is
that function along a path of the arrows, a batch is a folded stream, a log is several streams shuffled, and so on.
So nothing is ever thrown away: every draw gives a value.

Under `LAWS` a value may do whatever the laws leave open: counts that move before the end, no results URL, any expiry,
more than 100,000 requests.  Under `HOSTED` it breaks no contract and no advice either.  The simplest values come first,
which is where Hypothesis shrinks to: ``msgbatch_01``, created on 2025-01-01 at noon, one request, steps of a minute.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, assert_never
from urllib.parse import quote

import attrs
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)
LIFETIME = 24 * HOUR
"""Rule B3."""
RESULTS_LIFETIME = 29 * DAY
"""Rule B15."""
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

OUTCOMES = ("succeeded", "errored", "canceled", "expired")

# ------------------------------------------------------------------------------------------------------- primitives

ANY = st.integers(0, 2**64 - 1)
"""For ``draw(ANY) % n``: a whole number below n, without a strategy of its own for each n. It shrinks to 0."""

# The format and length of ids may change over time, so some are not what they are today.
IDS = st.sampled_from(
    [
        "msgbatch_01",
        "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF",
        "batch-2",
        "7",
        "a/b?c#d%25",
        "Größe 😀",
        "msgbatch_" + "0" * 90,
    ]
)

# Rule B2 for those that keep it; then what the laws alone admit. The wire's largest number is the last. None: any.
_HOSTED_SIZES = st.sampled_from([1, 2, 3, 4, 5, 100_000, 99_999, None])
_LAWFUL_SIZES = st.sampled_from([1, 2, 3, 4, 5, 0, 100_000, 100_001, 2**53 + 1, wire.LARGEST_NUMBER, None])

# Each stands for a pause between two events. They stay below a day, so that a day after creation is later.
_PAUSES = st.sampled_from(
    [
        MINUTE,
        HOUR,
        timedelta(seconds=1),
        timedelta(0),
        TICK,
        timedelta(seconds=59, microseconds=999_999),
        timedelta(minutes=7, microseconds=123_456),
        timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999),
        None,
    ]
)
_MICROSECONDS = st.integers(1, 10**10)
_STARTS = st.sampled_from(
    [
        datetime(2025, 1, 1, 12, tzinfo=UTC),
        datetime(2025, 1, 29, 14, 24, 59, 570697, UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC),
        "last",
        "first",
        "any",
    ]
)
_LAWFUL_LIFETIMES = st.sampled_from([LIFETIME, timedelta(0), HOUR, RESULTS_LIFETIME, -HOUR, LIFETIME + TICK])


def size(draw: st.DrawFn, *, hosted: bool) -> int:
    """Draw how many requests a batch has."""
    found = draw(_HOSTED_SIZES if hosted else _LAWFUL_SIZES)
    return 1 + draw(ANY) % 100_000 if found is None else found


def pause(draw: st.DrawFn) -> timedelta:
    """Draw the time that passes between two events; it may be none."""
    found = draw(_PAUSES)
    return timedelta(microseconds=draw(_MICROSECONDS)) if found is None else found


def later(time: datetime, by: timedelta) -> datetime:
    """*time* and *by*, but not beyond what datetime can hold."""
    return min(time, LAST - by) + by


def split(draw: st.DrawFn, number: int, outcomes: Collection[str] = OUTCOMES) -> dict[str, int]:
    """Draw how *number* requests fall into *outcomes*; what no draw takes falls to the first of them."""
    found, rest = {}, number
    first, *others = outcomes
    for name in others:
        found[name] = draw(ANY) % (rest + 1)  # drawn for none, too: fewer draws would pass for simpler
        rest -= found[name]
    return {first: rest} | found


def counted(processing: int = 0, **done: int) -> lc.RequestCounts:
    """Counts by name; those that are not named are 0."""
    return lc.RequestCounts(processing, *(done.get(name, 0) for name in OUTCOMES))


def url_of(batch_id: str) -> str:
    """The results URL that the hosted API gives."""
    return f"https://api.anthropic.com/v1/messages/batches/{quote(batch_id, safe='')}/results"


def results_url(draw: st.DrawFn, batch_id: str, *, hosted: bool) -> str | None:
    """Draw a results URL; under the laws there may be none, or another."""
    usual = url_of(batch_id)
    return usual if hosted else draw(st.sampled_from([usual, None, "http://localhost/results"]))


def is_hosted(profile: lc.Profile) -> bool:
    """Whether contract and advice count; a `TypeError` for what is no profile."""
    if not isinstance(profile, lc.Profile):
        raise TypeError(f"profile: expected a Profile, got {profile!r}")
    return lc.Tier.CONTRACT in profile.tiers


# ------------------------------------------------------------------------------------------------------- one event


def next_event(
    draw: st.DrawFn, tag: str, before: lc.MessageBatch | None, *, hosted: bool, archives: bool = False
) -> lc.Event:
    """
    Draw a legal event.

    Args:
        draw: Hypothesis'.
        tag: The event's. It is one that the phase of *before* admits.
        before: The batch before it, which keeps the rules; None for `Created`.
        hosted: Whether contract and advice count.
        archives: For `Created`: whether there has to be time for a legal `Archived`.
    """
    if before is None:
        return _created(draw, hosted=hosted, archives=archives)
    match tag:
        case "counts_updated":
            return lc.CountsUpdated(before.request_counts if hosted else progress(draw, before.request_counts))
        case "cancel_initiated":
            at = later(before.created_at, pause(draw))
            return lc.CancelInitiated(min(at, before.expires_at) if hosted else at)
        case "ended":
            return _ended(draw, before, hosted=hosted)
        case "archived":
            at = later(latest(before), pause(draw))
            if hosted:
                at = later(max(latest(before), before.created_at + RESULTS_LIFETIME), pause(draw))
            url = draw(st.sampled_from([None, before.results_url]))
            return lc.Archived(at, url)
        case _:
            return lc.Deleted(later(latest(before), pause(draw)))


def latest(batch: lc.MessageBatch) -> datetime:
    """When the last thing happened to *batch*."""
    times = (batch.created_at, batch.cancel_initiated_at, batch.ended_at, batch.archived_at, batch.deleted_at)
    return max(time for time in times if time is not None)


def created_at(draw: st.DrawFn, room: timedelta) -> datetime:
    """Draw when a batch was created, so that there is *room* for what follows."""
    match draw(_STARTS):
        case "first":
            return FIRST + HOUR
        case "last":
            return LAST - HOUR - room
        case datetime() as start:
            return start
        case _:
            return datetime(2024, 9, 24, tzinfo=UTC) + timedelta(microseconds=draw(ANY) % 10**14)


def _created(draw: st.DrawFn, *, hosted: bool, archives: bool) -> lc.Created:
    batch_id, requests = draw(IDS), size(draw, hosted=hosted)
    if hosted:
        start = created_at(draw, RESULTS_LIFETIME if archives else LIFETIME)
        return lc.Created(batch_id, start, start + LIFETIME, requests)
    start = created_at(draw, timedelta(0))
    lifetime = draw(_LAWFUL_LIFETIMES)
    return lc.Created(
        batch_id, start, later(start, lifetime) if lifetime > timedelta(0) else start + lifetime, requests
    )


def progress(draw: st.DrawFn, counts: lc.RequestCounts) -> lc.RequestCounts:
    """Draw counts that may follow *counts* before the end; the simplest are the same again."""
    drawn = draw(ANY)
    done, outcome = (drawn // 4) % (counts.processing + 1), OUTCOMES[drawn % 4]
    return _moved(counts, {outcome: done})


def _moved(counts: lc.RequestCounts, done: Mapping[str, int]) -> lc.RequestCounts:
    """*counts* when so many more requests have left `processing`."""
    finished = {name: getattr(counts, name) + done.get(name, 0) for name in OUTCOMES}
    return counted(counts.processing - sum(done.values()), **finished)


def _ended(draw: st.DrawFn, before: lc.MessageBatch, *, hosted: bool) -> lc.Ended:
    counts, now = before.request_counts, latest(before)
    if not hosted:
        done = split(draw, counts.processing)
        return lc.Ended(later(now, pause(draw)), _moved(counts, done), results_url(draw, before.id, hosted=False))
    canceled = () if before.cancel_initiated_at is None else ("canceled",)  # rule B9
    # Requests expire if, and only if, the batch ends after its expiry (rules B12 and B13).
    if now > before.expires_at or draw(st.booleans()):
        expired = 1 + draw(ANY) % counts.processing
        at = later(max(now, before.expires_at), pause(draw))
        done = split(draw, counts.processing - expired, ("succeeded", "errored", *canceled)) | {"expired": expired}
    else:
        at = min(later(now, pause(draw)), before.expires_at)
        done = split(draw, counts.processing, ("succeeded", "errored", *canceled))
    return lc.Ended(at, _moved(counts, done), results_url(draw, before.id, hosted=True))


# ---------------------------------------------------------------------------------------------- paths along the arrows

Path = tuple[str, ...]
"""Tags from `created` on, each an arrow to another phase: updates of the counts are put in between."""


def _paths() -> Iterator[tuple[Path, lc.Phase]]:
    todo: list[tuple[Path, lc.Phase | None]] = [((), None)]
    for path, phase in todo:
        if phase is not None:
            yield path, phase
        todo += [((*path, tag), to) for (at, tag), to in lc.TRANSITIONS.items() if at is phase and to is not phase]


PATHS: Sequence[tuple[Path, lc.Phase]] = tuple(_paths())
"""Every path through the chart, the shortest first, with the phase that it leads to."""


def paths(phases: lc.Phase | Iterable[lc.Phase] | None, longest: int) -> Sequence[Path]:
    """The paths to *phases* of at most *longest* events, to draw from; an error of ours if there is none."""
    if isinstance(phases, str):
        phases = [phases]
    if not isinstance(phases, Iterable | None):
        raise TypeError(f"phases: expected a phase or several, such as [lifecycle.Phase.ENDED], got {phases!r}")
    wanted = frozenset(lc.Phase) if phases is None else frozenset(map(_phase, phases))
    found = [(path, phase) for path, phase in PATHS if phase in wanted and len(path) <= longest]
    if not found:
        names = ", ".join(sorted(wanted)) or "no phase"
        raise ValueError(f"no stream of at most {longest} events leads to {names}; allow more events or other phases")
    # As often to each phase, however many paths lead there; the first time each path once, in order.
    ways = Counter(phase for _, phase in found)
    most = max(ways.values())
    return [path for turn in range(most) for path, phase in found if turn < most // ways[phase]]


def _phase(value: object) -> lc.Phase:
    if isinstance(value, str) and value in list(lc.Phase):
        return lc.Phase(value)
    raise ValueError(f"phase: expected one of {', '.join(lc.Phase)}, got {value!r}")


def _size(name: str, value: int, least: int = 1) -> None:
    if type(value) is not int:
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected {least} or more, got {value}")


def life(
    draw: st.DrawFn, path: Path, *, hosted: bool, updates: int = 0, batch_id: str | None = None
) -> tuple[list[lc.Event], list[lc.MessageBatch]]:
    """Draw the events of *path* with so many updates of the counts in between, and the batch after each of them."""
    events: list[lc.Event] = []
    batches: list[lc.MessageBatch] = []
    batch: lc.MessageBatch | None = None
    live = [tag for tag in path[1:] if tag == "cancel_initiated"]
    early = draw(ANY) % (updates + 1) if updates and live else updates
    tags = [*path[:1], *("counts_updated",) * early, *live, *("counts_updated",) * (updates - early)]
    tags += path[1 + len(live) :]
    for tag in tags:
        event = next_event(draw, tag, batch, hosted=hosted, archives="archived" in path)
        if isinstance(event, lc.Created) and batch_id is not None:
            event = attrs.evolve(event, id=batch_id)
        batch = lc.evolve(batch, event)
        events.append(event)
        batches.append(batch)
    return events, batches


# -------------------------------------------------------------------------------------------------- the strategies


def request_counts(*, total: int | None = None) -> st.SearchStrategy[lc.RequestCounts]:
    """
    Counts of a batch, anywhere between all in processing and all done.

    Args:
        total: What they add up to; None for any number that the wire can hold.

    Returns:
        A strategy for `RequestCounts` without a negative number.

    Raises:
        ValueError: *total* is negative.
        TypeError: *total* is no whole number.
    """
    if total is not None:
        _size("total", total, 0)
    return _request_counts(total)


@st.composite
def _request_counts(draw: st.DrawFn, total: int | None) -> lc.RequestCounts:
    number = size(draw, hosted=False) if total is None else total
    return counted(**split(draw, number, ("processing", *OUTCOMES)))


def batches(*, phase: lc.Phase | None = None, profile: lc.Profile = lc.LAWS) -> st.SearchStrategy[lc.MessageBatch]:
    """
    Legal batches.

    Args:
        phase: Where in their lives they are; None for anywhere. A batch that was deleted has a `deleted_at`.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for batches; ``check(batch, profile=profile)`` gives ``()``.

    Raises:
        ValueError: *phase* is no phase.
        TypeError: *profile* is no profile.
    """
    return _batches(paths(None if phase is None else [phase], len(lc.Phase)), hosted=is_hosted(profile))


@st.composite
def _batches(draw: st.DrawFn, choice: Sequence[Path], *, hosted: bool) -> lc.MessageBatch:
    return some_batch(draw, draw(st.sampled_from(choice)), hosted=hosted)


def some_batch(draw: st.DrawFn, path: Path, *, hosted: bool) -> lc.MessageBatch:
    """Draw a batch as it is after *path*."""
    _, found = life(draw, path, hosted=hosted)
    batch = found[-1]
    if hosted or batch.processing_status is lc.ProcessingStatus.ENDED:
        return batch
    # The laws let counts move and a URL stand before the end.
    counts = counted(**split(draw, batch.size, ("processing", *OUTCOMES)))
    url = draw(st.sampled_from([None, url_of(batch.id)]))
    return attrs.evolve(batch, request_counts=counts, results_url=url)


def events(*, before: lc.MessageBatch | None = None, profile: lc.Profile = lc.LAWS) -> st.SearchStrategy[lc.Event]:
    """
    Legal next events.

    Args:
        before: The batch that they come after; None gives `Created`.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for events that ``evolve(before, event, profile=profile)`` admits.

    Raises:
        ValueError: *before* breaks the rules itself, or was deleted: nothing may follow.
        TypeError: *before* is no batch, or *profile* no profile.
    """
    hosted = is_hosted(profile)
    tags = next_tags(before, profile)
    if not tags:
        raise ValueError("before: the batch was deleted, nothing may follow; build no strategy for it")
    return _events(tags, before, hosted=hosted)


def next_tags(before: lc.MessageBatch | None, profile: lc.Profile) -> Sequence[str]:
    """The tags of the events that `next_event` can make after *before*, which has to keep the rules."""
    if before is None:
        return ["created"]
    if not isinstance(before, lc.MessageBatch):
        raise TypeError(f"before: expected a MessageBatch or None, got {before!r}")
    broken = [found for found in lc.check(before, profile=profile) if found.rule.tier in profile.enforced]
    if broken:
        raise ValueError(f"before: expected a batch that keeps the rules, but {'; '.join(map(str, broken))}")
    found = [tag for (phase, tag) in lc.TRANSITIONS if phase is before.phase]
    if is_hosted(profile) and before.created_at > LAST - RESULTS_LIFETIME and "archived" in found:
        found.remove("archived")  # not before rule B15 has it, and that is later than any datetime
    return found


@st.composite
def _events(
    draw: st.DrawFn,
    tags: Sequence[str],
    before: lc.MessageBatch | None,
    *,
    hosted: bool,
) -> lc.Event:
    return next_event(draw, draw(st.sampled_from(tags)), before, hosted=hosted)


def event_streams(
    *, phases: lc.Phase | Iterable[lc.Phase] | None = None, max_size: int = 8, profile: lc.Profile = lc.LAWS
) -> st.SearchStrategy[tuple[lc.Event, ...]]:
    """
    Legal streams: the events of one batch in order, from `Created` on.

    Args:
        phases: Where they may end, a phase or several; None for anywhere.
        max_size: How many events they have at most.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for tuples of events that ``fold(stream, profile=profile)`` admits.

    Raises:
        ValueError: No stream of *max_size* events leads to any of *phases*, or one of them is no phase.
        TypeError: *phases* are none, *max_size* is no whole number, or *profile* no profile.
    """
    _size("max_size", max_size)
    return _streams(paths(phases, max_size), max_size, hosted=is_hosted(profile)).map(lambda found: tuple(found[0]))


@st.composite
def _streams(
    draw: st.DrawFn,
    choice: Sequence[Path],
    max_size: int,
    *,
    hosted: bool,
    batch_id: str | None = None,
) -> tuple[list[lc.Event], list[lc.MessageBatch]]:
    path = draw(st.sampled_from(choice))
    updates = draw(ANY) % (max_size - len(path) + 1)
    return life(draw, path, hosted=hosted, updates=updates, batch_id=batch_id)


def logs(
    *,
    phases: lc.Phase | Iterable[lc.Phase] | None = None,
    max_streams: int = 3,
    max_size: int = 8,
    repeats: bool = False,
    profile: lc.Profile = lc.LAWS,
) -> st.SearchStrategy[tuple[lc.Record, ...]]:
    """
    Legal logs: the records of several streams, interleaved.

    Args:
        phases: Where the streams may end, a phase or several; None for anywhere.
        max_streams: How many streams there are at most; there is one at least.
        max_size: How many events a stream has at most.
        repeats: Whether records may come again as they are, as where each is delivered at least once (rule L4).
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for tuples of records; ``audit(records, profile=profile)`` finds nothing.

    Raises:
        ValueError: As `event_streams`; or *max_streams* is below 1.
        TypeError: *phases* are none, *max_streams* or *max_size* is no whole number, or *profile* no profile.
    """
    _size("max_streams", max_streams)
    _size("max_size", max_size)
    return _logs(paths(phases, max_size), max_streams, max_size, repeats=repeats, hosted=is_hosted(profile))


@st.composite
def _logs(
    draw: st.DrawFn,
    choice: Sequence[Path],
    max_streams: int,
    max_size: int,
    *,
    repeats: bool,
    hosted: bool,
) -> tuple[lc.Record, ...]:
    found = []
    for number in range(1 + draw(ANY) % max_streams):
        batch_id = draw(IDS) if number == 0 else f"msgbatch_0{number + 1}"
        stream, _ = draw(_streams(choice, max_size, hosted=hosted, batch_id=batch_id))
        found.append(records(batch_id, stream, draw(_EVENT_IDS)))
    return interleaved(draw, found, repeats=repeats)


_EVENT_IDS = st.sampled_from([None, None, "evt-{}"])


def records(batch_id: str, stream: Sequence[lc.Event], event_id: str | None = None) -> list[lc.Record]:
    """The records of a stream, each recorded when it happened; *event_id* has a place for the version."""
    found: list[lc.Record] = []
    for version, event in enumerate(stream, 1):
        happened = time_of(event) or found[-1].recorded_at
        name = None if event_id is None else event_id.format(version)
        found.append(lc.Record(batch_id, version, event, name, happened))
    return found


def time_of(event: lc.Event) -> datetime | None:
    """When *event* happened, if it says so."""
    match event:
        case lc.Created():
            return event.created_at
        case lc.CountsUpdated():
            return None
        case lc.CancelInitiated():
            return event.cancel_initiated_at
        case lc.Ended():
            return event.ended_at
        case lc.Archived():
            return event.archived_at
        case lc.Deleted():
            return event.deleted_at
        case _:
            assert_never(event)


def interleaved(
    draw: st.DrawFn, streams: Sequence[Sequence[lc.Record]], *, repeats: bool = False
) -> tuple[lc.Record, ...]:
    """Draw an order of the records of *streams* that keeps each stream's own; `recorded_at` never steps back."""
    waiting = [list(reversed(stream)) for stream in streams if stream]
    found: list[lc.Record] = []
    while waiting:
        place = draw(ANY) % len(waiting) if len(waiting) > 1 else 0
        record = waiting[place].pop()
        if found and record.recorded_at < found[-1].recorded_at:
            record = attrs.evolve(record, recorded_at=found[-1].recorded_at)
        found.append(record)
        if not waiting[place]:
            del waiting[place]
        if repeats and draw(st.booleans()):
            again = found[-1 - draw(ANY) % len(found)]
            found.append(attrs.evolve(again, recorded_at=record.recorded_at))
    return tuple(found)


_ON_THE_WIRE = paths(set(lc.Phase) - {lc.Phase.DELETED}, len(lc.Phase))


def snapshots(*, phase: lc.Phase | None = None, profile: lc.Profile = lc.LAWS) -> st.SearchStrategy[lc.MessageBatch]:
    """
    Legal snapshots: batches as a server shows them, never deleted; under `LAWS` some have unknown keys in `extra`.

    Args:
        phase: Where in their lives they are; None for anywhere.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for batches that `lifecycle.wire` encodes; ``check(batch, profile=profile)`` gives ``()``.

    Raises:
        ValueError: *phase* is no phase, or ``deleted``: of a deleted batch nothing is shown.
        TypeError: *profile* is no profile.
    """
    if phase is not None and _phase(phase) is lc.Phase.DELETED:
        raise ValueError("phase: of a deleted batch a server shows nothing; batches(phase=...) has it")
    choice = _ON_THE_WIRE if phase is None else paths([phase], len(lc.Phase))
    return _snapshots(choice, hosted=is_hosted(profile))


_EXTRAS = st.sampled_from([None, None, None, "total", "archive_at"])


@st.composite
def _snapshots(draw: st.DrawFn, choice: Sequence[Path], *, hosted: bool) -> lc.MessageBatch:
    batch = some_batch(draw, draw(st.sampled_from(choice)), hosted=hosted)
    if hosted:
        return batch
    match draw(_EXTRAS):
        case None:
            return batch
        case "total":
            counts = attrs.evolve(batch.request_counts, extra={"total": batch.size})
            return attrs.evolve(batch, request_counts=counts)
        case key:
            return attrs.evolve(batch, extra={key: None, "gateway": {"region": "eu", "hops": [1, 2]}})


def wire_batches(*, phase: lc.Phase | None = None, profile: lc.Profile = lc.LAWS) -> st.SearchStrategy[bytes]:
    """
    Bodies of legal snapshots, as a server sends them.

    Args:
        phase: Where in their lives the batches are; None for anywhere.
        profile: Under `HOSTED` the recorded form only, to the byte. Under `LAWS` whatever reading has to accept: ``Z``
            and other offsets, a missing nullable key, any order and white space, unknown keys.

    Returns:
        A strategy for bytes that `lifecycle.wire.decode_batch` reads.

    Raises:
        ValueError: As `snapshots`.
        TypeError: *profile* is no profile.
    """
    found = snapshots(phase=phase, profile=profile)
    return found.map(wire.encode_batch) if is_hosted(profile) else _bodies(found)


_FORMS = st.sampled_from(["recorded", "recorded", "recorded", "Z", "offset", "missing", "reversed"])
_TIMES = ("created_at", "expires_at", "ended_at", "archived_at", "cancel_initiated_at")


@st.composite
def _bodies(draw: st.DrawFn, of: st.SearchStrategy[lc.MessageBatch]) -> bytes:
    batch, form = draw(of), draw(_FORMS)
    if form == "recorded":
        return wire.encode_batch(batch)
    shown = wire.unstructure_batch(batch)
    times = {key: time for key in _TIMES if (time := getattr(batch, key)) is not None}
    match form:
        case "Z":
            shown |= {key: shown[key].replace("+00:00", "Z") for key in times}
        case "offset":
            shown |= {key: _elsewhere(time).isoformat() for key, time in times.items()}
        case "missing":
            shown = {key: value for key, value in shown.items() if value is not None}
        case _:
            return json.dumps(dict(reversed(shown.items())), indent=2, ensure_ascii=False).encode()
    return json.dumps(shown).encode()


def _elsewhere(time: datetime) -> datetime:
    """The same time on a clock far from Greenwich; where the years end, on the side where it has a date."""
    offset = timedelta(hours=5, minutes=30)
    return time.astimezone(timezone(offset if time.year < 9999 else -offset))


def poll_sequences(
    *,
    stale: bool = False,
    reordered: bool = False,
    max_size: int = 8,
    profile: lc.Profile = lc.LAWS,
) -> st.SearchStrategy[tuple[lc.MessageBatch, ...]]:
    """
    What a poller sees of one life: snapshots in order, with repeats, and with phases that no poll fell into.

    Args:
        stale: Whether a snapshot may be followed by an older one, as from a cache.
        reordered: Whether snapshots may come in any order at all, as where polls overtake one another.
        max_size: How many snapshots there are at most; there is one at least.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for tuples of snapshots. Unless *stale* or *reordered*, each may follow the one before it:
        ``check(after, before=before, profile=profile)`` gives ``()``.

    Raises:
        ValueError: *max_size* is below 1.
        TypeError: *max_size* is no whole number, or *profile* no profile.
    """
    _size("max_size", max_size)
    return _polls(max_size, stale=stale, reordered=reordered, hosted=is_hosted(profile))


_STEPS = st.sampled_from([1, 0, 2, 3, 1, 0])


@st.composite
def _polls(
    draw: st.DrawFn,
    max_size: int,
    *,
    stale: bool,
    reordered: bool,
    hosted: bool,
) -> tuple[lc.MessageBatch, ...]:
    _, states = draw(_streams(_ON_THE_WIRE, 8, hosted=hosted))
    count = 1 + draw(ANY) % max_size
    place, found = 0, []
    for _ in range(count):
        place = min(place + draw(_STEPS), len(states) - 1)
        seen = place - draw(ANY) % (place + 1) if stale and place else place
        found.append(states[seen])
    if reordered:
        for place in range(count - 1):
            other = place + draw(ANY) % (count - place)
            found[place], found[other] = found[other], found[place]
    return tuple(found)


def commands(*, before: lc.MessageBatch | None = None, profile: lc.Profile = lc.LAWS) -> st.SearchStrategy[lc.Command]:
    """
    Commands that are accepted: what may be asked for next, or again.

    Args:
        before: The batch as it stands; None gives `Create`.
        profile: Which rules they keep; under `HOSTED` advice, too.

    Returns:
        A strategy for commands; ``decide(before, command, profile=profile)`` gives an event, or ``()`` for what was
        asked before. After ``deleted`` only the latter are left.

    Raises:
        ValueError: *before* breaks the rules itself.
        TypeError: *before* is no batch, or *profile* no profile.
    """
    return _commands(next_tags(before, profile), before, hosted=is_hosted(profile))


@st.composite
def _commands(
    draw: st.DrawFn,
    tags: Sequence[str],
    before: lc.MessageBatch | None,
    *,
    hosted: bool,
) -> lc.Command:
    again = [] if before is None else _repeated(before)
    place = draw(ANY) % (len(tags) + len(again))
    if place >= len(tags):
        return again[place - len(tags)]
    return command_for(next_event(draw, tags[place], before, hosted=hosted))


def _repeated(batch: lc.MessageBatch) -> list[lc.Command]:
    """What was asked of *batch* already."""
    now = latest(batch)
    found: list[lc.Command] = [
        lc.RecordProgress(batch.request_counts),
        lc.Create(batch.id, batch.created_at, batch.expires_at, batch.size),
    ]
    if batch.cancel_initiated_at is not None:
        found.append(lc.Cancel(now))
    if batch.processing_status is lc.ProcessingStatus.ENDED:
        found.append(lc.End(now, batch.request_counts, batch.results_url))
    if batch.archived_at is not None:
        found.append(lc.Archive(now))
    if batch.deleted_at is not None:
        found.append(lc.Delete(now))
    return found


def command_for(event: lc.Event) -> lc.Command:
    """The command that asks for *event*."""
    match event:
        case lc.Created():
            return lc.Create(event.id, event.created_at, event.expires_at, event.request_count)
        case lc.CountsUpdated():
            return lc.RecordProgress(event.request_counts)
        case lc.CancelInitiated():
            return lc.Cancel(event.cancel_initiated_at)
        case lc.Ended():
            return lc.End(event.ended_at, event.request_counts, event.results_url)
        case lc.Archived():
            return lc.Archive(event.archived_at, event.results_url)
        case lc.Deleted():
            return lc.Delete(event.deleted_at)
        case _:
            assert_never(event)


# ------------------------------------------------------------------------------------------------- for the entry point


def for_type(kind: type) -> st.SearchStrategy[Any]:
    """The strategy of a type: what ``st.from_type`` gives, by way of the entry point."""
    if kind in _TAGS:
        return _events_of(_TAGS[kind])
    if kind in _COMMANDS:
        return _events_of(_COMMANDS[kind]).map(command_for)
    return _OTHERS[kind]()


_TAGS: Mapping[type, str] = {
    cls: cls.tag for cls in (lc.Created, lc.CountsUpdated, lc.CancelInitiated, lc.Ended, lc.Archived, lc.Deleted)
}
_COMMANDS: Mapping[type, str] = {
    lc.Create: "created",
    lc.RecordProgress: "counts_updated",
    lc.Cancel: "cancel_initiated",
    lc.End: "ended",
    lc.Archive: "archived",
    lc.Delete: "deleted",
}
_OTHERS: Mapping[type, Callable[[], st.SearchStrategy[Any]]] = {
    lc.MessageBatch: batches,
    lc.RequestCounts: request_counts,
    lc.Deadlines: lambda: batches().map(lc.deadlines),
    lc.Outcome: lambda: batches().map(lc.outcome),
    lc.Record: lambda: logs(max_streams=1).map(lambda found: found[-1]),
    lc.Profile: lambda: st.sampled_from([lc.LAWS, lc.HOSTED]),
    lc.Rule: lambda: st.sampled_from(list(lc.RULES.values())),
}


@st.composite
def _events_of(draw: st.DrawFn, tag: str) -> lc.Event:
    """Draw an event with this tag, as it may stand in some legal stream."""
    updates = 1 if tag == "counts_updated" else 0
    path = draw(st.sampled_from([path for path, _ in PATHS if updates or path[-1] == tag]))
    found, _ = life(draw, path, hosted=False, updates=updates)
    return next(event for event in found if event.tag == tag)
