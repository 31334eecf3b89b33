"""The mutants of predicates: that they are what they should be. That each is noticed is for `nox -s mutants`."""

import ast

import pytest

import lifecycle as lc
from lifecycle.rules import CONSTANTS, names_of
from tests.lives import in_phase
from tests.mutation import mutants_of, mutants_of_code

RULES = [rule for rule in lc.RULES.values() if rule.broken]


def expressions(predicate: str) -> list[str]:
    return [mutant.expression for mutant in mutants_of(predicate)]


def test_a_comparison_of_what_has_an_order_gets_every_other_operator() -> None:
    assert {f"canceled {operator} old_canceled" for operator in ("<=", ">", ">=", "==", "!=")} <= set(
        expressions("canceled < old_canceled")
    )


def test_other_comparisons_get_their_opposite() -> None:
    assert "id == old_id" in expressions("id != old_id")
    assert "ended_at is not None" in expressions("ended_at is None")
    assert "phase in REACHABLE[old_phase]" in expressions("phase not in REACHABLE[old_phase]")
    assert "status < ENDED" not in expressions("status != ENDED")


def test_each_operand_is_left_out_and_the_words_change_places() -> None:
    found = expressions("status == ENDED and (ended_at is None or archived_at is None)")
    assert found[:6] == [
        "status == ENDED or (ended_at is None or archived_at is None)",
        "ended_at is None or archived_at is None",
        "status == ENDED",
        "status != ENDED and (ended_at is None or archived_at is None)",
        "status == IN_PROGRESS and (ended_at is None or archived_at is None)",
        "status == CANCELING and (ended_at is None or archived_at is None)",
    ]
    assert {
        "status == ENDED and (ended_at is None and archived_at is None)",
        "status == ENDED and archived_at is None",
        "status == ENDED and ended_at is None",
    } <= set(found)


def test_a_number_goes_down_and_up_by_one() -> None:
    assert [ast.dump(ast.parse(text)) for text in expressions("LARGEST > 1")[-2:]] == [
        ast.dump(ast.parse(text)) for text in ("LARGEST > 0", "LARGEST > 2")
    ]


def test_a_name_gives_way_to_others_of_its_kind() -> None:
    assert expressions("extra_keys != ()") == ["extra_keys == ()"]
    assert expressions("total != 0")[-7:-2] == [
        *("processing != 0", "succeeded != 0", "errored != 0", "canceled != 0", "expired != 0")
    ]
    assert "expires_at - created_at < RESULTS_LIFETIME" in expressions("expires_at - created_at < LIFETIME")


def test_before_and_after_change_places_only_where_there_is_a_before() -> None:
    assert {"total != total", "old_total != old_total"} <= set(expressions("total != old_total"))
    assert not any("old_" in text for text in expressions("total != 0"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_mutants_of_a_rule_are_valid_and_distinct_and_always_the_same(rule: lc.Rule) -> None:
    found = mutants_of(rule.broken)
    assert found
    assert found == mutants_of(rule.broken)
    assert len({mutant.description for mutant in found}) == len(found)
    trees = [ast.dump(ast.parse(mutant.expression, mode="eval")) for mutant in found]
    assert len({ast.dump(ast.parse(rule.broken, mode="eval")), *trees}) == len(found) + 1
    batch = in_phase(lc.Phase.ARCHIVED)
    assert batch is not None
    known = {*names_of(batch), *names_of(batch, "old_"), *CONSTANTS}
    for mutant in found:
        used = {node.id for node in ast.walk(ast.parse(mutant.expression)) if isinstance(node, ast.Name)}
        assert used <= known


CODE = '''"""Text."""

LIMIT: int | None = None


class Chart:
    """Text."""

    strict = False
    name = "word"


def decide(batch: Batch, other: Batch | None, *, profile: Profile = LAWS) -> str:
    """Text."""
    check(batch, profile=profile)
    if batch is None and other is None:
        raise TypeError("for people")
    return f"{batch}" if other.ended_at else "word"


RULES = rulebook(Rule("B5", LAW, BATCH, "A sentence.", "source", broken="processing != 0", seen="seen"))
'''


def test_the_mutants_of_code_say_where_they_are_and_what_they_are() -> None:
    assert [mutant.description for mutant in mutants_of_code(CODE)] == [
        "strict = False  # left out",
        'name = "word"  # left out',
        "name = \"word\"  # `'word'` becomes `'word_'`",
        "def decide(batch: Batch, other: Batch | None, *, profile: Profile = LAWS) -> str:  # `LAWS` becomes `HOSTED`",
        "check(batch, profile=profile)  # left out",
        "check(batch, profile=profile)  # `profile=profile` left out",
        "check(batch, profile=profile)  # `batch` becomes `other`",
        "if batch is None and other is None:  # left out",
        "if batch is None and other is None:  # `batch is None` left out",
        "if batch is None and other is None:  # `other is None` left out",
        "if batch is None and other is None:  # `batch` becomes `other`",
        "if batch is None and other is None:  # `other` becomes `batch`",
        'raise TypeError("for people")  # left out',
        'return f"{batch}" if other.ended_at else "word"  # left out',
        'return f"{batch}" if other.ended_at else "word"  # always `f\'{batch}\'`',
        'return f"{batch}" if other.ended_at else "word"  # always `\'word\'`',
        *(
            f'return f"{{batch}}" if other.ended_at else "word"  # `ended_at` becomes `{name}`'
            for name in ("created_at", "expires_at", "cancel_initiated_at", "archived_at", "deleted_at")
        ),
        'return f"{batch}" if other.ended_at else "word"  # `other` becomes `batch`',
        "return f\"{batch}\" if other.ended_at else \"word\"  # `'word'` becomes `'word_'`",
        *(f"Rule B5  # {mutant.description}" for mutant in mutants_of("processing != 0")),
        *(
            f'RULES = rulebook(Rule("B5", LAW, BATCH, "A sentence.", "source", broken="processing != 0", seen="seen"))'
            f"  # `{name}` becomes `{another}`"
            for name, another in [
                *(("'B5'", "'B5_'"), ("LAW", "CONTRACT"), ("LAW", "ADVICE"), ("BATCH", "STEP"), ("BATCH", "LOG")),
            ]
        ),
    ]


def test_a_case_an_element_a_key_an_operand_and_a_condition_are_left_out() -> None:
    source = "from a import b\nmatch x:\n    case 1:\n        y = [a, b]\n    case _:\n        y = {}"
    assert [mutant.description for mutant in mutants_of_code(source)] == [
        "match x:  # `case 1:` left out",
        "match x:  # `case _:` left out",
        "y = [a, b]  # left out",
        "y = [a, b]  # `a` left out",
        "y = [a, b]  # `b` left out",
        "y = {}  # left out",
    ]
    source = "print({1: 2} | {i for i in y if i}, *(LAW, *more))"
    assert [mutant.expression for mutant in mutants_of_code(source)] == [
        "print({1: 2}, *(LAW, *more))",
        "print({i for i in y if i}, *(LAW, *more))",
        "print({} | {i for i in y if i}, *(LAW, *more))",
        "print({1: 2} | {i for i in y}, *(LAW, *more))",
        "print({1: 2} | {i for i in y if i}, *(*more,))",
        "print({1: 2} | {i for i in y if i}, *(LAW,))",
        "print({1: 2} | {i for i in y if i}, *(CONTRACT, *more))",
        "print({1: 2} | {i for i in y if i}, *(ADVICE, *more))",
    ]
