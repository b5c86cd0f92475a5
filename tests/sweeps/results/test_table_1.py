"""The table and figures of Table 1 from a results table and a run's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdw.config import presets
from sweeps.mnist_autoencoders import METHODS, PAPERS, main
from sweeps.results import table_1
from sweeps.runner.episode_designs import Room

DOMAINS = ("mnist", "kmnist")


def results(losses: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    """The same losses, one a seed, on every domain."""
    rows = [
        {"method": method, "domain": domain, "seed": seed, "metric": table_1.METRIC, "value": value}
        for domain in DOMAINS
        for method, own in losses.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows)


def test_numbers_stand_next_to_the_papers(tmp_path: Path) -> None:
    table = results({"Oracle": (180.0, 182.0), "VAE": (200.0,), "BDW": (190.0, 191.0), "NN-Weighter": (195.0,)})
    said = table_1.write_table(table, tmp_path)
    assert said == [
        "mnist: Oracle < BDW < VAE, as in the paper; a single seed.",
        "kmnist: Oracle < BDW < VAE, as in the paper; a single seed.",
    ]
    lines = (tmp_path / "table_1.md").read_text().splitlines()
    assert "| method | mnist | kmnist |" in lines
    assert "| Oracle | 181.00 ± 1.41 [178.95] | 181.00 ± 1.41 [292.19] |" in lines
    assert "| VAE | 200.00 (1 seed) [209.69] | 200.00 (1 seed) [306.43] |" in lines
    assert "| NN-Weighter | 195.00 (1 seed) | 195.00 (1 seed) |" in lines
    assert "over 2 seeds, the paper's value in brackets" in lines[0]
    written = pd.read_csv(tmp_path / "table_1.csv").set_index(["method", "domain"])
    assert written.loc[("BDW", "mnist"), "paper"] == 192.64
    assert written.loc[("BDW", "mnist"), "num_seeds"] == 2
    for name in ("table_1.png", "table_1.pdf"):
        assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (
            {"Oracle": (180.0, 181.0), "VAE": (200.0, 201.0), "BDW": (190.0, 190.0)},
            "mnist: Oracle < BDW < VAE, as in the paper; so in each of 2 seeds.",
        ),
        (
            {"Oracle": (150.0,) * 3, "VAE": (170.0, 167.0, 169.0), "BDW": (169.0, 171.0, 172.0)},
            "mnist: Oracle < VAE < BDW, not the paper's order; VAE < BDW in 2 of 3 seeds only.",
        ),
        # VAE's mean over the seed that all completed is above BDW's, over all of its own below.
        (
            {"Oracle": (180.0,), "VAE": (191.0, 150.0), "BDW": (190.0,)},
            "mnist: Oracle < BDW < VAE, as in the paper; a single seed.",
        ),
    ],
)
def test_the_order_over_shared_seeds_and_how_firm_it_is(losses: dict[str, tuple[float, ...]], said: str) -> None:
    assert table_1.order_in_words(results(losses))[0] == said


def test_no_order_without_all_three() -> None:
    assert table_1.order_in_words(results({"VAE": (185.0,), "BDW": (190.0,)})) == []
    apart = results({"Oracle": (1.0,), "VAE": (2.0,), "BDW": (3.0,)})
    apart.loc[apart["method"] == "BDW", "seed"] = 1
    assert table_1.order_in_words(apart) == []


def test_what_differs_from_the_paper_stands_above_the_table(tmp_path: Path) -> None:
    paper = presets.build(table_1.PAPERS_PRESET)
    rooms = {"kmnist": Room(10, 133, 1333, "", {"kmnist": 6400, "mnist": 60000})}
    same, images = table_1.differences_in_words(paper.replace(seed=7, target="kmnist", data_root="/there"), rooms)
    assert same == "Settings: those of the preset mnist_autoencoders, the paper's as far as it gives them."
    assert "kmnist: 1,333 target images to train on, source of 6,400 kmnist + 60,000 mnist." in images
    assert "The paper has 10,000 target images" in images
    remarks = table_1.differences_in_words(paper.replace(epochs=2, max_source=512), rooms)
    assert remarks[0].startswith("Not the paper's settings")
    assert remarks[0].endswith(": max_source 512 (paper: None), epochs 2 (paper: 100).")
    table_1.write_table(results({"VAE": (200.0,)}), tmp_path, remarks)
    text = (tmp_path / "table_1.md").read_text()
    assert text.index(remarks[0]) < text.index("| method |")


def test_figure_1_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 5, (2, 90))
    kinds = np.array(["mnist", "fashion-mnist", "kmnist"])[np.arange(90) % 3]
    pd.DataFrame({"a": a, "b": b, "mean": a / (a + b), "kind": kinds, "planted": kinds == "mnist"}).to_parquet(
        run / "instance_weights.parquet"
    )
    config = {"prune": True, "cdf_threshold": 0.5, "density_threshold": 0.5}
    (run / "config.json").write_text(json.dumps({"config": config}))
    entries = table_1.draw_weights({"mnist": run}, tmp_path)
    assert [entry["file"] for entry in entries] == ["figure_1a_mnist.png", "figure_1b_mnist.png"]
    for entry in entries:
        assert (tmp_path / entry["file"]).stat().st_size > 5_000
    table_1.write_figures(tmp_path, ["mnist: as in the paper."], entries)
    listed = json.loads((tmp_path / "figures.json").read_text())
    assert list(listed) == ["Table 1", "Figure 1"]
    assert "as in the paper" in listed["Table 1"][0]["caption"]


def test_the_papers_methods_are_offered() -> None:
    assert set(PAPERS) <= set(METHODS)
    assert METHODS["BDW"].fields["weighter"] == "beta"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data_root: none was given; allowed: a folder that holds mnist, fashion-mnist and kmnist"),
        (["--data-root", "."], "target: 'mnist': not found in"),
        (["--methods", "BWD"], "methods: 'BWD' is not known (did you mean 'BDW'?)"),
        (["--methods", "VAE", "VAE"], "methods: 'VAE' is given twice; allowed: each once"),
        (["--methods"], "methods: none given; allowed: at least one"),
        (["--targets", "cifar10"], "targets: 'cifar10' is not known; allowed: fashion-mnist, kmnist, mnist"),
        (["--samples", "3"], "--samples: is not known"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(main, arguments, "mnist_autoencoders")
