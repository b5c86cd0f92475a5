"""`bdw evaluate | pack | replay | report | doctor`."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from bdw import cli

TINY = ["--preset", "digits", "--max-source", "64", "--epochs", "1"]


def fit(run_dir: Path, *flags: str) -> int:
    return cli.main(["fit", "--run-dir", str(run_dir), *flags])


def test_evaluate_repeats_the_runs_own_test_accuracy(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as pq

    (accuracy,) = [
        row["value"] for row in pq.read_table(run_dir / "results.parquet").to_pylist() if row["metric"] == "accuracy"
    ]
    expected = f"accuracy {accuracy:.4f} on 319 test images of digits (10 classes;"
    torch.backends.cudnn.allow_tf32 = True  # torch's default, in which a GPU would round
    assert cli.main(["evaluate", "--run", str(run_dir)]) == 0
    assert not torch.backends.cudnn.allow_tf32
    assert capsys.readouterr().out.startswith(expected)
    # The file alone knows the architecture and the sizes, and the digits need nothing else.
    assert cli.main(["evaluate", "--encoder", str(run_dir / "encoder.safetensors"), "--target", "digits"]) == 0
    assert capsys.readouterr().out.startswith(expected)


def test_evaluate_by_another_measure_and_layer(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["evaluate", "--run", str(run_dir)]
    assert cli.main([*run, "--measure", "knn_accuracy", "--neighbours", "3", "--layer", "layers.1"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("knn_accuracy 0.")
    assert "layer layers.1)" in output
    assert cli.main([*run, "--measure", "rankme"]) == 0
    assert capsys.readouterr().out.startswith("rankme ")
    assert cli.main([*run, "--layer", "layers.9"]) == 2
    assert "layer: 'layers.9' is not known" in capsys.readouterr().err
    assert cli.main([*run, "--measure", "knn_accuracy", "--neighbours", "5000"]) == 2
    assert "neighbours: 5000 is more than the 478 labelled images" in capsys.readouterr().err


def test_evaluate_on_another_target_with_other_colours(
    run_dir: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["evaluate", "--run", str(run_dir), "--target", str(folders[1])]) == 0
    assert "(3 classes; 48 labelled images to learn from; layer output)" in capsys.readouterr().out


def test_replay_draws_the_map_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert fit(run, *TINY, "--no-prune", "--no-report", "--record-trajectory", "--weight-lr", "50") == 0
    capsys.readouterr()
    assert cli.main(["replay", "--run", str(run)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("replayed 1 epoch of 64 images under 49 pairs of thresholds")
    assert output.err == ""
    assert f"\ntable   {run / 'replay.csv'}\npicture {run / 'replay.png'}\n" in output.out
    with Image.open(run / "replay.png") as picture:
        assert picture.width > 1000
    with (run / "replay.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 49
    assert {row["junk_pruned_fraction"] for row in rows} != {""}, "the digits have planted junk"
    # Elsewhere, if wanted; what was planted is only known of a run that is finished.
    (run / "instance_weights.parquet").unlink()
    grid = ["--lambda", "0.1", "0.4", "--rho", "0.5"]
    assert cli.main(["replay", "--run", str(run), "--out", str(tmp_path / "out"), *grid, "--burn-in-epochs", "1"]) == 0
    assert "Planted" not in capsys.readouterr().out
    assert (tmp_path / "out" / "replay.csv").read_text().splitlines()[1:] == [
        f"1,{cut},0.5,0,0.0,True,,," for cut in (0.1, 0.4)
    ]


def test_replay_says_what_a_run_lacks(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "--run", str(run_dir)]) == 2
    assert "trajectory holds no recorded epochs; allowed: a run made with --record-tr" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert cli.main(["replay", "--run", str(tmp_path)]) == 2
    assert "config.json is not a run's config.json" in capsys.readouterr().err
    assert not (run_dir / "replay.csv").exists()


@pytest.mark.parametrize("command", ["evaluate", "replay", "report"])
def test_a_run_that_used_an_option_that_is_gone_is_one_line(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    run = tmp_path / "earlier"
    shutil.copytree(run_dir, run)
    described = json.loads((run / "config.json").read_text())
    described["config"]["nearest_search"] = "hnsw"
    (run / "config.json").write_text(json.dumps(described))
    assert cli.main([command, *([] if command == "report" else ["--run"]), str(run)]) == 2
    said = capsys.readouterr().err
    assert "nearest_search: 'hnsw' is from an earlier version and the option is gone; allowed: 'exact'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "give one of --run DIR and --encoder FILE"),
        (["evaluate", "--run", "a", "--encoder", "b"], "give one of --run DIR and --encoder FILE"),
        (["evaluate", "--run", "absent"], "run: 'absent' does not exist; allowed: the directory of a run"),
        (["evaluate", "--run", "absent", "--measure", "acuracy"], "measure: 'acuracy' is not known"),
        (["evaluate", "--run", "absent", "--measure", "pretext_loss"], "needs the pretext head"),
        (
            ["evaluate", "--run", "absent", "--measure", "semi_supervised_accuracy"],
            "the images that a run kept",
        ),
        (["evaluate", "--run", "."], "run: '.' holds no encoder.safetensors; allowed: the directory of a run that has"),
        (["replay", "--run", "absent"], "run: 'absent' does not exist"),
        (["replay", "--run", "absent", "--lambda", "1.5"], "cdf_threshold (lambda): 1.5 cannot work"),
        (["replay", "--run", "absent", "--lambda", "0.9", "--rho", "0.5"], "allowed: lambda <= rho"),
        (["report", "absent"], "'absent' does not exist"),
        (["pack", "absent.npz", "out"], "absent.npz"),
    ],
)
def test_bad_input_of_the_other_commands(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_evaluate_needs_a_target_without_a_run(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--encoder", str(run_dir / "encoder.safetensors")]) == 2
    assert "give --target" in capsys.readouterr().err


def test_pack_writes_what_fit_reads(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "packed"
    assert cli.main(["pack", str(folders[0]), str(packed), "--image-size", "16", "--channels", "1"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == f"packed  24 images (0 labelled) of 1 x 16 x 16 (channels x height x width): {packed}"
    assert output[1].startswith("skipped broken.png: ")
    assert (
        fit(tmp_path / "run", "--source", str(packed), "--preset", "digits", "--epochs", "1", "--batch-size", "8") == 0
    )


def test_pack_one_split_of_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "packed"
    assert cli.main(["pack", "digits", str(packed), "--part", "train", "--image-size", "8"]) == 0
    assert re.match(r"packed  (\S+) images \(\1 labelled\)", capsys.readouterr().out)


def test_report_is_written_anew(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "report.html").unlink()
    assert cli.main(["report", str(run_dir)]) == 0
    assert capsys.readouterr().out == f"report  {run_dir / 'report.html'}\n"
    assert (run_dir / "report.html").is_file()


def test_doctor_prints_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bdw.commands import doctor

    monkeypatch.setattr(doctor, "examine", lambda path: [doctor.Finding("disk", str(path))])
    assert cli.main(["doctor", "--run-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("Nothing is wrong.\n")
    sick = doctor.Finding("disk", "full", doctor.Level.FAILURE, "make room")
    monkeypatch.setattr(doctor, "examine", lambda path: [sick])
    assert cli.main(["doctor", "--json"]) == 1
    assert '"level": "failure"' in capsys.readouterr().out
