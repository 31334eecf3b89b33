"""
What all tests share: how hard Hypothesis works, and that an installed package is what they test.

The environment variable HYPOTHESIS_PROFILE chooses a profile: `ci` (the default), `brief` or `nightly`. With `brief`,
which every run of nox has, no less is tested, but fewer examples of it, and the smaller batches of the oracle.
"""

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.measuring import MEASURED

pytest_plugins = ["tests.store.postgres"]

# No deadline and no check for slow generation: on a busy machine both fail for reasons outside of the test.
settings.register_profile(
    "ci", derandomize=False, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("brief", settings.get_profile("ci"), max_examples=50)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=20_000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)


def _origin() -> Path:
    import lifecycle  # noqa: PLC0415 - not before coverage has started to measure

    return Path(str(lifecycle.__file__)).parent


def pytest_configure() -> None:
    """In the sessions of nox, refuse to test anything but the installed package."""
    if "LIFECYCLE_TESTS_INSTALLED" in os.environ and _origin().parent != Path(sysconfig.get_path("purelib")):
        raise pytest.UsageError(f"`lifecycle` was imported from {_origin()}, not from the installed wheel")


@pytest.fixture(scope="session", autouse=True)
def _children_are_not_measured() -> Iterator[None]:
    """
    Keep coverage out of the processes that tests start, but for those that get `MEASURED`.

    What a test can do in its own process is measured there.  A child that is killed while it writes what was measured
    leaves half a file, and to load coverage takes as long as most commands do.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in MEASURED:
            patch.delenv(name)
        yield


@pytest.fixture
def children_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let coverage into the processes that a test starts, where only a process of its own reaches a line."""
    for name, value in MEASURED.items():
        monkeypatch.setenv(name, value)


def pytest_report_header() -> list[str]:
    """Show which copy of the package is tested, and how hard."""
    return [f"lifecycle: {_origin()}", f"profile: {PROFILE} ({settings().max_examples} examples)"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was "tried" (`record_property`) by the tests that passed; the workers of xdist cannot print it."""
    tried = sorted(
        str(value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "tried"
    )
    if tried:
        terminalreporter.section("tried, without a disagreement")
        terminalreporter.write("".join(f"{line}\n" for line in tried))
