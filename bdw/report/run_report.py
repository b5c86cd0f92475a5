"""The page of one run: a verdict, warnings and advice, the images, how it went, how to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bdw.report.cautions import cautions
from bdw.report.certificate_section import certificate_sections
from bdw.report.command_line import fit_command
from bdw.report.next_steps import next_steps
from bdw.report.outcome import Outcome, Score
from bdw.report.page import Block, Code, Headline, Page, Section, Table, Text, write_page
from bdw.report.planted import words
from bdw.report.run_files import RunFiles, read_run
from bdw.report.scores_section import scores_sections
from bdw.report.signal_section import signal_sections
from bdw.report.table_files import column
from bdw.report.targets_section import alike, targets_sections
from bdw.report.training_section import training_sections
from bdw.report.usefulness_by_target import usefulness_by_target
from bdw.report.verdict import SPENT_ON_KEPT, verdict
from bdw.report.weights_sections import figure_sections, image_sections
from bdw.report.wording import UNKNOWN, count, number, percent, plural, ratio, seconds
from bdw.runs import break_even

MAX_SKIPPED_SHOWN = 100
SELECTION = "selection_"
"""What names of a selector's cost in results.parquet begin with."""
COST_OF_SELECTION = "What choosing images before training cost; shared is what later choices from this pool use again"


def write_run_report(run_dir: Path) -> Path:
    """Writes `<run_dir>/report.html` from the run's files and returns its path.

    Needs config.json and metrics.csv with at least one epoch; whatever else is absent costs its section only.
    Raises `InputError` with one line if a needed file is missing or any file is damaged.
    """
    run_dir = Path(run_dir)
    run = read_run(run_dir)
    outcome = Outcome.of(run)
    by_target = usefulness_by_target(run)
    warnings = [*cautions(outcome), *alike(by_target)]
    sections = [Section("Read with care", warnings)] if warnings else []
    sections.append(Section("What to do next", next_steps(outcome)))
    # Whoever opens the page wants to see images first, then what the weights look like.
    sections += image_sections(run) + figure_sections(run)
    sections += targets_sections(run, by_target)
    sections += certificate_sections(run)
    sections += training_sections(outcome)
    sections += signal_sections(run)
    sections += scores_sections(run)
    sections += _results_sections(outcome)
    if run.skipped:
        sections.append(Section("Skipped files", _skipped_blocks(run.skipped)))
    sections.append(Section("How to repeat this run", _repeat_blocks(run)))
    sections.append(Section("All settings", [settings_table(run.config)], folded=True))
    title = f"Run {run_dir.resolve().name}"
    page = Page(title, _summary(outcome), _headlines(outcome), sections, verdict(outcome))
    return write_page(page, run_dir / "report.html")


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
        Text("Settings that the command does not name have their defaults, or those of its preset. It was run with:"),
        Table(("what", "version"), tuple(facts)),
    ]


def _summary(outcome: Outcome) -> str:
    run = outcome.run
    config, source = run.config, run.description.get("source") or {}
    budget = "" if outcome.budget is None else f" over a budget of {plural(outcome.budget, 'image')}"
    images = f" ({plural(source['count'], 'image')})" if isinstance(source.get("count"), int) else ""
    chosen = f"Selector “{config['selector']}”, weighter" if config.get("selector") else "Weighter"
    return (
        f"{chosen} “{config.get('weighter', UNKNOWN)}”, encoder {config.get('encoder', UNKNOWN)}, pre-trained on "
        f"{config.get('source', UNKNOWN)}{images} for {_targets(outcome.run)}: "
        f"{plural(len(run.metrics), 'epoch')}{budget}, seed {config.get('seed', UNKNOWN)}."
    )


def _targets(run: RunFiles) -> str:
    if run.targets:
        return f"the targets {', '.join(run.targets)}"
    return f"the target {run.config.get('target', UNKNOWN)}"


def _headlines(outcome: Outcome) -> list[Headline]:
    run, found = outcome.run, []
    measure, test, best = run.measure, outcome.test, outcome.validation
    if test is not None:
        where = "mean over the targets, each by its own best encoder" if run.targets else "on the target's test images"
        found.append(Headline(f"Test {measure.label}", test.text, _interval(test) or where))
    if best is not None:
        context = f"best, at epoch {outcome.best} of {outcome.num_epochs}"
        context = "; ".join(filter(None, (context, _interval(best))))
        found.append(Headline(f"Validation {measure.label}", best.text, context))
    if run.weights is not None and outcome.kept is not None:
        total = len(run.weights)
        context = f"{outcome.kept:,} of {plural(total, 'image')} at the end"
        found.append(Headline("Images kept", percent(outcome.kept / total), context))
    if run.weights is not None and outcome.separation is not None:
        called, measured = words(run.weights, str(run.config.get("target", ""))), outcome.separation
        context = f"{measured.num_useful:,} {called.useful} against {measured.num_junk:,} {called.others}"
        found.append(Headline("AUROC of usefulness", ratio(measured.auroc), context))
    found.append(Headline("Instances seen", count(outcome.seen), "source images that passed a training step"))
    taken = float(column(run.metrics, "wall_seconds").iloc[-1])
    found.append(Headline("Time", seconds(taken), "training and evaluation"))
    return [*found, *_time_gained(outcome)]


def _interval(score: Score) -> str:
    return "" if score.interval is None else f"95 % interval {score.interval}"


def _time_gained(outcome: Outcome) -> Iterator[Headline]:
    if outcome.budget is not None:
        if outcome.spent:
            bought = "nothing was pruned" if outcome.first_pruned is None else SPENT_ON_KEPT
            yield Headline("Time on weights", seconds(outcome.spent), f"of the training steps; {bought}")
        return
    if outcome.spent is None or outcome.saved is None or not (outcome.spent or outcome.saved):
        return
    if not outcome.saved:
        yield Headline("Time on weights", seconds(outcome.spent), "of the training steps; nothing was saved by pruning")
        return
    gained = outcome.saved - outcome.spent
    context = break_even.in_words(outcome.spent, outcome.saved)
    yield Headline("Time gained" if gained >= 0 else "Time to break-even", seconds(abs(gained)), context)


def _results_sections(outcome: Outcome) -> list[Section]:
    """Measures of the best encoder that the headlines do not show; none where there are no others."""
    run = outcome.run
    if run.results is None:
        return []
    shown = {run.measure.name, f"validation_{run.measure.name}", "planted_auroc"}
    others = run.results[~run.results["metric"].isin(shown)]
    is_cost = others["metric"].str.startswith(SELECTION)
    blocks: list[Block] = []
    for of_them, caption in ((~is_cost, "On the target's test images"), (is_cost, COST_OF_SELECTION)):
        # Over several targets their mean.
        values = others[of_them].groupby("metric", sort=False)["value"].mean()
        rows = [(str(metric), number(float(value))) for metric, value in values.items()]
        if rows:
            blocks.append(Table(("measure", "value"), tuple(rows), caption, numeric=frozenset(("value",))))
    return [Section("Further results", blocks)] if blocks else []


def _skipped_blocks(skipped: tuple[tuple[str, str, int], ...]) -> list[Block]:
    shown = [(name, reason, f"{count:,}") for name, reason, count in skipped[:MAX_SKIPPED_SHOWN]]
    total = sum(count for *_, count in skipped)
    text = f"{plural(total, 'file')} could not be used and took no part in the run."
    if len(shown) < len(skipped):
        text += f" The first {len(shown)} are listed; the header of the packed source holds all."
    return [Text(text), Table(("file", "reason", "files"), tuple(shown), numeric=frozenset(("files",)))]


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
