"""Run a sweep script of this checkout on a running cluster, and follow it.

    python -m sweeps.jobs.submit sweeps/stl10_pruning.py -- --smoke
    python -m sweeps.jobs.submit --address http://HEAD:8265 sweeps/stl10_pruning.py -- --storage-path s3://bucket/sweeps

The checkout goes along as the job's working directory; nothing is installed on the cluster, whose machines have the
requirements already. The options behind `--` are the script's own; they are checked here, before anything is sent.

The exit status is the script's own; 128 + n if signal n ended it; 1 if it could not be started or was stopped, or if
the cluster was lost; 2 for input that cannot work; 130 after Ctrl-C, which leaves the job running.
"""

from __future__ import annotations

import importlib
import re
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bdw.errors import InputError, unknown_option
from bdw.runs.directory import REVISION_VARIABLE, git_revision
from sweeps.jobs import job_server
from sweeps.jobs.job_server import Details, JobServer, JobServerError
from sweeps.jobs.upload import Upload
from sweeps.runner import command_line
from sweeps.runner.options import SweepOptions

PROG = "submit"
ROOT = Path(__file__).resolve().parents[2]
STORAGES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file")
"""Kinds of storage that pyarrow knows."""
END_OF_LOG = 20_000  # Characters that are searched for why the job failed.


@dataclass(frozen=True, kw_only=True)
class Options:
    """Run a sweep script of this checkout on a running cluster. The script's own options come after `--`."""

    script: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SCRIPT")]
    """A sweep script, such as sweeps/stl10_pruning.py."""
    address: str | None = None
    """The cluster's job server. Default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS if http, http://127.0.0.1:8265."""
    wait: bool = True
    """Follow the job to its end; otherwise only say how to."""
    submission_id: str | None = None
    """Name of the job on the cluster. Default: made of the script and the time."""
    dry_run: bool = False
    """Check everything that can be checked here, and send nothing."""


def main(arguments: Sequence[str] | None = None, *, connect: Callable[[str], JobServer] = job_server.connect) -> int:
    """Submit, follow, and return the exit status. Raises `InputError` for what cannot work."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    split = given.index("--") if "--" in given else len(given)
    own, script_options = given[:split], given[split + 1 :]
    try:
        options = command_line.parse(Options, own, prog=f"python -m sweeps.{PROG}")
    except InputError as error:
        if split == len(given):
            raise InputError(f"{error} (the script's own options come after `--`)") from None
        raise
    script = find_script(options.script)
    upload = Upload.of(ROOT)
    if not upload.holds(script):
        raise InputError(f"script: {script} would stay at home; take it out of .gitignore and .rayignore")
    parsed = parse_script_options(script, script_options)
    require_reachable_places(parsed, upload)
    upload.require_sendable()
    job = options.submission_id or f"{Path(script).stem}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", job):
        raise InputError(f"submission_id: {job!r} cannot work; allowed: letters, digits, '.', '_' and '-'")
    entrypoint = shlex.join(["python", script, *script_options])
    address = (options.address or job_server.default_address()).rstrip("/")

    say(f"{upload.in_words()} to upload from {upload.root}")
    if parsed.storage_path is None:
        say("no --storage-path: results stay in ~/bdw-sweeps of the cluster, which its machines must share")
    if options.dry_run:
        say("largest: " + ", ".join(f"{name} ({size / 2**10:.0f} KiB)" for name, size in upload.largest()))
        say(f"would run `{entrypoint}` as job {job} at {address}; nothing was sent")
        return 0
    server = connect(address)
    job_server.require_same_ray(server, address)
    to_follow, to_stop = (f"ray job {verb} --address {address} {job}" for verb in ("logs --follow", "stop"))
    hints = f"follow it: {to_follow}; stop it: {to_stop}"
    try:
        # No pip, no uv: each would copy the cluster's environment, gigabytes of it, once more on every machine.
        environment = {"working_dir": str(ROOT), **_revision()}
        job_server.submit(server, entrypoint=entrypoint, submission_id=job, runtime_env=environment)
        say(f"job {job}: `{entrypoint}` at {address}")
        if not options.wait:
            say(hints)
            return 0
        end = EndOfLog()
        details = job_server.follow(server, job, end.show)
    except JobServerError as error:
        say(f"{error}. If the job runs, {hints}")
        return 1
    except KeyboardInterrupt:
        say(f"detached; job {job} was not stopped. {hints[0].upper()}{hints[1:]}")
        return command_line.INTERRUPTED
    return verdict(job, details, end.text)


def find_script(script: str) -> str:
    """The script's path from the root. Raises `InputError` for anything but one of this checkout's sweep scripts."""
    if not (ROOT / "pyproject.toml").is_file():
        raise InputError(f"script: {ROOT} is an installed copy; run this in a checkout of the repository")
    known = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("sweeps/*.py")) if _is_script(path)]
    for path in (Path(script).absolute(), ROOT / script):
        resolved = path.resolve()
        if resolved.is_relative_to(ROOT) and resolved.relative_to(ROOT).as_posix() in known:
            return resolved.relative_to(ROOT).as_posix()
    raise unknown_option("script", script, known)


def parse_script_options(script: str, arguments: Sequence[str]) -> SweepOptions:
    """The script's options as the script will read them. Raises `InputError` for options that it would refuse."""
    name = Path(script).stem
    options: type[SweepOptions] = importlib.import_module(f"sweeps.{name}").Options
    try:
        parsed = command_line.parse(options, arguments, prog=name)
        parsed.check()
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return parsed


def require_reachable_places(options: SweepOptions, upload: Upload) -> None:
    """Raise `InputError` for relative paths, which on the cluster lie in a directory that is deleted with the job."""
    why = "is relative, and the job's working directory is deleted with the job"
    if options.storage_path is not None and not _is_place(options.storage_path):
        raise InputError(
            f"storage_path: {options.storage_path!r} {why}; allowed: an absolute path (or '~/...', quoted) on the "
            "cluster's machines, s3://bucket/path or gs://bucket/path"
        )
    scheme, mark, _ = (options.storage_path or "").partition("://")
    if mark and scheme not in STORAGES:
        raise InputError(
            f"storage_path: {options.storage_path!r} is in no known kind of storage; allowed: an absolute path, or one "
            f"of {', '.join(f'{known}://' for known in STORAGES)}"
        )
    if re.match(r"sqlite(\+\w+)?:///[^/]", options.study_storage or ""):
        raise InputError(
            f"study_storage: {options.study_storage!r} {why}; allowed: sqlite:////absolute/path on the head, or a "
            "database server"
        )
    for name, place in options.places.items():
        if not _is_place(place) and not upload.holds(place):
            raise InputError(
                f"{name}: {place!r} is relative and does not go along; allowed: an absolute path (or '~/...', quoted) "
                "on the cluster's machines"
            )


def verdict(job: str, details: Details, end_of_log: str) -> int:
    """Say how the job ended, and return the exit status that tells the same."""
    status, code = str(details.status), details.driver_exit_code
    if status == "SUCCEEDED":
        say(f"job {job} succeeded")
        return 0
    if status == "STOPPED":
        say(f"job {job} was stopped")
        return 1
    if not code:
        say(f"job {job} could not run: {' '.join((details.message or 'no reason given').split())}")
        return 1
    missing = re.findall(r"ModuleNotFoundError: No module named '([^']+)'", end_of_log)
    if missing or code == 127:
        lacking = f"the module {missing[-1]!r}" if missing else "a `python`"
        say(
            f"the cluster's machines lack {lacking}: `python` is the first on the PATH of their `ray start`, and must "
            "be that of an environment with this checkout's requirements"
        )
    say(f"job {job} failed with " + (f"exit status {code}" if code > 0 else f"signal {-code}"))
    return code if code > 0 else 128 - code


class EndOfLog:
    """Prints a log as it comes and keeps the end of it."""

    def __init__(self) -> None:
        self.text = ""

    def show(self, text: str) -> None:
        """The next piece."""
        print(text, end="", flush=True)
        self.text = (self.text + text)[-END_OF_LOG:]


def say(line: str) -> None:
    """Print a line of our own on stderr; the job's output goes to stdout."""
    print(f"{PROG}: {line}", file=sys.stderr, flush=True)


def _revision() -> dict[str, dict[str, str]]:
    """The commit that the uploaded copy, which has no history, was made from."""
    revision = git_revision()
    return {"env_vars": {REVISION_VARIABLE: revision}} if revision else {}


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _is_place(path: str) -> bool:
    """Whether the path means the same on every machine."""
    return "://" in path or path.startswith(("/", "~"))


def _run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    sys.exit(command_line.run(_run, prog=PROG))
