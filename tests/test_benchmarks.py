"""Every part of every setting runs, so that `make bench` is never found broken by the one who needs a number."""

from __future__ import annotations

import pytest

from benchmarks import step


@pytest.mark.parametrize("part", step.PARTS)
@pytest.mark.parametrize("setting", ["digits", "table-1"])
def test_every_part_of_a_step_runs(setting: str, part: str) -> None:
    run = step.prepare(setting, part, threads=1, seed=0)
    for _ in range(2):
        run()


def test_settings_and_their_names_agree() -> None:
    annotation = step.Arguments.__annotations__["setting"]
    for name in step.SETTINGS:
        assert f"'{name}'" in str(annotation).replace('"', "'")
