"""The page of one run: how well it did, how it got there, what it thinks of the images, how to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bdw import break_even
from bdw.report import curves
from bdw.report.command_line import fit_command
from bdw.report.figure import GREEN
from bdw.report.pace_table import pace_table
from bdw.report.page import Block, Code, Headline, Page, Section, Table, Text, picture, write_page
from bdw.report.planted import separation, words
from bdw.report.run_files import RunFiles, read_run
from bdw.report.signal_section import signal_sections
from bdw.report.table_files import column
from bdw.report.weights_sections import weights_sections
from bdw.report.wording import UNKNOWN, count, number, percent, plural, ratio, seconds

MAX_SKIPPED_SHOWN = 100


def write_run_report(run_dir: Path) -> Path:
    """Writes `<run_dir>/report.html` from the run's files and returns its path.

    Needs config.json and metrics.csv with at least one epoch; whatever else is absent costs its section only.
    Raises `InputError` with one line if a needed file is missing or any file is damaged.
    """
    run_dir = Path(run_dir)
    run = read_run(run_dir)
    sections = [Section("Training, epoch by epoch", _curves(run))]
    sections += weights_sections(run)
    sections += signal_sections(run)
    if run.results is not None:
        sections.append(Section("Results", [_results_table(run.results)]))
    if run.skipped:
        sections.append(Section("Skipped files", _skipped_blocks(run.skipped)))
    sections.append(Section("How to repeat this run", _repeat_blocks(run)))
    sections.append(Section("All settings", [settings_table(run.config)], folded=True))
    title = f"Run {run_dir.resolve().name}"
    return write_page(Page(title, _summary(run), _headlines(run), sections), run_dir / "report.html")


def settings_table(config: Mapping[str, Any]) -> Table:
    """A flat config as a table, in its own order."""
    rows = tuple((name, UNKNOWN if value is None else _setting(value)) for name, value in config.items())
    return Table(("setting", "value"), rows)


def repeat_blocks(command: str, description: Mapping[str, Any]) -> list[Block]:
    """A command and what it was run with: git revision, when, and versions, as config.json has them."""
    facts = [("git revision", str(description.get("git_revision") or UNKNOWN))]
    facts += [("created", str(description["created"]))] if description.get("created") else []
    facts += [(str(name), _setting(version)) for name, version in (description.get("versions") or {}).items()]
    return [
        Code(command),
        Text("Settings that the command does not name have their defaults. It was run with:"),
        Table(("what", "version"), tuple(facts)),
    ]


def best_epoch(run: RunFiles) -> int | None:
    """The epoch with the best validation score, the first of equals; None if it was never measured."""
    scores = column(run.metrics, "validation_score")
    if scores.isna().all():
        return None
    return int(run.metrics["epoch"].iloc[int(scores.argmax() if run.measure.higher_is_better else scores.argmin())])


def _summary(run: RunFiles) -> str:
    config, source = run.config, run.description.get("source") or {}
    images = f" ({plural(source['count'], 'image')})" if isinstance(source.get("count"), int) else ""
    return (
        f"Weighter “{config.get('weighter', UNKNOWN)}”, encoder {config.get('encoder', UNKNOWN)}, pre-trained on "
        f"{config.get('source', UNKNOWN)}{images} for the target {config.get('target', UNKNOWN)}: "
        f"{plural(len(run.metrics), 'epoch')}, seed {config.get('seed', UNKNOWN)}."
    )


def _headlines(run: RunFiles) -> list[Headline]:
    metrics = run.metrics
    found: list[Headline] = []
    measure, test = run.measure, _test_score(run)
    if test is not None:
        context = "of the best encoder on the target's test images"
        found.append(Headline(f"Test {measure.label}", measure.shown(test), context))
    best = best_epoch(run)
    if best is not None:
        score = float(column(metrics, "validation_score")[metrics["epoch"] == best].iloc[0])
        context = f"best, at epoch {best} of {len(metrics)}"
        found.append(Headline(f"Validation {measure.label}", measure.shown(score), context))
    if run.weights is not None:
        kept, total = int(run.weights["kept"].sum()), len(run.weights)
        found.append(Headline("Images kept", percent(kept / total), f"{kept:,} of {plural(total, 'image')} at the end"))
    found.append(Headline("Time", seconds(float(column(metrics, "wall_seconds").iloc[-1])), "training and evaluation"))
    spent, saved = _balance(run)
    verdict = break_even.verdict(spent[-1], saved[-1]) if spent else ""
    if verdict:
        found.append(Headline("Time gained", seconds(saved[-1] - spent[-1]), verdict))
    seen = float(column(metrics, "instances_seen").iloc[-1])
    found.append(Headline("Instances seen", count(seen), "source images that passed a training step"))
    if run.weights is not None and "planted" in run.weights.columns:
        measured = separation(run.weights["mean"], run.weights["planted"])
        if measured is not None:
            called = words(run.weights, str(run.config.get("target", "")))
            context = f"{measured.num_useful:,} {called.useful} against {measured.num_junk:,} {called.others}"
            found.append(Headline("AUROC of usefulness", ratio(measured.auroc), context))
    return found


def _test_score(run: RunFiles) -> float | None:
    if run.results is None:
        return None
    rows = run.results[run.results["metric"] == run.measure.name]
    return None if rows.empty else float(rows["value"].iloc[0])


def _curves(run: RunFiles) -> list[Block]:
    metrics, measure = run.metrics, run.measure
    epochs = column(metrics, "epoch").tolist()
    scores, meta_loss = column(metrics, "validation_score"), column(metrics, "meta_loss")
    kept = column(metrics, "kept_fraction")
    drawn: list[Block] = [
        picture(
            curves.curve(epochs, column(metrics, "loss").tolist(), "loss"),
            "Training loss by epoch",
            "Loss of the pretext task on the source, unweighted: it should fall as the encoder learns.",
        )
    ]
    if meta_loss.notna().any():
        drawn.append(
            picture(
                curves.curve(epochs, meta_loss.tolist(), "meta-loss", colour=GREEN),
                "Meta-loss by epoch",
                "Loss on batches of the target, after each step: what the weights are learnt to lower.",
            )
        )
    if scores.notna().any():
        drawn.append(
            picture(
                curves.validation_curve(epochs, scores.tolist(), measure, best_epoch(run)),
                f"Validation {measure.label} by epoch",
                f"{measure.explanation}, on target images held out for choosing.",
            )
        )
    if (kept < 1).any():
        drawn.append(
            picture(
                curves.kept_curve(epochs, kept.tolist()),
                "Share of the source kept by epoch",
                "Share of the source that is still trained on after each epoch.",
            )
        )
    spent, saved = _balance(run)
    if any(saved):
        drawn.append(
            picture(
                curves.balance_curve(epochs, spent, saved),
                "Seconds spent on weighting and saved by pruning, by epoch",
                "Seconds of training steps since the start: what learning the weights took, and what plain training on "
                "the pruned images would have taken. Weighting has paid where the second line is above the first.",
            )
        )
    table = pace_table(metrics)
    if table is not None:
        drawn += [Text("How often weights were learnt changed from epoch to epoch:"), table]
    return drawn


def _balance(run: RunFiles) -> tuple[list[float], list[float]]:
    """Seconds spent on weighting and saved by pruning after every epoch; empty in runs from before they were known."""
    names = ("weighting_seconds", "saved_seconds")
    if not set(names) <= set(run.metrics.columns):
        return [], []
    spent, saved = (column(run.metrics, name).tolist() for name in names)
    return spent, saved


def _results_table(results: pd.DataFrame) -> Table:
    names = ("method", "domain", "seed", "metric", "value")
    rows = tuple(
        (str(row["method"]), str(row["domain"]), str(row["seed"]), str(row["metric"]), number(float(row["value"])))
        for row in results.to_dict("records")
    )
    return Table(names, rows, numeric=frozenset(("value",)))


def _skipped_blocks(skipped: tuple[tuple[str, str], ...]) -> list[Block]:
    shown = skipped[:MAX_SKIPPED_SHOWN]
    text = f"{plural(len(skipped), 'file')} could not be used and took no part in the run."
    if len(shown) < len(skipped):
        text += f" The first {len(shown)} are listed; the header of the packed source holds all."
    return [Text(text), Table(("file", "reason"), shown)]


def _repeat_blocks(run: RunFiles) -> list[Block]:
    blocks = repeat_blocks(fit_command(run.config), run.description)
    if run.description.get("repeatable", True):
        return blocks
    note = "This run had a time budget, so that what it did depends on how fast its machine was: it cannot be repeated "
    return [*blocks, Text(f"{note}bit for bit.")]


def _setting(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)
