"""The commands that read no data: explain and machine. What they say is read off rulebook, chart and events."""

import difflib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import attrs

from lifecycle import RULES, Phase, RequestCounts, Rule, Tier, WireError, wire
from lifecycle.cli.batch_view import changes
from lifecycle.cli.examples import BATCHES, DAMAGED_LINE, EVENTS, EXAMPLES, Example, Snapshot, Step, record_of
from lifecycle.cli.machine_view import HEADER, arrows, mermaid
from lifecycle.cli.output import (
    CLEAN,
    NOTHING,
    STYLES,
    Prose,
    Table,
    UsageError,
    until_closed,
    write,
    write_json_array,
)
from lifecycle.machine import allowed
from lifecycle.rules import WIRE, Scope

_TIERS: Mapping[Tier, str] = {
    Tier.LAW: "holds for anything that calls itself a Message Batch; always enforced",
    Tier.CONTRACT: "documented by the hosted API, or held in every recording; enforced by the profile hosted",
    Tier.ADVICE: "suspicious, not wrong; reported by the profile hosted, never enforced",
}
_SCOPES: Mapping[Scope, str] = {
    Scope.BATCH: "one batch on its own",
    Scope.STEP: "one state of a batch and its next",
    Scope.LOG: "a record of a log and its stream",
}
_PHASES: Mapping[Phase, str] = {
    Phase.IN_PROGRESS: "Requests are being processed.",
    Phase.CANCELING: "Cancellation was asked for; requests that were already sent still finish.",
    Phase.ENDED: "Every request has succeeded, errored, been canceled or expired. It does not mean success.",
    Phase.ARCHIVED: 'The results are no longer available. On the wire the status is still "ended".',
    Phase.DELETED: "The batch was deleted; nothing may follow. The wire does not show it.",
}
_KINDS: Mapping[object, str] = {
    str: "text",
    str | None: "text or null",
    int: "whole number",
    datetime: "time",
    RequestCounts: "the five counts",
}


def explain(word: str) -> int:
    """
    Explain a rule, an event or a phase; a word that is both event and phase is explained as both.

    Raises:
        UsageError: *word* is none of them.
    """
    key = _key(word)
    rules = [rule for rule in (*RULES.values(), WIRE) if _key(rule.id) == key]
    tags = [tag for tag in EVENTS if _key(tag) == key]
    phases = [phase for phase in Phase if _key(phase) == key]
    if not (rules or tags or phases):
        raise UsageError(_unknown(word))
    with until_closed():
        prose = Prose()
        for rule in rules:
            _explain_rule(prose, rule)
        for tag in tags:
            _explain_event(prose, tag)
        for phase in phases:
            if tags:
                prose.add(0)
            _explain_phase(prose, phase)
    return CLEAN


def _key(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "")


def _unknown(word: str) -> str:
    known = {_key(name): name for name in (*RULES, WIRE.id, *EVENTS, *Phase)}
    close = difflib.get_close_matches(_key(word), known, n=1)
    if close:
        return f"nothing is called {word!r}. Did you mean {known[close[0]]}?"
    names = ", ".join(dict.fromkeys((*EVENTS, *map(str, Phase))))
    rules = f"{next(iter(RULES))} to {list(RULES)[-1]}"
    return f"nothing is called {word!r}. There are the rules {rules} and {WIRE.id}, and {names}."


def _explain_rule(prose: Prose, rule: Rule) -> None:
    prose.add(0, (rule.id, "bold"), ", a rule")
    prose.add(2, rule.sentence)
    prose.add(0)
    prose.add_fact("source", rule.source)
    prose.add_fact("tier", (rule.tier, STYLES[rule.tier]), f": {_TIERS[rule.tier]}")
    prose.add_fact("judges", _SCOPES[rule.scope])
    if rule.broken:
        prose.add_fact("broken if", rule.broken)
    if rule.id == "T1":
        for number, (before, tag, after) in enumerate(arrows()):
            prose.add_fact("" if number else "allowed", f"{before or NOTHING} → {tag} → {after}")
    prose.add(0)
    if rule is WIRE:
        _show_damage(prose)
    else:
        _show_example(prose, EXAMPLES[rule.id])


def _show_damage(prose: Prose) -> None:
    prose.add(2, "For example, this line was changed after it was written:")
    prose.add(0)
    prose.add_code(DAMAGED_LINE.decode())
    prose.add(0)
    prose.add(2, "It breaks the rule:")
    try:
        wire.decode_record(DAMAGED_LINE)
    except WireError as error:
        prose.add(4, str(error))


def _show_example(prose: Prose, example: Example) -> None:
    if isinstance(example, Snapshot):
        prose.add(2, "For example, a legal batch, but for")
        for change in changes(example.legal, example.broken):
            prose.add(4, change)
    elif isinstance(example, Step):
        prose.add(2, f"For example, a batch that is {example.before.phase}, and is seen next with")
        for change in changes(example.before, example.after):
            prose.add(4, change)
    else:
        prose.add(2, "For example, a log with")
        for record in example.records:
            place = f"batch {record.batch_id}, version {record.version}, event id {record.event_id}: "
            prose.add(4, place, (record.event.tag, "bold"))
    prose.add(2, "It breaks the rule:")
    for violation in example.violations():
        prose.add(4, violation.message)


def _explain_event(prose: Prose, tag: str) -> None:
    event = EVENTS[tag]
    prose.add(0, (tag, "bold"), ", an event")
    prose.add(2, " ".join((type(event).__doc__ or "").split()))
    prose.add(0)
    fields = [f"{field.name} ({_KINDS[field.type]})" for field in attrs.fields(type(event))]
    prose.add_fact("carries", ", ".join(fields))
    ways = "; ".join(f"{before or 'no batch yet'} → {after}" for before, name, after in arrows() if name == tag)
    prose.add_fact("allowed", ways)
    prose.add(0)
    prose.add(2, "For example, in a log:")
    prose.add(0)
    prose.add_code(wire.encode_record(record_of(event)).decode())


def _explain_phase(prose: Prose, phase: Phase) -> None:
    prose.add(0, (phase, "bold"), ", a phase")
    prose.add(2, _PHASES[phase])
    prose.add(0)
    ways = "; ".join(f"{before or 'no batch yet'} → {tag}" for before, tag, after in arrows() if after == phase)
    prose.add_fact("reached by", ways)
    prose.add_fact("allowed", ", ".join(allowed(phase)) or "nothing may follow")
    prose.add(0)
    prose.add(2, "For example, as the API shows it:")
    prose.add(0)
    prose.add_code(wire.encode_batch(BATCHES[phase]).decode())


def machine(form: Literal["table", "mermaid", "json"]) -> int:
    """Show the arrows of the chart."""
    with until_closed():
        if form == "mermaid":
            write(mermaid() + "\n")
        elif form == "json":
            write_json_array(dict(zip(HEADER, arrow, strict=True)) for arrow in arrows())
            write("\n")
        else:
            table = Table(*HEADER)
            for before, tag, after in arrows():
                table.add(before or NOTHING, tag, after)
            table.finish()
    return CLEAN
