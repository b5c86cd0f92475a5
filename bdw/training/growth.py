"""A finished run goes on with a source that has grown: its images keep their numbers, and new ones follow behind them.

What the run knows of a new image is what its rater says of it (`bdw.scoring.rater`): that is where the image's Beta
distribution starts. Which of the new images are useless then follows from the run's own rule.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.data import PackedDataset, Problem
from bdw.data.cache import packed_once
from bdw.data.packed_part import part_of
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.runs.directory import RunDirectory
from bdw.scoring.scorer import ScorerFiles
from bdw.training.checks import require_same_data
from bdw.training.run_state import RunState

logger = logging.getLogger(__name__)

_BLOCK = 4096


def in_old_order(
    problem: Problem, run: RunDirectory, saved: Mapping[str, Any], config: RunConfig
) -> tuple[Problem, int]:
    """The problem with the source's images in the order that the checkpoint knows, new ones behind them, and how many
    new ones there are.

    The same problem where the source is not the checkpoint's own with more images: then the checkpoint refuses it.
    Called on every worker.
    """
    if saved["source"] == problem.source.content_key:
        return problem, 0

    # The run's files may lie on the first worker's machine alone; the images are the same on all.
    order = collectives.from_first(collectives.on_first(lambda: _order_of(run, str(saved["source"]), problem.source)))
    if order is None:
        return problem, 0
    if (order != np.arange(len(order))).any():
        cache_dir = problem.cache_dir or run.path / "packed"
        part = part_of(problem.source, "grown").select(order)

        def packed() -> PackedDataset:
            return packed_once(part, cache_dir, "grown-source", config.data.image_size)

        problem = dataclasses.replace(problem, source=collectives.first_then_others(packed, packed))
        require_same_data(problem)
    return problem, len(problem.source) - len(saved["keep_mask"]["kept"])


def grown(
    saved: Mapping[str, Any], state: RunState, problem: Problem, run: RunDirectory, config: RunConfig
) -> dict[str, Any]:
    """The checkpoint's contents as those of the same run on the source as it is now, with the new images' weights from
    the rater. Called on every worker.

    Raises `InputError` where the run left no rater, or keeps something else for every image.
    """
    count = len(saved["keep_mask"]["kept"])
    new = len(problem.source) - count

    def scored() -> torch.Tensor:
        _check(saved, state, run, new)
        return _logs(run, problem.source.images[count:], config)

    logs = collectives.from_first(collectives.on_first(scored))
    assert logs is not None
    mask, weighter = saved["keep_mask"], saved["weighter"]
    if collectives.rank() == 0:
        logger.warning(
            "source: has grown by %s to %s images; the run's rater scored the new ones (mean weight %.2f), and the run "
            "goes on with them",
            f"{new:,}", f"{len(problem.source):,}", float(logs[0].sub(logs[1]).sigmoid().mean()),
        )  # fmt: skip
    unmarked = torch.zeros(new, dtype=torch.bool)
    added = {
        "parameters": logs,
        "buffers": torch.zeros_like(logs),
        "clock": weighter["now"].to(torch.int32).expand(new),
        "frozen": unmarked,
        "touched": unmarked,
    }
    return {
        **saved,
        "source": problem.source.content_key,
        "keep_mask": {
            "kept": torch.cat([mask["kept"], ~unmarked]),
            "pruned_at_epoch": torch.cat([mask["pruned_at_epoch"], torch.zeros(new, dtype=torch.int32)]),
        },
        "weighter": {
            name: torch.cat([value, added[name].to(value.dtype)], dim=-1) if name in added else value
            for name, value in weighter.items()
        },
    }


def _check(saved: Mapping[str, Any], state: RunState, run: RunDirectory, new: int) -> None:
    """`InputError` for a run that cannot take new images in."""
    what = f"source: it has grown by {new:,} image(s)"
    otherwise = "allowed: the same source, or a new run that starts from this one's encoder (--encoder.weights)"
    if saved["progress"] is not None or not run.scorer.is_file():
        raise InputError(
            f"{what}, but {run.path} left no scorer.safetensors to score them by; allowed: the same source until the "
            "run has finished, or a weighter that learns"
        )
    if "kept_by_task" in saved["keep_mask"]:
        raise InputError(f"{what}, and in this run tasks have weights of their own; {otherwise}")
    if state.learner.targets:
        raise InputError(f"{what}, and this run's images have a weight for each of several targets; {otherwise}")
    shape = tuple(saved["weighter"].get("parameters", torch.empty(0)).shape)
    if shape != (2, len(saved["keep_mask"]["kept"])) or "now" not in saved["weighter"]:
        raise InputError(f"{what}, and this run's weights are no Beta distributions; {otherwise}")
    if state.selection is not None:
        raise InputError(f"{what}, and a selector chose among the images that it had before; {otherwise}")
    rows = [name for name, now in state.learner.model.state_dict().items() if now.shape != saved["model"][name].shape]
    if rows or "visit_statistics" in saved or run.trajectory.is_dir():
        kept = rows[0] if rows else "diagnose_signal" if "visit_statistics" in saved else "record_trajectory"
        raise InputError(f"{what}, and this run keeps something else for every image ({kept}); {otherwise}")


def _logs(run: RunDirectory, images: NDArray[np.uint8], config: RunConfig) -> torch.Tensor:
    """log a and log b (2, m) of new images, float64, within the weighter's bounds."""
    ratings = ScorerFiles.of(run).load(torch.device("cpu"))(images)
    bound = config.weighter.log_bound
    return torch.from_numpy(np.log(np.stack([ratings.a, ratings.b]))).clamp(-bound, bound)


def _order_of(run: RunDirectory, content_key: str, now: PackedDataset) -> NDArray[np.int64] | None:
    """`_order` against the packed source that the run was trained on; None where that is gone."""
    try:
        before = PackedDataset.open(run.path / str(run.read_config()["source"]["path"]))
    except (InputError, OSError, KeyError, TypeError):
        return None
    return _order(before, now) if before.content_key == content_key else None


def _order(before: PackedDataset, now: PackedDataset) -> NDArray[np.int64] | None:
    """Rows of the source now: first the images of before in their order, then the others; None where one of them is
    missing or has changed."""
    rows = {name: row for row, name in enumerate(now.names.tolist())}
    if before.images.shape[1:] != now.images.shape[1:] or not all(name in rows for name in before.names.tolist()):
        return None
    old = np.array([rows[name] for name in before.names.tolist()], dtype=np.int64)
    for start in range(0, len(old), _BLOCK):
        if not np.array_equal(now.images[old[start : start + _BLOCK]], before.images[start : start + _BLOCK]):
            return None
    return np.concatenate([old, np.setdiff1d(np.arange(len(now)), old)])
