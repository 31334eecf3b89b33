"""
Following a long log, and being killed all the time: ``python -m benchmarks.follow [EVENTS] [KILLS]``.

The log has ten events a stream, twenty thousand streams alive at a time, and a fault or a late repeat in every thousand
lines.  A process of its own follows it to its end, and says how much of its memory grew with what it holds: for the
finished streams in the whole log, for live ones in another, in which every other has ended a short time ago.  Then it
is followed once more, killed (SIGKILL) at random moments and started again: what it has written at last must be,
finding by finding, what ``lifecycle audit`` finds.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from lifecycle import following

ALIVE = 20_000
LENGTH = 10
SECONDS = 26  # between two records: a life takes two months
UPDATE, ARCHIVE = "counts_updated", "archived"


def stamp(seconds: int) -> str:
    """A time, so many seconds after the beginning of 2025, in the recorded form."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00", time.gmtime(1_735_689_600 + seconds))


def line(batch_id: str, version: int, tag: str, now: str, data: str) -> str:
    """A line of a log."""
    body = (
        f'{{"specversion":"1.0","id":"{batch_id}/{version}","source":"/v1/messages/batches/{batch_id}",'
        f'"subject":"{batch_id}","type":"lifecycle.message_batch.{tag}.v1","sequence":"{version:020d}","time":"{now}",'
        f'"datacontenttype":"application/json","data":{data}'
    )
    return '{},"crc32":"{:08x}"}}\n'.format(body, crc32(body.encode() + b"}"))


def tags(number: int, *, ends: bool) -> list[str]:
    """The events of a stream: a quarter is canceled; all end, or every other; some are archived, and deleted."""
    end = ["ended", ARCHIVE, "deleted"][: 1 + number % 3 if ends else number % 2]
    start = ["created", *(["cancel_initiated"] if number % 4 == 0 else [])]
    return [*start, *[UPDATE] * (LENGTH - len(start) - len(end)), *end]


def data_of(batch_id: str, tag: str, version: int, now: str) -> str:
    """What an event says."""
    if tag == "created":
        return f'{{"id":"{batch_id}","created_at":"{now}","expires_at":"{now}","request_count":100}}'
    left = 0 if tag == "ended" else 100 - version
    counts = f'"request_counts":{{"processing":{left},"succeeded":{100 - left},"errored":0,"canceled":0,"expired":0}}'
    match tag:
        case "counts_updated":
            return f"{{{counts}}}"
        case "ended":
            url = f"https://api.anthropic.com/v1/messages/batches/{batch_id}/results"
            return f'{{"ended_at":"{now}",{counts},"results_url":"{url}"}}'
        case "archived":
            return f'{{"archived_at":"{now}","results_url":null}}'
        case _:
            return f'{{"{tag}_at":"{now}"}}'


def lines(events: int, alive: int, *, ends: bool) -> Iterator[str]:
    """A log."""
    chance = random.Random(1).random  # noqa: S311 -- nothing secret
    letters = [f"{number:06x}" for number in random.Random(2).sample(range(1 << 24), 1 << 16)]  # noqa: S311 -- as above
    numbers = itertools.count()

    def born() -> tuple[str, Iterator[str], list[int]]:
        number = next(numbers)
        batch_id = f"msgbatch_01{letters[number & 0xFFFF]}{number:016d}"
        return batch_id, iter(tags(number, ends=ends)), [0]

    lives = [born() for _ in range(alive)]
    done: deque[str] = deque(maxlen=1000)
    for number in range(events):
        now = stamp(number * SECONDS if ends else number // 1000)
        place = int(chance() * alive) if ends else number % alive
        batch_id, tags_left, version = lives[place]
        tag = next(tags_left, None)
        if tag is None:
            done.append(batch_id)
            batch_id, tags_left, version = lives[place] = born()
            tag = next(tags_left)
        version[0] += 1
        if number % 1000 or not done or not ends:
            yield line(batch_id, version[0], tag, now, data_of(batch_id, tag, version[0], now))
            continue
        late = done[int(chance() * len(done))]
        match number // 1000 % 5:  # the event of this stream is lost with it: a gap
            case 0:
                yield '{"torn":\n'
            case 1:  # of a finished stream one more event; and some that say something else than before
                yield line(late, LENGTH + 1, UPDATE, now, data_of(late, UPDATE, 9, now))
            case 2:
                yield line(late, LENGTH - 4, UPDATE, now, data_of(late, UPDATE, 1, now))
            case 3:  # a harmless repeat
                yield line(late, LENGTH - 3, UPDATE, now, data_of(late, UPDATE, LENGTH - 3, now))
            case _:
                yield line(late, LENGTH - 3, "deleted", now, data_of(late, "deleted", 1, now))


def write(path: Path, events: int, alive: int, *, ends: bool = True) -> None:
    """Write a log."""
    with path.open("w", encoding="ascii") as file:
        found = lines(events, alive, ends=ends)
        while chunk := list(itertools.islice(found, 10_000)):
            file.write("".join(chunk))


def memory() -> int:
    """How many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def child(path: str) -> None:
    """Follow a log to its end, and say how much there was."""
    before = memory()
    start = time.process_time()
    followed = following.follow(path, until_end=True)
    found = sum(1 for _ in followed)
    spent = time.process_time() - start
    print(json.dumps([followed.events, followed.live, followed.finished, found, memory() - before, spent]))


def measured(path: Path) -> list[float]:
    """What a child says."""
    command = [sys.executable, "-m", "benchmarks.follow", "--child", str(path)]
    answer: list[float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return answer


def print_memory(path: Path, live_path: Path) -> None:
    """Say how much memory a live and a finished stream take."""
    events, live, _, _, grown, _ = measured(live_path)
    each = grown / live
    print(f"{events:,} events of {live:,} live streams: memory grew by {grown:,}: {each:.0f} bytes a live stream")
    events, live, finished, found, grown, spent = measured(path)
    print(
        f"{events:,} events, {found:,} findings, {events / spent:,.0f} events in a CPU second; "
        f"{live:,} live, {finished:,} finished: memory grew by {grown:,}: "
        f"{(grown - live * each) / finished:.1f} bytes a finished stream, without the live ones; "
        f"{grown / finished:.1f} with them",
        flush=True,
    )


def follower(path: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Start to follow, or go on."""
    command = [sys.executable, "-m", "lifecycle", "audit", "--follow", str(path), "--until-end"]
    command += ["--checkpoint", str(folder / "checkpoint"), "--findings", str(folder / "findings.jsonl")]
    command += ["--checkpoint-every", "1s", "--format", "jsonl"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def killed(path: Path, folder: Path, times: int, seconds: float) -> tuple[int, list[str]]:
    """Follow to the end, killed so often, at moments all over the log: how often it was, and the findings."""
    chance = random.Random(3).random  # noqa: S311 -- nothing secret
    checkpoint = folder / "checkpoint"
    done, longest = 0, 2 * seconds / max(1, times)
    while True:
        process = follower(path, folder)
        before = 0
        if done < times:
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            time.sleep(1 + chance() * longest)
            process.send_signal(signal.SIGKILL)
        status = process.wait()
        if status >= 0:
            assert status in (0, 1), status
            return done, (folder / "findings.jsonl").read_text(encoding="ascii").splitlines()
        done += 1
        if not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
            longest *= 1.2  # it got nowhere
        print(".", end="", flush=True)


def print_kills(path: Path, folder: Path, times: int, seconds: float) -> None:
    """Say what became of the findings."""
    audit = [sys.executable, "-m", "lifecycle", "audit", str(path), "--format", "jsonl"]
    expected = subprocess.run(audit, stdout=subprocess.PIPE, check=False).stdout.decode().splitlines()
    work = folder / "work"
    work.mkdir()
    start = time.perf_counter()
    done, found = killed(path, work, times, seconds)
    spent = time.perf_counter() - start
    twice = len(found) - len(set(found))
    missing, foreign = len(set(expected) - set(found)), len(set(found) - set(expected))
    print(
        f"\nkilled {done} times in {spent:,.0f} seconds: {len(found):,} findings of {len(expected):,}; "
        f"{twice} twice, {missing} missed, {foreign} of nobody",
        flush=True,
    )
    shutil.rmtree(work)
    assert sorted(found) == sorted(expected)
    assert done == times


def main(events: int = 10_000_000, kills: int = 50) -> None:
    """Print the memory, the speed, and what kills do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, live_path = folder / "log.jsonl", folder / "live.jsonl"
        write(path, events, ALIVE)
        write(live_path, events // 10, events // (10 * LENGTH), ends=False)
        start = time.perf_counter()
        print_memory(path, live_path)
        print_kills(path, folder, kills, time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        main(*map(int, sys.argv[1:3]))
