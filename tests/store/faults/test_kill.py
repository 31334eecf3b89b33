"""Writers that are killed: what they acknowledged is there, and nothing is there by half."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.store.faults import kill_store
from tests.store.faults.scale import Tell, tries

ROOT = Path(__file__).parents[3]
TIMES = tries(20, 1000)


def killed() -> dict[str, Counter[str]]:
    """The tally of the killer, and those of the negative controls; in a process of its own, for it forks."""
    script = f"""if True:
        import json, sys, tempfile
        from pathlib import Path
        sys.path.append({str(ROOT)!r})
        from lifecycle.store import databases
        from tests.store.faults import kill_store

        def run(times, seed=1):
            with tempfile.TemporaryDirectory() as folder:
                return kill_store.run(times, seed, Path(folder))

        def late(connection, text, values=()):
            global commits
            commits += text == "COMMIT"
            begun = connection.connection.driver_connection.in_transaction
            skip = commits % 9 if text == "COMMIT" else begun and text == "BEGIN IMMEDIATE"
            return [] if skip else plain(connection, text, values)

        def none(connection, text, values=()):
            return [] if text in ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK") else plain(connection, text, values)

        tallies = {{"store": run({TIMES})}}
        plain, commits = databases._run, 0
        kill_store._WRITERS = 1
        for name, careless in {{"late": late, "none": none}}.items():
            databases._run = careless
            for seed in range(10):  # a kill does not always fall where it hurts
                tallies[name] = run(5, seed)
                if any(tallies[name][mistake] for mistake in ("lost", "torn", "damaged")):
                    break
        print(json.dumps(tallies))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {name: Counter(tally) for name, tally in json.loads(ran.stdout).items()}


def test_a_killed_writer_loses_nothing_that_it_acknowledged(record_property: Tell) -> None:
    tallies = killed()
    tally = tallies["store"]
    record_property("tried", f"{tally['kills']} killed writers of a SQLite store, {tally['acknowledged']} events")
    assert tally["kills"] >= TIMES
    assert tally["acknowledged"] > TIMES / 2
    assert {name: tally[name] for name in kill_store.MISTAKES} == dict.fromkeys(kill_store.MISTAKES, 0)
    # The negative controls: each ninth append commits; and each row is a commit of its own.
    assert tallies["late"]["lost"] > 0
    assert tallies["none"]["torn"] + tallies["none"]["damaged"] > 0
