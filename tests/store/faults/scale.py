"""
How much the fault tests try, what they write, and how they take a guard away from the store.

Each run of the tests tries a little of every fault; LIFECYCLE_FAULTS=all, as in the session `faults` of nox, tries all.
"""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import lifecycle as lc
from lifecycle.store import databases

Tell = Callable[[str, object], None]
"""`record_property`, which takes what was "tried" to the end of the report."""

ALL = os.environ.get("LIFECYCLE_FAULTS") == "all"

_T = datetime(2025, 1, 29, 14, 24, 59, 570697, UTC)
_SIZE = 1_000_000_000


def tries(some: int, everything: int) -> int:
    """How often to try: so many in each run, so many if all is asked for."""
    return everything if ALL else some


def event(stream: str, version: int) -> lc.Event:
    """What happens at this version of a stream: a life without end, in which no two events are equal."""
    if version == 1:
        return lc.Created(stream, _T, _T + timedelta(days=1), _SIZE)
    return lc.CountsUpdated(lc.RequestCounts(_SIZE - version, version))


def events(stream: str, after: int, number: int) -> list[lc.Event]:
    """The next events of a stream."""
    return [event(stream, version) for version in range(after + 1, after + 1 + number)]


class Guard:
    """
    A guard of the store that is taken away for a negative control: a piece of its SQL that is replaced.

    Args:
        patch: Puts it back.
        piece: A regular expression for what guards.
        instead: What stands there instead.
    """

    def __init__(self, patch: pytest.MonkeyPatch, piece: str, instead: str) -> None:
        self.met = 0
        """How often the piece has been met; a control that never meets its guard controls nothing."""
        run, together = databases._run, databases._together

        def changed(text: str) -> str:
            text, met = re.subn(piece, instead, text)
            self.met += met
            return text

        def careless(connection: Any, text: str, values: Any = ()) -> list[Any]:
            return run(connection, changed(text), values)

        def careless_together(driver: Any, calls: Any) -> list[list[Any]]:
            return together(driver, [(changed(text), values) for text, values in calls])

        patch.setattr(databases, "_run", careless)
        patch.setattr(databases, "_together", careless_together)
