"""What a search of one's own found: the front of the best trials, their settings as files, the table and the page."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from bdw.config import RunConfig
from bdw.config.fields import Mark
from bdw.errors import InputError
from bdw.report import write_sweep_report
from bdw.report.command_line import fit_command
from bdw.report.sweep_cost import SweepCost
from bdw.report.trials_table import CHOSEN
from bdw.storage.atomic_write import write_text
from sweeps.results.figures import draw_trials
from sweeps.runner.search import failures
from sweeps.study.best import best_of
from sweeps.study.tables import trial_rows, write_trials
from sweeps.tuning.goals import MEAN_GAIN, MEAN_RANK
from sweeps.tuning.own_search import METHOD, OwnSearch
from sweeps.tuning.ranks import mean_ranks
from sweeps.tuning.space import describe

FRONT = "pareto.csv"
BEST = "best.json"
MOST_SHOWN = 10


def front(search: OwnSearch, study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials that no other is better than in all objectives, the best in the first objective first.

    With one objective that is the best trial; of equals, the one that saw the fewest images.
    """
    values = optimised(search, study)
    signs = [1 if direction == StudyDirection.MINIMIZE else -1 for direction in _directions(search)]
    costs = {number: [s * v for s, v in zip(signs, own, strict=True)] for number, own in values.items()}

    def is_beaten(own: Sequence[float]) -> bool:
        return any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in costs.values())

    complete = {trial.number: trial for trial in _complete(study)}
    kept = [complete[number] for number, own in costs.items() if not is_beaten(own)]
    kept.sort(key=lambda t: (costs[t.number], t.user_attrs.get("instances_seen", 0), t.number))
    return kept if len(signs) > 1 else kept[:1]


def chosen(search: OwnSearch, study: optuna.Study) -> FrozenTrial | None:
    """The best complete trial (see `best_of`); None if there is none. With several objectives it is the one of the
    front that is nearest to the ideal point."""
    values, trials = optimised(search, study), []
    for trial in _complete(study):
        own = copy.copy(trial)
        own.values = values[trial.number]
        trials.append(own)
    return best_of(trials, _directions(search))


def optimised(search: OwnSearch, study: optuna.Study) -> dict[int, list[float]]:
    """Number of every complete trial -> its values, mean ranks as they are now."""
    complete = _complete(study)
    values = {trial.number: list(map(float, trial.values)) for trial in complete}
    ranked = search.rank_of
    if ranked is not None:
        for trial, rank in zip(complete, mean_ranks(complete, higher_is_better=ranked.higher_is_better), strict=True):
            values[trial.number][ranked.position] = rank
    return values


def objective_names(search: OwnSearch) -> list[str]:
    """Names of the objectives; `mean_gain` or `mean_rank` for the score where that counts."""
    goals, over = search.request.goals, search.request.over
    return [over if goal is goals.chooser and over is not None else goal.name for goal in goals.goals]


def rows_of(search: OwnSearch, study: optuna.Study) -> list[dict[str, Any]]:
    """The rows of trials.csv: those of every sweep, objectives that have no column yet, and `front`."""
    known = {"method": METHOD, "domain": ", ".join(search.rooms), "seed": search.options.seeds[0]}
    rows = trial_rows(study, search.measure.name, known=known)
    values, best = optimised(search, study), {trial.number for trial in front(search, study)}
    row_chosen = chosen(search, study)
    own_columns = {search.measure.name, "seconds", "images", "target_images", "kept"}
    for row in rows:
        number = int(row["trial"])
        for name, value in zip(objective_names(search), values.get(number, []), strict=False):
            if name not in own_columns:
                row[name] = value
        row["front"] = "yes" if number in best else None
        if row_chosen is not None and not search.request.goals.ranks_early:
            row[CHOSEN] = int(number == row_chosen.number)
    return rows


def write_findings(search: OwnSearch, study: optuna.Study, *, title: str) -> Path:
    """trials.csv, pareto.csv, best.json, pareto.png and the page, from what the study holds now.

    Returns:
        the page's path.

    Raises:
        InputError: no trial was started.
    """
    folder, rows = search.paths.path, rows_of(search, study)
    if not rows:
        raise InputError("search: no trial was started, so that nothing was found")
    write_trials(folder / "trials.csv", rows)
    draw_trials(pd.DataFrame(rows), search.measure, "", folder / "pareto.png")
    best = front(search, study)
    write_text(folder / FRONT, pd.DataFrame(_front_rows(search, study, best)).to_csv(index=False))
    found = [_found(search, study, trial) for trial in best]
    write_text(folder / BEST, json.dumps(found, indent=2) + "\n")
    return write_sweep_report(folder, title=title)


def say_findings(search: OwnSearch, study: optuna.Study, console: Console) -> None:
    """What the search cost, the front as a table, and the command that trains with the first one's settings.

    Raises `InputError` if no trial is complete.
    """
    rows = rows_of(search, study)
    console.print(str(SweepCost.of(pd.DataFrame(rows))), soft_wrap=True)
    best = front(search, study)
    if not best:
        failed = failures(study)
        told = f"; the last one that failed said: {failed[-1]}" if failed else ""
        raise InputError(
            f"search: none of {len(rows)} trials completed, {len(failed)} of them failed{told}; all are in "
            f"{search.paths.path / 'trials.csv'}"
        )
    console.print(_table(search, study, best))
    taken = chosen(search, study)
    assert taken is not None
    config = search.runs(search.space.config(taken.params))[0].config
    why = ", the one of these that is nearest to the best of each objective" if len(best) > 1 else ""
    console.print(f"train with the settings of trial {taken.number}{why}:", soft_wrap=True)
    console.print(command_of(config), soft_wrap=True, markup=False, highlight=False)


def command_of(config: RunConfig) -> str:
    """The `bdw fit` command that trains with the settings of a trial's run, wherever that ran."""
    known = config.fields()
    own = {k: v for k, v in config.flat().items() if Mark.FREE not in known[k].marks or k == "data_root"}
    return fit_command({name: value for name, value in own.items() if name != "data_root" or value is not None})


def _front_rows(search: OwnSearch, study: optuna.Study, best: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    values, names = optimised(search, study), objective_names(search)
    return [
        {"trial": trial.number, **dict(zip(names, values[trial.number], strict=True)), **trial.params,
         "run": f"runs/{trial.user_attrs['run']}"}
        for trial in best
    ]  # fmt: skip


def _found(search: OwnSearch, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
    values = dict(zip(objective_names(search), optimised(search, study)[trial.number], strict=True))
    searched = {p.field.path: search.space.fields(trial.params)[p.field.key] for p in search.space.parameters}
    config = search.runs(search.space.config(trial.params))[0].config
    return {
        "trial": trial.number,
        "objectives": values,
        "searched": searched,
        "runs": [f"runs/{run}" for run in trial.user_attrs.get("runs", [trial.user_attrs["run"]])],
        "command": command_of(config),
    }


def _table(search: OwnSearch, study: optuna.Study, best: Sequence[FrozenTrial]) -> Table:
    """The front, at most `MOST_SHOWN` rows."""
    names, values = objective_names(search), optimised(search, study)
    title = "trials that no other one beats in all objectives" if len(names) > 1 else "best trial"
    table = Table("trial", *names, "settings", title=title)
    for trial in best[:MOST_SHOWN]:
        shown = [_shown(search, name, value) for name, value in zip(names, values[trial.number], strict=True)]
        table.add_row(str(trial.number), *shown, describe(trial.params))
    if len(best) > MOST_SHOWN:
        table.caption = f"and {len(best) - MOST_SHOWN} more in {FRONT}"
    return table


def _shown(search: OwnSearch, name: str, value: float) -> str:
    if name == MEAN_RANK:
        return f"{value:.2f}"
    measures = {goal.name: goal.measure for goal in search.request.goals.goals}
    measure = search.measure if name == MEAN_GAIN else measures.get(name)
    if measure is not None:
        return ("+" if name == MEAN_GAIN and value >= 0 else "") + measure.shown(value)
    return f"{100 * value:.0f} %" if name == "kept" else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _directions(search: OwnSearch) -> list[StudyDirection]:
    """Of the values of `optimised`: a smaller mean rank is better."""
    found = [StudyDirection[direction.upper()] for direction in search.objective.directions]
    if search.rank_of is not None:
        found[search.rank_of.position] = StudyDirection.MINIMIZE
    return found


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
