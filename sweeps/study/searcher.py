"""Ray Tune's view of an Optuna study: asks it for trials and tells it how they really ended.

Ray's own OptunaSearch records a trial that a scheduler stopped as complete with its last value, and never records a
trial whose value is NaN. Here a trial is COMPLETE only if it said so after its last epoch, PRUNED with its step if the
scheduler stopped it before, and FAIL with a reason otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from bdw.errors import InputError
from sweeps.study.objective import Objective
from sweeps.study.open_study import CRASHED, SETTLED
from sweeps.study.storage import told_clearly
from sweeps.study.tables import DUPLICATE_OF

# Figures of the last report that become attributes of the Optuna trial.
RECORDED = (
    "epoch",
    "best_validation_score",
    "wall_seconds",
    "instances_seen",
    "target_instances_seen",
    "kept_fraction",
    "planted_auroc",
    "results",
    "curve",
    "run_scores",
    "mean_gain",
)
THOUSANDTHS = 1000
"""Intermediate values stand at steps of a thousandth of the budget: epochs differ in length, and Optuna's steps are
whole numbers."""
MAX_REDRAWS = 20

Propose = Callable[[optuna.Trial], Mapping[str, Any]]


class Unworkable(Exception):
    """Raised by a `Propose` for parameters that cannot meet; the trial fails with this reason, and is not started."""


class StudySearcher(Searcher):  # type: ignore[misc]
    """A searcher whose state is the study and nothing else, so that a new one goes on where the last one was killed.

    Args:
        study: Records what is done. Trials that are waiting in it come first.
        propose: Draws parameters on an Optuna trial and returns the Tune trial's config. `config["labels"]` holds
            JSON values that are stored with the trial; its `run` identifies the trial: nothing with the same `run`
            runs twice.
        objective: What is told as the value. num_new: How many trials this searcher may start. Failed trials count, or
            a broken set-up would be tried for ever; proposals that have run already do not.
    """

    def __init__(self, study: optuna.Study, propose: Propose, *, objective: Objective, num_new: int) -> None:
        super().__init__()
        self._study = study
        self._propose = propose
        self._objective = objective
        self._open = max(0, num_new)
        self.num_not_found = 0
        """Trials that were not started because only settings were drawn that have run already: the space is used up."""
        self._live: dict[str, optuna.Trial] = {}
        self._crashed: dict[str, optuna.Trial] = {}
        self._reported: dict[int, set[int]] = {}
        """Number of a trial that this searcher started -> steps of its intermediate values."""
        self._last_rows: dict[str, Mapping[str, Any]] = {}
        self._trouble: InputError | None = None
        self._limit: Callable[[], str | None] = lambda: None
        self.limit_met: str | None = None
        """Why trials were left that this searcher did not start; None if there was no reason but their number."""

    @property
    def study(self) -> optuna.Study:
        """The study."""
        return self._study

    def stop_at(self, limit: Callable[[], str | None]) -> None:
        """Start no more trials once `limit` gives a reason; it is asked before each."""
        self._limit = limit

    @property
    def num_open(self) -> int:
        """Trials that this searcher may still start."""
        return self._open

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config, or `Searcher.FINISHED`."""
        if self._open == 0 or self._trouble is not None:
            return str(Searcher.FINISHED)
        with self._remembering_trouble():
            self.limit_met = self._limit()
            if self.limit_met is not None:
                self._open = 0
                return str(Searcher.FINISHED)
            return self._suggest(trial_id)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str:
        for _ in range(MAX_REDRAWS):
            trial = self._study.ask()
            try:
                config = dict(self._propose(trial))
            except Unworkable as error:
                self._fail(trial, str(error))
                continue
            same = self._other_trial_of(config["labels"]["run"], trial.number)
            if same is None:
                for key, value in config["labels"].items():
                    trial.set_user_attr(key, value)
                self._live[trial_id] = trial
                self._open -= 1
                return {**config, "number": trial.number}
            trial.set_user_attr(DUPLICATE_OF, same)
            self._fail(trial, f"the same parameters as trial {same}")
        self.num_not_found, self._open = self._open, 0
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Store the epoch's value as an intermediate value."""
        # A row that only says that workers wait for machines has no figures.
        self._last_rows[trial_id] = {**self._last_rows.get(trial_id, {}), **result}
        with self._remembering_trouble():
            self._report_epoch(self._live[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended."""
        trial = self._live.pop(trial_id, None)
        if trial is None:
            return
        if error:
            self._crashed[trial_id] = trial  # Tune says why only afterwards, to its callbacks: see `Reasons`.
            return
        self._last_rows.pop(trial_id, None)
        with self._remembering_trouble():
            self._tell(trial, result or {})

    def explain_crash(self, trial_id: str, reason: str) -> None:
        """Tell a trial that crashed as failed, for this reason; it will be tried again when the sweep is started."""
        trial = self._crashed.pop(trial_id, None)
        last = self._last_rows.pop(trial_id, {})
        # Without its storage the study finds the trial still running when it is opened again.
        if trial is not None and self._trouble is None:
            with self._remembering_trouble():
                self._record(trial, last)
                trial.set_user_attr(CRASHED, True)
                self._fail(trial, reason)

    def close(self) -> None:
        """Tell crashed trials whose reason never came. Call it after `Tuner.fit`.

        Raises `InputError` if the study's storage was lost meanwhile: Tune takes that for a failure of the trials.
        """
        for trial_id in list(self._crashed):
            self.explain_crash(trial_id, "crashed; the reason stands in Ray's logs")
        if self._trouble is not None:
            raise self._trouble

    @contextmanager
    def _remembering_trouble(self) -> Iterator[None]:
        try:
            with told_clearly():
                yield
        except InputError as error:
            self._trouble = error
            raise

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept only a Tuner without a metric or a parameter space of its own."""
        return metric is None and mode is None and not config

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the state is in the study."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the state is in the study."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles the searcher with its Tuner for `Tuner.restore`, which has no use here.
        return {}

    def _other_trial_of(self, run: str, number: int) -> int | None:
        for other in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, *SETTLED)):
            if other.number != number and other.user_attrs.get("run") == run:
                return other.number
        return None

    def _report_epoch(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        if "budget_share" not in result:  # A trial that failed before its first epoch.
            return
        score, step = self._objective.values(result)[0], round(THOUSANDTHS * result["budget_share"])
        reported = self._reported.setdefault(trial.number, set())
        if math.isfinite(score) and step not in reported:  # A trial that was retried repeats its first epochs.
            # `Trial.report` does the same, but refuses where there are several objectives.
            self._study._storage.set_trial_intermediate_value(trial._trial_id, step, score)
            reported.add(step)

    def _tell(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        self._record(trial, result)
        values = self._objective.values(result)
        if result.get("failure"):
            self._fail(trial, str(result["failure"]))
        elif "epoch" not in result:
            self._fail(trial, "ended before its first epoch")
        elif not all(map(math.isfinite, values)):
            metric = next(m for m, v in zip(self._objective.metrics, values, strict=True) if not math.isfinite(v))
            self._fail(trial, f"{metric} is {result.get(metric, 'missing')} at epoch {result['epoch']}")
        elif result["budget_share"] >= 1 and not result.get("ended"):
            self._fail(trial, "ended after its last epoch without its results")
        elif result.get("ended") and result["budget_share"] < 1:
            self._fail(trial, f"ended after {100 * result['budget_share']:.0f} % of its budget")
        elif result.get("ended"):
            self._report_epoch(trial, result)
            self._study.tell(trial, values[0] if self._objective.is_single else values)
        else:
            self._report_epoch(trial, result)
            trial.set_user_attr("pruned_at_epoch", int(result["epoch"]))
            self._study.tell(trial, state=TrialState.PRUNED)

    def _record(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        for key in RECORDED:
            if key in result:
                trial.set_user_attr(key, result[key])

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)


class Reasons(tune.Callback):  # type: ignore[misc]
    """Hands the last line of a crashed trial's traceback to the searcher."""

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Called by Tune after the searcher has heard that the trial crashed."""
        lines = [line for line in str(trial.get_error() or "").splitlines() if line.strip()]
        self._searcher.explain_crash(trial.trial_id, lines[-1].strip() if lines else "crashed without a traceback")

    def __getstate__(self) -> dict[str, Any]:
        return {}
