"""
What goes wrong, in every combination of two; a tracker killed at each of its steps; a thousand batches for a day.

Each run of the tests tries a part of it; LIFECYCLE_FAULTS=all, as in the session `faults` of nox, tries all.
"""

import gc
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.tracker import track
from tests.tracker import children
from tests.tracker.api import BatchesAPI, Course
from tests.tracker.clocks import START, Clock, run
from tests.tracker.wires import FAULTS, async_client, client
from tests.tracker.world import KINDS, Kind, World

ALL = os.environ.get("LIFECYCLE_FAULTS") == "all"
PAIRS = [
    pytest.param(*pair, kind, id=f"{pair[0]} and {pair[1]}, {kind}")
    for number, pair in enumerate(combinations_with_replacement(FAULTS, 2))
    for kind in (KINDS if ALL else [KINDS[number % 2]])
]


def mixed(one: str, other: str, seed: int) -> Iterator[str | None]:
    """Both faults, one after the other and again, then at random, with good answers in between: to the end."""
    yield from (one, None, other, None, one, other, None, other, one, one, None)
    rng = random.Random(seed)
    while True:
        yield rng.choice([one, other, None])


@pytest.mark.parametrize(("one", "other", "kind"), PAIRS)
def test_two_faults_together_change_nothing(one: str, other: str, kind: Kind, tmp_path: Path) -> None:
    for seed in range(3 if ALL else 1):
        world = World(mixed(one, other, seed), course=lambda _: Course(timedelta(hours=2 if ALL else 0.5), live=True))
        ids = world.create(2 if ALL else 1, size=12)
        path = tmp_path / f"{seed}.jsonl"
        records = world.track(ids, kind=kind, log=path)
        assert {one, other} == set(world.faults.met)
        assert records == list(log.read(path))
        assert Counter(record.event.tag for record in records)["ended"] == len(ids)
        world.assert_told(path, ids)
        assert world.conflicts == []


def test_every_fault_but_a_stale_answer_is_told(tmp_path: Path) -> None:
    """And so they are met at all: a stale answer is none that anybody could tell from a fresh one."""
    for fault in FAULTS:
        world = World([None, fault], course=lambda _: Course(timedelta(hours=1), live=True))
        world.track(world.create(1), log=tmp_path / fault)
        told = world.polls[1].problem
        assert (told is None) == (fault == "stale"), fault


def killed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    run = f"from tests.tracker import kill_track; sys.exit(kill_track.main({list(arguments)}))"
    return subprocess.run([sys.executable, "-c", children.code(run)], capture_output=True, check=False, text=True)


def test_killed_at_its_steps_it_tells_each_event_once(record_property: Callable[[str, object], None]) -> None:
    done = killed(*([] if ALL else ["--times", "35"]))
    assert done.returncode == 0, done.stdout + done.stderr
    tally = dict(part.rsplit(": ", 1) for part in done.stdout.strip().split("; "))
    assert int(tally["kills"]) >= (200 if ALL else 35)
    record_property("tried", f"trackers killed: {tally['kills']}")


def test_told_before_it_is_written_it_tells_some_events_twice() -> None:
    """The negative control: the same kills, without the order that guards."""
    done = killed("--late", "--times", "40")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong: told twice: 0" not in done.stdout
    assert "wrong: twice in the log: 0" in done.stdout


def test_results_that_have_their_name_at_once_are_found_in_pieces() -> None:
    """The other negative control: the same kills, without the part files."""
    done = killed("--in-place", "--times", "40")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong: results that are not whole: 0" not in done.stdout
    assert "wrong: told twice: 0" in done.stdout


class _Day:
    """A thousand batches: some end at once, most within hours, some are canceled by nobody and expire."""

    def __init__(self, number: int) -> None:
        self.clock = Clock()
        self.api = BatchesAPI(clock=self.clock, course=self._course)
        self.ids = [self.api.create(["a", "b"]).id for _ in range(number)]
        self.looks: list[float] = []
        self.objects: list[int] = []

    def _course(self, batch_id: str) -> Course:
        rng = random.Random(batch_id)
        hours = rng.choice([rng.uniform(0.01, 1), rng.uniform(1, 6), rng.uniform(6, 23), 30])
        hours = 30 if batch_id.endswith("01") else hours  # a few batches have one that expires, too
        return Course(timedelta(hours=hours))

    def retrieve(self, batch_id: str) -> bytes:
        self.look()
        return wire.encode_batch(self.api.batch(batch_id))

    def look(self) -> None:
        """Somebody asks."""
        self.looks.append(self.clock.seconds)
        if len(self.looks) % 2000 == 0:
            gc.collect()
            self.objects.append(len(gc.get_objects()))

    def assert_over(self, path: Path, rate: float) -> None:
        """All has ended, was told, and nobody was asked too often."""
        report = lc.replay(log.read(path), profile=lc.HOSTED)
        assert report.findings == ()
        assert {batch_id: self.api.batch(batch_id) for batch_id in self.ids} == report.batches
        assert {batch.phase for batch in report.batches.values()} == {lc.Phase.ENDED}
        assert any(batch.request_counts.expired for batch in report.batches.values())
        assert report.events == 2 * len(self.ids)
        assert 24 * 3600 <= self.clock.seconds < 27 * 3600  # the last are asked for once more when they have expired
        assert all(later - earlier >= 0.999 / rate for earlier, later in pairwise(self.looks))
        assert len(self.objects) >= 3
        assert max(self.objects) - self.objects[0] < 5000  # a thousand batches, but not their polls


def test_a_thousand_batches_are_followed_for_a_day(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    day, rate = _Day(1000), 1.0 if ALL else 0.15
    plain: Any = SimpleNamespace(messages=SimpleNamespace(batches=SimpleNamespace(retrieve=day.retrieve)))
    path = tmp_path / "a.jsonl"
    options: Any = {"clock": day.clock, "sleep": day.clock.sleep, "rng": random.Random(1), "longest_wait": 900}
    assert sum(1 for _ in track(plain, day.ids, log=path, requests_per_second=rate, **options)) == 2000
    day.assert_over(path, rate)
    record_property("tried", f"requests in a day of 1,000 batches: {len(day.looks):,}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_official_clients_follow_them_for_a_day_too(kind: Kind, tmp_path: Path) -> None:
    day = _Day(1000 if ALL else 5)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        day.look()
        await day.api(scope, receive, send)

    path = tmp_path / "a.jsonl"
    options: Any = {
        "log": path,
        "clock": day.clock,
        "requests_per_second": 1,
        "longest_wait": 900,
        "rng": random.Random(1),
    }
    if kind == "sync":
        with client(day.api, app, day.clock) as plain:
            records = list(track(plain, day.ids, sleep=day.clock.sleep, **options))
    else:

        async def main() -> list[lc.Record]:
            async with async_client(day.api, app, day.clock) as its:
                return [record async for record in track(its, day.ids, **options)]

        records = run(day.clock, main())
    assert len(records) == 2 * len(day.ids)
    if ALL:
        day.assert_over(path, 1)
    assert day.clock.now > START + timedelta(hours=24)
