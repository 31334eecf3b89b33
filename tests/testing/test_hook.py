"""
The entry point: Hypothesis knows the types of the package with no import of the kit, and nobody pays for it.

Where the package is not installed (in a checkout) its metadata are not, either; so those tests that start a process
give it metadata with the entry point that pyproject.toml states.
"""

import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from datetime import UTC
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

import _hypothesis_lifecycle as hook
import lifecycle as lc
from lifecycle.testing.strategies import for_type

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["hypothesis"]
KINDS = [getattr(lc, name) for name in hook.TYPES]
simplest = settings(derandomize=True, database=None)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What to start Python with so that it finds this package and its entry point."""
    metadata = tmp_path / "metadata" / "lifecycle_probe-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lifecycle-probe\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in ENTRY_POINTS.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[hypothesis]", *lines]))
    places = Path(str(hook.__file__)).parent, Path(str(lc.__file__)).parents[1]
    folders = [str(metadata.parent), *map(str, places)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ---------------------------------------------------------------------------------------------- in processes of their


USE = """
@settings(max_examples=10, database=None)
@given(...)
def use(batch: MessageBatch, many: list[MessageBatch], event: lifecycle.Event, record: lifecycle.Record) -> None:
    assert lifecycle.check(batch) == ()
    assert all(lifecycle.check(one) == () for one in many)

use()
print("used")
"""


@pytest.mark.parametrize("first", ["hypothesis", "lifecycle"])
def test_types_resolve_whichever_package_is_imported_first(first: str, environment: dict[str, str]) -> None:
    imports = f"import {first}, lifecycle\nfrom hypothesis import given, settings\nfrom lifecycle import MessageBatch"
    assert run(f"{imports}\n{USE}", environment) == "used\n"


def test_importing_hypothesis_loads_the_hook_and_nothing_else_of_ours(environment: dict[str, str]) -> None:
    # Nor anything that was not there without the hook.
    modules = "import sys, hypothesis; print(sorted(sys.modules))"
    with_hook = set(ast.literal_eval(run(modules, environment)))
    without = set(ast.literal_eval(run(modules, environment | {"HYPOTHESIS_NO_PLUGINS": "1"})))
    assert with_hook - without == {"_hypothesis_lifecycle"}


def test_importing_the_package_after_hypothesis_does_not_load_the_kit(environment: dict[str, str]) -> None:
    code = "import sys, hypothesis, lifecycle; print('lifecycle.testing' in sys.modules, lifecycle.__spec__.loader)"
    found, loader = run(code, environment).split(" ", 1)
    assert found == "False"
    assert "SourceFileLoader" in loader  # its own, not ours


@pytest.mark.parametrize("files", [{"lifecycle.py": "x = 7"}, {"lifecycle/note.txt": ""}])
def test_another_module_of_that_name_is_left_alone(
    files: dict[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / "other" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder = str(tmp_path / "other")
    code = f"import sys, hypothesis; sys.path[:] = [{folder!r}]; import lifecycle; print(getattr(lifecycle, 'x', 7))"
    assert run(code, environment) == "7\n"


# ------------------------------------------------------------------------------------------------------- piece by piece


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_type_has_a_strategy_that_builds_it(kind: type) -> None:
    @settings(simplest, max_examples=20)
    @given(for_type(kind))
    def build(value: object) -> None:
        assert type(value) is kind

    build()


def test_what_is_told_of_a_batch_is_what_some_batch_gives() -> None:
    @settings(simplest, max_examples=20)
    @given(for_type(lc.Outcome), for_type(lc.Deadlines))
    def build(outcome: lc.Outcome, deadlines: lc.Deadlines) -> None:
        assert not (outcome.kind is lc.OutcomeKind.PENDING and outcome.results_available)
        assert deadlines.expires_at.tzinfo is deadlines.results_until.tzinfo is UTC

    build()


def test_every_public_value_that_can_be_made_up_is_registered() -> None:
    # The others are enumerations, which Hypothesis knows, errors, and what only the library itself makes.
    made = {"Finding", "Report", "Violation"}
    public = {name for name in lc.__all__ if isinstance(getattr(lc, name), type)}
    enumerations = {"OutcomeKind", "Phase", "ProcessingStatus", "Tier"}
    errors = {name for name in public if issubclass(getattr(lc, name), Exception)}
    assert set(hook.TYPES) == public - made - enumerations - errors


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> dict[type, Any]:
    """What is registered from now on, and with what."""
    found: dict[type, Any] = {}
    monkeypatch.setattr(st, "register_type_strategy", found.__setitem__)
    return found


def test_a_package_that_is_there_already_is_registered_at_once(forgotten: dict[type, Any]) -> None:
    hook.enter()
    assert list(forgotten) == KINDS
    strategy = forgotten[lc.MessageBatch](lc.MessageBatch)
    assert type(find(strategy, lambda _: True, settings=simplest)) is lc.MessageBatch


def test_a_package_that_is_not_there_is_watched_for_by_one_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lifecycle")
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not isinstance(finder, hook._Watch)])
    others = list(sys.meta_path)
    hook.enter()
    hook.enter()
    [watch] = [finder for finder in sys.meta_path if finder not in others]
    assert isinstance(watch, hook._Watch)
    assert watch.find_spec("json") is None


def test_a_package_that_is_imported_later_is_registered_then_and_has_its_own_loader(
    monkeypatch: pytest.MonkeyPatch, forgotten: dict[type, Any]
) -> None:
    watch = hook._Watch()
    monkeypatch.setattr(sys, "meta_path", [watch, PathFinder])
    spec = watch.find_spec("lifecycle")
    assert spec is not None
    assert spec.loader is not None
    assert spec.loader.is_package("lifecycle")  # type: ignore[attr-defined] # a loader of files has it
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(forgotten) == KINDS
    assert not isinstance(module.__loader__, hook._Loader)
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__


def test_a_module_without_a_spec_is_loaded_all_the_same() -> None:
    class Loader:
        def exec_module(self, module: ModuleType) -> None:
            module.loaded = True  # type: ignore[attr-defined] # a module may have anything

    module = ModuleType("lifecycle")
    hook._Loader(Loader()).exec_module(module)
    assert module.loaded


@pytest.mark.parametrize("loader", [None, object()], ids=["a namespace package", "a loader of the old kind"])
def test_what_has_no_loader_of_today_is_found_as_it_is(monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    class Finder:
        def find_spec(self, name: str, path: object, target: object) -> ModuleSpec:
            assert (path, target) == (None, None)
            return ModuleSpec(name, loader)

    watch = hook._Watch()
    monkeypatch.setattr(sys, "meta_path", [watch, Finder()])
    spec = watch.find_spec("lifecycle")
    assert spec is not None
    assert spec.loader is loader


def test_a_package_that_nobody_finds_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = hook._Watch()
    monkeypatch.setattr(sys, "meta_path", [watch])
    assert watch.find_spec("lifecycle") is None


def test_a_package_that_has_not_all_the_types_raises_nothing() -> None:
    hook._register(ModuleType("lifecycle"))


def test_a_hypothesis_that_registers_no_types_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(st, "register_type_strategy")
    hook.enter()


def test_builds_cannot_work() -> None:
    """As the documentation says: it takes each field on its own, and Hypothesis cannot tell what a field takes."""

    @settings(simplest, phases=[Phase.generate])  # the simplest of them is not wanted, and takes long to find
    @given(st.builds(lc.MessageBatch))
    def build(batch: lc.MessageBatch) -> None:
        raise AssertionError(f"{batch} was built")

    # Which of the two comes first depends on whether `extra` can be resolved.
    with pytest.raises((HypothesisException, ValueError)):
        build()
