"""The pictures that every comparison has: trade-offs of score and cost, and ranks with what the statistics say."""

from __future__ import annotations

from pathlib import Path

from bdw.report.page import Block, Text, picture_file
from bdw.report.table_files import read_json_object

PARETO_CAPTION = (
    "Every complete trial by its cost and its accuracy. On the front are the trials that no other one beats in both: "
    "up and to the left is better."
)
CRITICAL_DIFFERENCE_CAPTION = (
    "Average rank of every method over the target domains, 1 being best. Methods joined by a bar are too close to be "
    "told apart with this many domains."
)


def ranks(sweep_dir: Path) -> list[Block]:
    """What the statistics say, and the critical-difference diagram; empty if neither is there."""
    blocks: list[Block] = []
    if (sweep_dir / "comparison.json").is_file():
        verdict = read_json_object(sweep_dir / "comparison.json").get("verdict")
        blocks += [Text(line) for line in str(verdict or "").splitlines()]
    file = sweep_dir / "critical_difference.png"
    if file.is_file():
        blocks.append(picture_file(file, "Critical-difference diagram of the methods", CRITICAL_DIFFERENCE_CAPTION))
    return blocks


def trade_offs(sweep_dir: Path) -> list[Block]:
    """The picture of scores against costs; empty if there is none."""
    file = sweep_dir / "pareto.png"
    if not file.is_file():
        return []
    return [picture_file(file, "Accuracy of the trials against their cost", PARETO_CAPTION)]
