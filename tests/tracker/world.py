"""A server, a clock and the official clients: what tests of the tracker need, and what they ask of every log."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lifecycle as lc
from lifecycle import log as logs
from lifecycle.tracker import Download, Poll, track
from tests.tracker.api import App, BatchesAPI, Course
from tests.tracker.clocks import Clock, run
from tests.tracker.wires import Faults, async_client, client

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class World:
    """
    A server and its clock; each `track` is a client of its own.

    Args:
        plan: What goes wrong with each look (`Faults`).
        course: What becomes of the batches.
        key: Of the client; by default the right one.
    """

    def __init__(
        self,
        plan: Iterable[str | None] = (),
        *,
        course: Callable[[str], Course] = lambda _: Course(timedelta(minutes=10), live=True),
        around: Callable[[App], App] = lambda app: app,
        **more: Any,
    ) -> None:
        self.clock = Clock()
        self.api = BatchesAPI(clock=self.clock, course=course)
        self.faults = Faults(around(self.api), self.clock, plan)
        self.more = more
        self.polls: list[Poll] = []
        self.downloads: list[Download] = []
        self.conflicts: list[lc.SnapshotConflict] = []
        self.heard: list[lc.Record] = []

    def create(self, number: int = 1, *, size: int = 3) -> list[str]:
        """Create batches; their ids."""
        return [self.api.create([f"r{place}" for place in range(size)]).id for _ in range(number)]

    def track(
        self, ids: Sequence[str], *, log: Any, kind: Kind = "sync", until: int | None = None, **options: Any
    ) -> list[lc.Record]:
        """Track batches with the official client; the first *until* records."""
        given: Any = {
            "on_poll": self.polls.append,
            "on_results": self.downloads.append,
            "on_conflict": self.conflicts.append,
            "on_event": self.heard.append,
            "clock": self.clock,
            "rng": random.Random(1),
        } | options
        found: list[lc.Record] = []
        if kind == "sync":
            with client(self.api, self.faults, self.clock, **self.more) as plain:
                records = track(plain, ids, log=log, sleep=self.clock.sleep, **given)
                for record in records:
                    found.append(record)
                    if len(found) == until:
                        break
                records.close()
        else:

            async def main() -> None:
                async with async_client(self.api, self.faults, self.clock, **self.more) as its:
                    records = track(its, ids, log=log, **given)
                    async for record in records:
                        found.append(record)
                        if len(found) == until:
                            break
                    await records.aclose()
                assert len(asyncio.all_tasks()) == 1  # nothing is left running

            run(self.clock, main())
        return found

    def assert_told(self, path: Path, ids: Sequence[str]) -> None:
        """What holds of every log when all is over: each event once, and batches as the server has them."""
        records = list(logs.read(path))
        report = lc.replay(records)
        assert report.findings == ()
        for batch_id in ids:
            own = [record for record in records if record.batch_id == batch_id]
            assert [record.version for record in own] == list(range(1, len(own) + 1))
            assert len({record.event for record in own}) == len(own)
            assert report.batches[batch_id] == self.api.batch(batch_id)
