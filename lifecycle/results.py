"""
The results file against the batch.

A results file is JSON Lines, one result a line, in any order.  It is read as a stream, judged line by line, and counted
against the batch; given the submitted ids, it is matched with them.  Nothing is fetched here: who downloads the file
asks `same_origin` first whether the URL may have the key.

The common path is fast, the failing path explains: a line is first decoded by msgspec, which skips what is not asked
for; whatever it refuses goes to the standard library's json, which accepts it or says what is wrong.  What the fast
path accepts the reference path accepts with the same value: tests hold them to it.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import IPv6Address
from typing import Any, Final, Literal, NoReturn, cast

import attrs
import msgspec

from lifecycle.batch import MessageBatch, RequestCounts, unchecked
from lifecycle.errors import LogError, WireError, quoted
from lifecycle.folding import check_type
from lifecycle.lines import Block, File, in_blocks, over_limit
from lifecycle.parsing import decode, parse, refuse, shown, text_problem

MAX_BYTES = 16 << 20
"""
How long a line may be, in bytes, unless the caller says otherwise.

The longest answer that a batch can ask for has 300,000 tokens (SDK 2.12.0: the beta ``output-300k-2026-03-24``); at
four characters a token, each escaped in six bytes, it is 7.2 MB.  A line over the limit is never held; one that is
refused for another reason is parsed anew to say why, which may take twenty times its length.
"""
MAX_PROBLEMS = 1000
"""How many refused lines a `Reconciliation` explains. It has the numbers of all of them."""

_MAX_REQUESTS = 256 << 20  # the guide's limit for the body that creates a batch
# All that decoding raises for a text: neither UnicodeDecodeError nor RecursionError is a MsgspecError.
_REFUSED = (msgspec.MsgspecError, ValueError, RecursionError)

OnError = Callable[[LogError], object]
ResultType = Literal["succeeded", "errored", "canceled", "expired"]
Reason = Literal["errored", "canceled", "expired", "missing"]
Lines = Iterable[bytes | bytearray | memoryview | str]
Source = str | os.PathLike[str] | Lines

_TYPES: Final = ("succeeded", "errored", "canceled", "expired")

# The guide: of an errored request with `invalid_request_error` the "request body must be fixed before re-sending",
# any other "can be retried directly".  The rest is inferred: the API documents these with 400 to 404 and 413, and for
# as long as the key, the bill or the request are as they are the answer will be the same.
CHANGE_FIRST: Final = frozenset(
    {
        "invalid_request_error",
        "invalid_request",  # so in early examples of the guide
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
    }
)
"""The error types with which a request is not worth sending again as it is."""


@attrs.frozen
class Result:
    """One line of a results file, without its message."""

    custom_id: str
    """Which request it answers."""
    type: ResultType
    """What became of the request."""
    error_type: str | None
    """For an errored one: the error's type, such as ``invalid_request_error``; None if the line does not say."""
    line: int
    """Its line in the file, from 1."""


@attrs.frozen
class Retry:
    """A request that has no answer."""

    custom_id: str
    """Which request."""
    reason: Reason
    """What became of it; ``missing``: the file does not say."""
    error_type: str | None = None
    """For an errored one: the error's type; None if the file does not say."""

    @property
    def unchanged(self) -> bool:
        """Whether the request may be sent again as it is; else the request or the account has to be changed first."""
        return self.error_type not in CHANGE_FIRST


_Fate = tuple[Reason, str | None]
"""Why a request has no answer, and its error type: one object for all that are alike."""


@attrs.frozen
class Reconciliation:
    """What a results file holds, against the batch and, if they were given, the submitted ids."""

    batch: MessageBatch
    """The batch, as it was given."""
    tallies: RequestCounts
    """How many lines of each type the file has; `processing` is always 0. A repeat and a foreign id count, too."""
    malformed: tuple[int, ...]
    """The numbers of the lines, from 1, that are no results."""
    problems: tuple[LogError, ...]
    """Why they are none: for the first `MAX_PROBLEMS` of them."""
    submitted: int | None = None
    """How many ids were submitted; None: they were not given."""
    missing: tuple[str, ...] | None = None
    """Submitted ids without a line, in the order of submission; None: the submitted ids were not given."""
    duplicates: Mapping[str, int] | None = None
    """Each id that has several lines, and the second of them; None: the submitted ids were not given."""
    foreign: Mapping[str, int] | None = None
    """Each id that was not submitted, and its first line; None: the submitted ids were not given."""
    _unanswered: Mapping[str, _Fate] = attrs.field(factory=dict, repr=False, alias="unanswered")

    @property
    def expected(self) -> RequestCounts:
        """The batch's own counts. Before it has ended they are not final, and no file can agree with them."""
        return self.batch.request_counts

    @property
    def mismatches(self) -> tuple[tuple[str, int, int], ...]:
        """Where the counts differ: (name, what the batch says, what was found); ``submitted``: the number of ids."""
        expected, found = self.batch.request_counts, self.tallies
        pairs = [(name, getattr(expected, name), getattr(found, name)) for name in ("processing", *_TYPES)]
        if self.submitted is not None:
            pairs.append(("submitted", expected.total, self.submitted))
        return tuple(pair for pair in pairs if pair[1] != pair[2])

    @property
    def whole(self) -> bool:
        """
        Whether the file agrees with the batch and the submitted ids: each request has one line, and that can be read.

        Without the ids the counts alone tell.  It does not say that any request succeeded.
        """
        return not (self.mismatches or self.malformed or self.missing or self.duplicates or self.foreign)

    @property
    def retries(self) -> Iterator[Retry]:
        """
        The requests without an answer, one after the other: in the order of the file, then those that it lacks.

        An id that succeeded on one line and not on another has its answer; of two other lines the later counts.
        (Without the submitted ids successes are not remembered, so there such an id is in the list.)

        A file that is not `whole` may be incomplete: while the results are available, get it again before you send a
        missing request anew.
        """
        for custom_id, (reason, error_type) in self._unanswered.items():
            yield Retry(custom_id, reason, error_type)


# -------------------------------------------------------------------------------------------------------- public verbs


def read(results: Source, *, on_error: OnError | None = None, max_bytes: int = MAX_BYTES) -> "Reading":
    """
    Read a results file.

    Args:
        results: The file, compressed with gzip or not; ``-`` is standard input. Or its lines, as bytes or text.
        on_error: Called with the `LogError` of each refused line; reading goes on. Without it the first one raises.
        max_bytes: The longest line; a longer one is refused, and of a file it is never held.

    Returns:
        An iterator of results. Nothing is opened before the first one is asked for. Given to `reconcile` it builds no
        results, and a refused line raises nothing.  Unknown keys are skipped, of a repeated key the last counts; what
        stands in a message is not looked at, but that it is JSON.

    Raises:
        LogError: The file cannot be opened or read to its end, or is a URL (`line` is None); or, without *on_error*, a
            line is refused.
        TypeError: *results* is neither a path nor lines, or a line is neither bytes nor text; *max_bytes* is no int.
        ValueError: *max_bytes* is negative.
    """
    check_type("max_bytes", max_bytes, int)
    if max_bytes < 0:
        raise ValueError(f"max_bytes: expected a length in bytes, got {max_bytes}")
    return Reading(results, on_error, max_bytes)


def reconcile(
    batch: MessageBatch,
    results: "Source | Reading",
    *,
    submitted: str | os.PathLike[str] | Iterable[str] | None = None,
) -> Reconciliation:
    """
    Hold a results file against its batch.

    The file is streamed: what is held of it is what was found, and the ids of the requests without an answer.  With
    *submitted*, all submitted ids are held, too, as they are: about 110 bytes for an id of 20 characters.  Digests
    would take half of that, and could hide a missing id.

    Args:
        batch: The batch. It should have ended; see `Reconciliation.expected`.
        results: The results, as for `read`; or what `read` gives.
        submitted: The ids of the batch's requests; or a path, as for `submitted_ids`. A repeated one counts once.

    Returns:
        What was found. Lines that are no results are among it.

    Raises:
        LogError: A file cannot be read to its end, or that of the submitted ids has something else in it.
        TypeError: An argument is of the wrong type; an open file of submitted ids, too.
        ValueError: A submitted id is empty.
    """
    check_type("batch", batch, MessageBatch)
    reading = results if isinstance(results, Reading) else Reading(results, None, MAX_BYTES)
    found = _Reconciler(None if submitted is None else _order_of(submitted))
    for first, rows in reading.blocks(found.refuse):
        found.take(first, rows)
    return found.finish(batch)


def submitted_ids(path: str | os.PathLike[str]) -> list[str]:
    """
    Read the ids of submitted requests.

    Args:
        path: The file, compressed with gzip or not; ``-`` is standard input. One id a line, as it is or as JSON text;
            or one request a line, as JSON with its `custom_id`; or an array of either, or the body that created the
            batch, ``{"requests": [...]}``.  The last two are held in memory as they are.

    Returns:
        Each id, in the order of the file; repeats, too.

    Raises:
        LogError: The file cannot be read to its end, or has something else in it.
        TypeError: *path* is no path.
    """
    given: object = path
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"path: expected a path, got {quoted(given)}")
    file = _file(given)
    name, blocks = file.path, file.blocks(_MAX_REQUESTS)
    ids: list[str] = []
    for first, block, _ in blocks:
        plain = _plain_ids(block)
        if plain is not None:
            ids += plain
            continue
        for number, line in enumerate(block, first):
            if line is None:
                raise LogError(name, number, over_limit(_MAX_REQUESTS))
            text = line.strip()
            if not text:
                continue
            try:
                ids += _ids_of(text)
            except WireError as refused:
                if ids or text[:1] not in {b"{", b"["}:
                    raise LogError(name, number, f"no submitted id: {refused}", refused.problems) from None
                # It may be the beginning of a text that takes all lines.
                return _ids_of_all(name, block[number - first :], blocks)
    return ids


def same_origin(results_url: str | None, base_url: str) -> bool:
    """
    Say whether a client may send its key to a `results_url`.

    A batch tells where its results are by an absolute URL, and a client that follows it with its credentials gives them
    to whoever is named there.  So ask before: the scheme, the host and the port (RFC 6454, section 5; default ports as
    in RFC 3986, section 6.2.3) have to be those of the API that the client is configured for.  And do not let the
    client follow a redirect with the key.

    Only what every reader of URLs reads alike is compared.  Anything else is False: a relative URL, any but http and
    https, user information, a fragment, a backslash, a space or control character, text that is not ASCII, a percent
    sign or a trailing dot in the host, an empty port or one with a leading zero.  Letter case does not matter in scheme
    and host; IPv6 addresses are compared by value.  Whether two names are the same host is not looked up.

    Args:
        results_url: What the batch says; None is False.
        base_url: The URL that the client is configured with. Its path does not matter.

    Returns:
        True if they have the same origin, and nothing is odd.

    Raises:
        TypeError: One is no text; a URL object has to be turned into text first.
    """
    check_type("base_url", base_url, str)
    if results_url is None:
        return False
    check_type("results_url", results_url, str)
    origin = _origin(results_url)
    return origin is not None and origin == _origin(base_url)


_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    # Whatever comes after the authority begins with a slash. Printable ASCII without a space, "#" and "\".
    r"(?:/[!-\"$-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


def _origin(url: str) -> tuple[str, str | IPv6Address, int] | None:
    """Scheme, host and port; None if anything is odd."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, name = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if port > 65535:
        return None
    host: str | IPv6Address = name
    if name.startswith("["):
        try:
            host = IPv6Address(name[1:-1])
        except ValueError:
            return None
    return scheme, host, port


# --------------------------------------------------------------------------------------------------------------- lines


def _file(path: str | os.PathLike[str]) -> File:
    file = File(path)
    if re.match(r"https?://", file.path, re.IGNORECASE):
        reason = "is a URL, and nothing is fetched here; download it first (same_origin says with which key)"
        raise LogError(file.path, None, reason)
    return file


class _Given:
    """Lines that somebody else reads."""

    path = "<results>"
    bytes_read = 0

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def blocks(self, max_bytes: int) -> Iterator[Block]:
        """As those of a file."""
        return in_blocks(map(_bytes_of, self._lines), max_bytes)


def _bytes_of(line: object) -> bytes:
    match line:
        case bytes():
            found = line
        case str():
            found = line.encode(errors="surrogatepass")  # which is no UTF-8, and will be told
        case bytearray() | memoryview():
            found = bytes(line)
        case _:
            raise TypeError(f"results: expected lines of bytes or text, got {type(line).__name__}")
    return found.removesuffix(b"\n")


def _lines_of(results: Source) -> File | _Given:
    given: object = results
    if isinstance(given, str | os.PathLike):
        return _file(given)
    if isinstance(given, bytes | bytearray | memoryview) or not isinstance(given, Iterable):
        raise TypeError(f"results: expected a path or lines, got {type(given).__name__}")
    return _Given(given)


# ------------------------------------------------------------------------------------------------------------- reading


class _Cause(msgspec.Struct, gc=False):
    type: str | None = None


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    error: _Cause | None = None


class _Outcome(msgspec.Struct, gc=False):
    type: ResultType
    error: _Error | None = None


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    result: _Outcome


_decode_line = msgspec.json.Decoder(_Line).decode


def _error_type(outcome: _Outcome) -> str | None:
    """Of an errored result: ``{"type": "error", "error": {"type": …}}``, or, as in early examples, flat."""
    error = outcome.error
    if outcome.type != "errored" or error is None:
        return None
    if error.error is not None:
        return error.error.type
    return None if error.type == "error" else error.type


class Reading(Iterator[Result]):
    """What `read` gives. Its counter may be read at any time, for showing progress."""

    def __init__(self, results: Source, on_error: OnError | None, max_bytes: int) -> None:
        self._on_error = on_error
        self._max_bytes = max_bytes
        self._lines = _lines_of(results)
        self._results = self._iterate()

    def __next__(self) -> Result:
        return next(self._results)

    @property
    def bytes_read(self) -> int:
        """How much of the file has been read, as it lies on the disk; 0 if that cannot be known."""
        return self._lines.bytes_read

    def _iterate(self) -> Iterator[Result]:
        refused: dict[int, LogError] = {}
        for first, rows in self._decoded(lambda error: refused.setdefault(cast(int, error.line), error)):
            for number, row in enumerate(rows, first):
                if row is not None:
                    yield _new_result(row.custom_id, row.result.type, _error_type(row.result), number)
                elif number in refused:
                    self._tell(refused.pop(number))

    def _tell(self, error: LogError) -> None:
        if self._on_error is None:
            raise error
        self._on_error(error)

    def blocks(self, note: OnError) -> Iterator[tuple[int, list[_Line | None]]]:
        """For `reconcile`: the number of the first line, and the lines, decoded; None: blank, or told to *note*."""

        def tell(error: LogError) -> None:
            if self._on_error is not None:
                self._on_error(error)
            note(error)

        return self._decoded(tell)

    def _decoded(self, note: OnError) -> Iterator[tuple[int, list[_Line | None]]]:
        for first, block, _ in self._lines.blocks(self._max_bytes):
            rows: list[_Line | None]
            try:
                lines = cast(list[bytes], block)
                _check_utf8(b"\n".join(lines))  # no newline stands inside of a character
                rows = list(map(_decode_line, lines))
            except (*_REFUSED, TypeError):  # a TypeError: None stands for a line over the limit
                rows = []
                for number, line in enumerate(block, first):
                    row = None
                    try:
                        row = self._row(line)
                    except WireError as refused:
                        note(LogError(self._lines.path, number, f"no result: {refused}", refused.problems))
                    rows.append(row)
            yield first, rows

    def _row(self, line: bytes | None) -> _Line | None:
        if line is None:
            refuse(over_limit(self._max_bytes))
        if not line.strip():
            return None
        try:
            _check_utf8(line)
            return _decode_line(line)
        except _REFUSED:
            return _structure_line(line)


_new_result = unchecked(Result)


def _check_utf8(text: bytes) -> None:
    """A `ValueError` unless all is UTF-8: msgspec does not look into text that it skips."""
    if not text.isascii():
        text.decode()


def _structure_line(line: bytes) -> _Line:
    """The reference path: a line by way of the standard library's json."""
    value = _parse(line)
    if not isinstance(value, dict):
        refuse(f"expected an object, got {shown(value)}")
    problems = []
    custom_id, result = value.get("custom_id", _MISSING), value.get("result", _MISSING)
    if (problem := _text_problem(custom_id)) is not None:
        problems.append(("$.custom_id", problem))
    kind = error = None
    if isinstance(result, dict):
        kind, error = result.get("type", _MISSING), result.get("error")
        if not isinstance(kind, str) or kind not in _TYPES:
            problems.append(("$.result.type", _expected(f"one of {', '.join(_TYPES)}", kind)))
    else:
        problems.append(("$.result", _expected("an object", result)))
    if problems:
        raise WireError(tuple(problems))
    return _Line(cast(str, custom_id), _Outcome(cast(ResultType, kind), _structure_error(error)))


def _structure_error(value: object) -> _Error | None:
    """As the API writes it; in any other form its type is not known."""
    if not isinstance(value, dict):
        return None
    cause = value.get("error")
    return _Error(_type_of(value), _Cause(_type_of(cause)) if isinstance(cause, dict) else None)


def _type_of(error: dict[str, Any]) -> str | None:
    kind = error.get("type")
    return kind if isinstance(kind, str) and _text_problem(kind) is None else None


_MISSING: Final = object()


def _text_problem(value: object) -> str | None:
    return text_problem(value) if isinstance(value, str) else _expected("text", value)


def _expected(what: str, value: object) -> str:
    return "missing" if value is _MISSING else f"expected {what}, got {shown(value)}"


def _parse(body: bytes) -> Any:
    try:
        return parse(body)
    except RecursionError:
        refuse("nested deeper than can be read")


# ------------------------------------------------------------------------------------------------------- submitted ids


class _Request(msgspec.Struct, gc=False):
    custom_id: str


class _Sent(msgspec.Struct, gc=False):
    custom_id: str | msgspec.UnsetType = msgspec.UNSET
    requests: list[_Request | str] | msgspec.UnsetType = msgspec.UNSET


_decode_sent: Callable[[bytes], _Sent | list[_Request | str] | str] = msgspec.json.Decoder(
    _Sent | list[_Request | str] | str
).decode


def _plain_ids(block: list[bytes | None]) -> list[str] | None:
    """The ids of lines that hold one plain id each, with nothing around it; None if there may be other lines."""
    try:
        text = b"\n".join(cast(list[bytes], block)).decode()
    except (TypeError, UnicodeDecodeError):
        return None
    if "{" in text or "[" in text or '"' in text or "\ufeff" in text:
        return None
    words = text.split()
    return words if "\n".join(words) == text else None


def _ids_of(text: bytes) -> list[str]:
    """The ids in one text: a plain one, or JSON."""
    if text[:1] not in {b"{", b"[", b'"'}:
        return [decode(text)]
    try:
        _check_utf8(text)
        return _ids_in(_decode_sent(text))
    except _REFUSED:
        return _structure_ids(_parse(text), "$")


def _ids_in(sent: _Sent | list[_Request | str] | str) -> list[str]:
    match sent:
        case str():
            return [sent]
        case list():
            return [request if isinstance(request, str) else request.custom_id for request in sent]
        case _Sent(custom_id=str() as custom_id):
            return [custom_id]
        case _Sent(requests=list() as requests):
            return _ids_in(requests)
        case _:
            raise ValueError  # what is missing is said by the reference path


def _structure_ids(value: object, path: str) -> list[str]:
    """The reference path: what json makes of a text."""
    match value:
        case {"custom_id": str() as custom_id}:
            return _structure_ids(custom_id, f"{path}.custom_id")
        case {"requests": list() as requests} if path == "$":
            return _structure_all(requests, "$.requests")
        case list() if path == "$":
            return _structure_all(value, path)
        case str() if _text_problem(value) is None:
            return [value]
        case _:
            return _no_id(value, path)


def _structure_all(values: list[Any], path: str) -> list[str]:
    return [custom_id for at, value in enumerate(values) for custom_id in _structure_ids(value, f"{path}[{at}]")]


def _no_id(value: object, path: str) -> NoReturn:
    got = "an object without one" if isinstance(value, dict) else shown(value)
    raise WireError(((path, f"expected an id, or a request with its custom_id as text, got {got}"),))


def _ids_of_all(name: str, lines: list[bytes | None], blocks: Iterator[Block]) -> list[str]:
    """The ids in the one text that these lines and those of all further blocks are."""
    size = sum(len(line or b"") for line in lines)
    for _, block, _ in blocks:
        lines += block
        size += sum(len(line or b"") for line in block)
        if size > _MAX_REQUESTS:
            break
    if None in lines or size > _MAX_REQUESTS:
        raise LogError(name, None, f"it is one JSON text over the limit of {_MAX_REQUESTS:,} bytes")
    try:
        return _ids_of(b"\n".join(cast(list[bytes], lines)).strip())
    except WireError as refused:
        raise LogError(name, None, f"no submitted ids: {refused}", refused.problems) from None


# --------------------------------------------------------------------------------------------------------- reconciling


def _order_of(submitted: str | os.PathLike[str] | Iterable[str]) -> list[str]:
    """The submitted ids, each once."""
    given: object = submitted
    if isinstance(given, str | os.PathLike):
        return submitted_ids(given)
    if isinstance(given, bytes | bytearray | memoryview) or not isinstance(given, Iterable):
        raise TypeError(f"submitted: expected ids or a path, got {type(given).__name__}")
    if hasattr(given, "read"):  # its lines are no ids: they have their ends with them, or are JSON
        raise TypeError("submitted: expected ids or a path, got an open file; pass the path")
    order = list(given)
    for custom_id in order:
        if not isinstance(custom_id, str):
            raise TypeError(f"submitted: expected ids as text, got {quoted(custom_id)}")
    if "" in order:
        raise ValueError("submitted: expected ids, got an empty one")
    return order


class _Errored(dict[str | None, _Fate]):
    """The fates of errored requests by error type, so that those that are alike are one object."""

    def __missing__(self, error_type: str | None) -> _Fate:
        fate: _Fate = ("errored", error_type)
        self[error_type] = fate
        return fate


class _Reconciler:
    """
    What was found so far.

    Whether an id was seen is a matter of memory that is not in the processor's cache, so it is asked for many ids at
    once, of one set: of the submitted ids without a line.  What else there is to ask, only files with faults ask.
    """

    def __init__(self, order: list[str] | None) -> None:
        self._unseen = set(order or ())
        self._order = order if order is None or len(self._unseen) == len(order) else list(dict.fromkeys(order))
        self._tallies: dict[str, int] = dict.fromkeys(_TYPES, 0)
        self._malformed: list[int] = []
        self._problems: list[LogError] = []
        self._duplicates: dict[str, int] = {}
        self._foreign: dict[str, int] = {}
        self._unanswered: dict[str, _Fate] = {}
        self._fates: dict[str, _Fate] = {"canceled": ("canceled", None), "expired": ("expired", None)}
        self._errored = _Errored()

    @cached_property
    def _submitted(self) -> frozenset[str]:
        return frozenset(self._order or ())

    def refuse(self, error: LogError) -> None:
        """Take a line that is no result."""
        self._malformed.append(cast(int, error.line))
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(error)

    def take(self, first: int, rows: list[_Line | None]) -> None:
        """Take lines, the first of which has the number *first*."""
        found = cast(list[_Line], rows if all(rows) else [row for row in rows if row])  # a struct is true
        others = [row for row in found if row.result.type != "succeeded"]
        self._tallies["succeeded"] += len(found) - len(others)
        for row in others:
            self._tallies[row.result.type] += 1
        if self._order is not None:
            ids = [row.custom_id for row in found]
            expected = self._unseen.intersection(ids)
            if len(expected) < len(ids):
                self._match(first, rows)
                return
            self._unseen -= expected
        for row in others:
            self._unanswered[row.custom_id] = self._fate(row.result)

    def _match(self, first: int, rows: list[_Line | None]) -> None:
        """Match lines with the submitted ids one by one: there is something wrong with the id of at least one."""
        for number, row in enumerate(rows, first):
            if row is None:
                continue
            custom_id, succeeded = row.custom_id, row.result.type == "succeeded"
            if custom_id in self._unseen:
                self._unseen.remove(custom_id)
                if not succeeded:
                    self._unanswered[custom_id] = self._fate(row.result)
            elif custom_id in self._submitted:
                self._duplicates.setdefault(custom_id, number)
                if succeeded:
                    self._unanswered.pop(custom_id, None)
                elif custom_id in self._unanswered:
                    self._unanswered[custom_id] = self._fate(row.result)
            elif custom_id in self._foreign:
                self._duplicates.setdefault(custom_id, number)
            else:
                self._foreign[custom_id] = number

    def _fate(self, outcome: _Outcome) -> _Fate:
        return self._errored[_error_type(outcome)] if outcome.type == "errored" else self._fates[outcome.type]

    def finish(self, batch: MessageBatch) -> Reconciliation:
        """Say what was found."""
        matched: dict[str, Any] = {}
        if self._order is not None:
            missing: tuple[str, ...] = ()
            if self._unseen:
                missing = tuple(custom_id for custom_id in self._order if custom_id in self._unseen)
            self._unanswered |= dict.fromkeys(missing, ("missing", None))
            matched = {
                "submitted": len(self._order),
                "missing": missing,
                "duplicates": self._duplicates,
                "foreign": self._foreign,
            }
        return Reconciliation(
            batch,
            RequestCounts(0, *(self._tallies[name] for name in _TYPES)),
            tuple(self._malformed),
            tuple(self._problems),
            unanswered=self._unanswered,
            **matched,
        )
