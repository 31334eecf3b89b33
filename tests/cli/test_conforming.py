"""`conform vectors`: any program is asked, and whatever it does the user gets a score and a reason."""

import json
import sys
from pathlib import Path

import pytest

from lifecycle.cli.output import NOTHING
from lifecycle.conformance import vectors
from tests.cli.running import lifecycle

PYTHON = (sys.executable, "-I", "-S", "-c")
READ = "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n"
KNOWING = READ + "    print(json.dumps({'id': q['id'], **known[q['id']]}), flush=True)"


def program(answers: dict[str, object], code: str = KNOWING) -> tuple[str, ...]:
    return (*PYTHON, f"known = {answers!r}\n{code}")


def conform(*arguments: str, command: tuple[str, ...], only: str = "L4") -> tuple[int, str, str]:
    return lifecycle("conform", "vectors", "--only", only, *arguments, "--", *command)


RIGHT: dict[str, object] = {
    vector.id: {"verdict": vector.verdict, "rules": list(vector.rules)} for vector in vectors() if "L4" in vector.about
}
SIX = len(RIGHT)
A_BROKEN_ONE = next(name for name, answer in RIGHT.items() if "L4" in str(answer))


def test_a_program_that_knows_all_is_clean() -> None:
    status, out, err = conform(command=program(RIGHT))
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "rule  vectors  right  wrong  not judged    %  rules named rightly",
        f"L4          {SIX}      {SIX}      0           0  100  {SIX} of {SIX}",
        f"all         {SIX}      {SIX}      0           0  100  {SIX} of {SIX}",
    ]


def test_answers_may_come_in_any_order_at_the_end_and_without_rules() -> None:
    code = READ.replace("for line in sys.stdin:", "for line in reversed(sys.stdin.readlines()):")
    code += "    print(json.dumps({'id': q['id'], 'verdict': known[q['id']]['verdict']}))"
    status, out, err = conform(command=program(RIGHT, code))
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split() == ["all", str(SIX), str(SIX), "0", "0", "100", NOTHING]


def test_a_wrong_answer_is_shown_with_what_was_expected() -> None:
    status, out, err = conform(command=program(RIGHT | {A_BROKEN_ONE: {"verdict": "valid"}}))
    assert (status, err) == (1, "")
    assert f"{A_BROKEN_ONE}  invalid L4  valid" in " ".join(out.split("\n")[4:])


def test_a_right_verdict_with_wrong_details_is_not_right() -> None:
    detail = {"verdict": "invalid", "rules": ["L4"], "findings": []}
    status, out, err = conform(command=program(RIGHT | {A_BROKEN_ONE: detail}))
    assert (status, err) == (1, "")
    assert "invalid L4, but findings" in out
    status, out, _ = conform(command=program(RIGHT | {A_BROKEN_ONE: {"verdict": "invalid", "rules": ["L3"]}}))
    assert status == 1
    assert f"{SIX - 1} of {SIX}" in out


def test_what_is_not_judged_is_neither_right_nor_wrong() -> None:
    status, out, err = conform(command=program(RIGHT | {A_BROKEN_ONE: {"verdict": "unsupported"}}))
    assert (status, err) == (1, "")
    assert out.splitlines()[-1].split()[:6] == ["all", str(SIX), str(SIX - 1), "0", "1", str(100 * (SIX - 1) // SIX)]


def test_what_is_no_verdict_is_shown() -> None:
    status, out, err = conform(command=program(RIGHT | {A_BROKEN_ONE: {"verdict": "sure"}}))
    assert (status, err) == (1, "")
    assert "the verdict is none of valid, acceptable, invalid, unsupported" in out


def test_only_the_first_failures_are_shown_and_how_many_there_are() -> None:
    code = READ + "    print(json.dumps({'id': q['id'], 'verdict': 'acceptable'}))"
    status, out, _ = conform(command=(*PYTHON, code), only="step")
    assert status == 1
    assert out.endswith("more; --format jsonl has all\n")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("print('hello')", "no answer to an open question: hello", id="text"),
        pytest.param("print('[' * 100000)", "no answer to an open question: [[[", id="deep"),
        pytest.param("print('7')", "no answer to an open question: 7", id="no object"),
        pytest.param("print('[]')", "no answer to an open question: []", id="an array"),
        pytest.param('print(\'{"verdict": "valid"}\')', "no answer to an open question: {", id="no id"),
        pytest.param('print(\'{"id": "x"}\')', "no answer to an open question: {", id="unknown id"),
        pytest.param("raise SystemExit", f"has ended; {SIX} questions left open", id="ends"),
        pytest.param("import sys; sys.stdin.close()", f"has ended; {SIX} questions left open", id="closes"),
    ],
)
def test_a_program_that_does_not_answer_gets_a_score_and_the_user_a_reason(code: str, said: str) -> None:
    status, out, err = conform(command=(*PYTHON, code))
    assert status == 1
    assert said in err
    assert out.splitlines()[-1].split()[:6] == ["all", str(SIX), "0", "0", str(SIX), "0"]


def test_a_program_that_is_silent_is_not_waited_for() -> None:
    code = "import sys; sys.stdin.read(); import time; time.sleep(600)"
    status, _, err = conform("--timeout", "0.2", command=(*PYTHON, code))
    assert status == 1
    assert f"no answer for 0.2 seconds; {SIX} questions left open (see --timeout)" in err


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    """The writer of a pipe that a grandchild holds is gone when the command has come back."""
    fifo = tmp_path / "held"
    script = f'mkfifo "{fifo}"; (sleep 600 > "{fifo}") & exec cat "{fifo}"'
    status, _, err = conform("--timeout", "0.5", command=("sh", "-c", script))
    assert status == 1
    assert "no answer for 0.5 seconds" in err


def test_a_program_that_talks_on_and_on_is_stopped() -> None:
    status, _, err = conform(command=(*PYTHON, "while True: print('noise')"))
    assert status == 1
    assert err.count("noise") == 20


def test_no_command_an_unknown_word_and_a_program_that_is_not_there() -> None:
    status, out, err = lifecycle("conform", "vectors")
    assert (status, out) == (2, "")
    assert "which program? Give its command after --" in err
    status, out, err = conform(command=("true",), only="B99")
    assert (status, out) == (2, "")
    assert "--only B99: no vector is of that kind (snapshot, step, event, stream, polls, wire, line)" in err
    status, out, err = conform(command=("./no-such-program",))
    assert (status, out) == (3, "")
    assert err == "lifecycle: ./no-such-program: cannot be started: No such file or directory\n"
    status, out, err = conform(command=("no\0name",))
    assert (status, out) == (3, "")
    assert "cannot be started" in err


def test_a_program_gets_its_own_options() -> None:
    code = f"import sys\nassert sys.argv[1:] == ['-q', '--only', '-'], sys.argv\nknown = {RIGHT!r}\n{KNOWING}"
    status, _, err = conform(command=(*PYTHON, code, "-q", "--only", "-"))
    assert (status, err) == (0, "")


def test_json_has_scores_and_every_answer_and_json_lines_every_answer() -> None:
    status, out, _ = conform("--format", "json", command=program(RIGHT))
    document = json.loads(out)
    assert status == 0
    assert [score["rule"] for score in document["scores"]] == ["L4", "all"]
    assert document["scores"][0] == {
        "rule": "L4", "vectors": SIX, "right": SIX, "wrong": 0, "unjudged": 0, "named": SIX, "rules": SIX
    }  # fmt: skip
    status, lines, _ = conform("--format", "jsonl", command=program(RIGHT))
    assert status == 0
    assert [json.loads(line) for line in lines.splitlines()] == document["results"]
    assert [result["answer"]["verdict"] for result in document["results"]] == [
        result["expected"]["verdict"] for result in document["results"]
    ]


def test_only_picks_by_kind_rule_flag_and_id_and_may_be_repeated() -> None:
    code = READ + "    print(json.dumps({'id': q['id'], 'verdict': 'valid'}))"
    status, out, _ = lifecycle(
        *("conform", "vectors", "--only", "Arrow", "--only", A_BROKEN_ONE, "--format", "jsonl", "--", *PYTHON, code)
    )
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [it["id"] for it in found if not it["verdict"]] == [A_BROKEN_ONE]
    assert len(found) == 28
