"""Names in a script that the figures' font lacks: said once, where matplotlib warns for every glyph of every figure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matplotlib import rcParams

_MOST_SHOWN = 20


@contextmanager
def missing_glyphs_told(say: Callable[[str], None]) -> Iterator[None]:
    """Within, collect matplotlib's warnings of missing glyphs; at the end one line names them, if there are any.

    Other warnings are given at the end, as if they came from here.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=r"Glyph \d+ ")
        yield
    others = [warning for warning in caught if not re.match(r"Glyph \d+ ", str(warning.message))]
    codes = {int(str(warning.message).split()[1]) for warning in caught if warning not in others}
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if codes:
        signs = "".join(map(chr, sorted(codes)))
        shown = signs if len(signs) <= _MOST_SHOWN else f"{signs[:_MOST_SHOWN]} and {len(signs) - _MOST_SHOWN} more"
        say(
            f"figures: the font {', '.join(rcParams['font.family'])} lacks {shown}, which are drawn as boxes; name one "
            "that has them with --font (font.family in a matplotlibrc file)"
        )
