"""Stores on the command line: `lifecycle store`, and the commands that read a store as they read a log."""

import json
import random
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.cli import output, records, stores
from lifecycle.store.sql import SQLStore
from tests.cli.running import GOLDEN, Terminal, lifecycle
from tests.lives import DAY, LIFE, T

GENERATED = ["generate", "--events", "120", "--seed", "7", "--interleave", "6"]
HOSTILE = [
    "'",
    '"',
    "%",
    "_",
    "\\",
    "'; drop table lifecycle_events; --",
    "a\nb",
    "\x1b[31m",
    "漢字 é",
    "\u202e",
    ":x",
    "$1",
    "?",
]


def record(batch_id: str, version: int, event: lc.Event | None = None, event_id: str | None = None) -> lc.Record:
    """One of a stream that lives as `LIFE`."""
    found = event or (lc.Created(batch_id, T, T + DAY, 4) if version == 1 else LIFE[version - 1])
    return lc.Record(batch_id, version, found, event_id, T + version * DAY)


def life(batch_id: str, events: int = 6) -> list[lc.Record]:
    return [record(batch_id, version) for version in range(1, events + 1)]


def written(path: Path, *found: lc.Record) -> str:
    """A log of these records."""
    log.append(path, found)
    return str(path)


def events_of(url: str) -> list[lc.Record]:
    with SQLStore(url, create=False) as store:
        return [found for _, found in store.read_all()]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return f"sqlite:///{tmp_path / 'batches.db'}"


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A legal log, its streams interleaved, in our own form."""
    path = tmp_path / "legal.jsonl"
    status, out, _ = lifecycle(*GENERATED)
    assert status == 0
    path.write_text(out, encoding="utf-8")
    return path


@pytest.fixture
def full(url: str, night: Path) -> str:
    """A store that holds the log."""
    assert lifecycle("store", "import", str(night), "--to", url)[0] == 0
    return url


# What is wrong, the rule that an import tells, and how many events stand before.
REFUSED = [
    ([*life("a", 2), record("a", 2, LIFE[3], "other")], "L3", 2),
    ([record("a", 1), record("a", 3)], "L3", 1),
    ([record("a", 2)], "L3", 0),
    ([record("a", 1, LIFE[1])], "L1", 0),
    ([record("a", 1), record("a", 2, lc.Created("a", T, T + DAY, 4))], "L1", 1),
    ([record("a", 1), record("a", 2, lc.Created("a", T, T + DAY, 5), "a/1")], "L4", 1),
    ([record("a", 1, lc.Created("b", T, T + DAY, 4))], "L2", 0),
    ([record("a", 1), record("a", 2, lc.Deleted(T + DAY))], "T1", 1),
    ([record("a", 1), record("a", 2, lc.CountsUpdated(lc.RequestCounts(5)))], "T3", 1),
    ([record("a\0", 1, lc.Created("a\0", T, T + DAY, 4))], "wire", 0),
]


class TestImport:
    def test_all_records_are_there_as_they_were(self, night: Path, url: str) -> None:
        expected = (0, f"{url}: 120 events: 120 new, 0 already there\n", "")
        assert lifecycle("store", "import", str(night), "--to", url) == expected
        assert events_of(url) == list(log.read(night))

    def test_again_it_is_harmless_and_says_how_many_were_there(self, night: Path, full: str) -> None:
        log.append(night, [record("later", 1)])
        expected = (0, f"{full}: 121 events: 1 new, 120 already there\n", "")
        assert lifecycle("store", "import", str(night), "--to", full) == expected

    def test_after_a_crash_in_the_middle_it_goes_on(
        self, night: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores, "PART", 50)
        whole, calls = SQLStore.import_records, []

        def crash(store: SQLStore, found: Any) -> int:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return whole(store, found)

        with monkeypatch.context() as patch:
            patch.setattr(SQLStore, "import_records", crash)
            assert lifecycle("store", "import", str(night), "--to", url) == (130, "", "lifecycle: interrupted\n")
        assert len(events_of(url)) == 100
        expected = f"{url}: 120 events: 20 new, 100 already there\n"
        assert lifecycle("store", "import", str(night), "--to", url)[1] == expected

    def test_where_nobody_knows_whether_it_was_stored_nothing_else_is_said(
        self, night: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lose(*_: object) -> int:
            raise lc.StoreError("the answer was lost", unknown=True)

        monkeypatch.setattr(SQLStore, "import_records", lose)
        expected = (3, f"{url}: 0 events: 0 new, 0 already there\n", "lifecycle: the answer was lost\n")
        assert lifecycle("store", "import", str(night), "--to", url) == expected

    def test_several_logs_are_one_and_a_store_may_be_among_them(self, full: str, tmp_path: Path) -> None:
        more = written(tmp_path / "more.jsonl", *life("more", 2))
        url = f"sqlite:///{tmp_path / 'copy.db'}"
        status, _, _ = lifecycle("store", "import", full, "-", "--to", url, stdin=Path(more).read_bytes())
        assert status == 0
        assert events_of(url) == events_of(full) + life("more", 2)

    @pytest.mark.parametrize(("found", "rule", "before"), REFUSED, ids=[rule for _, rule, _ in REFUSED])
    def test_it_stops_at_what_breaks_a_rule_and_says_where_and_why(
        self, found: list[lc.Record], rule: str, before: int, url: str, tmp_path: Path
    ) -> None:
        path = written(tmp_path / "bad.jsonl", *life("good", 3), *found, *life("later", 3))
        status, out, err = lifecycle("store", "import", path, "--to", url, "--format", "jsonl")
        assert (status, err) == (1, "")
        told = json.loads(out)
        last = found[-1]
        place = (told["file"], told["line"], told["batch_id"], told["version"], told["rule"], told["event"])
        assert place == (path, 3 + len(found), last.batch_id, last.version, rule, last.event.tag)
        assert events_of(url) == [*life("good", 3), *found[:before]]
        _, out, _ = lifecycle("store", "import", path, "--to", url)
        assert out.splitlines()[1].split()[:2] == [f"{path}:{3 + len(found)}", rule]
        assert out.endswith(f"; stopped at {path}:{3 + len(found)}, nothing from there on is imported\n")

    def test_what_it_finds_is_what_an_audit_finds_first(self, tmp_path: Path) -> None:
        found = {}
        for name in ("laws", "hosted"):
            status, out, _ = lifecycle("audit", "night.jsonl", "--profile", name, "--format", "jsonl", cwd=GOLDEN)
            audited = [json.loads(line) for line in out.splitlines()]
            target = f"sqlite:///{tmp_path / name}.db"
            arguments = ["night.jsonl", "--to", target, "--profile", name, "--format", "jsonl"]
            status, out, _ = lifecycle("store", "import", *arguments, cwd=GOLDEN)
            keys = ("file", "line", "batch_id", "version", "rule", "tier", "event", "phase", "allowed")
            first = min((each for each in audited if each["tier"] != "advice"), key=lambda each: each["line"])
            assert status == 1
            found[name] = json.loads(out)
            assert [found[name][key] for key in keys] == [first[key] for key in keys]

    def test_a_line_that_is_no_record_stops_it_too(self, url: str, tmp_path: Path) -> None:
        path = Path(written(tmp_path / "bad.jsonl", *life("a", 2)))
        path.write_bytes(path.read_bytes() + b"{}\n" + wire.encode_record(record("a", 3)) + b"\n")
        status, out, _ = lifecycle("store", "import", str(path), "--to", url, "--format", "json")
        told = json.loads(out)
        assert status == 1
        assert [told[key] for key in ("file", "new", "known", "left_out")] == [url, 2, 0, 1]
        assert [(found["line"], found["rule"], found["batch_id"]) for found in told["findings"]] == [(3, "wire", None)]
        assert events_of(url) == life("a", 2)

    def test_with_skip_a_batch_is_imported_up_to_what_is_wrong(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores, "PART", 5)
        wrong = record("b", 2, lc.Deleted(T))
        found = [record("a", 1), record("b", 1), record("a", 2), wrong, record("b", 3), record("a", 3)]
        path = written(tmp_path / "bad.jsonl", *found, record("b", 4), *life("c", 2), wrong, record("d", 2))
        status, out, _ = lifecycle("store", "import", path, "--to", url, "--skip")
        assert status == 1
        assert out.endswith(f"\n\n{url}: 6 events: 6 new, 0 already there; 5 left out\n")
        assert [line.split()[:2] for line in out.splitlines()[1:3]] == [[f"{path}:4", "T1"], [f"{path}:11", "L3"]]
        assert events_of(url) == [*found[:3], found[5], *life("c", 2)]

    def test_with_skip_lines_that_are_no_records_are_left_out(self, url: str, tmp_path: Path) -> None:
        path = Path(written(tmp_path / "bad.jsonl", record("a", 1)))
        path.write_bytes(b"x\n" + path.read_bytes() + b"{}\n" + wire.encode_record(record("a", 2)) + b"\n[]\ntorn")
        status, out, err = lifecycle("store", "import", str(path), "--to", url, "--skip", "--format", "jsonl")
        assert (status, [json.loads(line)["line"] for line in out.splitlines()]) == (1, [1, 3, 5])
        assert err.startswith(f"lifecycle: warning: {path}:6: ")
        assert events_of(url) == life("a", 2)

    def test_the_profile_decides_what_may_be_in_it(self, url: str, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", lc.Record("a", 1, lc.Created("a", T, T + 2 * DAY, 4), None, T))
        assert lifecycle("store", "import", path, "--to", url, "--profile", "hosted")[0] == 1
        assert events_of(url) == []
        assert lifecycle("store", "import", path, "--to", url)[0] == 0

    def test_nothing_follows_what_was_forgotten(self, url: str, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", *life("a"))
        assert lifecycle("store", "import", path, "--to", url)[0] == 0
        with SQLStore(url) as store:
            store.forget("a")
        assert lifecycle("store", "import", path, "--to", url)[0] == 0
        more = written(tmp_path / "more.jsonl", record("a", 7, LIFE[1]))
        status, out, _ = lifecycle("store", "import", more, "--to", url, "--format", "jsonl")
        told = json.loads(out)
        assert (status, told["rule"], told["phase"], told["allowed"]) == (1, "T1", "deleted", [])

    def test_a_log_that_cannot_be_read_makes_no_store(self, url: str, tmp_path: Path) -> None:
        assert lifecycle("store", "import", "missing.jsonl", "--to", url)[0] == 3
        assert lifecycle("store", "import", f"sqlite:///{tmp_path}/missing.db", "--to", url)[0] == 3
        assert [*tmp_path.iterdir()] == []

    def test_what_was_read_before_a_log_breaks_off_is_imported_and_told(self, night: Path, url: str) -> None:
        import gzip  # noqa: PLC0415 -- only here

        packed = night.with_suffix(".gz")
        packed.write_bytes(gzip.compress(night.read_bytes())[:-8])
        status, out, err = lifecycle("store", "import", str(packed), "--to", url)
        assert (status, err.count("\n")) == (3, 1)
        count = len(events_of(url))
        assert out == f"{url}: {count} events: {count} new, 0 already there\n"


class TestExport:
    def test_import_of_an_export_is_the_same_to_the_byte(self, night: Path, full: str, tmp_path: Path) -> None:
        done = lifecycle("store", "export", full)
        assert done == (0, night.read_text(encoding="utf-8"), "")
        again = f"sqlite:///{tmp_path / 'again.db'}"
        lifecycle("store", "import", "-", "--to", again, stdin=done[1].encode())
        assert lifecycle("store", "export", again) == done

    def test_it_may_go_into_a_new_file(self, night: Path, full: str, tmp_path: Path) -> None:
        path = tmp_path / "new.jsonl"
        assert lifecycle("store", "export", full, "--to", str(path)) == (0, "", "")
        assert path.read_bytes() == night.read_bytes()
        status, out, err = lifecycle("store", "export", full, "--to", str(path))
        assert (status, out, err) == (3, "", f"lifecycle: {path}: is there already; nothing was written\n")
        assert path.read_bytes() == night.read_bytes()
        assert lifecycle("store", "export", full, "--to", "-")[1] == night.read_text(encoding="utf-8")

    def test_one_batch_can_be_asked_for(self, url: str, tmp_path: Path) -> None:
        found = [record("a", 1), record("b", 1), record("a", 2), record("b", 2), record("a", 3)]
        lifecycle("store", "import", written(tmp_path / "a.jsonl", *found), "--to", url)
        _, out, _ = lifecycle("store", "export", url, "--batch", "a")
        assert [wire.decode_record(line) for line in out.splitlines()] == life("a", 3)

    def test_a_batch_that_is_not_there_is_told_and_makes_no_file(self, full: str, tmp_path: Path) -> None:
        path = tmp_path / "new.jsonl"
        told = lifecycle("store", "export", full, "--batch", "x", "--to", str(path))
        assert told == (1, "", f"lifecycle: no event of batch 'x' in {full}\n")
        assert not path.exists()

    def test_of_what_was_forgotten_nothing_is_left(self, url: str, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", *life("a"), *life("b", 1))
        lifecycle("store", "import", path, "--to", url)
        with SQLStore(url) as store:
            store.forget("a")
        assert wire.decode_record(lifecycle("store", "export", url)[1].strip()) == record("b", 1)
        status, out, err = lifecycle("store", "export", url, "--batch", "a")
        assert (status, out, err) == (1, "", "lifecycle: stream 'a' was forgotten: the data of its events is erased\n")

    def test_what_no_log_can_hold_is_told_and_leaves_no_file(self, url: str, tmp_path: Path) -> None:
        long = "x" * wire.MAX_BYTES
        with SQLStore(url) as store:
            store.append(long, [lc.Created(long, T, T + DAY, 4)], expected_version=0)
        path = tmp_path / "new.jsonl"
        for more in ([], ["--to", str(path)]):
            status, out, err = lifecycle("store", "export", url, *more)
            assert (status, out, len(err) < 1000, "over the limit" in err) == (3, "", True, True)
        assert not path.exists()

    def test_a_file_that_cannot_be_made_is_told(self, full: str, tmp_path: Path) -> None:
        status, out, err = lifecycle("store", "export", full, "--to", str(tmp_path / "no" / "such.jsonl"))
        assert (status, out, err.count("\n")) == (3, "", 1)

    def test_an_empty_store_is_told(self, url: str) -> None:
        SQLStore(url).close()
        assert lifecycle("store", "export", url) == (0, "", f"lifecycle: no events in {url}\n")

    def test_a_terminal_gets_nothing_that_could_harm_it(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "a\x1b[31m\u202e"
        with SQLStore(url) as store:
            store.append(name, [lc.Created(name, T, T + DAY, 4)], expected_version=0, recorded_at=T)
        assert "\u202e" in lifecycle("store", "export", url)[1]
        monkeypatch.setattr(stores, "is_terminal", lambda _: True)
        shown = lifecycle("store", "export", url)[1].removesuffix("\n")
        assert (shown.isascii(), shown.isprintable()) == (True, True)
        assert wire.decode_record(shown).batch_id == name

    def test_on_a_terminal_too_a_line_may_be_too_long(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        # Escaped it is longer than a line of a log.
        name = "é" * (wire.MAX_BYTES // 5)
        with SQLStore(url) as store:
            store.append(name, [lc.Created(name, T, T + DAY, 4)], expected_version=0)
        monkeypatch.setattr(stores, "is_terminal", lambda _: True)
        status, _, err = lifecycle("store", "export", url)
        assert (status, "over the limit" in err) == (3, True)


class TestVerify:
    def test_a_whole_store_has_no_damage(self, full: str) -> None:
        assert lifecycle("store", "verify", full) == (0, f"{full}: no damage\n", "")
        assert lifecycle("store", "verify", full, "--format", "json") == (0, "[]\n", "")
        assert lifecycle("store", "verify", full, "--format", "jsonl") == (0, "", "")

    def test_damage_is_told_with_its_place(self, full: str) -> None:
        path = full.removeprefix("sqlite:///")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE lifecycle_events SET recorded_at = '2000' WHERE position = 7")
            [(stream, version)] = connection.execute("SELECT stream, version FROM lifecycle_events WHERE position = 7")
            connection.execute("DELETE FROM lifecycle_streams WHERE stream <> ?", [stream])
        connection.close()
        status, out, err = lifecycle("store", "verify", full, "--format", "jsonl")
        assert (status, err) == (1, "")
        found = [json.loads(line) for line in out.splitlines()]
        first = next(damage for damage in found if damage["position"] is not None)
        assert " ".join(first) == "file batch_id version position message"
        assert [first[key] for key in ("file", "batch_id", "version", "position")] == [full, stream, version, 7]
        assert json.loads(lifecycle("store", "verify", full, "--format", "json")[1]) == found
        lines = lifecycle("store", "verify", full)[1].splitlines()
        assert lines[0].split() == ["position", "batch", "version", "what", "is", "wrong"]
        assert len(lines) == len(found) + 3
        assert lines[-1] == f"{full}: {len(found)} findings"


class TestStats:
    def test_it_says_how_much_there_is(self, url: str, tmp_path: Path) -> None:
        found = [*life("a"), *life("b"), *life("c", 3), *life("d", 1)]
        lifecycle("store", "import", written(tmp_path / "a.jsonl", *found), "--to", url)
        with SQLStore(url) as store:
            store.forget("b")
        status, out, err = lifecycle("store", "stats", url, "--format", "json")
        told = json.loads(out)
        size = sum(file.stat().st_size for file in tmp_path.glob("batches.db*") if not file.name.endswith("-shm"))
        phases = {"in_progress": 1, "canceling": 1, "ended": 0, "archived": 0, "deleted": 1}
        assert (status, err) == (0, "")
        assert told == {
            "file": url,
            "schema": 1,
            "bytes": size,
            "streams": 4,
            "events": 16,
            "last_position": 16,
            "phases": phases,
            "forgotten": 1,
        }
        assert json.loads(lifecycle("store", "stats", url, "--format", "jsonl")[1]) == told
        assert lifecycle("store", "stats", url)[1].splitlines() == [
            url,
            "  schema      1",
            f"  size        {size:,} bytes",
            "  batches     4",
            "              1 in_progress",
            "              1 canceling",
            "              1 deleted",
            "              1 forgotten",
            "  events      16, at the positions 1 to 16",
        ]

    def test_an_empty_store_has_nothing(self, url: str) -> None:
        SQLStore(url).close()
        assert lifecycle("store", "stats", url)[1].splitlines()[-2:] == ["  batches     0", "  events      0"]


class TestShow:
    def test_it_lists_where_every_batch_stands(self, full: str) -> None:
        status, out, err = lifecycle("store", "show", full, "--format", "jsonl")
        states = [json.loads(line) for line in out.splitlines()]
        report = lc.replay(events_of(full))
        assert (status, err) == (0, "")
        assert " ".join(states[0]) == "batch_id version phase forgotten batch"
        assert [state["batch_id"] for state in states] == sorted(report.batches)
        assert all(wire.unstructure_batch(report.batches[state["batch_id"]]) == state["batch"] for state in states)
        assert json.loads(lifecycle("store", "show", full, "--format", "json")[1]) == states
        lines = lifecycle("store", "show", full)[1].splitlines()
        assert [line.split()[:3] for line in lines[1:]] == [
            [state["batch_id"], str(state["version"]), state["phase"]] for state in states
        ]

    def test_one_batch_is_shown_as_show_does(self, url: str, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", *life("a"), *life("b", 3))
        lifecycle("store", "import", path, "--to", url)
        for more in ([], ["--until", "3"], ["--until", "2025-01-31T00:00Z"], ["--profile", "hosted"]):
            expected = lifecycle("show", path, "a", *more)
            assert lifecycle("show", url, "a", *more) == expected
            assert lifecycle("store", "show", url, "a", *more) == expected
        state = json.loads(lifecycle("store", "show", url, "a", "--format", "jsonl")[1])
        assert (state["batch_id"], state["version"], state["phase"]) == ("a", 6, "deleted")
        assert lifecycle("store", "show", url, "--until", "3")[0] == 2

    def test_what_was_forgotten_is_listed_without_its_batch(self, url: str, tmp_path: Path) -> None:
        lifecycle("store", "import", written(tmp_path / "a.jsonl", *life("a")), "--to", url)
        with SQLStore(url) as store:
            store.forget("a")
        assert lifecycle("store", "show", url)[1].splitlines()[1].split()[:3] == ["a", "6", "forgotten"]
        state = {"batch_id": "a", "version": 6, "phase": None, "forgotten": True, "batch": None}
        assert json.loads(lifecycle("store", "show", url, "--format", "jsonl")[1]) == state
        status, out, err = lifecycle("store", "show", url, "a")
        assert (status, out, err.count("was forgotten")) == (1, "", 1)

    @pytest.mark.parametrize("more", [[], ["--format", "json"]])
    def test_a_batch_that_is_not_there_is_told(self, more: list[str], full: str) -> None:
        told = lifecycle("store", "show", full, "x", *more)
        assert told == (1, "", f"lifecycle: no event of batch 'x' in {full}\n")


class TestAsALog:
    """`replay`, `audit` and `show` read a store as they read a file."""

    def test_an_audit_of_a_store_finds_what_one_of_its_export_finds(self, url: str, tmp_path: Path) -> None:
        """A store holds no broken law; under LAWS it takes what HOSTED complains of."""
        lifecycle("store", "import", "night.jsonl", "--skip", "--to", url, cwd=GOLDEN)
        path = tmp_path / "export.jsonl"
        lifecycle("store", "export", url, "--to", str(path))
        told: dict[str, Any] = {}
        for more in ([], ["--profile", "hosted"]):
            of_file, of_store = (lifecycle("audit", name, "--format", "json", *more) for name in (str(path), url))
            expected, told = json.loads(of_file[1]), json.loads(of_store[1])
            assert of_store[0] == of_file[0]
            for finding in expected["findings"]:
                finding["file"] = url  # and its lines are the positions
            assert told == expected
        assert {finding["tier"] for finding in told["findings"]} == {"contract", "advice"}

    def test_a_replay_of_a_store_is_that_of_its_log(self, night: Path, full: str) -> None:
        batch_id = events_of(full)[0].batch_id
        for more in ([], ["--until", "2"], ["--batch", batch_id], ["--until", "2025-01-10T12:00:00Z"]):
            for form in ("table", "json", "jsonl"):
                expected = lifecycle("replay", str(night), "--format", form, *more)
                assert lifecycle("replay", full, "--format", form, *more) == expected
        assert lifecycle("replay", full, "--profile", "hosted")[0] == 0

    def test_the_place_of_a_finding_is_the_store_and_the_position(self, url: str, tmp_path: Path) -> None:
        odd = lc.Record("a", 1, lc.Created("a", T, T + 2 * DAY, 4), None, T)
        lifecycle("store", "import", written(tmp_path / "a.jsonl", record("b", 1), odd), "--to", url)
        assert f"lifecycle: {url}:2: batch 'a' version 1: B3: " in lifecycle("replay", url, "--profile", "hosted")[2]
        # One batch is found by its id: its positions are not known then.
        told = lifecycle("replay", url, "--profile", "hosted", "--batch", "a")[2]
        assert told.startswith(f"lifecycle: {url}: batch 'a' version 1: B3: ")
        assert f"      at {url}\n" in lifecycle("show", url, "a", "--profile", "hosted")[1]

    def test_files_and_stores_are_one_log_in_the_order_given(self, night: Path, tmp_path: Path) -> None:
        lines = night.read_bytes().splitlines(keepends=True)
        first, rest = tmp_path / "first.jsonl", tmp_path / "rest.jsonl"
        first.write_bytes(b"".join(lines[:60]))
        rest.write_bytes(b"x\n" + b"".join(lines[60:]) + b"{}\ntorn")
        half = f"sqlite:///{tmp_path / 'half.db'}"
        lifecycle("store", "import", str(first), "--to", half)
        expected = lifecycle("replay", str(first), str(rest))
        assert expected[0] == 1
        assert lifecycle("replay", half, str(rest)) == expected
        asked = json.loads(lines[0])["subject"]
        assert lifecycle("show", half, str(rest), asked) == lifecycle("show", str(first), str(rest), asked)

    def test_a_long_life_is_read_a_page_at_a_time(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(records, "_PAGE", 2)
        path = written(tmp_path / "a.jsonl", *life("a", 5))
        lifecycle("store", "import", path, "--to", url)
        assert lifecycle("show", url, "a") == lifecycle("show", path, "a")

    def test_what_is_damaged_breaks_it_off_after_what_was_found(self, url: str, tmp_path: Path) -> None:
        odd = lc.Record("a", 1, lc.Created("a", T, T + 2 * DAY, 4), None, T)
        lifecycle("store", "import", written(tmp_path / "a.jsonl", odd, *life("b", 2)), "--to", url)
        with SQLStore(url) as store:  # more than a page, so that the first is whole
            store.append("c", [lc.Created("c", T, T + DAY, 4), *[LIFE[1]] * 1000], expected_version=0)
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("UPDATE lifecycle_events SET type = 'x' WHERE position = 1002")
        connection.close()
        status, out, err = lifecycle("audit", url, "--profile", "hosted", "--format", "jsonl")
        assert (status, [json.loads(line)["line"] for line in out.splitlines()]) == (3, [1])
        assert "position 1002: the row is damaged" in err
        assert err.count("\n") == 1


class TestUrls:
    @pytest.mark.parametrize(
        "text",
        [
            "sqlite:///a",
            "SQLITE:a",
            "postgresql:a",
            "postgresql+psycopg:a",
            "postgres:a",
            " sqlite:a",
            "mysql://a",
            "x+y://",
        ],
    )
    def test_one_is_told_from_a_file_by_its_scheme(self, text: str) -> None:
        assert records.is_url(text)

    @pytest.mark.parametrize(
        "text", ["", "-", "a.jsonl", "./sqlite:x", "sqlite", "sqlite/x.db", "sqlites:x", "c:\\x", "/postgresql:x"]
    )
    def test_all_else_is_a_file(self, text: str) -> None:
        assert not records.is_url(text)

    @pytest.mark.parametrize("name", ["import", "export", "verify", "stats", "show"])
    def test_a_file_is_no_store(self, name: str) -> None:
        status, out, err = lifecycle("store", name, *(["x", "--to"] if name == "import" else []), "batches.db")
        assert (status, out) == (2, "")
        assert "expected the URL of a store" in err
        assert err.splitlines()[1] == "lifecycle: see: lifecycle store --help"

    def test_an_option_that_cannot_be_is_told(self, full: str) -> None:
        status, out, err = lifecycle("store", "stats", f"{full}?timeout=soon")
        assert (status, out, err.count("\n"), "option" in err) == (3, "", 1, True)

    def test_a_hostile_id_is_an_id(self, url: str, tmp_path: Path) -> None:
        path = written(tmp_path / "a.jsonl", *(found for name in HOSTILE for found in life(name, 2)))
        assert lifecycle("store", "import", path, "--to", url)[0] == 0
        assert lifecycle("store", "verify", url)[0] == 0
        for name in HOSTILE:
            status, out, _ = lifecycle("store", "export", url, "--batch", name)
            assert (status, [wire.decode_record(line) for line in out.splitlines()]) == (0, life(name, 2))
            state = json.loads(lifecycle("store", "show", url, "--format", "jsonl", "--", name)[1])
            assert (state["batch_id"], state["version"]) == (name, 2)
            assert lifecycle("show", url, "--", name)[1].startswith(output.safe(name) + "\n")
        for name in ("a' or 'a'='a", "%'", "a\0b", "x" * (1 << 20), "\udcff", ""):
            for arguments in (
                ["store", "export", url, "--batch", name],
                ["store", "show", url, name],
                ["replay", url, "--batch", name],
            ):
                assert lifecycle(*arguments)[0] == 1
        assert len(events_of(url)) == 2 * len(HOSTILE)


READING = [
    ["replay", "URL"],
    ["audit", "URL"],
    ["audit", "URL", "--format", "json"],
    ["show", "URL", "x"],
    ["store", "import", "URL", "--to", "sqlite:///new.db"],
    ["store", "export", "URL"],
    ["store", "export", "URL", "--to", "new.jsonl"],
    ["store", "verify", "URL"],
    ["store", "stats", "URL"],
    ["store", "show", "URL"],
    ["store", "show", "URL", "x"],
]


def with_url(arguments: list[str], url: str) -> list[str]:
    return [url if word == "URL" else word for word in arguments]


class TestAStoreThatIsNotThere:
    @pytest.mark.parametrize("arguments", READING, ids=" ".join)
    def test_reading_does_not_make_it(self, arguments: list[str], tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        (tmp_path / "text").write_text("no database" * 1000)
        sqlite3.connect(tmp_path / "other").executescript("CREATE TABLE x (y)").connection.close()
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for name in (
            "missing",
            "no/such",
            ".",
            "empty",
            "text",
            "other",
            "file:missing?uri=true",
            "file:missing?uri=true&mode=rwc",
        ):
            status, out, err = lifecycle(*with_url(arguments, f"sqlite:///{name}"), cwd=tmp_path)
            assert (status, out, err.count("\n")) == (3, "", 1)
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


CANARY = "S3cr3tCanary"
LEAKY = [
    f"postgresql://me:{CANARY}@127.0.0.1:1/db",
    f"postgresql+psycopg://me:{CANARY}@127.0.0.1:1/db",
    f"postgres://me:{CANARY}%40{CANARY}@127.0.0.1:1/db",
    f"postgresql://me:{CANARY}@{CANARY}@127.0.0.1:1/db",
    f"postgresql://me:{CANARY} {CANARY}/{CANARY}@127.0.0.1:1/db",
    f"postgresql://me:{CANARY}@127.0.0.1:port/db",
    f"postgresql://me:{CANARY}@127.0.0.1:1/db?connect_timeout=soon",
    f"postgresql://me:{CANARY}@127.0.0.1:1/db?nonsense=1",
    f"postgresql://127.0.0.1:1/db?user=me&password={CANARY}",
    f"postgresql+asyncpg://me:{CANARY}@127.0.0.1:1/db",
    f"postgresql:me:{CANARY}@127.0.0.1:1/db",
    f"postgresql//me:{CANARY}@127.0.0.1:1/db",
    f"mysql://me:{CANARY}@127.0.0.1:1/db",
    f"host=127.0.0.1 port=1 user=me password={CANARY}",
    f"host=127.0.0.1 port=1 user=me password='{CANARY} {CANARY}'",
    f"sqlite://me:{CANARY}@127.0.0.1/x.db",
    f"sqlite:///x.db?password={CANARY}",
]


class TestPasswords:
    @pytest.mark.parametrize("arguments", [*READING, ["store", "import", "empty", "--to", "URL"]], ids=" ".join)
    def test_no_error_tells_one(self, arguments: list[str], tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        for url in LEAKY:
            status, out, err = lifecycle(*with_url(arguments, url), cwd=tmp_path)
            assert CANARY[:6] not in out + err
            if not url.startswith("sqlite:///"):  # whether its driver heeds such an option depends on the version
                assert (status in (2, 3), out) == (True, "")
                assert err.startswith("lifecycle: ")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["URL"],
            ["audit", "--profile", "URL", "x"],
            ["audit", "x", "--URL"],
            ["show", "URL"],
            ["store", "URL"],
            ["store", "show", "URL", "x", "URL"],
            ["store", "verify", "URL", "--format", "URL"],
            ["store", "import", "URL", "URL"],
            ["explain", "URL"],
            ["check", "URL"],
            ["replay", str(GOLDEN / "night.jsonl"), "--batch", "URL"],
            ["show", str(GOLDEN / "night.jsonl"), "URL"],
        ],
        ids=" ".join,
    )
    def test_no_mistake_of_usage_tells_one(self, arguments: list[str]) -> None:
        for url in LEAKY:
            status, out, err = lifecycle(*with_url(arguments, url))
            assert status in (1, 2, 3)
            assert err.startswith("lifecycle: ")
            assert CANARY not in out + err

    def test_what_hides_them_is_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The negative control."""
        monkeypatch.setattr(output, "hidden", lambda text: text)
        assert CANARY in lifecycle("check", LEAKY[0])[2]

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a:b@c", "a:b@c"),
            ("sqlite:///x.db:3: a@b", "sqlite:///x.db:3: a@b"),
            ("https://host:80/a, b@c", "https://host:80/a, b@c"),
            ("//me:a@host", "//me:***@host"),
            ("x://me:a@b\n@host, y", "x://me:***@host, y"),
            ("x://me@host", "x://me@host"),
            ("x://h/?PASSWORD=a&b=c sslpassword = 'a b' c", "x://h/?PASSWORD=***&b=c sslpassword = *** c"),
        ],
    )
    def test_what_is_hidden(self, text: str, shown: str) -> None:
        assert output.hidden(text) == shown


class TestTheExtra:
    @pytest.mark.parametrize(
        ("module", "url", "extra"),
        [
            ("psycopg", f"postgresql://me:{CANARY}@127.0.0.1/x", "postgres"),
            ("lifecycle.store.sql", f"postgresql://me:{CANARY}@127.0.0.1/x", "postgres"),
            ("lifecycle.store.sql", "sqlite:///x.db", "sql"),
        ],
    )
    def test_without_it_one_sentence_says_what_to_install(
        self, module: str, url: str, extra: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        for name in ("audit", "replay"):
            status, out, err = lifecycle(name, url)
            assert (status, out, err.count("\n")) == (3, "", 1)
            assert f"pip install 'lifecycle[{extra}]'" in err
            assert CANARY not in err

    def test_logs_need_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("lifecycle.store.sql", "lifecycle.store.databases", "sqlalchemy"):
            monkeypatch.setitem(sys.modules, name, None)
        assert lifecycle("audit", "night.jsonl", "--profile", "hosted", cwd=GOLDEN)[0] == 1


class TestHelp:
    @pytest.mark.parametrize("name", ["import", "export", "verify", "stats", "show"])
    def test_each_command_has_help_with_examples(self, name: str) -> None:
        status, out, err = lifecycle("store", name, "--help")
        assert (status, err) == (0, "")
        assert out.startswith(f"Usage: lifecycle store {name}")
        assert f"lifecycle store {name}" in out[out.index("\n\nExamples:\n\n    ") :]

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_script_for_completion_knows_them(self, shell: str) -> None:
        script = lifecycle("completion", shell)[1]
        assert all(name in script for name in ("store", "import", "export", "verify", "stats", "skip", "hosted"))


def test_a_store_shows_how_many_of_its_events_were_read(full: str) -> None:
    terminal = Terminal("audit", full, "-", patience=0, width=120)
    terminal.wait_for("120 events")
    assert terminal.finish() == 0


class TestPostgres:
    @pytest.fixture
    def secretive(self, postgres_server: Any, postgres_url: str) -> Iterator[str]:
        """The URL of a database that asks for a password, which is the canary."""
        import psycopg  # noqa: PLC0415 -- as in the fixture

        options = parse_qs(urlsplit(postgres_url).query)
        schema = options["options"][0].removeprefix("-csearch_path=")
        rules = postgres_server.folder / "data" / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"local all secretive scram-sha-256\n{before}")
        postgres_server.execute("SELECT pg_reload_conf()")
        postgres_server.execute(f"CREATE ROLE secretive LOGIN PASSWORD '{CANARY}'")
        postgres_server.execute(f"GRANT ALL ON SCHEMA {schema} TO secretive")
        url = f"postgresql://secretive:{CANARY}@/postgres?{urlsplit(postgres_url).query}"
        asked = False
        while not asked:  # the server takes up its rules when it comes to it
            try:
                psycopg.connect(url.replace(CANARY, "wrong")).close()
            except psycopg.OperationalError as error:
                asked = "password" in str(error)
        yield url
        rules.write_text(before)
        postgres_server.execute("SELECT pg_reload_conf()")
        postgres_server.execute("DROP OWNED BY secretive CASCADE")
        postgres_server.execute("DROP ROLE secretive")

    def test_commands_work_and_never_tell_the_password(self, secretive: str, night: Path, tmp_path: Path) -> None:
        shown = "postgresql://secretive:***@/postgres"
        odd = [lc.Record(name, 1, lc.Created(name, T, T + 2 * DAY, 4), None, T) for name in HOSTILE]
        log.append(night, odd)
        told = [lifecycle("store", "import", str(night), "--to", secretive) for _ in "12"]
        count = 120 + len(odd)
        assert [out for _, out, _ in told] == [
            f"{shown}: {count} events: {count} new, 0 already there\n",
            f"{shown}: {count} events: 0 new, {count} already there\n",
        ]
        told += [exported := lifecycle("store", "export", secretive)]
        assert exported[1].encode() == night.read_bytes()
        told += [lifecycle("audit", secretive, "--profile", "hosted", "--format", form) for form in ("table", "json")]
        findings = json.loads(told[-1][1])["findings"]
        assert [(found["batch_id"], found["file"], found["line"]) for found in findings] == sorted(
            (found.batch_id, shown, place) for place, found in enumerate(odd, 121)
        )
        told += [lifecycle("replay", secretive, "--profile", "hosted"), lifecycle("store", "show", secretive)]
        told += [lifecycle("store", "show", secretive, name, "--profile", "hosted") for name in HOSTILE]
        assert all(f"at {shown}\n" in out for _, out, _ in told[-len(HOSTILE) :])
        told += [verified := lifecycle("store", "verify", secretive), lifecycle("store", "stats", secretive)]
        assert verified == (0, f"{shown}: no damage\n", "")
        assert told[-1][1].splitlines()[:3] == [shown, "  schema      1", f"  size        {output.NOTHING}"]
        bad = written(tmp_path / "bad.jsonl", record("x", 2))
        told += [lifecycle("store", "import", bad, "--to", secretive), lifecycle("show", secretive, "none")]
        assert CANARY not in str(told)
        assert "Traceback" not in str(told)

    def test_what_is_wrong_is_told_without_the_password(self, secretive: str, tmp_path: Path) -> None:
        wrong = f"wrong{CANARY}"
        urls = {
            "password authentication failed": secretive.replace(CANARY, wrong),
            'database "nowhere" does not exist': secretive.replace("/postgres", "/nowhere"),
            'role "nobody" does not exist': secretive.replace("//secretive", "//nobody"),
            "No such file or directory": secretive.replace(quote("lifecycle-pg"), "gone"),
            "there is no store": secretive,
        }
        for arguments in READING:
            for said, url in urls.items():
                status, out, err = lifecycle(*with_url(arguments, url), cwd=tmp_path)
                assert (status, out, err.count("\n"), said in err) == (3, "", 1, True), err
                assert CANARY not in err
        assert [*tmp_path.iterdir()] == []

    def test_what_the_server_refuses_is_told_with_where_the_import_stands(
        self, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores, "PART", 2)
        long = "".join(random.Random(1).choices("0123456789abcdef", k=100_000))  # no index can hold it
        path = written(tmp_path / "a.jsonl", *life("a", 3), record(long, 1), record("b", 1))
        status, out, err = lifecycle("store", "import", path, "--to", postgres_url)
        assert (status, err.count("\n"), "index row" in err) == (3, 1, True)
        assert out.endswith(
            f": 2 events: 2 new, 0 already there; stopped at {path}:3, nothing from there on is imported\n"
        )
        assert events_of(postgres_url) == life("a", 2)

    def test_reading_makes_no_store(self, postgres_server: Any, postgres_url: str) -> None:
        lifecycle("audit", postgres_url)
        asked = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'lifecycle%'"
        assert postgres_server.execute(asked) == [(0,)]
