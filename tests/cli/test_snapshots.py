"""`check`: whatever the file looks like, each snapshot is found, and judged from its own bytes."""

import gzip
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire
from lifecycle.cli import app, snapshots
from lifecycle.cli.examples import BATCHES
from tests.cli.running import GOLDEN, lifecycle

LEGAL = wire.encode_batch(BATCHES[lc.Phase.ENDED])
BROKEN = LEGAL.replace(b'"processing":0', b'"processing":1')
PRETTY = json.dumps(json.loads(LEGAL), indent=2).encode()
PRETTY_BROKEN = json.dumps(json.loads(BROKEN), indent=2).encode()


def findings(capsys: pytest.CaptureFixture[str], path: Path, text: bytes) -> list[tuple[int, str, str | None]]:
    """Index, rule and path of each finding in *text*."""
    path.write_bytes(text)
    status = app.run(["check", str(path), "--format", "jsonl"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == (1 if found else 0)
    return [(each["index"], each["rule"], each["path"]) for each in found]


B5 = [("B5", None)]
CASES: dict[str, tuple[bytes, list[tuple[int, str, str | None]]]] = {
    "one object": (BROKEN, [(0, "B5", None)]),
    "one object and a newline": (BROKEN + b"\n", [(0, "B5", None)]),
    "one object of many lines": (b"\n\n" + PRETTY_BROKEN + b"\n\n", [(0, "B5", None)]),
    "an array": (b"[" + LEGAL + b"," + BROKEN + b"]", [(1, "B5", None)]),
    "an array of many lines": (b"[\n" + PRETTY + b",\n" + PRETTY_BROKEN + b"\n]\n", [(1, "B5", None)]),
    "an array, one element a line": (b"[\n" + LEGAL + b",\n" + BROKEN + b"\n]\n", [(1, "B5", None)]),
    "an empty array": (b" [ ] ", []),
    "a list page": (b'{"data":[' + LEGAL + b"," + BROKEN + b'],"has_more":false}', [(1, "B5", None)]),
    "a list page of many lines": (b'{\n"has_more": true,\n"data": [\n' + BROKEN + b"\n]\n}", [(0, "B5", None)]),
    "an empty page": (b'{"data":[],"has_more":false,"first_id":null,"last_id":null}', []),
    "pages, one a line": ((b'{"data":[' + LEGAL + b"," + BROKEN + b"]}\n") * 2, [(1, "B5", None), (3, "B5", None)]),
    "JSON Lines": (LEGAL + b"\n" + BROKEN + b"\n\n \t\r\n" + BROKEN, [(1, "B5", None), (2, "B5", None)]),
    "JSON Lines with CRLF": (LEGAL + b"\r\n" + BROKEN + b"\r\n", [(1, "B5", None)]),
    "objects of many lines after one another": (PRETTY + b"\n" + PRETTY_BROKEN + b" " + PRETTY, [(1, "B5", None)]),
    "a line that was cut off in a string": (b'{"id":"a\n' + BROKEN + b"\n", [(0, "wire", "$"), (1, "B5", None)]),
    "a line that was cut off between": (b'{"id":"a","x":[\n' + BROKEN + b"\n", [(0, "wire", "$"), (1, "B5", None)]),
    "a later line that was cut off": (
        BROKEN + b'\n{"id":\n' + BROKEN,
        [(0, "B5", None), (1, "wire", "$"), (2, "B5", None)],
    ),
    "an object of many lines that was cut off": (PRETTY[:-30], [(0, "wire", "$")]),
    "an array that was cut off": (b"[" + LEGAL + b"," + BROKEN, [(0, "wire", "$")]),
    "an array with something after it": (b"[" + LEGAL + b"]]", [(0, "wire", "$")]),
    "an array with a comma too many": (b"[" + LEGAL + b",]", [(0, "wire", "$")]),
    "an array with a comma too few": (b"[" + LEGAL + b" " + LEGAL + b"]", [(0, "wire", "$")]),
    "a page without its end": (b'{"data":[]', [(0, "wire", "$")]),
    "a page with a key that is none": (b'{"data":[],1:2}', [(0, "wire", "$")]),
    "a page without a colon": (b'{"data" []}', [(0, "wire", "$")]),
    "a page with two data, of which the last counts": (b'{"data":[1],"data":[' + BROKEN + b"]}", [(0, "B5", None)]),
    "data in text": (b'"data"', [(0, "wire", "$")]),
    "an array of which one element is no JSON": (
        b'[{"x":NaN,' + BROKEN[1:] + b"," + BROKEN + b"]",
        [(0, "wire", "$"), (1, "B5", None)],
    ),
    "an array nested too deep": (b"[" * 100_000, [(0, "wire", "$")]),
    "no JSON at all": (b"hello\nworld\n", [(0, "wire", "$"), (1, "wire", "$")]),
    "no objects": (b'[1,"x",null,[]]', [(0, "wire", "$"), (1, "wire", "$"), (2, "wire", "$"), (3, "wire", "$")]),
    "a byte order mark": (b"\xef\xbb\xbf" + LEGAL, [(0, "wire", "$")]),
    "a byte order mark before many lines": (b"\xef\xbb\xbf" + PRETTY, [(0, "wire", "$")]),
    "a snapshot with an odd key that is no page": (BROKEN[:-1] + b',"data":[{}]}', [(0, "B5", None)]),
    "a data key that is no array": (
        b'{"data":{}}',
        [
            (0, "wire", f"$.{key}")
            for key in ("id", "processing_status", "request_counts", "created_at", "expires_at", "type")
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("packed", [False, True])
def test_each_form_is_understood(name: str, packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = CASES[name]
    found = findings(capsys, tmp_path / "file", gzip.compress(text) if packed else text)
    assert sorted(found, key=str) == sorted(expected, key=str)


STRICT = {
    "a number that is none": LEGAL[:-1] + b',"x":NaN}',
    "a number of five thousand digits": LEGAL[:-1] + b',"x":' + b"9" * 5000 + b"}",
    "a control character": LEGAL[:-1] + b',"x":"\x01"}',
    "a repeated key, of which the last counts": LEGAL.replace(b'"processing":0', b'"processing":0,"processing":1'),
    "invalid UTF-8 in an unknown value": LEGAL[:-1] + b',"x":"\xff"}',
    "a lone surrogate": LEGAL[:-1] + b',"x":"\\ud800"}',
    "a number out of range": LEGAL[:-1] + b',"x":9223372036854775808}',
    "a negative count": LEGAL.replace(b'"processing":0', b'"processing":-1'),
    "a fraction for a count": LEGAL.replace(b'"processing":0', b'"processing":0.0'),
    "nesting over the limit": LEGAL[:-1] + b',"x":' + b"[" * 64 + b"]" * 64 + b"}",
    "nesting up to the limit": LEGAL[:-1] + b',"x":' + b"[" * 63 + b"]" * 63 + b"}",
    "a time without its offset": LEGAL.replace(b"+00:00", b""),
    "over a megabyte": LEGAL[:-1] + b',"x":"' + b"x" * (1 << 20) + b'"}',
    "an escaped key": LEGAL.replace(b'"id"', b'"\\u0069d"'),
}


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("form", ["line", "array", "page", "pretty array", "after another"])
def test_nothing_of_the_strictness_of_the_wire_is_lost(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = STRICT[name]
    try:
        batch = wire.decode_batch(body)
    except lc.WireError as error:
        expected: list[tuple[str, str | None, str]] = [("wire", path, message) for path, message in error.problems]
    else:
        expected = [(found.rule.id, None, found.message) for found in lc.check(batch, profile=lc.HOSTED)]
    text = {
        "line": LEGAL + b"\n" + body,
        "array": b"[" + LEGAL + b"," + body + b"]",
        "page": b'{"data":[' + LEGAL + b"," + body + b"]}",
        "pretty array": b"[\n  " + LEGAL + b",\n  " + body + b"\n]\n",
        "after another": PRETTY + b"\n" + body,
    }[form]
    path = tmp_path / "file"
    path.write_bytes(text)
    app.run(["check", str(path), "--format", "jsonl", "--profile", "hosted"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["rule"], each["path"], each["message"]) for each in found] == expected
    assert {each["index"] for each in found} <= {1}


@given(st.lists(st.sampled_from([LEGAL, BROKEN, PRETTY, PRETTY_BROKEN]), min_size=1, max_size=6), st.randoms())
def test_objects_after_one_another_are_all_found(bodies: list[bytes], chance: random.Random) -> None:
    gaps = [chance.choice([b"\n", b"\r\n", b"\n\n", b" \n\t"]) for _ in bodies]
    text = b"".join(body + gap for body, gap in zip(bodies, gaps, strict=True))
    if bodies[0] in (PRETTY, PRETTY_BROKEN) or not {PRETTY, PRETTY_BROKEN} & set(bodies):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lifecycle.lines.CHUNK", 100)
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
            found = list(snapshots.Source("-").snapshots())
        assert [json.loads(body) for body in found if isinstance(body, bytes)] == [json.loads(body) for body in bodies]


class TestLimits:
    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(snapshots, "MAX_BYTES", 2000)
        monkeypatch.setattr("lifecycle.lines.CHUNK", 300)

    def test_a_line_over_the_limit_is_refused_and_the_next_is_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        long = b'{"x":"' + b"x" * 5000 + b'"}'
        text = b"\n".join([LEGAL, long, BROKEN, long])
        assert findings(capsys, tmp_path / "file", text) == [(1, "wire", "$"), (2, "B5", None), (3, "wire", "$")]
        assert findings(capsys, tmp_path / "file", long + b"\n" + BROKEN) == [(0, "wire", "$"), (1, "B5", None)]

    def test_a_text_of_many_lines_over_the_limit_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = b"[\n" + b",\n".join([LEGAL] * 10) + b"\n]"
        assert findings(capsys, tmp_path / "file", text) == [(0, "wire", "$")]
        text = b"[\n" + b"x" * 5000 + b"\n]"
        assert findings(capsys, tmp_path / "file", text) == [(0, "wire", "$")]

    def test_lines_over_it_together_are_still_lines(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text = b'{"id":[\n' + b"\n".join([BROKEN] * 10)
        assert findings(capsys, tmp_path / "file", text) == [(0, "wire", "$"), *((n, "B5", None) for n in range(1, 11))]


def test_a_long_array_that_is_malformed_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"[" + b",".join([LEGAL] * 4000) + b",]")
    assert app.run(["check", str(path), "--format", "jsonl"]) == 1
    [found] = map(json.loads, capsys.readouterr().out.splitlines())
    assert found["message"].startswith("malformed JSON: ")


def test_a_long_array_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(capsys, tmp_path / "file", b"[" + b",".join([LEGAL] * 4000 + [BROKEN]) + b"]") == [
        (4000, "B5", None)
    ]


def test_the_impossible_example_breaks_what_it_breaks() -> None:
    status, out, _ = lifecycle("check", "page.json", "--profile", "hosted", "--format", "jsonl", cwd=GOLDEN)
    assert status == 1
    assert [json.loads(line)["rule"] for line in out.splitlines()] == ["B3", "B4", "B6", "B7", "B8", "B10", "B15"]


def test_clean_snapshots_are_clean(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LEGAL)
    assert lifecycle("check", str(path), "--profile", "hosted") == (0, "1 snapshot: no findings\n", "")
    assert lifecycle("check", str(path), "--format", "json") == (0, "[]\n", "")


def test_advice_alone_does_not_fail(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LEGAL[:-1] + b',"archive_at":null}')
    status, out, _ = lifecycle("check", str(path), "--profile", "hosted")
    assert status == 0
    assert "B16" in out
    assert out.endswith("1 snapshot: 1 finding (1 advice)\n")


def test_indices_start_anew_in_each_file(tmp_path: Path) -> None:
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.write_bytes(LEGAL + b"\n" + BROKEN)
    _, out, _ = lifecycle("check", *map(str, paths), "--format", "jsonl")
    assert [(found["file"], found["index"]) for found in map(json.loads, out.splitlines())] == [
        (str(path), 1) for path in paths
    ]
