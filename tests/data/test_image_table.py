"""Gathering images by index against numpy's own indexing, from memory, from a file, and ahead of time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import LabelledImages, Problem, Target, image_table, pack_arrays
from bdw.data.image_table import ImageTable
from bdw.training.trainer import Trainer

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (300, 3, 20, 20), dtype=np.uint8)


def _mapped(folder: Path) -> NDArray[np.uint8]:
    np.save(folder / "images.npy", IMAGES)
    mapped: NDArray[np.uint8] = np.load(folder / "images.npy", mmap_mode="r")
    return mapped


def _batches() -> list[Tensor]:
    return list(torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(0)).split(32))


@pytest.mark.parametrize("is_mapped", [False, True])
def test_rows_come_in_the_order_asked_for(is_mapped: bool, tmp_path: Path) -> None:
    table = ImageTable(_mapped(tmp_path) if is_mapped else IMAGES, CPU)
    assert len(table) == 300
    for indices in (torch.tensor([7, 3, 299, 3, 0]), torch.tensor([], dtype=torch.int64)):
        gathered = table[indices]
        assert gathered.dtype == torch.uint8
        np.testing.assert_array_equal(gathered.numpy(), IMAGES[indices.numpy()])


def test_what_was_gathered_may_be_written_to(tmp_path: Path) -> None:
    table = ImageTable(_mapped(tmp_path), CPU)
    table[torch.tensor([1])].zero_()
    np.testing.assert_array_equal(table[torch.tensor([1])].numpy(), IMAGES[1:2])


@pytest.mark.parametrize("rows", [slice(None), slice(5, 250), slice(1, None, 3)])
def test_fetching_ahead_changes_no_batch(rows: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part of a map, too, whose rows lie elsewhere in the file."""
    monkeypatch.setattr(image_table, "AHEAD_FROM", 0)
    table = ImageTable(_mapped(tmp_path)[rows], CPU)
    wanted = [batch[batch < len(table)] for batch in _batches()]
    found = list(table.batches(wanted))
    assert len(found) == len(wanted)
    for images, indices in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(images.numpy(), IMAGES[rows][indices.numpy()])


def test_the_next_batch_is_fetched_while_the_last_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_table, "AHEAD_FROM", 0)
    asked: list[int] = []

    def coming() -> Iterator[Tensor]:
        for number, indices in enumerate(_batches()):
            asked.append(number)
            yield indices

    before = threading.active_count()
    batches = ImageTable(_mapped(tmp_path), CPU).batches(coming())
    for number, _ in zip(range(3), batches, strict=False):
        assert asked == list(range(number + 2))
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_small_maps_and_arrays_need_no_thread(tmp_path: Path) -> None:
    for images in (IMAGES, _mapped(tmp_path)):
        before = threading.active_count()
        batches = ImageTable(images, CPU).batches(_batches())
        next(batches)
        assert threading.active_count() == before


def test_an_index_that_does_not_exist_is_an_error_where_the_batch_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_table, "AHEAD_FROM", 0)
    batches = ImageTable(IMAGES[:4], CPU).batches([torch.tensor([0]), torch.tensor([4])])
    next(batches)
    with pytest.raises(IndexError):
        next(batches)


def test_a_run_that_fetches_ahead_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(3, dtype=np.int64).repeat(8)
    split = LabelledImages(IMAGES[: len(labels)], labels)
    target = Target(split, split, split, ("a", "b", "c"), "key")
    problem = Problem(pack_arrays(tmp_path / "source", IMAGES), {"target": target})
    base = RunConfig().replace(**
        {
            "image_size": 20, "crop_size": 16, "flip": True, "batch_size": 64, "epochs": 2, "ways": 3, "shots": 2,
            "queries": 2, "weight_lr": 50.0, "device": "cpu", "report": False,
        }
    )  # fmt: skip
    states = []
    for name, ahead_from in (("directly", image_table.AHEAD_FROM), ("ahead", 0)):
        monkeypatch.setattr(image_table, "AHEAD_FROM", ahead_from)
        trainer = Trainer(base.replace(run_dir=str(tmp_path / name)), problem=problem)
        list(trainer.epochs())
        states.append({**trainer.learner.model.state_dict(), **trainer.learner.weighter.state_dict()})
    directly, ahead = states
    assert directly.keys() == ahead.keys()
    assert all(torch.equal(directly[name], ahead[name]) for name in directly)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_gpu_gets_the_same_batches(share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through pinned memory where the images do not fit."""
    monkeypatch.setattr(image_table, "SHARE_OF_DEVICE_MEMORY", share)
    table = ImageTable(_mapped(tmp_path), torch.device("cuda", 0))
    for images, indices in zip(table.batches(_batches()), _batches(), strict=True):
        assert images.is_cuda
        np.testing.assert_array_equal(images.cpu().numpy(), IMAGES[indices.numpy()])
