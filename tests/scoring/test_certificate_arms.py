"""The arms differ in what they train on, and in nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_table
from bdw.scoring.certificate import Arm
from bdw.scoring.certificate_arms import Subject, arm_config, write_weights
from bdw.training.checks import check


@pytest.fixture(scope="session")
def subject(finished: RunDirectory) -> Subject:
    return Subject.of(finished)


def test_a_subject_is_what_the_run_left(subject: Subject, finished: RunDirectory) -> None:
    table = read_table(finished.instance_weights).to_pydict()
    assert subject.kept.tolist() == table["kept"]
    assert subject.mean.tolist() == table["mean"]
    assert subject.names.tolist() == table["name"]
    assert subject.budget_images == int(finished.read_metrics()[-1]["instances_seen"])
    assert subject.seeds(3) == (0, 1, 2)


@pytest.mark.parametrize("arm", Arm)
def test_arms_differ_in_nothing_but_weights(subject: Subject, arm: Arm, tmp_path: Path) -> None:
    own = arm_config(subject, arm, 1, tmp_path).flat()
    plain = arm_config(subject, Arm.PLAIN, 1, tmp_path).flat()
    differ = {name for name in own if own[name] != plain[name]}
    ways = {"weighter", "weights_file", "kept_share", "weighted_loss", "normalise_weights", "prune", "run_dir"}
    assert differ <= ways
    run = subject.config.flat()
    assert own["budget_images"] == subject.budget_images
    for name in ("source", "target", "encoder", "pretext", "learning_rate", "batch_size", "schedule", "data_seed"):
        assert own[name] == run[name], name


@pytest.mark.parametrize("arm", Arm)
def test_what_a_selector_left_out_is_there_again(subject: Subject, arm: Arm, tmp_path: Path) -> None:
    """Arms are sets of all images, whatever chose among them before the run."""
    chosen = dataclasses.replace(subject, config=subject.config.replace(selector="random", selected_share=0.5))
    without = arm_config(subject, arm, 0, tmp_path)
    assert arm_config(chosen, arm, 0, tmp_path).flat() == without.flat()


@pytest.mark.parametrize("arm", Arm)
def test_arms_do_not_draw_and_start_from_no_scorer(subject: Subject, arm: Arm, tmp_path: Path) -> None:
    """Fixed weights predict nothing, and a scorer that is gone since stops nobody."""
    config = subject.config.replace(draw_every=20, prune=False, target_margin=0.06, start_from="run:gone")
    drawn = dataclasses.replace(subject, config=config, run=RunDirectory(tmp_path))
    write_weights(drawn, np.ones(len(subject.kept)), "key")
    own = arm_config(drawn, arm, 0, tmp_path)
    check(own)
    assert (own.drawing.draw_every, own.weighter.start_from) == (None, None)


def test_seeds_are_those_of_the_optimiser_alone(subject: Subject, tmp_path: Path) -> None:
    one, other = (arm_config(subject, Arm.RANDOM, seed, tmp_path).flat() for seed in (1, 2))
    assert {name for name in one if one[name] != other[name]} == {"seed", "run_dir"}


def test_milestones_fall_at_the_same_shares_of_the_budget(subject: Subject, tmp_path: Path) -> None:
    """Eight epochs of a pool of 50 with milestones at a half and three quarters; 200 images are four passes."""
    config = subject.config.replace(epochs=8, lr_milestones=(4, 6))
    short = dataclasses.replace(subject, config=config, budget_images=4 * len(subject.kept))
    assert arm_config(short, Arm.KEPT, 0, tmp_path).schedule.lr_milestones == (2, 3)
    counted = dataclasses.replace(short, config=config.replace(budget_unit="images", epochs=4, lr_milestones=(2, 3)))
    assert arm_config(counted, Arm.KEPT, 0, tmp_path).schedule.lr_milestones == (2, 3)


def test_weights_files_hold_the_sets(subject: Subject, tmp_path: Path) -> None:
    own = dataclasses.replace(subject, run=RunDirectory(tmp_path))
    nearest = np.arange(len(subject.kept)) % 2.0
    write_weights(own, nearest, "key")

    def weights(arm: Arm) -> list[float]:
        file = arm_config(own, arm, 0, tmp_path).weighter.weights_file
        assert file is not None
        table = read_table(Path(file))
        assert table["name"].to_pylist() == subject.names.tolist()
        return [float(weight) for weight in table["weight"].to_pylist()]

    assert weights(Arm.KEPT) == subject.kept.astype(float).tolist()
    assert weights(Arm.WEIGHTED) == subject.mean.tolist()
    assert weights(Arm.NEAREST) == nearest.tolist()


def test_a_plan_changes_with_what_scores_depend_on(subject: Subject) -> None:
    plan = subject.plan()
    assert plan == Subject.of(subject.run).plan()
    other = ~subject.kept
    assert dataclasses.replace(subject, kept=other).plan() != plan
    assert dataclasses.replace(subject, budget_images=1).plan() != plan
    faster = subject.config.replace(learning_rate=0.5)
    assert dataclasses.replace(subject, config=faster).plan() != plan
    elsewhere = subject.config.replace(run_dir="elsewhere")
    assert dataclasses.replace(subject, config=elsewhere).plan() == plan
