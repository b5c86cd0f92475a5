"""Complete configs of named experiments; the docstrings give the command and what to expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bdw.config import preset_registry
from bdw.config.meta import SIZES
from bdw.config.preset_registry import available, default_for, preset
from bdw.config.run import RunConfig

__all__ = ["LENGTH", "RANKED", "RECOMMENDED", "available", "build", "default_for", "paper_weighting", "weighting"]


def build(name: str) -> RunConfig:
    """The config of that preset. Raises `InputError` for a name that there is not."""
    config: RunConfig = preset_registry.build(name)
    return config


@preset
def digits() -> RunConfig:
    """The embedded digits among planted junk by the paper's method: prototypes, eta 1, rho 0.5, lambda 0.1.

    `python -m bdw fit --preset digits`: 10 epochs of 2,000 images of 16x16 pixels.
    """
    return RunConfig()


RECOMMENDED = {
    "budget_unit": "images",
    "schedule": "cosine",
    "lr_milestones": [],
    "weighter": "counts",
    "weight_lr": 3.0,
    "cdf_threshold": 0.4,
    "density_threshold": 0.8,
    "weighted_loss": False,
    "learn_share": 0.5,
    "kept_share": 0.05,
    "meta_loss": "pretext",
    "target_batch": 16,
    "target_margin": 0.06,
    "target_statistics": "source",
    "direction_parameters": "head",
    "direction_momentum": 0.9,
    "direction_every": 8,
    "relative_derivatives": True,
}
"""The recipe that measures best (docs/evidence.md): a budget of images; once an epoch a verdict on every image, by a
regression of the meta-gradient that knows what the target looks like; weights that do nothing but prune, learnt in the
first half of the budget. Not the paper's. It needs no labels: they only measure the encoder."""
LENGTH = frozenset({"budget_unit", "schedule", "lr_milestones"})
"""Fields of a recipe that say how long a run is and how its learning rate falls; the others say how it weights."""


@preset
def glyphs() -> RunConfig:
    """The embedded pool with the recommended recipe: letters of fourteen scripts among nine times as much rubbish.

    `python -m bdw fit --preset glyphs [--target glyphs-hebrew]`: seconds on one core. Four passes over 8,000 images of
    24x24 pixels; about nine tenths of the letters and hardly any rubbish are kept by the middle of the budget.
    """
    return RunConfig().replace(
        **{
            "source": "glyphs",
            "target": "glyphs-greek",
            "image_size": 24,
            "crop_size": 24,
            "encoder": "small_cnn",
            "epochs": 4,
            "batch_size": 32,
            "learning_rate": 0.2,
            "ways": 10,
            "shots": 2,
            "queries": 3,
            **RECOMMENDED,
        }
    )


@preset
def recommended() -> RunConfig:
    """Photographs of your own with the recommended recipe, on the model of `pictures`.

    `python -m bdw fit --source DIR --target DIR`; a GPU for more than some thousand images. Every method that is to be
    compared gets the same budget of images: `--weighter uniform` is plain training.
    """
    return pictures().replace(**RECOMMENDED, may_shrink=SIZES)


@preset
def pictures() -> RunConfig:
    """The paper's method on photographs of your own: its STL-10 model and schedule, episodes that small targets fill.

    `python -m bdw fit --preset pictures --source DIR --target DIR`; a GPU for more than some thousand images. Images
    are resized to 96x96 and cropped to 84x84; the ResNet-18 that comes out loads into torchvision.
    """
    return RunConfig().replace(
        **{
            "image_size": 96,
            "crop_size": 84,
            "crop_padding": 0,
            "flip": True,
            "encoder": "resnet18",
            "epochs": 35,
            "batch_size": 32,
            "learning_rate": 0.1,
            "lr_milestones": [15, 25],
            "weight_decay": 1e-4,
            "may_shrink": SIZES,
        }
    )


_SHARED_EVIDENCE = {
    "weighter": "counts",
    "weight_lr": 1.0,
    "cdf_threshold": 0.4,
    "density_threshold": 0.8,
    "weighted_loss": False,
    "meta_loss": "pretext",
    "target_batch": 16,
    "direction_parameters": "head",
    "direction_momentum": 0.9,
    "direction_every": 4,
    "relative_derivatives": True,
    "centred_derivatives": True,
    "shared_derivatives": True,
}
"""The older recipe: evidence is shared at every visit, and weights do nothing but prune (benchmarks/LOG.md); not the
paper's. With `natural_direction` in the place of `relative_derivatives` it tells domains apart better, but the kept
images train no better."""


@preset
def digits_shared() -> RunConfig:
    """`digits` with evidence shared between images that look alike.

    `python -m bdw fit --preset digits_shared`. An image is pruned after three visits that all found it less useful than
    its batch's mean. Later a little over two such visits to one of the other kind are enough; so about half of the pool
    goes early and more follows.
    """
    return digits().replace(**_SHARED_EVIDENCE)


@preset
def pictures_shared() -> RunConfig:
    """`pictures` with evidence shared between images that look alike; see `digits_shared`.

    `python -m bdw fit --preset pictures_shared --source DIR --target DIR`; labels only measure the encoder.
    """
    return pictures().replace(**_SHARED_EVIDENCE, may_shrink=SIZES)


RANKED = {
    "weighter": "beta",
    "prune": False,
    "meta_loss": "pretext",
    "natural_direction": True,
    "centred_derivatives": True,
    "direction_momentum": 0.95,
    "direction_parameters": "head",
    "shared_derivatives": True,
    "normalise_weights": True,
}
"""What tells the target's own domain best from others in a mixture of real ones (AUROC 0.90 after 10 epochs, 0.92 after
40); not the paper's. Nothing is pruned: what it ranks highest trained better than images at random where the pool held
much of the target's own domain (4 of 4 targets), but not where it held little (6 of 10) or none (2 of 10)."""


@preset
def digits_ranked() -> RunConfig:
    """`digits`, with mean weights that rank the pool by likeness to the target under the pretext task.

    `python -m bdw fit --preset digits_ranked`: instance_weights.parquet has the ranking, the report shows its ends.
    """
    return digits().replace(**RANKED)


@preset
def pictures_ranked() -> RunConfig:
    """`pictures`, with mean weights that rank the pool; see `digits_ranked`.

    `python -m bdw fit --preset pictures_ranked --source DIR --target DIR`; labels only measure the encoder.
    """
    return pictures().replace(**RANKED)


@preset
def stl10() -> RunConfig:
    """The paper's Table 3, the cell that its Table 2 repeats: eta = 10, rho = 0.5, lambda = 0.25 (ResNet-18, rotation).

    `python -m bdw fit --preset stl10 --data-root DIR [--download]`; one GPU, 35 epochs. The paper reports 71.12 % on
    STL-10, fine-tuned (`--final-measures fine_tuned_accuracy`), with 49.69 % of the source pruned, after 99,192 seconds
    on its GPU; 46.41 % by logistic regression (Table 2). Its cell eta = 1, rho = 0.5, lambda = 0.1 reached 69.40 %.
    Images of 96x96 are cropped to 84x84 and flipped; 32 images with four rotations make a batch.
    """
    return pictures().replace(
        source="stl10",
        target="stl10",
        shots=10,
        queries=10,
        weight_lr=10.0,
        density_threshold=0.5,
        cdf_threshold=0.25,
    )


@preset
def tiny_imagenet() -> RunConfig:
    """Real pictures that a CPU can learn from: Tiny ImageNet as the pool, CIFAR-10 as the target, at 32x32 pixels.

    `python -m bdw fit --preset tiny_imagenet --data-root DIR`, DIR holding the .npz files of both. With
    `--encoder small_resnet` it learns better features at about five times the price.
    """
    return RunConfig().replace(
        **{
            "source": "imagenet-mini",
            "target": "cifar10",
            "image_size": 32,
            "crop_size": 32,
            "crop_padding": 4,
            "flip": True,
            "encoder": "small_cnn",
            "batch_size": 64,
            "epochs": 10,
            "lr_milestones": [5, 8],
        }
    )


@preset
def mnist_autoencoders() -> RunConfig:
    """The paper's Table 1: a variational auto-encoder on MNIST, Fashion-MNIST and KMNIST mixed, for one of them.

    `python -m bdw fit --preset mnist_autoencoders --data-root DIR [--target kmnist]`, DIR holding the sets as .npz
    files; minutes on one core. A fifth of the target's training images is the target's own, a sixth of those for
    validation: 10,000 for training where a set has 60,000.
    """
    return RunConfig().replace(
        **{
            "source": "mixture:mnist+fashion-mnist+kmnist",
            "target": "mnist",
            "target_fraction": 0.2,
            "validation_fraction": 1 / 6,
            "image_size": 28,
            "crop_size": 28,
            "crop_padding": 0,
            "encoder": "mlp",
            "pretext": "vae",
            "meta_loss": "pretext",
            "target_batch": 64,
            "measure": "pretext_loss",
            "batch_size": 64,
            "epochs": 100,
            "learning_rate": 1e-4,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "weight_lr": 10.0,
            "cdf_threshold": 0.5,
            "density_threshold": 0.5,
            "checkpoint_every": 10,
        }
    )


@preset
def visual_decathlon() -> RunConfig:
    """The paper's Table 2: ResNet-34 by rotations of the Visual Decathlon's ImageNet for one of its other domains.

    `python -m bdw fit --preset visual_decathlon --data-root DIR [--target decathlon-dtd]`, DIR holding decathlon-1.0;
    one GPU, and days on it for the 1.2 million images. Images of 72x72 are cropped to 64x64, 64 of them with four
    rotations make a batch; episodes of 200 images are 20-way, other domains want others (sweeps/visual_decathlon.py).
    """
    return pictures().replace(
        source="decathlon-imagenet12",
        target="decathlon-aircraft",
        image_size=72,
        crop_size=64,
        encoder="resnet34",
        batch_size=64,
        ways=20,
        shots=5,
        queries=5,
        layer="layer2",
    )


@preset
def mini_decathlon() -> RunConfig:
    """A decathlon that a CPU can run: Tiny ImageNet at 32x32 pixels, a small ResNet, a small labelled set as target.

    `python -m bdw fit --preset mini_decathlon --data-root DIR --max-source 2000 [--target dtd]`, DIR holding the .npz
    files of both. Episodes have 100 images, half of the paper's.
    """
    return tiny_imagenet().replace(encoder="small_resnet", epochs=6, lr_milestones=[3, 5], evaluate_every=2)


def weighting(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe that say how it weights."""
    return {name: value for name, value in recipe.items() if name not in LENGTH}


def paper_weighting() -> dict[str, Any]:
    """The paper's values of what `RECOMMENDED` weights otherwise: the defaults."""
    defaults = RunConfig().flat()
    return {name: defaults[name] for name in weighting(RECOMMENDED)}
