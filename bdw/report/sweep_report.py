"""The page of a sweep: what was found, what to do next, then the tables, pictures and trials behind these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bdw.errors import InputError
from bdw.report import sweep_story
from bdw.report.page import Block, Page, Section, Table, Text, picture_file, write_page
from bdw.report.run_files import RunFiles, read_run
from bdw.report.run_report import repeat_blocks, settings_table
from bdw.report.sweep_next_steps import next_steps
from bdw.report.sweep_pictures import ranks, trade_offs
from bdw.report.sweep_story import Story
from bdw.report.sweep_summary import cost_headlines, headlines, name_of, states_sentence, summary, value_of
from bdw.report.sweep_warnings import sweep_warnings
from bdw.report.table_files import column, read_json_object, read_table
from bdw.report.trials_table import (
    REQUIRED,
    best_trial,
    has_several_domains,
    measure_of,
    methods_of,
    methods_table,
    trials_table,
)
from bdw.report.weights_sections import weights_sections
from bdw.report.wording import number, plural

FIGURES = "figures.json"
"""An experiment's list of its own figures, next to them."""
REPEATED = frozenset({"command", "git_revision", "versions"})
"""Parts of config.json that have a section of their own."""
RESULT_COLUMNS = ("method", "domain", "metric", "value")


def write_sweep_report(sweep_dir: Path, title: str) -> Path:
    """Writes `<sweep_dir>/report.html` from the sweep's files and returns its path.

    Needs trials.csv with at least one trial. Results, pictures, settings, the story of a comparison at equal budget
    and the best run's directory each add a section where they are there. Raises `InputError` with one line if
    trials.csv is missing or any file is damaged.
    """
    sweep_dir = Path(sweep_dir)
    trials = read_table(sweep_dir / "trials.csv", REQUIRED)
    if trials.empty:
        raise InputError(f"{sweep_dir / 'trials.csv'}: holds no trial yet; a report needs at least one")
    path = sweep_dir / "config.json"
    description = read_json_object(path) if path.is_file() else {}
    story = sweep_story.read_story(sweep_dir)
    if story is None:
        about, numbers = summary(trials), headlines(trials)
        sections = _sections(sweep_dir, trials, description)
    else:
        about = f"{sweep_story.summary(story)} {summary(trials)}"
        numbers = [*sweep_story.headlines(story), *cost_headlines(trials, images=False)]
        sections = _story_sections(sweep_dir, trials, description, story)
    sections += _repeat_sections(description)
    sections = [section for section in sections if section.blocks]
    return write_page(Page(title, about, numbers, sections), sweep_dir / "report.html")


def _sections(sweep_dir: Path, trials: pd.DataFrame, description: Mapping[str, Any]) -> list[Section]:
    """The page of a sweep without a story: whatever there is, the trials after the comparison."""
    warnings = sweep_warnings(trials, stops_early=_stops_early(description))
    return [
        Section("What to keep in mind", [Text(warning, kind="warning") for warning in warnings]),
        *_own_figures(sweep_dir),
        _comparison(sweep_dir, trials),
        _trials_section(trials, "All trials"),
        *_best_run_sections(sweep_dir, trials),
        _results_section(sweep_dir),
        *_next_sections(description, None),
    ]


def _story_sections(
    sweep_dir: Path, trials: pd.DataFrame, description: Mapping[str, Any], story: Story
) -> list[Section]:
    """Verdict, next steps, tables, curves, ranks, costs, galleries, and the trials at the end."""
    warnings = [str(story["remark"])] if story.get("remark") else []
    warnings += sweep_warnings(
        trials,
        story.get("validation_images"),
        stops_early=_stops_early(description),
        target_dependence=story.get("target_dependence"),
    )
    run = _read_trial_run(sweep_dir, story.get("example_run"))
    galleries: list[Section] = []
    if run is not None and run.weights is not None:
        which = f"A run of {story['findings']['method']}: target {run.config.get('target')}, in {story['example_run']}."
        first, *rest = weights_sections(run)
        galleries = [Section(first.title, [Text(which), *first.blocks]), *rest]
    curves = sweep_story.curve_section(sweep_dir, story)
    searched_title = "All trials" if has_several_domains(trials) else "The search's trials"
    return [
        sweep_story.found_section(story, warnings),
        *_next_sections(description, None if run is None else run.config),
        *sweep_story.table_sections(story),
        *([] if curves is None else [curves]),
        Section("Ranks over the domains", ranks(sweep_dir)),
        *_own_figures(sweep_dir),
        Section("Trials against their cost", trade_offs(sweep_dir)),
        *(galleries or _best_run_sections(sweep_dir, trials)),
        _trials_section(trials, searched_title, with_methods=True),
        _results_section(sweep_dir, folded=True),
    ]


def _trials_section(trials: pd.DataFrame, title: str, *, with_methods: bool = False) -> Section:
    blocks: list[Block] = [Text(states_sentence(trials))]
    if with_methods:
        blocks += _methods_blocks(trials)
    return Section(title, [*blocks, trials_table(trials)])


def _results_section(sweep_dir: Path, *, folded: bool = False) -> Section:
    blocks: list[Block] = []
    if (sweep_dir / "results.parquet").is_file():
        results = read_table(sweep_dir / "results.parquet", RESULT_COLUMNS)
        blocks = [] if results.empty else [_results_table(results)]
    return Section("Results by domain", blocks, folded=folded)


def _next_sections(description: Mapping[str, Any], recipe: Mapping[str, Any] | None) -> list[Section]:
    section = next_steps(description, recipe)
    return [] if section is None else [section]


def _repeat_sections(description: Mapping[str, Any]) -> list[Section]:
    sections = []
    if isinstance(description.get("command"), str):
        sections.append(Section("How to repeat this sweep", repeat_blocks(description["command"], description)))
    settings = {name: value for name, value in description.items() if name not in REPEATED}
    if settings:
        sections.append(Section("Settings of the sweep", [settings_table(flattened(settings))], folded=True))
    return sections


def _stops_early(description: Mapping[str, Any]) -> bool:
    options = description.get("options")
    return isinstance(options, Mapping) and options.get("early_stopping") is True


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings on one level, the names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _comparison(sweep_dir: Path, trials: pd.DataFrame) -> Section:
    found = ranks(sweep_dir)
    words = [block for block in found if isinstance(block, Text)]
    pictures = [block for block in found if not isinstance(block, Text)]
    return Section("Methods compared", [*_methods_blocks(trials), *words, *trade_offs(sweep_dir), *pictures])


def _methods_blocks(trials: pd.DataFrame) -> list[Block]:
    if has_several_domains(trials):
        return []
    label = measure_of(trials).label
    return [
        Text(f"Each method's best complete trial, chosen by validation {label}, never by test {label}:"),
        methods_table(trials),
    ]


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
            score = f"validation {measure.label} {measure.shown(value_of(best, 'validation_score'))}"
            which = f"Trial {name_of(best)} ({methods_of(best).iloc[0]}), {score}, in {folder}."
            if num_without:
                which += f" {plural(num_without, 'trial')} ranked higher but learnt no weights."
            if num_absent:
                which += f" {plural(num_absent, 'trial')} ranked higher, but the run directory is not here."
            return [
                Section(f"The best run with learnt weights: trial {name_of(best)}", [Text(which)]),
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
