"""Bits that flip in the file: what a reader is told is right, or `verify` finds that it is not."""

import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.lives import LIFE
from tests.store.faults.scale import ALL, Tell, events, tries

STREAMS = [f"msgbatch_{number}" for number in range(12)]


def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with some streams, one of them forgotten."""
    path = tmp_path / "night.db"
    with SQLStore(url(path)) as store:
        for number, stream in enumerate(STREAMS):
            store.append(stream, events(stream, 0, number), expected_version=0)
        store.append("msgbatch_01", LIFE, expected_version=0)
        store.forget("msgbatch_01")
    return path


def told(path: Path) -> Any:
    """All that the store tells its readers."""
    with SQLStore(url(path)) as store:
        heads = list(store.streams())
        single = [(store.head(head.stream), head.forgotten or store.read(head.stream)) for head in heads]
        return list(store.read_all()), heads, single


def found(path: Path) -> bool:
    """Whether the store sees that it is damaged."""
    try:
        with SQLStore(url(path)) as store:
            return list(store.verify()) != []
    except lc.StoreError:
        return True


def checked_by_sqlite(path: Path) -> bool:
    """Whether SQLite itself sees it."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
    except (sqlite3.Error, UnicodeDecodeError):  # the text of its message may be damaged too
        return True
    finally:
        connection.close()


def test_no_flipped_bit_changes_what_is_read_unseen(path: Path, tmp_path: Path, record_property: Tell) -> None:
    whole, before = path.read_bytes(), told(path)
    rng = random.Random(5)
    places = range(len(whole)) if ALL else sorted(rng.sample(range(len(whole)), 60))
    tally: Counter[str] = Counter()
    damaged = tmp_path / "damaged.db"
    for place in places:
        for left in tmp_path.glob("damaged.db*"):
            left.unlink()
        content = bytearray(whole)
        content[place] ^= 1 << rng.randrange(8)
        damaged.write_bytes(content)
        try:
            harmless = told(damaged) == before
        except lc.LifecycleError:
            harmless = False
        seen = found(damaged)
        tally["flips"] += 1
        tally["harmless"] += harmless
        tally["undetected"] += not harmless and not seen
        if not harmless:
            for left in tmp_path.glob("damaged.db*"):
                left.unlink()
            damaged.write_bytes(content)
            tally["missed by SQLite"] += not checked_by_sqlite(damaged)
    changing = tally["flips"] - tally["harmless"]
    record_property("tried", f"{tally['flips']} flipped bits, {changing} of them with an effect")
    assert tally["undetected"] == 0
    assert changing > tries(10, 5000)
    # The negative control: the check that SQLite has itself would not have done.
    assert tally["missed by SQLite"] > changing / 10
