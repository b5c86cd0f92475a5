"""What to do after a run: commands ready to copy, chosen by what happened."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Any

from bdw.config import RunConfig
from bdw.config.identity import depends_on_length
from bdw.report.cautions import FEW_VALIDATION_IMAGES
from bdw.report.command_line import fit_command
from bdw.report.outcome import Outcome
from bdw.report.page import Step
from bdw.report.unpruned import unpruned
from bdw.report.wording import number, plural
from bdw.runs import checkpoint
from bdw.runs.directory import RunDirectory
from bdw.runs.trajectory import FOLDER, Trajectory

MOST = 6
"""Steps that are shown: the first ones."""
LARGEST_FRACTION = 0.5
"""Largest share of a target's labelled images that validation is advised to take."""
WITHOUT_WEIGHTS = {
    "weighter": "uniform",
    "weights_file": None,
    "draw_every": None,
    "record_trajectory": False,
    "diagnose_signal": False,
}
"""Settings of plain training; the options that plain training refuses are off."""
LENGTH_MATTERS = ("schedule", "warm_up", "lr_milestones", "learn_share")
"""Settings that say whether a run may be made longer; older runs do not have all of them."""


def next_steps(outcome: Outcome) -> list[Step]:
    """What follows from this run first, then what follows from every run."""
    steps = [
        *_prune_more(outcome),
        *_train_longer(outcome),
        *_replay(outcome),
        *_compare(outcome),
        *_certify(outcome),
        *_another_seed(outcome),
        *_validate_on_more(outcome),
        *_another_target(outcome),
    ]
    return steps[:MOST]


def _prune_more(outcome: Outcome) -> Iterator[Step]:
    found = unpruned(outcome)
    if found is not None and found.cdf_threshold is not None:
        yield Step(
            "Let the rule prune",
            f"The same run with the lambda that the weights of the last epoch ask for, {number(found.cdf_threshold)}.",
            _again(outcome, f"lambda-{found.cdf_threshold:g}", cdf_threshold=found.cdf_threshold),
        )


def _train_longer(outcome: Outcome) -> Iterator[Step]:
    config, epochs = outcome.run.config, outcome.num_epochs
    if checkpoint.last(outcome.run.directory / "checkpoints") is None or config.get("time_budget") is not None:
        return
    if outcome.delivered_before_pruning:
        why = (
            f"Images have been missing since epoch {outcome.first_pruned} only; more epochs let training gain from it."
        )
    elif outcome.best == epochs:
        why = "The last epoch was the best one, so more epochs may be better."
        if config.get("schedule") == "cosine":
            why = (
                "The last epoch was the best one, as is usual with a cosine: only a longer run tells if more is better."
            )
    elif unpruned(outcome) is not None and outcome.learns:
        why = "More visits to every image make the weights surer, until some are pruned."
    else:
        return
    doubled = _doubled(outcome)
    if depends_on_length(RunConfig().replace(**{name: config[name] for name in LENGTH_MATTERS if name in config})):
        why += " Another budget makes another learning rate or other weights from the start on, so it is a new run."
        yield Step("Train for longer", why, _again(outcome, "longer", **doubled))
        return
    options = {**config, **doubled, "run_dir": str(outcome.run.directory)}
    yield Step("Train for longer", f"{why} The run goes on where it stopped.", f"{fit_command(options)} --resume")


def _doubled(outcome: Outcome) -> dict[str, int]:
    """The option that makes the run twice as long."""
    config = outcome.run.config
    if config.get("budget_images") is not None:
        return {"budget_images": 2 * int(config["budget_images"])}
    return {"epochs": 2 * (outcome.num_epochs if outcome.budget is None else int(config["epochs"]))}


def _replay(outcome: Outcome) -> Iterator[Step]:
    config, folder = outcome.run.config, outcome.run.directory
    if len(Trajectory(folder / FOLDER).epochs()) == outcome.num_epochs:
        yield Step(
            "See what other thresholds would have pruned",
            "The weights of every epoch were recorded, so every lambda and rho can be previewed in seconds.",
            shlex.join(["python", "-m", "bdw", "replay", "--run", str(folder)]),
        )
    elif unpruned(outcome) is not None and config.get("weighter") == "beta" and not outcome.run.targets:
        command = _again(outcome, "recorded", record_trajectory=True, prune=False)
        replayed = shlex.join(["python", "-m", "bdw", "replay", "--run", f"{folder}-recorded"])
        yield Step(
            "Find thresholds that prune",
            "One run that records its weights tells what every lambda and rho would have pruned.",
            f"{command}\n{replayed}",
        )


def _compare(outcome: Outcome) -> Iterator[Step]:
    if outcome.run.config.get("weighter", "uniform") != "uniform":
        known = {name: value for name, value in WITHOUT_WEIGHTS.items() if name in outcome.run.config}
        yield Step(
            "Compare with plain training",
            "Only the same run without weights can tell whether they were worth their price.",
            _again(outcome, "plain", **known),
        )


def _certify(outcome: Outcome) -> Iterator[Step]:
    run = RunDirectory(outcome.run.directory)
    certifiable = outcome.learns and not outcome.run.targets
    if outcome.pruned and certifiable and run.encoder.is_file() and not run.certificate.is_file():
        yield Step(
            "Certify the kept set",
            "Encoders that are trained alike on this choice, on random images and on everything tell what it is worth.",
            shlex.join(["python", "-m", "bdw", "certify", "--run", str(run.path)]),
        )


def _another_seed(outcome: Outcome) -> Iterator[Step]:
    seed = int(outcome.run.config.get("seed") or 0) + 1
    yield Step(
        "See the noise",
        "The same run with another seed: differences as large as between these two mean nothing.",
        _again(outcome, f"seed-{seed}", seed=seed),
    )


def _validate_on_more(outcome: Outcome) -> Iterator[Step]:
    validation = outcome.validation
    if validation is None or validation.interval is None or validation.num_images is None:
        return
    now = outcome.run.config.get("validation_fraction")
    if validation.num_images >= FEW_VALIDATION_IMAGES or not isinstance(now, float) or not _is_held_out(outcome, now):
        return
    # In twentieths, rounded up; a hair less, so that 0.45 does not become 0.5 by rounding.
    wanted = math.ceil(20 * now * FEW_VALIDATION_IMAGES / validation.num_images - 1e-9) / 20
    fraction = min(LARGEST_FRACTION, wanted)
    if fraction > now:
        images = round(validation.num_images * fraction / now)
        yield Step(
            "Choose the epoch by more images",
            f"{plural(images, 'validation image')} instead of {validation.num_images}, taken from those that weights "
            "and classifier learn from.",
            _again(outcome, f"validation-{fraction:g}", validation_fraction=fraction),
        )


def _is_held_out(outcome: Outcome, fraction: float) -> bool:
    """Whether the validation images were held out by `validation_fraction`, and did not come with the target."""
    images, config = outcome.run.target_images, outcome.run.config
    if config.get("max_train_per_class") is not None or not {"train", "validation", "test"} <= set(images):
        return False
    held_out, labelled = images["validation"], images["train"] + images["validation"]
    # Every class is rounded by itself. Where the target came without test images, too, the share is of all three.
    tolerance = max(1, len((outcome.run.description.get("source") or {}).get("target_classes") or ()))
    return any(abs(held_out - fraction * total) <= tolerance for total in (labelled, labelled + images["test"]))


def _another_target(outcome: Outcome) -> Iterator[Step]:
    folder = outcome.run.directory
    if (folder / "encoder.safetensors").is_file():
        yield Step(
            "Try the encoder on another target",
            "FOLDER holds labelled images, a sub-folder for every class; a data set's name does as well.",
            shlex.join(["python", "-m", "bdw", "evaluate", "--run", str(folder), "--target", "FOLDER"]),
        )


def _again(outcome: Outcome, name: str, **changes: Any) -> str:
    """The command of the same run with these changes, in a folder of that name beside it."""
    return fit_command({**outcome.run.config, **changes, "run_dir": f"{outcome.run.directory}-{name}"})
