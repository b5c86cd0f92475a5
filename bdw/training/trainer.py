"""The training loop: a generator of one report per epoch, the same under plain python, torchrun and Ray Train."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig, identity
from bdw.data import Problem
from bdw.data.augment import random_crop_flip
from bdw.data.image_table import ImageTable
from bdw.data.source_and_targets import LabelledProgress, require_same_channels
from bdw.errors import RunStopped
from bdw.parallel import collectives
from bdw.parallel.consistency import require_same
from bdw.parallel.stop_requests import NoticeBoard, StopRequests, no_notice
from bdw.parallel.watchdog import Watchdog
from bdw.pretext import Images
from bdw.runs.checkpoint import Position
from bdw.runs.directory import RunDirectory, source_facts
from bdw.runs.metrics import EpochReport, ProgressListener, Silent
from bdw.runs.trackers import Trackers
from bdw.runs.trajectory import Trajectory
from bdw.training import growth, resume
from bdw.training.allocator import keep_freed_memory
from bdw.training.build import build_selection, build_state, build_weighter, load_problem, start_from_given_weights
from bdw.training.checks import check, check_batch, check_selector, check_task, usable_device, warn_of_small_budget
from bdw.training.epoch import EpochTotals, epoch_totals, require_finite, training_steps
from bdw.training.epoch_report import epoch_report
from bdw.training.examiner import Examiner
from bdw.training.finish import finish, write_so_far
from bdw.training.history import History
from bdw.training.looking_ahead import look_ahead
from bdw.training.progress import EpochProgress
from bdw.training.rated_start import start_from_scorer
from bdw.training.saving import Saving
from bdw.training.schedules import learning_rate
from bdw.training.step_timing import StepSeconds, step_seconds
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.meta_loss import MetaLoss
from bdw.weighting.step import Learner
from bdw.weighting.task_keep_mask import TaskKeepMask
from bdw.weighting.weighters.protocol import HasColumns, Learns

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
    """Trains a run from one epoch to the next; `state` is all that it has come to."""

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
        self.config = config = collectives.on_all(lambda: identity.named(config))
        self.device = collectives.on_all(lambda: usable_device(config))
        if self.device.type == "cpu":
            keep_freed_memory()
        self._stop_requests = StopRequests(config.output.checkpoint_minutes, notice_board)
        self._saving = Saving(self.run, config, self._stop_requests, storage_is_known=storage_is_known)
        self._watchdog = Watchdog(config.output.step_timeout)
        self._shown: int | None = None
        """The epoch whose encoder this process has written."""
        self._trajectory = Trajectory(self.run.trajectory)
        told = identity.settings(config) if config.output.trackers else {}
        self._trackers = Trackers(config.output.trackers, self.run.path, told)
        self.problem = problem or load_problem(config, self.run.path, packing)
        found, new_images = self._saving.newest(), 0
        if found is not None:
            self.problem, new_images = growth.in_old_order(self.problem, self.run, found[0], config)
        require_same_channels(self.problem)
        check_batch(config, len(self.problem.source))
        check_selector(config, len(self.problem.source))
        check_task(config, Images(*self.problem.source.images.shape[1:]), len(self.problem.source))
        weighter = build_weighter(config, self.problem, self.run.path, self.device, packing)
        self.state = build_state(config, self.problem, weighter, self.device, self._augment)
        self.images = ImageTable(self.problem.source.images, self.device)
        self.examiner = Examiner(config, self.problem.targets, self.listener)
        if found is not None:
            saved, name = found
            saved = growth.grown(saved, self.state, self.problem, self.run, config) if new_images else saved
            resume.restore(self.state, saved, name, config, self.problem)
            if isinstance(self.mask, TaskKeepMask):
                self.learner.model.task.keep(self.mask.told)
        else:
            start_from_given_weights(config.encoder, self.learner.model)
            start_from_scorer(config.weighter, weighter, self.problem.source, self.device)
        if found is None and self.state.selection is not None:
            chosen = build_selection(config, self.problem, self.run.path, self.device, packing)
            self.state.selection.keep(chosen)
            weighter.freeze(self.mask.choose(chosen.chosen))
        if found is None and weighter.learns is Learns.NEVER:
            # Fixed weights know before the first epoch what is useless; nothing is to be learnt about it.
            self._prune(epoch=1)
        if new_images:
            self._take_in(new_images)
        if collectives.rank() == 0:
            prunes = weighter.learns is not Learns.NEVER and self.state.drawing is None
            warn_of_small_budget(self.state.budget, self.mask.count, prunes=prunes)
        recording = config.output.record_trajectory
        collectives.on_first(lambda: self._trajectory.continue_after(len(self.history), recording=recording))
        self._saving.write(lambda: self.run.write_config(config, source_facts(self.problem)), "config.json")

    @property
    def learner(self) -> Learner:
        """What a training step changes."""
        return self.state.learner

    @property
    def mask(self) -> KeepMask:
        """What is still trained on."""
        return self.state.mask

    @property
    def history(self) -> History:
        """The epochs behind the run."""
        return self.state.history

    @property
    def position(self) -> Position:
        """Epochs behind the run, and steps of the next."""
        return self.state.position

    def epochs(self) -> Iterator[EpochReport]:
        """The epochs that are still to be trained; see `iterate`."""
        state = self.state
        state.clock.go_on()
        state.schedule.start(state.current.progress, self._time_steps)
        state.clock.pause()
        if len(state.history) >= state.schedule.last_epoch:
            self._score_last()
            self._write_files(is_last=True)
        try:
            while len(state.history) < state.schedule.last_epoch:
                yield self._epoch(len(state.history) + 1)
        finally:
            self._trackers.end()

    def _epoch(self, epoch: int) -> EpochReport:
        state = self.state
        state.clock.go_on()
        totals = self._train(epoch)
        self._conclude(epoch)
        before, after = self.history.done, (epoch, self.history.done[1] + totals.instances)
        evaluates = state.budget.is_due(self.config.evaluation.evaluate_every, before, after)
        scores = self.examiner.scores(self.learner.model, evaluates=evaluates or epoch == state.schedule.last_epoch)
        is_scored = not math.isnan(scores[self.examiner.measure.name])
        state.schedule.measured(totals, evaluated=is_scored)
        is_last = epoch == state.schedule.last_epoch
        if is_last and not is_scored:
            scores = self.examiner.scores(self.learner.model)
        is_best = state.best.compete(scores, self.learner.model, *state.best_of_targets.values())
        own = epoch_report(state, self.problem.source, self.examiner, totals, scores, is_best=is_best)
        report = collectives.from_first(own)
        state.history.append(report)
        state.current.end()
        saves = is_last or self._saving.is_due(state.budget, before, after)
        if saves:
            self._save()
        # The short epochs of a budget of images would spend more on files than on training.
        if saves or evaluates or state.budget.images is None:
            self._write_files(is_last=is_last, shows=saves)
        if collectives.rank() == 0:
            self.listener.on_epoch(report)
            self._trackers.log(report.row())
        state.clock.pause()
        return report

    def _score_last(self) -> None:
        """Evaluate the last epoch, where it was not known to be the last one when it was trained."""
        last = self.history[-1]
        if not math.isnan(last.validation_score):
            return
        scores = self.examiner.scores(self.learner.model)
        scored = dataclasses.replace(
            last,
            validation_score=scores[self.examiner.measure.name],
            is_best=self.state.best.compete(scores, self.learner.model, *self.state.best_of_targets.values()),
            wall_seconds=self.state.clock.seconds(),
            monitors=self.examiner.monitors(scores),
        )
        self.history[-1] = collectives.from_first(scored)
        self._save()

    def _save(self) -> None:
        contents = resume.contents(self.state, self.config, self.problem)
        self._saving.checkpoint(contents, self.position, self.history.best_epoch)

    def _write_files(self, *, is_last: bool, shows: bool = False) -> None:
        """The metrics and, if the run `shows` what it has so far, best encoder and weights; after the last epoch
        everything that the run leaves behind. And their backup."""

        def write() -> None:
            if is_last:
                finish(self.state, self.config, self.problem, self.run, self.examiner)
            else:
                self.run.write_metrics(self.history)
                if shows:
                    self._show()

        self._saving.write(write, "the run's files")
        self._saving.back_up(best_epoch=self.history.best_epoch, at_end=is_last)

    def _show(self) -> None:
        self._shown = write_so_far(self.state, self.config, self.problem, self.run, written=self._shown)

    def _conclude(self, epoch: int) -> None:
        """After the epoch's steps: what is learnt all at once, and who is pruned; the same on all workers after it."""
        weighter, evidence = self.learner.weighter, self.learner.visit_statistics
        learns_and_prunes = epoch > self.config.weighter.burn_in_epochs
        self.learner.tell_verdicts(learns=learns_and_prunes)
        weighter.end_epoch()
        if self.state.drawing is not None:
            self.state.drawing.end_epoch()
        for valuation in self.learner.valuations:
            valuation.end_epoch()
        if evidence is not None:
            evidence.end_epoch()
        # Before the checkpoint, so that no epoch is missing from a run that dies in between and continues.
        if self.config.output.record_trajectory:
            logs = weighter.state_dict()["parameters"]
            self._saving.write(lambda: self._trajectory.record(epoch, logs), f"the trajectory of epoch {epoch}")
        if learns_and_prunes:
            self._prune(epoch)
        tables = {f"usefulness for {v.target}": v.weighter.state_dict() for v in self.learner.valuations}
        require_same({"weights": weighter.state_dict(), "keep mask": self.mask.state_dict(), **tables}, epoch)

    def _prune(self, epoch: int, useless: NDArray[np.bool_] | None = None) -> None:
        """By the weighter's rule, or these (n,)."""
        config, weighter = self.config.weighter, self.learner.weighter
        if config.prune and isinstance(self.mask, TaskKeepMask):
            assert isinstance(weighter, HasColumns), "checked with the config"
            self.mask.prune_by(weighter, epoch)
        elif config.prune:
            useless = weighter.useless() if useless is None else useless
            weighter.freeze(self.mask.prune(useless, weighter.table().mean, epoch))

    def _train(self, epoch: int) -> EpochTotals:
        """The epoch's training steps that are still to be made, with checkpoints between them where they are due."""
        state, progress = self.state, self.state.current.progress
        if progress is None:
            state.schedule.begin()
            if state.drawing is not None and state.schedule.option.meta_every:
                look_ahead(state.drawing, self.learner, self.mask, self.images, self.problem.target, self.config)
            progress = state.current.begin(self.learner.randomness["order"])
            self._begin_epoch()
        if self.learner.meta_loss is not state.schedule.meta_loss:
            state.learner = self.learner.asking(state.schedule.meta_loss)
        steps = training_steps(
            self.learner,
            self.images,
            progress,
            self._stop_requests,
            meta_every=state.schedule.option.meta_every,
            epoch=epoch,
            epochs=state.schedule.last_epoch,
            listener=self.listener,
            learning_rate=self._learning_rate,
            used_after=self._used_after,
            before=self.history.balance,
            budget_share=None if state.budget.images is None else self._budget_share,
        )
        with self._watchdog:
            for agreed in steps:
                if agreed.save:
                    self._watchdog.rest()
                    self._save_within(epoch)
                if agreed.stop:
                    raise RunStopped(_of_any_worker(self._stop_requests.reason_to_stop()), str(self.position))
                self._watchdog.pat()
        require_finite(self.learner, progress.steps, epoch)
        return epoch_totals(self.learner, progress)

    def _take_in(self, new_images: int) -> None:
        """Prune those of the last images of the source that are useless, and save, so that the next resumed run knows
        them."""
        useless = self.learner.weighter.useless()
        useless[:-new_images] = False
        self._prune(epoch=len(self.history), useless=useless)
        # What the finished run left lacks them; without results it is written anew.
        self._saving.write(lambda: self.run.results.unlink(missing_ok=True), "results.parquet anew")
        self._save()

    def _begin_epoch(self) -> None:
        """Tell those whom it concerns; a pretext task may look at all kept images."""
        if self.learner.alignment is not None:
            self.learner.alignment.target_gradient.begin_epoch()
        for asked in self.learner.asked:
            asked.begin_epoch()
        model, kept = self.learner.model, self.mask.kept.nonzero().flatten().split(self.config.optimiser.batch_size)
        model.task.keep(self.mask.told)
        model.task.begin_epoch(model.encoder, zip(kept, self.images.batches(kept), strict=True))

    def _save_within(self, epoch: int) -> None:
        """A checkpoint between two steps, after which the epoch goes on as if there had been none."""
        require_finite(self.learner, self.state.current.steps, epoch)
        for weighter in (self.learner.weighter, *(v.weighter for v in self.learner.valuations)):
            weighter.share()
        if self.learner.visit_statistics is not None:
            self.learner.visit_statistics.share()
        self._save()
        self._saving.write(self._show, "the best encoder so far")
        reason = self._stop_requests.reason_to_save()
        if reason is not None:
            logger.warning("%s: saved after %s", reason, self.position)
        self._saving.back_up(best_epoch=self.history.best_epoch, at_end=False)

    def _time_steps(self, meta_losses: Sequence[MetaLoss], batch: Tensor) -> list[StepSeconds]:
        with self._watchdog:
            return step_seconds(
                self.learner, self.state.step_parts, meta_losses, self.images, batch,
                after_step=self._watchdog.pat,
            )  # fmt: skip

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        data = self.config.data
        return random_crop_flip(images, data.crop_size, data.crop_padding, data.flip, generator)

    def _learning_rate(self, progress: EpochProgress, instances: int) -> float:
        """Of the step after that progress of the epoch under way, on so many instances."""
        budget, (done, before) = self.state.budget, self.history.done
        seen = before + progress.instances
        return learning_rate(
            self.config.schedule,
            self.config.optimiser.learning_rate,
            passes_done=budget.passes_done(done, seen),
            used=budget.share(done, seen, progress.steps / len(progress.batches)),
            used_after=self._used_after(progress, instances),
        )

    def _used_after(self, progress: EpochProgress, instances: int) -> float:
        """Share of the budget at the end of that step."""
        done, before = self.history.done
        share_of_epoch = (progress.steps + 1) / len(progress.batches)
        return self.state.budget.share(done, before + progress.instances + instances, share_of_epoch)

    def _budget_share(self, progress: EpochProgress) -> float:
        """Of a run counted in images, after that progress of the epoch under way."""
        done, before = self.history.done
        return self.state.budget.share(done, before + progress.instances)


def _of_any_worker(reason: str | None) -> str:
    """The reason of the first worker that has one, so that all say the same."""
    return next(told for told in collectives.gather_objects(reason) if told)
