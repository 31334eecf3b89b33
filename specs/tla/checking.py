"""
What TLC is asked: the checks of each model, and one for each seeded bug.

Only texts and numbers are made here.  `specs.verify` runs them.
"""

from collections.abc import Iterator

import attrs

import lifecycle as lc
from specs.tla import tlc
from specs.tla.controls import BUGS, FILE_BUGS, SEVERAL, STORE_BUGS, Bug, File, Store

TIERS = ("law", "contract", "advice")

NOT_MODELLED = {
    "B16": "unknown keys are a matter of the wire; no event carries them",
    "L1": "of records and their stream; that `Created` comes first and once is T1 here",
    "L2": "of records and their stream; the model has one batch",
    "L3": "of records and their stream; the model has no versions, but `Append` has",
    "L4": "of records and their stream; the model has no event ids, but `Append` has",
}
"""The rules that neither `Lifecycle` nor the proof knows, and why."""


def tiers_up_to(tier: str) -> tuple[str, ...]:
    """*tier* and those that bind more."""
    return TIERS[: TIERS.index(tier) + 1]


def rules_of(tiers: tuple[str, ...]) -> tuple[str, ...]:
    """The rules of *tiers* that `Lifecycle` has."""
    return tuple(rule for rule in tlc.RULES.findall(tlc.text("Lifecycle")) if lc.RULES[rule].tier in tiers)


def with_last(rules: tuple[str, ...], last: tuple[str, ...]) -> tuple[str, ...]:
    """*rules*, and *last* behind the others."""
    return (*(rule for rule in rules if rule not in last), *last)


def whole(tier: str) -> tlc.Config:
    """The check of the rules for all sizes up to 5."""
    # LAWS allow a batch of no requests, have no upper limit, and say of the expiry only that it stays.
    law = tier == "law"
    return tlc.Config(
        sizes=range(6) if law else range(7),
        largest=5,
        expiries=range(2, 3) if law else range(3),
        last=3 if tier == "advice" else 2,
        tiers=tiers_up_to(tier),
        rules=rules_of(tiers_up_to(tier)),
    )


def liveness() -> tlc.Config:
    """The check that a batch ends, in a world of one tick: fairness is costly to check, and time has no part in it."""
    return tlc.Config(range(1, 6), 5, range(1, 2), 1, ("law",), ("Ends",))


def small(tier: str, *last: str) -> tlc.Config:
    """The check of a model with a bug, these rules *last*: small, for every bug here shows in a batch of two."""
    law = tier == "law"
    return tlc.Config(
        sizes=range(1, 3) if law else range(4),
        largest=2,
        expiries=range(2, 3) if law else range(3),
        last=3 if tier == "advice" else 2,
        tiers=tiers_up_to(tier),
        rules=with_last(rules_of(tiers_up_to(tier)), last),
    )


STORE_RULES = ("Kept", "Whole", "Once", "L3", "L4", "Winner", "Positions", "Follows", "Refused")
FILE_RULES = ("Kept", "Whole", "Stays", "Refused")
STEP_RULES = ("Stays", "Refused", "Ends")
"""The promises about a step, or more than one. The others are about a state."""

ACTIONS = {
    "Append": "Load Begin Repeat Refuse Conflict Stage Commit Acknowledge Retry Close Lose Abort PowerCut Read",
    "LogFile": "Lock Look Write Sync Acknowledge TakeBack Fail Kill PowerCut Flush",
}
"""All that can happen in each of the models of appending."""


def config(world: Store | File, rules: tuple[str, ...]) -> str:
    """The check of these rules in a world of `Append` or `LogFile`."""
    constants: dict[str, object] = {"Writers": tlc.set_of(world.writers), "Faults": world.faults, "None": "None"}
    match world:
        case Store(careless=careless):
            constants["Careless"] = str(careless).upper()
        case File(pieces=pieces):
            constants["Pieces"] = tlc.set_of(pieces)
    states = [rule for rule in rules if rule not in STEP_RULES]
    return tlc.configuration(constants, states, [rule for rule in rules if rule in STEP_RULES])


@attrs.frozen
class Whole:
    """A check of `Append` or `LogFile` without a bug."""

    world: Store | File
    rules: tuple[str, ...]
    everything: bool = False
    """Whether everything that can happen is to happen in this world."""

    @property
    def module(self) -> str:
        """The name of the model."""
        return "Append" if isinstance(self.world, Store) else "LogFile"


@attrs.frozen
class Control:
    """
    A check of a model with a bug.

    TLC goes on when a rule is broken, and is to tell of `rules` and no other.  They stand last: of the rules that a
    state or a step breaks TLC tells the first, so any other would be told before them.
    """

    module: str
    rules: tuple[str, ...]
    bug: Bug[object]
    config: str


WHOLE = (
    Whole(Store((1, 2, 3), 1), STORE_RULES),
    Whole(Store((1, 2), 2), (*STORE_RULES, "Ends")),
    Whole(Store((2, 4, 5), 1, careless=True), STORE_RULES),
    Whole(Store((2, 7), 2), STORE_RULES),
    Whole(Store((1, 6), 1, careless=True), STORE_RULES, everything=True),
    Whole(File((2, 3), 2, (0, 1)), FILE_RULES),
    Whole(File((1, 2), 1), (*FILE_RULES, "Ends")),
    Whole(File((2,), 1), FILE_RULES, everything=True),
)


CONTROLS: tuple[Control, ...] = (
    *(Control("Lifecycle", (rule,), bug, small(bug.world, rule).text()) for rule, bug in BUGS.items()),
    *(Control("Lifecycle", rules, bug, small(bug.world, *rules).text()) for rules, bug in SEVERAL.items()),
    *(Control("Append", last, bug, config(bug.world, with_last(STORE_RULES, last))) for last, bug in STORE_BUGS),
    *(Control("LogFile", last, bug, config(bug.world, with_last(FILE_RULES, last))) for last, bug in FILE_BUGS),
)


def missing() -> Iterator[str]:
    """What is wrong with the lists: a rule that is neither modelled nor excused, or has no control."""
    modelled = set(tlc.RULES.findall(tlc.text("Lifecycle")))
    for rule in sorted((lc.RULES.keys() - NOT_MODELLED.keys()) ^ modelled):
        yield f"{rule}: in the model or in NOT_MODELLED, and not in both"
    promises = {"Lifecycle": {*modelled, "Ends"}, "Append": {*STORE_RULES, "Ends"}, "LogFile": {*FILE_RULES, "Ends"}}
    for module, rules in promises.items():
        # A bug that breaks several at once says little of each.
        alone = {
            rule
            for control in CONTROLS
            if control.module == module and len(control.rules) == 1
            for rule in control.rules
        }
        for rule in sorted(rules ^ alone):
            yield f"{module}, {rule}: no control that breaks it alone, or a control of no rule"
