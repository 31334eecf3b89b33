"""JSON without leniency: what is accepted, what is refused, and how it is said; the readers' own tests go further."""

import json
from typing import Any

import pytest

import lifecycle as lc
from lifecycle.parsing import decode, parse, shown, text_problem


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":[1,2.5,null,true,"\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b' "x" \n', "x"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'"\\ud800"', "\ud800"),
        (b"9" * 600, int("9" * 600)),
        (b"9" * 10_000, int("9" * 600)),
    ],
)
def test_json_is_read_as_the_standard_library_reads_it(body: bytes, value: Any) -> None:
    assert parse(body) == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xef\xbb\xbf{}", "starts with a byte order mark; use UTF-8 without one"),
        (b'{"a":"\xff"}', "invalid UTF-8 at byte 6"),
        (b"[NaN]", "NaN is no JSON"),
        (b"-Infinity", "-Infinity is no JSON"),
        (b"", "malformed JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{} {}", "malformed JSON: Extra data: line 1 column 4 (char 3)"),
        (b'"\x01"', "malformed JSON: Invalid control character at: line 1 column 2 (char 1)"),
    ],
)
def test_what_is_no_json_is_refused_as_a_whole(body: bytes, message: str) -> None:
    with pytest.raises(lc.WireError) as caught:
        parse(body)
    assert caught.value.problems == (("$", message),)


def test_how_deep_is_too_deep_is_left_to_the_caller() -> None:
    with pytest.raises(RecursionError):
        parse(b"[" * 500_000)


def test_text_is_utf_8_without_a_byte_order_mark() -> None:
    assert decode("é\n".encode()) == "é\n"
    for wrong in (b"\xef\xbb\xbfa", b"a\xff", "a".encode("utf-16")):
        with pytest.raises(lc.WireError):
            decode(wrong)


def test_text_that_cannot_be_utf_8_is_told() -> None:
    assert text_problem("é\U0001f600\0") is None
    assert text_problem("a\udc80") == 'text with a lone surrogate: "a\\udc80"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "an object"),
        ([1], "an array"),
        ((1, 2), "an array"),
        ("é", '"\\u00e9"'),
        (None, "null"),
        ("x" * 58, json.dumps("x" * 58)),
        ("x" * 59, f'"{"x" * 56}...'),
        (object(), "an object of the class object"),
    ],
)
def test_a_value_is_shown_in_short(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_number_that_python_does_not_write_is_shown_too() -> None:
    assert shown(10**5000) == "a number of thousands of digits"
