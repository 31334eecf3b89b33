"""Every store of the package keeps every promise of specs/stores.md, and the kit finds a store that does not."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle import store as port
from lifecycle import testing
from lifecycle.store import AsyncStore, MemoryStore, Store, sql
from lifecycle.store.sql import AsyncSQLStore, SQLStore

ROOT = Path(__file__).resolve().parents[2]

STORES: list[tuple[type, str]] = [
    (MemoryStore, ""),
    (SQLStore, "sqlite"),
    (AsyncSQLStore, "sqlite"),
    (SQLStore, "postgresql"),
    (AsyncSQLStore, "postgresql"),
]


@pytest.fixture(params=STORES, ids=lambda found: f"{found[0].__name__} {found[1]}".strip())
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store | AsyncStore]]:
    """Makes a new store each time."""
    kind, database = request.param
    count = itertools.count()
    if database == "":
        yield kind
    elif database == "sqlite":
        yield lambda: kind(f"sqlite:///{tmp_path / f'{next(count)}.db'}")
    else:
        yield lambda: kind(request.getfixturevalue("postgres_url"))


@pytest.mark.parametrize("check", testing.PROMISES, ids=lambda check: check.__name__)
def test_every_store_keeps_every_promise(
    check: Callable[[Callable[[], Store | AsyncStore]], None], make_store: Callable[[], Store | AsyncStore]
) -> None:
    check(make_store)


def test_no_store_of_the_package_is_missing() -> None:
    found = {
        value
        for module in (port, sql)
        for name, value in vars(module).items()
        if inspect.isclass(value) and name.endswith("Store") and value not in (Store, AsyncStore)
    }
    assert {kind for kind, _ in STORES} == found
    assert {database for kind, database in STORES if kind is SQLStore} == {"sqlite", "postgresql"}
    assert {database for kind, database in STORES if kind is AsyncSQLStore} == {"sqlite", "postgresql"}


def test_the_promises_stand_in_the_specification_in_their_order() -> None:
    page = (ROOT / "specs" / "stores.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| .* \| `(check_\w+)` \|$", page, flags=re.MULTILINE)
    assert [(str(number), check.__name__) for number, check in enumerate(testing.PROMISES, 1)] == rows


def test_one_call_checks_all_promises() -> None:
    made = []

    def make() -> MemoryStore:
        made.append(MemoryStore())
        return made[-1]

    testing.check_store(make)
    assert len(made) == len(testing.PROMISES)
