"""Bytes to values and back: snapshots, then records, then both paths of each against one another."""

import copy
import json
import pickle
import random
import re
import subprocess
import sys
import types
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, cast

import attrs
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import wire
from tests import fuzz_wire, recorded, strategies
from tests.fuzz_wire import microseconds, microseconds_of
from tests.lives import DAY, HOUR, URL, T

STAMP = "2025-01-29T14:24:59.570697+00:00"
"""The recorded form of `T`."""
LARGEST = 9223372036854775807
COUNTS = {"processing": 0, "succeeded": 2, "errored": 1, "canceled": 1, "expired": 0}
SNAPSHOT: dict[str, Any] = {
    "id": "msgbatch_01",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": COUNTS,
    "ended_at": "2025-01-29T16:24:59.570697+00:00",
    "created_at": STAMP,
    "expires_at": "2025-01-30T14:24:59.570697+00:00",
    "archived_at": None,
    "cancel_initiated_at": "2025-01-29T15:24:59.000000+00:00",
    "results_url": URL,
}
BATCH = lc.MessageBatch(
    id="msgbatch_01",
    processing_status=lc.ProcessingStatus.ENDED,
    request_counts=lc.RequestCounts(0, 2, 1, 1, 0),
    created_at=T,
    expires_at=T + DAY,
    ended_at=T + 2 * HOUR,
    cancel_initiated_at=T.replace(microsecond=0) + HOUR,
    results_url=URL,
)
QUICK = attrs.evolve(BATCH, cancel_initiated_at=T + HOUR)
"""The same without a whole second, which has a slower way."""
SOME = settings(max_examples=2 * settings().max_examples)
MANY = settings(max_examples=5 * settings().max_examples)


class Raw(str):
    """JSON as it stands, to be put into a body."""

    __slots__ = ()


def spelled(value: Any) -> str:
    """JSON, compact, with `Raw` as it stands."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{spelled(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(spelled, value))}]"
    return json.dumps(value)


def snapshot(**changes: Any) -> bytes:
    """The body of a snapshot; `...` takes a key away."""
    return spelled({key: value for key, value in (SNAPSHOT | changes).items() if value is not ...}).encode()


def counts(**changes: Any) -> bytes:
    return snapshot(request_counts={k: v for k, v in (COUNTS | changes).items() if v is not ...})


def problems(read: Callable[..., object], *arguments: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(lc.WireError) as caught:
        read(*arguments, **options)
    found = caught.value.problems
    assert all(type(path) is str and type(message) is str for path, message in found)
    assert len(dict(found)) == len(found)
    return dict(found)


def only_problem(read: Callable[..., object], *arguments: Any, **options: Any) -> tuple[str, str]:
    [found] = problems(read, *arguments, **options).items()
    return found


# ------------------------------------------------------------------------------------------------------------ snapshots


@pytest.mark.parametrize("body", recorded.bodies())
class TestEveryRecordedBody:
    """Reading and writing a recorded body gives the same bytes; one without archived_at gains "archived_at":null."""

    def test_satisfies_every_rule(self, body: bytes) -> None:
        assert lc.check(wire.decode_batch(body), profile=lc.HOSTED) == ()

    def test_comes_back_byte_for_byte(self, body: bytes) -> None:
        expected = body
        if b'"archived_at"' not in body:
            expected = body.replace(b',"cancel_initiated_at":', b',"archived_at":null,"cancel_initiated_at":')
        assert wire.encode_batch(wire.decode_batch(body)) == expected

    def test_reads_as_its_row_says(self, body: bytes) -> None:
        batch = wire.decode_batch(body)
        assert batch.extra == {}
        assert batch.request_counts.extra == {}
        plain = json.loads(body)
        assert attrs.astuple(batch.request_counts)[:5] == tuple(plain["request_counts"].values())
        for name, value in plain.items():
            if name.endswith("_at"):
                assert getattr(batch, name) == (None if value is None else datetime.fromisoformat(value))
            elif name != "request_counts":
                assert getattr(batch, name) == value


def test_the_recordings_are_there_with_every_status_and_both_shapes() -> None:
    bodies = recorded.bodies()
    assert len(bodies) == 26
    assert {wire.decode_batch(body).processing_status for body in bodies} == set(lc.ProcessingStatus)
    assert {b'"archived_at"' in body for body in bodies} == {True, False}


def test_the_impossible_example_of_the_reference_is_read_and_judged() -> None:
    body = """{"id": "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF", "archived_at": "2024-08-20T18:37:24.100435Z",
        "cancel_initiated_at": "2024-08-20T18:37:24.100435Z", "created_at": "2024-08-20T18:37:24.100435Z",
        "ended_at": "2024-08-20T18:37:24.100435Z", "expires_at": "2024-08-20T18:37:24.100435Z",
        "processing_status": "in_progress", "request_counts": {"canceled": 10, "errored": 30, "expired": 10,
        "processing": 100, "succeeded": 50}, "results_url":
        "https://api.anthropic.com/v1/messages/batches/msgbatch_013Zva2CMHLNnXjNJJKqJ2EF/results",
        "type": "message_batch"}"""
    found = lc.check(wire.decode_batch(body), profile=lc.HOSTED)
    assert [violation.rule.id for violation in found] == ["B3", "B4", "B6", "B7", "B8", "B10", "B15"]


def test_a_snapshot_is_read() -> None:
    assert wire.decode_batch(snapshot()) == BATCH


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, bytes.decode])
def test_a_body_may_be_bytes_of_any_kind_or_text(kind: Callable[[bytes], Any]) -> None:
    assert wire.decode_batch(kind(snapshot(id="é"))) == attrs.evolve(BATCH, id="é")


@pytest.mark.parametrize("body", [None, 3, SNAPSHOT, [123], object()])
def test_anything_else_is_a_type_error(body: Any) -> None:
    with pytest.raises(TypeError):
        wire.decode_batch(body)
    with pytest.raises(TypeError):
        wire.decode_record(body)


@pytest.mark.parametrize("key", ["ended_at", "archived_at", "cancel_initiated_at", "results_url"])
def test_a_missing_nullable_key_is_read_as_null_and_written_as_null(key: str) -> None:
    missing = wire.decode_batch(snapshot(**{key: ...}))
    assert missing == wire.decode_batch(snapshot(**{key: None}))
    assert getattr(missing, key) is None
    assert f'"{key}":null'.encode() in wire.encode_batch(missing)


def test_the_order_of_the_keys_and_white_space_do_not_matter() -> None:
    turned = dict(reversed(SNAPSHOT.items()))
    turned["request_counts"] = dict(reversed(COUNTS.items()))
    assert wire.decode_batch(f"\n\t {json.dumps(turned, indent=3)}\r\n") == BATCH


def test_of_a_repeated_key_the_last_counts() -> None:
    first = '{"id":7,"created_at":"never","request_counts":[],"processing_status":"lost","results_url":"x","type":1,'
    assert wire.decode_batch(first + snapshot().decode()[1:]) == BATCH
    again = Raw(f'{{"errored":-1,"processing":"x",{spelled(COUNTS)[1:]}')
    assert wire.decode_batch(snapshot(request_counts=again)) == BATCH


def test_escapes_are_read_in_keys_and_values() -> None:
    body = snapshot(id=Raw(r'"\u00e9\ud83d\ude00\"\/"')).replace(b'"created_at"', b'"cr\\u0065ated_at"')
    body = body.replace(b'"message_batch"', b'"message\\u005fbatch"').replace(b'"ended"', b'"\\u0065nded"')
    assert wire.decode_batch(body) == attrs.evolve(BATCH, id='é😀"/')


REFUSED_COUNTS: list[tuple[Any, str]] = [
    (value, f"expected a whole number, got {text}")
    for value, text in (
        ("2", '"2"'),
        (Raw("2.0"), "2.0"),
        (Raw("2.9"), "2.9"),
        (Raw("1e2"), "100.0"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ([], "an array"),
        ({}, "an object"),
    )
] + [
    (value, f"expected a number from 0 to {LARGEST}")
    for value in (-1, LARGEST + 1, 2**64, 2**64 + 1, -(2**63), 10**400, -(10**400), Raw("9" * 5000))
]
NO_TEXT: tuple[Any, ...] = (3, 1.5, True, [], {})
NO_OBJECT: tuple[Any, ...] = (3, None, True, "x", [], [{}])
COUNT_KEYS = ("processing", "succeeded", "errored", "canceled", "expired")
TIME_KEYS = ("created_at", "expires_at", "ended_at", "archived_at", "cancel_initiated_at")
BAD_STATUS = "expected one of in_progress, canceling, ended"
NOT_RFC3339 = "expected an RFC 3339 time"

REFUSED_VALUES: list[tuple[bytes, str, str]] = [
    *((snapshot(id=value), "$.id", "expected text") for value in (None, *NO_TEXT)),
    *((snapshot(id=Raw(text)), "$.id", "lone surrogate") for text in (r'"\ud800"', r'"a\udfffb"', r'"\udc00\ud800"')),
    *((snapshot(type=value), "$.type", 'expected "message_batch"') for value in ("batch", "", None, *NO_TEXT)),
    *(
        (snapshot(processing_status=value), "$.processing_status", BAD_STATUS)
        for value in ("canceled", "cancelling", "failed", "expired", "", "IN_PROGRESS", "ended ", None, *NO_TEXT)
    ),
    *((snapshot(request_counts=value), "$.request_counts", "expected an object") for value in NO_OBJECT),
    *((counts(**{key: bad}), f"$.request_counts.{key}", said) for key in COUNT_KEYS for bad, said in REFUSED_COUNTS),
    *((counts(**{key: ...}), f"$.request_counts.{key}", "missing") for key in COUNT_KEYS),
    *(
        (snapshot(**{key: ...}), f"$.{key}", "missing")
        for key in ("id", "type", "processing_status", "request_counts", "created_at", "expires_at")
    ),
    *((snapshot(**{key: bad}), f"$.{key}", "as text") for key in TIME_KEYS for bad in NO_TEXT),
    *((snapshot(**{key: None}), f"$.{key}", "as text, got null") for key in TIME_KEYS[:2]),
    *((snapshot(**{key: "2025-01-29"}), f"$.{key}", NOT_RFC3339) for key in TIME_KEYS),
    *((snapshot(results_url=value), "$.results_url", "text") for value in NO_TEXT),
    (snapshot(results_url=Raw(r'"\ud800"')), "$.results_url", "lone surrogate"),
    (snapshot(more=-1), "$.more", "number from 0"),
    (snapshot(more=Raw("1e400")), "$.more", "got Infinity"),
    (snapshot(more=Raw("-0.5")), "$.more", "got -0.5"),
    (snapshot(more=LARGEST + 1), "$.more", "number from 0"),
    (snapshot(more=Raw("9223372036854775808.0")), "$.more", "number from 0"),
    (snapshot(more=[1, {"a": Raw("[2,-3]")}]), "$.more[1].a[1]", "got -3"),
    (snapshot(**{"a b": -1}), '$["a b"]', "got -1"),
    (snapshot(**{'"': {"": -1}}), '$["\\""][""]', "got -1"),
    (snapshot(more=Raw(r'{"x":["\udead"]}')), "$.more.x[0]", "lone surrogate"),
    (snapshot().replace(b"{", rb'{"\ud800":1,', 1), r'$["\ud800"]', "lone surrogate"),
    (counts(total=-1), "$.request_counts.total", "got -1"),
    (counts(total={"x": Raw("1e999")}), "$.request_counts.total.x", "got Infinity"),
    (snapshot(deleted_at=-1), "$.deleted_at", "got -1"),
    (snapshot(more=Raw("[" * 64 + "]" * 64)), "$.more" + "[0]" * 63, "nested deeper than 64"),
    (snapshot(more=Raw('{"a":' * 64 + "1" + "}" * 64)), "$.more" + ".a" * 63, "nested deeper than 64"),
    (counts(more=Raw("[" * 63 + "]" * 63)), "$.request_counts.more" + "[0]" * 62, "nested deeper than 64"),
]

REFUSED_BODIES: list[tuple[bytes | str, str]] = [
    *((body, "expected an object") for body in (b"[]", b"3", b"null", b"true", b'"x"', snapshot().join([b"[", b"]"]))),
    (b"", "malformed JSON"),
    (b" \n", "malformed JSON"),
    (b"{", "malformed JSON"),
    (b"{'a':1}", "malformed JSON"),
    (b'{"a":1,}', "malformed JSON"),
    (b"{a:1}", "malformed JSON"),
    (b'{"a":01}', "malformed JSON"),
    (b'{"a":+1}', "malformed JSON"),
    (b'{"a":.5}', "malformed JSON"),
    (b'{"a":1.}', "malformed JSON"),
    (b'{"a":0x1}', "malformed JSON"),
    (b'{"a":"\t"}', "malformed JSON"),
    (b'{"a":"\\x"}', "malformed JSON"),
    (b'{"a":"\\u12"}', "malformed JSON"),
    (b'{"a":True}', "malformed JSON"),
    (b"// x\n" + snapshot(), "malformed JSON"),
    (b"\x0b" + snapshot(), "malformed JSON"),
    (b"\xc2\xa0" + snapshot(), "malformed JSON"),
    (snapshot()[:-1], "malformed JSON"),
    *((snapshot() + more, "malformed JSON") for more in (b"x", b"\0", b"{}", b",", snapshot(), b"\xc2\xa0", b"//")),
    *((snapshot(more=Raw(name)), f"{name} is no JSON") for name in ("NaN", "Infinity", "-Infinity")),
    *((counts(succeeded=Raw(name)), f"{name} is no JSON") for name in ("NaN", "Infinity", "-Infinity")),
    *(
        (snapshot(id="#", more="#").replace(b"#", bad), "invalid UTF-8 at byte 7")
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80", b"\x80")
    ),
    (snapshot(more="#").replace(b"#", b"\xff"), "invalid UTF-8"),
    (snapshot(**{"#": 1}).replace(b"#", b"\xff"), "invalid UTF-8"),
    (snapshot(results_url="#").replace(b"#", b"\xff"), "invalid UTF-8"),
    (snapshot().decode().encode("utf-16"), "invalid UTF-8"),
    (snapshot().decode().encode("utf-16-le"), "malformed JSON"),
    (b"\xef\xbb\xbf" + snapshot(), "byte order mark"),
    ("\ufeff" + snapshot().decode(), "byte order mark"),
    (b"\xef\xbb\xbf", "byte order mark"),
    (snapshot(id="\udc80").decode() + "\udc80", "lone surrogate"),
    ("[" * 500_000, "nested deeper than 64"),
    ('{"a":' * 200_000, "nested deeper than 64"),
    (b"[" * 1_048_577, "1,048,577 bytes are over the limit of 1,048,576"),
]


class TestWhatIsRefused:
    """Refuse, with every problem and its path in wire names. One exception type leaves the module."""

    @pytest.mark.parametrize(("body", "path", "fragment"), REFUSED_VALUES)
    def test_a_bad_value_is_told_at_its_path(self, body: bytes, path: str, fragment: str) -> None:
        found, message = only_problem(wire.decode_batch, body)
        assert found == path
        assert fragment in message
        assert problems(wire.decode_batch, body.decode()) == {path: message}

    @pytest.mark.parametrize(("body", "fragment"), REFUSED_BODIES)
    def test_a_body_that_is_no_object_in_json_is_told_as_a_whole(self, body: bytes | str, fragment: str) -> None:
        path, message = only_problem(wire.decode_batch, body)
        assert path == "$"
        assert fragment in message

    def test_the_message_has_the_path_what_was_expected_and_what_came(self) -> None:
        with pytest.raises(lc.WireError) as caught:
            wire.decode_batch(counts(processing="2"))
        assert str(caught.value) == '$.request_counts.processing: expected a whole number, got "2"'

    def test_every_problem_is_told_at_once(self) -> None:
        body = spelled(
            {
                "type": "x",
                "processing_status": "failed",
                "request_counts": {"processing": True, "succeeded": -1, "errored": 1.5, "canceled": "0", "total": -1},
                "created_at": "2025-01-29 14:24:59Z",
                "ended_at": 3,
                "results_url": [],
                "more": {"a": [-1, Raw(r'"\ud800"')]},
            }
        )
        assert sorted(problems(wire.decode_batch, body)) == [
            "$.created_at",
            "$.ended_at",
            "$.expires_at",
            "$.id",
            "$.more.a[0]",
            "$.more.a[1]",
            "$.processing_status",
            "$.request_counts.canceled",
            "$.request_counts.errored",
            "$.request_counts.expired",
            "$.request_counts.processing",
            "$.request_counts.succeeded",
            "$.request_counts.total",
            "$.results_url",
            "$.type",
        ]

    def test_an_empty_object_lacks_every_required_key(self) -> None:
        assert problems(wire.decode_batch, b"{}") == dict.fromkeys(
            ("$.id", "$.type", "$.processing_status", "$.request_counts", "$.created_at", "$.expires_at"), "missing"
        )

    def test_an_empty_object_of_counts_lacks_all_five(self) -> None:
        expected = dict.fromkeys([f"$.request_counts.{key}" for key in COUNT_KEYS], "missing")
        assert problems(wire.decode_batch, snapshot(request_counts={})) == expected

    def test_a_long_value_is_shown_cut(self) -> None:
        _, message = only_problem(wire.decode_batch, snapshot(processing_status="x" * 100_000))
        assert len(message) < 200

    @pytest.mark.parametrize("limit", [len(snapshot()), len(snapshot()) + 1])
    def test_a_body_of_the_limit_is_read(self, limit: int) -> None:
        assert wire.decode_batch(snapshot(), max_bytes=limit) == BATCH

    def test_a_body_over_the_limit_is_not_even_parsed(self) -> None:
        limit = len(snapshot()) - 1
        expected = ("$", f"{limit + 1} bytes are over the limit of {limit}")
        assert only_problem(wire.decode_batch, snapshot(), max_bytes=limit) == expected
        assert only_problem(wire.decode_batch, snapshot().decode(), max_bytes=limit) == expected

    def test_the_limit_counts_bytes_not_characters(self) -> None:
        text = snapshot(id=Raw('"é"')).decode()
        assert "over the limit" in only_problem(wire.decode_batch, text, max_bytes=len(text))[1]
        assert wire.decode_batch(text, max_bytes=len(text) + 1).id == "é"

    def test_the_limit_may_be_raised(self) -> None:
        body = snapshot(id="x" * 2_000_000)
        assert "over the limit" in only_problem(wire.decode_batch, body)[1]
        assert len(wire.decode_batch(body, max_bytes=3_000_000).id) == 2_000_000

    def test_nesting_to_64_is_read(self) -> None:
        deep = wire.decode_batch(snapshot(more=Raw("[" * 63 + "]" * 63)))
        assert json.dumps(deep.extra["more"]) == "[" * 63 + "]" * 63
        deep = wire.decode_batch(counts(more=Raw('{"a":' * 62 + "1" + "}" * 62)))
        assert json.dumps(deep.request_counts.extra["more"]).count("{") == 62

    @pytest.mark.parametrize(
        "values",
        [
            [-1] * 5_000,
            {f"k{index}": -1 for index in range(5_000)},
        ],
    )
    def test_of_a_hostile_number_of_problems_the_first_thousand_are_told(self, values: object) -> None:
        found = problems(wire.decode_batch, snapshot(more=values))
        assert len(found) == wire.MAX_PROBLEMS == 1000

    def test_paths_stay_short_however_long_the_keys_are(self) -> None:
        long = {"k" * 1000: {" " * 1000: {"\x00" * 1000: [-1, -1]}}}
        found = problems(wire.decode_batch, snapshot(more=long))
        assert len(found) == 2
        assert all(len(path) < 300 for path in found)

    @pytest.mark.parametrize("body", [snapshot(id=3, more=-1), b"", '{"a":"\ud800"}'])
    def test_the_error_pickles_and_is_a_value_error(self, body: bytes | str) -> None:
        with pytest.raises(ValueError) as caught:
            wire.decode_batch(body)
        error = caught.value
        assert type(error) is lc.WireError
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is lc.WireError
            assert again.problems == error.problems
            assert str(again) == str(error)


class TestTimes:
    """
    Any RFC 3339 time is read, and nothing else; digits past the sixth are cut, `t`, `z` and `-00:00` are read.

    Refused besides: a leap second, an offset over 23:59, and what leaves the range of datetime in UTC.
    """

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (STAMP, T),
            ("2025-01-29T14:24:59.570697Z", T),
            ("2025-01-29t14:24:59.570697z", T),
            ("2025-01-29T14:24:59.570697-00:00", T),
            ("2025-01-29T16:24:59.570697+02:00", T),
            ("2025-01-29T06:24:59.570697-08:00", T),
            ("2025-01-30T14:23:59.570697+23:59", T),
            ("2025-01-28T14:25:59.570697-23:59", T),
            ("2025-01-29T14:24:59.5706979+00:00", T),
            ("2025-01-29T14:24:59.57069799999999999999999999Z", T),
            ("2025-01-29T14:24:59.570697" + "9" * 10_000 + "Z", T),
            ("2025-01-29T14:24:59Z", T.replace(microsecond=0)),
            ("2025-01-29T14:24:59+00:00", T.replace(microsecond=0)),
            ("2025-01-29T14:24:59.5Z", T.replace(microsecond=500_000)),
            ("2025-01-29T14:24:59.000001Z", T.replace(microsecond=1)),
            ("2025-01-29T14:24:59.0000009Z", T.replace(microsecond=0)),
            ("2024-12-31T23:59:59.9999999Z", datetime(2024, 12, 31, 23, 59, 59, 999_999, UTC)),
            ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
            ("2000-02-29T00:00:00Z", datetime(2000, 2, 29, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("0001-01-01T00:00:00.000000+00:00", datetime(1, 1, 1, tzinfo=UTC)),
            ("0001-01-01T23:59:00+23:59", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59.9999999Z", datetime.max.replace(tzinfo=UTC)),
            ("9999-12-31T00:00:59.999999-23:59", datetime.max.replace(tzinfo=UTC)),
        ],
    )
    def test_an_rfc_3339_time_is_read(self, text: str, expected: datetime) -> None:
        for key in TIME_KEYS:
            found = getattr(wire.decode_batch(snapshot(**{key: text})), key)
            assert found == expected
            assert found.tzinfo is UTC
        assert microseconds_of(text) == microseconds(expected)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "now", "2025", "2025-01", "2025-01-29", "14:24:59Z", "1738160699", "2025-01-29T", "2025-01-29Z"),
            *("2025-01-29T14:24:59", "2025-01-29T14:24:59.570697", "2025-01-29T14:24Z", "2025-01-29T14Z"),
            *(
                "20250129T142459Z",
                "20250129T14:24:59Z",
                "2025-01-29T142459Z",
                "2025-W05-3T14:24:59Z",
                "2025W053T14:24:59Z",
            ),
            *(
                "2025-029T14:24:59Z",
                "2025-01-29T14:24:59,570697Z",
                "2025-01-29T14:24:59,570697+00:00",
                "2025-01-29T14:24.5Z",
            ),
            *("2025-01-29 14:24:59Z", "2025-01-29_14:24:59Z", "2025-01-29T14:24:59 Z", " 2025-01-29T14:24:59Z"),
            *(
                "2025-01-29T14:24:59Z ",
                "2025-01-29T14:24:59Z\n",
                "2025-01-29T14:24:59.570697+00:00\n",
                "2025-01-29TT14:24:59Z",
            ),
            *("2025-01-29T14:24:59.5Z\0697+00:00", "2025-01-29T14:24:Z\0.570697+00:00", "2025-01-29T14:24:59Z\0"),
            *("2025-01-29T14:24:60Z", "2016-12-31T23:59:60Z", "2025-01-29T14:60:00Z", "2025-01-29T24:00:00Z"),
            *(
                "2025-01-29T24:00:00.000000+00:00",
                "2025-01-29T25:00:00Z",
                "2025-00-29T14:24:59Z",
                "2025-13-29T14:24:59Z",
            ),
            *("2025-01-00T14:24:59Z", "2025-01-32T14:24:59Z", "2025-02-29T14:24:59Z", "1900-02-29T14:24:59Z"),
            *("2025-04-31T14:24:59Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "+2025-01-29T14:24:59Z"),
            *("-2025-01-29T14:24:59Z", "2025-01-29T14:24:59+00", "2025-01-29T14:24:59+0000", "2025-01-29T14:24:59-08"),
            *(
                "2025-01-29T14:24:59+24:00",
                "2025-01-29T14:24:59-24:00",
                "2025-01-29T14:24:59+99:99",
                "2025-01-29T14:24:59+00:60",
            ),
            *(
                "2025-01-29T14:24:59+23:60",
                "2025-01-29T14:24:59+00:00:00",
                "2025-01-29T14:24:59+00:00:00.0",
                "2025-01-29T14:24:59+0:00",
            ),
            *(
                "2025-01-29T14:24:59Z+00:00",
                "2025-01-29T14:24:59+00:00Z",
                "2025-01-29T14:24:59UTC",
                "2025-01-29T14:24:59 UTC",
            ),
            *(
                "2025-01-29T14:24:59.Z",
                "2025-01-29T14:24:59.+00:00",
                "2025-01-29T14:24:59.57_697Z",
                "2025-01-29T14:24:59.5.7Z",
            ),
            *("0001-01-01T00:00:00+00:01", "0001-01-01T23:58:59.999999+23:59", "9999-12-31T23:59:59.999999-00:01"),
            *("9999-12-31T00:01:00-23:59", "2025-1-29T14:24:59Z", "2025-01-29T4:24:59Z", "25-01-29T14:24:59Z"),
            *(
                "2025-01-29T14:24:59\u22120:00",
                "2025-01-29T14:24:59\u221200:00",
                "\uff12025-01-29T14:24:59.570697+00:00",
            ),
            *(
                "2025-01-29T14:24:59.57069\u0667+00:00",
                "2025-01-29T14:24:59.570697+00:0\uff10",
                "2025-01-29T14:24:59\u00b2Z",
            ),
            *("Wed, 29 Jan 2025 14:24:59 GMT", "2025-01-29T14:24:59[UTC]", "2025-01-29T14:24:59Z[Europe/Paris]"),
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        for key in TIME_KEYS:
            assert list(problems(wire.decode_batch, snapshot(**{key: text}))) == [f"$.{key}"]
        assert microseconds_of(text) is None

    @pytest.mark.parametrize("at", range(len(STAMP)))
    def test_each_character_of_the_recorded_form_counts(self, at: int) -> None:
        for piece in (*"0123456789+-:.,TtZzW /_\u0660", "", "00", ":0"):
            for text in (STAMP[:at] + piece + STAMP[at + 1 :], STAMP[:at] + piece + STAMP[at:]):
                fuzz_wire.check_time(text)

    def test_forms_of_iso_8601_that_are_not_rfc_3339_are_refused(self) -> None:
        dates = (
            *("2025-01-29", "20250129", "2025-W05-3", "2025W053", "2025-W05", "2025W05", "2025-029", "2025029"),
            *("2025-01", "--01-29", "+002025-01-29"),
        )
        clocks = (
            *("14:24:59", "142459", "14:24", "1424", "14", "24:00:00", "14:24:59.570697", "14:24:59,570697"),
            *("14:24:59.570", "142459.570697", "14:24.5", "14:24:60", "24:00:00.000000", "14:24:59.5706971"),
        )
        offsets = (
            "",
            "Z",
            "z",
            "+00:00",
            "+0000",
            "+00",
            "-08:00",
            "-0800",
            "-08",
            "+00:00:00",
            "-08:00:00.5",
            "+24:00",
        )
        times = ["".join(parts) for parts in product(dates, ("T", "t", " ", "_", ""), clocks, offsets)]
        iso_only = [text for text in times if microseconds_of(text) is None]
        assert len(iso_only) > 8000
        taken_by_python = 0
        for text in iso_only:
            assert list(problems(wire.structure_batch, SNAPSHOT | {"created_at": text})) == ["$.created_at"]
            taken_by_python += _python_takes(text)
        assert taken_by_python > 500
        assert {text for text in times if microseconds_of(text) is not None} >= {"2025-01-29T14:24:59Z", STAMP}

    @pytest.mark.parametrize("key", TIME_KEYS)
    @pytest.mark.parametrize(
        "text",
        # As long as the recorded form, all of them; msgspec rounds the digits of some, and takes others for times.
        [
            *(
                "2025-01-29T14:24:59.57069799999Z",
                "2025-01-29T14:24:59.57069799999z",
                "2025-01-29t14:24:59.570697+00:00",
            ),
            *(
                "2025-01-29T16:24:59.570697+02:00",
                "2025-01-29T14:24:59.570697-00:00",
                "2025-01-29 14:24:59.570697+00:00",
            ),
            *(
                "2025-01-29T14:24:59.5706979+0000",
                "2025-01-29T14:24:59,570697+00:00",
                "2025-01-29T24:00:00.000000+00:00",
            ),
        ],
    )
    def test_it_does_not_matter_where_another_form_stands(self, key: str, text: str) -> None:
        member = f'"{key}":"{text}"'
        bodies = [
            snapshot(**{key: text}),
            snapshot()[:-1] + f",{member}}}".encode(),
            snapshot(results_url=None)[:-1] + f",{member}}}".encode(),
            snapshot().replace(b',"results_url"', f',{member},"results_url"'.encode()),
            snapshot().replace(b',"results_url":', f',"results_url":"x",{member},"results_url":'.encode()),
        ]
        assert len(text) == len(STAMP)
        for body in bodies:
            if microseconds_of(text) is None:
                assert list(problems(wire.decode_batch, body)) == [f"$.{key}"]
            else:
                assert getattr(wire.decode_batch(body), key) == T

    @SOME
    @given(
        st.from_regex(
            r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{0,9})?"
            r"([Zz]|[+-][0-2][0-9]:?[0-6][0-9])?",
            fullmatch=True,
        )
    )
    def test_a_second_reading_of_the_rfc_agrees(self, text: str) -> None:
        fuzz_wire.check_time(text)

    @given(strategies.times(), st.integers(-1439, 1439), st.sampled_from("Tt"), st.text("0123456789", max_size=9))
    def test_an_offset_names_the_same_moment(self, time: datetime, minutes: int, t: str, more: str) -> None:
        local = microseconds(time) + minutes * 60_000_000
        if not 0 <= local <= microseconds(datetime.max.replace(tzinfo=UTC)):
            return
        moment = datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=local)
        clock = moment.replace(tzinfo=None).isoformat(timespec="microseconds").replace("T", t)
        sign = "-" if minutes < 0 else "+"
        text = f"{clock}{more}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
        assert wire.decode_batch(snapshot(created_at=text)).created_at == time


def _python_takes(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class TestUnknownKeys:
    """Unknown keys of a snapshot are tolerated and kept; numbers in them obey the same limits."""

    MORE: ClassVar[dict[str, Any]] = {
        "total": 4,
        "archive_at": STAMP,
        "": None,
        "é": [1, {"a": [0.5, True, "x"]}],
        "Id": 2**63 - 1,
    }

    def test_are_kept_and_written_back_behind_the_documented_ones(self) -> None:
        body = snapshot(**self.MORE, request_counts=COUNTS | self.MORE)
        batch = wire.decode_batch(body)
        assert batch.extra == self.MORE
        assert batch.request_counts.extra == self.MORE
        assert wire.encode_batch(batch) == body.decode().replace("\\u00e9", "é").encode()

    def test_stand_last_wherever_they_stood(self) -> None:
        batch = wire.decode_batch(b'{"first":1,' + snapshot()[1:])
        assert wire.encode_batch(batch) == snapshot(first=1)

    def test_are_no_part_of_equality(self) -> None:
        assert wire.decode_batch(snapshot(more=1, request_counts=COUNTS | {"more": 2})) == BATCH

    def test_are_told_by_advice_b16(self) -> None:
        found = lc.check(wire.decode_batch(counts(total=4)), profile=lc.HOSTED)
        assert [violation.rule.id for violation in found] == ["B16"]

    def test_deleted_at_is_one_of_them_for_the_wire_has_no_such_key(self) -> None:
        batch = wire.decode_batch(snapshot(deleted_at=STAMP))
        assert batch.deleted_at is None
        assert batch.extra == {"deleted_at": STAMP}
        assert wire.encode_batch(batch) == snapshot(deleted_at=STAMP)

    @pytest.mark.parametrize(
        "number", ["0", "-0", "0.0", "-0.0", "1e18", str(LARGEST), "9223372036854774784.0", "1e-400"]
    )
    def test_numbers_in_range_are_kept(self, number: str) -> None:
        assert wire.decode_batch(snapshot(more=Raw(number))).extra["more"] == float(number) or number == str(LARGEST)

    @pytest.mark.parametrize("key", list(SNAPSHOT))
    def test_a_documented_key_cannot_stand_in_extra(self, key: str) -> None:
        assert list(problems(wire.encode_batch, attrs.evolve(BATCH, extra={key: 1}))) == [f"$.{key}"]
        assert list(problems(wire.unstructure_batch, attrs.evolve(BATCH, extra={key: 1}))) == [f"$.{key}"]

    @pytest.mark.parametrize("key", COUNT_KEYS)
    def test_nor_can_a_count_in_the_extra_of_the_counts(self, key: str) -> None:
        batch = attrs.evolve(BATCH, request_counts=attrs.evolve(BATCH.request_counts, extra={key: 1}))
        assert list(problems(wire.encode_batch, batch)) == [f"$.request_counts.{key}"]

    @given(strategies.batches(extra=True))
    def test_come_back_whatever_they_are(self, batch: lc.MessageBatch) -> None:
        again = wire.decode_batch(wire.encode_batch(batch), max_bytes=1 << 24)
        assert fuzz_wire.whole(again) == fuzz_wire.whole(batch)


class Word(StrEnum):
    X = "x"


class Text(str):
    """Such as a data frame's."""

    __slots__ = ()


class Whole(int):
    pass


class Number(float):
    pass


class Three(IntEnum):
    THREE = 3


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class TestEncoding:
    """Encoding gives the recorded form: all ten keys in order, compact, times with six digits and +00:00."""

    def test_the_form_is_the_recorded_one(self) -> None:
        assert wire.encode_batch(BATCH) == snapshot()

    def test_a_whole_second_has_six_digits_too(self) -> None:
        batch = attrs.evolve(BATCH, created_at=T.replace(microsecond=0), ended_at=None)
        assert wire.encode_batch(batch) == snapshot(created_at="2025-01-29T14:24:59.000000+00:00", ended_at=None)

    def test_deleted_at_stays_behind(self) -> None:
        assert wire.encode_batch(attrs.evolve(BATCH, deleted_at=T)) == snapshot()
        assert wire.unstructure_batch(attrs.evolve(BATCH, deleted_at=T)) == SNAPSHOT

    @SOME
    @given(strategies.batches())
    @example(attrs.evolve(BATCH, id='Z",Z', results_url="Z"))
    @example(attrs.evolve(BATCH, id="Z", results_url='"Z'))
    @example(attrs.evolve(QUICK, id='Z",Z%b', results_url="%Z%"))
    @example(attrs.evolve(QUICK, id='é😀\\"', results_url='"ended_at":"Z"'))
    @example(attrs.evolve(QUICK, id="", results_url=None, ended_at=None, archived_at=T + 2 * HOUR))
    @example(attrs.evolve(BATCH, results_url="Z", created_at=datetime(1, 1, 1, tzinfo=UTC)))
    @example(attrs.evolve(BATCH, id="2025-01-29T14:24:59.570697Z"))
    @example(attrs.evolve(BATCH, request_counts=lc.RequestCounts(LARGEST, LARGEST, LARGEST, LARGEST, LARGEST)))
    def test_every_batch_is_written_in_that_form_and_comes_back(self, batch: lc.MessageBatch) -> None:
        body = wire.encode_batch(batch)
        assert wire.decode_batch(body) == batch
        plain = json.loads(body)
        assert list(plain) == list(SNAPSHOT)
        assert list(plain["request_counts"]) == list(COUNTS)
        for key in TIME_KEYS:
            value = getattr(batch, key)
            assert (plain[key] is None) is (value is None)
            if value is not None:
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", plain[key])
                assert microseconds_of(plain[key]) == microseconds(value)
        outside_of_text = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body)
        assert re.search(rb"\s", outside_of_text) is None

    @given(strategies.batches(extra=True))
    def test_builtins_say_what_the_bytes_say(self, batch: lc.MessageBatch) -> None:
        plain = wire.unstructure_batch(batch)
        assert plain == json.loads(wire.encode_batch(batch))
        assert list(plain)[:10] == list(SNAPSHOT)
        before = copy.deepcopy(plain)
        assert fuzz_wire.whole(wire.structure_batch(plain)) == fuzz_wire.whole(batch)
        assert plain == before

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"request_counts": lc.RequestCounts(-1)}, "$.request_counts.processing"),
            ({"request_counts": lc.RequestCounts(0, 0, 0, 0, LARGEST + 1)}, "$.request_counts.expired"),
            ({"request_counts": lc.RequestCounts(0, -(2**70))}, "$.request_counts.succeeded"),
            ({"request_counts": lc.RequestCounts(10**5000)}, "$.request_counts.processing"),
            ({"id": "\ud800"}, "$.id"),
            ({"id": "a\udfffb", "created_at": T.replace(microsecond=0)}, "$.id"),
            ({"results_url": "\udc80"}, "$.results_url"),
            ({"extra": {"x": float("nan")}}, "$.x"),
            ({"extra": {"x": float("inf")}}, "$.x"),
            ({"extra": {"x": -0.5}}, "$.x"),
            ({"extra": {"x": 2.0**63}}, "$.x"),
            ({"extra": {"x": -1}}, "$.x"),
            ({"extra": {"x": 10**5000}}, "$.x"),
            ({"extra": {"x": [0, {"y": (1, -1)}]}}, "$.x[1].y[1]"),
            ({"extra": {"x": "\ud800"}}, "$.x"),
            ({"extra": {"\ud800": 1}}, '$["\\ud800"]'),
            ({"extra": {"x": {"\ud800": 1}}}, '$.x["\\ud800"]'),
            ({"extra": {"x": {1: 2}}}, "$.x"),
            ({"extra": {"x": {None: 2}}}, "$.x"),
            ({"extra": {"x": object()}}, "$.x"),
            ({"extra": {"x": {1, 2}}}, "$.x"),
            ({"extra": {"x": b"x"}}, "$.x"),
            ({"extra": {"x": T}}, "$.x"),
            ({"extra": {"x": lc.RequestCounts(1)}}, "$.x"),
            ({"extra": {"x": 1j}}, "$.x"),
            ({"extra": {"x": Unshowable()}}, "$.x"),
            ({"extra": {"x": CYCLE}}, "$.x" + "[0]" * 63),
            ({"request_counts": lc.RequestCounts(0, extra={"x": CYCLE})}, "$.request_counts.x" + "[0]" * 62),
            ({"request_counts": lc.RequestCounts(0, extra={"x": Unshowable()})}, "$.request_counts.x"),
        ],
    )
    def test_what_could_not_be_read_back_is_refused(self, changes: dict[str, Any], path: str) -> None:
        for batch in (attrs.evolve(BATCH, **changes), attrs.evolve(QUICK, **changes)):
            assert list(problems(wire.encode_batch, batch)) == [path]
            assert list(problems(wire.unstructure_batch, batch)) == [path]

    def test_every_problem_of_a_batch_is_told(self) -> None:
        batch = attrs.evolve(BATCH, id="\ud800", request_counts=lc.RequestCounts(-1, -1), extra={"x": -1})
        paths = ["$.id", "$.request_counts.processing", "$.request_counts.succeeded", "$.x"]
        assert sorted(problems(wire.encode_batch, batch)) == paths

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (Text("é"), '"é"'),
            (Word.X, '"x"'),
            (Whole(7), "7"),
            (Number(0.5), "0.5"),
            (Three.THREE, "3"),
            ((1, Text("a")), '[1,"a"]'),
            (types.MappingProxyType({"a": Whole(1)}), '{"a":1}'),
            ({Text("a"): 1, Word.X: 2}, '{"a":1,"x":2}'),
        ],
    )
    def test_subclasses_of_builtins_are_written_as_these(self, value: object, expected: str) -> None:
        assert wire.encode_batch(attrs.evolve(BATCH, extra={"more": value})) == (
            snapshot(more=Raw(expected)).decode().encode()
        )

    @pytest.mark.parametrize("name", [Text("x"), Word.X])
    def test_text_of_a_subclass_is_written_as_text(self, name: str) -> None:
        assert wire.encode_batch(attrs.evolve(BATCH, id=name, results_url=name)) == snapshot(id="x", results_url="x")
        record = lc.Record(name, 1, lc.Created(name, T, T + DAY, 1), name, T)
        assert wire.encode_record(record) == wire.encode_record(
            lc.Record("x", 1, lc.Created("x", T, T + DAY, 1), "x", T)
        )

    @pytest.mark.parametrize("value", [None, "x", SNAPSHOT, lc.RequestCounts(1), lc.Deleted(T)])
    def test_what_is_no_batch_is_a_type_error(self, value: Any) -> None:
        for write in (wire.encode_batch, wire.unstructure_batch, wire.encode_record):
            with pytest.raises(TypeError):
                write(value)


class TestBuiltins:
    """structure/unstructure: the same between a batch and what a JSON parser leaves."""

    def test_a_mapping_of_any_kind_is_read(self) -> None:
        inner = types.MappingProxyType(COUNTS)
        assert wire.structure_batch(types.MappingProxyType(SNAPSHOT | {"request_counts": inner})) == BATCH

    def test_text_of_a_subclass_is_read_even_as_a_key(self) -> None:
        given: Mapping[Any, Any] = {Text(key): value for key, value in SNAPSHOT.items()} | {Text("more"): Text("x")}
        found = wire.structure_batch(given)
        assert found == BATCH
        assert found.extra == {"more": "x"}
        assert [type(key) for key in found.extra] == [str]

    @pytest.mark.parametrize("value", [None, 3, "x", [], b"{}", BATCH])
    def test_what_is_no_mapping_is_refused(self, value: Any) -> None:
        assert list(problems(wire.structure_batch, value)) == ["$"]

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({1: 2}, "$"),
            ({None: 2}, "$"),
            ({"request_counts": COUNTS | cast(dict[str, Any], {1: 2})}, "$.request_counts"),
            ({"more": {(1, 2): 3}}, "$.more"),
            ({"more": float("nan")}, "$.more"),
            ({"more": {1, 2}}, "$.more"),
            ({"more": Unshowable()}, "$.more"),
            ({"more": CYCLE}, "$.more" + "[0]" * 63),
            ({"created_at": T}, "$.created_at"),
            ({"created_at": Unshowable()}, "$.created_at"),
            ({"id": Unshowable()}, "$.id"),
            ({"processing_status": ["ended"]}, "$.processing_status"),
            ({"request_counts": COUNTS | {"processing": 10**5000}}, "$.request_counts.processing"),
            ({"request_counts": COUNTS | {"processing": Whole(1)}}, "$.request_counts.processing"),
            ({"request_counts": lc.RequestCounts(1)}, "$.request_counts"),
        ],
    )
    def test_what_json_cannot_hold_is_refused(self, changes: dict[Any, Any], path: str) -> None:
        assert list(problems(wire.structure_batch, SNAPSHOT | changes)) == [path]


# -------------------------------------------------------------------------------------------------------------- records

GOLDEN = Path(__file__).with_name("golden") / "0.1.0" / "events.jsonl"
GOLDEN_RECORDS = (
    lc.Record("msgbatch_01", 1, lc.Created("msgbatch_01", T, T + DAY, 4), None, T),
    lc.Record("msgbatch_01", 2, lc.CountsUpdated(lc.RequestCounts(4)), None, T + HOUR),
    lc.Record("msgbatch_01", 3, lc.CancelInitiated(T.replace(microsecond=0) + HOUR), None, T + HOUR),
    lc.Record(
        "msgbatch_01", 4, lc.Ended(T + 2 * HOUR, lc.RequestCounts(0, 1, 1, 1, 1), URL), "request 7", T + 2 * HOUR
    ),
    lc.Record("msgbatch_01", 5, lc.Archived(T + 30 * DAY), None, T + 30 * DAY),
    lc.Record("msgbatch_01", 6, lc.Deleted(T + 31 * DAY), None, T + 31 * DAY),
    lc.Record("naïve/ß 100%", LARGEST, lc.Ended(T, lc.RequestCounts(LARGEST)), '😀"\\\n', T),
)
RECORD = GOLDEN_RECORDS[3]
DATA = {
    "ended_at": "2025-01-29T16:24:59.570697+00:00",
    "request_counts": {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 1, "expired": 1},
    "results_url": URL,
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "request 7",
    "source": "/v1/messages/batches/msgbatch_01",
    "subject": "msgbatch_01",
    "type": "lifecycle.message_batch.ended.v1",
    "sequence": "00000000000000000004",
    "time": "2025-01-29T16:24:59.570697+00:00",
    "datacontenttype": "application/json",
    "data": DATA,
}


def line(**changes: Any) -> bytes:
    """A line without `crc32`; `...` takes a key away."""
    return spelled({key: value for key, value in (ENVELOPE | changes).items() if value is not ...}).encode()


def stamped(body: bytes) -> bytes:
    """The line with its `crc32`, as the format defines it."""
    return body[:-1] + b',"crc32":"' + format(zlib.crc32(body), "08x").encode() + b'"}'


def data(**changes: Any) -> bytes:
    return line(data={key: value for key, value in (DATA | changes).items() if value is not ...})


def data_counts(**changes: Any) -> bytes:
    given = cast(dict[str, Any], DATA["request_counts"]) | changes
    return data(request_counts={key: value for key, value in given.items() if value is not ...})


class TestTheStoredFormat:
    """What is stored once is read for ever: a released event never changes."""

    LINES = GOLDEN.read_bytes().splitlines()

    @pytest.mark.parametrize(("stored", "record"), list(zip(LINES, GOLDEN_RECORDS, strict=True)))
    def test_a_stored_line_is_read_and_written_the_same(self, stored: bytes, record: lc.Record) -> None:
        assert wire.decode_record(stored) == record
        assert wire.encode_record(record) == stored

    @pytest.mark.parametrize("stored", LINES)
    def test_the_keys_stand_in_order_and_the_checksum_last(self, stored: bytes) -> None:
        assert list(json.loads(stored)) == [*ENVELOPE, "crc32"]
        assert stamped(stored[:-20] + b"}") == stored

    def test_there_is_a_line_of_every_event(self) -> None:
        tags = {record.event.tag for record in GOLDEN_RECORDS}
        assert tags == {"created", "counts_updated", "cancel_initiated", "ended", "archived", "deleted"}


class TestALine:
    """One CloudEvents 1.0 event in structured JSON per line."""

    def test_is_read_with_and_without_its_newline(self) -> None:
        assert wire.decode_record(line()) == wire.decode_record(line() + b"\n") == RECORD

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, bytes.decode])
    def test_may_be_bytes_of_any_kind_or_text(self, kind: Callable[[bytes], Any]) -> None:
        assert wire.decode_record(kind(stamped(line()))) == RECORD

    def test_has_no_place_of_its_own(self) -> None:
        assert wire.decode_record(line()).place is None
        assert wire.encode_record(attrs.evolve(RECORD, place=("night.jsonl", 7))) == stamped(line())

    def test_may_have_its_keys_in_any_order(self) -> None:
        turned = dict(reversed(ENVELOPE.items()))
        assert wire.decode_record(stamped(spelled(turned).encode())) == RECORD

    def test_may_have_any_rfc_3339_times(self) -> None:
        body = line(time="2025-01-29t18:24:59.5706979+02:00", data=DATA | {"ended_at": "2025-01-29T16:24:59.570697Z"})
        assert wire.decode_record(body) == RECORD

    @pytest.mark.parametrize(
        ("event", "given"),
        [
            (lc.Archived(T), {"archived_at": STAMP}),
            (lc.Archived(T, None), {"archived_at": STAMP, "results_url": None}),
            (
                lc.Ended(T, lc.RequestCounts(0, 1)),
                {"ended_at": STAMP, "request_counts": COUNTS | {"succeeded": 1, "errored": 0, "canceled": 0}},
            ),
        ],
    )
    def test_may_lack_a_nullable_key_of_its_data(self, event: lc.Event, given: dict[str, Any]) -> None:
        body = line(type=f"lifecycle.message_batch.{event.tag}.v1", data=given)
        assert wire.decode_record(body).event == event

    def test_has_the_event_id_that_it_says(self) -> None:
        assert wire.decode_record(line(id="")).event_id == ""
        assert lc.Record("a", 3, lc.Deleted(T), None, T).event_id == "a/3"

    @SOME
    @given(strategies.records())
    def test_is_written_for_every_record_and_gives_it_back(self, record: lc.Record) -> None:
        body = wire.encode_record(record)
        assert b"\n" not in body
        assert wire.decode_record(body) == record
        assert body[-20:] == stamped(body[:-20] + b"}")[-20:]
        plain = json.loads(body)
        assert list(plain) == [*ENVELOPE, "crc32"]
        assert plain["specversion"] == "1.0"
        assert plain["id"] == record.event_id
        assert plain["subject"] == record.batch_id
        assert plain["type"] == f"lifecycle.message_batch.{record.event.tag}.v1"
        assert plain["sequence"] == str(record.version).rjust(20, "0")
        assert microseconds_of(plain["time"]) == microseconds(record.recorded_at)
        assert plain["datacontenttype"] == "application/json"
        assert list(plain["data"]) == [field.name for field in attrs.fields(type(record.event))]
        fuzz_wire.check_record(body)

    def test_leaves_unknown_keys_of_the_counts_behind(self) -> None:
        known = lc.Record("a", 1, lc.CountsUpdated(lc.RequestCounts(1)), None, T)
        more = lc.Record("a", 1, lc.CountsUpdated(lc.RequestCounts(1, extra={"total": 1})), None, T)
        assert wire.encode_record(more) == wire.encode_record(known)


class TestTheSource:
    """`source` = `/v1/messages/batches/<batch id, percent-encoded>`; a contradicting one is refused."""

    @given(strategies.texts())
    @example("a/b?c#d%25 ~é😀")
    def test_is_the_percent_encoded_batch_id(self, batch_id: str) -> None:
        source = json.loads(wire.encode_record(lc.Record(batch_id, 1, lc.Deleted(T), None, T)))["source"]
        assert source.startswith("/v1/messages/batches/")
        tail = source.removeprefix("/v1/messages/batches/")
        # RFC 3986: what is not unreserved is a percent sign and two digits, upper case.
        assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*", tail)
        octets = re.sub(r"%(..)", lambda found: chr(int(found[1], 16)), tail)
        assert octets.encode("latin-1").decode() == batch_id

    @pytest.mark.parametrize(
        ("subject", "tail"),
        [
            ("a/b", "a%2Fb"),
            ("a/b", "a%2fb"),
            ("a/b", "a/b"),
            ("é", "%C3%A9"),
            ("é", "%c3%A9"),
            ("é", "é"),
            ("%", "%25"),
            ("%", "%"),
            ("a", "%61"),
            ("a b", "a b"),
            ("", ""),
        ],
    )
    def test_may_be_encoded_more_or_less(self, subject: str, tail: str) -> None:
        body = line(subject=subject, source=f"/v1/messages/batches/{tail}")
        assert wire.decode_record(body) == wire.decode_record(stamped(body)) == attrs.evolve(RECORD, batch_id=subject)

    @pytest.mark.parametrize(
        ("subject", "source"),
        [
            ("a", "/v1/messages/batches/b"),
            ("a", "/v1/messages/batches/A"),
            ("a", "/v1/messages/batches/"),
            ("a", "/v1/messages/batches/a/"),
            ("a", "/v1/messages/batches/a%20"),
            ("a", "a"),
            ("a", ""),
            ("a", "v1/messages/batches/a"),
            ("a", "https://api.anthropic.com/v1/messages/batches/a"),
            ("%2F", "/v1/messages/batches/%2F"),
            ("a b", "/v1/messages/batches/a+b"),
            ("\ufffd", "/v1/messages/batches/%FF"),
            ("é", "/v1/messages/batches/e\u0301"),
        ],
    )
    def test_contradicting_the_subject_is_refused(self, subject: str, source: str) -> None:
        for body in (line(subject=subject, source=source), stamped(line(subject=subject, source=source))):
            assert list(problems(wire.decode_record, body)) == ["$.source"]


class TestTheChecksum:
    """`crc32` stands last, lower case; at any other place it is refused; a line without it is accepted."""

    def test_is_verified(self) -> None:
        good = stamped(line())
        assert wire.decode_record(good) == RECORD
        said = good[-10:-2]
        for wrong in (b"00000000", b"ffffffff", bytes(reversed(said))):
            path, message = only_problem(wire.decode_record, good[:-10] + wrong + b'"}')
            assert path == "$.crc32"
            assert said.decode() in message

    @pytest.mark.parametrize("at", range(0, len(line()), 3))
    def test_no_flipped_bit_passes(self, at: int) -> None:
        body = stamped(line())
        for bit in range(8):
            flipped = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
            problems(wire.decode_record, flipped)

    def test_a_changed_line_is_named_as_changed_beside_its_other_problems(self) -> None:
        body = stamped(line()).replace(b'"succeeded":1', b'"succeeded":x').replace(b":x", b":-")
        assert list(problems(wire.decode_record, body.replace(b":-", b":null"))) == [
            "$.crc32",
            "$.data.request_counts.succeeded",
        ]

    @pytest.mark.parametrize("extra", [b'"crc32":"0a1b2c3d",', b'"crc32":null,', b'"crc32":3,'])
    def test_stands_nowhere_else(self, extra: bytes) -> None:
        body = b"{" + extra + line()[1:]
        assert list(problems(wire.decode_record, body)) == ["$.crc32"]
        assert list(problems(wire.decode_record, stamped(body))) == ["$.crc32"]
        middle = line().replace(b'"subject"', extra + b'"subject"')
        assert list(problems(wire.decode_record, middle)) == ["$.crc32"]

    @pytest.mark.parametrize(
        "tail",
        [
            *(b', "crc32":"%b"}', b',"crc32": "%b"}', b',"crc32":"%b" }', b',"crc32":"%b"} ', b',"crc32":"%b"}\r'),
            *(b',"crc32":"%b0"}', b',"crc32":"0%b"}', b',"crc32":" %b"}', b' ,"crc32":"%b"}', b',"cr\\u006332":"%b"}'),
        ],
    )
    def test_stands_last_in_that_very_spelling(self, tail: bytes) -> None:
        body = line()
        given = body[:-1] + tail.replace(b"%b", format(zlib.crc32(body), "08x").encode())
        assert list(problems(wire.decode_record, given)) == ["$.crc32"]

    @pytest.mark.parametrize("value", ["0A1B2C3D", "0a1b2c3g", "0a1b2c3", "", "\u0660a1b2c3d", 169552957, None])
    def test_is_eight_lower_case_hexadecimal_digits(self, value: object) -> None:
        assert list(problems(wire.decode_record, line(crc32=value))) == ["$.crc32"]

    def test_in_upper_case_is_refused_even_if_right(self) -> None:
        body = next(body for n in range(100) if re.search(rb"[a-f]", (body := stamped(line(id=str(n))))[-10:-2]))
        assert wire.decode_record(body).version == 4
        assert list(problems(wire.decode_record, body[:-10] + body[-10:-2].upper() + b'"}')) == ["$.crc32"]

    def test_in_the_data_is_an_unknown_key(self) -> None:
        assert list(problems(wire.decode_record, data(crc32="0a1b2c3d"))) == ["$.data.crc32"]

    def test_in_a_text_is_text(self) -> None:
        odd = ',"crc32":"0a1b2c3d"}'
        turned = {"subject": ENVELOPE["subject"], **{k: v for k, v in ENVELOPE.items() if k != "id"}, "id": odd}
        body = spelled(turned).encode()
        assert wire.decode_record(body).event_id == wire.decode_record(stamped(body)).event_id == odd


REFUSED_LINES: list[tuple[bytes, str, str]] = [
    *((line(**{key: ...}), f"$.{key}", "missing") for key in ENVELOPE),
    *((line(**{key: bad}), f"$.{key}", "got") for key in ENVELOPE for bad in (3, None, True)),
    *((line(specversion=bad), "$.specversion", 'expected "1.0"') for bad in ("1", "1.0 ", "0.3", "")),
    *((line(datacontenttype=bad), "$.datacontenttype", "expected") for bad in ("text/json", "Application/JSON", "")),
    *(
        (line(type=bad), "$.type", "expected one of")
        for bad in (
            *("ended", "lifecycle.message_batch.ended.v2", "lifecycle.message_batch.Ended.v1", ""),
            *(
                "lifecycle.message_batch.ended",
                "lifecycle.message_batch.ended.v1 ",
                "lifecycle.message_batch.archive.v1",
            ),
            *("lifecycle.message_batch.counts-updated.v1", "message_batch.ended.v1"),
        )
    ),
    *(
        (line(sequence=bad), "$.sequence", "whole number of 20 digits")
        for bad in (
            *("", "4", "0000000000000000004", "000000000000000000004", "+0000000000000000004", "-0000000000000000004"),
            *("0000000000000000000x", "0000000000000000000_4", " 0000000000000000004", "0000000000000000004\n"),
            *("000000000000000000\u06604", "0000000000000000000\u00b2", "09223372036854775808", "99999999999999999999"),
            "0000000000000000004.",
        )
    ),
    *((line(time=bad), "$.time", "RFC 3339") for bad in ("", "2025-01-29", "2025-01-29 16:24:59.570697+00:00")),
    (line(time="2025-01-29T24:00:00.000000+00:00"), "$.time", "RFC 3339"),
    (line(time="0001-01-01T00:00:00+00:01"), "$.time", "no such time"),
    *((line(**{key: Raw(r'"\ud800"')}), f"$.{key}", "lone surrogate") for key in ("id",)),
    *((line(**{key: 1}), f"$.{key}", "unknown key") for key in ("more", "deleted_at", "Data", "dataschema")),
    (line(**{"a b": 1}), '$["a b"]', "unknown key"),
    *((data(**{key: ...}), f"$.data.{key}", "missing") for key in ("ended_at", "request_counts")),
    *((data(**{key: 1}), f"$.data.{key}", "unknown key") for key in ("more", "id", "tag", "canceled_at")),
    *((data(ended_at=bad), "$.data.ended_at", "time") for bad in (3, None, "2025-01-29", "2025-01-29T14:24:59")),
    *((data(results_url=bad), "$.data.results_url", "text") for bad in NO_TEXT),
    (data(results_url=Raw(r'"\udfff"')), "$.data.results_url", "lone surrogate"),
    *((data(request_counts=bad), "$.data.request_counts", "expected an object") for bad in NO_OBJECT),
    *((data_counts(**{key: ...}), f"$.data.request_counts.{key}", "missing") for key in COUNT_KEYS),
    *(
        (data_counts(**{key: bad}), f"$.data.request_counts.{key}", said)
        for key in COUNT_KEYS[:2]
        for bad, said in REFUSED_COUNTS
    ),
    *((data_counts(**{key: 1}), f"$.data.request_counts.{key}", "unknown key") for key in ("total", "Errored", "id")),
]


class TestWhatIsNoRecord:
    """Unknown keys of our own records are refused, and so is everything else that is not of the form."""

    @pytest.mark.parametrize(("body", "path", "fragment"), REFUSED_LINES)
    def test_is_told_at_its_path(self, body: bytes, path: str, fragment: str) -> None:
        for each in (body, stamped(body), body.decode(), body + b"\n"):
            found, message = only_problem(wire.decode_record, each)
            assert found == path
            assert fragment in message

    @pytest.mark.parametrize(
        "body",
        [
            *(
                b"",
                b"\n",
                b"{",
                b"[]",
                b"null",
                b"3",
                b'"x"',
                line()[:-1],
                line() + b"x",
                line() + b"\n\n{}",
                b"\0" * 100,
            ),
            *(line() + line(), b"\xef\xbb\xbf" + line(), line(id="#").replace(b"#", b"\xff"), line(id=Raw("NaN"))),
            *(b"\x1f\x8b\x08\x00", b"[" * 100_000, line().decode().encode("utf-16")),
        ],
    )
    def test_is_told_as_a_whole(self, body: bytes) -> None:
        assert list(problems(wire.decode_record, body)) == ["$"]

    def test_an_empty_object_lacks_every_key(self) -> None:
        assert problems(wire.decode_record, b"{}") == {f"$.{key}": "missing" for key in ENVELOPE}

    def test_data_of_another_event_is_refused(self) -> None:
        body = line(type="lifecycle.message_batch.created.v1")
        assert sorted(problems(wire.decode_record, body)) == [
            *("$.data.created_at", "$.data.ended_at", "$.data.expires_at", "$.data.id", "$.data.request_count"),
            *("$.data.request_counts", "$.data.results_url"),
        ]

    def test_a_line_of_the_limit_is_read_whether_or_not_it_has_its_newline(self) -> None:
        limit = len(line())
        assert (
            wire.decode_record(line(), max_bytes=limit) == wire.decode_record(line() + b"\n", max_bytes=limit) == RECORD
        )
        expected = ("$", f"{limit} bytes are over the limit of {limit - 1}")
        assert only_problem(wire.decode_record, line() + b"\n", max_bytes=limit - 1) == expected

    def test_the_limit_is_one_mebibyte(self) -> None:
        room = 2**20 - len(line(id=""))
        assert len(wire.decode_record(line(id="x" * room)).event_id) == room
        assert list(problems(wire.decode_record, line(id="x" * (room + 1)))) == ["$"]

    def test_every_problem_is_told_at_once(self) -> None:
        body = stamped(line(id=3, sequence="4", time="x", more=1, data={"ended_at": 1, "request_counts": {"x": -1}}))
        assert sorted(problems(wire.decode_record, body.replace(b'"x"', b'"y"'))) == [
            "$.crc32",
            *(f"$.data.{key}" for key in ("ended_at", *sorted(f"request_counts.{key}" for key in (*COUNT_KEYS, "y")))),
            *("$.id", "$.more", "$.sequence", "$.time"),
        ]

    @pytest.mark.parametrize("version", [0, 1, 10**18, LARGEST])
    def test_a_version_from_0_to_the_largest_number_is_read_and_written(self, version: int) -> None:
        record = lc.Record("a", version, lc.Deleted(T), None, T)
        assert wire.decode_record(wire.encode_record(record)) == record

    @pytest.mark.parametrize(
        ("record", "path"),
        [
            (lc.Record("a", -1, lc.Deleted(T), "x", T), "$.sequence"),
            (lc.Record("a", LARGEST + 1, lc.Deleted(T), "x", T), "$.sequence"),
            (lc.Record("a", 10**5000, lc.Deleted(T), "x", T), "$.sequence"),
            (lc.Record("\ud800", 1, lc.Deleted(T), "x", T), "$.subject"),
            (lc.Record("a", 1, lc.Deleted(T), "\udfff", T), "$.id"),
            (lc.Record("a", 1, lc.Created("\ud800", T, T, 1), "x", T), "$.data.id"),
            (lc.Record("a", 1, lc.Created("a", T, T, -1), "x", T), "$.data.request_count"),
            (lc.Record("a", 1, lc.Created("a", T, T, 10**5000), "x", T), "$.data.request_count"),
            (lc.Record("a", 1, lc.CountsUpdated(lc.RequestCounts(0, -1)), "x", T), "$.data.request_counts.succeeded"),
            (lc.Record("a", 1, lc.Ended(T, lc.RequestCounts(2**63)), "x", T), "$.data.request_counts.processing"),
            (lc.Record("a", 1, lc.Archived(T, "\ud800"), "x", T), "$.data.results_url"),
        ],
    )
    def test_what_could_not_be_read_back_is_not_written(self, record: lc.Record, path: str) -> None:
        assert list(problems(wire.encode_record, record)) == [path]


class TestTheDataAlone:
    """An event without its envelope, as a store keeps it, is what stands in the line as `data`."""

    @given(strategies.events())
    @example(lc.Ended(T, lc.RequestCounts(LARGEST), 'é\u2028\U0001f600\0\\"%s'))
    @example(lc.Archived(T.replace(year=1, microsecond=0)))
    @example(lc.Created(Word.X, T, T, 0))
    def test_it_is_written_and_read_as_in_a_line(self, event: lc.Event) -> None:
        try:
            line = wire.encode_record(lc.Record("a", 1, event, "x", T))
        except lc.WireError as error:
            assert tuple(problems(wire.encode_event, event).items()) == error.problems
            return
        data = wire.encode_event(event)
        fields = {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}
        plain = {
            name: value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value
            for name, value in fields.items()
        }
        counts = plain.get("request_counts")
        if counts is not None:
            plain["request_counts"] = {name: getattr(counts, name) for name in COUNTS}
        assert data == json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
        assert b',"data":' + data + b',"crc32":"' in line
        assert wire.decode_event(wire.type_of(event), data) == event
        assert wire.decode_event(wire.type_of(event), memoryview(data)) == event

    def test_what_could_not_be_read_back_is_not_written(self) -> None:
        for event, path in (
            (lc.Created("\ud800", T, T, 1), "$.data.id"),
            (lc.Created("a", T, T, -1), "$.data.request_count"),
            (lc.Created("a", T, T, 10**5000), "$.data.request_count"),
            (lc.CountsUpdated(lc.RequestCounts(0, -1)), "$.data.request_counts.succeeded"),
            (lc.Ended(T, lc.RequestCounts(2**63)), "$.data.request_counts.processing"),
            (lc.Archived(T, "\ud800"), "$.data.results_url"),
        ):
            assert list(problems(wire.encode_event, event)) == [path]

    @pytest.mark.parametrize("value", [None, "x", lc.RequestCounts(1), lc.Record("a", 1, lc.Deleted(T), "x", T)])
    def test_what_is_no_event_is_a_type_error(self, value: Any) -> None:
        with pytest.raises(TypeError):
            wire.encode_event(value)

    def test_an_unusual_form_is_read_after_all(self) -> None:
        data = b'{"deleted_at": "2025-01-29t14:24:59.570697Z"}'
        assert wire.decode_event(wire.type_of(lc.Deleted), data) == lc.Deleted(T)

    @pytest.mark.parametrize(
        ("type_", "data", "path"),
        [
            ("lifecycle.message_batch.deleted.v2", b"{}", "$.type"),
            (wire.type_of(lc.Deleted), b"{}", "$.data.deleted_at"),
            (wire.type_of(lc.Deleted), b'{"deleted_at":"%s","x":1}' % STAMP.encode(), "$.data.x"),
            (wire.type_of(lc.Deleted), b"[]", "$.data"),
            (
                wire.type_of(lc.CountsUpdated),
                spelled({"request_counts": {**COUNTS, "x": 1}}),
                "$.data.request_counts.x",
            ),
            (wire.type_of(lc.Deleted), b"{", "$"),
            (wire.type_of(lc.Deleted), b"\xff", "$"),
        ],
    )
    def test_what_is_no_data_is_refused_with_its_path(self, type_: str, data: bytes, path: str) -> None:
        assert list(problems(wire.decode_event, type_, data)) == [path]

    def test_data_over_the_limit_is_refused(self) -> None:
        data = wire.encode_event(lc.Deleted(T))
        assert wire.decode_event(wire.type_of(lc.Deleted), data, max_bytes=len(data)) == lc.Deleted(T)
        assert list(problems(wire.decode_event, wire.type_of(lc.Deleted), data, max_bytes=len(data) - 1)) == ["$"]
        with pytest.raises(TypeError):
            wire.decode_event(wire.type_of(lc.Deleted), cast(Any, 7))


# ---------------------------------------------------------------------------------------------------- path against path


class TestBothPaths:
    """The fast path and the reference path accept exactly the same inputs, with equal values."""

    @MANY
    @given(st.integers(0))
    def test_agree_on_mutated_snapshots(self, seed: int) -> None:
        fuzz_wire.check_batch(fuzz_wire.batch_mutant(random.Random(seed)))

    @MANY
    @given(st.integers(0))
    def test_agree_on_mutated_records(self, seed: int) -> None:
        fuzz_wire.check_record(fuzz_wire.record_mutant(random.Random(seed)))

    @MANY
    @given(st.integers(0))
    def test_read_mutated_times_as_the_rfc_has_them(self, seed: int) -> None:
        fuzz_wire.check_time(fuzz_wire.time_mutant(random.Random(seed)))

    @MANY
    @given(st.integers(0))
    def test_agree_on_mutated_lines_that_are_decoded_together(self, seed: int) -> None:
        fuzz_wire.check_block(fuzz_wire.block_mutant(random.Random(seed)))

    def test_agree_on_lines_that_are_whole_only_together(self) -> None:
        first, second = line(), line(type="lifecycle.message_batch.deleted.v1", data={"deleted_at": STAMP})
        whole = [stamped(first), stamped(second)]
        assert fuzz_wire.check_block(whole)
        halves = [
            [stamped(first)[:-1] + b" ", stamped(b"}" + second)],
            [stamped(first[:-1]), stamped(b"}" + second)],
            [stamped(first + second), stamped(b"{}")],
            [stamped(first + b"null" + second), stamped(b"{}")],
            [stamped(first + b"null"), stamped(second)],
        ]
        for lines in halves:
            assert not fuzz_wire.check_block(lines)

    def test_agree_on_a_checksum_that_is_right_but_stands_in_a_text(self) -> None:
        turned = {"crc32": "00000000", **ENVELOPE}
        turned["id"] = turned.pop("id") + " and more text"
        assert not fuzz_wire.check_block([fuzz_wire._forged(spelled(turned).encode())])

    @given(st.binary(max_size=60))
    def test_agree_on_noise(self, body: bytes) -> None:
        assert not fuzz_wire.check_batch(body)
        assert not fuzz_wire.check_record(body)

    @pytest.mark.parametrize(
        "body", [body for body, *_ in (*REFUSED_VALUES, *REFUSED_BODIES) if isinstance(body, bytes)]
    )
    def test_agree_on_every_refusal_of_a_snapshot(self, body: bytes) -> None:
        if len(body) <= wire.MAX_BYTES:
            assert not fuzz_wire.check_batch(body)

    @pytest.mark.parametrize("body", [body for body, *_ in REFUSED_LINES])
    def test_agree_on_every_refusal_of_a_record(self, body: bytes) -> None:
        assert not fuzz_wire.check_record(body)
        assert not fuzz_wire.check_record(stamped(body))


class Anything:
    """Equal to everything."""

    __hash__ = None  # type: ignore[assignment] # as of everything that is equal to others

    def __eq__(self, _: object) -> bool:
        return True

    def __len__(self) -> int:
        return 0


class TestTheFuzzer:
    """A fault test needs a negative control: with a fault put in, the fuzzer must find it."""

    @staticmethod
    def fuzz() -> tuple[Mapping[str, int], list[str]]:
        return fuzz_wire.run(1, lambda executions: executions >= 4000, most=1)

    def test_meets_every_outcome_and_finds_nothing(self) -> None:
        tally, findings = self.fuzz()
        assert findings == []
        kinds = {
            f"{kind} {outcome}" for kind in ("batch", "record", "block", "time") for outcome in ("admitted", "refused")
        }
        assert set(tally) == kinds
        assert min(tally.values()) > 100

    def test_finds_a_fast_path_that_takes_text_for_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_decode_readable", msgspec.json.Decoder(wire._Readable, strict=False).decode)
        assert self.fuzz()[1]

    def test_finds_times_read_as_python_reads_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_time", lambda text: datetime.fromisoformat(text).astimezone(UTC))
        assert self.fuzz()[1]

    def test_finds_times_read_as_msgspec_reads_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_RECORDED_TIMES", [Anything()] * 8)
        assert self.fuzz()[1]

    def test_finds_a_foreign_exception(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "REFUSED", (msgspec.MsgspecError,))
        assert self.fuzz()[1]

    def test_runs_as_a_script_and_says_how_often(self) -> None:
        script = [sys.executable, fuzz_wire.__file__, "--minutes", "0.01", "--seed", "7"]
        ran = subprocess.run(script, capture_output=True, text=True, check=True)
        assert re.search(r"^[1-9][\d,]* executions, 0 findings$", ran.stdout, re.MULTILINE)

    def test_says_no_when_something_was_found(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(wire, "REFUSED", ())
        assert fuzz_wire.main(["--minutes", "1"]) == 1
        assert "20 findings" in capsys.readouterr().out


class TestDataThatMoreDataFollows:
    """Of a repeated key the last counts; what stands before it has to be JSON in UTF-8 all the same."""

    @staticmethod
    def doubled(first: bytes) -> bytes:
        return line().replace(b'"data":', b'"data":' + first + b',"data":', 1)

    @pytest.mark.parametrize("first", [b"5", b"{}", b'{"a":[1,2]}', '"é"'.encode()])
    def test_it_does_not_count(self, first: bytes) -> None:
        body = self.doubled(first)
        assert wire.decode_record(body) == wire.decode_record(line())
        assert [envelope.subject for envelope in wire.decode_block([stamped(body)])] == [ENVELOPE["subject"]]

    @pytest.mark.parametrize("first", [b'"\xff"', b'{"a":"\xc0\x80"}', b'"\xed\xa0\x80"', b"NaN", b"01", b'"\x01"'])
    def test_it_is_refused_if_it_is_no_json(self, first: bytes) -> None:
        body = self.doubled(first)
        for refused in (body, stamped(body)):
            with pytest.raises(lc.WireError) as raised:
                wire.decode_record(refused)
            assert [path for path, _ in raised.value.problems] == ["$"]
        with pytest.raises(wire.REFUSED):
            wire.decode_block([stamped(line()), stamped(body)])


def test_the_recorded_form_of_a_time_is_read_in_no_other_spelling() -> None:
    # Any one character for another at each place, and "Z" before it, where fromisoformat may stop.
    odd = [chr(code) for code in range(128)] + ["\u0660", "é", "\uff10"]
    for place in range(len(STAMP)):
        for character in odd:
            for before in {"Z", STAMP[place - 1 : place]}:
                text = (STAMP[: place - 1] + before if place else "") + character + STAMP[place + 1 :]
                try:
                    time = wire.recorded_time(text)
                except ValueError:
                    continue
                assert wire.stamp(time) == text


class TestNestingThatNoParserReads:
    """What is said of it does not depend on how deep the caller stands."""

    @pytest.mark.parametrize("body", [b"[" * 700, b"[" * 990 + b"]" * 990, b'{"a":' * 700 + b'"["', b"[" * 100_000])
    def test_it_is_refused_for_its_depth(self, body: bytes) -> None:
        with pytest.raises(lc.WireError) as raised:
            wire.decode_batch(body)
        assert raised.value.problems == (("$", "nested deeper than 64"),)

    def test_brackets_in_text_and_side_by_side_do_not_nest(self) -> None:
        batch = lc.MessageBatch("[" * 700 + '"{', "in_progress", lc.RequestCounts(1), T, T, extra={"a": [[]] * 700})
        assert wire.decode_batch(wire.encode_batch(batch)) == batch

    def test_a_caller_that_stands_deep_is_told_the_same(self) -> None:
        def down(levels: int) -> tuple[tuple[str, str], ...]:
            if levels:
                return down(levels - 1)
            try:
                wire.decode_batch(b'{"a":' * 600 + b"1" + b"}" * 600)
            except lc.WireError as error:
                return error.problems
            raise AssertionError

        assert "nested deeper than 64" in {message for _, message in down(sys.getrecursionlimit() - 400)}
