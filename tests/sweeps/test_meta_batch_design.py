"""The grid of meta-batch designs: what is in it, what its table and pictures say, and the entry as a user runs it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.evaluation import measure
from sweeps.meta_batch_design import Options, grid, main, method
from sweeps.results import design_table
from sweeps.runner import datasets
from sweeps.runner.comparison import Cell
from sweeps.runner.episode_designs import Design, Room
from sweeps.runner.experiment import Experiment
from sweeps.runner.paths import Paths

ACCURACY = measure("accuracy")


def experiment(folder: Path, options: Options, **rooms: Room) -> Experiment:
    paths = Paths.of(str(folder), "sweep")
    paths.prepare()
    base = RunConfig().replace(epochs=2)
    choice = datasets.choose("digits")
    first = next(iter(rooms.values()), Room(2, 2, 4))
    return Experiment(
        name="kind", options=options, choice=choice, base=base, rooms=rooms, search_room=first, paths=paths
    )


def learning(cells: list[Cell], domain: str) -> list[Cell]:
    return [cell for cell in cells if cell.domain == domain and cell.method != "RotNet"]


def test_the_grid_is_complete_and_says_what_has_no_room(tmp_path: Path) -> None:
    options = Options(ways=(2, 5), shots=(1, 5), queries=(5,), intervals=(1, 4), seeds=(3, 7))
    said = io.StringIO()
    found = grid(
        experiment(tmp_path, options, small=Room(3, 9, 30), large=Room(10, 20, 300)),
        options,
        Console(file=said, width=60),
    )
    small = {(Design.of(c.config), c.config.weighter.meta_every) for c in learning(found, "small")}
    assert small == {(Design(2, 1, 5), 1), (Design(2, 1, 5), 4)}
    assert {Design.of(c.config) for c in learning(found, "large")} == set(options.designs)
    assert len(found) == 2 * ((2 + 1) + (8 + 1))
    assert len({cell.run for cell in found}) == len(found)
    assert [cell.seed for cell in found] == [3] * 12 + [7] * 12, "every design once before any a second time"
    assert said.getvalue().splitlines() == [
        "left out: 2-way 5-shot 5-query, 5-way 1-shot 5-query, 5-way 5-shot 5-query; "
        "'small' has room for 3 ways, and for 9 shots and queries together"
    ]


def test_a_target_without_room_for_any_design_is_refused(tmp_path: Path) -> None:
    options = Options(ways=(20,), seeds=(0,))
    with pytest.raises(InputError, match="no design fits; allowed: 'small' has room for 3 ways, and for 9 shots"):
        grid(experiment(tmp_path, options, small=Room(3, 9, 30)), options, Console(file=io.StringIO()))


def cell(name: str, seed: int, design: Design | None = None, meta_every: int = 1) -> Cell:
    fields = {"weighter": "uniform"} if design is None else method(design, meta_every).fields
    return Cell(name, "digits", seed, RunConfig().replace(**fields, seed=seed), f"{name}-{seed}")


def trials() -> tuple[pd.DataFrame, list[Cell]]:
    """Three methods and two seeds; the dear one lacks a seed, whose first attempt failed."""
    known = {"RotNet": None, "cheap": Design(5, 1, 5), "dear": Design(10, 5, 5)}
    # Validation, test, seconds, target images.
    measured = {
        ("RotNet", 0): (0.80, 0.70, 10.0, 0),
        ("RotNet", 1): (0.82, 0.74, 12.0, 0),
        ("cheap", 0): (0.90, 0.80, 13.0, 300),
        ("cheap", 1): (0.92, 0.80, 15.0, 300),
        ("dear", 0): (0.95, 0.85, 30.0, 2000),
    }
    rows = [
        {
            "state": "complete", "method": name, "domain": "digits", "seed": seed, "run": f"runs/{name}-{seed}",
            "validation_score": validation, "test_score": test, "wall_seconds": seconds,
            "target_instances_seen": images, "kept_fraction": 0.5,
        }
        for (name, seed), (validation, test, seconds, images) in measured.items()
    ]  # fmt: skip
    rows.append({**rows[-1], "state": "failed", "run": "runs/dear-1", "test_score": None})
    return pd.DataFrame(rows), [cell(name, seed, known[name], 4) for name, seed in measured]


def test_means_costs_and_the_front() -> None:
    table, cells = trials()
    summary = design_table.summarise(table, cells, ACCURACY).set_index("method")
    assert list(summary.index) == ["RotNet", "cheap", "dear"]
    assert summary["num_seeds"].tolist() == [2, 2, 1]
    # By hand: the deviation of two values is their distance over the root of 2.
    assert summary.loc["RotNet", "test_mean"] == pytest.approx(0.72)
    assert summary.loc["RotNet", "test_sd"] == pytest.approx(0.04 / 2**0.5)
    assert summary.loc["cheap", "wall_seconds"] == pytest.approx(14.0)
    assert summary.loc["cheap", "ways"] == 5
    assert summary.loc["dear", "meta_every"] == 4
    assert pd.isna(summary.loc["RotNet", "ways"])
    for front in ("front_by_seconds", "front_by_target_images"):
        assert summary[front].tolist() == [True, True, False], "a design that lacks seeds is on no front"


def test_tables_pictures_and_the_reports_list(tmp_path: Path) -> None:
    table, cells = trials()
    found = experiment(tmp_path, Options())
    folder = found.paths.path
    table.to_csv(folder / "trials.csv", index=False)
    said = io.StringIO()
    design_table.write(found, cells, baseline="RotNet", console=Console(file=said, width=80))
    shown = said.getvalue()
    assert "accuracy (%) on digits, 2 seeds" in shown
    assert "left out of the picture: dear on digits, which lacks seeds" in shown
    text = (folder / "meta_batch_design.md").read_text().splitlines()
    assert "| RotNet | 72.0 ± 2.8 | 81.0 ± 1.4 | 11.0 * | 0 * | 50 |" in text
    assert "| dear (1 seed) | 85.0 | 95.0 | 30.0 | 2,000 | 50 |" in text
    assert len(pd.read_csv(folder / "meta_batch_design.csv")) == 3
    (entry,) = json.loads((folder / "figures.json").read_text())["Accuracy against cost"]
    assert (folder / entry["file"]).stat().st_size > 5_000
    assert "mean over 2 seeds" in entry["caption"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ways", "1"], "ways: 1 cannot work; allowed: 2 or more"),
        (["--shots", "0"], "shots: 0 cannot work; allowed: 1 or more"),
        (["--queries", "5", "5"], "queries: 5 is given twice; allowed: each once"),
        (["--intervals", "0"], "intervals: 0 cannot work; allowed: 1 or more"),
        (["--intervals", "often"], "often"),
        (["--seeds", "1", "1"], "seeds: 1 is given twice"),
        (["--data", "digit"], "data: 'digit' is not known (did you mean 'digits'?)"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(main, arguments, "meta_batch_design")


@pytest.mark.long
def test_smoke(tmp_path: Path, run_entry: Callable[..., str]) -> None:
    arguments = ["--smoke", "--storage-path", str(tmp_path), "--name", "small", "--seeds", "0", "1"]

    def run(*more: str) -> str:
        return run_entry(main, [*arguments, *more])

    said = run("--ways", "5", "40")
    sweep = tmp_path / "small"
    assert said.splitlines()[-1] == f"report: {sweep / 'report.html'}"
    assert "left out: 40-way 1-shot 5-query; 'digits' has room for 10 ways" in said
    table = pd.read_csv(sweep / "meta_batch_design.csv")
    assert set(table["method"]) == {"RotNet", "K5 N1 Q5", "K5 N1 Q5 every 4"}
    assert table["num_seeds"].tolist() == [2, 2, 2]
    images = table.set_index("method")["target_instances_seen"]
    # 256 images are 4 steps of 64 in each of two epochs; an episode has 5 x (1 + 5) images.
    assert images.to_dict() == {"RotNet": 0, "K5 N1 Q5": 8 * 30, "K5 N1 Q5 every 4": 2 * 30}
    assert (sweep / "accuracy_against_cost_digits.png").stat().st_size > 5_000
    page = (sweep / "report.html").read_text()
    assert "Accuracy against cost" in page
    assert "critical_difference" not in said

    again = run("--ways", "5", "10")
    ran = [line for line in again.splitlines() if "  epoch 2, 100 % of the budget" in line]
    assert len(ran) == 4, "longer lists run only what is new: two intervals with two seeds"
    assert all("K10 N1 Q5" in line for line in ran)
