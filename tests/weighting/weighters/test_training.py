"""Weighters in the loop: what is pruned before the first epoch, and the options."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.config.identity import differences
from bdw.data import LabelledImages, Problem, Target, pack_arrays
from bdw.errors import InputError
from bdw.training.trainer import Trainer
from bdw.weighting.weighters.protocol import Weighter, WeightSample

SIDE, NUM_SOURCE, STEPS = 12, 80, 4


def _backgrounds(n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images (n, 1, 12, 12) of four flat quarters of random brightness: no side is up."""
    return np.kron(rng.integers(0, 256, (n, 1, 2, 2)), np.ones((1, 1, SIDE // 2, SIDE // 2))).astype(np.uint8)


def _marked(images: NDArray[np.uint8], top: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The same with a few pixels at the top, or at the bottom, that say where up is."""
    images = images.copy()
    images[np.arange(len(images)), :, np.where(top, 0, SIDE - 1), 4:8] = np.array([255, 0, 255, 0], dtype=np.uint8)
    return images


def _problem(folder: Path, *, alike: str) -> Problem:
    """Useful images have their mark where the target has it, junk at the other end, so it teaches the opposite.

    `alike` ("junk" or "useful") says which of them look like the target otherwise: they have its very backgrounds.
    """
    rng = np.random.default_rng(0)
    backgrounds = _backgrounds(NUM_SOURCE // 2, rng)
    useful = np.arange(NUM_SOURCE) % 2 == 0
    source = _backgrounds(NUM_SOURCE, rng)
    source[useful == (alike == "useful")] = backgrounds
    packed = pack_arrays(
        folder / "source",
        _marked(source, top=useful),
        planted=useful.astype(np.int8),
        kinds=np.where(useful, "upright", "headstand").tolist(),
    )

    def labelled(images: NDArray[np.uint8]) -> LabelledImages:
        return LabelledImages(_marked(images, np.full(len(images), True)), np.arange(len(images)) % 2)

    validation, test = (labelled(_backgrounds(10, rng)) for _ in range(2))
    return Problem(packed, {"target": Target(labelled(backgrounds), validation, test, ("a", "b"), "key")})


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """In pixels junk looks more like the target, but for the few that matter."""
    return _problem(tmp_path_factory.mktemp("hidden"), alike="junk")


@pytest.fixture(scope="module")
def obvious(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """In pixels useful images are nearer to the target."""
    return _problem(tmp_path_factory.mktemp("obvious"), alike="useful")


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """`trainer(problem, weighter=..., ...)`: a run of 80 images in steps of 20."""

    def make(problem: Problem, **fields: Any) -> Trainer:
        defaults = {
            "run_dir": str(tmp_path / "run"), "image_size": SIDE, "crop_size": SIDE, "crop_padding": 0,
            "batch_size": NUM_SOURCE // STEPS, "epochs": 2, "learning_rate": 0.05, "meta_loss": "pretext",
            "target_batch": 40, "evaluate_every": 99, "max_iterations": 5, "prune": False, "device": "cpu",
            "cache_dir": str(tmp_path / "cache"),
        }  # fmt: skip
        return Trainer(RunConfig().replace(**defaults | fields), problem=problem)

    return make


LEARNING = {"beta": 300.0, "point": 5.0}
"""Weighters that learn and an eta for each."""


def test_the_oracle_never_trains_on_junk(trainer: Callable[..., Trainer], hidden: Problem, tmp_path: Path) -> None:
    run = trainer(hidden, weighter="oracle", prune=True, epochs=1)
    junk = np.flatnonzero(hidden.source.planted == 0)
    assert run.mask.pruned_at_epoch[junk].unique().tolist() == [1]
    assert run.mask.count == NUM_SOURCE // 2
    (report,) = run.epochs()
    assert (report.instances_seen, report.kept, report.planted_auroc) == (NUM_SOURCE // 2, NUM_SOURCE // 2, 1.0)
    assert math.isnan(report.meta_loss)
    weights = pq.read_table(tmp_path / "run" / "instance_weights.parquet").to_pydict()
    assert {
        p: (k, e) for p, k, e in zip(weights["planted"], weights["kept"], weights["pruned_at_epoch"], strict=True)
    } == {
        1: (True, 0),
        0: (False, 1),
    }
    # Going on neither prunes anew nor forgets.
    later = trainer(hidden, weighter="oracle", prune=True, epochs=2, resume=True)
    assert later.mask.count == NUM_SOURCE // 2
    assert [report.instances_seen for report in later.epochs()] == [NUM_SOURCE]


def test_a_runs_weights_can_be_given_to_another(
    trainer: Callable[..., Trainer], hidden: Problem, obvious: Problem, tmp_path: Path
) -> None:
    list(trainer(hidden, weighter="oracle", epochs=1).epochs())
    path = str(tmp_path / "run" / "instance_weights.parquet")
    given = {"weighter": "given", "weights_file": path, "prune": True, "epochs": 1, "run_dir": str(tmp_path / "given")}
    (report,) = trainer(hidden, **given).epochs()
    assert report.instances_seen == NUM_SOURCE // 2
    with pytest.raises(InputError, match="weights of another data set"):
        trainer(obvious, **given | {"run_dir": str(tmp_path / "refused")})
    assert not (tmp_path / "refused").exists(), "a run that never began must leave nothing behind"


def test_a_weights_file_is_read_before_any_image(trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="there is no such file"):
        trainer(None, weighter="given", weights_file=missing, source=str(tmp_path / "no-such-source"))


class Updates:
    """Counts what a weighter is asked."""

    def __init__(self, weighter: Weighter, monkeypatch: pytest.MonkeyPatch):
        self.count = 0
        update = weighter.update

        def counted(sample: WeightSample, gradient: Tensor) -> None:
            self.count += 1
            update(sample, gradient)

        monkeypatch.setattr(weighter, "update", counted)


@pytest.mark.parametrize(
    ("options", "updates", "asked"),
    [
        ({"meta_every": 1}, 4, 4),
        ({"meta_every": 2}, 2, 2),
        ({"meta_every": 3}, 2, 2),
        ({"meta_every": 9}, 1, 1),
        ({"direction_every": 1}, 4, 4),
        ({"direction_every": 2}, 4, 2),
        ({"direction_every": 3}, 4, 2),
        ({"direction_every": 9}, 4, 1),
        ({"meta_every": 2, "direction_every": 2}, 2, 1),
    ],
    ids=str,
)
def test_weights_are_learnt_and_the_target_is_asked_every_so_many_steps(
    trainer: Callable[..., Trainer],
    hidden: Problem,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, int],
    updates: int,
    asked: int,
) -> None:
    run = trainer(hidden, epochs=2, **options)
    counted = Updates(run.learner.weighter, monkeypatch)
    first, second = run.epochs()
    assert counted.count == 2 * updates
    assert first.target_instances_seen == asked * 40
    assert second.target_instances_seen == 2 * first.target_instances_seen, "the first step of an epoch asks anew"
    assert first.instances_seen == NUM_SOURCE
    assert 0.5 < first.meta_loss < 2, "the mean is that of the steps that computed it"


def test_l2rw_cannot_skip_its_meta_gradient(trainer: Callable[..., Trainer], hidden: Problem) -> None:
    with pytest.raises(InputError, match=r"meta_every: 2 cannot work with weighter 'l2rw'.*allowed: 1"):
        trainer(hidden, weighter="l2rw", meta_every=2)


def test_nothing_learnt_prunes_before_the_burn_in_is_over(trainer: Callable[..., Trainer], hidden: Problem) -> None:
    run = trainer(hidden, prune=True, epochs=3, burn_in_epochs=2, weight_lr=300.0, cdf_threshold=0.4)
    kept = [report.kept for report in run.epochs()]
    assert kept[:2] == [NUM_SOURCE, NUM_SOURCE]
    assert kept[2] < NUM_SOURCE
    assert set(run.mask.pruned_at_epoch.tolist()) == {0, 3}


@pytest.mark.parametrize("weighter", LEARNING)
def test_options_beyond_the_paper_continue_bit_for_bit(
    trainer: Callable[..., Trainer], hidden: Problem, tmp_path: Path, weighter: str
) -> None:
    options = {
        "weighter": weighter, "weight_lr": LEARNING[weighter], "prune": True, "cdf_threshold": 0.3,
        "tangent_views": 1, "normalise_weights": True, "meta_every": 2,
    }  # fmt: skip
    whole = trainer(hidden, epochs=5, run_dir=str(tmp_path / "whole"), **options)
    list(whole.epochs())
    list(trainer(hidden, epochs=2, run_dir=str(tmp_path / "parts"), **options).epochs())
    parts = trainer(hidden, epochs=5, run_dir=str(tmp_path / "parts"), resume=True, **options)
    assert len(list(parts.epochs())) == 3
    assert torch.equal(whole.mask.pruned_at_epoch, parts.mask.pruned_at_epoch)
    assert bool((~whole.mask.kept).any())
    for column in ("mean", "variance"):
        expected, found = (getattr(run.learner.weighter.table(), column) for run in (whole, parts))
        np.testing.assert_array_equal(expected, found)
    for a, b in zip(whole.learner.model.parameters(), parts.learner.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_fixed_weights_prune_for_good(trainer: Callable[..., Trainer], hidden: Problem) -> None:
    run = trainer(hidden, weighter="oracle", prune=True, epochs=4)
    assert [report.instances_seen for report in run.epochs()] == [40, 80, 120, 160]


def test_equal_weights_normalised_or_ignored_are_plain_training(
    trainer: Callable[..., Trainer], hidden: Problem, tmp_path: Path
) -> None:
    """Weights of 5 throughout, divided by their mean, leave no trace; without the option they do. Nor do weights of any
    size that have no say in the loss."""
    path = tmp_path / "fives.csv"
    path.write_text("index,weight\n" + "".join(f"{i},5\n" for i in range(NUM_SOURCE)))
    fives = {"weighter": "given", "weights_file": str(path)}
    runs = {
        name: trainer(hidden, epochs=1, run_dir=str(tmp_path / name), **fields)
        for name, fields in {
            "plain": {"weighter": "uniform"},
            "normalised": fives | {"normalise_weights": True},
            "without a say": fives | {"weighted_loss": False, "prune": True},
            "learnt, without a say": {"weighter": "beta", "weight_lr": 300.0, "weighted_loss": False},
            "as they are": fives,
        }.items()
    }
    parameters = {}
    for name, run in runs.items():
        list(run.epochs())
        parameters[name] = torch.cat([p.detach().flatten() for p in run.learner.model.parameters()])
    for name in ("normalised", "without a say", "learnt, without a say"):
        assert torch.equal(parameters[name], parameters["plain"])
    assert np.ptp(runs["learnt, without a say"].learner.weighter.table().mean) > 0.01
    assert not torch.allclose(parameters["as they are"], parameters["plain"], atol=1e-3)


def test_a_run_older_than_an_option_can_be_continued() -> None:
    now = RunConfig().flat()
    before = {name: value for name, value in now.items() if name != "burn_in_epochs"}
    assert differences(before, now) == []
    assert differences(before, now | {"burn_in_epochs": 2}) == ["burn_in_epochs was 0 and is 2"]


def test_prototypes_know_nothing_of_the_head(tmp_path: Path) -> None:
    for meta_loss in ("prototype", "prototype+0.5*pretext"):
        config = RunConfig().replace(meta_loss=meta_loss, direction_parameters="head", run_dir=str(tmp_path / "run"))
        with pytest.raises(InputError, match="direction_parameters: 'head' cannot work with meta_loss"):
            Trainer(config)


def test_the_natural_direction_needs_a_linear_head_by_itself(tmp_path: Path) -> None:
    alone = {"meta_loss": "pretext", "direction_parameters": "head"}
    for options in ({}, {**alone, "relative_derivatives": True}):
        with pytest.raises(InputError, match="natural_direction: True cannot work; allowed: false, or direction_param"):
            RunConfig().replace(natural_direction=True, **options)
    config = RunConfig().replace(natural_direction=True, pretext="vae", run_dir=str(tmp_path / "run"), **alone)
    with pytest.raises(InputError, match="natural_direction: cannot work with pretext 'vae', whose head is not linear"):
        Trainer(config)


@pytest.mark.parametrize("field", ["relative_derivatives", "shared_derivatives", "natural_direction"])
def test_some_options_need_what_the_training_pass_finds(field: str, tmp_path: Path) -> None:
    alone = {"meta_loss": "pretext", "direction_parameters": "head"}
    config = RunConfig().replace(**{"weighter": "l2rw", **alone, field: True, "run_dir": str(tmp_path / "run")})
    with pytest.raises(InputError, match=f"{field}: cannot work with weighter 'l2rw'"):
        Trainer(config)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nearest_beta", 0.0),
        ("nearest_beta", math.nan),
        ("meta_every", 0),
        ("burn_in_epochs", -1),
        ("direction_momentum", 1.0),
        ("direction_every", 0),
    ],
)
def test_options_that_cannot_work_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field}: .* cannot work; allowed: "):
        RunConfig().replace(**{field: value})
