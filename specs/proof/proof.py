"""
A proof that the rules are inductive: for any number of requests, any times to the microsecond, any URL.

The B rules hold after `Created`.  If they hold in a state, and a server does what it may do there, then they hold in
the next state, and every T rule holds of the step.  z3 finds no state of which that is not so; its numbers have no
bounds, so this says for every size what TLC says for sizes up to 5.

Beside it: what a server may do is exactly what breaks no rule (so `evolve`, which applies an event and judges the
rules, admits neither more nor less); a batch that has not ended can end; and each rule as it stands here means the
same as its predicate in `lifecycle/rules.py`, of any two states whatever.

Nothing here comes from `lifecycle`, but for those predicates and the arrows that are compared with.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import attrs
import z3

import lifecycle as lc
from lifecycle.rules import CONSTANTS

Expr = Any
"""An expression of z3, whose package has no types."""

TIERS = ("law", "contract", "advice")
OUTCOMES = ("succeeded", "errored", "canceled", "expired")
COUNTS = ("processing", *OUTCOMES)
OPTIONS = ("cancel_initiated_at", "ended_at", "archived_at", "deleted_at", "results_url")
PLAIN = ("id", "status", "created_at", "expires_at", *COUNTS)

IN_PROGRESS, CANCELING, ENDED, ARCHIVED, DELETED = range(5)
"""The phases; the first three are the statuses."""

LARGEST = 100_000
DAY = 24 * 60 * 60 * 1_000_000
"""In microseconds."""


TRUE, FALSE = z3.BoolVal(val=True), z3.BoolVal(val=False)


@attrs.frozen(eq=False)
class Option:
    """A value that may be null."""

    is_set: Expr
    value: Expr

    def same(self, other: "Option") -> Expr:
        """Whether both are null, or both have the same value."""
        return z3.And(self.is_set == other.is_set, z3.Implies(self.is_set, self.value == other.value))


NULL = Option(FALSE, z3.IntVal(0))

State = Mapping[str, Any]
"""A batch: the fields by name, those that may be null as an `Option`. Ids, times and URLs are numbers."""


def some_state(prefix: str) -> State:
    """Any batch at all."""
    return {name: z3.Int(prefix + name) for name in PLAIN} | {name: some_option(prefix + name) for name in OPTIONS}


def some_option(name: str) -> Option:
    """Any value that may be null."""
    return Option(z3.Bool(f"{name} is set"), z3.Int(name))


def total(s: State) -> Expr:
    """The number of requests."""
    return z3.Sum([s[name] for name in COUNTS])


def phase(s: State) -> Expr:
    """Where in its life a batch is."""
    archived = z3.And(s["archived_at"].is_set, s["status"] == ENDED)
    return z3.If(s["deleted_at"].is_set, DELETED, z3.If(archived, ARCHIVED, s["status"]))


def possible(s: State) -> Expr:
    """There are three statuses."""
    return z3.Or([s["status"] == status for status in (IN_PROGRESS, CANCELING, ENDED)])


# ------------------------------------------------------------------------------------------------------------ the rules


def ordered(s: State) -> Expr:
    """The times that are set are in order, each pair of them."""
    created = Option(TRUE, s["created_at"])
    times = [created, s["cancel_initiated_at"], s["ended_at"], s["archived_at"], s["deleted_at"]]
    pairs = [(first, second) for place, first in enumerate(times) for second in times[place + 1 :]]
    return z3.And([z3.Implies(z3.And(a.is_set, b.is_set), a.value <= b.value) for a, b in pairs])


def has_outcome(s: State) -> Expr:
    """Whether some request has finished."""
    return z3.Or([s[name] != 0 for name in OUTCOMES])


BATCH_RULES: Mapping[str, Callable[[State], Expr]] = {
    "B1": lambda s: z3.And([s[name] >= 0 for name in COUNTS]),
    "B2": lambda s: z3.And(total(s) >= 1, total(s) <= LARGEST),
    "B3": lambda s: s["expires_at"] == s["created_at"] + DAY,
    "B4": lambda s: (s["status"] == ENDED) == s["ended_at"].is_set,
    "B5": lambda s: z3.Implies(s["status"] == ENDED, s["processing"] == 0),
    "B6": lambda s: z3.And(
        z3.Implies(s["status"] == CANCELING, s["cancel_initiated_at"].is_set),
        z3.Implies(s["status"] == IN_PROGRESS, z3.Not(s["cancel_initiated_at"].is_set)),
    ),
    "B7": lambda s: z3.Implies(s["status"] != ENDED, z3.Not(has_outcome(s))),
    "B8": lambda s: z3.Implies(s["status"] != ENDED, z3.Not(s["results_url"].is_set)),
    "B9": lambda s: z3.Implies(s["canceled"] > 0, s["cancel_initiated_at"].is_set),
    "B10": lambda s: z3.Implies(
        z3.Or(s["archived_at"].is_set, s["deleted_at"].is_set),
        s["status"] == ENDED,
    ),
    "B11": ordered,
    "B12": lambda s: z3.Implies(z3.And(s["expired"] > 0, s["ended_at"].is_set), s["ended_at"].value >= s["expires_at"]),
    "B13": lambda s: z3.Implies(z3.And(s["ended_at"].is_set, s["ended_at"].value > s["expires_at"]), s["expired"] != 0),
    "B14": lambda s: z3.Implies(z3.And(s["status"] == ENDED, z3.Not(s["archived_at"].is_set)), s["results_url"].is_set),
    "B15": lambda s: z3.Implies(s["archived_at"].is_set, s["archived_at"].value >= s["created_at"] + 29 * DAY),
}
"""What must hold of a batch, by rule id."""

ARROWS: Mapping[tuple[int | None, str], int] = {
    (None, "created"): IN_PROGRESS,
    (IN_PROGRESS, "counts_updated"): IN_PROGRESS,
    (IN_PROGRESS, "cancel_initiated"): CANCELING,
    (IN_PROGRESS, "ended"): ENDED,
    (CANCELING, "counts_updated"): CANCELING,
    (CANCELING, "ended"): ENDED,
    (ENDED, "archived"): ARCHIVED,
    (ENDED, "deleted"): DELETED,
    (ARCHIVED, "deleted"): DELETED,
}
"""The arrows of T1."""


def along_an_arrow(old: State, s: State) -> Expr:
    """Some arrow leads from the one phase to the other."""
    pairs = {(before, after) for (before, _), after in ARROWS.items() if before is not None}
    return z3.Or([z3.And(phase(old) == before, phase(s) == after) for before, after in sorted(pairs)])


STEP_RULES: Mapping[str, Callable[[State, State], Expr]] = {
    "T1": along_an_arrow,
    "T2": lambda old, s: z3.And([s[name] == old[name] for name in ("id", "created_at", "expires_at")]),
    "T3": lambda old, s: total(s) == total(old),
    "T4": lambda old, s: z3.And(
        [
            z3.Implies(old[name].is_set, s[name].same(old[name]))
            for name in ("cancel_initiated_at", "ended_at", "archived_at", "deleted_at")
        ]
    ),
    "T5": lambda old, s: z3.Implies(
        old["status"] != ENDED,
        z3.And(s["processing"] <= old["processing"], *[s[name] >= old[name] for name in OUTCOMES]),
    ),
    "T6": lambda old, s: z3.Implies(old["status"] == ENDED, z3.And([s[name] == old[name] for name in COUNTS])),
    "T7": lambda old, s: z3.Implies(
        z3.And(old["results_url"].is_set, z3.Not(old["archived_at"].is_set), z3.Not(s["archived_at"].is_set)),
        s["results_url"].same(old["results_url"]),
    ),
}
"""What must hold of a step, by rule id."""

TIER_OF = {
    **dict.fromkeys(["B1", "B4", "B5", "B6", "B10", "B11", "T1", "T2", "T3", "T4", "T5", "T6"], "law"),
    **dict.fromkeys(["B2", "B3", "B7", "B8", "B9", "T7"], "contract"),
    **dict.fromkeys(["B12", "B13", "B14", "B15"], "advice"),
}


# ---------------------------------------------------------------------------------------------------- what a server may


@attrs.frozen(eq=False)
class Step:
    """What an event asks of the batch before it, and what it makes of it."""

    tag: str
    phases: tuple[int, ...]
    """Where it may happen; () for `Created`, before which there is nothing."""
    guards: Mapping[str, tuple[str, Expr]]
    """What must be so, each under a name with the tier from which on a server keeps to it."""
    after: State


def latest(s: State) -> Expr:
    """The last time at which something happened before the deletion."""
    found = s["created_at"]
    for name in ("cancel_initiated_at", "ended_at", "archived_at"):
        found = z3.If(z3.And(s[name].is_set, s[name].value > found), s[name].value, found)
    return found


def moved(s: State, c: State) -> dict[str, tuple[str, Expr]]:
    """Requests go from `processing` to an outcome, in no other way."""
    return {
        "no outcome shrinks": ("law", z3.And([s[name] <= c[name] for name in OUTCOMES])),
        "no more finish than there are": ("law", c["processing"] >= 0),
        "none appears or is lost": ("law", total(c) == total(s)),
    }


def created(e: State) -> Step:
    """A batch is created."""
    guards = {
        "the size is a number of requests": ("law", e["processing"] >= 0),
        "the list is neither empty nor too long": (
            "contract",
            z3.And(e["processing"] >= 1, e["processing"] <= LARGEST),
        ),
        "it expires after a day": ("contract", e["expires_at"] == e["created_at"] + DAY),
    }
    after = {name: z3.IntVal(0) for name in COUNTS} | dict.fromkeys(OPTIONS, NULL)
    after |= {name: e[name] for name in ("id", "created_at", "expires_at", "processing")}
    return Step("created", (), guards, {**after, "status": z3.IntVal(IN_PROGRESS)})


def counts_updated(s: State, e: State) -> Step:
    """Requests finish."""
    guards = {**moved(s, e), "outcomes are shown at the end only": ("contract", z3.Not(has_outcome(e)))}
    return Step("counts_updated", (IN_PROGRESS, CANCELING), guards, {**s, **{name: e[name] for name in COUNTS}})


def cancel_initiated(s: State, e: State) -> Step:
    """Somebody asks for cancellation."""
    at = e["cancel_initiated_at"].value
    after = {**s, "cancel_initiated_at": _at(at), "status": z3.IntVal(CANCELING)}
    return Step("cancel_initiated", (IN_PROGRESS,), {"in order": ("law", latest(s) <= at)}, after)


def ended(s: State, e: State) -> Step:
    """Every request has finished."""
    at, url = e["ended_at"].value, e["results_url"]
    guards = {
        **moved(s, e),
        "all have finished": ("law", e["processing"] == 0),
        "in order": ("law", latest(s) <= at),
        "canceled if asked to": ("contract", z3.Implies(e["canceled"] > 0, s["cancel_initiated_at"].is_set)),
        "none expires early": ("advice", z3.Implies(e["expired"] > 0, s["expires_at"] <= at)),
        "some expire if it is late": ("advice", z3.Implies(s["expires_at"] < at, e["expired"] > 0)),
        "results are there": ("advice", url.is_set),
    }
    after = {**s, **{name: e[name] for name in COUNTS}, "ended_at": _at(at), "results_url": url}
    return Step("ended", (IN_PROGRESS, CANCELING), guards, {**after, "status": z3.IntVal(ENDED)})


def archived(s: State, e: State) -> Step:
    """The results become unavailable."""
    at = e["archived_at"].value
    guards = {"in order": ("law", latest(s) <= at), "not early": ("advice", s["created_at"] + 29 * DAY <= at)}
    return Step("archived", (ENDED,), guards, {**s, "archived_at": _at(at), "results_url": e["results_url"]})


def deleted(s: State, e: State) -> Step:
    """The batch is deleted."""
    at = e["deleted_at"].value
    return Step("deleted", (ENDED, ARCHIVED), {"in order": ("law", latest(s) <= at)}, {**s, "deleted_at": _at(at)})


def _at(time: Expr) -> Option:
    return Option(TRUE, time)


S, E = some_state("s."), some_state("e.")
"""Any state, and what any event says."""

SERVER: Mapping[str, Step] = {
    step.tag: step
    for step in (
        created(E), counts_updated(S, E), cancel_initiated(S, E), ended(S, E), archived(S, E), deleted(S, E),
    )
}  # fmt: skip
"""A server without a bug."""


# ------------------------------------------------------------------------------------------------------------ the bugs


def _without(tag: str, guard: str, instead: tuple[str, Expr] | None = None) -> dict[str, Step]:
    """The server that does not look at a guard, or at another one instead."""
    step = SERVER[tag]
    guards = {name: found for name, found in step.guards.items() if name != guard}
    assert len(guards) == len(step.guards) - 1  # noqa: S101 -- a bug that changes nothing is none
    return {**SERVER, tag: attrs.evolve(step, guards=guards | ({guard: instead} if instead else {}))}


def _making(tag: str, **fields: Any) -> dict[str, Step]:
    """The server whose event makes something else of these fields."""
    step = SERVER[tag]
    return {**SERVER, tag: attrs.evolve(step, after={**step.after, **fields})}


def _admitting(tag: str, phase: int, guard: Expr) -> dict[str, Step]:
    """The server that lets an event happen in one more phase, if *guard* holds there."""
    step = SERVER[tag]
    guards = {**step.guards, "bug": ("law", guard)}
    return {**SERVER, tag: attrs.evolve(step, phases=(*step.phases, phase), guards=guards)}


_SOME_URL = Option(TRUE, z3.IntVal(7))
_LATER = Option(S["cancel_initiated_at"].is_set, S["cancel_initiated_at"].value + 1)

BUGS: Mapping[str, Mapping[str, Step]] = {
    "B1": _without("counts_updated", "no more finish than there are"),
    "B2": _without("created", "the list is neither empty nor too long"),
    "B3": _without("created", "it expires after a day"),
    "B4": _making("ended", ended_at=NULL),
    "B5": _without("ended", "all have finished"),
    "B6": _making("cancel_initiated", cancel_initiated_at=NULL),
    "B7": _without("counts_updated", "outcomes are shown at the end only", ("contract", E["canceled"] == 0)),
    "B8": _making("created", results_url=_SOME_URL),
    "B9": _without("ended", "canceled if asked to"),
    "B10": _admitting("archived", IN_PROGRESS, TRUE),
    "B11": _without("cancel_initiated", "in order"),
    "B12": _without("ended", "none expires early"),
    "B13": _without("ended", "some expire if it is late"),
    "B14": _without("ended", "results are there"),
    "B15": _without("archived", "not early"),
    "T1": _admitting(
        "deleted", DELETED, z3.Implies(S["deleted_at"].is_set, S["deleted_at"].value == E["deleted_at"].value)
    ),
    "T2": _making("archived", expires_at=S["expires_at"] + 1),
    "T3": _without(
        "counts_updated",
        "none appears or is lost",
        ("law", z3.And(total(E) <= total(S), E["processing"] <= S["processing"])),
    ),
    "T4": _making("counts_updated", cancel_initiated_at=_LATER),
    "T5": _without("counts_updated", "no outcome shrinks", ("law", z3.And([E[name] >= 0 for name in OUTCOMES]))),
    "T6": _making("archived", succeeded=S["errored"], errored=S["succeeded"]),
    "T7": _making("deleted", results_url=NULL),
}
"""A server with one bug for each rule that it must break, and alone."""


# ----------------------------------------------------------------------------------------------------------- the proof


def never(*claims: Expr) -> bool:
    """
    Whether no state and event satisfy all *claims*.

    Raises:
        RuntimeError: z3 does not know.
    """
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(*claims)
    answer = solver.check()
    if answer == z3.unknown:
        raise RuntimeError(f"z3 does not know: {solver.reason_unknown()}")
    return bool(answer == z3.unsat)


def up_to(tier: str) -> tuple[str, ...]:
    """*tier* and those that bind more."""
    return TIERS[: TIERS.index(tier) + 1]


def holds(s: State, tier: str) -> Expr:
    """Every B rule of the tiers holds of *s*."""
    return z3.And(possible(s), *[rule(s) for name, rule in BATCH_RULES.items() if TIER_OF[name] in up_to(tier)])


def before(step: Step, tier: str) -> Expr:
    """The step may be looked at: the batch before it is in order, and in a phase with that arrow."""
    if not step.phases:
        return TRUE
    return z3.And(holds(S, tier), z3.Or([phase(S) == found for found in step.phases]))


def allowed(step: Step, tier: str) -> Expr:
    """The server may take the step."""
    return z3.And([guard for found, guard in step.guards.values() if found in up_to(tier)])


def obeyed(step: Step, tier: str) -> dict[str, Expr]:
    """What the rules of the tiers say of the step, by rule id."""
    rules = {name: rule(step.after) for name, rule in BATCH_RULES.items()}
    if step.phases:
        rules |= {name: rule(S, step.after) for name, rule in STEP_RULES.items()}
    return {name: rule for name, rule in rules.items() if TIER_OF[name] in up_to(tier)}


def broken(server: Mapping[str, Step], tier: str) -> tuple[set[str], int]:
    """The rules that *server* can break in one step from a state in order, and how many claims say so."""
    claims = sum(len(obeyed(step, tier)) for step in server.values())
    return set().union(*(breakable(step, tier) for step in server.values())), claims


@cache
def breakable(step: Step, tier: str) -> frozenset[str]:
    """The rules that *step* can break. It is asked once: a server with a bug in one step shares the others."""
    start = z3.And(before(step, tier), allowed(step, tier))
    return frozenset(name for name, rule in obeyed(step, tier).items() if not never(start, z3.Not(rule)))


def stuck(tier: str, end: Callable[[State, State], Step] = ended) -> bool:
    """Whether a batch that has not ended may be unable to: when its expiry has come and whatever is left expires."""
    at = z3.If(S["expires_at"] > latest(S), S["expires_at"], latest(S))
    last = {
        **S, "processing": z3.IntVal(0), "expired": S["expired"] + S["processing"],
        "ended_at": _at(at), "results_url": _SOME_URL,
    }  # fmt: skip
    step = end(S, last)
    return not never(before(step, tier), z3.Not(allowed(step, tier)))


def _never_in_cancellation(s: State, e: State) -> Step:
    step = ended(s, e)
    return attrs.evolve(step, guards={**step.guards, "bug": ("law", s["status"] != CANCELING)})


# ------------------------------------------------------------------------------------------- against lifecycle/rules.py


def predicate(text: str) -> Expr:
    """What a predicate of `lifecycle/rules.py` says of `S` (its names with `old_`) and `E` (without), for z3."""
    return _translated(ast.parse(text, mode="eval").body)


def _translated(node: ast.expr) -> Any:
    match node:
        case ast.BoolOp(op=op, values=values):
            return (z3.And if isinstance(op, ast.And) else z3.Or)(list(map(_translated, values)))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _number(_translated(left)) - _number(_translated(right))
        case ast.Constant(value=int() as value):
            return z3.IntVal(value)
        case ast.Name(id=name):
            return _named(name)
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot() as op], comparators=[ast.Constant(value=None)]):
            is_set = _translated(left).is_set
            return z3.Not(is_set) if isinstance(op, ast.Is) else is_set
        case ast.Compare(
            left=left, ops=[ast.NotIn()], comparators=[ast.Subscript(value=ast.Name(id="REACHABLE"), slice=key)]
        ):
            pairs = [(old, new) for old, found in CONSTANTS["REACHABLE"].items() for new in found]
            order = list(lc.Phase)
            now, was = _translated(left), _translated(key)
            return z3.Not(z3.Or([z3.And(was == order.index(old), now == order.index(new)) for old, new in pairs]))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(_translated(left), op, _translated(right))
        case _:
            raise ValueError(f"not understood: {ast.unparse(node)}")


def _compared(left: Any, op: ast.cmpop, right: Any) -> Expr:
    if isinstance(left, Option) and isinstance(right, Option) and isinstance(op, ast.Eq | ast.NotEq):
        same = left.same(right)
        return same if isinstance(op, ast.Eq) else z3.Not(same)
    a, b = _number(left), _number(right)
    match op:
        case ast.Eq():
            return a == b
        case ast.NotEq():
            return a != b
        case ast.Lt():
            return a < b
        case ast.Gt():
            return a > b
        case _:
            raise ValueError(f"not understood: {ast.dump(op)}")


def _number(value: Any) -> Expr:
    return value.value if isinstance(value, Option) else value


def _named(name: str) -> Any:
    if name in CONSTANTS:
        constant = CONSTANTS[name]
        if name.endswith("LIFETIME"):
            return z3.IntVal(int(constant.total_seconds()) * 1_000_000)
        return z3.IntVal(
            [*lc.ProcessingStatus].index(constant) if isinstance(constant, lc.ProcessingStatus) else constant
        )
    state = S if name.startswith("old_") else E
    plain = name.removeprefix("old_")
    match plain:
        case "phase":
            return phase(state)
        case "total":
            return total(state)
        case _:
            return state[plain]


def misread(predicates: Mapping[str, str]) -> list[str]:
    """The rules that mean something else here than *predicates* say, which are true when a rule is broken."""
    anything = z3.And(possible(S), possible(E))
    here = {name: rule(E) for name, rule in BATCH_RULES.items()}
    here |= {name: rule(S, E) for name, rule in STEP_RULES.items()}
    found = []
    for name, rule in here.items():
        there = z3.Not(predicate(predicates[name]))
        # A predicate sees two phases, perhaps of states far apart: T1 says there "zero or more arrows", here "one".
        differs = z3.And(rule, z3.Not(there)) if name == "T1" else rule != there
        if not never(anything, differs):
            found.append(name)
    return found


def prove(rules: frozenset[str]) -> Iterator[str]:
    """
    Prove everything for these *rules*, and print what is proved.

    Yields:
        What is wrong: a claim that does not hold, or a seeded bug that was not found.
    """
    names = BATCH_RULES.keys() | STEP_RULES.keys()
    for name in sorted(rules ^ names) + sorted(BUGS.keys() ^ names):
        yield f"proof: {name} has no assertion or no seeded bug, or is none of the rules"
    phases: dict[lc.Phase | None, int | None] = {None: None}
    phases.update((found, place) for place, found in enumerate(lc.Phase))
    chart = {(phases[before], tag): phases[after] for (before, tag), after in lc.TRANSITIONS.items()}
    if chart != ARROWS or {(at, step.tag) for step in SERVER.values() for at in step.phases or (None,)} != chart.keys():
        yield "proof: T1 has other arrows than the chart, or the server takes others"
    order = [name for name in lc.RULES if name in names]
    there = [lc.RULES[name].broken for name in order]
    differ = {*misread(dict(zip(order, there, strict=True)))}
    differ |= {name for name in order if lc.RULES[name].tier != TIER_OF[name]}
    for name in sorted(differ):
        yield f"proof: {name} means something else in lifecycle/rules.py, or has another tier"
    print(f"proof: {len(names)} rules compared with lifecycle/rules.py, different: {len(differ)}", flush=True)
    for name in sorted(names - set(misread(dict(zip(order, there[1:] + there[:1], strict=True))))):
        yield f"proof: {name} cannot be told from the rule after it"
    for tier in TIERS:
        found, tried = broken(SERVER, tier)
        for name in sorted(found):
            yield f"proof, {tier}: {name} is not inductive"
        for step in SERVER.values():
            may = allowed(step, tier)
            if never(before(step, tier), may):
                yield f"proof, {tier}: {step.tag} can never happen"
            if not never(before(step, tier), z3.Not(may), *obeyed(step, tier).values()):
                yield f"proof, {tier}: {step.tag} is refused though it breaks no rule"
        if stuck(tier):
            yield f"proof, {tier}: a batch may be unable to end"
        print(f"proof, {' + '.join(up_to(tier))}: {tried} claims (an event, a rule), refuted: {len(found)}", flush=True)
    for name, server in BUGS.items():
        found, _ = broken(server, TIER_OF[name])
        outcome = "found, and it alone" if found == {name} else "NOT AS IT SHOULD BE"
        print(f"proof, control {name}: {outcome}", flush=True)
        if found != {name}:
            yield f"proof: the bug that breaks {name} was found to break {sorted(found)}"
    if not stuck("law", _never_in_cancellation):
        yield "proof: a batch that cannot end in cancellation was not found"
