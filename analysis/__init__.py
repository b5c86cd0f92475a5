"""Statistics and figures of results tables: files are the only interface to what made them.

`compare` compares scores, `draw_cd` draws the result; `python -m analysis compare` does both. `draw_pareto` draws
accuracy against cost. `wilcoxon_holm` tests pairs, `compare_with_control` all methods against one. At an equal budget,
`equal_budget_tables` says what methods gain over a baseline, `time_to_score` how much sooner they reach its score, and
`draw_budget_curves` draws the curves.
"""

from analysis.curves_table import read_curves
from analysis.errors import AnalysisInputError
from analysis.figures.budget_curves import BudgetCurvesArtists, draw_budget_curves
from analysis.figures.comparison_matrix import ComparisonMatrixArtists, draw_comparison_matrix
from analysis.figures.control_diagram import ControlArtists, draw_control
from analysis.figures.critical_difference_diagram import CriticalDifferenceArtists, draw_cd
from analysis.figures.domain_dots import DomainDotsArtists, draw_domain_dots
from analysis.figures.figure_style import COLUMN_WIDTH, FULL_WIDTH, save_figure
from analysis.figures.importance_bars import ImportanceArtists, draw_importance
from analysis.figures.pareto import COST_LABELS, ParetoArtists, draw_pareto, pareto_front, pareto_points
from analysis.figures.performance_profiles import PerformanceProfilesArtists, draw_performance_profiles
from analysis.figures.pruning_curves import PruningCurvesArtists, draw_pruning_curves
from analysis.figures.rank_heat_map import RankHeatMapArtists, draw_rank_heat_map
from analysis.figures.score_dots import ScoreDots, draw_scores
from analysis.figures.usefulness_density import UsefulnessDensityArtists, draw_usefulness_density
from analysis.instance_weights import read_instance_weights
from analysis.kept_shares import read_kept_shares
from analysis.results_table import read_results
from analysis.statistics.bayesian_signed_rank import (
    PosteriorOfPair,
    bayesian_signed_rank,
    bayesian_signed_rank_of_all_pairs,
)
from analysis.statistics.comparison import Comparison, compare, compare_ranks
from analysis.statistics.control import ControlComparison, compare_with_control
from analysis.statistics.effect_size import effect_sizes
from analysis.statistics.holm import holm
from analysis.statistics.hypervolume import ReferencePoint, hypervolume
from analysis.statistics.importance import Importance, parameter_importance
from analysis.statistics.mean_curves import MeanCurve, mean_curves
from analysis.statistics.median_interval import MedianInterval, median_interval
from analysis.statistics.missing import Dropped
from analysis.statistics.paired_gain import PairedGain, paired_gain
from analysis.statistics.pairwise import PairwiseComparison, compare_pairs
from analysis.statistics.pool_sensitivity import PairSensitivity, pool_sensitivity
from analysis.statistics.power import (
    DetectableDifference,
    DomainsNeeded,
    Power,
    detectable_difference,
    domains_needed,
    power,
)
from analysis.statistics.run_scores import interquartile_means, performance_profiles
from analysis.statistics.signed_rank import SignedRank, signed_rank
from analysis.statistics.time_to_score import TimeToScore, time_to_score
from analysis.statistics.wilcoxon_holm import WilcoxonHolm, wilcoxon_holm
from analysis.tables.equal_budget import EqualBudgetTables, equal_budget_tables
from analysis.tables.paper_tables import paper_accuracies, paper_losses, paper_table
from analysis.tables.score_summary import order_of, summarise
from analysis.tables.score_tables import score_tables
from analysis.tables.tables_1_to_3 import table_1, table_2, table_3
from analysis.tables.text_table import TextTable
from analysis.verdict import describe, describe_control, describe_pairs

__all__ = [
    "COLUMN_WIDTH",
    "COST_LABELS",
    "FULL_WIDTH",
    "AnalysisInputError",
    "BudgetCurvesArtists",
    "Comparison",
    "ComparisonMatrixArtists",
    "ControlArtists",
    "ControlComparison",
    "CriticalDifferenceArtists",
    "DetectableDifference",
    "DomainDotsArtists",
    "DomainsNeeded",
    "Dropped",
    "EqualBudgetTables",
    "Importance",
    "ImportanceArtists",
    "MeanCurve",
    "MedianInterval",
    "PairSensitivity",
    "PairedGain",
    "PairwiseComparison",
    "ParetoArtists",
    "PerformanceProfilesArtists",
    "PosteriorOfPair",
    "Power",
    "PruningCurvesArtists",
    "RankHeatMapArtists",
    "ReferencePoint",
    "ScoreDots",
    "SignedRank",
    "TextTable",
    "TimeToScore",
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
    "draw_budget_curves",
    "draw_cd",
    "draw_comparison_matrix",
    "draw_control",
    "draw_domain_dots",
    "draw_importance",
    "draw_pareto",
    "draw_performance_profiles",
    "draw_pruning_curves",
    "draw_rank_heat_map",
    "draw_scores",
    "draw_usefulness_density",
    "effect_sizes",
    "equal_budget_tables",
    "holm",
    "hypervolume",
    "interquartile_means",
    "mean_curves",
    "median_interval",
    "order_of",
    "paired_gain",
    "paper_accuracies",
    "paper_losses",
    "paper_table",
    "parameter_importance",
    "pareto_front",
    "pareto_points",
    "performance_profiles",
    "pool_sensitivity",
    "power",
    "read_curves",
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
    "time_to_score",
    "wilcoxon_holm",
]
