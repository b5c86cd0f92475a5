"""Starting points for photographs with contrastive tasks: a large net, a small one, a transformer, given weights.

None of them has been timed or measured at its own size: that takes a GPU. Tests train each of them small.
"""

from __future__ import annotations

from typing import Any

from bdw.config.meta import SIZES
from bdw.config.preset_registry import preset
from bdw.config.presets import RECOMMENDED
from bdw.config.run import RunConfig

_GIVEN = "timm:resnet50.a1_in1k"


def _photographs(**fields: Any) -> RunConfig:
    """The recommended weighting on crops of what is stored, with a warm-up, and with these fields."""
    return RunConfig().replace(**{**RECOMMENDED, "warm_up": 0.1, "crop_padding": 0, "may_shrink": SIZES, **fields})


@preset
def photos() -> RunConfig:
    """Photographs at 224x224 pixels: a ResNet-50 by SimCLR, with the recommended weighting.

    `python -m bdw fit --preset photos --source DIR --target DIR --num-workers 8 --gpus-per-worker 1`; GPUs of 40 GB,
    100 passes. How long it takes has not been measured. 256 images a step over all workers; `--encoder.norm sync` where
    a worker's part is below 32, `--hardware.precision bfloat16` for half of the memory.
    """
    return _photographs(
        image_size=256,
        crop_size=224,
        encoder="resnet50",
        pretext="simclr",
        batch_size=256,
        target_batch=64,
        learning_rate=0.3,
        weight_decay=1e-4,
        epochs=100,
    )


@preset
def photos_small() -> RunConfig:
    """Photographs at 64x64 pixels: a ResNet-18 by SimCLR, with the recommended weighting.

    `python -m bdw fit --preset photos_small --source DIR --target DIR`; one GPU of 12 GB, 50 passes. How long it takes
    has not been measured.
    """
    return _photographs(
        image_size=72,
        crop_size=64,
        encoder="resnet18",
        pretext="simclr",
        batch_size=128,
        target_batch=64,
        learning_rate=0.1,
        weight_decay=1e-4,
        epochs=50,
        **{"pretext.blur": 0.0},
    )


@preset
def vit() -> RunConfig:
    """Photographs at 224x224 pixels: a small vision transformer by DINO, with the recommended weighting.

    `python -m bdw fit --preset vit --source DIR --target DIR --num-workers 8 --gpus-per-worker 1`; GPUs of 40 GB,
    100 passes. How long it takes has not been measured. Needs the extra `timm`. 8,192 prototypes suit a hundred
    thousand images; the paper has 65,536 for a million.
    """
    return _photographs(
        image_size=256,
        crop_size=224,
        encoder="timm:vit_small_patch16_224",
        pretext="dino",
        optimiser="adamw",
        batch_size=256,
        target_batch=64,
        learning_rate=5e-4,
        weight_decay=0.04,
        clip_norm=3.0,
        epochs=100,
        **{"pretext.prototypes": 8192},
    )


@preset
def continue_() -> RunConfig:
    """Continued pre-training from timm's ResNet-50 of ImageNet: SimCLR for ten passes at a small rate.

    `python -m bdw fit --preset continue --source DIR --target DIR`; a GPU of 40 GB. How long it takes has not been
    measured. The weights are downloaded once. `--encoder resnet18 --encoder.weights FILE` continues from your own.
    """
    return photos().replace(encoder=_GIVEN, weights=_GIVEN, batch_size=128, learning_rate=0.01, epochs=10)
