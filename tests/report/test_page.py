from __future__ import annotations

import re
from pathlib import Path

import pytest

from bdw.errors import InputError
from bdw.report.contact_sheet import Tile
from bdw.report.curves import curve
from bdw.report.figure import to_png
from bdw.report.page import (
    Code,
    Finding,
    Headline,
    Notice,
    Page,
    Section,
    Sheet,
    Step,
    Table,
    Text,
    picture,
    picture_file,
    write_page,
)

EVIL = '<script>"&'
ESCAPED = "&lt;script&gt;&#34;&amp;"


def test_every_text_of_every_block_is_escaped(tmp_path: Path) -> None:
    tile = Tile("data:,", EVIL, EVIL, EVIL, EVIL)
    blocks = [
        Text(EVIL),
        Code(EVIL),
        Table((EVIL,), ((EVIL,),), EVIL, sorted_by=EVIL),
        Sheet(EVIL, EVIL, (tile,)),
        picture(curve([1], [1], "loss"), EVIL, EVIL),
        Notice(EVIL, EVIL),
        Step(EVIL, EVIL, EVIL),
    ]
    sections = [Section(EVIL, blocks), Section(EVIL, [], folded=True)]
    page = Page(EVIL, EVIL, [Headline(EVIL, EVIL, EVIL)], sections, [Finding(EVIL, EVIL)])
    html = write_page(page, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count(ESCAPED) == 31


def test_underscores_of_headings_may_break_a_line(tmp_path: Path) -> None:
    page = Page("t", "s", [], [Section("a", [Table(("weight_lr",), (("1",),))])])
    assert "weight_<wbr>lr" in write_page(page, tmp_path / "page.html").read_text(encoding="utf-8")


def test_numbers_stay_with_their_units(tmp_path: Path) -> None:
    page = Page("t", "s", [], [], [Finding("Found", "81.2 % in 3 h 20 min; 7 hours, 2 sheets")])
    html = write_page(page, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "81.2\u00a0% in 3\u00a0h 20\u00a0min; 7 hours, 2 sheets" in html


def test_cells_are_bold_one_by_one_and_texts_have_their_kind(tmp_path: Path) -> None:
    table = Table(("a", "b"), (("1", "2"), ("<3", "4")), bold=frozenset({(0, 1), (1, 0)}))
    texts = [Text("first", kind="lead"), Text("why", kind="note"), Text("mind", kind="warning"), Text("plain")]
    html = write_page(Page("t", "s", [], [Section("a", [table, *texts])]), tmp_path / "page.html").read_text("utf-8")
    assert re.findall(r"<td>(.*?)</td>", html) == ["1", "<strong>2</strong>", "<strong>&lt;3</strong>", "4"]
    for line in ('<p class="lead">first', '<p class="note">why', '<p class="warning">mind', "<p>plain"):
        assert line in html


def test_an_older_page_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    assert write_page(Page("new", "", [], []), path) == path
    assert "<h1>new</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_a_failing_page_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(AttributeError):
        write_page(Page("new", "", [], [Section("a", [None])]), path)  # type: ignore[list-item]
    assert path.read_text() == "old"


def test_pictures_have_twice_the_pixels_of_their_place_on_the_page(tmp_path: Path) -> None:
    figure = curve([1, 2], [1, 2], "loss")
    block = picture(figure, "a curve")
    assert (block.width, block.height) == (510, 320)
    (tmp_path / "a.png").write_bytes(to_png(figure))
    assert picture_file(tmp_path / "a.png", "a curve") == block


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\nrubbish"])
def test_a_file_that_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png"):
        picture_file(tmp_path / "a.png", "alternative")
