"""BetaDataWeighter (Ericsson, Gouk and Hospedales 2020): a Beta distribution over each instance's usefulness.

Weights are drawn by implicit reparameterisation (Figurnov, Mohamed and Mnih 2018, through
`torch.distributions.Beta.rsample`), the meta-gradient flows through the sample into log a and log b, and SGD with
momentum moves those (the paper's Eq. 2 to 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.special
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.errors import InputError
from bdw.parallel.randomness import drawn_from
from bdw.weighting.instance_table import InstanceTable, Momentum
from bdw.weighting.weighters.learnt import LearntWeighter
from bdw.weighting.weighters.protocol import WeightSample, WeightTable

PRIOR_EVIDENCE = 2.0
"""a + b of the uniform prior."""
LEAST_MEAN = 0.01
"""Distance from 0 and 1 that a mean has at least from which a distribution starts."""


class BetaWeighter(LearntWeighter):
    """(log a_i, log b_i) for n instances in c columns, both 0 at the start: the uniform prior.

    The table lives on the CPU in float32; the k numbers of a batch are sampled and differentiated in float64.
    """

    def __init__(
        self,
        num_instances: int,
        *,
        learning_rate: float,
        momentum: float,
        log_bound: float,
        cdf_threshold: float,
        density_threshold: float,
        columns: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        how = Momentum(learning_rate, momentum, low=-log_bound, high=log_bound)
        super().__init__(InstanceTable(num_instances, 2, columns=columns, momentum=how, dtype=dtype))
        self.cdf_threshold = cdf_threshold
        self.density_threshold = density_threshold

    @classmethod
    def from_config(cls, config: WeighterConfig, num_instances: int, columns: int = 1) -> Self:
        """One distribution for every source image and column, with the config's eta, momentum, bounds, lambda and
        rho."""
        return cls(
            num_instances,
            learning_rate=config.weight_lr,
            momentum=config.weight_momentum,
            log_bound=config.log_bound,
            cdf_threshold=config.cdf_threshold,
            density_threshold=config.density_threshold,
            columns=columns,
        )

    @staticmethod
    def check(config: WeighterConfig) -> None:
        """`InputError` if lambda > rho: a share lambda of the uniform prior lies below lambda, so all would go."""
        if config.prune and config.cdf_threshold > config.density_threshold:
            raise InputError(
                f"cdf_threshold (lambda): {config.cdf_threshold} is above density_threshold (rho) "
                f"{config.density_threshold}, so that images would be pruned before anything is learnt about them; "
                "allowed: lambda <= rho"
            )

    def start(self, means: NDArray[np.float64]) -> None:
        """Beta(2 m, 2 (1 - m)) in every column: that mean, with the evidence of the uniform prior, a + b = 2."""
        bounded = np.clip(means, LEAST_MEAN, 1 - LEAST_MEAN)
        logs = np.log(PRIOR_EVIDENCE * np.stack([bounded, 1 - bounded]))
        self.instances.start(torch.from_numpy(logs))

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        """w_i ~ Beta(a_i, b_i) (k,) or (k, c), with the graph back to (log a_i, log b_i)."""
        logs = self.read(indices).requires_grad_()
        a, b = logs.exp()
        with drawn_from(generator):
            weights = torch.distributions.Beta(a, b, validate_args=False).rsample()
        return _BetaSample(indices, weights, logs)

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """One momentum step on log a, log b of the batch from dL_meta/dw (k,) or (k, c)."""
        assert isinstance(sample, _BetaSample)
        (gradients,) = torch.autograd.grad(sample.weights, sample.logs, gradient.to(sample.weights))
        # Close to weights 0 and 1 the implicit derivative of a very skewed Beta can be 0/0 in floating point; such a
        # sample cannot be moved, so its derivative is 0.
        self.step(sample.indices, torch.nan_to_num(gradients, nan=0.0, posinf=0.0, neginf=0.0))

    def judged(self) -> NDArray[np.bool_]:
        """CDF(lambda; a_i, b_i) > rho: more than rho of the density lies below lambda (docs/design.md, section 2)."""
        a, b = concentrations(self.instances.values)
        return is_useless(share_below(a, b, self.cdf_threshold), self.density_threshold)

    def useless_on_average(self, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where more than rho of the mixture of the columns' densities lies below lambda: sum_c p_c CDF_c > rho."""
        below = share_below(*concentrations(self.instances.values), self.cdf_threshold)
        return is_useless(shares @ self.instances.by_column(below), self.density_threshold)

    def cell_table(self) -> WeightTable:
        """a, b, a / (a + b), and the variance a b / ((a + b)^2 (a + b + 1))."""
        a, b = concentrations(self.instances.values)
        total = a + b
        return WeightTable(a=a, b=b, mean=mean_weight(a, b), variance=a * b / (total**2 * (total + 1)))


# The pruning rule by itself, because a replay asks it about thresholds that no weighter had.


def concentrations(logs: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """a and b (n,) of (log a, log b) (2, n)."""
    a, b = logs.to(torch.float64).exp().numpy()
    return a, b


def mean_weight(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / (a + b)."""
    return a / (a + b)


def share_below(a: NDArray[np.float64], b: NDArray[np.float64], cdf_threshold: float) -> NDArray[np.float64]:
    """CDF(lambda; a_i, b_i) (n,): the share of each density that lies below `cdf_threshold` (lambda)."""
    return np.asarray(scipy.special.betainc(a, b, cdf_threshold))


def is_useless(shares_below: NDArray[np.float64], density_threshold: float) -> NDArray[np.bool_]:
    """(n,) whether more than `density_threshold` (rho) of the density lies below lambda."""
    return np.asarray(shares_below > density_threshold)


@dataclass(frozen=True)
class _BetaSample(WeightSample):
    """A sample that remembers the leaves (2, k) or (2, k, c) that it was drawn from."""

    logs: Tensor
