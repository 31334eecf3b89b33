"""
A log against the bare decoding of its lines: ``python -m benchmarks.logs [EVENTS]``.

The yardstick decodes each line into one msgspec struct, garbage collection off, and does nothing else.  Ours is the
whole of ``lifecycle audit`` over the same file, as a process of its own, start-up included: CPU seconds of both, in
turn, and the median of the ratios.  Then the peak memory of an audit, for two logs of as many live streams.
"""

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec


class Line(msgspec.Struct):
    """The yardstick's struct."""

    subject: str
    type: str
    sequence: str
    time: str
    data: dict[str, Any]


def decode_only(path: Path) -> float:
    """CPU seconds for the yardstick."""
    lines = path.read_bytes().splitlines()
    decode = msgspec.json.Decoder(Line).decode
    gc.collect()
    gc.disable()
    start = time.process_time()
    for line in lines:
        decode(line)
    spent = time.process_time() - start
    gc.enable()
    return spent


def lifecycle(*arguments: str, stdout: Path) -> tuple[float, int]:
    """CPU seconds and peak memory in KiB of a command, which has to be satisfied."""
    with stdout.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-m", "lifecycle", *arguments], stdout=file, stderr=subprocess.PIPE)
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said.decode()
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def generate(folder: Path, events: int, interleave: int = 8) -> Path:
    """A legal log."""
    path = folder / f"{events}-{interleave}.jsonl"
    lifecycle("generate", "--events", str(events), "--seed", "1", "--interleave", str(interleave), stdout=path)
    return path


def main(events: int = 1_000_000, rounds: int = 5) -> None:
    """Print the ratio and the memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Memory first: a child begins with the size of its parent.
        for count in (events, 5 * events):
            longer = generate(folder, count)
            _, memory = lifecycle("audit", "--profile", "hosted", str(longer), stdout=folder / "out")
            print(f"peak memory for {count:,} events of as many live streams: {memory / 1024:.1f} MiB")
            longer.unlink()

        path = generate(folder, events)
        pairs = []
        for _ in range(rounds):
            ours, memory = lifecycle("audit", "--profile", "hosted", str(path), stdout=folder / "out")
            pairs.append((ours, decode_only(path), memory))
        ratio = statistics.median(ours / theirs for ours, theirs, _ in pairs)
        ours, theirs = (statistics.median(column) for column in list(zip(*pairs, strict=True))[:2])
        print(f"audit of {events:,} events: {ours:.2f} s, decoding alone {theirs:.2f} s, ratio {ratio:.2f}")
        print(f"({ours / events * 1e6:.2f} and {theirs / events * 1e6:.2f} us an event)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
