from __future__ import annotations

import shlex

import pytest

from bdw import cli
from bdw.config import presets
from bdw.report.command_line import fit_command


def test_defaults_need_no_options() -> None:
    assert fit_command(presets.build("glyphs").flat()) == "python -m bdw fit"
    assert fit_command(presets.build("digits").flat()) == "python -m bdw fit --source digits"


def test_changed_fields_become_options_that_a_shell_reads_back() -> None:
    config = presets.build("recommended").replace(
        weight_lr=10.0, flip=False, prune=False, schedule="milestones", lr_milestones=(5, 8), source="my folder/it's",
        resume=True,
    )  # fmt: skip
    words = shlex.split(fit_command(config.flat()))
    assert words[4:] == [
        "--source", "my folder/it's", "--no-flip", "--weight-lr", "10.0", "--no-prune", "--schedule", "milestones",
        "--lr-milestones", "5", "8",
    ]  # fmt: skip


def test_a_preset_that_says_most_of_it_is_named() -> None:
    config = presets.build("digits_shared").replace(epochs=4, seed=2)
    assert fit_command(config.flat()) == "python -m bdw fit --preset digits_shared --epochs 4 --seed 2"
    # Nothing is gained by one that needs as many words as it spares.
    plain = fit_command(presets.build("glyphs").replace(weighter="uniform").flat())
    assert plain == "python -m bdw fit --weighter uniform"


def test_options_of_other_versions_are_kept() -> None:
    assert fit_command({"new_option": 3}) == "python -m bdw fit --new-option 3"


@pytest.mark.parametrize("name", presets.available())
@pytest.mark.parametrize("source", ["digits", "photos"])
def test_the_command_line_reads_it_back(name: str, source: str) -> None:
    """Whatever preset a run started from, and whatever the command line would fill in for its source."""
    config = presets.build(name).replace(source=source, seed=3, prune=False, max_source=7, run_dir="a folder")
    command = cli.parse(shlex.split(fit_command(config.flat()))[3:])
    assert isinstance(command, cli.Fit)
    assert command.config == config


@pytest.mark.parametrize("name", presets.available())
@pytest.mark.parametrize("source", ["digits", "glyphs", "photos"])
def test_a_budget_of_images_is_the_only_length_that_it_names(name: str, source: str) -> None:
    """Two lengths are refused."""
    config = presets.build(name).replace(source=source, epochs=77, budget_images=5000)
    words = shlex.split(fit_command(config.flat()))
    assert "--epochs" not in words
    command = cli.parse(words[3:])
    assert isinstance(command, cli.Fit)
    assert command.config.replace(epochs=77) == config
