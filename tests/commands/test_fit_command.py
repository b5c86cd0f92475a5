"""`bdw fit` on the console."""

from __future__ import annotations

import contextlib
import csv
import html
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from bdw import cli
from bdw.data.source_and_targets import LabelledProgress
from bdw.evaluation import linear_probe
from bdw.runs.console import ConsoleProgress
from bdw.runs.export import read_encoder
from bdw.runs.metrics import EpochReport, StepReport
from bdw.training.trainer import Trainer

TINY = ["--preset", "digits", "--max-source", "64", "--epochs", "1"]


def fit(run_dir: Path, *flags: str) -> int:
    return cli.main(["fit", "--run-dir", str(run_dir), *flags])


def test_fit_says_what_it_does_and_where_things_lie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    heads = [line.split()[0] for line in lines]
    assert heads == [
        *("bdw", "source", "target", "model", "device", "batch", "weights", "run"),
        "epoch",
        *("found", "bought", "sure", "encoder", "weights", "metrics", "report"),
    ]
    assert re.search(r"[\d,]+ parameters, float32", lines[3])
    assert re.search(r"test accuracy of [\d.]+ % \(95 % interval [\d.]+ to [\d.]+ %\)", lines[10])
    assert re.search(r"weighting took [\d.]+ s, and nothing was saved\.$", lines[10])
    page = (tmp_path / "run" / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert all(line[8:] in html.unescape(page) for line in lines[9:12])
    for line in lines[-4:]:
        assert Path(line.split()[1]).is_file()
    assert output.err == ""


def test_console_report_and_encoder_mean_the_same_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted = iter([0.5, 0.7, 0.7, 0.6, 0.65])  # four epochs' validation, two of them equal, then the test split
    monkeypatch.setattr(linear_probe, "evaluate", lambda *_: next(scripted))
    assert fit(tmp_path / "run", *TINY, "--epochs", "4") == 0
    output = capsys.readouterr().out
    assert re.findall(r"\(best (.*?)\)", output) == ["50.0 %, epoch 1", *["70.0 %, epoch 2"] * 3]
    assert "The encoder of epoch 2 has a test accuracy of 65.0 %" in output
    assert "best, at epoch 2 of 4" in (tmp_path / "run" / "report.html").read_text()
    assert read_encoder(tmp_path / "run" / "encoder.safetensors")[1]["epoch"] == "2"
    assert f"\nlast    {tmp_path / 'run' / 'encoder_last.safetensors'}\n" in output
    assert read_encoder(tmp_path / "run" / "encoder_last.safetensors")[1]["epoch"] == "4"


def test_fit_says_how_much_was_signal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY, "--epochs", "2", "--diagnose-signal") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("signal")]
    assert re.search(r"signal-to-noise of \d\.\d{3} \(intraclass correlation -?\d\.\d{4} \+- \d\.\d{4}\)", line)
    assert "Signal and noise" in (tmp_path / "run" / "report.html").read_text()


def test_fit_on_a_budget_of_images_says_what_pruning_bought(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert fit(run, "--source", "glyphs:images=200,letters=0.2", "--budget-images", "1000") == 0
    output = capsys.readouterr().out
    assert "\nlength  1,000 images through training steps, 5 passes over the source\n" in output
    epochs = [line for line in output.splitlines() if line.startswith("epoch")]
    assert len(epochs) > 5, "nothing was pruned, so epochs are no shorter"
    assert epochs[0].startswith("epoch   1   20.0 % of the budget  loss")
    assert epochs[-1].startswith(f"epoch {len(epochs):>3}  100.0 % of the budget  loss")
    (bought,) = [line for line in output.splitlines() if line.startswith("bought")]
    assert re.search(
        r"images, the whole budget; weighting took [\d.]+ s; the images that pruning saved went to the kept", bought
    )
    page = html.unescape((run / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " "))
    assert bought[8:] in page
    assert "–" not in bought
    # Plain training gets the same budget by one option.
    plain = ["--weighter", "uniform", "--no-report"]
    assert fit(tmp_path / "plain", "--source", "glyphs:images=200,letters=0.2", "--budget-images", "1000", *plain) == 0
    output = capsys.readouterr().out
    assert [line[:11] for line in output.splitlines() if line.startswith("epoch")] == [
        f"epoch {i:>3}  " for i in range(1, 6)
    ]
    assert "Training saw 1,000 images, the whole budget." in output


def test_fit_on_a_time_budget_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY, "--weighter", "uniform", "--time-budget", "1000", "--no-report") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("time ")] == [
        "time    at most 1000 minutes, so not repeatable bit for bit"
    ]
    assert fit(tmp_path / "other", *TINY, "--time-budget", "0") == 2
    assert "time_budget: 0.0 cannot work; allowed: a positive number of minutes" in capsys.readouterr().err


def test_fit_without_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY, "--no-report") == 0
    assert "report.html" not in capsys.readouterr().out
    assert not (tmp_path / "run" / "report.html").exists()


def test_fit_on_the_users_own_folders(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool, mine = folders
    flags = ["--source", str(pool), "--target", str(mine), "--encoder", "resnet18", "--batch-size", "8"]
    sizes = ["--image-size", "20", "--crop-size", "20", "--ways", "3", "--shots", "2", "--queries", "2"]
    assert fit(tmp_path / "run", *flags, *sizes, "--epochs", "1") == 0
    output = capsys.readouterr().out
    assert "24 images of 3 x 20 x 20" in output
    assert "3 classes" in output
    assert "skipped 1 file(s) that are not used: 1 .png (not an image in a known format), such as broken.png" in output
    resnet = torchvision.models.resnet18()
    resnet.fc = torch.nn.Identity()
    resnet.load_state_dict(safetensors.torch.load_file(tmp_path / "run" / "encoder.safetensors"), strict=True)


def test_a_folder_that_holds_a_run_is_left_alone(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run_dir / "metrics.csv").read_bytes()
    assert fit(run_dir, *TINY) == 2
    assert "already holds a finished run" in capsys.readouterr().err
    assert (run_dir / "metrics.csv").read_bytes() == before


def test_a_source_smaller_than_a_batch_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", "--max-source", "8", "--batch-size", "16") == 2
    assert re.search(r"^error: batch_size: 16 .*8 images", capsys.readouterr().err)


def test_a_loss_that_is_not_finite_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY, "--learning-rate", "1e30") == 1
    error = capsys.readouterr().err
    assert re.match(r"error: \S+ is not finite at step \d+ of epoch 1", error)
    assert len(error.splitlines()) == 1


def test_an_interrupted_run_says_how_to_go_on_and_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Trainer.epochs

    def interrupted(trainer: Trainer) -> Iterator[EpochReport]:
        yield next(whole(trainer))
        raise KeyboardInterrupt

    scripted = iter([0.7, 0.6, 0.5])  # two epochs' validation, then the test split
    monkeypatch.setattr(linear_probe, "evaluate", lambda *_: next(scripted))
    flags = [*TINY, "--epochs", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epochs", interrupted)
        assert fit(tmp_path / "run", *flags) == 130
    output = capsys.readouterr()
    assert f"{tmp_path / 'run' / 'checkpoints' / 'epoch_0001'}; the same command with --resume" in output.out
    assert output.err == "interrupted\n"
    assert fit(tmp_path / "run", *flags, "--resume") == 0
    output = capsys.readouterr()
    assert "continued after epoch 1" in output.out
    assert "validation accuracy  60.0 % (best 70.0 %, epoch 1)" in output.out
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (
            signal.SIGTERM,
            143,
            "stopped: this process was asked to end (SIGTERM); stopped with a checkpoint after epoch 0",
        ),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_run_asked_to_end_saves_what_it_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
    said: str,
) -> None:
    """In the middle of an epoch, by a scheduler that takes the machine away or by Ctrl-C."""
    flags = ["--preset", "digits", "--max-source", "256", "--batch-size", "32", "--epochs", "2"]

    def ask_to_end(progress: ConsoleProgress, report: StepReport) -> None:
        if report.step == 3:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(ConsoleProgress, "on_step", ask_to_end)
        assert fit(tmp_path / "run", *flags) == status
    assert capsys.readouterr().err.startswith(said)
    assert fit(tmp_path / "run", *flags, "--resume") == 0
    assert "continued after epoch 0 and 4 steps" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_asked_to_end_while_it_packs_ends_and_leaves_nothing_half_packed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    @contextlib.contextmanager
    def bar() -> Iterator[LabelledProgress]:
        def show(what: str, done: int, total: int | None) -> None:
            if what == "packing source, images" and done == 9:
                os.kill(os.getpid(), number)

        yield show

    with monkeypatch.context() as patch:
        patch.setattr("bdw.commands.fit.packing_bar", bar)
        assert fit(tmp_path / "run", *TINY) == status
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*source*"))
    assert fit(tmp_path / "run", *TINY) == 0


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert fit(tmp_path / "file" / "run", *TINY) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_two_workers_under_torchrun(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bdw"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "fit", "--run-dir", str(tmp_path / "run"), *TINY],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "2 worker(s)" in done.stdout
    assert done.stdout.count("epoch 1/1") == 1
    assert (tmp_path / "run" / "report.html").is_file()
