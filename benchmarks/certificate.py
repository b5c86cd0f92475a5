"""What is the set worth that the recommended recipe keeps of the rendered pool?

`python -m benchmarks.certificate --save NAME` trains the recipe (`fit --preset glyphs`) and certifies what it kept
(`bdw certify`): five arms with every seed, one after another on one thread.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from bdw.commands.certify import Pace, certify
from bdw.config import presets
from bdw.parallel.stop_requests import no_notice
from bdw.report.certificate_section import in_words
from bdw.runs.directory import RunDirectory
from bdw.scoring.certificate import Arm
from bdw.scoring.certificate_arms import Subject
from bdw.training.trainer import Trainer
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    script: str = "greek"
    """Target."""
    images: int = 3000
    """Of the pool."""
    epochs: int = 4
    """The budget as passes over the pool."""
    seeds: int = 3
    """Of every arm."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> dict[str, Any]:
    """Print a line a run and the advice; returns what is saved."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder).resolve() / "run"
        config = presets.glyphs().replace(
            target=f"glyphs-{arguments.script}", max_source=arguments.images, epochs=arguments.epochs, device="cpu",
            run_dir=str(run_dir), cache_dir=f"{folder}/packed", report=False,
        )  # fmt: skip
        for _ in Trainer(config).epochs():
            pass
        subject = Subject.of(RunDirectory(run_dir))
        seeds = subject.seeds(arguments.seeds)
        pace = Pace(len(Arm) * len(seeds), lambda *_: None)
        found = certify(subject, seeds, no_notice, pace, lambda arm, seed, score, seconds: print(arm, seed, score))
    print("\n".join(in_words(found)))
    result = {**provenance(seeds[0]), "arguments": vars(arguments), "certificate": found.values()}
    if arguments.save is not None:
        write_result(arguments.save, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
