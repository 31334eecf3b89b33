"""Hypothesis strategies for what the wire can hold."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

import lifecycle as lc

LARGEST = 2**63 - 1


def numbers() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 20), st.integers(0, LARGEST), st.sampled_from([2**53 + 1, LARGEST]))


def texts() -> st.SearchStrategy[str]:
    odd = st.sampled_from(["", "Z", 'Z"', '",Z"', "\\", "\x00\x1f\x7f", "\u2028", "é😀", "a/b?c#d%25", "null"])
    return st.one_of(st.text(), odd)


def times() -> st.SearchStrategy[datetime]:
    any_time = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0))
    ends = st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
    return st.one_of(any_time, any_time.map(lambda time: time.replace(microsecond=0)), ends)


def json_values() -> st.SearchStrategy[Any]:
    """Values that JSON and the wire can hold; numbers from 0 to 2^63-1."""
    leaves = st.one_of(st.none(), st.booleans(), numbers(), st.floats(0, 2.0**63, exclude_max=True), texts())
    return st.recursive(leaves, lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts(), inner)), max_leaves=4)


def unknown_keys(*documented: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = texts().filter(lambda key: key not in documented)
    return st.one_of(st.just({}), st.dictionaries(keys, json_values(), max_size=2))


def counts(*, extra: bool = False) -> st.SearchStrategy[lc.RequestCounts]:
    five = [numbers()] * 5
    keys = unknown_keys("processing", "succeeded", "errored", "canceled", "expired")
    return st.builds(lc.RequestCounts, *five, extra=keys if extra else st.just({}))


def batches(*, extra: bool = False) -> st.SearchStrategy[lc.MessageBatch]:
    """Batches that the wire can hold, lawful or not, without `deleted_at`; *extra*: with unknown keys, too."""
    maybe = st.none() | times()
    documented = (
        *("id", "type", "processing_status", "request_counts", "ended_at", "created_at", "expires_at"),
        *("archived_at", "cancel_initiated_at", "results_url"),
    )
    return st.builds(
        lc.MessageBatch,
        id=texts(),
        processing_status=st.sampled_from(lc.ProcessingStatus),
        request_counts=counts(extra=extra),
        created_at=times(),
        expires_at=times(),
        ended_at=maybe,
        archived_at=maybe,
        cancel_initiated_at=maybe,
        results_url=st.none() | texts(),
        extra=unknown_keys(*documented) if extra else st.just({}),
    )


def events() -> st.SearchStrategy[lc.Event]:
    urls = st.none() | texts()
    return st.one_of(
        st.builds(lc.Created, texts(), times(), times(), numbers()),
        st.builds(lc.CountsUpdated, counts()),
        st.builds(lc.CancelInitiated, times()),
        st.builds(lc.Ended, times(), counts(), urls),
        st.builds(lc.Archived, times(), urls),
        st.builds(lc.Deleted, times()),
    )


def records() -> st.SearchStrategy[lc.Record]:
    return st.builds(lc.Record, texts(), numbers(), events(), st.none() | texts(), times())
