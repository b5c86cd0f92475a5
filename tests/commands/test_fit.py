"""Python equals the command line: the same settings, the same files, the same word on what was skipped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bdw
from bdw import cli
from bdw.commands.fit import settled
from bdw.config import RunConfig, WorkersConfig, presets
from bdw.errors import InputError
from bdw.report.command_line import changed_options
from bdw.training.fit import FitResult


@pytest.mark.parametrize(
    ("settings", "preset"),
    [
        ({}, "glyphs"),
        ({"source": "photos/", "target": "labelled/", "epochs": 3}, "recommended"),
        ({"data.source": "photos/", "weighter.cdf_threshold": 0.3, "num_workers": 2}, "recommended"),
        ({"source": "digits", "weighter": "uniform"}, "digits"),
        ({"source": "digits", "budget_images": 5000}, "digits"),
        ({"source": "glyphs:images=300", "lr_milestones": [3], "schedule": "milestones"}, "glyphs"),
        ({"preset": "stl10", "prune": False, "max_source": 9}, "stl10"),
        ({"preset": "pictures", "source": "photos", "flip": False, "workers.gpus_per_worker": 1}, "pictures"),
    ],
)
def test_the_same_settings_mean_the_same_run(settings: dict[str, Any], preset: str) -> None:
    config, workers = settled(settings)
    command = cli.parse(["fit", *changed_options(settings, {})])
    assert isinstance(command, cli.Fit)
    assert (command.config, command.workers) == (config, workers)
    own = {name: value for name, value in settings.items() if name not in ("preset", "num_workers")}
    own = {name: value for name, value in own.items() if not name.startswith("workers.")}
    assert config == presets.build(preset).replace(**own)
    assert RunConfig.from_flat({**own, **({"preset": preset} if "preset" in settings else {})}) == config


def test_photographs_get_no_tiny_network() -> None:
    config = RunConfig.from_flat({"source": "photos/"})
    assert (config.encoder.encoder, config.data.image_size) == ("resnet18", 96)


def test_a_config_is_changed_by_settings() -> None:
    base = presets.build("digits")
    assert settled({"weight_lr": 3, "num_workers": 2}, base) == (
        base.replace(weight_lr=3.0),
        WorkersConfig(num_workers=2),
    )


def test_paths_are_paths() -> None:
    assert settled({"source": Path("photos")})[0].data.source == "photos"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wieghter": "beta"}, "config field: 'wieghter' is not known (did you mean 'weighter'?)"),
        ({"epochs": "3"}, "epochs: '3' is of type str; allowed: int"),
        ({"num_workers": 0}, "num_workers: 0 cannot work; allowed: at least 1, or none"),
        ({"preset": "stll0"}, "preset: 'stll0' is not known (did you mean 'stl10'?)"),
        ({"epochs": 3, "budget.budget_images": 5000}, "epochs, budget_images: 3 and 5000 are both given"),
    ],
)
def test_what_cannot_work_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        bdw.fit(**settings)


def test_fit_from_python_leaves_what_the_command_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    for name in [f"pool/{i:02}.png" for i in range(16)] + [f"mine/{c}/{i}.png" for c in ("a", "b") for i in range(8)]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    (tmp_path / "pool" / "broken.png").write_bytes(b"not a picture")
    settings = {
        "preset": "digits", "source": str(tmp_path / "pool"), "target": str(tmp_path / "mine"), "epochs": 2,
        "image_size": 8, "crop_size": 8, "batch_size": 8, "ways": 2, "shots": 1, "queries": 1, "monitors": ["rankme"],
    }  # fmt: skip
    result = bdw.fit(**settings, run_dir=tmp_path / "python")
    assert (
        "skipped 1 file(s) that are not used: 1 .png (not an image in a known format), such as broken.png"
        in caplog.text
    )
    assert capsys.readouterr().out == ""
    assert [report.epoch for report in result.history] == [1, 2]
    assert set(result.history[0].monitors) == {"rankme"}
    assert cli.main(["fit", *changed_options(settings, {}), "--run-dir", str(tmp_path / "command")]) == 0
    python, command = ({path.name for path in (tmp_path / name).iterdir()} for name in ("python", "command"))
    assert python == command
    assert "report.html" in python
    losses = [[report.loss for report in FitResult.read(tmp_path / name).history] for name in ("python", "command")]
    assert losses[0] == losses[1]
