from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bdw.data.batches import EpisodeSampler, distinct, epoch_order, global_batches, local_part
from bdw.errors import InputError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.sets(st.integers(0, 10**6), max_size=80), st.integers(1, 40), st.integers(1, 5), st.integers(0, 3))
def test_every_kept_index_exactly_once(kept: set[int], batch_size: int, world: int, seed: int) -> None:
    kept_indices = torch.tensor(sorted(kept), dtype=torch.int64)
    batches = global_batches(epoch_order(kept_indices, generator(seed)), batch_size)
    sizes = [len(batch) for batch in batches]
    assert sorted(i for batch in batches for i in batch.tolist()) == sorted(kept)
    assert len(batches) == -(-len(kept) // batch_size)
    assert all(1 <= size <= batch_size for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    for batch in batches:
        parts = [local_part(batch, rank, world) for rank in range(world)]
        assert torch.equal(torch.cat(parts), batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_order_is_the_generators() -> None:
    kept = torch.arange(50) * 3
    assert torch.equal(epoch_order(kept, generator(1)), epoch_order(kept, generator(1)))
    assert not torch.equal(epoch_order(kept, generator(1)), epoch_order(kept, generator(2)))


LABELS = torch.tensor([0] * 6 + [1] * 8 + [2] * 7 + [3] * 6)[torch.randperm(27, generator=generator())]


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 20))
def test_episode_rows_are_distinct_images_of_distinct_classes(ways: int, shots: int, queries: int, seed: int) -> None:
    episode = EpisodeSampler(LABELS, ways, shots, queries).draw(generator(seed))
    assert episode.shape == (ways, shots + queries)
    assert episode.dtype == torch.int64
    assert episode.unique().numel() == episode.numel()
    rows = LABELS[episode]
    assert (rows == rows[:, :1]).all()
    assert rows[:, 0].unique().numel() == ways


def test_episodes_reach_every_class_and_image() -> None:
    sampler = EpisodeSampler(LABELS, 2, 1, 1)
    draws = generator()
    seen = torch.cat([sampler.draw(draws).flatten() for _ in range(300)])
    assert seen.unique().numel() == len(LABELS)


def test_too_few_images_in_a_class() -> None:
    with pytest.raises(InputError) as caught:
        EpisodeSampler(LABELS, 3, 5, 5, ["ant", "bee", "cat", "dog"])
    assert str(caught.value) == (
        "shots + queries (N + Q): 5 + 5 = 10 training images of every class needed but class 'ant' has 6; "
        "the largest episode that fits has 3 ways and N + Q = 6"
    )


def test_too_few_classes() -> None:
    with pytest.raises(InputError) as caught:
        EpisodeSampler(LABELS, 5, 2, 2)
    assert str(caught.value) == (
        "ways (K): 5 classes needed but the target has 4; the largest episode that fits has 4 ways and N + Q = 4"
    )


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 100))
def test_distinct_numbers(count: int, size: int, seed: int) -> None:
    size = min(size, count)
    drawn = distinct(count, size, generator(seed)).tolist()
    assert len(set(drawn)) == size
    assert all(0 <= number < count for number in drawn)


def test_every_ordered_choice_is_as_likely() -> None:
    source, counts = generator(), torch.zeros(5, 5)
    for _ in range(20_000):
        first, second = distinct(5, 2, source).tolist()  # 2 * 2 < 5: drawn until different.
        counts[first, second] += 1
    off_diagonal = counts[~torch.eye(5, dtype=torch.bool)]
    assert float(counts.diagonal().sum()) == 0
    # Chi-square with 19 degrees of freedom: above 43.8 once in a thousand.
    assert float(((off_diagonal - 1000) ** 2 / 1000).sum()) < 43.8
