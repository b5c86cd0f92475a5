"""The running mean of directions, against the sum that it stands for."""

from __future__ import annotations

import torch

from bdw.running_direction import RunningDirection


def steps(number: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {name: torch.randn(size, generator=generator, dtype=torch.float64) for name, size in (("a", 3), ("b", 2))}
        for _ in range(number)
    ]


def test_without_momentum_it_is_the_last_direction_itself() -> None:
    running = RunningDirection()
    for direction in steps(3):
        assert running.follow(direction) is direction
    assert running.state_dict() == {}


def test_it_is_the_exponential_mean_that_starts_at_the_first() -> None:
    running, seen = RunningDirection(0.9), steps(6)
    found = [running.follow({name: value.clone() for name, value in direction.items()}) for direction in seen]
    for last in range(6):
        factors = [0.9**last, *(0.1 * 0.9 ** (last - i) for i in range(1, last + 1))]
        assert abs(sum(factors) - 1) < 1e-12
        for name in ("a", "b"):
            expected = sum(f * direction[name] for f, direction in zip(factors, seen, strict=False))
            torch.testing.assert_close(found[last][name], expected, rtol=1e-12, atol=0)


def test_it_goes_on_bit_for_bit() -> None:
    seen = steps(5)
    whole, first, second = RunningDirection(0.8), RunningDirection(0.8), RunningDirection(0.8)
    for direction in seen[:3]:
        whole.follow(direction)
        first.follow(direction)
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    for direction in seen[3:]:
        one, other = whole.follow(direction), second.follow(direction)
        assert all(torch.equal(one[name], other[name]) for name in one)
