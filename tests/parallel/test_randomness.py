"""Named streams: independent, repeatable, restorable."""

from __future__ import annotations

import torch

from bdw.parallel.randomness import PER_WORKER, SHARED, Randomness, drawn_from


def _draw(randomness: Randomness, name: str) -> torch.Tensor:
    return torch.rand(4, generator=randomness[name])


def test_same_seed_same_draws_and_no_two_streams_alike() -> None:
    names = SHARED + PER_WORKER
    first, second = Randomness(3), Randomness(3)
    draws = {name: _draw(first, name) for name in names}
    for name in reversed(names):  # the order of use must not matter
        assert torch.equal(_draw(second, name), draws[name])
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == len(names)
    assert not torch.equal(_draw(Randomness(4), "order"), draws["order"])


def test_workers_share_what_must_be_shared_and_nothing_else() -> None:
    ranks = [Randomness(3, rank) for rank in (0, 1)]
    for name in SHARED:
        assert torch.equal(_draw(ranks[0], name), _draw(ranks[1], name))
    for name in PER_WORKER:
        assert not torch.equal(_draw(ranks[0], name), _draw(ranks[1], name))


def test_state_continues_every_stream() -> None:
    randomness = Randomness(3)
    _draw(randomness, "weights")
    state = {name: value.clone() for name, value in randomness.state_dict().items()}
    expected = {name: _draw(randomness, name) for name in SHARED + PER_WORKER}
    other = Randomness(99)
    other.load_state_dict(state)
    assert all(torch.equal(_draw(other, name), value) for name, value in expected.items())


def test_borrowing_the_global_generator_leaves_it_alone() -> None:
    expected = torch.rand(4, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    before = torch.get_rng_state()
    with drawn_from(generator):
        first = torch.rand(2)
    with drawn_from(generator):
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(torch.get_rng_state(), before)
