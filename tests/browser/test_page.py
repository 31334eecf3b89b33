"""The page in a real browser: it shows what hostile data say, runs nothing, asks for nothing, and fits the window."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hostile
from tests.browser.chromium import Chromium
from tests.cli.running import GOLDEN, lifecycle


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a hostile log, and that of one with every fault."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, log in {"hostile": hostile.write(folder), "night": GOLDEN / "night.jsonl"}.items():
        found[name] = folder / f"{name}.html"
        status, _, err = lifecycle("audit", str(log), "--profile", "hosted", "--html", str(found[name]))
        assert (status, err) == (1, "")
    return found


OWNED = "document.documentElement.id == 'owned'"


@pytest.mark.parametrize("name", ["hostile", "night"])
def test_nothing_runs_and_nothing_is_asked_for(name: str, chromium: Chromium, pages: dict[str, Path]) -> None:
    opened = chromium.open(pages[name])
    assert opened.asked == [pages[name].as_uri()]
    assert opened.said == []
    assert chromium.run(OWNED) is False
    assert chromium.run("document.querySelectorAll('script, img, iframe, object, embed, link, base, form').length") == 0
    assert chromium.run("document.querySelectorAll('style').length") == 1
    names = set(chromium.run("[...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"))
    assert [name for name in names if name.startswith("on") or name == "style"] == []


def test_the_style_is_applied(chromium: Chromium, pages: dict[str, Path]) -> None:
    """Its hash is right: or else the page would be bare, and the console would say why."""
    chromium.open(pages["night"])
    assert chromium.run("getComputedStyle(document.querySelector('.figures')).display") == "flex"


def test_every_id_is_shown_as_text(chromium: Chromium, pages: dict[str, Path]) -> None:
    chromium.open(pages["hostile"])
    found = chromium.run("[...document.querySelectorAll('.life h3')].map(head => head.textContent)")
    assert sorted(found) == sorted(map(hostile.shown, hostile.IDS))
    assert chromium.run("[...document.querySelectorAll('.life h3')].every(head => head.checkVisibility())")
    assert "onerror=alert(1)> & \\u202elog.jsonl" in chromium.run("document.querySelector('.kicker').textContent")


@pytest.mark.parametrize("width", [320, 400, 1000, 1600])
@pytest.mark.parametrize("name", ["hostile", "night"])
def test_it_fits_the_window(name: str, width: int, chromium: Chromium, pages: dict[str, Path]) -> None:
    chromium.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    chromium.open(pages[name])
    assert chromium.run("innerWidth") == width
    assert chromium.run("document.documentElement.scrollWidth") <= width
    # With everything unfolded, too.
    chromium.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert chromium.run("document.documentElement.scrollWidth") <= width


def test_every_link_leads_to_a_place_on_the_page(chromium: Chromium, pages: dict[str, Path]) -> None:
    chromium.open(pages["night"])
    targets = chromium.run("[...document.links].map(link => link.getAttribute('href'))")
    assert len(targets) > 10
    assert chromium.run("[...document.links].every(link => document.getElementById(link.hash.slice(1)))")


class TestTheTestsThemselves:
    """Negative controls: what must not be would be seen."""

    @pytest.fixture
    def bare(self, tmp_path: Path) -> Path:
        """Every id as it is, in a page that anything may be done in."""
        path = tmp_path / "bare.html"
        path.write_text(f"<!doctype html><body>{''.join(hostile.IDS)}", encoding="utf-8")
        return path

    def test_without_escaping_the_attacks_work(self, bare: Path, chromium: Chromium) -> None:
        opened = chromium.open(bare)
        assert chromium.run(OWNED) is True
        assert "http://127.0.0.1:9/x.png" in opened.asked

    def test_without_escaping_the_policy_stops_them_and_says_so(
        self, bare: Path, chromium: Chromium, pages: dict[str, Path]
    ) -> None:
        whole = pages["night"].read_text(encoding="utf-8")
        bare.write_text(whole.replace("<header>", "".join(hostile.IDS) + "<header>"), encoding="utf-8")
        opened = chromium.open(bare)
        assert chromium.run(OWNED) is False
        assert len(opened.said) >= 3
        assert all("Content Security Policy" in text for text in opened.said)

    def test_a_changed_style_is_refused(self, bare: Path, chromium: Chromium, pages: dict[str, Path]) -> None:
        whole = pages["night"].read_text(encoding="utf-8")
        bare.write_text(whole.replace("<style>", "<style> "), encoding="utf-8")
        assert len(chromium.open(bare).said) == 1
        assert chromium.run("getComputedStyle(document.querySelector('.figures')).display") == "block"
