"""How a run scores its models on the target: the config's measure and monitors."""

from __future__ import annotations

import math
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


class Examiner:
    """Scores on the target's splits; rank 0 computes them."""

    def __init__(self, config: RunConfig, target: Target, listener: ProgressListener):
        self.measure = evaluation.measure(config.evaluation.measure)
        self._names = dict.fromkeys((self.measure.name, *config.evaluation.monitors))
        self._settings = Settings.from_config(config)
        self._target = target
        self._listener = listener

    def score(
        self,
        name: str,
        model: PretextModel,
        split: Literal["validation", "test"],
        unlabelled: UnlabelledImages | None = None,
    ) -> float:
        """What that measure says of the model on a split of the target; `unlabelled`: the kept images, at the end."""
        examination = Examination(
            encoder=model.encoder,
            model=model,
            target=self._target,
            split=split,
            settings=self._settings,
            unlabelled=unlabelled,
            progress=self._listener.on_measure,
        )
        return evaluation.measure(name).evaluate(examination)

    def scores(self, model: PretextModel, *, evaluates: bool = True) -> dict[str, float]:
        """The measure and all monitors on the validation split, by name, the same on all workers; NaN in epochs
        without evaluation."""
        if not evaluates:
            return dict.fromkeys(self._names, math.nan)

        def evaluate() -> dict[str, float]:
            return {name: self.score(name, model, "validation") for name in self._names}

        scores = collectives.from_first(collectives.on_first(evaluate))
        assert scores is not None
        return scores
