"""One run on a pool whose useful images are known: what came of it, and its curve as the analysis reads it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch

from bdw.config import RunConfig
from bdw.training.trainer import Trainer
from benchmarks.harness import final_scores

CURVE = ("instances_seen", "wall_seconds", "validation_score", "kept_fraction", "planted_auroc", "budget_share")


def measured(config: RunConfig, *, useful: str = "useful") -> dict[str, Any]:
    """Train, and say what came of it.

    Args:
        config: the run, on a source with planted tags.
        useful: what a useful image is called in the names of the row.

    Returns:
        test accuracy (`value`, 0 to 1); seconds by the wall clock and of the processor; images seen; the share of the
        pool that is kept, and of its useful and other images; the AUROC of the mean weight in the middle of the budget;
        the curve, a list of `CURVE` for every evaluation. Where images are drawn (`draw_every`), `useful_drawn` is the
        probability that one that is drawn at the end is useful.
    """
    trainer = Trainer(config)
    began = time.process_time()
    for _ in trainer.epochs():
        pass
    processor_seconds = time.process_time() - began
    kept, planted = trainer.mask.kept.numpy(), trainer.problem.source.planted
    assert planted is not None, "a pool with planted tags"
    last, drawing = trainer.history[-1], trainer.state.drawing
    drawn: dict[str, float] = {}
    if drawing is not None:
        rows = trainer.mask.kept.nonzero().flatten()
        useful_ones = torch.from_numpy(planted == 1)[rows]
        drawn["useful_drawn"] = round(float(drawing.probabilities(rows)[useful_ones].sum()), 4)
    middle = next(report for report in trainer.history if report.budget_share >= 0.5)
    evaluated = (report for report in trainer.history if report.validation_score == report.validation_score)
    return {
        "domain": config.data.target,
        "seed": config.optimiser.seed,
        "value": round(final_scores(config.output.run_dir)["accuracy"], 4),
        "wall_seconds": round(last.wall_seconds, 3),
        "processor_seconds": round(processor_seconds, 3),
        "instances_seen": last.instances_seen,
        "kept_fraction": round(last.kept_fraction, 4),
        f"{useful}_kept": _share(kept[planted == 1]),
        "rubbish_kept": _share(kept[planted == 0]),
        **drawn,
        "auroc_in_the_middle": round(middle.planted_auroc, 4),
        "curve": [[round(float(report.row()[column]), 4) for column in CURVE] for report in evaluated],
    }


def curves(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The training curves as `analysis.read_curves` has them.

    What a row spent before its run (`seconds_before`, if it has them) counts from its first evaluation on.
    """
    points = []
    for row in rows:
        best, before = float("-inf"), row.get("seconds_before", 0.0)
        for seen, seconds, score, kept, _, share in row["curve"]:
            best = max(best, score)
            spent = seconds + before
            points.append((row["method"], row["domain"], row["seed"], int(seen), spent, score, best, kept, share))
    columns = ["method", "domain", "seed", "instances_seen", "wall_seconds", "value", "best_value", "kept_fraction"]
    return pd.DataFrame(points, columns=[*columns, "budget_share"])


def results(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The results table of these rows, seconds before the run included."""
    return pd.DataFrame(
        [
            {
                **row,
                "wall_seconds": row["wall_seconds"] + row.get("seconds_before", 0.0),
                "metric": "accuracy",
                "higher_is_better": True,
            }
            for row in rows
        ]
    )


def _share(kept: Any) -> float | None:
    """None where there is no such image."""
    return round(float(kept.mean()), 4) if len(kept) else None
