"""What every visit said about every instance, summed up as training goes (`diagnose_signal`).

A visit's evidence is <v, grad L_i>, relative and centred if the options say so, before images share theirs
(`shared_derivatives`); above 0, more weight would have helped the target. Kept are running means and sums of squares
(Welford, Technometrics 1962), of the evidence itself and of its deviation from the mean of its batch: what moves all
instances of a step alike tells none from another, and its rise and fall over epochs would pass for noise. It takes
24 bytes an instance, another for a mask that checkpoints go without, and one direction as large as the parameters that
are compared, which checkpoints hold; a step reads and writes nothing beyond its own batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bdw.diagnostics.variance_components import Anova, Floats, Visits, from_sums
from bdw.parallel import collectives
from bdw.weighting.instance_table import InstanceTable

_VISITS, _POSITIVE, _MEAN, _SQUARES, _DEVIATION, _DEVIATION_SQUARES = range(6)


class VisitStatistics:
    """The sums of n instances, of the steps of an epoch and of the target's directions. The table lives on the CPU."""

    def __init__(self, num_instances: int, device: torch.device | None = None):
        """`device`: where a direction is loaded to; where it lies if None."""
        self._device = device
        self._table = InstanceTable(num_instances, 6)
        self._steps = torch.zeros(6, dtype=torch.float64)  # `from_sums` of this epoch's steps, on this worker
        self._last_epoch = torch.zeros(6, dtype=torch.float64)  # of the last epoch that learnt, over all workers
        self._cosines = torch.zeros(3, dtype=torch.float64)  # number, sum, sum of squares
        self._direction: Tensor | None = None

    def add(self, indices: Tensor, derivatives: Tensor, instances: int) -> None:
        """This worker's part (m,) of a step that learns from so many instances; every worker calls it."""
        values = derivatives.detach().cpu().to(torch.float64)
        deviations = values - collectives.total(values.sum()) / instances
        rows = self._table.read(indices)
        rows[_VISITS] += 1
        rows[_POSITIVE] += values > 0
        for new, mean in ((values, _MEAN), (deviations, _DEVIATION)):
            before = new - rows[mean]
            rows[mean] += before / rows[_VISITS]
            rows[mean + 1] += before * (new - rows[mean])
        self._table.write(indices, rows)
        n, mean_value = float(len(values)), float(values.mean())
        squares = float((values - mean_value).square().sum())
        self._steps += torch.tensor([1.0, n, n * mean_value, n * mean_value**2, squares, n**2], dtype=torch.float64)

    def add_direction(self, direction: Mapping[str, Tensor]) -> None:
        """One target batch's direction v, the same on every worker; nothing waits for the device."""
        flat = torch.cat([gradient.reshape(-1) for gradient in direction.values()])
        flat = flat / flat.norm().clamp(min=torch.finfo(flat.dtype).tiny)
        if self._direction is not None:
            cosine = torch.dot(flat, self._direction).to(torch.float64)
            self._cosines = self._cosines.to(cosine.device) + torch.stack([torch.ones_like(cosine), cosine, cosine**2])
        self._direction = flat

    def share(self) -> None:
        """Let every worker have the rows that the others touched; an instance is one worker's for a whole epoch."""
        self._table.share()

    def end_epoch(self) -> None:
        """The same; the sums over steps begin anew. An epoch that learnt nothing leaves the last one's that did."""
        self.share()
        steps = collectives.total(self._steps).clone()
        if steps[0] > 0:
            self._last_epoch = steps
        self._steps.zero_()

    def visits(self) -> Visits:
        """The evidence itself; complete after `share`."""
        return self._visits(_MEAN)

    def deviations(self) -> Visits:
        """What it differs by from the mean of its batch."""
        return self._visits(_DEVIATION)

    def positives(self) -> Floats:
        """(n,) visits that said more weight would have helped."""
        return self._row(_POSITIVE)

    def steps(self) -> Anova:
        """The evidence of the last epoch that learnt, with steps as groups: its signal variance is what all instances
        of a step share."""
        return from_sums(self._last_epoch.numpy())

    def agreement(self) -> tuple[int, float, float]:
        """Pairs of successive target batches, the mean cosine of their directions and its standard error."""
        pairs, total, squares = self._cosines.tolist()
        if pairs < 2:
            return int(pairs), float("nan"), float("nan")
        mean = total / pairs
        variance = max(0.0, squares / pairs - mean**2) * pairs / (pairs - 1)
        return int(pairs), mean, float(np.sqrt(variance / pairs))

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` continues from, bit for bit on as many workers; after `share`, called on all."""
        return {
            "table": self._table.values,
            "steps": collectives.gather_rows(self._steps.unsqueeze(0)),
            "last_epoch": self._last_epoch,
            "cosines": self._cosines.cpu(),
            "direction": self._direction,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`, on another number of workers in total."""
        self._table.values.copy_(state["table"])
        if len(state["steps"]) == collectives.size():
            self._steps.copy_(state["steps"][collectives.rank()])
        elif collectives.rank() == 0:
            self._steps.copy_(state["steps"].sum(dim=0))
        self._last_epoch, self._cosines = state["last_epoch"].clone(), state["cosines"].clone()
        direction = state["direction"]
        self._direction = None if direction is None else direction.to(self._device)

    def _visits(self, mean: int) -> Visits:
        return Visits(self._row(_VISITS), self._row(mean), self._row(mean + 1))

    def _row(self, which: int) -> Floats:
        row: Floats = self._table.values[which].numpy().astype(np.float64)
        return row
