"""The project around the package: what its files promise to one another."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import lifecycle

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = [
    ROOT / "noxfile.py",
    *sorted(path for folder in ("lifecycle", "tests", "benchmarks", "specs") for path in (ROOT / folder).rglob("*.py")),
]


def test_the_readme_tells_the_very_command_that_ci_runs() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command in (ROOT / "README.md").read_text().splitlines()


def test_ci_run_can_be_executed() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_each_release_in_the_changelog_tells_about_the_stored_format_first() -> None:
    order = ["Stored format", "Removed", "Deprecated", "Added", "Changed", "Fixed"]
    _, *releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert releases
    for release in releases:
        sections = re.findall(r"^### (.*)$", release, flags=re.MULTILINE)
        assert sections == [name for name in order if name in sections]
        assert sections[0] == order[0]


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("lifecycle").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    "line",
    [
        *PYPROJECT["project"]["dependencies"],
        *(line for extra in PYPROJECT["project"]["optional-dependencies"].values() for line in extra),
    ],
)
def test_every_dependency_has_a_floor_and_no_ceiling(line: str) -> None:
    assert [clause.operator for clause in Requirement(line).specifier] == [">="]


def test_every_ignored_lint_rule_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ruff = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8-builtins]")]
    blocks = re.findall(r"^(?:ignore|\".*\") = \[\n(.*?)^\]", ruff, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert lines
    assert [line for line in lines if not re.search(r'"[A-Z]+\d*", +# \w', line)] == []


def test_every_ignore_in_the_code_names_its_code_and_its_reason() -> None:
    marker = re.compile(r"#\s*(?:type:\s*ignore|noqa|pyright:\s*ignore|pragma:\s*no)\b(?P<rest>.*)")
    code = r"(?:\[[\w, -]+\]|: [A-Z]+\d+(?:, ?[A-Z]+\d+)*| (?:cover|branch)):?"
    explained = re.compile(code + r"\s+(?:#|-+)\s*\w.*")
    unexplained = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (found := marker.search(line)) and not explained.fullmatch(found["rest"])
    ]
    assert unexplained == []


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert lifecycle.__all__ == sorted(lifecycle.__all__)
    assert [name for name in lifecycle.__all__ if not hasattr(lifecycle, name)] == []


def test_the_core_loads_nothing_that_reads_files_or_bodies_or_columns() -> None:
    names = "{'cattrs', 'hypothesis', 'json', 'lifecycle.lines', 'msgspec', 'numpy'}"
    # Less what is there before, for coverage, when it measures, loads json.
    program = f"import sys; old = set(sys.modules); import lifecycle; print(sorted({names} & set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
