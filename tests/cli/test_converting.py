"""`lifecycle convert`: lines, Parquet and stores from one another, all or nothing."""

import gzip
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.cli import output
from lifecycle.engines import is_parquet, parquet
from tests.cli.running import GOLDEN, PATIENT, Terminal, lifecycle
from tests.cli.test_stores import events_of, life, written
from tests.lives import CREATED, T

NIGHT = (GOLDEN / "night.jsonl").read_bytes()


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """The records of the night, in lines as we write them."""
    path = tmp_path / "night.jsonl"
    log.append(path, log.read(GOLDEN / "night.jsonl", on_error=lambda _: None))
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestForms:
    def test_from_lines_to_parquet_and_back_gives_the_same_bytes(self, lines: Path, tmp_path: Path) -> None:
        there, back = str(tmp_path / "night.parquet"), tmp_path / "again.jsonl"
        assert lifecycle("convert", str(lines), there) == (0, "", "")
        assert is_parquet(there)
        assert lifecycle("convert", there, str(back)) == (0, "", "")
        assert back.read_bytes() == lines.read_bytes()
        assert files(tmp_path) == ["again.jsonl", "night.jsonl", "night.parquet"]

    def test_several_logs_become_one_in_the_order_given(self, tmp_path: Path) -> None:
        packed = tmp_path / "b.jsonl.gz"
        packed.write_bytes(gzip.compress(b"".join(wire.encode_record(one) + b"\n" for one in life("b"))))
        parquet.write(tmp_path / "c.parquet", life("c"))
        given = [str(tmp_path / "c.parquet"), str(packed), written(tmp_path / "a.jsonl", *life("a"))]
        assert lifecycle("convert", *given, str(tmp_path / "all.parquet")) == (0, "", "")
        assert list(parquet.read(tmp_path / "all.parquet")) == [*life("c"), *life("b"), *life("a")]

    def test_stores_are_read_and_filled(self, tmp_path: Path) -> None:
        url, other = f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"
        path, copy = tmp_path / "a.parquet", tmp_path / "b.parquet"
        parquet.write(path, [*life("a"), *life("b")])
        assert lifecycle("convert", str(path), url) == (0, f"{url}: 12 events: 12 new, 0 already there\n", "")
        assert lifecycle("convert", url, other)[0] == 0
        assert lifecycle("convert", other, str(copy)) == (0, "", "")
        assert events_of(other) == list(parquet.read(copy)) == [*life("a"), *life("b")]

    def test_a_store_stops_at_what_breaks_a_law_or_leaves_it_out(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'a.db'}"
        parquet.write(tmp_path / "a.parquet", [life("a")[0], life("a")[2], life("b")[0]])
        status, out, _ = lifecycle("convert", str(tmp_path / "a.parquet"), url)
        assert (status, len(events_of(url))) == (1, 1)
        assert f"stopped at {tmp_path / 'a.parquet'}:2" in out
        assert lifecycle("convert", str(tmp_path / "a.parquet"), url, "--skip")[0] == 1
        assert events_of(url) == [life("a")[0], life("b")[0]]

    def test_standard_output_gets_lines(self, lines: Path) -> None:
        assert lifecycle("convert", str(lines), "-") == (0, lines.read_text(), "")
        assert lifecycle("convert", "-", "-", stdin=lines.read_bytes())[1] == lines.read_text()

    def test_a_log_may_be_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_bytes(b"")
        for name in ("a.parquet", "a.jsonl"):
            assert lifecycle("convert", str(tmp_path / "empty"), str(tmp_path / name)) == (0, "", "")
        assert list(parquet.read(tmp_path / "a.parquet")) == list(log.read(tmp_path / "a.jsonl")) == []

    def test_a_torn_tail_warns(self, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        log.append(path, life("a"))
        path.write_bytes(path.read_bytes() + b'{"specversion"')
        status, _, err = lifecycle("convert", str(path), str(tmp_path / "out.parquet"))
        assert (status, len(list(parquet.read(tmp_path / "out.parquet")))) == (0, 6)
        assert "the last line has no end" in err


class TestWhatIsNoRecord:
    @pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
    def test_it_stops_and_there_is_no_file(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "night.jsonl"
        path.write_bytes(NIGHT)
        status, out, err = lifecycle("convert", str(path), str(tmp_path / name))
        assert (status, out) == (3, "")
        assert err.startswith(f"lifecycle: {path}:47: no record: $.crc32: ")
        assert "--skip" in err
        assert files(tmp_path) == ["night.jsonl"]

    def test_it_can_be_left_out(self, tmp_path: Path, lines: Path) -> None:
        out = tmp_path / "out.parquet"
        status, _, err = lifecycle("convert", str(GOLDEN / "night.jsonl"), str(out), "--skip")
        assert status == 1
        assert "could not be read" in err
        assert list(parquet.read(out)) == list(log.read(lines))

    def test_a_row_that_no_line_can_hold_stops_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        parquet.write(path, [lc.Record("a" * 1_100_000, 1, CREATED, "e", T)])
        status, _, err = lifecycle("convert", str(path), str(tmp_path / "b.jsonl"))
        assert status == 3
        assert "over the limit" in err
        assert files(tmp_path) == ["a.parquet"]


class TestTheFile:
    @pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
    def test_what_is_there_stays_unless_it_is_forced(self, name: str, lines: Path, tmp_path: Path) -> None:
        out = tmp_path / name
        out.write_bytes(b"old")
        status, _, err = lifecycle("convert", str(lines), str(out))
        assert (status, out.read_bytes()) == (3, b"old")
        assert "--force" in err
        assert lifecycle("convert", str(lines), str(out), "--force") == (0, "", "")
        assert out.read_bytes() != b"old"
        assert files(tmp_path) == sorted(["night.jsonl", name])

    def test_a_log_can_be_rewritten_in_place(self, lines: Path, tmp_path: Path) -> None:
        before = lines.read_bytes()
        lines.write_bytes(before.replace(b',"crc32"', b' ,"crc32"', 0) + b"\n\n")
        assert lifecycle("convert", str(lines), str(lines), "--force") == (0, "", "")
        assert lines.read_bytes() == before
        assert files(tmp_path) == ["night.jsonl"]

    def test_one_that_came_in_the_meantime_stays(self, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        with pytest.raises(lc.LogError), output.new_file(str(out), force=False):
            out.write_bytes(b"another")
        assert out.read_bytes() == b"another"
        assert files(tmp_path) == ["out.jsonl"]

    @pytest.mark.parametrize("name", ["none/out.jsonl", "none/out.parquet", "", "x" * 300])
    def test_where_there_can_be_none(self, name: str, lines: Path, tmp_path: Path) -> None:
        status, _, err = lifecycle("convert", str(lines), f"{tmp_path}/{name}" if name else "")
        assert status == 3
        assert "cannot be written" in err
        assert files(tmp_path) == ["night.jsonl"]

    @pytest.mark.parametrize("forced", [[], ["--force"]])
    def test_what_is_no_file_is_never_replaced(self, forced: list[str], lines: Path, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe")
        for name in ("folder", "pipe"):
            assert lifecycle("convert", str(lines), str(tmp_path / name), *forced)[0] == 3
        assert (tmp_path / "folder").is_dir()
        assert (tmp_path / "pipe").is_fifo()

    def test_it_has_the_permissions_that_new_files_have(self, lines: Path, tmp_path: Path) -> None:
        (tmp_path / "new").write_bytes(b"")
        lifecycle("convert", str(lines), str(tmp_path / "out.parquet"))
        assert (tmp_path / "out.parquet").stat().st_mode == (tmp_path / "new").stat().st_mode

    @pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
    def test_a_full_disk_leaves_nothing(self, name: str, lines: Path, tmp_path: Path) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        try:
            status, _, err = lifecycle("convert", str(lines), str(tmp_path / name))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert status == 3
        assert f"{tmp_path / name}: cannot be written: " in err
        assert files(tmp_path) == ["night.jsonl"]

    def test_an_interrupt_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        terminal = Terminal("convert", "-", str(tmp_path / "out" / "a.jsonl"), patience=0.0)
        terminal.wait_for("convert")
        assert len(files(tmp_path / "out")) == 1
        assert terminal.finish(interrupt=True) == 130
        assert files(tmp_path / "out") == []


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["night.jsonl"],
            ["night.jsonl", "out.jsonl.gz"],
            ["night.jsonl", "sqlite:///a.db", "--force"],
            ["-", "-", "out.jsonl"],
        ],
    )
    def test_a_mistake_is_named(self, arguments: list[str], tmp_path: Path) -> None:
        (tmp_path / "night.jsonl").write_bytes(NIGHT)
        status, out, err = lifecycle("convert", *arguments, cwd=tmp_path)
        assert (status, out) == (2, "")
        assert err.endswith("lifecycle: see: lifecycle convert --help\n")
        assert files(tmp_path) == ["night.jsonl"]

    def test_a_missing_log_is_told_and_there_is_no_file(self, tmp_path: Path) -> None:
        assert lifecycle("convert", "none", "out.jsonl", cwd=tmp_path)[0] == 3
        assert files(tmp_path) == []


class TestTheExtra:
    @pytest.mark.usefixtures("children_are_measured")
    @pytest.mark.parametrize(
        "arguments", [["convert", "night.jsonl", "out.parquet"], ["audit", "night.jsonl", "--engine", "duckdb"]]
    )
    def test_without_it_one_sentence_says_what_to_install(
        self, arguments: list[str], lines: Path, tmp_path: Path
    ) -> None:
        code = "import sys; sys.modules['pyarrow'] = None; from lifecycle.__main__ import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, timeout=PATIENT, check=False, cwd=tmp_path
        )
        assert done.returncode == 3
        assert done.stderr == (
            b"lifecycle: logs as Parquet and the engine DuckDB need more: pip install 'lifecycle[bulk]'\n"
        )
        assert lines.is_file()
        assert files(tmp_path) == ["night.jsonl"]
