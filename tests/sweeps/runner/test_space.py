"""The paper's cells and what Optuna may draw."""

from __future__ import annotations

import optuna
import pytest

from bdw.config import RunConfig, presets
from bdw.weighting import registry as weighters
from sweeps.runner import datasets
from sweeps.runner.episode_designs import Design
from sweeps.runner.space import META_LOSSES, PAPER, RECIPE, RECOMMENDED, Space, describe, fields_of

SPACE = Space((Design(10, 10, 10), Design(10, 5, 5)), num_views=4)
BOTH = Space((Design(10, 2, 3), Design(10, 1, 2)), num_views=4, recipes=(PAPER, RECOMMENDED))


def test_the_papers_eight_cells() -> None:
    cells = SPACE.paper_cells()
    found = {(cell["weight_lr"], cell["density_threshold"], cell["cdf_threshold"]) for cell in cells}
    assert found == {(eta, rho, cut) for eta in (10.0, 1.0) for rho in (0.5, 0.9) for cut in (0.1, 0.25)}
    assert len(cells) == 8
    config = RunConfig().replace(**fields_of(cells[0]))
    assert (config.meta.ways, config.meta.shots, config.meta.queries) == (10, 10, 10)
    assert config.meta.meta_loss == "prototype"
    assert (config.weighter.meta_every, config.gradient.tangent_views) == (1, 4)


def test_cells_lie_in_the_space() -> None:
    study = optuna.create_study()
    for cell in SPACE.paper_cells():
        study.enqueue_trial(cell)
    drawn = [SPACE.draw(study.ask()) for _ in SPACE.paper_cells()]
    assert drawn == SPACE.paper_cells()


@pytest.mark.parametrize("meta_loss", META_LOSSES)
def test_the_design_is_drawn_only_where_episodes_are(meta_loss: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"meta_loss": meta_loss})
    drawn = SPACE.draw(study.ask())
    assert ("design" in drawn) == ("prototype" in meta_loss)
    RunConfig().replace(**fields_of(drawn))  # Every draw is a config that can run.
    assert meta_loss in describe(drawn)


def test_views_are_drawn_only_where_there_are_several() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    one = Space(SPACE.designs, num_views=1)
    assert all("tangent_views" not in cell for cell in one.paper_cells())
    drawn = [one.draw(study.ask()) for _ in range(20)]
    assert not any("tangent_views" in point for point in drawn)
    assert {point["meta_every"] for point in drawn} == {1, 2, 4}
    views = {SPACE.draw(optuna.create_study().ask())["tangent_views"] for _ in range(60)}
    assert views == {1, 2, 3, 4}


def test_describe() -> None:
    text = describe({"weight_lr": 10.0, "density_threshold": 0.5, "cdf_threshold": 0.25, "meta_loss": "pretext"})
    assert text == "eta 10 rho 0.5 lambda 0.25 pretext"
    cheap = {"weight_lr": 1.0, "density_threshold": 0.9, "cdf_threshold": 0.1, "meta_loss": "pretext"}
    assert describe(cheap | {"meta_every": 2, "tangent_views": 1}).endswith("pretext every 2 steps 1 view(s)")


@pytest.fixture
def base() -> RunConfig:
    """What all trials on the embedded pool share."""
    choice = datasets.choose("glyphs")
    return datasets.base_config(choice, data_root=None, download=False, target="glyphs-lao", epochs=None)


def test_every_point_of_two_recipes_is_a_run(base: RunConfig) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [BOTH.draw(study.ask()) for _ in range(300)]
    configs = [base.replace(**fields_of(point)) for point in drawn]
    assert {point[RECIPE] for point in drawn} == {PAPER, RECOMMENDED}
    for point, config in zip(drawn, configs, strict=True):
        weighters.check(config.weighter)
        assert config.weighter.weighter == {PAPER: "beta", RECOMMENDED: "counts"}[point[RECIPE]]
        assert describe(point).startswith("recommended") is (point[RECIPE] == RECOMMENDED)
    # Whatever is drawn, all have the same length, learning rate, model and data.
    assert {
        (config.optimiser, config.budget, config.encoder, config.data, config.evaluation) for config in configs
    } == {(base.optimiser, base.budget, base.encoder, base.data, base.evaluation)}
    assert configs[0].budget.budget_unit == "images"
    assert len(set(map(describe, drawn))) == len(drawn)


def test_the_recommended_point_is_the_preset(base: RunConfig) -> None:
    (point,) = BOTH.recommended_points()
    assert base.replace(**fields_of(point)) == presets.build("glyphs").replace(target="glyphs-lao")
    assert SPACE.recommended_points() == []


def test_published_settings_lie_in_the_space_of_both(base: RunConfig) -> None:
    points = [*BOTH.recommended_points(), *BOTH.paper_cells()]
    study = optuna.create_study()
    for point in points:
        study.enqueue_trial(point)
    assert [BOTH.draw(study.ask()) for _ in points] == points
    for cell in BOTH.paper_cells():
        config = base.replace(**fields_of(cell))
        assert config.weighter == RunConfig().replace(**fields_of(cell)).weighter, "all else is the paper's"
        assert config.weighter.kept_share is None, "the recommended recipe's floor is not the paper's"
        assert (config.gradient.target_statistics, config.gradient.target_margin) == ("target", None)


def test_a_recipe_of_one_has_no_parameter_for_it() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert not any(RECIPE in SPACE.draw(study.ask()) for _ in range(20))
    assert not any(RECIPE in cell for cell in SPACE.paper_cells())
