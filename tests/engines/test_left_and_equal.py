"""What makes two ways of judging differ, if they are made without care: equal hashes, and reading that is left."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import numpy as np
import pyarrow.parquet as pq
import pytest

import lifecycle as lc
import lifecycle.columns
from lifecycle.batch import EPOCH
from lifecycle.engines import columns, parquet
from lifecycle.replaying import Reducer
from tests.lives import DELETED, ENDED, LIFE
from tests.test_screening import life, lines, outcome, record


def test_content_cannot_be_made_to_collide_without_knowing_the_salt() -> None:
    flip = 0x7F << 57
    flip ^= flip >> 29
    number = np.random.default_rng(5)
    last, first, tried, same = 253402300799999999, -62135596800000000, 0, 0

    def created(at: int, expires_at: int) -> lc.Created:
        micro = timedelta(microseconds=1)
        return lc.Created("x", EPOCH + at * micro, EPOCH + expires_at * micro, 4)

    while tried < 2000:
        at, expires_at = int(number.integers(0, last - (1 << 57))), int(number.integers(first, 0))
        other = (expires_at & (2**64 - 1)) ^ flip
        other -= (other >> 63) << 64
        if not first <= other <= last:
            continue
        tried += 1
        one, two = created(at, expires_at), created(at ^ 1 << 57, other)
        same += lifecycle.columns.content_of(one) == lifecycle.columns.content_of(two)
    assert same == 0


def test_a_reducer_whose_run_was_left_can_be_finished(tmp_path: Path) -> None:
    odd = [attrs.evolve(one, event_id=f"e{one.version}") for one in life("odd")]
    parquet.write(tmp_path / "a", [record("zz", 1, DELETED), *life("x"), *life("y"), *odd])
    reducer = Reducer(lc.LAWS)
    found = reducer.run(parquet.Reading(tmp_path / "a"))
    assert next(found).rule.id == "L1"
    found.close()  # type: ignore[attr-defined] # a generator
    reducer.finish()


def test_two_may_read_a_reading_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_AT_ONCE", 3)
    monkeypatch.setattr(columns, "ROWS", 3)
    parquet.write(tmp_path / "a", [one for name in "xyz" for one in life(name, (*LIFE, DELETED))])
    reading = parquet.Reading(tmp_path / "a")
    found = zip(lc.audit(reading), lc.audit(reading), strict=True)
    assert [(one.line, other.line) for one, other in found] == [(7, 7), (14, 14), (21, 21)]


def test_urls_with_the_same_key_in_a_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle.columns, "url_key", lambda _: 1)
    other = attrs.evolve(ENDED, results_url="https://elsewhere/")
    path = tmp_path / "a"
    path.write_bytes(lines([*life("x", LIFE[:4]), *life("y", LIFE[:3]), record("x", 4, other)]))
    assert outcome([path], lc.LAWS, 900)[0] == outcome([path], lc.LAWS)[0]


def test_a_reducer_may_run_over_one_log_after_the_other(tmp_path: Path) -> None:
    parquet.write(tmp_path / "a", life("x")[:3])
    parquet.write(tmp_path / "b", life("x")[3:])
    reducer = Reducer(lc.LAWS)
    assert [one for name in "ab" for one in reducer.run(parquet.Reading(tmp_path / name))] == []


@pytest.mark.parametrize("at_once", [500, 1000, 1 << 16])
def test_what_stands_before_a_bad_page_is_told(at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS", 500)  # of what is read at once, nothing is told
    monkeypatch.setattr(parquet, "_AT_ONCE", at_once)
    path = tmp_path / "a"
    parquet.write(path, [one for number in range(400) for one in life(f"b{number}", (*LIFE, DELETED))])
    pages = {"data_page_size": 4000, "write_batch_size": 100, "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pq.read_table(path), path, **pages)
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    body = bytearray(path.read_bytes())
    body[column.data_page_offset + column.total_compressed_size * 9 // 10] ^= 1
    path.write_bytes(body)

    def told(records: Iterable[lc.Record | lc.LogError]) -> Iterator[lc.Finding | None]:
        try:
            yield from lc.audit(records)
        except lc.LogError:
            yield None

    found = list(told(parquet.Reading(path)))
    assert found == list(told(iter(parquet.Reading(path))))
    assert found[-1] is None
    assert len(found) > 100
