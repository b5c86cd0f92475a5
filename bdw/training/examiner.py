"""How a run scores its models on the target: the config's measure and monitors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Literal

from bdw import evaluation
from bdw.config import RunConfig
from bdw.data import Target
from bdw.evaluation import Examination
from bdw.evaluation.features import Settings
from bdw.evaluation.semi_supervised import UnlabelledImages
from bdw.parallel import collectives
from bdw.pretext import PretextModel
from bdw.runs.metrics import ProgressListener


def validation_of(target: str) -> str:
    """What the validation score of one of several targets is called in metrics.csv."""
    return f"validation_score of {target}"


class Examiner:
    """Scores on the targets' splits; rank 0 computes them. The score of several targets is their mean."""

    def __init__(self, config: RunConfig, targets: Mapping[str, Target], listener: ProgressListener):
        self.measure = evaluation.measure(config.evaluation.measure)
        self._monitors = config.evaluation.monitors
        self._names = dict.fromkeys((self.measure.name, *config.evaluation.monitors))
        self._settings = Settings.from_config(config)
        self._targets = targets
        self._listener = listener

    @property
    def _several(self) -> list[str]:
        """Names of the targets, where there are several."""
        return list(self._targets) if len(self._targets) > 1 else []

    def monitors(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Those of the scores that an epoch's report has beside the validation score."""
        return {name: scores[name] for name in (*self._monitors, *map(validation_of, self._several))}

    def score(
        self,
        name: str,
        model: PretextModel,
        split: Literal["validation", "test"],
        unlabelled: UnlabelledImages | None = None,
        *,
        target: str | None = None,
    ) -> float:
        """What that measure says of the model on a split of that target, or on average of all; `unlabelled`: the kept
        images, at the end."""
        if target is None and len(self._targets) > 1:
            return fmean(self.score(name, model, split, unlabelled, target=each) for each in self._targets)
        examination = Examination(
            encoder=model.encoder,
            model=model,
            target=self._targets[target or next(iter(self._targets))],
            split=split,
            settings=self._settings,
            unlabelled=unlabelled,
            progress=self._listener.on_measure,
        )
        return evaluation.measure(name).evaluate(examination)

    def scores(self, model: PretextModel, *, evaluates: bool = True) -> dict[str, float]:
        """The measure and all monitors on the validation split, by name, the same on all workers; NaN in epochs
        without evaluation. Of several targets also the measure on each (`validation_of`)."""
        if not evaluates:
            return dict.fromkeys([*self._names, *map(validation_of, self._several)], math.nan)

        def evaluate() -> dict[str, float]:
            if not self._several:
                return {name: self.score(name, model, "validation") for name in self._names}
            found = {n: {t: self.score(n, model, "validation", target=t) for t in self._several} for n in self._names}
            of_each = {validation_of(target): score for target, score in found[self.measure.name].items()}
            return {name: fmean(scores.values()) for name, scores in found.items()} | of_each

        scores = collectives.from_first(collectives.on_first(evaluate))
        assert scores is not None
        return scores
