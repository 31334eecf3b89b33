"""Where the machine-readable parts of the specifications are: in the wheel, or in the tree that the package is in."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from lifecycle import LogError


def folder(name: str) -> Traversable:
    """
    Find a folder of ``specs/``.

    Args:
        name: The folder's, such as ``schemas``.

    Returns:
        The folder. An installed package has it inside of itself; in a source tree, and so in an editable install, it
        is the tree's own.

    Raises:
        LogError: This installation has no such folder.
    """
    return _near(resources.files("lifecycle"), name)


def _near(package: Traversable, name: str) -> Traversable:
    inside = package.joinpath("specs", name)
    if inside.is_dir():
        return inside
    beside = Path(str(package)).parent / "specs" / name
    if beside.is_dir():
        return beside
    raise LogError(str(inside), None, "is no part of this installation")
