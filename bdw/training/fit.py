"""One call from a config to an encoder and a table of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from bdw.config import RunConfig
from bdw.encoders import Encoder
from bdw.runs.export import read_encoder
from bdw.runs.metrics import EpochReport, ProgressListener
from bdw.training.trainer import Trainer

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FitResult:
    """What a finished run hands over."""

    encoder: Encoder
    """The best epoch's encoder, on the CPU in evaluation mode."""
    instance_weights: pd.DataFrame
    """index, name, a, b, mean, variance, kept, pruned_at_epoch (0 = never); planted and kind where known."""
    history: tuple[EpochReport, ...]
    run_dir: Path


def fit(config: RunConfig, *, listener: ProgressListener | None = None) -> FitResult:
    """Train to the last epoch; `config.output.run_dir` then holds all of docs/design.md, section 7, but the report.

    Errors: see `bdw.training.trainer.iterate`.
    """
    trainer = Trainer(config, listener=listener)
    for _ in trainer.epochs():
        pass
    run_dir = Path(config.output.run_dir).resolve()
    encoder, _ = read_encoder(run_dir / "encoder.safetensors")
    weights = pq.read_table(run_dir / "instance_weights.parquet").to_pandas()
    return FitResult(encoder, weights, tuple(trainer.history), run_dir)
