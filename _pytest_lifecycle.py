"""
The entry point of the group ``pytest11``: the option ``--lifecycle-coverage`` and the fixture `lifecycle_coverage`.

pytest loads it in every run of the environment, whether `lifecycle` is used there or not.  So it stands beside the
package, for inside of it loading it would load the package; what is behind the option is in
`lifecycle.testing.reporting`, and loaded once the option is used.

PYTEST_DONT_REWRITE: a word for pytest, which else warns where this is imported before pytest starts.
"""

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("lifecycle", "arrows and rules of message batches that streams exercise")
    group.addoption(
        "--lifecycle-coverage",
        type=float,
        metavar="PERCENT",
        help="fail if the streams given to the fixture lifecycle_coverage exercise less than this",
    )
    group.addoption(
        "--lifecycle-profile", choices=("laws", "hosted"), default="laws", help="which rules are counted (laws)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count, if asked to."""
    percent = config.getoption("--lifecycle-coverage")
    if percent is None:
        return
    try:
        from lifecycle.testing.reporting import CoveragePlugin  # noqa: PLC0415 -- not before it is needed
    except ImportError as error:
        raise pytest.UsageError(f"--lifecycle-coverage needs the extra `testing` of lifecycle: {error}") from None
    plugin = CoveragePlugin(percent, str(config.getoption("--lifecycle-profile")))
    config.pluginmanager.register(plugin, "lifecycle-coverage")


@pytest.fixture(scope="session")
def lifecycle_coverage(request: pytest.FixtureRequest) -> Any:
    """
    Say that streams were used in a test: call it with what `lifecycle.testing.covered` takes.

    Without ``--lifecycle-coverage`` calling it does nothing.
    """
    plugin = request.config.pluginmanager.get_plugin("lifecycle-coverage")
    return _nothing if plugin is None else plugin.add


def _nothing(streams: object) -> None: ...
