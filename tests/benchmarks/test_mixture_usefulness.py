"""Weights of a mixture's images by domain, in small."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.studies import usefulness


def test_usefulness_says_what_a_visit_tells(results: Path, shared_data: Path) -> None:
    arguments = usefulness.Arguments(
        data_root=str(shared_data), domains=("gtsrb", "kmnist"), targets=("kmnist",), seeds=(0,), epochs=2,
        methods=("BDW meta_loss=pretext",), max_source=200, save="x",
    )  # fmt: skip
    usefulness.main(arguments)
    (run,) = json.loads((results / "x.json").read_text())["runs"]
    assert run["d_prime"] is not None
    assert len(run["auroc"]) == 2
