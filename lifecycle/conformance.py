"""
The conformance vectors of ``specs/vectors``: what anybody's validator has to say, and how to mark what it says.

``specs/vectors.md`` is their page: the kinds, the questions and the answers.
"""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import attrs

from lifecycle.errors import LogError

KINDS = ("snapshot", "step", "event", "stream", "polls", "wire", "line")
"""What a vector is about; there is a file for each."""

Verdict = Literal["valid", "acceptable", "invalid"]
UNSUPPORTED = "unsupported"
"""What a validator says that does not judge a kind."""


def folder(name: str) -> Traversable:
    """
    Find a folder of ``specs/`` that programs read.

    Args:
        name: Such as ``vectors``.

    Returns:
        The folder: inside the package if it was installed from a wheel, beside it in a checkout.

    Raises:
        LogError: This installation does not have it.
    """
    return _near(resources.files("lifecycle"), name)


def _near(package: Traversable, name: str) -> Traversable:
    inside = package.joinpath("specs", name)
    if inside.is_dir():
        return inside
    beside = Path(str(package)).parent / "specs" / name
    if beside.is_dir():
        return beside
    raise LogError(str(inside), None, "is no part of this installation")


@attrs.frozen
class Mark:
    """How an answer compares with what a vector expects. None: the validator did not say."""

    verdict: bool | None
    """Whether the verdict is right."""
    rules: bool | None
    """Whether the broken rules are named, and no others; their order does not count."""
    more: bool | None
    """Whether what else was said is right: the batch after an event, findings, events, the text that is written."""
    problem: str | None = None
    """Why it is no answer."""

    @property
    def right(self) -> bool:
        """Whether the verdict was given, and nothing that was said is wrong."""
        return self.verdict is True and self.rules is not False and self.more is not False


@attrs.frozen
class Vector:
    """A question, and what is expected."""

    id: str
    """Such as ``snapshot-b4-2``. It stays when others are added."""
    kind: str
    """One of `KINDS`."""
    comment: str
    """What the case is, for people."""
    flags: tuple[str, ...]
    """What it is about first, often a rule, then what else sorts it."""
    profile: str
    """``laws`` or ``hosted``."""
    input: Mapping[str, Any]
    """What is to be judged, by kind."""
    verdict: Verdict
    """``invalid`` if a law or contract rule is broken, ``acceptable`` if advice alone is."""
    rules: tuple[str, ...]
    """The ids of the broken rules in the order of the rulebook; ``wire`` for what cannot be read."""
    expected: Mapping[str, Any]
    """What a validator may say beyond that."""

    @property
    def question(self) -> dict[str, Any]:
        """What a validator is asked: all but the answer, and what would give it away."""
        return {"id": self.id, "kind": self.kind, "profile": self.profile, "input": self.input}

    @property
    def about(self) -> tuple[str, ...]:
        """The rules that it tests: those that are broken, and the one that it is close to breaking."""
        named = [flag for flag in self.flags if flag[0] in "BTL" and flag[1:].isdigit()]
        if self.kind in {"wire", "line"}:
            named.append("wire")
        return tuple(dict.fromkeys((*self.rules, *named)))

    def mark(self, answer: object) -> Mark:
        """
        Compare an answer with what is expected.

        Args:
            answer: What the validator said, from JSON: an object with ``verdict``, and as far as it knows ``rules``
                and the keys of `expected`. The verdict ``unsupported`` is none.
        """
        if not isinstance(answer, Mapping):
            return Mark(None, None, None, "the answer is no object")
        verdict, rules = answer.get("verdict"), answer.get("rules")
        if verdict == UNSUPPORTED:
            return Mark(None, None, None)
        if verdict not in ("valid", "acceptable", "invalid"):  # a tuple, for what is said may be unhashable
            return Mark(None, None, None, "the verdict is none of valid, acceptable, invalid, unsupported")
        if rules is not None and not (isinstance(rules, list) and all(isinstance(rule, str) for rule in rules)):
            return Mark(None, None, None, "the rules are no array of ids")
        said = [answer[key] == value for key, value in self.expected.items() if key in answer]
        return Mark(
            verdict == self.verdict,
            None if rules is None else set(rules) == set(self.rules),
            all(said) if said else None,
        )


def vectors() -> Iterator[Vector]:
    """
    Read the conformance vectors, in the order of `KINDS` and of their files.

    Raises:
        LogError: This installation does not have them.
    """
    where = folder("vectors")
    for kind in KINDS:
        document = json.loads(where.joinpath(f"{kind}.json").read_text(encoding="utf-8"))
        for found in document["vectors"]:
            yield Vector(
                found["id"],
                kind,
                found["comment"],
                tuple(found["flags"]),
                found["profile"],
                found["input"],
                found["verdict"],
                tuple(found["rules"]),
                found.get("expected", {}),
            )
