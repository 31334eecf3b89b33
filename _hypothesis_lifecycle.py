"""
The entry point of the group ``hypothesis``: it teaches Hypothesis the types of `lifecycle`.

Hypothesis calls it when it is imported itself, in every process of the environment, whether `lifecycle` is used there
or not.  So it stands beside the package, for to load a module inside of it is to load all of it; and it loads neither:
the types are registered once somebody imports `lifecycle`, the strategies are built once somebody asks for one.

It never raises.  What it imports itself is there whenever Hypothesis is.

PYTEST_DONT_REWRITE: a word for pytest, which else warns where this is imported before pytest starts.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TYPES = (
    *("MessageBatch", "RequestCounts", "Deadlines", "Outcome", "Record", "Profile", "Rule"),
    *("Created", "CountsUpdated", "CancelInitiated", "Ended", "Archived", "Deleted"),
    *("Create", "RecordProgress", "Cancel", "End", "Archive", "Delete"),
)
"""The names of the types that are registered: all public values that can be made up."""


def enter() -> None:
    """Register the types of `lifecycle`: now if it is there, else when it is imported."""
    if "lifecycle" in sys.modules:
        _register(sys.modules["lifecycle"])
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _register(package: ModuleType) -> None:
    # Whatever goes wrong (another package of this name, a Hypothesis that has changed), no import may suffer for it.
    with suppress(Exception):
        from hypothesis.strategies import register_type_strategy  # noqa: PLC0415 -- not before it is needed

        for name in TYPES:
            register_type_strategy(getattr(package, name), _strategy)


def _strategy(kind: type) -> Any:
    from lifecycle.testing.strategies import for_type  # noqa: PLC0415 -- not before it is needed

    return for_type(kind)


class _Watch:
    """
    A finder that waits for the import of `lifecycle`; every other import costs it a comparison of two strings.

    It finds what the finders after it find.  It stays where it is, so that a second import after the module was
    dropped is seen, too.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find for `lifecycle`, with a loader that registers; None for all else."""
        if name != "lifecycle":
            return None
        for finder in sys.meta_path:
            spec = None if isinstance(finder, _Watch) else finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):  # a namespace package has no loader, an old one no such method
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment] # it has all that a loader has
                return spec
        return None


class _Loader:
    """A loader that registers what it has loaded; in all else it is the one that it was given."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Step aside, so that the module is left with its own loader; load it; register."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _register(module)
