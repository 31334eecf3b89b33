"""
Timing side by side: two functions in turn, in one process, garbage collection off, by CPU time unless told otherwise.

Read the ratio, not the times: the machine's speed drifts, but it drifts for both.
"""

import gc
import statistics
import time
from collections.abc import Callable


def rounds(work: Callable[[], object], times: int, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one call of *work*, over *times* calls."""
    start = clock()
    for _ in range(times):
        work()
    return (clock() - start) / times


def compare(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    times: int,
    per: int = 1,
    count: int = 21,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """
    Print the median times of both, and the median of the ratios ours / theirs, over *count* interleaved rounds.

    Args:
        name: What is compared.
        ours: One unit of our work.
        theirs: The same work done by the peer.
        times: Calls of each in a round.
        per: How many things (bodies, events) one call handles: times are printed for one of them.
        count: Rounds.
        clock: What to measure by: `time.perf_counter` for work that waits for a disk or a server.
    """
    ours(), theirs()
    gc.collect()
    gc.disable()
    try:
        pairs = [(rounds(ours, times, clock), rounds(theirs, times, clock)) for _ in range(count)]
    finally:
        gc.enable()
    ratio = statistics.median(a / b for a, b in pairs)
    mine, other = (statistics.median(column) / per * 1e6 for column in zip(*pairs, strict=True))
    low, high = min(a / b for a, b in pairs), max(a / b for a, b in pairs)
    print(f"{name:<44} {mine:8.3f} us {other:8.3f} us   ratio {ratio:.3f}  ({low:.2f} to {high:.2f})")
    return ratio
