"""The history of the weights: log a and log b of every image after every epoch (`record_trajectory`).

One file an epoch, `trajectory/epoch_0003.npy`, (2, n) float32: the rows log a and log b as they were judged at the end
of that epoch, before anything was pruned. float32 because that is what the run computes with: a replay then finds
exactly the images that the run itself would have pruned, where half precision would flip those close to a threshold.
8 bytes an image make 10 MB an epoch for the 1.28 million images of ImageNet. A file is whole or not there, is written
before the checkpoint of its epoch, and no reader needs more than one at a time.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.storage.atomic_write import replacing

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

FOLDER = "trajectory"


class Trajectory:
    """The recorded epochs of one run; `folder` need not exist."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, epoch: int) -> Path:
        """The file of that epoch, whether or not it is there."""
        return self.folder / f"epoch_{epoch:04d}.npy"

    def epochs(self) -> list[int]:
        """Numbers of the recorded epochs, rising."""
        names = (re.fullmatch(r"epoch_(\d+)\.npy", path.name) for path in self.folder.glob("epoch_*"))
        return sorted(int(name[1]) for name in names if name)

    def record(self, epoch: int, logs: Tensor) -> None:
        """Write (log a, log b) (2, n) of that epoch, over what an abandoned attempt may have left there."""
        with replacing(self.path(epoch)) as unfinished, unfinished.open("wb") as file:
            np.save(file, logs.numpy().astype(np.float32, copy=False), allow_pickle=False)

    def read(self, epoch: int) -> NDArray[np.float32]:
        """(log a, log b) (2, n) after that epoch; `InputError` for a file that is missing or damaged."""
        path = self.path(epoch)
        try:
            logs: NDArray[np.float32] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"trajectory: {path} cannot be read: {' '.join(str(error).split())}") from error
        if not (logs.ndim == 2 and logs.shape[0] == 2 and logs.dtype == np.float32 and np.isfinite(logs).all()):
            raise InputError(f"trajectory: {path} holds {logs.dtype} {logs.shape}; allowed: finite float32 (2, images)")
        return logs

    def continue_after(self, epoch: int, *, recording: bool) -> None:
        """Delete later epochs, which belong to an attempt that is not continued.

        If the run goes on `recording` and earlier epochs were not, a warning says that it cannot be replayed.
        """
        recorded = self.epochs()
        for later in recorded:
            if later > epoch:
                self.path(later).unlink(missing_ok=True)
        missing = set(range(1, epoch + 1)) - set(recorded)
        if recording and missing:
            logger.warning(
                "record_trajectory: %d of the %d epochs behind this run were not recorded; it cannot be replayed, "
                "which takes all epochs from the first",
                len(missing),
                epoch,
            )


def check(config: RunConfig) -> None:
    """`InputError` if there is nothing to record."""
    if config.output.record_trajectory and config.weighter.weighter != "beta":
        raise InputError(
            f"record_trajectory: weighter {config.weighter.weighter!r} has no log a and log b to record; allowed: "
            "'beta', or no --record-trajectory"
        )
