"""An encoder and a rater together: uint8 images in, scores out; and their files in a run's directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.evaluation.features import BATCH_SIZE, device_of, evaluating
from bdw.runs.directory import RunDirectory
from bdw.runs.encoder_input import InputTransform
from bdw.runs.export import encoder_in
from bdw.scoring.held_out import HeldOut
from bdw.scoring.rater import Rater, Ratings
from bdw.storage.tensor_file import contents_of, tensors_in, write_tensors
from bdw.weighting import registry as weighters
from bdw.weighting.appearance import appearance
from bdw.weighting.weighters.protocol import Learns

ENCODER_KEY, HELD_OUT = "encoder_key", "held_out"
"""Metadata of scorer.safetensors: which encoder.safetensors it belongs to, and how well it predicts (`held_out`)."""


@dataclass(frozen=True)
class ScorerFiles:
    """The contents of encoder.safetensors and scorer.safetensors: what another machine needs to score images."""

    encoder: bytes
    scorer: bytes

    @classmethod
    def of(cls, run: RunDirectory, target: str | None = None) -> Self:
        """Those of a finished run that learnt weights, or that valued its source for that target; `InputError`, one
        line, for any other."""
        run.require_finished()
        if target is not None:
            path, data = run.scorer_for(target), config_of(run).data
            valued = (*data.targets, *data.value_for)
            if target not in valued or not path.is_file():
                raise InputError(f"target: {target!r} cannot work: {_why_no_scorer_for(target, valued)}")
            return cls(contents_of(run.encoder, "encoder file"), contents_of(path, "scorer file"))
        if not run.scorer.is_file():
            raise InputError(f"run: {run.path} {_why_no_scorer(run)}")
        return cls(contents_of(run.encoder, "encoder file"), contents_of(run.scorer, "scorer file"))

    def key(self) -> str:
        """Short name of the contents: equal keys give equal scores."""
        return hashlib.sha256(self.encoder + self.scorer).hexdigest()[:16]

    def load(self, device: torch.device) -> Scorer:
        """The scorer on that device; `InputError` if the files do not belong together."""
        encoder, metadata = encoder_in(self.encoder, "encoder file")
        tensors, told = tensors_in(self.scorer, "scorer file")
        if told.get(ENCODER_KEY) != key_of(self.encoder):
            raise InputError(
                "run: scorer.safetensors belongs to another encoder.safetensors; allowed: both as the same run left "
                "them"
            )
        try:
            rater = Rater.of_tensors(tensors)
        except KeyError as error:
            raise InputError(f"run: scorer.safetensors lacks {error}; it was not written by bdw") from None
        return Scorer(encoder.to(device), InputTransform.of(metadata), rater)


class Scorer:
    """Scores of uint8 images."""

    def __init__(self, encoder: Encoder, transform: InputTransform, rater: Rater):
        self.encoder = encoder
        self.transform = transform
        self.rater = rater

    def __call__(self, images: NDArray[np.uint8]) -> Ratings:
        """The ratings of images (n, c, h, w), c being 1 (grey) or 3 (RGB), of any size."""
        return Ratings.joined([self.rater.rate(part) for part in descriptions(self.encoder, self.transform, images)])


def descriptions(
    encoder: Encoder, transform: InputTransform, images: NDArray[np.uint8]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of what images look like to the encoder (m, feature_dim), and without it (`appearance`), on the CPU."""
    device = device_of(encoder)
    for start in range(0, len(images), BATCH_SIZE):
        batch = torch.from_numpy(np.array(images[start : start + BATCH_SIZE])).to(device)
        with evaluating(encoder), torch.inference_mode():
            shown = transform(batch)
            features = encoder(shown)
        yield features.float().cpu(), appearance(shown).cpu()


def write_scorer(run: RunDirectory, rater: Rater, held_out: HeldOut, path: Path | None = None) -> None:
    """scorer.safetensors, or that file, beside the encoder.safetensors that the rater's descriptions come from."""
    metadata = {ENCODER_KEY: key_of(contents_of(run.encoder, "encoder file")), HELD_OUT: json.dumps(held_out.values())}
    write_tensors(path or run.scorer, rater.tensors(), metadata)


def key_of(encoder_file: bytes) -> str:
    """Short name of an encoder file's contents."""
    return hashlib.sha256(encoder_file).hexdigest()[:16]


def config_of(run: RunDirectory) -> RunConfig:
    """The run's config; `InputError` if it cannot be read."""
    try:
        return RunConfig.from_earlier(run.read_config()["config"])
    except KeyError as error:
        raise InputError(f"run: {run.config} is no run's config.json: it lacks {error}") from None


def _why_no_scorer(run: RunDirectory) -> str:
    config = config_of(run)
    if weighters.learns(config.weighter) is Learns.NEVER:
        valued = ", ".join(map(repr, config.data.value_for))
        or_target = f", or --target {valued}, which it valued its source for" if valued else ""
        return (
            f"never learnt weights (weighter {config.weighter.weighter!r}), so it has nothing to score by; allowed: a "
            f"run with a weighter that learns{or_target}"
        )
    return (
        "holds no scorer.safetensors: it learnt no weights that differ, or is of an earlier version; allowed: a run "
        "that learnt weights"
    )


def _why_no_scorer_for(target: str, valued: Sequence[str]) -> str:
    if target in valued:
        return "its images' usefulness does not differ, or too few were visited; allowed: a run of more epochs"
    allowed = ", ".join(map(repr, valued)) or "a run with value_for, or no target"
    return f"the run did not value its source for it; allowed: {allowed}"


def held_out_of(path: Path) -> HeldOut:
    """How well the rater in that scorer.safetensors predicts; `InputError` for a file that does not say so."""
    what = f"scorer file {path}"
    _, metadata = tensors_in(contents_of(path, "scorer file"), what)
    try:
        return HeldOut.of_values(json.loads(metadata[HELD_OUT]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{what} was not written by bdw: it does not say how well it predicts ({error})") from None
