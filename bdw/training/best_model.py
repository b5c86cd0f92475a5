"""The model of the best epoch so far, which the run leaves behind."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bdw.evaluation import Measure
from bdw.pretext import PretextModel


class BestModel:
    """A copy on the CPU; empty before the first evaluation."""

    def __init__(self, measure: Measure, score: str | None = None):
        """`score`: the name that its scores go by; by default the measure's own."""
        self._measure = measure
        self._name = score or measure.name
        self._score = math.nan
        self._tensors: dict[str, Tensor] = {}

    def compete(self, scores: Mapping[str, float], model: PretextModel, *others: BestModel) -> bool:
        """Whether these scores, of that model, are the best so far; if so, it is kept. So it is for every other one
        that it is the best of: they share one copy."""
        competing = [each for each in (self, *others) if each._is_better(scores)]
        if competing:
            tensors = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        for each in competing:
            each._score, each._tensors = scores[each._name], tensors
        return self in competing

    def _is_better(self, scores: Mapping[str, float]) -> bool:
        return self._measure.better(scores[self._name], self._score)

    @property
    def score(self) -> float:
        """Its validation score; NaN before the first evaluation."""
        return self._score

    def loaded(self, like: PretextModel) -> PretextModel:
        """A copy of that model with the best one's parameters, on the same device, in evaluation mode."""
        model = copy.deepcopy(like)
        model.load_state_dict(self._tensors)
        return model.eval()

    def backbone(self) -> dict[str, Tensor]:
        """The state of the encoder's backbone."""
        return backbone_of(self._tensors)

    def state_dict(self) -> dict[str, Any]:
        """The score and the model's tensors."""
        return {"score": self._score, "model": self._tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self._score, self._tensors = state["score"], dict(state["model"])


def backbone_of(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a `PretextModel`'s state that is its encoder's backbone."""
    prefix = "encoder.backbone."
    return {name.removeprefix(prefix): value for name, value in model.items() if name.startswith(prefix)}
