"""
Check the formal model: ``python -m specs.verify``, from the root; `nox -s specs` installs what it needs.

TLC checks the model and finds every seeded bug, the model's state graph is replayed on the code, and the proof is run.
Exit status 1 if anything is not as it should be, a bug that was not found above all; 2 if Java or TLC is not there.
"""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import lifecycle as lc
from specs.proof import proof
from specs.tla import replay, tlc
from specs.tla.controls import BUGS

TIERS = ("law", "contract", "advice")

NOT_MODELLED = {
    "B16": "unknown keys are a matter of the wire; no event carries them",
    "L1": "of records and their stream; that `Created` comes first and once is T1 here",
    "L2": "of records and their stream; the model has one batch",
    "L3": "of records and their stream; the model has no versions",
    "L4": "of records and their stream; the model has no event ids",
}
"""The rules that neither the model nor the proof knows, and why."""


def tiers_up_to(tier: str) -> tuple[str, ...]:
    """*tier* and those that bind more."""
    return TIERS[: TIERS.index(tier) + 1]


def rules_of(model: str, tiers: tuple[str, ...]) -> tuple[str, ...]:
    """The rules of *tiers* that the *model* has."""
    return tuple(rule for rule in tlc.RULES.findall(model) if lc.RULES[rule].tier in tiers)


def whole(model: str, tier: str) -> tlc.Config:
    """The check of the rules for all sizes up to 5."""
    # LAWS allow a batch of no requests, have no upper limit, and say of the expiry only that it stays.
    law = tier == "law"
    return tlc.Config(
        sizes=range(6) if law else range(7),
        largest=5,
        expiries=range(2, 3) if law else range(3),
        last=3 if tier == "advice" else 2,
        tiers=tiers_up_to(tier),
        rules=rules_of(model, tiers_up_to(tier)),
    )


def liveness() -> tlc.Config:
    """The check that a batch ends, in a world of one tick: fairness is costly to check, and time has no part in it."""
    return tlc.Config(range(1, 6), 5, range(1, 2), 1, ("law",), ("Ends",))


def small(tier: str, rules: tuple[str, ...]) -> tlc.Config:
    """The check of a model with a bug: small, for every bug here shows in a batch of two."""
    law = tier == "law"
    return tlc.Config(
        sizes=range(1, 3) if law else range(4),
        largest=2,
        expiries=range(2, 3) if law else range(3),
        last=3 if tier == "advice" else 2,
        tiers=tiers_up_to(tier),
        rules=rules,
    )


def control(model: str, rule: str) -> str | None:
    """What is wrong with the control of *rule*: that TLC does not find it broken, or another one too; else None."""
    bug = BUGS[rule]
    rules = rules_of(model, tiers_up_to(bug.tier))
    others = tuple(other for other in rules if other != rule)
    try:
        first = tlc.run(bug.of(model), small(bug.tier, (*others, rule))).broken
        also = tlc.run(bug.of(model), small(bug.tier, others)).broken
    except ValueError as error:
        return f"{rule}: {bug.story}: no model that TLC can check: {error}"
    if first != rule:
        return f"{rule}: {bug.story}: TLC found {first or 'nothing'}"
    return None if also is None else f"{rule}: {bug.story}: {also} is broken too"


def check_lists(model: str) -> Iterator[str]:
    """What is wrong with the lists: a rule that is neither modelled nor excused, or has no control."""
    modelled = set(tlc.RULES.findall(model))
    for rule in sorted((lc.RULES.keys() - NOT_MODELLED.keys()) ^ modelled):
        yield f"{rule}: in the model or in NOT_MODELLED, and not in both"
    for rule in sorted((modelled | {"Ends"}) ^ BUGS.keys()):
        yield f"{rule}: no control, or a control of no rule"


def verify() -> Iterator[str]:
    """
    Check everything and print what is found.

    Yields:
        What is wrong.

    Raises:
        ToolsMissing: Java or TLC is not there.
    """
    model = tlc.MODEL.read_text(encoding="utf-8")
    yield from check_lists(model)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is in the processes of Java
        ending = pool.submit(tlc.run, model, liveness())
        configs = {tier: whole(model, tier) for tier in TIERS}
        runs = {tier: pool.submit(tlc.run, model, config, dump=True) for tier, config in configs.items()}
        controls = {rule: pool.submit(control, model, rule) for rule in BUGS}
        for tier, config in configs.items():
            found = runs[tier].result()
            print(f"TLC, {' + '.join(config.tiers)}: {found.states} states; {len(config.rules)} rules", flush=True)
            if found.graph is None:
                yield f"TLC, {tier}: {found.broken} is broken"
                continue
            replayed = replay.replay(found.graph, config)
            yield from replayed.differences
            for size in sorted(replayed.states):
                print(f"  size {size}: {replayed.states[size]} states, {replayed.edges[size]} edges")
            print(f"  {len(found.graph.edges)} edges replayed, {replayed.tried} events tried", flush=True)
        ended = ending.result()
        print(f"TLC, a batch ends: {ended.states} states", flush=True)
        if ended.broken:
            yield "a batch does not end"
        for rule, wrong in controls.items():
            problem = wrong.result()
            outcome = "found, and it alone" if problem is None else "NOT AS IT SHOULD BE"
            print(f"control {rule}: {BUGS[rule].story}: {outcome}", flush=True)
            if problem:
                yield problem
    yield from proof.prove(frozenset(lc.RULES) - NOT_MODELLED.keys())


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
