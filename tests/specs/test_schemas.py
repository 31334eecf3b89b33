"""
The JSON Schemas of specs/schemas, in both directions: what is legal validates, what is faulty is refused.

They are judged by a validator of their own, with formats asserted unless a test says otherwise, and no schema may be
fetched.  Where a schema and the wire differ, `TestWhereSchemaAndWireDiffer` has the case.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import attrs
import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle as lc
from lifecycle import testing, wire
from lifecycle.events import EVENTS
from tests import strategies
from tests.cli.running import GOLDEN, lifecycle

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "schemas"
SCHEMAS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.iterdir())}
TAGS = [cls.tag for cls in EVENTS]
STATED = ["B1", "B4", "B5", "B6", "B10"]
"""The rules that the snapshot's schema states."""
UNSTATED = [rule for rule in lc.RULES if rule.startswith("B") and rule not in STATED]
FIVE = ("processing", "succeeded", "errored", "canceled", "expired")
NULLABLE = ("ended_at", "archived_at", "cancel_initiated_at", "results_url")
LARGEST = 2**63 - 1
SOME = settings(max_examples=settings().max_examples // 2)
FEW = settings(max_examples=settings().max_examples // 5)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

# ------------------------------------------------------------------------------------------------------ the validator


def never(uri: str) -> NoReturn:
    raise AssertionError(f"{uri} was to be fetched")


def validator(
    schema: str | dict[str, Any], *, formats: bool = True, schemas: Mapping[str, dict[str, Any]] = SCHEMAS
) -> jsonschema_rs.Draft202012Validator:
    """A validator for a reference such as ``snapshot.json#/$defs/shape``, or for a schema."""
    files = [(f"{name}.json", text) for name, text in schemas.items()]
    registry = jsonschema_rs.Registry(files, draft=jsonschema_rs.Draft202012, retriever=never)
    found = {"$ref": schema} if isinstance(schema, str) else schema
    return jsonschema_rs.Draft202012Validator(found, registry=registry, validate_formats=formats)


SNAPSHOT = validator("snapshot.json")
SHAPE = validator("snapshot.json#/$defs/shape")
RECORD = validator("record.json")
REPORT = validator("report.json")
FINDING = validator("report.json#/$defs/finding")
STATE = validator("report.json#/$defs/state")
DATA = {tag: validator(f"{tag}.json") for tag in TAGS}

# ---------------------------------------------------------------------------------------------------- values to judge


def shown(batch: lc.MessageBatch) -> dict[str, Any]:
    """A batch as builtins, with negative counts, too, which the wire refuses to write."""
    counts = batch.request_counts
    found = wire.unstructure_batch(attrs.evolve(batch, request_counts=lc.RequestCounts(0)))
    return found | {"request_counts": {name: getattr(counts, name) for name in FIVE} | dict(counts.extra)}


def line(record: lc.Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wire.encode_record(record))
    return found


def is_snapshot(value: Any) -> bool:
    """What the wire says."""
    try:
        wire.decode_batch(json.dumps(value))
    except lc.WireError:
        return False
    return True


def is_record(value: Any) -> bool:
    """What the wire says."""
    try:
        wire.decode_record(json.dumps(value))
    except lc.WireError:
        return False
    return True


CREATED = lc.Created("msgbatch_01", NOON, NOON + timedelta(hours=24), 4)
ENDED = lc.Ended(NOON + timedelta(hours=2), lc.RequestCounts(0, 1, 1, 1, 1), "https://localhost/results")
LIFE: tuple[lc.Event, ...] = (
    CREATED,
    lc.CountsUpdated(lc.RequestCounts(4)),
    lc.CancelInitiated(NOON + timedelta(hours=1)),
    ENDED,
    lc.Archived(NOON + timedelta(days=30), "https://localhost/results"),
    lc.Deleted(NOON + timedelta(days=31)),
)
RECORDS = [lc.Record("msgbatch_01", version, event, None, NOON) for version, event in enumerate(LIFE, 1)]
FULL = wire.unstructure_batch(lc.fold(LIFE[:5]))
"""A snapshot in which no key is null."""
BARE = wire.unstructure_batch(lc.fold(LIFE[:1]))
"""One in which all are null that may be."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.5, -0.5, LARGEST, LARGEST + 1, 2**64, "", "text", "2026-01-01T12:00:00Z"),
    *([], [1], [-1], [[None, -1]], {}, {"a": 1}, {"a": -1}, {"a": [2**63]}),
)
"""A value of every type, and what may be wrong with it."""


def variants(value: Any) -> Iterator[Any]:
    """*value* with each of its keys taken away, each of its values replaced, and an unknown key in each object."""
    yield from ODD
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: kept for name, kept in value.items() if name != key}
            yield from (value | {key: other} for other in variants(inner))
        yield from (value | {"unknown": odd} for odd in ODD)


def with_at(value: Any, path: str, other: Any) -> Any:
    """*value* with *other* at *path*; ``...`` takes the key away."""
    found = copy.deepcopy(value)
    *parents, key = path.split(".")
    inner = found
    for parent in parents:
        inner = inner[parent]
    inner[key] = other
    if other is ...:
        del inner[key]
    return found


# ---------------------------------------------------------------------------------------------------------- the files


class TestTheFiles:
    def test_there_is_one_for_each_event_and_three_more(self) -> None:
        assert sorted(SCHEMAS) == sorted([*TAGS, "snapshot", "record", "report"])

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_each_is_a_schema_of_2020_12_with_a_name_a_title_and_examples(self, name: str) -> None:
        schema = SCHEMAS[name]
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"{name}.json"
        assert schema["title"]
        assert schema["description"]
        jsonschema_rs.meta.validate(schema)
        judge = validator(f"{name}.json")
        assert schema["examples"]
        for example in schema["examples"]:
            judge.validate(example)

    def test_what_is_no_schema_would_be_refused(self) -> None:
        faults: list[dict[str, Any]] = [{"type": "text"}, {"required": "id"}, {"minimum": "0"}, {"allOf": []}]
        for wrong in faults:
            with pytest.raises(jsonschema_rs.ValidationError):
                jsonschema_rs.meta.validate(SCHEMAS["snapshot"] | wrong)

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_reference_leads_to_a_definition_in_the_folder(self, name: str) -> None:
        for reference in everywhere(SCHEMAS[name], "$ref"):
            file, _, pointer = reference.partition("#")
            found: Any = SCHEMAS[file.removesuffix(".json")] if file else SCHEMAS[name]
            for step in pointer.split("/")[1:]:
                found = found[step]
            assert isinstance(found, dict)

    def test_a_reference_that_leads_elsewhere_would_be_noticed(self) -> None:
        with pytest.raises((jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, AssertionError)):
            validator({"$ref": "elsewhere.json"}).validate({})

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_definition_is_used_or_is_one_that_others_are_told_of(self, name: str) -> None:
        used = {
            reference if reference.startswith(f"{name}.json") else f"{name}.json{reference}"
            for other, schema in SCHEMAS.items()
            for reference in everywhere(schema, "$ref")
            if other == name or reference.startswith(f"{name}.json")
        }
        assert {f"{name}.json#/$defs/{definition}" for definition in SCHEMAS[name].get("$defs", ())} <= used

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_pattern_is_written_as_every_dialect_reads_it(self, name: str) -> None:
        """No look-around, no group but the plain one, no class but those that are written out."""
        for pattern in everywhere(SCHEMAS[name], "pattern"):
            assert re.sub(r"\\[.n]", "", pattern).isascii()
            assert "\\" not in re.sub(r"\\[.n]", "", pattern)
            assert "(?" not in pattern

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_text_does_not_pass_with_a_newline_at_its_end_in_any_dialect(self, name: str) -> None:
        """In some, Python's among them, a dollar sign stands before it, too."""
        for schema in with_key(SCHEMAS[name], "pattern"):
            if schema["pattern"].endswith("$"):
                assert "maxLength" in schema or schema["not"] == {"pattern": "\\n"}

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_the_files_are_plain(self, name: str) -> None:
        """A terminal of any encoding shows them, and a page of any width."""
        text = (FOLDER / f"{name}.json").read_bytes()
        assert text.isascii()
        assert text.endswith(b"}\n")
        assert b"\r" not in text
        assert b"\t" not in text

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_the_rules_that_are_named_exist_and_those_left_out_are_named(self, name: str) -> None:
        assert named_in(json.dumps(SCHEMAS[name])) <= set(lc.RULES)
        assert named_in(SCHEMAS[name]["$comment"]) - {"B1"}

    @pytest.mark.parametrize("tag", [*TAGS, "record"])
    def test_of_an_event_b1_alone_is_stated_where_there_are_counts(self, tag: str) -> None:
        assert ("with B1" in SCHEMAS[tag]["$comment"]) == ("count" in json.dumps(SCHEMAS[tag]["properties"]))


def with_key(schema: Any, keyword: str) -> list[dict[str, Any]]:
    """The schemas in a schema, at any depth, that have a text under a keyword; none of the examples."""
    if isinstance(schema, list):
        return [found for inner in schema for found in with_key(inner, keyword)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if isinstance(schema.get(keyword), str) else []
    return own + [found for key, inner in schema.items() if key != "examples" for found in with_key(inner, keyword)]


def everywhere(schema: Any, keyword: str) -> list[str]:
    """The texts that stand under a keyword."""
    return [found[keyword] for found in with_key(schema, keyword)]


def named_in(text: str) -> set[str]:
    """The ids of rules in a text."""
    return set(re.findall(r"\b[BTL][1-9][0-9]?\b", text))


# ------------------------------------------------------------------------------------------------------- the snapshot


class TestTheSnapshot:
    @SOME
    @given(testing.snapshots() | testing.snapshots(profile=lc.HOSTED))
    def test_admits_what_is_legal(self, batch: lc.MessageBatch) -> None:
        SNAPSHOT.validate(wire.unstructure_batch(batch))

    @SOME
    @given(testing.wire_batches() | testing.wire_batches(profile=lc.HOSTED))
    def test_admits_every_form_of_it_that_reading_has_to_accept(self, body: bytes) -> None:
        SNAPSHOT.validate(json.loads(body))

    @SOME
    @given(strategies.batches(extra=True))
    def test_admits_the_shape_of_whatever_is_written(self, batch: lc.MessageBatch) -> None:
        value = json.loads(wire.encode_batch(batch))
        SHAPE.validate(value)
        broken = {violation.rule.id for violation in lc.check(batch)}
        assert SNAPSHOT.is_valid(value) == broken.isdisjoint(STATED)

    @pytest.mark.parametrize("value", [FULL, BARE, {key: BARE[key] for key in BARE if key not in NULLABLE}])
    def test_its_shape_is_what_the_wire_reads(self, value: dict[str, Any]) -> None:
        verdicts = [(SHAPE.is_valid(other), is_snapshot(other), other) for other in variants(value)]
        assert [other for by_schema, by_wire, other in verdicts if by_schema != by_wire] == []
        assert sum(by_wire for _, by_wire, _ in verdicts) > 40
        assert sum(not by_wire for _, by_wire, _ in verdicts) > 200

    @SOME
    @given(st.sampled_from(list(FULL)), strategies.json_values().filter(lambda value: not isinstance(value, float)))
    def test_its_shape_is_what_the_wire_reads_whatever_stands_under_a_key(self, key: str, value: Any) -> None:
        assert SHAPE.is_valid(FULL | {key: value}) == is_snapshot(FULL | {key: value})

    @pytest.mark.parametrize(
        ("keys", "wrong"),
        [
            ("id", (..., None, 7, 1.5, True, [], {})),
            ("type", (..., None, 7, True, "", "message_batch_deleted", "batch", ["message_batch"])),
            (
                "processing_status",
                (..., None, 7, True, "", "canceled", "cancelling", "failed", "expired", "Ended", ["ended"]),
            ),
            ("request_counts", (..., None, 7, "7", True, [], [0, 1, 1, 1, 1], {})),
            (
                " ".join(f"request_counts.{name}" for name in FIVE),
                (..., None, -1, 2.5, "2", "", True, False, LARGEST + 1, 2**70, [], [2], {}),
            ),
            ("created_at expires_at", (..., None, 1738160699, 1.5, True, [], {}, "", "now")),
            ("ended_at archived_at cancel_initiated_at", (1738160699, 1.5, True, [], {}, "", "now")),
            ("results_url", (7, 1.5, True, [], {})),
            ("unknown", (-1, -0.5, LARGEST + 1, [-1], {"a": [{"b": -1}]})),
        ],
    )
    def test_refuses_a_fault_of_shape(self, keys: str, wrong: tuple[Any, ...]) -> None:
        for key in keys.split():
            for value in wrong:
                broken = with_at(FULL, key, value)
                assert not SNAPSHOT.is_valid(broken), (key, value)
                assert not is_snapshot(broken), (key, value)

    @SOME
    @given(testing.broken_wire())
    def test_refuses_what_the_kit_breaks(self, found: tuple[bytes, str]) -> None:
        body, _ = found
        try:
            text = body.decode()
            value = json.loads(text, parse_constant=never)
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate
        except (ValueError, AssertionError):
            return  # what is no JSON no schema gets to see
        assert not SNAPSHOT.is_valid(value) or set(map(json.dumps, leaves(value))) & set(map(json.dumps, LET_PASS))

    @pytest.mark.parametrize("name", ["created_at", "expires_at", *NULLABLE[:3]])
    def test_reads_every_time_that_the_wire_reads(self, name: str) -> None:
        for time in TIMES:
            value = FULL | {name: time}
            SNAPSHOT.validate(value)
            assert is_snapshot(value)

    @pytest.mark.parametrize("name", ["created_at", "expires_at", *NULLABLE[:3]])
    def test_refuses_what_is_no_time_to_the_wire(self, name: str) -> None:
        for time in (*NO_TIMES, *NO_DAYS):
            value = FULL | {name: time}
            assert not SNAPSHOT.is_valid(value), time
            assert not is_snapshot(value), time

    def test_tells_times_even_where_formats_are_mere_remarks(self) -> None:
        lenient = validator("snapshot.json", formats=False)
        assert all(lenient.is_valid(FULL | {"created_at": time}) for time in TIMES)
        assert not any(lenient.is_valid(FULL | {"created_at": time}) for time in NO_TIMES)
        assert all(lenient.is_valid(FULL | {"created_at": time}) for time in NO_DAYS)  # the format is what knows months


TIMES = (
    *("2025-01-29T14:24:59.570697+00:00", "2025-01-29T14:24:59Z", "2025-01-29t14:24:59z", "2025-01-29T14:24:59-00:00"),
    *("2025-01-29T14:24:59.5Z", "2025-01-29T14:24:59.1234567891234Z", "2025-01-29T14:24:59+23:59"),
    *("2025-01-29T14:24:59-23:59", "2024-02-29T23:59:59+05:30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
)
NO_TIMES = (
    *("2025-01-29T14:24:59", "2025-01-29", "2025-01-29T14:24Z", "20250129T142459Z", "2025-W05-3T14:24:59Z"),
    *("2025-029T14:24:59Z", "2025-01-29T14:24:59,5Z", "2025-01-29 14:24:59Z", " 2025-01-29T14:24:59Z"),
    *("2025-01-29T14:24:59Z ", "2025-01-29T14:24:59Z\n", "2025-01-29T14:24:59.Z", "2025-01-29T14:24:60Z"),
    *("2016-12-31T23:59:60Z", "2025-01-29T24:00:00Z", "2025-01-29T14:60:00Z", "2025-13-01T14:24:59Z"),
    *("2025-00-01T14:24:59Z", "2025-01-00T14:24:59Z", "2025-01-32T14:24:59Z", "0000-01-01T00:00:00Z"),
    *("2025-01-29T14:24:59+00", "2025-01-29T14:24:59+0000", "2025-01-29T14:24:59+24:00", "2025-01-29T14:24:59+00:60"),
    *("-2025-01-29T14:24:59Z", "12025-01-29T14:24:59Z", "\uff12\uff10\uff12\uff15-01-29T14:24:59Z", "Z", ""),
)
NO_DAYS = ("2025-02-29T00:00:00Z", "2025-04-31T00:00:00Z", "1900-02-29T00:00:00Z")
OUT_OF_RANGE = ("0001-01-01T00:30:00+01:00", "9999-12-31T23:30:00-01:00")
LET_PASS = (2.0, *OUT_OF_RANGE)
"""Faults that a schema cannot see."""


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


class TestTheRulesOfTheSnapshot:
    def test_each_stands_under_its_id_in_the_words_of_the_rulebook(self) -> None:
        definitions = SCHEMAS["snapshot"]["$defs"].values()
        said = {schema["title"]: schema["description"] for schema in definitions if schema.get("title") in lc.RULES}
        assert said == {rule: lc.RULES[rule].sentence for rule in STATED}

    def test_each_b_rule_is_stated_or_said_to_be_left_out(self) -> None:
        assert named_in(SCHEMAS["snapshot"]["description"]) == set(STATED)
        assert named_in(SCHEMAS["snapshot"]["$comment"]) == set(UNSTATED)

    def test_all_that_are_stated_are_laws(self) -> None:
        assert {lc.RULES[rule].tier for rule in STATED} == {lc.Tier.LAW}

    @pytest.mark.parametrize("rule", STATED)
    def test_what_breaks_one_is_refused_and_only_for_that(self, rule: str) -> None:
        unaware = validator(*without(rule))
        negative = rule == "B1"  # of which the wire does not even write what breaks it

        @SOME
        @given(testing.broken_snapshots(rule=rule))
        def judge(found: tuple[lc.MessageBatch, str]) -> None:
            value = shown(found[0])
            assert not SNAPSHOT.is_valid(value)
            assert SHAPE.is_valid(value) == (not negative)
            unaware.validate(value)  # the control: without the rule it would pass

        judge()

    @pytest.mark.parametrize("rule", UNSTATED)
    def test_what_breaks_another_rule_alone_passes(self, rule: str) -> None:
        @FEW
        @given(testing.broken_snapshots(rule=rule))
        def judge(found: tuple[lc.MessageBatch, str]) -> None:
            SNAPSHOT.validate(shown(found[0]))

        judge()


def without(rule: str) -> tuple[dict[str, Any]]:
    """The schema of the snapshot as if it did not know a rule."""
    schema = copy.deepcopy(SCHEMAS["snapshot"])
    if rule == "B1":
        del schema["$defs"]["count"]["minimum"]
    else:
        schema["allOf"].remove({"$ref": f"#/$defs/{rule}"})
    return ({**schema, "$id": "unaware.json"},)


# ---------------------------------------------------------------------------------------------- events and log lines


class TestTheEvents:
    @pytest.mark.parametrize("tag", TAGS)
    def test_each_admits_what_is_written_of_its_event_and_of_no_other(self, tag: str) -> None:
        @SOME
        @given(testing.events() | testing.events(profile=lc.HOSTED) | strategies.events())
        def judge(event: lc.Event) -> None:
            data = line(lc.Record("msgbatch_01", 1, event, None, NOON))["data"]
            assert DATA[tag].is_valid(data) == (event.tag == tag)

        judge()

    @pytest.mark.parametrize("record", RECORDS, ids=TAGS)
    def test_each_admits_what_the_wire_reads(self, record: lc.Record) -> None:
        whole = {key: value for key, value in line(record).items() if key != "crc32"}
        cases = [(other, whole | {"data": other}) for other in variants(whole["data"])]
        verdicts = [(DATA[record.event.tag].is_valid(data), is_record(value), data) for data, value in cases]
        assert [data for by_schema, by_wire, data in verdicts if by_schema != by_wire] == []
        assert sum(by_wire for _, by_wire, _ in verdicts) >= 1
        assert sum(not by_wire for _, by_wire, _ in verdicts) > 50

    @pytest.mark.parametrize(("tag", "event"), list(zip(TAGS, LIFE, strict=True)))
    def test_only_the_url_may_be_missing_and_no_key_may_be_added(self, tag: str, event: lc.Event) -> None:
        data = line(lc.Record("msgbatch_01", 1, event, None, NOON))["data"]
        assert list(SCHEMAS[tag]["properties"]) == list(data)
        for key in data:
            assert DATA[tag].is_valid(with_at(data, key, ...)) == (key == "results_url")
        assert not DATA[tag].is_valid(data | {"note": "x"})
        if "request_counts" in data:
            assert not DATA[tag].is_valid(data | {"request_counts": data["request_counts"] | {"total": 4}})


class TestTheRecord:
    @SOME
    @given(testing.logs(repeats=True) | testing.logs(profile=lc.HOSTED))
    def test_admits_legal_logs(self, records: tuple[lc.Record, ...]) -> None:
        for record in records:
            RECORD.validate(line(record))

    @SOME
    @given(strategies.records())
    def test_admits_whatever_is_written_and_needs_no_checksum(self, record: lc.Record) -> None:
        value = line(record)
        RECORD.validate(value)
        del value["crc32"]
        RECORD.validate(value)

    @SOME
    @given(testing.broken_logs())
    def test_admits_lines_whose_events_cannot_be(self, found: tuple[tuple[lc.Record, ...], str]) -> None:
        for record in found[0]:
            RECORD.validate(line(record))

    @pytest.mark.parametrize("record", RECORDS, ids=TAGS)
    def test_admits_what_the_wire_reads(self, record: lc.Record) -> None:
        whole = {key: value for key, value in line(record).items() if key != "crc32"}
        types = [whole | {"type": wire.type_of(event)} for event in LIFE]
        verdicts = [(RECORD.is_valid(other), is_record(other), other) for other in [*types, *variants(whole)]]
        others = [other for by_schema, by_wire, other in verdicts if by_schema != by_wire]
        # Of these, source and subject do not agree.
        assert all(RECORD.is_valid(other) and not other["source"].endswith(f"/{other['subject']}") for other in others)
        assert {other["subject"] for other in others} == {odd for odd in ODD if isinstance(odd, str)}
        assert sum(by_wire for _, by_wire, _ in verdicts) > 3
        assert sum(not by_wire for _, by_wire, _ in verdicts) > 200

    @pytest.mark.parametrize(
        ("key", "wrong"),
        [
            ("specversion", (None, 1.0, "1.1", "0.3", "")),
            ("source", (None, 7, "", "msgbatch_01", "/v1/messages/msgbatch_01", "x/v1/messages/batches/msgbatch_01")),
            ("type", (None, "created", "lifecycle.message_batch.created", "lifecycle.message_batch.created.v2")),
            ("sequence", (None, 1, "1", "", "0" * 19, "0" * 21, f"{'0' * 19}x", f"{'0' * 20}\n", f"1{'0' * 19}")),
            ("time", (None, 7, *NO_TIMES, *NO_DAYS)),
            ("datacontenttype", (None, "application/json; charset=utf-8", "text/plain", "")),
            ("data", (None, 7, "{}", [], {})),
            ("crc32", (None, 7, "", "0A1B2C3D", "0a1b2c3", "0a1b2c3d0", "0a1b2c3d\n", "0x1b2c3d")),
            ("subject", (None, 7, True)),
            ("id", (None, 7, True)),
            ("datacontentencoding", ("utf-8",)),
            ("dataschema", ("created.json",)),
        ],
    )
    def test_refuses_a_fault_of_shape(self, key: str, wrong: tuple[Any, ...]) -> None:
        for value in wrong:
            broken = line(RECORDS[0]) | {key: value}
            assert not RECORD.is_valid(broken), value
            assert not is_record(broken), value

    @pytest.mark.parametrize("key", [*line(RECORDS[0])][:-1])
    def test_refuses_a_line_without_a_key(self, key: str) -> None:
        broken = with_at(line(RECORDS[0]), key, ...)
        assert not RECORD.is_valid(broken)
        assert not is_record(broken)

    def test_knows_the_keys_in_their_order_and_the_types_of_all_events(self) -> None:
        assert list(SCHEMAS["record"]["properties"]) == list(line(RECORDS[0]))
        assert SCHEMAS["record"]["properties"]["type"]["enum"] == [wire.type_of(cls) for cls in EVENTS]
        choices = [
            (choice["if"]["properties"]["type"]["const"], choice["then"]["properties"]["data"]["$ref"])
            for choice in SCHEMAS["record"]["allOf"]
        ]
        assert choices == [(wire.type_of(cls), f"{cls.tag}.json") for cls in EVENTS]


# --------------------------------------------------------------------------------------------------------- the report

KINDS: dict[str, Any] = {
    "null": None,
    "truth": True,
    "number": 1,
    "negative": -1,
    "fraction": 1.5,
    "text": "x",
    "array": [],
    "object": {},
}
AUDITED, REPLAYED = SCHEMAS["report"]["examples"]
VIOLATED, REFUSED = AUDITED["findings"]
WHOLE, ABSENT = REPLAYED


def judged(judge: jsonschema_rs.Draft202012Validator, value: dict[str, Any], **admitted: str) -> None:
    """Hold each key of *value* to the kinds that are *admitted*; each is needed, and no other is known."""
    assert list(value) == list(admitted)
    judge.validate(value)
    for key, kinds in admitted.items():
        assert not judge.is_valid(with_at(value, key, ...)), key
        found = [kind for kind, odd in KINDS.items() if judge.is_valid(value | {key: odd})]
        assert found == kinds.split(), key
    assert not judge.is_valid(value | {"note": "x"})


class TestTheReport:
    @FEW
    @given(
        testing.logs(repeats=True)
        | testing.logs(profile=lc.HOSTED)
        | testing.broken_logs().map(lambda found: found[0])
        | st.lists(strategies.records(), max_size=4).map(tuple),
        st.sampled_from(["laws", "hosted"]),
        st.sampled_from([b"", b"{}\n", b"\xff\n"]),
    )
    def test_admits_what_the_command_line_prints(
        self, records: tuple[lc.Record, ...], profile: str, rubbish: bytes
    ) -> None:
        log = rubbish + b"".join(wire.encode_record(record) + b"\n" for record in records)
        for command in ("audit", "replay"):
            _, whole, _ = lifecycle(command, "-", "--format", "json", "--profile", profile, stdin=log)
            REPORT.validate(json.loads(whole))

    @pytest.mark.parametrize("name", ["audit", "replay"])
    def test_admits_what_is_printed_of_the_golden_log(self, name: str) -> None:
        REPORT.validate(json.loads((GOLDEN / f"{name}.json").read_text()))
        judge = {"audit": FINDING, "replay": STATE}[name]
        lines = (GOLDEN / f"{name}.jsonl").read_text().splitlines()
        assert lines
        for text in lines:
            judge.validate(json.loads(text))

    def test_admits_only_what_stands_under_each_key_of_an_audit(self) -> None:
        numbers = dict.fromkeys(("events", "streams", "broken"), "number")
        judged(REPORT, AUDITED, **numbers, phases="", rules="object", findings="array", worst="array")
        [ranked] = AUDITED["worst"]
        for key, odd in {"T1": 0, "B5": 1, "B0": 1, "x": 1, "wire ": 1}.items():
            assert REPORT.is_valid(AUDITED | {"rules": {key: odd}}) == (key == "B5")
        for odd in (
            *KINDS.values(),
            ranked | {"note": "x"},
            {"rules": {}},
            {"batch_id": "x"},
            ranked | {"batch_id": 1},
        ):
            assert not REPORT.is_valid(AUDITED | {"worst": [odd]})
        assert not REPORT.is_valid(AUDITED | {"worst": [ranked | {"rules": {"T1": 0}}]})
        assert REPORT.is_valid(AUDITED | {"worst": [ranked] * 10})
        assert not REPORT.is_valid(AUDITED | {"worst": [ranked] * 11})
        for phase in lc.Phase:
            for kind, odd in KINDS.items():
                value = with_at(AUDITED, f"phases.{phase}", odd)
                assert REPORT.is_valid(value) == (kind == "number")
            assert not REPORT.is_valid(with_at(AUDITED, f"phases.{phase}", ...))
        assert list(AUDITED["phases"]) == list(lc.Phase)
        assert not REPORT.is_valid(with_at(AUDITED, "phases.expired", 0))
        for odd in (*KINDS.values(), [VIOLATED]):
            assert not REPORT.is_valid(AUDITED | {"findings": [odd]})

    def test_admits_only_what_stands_under_each_key_of_a_finding(self) -> None:
        text = dict.fromkeys(("file", "message"), "text")
        kinds = {"batch_id": "text", "version": "number", "line": "number", "rule": "", "tier": "", "event": ""}
        kinds |= {"phase": "null", "allowed": "array"} | text
        judged(FINDING, VIOLATED, **{key: kinds[key] for key in VIOLATED})

    def test_admits_only_what_stands_under_each_key_of_a_refused_line(self) -> None:
        """It names no batch."""
        nothing = dict.fromkeys(("batch_id", "version", "event", "phase"), "null")
        kinds = nothing | {"file": "text", "line": "number", "rule": "", "tier": "", "allowed": "array"}
        kinds |= {"message": "text"}
        judged(FINDING, REFUSED, **{key: kinds[key] for key in REFUSED})
        for key, word in {"event": "created", "phase": "ended", "allowed": ["created"], "tier": "contract"}.items():
            assert FINDING.is_valid(VIOLATED | {key: word})
            assert not FINDING.is_valid(REFUSED | {key: word})

    @pytest.mark.parametrize(
        ("key", "right", "wrong"),
        [
            ("rule", ["B1", "B16", "T7", "L4"], ["", "b1", "B", "B0", "B1x", "X1", "Wire"]),
            ("tier", list(lc.Tier), ["", "LAW", "rule"]),
            ("event", TAGS, ["", "Created", "canceled"]),
            ("phase", [None, *lc.Phase], ["", "expired", "absent"]),
            ("line", [1, 2**40], [0]),
            ("version", [0, LARGEST], [LARGEST + 1]),
            ("allowed", [TAGS, []], [["created", "created"], ["x"], [None]]),
        ],
    )
    def test_knows_the_words_of_a_finding(self, key: str, right: list[Any], wrong: list[Any]) -> None:
        assert [value for value in right if not FINDING.is_valid(VIOLATED | {key: value})] == []
        assert [value for value in wrong if FINDING.is_valid(VIOLATED | {key: value})] == []

    def test_admits_only_what_stands_under_each_key_of_a_state(self) -> None:
        judged(STATE, WHOLE, batch_id="text", version="number", phase="", whole="truth", batch="")
        judged(STATE, ABSENT, batch_id="text", version="", phase="null", whole="", batch="null")
        for version in (0, 1, LARGEST, LARGEST + 1):
            assert STATE.is_valid(WHOLE | {"version": version}) == (version in {1, LARGEST})
        assert not STATE.is_valid(ABSENT | {"version": 1})
        assert not STATE.is_valid(ABSENT | {"phase": "ended"})
        assert not STATE.is_valid(WHOLE | {"batch": None, "phase": None})

    @pytest.mark.parametrize("events", [LIFE[: length + 1] for length in range(len(LIFE))])
    def test_holds_phase_and_batch_together(self, events: tuple[lc.Event, ...]) -> None:
        batch = lc.fold(events)
        state = {**WHOLE, "batch": wire.unstructure_batch(batch)}
        # To the wire, a deleted batch is ended or archived still.
        shown_as = {lc.fold([event for event in events if event.tag != "deleted"]).phase, batch.phase}
        fitting = [phase for phase in lc.Phase if STATE.is_valid(state | {"phase": phase})]
        ended = batch.processing_status == "ended"
        assert fitting == [phase for phase in lc.Phase if phase in shown_as or (ended and phase == "deleted")]

    def test_refuses_a_batch_that_is_not_in_the_written_form(self) -> None:
        batch = WHOLE["batch"]
        started = WHOLE | {"phase": "in_progress", "batch": BARE}
        STATE.validate(started)
        for key in batch:
            assert not STATE.is_valid(with_at(WHOLE, f"batch.{key}", ...))
            assert not STATE.is_valid(with_at(started, f"batch.{key}", ...))
        assert not STATE.is_valid(WHOLE | {"batch": batch | {"note": "x"}})
        assert not STATE.is_valid(with_at(WHOLE, "batch.request_counts.total", 3))
        assert not STATE.is_valid(with_at(WHOLE, "batch.request_counts.processing", 1))  # B5

    @pytest.mark.parametrize("value", [None, True, 7, "x", {}, [None], [[]], [{}]])
    def test_is_one_object_or_an_array_of_states(self, value: Any) -> None:
        assert not REPORT.is_valid(value)
        REPORT.validate([])


# -------------------------------------------------------------------------------------------------------- differences


class TestWhereSchemaAndWireDiffer:
    """What a schema cannot say, as the comments of snapshot.json and record.json have it."""

    def test_a_whole_number_with_a_fraction_of_zero(self) -> None:
        value = with_at(FULL, "request_counts.processing", 0.0)
        SNAPSHOT.validate(value)
        assert not is_snapshot(value)

    @pytest.mark.parametrize("time", OUT_OF_RANGE)
    def test_a_time_that_leaves_the_calendar_in_utc(self, time: str) -> None:
        value = FULL | {"expires_at": time}
        SNAPSHOT.validate(value)
        assert not is_snapshot(value)

    def test_a_repeated_key(self) -> None:
        """Of which the last counts: that is for the parser of JSON to do, and Python's does."""
        body = json.dumps(FULL).replace('{"id": ', '{"id": 7, "id": ', 1)
        SNAPSHOT.validate(json.loads(body))
        assert wire.decode_batch(body).id == FULL["id"]

    def test_how_deep_and_how_long_a_body_is(self) -> None:
        deep: Any = 0
        for _ in range(64):
            deep = [deep]
        for value in (FULL | {"deep": deep}, FULL | {"long": "x" * wire.MAX_BYTES}):
            SNAPSHOT.validate(value)
            assert not is_snapshot(value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("source", "/v1/messages/batches/msgbatch_02"),
            ("subject", "msgbatch_02"),
            ("sequence", "09223372036854775808"),
            ("crc32", "00000000"),
        ],
    )
    def test_what_holds_between_the_keys_of_a_line(self, key: str, value: str) -> None:
        broken = line(RECORDS[0]) | {key: value}
        RECORD.validate(broken)
        assert not is_record(broken)

    def test_where_the_checksum_stands(self) -> None:
        value = line(RECORDS[0])
        first = {"crc32": value.pop("crc32"), **value}
        RECORD.validate(first)
        assert not is_record(first)
