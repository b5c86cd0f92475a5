"""The paper's cells and what Optuna may draw."""

from __future__ import annotations

import optuna
import pytest

from bdw.config import RunConfig
from sweeps.designs import Design
from sweeps.space import META_LOSSES, Space, describe, fields_of

SPACE = Space((Design(10, 10, 10), Design(10, 5, 5)), num_views=4)


def test_the_papers_eight_cells() -> None:
    cells = SPACE.paper_cells()
    found = {(cell["weight_lr"], cell["density_threshold"], cell["cdf_threshold"]) for cell in cells}
    assert found == {(eta, rho, cut) for eta in (10.0, 1.0) for rho in (0.5, 0.9) for cut in (0.1, 0.25)}
    assert len(cells) == 8
    config = RunConfig().replace(**fields_of(cells[0]))
    assert (config.meta.ways, config.meta.shots, config.meta.queries) == (10, 10, 10)
    assert config.meta.meta_loss == "prototype"
    assert (config.weighter.meta_every, config.weighter.tangent_views) == (1, 4)


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
