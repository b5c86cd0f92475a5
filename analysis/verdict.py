"""A comparison in plain words, claiming no more than the tests showed."""

from __future__ import annotations

from analysis.comparison import Comparison


def describe(comparison: Comparison) -> str:
    """Say in a few lines what a comparison showed and what it did not.

    Args:
        comparison: from `compare` or `compare_ranks`.

    Returns:
        text of two to four lines: which method ranks best, whether the methods differ at all, and, only if they do,
        what the best one differs from and what it was not shown to differ from.
    """
    best = comparison.average_ranks.iloc[0]
    leaders = [method for method in comparison.methods if comparison.average_ranks[method] == best]
    others = [method for method in comparison.methods if method not in leaders]
    count = f"{len(comparison.methods)} methods over {comparison.num_domains} domains"
    lines = [
        f"{_join(leaders)} {'rank' if len(leaders) > 1 else 'ranks'} best (average rank {best:.2f}; {count}).",
        f"Friedman: chi-square {comparison.friedman_statistic:.2f}, {format_p(comparison.friedman_p_value)}: "
        + (
            f"the methods differ at alpha = {comparison.alpha:g}."
            if comparison.is_significant
            else f"no difference shown at alpha = {comparison.alpha:g}, so no pair of methods is called different."
        ),
    ]
    if comparison.is_significant:
        leader = leaders[0]
        different = [method for method in others if comparison.differs(leader, method)]
        same = [method for method in others if not comparison.differs(leader, method)]
        clauses = [f"Nemenyi (critical difference {comparison.critical_difference:.2f} ranks):"]
        if different:
            clauses.append(f"{leader} differs from {_join(different)}.")
        if same:
            clauses.append(f"No difference between {leader} and {_join(same, 'or')} was shown.")
        lines.append(" ".join(clauses))
        if not different and any(comparison.differs(a, b) for a in others for b in others):
            lines.append("Differences were shown between other pairs; see the table of p-values.")
    return "\n".join(lines)


def format_p(p_value: float) -> str:
    """Format a p-value, such as "p = 0.031", to two significant digits and without pretending to know tiny ones."""
    if p_value < 1e-4:
        return "p < 0.0001"
    return f"p = {p_value:.2g}" if p_value < 0.995 else "p = 1.0"


def _join(names: list[str], last: str = "and") -> str:
    separator = "; " if any("," in name for name in names) else ", "
    return names[0] if len(names) == 1 else f"{separator.join(names[:-1])} {last} {names[-1]}"
