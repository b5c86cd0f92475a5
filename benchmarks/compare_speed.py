"""What a comparison of many methods costs: ranks, tests and the critical-difference diagram as a PDF file.

`python -m benchmarks.compare_speed`; the goal is 2 s for 50 methods over 200 domains.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from analysis import compare, draw_cd, save_figure
from benchmarks.harness import provenance, write_result


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    methods: int = 50
    """How many are compared."""
    domains: int = 200
    """Number of domains."""
    rounds: int = 9
    """Number of repeats; the first, which reads the fonts, is shown apart."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Arguments) -> None:
    """Compare and draw random scores with planted differences, print the seconds, and keep them if asked to."""
    seconds: dict[str, list[float]] = {"compare": [], "draw": [], "save": []}
    for seed in range(arguments.rounds):
        scores = np.random.default_rng(seed).normal(size=(arguments.domains, arguments.methods))
        table = pd.DataFrame(scores + np.linspace(0, 1, arguments.methods)).add_prefix("method ")
        began = time.perf_counter()
        comparison = compare(table, higher_is_better=True)
        compared = time.perf_counter()
        drawn = draw_cd(comparison)
        finished = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            save_figure(drawn.figure, Path(folder) / "cd.pdf")
        saved = time.perf_counter()
        for part, took in zip(seconds, (compared - began, finished - compared, saved - finished), strict=True):
            seconds[part].append(took)
    first = {part: took[0] for part, took in seconds.items()}
    later = {part: statistics.median(took[1:]) for part, took in seconds.items()}
    print(f"{arguments.methods} methods over {arguments.domains} domains, seconds:")
    for name, parts in (("first", first), ("median of later", later)):
        print(f"  {name:15} {sum(parts.values()):.2f}  {', '.join(f'{p} {took:.3f}' for p, took in parts.items())}")
    if arguments.save:
        sizes = {"methods": arguments.methods, "domains": arguments.domains}
        write_result("compare-speed-cpu", {**provenance(0), **sizes, "seconds": seconds})


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
