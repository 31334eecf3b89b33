"""What a store in SQLite does besides what every store does: durability, files of all sorts, other writers."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.store.sql import AsyncSQLStore, SQLStore
from tests.lives import T
from tests.store.databases import REPEATED, created, damage, fill, life, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "batches.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def asked(store: SQLStore, pragma: str) -> object:
    connection = store._taken()
    try:
        [(value,)] = connection.exec_driver_sql(f"PRAGMA {pragma}").fetchall()
    finally:
        store._give_back(connection)
    return value


class TestDurability:
    def test_each_connection_syncs_each_commit(self, url: str) -> None:
        with SQLStore(url) as store:
            store.append("a", [created("a")], expected_version=0)
            first = store._taken()  # so that the next is a new one
            for _ in range(2):
                assert asked(store, "journal_mode") == "wal"
                assert asked(store, "synchronous") == 2  # FULL
                assert asked(store, "fullfsync") == 1
                store._give_back(first)

    def test_the_tables_are_strict(self, url: str) -> None:
        fill(url)
        assert [
            strict for (strict,) in run(url, "SELECT strict FROM pragma_table_list WHERE name LIKE 'lifecycle%'")
        ] == [
            1,
            1,
            1,
        ]

    def test_what_was_stored_is_there_when_it_is_opened_again(self, url: str) -> None:
        with SQLStore(url) as store:
            records = store.append("a", life("a"), expected_version=0)
        with SQLStore(url, create=False) as store:
            assert store.read("a") == records
            assert list(store.verify()) == []

    def test_a_full_disk_loses_nothing_and_hinders_nothing_later(self, url: str, path: Path) -> None:
        with SQLStore(url) as store:
            store.append("a", [created("a")], expected_version=0)
            before = list(store.read_all())
            with no_larger_files(path.with_name(f"{path.name}-wal").stat().st_size + 4096):
                with pytest.raises(lc.StoreError) as raised:
                    store.append("a", [REPEATED] * 500, expected_version=1)
                assert raised.value.unknown
                assert raised.value.__cause__ is not None
            assert list(store.read_all()) == before
            store.append("a", [REPEATED] * 500, expected_version=1)
            assert store.head("a").version == 501
        assert damage(url) == []

    def test_what_is_forgotten_is_nowhere_in_the_files(self, url: str, path: Path) -> None:
        secret = "https://secret.example/" + "x" * 6000
        events: list[lc.Event] = [created("a"), lc.Ended(T, lc.RequestCounts(0, 4), secret), lc.Deleted(T)]
        with SQLStore(url) as store:
            store.append("a", events, expected_version=0)
            store.append("b", life("b"), expected_version=0)
            assert any(b"secret.example" in file.read_bytes() for file in path.parent.iterdir())
            store.forget("a")
            assert not any(b"secret.example" in file.read_bytes() for file in path.parent.iterdir())

    def test_forgetting_does_not_make_writers_wait_for_a_reader(self, url: str, path: Path) -> None:
        told = "https://secret.example/"
        events: list[lc.Event] = [created("a"), lc.Ended(T, lc.RequestCounts(0, 4), told), lc.Deleted(T)]
        with SQLStore(url, timeout=600) as store, closing(sqlite3.connect(path, isolation_level=None)) as reader:
            store.append("a", events, expected_version=0)
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM lifecycle_streams").fetchall()
            store.append("b", [created("b")], expected_version=0)  # so that the reader is behind
            store.forget("a")
            assert asked(store, "busy_timeout") == 600_000
            assert any(b"secret.example" in file.read_bytes() for file in path.parent.iterdir())
            reader.execute("COMMIT")
            store.forget("a")
            assert not any(b"secret.example" in file.read_bytes() for file in path.parent.iterdir())


@contextmanager
def no_larger_files(size: int) -> Iterator[None]:
    """No file of this process grows over *size* bytes: what a full disk looks like. Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestFilesOfAllSorts:
    def test_no_store_is_made_where_none_is_wanted(self, url: str, path: Path) -> None:
        with pytest.raises(lc.StoreError, match="no such file"):
            SQLStore(url, create=False)
        assert list(path.parent.iterdir()) == []

    def test_another_database_is_not_touched_where_none_is_wanted(self, url: str, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE mine (x)")
        before = path.read_bytes()
        with pytest.raises(lc.StoreError, match="there is no store"):
            SQLStore(url, create=False)
        assert path.read_bytes() == before

    def test_a_store_shares_a_file_with_other_tables(self, url: str) -> None:
        run(url, "CREATE TABLE mine (x)", "INSERT INTO mine VALUES (7)", "CREATE TABLE lifecycle_notes (x)")
        fill(url)
        assert run(url, "SELECT x FROM mine") == [(7,)]
        assert damage(url) == []

    def test_a_newer_schema_is_refused_with_one_sentence(self, url: str) -> None:
        fill(url)
        run(url, "UPDATE lifecycle_store SET version = 2")
        with pytest.raises(lc.StoreError) as raised:
            SQLStore(url)
        assert str(raised.value) == (
            f"{url}: the store has schema 2, and this release of lifecycle knows those up to 1: use a newer release"
        )

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE lifecycle_store SET version = 0",
            "DELETE FROM lifecycle_store",
            "INSERT INTO lifecycle_store VALUES (1)",
            "DROP TABLE lifecycle_store",
            "DROP TABLE lifecycle_streams",
        ],
    )
    def test_a_store_that_does_not_say_what_it_is_is_refused(self, url: str, statement: str) -> None:
        fill(url)
        run(url, statement)
        for create in (True, False):
            with pytest.raises(lc.StoreError, match="damaged"):
                SQLStore(url, create=create)

    def test_a_file_that_seems_empty_but_is_not_is_refused(self, url: str, path: Path) -> None:
        fill(url)
        content = bytearray(path.read_bytes())
        content[103:105] = bytes(2)  # the number of cells on the page of the schema
        path.write_bytes(content)
        with pytest.raises(lc.StoreError, match="damaged"):
            SQLStore(url)

    def test_what_is_no_database_is_refused(self, url: str, path: Path) -> None:
        path.write_bytes(b"no database" * 1000)
        for create in (True, False):
            with pytest.raises(lc.StoreError, match="not a database"):
                SQLStore(url, create=create)

        async def opened() -> None:
            async with AsyncSQLStore(url):
                pass

        with pytest.raises(lc.StoreError, match="not a database"):
            asyncio.run(opened())
        path.unlink()
        path.mkdir()
        with pytest.raises(lc.StoreError, match="unable to open"):
            SQLStore(url)

    def test_a_schema_that_sqlite_cannot_even_spell_is_refused(self, url: str, path: Path) -> None:
        fill(url)
        content = path.read_bytes()
        assert content.count(b"CREATE TABLE lifecycle_streams") == 1
        path.write_bytes(content.replace(b"CREATE TABLE lifecycle_streams", b"CREATE TABLE lifecycle_\xf3treams"))
        with pytest.raises(lc.StoreError):
            SQLStore(url)

    def test_where_there_can_be_no_log_is_no_store(self, path: Path) -> None:
        url = f"sqlite:///file:{path}?vfs=unix-dotfile&uri=true"  # that way to lock has no shared memory
        with pytest.raises(lc.StoreError, match="write-ahead log"):
            SQLStore(url)

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///file:x?mode=memory&uri=true",
            "sqlite:///file::memory:?uri=true",
        ],
    )
    def test_a_database_in_memory_is_refused(self, url: str) -> None:
        for kind in (SQLStore, AsyncSQLStore):
            with pytest.raises(lc.StoreError, match="MemoryStore"):
                kind(url)


class TestOtherWriters:
    def test_an_append_waits_for_another_and_then_gives_up(self, url: str, path: Path) -> None:
        with SQLStore(url, timeout=0.05) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(lc.StoreError, match="locked") as raised:
                store.append("a", [created("a")], expected_version=0)
            assert not raised.value.unknown
            assert list(store.read_all()) == []  # reading does not wait
            other.execute("COMMIT")
            store.append("a", [created("a")], expected_version=0)

    def test_opening_a_new_file_waits_for_another_and_then_gives_up(self, url: str, path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("CREATE TABLE mine (x)")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(lc.StoreError, match="locked"):
                SQLStore(url, timeout=0.05)
            other.execute("COMMIT")
            SQLStore(url, timeout=0.05).close()

    def test_many_may_open_a_new_file_at_once(self, url: str) -> None:
        ready = threading.Barrier(6)

        def opened(name: str) -> None:
            ready.wait()
            with SQLStore(url) as store:
                store.append(name, [created(name)], expected_version=0)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(opened, "abcdef"))
        with SQLStore(url) as store:
            assert [head.stream for head in store.streams()] == list("abcdef")

    def test_a_store_sees_what_another_has_written(self, url: str) -> None:
        with SQLStore(url) as one, SQLStore(url) as other:
            one.append("a", [created("a")], expected_version=0)
            assert other.head("a").version == 1
            with pytest.raises(lc.VersionConflict):
                other.append("a", [created("a")], expected_version=0)
            other.append("a", [REPEATED], expected_version=1)
            assert [position for position, _ in one.read_all()] == [1, 2]

    def test_a_store_that_was_closed_says_so(self, url: str) -> None:
        store = SQLStore(url)
        store.close()
        store.close()
        for call in (lambda: store.read("a"), lambda: list(store.read_all()), lambda: list(store.verify())):
            with pytest.raises(lc.StoreError, match="closed"):
                call()

    def test_a_connection_that_comes_back_to_a_closed_store_is_closed(self, url: str) -> None:
        store = SQLStore(url)
        connection = store._taken()
        store.close()
        store._give_back(connection)
        assert connection.closed

    def test_an_async_connection_that_comes_back_to_a_closed_store_is_closed(self, url: str) -> None:
        async def go() -> None:
            store = AsyncSQLStore(url)
            connection = await store._taken()
            await store.close()
            await store._give_back(connection)
            assert connection.closed
            with pytest.raises(lc.StoreError, match="closed"):
                await store.read("a")

        asyncio.run(go())


class TestLongStreams:
    def test_they_are_read_page_by_page(self, url: str) -> None:
        with SQLStore(url) as store:
            store.append("a", [created("a"), *[REPEATED] * 2100], expected_version=0)
            store.import_records([lc.Record(f"s{number}", 1, created(f"s{number}"), None, T) for number in range(1100)])
            assert len(store.read("a")) == 2101
            assert [position for position, _ in store.read_all(limit=3000)] == list(range(1, 3001))
            assert [position for position, _ in store.read_all(after=5)] == list(range(6, 3202))
            assert len(list(store.streams())) == 1101
            assert list(store.verify()) == []
            store.append("a", [lc.Ended(T, lc.RequestCounts(0, 4)), lc.Deleted(T)], expected_version=2101)
            store.forget("a")
            assert list(store.verify()) == []
            assert [position for position, _ in store.read_all(limit=2)] == [2102, 2103]
            assert len(list(store.follow(timeout=0))) == 1100
