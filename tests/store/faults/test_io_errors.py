"""A device that fails, or is full: a clear error, nothing lost, and the store goes on when the device does."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.store.databases import life
from tests.store.faults.disk import CODES, FULL, OK, Disk, images
from tests.store.faults.scale import Tell, events, tries

T = TypeVar("T")

STREAM = "msgbatch_01"


def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three events, closed."""
    folder = tmp_path / "device"
    folder.mkdir()
    with SQLStore(url(folder / "night.db")) as store:
        store.append(STREAM, events(STREAM, 0, 3), expected_version=0)
    return folder / "night.db"


def versions(store: SQLStore) -> list[int]:
    return [record.version for record in store.read(STREAM)]


class User:
    """Somebody who works with a store on a device that fails from a call on, and who mends it when it is refused."""

    def __init__(self, path: Path, disk: Disk, call: int, *, once: bool, again: bool) -> None:
        self.path = path
        self.disk = disk
        self.again = again
        self.hit: str | None = None
        self.refused: list[lc.StoreError] = []
        self.acknowledged: list[tuple[int, int]] = []
        """After each append that was refused first: how long the disk's log was, and the version."""
        first = len(disk.calls) + call

        def fault(kind: str, _: str, number: int) -> int:
            if number < first or (once and number > first):
                return OK
            self.hit = self.hit or kind
            return CODES[kind]

        disk.fault = fault

    def do(self, step: Callable[[], T]) -> T | None:
        """Do a step; if it is refused, mend the device and do it again."""
        try:
            return step()
        except lc.StoreError as error:
            self.refused.append(error)
            self.disk.fault = lambda *_: OK
            return step() if self.again else None

    def append(self, store: SQLStore, after: int, number: int) -> None:
        """Append; and where it is said that nothing has changed, look."""
        ids = [f"id {version}" for version in range(after + 1, after + number + 1)]
        before = len(self.refused)

        def step() -> None:
            if len(self.refused) > before and not self.refused[-1].unknown:
                with SQLStore(url(self.path)) as other:
                    assert versions(other) == list(range(1, after + 1))
            store.append(STREAM, events(STREAM, after, number), expected_version=after, event_ids=ids)

        self.do(step)
        if len(self.refused) > before:
            self.acknowledged.append((len(self.disk.log), after + number))

    def work(self) -> None:
        """Open, read, append, check and close."""
        store = self.do(lambda: SQLStore(url(self.path)))
        if store is None:
            return
        with store:
            self.do(lambda: versions(store))
            self.append(store, 3, 1)
            self.append(store, 4, 30)
            self.do(lambda: list(store.read_all()))
            self.do(lambda: list(store.streams()))
            self.do(lambda: list(store.verify()))


def hit_at_every_call(path: Path, *, again: bool, step: int = 1) -> Counter[str]:
    """Fail at every call in turn, or each so many, once and until it is mended; what became of it."""
    tally: Counter[str] = Counter()
    whole = path.read_bytes()
    for once in (True, False):
        call, last = 1, False
        while not last:
            shutil.rmtree(path.parent)
            path.parent.mkdir()
            path.write_bytes(whole)
            with Disk(path.parent) as disk:
                user = User(path, disk, call, once=once, again=again)
                user.work()
            with SQLStore(url(path)) as store:
                tally["lost"] += versions(store) != list(range(1, 35))
                tally["damaged"] += list(store.verify()) != []
            for length, version in user.acknowledged:
                # And now the power goes. What was flushed by nobody is gone, even if somebody has read it.
                [(_, files)] = images(disk.log, [length], random.Random(1), kept=0)
                for name, content in files.items():
                    (path.parent / name).write_bytes(content)
                with SQLStore(url(path)) as store:
                    tally["lost in a power cut"] += versions(store)[-1] < version
                    tally["damaged"] += list(store.verify()) != []
            last = user.hit is None
            tally["errors"] += not last
            tally["refusals"] += len(user.refused)
            tally[f"at {user.hit}"] += 1
            call += step
    return tally


def test_an_error_at_any_call_loses_nothing(path: Path, record_property: Tell) -> None:
    tally = hit_at_every_call(path, again=True, step=tries(4, 1))
    record_property("tried", f"{tally['errors']} I/O errors of a SQLite store, {tally['refusals']} of them refusals")
    assert tally["errors"] > tries(20, 150)
    assert tally["refusals"] > tries(10, 100)
    assert [tally[name] for name in ("lost", "lost in a power cut", "damaged")] == [0, 0, 0]


def test_an_error_is_no_success(path: Path) -> None:
    """The negative control: who takes a refusal for a success loses events, and the test finds them missing."""
    assert hit_at_every_call(path, again=False, step=17)["lost"] > 0


class TestARepeat:
    """What a commit that failed has left in the log is taken from it later, but nobody has flushed it yet."""

    def unflushed(self, disk: Disk, step: Callable[[SQLStore], object], path: Path) -> None:
        """Do a step of which the flush fails, and then all; and do it again once the device is mended."""

        def fault(kind: str, _: str, number: int) -> int:
            failed = any(kind == "sync" for kind, _ in disk.calls[first:number])
            return CODES[kind] if failed else OK

        with SQLStore(url(path)) as store:
            store.append("msgbatch_03", events("msgbatch_03", 0, 1), expected_version=0)  # the log is begun
            first, disk.fault = len(disk.calls), fault
            with pytest.raises(lc.StoreError) as refused:
                step(store)
            assert refused.value.unknown
            disk.fault = lambda *_: OK
            step(store)

    def left(self, disk: Disk, length: int, path: Path) -> SQLStore:
        """The store as a power cut leaves it."""
        [(_, files)] = images(disk.log, [length], random.Random(1), kept=0)
        for old in path.parent.iterdir():
            old.unlink()
        for name, content in files.items():
            (path.parent / name).write_bytes(content)
        return SQLStore(url(path))

    def test_of_an_append_is_durable(self, path: Path) -> None:
        done = []

        def append(store: SQLStore) -> None:
            store.append(STREAM, events(STREAM, 3, 2), expected_version=3, event_ids=["fourth", "fifth"])
            done.append(len(disk.log))

        with Disk(path.parent) as disk:
            self.unflushed(disk, append, path)
        with self.left(disk, done[0], path) as store:
            assert versions(store) == [1, 2, 3, 4, 5]

    def test_of_a_forgetting_is_durable(self, path: Path) -> None:
        done = []

        def forget(store: SQLStore) -> None:
            store.forget("msgbatch_02")
            done.append(len(disk.log))

        with SQLStore(url(path)) as store:
            store.append("msgbatch_02", life("msgbatch_02"), expected_version=0)
        with Disk(path.parent) as disk:
            self.unflushed(disk, forget, path)
        with self.left(disk, done[0], path) as store:
            assert store.head("msgbatch_02").forgotten


class TestAFullDisk:
    def fill(self, disk: Disk) -> None:
        disk.fault = lambda kind, *_: FULL if kind == "write" else OK

    def test_refuses_and_changes_nothing(self, path: Path) -> None:
        with Disk(path.parent) as disk, SQLStore(url(path)) as store:
            self.fill(disk)
            for _ in range(2):
                with pytest.raises(lc.StoreError):
                    store.append(STREAM, events(STREAM, 3, 2), expected_version=3)
            assert versions(store) == [1, 2, 3]
            disk.fault = lambda *_: OK
        with SQLStore(url(path)) as store:
            assert versions(store) == [1, 2, 3]
            assert list(store.verify()) == []

    def test_with_room_again_takes_the_next_append(self, path: Path) -> None:
        with Disk(path.parent) as disk, SQLStore(url(path)) as store:
            store.append(STREAM, events(STREAM, 3, 1), expected_version=3)
            self.fill(disk)
            with pytest.raises(lc.StoreError):
                store.append(STREAM, events(STREAM, 4, 40), expected_version=4)
            disk.fault = lambda *_: OK
            store.append(STREAM, events(STREAM, 4, 2), expected_version=4)
            assert versions(store) == [1, 2, 3, 4, 5, 6]
            assert list(store.verify()) == []
        with SQLStore(url(path)) as store:
            assert versions(store) == [1, 2, 3, 4, 5, 6]
            assert list(store.verify()) == []
