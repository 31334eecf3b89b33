"""
The negative controls: for each rule of a model a version of it with one bug, which TLC must find.

A bug is a change of the model's text.  The rules stay as they are.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

import attrs


@attrs.frozen
class Store:
    """A world for `Append`."""

    writers: tuple[int, ...]
    """By their place in the model's `Calls`."""
    faults: int = 0
    careless: bool = False
    """Whether a writer may expect any version."""


@attrs.frozen
class File:
    """A world for `LogFile`."""

    writers: tuple[int, ...]
    """By their place in the model's `Calls`."""
    faults: int = 0
    pieces: tuple[int, ...] = (0, 1, 2, 3)
    """How much of a line the file has at the start."""


World_co = TypeVar("World_co", covariant=True)


@attrs.frozen
class Bug(Generic[World_co]):
    """A model with a bug in it."""

    world: World_co
    """Where TLC is to look for it; for a batch, the tier that the server otherwise keeps to, with those before it."""
    story: str
    """What goes wrong there."""
    patches: tuple[tuple[str, str], ...]
    """Each piece of the model's text, which stands there once, and what replaces it."""

    def of(self, model: str) -> str:
        """
        The *model* with this bug.

        Raises:
            ValueError: The text to replace does not stand in the model exactly once.
        """
        for old, new in self.patches:
            if model.count(old) != 1:
                raise ValueError(f"expected once in the model, found {model.count(old)} times: {old}")
            model = model.replace(old, new)
        return model


BUGS: Mapping[str, Bug[str]] = {
    "B1": Bug(
        "law",
        "more requests finish than there are",
        (("Sum(f) <= n}", "Sum(f) <= n + 1}"),),
    ),
    "B2": Bug(
        "contract",
        "an empty list is accepted, and one that is too long",
        (("Contract => 1 <= size /\\ size <= Largest", "TRUE"),),
    ),
    "B3": Bug("contract", "any expiry is accepted", (("Contract => expiry = Start + Lifetime", "TRUE"),)),
    "B4": Bug("law", "the time of the end is forgotten", (("/\\ ended_at' = t", "/\\ ended_at' = Null"),)),
    "B5": Bug(
        "law",
        "a batch ends while requests are in process",
        (('/\\ Sum(f) = counts["processing"]', "/\\ TRUE"),),
    ),
    "B6": Bug(
        "law",
        "the time of the cancellation is forgotten",
        (("/\\ cancel_initiated_at' = t", "/\\ cancel_initiated_at' = Null"),),
    ),
    "B7": Bug(
        "contract",
        "counts are shown live",
        (("Contract => Sum(f) = 0", 'Contract => f["canceled"] = 0'),),  # but those of B9
    ),
    "B8": Bug(
        "contract",
        "the URL is there from the start",
        (
            (
                "/\\ UNCHANGED <<cancel_initiated_at, ended_at, archived_at, deleted_at, results_url>>",
                '/\\ results_url\' = "url" /\\ UNCHANGED <<cancel_initiated_at, ended_at, archived_at, deleted_at>>',
            ),
            ('Urls == {Null, "url"}', 'Urls == {"url"}'),  # and stays there, as T7 wants it
        ),
    ),
    "B9": Bug(
        "contract",
        "requests are canceled that nobody asked to cancel",
        (('Contract /\\ f["canceled"] > 0 => cancel_initiated_at # Null', "TRUE"),),
    ),
    "B10": Bug(
        "law",
        "a batch is archived in cancellation",
        (
            (r'/\ Phase = "ended"', r'/\ Phase = "ended" \/ (status = "canceling" /\ archived_at = Null)'),
            (  # and then never ends
                r'Live == Phase \in {"in_progress", "canceling"}',
                r'Live == Phase \in {"in_progress", "canceling"} /\ archived_at = Null',
            ),
        ),
    ),
    "B11": Bug(
        "law",
        "a cancellation is dated before the creation",
        (("/\\ Latest <= t\n        /\\ cancel_initiated_at' = t", "/\\ cancel_initiated_at' = t"),),
    ),
    "B12": Bug(
        "advice",
        "requests expire before their time",
        (('Advice /\\ f["expired"] > 0 => expires_at <= t', "TRUE"),),
    ),
    "B13": Bug(
        "advice",
        "a batch outlives its expiry and nothing expires",
        (('Advice /\\ expires_at < t => f["expired"] > 0', "TRUE"),),
    ),
    "B14": Bug("advice", "a batch ends without results", (("Advice => url # Null", "TRUE"),)),
    "B15": Bug("advice", "results go before their time", (("Advice => Start + ResultsLifetime <= t", "TRUE"),)),
    "T1": Bug(
        "law",
        "a batch is created in cancellation",
        (
            ('/\\ status\' = "in_progress"', "/\\ status' = \"canceling\" /\\ cancel_initiated_at' = Start"),
            (
                "/\\ UNCHANGED <<cancel_initiated_at, ended_at, archived_at, deleted_at, results_url>>",
                "/\\ UNCHANGED <<ended_at, archived_at, deleted_at, results_url>>",
            ),
        ),
    ),
    "T2": Bug(
        "law",
        "archiving puts the expiry off",
        (
            (
                r"/\ UNCHANGED <<status, counts, created_at, expires_at, cancel_initiated_at, ended_at, deleted_at>>",
                r"""/\ expires_at' = expires_at + 1
    /\ UNCHANGED <<status, counts, created_at, cancel_initiated_at, ended_at, deleted_at>>""",
            ),
        ),
    ),
    "T3": Bug("law", "requests that finish are lost", (("ELSE counts[field] + f[field]]", "ELSE counts[field]]"),)),
    "T4": Bug(
        "law",
        "a later look gives the cancellation a later date",
        (
            (
                r"/\ UNCHANGED <<status, times, results_url>>",
                r"""/\ cancel_initiated_at' = IF cancel_initiated_at = Null THEN Null ELSE Last
    /\ UNCHANGED <<status, created_at, expires_at, ended_at, archived_at, deleted_at, results_url>>""",
            ),
        ),
    ),
    "T5": Bug(
        "law",
        "finished requests go back into process",
        (
            (
                r"""/\ counts' = Moved(f)
    /\ UNCHANGED <<status, times, results_url>>""",
                r"""/\ counts' = [field \in Fields |->
            IF field = "processing" THEN Total(counts) - Sum(f) ELSE f[field]]
    /\ UNCHANGED <<status, times, results_url>>""",
            ),
        ),
    ),
    "T6": Bug(
        "law",
        "archiving exchanges successes and errors",
        (
            (
                r"/\ UNCHANGED <<status, counts, created_at, expires_at, cancel_initiated_at, ended_at, deleted_at>>",
                r"""/\ counts' = [counts EXCEPT !["succeeded"] = counts["errored"], !["errored"] = counts["succeeded"]]
    /\ UNCHANGED <<status, created_at, expires_at, cancel_initiated_at, ended_at, deleted_at>>""",
            ),
        ),
    ),
    "T7": Bug(
        "contract",
        "deleting takes the URL away",
        (
            (
                "cancel_initiated_at, ended_at, archived_at, results_url>>",
                "cancel_initiated_at, ended_at, archived_at>> /\\ results_url' = Null",
            ),
        ),
    ),
    "Ends": Bug("law", "the server may rest for ever", ((" /\\ WF_vars(Ended)", ""),)),
}
"""By the rule that each bug breaks, and breaks alone."""

SEVERAL: Mapping[tuple[str, ...], Bug[str]] = {
    ("T3", "B5", "B4"): Bug("law", "three bugs at once", tuple(BUGS[rule].patches[0] for rule in ("T3", "B5", "B4"))),
}
"""By the rules that several bugs break together, all in one step: TLC must tell of the others beside the last."""

STORE_BUGS: tuple[tuple[tuple[str, ...], Bug[Store]], ...] = (
    (
        ("Kept",),
        Bug(
            Store((2,), 1),
            "a commit is acknowledged before it is on the disk",
            (
                (
                    r"""    /\ rows' = rows \o staged[w]
    /\ synced' = Len(rows')""",
                    r"""    /\ rows' = rows \o staged[w]
    /\ synced' = synced""",
                ),
            ),
        ),
    ),
    (
        ("Kept",),
        Bug(
            Store((2,), 1),
            "a commit of which nothing is known is taken for done",
            ((r"""call' = [call EXCEPT ![w] = "unknown"]""", r"""call' = [call EXCEPT ![w] = "done"]"""),),
        ),
    ),
    (
        ("Whole",),
        Bug(
            Store((1,)),
            "each event is committed by itself",
            (
                (
                    r"""    /\ rows' = rows \o staged[w]
    /\ synced' = Len(rows')
    /\ staged' = [staged EXCEPT ![w] = <<>>]
    /\ tx' = [tx EXCEPT ![w] = "committed"]
    /\ lock' = None
""",
                    r"""    /\ rows' = Append(rows, Head(staged[w]))
    /\ synced' = Len(rows')
    /\ staged' = [staged EXCEPT ![w] = Tail(@)]
    /\ tx' = [tx EXCEPT ![w] = IF Len(staged[w]) = 1 THEN "committed" ELSE @]
    /\ lock' = IF Len(staged[w]) = 1 THEN None ELSE lock
""",
                ),
            ),
        ),
    ),
    (
        ("Once",),
        Bug(
            Store((2,), 1),
            "who asks again makes event ids of its own",
            (("id |-> Calls[w].ids[New(w)[i]]", "id |-> 100 + Len(rows) + i"),),
        ),
    ),
    (
        ("L3",),
        Bug(
            Store((2,), careless=True),
            "a version that the stream has not reached yet is accepted",
            (("Expected(w) # Last(w)", "Expected(w) < Last(w)"),),
        ),
    ),
    (
        ("L4",),
        Bug(
            Store((2, 5)),
            "a known event id with other content counts as new",
            (
                ('    IF Taken(w) THEN "taken"\n    ELSE IF', "    IF"),
                (
                    "Known(w) == {place \\in Places(w) : Found(w, place) # {}}",
                    "Known(w) == {place \\in Places(w) : Found(w, place) \\intersect Written(w, place) # {}}",
                ),
            ),
        ),
    ),
    (
        ("Winner",),
        Bug(
            Store((1, 2)),
            "nobody looks at the expected version",
            (
                ('    ELSE IF Expected(w) # Last(w) THEN "conflict"\n', ""),
                ("version |-> Expected(w) + i", "version |-> Last(w) + i"),
            ),
        ),
    ),
    (
        ("Positions",),
        Bug(
            Store((2,), 1),
            "a transaction that fails leaves a gap in the positions",
            (("position |-> Len(rows) + i", "position |-> Len(rows) + i + Faults - faults"),),
        ),
    ),
    (
        ("Follows",),
        Bug(
            Store((1,)),
            "a reader goes on after what is newest, and not after what it has read",
            (("/\\ seen' = row.position", "/\\ seen' = Len(rows)"),),
        ),
    ),
    (
        ("Follows", "Positions"),
        Bug(
            Store((2, 3)),
            "positions are taken without the lock, and not in the order of the commits",
            (("    /\\ lock = None\n    /\\ lock' = w\n", "    /\\ lock' = w\n"),),
        ),
    ),
    (
        ("Refused",),
        Bug(
            Store((6,)),
            "what the fold refuses is left to be committed",
            (
                (
                    r"""{"taken", "impossible"}) /\ RollBack(w, "refused")""",
                    r"""{"taken"}) /\ RollBack(w, "refused")""",
                ),
                (r"""Answered(w, {"good"})""", r"""Answered(w, {"good", "impossible"})"""),
                (
                    r"/\ UNCHANGED <<rows, synced, lock, call, expected, seen, read, faults>>",
                    r"""/\ call' = IF Impossible(w) THEN [call EXCEPT ![w] = "refused"] ELSE call
    /\ UNCHANGED <<rows, synced, lock, expected, seen, read, faults>>""",
                ),
            ),
        ),
    ),
    (
        ("Ends",),
        Bug(
            Store((1, 2)),
            "who came too late asks again under the same version",
            (('RollBack(w, "idle")', 'RollBack(w, "ready")'),),
        ),
    ),
)
"""For `Append`: the promises that each bug breaks, and no other."""

_GOOD_END = "GoodEnd(f) == IF Lacking(f) THEN Len(f) ELSE LastLine(f) - 1"
_TODO = r"IF Lacking(file) THEN <<Newline>> \o Lines(w) ELSE Lines(w)"

FILE_BUGS: tuple[tuple[tuple[str, ...], Bug[File]], ...] = (
    (
        ("Kept",),
        Bug(
            File((2,), 1),
            "an append is acknowledged before it is synced",
            (
                (
                    r"""    /\ disk' = file
    /\ Go(w, "synced")
    /\ UNCHANGED <<file, named""",
                    r"""    /\ Go(w, "synced")
    /\ UNCHANGED <<file, disk, named""",
                ),
            ),
        ),
    ),
    (
        ("Kept",),
        Bug(
            File((2,), 1),
            "the name of a new file is not synced",
            ((r"named' = (named \/ file = <<>>)", "named' = named"),),
        ),
    ),
    (
        ("Whole",),
        Bug(
            File((2,)),
            "a torn tail is given its newline, and not cut off",
            (
                (_GOOD_END, "GoodEnd(f) == Len(f)"),
                ("IF Lacking(file) THEN", "IF LastLine(file) <= Len(file) THEN"),
            ),
        ),
    ),
    (("Kept", "Whole"), Bug(File((2,)), "a torn tail is not cut off", ((_GOOD_END, "GoodEnd(f) == Len(f)"),))),
    (
        ("Stays",),
        Bug(
            File((2,)),
            "a record that lacks its newline is taken for a torn tail",
            ((_GOOD_END, "GoodEnd(f) == LastLine(f) - 1"), (_TODO, "Lines(w)")),
        ),
    ),
    (
        ("Stays", "Kept", "Whole"),
        Bug(File((2,)), "a record that lacks its newline does not get it", ((_TODO, "Lines(w)"),)),
    ),
    (
        ("Kept", "Whole"),
        Bug(
            File((2, 3), pieces=(0,)),
            "writers do not wait for the lock",
            (("    /\\ lock = None\n    /\\ lock' = w\n", "    /\\ lock' = w\n"),),
        ),
    ),
    (
        ("Refused",),
        Bug(
            File((2,), 1),
            "what was written when the disk failed is left there",
            (("    /\\ file' = Prefix(file, end[w])\n", "    /\\ file' = file\n"),),
        ),
    ),
    (
        ("Ends",),
        Bug(
            File((2, 3), 1, (0,)),
            "a lock outlives its owner",
            (
                (
                    r"""    /\ lock' = None
    /\ Go(w, "idle")
    /\ UNCHANGED <<file, disk, named,""",
                    r"""    /\ Go(w, "idle")
    /\ UNCHANGED <<file, disk, named, lock,""",
                ),
            ),
        ),
    ),
)
"""For `LogFile`: the promises that each bug breaks, and no other."""
