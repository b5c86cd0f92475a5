"""What tests of analysis share: a table of results, names that make trouble, and whether texts can be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fontTools import subset
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures.rank_diagram import RankDiagramArtists

AssertLegible = Callable[..., None]


@pytest.fixture
def quick_pdfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of a font that lay out a text are thrown away before it is cut down to the glyphs of a figure, not cut
    down as well, which takes half of a comparison's time; a PDF does not use them."""
    kept = subset.Options._drop_tables_default
    monkeypatch.setattr(subset.Options, "_drop_tables_default", [*kept, "GDEF", "GPOS", "GSUB"])


@pytest.fixture(scope="session")
def long_names() -> list[str]:
    return [
        "BetaDataWeighter, eta=10, rho=0.9, lambda=0.25, twenty-way five-shot",
        "a",
        "NearestNeighbourWeighterWithAVeryLongNameWithoutAnyPlaceToBreak",
        # No number of braces that mathematics would allow.
        "$x_{1^2$ is not mathematics",
        "trial_00017_of_study_stl10_pruning_on_gpu",
    ]


@pytest.fixture(scope="session")
def assert_legible() -> AssertLegible:
    """Draws the figure; no text may overlap another one or stick out of the figure, or of the axes `within` it."""

    def check(figure: Figure, texts: Sequence[Text], *, within: Axes | None = None) -> None:
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
        for (one, a), (other, b) in combinations(zip(boxes, texts, strict=True), 2):
            # Line heights include the depth of letters that are not there: a pixel may be shared.
            apart = one.x1 <= other.x0 + 1 or other.x1 <= one.x0 + 1 or one.y1 <= other.y0 + 1 or other.y1 <= one.y0 + 1
            assert apart, f"{a.get_text()!r} and {b.get_text()!r} overlap"
        frame = (figure.bbox if within is None else within.get_window_extent()).padded(1)
        for box, text in zip(boxes, texts, strict=True):
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            assert inside, f"{text.get_text()!r} sticks out"

    return check


@pytest.fixture(scope="session")
def assert_diagram_legible(assert_legible: AssertLegible) -> Callable[[RankDiagramArtists], None]:
    """The same of all texts of a diagram of ranks, which may not leave its axes."""

    def check(drawn: RankDiagramArtists) -> None:
        extra = (text for text in (drawn.banner, drawn.note, drawn.title) if text is not None)
        texts = (*drawn.labels, *drawn.rank_values, *drawn.tick_labels, drawn.ruler_label, *extra)
        assert_legible(drawn.figure, texts, within=drawn.axes)

    return check


@pytest.fixture
def results(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    rows = [
        ("accuracy", f"d{d}", method, seed, quality + generator.normal() * 0.01)
        for d in range(8)
        for method, quality in (("RotNet", 0.5), ("L2RW", 0.55), ("BDW", 0.6))
        for seed in range(2)
    ]
    table = pd.DataFrame(rows, columns=["metric", "domain", "method", "seed", "value"]).assign(higher_is_better=True)
    loss = table.assign(metric="loss", value=-table["value"], higher_is_better=False)
    path = tmp_path / "results.parquet"
    pd.concat([table, loss]).to_parquet(path)
    return path
