import math

import numpy as np
import pandas as pd
import pytest

from analysis import draw_scores, order_of, summarise
from analysis.errors import MetricError


@pytest.fixture
def results() -> pd.DataFrame:
    values = {("a", "x"): [1.0, 2.0, 6.0], ("b", "x"): [4.0], ("a", "y"): [10.0, 12.0], ("b", "y"): [9.0, 9.0]}
    rows = [
        {"method": method, "domain": domain, "seed": seed, "metric": "loss", "value": value}
        for (method, domain), own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame([*rows, {"method": "a", "domain": "x", "seed": 0, "metric": "other", "value": 99.0}])


def test_mean_and_sample_deviation_over_seeds(results: pd.DataFrame) -> None:
    summary = summarise(results, "loss").set_index(["method", "domain"])
    assert summary.loc[("a", "x"), "mean"] == 3.0
    assert summary.loc[("a", "x"), "standard_deviation"] == pytest.approx(math.sqrt(7))
    assert summary["num_seeds"].to_dict() == {("a", "x"): 3, ("b", "x"): 1, ("a", "y"): 2, ("b", "y"): 2}
    assert np.isnan(summary.loc[("b", "x"), "standard_deviation"])


def test_order(results: pd.DataFrame) -> None:
    summary = summarise(results, "loss")
    assert order_of(summary, "x", ["b", "a"], higher_is_better=False) == ["a", "b"]
    assert order_of(summary, "y", ["a", "b", "c"], higher_is_better=False) == ["b", "a"]
    assert order_of(summary, "y", ["a", "b"], higher_is_better=True) == ["a", "b"]


def test_an_absent_metric_is_refused(results: pd.DataFrame) -> None:
    with pytest.raises(MetricError, match="metric: 'accuracy'; allowed: loss, other"):
        summarise(results, "accuracy")


def test_dots_lie_at_the_means_and_diamonds_at_what_was_published(results: pd.DataFrame) -> None:
    published = pd.DataFrame({"method": ["a", "z"], "domain": ["y", "y"], "value": [11.5, 1.0]})
    drawn = draw_scores(summarise(results, "loss"), value_label="loss (lower is better)", published=published)
    assert [panel.get_title() for panel in drawn.panels] == ["x", "y"]
    first, second = drawn.panels
    assert first.containers[0].lines[0].get_xdata().tolist() == [3.0, 4.0]
    (diamonds,) = [line for line in second.lines if line.get_marker() == "D"]
    assert list(diamonds.get_xdata()) == [11.5]
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b"]


def test_a_single_seed_has_no_error_bar(results: pd.DataFrame) -> None:
    drawn = draw_scores(summarise(results, "loss"), value_label="loss")
    (bars,) = drawn.panels[0].containers[0].lines[2]
    several, single = bars.get_segments()
    assert several[:, 0].tolist() == pytest.approx([3 - math.sqrt(7), 3 + math.sqrt(7)])
    assert len(single) == 0
    drawn.figure.canvas.draw()


def test_names_are_never_mathematics(results: pd.DataFrame) -> None:
    odd = results.replace({"method": {"a": "$x_{1^2$"}, "domain": {"x": "$y_{$"}})
    drawn = draw_scores(summarise(odd, "loss"), value_label="$loss_{$")
    drawn.figure.canvas.draw()
    assert drawn.panels[0].get_title() == "$y_{$"
