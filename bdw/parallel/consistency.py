"""After every epoch all workers must hold the same weights and the same keep mask: a digest says whether they do.

Workers exchange only the rows that they touched. A bug or a broken machine could make their tables differ without a
sign, and every later checkpoint, which holds rank 0's table, would be of a run that never took place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

from bdw.errors import DisagreementError
from bdw.parallel import collectives


def require_same(states: Mapping[str, Mapping[str, Tensor]], epoch: int) -> None:
    """`DisagreementError` on every worker unless these tensors (what -> name -> tensor) are the same on all workers.

    Only their digests travel, 32 bytes each.
    """
    if collectives.size() == 1:
        return
    mine = {f"{what} ({name})": _digest(tensor) for what, state in states.items() for name, tensor in state.items()}
    everyones = collectives.gather_objects(mine)
    for what in mine:
        differing = [rank for rank, theirs in enumerate(everyones) if theirs.get(what) != everyones[0].get(what)]
        if differing:
            raise DisagreementError(what, epoch, differing)


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).digest()
