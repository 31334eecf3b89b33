"""The arrows of a batch's life in print, read off `lifecycle.TRANSITIONS`: for README, specs and `machine`."""

from lifecycle import TRANSITIONS, Phase
from lifecycle.cli.output import NOTHING
from lifecycle.machine import allowed

HEADER = ("before", "event", "after")


def arrows() -> list[tuple[str | None, str, str]]:
    """Every legal arrow: the phase before (None for no batch yet), the tag of the event, the phase after."""
    return [(None if before is None else str(before), tag, str(after)) for (before, tag), after in TRANSITIONS.items()]


def arrow_table() -> str:
    """The arrows as a table in GitHub's Markdown, without a newline at its end."""
    rows = [HEADER, *((before or NOTHING, tag, after) for before, tag, after in arrows())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def mermaid() -> str:
    """The arrows as a state diagram for Mermaid, without a newline at its end."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {before or '[*]'} --> {after}: {tag}" for before, tag, after in arrows()]
    lines += [f"    {phase} --> [*]" for phase in Phase if not allowed(phase)]
    return "\n".join(lines)
