"""
The outcome of every state of a batch of four requests, worked out by itself: ``python tests/outcome_table.py``.

Written from the sentences of ``specs/outcomes.md`` and from nothing else: it imports nothing of the package.  The table
on that page is printed by the package; a test holds that both are the same.
"""

from itertools import product

SIZE = 4
PHASES = ("in_progress", "canceling", "ended", "archived", "deleted")
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")


def outcome(phase: str, counts: dict[str, int]) -> str:
    """What the page says of one state; a dash where rule B5 allows none."""
    if phase in {"in_progress", "canceling"}:
        return "pending"
    if counts["processing"] > 0:
        return "–"  # noqa: RUF001 -- the project's sign for nothing
    if sum(counts.values()) == 0:
        return "empty"
    for name, number in counts.items():
        if number == sum(counts.values()):
            return name
    return "partial" if counts["succeeded"] else "failed"


def table() -> str:
    """All states, in Markdown: a row for each split of the requests, a column for each phase."""
    lines = ["| " + " | ".join((*COUNTS, *PHASES)) + " |", "|" + " --- |" * (len(COUNTS) + len(PHASES))]
    for split in product(range(SIZE, -1, -1), repeat=len(COUNTS)):
        if sum(split) == SIZE:
            counts = dict(zip(COUNTS, split, strict=True))
            lines.append("| " + " | ".join([*map(str, split), *(outcome(phase, counts) for phase in PHASES)]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
