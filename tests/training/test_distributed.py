"""Two gloo workers on the CPU: the same step as one worker, the same table and mask everywhere."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

import bdw
from bdw.config import RunConfig, presets
from bdw.data.batches import local_part
from bdw.data.image_table import ImageTable
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.encoders import Encoder
from bdw.errors import DisagreementError, RunStopped
from bdw.parallel import collectives
from bdw.parallel.consistency import require_same
from bdw.parallel.randomness import Randomness
from bdw.parallel.stop_requests import Notice, StopRequests, no_notice
from bdw.pretext import PretextModel
from bdw.pretext.rotation import Rotation
from bdw.runs import checkpoint
from bdw.runs.metrics import Silent
from bdw.training.data_parallel import replicated
from bdw.training.epoch import epoch_totals, training_steps
from bdw.training.progress import EpochProgress
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.natural_gradient import NaturalDirection
from bdw.weighting.gradient.smoothing import Smoothing
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.weighters.beta import BetaWeighter
from bdw.weighting.weighters.l2rw import L2RWWeighter
from bdw.weighting.weighters.point import PointWeighter
from bdw.weighting.weighters.protocol import Weighter, WeightSample
from bdw.weighting.weighters.self_normalised import SelfNormalised

K, N = 8, 20


def _worker(
    rank: int, world: int, port: int, task: Callable[..., Any], folder: str, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        result = task(*arguments)
    except Exception:
        result = {"error": traceback.format_exc()}
    finally:
        dist.destroy_process_group()
    torch.save(result, Path(folder) / f"{rank}.pt")


def _on_workers(world: int, folder: Path, task: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run the task on so many processes; their results in rank order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(exist_ok=True)
    # The fork server imports torch once for all workers of all tests; forking the test process itself, with its
    # threads, would be asking for deadlocks.
    multiprocessing.set_forkserver_preload(["bdw.training.trainer", "torch.distributed"])
    mp.start_processes(_worker, (world, port, task, str(folder), arguments), nprocs=world, start_method="forkserver")
    results = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]
    for result in results:
        assert not isinstance(result, dict) or "error" not in result, result["error"]
    return results


class _QuarterWeights(BetaWeighter):
    """A Beta table that learns, but draws the same weight for an instance on whichever worker it lies."""

    def sample(self, indices: Tensor, generator: torch.Generator) -> WeightSample:
        self.optimiser.catch_up(indices)
        logs = self.optimiser.parameters[:, indices].clone().requires_grad_()
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
    model = PretextModel(Encoder(backbone, 1, 5, (1, 8, 8)), Rotation()).double()
    images = torch.randn(N, 1, 6, 6, dtype=torch.float64)
    weighter = WEIGHTERS[kind]()
    learner = Learner(
        model=model,
        replicated=replicated(model, images[:2]),
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        weighter=weighter,
        meta_loss=_Distance(workers),
        randomness=Randomness(0, collectives.rank()),
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
    for result in _on_workers(world, tmp_path / "results", _three_steps, kind, world):
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def _three_epochs(workers: int) -> dict[str, Any]:
    """Three epochs of batches of 64 with pruning after each, in float64, without batch statistics or augmentation."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    model = PretextModel(Encoder(backbone, 1, 5, (1, 8, 8)), Rotation()).double()
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
        meta_loss=_Distance(workers),
        randomness=randomness,
    )
    mask, kept, losses = KeepMask(300, 64), [], []
    for epoch in (1, 2, 3):
        progress = EpochProgress(mask.kept.nonzero().flatten(), 64, randomness["order"])
        for _ in training_steps(
            learner, ImageTable(images.numpy(), torch.device("cpu")), lambda batch, _: batch.double() / 255, progress,
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
    for result in _on_workers(world, tmp_path / "results", _three_epochs, world):
        assert torch.equal(result["kept"], expected["kept"])
        for name, value in expected.items():
            torch.testing.assert_close(result[name], value, rtol=1e-9, atol=1e-12)


def _train(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig.from_flat(config))
    history = [report.row() for report in trainer.epochs()]
    return {
        "history": history,
        "weights": trainer.learner.weighter.state_dict()["parameters"],
        "kept": trainer.mask.kept,
        "model": {name: p.detach() for name, p in trainer.learner.model.named_parameters()},
    }


def _train_in_parts_and_whole(config: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": _train(parts | {"epochs": 2}),
        "resumed": _train(parts | {"resume": True}),
        "whole": _train(config),
    }


def test_two_workers_train_prune_resume_and_agree(tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "epochs": 3, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weight_lr": 100.0, "cdf_threshold": 0.45, "device": "cpu", "direction_every": 2,
        }
    )  # fmt: skip
    parts = config.replace(run_dir=str(tmp_path / "parts"))
    mine, theirs = _on_workers(2, tmp_path / "results", _train_in_parts_and_whole, config.flat(), parts.flat())
    for name in ("first", "resumed", "whole"):
        first, second = mine[name], theirs[name]
        assert torch.equal(first["weights"], second["weights"])
        assert torch.equal(first["kept"], second["kept"])
        assert all(torch.equal(first["model"][key], second["model"][key]) for key in first["model"])
        assert [row["loss"] for row in first["history"]] == [row["loss"] for row in second["history"]]
    history = mine["whole"]["history"]
    assert history[1]["instances_seen"] == 99 + history[0]["kept"], "an instance was dropped"
    assert 32 <= history[-1]["kept"] < 99
    # On as many workers as before, a resumed run ends bit for bit where the undisturbed one does.
    assert [row["epoch"] for row in mine["resumed"]["history"]] == [3]
    assert torch.equal(mine["resumed"]["weights"], mine["whole"]["weights"])
    assert torch.equal(mine["resumed"]["kept"], mine["whole"]["kept"])
    for name, value in mine["whole"]["model"].items():
        assert torch.equal(mine["resumed"]["model"][name], value)


def test_two_workers_end_a_budget_of_images_where_one_does(tmp_path: Path) -> None:
    """By fixed weights, whose choice is the same on any number of workers, and the same workers agree when learning."""
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "budget_images": 290, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weighter": "oracle", "schedule": "cosine", "warm_up": 0.1, "device": "cpu",
        }
    )  # fmt: skip
    alone = list(Trainer(config.replace(run_dir=str(tmp_path / "alone"))).epochs())
    assert len(alone) > 3
    assert 290 <= alone[-1].instances_seen < 290 + 32
    fields = ("epoch", "steps", "kept", "instances_seen", "budget_share", "learning_rate")
    for result in _on_workers(2, tmp_path / "results", _trained_on_images, config.flat()):
        assert [[row[field] for field in fields] for row in result] == [
            [getattr(report, field) for field in fields] for report in alone
        ]
    recipe = presets.build("glyphs").replace(
        source="glyphs:images=200,letters=0.2", budget_images=790, device="cpu", run_dir=str(tmp_path / "glyphs")
    )
    mine, theirs = _on_workers(2, tmp_path / "recipe", _trained_on_images, recipe.flat())
    assert [row["loss"] for row in mine] == [row["loss"] for row in theirs]
    assert 790 <= mine[-1]["instances_seen"] < 790 + 32
    assert mine[-1]["kept"] < 200


def _trained_on_images(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [report.row() for report in Trainer(RunConfig.from_flat(config)).epochs()]


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
    for result in _on_workers(world, tmp_path / "results", _told, 3):
        # Steps are split between workers, so that the noise within them is not the same number; all else is.
        for name in alone.keys() - {"shares"}:
            torch.testing.assert_close(result[name], alone[name], rtol=1e-6, atol=1e-7)
        assert result["shares"] == pytest.approx(float(alone["shares"]), rel=0.3)


def _on_a_budget(config: dict[str, Any], rank_without_time: int) -> list[tuple[int, int]]:
    """Epochs and intervals of a run in which one worker's clock says that no time is left."""
    trainer = Trainer(RunConfig.from_flat(config))
    if collectives.rank() == rank_without_time:
        trainer.state.clock.seconds = lambda: 1e9  # type: ignore[method-assign]
    return [(report.epoch, report.meta_every) for report in trainer.epochs()]


@pytest.mark.parametrize(("rank_without_time", "expected"), [(1, [(1, 1), (2, 1)]), (0, [(1, 0)])])
def test_rank_0s_clock_decides_for_all_on_a_time_budget(
    rank_without_time: int, expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "epochs": 2, "max_source": 64, "batch_size": 32, "shots": 2,
            "queries": 2, "time_budget": 1000.0, "device": "cpu",
        }
    )  # fmt: skip
    for result in _on_workers(2, tmp_path / "results", _on_a_budget, config.flat(), rank_without_time):
        assert result == expected


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
    for result in _on_workers(world, tmp_path / "results", told, 6):
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
    together = _on_workers(world, tmp_path / "together", _verdicts, 1, None)
    few = {**alone["halfway"], **{name: alone["halfway"][name][:1] for name in ("visited", "descriptions")}}
    for found in (together, _on_workers(world, tmp_path / "continued", _verdicts, 1, alone["halfway"])):
        for result in found:
            assert torch.equal(result["indices"], alone["indices"])
            torch.testing.assert_close(result["helps"], alone["helps"], rtol=0, atol=1e-4)
    assert together[0]["halfway"]["shares"].tolist() == [len(part) for part in torch.arange(3).tensor_split(world)]
    for result in _on_workers(world, tmp_path / "few", _verdicts, 1, few):
        assert torch.equal(result["halfway"]["visited"], few["visited"])
    back = _verdicts(1, together[0]["halfway"])
    torch.testing.assert_close(back["helps"], alone["helps"], rtol=0, atol=1e-4)


class _StopsAfter:
    """Stops a run after so many steps; the notice goes to one worker alone."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self) -> Notice | None:
        self.left -= 1
        return Notice("the node goes", stop=True) if self.left == 0 and collectives.rank() == 1 else None


def _state(trainer: Trainer) -> dict[str, Any]:
    weighter = trainer.learner.weighter.state_dict()
    model = {name: p.detach() for name, p in trainer.learner.model.named_parameters()}
    evidence = trainer.learner.evidence
    table = {} if evidence is None else {"evidence": torch.from_numpy(evidence.deviations().means)}
    return {**weighter, **model, **table, "kept": trainer.mask.kept, "position": torch.tensor(trainer.position)}


def _stopped_and_resumed(config: dict[str, Any], parts: dict[str, Any], only_stop: bool) -> dict[str, Any]:
    """A run in one piece, and the same stopped in the middle of its first and its second epoch."""
    whole = Trainer(RunConfig.from_flat(config))
    list(whole.epochs())
    states = {"whole": _state(whole)}
    for name, steps in (("first stop", 2), ("second stop", 3)):
        stopped = Trainer(RunConfig.from_flat(parts), notice_board=_StopsAfter(steps))
        try:
            list(stopped.epochs())
        except RunStopped:
            states[name] = _state(stopped)
        if only_stop:
            return states
    resumed = Trainer(RunConfig.from_flat(parts))
    list(resumed.epochs())
    return {**states, "resumed": _state(resumed)}


@pytest.fixture
def stoppable(tmp_path: Path) -> tuple[RunConfig, RunConfig]:
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "epochs": 3, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weight_lr": 100.0, "cdf_threshold": 0.45, "device": "cpu", "diagnose_signal": True,
        }
    )  # fmt: skip
    return config, config.replace(run_dir=str(tmp_path / "parts"), resume=True)


def test_two_workers_stopped_in_the_middle_of_epochs_end_where_undisturbed_ones_do(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """The notice to one worker stops both after the same step, and the table that is saved is everybody's."""
    config, parts = stoppable
    mine, theirs = _on_workers(2, tmp_path / "results", _stopped_and_resumed, config.flat(), parts.flat(), False)
    assert mine.keys() == {"whole", "first stop", "second stop", "resumed"}
    assert mine["first stop"]["position"].tolist() == [0, 2]
    assert mine["second stop"]["position"].tolist() == [1, 1]
    assert not mine["whole"]["kept"].all(), "nothing was pruned"
    for first, second in ((mine["resumed"], mine["whole"]), (theirs["resumed"], mine["whole"])):
        assert all(torch.equal(first[name], second[name]) for name in first)
    for stop in ("first stop", "second stop"):
        assert all(torch.equal(mine[stop][name], theirs[stop][name]) for name in mine[stop])


def _part(config: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """What a group of processes leaves that is stopped after so many steps, or that goes on to the end."""
    trainer = Trainer(RunConfig.from_flat(config), notice_board=no_notice if steps is None else _StopsAfter(steps))
    try:
        list(trainer.epochs())
    except RunStopped:
        assert steps is not None
    return _state(trainer)


@pytest.mark.slow
def test_three_workers_in_new_processes_end_where_undisturbed_ones_do(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """Three gradients add up differently in another order, and a process must not find its order in its first step."""
    config, parts = (settings.replace(encoder="resnet18") for settings in stoppable)
    (whole, *_) = _on_workers(3, tmp_path / "whole", _part, config.replace(epochs=1).flat(), None)
    (stopped, *_) = _on_workers(3, tmp_path / "stopped", _part, parts.replace(epochs=1).flat(), 2)
    assert stopped["position"].tolist() == [0, 2]
    (resumed, *_) = _on_workers(3, tmp_path / "resumed", _part, parts.replace(epochs=1).flat(), None)
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []


@pytest.mark.parametrize("weighter", ["beta", "point"])
def test_workers_agree_on_weights_that_most_steps_only_use(
    weighter: str, stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """A step that learns nothing still brings the rows that it uses up to date, on one worker."""
    config = stoppable[0].replace(meta_every=2, weighter=weighter, prune=False, batch_size=16).flat()
    first, second = _on_workers(2, tmp_path / "results", _train, config)
    assert len(first["history"]) == 3
    assert torch.equal(first["weights"], second["weights"])


def _on_one_machine(config: dict[str, Any], field: str, value: str) -> dict[str, Any]:
    return _refused(config | {field: value} if collectives.rank() == 1 else config)


@pytest.mark.parametrize(("field", "value"), [("device", "cuda"), ("storage_path", "nonsense://x")])
def test_what_one_machine_alone_cannot_do_stops_all(field: str, value: str, tmp_path: Path) -> None:
    if field == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    config = RunConfig.from_flat({"run_dir": str(tmp_path / "run"), "device": "cpu"}).flat()
    for result in _on_workers(2, tmp_path / "results", _on_one_machine, config, field, value):
        assert result["type"] == "InputError"
        assert result["message"].startswith(f"{field}: '{value}'")


def test_one_worker_goes_on_in_the_middle_of_an_epoch_of_two(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """Weights, clocks and the kept set carry over exactly, and no instance of the epoch is left out or seen twice."""
    config, parts = stoppable
    stopped = _on_workers(2, tmp_path / "results", _stopped_and_resumed, config.flat(), parts.flat(), True)[0]
    trainer = Trainer(parts)
    state = _state(trainer)
    assert trainer.position == (0, 2)
    assert all(torch.equal(state[name], stopped["first stop"][name]) for name in state)
    first = next(trainer.epochs())
    assert first.instances_seen == 99
    assert first.steps == 4


def _error_of(action: Callable[[], Any]) -> dict[str, Any]:
    try:
        action()
    except Exception as error:
        return {"type": type(error).__name__, "message": str(error)}
    return {"type": "none", "message": ""}


def _refused(config: dict[str, Any]) -> dict[str, Any]:
    return _error_of(lambda: Trainer(RunConfig.from_flat(config)))


def test_what_one_worker_refuses_all_refuse(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    config = RunConfig.from_flat({"run_dir": str(tmp_path / "run"), "device": "cpu"}).flat()
    for result in _on_workers(2, tmp_path / "results", _refused, config):
        assert result["type"] == "InputError"
        assert "is not empty" in result["message"]


def _lacking(config: dict[str, Any], what: str) -> dict[str, Any]:
    """A worker whose machine lacks the data, or has other data."""
    if collectives.rank() == 1:
        if what == "nothing":
            config = config | {"source": "not-here/", "cache_dir": config["cache_dir"] + "-else"}
        else:
            config = config | {"data_seed": 5, "cache_dir": config["cache_dir"] + "-else"}
    return _error_of(lambda: Trainer(RunConfig.from_flat(config)))


@pytest.mark.parametrize(("what", "says"), [("nothing", "not-here"), ("other", "source: worker 1 has other images")])
def test_a_machine_that_lacks_the_data_stops_all_before_any_waits(what: str, says: str, tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "packed"), "max_source": 64, "shots": 2,
            "queries": 2, "device": "cpu",
        }
    )  # fmt: skip
    for result in _on_workers(2, tmp_path / "results", _lacking, config.flat(), what):
        assert result["type"] == "InputError"
        assert says in result["message"]


def _poisoned(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig.from_flat(config))
    if collectives.rank() == 1:
        augment = trainer._augment
        trainer._augment = lambda images, generator: augment(images, generator) * float("nan")  # type: ignore[method-assign]
    return _error_of(lambda: list(trainer.epochs()))


def test_what_is_not_finite_on_one_worker_stops_all(tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {"run_dir": str(tmp_path / "run"), "max_source": 64, "shots": 2, "queries": 2, "device": "cpu"}
    )
    results = _on_workers(2, tmp_path / "results", _poisoned, config.replace(weighter="uniform").flat())
    assert {result["type"] for result in results} == {"NonFiniteError"}
    assert all("loss is not finite at step 1 of epoch 1" in result["message"] for result in results)


def _disk_full(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig.from_flat(config))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    checkpoint.save = full
    return _error_of(lambda: list(trainer.epochs()))


def test_what_fails_on_rank_0_stops_all(tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {
            "run_dir": str(tmp_path / "run"), "max_source": 64, "weighter": "uniform", "device": "cpu",
            "storage_patience": 0.0,
        }
    )  # fmt: skip
    first, second = _on_workers(2, tmp_path / "results", _disk_full, config.flat())
    assert first == {"type": "OSError", "message": "[Errno 28] No space left on device"}
    assert second["type"] == "RuntimeError"
    assert "worker 0 failed: [Errno 28] No space left" in second["message"]


def _fitted(config: dict[str, Any]) -> dict[str, Any]:
    result = bdw.fit(RunConfig.from_flat(config))
    return {"epochs": len(result.history), "images": len(result.instance_weights)}


def test_fit_hands_over_on_every_rank_and_another_number_of_workers_goes_on(tmp_path: Path) -> None:
    config = RunConfig.from_flat(
        {"run_dir": str(tmp_path / "run"), "epochs": 1, "max_source": 64, "shots": 2, "queries": 2, "device": "cpu"}
    )
    for result in _on_workers(2, tmp_path / "results", _fitted, config.flat()):
        assert result == {"epochs": 1, "images": 64}
    trainer = Trainer(config.replace(epochs=2, resume=True))
    before = Trainer(config.replace(run_dir=str(tmp_path / "other")))
    now, began = (t.learner.randomness.state_dict() for t in (trainer, before))
    assert not any(torch.equal(now[name], began[name]) for name in now if name != "model"), "old draws come again"
    (report,) = trainer.epochs()
    assert report.epoch == 2
    assert trainer.history[0].instances_seen == 64


def _agree(rank_that_differs: int | None) -> dict[str, str]:
    weights = torch.arange(6, dtype=torch.float32)
    if collectives.rank() == rank_that_differs:
        weights[3] = torch.nextafter(weights[3], torch.tensor(9.0))
    mask = torch.ones(6, dtype=torch.bool)
    try:
        require_same({"weights": {"parameters": weights}, "keep mask": {"kept": mask}}, epoch=4)
    except DisagreementError as error:
        return {"said": str(error)}
    return {"said": ""}


def test_workers_that_part_are_stopped_on_every_one_of_them(tmp_path: Path) -> None:
    for result in _on_workers(2, tmp_path / "same", _agree, None):
        assert result["said"] == ""
    for result in _on_workers(2, tmp_path / "other", _agree, 1):
        assert result["said"].startswith("after epoch 4 worker(s) 1 and worker 0 differ in weights (parameters)")


def _traffic(num_instances: int) -> dict[str, int]:
    """Bytes that a worker hands to all-reduces in one step of BDW, by who asks for them."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5))
    model = PretextModel(Encoder(backbone, 1, 5, (1, 8, 8)), Rotation())
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
        meta_loss=_Distance32(2),
        randomness=Randomness(0, collectives.rank()),
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
    few, many = (_on_workers(2, tmp_path / str(n), _traffic, n)[0] for n in (20, 200_000))
    assert few == many
    assert few["gradient"] == few["parameters"]
    # v is as long as the part of the parameters that the meta-loss depends on.
    assert 0 < few["direct"] <= few["parameters"]
