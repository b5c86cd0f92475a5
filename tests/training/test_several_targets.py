"""One run for several targets: one encoder, a column of usefulness, scores and a best epoch for each."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.data.problem import load
from bdw.errors import InputError
from bdw.runs.export import read_encoder
from bdw.training.checks import check
from bdw.training.trainer import Trainer
from tests.training.comparison import assert_equal, assert_same_end, parameters_of, run_in_pieces, run_to_end

VERDICTS: dict[str, Any] = {
    "weighter": "counts", "weight_lr": 1.0, "meta_loss": "pretext", "target_batch": 8, "target_margin": 0.5,
    "direction_parameters": "head", "direction_momentum": 0.9, "direction_every": 2, "target_statistics": "source",
    "relative_derivatives": True, "weighted_loss": False,
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {},
    "point": {"weighter": "point", "weight_lr": 0.5},
    "verdicts": VERDICTS,
}
NAMES = ["near", "far/away"]


def _several(problem: Problem) -> Problem:
    """The source with two targets: its own, and one whose images are darker."""
    target = problem.target

    def darker(split: Any) -> Any:
        return dataclasses.replace(split, images=split.images // 2 + 20)

    other = dataclasses.replace(
        target, train=darker(target.train), validation=darker(target.validation), test=darker(target.test), key="darker"
    )
    return dataclasses.replace(problem, targets={NAMES[0]: target, NAMES[1]: other})


def _config(config: RunConfig, recipe: str, **settings: Any) -> RunConfig:
    return config.replace(**{"targets": NAMES, **RECIPES[recipe], **settings})


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_target_has_a_column_scores_and_a_best_epoch(config: RunConfig, problem: Problem, recipe: str) -> None:
    trainer = run_to_end(_config(config, recipe, prune=False), _several(problem))
    run, history = trainer.run, trainer.history
    results = pq.read_table(run.results).to_pandas()
    tables = []
    for name in NAMES:
        scores = [report.monitors[f"validation_score of {name}"] for report in history]
        _, metadata = read_encoder(run.encoder_for(name))
        assert int(metadata["epoch"]) == 1 + int(np.argmax(scores))
        rows = results[results["domain"] == name].set_index("metric")["value"]
        assert rows["validation_accuracy"] == max(scores)
        assert 0 <= rows["accuracy"] <= 1
        assert run.scorer_for(name).is_file()
        tables.append(pq.read_table(run.usefulness(name)).to_pandas()["mean"].to_numpy())
        assert np.ptp(tables[-1]) > 0
    assert not np.array_equal(*tables)
    for report in history:
        of_each = [report.monitors[f"validation_score of {name}"] for name in NAMES]
        assert report.validation_score == pytest.approx(np.mean(of_each), abs=1e-12)
    weights = pq.read_table(run.instance_weights).to_pandas()["mean"].to_numpy()
    np.testing.assert_array_equal(weights, np.max(tables, axis=0))
    asked = trainer.learner.targets[0].alignment.meta_loss.images_per_batch
    assert history[-1].meta_batch == 2 * asked


@pytest.mark.parametrize("recipe", ["paper", "verdicts"])
def test_one_name_is_the_target_itself(config: RunConfig, problem: Problem, recipe: str) -> None:
    """Bit for bit, with the same identity."""
    plain = run_to_end(_config(config, recipe, targets=[], target="near"), problem)
    one = _config(config, recipe, targets=["near"], run_dir=config.output.run_dir + "-one")
    assert one.data == plain.config.data
    assert_same_end(run_to_end(one, problem), plain)


@pytest.mark.parametrize("recipe", ["paper", "verdicts"])
def test_a_run_stopped_after_every_other_step_ends_bit_for_bit_where_an_undisturbed_one_does(
    config: RunConfig, problem: Problem, recipe: str
) -> None:
    settings = _config(config, recipe)
    whole = run_to_end(settings, _several(problem))
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    trainer, _ = run_in_pieces(parts, _several(problem))
    assert_same_end(trainer, whole)
    for name in NAMES:
        file = whole.run.usefulness(name)
        assert (trainer.run.path / file.name).read_bytes() == file.read_bytes()
        (one, facts), (other, others) = (read_encoder(each.run.encoder_for(name)) for each in (trainer, whole))
        assert facts == others
        assert_equal(one.state_dict(), other.state_dict())


def test_fixed_weights_are_measured_on_every_target_and_train_as_for_one(config: RunConfig, problem: Problem) -> None:
    alone = run_to_end(config.replace(weighter="uniform"), problem)
    several = _config(config, "paper", weighter="uniform", run_dir=config.output.run_dir + "-several")
    together = run_to_end(several, _several(problem))
    assert_equal(parameters_of(together), parameters_of(alone))
    assert not together.learner.targets
    assert set(pq.read_table(together.run.results).to_pandas()["domain"]) == set(NAMES)


def test_a_vote_that_prunes_everything_keeps_the_floor_and_says_so(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    """With lambda and rho close to each other every image that a single step moved down is useless."""
    vote = _config(
        config, "paper", combine_targets="vote", vote_share=1.0, cdf_threshold=0.5, density_threshold=0.5001,
        min_kept=20, weight_lr=5000.0, epochs=2,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        trainer = run_to_end(vote, _several(problem))
    assert trainer.mask.count == 20
    assert any("kept the 20 of the highest mean weight instead (min_kept)" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weighter": "l2rw"}, "targets: ['a', 'b'] cannot work with weighter 'l2rw', whose weights follow from one "),
        ({"tangent_views": 1}, "targets: ['a', 'b'] cannot work with tangent_views 1; allowed: none"),
        ({"time_budget": 1.0}, "targets: ['a', 'b'] cannot work with time_budget 1.0; allowed: "),
        (
            {"diagnose_signal": True},
            "targets: ['a', 'b'] cannot work with diagnose_signal, which is about one ",
        ),
        ({"record_trajectory": True}, "targets: ['a', 'b'] cannot work with record_trajectory, which is about one "),
        ({"normalise_weights": True}, "targets: ['a', 'b'] cannot work with normalise_weights; allowed: "),
        ({"target_shares": [1.0]}, "target_shares: [1.0] cannot work with 2 targets; allowed: "),
    ],
)
def test_what_cannot_work_is_refused(config: RunConfig, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        check(config.replace(**{"targets": ["a", "b"], **settings}))
    assert str(error.value).startswith(said)


def test_targets_of_other_channels_are_refused_before_anything_is_trained(config: RunConfig, problem: Problem) -> None:
    several = _several(problem)
    coloured = several.targets[NAMES[1]]
    train = dataclasses.replace(coloured.train, images=coloured.train.images.repeat(3, axis=1))
    targets = {**several.targets, NAMES[1]: dataclasses.replace(coloured, train=train)}
    with pytest.raises(InputError) as error:
        Trainer(_config(config, "paper"), problem=dataclasses.replace(several, targets=targets))
    assert str(error.value) == (
        "targets: images of 'far/away' have 3 channel(s), those of the source 1; allowed: the source's number"
    )
    assert not Path(config.output.run_dir).exists() or not list(Path(config.output.run_dir).glob("checkpoints/*"))


def test_the_same_target_twice_is_refused(config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        config.replace(targets=["a", "a"])
    assert str(error.value) == "targets: ['a', 'a'] cannot work; allowed: every target once"
    rng = np.random.default_rng(0)
    arrays = {"images": rng.integers(0, 256, (24, 8, 8), dtype=np.uint8), "labels": np.arange(24) % 2}
    for name in ("one", "copy"):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    paths = [str(tmp_path / f"{name}.npz") for name in ("one", "copy")]
    data = RunConfig().replace(source="digits", targets=paths, image_size=8, crop_size=8, max_source=40).data
    with pytest.raises(InputError, match=r"holds the same images as .*; allowed: every target once$"):
        load(data, tmp_path)
    with pytest.raises(InputError, match=r"^targets: 'no-such-thing': "):
        load(dataclasses.replace(data, targets=(paths[0], "no-such-thing")), tmp_path)


def test_the_first_one_is_the_target(config: RunConfig) -> None:
    data = config.replace(targets=["b", "a"]).data
    assert (data.target, data.target_names) == ("b", ("b", "a"))
    with pytest.raises(InputError, match=r"^target_in_pool: True cannot work; allowed: false with several targets$"):
        config.replace(targets=["b", "a"], target_in_pool=True)
