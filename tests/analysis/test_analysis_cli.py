import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import compare, comparison_folder
from analysis.cli import main
from analysis.errors import OptionError

pytestmark = pytest.mark.usefixtures("quick_pdfs")


def test_writes_everything_and_says_what_it_means(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    arguments = ["compare", str(results), "--metric", "accuracy", "--out", str(out), "--alpha", "0.1", "--title", "T"]
    assert main(arguments) == 0
    drawn = ("cd", "pairs", "profiles", "ranks_by_domain", "scores")
    figures = [f"{name}.{kind}" for name in drawn for kind in ("pdf", "png")]
    texts = ["comparison.json", "interquartile_means.csv", "pairs.csv", "ranks.csv", "scores.md", "scores.tex"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*figures, *texts])
    printed = capsys.readouterr().out
    assert "BDW ranks best (average rank 1.00; 3 methods over 8 domains)." in printed
    assert "BDW differs from RotNet" in printed
    assert "BDW beats L2RW" in printed, "Wilcoxon's signed ranks"
    assert "L2RW and RotNet: no difference shown among all methods. A difference is shown without BDW." in printed
    assert "With 8 domains and 3 methods you can detect only a method that wins on" in printed
    read = json.loads((out / "comparison.json").read_text())
    assert read["metric"] == "accuracy"
    assert read["alpha"] == 0.1
    assert read["num_domains"] == 8
    table = pd.read_parquet(results)
    expected = compare(table[table["metric"] == "accuracy"], higher_is_better=True, alpha=0.1)
    assert read["friedman_statistic"] == expected.friedman_statistic
    assert read["verdict"] in printed
    assert "| BDW |" in (out / "scores.md").read_text()
    assert r"\begin{tabular}" in (out / "scores.tex").read_text()
    pairs = pd.read_csv(out / "pairs.csv")
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == [
        ("BDW", "L2RW"), ("BDW", "RotNet"), ("L2RW", "RotNet"),
    ]  # fmt: skip
    assert (pairs["mean_difference_low"] > 0).all()
    assert "probability_equivalent" not in pairs
    ranks = pd.read_csv(out / "ranks.csv")
    assert ranks["method"].tolist() == ["BDW", "L2RW", "RotNet"]
    assert ranks["average_rank"].tolist() == expected.average_ranks.tolist()
    assert ranks["num_domains"].tolist() == [8, 8, 8]
    assert ranks.columns[3:].tolist() == [f"nemenyi_p_against_{method}" for method in expected.methods]


def test_a_loss_is_ranked_the_other_way_round(results: Path, tmp_path: Path) -> None:
    assert main(["compare", str(results), "--metric", "loss", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "comparison.json").read_text())["methods"] == ["BDW", "L2RW", "RotNet"]


def test_a_control_and_a_region_of_equivalence(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--metric",
        "accuracy",
        "--out",
        str(tmp_path),
        "--control",
        "RotNet",
        "--rope",
        "0.02",
        "--best",
        "right",
    ]
    assert main(["compare", str(results), *options]) == 0
    assert "Against RotNet (average rank 3.00), Bonferroni-Dunn" in capsys.readouterr().out
    assert (tmp_path / "control.png").is_file()
    assert json.loads((tmp_path / "comparison.json").read_text())["control"]["control"] == "RotNet"
    pairs = pd.read_csv(tmp_path / "pairs.csv")
    probabilities = pairs[["probability_first_is_better", "probability_equivalent", "probability_second_is_better"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities["probability_first_is_better"] > 0.9).all()


@pytest.fixture
def gaps(results: Path) -> Path:
    """Without L2RW on one domain and BDW on another."""
    table = pd.read_parquet(results)
    gap = ((table["method"] == "L2RW") & (table["domain"] == "d1")) | (
        (table["method"] == "BDW") & (table["domain"] == "d2")
    )
    table[(table["metric"] == "accuracy") & ~gap].to_csv(results.with_name("gaps.csv"), index=False)
    return results.with_name("gaps.csv")


def test_gaps_are_an_error_until_somebody_says_what_to_do(
    gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(gaps), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "2 of 24 (method, domain) cells are missing: (L2RW, d1), (BDW, d2)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--missing", "drop-domains"]) == 0
    printed = capsys.readouterr().out
    assert "Left out: domain d1 (no score of L2RW), domain d2 (no score of BDW)." in printed
    assert "3 methods over 6 domains" in printed
    assert "d1" not in (tmp_path / "out" / "scores.md").read_text()


def test_gaps_under_skillings_and_macks_test_leave_pairs_and_no_diagram(
    gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(gaps), "--out", str(tmp_path / "out"), "--missing", "skillings-mack"]) == 0
    printed = capsys.readouterr().out
    assert "Skillings-Mack: chi-square" in printed
    assert "left out: diagrams and effect sizes" in printed
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["comparison.json", "ranks.csv", "scores.md", "scores.tex"]
    assert "–" in (tmp_path / "out" / "scores.md").read_text()
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["critical_difference"] is None


@pytest.mark.parametrize(
    ("form", "ending", "direction"),
    [
        ("short", ".csv", "higher"),
        ("wide", ".csv", "lower"),
        ("wide", ".parquet", "higher"),
        ("wide with an index", ".parquet", "lower"),
    ],
)
def test_short_and_wide_tables_mean_the_same_as_long_ones(
    results: Path, tmp_path: Path, form: str, ending: str, direction: str
) -> None:
    table = pd.read_parquet(results)
    table = table[(table["metric"] == "accuracy") & (table["seed"] == 0)]
    table = table.assign(higher_is_better=direction == "higher")
    table.to_csv(tmp_path / "long.csv", index=False)
    wide = table.pivot(index="domain", columns="method", values="value")[["RotNet", "L2RW", "BDW"]]
    if form == "short":
        table = table[["method", "domain", "value"]]
    else:
        table = wide.rename_axis("data set", axis=0).rename_axis(None, axis=1)
    has_index = form == "wide with an index"
    table = table.reset_index() if form == "wide" else table
    given = tmp_path / f"given{ending}"
    table.to_csv(given, index=has_index) if ending == ".csv" else table.to_parquet(given, index=has_index)
    assert main(["compare", str(tmp_path / "long.csv"), "--out", str(tmp_path / "one")]) == 0
    options = [f"--{direction}-is-better", "--metric", "accuracy"]
    assert main(["compare", str(given), *options, "--out", str(tmp_path / "two")]) == 0
    one, two = (json.loads((tmp_path / name / "comparison.json").read_text()) for name in ("one", "two"))
    assert {**one, "results": ""} == {**two, "results": ""}


def test_empty_cells_of_a_wide_table_are_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{d},{0.1 * d},{0.2 * d},{0.3 * d}" for d in range(1, 7)]
    (tmp_path / "wide.csv").write_text("\n".join(["data set,A,1,NA", *rows, "7,1,,nan"]))
    command = ["compare", str(tmp_path / "wide.csv"), "--out", str(tmp_path / "out"), "--higher-is-better"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "2 of 21 (method, domain) cells are missing: (1, 7), (NA, 7); allowed: none, unless --missing" in said
    assert main([*command, "--missing", "drop-domains"]) == 0
    assert "score (higher is better)" in (printed := capsys.readouterr().out)
    assert "NA ranks best (average rank 1.00; 3 methods over 6 domains)." in printed


WIDE = "d,A,B\nx,1,2\ny,2,3\nz,2,3\n"


@pytest.mark.parametrize(
    ("contents", "options", "message"),
    [
        (WIDE, [], "higher_is_better: the table has no such column; allowed: that column, or one of --higher-is"),
        ("method,domain,value\nA,x,1\n", [], "higher_is_better: the table has no such column"),
        ("method,domain,value,higher_is_better\nA,x,1,True\n", ["--lower-is-better"], "but the table says True"),
        (WIDE, ["--lower-is-better", "--higher-is-better"], "not allowed with argument"),
        ("d,A,A\nx,1,2\n", ["--lower-is-better"], "methods: A more than once"),
        ("d,A,B\nx,1,2\nx,1,2\n", ["--lower-is-better"], "domains: x more than once"),
        ("d,A,B\nx,1,\ny,1,NaN\n", ["--lower-is-better"], "method: B without a score"),
        ("d,A,B\nx,1,2\ny,,\n", ["--lower-is-better"], "domain: y without a score"),
        ("d,A,B\nx,1,2\ny,1,broken\n", ["--lower-is-better"], "value: 'broken' in row (B, y, seed 0)"),
        ("d\nx\n", ["--lower-is-better"], "columns: d; allowed: one of data sets, and one per method"),
    ],
)
def test_short_and_wide_tables_that_cannot_work_are_one_line(
    contents: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "given.csv").write_text(contents)
    try:
        status = main(["compare", str(tmp_path / "given.csv"), *options, "--out", str(tmp_path / "out")])
    except SystemExit as error:
        status = int(error.code or 0)
    assert status == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "f1", "--out", "OUT"], "metric: 'f1' is not in the table; present: accuracy, loss"),
        (["--out", "OUT"], "metric: none was chosen, but exactly one must be; present: accuracy, loss"),
        (["--metric", "loss", "--out", "OUT", "--control", "X"], "control: 'X' was not compared; allowed: BDW, L2RW"),
        (["--metric", "loss", "--out", "OUT", "--rope", "-1"], "rope: -1.0; allowed:"),
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


def test_what_cannot_be_drawn_or_written_leaves_nothing_half_done(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(results), "--metric", "loss", "--out", str(tmp_path / "out")]

    def fail(*arguments: object, **options: object) -> None:
        raise OptionError("scores: cannot be drawn")

    with monkeypatch.context() as patched:
        patched.setattr(comparison_folder, "draw_domain_dots", fail)
        assert main(command) == 2
    assert not (tmp_path / "out").exists()

    def disk_is_full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(comparison_folder.shutil, "copyfile", disk_is_full)
        assert main(command) == 2
    assert list((tmp_path / "out").iterdir()) == []
    error = capsys.readouterr().err
    assert "cannot be written (No space left on device)" in error


def test_tests_that_do_not_agree_are_said_to_be_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The signs of the differences say little, their sizes a lot, and the third method only adds noise to the ranks.
    values = {"a": [-0.1, -0.2, -0.3, 4, 5, 6, 7, 8, 9, 10, 11], "b": [0.0] * 11, "c": [-0.4, 5, -0.6] + [9, -9] * 4}
    rows = [("x", f"d{d}", m, 0, value) for m, scores in values.items() for d, value in enumerate(scores)]
    table = pd.DataFrame(rows, columns=["metric", "domain", "method", "seed", "value"]).assign(higher_is_better=True)
    assert not compare(table, higher_is_better=True).is_significant
    table.to_csv(tmp_path / "x.csv", index=False)
    assert main(["compare", str(tmp_path / "x.csv"), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "no difference shown at alpha = 0.05, so Nemenyi's test calls no pair different" in printed
    assert "a beats b" in printed
    assert "take what the pairs show as a hint, not as a finding" in printed


def test_what_gaps_do_not_allow_is_checked_and_said(
    gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(gaps), "--out", str(tmp_path / "out"), "--missing", "skillings-mack"]
    for options, message in ((["--control", "nobody"], "'nobody' was not compared"), (["--rope", "-1"], "rope: -1.0")):
        assert main([*command, *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--control", "BDW", "--rope", "0.01"]) == 0
    assert (
        "left out: diagrams and effect sizes, the comparison with the control, probabilities of equivalence"
        in capsys.readouterr().out
    )


def test_a_row_of_nan_counts_as_missing(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_parquet(results)
    table = table[table["metric"] == "accuracy"].reset_index(drop=True)
    bdw, rotnet = table["method"] == "BDW", table["method"] == "RotNet"
    gaps = (bdw & (table["domain"] == "d3")) | (rotnet & (table["domain"] == "d5") & (table["seed"] == 1))
    with_nan = tmp_path / "nan.csv"
    table.assign(value=table["value"].where(~gaps)).to_csv(with_nan, index=False)
    arguments = ["compare", str(with_nan), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "value: nan in row (BDW, d3, seed 0)" in capsys.readouterr().err
    assert main([*arguments, "--missing", "drop-domains"]) == 0
    assert "Left out: domain d3 (no score of BDW)." in capsys.readouterr().out
    read = json.loads((tmp_path / "out" / "comparison.json").read_text())
    without = table[~gaps & (table["domain"] != "d3")]  # One seed of (RotNet, d5) is enough for its mean.
    assert read["num_domains"] == 7
    assert read["friedman_statistic"] == compare(without, higher_is_better=True).friedman_statistic
    assert main([*arguments, "--missing", "skillings-mack"]) == 0
    assert "7 to 8 of them" in capsys.readouterr().out


def test_signs_that_the_font_lacks_are_named_once(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_parquet(results)
    table[table["metric"] == "accuracy"].replace("BDW", "漢字").to_csv(tmp_path / "names.csv", index=False)
    assert main(["compare", str(tmp_path / "names.csv"), "--out", str(tmp_path / "out")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("figures: the font sans-serif lacks 字漢, which are drawn as boxes; name one")
