"""The page in a real browser: nothing planted runs, nothing is fetched, the tree answers to a click and a search."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import Page, browser, find_chromium
from tests.support.report_files import PLANTED
from tests.support.report_page import written_page

# Where .ci/run has brought in a Chromium, a skipped test would hide a broken page.
pytestmark = pytest.mark.skipif(
    find_chromium() is None and os.environ.get("BROWSER_TESTS") != "required",
    reason="no Chromium is installed; the distribution's package `chromium` will do",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(written_page().html, encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=[(1100, 900), (390, 844)], ids=["desk", "phone"])
def tab(request: pytest.FixtureRequest, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.open(file, *request.param)
        yield page


def set_value(tab: Page, control: str, value: str, event: str = "change") -> None:
    tab.run(f"document.getElementById('tree-{control}').value = '{value}'")
    assert tab.run(f"document.getElementById('tree-{control}').value") == value  # a choice that is not offered is ""
    tab.run(f"document.getElementById('tree-{control}').dispatchEvent(new Event('{event}'))")


def test_nothing_planted_runs_and_nothing_is_fetched(tab: Page) -> None:
    assert tab.run("document.title") == "Unlearning report"
    assert PLANTED in tab.run("document.body.innerText")
    assert tab.run("document.querySelectorAll('script:not([type])').length") == 1
    assert [url for url in tab.requests if not url.startswith(("data:", "file:"))] == []
    assert tab.run("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    assert tab.messages == []  # console output, exceptions, refusals of the content security policy


def test_the_tree_answers_to_a_click(tab: Page) -> None:
    tab.run("document.getElementById('tree-view').scrollIntoView()")
    place = "document.querySelector('#tree-view path[data-k=\"8\"]').getBoundingClientRect()"  # the group of cut 1
    tab.click(*tab.run(f"[{place}.x + {place}.width / 2, {place}.y + {place}.height / 2]"))
    assert tab.run("document.querySelector('#tree-node h4').textContent") == "Node 8: 4 latents"
    assert tab.run("document.querySelectorAll('#tree-node blockquote mark').length") > 0
    said = tab.run("document.querySelector('#tree-node ul').innerText")
    for figure in ("coherence (mean", "stability 0.75", "cutting it alone", "target \N{MINUS SIGN}60"):
        assert figure in said
    tab.run("document.getElementById('tree-zoom').click()")
    assert tab.run("document.getElementById('tree-where').textContent") == "Inside node 8: 4 latents."
    tab.run("document.getElementById('tree-whole').click()")
    assert tab.messages == []


def test_the_tree_folds_and_unfolds(tab: Page) -> None:
    drawn = "document.querySelectorAll('#tree-view path[data-k]').length"
    set_value(tab, "cut", "2")
    assert tab.run(drawn) == 11
    tab.run("document.querySelector('#tree-node button').click()")
    tab.run("document.getElementById('tree-fold').click()")
    assert tab.run(drawn) < 11
    tab.run("document.getElementById('tree-fold').click()")
    assert tab.run(drawn) == 11


def test_the_tree_answers_to_a_search_with_words_as_text(tab: Page) -> None:
    set_value(tab, "search", "OWNED", "input")
    assert PLANTED in tab.run("document.getElementById('tree-found').textContent")
    tab.run("document.querySelector('#tree-found button').click()")
    assert PLANTED in tab.run("document.querySelector('#tree-node .node-words').textContent")
    assert tab.run("document.querySelectorAll('#tree-view .hit, #tree-view .chosen').length") > 0
    assert tab.run("document.querySelectorAll('#tree-node img, #tree-node script').length") == 0
    assert tab.messages == []


@pytest.mark.parametrize("colour", ["retain:topic", "target:topic", "cut:0", "place:0", "marked:entity"])
def test_every_colouring_draws(tab: Page, colour: str) -> None:
    set_value(tab, "colour", colour)
    colours = tab.run("[...document.querySelectorAll('#tree-view .node')].map((path) => path.getAttribute('stroke'))")
    assert len(set(colours)) > 1 and None not in colours
    chips = "[...document.querySelectorAll('#tree-legend span')].map((chip) => chip.style.backgroundColor)"
    assert len(set(tab.run(chips))) > 1
    assert tab.messages == []
