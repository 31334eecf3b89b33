"""
Judges records that somebody has sorted by stream, whoever it was: the one place where an engine meets the rules.

The streams that are plainly legal are judged as columns (`lifecycle.screening`); the reducer gets all others.
"""

from collections.abc import Iterable, Iterator, Sequence

from lifecycle.engines import columns
from lifecycle.engines.report import Audit
from lifecycle.events import Record
from lifecycle.replaying import Finding, Reducer, Totals
from lifecycle.rules import Tier

# After `columns`, which says what is missing if it is.
import numpy as np  # isort: skip
import pyarrow as pa  # isort: skip
from lifecycle import screening  # isort: skip

_LONG = 16 * columns.ROWS
"""How many rows of one stream are held to be judged at once."""


def judge(batches: Iterable[pa.RecordBatch], names: Sequence[str], reducer: Reducer, done: Audit) -> Iterator[Finding]:
    """Judge sorted rows, and count in *done* what they amount to. The *reducer* gets the streams that it has to see."""
    # A survey wants to see every record.
    unsure = _screened(batches, reducer.tiers, done) if done.survey is None else filter(_has_rows, batches)
    yield from reducer.run(_records(unsure, names, reducer, done))
    done.count(reducer)


def _screened(batches: Iterable[pa.RecordBatch], tiers: frozenset[Tier], done: Audit) -> Iterator[pa.RecordBatch]:
    """The rows of the streams that are not plainly legal; the others are counted in *done*."""
    for batch, is_whole in _whole(batches):
        if not is_whole:
            yield batch
            continue
        first = np.array([0, *_changes(batch.column("batch_id"))])
        before = screening.States.absent(len(first))
        wrong, states = screening.judge(tiers, columns.facts(batch), np.arange(batch.num_rows), first, before)
        sizes = np.diff(first, append=batch.num_rows)
        clean = np.flatnonzero(~wrong)
        done.add(Totals(int(sizes[clean].sum()), len(clean), 0, states.take(clean).phases()))
        if len(clean) < len(first):
            yield batch.filter(pa.array(np.repeat(wrong, sizes)))


def _has_rows(batch: pa.RecordBatch) -> bool:
    return bool(batch.num_rows)


def _whole(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    """Cut sorted rows between streams, and say so; but a very long stream comes in several parts."""
    held: pa.RecordBatch | None = None  # the last stream so far
    long: str | None = None  # the stream that comes in parts
    for batch in filter(_has_rows, batches):
        rows = batch if held is None else pa.Table.from_batches([held, batch]).combine_chunks().to_batches()[0]
        held = None
        starts = [0, *_changes(rows.column("batch_id"))]
        if long is not None:
            if rows.column("batch_id")[0].as_py() == long:
                end = [*starts, rows.num_rows][1]
                yield rows.slice(0, end), False
                if end == rows.num_rows:
                    continue
                rows = rows.slice(end)
                starts = [start - end for start in starts[1:]]
            long = None
        if starts[-1]:
            yield rows.slice(0, starts[-1]), True
        rows = rows.slice(starts[-1])
        if rows.num_rows > _LONG:
            yield rows, False
            long = rows.column("batch_id")[0].as_py()
        else:
            held = rows
    if held is not None:
        yield held, True


def _records(
    batches: Iterable[pa.RecordBatch], names: Sequence[str], reducer: Reducer, done: Audit
) -> Iterator[Record]:
    """The records of sorted rows. When the next stream is asked for, the one before is done and its state dropped."""
    current: str | None = None
    for batch in batches:
        records = columns.records(batch, names)
        start = 0
        for stop in (*_changes(batch.column("batch_id")), len(records)):
            batch_id = records[start].batch_id
            if current is not None and batch_id != current:
                done.count(reducer)
            current = batch_id
            yield from records[start:stop]
            start = stop


def _changes(ids: pa.Array) -> list[int]:
    """The rows from 1 on that have another batch id than the row before."""
    found: list[int] = columns.compute().indices_nonzero(columns.compute().not_equal(ids[1:], ids[:-1])).to_pylist()
    return [row + 1 for row in found]
