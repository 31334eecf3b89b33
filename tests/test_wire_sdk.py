"""
The wire against the official Python SDK, an independent reader and writer of the same object.

Its `MessageBatch` built from what we encode equals ours field by field, and ours from its JSON equals the one it was
built from.
"""

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch as TheirBatch
from anthropic.types.messages import MessageBatchRequestCounts as TheirCounts
from hypothesis import given

import lifecycle as lc
from lifecycle import wire
from tests import recorded, strategies

TIMES = ("created_at", "expires_at", "ended_at", "archived_at", "cancel_initiated_at")
COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
BATCHES = [wire.decode_batch(body) for body in recorded.bodies()]


def validated(body: bytes) -> TheirBatch:
    return TheirBatch.model_validate_json(body)


def constructed(body: bytes) -> TheirBatch:
    """As the client builds it from an answer, without validation."""
    from anthropic._models import construct_type  # noqa: PLC0415 - the one private name is needed here only

    built = construct_type(type_=TheirBatch, value=json.loads(body))
    assert isinstance(built, TheirBatch)
    return built


READERS: list[Callable[[bytes], TheirBatch]] = [validated, constructed]
WRITERS: list[Callable[[TheirBatch], str]] = [
    TheirBatch.model_dump_json,
    TheirBatch.to_json,
    lambda batch: batch.to_json(indent=None, exclude_unset=False),
    lambda batch: json.dumps(batch.to_dict(mode="json")),
]


def assert_equal(theirs: TheirBatch, ours: lc.MessageBatch) -> None:
    assert theirs.id == ours.id
    assert theirs.type == ours.type
    assert theirs.processing_status == ours.processing_status
    assert [getattr(theirs.request_counts, name) for name in COUNTS] == [
        getattr(ours.request_counts, name) for name in COUNTS
    ]
    for name in TIMES:
        their_time, our_time = getattr(theirs, name), getattr(ours, name)
        assert their_time == our_time
        assert our_time is None or their_time.utcoffset() == our_time.utcoffset()
    assert theirs.results_url == ours.results_url


def test_the_sdk_knows_the_keys_that_we_know() -> None:
    plain = wire.unstructure_batch(BATCHES[0])
    assert set(TheirBatch.model_fields) == set(plain)
    assert set(TheirCounts.model_fields) == set(plain["request_counts"])


@pytest.mark.parametrize("ours", BATCHES)
class TestEveryRecordedBatch:
    """Field by field the SDK sees what we see."""

    def test_is_the_same_when_the_sdk_reads_what_we_write(self, ours: lc.MessageBatch) -> None:
        for read in READERS:
            assert_equal(read(wire.encode_batch(ours)), ours)

    def test_is_the_same_when_we_read_what_the_sdk_writes(self, ours: lc.MessageBatch) -> None:
        for read, write in product(READERS, WRITERS):
            assert wire.decode_batch(write(read(wire.encode_batch(ours)))) == ours


class TestEveryBatchThatTheWireCanHold:
    """The same for batches that no server has shown yet."""

    @given(strategies.batches())
    def test_is_the_same_when_the_sdk_reads_what_we_write(self, ours: lc.MessageBatch) -> None:
        for read in READERS:
            assert_equal(read(wire.encode_batch(ours)), ours)

    @given(strategies.batches())
    def test_is_the_same_when_we_read_what_the_sdk_writes(self, ours: lc.MessageBatch) -> None:
        theirs = validated(wire.encode_batch(ours))
        for write in WRITERS:
            assert wire.decode_batch(write(theirs)) == ours

    @given(strategies.batches(extra=True))
    def test_keeps_its_unknown_keys_on_the_way_through_the_sdk(self, ours: lc.MessageBatch) -> None:
        theirs: Any = validated(wire.encode_batch(ours))
        again = wire.decode_batch(theirs.model_dump_json())
        assert again == ours
        assert again.extra.keys() == ours.extra.keys()
        assert again.request_counts.extra.keys() == ours.request_counts.extra.keys()


def test_the_client_shows_the_same_batch_that_was_served() -> None:
    """End to end: the SDK's own client asks a server that answers with our bytes."""
    import threading  # noqa: PLC0415 - used by this test only
    from http.server import BaseHTTPRequestHandler, HTTPServer  # noqa: PLC0415 - used by this test only

    served = {f"/v1/messages/batches/{batch.id}": wire.encode_batch(batch) for batch in BATCHES}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served[self.path]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with anthropic.Anthropic(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}") as client:
                for ours in {batch.id: batch for batch in BATCHES}.values():
                    assert_equal(client.messages.batches.retrieve(ours.id), ours)
        finally:
            server.shutdown()
            thread.join()
