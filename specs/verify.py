"""
Check the formal models: ``python -m specs.verify``, from the root; `nox -s specs` installs what it needs.

TLC checks the models and finds every seeded bug, the state graph of a batch is replayed on the code, and the proof is
run, as many side by side as there are processors.
Exit status 1 if anything is not as it should be, a bug that was not found above all; 2 if Java or TLC is not there.
"""

import io
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import attrs

import lifecycle as lc
from specs.proof import proof
from specs.tla import replay, tlc
from specs.tla.checking import (
    ACTIONS,
    CONTROLS,
    NOT_MODELLED,
    TIERS,
    WHOLE,
    Control,
    Whole,
    config,
    liveness,
    missing,
    whole,
)


@attrs.frozen
class Part:
    """What a part of the check came to."""

    said: tuple[str, ...]
    wrong: tuple[str, ...]
    seconds: float
    """How much processor time it took, with that of Java."""


def replayed(tools: tlc.Tools, tier: str) -> tuple[list[str], list[str]]:
    """The rules for all sizes up to 5, and every state and step on the code."""
    asked = whole(tier)
    found = tlc.run(tools, "Lifecycle", tlc.text("Lifecycle"), asked.text(), dump=True)
    said = [f"TLC, {' + '.join(asked.tiers)}: {found.states} states; {len(asked.rules)} rules"]
    if found.dot is None:
        return said, [f"TLC, {tier}: {rule} is broken" for rule in found.broken]
    graph = tlc.graph(found.dot)
    there = replay.replay(graph, asked)
    said += [f"  size {size}: {there.states[size]} states, {there.edges[size]} edges" for size in sorted(there.states)]
    said.append(f"  {len(graph.edges)} edges replayed, {there.tried} events tried")
    return said, list(there.differences)


def ending(tools: tlc.Tools) -> tuple[list[str], list[str]]:
    """That a batch ends."""
    found = tlc.run(tools, "Lifecycle", tlc.text("Lifecycle"), liveness().text())
    return [f"TLC, a batch ends: {found.states} states"], ["a batch does not end"] if found.broken else []


def appended(tools: tlc.Tools, check: Whole) -> tuple[list[str], list[str]]:
    """A model of appending, in one world."""
    found = tlc.run(
        tools, check.module, tlc.text(check.module), config(check.world, check.rules), dump=check.everything
    )
    name = f"{check.module}, {check.world}"
    wrong = [f"{name}: {rule} is broken" for rule in found.broken]
    if found.dot is not None:
        wrong += [
            f"{name}: {action} never happens, or is not known"
            for action in sorted({*ACTIONS[check.module].split()} ^ tlc.actions(found.dot))
        ]
    return [f"TLC, {name}: {found.states} states; {', '.join(check.rules)}"], wrong


def controlled(tools: tlc.Tools, control: Control) -> tuple[list[str], list[str]]:
    """That TLC finds a seeded bug, and that it breaks what it is to break and nothing else."""
    name = f"{control.module}, {', '.join(control.rules)}: {control.bug.story}"
    try:
        found = tlc.run(
            tools, control.module, control.bug.of(tlc.text(control.module)), control.config, go_on=True
        ).broken
    except ValueError as error:
        return [f"control {name}: NOT AS IT SHOULD BE"], [f"{name}: no model that TLC can check: {error}"]
    if {*found} != {*control.rules}:
        return [f"control {name}: NOT AS IT SHOULD BE"], [f"{name}: TLC found {', '.join(found) or 'nothing'}"]
    return [f"control {name}: found, and {'it' if len(found) == 1 else 'they'} alone"], []


def proved() -> tuple[list[str], list[str]]:
    """The proof."""
    with redirect_stdout(io.StringIO()) as told:
        wrong = list(proof.prove(frozenset(lc.RULES) - NOT_MODELLED.keys()))
    return told.getvalue().splitlines(), wrong


def part(check: Callable[..., tuple[list[str], list[str]]], *arguments: object) -> Part:
    """Run a check and say what it came to."""
    before = sum(os.times()[:4])
    try:
        said, wrong = check(*arguments)
    except (ValueError, RuntimeError) as error:
        said, wrong = [], [f"{check.__name__}: not finished: {error}"]
    return Part(tuple(said), tuple(wrong), sum(os.times()[:4]) - before)


def verify() -> Iterator[str]:
    """
    Check everything and print what is found.

    Yields:
        What is wrong.

    Raises:
        ToolsMissing: Java or TLC is not there.
    """
    yield from missing()
    found = tlc.tools()
    # Processes of their own, and not copies of this one: z3 and the replay are Python's work, the rest is Java's.
    with (
        ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        proof_running = [pool.submit(part, proved)]
        tools = tlc.quickened(found, Path(folder))
        # Longest first, so that none is left to run alone at the end.
        parts = {
            "the rules, and the replay": [pool.submit(part, replayed, tools, tier) for tier in TIERS],
            "a batch ends": [pool.submit(part, ending, tools)],
            "the proof": proof_running,
            "appending": [pool.submit(part, appended, tools, check) for check in WHOLE],
            "the controls": [pool.submit(part, controlled, tools, control) for control in CONTROLS],
        }
        for name, several in parts.items():
            seconds = 0.0
            for future in several:
                came = future.result()
                seconds += came.seconds
                for line in came.said:
                    print(line, flush=True)
                yield from came.wrong
            print(f"{name}: {seconds:.0f} s of processor time", flush=True)


def main() -> int:
    """Check everything and say what is wrong."""
    start = time.perf_counter()
    try:
        wrong = list(verify())
    except tlc.ToolsMissing as error:
        print(f"nothing was checked: {error}", file=sys.stderr)
        return 2
    for problem in wrong[:50]:
        print(f"WRONG: {problem}", file=sys.stderr)
    print(f"{len(wrong)} wrong; {time.perf_counter() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
