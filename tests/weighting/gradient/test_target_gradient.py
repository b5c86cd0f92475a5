"""The running mean of directions, against the sum that it stands for."""

from __future__ import annotations

import pytest
import torch

from bdw.weighting.gradient.target_gradient import TargetGradient


def steps(number: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {name: torch.randn(size, generator=generator, dtype=torch.float64) for name, size in (("a", 3), ("b", 2))}
        for _ in range(number)
    ]


def test_without_momentum_it_is_the_last_direction_itself() -> None:
    running = TargetGradient()
    for direction in steps(3):
        assert running.follow(direction) is direction
        assert running.asks
    assert running.state_dict()["mean"] == {}, "nothing needs it"


def test_it_is_the_exponential_mean_that_starts_at_the_first() -> None:
    running, seen = TargetGradient(0.9), steps(6)
    found = [running.follow({name: value.clone() for name, value in direction.items()}) for direction in seen]
    for last in range(6):
        factors = [0.9**last, *(0.1 * 0.9 ** (last - i) for i in range(1, last + 1))]
        assert abs(sum(factors) - 1) < 1e-12
        for name in ("a", "b"):
            expected = sum(f * direction[name] for f, direction in zip(factors, seen, strict=False))
            torch.testing.assert_close(found[last][name], expected, rtol=1e-12, atol=0)


def _followed(running: TargetGradient, seen: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    """What steps compare with that are told these directions, those of steps that do not ask being passed over."""
    return [running.follow(direction) if running.asks else running.again() for direction in seen]


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_only_the_first_of_every_so_many_steps_asks(momentum: float) -> None:
    seen = steps(7)
    found = _followed(TargetGradient(momentum, 3), seen)
    expected = _followed(TargetGradient(momentum), seen[::3])
    for number, direction in enumerate(found):
        assert all(torch.equal(direction[name], expected[number // 3][name]) for name in ("a", "b"))


def test_an_epoch_begins_with_a_step_that_asks() -> None:
    running = TargetGradient(every=3)
    _followed(running, steps(2))
    assert not running.asks
    running.begin_epoch()
    assert running.asks


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_it_goes_on_bit_for_bit(momentum: float, every: int) -> None:
    seen = steps(7)
    whole, first, second = (TargetGradient(momentum, every) for _ in range(3))
    expected = _followed(whole, seen)
    found = _followed(first, seen[:4])
    second.load_state_dict(first.state_dict())
    found += _followed(second, seen[4:])
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("a", "b"))
