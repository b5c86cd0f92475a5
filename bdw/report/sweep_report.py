"""The page of a sweep: which method and which settings did best, at what cost, and what the best run looks like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bdw.errors import InputError
from bdw.report.page import Block, Headline, Page, Section, Table, Text, picture_file, write_page
from bdw.report.run_files import RunFiles, read_run
from bdw.report.run_report import repeat_blocks, settings_table
from bdw.report.sweep_cost import SweepCost
from bdw.report.table_files import column, read_json_object, read_table
from bdw.report.trials_table import (
    NO_METHOD,
    REQUIRED,
    best_trial,
    has_several_domains,
    measure_of,
    methods_of,
    methods_table,
    state_counts,
    trials_table,
)
from bdw.report.weights_sections import weights_sections
from bdw.report.wording import count, number, percent, plural, seconds

FIGURES = "figures.json"
"""An experiment's list of its own figures, next to them."""
REPEATED = frozenset({"command", "git_revision", "versions"})
"""Parts of config.json that have a section of their own."""
RESULT_COLUMNS = ("method", "domain", "metric", "value")
PARETO_CAPTION = (
    "Every complete trial by its cost and its accuracy. On the front are the trials that no other one beats in both: "
    "up and to the left is better."
)
CRITICAL_DIFFERENCE_CAPTION = (
    "Average rank of every method over the target domains, 1 being best. Methods joined by a bar are too close to be "
    "told apart with this many domains."
)


def write_sweep_report(sweep_dir: Path, title: str) -> Path:
    """Writes `<sweep_dir>/report.html` from the sweep's files and returns its path.

    Needs trials.csv with at least one trial. Results, pictures, settings and the best run's directory each add a
    section where they are there. Raises `InputError` with one line if trials.csv is missing or any file is damaged.
    """
    sweep_dir = Path(sweep_dir)
    trials = read_table(sweep_dir / "trials.csv", REQUIRED)
    if trials.empty:
        raise InputError(f"{sweep_dir / 'trials.csv'}: holds no trial yet; a report needs at least one")
    sections = [*_own_figures(sweep_dir), _comparison(sweep_dir, trials)]
    sections = [section for section in sections if section.blocks]
    sections.append(Section("All trials", [Text(_states_sentence(trials)), trials_table(trials)]))
    sections += _best_run_sections(sweep_dir, trials)
    if (sweep_dir / "results.parquet").is_file():
        results = read_table(sweep_dir / "results.parquet", RESULT_COLUMNS)
        sections.append(Section("Results by domain", [_results_table(results)]))
    if (sweep_dir / "config.json").is_file():
        description = read_json_object(sweep_dir / "config.json")
        if isinstance(description.get("command"), str):
            sections.append(Section("How to repeat this sweep", repeat_blocks(description["command"], description)))
        settings = {name: value for name, value in description.items() if name not in REPEATED}
        sections.append(Section("Settings of the sweep", [settings_table(flattened(settings))], folded=True))
    return write_page(Page(title, _summary(trials), _headlines(trials), sections), sweep_dir / "report.html")


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings on one level, the names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _summary(trials: pd.DataFrame) -> str:
    methods = methods_of(trials)
    known = sorted(set(methods) - {NO_METHOD})
    named = f"{plural(len(known), 'method')}: {', '.join(known)}" if known else "unknown methods"
    num_unknown = int((methods == NO_METHOD).sum()) if known else 0
    unknown = f" The method of {plural(num_unknown, 'trial')} is unknown." if num_unknown else ""
    return f"{plural(len(trials), 'trial')} of {named}.{unknown}"


def _headlines(trials: pd.DataFrame) -> list[Headline]:
    found: list[Headline] = []
    best, measure = best_trial(trials), measure_of(trials)
    if best is not None:
        score = measure.shown(_value(best, "validation_score"))
        found.append(Headline(f"Best validation {measure.label}", score, f"trial {_name(best)}"))
        if column(best, "test_score").notna().all():
            score = measure.shown(_value(best, "test_score"))
            found.append(Headline(f"Its test {measure.label}", score, methods_of(best).iloc[0]))
        found.append(Headline("Images it kept", percent(_value(best, "kept_fraction")), "of the source at the end"))
    states = state_counts(trials)
    found.append(
        Headline("Trials", f"{len(trials):,}", ", ".join(f"{number_of} {state}" for state, number_of in states.items()))
    )
    found.append(Headline("Time", seconds(column(trials, "wall_seconds").sum()), "over the trials listed"))
    cost = SweepCost.of(trials)
    if cost.gpu_hours > 0:
        found.append(Headline("GPU-hours", f"{cost.gpu_hours:.2f}", "reserved while the trials trained"))
    elif cost.cpu_hours > 0:
        found.append(Headline("CPU-hours", f"{cost.cpu_hours:.2f}", "reserved while the trials trained"))
    found.append(Headline("Instances seen", count(cost.instances), "source images, over the trials listed"))
    return found


def _states_sentence(trials: pd.DataFrame) -> str:
    parts = []
    for state, number_of in state_counts(trials).items():
        own = trials[trials["state"].astype(str) == state]
        cost = f"{seconds(column(own, 'wall_seconds').sum())}, {count(column(own, 'instances_seen').sum())} instances"
        parts.append(f"{number_of:,} {state} ({cost})")
    return f"Trials by how they ended, with their cost: {'; '.join(parts)}. {_highlight_sentence(trials)}".strip()


def _highlight_sentence(trials: pd.DataFrame) -> str:
    best = best_trial(trials)
    if best is None:
        return ""
    complete = trials[trials["state"] == "complete"]
    num_equal = int((column(complete, "validation_score") == _value(best, "validation_score")).sum())
    label = measure_of(trials).label
    if num_equal > 1:
        return (
            f"{num_equal:,} complete trials share the best validation {label}; the one of them that saw the fewest "
            "instances is highlighted, the first if several did."
        )
    return f"The best complete trial by validation {label} is highlighted."


def _comparison(sweep_dir: Path, trials: pd.DataFrame) -> Section:
    blocks: list[Block] = []
    if not has_several_domains(trials):
        label = measure_of(trials).label
        blocks += [
            Text(f"Each method's best complete trial, chosen by validation {label}, never by test {label}:"),
            methods_table(trials),
        ]
    if (sweep_dir / "comparison.json").is_file():
        verdict = read_json_object(sweep_dir / "comparison.json").get("verdict")
        blocks += [Text(line) for line in str(verdict or "").splitlines()]
    pictures = (
        ("pareto.png", "Accuracy of the trials against their cost", PARETO_CAPTION),
        ("critical_difference.png", "Critical-difference diagram of the methods", CRITICAL_DIFFERENCE_CAPTION),
    )
    for name, alternative, caption in pictures:
        if (sweep_dir / name).is_file():
            blocks.append(picture_file(sweep_dir / name, alternative, caption))
    return Section("Methods compared", blocks)


def _own_figures(sweep_dir: Path) -> list[Section]:
    """What the experiment itself drew, as figures.json says: title -> list of {file, alternative, caption}."""
    if not (sweep_dir / FIGURES).is_file():
        return []
    sections = []
    for title, entries in read_json_object(sweep_dir / FIGURES).items():
        blocks: list[Block] = []
        for entry in entries:
            file = sweep_dir / Path(entry["file"]).name
            if file.is_file():
                blocks.append(picture_file(file, entry["alternative"], entry["caption"]))
        sections.append(Section(title, blocks))
    return sections


def _best_run_sections(sweep_dir: Path, trials: pd.DataFrame) -> list[Section]:
    """The weights and images of the best complete trial that learnt weights; plain training has none to show."""
    remaining, num_absent, num_without = trials, 0, 0
    while (best := best_trial(remaining)) is not None:
        folder = best["run"].iloc[0] if "run" in best else None
        run = _read_trial_run(sweep_dir, folder)
        if run is not None and run.weights is not None:
            measure = measure_of(trials)
            score = f"validation {measure.label} {measure.shown(_value(best, 'validation_score'))}"
            which = f"Trial {_name(best)} ({methods_of(best).iloc[0]}), {score}, in {folder}."
            if num_without:
                which += f" {plural(num_without, 'trial')} ranked higher but learnt no weights."
            if num_absent:
                which += f" {plural(num_absent, 'trial')} ranked higher, but the run directory is not here."
            return [
                Section(f"The best run with learnt weights: trial {_name(best)}", [Text(which)]),
                *weights_sections(run),
            ]
        num_absent, num_without = num_absent + (run is None), num_without + (run is not None)
        remaining = remaining.drop(index=best.index)
    return []


def _read_trial_run(sweep_dir: Path, run: object) -> RunFiles | None:
    if not isinstance(run, str):
        return None
    try:
        return read_run(sweep_dir / run)
    except InputError:
        # One damaged or deleted run directory must not cost the report of the whole sweep; the next best is shown.
        return None


def _results_table(results: pd.DataFrame) -> Table:
    headings = ("domain", "metric", "method", "runs", "mean", "lowest", "highest")
    rows = []
    for (domain, metric, method), own in results.groupby(["domain", "metric", "method"], sort=True):
        values = column(own, "value")
        rows.append(
            (
                str(domain),
                str(metric),
                str(method),
                f"{len(own):,}",
                number(values.mean()),
                number(values.min()),
                number(values.max()),
            )
        )
    return Table(headings, tuple(rows), "Over all runs in results.parquet", numeric=frozenset(headings[3:]))


def _name(best: pd.DataFrame) -> str:
    return str(best["trial"].iloc[0])


def _value(row: pd.DataFrame, name: str) -> float:
    return float(column(row, name).iloc[0])
