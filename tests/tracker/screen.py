"""The command `track` by virtual time, before a server in memory: what a test of it runs in a process of its own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lifecycle.cli import tracking
from tests.tracker.api import App, BatchesAPI, Course
from tests.tracker.clocks import Clock
from tests.tracker.wires import Faults, client

COURSES = {
    "msgbatch_0001": Course(timedelta(seconds=40), live=True),
    "msgbatch_0002": Course(timedelta(seconds=70), {"r1": "errored"}, live=True),
    "msgbatch_0003": Course(timedelta(hours=30)),
}


def prepare(
    *,
    batches: int = 3,
    interrupt_after: float | None = None,
    plan: tuple[str | None, ...] = (),
    around: Callable[[App], App] = lambda app: app,
    put: Callable[[Any, str, Any], object] = setattr,
    **more: Any,
) -> BatchesAPI:
    """
    Let the command live by a clock of its own.

    Args:
        batches: How many the server has.
        interrupt_after: After so many seconds of its clock somebody presses Ctrl-C.
        plan: What goes wrong with each look.
        around: What stands before the server.
        put: Puts something in the place of something else.
        more: For the client.
    """
    clock = Clock()
    api = BatchesAPI(clock=clock, course=lambda batch_id: COURSES.get(batch_id, Course()))
    for _ in range(batches):
        api.create([f"r{place}" for place in range(4)])
    clock.sleep(1)

    def pause(seconds: float) -> None:
        clock.sleep(seconds)
        if interrupt_after is not None and clock.seconds >= interrupt_after:
            raise KeyboardInterrupt  # no signal: whoever runs the tests may have it ignored

    def make() -> Any:
        return client(api, Faults(around(api), clock, plan), clock, **more)

    for name, instead in ("_now", clock), ("_pause", pause), ("_client", make):
        put(tracking, name, instead)
    return api
