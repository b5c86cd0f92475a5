from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from analysis.errors import OptionError
from analysis.figures.figure_style import MOST_SERIES, ink_on, require_width, series_style

# Linear RGB as people with protanopia, deuteranopia and tritanopia see it: Machado, Oliveira and Fernandes 2009, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
SEEN_BY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    parts = np.array(to_rgb(colour))
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear sRGB, white D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("deficiency", [None, *SEEN_BY])
def test_colours_of_series_are_told_apart_by_everybody(deficiency: str | None) -> None:
    matrix = np.eye(3) if deficiency is None else np.array(SEEN_BY[deficiency])
    colours = list(dict.fromkeys(series_style(i).colour for i in range(MOST_SERIES)))
    seen = [lab(np.clip(matrix @ linear(colour), 0, 1)) for colour in colours]
    assert len(colours) == 7
    # A difference of 2.3 is just noticeable.
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 10


def test_no_two_series_look_alike() -> None:
    styles = [series_style(i) for i in range(MOST_SERIES)]
    assert len({(style.colour, style.dashes) for style in styles}) == MOST_SERIES
    assert len({style.marker for style in styles[:10]}) == 10


def test_ink_has_the_contrast_that_wcag_asks_of_text() -> None:
    for level in np.linspace(0, 1, 21):
        for colour in ((level, level, level), (level, 0.4, 1 - level), (1 - level, level, 0.2, 1.0)):
            ink = linear(ink_on(colour))
            ground = linear(tuple(colour[:3]))  # type: ignore[arg-type]
            weights = np.array([0.2126, 0.7152, 0.0722])
            dark, light = sorted([weights @ ink, weights @ ground])
            assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize("width", [0, -1, "3", True, float("nan"), 1000])
def test_widths_that_are_none_are_refused(width: float) -> None:
    with pytest.raises(OptionError, match=r"width: .*; allowed: 1 to 50 inches"):
        require_width(width)
