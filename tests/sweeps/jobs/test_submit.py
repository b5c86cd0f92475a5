from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import ray
from ray.job_submission import JobStatus

from bdw.errors import InputError
from bdw.runs.directory import git_revision
from sweeps.jobs import submit
from sweeps.jobs.upload import Upload

if TYPE_CHECKING:
    from conftest import Head

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = "sweeps/stl10_pruning.py"
SMALLEST = ["--smoke", "--samples", "1", "--epochs", "1", "--data", "digits", "--targets", "digits"]


@dataclass
class FakeServer:
    """A job that prints and ends as it is told to."""

    status: JobStatus = JobStatus.SUCCEEDED
    driver_exit_code: int | None = 0
    message: str | None = None
    log: list[str | BaseException] = field(default_factory=lambda: ["printed by the job\n"])
    version: str = ray.__version__
    addresses: list[str] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def connect(self, address: str) -> FakeServer:
        self.addresses.append(address)
        return self

    def ray_version(self) -> str:
        return self.version

    def submit_job(self, **job: Any) -> str:
        self.jobs.append(job)
        return str(job["submission_id"])

    def get_job_info(self, job_id: str) -> FakeServer:
        return self

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for text in self.log:
            if isinstance(text, BaseException):
                raise text
            yield text


def run(server: FakeServer, *arguments: str) -> int:
    return submit.main(arguments, connect=server.connect)


def refused(*arguments: str, server: FakeServer | None = None) -> str:
    """The one line for input that cannot work; nothing was sent."""
    server = server or FakeServer()
    with pytest.raises(InputError) as caught:
        run(server, *arguments)
    assert server.jobs == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is sent


def test_the_checkout_goes_along_and_nothing_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer()
    options = ["--name", "mine", "--smoke", "--storage-path", "s3://bucket/with space"]
    assert run(server, "--address", "http://head:8265/", SCRIPT, "--", *options) == 0
    (job,) = server.jobs
    assert job["runtime_env"] == {"working_dir": str(ROOT), "env_vars": {"BDW_GIT_REVISION": git_revision()}}
    assert shlex.split(job["entrypoint"]) == ["python", SCRIPT, *options]
    assert job["submission_id"].startswith("stl10_pruning-")
    assert server.addresses == ["http://head:8265"]
    said = capsys.readouterr()
    assert said.out == "printed by the job\n"
    assert f"{Upload.of(ROOT).in_words()} to upload from {ROOT}" in said.err
    assert "storage-path" not in said.err.split("job ")[0]


def test_what_is_no_checkout_tells_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "git_revision", lambda: None)
    server = FakeServer()
    assert run(server, SCRIPT) == 0
    assert server.jobs[0]["runtime_env"] == {"working_dir": str(ROOT)}


@pytest.mark.parametrize("given", [SCRIPT, str(ROOT / SCRIPT), "stl10_pruning.py"])
def test_the_script_may_be_named_from_anywhere(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "/" not in given:
        monkeypatch.chdir(ROOT / "sweeps")
    server = FakeServer()
    assert run(server, given) == 0
    assert server.jobs[0]["entrypoint"] == f"python {SCRIPT}"


def test_without_waiting_the_job_is_only_sent(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer(log=[AssertionError("looked at the log")])
    assert run(server, "--no-wait", "--submission-id", "mine", "--address", "http://head:1", SCRIPT) == 0
    said = capsys.readouterr().err
    assert "ray job logs --follow --address http://head:1 mine" in said
    assert "ray job stop --address http://head:1 mine" in said


def test_a_dry_run_asks_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer()
    assert run(server, "--dry-run", SCRIPT, "--", "--smoke") == 0
    assert (server.addresses, server.jobs) == ([], [])
    said = capsys.readouterr().err
    assert f"would run `python {SCRIPT} --smoke`" in said
    assert "no --storage-path: results stay in ~/bdw-sweeps" in said


# How it ends


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 1, 1),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, 77, 77),
        (JobStatus.FAILED, -9, 137),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 1),
        (JobStatus.STOPPED, -15, 1),
    ],
)
def test_the_jobs_exit_status_is_the_commands(status: JobStatus, code: int | None, expected: int) -> None:
    assert run(FakeServer(status=status, driver_exit_code=code), SCRIPT) == expected


def test_why_a_job_could_not_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer(status=JobStatus.FAILED, driver_exit_code=None, message="Runtime env\n could not be set up")
    assert run(server, SCRIPT) == 1
    assert "could not run: Runtime env could not be set up\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "log", "lacking"),
    [
        (1, ["Traceback\nModuleNotFoundError: No mod", "ule named 'optuna'\n"], "lack the module 'optuna'"),
        (127, ["sh: 1: python: not found\n"], "lack a `python`"),
    ],
)
def test_a_cluster_without_the_requirements_is_recognised(
    capsys: pytest.CaptureFixture[str], code: int, log: list[str | BaseException], lacking: str
) -> None:
    assert run(FakeServer(status=JobStatus.FAILED, driver_exit_code=code, log=log), SCRIPT) == code
    assert lacking in capsys.readouterr().err


def test_ctrl_c_leaves_the_job_running_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer(log=["begun\n", KeyboardInterrupt()])
    assert run(server, "--submission-id", "mine", SCRIPT) == 130
    said = capsys.readouterr()
    assert said.out == "begun\n"
    assert "detached; job mine was not stopped. Follow it: ray job logs" in said.err
    assert "stop it: ray job stop" in said.err


def test_a_lost_cluster_is_a_failure_that_says_how_to_look(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.jobs.job_server.ATTEMPTS", 0)
    assert run(FakeServer(log=[ConnectionError("gone")]), "--submission-id", "mine", SCRIPT) == 1
    assert "lost the cluster while it ran job mine: gone. If the job runs, follow it: " in capsys.readouterr().err


# What cannot work


@pytest.mark.parametrize(
    "script", ["sweeps/stl10_prunin.py", "sweeps/runner/search.py", "bdw/cli.py", "/etc/passwd", ".."]
)
def test_only_sweep_scripts_of_this_checkout(script: str) -> None:
    said = refused(script)
    assert said.startswith(f"script: {script!r} is not known")
    assert "sweeps/mnist_autoencoders.py, " in said.split("allowed: ")[1]


def test_the_scripts_options_need_dashes_before_them() -> None:
    assert refused(SCRIPT, "--smoke") == "--smoke: is not known (the script's own options come after `--`)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--smoke", "--storage_path=runs"], "storage_path: 'runs' is relative"),
        (["--storage-path", "./runs"], "storage_path: './runs' is relative"),
        (["--data-root", "data"], "data_root: 'data' is relative and does not go along"),
        (["--study-storage", "sqlite:///study.db"], "study_storage: 'sqlite:///study.db' is relative"),
        (["--smok"], "stl10_pruning: --smok: is not known; did you mean --smoke?"),
        (["--seeds", "0", "0"], "stl10_pruning: seeds: 0 is given twice"),
        (["--num-workers", "0"], "stl10_pruning: num_workers: 0 cannot work"),
        (["--name", "with space"], "stl10_pruning: name: 'with space' cannot be a folder's name"),
        (["--data", "digit"], "stl10_pruning: data: 'digit' is not known (did you mean 'digits'?)"),
        (["--data", "stl10"], "stl10_pruning: data_root: none was given; allowed: a folder that holds STL-10"),
        (["--targets", "nonsense"], "stl10_pruning: targets: 'nonsense'"),
        (["--study-storage", "nonsense"], "stl10_pruning: study_storage: 'nonsense' cannot be used"),
        (["--study-storage", "oracel://host/db"], "stl10_pruning: study_storage: 'oracel://host/db' cannot be used"),
        (["--storage-path", "s4://bucket"], "storage_path: 's4://bucket' is in no known kind of storage"),
    ],
)
def test_the_scripts_options_are_checked_here(options: list[str], message: str) -> None:
    assert refused(SCRIPT, "--", *options).startswith(message)


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("mnist_autoencoders", [], "data_root: none was given; allowed: a folder that holds mnist"),
        ("meta_batch_design", ["--data", "stl10"], "data_root: none was given"),
        ("meta_batch_design", ["--ways", "1"], "ways: 1 cannot work"),
        ("visual_decathlon", [], "data_root: none was given; allowed: a folder that holds decathlon-1.0"),
        ("visual_decathlon", ["--data", "/a", "--data-root", "/b"], "data: given together with data_root"),
        ("visual_decathlon", ["--data", "/a", "--methods", "BDV"], "methods: 'BDV'"),
    ],
)
def test_every_sweeps_own_options_are_checked_here(script: str, options: list[str], message: str) -> None:
    assert refused(f"sweeps/{script}.py", "--", *options).startswith(f"{script}: {message}")


def test_the_mini_decathlons_folder_must_be_found_on_the_cluster() -> None:
    assert refused("sweeps/visual_decathlon.py", "--", "--data", "sets").startswith("data: 'sets' is relative")
    assert run(FakeServer(), "sweeps/visual_decathlon.py", "--", "--data", "/mnt/sets") == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--storage-path", "~/sweeps"],
        ["--storage-path", "gs://bucket/path"],
        ["--study-storage", "sqlite:////mnt/study.db"],
        ["--study-storage", "postgresql://host/db"],
        ["--data-root", "tests/data"],
        ["--data-root", "/mnt/data"],
        ["--targets", "glyphs-greek", "/mnt/labelled"],
        ["--data", "stl10", "--data-root", "/mnt/data", "--targets", "known-there"],
    ],
)
def test_places_that_mean_the_same_on_the_cluster(options: list[str]) -> None:
    assert run(FakeServer(), SCRIPT, "--", *options) == 0


def test_an_upload_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    large = Upload(ROOT, {SCRIPT: 1, "model.bin": 200 * 2**20})
    monkeypatch.setattr(Upload, "of", lambda root: large)
    assert "Largest: model.bin (200.0 MiB)" in refused(SCRIPT)


def test_a_script_that_would_stay_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Upload, "of", lambda root: Upload(ROOT, {"README.md": 1}))
    assert refused(SCRIPT).startswith(f"script: {SCRIPT} would stay at home")


def test_another_ray_on_the_cluster() -> None:
    assert "runs Ray 2.9.3, this environment" in refused(SCRIPT, server=FakeServer(version="2.9.3"))


@pytest.mark.parametrize("name", ["a b", "../x", "-x"])
def test_a_name_that_cannot_be_a_jobs(name: str) -> None:
    assert refused(f"--submission-id={name}", SCRIPT).startswith(f"submission_id: {name!r} cannot work")


def test_an_installed_copy_has_no_checkout_to_send(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(submit, "ROOT", tmp_path)
    assert refused(SCRIPT) == f"script: {tmp_path} is an installed copy; run this in a checkout of the repository"


# On a real cluster


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sweeps.jobs.submit", *arguments]


@pytest.mark.long
@pytest.mark.timeout(600)
class TestOnACluster:
    def test_success(self, head: Head, tmp_path: Path) -> None:
        done = head.run(*command(SCRIPT, "--", *SMALLEST, "--storage-path", str(tmp_path)))
        assert done.returncode == 0, done.stdout + done.stderr
        report = tmp_path / "stl10_pruning-digits-smoke" / "report.html"
        assert f"report: {report}\n" in done.stdout
        assert report.is_file()
        assert "succeeded" in done.stderr

    def test_the_scripts_exit_status_is_passed_on(self, head: Head, tmp_path: Path) -> None:
        # Only the cluster can say no to this trial: it will never hold it.
        wanted = ["--smoke", "--data", "digits", "--targets", "digits", "--cpus-per-trial", "99"]
        done = head.run(*command(SCRIPT, "--", *wanted, "--storage-path", str(tmp_path)))
        # Ray's own command would say 1.
        assert done.returncode == 2, done.stdout + done.stderr
        assert "a trial wants 99 CPUs; the cluster has 2 CPUs and 0 GPUs on 1 machine and does not grow" in done.stdout
        assert "failed with exit status 2" in done.stderr

    def test_options_that_the_script_would_refuse_are_not_sent(self, head: Head) -> None:
        done = head.run(*command(SCRIPT, "--", "--data", "nonsense"))
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stdout == ""
        assert "data: 'nonsense' is not known" in done.stderr

    def test_a_cluster_that_wants_a_token(self, head: Head) -> None:
        done = head.run(*command(SCRIPT), RAY_AUTH_MODE="disabled")
        assert done.returncode == 2
        assert "export RAY_AUTH_MODE=token" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_name_is_given_once_and_ctrl_c_does_not_stop_the_job(self, head: Head, tmp_path: Path) -> None:
        # One trial after another, for longer than anybody waits.
        endless = ["--smoke", "--epochs", "100000", "--storage-path", str(tmp_path)]
        once = command("--submission-id", "endless", SCRIPT, "--", *endless)
        running = subprocess.Popen(
            once, cwd=ROOT, env=head.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if "starting Ray" in line:
                    break
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
        assert running.returncode == 130, said
        assert "detached; job endless was not stopped" in said
        assert "Traceback" not in said
        assert "RUNNING" in head.run("ray", "job", "status", "endless").stdout
        again = head.run(*once)
        assert again.returncode == 2
        assert "the cluster has a job 'endless' already" in again.stderr
        assert head.run("ray", "job", "stop", "endless").returncode == 0
