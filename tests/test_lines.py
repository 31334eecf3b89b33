"""The lines of a file: the same wherever it is cut, never over the limit, and a clear word if it cannot be read."""

import gc
import gzip
import io
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import lines
from lifecycle.lines import File, in_blocks, over_limit

MEGABYTE = 1 << 20
TEXT = b"".join(b"%d %s\n" % (number, b"x" * (number % 90)) for number in range(5000))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def all_of(blocks: Any) -> list[tuple[int, bytes | None, bool]]:
    """Each line with its number, and whether it is the last one of a block that is torn."""
    return [
        (number, line, torn and line is block[-1])
        for first, block, torn in blocks
        for number, line in enumerate(block, first)
    ]


def expected(text: bytes, limit: int) -> list[tuple[int, bytes | None, bool]]:
    """What a file with *text* should give, written down from the words of `Block`."""
    *ended, tail = text.split(b"\n")
    found = [(number, line if len(line) <= limit else None, False) for number, line in enumerate(ended, 1)]
    if tail:
        held = len(tail) <= limit
        found.append((len(ended) + 1, tail if held else None, held))
    return found


def caught(call: Callable[[], object]) -> lc.LogError:
    with pytest.raises(lc.LogError) as info:
        call()
    return info.value


class TestLines:
    """The number of the first line, lines, None for one over the limit, and whether the last of them is torn."""

    @given(
        st.lists(st.sampled_from([b"", b"a", b" ", b"bcd", b"\r", b"x" * 9, b"\n", b"\n\n"]), max_size=12),
        st.integers(1, 12),
        st.integers(1, 12),
    )
    def test_are_the_same_wherever_the_file_is_cut(self, parts: list[bytes], chunk: int, limit: int) -> None:
        text = b"".join(parts)
        for pack in (bytes, gzip.compress):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(lines, "CHUNK", chunk)
                patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pack(text))))
                assert all_of(File("-").blocks(limit)) == expected(text, limit)

    @pytest.mark.parametrize("end", [b"", b"\n", b"the end"])
    @pytest.mark.parametrize("limit", [3, 70, 1000])
    def test_of_a_long_file_come_in_blocks_with_their_numbers(self, path: Path, limit: int, end: bytes) -> None:
        path.write_bytes(TEXT + end)
        blocks = list(File(path).blocks(limit))
        assert len(blocks) > 3
        assert all_of(blocks) == expected(TEXT + end, limit)

    @pytest.mark.parametrize("size", [99, 100, 101])
    @pytest.mark.parametrize("chunk", [30, 64, MEGABYTE])
    def test_are_refused_over_the_limit_to_the_byte(
        self, path: Path, size: int, chunk: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lines, "CHUNK", chunk)
        text = b"\n".join([b"a", b"x" * size, b"b", b"x" * size])
        path.write_bytes(text)
        held = size <= 100
        line = b"x" * size if held else None
        assert all_of(File(path).blocks(100)) == [(1, b"a", False), (2, line, False), (3, b"b", False), (4, line, held)]
        path.write_bytes(text + b"\n")
        assert all_of(File(path).blocks(100))[-1] == (4, line, False)

    def test_of_an_empty_file_are_none(self, path: Path) -> None:
        for content in (b"", gzip.compress(b"")):
            path.write_bytes(content)
            assert list(File(path).blocks(9)) == []

    def test_may_be_told_by_the_limit_why_they_are_not_there(self) -> None:
        assert over_limit(MEGABYTE) == "the line is over the limit of 1,048,576 bytes"

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_over_the_limit_are_not_held(self, path: Path, pack: Callable[[bytes], bytes]) -> None:
        """Through a pipe: neither the file system nor a gzip member as a whole can help."""
        os.mkfifo(path)
        piece = pack(b"x" * MEGABYTE)

        def write() -> None:
            with path.open("wb") as file:
                for _ in range(20):
                    file.write(piece)
                file.write(pack(b"\nend"))

        writer = threading.Thread(target=write)
        writer.start()
        tracemalloc.start()
        try:
            assert all_of(File(path).blocks(MEGABYTE)) == [(1, None, False), (2, b"end", True)]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            writer.join()
        assert peak < 8 * MEGABYTE

    def test_that_are_long_are_held_as_pieces_and_once_joined(self, path: Path) -> None:
        """Twice, then; a third copy would show."""
        path.write_bytes(b"x" * (32 * MEGABYTE) + b"\n")
        tracemalloc.start()
        try:
            [(_, [line], _)] = File(path).blocks(64 * MEGABYTE)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert line == b"x" * (32 * MEGABYTE)
        assert peak < 80 * MEGABYTE


class TestCompressedFiles:
    """Compressed with gzip, whatever the name; recognised by their first bytes."""

    def test_may_have_several_members(self, path: Path) -> None:
        path.write_bytes(b"".join(gzip.compress(TEXT[at : at + 50_000]) for at in range(0, len(TEXT), 50_000)))
        assert all_of(File(path).blocks(100)) == expected(TEXT, 100)

    @pytest.mark.parametrize("size", [2, 3, 9, 10, 11, 30, -9, -8, -4, -1])
    def test_cut_short_are_an_error_of_the_file(self, path: Path, size: int) -> None:
        path.write_bytes(gzip.compress(TEXT)[:size])
        error = caught(lambda: list(File(path).blocks(100)))
        assert (error.path, error.line, error.problems, error.torn) == (str(path), None, (), False)

    def test_give_what_stands_before_the_cut(self, path: Path) -> None:
        path.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n")[:-8])
        blocks = File(path).blocks(100)
        assert next(blocks) == (1, [b"a"], False)
        assert caught(lambda: list(blocks)).line is None

    @pytest.mark.parametrize("change", ["header", "middle", "sum", "behind"])
    def test_damaged_are_an_error_of_the_file(self, path: Path, change: str) -> None:
        body = bytearray(gzip.compress(TEXT))
        match change:
            case "header":
                body[2] ^= 0xFF
            case "middle":
                body[len(body) // 2 : len(body) // 2 + 8] = bytes(8)
            case "sum":
                body[-6] ^= 1
            case _:
                body += b"more"
        path.write_bytes(bytes(body))
        error = caught(lambda: list(File(path).blocks(100)))
        assert (error.path, error.line) == (str(path), None)


class TestBytesRead:
    """How much of it has been read, as it lies on the disk; 0 where that cannot be known, as for a pipe."""

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_grow_to_the_size_of_the_file(self, path: Path, pack: Callable[[bytes], bytes]) -> None:
        path.write_bytes(pack(TEXT))
        file = File(path)
        assert file.bytes_read == 0
        seen = [file.bytes_read for _ in file.blocks(100)]
        assert seen == sorted(seen)
        assert seen[0] > 0
        assert file.bytes_read == path.stat().st_size

    def test_of_a_pipe_are_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = os.pipe()
        os.write(theirs, b"a\nb")
        os.close(theirs)
        with open(ours, encoding="utf-8") as stdin:  # noqa: PTH123 -- a descriptor has no path
            monkeypatch.setattr(sys, "stdin", stdin)
            file = File("-")
            assert all_of(file.blocks(9)) == [(1, b"a", False), (2, b"b", True)]
        assert file.bytes_read == 0

    def test_of_standard_input_that_is_a_file_are_known(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(TEXT)
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            file = File("-")
            list(file.blocks(100))
        assert file.bytes_read == len(TEXT)


class TestSize:
    """Whether it can be read at all, and how long it is, without opening it."""

    def test_is_that_on_the_disk(self, path: Path) -> None:
        path.write_bytes(gzip.compress(TEXT))
        assert File(path).size() == path.stat().st_size < len(TEXT)

    def test_of_a_pipe_and_of_standard_input_is_not_known(self, path: Path) -> None:
        os.mkfifo(path)
        assert File(path).size() is None
        assert File("-").size() is None


class TestFilesThatCannotBeRead:
    """A `LogError` with the path as it was given, and `line` None."""

    @pytest.mark.parametrize("name", ["missing", ".", "file/below", "nul\0", "\ud800", "n" * 300])
    @pytest.mark.parametrize("use", [File.size, lambda file: next(file.blocks(9))])
    def test_are_named(self, tmp_path: Path, name: str, use: Callable[[File], object]) -> None:
        (tmp_path / "file").touch()
        given_path = f"{tmp_path}/{name}"
        error = caught(lambda: use(File(given_path)))
        assert (error.path, error.line, error.problems, error.torn) == (given_path, None, (), False)
        assert str(error).startswith(f"{given_path}: cannot be read: ")

    def test_are_not_opened_before_the_first_block_is_asked_for(self, path: Path) -> None:
        blocks = File(path).blocks(9)
        path.write_bytes(b"a\n")
        assert list(blocks) == [(1, [b"a"], False)]

    @pytest.mark.parametrize("use", [File.size, lambda file: next(file.blocks(9))])
    def test_may_be_standard_input_that_is_not_there(
        self, use: Callable[[File], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        assert str(caught(lambda: use(File("-")))) == "-: cannot be read: standard input is closed"

    def test_may_be_standard_input_that_was_closed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.touch()
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
        error = caught(lambda: next(File("-").blocks(9)))
        assert (error.path, error.line) == ("-", None)

    def test_given_up_halfway_are_closed(self, path: Path) -> None:
        path.write_bytes(TEXT)
        blocks = File(path).blocks(100)
        next(blocks)
        del blocks
        gc.collect()  # a file left open would warn here, and warnings are errors

    @pytest.mark.parametrize("wrong", [7, None, [b"a"]])
    def test_what_is_no_path_is_a_type_error(self, wrong: Any) -> None:
        with pytest.raises(TypeError):
            File(wrong)

    def test_a_path_may_be_of_bytes(self, path: Path) -> None:
        class Odd:
            def __fspath__(self) -> bytes:
                return os.fsencode(path)

        path.write_bytes(b"a\n")
        odd: Any = Odd()
        assert (File(odd).path, list(File(odd).blocks(9))) == (str(path), [(1, [b"a"], False)])


class TestPieces:
    """The same lines as `blocks` has, not split: whole ones, a torn one, or one over the limit that spans pieces."""

    @staticmethod
    def lines_of(file: File, limit: int, size: int, start: int = 0) -> list[tuple[int, bytes | None, bool]]:
        found: list[tuple[int, bytes | None, bool]] = []
        for piece in file.pieces(limit, size, start):
            if piece is None:
                found.append((len(found) + 1, None, False))
                continue
            parts, torn = piece
            text = b"".join(parts)
            assert torn is (text[-1:] != b"\n")
            for line in text.removesuffix(b"\n").split(b"\n"):
                found.append((len(found) + 1, line if len(line) <= limit else None, torn))
        return found

    @given(
        st.lists(st.sampled_from([b"", b"a", b" ", b"bcd", b"\r", b"x" * 9, b"\n", b"\n\n", b"y" * 30]), max_size=12),
        st.integers(0, 12),
        st.integers(1, 20),
    )
    def test_hold_the_lines_wherever_they_are_cut(
        self, tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], limit: int, size: int
    ) -> None:
        text = b"".join(parts)
        path = tmp_path_factory.getbasetemp() / "pieces"
        path.write_bytes(text)
        assert self.lines_of(File(path), limit, size) == expected(text, limit)
        path.write_bytes(gzip.compress(text))
        assert self.lines_of(File(path), limit, size) == expected(text, limit)

    @pytest.mark.parametrize("size", [7, 100, 5000, 1 << 20])
    @pytest.mark.parametrize("limit", [0, 50, 1000])
    def test_are_of_about_the_size_that_is_asked_for(self, path: Path, size: int, limit: int) -> None:
        path.write_bytes(TEXT + b"torn")
        assert self.lines_of(File(path), limit, size) == expected(TEXT + b"torn", limit)

    def test_may_begin_where_a_line_does(self, path: Path) -> None:
        path.write_bytes(TEXT)
        start = TEXT.index(b"\n", 20_000) + 1
        assert self.lines_of(File(path), 1000, 5000, start) == expected(TEXT[start:], 1000)

    def test_of_a_line_over_the_limit_hold_no_more_than_the_limit(self, path: Path) -> None:
        with path.open("wb") as file:
            for _ in range(8):
                file.write(b"x" * MEGABYTE)
            file.write(b"\nend\n")
        tracemalloc.start()
        try:
            assert self.lines_of(File(path), 1000, 5000) == [(1, None, False), (2, b"end", False)]
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()


class TestSpans:
    """Whole lines, from its beginning to near its end; none if it is short, compressed, or a line is too long."""

    @pytest.mark.parametrize("size", [10, 100, 3000, len(TEXT) // 2])
    def test_are_what_the_pieces_go_on_behind(self, path: Path, size: int) -> None:
        text = TEXT[: TEXT.find(b"\n", 300 * size) + 1 or len(TEXT)]
        path.write_bytes(text + b"torn")
        file = File(path)
        spans = file.spans(1000, size)
        parts = [file.span(*span) for span in spans]
        assert all(part == b"" or part.endswith(b"\n") for part in parts)
        assert [start for start, _ in spans] == [0, *[end for _, end in spans[:-1]]][: len(spans)]
        rest = text[spans[-1][1] :] if spans else text
        assert b"".join(parts) + rest == text
        assert len(rest) < 3 * size + 100

    def test_count_as_nothing_read(self, path: Path) -> None:
        path.write_bytes(TEXT)
        file = File(path)
        assert len(file.spans(1000, 3000)) > 9
        assert file.bytes_read == 0

    def test_are_none_of_what_is_short_or_cannot_be_cut(self, path: Path) -> None:
        for text, limit in ((b"", 9), (TEXT[:199], 1000), (gzip.compress(TEXT, 0), 1000), (TEXT, 40), (b"x" * 999, 99)):
            path.write_bytes(text)
            assert File(path).spans(limit, 100) == []
        assert File("-").spans(1000, 100) == []

    @pytest.mark.parametrize("use", [lambda file: file.spans(9, 9), lambda file: file.span(0, 9)])
    def test_of_a_file_that_is_not_there_are_its_error(self, path: Path, use: Callable[[File], object]) -> None:
        error = caught(lambda: use(File(path)))
        assert (error.path, error.line) == (str(path), None)


class TestAPartOfAFile:
    @pytest.mark.parametrize("start", [0, 4, 8])
    @pytest.mark.parametrize("end", [8, 12, 14, None])
    def test_is_read_as_if_it_were_a_file(self, path: Path, start: int, end: int | None) -> None:
        text = b"one\ntwo\nsix\nte"
        path.write_bytes(text)
        file = File(path, start=start, end=end)
        lines = text[start:end].splitlines()
        torn = not text[start:end].endswith(b"\n")
        assert [line for _, block, _ in file.blocks(100) for line in block] == lines
        assert [number for number, _, _ in file.blocks(100)][:1] == [1][: len(lines)]
        pieces = [piece for piece in file.pieces(100, 5) if piece is not None]
        assert b"".join(bytes(part) for parts, _ in pieces for part in parts) == text[start:end]
        assert [is_torn for _, is_torn in pieces][-1:] == [torn][: len(lines)]

    def test_is_not_cut_again(self, path: Path) -> None:
        path.write_bytes(b"line\n" * 100)
        assert len(File(path).spans(100, 50)) > 1
        assert File(path, start=5).spans(100, 50) == []
        assert File(path, end=450).spans(100, 50) == []


class TestLinesThatSomebodyElseReads:
    """In blocks as of a file; none is torn."""

    @given(st.lists(st.sampled_from([b"", b"a", b"x" * 5, b"x" * 6]), max_size=12), st.integers(1, 30))
    def test_come_with_the_same_numbers_and_the_same_limit(self, given_lines: list[bytes], chunk: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "CHUNK", chunk)
            found = list(in_blocks(iter(given_lines), 5))
        text = b"".join(line + b"\n" for line in given_lines)
        assert all_of(found) == expected(text, 5)

    def test_come_in_several_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "CHUNK", 4)
        assert list(in_blocks([b"ab", b"cd", b"", b"efghijk", b"l"], 6)) == [
            (1, [b"ab", b"cd"], False),
            (3, [b"", None], False),
            (5, [b"l"], False),
        ]
        assert list(in_blocks([b"abcd"], 6)) == [(1, [b"abcd"], False)]
        assert list(in_blocks([], 6)) == []
