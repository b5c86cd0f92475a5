"""What users take home: after a run all of it, with the best encoder's test scores; on the way what there is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bdw import evaluation
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.diagnostics.diagnosis import diagnosed
from bdw.evaluation import Measure
from bdw.evaluation.semi_supervised import UnlabelledImages
from bdw.pretext import PretextModel
from bdw.runs import export
from bdw.runs.directory import RunDirectory
from bdw.scoring.fitting import fit_scorer
from bdw.storage.atomic_write import write_text
from bdw.training.best_model import BestModel, backbone_of
from bdw.training.examiner import Examiner, validation_of
from bdw.training.history import History
from bdw.training.run_state import RunState
from bdw.training.valuations import write_usefulness
from bdw.weighting.task_keep_mask import TaskKeepMask
from bdw.weighting.weighters.protocol import HasColumns, Learns


def are_written(run: RunDirectory, instances_seen: int) -> bool:
    """Whether the files of a run that ended after so many instances are there, and not those of a shorter one.

    results.parquet is written last, so that what it says holds for the others.
    """
    files = (run.encoder, run.instance_weights, run.results)
    return all(file.is_file() for file in files) and instances_seen in export.instances_seen(run.results)


def write_so_far(
    state: RunState, config: RunConfig, problem: Problem, run: RunDirectory, *, written: int | None
) -> int | None:
    """What an unfinished run has to show: the encoder of the best epoch so far, and the weights; on rank 0.

    Args:
        written: the epoch whose encoder is there already, which is not written again.

    Returns:
        the epoch whose encoder is there now; None before the first evaluation.
    """
    of_targets = [run.encoder_for(target) for target in state.best_of_targets]
    for of_a_shorter_run in (run.results, run.last_encoder, run.scorer, run.certificate, *of_targets):
        of_a_shorter_run.unlink(missing_ok=True)
    best = state.history.best_epoch
    if best is not None and best != written:
        _write_encoder(run.encoder, state.best.backbone(), state, config, problem, epoch=best)
    _write_weights(state, problem, run)
    write_usefulness(state, problem, run, scorers=False)
    return best


def finish(state: RunState, config: RunConfig, problem: Problem, run: RunDirectory, examiner: Examiner) -> None:
    """Everything that a finished run leaves behind; on rank 0. Harmless to repeat."""
    run.write_metrics(state.history)
    if not are_written(run, state.history[-1].instances_seen):
        write_results(state, config, problem, run, examiner)


def write_results(state: RunState, config: RunConfig, problem: Problem, run: RunDirectory, examiner: Examiner) -> None:
    """encoder.safetensors (the best epoch's), encoder_last.safetensors, instance_weights.parquet, scorer.safetensors of
    weights that were learnt, signal.json if asked for, results.parquet. With several targets also the encoder of each
    target's best epoch, whose scores are the results for it.

    The last encoder gets no test score: whoever chose between the two by test scores would have chosen on test images.
    """
    learner, last = state.learner, state.history[-1]
    best_report = max(state.history, key=lambda report: (report.is_best, report.epoch))
    run.certificate.unlink(missing_ok=True)  # of a shorter run
    _write_encoder(run.encoder, state.best.backbone(), state, config, problem, epoch=best_report.epoch)
    of_now = backbone_of(learner.model.state_dict())
    _write_encoder(run.last_encoder, of_now, state, config, problem, epoch=last.epoch)
    for name, of_target in state.best_of_targets.items():
        epoch = _best_epoch(state.history, examiner.measure, validation_of(name))
        _write_encoder(run.encoder_for(name), of_target.backbone(), state, config, problem, epoch=epoch)
    _write_weights(state, problem, run)
    _write_scorer(state, problem, run)
    write_usefulness(state, problem, run, scorers=True)
    evidence = learner.visit_statistics
    if evidence is None:
        run.signal.unlink(missing_ok=True)  # of a shorter run that was diagnosed
    else:
        found = diagnosed(learner, evidence, state.mask, config, problem, last.meta_every)
        write_text(run.signal, found.json())
    kept = UnlabelledImages(problem.source.images, state.mask.kept.nonzero().flatten().numpy())
    common = [("planted_auroc", True, last.planted_auroc)]
    if state.selection is not None:
        common += [(name, False, float(value)) for name, value in state.selection.metrics().items()]
    rows = []
    delivered: list[tuple[str | None, BestModel]] = [*state.best_of_targets.items()] or [(None, state.best)]
    for target, best in delivered:
        scores = _scores(best.score, best.loaded(learner.model), config, examiner, kept, target)
        rows += [
            {
                "method": method_of(config),
                "domain": target or config.data.target,
                "seed": config.optimiser.seed,
                "metric": metric,
                "value": value,
                "higher_is_better": higher_is_better,
                "wall_seconds": last.wall_seconds,
                "instances_seen": last.instances_seen,
                "kept_fraction": last.kept_fraction,
                "run": str(run.path),
            }
            for metric, higher_is_better, value in [*scores, *common]
            if not math.isnan(value)
        ]
    export.write_table(run.results, export.results_table(rows))


def _scores(
    validation: float,
    model: PretextModel,
    config: RunConfig,
    examiner: Examiner,
    kept: UnlabelledImages,
    target: str | None,
) -> list[tuple[str, bool, float]]:
    """Name, direction and value of the validation score of a target's model, and of its final measures."""
    chosen_by = examiner.measure
    found = [(f"validation_{chosen_by.name}", chosen_by.higher_is_better, validation)]
    for name in dict.fromkeys((chosen_by.name, *config.evaluation.final_measures)):
        score = examiner.score(name, model, "test", kept, target=target)
        found.append((name, evaluation.measure(name).higher_is_better, score))
    return found


def _best_epoch(history: History, measure: Measure, monitor: str) -> int:
    """The first epoch with the best value of that monitor."""
    best = history[0]
    for report in history:
        if measure.better(report.monitors[monitor], best.monitors[monitor]):
            best = report
    return best.epoch


def method_of(config: RunConfig) -> str:
    """The weighter, behind the selector that chose what it trains on, if any: `simcore+uniform`."""
    return "+".join(filter(None, (config.selector.selector, config.weighter.weighter)))


def _write_encoder(
    path: Path, backbone: Mapping[str, Tensor], state: RunState, config: RunConfig, problem: Problem, *, epoch: int
) -> None:
    """The encoder of that epoch, with what it wants as its input."""
    facts = {
        "channels": problem.source.channels,
        "image_size": config.data.image_size,
        "crop_size": config.data.crop_size,
        "epoch": epoch,
        "norm": config.encoder.norm,
        **export.facts_of(state.learner.model.encoder),
    }
    export.write_encoder(path, config.encoder.encoder, backbone, facts)


def _write_weights(state: RunState, problem: Problem, run: RunDirectory) -> None:
    """instance_weights.parquet, and task_weights.parquet where tasks have weights: the weights as they are now."""
    weighter, mask = state.learner.weighter, state.mask
    export.write_table(run.instance_weights, export.weights_table(problem.source, weighter.table(), mask))
    if isinstance(mask, TaskKeepMask):
        assert isinstance(weighter, HasColumns), "tasks have weights"
        of_tasks = export.task_weights_table(problem.source, weighter.column_tables(), mask, mask.tasks)
        export.write_table(run.task_weights, of_tasks)


def _write_scorer(state: RunState, problem: Problem, run: RunDirectory) -> None:
    """scorer.safetensors, if weights were learnt."""
    run.scorer.unlink(missing_ok=True)
    weighter = state.learner.weighter
    if weighter.learns is not Learns.NEVER:
        device = next(state.learner.model.parameters()).device
        fit_scorer(run, problem.source, weighter.table(), state.mask.kept.numpy(), device)
