"""Pretext tasks: what an unlabelled image teaches. One file and one line in `_tasks` each, or an entry point."""

from __future__ import annotations

from typing import Any

from bdw import plugins
from bdw.config.pretext import PLUG_INS, NoOptions
from bdw.encoders import Encoder
from bdw.errors import unknown_option
from bdw.pretext.base import BatchLoss, Crop, Encodes, Images, Outputs, PretextModel, PretextTask, Views

__all__ = [
    "BatchLoss",
    "Crop",
    "Encodes",
    "Images",
    "NoOptions",
    "Outputs",
    "PretextModel",
    "PretextTask",
    "Views",
    "available",
    "build",
    "task_class",
]


def _tasks() -> dict[str, type[PretextTask]]:
    from bdw.pretext.barlow_twins import BarlowTwins
    from bdw.pretext.byol import BYOL
    from bdw.pretext.colourisation import Colourisation
    from bdw.pretext.context_encoder import ContextEncoder
    from bdw.pretext.counting import Counting
    from bdw.pretext.cpc import CPC
    from bdw.pretext.deep_cluster import DeepCluster
    from bdw.pretext.denoising import DenoisingAutoEncoder
    from bdw.pretext.dino import DINO
    from bdw.pretext.exemplar import Exemplar
    from bdw.pretext.instance_discrimination import InstanceDiscrimination
    from bdw.pretext.jigsaw import Jigsaw
    from bdw.pretext.mae import MaskedAutoEncoder
    from bdw.pretext.moco import MoCoV1, MoCoV2
    from bdw.pretext.multitask import Multitask
    from bdw.pretext.relative_location import RelativeLocation
    from bdw.pretext.rotation import Rotation
    from bdw.pretext.simclr import SimCLR
    from bdw.pretext.simsiam import SimSiam
    from bdw.pretext.split_brain import SplitBrain
    from bdw.pretext.swav import SwAV
    from bdw.pretext.vae import VariationalAutoEncoder
    from bdw.pretext.vicreg import VICReg

    return {
        "barlow_twins": BarlowTwins,
        "byol": BYOL,
        "colourisation": Colourisation,
        "context_encoder": ContextEncoder,
        "counting": Counting,
        "cpc": CPC,
        "deep_cluster": DeepCluster,
        "denoising": DenoisingAutoEncoder,
        "dino": DINO,
        "exemplar": Exemplar,
        "instance_discrimination": InstanceDiscrimination,
        "jigsaw": Jigsaw,
        "mae": MaskedAutoEncoder,
        "moco_v1": MoCoV1,
        "moco_v2": MoCoV2,
        "multitask": Multitask,
        "relative_location": RelativeLocation,
        "rotation": Rotation,
        "simclr": SimCLR,
        "simsiam": SimSiam,
        "split_brain": SplitBrain,
        "swav": SwAV,
        "vae": VariationalAutoEncoder,
        "vicreg": VICReg,
    }


def available() -> tuple[str, ...]:
    """Names that the config field `pretext` accepts, those of plug-ins included."""
    return tuple(sorted({*_tasks(), *plugins.names(PLUG_INS)}))


def task_class(name: str, options: Any = None) -> type[PretextTask]:
    """The class of that name: its `Options`, and what holds for its views and its loss with these options.

    `options`: as `build` takes them.
    """
    tasks = _tasks()
    found = tasks[name] if name in tasks else _plug_in(name)
    return found.for_options(options, task_class)


def _plug_in(name: str) -> type[PretextTask]:
    if name not in plugins.names(PLUG_INS):
        raise unknown_option("pretext", name, available())
    found = plugins.load(PLUG_INS, name, "pretext")
    if not (isinstance(found, type) and issubclass(found, PretextTask)):
        raise plugins.refused(PLUG_INS, name, "pretext", "a subclass of bdw.pretext.PretextTask")
    return found


def build(name: str, encoder: Encoder, options: Any = None) -> PretextTask:
    """The task of that name with a fresh head for this encoder, drawn from torch's global generator.

    `options`: an instance of the class's `Options`; by default its defaults.
    """
    return task_class(name, options)(encoder, options)
