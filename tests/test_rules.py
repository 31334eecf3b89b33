"""The rulebook as data. What each rule means is in `test_oracle`; here is that it is whole and consistent."""

import ast
import pickle
import re
from pathlib import Path

import attrs
import pytest

import lifecycle as lc
from lifecycle.rules import CONSTANTS, WIRE, Scope, names_of
from tests.lives import in_phase

IDS = [f"B{n}" for n in range(1, 17)] + [f"T{n}" for n in range(1, 8)] + [f"L{n}" for n in range(1, 5)]
CONTRACT = {"B2", "B3", "B7", "B8", "B9", "T7"}
ADVICE = {"B12", "B13", "B14", "B15", "B16"}


def test_every_rule_is_there_in_the_order_of_the_rulebook() -> None:
    assert list(lc.RULES) == IDS


def test_each_rule_has_the_tier_of_the_rulebook() -> None:
    assert {rule_id for rule_id, rule in lc.RULES.items() if rule.tier is lc.Tier.CONTRACT} == CONTRACT
    assert {rule_id for rule_id, rule in lc.RULES.items() if rule.tier is lc.Tier.ADVICE} == ADVICE


def test_laws_are_on_in_both_profiles_contract_and_advice_in_hosted_only() -> None:
    assert lc.LAWS.tiers == {lc.Tier.LAW}
    assert lc.HOSTED.tiers == set(lc.Tier)
    assert lc.HOSTED.enforced == {lc.Tier.LAW, lc.Tier.CONTRACT}


def test_the_words_that_reports_use_for_tiers_and_scopes() -> None:
    assert [tier.value for tier in lc.Tier] == ["law", "contract", "advice"]
    assert [scope.value for scope in Scope] == ["batch", "step", "log"]


def test_what_a_line_breaks_that_is_no_record_is_a_law_but_not_of_the_rulebook() -> None:
    assert (WIRE.id, WIRE.tier, WIRE.scope) == ("wire", lc.Tier.LAW, Scope.LOG)
    assert WIRE.id not in lc.RULES


def test_rules_and_profiles_are_compared_by_identity() -> None:
    for value in (lc.RULES["B5"], lc.LAWS):
        assert attrs.evolve(value) != value
        assert value == value  # noqa: PLR0124 -- that is the question


def test_a_rule_shows_what_it_says_and_not_how_it_is_judged() -> None:
    shown = repr(lc.RULES["B5"])
    assert "'B5'" in shown
    assert lc.RULES["B5"].broken not in shown
    assert lc.RULES["B5"].seen not in shown
    assert "enforced" not in repr(lc.HOSTED)


def test_what_a_profile_enforces_follows_from_its_tiers() -> None:
    with pytest.raises(TypeError, match="enforced"):
        lc.Profile("own", frozenset(lc.Tier), enforced=frozenset())  # type: ignore[call-arg] # wrong on purpose


@pytest.mark.parametrize("rule", [*lc.RULES.values(), WIRE], ids=lambda rule: rule.id)
def test_a_rule_pickles_by_id(rule: lc.Rule) -> None:
    assert pickle.loads(pickle.dumps(rule)) is rule


@pytest.mark.parametrize("profile", [lc.LAWS, lc.HOSTED], ids=lambda profile: profile.name)
def test_a_profile_pickles_by_name(profile: lc.Profile) -> None:
    assert pickle.loads(pickle.dumps(profile)) is profile


def test_the_rules_are_read_only() -> None:
    with pytest.raises(TypeError):
        lc.RULES["B1"] = lc.RULES["B2"]  # type: ignore[index] # wrong on purpose


@pytest.mark.parametrize("rule", lc.RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_a_sentence_with_a_source_and_a_predicate_over_known_names(rule: lc.Rule) -> None:
    assert rule.sentence.endswith(".")
    assert rule.source
    if rule.scope is Scope.LOG:
        assert (rule.broken, rule.seen) == ("", "")  # judged by the reducer
        return
    batch = in_phase(lc.Phase.ARCHIVED)
    assert batch is not None
    known = names_of(batch) | (names_of(batch, "old_") if rule.scope is Scope.STEP else {})
    used = {node.id for node in ast.walk(ast.parse(rule.broken)) if isinstance(node, ast.Name)}
    assert used <= known.keys() | CONSTANTS.keys()
    assert used & known.keys()
    assert rule.seen.format_map(known)


def test_every_rule_id_stands_in_a_test_of_its_own() -> None:
    text = "\n".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    named = set(re.findall(r"class Test(?:Rule)?_?([BTL]\d+)\b|\"([BTL]\d+)\"", text))
    assert set(IDS) <= {one or other for one, other in named}
