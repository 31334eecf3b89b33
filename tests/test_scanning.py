"""Several processes scan as one does, whatever becomes of them; and none is left."""

import gzip
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lifecycle as lc
from lifecycle import log, replaying, scanning
from lifecycle.columns import Block, Columns, scan
from lifecycle.lines import File
from lifecycle.scanning import Scanned, Single, scanned
from tests.lives import LIFE
from tests.test_screening import life, lines

SIZE = 3000
LIVES = [life(f"msgbatch_{number}") for number in range(20)]
TEXT = lines(one for turn in zip(*LIVES, strict=True) for one in turn)
Process = subprocess.Popen[bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "night.jsonl"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    """Every process that is started; none is left at the end of a test."""
    found: list[Process] = []
    start = scanning._start

    def noted() -> Process:
        found.append(start())
        return found[-1]

    monkeypatch.setattr(scanning, "_start", noted)
    yield found
    for process in found:
        assert process.returncode is not None
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def python(monkeypatch: pytest.MonkeyPatch, script: str, *, times: int = 1_000_000) -> list[Process]:
    """Let the first so many processes run *script* in the place of ours."""
    found: list[Process] = []
    start = scanning._start

    def other() -> Process:
        if len(found) >= times:
            return start()
        command = [sys.executable, "-S", "-c", script]
        found.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return found[-1]

    monkeypatch.setattr(scanning, "_start", other)
    return found


Row = tuple[bytes | None, bool, int, list[int]]


def rows(found: Iterator[Scanned | Single]) -> Iterator[Row]:
    """Each line, whether it is plain, its version, its counts."""
    for one in found:
        if isinstance(one, Single):
            yield one.line, False, -1, []
            continue
        counts = [values.tolist() for values in one.columns.counts.values()]
        for row, plain in enumerate(one.columns.plain.tolist()):
            yield one.line(row), plain, int(one.columns.version[row]), [values[row] for values in counts]


def both(path: Path, jobs: int, max_bytes: int = 1 << 20, size: int = SIZE) -> list[Row]:
    """What several processes find, held against what one does."""
    expected = list(rows(scanned(File(path), max_bytes, 1, size)))
    found = list(rows(scanned(File(path), max_bytes, jobs, size)))
    assert found == expected
    return found


class TestSeveralProcesses:
    """They answer as this one does."""

    def test_give_the_same_lines(self, path: Path, started: list[Process]) -> None:
        found = both(path, 3, size=100)  # less than a line
        assert [line for line, *_ in found] == TEXT.splitlines()
        assert all(plain for _, plain, *_ in found)
        assert len(started) == 3

    def test_give_the_same_report(self, path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
        with path.open("ab") as file:
            file.write(b"{}\n" + lines(life("x", LIFE[1:3])) + lines(LIVES[3][:2]) + b"x" * 9000 + b"\n\n{")
        expected = lc.replay(log.read(path), profile=lc.HOSTED)
        assert len(expected.findings) == 4
        monkeypatch.setattr(replaying, "LONG", 0)
        assert lc.replay(log.read(path), profile=lc.HOSTED, jobs=2) == expected
        assert list(lc.audit(log.read(path), profile=lc.HOSTED, jobs=2)) == list(expected.findings)
        assert started == []  # shorter than two pieces
        path.write_bytes(path.read_bytes() * 3)
        expected = lc.replay(log.read(path), profile=lc.HOSTED)
        monkeypatch.setattr(File, "spans", lambda file, limit, _, spans=File.spans: spans(file, limit, 20_000))
        assert lc.replay(log.read(path), profile=lc.HOSTED, jobs=2) == expected
        assert len(started) == 2

    def test_are_not_started_for_what_they_cannot_take(self, tmp_path: Path, started: list[Process]) -> None:
        for name, text in {
            "short": TEXT[: 2 * SIZE - 1],
            "empty": b"",
            "packed": gzip.compress(TEXT, 0),
            "too_long_a_line": TEXT[:4000] + b"x" * 5000 + b"\n" + TEXT,
        }.items():
            (tmp_path / name).write_bytes(text)
            both(tmp_path / name, 2, max_bytes=900)
        assert started == []

    def test_take_lines_that_are_too_long_and_leave_the_torn_one(self, path: Path, started: list[Process]) -> None:
        path.write_bytes(TEXT[:7000] + b"x" * 700 + b"\n" + TEXT + b"{torn")
        found = both(path, 2, max_bytes=680)
        assert found[-1] == (b"{torn", False, -1, [])
        assert len(started) == 2

    def test_are_not_started_for_standard_input(
        self, path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            assert [line for line, *_ in rows(scanned(File("-"), 1 << 20, 2, SIZE))] == TEXT.splitlines()
        assert started == []

    def test_are_told_of_as_the_file_is_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        python(monkeypatch, "")
        file = File(path)
        seen = [file.bytes_read for _ in scanned(file, 1 << 20, 2, SIZE)]
        assert seen == sorted(seen)
        assert seen[0] < 2 * SIZE
        assert file.bytes_read == len(TEXT)

    def test_run_nothing_that_lies_about(
        self, path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        for name in ("numpy", "pickle", "lifecycle"):
            Path(f"{name}.py").write_text("open('ran', 'w')")
        both(path, 2)
        assert started
        assert not Path("ran").exists()


class TestProcessesThatFail:
    """This process does their work."""

    def test_are_dead_at_once(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        processes = python(monkeypatch, "")
        assert len(both(path, 2)) == 120
        assert [process.returncode is not None for process in processes] == [True, True]

    def test_cannot_be_started(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", str(path))
        both(path, 3)
        monkeypatch.setattr(sys, "executable", None)
        both(path, 3)

    def test_are_fewer_than_were_wanted(
        self, path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = scanning._start

        def one() -> Process:
            if started:
                raise BlockingIOError("no more processes")
            return start()

        monkeypatch.setattr(scanning, "_start", one)
        both(path, 2)
        assert len(started) == 1

    def test_die_in_the_middle_of_an_answer(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = pickle.dumps(answer_for(path, 0, 5))
        script = f"import sys; sys.stdin.buffer.read(9); sys.stdout.buffer.write({answer[:-100]!r})"
        processes = python(monkeypatch, script)
        both(path, 2)
        assert [process.returncode is not None for process in processes] == [True, True]

    def test_die_between_two_answers(self, path: Path, started: list[Process]) -> None:
        found = scanned(File(path), 1 << 20, 2, SIZE)
        seen = list(rows(iter([next(found)])))
        for process in started:
            process.kill()
            process.wait()
        assert seen + list(rows(found)) == list(rows(scanned(File(path), 1 << 20, 1, SIZE)))

    @pytest.mark.parametrize(
        "rubbish",
        [
            b"Welcome!\n",
            b"cno_such_module\nname\n.",
            b"\x80\x63.",
            pickle.dumps(None),
            pickle.dumps((1, 2, 3)),
            pickle.dumps((SimpleNamespace(plain=[True]), [1], [])),
        ],
    )
    def test_answer_rubbish(self, path: Path, monkeypatch: pytest.MonkeyPatch, rubbish: bytes) -> None:
        processes = python(monkeypatch, saying(rubbish + pickle.dumps(answer_for(path, 0, SIZE)) * 9))
        both(path, 2)  # what came behind the rubbish would have been an answer, but to what was asked before
        assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2

    def test_may_stand_beside_others_that_do_not(
        self, path: Path, started: list[Process], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        processes = python(monkeypatch, saying(b"Welcome!\n"), times=1)
        both(path, 2)
        assert (len(processes), len(started)) == (1, 1)

    def test_may_be_at_fault_no_more_than_the_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        processes = python(monkeypatch, "")
        found = scanned(File(path), 1 << 20, 2, SIZE)
        next(found)
        path.unlink()
        with pytest.raises(lc.LogError) as info:
            list(found)
        assert (info.value.path, info.value.line) == (str(path), None)
        assert len(processes) == 2


def saying(text: bytes) -> str:
    """A script that says *text* and then listens for ever."""
    return f"import sys; sys.stdout.buffer.write({text!r}); sys.stdout.flush(); sys.stdin.read()"


def answer_for(path: Path, start: int, end: int) -> tuple[Columns, Any, Any]:
    block = Block(File(path).span(start, end))
    return scan(block), block.starts, block.ends


class TestTheirEnd:
    """No process outlives the reading, not even one that waits for ever."""

    @pytest.fixture
    def waiting(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
        """Processes that answer once."""
        found = python(monkeypatch, saying(pickle.dumps(answer_for(path, *File(path).spans(1 << 20, SIZE)[0]))))
        yield found
        assert [process.returncode for process in found] == [-signal.SIGKILL] * 3

    def test_comes_if_the_reader_stops_early(self, path: Path, waiting: list[Process]) -> None:
        found: Any = scanned(File(path), 1 << 20, 3, SIZE)
        next(found)
        assert [process.poll() for process in waiting] == [None] * 3
        found.close()

    @pytest.mark.usefixtures("waiting")
    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
    def test_comes_if_the_reader_is_interrupted(self, path: Path, error: type[BaseException]) -> None:
        found: Any = scanned(File(path), 1 << 20, 3, SIZE)
        next(found)
        with pytest.raises(error):
            found.throw(error)

    @pytest.mark.usefixtures("waiting")
    def test_comes_if_it_is_interrupted_while_it_waits(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(scanned(File(path), 1 << 20, 3, SIZE))


class TestTheOtherSide:
    """What runs in a process of its own."""

    @staticmethod
    def served(monkeypatch: pytest.MonkeyPatch, asking: Any, answering: Any) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=asking))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=answering))
        scanning.serve()

    def test_answers_until_there_is_nothing_more_to_answer(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spans = File(path).spans(1 << 20, SIZE)[:2]
        asking = io.BytesIO(b"".join(pickle.dumps((str(path), span)) for span in spans))
        answering = io.BytesIO()
        self.served(monkeypatch, asking, answering)
        answering.seek(0)
        for span in spans:
            found, starts, ends = pickle.load(answering)
            expected, *places = answer_for(path, *span)
            assert (found.plain.tolist(), found.version.tolist()) == ([True] * len(ends), expected.version.tolist())
            assert all(np.array_equal(*pair) for pair in zip((starts, ends), places, strict=True))
        assert answering.read() == b""

    def test_ends_quietly_if_nobody_listens(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = os.pipe()
        os.close(ours)
        with open(theirs, "wb", buffering=0) as answering:  # noqa: PTH123 -- a descriptor has no path
            self.served(monkeypatch, io.BytesIO(pickle.dumps((str(path), (0, SIZE)))), answering)
