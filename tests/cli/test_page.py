"""The page of an audit, without a browser: what it says, that it is whole and bounded, and always the same."""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.cli import charts
from lifecycle.cli.page import page
from lifecycle.engines.report import Audit, Findings
from lifecycle.engines.survey import Column, Stays, Survey
from tests import hostile
from tests.cli.running import GOLDEN, lifecycle
from tests.lives import CREATED, DAY, ENDED, HOUR, LIFE, T, records

VOID = {"meta", "br", "hr"}
WHOLE = 5_000_000


class Reader(HTMLParser):
    """Sees to it that every tag is closed, and collects what a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def said(self, tag: str = "") -> str:
        """All text; or that right in the tags of this name."""
        return " ".join("".join(text for at, text in self.texts if tag in {"", at} and at != "style").split())


def page_of(
    found: Sequence[lc.Record | lc.LogError], *, profile: lc.Profile = lc.LAWS, names: Sequence[str] = ("log",)
) -> str:
    return page(audited(found, profile=profile), names, profile)


def audited(found: Sequence[lc.Record | lc.LogError], *, profile: lc.Profile = lc.LAWS) -> Audit:
    survey = Survey()
    done = Audit(Findings([], "log"), survey=survey)
    reducer = survey.reducer(profile)
    for finding in reducer.run(found):
        done.findings.add(finding)
    done.count(reducer)
    return done


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a log that breaks every rule."""
    path = tmp_path_factory.mktemp("page") / "night.html"
    lifecycle("audit", "night.jsonl", "--profile", "hosted", "--html", str(path), cwd=GOLDEN)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a log that attacks it."""
    folder = tmp_path_factory.mktemp("page")
    lifecycle("audit", str(hostile.write(folder)), "--profile", "hosted", "--html", str(folder / "page.html"))
    return (folder / "page.html").read_text(encoding="utf-8")


class TestItIsOneFile:
    @pytest.fixture(params=["night", "attacked"])
    def text(self, request: pytest.FixtureRequest) -> str:
        found: str = request.getfixturevalue(request.param)
        return found

    def test_it_is_whole_and_has_no_way_out(self, text: str) -> None:
        reader = Reader(text)
        tags = {tag for tag, _ in reader.tags}
        assert (
            tags & {"script", "img", "link", "iframe", "object", "embed", "base", "form", "foreignobject", "use"}
            == set()
        )
        for _, attributes in reader.tags:
            assert not [name for name in attributes if name.startswith("on") or name in {"style", "src", "xlink:href"}]
            assert attributes.get("href", "#").startswith("#")
            assert re.fullmatch(r"|url\(#of-\w+\)", attributes.get("fill", ""))
        ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in reader.tags:
            for name in ("aria-labelledby", "href"):
                assert {one.removeprefix("#") for one in attributes.get(name, "").split()} <= set(ids)

    def test_its_policy_admits_this_style_and_nothing_else(self, text: str) -> None:
        [policy] = [meta["content"] for meta in Reader(text).all("meta") if meta.get("http-equiv")]
        [style] = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        assert text.index("Content-Security-Policy") < text.index("<style")
        assert "url(" not in style
        assert "@import" not in style

    def test_every_drawing_has_a_title_and_a_description_or_is_beside_one(self, text: str) -> None:
        for drawing in Reader(text).all("svg"):
            assert drawing.get("role") == "img" or drawing.get("aria-hidden") == "true"
            assert ("aria-labelledby" in drawing) == (drawing.get("role") == "img")

    def test_no_character_of_it_shows_nothing(self, text: str) -> None:
        assert all(char.isprintable() or char == "\n" for char in text)


class TestWhatItSays:
    def test_the_verdict_and_the_totals(self, night: str) -> None:
        reader = Reader(night)
        assert reader.said("h1") == "14 of 15 batches break a law"
        assert reader.said("title").startswith("14 of 15 batches break a law – night.jsonl")  # noqa: RUF001 -- as it is
        assert "146" in reader.said("dd")
        assert "Recorded from 2025-01-01 00:00:00 to 2025-03-12 20:06:11 UTC" in reader.said()

    def test_every_rule_that_is_broken(self, night: str) -> None:
        rules = night[night.index('<section id="rules"') : night.index('<section id="worst"')]
        listed = re.findall(r"<b>(\w+)</b> <span", rules)
        told = {line.split()[0] for line in (GOLDEN / "audit.txt").read_text().split("\n\n")[1].splitlines()[1:]}
        assert set(listed) == told
        assert listed[0] == "L3"

    def test_a_timeline_for_every_broken_batch_with_the_first_illegal_event_marked(self, night: str) -> None:
        cards = re.findall(r"<article.*?</article>", night, flags=re.DOTALL)
        assert len(cards) == 14
        for card in cards:
            assert len(re.findall(r'<rect class="event law first"', card)) == 1
            assert card.count("<b>first illegal</b>") == 1
        assert "All 14 batches with a broken law" in night

    def test_hostile_text_is_shown_as_what_it_is(self, attacked: str) -> None:
        shown = [text for tag, text in Reader(attacked).texts if tag == "code"]
        assert {hostile.shown(one) for one in hostile.IDS} <= set(shown)
        assert hostile.ATTACK in attacked.replace("&#x27;", "'")
        assert f"<script>{hostile.ATTACK}" not in attacked.replace("&#x27;", "'")

    def test_a_clean_log(self) -> None:
        reader = Reader(page_of(records(), profile=lc.HOSTED))
        assert reader.said("h1") == "Nothing is wrong"
        assert {one["id"] for one in reader.all("section")} == {"time", "phases"}

    def test_advice_alone(self) -> None:
        text = page_of(records((CREATED, lc.Ended(T + HOUR, lc.RequestCounts(0, 4)))), profile=lc.HOSTED)
        assert Reader(text).said("h1") == "No batch breaks a law; 1 other finding"
        assert {one["id"] for one in Reader(text).all("section")} == {"time", "phases", "rules", "worst"}

    def test_an_empty_log(self) -> None:
        reader = Reader(page_of([], names=[]))
        assert reader.said("h1") == "There are no events"
        assert reader.all("section") == []

    def test_lines_that_cannot_be_read(self) -> None:
        reader = Reader(page_of([lc.LogError("log", 1, "no record")]))
        assert reader.said("h1") == "No batch breaks a law, but 1 line cannot be read"
        assert [one["id"] for one in reader.all("section")] == ["rules"]

    def test_one_broken_batch_that_never_began(self) -> None:
        reader = Reader(page_of([lc.Record("a", 1, ENDED, None, T)]))
        assert reader.said("h1") == "1 of 1 batch breaks a law"
        assert "No batch has left a phase yet." in reader.said()
        assert "The only batch with a broken law." in reader.said()

    def test_without_a_survey_there_are_no_charts(self) -> None:
        done = audited([lc.Record("a", 1, ENDED, None, T)])
        done.survey = None
        reader = Reader(page(done, ["log"], lc.LAWS))
        assert {one["id"] for one in reader.all("section")} == {"phases", "rules", "worst"}

    def test_many_files_are_not_all_named(self) -> None:
        text = page_of([lc.Record("a", 1, ENDED, None, T, place=("f3", 7))], names=[f"f{n}" for n in range(20)])
        assert "f11</bdi> and 8 more" in text
        assert "f3:7" in text

    def test_of_a_long_life_some_is_left_out_and_said_so(self) -> None:
        update = lc.CountsUpdated(lc.RequestCounts(4))
        many: tuple[lc.Event, ...] = (CREATED, *[update] * 200, lc.Archived(T + DAY), *[lc.Archived(T + DAY)] * 60)
        text = page_of(records(many))
        [card] = re.findall(r"<article.*?</article>", text, flags=re.DOTALL)
        left_out = sum(int(count) for count in re.findall(r">(\d+) events? left out", card))
        assert left_out + card.count("<tr><td>v") == len(many)
        assert "more findings not shown" in card

    def test_a_batch_whose_end_is_its_fault(self) -> None:
        text = page_of(records((CREATED, ENDED, CREATED)))
        assert "Allowed: archived, deleted." in text
        assert "Allowed: nothing." in page_of(records((*LIFE, CREATED)))

    def test_records_far_away_in_time_are_not_drawn_but_told(self) -> None:
        found = [lc.Record("a", n, lc.CountsUpdated(lc.RequestCounts(4)), None, T + n * HOUR) for n in range(1000)]
        last = lc.Record("a", 1000, ENDED, None, datetime(9000, 1, 1, tzinfo=UTC))
        assert "1 event of 1,001 lie far outside this time" in page_of([*found, last])


class TestItIsBounded:
    def test_a_million_streams_and_hostile_texts_at_their_longest(self) -> None:
        """The survey of a million broken streams is built by hand, of those that could be the largest."""
        survey = Survey()
        reducer = survey.reducer(lc.HOSTED)
        done = Audit(Findings([], "log"), survey=survey)
        worst = "\U000e0001'" * 500
        for number in range(64):
            name = f"{worst}{number}"
            begun = T + number * DAY
            events: list[lc.Event] = [lc.Created(name, begun, begun + 30 * DAY, 4)]
            events += [lc.CountsUpdated(lc.RequestCounts(4 + n % 2)) for n in range(36)]
            events += [lc.Created(worst, begun, begun, 9)] * 4
            for version, event in enumerate(events, 1):
                place = (f"{worst}{version}", version)
                when = begun + version * timedelta(minutes=1)
                record = lc.Record(name, version, event, f"{version}", when, place=place)
                for finding in reducer.run([record]):
                    done.findings.add(finding)
            done.count(reducer)
        survey.broken, done.broken, done.streams = 1_000_000, 1_000_000, 1_000_000
        text = page(done, [worst] * 50, lc.HOSTED)
        assert text.count("<article") == 60
        assert "A sample: 60 of the 1,000,000 batches with a broken law" in text
        assert len(text.encode()) < WHOLE

    def test_the_same_log_gives_the_same_bytes(self, night: str, tmp_path: Path) -> None:
        for engine in ("one", "duckdb"):
            path = tmp_path / f"{engine}.html"
            asked = ("audit", "night.jsonl", "--profile", "hosted", "--engine", engine, "--html", str(path))
            assert lifecycle(*asked, cwd=GOLDEN)[0] == 1
            assert path.read_text(encoding="utf-8") == night


class TestTheCommand:
    def test_the_findings_are_the_same_with_a_page(self, tmp_path: Path) -> None:
        for form in ("table", "json", "jsonl"):
            plain = ("audit", "night.jsonl", "--profile", "hosted", "--format", form)
            path = tmp_path / f"{form}.html"
            assert lifecycle(*plain, "--html", str(path), cwd=GOLDEN) == lifecycle(*plain, cwd=GOLDEN)
            assert path.stat().st_size > 10_000

    def test_standard_input_a_store_and_parquet(self, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl"
        log.write_text(lifecycle("generate", "--events", "60", "--seed", "5")[1])
        lifecycle("convert", str(log), str(tmp_path / "log.parquet"))
        lifecycle("convert", str(log), f"sqlite:///{tmp_path / 'log.db'}")
        charts_of: list[str] = []
        for name in ("-", str(log), str(tmp_path / "log.parquet"), f"sqlite:///{tmp_path / 'log.db'}"):
            path = tmp_path / f"{len(charts_of)}.html"
            assert lifecycle("audit", name, "--html", str(path), stdin=log.read_bytes())[0] == 0
            charts_of.append(re.sub(".*<section", "", path.read_text(encoding="utf-8"), count=1, flags=re.DOTALL))
        assert charts_of == [charts_of[0]] * 4

    def test_a_file_that_is_there_stays_unless_told_otherwise(self, tmp_path: Path) -> None:
        path = tmp_path / "page.html"
        path.write_text("mine")
        status, out, err = lifecycle("audit", "night.jsonl", "--html", str(path), cwd=GOLDEN)
        assert (status, out) == (3, "")
        assert "--force overwrites it" in err
        assert path.read_text() == "mine"
        assert lifecycle("audit", "night.jsonl", "--html", str(path), "--force", cwd=GOLDEN)[0] == 1
        assert path.read_text().startswith("<!doctype html>")
        assert [one.name for one in tmp_path.iterdir()] == ["page.html"]

    def test_where_it_cannot_be_written_nothing_is_read(self, tmp_path: Path) -> None:
        status, out, err = lifecycle("audit", "night.jsonl", "--html", str(tmp_path / "no" / "page.html"), cwd=GOLDEN)
        assert (status, out) == (3, "")
        assert "cannot be written" in err

    def test_there_is_none_of_a_log_that_cannot_be_read_to_its_end(self, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl.gz"
        log.write_bytes(b"\x1f\x8b\x08\x00 broken")
        assert lifecycle("audit", str(log), "--html", str(tmp_path / "page.html"))[0] == 3
        assert [one.name for one in tmp_path.iterdir()] == [log.name]

    def test_force_alone_is_a_mistake(self) -> None:
        assert lifecycle("audit", "night.jsonl", "--force", cwd=GOLDEN)[0] == 2


def colours(block: str) -> dict[str, tuple[float, ...]]:
    """The colours of a style, as linear light."""
    found = {}
    for name, text in re.findall(r"--([\w]+): #([0-9a-f]{6})", block):
        parts = [int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        found[name] = tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return found


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """As WCAG 2 has it."""
    light, dark = sorted((0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_in_light_in_dark_and_on_paper(night: str) -> None:
    blocks = [colours(block) for block in re.findall(r":root \{(.*?)\}", night, flags=re.DOTALL)]
    assert len(blocks) == 3
    for found in blocks:
        for ground in ("paper", "raised"):
            for name in ("ink", "soft", "accent", "law", "contract", "advice"):
                assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
        assert contrast(found["law"], found["mark"]) >= 4.5


class TestCharts:
    @pytest.mark.parametrize(
        ("text", "limit", "shown"),
        [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc… (4 characters)"),
            ("\x1b[", 5, "\\x1b["),
            ("\x00" * 9, 6, "\\x00\\x… (9 characters)"),
        ],
    )
    def test_text_is_cut_and_says_so(self, text: str, limit: int, shown: str) -> None:
        assert charts.cut(text, limit) == shown

    @pytest.mark.parametrize(
        ("number", "text"),
        [(0, "0"), (12_345, "12,345"), (1_250_000, "1.25 M"), (2 * 10**9, "2 G"), (10**13, "10 T"), (-(10**6), "-1 M")],
    )
    def test_numbers(self, number: int, text: str) -> None:
        assert charts.number_text(number) == text

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0 ms"),
            (0.25, "250 ms"),
            (2.34, "2.3 s"),
            (61, "1 min 1 s"),
            (3600 + 24 * 60, "1 h 24 min"),
            (86_400 * 2 + 3600, "2 d 1 h"),
            (31_557_600 * 1500 + 86_400, "1,500 y 1 d"),
        ],
    )
    def test_spans(self, seconds: float, text: str) -> None:
        assert charts.stay_text(timedelta(seconds=seconds)) == text

    @pytest.mark.parametrize(
        ("value", "top"), [(0, 2), (1, 2), (2, 2), (9, 10), (10, 10), (11, 12), (99, 100), (101, 120), (610, 800)]
    )
    def test_the_top_of_a_scale_is_round_and_no_less(self, value: int, top: int) -> None:
        assert charts._top(value) == top

    @pytest.mark.parametrize(
        "seconds", [1, 50, 100, 3000, 20_000, 100_000, 500_000, 3_000_000, 3 * 10**7, 10**8, 10**9, 10**10, 3 * 10**11]
    )
    def test_times_below_a_chart_are_few_in_order_and_told_apart(self, seconds: int) -> None:
        start = -62_000_000_000 if seconds > 10**11 else 1_738_160_699
        columns = [Column(start, (1, 0, 0, 0, 0), 1, 0), Column(start + seconds - 1, (0, 1, 0, 0, 0), 1, 0)]
        span = charts.span_of(columns, 1, 160)
        ticks = charts._ticks(span)
        assert len(span.slots) <= 161
        assert 0 <= len(ticks) <= 10
        assert [x for x, _, _ in ticks] == sorted({x for x, _, _ in ticks})
        assert all(0 <= x <= 1 for x, _, _ in ticks)
        assert span.slots[-1].levels == (1, 1, 0, 0, 0)
        assert sum(slot.events for slot in span.slots) == 2

    @pytest.mark.parametrize(("many", "outside"), [(900, 0), (1500, 1), (4000, 4)])
    def test_few_records_far_away_in_time_are_left_out(self, many: int, outside: int) -> None:
        far = [Column(second, (1, 0, 0, 0, 0), 1, 0) for second in (0, 500)]
        near = Column(10**9, (1, 0, 0, 0, 0), many, 0)
        last = [Column(second, (0, 1, 0, 0, 0), 1, 0) for second in (10**9 + 700, 9 * 10**11, 9 * 10**11 + 1)]
        columns = [*far, near, *(last if many == 4000 else last[:2])]
        span = charts.span_of(columns, 1, 160)
        assert span.outside == outside
        assert sum(slot.events for slot in span.slots) == sum(column.events for column in columns) - outside
        if outside == 4:
            assert (span.start, span.slots[0].levels[0]) == (10**9, 3)  # what is left out before counts
            assert span.end < 10**9 + 1000

    def test_levels_below_nothing_are_drawn_as_nothing(self) -> None:
        span = charts.span_of([Column(0, (-5, 0, 0, 0, 0), 1, 0)], 1, 10)
        assert "NaN" not in charts.requests_chart(span) + charts.waiting_chart(span)
        assert 'class="columns processing"' not in charts.requests_chart(span)

    def test_stays_of_no_time_at_all_are_drawn(self) -> None:
        stays = Stays()
        stays.add(timedelta())
        axis = charts.durations_of([stays])
        assert "median 0 ms" in charts.stays_chart("ended", stays, axis)

    def test_the_median_and_90_percent_are_marked_where_they_are_apart(self) -> None:
        stays = Stays()
        for number in range(100):
            stays.add(timedelta(seconds=1 if number < 80 else 10_000))
        drawn = charts.stays_chart("ended", stays, charts.durations_of([stays]))
        assert 'class="ninety"' in drawn
        assert "90 % within" in drawn

    def test_versions_that_are_too_long_for_a_timeline_are_not_spelled_out(self) -> None:
        survey = audited([lc.Record("a", 10**12, ENDED, None, T)]).survey
        assert survey is not None
        [life] = survey.lives()
        drawn = charts.strip("a", life.moments(survey.files), life.broken, 0)
        assert ">v…<" in drawn


class TestWhereItIsWritten:
    """Where it cannot be is said before anything is read, and nothing is lost."""

    @pytest.mark.parametrize("name", ["log.jsonl", "x/../log.jsonl", "hard", "log.parquet", "batches.db"])
    def test_it_never_takes_the_place_of_what_is_audited(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "log.jsonl"
        path.write_bytes((GOLDEN / "night.jsonl").read_bytes().partition(b"\n")[0] + b"\n")
        (tmp_path / "x").mkdir()
        (tmp_path / "hard").hardlink_to(path)
        lifecycle("convert", "log.jsonl", "log.parquet", cwd=tmp_path)
        lifecycle("store", "import", "log.jsonl", "--to", "sqlite:///batches.db", cwd=tmp_path)
        before = (tmp_path / name).read_bytes()
        logs = ["log.jsonl", "*.parquet", "sqlite:///batches.db"]
        status, out, err = lifecycle("audit", *logs, "--html", name, "--force", cwd=tmp_path)
        assert (status, out) == (2, "")
        assert err.splitlines()[0] == f"lifecycle: --html: {name} is what is audited; give another file"
        assert (tmp_path / name).read_bytes() == before
        assert not list(tmp_path.glob(".*"))

    @pytest.mark.parametrize("name", ["", "-"])
    def test_it_is_a_file(self, name: str) -> None:
        status, out, err = lifecycle("audit", "night.jsonl", "--html", name, cwd=GOLDEN)
        assert (status, out) == (2, "")
        assert err.splitlines()[0] == f"lifecycle: --html: expected the name of a file, got {name!r}"

    def test_a_name_that_is_too_long_is_told_at_once(self, tmp_path: Path) -> None:
        status, out, err = lifecycle("audit", "night.jsonl", "--html", str(tmp_path / ("x" * 300)), cwd=GOLDEN)
        assert (status, out) == (3, "")
        assert "cannot be written: File name too long" in err
