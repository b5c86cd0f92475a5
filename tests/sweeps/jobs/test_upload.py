"""The oracle is what Ray's own client really sends, to a server that only keeps it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ray._private import ray_constants
from ray.job_submission import JobSubmissionClient

from bdw.errors import InputError
from sweeps.jobs import upload
from sweeps.jobs.upload import Upload

if TYPE_CHECKING:
    from conftest import RecordingServer

MIB = 2**20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with all that Ray has a rule for."""
    root = tmp_path / "checkout"
    for name, text in {
        "keep.py": "print()\n" * 100,
        "umlaut-ä.txt": "ä",
        ".gitignore": "*.log\n/runs/\n!important.log\n",
        ".rayignore": "data/\n*.npz\n",
        "noise.log": "x" * 500,
        "important.log": "x" * 50,
        "runs/first/metrics.csv": "a,b\n",
        "package/runs/kept.txt": "not the root's runs",
        "data/huge.bin": "x" * 5000,
        "package/images.npz": "x" * 5000,
        "package/.gitignore": "secret*\n",
        "package/secret.txt": "s",
        "package/deep/secret.txt": "s",
        "secret.txt": "the rule is the package's",
        ".git/config": "g" * 700,
        ".venv/bin/python": "v" * 700,
        "package/__pycache__/a.pyc": "c" * 700,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "empty").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "behind-a-link.txt").write_text("x" * 300)
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "broken").symlink_to(tmp_path / "nowhere")
    return root


def send(server: RecordingServer, folder: Path) -> None:
    JobSubmissionClient(server.address).submit_job(entrypoint="true", runtime_env={"working_dir": str(folder)})


@pytest.fixture
def sent(recording_server: RecordingServer, tree: Path) -> bytes:
    send(recording_server, tree)
    (body,) = recording_server.uploads
    return body


def test_names_and_sizes_are_those_of_what_ray_sends(tree: Path, sent: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        there = {info.filename: info.file_size for info in archive.infolist()}
    found = Upload.of(tree)
    assert found.files == there
    # And the rules were at work.
    assert {"keep.py", "important.log", "package/runs/kept.txt", "secret.txt", "empty/"} <= set(there)
    assert "link/behind-a-link.txt" in there
    for excluded in (".git/", ".venv/", "data/", "runs/", "package/__pycache__/"):
        assert not [name for name in there if name.startswith(excluded)]
    assert not [name for name in there if name.endswith(("noise.log", "images.npz")) or "/secret" in name]


def test_size_is_that_of_the_request(tree: Path, sent: bytes) -> None:
    assert Upload.of(tree).archive_bytes == len(sent)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RAY_RUNTIME_ENV_IGNORE_GITIGNORE", "1"), ("RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES", "")],
)
def test_rays_switches_work_here_too(
    recording_server: RecordingServer, tree: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    before = Upload.of(tree).archive_bytes
    monkeypatch.setenv(variable, value)
    send(recording_server, tree)
    assert Upload.of(tree).archive_bytes == len(recording_server.uploads[0]) > before


def test_limit_is_rays() -> None:
    assert upload.LIMIT == ray_constants.DASHBOARD_CLIENT_MAX_SIZE


def test_what_is_too_large_is_named_with_the_way_out(tmp_path: Path) -> None:
    many = {f"data/train/{i}.png": MIB for i in range(80)}
    large = Upload(tmp_path, {**many, "data/README.md": 100, "model.bin": 30 * MIB, "a.py": 10, "b.py": 20})
    with pytest.raises(InputError) as caught:
        large.require_sendable()
    message = str(caught.value)
    assert "Largest: data/train/ (80.0 MiB), model.bin (30.0 MiB), b.py (0.0 MiB)" in message
    assert "84 files, 110.0 MiB" in message
    assert "allowed: less than 100.0 MiB" in message
    assert str(tmp_path / ".rayignore") in message
    assert "\n" not in message


def test_the_limit_is_of_the_request_not_of_the_files(tmp_path: Path) -> None:
    tiny = Upload(tmp_path, {"a": 1000})
    tiny.require_sendable(limit=tiny.archive_bytes + 1)
    with pytest.raises(InputError, match="upload: 1 files"):
        tiny.require_sendable(limit=tiny.archive_bytes)


def test_holds_files_and_folders(tree: Path) -> None:
    found = Upload.of(tree)
    assert all(found.holds(path) for path in ("keep.py", "./package", "package/runs/", "empty", "."))
    assert not any(found.holds(path) for path in ("data", "keep", "package/secret.txt", "../checkout"))


def test_a_folder_that_cannot_be_read_is_an_error_with_the_way_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"upload: cannot read .*Permission denied.*\.rayignore"):
        Upload.of(tree)
