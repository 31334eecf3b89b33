"""The command that holds a results file against its batch: reconcile."""

from collections.abc import Iterator
from typing import Any

from lifecycle import LogError, ProcessingStatus
from lifecycle.cli.batch_view import COUNTS, counts_text
from lifecycle.cli.output import (
    CLEAN,
    FOUND,
    NOTHING,
    Format,
    Prose,
    Table,
    json_text,
    plural,
    progress,
    until_closed,
    write,
    write_json_array,
    write_json_lines,
)
from lifecycle.cli.records import check_paths
from lifecycle.cli.snapshots import Source, read_one
from lifecycle.results import Reconciliation, Retry, read
from lifecycle.results import reconcile as hold_against


def reconcile(batch_path: str, results_path: str, submitted_path: str | None, form: Format) -> int:
    """Hold a results file against its batch. Lines that are no results are told as they come."""
    waiting: list[dict[str, Any]] = []
    table = Table("what", "#line", "id", "what was seen")

    def refuse(error: LogError) -> None:
        finding = _finding("malformed", error.line, None, error.reason)
        if form == "jsonl":
            write_json_lines([finding])
        elif form == "json":
            waiting.append(finding)
        else:
            table.add(*_cells(finding))

    reading = read(results_path, on_error=refuse)
    check_paths([batch_path, results_path, *([] if submitted_path is None else [submitted_path])])
    total = check_paths([results_path])
    batch = read_one(Source(batch_path))
    status = FOUND  # if the reader of a pipe leaves before the end, it has been told of something
    with until_closed():
        with progress("reconcile", lambda: reading.bytes_read, total, "bytes", streams=form == "jsonl"):
            found = hold_against(batch, reading, submitted=submitted_path)
        status = CLEAN if found.whole else FOUND
        if form == "jsonl":
            write_json_lines(_findings(found))
            write_json_lines(map(_retry, found.retries))
        elif form == "json":
            waiting += _findings(found)
            _write_document(found, waiting)
        else:
            for finding in _findings(found):
                table.add(*_cells(finding))
            table.finish()
            _write_retries(found)
            _write_summary(found)
    return status


def _finding(kind: str, line: int | None, custom_id: str | None, message: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "line": line, "custom_id": custom_id, "message": message, **more}


def _findings(found: Reconciliation) -> Iterator[dict[str, Any]]:
    """All but the malformed lines."""
    for name, expected, seen in found.mismatches:
        message = f"the batch has {expected:,} {name}, the file has {seen:,}"
        if name == "submitted":
            message = f"the batch has {plural(expected, 'request')}, and {plural(seen, 'id')} are said to be submitted"
        yield _finding("count", None, None, message, name=name, expected=expected, found=seen)
    for custom_id, line in (found.duplicates or {}).items():
        yield _finding("duplicate", line, custom_id, "the id has had a line before")
    for custom_id, line in (found.foreign or {}).items():
        yield _finding("foreign", line, custom_id, "the id was not submitted")
    for custom_id in found.missing or ():
        yield _finding("missing", None, custom_id, "the id was submitted, and has no line")


def _cells(finding: dict[str, Any]) -> tuple[str | tuple[str, str], ...]:
    line, custom_id = finding["line"], finding["custom_id"]
    return (
        (finding["kind"], "bold red"),
        NOTHING if line is None else str(line),
        NOTHING if custom_id is None else custom_id,
        finding["message"],
    )


def _retry(retry: Retry) -> dict[str, Any]:
    return {
        "kind": "retry",
        "custom_id": retry.custom_id,
        "reason": retry.reason,
        "error_type": retry.error_type,
        "unchanged": retry.unchanged,
    }


def _write_retries(found: Reconciliation) -> None:
    table = Table("without an answer", "why", "error", "to be sent again")
    for number, retry in enumerate(found.retries):
        if number == 0 and not found.whole:
            Prose().add(0)
        again = "as it is" if retry.unchanged else ("after a change", "yellow")
        table.add(retry.custom_id, retry.reason, retry.error_type or NOTHING, again)
    table.finish()


def _write_summary(found: Reconciliation) -> None:
    batch, prose = found.batch, Prose()
    kinds = {
        "malformed": len(found.malformed),
        "count": len(found.mismatches),
        "duplicate": len(found.duplicates or ()),
        "foreign": len(found.foreign or ()),
        "missing": len(found.missing or ()),
    }
    total = sum(kinds.values())
    parts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    findings = f"{plural(total, 'finding')} ({parts})" if total else "no findings"
    if total or next(found.retries, None) is not None:
        prose.add(0)
    results = f"{plural(found.tallies.total, 'result')} of batch {batch.id}"
    prose.add(0, f"{results}{f' ({counts_text(found.tallies)})' if found.tallies.total else ''}: {findings}")
    if found.submitted is None:
        prose.add(0, "Missing, duplicate and foreign ids were not looked for: --submitted was not given.")
    if batch.processing_status is not ProcessingStatus.ENDED:
        prose.add(0, "In this snapshot the batch has not ended, so its counts are not final: retrieve it again.")
    elif _incomplete(found):
        prose.add(0, "The file may be incomplete: before anything is sent again, get the results again.")


def _incomplete(found: Reconciliation) -> bool:
    """Whether results that the batch has are not in the file."""
    return bool(found.malformed or found.missing or any(seen < expected for _, expected, seen in found.mismatches))


def _write_document(found: Reconciliation, findings: list[dict[str, Any]]) -> None:
    counts = {name: {"batch": getattr(found.expected, name), "file": getattr(found.tallies, name)} for name in COUNTS}
    write(
        f'{{\n  "batch_id": {json_text(found.batch.id)},\n  "whole": {json_text(found.whole)},\n'
        f'  "submitted": {json_text(found.submitted)},\n  "counts": {json_text(counts)},\n  "findings": '
    )
    write_json_array(findings, "  ")
    write(',\n  "retries": ')
    write_json_array(map(_retry, found.retries), "  ")
    write("\n}\n")
