"""The commands that read event logs: replay, audit, show."""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import attrs

from lifecycle import RULES, Finding, LogError, MessageBatch, Profile, Record, Report, StoreError, Tier, wire
from lifecycle import replay as rebuild
from lifecycle.cli.batch_view import changes, counts_text, span_text, time_text
from lifecycle.cli.output import (
    CLEAN,
    FOUND,
    NOTHING,
    STYLES,
    Format,
    Prose,
    Table,
    UsageError,
    cannot_be_written,
    is_terminal,
    json_text,
    new_file,
    plural,
    talk,
    until_closed,
    write,
    write_json_array,
    write_json_lines,
)
from lifecycle.cli.records import Input, Until, bulk, opened
from lifecycle.engines import Order, check_size
from lifecycle.engines.report import Audit, Findings, Tally
from lifecycle.engines.survey import Survey
from lifecycle.lines import STDIN
from lifecycle.machine import allowed
from lifecycle.replaying import Reducer, finding_values
from lifecycle.rules import WIRE

FINDING_TITLES = ("where", "rule", "tier", "batch", "#version", "event", "phase", "allowed", "what was seen")

_WORST = 5  # batches that `audit` names in the end
_TOLD = 20  # findings that `replay` tells of; `audit` lists them all

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)


def parse_until(text: str | None) -> Until:
    """
    Read the value of ``--until``.

    Args:
        text: A version, or an RFC 3339 time; a space for the ``T`` and no seconds are fine too.

    Raises:
        UsageError: It is neither.
    """
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,19}", text):
        if int(text) == 0:
            raise UsageError("--until: versions start at 1")
        return int(text)
    time = parse_time(text)
    if time is None:
        raise UsageError(
            "--until: expected a version such as 3, or a time with its offset such as 2025-01-29T14:24:59Z, "
            f"got {text!r}"
        )
    return time


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time; a space for the ``T`` and no seconds are fine too. None for anything else."""
    match = _TIME.fullmatch(text)
    if match is not None:
        date, clock, fraction, offset = match.groups()
        with contextlib.suppress(ValueError, OverflowError):
            found = datetime.fromisoformat(f"{date}T{clock}{'' if len(clock) > 5 else ':00'}{offset.upper()}")
            return found.replace(microsecond=int(f"{fraction or '':0<6}"[:6])).astimezone(UTC)
    return None


def is_failure(finding: Finding) -> bool:
    """Whether a finding makes the exit status 1: advice alone does not."""
    return finding.rule.tier is not Tier.ADVICE


def place_text(finding: Finding) -> str:
    """File and line of a finding; store and position, where that is known."""
    return f"{finding.file}" if finding.line is None else f"{finding.file}:{finding.line}"


# ------------------------------------------------------------------------------------------------------------ replay


def replay(paths: Sequence[str], batch_id: str | None, until: Until, profile: Profile, form: Format) -> int:
    """Show the state of each batch; the findings go to stderr."""
    with opened("replay", paths, batch_id, until, streams=False) as records:
        report = rebuild(records.for_reducer(), profile=profile)
    with until_closed():
        if form == "table":
            _write_states(report)
        elif form == "jsonl":
            write_json_lines(_states(report))
        else:
            write_json_array(_states(report))
            write("\n")
    for finding in report.findings[:_TOLD]:
        talk(f"{place_text(finding)}: {_about(finding)}{finding} ({finding.rule.tier})")
    if len(report.findings) > _TOLD:
        more = plural(len(report.findings) - _TOLD, "more finding")
        talk(f"{more}; `lifecycle audit` lists them all")
    if not report.streams:
        if batch_id is not None:
            talk(f"no event of batch {batch_id!r} in {', '.join(paths)}")
            return FOUND
        if not report.findings:
            talk(f"no events in {', '.join(paths)}")
    return FOUND if any(map(is_failure, report.findings)) else CLEAN


def _about(finding: Finding) -> str:
    return "" if finding.batch_id is None else f"batch {finding.batch_id!r} version {finding.version}: "


def _states(report: Report) -> Iterator[dict[str, Any]]:
    for batch_id, version in report.versions.items():
        batch = report.batches.get(batch_id)
        yield {
            "batch_id": batch_id,
            "version": version,
            "phase": None if batch is None else batch.phase,
            "whole": batch_id not in report.broken,
            "batch": None if batch is None else wire.unstructure_batch(batch),
        }


def _write_states(report: Report) -> None:
    table = Table("batch", "#version", "phase", "whole", "created (UTC)", "ended (UTC)", "requests")
    for batch_id, version in report.versions.items():
        batch = report.batches.get(batch_id)
        whole: tuple[str, str] = ("no", STYLES[Tier.LAW]) if batch_id in report.broken else ("yes", "")
        if batch is None:
            table.add(batch_id, str(version), NOTHING, whole, NOTHING, NOTHING, NOTHING)
        else:
            counts = counts_text(batch.request_counts)
            created, ended = time_text(batch.created_at), time_text(batch.ended_at)
            table.add(batch_id, str(version), batch.phase, whole, created, ended, counts)
    table.finish()


# ------------------------------------------------------------------------------------------------------------- audit


Engine = Literal["one", "duckdb", "spark"]


@attrs.frozen
class How:
    """How an audit is done."""

    engine: Engine | None = None
    """Who groups the records by batch; None: who can."""
    order: Order = "log"
    """In which order the records of a batch are judged."""
    memory_limit: str | None = None
    """How much memory DuckDB may take."""
    threads: int | None = None
    """How many threads DuckDB may use."""
    jobs: int = 1
    """How many processes read lines in one pass; 0: one for each core."""
    master: str | None = None
    """Which cluster of Spark; None: this machine."""
    partitions: int | None = None
    """In how many parts Spark judges."""
    html: str | None = None
    """Where a page for people is written, too."""
    force: bool = False
    """Whether that may overwrite a file."""


def audit(paths: Sequence[str], profile: Profile, form: Format, how: How) -> int:
    """Write every finding. In one pass what was found before a file failed is written, too, but no page."""
    wants_duckdb = _check(how)
    broken_off: LogError | StoreError | None = None
    with _page_file(how) as page:
        with opened("audit", paths, None, None, streams=False) as records:
            _check_page(how.html, records)
            survey = None if page is None else Survey()
            done = Audit(Findings(records.names, how.order), survey=survey)
            if how.engine == "spark":
                done = _by_spark(records, profile, how)
            elif wants_duckdb or (how.engine is None and records.parquet and not records.is_parquet):
                bulk("duckdb").audit_sources(
                    records.sources(done),
                    profile=profile,
                    order=how.order,
                    memory_limit=how.memory_limit,
                    threads=how.threads,
                    done=done,
                )
            else:
                reducer = Reducer(profile, wire.DATA) if survey is None else survey.reducer(profile)
                records.reducer = reducer
                try:
                    for finding in reducer.run(records.for_reducer(), how.jobs or os.cpu_count() or 1):
                        done.findings.add(finding)
                except (LogError, StoreError) as error:
                    broken_off = error
                done.count(reducer)
        tiers = done.findings.tiers
        with until_closed():
            if form == "jsonl":
                write_json_lines(map(finding_values, done.findings))
            elif form == "json":
                _write_audit(done)
            else:
                _write_table(done, whole=broken_off is None)
        if broken_off is not None:
            raise broken_off
        if page is not None:
            page(done, records.names, profile)
    return FOUND if any(count for tier, count in tiers.items() if tier is not Tier.ADVICE) else CLEAN


_WritePage = Callable[[Audit, Sequence[str], Profile], None]


@contextlib.contextmanager
def _page_file(how: How) -> Iterator[_WritePage | None]:
    """What writes the page, if one is wanted. Where it cannot be, that is said before anything is read."""
    if how.html is None:
        yield None
        return
    from lifecycle.cli.page import page

    to = how.html
    with new_file(to, force=how.force) as path:

        def write_page(done: Audit, names: Sequence[str], profile: Profile) -> None:
            text = page(done, names, profile)
            with cannot_be_written(to), Path(path).open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())

        yield write_page


def _check_page(html: str | None, records: Input) -> None:
    """See that the page would not take the place of what is audited."""
    page = None if html is None else Path(html)
    for path in records.files:
        with contextlib.suppress(OSError):
            if page is not None and page.samefile(path):
                raise UsageError(f"--html: {html} is what is audited; give another file")


def _by_spark(records: Input, profile: Profile, how: How) -> Audit:
    if records.stores or STDIN in records.names:
        raise UsageError("the engine spark reads files, which every worker can open; `lifecycle convert` makes one")
    spark: Any = bulk("spark")
    with warnings.catch_warnings(), spark.session(how.master or "local[*]") as session:
        warnings.simplefilter("ignore", FutureWarning)  # PySpark warns of any pandas 3; we use none of it
        done: Audit = spark.audit(
            records.names,
            session=session,
            profile=profile,
            order=how.order,
            partitions=how.partitions,
            on_torn=records.note_torn,
        )
    return done


def _check(how: How) -> bool:
    """Whether *how* can only be done by DuckDB; a `UsageError` if it cannot be done."""
    if how.memory_limit is not None:
        try:
            check_size("--memory-limit", how.memory_limit)
        except ValueError as error:
            raise UsageError(str(error)) from None
    wanted = {
        "--order version": how.order == "version",
        "--memory-limit": how.memory_limit is not None,
        "--threads": how.threads is not None,
    }
    if how.force and how.html is None:
        raise UsageError("--force: there is nothing to overwrite without --html")
    if how.html in {"", STDIN}:
        raise UsageError(f"--html: expected the name of a file, got {how.html!r}")
    if how.jobs != 1 and (how.html is not None or how.engine in {"duckdb", "spark"} or any(wanted.values())):
        raise UsageError("--jobs is for one pass that writes no page")
    if how.engine != "spark":
        for option, value in (("--master", how.master), ("--partitions", how.partitions)):
            if value is not None:
                raise UsageError(f"{option} needs the engine spark")
    else:
        wanted.pop("--order version")  # that it can, too
        if how.html is not None:
            raise UsageError("--html: Spark's workers see no log as a whole; the engines one and duckdb write the page")
    if how.engine in {"one", "spark"}:
        for option, given in wanted.items():
            if given:
                others = " or spark" if option == "--order version" else ""
                raise UsageError(f"{option} needs the engine duckdb{others}")
    return how.engine == "duckdb" or any(wanted.values())


def finding_cells(finding: Finding) -> tuple[str | tuple[str, str], ...]:
    """A finding for people: its row, below `FINDING_TITLES`."""
    style = STYLES[finding.rule.tier]
    return (
        place_text(finding),
        (finding.rule.id, style),
        (finding.rule.tier, style),
        finding.batch_id or NOTHING,
        NOTHING if finding.version is None else str(finding.version),
        finding.event or NOTHING,
        finding.phase or NOTHING,
        ", ".join(finding.allowed) or NOTHING,
        finding.message,
    )


def _write_audit(done: Audit) -> None:
    tally = Tally()
    rules = {rule_id: count for rule_id, count in done.findings.rules.items() if count}
    write(
        f'{{\n  "events": {done.events},\n  "streams": {done.streams},\n  "broken": {done.broken},\n'
        f'  "phases": {json_text(done.phases)},\n  "rules": {json_text(rules)},\n  "findings": '
    )
    write_json_array(map(finding_values, tally.over(done.findings)), "  ")
    write(',\n  "worst": ')
    write_json_array(({"batch_id": one.batch_id, "rules": one.rules} for one in tally.worst), "  ")
    write("\n}\n")


def _write_table(done: Audit, *, whole: bool) -> None:
    tally = Tally(most=_WORST)
    table = Table(*FINDING_TITLES)
    for finding in tally.over(done.findings):
        table.add(*finding_cells(finding))
    table.finish()
    prose = Prose()
    found = [(rule_id, count) for rule_id, count in done.findings.rules.items() if count]
    if found:
        prose.add(0)
        table = Table("rule", "tier", "#findings", "#batches", "what must hold")
        for rule_id, count in found:
            rule = WIRE if rule_id == WIRE.id else RULES[rule_id]
            batches = NOTHING if rule is WIRE else f"{tally.batches[rule_id]:,}"
            style = STYLES[rule.tier]
            table.add((rule_id, style), (rule.tier, style), f"{count:,}", batches, rule.sentence)
        table.finish()
    if tally.worst:
        prose.add(0)
        table = Table("worst", "#findings", "rules", "first at")
        for one in tally.worst:
            rules = ", ".join(
                f"{rule_id} x {count:,}" if count > 1 else rule_id for rule_id, count in one.rules.items()
            )
            table.add(one.batch_id, f"{one.findings:,}", rules, place_text(one.first))
        table.finish()
    _write_summary(done, whole=whole)


def _write_summary(done: Audit, *, whole: bool) -> None:
    tiers = done.findings.tiers
    total = sum(tiers.values())
    phases = ", ".join(f"{count:,} {phase}" for phase, count in done.phases.items() if count)
    seen = f"{plural(done.events, 'event')} of {plural(done.streams, 'batch')}"
    found = "no findings"
    if total:
        parts = ", ".join(f"{count:,} {tier}" for tier, count in tiers.items() if count)
        found = f"{plural(total, 'finding')} ({parts}); {plural(done.broken, 'batch')} with a broken law"
    prose = Prose()
    if total:
        prose.add(0)
    told = f"{seen} ({phases}): {found}" if phases else f"{seen}: {found}"
    prose.add(0, told if whole else f"{told}; the rest could not be read")


# -------------------------------------------------------------------------------------------------------------- show


def show(paths: Sequence[str], batch_id: str, until: Until, profile: Profile) -> int:
    """Show the life of one batch, event by event."""
    failed = False
    # On a terminal the batch's few events wait until all is read, so that a bar can show how far that is.
    waits = is_terminal(sys.stdout)
    with until_closed():
        life = _Life(batch_id, profile)
        waiting: list[Record] = []
        with opened("show", paths, batch_id, until, streams=not waits) as records:
            for record in records:
                if isinstance(record, LogError):
                    records.refused += 1
                elif waits:
                    waiting.append(record)
                else:
                    failed |= life.add(record)
        for record in waiting:
            failed |= life.add(record)
        life.finish()
    if not life.events:
        talk(f"no event of batch {batch_id!r} in {', '.join(paths)}{'' if until is None else ' so early'}")
        return FOUND
    return FOUND if failed else CLEAN


class _Life:
    """One batch's timeline."""

    def __init__(self, batch_id: str, profile: Profile) -> None:
        self._id = batch_id
        self._reducer = Reducer(profile)
        self._batch: MessageBatch | None = None
        self._last: datetime | None = None
        self._prose = Prose()
        self._findings = 0
        self.events = 0

    def add(self, record: Record) -> bool:
        """Show one event; say whether it is at fault."""
        if not self.events:
            self._prose.add(0, (self._id, "bold"))
        self.events += 1
        before = self._batch
        findings = tuple(self._reducer.run([record]))
        stream = self._reducer.streams[self._id]
        phase = stream.legal.phase
        self._batch = None if phase is None else stream.batch(phase)
        since = "" if self._last is None else f"  {span_text(record.recorded_at - self._last)}"
        self._last = record.recorded_at
        self._prose.add(0)
        self._prose.add(
            0,
            f"v{record.version}",
            f"  {time_text(record.recorded_at, exact=True)}",
            (since, "dim"),
            "  ",
            (record.event.tag, "bold"),
        )
        tags = ", ".join(allowed(None if before is None else before.phase)) or "nothing"
        self._prose.add(4, ("allowed: ", "dim"), tags)
        for change in [] if self._batch is None else changes(before, self._batch):
            self._prose.add(4, change)
        if self._batch == before:
            left_out = any(finding.rule.tier is Tier.LAW for finding in findings)
            self._prose.add(4, "left out: the batch stays as it was" if left_out else "nothing changed")
        for finding in findings:
            self._prose.add(
                4, (f"{finding.rule.id} ({finding.rule.tier})", STYLES[finding.rule.tier]), f" {finding.message}"
            )
            self._prose.add(6, (f"at {place_text(finding)}", "dim"))
        self._findings += len(findings)
        return any(map(is_failure, findings))

    def finish(self) -> None:
        """Sum up."""
        if self.events:
            state = "no batch has come of it" if self._batch is None else f"the batch is {self._batch.phase}"
            found = plural(self._findings, "finding") if self._findings else "no findings"
            self._prose.add(0)
            self._prose.add(0, f"{plural(self.events, 'event')}: {state}; {found}")
