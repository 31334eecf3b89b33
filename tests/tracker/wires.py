"""
Wires between the official clients and an application, with whatever can go wrong on them.

Nothing here waits: a clock is put forward instead.  Both clients get a transport that runs the application to its end.

The SDK moved from httpx to httpx2 with 2.0; both have the same names, and `HTTP` is the one that it uses.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Self

import anthropic

from lifecycle import wire
from tests.tracker.api import App, BatchesAPI, Message, Receive, Scope, Send
from tests.tracker.clocks import Clock

HTTP: Any = sys.modules[
    next(cls.__module__ for cls in anthropic.DefaultHttpxClient.__mro__ if cls.__name__ == "Client").partition(".")[0]
]

# ------------------------------------------------------------------------------------------------------------- faults

LONG = 45.0  # seconds: the tracker has the client wait for 30, and not for as long as it would by itself

FAULTS = (
    "404",
    "429",
    "500",
    "529",
    "timeout",
    "stale",
    "slow body",
    "wrong JSON",
    "no batch",
    "cut off",
    "no network",
)


class Faults:
    """
    An application around another, in which each look at a batch may go wrong.

    Args:
        app: What is behind it.
        clock: Put forward by whatever is slow.
        plan: What goes wrong with each look at a batch, one after the other; None and the end of the plan: nothing.
    """

    def __init__(self, app: App, clock: Clock, plan: Iterable[str | None] = ()) -> None:
        self.app = app
        self.clock = clock
        self._plan = iter(plan)
        self.looks: list[datetime] = []
        """When each request came."""
        self.met: list[str] = []
        """What went wrong."""
        self._earlier: dict[str, tuple[Message, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.looks.append(self.clock())
        looking = scope["method"] == "GET" and not scope["path"].endswith("/results")
        fault = next(self._plan, None) if looking else None
        if fault is not None:
            self.met.append(fault)
        start, body = await _answer(self.app, scope, receive)
        earlier = self._earlier.setdefault(scope["path"], (start, body))  # what a replica has that was not told since
        chunks: list[bytes | Exception | None] = [body]  # None: nothing comes for long
        match fault:
            case "404":
                start, chunks = _error(404, "not_found_error")
            case "429":
                start, chunks = _error(429, "rate_limit_error", ("retry-after", "17"))
            case "500":
                start, chunks = _error(500, "api_error")
            case "529":
                start, chunks = _error(529, "overloaded_error", ("retry-after", "soon"))
            case "timeout":
                self.clock.sleep(LONG)
            case "stale":
                start, chunks = earlier[0], [earlier[1]]
            case "slow body":
                chunks = [body[:10], None, body[10:]]
            case "wrong JSON":
                chunks = [body[: len(body) // 2]]
            case "no batch":
                chunks = [b'{"id": 7, "type": "message_batch"}']
            case "cut off":
                chunks = [body[:10], HTTP.RemoteProtocolError("peer closed connection")]
            case "no network":
                raise HTTP.ConnectError("no route to host")
            case _:
                assert fault is None
        await send(start)
        for chunk in chunks:
            if chunk is None:
                self.clock.sleep(LONG)
            elif isinstance(chunk, Exception):
                raise chunk
            else:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _error(status: int, kind: str, *headers: tuple[str, str]) -> tuple[Message, list[Any]]:
    body = {"type": "error", "error": {"type": kind, "message": "injected"}, "request_id": "req_fault"}
    pairs = [(name.encode(), value.encode()) for name, value in (("content-type", "application/json"), *headers)]
    return {"type": "http.response.start", "status": status, "headers": pairs}, [json.dumps(body).encode()]


async def _answer(app: App, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """The whole answer of an application."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages[0], b"".join(message["body"] for message in messages[1:])


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[App], App]:
    """Changes each snapshot on its way from the server."""

    def around(app: App) -> App:
        async def changed(scope: Scope, receive: Receive, send: Send) -> None:
            looking = scope["method"] == "GET" and not scope["path"].endswith("/results")

            async def sent(message: Message) -> None:
                if looking and message.get("body"):
                    snapshot = wire.unstructure_batch(wire.decode_batch(message["body"]))
                    change(snapshot)
                    message["body"] = json.dumps(snapshot).encode()
                await send(message)

            await app(scope, receive, sent)

        return changed

    return around


def answering(
    status: int, body: bytes = b"{}", *headers: tuple[str, str], only: str = "", times: int = 1_000_000
) -> Callable[[App], App]:
    """Answers like that to the first requests whose path ends with *only*."""
    left = [times]

    def around(app: App) -> App:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if not scope["path"].endswith(only) or not left[0]:
                await app(scope, receive, send)
                return
            left[0] -= 1
            pairs = [(name.encode(), value.encode()) for name, value in headers]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        return answer

    return around


# --------------------------------------------------------------------------------------------------------- transports


class _Stream:
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def _stream(chunks: Iterator[bytes]) -> Any:
    """A stream of both kinds: httpx asks for the class."""
    return type("_Stream", (_Stream, HTTP.SyncByteStream, HTTP.AsyncByteStream), {})(chunks)


class Transport:
    """
    Between a client and an application: plain and asynchronous, with the time-outs that the client asks for.

    Args:
        app: It may sleep by *clock*, and raise what a transport raises; else it does not wait for anything.
        clock: Says how long the application takes.
    """

    def __init__(self, app: App, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    def handle_request(self, request: Any) -> Any:
        """Send a request and give the response."""
        return self._respond(request, request.read())

    async def handle_async_request(self, request: Any) -> Any:
        """`handle_request` for asynchronous clients."""
        body = await request.aread()
        await asyncio.sleep(0.01)  # it takes its time, so that requests overlap
        return self._respond(request, body)

    def _respond(self, request: Any, body: bytes) -> Any:
        patience = request.extensions["timeout"]["read"]
        messages: list[tuple[float, Message]] = []
        failed: list[Exception] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append((self._clock.seconds, message))

        before = self._clock.seconds
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": request.headers.raw,
        }
        try:
            self._app(scope, receive, send).__await__().send(None)
        except StopIteration:
            pass
        except HTTP.TransportError as error:
            if not messages:
                raise
            failed.append(error)
        (arrived, start), *rest = messages
        if arrived - before > patience:
            raise HTTP.ReadTimeout("the answer did not come", request=request)
        return HTTP.Response(
            start["status"],
            headers=start["headers"],
            stream=_stream(_chunks(arrived, patience, rest, failed)),
            request=request,
        )

    def close(self) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        """Nothing is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def _chunks(
    arrived: float, patience: float, messages: list[tuple[float, Message]], failed: list[Exception]
) -> Iterator[bytes]:
    for at, message in messages:
        if at - arrived > patience:
            raise HTTP.ReadTimeout("the body did not come")
        arrived = at
        yield message["body"]
    yield from _raised(failed)


def _raised(errors: list[Exception]) -> Iterator[bytes]:
    for error in errors:
        raise error
    yield b""


def client(api: BatchesAPI, app: App, clock: Clock, **more: Any) -> anthropic.Anthropic:
    """The official client before an application."""
    http = HTTP.Client(transport=Transport(app, clock), follow_redirects=True)  # as the SDK's own
    return anthropic.Anthropic(**({"api_key": api.key, "http_client": http} | more))


def async_client(api: BatchesAPI, app: App, clock: Clock, **more: Any) -> anthropic.AsyncAnthropic:
    """The official asynchronous client before an application."""
    http = HTTP.AsyncClient(transport=Transport(app, clock), follow_redirects=True)  # as the SDK's own
    return anthropic.AsyncAnthropic(**({"api_key": api.key, "http_client": http} | more))
