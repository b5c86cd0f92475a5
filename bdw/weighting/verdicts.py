"""Verdicts on all images once an epoch, by a regression of the meta-gradient that knows what the target looks like.

A visit's derivative <v, grad L_i> is mostly noise (see `bdw.weighting.gradient.smoothing`), and judged by its sign a
visit is worth little. So nothing is judged at a visit. The derivatives of an epoch go into one regression on what
images look like to the encoder, and when the epoch ends, every image that it visited is judged by what the regression
says of it. The target's own images take part as examples of what helps: about them there is no doubt. Half of them do;
the other half, of which the regression is told nothing, gives it a scale: the pool's mean is 0 and the target's 1. An
image at `margin` on it is as likely to help as not, at 0 or below it does not help, at twice the margin or above it
does. Not in the paper; what each part is worth stands in benchmarks/LOG.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bdw.parallel import collectives
from bdw.weighting.random_functions import MAX_WIDTH, RandomFunctions, narrowed
from bdw.weighting.weighters.protocol import TakesVerdicts

NUM_FUNCTIONS = 256
"""Random functions of the regression."""
SHARPNESS = 1.5
"""How quickly likeness falls with distance: useful images may be a thin part of the pool."""
NOISE = 1.0
"""Variance of a visit's noise over the prior variance of what it is about."""
LARGEST = 2.0
"""Derivatives count up to so many times their root mean square, and an example of the target counts so much."""
LARGEST_KEPT = torch.finfo(torch.float16).max
"""Size up to which their numbers are told apart."""
CHUNK = 4096
"""Images that are judged at once, for the memory's sake."""


class Verdicts:
    """The regression and what it needs to judge an epoch's images; alike on every worker but for the visits' list.

    State: 257 x 257 numbers, and for every image of an epoch that is under way 2 bytes a number of its description.
    """

    def __init__(self, memory: float, margin: float):
        """`memory`: visits after which one counts 1/e. `margin`: see the module."""
        self.margin = margin
        self._memory = memory
        self._functions: RandomFunctions | None = None
        size = NUM_FUNCTIONS + 1
        # Sums over visits, older ones counting less. Products are made in float32, sums kept in float64.
        self._visits = torch.zeros(2, dtype=torch.float64)  # their number; squares of derivatives
        self._moments = torch.empty(2, 0, dtype=torch.float64)  # of descriptions and of their squares
        self._gram = torch.zeros(size, size, dtype=torch.float64)
        self._products = torch.zeros(size, dtype=torch.float64)
        self._pool = torch.zeros(size, dtype=torch.float64)  # of functions over the pool's images
        self._examples = torch.zeros(size, dtype=torch.float64)  # and over the target's
        self._visited: list[tuple[Tensor, Tensor]] = []
        self._waiting: list[tuple[Tensor, Tensor]] = []  # descriptions and derivatives that the sums lack

    def learn(
        self, indices: Tensor, descriptions: Sequence[Tensor], derivatives: Tensor, kept: Tensor | None = None
    ) -> None:
        """Take this worker's part of a step in: indices (m,), descriptions (m, d) each, derivatives (m,).

        `kept` is for several tasks, whose weights are their own (`bdw.weighting.verdicts_by_task`).

        The regression learns of it when the target is asked the next time, or the images are judged: many steps at once
        cost little more than one. Every worker calls it.
        """
        assert kept is None or kept.shape[1] == 1, "tasks with weights have verdicts of their own"
        x, y = _joined(descriptions), derivatives.detach().cpu().to(torch.float64)
        if self._functions is None:
            self._functions = _drawn([min(part.shape[1], MAX_WIDTH) for part in descriptions])
            self._moments = torch.zeros(2, x.shape[1], dtype=torch.float64)
        self._visited.append((indices.cpu().clone(), x.clamp(-LARGEST_KEPT, LARGEST_KEPT).to(torch.float16)))
        self._waiting.append((x, y))

    def learn_examples(self, descriptions: Sequence[Tensor]) -> None:
        """Take images of the target in as examples of what helps, descriptions (m, d) each; after a `learn`.

        Every worker calls it.
        """
        self._take_in()
        functions = self._values(_joined(descriptions))
        self._add(functions, torch.full((len(functions),), LARGEST, dtype=torch.float64))

    def measure_examples(self, descriptions: Sequence[Tensor]) -> None:
        """Take other images of the target in as the end of the scale, about which the regression is told nothing."""
        self._take_in()
        functions = self._values(_joined(descriptions))
        self._examples.add_(collectives.total(functions.sum(dim=0).to(torch.float64)))

    def judge(self) -> tuple[Tensor, Tensor]:
        """Indices (m,) of the images that this worker visited since the last time, and (m,) how likely each is to help,
        0 to 1.

        Nobody is judged where the regression does not put the target above the pool: then it knows nothing. Every
        worker calls it.
        """
        visited, self._visited = self._visited, []
        if self._functions is None or not visited:
            return torch.empty(0, dtype=torch.int64), torch.empty(0)
        self._take_in()
        coefficients = self._solved()
        pool = float(self._pool @ coefficients / self._pool[-1])
        target = float(self._examples @ coefficients / self._examples[-1]) if float(self._examples[-1]) > 0 else pool
        if not target > pool:
            return torch.empty(0, dtype=torch.int64), torch.empty(0)
        indices, descriptions = self._together(visited)
        weights = coefficients.to(torch.float32)
        said = torch.cat([self._values(part.to(torch.float32)) @ weights for part in descriptions.split(CHUNK)])
        return indices, ((said - pool) / (2 * self.margin * (target - pool))).clamp(0, 1)

    @property
    def has_learnt(self) -> bool:
        """Whether it has learnt of a visit."""
        return self._functions is not None

    def tell(self, weighter: TakesVerdicts | None, column: int = 0) -> None:
        """Judge, and let the weighter learn of it in that column; None: it is forgotten. Every worker calls it."""
        indices, helps = self.judge()
        if weighter is not None:
            weighter.judge(indices, helps, column)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` continues from, bit for bit; called on every worker."""
        indices, descriptions = self._together(self._visited)
        waiting, derivatives = self._all_waiting()
        return {
            "widths": torch.tensor(self._functions.widths if self._functions else (), dtype=torch.int64),
            "visits": self._visits,
            "moments": self._moments,
            "gram": self._gram,
            "products": self._products,
            "pool": self._pool,
            "examples": self._examples,
            "visited": collectives.gather_rows(indices),
            "descriptions": collectives.gather_rows(descriptions),
            "shares": collectives.gather_rows(torch.tensor([len(indices)])),
            "waiting": collectives.gather_rows(waiting),
            "derivatives": collectives.gather_rows(derivatives),
            "waiting_shares": collectives.gather_rows(torch.tensor([len(derivatives)])),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`; on another number of workers the visits are shared out anew."""
        widths = state["widths"].tolist()
        self._functions = _drawn(widths) if widths else None
        self._visits, self._moments = state["visits"].clone(), state["moments"].clone()
        self._gram, self._products = state["gram"].clone(), state["products"].clone()
        self._pool, self._examples = state["pool"].clone(), state["examples"].clone()
        self._visited, self._waiting = [], []
        if self._functions is not None:
            mine = _own_part(state["shares"].tolist())
            self._visited.append((state["visited"][mine].clone(), state["descriptions"][mine].clone()))
            mine = _own_part(state["waiting_shares"].tolist())
            self._waiting.append((state["waiting"][mine].clone(), state["derivatives"][mine].clone()))

    def _take_in(self) -> None:
        """Let the regression learn of the visits that wait for it; every worker calls it, with as many steps."""
        if not self._waiting:
            return
        x, y = self._all_waiting()
        self._waiting = []
        visits = collectives.total(torch.stack([torch.tensor(float(len(y)), dtype=torch.float64), y.square().sum()]))
        decay = math.exp(-float(visits[0]) / self._memory)
        for sums in (self._visits, self._moments, self._gram, self._products, self._pool, self._examples):
            sums.mul_(decay)
        self._visits.add_(visits)
        exact = x.to(torch.float64)
        self._moments.add_(collectives.total(torch.stack([exact.sum(dim=0), exact.square().sum(dim=0)])))
        size = float((self._visits[1] / self._visits[0]).sqrt()) if float(self._visits[0]) > 0 else 0.0
        seen = (y / size).clamp(-LARGEST, LARGEST) if size > 0 else torch.zeros_like(y)
        functions = self._values(x)
        self._add(functions, seen)
        self._pool.add_(collectives.total(functions.sum(dim=0).to(torch.float64)))

    def _all_waiting(self) -> tuple[Tensor, Tensor]:
        """Descriptions (m, d) and derivatives (m,) that the sums lack."""
        none = torch.empty(0, self._moments.shape[1]), torch.empty(0, dtype=torch.float64)
        descriptions, derivatives = zip(none, *self._waiting, strict=True)
        return torch.cat(descriptions), torch.cat(derivatives)

    def _values(self, x: Tensor) -> Tensor:
        assert self._functions is not None, "nothing was learnt yet"
        return self._functions(x, *(self._moments / self._visits[0]))

    def _add(self, functions: Tensor, seen: Tensor) -> None:
        self._gram.add_(collectives.total((functions.T @ functions).to(torch.float64)))
        self._products.add_(collectives.total(functions.T.to(torch.float64) @ seen))

    def _together(self, visited: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Indices (m,) and descriptions (m, d), of the same width on a worker that has none."""
        none = torch.empty(0, dtype=torch.int64), torch.empty(0, self._moments.shape[1], dtype=torch.float16)
        indices, descriptions = zip(none, *visited, strict=True)
        return torch.cat(indices), torch.cat(descriptions)

    def _solved(self) -> Tensor:
        precision = self._gram.clone()
        precision.diagonal().add_(NOISE)
        return torch.cholesky_solve(self._products.unsqueeze(1), torch.linalg.cholesky(precision)).squeeze(1)


def _own_part(shares: Sequence[int]) -> slice:
    """Which of all workers' rows this one goes on with, given how many each had."""
    rank, workers = collectives.rank(), collectives.size()
    begins = sum(shares[:rank])
    return slice(begins, begins + shares[rank]) if len(shares) == workers else slice(rank, None, workers)


def _drawn(widths: Sequence[int]) -> RandomFunctions:
    return RandomFunctions(widths, NUM_FUNCTIONS, sharpness=SHARPNESS, dtype=torch.float32)


def _joined(descriptions: Sequence[Tensor]) -> Tensor:
    """(m, d) on the CPU in float32, parts wider than `MAX_WIDTH` projected."""
    return torch.cat([narrowed(part.detach().cpu().to(torch.float32)) for part in descriptions], dim=1)
