"""The training loop: a generator of one report per epoch, the same under plain python, torchrun and Ray Train."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bdw import evaluation
from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.data import Problem
from bdw.data.augment import random_crop_flip
from bdw.data.image_table import ImageTable
from bdw.data.problem import LabelledProgress
from bdw.errors import RunStopped
from bdw.evaluation import Examination
from bdw.evaluation.features import Settings
from bdw.evaluation.planted_auroc import planted_auroc
from bdw.parallel import collectives
from bdw.parallel.consistency import require_same
from bdw.parallel.stop_requests import NoticeBoard, StopRequests, no_notice
from bdw.parallel.watchdog import Watchdog
from bdw.pretext import PretextModel
from bdw.runs import checkpoint
from bdw.runs.backup import RunBackup
from bdw.runs.break_even import NOTHING_YET, BreakEven
from bdw.runs.checkpoint import Position
from bdw.runs.directory import RunDirectory
from bdw.runs.metrics import EpochReport, ProgressListener, Silent
from bdw.runs.trajectory import Trajectory
from bdw.storage.retry import persistently
from bdw.training import resume
from bdw.training.allocator import keep_freed_memory
from bdw.training.build import build_learner, build_weighter, load_problem
from bdw.training.checks import check, check_batch, usable_device, warn_of_small_budget
from bdw.training.epoch import EpochProgress, EpochTotals, epoch_totals, require_finite, training_steps
from bdw.training.finish import are_written, write_results
from bdw.training.schedules import learning_rate
from bdw.weighting.keep_mask import KeepMask, min_kept
from bdw.weighting.weighters.protocol import Learns, TakesVerdicts

logger = logging.getLogger(__name__)


def iterate(
    config: RunConfig,
    *,
    problem: Problem | None = None,
    listener: ProgressListener | None = None,
    packing: LabelledProgress | None = None,
    notice_board: NoticeBoard = no_notice,
) -> Iterator[EpochReport]:
    """Train and yield one report per epoch; stopping early is not asking for the next.

    Before a report is yielded its checkpoint, if one is due, is on disk, and before the last one so is everything that
    the run leaves behind. Under torch.distributed every worker iterates and gets the same reports; rank 0 writes.
    Iterating over a finished run yields nothing, but writes whatever a crash kept it from leaving behind.

    Args:
        config: the run.
        problem: what to train on, if it is loaded already; otherwise the config says.
        listener: hears of every step and epoch on rank 0.
        packing: hears of images that are being packed, or compared with the target's, on rank 0.
        notice_board: says whether this worker's machine is about to go, so that the run saves in time.

    Raises:
        InputError: the input cannot work; before any compute.
        NonFiniteError: a loss, a gradient or a parameter became NaN or infinite; the last checkpoint is intact.
        DisagreementError: workers no longer hold the same weights and keep mask after an epoch.
        RunStopped: a notice asked the run to end; its checkpoint is written.
    """
    yield from Trainer(config, problem=problem, listener=listener, packing=packing, notice_board=notice_board).epochs()


class Trainer:
    """The live state of a run between epochs."""

    def __init__(
        self,
        config: RunConfig,
        *,
        problem: Problem | None = None,
        listener: ProgressListener | None = None,
        packing: LabelledProgress | None = None,
        notice_board: NoticeBoard = no_notice,
        storage_is_known: bool = False,
    ):
        """As `iterate`; `storage_is_known`: whoever started this worker has made sure of the `storage_path`, so that it
        is waited for if it fails now."""
        self.config = config
        self.run = RunDirectory(Path(config.output.run_dir).resolve())
        self.listener = listener or Silent()
        check(config)
        self.device = collectives.on_all(lambda: usable_device(config))
        if self.device.type == "cpu":
            keep_freed_memory()
        self._copy = collectives.on_all(lambda: RunBackup(self.run, config.output, is_known=storage_is_known))
        self._interruptions = StopRequests(config.output.checkpoint_minutes, notice_board)
        self._watchdog = Watchdog(config.output.step_timeout)
        self._trajectory = Trajectory(self.run.trajectory)
        collectives.on_first(lambda: self._copy.claim(config))
        self.problem = problem or load_problem(config, self.run.path, packing)
        num_instances = len(self.problem.source)
        check_batch(config, num_instances)
        self.budget = Budget.of(config.optimiser, num_instances)
        weighter = build_weighter(config, self.problem, self.run.path, self.device, packing)
        self.learner, self.pace = build_learner(config, self.problem, weighter, self.budget, self.device, self._augment)
        self.mask = KeepMask(num_instances, max(min_kept(config, num_instances), collectives.size()))
        self.images = ImageTable(self.problem.source.images, self.device)
        self.history: list[EpochReport] = []
        self.measure = evaluation.measure(config.evaluation.measure)
        self.best_score = math.nan
        self.best_model: dict[str, Tensor] = {}
        self.progress: EpochProgress | None = None
        self._wall_seconds, self._began = 0.0, time.perf_counter()
        found = (
            resume.newest(self.run.checkpoints, patience=config.output.storage_patience)
            if config.output.resume
            else None
        )
        if found is not None:
            state, name = found
            resume.restore(self, state, name)
            self._wall_seconds = state["wall_seconds"]
        elif self.learner.weighter.learns is Learns.NEVER:
            # Fixed weights know before the first epoch what is useless; nothing is to be learnt about it.
            self._prune(epoch=1)
        if collectives.rank() == 0:
            warn_of_small_budget(self.budget, self.mask.count, self.learner.weighter.learns)
        recording = config.output.record_trajectory
        collectives.on_first(lambda: self._trajectory.continue_after(len(self.history), recording=recording))
        self._write(lambda: self.run.write_config(config, self._source_facts()), "config.json")

    def epochs(self) -> Iterator[EpochReport]:
        """The epochs that are still to be trained; see `iterate`."""
        self._began = time.perf_counter()
        self.pace.start(self, self._augment, self._watchdog)
        self._wall_seconds, self._began = self.wall_seconds(), time.perf_counter()
        if self.done[0] >= self.pace.last_epoch:
            self._score_last()
            self._write(self._finish, "the run's files")
            collectives.on_first(lambda: self._copy.push(best_epoch=self._best_epoch(), at_end=True))
        while len(self.history) < self.pace.last_epoch:
            yield self._epoch(len(self.history) + 1)

    @property
    def position(self) -> Position:
        """Epochs behind the run, and steps of the next."""
        return Position(len(self.history), self.progress.steps if self.progress else 0)

    @property
    def done(self) -> tuple[int, int]:
        """Whole epochs behind the run, and source images that they trained on."""
        return len(self.history), self.history[-1].instances_seen if self.history else 0

    def wall_seconds(self) -> float:
        """Seconds of all training, pruning, evaluation and checkpoints, those before a resume included."""
        return self._wall_seconds + time.perf_counter() - self._began

    def _epoch(self, epoch: int) -> EpochReport:
        self._began = time.perf_counter()
        totals = self._train(epoch)
        self._judge(epoch)
        self.learner.weighter.end_epoch()
        if self.learner.evidence is not None:
            self.learner.evidence.end_epoch()
        self._record(epoch)
        if epoch > self.config.weighter.burn_in_epochs:
            self._prune(epoch)
        require_same({"weights": self.learner.weighter.state_dict(), "keep mask": self.mask.state_dict()}, epoch)
        before, after = self.done, (epoch, self.done[1] + totals.instances)
        intervals = self.config.evaluation.evaluate_every, self.config.output.checkpoint_every
        evaluates, saves = (self.budget.is_due(every, before, after) for every in intervals)
        scores = self._scores(evaluates or epoch == self.pace.last_epoch)
        self.pace.measured(self, totals, evaluated=not math.isnan(scores[self.measure.name]))
        last_epoch = epoch == self.pace.last_epoch
        if last_epoch and math.isnan(scores[self.measure.name]):
            scores = self._scores()
        is_best = self._competed(scores)
        report = collectives.from_first(self._report(epoch, totals, scores, is_best))
        self.history.append(report)
        self.progress = None
        # By the clock, too, so that cheap epochs far apart do not add up to more than is meant to be lost.
        saves = saves or last_epoch or collectives.from_first(self._interruptions.minutes_are_up())
        if saves:
            self._save()
        # The short epochs of a budget of images would spend more on files than on training.
        if saves or evaluates or self.budget.images is None:
            # Rank 0 writes, and no worker goes on before it has.
            self._write(self._finish if last_epoch else lambda: self.run.write_metrics(self.history), "the run's files")
            collectives.on_first(lambda: self._copy.push(best_epoch=self._best_epoch(), at_end=last_epoch))
        if collectives.rank() == 0:
            self.listener.on_epoch(report)
        self._wall_seconds, self._began = self.wall_seconds(), time.perf_counter()
        return report

    def _score_last(self) -> None:
        """Evaluate the last epoch, where it was not known to be the last one when it was trained."""
        last = self.history[-1]
        if not math.isnan(last.validation_score):
            return
        scores = self._scores()
        scored = dataclasses.replace(
            last,
            validation_score=scores[self.measure.name],
            is_best=self._competed(scores),
            wall_seconds=self.wall_seconds(),
            monitors={name: scores[name] for name in self.config.evaluation.monitors},
        )
        self.history[-1] = collectives.from_first(scored)
        self._save()

    def _competed(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores, of the model as it is, are the best so far; if so, it is kept."""
        is_best = self.measure.better(scores[self.measure.name], self.best_score)
        if is_best:
            self.best_score = scores[self.measure.name]
            self.best_model = _snapshot(self.learner.model)
        return is_best

    def _save(self) -> None:
        """A checkpoint of this moment, and deletion of those that it makes superfluous."""
        state, position, folder = resume.capture(self), self.position, self.run.checkpoints
        keep, best_epoch = self.config.output.keep_checkpoints, self._best_epoch()

        def save() -> None:
            checkpoint.save(folder, position, state)
            checkpoint.delete_superseded(folder, keep=keep, best_epoch=best_epoch)

        self._write(save, f"the checkpoint after {position}")
        self._interruptions.saved()

    def _write(self, action: Callable[[], object], what: str) -> None:
        """Let rank 0 write, patiently, while the others wait."""
        patience = self.config.output.storage_patience
        collectives.on_first(lambda: persistently(action, what=f"writing {what}", seconds=patience))

    def _judge(self, epoch: int) -> None:
        """Let the weighter learn what the epoch says of the images that it visited, where that is said all at once."""
        if self.learner.verdicts is not None:
            indices, helps = self.learner.verdicts.judge()
            if epoch > self.config.weighter.burn_in_epochs:
                assert isinstance(self.learner.weighter, TakesVerdicts), "checked with the config"
                self.learner.weighter.judge(indices, helps)

    def _record(self, epoch: int) -> None:
        """The weights that the epoch's verdicts rest on, if they are to be kept.

        Before the checkpoint, so that none is missing from a run that dies in between and continues.
        """
        if not self.config.output.record_trajectory:
            return
        logs = self.learner.weighter.state_dict()["parameters"]
        self._write(lambda: self._trajectory.record(epoch, logs), f"the trajectory of epoch {epoch}")

    def _best_epoch(self) -> int | None:
        return max((report.epoch for report in self.history if report.is_best), default=None)

    def _prune(self, epoch: int) -> None:
        config, weighter = self.config.weighter, self.learner.weighter
        if config.prune:
            weighter.freeze(self.mask.prune(weighter.useless(), weighter.table().mean, epoch))

    def _train(self, epoch: int) -> EpochTotals:
        """The epoch's training steps that are still to be made, with checkpoints between them where they are due."""
        config = self.config.optimiser
        if self.progress is None:
            kept = self.mask.kept.nonzero().flatten()
            self.pace.begin()
            self.learner.direction.begin_epoch()
            limit = self.budget.left(self.done[1])
            self.progress = EpochProgress(kept, config.batch_size, self.learner.randomness["order"], limit)
        if self.learner.meta_loss is not self.pace.meta_loss:
            self.learner = dataclasses.replace(self.learner, meta_loss=self.pace.meta_loss)
        steps = training_steps(
            self.learner,
            self.images,
            self._augment,
            self.progress,
            self._interruptions,
            meta_every=self.pace.option.meta_every,
            epoch=epoch,
            epochs=self.pace.last_epoch,
            listener=self.listener,
            learning_rate=self._learning_rate,
            before=self._balance(),
            budget_share=None if self.budget.images is None else self._budget_share,
        )
        with self._watchdog:
            for agreed in steps:
                if agreed.save:
                    self._watchdog.rest()
                    self._save_within(epoch)
                if agreed.stop:
                    raise RunStopped(_of_any_worker(self._interruptions.reason_to_stop()), str(self.position))
                self._watchdog.pat()
        require_finite(self.learner, self.progress.steps, epoch)
        return epoch_totals(self.learner, self.progress)

    def _save_within(self, epoch: int) -> None:
        """A checkpoint between two steps, after which the epoch goes on as if there had been none."""
        assert self.progress is not None
        require_finite(self.learner, self.progress.steps, epoch)
        self.learner.weighter.share()
        if self.learner.evidence is not None:
            self.learner.evidence.share()
        self._save()
        reason = self._interruptions.reason_to_save()
        if reason is not None:
            logger.warning("%s: saved after %s", reason, self.position)
        collectives.on_first(lambda: self._copy.push(best_epoch=self._best_epoch(), at_end=False))

    def _report(self, epoch: int, totals: EpochTotals, scores: Mapping[str, float], is_best: bool) -> EpochReport:
        before = self.history[-1] if self.history else None
        seen = self.done[1] + totals.instances
        weights = self.learner.weighter.table().mean
        trained_fraction = totals.instances / len(self.problem.source)
        saves = self.budget.images is None
        balance = self._balance().after(totals.seconds, totals.weighting_seconds, trained_fraction, saves=saves)
        return EpochReport(
            epoch=epoch,
            steps=totals.steps,
            loss=totals.loss,
            meta_loss=totals.meta_loss,
            pretext_accuracy=totals.accuracy,
            validation_score=scores[self.measure.name],
            is_best=is_best,
            kept=self.mask.count,
            kept_fraction=self.mask.count / len(self.problem.source),
            mean_weight=float(weights.mean()),
            planted_auroc=planted_auroc(weights, self.problem.source.planted),
            instances_seen=seen,
            budget_share=self.budget.share(epoch, seen),
            target_instances_seen=totals.target_instances + (before.target_instances_seen if before else 0),
            learning_rate=self.learner.optimiser.param_groups[0]["lr"],
            seconds=totals.seconds,
            wall_seconds=self.wall_seconds(),
            images_per_second=totals.instances / totals.seconds,
            weighting_seconds=balance.spent,
            saved_seconds=balance.saved,
            **self.pace.columns(),
            monitors={name: scores[name] for name in self.config.evaluation.monitors},
        )

    def _balance(self) -> BreakEven:
        """What weighting has cost and pruning has saved up to the last whole epoch."""
        last = self.history[-1] if self.history else None
        return NOTHING_YET if last is None else BreakEven(last.weighting_seconds, last.saved_seconds)

    def _finish(self) -> None:
        """Everything that a finished run leaves behind; on rank 0. Harmless to repeat."""
        self.run.write_metrics(self.history)
        if not are_written(self.run, self.history[-1].instances_seen):
            write_results(self)

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        data = self.config.data
        return random_crop_flip(images, data.crop_size, data.crop_padding, data.flip, generator)

    def _learning_rate(self, progress: EpochProgress, instances: int) -> float:
        """Of the step after that progress of the epoch under way, on so many instances."""
        done, before = self.done
        seen, steps = before + progress.instances, len(progress.batches)
        return learning_rate(
            self.config.optimiser,
            passes_done=self.budget.passes_done(done, seen),
            used=self.budget.share(done, seen, progress.steps / steps),
            used_after=self.budget.share(done, seen + instances, (progress.steps + 1) / steps),
        )

    def _budget_share(self, progress: EpochProgress) -> float:
        """Of a run counted in images, after that progress of the epoch under way."""
        done, before = self.done
        return self.budget.share(done, before + progress.instances)

    def best(self) -> PretextModel:
        """The model of the best epoch so far, a copy on the training device in evaluation mode."""
        model = copy.deepcopy(self.learner.model)
        model.load_state_dict(self.best_model)
        return model.eval()

    def examination(self, model: PretextModel, split: Literal["validation", "test"]) -> Examination:
        """That model as measures see it, on a split of the target."""
        settings = Settings.from_config(self.config)
        return Examination(
            encoder=model.encoder,
            model=model,
            target=self.problem.target,
            split=split,
            settings=settings,
            progress=self.listener.on_measure,
        )

    def _scores(self, evaluates: bool = True) -> dict[str, float]:
        """The measure and all monitors on the validation split, by name; NaN in epochs without evaluation."""
        names = dict.fromkeys((self.measure.name, *self.config.evaluation.monitors))
        if not evaluates:
            return dict.fromkeys(names, math.nan)
        examination = self.examination(self.learner.model, "validation")

        def evaluate() -> dict[str, float]:
            return {name: evaluation.measure(name).evaluate(examination) for name in names}

        scores = collectives.from_first(collectives.on_first(evaluate))
        assert scores is not None
        return scores

    def _source_facts(self) -> dict[str, Any]:
        source = self.problem.source
        return {
            "count": len(source),
            "content_key": source.content_key,
            "path": str(source.path),
            "skipped": source.header["skipped"],
            "target_classes": list(self.problem.target.classes),
            "target_images": {
                split: len(getattr(self.problem.target, split)) for split in ("train", "validation", "test")
            },
        }


def _of_any_worker(reason: str | None) -> str:
    """The reason of the first worker that has one, so that all say the same."""
    return next(told for told in collectives.gather_objects(reason) if told)


def _snapshot(model: PretextModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
