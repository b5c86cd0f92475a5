import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import compare
from analysis.cli import main


@pytest.fixture
def results(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = [
        ("accuracy", f"d{d}", method, seed, quality + generator.normal() * 0.01)
        for d in range(8)
        for method, quality in (("RotNet", 0.5), ("L2RW", 0.55), ("BDW", 0.6))
        for seed in range(2)
    ]
    table = pd.DataFrame(rows, columns=["metric", "domain", "method", "seed", "value"]).assign(higher_is_better=True)
    loss = table.assign(metric="loss", value=-table["value"], higher_is_better=False)
    path = tmp_path / "results.parquet"
    pd.concat([table, loss]).to_parquet(path)
    return path


def test_writes_everything_and_says_what_it_means(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    arguments = ["compare", str(results), "--metric", "accuracy", "--out", str(out), "--alpha", "0.1", "--title", "T"]
    assert main(arguments) == 0
    assert sorted(path.name for path in out.iterdir()) == ["cd.pdf", "cd.png", "comparison.json", "ranks.csv"]
    printed = capsys.readouterr().out
    assert "BDW ranks best (average rank 1.00; 3 methods over 8 domains)." in printed
    assert "BDW differs from RotNet" in printed
    read = json.loads((out / "comparison.json").read_text())
    assert read["metric"] == "accuracy"
    assert read["alpha"] == 0.1
    assert read["num_domains"] == 8
    table = pd.read_parquet(results)
    expected = compare(table[table["metric"] == "accuracy"], higher_is_better=True, alpha=0.1)
    assert read["friedman_statistic"] == expected.friedman_statistic
    ranks = pd.read_csv(out / "ranks.csv")
    assert ranks["method"].tolist() == ["BDW", "L2RW", "RotNet"]
    assert ranks["average_rank"].tolist() == expected.average_ranks.tolist()
    assert ranks.columns[2:].tolist() == [f"nemenyi_p_against_{method}" for method in expected.methods]


def test_a_loss_is_ranked_the_other_way_round(results: Path, tmp_path: Path) -> None:
    assert main(["compare", str(results), "--metric", "loss", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "comparison.json").read_text())["methods"] == ["BDW", "L2RW", "RotNet"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "f1", "--out", "OUT"], "metric: 'f1' is not in the table; present: accuracy, loss"),
        (["--out", "OUT"], "metric: none was chosen, but exactly one must be; present: accuracy, loss"),
        (["--metric", "loss", "--out", "OUT", "--alpha", "2"], "alpha: 2.0; allowed: between 0 and 1"),
        (["--metric", "loss", "--out", "results.parquet"], "out: results.parquet cannot be made"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    results: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(results.parent)
    assert main(["compare", "results.parquet", *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not Path("OUT").exists()


def test_bad_options_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["compare"], ["contrast"], [], ["compare", "x.csv", "--out", "y", "--alpha", "small"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_runs_as_a_module_without_a_display_and_without_torch_or_ray(results: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['analysis', 'compare', sys.argv[1], '--metric', 'loss', '--out', sys.argv[2]]\n"
        "import runpy\n"
        "try:\n    runpy.run_module('analysis', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'ray', 'bdw', 'sweeps', 'scikit_posthocs'}, loaded\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(results), str(tmp_path / "out")]
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
