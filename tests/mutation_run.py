"""
Mutation testing: is every small mistake in the rules and in the code around them noticed by a test?

`nox -s mutants` runs it; arguments pick modules (`nox -s mutants -- rules machine`).

Mutants are made by the operators of cosmic-ray, all of them, and by `tests.mutation`, which knows what cosmic-ray
cannot: predicates are text to Python.  A mutant is never written to a file.  For each a process is forked that has
loaded what the tests need, but not the package; there the mutant is what an import of its module finds.  Where only a
predicate or the inside of a function differs, the process has loaded the package and the tests too, and the new text
or code is put in the place of the old.  The tests run in the order of `TESTS`, and the first that fails ends it.

What becomes of a mutant:

- *stillborn*: its module cannot even be imported.  Nobody would ever run it, so it counts neither way.
- *killed*: a test failed, or (told apart) the tests did not come to an end.
- *survived*: all tests passed.  Each survivor is explained in `survivors.toml`; an explanation changes no score.

The exit status is 1 if the score of a module (killed of killed and survived) is below `ENOUGH`, if a survivor is not
explained, or if an explanation is of no survivor.
"""

import argparse
import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import hypothesis
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

from tests.mutation import mutants_of_code

ENOUGH = 0.95
"""The least score of each module."""

HERE = Path(__file__).parent
SURVIVORS = HERE / "survivors.toml"


class Stage(NamedTuple):
    """Some of the tests."""

    files: tuple[str, ...]
    wanted: str = ""
    """What the id of a test has in it, as a regular expression."""

    @property
    def paths(self) -> list[str]:
        return [str(HERE.resolve() / f"test_{file}.py") for file in self.files]

    def of(self, items: Iterable[pytest.Item]) -> list[pytest.Item]:
        return [item for item in items if str(item.path) in self.paths and re.search(self.wanted, item.nodeid)]


EACH_RULE = Stage(("oracle",), r"::Test[BTL]\d+::|sampled_pairs.*\[2\]")
EACH_EVENT = Stage(("oracle",), r"(every_event|newly_breaks).*\[((LAWS|HOSTED)-)?[01]\]")
EACH_COMMAND = Stage(("oracle",), r"oracle_decides\[.*-[01]\]")
TABLES = Stage(("rules", "machine"))
CORE = Stage(("folding", "deciding"))
SNAPSHOTS = Stage(("observing",), r"::Test")
MANY_SNAPSHOTS = Stage(("observing",), r"::test(?!.*\[((LAWS|HOSTED)-[234]|2)\])")

TESTS = {
    "rules": (EACH_RULE, TABLES, CORE, EACH_EVENT),
    "machine": (TABLES, CORE, EACH_RULE),
    "folding": (CORE, EACH_RULE, EACH_EVENT),
    "observing": (SNAPSHOTS, MANY_SNAPSHOTS),
    "deciding": (CORE, EACH_COMMAND),
}
"""The tests of each module, cheapest killers first: those that judge it, not all that call it."""

MODULES = tuple(TESTS)
"""The modules of the package that are mutated."""

GRAFTED = ("folding", "observing", "deciding")
"""The modules whose functions do not run while they are imported."""

SECONDS = 45
"""As much processor time as one mutant may take, where all tests together take some 12 seconds."""
SECONDS_TO_IMPORT = 5
"""As much as its import may take, of a fifth of a second."""
HANGS = 1_800
"""As much time as one mutant may take on a busy machine."""
MEMORY = 4 * 2**30
"""As much as one mutant may take, in bytes: some never stop collecting."""

PROFILE = hypothesis.settings(
    max_examples=25,
    derandomize=True,  # a mutant does not survive or die by luck
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

PREDICATE = "predicate"
"""The kind of the mutants of predicates."""

STILLBORN, KILLED, OUT_OF_TIME, SURVIVED = "stillborn", "killed", "out of time", "survived"


class Mutant(NamedTuple):
    """A module with one mistake."""

    module: str
    """Its name in the package."""
    id: str
    """The line, and what became of it; stable while other lines move."""
    kind: str
    """What sort of mistake it is."""
    source: str
    """The whole module."""


def key(mutant: Mutant) -> str:
    """The name of a mutant among those of all modules."""
    return f"{mutant.module}: {mutant.id}"


class Result(NamedTuple):
    """What became of a mutant."""

    outcome: str
    killer: str
    """The test that noticed it; for a stillborn, the error."""


# --- which mutants there are --------------------------------------------------------------------------------


def mutants(module: str) -> tuple[list[Mutant], int]:
    """All mutants of a module, no two alike; and how many more fell away as alike, as no Python, or as annotations."""
    source = source_of(module)
    made: Iterator[Mutant] = (
        Mutant(module, name, PREDICATE if name.startswith("Rule ") else "code", text)
        for name, text in mutants_of_code(source)
    )
    found: dict[str, Mutant] = {}
    seen = {ast.dump(ast.parse(source))}
    fell = 0
    for mutant in [*made, *cosmic(module, source)]:
        if mutant.kind != PREDICATE:  # they differ from one another already, and from all others
            try:
                shape = ast.dump(ast.parse(mutant.source))
            except SyntaxError:
                shape = ""
            if not shape or shape in seen:
                fell += 1
                continue
            seen.add(shape)
        assert mutant.id not in found, f"two mutants are called {mutant.id!r}"
        found[mutant.id] = mutant
    return list(found.values()), fell


def cosmic(module: str, source: str) -> Iterator[Mutant]:
    """The mutants of cosmic-ray, but for those of annotations, which are mypy's to judge."""
    lines = source.splitlines()
    spans = annotations(ast.parse(source))
    provider = OperatorProvider()
    told = Counter[str]()
    nodes = list(ast_nodes(get_ast(source)))
    for name in provider:
        if provider[name].arguments():
            continue  # asks for names of variables
        operator = provider[name]()
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, ((line, column), _) in enumerate(positions):
            if any(start <= (line, column) < end for start, end in spans):
                continue
            mutated = mutate_code(source, operator, occurrence)
            after = mutated.splitlines()
            changed = [new.strip() for old, new in zip(lines, after, strict=False) if old != new]
            same_length = len(after) == len(lines)
            become = f"becomes `{' '.join(changed)}`" if same_length else "left out"
            told[key := f"{lines[line - 1].strip()}  # {become}"] += 1
            place = f", place {told[key]}" if told[key] > 1 else ""
            yield Mutant(module, key + place, name.partition("_")[0], mutated)


def annotations(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations start and end, and unions that are only used in them; lines from 1, columns from 0."""
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(returns=annotation)
                | ast.arg(annotation=annotation)
                | ast.AnnAssign(annotation=annotation)
            ):
                found.append(annotation)
            case _:
                pass
    found += [node.value for node in tree.body if isinstance(node, ast.Assign) and is_union(node.value)]
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)) for node in found if node
    ]


def is_union(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)


def source_of(module: str) -> str:
    spec = importlib.util.find_spec("lifecycle")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / f"{module}.py").read_text(encoding="utf-8")


# --- what becomes of one ------------------------------------------------------------------------------------


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant where its module is asked for."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name != f"lifecycle.{self.mutant.module}":
            return None
        return importlib.util.spec_from_loader(name, _Loader(self.mutant))


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 -- there is one
        return self.mutant.source


class _Tests:
    """A pytest plugin: the profile, which tests, and what failed first."""

    def __init__(self, *stages: Stage, instead: Callable[[], None] | None = None) -> None:
        self.stages = stages
        self.instead = instead
        """What is done with the tests, if they are not just run."""
        self.items: dict[Stage, list[pytest.Item]] = {}
        self.failed = ""

    def run(self, *arguments: str) -> bool:
        """Whether all passed; *arguments* instead of the paths of the stages."""
        root = HERE.resolve().parent
        options = ["-x", "-qq", "-s", "--tb=no", "--assert=plain", f"--rootdir={root}"]
        options += [f"--config-file={root / 'pyproject.toml'}", "-p", "no:cacheprovider"]
        options += ["-p", "no:unraisableexception"]  # it collects garbage, for long
        paths = {path for stage in self.stages for path in stage.paths}
        return pytest.main([*options, *(arguments or sorted(paths))], plugins=[self]) == pytest.ExitCode.OK

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        hypothesis.settings.register_profile("mutants", PROFILE)
        hypothesis.settings.load_profile("mutants")  # not before conftest.py has loaded its own

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.stages:
            self.items = {stage: stage.of(items) for stage in self.stages}
            items[:] = chain.from_iterable(self.items.values())

    def pytest_runtestloop(self) -> bool | None:
        if self.instead is None:
            return None
        self.instead()
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid


def judge_cold(mutant: Mutant, killer: str) -> Result:
    """Import a mutant, and then the tests, in a process that has seen neither."""
    sys.meta_path.insert(0, _Finder(mutant))
    signal.signal(signal.SIGPROF, _never_imported)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_TO_IMPORT)
    try:
        importlib.import_module("lifecycle")
    except Exception as error:  # noqa: BLE001 -- whatever it is, it cannot be imported
        return Result(STILLBORN, f"{type(error).__name__}: {error}")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if killer:
        tests = _Tests()
        tests.run(killer)  # if there is no such test any more, nothing has failed
        if tests.failed:
            return Result(KILLED, tests.failed)
    for stage in TESTS[mutant.module]:
        tests = _Tests(stage)
        if not tests.run():
            return Result(KILLED, tests.failed or "pytest itself")
    return Result(SURVIVED, "")


def _never_imported(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS_TO_IMPORT} seconds")


def judge_warm(mutant: Mutant, killer: str, tests: _Tests) -> Result:
    """Put a mutant in the place of what is loaded."""
    try:
        (graft_rule if mutant.kind == PREDICATE else graft_functions)(mutant)
    except Exception as error:  # noqa: BLE001 -- as above
        return Result(STILLBORN, f"{type(error).__name__}: {error}")
    items = chain.from_iterable(tests.items[stage] for stage in TESTS[mutant.module])
    order = sorted(items, key=lambda item: item.nodeid != killer)
    for item, following in pairwise([*order, None]):
        assert item is not None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if tests.failed:
            return Result(KILLED, tests.failed)
    return Result(SURVIVED, "")


def can_be_grafted(mutant: Mutant) -> bool:
    """Whether a mutant differs from what is loaded in a predicate, or inside of functions, alone."""
    if mutant.kind == PREDICATE:
        return True
    return mutant.module in GRAFTED and outline(mutant.source) == outline(source_of(mutant.module))


def outline(source: str) -> str:
    """A module without what is inside of its functions."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.body = []
            node.args.defaults = []
            node.args.kw_defaults = []
    return ast.dump(tree)


def graft_rule(mutant: Mutant) -> None:
    """Change the predicate of a rule, and forget what was compiled of it."""
    before, after = predicates(source_of(mutant.module)), predicates(mutant.source)
    rules = sys.modules[f"lifecycle.{mutant.module}"].RULES
    for rule_id in [rule_id for rule_id, predicate in before.items() if after[rule_id] != predicate]:
        object.__setattr__(rules[rule_id], "broken", after[rule_id])
    for name, module in list(sys.modules.items()):
        if name.startswith("lifecycle."):
            for cached in [value for value in vars(module).values() if hasattr(value, "cache_clear")]:
                cached.cache_clear()


def predicates(source: str) -> dict[str, str]:
    """The predicates in the text of `rules.py`."""
    return {
        ast.literal_eval(call.args[0]): ast.literal_eval(keyword.value)
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Rule"
        for keyword in call.keywords
        if keyword.arg == "broken"
    }


def graft_functions(mutant: Mutant) -> None:
    """Give the functions, which others have imported by name, the mutant's code."""
    loaded = sys.modules[f"lifecycle.{mutant.module}"]
    scope: dict[str, object] = {"__name__": loaded.__name__}
    exec(compile(mutant.source, f"<mutant of {loaded.__name__}>", "exec"), scope)
    for name, new in scope.items():
        old = getattr(loaded, name, None)
        if isinstance(new, FunctionType) and isinstance(old, FunctionType) and new.__module__ == loaded.__name__:
            old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


class Fork(NamedTuple):
    """A process that judges a mutant."""

    mutant: Mutant
    answer: int
    """Where it writes its `Result`."""


def fork(mutant: Mutant, judge: Callable[[], Result]) -> tuple[int, Fork]:
    """Judge a mutant in a child of this process, which ends itself in time."""
    answer, told = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told)
        return pid, Fork(mutant, answer)
    # In the child. It must not come back from here, whatever the mutant does.
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its default action ends the process, in whatever it is
        signal.setitimer(signal.ITIMER_REAL, HANGS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        result = judge()
    except BaseException as error:  # noqa: BLE001 -- as above
        result = Result("", f"{type(error).__name__}: {error}")
    os.write(told, json.dumps([text[:1000] for text in result]).encode())
    os._exit(0)


def reap(running: dict[int, Fork]) -> tuple[Mutant, Result]:
    """Wait for any of the children to end."""
    pid, status = os.wait()
    mutant, answer = running.pop(pid)
    with os.fdopen(answer, "rb") as stream:
        told = stream.read()
    if told:
        result = Result(*json.loads(told))
        if not result.outcome:
            raise SystemExit(f"{mutant.id}: could not be judged: {result.killer}")
        return mutant, result
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM):
        return mutant, Result(OUT_OF_TIME, "")
    return mutant, Result(KILLED, f"the process ended: {status}")


def judge_each(
    found: Iterable[Mutant], judge: Callable[[Mutant], Result], tell: Callable[[Mutant, Result], None], jobs: int
) -> None:
    """Judge mutants, each in a fork of this process as it is now."""
    gc.freeze()
    running: dict[int, Fork] = {}
    waiting = iter(found)
    while True:
        for mutant in islice(waiting, jobs - len(running)):
            pid, child = fork(mutant, partial(judge, mutant))
            running[pid] = child
        if not running:
            return
        tell(*reap(running))


def judge_all(
    found: Sequence[Mutant], killers: Mapping[str, str], tell: Callable[[Mutant, Result], None], jobs: int
) -> None:
    """Judge all mutants. The test that killed one the last time is asked first."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of the time of a short run
    for name in ("cattrs.preconf.msgspec", "msgspec", "statemachine"):  # what the package needs is not mutated
        importlib.import_module(name)
    grafts = [mutant for mutant in found if can_be_grafted(mutant)]
    others = [mutant for mutant in found if mutant not in grafts]
    unchanged = [
        Mutant(module, "unchanged", PREDICATE if module == "rules" else "", source_of(module))
        for module in dict.fromkeys(mutant.module for mutant in found)
    ]

    def killer(mutant: Mutant) -> str:
        return killers.get(key(mutant), "")

    def cold(mutant: Mutant) -> Result:
        return judge_cold(mutant, killer(mutant))

    def warm(mutant: Mutant) -> Result:
        return judge_warm(mutant, killer(mutant), tests)

    def demand(_: Mutant, result: Result) -> None:
        if result.outcome != SURVIVED:
            raise SystemExit(f"without any mistake the tests do not pass: {result}")

    def judge_grafts() -> None:  # from here on the package is loaded
        judge_each(filter(can_be_grafted, unchanged), warm, demand, jobs)
        judge_each(grafts, warm, tell, jobs)

    judge_each(unchanged, cold, demand, jobs)
    judge_each(others, cold, tell, jobs)
    tests = _Tests(*dict.fromkeys(chain.from_iterable(TESTS.values())), instead=judge_grafts)
    if not tests.run():
        raise SystemExit(f"the tests could not be loaded: {tests.failed}")


# --- what comes of all --------------------------------------------------------------------------------------


def explanations(modules: Sequence[str]) -> dict[tuple[str, str], str]:
    """What `survivors.toml` says of the mutants of some modules: (module, id) -> why it survives."""
    found: dict[tuple[str, str], str] = {}
    for entry in tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", []):
        if entry["module"] in modules and entry["why"].strip():
            found |= {(entry["module"], mutant): entry["why"] for mutant in entry["mutants"]}
    return found


def report(results: Sequence[tuple[Mutant, Result]], modules: Sequence[str]) -> list[str]:
    """Print the scores; returns what is wrong."""
    wrong: list[str] = []
    explained = explanations(modules)
    survivors = {(mutant.module, mutant.id) for mutant, result in results if result.outcome == SURVIVED}
    print(f"\n{'module':10} {'killed':>7} {'no end':>7} {'survived':>8} {'explained':>9} {'score':>8}   stillborn")
    for module in modules:
        outcomes = Counter(result.outcome for mutant, result in results if mutant.module == module)
        killed = outcomes[KILLED] + outcomes[OUT_OF_TIME]
        score = killed / max(killed + outcomes[SURVIVED], 1)
        known = sum(key in explained for key in survivors if key[0] == module)
        print(
            f"{module:10} {outcomes[KILLED]:7,} {outcomes[OUT_OF_TIME]:7,} {outcomes[SURVIVED]:8,} {known:9,}"
            f" {score:8.2%}   {outcomes[STILLBORN]:,}"
        )
        if score < ENOUGH:
            wrong.append(f"{module}: {score:.2%} of the mutants were killed, which is below {ENOUGH:.0%}")
    kinds = Counter((mutant.kind, result.outcome) for mutant, result in results)
    print("\nby kind of mistake (killed, survived, stillborn):")
    for kind in sorted({kind for kind, _ in kinds}):
        killed = kinds[kind, KILLED] + kinds[kind, OUT_OF_TIME]
        print(f"  {kind:32} {killed:6,} {kinds[kind, SURVIVED]:6,} {kinds[kind, STILLBORN]:6,}")
    wrong += [f"{module}: survived, and nobody says why: {name}" for module, name in sorted(survivors - {*explained})]
    wrong += [f"{module}: explained, but no survivor: {name}" for module, name in sorted({*explained} - survivors)]
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Mutate, test, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation_run", description="Mutation testing.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"which of {', '.join(MODULES)} (all)")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants at a time (1)")
    parser.add_argument("--only", default="", help="only the mutants whose line or change has this in it; no verdict")
    parser.add_argument("--left", action="store_true", help="only those that were not killed the last time; no verdict")
    parser.add_argument("--memory", type=Path, default=Path("killers.json"), help="where killers are remembered")
    asked = parser.parse_args(arguments)
    unknown = set(asked.modules) - {*MODULES}
    if unknown:
        parser.error(f"not among {', '.join(MODULES)}: {', '.join(sorted(unknown))}")
    modules = [module for module in MODULES if module in asked.modules or not asked.modules]
    if any(name == "lifecycle" or name.startswith("lifecycle.") for name in sys.modules):
        raise SystemExit("the package is loaded already, so that no mutant could take its place")

    killers = json.loads(asked.memory.read_text(encoding="utf-8")) if asked.memory.exists() else {}
    found: list[Mutant] = []
    for module in modules:
        more, fell = mutants(module)
        found += [mutant for mutant in more if asked.only in mutant.id and not (asked.left and key(mutant) in killers)]
        print(f"{module}: {len(more):,} mutants; {fell:,} others are alike, no Python, or change nothing", flush=True)
    results: list[tuple[Mutant, Result]] = []
    started = time.monotonic()

    def tell(mutant: Mutant, result: Result) -> None:
        results.append((mutant, result))
        if result.outcome == KILLED:
            killers[key(mutant)] = result.killer
        if result.outcome in (SURVIVED, OUT_OF_TIME) or asked.only or asked.left:
            print(f"{result.outcome}: {key(mutant)}  {result.killer}", flush=True)
        if len(results) % 50 == 0 or len(results) == len(found):
            asked.memory.write_text(json.dumps(killers, indent=1), encoding="utf-8")
            print(f"{len(results):,} of {len(found):,} after {time.monotonic() - started:,.0f} s", flush=True)

    judge_all(found, killers, tell, asked.jobs)
    wrong = [] if asked.only or asked.left else report(results, modules)
    for line in ["", *wrong]:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
