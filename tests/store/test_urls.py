"""The URL of a store: what is wrong with one is told without its password, and looking makes no file."""

from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.store.sql import AsyncSQLStore, SQLStore


@pytest.mark.parametrize("store", [SQLStore, AsyncSQLStore])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@secret@127.0.0.1:1/batches",  # the @ in the password is not encoded
        "postgresql://me:@secret@127.0.0.1:1/batches",
        "sqlite://me:secret@127.0.0.1/batches.db",
        "sqlite://me:secret@/batches.db",
        "sqlite://batches/batches.db",  # a slash too few
        "sqlite://:1/batches.db",
    ],
)
def test_one_that_cannot_be_is_refused_without_its_password(store: type, url: str) -> None:
    with pytest.raises(lc.StoreError) as caught:
        store(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("options", ["", "&mode=rwc", "&mode=ro"])
def test_a_file_that_is_not_there_is_not_made_by_looking(options: str, tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/a.db", f"sqlite:///file:{tmp_path}/a.db?uri=true{options}"):
        with pytest.raises(lc.StoreError):
            SQLStore(url, create=False)
        assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_there_is_found_by_either_kind_of_url(tmp_path: Path) -> None:
    SQLStore(f"sqlite:///file:{tmp_path}/a.db?uri=true").close()
    SQLStore(f"sqlite:///{tmp_path}/a.db", create=False).close()
    SQLStore(f"sqlite:///file:{tmp_path}/a.db?uri=true", create=False).close()
