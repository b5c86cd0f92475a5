"""The benchmark of choices before training at equal total cost, in small."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bdw.errors import InputError
from bdw.weighting.selection.cost import Cost
from benchmarks import selector_costs, selector_runs, selectors

METHODS = (
    selector_runs.PLAIN, selector_runs.ORACLE, selector_runs.RECOMMENDED, "random", selector_runs.PIXELS,
    "prototypes, easy", selector_runs.SERVER,
)  # fmt: skip


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> selectors.Arguments:
    return selectors.Arguments(
        scripts=("hebrew", "greek"), seeds=(1,), methods=METHODS, share=0.5, epochs=2, images=600, experts=2,
        working_dir=tmp_path_factory.mktemp("selectors") / "working",
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows(arguments: selectors.Arguments) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["method"], row["domain"]): row for row in selectors.main(arguments)}


def test_every_method_has_the_same_budget_in_total(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """An epoch of the recipe ends with whole batches, and what it pays follows from the epochs in which it learnt."""
    assert len(rows) == 1 + 2 * len(METHODS)
    for (method, _), row in rows.items():
        if method == selector_runs.FEATURES:
            assert row["instances_seen"] == 600
            continue
        total = row["instances_seen"] + 1200 * row["charged"]
        assert total == pytest.approx(1200, rel=0.1 if method == selector_runs.RECOMMENDED else 0.03), method


def test_what_targets_share_is_divided_by_their_number(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Encoder of one pass and features are of the pool; pixels and experts are asked for each target anew."""
    own = {method: rows[method, "glyphs-hebrew"] for method in METHODS}
    assert own["random"]["charged"] == own[selector_runs.PLAIN]["charged_alone"] == 0
    features = 600 + 600 / 3
    assert own["prototypes, easy"]["charged_alone"] == pytest.approx(features / 1200, abs=1e-4)
    assert own["prototypes, easy"]["charged"] == pytest.approx(features / 1200 / 2, abs=1e-4)
    pixels = own[selector_runs.PIXELS]
    assert pixels["charged"] == pixels["charged_alone"] > 600 / 3 / 1200
    # Both experts see a quarter of both targets' budgets, in whole batches; partition and features come to it.
    trained = own[selector_runs.SERVER]["charged_alone"] * 1200 - (features + 600 / 3)
    assert 600 <= trained <= 600 + 2 * 64 + 2 * 200 / 3


def test_choices_are_trained_on(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    own = {method: rows[method, "glyphs-greek"] for method in METHODS}
    assert own["random"]["kept"] == own["prototypes, easy"]["kept"] == own[selector_runs.SERVER]["kept"] == 0.5
    assert own[selector_runs.PLAIN]["letters"] == 0.1
    assert own[selector_runs.ORACLE]["letters"] == 1


@pytest.mark.usefixtures("rows")
def test_what_was_cut_off_goes_on(arguments: selectors.Arguments, results: Path) -> None:
    """Rows that are there are kept, a missing one is measured again; comparison and diagram are made at the end."""
    file = arguments.working_dir / "rows.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    gone = next(row for row in found["runs"] if row["method"] == "random")
    kept = [row for row in found["runs"] if row is not gone]
    kept[0]["seconds"] = 12345.0
    file.write_text(json.dumps({**found, "runs": kept}), encoding="utf-8")
    again = selectors.main(dataclasses.replace(arguments, resume=True, save="small"))
    assert again[0]["seconds"] == 12345.0
    assert len(again) == 1 + 2 * len(METHODS)
    new = next(row for row in again if (row["method"], row["domain"]) == (gone["method"], gone["domain"]))
    assert {name: new[name] for name in ("value", "instances_seen", "letters")} == {
        name: gone[name] for name in ("value", "instances_seen", "letters")
    }
    result = json.loads((results / "small.json").read_text(encoding="utf-8"))
    assert set(result["comparison"]["average_ranks"]) == set(METHODS)
    assert result["comparison"]["num_domains"] == 2
    assert (results / "small-critical-difference.png").stat().st_size > 0
    with pytest.raises(InputError, match=r"resume: .* has rows of another share; allowed: the same, or a new folder"):
        selectors.main(dataclasses.replace(arguments, resume=True, share=0.4))
    with pytest.raises(InputError, match=r"working_dir: .* is not empty; allowed: a new folder, or --resume"):
        selectors.main(arguments)


def test_a_choice_is_charged_by_what_it_reads_and_trains_on() -> None:
    cost = Cost(seconds=1.0, images=30, shared_seconds=9.0, shared_images=1000, trained_images=400)
    charge = selector_costs.charge_of(cost, features_images=100, read_cost=0.5)
    assert (charge.own, charge.shared) == (15, 100 + 400 + 300)
    assert charge.of_each(4) == 15 + 200
    assert charge.alone == 815
    assert selector_costs.left_of(1000, 215.4, "x", 32) == 785
    with pytest.raises(InputError, match=r"a budget of 1,000 images leaves 'x', whose choice costs 990, less than a"):
        selector_costs.left_of(1000, 990, "x", 32)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"methods": ("simcor",)}, "methods: 'simcor' is none; allowed: plain training; "),
        ({"seeds": ()}, "seeds: none were given; allowed: at least one"),
        ({"read_cost": 2.0}, "read_cost: 2.0 cannot work; allowed: 0 to 1"),
        ({"processes": 0}, "processes: 0 cannot work; allowed: at least 1"),
    ],
)
def test_bad_input_is_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        selectors.Arguments(**values)
    assert words in str(raised.value)
