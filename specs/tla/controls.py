"""
The negative controls: for each rule of the model a server with one bug, which TLC must find.

A bug is a change of the model's text.  The rules stay as they are.
"""

from collections.abc import Mapping

import attrs


@attrs.frozen
class Bug:
    """A model with a bug in it."""

    tier: str
    """The server otherwise keeps to this tier and those before it."""
    story: str
    """What the server does wrong."""
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


BUGS: Mapping[str, Bug] = {
    "B1": Bug(
        "law",
        "more requests finish than there are",
        (('Sum(f) <= counts["processing"]}', 'Sum(f) <= counts["processing"] + 1}'),),
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
