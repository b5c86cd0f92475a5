"""Ray's real client against a server without a cluster, and the following of logs against scripted ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import ray
from ray.job_submission import JobStatus

from bdw.errors import InputError
from sweeps.jobs import job_server
from sweeps.jobs.job_server import JobServerError

if TYPE_CHECKING:
    from conftest import RecordingServer


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "auto"}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "https://head:1"}, "https://head:1"),
        ({"RAY_ADDRESS": "http://one:1", "RAY_API_SERVER_ADDRESS": "http://two:2"}, "http://two:2"),
    ],
)
def test_default_address(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert job_server.default_address() == expected


def test_the_address_given_wins_over_the_environments(
    recording_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    recording_server.ray_version = "2.61.7"
    assert job_server.connect(recording_server.address).ray_version() == "2.61.7"


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://127.0.0.1:10001", "auto", "http://", "http://a b"])
def test_what_is_no_address_of_a_job_server(address: str) -> None:
    with pytest.raises(InputError, match=r"address: .* is no job server; allowed: an address such as http://"):
        job_server.connect(address)


def test_nobody_answers(recording_server: RecordingServer) -> None:
    address = recording_server.address
    recording_server.server_close()
    with pytest.raises(InputError, match=rf"address: no job server answers at {address}; is the cluster up"):
        job_server.connect(address)


def test_a_server_that_is_silent_is_not_waited_for(
    recording_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_server, "SHORT", (0.2, 0.2))
    recording_server.delay.clear()
    with pytest.raises(InputError, match=r"no job server answers .*timed out"):
        job_server.connect(recording_server.address)


@pytest.mark.parametrize("answer", [(200, "<html>"), (200, "{}"), (404, "not here")])
def test_another_kind_of_server(recording_server: RecordingServer, answer: tuple[int, str]) -> None:
    recording_server.answers["/api/version"] = answer
    with pytest.raises(InputError, match="answers, but not as a job server"):
        job_server.connect(recording_server.address)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_asked_for(recording_server: RecordingServer, status: int) -> None:
    recording_server.answers["/api/version"] = (status, "Unauthorized")
    with pytest.raises(InputError, match=r"does not let us in .*RAY_AUTH_MODE=token.*RAY_AUTH_TOKEN") as caught:
        job_server.connect(recording_server.address)
    assert "\n" not in str(caught.value)


def test_another_ray_is_refused_and_both_are_named(recording_server: RecordingServer) -> None:
    server = job_server.connect(recording_server.address)
    job_server.require_same_ray(server, recording_server.address)
    recording_server.ray_version = "2.9.3"
    server = job_server.connect(recording_server.address)
    with pytest.raises(InputError, match=rf"ray: .* runs Ray 2\.9\.3, this environment {ray.__version__}"):
        job_server.require_same_ray(server, recording_server.address)


def submit(server: RecordingServer, job: str = "mine") -> None:
    job_server.submit(
        job_server.connect(server.address),
        entrypoint="true",
        submission_id=job,
        runtime_env={"env_vars": {"A": "1"}},
    )


def test_a_job_is_sent_under_its_name(recording_server: RecordingServer) -> None:
    submit(recording_server)
    (job,) = recording_server.jobs
    assert (job["submission_id"], job["entrypoint"]) == ("mine", "true")


def test_a_name_that_is_taken(recording_server: RecordingServer) -> None:
    trace = "Traceback ...\nValueError: Job with submission_id mine already exists. Please use a different one."
    recording_server.answers["/api/jobs/"] = (400, trace)
    with pytest.raises(InputError, match="submission_id: the cluster has a job 'mine' already"):
        submit(recording_server)


def test_a_server_that_refuses_is_quoted_in_one_line(recording_server: RecordingServer) -> None:
    recording_server.answers["/api/jobs/"] = (500, "Traceback\n  File\nOSError: no space left")
    with pytest.raises(JobServerError, match=r"^the job was not taken: OSError: no space left\.$"):
        submit(recording_server)


def test_the_connection_is_lost_while_submitting(recording_server: RecordingServer) -> None:
    server = job_server.connect(recording_server.address)
    recording_server.shutdown()
    recording_server.server_close()
    with pytest.raises(JobServerError, match="the job was not taken"):
        job_server.submit(server, entrypoint="true", submission_id="mine", runtime_env={})
    assert os.environ["RAY_API_SERVER_ADDRESS"] == recording_server.address


# Following


@dataclass
class Details:
    status: JobStatus
    message: str | None = None
    driver_exit_code: int | None = None


class Scripted:
    """Each look at the logs hands out the next list, and raises what it ends in; so do the looks at the state."""

    def __init__(self, logs: Sequence[Sequence[str | Exception]], states: Sequence[JobStatus | Exception]) -> None:
        self.logs, self.states = list(logs), list(states)

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for text in self.logs.pop(0):
            if isinstance(text, Exception):
                raise text
            yield text

    def get_job_info(self, job_id: str) -> Details:
        state = self.states.pop(0)
        if isinstance(state, Exception):
            raise state
        return Details(state)

    def ray_version(self) -> str:
        raise AssertionError

    def submit_job(self, **request: Any) -> str:
        raise AssertionError


def followed(server: Scripted) -> tuple[str, str]:
    shown: list[str] = []
    details = job_server.follow(server, "job", shown.append, pause=0)
    return "".join(shown), str(details.status)


def test_what_is_printed_is_handed_out_as_it_comes() -> None:
    server = Scripted([["one\n", "two", "\n"]], [JobStatus.SUCCEEDED])
    assert followed(server) == ("one\ntwo\n", "SUCCEEDED")


def test_a_broken_connection_is_made_again_and_nothing_is_shown_twice_or_left_out() -> None:
    server = Scripted(
        [
            ["one\n", "two\n", ConnectionError("gone")],
            ["one\ntw", "o\nthree\n"],  # Closed in good order, although the job runs: so do proxies.
            [ConnectionError("gone")],
            ["one\ntwo\nthree\nfo", "ur\n"],
        ],
        [JobStatus.RUNNING, ConnectionError("gone"), JobStatus.FAILED],
    )
    server.logs.insert(3, ["one\ntwo\nthree\n"])
    assert followed(server) == ("one\ntwo\nthree\nfour\n", "FAILED")


def test_a_cluster_that_is_gone_is_given_up() -> None:
    server = Scripted([[ConnectionError("gone")]] * 1000, [])
    with pytest.raises(JobServerError, match="lost the cluster while it ran job job: gone"):
        followed(server)
    assert len(server.logs) == 1000 - job_server.ATTEMPTS - 1


def test_failures_are_counted_from_the_last_sign_of_life() -> None:
    outage: list[Sequence[str | Exception]] = [[ConnectionError("gone")]] * job_server.ATTEMPTS
    server = Scripted([*outage, ["a"], *outage, ["ab"]], [JobStatus.RUNNING, JobStatus.SUCCEEDED])
    assert followed(server) == ("ab", "SUCCEEDED")
