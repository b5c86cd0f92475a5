"""The script for Slurm as it is, with stand-ins for Slurm's commands that start real processes on this machine.

Two "machines" are two of Ray's nodes here, with a CPU each, so that two workers train on both.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "cluster" / "slurm.sh"
MACHINES = ["one", "two"]
SBATCH = {
    "job-name", "nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "time", "signal", "requeue", "open-mode",
    "output",
}  # fmt: skip
"""Options of `sbatch` (its manual page, Slurm 24.05) that the script uses."""

# Runs the command once for every machine that the step names, or of the whole job; ends with the last of them.
SRUN = """#!/bin/bash
echo "srun $*" >> "$CALLS"
machines=2
while [[ $1 == --* ]]; do
  case $1 in --ntasks=*) machines=${1#*=};; esac
  shift
done
started=()
trap 'kill -TERM "${started[@]}" 2> /dev/null' TERM
for ((i = 0; i < machines; i++)); do "$@" & started+=($!); done
status=0
for one in "${started[@]}"; do
  while kill -0 "$one" 2> /dev/null; do wait "$one"; done
  wait "$one" || status=$?
done
exit $status
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$CALLS"
[[ $1 == show ]] && printf '%s\\n' one two
exit 0
"""


@pytest.fixture
def slurm(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a batch script on the first of two machines; `python` is that of these tests."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    submit = tmp_path / "repository"
    submit.mkdir()
    for name in ("bdw", "sweeps", "analysis", "pyproject.toml"):
        (submit / name).symlink_to(ROOT / name)
    return environment | {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CALLS": str(tmp_path / "calls"),
        # Ports of a run of its own where several test at once.
        "SLURM_JOB_ID": str(1000 + os.getpid() % 1000),
        "SLURM_JOB_NODELIST": "[one,two]",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_SUBMIT_DIR": str(submit),
        "OMP_NUM_THREADS": "1",
    }


def start(environment: dict[str, str], *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(SCRIPT), *command], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def calls(environment: dict[str, str]) -> list[str]:
    return Path(environment["CALLS"]).read_text().splitlines()


def test_bash_and_sbatch_can_read_it() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    lines = SCRIPT.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    directives = [line for line in lines if line.startswith("#SBATCH")]
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    # Slurm reads them up to the first command.
    assert all(lines.index(line) < first_command for line in directives)
    options = [re.fullmatch(r"#SBATCH --([a-z-]+)(=\S+)?", line) for line in directives]
    assert {match[1] for match in options if match} == SBATCH
    assert all(options)


def test_nothing_is_open_without_the_token() -> None:
    text = SCRIPT.read_text()
    assert "0.0.0.0" not in text
    assert "--dashboard-host=127.0.0.1" in text
    assert "RAY_AUTH_MODE=token" in text


@pytest.mark.parametrize(("job", "command"), [("7", []), ("", ["true"])])
def test_without_a_command_or_slurm_it_says_how(job: str, command: list[str], slurm: dict[str, str]) -> None:
    done = start(slurm | {"SLURM_JOB_ID": job}, *command)
    said, _ = done.communicate(timeout=20)
    assert done.returncode == 2
    assert said.count("\n") == 1
    assert "sbatch" in said


def test_a_gpu_that_does_not_work_ends_the_job(slurm: dict[str, str], tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\n[[ $* == "-m bdw doctor --gpu" ]] && { echo "no gpu"; exit 1; }\nexit 0\n')
    python.chmod(0o755)
    done = start(slurm | {"SLURM_GPUS_ON_NODE": "1"}, "touch", str(tmp_path / "started"))
    said, _ = done.communicate(timeout=20)
    assert done.returncode == 1
    assert said.splitlines() == ["no gpu", "no gpu", "a machine's GPU cannot be used; what is wrong stands above"]
    assert not (tmp_path / "started").exists()
    assert not [call for call in calls(slurm) if "ray start" in call]


@pytest.mark.long
@pytest.mark.timeout(500)
def test_a_run_over_two_machines_that_is_put_back_into_the_queue(slurm: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [
        *("python", "-m", "bdw", "fit", "--source", "digits", "--max-source", "400", "--num-workers", "2", "--resume"),
        *("--run-dir", str(run), "--epochs", "12", "--output.no-report"),
    ]
    first = start(slurm, *command)
    try:
        deadline = time.monotonic() + 200
        while not (run / "metrics.csv").is_file() and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
        first.send_signal(signal.SIGUSR1)  # Two minutes before the end.
        said, _ = first.communicate(timeout=120)
    finally:
        first.kill()
    assert first.returncode == 143, said
    assert "2 machines have joined" in said
    assert "asking the workers to save and stop" in said
    assert f"scontrol requeue {slurm['SLURM_JOB_ID']}" in calls(slurm)
    epochs = len((run / "metrics.csv").read_text().splitlines()) - 1
    assert 0 < epochs < 12

    Path(slurm["CALLS"]).unlink()
    second = start(slurm, *command)
    try:
        said, _ = second.communicate(timeout=240)
    finally:
        second.kill()
    assert second.returncode == 0, said
    assert (run / "encoder.safetensors").is_file()
    assert len((run / "metrics.csv").read_text().splitlines()) - 1 == 12
    assert not [call for call in calls(slurm) if "requeue" in call]
    heads = [call for call in calls(slurm) if "ray start --head" in call]
    others = [call for call in calls(slurm) if "ray start --address=" in call]
    assert ["--nodelist=one" in call for call in heads] == [True]
    assert ["--nodelist=two" in call for call in others] == [True]
    folder = f"/tmp/bdw-{slurm['SLURM_JOB_ID']}"
    assert not Path(folder).exists()
    assert [process for process in psutil.process_iter(["cmdline"]) if folder in str(process.info["cmdline"])] == []
