"""Other data of the same name make another experiment and other runs, wherever the data lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bdw.config import RunConfig
from bdw.data import Description
from bdw.data.manifest import counts_of
from bdw.errors import InputError
from sweeps.runner import datasets
from sweeps.runner.comparison import cells
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.experiment import SearchExperiment
from sweeps.runner.methods import Method
from sweeps.runner.options import SearchOptions
from sweeps.runner.paths import Paths
from sweeps.runner.space import Space


def room(source: str, target: str) -> Room:
    return Room.of(
        Description(
            num_source=3,
            source_key=source,
            source_kinds=counts_of(np.array(["b", "a", "b"])),
            target_key=target,
            classes=("a", "b"),
            class_counts=(10, 10),
        )
    )


def experiment(
    folder: Path, data_root: str, *, source: str = "s", target: str = "t", other: str = "o"
) -> SearchExperiment:
    base = RunConfig().replace(data_root=data_root)
    rooms = {base.data.target: room(source, target), "other": room(source, other)}
    paths = Paths.of(str(folder), "sweep")
    paths.prepare()
    return SearchExperiment(
        name="kind",
        options=SearchOptions(seeds=(0,)),
        choice=datasets.choose("digits"),
        base=base,
        rooms=rooms,
        search_room=rooms[base.data.target],
        paths=paths,
        space=Space((Design(2, 5, 5),), num_views=4),
        num_trials=8,
    )


def both(found: SearchExperiment) -> None:
    found.open_search()
    found.open_comparison()


def test_a_study_of_other_data_is_refused(tmp_path: Path) -> None:
    both(experiment(tmp_path, "/data"))
    both(experiment(tmp_path, "/moved"))
    for changed in ({"source": "x"}, {"target": "x"}):
        with pytest.raises(InputError, match=r"'sweep' holds another experiment .data contents: 'source s, target t'"):
            both(experiment(tmp_path, "/data", **changed))


@pytest.mark.parametrize("options", [{}, {"study_storage": "sqlite:///{}/study.db"}])
def test_two_folders_do_not_make_two_drivers_of_one_study(tmp_path: Path, options: dict[str, str]) -> None:
    shared = {name: value.format(tmp_path) for name, value in options.items()}
    copy = None if shared else f"file://{tmp_path}/storage/sweep"

    def on_machine(name: str) -> SearchExperiment:
        found = experiment(tmp_path / name, "/data")
        paths = dataclasses.replace(found.paths, copy_at=copy)
        return dataclasses.replace(found, options=SearchOptions(seeds=(0,), **shared), paths=paths)

    first, second = on_machine("one"), on_machine("two")
    with first.only_driver(print):
        both(first)
        with pytest.raises(InputError, match=r"is being run by process \d+ on \S+ since"), first.only_driver(print):
            pass
        with pytest.raises(InputError, match=r"is being run by process \d+ on"), second.only_driver(print):
            pass
        first.open_search().set_user_attr("left by", "the first")
        first.paths.publish()
    with second.only_driver(print):
        assert second.open_search().user_attrs["left by"] == "the first", "not the study that it left"


def test_runs_on_other_data_are_other_runs(tmp_path: Path) -> None:
    def runs(found: SearchExperiment) -> list[str]:
        plain = [Method("RotNet", {"weighter": "uniform"})]
        return [cell.run for cell in cells(plain, found.base, found.rooms, (0,), found.paths)]

    first = runs(experiment(tmp_path, "/data"))
    assert runs(experiment(tmp_path, "/moved")) == first
    changed = runs(experiment(tmp_path, "/data", other="x"))
    assert changed[0] == first[0]
    assert changed[1] != first[1]


def test_a_target_with_fewer_images_than_a_batch_of_the_pretext_meta_loss_is_refused(tmp_path: Path) -> None:
    found = experiment(tmp_path, "/data")  # Its targets have 20 training images.
    uniform = Method("RotNet", {"weighter": "uniform", "meta_loss": "pretext"})
    assert len(cells([uniform], found.base, found.rooms, (0,), found.paths)) == 2
    learns = Method("BDW", {"meta_loss": "prototype+pretext"})
    with pytest.raises(InputError, match="'digits' has 20 training images, less than a batch of the meta-loss"):
        cells([learns], found.base, found.rooms, (0,), found.paths)


def test_kinds_of_the_source_are_counted() -> None:
    assert room("s", "t").source_kinds == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        (SearchOptions(), True),
        (SearchOptions(early_stopping=False), False),
        (SearchOptions(objective="accuracy-seconds"), False),
    ],
)
def test_trials_are_stopped_early_only_where_one_number_compares_them(
    tmp_path: Path, options: SearchOptions, stops: bool
) -> None:
    assert dataclasses.replace(experiment(tmp_path, "/data"), options=options).stops_early is stops


def test_it_says_how_to_repeat_it_and_no_password(tmp_path: Path) -> None:
    found = experiment(tmp_path, "/data")
    options = SearchOptions(study_storage="postgresql://me:secret@host/db", seeds=(0, 1), early_stopping=False)
    described = dataclasses.replace(found, options=options).described()
    assert described["command"] == (
        "python sweeps/kind.py --seeds 0 1 --study-storage 'postgresql://me:***@host/db' --no-early-stopping"
    )
    assert "secret" not in str(described)
    assert described["versions"]["bdw"]
