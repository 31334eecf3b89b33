"""
A results file against the bare decoding of its lines: ``python -m benchmarks.results [LINES]``.

Two yardsticks, each a loop over lines that lie in memory, garbage collection off, and nothing else: decoding into the
leanest msgspec struct that a reader can do with (the id and the type; msgspec skips the message), and decoding into
builtins, as most readers do.  Ours is `reconcile` from the file, without and with the submitted ids, theirs in a file
as well; and the command ``lifecycle reconcile`` as a process of its own, start-up included.  CPU seconds of all, in
turn, in one run; the medians of the ratios.  Then the peak memory of a process.
"""

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from lifecycle import results, wire

ID = "msgbatch_016p4d74dpScsKg7Q1bcA9bz"


class Outcome(msgspec.Struct):
    """The part of a result that a reader cannot do without."""

    type: str


class Line(msgspec.Struct):
    """The lean yardstick's struct."""

    custom_id: str
    result: Outcome


def write(folder: Path, lines: int) -> tuple[Path, Path, Path]:
    """A batch, its results in another order than the requests, and the submitted ids."""
    chance = random.Random(1)  # noqa: S311 -- seeded pseudo-random input is wanted
    ids = [f"request-{number:07d}" for number in range(lines)]
    counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
    batch, file, submitted = folder / "batch.json", folder / "results.jsonl", folder / "ids.txt"
    submitted.write_text("\n".join(ids) + "\n")
    chance.shuffle(ids)
    with file.open("w", encoding="utf-8") as out:
        for custom_id in ids:
            [kind] = chance.choices(list(counts), (90, 5, 3, 2))
            counts[kind] += 1
            out.write(json.dumps({"custom_id": custom_id, "result": result(kind, custom_id)}, separators=(",", ":")))
            out.write("\n")
    ended = wire.structure_batch(
        {
            "id": ID,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {"processing": 0, **counts},
            "created_at": "2025-01-29T14:24:59.570697+00:00",
            "expires_at": "2025-01-30T14:24:59.570697+00:00",
            "ended_at": "2025-01-29T15:24:59.570697+00:00",
            "cancel_initiated_at": "2025-01-29T15:04:59.570697+00:00",
        }
    )
    batch.write_bytes(wire.encode_batch(ended))
    return batch, file, submitted


def result(kind: str, custom_id: str) -> dict[str, Any]:
    """A result as the API writes it, with a short answer."""
    match kind:
        case "succeeded":
            return {
                "type": kind,
                "message": {
                    "id": "msg_014VwiXbi91y3JMjcpyGBHX5",
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-sonnet-4-5-20250929",
                    "content": [{"type": "text", "text": f"Hello! The answer to {custom_id} is forty-two."}],
                    "stop_reason": "end_turn",
                    "stop_sequence": None,
                    "usage": {"input_tokens": 11, "output_tokens": 36, "service_tier": "batch"},
                },
            }
        case "errored":
            error = {"type": "overloaded_error", "message": "Overloaded"}
            return {"type": kind, "error": {"type": "error", "error": error, "request_id": None}}
        case _:
            return {"type": kind}


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    work()
    spent = time.process_time() - start
    gc.enable()
    return spent


def decode_all(lines: list[bytes], kind: Any) -> None:
    """A yardstick: decode each line, keep nothing."""
    decode = msgspec.json.Decoder(kind).decode
    for line in lines:
        decode(line)


def ours(batch: Path, file: Path, submitted: Path | None) -> None:
    """Reconcile, and see that all is well."""
    found = results.reconcile(wire.decode_batch(batch.read_bytes()), file, submitted=submitted)
    assert found.whole
    assert sum(1 for _ in found.retries) == found.tallies.total - found.tallies.succeeded


def command(*arguments: str) -> tuple[float, int]:
    """CPU seconds and peak memory in KiB of a command, which has to be satisfied."""
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said.decode()
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main(lines: int = 1_000_000, count: int = 5) -> None:
    """Print the memory and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        # Written by a process of its own, and memory first: a child begins with the size of its parent.
        command("-c", f"from pathlib import Path; from benchmarks.results import write; write(Path({name!r}), {lines})")
        batch, file, submitted = (Path(name) / part for part in ("batch.json", "results.jsonl", "ids.txt"))
        print(f"{lines:,} lines, {file.stat().st_size / 1e6:.0f} MB")
        reconcile = ("-m", "lifecycle", "reconcile", str(batch), str(file))
        given = ("--submitted", str(submitted))
        load = "import lifecycle.results, sys; ids = dict.fromkeys(lifecycle.results.submitted_ids(sys.argv[1]))"
        print(f"peak memory, without the ids: {command(*reconcile)[1] / 1024:.1f} MiB")
        print(f"peak memory, with the ids: {command(*reconcile, *given)[1] / 1024:.1f} MiB")
        only = command("-c", load, str(submitted))[1]
        print(f"peak memory of a process that holds the ids in a dictionary, and nothing else: {only / 1024:.1f} MiB")

        content = file.read_bytes().splitlines()
        work: dict[str, Callable[[], float]] = {
            "reconcile, no ids": partial(seconds, partial(ours, batch, file, None)),
            "reconcile, ids from a file": partial(seconds, partial(ours, batch, file, submitted)),
            "the command, no ids": lambda: command(*reconcile)[0],
            "the command, ids from a file": lambda: command(*reconcile, *given)[0],
        }
        lean = partial(seconds, partial(decode_all, content, Line))
        whole = partial(seconds, partial(decode_all, content, Any))
        rounds = [(lean(), whole(), *(measure() for measure in work.values())) for _ in range(count)]
        columns = list(zip(*rounds, strict=True))
        for title, column in zip(("decode into a struct", "decode into builtins", *work), columns, strict=True):
            against = [
                statistics.median(mine / theirs for mine, theirs in zip(column, other, strict=True))
                for other in columns[:2]
            ]
            print(
                f"{title:<30} {statistics.median(column):6.2f} s   ratio to the struct {against[0]:.2f}, "
                f"to builtins {against[1]:.2f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
