"""What a finished run hands over, read from its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bdw.encoders import Encoder
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_encoder, read_table
from bdw.runs.metrics import EpochReport

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
    """A report per epoch, the resumed parts included."""
    run_dir: Path

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """The result of the finished run in that directory."""
        run = RunDirectory(run_dir)
        encoder, _ = read_encoder(run.encoder)
        history = tuple(map(EpochReport.from_row, run.read_metrics()))
        return cls(encoder, read_table(run.instance_weights).to_pandas(), history, run_dir)
