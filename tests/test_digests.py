"""Digests: what a late record of a finished stream needs is there, in few bytes; and the table that keeps them."""

import ast
import itertools
import string
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import digests, wire
from lifecycle.digests import KEY, SIZE, Digests, content_of, key_of, mark_of, pack, short, unpack
from lifecycle.fusing import EFFECTS, steps
from lifecycle.machine import TRANSITIONS
from lifecycle.replaying import Stream
from lifecycle.rules import Scope, rules_of
from tests.lives import ARCHIVED, BY_PHASE, CANCELED, CREATED, DAY, DELETED, ENDED, LIFE, REPEATED, T
from tests.strategies import LARGEST

ID = "msgbatch_01"
FINISHED = (None, lc.Phase.ENDED, lc.Phase.ARCHIVED, lc.Phase.DELETED)
Life = tuple[lc.Event, ...]
TABLE = steps(lc.LAWS.tiers)


def stream(events: tuple[lc.Event, ...], versions: list[int] | None = None, ids: str = "msgbatch_01/{}") -> Stream:
    """A stream that has come so far, each event of it at a version, with an event id."""
    found = Stream(TABLE[None])
    for version, event in zip(versions or range(1, len(events) + 1), events, strict=True):
        following = found.legal[type(event)](found, event)
        found.legal = following
        found.note(version, mark_of(ids.format(version), content_of(event)))
    return found


def packed(found: Stream, *, broken: bool = False) -> digests.Digest:
    """What its digest says, which is short enough."""
    digest = pack(ID, found, broken=broken)
    assert len(digest) <= SIZE
    return unpack(ID, digest)


class TestContent:
    """What an event says, in 32 bits that are the same everywhere."""

    def test_is_the_same_for_an_event_and_for_the_data_of_its_line(self) -> None:
        for event, data in zip(LIFE, wire.DATA, strict=True):
            line = wire.encode_record(lc.Record(ID, 1, event, None, T))
            envelope = wire.decode_block([line])[0]
            found: Any = wire.decode_data(envelope)
            assert type(found) is data
            assert content_of(found) == content_of(event)  # its times are text
            wire.SETTLE[data](found)
            assert content_of(found) == content_of(event)

    def test_is_the_same_in_every_process(self) -> None:
        """Checkpoints are read by other processes than wrote them."""
        golden = [1030838336, 1020104633, 956341655, 474957125, 1244786937, 2107093416]
        assert [content_of(event) for event in LIFE] == golden
        assert key_of(ID).hex() == "fa94b273d2ef609296c1c9e8"
        assert mark_of(f"{ID}/1", 7) == zlib.crc32(b"msgbatch_01/1") << 32 | 7
        assert short(mark_of(f"{ID}/1", 7)) == 3000587140

    def test_is_another_for_another_event(self) -> None:
        counts = [lc.RequestCounts(2**61 - 1), lc.RequestCounts(0, 2**61 - 1), lc.RequestCounts(0, 0, 2**61 - 1)]
        others: list[lc.Event] = [
            *LIFE,
            *map(lc.CountsUpdated, counts),
            *(attrs.evolve(CREATED, **change) for change in ({"id": "x"}, {"request_count": 5}, {"expires_at": T})),
            *(attrs.evolve(ENDED, **change) for change in ({"results_url": None}, {"results_url": "None"})),
            lc.Archived(DELETED.deleted_at),
            lc.CancelInitiated(DELETED.deleted_at),
            lc.Archived(ARCHIVED.archived_at, "None"),
        ]
        assert len(set(map(content_of, others))) == len(others)


class TestADigest:
    @pytest.mark.parametrize("phase", FINISHED)
    @pytest.mark.parametrize("broken", [False, True])
    def test_says_where_the_stream_was(self, phase: lc.Phase | None, broken: bool) -> None:
        found = stream(BY_PHASE[phase])
        digest = packed(found, broken=broken)
        assert (digest.phase, digest.version, digest.broken) == (phase, found.version, broken)
        assert (digest.remembered.complete, digest.remembered.usual) == (True, True)

    @pytest.mark.parametrize("canceled", [False, True])
    @pytest.mark.parametrize("later", [DAY, 4000 * DAY], ids=["soon", "after more than nine years"])
    def test_has_the_times_that_count(self, canceled: bool, later: Any) -> None:
        events: Life = (CREATED, *([CANCELED] if canceled else []), ENDED, lc.Archived(T + later))
        filled = Stream(TABLE[lc.Phase.ARCHIVED])
        packed(stream(events)).fill(filled)
        batch = lc.fold(events)
        for name in ("id", "created_at", "cancel_initiated_at", "ended_at", "archived_at", "deleted_at"):
            assert getattr(filled, name) == getattr(batch, name)

    def test_knows_every_record_of_a_short_stream(self) -> None:
        for ids in ("msgbatch_01/{}", "evt-{}"):
            remembered = packed(stream(LIFE, ids=ids)).remembered
            assert remembered.complete
            for version, event in enumerate(LIFE, 1):
                assert remembered.has(version, ids.format(version), event)
                assert not remembered.has(version, ids.format(version), attrs.evolve(CREATED, id="x"))
                assert not remembered.has(version, "other", event)
                assert remembered.knows(ids.format(version))
            assert not remembered.has(0, ids.format(0), REPEATED)
            for unknown in ("other", "", "/", ids.format(0), ids.format(7), ids.format("01"), ids.format("9" * 30)):
                assert not remembered.knows(unknown)

    @pytest.mark.parametrize("ids", ["msgbatch_01/{}", "evt-{}"])
    def test_knows_what_stands_before_a_gap(self, ids: str) -> None:
        events = (CREATED, REPEATED, ENDED, DELETED)
        versions = [1, 2, 300, 301]
        digest = packed(stream(events, versions, ids))
        assert (digest.version, digest.remembered.complete) == (301, True)
        assert [first for first, _ in digest.remembered.runs] == [1, 300]
        for version, event in zip(versions, events, strict=True):
            assert digest.remembered.has(version, ids.format(version), event)
        assert not digest.remembered.has(5, ids.format(5), REPEATED)
        assert not digest.remembered.knows(ids.format(5))

    @pytest.mark.parametrize(
        ("ids", "room"), [("msgbatch_01/{}", 19), ("evt-{}", 9)], ids=["usual event ids", "others"]
    )
    def test_of_a_long_stream_the_last_records_are_known_and_the_others_pass(self, ids: str, room: int) -> None:
        events: Life = (CREATED, *[REPEATED] * 200, ENDED, DELETED)
        remembered = packed(stream(events, ids=ids)).remembered
        last = len(events)
        ((first, marks),) = remembered.runs
        assert (remembered.complete, first, len(marks)) == (False, last + 1 - room, room)
        wrong = attrs.evolve(CREATED, id="x")
        assert remembered.has(first - 1, ids.format(first - 1), wrong)
        assert not remembered.has(first, ids.format(first), wrong)
        assert not remembered.has(0, ids.format(0), wrong)
        assert not remembered.knows(ids.format(0))
        assert remembered.knows(ids.format(5)) is (ids == "msgbatch_01/{}")

    @pytest.mark.parametrize(
        ("phase", "canceled", "usual", "others"),
        [
            (lc.Phase.DELETED, False, 20, 10),
            (lc.Phase.ENDED, False, 13, 6),
            (lc.Phase.ENDED, True, 10, 5),
            (lc.Phase.ARCHIVED, False, 10, 5),
            (lc.Phase.ARCHIVED, True, 7, 3),
        ],
    )
    def test_remembers_as_many_records_as_the_documents_say(
        self, phase: lc.Phase, canceled: bool, usual: int, others: int
    ) -> None:
        last = [event for event in BY_PHASE[phase][2:] if canceled or event != CANCELED]
        for ids, room in ("msgbatch_01/{}", usual), ("evt-{}", others):
            for count in (room, room + 1):
                events: Life = (CREATED, *[REPEATED] * (count - 1 - len(last)), *last)[-count:]
                remembered = packed(stream((CREATED, *events[1:]), ids=ids)).remembered
                assert (len(remembered.runs[0][1]), remembered.complete) == (room, count == room)

    def test_where_no_room_is_left_every_record_passes(self) -> None:
        events = (CREATED, CANCELED, ENDED, lc.Archived(T + 4000 * DAY))
        first = LARGEST - 3
        digest = packed(stream(events, [first + place for place in range(4)]))
        assert (digest.version, digest.remembered.runs, digest.remembered.complete) == (LARGEST, (), False)
        assert digest.remembered.has(LARGEST, "other", DELETED)

    def test_of_several_runs_the_last_is_kept_first(self) -> None:
        events: Life = (CREATED, *[REPEATED] * 30, ENDED, DELETED)
        versions = [*range(1, 20), *range(30, 44)]
        remembered = packed(stream(events, versions)).remembered
        assert [(first, len(marks)) for first, marks in remembered.runs] == [(15, 5), (30, 14)]
        assert not remembered.complete

    @pytest.mark.parametrize("before", [1, 50])
    def test_goes_on_from_one_digest_to_the_next(self, before: int) -> None:
        """As when an archived batch is deleted: what was known is known still, as far as there is room."""
        events: Life = (CREATED, *[REPEATED] * before, ENDED, ARCHIVED)
        digest = packed(stream(events))
        found = Stream(TABLE[lc.Phase.ARCHIVED])
        found.version, found.first = digest.version, digest.version + 1
        found.screened = digest.remembered
        digest.fill(found)
        found.legal = found.legal[lc.Deleted](found, DELETED)
        found.note(digest.version + 1, mark_of(f"{ID}/{digest.version + 1}", content_of(DELETED)))
        found.note(digest.version + 5, mark_of("odd", content_of(REPEATED)))
        after = packed(found)
        assert (after.phase, after.version) == (lc.Phase.DELETED, digest.version + 5)
        assert (after.remembered.usual, after.remembered.complete) == (False, before == 1)
        assert after.remembered.has(digest.version + 1, f"{ID}/{digest.version + 1}", DELETED)
        assert after.remembered.has(digest.version, f"{ID}/{digest.version}", ARCHIVED)
        assert after.remembered.has(digest.version + 5, "odd", REPEATED)

    @settings(max_examples=settings().max_examples // 2)
    @given(
        phase=st.sampled_from(FINISHED[1:]),
        gaps=st.lists(st.sampled_from([0, 0, 0, 1, 200, 2**40]), min_size=40, max_size=40),
        updates=st.integers(0, 30),
        ids=st.sampled_from(["msgbatch_01/{}", "evt-{}"]),
    )
    def test_never_takes_a_true_repeat_for_anything_else(
        self, phase: lc.Phase, gaps: list[int], updates: int, ids: str
    ) -> None:
        events: Life = (CREATED, *[REPEATED] * updates, *BY_PHASE[phase][2:])
        versions = [1, *itertools.accumulate(gaps[: len(events) - 1], lambda last, gap: last + 1 + gap, initial=1)][1:]
        remembered = packed(stream(events, versions, ids)).remembered
        for version, event in zip(versions, events, strict=True):
            assert remembered.has(version, ids.format(version), event)


class TestWhatRulesAskAfterTheEnd:
    """A digest keeps the times of a batch. That is enough only as long as no rule asks for more."""

    KEPT = frozenset({"created_at", "cancel_initiated_at", "ended_at", "archived_at"})

    @pytest.mark.parametrize(
        ("phase", "tag"), [(phase, tag) for phase, tag in TRANSITIONS if phase in (lc.Phase.ENDED, lc.Phase.ARCHIVED)]
    )
    def test_is_of_the_times_only(self, phase: lc.Phase, tag: str) -> None:
        """
        Each way to change what a rule says, by leaving out what is not kept, leaves what the event newly breaks.

        The predicates are tried on batches that differ in all that is not kept; the rules of what the event does not
        touch are broken before it or not, but not newly.
        """
        events: dict[str, tuple[lc.Event, ...]] = {
            "archived": (ARCHIVED, lc.Archived(T)),
            "deleted": (DELETED, lc.Deleted(T)),
        }
        for given_event in events[tag]:
            found = {self.newly(given_event, batch) for batch in self.batches(phase)}
            assert len(found) == 1

    def newly(self, event: lc.Event, batch: lc.MessageBatch) -> tuple[str, ...]:
        before = {violation.rule.id for violation in lc.check(batch, profile=lc.HOSTED)}
        after = attrs.evolve(batch, **attrs.asdict(event))
        found = lc.check(after, before=batch, profile=lc.HOSTED)
        return tuple(str(violation) for violation in found if violation.rule.id not in before)

    def batches(self, phase: lc.Phase) -> list[lc.MessageBatch]:
        batch = lc.fold(BY_PHASE[phase])
        return [
            attrs.evolve(batch, request_counts=counts, expires_at=expires_at, results_url=url)
            for counts in (lc.RequestCounts(0), lc.RequestCounts(0, 0, 0, 0, 5), lc.RequestCounts(0, 200_000))
            for expires_at in (T, T + DAY, T + 90 * DAY)
            for url in (None, "https://a.example")
        ]

    def test_is_all_that_messages_tell(self) -> None:
        for rule in rules_of(lc.HOSTED.tiers, Scope.BATCH):
            names = {node.id for node in ast.walk(ast.parse(rule.broken)) if isinstance(node, ast.Name)}
            if {"archived_at", "deleted_at"} & names:
                told = {name for _, name, _, _ in string.Formatter().parse(rule.seen) if name}
                assert told <= self.KEPT | {"deleted_at", "status"}
        assert set(EFFECTS["archived"]) == {"archived_at", "results_url"}
        assert set(EFFECTS["deleted"]) == {"deleted_at"}


# -------------------------------------------------------------------------------------------------------- the table

Operation = tuple[str, int, bytes]
KEYS = [key_of(str(number)) for number in range(40)]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "pop"]), st.integers(0, 39), st.binary(max_size=SIZE)), max_size=100
)


class TestTheTable:
    @settings(max_examples=settings().max_examples // 2)
    @given(operations=OPERATIONS)
    def test_does_what_a_dictionary_does(self, operations: list[Operation]) -> None:
        table, model = Digests(), dict[bytes, bytes]()
        for operation, number, digest in operations:
            key = KEYS[number]
            if operation == "put":
                table.put(key, digest)
                model[key] = digest
            else:
                assert table.pop(key) == model.pop(key, None)
            assert (len(table), table.get(key)) == (len(model), model.get(key))
        for other in (table, Digests.load(table.dump())):
            assert len(other) == len(model)
            assert {key: other.get(key) for key in KEYS} == {key: model.get(key) for key in KEYS}

    def test_grows_and_loses_nothing(self) -> None:
        table = Digests()
        for number in range(5000):
            table.put(key_of(str(number)), str(number).encode())
        assert len(table._buckets) == -(-5000 // digests._FILL)
        assert all(table.get(key_of(str(number))) == str(number).encode() for number in range(5000))
        again = Digests.load(table.dump())
        again.put(key_of("5000"), b"x")
        assert again.get(key_of("4999")) == b"4999"
        assert (len(again), len(table)) == (5001, 5000)

    def test_is_not_taken_in_by_a_digest_that_has_a_key_in_it(self) -> None:
        table = Digests()
        one, other = key_of("one"), key_of("other")
        table.put(one, b"\x05" + other + b"12345")
        assert (table.get(other), table.pop(other)) == (None, None)
        table.put(other, b"own")
        assert table.get(other) == b"own"
        assert table.get(one) == b"\x05" + other + b"12345"

    def test_takes_less_than_64_bytes_for_the_longest_digest(self) -> None:
        """The objects, by what they say of themselves; a benchmark measures the process."""
        table = Digests()
        for number in range(20_000):
            table.put(key_of(str(number)), bytes(SIZE))
        held = table._buckets.__sizeof__() + sum(bucket.__sizeof__() for bucket in table._buckets)
        assert 1 + KEY + SIZE < held / 20_000 < 64
