import re

import pytest
from markdown_it import MarkdownIt

from analysis.tables.escaping import latex, markdown

NAMES = [
    "a_b", "50 %", "$x", "x$y$z", "{a}", "a & b", "#1", "C:\\dir\\new", "~tilde", "x^2", "<i>", "a|b", "`code`",
    "*best*", "[1] first", "!x]", "a--b---c", ",,low", "it's", "__init__", "&amp;", "**", "# no title", "-1.5",
    "naïve Bayes",
]  # fmt: skip
SIGNS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'",
}


def set_by_latex(text: str) -> str:
    """What LaTeX would set, for the few commands that occur; any other active sign is an error."""
    token = re.compile(r"\\text[a-z]+\{\}|\\[{}$&#_%]|\{[\[*]\}|[-,]\{\}|[^\\{}$&#_%~^]")
    shown, position = "", 0
    while position < len(text):
        found = token.match(text, position)
        assert found is not None, f"{text!r} is not plain text from {text[position:]!r} on"
        piece = found.group()
        shown += SIGNS.get(piece, piece.strip("\\{}") or piece[1:])
        position = found.end()
    return shown


@pytest.mark.parametrize("name", NAMES)
def test_latex_sets_names_as_they_are(name: str) -> None:
    escaped = latex(name)
    assert set_by_latex(escaped) == name
    assert not re.match(r"[\[*]", escaped)
    assert not re.search(r"--|,,", escaped)


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_names_as_they_are(name: str) -> None:
    reader = MarkdownIt("commonmark").enable("table")
    tokens = reader.parse(f"| {markdown(name)} | next |\n|---|---|\n| x | y |\n")
    heads = [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "th_open"]
    assert len(heads) == 2
    assert {child.type for child in heads[0].children or []} <= {"text", "text_special"}
    assert "".join(child.content for child in heads[0].children or []) == name


def test_signs_and_blanks() -> None:
    assert latex("0.4 ± 0.1 – η = −2") == r"0.4 $\pm$ 0.1 -- $\eta$ = $-$2"
    assert latex("two\nlines\t here ") == markdown("two\nlines\t here ") == "two lines here"
