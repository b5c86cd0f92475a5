import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import draw_importance, parameter_importance
from analysis.errors import (
    ColumnsError,
    ConstantScoresError,
    MetricError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    TooFewError,
)
from analysis.statistics.importance import correlation_ratio


def grid(*sizes: int) -> pd.DataFrame:
    return pd.DataFrame(itertools.product(*map(range, sizes)), columns=[f"p{i}" for i in range(len(sizes))])


def some_trials(num: int = 60, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "weight_lr": 10 ** generator.uniform(-1, 2, num),
            "meta_loss": generator.choice(["prototype", "pretext"], num),
            "meta_every": generator.choice([1, 2, 4], num),
        }
    )
    matters = 0.05 * (table["meta_loss"] == "pretext") + 0.02 * np.log(table["weight_lr"])
    return table.assign(value=matters + 0.02 * generator.normal(size=num))


def test_shares_of_an_additive_function_on_a_full_grid_are_those_of_its_parts() -> None:
    table = grid(3, 4, 5)
    effects = [np.array([0.0, 2, 1]), np.array([0.0, 1, -1, 0.5]), np.array([3.0, 0, 0, 1, 2])]
    table["value"] = sum(effect[table[f"p{i}"]] for i, effect in enumerate(effects))
    found = parameter_importance(table, num_bins=5, num_permutations=99).table
    variances = np.array([effect.var() for effect in effects])
    for i in range(3):
        assert found.loc[f"p{i}", "share"] == pytest.approx(variances[i] / variances.sum(), rel=1e-12)
    assert found["share"].sum() == pytest.approx(1, rel=1e-12)
    assert found["num_levels"].to_dict() == {"p0": 3, "p1": 4, "p2": 5}


def test_a_pure_interaction_shows_nothing() -> None:
    table = grid(2, 2, 2)
    table["value"] = (table["p0"] ^ table["p1"]).astype(float)
    found = parameter_importance(table, num_permutations=99).table
    assert found["share"].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_share_is_that_of_scipys_analysis_of_variance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    levels = np.concatenate([np.arange(4), generator.integers(0, 4, 26)])
    scores = generator.normal(size=30) + 0.5 * levels
    f = stats.f_oneway(*(scores[levels == level] for level in range(4))).statistic
    expected = 3 * f / (3 * f + 26)
    assert correlation_ratio(scores[None], levels)[0] == pytest.approx(expected, rel=1e-12)
    table = pd.DataFrame({"p": [f"level {level}" for level in levels], "q": range(30), "value": scores})
    found = parameter_importance(table, num_permutations=99).table
    assert found.loc["p", "share"] == pytest.approx(expected, rel=1e-12)
    # Adjusted R^2 of the same analysis, from its mean squares.
    within = scores.var() * 30 * (1 - expected) / 26
    assert found.loc["p", "excess"] == pytest.approx(1 - within / scores.var(ddof=1), rel=1e-10)


def test_chance_is_the_mean_over_all_permutations_and_p_their_share() -> None:
    scores = np.array([0.1, 0.9, 0.4, 0.5, 0.8, 0.95, 0.2, 0.3])
    levels = np.array([0, 1, 0, 0, 1, 1, 0, 1])
    every = np.array([[i in chosen for i in range(8)] for chosen in itertools.combinations(range(8), 4)])
    ratios = np.array([correlation_ratio(scores[None], row.astype(np.int64))[0] for row in every])
    table = pd.DataFrame({"p": levels, "q": range(8), "value": scores})
    found = parameter_importance(table, num_permutations=20_000).table.loc["p"]
    assert found["chance"] == pytest.approx(ratios.mean(), rel=1e-12)
    exact = np.mean(ratios >= found["share"] - 1e-12)
    assert found["p_value"] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_rejects_what_does_not_matter_as_rarely_as_it_says() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(400):
        table = pd.DataFrame({"p": generator.permutation(20) % 3, "q": range(20), "value": generator.normal(size=20)})
        p_values.append(
            parameter_importance(table, parameters=["p", "q"], num_permutations=199).table.loc["p", "p_value"]
        )
    rejected = np.mean(np.array(p_values) < 0.05)
    assert abs(rejected - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_the_number_of_parameters_is_corrected_for() -> None:
    found = parameter_importance(some_trials()).table
    expected = multipletests(found["p_value"], method="holm")[1]
    assert found["p_holm"].tolist() == pytest.approx(expected.tolist())


def test_finds_what_matters_and_a_logarithm_changes_nothing() -> None:
    found = parameter_importance(some_trials())
    assert set(found.table.index[found.table["p_holm"] < 0.05]) == {"weight_lr", "meta_loss"}
    assert found.table.index[-1] == "meta_every"
    logged = some_trials().assign(weight_lr=lambda table: np.log(table["weight_lr"]))
    assert parameter_importance(logged).table.equals(found.table)


def test_only_complete_trials_count_and_seeds_are_repeats() -> None:
    table = some_trials().assign(state="complete", seed=0, trial=range(60), epoch=5)
    again = table.assign(seed=1, value=table["value"] + 0.01)
    lost = table.iloc[:5].assign(state="pruned", value=-100.0)
    baseline = table.iloc[:2].assign(weight_lr=np.nan, meta_loss=None, meta_every=np.nan)
    found = parameter_importance(pd.concat([table, again, lost, baseline], ignore_index=True))
    assert (found.num_settings, found.num_trials, found.num_left_out) == (60, 120, 7)
    assert found.table["share"].tolist() == pytest.approx(parameter_importance(some_trials()).table["share"].tolist())


def test_settings_are_told_apart_by_what_is_not_asked_about() -> None:
    every, one = parameter_importance(some_trials()), parameter_importance(some_trials(), parameters=["meta_every"])
    assert one.num_settings == every.num_settings == 60
    assert one.table.loc["meta_every", "share"] == every.table.loc["meta_every", "share"]


def test_conditional_and_constant_parameters() -> None:
    table = some_trials().assign(batch_size=64)
    table["design"] = np.where(table["meta_loss"] == "prototype", np.arange(60) % 2, np.nan)
    found = parameter_importance(table)
    assert found.constant == ("batch_size",)
    assert found.table.loc["design", "num_trials"] == (table["meta_loss"] == "prototype").sum()
    assert found.table.loc["weight_lr", "num_trials"] == 60


def test_bars_are_the_shares_and_grey_where_chance_does_as_well() -> None:
    importance = parameter_importance(some_trials())
    drawn = draw_importance(importance)
    assert list(drawn.bars) == list(importance.table.index)
    for i, (name, row) in enumerate(importance.table.iterrows()):
        bar = drawn.bars[str(name)]
        assert bar.get_width() == row["share"]
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(i)
        assert drawn.chance_marks[str(name)].get_xdata()[0] == row["chance"]
    colours = [bar.get_facecolor() for bar in drawn.bars.values()]
    assert colours[0] == colours[1] != colours[2]
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["shown (p < 0.05, Holm)", "not shown", "chance"]


@pytest.mark.parametrize("width", [3.3, 6.8])
@pytest.mark.parametrize("num", [1, 3, 12])
def test_legible(num: int, width: float, long_names: list[str], assert_legible: Callable[..., None]) -> None:
    generator = np.random.default_rng(num)
    columns = {f"{long_names[i % 5]} {i}": generator.integers(0, 3, 40) for i in range(num)}
    scores = generator.normal(size=40) + next(iter(columns.values()))
    table = pd.DataFrame({**columns, "other": range(40), "value": scores})
    importance = parameter_importance(table, parameters=list(columns), num_permutations=99)
    drawn = draw_importance(importance, width=width)
    low, high = drawn.axes.get_xlim()
    ticks = [text for text in drawn.axes.get_xticklabels() if low <= text.get_position()[0] <= high]
    texts = [*drawn.names, *drawn.p_values, *drawn.legend.get_texts(), *ticks, drawn.axes.xaxis.label]
    assert_legible(drawn.figure, texts)


def test_draws_into_given_axes() -> None:
    figure = Figure(figsize=(6.8, 3))
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.2, 0.2, 0.7, 0.6))
    assert draw_importance(parameter_importance(some_trials(), num_permutations=99), ax).axes is ax
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (some_trials(), {"value": "accuracy"}, ColumnsError, "columns accuracy absent; present: weight_lr"),
        (some_trials(), {"parameters": ["rho"]}, ColumnsError, "columns rho absent"),
        (some_trials(), {"parameters": []}, ColumnsError, "parameters: none"),
        (some_trials().assign(value="good"), {}, NotNumericError, "value: 'good' in row 0"),
        (some_trials().assign(value=np.inf), {}, NotFiniteError, "value: inf in row 0"),
        (some_trials().assign(value=1.0), {}, ConstantScoresError, r"value: 1\.0 in all settings"),
        (some_trials(7), {}, TooFewError, "7 different settings in 7 complete trials; allowed: at least 8"),
        (some_trials().assign(state="failed"), {}, TooFewError, "0 different settings"),
        (some_trials()[["meta_every", "value"]].iloc[:0], {}, TooFewError, "0 different settings"),
        (some_trials().assign(domain=["x", "y"] * 30), {}, MetricError, "domain: x, y; allowed: trials of one domain"),
        (some_trials(), {"num_bins": 1}, OptionError, "num_bins: 1; allowed: a whole number of at least 2"),
        (some_trials(), {"num_permutations": 10}, OptionError, "num_permutations: 10"),
        (some_trials(), {"alpha": 0}, OptionError, "alpha: 0; allowed"),
    ],
)
def test_bad_input_is_refused(
    table: pd.DataFrame, options: dict[str, Any], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        parameter_importance(table, **options)
