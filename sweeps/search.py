#!/usr/bin/env python
"""Search any settings of a run, on your own images, for any objective.

    python sweeps/search.py --source photos --target labelled --space space.toml
    python sweeps/search.py --source photos --target labelled --objective linear_accuracy:max seconds:min \
        --sampler nsga2 --samples 100 --space weight_lr=0.1..100:log batch_size=32,64 epochs=5
    python sweeps/search.py --smoke                                 on the embedded pool, only see that it works

--space takes a TOML file, words, or both: ranges, choices and fixed values of any field by its name or dotted path.
With several --targets or --seeds a trial trains once for each, and counts by its mean gain or mean rank. The search
leaves a table of all trials, the best ones with the commands that repeat them, and a report. The same command with the
same name continues a search that was stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# `ray job submit` runs this file with its own folder first on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sweeps.runner import command_line
from sweeps.tuning.options import EXPERIMENT, Options

__all__ = ["Options", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the search to its end; raises `InputError` for what cannot work."""
    options = command_line.parse(Options, arguments, prog=EXPERIMENT)
    options.check()
    # Takes seconds to import, so that what cannot work has been told.
    from rich.console import Console

    from sweeps.tuning.run import search

    search(options, Console())


if __name__ == "__main__":
    sys.exit(command_line.run(main, prog=EXPERIMENT))
