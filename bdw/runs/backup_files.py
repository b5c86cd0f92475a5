"""What of a run directory is copied to a remote folder and back: its own files, its newest checkpoint, its trajectory.

A checkpoint counts only once its marker is there, which is written last, so that a machine that dies while it copies
leaves nothing that could be taken for a checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from bdw.runs import checkpoint
from bdw.runs.trajectory import FOLDER as TRAJECTORY
from bdw.runs.trajectory import Trajectory
from bdw.storage.atomic_write import replacing
from bdw.storage.remote_folder import RemoteFolder

CHECKPOINTS = "checkpoints"
COMPLETE = "complete"
RESULTS = "results.parquet"


def push_run(remote: RemoteFolder, run_dir: Path, *, best_epoch: int | None = None) -> None:
    """Copy a run: its own files, then its newest checkpoint. Older checkpoints of the copy are deleted, but for the
    best epoch's.

    The checkpoint comes last: for whoever pulls, it is the sign that the rest is there.
    """
    remote.push_files(run_dir)
    here, listed = checkpoint.positions(run_dir / CHECKPOINTS), _listed(remote)
    there = _complete(listed)
    if here and here[-1] not in there:
        newest = here[-1].name
        _push_trajectory(remote, run_dir, after=there[-1].epochs if there else 0, until=here[-1].epochs)
        for path in sorted((run_dir / CHECKPOINTS / newest).iterdir()):
            remote.push(path, f"{CHECKPOINTS}/{newest}/{path.name}")
        remote.write(f"{CHECKPOINTS}/{newest}/{COMPLETE}", b"")
        half_copied = [position for position, complete in listed.items() if position < here[-1] and not complete]
        superseded = checkpoint.superseded([*there, here[-1]], keep=1, best_epoch=best_epoch)
        for old in [*half_copied, *superseded]:
            remote.delete_folder(f"{CHECKPOINTS}/{old.name}")


def pull_run(remote: RemoteFolder, run_dir: Path) -> None:
    """Bring a run back, if the copy is further than what this machine has: its files and its newest checkpoint.

    Of a finished run whose checkpoints were deleted the files alone come, where this machine has no finished run.
    """
    here, there = checkpoint.positions(run_dir / CHECKPOINTS), checkpoints(remote)
    if not there and not (run_dir / RESULTS).exists() and has_results(remote):
        remote.pull_files(run_dir)
    if not there or (here and here[-1] >= there[-1]):
        return
    remote.pull_files(run_dir)
    remote.under(TRAJECTORY).pull_files(run_dir / TRAJECTORY)
    newest = there[-1].name
    with replacing(run_dir / CHECKPOINTS / newest) as unfinished:
        for info in remote.entries(f"{CHECKPOINTS}/{newest}"):
            if info.base_name != COMPLETE and not info.base_name.startswith("."):
                remote.pull(f"{CHECKPOINTS}/{newest}/{info.base_name}", unfinished / info.base_name)


def delete_checkpoints(remote: RemoteFolder) -> None:
    """Delete all checkpoints of the copy, markers first; its other files stay. `OSError` if the storage refuses."""
    listed = _listed(remote)
    for position, complete in listed.items():
        if complete:
            remote.delete_file(f"{CHECKPOINTS}/{position.name}/{COMPLETE}")
    if listed:
        remote.delete_folder(CHECKPOINTS)


def has_results(remote: RemoteFolder) -> bool:
    """Whether the copy is of a run that has ended."""
    return remote.size_of(RESULTS) >= 0


def checkpoints(remote: RemoteFolder) -> list[checkpoint.Position]:
    """Positions of the copy's complete checkpoints, the newest last."""
    return _complete(_listed(remote))


def _listed(remote: RemoteFolder) -> dict[checkpoint.Position, bool]:
    """Every checkpoint of the copy, and whether it is complete."""
    root = f"{remote.root}/{CHECKPOINTS}"
    found: dict[checkpoint.Position, bool] = {}
    for info in remote.entries(CHECKPOINTS, recursive=True):
        position = checkpoint.Position.of(info.path.removeprefix(f"{root}/").split("/")[0])
        if position is not None:
            found[position] = found.get(position, False) or info.base_name == COMPLETE
    return found


def _push_trajectory(remote: RemoteFolder, run_dir: Path, *, after: int, until: int) -> None:
    """Copy the recorded epochs between two checkpoints, so that each travels once."""
    recorded = Trajectory(run_dir / TRAJECTORY)
    for epoch in recorded.epochs():
        if after < epoch <= until:
            remote.push(recorded.path(epoch), f"{TRAJECTORY}/{recorded.path(epoch).name}")


def _complete(listed: dict[checkpoint.Position, bool]) -> list[checkpoint.Position]:
    return sorted(position for position, complete in listed.items() if complete)
