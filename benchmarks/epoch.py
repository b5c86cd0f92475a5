"""What an epoch of weighting costs: BDW without pruning against plain training, an epoch of each in turns.

`python -m benchmarks.epoch --data-root DIR` takes the auto-encoder of the paper's Table 1 on its real images,
`python -m benchmarks.epoch --preset glyphs --settings "Counts learn_share=1.0"` the recommended recipe.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from bdw.config import presets
from bdw.data import load
from bdw.training.trainer import Trainer
from benchmarks.harness import provenance, ratio, write_result
from benchmarks.methods import LEARNING
from sweeps.runner.methods import chosen


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    data_root: str | None = None
    """Folder with what the preset needs."""
    preset: str = "mnist_autoencoders"
    """Settings of both runs."""
    settings: str = "BDW"
    """Settings of the weighted run beside these, as sweeps name a method."""
    max_source: int | None = None
    """Use only that many source images; default: all."""
    rounds: int = 9
    """Epochs of each; the first of each is left out."""
    threads: int = 1
    """torch's threads."""
    save: str | None = None
    """Keep the result in benchmarks/results under this name."""


def main(arguments: Arguments) -> None:
    """Train both in turns, print the seconds of their epochs and the ratio, and keep them if asked to."""
    torch.set_num_threads(arguments.threads)
    (method,) = chosen([arguments.settings], LEARNING)
    base = presets.build(arguments.preset).replace(
        data_root=arguments.data_root,
        max_source=arguments.max_source,
        epochs=arguments.rounds,
        evaluate_every=arguments.rounds,
        prune=False,
    )
    seconds: dict[str, list[float]] = {"plain": [], "BDW": []}
    with tempfile.TemporaryDirectory() as folder:
        base = base.replace(cache_dir=folder, checkpoint_every=arguments.rounds)
        problem = load(base.data, Path(folder))
        running = {
            name: Trainer(base.replace(**fields, run_dir=f"{folder}/{name}"), problem=problem).epochs()
            for name, fields in (("plain", {"weighter": "uniform"}), ("BDW", method.fields))
        }
        for number in range(arguments.rounds):
            for name, epochs in running.items():
                took = next(epochs).seconds
                print(f"epoch {number + 1} of {arguments.rounds}  {name:6} {took:6.2f} s", flush=True)
                if number:
                    seconds[name].append(took)
    median, low, high = ratio(seconds, "BDW", "plain")
    print(f"{method.name} takes {median:.2f} times as long as plain training ({low:.2f} to {high:.2f})")
    if arguments.save is not None:
        contents = {
            **provenance(base.optimiser.seed), "preset": arguments.preset, "method": method.name, "seconds": seconds,
            "ratio": {"median": median, "lowest": low, "highest": high},
        }  # fmt: skip
        write_result(arguments.save, contents, data_root=arguments.data_root)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
