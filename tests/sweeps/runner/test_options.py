"""Options that cannot work end in one clear line and exit status 2, before any compute."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from bdw.data.readers.glyphs import FOR_CHOOSING, REPORTED
from bdw.errors import InputError
from sweeps.runner import command_line, datasets
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.options import SearchOptions
from sweeps.stl10_pruning import Options, main


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--data", "tiny-imagenet", "--data-root", "a folder/it's", "--targets", "cifar10", "dtd", "--smoke"],
        ["--seeds", "3", "4", "--gpus-per-trial", "0.5", "--no-early-stopping", "--objective", "accuracy-seconds"],
    ],
)
def test_the_command_that_repeats_it_gives_the_same_options(given: list[str]) -> None:
    options = command_line.parse(Options, given, prog="stl10_pruning")
    python, script, *words = shlex.split(command_line.repeated(options, prog="stl10_pruning"))
    assert [python, script] == ["python", "sweeps/stl10_pruning.py"]
    assert sorted(words) == sorted(given)
    assert command_line.parse(Options, words, prog="stl10_pruning") == options


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": 0}, "samples: 0 cannot work; allowed: 1 or more"),
        ({"epochs": 0}, "epochs: 0"),
        ({"num_workers": 0}, "num_workers: 0"),
        ({"concurrency": -1}, "concurrency: -1"),
        ({"gpus_per_trial": -0.5}, "gpus_per_trial: -0.5"),
        ({"gpus_per_trial": float("nan")}, "gpus_per_trial: nan"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: 1.5 GPUs for a worker"),
        ({"gpus_per_trial": 1.0, "num_workers": 2}, "gpus_per_trial: 0.5 of a GPU for each of 2 workers .* NCCL"),
        ({"cpus_per_trial": 0.0}, "cpus_per_trial: 0.0 cannot work; allowed: a positive number"),
        ({"seeds": (1, 1)}, "seeds: 1 is given twice"),
        ({"seeds": (-1,)}, "seeds: -1"),
        ({"targets": ("a", "a")}, "targets: 'a' is given twice"),
        ({"objective": "acuracy"}, "objective: 'acuracy' is not known .did you mean 'accuracy'"),
    ],
)
def test_values_that_cannot_work(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchOptions(**changed).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sampels", "3"], "--sampels: is not known; did you mean --samples?"),
        (["--samples", "three"], "--samples"),
        (["--epochs", "0"], "epochs: 0 cannot work; allowed: 1 or more"),
        (["--seeds", "1", "1"], "seeds: 1 is given twice"),
        (["--data", "glyph"], "data: 'glyph' is not known (did you mean 'glyphs'?)"),
        (["--targets", "glyphs"], "glyphs"),
        (["--data", "digit"], "data: 'digit' is not known (did you mean 'digits'?)"),
        (["--data", "stl10"], "data_root: none was given; allowed: a folder that holds STL-10"),
        (["--targets", "nonsense"], "nonsense"),
        (["--name", "a/b"], "name: 'a/b' cannot be a folder's name"),
        (["--max-source", "8"], "max_source: 8 images are less than a batch; allowed: "),
        (["--storage-path", "nonsense://x"], "storage_path: 'nonsense://x/stl10_pruning-glyphs' cannot be used"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(main, arguments, "stl10_pruning")


def test_a_name_of_another_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_ray(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.runner.on_ray.running_ray", no_ray)
    options = ["--storage-path", str(tmp_path), "--targets", "digits", "--max-source", "64"]
    assert command_line.run(lambda: main([*options, "--epochs", "2"]), prog="sweep") == command_line.INTERRUPTED
    assert "the same command continues" in capsys.readouterr().err
    assert command_line.run(lambda: main([*options, "--epochs", "3"]), prog="sweep") == 2
    assert "holds another experiment (epochs: 2 there, 3 here)" in capsys.readouterr().err


def test_options_arrive() -> None:
    options = command_line.parse(Options, ["--seeds", "1", "2", "--smoke", "--gpus-per-trial", "0.5"], prog="sweep")
    assert (options.seeds, options.smoke, options.gpus_per_trial) == ((1, 2), True, 0.5)


@pytest.mark.parametrize(
    ("given", "seeds"), [([], (0, 1)), (["--smoke"], (0,)), (["--seeds", "3", "4", "5"], (3, 4, 5))]
)
def test_the_embedded_pool_has_two_seeds_of_its_own(
    given: list[str], seeds: tuple[int, ...], settled: Callable[[list[str]], SearchExperiment]
) -> None:
    found = settled(given)
    assert found.options.seeds == seeds
    assert found.base.optimiser.seed == seeds[0], "a search uses the first"


@pytest.mark.parametrize(
    ("given", "reported"),
    [([], [f"glyphs-{script}" for script in REPORTED]), (["--smoke"], [f"glyphs-{script}" for script in REPORTED[:2]])],
)
def test_the_search_is_for_none_of_the_targets_that_are_reported(
    given: list[str], reported: list[str], settled: Callable[[list[str]], SearchExperiment]
) -> None:
    found = settled(given)
    assert list(found.rooms) == reported
    assert found.base.data.target not in found.rooms
    assert found.base.data.target.removeprefix("glyphs-") in FOR_CHOOSING
    assert found.search_room.num_classes > 0
    assert found.search_room.contents not in {room.contents for room in found.rooms.values()}


def test_targets_that_are_named_are_searched_for_too(settled: Callable[[list[str]], SearchExperiment]) -> None:
    found = settled(["--targets", "glyphs-hebrew", "glyphs-greek"])
    assert found.base.data.target == "glyphs-hebrew"
    assert list(found.rooms) == ["glyphs-hebrew", "glyphs-greek"]
    assert found.search_room == found.rooms["glyphs-hebrew"]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], SearchExperiment]:
    """The main job's experiment on a small pool, by arguments; packed data are shared."""
    folder = tmp_path_factory.mktemp("sweeps")

    @functools.cache
    def settle(*given: str) -> SearchExperiment:
        small = ["--max-source", "64", "--storage-path", str(folder), "--name", "small"]
        options = command_line.parse(Options, [*given, *small], prog="stl10_pruning")
        return SearchExperiment.settle("stl10_pruning", options, datasets.choose(options.data))

    return lambda given: settle(*given)


def test_another_number_of_epochs_moves_the_milestones() -> None:
    choice = datasets.choose("stl10")
    config = datasets.base_config(choice, data_root="x", download=False, target="stl10", epochs=7)
    assert config.schedule.lr_milestones == (3, 5)
    paper = datasets.base_config(choice, data_root="x", download=False, target="stl10", epochs=None)
    assert paper.schedule.lr_milestones == (15, 25)
    assert paper.budget.epochs == 35
