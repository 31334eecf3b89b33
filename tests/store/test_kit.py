"""The checks of stores find what is wrong: for each promise, stores that break it; and the check of older schemas."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

import lifecycle as lc
from lifecycle import testing, wire
from lifecycle.store import Damage, Head, MemoryStore
from tests.lives import CANCELED, CREATED, DAY, ENDED, T, records


class Forwarding(MemoryStore):
    """A store that does all right."""

    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        return super().append(*given, **keywords)


class OtherTimes(Forwarding):
    def read(self, stream: str, **keywords: Any) -> tuple[lc.Record, ...]:
        found = super().read(stream, **keywords)
        return tuple(attrs.evolve(record, recorded_at=record.recorded_at + timedelta(1)) for record in found)


class OldClock(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        return super().append(*given, **{"recorded_at": T, **keywords})


class OneByOne(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        stream, events = given
        found, version = list(events), keywords["expected_version"]
        if len(found) < 2 or len(keywords) > 1:
            return super().append(stream, found, **keywords)
        return tuple(
            super(OneByOne, self).append(stream, [event], expected_version=version + place)[0]
            for place, event in enumerate(found)
        )


class NoVersions(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        try:
            return super().append(*given, **keywords)
        except lc.VersionConflict as error:
            return super().append(*given, **keywords | {"expected_version": error.actual})


class NoRepeats(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        if "event_ids" in keywords:
            keywords["event_ids"] = [f"{event_id} {len(self._rows)}" for event_id in keywords["event_ids"]]
        written = super().append(*given, **keywords)
        return tuple(attrs.evolve(record, event_id=record.event_id.split(" ")[0]) for record in written)


class Stale(Forwarding):
    def batch(self, stream: str) -> lc.MessageBatch:
        return lc.fold([record.event for record in self.read(stream)][:-1] or [self.read(stream)[0].event])


class WrongParts(Forwarding):
    def read(self, stream: str, *, after: int = 0, until: int | None = None) -> tuple[lc.Record, ...]:
        return super().read(stream, after=after, until=None if until is None else until - 1)


class NothingForNone(Forwarding):
    def read(self, stream: str, **keywords: Any) -> tuple[lc.Record, ...]:
        try:
            return super().read(stream, **keywords)
        except lc.StreamNotFound:
            return ()


class ByStream(Forwarding):
    def read_all(self, *, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, lc.Record]]:
        found = sorted(super().read_all(), key=lambda found: found[1].batch_id)
        return iter([pair for pair in found if pair[0] > after][:limit])


class NotSorted(Forwarding):
    def streams(self) -> Iterator[Head]:
        return reversed(list(super().streams()))


class NeverMore(Forwarding):
    def follow(
        self,
        *,
        after: int = 0,
        timeout: float | None = None,  # noqa: ARG002 -- the mistake
    ) -> Generator[tuple[int, lc.Record], None, None]:
        return super().follow(after=after, timeout=0)


class NeverForgets(Forwarding):
    def forget(self, stream: str) -> None:
        self.head(stream)


class ForgetsAnything(Forwarding):
    def forget(self, stream: str) -> None:
        self._heads[stream] = self._heads[stream]._replace(batch=None, deleted_at=None)
        self._rows = [row._replace(data=None) if row.stream == stream else row for row in self._rows]


class CountsRepeats(Forwarding):
    def import_records(self, records: Iterable[lc.Record]) -> int:
        found = list(records)
        super().import_records(found)
        return len(found)


class Rejects(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        stream, events = given
        found = [
            lc.CountsUpdated(lc.RequestCounts(3)) if event.tag == "cancel_initiated" else event for event in events
        ]
        return super().append(stream, found, **keywords)


class Everybody(Forwarding):
    def append(self, *given: Any, **keywords: Any) -> tuple[lc.Record, ...]:
        try:
            return super().append(*given, **keywords)
        except lc.VersionConflict:
            return self.read(given[0])


class AlwaysDamaged(Forwarding):
    def verify(self) -> Iterator[Damage]:
        yield Damage("it is never whole")


BROKEN: dict[str, tuple[type[MemoryStore], ...]] = {
    "check_appending": (OtherTimes, OldClock, NoRepeats),
    "check_whole_appends": (OneByOne,),
    "check_versions": (NoVersions,),
    "check_repeats": (NoRepeats, NoVersions),
    "check_batches": (Stale,),
    "check_reading": (WrongParts, NothingForNone),
    "check_order": (ByStream,),
    "check_streams": (NotSorted,),
    "check_following": (NeverMore,),
    "check_forgetting": (NeverForgets, ForgetsAnything),
    "check_importing": (CountsRepeats,),
    "check_commands": (Rejects,),
    "check_winners": (Everybody, NoVersions),
    "check_verifying": (AlwaysDamaged,),
}


def test_there_is_a_control_for_each_promise() -> None:
    assert [check.__name__ for check in testing.PROMISES] == [*BROKEN]


@pytest.mark.parametrize(
    ("check", "store"),
    [
        pytest.param(check, store, id=f"{check.__name__} {store.__name__}")
        for check in testing.PROMISES
        for store in BROKEN[check.__name__]
    ],
)
def test_a_store_that_breaks_a_promise_is_found(
    check: Callable[[Callable[[], MemoryStore]], None], store: type[MemoryStore]
) -> None:
    with pytest.raises(AssertionError) as raised:
        check(store)
    assert str(raised.value) != ""


def test_a_store_that_does_all_right_passes() -> None:
    testing.check_store(Forwarding)


def test_a_foreign_error_is_no_refusal() -> None:
    class Foreign(Forwarding):
        def read(self, stream: str, **keywords: Any) -> tuple[lc.Record, ...]:
            try:
                return super().read(stream, **keywords)
            except lc.StreamNotFound:
                raise OSError("disk") from None

    with pytest.raises(AssertionError, match="expected StreamNotFound, came OSError: disk"):
        testing.check_store(Foreign)


# -------------------------------------------------------------------------------------------------------- older schemas

V0, V1 = "lifecycle.message_batch.created.v0", "lifecycle.message_batch.created.v1"


def to_v1(data: dict[str, Any]) -> dict[str, Any]:
    """A made-up step: the size had another name."""
    return {("request_count" if key == "size" else key): value for key, value in data.items()}


def golden(*, size: str = "size", type_: str = V0) -> list[bytes]:
    lines = [wire.encode_record(record) for record in records((CREATED, CANCELED, ENDED))]
    first = json.loads(lines[0])
    first["type"] = type_
    first["data"][size] = first["data"].pop("request_count")
    return [json.dumps(first).encode(), *lines[1:]]


class TestCheckUpcasting:
    def test_a_golden_log_that_can_be_read_passes(self, tmp_path: Path) -> None:
        testing.check_upcasting(golden(), upcasts={V0: (V1, to_v1)})
        path = tmp_path / "golden.jsonl"
        path.write_bytes(b"\n".join(golden()) + b"\n")
        testing.check_upcasting(path, upcasts={V0: (V1, to_v1)})
        testing.check_upcasting(str(path), upcasts={V0: (V1, to_v1)})
        testing.check_upcasting([wire.encode_record(record) for record in records()])

    @pytest.mark.parametrize(
        ("lines", "upcasts", "said"),
        [
            (golden(), {}, "line 1 cannot be read"),
            (golden(size="count"), {V0: (V1, to_v1)}, "line 1 cannot be read"),
            (golden(), {V0: (V0, to_v1)}, "circle"),
            ([b"{}"], {}, "line 1 cannot be read: KeyError"),
            ([b"[]"], {}, "line 1 cannot be read: TypeError"),
            ([], {}, "there are lines"),
            (golden()[1:], {}, "L1"),
            ([wire.encode_record(record) for record in records()], {V0: (V1, to_v1)}, "no line needs"),
        ],
    )
    def test_what_is_wrong_is_told(self, lines: list[bytes], upcasts: Any, said: str) -> None:
        with pytest.raises(AssertionError, match=said):
            testing.check_upcasting(lines, upcasts=upcasts)

    def test_a_step_that_gives_another_result_each_time_is_found(self) -> None:
        times = iter(range(1, 9))

        def step(data: dict[str, Any]) -> dict[str, Any]:
            return {**to_v1(data), "expires_at": wire.stamp(T + next(times) * DAY)}

        with pytest.raises(AssertionError, match="upcast again"):
            testing.check_upcasting(golden(), upcasts={V0: (V1, step)})
