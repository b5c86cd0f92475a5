"""The config: flat names, exact types, ranges, suggestions."""

from __future__ import annotations

import dataclasses
import json

import pytest

from bdw.config import LAST_WITH_REMOVED, REMOVED, RunConfig, field_owners
from bdw.errors import InputError


def test_field_names_are_unique_over_all_sections() -> None:
    config = RunConfig()
    sections = [getattr(config, section.name) for section in dataclasses.fields(config)]
    assert len(field_owners()) == sum(len(dataclasses.fields(section)) for section in sections)


def test_the_flat_form_survives_json() -> None:
    config = RunConfig().replace(lr_milestones=[2, 4], max_source=7, weight_lr=3)
    assert RunConfig.from_flat(json.loads(json.dumps(config.flat()))) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight_lrr": 1.0}, r"config field: 'weight_lrr' is not known \(did you mean 'weight_lr'\?\)"),
        ({"weight_lr": "1"}, "weight_lr: '1' is of type str; allowed: float"),
        ({"epochs": 2.5}, "epochs: 2.5 is of type float; allowed: int"),
        ({"epochs": True}, "epochs: True is of type bool; allowed: int"),
        ({"max_source": "all"}, "max_source: 'all' is of type str; allowed: int or none"),
        ({"lr_milestones": 3}, "lr_milestones: 3 cannot work; allowed: a list"),
        ({"device": "tpu"}, "device: 'tpu' is not known"),
        ({"weight_lr": 0.0}, r"weight_lr \(eta\): 0.0 cannot work; allowed: a positive number"),
        ({"weight_lr": float("nan")}, r"weight_lr \(eta\): nan cannot work"),
        ({"cdf_threshold": 0.0}, r"cdf_threshold \(lambda\): 0.0 cannot work; allowed: between 0 and 1"),
        ({"density_threshold": 1.0}, r"density_threshold \(rho\): 1.0 cannot work"),
        ({"crop_size": 21}, "crop_size: 21 cannot work; allowed: 4 to image_size"),
        ({"momentum": 1.0}, "momentum: 1.0 cannot work; allowed: 0 <= value < 1"),
        ({"lr_milestones": [5, 3]}, r"lr_milestones: \(5, 3\) cannot work; allowed: rising epochs"),
        ({"ways": 1}, r"ways \(K\): 1 cannot work; allowed: at least 2 classes"),
        ({"shots": 0}, r"shots \(N\): 0 cannot work"),
        ({"data_seed": -1}, "data_seed: -1 cannot work; allowed: 0 or more"),
        ({"seed": -1}, "seed: -1 cannot work"),
    ],
)
def test_what_cannot_work_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunConfig.from_flat(values)


def test_fields_that_are_gone_are_read_where_nobody_had_asked_for_them() -> None:
    config = RunConfig().replace(epochs=7)
    assert not REMOVED.keys() & field_owners().keys()
    assert RunConfig.from_earlier(config.flat() | dict(REMOVED)) == config
    assert RunConfig.from_earlier({"epochs": 7}) == config


@pytest.mark.parametrize("name", REMOVED)
def test_a_field_that_is_gone_is_named_where_it_was_used(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: 3 is from an earlier version .*revision {LAST_WITH_REMOVED}"):
        RunConfig.from_earlier({name: 3})
    with pytest.raises(InputError, match=f"config field: '{name}' is not known"):
        RunConfig.from_flat({name: REMOVED[name]})
