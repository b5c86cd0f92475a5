"""Who owns the instance weights, how they learn and when an image is thrown away."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from bdw.config.checks import is_finite_positive, require, require_at_least
from bdw.config.fields import Basic, Free
from bdw.config.named_file import absolute, content_of, path_of, require_content

WEIGHTERS = ("beta", "counts", "given", "l2rw", "nearest-neighbour", "oracle", "point", "random", "uniform")
"""The weighters, and the selectors in the place of one, known without torch; `bdw/weighting/registry.py` has each of
them."""


@dataclass(frozen=True, kw_only=True)
class WeighterConfig:
    """Who owns the instance weights, how they learn and when an image is thrown away."""

    weighter: Basic[str] = "beta"
    """`beta` is BetaDataWeighter (BDW), `counts` the same with counted signs of the meta-gradient in the place of its
    gradient step (not in the paper), `point` its point weights (DW), `l2rw` Learning to Reweight,
    `nearest-neighbour` weights by pixel distance to the target, `given` weights from weights_file, `oracle` knows the
    planted useful images, `random` keeps a random subset, `uniform` is plain training (RotNet)."""
    weight_lr: Basic[float] = 1.0
    """eta: learning rate of log a and log b (`beta`) or of the weights themselves (`point`); what a visit counts
    (`counts`)."""
    weight_momentum: float = 0.9
    """Heavy-ball momentum on log a and log b (`beta`) or on the weights (`point`)."""
    log_bound: float = 7.0
    """log a and log b stay within [-log_bound, log_bound]."""
    nearest_beta: float | None = None
    """beta of `nearest-neighbour`, w = exp(-beta d), d the squared distance of pixels in [0, 1]; default: 1 / median d,
    which means the same at every image size."""
    weights_file: str | None = None
    """`given`: a Parquet or CSV file with columns index or name, and weight or mean (an instance_weights.parquet, say).
    Images of weight 0, or that a column kept calls false, are thrown away before the first epoch."""
    weights_per: Literal["image", "image_and_task", "task"] = "image"
    """What has a weight of its own. `image_and_task`: every image for every task of pretext `multitask`, so that it may
    be pruned for one task and stay for another. `task`: every task, all images alike; a control that shows what
    weights of images add. With `beta`, `counts` or `point`. Not in the paper, whose last section wants it."""
    combine_targets: Literal["union", "mean", "vote"] = "union"
    """With several targets, what is trained on. `union`: an image weighs what it does for the target that it helps
    most, and goes when every target finds it useless. `mean`: it weighs the mean over the targets, and goes by the rule
    on the mean of their distributions. `vote`: it weighs the mean, and stays while targets of `vote_share` keep it."""
    target_shares: tuple[float, ...] = ()
    """What each of several targets counts in `mean` and `vote`, in their order; default: all the same."""
    vote_share: float = 0.5
    """`vote`: an image stays while the targets that would keep it count at least this share of all."""
    start_from: Free[str | None] = None
    """Start weights from what a finished run says of images instead of from ignorance: `run:DIR` for its
    scorer.safetensors, or one of its scorer files. The mean weight is what that scorer predicts; it counts no more than
    the uniform prior does (a + b = 2), so that the new target soon overrules it. With `beta`, `counts` and `point`."""
    start_from_content: str | None = None
    """What that scorer is: the first digits of the file's SHA-256. The run fills it in; where it is given, another one
    is refused."""
    kept_share: float | None = None
    """`random`: share of the source that is kept, drawn by the run's seed. Weighters that learn never keep less than
    this share; the best images by mean weight stay. Others ignore it."""
    normalise_weights: bool = False
    """Divide the weights of a batch by their mean: they change the direction of a step, not its length."""
    weighted_loss: bool = True
    """Multiply losses by the weights; without it they only decide what is pruned, and all images that are kept (by the
    floor `min_kept`, too) count alike, with nothing left for `normalise_weights` to do."""
    meta_every: int = 1
    """Learn weights, and usefulness for `value_for`, only at the first of every so many steps of an epoch; the other
    steps cost what plain ones do."""
    prune: bool = True
    """Throw images away between epochs; without it weights are learnt all the same."""
    cdf_threshold: Basic[float] = 0.1
    """lambda: weights below it (`point`: not above it) count as useless."""
    density_threshold: Basic[float] = 0.5
    """rho: prune once more than this share of an image's Beta density lies below lambda."""
    min_kept: int | None = None
    """Never keep fewer images than this (the best by mean weight stay). Default: kept_share, but at least a batch."""
    burn_in_epochs: int = 0
    """Epochs at the start after which nothing learnt prunes yet: first gradients come from an untrained encoder."""
    learn_share: float = 1.0
    """Learn weights, and prune by them, in epochs that begin within that first share of the budget alone; the rest of
    the run trains on what is kept, at plain training's cost. Usefulness for `value_for` is learnt in the same epochs.
    Not in the paper."""

    def __post_init__(self) -> None:
        require(self.start_from != "", "start_from", self.start_from, "run:DIR, a scorer file, or none")
        if self.start_from is not None:
            object.__setattr__(self, "start_from", absolute(self.start_from))
        require(is_finite_positive(self.weight_lr), "weight_lr (eta)", self.weight_lr, "a positive number")
        require(0 <= self.weight_momentum < 1, "weight_momentum", self.weight_momentum, "0 <= value < 1")
        require(is_finite_positive(self.log_bound), "log_bound", self.log_bound, "a positive number")
        require(
            self.nearest_beta is None or is_finite_positive(self.nearest_beta),
            "nearest_beta",
            self.nearest_beta,
            "a positive number, or none for 1 / median distance",
        )
        require(
            all(map(is_finite_positive, self.target_shares)),
            "target_shares",
            list(self.target_shares),
            "a positive number for every target, or none",
        )
        require(0 < self.vote_share <= 1, "vote_share", self.vote_share, "above 0, at most 1")
        require(self.meta_every >= 1, "meta_every", self.meta_every, "at least 1")
        require(
            self.kept_share is None or 0 < self.kept_share <= 1,
            "kept_share",
            self.kept_share,
            "above 0, at most 1, or none",
        )
        require(0 < self.learn_share <= 1, "learn_share", self.learn_share, "above 0, at most 1")
        require(self.burn_in_epochs >= 0, "burn_in_epochs", self.burn_in_epochs, "0 or more")
        for name, letter in (("cdf_threshold", "lambda"), ("density_threshold", "rho")):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} ({letter})", value, "between 0 and 1, both excluded")
        require_at_least("min_kept", self.min_kept, 1, "at least 1, or none")

    @property
    def start_file(self) -> Path | None:
        """The scorer file that weights start from, if any."""
        return None if self.start_from is None else path_of(self.start_from, "scorer.safetensors")

    def with_content(self) -> Self:
        """The same, saying which scorer weights start from; itself without one.

        Raises `InputError` for a file that cannot be read, or that is not what `start_from_content` says.
        """
        named, file = self.start_from, self.start_file
        if named is None or file is None:
            return self
        allowed = "run:DIR of a finished run that learnt weights, or a scorer file of a run"
        content = content_of("start_from", named, file, allowed)
        require_content("start_from", named, self.start_from_content, content, "a scorer")
        return dataclasses.replace(self, start_from_content=content)
