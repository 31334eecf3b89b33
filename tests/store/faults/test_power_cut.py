"""A power cut at any moment: what was not flushed may be gone, and all that was acknowledged is there."""

import random
from bisect import bisect_right
from collections import Counter
from pathlib import Path

import attrs
import pytest

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.store.faults.disk import Disk, Operation, Sync, images
from tests.store.faults.scale import Guard, Tell, events, tries

STREAMS = [f"msgbatch_{number}" for number in range(5)]


@attrs.frozen
class Work:
    """What was appended, and what the disk heard of it."""

    records: list[lc.Record]
    """All that was appended, in order."""
    acknowledged: list[tuple[int, int]]
    """After each append: the length of the log, and that of *records*."""
    log: list[Operation]


def work(folder: Path, rng: random.Random) -> Work:
    """Append to some streams, and close the store and open it again from time to time."""
    records: list[lc.Record] = []
    acknowledged = [(0, 0)]
    versions: Counter[str] = Counter()
    with Disk(folder) as disk:
        for _ in range(5):
            with SQLStore(f"sqlite:///{folder / 'night.db'}") as store:
                for _ in range(rng.randint(1, 20)):
                    stream = rng.choice(STREAMS)
                    new = events(stream, versions[stream], rng.choice((1, 1, 2, 30)))
                    records += store.append(stream, new, expected_version=versions[stream])
                    versions[stream] += len(new)
                    acknowledged.append((len(disk.log), len(records)))
    return Work(records, acknowledged, disk.log)


def judged(work: Work, folder: Path, number: int, rng: random.Random) -> Counter[str]:
    """What becomes of the work in so many power cuts."""
    tally: Counter[str] = Counter()
    moments = [
        [length for length, _ in work.acknowledged[1:]],  # after an answer
        [place for place, operation in enumerate(work.log) if isinstance(operation, Sync)],  # before a flush
        range(len(work.log) + 1),
    ]
    whole = {length for _, length in work.acknowledged}
    for kept in (0.0, 0.5, 1.0):
        cuts = sorted(place for some in moments for place in rng.choices(some, k=-(-number // 9)))
        for cut, files in images(work.log, cuts, rng, kept=kept):
            tally["images"] += 1
            for old in folder.iterdir():
                old.unlink()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            _, acknowledged = work.acknowledged[bisect_right(work.acknowledged, cut, key=lambda ack: ack[0]) - 1]
            with SQLStore(f"sqlite:///{folder / 'night.db'}") as store:
                found = [record for _, record in store.read_all()]
                tally["damaged"] += len(list(store.verify()))
            tally["lost"] += max(0, acknowledged - len(found))
            tally["more than acknowledged"] += len(found) > acknowledged
            tally["torn"] += len(found) not in whole
            tally["wrong"] += found != work.records[: len(found)]
    return tally


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    live, image = tmp_path / "live", tmp_path / "image"
    live.mkdir()
    image.mkdir()
    return live, image


def test_a_power_cut_loses_nothing_that_was_acknowledged(folders: tuple[Path, Path], record_property: Tell) -> None:
    rng = random.Random(7)
    tally: Counter[str] = Counter()
    for _ in range(tries(1, 10)):
        live, image = folders
        for old in live.iterdir():
            old.unlink()
        tally += judged(work(live, rng), image, tries(27, 100), rng)
    record_property("tried", f"{tally['images']} power cuts of a SQLite store")
    assert tally["images"] >= tries(27, 1000)
    assert tally["more than acknowledged"] > 0  # some fell between the flush and the answer
    assert [tally[name] for name in ("lost", "torn", "wrong", "damaged")] == [0, 0, 0, 0]


def test_with_synchronous_normal_some_are_lost(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    guard = Guard(monkeypatch, "synchronous = FULL", "synchronous = NORMAL")
    rng = random.Random(7)
    tally = judged(work(folders[0], rng), folders[1], 9, rng)
    assert guard.met > 0
    assert tally["lost"] > 0
