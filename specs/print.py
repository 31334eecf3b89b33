"""
Print what pages show of the code into the pages: ``python specs/print.py``.

A printed section stands between ``<!-- printed: NAME -->`` and ``<!-- /printed -->``.  A test fails when one has
drifted.
"""

import ast
import re
import runpy
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import lifecycle as lc
from lifecycle.cli.machine_view import arrow_table, mermaid
from lifecycle.conformance import Vector, vectors
from lifecycle.rules import CONSTANTS, names_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "specs" / "lifecycle.md", ROOT / "specs" / "outcomes.md")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def rules(letter: str) -> str:
    """The rules whose ids begin with *letter*."""
    found = [rule for rule in lc.RULES.values() if rule.id.startswith(letter)]
    return table(("id", "tier", "rule", "source"), ((rule.id, rule.tier, rule.sentence, rule.source) for rule in found))


READ_BATCH: Callable[[Any], lc.MessageBatch] = runpy.run_path(
    str(ROOT / "specs" / "validators" / "lifecycle_itself.py")
)["read_batch"]


def examples(letter: str) -> str:
    """For the rules whose ids begin with *letter*, a vector that keeps to it and one that breaks little else."""
    kind = {"B": "snapshot", "T": "step", "L": "stream"}[letter]
    found = [vector for vector in vectors() if vector.kind == kind]
    rows = []
    for rule in lc.RULES.values():
        if rule.id.startswith(letter):
            about = [vector for vector in found if vector.flags[0] == rule.id]
            legal = next(vector for vector in about if not vector.rules)
            broken = min((vector for vector in about if rule.id in vector.rules), key=lambda vector: len(vector.rules))
            rows.append((rule.id, case(rule, legal), case(rule, broken)))
    return table(("id", "legal, for example", "broken, for example"), rows)


def case(rule: lc.Rule, vector: Vector) -> str:
    """What a vector is, and the values that the rule looks at."""
    values = {"snapshot": snapshot_values, "step": step_values, "stream": record_values}[vector.kind](rule, vector)
    return f"{vector.comment}: {values} (`{vector.id}`)"


def looks_at(rule: lc.Rule) -> list[str]:
    """The names of a rule's predicate, each once, without those of the batch before."""
    names = [node.id for node in ast.walk(ast.parse(rule.broken, mode="eval")) if isinstance(node, ast.Name)]
    plain = dict.fromkeys(name.removeprefix("old_") for name in names if name not in CONSTANTS)
    if {*COUNTS} <= plain.keys():
        return ["counts", *(name for name in plain if name not in COUNTS)]
    return [*plain]


def shown(batch: lc.MessageBatch, name: str) -> str:
    """One value of a batch."""
    if name == "counts":
        return "/".join(str(getattr(batch.request_counts, count)) for count in COUNTS)
    match names_of(batch)[name]:
        case None:
            return "null"
        case datetime() as time:
            return f"{time:%Y-%m-%dT%H:%M:%S.%f}"
        case tuple() as keys:
            return ", ".join(keys) or "none"
        case value:
            return str(value)


def snapshot_values(rule: lc.Rule, vector: Vector) -> str:
    """The values of one batch that a rule looks at."""
    batch = READ_BATCH(vector.input["batch"])
    return ", ".join(f"{name} `{shown(batch, name)}`" for name in looks_at(rule))


def step_values(rule: lc.Rule, vector: Vector) -> str:
    """The values of two batches that a rule looks at."""
    before, after = READ_BATCH(vector.input["before"]), READ_BATCH(vector.input["after"])
    changes = [(name, shown(before, name), shown(after, name)) for name in looks_at(rule) if name != "REACHABLE"]
    return ", ".join(f"{name} `{old}`" if old == new else f"{name} `{old}` → `{new}`" for name, old, new in changes)


def record_values(_rule: lc.Rule, vector: Vector) -> str:
    """The records of a log: a letter for the batch, the version, the event, and the batch that it names if another."""
    letters = dict.fromkeys(record["batch_id"] for record in vector.input["records"])
    letters.update(dict.fromkeys(record["event"].get("id", record["batch_id"]) for record in vector.input["records"]))
    letter = dict(zip(letters, "ABC", strict=False))
    shown = []
    for record in vector.input["records"]:
        event = record["event"]
        named = event.get("id", record["batch_id"])
        of = "" if named == record["batch_id"] else f" of {letter[named]}"
        shown.append(f"{letter[record['batch_id']]}{record['version']} `{event['type']}`{of}")
    return ", ".join(shown)


BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
ENDED, ARCHIVED = BIRTH + timedelta(hours=1), BIRTH + timedelta(days=30)
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
NONE = "–"  # noqa: RUF001 -- the project's sign for nothing


def batch(phase: str, *counts: int) -> lc.MessageBatch:
    """A batch in a phase, with five counts."""
    running = phase in {"in_progress", "canceling"}
    cancelled = phase == "canceling" or (counts[3] > 0 and not running)
    return lc.MessageBatch(
        "msgbatch_01",
        lc.ProcessingStatus(phase if running else "ended"),
        lc.RequestCounts(*counts),
        BIRTH,
        BIRTH + timedelta(hours=24),
        ended_at=None if running else ENDED,
        archived_at=ARCHIVED if phase == "archived" else None,
        cancel_initiated_at=BIRTH if cancelled else None,
        deleted_at=ARCHIVED if phase == "deleted" else None,
    )


EXAMPLES = (
    batch("in_progress", 20, 0, 0, 0, 0),
    batch("ended", 0, 20, 0, 0, 0),
    batch("ended", 0, 0, 20, 0, 0),
    batch("ended", 0, 0, 0, 20, 0),
    batch("ended", 0, 0, 0, 0, 20),
    batch("ended", 0, 5, 0, 15, 0),
    batch("ended", 0, 0, 5, 15, 0),
    batch("ended", 0, 0, 0, 0, 0),
)
"""A batch with each outcome."""


def outcomes() -> str:
    """Each outcome with an example and what to do."""
    rows = []
    for example in EXAMPLES:
        found = lc.outcome(example)
        counts = [(name, getattr(example.request_counts, name)) for name in COUNTS]
        shown = ", ".join(f"{number} {name}" for name, number in counts if number) or "no requests"
        rows.append((f"`{found}`", f"{example.phase}: {shown}", found.next_step))
    return table(("outcome", "for example", "what to do"), rows)


def states() -> str:
    """The outcome of every state of a batch of four requests; a dash where the laws allow none."""
    splits = [split for split in product(range(4, -1, -1), repeat=len(COUNTS)) if sum(split) == 4]
    cells = [
        [NONE if lc.check(state) else lc.outcome(state).kind for state in (batch(phase, *split) for phase in lc.Phase)]
        for split in splits
    ]
    return table((*COUNTS, *lc.Phase), ((*map(str, split), *row) for split, row in zip(splits, cells, strict=True)))


SECTIONS: Mapping[str, Callable[[], str]] = {
    "arrows": arrow_table,
    "outcomes": outcomes,
    "states of four": states,
    "diagram": lambda: f"```mermaid\n{mermaid()}\n```",
    "rules batch": lambda: rules("B"),
    "examples batch": lambda: examples("B"),
    "rules step": lambda: rules("T"),
    "examples step": lambda: examples("T"),
    "rules log": lambda: rules("L"),
    "examples log": lambda: examples("L"),
}
"""Each section by name, and what it has to say."""


def printed(text: str) -> str:
    """*text* with every printed section as the code now has it."""
    return re.sub(
        r"(<!-- printed: ([a-z ]+) -->\n).*?(<!-- /printed -->)",
        lambda found: f"{found[1]}{SECTIONS[found[2]]()}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Rewrite the pages."""
    for page in PAGES:
        page.write_text(printed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
