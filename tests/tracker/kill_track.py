"""
Kill a tracker at each of its steps and start it again: each event must be in its log once, and be told once.

    python -m tests.tracker.kill_track [--times N] [--seed N] [--late] [--in-place]

A step is a line of code: of `lifecycle.tracker` and of `lifecycle.log`, as one life without a kill runs through them.
Each step is met by SIGKILL at one of the moments that come to it; a write is cut in the middle.  The next life goes on
with the same log and the same server; it is killed, too, in one of three cases, and the one after that, until one comes
to its end.  Each life tells through a pipe what it was told.  Results are whole whenever they have their name.

There are two negative controls, with which the same check has to fail: with `--late` the events are told first and
written then, with `--in-place` results have their name from the beginning.  The exit status is 1 if anything was wrong.
"""

import argparse
import gc
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import lifecycle as lc
from lifecycle import log, tracker, wire
from tests.tracker.api import BatchesAPI, Course, result_line
from tests.tracker.clocks import START, Clock

_FILES = (tracker.__file__, log.__file__)
_SECONDS = struct.Struct("<d")

Place = tuple[str, int]


class _SharedClock(Clock):
    """Its time goes on in the next life: it is in memory that all of them share."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = mmap.mmap(-1, _SECONDS.size)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._memory[:] = _SECONDS.pack(self.seconds)

    def go_on(self) -> None:
        self.now = START + timedelta(seconds=_SECONDS.unpack(self._memory[:])[0])


class _World:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.with_suffix(".results")
        self.clock = _SharedClock()
        self.api = BatchesAPI(clock=self.clock, course=lambda _: Course(timedelta(minutes=1), live=True))
        self.ids = [self.api.create(["a", "b"]).id for _ in range(2)]

    def retrieve(self, batch_id: str) -> bytes:
        """The official client is not killed here: it would have most of the lines."""
        return wire.encode_batch(self.api.batch(batch_id))

    def get(self, url: str, **_: object) -> Any:
        """The results, in pieces."""
        lines = self.results(url.split("/")[-2])
        half = len(lines) // 2
        return SimpleNamespace(iter_bytes=lambda: iter((lines[:half], lines[half:])), close=lambda: None)

    def results(self, batch_id: str) -> bytes:
        """What a whole file of results has."""
        return b"".join(result_line(*each) for each in self.api._find(batch_id).results())

    def live(self, tell: Callable[[lc.Record], object], *, control: str | None) -> None:
        """Track to the end."""
        pending: list[Sequence[lc.Record]] = []
        client: Any = SimpleNamespace(
            messages=SimpleNamespace(batches=SimpleNamespace(retrieve=self.retrieve)),
            get=self.get,
            base_url="https://api.anthropic.com",
        )
        if control == "late":

            def hold_back(_: object, records: Sequence[lc.Record]) -> bool:
                pending.append(records)
                return True

            tracker._File._append = hold_back  # type: ignore[assignment, method-assign] # the mistake that must be found
        if control == "in place":

            def begin(part: tracker._Part, fetch: tracker._Fetch) -> None:
                part._fetch, part._name, part._file = fetch, fetch.path, fetch.path.open("wb")

            tracker._Part.__init__ = begin  # type: ignore[assignment, method-assign] # as above
        for record in tracker.track(
            client,
            self.ids,
            log=self.path,
            results=self.folder,
            clock=self.clock,
            sleep=self.clock.sleep,
            rng=random.Random(1),
        ):
            tell(record)
            while pending:
                log.append(self.path, pending.pop(0))


class _Steps:
    """Counts the steps of this process, and ends it at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.places: list[Place] = []
        self._last = last

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._step if frame.f_code.co_filename in _FILES else None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            self.places.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.places) == self._last:
                if frame.f_code is log._write.__code__ and frame.f_locals.get("view"):
                    view = frame.f_locals["view"]
                    frame.f_locals["file"].write(view[: len(view) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return self._step


def _life(world: _World, last: int | None, *, control: str | None) -> tuple[bool, list[str]]:
    """One life in a process of its own; whether it came to its end, and what it was told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            world.clock.go_on()
            with _Steps(last):
                world.live(lambda record: os.write(writing, f"{record.event_id}\n".encode()), control=control)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read().split()
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a tracker failed")
    return not os.WIFSIGNALED(status), told


def _steps() -> list[Place]:
    """The steps of a life without a kill."""
    with tempfile.TemporaryDirectory() as folder:
        world, steps = _World(Path(folder, "log.jsonl")), _Steps()
        with steps:
            world.live(lambda _: None, control=None)
    return steps.places


def _check(world: _World, told: list[str], tally: Counter[str]) -> None:
    world.clock.go_on()
    records = list(log.read(world.path))
    report = lc.replay(records)
    written = Counter(record.event_id for record in records)
    events = Counter((record.batch_id, record.event) for record in records)
    tally["events"] += len(records)
    tally["wrong: twice in the log"] += sum(number - 1 for number in (*written.values(), *events.values()))
    tally["wrong: against the rules"] += len(report.findings)
    tally["wrong: the final batch"] += sum(report.batches.get(each) != world.api.batch(each) for each in world.ids)
    tally["wrong: told twice"] += len(told) - len(set(told))
    tally["wrong: told, and not in the log"] += len(set(told) - set(written))
    whole = {f"{batch_id}.jsonl" for batch_id in world.ids}
    tally["wrong: results are missing, or too many"] += len(
        whole.symmetric_difference(file.name for file in world.folder.iterdir())
    )
    tally["in the log, and told to nobody"] += len(set(written) - set(told))  # killed in between: the log has it


def run(times: int | None, seed: int, folder: Path, *, control: str | None = None) -> Counter[str]:
    """Kill trackers at so many steps, by default at all; what became of their events."""
    gc.freeze()  # a child that collects copies all of its parent
    rng = random.Random(seed)
    moments: dict[Place, list[int]] = defaultdict(list)
    for number, place in enumerate(_steps(), 1):
        moments[place].append(number)
    chosen = [rng.choice(each) for each in moments.values()]
    total = sum(map(len, moments.values()))
    tally: Counter[str] = Counter({"steps": len(moments)})
    for number, first in enumerate(chosen[:: max(1, len(chosen) // times) if times else 1]):
        world = _World(folder / f"{number}.jsonl")
        last: int | None = first
        told: list[str] = []
        while True:
            ended, heard = _life(world, last, control=control)
            told += heard
            if ended:
                break
            tally["kills"] += 1
            last = rng.randrange(1, total) if rng.random() < 1 / 3 else None
            # At any time, not only in the end:
            if control != "late" and world.path.exists():
                written = {record.event_id for record in log.read(world.path)}
                tally["wrong: told, and not yet in the log"] += len(set(told) - written)
            for file in world.folder.glob("*.jsonl"):
                world.clock.go_on()
                tally["wrong: results that are not whole"] += file.read_bytes() != world.results(file.stem)
        _check(world, told, tally)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill trackers and print what became of their events."""
    parser = argparse.ArgumentParser(description="Kill a tracker at each of its steps and start it again.")
    parser.add_argument("--times", type=int, default=None, help="at about so many steps (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="another one kills at other moments (default: 1)")
    controls = parser.add_mutually_exclusive_group()
    for name, meaning in ("late", "tell first and write then"), ("in place", "results have their name at once"):
        option = f"--{name.replace(' ', '-')}"
        what = f"{meaning}: it has to be found"
        controls.add_argument(option, dest="control", action="store_const", const=name, help=what)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.times, asked.seed, Path(folder), control=asked.control)
    print("; ".join(f"{name}: {tally[name]}" for name in sorted(tally)))
    return 1 if any(tally[name] for name in tally if name.startswith("wrong")) else 0


if __name__ == "__main__":
    sys.exit(main())
