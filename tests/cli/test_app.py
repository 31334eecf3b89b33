"""The command line as a user meets it: usage, help, statuses, and everything that can be wrong with a file."""

import gc
import gzip
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from lifecycle import __main__ as program
from lifecycle.cli import app
from tests.cli.running import GOLDEN, PATIENT, Terminal, command, environment, interruptible, lifecycle, started

COMMANDS = ["replay", "audit", "check", "observe", "diff", "outcome", "show", "explain", "machine", "generate"]
COMMANDS += ["reconcile", "schema", "completion", "convert"]
READERS = [["replay"], ["audit"], ["check"], ["audit", "--format", "json"], ["check", "--format", "jsonl"]]
NIGHT = str(GOLDEN / "night.jsonl")


class TestHelp:
    def test_without_arguments_there_is_help(self) -> None:
        status, out, err = lifecycle()
        assert (status, err) == (0, "")
        assert all(name in out for name in COMMANDS)
        assert "Exit status: 0 clean" in out

    @pytest.mark.parametrize("name", COMMANDS)
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_each_command_has_help_with_examples(self, name: str, flag: str) -> None:
        status, out, err = lifecycle(name, flag)
        assert (status, err) == (0, "")
        assert out.startswith(f"Usage: lifecycle {name}")
        assert f"lifecycle {name}" in out[out.index("\n\nExamples:\n\n    ") :]

    def test_the_version(self) -> None:
        status, out, err = lifecycle("--version")
        assert (status, err) == (0, "")
        assert out.startswith("lifecycle ")

    @pytest.mark.parametrize(("installed", "shown"), [(True, "lifecycle 1.2"), (False, "lifecycle (not installed)")])
    def test_the_version_is_that_of_the_distribution(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], installed: bool, shown: str
    ) -> None:
        def version(name: str) -> str:
            if installed:
                return "1.2"
            raise PackageNotFoundError(name)

        monkeypatch.setattr("importlib.metadata.version", version)
        assert app.run(["--version"]) == 0
        assert capsys.readouterr().out.strip() == shown

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_script_for_completion_knows_the_commands(self, shell: str) -> None:
        status, out, err = lifecycle("completion", shell)
        assert (status, err) == (0, "")
        assert all(name in out for name in COMMANDS)

    def test_bash_takes_the_script(self) -> None:
        _, script, _ = lifecycle("completion", "bash")
        subprocess.run(["bash", "-n"], input=script.encode(), check=True, timeout=PATIENT)


class TestUsage:
    """Status 2: the command line was wrongly used, and the message says where to look."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["adit", NIGHT],
            ["audit"],
            ["audit", NIGHT, "--fromat", "json"],
            ["audit", NIGHT, "--format=yaml"],
            ["audit", NIGHT, "--profile", "strict"],
            ["audit", "-x", NIGHT],
            ["audit", "-", "-"],
            ["check", "--batch", "x", NIGHT],
            ["replay", NIGHT, "--until", "0"],
            ["replay", NIGHT, "--until", "yesterday"],
            ["replay", NIGHT, "--until", "2025-01-01"],
            ["replay", NIGHT, "--until", "2025-01-01T00:00:00"],
            ["replay", NIGHT, "--until", "2025-02-30T00:00:00Z"],
            ["replay", NIGHT, "--until", "0001-01-01T00:00:00+23:59"],
            ["observe"],
            ["observe", NIGHT, "--format", "json"],
            ["diff", NIGHT],
            ["diff", "-", "-"],
            ["diff", NIGHT, NIGHT, NIGHT],
            ["outcome", "--format", "csv", NIGHT],
            ["show", NIGHT],
            ["show"],
            ["explain"],
            ["explain", "B17"],
            ["explain", "-"],
            ["machine", "--format", "jsonl"],
            ["machine", "x"],
            ["schema", "snapshots"],
            ["schema", "../snapshot"],
            ["schema", "-"],
            ["schema", "snapshot", "record"],
            ["generate", "--events", "10"],
            ["generate", "--events", "ten", "--seed", "1"],
            ["generate", "--events", "-1", "--seed", "1"],
            ["generate", "--events", "1", "--seed", "1", "--faults", "1.1"],
            ["generate", "--events", "1", "--seed", "1", "--faults", "nan"],
            ["generate", "--events", "1", "--seed", "1", "--interleave", "0"],
            ["completion", "tcsh"],
        ],
    )
    def test_a_mistake_is_named(self, arguments: list[str]) -> None:
        status, out, err = lifecycle(*arguments)
        assert (status, out) == (2, "")
        said, see = err.splitlines()
        assert said.startswith("lifecycle: ")
        known = arguments[0] in COMMANDS
        assert see == (
            f"lifecycle: see: lifecycle {arguments[0]} --help" if known else "lifecycle: see: lifecycle --help"
        )

    @pytest.mark.parametrize(
        ("arguments", "better"),
        [
            (["adit", NIGHT], "audit"),
            (["audit", NIGHT, "--fromat", "json"], "--format"),
            (["explain", "counts_update"], "counts_updated"),
            (["explain", "canceld"], "canceling"),
        ],
    )
    def test_a_better_word_is_suggested(self, arguments: list[str], better: str) -> None:
        status, _, err = lifecycle(*arguments)
        assert status == 2
        assert "Did you mean" in err
        assert better in err.splitlines()[0]

    def test_an_odd_word_is_shown_harmlessly(self) -> None:
        _, _, err = lifecycle("audit", NIGHT, "--\x1b[31m\u202e")
        assert r"--\x1b[31m\u202e" in err


class TestStandardInput:
    """A lone hyphen is standard input; what begins with one is an option still."""

    @pytest.mark.parametrize("arguments", [["audit", "-"], ["audit", "-", "--profile", "laws"], ["audit", "--", "-"]])
    def test_a_hyphen_is_standard_input(self, arguments: list[str]) -> None:
        status, out, _ = started(*arguments, stdin=Path(NIGHT).read_bytes())
        assert status == 1
        named = (GOLDEN / "audit-laws.txt").read_text().replace("night.jsonl:", "-:")
        assert [line.split() for line in out.splitlines()] == [line.split() for line in named.splitlines()]

    def test_snapshots_come_from_it_too(self) -> None:
        status, out, _ = started("check", "-", stdin=(GOLDEN / "page.json").read_bytes())
        assert status == 1
        assert "-[0]" in out

    def test_it_may_be_compressed(self) -> None:
        status, out, _ = started("replay", "-", stdin=gzip.compress(Path(NIGHT).read_bytes()), cwd=GOLDEN)
        assert status == 1
        assert out == lifecycle("replay", NIGHT)[1]

    def test_it_stands_beside_files_in_the_order_given(self, tmp_path: Path) -> None:
        lines = Path(NIGHT).read_bytes().splitlines(keepends=True)
        rest = tmp_path / "rest.jsonl"
        rest.write_bytes(b"".join(lines[70:]))
        _, out, _ = lifecycle("replay", "-", str(rest), stdin=b"".join(lines[:70]))
        assert out == lifecycle("replay", NIGHT)[1]

    @pytest.mark.parametrize("name", ["audit", "check"])
    def test_a_closed_one_cannot_be_read(self, name: str) -> None:
        done = subprocess.run(
            ["sh", "-c", '"$@" <&-', "sh", *command(name, "-")],
            capture_output=True,
            timeout=PATIENT,
            check=False,
            env=environment(),
        )
        assert done.returncode == 3
        assert done.stderr == b"lifecycle: -: cannot be read: standard input is closed\n"


class TestFilesThatCannotBeRead:
    """Status 3, one sentence, never a traceback."""

    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("name", ["missing.jsonl", ".", "night.jsonl/below"])
    def test_not_there_or_no_file(self, reader: list[str], name: str) -> None:
        status, out, err = lifecycle(*reader, name, cwd=GOLDEN)
        assert (status, out) == (3, "")
        assert err.startswith(f"lifecycle: {name}: cannot be read: ")
        assert err.count("\n") == 1

    def test_a_missing_one_is_told_before_the_others_are_read(self) -> None:
        status, out, err = lifecycle("audit", "night.jsonl", "missing.jsonl", cwd=GOLDEN)
        assert (status, out, err.count("\n")) == (3, "", 1)

    @pytest.mark.parametrize("reader", READERS)
    def test_no_permission(
        self, reader: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        assert app.run([*reader, NIGHT]) == 3
        assert capsys.readouterr().err == f"lifecycle: {NIGHT}: cannot be read: Permission denied\n"

    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("keep", [12, 200, -4])
    def test_gzip_that_breaks_off(self, reader: list[str], keep: int, tmp_path: Path) -> None:
        path = tmp_path / "night.jsonl.gz"
        path.write_bytes(gzip.compress(Path(NIGHT).read_bytes())[:keep])
        status, _, err = lifecycle(*reader, str(path))
        assert status == 3
        assert err.startswith(f"lifecycle: {path}: cannot be read: ")
        assert err.count("\n") == 1

    @pytest.mark.parametrize("reader", READERS)
    def test_gzip_that_was_damaged(self, reader: list[str], tmp_path: Path) -> None:
        path = tmp_path / "night.jsonl.gz"
        packed = bytearray(gzip.compress(Path(NIGHT).read_bytes()))
        packed[len(packed) // 2] ^= 0xFF
        path.write_bytes(packed)
        status, _, err = lifecycle(*reader, str(path))
        assert status == 3
        assert "Traceback" not in err

    def test_what_was_found_before_is_still_told(self, tmp_path: Path) -> None:
        path = tmp_path / "night.jsonl.gz"
        path.write_bytes(gzip.compress(Path(NIGHT).read_bytes())[:-8])
        status, out, err = lifecycle("audit", str(path), "--profile", "hosted")
        assert (status, err.count("\n")) == (3, 1)
        assert len(out.splitlines()) == len((GOLDEN / "audit.txt").read_text().splitlines())
        assert out.endswith("; the rest could not be read\n")

    def test_a_folder_without_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "night.jsonl").write_bytes(b"")
        status, out, err = lifecycle("audit", str(tmp_path))
        assert (status, out) == (3, "")
        assert err == f"lifecycle: {tmp_path}: cannot be read: a folder without Parquet; name its files\n"

    @pytest.mark.parametrize("reader", READERS)
    def test_an_empty_file_is_clean(self, reader: list[str], tmp_path: Path) -> None:
        path = tmp_path / "empty"
        path.write_bytes(b"")
        status, _, err = lifecycle(*reader, str(path))
        assert status == 0
        assert err == (
            ""
            if reader[0] == "audit"
            else f"lifecycle: no {'snapshots' if reader[0] == 'check' else 'events'} in {path}\n"
        )

    @pytest.mark.parametrize("reader", READERS)
    def test_a_binary_file_is_full_of_findings(self, reader: list[str], tmp_path: Path) -> None:
        path = tmp_path / "binary"
        path.write_bytes(bytes(range(256)) * 20 + b"\n")
        status, _, err = lifecycle(*reader, str(path))
        assert status == 1
        assert "Traceback" not in err

    @pytest.fixture
    def long_line(self, tmp_path: Path) -> Iterator[Path]:
        """A file that holds one line of half a gigabyte; it takes no room on the disk."""
        path = tmp_path / "long"
        with path.open("wb") as file:
            file.truncate(512 << 20)
        yield path
        path.unlink()

    @staticmethod
    def with_little_memory(*words: str) -> subprocess.CompletedProcess[bytes]:
        script = ["sh", "-c", 'ulimit -v 400000 && exec "$@"', "sh", *words]  # KiB
        return subprocess.run(script, capture_output=True, timeout=PATIENT, check=False, env=environment())

    @pytest.mark.parametrize("name", ["audit", "check"])
    def test_a_line_that_would_not_fit_into_memory_is_refused(self, name: str, long_line: Path) -> None:
        done = self.with_little_memory(*command(name, "--format", "jsonl", str(long_line)))
        assert (done.returncode, done.stderr, done.stdout.count(b'"rule":"wire"')) == (1, b"", 1)
        assert b"over the limit" in done.stdout

    def test_who_holds_such_a_line_fails(self, long_line: Path) -> None:
        """The negative control: the limit is one."""
        code = "import sys; open(sys.argv[1], 'rb').read()"
        done = self.with_little_memory(sys.executable, "-c", code, str(long_line))
        assert (done.returncode, b"MemoryError" in done.stderr) == (1, True)


class TestOutputThatCannotBeWritten:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["replay", NIGHT],
            ["audit", NIGHT],
            ["check", str(GOLDEN / "page.json"), "--format", "jsonl"],
            ["observe", str(GOLDEN / "polls.jsonl")],
            ["diff", str(GOLDEN / "known.json"), str(GOLDEN / "later.json")],
            ["outcome", str(GOLDEN / "polls.jsonl")],
            ["show", NIGHT, "msgbatch_01AJwnfRphh7POGhsGPHpBVU"],
            ["explain", "B7"],
            ["machine"],
            ["generate", "--events", "5000", "--seed", "1"],
            ["completion", "bash"],
            ["--help"],
            ["--version"],
        ],
    )
    def test_a_full_disk(self, arguments: list[str]) -> None:
        with Path("/dev/full").open("wb") as full:
            status, _, err = started(*arguments, stdout=full)
        assert status == 3
        assert "lifecycle: standard output cannot be written: No space left on device\n" in err
        assert "Traceback" not in err
        assert "Exception ignored" not in err

    def test_a_closed_one(self) -> None:
        done = subprocess.run(
            ["sh", "-c", '"$@" >&-', "sh", *command("machine")],
            capture_output=True,
            timeout=PATIENT,
            check=False,
            env=environment(),
        )
        assert done.returncode == 3
        assert done.stderr == b"lifecycle: standard output cannot be written: it is closed\n"

    def test_closed_talk_is_no_trouble(self) -> None:
        done = subprocess.run(
            ["sh", "-c", '"$@" 2>&-', "sh", *command("replay", NIGHT)],
            capture_output=True,
            timeout=PATIENT,
            check=False,
            env=environment(),
        )
        assert done.returncode == 1
        assert done.stdout.decode() == lifecycle("replay", NIGHT)[1]

    @pytest.mark.usefixtures("children_are_measured")
    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["generate", "--events", "200000", "--seed", "1"], 0),
            (["generate", "--events", "200000", "--seed", "1", "--faults", "0.001"], 0),
            (["audit", "--format", "jsonl", *[NIGHT] * 50], 1),
            (["audit", *[NIGHT] * 50], 1),
            (["replay", *[NIGHT] * 3, "--format", "json"], 1),
        ],
    )
    def test_a_reader_that_leaves_ends_it_quietly(self, arguments: list[str], status: int) -> None:
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(timeout=PATIENT) == status
        assert "Traceback" not in said
        assert "BrokenPipe" not in said

    def test_a_terminal_without_unicode_gets_escapes(self) -> None:
        status, out, _ = started("explain", "B7", PYTHONIOENCODING="ascii")
        assert status == 0
        assert r"\u2192" in out


class TestInterruption:
    def test_ctrl_c_is_told_in_one_line(self) -> None:
        terminal = Terminal("check", "-", patience=0)
        terminal.wait_for("check ━")
        assert terminal.finish(interrupt=True) == 130

    def test_without_a_terminal(self) -> None:
        process = subprocess.Popen(
            command("generate", "--events", "100000000", "--seed", "1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=interruptible,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENT)
        assert (process.returncode, said) == (130, b"lifecycle: interrupted\n")

    def test_while_it_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(program, "find_spec", interrupt)
        assert program.main() == 130


class TestTheExtra:
    @pytest.mark.usefixtures("children_are_measured")
    @pytest.mark.parametrize("missing", ["cyclopts", "rich"])
    def test_without_it_one_sentence_says_what_to_install(self, missing: str) -> None:
        code = f"import sys; sys.modules[{missing!r}] = None; from lifecycle.__main__ import main; sys.exit(main())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENT, check=False)
        assert done.returncode == 2
        assert done.stderr == b"lifecycle: the command line needs more: pip install 'lifecycle[cli]'\n"

    def test_even_without_stderr(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program, "find_spec", lambda _: None)
        monkeypatch.setattr(sys, "stderr", None)
        assert program.main() == 2

    def test_with_it_the_arguments_of_the_process_count(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["lifecycle", "machine", "--format", "mermaid"])
        assert program.main() == 0
        assert capsys.readouterr().out == (GOLDEN / "machine.mmd").read_text()

    def test_drawing_is_imported_only_where_something_is_drawn(self) -> None:
        code = (
            "import sys; from lifecycle.cli.app import run; status = run(sys.argv[1:]);"
            "assert not {name for name in sys.modules if name.partition('.')[0] == 'rich'}; sys.exit(status)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", NIGHT], capture_output=True, timeout=PATIENT, check=False
        )
        assert (done.returncode, done.stderr) == (1, b"")


class TestTheProcess:
    def test_the_collector_is_left_as_it_was(self, capsys: pytest.CaptureFixture[str]) -> None:
        before = gc.get_threshold()
        assert app.run(["machine"]) == 0
        assert (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()) == (before, 0, True)
        capsys.readouterr()

    def test_too_little_memory_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def exhaust(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr("lifecycle.cli.logs.audit", exhaust)
        assert app.run(["audit", NIGHT]) == 3
        assert capsys.readouterr().err == "lifecycle: out of memory\n"

    @pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(1)])
    def test_help_that_nobody_reads_to_its_end_is_no_error(
        self, error: BaseException, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def leave(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(app, "app", leave)
        assert app.run(["--help"]) == 0

    def test_an_interrupt_of_a_whole_pipeline_is_told_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Closed(io.StringIO):
            def flush(self) -> None:
                raise BrokenPipeError

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("lifecycle.cli.logs.audit", interrupt)
        monkeypatch.setattr(sys, "stdout", Closed())
        assert app.run(["audit", NIGHT]) == 130
        assert capsys.readouterr().err == "lifecycle: interrupted\n"

    def test_streams_that_cannot_be_configured_are_taken_as_they_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", None)
        assert app.run(["machine"]) == 3

    def test_help_where_stdout_is_closed_is_no_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdout", None)
        assert app.run(["--help"]) == 0

    @pytest.mark.usefixtures("children_are_measured")
    def test_the_module_runs_as_a_program(self) -> None:
        assert started("machine") == (0, (GOLDEN / "machine.txt").read_text(), "")

    def test_its_status_is_that_of_the_command(self) -> None:
        assert [started(*words)[0] for words in (["audit", NIGHT], ["adit"], ["audit", "missing"])] == [1, 2, 3]
