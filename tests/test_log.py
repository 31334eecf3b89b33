"""Event logs as files: reading them whatever has become of them, and appending durably."""

import contextlib
import gc
import gzip
import io
import os
import pickle
import random
import re
import resource
import stat
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import log, wire
from tests import fuzz_wire, kill_append, strategies
from tests.lives import DAY, HOUR, LIFE, T, records

RECORDS = records()
LINES = [wire.encode_record(record) for record in RECORDS]
WHOLE = b"".join(line + b"\n" for line in LINES)
LIMIT = 2**20
"""How long a line may be: "line limit (1 MiB)"."""


def without_crc32(line: bytes) -> bytes:
    return re.sub(rb',"crc32":"[0-9a-f]{8}"\}$', b"}", line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "night.jsonl"


def numbers(errors: Iterable[lc.LogError]) -> list[int | None]:
    return [error.line for error in errors]


def read(*paths: str | os.PathLike[str], **options: Any) -> tuple[list[lc.Record], list[lc.LogError]]:
    """All records, and all that was refused."""
    refused: list[lc.LogError] = []
    return list(log.read(*paths, on_error=refused.append, **options)), refused


def caught(call: Callable[[], object]) -> lc.LogError:
    with pytest.raises(lc.LogError) as info:
        call()
    return info.value


@contextlib.contextmanager
def no_privileges() -> Iterator[None]:
    """As somebody without rights, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond *size*: what a full disk does, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def python(script: str, *arguments: str, given: bytes = b"") -> bytes:
    """What *script* prints, run as a process of its own."""
    ran = subprocess.run([sys.executable, "-c", script, *arguments], input=given, capture_output=True, check=True)
    return ran.stdout


def life_of(batch_id: str) -> list[lc.Record]:
    """The records of a life that names its batch."""
    created = lc.Created(batch_id, T, T + DAY, 4)
    return records((created, *LIFE[1:]), batch_id)


# ------------------------------------------------------------------------------------------------------- reading


class TestReading:
    """JSON Lines, one CloudEvent a line. Blank lines are skipped."""

    def test_gives_each_record_with_its_place(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        found = list(log.read(path))
        assert found == RECORDS
        assert [record.place for record in found] == [(str(path), number) for number in range(1, 7)]

    def test_takes_several_files_as_one_log_in_the_order_given(self, tmp_path: Path) -> None:
        for name, line in zip("abcdef", LINES, strict=True):
            (tmp_path / name).write_bytes(line + b"\n")
        found = list(log.read(*[tmp_path / name for name in "fedcba"]))
        assert found == RECORDS[::-1]
        assert [record.place for record in found] == [(str(tmp_path / name), 1) for name in "fedcba"]

    def test_a_file_may_be_named_by_text_or_by_a_path(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        assert list(log.read(str(path))) == list(log.read(path)) == RECORDS

    def test_of_no_file_gives_nothing(self) -> None:
        assert list(log.read()) == []

    @pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\n", b" \t\r\n\n  ", b"   "])
    def test_of_a_file_without_records_gives_nothing_and_refuses_nothing(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert read(path) == ([], [])

    def test_skips_blank_lines_but_counts_them(self, path: Path) -> None:
        path.write_bytes(b"\n" + LINES[0] + b"\n \t \n\r\n" + LINES[1] + b"\n\n")
        found, refused = read(path)
        assert refused == []
        assert found == RECORDS[:2]
        assert [record.place for record in found] == [(str(path), 2), (str(path), 5)]

    def test_opens_nothing_before_the_first_record_is_asked_for(self, path: Path) -> None:
        reading = log.read(path)
        path.write_bytes(WHOLE)
        assert list(reading) == RECORDS

    def test_is_the_same_wherever_a_line_falls_in_the_file(self, path: Path) -> None:
        rng = random.Random(1)
        many = [attrs.evolve(RECORDS[0], event_id="x" * rng.choice((1, 1000, 50_000, 900_000))) for _ in range(60)]
        path.write_bytes(b"".join(wire.encode_record(record) + b"\n" for record in many))
        found = list(log.read(path))
        assert found == many
        assert [record.place for record in found] == [(str(path), number) for number in range(1, 61)]

    def test_counts_the_bytes_for_showing_progress(self, tmp_path: Path) -> None:
        plain, packed = tmp_path / "plain", tmp_path / "packed"
        plain.write_bytes(WHOLE)
        packed.write_bytes(gzip.compress(WHOLE))
        reading = log.read(plain, packed)
        assert reading.bytes_read == 0
        next(reading)
        assert reading.bytes_read == plain.stat().st_size
        assert len(list(reading)) == 2 * len(RECORDS) - 1
        assert reading.bytes_read == plain.stat().st_size + packed.stat().st_size

    def test_given_up_halfway_leaves_no_file_open(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        reading = log.read(path)
        next(reading)
        del reading
        gc.collect()  # a file left open would warn here, and warnings are errors

    def test_a_line_in_another_form_of_json_is_a_record_too(self, path: Path) -> None:
        spaced = without_crc32(LINES[3]).replace(b'":', b'" : ').replace(b"+00:00", b"Z")
        path.write_bytes(spaced + b"\n" + without_crc32(LINES[4]) + b"\r\n")
        assert read(path) == (RECORDS[3:5], [])


class TestCompressedFiles:
    """Compressed with gzip, whatever the name; recognised by their first bytes."""

    @pytest.mark.parametrize("name", ["night.jsonl", "night.jsonl.gz", "night"])
    def test_are_recognised_whatever_their_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(gzip.compress(WHOLE))
        assert list(log.read(tmp_path / name)) == RECORDS

    def test_may_have_several_members_and_a_line_across_two(self, path: Path) -> None:
        path.write_bytes(b"".join(gzip.compress(WHOLE[at : at + 500]) for at in range(0, len(WHOLE), 500)))
        assert list(log.read(path)) == RECORDS

    def test_may_be_empty(self, path: Path) -> None:
        path.write_bytes(gzip.compress(b""))
        assert read(path) == ([], [])

    def test_may_have_a_torn_tail(self, path: Path) -> None:
        path.write_bytes(gzip.compress(WHOLE[:-20]))
        found, [error] = read(path)
        assert found == RECORDS[:-1]
        assert (error.line, error.torn) == (6, True)

    def test_give_what_stands_before_the_cut(self, path: Path) -> None:
        whole = gzip.compress(WHOLE)
        path.write_bytes(whole + whole[:-8])
        reading = log.read(path)
        assert [next(reading) for _ in RECORDS] == RECORDS
        assert caught(lambda: list(reading)).line is None


class TestStandardInput:
    """`-` is standard input."""

    SCRIPT = "import sys; from lifecycle import log; print([r.place for r in log.read(*sys.argv[1:])])"

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_is_read_from_a_pipe_compressed_or_not(self, pack: Callable[[bytes], bytes]) -> None:
        expected = f"{[('-', number) for number in range(1, 7)]}\n"
        assert python(self.SCRIPT, "-", given=pack(WHOLE)).decode() == expected

    def test_is_read_from_a_file_among_others(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(WHOLE)
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            reading = log.read(path, "-")
            assert list(reading) == RECORDS * 2
            assert reading.bytes_read == 2 * len(WHOLE)

    def test_may_be_a_stream_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WHOLE)))
        assert list(log.read("-")) == RECORDS

    def test_that_is_not_there_is_an_error_of_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        error = caught(lambda: next(log.read("-")))
        assert (error.path, error.line) == ("-", None)

    def test_that_is_closed_is_an_error_of_the_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.touch()
        with path.open() as file:
            monkeypatch.setattr(sys, "stdin", file)
        error = caught(lambda: next(log.read("-")))
        assert (error.path, error.line) == ("-", None)


class TestRefusedLines:
    """Refused lines by file and line: without `on_error` the first one raises, with it reading goes on."""

    BAD = (b"x", b"{}", b"\xff", b"\x00" * 9, LINES[2].replace(b"in", b"im", 1), LINES[2].upper(), b"[" * 100_000)

    @pytest.mark.parametrize("bad", BAD)
    def test_raise_with_their_place_and_their_problems(self, path: Path, bad: bytes) -> None:
        path.write_bytes(LINES[0] + b"\n\n" + bad + b"\n" + LINES[1] + b"\n")
        reading = log.read(path)
        assert next(reading) == RECORDS[0]
        error = caught(lambda: next(reading))
        assert (error.path, error.line, error.torn) == (str(path), 3, False)
        with pytest.raises(lc.WireError) as expected:
            wire.decode_record(bad)
        assert error.problems == expected.value.problems
        assert list(reading) == []

    def test_are_told_one_by_one_and_all_others_are_read(self, path: Path) -> None:
        mixed = [part for line, bad in zip(LINES, self.BAD, strict=False) for part in (bad, line)]
        path.write_bytes(b"\n".join(mixed) + b"\n")
        found, refused = read(path)
        assert found == RECORDS
        assert [record.place for record in found] == [(str(path), 2 * number) for number in range(1, 7)]
        assert numbers(refused) == [1, 3, 5, 7, 9, 11]
        assert all(error.problems and not error.torn for error in refused)

    def test_come_in_the_order_of_the_files(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).write_bytes(b"x\n" + LINES[0] + b"\nx\n")
        _, refused = read(tmp_path / "b", tmp_path / "a")
        assert [(Path(error.path).name, error.line) for error in refused] == [("b", 1), ("b", 3), ("a", 1), ("a", 3)]

    def test_stop_the_reading_if_on_error_raises(self, path: Path) -> None:
        path.write_bytes(b"x\n" + WHOLE)

        def stop(error: lc.LogError) -> None:
            raise KeyError(error.line)

        with pytest.raises(KeyError):
            next(log.read(path, on_error=stop))

    def test_make_an_error_that_pickles_and_is_a_value_error(self, path: Path) -> None:
        path.write_bytes(b"x\n" + LINES[0][:-5])
        _, refused = read(path)
        for error in refused:
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is lc.LogError
            assert issubclass(lc.LogError, ValueError)
            assert attrs.astuple(again) == attrs.astuple(error)
            assert str(again) == str(error)
            assert str(error).startswith(f"{path}:{error.line}: ")

    def test_that_are_too_long_are_refused_to_the_byte(self, path: Path) -> None:
        room = LIMIT - len(without_crc32(LINES[0]))
        long = without_crc32(LINES[0]).replace(b'"id":"', b'"id":"' + b"x" * room, 1)
        assert len(long) == LIMIT
        more = long.replace(b'"id":"', b'"id":"x', 1)
        path.write_bytes(
            LINES[1] + b"\n" + long + b"\n" + more + b"\n" + LINES[2] + b"\n" + more + b"\n" + LINES[3] + b"\n" + more
        )
        found, refused = read(path)
        assert [record.version for record in found] == [2, 1, 3, 4]
        assert [record.place for record in found] == [(str(path), number) for number in (1, 2, 4, 6)]
        assert numbers(refused) == [3, 5, 7]
        assert [error.torn for error in refused] == [False, False, False]

    @pytest.mark.parametrize("limit", [1, 100, len(LINES[1]) - 1, len(LINES[1]), len(LINES[0])])
    def test_that_are_over_the_callers_limit_are_refused(self, path: Path, limit: int) -> None:
        path.write_bytes(WHOLE)
        found, refused = read(path, max_bytes=limit)
        assert found == [record for record, line in zip(RECORDS, LINES, strict=True) if len(line) <= limit]
        assert numbers(refused) == [number for number, line in enumerate(LINES, 1) if len(line) > limit]

    def test_the_limit_may_be_raised(self, path: Path) -> None:
        long = attrs.evolve(RECORDS[0], event_id="x" * 3 * LIMIT)
        path.write_bytes(wire.encode_record(long) + b"\n")
        assert numbers(read(path)[1]) == [1]
        assert read(path, max_bytes=4 * LIMIT) == ([long], [])

    @pytest.mark.parametrize("end", [b"\n", b""])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("take", [lambda path: read(path)[0], lambda path: lc.replay(log.read(path)).findings])
    def test_that_are_50_megabytes_long_are_not_held(
        self, path: Path, take: Callable[[Path], Any], pack: Callable[[bytes], bytes], end: bytes
    ) -> None:
        """Through a pipe: neither the file system nor a gzip member as a whole can help."""
        os.mkfifo(path)
        piece = bytes(1 << 20).replace(b"\0", b"x")

        def write() -> None:
            with path.open("wb") as file:
                for _ in range(50):
                    file.write(pack(piece))
                file.write(pack(b"\n" + WHOLE + piece + piece + end))

        writer = threading.Thread(target=write)
        writer.start()
        tracemalloc.start()
        try:
            assert len(take(path)) in (2, 6)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            writer.join()
        assert peak < 12 * LIMIT


class TestFilesThatCannotBeRead:
    """A file that cannot be opened or read to its end is a `LogError` with `line` None, `on_error` or not."""

    @pytest.mark.parametrize(
        "name",
        ["missing", "missing/night.jsonl", ".", "file/night.jsonl", "secret", "nul\0", "\ud800", "n" * 300, "loop"],
    )
    def test_are_named(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(WHOLE)
        (tmp_path / "secret").write_bytes(WHOLE)
        (tmp_path / "secret").chmod(0)
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        given = f"{tmp_path}/{name}"
        with no_privileges():
            for call in (
                lambda: next(log.read(given)),
                lambda: read(given),
                lambda: lc.replay(log.read(given)),
                lambda: lc.replay(log.read(given, on_error=print)),
            ):
                error = caught(call)
                assert (error.path, error.line, error.problems, error.torn) == (given, None, (), False)
                assert str(error).startswith(f"{given}: cannot be read: ")

    def test_come_after_what_the_files_before_them_held(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        reading = log.read(path, path.parent)
        assert [next(reading) for _ in RECORDS] == RECORDS
        assert caught(lambda: next(reading)).path == str(path.parent)


class TestTornTails:
    """A last line without newline that is a whole valid record is a record; otherwise it is torn, a crash's trace."""

    def test_a_whole_last_line_without_its_newline_is_a_record(self, path: Path) -> None:
        path.write_bytes(WHOLE[:-1])
        assert read(path) == (RECORDS, [])
        assert list(log.read(path)) == RECORDS

    @pytest.mark.parametrize("tail", [b"x", b"{", LINES[5][:-1], LINES[5] + b" x", LINES[5][:100], b"\0\0\0", b"\xff"])
    def test_a_torn_tail_is_told_to_on_error_and_else_ends_quietly(self, path: Path, tail: bytes) -> None:
        path.write_bytes(b"\n".join([*LINES[:5], tail]))
        found, [error] = read(path)
        assert found == RECORDS[:5]
        assert (error.path, error.line, error.torn) == (str(path), 6, True)
        assert error.problems
        assert list(log.read(path)) == RECORDS[:5]

    def test_each_file_may_have_its_own(self, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / name).write_bytes(WHOLE + b"{")
        found, refused = read(tmp_path / "a", tmp_path / "b")
        assert found == RECORDS * 2
        assert [(Path(error.path).name, error.line, error.torn) for error in refused] == [
            ("a", 7, True),
            ("b", 7, True),
        ]

    def test_is_no_finding(self, path: Path) -> None:
        path.write_bytes(WHOLE + b"{")
        assert lc.replay(log.read(path)) == lc.replay(log.read(path, on_error=print)) == lc.replay(list(log.read(path)))

    def test_a_torn_line_in_the_middle_is_no_tail(self, path: Path) -> None:
        path.write_bytes(LINES[0][:-9] + b"\n" + LINES[1] + b"\n")
        assert [(error.line, error.torn) for error in read(path)[1]] == [(1, False)]


class TestFilters:
    """Only the records of this stream; only records up to this version, or up to this `recorded_at`, inclusive."""

    LATER = tuple(attrs.evolve(record, recorded_at=T + n * HOUR) for n, record in enumerate(life_of("b")))
    MIXED = (*life_of("a"), *LATER)

    @pytest.fixture
    def mixed(self, path: Path) -> Path:
        log.append(path, self.MIXED)
        return path

    def test_the_batch_id_chooses_a_stream(self, mixed: Path) -> None:
        assert list(log.read(mixed, batch_id="a")) == list(self.MIXED[:6])
        assert list(log.read(mixed, batch_id="c")) == []
        assert list(lc.replay(log.read(mixed, batch_id="b")).batches) == ["b"]

    @pytest.mark.parametrize("version", [0, 1, 3, 6, 7])
    def test_until_a_version(self, mixed: Path, version: int) -> None:
        expected = [record for record in self.MIXED if record.version <= version]
        assert list(log.read(mixed, until=version)) == expected
        assert lc.replay(log.read(mixed, until=version)).events == len(expected)

    @pytest.mark.parametrize("hours", [-1, 0, 2, 9])
    @pytest.mark.parametrize("offset", [0, 9, -8])
    def test_until_a_time_in_any_zone(self, mixed: Path, hours: int, offset: int) -> None:
        until = (T + hours * HOUR).astimezone(timezone(offset * HOUR))
        expected = [record for record in self.MIXED if record.recorded_at <= T + hours * HOUR]
        assert list(log.read(mixed, until=until)) == expected
        assert lc.replay(log.read(mixed, until=until)).events == len(expected)

    def test_until_a_time_is_inclusive_to_the_microsecond(self, mixed: Path) -> None:
        before = T - timedelta(microseconds=1)
        assert len(list(log.read(mixed, until=before))) == 0
        assert len(list(log.read(mixed, until=T))) == 7

    def test_both_together(self, mixed: Path) -> None:
        expected = [record for record in self.MIXED if record.batch_id == "b" and record.version <= 2]
        assert list(log.read(mixed, batch_id="b", until=2)) == expected
        assert lc.replay(log.read(mixed, batch_id="b", until=2)) == lc.replay(
            log.read(mixed, batch_id="b", until=T + HOUR)
        )

    def test_a_naive_time_is_refused_at_once(self, path: Path) -> None:
        with pytest.raises(ValueError, match="^until: "):
            log.read(path, until=datetime(2025, 1, 1))  # noqa: DTZ001 - the naive one that is refused

    def test_refused_lines_are_told_whatever_was_asked_for(self, mixed: Path) -> None:
        mixed.write_bytes(b"x\n" + mixed.read_bytes())
        assert numbers(read(mixed, batch_id="c", until=0)[1]) == [1]


def zulu(line: bytes) -> bytes:
    """The same line without its sum and with its times in the other form."""
    return without_crc32(line).replace(b"+00:00", b"Z")


def zulu_within(line: bytes) -> bytes:
    """The same line with the times of its data, and no other, in the other form; its sum is right."""
    head, data = without_crc32(line).split(b'"data":')
    body = head + b'"data":' + data.replace(b"+00:00", b"Z")
    return body[:-1] + b',"crc32":"%08x"}' % zlib.crc32(body)


SMALL_RECORDS = st.builds(
    lc.Record,
    st.sampled_from(("a", "a", "%")),
    st.integers(0, 6),
    st.sampled_from(
        (
            *(life_of("a")[0].event, life_of("%")[0].event, *LIFE[1:]),
            *(lc.CountsUpdated(lc.RequestCounts(*five)) for five in ((3, 1), (0, 4), (5,), (2, 1, 1))),
            lc.Ended(T + HOUR, lc.RequestCounts(0, 4)),
        )
    ),
    st.sampled_from((None, None, "x")),
    st.sampled_from((T, T + HOUR)),
)
"""Records of few batches, versions and events, so that lives, repeats and contradictions come of them by chance."""
SPELLINGS = (bytes, bytes, bytes, without_crc32, zulu, zulu_within)


class TestReplaying:
    """Given to `replay` a reading builds no records, and a refused line is a finding instead of an error."""

    @staticmethod
    def assert_the_same(path: Path, **options: Any) -> lc.Report:
        """What `replay` makes of the lines is what it makes of the records and refusals one by one."""
        items: list[lc.Record | lc.LogError] = []
        items.extend(log.read(path, on_error=items.append, **options))
        items = [item for item in items if isinstance(item, lc.Record) or not item.torn]
        for profile in (lc.LAWS, lc.HOSTED):
            told: list[lc.LogError] = []
            expected = lc.replay(items, profile=profile)
            assert lc.replay(log.read(path, on_error=told.append, **options), profile=profile) == expected
            assert lc.replay(log.read(path, **options), profile=profile) == expected
            assert tuple(lc.audit(log.read(path, **options), profile=profile)) == expected.findings
            assert [attrs.astuple(error) for error in told if not error.torn] == [
                attrs.astuple(item) for item in items if isinstance(item, lc.LogError)
            ]
        return lc.replay(items, profile=lc.HOSTED)

    def test_a_good_log_is_the_same_as_its_records(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        report = self.assert_the_same(path)
        assert report == lc.replay(RECORDS, profile=lc.HOSTED)
        assert report.findings == ()

    def test_refused_lines_are_findings_with_their_place(self, path: Path) -> None:
        path.write_bytes(b"\nx\n" + LINES[0] + b"\n" + LINES[1][:-9] + b"\n" + b"\n".join(LINES[2:]) + b"\n{")
        report = self.assert_the_same(path)
        found = [(finding.rule.id, finding.file, finding.line, finding.batch_id) for finding in report.findings]
        assert found == [
            ("wire", str(path), 2, None),
            ("wire", str(path), 4, None),
            ("L3", str(path), 5, "msgbatch_01"),
        ]

    def test_lines_in_every_spelling_are_the_same_as_their_records(self, path: Path) -> None:
        odd = life_of("é/ %2F")
        plain = [without_crc32(wire.encode_record(record)) for record in (*RECORDS, *odd)]
        lines = [
            plain[0].replace(b'":', b'" : ').replace(b"{", b"{ "),
            plain[1].replace(b'"time"', b'"t\\u0069me"'),
            *(line.replace(b"+00:00", b"Z") for line in plain[2:4]),
            *plain[4:7],
            *(line.replace(b"%20", b" ") for line in plain[7:9]),
            *map(zulu_within, LINES),
            *map(wire.encode_record, odd[3:]),
            *plain,
        ]
        path.write_bytes(b"\n".join(lines))
        report = self.assert_the_same(path)
        assert report.batches.keys() == {"msgbatch_01", "é/ %2F"}
        assert report.findings == ()

    def test_times_of_data_in_another_form_are_the_same(self, path: Path) -> None:
        """Where all else is as this package writes it, and the whole block so far plainly records."""
        path.write_bytes(b"\n".join(map(zulu_within, LINES)) + b"\n")
        report = self.assert_the_same(path)
        assert report == lc.replay(RECORDS, profile=lc.HOSTED)

    def test_a_created_of_another_batch_is_one_whatever_came_before_it(self, path: Path) -> None:
        other = [lc.Record("other", 2, LIFE[1], None, T), lc.Record("other", 1, LIFE[0], None, T)]
        log.append(path, other)
        report = self.assert_the_same(path)
        assert [finding.rule.id for finding in report.findings] == ["L1", "L2"]

    @given(st.lists(st.tuples(SMALL_RECORDS, st.sampled_from(SPELLINGS)), max_size=12))
    def test_any_small_log_is_the_same_as_its_records(
        self, tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[lc.Record, Callable[[bytes], bytes]]]
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "small.jsonl"
        path.write_bytes(b"".join(spell(wire.encode_record(record)) + b"\n" for record, spell in drawn))
        assert read(path) == ([record for record, _ in drawn], [])
        self.assert_the_same(path)

    @settings(max_examples=settings().max_examples // 2)
    @given(st.lists(strategies.records(), max_size=6), st.integers(0))
    def test_any_log_is_the_same_as_its_records(
        self, tmp_path_factory: pytest.TempPathFactory, drawn: list[lc.Record], seed: int
    ) -> None:
        rng = random.Random(seed)
        lines = [wire.encode_record(record) for record in (*drawn, *RECORDS, *life_of(" "))]
        lines += [fuzz_wire.record_mutant(rng) for _ in range(rng.choice((0, 0, 1, 5)))]
        lines += [without_crc32(line) for line in rng.choices(lines, k=rng.choice((0, 0, 1, 3)))]
        if rng.random() < 0.5:
            rng.shuffle(lines)
        path = tmp_path_factory.getbasetemp() / "any.jsonl"
        path.write_bytes(b"\n".join(lines) + rng.choice((b"\n", b"", b"\n\n", b"x")))
        asked: tuple[dict[str, Any], ...] = ({}, {}, {"batch_id": " "}, {"until": 2}, {"until": T}, {"max_bytes": 400})
        self.assert_the_same(path, **rng.choice(asked))


# ----------------------------------------------------------------------------------------------------- appending


class TestAppending:
    """No rule is judged. A torn tail is cut off first; a last line that only lacks its newline gets it."""

    def test_makes_the_file(self, path: Path) -> None:
        log.append(path, RECORDS[:2])
        assert path.read_bytes() == LINES[0] + b"\n" + LINES[1] + b"\n"

    def test_goes_on_with_a_file(self, path: Path) -> None:
        for record in RECORDS:
            log.append(str(path), iter([record]))
        assert path.read_bytes() == WHOLE

    def test_goes_on_with_an_empty_file(self, path: Path) -> None:
        path.touch()
        log.append(path, RECORDS)
        assert path.read_bytes() == WHOLE

    def test_keeps_the_mode_of_the_file_and_follows_links(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "there" / "log")
        log.append(tmp_path / "link", RECORDS[:1])
        (tmp_path / "there" / "log").chmod(0o600)
        log.append(tmp_path / "link", RECORDS[1:])
        assert (tmp_path / "there" / "log").read_bytes() == WHOLE
        assert stat.S_IMODE((tmp_path / "there" / "log").stat().st_mode) == 0o600

    def test_of_nothing_changes_nothing(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        log.append(path, [])
        assert path.read_bytes() == WHOLE

    def test_judges_no_rule(self, path: Path) -> None:
        backwards = [*RECORDS[::-1], RECORDS[0]]
        log.append(path, backwards)
        assert list(log.read(path)) == backwards

    def test_may_append_a_log_to_itself(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        log.append(path, log.read(path))
        assert path.read_bytes() == WHOLE * 2

    def test_leaves_place_behind(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        [record] = list(log.read(path))[:1]
        log.append(path, [record])
        assert path.read_bytes() == WHOLE + LINES[0] + b"\n"

    def test_goes_on_after_a_crash_at_any_byte(self, path: Path) -> None:
        two = LINES[0] + b"\n" + LINES[1] + b"\n"
        for size in range(len(two) + 1):
            path.write_bytes(two[:size])
            log.append(path, RECORDS[2:3])
            whole = (size >= len(LINES[0])) + (size >= len(LINES[0]) + 1 + len(LINES[1]))
            expected = [*RECORDS[:whole], RECORDS[2]]
            assert path.read_bytes() == b"".join(wire.encode_record(record) + b"\n" for record in expected)

    @pytest.mark.parametrize(
        "tail", [b"x", b" ", b" \t\r", b"\0\0\0\0", b"\xff\xfe", LINES[1][1:], LINES[1] + b"x", b"{" * LIMIT]
    )
    def test_cuts_off_a_torn_tail_and_nothing_else(self, path: Path, tail: bytes) -> None:
        for before in (b"", WHOLE, b"damaged\n", b"\n\n"):
            path.write_bytes(before + tail)
            log.append(path, RECORDS[:1])
            assert path.read_bytes() == before + LINES[0] + b"\n"

    def test_writers_wait_for_one_another(self, path: Path) -> None:
        script = """if True:
            import sys
            import lifecycle as lc
            from lifecycle import log
            from datetime import UTC, datetime
            path, name = sys.argv[1:]
            event = lc.Deleted(datetime(2025, 1, 29, tzinfo=UTC))
            sys.stdin.readline()
            for version in range(1, 41):
                two = [lc.Record(name, version, event, event_id, event.deleted_at) for event_id in ("x", "x" * 9999)]
                log.append(path, two)
        """
        command = [sys.executable, "-c", script, str(path)]
        writers = [subprocess.Popen([*command, name], stdin=subprocess.PIPE) for name in "ab"]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(b"go\n")
            writer.stdin.close()
        assert [writer.wait() for writer in writers] == [0, 0]
        found, refused = read(path)
        assert refused == []
        for name in "ab":
            versions = [record.version for record in found if record.batch_id == name]
            assert versions == [version for version in range(1, 41) for _ in (0, 1)]

    def test_threads_wait_for_one_another(self, path: Path) -> None:
        def write(name: str) -> None:
            for version in range(1, 31):
                log.append(path, [lc.Record(name, version, LIFE[1], None, T)])

        threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found, refused = read(path)
        assert (len(found), refused) == (90, [])
        for name in "abc":
            assert [record.version for record in found if record.batch_id == name] == list(range(1, 31))

    @pytest.mark.usefixtures("children_are_measured")
    def test_works_without_flock_where_the_caller_sees_to_it(self, path: Path) -> None:
        path.write_bytes(WHOLE)
        script = """if True:
            import sys
            sys.modules["fcntl"] = None
            from lifecycle import log
            log.append(sys.argv[1], log.read(sys.argv[1]))
        """
        python(script, str(path))
        assert path.read_bytes() == WHOLE * 2


class TestARefusedAppend:
    """A refused append changes nothing."""

    @pytest.mark.parametrize("before", [None, b"", WHOLE, WHOLE[:-1], WHOLE + b"torn"])
    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (attrs.evolve(RECORDS[0], version=-1), lc.WireError),
            (attrs.evolve(RECORDS[0], event_id="\ud800"), lc.WireError),
            (attrs.evolve(RECORDS[0], event_id="x" * LIMIT), lc.WireError),
            (LIFE[0], TypeError),
            (LINES[0], TypeError),
            (None, TypeError),
        ],
    )
    def test_for_what_no_line_can_hold(
        self, path: Path, before: bytes | None, bad: Any, error: type[Exception]
    ) -> None:
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(error):
            log.append(path, [*RECORDS[:2], bad])
        assert (path.read_bytes() if path.exists() else None) == before

    def test_for_an_error_of_the_callers_own(self, path: Path) -> None:
        path.write_bytes(WHOLE + b"torn")

        def some() -> Iterator[lc.Record]:
            yield RECORDS[0]
            raise KeyError

        with pytest.raises(KeyError):
            log.append(path, some())
        assert path.read_bytes() == WHOLE + b"torn"

    def test_writes_a_line_of_the_limit_and_not_one_more_byte(self, path: Path) -> None:
        room = LIMIT - len(wire.encode_record(attrs.evolve(RECORDS[0], event_id="")))
        log.append(path, [attrs.evolve(RECORDS[0], event_id="x" * room)])
        assert read(path)[1] == []
        before = path.read_bytes()
        with pytest.raises(lc.WireError):
            log.append(path, [attrs.evolve(RECORDS[0], event_id="x" * (room + 1))])
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", [gzip.compress(WHOLE, mtime=0), b"\x1f\x8b", b"\x1f\x8bxx\n"])
    def test_to_a_compressed_file(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        error = caught(lambda: log.append(path, RECORDS))
        assert (error.path, error.line) == (str(path), None)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("before", [b"", WHOLE])
    def test_to_a_file_whose_last_line_is_too_long_to_be_a_torn_one(self, path: Path, before: bytes) -> None:
        content = before + b"x" * (LIMIT + 1)
        path.write_bytes(content)
        error = caught(lambda: log.append(path, RECORDS))
        assert (error.path, error.line) == (str(path), None)
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "name", [".", "missing/log", "file/log", "secret", "closed/log", "nul\0", "\ud800", "n" * 300]
    )
    def test_to_what_cannot_be_written(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_bytes(WHOLE)
        (tmp_path / "secret").write_bytes(WHOLE)
        (tmp_path / "secret").chmod(0o444)
        (tmp_path / "closed").mkdir(mode=0o555)
        before = sorted(tmp_path.rglob("*"))
        given = f"{tmp_path}/{name}"
        with no_privileges():
            error = caught(lambda: log.append(given, RECORDS))
        assert (error.path, error.line, error.problems, error.torn) == (given, None, (), False)
        assert str(error).startswith(f"{given}: cannot be written: ")
        assert sorted(tmp_path.rglob("*")) == before
        assert (tmp_path / "secret").read_bytes() == WHOLE

    def test_to_a_device_that_is_full(self) -> None:
        assert caught(lambda: log.append("/dev/full", RECORDS)).line is None

    @pytest.mark.parametrize("before", [b"", WHOLE, WHOLE[:-1], WHOLE + LINES[0][:77]])
    @pytest.mark.parametrize("room", [0, 1, 300, len(LINES[0]) + 1, len(LINES[0]) + 2, len(WHOLE) - 1])
    def test_to_a_full_disk(self, path: Path, before: bytes, room: int) -> None:
        path.write_bytes(before)
        kept = WHOLE if len(before) > len(WHOLE) else before  # the torn tail was nobody's
        with room_for(len(kept) + room):
            error = caught(lambda: log.append(path, RECORDS))
            assert (error.path, error.line) == (str(path), None)
            assert path.read_bytes() == kept
        log.append(path, RECORDS)
        assert path.read_bytes() == kept.rstrip(b"\n") + b"\n" * bool(kept) + WHOLE

    @pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
    def test_that_was_not_flushed_is_taken_back(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        path.write_bytes(WHOLE)

        def fsync(_: int) -> None:
            assert path.stat().st_size > len(WHOLE)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises((lc.LogError, KeyboardInterrupt)):
                log.append(path, RECORDS)
        assert path.read_bytes() == WHOLE

    def test_leaves_no_file_open(self, path: Path) -> None:
        before = sorted(Path("/proc/self/fd").iterdir())
        for name in (path, path.parent, path / "x"):
            with contextlib.suppress(lc.LogError):
                log.append(name, RECORDS)
        assert sorted(Path("/proc/self/fd").iterdir()) == before


class TestDurability:
    """When it returns they are on the disk, and so is the name of a new file."""

    @staticmethod
    def flushed(monkeypatch: pytest.MonkeyPatch, path: Path, append: Callable[[], None]) -> list[tuple[str, int]]:
        """What was flushed, in order: the name, and the size of the log at that moment."""
        seen: list[tuple[str, int]] = []
        really = os.fsync

        def fsync(file: int) -> None:
            really(file)
            seen.append((Path(f"/proc/self/fd/{file}").readlink().name, path.stat().st_size))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            append()
        return seen

    def test_a_new_file_has_its_name_flushed_before_its_first_record(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = self.flushed(monkeypatch, path, lambda: log.append(path, RECORDS))
        assert seen == [(path.parent.name, 0), (path.name, len(WHOLE))]

    def test_so_has_an_empty_one_that_a_killed_writer_may_have_made(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.touch()
        seen = self.flushed(monkeypatch, path, lambda: log.append(path, RECORDS))
        assert seen == [(path.parent.name, 0), (path.name, len(WHOLE))]

    def test_an_old_file_is_flushed_after_all_was_written(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(WHOLE + b"torn")
        seen = self.flushed(monkeypatch, path, lambda: log.append(path, RECORDS))
        assert seen == [(path.name, 2 * len(WHOLE))]

    def test_behind_a_link_it_is_the_folder_of_the_file_that_counts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "there" / "log")
        seen = self.flushed(monkeypatch, tmp_path / "there" / "log", lambda: log.append(tmp_path / "link", RECORDS))
        assert seen == [("there", 0), ("log", len(WHOLE))]

    def test_elsewhere_than_on_posix_no_folder_is_flushed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "name", "other")
        seen = self.flushed(monkeypatch, path, lambda: log.append(path, RECORDS))
        assert seen == [(path.name, len(WHOLE))]

    def test_a_killed_writer_loses_nothing_that_it_acknowledged(self) -> None:
        ran = subprocess.run([sys.executable, kill_append.__file__, "--times", "50"], capture_output=True, check=True)
        tally = {
            name: int(count) for name, count in re.findall(r"([a-z ]+): (\d+)", ran.stdout.decode().replace(", ", ","))
        }
        assert tally["kills"] == 50
        assert tally["acknowledged"] > 50
        assert (tally["lost"], tally["wrong"]) == (0, 0)

    def test_a_writer_that_acknowledges_too_soon_is_found_out(self) -> None:
        """The negative control: what stands in a buffer of the process dies with it."""
        script = f"""if True:
            import sys
            sys.path.insert(0, {str(Path(kill_append.__file__).parent)!r})
            import kill_append
            from lifecycle import wire
            files = {{}}
            def append(path, records):
                if path not in files:
                    files[path] = path.open("ab", buffering=1 << 16)
                files[path].writelines(wire.encode_record(record) + b"\\n" for record in records)
            kill_append.log.append = append
            raise SystemExit(kill_append.main(["--times", "20"]))
        """
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert re.search(r"lost: [1-9]", ran.stdout)


# -------------------------------------------------------------------------------------------------------- damage


class Damage:
    """A log of four records, and what is left of it after some damage."""

    def __init__(self, folder: Path, *, crc32: bool = True) -> None:
        self.path = folder / "damaged.jsonl"
        life = life_of("b")
        self.written = [life[0], life[2], *life[4:]]
        self.lines = [wire.encode_record(record) for record in self.written]
        if not crc32:
            self.lines = list(map(without_crc32, self.lines))
        self.starts = [sum(len(line) + 1 for line in self.lines[:number]) for number in range(4)]
        self.content = b"".join(line + b"\n" for line in self.lines)
        self.wrong = self.silent = 0

    def read(self, content: bytes, *, replayed: bool = False) -> tuple[list[lc.Record], set[int | None]]:
        """The records of *content* and the lines that were named; count what was never written."""
        # Over the old content: file systems that guard against crashes take long over a file that was emptied first.
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(content)
            file.truncate()
        found, refused = read(self.path)
        self.wrong += sum(record not in self.written for record in found)
        if replayed:  # replay takes another way to the same records
            report = lc.replay(log.read(self.path))
            assert report.events == len(found)
            named = {finding.line for finding in report.findings if finding.rule.id == "wire"}
            assert named == {error.line for error in refused if not error.torn}
        return found, set(numbers(refused))

    def judge(self, content: bytes, *, replayed: bool = False) -> None:
        """Each record must be read, or a line that its bytes stand in now be named; count those that are not."""
        found, named = self.read(content, replayed=replayed)
        for record, line, start in zip(self.written, self.lines, self.starts, strict=True):
            first = content.count(b"\n", 0, start) + 1
            last = content.count(b"\n", 0, start + len(line)) + 1
            self.silent += record not in found and not named & set(range(first, last + 1))


class TestDamage:
    """Each record that was wholly written reads or is named as damaged; 0 wrong records accepted."""

    def test_a_file_cut_at_every_byte(self, tmp_path: Path) -> None:
        damage = Damage(tmp_path)
        for size in range(len(damage.content) + 1):
            whole = sum(size >= start + len(line) for start, line in zip(damage.starts, damage.lines, strict=True))
            found, named = damage.read(damage.content[:size], replayed=size % 4 == 0)
            assert found == damage.written[:whole]
            at_an_end = whole == 4 or size <= damage.starts[whole]
            assert named == (set() if at_an_end else {whole + 1})
        assert damage.wrong == 0

    def test_a_file_with_every_bit_flipped_in_turn(self, tmp_path: Path) -> None:
        damage = Damage(tmp_path)
        for at in range(len(damage.content)):
            for bit in range(8):
                flipped = bytearray(damage.content)
                flipped[at] ^= 1 << bit
                damage.judge(bytes(flipped), replayed=bit == at % 8)
        assert (damage.wrong, damage.silent) == (0, 0)

    def test_without_crc32_some_flipped_bits_would_pass(self, tmp_path: Path) -> None:
        """The negative control: the same run finds wrong records where the guard is taken away."""
        damage = Damage(tmp_path, crc32=False)
        for at in range(len(damage.content)):
            flipped = bytearray(damage.content)
            flipped[at] ^= 1
            damage.judge(bytes(flipped))
        assert damage.wrong > 100
        assert damage.silent == damage.wrong

    def test_lost_doubled_and_swapped_blocks(self, tmp_path: Path) -> None:
        """As a bad disk or a bad copy leaves them: never a wrong record."""
        rng = random.Random(7)
        damage = Damage(tmp_path)
        for _ in range(300):
            content = bytearray(damage.content)
            at, length = rng.randrange(len(content)), rng.choice((1, 8, 64, 300))
            match rng.randrange(3):
                case 0:
                    del content[at : at + length]
                case 1:
                    content[at : at + length] = bytes(len(content[at : at + length]))
                case _:
                    content[at:at] = content[at : at + length]
            damage.path.write_bytes(bytes(content))
            found, _ = read(damage.path)
            assert all(record in damage.written for record in found)


def test_the_longest_life_survives_a_day_of_appending_and_reading(path: Path) -> None:
    """Whatever is appended comes back, in order, through every way of reading."""
    for day in range(3):
        log.append(
            path,
            [attrs.evolve(record, batch_id=f"b{day}", event_id=None, recorded_at=T + day * DAY) for record in RECORDS],
        )
    found = list(log.read(path))
    assert [record.version for record in found] == [1, 2, 3, 4, 5, 6] * 3
    report = lc.replay(log.read(path))
    assert report == lc.replay(found)
    assert report.events == 18
