"""The presets for photographs train, small."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torchvision.models import resnet18

from bdw.config import RunConfig, presets
from tests.commands.conftest import fit

PHOTOGRAPHS = ("photos", "photos_small", "vit", "continue")
SMALL = {
    "photos": ["--encoder", "small_resnet"],
    "photos_small": ["--encoder", "small_resnet"],
    "vit": ["--encoder", "small_vit", "--pretext.prototypes", "32", "--pretext.hidden-dim", "16"],
    "continue": ["--encoder", "resnet18"],
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_it_trains_small(name: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    pool, mine = folders
    given = []
    if name == "continue":
        save_file(resnet18().state_dict(), tmp_path / "weights.safetensors")
        given = ["--encoder.weights", str(tmp_path / "weights.safetensors")]
    sizes = ["--image-size", "18", "--crop-size", "16", "--batch-size", "8", "--epochs", "2"]
    flags = ["--source", str(pool), "--target", str(mine), "--no-report", *sizes, *SMALL[name], *given]
    assert fit(tmp_path / "run", "--preset", name, *flags) == 0
    assert (tmp_path / "run" / "encoder.safetensors").is_file()
    assert (tmp_path / "run" / "instance_weights.parquet").is_file()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_it_weights_as_the_recommended_recipe_does(name: str) -> None:
    found: RunConfig = presets.build(name)
    weighting = RunConfig().replace(**presets.RECOMMENDED).flat()
    fields = set(presets.RECOMMENDED) - {"target_batch"}
    assert {field: found.flat()[field] for field in fields} == {field: weighting[field] for field in fields}
