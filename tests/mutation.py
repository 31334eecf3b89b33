"""
Mutants: small mistakes that somebody could have made in a rule or in the code.

A predicate is text to Python, so a tool that mutates Python cannot look inside; `mutants_of` can.  It makes mistakes
that are still predicates over the same names: each parses, says something of a batch, and differs from the others and
from the original.  What it does not make is nonsense, such as an order of statuses.

`mutants_of_code` adds to the operators of cosmic-ray, which change operators, numbers and conditions, what else goes
wrong in this code: a statement, an argument or an element forgotten, a name written for another of its kind, a word
that is not the one expected.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
TIMES = ("created_at", "expires_at", "cancel_initiated_at", "ended_at", "archived_at", "deleted_at")
STATUSES = ("IN_PROGRESS", "CANCELING", "ENDED")
SPANS = ("LIFETIME", "RESULTS_LIFETIME")
KINDS = (COUNTS, TIMES, STATUSES, SPANS)
"""Names that stand for the same kind of thing, so that one could be written for another."""

ORDERED = {*COUNTS, *TIMES, *SPANS, "total", "LARGEST"}
"""The names of what has an order."""

OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_COMPARING = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip

OLD = "old_"
"""What stands in front of the names of the batch before."""


class Mutant(NamedTuple):
    """A predicate, or a module, with one mistake."""

    description: str
    """What was changed; no two mutants of one original have the same."""
    expression: str
    """The text that came of it."""


class _Change(NamedTuple):
    """Another value for one field of a node."""

    node: ast.AST
    field: str
    value: Any
    description: str


def mutants_of(expression: str) -> list[Mutant]:
    """
    All mutants of a predicate, in the order of its text.

    A comparison gets another operator; ``and`` and ``or`` change places or lose an operand; a whole number goes up and
    down by one; a name gives way to another of its kind, and a name of the batch before to that of the batch after.
    """
    tree = ast.parse(expression, mode="eval").body
    steps = any(node.id.startswith(OLD) for node in ast.walk(tree) if isinstance(node, ast.Name))
    return list(_mutants(tree, _changes(tree, "", steps=steps)))


def _mutants(tree: ast.AST, changes: Iterator[_Change]) -> Iterator[Mutant]:
    seen, told = {ast.unparse(tree)}, Counter[str]()
    for node, field, value, description in changes:
        told[description] += 1
        nth = told[description]
        kept = getattr(node, field)
        setattr(node, field, value)
        text = ast.unparse(ast.parse(ast.unparse(tree)))  # again, without the parentheses of what was left out
        setattr(node, field, kept)
        if text not in seen:
            seen.add(text)
            yield Mutant(description + (f", place {nth}" if nth > 1 else ""), text)


def _changes(node: ast.AST, within: str, *, steps: bool) -> Iterator[_Change]:
    match node:
        case ast.BoolOp(operator, values):
            word, opposite, other = ("and", "or", ast.Or) if isinstance(operator, ast.And) else ("or", "and", ast.And)
            first = ast.unparse(values[0])
            yield _Change(node, "op", other(), f"`{word}` becomes `{opposite}` after `{first}`")
            for place, value in enumerate(values):
                left = values[:place] + values[place + 1 :]
                yield _Change(node, "values", left, f"`{ast.unparse(value)}` left out")
        case ast.Compare(left, [operator], [right]):
            within = f" in `{ast.unparse(node)}`"
            for become in _other_operators(type(operator), _is_ordered(left) and _is_ordered(right)):
                change = f"`{OPERATORS[type(operator)]}` becomes `{OPERATORS[become]}`{within}"
                yield _Change(node, "ops", [become()], change)
        case ast.Constant(int(number)):
            for more in (-1, 1):
                yield _Change(node, "value", number + more, f"`{number}` becomes `{number + more}`{within}")
        case ast.Name(name):
            for another in _other_names(name, steps=steps):
                yield _Change(node, "id", another, f"`{name}` becomes `{another}`{within}")
    yield from chain.from_iterable(_changes(child, within, steps=steps) for child in ast.iter_child_nodes(node))


def _is_ordered(node: ast.expr) -> bool:
    match node:
        case ast.Name(name):
            return name.removeprefix(OLD) in ORDERED
        case ast.Constant(value):
            return isinstance(value, int)
        case _:
            return isinstance(node, ast.BinOp)


def _other_operators(operator: type[ast.cmpop], is_ordered: bool) -> list[type[ast.cmpop]]:
    if operator in _COMPARING and is_ordered:
        return [other for other in _COMPARING if other is not operator]
    return [_OPPOSITES[operator]]


def _other_names(name: str, *, steps: bool) -> list[str]:
    prefix = OLD if name.startswith(OLD) else ""
    plain = name.removeprefix(OLD)
    kinds = [kind for kind in KINDS if plain in kind] if plain != "total" else [COUNTS]
    found = [prefix + other for kind in kinds for other in kind if other != plain]
    if steps and not plain.isupper():  # a constant has no before and after
        found.append(plain if prefix else OLD + plain)
    return found


# --- code ---------------------------------------------------------------------------------------------------

STATES = ("absent", "in_progress", "canceling", "ended", "archived", "deleted")
"""The states of the chart."""

KINDS_IN_CODE = (
    *(TIMES, STATUSES, STATES),
    *(("LAW", "CONTRACT", "ADVICE"), ("BATCH", "STEP", "LOG"), ("LAWS", "HOSTED"), ("tiers", "enforced")),
)

_STATEMENTS = (ast.Expr, ast.Assign, ast.AugAssign, ast.Raise, ast.Return, ast.If, ast.For, ast.While, ast.Continue)


def mutants_of_code(source: str) -> list[Mutant]:
    """
    Mutants of a module, in the order of its text. A description starts with the line that it is about, or the rule.

    A statement, a case, an argument by name, an operand or an element is left out; of a choice one side is taken; a
    name gives way to another of its kind, a parameter to another of its type; a word becomes another; a predicate
    becomes each of its own mutants.

    Text for people is left alone: docstrings, messages, whatever has a space in it; a rule's sentence, its source, and
    what it says was seen.  So are annotations, which are mypy's to judge.
    """
    tree = ast.parse(source)
    return list(_mutants(tree, _Code(tree, source).changes(tree, {})))


class _Code:
    """The changes to a module."""

    def __init__(self, tree: ast.Module, source: str) -> None:
        self.lines = source.splitlines()
        self.places: dict[ast.AST, tuple[ast.AST, str]] = {}
        for parent in ast.walk(tree):
            for field, value in ast.iter_fields(parent):
                inside = value if isinstance(value, list) else [value]
                self.places |= {child: (parent, field) for child in inside if isinstance(child, ast.AST)}

    def instead(self, node: ast.AST, another: ast.AST, description: str, about: str = "") -> _Change:
        """Put *another* in the place of *node*."""
        parent, field = self.places[node]
        value = getattr(parent, field)
        new = [another if item is node else item for item in value] if isinstance(value, list) else another
        return _Change(parent, field, new, f"{about or self.line(node)}  # {description}")

    def line(self, node: ast.AST) -> str:
        while not isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.pattern):  # a case has no line of its own
            node = next(ast.iter_child_nodes(node))
        return self.lines[node.lineno - 1].strip()

    def without_each(self, node: ast.AST, field: str) -> Iterator[_Change]:
        """Leave each part out of a list of them."""
        parts = getattr(node, field)
        for part in parts:
            left = [other for other in parts if other is not part]
            yield self.instead(node, _with(node, field, left), f"`{_shown(part)}` left out")

    def changes(self, node: ast.AST, parameters: Mapping[str, str]) -> Iterator[_Change]:
        """All changes to *node* and to what is in it, within a function of these *parameters* and their types."""
        inside: Sequence[ast.AST | None] = list(ast.iter_child_nodes(node))
        match node:
            case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Expr(ast.Constant(str())):
                return  # the last is a docstring
            case ast.FunctionDef(args=arguments, body=body):
                parameters = {
                    parameter.arg: ast.unparse(parameter.annotation).removesuffix(" | None")
                    for parameter in (*arguments.args, *arguments.kwonlyargs)
                    if parameter.annotation
                }
                inside = [*arguments.defaults, *arguments.kw_defaults, *body]
            case ast.AnnAssign(value=assigned):
                inside = [assigned]
            case ast.Assign(value=ast.BinOp(op=ast.BitOr())) if isinstance(self.places[node][0], ast.Module):
                return  # a union of types
            case ast.Call(ast.Name("Rule"), [rule_id, tier, scope, *_], keywords):
                for keyword in keywords:
                    if keyword.arg == "broken":
                        predicate = keyword.value
                        for description, text in mutants_of(ast.literal_eval(predicate)):
                            about = f"Rule {ast.literal_eval(rule_id)}"
                            yield self.instead(predicate, ast.Constant(text), description, about)
                inside = [rule_id, tier, scope]
            case ast.Call():
                yield from self.without_each(node, "keywords")
            case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set():
                yield from self.without_each(node, "elts")
            case ast.Dict(keys, values):
                for key in filter(None, keys):
                    left = [(one, other) for one, other in zip(keys, values, strict=True) if one is not key]
                    without = ast.Dict([one for one, _ in left], [other for _, other in left])
                    yield self.instead(node, without, f"`{_shown(key)}` left out")
            case ast.BoolOp():
                yield from self.without_each(node, "values")
            case ast.BinOp(one, _, other):
                yield self.instead(node, one, f"`{_shown(other)}` left out")
                yield self.instead(node, other, f"`{_shown(one)}` left out")
            case ast.IfExp(_, one, other):
                yield self.instead(node, one, f"always `{_shown(one)}`")
                yield self.instead(node, other, f"always `{_shown(other)}`")
            case ast.comprehension():
                yield from self.without_each(node, "ifs")
            case ast.Match(cases=[_, _, *_]):
                yield from self.without_each(node, "cases")
            case ast.Name(name, ast.Load()) if name in parameters:
                for another, kind in parameters.items():
                    if kind == parameters[name] and another != name:
                        yield self.instead(node, ast.Name(another), f"`{name}` becomes `{another}`")
            case ast.Name(name, ast.Load()) | ast.Attribute(attr=name):
                field = "id" if isinstance(node, ast.Name) else "attr"
                for another in _others(name):
                    yield self.instead(node, _with(node, field, another), f"`{name}` becomes `{another}`")
            case ast.Constant(str(word)) if not any(map(str.isspace, word)):
                yield self.instead(node, ast.Constant(word + "_"), f"`{word!r}` becomes `{word + '_'!r}`")
        if isinstance(node, _STATEMENTS) and not isinstance(self.places[node][0], ast.Module):
            yield self.instead(node, ast.Pass(), "left out")
        for child in filter(None, inside):
            yield from self.changes(child, parameters)


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    another = copy.copy(node)
    setattr(another, field, value)
    return another


def _others(name: str) -> list[str]:
    return [other for kind in KINDS_IN_CODE if name in kind for other in kind if other != name]


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]
