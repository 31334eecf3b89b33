"""
What all tests share: how hard Hypothesis works, and that an installed package is what they test.

The environment variable HYPOTHESIS_PROFILE chooses a profile: `ci` (the default) or `nightly`.
"""

import os
import sysconfig
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline and no check for slow generation: on a busy machine both fail for reasons outside of the test.
settings.register_profile(
    "ci", derandomize=False, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def _origin() -> Path:
    import lifecycle  # noqa: PLC0415 - not before coverage has started to measure

    return Path(str(lifecycle.__file__)).parent


def pytest_configure() -> None:
    """In the sessions of nox, refuse to test anything but the installed package."""
    if "LIFECYCLE_TESTS_INSTALLED" in os.environ and _origin().parent != Path(sysconfig.get_path("purelib")):
        raise pytest.UsageError(f"`lifecycle` was imported from {_origin()}, not from the installed wheel")


def pytest_report_header() -> str:
    """Show which copy of the package is tested."""
    return f"lifecycle: {_origin()}"
