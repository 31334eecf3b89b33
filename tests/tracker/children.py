"""Programs of the tests in processes of their own, whether or not the folder of the tests can be imported there."""

from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]


def code(statements: str) -> str:
    """Code that runs *statements* where `tests` is these tests, and `lifecycle` is what is installed."""
    return (
        "import importlib.util as util, sys\n"
        f"spec = util.spec_from_file_location('tests', {str(_TESTS / '__init__.py')!r},"
        f" submodule_search_locations=[{str(_TESTS)!r}])\n"
        "sys.modules['tests'] = util.module_from_spec(spec)\n"
        f"{statements}\n"
    )
