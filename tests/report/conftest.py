"""Run and sweep directories as training and sweeping leave them: made-up numbers and a small packed source."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bdw import evaluation
from bdw.config import RunConfig
from bdw.data.instances import Instance, Skipped
from bdw.data.packing import write_packed
from bdw.diagnostics.replay import Outcome, Replay, Thresholds
from bdw.report.run_files import RunFiles, read_run
from bdw.runs.export import RESULT_COLUMNS
from sweeps.results.figures import draw_against_costs, draw_ranks
from sweeps.results.story import tell_story

MakeRun = Callable[..., Path]

NUM_IMAGES = 60
NUM_EPOCHS = 4
EVIL_NAME = "<script>alert(1)</script>.png"


@pytest.fixture(scope="session")
def packed_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 grey 8x8 images, the first half useful digits, the others noise or stripes; one file was skipped."""
    rng = np.random.default_rng(0)

    def instances() -> Iterator[Instance | Skipped]:
        for i in range(NUM_IMAGES):
            useful = i < NUM_IMAGES // 2
            kind = "digit" if useful else ("noise" if i % 2 else "stripes")
            name = EVIL_NAME if i == 0 else f"image-{i}.png"
            yield Instance(name, rng.integers(0, 256, (1, 8, 8), dtype=np.uint8), -1, int(useful), kind)
        yield Skipped("broken<b>.png", "truncated & useless")

    path = tmp_path_factory.mktemp("source") / "packed"
    write_packed(path, instances())
    return path


@pytest.fixture(scope="session")
def make_run(packed_source: Path) -> MakeRun:
    """A function that fills a run directory: `make_run(path, planted=True, uniform=False)` -> path."""

    def make(path: Path, *, planted: bool = True, uniform: bool = False) -> Path:
        path.mkdir(parents=True)
        config = RunConfig().replace(
            weighter="uniform" if uniform else "beta",
            epochs=NUM_EPOCHS,
            batch_size=16,
            seed=3,
            flip=True,
            run_dir=str(path),
        )
        header = json.loads((packed_source / "header.json").read_text())
        description: dict[str, Any] = {
            "config": config.flat(),
            "versions": {"python": "3.11.9", "torch": "2.6.0"},
            "git_revision": "0123abc",
            "created": "2030-01-02T03:04:05Z",
            "source": {
                "count": header["count"],
                "content_key": header["content_key"],
                "path": str(packed_source),
                "target_images": {"train": 160, "validation": 40, "test": 160},
            },
        }
        (path / "config.json").write_text(json.dumps(description))
        _metrics(uniform).to_csv(path / "metrics.csv", index=False)
        _weights(packed_source, planted, uniform).to_parquet(path / "instance_weights.parquet")
        results(["beta"], run=str(path)).to_parquet(path / "results.parquet")
        return path

    return make


@pytest.fixture
def changed_run(tmp_path: Path, make_run: MakeRun) -> Callable[..., RunFiles]:
    """A function that reads a made run of which some things are otherwise.

    `changed_run(config={...}, metrics={...}, weights={...}, validation=40)`: fields and columns that are replaced, and
    validation images, None for a run that did not count them.
    """
    numbers = itertools.count()

    def change(
        *,
        config: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        weights: Mapping[str, Any] | None = None,
        validation: int | None = 40,
        uniform: bool = False,
    ) -> RunFiles:
        run = read_run(make_run(tmp_path / f"run-{next(numbers)}", uniform=uniform))
        images = {} if validation is None else {"train": 4 * validation, "validation": validation, "test": 160}
        source = {**run.description["source"], "target_images": images}
        table = None if run.weights is None else run.weights.assign(**(weights or {}))
        return dataclasses.replace(
            run,
            config={**run.config, **(config or {})},
            description={**run.description, "source": source},
            metrics=run.metrics.assign(**(metrics or {})),
            weights=table,
        )

    return change


@pytest.fixture(scope="session")
def make_sweep(make_run: MakeRun) -> Callable[..., Path]:
    """A function that fills a sweep directory with five trials, the best of which has a run directory."""

    def make(path: Path) -> Path:
        make_run(path / "trials" / "t1")
        make_run(path / "trials" / "t0", uniform=True)
        trials().to_csv(path / "trials.csv", index=False)
        results(["beta", "uniform"], run="trials/t1").to_parquet(path / "results.parquet")
        described = {
            "command": "python sweeps/demo.py --seeds 0 1",
            "git_revision": "0123abc",
            "versions": {"python": "3.11.9"},
            "settings": {"study": {"sampler": "tpe"}, "epochs": 4},
        }
        (path / "config.json").write_text(json.dumps(described))
        return path

    return make


@pytest.fixture(scope="session")
def make_story(make_run: MakeRun) -> Callable[..., Path]:
    """A function that fills the folder of a sweep at equal budget, as the main job leaves it."""

    def make(path: Path, *, num_domains: int = 10) -> Path:
        path.mkdir(parents=True)
        curves = budget_curves(num_domains)
        last = curves.groupby(["method", "domain", "seed"], sort=False).tail(1)
        noise = np.random.default_rng(1).normal(-0.01, 0.004, len(last))
        table = last.assign(metric="accuracy", value=last["best_value"] + noise, higher_is_better=True)
        table["run"] = [f"runs/r{i}" for i in range(len(table))]
        curves.to_parquet(path / "curves.parquet")
        table[list(RESULT_COLUMNS)].to_parquet(path / "results.parquet")
        searched = trials().assign(domain="script-0", trial=lambda rows: rows["trial"].str[1:])
        baseline = searched.head(1).assign(trial="comparison-0", method=BASELINE, validation_score=0.84)
        pd.concat([searched, baseline]).to_csv(path / "trials.csv", index=False)
        described = {
            "command": "python sweeps/stl10_pruning.py --seeds 0 1 2 --epochs 20",
            "git_revision": "0123abc",
            "options": {"seeds": [0, 1, 2], "early_stopping": True},
        }
        (path / "config.json").write_text(json.dumps(described))
        subject = table[table["method"] == SUBJECT]
        make_run(path / str(subject["run"].iloc[0]))
        measure = evaluation.measure("accuracy")
        remark = "The domains are scripts of one rendered pool: an illustration, not independent evidence."
        assert (draw_ranks(table, path, measure=measure, remark="") is None) is (num_domains > 1)
        costs = last.groupby("method", sort=False, as_index=False)[["wall_seconds", "instances_seen"]].mean()
        points = costs.assign(label=costs["method"], value=np.linspace(0.6, 0.7, len(costs)))
        draw_against_costs(points, ("wall_seconds", "instances_seen"), measure, BASELINE, path / "pareto.png")
        told = tell_story(
            table, path, measure=measure, baseline=BASELINE, oracles=[ORACLE], subject=SUBJECT, remark=remark,
            validation_images=dict.fromkeys(table["domain"], 150),
        )  # fmt: skip
        assert told is None
        return path

    return make


BASELINE, SUBJECT, ORACLE = "plain training", "BDW, recommended", "oracle (useful images only)"
_SPEED_GAIN_COST = {
    BASELINE: (1.0, 0.0, 1.0),
    "random subset": (1.0, -0.01, 1.02),
    "nearest neighbours": (1.25, 0.012, 1.15),
    "BDW (paper's recipe)": (0.9, -0.02, 2.0),
    SUBJECT: (1.8, 0.03, 1.35),
    ORACLE: (2.6, 0.06, 1.05),
}


def budget_curves(num_domains: int) -> pd.DataFrame:
    """Curves of six methods on scripts that are hard and easy, three seeds, 20 evaluations within 40,000 images."""
    rng = np.random.default_rng(0)
    images = np.arange(2000, 40001, 2000)
    parts = []
    for domain, top in enumerate(rng.uniform(0.45, 0.85, num_domains)):
        for seed in range(3):
            for method, (speed, gain, cost) in _SPEED_GAIN_COST.items():
                end = top + gain * rng.normal(1, 0.5) + rng.normal(0, 0.006)
                value = end - (end - 0.15) * np.exp(-speed * images / 8000) + rng.normal(0, 0.008, len(images))
                own = {
                    "method": method,
                    "domain": f"script-{domain}",
                    "seed": seed,
                    "instances_seen": images,
                    "wall_seconds": 2 + 60 * cost * images / 40000 * rng.uniform(0.95, 1.05),
                    "value": value,
                    "best_value": np.maximum.accumulate(value),
                    "kept_fraction": 1.0 if method == BASELINE else 0.6,
                    "budget_share": images / 40000,
                }
                parts.append(pd.DataFrame(own))
    return pd.concat(parts, ignore_index=True)


def trials() -> pd.DataFrame:
    columns = ["trial", "state", "method", "validation_score", "test_score", "wall_seconds", "instances_seen"]
    rows = [
        ("t0", "complete", "uniform", 0.71, 0.705, 12.0, 8000),
        ("t1", "complete", "beta", 0.825, 0.8125, 9.5, 5120),
        ("t2", "pruned", "beta", 0.9, np.nan, 3.0, 1500),
        ("t3", "failed", "beta", np.nan, np.nan, 1.0, 10),
        ("t4", "complete", "beta", 0.64, 0.9, 10.0, 5000),
    ]
    table = pd.DataFrame(rows, columns=columns)
    uniform = table["method"] == "uniform"
    return table.assign(
        seed=0,
        epoch=4,
        kept_fraction=np.where(uniform, 1.0, 0.45),
        planted_auroc=np.where(uniform, np.nan, 0.75),
        run="trials/" + table["trial"],
        weight_lr=np.where(uniform, np.nan, 10.0),
        meta_loss=["", "prototype", "pretext", "prototype", "pretext"],
        ways=np.nan,
    )


def results(methods: list[str], run: str) -> pd.DataFrame:
    rows = [
        {
            "method": method,
            "domain": "digits",
            "seed": 3,
            "metric": metric,
            "value": value,
            "higher_is_better": True,
            "wall_seconds": 9.5,
            "instances_seen": 5120,
            "kept_fraction": 0.45,
            "run": run,
        }
        for method in methods
        for metric, value in (("accuracy", 0.8125), ("validation_accuracy", 0.825))
    ]
    return pd.DataFrame(rows)


def _metrics(uniform: bool) -> pd.DataFrame:
    epochs = np.arange(1, NUM_EPOCHS + 1)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "loss": 1.4 / epochs,
            "meta_loss": np.nan if uniform else 2.0 / epochs,
            "pretext_accuracy": 0.2 * epochs,
            "validation_score": [0.5, np.nan, 0.825, 0.8],
            "is_best": [True, False, True, False],
            "kept": [60, 60, 60, 60] if uniform else [60, 50, 40, 36],
            "kept_fraction": [1.0] * 4 if uniform else [1.0, 50 / 60, 40 / 60, 36 / 60],
            "instances_seen": [60, 120, 170, 12345],
            "seconds": 2.0,
            "wall_seconds": [2.5, 5.0, 7.5, 83.25],
        }
    )


def _weights(source: Path, planted: bool, uniform: bool) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    index = np.arange(NUM_IMAGES)
    useful = index < NUM_IMAGES // 2
    a = np.full(NUM_IMAGES, np.nan) if uniform else np.exp(rng.normal(np.where(useful, 0.6, -0.6), 0.8))
    b = np.full(NUM_IMAGES, np.nan) if uniform else np.exp(rng.normal(np.where(useful, -0.6, 0.6), 0.8))
    if not uniform:
        a[0] = 100.0  # the image with the name that needs escaping is the most useful one, so that it is shown
    mean = np.ones(NUM_IMAGES) if uniform else a / (a + b)
    pruned_at = np.zeros(NUM_IMAGES, dtype=np.int32)
    if not uniform:
        pruned_at[np.argsort(mean)[:24]] = np.repeat([2, 3, 4], [10, 10, 4])
    table = pd.DataFrame(
        {
            "index": index,
            "name": np.load(source / "names.npy", allow_pickle=False),
            "a": a.astype(np.float32),
            "b": b.astype(np.float32),
            "mean": mean,
            "variance": np.zeros(NUM_IMAGES) if uniform else a * b / ((a + b) ** 2 * (a + b + 1)),
            "kept": pruned_at == 0,
            "pruned_at_epoch": pruned_at,
        }
    )
    if planted:
        table["planted"] = useful.astype(np.int8)
        table["kind"] = np.load(source / "kinds.npy", allow_pickle=False)
    return table


@pytest.fixture
def replayed() -> Replay:
    """200 images, 100 of them junk, over three epochs; (0.4, 0.3) is no pair."""

    def outcome(pruned: list[int], first: int | None, floor: int | None = None) -> Outcome:
        counts = np.array(pruned)
        junk = np.minimum(counts * 3 // 4, 100)
        at = np.zeros(200, np.int32)
        return Outcome(counts, junk, counts - junk, at, first, floor, last_exact=first or len(pruned))

    outcomes = {
        Thresholds(0.1, 0.3): outcome([0, 20, 40], 2),
        Thresholds(0.1, 0.9): outcome([0, 0, 0], None),
        Thresholds(0.4, 0.9): outcome([100, 120, 196], 1, floor=3),
    }
    return Replay(200, 3, 100, 100, None, None, outcomes)
