"""
A log against the bare decoding of its lines: ``python -m benchmarks.logs [EVENTS]``.

The yardstick decodes each line into one msgspec struct, garbage collection off, and does nothing else.  Ours is the
whole of ``lifecycle audit`` over the same file, as a process of its own, start-up included: CPU seconds of both, in
turn, and the median of the ratios, for logs with few and with many live streams: the more there are, the more of each
record's time is waiting for memory.  The peak memory of an audit is shown for two logs of as many live streams.
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


def generate(folder: Path, events: int, interleave: int) -> Path:
    """A legal log."""
    path = folder / f"{events}-{interleave}.jsonl"
    lifecycle("generate", "--events", str(events), "--seed", "1", "--interleave", str(interleave), stdout=path)
    return path


def main(events: int = 1_000_000, rounds: int = 5) -> None:
    """Print the memory and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Memory first: a child begins with the size of its parent.
        for count in (events, 5 * events):
            path = generate(folder, count, 1000)
            _, memory = lifecycle("audit", "--profile", "hosted", str(path), stdout=folder / "out")
            path.unlink()
            print(f"peak memory for {count:,} events of 1,000 live streams: {memory / 1024:.1f} MiB")
        for interleave in (100, 1000, 10_000):  # 1,000 is what `generate` makes of as many events by itself
            path = generate(folder, events, interleave)
            pairs = []
            for _ in range(rounds):
                ours, _ = lifecycle("audit", "--profile", "hosted", str(path), stdout=folder / "out")
                pairs.append((ours, decode_only(path)))
            path.unlink()
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            ours, theirs = (statistics.median(column) / events * 1e6 for column in zip(*pairs, strict=True))
            print(
                f"audit of {events:,} events, {interleave:,} live streams:"
                f" {ours:.2f} us an event, decoding alone {theirs:.2f} us, ratio {ratio:.2f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
