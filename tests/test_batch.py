"""What a batch is: the types of its fields, and what is derived from them."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import IntEnum
from typing import Any

import attrs
import pytest

import lifecycle as lc
from tests.lives import DAY, HOUR, T, in_phase

COUNTS = lc.RequestCounts(1)


class One(IntEnum):
    ONE = 1


class LaterTime(datetime):
    """Such as a data frame's or a test clock's."""


class NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


def batch(**fields: Any) -> lc.MessageBatch:
    given = {"id": "b", "processing_status": "in_progress", "request_counts": COUNTS, "created_at": T, "expires_at": T}
    return lc.MessageBatch(**{**given, **fields})


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, One.ONE, 1j])
@pytest.mark.parametrize("name", ["processing", "succeeded", "errored", "canceled", "expired"])
def test_a_count_is_exactly_an_int(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        lc.RequestCounts(**{"processing": 1, name: value})  # type: ignore[arg-type] # wrong on purpose


def test_a_count_of_any_size_and_sign_can_be_held_so_that_it_can_be_reported() -> None:
    assert lc.RequestCounts(-1, 2**70).total == 2**70 - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 1),
        ("id", b"x"),
        ("id", None),
        ("processing_status", 3),
        ("processing_status", None),
        ("request_counts", {"processing": 1}),
        ("request_counts", None),
        ("created_at", "2025-01-29T14:24:59.570697+00:00"),
        ("created_at", None),
        ("expires_at", date(2025, 1, 1)),
        ("ended_at", 0),
        ("archived_at", "x"),
        ("cancel_initiated_at", 1.5),
        ("deleted_at", T.isoformat()),
        ("results_url", 7),
        ("extra", None),
        ("extra", [("a", 1)]),
        ("extra", {1: 2}),
    ],
)
def test_a_value_of_the_wrong_type_is_a_type_error_that_names_the_field(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name}: "):
        batch(**{name: value})


@pytest.mark.parametrize("word", ["canceled", "cancelling", "failed", "expired", "ENDED", ""])
def test_an_unknown_status_is_a_value_error_that_names_the_field(word: str) -> None:
    with pytest.raises(ValueError, match="^processing_status: "):
        batch(processing_status=word)


def test_a_status_may_be_given_as_its_word() -> None:
    assert batch(processing_status="ended").processing_status is lc.ProcessingStatus.ENDED
    assert batch(processing_status=lc.ProcessingStatus.CANCELING).processing_status is lc.ProcessingStatus.CANCELING


class TestTimes:
    """`*_at` = aware UTC datetime."""

    @pytest.mark.parametrize("naive", [datetime(2025, 1, 1), T.replace(tzinfo=NoOffset())])  # noqa: DTZ001 -- naive on purpose
    def test_a_naive_time_is_a_value_error_that_names_the_field(self, naive: datetime) -> None:
        with pytest.raises(ValueError, match="^ended_at: "):
            batch(ended_at=naive)

    def test_a_time_becomes_utc(self) -> None:
        given = T.astimezone(timezone(timedelta(hours=5, minutes=30)))
        kept = batch(created_at=given).created_at
        assert (kept, kept.tzinfo, kept.hour) == (T, UTC, T.hour)

    def test_a_subclass_of_datetime_becomes_a_plain_one(self) -> None:
        kept = batch(created_at=LaterTime(2025, 1, 1, tzinfo=UTC)).created_at
        assert (type(kept), kept) == (datetime, datetime(2025, 1, 1, tzinfo=UTC))

    @pytest.mark.parametrize(
        "time",
        [
            datetime.min.replace(tzinfo=timezone(HOUR)),
            datetime.max.replace(tzinfo=timezone(-HOUR)),
        ],
    )
    def test_a_time_that_leaves_the_range_in_utc_is_a_value_error(self, time: datetime) -> None:
        with pytest.raises(ValueError, match="^created_at: "):
            batch(created_at=time)


@pytest.mark.parametrize("phase", lc.Phase)
def test_each_phase_is_derived(phase: lc.Phase) -> None:
    found = in_phase(phase)
    assert found is not None
    assert found.phase is phase


def test_an_archived_at_without_the_end_is_no_archived_batch() -> None:
    assert batch(archived_at=T).phase is lc.Phase.IN_PROGRESS


def test_deleted_outranks_every_other_phase() -> None:
    assert batch(deleted_at=T).phase is lc.Phase.DELETED


def test_type_and_size() -> None:
    found = batch(request_counts=lc.RequestCounts(1, 2, 3, 4, 5))
    assert (found.type, found.size) == ("message_batch", 15)


def test_extra_is_no_part_of_equality_nor_of_the_hash() -> None:
    one = batch(extra={"a": 1}, request_counts=lc.RequestCounts(1, extra={"total": 1}))
    other = batch()
    assert one == other
    assert hash(one) == hash(other)
    assert (one.extra, one.request_counts.extra) == ({"a": 1}, {"total": 1})


def test_extra_is_a_copy() -> None:
    given = {"a": 1}
    found = batch(extra=given)
    given["b"] = 2
    assert found.extra == {"a": 1}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("made", [lambda: batch(extra={"a": 1}), lambda: lc.fold([lc.Created("b", T, T + DAY, 1)])])
def test_a_batch_can_be_copied_and_pickled(
    copied: Callable[[lc.MessageBatch], lc.MessageBatch], made: Callable[[], lc.MessageBatch]
) -> None:
    one = made()
    other = copied(one)
    assert other == one
    assert (type(other), other.extra) == (lc.MessageBatch, one.extra)


@pytest.mark.parametrize("value", [batch(), COUNTS, lc.fold([lc.Created("b", T, T + DAY, 1)])])
def test_a_value_is_frozen_and_slotted(value: Any) -> None:
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, getattr(value, name))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(value, name)
    assert not hasattr(value, "__dict__")
