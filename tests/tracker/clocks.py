"""Virtual time: a clock that is put forward instead of waited for, and an event loop that lives by it."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

START = datetime(2026, 1, 1, 12, 0, 0, 570697, UTC)
T = TypeVar("T")


class Clock:
    """A clock that goes when somebody sleeps."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += timedelta(seconds=seconds)

    @property
    def seconds(self) -> float:
        return (self.now - START).total_seconds()


class _Selector(selectors.DefaultSelector):
    """Puts the clock forward instead of waiting for a timer."""

    clock: Clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.clock.sleep(timeout + 1e-6)  # or else what is less than a microsecond would be waited for for ever
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        selector = _Selector()
        selector.clock = clock
        super().__init__(selector)
        self._its_clock = clock

    def time(self) -> float:
        return self._its_clock.seconds


def run(clock: Clock, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, by *clock*."""
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(work)
