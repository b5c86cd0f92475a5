"""The benchmark of what a kept set is worth, in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bdw.scoring.certificate import Arm, Certificate
from benchmarks import certificate


@pytest.mark.long
def test_the_certificate_is_kept(results: Path) -> None:
    certificate.main(certificate.Arguments(script="hebrew", images=400, epochs=2, save="small"))
    found = Certificate.of_values(json.loads((results / "small.json").read_text(encoding="utf-8"))["certificate"])
    assert found.images == 400
    assert 0 < found.kept < 400
    assert set(found.scores) == set(Arm)
    assert found.seeds == (0, 1, 2)
