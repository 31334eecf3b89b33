"""`verify` finds what was changed, lost or moved behind the store's back, and says where."""

import asyncio
import re
import sqlite3
from hashlib import sha256
from itertools import islice, permutations
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import wire
from lifecycle.store import MemoryStore, databases
from lifecycle.store.ledger import Row, chained
from lifecycle.store.sql import AsyncSQLStore, SQLStore
from tests.lives import T
from tests.store.databases import REPEATED, created, damage, fill, life, run

ROW = "stream = 'b' AND version = 2"
OTHER = "'" + "x" * 32 + "'"

# What is done to a store of the streams a, b and c with three events each, and where the damage must be found.
CHANGED = [
    ("UPDATE lifecycle_events SET data = replace(CAST(data AS TEXT), '4', '3'){json} WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET data = replace(CAST(data AS TEXT), '\\:4', '\\: 4'){json} WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET data = NULL WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET data = NULL, digest = {bytes} WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET digest = {bytes} WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET hash = {bytes} WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET event_id = event_id || 'x' WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET recorded_at = replace(recorded_at, '2025', '2024') WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET type = replace(type, 'v1', 'v2') WHERE {row}", "version 2"),
    ("UPDATE lifecycle_events SET position = 99 WHERE {row}", "positions of 9 rows"),
    ("UPDATE lifecycle_events SET position = 99 WHERE {row}", "comes after position 99"),
    ("UPDATE lifecycle_events SET version = 9 WHERE stream = 'b' AND version = 3", "version 9.*after version 2"),
    ("UPDATE lifecycle_events SET stream = 'z' WHERE stream = 'b' AND version = 3", "stream 'z'.*not said"),
    ("DELETE FROM lifecycle_events WHERE {row}", "version 3.*after version 1"),
    ("DELETE FROM lifecycle_events WHERE stream = 'b' AND version = 3", "stream 'b'.*version 3, but it ends"),
    ("DELETE FROM lifecycle_events WHERE stream = 'c' AND version = 3", "stream 'c'.*version 3, but it ends"),
    ("DELETE FROM lifecycle_events WHERE stream = 'b'", "stream 'b': it has no rows"),
    ("DELETE FROM lifecycle_events WHERE stream = 'c'", "stream 'c': it has no rows"),
    ("DELETE FROM lifecycle_events", "stream 'a': it has no rows"),
    ("DELETE FROM lifecycle_streams WHERE stream = 'b'", "stream 'b': it is not said where it stands"),
    ("DELETE FROM lifecycle_streams", "stream 'c': it is not said where it stands"),
    ("UPDATE lifecycle_streams SET version = 2 WHERE stream = 'b'", "stream 'b'.*version 2, but it ends"),
    ("UPDATE lifecycle_streams SET hash = {bytes} WHERE stream = 'b'", "stream 'b'.*version 3, but it ends"),
    ("UPDATE lifecycle_streams SET stream = 'bb' WHERE stream = 'b'", "stream 'bb': it has no rows"),
    ("UPDATE lifecycle_streams SET deleted_at = 'x' WHERE stream = 'b'", "stream 'b': its batch is not"),
    ("UPDATE lifecycle_streams SET batch = NULL WHERE stream = 'b'", "stream 'b': its batch is not"),
    (
        "UPDATE lifecycle_streams SET batch = replace(CAST(batch AS TEXT), '4', '3'){json} WHERE stream = 'b'",
        "stream 'b': its batch is not",
    ),
]


def words(url: str, statement: str) -> str:
    """A statement in the words of a database."""
    sqlite = url.startswith("sqlite")
    return statement.format(
        row=ROW,
        json="" if sqlite else "::json",
        bytes=f"CAST({OTHER} AS BLOB)" if sqlite else f"CAST({OTHER} AS TEXT)::bytea",
    )


@pytest.mark.parametrize(("statement", "found"), CHANGED)
def test_a_change_is_found_at_its_place(statement: str, found: str, url: str) -> None:
    fill(url)
    assert damage(url) == []
    run(url, words(url, statement))
    assert [line for line in damage(url) if re.search(found, line)] != []


def test_rows_that_have_changed_places_are_found(url: str) -> None:
    fill(url)
    move = "UPDATE lifecycle_events SET position = {} WHERE position = {}"
    run(url, move.format(99, 4), move.format(4, 6), move.format(6, 99))
    assert any("order was changed" in line for line in damage(url))


def test_an_illegal_event_with_a_chain_that_fits_is_found(url: str) -> None:
    fill(url, "b", 2)
    row = Row(*run(url, "SELECT * FROM lifecycle_events WHERE version = 2")[0])
    [(first,)] = run(url, "SELECT hash FROM lifecycle_events WHERE version = 1")
    data, type_ = wire.encode_event(lc.Deleted(T)), wire.type_of(lc.Deleted)
    end = chained(first, 2, 2, row.event_id, type_, row.recorded_at, sha256(data).digest())
    run(
        url,
        words(url, "UPDATE lifecycle_events SET type = :type, data = :data, hash = :end WHERE version = 2").replace(
            ":data", "CAST(:data AS TEXT)" if url.startswith("sqlite") else "CAST(:data AS JSON)"
        ),
        "UPDATE lifecycle_streams SET hash = :end",
        type=type_,
        data=data.decode(),
        end=end,
    )
    assert [line for line in damage(url) if "T1: " in line] != []


FORGOTTEN = [
    ("UPDATE lifecycle_events SET digest = {bytes} WHERE version = 3", "version 3.*hash does not fit"),
    ("UPDATE lifecycle_events SET digest = NULL WHERE version = 3", "version 3.*either its data"),
    ("UPDATE lifecycle_events SET data = '{{}}', digest = NULL WHERE version = 3", "version 3.*as a whole"),
    ("UPDATE lifecycle_streams SET batch = '{{}}'", "forgotten, but not its batch"),
    ("UPDATE lifecycle_streams SET deleted_at = ''", "forgotten, but not its batch"),
    ("DELETE FROM lifecycle_events WHERE version = 6", "does not end with deleted"),
]


@pytest.mark.parametrize(("statement", "found"), FORGOTTEN)
def test_a_change_of_what_was_forgotten_is_found(statement: str, found: str, url: str) -> None:
    fill(url, "b", 6)
    with SQLStore(url) as store:
        store.forget("b")
    assert damage(url) == []
    run(url, words(url, statement))
    assert [line for line in damage(url) if re.search(found, line)] != []


@pytest.mark.parametrize("store", [SQLStore, AsyncSQLStore])
def test_a_damaged_file_is_damage_and_no_exception(store: type, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(f"sqlite:///{path}", map(str, range(40)))
    content = bytearray(path.read_bytes())
    [(root,)] = run(f"sqlite:///{path}", "SELECT rootpage FROM sqlite_master WHERE name = 'lifecycle_events'")
    content[(root - 1) * 4096 : (root - 1) * 4096 + 8] = bytes(8)
    path.write_bytes(content)

    async def found() -> list[str]:
        async with AsyncSQLStore(f"sqlite:///{path}") as opened:
            return [str(damage) async for damage in opened.verify()]

    lines = asyncio.run(found()) if store is AsyncSQLStore else damage(f"sqlite:///{path}")
    assert any("malformed" in line for line in lines)


def test_what_sqlite_finds_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(f"sqlite:///{path}")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'batch TEXT', 'batch  TEXT')")
    connection.execute("PRAGMA writable_schema = OFF")
    connection.close()
    assert damage(f"sqlite:///{path}") == ["its tables are not defined as they were"]
    content = bytearray(path.read_bytes())
    # In an index, one version for another: the rows are all there, and the index says something else.
    [(root,)] = run(
        f"sqlite:///{path}",
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_lifecycle_events_1'",
    )
    page = bytes(content[(root - 1) * 4096 : root * 4096])
    content[(root - 1) * 4096 : root * 4096] = page.replace(b"b\x02", b"b\x07")
    path.write_bytes(content)
    assert any("SQLite: " in line for line in damage(f"sqlite:///{path}"))


def test_an_index_that_leads_in_a_circle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PAGE", 2)
    path = tmp_path / "a.db"
    fill(f"sqlite:///{path}", "abcde", 1)
    [(root,)] = run(f"sqlite:///{path}", "SELECT rootpage FROM sqlite_master WHERE name = 'lifecycle_streams'")
    content = bytearray(path.read_bytes())
    cells = (root - 1) * 4096 + 8  # two bytes for each, in order
    a, b, c, d, e = (bytes(content[cells + 2 * place :][:2]) for place in range(5))
    content[cells : cells + 10] = a + b + e + c + d
    path.write_bytes(content)
    assert any("in no order" in line for line in damage(f"sqlite:///{path}"))


@pytest.mark.parametrize("table", ["lifecycle_streams", "lifecycle_events"])
def test_no_reader_goes_round_in_a_circle(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PAGE", 2)
    path = tmp_path / "a.db"
    fill(f"sqlite:///{path}", "abcde", 1)
    roots = dict(run(f"sqlite:///{path}", "SELECT name, rootpage FROM sqlite_master"))
    whole, root = path.read_bytes(), roots[table]
    cells = (root - 1) * 4096 + 8
    places = [whole[cells + 2 * place :][:2] for place in range(5)]
    refused = 0
    for order in permutations(places):
        path.write_bytes(whole[:cells] + b"".join(order) + whole[cells + 10 :])
        for left in tmp_path.glob("a.db-*"):
            left.unlink()
        with SQLStore(f"sqlite:///{path}") as store:
            try:
                found = (
                    [*islice(store.streams(), 100)] if table == "lifecycle_streams" else [*store.read_all(limit=100)]
                )
            except lc.StoreError as error:
                refused += "in no order" in str(error)
            else:
                assert len(found) <= 5
    assert refused > 0


def test_values_of_the_wrong_type_are_no_records() -> None:
    store = MemoryStore()
    store.append("b", life("b")[:3], expected_version=0)
    store._rows[1] = store._rows[1]._replace(event_id=7)  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(lc.StoreError, match="wrong type"):
        store.read("b")
    store._heads["b"] = store._heads["b"]._replace(hash="x")  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(lc.StoreError, match="wrong type"):
        store.head("b")
    store._heads["b"] = store._heads["b"]._replace(stream=b"b", hash=b"")  # type: ignore[arg-type] # wrong on purpose
    with pytest.raises(lc.StoreError, match="wrong type"):
        list(store.streams())


def test_values_of_the_wrong_type_are_found() -> None:
    # A database that checks types does not let them in, a damaged file may show them.
    store = MemoryStore()
    store.append("b", life("b")[:3], expected_version=0)
    store._rows[1] = store._rows[1]._replace(recorded_at=None)  # type: ignore[arg-type] # wrong on purpose
    assert any("wrong types" in str(found) for found in store.verify())
    store = MemoryStore()
    store.append("b", [created("b")], expected_version=0)
    store._heads["b"] = store._heads["b"]._replace(hash="x")  # type: ignore[arg-type] # wrong on purpose
    assert any("wrong types" in str(found) for found in store.verify())
    store = MemoryStore()
    store.append("b", [created("b"), REPEATED], expected_version=0)
    store._rows.append(store._rows[1])
    assert any("positions of 3 rows" in str(found) for found in store.verify())


def test_a_row_that_cannot_be_read_is_an_error_that_names_it(url: str) -> None:
    fill(url)
    run(url, words(url, "UPDATE lifecycle_events SET type = 'x' WHERE {row}"))
    run(url, words(url, "UPDATE lifecycle_streams SET batch = '{{}}' WHERE stream = 'c'"))
    with SQLStore(url) as store:
        with pytest.raises(lc.StoreError, match="stream 'b', version 2, position 5"):
            store.read("b")
        with pytest.raises(lc.StoreError, match="stream 'c'"):
            store.batch("c")
        with pytest.raises(lc.StoreError):
            list(store.read_all())
        assert len(store.read("a")) == 3  # it goes on


def test_no_event_follows_one_at_the_last_position_there_can_be(url: str) -> None:
    fill(url)
    run(url, "UPDATE lifecycle_events SET position = 9223372036854775807 WHERE position = 9")
    with SQLStore(url) as store:
        with pytest.raises(lc.StoreError):
            store.append("a", [REPEATED], expected_version=3)
        assert store.head("a").version == 3
