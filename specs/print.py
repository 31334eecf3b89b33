# ruff: noqa: INP001 -- a script in a folder of pages; nothing imports it
"""
Print what pages show of the code into the pages: ``python specs/print.py``.

A printed section stands between ``<!-- printed: NAME -->`` and ``<!-- /printed -->``.  A test fails when one has
drifted.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import lifecycle as lc
from lifecycle.cli.machine_view import arrow_table, mermaid

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "specs" / "lifecycle.md")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def rules(letter: str) -> str:
    """The rules whose ids begin with *letter*."""
    found = [rule for rule in lc.RULES.values() if rule.id.startswith(letter)]
    return table(("id", "tier", "rule", "source"), ((rule.id, rule.tier, rule.sentence, rule.source) for rule in found))


SECTIONS: Mapping[str, Callable[[], str]] = {
    "arrows": arrow_table,
    "diagram": lambda: f"```mermaid\n{mermaid()}\n```",
    "rules batch": lambda: rules("B"),
    "rules step": lambda: rules("T"),
    "rules log": lambda: rules("L"),
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
