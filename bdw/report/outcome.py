"""What came out of a run, as the numbers that its verdict, its warnings and its advice all rest on."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.report.best_epoch import best_epoch
from bdw.report.interval import Interval, wilson
from bdw.report.planted import Separation, separation
from bdw.report.run_files import RunFiles
from bdw.report.table_files import column


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
    """That encoder's."""
    test: Score | None
    num_images: int | None
    """Images of the source."""
    kept: int | None
    """Images kept at the end; all of them where the run has no weights."""
    first_pruned: int | None
    """The first epoch after which images were missing."""
    seen: float
    """Images that passed a training step, repeats counted."""
    best_saw_all: bool
    """Whether the delivered encoder was trained on every image in each of its epochs, so that pruning came later."""
    spent: float | None
    """Seconds of training steps that learning weights took."""
    saved: float | None
    """Seconds that plain training of the pruned images would have taken."""
    separation: Separation | None

    @classmethod
    def of(cls, run: RunFiles) -> Outcome:
        """The outcome that a run's files tell."""
        metrics, weights = run.metrics, run.weights
        best, num_images = best_epoch(metrics, run.measure), _num_images(run)
        seen = column(metrics, "instances_seen")
        pruned = metrics["epoch"][column(metrics, "kept_fraction") < 1]
        has_balance = {"weighting_seconds", "saved_seconds"} <= set(metrics.columns)
        spent, saved = (float(column(metrics, name).iloc[-1]) for name in ("weighting_seconds", "saved_seconds"))
        planted = weights is not None and "planted" in weights.columns
        return cls(
            run=run,
            num_epochs=len(metrics),
            best=best,
            validation=_validation(run, best),
            test=_test(run),
            num_images=num_images,
            kept=num_images if weights is None else int(weights["kept"].sum()),
            first_pruned=None if pruned.empty else int(pruned.iloc[0]),
            seen=float(seen.iloc[-1]),
            best_saw_all=best is not None
            and num_images is not None
            and float(seen[metrics["epoch"] == best].iloc[0]) >= best * num_images,
            spent=spent if has_balance else None,
            saved=saved if has_balance else None,
            separation=separation(weights["mean"], weights["planted"]) if weights is not None and planted else None,
        )

    @property
    def pruned(self) -> int:
        """Images that are missing at the end; 0 where that is unknown."""
        return 0 if self.num_images is None or self.kept is None else self.num_images - self.kept

    @property
    def floor(self) -> int:
        """Images that the run keeps whatever its rule says."""
        return int(self.run.config.get("min_kept") or self.run.config.get("batch_size") or 0)

    @property
    def learns(self) -> bool:
        """Whether weights were learnt while training, and not fixed before."""
        return bool(column(self.run.metrics, "meta_loss").notna().any())


def _num_images(run: RunFiles) -> int | None:
    count = (run.description.get("source") or {}).get("count")
    if isinstance(count, int):
        return count
    return None if run.weights is None else len(run.weights)


def _validation(run: RunFiles, best: int | None) -> Score | None:
    if best is None:
        return None
    return score(
        run, float(column(run.metrics, "validation_score")[run.metrics["epoch"] == best].iloc[0]), "validation"
    )


def _test(run: RunFiles) -> Score | None:
    if run.results is None:
        return None
    rows = run.results[run.results["metric"] == run.measure.name]
    return None if rows.empty else score(run, float(rows["value"].iloc[0]), "test")


def score(run: RunFiles, value: float, split: str) -> Score:
    """A value of the run's measure on that split, with its interval where it has one."""
    num_images = run.target_images.get(split)
    interval = wilson(value, num_images) if num_images and run.measure.is_share and 0 <= value <= 1 else None
    return Score(value, run.measure.shown(value), num_images, interval)
