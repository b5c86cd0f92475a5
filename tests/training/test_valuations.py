"""Further targets of a plain run: training does not know of them, and each is valued as by a run of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.data import Problem, Target
from bdw.data.problem import load
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.training import valuations
from bdw.training.checks import check
from bdw.training.trainer import Trainer
from bdw.weighting import step
from bdw.weighting.timer import WeightingTimer
from tests.training.comparison import assert_equal, assert_same_end, parameters_of, run_in_pieces, run_to_end

RECIPES: dict[str, dict[str, Any]] = {
    "verdicts": {
        "meta_loss": "pretext", "target_batch": 8, "target_margin": 0.5, "direction_parameters": "head",
        "direction_momentum": 0.9, "direction_every": 2, "target_statistics": "source", "relative_derivatives": True,
    },
    "visits": {"meta_loss": "pretext", "target_batch": 16},
    "prototypes": {"norm": "group"},
}  # fmt: skip
every_recipe = pytest.mark.parametrize("recipe", RECIPES)
NAMES = ("near", "far/away")


def _valued(problem: Problem) -> Problem:
    """The source with two further targets: its own, and one whose images are darker."""
    target = problem.target
    darker = dataclasses.replace(target.train, images=target.train.images // 2)
    return dataclasses.replace(
        problem, valued={NAMES[0]: target, NAMES[1]: dataclasses.replace(target, train=darker, key="darker")}
    )


def _plain(config: RunConfig, recipe: str, **settings: Any) -> RunConfig:
    own = {"weighter": "uniform", "weight_lr": 1.0, "value_for": list(NAMES), **RECIPES[recipe], **settings}
    return config.replace(**own)


@every_recipe
def test_training_does_not_know_of_them(config: RunConfig, problem: Problem, recipe: str) -> None:
    alone = run_to_end(_plain(config, recipe, value_for=[]), problem)
    other = config.output.run_dir + "-valued"
    valued = run_to_end(_plain(config, recipe, run_dir=other), _valued(problem))
    assert_equal(parameters_of(valued), parameters_of(alone))
    for name, values in alone.learner.randomness.state_dict().items():
        assert torch.equal(values, valued.learner.randomness.state_dict()[name]), name
    assert [report.validation_score for report in alone.history] == [r.validation_score for r in valued.history]


@pytest.mark.parametrize("pace", [{}, {"learn_share": 0.5, "meta_every": 2}], ids=["always", "at times"])
@every_recipe
def test_each_is_valued_as_by_a_run_of_its_own(
    config: RunConfig, problem: Problem, recipe: str, pace: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in which counted evidence has no say in training and prunes nothing, with the same draws."""
    monkeypatch.setattr(valuations, "randomness_of", lambda target, seed, rank: Randomness(seed, rank))
    together = run_to_end(_plain(config, recipe, **pace), _valued(problem))
    for number, valuation in enumerate(together.learner.valuations):
        target: Target = _valued(problem).valued[valuation.target]
        own = _plain(
            config, recipe, weighter="counts", weighted_loss=False, prune=False, value_for=[], **pace,
            run_dir=f"{config.output.run_dir}-{number}",
        )  # fmt: skip
        alone = run_to_end(own, dataclasses.replace(problem, targets={"target": target}))
        assert_equal(parameters_of(alone), parameters_of(together))
        for quantity, values in vars(alone.learner.weighter.table()).items():
            np.testing.assert_array_equal(getattr(valuation.weighter.table(), quantity), values)
        assert np.ptp(valuation.weighter.table().mean) > 0
    first, second = (each.weighter.table().mean for each in together.learner.valuations)
    assert not np.array_equal(first, second)


@every_recipe
def test_nothing_is_learnt_or_paid_for_after_that_share_of_the_budget(
    config: RunConfig, problem: Problem, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three epochs the first two begin within the first half of the budget."""
    asked, learn = [], step.learn_weights

    def counted(*arguments: Any) -> step.Told:
        asked.append(len(trainer.history) + 1)
        return learn(*arguments)

    def tables_by_epoch() -> list[list[NDArray[np.float64]]]:
        return [[each.weighter.table().mean.copy() for each in trainer.learner.valuations] for _ in trainer.epochs()]

    monkeypatch.setattr(step, "learn_weights", counted)
    trainer = Trainer(_plain(config, recipe), problem=_valued(problem))
    always = tables_by_epoch()
    assert set(asked) == {1, 2, 3}
    assert [report.meta_every for report in trainer.history] == [1, 1, 1]
    asked.clear()
    shorter = _plain(config, recipe, learn_share=0.5, run_dir=config.output.run_dir + "-half")
    trainer = Trainer(shorter, problem=_valued(problem))
    half = tables_by_epoch()
    np.testing.assert_array_equal(half[:2], always[:2])
    np.testing.assert_array_equal(half[2], always[1])
    assert not np.array_equal(always[2], always[1])
    assert set(asked) == {1, 2}
    images = trainer.learner.valuations[0].target_images
    assert [(r.meta_every, r.meta_batch) for r in trainer.history] == [(1, 2 * images), (1, 2 * images), (0, 0)]
    spent = [report.weighting_seconds for report in trainer.history]
    assert 0 < spent[0] < spent[1] == spent[2]


@pytest.mark.parametrize("learn_share", [1.0, 0.5])
@pytest.mark.parametrize("recipe", ["verdicts", "visits"])
def test_a_run_stopped_after_every_other_step_ends_bit_for_bit_where_an_undisturbed_one_does(
    config: RunConfig, problem: Problem, recipe: str, learn_share: float
) -> None:
    settings = _plain(config, recipe, learn_share=learn_share)
    whole = run_to_end(settings, _valued(problem))
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    trainer, _ = run_in_pieces(parts, _valued(problem))
    assert_same_end(trainer, whole)
    assert "value_for/near/weighter" in whole.state.state_dict()
    for name in NAMES:
        one, other = (each.run.usefulness(name).read_bytes() for each in (trainer, whole))
        assert one == other


def test_the_seconds_of_all_targets_count(config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, now, learn = Trainer(_plain(config, "visits"), problem=_valued(problem)), [0.0], step.learn_weights

    def learnt_in_three_seconds(*arguments: Any) -> step.Told:
        now[0] += 3
        return learn(*arguments)

    monkeypatch.setattr(step, "learn_weights", learnt_in_three_seconds)
    clock = WeightingTimer(host_clock=lambda: now[0])
    rows = torch.arange(16)
    batch = step.SourceBatch(rows, torch.from_numpy(np.array(problem.source.images[:16])), 16)
    step.train_step(dataclasses.replace(trainer.learner, clock=clock), batch)
    assert clock.take() == 6


def test_every_target_leaves_a_table_and_a_scorer(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(_plain(config, "verdicts"), _valued(problem))
    run = Path(config.output.run_dir)
    assert trainer.run.usefulness("near") == run / "usefulness_near.parquet"
    assert trainer.run.usefulness("far/away").name.startswith("usefulness_far-away-")
    columns = pq.read_schema(run / "instance_weights.parquet").names
    for valuation in trainer.learner.valuations:
        table = pq.read_table(trainer.run.usefulness(valuation.target)).to_pandas()
        assert list(table.columns) == columns
        np.testing.assert_array_equal(table["mean"], valuation.weighter.table().mean)
        assert table["kept"].all()
        assert trainer.run.scorer_for(valuation.target).is_file()
    assert not trainer.run.scorer.exists(), "no weights were learnt"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weighter": "beta"}, "value_for: ['near'] cannot work with weighter 'beta', which learns from the target; "),
        (
            {"natural_direction": True, "direction_parameters": "head", "meta_loss": "pretext"},
            "value_for: ['near'] cannot work with natural_direction; allowed: ",
        ),
        ({"tangent_views": 1}, "value_for: ['near'] cannot work with tangent_views 1; allowed: none"),
    ],
)
def test_what_cannot_work_is_refused(config: RunConfig, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        check(config.replace(**{"weighter": "uniform", "value_for": ["near"], **settings}))
    assert str(error.value).startswith(said)


def test_the_same_target_twice_is_refused(config: RunConfig) -> None:
    with pytest.raises(InputError) as error:
        config.replace(value_for=["a", "a"])
    assert str(error.value) == "value_for: ['a', 'a'] cannot work; allowed: every target once"


def test_targets_are_found_like_the_target_and_errors_name_the_field(tmp_path: Path) -> None:
    data = RunConfig().replace(source="digits", target="digits", value_for=["digits"], max_source=40).data
    found = load(data, tmp_path)
    assert found.valued["digits"].key == found.target.key
    assert collectives.size() == 1
    with pytest.raises(InputError, match=r"^value_for: 'no-such-thing': "):
        load(dataclasses.replace(data, value_for=("no-such-thing",)), tmp_path)
