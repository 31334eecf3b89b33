"""observe, diff, outcome: what polls tell, and that nothing of theirs is lost or believed too easily."""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import lifecycle as lc
from lifecycle import log, wire
from lifecycle.cli import app, output, polls, snapshots
from lifecycle.cli.snapshots import MAX_BYTES, read_poll
from tests import recorded
from tests.cli.running import GOLDEN, Terminal, lifecycle, on_terminal
from tests.lives import CANCELED, CREATED, ENDED, LIFE

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RUNNING, OVER = (wire.encode_batch(lc.fold(LIFE[:length])) for length in (1, 4))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in a folder with the given files; returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, **files: bytes) -> tuple[int, str, str]:
        for name, content in files.items():
            Path(name).write_bytes(content)
        status = app.run(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return command


def poll(body: bytes, observed_at: str) -> bytes:
    return b'{"observed_at":"' + observed_at.encode() + b'","snapshot":' + body + b"}"


def broken_off(body: bytes) -> bytes:
    """A compressed file that ends too early, after a whole line."""
    return gzip.compress(body + b"\n" + random.Random(1).randbytes(100_000))[:-9]


def records(text: str) -> list[lc.Record]:
    return [wire.decode_record(line) for line in text.splitlines()]


class TestObserve:
    def recorded_polls(self, batches: Sequence[str]) -> list[bytes]:
        return [
            poll(body, observed_at) if observed_at else body
            for batch_id in batches
            for observed_at, body in recorded.polls()[batch_id]
        ]

    def test_the_recorded_polls_become_the_recorded_log(self, run: Any) -> None:
        """All 108 answers about 20 batches: the 38 events of the example, each recorded when it was first seen."""
        status, out, err = run(
            "observe", "polls", "--profile", "hosted", polls=b"\n".join(self.recorded_polls([*recorded.polls()]))
        )
        assert (status, err) == (0, "")
        known = {(record.batch_id, record.version): record for record in log.read(EXAMPLES / "recorded.jsonl")}
        found = {(record.batch_id, record.version): record for record in records(out)}
        assert {key: record.event for key, record in found.items()} == {
            key: record.event for key, record in known.items()
        }
        seen = {batch_id for batch_id, answers in recorded.polls().items() if answers[0][0]}
        assert seen
        for key, record in found.items():
            if key[0] in seen:
                assert record == known[key]

    @pytest.mark.parametrize("number", [34, 37])
    def test_of_many_polls_two_events_are_left(self, run: Any, number: int) -> None:
        [batch_id] = [key for key, answers in recorded.polls().items() if len(answers) == number]
        status, out, _ = run("observe", "polls", polls=b"\n".join(self.recorded_polls([batch_id])))
        assert status == 0
        assert [record.event.tag for record in records(out)] == ["created", "ended"]

    @pytest.mark.parametrize("seed", range(3))
    def test_interleaved_repeated_and_out_of_order_they_end_in_the_same_batches(self, run: Any, seed: int) -> None:
        rng = random.Random(seed)
        lines = self.recorded_polls([*recorded.polls()])
        lines += rng.choices(lines, k=50)
        rng.shuffle(lines)
        status, out, err = run("observe", "polls", "--profile", "hosted", polls=b"\n".join(lines))
        assert (status, err) == (0, "")
        report = lc.replay(records(out), profile=lc.HOSTED)
        assert report.findings == ()
        newest = {batch_id: wire.decode_batch(answers[-1][1]) for batch_id, answers in recorded.polls().items()}
        assert report.batches == newest

    def test_what_it_writes_is_a_log_without_findings(self, run: Any) -> None:
        out = (GOLDEN / "observe.jsonl").read_bytes()
        assert run("audit", "log", "--profile", "hosted", log=out)[0] == 0
        assert all(line.endswith('"}') and '"crc32":"' in line for line in out.decode().splitlines())

    def test_a_file_may_be_an_array_or_a_page_and_several_are_read_in_order(self, run: Any) -> None:
        array = b"[" + poll(RUNNING, "2025-01-29T14:25:00Z") + b"," + RUNNING + b"]"
        page = b'{"data":[' + poll(OVER, "2025-01-29T17:00:00Z") + b'],"has_more":false}'
        status, out, _ = run("observe", "1", "2", **{"1": array, "2": page})
        assert status == 0
        assert [(record.version, record.event) for record in records(out)] == [(1, CREATED), (2, CANCELED), (3, ENDED)]

    def test_without_snapshots_there_is_no_log(self, run: Any) -> None:
        assert run("observe", "none", none=b"\n") == (0, "", "lifecycle: no snapshots in none\n")

    def test_events_that_no_log_can_hold_are_told_and_nothing_of_them_is_written(self, run: Any) -> None:
        huge = RUNNING.replace(b'"processing":4', b'"processing":9223372036854775807').replace(
            b'"succeeded":0', b'"succeeded":1'
        )
        long = OVER.replace(b"msgbatch_01", b"x" * 400_000, 1)
        odd = OVER.replace(b"msgbatch_01", b"\xc2\x9b" * 100_000, 1)
        status, out, err = run("observe", "polls", polls=b"\n".join([huge, long, odd, RUNNING]))
        assert status == 1
        assert [record.batch_id for record in records(out)] == ["msgbatch_01"]
        assert [line.split(":")[1].strip() for line in err.splitlines()] == ["polls[0]", "polls[1]", "polls[2]"]
        assert err.count("events cannot be written") == 3

    def test_what_was_found_before_a_file_breaks_off_is_written(self, run: Any) -> None:
        status, out, err = run("observe", "polls", "gone", polls=RUNNING)
        assert (status, out) == (3, "")  # told before anything is read
        half = broken_off(RUNNING)
        status, out, err = run("observe", "polls", "half", polls=RUNNING, half=half)
        assert status == 3
        assert [record.version for record in records(out)] == [1]
        assert err.splitlines()[-1].startswith("lifecycle: half: cannot be read: ")


class TestWhenItWasRecorded:
    def times(self, run: Any, text: bytes) -> list[str]:
        _, out, _ = run("observe", "polls", polls=text)
        return [record.recorded_at.isoformat() for record in records(out)]

    def test_when_it_was_observed(self, run: Any) -> None:
        seen = "2025-01-29T15:00:00+00:00"
        for text in (
            poll(RUNNING, "2025-01-29T16:00:00+01:00"),
            RUNNING[:-1] + b',"observed_at":"2025-01-29T15:00Z"}',
            b'{"snapshot": ' + RUNNING + b', "operation": "retrieve", "observed_at": "2025-01-29 15:00:00Z"}',
        ):
            assert self.times(run, text) == [seen]

    def test_else_at_the_latest_time_that_the_snapshot_states_of_what_has_happened(self, run: Any) -> None:
        assert self.times(run, OVER) == [ENDED.ended_at.isoformat()] * 3
        assert self.times(run, RUNNING + b"\n" + OVER) == [
            CREATED.created_at.isoformat(),
            *[ENDED.ended_at.isoformat()] * 2,
        ]
        nothing = b'{"observed_at":null,"snapshot":' + RUNNING + b"}"
        for text in (nothing, b'{"snapshot":' + RUNNING + b"}", RUNNING[:-1] + b',"observed_at":null}'):
            assert self.times(run, text) == [CREATED.created_at.isoformat()]

    def test_a_time_before_what_the_snapshot_states_is_kept_and_warned_of(self, run: Any) -> None:
        status, out, err = run("observe", "polls", polls=RUNNING + b"\n" + poll(OVER, "2025-01-29T15:00:00Z"))
        assert status == 0
        assert [record.recorded_at.hour for record in records(out)] == [CREATED.created_at.hour, 15, 15]
        assert err == (
            "lifecycle: warning: polls[1]: batch 'msgbatch_01': observed at 2025-01-29 15:00:00+00:00, "
            f"before {ENDED.ended_at}, which the snapshot itself states\n"
        )

    def test_a_time_before_that_of_the_records_before_is_kept_and_warned_of(self, run: Any) -> None:
        first, second = poll(RUNNING, "2025-02-02T00:00:00Z"), poll(OVER, "2025-02-01T00:00:00Z")
        status, out, err = run("observe", "polls", polls=first + b"\n" + second)
        assert (status, len(records(out))) == (0, 3)
        assert err == (
            "lifecycle: warning: polls[1]: batch 'msgbatch_01': observed at 2025-02-01 00:00:00+00:00, "
            "before 2025-02-02 00:00:00+00:00, when its events before these were recorded\n"
        )

    def test_of_a_time_at_which_nothing_is_recorded_nobody_is_warned(self, run: Any) -> None:
        late, early = poll(OVER, "2025-02-02T00:00:00Z"), poll(OVER, "2025-01-01T00:00:00Z")
        assert run("observe", "polls", polls=late + b"\n" + early)[::2] == (0, "")

    @pytest.mark.parametrize("value", ["7", '"yesterday"', '"2025-01-29T15:00:00"', "[]", "true"])
    def test_what_is_no_time_is_told(self, run: Any, value: str) -> None:
        body = b'{"observed_at":' + value.encode() + b',"snapshot":' + RUNNING + b"}"
        own = RUNNING[:-1] + b',"observed_at":' + value.encode() + b"}"
        status, out, err = run("observe", "polls", polls=body + b"\n" + own)
        assert (status, out, err.count("$.observed_at")) == (1, "", 2)


class TestPolls:
    """What stands around a snapshot takes nothing away from the strictness of the wire."""

    @pytest.mark.parametrize(
        "body",
        [
            RUNNING.replace(b'"processing":4', b'"processing":4.0'),
            RUNNING.replace(b'"processing":4', b'"processing":NaN'),
            RUNNING[:-1] + b',"x":9223372036854775808}',
            RUNNING[:-1] + b',"x":"\xff"}',
            b"[]",
            b"null",
        ],
    )
    def test_a_wrapped_snapshot_is_read_from_its_own_bytes(self, body: bytes) -> None:
        with pytest.raises(lc.WireError) as alone:
            wire.decode_batch(body)
        with pytest.raises(lc.WireError) as wrapped:
            read_poll(poll(body, "2025-01-29T15:00:00Z"))
        assert wrapped.value.problems == alone.value.problems

    @pytest.mark.parametrize(
        "text",
        [
            poll(RUNNING, "2025-01-29T15:00:00Z")[:-1],
            poll(RUNNING, "2025-01-29T15:00:00Z") + b"x",
            b'["snapshot"]',
            b'{"snapshots":"snapshot"}',
            b'{"snapshot":' + b"[" * 100_000,
        ],
    )
    def test_what_is_no_poll_is_explained_by_the_wire(self, text: bytes) -> None:
        with pytest.raises(lc.WireError) as alone:
            wire.decode_batch(text)
        with pytest.raises(lc.WireError) as found:
            read_poll(text)
        assert found.value.problems == alone.value.problems

    def test_a_snapshot_with_a_key_of_events_stays_one(self, run: Any) -> None:
        assert run("check", "a", a=RUNNING[:-1] + b',"specversion":"1.0"}')[0] == 0

    def test_a_snapshot_may_have_an_unknown_key_of_that_name(self) -> None:
        body = RUNNING[:-1] + b',"snapshot":{"id":1}}'
        assert read_poll(body).batch == wire.decode_batch(RUNNING)

    def test_the_last_of_a_repeated_key_counts(self) -> None:
        text = b'{"snapshot":1,"observed_at":"2025-01-29T15:00:00Z","snapshot":' + RUNNING + b',"observed_at":null}'
        assert (read_poll(text).batch, read_poll(text).observed_at) == (wire.decode_batch(RUNNING), None)

    def test_what_was_refused_while_it_was_looked_for_stays_refused(self) -> None:
        refusal = lc.WireError((("$", "the line is over the limit"),))
        with pytest.raises(lc.WireError) as found:
            read_poll(refusal)
        assert found.value is refusal

    def test_a_body_over_the_limit_is_refused(self) -> None:
        assert MAX_BYTES > wire.MAX_BYTES
        with pytest.raises(lc.WireError):
            read_poll(poll(RUNNING[:-1] + b',"x":"' + b"x" * wire.MAX_BYTES + b'"}', "2025-01-29T15:00:00Z"))


class TestDiff:
    def verdict(self, run: Any, a: bytes, b: bytes, *options: str) -> tuple[int, dict[str, Any]]:
        status, out, err = run("diff", "a", "b", "--format", "json", *options, a=a, b=b)
        assert err == ""
        found: dict[str, Any] = json.loads(out)
        return status, found

    def test_later_and_stale_are_each_other_s_reverse(self, run: Any) -> None:
        status, found = self.verdict(run, RUNNING, OVER)
        assert (status, found["verdict"]) == (0, "later")
        assert [event["event"] for event in found["events"]] == ["cancel_initiated", "ended"]
        assert found["events"][1]["request_counts"] == json.loads(OVER)["request_counts"]
        status, back = self.verdict(run, OVER, RUNNING)
        assert (status, back["verdict"], back["events"]) == (0, "stale", [])
        assert [(one["field"], one["a"], one["b"]) for one in found["changes"]] == [
            (one["field"], one["b"], one["a"]) for one in back["changes"]
        ]

    def test_equal_ones_have_no_changes(self, run: Any) -> None:
        assert self.verdict(run, OVER, OVER)[1] == {
            "verdict": "equal",
            "events": [],
            "violations": [],
            "stale_violations": [],
            "changes": [],
        }

    def test_a_url_alone_makes_no_event_and_t7_may_forbid_it(self, run: Any) -> None:
        other = OVER.replace(b"/results", b"/elsewhere")
        status, found = self.verdict(run, OVER, other)
        assert (status, found["verdict"], [one["field"] for one in found["changes"]]) == (0, "equal", ["results_url"])
        status, found = self.verdict(run, OVER, other, "--profile", "hosted")
        assert (status, found["verdict"], [one["rule"] for one in found["violations"]]) == (1, "conflict", ["T7"])
        _, out, _ = run("diff", "a", "b")
        assert "B is equal to A but for results_url" in out

    def test_unknown_keys_are_compared_too(self, run: Any) -> None:
        b = RUNNING[:-1] + b',"archive_at":null,"n":{"\\u202e":1}}'
        b = b.replace(b'"expired":0', b'"expired":0,"total":4')
        status, found = self.verdict(run, RUNNING, b)
        assert (status, found["verdict"]) == (0, "equal")
        assert [(one["field"], one["b"]) for one in found["changes"]] == [
            ("archive_at", "null"),
            ("n", '{"\\u202e":1}'),
            ("request_counts.total", "4"),
        ]

    @pytest.mark.parametrize(
        ("a", "b", "said"),
        [
            (RUNNING, OVER, "B is later than A, by 2 events:"),
            (OVER, RUNNING, "B is stale: events lead from B to A."),
            (OVER, OVER, "B is equal to A."),
            (OVER, RUNNING.replace(b"msgbatch_01", b"msgbatch_02"), "A and B contradict each other."),
            (OVER, OVER.replace(b'"processing":0', b'"processing":1'), "B cannot be. On its own it breaks"),
        ],
    )
    def test_people_are_told_in_a_sentence(self, run: Any, a: bytes, b: bytes, said: str) -> None:
        status, out, err = run("diff", "a", "b", a=a, b=b)
        assert (status, err) == (1 if "contradict" in said or "cannot" in said else 0, "")
        assert said in out
        assert out.startswith("field ")

    @pytest.mark.parametrize(
        ("one", "other", "shown"),
        [
            (1, 1, ""),
            (None, "x", "new"),
            ("x", None, "gone"),
            (1000, 3500, "+2,500"),
            (3, 1, "-2"),
            (CREATED.created_at, CREATED.expires_at, "+1d 0h"),
            ("x", "y", "changed"),
        ],
    )
    def test_a_difference_in_a_word(self, one: Any, other: Any, shown: str) -> None:
        assert polls._difference(one, other) == shown

    def test_each_file_has_one_snapshot(self, run: Any) -> None:
        for a, b in ((RUNNING + b"\n" + OVER, OVER), (OVER, RUNNING + b"\n" + OVER), (b"", OVER), (OVER, b"[]")):
            status, out, err = run("diff", "a", "b", a=a, b=b)
            assert (status, out, err.count("\n")) == (3, "", 1)
            assert "has several snapshots" in err or "has no snapshot" in err

    def test_one_that_cannot_be_read_is_told(self, run: Any) -> None:
        status, out, err = run("diff", "a", "b", a=OVER, b=b"{}")
        assert (status, out, err.count("\n")) == (3, "", 1)
        assert err.startswith("lifecycle: b: no snapshot of a batch: $.")

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", bytes(range(256)), OVER + b"\n" + OVER])
    def test_what_is_not_one_snapshot_is_the_same_to_reconcile(self, run: Any, content: bytes) -> None:
        assert run("diff", "a", "b", a=content, b=OVER) == run("reconcile", "a", "b", a=content, b=b"")

    def test_either_may_come_compressed_and_from_standard_input(self, run: Any, tmp_path: Path) -> None:
        told = run("diff", "a", "b", a=RUNNING, b=OVER)
        for names, stdin in ((("-", "b"), RUNNING), (("a", "-"), OVER)):
            assert lifecycle("diff", *names, cwd=tmp_path, stdin=gzip.compress(stdin)) == told

    @pytest.mark.parametrize("width", [60, 200])
    def test_on_a_terminal_nothing_is_too_wide_or_lost(self, width: int) -> None:
        status, text = on_terminal("diff", "later.json", "conflict.json", width=width, cwd=GOLDEN)
        assert status == 1
        assert max(map(len, text.splitlines())) <= width
        assert output.safe(text.replace("\n", "")) == text.replace("\n", "")
        for part in ("ended_at", "+0.429303s", "T4 (law)", "request_counts.succeeded"):
            assert part in text


class TestOutcome:
    def test_every_recorded_snapshot_has_one(self, run: Any) -> None:
        status, out, err = run("outcome", str(EXAMPLES / "recorded_snapshots.jsonl"), "--format", "jsonl")
        assert (status, err) == (0, "")
        found = [json.loads(line) for line in out.splitlines()]
        with (EXAMPLES / "recorded_snapshots.jsonl").open("rb") as file:
            batches = [wire.decode_batch(line) for line in file]
        assert [one["outcome"] for one in found] == [str(lc.outcome(batch)) for batch in batches]
        assert {one["outcome"] for one in found} == {"pending", "succeeded", "canceled"}

    def test_one_that_breaks_a_rule_is_told_beside_its_outcome(self, run: Any) -> None:
        live = RUNNING.replace(b'"processing":4,"succeeded":0', b'"processing":3,"succeeded":1')
        advice = RUNNING[:-1] + b',"archive_at":null}'
        assert run("outcome", "a", a=live)[0] == 0
        status, out, err = run("outcome", "a", "--profile", "hosted", a=live + b"\n" + advice)
        assert (status, err.count("\n"), "B7" in err) == (1, 1, True)
        assert out.splitlines()[-1] == "2 snapshots: 2 pending"

    def test_what_was_found_before_a_file_breaks_off_is_written(self, run: Any) -> None:
        half = broken_off(OVER)
        for form, marker in (("table", "2 snapshots: 2 partial"), ("json", '"partial"'), ("jsonl", '"partial"')):
            status, out, err = run("outcome", "a", "half", "--format", form, a=OVER, half=half)
            assert status == 3
            assert marker in out
            assert "half: cannot be read" in err

    def test_programs_are_told_all_that_people_are(self, run: Any) -> None:
        wrong = OVER.replace(b'"processing":0', b'"processing":1')
        for form in ("json", "jsonl"):
            status, out, err = run("outcome", "a", "--format", form, a=b"\n".join([OVER, b"{}", wrong]))
            good, unread, broken = json.loads(out) if form == "json" else map(json.loads, out.splitlines())
            assert status == 1
            assert (good["request_counts"], good["violations"]) == (json.loads(OVER)["request_counts"], [])
            assert [*unread] == [*good] == [*broken]
            assert (unread["file"], unread["index"], unread["outcome"], unread["request_counts"]) == (
                "a",
                1,
                None,
                None,
            )
            assert {found["rule"] for found in unread["violations"]} == {"wire"}
            assert "$.id: missing" in [found["message"] for found in unread["violations"]]
            assert "B5" in [found["rule"] for found in broken["violations"]]
            for found in unread["violations"] + broken["violations"]:
                assert found["message"] in err

    def test_without_snapshots_it_says_so(self, run: Any) -> None:
        assert run("outcome", "none", none=b"") == (0, "0 snapshots\n", "lifecycle: no snapshots in none\n")
        assert run("outcome", "none", "--format", "json")[:2] == (0, "[]\n")

    @pytest.mark.parametrize("width", [60, 250])
    def test_on_a_terminal_hostile_ids_are_harmless(self, width: int) -> None:
        status, text = on_terminal("outcome", "polls.jsonl", width=width, cwd=GOLDEN)
        assert status == 1
        assert output.safe(text.replace("\n", "")) == text.replace("\n", "")
        assert r"\x1b[31m\u202eodd\x7f" in text.replace("\n", "")


@pytest.mark.parametrize("command", [["observe"], ["outcome"], ["diff", "there"]])
class TestFilesThatCannotBeRead:
    """Status 3, one sentence."""

    @pytest.mark.parametrize("name", ["missing", ".", "there/below"])
    def test_not_there_or_no_file(self, run: Any, command: list[str], name: str) -> None:
        status, out, err = run(*command, name, there=RUNNING)
        assert (status, out, err.count("\n")) == (3, "", 1)
        assert err.startswith(f"lifecycle: {name}: cannot be read: ")

    def test_an_empty_path_is_called_so(self, run: Any, command: list[str]) -> None:
        expected = (3, "", "lifecycle: '': cannot be read: the path is empty\n")
        assert run(*command, "", there=RUNNING) == expected

    def test_of_an_event_log_it_is_said_what_reads_it(self, run: Any, command: list[str]) -> None:
        event = (GOLDEN / "observe.jsonl").read_bytes().splitlines()[0]
        for log_of_one in (event, b"[" + event + b"]"):
            status, _, err = run(*command, "log", there=RUNNING, log=log_of_one)
            assert status == (3 if command[0] == "diff" else 1)
            assert err.count("looks like a line of an event log") == err.count("`lifecycle replay`") == 1

    def test_gzip_that_was_damaged(self, run: Any, command: list[str]) -> None:
        packed = bytearray(gzip.compress(RUNNING))
        packed[-6] ^= 0xFF
        status, _, err = run(*command, "damaged", there=RUNNING, damaged=bytes(packed))
        assert (status, err.count("\n")) == (3, 1)

    def test_a_binary_file_is_full_of_what_is_no_snapshot(self, run: Any, command: list[str]) -> None:
        status, _, err = run(*command, "binary", there=RUNNING, binary=bytes(range(256)) * 20 + b"\n")
        assert status == (3 if command[0] == "diff" else 1)
        assert output.safe(err.replace("\n", "")) == err.replace("\n", "")

    def test_an_interrupt_tells_what_was_wrong_until_then(
        self, run: Any, command: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(_: snapshots.Source) -> Iterator[bytes]:
            yield RUNNING if command[0] == "diff" else b"{}"
            raise KeyboardInterrupt

        monkeypatch.setattr(snapshots.Source, "snapshots", interrupted)
        status, _, err = run(*command, "there", there=RUNNING)
        assert status == 130
        *others, last = err.splitlines()
        assert [line[:38] for line in others] == ["lifecycle: there[0]: no snapshot: $.id"] * (command[0] != "diff")
        assert last == "lifecycle: interrupted"


def test_a_long_job_shows_how_far_it_is() -> None:
    terminal = Terminal("outcome", "-", width=80, patience=0)
    terminal.wait_for("outcome ━")
    assert terminal.finish() == 0
    assert "lifecycle: no snapshots in -" in terminal.text


def test_an_observed_log_is_printable_ascii_and_loses_nothing() -> None:
    text = (GOLDEN / "observe.jsonl").read_text(encoding="utf-8")
    assert text.replace("\n", "").isprintable()
    assert text.isascii()
    assert {record.batch_id for record in records(text)} >= {"msgbatch_\x1b[31m\u202eodd\x7fé"}
