"""`explain` and `machine`: read off the rulebook, the chart and the events, and held to them."""

import json

import pytest

import lifecycle as lc
from lifecycle import wire
from lifecycle.cli import explaining
from lifecycle.cli.examples import BATCHES, DAMAGED_LINE, EVENTS, EXAMPLES, Snapshot, Step, Stream
from lifecycle.cli.output import UsageError


class TestExamples:
    def test_every_rule_has_one(self) -> None:
        assert list(EXAMPLES) == list(lc.RULES)

    @pytest.mark.parametrize("rule_id", lc.RULES)
    def test_an_example_breaks_its_rule_and_no_other(self, rule_id: str) -> None:
        assert [violation.rule.id for violation in EXAMPLES[rule_id].violations()] == [rule_id]

    @pytest.mark.parametrize("rule_id", lc.RULES)
    def test_what_it_is_compared_with_is_legal(self, rule_id: str) -> None:
        match EXAMPLES[rule_id]:
            case Snapshot(legal=batch):
                assert lc.check(batch, profile=lc.HOSTED) == ()
            case Step(after=batch):
                assert lc.check(batch, profile=lc.HOSTED) == ()
            case Stream(records=records):
                assert lc.replay(records[:-1], profile=lc.HOSTED).findings == ()

    def test_the_damaged_line_is_refused_for_its_damage_alone(self) -> None:
        with pytest.raises(lc.WireError) as error:
            wire.decode_record(DAMAGED_LINE)
        assert [path for path, _ in error.value.problems] == ["$.crc32"]

    def test_there_is_an_event_of_each_tag_and_a_batch_in_each_phase(self) -> None:
        assert list(EVENTS) == list(dict.fromkeys(tag for _, tag in lc.TRANSITIONS))
        assert {tag: event.tag for tag, event in EVENTS.items()} == {tag: tag for tag in EVENTS}
        assert list(BATCHES) == list(lc.Phase)
        assert {phase: batch.phase for phase, batch in BATCHES.items()} == {phase: phase for phase in lc.Phase}
        assert all(lc.check(batch, profile=lc.HOSTED) == () for batch in BATCHES.values())


def explained(capsys: pytest.CaptureFixture[str], word: str) -> str:
    assert explaining.explain(word) == 0
    return capsys.readouterr().out


class TestExplain:
    @pytest.mark.parametrize("rule", lc.RULES.values(), ids=lambda rule: rule.id)
    def test_a_rule_is_told_in_the_words_of_the_rulebook(
        self, capsys: pytest.CaptureFixture[str], rule: lc.Rule
    ) -> None:
        text = explained(capsys, rule.id)
        assert text.startswith(f"{rule.id}, a rule\n  {rule.sentence}\n")
        assert f"  source      {rule.source}\n" in text
        assert f"  tier        {rule.tier}: " in text
        assert rule.broken in text
        [violation] = EXAMPLES[rule.id].violations()
        assert text.endswith(f"  It breaks the rule:\n    {violation.message}\n")

    @pytest.mark.parametrize("tag", EVENTS)
    def test_an_event_is_told_with_what_it_carries_and_where_it_is_allowed(
        self, capsys: pytest.CaptureFixture[str], tag: str
    ) -> None:
        text = explained(capsys, tag)
        assert text.startswith(f"{tag}, an event\n")
        example = next(line for line in text.splitlines() if line.startswith("{"))
        record = wire.decode_record(example)
        assert record.event == EVENTS[tag]
        assert all(name in text for name in json.loads(example)["data"])
        for (before, name), after in lc.TRANSITIONS.items():
            assert (f"{before or 'no batch yet'} → {after}" in text) or name != tag

    @pytest.mark.parametrize("phase", lc.Phase)
    def test_a_phase_is_told_with_how_it_is_reached_and_what_may_follow(
        self, capsys: pytest.CaptureFixture[str], phase: lc.Phase
    ) -> None:
        text = explained(capsys, phase)
        assert f"{phase}, a phase\n" in text
        about = text[text.index(f"{phase}, a phase\n") :]
        following = [tag for before, tag in lc.TRANSITIONS if before is phase]
        assert f"  allowed     {', '.join(following) or 'nothing may follow'}\n" in about
        example = next(line for line in about.splitlines() if line.startswith("{"))
        assert wire.decode_batch(example) == wire.decode_batch(wire.encode_batch(BATCHES[phase]))

    @pytest.mark.parametrize("word", ["ended", "archived", "deleted"])
    def test_a_word_that_is_event_and_phase_is_told_as_both(
        self, capsys: pytest.CaptureFixture[str], word: str
    ) -> None:
        text = explained(capsys, word)
        assert text.index(f"{word}, an event\n") < text.index(f"\n\n{word}, a phase\n")

    def test_a_refused_line_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert DAMAGED_LINE.decode() in explained(capsys, "wire")

    @pytest.mark.parametrize(
        ("word", "meant"),
        [
            ("b7", "B7"),
            ("WIRE", "wire"),
            ("CountsUpdated", "counts_updated"),
            ("in-progress", "in_progress"),
            ("Ended", "ended"),
        ],
    )
    def test_case_and_hyphens_do_not_matter(self, capsys: pytest.CaptureFixture[str], word: str, meant: str) -> None:
        assert explained(capsys, word) == explained(capsys, meant)

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("canceled", "Did you mean canceling?"),
            ("B17", "Did you mean B"),
            ("archive", "Did you mean archived?"),
            ("xyz", "There are the rules B1 to L4 and wire, and created, counts_updated, "),
            ("", "There are the rules"),
        ],
    )
    def test_an_unknown_word_is_answered_with_known_ones(self, word: str, said: str) -> None:
        with pytest.raises(UsageError) as error:
            explaining.explain(word)
        assert said in str(error.value)
