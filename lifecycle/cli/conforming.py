"""The command that puts the conformance vectors to any program: conform vectors."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import attrs

from lifecycle import RULES
from lifecycle.cli.output import (
    CLEAN,
    FAILED,
    FOUND,
    NOTHING,
    Format,
    Table,
    UsageError,
    json_text,
    plural,
    progress,
    talk,
    until_closed,
    write,
    write_json_array,
    write_json_lines,
)
from lifecycle.conformance import Mark, Vector, vectors

_LONGEST = 1 << 20
_SHOWN = 20
_NO_ANSWER = Mark(None, None, None, "no answer")


@attrs.frozen
class Result:
    """A vector, what a program said, and whether it is right."""

    vector: Vector
    answer: Any
    mark: Mark


@attrs.define
class Score:
    """How many vectors about one thing were judged, and how."""

    vectors: int = 0
    right: int = 0
    wrong: int = 0
    unjudged: int = 0
    named: int = 0
    rules: int = 0

    def add(self, mark: Mark) -> None:
        """Count one more."""
        self.vectors += 1
        self.right += mark.verdict is True
        self.wrong += mark.verdict is False
        self.unjudged += mark.verdict is None
        self.named += mark.rules is not None
        self.rules += mark.rules is True


def conform(only: Sequence[str], command: Sequence[str], timeout: float, form: Format) -> int:
    """
    Put the vectors to a program and say how it did.

    Raises:
        UsageError: No command was given, or nothing is of the sort that *only* asks for.
    """
    if not command:
        raise UsageError("which program? Give its command after --, such as: lifecycle conform vectors -- ./validate")
    asked = _chosen(list(vectors()), only)
    try:
        program = _Program(command, timeout)
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        talk(f"{command[0]}: cannot be started: {getattr(error, 'strerror', error)}")
        return FAILED
    with until_closed():
        with progress("conform", lambda: len(program.answers), len(asked), "events", streams=False):
            program.ask(asked)
        results = [_result(vector, program.answers) for vector in asked]
        if form == "jsonl":
            write_json_lines(map(_json, results))
        elif form == "json":
            _write_document(results)
        else:
            _write_tables(results)
    for problem in program.problems:
        talk(problem)
    return CLEAN if all(result.mark.right for result in results) else FOUND


def _chosen(found: list[Vector], only: Sequence[str]) -> list[Vector]:
    """The vectors that *only* names: by kind, rule, flag or id; all if it is empty."""
    for word in only:
        if not any(_is_called(vector, word) for vector in found):
            kinds = ", ".join(dict.fromkeys(vector.kind for vector in found))
            raise UsageError(f"--only {word}: no vector is of that kind ({kinds}), about that rule, or has that id")
    return [vector for vector in found if not only or any(_is_called(vector, word) for word in only)]


def _is_called(vector: Vector, word: str) -> bool:
    return word in {vector.id, vector.kind, *vector.about, *vector.flags}


def _result(vector: Vector, answers: Mapping[str, Any]) -> Result:
    if vector.id not in answers:
        return Result(vector, None, _NO_ANSWER)
    answer = answers[vector.id]
    return Result(vector, answer, vector.mark(answer))


class _Program:
    """A program that is asked one question a line on stdin and answers one a line on stdout."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        # In a group of its own, so that what it starts ends with it.
        self._process = subprocess.Popen(  # noqa: S603 -- the program that the user has named
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._name = command[0]
        self._timeout = timeout
        self.answers: dict[str, Any] = {}
        self.problems: list[str] = []

    def ask(self, asked: Sequence[Vector]) -> None:
        """Put all questions, and collect answers until they are complete, or the program ends or is too slow."""
        lines = queue.Queue[bytes]()
        with self._process as process:
            # A program may read all before it answers, or answer one by one: so neither side waits for the other.
            threads = [
                threading.Thread(target=_feed, args=(process.stdin, [vector.question for vector in asked])),
                threading.Thread(target=_drain, args=(process.stdout, lines)),
            ]
            for thread in threads:
                thread.start()
            try:
                self._collect(lines, {vector.id for vector in asked})
            finally:
                _end(process)
                for thread in threads:
                    thread.join()

    def _collect(self, lines: "queue.Queue[bytes]", missing: set[str]) -> None:
        while missing and len(self.problems) < _SHOWN:
            try:
                line = lines.get(timeout=self._timeout)
            except queue.Empty:
                left = plural(len(missing), "question")
                self.problems.append(f"no answer for {self._timeout:g} seconds; {left} left open (see --timeout)")
                return
            if not line:
                self.problems.append(f"{self._name} has ended; {plural(len(missing), 'question')} left open")
                return
            self._take(line, missing)

    def _take(self, line: bytes, missing: set[str]) -> None:
        try:
            answer = json.loads(line)
            name = answer["id"]
            missing.remove(name)
        except (ValueError, RecursionError, TypeError, KeyError):
            shown = line[:80].decode(errors="replace").rstrip()
            self.problems.append(f"no answer to an open question: {shown}")
        else:
            self.answers[name] = answer


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


def _feed(stdin: IO[bytes], questions: Sequence[Mapping[str, Any]]) -> None:
    with contextlib.suppress(OSError), stdin:  # it may end before it has read all
        for question in questions:
            stdin.write(json_text(question).encode() + b"\n")
            stdin.flush()


def _drain(stdout: IO[bytes], lines: "queue.Queue[bytes]") -> None:
    while line := stdout.readline(_LONGEST):
        lines.put(line)
    lines.put(b"")


# ------------------------------------------------------------------------------------------------------------ showing


def _scores(results: Sequence[Result]) -> Iterator[tuple[str, Score]]:
    """The score of each rule, of what is about no rule, and of all."""
    scores = {rule: Score() for rule in (*RULES, "wire", "no rule")}
    total = Score()
    for result in results:
        for rule in result.vector.about or ("no rule",):
            scores[rule].add(result.mark)
        total.add(result.mark)
    yield from ((rule, score) for rule, score in scores.items() if score.vectors)
    yield "all", total


def _write_tables(results: Sequence[Result]) -> None:
    table = Table("rule", "#vectors", "#right", "#wrong", "#not judged", "#%", "rules named rightly")
    for rule, score in _scores(results):
        counts = (score.vectors, score.right, score.wrong, score.unjudged, 100 * score.right // score.vectors)
        table.add(rule, *map(str, counts), f"{score.rules} of {score.named}" if score.named else NOTHING)
    table.finish()
    wrong = [result for result in results if not result.mark.right and result.mark.verdict is not None]
    wrong += [result for result in results if result.mark.problem not in {None, _NO_ANSWER.problem}]
    if wrong:
        write("\n")
        failed = Table("vector", "expected", "said", "what it is")
        for result in wrong[:_SHOWN]:
            said = result.mark.problem or _verdict(result.answer["verdict"], result.answer.get("rules"))
            if result.mark.verdict and result.mark.rules is not False:
                said += ", but " + ", ".join(
                    key for key, value in result.vector.expected.items() if result.answer.get(key, value) != value
                )
            expected = _verdict(result.vector.verdict, result.vector.rules)
            failed.add(result.vector.id, expected, said, result.vector.comment)
        failed.finish()
        if len(wrong) > _SHOWN:
            write(f"and {len(wrong) - _SHOWN} more; --format jsonl has all\n")


def _verdict(verdict: str, rules: Sequence[str] | None) -> str:
    return f"{verdict} {' '.join(rules)}" if rules else verdict


def _json(result: Result) -> dict[str, Any]:
    vector, mark = result.vector, result.mark
    return {
        "id": vector.id,
        "comment": vector.comment,
        "about": vector.about,
        "expected": {"verdict": vector.verdict, "rules": vector.rules, **vector.expected},
        "answer": result.answer,
        "verdict": mark.verdict,
        "rules": mark.rules,
        "more": mark.more,
        "problem": mark.problem,
    }


def _write_document(results: Sequence[Result]) -> None:
    write('{\n  "scores": ')
    write_json_array(({"rule": rule, **attrs.asdict(score)} for rule, score in _scores(results)), "  ")
    write(',\n  "results": ')
    write_json_array(map(_json, results), "  ")
    write("\n}\n")
