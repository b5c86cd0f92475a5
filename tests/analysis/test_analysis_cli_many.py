"""`analysis compare` on tables of another size than usual: many methods, two, names and scores of all kinds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import COLUMN_WIDTH, comparison_folder
from analysis.cli import main

pytestmark = pytest.mark.usefixtures("quick_pdfs")


def many_methods(num_methods: int, *, num_domains: int = 4, scale: float = 1.0) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    rows = [
        ("accuracy", f"d{d}", f"m{m:02}", seed, scale * (0.5 * m + generator.normal()))
        for d in range(num_domains)
        for m in range(num_methods)
        for seed in range(2)
    ]
    table = pd.DataFrame(rows, columns=["metric", "domain", "method", "seed", "value"])
    return table.assign(higher_is_better=True)


@pytest.fixture(scope="module")
def many_compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written about twelve methods."""
    folder = tmp_path_factory.mktemp("many")
    many_methods(12).to_csv(folder / "many.csv", index=False)
    assert main(["compare", str(folder / "many.csv"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_more_methods_than_the_figure_of_scores_holds(many_compared: Path) -> None:
    names = {path.name for path in many_compared.iterdir()}
    assert {"cd.pdf", "scores.pdf", "scores.tex", "comparison.json"} <= names
    assert not any(name.startswith(".") for name in names)


def test_two_methods_are_tested_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many_methods(2, num_domains=8).to_csv(tmp_path / "two.csv", index=False)
    assert main(["compare", str(tmp_path / "two.csv"), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("Wilcoxon signed-rank") == 1
    assert "other methods" not in printed


def test_many_findings_are_printed_briefly_and_written_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many_methods(9, num_domains=12).to_csv(tmp_path / "many.csv", index=False)
    monkeypatch.setattr(comparison_folder, "_LONG", 100)
    assert main(["compare", str(tmp_path / "many.csv"), "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "more pairs; see comparison.json." in captured.out
    assert len(captured.out.splitlines()) < 40
    assert captured.err == "432 differences to resample for effect sizes: this may take a minute or more\n"
    assert len(json.loads((tmp_path / "comparison.json").read_text())["wilcoxon_holm"]["pairs"]) == 36


def test_names_with_line_breaks_break_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = many_methods(3, num_domains=8).replace({"method": {"m00": "a\nb", "m01": "method", "m02": "$x$"}})
    table.to_csv(tmp_path / "x.csv", index=False)
    command = ["compare", str(tmp_path / "x.csv"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert "a b" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "out" / "ranks.csv")["method"]) == {"a\nb", "method", "$x$"}
    assert main([*command, "--control", "z"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_very_large_and_very_small_scores_make_valid_files(scale: float, tmp_path: Path) -> None:
    many_methods(3, scale=scale).to_parquet(tmp_path / "x.parquet")
    assert main(["compare", str(tmp_path / "x.parquet"), "--out", str(tmp_path)]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "comparison.json").read_text(), parse_constant=refuse)
    pairs = pd.read_csv(tmp_path / "pairs.csv").select_dtypes("number")
    assert np.isfinite(pairs.to_numpy()).all()
    assert (pairs["hodges_lehmann"] != 0).all()


def test_figures_of_many_methods_are_wider_than_a_column(results: Path, many_compared: Path, tmp_path: Path) -> None:
    assert main(["compare", str(results), "--metric", "loss", "--out", str(tmp_path)]) == 0
    widths = {}
    for name, folder in (("few", tmp_path), ("many", many_compared)):
        for figure in ("pairs", "ranks_by_domain", "cd"):
            with Image.open(folder / f"{figure}.png") as picture:
                widths[name, figure] = picture.width / 200
    assert {widths["few", figure] for figure in ("pairs", "ranks_by_domain", "cd")} == {COLUMN_WIDTH}
    assert [widths["many", figure] for figure in ("pairs", "ranks_by_domain", "cd")] == [6.8, 6.8, 3.3]
