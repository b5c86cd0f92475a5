"""Arguments become settings, and what cannot work one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bdw import cli
from bdw.commands.options import Doctor, Evaluate, Fit, Pack, Replay, Report
from bdw.config import presets
from bdw.errors import InputError


def fit(run_dir: Path, *flags: str) -> int:
    return cli.main(["fit", "--run-dir", str(run_dir), *flags])


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


def test_options_of_a_part_of_several_tasks_are_flags_below_its_name() -> None:
    flags = ["--pretext", "multitask", "--pretext.tasks", "rotation", "simclr", "--pretext.task-weights", "1", "0.5"]
    command = cli.parse(["fit", *flags, "--pretext.simclr.temperature", "0.2", "--pretext.simclr.no-batch-norm"])
    assert isinstance(command, Fit)
    options = command.config.pretext.options
    assert (options.tasks, options.task_weights) == (("rotation", "simclr"), (1.0, 0.5))
    assert (options.of("simclr").temperature, options.of("simclr").batch_norm) == (0.2, False)
    with pytest.raises(InputError, match=r"did you mean --pretext\.simclr\.temperature\?"):
        cli.parse(["fit", *flags, "--pretext.simclr.temprature", "0.2"])


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
    assert cli.parse(["pack", "digits", "out", "--image-size", "8"]) == Pack(spec="digits", out="out", image_size=8)
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
    assert re.fullmatch(r"bdw \S+: reading the source glyphs\S* \.\.\.\n", output.out)
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
        ([], "fit, evaluate, export, score, embed, select, certify, leaks, pack, replay, report, doctor"),
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


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"WORLD_SIZE": ""},
            "error: WORLD_SIZE: '' cannot work; allowed: 1 or more, as torchrun sets it, or not set\n",
        ),
        ({"WORLD_SIZE": "2"}, "error: WORLD_SIZE: 2 workers, but RANK, MASTER_ADDR, MASTER_PORT is not set; allowed: "),
    ],
)
def test_half_set_variables_of_torchrun_are_one_line(
    variables: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["fit", "--preset", "digits", "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


SLOW = ("torch", "numpy", "pandas", "pyarrow", "sklearn", "scipy", "matplotlib", "ray")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["fit", "--preset", "digits", "--run-dir", "RUN"], r"bdw \S+: reading the source digits \.\.\.\n"),
        (["doctor"], r"bdw \S+: looking at this machine \.\.\.\n"),
    ],
)
def test_a_line_comes_before_what_takes_long_to_import(arguments: list[str], line: str, tmp_path: Path) -> None:
    """The process ends itself at the first import that takes long, and tells which one that was."""
    program = f"""
import os, sys
class First:
    def find_spec(self, name, *_):
        if name in {SLOW!r}:
            print(name, file=sys.stderr, flush=True)
            os._exit(7)
sys.meta_path.insert(0, First())
from bdw.cli import main
main(sys.argv[1:])
"""
    words = [str(tmp_path / "run") if word == "RUN" else word for word in arguments]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, bool(re.fullmatch(line, done.stdout))) == (7, True), (done.stdout, done.stderr)


def test_json_stays_json_and_workers_stay_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bdw.commands.doctor.examine", lambda _: [])
    assert cli.main(["doctor", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"
    monkeypatch.setattr("bdw.commands.fit.fit_from_console", lambda *_: None)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["fit", "--preset", "digits"]) == 0
    assert capsys.readouterr().out == ""
