"""The second stage: chosen methods on every target domain with every seed, for the results table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
from optuna.trial import TrialState
from rich.console import Console

from bdw import evaluation
from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.runs.directory import git_revision
from bdw.weighting import meta_loss
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.methods import Method
from sweeps.runner.paths import Paths
from sweeps.runner.tune_runner import Workload, run_trials
from sweeps.study.best import best_score
from sweeps.study.objective import score_alone
from sweeps.study.open_study import requeue_unfinished
from sweeps.study.revisions import other_revisions
from sweeps.study.searcher import StudySearcher
from sweeps.study.tables import result_rows

CURVE_COLUMNS = [
    "method", "domain", "seed",
    "instances_seen", "wall_seconds", "value", "best_value", "kept_fraction", "budget_share",
]  # fmt: skip
"""Who was trained, then the measurements of `bdw.ray.trial.CURVE`: `value` is the validation score of that moment."""


@dataclass(frozen=True)
class Cell:
    """One method on one domain with one seed."""

    method: str
    domain: str
    seed: int
    config: RunConfig
    run: str


def cells(
    methods: Sequence[Method],
    base: RunConfig,
    rooms: Mapping[str, Room],
    seeds: Sequence[int],
    paths: Paths,
    *,
    domain_fields: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Cell]:
    """All combinations, domain by domain; an episode design that is too large for a domain is cut down to fit.

    `domain_fields` are the fields in which a domain differs from `base` (see `DataChoice`); a method's own fields win.

    Raises `InputError` for a target with fewer images than a batch of the pretext meta-loss.
    """
    found = []
    for seed in seeds:
        for domain, room in rooms.items():
            for method in methods:
                own = (domain_fields or {}).get(domain, {})
                config = base.replace(**{**own, **method.fields}, target=domain, seed=seed)
                config = config.replace(**room.largest_within(Design.of(config)).fields)
                _require_target_batch(config, room)
                weighter = config.weighter.weighter
                title = {"uniform": base.pretext.pretext, "beta": "bdw", "counts": "bdw"}.get(weighter, weighter)
                title = "-".join(filter(None, (config.selector.selector, title)))
                found.append(Cell(method.name, domain, seed, config, paths.run_name(config, title, room.contents)))
    return found


def _require_target_batch(config: RunConfig, room: Room) -> None:
    names = meta_loss.names(config.meta.meta_loss)
    learns = weighters.learns(config.weighter) is not Learns.NEVER
    if learns and "pretext" in names and config.meta.target_batch > room.num_images:
        raise InputError(
            f"targets: {config.data.target!r} has {room.num_images} training images, less than a batch of the "
            f"meta-loss; allowed: at least target_batch = {config.meta.target_batch}"
        )


def run_comparison(
    study: optuna.Study,
    wanted: Sequence[Cell],
    *,
    workload: Workload,
    paths: Paths,
    console: Console,
    write: Callable[[], object] = lambda: None,
) -> None:
    """Run the cells that the study does not have yet; `write` makes the sweep's table and page while runs end."""
    requeue_unfinished(study, enqueue=False)  # What is open follows from what is complete.
    done = _complete(study)
    revision = git_revision()
    reused = {cell.run: done[cell.run] for cell in wanted if cell.run in done}
    if warning := other_revisions(reused.values(), revision):
        console.print(warning, soft_wrap=True)
    todo = list({cell.run: cell for cell in reversed(wanted) if cell.run not in done}.values())
    num_open = len(todo)
    if not wanted:
        return

    def propose(trial: optuna.Trial) -> dict[str, Any]:
        cell = todo.pop()
        labels = {
            "run": cell.run,
            "run_dir": paths.found_at(cell.run),
            "title": f"{cell.method} on {cell.domain}, seed {cell.seed}",
            "method": cell.method,
            "domain": cell.domain,
            "seed": cell.seed,
            "git_revision": revision,
            **workload.labels,
        }
        return {"plan": dataclasses.asdict(workload.plan(paths, cell.config, cell.run)), "labels": labels}

    measure = evaluation.measure(wanted[0].config.evaluation.measure)
    searcher = StudySearcher(study, propose, objective=score_alone(measure), num_new=num_open)
    run_trials(
        "comparison",
        searcher,
        workload,
        paths,
        measure=measure,
        console=console,
        best_so_far=best_score(done.values(), measure),
        write=write,
    )


def complete_cells(study: optuna.Study, wanted: Sequence[Cell]) -> list[Cell]:
    """The cells whose trial in the study is complete."""
    done = _complete(study)
    return [cell for cell in wanted if cell.run in done]


def comparison_rows(study: optuna.Study, wanted: Sequence[Cell]) -> list[dict[str, Any]]:
    """The long results table of the cells that are complete."""
    done = _complete(study)
    rows = []
    for cell in wanted:
        if cell.run in done:
            labels = {"method": cell.method, "domain": cell.domain, "seed": cell.seed}
            rows += [{**row, **labels} for row in result_rows(done[cell.run])]
    return rows


def kept_shares(study: optuna.Study, wanted: Sequence[Cell]) -> dict[tuple[str, str, int], float]:
    """(method, domain, seed) -> share of the source that the complete run kept at its end."""
    done = _complete(study)
    return {
        (cell.method, cell.domain, cell.seed): float(done[cell.run].user_attrs["kept_fraction"])
        for cell in wanted
        if cell.run in done
    }


def comparison_curves(study: optuna.Study, wanted: Sequence[Cell]) -> pd.DataFrame:
    """The training curves of the cells that are complete: a row per evaluation, see `CURVE_COLUMNS`."""
    done = _complete(study)
    rows = [
        (cell.method, cell.domain, cell.seed, *point)
        for cell in wanted
        if cell.run in done
        for point in done[cell.run].user_attrs.get("curve", ())
    ]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype({"instances_seen": "int64"})


def _complete(study: optuna.Study) -> dict[str, optuna.trial.FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return {trial.user_attrs["run"]: trial for trial in complete}
