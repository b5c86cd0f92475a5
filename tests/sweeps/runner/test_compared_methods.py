"""What the main job compares after its search: which methods, and random subsets of the size that the subject keeps."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from rich.console import Console

from bdw.config import RunConfig
from bdw.errors import InputError
from sweeps.results.search_and_compare import (
    CONTROLS,
    FOUND,
    PAPERS_CELL,
    PLAIN,
    RANDOM,
    chosen_methods,
    random_subsets,
)
from sweeps.runner import datasets
from sweeps.runner.comparison import Cell, cells, kept_shares
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.methods import Method
from sweeps.runner.paths import Paths
from sweeps.runner.space import PAPER, RECOMMENDED, Space

DESIGNS = (Design(10, 2, 3),)


def experiment(data: str, folder: Path) -> Any:
    """As far as the choice of methods asks."""
    choice = datasets.choose(data)
    base = datasets.base_config(choice, data_root="x", download=False, target=choice.targets[0], epochs=None)
    space = Space(DESIGNS, num_views=4, recipes=choice.recipes)
    rooms = {target: Room(20, 20, 400) for target in choice.targets[:2]}
    return SimpleNamespace(choice=choice, base=base, space=space, rooms=rooms, paths=Paths.of(str(folder), "sweep"))


def searched(space: Space, *trials: tuple[dict[str, Any], float | None, str | None]) -> optuna.Study:
    """Points of the space with their scores (None: failed) and origins."""
    study = optuna.create_study(direction="maximize")
    for point, score, origin in trials:
        study.enqueue_trial(point, user_attrs={} if origin is None else {"origin": origin})
        trial = study.ask()
        space.draw(trial)
        study.tell(trial, score, state=None if score is not None else optuna.trial.TrialState.FAIL)
    return study


def names(methods: list[Method]) -> list[str]:
    return [method.name for method in methods]


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


def test_all_of_the_embedded_pool(tmp_path: Path) -> None:
    found = experiment("glyphs", tmp_path)
    cells_, (published,) = found.space.paper_cells(), found.space.recommended_points()
    drawn = published | {"evidence": 5.0, "target_batch": 32}
    study = searched(
        found.space,
        (published, 0.6, RECOMMENDED),
        (cells_[0], 0.4, PAPER),
        (cells_[1], 0.5, PAPER),
        (cells_[2] | {"weight_lr": 33.0}, 0.9, None),  # The best of all, but neither a cell nor recommended.
        (drawn, 0.7, None),
    )
    methods = chosen_methods(study, found, quiet())
    assert names(methods) == [
        "plain training", "nearest neighbours", "BDW, paper's cell", "BDW, recommended", "oracle",
    ]  # fmt: skip
    by_name = {method.name: found.base.replace(**method.fields) for method in methods}
    assert by_name[PLAIN.name].weighter.weighter == "uniform"
    cell, recommended = by_name[PAPERS_CELL].weighter, by_name[FOUND[RECOMMENDED]]
    assert cell.weighter == "beta"
    assert (cell.weight_lr, cell.density_threshold, cell.cdf_threshold) == tuple(
        cells_[1][name] for name in ("weight_lr", "density_threshold", "cdf_threshold")
    )
    assert (recommended.weighter.weighter, recommended.weighter.weight_lr) == ("counts", 5.0)
    assert recommended.meta.target_batch == 32
    assert len({(config.optimiser, config.budget, config.schedule) for config in by_name.values()}) == 1, (
        "the same budget"
    )


def test_without_a_complete_recommended_trial_the_paper_s_best_is_compared(tmp_path: Path) -> None:
    found = experiment("glyphs", tmp_path)
    cells_, (published,) = found.space.paper_cells(), found.space.recommended_points()
    better = cells_[2] | {"weight_lr": 33.0}
    study = searched(found.space, (published, None, RECOMMENDED), (cells_[0], 0.4, PAPER), (better, 0.5, None))
    said = quiet()
    methods = chosen_methods(study, found, said)
    assert names(methods) == [
        "plain training", "nearest neighbours", "BDW, paper's cell", "BDW, best found", "oracle",
    ]  # fmt: skip
    assert methods[3].fields["weight_lr"] == 33.0
    assert "no trial of the recommended recipe is complete" in said.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_paper_s_cell_the_recommended_recipe_is_compared_alone(tmp_path: Path) -> None:
    found = experiment("tiny-imagenet", tmp_path)
    study = searched(found.space, (found.space.recommended_points()[0], 0.6, RECOMMENDED))
    assert names(chosen_methods(study, found, quiet())) == ["plain training", "BDW, recommended"]


def test_where_only_the_paper_s_recipe_is_searched(tmp_path: Path) -> None:
    found = experiment("stl10", tmp_path)
    cells_ = found.space.paper_cells()
    study = searched(found.space, (cells_[0], 0.4, PAPER), (cells_[1] | {"weight_lr": 33.0}, 0.5, None))
    said = quiet()
    methods = chosen_methods(study, found, said)
    assert names(methods) == ["plain training", "BDW, paper's cell", "BDW, best found"]
    assert said.file.getvalue() == ""  # type: ignore[attr-defined]
    alone = searched(found.space, (cells_[0], 0.6, PAPER), (cells_[1] | {"weight_lr": 33.0}, 0.5, None))
    assert names(chosen_methods(alone, found, said)) == ["plain training", "BDW, paper's cell"]
    assert "not compared a second time" in said.file.getvalue()  # type: ignore[attr-defined]


def test_nothing_complete_is_nothing_to_compare(tmp_path: Path) -> None:
    found = experiment("glyphs", tmp_path)
    study = searched(found.space, (found.space.recommended_points()[0], None, RECOMMENDED))
    with pytest.raises(InputError, match="no trial completed, so that there is no method to compare"):
        chosen_methods(study, found, quiet())


def test_a_random_subset_for_every_complete_run_of_the_recommended_recipe(tmp_path: Path) -> None:
    found = experiment("glyphs", tmp_path)
    methods = [PLAIN, Method(FOUND[RECOMMENDED], {"weighter": "counts"}), CONTROLS["oracle"]]
    wanted = cells(methods, found.base, found.rooms, (0, 1), found.paths)
    first, second = found.rooms
    shares = {(cell.method, cell.domain, cell.seed): 0.9 for cell in wanted}
    shares |= {(FOUND[RECOMMENDED], first, 0): 0.123456, (FOUND[RECOMMENDED], second, 1): 0.25}
    del shares[FOUND[RECOMMENDED], second, 0]  # It failed.
    subsets = random_subsets(wanted, shares, found)
    assert {(c.method, c.domain, c.seed, c.config.weighter.kept_share) for c in subsets} == {
        (RANDOM, first, 0, 0.1235), (RANDOM, first, 1, 0.9), (RANDOM, second, 1, 0.25),
    }  # fmt: skip
    for cell in subsets:
        assert cell.config.weighter.weighter == "random"
        assert (cell.config.data.target, cell.config.optimiser.seed) == (cell.domain, cell.seed)
        plain = next(c for c in wanted if (c.method, c.domain, c.seed) == (PLAIN.name, cell.domain, cell.seed))
        assert cell.config.optimiser == plain.config.optimiser
        assert cell.config.budget == plain.config.budget
    assert len({cell.run for cell in [*wanted, *subsets]}) == len(wanted) + len(subsets)
    assert random_subsets(wanted, {}, found) == []


@pytest.mark.parametrize("count", [600, 8000])
def test_the_rounded_share_is_as_many_images(count: int) -> None:
    """As the weighter rounds it: whatever a run of the embedded pool keeps, its random subset is as large."""
    for kept in range(max(1, count // 100), count + 1):
        assert round(round(kept / count, 4) * count) == kept


def test_kept_shares_are_those_of_complete_runs() -> None:
    study = optuna.create_study(direction="maximize")
    for run, share in (("done", 0.25), ("stopped", 0.5)):
        trial = study.ask()
        trial.set_user_attr("run", run)
        trial.set_user_attr("kept_fraction", share)
        study.tell(
            trial, *([0.5] if run == "done" else [None]), state=None if run == "done" else optuna.trial.TrialState.FAIL
        )
    wanted = [Cell("BDW", "d", seed, RunConfig(), run) for seed, run in enumerate(("done", "stopped", "never"))]
    assert kept_shares(study, wanted) == {("BDW", "d", 0): 0.25}
