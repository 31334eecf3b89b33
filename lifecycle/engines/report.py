"""
What an audit reports: the totals, and the findings in order, however many; more than fit into memory wait in files.

The order is the same for every engine: by batch id (none first), version, rule (`wire` first, then as in the rulebook),
file and line.
"""

import bisect
import contextlib
import heapq
import itertools
import pickle
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import attrs

from lifecycle.batch import Phase
from lifecycle.engines import Order
from lifecycle.engines.survey import Survey
from lifecycle.errors import EngineError
from lifecycle.lines import said
from lifecycle.replaying import Finding, Reducer, Totals
from lifecycle.rules import RULES, WIRE, Tier

_RUN = 100_000
"""How many findings are held in memory; about 60 MB."""
_FILES = 64
"""How many temporary files are open at once."""

_RANKS = {WIRE.id: -1} | {rule_id: rank for rank, rule_id in enumerate(RULES)}

_Key = tuple[bool, str, int, int, int, int]
_Keyed = tuple[_Key, Finding]


class Findings:
    """
    Findings that are taken in any order and given in that of a report; equal ones as they were taken.

    Args:
        files: The files and stores, as findings name them, in the order given.
        order: With ``log`` their order counts, with ``version`` their names.
        run: How many findings are held in memory.
    """

    def __init__(self, files: Iterable[str], order: Order, *, run: int = _RUN) -> None:
        names = dict.fromkeys(files)
        self._places = {name: place for place, name in enumerate(sorted(names) if order == "version" else names)}
        self._size = run
        self._run: list[_Keyed] = []
        self._runs: list[IO[bytes]] = []
        weakref.finalize(self, _close, self._runs)
        self.tiers = dict.fromkeys(Tier, 0)
        """How many findings there are of each tier."""
        self.rules = dict.fromkeys(_RANKS, 0)
        """How many there are of each rule, by its id."""

    def add(self, finding: Finding) -> None:
        """
        Take a finding.

        Raises:
            EngineError: It has no room on the disk.
        """
        self.tiers[finding.rule.tier] += 1
        self.rules[finding.rule.id] += 1
        place = self._places.get(finding.file or "", -1)
        rank = _RANKS[finding.rule.id]
        batch_id, version, line = finding.batch_id, finding.version or 0, finding.line or 0
        self._run.append(((batch_id is not None, batch_id or "", version, rank, place, line), finding))
        if len(self._run) >= self._size:
            self._put_off()

    def __iter__(self) -> Iterator[Finding]:
        """
        Give all of them in order, as often as they are asked for, but not twice at the same time.

        Raises:
            EngineError: They cannot be read back.
        """
        self._run.sort(key=_key)
        # Earlier runs first, for the merge takes what is equal in their order.
        for _, finding in heapq.merge(*map(_read, self._runs), self._run, key=_key):
            yield finding

    def _put_off(self) -> None:
        self._run.sort(key=_key)
        if len(self._runs) == _FILES:
            merged = _written(heapq.merge(*map(_read, self._runs), key=_key))
            _close(self._runs)
            self._runs.append(merged)
        self._runs.append(_written(self._run))
        self._run = []


def _close(runs: list[IO[bytes]]) -> None:
    for file in runs:
        file.close()
    runs.clear()


def _key(keyed: _Keyed) -> _Key:
    return keyed[0]


def _written(run: Iterable[_Keyed]) -> IO[bytes]:
    """A temporary file, which nobody else can open and which is gone once it is closed."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- it is read, and closed, later
        try:
            for keyed in run:
                pickle.dump(keyed, file, pickle.HIGHEST_PROTOCOL)
            file.flush()
        except BaseException:
            with contextlib.suppress(OSError):  # it would try once more to write what it could not
                file.close()
            raise
    except OSError as error:
        raise EngineError(f"findings cannot be kept in {tempfile.gettempdir()}: {said(error)}") from error
    return file


def _read(file: IO[bytes]) -> Iterator[_Keyed]:
    file.seek(0)
    while True:
        try:
            keyed: Any = pickle.load(file)  # noqa: S301 -- our own file, which nobody else can open
        except EOFError:
            return
        yield keyed


@attrs.frozen
class Ranked:
    """A batch, and how much is wrong with it."""

    batch_id: str
    """The batch."""
    findings: int
    """How many findings it has."""
    rules: Mapping[str, int]
    """How many of each rule, by its id; in the order of the rulebook."""
    first: Finding
    """The first of them in the order of a report."""


class Tally:
    """
    What findings add up to: by rule, and the batches that have the most of them.

    Args:
        most: How many batches are kept.
    """

    def __init__(self, *, most: int = 10) -> None:
        self._most = most
        self.batches = dict.fromkeys(_RANKS, 0)
        """How many batches break each rule, by its id."""
        self.worst: list[Ranked] = []
        """The batches with the most findings; of equals those that come first."""

    def over(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Hand findings on that come in the order of a report. When they are through, all is added up."""
        for batch_id, group in itertools.groupby(findings, key=lambda finding: finding.batch_id):
            found = dict.fromkeys(_RANKS, 0)
            first = next(group)
            for finding in itertools.chain((first,), group):
                found[finding.rule.id] += 1
                yield finding
            if batch_id is None:
                continue  # a line that is no record is of no batch
            rules = {rule_id: count for rule_id, count in found.items() if count}
            for rule_id in rules:
                self.batches[rule_id] += 1
            ranked = Ranked(batch_id, sum(rules.values()), rules, first)
            bisect.insort(self.worst, ranked, key=lambda one: -one.findings)
            del self.worst[self._most :]


@attrs.define
class Audit:
    """What an audit has found."""

    findings: Findings
    """All that is wrong: by batch id (none first), version, rule, file and line."""
    events: int = 0
    """How many records there were, repeats among them; what is no record is not counted."""
    streams: int = 0
    """How many batch ids there were."""
    broken: int = 0
    """How many of them have a broken law among their findings."""
    phases: dict[Phase, int] = attrs.field(factory=lambda: dict.fromkeys(Phase, 0))
    """In which phases the batches of the streams are; those without a legal `Created` are in none."""
    survey: Survey | None = None
    """What the log looks like, if that was asked for."""

    def add(self, totals: Totals) -> None:
        """Count other streams in."""
        self.events += totals.events
        self.streams += totals.streams
        self.broken += totals.broken
        for phase, count in totals.phases.items():
            self.phases[phase] += count

    def count(self, reducer: Reducer) -> None:
        """Count the streams of *reducer*, and let it forget them."""
        self.add(reducer.totals())
        if self.survey is not None:
            self.survey.close()
        reducer.streams.clear()
        reducer.broken.clear()
        reducer.events = 0
