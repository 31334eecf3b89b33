"""
An event-sourced library for the life of a Message Batch. See README.md; the rules stand in specs/lifecycle.md.

PYTEST_DONT_REWRITE: a word for pytest, which else warns where this is imported before pytest starts.
"""

from lifecycle.batch import MessageBatch, Phase, ProcessingStatus, RequestCounts
from lifecycle.deciding import Archive, Cancel, Command, Create, Delete, End, RecordProgress, decide
from lifecycle.errors import (
    CommandRejected,
    EmptyStream,
    EngineError,
    IllegalEvent,
    IllegalTransition,
    LifecycleError,
    LogError,
    RuleBroken,
    SnapshotConflict,
    StoreError,
    StreamNotFound,
    TrackerError,
    VersionConflict,
    WireError,
)
from lifecycle.events import (
    Archived,
    CancelInitiated,
    CountsUpdated,
    Created,
    Deleted,
    Ended,
    Event,
    Record,
)
from lifecycle.folding import check, evolve, fold
from lifecycle.machine import TRANSITIONS
from lifecycle.observing import observe
from lifecycle.outcomes import Deadlines, Outcome, OutcomeKind, deadlines, outcome, progress
from lifecycle.replaying import Finding, Report, audit, replay
from lifecycle.rules import HOSTED, LAWS, RULES, Profile, Rule, Tier, Violation

__all__ = [
    "Archive",
    "Archived",
    "Cancel",
    "CancelInitiated",
    "Command",
    "CommandRejected",
    "CountsUpdated",
    "Create",
    "Created",
    "Deadlines",
    "Delete",
    "Deleted",
    "EmptyStream",
    "End",
    "Ended",
    "EngineError",
    "Event",
    "Finding",
    "HOSTED",
    "IllegalEvent",
    "IllegalTransition",
    "LAWS",
    "LifecycleError",
    "LogError",
    "MessageBatch",
    "Outcome",
    "OutcomeKind",
    "Phase",
    "ProcessingStatus",
    "Profile",
    "RULES",
    "Record",
    "RecordProgress",
    "Report",
    "RequestCounts",
    "Rule",
    "RuleBroken",
    "SnapshotConflict",
    "StoreError",
    "StreamNotFound",
    "TRANSITIONS",
    "Tier",
    "TrackerError",
    "VersionConflict",
    "Violation",
    "WireError",
    "audit",
    "check",
    "deadlines",
    "decide",
    "evolve",
    "fold",
    "observe",
    "outcome",
    "progress",
    "replay",
]
