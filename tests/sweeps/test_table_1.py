"""The table and figures of Table 1 from a results table and a run's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import summarise
from sweeps import command_line, table_1
from sweeps.mnist_autoencoders import METHODS, PAPERS, main

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
        "mnist: Oracle < BDW < VAE, as in the paper.",
        "kmnist: Oracle < BDW < VAE, as in the paper.",
    ]
    lines = (tmp_path / "table_1.md").read_text().splitlines()
    assert "| method | mnist | kmnist |" in lines
    assert "| Oracle | 181.00 ± 1.41 [178.95] | 181.00 ± 1.41 [292.19] |" in lines
    assert "| VAE | 200.00 [209.69] | 200.00 [306.43] |" in lines
    assert "| NN-Weighter | 195.00 | 195.00 |" in lines
    written = pd.read_csv(tmp_path / "table_1.csv").set_index(["method", "domain"])
    assert written.loc[("BDW", "mnist"), "paper"] == 192.64
    assert written.loc[("BDW", "mnist"), "num_seeds"] == 2
    for name in ("table_1.png", "table_1.pdf"):
        assert (tmp_path / name).stat().st_size > 5_000


def test_another_order_is_said() -> None:
    summary = summarise(results({"Oracle": (180.0,), "VAE": (185.0,), "BDW": (190.0,)}), table_1.METRIC)
    assert table_1.order_in_words(summary)[0] == "mnist: Oracle < VAE < BDW, not the paper's order."
    incomplete = summarise(results({"VAE": (185.0,), "BDW": (190.0,)}), table_1.METRIC)
    assert table_1.order_in_words(incomplete) == []


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
        (["--data-root", "."], "source: 'mnist': not found in"),
        (["--methods", "BWD"], "methods: 'BWD' is not known (did you mean 'BDW'?)"),
        (["--methods", "VAE", "VAE"], "methods: 'VAE' is given twice; allowed: each once"),
        (["--methods"], "methods: none given; allowed: at least one"),
        (["--targets", "cifar10"], "targets: 'cifar10' is not known; allowed: fashion-mnist, kmnist, mnist"),
        (["--samples", "3"], "Unrecognized options: --samples"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.run(lambda: main(arguments), prog="mnist_autoencoders") == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
