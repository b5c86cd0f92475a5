"""What several tests of figures check."""

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from analysis.rank_diagram import RankDiagramArtists


def rendered(figure: Figure, texts: tuple[Text, ...]) -> list[Bbox]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    figure.draw_without_rendering()
    return [text.get_window_extent(canvas.get_renderer()) for text in texts]


def all_texts(drawn: RankDiagramArtists) -> tuple[Text, ...]:
    extra = tuple(text for text in (drawn.banner, drawn.note, drawn.title) if text is not None)
    return (*drawn.labels, *drawn.rank_values, *drawn.tick_labels, drawn.ruler_label, *extra)


def check_legible(drawn: RankDiagramArtists) -> None:
    boxes = rendered(drawn.figure, all_texts(drawn))
    for one, other in combinations(boxes, 2):
        # Line heights include the depth of letters that are not there: half a pixel may be shared.
        assert (
            one.x1 <= other.x0 + 0.5 or other.x1 <= one.x0 + 0.5 or one.y1 <= other.y0 + 0.5 or other.y1 <= one.y0 + 0.5
        )
    frame = drawn.axes.get_window_extent()
    for box in boxes:
        assert frame.x0 - 1 <= box.x0
        assert box.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= box.y0
        assert box.y1 <= frame.y1 + 1


@pytest.fixture
def assert_legible() -> Callable[[RankDiagramArtists], None]:
    """Checks that the rendered texts of a diagram of ranks neither overlap nor leave its axes."""
    return check_legible
