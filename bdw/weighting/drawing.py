"""Draws the next images by predicted usefulness, where images are visited too seldom for a weight of their own.

With few visits an image, most images have not been trained on when they are drawn, and a table of what single images
did knows nothing of them. What a regression says of images that look like them is known for every image that was looked
at (`bdw.weighting.prediction`). Image i of n is drawn with probability

    p_i = floor / n + (1 - floor) u_i / sum_j u_j,

u_i being its predicted usefulness, 0 to 1, and 0 where nobody has looked at it yet. An epoch's m images are drawn one
after the other without replacement, as the m largest of log p_i + G_i with independent Gumbel G_i (Kool, van Hoof and
Welling, "Stochastic beams and where to find them", ICML 2019, section 2). Not in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.weighters.protocol import Weighter, WeightSample
from bdw.weighting.weighters.wrapped import Wrapped

_TURNS = 41
"""Stream of random numbers: the order in which images are looked at."""


class Drawing:
    """Predicted usefulness of n images, what their last visits said, and who is drawn; alike on every worker after
    `end_epoch`.

    `usefulness` (n,) float32, `seen` (n,) float32: the derivative <v, grad L_i> of an image's last visit in root mean
    squares of its epoch, NaN before its first. `chances` (n,) float64: how likely each image of the epoch was to be in
    it, given the largest key that was left out; sum_i f_i / chances_i over the epoch has the pool's sum of f as its
    mean (Kool et al. 2019, section 4.1). `corrections` (n,): one over these, divided by the epoch's mean of it.
    """

    def __init__(self, num_instances: int, count: int, floor: float, *, seed: int = 0):
        """`count`: m, images of an epoch. `floor`: see the module. `seed`: of the order in which images are looked
        at."""
        self.count, self.floor = min(count, num_instances), floor
        self.usefulness = torch.zeros(num_instances)
        self.seen = torch.full((num_instances,), torch.nan)
        self.chances, self.corrections = torch.ones(2, num_instances, dtype=torch.float64)
        self.round = 0
        """Times that images were looked at."""
        self._looked_at = 0
        turns = np.random.default_rng([seed, _TURNS, num_instances]).permutation(num_instances)
        self._turns: NDArray[np.int64] = turns
        self._waiting: list[tuple[Tensor, Tensor]] = []

    def probabilities(self, kept: Tensor) -> Tensor:
        """p (len(kept),) of the kept images (indices), float64; their sum is 1."""
        useful = self.usefulness[kept].to(torch.float64)
        even, total = 1 / len(kept), float(useful.sum())
        if total == 0:
            return torch.full_like(useful, even)
        return self.floor * even + (1 - self.floor) * useful / total

    def draw(self, kept: Tensor, generator: torch.Generator) -> Tensor:
        """The global indices (m,) of an epoch in a random order, m being at most the number of kept ones (indices)."""
        logs = self.probabilities(kept).log()
        uniform = torch.rand(len(kept), generator=generator, dtype=torch.float64)
        keys = logs - (-uniform.log()).log()
        count = min(self.count, len(kept))
        order = keys.argsort(descending=True, stable=True)
        chosen = order[:count]
        self.chances.fill_(1.0)
        if count < len(kept):
            # P(log p_i + G_i > t), t being the largest key that is left out.
            self.chances[kept[chosen]] = -torch.expm1(-(logs[chosen] - keys[order[count]]).exp())
        self.corrections = 1 / self.chances
        self.corrections /= self.corrections[kept[chosen]].mean()
        # Large p_i come first among the keys.
        return kept[chosen][torch.randperm(count, generator=generator)]

    def next_to_look_at(self, kept: Tensor, count: int) -> Tensor:
        """Up to so many of the kept images (n,) bool, whose turn it is: a random part of the pool, the next time the
        part after it."""
        order = np.roll(self._turns, -self._looked_at)
        places = np.flatnonzero(kept.numpy()[order])[:count]
        if len(places):
            self._looked_at = (self._looked_at + int(places[-1]) + 1) % len(order)
        return torch.from_numpy(order[places])

    def told(self, rows: Tensor, usefulness: Tensor) -> None:
        """The regression says so (k,) of these images (indices), clamped to 0 to 1; every worker is told the same."""
        self.usefulness[rows] = usefulness.clamp(0, 1).to(self.usefulness)

    def visited(self, indices: Tensor, derivatives: Tensor) -> None:
        """Take in a visit's derivatives (m,) of this worker's part of a step."""
        self._waiting.append((indices.cpu().clone(), derivatives.detach().cpu().to(torch.float64)))

    def end_epoch(self) -> None:
        """Exchange what the workers saw; the same on all of them after it."""
        indices, derivatives = self._all_waiting()
        self._waiting = []
        order = indices.argsort()  # Sums must not depend on who saw what.
        indices, derivatives = indices[order], derivatives[order]
        size = float(derivatives.square().mean().sqrt()) if len(derivatives) else 0.0
        if size > 0:
            self.seen[indices] = (derivatives / size).to(self.seen)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from; called on every worker."""
        indices, derivatives = self._all_waiting()
        return {
            "usefulness": self.usefulness,
            "seen": self.seen,
            "round": torch.tensor(self.round),
            "looked_at": torch.tensor(self._looked_at),
            "waiting": indices,
            "derivatives": derivatives,
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`; images that it does not know, at the end, begin anew."""
        known = len(state["usefulness"])
        self.usefulness[:known], self.seen[:known] = state["usefulness"], state["seen"]
        self.round = int(state["round"])
        self._looked_at = int(state["looked_at"]) if known == len(self.usefulness) else 0
        # Exchanged at the epoch's end, whoever has them until then.
        self._waiting = [(state["waiting"], state["derivatives"])] if collectives.rank() == 0 else []

    def _all_waiting(self) -> tuple[Tensor, Tensor]:
        """Indices and derivatives (m,) of all workers' visits in this epoch."""
        none = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64)
        indices, derivatives = (torch.cat(parts) for parts in zip(none, *self._waiting, strict=True))
        return collectives.gather_rows(indices), collectives.gather_rows(derivatives)


class Corrected(Wrapped):
    """Another weighter whose samples are divided by their images' chances to be drawn (`Drawing.corrections`)."""

    def __init__(self, inner: Weighter, drawing: Drawing):
        super().__init__(inner)
        self._drawing = drawing

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """Weights (k,) of the inner weighter times the corrections."""
        inner = self.inner.sample(indices, generator)
        return WeightSample(indices, inner.weights * self._drawing.corrections[indices])

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Never called: a run that draws learns from what the regression says (`judge`)."""
        raise AssertionError("checked with the config: draw_every goes with verdicts alone")
