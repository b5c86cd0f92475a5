"""Files that a field names, by `run:DIR` or a path, and what they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bdw.config.checks import require
from bdw.errors import InputError

RUN = "run:"
"""What the name of a run's directory begins with."""


def absolute(named: str) -> str:
    """The same, from the root on: workers have other working directories than whoever started them."""
    prefix = RUN if named.startswith(RUN) else ""
    return f"{prefix}{Path(named.removeprefix(prefix)).expanduser().absolute()}"


def path_of(named: str, in_run: str) -> Path:
    """The file itself; `in_run` is its name in a run's directory."""
    path = Path(named.removeprefix(RUN))
    return path / in_run if named.startswith(RUN) else path


def content_of(field: str, named: str, path: Path, allowed: str) -> str:
    """The first digits of its SHA-256; `InputError` for a file that cannot be read."""
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
    except OSError as error:
        raise InputError(f"{field}: {named!r} cannot be read ({error.strerror}); allowed: {allowed}") from error


def require_content(field: str, named: str, wanted: str | None, content: str, what: str) -> None:
    """`InputError` unless the content is the wanted one, or any is; `what` it is the content of."""
    require(wanted in (None, content), field, named, f"{what} with the content {wanted}, not {content}")
