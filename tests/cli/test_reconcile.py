"""`reconcile`, in what the golden files do not show."""

import gzip
import json
import os
from pathlib import Path

import pytest

from lifecycle.cli import app
from tests.cli.running import GOLDEN, Terminal, lifecycle, on_terminal, started

BATCH = (GOLDEN / "batch.json").read_bytes()
RESULTS = (GOLDEN / "results.jsonl").read_bytes().splitlines(keepends=True)
GOOD = [RESULTS[number - 1] for number in (1, 3, 5, 6, 8, 9)]
IDS = "req-1\nreq-2\nreq-3\nreq-4\nreq-5\nreq-6\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in: a batch, results that agree with it, and the submitted ids."""
    (tmp_path / "batch.json").write_bytes(BATCH)
    (tmp_path / "results.jsonl").write_bytes(b"".join(GOOD))
    (tmp_path / "ids.txt").write_text(IDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = app.run(["reconcile", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


ALL = ("batch.json", "results.jsonl", "--submitted", "ids.txt")


@pytest.mark.usefixtures("folder")
class TestReconcile:
    def test_a_file_that_agrees_is_clean_though_requests_have_no_answer(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, out, err = run(capsys, *ALL)
        assert (status, err) == (0, "")
        assert out.splitlines()[-1].endswith(": no findings")
        assert [row.split()[0] for row in out.splitlines()[1:-2]] == ["req-3", "req-4", "req-5", "req-6"]

    def test_where_all_succeeded_there_is_one_line(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        batch = json.loads(BATCH)
        batch["request_counts"] |= {"succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
        (folder / "batch.json").write_text(json.dumps(batch))
        (folder / "results.jsonl").write_bytes(GOOD[0])
        (folder / "ids.txt").write_text("req-1\n")
        expected = "1 result of batch msgbatch_01 (1 succeeded): no findings\n"
        assert run(capsys, *ALL) == (0, expected, "")
        assert run(capsys, *ALL, "--format", "jsonl") == (0, "", "")

    def test_without_the_ids_it_says_what_it_cannot_tell(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, _ = run(capsys, "batch.json", "results.jsonl")
        assert status == 0
        assert "--submitted was not given" in out
        status, out, _ = run(capsys, "batch.json", "results.jsonl", "--format", "json")
        found = json.loads(out)
        assert (found["submitted"], found["whole"], found["findings"]) == (None, True, [])

    def test_a_file_that_lacks_lines_is_to_be_got_again_first(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "results.jsonl").write_bytes(b"".join(GOOD[:-1]))
        status, out, _ = run(capsys, *ALL)
        assert status == 1
        assert "get the results again" in out

    def test_a_foreign_id_alone_is_no_sign_of_an_incomplete_file(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "results.jsonl").write_bytes(b"".join([*GOOD, GOOD[0].replace(b"req-1", b"other")]))
        status, out, _ = run(capsys, *ALL)
        assert status == 1
        assert "get the results again" not in out

    def test_an_empty_file_has_no_results(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "results.jsonl").write_bytes(b"")
        status, out, _ = run(capsys, "batch.json", "results.jsonl")
        assert status == 1
        assert "0 results of batch msgbatch_01: 4 findings (4 count)\n" in out

    def test_a_batch_that_has_not_ended_is_to_be_retrieved_again(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        batch = json.loads(BATCH)
        batch |= {"processing_status": "in_progress", "ended_at": None, "cancel_initiated_at": None}
        batch["request_counts"] = {"processing": 6, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        (folder / "batch.json").write_text(json.dumps(batch))
        status, out, _ = run(capsys, *ALL)
        assert status == 1
        assert "retrieve it again" in out
        assert "get the results again" not in out

    @pytest.mark.parametrize("which", ["batch.json", "results.jsonl", "ids.txt"])
    def test_each_input_may_come_compressed_and_from_standard_input(self, folder: Path, which: str) -> None:
        arguments = [("-" if word == which else word) for word in ALL]
        packed = gzip.compress((folder / which).read_bytes())
        assert lifecycle("reconcile", *arguments, cwd=folder, stdin=packed) == lifecycle("reconcile", *ALL, cwd=folder)

    def test_standard_input_can_be_read_only_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, "batch.json", "-", "--submitted", "-")
        assert (status, out) == (2, "")
        assert "only once" in err

    @pytest.mark.parametrize("arguments", [[], ["batch.json"], [*ALL[:2], "more"], [*ALL[:2], "--profile", "laws"]])
    def test_a_wrong_use_is_told(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.endswith("lifecycle: see: lifecycle reconcile --help\n")

    @pytest.mark.parametrize("which", [0, 1, 3])
    def test_an_input_that_is_not_there_is_told(self, which: int, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["nowhere" if number == which else word for number, word in enumerate(ALL)]
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (3, "")
        assert err == "lifecycle: nowhere: cannot be read: No such file or directory\n"

    def test_nothing_is_fetched(self, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, "batch.json", "https://api.anthropic.com/v1/messages/batches/x/results")
        assert (status, out) == (3, "")
        assert "nothing is fetched" in err

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"x" * 10, BATCH + BATCH])
    def test_a_batch_that_is_not_one_snapshot_is_told(
        self, content: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "batch.json").write_bytes(content)
        status, out, err = run(capsys, *ALL)
        assert (status, out) == (3, "")
        assert err.startswith("lifecycle: batch.json: ")

    def test_a_batch_over_the_limit_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("lifecycle.cli.snapshots.MAX_BYTES", 10)
        status, out, err = run(capsys, *ALL)
        assert (status, out) == (3, "")
        assert "limit" in err

    def test_submitted_ids_that_are_none_are_told(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "ids.txt").write_text('req-1\n{"params": {}}\n')
        status, out, err = run(capsys, *ALL)
        assert (status, out) == (3, "")
        assert err.startswith("lifecycle: ids.txt:2: ")

    def test_a_file_that_breaks_off_is_told_and_so_is_what_came_before(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "results.jsonl").write_bytes(gzip.compress(b"nope\n" + os.urandom(200_000).hex().encode())[:-9])
        status, out, err = run(capsys, *ALL, "--format", "jsonl")
        assert (status, err.startswith("lifecycle: results.jsonl: cannot be read: ")) == (3, True)
        assert [json.loads(each)["line"] for each in out.splitlines()] == [1]

    def test_hostile_ids_cannot_harm_a_terminal(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "results.jsonl").write_bytes(GOOD[3].replace(b"req-4", b"\\u001b[2J\\u202e"))
        for form in ("table", "json", "jsonl"):
            _, out, _ = run(capsys, *ALL, "--format", form)
            assert "\x1b" not in out
            assert "\u202e" not in out
            assert "u202e" in out

    def test_a_closed_pipe_is_no_error(self, folder: Path) -> None:
        (folder / "results.jsonl").write_bytes(b"nope\n" * 50_000)
        ours, theirs = os.pipe()
        os.close(ours)
        status, _, err = started("reconcile", *ALL, "--format", "jsonl", cwd=folder, stdout=theirs)
        os.close(theirs)
        assert (status, err) == (1, "")

    def test_on_a_terminal_it_is_drawn(self, folder: Path) -> None:
        status, text = on_terminal("reconcile", *ALL, width=100, cwd=folder)
        assert status == 0
        assert "without an answer" in text
        assert "after a change" in text

    def test_a_long_job_shows_how_far_it_is(self, folder: Path) -> None:
        terminal = Terminal("reconcile", "batch.json", "-", cwd=folder, patience=0)
        terminal.wait_for("reconcile")  # the bar, without an end of the input
        assert terminal.process.stdin is not None
        terminal.process.stdin.write(b"".join(GOOD))
        assert terminal.finish() == 0
        assert "no findings" in terminal.text
