"""The API in memory, asked by the official clients: each line of the table of what the API answers."""

import json
from datetime import timedelta
from typing import Any

import anthropic
import pytest

import lifecycle as lc
from lifecycle import wire
from tests.tracker.api import BatchesAPI, Course
from tests.tracker.clocks import Clock, run
from tests.tracker.wires import HTTP, async_client, client

BATCHES = "/v1/messages/batches"


def requests(*custom_ids: str) -> list[Any]:
    params = {"model": "claude-for-tests", "max_tokens": 1, "messages": [{"role": "user", "content": "?"}]}
    return [{"custom_id": custom_id, "params": params} for custom_id in custom_ids]


class Here:
    """A server with a client before it that does not try again."""

    def __init__(self, course: Course | None = None) -> None:
        self.clock = Clock()
        self.api = BatchesAPI(clock=self.clock, course=lambda _: course or Course(timedelta(minutes=10)))
        self.client = client(self.api, self.api, self.clock, max_retries=0)
        self.batches = self.client.messages.batches

    def refused(self, method: str, path: str, body: bytes = b"", key: str | None = None) -> tuple[int, str]:
        """Status and error type of an answer, by the client's own HTTP."""
        with HTTP.Client(transport=self.client._client._transport, base_url="https://api.anthropic.com") as http:
            answer = http.request(method, path, content=body, headers={"x-api-key": key or self.api.key})
        envelope = answer.json()
        assert envelope["type"] == "error"
        assert envelope["request_id"] == answer.headers["request-id"]
        return answer.status_code, envelope["error"]["type"]


@pytest.fixture
def here() -> Here:
    return Here()


class TestCreate:
    def test_a_new_batch_is_in_progress_and_has_a_day(self, here: Here) -> None:
        batch = wire.decode_batch(here.batches.create(requests=requests("a", "b")).model_dump_json())
        assert (batch.phase, batch.size) == (lc.Phase.IN_PROGRESS, 2)
        assert lc.check(batch, profile=lc.HOSTED) == ()

    @pytest.mark.parametrize(
        "body",
        [
            b"no JSON",
            b"[]",
            b'{"requests": []}',
            b'{"requests": [{"custom_id": 7}]}',
            b'{"requests": [{"custom_id": "a/b"}]}',
            b'{"requests": [{"custom_id": "a"}, {"custom_id": "a"}]}',
        ],
    )
    def test_wrong_requests_are_refused(self, here: Here, body: bytes) -> None:
        assert here.refused("POST", BATCHES, body) == (400, "invalid_request_error")

    def test_too_many_requests_are_refused(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        body = json.dumps({"requests": requests("a", "b", "c")}).encode()
        monkeypatch.setattr("tests.tracker.api.MAX_REQUESTS", 2)
        assert here.refused("POST", BATCHES, body) == (413, "request_too_large")
        monkeypatch.setattr("tests.tracker.api.MAX_BODY", 20)
        assert here.refused("POST", BATCHES, body) == (413, "request_too_large")


class TestRetrieve:
    def test_a_running_batch_comes_with_retry_after_and_an_ended_one_without(self, here: Here) -> None:
        batch_id = here.batches.create(requests=requests("a")).id
        assert here.batches.with_raw_response.retrieve(batch_id).headers["retry-after"] == "10"
        here.clock.sleep(600)
        ended = here.batches.with_raw_response.retrieve(batch_id)
        assert "retry-after" not in ended.headers
        assert ended.parse().processing_status == "ended"

    def test_an_unknown_id_is_not_found(self, here: Here) -> None:
        with pytest.raises(anthropic.NotFoundError):
            here.batches.retrieve("msgbatch_unknown")

    def test_live_counts_move_before_the_end_and_others_do_not(self) -> None:
        for live, expected in (True, 1), (False, 0):
            here = Here(Course(timedelta(minutes=10), live=live))
            batch = here.api.create(["a", "b"])
            here.clock.sleep(310)
            assert here.batches.retrieve(batch.id).request_counts.succeeded == expected

    def test_a_batch_that_is_not_done_in_a_day_expires(self) -> None:
        here = Here(Course(timedelta(hours=48), {"a": "errored"}))
        batch = here.api.create(["a", "b"])
        here.clock.sleep(24 * 3600)
        ended = here.api.batch(batch.id)
        assert ended.request_counts == lc.RequestCounts(0, errored=1, expired=1)
        assert ended.ended_at == batch.expires_at
        assert lc.check(ended, profile=lc.HOSTED) == ()

    def test_after_29_days_it_is_archived_and_its_results_are_gone(self, here: Here) -> None:
        batch = here.api.create(["a"])
        here.clock.sleep(29 * 24 * 3600)
        assert here.api.batch(batch.id).phase is lc.Phase.ARCHIVED
        assert here.refused("GET", f"{BATCHES}/{batch.id}/results") == (404, "not_found_error")


class TestCancel:
    def test_it_is_canceling_for_a_moment_and_what_was_done_stays(self, here: Here) -> None:
        batch_id = here.api.create(["a", "b", "c", "d"]).id
        here.clock.sleep(310)
        assert here.batches.cancel(batch_id).processing_status == "canceling"
        here.clock.sleep(2)
        counts = here.batches.retrieve(batch_id).request_counts
        assert (counts.succeeded, counts.canceled) == (2, 2)

    def test_again_it_changes_nothing(self, here: Here) -> None:
        batch_id = here.api.create(["a"]).id
        first = here.batches.cancel(batch_id)
        here.clock.sleep(0.5)
        assert here.batches.cancel(batch_id) == first

    def test_an_ended_batch_cannot_be_canceled(self, here: Here) -> None:
        batch_id = here.api.create(["a"]).id
        here.clock.sleep(600)
        assert here.refused("POST", f"{BATCHES}/{batch_id}/cancel") == (400, "invalid_request_error")


class TestResults:
    def test_each_request_has_its_line(self) -> None:
        here = Here(Course(timedelta(minutes=1), {"b": "errored"}))
        batch_id = here.api.create(["a", "b"]).id
        here.clock.sleep(60)
        kinds = {each.custom_id: each.result.type for each in here.batches.results(batch_id)}
        assert kinds == {"a": "succeeded", "b": "errored"}

    def test_of_a_running_batch_there_are_none(self, here: Here) -> None:
        batch_id = here.api.create(["a"]).id
        assert here.refused("GET", f"{BATCHES}/{batch_id}/results") == (404, "not_found_error")


class TestDelete:
    def test_an_ended_batch_goes_and_a_receipt_comes(self, here: Here) -> None:
        batch_id = here.api.create(["a"]).id
        here.clock.sleep(600)
        receipt = here.batches.delete(batch_id)
        assert (receipt.id, receipt.type) == (batch_id, "message_batch_deleted")
        assert here.refused("GET", f"{BATCHES}/{batch_id}") == (404, "not_found_error")

    def test_a_running_batch_stays(self, here: Here) -> None:
        batch_id = here.api.create(["a"]).id
        assert here.refused("DELETE", f"{BATCHES}/{batch_id}") == (400, "invalid_request_error")
        assert here.api.batch(batch_id).phase is lc.Phase.IN_PROGRESS


class TestList:
    def test_the_newest_comes_first_and_pages_lead_through_all(self, here: Here) -> None:
        ids = [here.api.create(["a"]).id for _ in range(25)]
        first = here.batches.list()
        assert [batch.id for batch in first.data] == ids[:4:-1]
        assert (first.has_more, first.first_id, first.last_id) == (True, ids[24], ids[5])
        assert [batch.id for batch in first] == ids[::-1]

    def test_before_id_asks_for_the_page_immediately_before(self, here: Here) -> None:
        ids = [here.api.create(["a"]).id for _ in range(5)]
        page = here.batches.list(before_id=ids[0], limit=2)
        assert [batch.id for batch in page.data] == [ids[2], ids[1]]
        assert page.has_more

    def test_of_no_batches_there_is_an_empty_page(self, here: Here) -> None:
        page = here.batches.list()
        assert (page.data, page.has_more, page.first_id, page.last_id) == ([], False, None, None)

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "after_id=x", "before_id=x"])
    def test_a_wrong_question_is_refused(self, here: Here, query: str) -> None:
        assert here.refused("GET", f"{BATCHES}?{query}") == (400, "invalid_request_error")


class TestEveryAnswer:
    def test_another_key_is_refused(self, here: Here) -> None:
        assert here.refused("GET", BATCHES, key="sk-ant-another") == (401, "authentication_error")

    def test_other_paths_and_methods_are_refused(self, here: Here) -> None:
        assert here.refused("GET", "/v1/models") == (404, "not_found_error")
        assert here.refused("GET", f"{BATCHES}/a/b/c") == (404, "not_found_error")
        assert here.refused("PUT", BATCHES) == (405, "invalid_request_error")


def test_it_is_an_asgi_application_for_the_transport_of_httpx_too() -> None:
    clock = Clock()
    api = BatchesAPI(clock=clock)

    async def main() -> str:
        http = HTTP.AsyncClient(transport=HTTP.ASGITransport(api))
        async with anthropic.AsyncAnthropic(api_key=api.key, http_client=http) as its:
            created = await its.messages.batches.create(requests=requests("a"))
            return (await its.messages.batches.cancel(created.id)).processing_status

    assert run(clock, main()) == "canceling"


def test_the_asynchronous_client_sees_the_same() -> None:
    clock = Clock()
    api = BatchesAPI(clock=clock)

    async def main() -> list[str]:
        async with async_client(api, api, clock) as its:
            batches = its.messages.batches
            created = await batches.create(requests=requests("a"))
            clock.sleep(120)
            found = [each.custom_id async for each in await batches.results(created.id)]
            return [*found, (await batches.delete(created.id)).type]

    assert run(clock, main()) == ["a", "message_batch_deleted"]


def test_only_http_is_served() -> None:
    clock = Clock()

    async def nothing(*_: object) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="websocket"):
        run(clock, BatchesAPI(clock=clock)({"type": "websocket"}, nothing, nothing))
