"""An experiment with all options settled and everything checked that can be known before any compute."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from bdw import evaluation, pretext
from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.data import describe, packing_bar
from bdw.data.manifest import SharedStores
from bdw.data.problem import planned_target
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError
from bdw.evaluation import Measure
from bdw.parallel.stop_requests import terminations
from bdw.ray.environment import require_usable
from bdw.runs.directory import git_revision, versions
from bdw.storage.remote_folder import RemoteFolder
from sweeps.runner import command_line, datasets
from sweeps.runner.datasets import DataChoice, Scale
from sweeps.runner.episode_designs import Design, Room, searched
from sweeps.runner.options import SearchOptions, SweepOptions
from sweeps.runner.paths import Paths, portable
from sweeps.runner.space import Space
from sweeps.study import driver_lock
from sweeps.study.driver_record import CopyRegister, Register, StudyRegister
from sweeps.study.objective import Objective, objective, score_alone
from sweeps.study.open_study import only_driver, open_storage, open_study
from sweeps.study.storage import without_password


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What a sweep compares, and where."""

    name: str
    """Name of the kind of experiment; the sweep's own is `paths.name`."""
    options: SweepOptions
    choice: DataChoice
    base: RunConfig
    """Config that all trials share; its target is that of the search, or the first one without a search."""
    rooms: dict[str, Room]
    """Target domain -> its images for episodes."""
    search_room: Room
    """The images for episodes of the base's target."""
    paths: Paths

    @classmethod
    def settle(cls, name: str, options: SweepOptions, choice: DataChoice) -> Experiment:
        """Find out what every target and the source hold (which packs what is not packed yet), and fill in what the
        options left open.

        Raises `InputError` for data, targets, episodes, storage or a Ray cluster that cannot work.
        """
        options.check()
        require_usable(os.environ)  # Loading the data may take long.
        targets = options.targets or (choice.targets[:2] if options.smoke else choice.targets)
        options = dataclasses.replace(options, seeds=options.seeds or choice.seeds[: 1 if options.smoke else None])
        scale = _scale(options, choice)
        search_target = targets[0] if options.targets or choice.search_target is None else choice.search_target
        base = datasets.base_config(
            choice,
            data_root=options.data_root,
            download=options.download,
            target=search_target,
            epochs=options.epochs or scale.epochs,
        )
        base = base.replace(seed=options.seeds[0], max_source=options.max_source or scale.max_source, report=False)
        smoke = "-smoke" if options.smoke else ""
        default_name = name if choice.name == name else f"{name}-{choice.name}"
        paths = Paths.of(options.storage_path, options.name or f"{default_name}{smoke}")
        paths.prepare()
        configs = {
            target: base.replace(target=target, **choice.domain_fields.get(target, {})).replace(
                cache_dir=str(paths.path / "packed"), cache_address=paths.data_address
            )
            for target in dict.fromkeys((*targets, search_target))
        }
        # All of them first: packing may take hours, and a target that cannot work is known from its labels.
        for config in configs.values():
            if config.data.cache_address is None or SharedStores(config.data).read() is None:
                _require_episodes(config)
        with terminations(), packing_bar() as bar:
            found = {target: _room(config, paths, bar) for target, config in configs.items()}
        return Experiment(
            name=name,
            options=options,
            choice=choice,
            base=base,
            rooms={target: found[target] for target in targets},
            search_room=found[search_target],
            paths=paths,
        )

    @property
    def has_equal_budget(self) -> bool:
        """Whether all runs train on equally many images; in epochs a run that prunes trains on fewer."""
        return Budget.of(self.base.budget, pool=1).images is not None

    @property
    def measure(self) -> Measure:
        """What validation and test scores are."""
        return evaluation.measure(self.base.evaluation.measure)

    @contextmanager
    def only_driver(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the sweep while the block runs, its folder on this machine and its study wherever that is kept.

        `say` gets a line for whoever waits. Raises `InputError` if another driver holds one of them.
        """
        with only_driver(self.paths.path), driver_lock.held(self._register(), name=self.paths.name, say=say):
            self.paths.fetch()  # Another driver may have continued until we held the lock.
            yield

    def open_comparison(self) -> optuna.Study:
        """The comparison's study; raises `InputError` if the name belongs to another experiment."""
        return open_study(
            self._storage(),
            self._comparison_name,
            directions=score_alone(self.measure).directions,
            experiment=self.settings(),
            seed=self.options.seeds[0],
        )

    def settings(self) -> dict[str, Any]:
        """The settings that must be the same for results to belong together."""
        return {
            "experiment": self.name,
            **portable(self.base),
            "data contents": self.search_room.contents,
        }

    def described(self) -> dict[str, Any]:
        """Everything that was asked for and settled, and how to ask for it again, for the sweep's config.json."""
        options = self.options
        if options.study_storage is not None:
            options = dataclasses.replace(options, study_storage=without_password(options.study_storage))
        return {
            "command": command_line.repeated(options, prog=self.name),
            "git_revision": git_revision(),
            "versions": versions(),
            "options": dataclasses.asdict(options),
            "targets": list(self.rooms),
            "settings": self.settings(),
        }

    @property
    def _comparison_name(self) -> str:
        return f"{self.paths.name}-comparison"

    def _register(self) -> Register:
        if self.paths.copy_at is not None and self.options.study_storage is None:
            return CopyRegister(RemoteFolder.at(self.paths.copy_at))
        # Every experiment has a comparison, so the comparison's study stands for the search, too.
        return StudyRegister(self._storage(), self._comparison_name, score_alone(self.measure).directions)

    def _storage(self) -> optuna.storages.BaseStorage:
        return open_storage(self.paths.journal, self.options.study_storage)


@dataclass(frozen=True, kw_only=True)
class SearchExperiment(Experiment):
    """A sweep that searches settings for one target before it compares."""

    options: SearchOptions
    space: Space
    num_trials: int
    """The search's space."""

    @classmethod
    def settle(cls, name: str, options: SweepOptions, choice: DataChoice) -> SearchExperiment:
        """As for every experiment; the space holds the designs that fit the search's target."""
        assert isinstance(options, SearchOptions)
        settled = Experiment.settle(name, options, choice)
        room = settled.search_room
        first = room.largest_within(Design.of(settled.base))
        num_views = pretext.task_class(settled.base.pretext.pretext, settled.base.pretext.options).num_views
        return cls(
            **vars(settled),
            space=Space(searched(first, room), num_views, choice.recipes),
            num_trials=options.samples or _scale(options, choice).samples,
        )

    @property
    def objective(self) -> Objective:
        """What the search optimises."""
        return objective(self.options.objective, self.measure)

    @property
    def stops_early(self) -> bool:
        """Whether trials may be stopped before their last epoch; for that one number must rank them."""
        return self.options.early_stopping and self.objective.is_single

    def open_search(self) -> optuna.Study:
        """The search's study; raises `InputError` if the name belongs to another experiment."""
        seed = self.options.seeds[0]
        return open_study(
            self._storage(),
            self.paths.name,
            directions=self.objective.directions,
            experiment={**self.settings(), "seed": seed},
            seed=seed,
        )

    def settings(self) -> dict[str, Any]:
        """As for every experiment, and the objective of the search."""
        return {
            "objective": self.options.objective,
            "designs": [str(design) for design in self.space.designs],
            **super().settings(),
        }

    def described(self) -> dict[str, Any]:
        """As for every experiment, and the length of the search."""
        return {"trials": self.num_trials, **super().described()}


def _scale(options: SweepOptions, choice: DataChoice) -> Scale:
    return choice.smoke if options.smoke else choice.scale


def _require_episodes(config: RunConfig) -> None:
    fewest = int(np.bincount(planned_target(config.data).shares["train"].labels).min())
    if fewest < 2:
        raise InputError(
            f"targets: a class of {config.data.target!r} has {fewest} training image; allowed: at least 2 in each"
        )


def _room(config: RunConfig, paths: Paths, bar: LabelledProgress) -> Room:
    described = describe(config.data, paths.path, bar)
    least = config.optimiser.batch_size
    if described.num_source < least:
        raise InputError(f"max_source: {described.num_source} images are less than a batch; allowed: {least} or more")
    return Room.of(described)
