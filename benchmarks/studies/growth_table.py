"""The section "Measured growth" of docs/scaling.md, from what `benchmarks.studies.growth` measured.

`python -m benchmarks.studies.growth_table` prints it, with `--save` it takes the place of the one in the page.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.harness import RESULTS, ratio
from benchmarks.page_blocks import write_block

BEGIN, END = "<!-- growth: python -m benchmarks.studies.growth_table --save -->", "<!-- end of growth -->"


@dataclass(frozen=True)
class Arguments:
    """Command line."""

    save: bool = False
    """Write the section into docs/scaling.md."""


LINES = (
    ("milliseconds of a step", "instances", "step_line", 1e6, "per million"),
    ("seconds between two epochs", "instances", "between_epochs_line", 1e6, "per million"),
    ("peak memory, MB", "instances", "peak_line", 1.0, "per million"),
    ("milliseconds of a step", "images of a meta-batch", "meta_batch_line", 100.0, "per hundred"),
    ("milliseconds of a step", "parameters", "parameters_line", 1e6, "per million"),
)
"""What, against what, under which name in the result, and the unit of the slope. Bytes an instance are megabytes a
million."""


def section(result: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    return "\n\n".join([_conclusions(result), _lines(result), _epochs(result), _workers(result)])


def _conclusions(result: Mapping[str, Any]) -> str:
    steps = result["step_ms"]
    few, many = min(steps, key=int), max(steps, key=int)
    median, low, high = ratio(steps, many, few)
    slope, error = result["step_line"]["slope"], result["step_line"]["slope_error"]
    verdict = "cannot be told from 0" if abs(slope) <= 2 * error else "is more than two of its standard errors from 0"
    (imagenet, pruning), *_ = result["pruning_s"].items()
    return "\n".join(
        [
            f"* **A step against the source**: with {int(many):,} instances it takes {median:.3f} times as long as "
            f"with {int(few):,} ({low:.3f} to {high:.3f} in rounds that took turns). The slope, "
            f"{slope * 1e9:.0f} picoseconds an instance (standard error {error * 1e9:.0f}), {verdict}.",
            f"* **Pruning {int(imagenet):,} instances** (verdicts and keep mask) takes "
            f"{statistics.median(pruning):.2f} s ({min(pruning):.2f} to {max(pruning):.2f}).",
        ]
    )


def _lines(result: Mapping[str, Any]) -> str:
    rows = []
    for what, against, name, scale, unit in LINES:
        found = result[name]
        # Bytes at the start of the memory's line; everything else is in the unit of the first column.
        start = found["intercept"] / (1e6 if name == "peak_line" else 1)
        slope = found["slope"] * scale
        rows.append(f"| {what} | {against} | {slope:.3g} {unit} | {start:.3g} | {found['r_squared']:.4f} |")
    head = "| what | against | slope | at 0 | R^2 |\n| --- | --- | ---: | ---: | ---: |"
    return "**Straight lines** of least squares through all rounds.\n\n" + "\n".join([head, *rows])


def _epochs(result: Mapping[str, Any]) -> str:
    rows = []
    for instances, steps in result["step_ms"].items():
        measured = result["whole_epoch_s"].get(instances)
        rows.append(
            f"| {int(instances):,} | {statistics.median(steps):.2f} ({_span(steps)}) "
            f"| {statistics.median(result['between_epochs_s'][instances]):.3f} "
            f"| {result['predicted_epoch_s'][instances]:.1f} | {'-' if measured is None else f'{measured:.1f}'} "
            f"| {statistics.median(result['peak_bytes'][instances]) / 1e6:.1f} |"
        )
    head = (
        "| instances | ms a step | s between epochs | s of an epoch, both | measured whole | peak MB |\n"
        "| ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    return "\n\n".join(
        [
            f"**Against instances**, in batches of {result['batch']}; between epochs half of the source is pruned.",
            "\n".join([head, *rows]),
        ]
    )


def _workers(result: Mapping[str, Any]) -> str:
    rows = []
    for name, milliseconds in result["workers_ms"].items():
        count, batch = (int(number) for number in name.split(" x "))
        median = statistics.median(milliseconds)
        rows.append(
            f"| {count} | {batch} | {median:.2f} ({_span(milliseconds)}) | {1000 * count * batch / median:,.0f} |"
        )
    head = "| workers | instances of each | ms a step | instances/s |\n| ---: | ---: | ---: | ---: |"
    return "**Against workers** (gloo, one thread each, the same machine).\n\n" + "\n".join([head, *rows])


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def measured() -> dict[str, Any]:
    """The committed result."""
    found: dict[str, Any] = json.loads((RESULTS / "growth-cpu.json").read_text(encoding="utf-8"))
    return found


def main(arguments: Arguments) -> None:
    """Print the section, or write it into the page."""
    made = section(measured())
    if arguments.save:
        write_block(BEGIN, END, made)
    else:
        print(made)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
