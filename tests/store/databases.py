"""What the tests of the SQL stores share: databases of either kind, and ways to tamper with them."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.lives import DAY, LIFE, T

REPEATED = lc.CountsUpdated(lc.RequestCounts(4))


def created(stream: str) -> lc.Created:
    return lc.Created(stream, T, T + DAY, 4)


def life(stream: str) -> list[lc.Event]:
    """A whole life under any id."""
    return [created(stream), *LIFE[1:]]


def engine_of(url: str) -> sa.Engine:
    """An engine as a user has it."""
    return sa.create_engine(url, poolclass=NullPool)


def run(url: str, *statements: str, **values: Any) -> list[Any]:
    """Run statements behind the store's back; the rows of the last."""
    engine = engine_of(url)
    rows: list[Any] = []
    with engine.begin() as connection:
        for statement in statements:
            text = sa.text(statement)
            found = connection.execute(text, {name: values[name] for name in values if f":{name}" in statement})
            rows = [tuple(row) for row in found] if found.returns_rows else []
    return rows


def fill(url: str, streams: Iterable[str] = ("a", "b", "c"), events: int = 3) -> None:
    """Make a store with some streams."""
    with SQLStore(url) as store:
        for stream in streams:
            store.append(stream, life(stream)[:events], expected_version=0, recorded_at=T)


def damage(url: str) -> list[str]:
    """What verify says."""
    with SQLStore(url, create=False) as store:
        return [str(found) for found in store.verify()]
