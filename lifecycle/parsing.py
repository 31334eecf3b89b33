"""
JSON as the standard library reads it, without its leniency; and how what is wrong is said.

It is the beginning of the reference path of `lifecycle.wire` and of `lifecycle.results`: what msgspec refuses comes
here, to be accepted after all or explained.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from lifecycle.errors import WireError


def parse(body: bytes) -> Any:
    """
    Read JSON.

    Args:
        body: One JSON text in UTF-8. Of a repeated key the last counts; of a number of thousands of digits only the
            first 600 are read, which are out of any range, too.

    Returns:
        What it says, as builtins.

    Raises:
        WireError: It is none.
        RecursionError: It is nested too deep to be read. How deep it may be is for the caller to say.
    """
    text = decode(body)
    try:
        return _decode_json(text)
    except json.JSONDecodeError as error:
        refuse(f"malformed JSON: {error}")


def decode(body: bytes) -> str:
    """Text from UTF-8 without a byte order mark; a `WireError` for anything else."""
    if body.startswith(b"\xef\xbb\xbf"):
        refuse("starts with a byte order mark; use UTF-8 without one")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        refuse(f"invalid UTF-8 at byte {error.start}")


def refuse(message: str) -> NoReturn:
    """Say what is wrong with a text as a whole."""
    raise WireError((("$", message),))


def text_problem(text: str) -> str | None:
    """Why a text cannot be in UTF-8; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"text with a lone surrogate: {shown(text)}"
    return None


def shown(value: object) -> str:
    """A value as a message shows it: in short."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "an array"
    try:
        text = json.dumps(value)
    except TypeError:
        return f"an object of the class {type(value).__qualname__}"
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _no_constant(name: str) -> NoReturn:
    refuse(f"{name} is no JSON")


# Of thousands of digits no int can be made.
_decode_json = json.JSONDecoder(parse_int=lambda digits: int(digits[:600]), parse_constant=_no_constant).decode
