"""How a process of the command line ends."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import NoReturn

MAY_STAY_BEHIND = "may stay behind"
"""Name of threads that may still wait in compiled code when their process ends, such as Ray's for machines that do not
come."""


def leave(status: int) -> NoReturn:
    """End this process with this status.

    The interpreter's own end crashes a thread that waits in Ray's compiled code (signal 11 in place of the status). If
    there is one, what was written is flushed and the process ends at once.
    """
    if any(thread.name == MAY_STAY_BEHIND for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
