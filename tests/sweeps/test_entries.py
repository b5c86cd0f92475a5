"""What all entries of sweeps/ have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEPS = Path(__file__).resolve().parents[2] / "sweeps"
ENTRIES = [path for path in sorted(SWEEPS.glob("*.py")) if path.read_text().startswith("#!")]


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.name)
def test_an_entry_can_be_run_as_a_job(path: Path) -> None:
    """`ray job submit sweeps/x.py` hands the file itself to a shell."""
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env python\n")


REFUSED = {
    "stl10_pruning --data glyph": "data: 'glyph' is not known (did you mean 'glyphs'?)",
    "stl10_pruning --samples 0": "samples: 0 cannot work; allowed: 1 or more",
    "stl10_pruning --sample 3": "--sample: is not known; did you mean --samples?",
    "stl10_pruning --objective acuracy": "objective: 'acuracy' is not known (did you mean 'accuracy'?)",
    "stl10_pruning --targets nonsense": "targets: 'nonsense' is not known",
    "stl10_pruning --log-to tensorbord": "log_to: 'tensorbord' is not known (did you mean 'tensorboard'?)",
    "stl10_pruning --keep-checkpoints-of bst": "keep_checkpoints_of: 'bst' is not known (did you mean 'best'?)",
    "stl10_pruning --name a/b": "name: 'a/b' cannot be a folder's name",
    "stl10_pruning --study-storage nonsense": "study_storage: 'nonsense' cannot be used",
    "meta_batch_design --ways 1": "ways: 1 cannot work; allowed: 2 or more",
    "mnist_autoencoders --methods VEA": "methods: 'VEA' is not known (did you mean 'VAE'?)",
    "mnist_autoencoders --methods simcor": "methods: 'simcor' is not known (did you mean 'simcore'?)",
    "visual_decathlon --fine-tuning-epochs 0 --data .": "fine_tuning_epochs: 0 cannot work; allowed: 1 or more",
    "search --objective acc": "objective: 'acc' is not known",
    "search --space weigth_lr=1..2": "space: 'weigth_lr' is not known (did you mean 'weight_lr'?)",
    "search --preset digit": "preset: 'digit' is not known (did you mean 'digits'?)",
    "search --sampler cmaes": "sampler: 'cmaes' is not known",
    "search --scheduler pbt": "scheduler: 'pbt' cannot work",
}


def test_options_are_refused_before_torch_and_ray_are_imported() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import contextlib, importlib, io, sys\n"
            "class Heavy:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        assert name not in ('torch', 'ray', 'sklearn', 'pandas', 'matplotlib')\n"
            "sys.meta_path.insert(0, Heavy())\n"
            "from sweeps.runner import command_line\n"
            f"for words in {list(REFUSED)}:\n"
            "    entry, *arguments = words.split()\n"
            "    main = importlib.import_module(f'sweeps.{entry}').main\n"
            "    said = io.StringIO()\n"
            "    with contextlib.redirect_stderr(said):\n"
            "        status = command_line.run(lambda: main(arguments), prog=entry)\n"
            "    print(status, said.getvalue().strip())\n",
        ],
        cwd=SWEEPS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    for answer, (words, wanted) in zip(done.stdout.splitlines(), REFUSED.items(), strict=True):
        assert answer.startswith(f"2 {words.split()[0]}: {wanted}"), words
