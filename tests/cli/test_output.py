"""What the command line writes, and how: nothing harms a terminal, nothing is cut, a bar shows only where it helps."""

import io
import json
import os
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.cli import output
from tests.cli.running import GOLDEN, PATIENT, Terminal, lifecycle, lines_of, on_terminal


class TestSafeText:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("msgbatch_01", "msgbatch_01"),
            ("漢字 é", "漢字 é"),
            ("[bold]x[/]", "[bold]x[/]"),
            (r"a\x1b", r"a\x1b"),
            ("\x1b[31m", r"\x1b[31m"),
            ("\x9b31m", r"\x9b31m"),
            ("a\nb\tc\rd\0", r"a\nb\tc\rd\x00"),
            ("\x7f", r"\x7f"),
            ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
            ("a\u200bb\u200d\ufeff\u00ad", r"a\u200bb\u200d\ufeff\xad"),
            ("\u2028\u2029\u00a0\u3000", r"\u2028\u2029\xa0\u3000"),
            ("\u3164\u115f\ufe0f\u034f", r"\u3164\u115f\ufe0f\u034f"),
            ("\U000e0041\U000e0100", r"\U000e0041\U000e0100"),
            ("\ud800", r"\ud800"),
        ],
    )
    def test_what_could_harm_a_terminal_is_shown_escaped(self, text: str, shown: str) -> None:
        assert output.safe(text) == shown

    @given(st.text(st.characters(exclude_categories=())))
    def test_whatever_the_text_nothing_invisible_is_left(self, text: str) -> None:
        shown = output.safe(text)
        categories = {unicodedata.category(char) for char in shown.replace(" ", "")}
        assert categories.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
        assert output.safe(shown) == shown

    @given(st.text(st.characters(exclude_categories=())))
    def test_json_is_printable_ascii_and_loses_nothing(self, text: str) -> None:
        written = output.json_text({text: [text]})
        assert written.isascii()
        assert written.isprintable()
        assert json.loads(written) == {text: [text]}


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "a\u202eb\u2066c",
    "[/]",
    "[bold]x[/bold]",
    "[link=http://x]y[/link]",
    ":smile:",
    "new\nline\ttab\rback",
    "\0nul",
    "\x7f\x80\x9b31m",
    "z\u200bw\u200d\ufeff",
    "漢字テスト",
    "e\u0301\u0301",
    "=cmd|' /C calc'!A0",
    "-",
    "--help",
    "A" * 300,
    "\u3164",
    "",
    " ",
    "\U000e0041tag",
    "%s%n{0}{id}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    r"\x1b",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of batches with odd ids, each of which breaks a rule, and of lines that are odd themselves."""
    from tests.cli.test_logs import record_lines  # noqa: PLC0415 -- either file may be read first

    path = tmp_path_factory.mktemp("hostile") / "hostile.jsonl"
    lines = [line for batch_id in HOSTILE for line in record_lines(batch_id, "created", "ended", "ended")]
    lines += [b"\x1b[31m{", b'"\xe2\x80\xae"', b"\x00\x01\x02", b'{"specversion":"\\u001b[2J"}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


class TestHostileData:
    """Ids and messages from data are harmless on a terminal."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["replay"],
            ["replay", "--format", "json"],
            ["replay", "--format", "jsonl"],
            ["audit", "--profile", "hosted"],
            ["audit", "--format", "json"],
            ["audit", "--format", "jsonl"],
        ],
    )
    def test_on_a_pipe(self, hostile: Path, arguments: list[str]) -> None:
        status, out, err = lifecycle(*arguments, str(hostile))
        assert status == 1
        for text in (out, err):
            assert output.safe(text.replace("\n", "")) == text.replace("\n", "")

    @pytest.mark.parametrize("width", [60, 200])
    @pytest.mark.parametrize("command", ["replay", "audit"])
    def test_on_a_terminal(self, hostile: Path, command: str, width: int) -> None:
        status, text = on_terminal(command, str(hostile), width=width)
        assert status == 1
        assert output.safe(text.replace("\n", "")) == text.replace("\n", "")
        together = "".join(text.split())
        for batch_id in HOSTILE:
            assert "".join(output.safe(batch_id).split()) in together

    @pytest.mark.parametrize("batch_id", [batch_id for batch_id in HOSTILE if "\0" not in batch_id])
    def test_each_can_be_asked_for(self, hostile: Path, batch_id: str) -> None:
        status, out, err = lifecycle("show", str(hostile), "--", batch_id)
        assert (status, err) == (
            1,
            "lifecycle: warning: 4 lines of the log could not be read; `lifecycle audit` lists them all\n",
        )
        assert out.startswith(output.safe(batch_id).rstrip() + "\n")
        status, out, _ = lifecycle("replay", str(hostile), "--format", "jsonl", f"--batch={batch_id}")
        assert (status, json.loads(out)["batch_id"]) == (1, batch_id)


class TestTables:
    def test_without_a_terminal_nothing_is_cut_or_folded(self, capsys: pytest.CaptureFixture[str]) -> None:
        table = output.Table("id", "#n", "text")
        table.add("x" * 500, "7", "y " * 500)
        table.add(("漢字", "red"), "1234", "é")
        table.finish()
        head, first, second = capsys.readouterr().out.splitlines()
        assert first.split(maxsplit=2) == ["x" * 500, "7", ("y " * 500).strip()]
        assert second == f"漢字{' ' * 60}  1234  é"
        assert head == f"id{' ' * 62}     n  text"

    def test_many_rows_are_written_as_they_come_under_one_head(self, capsys: pytest.CaptureFixture[str]) -> None:
        table = output.Table("a", "b")
        for number in range(2500):
            table.add(str(number), "x")
        assert len(capsys.readouterr().out.splitlines()) == 2001
        table.finish()
        assert len(capsys.readouterr().out.splitlines()) == 500

    def test_a_table_without_rows_leaves_no_trace(self, capsys: pytest.CaptureFixture[str]) -> None:
        output.Table("a", "b").finish()
        assert capsys.readouterr().out == ""

    def test_on_a_wide_terminal_it_is_a_table(self) -> None:
        _, text = on_terminal("audit", "night.jsonl", width=200, cwd=GOLDEN)
        head, rule, first = text.splitlines()[:3]
        assert head.split()[:6] == ["where", "rule", "tier", "batch", "version", "event"]
        assert set(rule) == {"─"}
        assert first.split()[:4] == ["night.jsonl:47", "wire", "law", output.NOTHING]
        assert max(map(len, text.splitlines())) <= 200

    @pytest.mark.parametrize("command", ["audit", "replay"])
    def test_on_a_narrow_terminal_each_row_is_a_block_and_no_id_is_broken(self, command: str) -> None:
        _, text = on_terminal(command, "night.jsonl", width=60, cwd=GOLDEN)
        assert max(map(len, text.splitlines())) <= 60
        assert "msgbatch_01AJwnfRphh7POGhsGPHpBVU" in text

    def test_colours_show_the_tier(self) -> None:
        terminal = Terminal("audit", "night.jsonl", "--profile", "hosted", width=200, cwd=GOLDEN)
        assert terminal.finish() == 1
        assert "\x1b[1;31mL2" in terminal.raw
        assert "\x1b[33mB9" in terminal.raw
        assert "\x1b[36mB13" in terminal.raw

    @pytest.mark.parametrize(
        "command", [["show", "night.jsonl", "msgbatch_01AJwnfRphh7POGhsGPHpBVU"], ["explain", "B7"]]
    )
    @pytest.mark.parametrize("width", [60, 200])
    def test_prose_folds(self, command: list[str], width: int) -> None:
        _, text = on_terminal(*command, width=width, cwd=GOLDEN)
        assert max(map(len, text.splitlines())) <= width
        _, plain, _ = lifecycle(*command, cwd=GOLDEN)
        together = "".join(text.split())
        assert all("".join(line.split()) in together for line in plain.splitlines())

    def test_talk_folds_on_a_terminal(self) -> None:
        status, text = on_terminal("explain", "canceld", width=40)
        assert status == 2
        assert text.startswith("lifecycle: nothing is called 'canceld'.\n")
        assert max(map(len, text.splitlines())) <= 40


class TestWords:
    @pytest.mark.parametrize(
        ("number", "noun", "text"),
        [(0, "event", "0 events"), (1, "event", "1 event"), (1234, "batch", "1,234 batches"), (1, "batch", "1 batch")],
    )
    def test_plural(self, number: int, noun: str, text: str) -> None:
        assert output.plural(number, noun) == text


class Screen(io.StringIO):
    """A terminal, as far as it says."""

    def isatty(self) -> bool:
        return True


class TestProgress:
    def test_a_job_of_more_than_a_second_shows_a_bar_which_goes_away(self) -> None:
        terminal = Terminal("audit", "-", patience=output._PATIENCE)
        terminal.wait_for("audit ━")
        assert terminal.finish() == 0
        assert terminal.text.splitlines()[-1].strip() == "0 events of 0 batches: no findings"
        assert "\x1b[2K" in terminal.raw

    def test_a_life_is_shown_when_the_bar_has_gone(self) -> None:
        terminal = Terminal("show", "-", "msgbatch_01AJwnfRphh7POGhsGPHpBVU", patience=0)
        assert terminal.process.stdin is not None
        terminal.process.stdin.write(lines_of(GOLDEN / "night.jsonl", range(1, 10)))
        terminal.process.stdin.flush()
        terminal.wait_for("show ━")
        assert terminal.finish() == 1
        assert "the batch is in_progress; " in terminal.text.splitlines()[-1]

    def test_a_quick_job_shows_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(output, "_PATIENCE", PATIENT)  # any job is quick, on whatever machine
        with output.progress("work", lambda: 1, 2, "bytes", streams=False):
            pass
        assert screen.getvalue() == ""

    def test_an_interrupt_takes_the_bar_away(self) -> None:
        terminal = Terminal("replay", "-", patience=0)
        terminal.wait_for("replay ━")
        assert terminal.finish(interrupt=True) == 130
        assert terminal.text.rstrip().endswith("lifecycle: interrupted")
        assert "Traceback" not in terminal.text

    @pytest.mark.parametrize(
        ("total", "unit", "shown"),
        [(2_000_000, "bytes", "1.0/2.0 MB"), (2_000_000, "events", "1000000/2000000"), (None, "bytes", "0:00:0")],
    )
    def test_a_bar_shows_how_far_the_job_is(
        self, monkeypatch: pytest.MonkeyPatch, total: int | None, unit: output.Unit, shown: str
    ) -> None:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(output, "_PATIENCE", 0)
        monkeypatch.setenv("COLUMNS", "200")
        asked = [0]

        def done() -> int:
            asked[0] += 1
            return 1_000_000

        with output.progress("work", done, total, unit, streams=False):
            while asked[0] < 3:
                pass
        assert shown in screen.getvalue()

    def test_a_bar_tells_events_a_second_and_each_stage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(output, "_PATIENCE", 0)
        monkeypatch.setenv("COLUMNS", "200")
        asked = [0]

        def look() -> output.Look:
            asked[0] += 1
            if asked[0] < 4:
                return output.Look("reading", 1_000_000 * asked[0], 9_000_000, "bytes", 5000 * asked[0])
            if asked[0] < 7:
                return output.Look("sorting", 0, None, "bytes")
            return output.Look("judging", 5000 * asked[0], 900_000, "events")

        with output.watched(look, streams=False):
            while asked[0] < 10:
                pass
        reading, sorting, judging = (screen.getvalue().index(word) for word in ("reading", "sorting", "judging"))
        assert reading < sorting < judging
        assert "/9.0 MB" in screen.getvalue()[reading:sorting]
        assert "events/s" in screen.getvalue()[reading:sorting]
        assert "events/s" not in screen.getvalue()[sorting:judging]
        assert "events/s" in screen.getvalue()[judging:]
        assert "/900000" in screen.getvalue()[judging:]

    def test_what_writes_to_the_terminal_as_it_goes_shows_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(output, "_PATIENCE", 0)
        asked = threading.Event()

        def done() -> int:
            asked.set()
            return 1

        before = threading.active_count()
        with output.progress("work", done, 2, "bytes", streams=True):
            assert threading.active_count() == before  # nobody is there to ask
        assert not asked.is_set()
        with output.progress("work", done, 2, "bytes", streams=False):
            assert asked.wait(PATIENT)
        assert "work" in screen.getvalue()

    def test_there_is_none_without_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        with output.progress("work", lambda: 1, 2, "bytes", streams=False):
            pass
        assert capsys.readouterr().err == ""


class TestStreamsThatFail:
    def test_talk_that_cannot_be_delivered_is_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken(io.StringIO):
            def write(self, _: str) -> int:
                raise BrokenPipeError

        monkeypatch.setattr(sys, "stderr", Broken())
        output.talk("x")
        monkeypatch.setattr(sys, "stderr", None)
        output.talk("x")

    def test_a_closed_stdout_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", None)
        with pytest.raises(OSError, match="closed"):
            output.write("x")
        assert not output.is_terminal(sys.stdout)

    def test_an_abandoned_stream_swallows_what_it_still_holds(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        with path.open("w") as stream:
            stream.write("x")
            output.abandon(stream)
        assert path.read_text() == ""
        output.abandon(None)

    def test_a_terminal_of_unknown_size_is_taken_to_be_of_the_usual_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Screen()
        monkeypatch.setattr(sys, "stderr", screen)
        output.talk("word " * 40)
        assert max(map(len, screen.getvalue().splitlines())) <= 80
        assert os.linesep not in screen.getvalue().splitlines()
