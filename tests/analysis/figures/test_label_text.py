import pytest

from analysis.figures.label_text import text_height, text_width, wrap


@pytest.mark.parametrize("text", ["short", "several words in one label", "onelongwordwithoutabreak", "a-b_c/d", ""])
@pytest.mark.parametrize("width", [20.0, 60.0, 500.0])
def test_lines_fit_and_nothing_is_lost(text: str, width: float) -> None:
    wrapped = wrap(text, 7, width)
    assert all(text_width(line, 7) <= width for line in wrapped.split("\n"))
    assert "".join(wrapped.split()) == "".join(text.split())


def test_breaks_at_spaces_first() -> None:
    assert wrap("eta=10, rho=0.5", 7, text_width("eta=10, rho", 7)) == "eta=10,\nrho=0.5"


def test_sizes_grow_with_text_and_font() -> None:
    assert text_width("ab", 7) > text_width("a", 7)
    assert text_width("a", 14) == pytest.approx(2 * text_width("a", 7))
    assert text_width("wide\na", 7) == text_width("wide", 7)
    assert text_height("a\nb", 10) == 24


def test_breaks_a_word_before_a_capital_letter_rather_than_anywhere() -> None:
    width = text_width("BetaDataWeighte", 7)
    assert wrap("BetaDataWeighter", 7, width) == "BetaData\nWeighter"
    assert wrap("Betadataweighter", 7, text_width("Betadata", 7)) == "Betadata\nweighter"
