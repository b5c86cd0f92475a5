"""Statistics and figures of results tables: files are the only interface to what made them.

`compare` scores, `draw_cd` the result, `draw_pareto` accuracy against cost. `python -m analysis compare` does the first
two. `wilcoxon_holm` tests pairs, `compare_with_control` methods against one of them.
"""

from analysis.bayesian_signed_rank import PosteriorOfPair, bayesian_signed_rank, bayesian_signed_rank_of_all_pairs
from analysis.comparison import Comparison, compare, compare_ranks
from analysis.comparison_matrix import (
    ComparisonMatrixArtists,
    PairwiseComparison,
    compare_pairs,
    draw_comparison_matrix,
)
from analysis.control import ControlComparison, compare_with_control
from analysis.control_diagram import ControlArtists, draw_control
from analysis.critical_difference_diagram import CriticalDifferenceArtists, draw_cd
from analysis.domain_dots import DomainDotsArtists, draw_domain_dots
from analysis.effect_size import effect_sizes
from analysis.errors import AnalysisInputError
from analysis.figure_style import COLUMN_WIDTH, FULL_WIDTH, save_figure
from analysis.holm import holm
from analysis.hypervolume import ReferencePoint, hypervolume
from analysis.importance import Importance, parameter_importance
from analysis.importance_bars import ImportanceArtists, draw_importance
from analysis.instance_weights import read_instance_weights
from analysis.kept_shares import read_kept_shares
from analysis.missing import Dropped
from analysis.paper_tables import paper_table
from analysis.pareto import COST_LABELS, ParetoArtists, draw_pareto, pareto_front, pareto_points
from analysis.pool_sensitivity import PairSensitivity, pool_sensitivity
from analysis.power import DetectableDifference, DomainsNeeded, Power, detectable_difference, domains_needed, power
from analysis.pruning_curves import PruningCurvesArtists, draw_pruning_curves
from analysis.rank_heat_map import RankHeatMapArtists, draw_rank_heat_map
from analysis.results_table import read_results
from analysis.score_dots import ScoreDots, draw_scores
from analysis.score_summary import order_of, summarise
from analysis.score_tables import score_tables
from analysis.signed_rank import SignedRank, signed_rank
from analysis.tables_1_to_3 import table_1, table_2, table_3
from analysis.text_table import TextTable
from analysis.usefulness_density import UsefulnessDensityArtists, draw_usefulness_density
from analysis.verdict import describe, describe_control, describe_pairs
from analysis.wilcoxon_holm import WilcoxonHolm, wilcoxon_holm

__all__ = [
    "COLUMN_WIDTH",
    "COST_LABELS",
    "FULL_WIDTH",
    "AnalysisInputError",
    "Comparison",
    "ComparisonMatrixArtists",
    "ControlArtists",
    "ControlComparison",
    "CriticalDifferenceArtists",
    "DetectableDifference",
    "DomainDotsArtists",
    "DomainsNeeded",
    "Dropped",
    "Importance",
    "ImportanceArtists",
    "PairSensitivity",
    "PairwiseComparison",
    "ParetoArtists",
    "PosteriorOfPair",
    "Power",
    "PruningCurvesArtists",
    "RankHeatMapArtists",
    "ReferencePoint",
    "ScoreDots",
    "SignedRank",
    "TextTable",
    "UsefulnessDensityArtists",
    "WilcoxonHolm",
    "bayesian_signed_rank",
    "bayesian_signed_rank_of_all_pairs",
    "compare",
    "compare_pairs",
    "compare_ranks",
    "compare_with_control",
    "describe",
    "describe_control",
    "describe_pairs",
    "detectable_difference",
    "domains_needed",
    "draw_cd",
    "draw_comparison_matrix",
    "draw_control",
    "draw_domain_dots",
    "draw_importance",
    "draw_pareto",
    "draw_pruning_curves",
    "draw_rank_heat_map",
    "draw_scores",
    "draw_usefulness_density",
    "effect_sizes",
    "holm",
    "hypervolume",
    "order_of",
    "paper_table",
    "parameter_importance",
    "pareto_front",
    "pareto_points",
    "pool_sensitivity",
    "power",
    "read_instance_weights",
    "read_kept_shares",
    "read_results",
    "save_figure",
    "score_tables",
    "signed_rank",
    "summarise",
    "table_1",
    "table_2",
    "table_3",
    "wilcoxon_holm",
]
