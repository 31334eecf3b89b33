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

    clock: Clock | None

    def select(self, timeout: float | None = None) -> Any:
        if self.clock is None:
            return super().select(timeout)
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout:
            self.clock.sleep(timeout + 1e-6)  # or else what is less than a microsecond would be waited for for ever
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        self._its_selector = _Selector()
        self._its_selector.clock = clock
        self._its_clock = clock
        super().__init__(self._its_selector)

    def be_patient(self) -> None:
        """Wait from now on: for threads, which have no part in virtual time."""
        self._its_selector.clock = None

    def time(self) -> float:
        return self._its_clock.seconds


def run(clock: Clock, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, by *clock*."""
    loop = _Loop(clock)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(work)
        finally:
            loop.be_patient()
