"""What the benchmark of the rendered pool trains."""

from __future__ import annotations

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from benchmarks import rendered_pool


def test_every_method_goes_with_every_task() -> None:
    for task, fields in rendered_pool.TASKS.items():
        for method in rendered_pool.METHODS.values():
            assert RunConfig().replace(**method, **fields).pretext.pretext == task


def test_an_unknown_task() -> None:
    with pytest.raises(InputError, match="pretext: 'simclear' is not known"):
        rendered_pool.main(rendered_pool.Arguments(pretext="simclear"))
