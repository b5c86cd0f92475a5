"""The pages for readers: a short README, and links that lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bdw import cli
from bdw.commands.flags import fields_with_flags
from bdw.config import RunConfig, photo_presets, presets
from bdw.weighting import selection

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("cluster/*.md"), *ROOT.glob("benchmarks/*.md")]
)
LOGS = ("CHANGELOG.md", "LOG.md")
"""Pages that grow with the project, an entry after the other."""
CODE = ("bdw", "sweeps", "analysis", "benchmarks", "cluster")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# A link in the text; pictures are those with an exclamation mark before them.
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_short(page: Path) -> None:
    assert page.name in LOGS or len(page.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_pages_are_found() -> None:
    assert {"README.md", "evidence.md", "training.md", "sweeps.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(link)
    assert lost == []


def test_the_design_page_lists_the_rooms_there_are() -> None:
    _, _, block = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("    bdw/\n")
    folders = [path.parent.name for path in sorted((ROOT / "bdw").glob("*/__init__.py"))]
    assert sorted(re.findall(r"^      (\w+)/  ", block, re.MULTILINE)) == folders


def test_the_design_page_is_short() -> None:
    assert len((ROOT / "docs" / "design.md").read_text(encoding="utf-8").splitlines()) <= 300


def test_nothing_cites_a_page_that_is_not_here() -> None:
    citing = re.compile(r"\bDESIGN\b")
    files = [*PAGES, *(path for package in CODE for path in (ROOT / package).rglob("*.py"))]
    assert [str(path.relative_to(ROOT)) for path in files if citing.search(path.read_text(encoding="utf-8"))] == []


BUILDS = [build for module in (presets, photo_presets) for build in vars(module).values() if callable(build)]
DOCSTRINGS = "\n".join(build.__doc__ or "" for build in BUILDS)


def commands(text: str) -> list[str]:
    """The `bdw` commands that a text shows, without comments and optional parts; none that leaves something out."""
    text = re.sub(r"\\\n\s*", " ", text)
    found = re.findall(
        r"-m bdw ((?:fit|evaluate|export|score|embed|select|certify|leaks|pack|replay|report|doctor)\b[^`\n]*)", text
    )
    plain = [re.sub(r"\[[^\]]*\]", "", command.partition("#")[0]).strip() for command in found]
    return [
        command for command in plain if " " in command and not any(part in command for part in ("...", "|", "-m bdw"))
    ]


# Commands with parts of the template package are in tests/docs/test_commands.py, where it is there.
@pytest.mark.parametrize(
    "text", [page.read_text(encoding="utf-8") for page in PAGES if page.name != "plug-ins.md"] + [DOCSTRINGS]
)
def test_every_command_is_one(text: str) -> None:
    for command in commands(text):
        if "--help" not in command:
            cli.parse(shlex.split(command))


def test_commands_are_found() -> None:
    assert len(commands((ROOT / "docs" / "training.md").read_text(encoding="utf-8"))) > 3
    assert len(commands(DOCSTRINGS)) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_dotted_flag_is_one(page: Path) -> None:
    runs = [RunConfig().replace(selector=name) for name in (None, *selection.available())]
    known = {field.path.replace("_", "-") for run in runs for field in fields_with_flags(run)}
    shown = re.findall(r"--([a-z]+\.[a-z][a-z-]+)", page.read_text(encoding="utf-8"))
    assert {name.replace(".no-", ".") for name in shown if not name.startswith("pretext.")} <= known


def test_every_selector_has_a_row_of_its_page() -> None:
    page = (ROOT / "docs" / "selectors.md").read_text(encoding="utf-8")
    assert [name for name in selection.available() if f"\n| `{name}` | " not in page] == []
