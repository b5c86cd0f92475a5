"""Runs that draw their images: what is drawn, that they go on where they were, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.config import RunConfig, presets
from bdw.errors import InputError, RunStopped
from bdw.parallel.stop_requests import Notice
from bdw.runs.encoder_input import InputTransform
from bdw.training import looking_ahead
from bdw.training.trainer import Trainer
from tests.training.comparison import assert_same_end, run_to_end
from tests.workers import on_workers


def _config(run_dir: Path, **fields: Any) -> RunConfig:
    """A planted pool of 400 letters and others, and a budget of two passes over it."""
    settings = {
        "source": "glyphs:images=400,letters=0.2", "target": "glyphs-greek", "epochs": 2, "prune": False,
        "draw_every": 100, "device": "cpu", "report": False, "run_dir": str(run_dir),
        "cache_dir": str(run_dir.parent / "packed"), **fields,
    }  # fmt: skip
    return presets.glyphs().replace(**settings)


def test_letters_are_drawn_more_often_than_their_share(tmp_path: Path) -> None:
    trainer = Trainer(_config(tmp_path / "run", epochs=3))
    for _ in trainer.epochs():
        pass
    history = trainer.history
    assert [report.instances_seen for report in history] == [100 * (i + 1) for i in range(12)]
    planted = trainer.problem.source.planted
    assert planted is not None
    drawing = trainer.state.drawing
    assert drawing is not None
    kept = torch.arange(400)
    drawn = drawing.probabilities(kept)[torch.from_numpy(planted == 1)].sum()
    assert float(drawn) > 2 * 0.2, "usefulness says nothing of letters"
    assert float(drawing.probabilities(kept).min()) >= 0.1 / 400 - 1e-12
    assert trainer.mask.count == 400


def test_a_run_that_was_stopped_within_an_epoch_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    whole = run_to_end(_config(tmp_path / "whole"), None)
    settings = _config(tmp_path / "parts")
    steps = iter(range(1000))

    def after_some_steps() -> Notice | None:
        return Notice("the test wants it", stop=True) if next(steps) >= 14 else None

    with pytest.raises(RunStopped):
        list(Trainer(settings, notice_board=after_some_steps).epochs())
    resumed = Trainer(settings.replace(resume=True))
    assert resumed.state.current.progress is not None
    list(resumed.epochs())
    assert_same_end(resumed, whole)


def test_nothing_is_looked_at_once_learning_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    told = looking_ahead.usefulness
    monkeypatch.setattr(looking_ahead, "usefulness", lambda *arguments: calls.append(1) or told(*arguments))
    run_to_end(_config(tmp_path / "run"), None)
    # Eight epochs; the recipe learns in those that begin in the first half, and nothing is known before the first.
    assert len(calls) == 3


def _ended(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig().replace(**config))
    rows = [report.row() for report in trainer.epochs()]
    assert trainer.state.drawing is not None
    return {"losses": [row["loss"] for row in rows], **trainer.state.drawing.state_dict()}


def test_two_workers_draw_the_same_images(tmp_path: Path) -> None:
    config = _config(tmp_path / "run")
    mine, theirs = on_workers(2, tmp_path / "results", _ended, config.flat())
    assert mine["losses"] == theirs["losses"]
    for name in ("usefulness", "seen"):
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=0, equal_nan=True)
    assert float(mine["usefulness"].sum()) > 0


def _described(config: dict[str, Any], count: int) -> list[torch.Tensor]:
    trainer = Trainer(RunConfig().replace(**config))
    return looking_ahead._described(trainer.learner, InputTransform(1, 24, 24), trainer.images, torch.arange(count))


def test_workers_describe_fewer_images_than_there_are_workers(tmp_path: Path) -> None:
    config = _config(tmp_path / "run", norm="group")
    alone = _described(config.replace(run_dir=str(tmp_path / "alone")).flat(), 1)
    for found in on_workers(2, tmp_path / "results", _described, config.flat(), 1):
        for mine, expected in zip(found, alone, strict=True):
            torch.testing.assert_close(mine, expected)


def test_corrected_losses_are_weighted(tmp_path: Path) -> None:
    plain, corrected = (
        run_to_end(_config(tmp_path / str(on), draw_corrected=on, epochs=1), None) for on in (False, True)
    )
    # Before anything is predicted all images have one chance, and a quarter of them is an epoch.
    assert plain.history[0].loss == corrected.history[0].loss
    assert plain.history[-1].loss != corrected.history[-1].loss


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weighter": "uniform"}, "draw_every: 100 cannot work with weighter 'uniform' and target_margin 0.06"),
        ({"target_margin": None}, "draw_every: 100 cannot work with weighter 'counts' and target_margin None"),
        ({"prune": True}, "draw_every: 100 cannot work with prune"),
        ({"budget_unit": "epochs"}, "draw_every: 100 cannot work with budget_unit 'epochs'"),
        ({"time_budget": 5.0}, "draw_every: 100 cannot work with time_budget"),
        (
            {"targets": ["glyphs-greek", "glyphs-hebrew"]},
            r"draw_every: 100 cannot work with targets \['glyphs-greek', 'glyphs-hebrew'\]: .* allowed: one target",
        ),
        ({"draw_every": 16}, "draw_every: 16 .* allowed: at least one batch, batch_size = 32"),
        ({"draw_floor": 0.0}, "draw_floor: 0.0 .* allowed: above 0, at most 1"),
        ({"draw_scored": 0.0}, "draw_scored: 0.0 .* allowed: a positive number"),
    ],
)
def test_what_cannot_work(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Trainer(_config(tmp_path / "run", **fields))
