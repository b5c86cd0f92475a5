"""How good the encoder is for the target."""

from __future__ import annotations

from dataclasses import dataclass

from bdw.config.checks import is_finite_positive, require


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How good the encoder is for the target."""

    measure: str = "accuracy"
    """What chooses the best epoch on the target's validation split and is reported on its test split: `accuracy` of a
    logistic regression (the paper's), `pretext_loss` (the pretext task's own, lower is better), `knn_accuracy`,
    `fine_tuned_accuracy` (minutes to hours: for final_measures), `rankme`, `alignment`
    or `uniformity` (these three need no labels)."""
    monitors: tuple[str, ...] = ()
    """Further measures of the validation split, a column each in metrics.csv; they choose nothing."""
    final_measures: tuple[str, ...] = ()
    """Further measures of the best encoder on the test split, taken once at the end; here alone
    `semi_supervised_accuracy`: fine-tuned on the target's labels with the kept images as unlabelled data."""
    evaluate_every: float = 1
    """Epochs (budget in images: passes over the whole source, or a fraction of one) between two evaluations on the
    validation split; they are made after an epoch, and the last epoch is always evaluated."""
    layer: str | None = None
    """Layer of the backbone whose features are measured, averaged over positions (`layer2` is a ResNet's second
    residual block, the paper's Table 2); default: the backbone's output."""
    neighbours: int = 20
    """Nearest neighbours that vote in `knn_accuracy`."""
    fine_tuning_epochs: int = 100
    """Epochs of every cell of the grid of `fine_tuned_accuracy`."""
    semi_supervised_steps: int = 1000
    """Steps of `semi_supervised_accuracy`, of 64 labelled and 448 unlabelled images each (in two views)."""
    max_iterations: int = 800
    """Upper limit of L-BFGS iterations of the logistic regression."""

    def __post_init__(self) -> None:
        require(is_finite_positive(self.evaluate_every), "evaluate_every", self.evaluate_every, "a positive number")
        for name in ("max_iterations", "neighbours", "fine_tuning_epochs", "semi_supervised_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
