"""Where the specifications are found, as a wheel has them and as a tree has them."""

from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.cli import specs

ROOT = Path(__file__).resolve().parents[2]


def laid_out(root: Path, *folders: str) -> Path:
    """A package, with a file in each of *folders*, which are below *root*."""
    package = root / "lifecycle"
    package.mkdir()
    for name in folders:
        (root / name).mkdir(parents=True)
        (root / name / "where.txt").write_text(name)
    return package


def test_this_installation_has_the_schemas_of_this_tree() -> None:
    """The wheel has them inside, for beside it, in site-packages, there are none."""
    names = [path.name for path in sorted((ROOT / "specs" / "schemas").iterdir())]
    assert sorted(file.name for file in specs.folder("schemas").iterdir()) == names
    for name in names:
        assert specs.folder("schemas").joinpath(name).read_bytes() == (ROOT / "specs" / "schemas" / name).read_bytes()


def test_a_wheel_has_them_inside_of_the_package(tmp_path: Path) -> None:
    package = laid_out(tmp_path, "lifecycle/specs/vectors", "specs/vectors")
    assert specs._near(package, "vectors").joinpath("where.txt").read_text() == "lifecycle/specs/vectors"


def test_a_tree_has_them_beside_the_package(tmp_path: Path) -> None:
    package = laid_out(tmp_path, "specs/vectors")
    assert specs._near(package, "vectors").joinpath("where.txt").read_text() == "specs/vectors"


def test_a_tree_beside_counts_if_a_wheel_has_other_folders_only(tmp_path: Path) -> None:
    package = laid_out(tmp_path, "lifecycle/specs/schemas", "specs/vectors")
    assert specs._near(package, "vectors").joinpath("where.txt").read_text() == "specs/vectors"


def test_a_folder_that_is_nowhere_is_named(tmp_path: Path) -> None:
    package = laid_out(tmp_path)
    with pytest.raises(lc.LogError) as caught:
        specs._near(package, "vectors")
    assert caught.value.path == str(package / "specs" / "vectors")
    with pytest.raises(lc.LogError):
        specs.folder("no such folder")
