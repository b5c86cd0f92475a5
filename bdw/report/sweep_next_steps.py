"""What to do after a sweep, as commands to copy: own images, an own target, more seeds, a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from bdw.config import presets, run_fields
from bdw.report.command_line import changed_options
from bdw.report.page import Block, Code, Section, Text

OWN_IMAGES, OWN_TARGET = "photos/", "labelled/"
PAPER = "pictures"
"""Preset of the paper's method on own images."""
ANYWHERE = "/path/to/labelled"
"""Trials run in folders of their own, so that a sweep's target must be an absolute path."""
MOST_SEEDS = 5
"""More seeds than these are left to the reader."""


def next_steps(description: Mapping[str, Any], recipe: Mapping[str, Any] | None = None) -> Section | None:
    """A section with a command for each step.

    Args:
        description: the sweep's config.json; its `command` is what steps are made from.
        recipe: the flat config of the run whose weighting is to be used on own images; None for the presets' weighting.

    Returns:
        the section; None where the description holds no command of a sweep.
    """
    words = _words(description.get("command"))
    if words is None:
        return None
    blocks: list[Block] = []
    weighting = "" if recipe is None else ", with the settings of weighting that this page is about"
    for text, command in (
        (
            f"Pre-train on your own images{weighting} ({OWN_IMAGES} holds any tree of images, {OWN_TARGET} a folder of "
            "labelled examples for each class):",
            own_images(recipe),
        ),
        ("Compare the methods on a target of your own:", shlex.join(with_option(words, "targets", [ANYWHERE]))),
        (
            "Repeat with more seeds (what is there already does not run again):",
            shlex.join(with_option(words, "seeds", more_seeds(words, description))),
        ),
        ("Run it on a cluster (see cluster/README.md):", on_a_cluster(words)),
    ):
        blocks += [Text(text), Code(command)]
    return Section("What to do next", blocks)


def own_images(recipe: Mapping[str, Any] | None) -> str:
    """The command that trains on own images with a run's settings of weighting: from the recommended recipe where the
    run has its verdicts, otherwise from the paper's method."""
    recipe = recipe or {}
    is_paper = bool(recipe) and recipe.get("target_margin") is None
    defaults = presets.build(PAPER if is_paper else presets.default_for(OWN_IMAGES)).flat()
    known = run_fields()
    # The run's episodes are designed for the sweep's targets, the preset's for pictures.
    own = {
        name: value
        for name, value in recipe.items()
        if name in known
        and (known[name].section in ("weighter", "gradient") or name in presets.weighting(presets.RECOMMENDED))
        and not isinstance(value, Mapping)
        and value is not None
    }
    run = ["python", "-m", "bdw", "fit", *(["--preset", PAPER] if is_paper else [])]
    run += ["--source", OWN_IMAGES, "--target", OWN_TARGET, "--run-dir", "runs/mine"]
    return shlex.join([*run, *changed_options(own, defaults)])


def more_seeds(words: Sequence[str], description: Mapping[str, Any]) -> list[str]:
    """The seeds that a sweep had and two more, or up to `MOST_SEEDS` if it had fewer."""
    options = description.get("options")
    present = options.get("seeds") if isinstance(options, Mapping) else _values(words, "seeds")
    seeds = [int(seed) for seed in present or [0]]
    wanted = max(MOST_SEEDS, len(seeds) + 2)
    fresh = (seed for seed in range(wanted + len(seeds)) if seed not in seeds)
    return list(map(str, [*seeds, *(next(fresh) for _ in range(wanted - len(seeds)))]))


def on_a_cluster(words: Sequence[str]) -> str:
    """The command that submits the same sweep as a job."""
    options = with_option(with_option(words, "storage-path", ["s3://bucket/sweeps"]), "concurrency", ["8"])[2:]
    return shlex.join(["python", "-m", "sweeps.jobs.submit", words[1], "--", *options])


def with_option(words: Sequence[str], name: str, values: Sequence[str]) -> list[str]:
    """The words of a command with an option set to these values, whatever it was before."""
    kept: list[str] = []
    inside = False
    for word in words:
        if word.startswith("--"):
            inside = word == f"--{name}" or word.startswith(f"--{name}=")
        if not inside:
            kept.append(word)
    return [*kept, f"--{name}", *values]


def _values(words: Sequence[str], name: str) -> list[str]:
    if f"--{name}" not in words:
        return []
    rest = words[words.index(f"--{name}") + 1 :]
    return list(rest[: next((i for i, word in enumerate(rest) if word.startswith("--")), len(rest))])


def _words(command: object) -> list[str] | None:
    """A sweep's command in words; None for anything else than a Python file with options."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return None
    return words if len(words) >= 2 and words[1].endswith(".py") else None
