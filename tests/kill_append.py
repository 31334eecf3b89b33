"""
Kill a writer in the middle of its appends, again and again: every record that it acknowledged must be in the log.

    python tests/kill_append.py --times 500 [--seed N]

The writer is a process of its own; it tells through a pipe each append that has returned, and meets SIGKILL at a random
moment.  Some lines are long, so that one write is many pages and can be stopped in the middle.  The next writer goes on
with the same file, torn tail and all.  The exit status is 1 if a record was lost, or one came that was never written.
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
from datetime import UTC, datetime
from pathlib import Path

import lifecycle as lc
from lifecycle import log

_ACK = struct.Struct("<Q")
_KILLS_PER_FILE = 25
_T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)


def record(version: int) -> lc.Record:
    """The record of this version; one in three has a long line."""
    rng = random.Random(version)
    event_id = "x" * (rng.randrange(300_000) if rng.random() < 1 / 3 else rng.randrange(30))
    return lc.Record("msgbatch_01", version, lc.CountsUpdated(lc.RequestCounts(version)), f"{version}{event_id}", _T)


def _write(path: Path, version: int, acks: int, seed: int) -> None:
    rng = random.Random(seed)
    while True:
        following = version + rng.choice((1, 1, 2, 5))
        log.append(path, map(record, range(version, following)))
        version = following
        os.write(acks, _ACK.pack(version - 1))


def _killed_writer(path: Path, version: int, rng: random.Random) -> int:
    """Start a writer at *version* and kill it; the last version that it acknowledged, 0 if none."""
    reading, writing = os.pipe()
    seed = rng.getrandbits(32)
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _write(path, version, writing, seed)
        finally:
            os._exit(1)  # by itself it never ends
    os.close(writing)
    acks = os.read(reading, _ACK.size) if rng.random() < 0.8 else b""
    for _ in range(rng.randrange(4)):
        acks += os.read(reading, _ACK.size)
    select.select([], [], [], rng.random() * 0.004)  # a moment that falls anywhere in an append
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the writer ended by itself")
    while more := os.read(reading, 1 << 16):
        acks += more
    os.close(reading)
    return int(_ACK.unpack(acks[-_ACK.size :])[0]) if acks else 0


def run(times: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so many writers; what became of their records."""
    rng = random.Random(seed)
    tally: Counter[str] = Counter()
    path, whole = folder, 0
    for kill in range(times):
        if kill % _KILLS_PER_FILE == 0:
            path, whole = folder / f"{kill}.jsonl", 0
        acknowledged = _killed_writer(path, whole + 1, rng) or whole
        refused: list[lc.LogError] = []
        found = list(log.read(path, on_error=refused.append)) if path.exists() else []
        tally["kills"] += 1
        tally["acknowledged"] += acknowledged - whole
        tally["there though not acknowledged"] += len(found) - acknowledged
        tally["torn tails"] += len(refused)
        tally["lost"] += max(0, acknowledged - len(found))
        tally["wrong"] += sum(one != record(version) for version, one in enumerate(found, 1))
        tally["wrong"] += sum(not error.torn for error in refused)
        whole = len(found)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill writers and print what became of their records."""
    parser = argparse.ArgumentParser(description="Kill a writer in the middle of its appends, again and again.")
    parser.add_argument("--times", type=int, default=500, help="how often (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="another one kills at other moments (default: 1)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.times, asked.seed, Path(folder))
    print(", ".join(f"{name}: {tally[name]}" for name in sorted(tally)))
    return 1 if tally["lost"] or tally["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
