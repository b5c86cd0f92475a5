"""The keep mask of images and tasks: final for each, an image goes with its last task, and the floor is one of
images."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.task_keep_mask import TaskKeepMask

N, TASKS = 6, ("rotation", "simclr")


def _flags(*pairs: tuple[int, int]) -> np.ndarray:
    flags = np.zeros((N, len(TASKS)), dtype=np.bool_)
    for image, task in pairs:
        flags[image, task] = True
    return flags


def _usefulness() -> np.ndarray:
    return np.arange(N * len(TASKS), dtype=np.float64).reshape(N, len(TASKS)) / 100


def test_an_image_goes_with_its_last_task() -> None:
    mask = TaskKeepMask(N, 1, TASKS)
    gone = mask.prune_pairs(_flags((0, 0), (1, 0), (1, 1)), _usefulness(), epoch=1)
    assert gone.nonzero().tolist() == [[0, 0], [1, 0], [1, 1]]
    assert mask.kept.tolist() == [True, False, True, True, True, True]
    assert mask.kept_by_task[0].tolist() == [False, True]
    gone = mask.prune_pairs(_flags((0, 1), (1, 1), (2, 1)), _usefulness(), epoch=3)
    assert gone.nonzero().tolist() == [[0, 1], [2, 1]]
    assert mask.kept.tolist() == [False, False, True, True, True, True]
    assert mask.pruned_at_epoch.tolist() == [3, 1, 0, 0, 0, 0]
    assert mask.pruned_at_epoch_by_task.tolist() == [[1, 3], [1, 1], [0, 3], [0, 0], [0, 0], [0, 0]]
    assert mask.count == 4
    assert torch.equal(mask.told, mask.kept_by_task)


def test_the_floor_keeps_the_best_images_for_their_best_task_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    usefulness = _usefulness()
    usefulness[3] = [0.9, 0.1]
    usefulness[4, 1] = 0.8
    mask = TaskKeepMask(N, 2, TASKS)
    mask.prune_pairs(_flags((4, 1)), usefulness, epoch=1)
    with caplog.at_level(logging.WARNING):
        mask.prune_pairs(np.ones((N, 2), dtype=np.bool_), usefulness, epoch=2)
    assert mask.kept.nonzero().flatten().tolist() == [3, 5]
    assert mask.kept_by_task[3].tolist() == [True, False]
    assert mask.kept_by_task[5].tolist() == [False, True]
    assert "wanted to leave 0 of 6 images; kept the 2" in caplog.text


def test_a_task_that_no_image_is_kept_for_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    mask = TaskKeepMask(N, 1, TASKS)
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2):
            mask.prune_pairs(_flags(*((image, 0) for image in range(N))), _usefulness(), epoch)
    assert [record.getMessage() for record in caplog.records] == [
        "epoch 1: no image is kept for task 'rotation' any more; it is left out from now on"
    ]
    assert mask.count == N


def test_with_one_task_it_is_the_mask_of_images() -> None:
    generator = np.random.default_rng(0)
    plain, of_tasks = KeepMask(50, 9, seed=3), TaskKeepMask(50, 9, ("rotation",), seed=3)
    for epoch in range(1, 8):
        useless, usefulness = generator.random(50) < 0.3, generator.integers(0, 4, 50) / 4
        gone = plain.prune(useless, usefulness, epoch)
        assert torch.equal(of_tasks.prune_pairs(useless[:, None], usefulness[:, None], epoch).nonzero()[:, 0], gone)
        assert torch.equal(plain.kept, of_tasks.kept)
        assert torch.equal(plain.pruned_at_epoch, of_tasks.pruned_at_epoch)
    assert plain.count == 9


def test_what_a_selector_left_out_is_kept_for_no_task() -> None:
    mask = TaskKeepMask(N, 5, TASKS)
    assert mask.choose(np.arange(N) < 3).tolist() == [3, 4, 5]
    assert torch.equal(mask.kept_by_task.all(dim=1), mask.kept)
    assert mask.pruned_at_epoch_by_task[3].tolist() == [1, 1]
    assert mask.min_kept == 3


def test_state_continues() -> None:
    first, second = (TaskKeepMask(N, 1, TASKS) for _ in range(2))
    first.prune_pairs(_flags((0, 0), (1, 0), (1, 1)), _usefulness(), epoch=1)
    second.load_state_dict(first.state_dict())
    for mask in (first, second):
        mask.prune_pairs(_flags((0, 1)), _usefulness(), epoch=2)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
