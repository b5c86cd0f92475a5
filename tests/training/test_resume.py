"""A run that was stopped, whenever, ends bit for bit where an undisturbed one does; another run is left alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from bdw.config import RunConfig
from bdw.config.removed import REMOVED
from bdw.data import Problem
from bdw.errors import InputError
from bdw.runs import checkpoint
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import assert_equal, assert_same_end, run_in_pieces, run_to_end


@pytest.mark.parametrize(
    "options",
    [
        {"cdf_threshold": 0.4},
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "direction_momentum": 0.9},
            **{"direction_parameters": "head", "relative_derivatives": True, "centred_derivatives": True},
            **{"cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "shared_derivatives": True},
            **{"centred_derivatives": True, "cdf_threshold": 0.5, "density_threshold": 0.6, "direction_every": 3},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "shared_derivatives": True},
            **{"direction_parameters": "head", "natural_direction": True, "direction_momentum": 0.9},
            **{"centred_derivatives": True, "cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {
            **{"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "target_margin": 0.5},
            **{"direction_parameters": "head", "direction_every": 2, "target_statistics": "source"},
            **{"cdf_threshold": 0.5, "density_threshold": 0.6},
        },
        {"cdf_threshold": 0.4, "precision": "bfloat16"},
        {
            **{"cdf_threshold": 0.4, "optimiser": "adamw", "learning_rate": 1e-3, "clip_norm": 0.5, "accumulate": 2},
            **{"norm": "group", "weight_lr": 1000.0, "schedule": "cosine", "warm_up": 0.1},
        },
    ],
    ids=["paper", "counts", "shared", "natural", "verdicts", "bfloat16", "adamw"],
)
def test_resumed_runs_end_bit_for_bit_where_undisturbed_ones_do(
    options: dict[str, Any], config: RunConfig, problem: Problem
) -> None:
    settings = config.replace(epochs=4, **options)
    whole = run_to_end(settings, problem)
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    for _ in range(4):  # a new process's worth of state for every epoch
        next(iterate(parts, problem=problem))
    resumed = Trainer(parts, problem=problem)
    assert whole.mask.count < len(problem.source), "nothing was pruned, so pruning was not tested"
    assert_same_end(resumed, whole)
    run, other = Path(settings.output.run_dir), Path(parts.output.run_dir)
    assert (run / "instance_weights.parquet").read_bytes() == (other / "instance_weights.parquet").read_bytes()
    assert_equal(*(safetensors.torch.load_file(folder / "encoder.safetensors") for folder in (run, other)))


@pytest.mark.parametrize(
    "settings",
    [
        {"weighter": "beta"},
        {"weighter": "beta", "meta_every": 2, "direction_every": 2},
        {"weighter": "counts", "meta_loss": "pretext", "target_batch": 16, "target_margin": 0.5},
        {"weighter": "point"},
        {"weighter": "l2rw"},
        {"weighter": "uniform"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_run_stopped_after_every_other_step_ends_bit_for_bit_where_an_undisturbed_one_does(
    config: RunConfig, problem: Problem, settings: dict[str, Any]
) -> None:
    config = config.replace(cdf_threshold=0.4, **settings)
    whole = run_to_end(config, problem)
    trainer, stops = run_in_pieces(config.replace(run_dir=config.output.run_dir + "-parts", resume=True), problem)
    assert stops[:2] == ["epoch 0 and 2 steps", "epoch 0 and 4 steps"]
    assert len(stops) > 2
    assert_same_end(trainer, whole)


def test_the_clock_saves_in_the_middle_of_an_epoch_and_leaves_no_trace(config: RunConfig, problem: Problem) -> None:
    whole = run_to_end(config, problem)
    often = config.replace(run_dir=config.output.run_dir + "-often", checkpoint_minutes=1e-9, keep_checkpoints=100)
    saved = run_to_end(often, problem)
    assert_same_end(saved, whole)
    places = checkpoint.positions(Path(often.output.run_dir) / "checkpoints")
    assert {place for place in places if place.epochs == 0} == {(0, step) for step in (1, 2, 3, 4)}
    assert checkpoint.Position(3) in places


def test_a_damaged_checkpoint_is_set_aside_for_the_one_before_it(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    whole = run_to_end(config, problem)
    parts = config.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    reports = iterate(parts, problem=problem)
    next(reports), next(reports)
    reports.close()
    folder = Path(parts.output.run_dir) / "checkpoints"
    state = folder / "epoch_0002" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    resumed = Trainer(parts, problem=problem)
    assert [report.epoch for report in resumed.history] == [1]
    assert "epoch_0002 cannot be read" in caplog.text
    assert "going on from epoch_0001" in caplog.text
    assert (folder / "damaged_epoch_0002").is_dir()
    list(resumed.epochs())
    assert_same_end(resumed, whole)


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(config: RunConfig, problem: Problem) -> None:
    reports = iterate(config, problem=problem)
    next(reports)
    reports.close()
    (Path(config.output.run_dir) / "checkpoints" / "epoch_0001" / "state.pt").unlink()
    with pytest.raises(InputError, match=r"epoch_0001 cannot be read: it has no state\.pt, and there is no older one"):
        Trainer(config.replace(resume=True), problem=problem)


def test_a_damaged_checkpoint_is_named(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    path = Path(config.output.run_dir) / "checkpoints" / "epoch_0001" / "state.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"checkpoint .*epoch_0001 cannot be read"):
        Trainer(config.replace(resume=True), problem=problem)


def test_another_runs_folder_is_left_alone(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    with pytest.raises(InputError, match="already holds a run; choose another --run-dir, or continue it with --resume"):
        Trainer(config, problem=problem)
    with pytest.raises(InputError, match=r"another run.*weight_lr was 50.0 and is 3.0"):
        Trainer(config.replace(resume=True, weight_lr=3.0), problem=problem)
    next(iterate(config.replace(resume=True), problem=problem))
    with pytest.raises(InputError, match="epochs: 1 is less than the 2 already trained"):
        Trainer(config.replace(resume=True, epochs=1), problem=problem)


def test_a_checkpoint_says_itself_what_it_belongs_to(config: RunConfig, problem: Problem) -> None:
    """Also where config.json was lost, or the images behind the same names have changed."""
    next(iterate(config, problem=problem))
    other = dataclasses.replace(problem, targets={"other": dataclasses.replace(problem.target, key="another")})
    with pytest.raises(InputError, match=r"target: .*trained on other images \(content key key, now another\)"):
        Trainer(config.replace(resume=True), problem=other)
    for file in Path(config.output.run_dir).glob("*.*"):
        file.unlink()
    with pytest.raises(InputError, match=r"checkpoint .*another run.*weight_lr was 50.0 and is 3.0"):
        Trainer(config.replace(resume=True, weight_lr=3.0), problem=problem)
    with pytest.raises(InputError, match="already holds a run"):
        Trainer(config, problem=problem)


@pytest.mark.parametrize("has_config", [True, False], ids=["config.json", "checkpoint alone"])
def test_a_run_of_an_earlier_version_goes_on_unless_it_used_what_is_gone(
    config: RunConfig, problem: Problem, has_config: bool
) -> None:
    next(iterate(config, problem=problem))
    run = Path(config.output.run_dir)

    def as_if(fields: Mapping[str, Any]) -> None:
        """The run was one of an earlier version, which had these fields."""
        described = json.loads((run / "config.json").read_text())
        described["config"] |= fields
        (run / "config.json").write_text(json.dumps(described))
        if not has_config:
            for file in [path for path in run.iterdir() if path.is_file()]:
                file.unlink()
        path = checkpoint.last(run / "checkpoints")
        assert path is not None
        state = torch.load(path / "state.pt", weights_only=True)
        torch.save(state | {"config": state["config"] | fields}, path / "state.pt")

    as_if(REMOVED)
    next(iterate(config.replace(resume=True), problem=problem))
    as_if({"pruned_for": 2})
    with pytest.raises(InputError, match="pruned_for: 2 is from an earlier version and the option is gone"):
        Trainer(config.replace(resume=True), problem=problem)


def test_a_folder_where_nothing_was_computed_yet_is_free(config: RunConfig, problem: Problem) -> None:
    """A run that was stopped in its first epoch, and what a killed process leaves of a file it was writing."""
    Trainer(config, problem=problem)
    run = Path(config.output.run_dir)
    (run / ".metrics.csv.12345678.tmp").touch()
    assert len(list(iterate(config.replace(weight_lr=3.0), problem=problem))) == 3


def test_a_damaged_config_is_named(config: RunConfig, problem: Problem) -> None:
    next(iterate(config, problem=problem))
    path = Path(config.output.run_dir) / "config.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(InputError, match=r"run_dir: .*config.json cannot be read"):
        Trainer(config.replace(resume=True), problem=problem)


def test_a_folder_of_other_things_is_left_alone(config: RunConfig, problem: Problem) -> None:
    run = Path(config.output.run_dir)
    run.mkdir()
    (run / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"is not empty \(holds thesis.tex\)"):
        Trainer(config, problem=problem)
