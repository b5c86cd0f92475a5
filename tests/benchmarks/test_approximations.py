"""What is said about an approximation, on gradients whose bias and spread are known, and on a real step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.training.trainer import Trainer
from benchmarks import approximations


def test_bias_deviation_and_cosine_of_known_gradients() -> None:
    """Errors of (1, 0) +- (0, 2) about an exact gradient of norm 5, perpendicular to neither."""
    exact = torch.tensor([3.0, 4.0])
    found = approximations.effect(exact + torch.tensor([[1.0, 2.0], [1.0, -2.0]]), exact, 4)
    assert found["bias"] == pytest.approx(1 / 5)
    assert found["deviation"] == pytest.approx(2 / 5)
    assert found["resolved"] == pytest.approx(2 / 5 * math.sqrt(1 / 2 + 1 / 4))
    cosines = [(3 * 4 + 4 * y) / (5 * math.hypot(4, y)) for y in (6, 2)]
    assert found["cosine"] == pytest.approx(sum(cosines) / 2)


def test_steps_without_learning_have_no_cosine() -> None:
    exact = torch.tensor([3.0, 4.0])
    found = approximations.effect(torch.stack([2 * exact, 0 * exact]), exact, math.inf)
    assert found["cosine"] == pytest.approx(1)
    assert found["bias"] == pytest.approx(0)
    assert found["deviation"] == pytest.approx(1)


@pytest.fixture(scope="module")
def trainers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Trainer]:
    folder = tmp_path_factory.mktemp("runs")
    config = RunConfig().replace(**{"device": "cpu", "report": False, "prune": False, "meta_loss": "pretext"})
    first = Trainer(config.replace(run_dir=str(folder / "1")))
    return first, Trainer(config.replace(run_dir=str(folder / "2")), problem=first.problem)


def test_a_step_that_knows_the_mean_direction_tells_the_expected_gradient(trainers: tuple[Trainer, Trainer]) -> None:
    """By the training step itself, against the exact pass beside it; every step starts from the same moment."""
    moment = approximations.moment_after(*trainers)
    learner = trainers[0].learner
    exact, direction = approximations.expected(learner, moment, 3)
    informed = approximations.compared_with(learner, direction)
    told = approximations.drawn_gradients(informed, moment, 2, every=1)
    torch.testing.assert_close(told, exact.expand_as(told), rtol=1e-5, atol=1e-9)
    skipping = approximations.drawn_gradients(informed, moment, 4, every=2)
    torch.testing.assert_close(skipping, torch.stack([2 * exact, 0 * exact] * 2), rtol=1e-5, atol=1e-9)
    ignorant = approximations.drawn_gradients(learner, moment, 2, every=1)
    assert not torch.allclose(ignorant[0], ignorant[1], rtol=1e-3), "every step draws its own target batch"


@pytest.mark.parametrize(
    ("field", "value"), [("moments", ()), ("moments", (1, 0)), ("moments", (-1,)), ("draws", 0), ("target_batches", 0)]
)
def test_bad_arguments_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{field}: .* cannot work; allowed"):
        approximations.Arguments(**{field: value})  # type: ignore[arg-type]


@pytest.mark.long
def test_every_option_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    approximations.main(approximations.Arguments(moments=(0,), draws=1, target_batches=1, rounds=1))
    printed = capsys.readouterr().out
    for option in {
        **approximations.FOR_ALL,
        **approximations.OPTIONS["prototype"],
        **approximations.OPTIONS["pretext"],
    }:
        assert f"\n{option} " in printed
