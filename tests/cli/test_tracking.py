"""The command `track`: by virtual time, before a server in memory."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle import log
from lifecycle.cli import tracking
from lifecycle.cli.output import NOTHING
from lifecycle.store.sql import SQLStore
from tests.cli.running import ESCAPES, Terminal, environment, lifecycle
from tests.tracker import screen
from tests.tracker.api import BatchesAPI
from tests.tracker.children import code
from tests.tracker.wires import answering, rewritten

ONE, TWO, THREE = "msgbatch_0001", "msgbatch_0002", "msgbatch_0003"
KEY = "sk-ant-a-key-that-nobody-may-see"

Prepare = Callable[..., BatchesAPI]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Lets the command live by a clock of its own, in this process."""

    def prepared(**more: Any) -> BatchesAPI:
        return screen.prepare(put=monkeypatch.setattr, **more)

    return prepared


class TestWithoutATerminal:
    """One line an event on stdout; what is no event is told on stderr."""

    def test_each_event_is_a_line(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare()
        status, out, err = lifecycle("track", ONE, TWO, "--log", "night.jsonl", cwd=tmp_path)
        lines = out.splitlines()
        assert status == 0
        assert lines[0] == "2026-01-01 12:00:01  msgbatch_0001  v1  created  4 requests"
        assert re.fullmatch(r"2026-01-01 12:01:\d\d  msgbatch_0002  v\d  ended  3 succeeded, 1 errored", lines[-1])
        assert len(lines) == len(list(log.read(tmp_path / "night.jsonl")))
        assert err == f"lifecycle: 2 batches: 2 ended; {len(lines)} events written to night.jsonl\n"

    def test_it_goes_on_and_has_nothing_to_add(self, prepare: Prepare, tmp_path: Path) -> None:
        for events in 5, 0:
            prepare()
            status, out, err = lifecycle("track", ONE, ONE, "--log", "night.jsonl", cwd=tmp_path)
            assert (status, len(out.splitlines())) == (0, events)
            assert err == f"lifecycle: 1 batch: 1 ended; {events} events written to night.jsonl\n"

    def test_a_cancellation_has_no_detail(self, prepare: Prepare, tmp_path: Path) -> None:
        api = prepare()
        api.cancel(THREE)
        _, out, _ = lifecycle("track", THREE, "--log", "night.jsonl", cwd=tmp_path)
        assert out.splitlines()[1].endswith("v2  cancel_initiated")

    def test_a_store_keeps_them_too(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare()
        status, _, _ = lifecycle("track", ONE, "--log", "sqlite:///batches.db", cwd=tmp_path)
        assert status == 0
        with SQLStore(f"sqlite:///{tmp_path / 'batches.db'}") as store:
            assert store.batch(ONE).phase is lc.Phase.ENDED

    def test_results_are_told(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare()
        status, _, err = lifecycle("track", ONE, "--log", "night.jsonl", "--results", "answers", cwd=tmp_path)
        assert (status, (tmp_path / "answers" / f"{ONE}.jsonl").exists()) == (0, True)
        assert f"batch '{ONE}': results in answers/{ONE}.jsonl, whole" in err

    def test_a_problem_is_told_when_it_is_new(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(plan=("404", "404", "500", "500", None))
        _, _, err = lifecycle("track", ONE, TWO, "--log", "night.jsonl", cwd=tmp_path)
        warnings = [line for line in err.splitlines() if "warning" in line]
        assert warnings[:2] == [
            f"lifecycle: warning: batch '{each}': not seen (404): not there yet, deleted, or another key's; "
            "it is asked again"
            for each in (ONE, TWO)
        ]
        assert ["500 api_error" in warning for warning in warnings[2:]] == [True]  # of either, and once

    def test_results_that_do_not_agree_are_a_finding(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(around=answering(200, b"?\n", only="/results"))
        status, _, err = lifecycle("track", ONE, "--log", "night.jsonl", "--results", ".", cwd=tmp_path)
        assert status == 1
        assert "does not agree with it: succeeded: expected 4, found 0; 1 line not readable" in err

    def test_results_that_nobody_may_fetch_are_a_finding(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(around=rewritten(lambda snapshot: snapshot.update(results_url="https://evil.example/")))
        status, _, err = lifecycle("track", ONE, "--log", "night.jsonl", "--results", ".", cwd=tmp_path)
        assert status == 1
        assert "no results: its results_url is not of the client's origin" in err

    def test_a_contradiction_is_a_finding_and_told_once(self, prepare: Prepare, tmp_path: Path) -> None:
        looks = [0]

        def grow(snapshot: dict[str, Any]) -> None:
            looks[0] += 1
            if 3 <= looks[0] <= 5:
                snapshot["request_counts"]["processing"] += 1

        prepare(around=rewritten(grow))
        status, _, err = lifecycle("track", TWO, "--log", "night.jsonl", cwd=tmp_path)
        assert status == 1
        assert err.count("contradicts what is known") == 1
        assert lc.replay(log.read(tmp_path / "night.jsonl")).findings == ()

    def test_ctrl_c_says_how_to_go_on(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(interrupt_after=50)
        arguments = ("track", ONE, TWO, "--log", "my night.jsonl", "--results", "answers")
        status, out, err = lifecycle(*arguments, cwd=tmp_path)
        first, command = err.splitlines()[-2:]
        assert status == 130
        assert f"{len(out.splitlines())} events written, and the log is whole; go on with:" in first
        assert shlex.split(command) == ["lifecycle", *arguments]
        prepare()
        assert lifecycle(*arguments, cwd=tmp_path)[0] == 0
        assert lc.replay(log.read(tmp_path / "my night.jsonl")).findings == ()

    @pytest.mark.usefixtures("children_are_measured")
    def test_when_nobody_reads_any_more_it_says_how_to_go_on(self, tmp_path: Path) -> None:
        """As with `lifecycle track ... | head`."""
        main = "from lifecycle.__main__ import main; sys.exit(main())"
        before = code("from tests.tracker import screen; screen.prepare()")
        arguments = ["track", ONE, TWO, "--log", "night.jsonl"]
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-c", before + main, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(),
            check=False,
            text=True,
        )
        os.close(writing)
        assert done.returncode == 130
        assert done.stderr.endswith(f"the log is whole; go on with:\n    lifecycle {shlex.join(arguments)}\n")
        assert lc.replay(log.read(tmp_path / "night.jsonl")).findings == ()

    def test_a_long_command_is_not_told_again(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(batches=50, interrupt_after=3)
        ids = [f"msgbatch_{number:04}" for number in range(1, 51)]
        status, _, err = lifecycle("track", *ids, "--log", "night.jsonl", cwd=tmp_path)
        assert (status, err.count("\n")) == (130, 1)
        assert "the same command goes on where it was" in err


class TestWhatIsWrong:
    """A sentence, never a traceback, and never the key."""

    @pytest.mark.parametrize(
        "arguments",
        [
            [ONE, "--log", "-"],
            [ONE, "--log", ""],
            ["", "--log", "a.jsonl"],
            ["msgbatch_\udcff", "--log", "a.jsonl"],
            [ONE, "--log", "a.jsonl", "--requests-per-second", "inf"],
            [ONE],
            ["--log", "a.jsonl"],
        ],
    )
    def test_a_wrong_use_is_told(self, prepare: Prepare, arguments: list[str], tmp_path: Path) -> None:
        prepare()
        status, out, err = lifecycle("track", *arguments, cwd=tmp_path)
        assert (status, out) == (2, "")
        assert err.splitlines()[-1] == "lifecycle: see: lifecycle track --help"
        assert list(tmp_path.iterdir()) == []

    def test_a_refused_key_is_told_and_is_nowhere(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare(api_key=KEY)
        status, out, err = lifecycle("track", ONE, "--log", "night.jsonl", cwd=tmp_path)
        assert (status, out) == (3, "")
        assert err == (
            "lifecycle: the server refuses the key: 401 authentication_error. The log is whole; "
            "see to ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL, then run the same command again\n"
        )
        assert KEY not in err + (tmp_path / "night.jsonl").read_text()

    def test_a_log_that_cannot_be_written_is_told(self, prepare: Prepare, tmp_path: Path) -> None:
        prepare()
        status, _, err = lifecycle("track", ONE, "--log", ".", cwd=tmp_path)
        assert status == 3
        assert "cannot be written" in err

    def test_without_the_client_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "anthropic", None)
        status, _, err = lifecycle("track", ONE, "--log", "night.jsonl", cwd=tmp_path)
        assert status == 3
        assert "pip install 'lifecycle[tracker]'" in err
        assert "log" not in err
        assert list(tmp_path.iterdir()) == []

    def test_a_client_that_cannot_be_made_is_told(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setattr("anthropic.Anthropic", lambda: 1 / 0)
        status, _, err = lifecycle("track", ONE, "--log", "night.jsonl", cwd=tmp_path)
        assert status == 3
        assert "the official client cannot be made (ZeroDivisionError): see to ANTHROPIC_API_KEY" in err
        assert KEY not in err

    def test_the_client_is_the_official_one_with_the_key_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        with tracking._client() as client:
            assert client.api_key == KEY

    def test_it_reads_the_system_s_clock(self) -> None:
        assert tracking._now().utcoffset() is not None


def frames(terminal: Terminal) -> list[str]:
    """What the screen showed, one frame after the other, without colours."""
    drawn = re.split(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?)+", terminal.raw)
    return [ESCAPES.sub("", frame).replace("\r\n", "\n") for frame in drawn if frame.strip()]


class TestOnATerminal:
    """A row a batch, redrawn."""

    def test_the_rows_tell_how_each_batch_is(self, tmp_path: Path) -> None:
        before = code("from tests.tracker import screen; screen.prepare(interrupt_after=110, plan=(None, '500'))")
        arguments = ("track", ONE, TWO, THREE, "msgbatch_9999", "--log", "night.jsonl", "--results", "answers")
        terminal = Terminal(*arguments, width=90, cwd=tmp_path, before=before)
        assert terminal.finish() == 130
        seen = frames(terminal)
        assert seen[0].splitlines()[0].split() == ["batch", "phase", "requests", "done", "age", "left", "seen"]
        rows = [{row.split()[0]: row for row in frame.splitlines()[1:] if row.startswith("msgbatch")} for frame in seen]
        assert all(list(frame) == [ONE, TWO, THREE, "msgbatch_9999"] for frame in rows[:-1])
        assert rows[0][ONE].split() == [ONE, *NOTHING * 5]
        assert any(re.search(r"in_progress +1 of 4 +\d+s +23h 59m +\d+s ago", frame[ONE]) for frame in rows)
        assert any("500 api_error" in frame[TWO] for frame in rows)
        assert re.search(rf"ended +4 of 4 +40s +{NOTHING} +(?:1m )?\d+s ago", rows[-2][ONE])
        assert "4 of 4, 1 errored" in rows[-2][TWO]
        assert "not seen (404)" in rows[-2]["msgbatch_9999"]
        assert terminal.text.count(f"batch '{ONE}': results in answers/{ONE}.jsonl, whole") == 1
        assert terminal.text.splitlines()[-1].strip() == shlex.join(["lifecycle", *arguments])
        assert {path.name for path in (tmp_path / "answers").iterdir()} == {f"{ONE}.jsonl", f"{TWO}.jsonl"}
        report = lc.replay(log.read(tmp_path / "night.jsonl"))
        assert (report.findings, len(report.batches)) == ((), 3)

    def test_of_many_batches_those_that_go_on_are_shown(
        self, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Here in this process, where rich draws the last frame only. Long ids are cut to their ends, which differ."""
        monkeypatch.setattr(tracking, "is_terminal", lambda _: True)
        monkeypatch.setenv("LINES", "20")
        prepare(batches=30, interrupt_after=100)
        ids = [f"msgbatch_{number:04}_of_the_night" for number in range(1, 31)]
        ids[:2] = [ONE, "msgbatch_0004"]
        status, out, _ = lifecycle("track", *ids, "--log", "night.jsonl", cwd=tmp_path)
        rows = out.splitlines()
        assert (status, len(rows)) == (130, 19)
        assert rows[-1].strip() == "and 13 more"
        assert [row.split()[0] for row in rows[1:3]] == ["msgbatch_0004", "…ch_0003_of_the_night"]

    @pytest.mark.parametrize(
        ("room", "titles", "id_width"),
        [
            (160, ["batch", "phase", "requests done", "age", "left", "seen"], 33),
            (100, ["batch", "phase", "requests done", "age", "left", "seen"], 33),
            (80, ["batch", "phase", "requests done", "age", "left", "seen"], 18),
            (72, ["batch", "phase", "requests done", "left", "seen"], 13),
            (60, ["batch", "phase", "requests done", "seen"], 13),
            (45, ["batch", "phase", "requests done"], 13),
            (30, ["batch", "phase"], 13),
            (10, ["batch", "phase"], 13),
        ],
    )
    def test_in_a_narrow_one_what_matters_less_is_left_out(self, room: int, titles: list[str], id_width: int) -> None:
        widths = [33, 11, 19, 3, 7, 14]  # of an id as the hosted API has them, and of `not seen (404)`
        shown = tracking._fit(widths, room)
        assert [tracking._TITLES[at] for at in shown] == titles
        assert widths[0] == id_width
        assert room < 30 or sum(widths[at] + 2 for at in shown) <= room

    def test_what_the_log_knows_is_shown_at_once(
        self, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        prepare()
        lifecycle("track", ONE, "--log", "night.jsonl", cwd=tmp_path)
        monkeypatch.setattr(tracking, "is_terminal", lambda _: True)
        prepare(interrupt_after=2)
        status, out, _ = lifecycle("track", ONE, "msgbatch_9999", "--log", "night.jsonl", cwd=tmp_path)
        assert status == 130
        assert re.search(rf"{ONE} +ended +4 of 4 +40s +{NOTHING} +{NOTHING}", out)

    def test_in_the_end_it_says_what_came_of_it(
        self, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tracking, "is_terminal", lambda _: True)
        prepare()
        status, out, err = lifecycle("track", ONE, TWO, "--log", "night.jsonl", cwd=tmp_path)
        assert (status, len(out.splitlines())) == (0, 3)
        assert "2 batches: 2 ended; " in err
