"""Records as columns: exactly those of a line, and nothing is taken for a record that no line could say."""

from datetime import UTC, datetime
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

import lifecycle as lc
from lifecycle import log, testing
from lifecycle.columns import content_of, key_of
from lifecycle.engines import columns
from tests.lives import CREATED, DAY, ENDED, LIFE, URL, T, records

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
MANY = 2**63 - 1
ODD = ["", "'", '"', "\0", "a\0", "a\nb", "\x1b[31m", "漢字 é", "\u202e", "\U0001f600", "%41", "x" * 100_000]

EXTREMES = [
    lc.Record("a", 0, lc.Created("a", FIRST, LAST, MANY), "", FIRST),
    lc.Record("a", MANY, lc.Ended(LAST, lc.RequestCounts(MANY, 0, MANY, 0, 1), None), "é", LAST),
    lc.Record("a", 7, lc.Archived(FIRST, ""), "x", datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    *(lc.Record(odd, 1, lc.Created(odd, T, T + DAY, 4), f"{odd}!", T) for odd in ODD),
]


def table(*found: lc.Record) -> pa.RecordBatch:
    """What a file has of records."""
    return columns.stored(columns.from_rows(columns.row(record, line) for line, record in enumerate(found, 1)))


def changed(**values: Any) -> pa.RecordBatch:
    """The six records of a life as a file has them, with other columns."""
    batch = table(*records())
    return pa.RecordBatch.from_pydict(dict(zip(batch.schema.names, batch.columns, strict=True)) | values)


def put(name: str, row: int, value: Any, type_: Any = None) -> pa.RecordBatch:
    """The same with another value at one place."""
    column = table(*records()).column(name)
    held = column.to_pylist()
    held[row] = value
    return changed(**{name: pa.array(held, type_ or column.type)})


def taken(batch: pa.RecordBatch) -> tuple[list[lc.Record], list[columns.Refused]]:
    held, refused = columns.structured(batch, np.arange(1, batch.num_rows + 1))
    found = columns.records(held, "file")
    rows = [row for row in range(batch.num_rows) if row not in dict(refused)]
    screened(batch, dict(zip(rows, found, strict=True)))
    return found, refused


def screened(batch: pa.RecordBatch, found: dict[int, lc.Record]) -> list[int]:
    """The rows that are plain; what is known of them is held against the records."""
    plain: set[tuple[int, ...]] = set()
    later = (
        pa.Table.from_batches([batch] * 2).combine_chunks().to_batches()[0].slice(batch.num_rows) if found else batch
    )
    for each in (batch, encoded(batch), encoded(batch, batch.slice(1, 1)), later):
        known = columns.screened(each)
        rows: list[int] = np.flatnonzero(known.plain).tolist()
        plain.add(tuple(rows))
        assert known.content(np.array(rows, int)).tolist() == [content_of(found[row].event) for row in rows]
        for row in rows:
            record, name = found[row], row if known.name is None else int(known.name[row])
            batch_id = known.ids[name].tobytes().rstrip(b"\0")
            assert (batch_id.decode(), known.version[row]) == (record.batch_id, record.version)
            assert record.event_id == f"{record.batch_id}/{record.version}"
            assert known.key[name] == key_of(batch_id)
            assert not isinstance(record.event, lc.Created) or record.event.id == record.batch_id
    assert len(plain) == 1
    return list(plain.pop())


def encoded(batch: pa.RecordBatch, *more: pa.RecordBatch) -> pa.RecordBatch:
    """As it is read from a file, with the ids of *more* in its dictionary."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name in ("batch_id", "event"):
        held = [each.column(name) for each in (batch, *more)]
        if not pa.types.is_dictionary(held[0].type) and not pa.types.is_string_view(held[0].type):
            arrays[name] = pa.concat_arrays(held).dictionary_encode().slice(0, batch.num_rows)
    return pa.RecordBatch.from_pydict(arrays)


class TestSchema:
    def test_the_columns_are_those_that_are_stored_for_ever(self) -> None:
        text, whole, time = pa.string(), pa.int64(), pa.timestamp("us", "UTC")
        assert [(field.name, field.type, field.nullable) for field in columns.SCHEMA] == [
            ("batch_id", text, False),
            ("version", whole, False),
            ("event_id", text, False),
            ("recorded_at", time, False),
            ("event", text, False),
            ("id", text, True),
            ("created_at", time, True),
            ("expires_at", time, True),
            ("request_count", whole, True),
            *((name, whole, True) for name in ("processing", "succeeded", "errored", "canceled", "expired")),
            ("cancel_initiated_at", time, True),
            ("ended_at", time, True),
            ("results_url", text, True),
            ("archived_at", time, True),
            ("deleted_at", time, True),
        ]

    @pytest.mark.parametrize(
        "batch",
        [
            changed(processing=pa.array([0] * 6, pa.uint64())),
            changed(processing=pa.array([0.0] * 6)),
            changed(processing=pa.array([True] * 6)),
            changed(recorded_at=pa.array([T.replace(tzinfo=None)] * 6, pa.timestamp("us"))),
            changed(recorded_at=pa.array(["2025-01-29T14:24:59Z"] * 6)),
            changed(batch_id=pa.array([b"a"] * 6)),
            changed(batch_id=pa.array([b"a"] * 6).dictionary_encode()),
            changed(deleted_at=pa.array([T.date()] * 6)),
            changed(total=pa.array([1] * 6)),
            changed().drop_columns(["deleted_at"]),
            pa.RecordBatch.from_arrays([*changed().columns, pa.nulls(6)], [*columns.SCHEMA.names, "event"]),
        ],
    )
    def test_other_columns_are_a_misfit(self, batch: pa.RecordBatch) -> None:
        assert columns.misfit(batch.schema) is not None

    @pytest.mark.parametrize(
        ("name", "type_"),
        [
            *(("version", pa.type_for_alias(name)) for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")),
            *(("batch_id", type_) for type_ in (pa.large_string(), pa.string_view())),
            *(("event", pa.dictionary(pa.int8(), type_)) for type_ in (pa.string(), pa.large_string())),
            *(("recorded_at", pa.timestamp(unit, "UTC")) for unit in ("us", "ns")),
            ("recorded_at", pa.timestamp("us", "Europe/Berlin")),
            *(("deleted_at", pa.timestamp(unit, "UTC")) for unit in ("s", "ms")),
        ],
    )
    def test_another_type_will_do_if_nothing_is_lost(self, name: str, type_: Any) -> None:
        found = records(
            tuple(
                attrs.evolve(e, deleted_at=T.replace(microsecond=0)) if isinstance(e, lc.Deleted) else e for e in LIFE
            )
        )
        batch = table(*found)
        place = batch.schema.names.index(name)
        column = batch.column(name).dictionary_encode() if pa.types.is_dictionary(type_) else batch.column(name)
        narrow = pa.RecordBatch.from_arrays(
            [column.cast(type_) if each == place else held for each, held in enumerate(batch.columns)],
            batch.schema.names,
        )
        assert narrow.schema.field(name).type == type_
        assert columns.misfit(narrow.schema) is None
        assert taken(narrow) == (found, [])
        assert screened(narrow, dict(enumerate(found))) == [0, 1, 2, 3, 4, 5]

    def test_a_column_without_values_may_be_null_and_columns_may_stand_anywhere(self) -> None:
        batch = table(*records()[:4])
        kept = {name: batch.column(name) for name in reversed(batch.schema.names)}
        kept |= {"archived_at": pa.nulls(4), "deleted_at": pa.nulls(4)}
        found = pa.RecordBatch.from_pydict(kept)
        assert columns.misfit(found.schema) is None
        assert taken(found) == (records()[:4], [])


class TestRows:
    def test_records_come_back_as_they_were(self) -> None:
        found = [*records(), *EXTREMES]
        back, refused = taken(table(*found))
        assert (back, refused) == (found, [])
        assert [record.place for record in back] == [("file", line) for line in range(1, len(found) + 1)]
        assert {type(record.event) for record in back} == {type(event) for event in LIFE}
        assert all(record.recorded_at.tzinfo is UTC for record in back)

    @settings(max_examples=settings().max_examples // 5)
    @given(testing.logs(repeats=True))
    def test_so_do_those_of_any_log(self, found: tuple[lc.Record, ...]) -> None:
        assert taken(table(*found)) == (list(found), [])

    def test_no_rows_are_no_records(self) -> None:
        assert taken(table()) == ([], [])

    @pytest.mark.parametrize(
        ("batch", "row", "path"),
        [
            *((put(name, 3, None), 3, name) for name in columns.ENVELOPE),
            *((put(name, 0, None), 0, name) for name in ("id", "created_at", "expires_at", "request_count")),
            *((put(name, 1, None), 1, name) for name in ("processing", "succeeded", "errored", "canceled", "expired")),
            (put("cancel_initiated_at", 2, None), 2, "cancel_initiated_at"),
            (put("ended_at", 3, None), 3, "ended_at"),
            (put("processing", 3, None), 3, "processing"),
            (put("archived_at", 4, None), 4, "archived_at"),
            (put("deleted_at", 5, None), 5, "deleted_at"),
            (put("id", 1, "msgbatch_01"), 1, "id"),
            (put("processing", 0, 0), 0, "processing"),
            (put("results_url", 0, URL), 0, "results_url"),
            (put("deleted_at", 4, T), 4, "deleted_at"),
            (put("event", 1, "counts_update"), 1, "event"),
            (put("event", 1, ""), 1, "event"),
            (put("version", 1, -1), 1, "version"),
            (put("request_count", 0, -(2**63)), 0, "request_count"),
            (put("errored", 1, -1), 1, "errored"),
            (put("recorded_at", 1, -62_135_596_800_000_001), 1, "recorded_at"),
            (put("deleted_at", 5, 253_402_300_800_000_000), 5, "deleted_at"),
            (put("deleted_at", 5, 253_402_300_800_000, pa.timestamp("ms", "UTC")), 5, "deleted_at"),
            (put("deleted_at", 5, -62_135_596_801, pa.timestamp("s", "UTC")), 5, "deleted_at"),
            (put("deleted_at", 5, 2**62, pa.timestamp("s", "UTC")), 5, "deleted_at"),
            (put("deleted_at", 5, 1_001, pa.timestamp("ns", "UTC")), 5, "deleted_at"),
            (put("deleted_at", 5, -1, pa.timestamp("ns", "UTC")), 5, "deleted_at"),
        ],
    )
    def test_a_row_that_no_line_could_say_is_refused_and_no_other(
        self, batch: pa.RecordBatch, row: int, path: str
    ) -> None:
        found, refused = taken(batch)
        assert [(number, [name for name, _ in problems]) for number, problems in refused] == [(row, [f"$.{path}"])]
        assert [record.version for record in found] == [version for version in range(1, 7) if version != row + 1]

    def test_an_unknown_event_is_told_alone(self) -> None:
        [(_, problems)] = taken(put("event", 3, "vanished"))[1]
        assert problems == (
            (
                "$.event",
                'expected one of created, counts_updated, cancel_initiated, ended, archived, deleted, got "vanished"',
            ),
        )

    def test_all_that_is_wrong_with_a_row_is_told(self) -> None:
        batch = put("event_id", 1, None)
        place = batch.schema.names.index("processing")
        batch = batch.set_column(place, "processing", pa.array([5, -3, None, 0, None, None]))
        assert dict(taken(batch)[1]) == {
            0: (("$.processing", "created has no such field"),),
            1: (("$.event_id", "missing"), ("$.processing", f"expected a number from 0 to {MANY}, got -3")),
        }

    @pytest.mark.parametrize("name", ["batch_id", "event_id", "event", "id"])
    def test_text_has_to_be_utf8(self, name: str) -> None:
        held = [None if value is None else value.encode() for value in changed().column(name).to_pylist()]
        held[0] = b"\xed\xa0\x80"  # a lone surrogate, written as if it were a character
        bad = pa.array(held, pa.binary())
        column = pa.Array.from_buffers(pa.string(), len(bad), bad.buffers(), bad.null_count)
        found, refused = taken(changed(**{name: column}))
        assert [record.version for record in found] == [2, 3, 4, 5, 6]
        assert refused == [(0, ((f"$.{name}", "expected text in UTF-8"),))]


class TestPlainRows:
    """What is known of most rows without a look at each."""

    def test_are_those_of_usual_records_and_no_others(self) -> None:
        odd = [
            lc.Record("a", 1, lc.CountsUpdated(lc.RequestCounts(10_000_000)), None, T),
            lc.Record("a", 10_000_000, lc.CountsUpdated(lc.RequestCounts(1)), None, T),
            lc.Record("a", 2, lc.CountsUpdated(lc.RequestCounts(1)), "a/02", T),
            lc.Record("a" * 65, 1, lc.CountsUpdated(lc.RequestCounts(1)), None, T),
        ]
        found = [*records(), *odd, *records()]
        assert screened(table(*found), dict(enumerate(found))) == [*range(6), *range(10, 16)]

    def test_may_have_any_url_in_utf8(self) -> None:
        found = records((*LIFE[:3], attrs.evolve(ENDED, results_url="https://x/é\n"), *LIFE[4:]))
        assert screened(table(*found), dict(enumerate(found))) == [0, 1, 2, 3, 4, 5]
        column = table(*found).column("results_url")
        bad = pa.Array.from_buffers(
            pa.string(),
            6,
            [*column.buffers()[:2], pa.py_buffer(column.buffers()[2].to_pybytes().replace(b"\xa9", b"y"))],
        )
        refused = changed(results_url=bad)
        assert screened(refused, dict(enumerate(records()))) == [0, 1, 2, 4, 5]

    def test_are_none_where_a_column_that_all_have_is_empty(self) -> None:
        for name in columns.ENVELOPE:
            assert screened(changed(**{name: pa.nulls(6, pa.string() if name == "event" else None)}), {}) == []

    @pytest.mark.parametrize("ids", [[None, "x"], ["msgbatch_01", None], ["a", "b", "c", "d", "e", "f", "g"]])
    def test_may_have_any_dictionary_of_ids(self, ids: list[str | None]) -> None:
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, 1, 1, 1]), pa.array(ids))
        batch = changed(batch_id=column)
        found = columns.records(columns.structured(batch, np.arange(6))[0], "file")
        kept = [row for row in range(6) if batch.column("batch_id").to_pylist()[row] is not None]
        known = columns.screened(batch)
        assert [found[kept.index(row)].batch_id for row in np.flatnonzero(known.plain).tolist()] == [
            one for one in ["msgbatch_01"] if one in ids
        ]

    @pytest.mark.parametrize("type_", [pa.int8(), pa.uint8(), pa.int32()])
    def test_may_have_any_dictionary_of_events(self, type_: Any) -> None:
        tags = [f"x{number}" for number in range(200 if type_ != pa.int8() else 100)] + changed().column(
            "event"
        ).to_pylist()
        codes = pa.array(range(len(tags) - 6, len(tags)), type_)
        batch = changed(event=pa.DictionaryArray.from_arrays(codes, pa.array(tags)))
        assert taken(batch) == (records(), [])
        assert screened(batch, dict(enumerate(records()))) == [0, 1, 2, 3, 4, 5]

    def test_have_a_tag_even_if_what_is_null_looks_like_one(self) -> None:
        tags = pa.array(changed().column("event").to_pylist())
        bits = pa.py_buffer(np.packbits([0, 1, 1, 1, 1, 1], bitorder="little"))
        null = pa.Array.from_buffers(tags.type, 6, [bits, *tags.buffers()[1:]])
        batch = changed(event=pa.DictionaryArray.from_arrays(pa.array(range(6), pa.int8()), null))
        assert columns.screened(batch).plain.tolist() == [False, True, True, True, True, True]
        assert [row for row, _ in columns.structured(batch, np.arange(6))[1]] == [0]


class TestBlocks:
    def test_long_texts_make_small_blocks(self) -> None:
        found = [lc.Record("a" * 1_000_000, version, CREATED, "e", T) for version in range(1, 13)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "BYTES", 5_000_000)
            blocks = list(columns.of_records(attrs.evolve(record, place=("store", 1)) for record in found))
        assert [batch.num_rows for batch, _ in blocks] == [2] * 6

    def test_refused_lines_come_with_the_rows_around_them(self, tmp_path: Any) -> None:
        path = tmp_path / "log.jsonl"
        log.append(path, records())
        path.write_bytes(b"{}\n" + path.read_bytes() + b"\n[]\nto")
        [(batch, refused)] = columns.of_lines(log.read(path))
        assert [(error.path, error.line) for error in refused] == [(str(path), 1), (str(path), 9)]
        assert columns.records(batch, str(path)) == records()
        assert batch.column("line").to_pylist() == [2, 3, 4, 5, 6, 7]

    def test_an_empty_log_has_none(self, tmp_path: Any) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"")
        assert list(columns.of_lines(log.read(path))) == []
