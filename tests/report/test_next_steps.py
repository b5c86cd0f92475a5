from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bdw import cli
from bdw.config import RunConfig, presets
from bdw.report.next_steps import next_steps
from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles
from bdw.training import checks

ChangedRun = Callable[..., RunFiles]

PLAIN, NOISE, MORE = "Compare with plain training", "See the noise", "Choose the epoch by more images"
CERTIFY = "Certify the kept set"
LONGER, ELSEWHERE = "Train for longer", "Try the encoder on another target"
PRUNE, REPLAY, RECORD = (
    "Let the rule prune",
    "See what other thresholds would have pruned",
    "Find thresholds that prune",
)


def _advised(run: RunFiles) -> dict[str, str]:
    return {step.title: step.command for step in next_steps(Outcome.of(run))}


def _config(command: str) -> RunConfig:
    """What the command line makes of it; `InputError` if the trainer would refuse it."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "bdw"]
    parsed = cli.parse(words[3:])
    assert isinstance(parsed, cli.Fit)
    checks.check(parsed.config)
    return parsed.config


def _checkpoint(run: RunFiles) -> None:
    (run.directory / "checkpoints" / "epoch_0004").mkdir(parents=True)
    (run.directory / "checkpoints" / "epoch_0004" / "state.pt").touch()


def test_after_any_run_with_weights(changed_run: ChangedRun) -> None:
    run = changed_run(validation=1000)
    assert list(_advised(run)) == [PLAIN, NOISE]
    own = RunConfig().replace(**run.config)
    plain, other = (_config(command) for command in _advised(run).values())
    assert plain == own.replace(weighter="uniform", run_dir=f"{run.directory}-plain")
    assert other == own.replace(seed=4, run_dir=f"{run.directory}-seed-4")


def test_plain_training_is_not_compared_with_itself(changed_run: ChangedRun) -> None:
    assert list(_advised(changed_run(validation=1000, uniform=True))) == [NOISE]


@pytest.mark.parametrize("name", presets.available())
def test_plain_training_takes_no_option_that_it_refuses(changed_run: ChangedRun, name: str) -> None:
    config = presets.build(name).replace(diagnose_signal=True, weights_file=None)
    plain = _config(_advised(changed_run(config=config.flat()))[PLAIN])
    assert plain.weighter.weighter == "uniform"


def test_a_run_that_draws_is_compared_with_plain_training_that_does_not(changed_run: ChangedRun) -> None:
    config = presets.build("glyphs").replace(draw_every=100, prune=False)
    plain = _config(_advised(changed_run(config=config.flat()))[PLAIN])
    assert (plain.weighter.weighter, plain.drawing.draw_every) == ("uniform", None)


def test_a_run_with_several_targets_is_advised_nothing_that_refuses_it(changed_run: ChangedRun) -> None:
    targets = {"targets": ["digits", "glyphs-greek"]}
    run = changed_run(config=targets)
    (run.directory / "encoder.safetensors").touch()
    assert CERTIFY not in _advised(run)
    assert _config(_advised(run)[NOISE]).data.targets == ("digits", "glyphs-greek")
    nothing_gone = {"metrics": {"kept_fraction": 1.0}, "weights": {"kept": True, "pruned_at_epoch": 0}}
    assert RECORD in _advised(changed_run(**nothing_gone))
    assert RECORD not in _advised(changed_run(**nothing_gone, config=targets))


def test_a_kept_set_can_be_certified_once(changed_run: ChangedRun) -> None:
    run = changed_run()
    assert CERTIFY not in _advised(run)
    (run.directory / "encoder.safetensors").touch()
    parsed = cli.parse(shlex.split(_advised(run)[CERTIFY])[3:])
    assert isinstance(parsed, cli.Certify)
    assert parsed.run == run.directory
    (run.directory / "certificate.json").touch()
    assert CERTIFY not in _advised(run)
    everything = changed_run(metrics={"kept_fraction": 1.0}, weights={"kept": True, "pruned_at_epoch": 0})
    (everything.directory / "encoder.safetensors").touch()
    assert CERTIFY not in _advised(everything)


def test_an_encoder_can_be_measured_on_another_target(changed_run: ChangedRun) -> None:
    run = changed_run()
    assert ELSEWHERE not in _advised(run)
    (run.directory / "encoder.safetensors").touch()
    parsed = cli.parse(shlex.split(_advised(run)[ELSEWHERE])[3:])
    assert isinstance(parsed, cli.Evaluate)
    assert (parsed.run, parsed.target) == (run.directory, "FOLDER")


@pytest.mark.parametrize(
    ("scores", "flags", "longer"),
    [
        ([0.9, 0.8, 0.8, 0.8], [True, False, False, False], True),  # Best before anything was pruned.
        ([0.5, 0.6, 0.7, 0.8], [True] * 4, True),  # The last epoch is the best.
        ([0.5, np.nan, 0.825, 0.8], [True, False, True, False], False),
    ],
)
def test_a_run_goes_on_where_that_promises_something(
    changed_run: ChangedRun, scores: list[float], flags: list[bool], longer: bool
) -> None:
    run = changed_run(metrics={"validation_score": scores, "is_best": flags})
    assert LONGER not in _advised(run)  # There is no checkpoint to go on from.
    _checkpoint(run)
    advised = _advised(run)
    assert (LONGER in advised) == longer
    if longer:
        expected = RunConfig().replace(**run.config).replace(epochs=8, resume=True, run_dir=str(run.directory))
        assert _config(advised[LONGER]) == expected


def test_a_run_with_a_time_budget_does_not_go_on(changed_run: ChangedRun) -> None:
    scores = {"validation_score": [0.5, 0.6, 0.7, 0.8], "is_best": True}
    run = changed_run(metrics=scores, config={"time_budget": 1.0})
    _checkpoint(run)
    assert LONGER not in _advised(run)


def test_after_a_run_that_pruned_nothing(changed_run: ChangedRun) -> None:
    weights = {
        "kept": True,
        "pruned_at_epoch": 0,
        "a": np.repeat([1.0, 3.0], [10, 50]),
        "b": np.repeat([4.0, 3.0], [10, 50]),
    }
    run = changed_run(metrics={"kept_fraction": 1.0}, weights=weights)
    _checkpoint(run)
    advised = _advised(run)
    assert list(advised)[:3] == [PRUNE, LONGER, RECORD]
    assert _config(advised[PRUNE]).weighter.cdf_threshold == 0.2
    record, replay = advised[RECORD].splitlines()
    recorded = _config(record)
    assert (recorded.output.record_trajectory, recorded.weighter.prune) == (True, False)
    parsed = cli.parse(shlex.split(replay)[3:])
    assert isinstance(parsed, cli.Replay)
    assert str(parsed.run) == recorded.output.run_dir


def test_a_recorded_run_is_replayed(changed_run: ChangedRun) -> None:
    run = changed_run()
    folder = run.directory / "trajectory"
    folder.mkdir()
    for epoch in (1, 2, 3):
        (folder / f"epoch_{epoch:04d}.npy").touch()
    assert REPLAY not in _advised(run)  # One epoch is missing.
    (folder / "epoch_0004.npy").touch()
    parsed = cli.parse(shlex.split(_advised(run)[REPLAY])[3:])
    assert isinstance(parsed, cli.Replay)
    assert parsed.run == run.directory


@pytest.mark.parametrize(
    ("config", "validation", "fraction"),
    [
        ({}, 95, 0.45),  # 200 of 475 are 42 %.
        ({}, 160, 0.25),
        ({}, 40, 0.5),  # Half of the labelled images at most.
        ({}, 200, None),
        ({"validation_fraction": 0.5}, 40, None),  # They came with the target: a fifth of its images, not half.
        ({"max_train_per_class": 5}, 95, None),
    ],
)
def test_more_validation_images_where_they_can_be_had(
    changed_run: ChangedRun, config: dict[str, Any], validation: int, fraction: float | None
) -> None:
    advised = _advised(changed_run(config=config, validation=validation))
    assert (MORE in advised) == (fraction is not None)
    if fraction is not None:
        assert _config(advised[MORE]).data.validation_fraction == fraction


def test_folders_with_spaces_stay_one_word(changed_run: ChangedRun, tmp_path: Path) -> None:
    run = changed_run()
    moved = run.directory.rename(tmp_path / "my run")
    advised = _advised(RunFiles(**{**vars(run), "directory": moved}))
    assert _config(advised[NOISE]).output.run_dir == f"{moved}-seed-4"


@pytest.mark.parametrize(
    ("length", "doubled"),
    [
        ({"budget_images": 240}, {"budget_images": 480}),
        ({"budget_unit": "images", "epochs": 3}, {"epochs": 6}),
    ],
)
@pytest.mark.parametrize("options", [{}, {"schedule": "cosine"}, {"learn_share": 0.5}, {"warm_up": 0.1}], ids=str)
def test_a_budget_of_images_is_doubled_by_a_new_run_where_the_old_one_depends_on_it(
    changed_run: ChangedRun, length: dict[str, Any], doubled: dict[str, int], options: dict[str, Any]
) -> None:
    metrics = {"validation_score": [0.5, 0.6, 0.7, 0.8], "is_best": True}
    run = changed_run(metrics=metrics, config={**length, **options})
    _checkpoint(run)
    command = _advised(run)[LONGER]
    own = RunConfig().replace(**run.config).replace(**doubled)
    expected = (
        own.replace(run_dir=f"{run.directory}-longer")
        if options
        else own.replace(resume=True, run_dir=str(run.directory))
    )
    # The command names one length, so that the other one is a preset's.
    assert _config(command).replace(epochs=expected.budget.epochs) == expected
    assert ("epochs" in doubled) == (f"--epochs {doubled.get('epochs')}" in command)
