"""Weights that start from what a finished run says of images instead of from ignorance (`start_from`).

What a run learnt for one target is a first guess for another one. Its rater (`bdw.scoring.rater`) says what it would
have learnt of each image, whether it saw the image or not.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.config.weighter import WeighterConfig
from bdw.data import PackedDataset
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.scoring.scorer import ScorerFiles
from bdw.storage.tensor_file import contents_of
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns, StartsFromMeans, Weighter


def check_start(config: RunConfig) -> None:
    """`InputError` for weights that cannot start from a scorer. Fixed weights leave it aside."""
    weighter = config.weighter
    learns = weighters.learns(weighter)
    if weighter.start_from is None or learns is Learns.NEVER:
        return
    if learns is Learns.BEFORE_UPDATE:
        _refuse(weighter, f"weighter {weighter.weighter!r}, whose weights begin anew in every step")
    if weighter.weights_per != "image":
        _refuse(weighter, f"weights_per {weighter.weights_per!r}: the scorer is about images")


def start_from_scorer(config: WeighterConfig, weighter: Weighter, source: PackedDataset, device: torch.device) -> None:
    """Let the weighter start from the mean weights that the config's scorer predicts of the source, if it names one;
    rank 0 computes them. Called on every worker.

    Raises `InputError` for a file that is no scorer, or one without the encoder that it belongs to beside it.
    """
    file = config.start_file
    if file is None or weighter.learns is Learns.NEVER:
        return
    assert isinstance(weighter, StartsFromMeans), "checked with the config"

    def rated() -> NDArray[np.float64]:
        try:
            encoder = contents_of(file.with_name("encoder.safetensors"), "encoder file")
            files = ScorerFiles(encoder, contents_of(file, "scorer file"))
            return files.load(device)(source.images).mean
        except InputError as error:
            raise InputError(f"start_from: {config.start_from!r}: {error}") from error

    weighter.start(collectives.computed_on(0, rated))


def _refuse(config: WeighterConfig, why: str) -> NoReturn:
    raise InputError(f"start_from: {config.start_from!r} cannot work with {why}; allowed: none")
