"""A search space of one's own: fields of a run's config with ranges and choices, and fixed values for others.

An entry is a field's name or dotted path with one of

    {"low": 0.1, "high": 100, "log": True}      a range; "step" makes it a ladder, "log" needs low > 0
    {"choices": ["prototype", "pretext"]}       one of these
    anything else                               a fixed value

Everything is checked against `RunConfig` before anything is computed.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bdw.config import RunConfig, run_fields
from bdw.config.fields import Field, Mark, accepted_types, coerced, resolved
from bdw.errors import InputError, unknown_option

RANGE, CHOICES = frozenset({"low", "high", "log", "step"}), frozenset({"choices"})
SETTLED_ELSEWHERE = {
    **{name: f"--{name.replace('_', '-')}" for name in ("source", "target", "data_root", "download", "storage_path")},
    **dict.fromkeys(("measure", "monitors"), "--objective"),
    **dict.fromkeys(("run_dir", "cache_dir", "cache_address", "resume", "report"), "the sweep itself"),
    "seed": "--seeds",
    "targets": "--targets",
}
"""Field -> what settles it for every trial of a sweep, so that a space must leave it alone."""
MOST_POINTS = 10_000
"""Points of a grid, at most."""
ATTEMPTS = 64
"""Points at which a value is tried before it is refused, since it may need certain values of other fields."""


@dataclass(frozen=True)
class Parameter:
    """A field that is searched."""

    field: Field
    distribution: BaseDistribution
    """What Optuna knows of it. Choices that are lists stand there as JSON."""
    choices: tuple[Any, ...] = ()
    """The values of a choice; empty for a range."""

    def draw(self, trial: optuna.Trial) -> Any:
        """What Optuna proposes, as it stands in the study."""
        key, found = self.field.key, self.distribution
        if isinstance(found, CategoricalDistribution):
            return trial.suggest_categorical(key, found.choices)
        if isinstance(found, IntDistribution):
            return trial.suggest_int(key, found.low, found.high, step=found.step, log=found.log)
        assert isinstance(found, FloatDistribution)
        return trial.suggest_float(key, found.low, found.high, step=found.step, log=found.log)

    def value(self, proposed: Any) -> Any:
        """The field's value for what stands in the study."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.choices[int(self.distribution.to_internal_repr(proposed))]
        return coerced(self.field.key, proposed, self.field.type)

    def stored(self, value: Any) -> Any:
        """What stands in the study for that value of the field; `ValueError` if it is not in the space."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices[self.choices.index(value)]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{value!r} is no number")
        if not self.distribution._contains(self.distribution.to_internal_repr(value)):
            raise ValueError(f"{value!r} is out of range")
        return value

    def ends(self) -> list[Any]:
        """What stands in the study for every choice, or for both ends of the range."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        return [self.distribution.low, self.distribution.high]

    def points(self) -> list[Any]:
        """All that may stand in the study, in order. Raises `InputError` for a range without a step."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return list(found.choices)
        if isinstance(found, IntDistribution):
            return list(range(found.low, found.high + 1, found.step))
        assert isinstance(found, FloatDistribution)
        if found.step is None:
            raise InputError(
                f"sampler: 'grid' cannot visit every value of {self.field.path}; allowed: choices, whole numbers, or a "
                "range with a step"
            )
        count = round((found.high - found.low) / found.step)
        return [found.low + i * found.step for i in range(count)] + [found.high]

    def __str__(self) -> str:
        """As on the command line."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return ",".join(json.dumps(value) for value in self.choices)
        assert isinstance(found, (IntDistribution, FloatDistribution))
        has_step = found.step is not None and not (isinstance(found, IntDistribution) and found.step == 1)
        more = ":log" if found.log else f":step={found.step!r}" if has_step else ""
        return f"{found.low!r}..{found.high!r}{more}"


@dataclass(frozen=True)
class FieldSpace:
    """Searched fields, and the config of everything else."""

    parameters: tuple[Parameter, ...]
    base: RunConfig
    """With the fixed values; the searched fields are as in the settings that the search starts from."""

    @classmethod
    def of(cls, entries: Mapping[str, Any], base: RunConfig) -> FieldSpace:
        """The space of these entries (see the module) around `base`.

        Raises `InputError`, one line, for a field that there is not (with the nearest name), one that the sweep settles
        itself, one that is named twice, a value of the wrong type or one that works nowhere in the space.
        """
        task = _fixed_name("pretext", entries, base.pretext.pretext)
        known = run_fields(task or "", _fixed_name("selector", entries, base.selector.selector))
        found: dict[str, tuple[Field, Any]] = {}
        for name, entry in entries.items():
            field = resolved(name, known, "space")
            if field.key in SETTLED_ELSEWHERE:
                raise InputError(f"space: {field.path} is settled by {SETTLED_ELSEWHERE[field.key]}, for all trials")
            if _is_searched(entry) and Mark.FREE in field.marks:
                raise InputError(f"space: {field.path} changes no result, so that there is nothing to search")
            if field.key in found:
                raise InputError(f"space: {field.path} is named twice; allowed: each field once")
            found[field.key] = field, entry
        fixed = {key: _fixed(field, entry) for key, (field, entry) in found.items() if not _is_searched(entry)}
        searched = [_parameter(field, entry) for field, entry in found.values() if _is_searched(entry)]
        if not searched:
            raise InputError("space: nothing is searched; allowed: at least one field with a range or choices")
        space = cls(tuple(searched), base.replace(**fixed))
        space._require_usable()
        return space

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """What Optuna proposes: key of a field -> what stands in the study."""
        return {parameter.field.key: parameter.draw(trial) for parameter in self.parameters}

    def fields(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A point of the space, as it stands in the study, as fields of a `RunConfig`."""
        return {parameter.field.key: parameter.value(point[parameter.field.key]) for parameter in self.parameters}

    def config(self, point: Mapping[str, Any]) -> RunConfig:
        """The run at a point, as it stands in the study. Raises `InputError` for values that cannot meet."""
        return self.base.replace(**self.fields(point))

    def start(self) -> dict[str, Any] | None:
        """The base's own values of the searched fields, as they stand in the study; None if they are not in the
        space."""
        values = self.base.flat()
        try:
            return {p.field.key: p.stored(values[p.field.key]) for p in self.parameters}
        except ValueError:
            return None

    def grid(self) -> list[dict[str, Any]]:
        """All points of the space, the last field fastest. Raises `InputError` if there are too many or no end."""
        axes = {parameter.field.key: parameter.points() for parameter in self.parameters}
        count = math.prod(map(len, axes.values()))
        if count > MOST_POINTS:
            raise InputError(f"sampler: a grid of {count:,} points cannot work; allowed: at most {MOST_POINTS:,}")
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    def described(self) -> dict[str, str]:
        """Dotted path -> range or choices, as on the command line."""
        return {parameter.field.path: str(parameter) for parameter in self.parameters}

    def _require_usable(self) -> None:
        """`InputError` if an end of a range, or a choice, works at none of the points that are tried."""
        from bdw.training.checks import check  # Takes torch; names have been looked at.

        for parameter in self.parameters:
            for value in parameter.ends():
                trouble = None
                for point in self._around(parameter.field.key, value):
                    try:
                        check(self.config(point))
                        break
                    except InputError as error:
                        trouble = trouble or error
                else:
                    raise InputError(f"space: {parameter.field.path} {parameter}: {trouble}")

    def _around(self, key: str, value: Any) -> Iterator[dict[str, Any]]:
        """Points at which a parameter has that value: first with the base's own values of the others where they are in
        the space, then with values drawn at random, always the same ones."""
        ends = {parameter.field.key: parameter.ends() for parameter in self.parameters}
        own = self.start() or {name: values[0] for name, values in ends.items()}
        yield {**own, key: value}
        generator = random.Random(0)
        for _ in range(ATTEMPTS):
            yield {**{name: generator.choice(values) for name, values in ends.items()}, key: value}


def describe(point: Mapping[str, Any]) -> str:
    """A short line for a point: `weight_lr 3.2  meta_loss pretext`."""
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in point.items()
    )


def _fixed_name(section: str, entries: Mapping[str, Any], base: str | None) -> str | None:
    """The pretext task or the selector whose options a space may name: the fixed one, otherwise the base's."""
    name = entries.get(section, entries.get(f"{section}.{section}", base))
    return name if isinstance(name, str) else base


def _is_searched(entry: Any) -> bool:
    return isinstance(entry, Mapping)


def _fixed(field: Field, value: Any) -> Any:
    return coerced(field.key, value, field.type)


def _parameter(field: Field, entry: Mapping[str, Any]) -> Parameter:
    names = set(entry)
    allowed = CHOICES if "choices" in names else RANGE
    for name in sorted(names - allowed):
        raise unknown_option(f"space: {field.path}", name, allowed)
    if "choices" in names:
        return _choice(field, entry["choices"])
    for name in ("low", "high"):
        if name not in names:
            raise InputError(f"space: {field.path} has no {name!r}; allowed: low and high, or choices")
    return Parameter(field, _range(field, entry))


def _choice(field: Field, given: Any) -> Parameter:
    if not isinstance(given, (list, tuple)) or not given:
        raise InputError(f"space: {field.path}: choices {given!r} cannot work; allowed: a list of values")
    values = [coerced(field.key, value, field.type) for value in given]
    plain: list[Any] = [list(value) if isinstance(value, tuple) else value for value in values]
    stored = [json.dumps(value) if isinstance(value, list) else value for value in plain]
    if len(set(map(repr, stored))) < len(stored):
        raise InputError(f"space: {field.path}: choices {given!r} cannot work; allowed: each value once")
    return Parameter(field, CategoricalDistribution(stored), tuple(plain))


def _range(field: Field, entry: Mapping[str, Any]) -> BaseDistribution:
    types = set(accepted_types(field.type)) & {int, float}
    if not types:
        raise InputError(f"space: {field.path} is no number; allowed: choices, or a fixed value")
    low, high, step = (_number(field, name, entry.get(name)) for name in ("low", "high", "step"))
    log = entry.get("log", False)
    assert low is not None
    assert high is not None

    def refuse(why: str) -> InputError:
        return InputError(f"space: {field.path}: low {low:g}, high {high:g} cannot work{why}")

    if not isinstance(log, bool):
        raise InputError(f"space: {field.path}: log {log!r} cannot work; allowed: true or false")
    if not low < high:
        raise refuse("; allowed: low below high")
    if log and not low > 0:
        raise refuse(" with log; allowed: low above 0")
    if log and step is not None:
        raise refuse(" with both log and step; allowed: one of them")
    if step is not None and not (step > 0 and math.isclose((high - low) / step, round((high - low) / step))):
        raise refuse(f" with step {step:g}; allowed: a step above 0 that leads from low to high")
    is_whole = int in types and (float not in types or all(isinstance(n, int) for n in (low, high)))
    if is_whole:
        return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))
    return FloatDistribution(float(low), float(high), log=log, step=None if step is None else float(step))


def _number(field: Field, name: str, value: Any) -> float | None:
    if value is None and name == "step":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"space: {field.path}: {name} {value!r} cannot work; allowed: a number")
    if name != "step" or float not in accepted_types(field.type):
        coerced(field.key, value, field.type)
    return value
