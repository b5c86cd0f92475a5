"""A cluster's job server, to which `ray job` talks; here requests time out, and errors are one line."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from bdw.errors import InputError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
# Timeouts of a request in seconds: to connect, and to the first byte of an answer.
SHORT, LONG = (3.05, 4), (3.05, 120)
PAUSE = 2.0
ATTEMPTS = 30  # With the pauses more than a minute: a head's dashboard is back by then if it comes back at all.


class JobServerError(RuntimeError):
    """The server could not do what was asked, or is gone. One line."""


class Details(Protocol):
    """What a server knows about a job; Ray's `JobDetails`."""

    status: Any
    message: str | None
    driver_exit_code: int | None


class JobServer(Protocol):
    """The part of Ray's client that is used."""

    def ray_version(self) -> str:
        """The cluster's version of Ray."""
        ...

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any]) -> str:
        """Send the job and return its id."""
        ...

    def get_job_info(self, job_id: str) -> Details:
        """The job's state now."""
        ...

    def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """The job's whole output, from its first line, until it ends."""
        ...


def default_address() -> str:
    """Where `ray job` would look: RAY_API_SERVER_ADDRESS, RAY_ADDRESS if it is a job server's, or this machine."""
    given = os.environ.get("RAY_API_SERVER_ADDRESS", "")
    if not given and (address := os.environ.get("RAY_ADDRESS", "")).startswith(("http://", "https://")):
        given = address
    return given or DEFAULT_ADDRESS


def connect(address: str) -> JobServer:
    """The server at an http address. Raises `InputError` if there is none, or if it does not let us in."""
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", address):
        raise InputError(f"address: {address!r} is no job server; allowed: an address such as {DEFAULT_ADDRESS}")
    _quieten()
    # Ray prefers these to the address that it is given.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    try:
        return _Client(address)
    except AuthenticationError as error:
        said = str(error).strip().splitlines()[0].split(". ")[0]
        raise InputError(
            f"address: {address} does not let us in ({said}); export RAY_AUTH_MODE=token, and put the token of the "
            "cluster's head (its ~/.ray/auth_token) into RAY_AUTH_TOKEN or ~/.ray/auth_token here"
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:  # Some of requests' errors are OSErrors, too.
        raise InputError(f"address: {address} answers, but not as a job server of Ray ({_reason(error)})") from error
    except OSError as error:
        why = "" if type(error) is ConnectionError else f" ({_reason(error)})"  # Ray's own only repeats the address.
        raise InputError(
            f"address: no job server answers at {address}{why}; is the cluster up, and its port forwarded (`ray "
            "dashboard CLUSTER.yaml`, `kubectl port-forward`)? It is --address, RAY_API_SERVER_ADDRESS or RAY_ADDRESS"
        ) from error


def require_same_ray(server: JobServer, address: str) -> None:
    """Raise `InputError` if the cluster runs another version of Ray than this environment: it was then installed from
    other requirements."""
    there = server.ray_version()
    if there != ray.__version__:
        raise InputError(
            f"ray: the cluster at {address} runs Ray {there}, this environment {ray.__version__}; allowed: the same "
            "on both. Nothing is installed by the job: build the cluster's machines from this checkout's requirements"
        )


def submit(server: JobServer, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any]) -> None:
    """Send the job. Raises `InputError` for an id that is taken, `JobServerError` if the server refuses."""
    try:
        server.submit_job(entrypoint=entrypoint, submission_id=submission_id, runtime_env=runtime_env)
    except (RuntimeError, OSError) as error:
        if "already exists" in str(error):
            raise InputError(
                f"submission_id: the cluster has a job {submission_id!r} already; allowed: a new name"
            ) from None
        raise JobServerError(f"the job was not taken: {_reason(error)}") from error


def follow(server: JobServer, job: str, show: Callable[[str], None], *, pause: float = PAUSE) -> Details:
    """Yield the job's output as it comes, and return how the job ended.

    A broken connection is made again, and no output is yielded twice. Raises `JobServerError` if the server stays away.
    """
    shown, failures = 0, 0

    async def watch() -> None:
        nonlocal shown, failures
        seen = 0
        async for text in server.tail_job_logs(job):
            failures = 0
            seen += len(text)
            if seen > shown:
                show(text[shown - seen :])
                shown = seen

    while True:
        try:
            asyncio.run(watch())
            details = server.get_job_info(job)
            if details.status.is_terminal():
                return details
        except (RuntimeError, OSError) as error:
            failures += 1
            if failures > ATTEMPTS:
                raise JobServerError(f"lost the cluster while it ran job {job}: {_reason(error)}") from error
        time.sleep(pause)


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client, whose requests would wait for ever. What begins with `_` is private to Ray 2.60, and tested."""

    def ray_version(self) -> str:
        """Asked for when the client was made."""
        return str(self._server_ray_version)

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        patience = SHORT if endpoint == "/api/version" else LONG
        return super()._do_request(method, endpoint, timeout=patience, **options)

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        """All that the job prints. Raises `ConnectionError` if the connection breaks."""
        try:
            async for text in super().tail_job_logs(job_id):
                yield text
        except Exception as error:  # aiohttp's are of many kinds.
            raise ConnectionError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """The last line of a server's answer: of a traceback, the line that counts."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" .")]
    text = lines[-1] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."


def _quieten() -> None:
    """Ray's remarks on ignored folders and closed connections."""
    for name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)
    logging.getLogger("ray._private.runtime_env.working_dir").setLevel(logging.ERROR)
