"""The options of a search of one's own, and what they come to before any data are read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bdw.config import RunConfig, presets
from bdw.data.readers.glyphs import FOR_CHOOSING
from bdw.errors import InputError
from sweeps.runner.datasets import DataChoice, Scale
from sweeps.runner.options import SweepOptions, require_at_least
from sweeps.tuning.goals import MEAN_RANK, Goals
from sweeps.tuning.samplers import Grid, Sampler, parse_sampler
from sweeps.tuning.schedulers import Scheduler, parse_scheduler
from sweeps.tuning.space import FieldSpace
from sweeps.tuning.space_text import read_entries

EXPERIMENT = "search"
DEFAULT_SPACE = ("weight_lr=1..10:log", "density_threshold=0.6..0.95", "cdf_threshold=0.3..0.45")
"""eta, rho and lambda around the recommended recipe's."""
SAMPLES, SMOKE_SAMPLES = 20, 4
SMOKE_SOURCE = 256


@dataclass(frozen=True, kw_only=True)
class Options(SweepOptions):
    """Search any settings of a run, on your own images: which space, what for, and how."""

    source: str | None = None
    """Unlabelled pool, as for `bdw fit`: an image folder, a reader's name, an .npz file. Default: the embedded pool."""
    targets: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--target"])] = ()
    """Labelled targets; a trial trains once for each of them. Default: one that suits the embedded source."""
    seeds: tuple[int, ...] = (0,)
    """A trial trains once with each of them, for each target; the first is the sampler's, too."""
    preset: str | None = None
    """Settings that the search starts from. Default: those that `bdw fit` takes for that source."""
    space: tuple[str, ...] = ()
    """What is searched: a .toml file, and words such as weight_lr=0.1..100:log, meta_loss=prototype,pretext or
    epochs=5, by any field's name or dotted path. Words override the file. Default: eta, rho and lambda."""
    objective: tuple[str, ...] = ("accuracy",)
    """One or more of accuracy, knn_accuracy, fine_tuned_accuracy, rankme, pretext_loss, seconds, images, target_images
    and kept, each with :max or :min behind it where its own direction is not meant. All are of the validation split."""
    over: Literal["mean_gain", "mean_rank"] = "mean_gain"
    """How several targets and seeds count: by the mean of what is gained over the settings that the search starts from,
    or by the mean rank among all trials."""
    sampler: str = "tpe"
    """tpe, nsga2, random or grid, with parameters as in nsga2:population_size=20,mutation_prob=0.1."""
    scheduler: str | None = None
    """asha, median or none, with parameters as in asha:grace_period=0.25,reduction_factor=3. Default: asha where one
    measure ranks trials, otherwise none."""
    samples: int | None = None
    """Trials. Default: 20, or all points of a grid."""

    def check(self) -> None:
        """Raise `InputError` for values that cannot work; reads no data."""
        require_at_least("samples", self.samples, 1)
        super().check()
        if self.source is not None and not self.targets and self.preset is None and not self._is_embedded:
            raise InputError("targets: none given; allowed: --target with a labelled folder or a data set's name")
        Request.of(self)

    @property
    def places(self) -> dict[str, str]:
        """As for every sweep, and the source, a target and a file of the space where these are paths."""
        files = [word for word in self.space if word.endswith(".toml") and "=" not in word]
        given = [("source", self.source or ""), *(("targets", target) for target in self.targets)]
        found = {name: place for name, place in given if "/" in place}
        return {**super().places, **found, **({"space": files[-1]} if files else {})}

    @property
    def _is_embedded(self) -> bool:
        return presets.default_for(self.source) != presets.default_for("somewhere")


@dataclass(frozen=True)
class Request:
    """A search that was asked for, with everything settled that needs no data."""

    space: FieldSpace
    goals: Goals
    over: Literal["mean_gain", "mean_rank"] | None
    """None for one target and one seed."""
    sampler: Sampler
    scheduler: Scheduler
    num_trials: int
    choice: DataChoice

    @classmethod
    def of(cls, options: Options) -> Request:
        """What the options ask for. Raises `InputError`, one line, for what cannot work."""
        goals = Goals.parse(options.objective)
        preset = options.preset or presets.default_for(options.source)
        start: RunConfig = presets.build(preset).replace(**goals.fields)
        if options.source is not None:
            start = start.replace(source=_anywhere(options.source))
        entries = read_entries(options.space or DEFAULT_SPACE, task=start.pretext.pretext)
        targets = tuple(map(_anywhere, options.targets)) or (_default_target(preset, start),)
        several = len(targets) * len(options.seeds) > 1
        over = options.over if several else None
        if over == MEAN_RANK and not goals.chooser.has_own_direction:
            raise InputError(f"over: mean_rank cannot work with {goals.chooser}; allowed: the measure's own direction")
        sampler = parse_sampler(options.sampler, over=over)
        scheduler = parse_scheduler(options.scheduler, goals, over)
        space = FieldSpace.of(entries, start)
        usual = presets.build(preset).flat()
        changed = {name: value for name, value in space.base.flat().items() if value != usual.get(name)}
        return cls(
            space=space,
            goals=goals,
            over=over,
            sampler=sampler,
            scheduler=scheduler,
            num_trials=_num_trials(options, sampler, space),
            choice=DataChoice(
                name=EXPERIMENT,
                preset=preset,
                fields=changed,
                targets=targets,
                scale=Scale(samples=SAMPLES),
                smoke=Scale(samples=SMOKE_SAMPLES, epochs=1, max_source=SMOKE_SOURCE),
            ),
        )


def settled(options: Options, request: Request) -> Options:
    """The options with the targets that are meant, as any process finds them, and a data root that is absolute."""
    return dataclasses.replace(options, targets=request.choice.targets, seeds=options.seeds or (0,))


def _num_trials(options: Options, sampler: Sampler, space: FieldSpace) -> int:
    asked = options.samples or (SMOKE_SAMPLES if options.smoke else None)
    if not isinstance(sampler, Grid):
        return asked or SAMPLES
    points = len(space.grid())
    return min(points, asked or points)


def _default_target(preset: str, start: RunConfig) -> str:
    return f"glyphs-{FOR_CHOOSING[1]}" if preset == "glyphs" else start.data.target


def _anywhere(spec: str) -> str:
    """The specification of data as it is understood in every folder of this machine."""
    name, colon, path = spec.partition(":")
    if colon and Path(path).expanduser().exists():
        return f"{name}:{Path(path).expanduser().absolute()}"
    here = Path(spec).expanduser()
    return str(here.absolute()) if here.exists() and ("/" in spec or not _names_a_reader(spec)) else spec


def _names_a_reader(spec: str) -> bool:
    from bdw.data import readers

    return spec in readers.available()
