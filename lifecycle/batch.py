"""
What a Message Batch is: a status, five counts, its times.

A value says what somebody showed; whether that can be true is for the rules.  So construction checks types only, and
a `MessageBatch` that breaks a rule can be built, looked at and reported.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeVar

import attrs

from lifecycle.errors import quoted

T = TypeVar("T")


class ProcessingStatus(StrEnum):
    """The three words of `processing_status` on the wire. No batch is `canceled`, `failed` or `expired`."""

    IN_PROGRESS = "in_progress"
    CANCELING = "canceling"
    ENDED = "ended"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where times are counted, it is from here on."""


class Phase(StrEnum):
    """Where in its life a batch is: the three statuses, then two that the wire does not name."""

    IN_PROGRESS = "in_progress"
    CANCELING = "canceling"
    ENDED = "ended"
    ARCHIVED = "archived"
    DELETED = "deleted"


def _text(value: Any, field: "attrs.Attribute[Any]") -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{field.name}: expected a string, got {quoted(value)}")


def _count(value: Any, field: "attrs.Attribute[Any]") -> int:
    # Exactly an int: a bool is no count, nor is 2.0.
    if type(value) is int:
        return value
    raise TypeError(f"{field.name}: expected a whole number, got {quoted(value)}")


def _time(value: Any, field: "attrs.Attribute[Any]") -> datetime:
    if type(value) is datetime and value.tzinfo is UTC:
        return value
    if not isinstance(value, datetime):
        raise TypeError(f"{field.name}: expected an aware datetime, got {quoted(value)}")
    offset = value.utcoffset()
    if offset is None:
        raise ValueError(
            f"{field.name}: expected an aware datetime, such as datetime.now(UTC), got the naive {value!r}"
        )
    try:
        utc = value.replace(tzinfo=None) - offset
    except OverflowError:
        raise ValueError(f"{field.name}: {value!r} is out of range in UTC") from None
    # Built anew, so that no subclass (a data frame's, a test clock's) lives on in a frozen value.
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)


def _maybe(check: Callable[[Any, Any], object]) -> Callable[[Any, Any], object]:
    return lambda value, field: None if value is None else check(value, field)


def _instance(value: Any, field: "attrs.Attribute[Any]") -> object:
    kind = field.type
    if isinstance(value, kind):  # type: ignore[arg-type] # a class or a union of classes, by construction
        return value
    name = getattr(kind, "__name__", str(kind))
    raise TypeError(f"{field.name}: expected {name}, got {quoted(value)}")


_CHECKS: dict[Any, Callable[[Any, Any], object]] = {
    str: _text,
    str | None: _maybe(_text),
    int: _count,
    datetime: _time,
    datetime | None: _maybe(_time),
}


def checked(_: type, fields: "list[attrs.Attribute[Any]]") -> "list[attrs.Attribute[Any]]":
    """
    The `field_transformer` of every value: give each field the check of its annotated type.

    A value of the wrong type is a `TypeError`, a naive time a `ValueError`; both name the field.
    """
    return [
        field
        if field.converter is not None
        else field.evolve(converter=attrs.Converter(_CHECKS.get(field.type, _instance), takes_field=True))
        for field in fields
    ]


def unchecked(cls: type[T]) -> Callable[..., T]:
    """
    A constructor of *cls* for values that are known to be right: positional, in the order of the fields, no checks.

    A quarter of the time of a frozen ``__init__``.  Written as source and compiled, as attrs does it.
    """
    names = [field.name for field in attrs.fields(cls)]  # type: ignore[arg-type] # every caller passes an attrs class
    lines, scope = filling("found", cls, dict(zip(names, names, strict=True)))
    source = "\n    ".join([f"def build({', '.join(names)}):", *lines, "return found"])
    exec(source, scope)  # noqa: S102 -- the source is made of field names of our own classes
    build: Callable[..., T] = scope["build"]
    return build


def filling(name: str, cls: type, values: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
    """
    What `unchecked` does, for other compiled functions: source that makes *name* a *cls*, and the scope it needs.

    It fills a mutable twin, a subclass with the same slots, and then says what class it is.

    Args:
        name: A variable.
        cls: The class.
        values: An expression for each field.
    """
    # Both plain setters in the class, or CPython looks them up anew at each assignment; and a call beats `__new__`.
    plain = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    twin = type(cls.__name__, (cls,), {"__slots__": (), **plain})
    lines = [f"{name} = {cls.__name__}_twin()"]
    lines += [f"{name}.{field} = {value}" for field, value in values.items()]
    return [*lines, f"{name}.__class__ = {cls.__name__}"], {f"{cls.__name__}_twin": twin, cls.__name__: cls}


def _status(value: str) -> ProcessingStatus:
    if not isinstance(value, str):
        raise TypeError(f"processing_status: expected a string, got {quoted(value)}")
    try:
        return ProcessingStatus(value)
    except ValueError:
        raise ValueError(f"processing_status: expected in_progress, canceling or ended, got {quoted(value)}") from None


def _extra(value: Mapping[str, Any]) -> Mapping[str, Any]:
    given: object = value
    if isinstance(given, Mapping) and all(type(key) is str for key in given):
        return dict(given)
    raise TypeError(f"extra: expected a mapping with string keys, got {quoted(value)}")


@attrs.frozen(field_transformer=checked)
class RequestCounts:
    """How many requests of a batch are where: each starts in `processing` and moves to one of four outcomes."""

    processing: int
    """Requests that are not finished."""
    succeeded: int = 0
    """Requests answered with a message."""
    errored: int = 0
    """Requests that met an error."""
    canceled: int = 0
    """Requests canceled before they could be sent."""
    expired: int = 0
    """Requests that the expiry of the batch overtook."""
    extra: Mapping[str, Any] = attrs.field(factory=dict, converter=_extra, kw_only=True, eq=False, repr=False)
    """Unknown keys of the wire, kept and written back. No part of equality; not to be changed."""

    @property
    def total(self) -> int:
        """The sum of the five. It is the size of the batch (rule T3)."""
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


@attrs.frozen(field_transformer=checked)
class MessageBatch:
    """
    A batch as its events made it, or as some server showed it (then it is called a snapshot).

    Raises:
        TypeError: A field has a value of the wrong type; the message names the field.
        ValueError: A time is naive or leaves the range of datetime in UTC, or the status is none of the three.
    """

    id: str
    """Opaque. "The format and length of IDs may change over time"."""
    processing_status: ProcessingStatus = attrs.field(converter=_status)
    """The word on the wire; `phase` says more."""
    request_counts: RequestCounts
    """Where the requests are."""
    created_at: datetime
    """UTC, like every time here."""
    expires_at: datetime
    """When requests that are not finished will expire."""
    ended_at: datetime | None = None
    """When processing ended, for every request."""
    archived_at: datetime | None = None
    """When the results became unavailable."""
    cancel_initiated_at: datetime | None = None
    """When cancellation was asked for, if it was."""
    results_url: str | None = None
    """Where the results are, once ended."""
    deleted_at: datetime | None = None
    """When the batch was deleted. Ours: the wire has no such key."""
    extra: Mapping[str, Any] = attrs.field(factory=dict, converter=_extra, kw_only=True, eq=False, repr=False)
    """Unknown keys of the wire, kept and written back. No part of equality; not to be changed."""

    type: ClassVar[Literal["message_batch"]] = "message_batch"
    """What the wire calls this kind of object."""

    @property
    def phase(self) -> Phase:
        """Deleted if `deleted_at` is set; else archived if ended and `archived_at` is set; else the status."""
        if self.deleted_at is not None:
            return Phase.DELETED
        if self.archived_at is not None and self.processing_status is ProcessingStatus.ENDED:
            return Phase.ARCHIVED
        return Phase(self.processing_status)

    @property
    def size(self) -> int:
        """How many requests the batch has: the sum of its counts."""
        return self.request_counts.total
