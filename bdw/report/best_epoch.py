"""Which epoch's encoder a run leaves behind. Console, closing lines and page all ask here."""

from __future__ import annotations

import pandas as pd

from bdw.evaluation import Measure
from bdw.report.table_files import column


def best_epoch(metrics: pd.DataFrame, measure: Measure) -> int | None:
    """The epoch of the best validation score, the first of equals; None if none was measured.

    That is the last one that `is_best` flags, since a flag says "better than all before". Runs of versions without
    flags are judged by their scores.
    """
    scores = column(metrics, "validation_score")
    if scores.isna().all():
        return None
    if "is_best" in metrics.columns:
        flagged = metrics["epoch"][metrics["is_best"].astype(str).str.lower() == "true"]
        if not flagged.empty:
            return int(flagged.iloc[-1])
    return int(metrics["epoch"].iloc[int(scores.argmax() if measure.higher_is_better else scores.argmin())])
