"""
The rulebook as data: each rule once, with its id, tier, sentence, source and predicate.

`fold`, `check`, `replay`, the command line and the page in ``specs/`` read these objects; no rule has a second wording.

A predicate is a Python expression that is true when the rule is *broken*.  It is text, so that the rules of one
profile, phase and event can be fused into one function (`lifecycle.fusing`).  Its names:

- the fields of a batch after the event: ``id, status, created_at, expires_at, ended_at, archived_at,
  cancel_initiated_at, results_url, deleted_at, phase``; the counts ``processing, succeeded, errored, canceled,
  expired`` and their ``total``; ``extra_keys``, the unknown keys of a snapshot;
- the same with ``old_`` in front: the batch before;
- the constants of `CONSTANTS`.

The L rules judge a record against its stream and have no expression: `lifecycle.replaying` judges each in one place.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import attrs

from lifecycle.batch import MessageBatch, ProcessingStatus
from lifecycle.machine import REACHABLE

SDK = "SDK 2.12.0, anthropic.types.messages.message_batch"
GUIDE = "batch-processing guide, platform.claude.com/docs"
RECORDED = "74 snapshots of 55 batches recorded from the live API, 2024-10 to 2026-08"


class Tier(StrEnum):
    """How much a rule binds."""

    LAW = "law"
    """Holds for anything that calls itself a Message Batch. Always enforced."""
    CONTRACT = "contract"
    """Documented by the hosted API, or held in every recording. Enforced by the profile HOSTED."""
    ADVICE = "advice"
    """Suspicious, not wrong. Reported by the profile HOSTED, never raised."""


class Scope(StrEnum):
    """What a rule looks at."""

    BATCH = "batch"
    """One batch on its own."""
    STEP = "step"
    """One state of a batch and its next."""
    LOG = "log"
    """A record and its stream."""


@attrs.frozen(eq=False)
class Rule:
    """One rule of the rulebook. Rules are compared by identity; they pickle by id."""

    id: str
    """Such as ``B5``."""
    tier: Tier
    """How much it binds."""
    scope: Scope
    """What it looks at."""
    sentence: str
    """What must hold."""
    source: str
    """Who says so."""
    broken: str = attrs.field(default="", repr=False)
    """The predicate, true when the rule is broken; empty for the L rules."""
    seen: str = attrs.field(default="", repr=False)
    """What was seen, for the message of a violation; names of the predicate stand in braces."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rule, (self.id,)


@attrs.frozen
class Violation:
    """A rule, and how it was broken."""

    rule: Rule
    """The broken rule."""
    message: str
    """What was seen, for people."""

    def __str__(self) -> str:
        return f"{self.rule.id}: {self.message}"


CONSTANTS: Mapping[str, Any] = MappingProxyType(
    {
        "IN_PROGRESS": ProcessingStatus.IN_PROGRESS,
        "CANCELING": ProcessingStatus.CANCELING,
        "ENDED": ProcessingStatus.ENDED,
        "LIFETIME": timedelta(hours=24),
        "RESULTS_LIFETIME": timedelta(days=29),
        "LARGEST": 100_000,
        "REACHABLE": REACHABLE,
    }
)
"""The constants that predicates use. `LARGEST` is the guide's limit of requests in one batch."""

COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
"""The names of the five counts, in the order of the wire."""


def _rulebook(*rules: Rule) -> Mapping[str, Rule]:
    return MappingProxyType({rule.id: rule for rule in rules})


_COUNTS_MOVED = (
    "was processing {old_processing}, succeeded {old_succeeded}, errored {old_errored}, canceled {old_canceled}, "
    "expired {old_expired}; is processing {processing}, succeeded {succeeded}, errored {errored}, canceled {canceled}, "
    "expired {expired}"
)

LAW, CONTRACT, ADVICE = Tier.LAW, Tier.CONTRACT, Tier.ADVICE
BATCH, STEP, LOG = Scope.BATCH, Scope.STEP, Scope.LOG

RULES: Mapping[str, Rule] = _rulebook(
    Rule(
        "B1", LAW, BATCH,
        "Every count is 0 or more.",
        f"{SDK}_request_counts: numbers of requests",
        broken="processing < 0 or succeeded < 0 or errored < 0 or canceled < 0 or expired < 0",
        seen="a count is negative: processing {processing}, succeeded {succeeded}, errored {errored}, "
        "canceled {canceled}, expired {expired}",
    ),
    Rule(
        "B2", CONTRACT, BATCH,
        "The total of the counts is 1 to 100,000.",
        f"{GUIDE}: limits; an empty list is refused with 400",
        broken="total < 1 or total > LARGEST",
        seen="the counts add up to {total}",
    ),
    Rule(
        "B3", CONTRACT, BATCH,
        "`expires_at` is exactly 24 hours after `created_at`.",
        f'{SDK}: "24 hours after creation"; 74 of 74 recorded snapshots, to the microsecond',
        broken="expires_at - created_at != LIFETIME",
        seen="created_at {created_at}, expires_at {expires_at}",
    ),
    Rule(
        "B4", LAW, BATCH,
        "The status is `ended` if and only if `ended_at` is set.",
        f'{SDK}: "Specified only once processing ends"',
        broken="status == ENDED and ended_at is None or status != ENDED and ended_at is not None",
        seen="the status is {status}, ended_at is {ended_at}",
    ),
    Rule(
        "B5", LAW, BATCH,
        "`ended` means that `processing` is 0.",
        f'{SDK}: ended "when every request … has either succeeded, errored, canceled, or expired"',
        broken="status == ENDED and processing != 0",
        seen="the status is ended, processing is {processing}",
    ),
    Rule(
        "B6", LAW, BATCH,
        "`canceling` means that `cancel_initiated_at` is set; `in_progress` means that it is null.",
        f'{SDK}: "Specified only if cancellation was initiated"',
        broken="status == CANCELING and cancel_initiated_at is None"
        " or status == IN_PROGRESS and cancel_initiated_at is not None",
        seen="the status is {status}, cancel_initiated_at is {cancel_initiated_at}",
    ),
    Rule(
        "B7", CONTRACT, BATCH,
        "Before `ended`, succeeded, errored, canceled and expired are all 0.",
        f'{SDK}: "This is zero until processing of the entire Message Batch has ended"; 128 of 128 observations',
        broken="status != ENDED and (succeeded != 0 or errored != 0 or canceled != 0 or expired != 0)",
        seen="the status is {status}, succeeded {succeeded}, errored {errored}, canceled {canceled}, expired {expired}",
    ),
    Rule(
        "B8", CONTRACT, BATCH,
        "Before `ended`, `results_url` is null.",
        f'{SDK}: "Specified only once processing ends"',
        broken="status != ENDED and results_url is not None",
        seen="the status is {status}, results_url is {results_url!r}",
    ),
    Rule(
        "B9", CONTRACT, BATCH,
        "`canceled` over 0 means that `cancel_initiated_at` is set.",
        f'{GUIDE}: "User canceled the batch before this request could be sent"',
        broken="canceled > 0 and cancel_initiated_at is None",
        seen="canceled is {canceled}, cancel_initiated_at is None",
    ),
    Rule(
        "B10", LAW, BATCH,
        "`archived_at` and `deleted_at` are set only on an ended batch.",
        f'{SDK}: archived, "its results became unavailable"; guide: a batch "can only be deleted once" it has ended',
        broken="status != ENDED and (archived_at is not None or deleted_at is not None)",
        seen="the status is {status}, archived_at is {archived_at}, deleted_at is {deleted_at}",
    ),
    Rule(
        "B11", LAW, BATCH,
        "`created_at` <= `cancel_initiated_at` <= `ended_at` <= `archived_at` <= `deleted_at`, where set.",
        "the meaning of the fields; no recording breaks it",
        broken="cancel_initiated_at is not None and cancel_initiated_at < created_at"
        " or ended_at is not None and (ended_at < created_at"
        " or cancel_initiated_at is not None and ended_at < cancel_initiated_at)"
        " or archived_at is not None and (archived_at < created_at"
        " or cancel_initiated_at is not None and archived_at < cancel_initiated_at"
        " or ended_at is not None and archived_at < ended_at)"
        " or deleted_at is not None and (deleted_at < created_at"
        " or cancel_initiated_at is not None and deleted_at < cancel_initiated_at"
        " or ended_at is not None and deleted_at < ended_at"
        " or archived_at is not None and deleted_at < archived_at)",
        seen="out of order: created_at {created_at}, cancel_initiated_at {cancel_initiated_at}, "
        "ended_at {ended_at}, archived_at {archived_at}, deleted_at {deleted_at}",
    ),
    Rule(
        "B12", ADVICE, BATCH,
        "`expired` over 0 means that `ended_at` is not before `expires_at`.",
        f'{GUIDE}: "reached its 24 hour expiration"; inferred',
        broken="expired > 0 and ended_at is not None and ended_at < expires_at",
        seen="expired is {expired}, ended_at {ended_at} is before expires_at {expires_at}",
    ),
    Rule(
        "B13", ADVICE, BATCH,
        "No batch ends after `expires_at` with `expired` 0.",
        "inferred",
        broken="ended_at is not None and ended_at > expires_at and expired == 0",
        seen="ended_at {ended_at} is after expires_at {expires_at}, expired is 0",
    ),
    Rule(
        "B14", ADVICE, BATCH,
        "An ended batch that is not archived has a `results_url`.",
        "40 of 40 recorded snapshots of ended batches",
        broken="status == ENDED and archived_at is None and results_url is None",
        seen="the status is ended, archived_at and results_url are None",
    ),
    Rule(
        "B15", ADVICE, BATCH,
        "`archived_at` is not before 29 days after `created_at`.",
        f"{GUIDE}: results are available for 29 days after creation; no documented precision",
        broken="archived_at is not None and archived_at - created_at < RESULTS_LIFETIME",
        seen="created_at {created_at}, archived_at {archived_at}",
    ),
    Rule(
        "B16", ADVICE, BATCH,
        "A snapshot has no key beyond the documented ones; nor has its `request_counts`.",
        "fixtures in the wild invent `total` and `archive_at`",
        broken="extra_keys != ()",
        seen="unknown keys: {extra_keys}",
    ),
    Rule(
        "T1", LAW, STEP,
        "The status changes along the arrows of the chart only.",
        "batch-processing guide and API reference",
        broken="phase not in REACHABLE[old_phase]",
        seen="no arrows lead from {old_phase} to {phase}",
    ),
    Rule(
        "T2", LAW, STEP,
        "`id`, `created_at` and `expires_at` never change.",
        "19 of 19 recorded batches",
        broken="id != old_id or created_at != old_created_at or expires_at != old_expires_at",
        seen="was id {old_id!r}, created_at {old_created_at}, expires_at {old_expires_at}; "
        "is id {id!r}, created_at {created_at}, expires_at {expires_at}",
    ),
    Rule(
        "T3", LAW, STEP,
        "The sum of the counts never changes: it is the batch size that `Created` states.",
        f'{SDK}_request_counts: "The sum of all values always matches the total number of requests in the batch"',
        broken="total != old_total",
        seen="the counts add up to {total}, the batch size is {old_total}",
    ),
    Rule(
        "T4", LAW, STEP,
        "`cancel_initiated_at`, `ended_at`, `archived_at` and `deleted_at` are set once and never change or vanish.",
        "19 of 19 recorded batches",
        broken="old_cancel_initiated_at is not None and cancel_initiated_at != old_cancel_initiated_at"
        " or old_ended_at is not None and ended_at != old_ended_at"
        " or old_archived_at is not None and archived_at != old_archived_at"
        " or old_deleted_at is not None and deleted_at != old_deleted_at",
        seen="was cancel_initiated_at {old_cancel_initiated_at}, ended_at {old_ended_at}, archived_at "
        "{old_archived_at}, deleted_at {old_deleted_at}; is cancel_initiated_at {cancel_initiated_at}, "
        "ended_at {ended_at}, archived_at {archived_at}, deleted_at {deleted_at}",
    ),
    Rule(
        "T5", LAW, STEP,
        "Before the end, `processing` never grows and the four outcome counts never shrink.",
        f'{SDK}_request_counts: requests "start as `processing` and move to one of the other statuses"',
        broken="old_status != ENDED and (processing > old_processing or succeeded < old_succeeded"
        " or errored < old_errored or canceled < old_canceled or expired < old_expired)",
        seen=_COUNTS_MOVED,
    ),
    Rule(
        "T6", LAW, STEP,
        "Once ended, the counts never change.",
        'follows from "ended"',
        broken="old_status == ENDED and (processing != old_processing or succeeded != old_succeeded"
        " or errored != old_errored or canceled != old_canceled or expired != old_expired)",
        seen=_COUNTS_MOVED,
    ),
    Rule(
        "T7", CONTRACT, STEP,
        "`results_url`, once set, stays the same until the batch is archived.",
        "12 of 12 recorded batches",
        broken="old_results_url is not None and old_archived_at is None and archived_at is None"
        " and results_url != old_results_url",
        seen="was {old_results_url!r}, is {results_url!r}",
    ),
    Rule("L1", LAW, LOG, "A stream starts with `Created`, and has one only.", "the meaning of the events"),
    Rule("L2", LAW, LOG, "Every event of a stream names that stream's batch.", "the meaning of a stream"),
    Rule(
        "L3", LAW, LOG,
        "Versions in a stream are 1, 2, 3 …: no gap, no repeat, no step back.",
        "the meaning of a version",
    ),
    Rule(
        "L4", LAW, LOG,
        "An event id occurs once in a stream; the same id with the same content again is a harmless repeat, "
        "with other content an error.",
        "the meaning of an event id; CloudEvents 1.0, `source` + `id`",
    ),
)  # fmt: skip
"""Every rule by id, in the order of the rulebook."""

WIRE = Rule("wire", LAW, LOG, "A line of a log can be read as a record.", "specs/log-format.md")
"""Not of the rulebook: the rule that a line breaks which is no record."""


def _rule(rule_id: str) -> Rule:
    return WIRE if rule_id == WIRE.id else RULES[rule_id]


@attrs.frozen(eq=False)
class Profile:
    """Which rules count. There are two; they are compared by identity."""

    name: str
    """`laws` or `hosted`."""
    tiers: frozenset[Tier]
    """The tiers that count. Advice among them is reported, never raised."""
    enforced: frozenset[Tier] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: self.tiers - {Tier.ADVICE}, takes_self=True)
    )
    """The tiers that `evolve` and `fold` refuse to break."""

    def __reduce__(self) -> str:
        return self.name.upper()


LAWS = Profile("laws", frozenset({Tier.LAW}))
"""The laws alone: what holds for every gateway that imitates the API. The default everywhere."""

HOSTED = Profile("hosted", frozenset(Tier))
"""Laws, contract and advice: what the hosted API promises, and what is suspicious."""


def rules_of(tiers: Iterable[Tier], scope: Scope) -> tuple[Rule, ...]:
    """The rules of *scope* in any of *tiers*, in the order of the rulebook."""
    wanted = frozenset(tiers)
    return tuple(rule for rule in RULES.values() if rule.scope is scope and rule.tier in wanted)


def names_of(batch: MessageBatch, prefix: str = "") -> dict[str, Any]:
    """The values that predicates know a batch by, each name with *prefix* in front."""
    counts = batch.request_counts
    names = {
        "id": batch.id,
        "status": batch.processing_status,
        "phase": batch.phase,
        "total": counts.total,
        "extra_keys": tuple(batch.extra) + tuple(f"request_counts.{key}" for key in counts.extra),
    }
    names |= {name: getattr(counts, name) for name in COUNTS}
    names |= {name: getattr(batch, name) for name in FIELDS}
    return {prefix + name: value for name, value in names.items()}


FIELDS = (
    "created_at",
    "expires_at",
    "ended_at",
    "archived_at",
    "cancel_initiated_at",
    "results_url",
    "deleted_at",
)
"""The fields of a batch that predicates know by the batch's own names."""
