"""The lists beside the models: every rule is modelled or excused, and every modelled rule has a bug that breaks it."""

import re

import pytest

import lifecycle as lc
from tests.specs.models import ROOT

from specs.tla import checking, tlc  # isort: skip -- tests.specs.models makes it known
from specs.tla.checking import CONTROLS, Control  # isort: skip -- as above
from specs.tla.controls import BUGS, Bug  # isort: skip -- as above

MODEL = tlc.text("Lifecycle")
NOT_MODELLED = {"B16", "L1", "L2", "L3", "L4"}
HEADINGS = {
    "Lifecycle": "(* The rules about one batch on its own.",
    "Append": "(* The promises.",
    "LogFile": "(* The promises.",
}
"""In each model, what stands behind this line is what it is to keep to."""


def named(control: Control) -> str:
    return f"{control.module}: {control.bug.story}"


def test_every_rule_is_in_the_model_but_those_that_cannot_be() -> None:
    assert set(tlc.RULES.findall(MODEL)) == lc.RULES.keys() - NOT_MODELLED
    assert checking.NOT_MODELLED.keys() == NOT_MODELLED


def test_every_modelled_rule_has_a_control_and_so_has_the_end() -> None:
    assert BUGS.keys() == {*tlc.RULES.findall(MODEL), "Ends"}
    assert list(checking.missing()) == []


@pytest.mark.parametrize("module", ["Append", "LogFile"])
def test_every_promise_is_checked_and_has_a_control_that_breaks_it_alone(module: str) -> None:
    text = tlc.text(module)
    promises = set(re.findall(r"^(\w+) ==", text[text.index(HEADINGS[module]) :], flags=re.MULTILINE))
    assert promises == {rule for check in checking.WHOLE if check.module == module for rule in check.rules}
    assert promises == {control.rules[0] for control in CONTROLS if (control.module, len(control.rules)) == (module, 1)}


def test_a_promise_without_a_control_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "CONTROLS", [control for control in CONTROLS if control.rules != ("Follows",)])
    assert list(checking.missing()) == ["Append, Follows: no control that breaks it alone, or a control of no rule"]


@pytest.mark.parametrize("module", ["Append", "LogFile"])
def test_everything_that_can_happen_is_an_action_of_the_model(module: str) -> None:
    text = tlc.text(module)
    actions = {re.escape(action) for action in checking.ACTIONS[module].split()}
    [following] = re.findall(r"^Next ==(.*)$", text, flags=re.MULTILINE)
    [work] = re.findall(r"^Work\(w\) ==(.*?)\n\n", text, flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"\b[A-Z]\w+(?=\(w\)|$| )", f"{following} {work}")) - {"Work", "Writers"} == actions
    assert any(check.everything for check in checking.WHOLE if check.module == module)


@pytest.mark.parametrize("control", CONTROLS, ids=named)
def test_a_bug_changes_what_happens_and_no_rule(control: Control) -> None:
    model = tlc.text(control.module)
    changed = control.bug.of(model)
    assert changed != model
    heading = HEADINGS[control.module]
    assert changed[changed.index(heading) :] == model[model.index(heading) :]


@pytest.mark.parametrize("rule", sorted(BUGS.keys() - {"Ends"}))
def test_a_bug_breaks_a_rule_that_its_server_keeps_to(rule: str) -> None:
    assert BUGS[rule].world == lc.RULES[rule].tier


@pytest.mark.parametrize("control", CONTROLS, ids=named)
def test_a_control_looks_at_every_rule_and_at_its_own_last(control: Control) -> None:
    """Of the rules that a state breaks TLC tells the first; one that stood behind would be hidden."""
    whole = {
        "Lifecycle": {rule for rule in tlc.RULES.findall(MODEL) if lc.RULES[rule].tier in _tiers(control)},
        "Append": set(checking.STORE_RULES),
        "LogFile": set(checking.FILE_RULES),
    }[control.module]
    found = [re.findall(rf"^{kind} (.*)$", control.config, flags=re.MULTILINE) for kind in ("INVARIANTS", "PROPERTIES")]
    states, steps = (line[0].split() if line else [] for line in found)
    assert {*states, *steps} == whole | {*control.rules}
    for kind in (states, steps):
        own = [rule for rule in control.rules if rule in kind]
        assert kind[len(kind) - len(own) :] == own


def _tiers(control: Control) -> list[str]:
    order = ["law", "contract", "advice"]
    return order[: order.index(control.bug.world) + 1] if isinstance(control.bug.world, str) else []


def test_a_bug_whose_place_is_not_found_is_refused() -> None:
    for old in ("no such text", "Ended"):
        with pytest.raises(ValueError):
            Bug("law", "a bug", ((old, ""),)).of(MODEL)


@pytest.mark.parametrize("tier", ["law", "contract", "advice"])
def test_the_whole_check_and_the_small_one_look_at_the_same_rules(tier: str) -> None:
    whole, small = checking.whole(tier), checking.small(tier, "B4")
    assert set(whole.rules) == set(small.rules)
    assert small.rules[-1] == "B4"
    assert set(small.sizes) < set(whole.sizes)


def test_the_proof_names_every_rule_of_the_model() -> None:
    """It needs z3 to run; that it holds is for `nox -s specs`."""
    text = (ROOT / "specs" / "proof" / "proof.py").read_text(encoding="utf-8")
    rules, bugs = text.split("\nBUGS: ")
    for part in (rules, bugs):
        assert set(re.findall(r'^    "([BT]\d+)": ', part, flags=re.MULTILINE)) == set(tlc.RULES.findall(MODEL))


def test_the_page_names_the_rules_that_are_not_modelled() -> None:
    page = (ROOT / "specs" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([BTL]\d+) \|", page, flags=re.MULTILINE)) == NOT_MODELLED
