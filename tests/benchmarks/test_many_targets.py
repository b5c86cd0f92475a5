"""What the benchmark of many targets trains, and what it makes of its rows."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats

from bdw.errors import InputError
from benchmarks import many_targets
from benchmarks.many_targets import OWN, PLAIN, RANDOM, SHARED, VALUED, Arguments


def _row(method: str, seed: int, domain: str, value: float, seconds: float, kept_by: str | None) -> dict[str, object]:
    job = f"{seed}-{method}-{domain if method == OWN or kept_by else ''}-{kept_by}"
    return {
        "job": job, "seed": seed, "method": method, "domain": domain, "value": value, "processor_seconds": seconds,
        "kept_by": kept_by,
    }  # fmt: skip


def test_costs_count_every_run_once_and_the_own_runs_together() -> None:
    rows = [
        *(_row(PLAIN, 1, domain, 0.2, 10.0, None) for domain in "ab"),
        _row(VALUED, 1, "a", 0.2, 15.0, None),
        *(_row(SHARED, 1, domain, 0.2, 30.0, None) for domain in "ab"),
        *(_row(OWN, 1, domain, 0.3, 20.0, None) for domain in "ab"),
    ]
    cost = many_targets.costs(rows).loc[1]
    assert cost[[PLAIN, VALUED, SHARED, OWN]].tolist() == [10.0, 15.0, 30.0, 40.0]
    assert cost[f"{VALUED} / {OWN}"] == 0.375
    assert cost[f"{VALUED} / {PLAIN}"] == 1.5
    assert cost[f"{SHARED} / {OWN}"] == 0.75


def test_worth_is_the_paired_difference_with_students_interval() -> None:
    own, valued = np.array([0.30, 0.40, 0.50]), np.array([0.28, 0.41, 0.49])
    rows = [
        _row(PLAIN, 1, domain, float(values[place]), 1.0, chooser)
        for chooser, values in ((OWN, own), (VALUED, valued))
        for place, domain in enumerate("abc")
    ]
    found = many_targets.worths(rows).loc[VALUED]
    difference = 100 * (valued - own)
    low, high = scipy.stats.ttest_1samp(difference, 0).confidence_interval(0.95)
    assert found.tolist() == pytest.approx([39.33, difference.mean(), low, high], abs=0.01)


def test_rows_of_other_settings_and_of_other_seeds_are_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path
) -> None:
    def run(arguments: Arguments, job: many_targets.Job) -> list[dict[str, object]]:
        return [{**_row(job.method, job.seed, job.script or "a", 0.1, 1.0, job.kept_by), "job": job.name}]

    monkeypatch.setattr(many_targets, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(many_targets, "_run", run)
    arguments = Arguments(folder=tmp_path, scripts=("greek", "hebrew"), seeds=(1, 2), save="many")
    many_targets.main(arguments)
    many_targets.main(dataclasses.replace(arguments, seeds=(2,)))
    assert {row["seed"] for row in json.loads((results / "many.json").read_text())["runs"]} == {2}
    other = dataclasses.replace(arguments, combine_targets="mean", scripts=("greek",))
    with pytest.raises(
        InputError, match=r"was begun with other settings \(combine_targets, scripts\); allowed: the same"
    ):
        many_targets.main(other)


@pytest.mark.long
def test_a_run_that_is_cut_off_goes_on(tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = Arguments(
        folder=tmp_path, scripts=("greek", "hebrew"), seeds=(1,), epochs=2, source="glyphs:images=400,letters=0.3",
        processes=1, save="many",
    )  # fmt: skip
    many_targets.main(arguments)
    contents = json.loads((results / "many.json").read_text())
    runs = contents["runs"]
    # Plain, valued and shared, the first and the last measured on both targets; own and kept sets by target.
    assert len(runs) == 2 + 1 + 2 + 2 + 2 * 4
    assert {row["kept_by"] for row in runs} == {None, OWN, VALUED, SHARED, RANDOM}
    assert all(row["processor_seconds"] > 0 for row in runs)
    for script in ("greek", "hebrew"):
        sets = {
            chooser: pq.read_table(tmp_path / f"1-plain_training-{script}-{chooser.replace(' ', '_')}.parquet")
            for chooser in (OWN, VALUED, SHARED, RANDOM)
        }
        sizes = {sum(table["weight"].to_pylist()) for table in sets.values()}
        assert len(sizes) == 1, "all train on as many images"
        assert len({str(table["weight"].to_pylist()) for table in sets.values()}) > 1
    capsys.readouterr()
    rows = tmp_path / "rows.json"
    before = json.loads(rows.read_text())
    rows.write_text(json.dumps({**before, "rows": [row for row in runs if "hebrew-one" not in row["job"]]}))
    many_targets.main(arguments)
    again = [
        line
        for line in capsys.readouterr().out.splitlines()
        if "accuracy" in line and " s" in line and "1-" in line[:2]
    ]
    assert len(again) == 1
