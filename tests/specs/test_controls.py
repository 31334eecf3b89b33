"""The lists beside the model: every rule is modelled or excused, and every modelled rule has a bug that breaks it."""

import re

import pytest

import lifecycle as lc
from tests.specs.models import ROOT

from specs.tla import tlc  # isort: skip -- tests.specs.models makes it known
from specs.tla.controls import BUGS, Bug  # isort: skip -- as above

MODEL = tlc.MODEL.read_text(encoding="utf-8")
NOT_MODELLED = {"B16", "L1", "L2", "L3", "L4"}


def test_every_rule_is_in_the_model_but_those_that_cannot_be() -> None:
    assert set(tlc.RULES.findall(MODEL)) == lc.RULES.keys() - NOT_MODELLED


def test_every_modelled_rule_has_a_control_and_so_has_the_end() -> None:
    assert BUGS.keys() == {*tlc.RULES.findall(MODEL), "Ends"}


@pytest.mark.parametrize("rule", BUGS)
def test_a_bug_changes_what_the_server_does_and_no_rule(rule: str) -> None:
    changed = BUGS[rule].of(MODEL)
    assert changed != MODEL
    heading = "(* The rules about one batch on its own."
    assert changed[changed.index(heading) :] == MODEL[MODEL.index(heading) :]


@pytest.mark.parametrize("rule", sorted(BUGS.keys() - {"Ends"}))
def test_a_bug_breaks_a_rule_that_its_server_keeps_to(rule: str) -> None:
    assert BUGS[rule].tier == lc.RULES[rule].tier


def test_a_bug_whose_place_is_not_found_is_refused() -> None:
    for old in ("no such text", "Ended"):
        with pytest.raises(ValueError):
            Bug("law", "a bug", ((old, ""),)).of(MODEL)


def test_the_proof_names_every_rule_of_the_model() -> None:
    """It needs z3 to run; that it holds is for `nox -s specs`."""
    text = (ROOT / "specs" / "proof" / "proof.py").read_text(encoding="utf-8")
    rules, bugs = text.split("\nBUGS: ")
    for part in (rules, bugs):
        assert set(re.findall(r'^    "([BT]\d+)": ', part, flags=re.MULTILINE)) == set(tlc.RULES.findall(MODEL))


def test_the_page_names_the_rules_that_are_not_modelled() -> None:
    page = (ROOT / "specs" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([BTL]\d+) \|", page, flags=re.MULTILINE)) == NOT_MODELLED
