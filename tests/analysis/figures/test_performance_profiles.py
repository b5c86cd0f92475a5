from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis import draw_performance_profiles
from analysis.errors import OptionError


def table(names: list[str], *, shift: float = 0.1) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = [
        ("accuracy", method, f"d{d}", seed, 0.5 + shift * i + 0.05 * generator.normal())
        for i, method in enumerate(names)
        for d in range(6)
        for seed in range(3)
    ]
    return pd.DataFrame(rows, columns=["metric", "method", "domain", "seed", "value"])


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_staircases_go_through_the_shares(higher_is_better: bool) -> None:
    drawn = draw_performance_profiles(
        table(["a", "b"]), higher_is_better=higher_is_better, value_label="accuracy", methods=["b", "a"]
    )
    assert list(drawn.lines) == ["b", "a"]
    rows = table(["a", "b"])
    for method, line in drawn.lines.items():
        # What is drawn between two thresholds, read off the corners of the staircase.
        x, y = line.get_xdata(), line.get_ydata()
        own = rows.loc[rows["method"] == method, "value"].to_numpy()
        for threshold in (0.45, 0.55, 0.65):
            position = int(np.searchsorted(x, threshold))
            shown = y[position - 1] if higher_is_better else y[position]
            share = (own > threshold).mean() if higher_is_better else (own < threshold).mean()
            assert shown == pytest.approx(share)
        assert (y[0] if higher_is_better else y[-1]) == 1
        assert line.get_drawstyle() == ("steps-post" if higher_is_better else "steps-pre")


def test_legible(long_names: list[str], assert_legible: Callable[..., None]) -> None:
    drawn = draw_performance_profiles(table(long_names), higher_is_better=True, value_label="accuracy (%)")
    low, high = drawn.axes.get_xlim()
    ticks = [text for text in drawn.axes.get_xticklabels() if low <= text.get_position()[0] <= high]
    assert_legible(drawn.figure, [*drawn.legend.get_texts(), drawn.axes.xaxis.label, drawn.axes.yaxis.label, *ticks])


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(OptionError, match="methods: nobody; allowed: up to"):
        draw_performance_profiles(table(["a"]), higher_is_better=True, value_label="x", methods=["nobody"])
