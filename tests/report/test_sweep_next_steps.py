from __future__ import annotations

import shlex
from typing import Any

import pytest

from bdw import cli
from bdw.config import RunConfig, presets, run_fields
from bdw.report.page import Code
from bdw.report.sweep_next_steps import more_seeds, next_steps, own_images, with_option
from bdw.training.checks import check

COMMAND = "python sweeps/x.py --seeds 0 1 --targets a b --data tiny --smoke"


def commands(description: dict[str, object]) -> list[str]:
    section = next_steps(description)
    assert section is not None
    return [block.text for block in section.blocks if isinstance(block, Code)]


def test_commands_are_the_sweeps_with_one_thing_changed() -> None:
    own, target, seeds, cluster = commands({"command": COMMAND})
    assert own == "python -m bdw fit --source photos/ --target labelled/ --run-dir runs/mine"
    assert target == "python sweeps/x.py --seeds 0 1 --data tiny --smoke --targets /path/to/labelled"
    assert seeds == "python sweeps/x.py --targets a b --data tiny --smoke --seeds 0 1 2 3 4"
    assert cluster == (
        "python -m sweeps.jobs.submit sweeps/x.py -- --seeds 0 1 --targets a b --data tiny --smoke --storage-path "
        "s3://bucket/sweeps --concurrency 8"
    )


@pytest.mark.parametrize("description", [{}, {"command": 3}, {"command": "bdw fit"}, {"command": "python 'x.py"}])
def test_without_a_command_there_is_no_section(description: dict[str, object]) -> None:
    assert next_steps(description) is None


def test_own_images_get_the_recipe_and_nothing_else() -> None:
    recipe = RunConfig().replace(weighter="beta", meta_every=7, epochs=3, target="digits").flat()
    words = shlex.split(own_images(recipe))
    assert words[words.index("--preset") + 1] == "pictures", "the paper's method does not start from verdicts"
    assert words[words.index("--meta-every") + 1] == "7"
    assert words.count("--target") == 1
    assert "--epochs" not in words
    options = {word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in words if word.startswith("--")}
    assert {run_fields()[name].section for name in options - {"preset", "source", "target", "run_dir"}} == {"weighter"}


@pytest.mark.parametrize(
    "fields",
    [
        {**presets.weighting(presets.RECOMMENDED), "target_margin": 0.07, "target_batch": 8},
        {**presets.paper_weighting(), "weight_lr": 10.0, "density_threshold": 0.5, "cdf_threshold": 0.25},
    ],
    ids=["recommended", "paper"],
)
def test_own_images_are_weighted_as_the_run_was(fields: dict[str, Any]) -> None:
    run = presets.glyphs().replace(**fields)
    parsed = cli.parse(shlex.split(own_images(run.flat()))[3:])
    assert isinstance(parsed, cli.Fit)
    own = parsed.config.flat()
    wanted = {name: value for name, value in fields.items() if value is not None}
    assert {name: own[name] for name in wanted} == wanted
    check(parsed.config)


def test_seeds_go_on_from_those_that_there_were() -> None:
    assert more_seeds([], {"options": {"seeds": [3, 4]}}) == ["3", "4", "0", "1", "2"]
    assert more_seeds([], {"options": {"seeds": list(range(6))}}) == [str(seed) for seed in range(8)]
    assert more_seeds(["python", "x.py"], {}) == ["0", "1", "2", "3", "4"]


def test_an_option_is_replaced_wherever_it_stands() -> None:
    assert with_option(["python", "x.py", "--a=1", "--b", "2", "3"], "a", ["9"]) == [
        *("python", "x.py", "--b", "2", "3", "--a", "9")
    ]
