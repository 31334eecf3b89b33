"""Stores that older releases wrote are read and brought forward; see tests/golden/README.md."""

import shutil
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import log, testing
from lifecycle.store import databases
from lifecycle.store.sql import SQLStore
from tests.store.databases import REPEATED, created, damage, fill, run

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
RELEASED = ["store_v1"]


def test_there_is_a_golden_store_for_each_schema() -> None:
    assert [f"store_v{version}" for version in range(1, len(databases.SQLite.schemas) + 1)] == RELEASED
    assert len(databases.SQLite.schemas) == len(databases.Postgres.schemas)
    assert sorted(path.stem for path in GOLDEN.glob("*.db")) == RELEASED


@pytest.fixture(params=RELEASED)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[lc.Record]]:
    """A copy of a golden store, and the records in it."""
    copy = tmp_path / "copy.db"
    shutil.copyfile(GOLDEN / f"{request.param}.db", copy)
    return f"sqlite:///{copy}", list(log.read(GOLDEN / f"{request.param}.jsonl"))


class TestGoldenStores:
    def test_each_is_read_whole(self, golden: tuple[str, list[lc.Record]]) -> None:
        url, records = golden
        with SQLStore(url, create=False) as store:
            assert list(store.verify()) == []
            assert [record for _, record in store.read_all()] == records
            heads = {head.stream: head for head in store.streams()}
            replayed = lc.replay(records)
            assert {name: head.batch for name, head in heads.items() if not head.forgotten} == replayed.batches
            assert [name for name, head in heads.items() if head.forgotten] == ["msgbatch_gone"]

    def test_each_is_written_on(self, golden: tuple[str, list[lc.Record]]) -> None:
        url, records = golden
        with SQLStore(url) as store:
            assert store.import_records(records) == 0
            store.append("new", [created("new")], expected_version=0)
        assert damage(url) == []

    def test_its_log_can_be_read_by_the_checks_for_users(self, golden: tuple[str, list[lc.Record]]) -> None:
        for name in RELEASED:
            testing.check_upcasting(GOLDEN / f"{name}.jsonl")
        assert golden[1]


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with one more schema, made up."""
    step = "CREATE INDEX lifecycle_by_type ON lifecycle_events (type); UPDATE lifecycle_store SET version = 7"
    for kind in (databases.SQLite, databases.Postgres):
        monkeypatch.setattr(kind, "schemas", (*kind.schemas, step))


class TestMigrations:
    @pytest.mark.usefixtures("newer")
    def test_a_golden_store_is_brought_forward_with_all_that_is_in_it(
        self, golden: tuple[str, list[lc.Record]]
    ) -> None:
        url, records = golden
        for _ in range(2):  # the second time there is nothing to do
            with SQLStore(url, create=False) as store:
                assert [record for _, record in store.read_all()] == records
        assert run(url, "SELECT version FROM lifecycle_store") == [(2,)]
        assert run(url, "SELECT count(*) FROM sqlite_master WHERE name = 'lifecycle_by_type'") == [(1,)]

    def test_so_is_any_other_and_the_older_release_refuses_it_then(
        self, url: str, request: pytest.FixtureRequest
    ) -> None:
        fill(url)
        old = SQLStore(url)
        request.getfixturevalue("newer")
        with SQLStore(url) as store:
            assert store.head("a").version == 3
            store.append("a", [REPEATED], expected_version=3)
        old.close()
        assert run(url, "SELECT version FROM lifecycle_store") == [(2,)]
        request.getfixturevalue("monkeypatch").undo()
        with pytest.raises(lc.StoreError, match="schema 2.*up to 1"):
            SQLStore(url)

    def test_a_step_that_fails_changes_nothing(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(url)
        with monkeypatch.context() as patched:
            for kind in (databases.SQLite, databases.Postgres):
                steps = "CREATE INDEX lifecycle_by_type ON lifecycle_events (type); SELECT x FROM nowhere"
                patched.setattr(kind, "schemas", (*kind.schemas, steps))
            with pytest.raises(lc.StoreError, match="nowhere"):
                SQLStore(url)
        with SQLStore(url) as store:
            assert store.head("a").version == 3
        run(url, "CREATE INDEX lifecycle_by_type ON lifecycle_events (type)")
