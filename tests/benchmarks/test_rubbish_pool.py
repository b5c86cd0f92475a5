"""Pools of photographs and rubbish."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bdw.errors import InputError
from benchmarks import rubbish_pool
from benchmarks.rubbish_pool import KINDS, PHOTOGRAPH


def _pool(path: Path, shared_data: Path, **fields: object) -> rubbish_pool.PackedDataset:
    settings = {"images": 100, "rubbish": 0.85, "size": 32, "seed": 3, **fields}
    return rubbish_pool.rubbish_pool(path, photographs="imagenet-mini", data_root=str(shared_data), **settings)  # type: ignore[arg-type]


def test_as_many_photographs_as_asked_for_and_equal_shares_of_rubbish(tmp_path: Path, shared_data: Path) -> None:
    pool = _pool(tmp_path / "pool", shared_data)
    assert pool.planted_kinds is not None
    assert pool.planted is not None
    assert Counter(pool.planted_kinds.tolist()) == {PHOTOGRAPH: 15, **dict.fromkeys(KINDS, 17)}
    assert ((pool.planted == 1) == (pool.planted_kinds == PHOTOGRAPH)).all()


def test_the_same_seed_gives_the_same_pool_and_another_one_another(tmp_path: Path, shared_data: Path) -> None:
    first, again = (_pool(tmp_path / name, shared_data) for name in ("first", "again"))
    other = _pool(tmp_path / "other", shared_data, seed=4)
    assert first.header["checksum"] == again.header["checksum"] != other.header["checksum"]


def test_every_kind_is_what_it_is_called(tmp_path: Path, shared_data: Path) -> None:
    pool = _pool(tmp_path / "pool", shared_data)
    images, kinds = np.asarray(pool.images).astype(float), pool.planted_kinds
    assert kinds is not None
    spread = images.std(axis=(2, 3)).mean(axis=1)
    assert spread[kinds == "blank"].max() < 3 < spread[kinds == "noise"].min()
    copies, photographs = (
        images[kinds == kind].reshape((kinds == kind).sum(), -1) for kind in (*KINDS[-1:], PHOTOGRAPH)
    )
    nearest = [np.sort(np.abs(them - one).mean(axis=1))[1] for them in (copies, photographs) for one in them]
    # Seventeen copies of eight photographs against fifteen different ones: most have their like.
    assert np.median(nearest[:17]) < np.median(nearest[17:])


def test_no_rubbish_at_all(tmp_path: Path, shared_data: Path) -> None:
    pool = _pool(tmp_path / "pool", shared_data, rubbish=0.0)
    assert pool.planted is not None
    assert (pool.planted == 1).all()


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_share_that_cannot_work(tmp_path: Path, shared_data: Path, share: float) -> None:
    with pytest.raises(InputError, match=r"rubbish: .* allowed: a share from 0, below 1"):
        _pool(tmp_path / "pool", shared_data, rubbish=share)


def test_more_photographs_than_there_are(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"images: 50,000 .* need 50,008 photographs and 'imagenet-mini' has 36,000"):
        _pool(tmp_path / "pool", shared_data, images=50_000, rubbish=0.0)
