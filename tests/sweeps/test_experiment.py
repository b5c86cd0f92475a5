"""Other data of the same name make another experiment and other runs, wherever the data lie."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from sweeps import datasets
from sweeps.comparison import Method, cells
from sweeps.designs import Design, Room
from sweeps.experiment import Experiment
from sweeps.options import SweepOptions
from sweeps.places import Places
from sweeps.space import Space


def room(source: str, target: str) -> Room:
    labels = SimpleNamespace(labels=np.repeat([0, 1], 10))
    problem: Any = SimpleNamespace(
        source=SimpleNamespace(content_key=source), target=SimpleNamespace(train=labels, classes=("a", "b"), key=target)
    )
    return Room.of(problem)


def experiment(folder: Path, data_root: str, *, source: str = "s", target: str = "t", other: str = "o") -> Experiment:
    base = RunConfig().replace(data_root=data_root)
    rooms = {base.data.target: room(source, target), "other": room(source, other)}
    places = Places.of(str(folder), "sweep")
    places.prepare()
    choice, space = datasets.choose("digits"), Space((Design(2, 5, 5),))
    return Experiment("kind", SweepOptions(), choice, base, rooms, space, places, 8)


def test_a_study_of_other_data_is_refused(tmp_path: Path) -> None:
    experiment(tmp_path, "/data").open_studies()
    experiment(tmp_path, "/moved").open_studies()
    for changed in ({"source": "x"}, {"target": "x"}):
        with pytest.raises(InputError, match=r"'sweep' holds another experiment .data contents: 'source s, target t'"):
            experiment(tmp_path, "/data", **changed).open_studies()


def test_runs_on_other_data_are_other_runs(tmp_path: Path) -> None:
    def runs(found: Experiment) -> list[str]:
        plain = [Method("RotNet", {"weighter": "uniform"})]
        return [cell.run for cell in cells(plain, found.base, found.rooms, (0,), found.places)]

    first = runs(experiment(tmp_path, "/data"))
    assert runs(experiment(tmp_path, "/moved")) == first
    changed = runs(experiment(tmp_path, "/data", other="x"))
    assert changed[0] == first[0]
    assert changed[1] != first[1]
