"""The command `audit --follow`: findings as they come, and what is told beside them."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from lifecycle import LAWS, log
from lifecycle.cli import following
from lifecycle.cli.following import parse_span
from lifecycle.cli.output import UsageError
from lifecycle.following import follow
from lifecycle.store.sql import SQLStore
from tests.cli.running import Terminal, command, environment, interruptible, lifecycle, started
from tests.lives import CREATED, DELETED, ENDED, LIFE, records

Pauses = Callable[..., None]

BROKEN = [records()[0], *records()[2:]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with one finding: a gap."""
    log.append(tmp_path / "night.jsonl", BROKEN)
    return tmp_path / "night.jsonl"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """Lets things happen instead of pauses; after the last of them somebody presses Ctrl-C."""

    def happens(*things: Callable[[], object]) -> None:
        left = iter(things)

        def pause(_: float) -> None:
            thing = next(left, None)
            if thing is None:
                raise KeyboardInterrupt
            thing()

        monkeypatch.setattr(following, "_pause", pause)

    return happens


def test_a_finding_is_a_line(path: Path) -> None:
    status, out, err = lifecycle("audit", "--follow", "night.jsonl", "--until-end", cwd=path.parent)
    assert status == 1
    assert out.startswith("night.jsonl:2: batch 'msgbatch_01' version 3: L3: Versions in a stream are 1, 2, 3 …:")
    assert out.endswith("but version 3 comes after version 1 (law)\n")
    assert out.count("\n") == 1
    assert err == "lifecycle: 5 events of 1 batch (1 deleted): 1 finding (1 law)\n"


def test_a_pattern_stands_for_the_files_that_are_there(path: Path) -> None:
    status, out, _ = lifecycle("audit", "--follow", "night.*", "--until-end", cwd=path.parent)
    assert (status, out.partition(":")[0]) == (1, "night.jsonl")


def test_a_finding_is_a_line_of_json_as_without_following(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"{}\n")
    _, expected, _ = lifecycle("audit", "night.jsonl", "--format", "jsonl", cwd=path.parent)
    status, out, _ = lifecycle("audit", "--follow", "night.jsonl", "--until-end", "--format", "jsonl", cwd=path.parent)
    assert status == 1
    assert sorted(out.splitlines()) == sorted(expected.splitlines())
    found = follow(path, until_end=True, checkpoint=path.parent / "c", findings=path.parent / "f")
    assert len(list(found)) == 2
    of_library = [json.loads(line) | {"file": "night.jsonl"} for line in (path.parent / "f").read_text().splitlines()]
    assert of_library == [json.loads(line) for line in out.splitlines()]


def test_a_log_that_keeps_the_rules_has_none(tmp_path: Path) -> None:
    log.append(tmp_path / "night.jsonl", records())
    arguments = ("audit", "--follow", "night.jsonl", "--until-end", "--profile", "hosted")
    assert lifecycle(*arguments, cwd=tmp_path) == (
        0,
        "",
        "lifecycle: 6 events of 1 batch (1 deleted): no findings\n",
    )
    (tmp_path / "empty.jsonl").touch()
    _, _, err = lifecycle("audit", "--follow", "empty.jsonl", "--until-end", cwd=tmp_path)
    assert err == "lifecycle: 0 events of 0 batches: no findings\n"


def test_advice_is_told_and_is_no_failure(tmp_path: Path) -> None:
    late = (*LIFE[:3], attrs.evolve(ENDED, results_url=None))
    log.append(tmp_path / "night.jsonl", records(late))
    status, out, _ = lifecycle("audit", "--follow", "night.jsonl", "--until-end", "--profile", "hosted", cwd=tmp_path)
    assert (status, "B14" in out) == (0, True)


def test_what_comes_is_judged_until_ctrl_c(path: Path, pauses: Pauses) -> None:
    pauses(lambda: log.append(path, records(LIFE[1:2], "msgbatch_02")), lambda: None)
    status, out, err = lifecycle("audit", "--follow", "night.jsonl", cwd=path.parent)
    assert status == 130
    assert [line.split()[0] for line in out.splitlines()] == ["night.jsonl:2:", "night.jsonl:6:"]
    assert err.splitlines()[-1] == "lifecycle: interrupted; there is no --checkpoint, so the next time it begins anew"


def test_ctrl_c_says_how_to_go_on(path: Path, pauses: Pauses) -> None:
    arguments = ["audit", "--follow", "night.jsonl", "--profile", "laws", "--format", "jsonl", "--forget-after", "2h"]
    arguments += ["--checkpoint", "my checkpoint", "--findings", "f.jsonl", "--checkpoint-every", "0s"]
    with path.open("ab") as file:
        file.write(b'{"torn')
    pauses()
    status, out, err = lifecycle(*arguments, cwd=path.parent)
    told = err.splitlines()
    assert (status, out.count("\n")) == (130, 1)
    assert told[1] == "lifecycle: night.jsonl:6: the line has no end yet; it is judged when it has"
    assert told[2] == "lifecycle: interrupted; go on with:"
    assert shlex.split(told[3]) == ["lifecycle", *arguments]
    pauses()
    status, out, err = lifecycle(*arguments, cwd=path.parent)
    assert (status, out) == (130, "")
    assert err.startswith("lifecycle: 5 events of 1 batch (1 deleted): no findings since the checkpoint\n")
    assert (path.parent / "f.jsonl").read_text().count("\n") == 1


def test_without_stderr_it_ends_all_the_same(path: Path, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    how = following.How(checkpoint=str(path.parent / "c"))
    pauses()
    monkeypatch.setattr(sys, "stdout", (path.parent / "out").open("w"))
    with sys.stdout:
        assert following.follow([str(path)], LAWS, "table", how, ()) == 130


def test_a_store_is_followed(tmp_path: Path, pauses: Pauses) -> None:
    url = f"sqlite:///{tmp_path / 'batches.db'}"
    with SQLStore(url) as store:
        store.import_records(records(LIFE[:2]))

        def more() -> None:
            store.import_records(records(LIFE[:4])[2:])

        pauses(more)
        status, out, err = lifecycle("audit", "--follow", url, "--checkpoint", str(tmp_path / "c"))
    assert (status, out) == (130, "")
    assert "4 events of 1 batch (1 ended): no findings" in err


def test_a_checkpoint_is_good_in_another_process(tmp_path: Path) -> None:
    """Nothing in it depends on the seed of Python's own hashes: what was recorded comes again, and is no finding."""
    other = attrs.evolve(CREATED, id="msgbatch_02")
    lives = records(LIFE[:3]), records((other, *LIFE[1:]), "msgbatch_02")  # one is live, one has finished
    log.append(tmp_path / "night.jsonl", [*lives[0], *lives[1]])
    arguments = ("audit", "--follow", "night.jsonl", "--checkpoint", "c", "--until-end", "--profile", "hosted")
    assert lifecycle(*arguments, cwd=tmp_path)[0] == 0
    log.append(tmp_path / "night.jsonl", [*lives[0], *lives[1], attrs.evolve(lives[1][2], event=DELETED)])
    status, out, err = started(*arguments, cwd=tmp_path, PYTHONHASHSEED="1")
    assert (status, out.count("\n"), "L4" in out) == (1, 1, True)
    assert "19 events of 2 batches (1 canceling, 1 deleted): 1 finding (1 law) since the checkpoint" in err


def test_a_log_that_is_replaced_ends_it(path: Path, pauses: Pauses) -> None:
    pauses(path.unlink)
    status, out, err = lifecycle("audit", "--follow", "night.jsonl", cwd=path.parent)
    assert (status, out.count("\n")) == (3, 1)
    assert "5 events of 1 batch" in err.splitlines()[0]
    assert "another file has taken its place, or none, after line 5" in err.splitlines()[1]


def test_a_start_that_is_refused_is_told_alone(path: Path) -> None:
    """There is nothing to sum up."""
    (path.parent / "c").write_bytes(b"notes of somebody\n" * 9)
    for arguments in (["night.jsonl", "--checkpoint", "c"], ["nowhere.jsonl"]):
        status, out, err = lifecycle("audit", "--follow", *arguments, "--until-end", cwd=path.parent)
        assert (status, out, "events" in err) == (3, "", False)
        assert "it is no checkpoint" in err or "No such file" in err


def test_ctrl_c_before_it_has_begun_sums_nothing_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed() -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "_clock", pressed)  # which is asked when the checkpoint has been read
    status, out, err = lifecycle("audit", "--follow", "night.jsonl", "--checkpoint", "c", cwd=path.parent)
    assert (status, out) == (130, "")
    assert err.startswith("lifecycle: interrupted; go on with:\n")
    assert [one.name for one in path.parent.iterdir()] == ["night.jsonl"]


def test_without_a_file_to_write_it_says_what_it_expected(path: Path) -> None:
    for name in ("-", "", "."):
        for more in (["--checkpoint", name], ["--checkpoint", "c", "--findings", name]):
            status, out, err = lifecycle("audit", "--follow", "night.jsonl", *more, cwd=path.parent)
            assert (status, out) == (2, "")
            assert f"{more[-2]}: expected a file, got '" in err
    assert [one.name for one in path.parent.iterdir()] == ["night.jsonl"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--follow", "-"],
        ["--follow", "night.parquet"],
        ["--follow", "night.jsonl", "--format", "json"],
        ["--follow", "night.jsonl", "--findings", "f"],
        ["--follow", "night.jsonl", "--checkpoint", "c", "--findings", "c"],
        ["--follow", "night.jsonl", "--checkpoint", "c", "--findings", "night.jsonl"],
        ["--follow", "night.jsonl", "--forget-after", "soon"],
        ["--follow", "night.jsonl", "--checkpoint", "c", "--checkpoint-every", "-1s"],
        ["--follow", "night.jsonl", "--checkpoint-every", "1s"],
        ["--follow", "night.jsonl", "--engine", "one"],
        ["--follow", "night.jsonl", "--order", "version"],
        ["--follow", "night.jsonl", "--memory-limit", "1GB"],
        ["--follow", "night.jsonl", "--threads", "1"],
        ["--follow", "night.jsonl", "--jobs", "2"],
        ["night.jsonl", "--forget-after", "1d"],
        ["night.jsonl", "--checkpoint", "c"],
        ["night.jsonl", "--findings", "f"],
        ["night.jsonl", "--checkpoint-every", "1s"],
        ["night.jsonl", "--until-end"],
    ],
)
def test_a_wrong_use_is_told(arguments: list[str], path: Path) -> None:
    (path.parent / "night.parquet").write_bytes(b"PAR1 and more, PAR1")
    before = sorted(path.parent.iterdir())
    status, out, err = lifecycle("audit", *arguments, cwd=path.parent)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "lifecycle: see: lifecycle audit --help"
    assert sorted(path.parent.iterdir()) == before


def test_a_span_is_a_number_and_a_unit() -> None:
    found = {text: parse_span("--x", text, timedelta(7)) for text in (None, "0s", "90s", "15m", "12h", "7d", "2w")}
    hours = {text: span / timedelta(hours=1) for text, span in found.items()}
    assert hours == {None: 168, "0s": 0, "90s": 0.025, "15m": 0.25, "12h": 12, "7d": 168, "2w": 336}
    for wrong in ("", "7", "d", "1.5h", "1h30m", "-1s", "9999999999w", "٣d"):
        with pytest.raises(UsageError, match=r"--x: expected a span of time"):
            parse_span("--x", wrong, timedelta())


class TestCtrlC:
    """A signal ends it between two blocks of lines; where it is ignored, it stays ignored."""

    @staticmethod
    def view(signals: Callable[[Any, Any], None]) -> tuple[bool, list[str]]:
        """What a signal does, by a stand-in that is told to stop."""
        told: list[str] = []

        class Told:
            def stop(self) -> None:
                told.append("stop")

        view = following._View()
        stranger: Any = Told()
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with following._interruptible(view, stranger):
                signals(view, signal.getsignal(signal.SIGINT))
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, before)
        return view.interrupted, told

    def test_lets_the_lines_be_judged_that_it_falls_upon(self) -> None:
        assert self.view(lambda _, handler: handler(2, None)) == (True, ["stop"])

    def test_ends_a_pause_at_once(self) -> None:
        def in_a_pause(view: Any, handler: Any) -> None:
            view.sleeping = True
            with pytest.raises(KeyboardInterrupt):
                handler(2, None)

        assert self.view(in_a_pause) == (False, [])

    def test_the_second_time_ends_it_at_once(self) -> None:
        def twice(_: Any, handler: Any) -> None:
            handler(2, None)
            with pytest.raises(KeyboardInterrupt):
                handler(2, None)

        assert self.view(twice) == (True, ["stop"])

    def test_that_is_ignored_stays_so(self, path: Path) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status, _, _ = lifecycle("audit", "--follow", "night.jsonl", "--until-end", cwd=path.parent)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)
        assert status == 1

    def test_of_a_process_ends_it_with_a_checkpoint(self, path: Path) -> None:
        arguments = command("audit", "--follow", "night.jsonl", "--checkpoint", "c")
        with subprocess.Popen(
            arguments,
            cwd=path.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=interruptible,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"night.jsonl:2:")  # a line is told as soon as it is known
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert process.returncode == 130
        assert b"go on with:" in err
        status, out, _ = lifecycle(
            "audit", "--follow", "night.jsonl", "--checkpoint", "c", "--until-end", cwd=path.parent
        )
        assert (status, out) == (0, "")


class TestOnATerminal:
    """Findings above, and below them a line that says how far it is."""

    def test_the_line_tells_how_far_it_is(self, path: Path) -> None:
        terminal = Terminal("audit", "--follow", "night.jsonl", width=200, cwd=path.parent)
        terminal.wait_for("5 events (waiting for more); batches: 0 live, 1 finished; 1 finding")
        assert terminal.finish(interrupt=True) == 130
        assert "night.jsonl:2: batch 'msgbatch_01' version 3: L3: " in terminal.text
        assert "interrupted; there is no --checkpoint" in terminal.text

    def test_it_is_drawn_on_stderr_where_stdout_is_no_terminal(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here in this process: a stream that says that it is a terminal."""
        monkeypatch.setattr(following, "is_terminal", lambda stream: stream is sys.stderr)
        times = iter(range(10_000))
        monkeypatch.setattr(following, "_clock", lambda: next(times) / 4)
        monkeypatch.setattr("lifecycle.following.CHUNK", 300)
        monkeypatch.setenv("COLUMNS", "200")
        status, out, err = lifecycle("audit", "--follow", "night.jsonl", "--until-end", cwd=path.parent)
        assert (status, out.count("\n")) == (1, 1)
        assert err.endswith("lifecycle: 5 events of 1 batch (1 deleted): 1 finding (1 law)\n")

    def test_findings_stand_above_it_where_stdout_is_one(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(following, "is_terminal", lambda _: True)
        monkeypatch.setattr(following, "_FRAME", 0)
        _, out, _ = lifecycle("audit", "--follow", "night.jsonl", "--until-end", cwd=path.parent)
        assert out.startswith("night.jsonl:2: batch 'msgbatch_01' version 3: L3: ")


def test_a_reader_that_has_gone_ends_it_quietly(path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = command("audit", "--follow", "night.jsonl", "--until-end")
    done = subprocess.run(
        arguments, cwd=path.parent, stdout=writing, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr.decode().startswith("lifecycle: ")
    assert "Traceback" not in done.stderr.decode()
