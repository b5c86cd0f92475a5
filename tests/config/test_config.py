"""The config: flat names, exact types, ranges, suggestions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bdw import pretext as tasks
from bdw.config import RunConfig, identity, pretext, run_fields
from bdw.config.removed import LAST_WITH_REMOVED, REMOVED
from bdw.config.run import OPTIONS, sections
from bdw.config.selector_options import SimCoreOptions
from bdw.errors import InputError


def test_field_names_are_unique_over_all_sections() -> None:
    names = [name for cls in sections().values() for name in (field.name for field in dataclasses.fields(cls))]
    assert len(names) == len(set(names))
    assert set(run_fields()) == set(names) - set(OPTIONS.values()) == set(RunConfig().flat())


def test_a_dotted_path_means_the_same_as_the_name() -> None:
    config = RunConfig().replace(**{"weighter.cdf_threshold": 0.3, "schedule.lr-milestones": [3], "epochs": 7})
    assert config == RunConfig().replace(cdf_threshold=0.3, lr_milestones=[3], epochs=7)
    assert all(field.path == f"{field.section}.{name}" for name, field in run_fields().items())


@pytest.mark.parametrize("name", tasks.available())
def test_the_config_knows_the_options_of_every_task(name: str) -> None:
    assert tasks.task_class(name).Options is pretext.options_of(name)
    config = RunConfig().replace(pretext=name)
    assert type(config.pretext.options) is pretext.options_of(name)
    assert identity.settings(config) == ({} if name == "rotation" else {"pretext": name})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastOptions:
    temperature: float = 0.5
    widths: tuple[int, ...] = (8, 4)


@pytest.fixture
def contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretext task from elsewhere that has options."""
    monkeypatch.setattr(pretext, "_OPTIONS", dict(pretext._OPTIONS))
    pretext.register_options("contrast", ContrastOptions)


@pytest.mark.usefixtures("contrast")
def test_a_pretext_task_has_options_of_its_own() -> None:
    config = RunConfig().replace(**{"pretext": "contrast", "pretext.temperature": 1, "pretext.widths": [3]})
    assert config.pretext.options == ContrastOptions(temperature=1.0, widths=(3,))
    assert config.flat()["pretext.temperature"] == 1.0
    assert RunConfig().replace(**json.loads(json.dumps(config.flat()))) == config
    assert config.replace(epochs=3).pretext == config.pretext
    assert config.replace(pretext="rotation").pretext == RunConfig().pretext
    assert identity.settings(config) == {"pretext": "contrast", "pretext.temperature": 1.0, "pretext.widths": [3]}
    assert identity.differences(RunConfig().replace(pretext="contrast").flat(), config.flat()) == [
        "pretext.temperature was 0.5 and is 1.0",
        "pretext.widths was [8, 4] and is [3]",
    ]
    with pytest.raises(InputError, match=r"pretext.temperature: 'hot' is of type str; allowed: float"):
        config.replace(**{"pretext.temperature": "hot"})
    with pytest.raises(InputError, match=r"'pretext.temprature' is not known \(did you mean 'pretext.temperature'\?\)"):
        config.replace(**{"pretext.temprature": 1.0})
    with pytest.raises(InputError, match=r"'pretext.temperature' is not known"):
        RunConfig().replace(**{"pretext.temperature": 1.0})
    with pytest.raises(InputError, match=r"pretext.options: .* are not of 'rotation'; allowed: NoOptions"):
        dataclasses.replace(config.pretext, pretext="rotation")


def test_a_selector_has_options_of_its_own() -> None:
    values = {"selector": "simcore", "selector.features": "pixels", "selector.clusters": 7, "selected_share": 0.2}
    config = RunConfig().replace(**values)
    assert config.selector.selector_options == SimCoreOptions(features="pixels", clusters=7)
    assert RunConfig().replace(**json.loads(json.dumps(config.flat()))) == config
    assert identity.settings(config) == values
    assert config.replace(epochs=3).selector == config.selector
    # A size takes the place of the other one; another selector has its own options, and none has no size.
    by_count = config.replace(selected_count=9).selector
    assert (by_count.selected_count, by_count.selected_share) == (9, None)
    assert config.replace(selector="random").selector.selected_share == 0.2
    assert config.replace(selector="prototypes").flat()["selector.features"] is None
    assert config.replace(selector=None) == RunConfig()
    assert identity.differences(RunConfig().flat(), config.flat()) == [
        "selector was None and is 'simcore'",
        "selected_share was None and is 0.2",
        "selector.features was None and is 'pixels'",
        "selector.clusters was None and is 7",
    ]
    file = config.replace(**{"selector.features": "run:mine"}).selector.selector_options.features
    assert file == f"run:{Path.cwd() / 'mine'}"
    with pytest.raises(InputError, match=r"'selector.feature' is not known \(did you mean 'selector.features'\?\)"):
        config.replace(**{"selector.feature": "pixels"})
    with pytest.raises(InputError, match=r"'selector.clusters' is not known"):
        RunConfig().replace(**{"selector.clusters": 3})


def test_the_flat_form_survives_json() -> None:
    config = RunConfig().replace(lr_milestones=[2, 4], max_source=7, weight_lr=3)
    assert RunConfig().replace(**json.loads(json.dumps(config.flat()))) == config


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
        ({"selected_share": 0.5}, "selected_share: 0.5 cannot work without a selector; allowed: none, or a selector"),
        ({"selector": "random", "selected_share": 1.5}, "selected_share: 1.5 cannot work; allowed: above 0, at most 1"),
        ({"selector": "random", "selected_count": 0}, "selected_count: 0 cannot work; allowed: at least 1, or none"),
        (
            {"selector": "random", "selected_count": 2, "selected_share": 0.5},
            "selected_share, selected_count: 0.5 and 2 are both given; allowed: one of them",
        ),
        (
            {"selector": "hierarchical", "selector.levels": [5, 5]},
            r"selector.levels: \(5, 5\) cannot work; allowed: falling numbers of clusters, at least 1",
        ),
        ({"selector": "prototypes", "selector.keep": "all"}, "selector.keep: 'all' is not known"),
        (
            {"selector": "neural-data-server", "selector.temperature": 0.0},
            "selector.temperature: 0.0 cannot work; allowed: a positive number",
        ),
    ],
)
def test_what_cannot_work_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunConfig().replace(**values)


def test_fields_that_are_gone_are_read_where_nobody_had_asked_for_them() -> None:
    config = RunConfig().replace(epochs=7)
    assert not REMOVED.keys() & run_fields().keys()
    assert RunConfig.from_earlier(config.flat() | dict(REMOVED)) == config
    assert RunConfig.from_earlier({"epochs": 7}) == config


@pytest.mark.parametrize("name", REMOVED)
def test_a_field_that_is_gone_is_named_where_it_was_used(name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: 3 is from an earlier version .*revision {LAST_WITH_REMOVED}"):
        RunConfig.from_earlier({name: 3})
    with pytest.raises(InputError, match=f"config field: '{name}' is not known"):
        RunConfig().replace(**{name: REMOVED[name]})


def test_target_alone_takes_the_place_of_several_and_must_not_contradict_them() -> None:
    several = RunConfig().replace(targets=["a", "b"])
    assert (several.data.target, several.data.targets) == ("a", ("a", "b"))
    alone = several.replace(target="c")
    assert (alone.data.target, alone.data.targets) == ("c", ())
    assert RunConfig().replace(**several.flat()) == several
    assert several.replace(seed=1).data.targets == ("a", "b")
    assert RunConfig().replace(targets=["a"], target_in_pool=True).data.target == "a"
    for targets in (["a", "b"], ["a"]):
        with pytest.raises(InputError, match=r"target: 'c' cannot work; allowed: none beside targets \['a'.*first"):
            RunConfig().replace(target="c", targets=targets)
    with pytest.raises(InputError, match="target_in_pool: True cannot work; allowed: false with several targets"):
        several.replace(target_in_pool=True)
