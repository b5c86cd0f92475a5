"""Runs whose length is a budget of images: as much work with pruning as without, and resumable bit for bit."""

from __future__ import annotations

import itertools
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from bdw.config import RunConfig, presets
from bdw.data import Problem, load
from bdw.errors import InputError, RunStopped
from bdw.parallel.stop_requests import Notice
from bdw.runs.metrics import EpochReport, Silent, StepReport
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import assert_same_end, run_in_pieces, run_to_end

NUM_SOURCE, BATCH = 50, 16
"""Of the source that `config` trains on, every other image of which is useful."""


def _lengths(trainer: Trainer) -> list[int]:
    """Images that each epoch trained on."""
    seen = [0, *(report.instances_seen for report in trainer.history)]
    return [after - before for before, after in itertools.pairwise(seen)]


class _Steps(Silent):
    """What every step says, and the learning rate that it had."""

    def __init__(self) -> None:
        self.trainer: Trainer
        self.steps: list[tuple[StepReport, float]] = []

    def on_step(self, report: StepReport) -> None:
        self.steps.append((report, float(self.trainer.learner.optimiser.param_groups[0]["lr"])))


def _listened(config: RunConfig, problem: Problem) -> tuple[Trainer, list[tuple[StepReport, float]]]:
    listener = _Steps()
    listener.trainer = Trainer(config, problem=problem, listener=listener)
    list(listener.trainer.epochs())
    return listener.trainer, listener.steps


# How much is trained


@pytest.mark.parametrize("budget", [BATCH, 50, 99, 150, 173])
@pytest.mark.parametrize("options", [{"weighter": "uniform"}, {"weighter": "oracle"}, {"cdf_threshold": 0.4}], ids=str)
def test_the_budget_is_used_up_to_a_batch(
    config: RunConfig, problem: Problem, budget: int, options: dict[str, Any]
) -> None:
    trainer = run_to_end(config.replace(budget_images=budget, **options), problem)
    seen = trainer.history[-1].instances_seen
    assert budget <= seen < budget + BATCH
    assert [report.budget_share == 1 for report in trainer.history] == [*[False] * (len(trainer.history) - 1), True]
    assert [report.budget_share for report in trainer.history[:-1]] == [
        report.instances_seen / budget for report in trainer.history[:-1]
    ]
    assert all(math.isnan(report.saved_seconds) for report in trainer.history)
    # All but the last epoch are whole.
    kept = {"uniform": NUM_SOURCE, "oracle": NUM_SOURCE // 2}.get(options.get("weighter", ""))
    assert kept is None or _lengths(trainer)[:-1] == [kept] * (len(trainer.history) - 1)


def test_what_pruning_saves_is_spent_on_what_is_kept(config: RunConfig, problem: Problem) -> None:
    """The oracle keeps a half: twice as many epochs, each of half as many images."""
    images = config.replace(budget_unit="images", epochs=4)
    plain = run_to_end(images.replace(weighter="uniform"), problem)
    pruned = run_to_end(images.replace(weighter="oracle", run_dir=config.output.run_dir + "-pruned"), problem)
    assert _lengths(plain) == [NUM_SOURCE] * 4
    assert _lengths(pruned) == [NUM_SOURCE // 2] * 8
    # And evaluated as often, after as many images.
    for every in (1, 2):
        evaluated = [
            [report.instances_seen for report in trainer.history if not math.isnan(report.validation_score)]
            for trainer in (
                run_to_end(
                    images.replace(
                        weighter=weighter,
                        evaluate_every=every,
                        run_dir=f"{config.output.run_dir}-{weighter}-{every}",
                    ),
                    problem,
                )
                for weighter in ("uniform", "oracle")
            )
        ]
        assert evaluated == [list(range(every * NUM_SOURCE, 4 * NUM_SOURCE + 1, every * NUM_SOURCE))] * 2


def test_a_budget_in_epochs_ends_early_instead(config: RunConfig, problem: Problem) -> None:
    pruned = run_to_end(config.replace(weighter="oracle", epochs=4), problem)
    assert _lengths(pruned) == [NUM_SOURCE // 2] * 4
    assert [report.budget_share for report in pruned.history] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("weighter", ["uniform", "oracle", "beta"])
def test_every_method_walks_the_whole_cosine(config: RunConfig, problem: Problem, weighter: str) -> None:
    """In closed form, from the share of the budget that was used before each step."""
    settings = config.replace(weighter=weighter, budget_images=173, schedule="cosine", warm_up=0.2, cdf_threshold=0.4)
    trainer, steps = _listened(settings, problem)
    before = [0.0, *(report.budget_share for report, _ in steps)]
    for share, (report, rate) in zip(before, steps, strict=False):
        risen = min(1.0, report.budget_share / 0.2)
        fallen = 0.5 * (1 + math.cos(math.pi * max(0.0, share - 0.2) / 0.8))
        assert rate == pytest.approx(0.1 * risen * fallen)
    assert before[-1] == 1
    assert steps[-1][1] == trainer.history[-1].learning_rate < 0.005


def test_milestones_are_passed_after_as_many_images(config: RunConfig, problem: Problem) -> None:
    settings = config.replace(budget_unit="images", epochs=3, lr_milestones=[1, 2])
    for weighter in ("uniform", "oracle"):
        trainer = run_to_end(
            settings.replace(weighter=weighter, run_dir=f"{config.output.run_dir}-{weighter}"), problem
        )
        for report, length in zip(trainer.history, _lengths(trainer), strict=True):
            passes = (report.instances_seen - length) // NUM_SOURCE
            assert report.learning_rate == pytest.approx(0.1 * 0.1**passes)


def test_weights_are_learnt_in_their_share_of_the_budget(config: RunConfig, problem: Problem) -> None:
    trainer = run_to_end(config.replace(cdf_threshold=0.4, budget_unit="images", epochs=4, learn_share=0.5), problem)
    begun = [0.0, *(report.budget_share for report in trainer.history)]
    assert [report.meta_every for report in trainer.history] == [int(share < 0.5) for share in begun[:-1]]
    late = [report for report in trainer.history if not report.meta_every]
    assert len({report.kept for report in late}) == 1, "nothing is pruned by weights that learn no more"
    assert late[0].kept < NUM_SOURCE, "nothing was pruned, so pruning was not tested"


@pytest.mark.parametrize(
    ("weighter", "enough", "said"),
    [
        (
            "beta",
            51,
            "50 images are no more than the 50 of one pass, so that nothing is gained by pruning, which happens "
            "between passes",
        ),
        ("uniform", 50, "49 images are no more than the 50 of one pass, so that some are never seen"),
        # Prunes before the first epoch.
        ("oracle", 25, "24 images are no more than the 25 of one pass, so that some are never seen"),
    ],
)
def test_a_budget_below_one_pass_is_said_to_be(
    config: RunConfig, problem: Problem, weighter: str, enough: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = config.replace(weighter=weighter)
    Trainer(config.replace(budget_images=enough), problem=problem)
    assert caplog.text == ""
    Trainer(config.replace(budget_images=enough - 1), problem=problem)
    (message,) = [record.message for record in caplog.records]
    assert message.startswith(f"budget_images: {said}")
    assert ("nothing is gained" in message) == (weighter == "beta")


# Going on


RECIPE = {"source": "glyphs:images=200,letters=0.2", "epochs": 4, "evaluate_every": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def glyphs(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return load(presets.build("glyphs").replace(**RECIPE).data, tmp_path_factory.mktemp("glyphs"))


@pytest.fixture
def recipe(tmp_path: Path) -> RunConfig:
    """The preset on a pool of 200 images: verdicts, a cosine, and weights that are learnt in the first half."""
    return presets.build("glyphs").replace(**RECIPE, run_dir=str(tmp_path / "run"), max_iterations=20)


def test_a_run_stopped_after_every_other_step_ends_where_an_undisturbed_one_does(
    recipe: RunConfig, glyphs: Problem
) -> None:
    config = recipe.replace(budget_images=790, batch_size=16)  # It ends within an epoch.

    whole = run_to_end(config, glyphs)
    resumed, stops = run_in_pieces(config.replace(run_dir=config.output.run_dir + "-parts", resume=True), glyphs)
    last = len(whole.history)
    assert whole.history[-1].instances_seen < whole.history[-2].instances_seen + whole.history[-2].kept, "cut off"
    assert any(stop.startswith(f"epoch {last - 1} and") for stop in stops), "it was not stopped within the last epoch"
    assert len({report.kept for report in whole.history}) > 2, "hardly anything was pruned"
    assert {report.meta_every for report in whole.history} == {0, 1}
    assert_same_end(resumed, whole)


def test_a_run_resumed_after_every_epoch_ends_where_an_undisturbed_one_does(recipe: RunConfig, glyphs: Problem) -> None:
    whole = run_to_end(recipe, glyphs)
    # Short epochs are not saved one by one, as checkpoint_every counts passes, but the clock asks for it.
    parts = recipe.replace(run_dir=recipe.output.run_dir + "-parts", resume=True, checkpoint_minutes=1e-9)
    for _ in whole.history:
        next(iterate(parts, problem=glyphs))
    assert list(iterate(parts, problem=glyphs)) == []
    assert_same_end(Trainer(parts, problem=glyphs), whole)


def _first(config: RunConfig, problem: Problem) -> EpochReport:
    reports = iterate(config, problem=problem)
    first = next(reports)
    reports.close()
    return first


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"schedule": "cosine"}, "schedule 'cosine'"),
        ({"warm_up": 0.1}, "warm_up 0.1"),
        ({"learn_share": 0.5}, "learn_share 0.5"),
    ],
)
def test_another_budget_is_refused_where_the_steps_so_far_depend_on_it(
    config: RunConfig, problem: Problem, options: dict[str, Any], named: str
) -> None:
    settings = config.replace(budget_unit="images", budget_images=150, resume=True, **options)
    _first(settings, problem)
    for budget in (120, 200):
        with pytest.raises(InputError, match=r"the budget was 3 passes over the source and is") as refused:
            Trainer(settings.replace(budget_images=budget), problem=problem)
        assert f"({named}); allowed: the same budget, or a new run" in str(refused.value)
        assert "\n" not in str(refused.value)
    # The same in other words.
    assert len(run_to_end(settings.replace(budget_images=None, epochs=3), problem).history) >= 3


@pytest.mark.parametrize("options", [{"schedule": "constant"}, {"lr_milestones": [1, 3]}], ids=str)
@pytest.mark.parametrize("steps", [0, 2], ids=["after an epoch", "within one"])
def test_a_larger_budget_continues_where_nothing_depends_on_it(
    config: RunConfig, problem: Problem, options: dict[str, Any], steps: int
) -> None:
    settings = config.replace(budget_images=200, cdf_threshold=0.4, **options)
    whole = run_to_end(settings, problem)
    assert whole.mask.count < NUM_SOURCE, "nothing was pruned, so pruning was not tested"
    parts = settings.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    # 40 images end within the first epoch after its fourth step begins, 50 with it.
    notices = iter([None] * (steps - 1) + [Notice("gone", stop=True)]) if steps else iter(())
    begun = Trainer(
        parts.replace(budget_images=50 - 2 * steps), problem=problem, notice_board=lambda: next(notices, None)
    )
    if steps:
        with pytest.raises(RunStopped, match="epoch 0 and 2 steps"):
            list(begun.epochs())
    else:
        assert len(list(begun.epochs())) == 1
        assert list(iterate(parts.replace(budget_images=50), problem=problem)) == []
    assert_same_end(run_to_end(parts, problem), whole)


def test_images_that_were_trained_on_cannot_be_taken_back(config: RunConfig, problem: Problem) -> None:
    settings = config.replace(budget_images=150, weighter="uniform", resume=True)
    notices = iter([None, None, Notice("gone", stop=True)])
    with pytest.raises(RunStopped, match="epoch 0 and 3 steps"):
        list(Trainer(settings, problem=problem, notice_board=lambda: next(notices, None)).epochs())
    # Steps of 13, 13 and 12: a budget that the third was needed for has been used up by it, a smaller one before.
    with pytest.raises(InputError, match="budget_images: 26 is less than the 38 images already trained on"):
        Trainer(settings.replace(budget_images=26), problem=problem)
    ended = run_to_end(settings.replace(budget_images=27), problem)
    assert (ended.history[-1].instances_seen, ended.history[-1].steps) == (38, 3)
    # A whole epoch of 50, and one of 13 of the next.
    assert _lengths(run_to_end(settings.replace(budget_images=100), problem)) == [38, 50, 13]
    with pytest.raises(InputError, match="budget_images: 80 is less than the 101 images already trained on"):
        Trainer(settings.replace(budget_images=80), problem=problem)


def test_a_finished_run_yields_nothing(config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    settings = config.replace(budget_images=130, cdf_threshold=0.4, resume=True)
    whole = run_to_end(settings, problem)
    assert list(iterate(settings, problem=problem)) == []
    assert_same_end(Trainer(settings, problem=problem), whole)
