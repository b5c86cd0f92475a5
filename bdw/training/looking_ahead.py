"""Before an epoch is drawn: a regression is fitted on what was seen, and says what images are worth that were not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import Target
from bdw.data.batches import local_part
from bdw.data.image_table import ImageTable
from bdw.evaluation.features import BATCH_SIZE
from bdw.parallel import collectives
from bdw.runs.encoder_input import InputTransform
from bdw.scoring.scorer import descriptions
from bdw.weighting.drawing import Drawing
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.prediction import Described, usefulness
from bdw.weighting.random_functions import narrowed
from bdw.weighting.step import Learner
from bdw.weighting.weighters.protocol import TakesVerdicts

LEARNT_FROM = 4096
"""Visited images that the regression is fitted on, at most."""
EXAMPLES = 128
"""Target images that it is told of, at most, and as many that end the scale: a thirtieth each, as with verdicts."""

_STREAM = 42


class _Rows(NamedTuple):
    """Which images are described: indices (m,) each."""

    visited: Tensor
    pool: Tensor
    told: Tensor
    measured: Tensor


def look_ahead(
    drawing: Drawing, learner: Learner, mask: KeepMask, images: ImageTable, target: Target, config: RunConfig
) -> None:
    """Look at a part of the pool with the encoder of this moment, and tell the drawing and the weighter what a
    regression on the visited images says of it.

    Each worker describes a part of the images; what the regression says is rank 0's. Before the first visit, and where
    the regression knows nothing, nothing is told. Every worker calls it.
    """
    rows = _rows(drawing, mask, len(target.train), config)
    if len(rows.visited) == 0:
        return
    drawing.round += 1
    data = config.data
    transform = InputTransform(images[rows.pool[:1]].shape[1], data.image_size, data.crop_size)
    held = ImageTable(target.train.images, torch.device("cpu"))
    tables = (images, images, held, held)
    parts = [_described(learner, transform, table, own) for table, own in zip(tables, rows, strict=True)]
    seen, margin = drawing.seen[rows.visited], config.gradient.target_margin
    found = collectives.from_first(collectives.on_first(lambda: usefulness(Described(*parts), seen)))
    if found is None:
        return
    weighter = learner.weighter
    assert isinstance(weighter, TakesVerdicts), "checked with the config"
    assert margin is not None, "checked with the config"
    worth = torch.full((len(images),), torch.nan, dtype=torch.float64)
    for indices, said in zip((rows.visited, rows.pool), found, strict=True):
        drawing.told(indices, said)
        worth[indices] = said
    every = worth.isfinite().nonzero().flatten()
    mine = local_part(every, collectives.rank(), collectives.size())
    weighter.judge(mine, (worth[mine] / (2 * margin)).clamp(0, 1))


def _rows(drawing: Drawing, mask: KeepMask, num_target: int, config: RunConfig) -> _Rows:
    """Drawn by the run's seed and the number of times that images were looked at: the same on every worker."""
    generator = np.random.default_rng([config.optimiser.seed, _STREAM, drawing.round])
    visited = (~drawing.seen.isnan() & mask.kept).nonzero().flatten().numpy()
    if len(visited) == 0:
        return _Rows(*(torch.empty(0, dtype=torch.int64) for _ in _Rows._fields))
    halves = [np.arange(half, num_target, 2) for half in (0, 1 if num_target > 1 else 0)]
    pool = drawing.next_to_look_at(mask.kept, round(config.drawing.draw_scored * drawing.count))
    return _Rows(_some(visited, LEARNT_FROM, generator), pool, *(_some(half, EXAMPLES, generator) for half in halves))


def _some(rows: NDArray[np.int64], count: int, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(np.sort(generator.permutation(rows)[:count]))


def _described(learner: Learner, transform: InputTransform, table: ImageTable, rows: Tensor) -> list[Tensor]:
    """Descriptions (len(rows), d) each, made by all workers together."""
    mine = local_part(rows, collectives.rank(), collectives.size())
    # A worker without a part of few images describes one that nobody asks it for, so that all have the same widths.
    shown = mine if len(mine) else rows[:1]
    batches = (table[part] for part in shown.split(BATCH_SIZE))
    found = [each for batch in batches for each in descriptions(learner.model.encoder, transform, batch.cpu().numpy())]
    parts = [narrowed(torch.cat(part))[: len(mine)] for part in zip(*found, strict=True)]
    return [collectives.gather_rows(part) for part in parts]
