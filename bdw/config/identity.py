"""Which run is it? The settings that change a run's result, and what may differ where a run is continued.

A setting that has its default is left out, so that a run keeps its identity when a later version adds a field. For the
same reason the default of a field must never change; a preset may.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bdw.config.fields import Mark
from bdw.config.removed import of_today
from bdw.config.run import RunConfig, run_fields


def settings(config: RunConfig) -> dict[str, Any]:
    """The flat settings that change the run's result and differ from their defaults; by name, JSON types only."""
    config = named(config)
    defaults, known = _defaults(config.pretext.pretext, config.selector.selector), config.fields()
    return {
        name: value
        for name, value in config.flat().items()
        if Mark.FREE not in known[name].marks and value != defaults[name]
    }


def digest(values: Any) -> str:
    """Ten hexadecimal digits that name these values (JSON types), whatever the order of their names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def named(config: RunConfig) -> RunConfig:
    """The config that says what given weights and a given scorer hold; `InputError` where they cannot be read."""
    return dataclasses.replace(config, encoder=config.encoder.with_content(), weighter=config.weighter.with_content())


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps one flat config from continuing the run of another, a phrase for every field.

    A field that the earlier config lacks has its default: the behaviour of versions that did not have this option.
    Given weights, or a scorer, that the config does not say the content of are left for the run to compare, which reads
    them. Raises `InputError` if the run before used an option that is gone.
    """
    given = {"weights_content": "weights", "start_from_content": "start_from"}
    unread = {content for content, field in given.items() if now.get(field) and not now.get(content)}
    task, selector = str(now.get("pretext", RunConfig().pretext.pretext)), now.get("selector")
    before = _defaults(task, selector) | of_today(before)
    known = run_fields(task, selector)
    return [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in now.items()
        if not known[name].marks & {Mark.FREE, Mark.LENGTH} and name not in unread and before.get(name) != value
    ]


def depends_on_length(config: RunConfig) -> list[str]:
    """The settings, as `name value`, by which a run's steps depend on its length, so that a run of another length is
    another run from its beginning; none where a longer one may continue a shorter one."""
    schedule, share = config.schedule, config.weighter.learn_share
    return [
        *([f"schedule {schedule.schedule!r}"] if schedule.schedule == "cosine" else []),
        *([f"warm_up {schedule.warm_up:g}"] if schedule.warm_up > 0 else []),
        *([f"learn_share {share:g}"] if share < 1 else []),
    ]


def _defaults(task: str, selector: str | None) -> dict[str, Any]:
    """Of every field, and of the options of that pretext task and of that selector."""
    return RunConfig().replace(pretext=task, selector=selector).flat() | RunConfig().flat()
