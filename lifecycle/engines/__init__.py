"""
Who groups and sorts a log too big or too jumbled for one pass; the reducer judges, and no rule is known here.

`duckdb.audit` audits logs in JSON Lines and Parquet, in the order of the files or of the versions (extra ``bulk``);
`parquet` reads and writes logs as Parquet, `columns` says what their columns are, `judging` judges what was sorted, and
`report` puts findings in order, whoever found them.  This module itself needs nothing but Python.
"""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from lifecycle.lines import STDIN

Order = Literal["log", "version"]
"""
In which order the records of a stream are judged: that of the log (files as given, then line), or that of their
versions (ties by the path of the file, then line), which does not depend on the order in which files are given.
"""

MISSING: Final = "logs as Parquet and the engine DuckDB need more: pip install 'lifecycle[bulk]'"
"""What is said where the extra is not installed."""

_MAGIC = b"PAR1"

_SIZE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?\s?[kmgt]i?b", re.IGNORECASE)


def check_size(name: str, text: str) -> str:
    """See that *text* is a size, such as ``512MB`` or ``1.5 GiB``; if not, a `ValueError` says so of *name*."""
    if _SIZE.fullmatch(text) is None:
        raise ValueError(f"{name}: expected a size such as 512MB or 2GB, got {text!r}")
    return text


def is_parquet(path: str) -> bool:
    """Whether a file is Parquet: by how it begins, not by its name. One that cannot be read is none."""
    try:
        if path == STDIN or not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, ValueError):
        return False  # whoever reads it says why


def expanded(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """
    Find the files that are meant.

    Args:
        paths: Files; patterns, such as ``logs/*.parquet`` (``**`` stands for folders), unless a file has that name; and
            folders, which stand for the Parquet files in them, at any depth (``*.parquet``; but none that is hidden, or
            that begins with an underscore, which is how other programs mark what is no data).

    Returns:
        Files, those of a pattern or a folder sorted by path. What finds none stays as it is, for its reader to refuse.
    """
    found: list[str] = []
    for given in paths:
        path = os.fsdecode(given)
        if path == STDIN:
            found.append(path)
        elif os.path.isdir(path):  # noqa: PTH112 -- not Path(""), which is "."
            found += _in_folder(path) or [path]
        elif os.path.lexists(path) or not glob.has_magic(path):
            found.append(path)
        else:
            found += sorted(match for match in glob.glob(path, recursive=True) if Path(match).is_file()) or [path]  # noqa: PTH207 -- it keeps "./"
    return found


def _in_folder(path: str) -> list[str]:
    return sorted(
        os.path.join(folder, name)  # noqa: PTH118 -- it keeps "./"
        for folder, folders, names in os.walk(path)
        for name in names
        if name.endswith(".parquet") and not _is_marked(os.path.relpath(os.path.join(folder, name), path))  # noqa: PTH118 -- as above
    )


def _is_marked(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in Path(path).parts)
