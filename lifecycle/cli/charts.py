"""
Charts as inline SVG, for `lifecycle.cli.page`.

Widths are percentages and heights pixels, so a chart fits any window and its text keeps its size.  Colours are classes
of ``page.css``; nothing is said by a colour alone.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import groupby
from math import ceil, log10
from typing import Final

import attrs

from lifecycle.cli.batch_view import COUNTS
from lifecycle.cli.output import plural, safe
from lifecycle.engines.survey import PARTS, Column, Moment, Stays
from lifecycle.rules import Tier

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_YEAR = 31_557_600

# ---------------------------------------------------------------------------------------------------------------- words


def cut(text: str, limit: int) -> str:
    """Text from data, made harmless, and cut where it is too long; then it says so. It still has to be escaped."""
    shown = safe(text[:limit])  # the rest may be long
    if len(text) <= limit and len(shown) <= limit:
        return shown
    return f"{shown[:limit]}… ({len(text):,} characters)"


def number_text(number: int) -> str:
    """A number, in few letters: ``12,345`` or ``1.25 M``."""
    for unit, name in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if abs(number) >= unit:
            return f"{f'{number / unit:.2f}'.rstrip('0').rstrip('.')} {name}"
    return f"{number:,}"


def stay_text(stay: timedelta) -> str:
    """How long something took, in its two largest units: ``1 h 24 min``."""
    seconds = stay.total_seconds()
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, part, of in ((_YEAR, "y", _DAY, "d"), (_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min")):
        if whole >= unit:
            return f"{whole // unit:,} {name} {whole % unit // part} {of}"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s"


def time_text(second: int) -> str:
    """A time in seconds since 1970, to the second."""
    return _time(second).replace(tzinfo=None).isoformat(" ", "seconds")


_YEARS = [(datetime(*day, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) for day in ((1, 1, 1), (9999, 12, 31))]


def _time(second: int) -> datetime:
    """The same as a time; what is drawn may begin a little before all years, and end a little after them."""
    return _EPOCH + timedelta(seconds=min(max(second, _YEARS[0]), _YEARS[1]))


# ------------------------------------------------------------------------------------------------------------ elements


def chart(name: str, height: int, title: str, text: str, parts: Iterable[str], *, kind: str = "") -> str:
    """A drawing with its title and a description for who cannot see it. *title* and *text* are plain text."""
    return (
        f'<svg role="img" height="{height}" aria-labelledby="{name}-title {name}-text"'
        f"{class_(kind)}>"
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(text)}</desc>'
        f"{''.join(parts)}</svg>\n"
    )


def class_(kind: str) -> str:
    """The attribute that says what an element is; none for nothing."""
    return f' class="{kind}"' if kind else ""


def _share(part: float) -> str:
    """A percentage, from a part of 1."""
    return f"{f'{100 * part:.3f}'.rstrip('0').rstrip('.')}%"


def _pixels(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rect(x: float, width: float, y: float, height: float, kind: str = "", content: str = "") -> str:
    place = f'x="{_share(x)}" width="{_share(width)}" y="{_pixels(y)}" height="{_pixels(height)}"'
    return f"<rect{class_(kind)} {place}>{content}</rect>" if content else f"<rect{class_(kind)} {place}/>"


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_share(x1)}" x2="{_share(x2)}" y1="{_pixels(y1)}" y2="{_pixels(y2)}"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{class_(kind)} x="{_share(x)}" y="{_pixels(y)}"{where}>{escape(text)}</text>'


def _anchor(x: float) -> str:
    """Where a text at *x* may hang without leaving the drawing."""
    return "start" if x < 0.06 else "end" if x > 0.94 else "middle"


def bar(part: float, kind: str) -> str:
    """A bar that fills *part* of its cell. It says nothing that the number beside it does not."""
    filled = _rect(0, max(part, 0.004), 0, 6, f"bar {kind}")
    return f'<svg height="6" aria-hidden="true">{_rect(0, 1, 0, 6, "rail")}{filled}</svg>'


_HATCHES = {
    "errored": '<path class="hatch" d="M-1 1 1-1M0 6 6 0M5 7 7 5"/>',
    "canceled": '<path class="hatch" d="M0 3H6"/>',
    "expired": '<circle class="dots" cx="3" cy="3" r="1.1"/>',
}
"""What tells counts apart beside their colours."""

PATTERNS: Final = (
    '<svg width="0" height="0" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="of-{name}" width="6" height="6" patternUnits="userSpaceOnUse">{mark}</pattern>'
        for name, mark in _HATCHES.items()
    )
    + "</defs></svg>\n"
)
"""Stands once on a page with charts."""


def swatch(name: str) -> str:
    """What stands for a count in a legend."""
    over = f'<rect width="16" height="16" fill="url(#of-{name})"/>' if name in _HATCHES else ""
    return f'<svg aria-hidden="true"><rect class="{name}" width="16" height="16"/>{over}</svg>'


# ----------------------------------------------------------------------------------------------------------- over time


@attrs.frozen
class Slot:
    """What happened in one of the equal parts of the time that is drawn."""

    start: int
    """Seconds since 1970."""
    levels: tuple[int, ...]
    """The five counts in the end, over all batches so far."""
    events: int
    """How many records there are."""
    findings: int
    """How many findings they gave."""


@attrs.frozen
class Span:
    """The time that is drawn, in equal parts."""

    step: int
    """How many seconds a part has."""
    slots: list[Slot]
    """The parts, in order."""
    outside: int
    """How many records are so far away in time that they are left out."""

    @property
    def start(self) -> int:
        """Where it begins, in seconds since 1970."""
        return self.slots[0].start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.slots[-1].start + self.step


_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
)
_FAR = 1000  # one record in so many may be left out, if that makes the others visible


def span_of(columns: Sequence[Column], width: int, most: int) -> Span:
    """
    Divide the time of a log into parts.

    Args:
        columns: What was recorded; at least one.
        width: How many seconds a column spans.
        most: How many parts there may be.
    """
    first, last = _visible(columns)
    needed = ceil((columns[last].start + width - columns[first].start) / most)
    step = next((one for one in _STEPS if one >= needed and one % width == 0), 0)
    if not step:
        step = ceil(needed / max(width, _DAY)) * max(width, _DAY)
    origin = columns[first].start // step * step
    moved = [[0] * len(COUNTS) for _ in range((columns[last].start - origin) // step + 1)]
    events, findings = [0] * len(moved), [0] * len(moved)
    levels = [0] * len(COUNTS)
    for place, column in enumerate(columns[: last + 1]):
        if place < first:  # it counts, though it is not drawn
            levels = list(map(sum, zip(levels, column.moved, strict=True)))
            continue
        slot = (column.start - origin) // step
        moved[slot] = list(map(sum, zip(moved[slot], column.moved, strict=True)))
        events[slot] += column.events
        findings[slot] += column.findings
    slots = []
    for number, change in enumerate(moved):
        levels = list(map(sum, zip(levels, change, strict=True)))
        slots.append(Slot(origin + number * step, tuple(levels), events[number], findings[number]))
    return Span(step, slots, sum(column.events for column in (*columns[:first], *columns[last + 1 :])))


def _visible(columns: Sequence[Column]) -> tuple[int, int]:
    """The first and the last column that are drawn: all, unless a few records are far away from all others."""
    spare = sum(column.events for column in columns) // _FAR
    first, last = 0, len(columns) - 1
    while first < last:
        gaps = [columns[place].start - columns[place - 1].start for place in range(first + 1, last + 1)]
        gap = max(gaps)
        middle = first + 1 + gaps.index(gap)
        before = sum(column.events for column in columns[first:middle])
        after = sum(column.events for column in columns[middle : last + 1])
        if 2 * gap <= columns[last].start - columns[first].start or min(before, after) > spare:
            break
        spare -= min(before, after)
        if before < after:
            first = middle
        else:
            last = middle - 1
    return first, last


def _ticks(span: Span) -> list[tuple[float, str, str]]:
    """Where times stand below a chart: the place from 0 to 1, the text, and a second line where there is any news."""
    length = span.end - span.start
    step = next((one for one in (*_STEPS, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY) if length <= 8 * one), 0)
    times = range(-(-span.start // step) * step, span.end + 1, step) if step else _months(span)
    found = []
    before = ""
    for second in times:
        time = _time(second)
        if step and step < _DAY:
            text, more = f"{time:%H:%M:%S}" if step < _MINUTE else f"{time:%H:%M}", f"{time.day} {time:%b} {time.year}"
        elif step:
            text, more = f"{time.day} {time:%b}", str(time.year)
        else:
            text, more = f"{time:%b} {time.year}" if length < 8 * _YEAR else str(time.year), ""
        found.append(((second - span.start) / length, text, "" if more == before else more))
        before = more
    return found


def _months(span: Span) -> list[int]:
    start, end = map(_time, (span.start, span.end))
    months = (end.year - start.year) * 12 + end.month - start.month
    step = next((one for one in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200) if months <= 8 * one), 24_000)
    first = start.year * 12 + start.month  # the month after, counted from 0
    return [
        (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
        for month in range(-(-first // step) * step, end.year * 12 + end.month, step)
    ]


def _time_axis(span: Span, y: float) -> str:
    parts = [_line(0, 1, y, y, "axis")]
    for number, (x, text, more) in enumerate(_ticks(span)):
        kind = "wide-only" if number % 2 else ""
        parts += [_line(x, x, y, y + 5, f"axis {kind}".rstrip()), _text(x, y + 18, text, kind, _anchor(x))]
        if more:
            parts.append(_text(x, y + 33, more, kind, _anchor(x)))
    return "".join(parts)


def _top(value: int) -> int:
    """A round number that is no less than *value*, and easy to halve."""
    if value < 10:
        return max(2, value + value % 2)
    unit: int = 10 ** (len(str(value)) - 2)
    return unit * next(part for part in (10, 12, 14, 16, 20, 24, 30, 40, 50, 60, 80, 100) if part * unit >= value)


def _plot(name: str, title: str, text: str, height: int, top: int, parts: Iterable[str], span: Span) -> str:
    """A chart over time, *height* pixels high, with a scale from 0 to *top* beside it."""
    levels = [(_TOP + height * (1 - value / top), value) for value in (0, top // 2, top)]
    grid = [_line(0, 1, at, at, "grid") for at, value in levels if value]
    numbers = [_text(1, at + 4, number_text(value), "", "end") for at, value in levels]
    return (
        f'<div class="plot"><svg height="{_TOP + height + 40}" aria-hidden="true">{"".join(numbers)}</svg>\n'
        f"{chart(name, _TOP + height + 40, title, text, (*grid, *parts, _time_axis(span, _TOP + height)))}</div>\n"
    )


def _area(span: Span, place: Sequence[int], scale: float, bottom: float, kind: str) -> str:
    """The sum of some counts over time, on top of those before them: *place* is which of the counts, the last drawn."""
    edges = []
    for slot in span.slots:
        below = bottom - sum(max(0, slot.levels[one]) for one in place[:-1]) * scale
        edges.append((round(below, 1), round(below - max(0, slot.levels[place[-1]]) * scale, 1)))
    width = 1 / len(edges)
    found, begun = [], 0
    for (low, high), run in groupby(edges):
        count = sum(1 for _ in run)
        if low > high:
            found.append(_rect(begun * width, count * width, high, low - high))
        begun += count
    if not found:
        return ""
    area = f'<g class="columns {kind}">{"".join(found)}</g>'
    return area + (f'<g class="columns" fill="url(#of-{kind})">{"".join(found)}</g>' if kind in _HATCHES else "")


_TOP = 8  # pixels above a chart over time
STACK: Final = (1, 2, 3, 4, 0)
"""Which counts lie on which, by their places: what is done at the bottom, what is not at the top."""


def requests_chart(span: Span) -> str:
    """All requests over time, by what has become of them."""
    height = 240
    top = _top(max(sum(max(0, level) for level in slot.levels) for slot in span.slots))
    areas = [
        _area(span, STACK[: number + 1], height / top, _TOP + height, COUNTS[place])
        for number, place in enumerate(STACK)
    ]
    width = 1 / len(span.slots)
    hovers = [
        _rect(number * width, width, _TOP, height, "hover", f"<title>{escape(_slot_text(slot, span.step))}</title>")
        for number, slot in enumerate(span.slots)
    ]
    said = ", ".join(f"{level:,} {name}" for name, level in zip(COUNTS, span.slots[-1].levels, strict=True))
    return _plot("requests", "Requests over time", f"In the end: {said}.", height, top, (*areas, *hovers), span)


def _slot_text(slot: Slot, step: int) -> str:
    counts = ", ".join(f"{max(0, slot.levels[place]):,} {COUNTS[place]}" for place in STACK)
    seen = f"{plural(slot.events, 'event')}, {plural(slot.findings, 'finding')}"
    return f"until {time_text(slot.start + step)}: {counts}; {seen}"


def waiting_chart(span: Span) -> str:
    """The requests in processing alone, which are few among all of them."""
    height = 80
    most = max(max(0, slot.levels[0]) for slot in span.slots)
    top = _top(most)
    area = _area(span, (0,), height / top, _TOP + height, COUNTS[0])
    return _plot("waiting", "Requests in processing", f"At most {most:,} at a time.", height, top, (area,), span)


def findings_chart(span: Span) -> str:
    """When the events were recorded that gave findings."""
    height = 60
    most = max(slot.findings for slot in span.slots)
    top = _top(most)
    width = 1 / len(span.slots)
    bars = [
        _rect(number * width, width, _TOP + height * (1 - slot.findings / top), height * slot.findings / top)
        for number, slot in enumerate(span.slots)
        if slot.findings
    ]
    drawn = f'<g class="columns bar law">{"".join(bars)}</g>'
    return _plot("found", "Findings over time", f"At most {most:,} in one column.", height, top, (drawn,), span)


# ------------------------------------------------------------------------------------------------------- in each phase

_DURATIONS = (
    *((1, "1 µs"), (10, "10 µs"), (100, "100 µs"), (10**3, "1 ms"), (10**4, "10 ms"), (10**5, "100 ms")),
    *((10**6, "1 s"), (10**7, "10 s"), (6 * 10**7, "1 min"), (6 * 10**8, "10 min"), (36 * 10**8, "1 h")),
    *((6 * 36 * 10**8, "6 h"), (_DAY * 10**6, "1 d"), (7 * _DAY * 10**6, "7 d"), (30 * _DAY * 10**6, "30 d")),
    *((n * _YEAR * 10**6, f"{n:,} y") for n in (1, 10, 100, 1000)),
)
_MERGED = 2  # classes to a bar


@attrs.frozen
class Durations:
    """The axis of durations that all phases share; it is logarithmic."""

    low: int
    """The class where it begins."""
    high: int
    """The class before which it ends."""

    def place(self, microseconds: float) -> float:
        """Where a duration lies, from 0 to 1."""
        at = PARTS * log10(max(microseconds, 1)) + 1
        return min(1.0, max(0.0, (at - self.low) / (self.high - self.low)))


def durations_of(stays: Iterable[Stays]) -> Durations:
    """The axis for all these; no time at all has no place on it, and is drawn at its beginning."""
    classes = [place for one in stays for place in one.classes if place] or [1]
    low = (min(classes) - 1) // _MERGED * _MERGED + 1
    return Durations(low, max(low + PARTS, (max(classes) - low) // _MERGED * _MERGED + _MERGED + low))


def stays_chart(name: str, stays: Stays, axis: Durations) -> str:
    """How long batches stayed in one phase."""
    height, y = 56, 20
    bars: dict[int, int] = {}
    for place, number in stays.classes.items():
        start = (max(place, axis.low) - axis.low) // _MERGED
        bars[start] = bars.get(start, 0) + number
    most = max(bars.values())
    width = _MERGED / (axis.high - axis.low)
    drawn = [
        _rect(start * width, width, y + height - (tall := max(1, height * number / most)), tall)
        for start, number in sorted(bars.items())
    ]
    median, ninety = stays.quantile(0.5), stays.quantile(0.9)
    at, later = (axis.place(one / timedelta(microseconds=1)) for one in (median, ninety))
    parts = [f'<g class="columns bar">{"".join(drawn)}</g>', _line(0, 1, y + height, y + height, "axis")]
    if later - at > 0.015:
        parts.append(_line(later, later, y - 4, y + height, "ninety"))
        if later - at > 0.3:
            parts.append(_text(later, y - 8, f"90 % within {stay_text(ninety)}", "wide-only", _anchor(later)))
    parts += [
        _line(at, at, y - 4, y + height, "median"),
        _text(at, y - 8, f"median {stay_text(median)}", "strong", _anchor(at)),
    ]
    text = f"{stays.number:,} stays; half of them within {stay_text(median)}, 90 % within {stay_text(ninety)}."
    return chart(f"in-{name}", y + height + 1, f"Time in the phase {name}", text, parts)


def durations_axis(axis: Durations) -> str:
    """The numbers below all phases."""
    parts: list[str] = []
    before = -1.0
    for microseconds, text in _DURATIONS:
        at = PARTS * log10(microseconds) + 1
        x = axis.place(microseconds)
        if axis.low <= at <= axis.high and x - before > (0.16 if x > 0.94 else 0.1):
            parts += [_line(x, x, 0, 5, "axis"), _text(x, 18, text, "", _anchor(x))]
            before = x
    return f'<svg height="24" aria-hidden="true">{"".join(parts)}</svg>\n'


# ----------------------------------------------------------------------------------------------------------- timelines

LETTERS: Final = {
    "created": "C",
    "counts_updated": "U",
    "cancel_initiated": "X",
    "ended": "E",
    "archived": "A",
    "deleted": "D",
}
"""What stands for an event on a timeline."""


def chosen(count: int, broken: int, around: int) -> list[int]:
    """Which of *count* events are shown: the first, the last, and those *around* the one that is *broken* first."""
    near = range(max(0, broken - around), min(count, broken + around + 1))
    return sorted({*range(min(3, count)), *near, count - 1})


def strip(name: str, moments: Sequence[Moment], broken: int, left: int) -> str:
    """
    A life as a row of events.

    Args:
        name: Of the drawing.
        moments: Its events.
        broken: Which of them breaks a law first.
        left: How many events follow the last.
    """
    steps: list[int | None] = []  # None: some are left out
    for place in chosen(len(moments), broken, 4):
        if steps and (steps[-1] != place - 1 or moments[place].skipped):
            steps.append(None)
        steps.append(place)
    if left:
        steps.append(None)
    places = [0.035 + 0.93 * number / max(1, len(steps) - 1) for number in range(len(steps))]
    first, y = places[steps.index(broken)], 38
    parts = [_line(places[0], first, y, y, "track"), _line(first, places[-1], y, y, "track after")]
    anchor = "start" if first < 0.15 else "end" if first > 0.85 else "middle"
    parts += [_text(first, 11, "first illegal", "flag", anchor), _text(first, 25, "▼", "flag", "middle")]
    for x, step in zip(places, steps, strict=True):
        if step is None:
            parts.append(_text(x, y + 4, "…", "gap", "middle"))
            continue
        moment = moments[step]
        kind = " ".join(("event", *([moment.tier] if moment.tier else []), *(["first"] if step == broken else [])))
        shape = (
            f'<rect class="{kind}" x="{_share(x)}" y="{y - 9}" width="18" height="18" transform="translate(-9)"/>'
            if moment.tier is Tier.LAW
            else f'<circle class="{kind}" cx="{_share(x)}" cy="{y}" r="9"/>'
        )
        parts += [
            shape,
            _text(x, y + 4, LETTERS[moment.tag], "letter first" if step == broken else "letter", "middle"),
            _text(x, y + 24, f"v{moment.version}" if moment.version < 1000 else "v…", "version", "middle"),
        ]
    told = ", ".join(
        "some left out" if step is None else f"{moments[step].tag}{' (first illegal)' if step == broken else ''}"
        for step in steps
    )
    return chart(name, y + 28, "The events of this batch", told, parts, kind="strip")
