"""The conformance vectors: the library agrees with all, and they notice whatever is wrong with a rule."""

import json
import re
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle.conformance import KINDS, Vector, vectors
from lifecycle.rules import CONSTANTS, names_of
from tests import recorded
from tests.cli.running import lifecycle
from tests.mutation import mutants_of

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs"
VALIDATOR = runpy.run_path(str(SPECS / "validators" / "lifecycle_itself.py"))
ANSWER: Callable[[dict[str, Any]], dict[str, Any]] = VALIDATOR["answer"]
READ_BATCH: Callable[[Any], lc.MessageBatch] = VALIDATOR["read_batch"]

VECTORS = tuple(vectors())
TAGS = [event.tag for event in (lc.Created, lc.CountsUpdated, lc.CancelInitiated, lc.Ended, lc.Archived, lc.Deleted)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_agrees_with_every_vector(kind: str) -> None:
    wrong = {}
    for vector in VECTORS:
        if vector.kind == kind:
            answer = ANSWER(vector.question)
            mark = vector.mark(answer)
            said = not vector.expected or mark.more is True
            if not (mark.right and mark.rules and said):
                wrong[vector.id] = answer
    assert wrong == {}


# -------------------------------------------------------------------------------------------------- what they cover


def test_each_rule_has_three_vectors_that_break_it_and_one_that_nearly_does() -> None:
    broken = Counter(rule for vector in VECTORS for rule in vector.rules)
    kept = Counter(flag for vector in VECTORS for flag in vector.flags if flag in lc.RULES and flag not in vector.rules)
    for rule in (*lc.RULES, "wire"):
        assert broken[rule] >= 3, rule
    for rule in lc.RULES:
        assert kept[rule] >= 1, rule


def test_each_rule_is_broken_alone_but_for_the_one_that_cannot_be_in_two_snapshots() -> None:
    alone = {vector.rules[0] for vector in VECTORS if len(vector.rules) == 1}
    assert alone == {*lc.RULES, "wire"}
    assert not [vector.id for vector in VECTORS if vector.kind == "step" and vector.rules == ("T1",)]


def test_each_arrow_has_three_vectors_and_whatever_is_no_arrow_has_one() -> None:
    found = Counter[tuple[lc.Phase | None, str]]()
    for vector in VECTORS:
        if vector.kind == "event":
            before = vector.input["before"]
            phase = None if before is None else READ_BATCH(before).phase
            legal = (phase, vector.input["event"]["type"]) in lc.TRANSITIONS
            assert legal == (vector.rules != ("T1",)), vector.id
            found[phase, vector.input["event"]["type"]] += not legal or not vector.rules
    for pair in product((None, *lc.Phase), TAGS):
        assert found[pair] >= (3 if pair in lc.TRANSITIONS else 1), pair


def test_contract_and_advice_are_nothing_to_the_laws() -> None:
    for rule in lc.RULES.values():
        if rule.tier is not lc.Tier.LAW:
            silent = [
                it for it in VECTORS if it.profile == "laws" and {rule.id, "Tier"} <= {*it.flags} and not it.rules
            ]
            assert silent, rule.id


def test_every_recorded_body_is_among_them_and_the_polls_of_every_batch() -> None:
    bodies = [
        json.dumps(it.input["batch"], separators=(",", ":")).encode()
        for it in VECTORS
        if "Recorded" in it.flags and it.kind == "snapshot"
    ]
    assert bodies == list(recorded.bodies())
    polled = [vector for vector in VECTORS if vector.kind == "polls" and vector.flags[0] == "Recorded"]
    several = [polls for polls in recorded.polls().values() if len(polls) > 1]
    assert len(polled) == 2 * len(several)
    for vector, polls in zip(polled[::2], several, strict=True):
        seen = list(dict.fromkeys(json.dumps(body, separators=(",", ":")).encode() for body in vector.input["polls"]))
        assert seen == list(dict.fromkeys(body for _, body in polls))


def test_the_example_of_the_api_reference_and_what_fixtures_have_is_among_them() -> None:
    [reference] = [it for it in VECTORS if "Reference" in it.flags and it.kind == "snapshot" and it.profile == "hosted"]
    assert reference.input["batch"]["id"] == "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"
    assert reference.rules == ("B3", "B4", "B6", "B7", "B8", "B10", "B15")
    wild = {rule for vector in VECTORS if "Wild" in vector.flags for rule in vector.rules}
    assert wild >= {"B1", "B3", "B4", "B6", "B7", "B16", "T3", "wire"}


def test_every_rule_is_on_the_page_in_the_rulebook_in_a_vector_and_in_a_test() -> None:
    page = (SPECS / "lifecycle.md").read_text(encoding="utf-8")
    rows = {name: set(re.findall(r"^\| ([BTL]\d+) \|", text, re.MULTILINE)) for name, text in printed(page).items()}
    tested = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for rule in lc.RULES:
        assert any(rule in found for name, found in rows.items() if name.startswith("rules")), rule
        assert any(rule in found for name, found in rows.items() if name.startswith("examples")), rule
        assert any(rule in vector.rules for vector in VECTORS), rule
        assert re.search(rf"\b{rule}\b", tested), rule
    assert set.union(*rows.values()) == {*lc.RULES}


def printed(page: str) -> dict[str, str]:
    sections = re.findall(r"<!-- printed: ([a-z ]+) -->\n(.*?)<!-- /printed -->", page, re.DOTALL)
    return dict(sections)


# ------------------------------------------------------------------------------------------------------ their form


def test_verdicts_follow_from_the_tiers_of_the_rules() -> None:
    order = [*lc.RULES, "wire"]
    for vector in VECTORS:
        tiers = {lc.Tier.LAW if rule == "wire" else lc.RULES[rule].tier for rule in vector.rules}
        expected = "valid" if not tiers else "acceptable" if tiers == {lc.Tier.ADVICE} else "invalid"
        assert vector.verdict == expected, vector.id
        assert list(vector.rules) == sorted(vector.rules, key=order.index), vector.id


def test_vectors_are_in_the_form_that_their_page_describes() -> None:
    page = (SPECS / "vectors.md").read_text(encoding="utf-8")
    assert len({vector.id for vector in VECTORS}) == len(VECTORS)
    inputs = {
        "snapshot": {"batch"}, "step": {"before", "after"}, "event": {"before", "event"}, "stream": {"records"},
        "polls": {"polls"}, "wire": {"text", "base64"}, "line": {"text", "base64"},
    }  # fmt: skip
    expected = {
        "event": {"after"},
        "stream": {"findings"},
        "polls": {"polls"},
        "wire": {"encoded"},
        "line": {"encoded"},
    }
    for vector in VECTORS:
        assert re.fullmatch(rf"{vector.kind}-[a-z0-9 -]+-[1-9]\d*", vector.id)
        assert vector.profile in {"laws", "hosted"}
        assert {*vector.input} <= inputs[vector.kind], vector.id
        assert {*vector.expected} <= expected.get(vector.kind, set()), vector.id
        for flag in vector.flags[1:]:
            assert flag in lc.RULES or f"| `{flag}` |" in page, flag


def test_there_are_the_files_of_the_kinds_and_no_others() -> None:
    files = sorted(path.name for path in (SPECS / "vectors").iterdir())
    assert files == sorted(f"{kind}.json" for kind in KINDS)
    for kind in KINDS:
        text = (SPECS / "vectors" / f"{kind}.json").read_text(encoding="utf-8")
        assert text.isascii()
        assert json.loads(text)["kind"] == kind


# -------------------------------------------------------------------------------------------- whether they would notice


Case = tuple[Vector, frozenset[lc.Tier], dict[str, Any]]


def cases(kind: str) -> list[Case]:
    """Each vector of a kind, with the names that predicates know its batches by."""
    found = []
    for vector in VECTORS:
        if vector.kind == kind:
            names = names_of(READ_BATCH(vector.input["batch" if kind == "snapshot" else "after"]))
            if kind == "step":
                names |= names_of(READ_BATCH(vector.input["before"]), "old_")
            found.append((vector, VALIDATOR["PROFILES"][vector.profile].tiers, {**CONSTANTS, **names}))
    return found


def noticing(rule: lc.Rule, predicate: str, among: list[Case]) -> str | None:
    """The first vector that gets another verdict if the rule has this predicate."""
    code = compile(predicate, rule.id, "eval")
    for vector, tiers, names in among:
        if rule.tier in tiers:
            try:
                broken = bool(eval(code, {}, names))  # noqa: S307 -- a rule of ours, with one mistake in it
            except TypeError:  # a mistake that compares a time with nothing
                return vector.id
            if broken != (rule.id in vector.rules):
                return vector.id
    return None


@pytest.mark.parametrize("rule", [rule for rule in lc.RULES.values() if rule.broken], ids=lambda rule: rule.id)
def test_any_mistake_in_a_predicate_is_noticed(rule: lc.Rule) -> None:
    among = cases("step") if rule.scope is lc.rules.Scope.STEP else [*cases("snapshot"), *cases("step")]
    assert noticing(rule, rule.broken, among) is None
    mutants = mutants_of(rule.broken)
    assert mutants
    assert [mutant.description for mutant in mutants if noticing(rule, mutant.expression, among) is None] == []


@pytest.mark.parametrize("rule", [*lc.RULES, "wire"])
def test_a_validator_that_never_names_a_rule_is_noticed_and_one_that_always_does(rule: str) -> None:
    def wrong(change: Callable[[set[str]], set[str]]) -> list[str]:
        asked = [vector for vector in VECTORS if rule in vector.about]
        said = ((vector, ANSWER(vector.question)) for vector in asked)
        changed = ((vector, {**answer, "rules": [*change({*answer["rules"]})]}) for vector, answer in said)
        return [vector.id for vector, answer in changed if vector.mark(answer).rules is False]

    assert wrong(lambda rules: rules) == []
    assert len(wrong(lambda rules: rules - {rule})) >= 3
    assert wrong(lambda rules: rules | {rule})


# ------------------------------------------------------------------------------------------------------- validators


@pytest.mark.parametrize("name", ["sdk_model", "pydantic_model", "json_schema", "lifecycle_itself"])
def test_a_validator_answers_the_questions_and_only_ours_knows_all(name: str) -> None:
    path = SPECS / "validators" / f"{name}.py"
    status, out, err = lifecycle(
        "conform", "vectors", "--format", "json", "--timeout", "120", "--", sys.executable, str(path)
    )
    assert err == ""
    document = json.loads(out)
    total = document["scores"][-1]
    assert (total["rule"], total["vectors"]) == ("all", len(VECTORS))
    assert not [result["id"] for result in document["results"] if result["problem"]]
    if name in {"json_schema", "lifecycle_itself"}:  # what the others score is for their authors to change
        page = (SPECS / "vectors.md").read_text(encoding="utf-8")
        [row] = re.findall(rf"^\| `{name}.py` \|.*\| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
        assert row == tuple(str(total[column]) for column in ("right", "wrong", "unjudged"))
    if name == "lifecycle_itself":
        assert (status, total["right"], total["rules"]) == (0, len(VECTORS), len(VECTORS))
    else:
        assert status == 1
        assert total["right"] >= 100
        assert total["wrong"] >= 50
        assert total["unjudged"] >= 100
