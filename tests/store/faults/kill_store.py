"""
Kill writers of a SQLite store in the middle of their appends, again and again: all that was acknowledged must be there.

    python -m tests.store.faults.kill_store --times 1000 [--seed N]

Three processes append to the same streams at the same time; each tells through a pipe what append has returned, and
meets SIGKILL at a random moment, whereupon another takes its place.  The store is read while the others go on: an
append is there whole or not at all, an acknowledged one is there, and no stream has a gap.  The exit status is 1 if
not.
"""

import argparse
import os
import random
import select
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import lifecycle as lc
from lifecycle.store.sql import SQLStore
from tests.store.faults.scale import event, events

_ACK = struct.Struct("<IIB")
"""Which writer, its how many-th append, and how many events."""
MISTAKES = ("lost", "torn", "wrong", "damaged", "ended by themselves")

_KILLS_PER_FILE = 25
_KILLS_PER_LOOK = 5
_WRITERS = 3
_STREAMS = [f"msgbatch_{number}" for number in range(4)]


def open_store(path: Path) -> AbstractContextManager[SQLStore]:
    """The store that a writer appends to."""
    return SQLStore(f"sqlite:///{path}")


def _write(path: Path, writer: int, acks: int) -> None:
    rng = random.Random(writer)
    with open_store(path) as store:
        number = 0
        while True:
            stream, length = rng.choice(_STREAMS), rng.choice((1, 1, 2, 5))
            try:
                version = store.head(stream).version
            except lc.StreamNotFound:
                version = 0
            ids = [f"{writer}/{number}/{place}/{length}" for place in range(length)]
            try:
                store.append(stream, events(stream, version, length), expected_version=version, event_ids=ids)
            except lc.VersionConflict:
                continue
            os.write(acks, _ACK.pack(writer, number, length))
            number += 1


def _start(path: Path, writer: int, acks: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            _write(path, writer, acks)
        finally:  # by itself it never ends; if it does, nobody waits for it
            os.write(acks, _ACK.pack(writer, 0, 0))
            os._exit(1)
    return child


def _kill(child: int, tally: Counter[str]) -> None:
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    tally["kills"] += 1
    tally["ended by themselves"] += not os.WIFSIGNALED(status)


def _judge(path: Path, acknowledged: set[str], tally: Counter[str]) -> None:
    """Count what is not as it should be."""
    found: set[str] = set()
    versions: Counter[str] = Counter()
    appends: Counter[str] = Counter()
    with SQLStore(f"sqlite:///{path}") as store:
        for _, record in store.read_all():
            stream = record.batch_id
            versions[stream] += 1
            tally["wrong"] += (record.version, record.event) != (versions[stream], event(stream, versions[stream]))
            writer, number, _, length = record.event_id.split("/")
            appends[f"{writer}/{number}/{length}"] += 1
            tally["wrong"] += record.event_id in found
            found.add(record.event_id)
        tally["damaged"] += len(list(store.verify()))
    tally["torn"] += sum(count != int(name.rpartition("/")[2]) for name, count in appends.items())
    tally["lost"] += len(acknowledged - found)
    tally["there though not acknowledged"] += len(found - acknowledged)


def run(times: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so many writers; what became of their events."""
    rng = random.Random(seed)
    tally: Counter[str] = Counter()
    started = seed << 16
    for done in range(0, times, _KILLS_PER_FILE):
        path = folder / f"{done}.db"
        reading, writing = os.pipe()
        acknowledged: set[str] = set()
        rest = b""

        def hear(reading: int = reading, acknowledged: set[str] = acknowledged) -> None:
            """Take in all that has been acknowledged until now."""
            nonlocal rest
            while select.select([reading], [], [], 0)[0]:
                rest += os.read(reading, 1 << 16)
            whole = len(rest) // _ACK.size * _ACK.size
            for writer, number, length in _ACK.iter_unpack(rest[:whole]):
                acknowledged.update(f"{writer}/{number}/{place}/{length}" for place in range(length))
            rest = rest[whole:]

        children: list[int] = []
        for kill in range(min(_KILLS_PER_FILE, times - done)):
            while len(children) < _WRITERS:
                started += 1
                children.append(_start(path, started, writing))
            if rng.random() < 0.9:  # else perhaps even before it has opened the store
                select.select([reading], [], [], 60)
            select.select([], [], [], rng.random() * 0.02)  # a moment that falls anywhere in an append
            _kill(children.pop(rng.randrange(_WRITERS)), tally)
            hear()
            if kill % _KILLS_PER_LOOK == 0:
                _judge(path, acknowledged, tally)
        while children:
            _kill(children.pop(), tally)
        hear()
        _judge(path, acknowledged, tally)
        tally["acknowledged"] += len(acknowledged)
        os.close(reading)
        os.close(writing)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill writers and print what became of their events."""
    parser = argparse.ArgumentParser(description="Kill writers of a SQLite store in the middle of their appends.")
    parser.add_argument("--times", type=int, default=1000, help="how often (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="another one kills at other moments (default: 1)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.times, asked.seed, Path(folder))
    print(", ".join(f"{name}: {tally[name]}" for name in sorted(tally)))
    return 1 if any(tally[mistake] for mistake in MISTAKES) else 0


if __name__ == "__main__":
    sys.exit(main())
