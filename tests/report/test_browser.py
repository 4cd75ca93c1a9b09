"""The page in a real browser: nothing planted runs or is fetched, pictures and tree answer to pointer and keys."""

import importlib.util
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


def middle(tab: Page, selector: str) -> list[float]:
    """Where an element is, once it is in view."""
    tab.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    return tab.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({found(selector)})")


def found(selector: str) -> str:
    return f"document.querySelector('{selector}').getBoundingClientRect()"


def text(tab: Page, selector: str) -> str:
    return tab.run(f"document.querySelector('{selector}').innerText")


def focus(tab: Page, selector: str) -> None:
    tab.run(f"document.querySelector('{selector}').focus()")


def test_nothing_planted_runs_and_nothing_is_fetched(tab: Page) -> None:
    assert tab.run("document.title") == "run_9: what forgetting t$1$ costs"
    assert PLANTED in tab.run("document.body.innerText")
    assert tab.run("document.querySelectorAll('script:not([type])').length") == 1
    assert [url for url in tab.requests if not url.startswith(("data:", "file:"))] == []
    assert tab.run("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    assert tab.messages == []  # console output, exceptions, refusals of the content security policy


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tab: Page, scheme: str) -> None:
    """Contrast, names, roles, order of headings: with every fold open, in both colour schemes."""
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.run("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    package = importlib.util.find_spec("axe_core_python")
    assert package is not None and package.origin is not None
    tab.run(Path(package.origin).with_name("axe.min.js").read_text(encoding="utf-8") + ";0")
    found = tab.run("axe.run(document).then((said) => said.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))")
    tab.run("document.querySelectorAll('details').forEach((fold) => (fold.open = false))")
    tab.call("Emulation.setEmulatedMedia", features=[])
    assert [row for row in found if row[0] in ("serious", "critical")] == []


def test_the_picture_answers_to_pointer_and_keys(tab: Page) -> None:
    said = "[data-trade=entity] .trade-said"
    assert text(tab, said).startswith("guard_flat: a detector over latents")
    place = middle(tab, "[data-trade=entity] .mark[data-method=subtree] .point")
    tab.hover(*place)
    tab.click(*place)  # a finger has no hover
    for figure in ("subtree: the best disjoint nodes", "multiplier 1", "target, %: 27 ± 4", "12.5 ± 0.0"):
        assert figure in text(tab, said)
    assert tab.run("document.querySelectorAll('[data-trade=entity] .tried').length") > 0
    focus(tab, "[data-trade=entity] .trade-view")
    tab.press("ArrowRight")
    assert text(tab, said).startswith("guard_flat")
    tab.press("ArrowLeft")
    assert text(tab, said).startswith("subtree")
    assert tab.messages == []


def test_the_picture_is_filtered_by_kind(tab: Page) -> None:
    marks = "document.querySelectorAll('[data-trade=topic] .mark').length"
    both = tab.run(marks)  # two panels: what siblings lose, what others lose
    tab.run("document.querySelector('[data-trade=topic] input[value=control]').click()")
    assert tab.run(marks) == both - 2
    tab.run("document.querySelector('[data-trade=topic] input[value=control]').click()")
    assert tab.run(marks) == both == 8
    tab.run("document.querySelector('[data-trade=topic] select').value = '1'")
    tab.run("document.querySelector('[data-trade=topic] select').dispatchEvent(new Event('change'))")
    assert "facts of the target still completed" in tab.run(
        "document.querySelector('[data-trade=topic] svg.trade-view').textContent"
    )


def test_the_tree_opens_at_the_group_that_forgot(tab: Page) -> None:
    assert text(tab, "#tree-node h4") == "Node 6: 2 latents"
    assert "Chosen: node 6" in text(tab, "#tree-where")


BRANCH = '#tree-view path[data-k="8"]'  # the group of cut 1


def test_the_tree_answers_to_a_click_and_a_double_click(tab: Page) -> None:
    tab.run("document.getElementById('tree-whole').click()")
    tab.click(*middle(tab, BRANCH))
    assert text(tab, "#tree-node h4") == "Node 8: 4 latents"
    assert tab.run("document.querySelectorAll('#tree-node blockquote mark').length") > 0
    said = text(tab, "#tree-node ul")
    for figure in ("(coherence)", "stability 0.75", "cutting it alone", "target \N{MINUS SIGN}60"):
        assert figure in said
    tab.run("document.getElementById('tree-whole').click()")
    tab.click(*middle(tab, BRANCH), times=2)
    assert text(tab, "#tree-where").startswith("Inside node 8: 4 latents.")
    tab.run("document.getElementById('tree-whole').click()")
    assert tab.messages == []


def test_the_tree_answers_to_every_key(tab: Page) -> None:
    focus(tab, "#tree-view")
    walked = []
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowLeft", "Enter", "ArrowDown", "ArrowUp", "Escape"):
        tab.press(key)
        walked.append(text(tab, "#tree-where").split(", latent")[0].split(" latents")[0])
    inside, whole = "Inside node 8: 4", "The whole tree, 6"
    assert walked == [whole] * 4 + [inside] * 3 + [whole]
    assert "Chosen: node 8" in text(tab, "#tree-where")


def test_the_button_below_the_words_leads_to_the_group(tab: Page) -> None:
    tab.run("document.getElementById('tree-whole').click()")
    tab.run("document.querySelector('[data-go]').click()")
    assert text(tab, "#tree-node h4") == "Node 6: 2 latents"


def test_the_tree_folds_and_unfolds(tab: Page) -> None:
    drawn = "document.querySelectorAll('#tree-view path[data-k]').length"
    tab.run("document.getElementById('tree-whole').click()")
    set_value(tab, "cut", "2")
    assert tab.run(drawn) == 11
    tab.run("document.querySelector('#tree-node button').click()")  # a part of the whole
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
