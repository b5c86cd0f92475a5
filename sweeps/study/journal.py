"""The journal file of a study, written without a wait for the disk where nothing would be lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation

IN_PASSING = {
    JournalOperation.SET_TRIAL_PARAM,
    JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE,
    JournalOperation.SET_TRIAL_USER_ATTR,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR,
}
"""Records of a trial that its next change of state brings to the disk."""


class Journal(JournalFileBackend):
    """Optuna's file, which waits for the disk (fsync) when a trial or study begins or changes its state.

    Optuna waits at every record, a millisecond or more for every value that every trial reports. A process that is
    killed loses nothing either way, since the system has the record; a machine that loses its power may lose what was
    reported since the last change of state, and its trial is continued from its checkpoint anyway.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._symlink_lock = JournalFileSymlinkLock(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records behind those that are there, a line each."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with get_lock_file(self._symlink_lock), self._path.open("ab") as file:
            file.write(lines.encode("utf-8"))
            file.flush()
            if not all(log["op_code"] in IN_PASSING for log in logs):
                os.fsync(file.fileno())
