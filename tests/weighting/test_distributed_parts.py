"""What single parts of a run's state know on many workers: what they know on one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bdw.data.batches import local_part
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.parallel import collectives
from bdw.weighting.gradient.natural_gradient import NaturalDirection
from bdw.weighting.gradient.smoothing import Smoothing
from bdw.weighting.verdicts import Verdicts
from tests.workers import on_workers

K, N = 8, 20


def _told(epochs: int) -> dict[str, Any]:
    """Evidence of so many epochs of made-up numbers, each worker told its part of every batch."""
    generator, evidence = torch.Generator().manual_seed(0), VisitStatistics(N)
    for _ in range(epochs):
        for batch in torch.randperm(N, generator=generator).split(K):
            said = torch.randn(len(batch), generator=generator, dtype=torch.float64)
            mine = local_part(torch.arange(len(batch)), collectives.rank(), collectives.size())
            evidence.add(batch[mine], said[mine], len(batch))
        evidence.share()
        evidence.share()  # as before a checkpoint: leaves no trace
    evidence.end_epoch()
    visits, deviations = evidence.visits(), evidence.deviations()
    found = {"means": visits.means, "squares": visits.squares, "deviations": deviations.means}
    found |= {"others": deviations.squares, "counts": visits.counts, "positives": evidence.positives()}
    steps = {"grand mean": torch.tensor(evidence.steps().mean), "shares": torch.tensor(evidence.steps().noise_variance)}
    return {name: torch.from_numpy(values) for name, values in found.items()} | steps


@pytest.mark.parametrize("world", [2, 3])
def test_many_workers_know_the_evidence_that_one_knows(world: int, tmp_path: Path) -> None:
    alone = _told(3)
    for result in on_workers(world, tmp_path / "results", _told, 3):
        # Steps are split between workers, so that the noise within them is not the same number; all else is.
        for name in alone.keys() - {"shares"}:
            torch.testing.assert_close(result[name], alone[name], rtol=1e-6, atol=1e-7)
        assert result["shares"] == pytest.approx(float(alone["shares"]), rel=0.3)


def _shared(steps: int) -> dict[str, Tensor]:
    """Predictions of so many steps of made-up derivatives, each worker told its part; the parts together."""
    generator, shared, found = torch.Generator().manual_seed(0), Smoothing(50.0), []
    for _ in range(steps):
        features = torch.randn(K, 5, generator=generator, dtype=torch.float64)
        said = features[:, 0] + torch.randn(K, generator=generator, dtype=torch.float64)
        mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
        own = shared.follow((features[mine], features[mine, :2].square()), said[mine])
        found.append(_together(own, mine))
    return {"found": torch.stack(found)}


def _natural(steps: int) -> dict[str, Tensor]:
    """Derivatives of so many steps of made-up gradients, each worker told its part; the parts together."""
    generator, natural, found = torch.Generator().manual_seed(0), NaturalDirection(), []
    for _ in range(steps):
        gradients = torch.randn(K, 5, generator=generator, dtype=torch.float64)
        mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
        own = natural.derivatives(gradients[mine], gradients.sum(dim=0))
        found.append(_together(own, mine))
    return {"found": torch.stack(found)}


def _together(own: Tensor, mine: Tensor) -> Tensor:
    """All workers' rows, each worker's being those of `mine`, in order."""
    return collectives.gather_rows(own)[collectives.gather_rows(mine).argsort()]


@pytest.mark.parametrize("told", [_shared, _natural], ids=["shared evidence", "natural direction"])
@pytest.mark.parametrize("world", [2, 3])
def test_many_workers_say_what_one_says(world: int, told: Callable[[int], dict[str, Tensor]], tmp_path: Path) -> None:
    alone = told(6)["found"]
    for result in on_workers(world, tmp_path / "results", told, 6):
        torch.testing.assert_close(result["found"], alone, rtol=1e-9, atol=1e-12)


def _verdicts(saved_after: int, state: dict[str, Tensor] | None) -> dict[str, Any]:
    """Verdicts of an epoch of made-up derivatives by index, and the state after so many steps; with a state, of what is
    left of the epoch after it was saved. Each worker is told its part of every batch and of the examples."""
    generator, verdicts, halfway = torch.Generator().manual_seed(0), Verdicts(50.0, 0.3), {}
    if state is not None:
        verdicts.load_state_dict(state)
        halfway = verdicts.state_dict()  # before anything is added, though some workers may have no visits
    for number, batch in enumerate(torch.randperm(N, generator=generator).split(3)):
        features = torch.randn(len(batch), 5, generator=generator)
        said = features[:, 0] + torch.randn(len(batch), generator=generator)
        examples = torch.randn(4, 5, generator=generator) + torch.tensor([2.0, 0, 0, 0, 0])
        if state is not None and number < saved_after:
            continue
        mine, some = (local_part(torch.arange(m), collectives.rank(), collectives.size()) for m in (len(batch), 4))
        verdicts.learn(batch[mine], (features[mine], features[mine, :2].square()), said[mine])
        verdicts.learn_examples((examples[some], examples[some, :2].square()))
        verdicts.measure_examples((examples[some], examples[some, :2].square()))
        if number + 1 == saved_after:
            halfway = {name: value.clone() for name, value in verdicts.state_dict().items()}
    indices, helps = verdicts.judge()
    everyone, helped = collectives.gather_rows(indices), collectives.gather_rows(helps)
    order = everyone.argsort()
    return {"indices": everyone[order], "helps": helped[order], "halfway": halfway}


@pytest.mark.parametrize("world", [2, 3])
def test_many_workers_judge_as_one_does(world: int, tmp_path: Path) -> None:
    """In one piece, and from a state that another number of workers saved, even before some of them had visits."""
    alone = _verdicts(1, None)
    assert alone["indices"].tolist() == list(range(N)), "each is judged once"
    assert float(alone["helps"].std()) > 0.1
    together = on_workers(world, tmp_path / "together", _verdicts, 1, None)
    few = {**alone["halfway"], **{name: alone["halfway"][name][:1] for name in ("visited", "descriptions")}}
    for found in (together, on_workers(world, tmp_path / "continued", _verdicts, 1, alone["halfway"])):
        for result in found:
            assert torch.equal(result["indices"], alone["indices"])
            torch.testing.assert_close(result["helps"], alone["helps"], rtol=0, atol=1e-4)
    assert together[0]["halfway"]["shares"].tolist() == [len(part) for part in torch.arange(3).tensor_split(world)]
    for result in on_workers(world, tmp_path / "few", _verdicts, 1, few):
        assert torch.equal(result["halfway"]["visited"], few["visited"])
    back = _verdicts(1, together[0]["halfway"])
    torch.testing.assert_close(back["helps"], alone["helps"], rtol=0, atol=1e-4)
