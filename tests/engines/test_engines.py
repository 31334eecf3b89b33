"""Which files are meant, and which of them are Parquet."""

from pathlib import Path

import pytest

from lifecycle.engines import check_size, expanded, is_parquet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.parquet", "a.parquet", "x/2.parquet", "x/1.parquet", "x/y/3.parquet", "n.jsonl", "x/[1].jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1" if name.endswith("1.parquet") else b"{}")
    for name in (".c.parquet", "_d.parquet", "x/_delta_log/e.parquet", "empty/_SUCCESS"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "files"),
    [
        (["n.jsonl", "b.parquet"], ["n.jsonl", "b.parquet"]),
        (["."], ["./a.parquet", "./b.parquet", "./x/1.parquet", "./x/2.parquet", "./x/y/3.parquet"]),
        (["x/"], ["x/1.parquet", "x/2.parquet", "x/y/3.parquet"]),
        (["[a-z].parquet"], ["a.parquet", "b.parquet"]),
        (["n.jsonl", "*/*.parquet", "a.parquet"], ["n.jsonl", "x/1.parquet", "x/2.parquet", "a.parquet"]),
        (["x/**/*.parquet"], ["x/1.parquet", "x/2.parquet", "x/_delta_log/e.parquet", "x/y/3.parquet"]),
        (["x/[1].jsonl"], ["x/[1].jsonl"]),
        (["x/*"], ["x/1.parquet", "x/2.parquet", "x/[1].jsonl"]),
        (["z*", "none", "empty", "-", ""], ["z*", "none", "empty", "-", ""]),
        ([Path("x")], ["x/1.parquet", "x/2.parquet", "x/y/3.parquet"]),
    ],
)
def test_folders_and_patterns_stand_for_files(given: list[str], files: list[str]) -> None:
    assert expanded(given) == files


@pytest.mark.usefixtures("folder")
def test_a_file_is_parquet_by_how_it_begins() -> None:
    Path("-").write_bytes(b"PAR1")
    names = ["x/1.parquet", "x/2.parquet", "n.jsonl", "none", "x", "", "\0", "-"]
    assert [is_parquet(name) for name in names] == [True, *[False] * 7]


def test_a_file_that_cannot_be_opened_is_for_its_reader_to_refuse() -> None:
    assert not is_parquet("/proc/self/mem")


@pytest.mark.parametrize("text", ["512MB", "2GB", "1.5 GiB", "64kb", "1TiB"])
def test_sizes(text: str) -> None:
    assert check_size("size", text) == text


@pytest.mark.parametrize("text", ["", "512", "MB", "-1MB", "80%", "1e3MB", "5 M", "none", "1MB; drop", "٣MB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size: "):
        check_size("size", text)
