"""The training loop: a generator of one report per epoch, the same under plain python, torchrun and Ray Train."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from bdw import checkpoint, collectives, encoders, meta_loss, pretext, weighters
from bdw.config import RunConfig
from bdw.data import Problem, load
from bdw.data.augment import random_crop_flip
from bdw.data.batches import epoch_order, global_batches, local_part
from bdw.data.problem import LabelledProgress
from bdw.encoders import Encoder
from bdw.errors import InputError, NonFiniteError, unknown_option
from bdw.evaluation import linear_probe
from bdw.image_table import ImageTable
from bdw.measurements import EpochReport, ProgressListener, Silent, StepReport
from bdw.pretext import PretextModel
from bdw.pruning import KeepMask
from bdw.randomness import Randomness, drawn_from
from bdw.run_directory import RunDirectory
from bdw.run_results import write_results
from bdw.train_step import Learner, SourceBatch, StepMeasurements, train_step
from bdw.usefulness import planted_auroc


def iterate(
    config: RunConfig,
    *,
    problem: Problem | None = None,
    listener: ProgressListener | None = None,
    packing: LabelledProgress | None = None,
) -> Iterator[EpochReport]:
    """Train and yield one report per epoch; stopping early is not asking for the next.

    Before a report is yielded its checkpoint is on disk, and before the last one so is everything that the run leaves
    behind. Under torch.distributed every worker iterates and gets the same reports; rank 0 writes.

    Raises:
        InputError: the input cannot work; before any compute.
        NonFiniteError: a loss or gradient became NaN or infinite; the last checkpoint is intact.
    """
    trainer = Trainer(config, problem=problem, listener=listener, packing=packing)
    yield from trainer.epochs()


class Trainer:
    """The live state of a run between epochs."""

    def __init__(
        self,
        config: RunConfig,
        *,
        problem: Problem | None = None,
        listener: ProgressListener | None = None,
        packing: LabelledProgress | None = None,
    ):
        self.config = config
        self.run = RunDirectory(Path(config.output.run_dir).resolve())
        _check_names(config)
        self.device = _device(config)
        self._on_first(lambda: self.run.claim(config))
        self.problem = problem or self._load(packing)
        self.randomness = Randomness(config.optimiser.seed, collectives.rank())
        self.listener = listener or Silent()
        source = self.problem.source
        if config.optimiser.batch_size > len(source):
            raise InputError(
                f"batch_size: {config.optimiser.batch_size} is larger than the source of {len(source)} images"
            )
        # Batches of an epoch are equal to one image, so they may be half as large as asked for; every worker needs one.
        if 1 < collectives.size() > config.optimiser.batch_size // 2:
            raise InputError(
                f"batch_size: {config.optimiser.batch_size} is too small for {collectives.size()} workers; allowed: at "
                "least twice the number of workers"
            )
        self.learner = self._build_learner()
        floor = config.weighter.min_kept or config.optimiser.batch_size
        self.mask = KeepMask(len(source), max(floor, collectives.size()))
        self.images = ImageTable(source.images, self.device)
        self.history: list[EpochReport] = []
        self.best_accuracy = -math.inf
        self.best_backbone: dict[str, Tensor] = {}
        self._resume()

    def _build_learner(self) -> Learner:
        config, problem = self.config, self.problem
        task = pretext.build(config.model.pretext)
        with drawn_from(self.randomness["model"]):
            encoder = encoders.build(config.model.encoder, problem.source.images.shape[1])
            model = PretextModel(encoder, task)
        model = model.to(self.device)
        weighter = weighters.build(len(problem.source), config.weighter)
        target = meta_loss.TargetImages(
            ImageTable(problem.target.train.images, self.device),
            torch.from_numpy(problem.target.train.labels),
            problem.target.classes,
            self._augment,
        )
        optimiser = torch.optim.SGD(
            model.parameters(),
            lr=config.optimiser.learning_rate,
            momentum=config.optimiser.momentum,
            weight_decay=config.optimiser.weight_decay,
        )
        return Learner(
            model=model,
            replicated=DistributedDataParallel(model) if collectives.size() > 1 else model,
            optimiser=optimiser,
            weighter=weighter,
            meta_loss=meta_loss.build(config.meta, target, task) if weighter.learns else None,
            randomness=self.randomness,
            target_updates_statistics=config.meta.target_updates_statistics,
        )

    def epochs(self) -> Iterator[EpochReport]:
        """The epochs that are still to be trained."""
        for epoch in range(len(self.history) + 1, self.config.optimiser.epochs + 1):
            yield self._epoch(epoch)

    def _epoch(self, epoch: int) -> EpochReport:
        began = time.perf_counter()
        totals = self._train(epoch)
        seconds = time.perf_counter() - began
        self.learner.weighter.end_epoch()
        table = self.learner.weighter.table()
        if self.config.weighter.prune:
            self.learner.weighter.freeze(self.mask.prune(self.learner.weighter.useless(), table.mean, epoch))
        accuracy = self._validation_accuracy(epoch)
        is_best = accuracy > self.best_accuracy
        last_epoch = epoch == self.config.optimiser.epochs
        if is_best or (last_epoch and not self.best_backbone):
            self.best_accuracy = accuracy
            self.best_backbone = _snapshot(self.learner.model.encoder)
        before = self.history[-1] if self.history else None
        report = EpochReport(
            epoch=epoch,
            steps=totals.steps,
            loss=totals.loss,
            meta_loss=totals.meta_loss,
            pretext_accuracy=totals.accuracy,
            validation_accuracy=accuracy,
            is_best=is_best,
            kept=self.mask.count,
            kept_fraction=self.mask.count / len(self.problem.source),
            mean_weight=float(table.mean.mean()),
            planted_auroc=planted_auroc(table.mean, self.problem.source.planted),
            instances_seen=totals.instances + (before.instances_seen if before else 0),
            target_instances_seen=totals.target_instances + (before.target_instances_seen if before else 0),
            learning_rate=self._learning_rate(epoch),
            seconds=seconds,
            wall_seconds=time.perf_counter() - began + (before.wall_seconds if before else 0.0),
            images_per_second=totals.instances / seconds,
        )
        report = collectives.from_first(report)
        self.history.append(report)
        if epoch % self.config.output.checkpoint_every == 0 or last_epoch:
            self._save(epoch)
        if collectives.rank() == 0:
            self.run.write_metrics(self.history)
            if last_epoch:
                write_results(self)
            self.listener.on_epoch(report)
        return report

    def _train(self, epoch: int) -> _Totals:
        """All steps of an epoch."""
        config = self.config.optimiser
        for group in self.learner.optimiser.param_groups:
            group["lr"] = self._learning_rate(epoch)
        self.learner.model.train()
        order = epoch_order(self.mask.kept.nonzero().flatten(), self.randomness["order"])
        batches = global_batches(order, config.batch_size)
        sums = torch.zeros(4, dtype=torch.float64)
        seen = 0
        began = time.perf_counter()
        for step, indices in enumerate(batches, start=1):
            mine = local_part(indices, collectives.rank(), collectives.size())
            images = self._augment(self.images[mine], self.randomness["augmentation"])
            measured = train_step(self.learner, SourceBatch(mine, images, len(indices)))
            loss, meta = _checked(measured, step, epoch)
            sums += torch.tensor([loss * len(mine), float(measured.hits.sum()), meta, len(mine)], dtype=torch.float64)
            seen += len(indices)
            if collectives.rank() == 0:
                self.listener.on_step(
                    StepReport(
                        epoch=epoch,
                        epochs=config.epochs,
                        step=step,
                        steps=len(batches),
                        loss=loss,
                        meta_loss=meta,
                        kept_fraction=self.mask.count / len(self.problem.source),
                        images_per_second=seen / (time.perf_counter() - began),
                    )
                )
        loss_sum, hit_sum, meta_sum, instances = collectives.total(sums).tolist()
        per_batch = self.learner.meta_loss.images_per_batch if self.learner.meta_loss else 0
        return _Totals(
            steps=len(batches),
            instances=round(instances),
            target_instances=per_batch * len(batches) * collectives.size(),
            loss=loss_sum / instances,
            accuracy=hit_sum / instances,
            meta_loss=meta_sum / (len(batches) * collectives.size()),
        )

    def _augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        data = self.config.data
        return random_crop_flip(images, data.crop_size, data.crop_padding, data.flip, generator)

    def _learning_rate(self, epoch: int) -> float:
        config = self.config.optimiser
        return config.learning_rate * config.lr_gamma ** sum(milestone < epoch for milestone in config.lr_milestones)

    def _validation_accuracy(self, epoch: int) -> float:
        if epoch % self.config.evaluation.evaluate_every and epoch != self.config.optimiser.epochs:
            return math.nan
        accuracy = math.nan
        if collectives.rank() == 0:
            accuracy = linear_probe.evaluate(
                self.learner.model.encoder,
                self.problem.target.train,
                self.problem.target.validation,
                linear_probe.Settings.from_config(self.config),
            )
        return float(collectives.from_first(accuracy))

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.flat(),
            "source": self.problem.source.content_key,
            "model": self.learner.model.state_dict(),
            "optimiser": self.learner.optimiser.state_dict(),
            "weighter": self.learner.weighter.state_dict(),
            "mask": self.mask.state_dict(),
            "randomness": collectives.gather_objects(self.randomness.state_dict()),
            "history": [report.row() for report in self.history],
            "best_accuracy": self.best_accuracy,
            "best_backbone": self.best_backbone,
        }

    def _save(self, epoch: int) -> None:
        state = self._state()
        if collectives.rank() == 0:
            checkpoint.save(self.run.checkpoints, epoch, state, keep=self.config.output.keep_checkpoints)

    def _resume(self) -> None:
        """Continue from the last checkpoint if the config says so and there is one; otherwise begin."""
        path = checkpoint.last(self.run.checkpoints) if self.config.output.resume else None
        path = collectives.from_first(path)
        if path is None:
            self._on_first(lambda: self.run.write_config(self.config, self._source_facts()))
            return
        state = checkpoint.load(path)
        if state["source"] != self.problem.source.content_key:
            raise InputError(
                f"source: checkpoint {path} was trained on other images (content key {state['source']}, "
                f"now {self.problem.source.content_key}); allowed: the same source"
            )
        if len(state["history"]) > self.config.optimiser.epochs:
            raise InputError(
                f"epochs: {self.config.optimiser.epochs} is less than the {len(state['history'])} already trained"
            )
        self.learner.model.load_state_dict(state["model"], strict=True)
        self.learner.optimiser.load_state_dict(state["optimiser"])
        self.learner.weighter.load_state_dict(state["weighter"])
        self.mask.load_state_dict(state["mask"])
        if len(state["randomness"]) == collectives.size():
            # On another number of workers the streams start anew: correct, but not the same draws.
            self.randomness.load_state_dict(state["randomness"][collectives.rank()])
        self.history = [EpochReport(**row) for row in state["history"]]
        self.best_accuracy = state["best_accuracy"]
        self.best_backbone = state["best_backbone"]

    def _source_facts(self) -> dict[str, Any]:
        source = self.problem.source
        return {
            "count": len(source),
            "content_key": source.content_key,
            "path": str(source.path),
            "skipped": source.header["skipped"],
            "target_classes": list(self.problem.target.classes),
        }

    def _load(self, packing: LabelledProgress | None) -> Problem:
        """The problem; rank 0 packs what is not packed yet, then the others open it."""
        config = self.config

        def check(labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
            if weighters.learns(config.weighter):
                meta_loss.check(config.meta, torch.from_numpy(labels), classes)

        loaded: list[Problem] = []
        self._on_first(lambda: loaded.append(load(config.data, self.run.path, packing, check)))
        return loaded[0] if loaded else load(config.data, self.run.path)

    @staticmethod
    def _on_first(action: Callable[[], None]) -> None:
        """Run on rank 0; an `InputError` there is raised on every worker, so that none waits for ever."""
        message = None
        if collectives.rank() == 0:
            try:
                action()
            except InputError as error:
                message = str(error)
        message = collectives.from_first(message)
        if message is not None:
            raise InputError(message)


@dataclass(frozen=True)
class _Totals:
    """An epoch's training, over all workers."""

    steps: int
    instances: int
    target_instances: int
    loss: float
    accuracy: float
    meta_loss: float


def _checked(measured: StepMeasurements, step: int, epoch: int) -> tuple[float, float]:
    """Mean loss and meta-loss as numbers; `NonFiniteError` if one of them or a derivative is not finite.

    The host waits for the device here; it has just waited for the derivatives, which the weighter needs.
    """
    loss = float(measured.losses.mean())
    meta = math.nan if measured.meta_loss is None else float(measured.meta_loss)
    if not math.isfinite(loss):
        raise NonFiniteError("loss", step, epoch)
    if measured.meta_loss is not None and not math.isfinite(meta):
        raise NonFiniteError("meta_loss", step, epoch)
    if measured.derivatives is not None and not bool(measured.derivatives.isfinite().all()):
        raise NonFiniteError("meta-gradient", step, epoch)
    return loss, meta


def _snapshot(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in encoder.backbone.state_dict().items()}


def _check_names(config: RunConfig) -> None:
    """What no registry knows is refused before any image is decoded."""
    for field, value, known in (
        ("encoder", config.model.encoder, encoders.available()),
        ("pretext", config.model.pretext, pretext.available()),
        ("weighter", config.weighter.weighter, weighters.available()),
    ):
        if value not in known:
            raise unknown_option(field, value, known)
    meta_loss.parse(config.meta.meta_loss)


def _device(config: RunConfig) -> torch.device:
    wanted = config.optimiser.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device: 'cuda' was asked for, but torch sees no GPU here; allowed: auto, cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())
