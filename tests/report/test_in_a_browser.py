"""The pages in a real browser: nothing is fetched, nothing goes wrong, everything is seen, on a telephone, too."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser, Page, sync_playwright

from bdw.report import write_run_report, write_sweep_report
from bdw.report.figure import to_png

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESK = 360, 1280
"""Widths in CSS pixels."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian's package chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not have; the pages are our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
    make_run: Callable[..., Path],
    make_sweep: Callable[..., Path],
    make_story: Callable[..., Path],
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    sweep = make_sweep(folder / "sweep")
    for name in ("pareto.png", "critical_difference.png"):
        (sweep / name).write_bytes(to_png(Figure(figsize=(7, 2))))
    return {
        "run": write_run_report(make_run(folder / "run")),
        "sweep": write_sweep_report(sweep, "A sweep"),
        "story": write_sweep_report(make_story(folder / "story"), "A sweep at equal budget"),
    }


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", ["run", "sweep", "story"])
def test_a_page_stands_alone_and_fits(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = pages[name].as_uri()
    page.goto(address)
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Pictures further down are decoded when somebody comes near; one that cannot be decoded is an error here.
    page.evaluate("Promise.all([...document.images].map(image => { image.loading = 'eager'; return image.decode() }))")
    boxes = page.evaluate("[...document.images].map(image => image.getBoundingClientRect())")
    assert len(boxes) > 5
    for box in boxes:
        assert box["width"] > 0
        assert _is_within(box, width) or _scrolls_by_itself(page)
    _read_by_everybody(page)
    page.close()


def test_a_command_is_copied_as_the_shell_wants_it(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": PHONE, "height": 800})
    page.goto(pages["run"].as_uri())
    copied = page.evaluate(
        """[...document.querySelectorAll('.steps pre')].map(box => {
            getSelection().selectAllChildren(box);
            return getSelection().toString();
        })"""
    )
    words = [shlex.split(text) for text in copied]
    assert len(words) >= 3
    for command in words:
        assert command[:4] == ["python", "-m", "bdw", "fit"]
        assert command[-2] == "--run-dir"
        assert command[-1].startswith(str(pages["run"].parent))
    page.close()


def test_the_verdict_is_the_first_that_a_telephone_shows(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": PHONE, "height": 800})
    page.goto(pages["run"].as_uri())
    first = page.locator(".verdict dd").first
    assert first.bounding_box()["y"] < 400  # type: ignore[index]
    larger, smaller = (page.locator(where).first for where in (".verdict dd", ".notices li"))
    size = "element => parseFloat(getComputedStyle(element).fontSize)"
    assert larger.evaluate(size) > smaller.evaluate(size)
    page.close()


def test_what_is_folded_opens(browser: Browser, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["sweep"].as_uri())
    settings = page.get_by_text("study.sampler")
    assert not settings.is_visible()
    page.get_by_text("Settings of the sweep").click()
    assert settings.is_visible()
    page.close()


def _is_within(box: dict[str, float], width: int) -> bool:
    return box["x"] >= 0 and box["x"] + box["width"] <= width


def _scrolls_by_itself(page: Page) -> bool:
    """Whether whatever is wider than the page lies in a box with a scroll bar of its own."""
    return bool(
        page.evaluate(
            """[...document.images].every(image => {
                for (let box = image.parentElement; box; box = box.parentElement)
                    if (['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) return true;
                return image.getBoundingClientRect().right <= document.documentElement.clientWidth;
            })"""
        )
    )


def _read_by_everybody(page: Page) -> None:
    """Every picture has words in its place, the page has a title and says which language it is in."""
    assert page.evaluate("[...document.images].every(image => image.hasAttribute('alt'))")
    assert page.title()
    assert page.evaluate("document.documentElement.lang") == "en"
