"""
The rules fused: one function for each profile, phase and event, written as source and compiled, as attrs does it.

A function takes the `State` of a batch that satisfies the laws and an event.  If the event breaks no rule, it applies
the event and returns the steps that may come next; otherwise it returns None and has changed nothing.  It says no more
than that: what exactly is broken, and whether it was broken before, is told by `violations`, which evaluates the same
predicates one by one.

A predicate is made smaller before it is fused: names that the event does not change keep their value, the statuses on
both sides of an arrow are known, and what the laws say of a phase (an ended batch has an `ended_at`) is found out by
trying them.  A rule that the event cannot break comes out as False and is left out.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from types import CodeType, MappingProxyType
from typing import Any, TypeVar, cast

from lifecycle.batch import MessageBatch, Phase, ProcessingStatus, RequestCounts, unchecked
from lifecycle.events import EVENTS, Event
from lifecycle.machine import TRANSITIONS
from lifecycle.rules import CONSTANTS, COUNTS, FIELDS, Rule, Scope, Tier, Violation, names_of, rules_of

T = TypeVar("T")

new_batch = unchecked(MessageBatch)
new_counts = unchecked(RequestCounts)

STATUS: Mapping[Phase, ProcessingStatus] = {
    Phase.IN_PROGRESS: ProcessingStatus.IN_PROGRESS,
    Phase.CANCELING: ProcessingStatus.CANCELING,
    Phase.ENDED: ProcessingStatus.ENDED,
    Phase.ARCHIVED: ProcessingStatus.ENDED,
    Phase.DELETED: ProcessingStatus.ENDED,
}
"""The status that goes with each phase: "on the wire an archived batch is `ended` with `archived_at` set"."""

EFFECTS: Mapping[str, Mapping[str, str]] = {
    "created": {
        "id": "event.id",
        "created_at": "event.created_at",
        "expires_at": "event.expires_at",
        "counts": "new_counts(event.request_count, 0, 0, 0, 0, {})",
        "total": "event.request_count",
        **dict.fromkeys(("ended_at", "archived_at", "cancel_initiated_at", "results_url", "deleted_at"), "None"),
    },
    "counts_updated": {"counts": "event.request_counts"},
    "cancel_initiated": {"cancel_initiated_at": "event.cancel_initiated_at"},
    "ended": {
        "ended_at": "event.ended_at",
        "counts": "event.request_counts",
        "results_url": "event.results_url",
    },
    "archived": {"archived_at": "event.archived_at", "results_url": "event.results_url"},
    "deleted": {"deleted_at": "event.deleted_at"},
}
"""What each event does to a `State`; the new phase is the machine's to say. This is the whole of "evolve"."""


class State:
    """A batch in the middle of a fold: the fields of `MessageBatch` without its phase, which the steps carry."""

    __slots__ = ("id", "counts", "total", *FIELDS)

    id: str
    counts: RequestCounts
    total: int
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    archived_at: datetime | None
    cancel_initiated_at: datetime | None
    results_url: str | None
    deleted_at: datetime | None

    def batch(self, phase: Phase) -> MessageBatch:
        """The batch that this is, in *phase*."""
        counts: Any = self.counts
        # A reducer's counts are decoded by `lifecycle.wire`; and what is `extra` is not carried.
        if counts.__class__ is not RequestCounts or counts.extra:
            counts = new_counts(
                counts.processing, counts.succeeded, counts.errored, counts.canceled, counts.expired, {}
            )
        batch: MessageBatch = new_batch(
            self.id,
            STATUS[phase],
            counts,
            self.created_at,
            self.expires_at,
            self.ended_at,
            self.archived_at,
            self.cancel_initiated_at,
            self.results_url,
            self.deleted_at,
            {},
        )
        return batch

    @classmethod
    def of(cls, batch: MessageBatch) -> "State":
        """The state that *batch* is."""
        state = cls()
        state.id = batch.id
        state.counts = batch.request_counts
        state.total = batch.request_counts.total
        for name in FIELDS:
            setattr(state, name, getattr(batch, name))
        return state


class Steps(dict[type, Any]):
    """The steps that are legal in one phase: the event's class -> its function ``(state, event) -> Steps | None``."""

    __slots__ = ("phase",)

    phase: Phase | None


# What is known of an expression while predicates are made smaller: that it is None, or that it is not.
_NONE, _SET = "none", "set"


class _Simplify(ast.NodeTransformer):
    """Replace the names of a predicate and decide what can be decided."""

    def __init__(self, names: Mapping[str, str], facts: Mapping[str, str]) -> None:
        self.names = names
        self.facts = facts

    def visit_Name(self, node: ast.Name) -> ast.expr:
        text = self.names.get(node.id)
        return node if text is None else _parsed(text)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        text = self.names.get(_text(node))
        return node if text is None else _parsed(text)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.BinOp(ast.Constant(0), ast.Add(), other) | ast.BinOp(other, ast.Add(), ast.Constant(0)):
                return other
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        left, right = _text(node.left), _text(node.comparators[0])
        match node.ops[0]:
            case ast.Is() | ast.IsNot() as operator:
                known = self.facts.get(left)
                if known is not None:
                    return ast.Constant((known == _NONE) is isinstance(operator, ast.Is))
            case ast.Eq() | ast.NotEq() as operator:
                if left == right:
                    return ast.Constant(isinstance(operator, ast.Eq))
                if left in CONSTANTS and right in CONSTANTS:
                    return ast.Constant(isinstance(operator, ast.NotEq))
            case ast.Lt() | ast.Gt() if left == right:
                return ast.Constant(value=False)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)  # the operand that decides at once
        values: list[ast.expr] = []
        for value in node.values:
            if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                if value.value is decides:
                    return value
            elif isinstance(value, ast.BoolOp) and isinstance(value.op, type(node.op)):
                values += value.values
            else:
                values.append(value)
        if not values:
            return ast.Constant(value=not decides)
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)


def _parsed(text: str) -> ast.expr:
    base, _, name = text.partition(".")
    if base.isidentifier() and name.isidentifier():  # the usual ones, for ast.parse is slow
        return ast.Attribute(ast.Name(base), name)
    return ast.parse(text, mode="eval").body


def _text(node: ast.expr) -> str:
    match node:  # the usual ones, for ast.unparse is slow
        case ast.Name():
            return node.id
        case ast.Attribute(ast.Name(base)):
            return f"{base}.{node.attr}"
        case _:
            return ast.unparse(node)


@cache
def _names_in(rule: Rule) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(ast.parse(rule.broken)) if isinstance(node, ast.Name))


def smaller(rule: Rule, names: Mapping[str, str], facts: Mapping[str, str]) -> ast.expr:
    """The predicate of *rule*, its *names* replaced, and all that they and the *facts* decide left out."""
    return cast(ast.expr, _Simplify(names, facts).visit(ast.parse(rule.broken, mode="eval").body))


def _alternatives(node: ast.expr) -> dict[str, ast.expr]:
    nodes = node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) else [node]
    return {ast.unparse(node): node for node in nodes}


def _known(node: ast.expr) -> bool | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, bool) else None


@cache
def _facts(phase: Phase) -> Mapping[str, str]:
    """Which fields of a lawful batch in *phase* are set and which are None, found out by trying the laws."""
    facts = {"deleted_at": _SET if phase is Phase.DELETED else _NONE}  # the definition of phase says as much
    if phase in (Phase.ENDED, Phase.ARCHIVED):
        facts["archived_at"] = _SET if phase is Phase.ARCHIVED else _NONE
    status = {"status": STATUS[phase].name}
    laws = [rule for rule in rules_of([Tier.LAW], Scope.BATCH) if "status" in _names_in(rule)]
    for field in FIELDS:
        for guess, otherwise in ((_SET, _NONE), (_NONE, _SET)):
            tried = {**facts, field: guess}
            if any(field in _names_in(rule) and _known(smaller(rule, status, tried)) for rule in laws):
                facts[field] = otherwise
    return facts


def _names_before() -> dict[str, str]:
    names = {name: f"state.{name}" for name in ("id", "total", *FIELDS)}
    names |= {name: f"old.{name}" for name in COUNTS}
    return names | {"extra_keys": "()"}


def _names_after(tag: str) -> dict[str, str]:
    effects = EFFECTS[tag]
    names = _names_before() | {name: text for name, text in effects.items() if name != "counts"}
    if tag == "created":
        names |= dict.fromkeys(COUNTS, "0") | {"processing": effects["total"]}
    elif "counts" in effects:
        names |= {name: f"counts.{name}" for name in COUNTS}
    return names


def _conditions(tiers: frozenset[Tier], phase: Phase | None, tag: str) -> list[ast.expr]:
    """What is left of the rules for *tag* in *phase*: the event is clean if none of these is true."""
    before, after = _names_before(), _names_after(tag)
    facts = {"None": _NONE} | {
        text: _SET for name, text in EFFECTS[tag].items() if name.endswith("_at") and text != "None"
    }
    if phase is not None:
        before["status"] = STATUS[phase].name
        facts |= {before[field]: fact for field, fact in _facts(phase).items()}
    after["status"] = STATUS[TRANSITIONS[phase, tag]].name
    found: list[ast.expr] = []
    for rule in rules_of(tiers, Scope.BATCH):
        if phase is not None and all(after.get(name) == before.get(name) for name in _names_in(rule)):
            continue
        # An alternative that stood word for word before the event was false then, so it is false now.
        held = _alternatives(smaller(rule, before, facts)) if phase is not None else {}
        found += [node for text, node in _alternatives(smaller(rule, after, facts)).items() if text not in held]
    if phase is not None:
        # T3 is judged in the same breath, so that for every other rule the total is the old one.
        total = {"total": " + ".join(after[name] for name in COUNTS)} if "counts" in EFFECTS[tag] else {}
        both = after | total | {f"old_{name}": text for name, text in before.items()}
        for rule in rules_of(tiers, Scope.STEP):
            if rule.id != "T1":  # the table of steps is T1
                found += _alternatives(smaller(rule, both, facts)).values()
    found = [node for node in found if _known(node) is not False]
    return found if phase is None else _without_implied(found, _kept(phase))


@cache
def _kept(phase: Phase) -> frozenset[str]:
    """The alternatives that are false of a lawful batch in *phase*, as text."""
    names = _names_before() | {"status": STATUS[phase].name}
    facts = {"None": _NONE} | {names[field]: fact for field, fact in _facts(phase).items()}
    return frozenset(
        text for rule in rules_of([Tier.LAW], Scope.BATCH) for text in _alternatives(smaller(rule, names, facts))
    )


def _without_implied(conditions: list[ast.expr], kept: frozenset[str]) -> list[ast.expr]:
    """
    Leave out each condition that is true only where another is.

    Args:
        conditions: Those that are looked for.
        kept: What was false of the batch before, as text.

    ``new < 0`` is true only if ``new < old``, for ``old < 0`` was false; and ``new < created`` only if ``new < ended``,
    for ``ended < created`` was false.
    """
    left = {ast.unparse(node): node for node in conditions}
    for text in list(left):
        bounds = (node for other, node in left.items() if other != text)
        if any(
            re.sub(rf"(?<![\w.]){re.escape(_text(new))}(?![\w.])", _text(old), text) in kept
            for bound in bounds
            if isinstance(bound, ast.Compare) and isinstance(bound.ops[0], ast.Lt)
            for new, old in [(bound.left, bound.comparators[0])]
            if _text(new) in text
        ):
            del left[text]
    return list(left.values())


class _Localise(ast.NodeTransformer):
    """Read each attribute once: ``counts.processing`` becomes the local ``counts_processing``."""

    def __init__(self) -> None:
        self.locals: dict[str, str] = {}

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        text = ast.unparse(node)
        name = text.replace(".", "_")
        self.locals[name] = text
        return ast.Name(name)


def _fused(
    conditions: Iterable[ast.expr], values: Mapping[str, ast.expr] = MappingProxyType({})
) -> tuple[list[str], str]:
    localise = _Localise()
    tests = [f"({ast.unparse(localise.visit(node))})" for node in conditions]
    test = " or ".join(tests)
    sums = {name: ast.unparse(localise.visit(node)) for name, node in values.items() if name in test}
    return [f"{name} = {text}" for name, text in (localise.locals | sums).items()], test


def _step(tiers: frozenset[Tier], phase: Phase | None, tag: str) -> str:
    effects = EFFECTS[tag]
    loads, test = _fused(_conditions(tiers, phase, tag))
    lines = ["def step(state, event):"]
    if "counts" in effects and phase is not None:
        lines += [f"    counts = {effects['counts']}", "    old = state.counts"]
    lines += [f"    {load}" for load in loads]
    if test:
        lines += [f"    if {test}:", "        return None"]
    read = {text: name for name, text in (load.split(" = ") for load in loads)}
    if phase is not None:
        read[effects.get("counts", "")] = "counts"
    lines += [f"    state.{name} = {read.get(text, text)}" for name, text in effects.items()]
    lines.append("    return following")
    return "\n".join(lines)


def _compile(source: str, name: str, scope: Mapping[str, Any], title: str) -> Any:
    found = dict(CONSTANTS) | dict(scope)
    exec(compile(source, f"<lifecycle: {title}>", "exec"), found)  # noqa: S102 -- made of this package's own predicates
    return found[name]


@cache
def steps(tiers: frozenset[Tier], classes: tuple[type, ...] = EVENTS) -> Mapping[Phase | None, Steps]:
    """
    The fused steps of each phase.

    Args:
        tiers: Which rules they keep; none at all gives steps that only apply.
        classes: The classes of the events, each with the fields of its event and a ``tag``.
    """
    table: dict[Phase | None, Steps] = {phase: Steps() for phase in (None, *Phase)}
    for phase, legal in table.items():
        legal.phase = phase
    for (phase, tag), after in TRANSITIONS.items():
        scope = {"following": table[after], "new_counts": new_counts}
        title = f"{tag} when {phase or 'absent'}"
        step = _compile(_step(tiers, phase, tag), "step", scope, title)
        table[phase] |= {cls: step for cls in classes if cast(type[Event], cls).tag == tag}
    return table


Fold = Callable[[Iterator[Event], MessageBatch | None, int], tuple[MessageBatch | None, int, object]]
"""
A fold of lawful events, ``(events, batch, version) -> (batch, version, event)``.

It takes *events* for as long as they break no rule, and returns the batch that they lead to, *version* plus how many it
took, and the event that it refused, counted as taken: `NO_MORE` if there is none.
"""

NO_MORE = object()
"""In place of an event: there are no more."""


class per_tiers(dict[frozenset[Tier], T]):  # noqa: N801 -- a decorator
    """A function of tiers as a table that fills itself: looked up in less than half the time of `functools.cache`."""

    def __init__(self, make: Callable[[frozenset[Tier]], T]) -> None:
        self.make = make
        self.cache_clear = self.clear  # as functools calls it

    def __missing__(self, tiers: frozenset[Tier]) -> T:
        found = self[tiers] = self.make(tiers)
        return found


@per_tiers
def fold_of(tiers: frozenset[Tier]) -> Fold:
    """
    All steps of all phases fused into one function, with the state in local variables: what `steps` does, in one go.

    Its batch, unless None, satisfies the laws.
    """
    scope = {cls.__name__: cls for cls in EVENTS} | {"RequestCounts": RequestCounts, "NO_MORE": NO_MORE}
    scope |= {f"PHASE_{phase.name}": phase for phase in Phase} | {"new_batch": new_batch, "new_counts": new_counts}
    fold: Fold = _compile(_fold(tiers), "fused", {**scope, "STATUS": STATUS}, "fold")
    return fold


def _fold(tiers: frozenset[Tier]) -> str:
    lines = ["def fused(events, batch, version):", "    first = version", "    refused = NO_MORE", "    phase = None"]
    lines += ["    if batch is not None:", "        phase = batch.phase", "        state_counts = batch.request_counts"]
    lines += [f"        state_{name} = batch.{name}" for name in ("id", *FIELDS)]
    lines += [f"        old_{name} = state_counts.{name}" for name in COUNTS]
    lines += [f"        state_total = {' + '.join(f'old_{name}' for name in COUNTS)}"]
    for phase in (None, *Phase):  # no arrow leads back, except to the phase itself
        lines += [f"    if phase is {_phase_name(phase)}:", "        for event in events:", "            version += 1"]
        lines += ["            kind = event.__class__"]
        for (before, tag), after in TRANSITIONS.items():
            if before is phase:
                lines += [" " * 12 + line for line in _arrow(tiers, phase, tag, after)]
        lines += ["            refused = event", "            break"]
    lines += ["    if version == first + (refused is not NO_MORE):", "        return batch, version, refused"]
    counts = ", ".join(f"old_{name}" for name in COUNTS)
    lines += [
        "    if state_counts.__class__ is not RequestCounts or state_counts.extra:  # what is extra is not carried"
    ]
    lines += [f"        state_counts = new_counts({counts}, {{}})"]
    fields = ", ".join(f"state_{name}" for name in FIELDS)
    lines += [f"    batch = new_batch(state_id, STATUS[phase], state_counts, {fields}, {{}})"]
    lines += ["    return batch, version, refused"]
    return "\n".join(lines)


def _phase_name(phase: Phase | None) -> str:
    return "None" if phase is None else f"PHASE_{phase.name}"


def _arrow(tiers: frozenset[Tier], phase: Phase | None, tag: str, following: Phase) -> list[str]:
    """One step of `_fold`: what `_step` does, for a state in local variables."""
    (cls,) = (cls for cls in EVENTS if cls.tag == tag)
    effects, after = EFFECTS[tag], _names_after(tag)
    loads, test = _fused(_conditions(tiers, phase, tag))
    read = {text: name for name, text in (load.split(" = ") for load in loads)}
    lines = [f"if kind is {cls.__name__}:"]
    if "counts" in effects and phase is not None:
        lines.append(f"    counts = {effects['counts']}")
    lines += [f"    {load}" for load in loads if load.split(" = ")[1].partition(".")[0] in ("event", "counts")]
    if test:
        lines += [f"    if {test}:", "        refused = event", "        break"]
    lines += [f"    state_{name} = {read.get(text, text)}" for name, text in effects.items() if name != "counts"]
    if "counts" in effects:
        lines.append(f"    state_counts = {'None' if phase is None else 'counts'}")  # at first built only if they last
        lines += [f"    old_{name} = {read.get(after[name], after[name])}" for name in COUNTS]
    if following is phase:
        return [*lines, "    continue"]
    return [*lines, f"    phase = {_phase_name(following)}", "    break"]


@per_tiers
def is_clean(tiers: frozenset[Tier]) -> Callable[[MessageBatch], bool]:
    """The fused check of one batch on its own: ``(batch) -> bool``, true if no rule of *tiers* is broken."""
    names = {name: f"batch.{name}" for name in ("id", *FIELDS)} | {name: f"counts.{name}" for name in COUNTS}
    names["extra_keys"] = "(batch.extra or counts.extra or ())"
    lines = ["def clean(batch):", "    counts = batch.request_counts", "    status = batch.processing_status"]
    for status in ProcessingStatus:
        found: list[ast.expr] = []
        for rule in rules_of(tiers, Scope.BATCH):
            found += _alternatives(smaller(rule, names | {"status": status.name}, {})).values()
        total = ast.parse(" + ".join(f"counts.{name}" for name in COUNTS), mode="eval").body
        total, *found = _equal_first(total, [node for node in found if _known(node) is not False])
        loads, test = _fused(found, {"total": total})
        lines.append(f"    if status is {status.name}:")
        lines += [f"        {load}" for load in loads]
        lines.append(f"        return not ({test})")
    clean: Callable[[MessageBatch], bool] = _compile("\n".join(lines), "clean", {}, "check")
    return clean


def _equal_first(total: ast.expr, conditions: list[ast.expr]) -> Iterator[ast.expr]:
    """The total and the conditions, first what is None and what is 0; all others are made smaller by the answers."""
    names: dict[str, str] = {}
    facts: dict[str, str] = {}
    first, rest = [], []
    for node in conditions:
        match node:
            case ast.Compare(left, [ast.Is() | ast.IsNot() as operator]):
                facts[_text(left)] = _SET if isinstance(operator, ast.Is) else _NONE  # or it would have been broken
            case ast.Compare(left, [ast.NotEq()], [ast.Constant(0)]):
                names[_text(left)] = "0"
            case _:
                rest.append(node)
                continue
        first.append(node)
    simplify = _Simplify(names, facts)
    yield simplify.visit(total)
    yield from first
    yield from (node for node in map(simplify.visit, rest) if _known(node) is not False)


@cache
def _code(rule: Rule) -> CodeType:
    return compile(rule.broken, f"<rule {rule.id}>", "eval")


def violations(
    tiers: frozenset[Tier], after: MessageBatch, before: MessageBatch | None = None
) -> tuple[Violation, ...]:
    """All that *after* breaks, on its own and, if *before* is given, as its next state; in the rulebook's order."""
    names = names_of(after)
    rules = rules_of(tiers, Scope.BATCH)
    if before is not None:
        names |= names_of(before, "old_")
        rules += rules_of(tiers, Scope.STEP)
    return tuple(
        Violation(rule, f"{rule.sentence[:-1]}, but {rule.seen.format_map(names)}")
        for rule in rules
        if eval(_code(rule), dict(CONSTANTS), names)  # noqa: S307 -- the predicates of this package
    )


def newly_broken(tiers: frozenset[Tier], after: MessageBatch, before: MessageBatch | None) -> tuple[Violation, ...]:
    """What *after* breaks that *before* did not: all T rules, and each B rule that held until now."""
    found = violations(tiers, after, before)
    if before is None or not found:
        return found
    old = {violation.rule for violation in violations(tiers, before)}
    return tuple(violation for violation in found if violation.rule not in old)
