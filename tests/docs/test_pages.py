"""
What the pages show is what happens.

Every ``python`` block of README.md, docs/, specs/ and examples/README.md runs; the blocks of a page share their names,
top to bottom.  Every ``$`` line of a ``console`` block runs too, and writes what stands below it to stdout; ``...`` is
anything.
What is printed from the code has not drifted.
"""

import doctest
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "docs", ROOT / "specs")
PAGES = [
    ROOT / "README.md",
    ROOT / "examples" / "README.md",
    *sorted(page for folder in FOLDERS for page in folder.rglob("*.md")),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """The blocks of a language on a page, each with the number of lines above it."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, block.start(1)), block[1]


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """The ``$`` lines of a page, each with what it is said to print."""
    for _, block in blocks(page, "console"):
        for command in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE):
            yield command[1], command[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_on_a_page_runs(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for lines_above, code in blocks(page, "python"):
        if ">>> " in code:
            example = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), lines_above)
            report: list[str] = []
            doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append, clear_globs=False)
            assert "".join(report) == ""
            names.update(example.globs)
        else:
            exec(compile("\n" * lines_above + code, str(page), "exec"), names)


@pytest.mark.parametrize(
    ("command", "expected"),
    [pytest.param(*found, id=f"{name_of(page)}: {found[0]}") for page in PAGES for found in commands(page)],
)
def test_a_command_on_a_page_prints_what_the_page_shows(command: str, expected: str, folder: Path) -> None:
    script = f'lifecycle() {{ "{sys.executable}" -m lifecycle "$@"; }}\n{command}'
    env = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(["sh", "-c", script], cwd=folder, env=env, capture_output=True, check=False)
    shown = "".join(f"{line.rstrip()}\n" for line in done.stdout.decode().splitlines())
    same = doctest.OutputChecker().check_output(expected, shown, doctest.ELLIPSIS)
    assert same, shown + done.stderr.decode()


def test_pages_show_commands_and_python() -> None:
    """The tests above look at something."""
    readme = ROOT / "README.md"
    assert len(list(commands(readme))) >= 3
    assert len(list(blocks(readme, "python"))) >= 5


def test_what_is_printed_from_the_code_has_not_drifted() -> None:
    script = runpy.run_path(str(ROOT / "specs" / "print.py"))
    shown: set[str] = set()
    for page in script["PAGES"]:
        text = page.read_text(encoding="utf-8")
        assert text == script["printed"](text)
        shown.update(re.findall(r"<!-- printed: (.*) -->", text))
    assert shown == set(script["SECTIONS"])


def test_a_drifted_section_is_noticed() -> None:
    printed = runpy.run_path(str(ROOT / "specs" / "print.py"))["printed"]
    right = printed("<!-- printed: arrows -->\n<!-- /printed -->")
    assert printed(right) == right
    assert printed(right.replace("canceling", "cancelling")) == right


def test_the_readme_says_first_what_shows_it_working() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.findall(r"^python3 .*$", readme, flags=re.MULTILINE)[0]
    assert first.split(" && ") == [
        "python3 -m venv .venv",
        ".venv/bin/pip install -q '.[cli]'",
        ".venv/bin/lifecycle replay examples/recorded.jsonl",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
