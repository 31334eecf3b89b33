"""Logs as Parquet: the same bytes again, and a clear word where a file is none."""

import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

import lifecycle as lc
import lifecycle.columns
from lifecycle import log, testing, wire
from lifecycle.engines import columns, is_parquet, parquet
from lifecycle.replaying import Reducer
from tests.engines.test_columns import EXTREMES, changed, put, table
from tests.lives import CREATED, DELETED, ENDED, LIFE, T, records
from tests.test_screening import LOGS, UUIDS, life, lines, turns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.parquet"


def test_lines_come_back_to_the_byte(path: Path) -> None:
    found = [*records(), *EXTREMES]
    parquet.write(path, found)
    assert is_parquet(str(path))
    assert [wire.encode_record(record) for record in parquet.read(path)] == list(map(wire.encode_record, found))
    assert [record.place for record in parquet.read(path)] == [(str(path), row) for row in range(1, len(found) + 1)]


@settings(max_examples=settings().max_examples // 10)
@given(found=testing.logs(repeats=True))
def test_so_do_those_of_any_log(tmp_path_factory: pytest.TempPathFactory, found: tuple[lc.Record, ...]) -> None:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    parquet.write(path, found)
    assert list(parquet.read(path)) == list(found)


def test_long_files_have_many_groups_and_rows_are_counted_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP", 4)
    monkeypatch.setattr(columns, "ROWS", 3)
    found = records() * 3
    parquet.write(path, found)
    assert pq.ParquetFile(path).metadata.num_row_groups == 5
    assert [record.place for record in parquet.read(path)] == [(str(path), row) for row in range(1, 19)]
    reading = parquet.Reading(path)
    assert (reading.rows, reading.bytes_read) == (18, 0)
    assert [record for record in reading if isinstance(record, lc.Record)] == found
    assert reading.bytes_read == path.stat().st_size
    assert reading.groups == [4, 4, 4, 4, 2]
    some = [batch.column("line").to_pylist() for batch, _ in reading.blocks(groups=range(1, 3))]
    assert some == [[5, 6, 7], [8], [9, 10, 11], [12]]


def test_no_records_are_a_log_too(path: Path) -> None:
    parquet.write(path, [])
    assert list(parquet.read(path)) == []
    assert parquet.Reading(path).bytes_read == 0


class TestRefusedRows:
    def test_they_stand_where_they_are_in_the_file(self, path: Path) -> None:
        batch = put("event_id", 0, None)
        place = batch.schema.names.index("processing")
        batch = batch.set_column(place, "processing", pa.array([None, -3, None, 0, None, 1]))
        pq.write_table(pa.Table.from_batches([batch]), path)
        found = list(parquet.Reading(path))
        assert [one.line if isinstance(one, lc.LogError) else one.version for one in found] == [1, 2, 3, 4, 5, 6]
        assert [isinstance(one, lc.LogError) for one in found] == [True, True, False, False, False, True]
        assert isinstance(found[1], lc.LogError)
        assert found[1].problems == (("$.processing", f"expected a number from 0 to {2**63 - 1}, got -3"),)
        assert found[1].path == str(path)

    def test_reading_raises_at_the_first_or_tells_of_each(self, path: Path) -> None:
        pq.write_table(pa.Table.from_batches([put("version", 2, -1)]), path)
        reading = parquet.read(path)
        assert [next(reading).version for _ in "12"] == [1, 2]
        with pytest.raises(lc.LogError) as caught:
            next(reading)
        assert caught.value.line == 3
        told: list[lc.LogError] = []
        assert [record.version for record in parquet.read(path, on_error=told.append)] == [1, 2, 4, 5, 6]
        assert [error.line for error in told] == [3]


def reports(path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...] = (3, 1 << 16)) -> lc.Report:
    """Hold what comes of rows as columns, so many at a time, against what comes of the records; and give it."""
    expected = lc.replay(list(parquet.Reading(path)), profile=lc.HOSTED)
    for jobs, size in enumerate(sizes, 1):
        monkeypatch.setattr(parquet, "_AT_ONCE", size)
        monkeypatch.setattr(columns, "ROWS", size)
        found = lc.replay(parquet.Reading(path), profile=lc.HOSTED, jobs=jobs)
        assert found == expected
        assert (list(found.batches), list(found.versions)) == (list(expected.batches), list(expected.versions))
    return expected


def stored(path: Path, text: bytes) -> Path:
    """The records among some lines, as a file."""
    written = path.with_name("log.jsonl")
    written.write_bytes(text)
    parquet.write(path, log.read(written, on_error=lambda _: None))
    return path


class TestRowsAsColumns:
    """Whatever a file is, the report is that of its records, one by one."""

    @pytest.mark.parametrize("name", LOGS)
    def test_hostile_logs(self, path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        reports(stored(path, LOGS[name]), monkeypatch)

    @pytest.mark.parametrize("last", ["01", "0", "10000000", "", "2x", "99999999", "4294967298"])
    def test_event_ids_that_only_look_like_the_usual(
        self, path: Path, last: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = [attrs.evolve(one, event_id=f"x/{last}" if one.version == 2 else None) for one in life("x")]
        parquet.write(path, [*odd, *life("x"), *life("y")])
        reports(path, monkeypatch)

    def test_what_is_plainly_legal_never_comes_to_the_reducer(self, path: Path) -> None:
        odd = life("faulty", (*LIFE, DELETED))
        parquet.write(path, [*life("x"), *odd, *life("msgbatch_" * 5), *life("7")])
        reducer = Reducer(lc.HOSTED)
        assert [finding.rule.id for finding in reducer.run(parquet.Reading(path))] == ["T1"]
        assert list(reducer.streams) == ["faulty"]
        assert (reducer.totals().streams, reducer.totals().events) == (4, 25)

    def test_refused_rows_are_findings_where_they_stand(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = put("event_id", 0, None)
        place = batch.schema.names.index("processing")
        batch = batch.set_column(place, "processing", pa.array([None, -3, None, 0, None, 1]))
        batches = [batch, table(*life("x")).cast(batch.schema)]
        pq.write_table(pa.Table.from_batches(batches), path)
        found = reports(path, monkeypatch, (1, 2, 3, 20))
        assert [(one.line, one.rule.id) for one in found.findings[:3]] == [(1, "wire"), (2, "wire"), (3, "L1")]

    def test_only_refused_rows(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = put("event_id", 0, None)
        pq.write_table(pa.Table.from_batches([batch.slice(0, 1)] * 3), path)
        assert len(reports(path, monkeypatch).findings) == 3

    def test_a_log_with_other_event_ids_is_the_reducers(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        parquet.write(path, [*UUIDS, *life("x"), *UUIDS])
        assert len(reports(path, monkeypatch).batches) == 2

    def test_batches_whose_keys_are_the_same(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle.columns, "_mixed", lambda _, word: np.full(len(word), 7, np.uint64))
        lives = [list(map(wire.encode_record, life("b" * size))) for size in (8, 1, 16, 9, 64, 63, 8)]
        reports(stored(path, turns(*[[one + b"\n" for one in each] for each in lives])), monkeypatch)

    def test_an_id_that_stands_twice_in_a_dictionary(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        parquet.write(path, [*life("x"), *life("y"), *life("x")[:2]])
        as_written = parquet.Reading.stored

        def stored(reading: parquet.Reading, rows: int, **more: Any) -> Iterator[tuple[int, pa.RecordBatch]]:
            for first, batch in as_written(reading, rows, **more):
                column = batch.column("batch_id")
                indices = column.indices.to_numpy() + len(column.dictionary) * (np.arange(len(column)) % 2)
                twice = pa.concat_arrays([column.dictionary] * 2)
                yield first, batch.set_column(0, "batch_id", pa.DictionaryArray.from_arrays(pa.array(indices), twice))

        monkeypatch.setattr(parquet.Reading, "stored", stored)
        reports(path, monkeypatch)

    @pytest.mark.parametrize("type_", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
    def test_texts_of_another_type(self, path: Path, type_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = table(*life("x", (*LIFE, DELETED)), *life("y"))
        for name in ("batch_id", "event_id", "id", "results_url"):
            column = batch.column(name)
            held = column.dictionary_encode().cast(type_) if pa.types.is_dictionary(type_) else column.cast(type_)
            batch = batch.set_column(batch.schema.get_field_index(name), name, held)
        parquet.write(path, [*life("x"), *life("y")])
        # Not every version of pyarrow writes all of them.
        monkeypatch.setattr(parquet, "_group", lambda *_, **__: iter([batch]))
        assert [one.rule.id for one in reports(path, monkeypatch).findings] == ["T1"]

    def test_ids_that_are_no_dictionary_are_judged_as_columns_too(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch = table(*life("x"), *life("y"))
        monkeypatch.setattr(parquet, "_group", lambda *_, **__: iter([batch.slice(0, 8), batch.slice(8)]))
        parquet.write(path, [*life("x"), *life("y")])
        reducer = Reducer(lc.HOSTED)
        assert list(reducer.run(parquet.Reading(path))) == []
        assert (reducer.streams, reducer.totals().events) == ({}, 12)

    @pytest.mark.parametrize("name", ["batch_id", "event"])
    @pytest.mark.parametrize("place", [-1, 2, 127])
    def test_a_place_that_its_dictionary_does_not_have(
        self, path: Path, name: str, place: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch = table(*life("x")[:1], *life("y")[:2])
        codes = pa.DictionaryArray.from_arrays(
            pa.array([0, None, place], pa.int8()), pa.array(["x", "created"]), safe=False
        )
        broken = batch.set_column(batch.schema.get_field_index(name), name, codes)
        parquet.write(path, life("x"))
        monkeypatch.setattr(parquet, "_group", lambda *_, **__: iter([broken]))
        for found in (parquet.Reading(path), iter(parquet.Reading(path))):
            with pytest.raises(lc.LogError, match=f"the column {name} names what is not in its dictionary"):
                list(lc.audit(found))

    def test_a_piece_is_no_longer_than_it_has_to_be(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        parquet.write(path, [*life("x"), *life("y"), *life("z")])
        _, batch = next(parquet.Reading(path).stored(100))
        monkeypatch.setattr(parquet, "_group", lambda *_, **__: iter([batch] * 5))
        monkeypatch.setattr(columns, "BYTES", batch.nbytes // 4 + 1)
        assert [len(piece) for piece in parquet.Reading(path).pieces()] == [36, 36, 18]

    def test_urls_whose_keys_are_the_same(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle.columns, "url_key", lambda _: 1)
        ended = [attrs.evolve(ENDED, results_url=f"https://x/{number // 2}") for number in range(8)]
        streams = [life(f"b{number}", (*LIFE[:3], one, DELETED)) for number, one in enumerate(ended)]
        reports(stored(path, b"".join(map(lines, streams)) + lines(streams[0]) + lines(streams[2])), monkeypatch)

    def test_several_files_are_one_log(self, path: Path) -> None:
        other = path.with_name("other.parquet")
        parquet.write(path, life("x")[:3])
        parquet.write(other, [*life("x")[3:], *life("y")[1:]])
        found = parquet.Log([parquet.Reading(path), parquet.Reading(other)])
        assert [one.version for one in found if isinstance(one, lc.Record)] == [1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6]
        assert [(one.file, one.rule.id) for one in lc.audit(found)] == [(str(other), "L1")] * 5
        assert [one.rule.id for one in lc.audit(parquet.Log(found.readings[::-1]))] == ["L1"] * 8

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_a_file_that_breaks_off_has_told_what_stands_before(
        self, path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parquet.write(path, [*life("x", (*LIFE, DELETED)), *life("y")])
        read = parquet.Reading(path)

        def breaking(rows: int, *, threads: bool) -> Iterator[tuple[int, pa.RecordBatch]]:
            yield from parquet.Reading.stored(read, rows, threads=threads)
            raise lc.LogError(str(path), None, "broken")

        monkeypatch.setattr(read, "stored", breaking)
        found = lc.audit(read, jobs=jobs)
        assert next(found).rule.id == "T1"
        with pytest.raises(lc.LogError, match="broken"):
            next(found)

    @pytest.mark.parametrize("leave", [next, list])
    def test_no_thread_is_left(self, path: Path, leave: Callable[[Any], Any]) -> None:
        parquet.write(path, [*life("x", (*LIFE, DELETED)), *life("y")])
        before = threading.active_count()
        found = parquet.Reading(path).pieces(2)
        leave(found)
        found.close()  # type: ignore[attr-defined] # a generator
        assert threading.active_count() == before


class TestRefusedFiles:
    @pytest.mark.parametrize(
        ("batch", "said"),
        [
            (changed(processing=pa.array([0.0] * 6)), "the column processing: expected int64, got double"),
            (
                changed(recorded_at=pa.array([T.replace(tzinfo=None)] * 6)),
                "expected timestamp[us, tz=UTC], got timestamp[us]",
            ),
            (changed(total=pa.nulls(6)), 'the column "total" is unknown'),
            (changed().drop_columns(["event"]), "the column event is missing"),
        ],
    )
    def test_other_columns(self, path: Path, batch: pa.RecordBatch, said: str) -> None:
        pq.write_table(pa.Table.from_batches([batch]), path)
        with pytest.raises(lc.LogError) as caught:
            parquet.Reading(path)
        assert (caught.value.path, caught.value.line) == (str(path), None)
        assert said in caught.value.reason

    @pytest.mark.parametrize("keep", [4, 100, -1])
    def test_a_torn_one(self, path: Path, keep: int) -> None:
        parquet.write(path, records())
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(lc.LogError) as caught:
            parquet.Reading(path)
        assert caught.value.reason.startswith("cannot be read: ")
        assert "\n" not in caught.value.reason

    @pytest.mark.parametrize("name", ["none", "", "\0"])
    def test_none_at_all(self, name: str) -> None:
        with pytest.raises(lc.LogError):
            parquet.Reading(name)

    def test_a_page_that_was_changed(self, path: Path) -> None:
        parquet.write(path, [lc.Record("a", 1, CREATED, f"event {n}", T) for n in range(1000)])
        column = pq.ParquetFile(path).metadata.row_group(0).column(2)
        place = column.data_page_offset + column.total_compressed_size // 2
        body = bytearray(path.read_bytes())
        body[place] ^= 1
        path.write_bytes(body)
        reading = parquet.Reading(path)
        with pytest.raises(lc.LogError):
            list(reading)


class TestWriting:
    def test_where_no_file_can_be(self, tmp_path: Path) -> None:
        with pytest.raises(lc.LogError) as caught:
            parquet.write(tmp_path / "none" / "log.parquet", records())
        assert caught.value.path == str(tmp_path / "none" / "log.parquet")

    @pytest.mark.parametrize(
        "bad",
        [
            lc.Record("a", -1, CREATED, None, T),
            lc.Record("a", 2**63, CREATED, None, T),
            lc.Record("\ud800", 1, CREATED, None, T),
            lc.Record("a", 1, lc.CountsUpdated(lc.RequestCounts(-1)), None, T),
        ],
    )
    def test_a_record_that_no_line_could_say_is_refused_and_the_file_is_none(self, path: Path, bad: lc.Record) -> None:
        with pytest.raises(lc.WireError):
            parquet.write(path, [*records(), bad])
        with pytest.raises(lc.LogError):
            parquet.Reading(path)

    def test_so_is_what_is_no_record(self, path: Path) -> None:
        wrong: Any = "a line"
        with pytest.raises(TypeError):
            parquet.write(path, [wrong])

    def test_a_full_disk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet, "_GROUP", 1000)
        found = [lc.Record("a", n, CREATED, f"{n * 7919 % 100_003:x}", T) for n in range(20_000)]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(lc.LogError) as caught:
                parquet.write(path, found)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert caught.value.reason.startswith("cannot be written: ")


def test_what_is_held_does_not_grow_with_the_texts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BYTES", 100_000)
    parquet.write(path, [lc.Record("a" * 100_000, version, CREATED, None, T) for version in range(20)])
    assert pq.ParquetFile(path).metadata.num_row_groups > 2
    assert table().num_rows == 0
