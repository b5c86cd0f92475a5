"""The documentation site: built strictly, whole by itself, and readable on a desk and on a telephone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE, DESK = 400, 1280
"""Widths in CSS pixels."""
UNKNOWN = re.compile(r"^\s*(?:[*|-] |```)|\n(?:[*|] |\d\. )")
"""Beginnings of lists, tables and code, which Markdown takes for text where it does not know them."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian's package chromium)")
    with sync_playwright() as playwright:
        # Its sandbox needs rights that containers and root do not have; the pages are our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(site: Path) -> list[Path]:
    """All pages but those of the repository's programs and data, of which a few are enough."""
    found = sorted(site.rglob("*.html"))
    own = [page for page in found if "repository" not in page.relative_to(site).parts and page.name != "404.html"]
    return own + [
        page for page in found if page.name in ("index.html", "CHANGELOG.html", "step.py.html") and page not in own
    ]


def test_every_page_of_docs_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / (place.with_name("index.html") if page.name == "README.md" else place)).is_file(), place
    assert len(pages(site)) > 25


def test_references_hold_what_the_code_says(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert commands.count("usage:") == 13
    assert "--cdf-threshold" in commands
    configuration = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    assert "density_threshold" in configuration
    assert "share of an image" in configuration
    python = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert "instance_directional_derivatives" in python


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_pages_stand_alone_and_fit(browser: Browser, site: Path, width: int) -> None:
    troubles: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not _is_own(request.url, site) else None)
    for path in pages(site):
        said.clear()
        page.goto(path.as_uri())
        page.evaluate("Promise.all([...document.images].map(each => { each.loading = 'eager'; return each.decode() }))")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            said.append("scrolls sideways")
        # A list or a table that Markdown did not know for one stands in a paragraph.
        texts = page.evaluate("[...document.querySelectorAll('article p')].map(each => each.textContent)")
        said += [text for text in texts if UNKNOWN.search(text)]
        troubles += [f"{path.relative_to(site)}: {what}" for what in said]
    page.close()
    assert troubles == []


def test_the_search_works_in_files(browser: Browser, site: Path) -> None:
    page = browser.new_page(viewport={"width": DESK, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.keyboard.type("lookahead budget pruning", delay=10)
    page.locator(".md-search-result__link").first.wait_for()
    page.close()


def _is_own(url: str, site: Path) -> bool:
    return url.startswith((site.as_uri(), "data:", "blob:"))
