"""The command `schema`. What the schemas say is tested in tests/specs."""

import json
from pathlib import Path

import pytest

from tests.cli.running import lifecycle

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "schemas"
NAMES = sorted(path.stem for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_written_to_the_byte(name: str) -> None:
    status, out, err = lifecycle("schema", name)
    assert (status, err) == (0, "")
    assert out.encode() == (FOLDER / f"{name}.json").read_bytes()


def test_without_a_name_all_of_them_are_listed() -> None:
    status, out, err = lifecycle("schema")
    assert (status, err) == (0, "")
    _, *rows = out.splitlines()
    titles = [json.loads((FOLDER / f"{name}.json").read_text())["title"] for name in NAMES]
    assert [row.split(maxsplit=1) for row in rows] == [list(pair) for pair in zip(NAMES, titles, strict=True)]


@pytest.mark.parametrize("name", ["snapshots", "snapshot.json", "../schemas/snapshot", "", "-"])
def test_an_unknown_name_is_a_mistake_and_the_known_ones_are_named(name: str) -> None:
    status, out, err = lifecycle("schema", name)
    assert (status, out) == (2, "")
    assert all(known in err for known in NAMES)
    assert repr(name) in err
