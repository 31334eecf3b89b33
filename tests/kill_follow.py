"""
Kill a follower of a log, again and again: each finding must be in its file of findings, once.

    python tests/kill_follow.py --times 50 [--seed N]

The follower is a process of its own that writes a checkpoint as often as it can, and meets SIGKILL at a random moment;
the next one goes on.  While they do, the log grows, also in the middle of a line.  The exit status is 1 if a finding
was missed, given twice, or is none of the log's.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lifecycle as lc
from lifecycle import following, log, wire

_T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
_STREAMS = 120


def lines() -> bytes:
    """A log of many short streams, each of which breaks a rule or two, some of them when they are finished."""
    found = []
    for number in range(_STREAMS):
        batch_id, at = f"msgbatch_{number}", _T + timedelta(hours=number)
        counts = lc.RequestCounts(0, 2)
        events: list[lc.Event] = [
            lc.Created(batch_id, at, at + timedelta(hours=24), 2),
            lc.CountsUpdated(lc.RequestCounts(3)),  # T3
            lc.Ended(at + timedelta(minutes=1), counts),
            lc.Archived(at + timedelta(days=30)),
        ]
        found += [
            (at, version, lc.Record(batch_id, version, event, None, at)) for version, event in enumerate(events, 1)
        ]
        late = at + timedelta(hours=20)
        found.append((late, 0, lc.Record(batch_id, 5, lc.CountsUpdated(counts), None, late)))  # T1
        found.append((late, 1, lc.Record(batch_id, 3, events[2], None, late)))  # a repeat
        found.append((late, 2, lc.Record(batch_id, 3, events[3], None, late)))  # L4
    found.sort(key=lambda item: (item[0], item[2].batch_id, item[1]))
    return b"".join(wire.encode_record(record) + b"\n" for _, _, record in found)


def follow(path: Path, folder: Path) -> following.Following:
    """Follow, or go on, with a checkpoint after each block of lines."""
    return following.follow(
        path,
        forget_after=timedelta(hours=3),
        checkpoint=folder / "checkpoint",
        findings=folder / "findings.jsonl",
        every=timedelta(0),
        until_end=True,
    )


def _killed(path: Path, folder: Path, after: float) -> bool:
    """Follow in a process that is killed; whether it was before it was done."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            list(follow(path, folder))
            status = 0
        finally:
            os._exit(status)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return True
    if os.waitstatus_to_exitcode(ended):
        raise RuntimeError("the follower failed")
    return False


def run(times: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so many followers; what became of the findings."""
    rng = random.Random(seed)
    whole = lines()
    tally: Counter[str] = Counter()
    longest = 0.02  # seconds; the more of them get nowhere, the longer
    while tally["kills"] < times:
        work = folder / str(tally["logs"])
        work.mkdir()
        path = work / "log.jsonl"
        path.touch()
        given = 0
        while given < len(whole) and tally["kills"] < times:
            tally["kills"] += _killed(path, work, rng.random() * longest)
            given += rng.randrange(len(whole) // 6)  # it may end in the middle of a line
            path.write_bytes(whole[:given])
            longest = min(0.5, 1.02 * longest)
        path.write_bytes(whole)
        while tally["kills"] < times and _killed(path, work, rng.random() * longest):
            tally["kills"] += 1
            longest = min(0.5, 1.2 * longest)
        list(follow(path, work))
        tally["logs"] += 1
        expected = Counter(following.encode_finding(finding) for finding in lc.audit(log.read(path)))
        found = Counter((work / "findings.jsonl").read_bytes().splitlines(keepends=True))
        tally["findings"] += found.total()
        tally["missed"] += (expected - found).total()
        tally["wrong"] += (found - expected).total()
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill followers and print what became of the findings."""
    parser = argparse.ArgumentParser(description="Kill a follower of a log, again and again.")
    parser.add_argument("--times", type=int, default=50, help="how often (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="another one kills at other moments (default: 1)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.times, asked.seed, Path(folder))
    print(", ".join(f"{name}: {tally[name]}" for name in ("kills", "logs", "findings", "missed", "wrong")))
    return 1 if tally["missed"] or tally["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
