"""Statistics and figures of results tables: files are the only interface to what made them.

`compare` scores, `draw_cd` the result, `draw_pareto` accuracy against cost. `python -m analysis compare` does the first
two.
"""

from analysis.comparison import Comparison, compare, compare_ranks
from analysis.critical_difference_diagram import CriticalDifferenceArtists, draw_cd
from analysis.errors import AnalysisInputError
from analysis.figure_style import save_figure
from analysis.paper_tables import paper_table
from analysis.pareto import COST_LABELS, ParetoArtists, draw_pareto, pareto_front, pareto_points
from analysis.results_table import read_results
from analysis.score_dots import ScoreDots, draw_scores
from analysis.score_summary import order_of, summarise
from analysis.verdict import describe

__all__ = [
    "COST_LABELS",
    "AnalysisInputError",
    "Comparison",
    "CriticalDifferenceArtists",
    "ParetoArtists",
    "ScoreDots",
    "compare",
    "compare_ranks",
    "describe",
    "draw_cd",
    "draw_pareto",
    "draw_scores",
    "order_of",
    "paper_table",
    "pareto_front",
    "pareto_points",
    "read_results",
    "save_figure",
    "summarise",
]
