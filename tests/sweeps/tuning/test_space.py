"""A space of one's own: what is drawn, what stands in the study, and what is refused before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdw.config import RunConfig, presets
from bdw.errors import InputError
from sweeps.tuning.space import FieldSpace, describe
from sweeps.tuning.space_text import read_entries, words_of

BASE = presets.build("digits")


def space(entries: dict[str, Any], base: RunConfig = BASE) -> FieldSpace:
    return FieldSpace.of(entries, base)


MIXED = {
    "weight_lr": {"low": 0.1, "high": 100, "log": True},
    "weighter.meta_every": {"low": 1, "high": 7, "step": 2},
    "gradient.tangent_views": {"choices": [None, 1, 4]},
    "lr_milestones": {"choices": [[2, 3], [4]]},
    "optimiser.batch_size": 32,
}


def test_draws_are_configs_and_fixed_values_hold() -> None:
    found = space(MIXED)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [found.config(found.draw(study.ask())) for _ in range(60)]
    assert {config.optimiser.batch_size for config in configs} == {32}
    assert {config.weighter.meta_every for config in configs} == {1, 3, 5, 7}
    assert {config.gradient.tangent_views for config in configs} == {None, 1, 4}
    assert {config.schedule.lr_milestones for config in configs} == {(2, 3), (4,)}
    rates = [config.weighter.weight_lr for config in configs]
    assert min(rates) >= 0.1
    assert max(rates) <= 100
    # On a logarithmic scale half of the draws lie below the geometric mean, sqrt(0.1 * 100); on a plain one 3 %.
    assert 15 < sum(rate < 3.16 for rate in rates) < 45
    # All else is the base's.
    assert {config.replace(**{k: BASE.flat()[k] for k in (*found.fields(study.trials[0].params), "batch_size")})
            for config in configs} == {BASE}  # fmt: skip


def test_the_start_is_the_bases_own_point() -> None:
    start = space(MIXED | {"lr_milestones": {"choices": [[2], []]}}).start()
    assert start == {"weight_lr": 1.0, "meta_every": 1, "tangent_views": None, "lr_milestones": "[]"}
    assert space({"weight_lr": {"low": 2.0, "high": 3.0}}).start() is None, "1 is not in the space"
    assert space({"learning_rate": {"choices": [0.5]}}).start() is None


def test_a_grid_has_every_point_once_in_order() -> None:
    found = space({"meta_every": {"low": 1, "high": 2}, "weight_lr": {"low": 0.5, "high": 1.5, "step": 0.5}})
    points = [(point["meta_every"], point["weight_lr"]) for point in found.grid()]
    assert points == [(1, 0.5), (1, 1.0), (1, 1.5), (2, 0.5), (2, 1.0), (2, 1.5)]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"wieght_lr": {"low": 1, "high": 2}}, r"space: 'wieght_lr' is not known \(did you mean 'weight_lr'\?\)"),
        ({"weighter.weigth_lr": 3}, r"did you mean 'weighter.weight_lr'"),
        ({"weight_lr": {"low": 1, "hihg": 2}}, r"space: weighter.weight_lr: 'hihg' is not known .*'high'"),
        ({"weight_lr": {"low": 1}}, "has no 'high'; allowed: low and high, or choices"),
        ({"weight_lr": {"low": 5, "high": 2}}, "low 5, high 2 cannot work; allowed: low below high"),
        ({"weight_lr": {"low": 0, "high": 2, "log": True}}, "with log; allowed: low above 0"),
        ({"weight_lr": {"low": 0.1, "high": 2, "step": 0.3}}, "a step above 0 that leads from low to high"),
        ({"weight_lr": {"low": "a", "high": 2}}, "low 'a' cannot work; allowed: a number"),
        ({"batch_size": {"low": 0.5, "high": 2}}, "batch_size: 0.5 is of type float; allowed: int"),
        ({"batch_size": {"choices": [32, "64"]}}, "batch_size: '64' is of type str; allowed: int"),
        ({"batch_size": {"choices": [32, 32]}}, "allowed: each value once"),
        ({"batch_size": {"choices": []}}, "allowed: a list of values"),
        ({"schedule": {"choices": ["cosine", "linear"]}}, "schedule: 'linear' is not known"),
        ({"encoder": {"low": 1, "high": 2}}, "encoder.encoder is no number; allowed: choices, or a fixed value"),
        ({"encoder": {"choices": ["small_cnn", "resnet19"]}}, r"'resnet19' is not known \(did you mean 'resnet18'"),
        ({"cdf_threshold": {"low": 0.1, "high": 1.2}}, r"1.2 cannot work; allowed: between 0 and 1"),
        ({"meta_every": 2}, "nothing is searched"),
        ({"seed": {"low": 0, "high": 9}}, "optimiser.seed is settled by --seeds"),
        ({"targets": ["a", "b"], "meta_every": {"low": 1, "high": 2}}, "data.targets is settled by --targets"),
        ({"run_dir": "here", "meta_every": {"low": 1, "high": 2}}, "output.run_dir is settled by the sweep itself"),
        ({"measure": {"choices": ["rankme"]}}, "evaluation.measure is settled by --objective"),
        ({"keep_checkpoints": {"low": 1, "high": 2}}, "changes no result"),
        ({"meta_every": {"low": 1, "high": 2}, "weighter.meta_every": 3}, "weighter.meta_every is named twice"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        space(entries)
    assert "\n" not in str(caught.value)


def test_a_value_that_needs_another_fields_value_is_accepted() -> None:
    """`direction_parameters head` works with the pretext meta-loss alone, and the base has prototypes."""
    both = {"direction_parameters": {"choices": ["all", "head"]}, "meta_loss": {"choices": ["prototype", "pretext"]}}
    assert len(space(both).grid()) == 4
    with pytest.raises(InputError, match="'head' cannot work with meta_loss 'prototype'"):
        space({"direction_parameters": {"choices": ["all", "head"]}})


def test_a_grid_without_end_is_refused() -> None:
    with pytest.raises(InputError, match=r"'grid' cannot visit every value of weighter\.weight_lr"):
        space({"weight_lr": {"low": 0.1, "high": 1}}).grid()
    large = {"batch_size": {"low": 1, "high": 200}, "ways": {"low": 2, "high": 10}, "shots": {"low": 1, "high": 9}}
    with pytest.raises(InputError, match="a grid of 16,200 points cannot work; allowed: at most 10,000"):
        space(large).grid()


def test_options_of_the_pretext_task_are_searched_with_it() -> None:
    vae = presets.build("mnist_autoencoders")
    found = space({"pretext.latent_size": {"low": 1, "high": 4}}, vae)
    assert found.config({"pretext.latent_size": 3}).pretext.options.latent_size == 3
    found = space({"pretext": "vae", "meta_loss": "pretext", "pretext.latent_size": {"choices": [1, 2]}})
    assert found.base.pretext.pretext == "vae"


def test_options_of_a_selector_are_searched_with_it() -> None:
    words = ("selector=simcore", "selector.features=pixels", "selected_share=0.1..0.5", "selector.clusters=10,50")
    found = space(entries(*words))
    config = found.config({"selected_share": 0.25, "selector.clusters": 50})
    assert (config.selector.selected_share, config.selector.selector_options.clusters) == (0.25, 50)
    with pytest.raises(InputError, match=r"space: 'selector.clusters' is not known"):
        entries("selector=random", "selector.clusters=10,50")


def entries(*words: str) -> dict[str, Any]:
    return read_entries(words, task="rotation")


def test_words_are_ranges_choices_and_fixed_values() -> None:
    assert entries("weight_lr=.1..1e2:log", "meta_every=1..9:step=2", "target_margin=0.05..0.2") == {
        "weighter.weight_lr": {"low": 0.1, "high": 100.0, "log": True},
        "weighter.meta_every": {"low": 1, "high": 9, "step": 2},
        "gradient.target_margin": {"low": 0.05, "high": 0.2},
    }
    assert entries("encoder=small_cnn,mlp", "tangent-views=none,1", "prune=true,false", "epochs=5") == {
        "encoder.encoder": {"choices": ["small_cnn", "mlp"]},
        "gradient.tangent_views": {"choices": [None, 1]},
        "weighter.prune": {"choices": [True, False]},
        "budget.epochs": 5,
    }
    assert entries("lr_milestones=2,3", 'schedule={"choices": ["cosine"]}', "layer=layer2") == {
        "schedule.lr_milestones": [2, 3],
        "schedule.schedule": {"choices": ["cosine"]},
        "evaluation.layer": "layer2",
    }
    assert entries("pretext=vae", "pretext.latent_size=1..4") == {
        "pretext.pretext": "vae",
        "pretext.latent_size": {"low": 1, "high": 4},
    }


FILE = """
epochs = 5
weight_lr = { low = 0.1, high = 100, log = true }
optimiser.batch_size = { choices = [32, 64] }
[weighter]
weighter = "counts"
cdf_threshold = { low = 0.1, high = 0.4 }
"""


def test_a_file_and_words_that_override_it(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FILE)
    found = entries(str(path), "cdf_threshold=0.3", "meta_every=1..4")
    assert found == {
        "budget.epochs": 5,
        "weighter.weight_lr": {"low": 0.1, "high": 100, "log": True},
        "optimiser.batch_size": {"choices": [32, 64]},
        "weighter.weighter": "counts",
        "weighter.cdf_threshold": 0.3,
        "weighter.meta_every": {"low": 1, "high": 4},
    }
    assert space(found).described() == {
        "weighter.weight_lr": "0.1..100.0:log",
        "optimiser.batch_size": "32,64",
        "weighter.meta_every": "1..4",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is no TOML"),
        ("[weighter]\nweight_lr = { lo = 1, hi = 2 }", "weighter.weight_lr is neither a range nor choices"),
        ("[wieghter]\nweight_lr = 1", "'wieghter.weight_lr' is not known"),
    ],
)
def test_a_file_that_cannot_work_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        entries(str(path))


@pytest.mark.parametrize("word", ["weight_lr", "=3", "weight_lr=", "missing.toml", 'weight_lr={"low": 1'])
def test_words_that_say_nothing_are_refused(word: str) -> None:
    with pytest.raises(InputError, match="space: "):
        entries(word)


@given(
    st.fixed_dictionaries(
        {
            "weighter.weight_lr": st.floats(1e-9, 1e9).map(lambda low: {"low": low, "high": 2 * low, "log": True}),
            "optimiser.batch_size": st.lists(st.integers(1, 10**6), min_size=1, max_size=4).map(
                lambda c: {"choices": c}
            ),
            "evaluation.layer": st.none() | st.text(min_size=1),
            "schedule.lr_milestones": st.lists(st.integers(1, 99), max_size=3),
            "weighter.prune": st.booleans(),
        }
    )
)
def test_words_of_entries_make_them_again(found: dict[str, Any]) -> None:
    assert entries(*words_of(found)) == found


def test_describe() -> None:
    assert describe({"weight_lr": 3.14159, "meta_loss": "pretext", "views": None}) == (
        "weight_lr 3.142  meta_loss pretext  views None"
    )
