"""The outcome of a run: the numbers on which its verdict, its warnings and its advice rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bdw.report.best_epoch import best_epoch
from bdw.report.interval import Interval, wilson
from bdw.report.planted import Separation, separation
from bdw.report.run_files import RunFiles
from bdw.report.table_files import column
from bdw.runs.directory import RunDirectory


@dataclass(frozen=True)
class Score:
    """A score on a split of the target."""

    value: float
    text: str
    """As people read it, with its unit."""
    num_images: int | None
    """Images of the split; None in runs of versions that did not write it down."""
    interval: Interval | None
    """None where the number of images is unknown or the score is not a share of them."""


@dataclass(frozen=True)
class Outcome:
    """A run's numbers. What its files do not tell is None."""

    run: RunFiles
    num_epochs: int
    best: int | None
    """The epoch whose encoder was delivered."""
    validation: Score | None
    """Validation score of that encoder."""
    last: Score | None
    """Validation score of the last epoch's encoder, which lies beside the delivered one; None where that is the same,
    or where the run left none."""
    test: Score | None
    num_images: int | None
    """Images of the source."""
    kept: int | None
    """Images kept at the end; all of them where the run has no weights."""
    first_pruned: int | None
    """The first epoch after which images were missing."""
    seen: float
    """Images that passed a training step, repeats counted."""
    budget: int | None
    """Images that should pass a training step; None in a run whose length is counted in epochs."""
    best_saw_all: bool
    """Whether the delivered encoder's epochs were drawn from all images, so that pruning came later."""
    spent: float | None
    """Seconds of training steps that learning weights took."""
    saved: float | None
    """Seconds that plain training of the pruned images would have taken; None if unknown, and with a budget of images,
    where the kept images get these seconds."""
    separation: Separation | None

    @classmethod
    def of(cls, run: RunFiles) -> Outcome:
        """The outcome that a run's files tell."""
        metrics, weights = run.metrics, run.weights
        best, num_images = best_epoch(metrics, run.measure), _num_images(run)
        seen, budget = column(metrics, "instances_seen"), _budget(run, num_images)
        pruned = metrics["epoch"][column(metrics, "kept_fraction") < 1]
        has_balance = {"weighting_seconds", "saved_seconds"} <= set(metrics.columns)
        spent, saved = (float(column(metrics, name).iloc[-1]) for name in ("weighting_seconds", "saved_seconds"))
        planted = weights is not None and "planted" in weights.columns
        return cls(
            run=run,
            num_epochs=len(metrics),
            best=best,
            validation=_validation(run, best),
            last=_last(run, best),
            test=_test(run),
            num_images=num_images,
            kept=num_images if weights is None else int(weights["kept"].sum()),
            first_pruned=None if pruned.empty else int(pruned.iloc[0]),
            seen=float(seen.iloc[-1]),
            budget=budget,
            best_saw_all=best is not None and num_images is not None and _saw_all(run, best, num_images, budget),
            spent=spent if has_balance else None,
            saved=saved if has_balance and math.isfinite(saved) else None,
            separation=separation(weights["mean"], weights["planted"]) if weights is not None and planted else None,
        )

    @property
    def pruned(self) -> int:
        """Images that are missing at the end; 0 where that is unknown."""
        return 0 if self.num_images is None or self.kept is None else self.num_images - self.kept

    @property
    def delivered_before_pruning(self) -> bool:
        """Whether images were pruned, but only after the delivered encoder's epoch."""
        return self.first_pruned is not None and self.best_saw_all

    @property
    def floor(self) -> int:
        """Images that the run keeps whatever its rule says."""
        config = self.run.config
        share = round(float(config.get("kept_share") or 0) * (self.num_images or 0))
        return int(config.get("min_kept") or max(share, int(config.get("batch_size") or 0)))

    @property
    def learns(self) -> bool:
        """Whether weights were learnt while training, and not fixed before."""
        return bool(column(self.run.metrics, "meta_loss").notna().any())


def _num_images(run: RunFiles) -> int | None:
    count = (run.description.get("source") or {}).get("count")
    if isinstance(count, int):
        return count
    return None if run.weights is None else len(run.weights)


def _budget(run: RunFiles, num_images: int | None) -> int | None:
    config = run.config
    if config.get("budget_images") is not None:
        return int(config["budget_images"])
    if config.get("budget_unit") != "images" or num_images is None:
        return None
    return int(config["epochs"]) * num_images


def _saw_all(run: RunFiles, best: int, num_images: int, budget: int | None) -> bool:
    """Whether every epoch up to the best was drawn from all images. A budget may end within the last one."""
    metrics = run.metrics
    seen, kept = (column(metrics, name).to_numpy() for name in ("instances_seen", "kept_fraction"))
    row = int(np.flatnonzero(metrics["epoch"] == best)[0])
    if seen[row] >= best * num_images:
        return True
    if budget is None or seen[row] < budget:
        return False
    if row == 0:  # Learnt weights never prune before the first epoch; fixed weights prune before it or never.
        return bool(kept[0] == 1 or column(metrics, "meta_loss").notna().any())
    return bool(seen[row - 1] >= (best - 1) * num_images and kept[row - 1] == 1)


def _validation(run: RunFiles, best: int | None) -> Score | None:
    if best is None:
        return None
    return score(
        run, float(column(run.metrics, "validation_score")[run.metrics["epoch"] == best].iloc[0]), "validation"
    )


def _last(run: RunFiles, best: int | None) -> Score | None:
    last = int(run.metrics["epoch"].iloc[-1])
    if last == best or not RunDirectory(run.directory).last_encoder.is_file():
        return None
    found = _validation(run, last)
    return None if found is None or math.isnan(found.value) else found


def _test(run: RunFiles) -> Score | None:
    if run.results is None:
        return None
    rows = run.results[run.results["metric"] == run.measure.name]
    return None if rows.empty else score(run, float(rows["value"].mean()), "test")


def score(run: RunFiles, value: float, split: str) -> Score:
    """A value of the run's measure on that split, with its interval where it has one: a mean over several targets has
    none."""
    num_images = None if run.targets else run.target_images.get(split)
    interval = wilson(value, num_images) if num_images and run.measure.is_share and 0 <= value <= 1 else None
    return Score(value, run.measure.shown(value), num_images, interval)
