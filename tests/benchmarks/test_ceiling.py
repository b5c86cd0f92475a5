"""Who is told which images are useful finds them where the features hold it, and by chance where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from bdw.config import RunConfig
from bdw.training.trainer import Trainer
from benchmarks.studies.ceiling import told_scores


def test_of_images_that_differ_and_of_labels_that_mean_nothing(tmp_path: Path) -> None:
    trainer = Trainer(RunConfig().replace(run_dir=str(tmp_path / "run"), max_source=400))
    planted = trainer.problem.source.planted
    assert planted is not None
    assert roc_auc_score(planted, told_scores(trainer, planted)) > 0.9
    shuffled = np.random.default_rng(0).permutation(planted)
    assert 0.35 < roc_auc_score(shuffled, told_scores(trainer, shuffled)) < 0.65
