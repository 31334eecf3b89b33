"""The reading and marking of conformance vectors. Whether the vectors are right is for tests/specs/test_vectors.py."""

from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle import conformance
from lifecycle.conformance import KINDS, Mark, Vector, folder, vectors


def vector(**changed: Any) -> Vector:
    given: dict[str, Any] = {
        "id": "event-newly-1",
        "kind": "event",
        "comment": "a case",
        "flags": ("Newly", "B3"),
        "profile": "hosted",
        "input": {"before": None, "event": {"type": "created"}},
        "verdict": "invalid",
        "rules": ("B7", "B9"),
        "expected": {"after": {"id": "x"}},
    }
    return Vector(**given | changed)


def test_all_kinds_are_read_in_their_order() -> None:
    kinds = [found.kind for found in vectors()]
    assert tuple(dict.fromkeys(kinds)) == KINDS
    assert kinds == sorted(kinds, key=KINDS.index)


def test_a_question_does_not_give_the_answer_away() -> None:
    assert vector().question == {
        "id": "event-newly-1",
        "kind": "event",
        "profile": "hosted",
        "input": {"before": None, "event": {"type": "created"}},
    }


def test_a_vector_is_about_what_it_breaks_and_what_it_nearly_breaks() -> None:
    assert vector().about == ("B7", "B9", "B3")
    assert vector(rules=(), flags=("Boundary",)).about == ()
    assert vector(kind="line", rules=(), flags=("Crc",)).about == ("wire",)
    assert vector(kind="wire", rules=("wire",), flags=("Numbers", "B1")).about == ("wire", "B1")


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        ({"verdict": "invalid"}, Mark(True, None, None)),
        ({"verdict": "valid"}, Mark(False, None, None)),
        ({"verdict": "acceptable", "rules": ["B7", "B9"]}, Mark(False, True, None)),
        ({"verdict": "invalid", "rules": ["B9", "B7"]}, Mark(True, True, None)),
        ({"verdict": "invalid", "rules": ["B9"]}, Mark(True, False, None)),
        ({"verdict": "invalid", "rules": ["B7", "B9", "T1"]}, Mark(True, False, None)),
        ({"verdict": "invalid", "rules": ["B7", "B9"], "after": {"id": "x"}}, Mark(True, True, True)),
        ({"verdict": "invalid", "after": None}, Mark(True, None, False)),
        ({"verdict": "invalid", "remark": "whatever"}, Mark(True, None, None)),
        ({"verdict": "unsupported", "rules": []}, Mark(None, None, None)),
    ],
)
def test_an_answer_is_marked_by_what_it_says(answer: dict[str, Any], mark: Mark) -> None:
    assert vector().mark(answer) == mark


def test_an_answer_is_right_if_it_has_a_verdict_and_nothing_that_is_wrong() -> None:
    right = [Mark(True, None, None), Mark(True, True, True), Mark(True, None, True)]
    wrong = [Mark(None, None, None), Mark(False, True, True), Mark(True, False, None), Mark(True, True, False)]
    assert [mark.right for mark in right] == [True] * len(right)
    assert [mark.right for mark in wrong] == [False] * len(wrong)


@pytest.mark.parametrize(
    "answer", [None, [], "invalid", {}, {"verdict": "yes"}, {"verdict": ["valid"]}, {"verdict": "valid", "rules": "B7"}]
)
def test_what_is_no_answer_is_told(answer: Any) -> None:
    mark = vector().mark(answer)
    assert (mark.verdict, mark.rules, mark.more, mark.right) == (None, None, None, False)
    assert mark.problem


def test_the_folders_of_an_installed_package_come_before_those_of_a_checkout(tmp_path: Path) -> None:
    package = tmp_path / "lifecycle"
    beside = tmp_path / "specs" / "vectors"
    beside.mkdir(parents=True)
    assert conformance._near(package, "vectors") == beside
    inside = package / "specs" / "vectors"
    inside.mkdir(parents=True)
    assert conformance._near(package, "vectors") == inside


def test_a_folder_that_is_not_there_is_an_error_of_ours() -> None:
    with pytest.raises(lc.LogError) as caught:
        folder("no such thing")
    assert "no part of this installation" in str(caught.value)
