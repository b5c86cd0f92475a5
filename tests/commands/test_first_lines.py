"""The first lines come at once: what is imported before them, and what is refused without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib", "ray", "optuna"}


def _python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    return subprocess.run([sys.executable, "-c", path + code], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["fit", "--help-all"], ["score", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    done = _python(
        "from bdw import cli\n"
        f"try: cli.main({words})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print(sorted(sys.modules), file=sys.stderr)\n"
    )
    assert "usage" in done.stdout
    assert not HEAVY & set(eval(done.stderr))


@pytest.mark.parametrize(("words", "line"), [(["doctor"], "looking at this machine"), (["fit"], "reading the source")])
def test_the_first_line_waits_for_nothing_heavy(words: list[str], line: str) -> None:
    done = _python(
        "import builtins\n"
        "from bdw import cli\n"
        "def show(*said, **how):\n"
        "    builtins.__dict__['printed'](*said, sorted(sys.modules), file=sys.stderr)\n"
        "    raise SystemExit\n"
        "builtins.printed, builtins.print = print, show\n"
        f"cli.main({words})\n"
    )
    said, _, modules = done.stderr.partition("[")
    assert line in said
    assert not HEAVY & set(eval("[" + modules))


def test_what_needs_no_data_is_refused_without_torch(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "there.parquet").write_bytes(b"")
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "letter.txt").write_text("mine")
    refused = {
        "fit --source nowhere/": "source: 'nowhere/' does not exist",
        "fit --source photos --target nowhere/": "target: 'nowhere/' does not exist",
        "fit --run-dir busy": "is not empty (holds letter.txt)",
        "fit --encoder resnet19": "encoder: 'resnet19' is not known (did you mean 'resnet18'?); allowed: mlp",
        "fit --pretext rotatio": "pretext: 'rotatio' is not known (did you mean 'rotation'?); allowed: barlow_twins",
        "fit --weighter bet": "weighter: 'bet' is not known (did you mean 'beta'?); allowed: beta, counts, given",
        "fit --selector simcor": "selector: 'simcor' is not known (did you mean 'simcore'?); allowed: given",
        "fit --evaluation.measure rankm": "measure: 'rankm' is not known (did you mean 'rankme'?)",
        "fit --evaluation.monitors rankme acc": "monitors: 'acc' is not known; allowed: accuracy, alignment",
        "fit --evaluation.final-measures acc": "final_measures: 'acc' is not known; allowed: accuracy, alignment",
        "fit --num-workers 2 --encoder resnet19": "encoder: 'resnet19' is not known",
        "fit --epoch 3": "--epoch: is not known; did you mean --epochs?",
        "fit --weighter.cdf-threshold 3": "cdf_threshold (lambda): 3.0 cannot work",
        "evaluate": "give one of --run DIR and --encoder FILE",
        "evaluate --run nowhere": "run: 'nowhere' does not exist",
        "evaluate --run nowhere --measure rankm": "measure: 'rankm' is not known (did you mean 'rankme'?)",
        "evaluate --run nowhere --measure rankme": "run: 'nowhere' does not exist",
        "evaluate --measure pretext_loss": "measure: 'pretext_loss' needs the pretext head",
        "export --run busy": "run: 'busy' holds no encoder.safetensors",
        "score photos --run nowhere --out new.parquet": "run: 'nowhere' does not exist",
        "score photos --run busy --out there.parquet": "out: there.parquet already exists",
        "embed photos --run nowhere --out new.parquet": "run: 'nowhere' does not exist",
        "embed photos --out new.parquet": "give one of --run DIR and --encoder FILE",
        "select --scores there.parquet --out there.parquet --count 1": "out: there.parquet already exists",
        "select --out new.txt --selector simcor": "selector: 'simcor' is not known (did you mean 'simcore'?)",
        "pack nowhere/ packed": "source: 'nowhere/' does not exist",
        "report nowhere": "directory: 'nowhere' does not exist",
    }
    done = _python(
        "import contextlib, io\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        assert name not in ('torch', 'ray', 'optuna', 'sklearn')\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from bdw import cli\n"
        f"for words in {list(refused)}:\n"
        "    said = io.StringIO()\n"
        "    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):\n"
        "        status = cli.main(words.split())\n"
        "    print(status, said.getvalue().strip())\n",
        cwd=tmp_path,
    )
    assert done.stderr == ""
    answers = done.stdout.splitlines()
    assert len(answers) == len(refused)
    for answer, (words, wanted) in zip(answers, refused.items(), strict=True):
        assert answer.startswith("2 error: "), words
        assert wanted in answer, words
