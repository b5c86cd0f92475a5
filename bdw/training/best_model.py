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

    def __init__(self, measure: Measure):
        self._measure = measure
        self._score = math.nan
        self._tensors: dict[str, Tensor] = {}

    def compete(self, scores: Mapping[str, float], model: PretextModel) -> bool:
        """Whether these scores, of that model, are the best so far; if so, it is kept."""
        is_best = self._measure.better(scores[self._measure.name], self._score)
        if is_best:
            self._score = scores[self._measure.name]
            self._tensors = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        return is_best

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
