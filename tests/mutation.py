"""
Mutants of a predicate: what a rule might say by mistake.

A predicate is text to Python, so a tool that mutates Python cannot look inside; `mutants_of` can.  It makes small
mistakes that are still predicates over the same names: each parses, says something of a batch, and differs from the
others and from the original.  What it does not make is nonsense, such as an order of statuses.
"""

import ast
from collections import Counter
from collections.abc import Iterator
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
    """A predicate with one mistake."""

    description: str
    """What was changed; no two mutants of one expression have the same."""
    expression: str
    """The predicate that came of it."""


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
    found: list[Mutant] = []
    seen, told = {ast.unparse(tree)}, Counter[str]()
    for change in _changes(tree, "", steps=steps):
        told[change.description] += 1
        nth = told[change.description]
        kept = getattr(change.node, change.field)
        setattr(change.node, change.field, change.value)
        text = ast.unparse(ast.parse(ast.unparse(tree)))  # again, without the parentheses of what was left out
        setattr(change.node, change.field, kept)
        if text not in seen:
            seen.add(text)
            found.append(Mutant(change.description + (f", place {nth}" if nth > 1 else ""), text))
    return found


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
