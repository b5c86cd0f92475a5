"""What is said of an epoch once it is over."""

from __future__ import annotations

from collections.abc import Mapping

from bdw.data.packed import PackedDataset
from bdw.evaluation.planted_auroc import planted_auroc
from bdw.runs.metrics import EpochReport
from bdw.training.epoch import EpochTotals
from bdw.training.examiner import Examiner
from bdw.training.run_state import RunState


def epoch_report(
    state: RunState,
    source: PackedDataset,
    examiner: Examiner,
    totals: EpochTotals,
    scores: Mapping[str, float],
    *,
    is_best: bool,
) -> EpochReport:
    """The report of the epoch that is no longer trained and not yet in the history, with the scores of its model."""
    before = state.history[-1] if state.history else None
    epochs, seen = state.history.done
    epoch, seen = epochs + 1, seen + totals.instances
    weights = state.learner.weighter.table().mean
    balance = state.history.balance.after(
        totals.seconds,
        totals.weighting_seconds,
        totals.instances / len(source),
        saves=state.budget.images is None,
    )
    return EpochReport(
        epoch=epoch,
        steps=totals.steps,
        loss=totals.loss,
        meta_loss=totals.meta_loss,
        pretext_accuracy=totals.accuracy,
        validation_score=scores[examiner.measure.name],
        is_best=is_best,
        kept=state.mask.count,
        kept_fraction=state.mask.count / len(source),
        mean_weight=float(weights.mean()),
        planted_auroc=planted_auroc(weights, source.planted),
        instances_seen=seen,
        budget_share=state.budget.share(epoch, seen),
        target_instances_seen=totals.target_instances + (before.target_instances_seen if before else 0),
        learning_rate=state.learner.optimiser.param_groups[0]["lr"],
        seconds=totals.seconds,
        wall_seconds=state.clock.seconds(),
        images_per_second=totals.instances / totals.seconds,
        weighting_seconds=balance.spent,
        saved_seconds=balance.saved,
        **_meta_columns(state),
        monitors=examiner.monitors(scores),
    )


def _meta_columns(state: RunState) -> dict[str, int]:
    """The schedule's, with the target images of all targets where there are several or the source is valued."""
    columns = state.schedule.columns()
    several = columns["meta_every"] and state.learner.asked
    return columns | {"meta_batch": state.learner.meta_batch} if several else columns
