"""What the environment asks of Ray, looked at without Ray: an address that answers, and a path for its sockets."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from bdw.errors import InputError

LONGEST_PATH = 107 - 64
"""Bytes of Ray's temporary directory: a unix socket's path has at most 107, and Ray appends
/session_<date>_<pid>/sockets/plasma_store."""
START_OR_UNSET = "start that cluster, or unset RAY_ADDRESS so that bdw starts its own"
SHORTEN = "Ray's sockets need a shorter path; export RAY_TMPDIR=/tmp"
CLIENT_PORT = "10001"
SECONDS_TO_ANSWER = 2.0
FRAME_HEADER, SETTINGS = 9, 4
"""Bytes of the header of an HTTP/2 frame, and the type of the frame that a server sends first."""
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])


def require_usable(environment: Mapping[str, str]) -> None:
    """`InputError` for what Ray would wait for in vain for minutes, or fail on with a trace, when it starts."""
    address = environment.get("RAY_ADDRESS", "")
    if address.startswith("http"):
        raise InputError(
            f"RAY_ADDRESS: {address!r} is the job server; use `ray job submit`, or unset it to run on this machine"
        )
    if names_a_cluster(address) and not answers(address):
        raise InputError(f"RAY_ADDRESS: nothing answers at {address!r}; {START_OR_UNSET}")
    if names_a_cluster(address) and environment.get("RAY_USE_TLS", "0") != "1" and not speaks_grpc(address):
        raise InputError(f"RAY_ADDRESS: what answers at {address!r} is no Ray cluster; {START_OR_UNSET}")
    folder = temporary_folder(environment)
    if address in ("", "local") and is_too_long(folder):
        raise InputError(f"RAY_TMPDIR: {str(folder)!r} is longer than {LONGEST_PATH} bytes; {SHORTEN}")


def names_a_cluster(address: str) -> bool:
    """Whether it is host:port of a cluster, for Ray itself or for Ray's client (`ray://`)."""
    return address not in ("", "auto", "local") and ("://" not in address or address.startswith("ray://"))


def answers(address: str) -> bool:
    """Whether something listens there, asked by TCP."""
    try:
        with _connection(address):
            return True
    except (OSError, ValueError, OverflowError):  # UnicodeError, for host names that are none, is a ValueError.
        return False


def speaks_grpc(address: str) -> bool:
    """Whether what listens there answers as Ray's servers do, with settings of HTTP/2 (RFC 9113, sections 3.4 and 6.5);
    Ray would wait for others for minutes. False where an encrypted connection is expected."""
    try:
        with _connection(address) as connection:
            connection.sendall(HTTP2_GREETING)
            answer = connection.recv(FRAME_HEADER, socket.MSG_WAITALL)
    except (OSError, ValueError, OverflowError):
        return False
    return len(answer) == FRAME_HEADER and answer[3] == SETTINGS


def _connection(address: str) -> socket.socket:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host and address.startswith("ray://"):
        host, port = port, CLIENT_PORT
    return socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER)


def temporary_folder(environment: Mapping[str, str]) -> Path:
    """Where Ray puts its sessions."""
    of_the_system = environment.get("TMPDIR") if sys.platform == "linux" else None
    return Path(environment.get("RAY_TMPDIR") or of_the_system or "/tmp") / "ray"


def is_too_long(folder: Path) -> bool:
    """Whether a temporary directory leaves no room for the names of Ray's sockets."""
    return len(os.fsencode(folder)) > LONGEST_PATH
