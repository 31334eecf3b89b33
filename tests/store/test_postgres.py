"""What a store in PostgreSQL does besides what every store does: it lives through lost connections and restarts."""

import asyncio
import contextlib
import functools
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import lifecycle as lc
from lifecycle.store.sql import AsyncSQLStore, SQLStore
from tests.store.databases import REPEATED, created, damage, engine_of, fill, run
from tests.store.postgres import Server

ONCE = """
CREATE SEQUENCE deaths;
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('deaths') <= {times} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER die AFTER INSERT ON lifecycle_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION die()
"""
"""The server ends the connection in the middle of a commit, so many times."""


def asynchronous(url: str, work: Callable[[AsyncSQLStore], Coroutine[Any, Any, Any]]) -> Any:
    async def go() -> Any:
        async with AsyncSQLStore(url) as store:
            return await work(store)

    return asyncio.run(go())


class TestLostConnections:
    def test_a_store_lives_through_them(self, postgres_url: str, postgres_server: Server) -> None:
        with SQLStore(postgres_url) as store:
            first = store._taken()  # two idle ones: both are lost
            store.append("a", [created("a")], expected_version=0)
            store._give_back(first)
            assert postgres_server.terminate_backends() == 2
            assert store.head("a").version == 1
            postgres_server.terminate_backends()
            store.append("a", [REPEATED], expected_version=1)
            postgres_server.terminate_backends()
            assert list(store.verify()) != []  # it is no damage of the store, but it stops the search, and is told
            assert list(store.verify()) == []

    def test_under_asyncio_too(self, postgres_url: str, postgres_server: Server) -> None:
        async def work(store: AsyncSQLStore) -> None:
            await store.append("a", [created("a")], expected_version=0)
            postgres_server.terminate_backends()
            await store.append("a", [REPEATED], expected_version=1)
            postgres_server.terminate_backends()
            assert [found async for found in store.verify()] != []
            assert [found async for found in store.verify()] == []

        asynchronous(postgres_url, work)

    @pytest.mark.parametrize("times", [1, 3])
    def test_a_commit_that_was_not_done_is_done_again(self, postgres_url: str, times: int) -> None:
        with SQLStore(postgres_url) as store:
            run(postgres_url, ONCE.format(times=times))
            records = store.append("a", [created("a"), REPEATED], expected_version=0)
            assert store.read("a") == records
        assert damage(postgres_url) == []

    def test_if_it_is_never_done_nobody_knows(self, postgres_url: str) -> None:
        with SQLStore(postgres_url) as store:
            run(postgres_url, ONCE.format(times=99))
            with pytest.raises(lc.StoreError, match="not known") as raised:
                store.append("a", [created("a")], expected_version=0)
            assert raised.value.unknown
            run(postgres_url, "DROP TRIGGER die ON lifecycle_events")
            store.append("a", [created("a")], expected_version=0)

    def test_a_server_that_is_gone_is_an_error_and_one_that_is_back_is_used(self) -> None:
        with Server() as server, SQLStore(server.url()) as store:
            store.append("a", [created("a")], expected_version=0)
            server.stop_at_once()
            with pytest.raises(lc.StoreError) as raised:
                store.append("a", [REPEATED], expected_version=1)
            assert not raised.value.unknown
            assert [str(found) for found in store.verify()] != []
            with pytest.raises(lc.StoreError):
                asynchronous(server.url(), lambda store: store.read("a"))

            async def search() -> list[str]:
                return [str(found) async for found in AsyncSQLStore(server.url()).verify()]

            assert len(asyncio.run(search())) == 1
            server.start()
            store.append("a", [REPEATED], expected_version=1)
            assert list(store.verify()) == []


class Proxy:
    """
    Stands between a store and its server; the answer to the next commits it keeps to itself, and hangs up.

    It is a socket in a folder, as the server's own, which the URL of `url` leads to.
    """

    def __init__(self, server: Server, answers_to_lose: int) -> None:
        self.server = server
        self.left = answers_to_lose
        self.leaves = False
        """Whether it is gone itself, once it has lost an answer."""
        self.gone = False
        self.folder = Path(tempfile.mkdtemp(prefix="lifecycle-proxy-"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def url(self, url: str) -> str:
        return url.replace(str(self.server.folder).replace("/", "%2F"), str(self.folder).replace("/", "%2F"))

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.gone:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.server.folder / ".s.PGSQL.5432"))
                lost = threading.Event()
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self.forward, args=(*pair, pair[0] is client, lost), daemon=True).start()

    def forward(self, source: socket.socket, target: socket.socket, asks: bool, lost: threading.Event) -> None:
        wrote = False
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(1 << 16):
                wrote = wrote or b"INSERT INTO lifecycle_events" in data
                if asks and wrote and b"COMMIT" in data and self.left > 0:
                    self.left -= 1
                    self.gone = self.leaves
                    lost.set()
                if not asks and lost.is_set():
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        (self.folder / ".s.PGSQL.5432").unlink()
        self.folder.rmdir()


@pytest.fixture
def lossy(postgres_url: str, postgres_server: Server) -> Iterator[tuple[str, Proxy]]:
    fill(postgres_url, ())
    proxy = Proxy(postgres_server, 1)
    try:
        yield proxy.url(postgres_url), proxy
    finally:
        proxy.close()


class TestLostAnswers:
    """The commit was done, but nobody was told."""

    def test_the_append_is_found_and_not_done_twice(self, lossy: tuple[str, Proxy], postgres_url: str) -> None:
        with SQLStore(lossy[0]) as store:
            records = store.append("a", [created("a"), REPEATED], expected_version=0)
            assert lossy[1].left == 0
            assert store.read("a") == records
        assert run(postgres_url, "SELECT count(*) FROM lifecycle_events") == [(2,)]

    def test_under_asyncio_too(self, lossy: tuple[str, Proxy], postgres_url: str) -> None:
        records = asynchronous(lossy[0], lambda store: store.append("a", [created("a")], expected_version=0))
        assert lossy[1].left == 0
        with SQLStore(postgres_url) as store:
            assert store.read("a") == records

    def test_so_is_one_with_ids_of_the_callers(self, lossy: tuple[str, Proxy]) -> None:
        with SQLStore(lossy[0]) as store:
            records = store.append("a", [created("a"), REPEATED], expected_version=0, event_ids=["1", "2"])
            assert store.read("a") == records

    def test_without_the_ids_it_would_be_taken_for_another_writers(
        self, lossy: tuple[str, Proxy], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control: to try again by the version alone is refused."""
        with SQLStore(lossy[0]) as store:
            database = store._database
            write = functools.partial(type(database).write, database)
            monkeypatch.setattr(database, "write", lambda *given, again: write(*given, again=again and False))
            with pytest.raises(lc.VersionConflict):
                store.append("a", [created("a")], expected_version=0)

    def test_when_no_answer_comes_at_all_the_callers_ids_settle_it(self, lossy: tuple[str, Proxy]) -> None:
        lossy[1].leaves = True
        with SQLStore(lossy[0]) as store:
            with pytest.raises(lc.StoreError) as raised:
                store.append("a", [created("a")], expected_version=0, event_ids=["1"])
            assert raised.value.unknown
            lossy[1].gone = False
            [record] = store.append("a", [created("a")], expected_version=0, event_ids=["1"])
            assert store.read("a") == (record,)


class TestFollowing:
    def test_a_follower_is_notified(self, postgres_url: str) -> None:
        with SQLStore(postgres_url) as reader, SQLStore(postgres_url) as writer:
            reader._database.poll = 60  # so that nothing but a notification can be in time
            following = reader.follow(timeout=20)
            writer.append("a", [created("a")], expected_version=0)
            assert next(following)[0] == 1
            for version in range(1, 4):
                thread = threading.Thread(
                    target=writer.append, args=("a", [REPEATED]), kwargs={"expected_version": version}
                )
                thread.start()
                assert next(following)[0] == version + 1
                thread.join()
            following.close()

    def test_so_is_one_under_asyncio(self, postgres_url: str) -> None:
        async def work(reader: AsyncSQLStore) -> None:
            reader._database.poll = 60
            following = reader.follow(timeout=20)
            with SQLStore(postgres_url) as writer:
                writer.append("a", [created("a")], expected_version=0)
                assert (await anext(following))[0] == 1
                for version in range(1, 4):
                    waiting = asyncio.create_task(anext(following))
                    await asyncio.to_thread(writer.append, "a", [REPEATED], expected_version=version)
                    assert (await waiting)[0] == version + 1
            await following.aclose()

        asynchronous(postgres_url, work)

    def test_it_lives_through_a_lost_connection(self, postgres_url: str, postgres_server: Server) -> None:
        with SQLStore(postgres_url) as store:
            store.append("a", [created("a")], expected_version=0)
            following = store.follow(timeout=0.3)
            assert next(following)[0] == 1
            postgres_server.terminate_backends()
            assert list(following) == []

    def test_so_it_does_under_asyncio(self, postgres_url: str, postgres_server: Server) -> None:
        async def work(store: AsyncSQLStore) -> None:
            await store.append("a", [created("a")], expected_version=0)
            following = store.follow(timeout=0.3)
            assert (await anext(following))[0] == 1
            postgres_server.terminate_backends()
            assert [found async for found in following] == []

        asynchronous(postgres_url, work)

    def test_without_a_connection_to_listen_on_it_polls(self) -> None:
        with Server(max_connections="3", superuser_reserved_connections="0", reserved_connections="0") as server:
            url = server.url()
            with SQLStore(url) as store, SQLStore(url), contextlib.closing(SQLStore(url)) as third:
                store.append("a", [created("a")], expected_version=0)
                assert [position for position, _ in store.follow(timeout=0.01)] == [1]
                third.close()

                async def work(alone: AsyncSQLStore) -> list[int]:
                    return [position async for position, _ in alone.follow(timeout=0.01)]

                found: list[int] = []
                deadline = time.monotonic() + 20
                while not found and time.monotonic() < deadline:  # the server takes a moment to see that one has gone
                    with contextlib.suppress(lc.StoreError):
                        found = asynchronous(url, work)
                assert found == [1]


RAISE = "RAISE EXCEPTION 'no room'"
REFUSE = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {RAISE}; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON lifecycle_events EXECUTE FUNCTION refuse()
"""
"""The server refuses each write."""


class TestAWriteAndItsCommitTravelTogether:
    """What fails then is told apart."""

    def test_a_write_that_the_server_refuses_is_known_not_to_be_done(self, postgres_url: str) -> None:
        with SQLStore(postgres_url) as store:
            store.append("a", [created("a")], expected_version=0)
            run(postgres_url, REFUSE)
            with pytest.raises(lc.StoreError, match="no room") as raised:
                store.append("a", [REPEATED], expected_version=1)
            assert not raised.value.unknown
            with pytest.raises(lc.StoreError, match="no room") as raised:
                store.append("a", [REPEATED, REPEATED], expected_version=1)
            assert not raised.value.unknown
            assert store.head("a").version == 1
            run(postgres_url, "DROP TRIGGER refuse ON lifecycle_events")
            store.append("a", [REPEATED], expected_version=1)
        assert damage(postgres_url) == []

    def test_so_it_is_under_asyncio(self, postgres_url: str) -> None:
        fill(postgres_url, "a", 1)
        run(postgres_url, REFUSE)

        async def work(store: AsyncSQLStore) -> None:
            with pytest.raises(lc.StoreError, match="no room") as raised:
                await store.append("a", [REPEATED], expected_version=1)
            assert not raised.value.unknown
            assert (await store.head("a")).version == 1

        asynchronous(postgres_url, work)

    def test_a_commit_that_the_server_refuses_is_not_known_to_be_done(self, postgres_url: str) -> None:
        with SQLStore(postgres_url) as store:
            run(postgres_url, ONCE.format(times=99).replace("PERFORM pg_terminate_backend(pg_backend_pid())", RAISE))
            with pytest.raises(lc.StoreError, match="no room") as raised:
                store.append("a", [created("a")], expected_version=0)
            assert raised.value.unknown

    def test_a_refusal_leaves_the_connection_fit_for_use(self, postgres_url: str) -> None:
        with SQLStore(postgres_url) as store:
            for _ in range(8):  # more often than it takes psycopg to prepare a statement
                with pytest.raises(lc.VersionConflict):
                    store.append("a", [created("a")], expected_version=1)
            assert len(store._idle) == 1
            store.append("a", [created("a")], expected_version=0)
            assert store.head("a").version == 1

    def test_of_many_failures_the_first_is_told_and_nothing_is_logged(
        self, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Be it on the way to the server or on the way back."""
        failing: list[Any] = [
            ([("SELECT 1/0", ()), ("SELECT 1", ())], psycopg.errors.DivisionByZero),
            # The driver refuses the second by itself, unless the server has answered the first before.
            (
                [("SELECT 1/0", ()), ("SELECT %s", (object(),))],
                (psycopg.ProgrammingError, psycopg.errors.DivisionByZero),
            ),
        ]
        with SQLStore(postgres_url) as store:
            connection = store._taken()
            for calls, error in failing:
                with pytest.raises(error):
                    store._database.run(connection, calls)
            store._discard(connection)

        async def work(store: AsyncSQLStore) -> None:
            connection = await store._taken()
            for calls, error in failing:
                with pytest.raises(error):
                    await connection.run_sync(store._database.run, calls)
            await store._discard(connection)

        asynchronous(postgres_url, work)
        assert caplog.records == []


class TestOtherWriters:
    def test_an_append_waits_for_another_and_then_gives_up(self, postgres_url: str) -> None:
        with SQLStore(postgres_url, timeout=0.05) as store, SQLStore(postgres_url) as other:
            holding = other._taken()
            other._database.run(holding, other._database.begin)
            with pytest.raises(lc.StoreError, match="lock timeout") as raised:
                store.append("a", [created("a")], expected_version=0)
            assert not raised.value.unknown
            holding.exec_driver_sql("ROLLBACK")
            other._give_back(holding)
            store.append("a", [created("a")], expected_version=0)

    def test_an_append_that_is_cancelled_is_not_done(self, postgres_url: str) -> None:
        fill(postgres_url, "a", 1)
        with SQLStore(postgres_url) as other:
            holding = other._taken()
            other._database.run(holding, other._database.begin)

            async def work(store: AsyncSQLStore) -> None:
                await store.head("a")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(store.append("a", [REPEATED], expected_version=1), 0.05)
                holding.exec_driver_sql("ROLLBACK")
                assert (await store.head("a")).version == 1
                await store.append("a", [REPEATED], expected_version=1)

            asynchronous(postgres_url, work)
            other._give_back(holding)

    def test_many_may_make_a_store_at_once(self, postgres_url: str) -> None:
        ready = threading.Barrier(4)
        errors: list[BaseException] = []

        def opened(name: str) -> None:
            ready.wait()
            try:
                with SQLStore(postgres_url) as store:
                    store.append(name, [created(name)], expected_version=0)
            except BaseException as error:  # noqa: BLE001 -- to be told by the test
                errors.append(error)

        threads = [threading.Thread(target=opened, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        with SQLStore(postgres_url) as store:
            assert [head.stream for head in store.streams()] == list("abcd")


class TestEncodings:
    """A database of another encoding holds what it can, and says what it cannot."""

    def test_one_that_knows_no_encoding_holds_all(self, postgres_server: Server) -> None:
        with database_in(postgres_server, "SQL_ASCII") as url, SQLStore(url) as store:
            records = store.append("é\U0001f600", [created("é\U0001f600")], expected_version=0)
            assert store.read("é\U0001f600") == records
            assert list(store.verify()) == []

    def test_one_that_has_fewer_characters_refuses_the_others(self, postgres_server: Server) -> None:
        with database_in(postgres_server, "LATIN1") as url:
            with SQLStore(url) as store:
                store.append("é", [created("é")], expected_version=0)
                with pytest.raises(lc.StoreError):
                    store.append("\U0001f600", [created("\U0001f600")], expected_version=0)
                assert [head.stream for head in store.streams()] == ["é"]
                assert list(store.verify()) == []
            with engine_of(url).connect() as connection:
                theirs = SQLStore(connection=connection)  # the encoding of the caller's connection is the server's
                with pytest.raises(lc.StoreError):
                    theirs.head("\U0001f600")


@contextlib.contextmanager
def database_in(server: Server, encoding: str) -> Iterator[str]:
    name = f"test_{encoding.lower()}"
    server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    yield server.url().replace("/postgres?", f"/{name}?")
    server.execute(f"DROP DATABASE {name}")
