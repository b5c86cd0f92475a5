"""The oracle keeps what is known to be useful, and nothing is known of most sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bdw.data import PackedDataset, pack_arrays
from bdw.errors import InputError
from bdw.weighting.weighters.protocol import Weighter

MakeWeighter = Callable[..., Weighter]


def test_keeps_the_planted_useful_and_nothing_else(source: PackedDataset, make_weighter: MakeWeighter) -> None:
    weighter = make_weighter(weighter="oracle")
    assert source.planted is not None
    np.testing.assert_array_equal(weighter.table().mean, source.planted == 1)
    np.testing.assert_array_equal(weighter.useless(), source.planted != 1)


@pytest.mark.parametrize(
    ("planted", "message"),
    [(None, "nothing is known about its images"), ([0, -1, 0], "it holds no planted useful image")],
)
def test_a_source_without_tags_is_refused(
    tmp_path: Path, make_weighter: MakeWeighter, planted: list[int] | None, message: str
) -> None:
    source = pack_arrays(
        tmp_path / "untagged",
        np.zeros((3, 1, 6, 6), dtype=np.uint8),
        planted=None if planted is None else np.array(planted, dtype=np.int8),
    )
    with pytest.raises(InputError, match=rf"weighter: 'oracle' cannot work with .*untagged: {message}"):
        make_weighter(weighter="oracle", source=source)
