"""What `diagnose_signal` finds out about a run, as in signal.json, and a summary in words."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.diagnostics import variance_components
from bdw.diagnostics.forecast import Forecast, Schedule, forecast
from bdw.diagnostics.variance_components import Anova, Signs
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.step import Learner

T_RANGE, T_BINS = 6.0, 48


@dataclass(frozen=True)
class Histogram:
    """t statistics of images' evidence against their batches' means; outer bins hold what lies beyond the edges."""

    edges: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]]
    """Images by bin, `all` or, where it is known, `useful` and `others`."""
    noise: tuple[float, ...]
    """What noise alone would put into the bins, over all groups."""


@dataclass(frozen=True)
class Diagnosis:
    """Signal and noise of a run's meta-gradients; NaN where there are too few visits to tell."""

    images: int
    """Images that were visited at least twice. All else here is about these images."""
    visits: float
    """Median number of visits to such an image."""
    naive: tuple[float, ...]
    """Quartiles over images of |mean| / standard deviation of the evidence over an image's visits."""
    noise_alone: tuple[float, ...]
    """The same quartiles expected without any signal, for the same numbers of visits."""
    corrected: tuple[float, ...]
    """Estimate of the true quartiles."""
    seen: Anova
    """Analysis of variance of the evidence itself."""
    between: Anova
    """Analysis of variance of the evidence less its batch's mean, which is what tells one image from another."""
    common_share: float
    """Share of the evidence's variance that all images of a step have in common, in the last epoch that learnt
    weights."""
    signs: Signs
    pairs: int
    """Number of pairs of successive target batches."""
    cosine: float
    """Mean cosine of the target gradients v of such a pair: the share of |v|^2 that is not noise."""
    cosine_error: float
    signal_to_noise: float
    """Signal-to-noise of one visit: standard deviation of images' true evidence less their batches' means, over that of
    the noise."""
    visits_to_tell: float
    """Visits until a typical image is on its side of the mean with a probability of 95 %; NaN without signal."""
    epochs_per_visit: float
    """Epochs from one visit that learns to the next, as in the last epoch; NaN if that epoch learnt nothing."""
    forecast: Forecast
    d_prime: float
    """d': how far a visit separates useful images from the others, in standard deviations of noise; NaN where it is not
    known which images are useful."""
    sign_d_prime: float
    """d' of the visits' signs, which no outlier sways."""
    histogram: Histogram

    @property
    def has_enough(self) -> bool:
        """Whether there were enough visits to say anything."""
        return math.isfinite(self.between.correlation)

    def json(self) -> str:
        """As JSON, null for what is not finite."""
        return json.dumps(_plain(dataclasses.asdict(self)), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `json()` wrote; `ValueError`, `KeyError` or `TypeError` for anything else."""
        revived: Self = _revived(cls, json.loads(text))
        return revived


def diagnosed(
    learner: Learner, evidence: VisitStatistics, mask: KeepMask, config: RunConfig, problem: Problem, meta_every: int
) -> Diagnosis:
    """The diagnosis at the end of an epoch; no exchange between workers, a pass or two over the source.

    `meta_every`: that epoch's; 0 if it learnt nothing, as after `learn_share` or under a time budget.
    """
    seen, deviations = evidence.visits(), evidence.deviations()
    between, whole, steps = (
        variance_components.analysed(deviations),
        variance_components.analysed(seen),
        evidence.steps(),
    )
    repeated = seen.repeated()
    pairs, cosine, cosine_error = evidence.agreement()
    schedule = None
    if meta_every:
        learning_rate, batch_size = learner.optimiser.param_groups[0]["lr"], config.optimiser.batch_size
        schedule = Schedule.of(learning_rate, batch_size, mask.count, meta_every)
    planted = problem.source.planted
    known = np.zeros(len(seen.counts), dtype=np.bool_) if planted is None else planted >= 0
    useful = known if planted is None else planted == 1
    return Diagnosis(
        images=len(repeated.counts),
        visits=float(np.median(repeated.counts)) if len(repeated.counts) else 0.0,
        naive=variance_components.naive_quartiles(seen),
        noise_alone=variance_components.noise_quartiles(seen),
        corrected=variance_components.corrected_quartiles(whole),
        seen=whole,
        between=between,
        common_share=float(np.maximum(0.0, steps.correlation)),  # NaN stays NaN
        signs=variance_components.signs(seen.counts, evidence.positives()),
        pairs=pairs,
        cosine=cosine,
        cosine_error=cosine_error,
        signal_to_noise=between.signal_to_noise,
        visits_to_tell=variance_components.visits_to_tell(between.signal_to_noise),
        epochs_per_visit=math.nan if schedule is None else schedule.epochs_per_visit,
        forecast=_forecast(learner, evidence, mask, schedule, config),
        d_prime=variance_components.d_prime(deviations.of(known), useful[known]),
        sign_d_prime=variance_components.sign_d_prime(seen.counts[known], evidence.positives()[known], useful[known]),
        histogram=_histogram(deviations, {"useful": useful, "others": known & ~useful} if known.any() else {}),
    )


def summary(found: Diagnosis) -> str:
    """The diagnosis in one line for the end of a run."""
    if not found.has_enough:
        return "too few visits to tell signal from noise: each image needs two or more"
    epochs = found.forecast.epochs
    when = f"{epochs:,} more epoch(s)" if epochs is not None else found.forecast.why
    return (
        f"one visit tells images apart with a signal-to-noise of {found.signal_to_noise:.3f} (intraclass "
        f"correlation {found.between.correlation:.4f} +- {found.between.standard_error:.4f}), target directions agree "
        f"with a cosine of {found.cosine:.2f}; until half of the useless images are found: {when}"
    )


def _forecast(
    learner: Learner, evidence: VisitStatistics, mask: KeepMask, schedule: Schedule | None, config: RunConfig
) -> Forecast:
    if schedule is None:
        return Forecast(why="never, since weights are no longer learnt")
    if config.schedule.schedule == "cosine":
        # The last learning rate is next to 0. With it no weight would ever move again, which says nothing about the
        # signal.
        return Forecast(why="not known with schedule cosine, whose learning rate has come down to 0")
    if config.gradient.shared_derivatives:
        return Forecast(why="not known with shared_derivatives")
    if learner.verdicts is not None:
        return Forecast(why="not known with target_margin, as no visit is judged by itself")
    return forecast(learner.weighter, evidence, mask.kept.numpy(), schedule, config.optimiser.seed)


def _histogram(deviations: variance_components.Visits, groups: Mapping[str, NDArray[np.bool_]]) -> Histogram:
    edges = np.linspace(-T_RANGE, T_RANGE, T_BINS + 1)
    open_ended = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    chosen = groups or {"all": np.ones(len(deviations.counts), dtype=np.bool_)}
    counts = {
        name: tuple(np.histogram(variance_components.t_statistics(deviations.of(mask)), open_ended)[0].tolist())
        for name, mask in chosen.items()
    }
    shown = deviations.of(np.logical_or.reduce(list(chosen.values())))
    return Histogram(
        tuple(edges.tolist()), counts, tuple(variance_components.expected_t_counts(shown, open_ended).tolist())
    )


def _plain(value: Any) -> Any:
    """Containers of JSON's own types, null in the place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _revived(kind: Any, value: Any) -> Any:
    """The value as an annotation wants it, the reverse of `dataclasses.asdict` and `_plain`."""
    of = typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return typing.cast(Any, kind)(**{name: _revived(kinds[name], item) for name, item in value.items()})
    if typing.get_origin(kind) is tuple:
        return tuple(_revived(of[0], item) for item in value)
    if typing.get_origin(kind) is Mapping:
        return {name: _revived(of[1], item) for name, item in value.items()}
    return math.nan if kind is float and value is None else value
