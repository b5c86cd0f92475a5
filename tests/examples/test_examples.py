"""Each program of `examples` runs on small data, and does what it says. The one that searches starts Ray:
`tests/sweeps/test_search.py`."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import analysis

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL: dict[str, Any] = {
    "encoder": "small_cnn", "image_size": 16, "crop_size": 16, "ways": 2, "shots": 2, "queries": 2, "batch_size": 16,
    "target_batch": 8,
}  # fmt: skip


def main_of(name: str) -> Callable[..., Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]  # type: ignore[no-any-return]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """40 photos, half of them like the labelled ones, which are reddish; and two classes of 12 labelled images."""
    generator = np.random.default_rng(0)

    def write(path: Path, red: int, top: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 40, (24, 20, 3))
        pixels[:12, :, 0] += top
        pixels[:, :, 0 if red else 2] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    for i in range(40):
        write(tmp_path / "photos" / f"{'red' if i < 20 else 'blue'}" / f"{i}.png", i < 20, 30 * (i % 2))
    for name, top in (("dark", 0), ("light", 60)):
        for i in range(12):
            write(tmp_path / "labelled" / name / f"{i}.png", True, top)
    return str(tmp_path / "photos"), str(tmp_path / "labelled")


def test_every_example_is_short_and_says_how_it_is_run() -> None:
    found = sorted(EXAMPLES.glob("*.py"))
    assert [path.stem for path in found] == [
        "compare_methods", "fit_from_python", "own_sweep_space", "score_a_folder", "select_by_own_embedding",
    ]  # fmt: skip
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, path.name
        assert f"`python examples/{path.name} " in text.partition('"""\n\n')[0]


def test_fit_then_score_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: tuple[str, str]) -> None:
    result = main_of("fit_from_python")(str(tmp_path), source="glyphs:images=400", budget_images=1600)
    printed = capsys.readouterr().out
    assert result.instance_weights["kept"].sum() == result.history[-1].kept
    assert f"{result.history[-1].kept:,} of 400 images are kept" in printed
    assert f"features of 4 images: (4, {result.encoder.feature_dim})" in printed
    scores = main_of("score_a_folder")(str(tmp_path / "run"), folders[0], str(tmp_path / "best"), share=0.25)
    assert len(scores) == 40
    copied = sorted(path.relative_to(tmp_path / "best").as_posix() for path in (tmp_path / "best").rglob("*.png"))
    assert len(copied) == 10
    assert set(copied) <= set(scores["name"])
    assert "kept 10 of 40 images" in capsys.readouterr().out


def test_select_with_an_embedding_of_your_own(tmp_path: Path, folders: tuple[str, str]) -> None:
    select = main_of("select_by_own_embedding")
    chosen = select(*folders, str(tmp_path / "out"), share=0.5, epochs=1, **SMALL)
    kept = chosen.loc[chosen["kept"], "name"]
    assert len(kept) == 20
    assert kept.str.startswith("red/").all(), "those that look like the labelled ones"
    weights = pd.read_parquet(tmp_path / "out" / "run" / "instance_weights.parquet").set_index("name")["kept"]
    assert set(weights.index[weights]) == set(kept)
    covered = select(*folders, str(tmp_path / "covered"), share=0.5, clusters=2, epochs=1, **SMALL)
    assert covered.loc[covered["kept"], "name"].str.startswith("red/").sum() == 10, "as many from either cluster"


def test_compare_methods_from_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).normal(size=(10, 3)) * 0.01 + [0.5, 0.6, 0.7]
    wide = pd.DataFrame(values, columns=["a", "b", "c"], index=[f"set {i}" for i in range(10)])
    wide.to_csv(tmp_path / "table.csv")
    found = main_of("compare_methods")(str(tmp_path / "table.csv"), str(tmp_path / "out"))
    assert found.methods == ("c", "b", "a")
    assert analysis.describe(found) in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "critical_difference.pdf", "pairs.pdf", "scores.md",
    ]  # fmt: skip
