"""Compiled training against eager training, what stays eager, and machines without a compiler."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bdw import encoders
from bdw.config import RunConfig
from bdw.data import Problem
from bdw.encoders.compilation import compile_encoder, require_compiler
from bdw.errors import InputError
from bdw.training.trainer import Trainer, iterate

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    torch.compiler.reset()


def test_without_a_compiler_the_run_is_refused_before_anything_is_loaded(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore lines")

    monkeypatch.setattr(torch, "compile", lambda *args, **options: fails)
    with pytest.raises(InputError) as refusal:
        Trainer(config.replace(compile=True, source="nonsense"))
    assert str(refusal.value) == (
        "compile: torch.compile does not work for the cpu here (InvalidCxxCompiler: No working C++ compiler found); "
        "allowed: --no-compile, or install a C++ compiler such as g++"
    )


def test_compiling_changes_no_name_and_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoders.build("small_cnn", 1, 16)
    names = list(encoder.state_dict())
    calls: list[str] = []

    def noted(function: Any, **options: object) -> Any:
        return lambda *args: calls.append("compiled") or function(*args)

    monkeypatch.setattr(torch, "compile", noted)
    compile_encoder(encoder)
    assert list(encoder.state_dict()) == names
    assert list(dict(encoder.named_parameters())) == [
        name for name in names if name in dict(encoder.named_parameters())
    ]
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        encoder(images)
    copy.deepcopy(encoder)(images)
    assert calls == [], "evaluation, tangents and copies are eager"
    encoder(images)
    assert calls == ["compiled"]


@needs_compiler
@pytest.mark.long
def test_a_real_compiler_is_found() -> None:
    require_compiler(CPU)


def _run(config: RunConfig, problem: Problem) -> Trainer:
    trainer = Trainer(config, problem=problem)
    list(trainer.epochs())
    return trainer


@needs_compiler
@pytest.mark.long
def test_compiled_runs_differ_from_eager_ones_by_rounding_and_continue_each_others(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    """Two epochs with the paper's weighter; the second one eager after a compiled first, and the other way round."""
    config = config.replace(epochs=2, learning_rate=0.01, weight_lr=1.0, prune=False)
    eager = _run(config, problem)
    runs = {}
    for first, second in ((True, True), (True, False), (False, True)):
        run_dir = str(tmp_path / f"{first}-{second}")
        next(iterate(config.replace(compile=first, run_dir=run_dir), problem=problem))
        runs[first, second] = _run(config.replace(compile=second, run_dir=run_dir, resume=True), problem)
    for trainer in runs.values():
        assert trainer.position == eager.position
        for name, value in eager.learner.model.state_dict().items():
            torch.testing.assert_close(trainer.learner.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)
        states = [t.learner.weighter.state_dict()["parameters"] for t in (trainer, eager)]
        torch.testing.assert_close(*states, rtol=1e-2, atol=1e-4)
        assert states[1].abs().max() > 1e-3, "weights were learnt"
    assert any(
        not torch.equal(value, eager.learner.model.state_dict()[name])
        for name, value in runs[True, True].learner.model.state_dict().items()
    ), "nothing was compiled"
