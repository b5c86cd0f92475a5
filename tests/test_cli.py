from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image

from bdw import cli
from bdw.commands.options import Doctor, Evaluate, Fit, Pack, Replay, Report
from bdw.config import presets
from bdw.errors import InputError
from bdw.evaluation import linear_probe
from bdw.runs.console import ConsoleProgress
from bdw.runs.export import read_encoder
from bdw.runs.metrics import EpochReport, StepReport
from bdw.training.trainer import Trainer

TINY = ["--preset", "digits", "--max-source", "64", "--epochs", "1"]


def fit(run_dir: Path, *flags: str) -> int:
    return cli.main(["fit", "--run-dir", str(run_dir), *flags])


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    assert fit(path, *TINY) == 0
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A user's own pictures: an unlabelled pool with one broken file, and a target with three classes."""
    generator = np.random.default_rng(0)

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)

    for i in range(24):
        write(tmp_path / "pool" / f"{i:02}.png")
    (tmp_path / "pool" / "broken.png").write_bytes(b"not a picture")
    for name in ("cat", "dog", "fox"):
        for i in range(20):
            write(tmp_path / "mine" / name / f"{i}.png")
    return tmp_path / "pool", tmp_path / "mine"


# Parsing


@pytest.mark.parametrize(
    "flags",
    [
        "--source a --weight-lr 10 --no-prune --lr-milestones 3 5 --max-source 9",
        "--data.source a --weighter.weight-lr 10 --weighter.no-prune --schedule.lr-milestones 3 5 --data.max-source=9",
        "--data.source=a --weight_lr=10 --weighter.no_prune --lr_milestones 3 5 --data.max_source 9",
    ],
)
def test_flags_are_names_or_dotted_paths_and_reach_their_sections(flags: str) -> None:
    command = cli.parse(["fit", "--preset", "pictures", *flags.split()])
    assert isinstance(command, Fit)
    assert command.config == presets.build("pictures").replace(
        source="a", weight_lr=10.0, prune=False, lr_milestones=[3, 5], max_source=9
    )


def test_no_flags_mean_the_defaults() -> None:
    command = cli.parse(["fit"])
    assert isinstance(command, Fit)
    assert command.config == presets.build("glyphs")


@pytest.mark.parametrize("flag", [["--preset", "stl10"], ["--preset=stl10"]])
def test_flags_override_a_preset(flag: list[str]) -> None:
    command = cli.parse(["fit", "--epochs", "2", *flag])
    assert isinstance(command, Fit)
    assert command.config == presets.build("stl10").replace(epochs=2)


@pytest.mark.parametrize("name", presets.available())
def test_every_preset_parses_to_itself(name: str) -> None:
    command = cli.parse(["fit", "--preset", name])
    assert isinstance(command, Fit)
    assert command.config == presets.build(name)


def test_other_commands() -> None:
    assert cli.parse(["evaluate", "--run", "r"]) == Evaluate(run=Path("r"))
    assert cli.parse(["pack", "digits", "out", "--image-size", "8"]) == Pack(
        spec="digits", out=Path("out"), image_size=8
    )
    assert cli.parse(["replay", "--run", "r", "--lambda", "0.1", "--rho", "0.5", "0.9"]) == Replay(
        run=Path("r"), cdf_threshold=(0.1,), density_threshold=(0.5, 0.9)
    )
    assert cli.parse(["report", "r"]) == Report(directory=Path("r"))
    assert cli.parse(["doctor", "--json"]) == Doctor(json=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cdf-threshold", "1.5"], "cdf_threshold (lambda): 1.5 cannot work; allowed: between 0 and 1"),
        (["--density-threshold", "0"], "density_threshold (rho): 0.0"),
        (["--preset", "stll0"], "did you mean 'stl10'?"),
        (["--preset", "stl10", "--weight-lr", "-1"], "weight_lr (eta): -1.0"),
        (["--device", "tpu"], "device: 'tpu' is not known (did you mean 'cpu'?); allowed: auto, cpu, cuda"),
        (["--schedule", "foo"], "schedule: 'foo' is not known; allowed: constant, cosine, milestones"),
        (["--schedule=cosin"], "schedule: 'cosin' is not known (did you mean 'cosine'?)"),
        (["--warm-up", "2"], "warm_up: 2.0 cannot work; allowed: 0 <= value < 1"),
        (["--target-margin", "0"], "target_margin: 0.0 cannot work; allowed: above 0, at most 1"),
        (["--budget-images", "5"], "budget_images: 5 cannot work; allowed: at least one batch, batch_size = 32"),
        (["--epochs", "3", "--budget-images", "5000"], "epochs, budget_images: 3 and 5000 are both given"),
        (["--epochs=3", "--budget-images=5000"], "epochs, budget_images: 3 and 5000 are both given"),
        (["--lr-milestones", "2"], "lr_milestones: (2,) cannot work; allowed: none with schedule 'cosine'"),
    ],
)
def test_values_that_cannot_work_are_one_line_and_status_2(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        cli.parse(["fit", *flags])
    assert cli.main(["fit", *flags]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("error: ")
    assert message in output.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target-margin", "0.1", "--weighter", "beta"], "target_margin: cannot work with weighter 'beta'"),
        (["--source", "glyphs:images=3"], "source: images=3 cannot work; allowed: 10 to"),
        (["--source", "glyphs-greek"], "source: 'glyphs-greek' is a target only; allowed: 'glyphs', its source"),
        (["--target", "glyphs"], "target: 'glyphs' is a source only; allowed: one of its scripts, 'glyphs-latin'"),
    ],
)
def test_runs_that_cannot_be_are_one_line_and_status_2(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(tmp_path / "run", *flags) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--weight-lrr", "3"], "--weight-lrr: is not known; did you mean --weight-lr?"),
        (["fit", "--wieghter=beta"], "--wieghter: is not known; did you mean --weighter?"),
        (["fit", "--weighter.cdf-thresholt", "3"], "did you mean --weighter.cdf-threshold?"),
        (["fit", "--epochs", "many"], "epochs: 'many' is of type str; allowed: int"),
        (["fit", "--workers.num-workers", "x"], "num_workers: 'x' is of type str; allowed: int or none"),
        (["fit", "--lr-milestones", "3", "x"], "lr_milestones: 'x' is of type str; allowed: int"),
        (["fit", "--epochs"], "Missing value for argument '--epochs/--budget.epochs'"),
        (["fit", "--prune", "3"], "'3' belongs to no option"),
        (["evaluate", "--rn", "a"], "--rn: is not known; did you mean --run?"),
        (["replay", "--run", "a", "--lambda", "x"], "--lambda"),
        (["pack"], "Missing from python -m bdw pack"),
        (["frobnicate"], "command: 'frobnicate' is not known"),
        (["fitt"], "command: 'fitt' is not known (did you mean 'fit'?)"),
        ([], "fit, evaluate, pack, replay, report, doctor"),
    ],
)
def test_what_is_no_option_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert message in output.err
    assert len(output.err.splitlines()) == 1


def test_help_shows_meaning_and_the_papers_letters_without_loading_torch() -> None:
    script = (
        "import sys\nfrom bdw import cli\n"
        "try:\n    cli.main(['fit', '--help'])\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stderr == "False\n"
    text = " ".join(re.sub(r"[│\n]", " ", shown.stdout).split())
    for meaning in ("eta: learning rate of log a", "lambda: weights below it", "rho: prune once", "Labelled target"):
        assert meaning in text
    assert all(name in text for name in presets.available())


# fit


def test_fit_says_what_it_does_and_where_things_lie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path / "run", *TINY) == 0
    output = capsys.readouterr()
    lines = output.out.splitlines()
    heads = [line.split()[0] for line in lines]
    assert heads == [
        *("source", "target", "model", "device", "batch", "weights", "run"),
        "epoch",
        *("found", "bought", "sure", "encoder", "weights", "metrics", "report"),
    ]
    assert re.search(r"[\d,]+ parameters, float32", lines[2])
    assert re.search(r"test accuracy of [\d.]+ % \(95 % interval [\d.]+ to [\d.]+ %\)", lines[9])
    assert re.search(r"weighting took [\d.]+ s, and nothing was saved\.$", lines[9])
    page = (tmp_path / "run" / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert all(line[8:] in html.unescape(page) for line in lines[8:11])
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
    assert "skipped 1 image(s) that cannot be decoded, such as broken.png" in output
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


def test_a_run_asked_to_end_saves_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM in the middle of an epoch, as schedulers send it before they take a machine away."""
    flags = ["--preset", "digits", "--max-source", "256", "--batch-size", "32", "--epochs", "2"]

    def ask_to_end(progress: ConsoleProgress, report: StepReport) -> None:
        if report.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(ConsoleProgress, "on_step", ask_to_end)
        assert fit(tmp_path / "run", *flags) == 143
    error = capsys.readouterr().err
    assert error.startswith("stopped: this process was asked to end (SIGTERM); stopped with a checkpoint after epoch 0")
    assert fit(tmp_path / "run", *flags, "--resume") == 0
    assert "continued after epoch 0 and 4 steps" in capsys.readouterr().out


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert fit(tmp_path / "file" / "run", *TINY) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


@pytest.mark.slow
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


# evaluate, pack, replay, report, doctor


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
        (["evaluate", "--run", "absent"], "absent/encoder.safetensors"),
        (["evaluate", "--run", "absent", "--measure", "acuracy"], "measure: 'acuracy' is not known"),
        (["evaluate", "--run", "absent", "--measure", "pretext_loss"], "needs the pretext head"),
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


def test_a_source_of_ones_own_starts_from_the_settings_for_pictures() -> None:
    command = cli.parse(["fit", "--source", "photos", "--target", "labelled", "--epochs", "3"])
    assert isinstance(command, Fit)
    assert command.config == presets.build("recommended").replace(source="photos", target="labelled", epochs=3)
    embedded = cli.parse(["fit"])
    assert isinstance(embedded, Fit)
    assert embedded.config == presets.build("glyphs")
    digits = cli.parse(["fit", "--source", "digits"])
    assert isinstance(digits, Fit)
    assert digits.config == presets.build("digits")
