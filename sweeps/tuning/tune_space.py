"""Spaces written in Ray Tune's or Optuna's own words, as entries of a search of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.sample import Domain

from bdw.errors import InputError


def entries_of(space: Mapping[str, Any]) -> dict[str, Any]:
    """The entries (see `sweeps.tuning.space`) of a mapping whose values may also be `tune.loguniform(1e-2, 1)` and the
    like, `tune.grid_search([...])`, or Optuna's distributions.

    Raises `InputError` for a domain of Tune that Optuna has none for.
    """
    return {name: _entry(name, value) for name, value in space.items()}


def _entry(name: str, value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:
        return {"choices": list(value["grid_search"])}
    if isinstance(value, Domain):
        try:
            value = OptunaSearch.convert_search_space({"field": value})["field"]
        except ValueError as error:
            raise InputError(f"space: {name}: {str(error).splitlines()[0]}") from error
    match value:
        case CategoricalDistribution(choices=choices):
            return {"choices": list(choices)}
        case IntDistribution() | FloatDistribution():
            found = {"low": value.low, "high": value.high, "log": value.log}
            has_step = value.step is not None and not (isinstance(value, IntDistribution) and value.step == 1)
            return found | ({"step": value.step} if has_step else {})
        case BaseDistribution():
            raise InputError(f"space: {name}: {value!r} cannot work; allowed: Int-, Float-, CategoricalDistribution")
        case _:
            return value
