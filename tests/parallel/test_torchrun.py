"""torchrun's variables: what is half set is refused."""

from __future__ import annotations

import re

import pytest

from bdw.errors import InputError
from bdw.parallel.torchrun import place, require_a_gpu_each

WHOLE = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def test_a_worker_knows_its_place() -> None:
    assert place(WHOLE) == (3, 4)
    assert place({}) == place({"WORLD_SIZE": "1"}) == place({"RANK": "2"}) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"WORLD_SIZE": ""}, "WORLD_SIZE: '' cannot work; allowed: 1 or more, as torchrun sets it, or not set"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE: '0' cannot work"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: 'two' cannot work"),
        ({"RANK": ""}, "WORLD_SIZE: 4 workers, but RANK is not set; allowed: all that torchrun sets, or no WORLD_SIZE"),
        ({"RANK": "4"}, "RANK: '4' cannot work; allowed: 0 to 3"),
        ({"RANK": "-1"}, "RANK: '-1' cannot work; allowed: 0 to 3"),
        ({"LOCAL_RANK": "x"}, "LOCAL_RANK: 'x' cannot work; allowed: 0 or more"),
    ],
)
def test_half_set_variables_are_one_line(changed: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        place(WHOLE | changed)


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="2 workers, but RANK, MASTER_ADDR, MASTER_PORT is not set"):
        place({"WORLD_SIZE": "2"})


def test_two_workers_do_not_share_a_gpu() -> None:
    require_a_gpu_each({"LOCAL_WORLD_SIZE": "2"}, 2)
    require_a_gpu_each({}, 1)
    with pytest.raises(
        InputError, match=r"LOCAL_WORLD_SIZE: 2 workers cannot share 1 GPU.*NCCL refuses two.*--device cpu"
    ):
        require_a_gpu_each({"LOCAL_WORLD_SIZE": "2"}, 1)
