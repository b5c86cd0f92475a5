"""Two gloo workers on the CPU: the same step as one worker, the same table and mask everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from bdw.data.batches import local_part
from bdw.data.image_table import ImageTable
from bdw.encoders import Encoder
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.parallel.stop_requests import StopRequests
from bdw.pretext import PretextModel
from bdw.runs.metrics import Silent
from bdw.training.data_parallel import replicated
from bdw.training.epoch import epoch_totals, training_steps
from bdw.training.progress import EpochProgress
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.gradient.estimators import choose
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.l2rw import L2RWWeighter
from bdw.weighting.weighters.point import PointWeighter
from bdw.weighting.weighters.protocol import Weighter, WeightSample
from bdw.weighting.weighters.self_normalised import SelfNormalised
from tests.pretext.models import model_of, not_augmented
from tests.workers import on_workers

K, N = 8, 20


class _QuarterWeights(BetaWeighter):
    """A Beta table that learns, but draws the same weight for an instance on whichever worker it lies."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        logs = self.instances.read(indices).requires_grad_()
        sample = super().sample(indices, generator)
        object.__setattr__(sample, "logs", logs)
        object.__setattr__(sample, "weights", torch.sigmoid(logs[0] - 2 * logs[1] - 0.1 * (indices % 20)))
        return sample


class _Distance:
    """Every worker's target is another fixed image whose features should vanish; one process sees all of them."""

    images_per_batch = 1

    def __init__(self, workers: int):
        self._images = torch.linspace(-1, 1, workers * 36, dtype=torch.float64).view(workers, 1, 6, 6)

    def draw(self, randomness: Randomness) -> tuple[Tensor, ...]:
        if collectives.size() == 1:
            return (self._images,)
        return (self._images[collectives.rank() : collectives.rank() + 1],)

    def __call__(self, model: PretextModel, batch: tuple[Tensor, ...]) -> Tensor:
        return model.encoder(batch[0]).square().sum(dim=1).mean()


def _beta() -> Weighter:
    return _QuarterWeights(
        N, learning_rate=5.0, momentum=0.9, log_bound=7.0, cdf_threshold=0.1, density_threshold=0.5,
        dtype=torch.float64,
    )  # fmt: skip


def _point() -> Weighter:
    """The limit is so low that it is met: the norm must be that of the whole batch's gradient."""
    return PointWeighter(N, learning_rate=20.0, momentum=0.9, gradient_clip=1e-3, threshold=0.1, dtype=torch.float64)


WEIGHTERS: dict[str, Callable[[], Weighter]] = {
    "beta": _beta,
    "point": _point,
    "l2rw": lambda: L2RWWeighter(N),
    "beta, normalised": lambda: SelfNormalised(_beta()),
}


def _three_steps(kind: str, workers: int) -> dict[str, Tensor]:
    """Three steps of batch K dealt out to the workers, in float64, without batch statistics."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    model = model_of(Encoder(backbone, 1, 5, (1, 8, 8))).double()
    images = torch.randn(N, 1, 6, 6, dtype=torch.float64)
    weighter = WEIGHTERS[kind]()
    learner = Learner(
        model=model,
        replicated=replicated(model, images[:2]),
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        weighter=weighter,
        alignment=Alignment(_Distance(workers), choose(model, has_training_pass=kind != "l2rw")),
        randomness=Randomness(0, collectives.rank()),
        augment=not_augmented,
    )
    for indices in torch.randperm(N, generator=torch.Generator().manual_seed(1)).split([K, K - 1, 5]):
        mine = local_part(indices, collectives.rank(), collectives.size())
        train_step(learner, SourceBatch(mine, images[mine], len(indices)))
    weighter.end_epoch()
    weights = torch.from_numpy(weighter.table().mean)
    tables = {name: value for name, value in weighter.state_dict().items() if name in ("parameters", "buffers")}
    return {**model.state_dict(), **tables, "weights": weights}


@pytest.mark.parametrize(
    ("kind", "world"), [("beta", 2), ("beta", 4), ("point", 2), ("l2rw", 2), ("beta, normalised", 2)]
)
def test_many_workers_equal_one_to_rounding(kind: str, world: int, tmp_path: Path) -> None:
    """Uneven parts and different target batches included; the reference runs in this process, without a group."""
    expected = _three_steps(kind, world)
    assert float(expected["weights"].max() - expected["weights"].min()) > 1e-3
    for result in on_workers(world, tmp_path / "results", _three_steps, kind, world):
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def _three_epochs(workers: int) -> dict[str, Any]:
    """Three epochs of batches of 64 with pruning after each, in float64, without batch statistics or augmentation."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    model = model_of(Encoder(backbone, 1, 5, (1, 8, 8))).double()
    images = torch.randint(256, (300, 1, 6, 6), dtype=torch.uint8)
    weighter = _QuarterWeights(
        300, learning_rate=50.0, momentum=0.9, log_bound=7.0, cdf_threshold=0.3, density_threshold=0.308,
        dtype=torch.float64,
    )  # fmt: skip
    randomness = Randomness(0, collectives.rank())
    learner = Learner(
        model=model,
        replicated=replicated(model, images[:2].double()),
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        weighter=weighter,
        alignment=Alignment(_Distance(workers), choose(model)),
        randomness=randomness,
        augment=lambda batch, _: batch.double() / 255,
    )
    mask, kept, losses = KeepMask(300, 64), [], []
    for epoch in (1, 2, 3):
        progress = EpochProgress(mask.kept.nonzero().flatten(), 64, randomness["order"])
        for _ in training_steps(
            learner, ImageTable(images.numpy(), torch.device("cpu")), progress,
            StopRequests(minutes=60), meta_every=1, epoch=epoch, epochs=3, listener=Silent(),
        ):  # fmt: skip
            pass
        losses.append(epoch_totals(learner, progress).loss)
        weighter.end_epoch()
        weighter.freeze(mask.prune(weighter.useless(), weighter.table().mean, epoch))
        kept.append(mask.count)
    tables = {name: value for name, value in weighter.state_dict().items() if name in ("parameters", "buffers")}
    return {**model.state_dict(), **tables, "losses": torch.tensor(losses), "kept": mask.kept, "counts": kept}


@pytest.mark.parametrize("world", [2, 4])
def test_many_workers_with_small_batches_equal_one_with_a_large_one(world: int, tmp_path: Path) -> None:
    """1 x 64 = 2 x 32 = 4 x 16, Beta table, pruning and uneven last batches included."""
    expected = _three_epochs(world)
    assert 64 < expected["counts"][2] < expected["counts"][0] < 300, "nothing to compare was pruned"
    for result in on_workers(world, tmp_path / "results", _three_epochs, world):
        assert torch.equal(result["kept"], expected["kept"])
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def _traffic(num_instances: int) -> dict[str, int]:
    """Bytes that a worker hands to all-reduces in one step of BDW, by who asks for them."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    model = model_of(Encoder(backbone, 1, 5, (1, 8, 8)))
    replicated = DistributedDataParallel(model)
    counted = {"gradient": 0, "direct": 0, "parameters": sum(4 * p.numel() for p in model.parameters())}

    def count_bucket(_, bucket):  # DistributedDataParallel refuses annotations that are strings, as they are here.
        counted["gradient"] += bucket.buffer().numel() * bucket.buffer().element_size()
        return allreduce_hook(dist.group.WORLD, bucket)

    replicated.register_comm_hook(None, count_bucket)
    all_reduce = dist.all_reduce

    def count_direct(tensor: Tensor, **options: Any) -> Any:
        if not options:  # The bucket's own call has some.
            counted["direct"] += tensor.numel() * tensor.element_size()
        return all_reduce(tensor, **options)

    learner = Learner(
        model=model,
        replicated=replicated,
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        weighter=BetaWeighter(
            num_instances, learning_rate=1.0, momentum=0.9, log_bound=7.0, cdf_threshold=0.1, density_threshold=0.5
        ),
        alignment=Alignment(_Distance32(2), choose(model)),
        randomness=Randomness(0, collectives.rank()),
        augment=not_augmented,
    )
    mine = local_part(torch.arange(K), collectives.rank(), collectives.size())
    dist.all_reduce = count_direct
    try:
        train_step(learner, SourceBatch(mine, torch.randn(len(mine), 1, 6, 6), K))
    finally:
        dist.all_reduce = all_reduce
    return counted


class _Distance32(_Distance):
    """The same in float32."""

    def __init__(self, workers: int):
        super().__init__(workers)
        self._images = self._images.float()


def test_a_step_exchanges_two_gradients_and_nothing_that_grows_with_the_source(tmp_path: Path) -> None:
    few, many = (on_workers(2, tmp_path / str(n), _traffic, n)[0] for n in (20, 200_000))
    assert few == many
    assert few["gradient"] == few["parameters"]
    # v is as long as the part of the parameters that the meta-loss depends on.
    assert 0 < few["direct"] <= few["parameters"]
