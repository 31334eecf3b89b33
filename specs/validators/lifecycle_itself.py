"""
This library as a validator: ``lifecycle conform vectors -- python specs/validators/lifecycle_itself.py``.

The questions and answers are those of ``specs/vectors.md``.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

import lifecycle as lc
from lifecycle import wire

Json = dict[str, Any]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROFILES = {"laws": lc.LAWS, "hosted": lc.HOSTED}
EVENTS: Mapping[str, Callable[..., lc.Event]] = {
    "created": lc.Created,
    "counts_updated": lc.CountsUpdated,
    "cancel_initiated": lc.CancelInitiated,
    "ended": lc.Ended,
    "archived": lc.Archived,
    "deleted": lc.Deleted,
}


def read(name: str, value: Any) -> Any:
    """A field of a batch or of an event; the wire would refuse what B1 is about, so it is not asked."""
    if name.endswith("_at") and value is not None:
        return datetime.fromisoformat(value)
    return read_counts(value) if name == "request_counts" else value


def read_counts(value: Json) -> lc.RequestCounts:
    """Five counts, and what does not belong there."""
    known = ("processing", "succeeded", "errored", "canceled", "expired")
    extra = {key: value[key] for key in value if key not in known}
    return lc.RequestCounts(*(value[key] for key in known), extra=extra)


def read_batch(body: Json) -> lc.MessageBatch:
    """A batch from its keys."""
    fields = {name: read(name, value) for name, value in body.items() if name != "type"}
    known = {field.name for field in attrs.fields(lc.MessageBatch)}
    extra = {name: fields.pop(name) for name in list(fields) if name not in known}
    fields["processing_status"] = lc.ProcessingStatus(fields["processing_status"])
    return lc.MessageBatch(**fields, extra=extra)


def read_event(body: Json) -> lc.Event:
    """An event from its tag and its fields."""
    fields = {name: read(name, value) for name, value in body.items() if name != "type"}
    return EVENTS[body["type"]](**fields)


def written(value: Any) -> Any:
    """A value of ours as vectors have it."""
    match value:
        case datetime():
            return value.isoformat(timespec="microseconds")
        case lc.RequestCounts():
            return {
                name: getattr(value, name) for name in ("processing", "succeeded", "errored", "canceled", "expired")
            }
        case lc.MessageBatch():
            body = wire.unstructure_batch(value)
            return body if value.deleted_at is None else {**body, "deleted_at": written(value.deleted_at)}
        case lc.Created() | lc.CountsUpdated() | lc.CancelInitiated() | lc.Ended() | lc.Archived() | lc.Deleted():
            fields = attrs.asdict(value, recurse=False)
            return {"type": value.tag, **{name: written(field) for name, field in fields.items()}}
        case _:
            return value


def ids(found: Iterable[lc.Violation]) -> list[str]:
    """The ids of the broken rules, each once, in the order of the rulebook."""
    broken = {violation.rule.id for violation in found}
    return [rule for rule in (*lc.RULES, "wire") if rule in broken]


def snapshot(profile: lc.Profile, given: Json) -> Json:
    """One batch on its own."""
    return {"rules": ids(lc.check(read_batch(given["batch"]), profile=profile))}


def step(profile: lc.Profile, given: Json) -> Json:
    """Two snapshots."""
    return {"rules": ids(lc.check(read_batch(given["after"]), before=read_batch(given["before"]), profile=profile))}


def event(profile: lc.Profile, given: Json) -> Json:
    """A batch and the next event."""
    before = None if given["before"] is None else read_batch(given["before"])
    try:
        after = lc.evolve(before, read_event(given["event"]), profile=profile)
    except lc.IllegalTransition:
        return {"rules": ["T1"]}
    except lc.RuleBroken as error:
        found = ids(error.violations)
        return {"rules": found}
    old = () if before is None else ids(lc.check(before, profile=profile))
    # The event happened, so what is new now is advice.
    return {
        "rules": [rule for rule in ids(lc.check(after, profile=profile)) if rule not in old],
        "after": written(after),
    }


def stream(profile: lc.Profile, given: Json) -> Json:
    """Records, in the order of the log."""
    records = [
        lc.Record(it["batch_id"], it["version"], read_event(it["event"]), it["event_id"], NOW, place=("log", number))
        for number, it in enumerate(given["records"], 1)
    ]
    found = list(lc.audit(records, profile=profile))
    findings = [
        {"record": number, "rules": ids(finding for finding in found if finding.line == number)}
        for number in sorted({finding.line for finding in found if finding.line is not None})
    ]
    return {"rules": ids(found), "findings": findings}


def polls(profile: lc.Profile, given: Json) -> Json:
    """Snapshots of one batch."""
    known: lc.MessageBatch | None = None
    broken: list[lc.Violation] = []
    said: list[Json] = []
    for body in given["polls"]:
        try:
            new = lc.observe(known, read_batch(body), profile=profile)
        except lc.SnapshotConflict as error:
            broken += error.violations
            said.append({"conflict": ids(error.violations)})
            continue
        known = lc.fold(new, start=known, profile=profile) if new else known
        said.append({"events": [written(one) for one in new]})
    return {"rules": ids(broken), "polls": said}


def content(given: Json) -> bytes:
    """The bytes of a body or of a line."""
    return base64.b64decode(given["base64"]) if "base64" in given else given["text"].encode("utf-8", "surrogatepass")


def body(_profile: lc.Profile, given: Json) -> Json:
    """A body of the wire."""
    try:
        return {"rules": [], "encoded": wire.encode_batch(wire.decode_batch(content(given))).decode()}
    except lc.WireError:
        return {"rules": ["wire"]}


def line(_profile: lc.Profile, given: Json) -> Json:
    """A line of a log."""
    try:
        return {"rules": [], "encoded": wire.encode_record(wire.decode_record(content(given))).decode()}
    except lc.WireError:
        return {"rules": ["wire"]}


KINDS: Mapping[str, Callable[[lc.Profile, Json], Json]] = {
    "snapshot": snapshot,
    "step": step,
    "event": event,
    "stream": stream,
    "polls": polls,
    "wire": body,
    "line": line,
}


def answer(question: Json) -> Json:
    """What this library says to a question."""
    said = KINDS[question["kind"]](PROFILES[question["profile"]], question["input"])
    rules = said.pop("rules")
    binding = [rule for rule in rules if rule == "wire" or lc.RULES[rule].tier is not lc.Tier.ADVICE]
    verdict = "invalid" if binding else "acceptable" if rules else "valid"
    return {"id": question["id"], "verdict": verdict, "rules": rules, **said}


def answers(lines: Iterable[str]) -> Iterator[str]:
    """One answer a question."""
    for text in lines:
        yield json.dumps(answer(json.loads(text)))


if __name__ == "__main__":
    for text in answers(sys.stdin):
        print(text, flush=True)
