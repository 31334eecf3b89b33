"""Lines as columns: a row is plain only if `wire` reads the line as a record with exactly these values."""

import importlib
import random
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pytest

import lifecycle as lc
from lifecycle import columns, wire
from lifecycle.columns import ID_WORDS, LARGEST, NULL, TAGS, Block, Columns, content_of, key_of, micros, scan, url_key
from lifecycle.rules import COUNTS
from tests import fuzz_wire
from tests.lives import ARCHIVED, CREATED, DAY, ENDED, LIFE, REPEATED, URL, T

EVENTS: tuple[lc.Event, ...] = (
    *LIFE,
    attrs.evolve(CREATED, request_count=1_234_567),
    lc.CountsUpdated(lc.RequestCounts(9, 10, 999, 9_999_999, 1)),
    attrs.evolve(ENDED, results_url=None),
    attrs.evolve(ARCHIVED, results_url=URL),
)


def encoded(event: lc.Event, version: int = 1, batch_id: str = "msgbatch_01", event_id: str | None = None) -> bytes:
    return wire.encode_record(lc.Record(batch_id, version, event, event_id, T))


def summed(line: bytes) -> bytes:
    """A line that was changed before its crc32: with the right one again."""
    body = line[:-20] + b"}"
    return body[:-1] + b',"crc32":"%08x"}' % zlib.crc32(body)


def block_of(lines: Iterable[bytes]) -> Block:
    return Block(b"".join(line + b"\n" for line in lines))


def read(line: bytes) -> tuple[Any, ...]:
    """What `wire` reads in a line, as columns hold it."""
    entry: Any = wire.decode_entry(line, wire.MAX_BYTES)
    batch_id, version, event_id, event, _, _ = entry
    at = next((micros(getattr(event, field)) for field in event.__struct_fields__ if field in TIMES), NULL)
    counts = getattr(event, "request_counts", None)
    numbers = [getattr(event, "request_count", 0), 0, 0, 0, 0]
    if counts is not None:
        numbers = [getattr(counts, name) for name in COUNTS]
    expires_at = getattr(event, "expires_at", None)
    return (
        batch_id.encode(),
        version,
        event_id,
        event.tag,
        at,
        NULL if expires_at is None else micros(expires_at),
        numbers,
        getattr(event, "results_url", None),
        getattr(event, "id", batch_id),
    )


TIMES = ("created_at", "cancel_initiated_at", "ended_at", "archived_at", "deleted_at")


def row_of(found: Columns, row: int) -> tuple[Any, ...]:
    """What columns hold of a line."""
    batch_id, version, url = found.ids[row].tobytes().rstrip(b"\0"), int(found.version[row]), int(found.url[row])
    assert found.key[row] == key_of(batch_id)
    return (
        batch_id,
        version,
        f"{batch_id.decode()}/{version}",
        TAGS[found.tag[row]],
        found.at[row],
        found.expires_at[row],
        [found.counts[name][row] for name in COUNTS],
        found.urls[url] if url else None,
        batch_id.decode(),
    )


def plain_rows(lines: list[bytes]) -> list[int]:
    """The rows that are plain, each held against `wire`."""
    found = scan(block_of(lines))
    assert len(found.plain) == len(lines)
    rows = np.flatnonzero(found.plain).tolist()
    kept = [row for row, usual in zip(rows, columns.usual_ids(found.ids[rows]), strict=True) if usual]
    for row in kept:
        assert row_of(found, row) == read(lines[row])
    return kept


class TestRecordsInTheRecordedForm:
    """All of them are recognised."""

    @pytest.mark.parametrize("batch_id", ["a", "msgbatch_01", "x" * 8, "y" * 63, "z" * 64, "a-b.c_d~Z9"])
    def test_are_plain(self, batch_id: str) -> None:
        events = [attrs.evolve(one, id=batch_id) if isinstance(one, lc.Created) else one for one in EVENTS]
        versions = (0, 1, 9, 10, 12_345, 999_999, 1_000_000, LARGEST)
        lines = [encoded(one, version, batch_id) for one in events for version in versions]
        random.Random(7).shuffle(lines)
        assert plain_rows(lines) == list(range(len(lines)))

    def test_may_be_of_any_batches_in_any_order(self) -> None:
        sizes = [number * 7 % 20 + 1 for number in range(400)]
        lines = [encoded(LIFE[1 + size % 5], row + 1, "b" * size) for row, size in enumerate(sizes)]
        assert plain_rows(lines) == list(range(len(lines)))

    def test_are_left_to_the_wire_if_their_ids_have_more_lengths_than_are_tried(self) -> None:
        lines = [encoded(REPEATED, 1, "b" * size) for size in range(1, 65)]
        assert plain_rows(lines) == list(range(columns._GUESSES))

    def test_are_recognised_behind_lines_that_are_not(self) -> None:
        other = [encoded(REPEATED, 1, event_id=event_id) for event_id in ("evt", "e/x", "other/1/", "c/1")]
        assert plain_rows([b"", *other, b"{}", encoded(REPEATED), b"x" * 90, *other, encoded(ENDED), b""]) == [6, 12]

    @pytest.mark.parametrize("lines", [[], [b""], [b"\0"], [b"x"] * 9, [b"x" * 20, b"", b"y" * 7, b"z" * 21]])
    def test_are_not_found_where_there_are_none(self, lines: list[bytes]) -> None:
        assert plain_rows(lines) == []


def changed(line: bytes) -> Iterator[bytes]:
    """The line with each of its bytes replaced, taken out, told twice, or with another in front."""
    for at, byte in enumerate(line):
        before, after = line[:at], line[at + 1 :]
        for other in {*b'019z"\\/} :,%\0\xff\r', byte ^ 1, byte ^ 0x80, byte ^ 0x10} - {byte, 10}:
            yield before + bytes([other]) + after
        yield before + after
        for other in {*b'0 "', byte}:
            yield before + bytes([other]) + line[at:]


class TestLinesThatWereChanged:
    """A line of which a byte was changed is plain only if `wire` reads what its columns say."""

    @pytest.mark.parametrize("event", EVENTS)
    def test_in_one_place(self, event: lc.Event) -> None:
        line = encoded(event, 20)
        assert plain_rows(list(changed(line))) == []  # its crc32 says so

    @pytest.mark.parametrize("event", EVENTS)
    def test_in_one_place_and_summed_again(self, event: lc.Event) -> None:
        line = encoded(event, 20)
        made = [summed(one) for one in changed(line) if one[-20:] == line[-20:]]
        kept = plain_rows([line, *made])
        assert 20 < len(kept) < len(made) / 4  # such as other digits of a time

    def test_in_many_ways(self) -> None:
        rng = random.Random(20_250_129)
        made = [one for _ in range(3000) for one in fuzz_wire.block_mutant(rng) if b"\n" not in one]
        made = [encoded(REPEATED), *made, encoded(REPEATED)]
        assert {0, len(made) - 1} <= set(plain_rows(made))

    def test_by_one_crc32_for_another(self) -> None:
        line = encoded(REPEATED)
        digits = [b"%08X" % zlib.crc32(line[:-20] + b"}"), b"00000000", b"ffffffff", b"0x000000", b"+0000000"]
        assert plain_rows([line[:-10] + one + b'"}' for one in digits if one != line[-10:-2]]) == []


class TestNumbers:
    """Whole numbers of one to seven digits, as JSON has them; the versions up to as many."""

    PLAIN = ("0", "1", "7", "10", "4321", "1234567", "9999999")
    OTHER = (
        *("", "00", "01", "0000001", "10000000", "12345678", "99999999", "123456789", "9223372036854775807"),
        *("-1", "-0", "+1", "1.0", "1e3", "1E3", " 1", "1 ", "0x1", "1_0", "null", "true", '"1"', "1,", ":", "/", "\0"),
    )

    @pytest.mark.parametrize("old", ["PPP", "SSS", "RRR"])
    def test_are_read_as_the_wire_reads_them(self, old: str) -> None:
        counts = encoded(lc.CountsUpdated(lc.RequestCounts(1111111, 2222222))).replace(b"1111111", b"PPP", 1)
        size = encoded(attrs.evolve(CREATED, request_count=3333333)).replace(b"3333333", b"RRR", 1)
        line = {"PPP": counts, "SSS": counts.replace(b"PPP", b"5").replace(b"2222222", b"SSS"), "RRR": size}[old]
        made = [summed(line.replace(old.encode(), one.encode())) for one in (*self.PLAIN, *self.OTHER)]
        assert plain_rows(made) == list(range(len(self.PLAIN)))

    def test_of_the_version_are_those_of_the_sequence(self) -> None:
        line = encoded(REPEATED, 1).replace(b'/1","source', b'/VVV","source')
        made = [
            summed(line.replace(b"VVV", one.encode()).replace(b"0" * 19 + b"1", sequence.encode()))
            for one in (*self.PLAIN, *self.OTHER)
            for sequence in (one.rjust(20, "0"), "0" * 20, f"{1:020}", f"{10**8 + 1:020}", f"{10**12 + 1:020}")
            if "\n" not in one
        ]
        kept = plain_rows(made)
        assert {read(made[row])[1] for row in kept} == set(map(int, self.PLAIN))
        assert plain_rows([encoded(REPEATED, version) for version in (10_000_000, 2**63 - 1)]) == []


def times() -> Iterator[str]:
    """Times, and what is nearly one."""
    yield from (time for time in fuzz_wire.TIMES if "\uff10" <= time <= "\uffff" or time.isascii())
    for date in (
        *(
            "2024-02-29",
            "2025-02-29",
            "2024-02-30",
            "1900-02-29",
            "2000-02-29",
            "2025-04-31",
            "2025-12-31",
            "2025-00-10",
        ),
        *(
            "2025-13-01",
            "2025-01-00",
            "2025-01-32",
            "0000-01-01",
            "0001-01-01",
            "9999-12-31",
            "1969-12-31",
            "1970-01-01",
        ),
        *(
            "2025-1-029",
            "2025/01/29",
            "25-01-2900",
            "2025-01-2\0",
            "2025-W05-3",
            "2025W05-3T",
            "20250129-0",
            "    -01-29",
        ),
        *("+025-01-29", "-025-01-29", "2025-01- 9", "2025-01-\xe92"[:10], "\xff025-01-29"),
    ):
        for clock in ("00:00:00.000000", "23:59:59.999999", "14:24:59.570697", "12:00:00.000001"):
            yield f"{date}T{clock}+00:00"
    for clock in (
        *(
            "24:00:00.000000",
            "24:00:00.000001",
            "29:00:00.000000",
            "30:00:00.000000",
            "00:60:00.000000",
            "00:00:60.000000",
        ),
        *(
            "0a:00:00.000000",
            "00:00:00,000000",
            "00-00-00.000000",
            "00:00:00.00000a",
            "00:00:00.a00000",
            "00:00:0:.000000",
        ),
        *(
            "19:59:59.000000",
            "20:00:00.123456",
            "/0:00:00.000000",
            ":0:00:00.000000",
            "00:00:00.-00000",
            "00:00:00.00000\0",
        ),
    ):
        yield f"2025-01-29T{clock}+00:00"
    for zone in ("+00:01", "+01:00", "-00:00", "+0000Z", "Z     ", "+00.00", " 00:00", "\xff00:00", "+00:0\0"):
        yield f"2025-01-29T00:00:00.000000{zone}"
    for between in "t _\0":
        yield f"2025-01-29{between}00:00:00.000000+00:00"


class TestTimes:
    """The recorded form, and times that there are; in the envelope as in the data."""

    @pytest.mark.parametrize("event", [one for one in LIFE if one is not REPEATED])
    def test_are_read_as_the_wire_reads_them(self, event: lc.Event) -> None:
        recorded = wire.stamp(T).encode()
        line = encoded(event).replace(b'"time":"' + recorded, b'"time":"EEE')
        names = [field.name for field in attrs.fields(type(event)) if field.type is datetime]
        for name in (*names, "EEE"):
            value = b"EEE" if name == "EEE" else wire.stamp(getattr(event, name)).encode()
            start = line.rindex(value)  # `created_at` may be said twice, too
            texts = [one.encode("latin-1", "replace") for one in times()]
            made = [line[:start] + one + line[start + len(value) :] for one in texts]
            made = [summed(one.replace(b"EEE", recorded)) for one in made]
            assert plain_rows(made) == [row for row, one in enumerate(texts) if is_recorded(one)]

    def test_are_microseconds(self) -> None:
        assert micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
        assert micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def is_recorded(text: bytes) -> bool:
    """Whether `wire` reads a time in the recorded form."""
    try:
        wire.recorded_time(text.decode())
    except ValueError:
        return False
    return True


class TestUrls:
    """Any text of printable ASCII with nothing escaped, or null."""

    PLAIN = (
        "null",
        '""',
        '"x"',
        '" "',
        f'"{URL}"',
        '"null"',
        '"}"',
        '"a}"',
        '"%00?#&=[]{}~"',
        f'"{"u" * 5000}"',
        '"\'"',
    )
    OTHER = (
        *('"', "", "Null", "nul", "nulll", "null ", ' "x"', '"x" ', '"x"}', '"a"b"', '"a\\"', '"\\u0041"', '"\\/"'),
        *('"\t"', '"\0"', '"\x7f"', '"é"', '"\xff"', "7", "true", "{}", "[]", '"x","results_url":"y"', '"x","more":1'),
    )

    @pytest.mark.parametrize(
        "event", [attrs.evolve(ENDED, results_url="UUU"), attrs.evolve(ARCHIVED, results_url="UUU")]
    )
    def test_are_read_as_the_wire_reads_them(self, event: lc.Event) -> None:
        texts = [one.encode("latin-1") for one in (*self.PLAIN, *self.OTHER)]
        made = [summed(encoded(event).replace(b'"UUU"', one)) for one in texts]
        assert plain_rows(made) == list(range(len(self.PLAIN)))

    def test_with_the_same_key_are_not_taken_for_one_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(columns, "url_key", lambda _: 7)
        made = [encoded(attrs.evolve(ENDED, results_url=url)) for url in ("a", "b", None, "a")]
        assert plain_rows(made) == [0, 2, 3]

    def test_have_a_key_that_is_never_0(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert url_key("") != 0
        assert url_key("a") != url_key("b")

        class Zeros:
            def digest(self) -> bytes:
                return bytes(8)

        monkeypatch.setattr(columns, "blake2b", lambda *_, **__: Zeros())
        assert url_key("") == 1


class TestIds:
    """A batch id stands four or five times in its line: the same each time."""

    @pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 16, 17, 63, 64])
    def test_are_the_same_to_the_last_byte(self, size: int) -> None:
        line = encoded(attrs.evolve(CREATED, id="m" * size), 1, "m" * size)
        text, before = b"m" * size, (b'"id":"', b"batches/", b'"subject":"')
        starts = [at for at in range(len(line)) if line[:at].endswith(before) and line[at:].startswith(text)]
        assert len(starts) == 4
        made = [line]
        for start in starts:
            for at in {start, start + size // 2, start + size - 1}:
                made += [summed(line[:at] + bytes([other]) + line[at + 1 :]) for other in b"n\0\xed\xffl"]
        assert plain_rows(made) == [0]

    def test_longer_than_columns_hold_are_left_to_the_wire(self) -> None:
        assert plain_rows([encoded(REPEATED, 1, "m" * size) for size in (0, 64, 65, 66, 128, 800)]) == [1]
        assert ID_WORDS == 8

    @pytest.mark.parametrize(
        "batch_id", ["", "a b", 'a"b', "a\\b", "a/b", "a%b", "é", "a\0", "\x7f", "a\n", "a\0b", "\u2028"]
    )
    def test_are_usual_only_if_they_stand_as_they_are(self, batch_id: str) -> None:
        ids = np.frombuffer(batch_id.encode().ljust(8, b"\0"), "<u8").reshape(1, 1)
        assert columns.usual_ids(ids).tolist() == [batch_id == "a\0"]  # which looks like `a` here
        assert plain_rows([encoded(REPEATED, 1, batch_id)]) == []

    def test_with_a_nul_behind_are_not_those_without(self) -> None:
        for size in (1, 3, 8, 16):
            line = encoded(REPEATED, 1, "m" * size).replace(b"m" * size, b"m" * (size - 1) + b"\0")
            assert not scan(block_of([summed(line)])).plain.any()

    def test_have_keys(self) -> None:
        keys = {key_of(b"m" * size) for size in range(65)} | {key_of(b"m%d" % number) for number in range(1000)}
        assert len(keys) == 1065


class TestContents:
    """32 bits of a hash of what each of some events says."""

    def test_are_those_of_the_event(self) -> None:
        lines = list(map(encoded, EVENTS))
        found = scan(block_of(lines))
        assert found.plain.all()
        rows = np.arange(len(lines))[::-1]
        expected = [content_of(wire.decode_entry(line, wire.MAX_BYTES)[3]) for line in lines]
        assert found.content(rows).tolist() == expected[::-1]
        assert expected == list(map(content_of, EVENTS))
        assert len(set(expected)) == len(expected)

    def test_differ_where_anything_does(self) -> None:
        made: list[Any] = list(EVENTS)
        event: Any
        others: list[Any]
        for event in EVENTS:
            for field in attrs.fields(type(event)):
                value = getattr(event, field.name)
                match value:
                    case datetime():
                        others = [value + timedelta(microseconds=1), value - 50 * DAY]
                    case lc.RequestCounts():
                        counts: Any = value
                        others = [attrs.evolve(counts, **{name: 70}) for name in COUNTS]
                    case int():
                        others = [value + 1, 0]
                    case _:
                        others = [f"{value}/", ""] if field.name == "results_url" else []
                made += [attrs.evolve(event, **{field.name: other}) for other in others]
        made = [attrs.evolve(one, id="x") if isinstance(one, lc.Created) else one for one in made]
        assert len(set(map(content_of, made))) == len(set(made)) > 50

    def test_cannot_be_foreseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or a log could be written in which another event passes for a repeat (rule L4)."""
        done = np.arange(400_000)
        counts: Any = dict(zip(COUNTS, np.random.default_rng(1).integers(0, LARGEST, (5, len(done))), strict=True))
        found = scan(block_of([]))
        found.tag, found.counts = np.full(len(done), TAGS.index("counts_updated")), counts
        found.at = found.expires_at = np.full(len(done), NULL)
        found.url = np.zeros(len(done), np.uint64)
        content = found.content(done)
        values, times_ = np.unique(content, return_counts=True)
        pairs = [np.flatnonzero(content == value) for value in values[times_ == 2]]
        assert len(pairs) > 1  # about 18 are to be expected
        others = np.random.default_rng(2).integers(0, 2**64 - 1, len(columns._KEYS), np.uint64)
        monkeypatch.setattr(columns, "_PAIRS", others[1:].reshape(-1, 2).tolist())
        assert any(len(set(found.content(pair).tolist())) == 2 for pair in pairs)

    def test_are_none_if_a_number_is_larger_than_columns_hold(self) -> None:
        assert content_of(lc.CountsUpdated(lc.RequestCounts(0, 0, 0, 0, LARGEST))) >= 0
        for event in (
            attrs.evolve(CREATED, request_count=LARGEST + 1),
            lc.CountsUpdated(lc.RequestCounts(0, 0, 0, 0, LARGEST + 1)),
            attrs.evolve(ENDED, request_counts=lc.RequestCounts(2**63 - 1)),
        ):
            assert content_of(event) == -1


class TestBlocks:
    """Whole lines of a file, as bytes."""

    @pytest.mark.parametrize("ends", [b"", b"\n", b"\n\n\n", b"abcdefg\nab\n", b"abcdefgh\n" * 9, b"x" * 99 + b"\n\n"])
    def test_know_where_their_lines_are(self, ends: bytes) -> None:
        block = Block(ends[:3], ends[3:5], ends[5:])
        assert [block.line(row) for row in range(len(block.ends))] == ends.split(b"\n")[:-1]

    def test_may_be_cut_anywhere(self) -> None:
        data = b"".join(encoded(one) + b"\n" for one in EVENTS)
        whole = scan(Block(data))
        for at in range(0, len(data), 97):
            found = scan(Block(data[:at], data[at : at + 5], data[at + 5 :]))
            assert (found.plain == whole.plain).all()
            assert (found.content(np.arange(10)) == whole.content(np.arange(10))).all()


def test_an_older_numpy_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(np, "bitwise_count")
    monkeypatch.delitem(sys.modules, columns.__name__)
    with pytest.raises(ImportError, match="NumPy 2"):
        importlib.import_module(columns.__name__)


@pytest.mark.usefixtures("children_are_measured")
@pytest.mark.parametrize("module", ["isal", "zlib"])
def test_the_sums_are_the_same_from_whichever_library_is_there(module: str) -> None:
    code = (
        "import sys, zlib\n"
        f"if {module!r} == 'zlib':\n"
        "    sys.modules['isal'] = None\n"
        "from lifecycle import columns\n"
        f"assert columns.crc32.__module__.startswith({module!r}), columns.crc32.__module__\n"
        "assert columns.Block(b'line' + b'x' * 20 + b'\\n').sums().tolist() == [zlib.crc32(b'line}')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
