"""The pytest plugin: cheap where it is not used, and a clear end where it is."""

import importlib
import subprocess
import sys

import pytest
from _pytest.assertion.rewrite import AssertionRewriter

pytest_plugins = ["pytester"]

TESTS = """
from datetime import UTC, datetime, timedelta
import pytest
import lifecycle as lc
from lifecycle import testing

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
CREATED = lc.Created("msgbatch_01", NOON, NOON + timedelta(days=1), 2)
ENDED = lc.Ended(NOON + timedelta(hours=1), lc.RequestCounts(0, 2), "url")

def test_one(lifecycle_coverage):
    lifecycle_coverage([(CREATED, ENDED, lc.Deleted(NOON + timedelta(days=2)))])

def test_two(lifecycle_coverage):
    events = (CREATED, lc.CountsUpdated(lc.RequestCounts(2)), lc.CancelInitiated(NOON), ENDED)
    lifecycle_coverage([(*events, lc.Archived(NOON + timedelta(days=30)))])
"""
"""They take 7 of 9 arrows and leave L4 out: 7 + 9 of 9 + 10 under LAWS."""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> "Run":
    # Whether the package is installed with its entry points or not: the plugin is loaded once, and no other.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(TESTS)
    return Run(pytester)


class Run:
    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, *options: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "_pytest_lifecycle", "-W", "error", *options)


class TestTheThreshold:
    def test_a_run_above_it_passes(self, run: Run) -> None:
        result = run("--lifecycle-coverage=80")
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(
            [
                "*= lifecycle coverage =*",
                "kind *what *seen",
                "arrow *(none) -> created *taken",
                "16 of 19 arrows and rules exercised under laws: 84.2 %",
                "The 80 % that --lifecycle-coverage asks for are reached.",
            ]
        )

    def test_a_run_below_it_fails_and_says_why(self, run: Run) -> None:
        result = run("--lifecycle-coverage=90")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [
                "arrow *canceling -> counts_updated *MISSING",
                "rule *L4 *MISSING *needs a record that comes again",
                "FAILED: 84.2 % is below the 90 % that --lifecycle-coverage asks for; *",
            ]
        )

    def test_the_profile_is_an_option(self, run: Run) -> None:
        result = run("--lifecycle-coverage=0", "--lifecycle-profile=hosted")
        result.stdout.fnmatch_lines(["* arrows and rules exercised under hosted: *"])

    def test_a_run_that_failed_anyway_keeps_its_status(self, run: Run) -> None:
        assert run("--lifecycle-coverage=90", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED

    @pytest.mark.usefixtures("children_are_measured")
    def test_the_workers_of_xdist_are_added_up(self, run: Run) -> None:
        result = run("--lifecycle-coverage=84", "-p", "xdist.plugin", "-n", "2", "--dist", "load")
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(["16 of 19 arrows and rules exercised under laws: 84.2 %"])
        assert "died" not in result.stdout.str()

    def test_where_nothing_runs_nothing_is_judged(self, run: Run) -> None:
        result = run("--lifecycle-coverage=90", "--collect-only")
        assert result.ret == pytest.ExitCode.OK
        assert "lifecycle coverage" not in result.stdout.str()

    def test_a_worker_that_died_is_mentioned(self, run: Run) -> None:
        run.pytester.makepyfile(test_last="import os\ndef test_three(): os._exit(1)")
        result = run("--lifecycle-coverage=0", "-p", "xdist.plugin", "-n", "1", "--max-worker-restart=0")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            ["Workers of pytest-xdist that died: 1; what their tests exercised is not counted."]
        )

    @pytest.mark.parametrize("percent", ["-1", "101", "many"])
    def test_it_has_to_be_a_percentage(self, run: Run, percent: str) -> None:
        assert run(f"--lifecycle-coverage={percent}").ret == pytest.ExitCode.USAGE_ERROR

    def test_without_hypothesis_it_says_what_is_missing(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "lifecycle.testing.reporting", None)
        result = run("--lifecycle-coverage=90")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --lifecycle-coverage needs the extra `testing` of lifecycle: *"])


class TestWithoutTheOption:
    def test_the_fixture_does_nothing(self, run: Run) -> None:
        result = run()
        assert result.ret == pytest.ExitCode.OK
        assert "lifecycle coverage" not in result.stdout.str()

    def test_loading_the_plugin_loads_nothing_of_the_package(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test(): import sys; assert not {'lifecycle', 'hypothesis'} & set(sys.modules)")
        command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "_pytest_lifecycle", "-q"]
        env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(command, cwd=pytester.path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize("name", ["lifecycle", "_hypothesis_lifecycle", "_pytest_lifecycle"])
    def test_what_was_imported_before_pytest_started_is_no_reason_to_warn(self, name: str) -> None:
        """Pytest looks at every module of a distribution with a plugin, and `-W error` makes its warning an end."""
        assert AssertionRewriter.is_rewrite_disabled(importlib.import_module(name).__doc__ or "")
