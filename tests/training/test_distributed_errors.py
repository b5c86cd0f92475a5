"""What one worker refuses or fails at stops all of them, and none waits for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.config import RunConfig
from bdw.errors import DisagreementError
from bdw.parallel import collectives
from bdw.parallel.consistency import require_same
from bdw.runs import checkpoint
from bdw.training.trainer import Trainer
from tests.workers import on_workers


def _error_of(action: Callable[[], Any]) -> dict[str, Any]:
    try:
        action()
    except Exception as error:
        return {"type": type(error).__name__, "message": str(error)}
    return {"type": "none", "message": ""}


def _refused(config: dict[str, Any]) -> dict[str, Any]:
    return _error_of(lambda: Trainer(RunConfig().replace(**config)))


def _on_one_machine(config: dict[str, Any], field: str, value: str) -> dict[str, Any]:
    return _refused(config | {field: value} if collectives.rank() == 1 else config)


@pytest.mark.parametrize(("field", "value"), [("device", "cuda"), ("storage_path", "nonsense://x")])
def test_what_one_machine_alone_cannot_do_stops_all(field: str, value: str, tmp_path: Path) -> None:
    if field == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    config = RunConfig().replace(**{"run_dir": str(tmp_path / "run"), "device": "cpu"}).flat()
    for result in on_workers(2, tmp_path / "results", _on_one_machine, config, field, value):
        assert result["type"] == "InputError"
        assert result["message"].startswith(f"{field}: '{value}'")


def test_what_one_worker_refuses_all_refuse(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    config = RunConfig().replace(**{"run_dir": str(tmp_path / "run"), "device": "cpu"}).flat()
    for result in on_workers(2, tmp_path / "results", _refused, config):
        assert result["type"] == "InputError"
        assert "is not empty" in result["message"]


def _lacking(config: dict[str, Any], what: str) -> dict[str, Any]:
    """A worker whose machine lacks the data, or has other data."""
    if collectives.rank() == 1:
        if what == "nothing":
            config = config | {"source": "not-here/", "cache_dir": config["cache_dir"] + "-else"}
        else:
            config = config | {"data_seed": 5, "cache_dir": config["cache_dir"] + "-else"}
    return _error_of(lambda: Trainer(RunConfig().replace(**config)))


@pytest.mark.parametrize(("what", "says"), [("nothing", "not-here"), ("other", "source: worker 1 has other images")])
def test_a_machine_that_lacks_the_data_stops_all_before_any_waits(what: str, says: str, tmp_path: Path) -> None:
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "cache_dir": str(tmp_path / "packed"), "max_source": 64, "shots": 2,
            "queries": 2, "device": "cpu",
        }
    )  # fmt: skip
    for result in on_workers(2, tmp_path / "results", _lacking, config.flat(), what):
        assert result["type"] == "InputError"
        assert says in result["message"]


def _poisoned(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig().replace(**config))
    if collectives.rank() == 1:
        augment = trainer.learner.augment
        trainer.state.learner = dataclasses.replace(
            trainer.learner, augment=lambda images, generator: augment(images, generator) * float("nan")
        )
    return _error_of(lambda: list(trainer.epochs()))


def test_what_is_not_finite_on_one_worker_stops_all(tmp_path: Path) -> None:
    config = RunConfig().replace(
        **{"run_dir": str(tmp_path / "run"), "max_source": 64, "shots": 2, "queries": 2, "device": "cpu"}
    )
    results = on_workers(2, tmp_path / "results", _poisoned, config.replace(weighter="uniform").flat())
    assert {result["type"] for result in results} == {"NonFiniteError"}
    assert all("loss is not finite at step 1 of epoch 1" in result["message"] for result in results)


def _disk_full(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig().replace(**config))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    checkpoint.save = full
    return _error_of(lambda: list(trainer.epochs()))


def test_what_fails_on_rank_0_stops_all(tmp_path: Path) -> None:
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "max_source": 64, "weighter": "uniform", "device": "cpu",
            "storage_patience": 0.0,
        }
    )  # fmt: skip
    first, second = on_workers(2, tmp_path / "results", _disk_full, config.flat())
    assert first == {"type": "OSError", "message": "[Errno 28] No space left on device"}
    assert second["type"] == "RuntimeError"
    assert "worker 0 failed: [Errno 28] No space left" in second["message"]


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
    for result in on_workers(2, tmp_path / "same", _agree, None):
        assert result["said"] == ""
    for result in on_workers(2, tmp_path / "other", _agree, 1):
        assert result["said"].startswith("after epoch 4 worker(s) 1 and worker 0 differ in weights (parameters)")
