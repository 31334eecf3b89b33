"""The scripts of specs/, which no installed package has, and a state graph that TLC has written."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).with_name("data") / "graph.dot"
"""The graph of one batch of one request, under the laws, in a world of one tick: all phases, all arrows."""


def _specs() -> None:
    """Make the package `specs` known, as it is when somebody stands in the root."""
    spec = PathFinder.find_spec("specs", [str(ROOT)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["specs"] = module
    spec.loader.exec_module(module)


_specs()
