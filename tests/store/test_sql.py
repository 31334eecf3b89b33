"""What the SQL stores add: URLs, the caller's connection, older schemas; on either database."""

import asyncio
import json
import math
import subprocess
import sys
import traceback
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import lifecycle as lc
from lifecycle.store import ledger
from lifecycle.store.sql import AsyncSQLStore, SQLStore
from tests.lives import DAY, T
from tests.store.databases import REPEATED, created, engine_of, fill, life, run


def begin(connection: sa.Connection) -> None:
    """Begin a transaction as the documentation tells the caller to."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@pytest.mark.parametrize("number", [2, 49, 50, 51, 120])  # SQLite writes 50 rows at once
def test_an_append_of_any_length_is_stored_whole(url: str, number: int) -> None:
    events: list[lc.Event] = [created("a"), *[REPEATED] * (number - 1)]
    with SQLStore(url) as store:
        store.append("b", [created("b")], expected_version=0)
        records = store.append("a", events, expected_version=0)
        assert store.read("a") == records
        assert [(record.version, record.event) for record in records] == [*enumerate(events, 1)]
        assert [position for position, _ in store.read_all()] == [*range(1, number + 2)]
        assert list(store.verify()) == []


class TestURLs:
    @pytest.mark.parametrize("kind", [SQLStore, AsyncSQLStore])
    @pytest.mark.parametrize("url", ["mysql://user:secret@host/db", "postgresql+asyncpg://user:secret@host/db"])
    def test_another_database_or_driver_is_refused(self, kind: Any, url: str) -> None:
        with pytest.raises(lc.StoreError, match="postgresql://") as raised:
            kind(url)
        assert "secret" not in everything_said(raised.value)

    @pytest.mark.parametrize("url", ["", "secret", "postgresql://user:secret@host:secret/db", "://secret"])
    def test_what_is_no_url_is_refused_without_being_told(self, url: str) -> None:
        with pytest.raises(lc.StoreError, match="cannot be read") as raised:
            SQLStore(url)
        assert "secret" not in everything_said(raised.value)

    def test_an_option_that_nobody_knows_is_not_told(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/x?option=secret"
        try:
            with SQLStore(url) as store:  # SQLAlchemy leaves it out, until 2.1
                said = store.url
        except lc.StoreError as error:
            said = everything_said(error)
        assert "secret" not in said
        assert "sqlite" in said or "option" in said

    @pytest.mark.parametrize("kind", [SQLStore, AsyncSQLStore])
    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:///x?timeout=secret",
            "sqlite:///x?uri=secret",
            "postgresql://user@/db?port=secret",
            "sqlite:///secret\0",
            "sqlite:///secret\ud800",
        ],
    )
    def test_options_and_paths_that_cannot_be_are_refused(
        self, kind: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(lc.StoreError) as raised:
            kind(url)
        assert "secret" not in everything_said(raised.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("timeout", [None, "1", True])
    def test_a_timeout_that_is_no_number_is_a_type_error(self, timeout: Any, sqlite_url: str) -> None:
        for url in (sqlite_url, "postgresql://user@/db"):
            with pytest.raises(TypeError, match="timeout"):
                AsyncSQLStore(url, timeout=timeout)

    def test_a_timeout_is_as_long_as_a_database_can_wait(self, url: str) -> None:
        with pytest.raises(ValueError, match="timeout"):
            SQLStore(url, timeout=math.nan)
        for timeout in (math.inf, 1e300, 10**400, -1, 0):
            with SQLStore(url, timeout=timeout) as store:
                store.append(str(timeout)[:9], [created(str(timeout)[:9])], expected_version=0)

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://user:secret@/db?host=/nowhere/secret",
            "postgres://user:secret@/db?host=/nowhere",
            "postgresql+psycopg://user@/db?host=/nowhere/secret&password=secret",
        ],
    )
    def test_no_password_is_ever_told(self, url: str) -> None:
        async def opened() -> None:
            async with AsyncSQLStore(url):
                pass

        for call in (lambda: SQLStore(url), lambda: asyncio.run(opened())):
            with pytest.raises(lc.StoreError, match="/nowhere") as raised:
                call()
            assert "secret" not in everything_said(raised.value)

    def test_the_url_of_a_store_has_no_password(self, sqlite_url: str) -> None:
        assert AsyncSQLStore("postgresql://user:secret@host/db?password=secret").url == "postgresql://user:***@host/db"
        with SQLStore(sqlite_url) as store:
            assert store.url == sqlite_url
        with SQLStore(sa.make_url(sqlite_url)) as store:
            assert store.url == sqlite_url

    def test_a_url_or_a_connection_is_needed_and_not_both(self, sqlite_url: str) -> None:
        with pytest.raises(TypeError):
            SQLStore()
        with engine_of(sqlite_url).connect() as connection, pytest.raises(TypeError):
            SQLStore(sqlite_url, connection=connection)

    @pytest.mark.parametrize("kind", [SQLStore, AsyncSQLStore])
    def test_a_connection_of_another_kind_is_a_type_error(self, kind: Any) -> None:
        with pytest.raises(TypeError, match="connection"):
            kind(connection=7)

    def test_a_connection_of_another_driver_is_refused(self, sqlite_url: str) -> None:
        engine = engine_of(sqlite_url)
        engine.dialect.driver = "other"
        with engine.connect() as connection, pytest.raises(lc.StoreError, match="other"):
            SQLStore(connection=connection)

    def test_a_profile_is_needed(self, sqlite_url: str) -> None:
        with pytest.raises(TypeError, match="profile"):
            SQLStore(sqlite_url, profile="hosted")  # type: ignore[arg-type] # wrong on purpose


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).replace(__file__, "").split("lifecycle.errors.", 1)[-1] + str(
        [error.__cause__, error.__context__ if not error.__suppress_context__ else None]
    )


class TestExtras:
    @pytest.mark.usefixtures("children_are_measured")
    def test_without_sqlalchemy_it_is_said_what_to_install(self) -> None:
        program = "import sys; sys.modules['sqlalchemy'] = None; import lifecycle.store.sql"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "pip install 'lifecycle[sql]'" in done.stderr.splitlines()[-1]

    @pytest.mark.parametrize(
        ("url", "driver", "extra"), [("sqlite:///x", "aiosqlite", "sql"), ("postgresql://x", "psycopg", "postgres")]
    )
    def test_without_a_driver_it_is_said_what_to_install(
        self, url: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, driver, None)
        with pytest.raises(ModuleNotFoundError, match=rf"pip install 'lifecycle\[{extra}\]'"):
            AsyncSQLStore(url)

    def test_the_port_does_without(self) -> None:
        # Less what is there before: coverage, when it measures, loads sqlite3.
        program = (
            "import sys; old = {*sys.modules}; import lifecycle.store; "
            "print({'sqlalchemy', 'sqlite3', 'psycopg'} & ({*sys.modules} - old))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"


class TestTheCallersConnection:
    def test_the_event_and_a_row_of_the_callers_are_one_commit(self, url: str) -> None:
        fill(url)
        run(url, "CREATE TABLE mine (x INTEGER)")
        with engine_of(url).connect() as connection:
            for keep in (False, True):
                begin(connection)
                store = SQLStore(connection=connection, create=False)
                store.append("d", [created("d")], expected_version=0)
                connection.execute(sa.text("INSERT INTO mine VALUES (7)"))
                assert store.head("d").version == 1
                assert "d" in {head.stream for head in store.streams()}
                assert list(store.verify()) == []
                if keep:
                    connection.commit()
                else:
                    connection.rollback()
                with SQLStore(url) as other:
                    assert ("d" in {head.stream for head in other.streams()}) is keep
                assert run(url, "SELECT x FROM mine") == [(7,)] * keep
                store.close()
                assert not connection.closed

    def test_a_refusal_leaves_the_transaction_as_it_was(self, url: str) -> None:
        fill(url)
        with engine_of(url).connect() as connection:
            begin(connection)
            store = SQLStore(connection=connection)
            store.append("d", [created("d")], expected_version=0)
            with pytest.raises(lc.VersionConflict):
                store.append("d", [REPEATED], expected_version=5)
            with pytest.raises(lc.IllegalTransition):
                store.append("d", [created("d")], expected_version=1)
            connection.commit()
        with SQLStore(url) as other:
            assert other.head("d").version == 1

    def test_a_store_can_be_made_in_the_callers_transaction(self, url: str) -> None:
        with engine_of(url).connect() as connection:
            begin(connection)
            with pytest.raises(lc.StoreError, match="there is no store"):
                SQLStore(connection=connection, create=False)
            SQLStore(connection=connection).append("a", life("a"), expected_version=0)
            connection.rollback()
            begin(connection)
            store = SQLStore(connection=connection)
            store.append("a", life("a"), expected_version=0)
            store.forget("a")
            connection.commit()
        with SQLStore(url) as other:
            assert other.head("a").forgotten
            assert list(other.verify()) == []

    def test_a_connection_that_commits_each_statement_is_refused(self, url: str) -> None:
        fill(url)
        with engine_of(url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            store = SQLStore(connection=connection)
            with pytest.raises(lc.StoreError, match="in no transaction"):
                store.append("d", [created("d")], expected_version=0)
            assert len(store.read("a")) == 3
        assert run(url, "SELECT count(*) FROM lifecycle_events") == [(9,)]

    def test_it_is_not_followed(self, url: str) -> None:
        with engine_of(url).connect() as connection:
            begin(connection)
            with pytest.raises(lc.StoreError, match="by its URL"):
                next(SQLStore(connection=connection).follow())

    def test_what_goes_wrong_on_it_is_an_error_of_ours(self, url: str) -> None:
        fill(url)
        with engine_of(url).connect() as connection:
            begin(connection)
            store = SQLStore(connection=connection)
            connection.execute(sa.text("DROP TABLE lifecycle_streams"))
            with pytest.raises(lc.StoreError, match="lifecycle_streams") as raised:
                store.head("a")
            assert not raised.value.unknown
            assert raised.value.__cause__ is not None

    def test_one_that_was_closed_is_an_error_of_ours_and_not_tried_again(self, url: str) -> None:
        fill(url)
        with engine_of(url).connect() as connection:
            store = SQLStore(connection=connection)
            assert store.head("a").version == 3
        store._database.waits = (math.inf,)  # it would be waited for
        with pytest.raises(lc.StoreError, match="closed"):
            store.read("a")
        with pytest.raises(lc.StoreError, match="closed"):
            store.append("a", [REPEATED], expected_version=3)

    def test_under_asyncio_it_is_the_same(self, url: str) -> None:
        async def go() -> None:
            engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"), poolclass=NullPool)
            async with engine.connect() as connection:
                for keep in (False, True):
                    await connection.run_sync(begin)
                    store = AsyncSQLStore(connection=connection)
                    await store.append("a", life("a"), expected_version=0)
                    assert [position async for position, _ in store.read_all()] == [1, 2, 3, 4, 5, 6]
                    assert [found async for found in store.verify()] == []
                    with pytest.raises(lc.StoreError, match="by its URL"):
                        await anext(store.follow())
                    if keep:
                        await connection.commit()
                    else:
                        await connection.rollback()
                    await store.close()
                    assert not connection.closed

        asyncio.run(go())
        with SQLStore(url) as other:
            assert other.head("a").version == 6


class TestTheCallersConnectionToSQLite:
    @pytest.mark.parametrize("setting", ["synchronous = NORMAL", "synchronous = OFF", "journal_mode = MEMORY"])
    def test_one_that_is_not_durable_is_refused(self, sqlite_url: str, setting: str) -> None:
        with engine_of(sqlite_url).connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {setting}")
            connection.rollback()
            with pytest.raises(lc.StoreError, match="not durable"):
                SQLStore(connection=connection)

    def test_a_transaction_that_has_read_what_is_no_longer_so_is_refused(self, sqlite_url: str) -> None:
        fill(sqlite_url)
        with engine_of(sqlite_url).connect() as connection:
            connection.exec_driver_sql("BEGIN")
            store = SQLStore(connection=connection)
            assert store.head("a").version == 3
            fill(sqlite_url, "z")
            with pytest.raises(lc.StoreError, match="locked"):
                store.append("a", [REPEATED], expected_version=3)

    def test_one_in_no_transaction_begins_one_with_the_append(self, sqlite_url: str) -> None:
        fill(sqlite_url)
        with engine_of(sqlite_url).connect() as connection:
            SQLStore(connection=connection).append("d", [created("d")], expected_version=0)
            assert connection.in_transaction()
            connection.commit()
        with SQLStore(sqlite_url) as other:
            assert other.head("d").version == 1


class TestTheCallersConnectionToPostgreSQL:
    @pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
    def test_one_that_cannot_see_who_was_first_is_refused(self, postgres_url: str, isolation: str) -> None:
        fill(postgres_url)
        with engine_of(postgres_url).execution_options(isolation_level=isolation).connect() as connection:
            store = SQLStore(connection=connection)
            with pytest.raises(lc.StoreError, match="read committed"):
                store.append("d", [created("d")], expected_version=0)

    def test_its_transaction_becomes_durable(self, postgres_url: str) -> None:
        fill(postgres_url)
        with engine_of(postgres_url).connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
            SQLStore(connection=connection).append("d", [created("d")], expected_version=0)
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


V0, V1 = "lifecycle.message_batch.created.v0", "lifecycle.message_batch.created.v1"


def later(data: dict[str, Any]) -> Mapping[str, Any]:
    """A made-up step: the first schema had the hours until expiry in place of the time."""
    hours = data.pop("hours")
    return {**data, "expires_at": (T + hours * DAY / 24).isoformat()}


class TestOlderSchemas:
    @pytest.fixture
    def old(self, url: str) -> str:
        """A store of which the first event is of an older schema."""
        with SQLStore(url) as store:
            store.append("a", [created("a")], expected_version=0, event_ids=["1"], recorded_at=T)
        time = T.isoformat()
        data = json.dumps({"id": "a", "created_at": time, "request_count": 4, "hours": 24})
        end = ledger.chained(ledger.chain_start("a"), 1, 1, "1", V0, time, sha256(data.encode()).digest())
        cast = "::json" if url.startswith("postgresql") else ""
        value = f"CAST(:data AS TEXT){cast}"
        run(
            url,
            f"UPDATE lifecycle_events SET type = :type, data = {value}, hash = :end",  # noqa: S608 -- our own text
            "UPDATE lifecycle_streams SET hash = :end",
            type=V0,
            data=data,
            end=end,
        )
        return url

    def test_an_older_event_is_read_as_it_is_today_and_stays_as_it_was(self, old: str) -> None:
        with SQLStore(old, upcasts={V0: (V1, later)}) as store:
            [record] = store.read("a")
            assert record.event == created("a")
            assert list(store.read_all()) == [(1, record)]
            assert list(store.verify()) == []
            assert store.append("a", [created("a")], expected_version=0, event_ids=["1"]) == (record,)
            store.append("a", [REPEATED], expected_version=1)
            assert list(store.verify()) == []
        assert run(old, "SELECT type FROM lifecycle_events WHERE version = 1") == [(V0,)]

    def test_without_the_step_it_cannot_be_read(self, old: str) -> None:
        with SQLStore(old) as store, pytest.raises(lc.StoreError, match=r"created\.v0"):
            store.read("a")

    def test_what_a_step_raises_by_mistake_is_not_hidden(self, old: str) -> None:
        steps: Any = {V0: (V1, lambda _: 1 // 0)}

        async def work() -> None:
            async with AsyncSQLStore(old, upcasts=steps) as store:
                with pytest.raises(ZeroDivisionError):
                    await store.read("a")
                assert (await store.head("a")).version == 1

        asyncio.run(work())
        with SQLStore(old, upcasts=steps) as store:
            with pytest.raises(ZeroDivisionError):
                store.read("a")
            assert store.head("a").version == 1

    @pytest.mark.parametrize(
        "steps",
        [
            {V0: (V0, later)},
            {V0: (V1, lambda data: data)},
            {V0: (V1, lambda data: {**data, "expires_at": data["nothing"]})},
            {V0: (V1, lambda _: 7)},
        ],
    )
    def test_a_step_that_leads_nowhere_is_told(self, old: str, steps: Any) -> None:
        with SQLStore(old, upcasts=steps) as store, pytest.raises(lc.StoreError, match="version 1"):
            store.read("a")
