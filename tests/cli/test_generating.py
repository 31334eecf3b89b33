"""`generate`: the same log everywhere, legal but for the faults that are asked for, which are labelled."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle import wire
from tests.cli.running import PATIENT, lifecycle, started


def generate(events: int, seed: int, *more: str) -> tuple[list[bytes], list[str]]:
    """The lines and the labels."""
    status, out, err = lifecycle("generate", "--events", str(events), "--seed", str(seed), *more)
    assert status == 0
    return out.encode().splitlines(keepends=True), err.splitlines()


class TestALegalLog:
    @pytest.mark.parametrize("events", [0, 1, 2, 9, 10, 500])
    @pytest.mark.parametrize("interleave", [None, 1, 3, 2000])
    def test_it_has_exactly_so_many_lines_and_no_finding(self, events: int, interleave: int | None) -> None:
        lines, labels = generate(events, 1, *([] if interleave is None else ["--interleave", str(interleave)]))
        assert (len(lines), labels) == (events, [])
        report = lc.replay(map(wire.decode_record, lines), profile=lc.HOSTED)
        assert (report.findings, report.events) == ((), events)

    def test_it_is_written_as_the_wire_would(self) -> None:
        lines, _ = generate(3000, 2)
        assert [wire.encode_record(wire.decode_record(line)) + b"\n" for line in lines] == lines

    def test_it_has_lives_of_every_kind(self) -> None:
        lines, _ = generate(2000, 3)
        batches = lc.replay(map(wire.decode_record, lines)).batches.values()
        phases = Counter(batch.phase for batch in batches)
        # Canceling takes a moment: it would be chance to end there.
        assert set(phases) >= set(lc.Phase) - {lc.Phase.CANCELING}
        totals = Counter(
            name
            for batch in batches
            for name in ("succeeded", "errored", "canceled", "expired")
            if getattr(batch.request_counts, name)
        )
        assert set(totals) == {"succeeded", "errored", "canceled", "expired"}
        assert any(batch.cancel_initiated_at for batch in batches)

    def test_it_is_in_the_order_of_time(self) -> None:
        lines, _ = generate(2000, 4)
        times = [wire.decode_record(line).recorded_at for line in lines]
        assert times == sorted(times)

    def test_the_seed_decides(self) -> None:
        assert generate(200, 5) == generate(200, 5)
        assert generate(200, 5) != generate(200, 6)

    @pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
    def test_the_order_of_hashes_does_not(self, hash_seed: str) -> None:
        arguments = ["generate", "--events", "300", "--seed", "7", "--faults", "0.3"]
        assert started(*arguments, PYTHONHASHSEED=hash_seed) == lifecycle(*arguments)

    def test_so_many_batches_are_alive_at_a_time(self) -> None:
        lines, _ = generate(3000, 8, "--interleave", "5")
        records = [wire.decode_record(line) for line in lines]
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for place, record in enumerate(records):
            first.setdefault(record.batch_id, place)
            last[record.batch_id] = place
        alive = [sum(first[batch_id] <= place <= last[batch_id] for batch_id in first) for place in range(len(records))]
        assert max(alive) == 5

    def test_a_longer_log_has_longer_lives_not_more_batches(self) -> None:
        counts = []
        for events in (2000, 20000):
            lines, _ = generate(events, 9, "--interleave", "20")
            counts.append(len({re.search(rb'"subject":"([^"]*)"', line)[1] for line in lines}))  # type: ignore[index] # it is in each
        assert abs(counts[1] - counts[0]) < 0.2 * counts[0]


class TestFaults:
    @pytest.mark.parametrize(("seed", "rate"), [(1, "0.02"), (2, "0.2"), (3, "0.5"), (4, "1")])
    def test_an_audit_finds_what_is_labelled_and_nothing_else(self, seed: int, rate: str, tmp_path: Path) -> None:
        lines, labels = generate(2000, seed, "--faults", rate)
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"".join(lines))
        status, out, _ = lifecycle("audit", str(path), "--profile", "hosted", "--format", "jsonl")
        found = [json.loads(line) for line in out.splitlines()]
        told = [
            f"line {each['line']}: {each['rule']} {each['batch_id'] or '-'} {each['version'] or '-'}" for each in found
        ]
        assert sorted(told) == sorted(labels)
        assert status == 1
        assert len(lines) == 2000

    def test_every_rule_that_a_log_can_break_is_broken(self) -> None:
        _, labels = generate(10000, 5, "--faults", "0.3")
        broken = {label.split()[2] for label in labels}
        # B1: the wire refuses it. No event can do the others: they are for snapshots.
        assert set(lc.RULES) - broken == {"B1", "B4", "B6", "B8", "B10", "B16", "T2", "T4", "T6", "T7"}
        assert "wire" in broken

    def test_the_share_is_as_asked_for(self) -> None:
        _, labels = generate(20000, 6, "--faults", "0.1")
        assert 1800 < len(labels) < 2200

    def test_labels_that_nobody_reads_are_no_trouble(self) -> None:
        code = (
            "import sys; sys.stderr = None; from lifecycle.cli.app import run;"
            "sys.exit(run(['generate', '--events', '50', '--seed', '1', '--faults', '1']))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENT, check=False)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 50)
