"""The valuation for all targets and what is made of it: kept sets, budgets, names and the words on equal cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from optuna.distributions import CategoricalDistribution
from scipy.stats import beta

from bdw.config import RunConfig, presets
from bdw.data.weights_file import CONTENT_KEY, read_weights
from bdw.errors import InputError
from bdw.runs.directory import RunDirectory
from sweeps.runner import decathlons, one_run
from sweeps.runner.comparison import Cell
from sweeps.runner.datasets import base_config
from sweeps.runner.episode_designs import Room
from sweeps.runner.methods import Method
from sweeps.runner.paths import Paths

POOL, KEPT = 200, "kept"
RECIPE = Method("each", presets.weighting(presets.RECOMMENDED))
ROOMS = {name: Room(3, 9, 27, f"source s, target {name}") for name in ("dtd", "gtsrb", "mnist")}
FIELDS = decathlons.MINI.domain_fields


@pytest.fixture
def base() -> RunConfig:
    choice = decathlons.at_equal_budget(decathlons.MINI, "remark")
    return base_config(choice, data_root="x", download=False, target="dtd", epochs=2)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.of(str(tmp_path), "sweep")
    found.prepare()
    return found


def valuations(base: RunConfig, paths: Paths, seeds: tuple[int, ...] = (0, 1)) -> list[Cell]:
    return one_run.valuation_cells(RECIPE, base, ROOMS, seeds, paths)


def left_by(study: optuna.Study, cell: Cell, paths: Paths) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """As if that valuation had run: its trial is complete, and its tables are there. Returns a and b by target."""
    found = {}
    run = RunDirectory(Path(paths.run_dir(cell.run)))
    run.path.mkdir(parents=True)
    for number, domain in enumerate(ROOMS):
        rng = np.random.default_rng([cell.seed, number])
        a, b = rng.uniform(1, 30, (2, POOL))
        order = rng.permutation(POOL)  # Rows of a table are known by their index.
        columns = {"index": np.arange(POOL), "name": np.array([f"n{i}" for i in range(POOL)]), "a": a, "b": b}
        rows = {name: values[order] for name, values in {**columns, "mean": a / (a + b)}.items()}
        pq.write_table(pa.table(rows).replace_schema_metadata({CONTENT_KEY: b"key"}), run.usefulness(domain))
        found[domain] = (a, b)
    measured = {"metric": "accuracy", "instances_seen": 2 * POOL, "wall_seconds": 30.0 + 6 * cell.seed}
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": 0}, distributions={"x": CategoricalDistribution([0])}, value=0.5,
            user_attrs={"run": cell.run, "method": cell.method, "domain": cell.domain, "results": [measured]},
        )
    )  # fmt: skip
    return found


def later(study: optuna.Study, found: list[Cell], base: RunConfig, paths: Paths) -> list[Cell]:
    return one_run.kept_cells(KEPT, RECIPE, study, found, base, ROOMS, paths, domain_fields=FIELDS)


def test_the_valuation_is_plain_training_that_learns_for_all_targets_as_the_recipe_does(
    base: RunConfig, paths: Paths
) -> None:
    first, second = valuations(base, paths)
    assert first.run != second.run
    assert (first.seed, second.seed) == (0, 1)
    config = first.config
    assert config.data.value_for == tuple(ROOMS)
    assert (config.weighter.weighter, config.weighter.learn_share) == ("uniform", 0.5)
    assert (config.budget, config.schedule) == (base.budget, base.schedule)
    assert config.gradient == base.replace(**RECIPE.fields).gradient
    other = one_run.valuation_cells(
        RECIPE, base, {**ROOMS, "mnist": Room(3, 9, 27, "source s, target new")}, [0], paths
    )
    assert other[0].run != first.run, "other images of a target"


def test_the_paper_s_rule_decides_what_is_kept_for_each_target(base: RunConfig, paths: Paths) -> None:
    study, found = optuna.create_study(), valuations(base, paths, (0,))
    tables = left_by(study, found[0], paths)
    for cell in later(study, found, base, paths):
        file = read_weights(Path(str(cell.config.weighter.weights_file)))
        assert file.content_key == "key"
        assert file.names is not None
        assert file.names.tolist() == [f"n{i}" for i in range(POOL)]
        a, b = tables[cell.domain]
        expected = beta(a, b).cdf(RECIPE.fields["cdf_threshold"]) <= RECIPE.fields["density_threshold"]
        assert base.optimiser.batch_size < expected.sum() < POOL
        np.testing.assert_array_equal(file.weights, expected)


def test_a_rule_that_prunes_everything_leaves_the_recipe_s_floor(base: RunConfig) -> None:
    mean = np.linspace(0.01, 0.02, 2000)
    table = one_run.Usefulness(np.arange(2000).astype(str), 100 * mean, 100 * (1 - mean), mean, "key")
    kept = one_run.kept_by_rule(table, base.replace(**RECIPE.fields))
    assert np.flatnonzero(kept).tolist() == list(range(1900, 2000)), "the best twentieth"


def test_runs_train_plainly_with_what_the_valuation_left_of_the_budget(base: RunConfig, paths: Paths) -> None:
    study, found = optuna.create_study(), valuations(base, paths, (0,))
    left_by(study, found[0], paths)
    cells = later(study, found, base, paths)
    assert [(cell.method, cell.domain, cell.seed) for cell in cells] == [(KEPT, domain, 0) for domain in ROOMS]
    for cell in cells:
        config = cell.config
        assert config.weighter.weighter == "given"
        # Two passes over 200 images, without a third of the valuation's 400, rounded up.
        assert config.budget.budget_images == 400 - 134
        assert config.schedule == base.schedule
    fractions = {cell.domain: cell.config.data.target_fraction for cell in cells}
    assert fractions["mnist"] == FIELDS["mnist"]["target_fraction"] < 1
    assert fractions["dtd"] == 1


def test_the_second_stage_waits_for_every_seed_s_valuation(base: RunConfig, paths: Paths) -> None:
    study, found = optuna.create_study(), valuations(base, paths)
    assert later(study, found, base, paths) == []
    assert one_run.cost_in_words(KEPT, RECIPE, study, found, []) is None
    left_by(study, found[1], paths)
    assert {cell.seed for cell in later(study, found, base, paths)} == {1}
    left_by(study, found[0], paths)
    cells = later(study, found, base, paths)
    assert [cell.seed for cell in cells] == [0, 0, 0, 1, 1, 1]
    assert len({cell.run for cell in cells}) == 6
    assert cells == later(study, found, base, paths), "the same after a kill"


def test_runs_have_the_same_names_wherever_the_sweep_lies(base: RunConfig, tmp_path: Path) -> None:
    names = []
    for place in ("here", "there"):
        paths = Paths.of(str(tmp_path / place), "sweep")
        paths.prepare()
        study, found = optuna.create_study(), valuations(base, paths, (0,))
        left_by(study, found[0], paths)
        cells = later(study, found, base, paths)
        assert all(str(cell.config.weighter.weights_file).startswith(str(paths.path)) for cell in cells)
        names.append([cell.run for cell in (*found, *cells)])
    assert names[0] == names[1]


def test_the_cost_of_both_ways_in_words(base: RunConfig, paths: Paths) -> None:
    study, found = optuna.create_study(), valuations(base, paths)
    for cell in found:
        left_by(study, cell, paths)
    said = one_run.cost_in_words(KEPT, RECIPE, study, found, later(study, found, base, paths))
    assert said == (
        "Equal total cost for 3 targets: each, 3 x 400 = 1,200 images; kept, 400 images of one valuation and 3 x 266, "
        "together 1,198. The valuation took 33.0 s, 11.0 s for each target, which 'seconds a run' leaves out."
    )


def test_targets_with_pools_of_their_own_are_refused(base: RunConfig, paths: Paths) -> None:
    rooms = {**ROOMS, "mnist": Room(3, 9, 27, "source other, target mnist")}
    with pytest.raises(InputError, match=r"^one_run: the targets \['dtd', 'gtsrb', 'mnist'\] do not share one pool"):
        one_run.valuation_cells(RECIPE, base, rooms, [0], paths)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1 no more")], ids=["gone", "cut"])
def test_a_table_that_is_gone_or_damaged_is_one_line(base: RunConfig, paths: Paths, damage: Any) -> None:
    study, found = optuna.create_study(), valuations(base, paths, (0,))
    left_by(study, found[0], paths)
    damage(RunDirectory(Path(paths.run_dir(found[0].run))).usefulness("gtsrb"))
    with pytest.raises(
        InputError, match=r"^one_run: .*usefulness_gtsrb.parquet cannot be read \([^\n]*another --name$"
    ):
        later(study, found, base, paths)
