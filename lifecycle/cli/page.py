"""
The page that ``lifecycle audit --html`` writes: one file, which loads nothing and runs nothing.

All of it is made here: there is no script, and its policy allows none, nor anything from elsewhere.  Text from data is
made harmless as on a terminal, cut, and escaped.  The size is bounded: charts have a fixed number of parts, and of the
broken batches some are shown (`lifecycle.engines.survey`).  The same log gives the same bytes.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files

import attrs

from lifecycle import RULES, Finding, Phase, Profile, Tier
from lifecycle.cli import charts
from lifecycle.cli.batch_view import COUNTS, time_text
from lifecycle.cli.charts import class_, cut, stay_text
from lifecycle.cli.output import NOTHING, plural
from lifecycle.engines.report import Audit, Ranked, Tally
from lifecycle.engines.survey import Life, Moment, Survey
from lifecycle.rules import WIRE, Rule

_ID = 100
"""How many characters of an id are shown."""
_FILE = 60
"""Of the name of a file."""
_MESSAGE = 300
"""Of what was seen."""
_FILES = 12
"""How many files are named."""
_SLOTS = 160
"""Into how many parts time is divided in a chart."""
_ROWS = 24
"""And in its table."""
_AROUND = 12
"""How many events of a life are listed before the first that breaks a law, and after it."""
_FOUND = 12
"""How many findings of one batch are quoted."""

_TIERS = {tier: place for place, tier in enumerate(Tier)}


def page(done: Audit, names: Sequence[str], profile: Profile) -> str:
    """
    Make the page.

    Args:
        done: What was found, with a survey; without one there are no charts and no timelines.
        names: The files and stores, in the order given.
        profile: Which rules counted.

    Returns:
        The page, which is to be written in UTF-8.
    """
    survey = done.survey or Survey()
    lives = survey.lives()
    tally, said = Tally(), {life.id: _Said(life, survey) for life in lives}
    for finding in tally.over(done.findings):
        if finding.batch_id in said:
            said[finding.batch_id].add(finding)
    style = files("lifecycle.cli").joinpath("page.css").read_text(encoding="utf-8")
    title = _title(done, names)
    body = "".join(
        (
            charts.PATTERNS,
            _head(done, survey, names, profile),
            _over_time(done, survey),
            _in_phases(done, survey),
            f'<div class="pair">\n{_by_rule(done, tally)}{_worst(tally, set(said), names)}</div>\n',
            _timelines(survey, lives, said, names),
            _foot(profile),
        )
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">To the report</a>\n{body}</body>\n</html>\n'
    )


# --------------------------------------------------------------------------------------------------------------- parts


def _data(text: str, limit: int) -> str:
    """Text from data, as it may stand in the page."""
    return escape(cut(text, limit))


def _id(batch_id: str) -> str:
    return f'<code class="id">{_data(batch_id, _ID) or "&nbsp;"}</code>'


def _badge(tier: Tier) -> str:
    return f'<span class="badge {tier}">{tier}</span>'


def _place(file: str | None, line: int | None) -> str:
    where = NOTHING if file is None else _data(file, _FILE)
    return where if line is None else f"{where}:{line}"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"


def _numbers(heads: Sequence[str], rows: Iterable[Sequence[str]], name: str) -> str:
    """A table of numbers below a chart, for who wants them, or cannot see the chart. All but the first are numbers."""
    head = "".join(f'<th scope="col"{class_("number" if place else "")}>{one}</th>' for place, one in enumerate(heads))
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(_number(one) for one in rest)}</tr>\n' for first, *rest in rows
    )
    return (
        f'<details><summary>{name}</summary>\n<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="slim"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div></details>\n'
    )


def _number(text: str) -> str:
    return f'<td class="number">{text}</td>'


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"<bdi>{_data(name, _MESSAGE)}</bdi>" for name in names[:_FILES])
    return f"{shown} and {len(names) - _FILES:,} more" if len(names) > _FILES else shown


def _title(done: Audit, names: Sequence[str]) -> str:
    first = _data(names[0], _FILE) if names else NOTHING
    return f"{_verdict(done)} – {first}"  # noqa: RUF001 -- an en dash


def _verdict(done: Audit) -> str:
    if done.broken:
        return f"{done.broken:,} of {plural(done.streams, 'batch')} {'breaks' if done.broken == 1 else 'break'} a law"
    total = sum(done.findings.tiers.values())
    if done.findings.tiers[Tier.LAW]:
        return f"No batch breaks a law, but {plural(done.findings.rules[WIRE.id], 'line')} cannot be read"
    if total:
        return f"No batch breaks a law; {plural(total, 'other finding')}"
    return "Nothing is wrong" if done.events else "There are no events"


def _head(done: Audit, survey: Survey, names: Sequence[str], profile: Profile) -> str:
    tiers = done.findings.tiers
    facts = [("events", done.events, False), ("batches", done.streams, False), ("with a broken law", done.broken, True)]
    facts += [
        (f"findings of {tier}", count, tier is Tier.LAW) for tier, count in tiers.items() if tier in profile.tiers
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd{class_('bad' if is_bad and number else '')}>{number:,}</dd></div>\n"
        for name, number, is_bad in facts
    )
    when = ""
    if survey.first is not None and survey.last is not None:
        when = f"Recorded from {_moment(survey.first)} to {_moment(survey.last)} UTC. "
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in _sections(done))
    return (
        f'<header>\n<p class="kicker">Audit of {_named(names)}</p>\n<h1>{_verdict(done)}</h1>\n'
        f'<p class="lead">{when}Judged by the profile {profile.name}.</p>\n'
        f'<dl class="figures">\n{shown}</dl>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n'
        '<main id="main">\n'
    )


def _sections(done: Audit) -> Iterator[tuple[str, str]]:
    if done.events:
        yield "time", "Requests over time"
        yield "phases", "Time in each phase"
    if any(done.findings.tiers.values()):
        yield "rules", "Findings by rule"
    if any(count for rule, count in done.findings.rules.items() if rule != WIRE.id):
        yield "worst", "The worst batches"
    if done.broken:
        yield "lives", "Timelines"


def _moment(time: datetime) -> str:
    return f'<time datetime="{time.isoformat()}">{time_text(time)}</time>'


# ----------------------------------------------------------------------------------------------------------- over time


def _over_time(done: Audit, survey: Survey) -> str:
    columns = survey.series.columns()
    if not columns:
        return ""
    span = charts.span_of(columns, survey.series.width, _SLOTS)
    last = span.slots[-1].levels
    total = sum(max(0, level) for level in last)
    legend = "".join(
        f"<li>{charts.swatch(COUNTS[place])}{COUNTS[place]} <b>{last[place]:,}</b>{_percent(last[place], total)}</li>"
        for place in reversed(charts.STACK)
    )
    coarse = charts.span_of(columns, survey.series.width, _ROWS)
    rows = [
        (
            charts.time_text(slot.start + coarse.step),
            *(f"{slot.levels[place]:,}" for place in charts.STACK),
            f"{slot.events:,}",
            f"{slot.findings:,}",
        )
        for slot in coarse.slots
    ]
    table = _numbers(
        ("until (UTC)", *(COUNTS[place] for place in charts.STACK), "events", "findings"), rows, "The numbers over time"
    )
    outside = ""
    if span.outside:
        events = f"{plural(span.outside, 'event')} of {done.events:,}"
        outside = f" {events} lie far outside this time; they count, but are not drawn."
    found = ""
    if any(slot.findings for slot in span.slots):
        found = (
            "<figure>\n<figcaption>Findings <span>by when the event was recorded</span></figcaption>\n"
            f"{charts.findings_chart(span)}</figure>\n"
        )
    return (
        '<section id="time" aria-labelledby="time-head">\n<h2 id="time-head">Requests over time</h2>\n'
        "<p>What had become of the requests of all batches so far, by the time at which each event was recorded (UTC). "
        f"Events that break a law are left out.{outside}</p>\n"
        f'<ul class="legend">{legend}</ul>\n<figure>\n<figcaption>All requests</figcaption>\n'
        f"{charts.requests_chart(span)}</figure>\n"
        f"<figure>\n<figcaption>In processing <span>on a scale of its own</span></figcaption>\n"
        f"{charts.waiting_chart(span)}</figure>\n{found}{table}</section>\n"
    )


def _percent(part: int, whole: int) -> str:
    """How much of the whole a part is, behind it; nothing where either is nothing."""
    if part <= 0 or whole <= 0:
        return ""
    share = 100 * part / whole
    text = f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 else "under 0.1 %"
    return f' <span class="soft">{text}</span>'


# ------------------------------------------------------------------------------------------------------- in each phase

_LEADS_ON = {
    Phase.IN_PROGRESS: "from created until canceled or ended",
    Phase.CANCELING: "until ended",
    Phase.ENDED: "until archived or deleted",
    Phase.ARCHIVED: "until deleted",
}


def _in_phases(done: Audit, survey: Survey) -> str:
    if not done.events:
        return ""
    drawn = [(phase, stays) for phase, stays in survey.stays.items() if stays.number]
    axis = charts.durations_of(stays for _, stays in drawn)
    shown = "".join(
        f'<div class="phase"><p><b>{phase}</b>{plural(stays.number, "stay")}, {_LEADS_ON[phase]}</p>\n'
        f"<div>{charts.stays_chart(phase, stays, axis)}</div></div>\n"
        for phase, stays in drawn
    )
    if drawn:
        shown += f'<div class="phase"><p></p><div>{charts.durations_axis(axis)}</div></div>\n'
    rows = []
    for phase, count in done.phases.items():
        some = survey.stays.get(phase)
        spans = [NOTHING] * 5
        if some is not None and some.number:
            quantiles = [some.quantile(part) for part in (0.5, 0.9, 0.99)]
            spans = [stay_text(stay) for stay in (some.shortest, *quantiles, some.longest)]
        rows.append((phase, f"{count:,}", NOTHING if some is None else f"{some.number:,}", *spans))
    heads = ("phase", "in it now", "have left it", "shortest", "half within", "90 % within", "99 % within", "longest")
    return (
        '<section id="phases" aria-labelledby="phases-head">\n<h2 id="phases-head">Time in each phase</h2>\n'
        "<p>How long batches stayed in a phase, by the times that the events tell; only of stays that have ended. "
        "The scale is logarithmic. Medians and the like are exact to 12 %.</p>\n"
        f"{'' if drawn else '<p>No batch has left a phase yet.</p>'}<figure>\n{shown}</figure>\n"
        f"{_numbers(heads, rows, 'The numbers by phase')}</section>\n"
    )


# --------------------------------------------------------------------------------------------------------- the findings


def _rule(rule_id: str) -> Rule:
    return WIRE if rule_id == WIRE.id else RULES[rule_id]


def _code(text: str) -> str:
    """Text that is escaped, with what stands between backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", text)


def _by_rule(done: Audit, tally: Tally) -> str:
    found = sorted(
        ((_rule(rule_id), count) for rule_id, count in done.findings.rules.items() if count),
        key=lambda pair: (_TIERS[pair[0].tier], -pair[1]),
    )
    if not found:
        return ""
    most = max(count for _, count in found)

    def row(rule: Rule, count: int) -> str:
        batches = NOTHING if rule is WIRE else f"{tally.batches[rule.id]:,}"
        return (
            f'<tr><td class="full"><b>{rule.id}</b> {_badge(rule.tier)}</td>'
            f'<td class="wide full">{_code(escape(rule.sentence))}{charts.bar(count / most, rule.tier)}</td>'
            f'<td class="number" data-head="findings">{count:,}</td>'
            f'<td class="number" data-head="batches">{batches}</td></tr>\n'
        )

    table = _table(("rule", "what must hold", "#findings", "#batches"), [row(*pair) for pair in found])
    return (
        '<section id="rules" aria-labelledby="rules-head">\n<h2 id="rules-head">Findings by rule</h2>\n'
        "<p>A broken <b>law</b> cannot be: the event is left out. A broken <b>contract</b> is what the hosted API "
        f"promises otherwise, and <b>advice</b> is suspicious at most; such events count.</p>\n{table}</section>\n"
    )


def _table(heads: Sequence[str], rows: Iterable[str]) -> str:
    """A table that becomes a list where there is no room. A column whose head starts with ``#`` holds numbers."""
    head = "".join(
        f'<th scope="col"{class_("number" if name.startswith("#") else "")}>{name.removeprefix("#")}</th>'
        for name in heads
    )
    return f'<table class="ranks stack"><thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table>\n'


def _anchor(batch_id: str) -> str:
    """The name of a batch's timeline in the page; its id may be anything."""
    return f"life-{hashlib.blake2b(batch_id.encode(), digest_size=8).hexdigest()}"


def _worst(tally: Tally, shown: set[str], names: Sequence[str]) -> str:
    if not tally.worst:
        return ""
    most = tally.worst[0].findings

    def name(one: Ranked) -> str:
        text = _id(one.batch_id)
        return f'<a href="#{_anchor(one.batch_id)}">{text}</a>' if one.batch_id in shown else text

    def tier(one: Ranked) -> Tier:
        return min((_rule(rule_id).tier for rule_id in one.rules), key=_TIERS.__getitem__)

    rows = [
        f'<tr><td class="wide full">{name(one)}{charts.bar(one.findings / most, tier(one))}</td>'
        f'<td class="number" data-head="findings">{one.findings:,}</td><td class="where">{_rules(one)}</td>'
        f'<td class="where full">{_where(one.first.file, one.first.line, names)}</td></tr>\n'
        for one in tally.worst
    ]
    return (
        '<section id="worst" aria-labelledby="worst-head">\n<h2 id="worst-head">The worst batches</h2>\n'
        "<p>Those with the most findings, ten at most. The whole list is what the command itself writes.</p>\n"
        f"{_table(('batch', '#findings', 'rules', 'first at'), rows)}</section>\n"
    )


def _rules(one: Ranked) -> str:
    return ", ".join(f"{rule_id} × {count:,}" if count > 1 else rule_id for rule_id, count in one.rules.items())  # noqa: RUF001 -- times


def _where(file: str | None, line: int | None, names: Sequence[str]) -> str:
    """A place; where there is one file only, its line is enough."""
    return f"line {line:,}" if len(names) == 1 and line is not None else _place(file, line)


# ----------------------------------------------------------------------------------------------------------- timelines


@attrs.define
class _Said:
    """What is said of a batch's events."""

    life: Life
    survey: Survey
    moments: list[Moment] = attrs.field(init=False)
    found: list[Finding] = attrs.field(init=False, factory=list)
    """The findings of the first event that breaks a law, and some others."""

    def __attrs_post_init__(self) -> None:
        self.moments = self.life.moments(self.survey.files)

    def add(self, finding: Finding) -> None:
        if len(self.found) < _FOUND or self.of(self.moments[self.life.broken], finding):
            self.found.append(finding)

    def of(self, moment: Moment, finding: Finding) -> bool:
        """Whether a finding is of this event."""
        return (finding.version, finding.file, finding.line) == (moment.version, moment.file, moment.line)


def _timelines(survey: Survey, lives: Sequence[Life], said: dict[str, _Said], names: Sequence[str]) -> str:
    if not lives:
        return ""
    total = survey.broken
    which = f"All {total:,} batches with a broken law, those with the most findings first."
    if total == 1:
        which = "The only batch with a broken law."
    elif total > len(lives):
        which = (
            f"A sample: {len(lives):,} of the {total:,} batches with a broken law, those with the most findings first. "
            f"{survey.worst} of them have the most findings of all; the others were drawn by chance, which is the same "
            "in every run."
        )
    letters = "".join(f"<li><b>{letter}</b> {tag.replace('_', ' ')}</li>" for tag, letter in charts.LETTERS.items())
    cards = "".join(_card(said[life.id], names) for life in lives)
    return (
        '<section id="lives" aria-labelledby="lives-head">\n<h2 id="lives-head">Timelines</h2>\n'
        f"<p>{which} A filled square is the first event that breaks a law, an empty one breaks a law later on; "
        "a dashed circle breaks a contract or advice. Laws are judged as if the events that break one had not been."
        "</p>\n"
        f'<ul class="legend">{letters}</ul>\n<div class="lives">\n{cards}</div>\n</section>\n'
    )


def _card(said: _Said, names: Sequence[str]) -> str:
    life, moments, broken = said.life, said.moments, said.life.broken
    name = _anchor(life.id)
    left = life.events - sum(moment.skipped for moment in moments) - len(moments)
    first = moments[broken]
    told: list[Finding] = []
    others: list[Finding] = []
    for finding in said.found:
        (told if said.of(first, finding) else others).append(finding)
    lines = "".join(f'<p class="said">{_seen(finding)}</p>\n' for finding in told[:4])
    after = f"Allowed: {', '.join(told[0].allowed) or 'nothing'}." if told else ""
    more = life.findings - min(len(told), 4)
    return (
        f'<article class="life" id="{name}" aria-labelledby="{name}-head">\n<h3 id="{name}-head">{_id(life.id)}</h3>\n'
        f'<p class="meta">{plural(life.events, "event")}, {plural(life.findings, "finding")}; '
        f"recorded from {_moment(moments[0].recorded_at)} UTC</p>\n"
        f"{charts.strip(f'{name}-strip', moments, broken, left)}{lines}"
        f'<p class="meta">First illegal: version {first.version}, {first.tag}, at '
        f"{_where(first.file, first.line, names)}. {after}"
        f"{_more(more)}</p>\n"
        f"{_events(said, others, left, names)}</article>\n"
    )


def _seen(finding: Finding, where: str = "") -> str:
    return f"{_badge(finding.rule.tier)} <b>{finding.rule.id}</b>{where} {_code(_data(finding.message, _MESSAGE))}"


def _more(count: int) -> str:
    return f" {plural(count, 'more finding')} below." if count else ""


def _events(said: _Said, others: Sequence[Finding], left: int, names: Sequence[str]) -> str:
    moments = said.moments
    rows, before = [], -1
    for place in charts.chosen(len(moments), said.life.broken, _AROUND):
        moment = moments[place]
        skipped = place - before - 1 + sum(one.skipped for one in moments[before + 1 : place + 1])
        if skipped:
            rows.append(f'<tr><td colspan="5" class="soft">{plural(skipped, "event")} left out</td></tr>\n')
        before = place
        found = [finding.rule.id for finding in said.found if said.of(moment, finding)]
        broke = f"{_badge(moment.tier)} {', '.join(found)}" if moment.tier else ""
        rows.append(
            _row(
                f"v{moment.version}",
                time_text(moment.recorded_at),
                moment.tag,
                _where(moment.file, moment.line, names),
                f"{broke}{' <b>first illegal</b>' if place == said.life.broken else ''}",
            )
        )
    if left:
        rows.append(f'<tr><td colspan="5" class="soft">{plural(left, "event")} left out</td></tr>\n')
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("version", "recorded (UTC)", "event", "where", "breaks")
    )
    notes = "".join(f'<p class="said">{_seen(finding, f" version {finding.version}:")}</p>\n' for finding in others)
    hidden = said.life.findings - len(said.found)
    if hidden:
        notes += f'<p class="meta">{plural(hidden, "more finding")} not shown.</p>\n'
    return (
        "<details><summary>Its events</summary>\n"
        '<div class="scroll" tabindex="0" role="region" aria-label="Its events">'
        f'<table class="slim"><thead><tr>{heads}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table></div>\n'
        f"{notes}</details>\n"
    )


def _foot(profile: Profile) -> str:
    return (
        "</main>\n<footer>\n"
        "<p>Times are UTC. Text from the log is shown as <code>lifecycle</code> shows it on a terminal: control, "
        "bidirectional and invisible characters as escapes such as <code>\\u202e</code>, and what is too long is cut, "
        "with its length.</p>\n"
        f"<p>What a rule says, and why: <code>lifecycle explain T1</code>. One batch in full: "
        f"<code>lifecycle show LOG ID --profile {profile.name}</code>. Every finding: <code>lifecycle audit LOG</code>."
        "</p>\n"
        "</footer>\n"
    )
