"""A comparison in plain words, claiming no more than the tests showed."""

from __future__ import annotations

from itertools import combinations

from analysis.errors import listing, one_line
from analysis.statistics.comparison import TEST_NAMES, Comparison
from analysis.statistics.control import ControlComparison
from analysis.statistics.missing import Dropped
from analysis.statistics.wilcoxon_holm import WilcoxonHolm


def describe(comparison: Comparison) -> str:
    """Say in a few lines what a comparison showed and what it did not.

    Args:
        comparison: from `compare` or `compare_ranks`.

    Returns:
        text of two to five lines: what was left out, if anything; which method ranks best; whether the methods differ
        at all, by the test that decided; and, only if they do, what the best one differs from and what it was not shown
        to differ from. With gaps, it names no pair.
    """
    best = comparison.average_ranks.iloc[0]
    leaders = [method for method in comparison.methods if comparison.average_ranks[method] == best]
    others = [method for method in comparison.methods if method not in leaders]
    count = f"{comparison.num_methods} methods over {comparison.num_domains} domains"
    lines = [
        *_left_out(comparison.dropped),
        f"{_join(leaders)} {'rank' if len(leaders) > 1 else 'ranks'} best (average rank {best:.2f}; {count}).",
    ]
    if comparison.test == "skillings-mack":
        counts = comparison.domain_counts
        lines[-1] = lines[-1][:-2] + f", each method on {counts.min()} to {counts.max()} of them)."
    lines.append(_omnibus(comparison))
    if not comparison.is_significant:
        return "\n".join(lines)
    if comparison.test == "skillings-mack":
        lines.append(
            "With missing scores no critical difference is valid for all pairs, so none is called different here."
        )
    elif comparison.test == "wilcoxon":
        lines.append(_two_methods(comparison, leaders))
    else:
        lines.extend(_nemenyi(comparison, leaders[0], others))
    return "\n".join(lines)


def describe_pairs(pairs: WilcoxonHolm) -> str:
    """Say which pairs of methods Wilcoxon's test, adjusted by Holm, showed to differ, the smallest p-value first."""
    methods = pairs.methods
    found = [(a, b) for a, b in combinations(methods, 2) if pairs.differs(a, b)]
    found.sort(
        key=lambda pair: float(pairs.adjusted_p_values.to_numpy()[methods.index(pair[0]), methods.index(pair[1])])
    )
    count = len(methods) * (len(methods) - 1) // 2
    lines = [
        *_left_out(pairs.dropped),
        f"Wilcoxon signed-rank with Holm over {count} pair{'' if count == 1 else 's'}: {len(found) or 'no'} "
        f"difference{'' if len(found) == 1 else 's'} shown at alpha = {pairs.alpha:g}.",
    ]
    rank_sums = pairs.rank_sums.to_numpy()
    for a, b in found:
        i, j = methods.index(a), methods.index(b)
        better, worse = (a, b) if rank_sums[i, j] > rank_sums[j, i] else (b, a)
        p_value = float(pairs.adjusted_p_values.to_numpy()[i, j])
        count = pairs.num_domains.to_numpy()[i, j]
        lines.append(one_line(f"{better} beats {worse} ({format_p(p_value)}; {count} domains)."))
    return "\n".join(lines)


def describe_control(compared: ControlComparison) -> str:
    """Say which methods were shown to differ from the control, by Bonferroni-Dunn and, if more, by Holm."""
    comparison = compared.comparison
    lines = [*_left_out(comparison.dropped), _omnibus(comparison)]
    if not comparison.is_significant:
        return "\n".join(lines)
    ranks = comparison.average_ranks
    different = [method for method in compared.others if compared.differs(method)]
    by_holm = [
        method for method in compared.others if compared.differs(method, adjustment="holm") and method not in different
    ]
    same = [method for method in compared.others if method not in different and method not in by_holm]
    lines.append(
        f"Against {one_line(compared.control)} (average rank {ranks[compared.control]:.2f}), Bonferroni-Dunn "
        f"(critical difference {compared.critical_difference:.2f} ranks):"
    )
    for how, names in (
        ("better", [method for method in different if ranks[method] < ranks[compared.control]]),
        ("worse", [method for method in different if ranks[method] > ranks[compared.control]]),
    ):
        if names:
            lines.append(f"{_join(names)} {'rank' if len(names) > 1 else 'ranks'} {how}.")
    if by_holm:
        lines.append(f"Holm's procedure also shows a difference from {_join(by_holm)}.")
    if same:
        lines.append(f"No difference from {_join(same, 'or')} was shown.")
    return "\n".join(lines)


def format_p(p_value: float) -> str:
    """Format a p-value, such as "p = 0.031", to two significant digits and without pretending to know tiny ones."""
    if p_value < 1e-4:
        return "p < 0.0001"
    return f"p = {p_value:.2g}" if p_value < 0.995 else "p = 1.0"


def _left_out(dropped: tuple[Dropped, ...]) -> list[str]:
    if not dropped:
        return []
    return [one_line(f"Left out: {listing(f'{one.what} {one.name} ({one.why})' for one in dropped)}.")]


def _omnibus(comparison: Comparison) -> str:
    """Whether the methods differ at all, in the words of the test that decided."""
    name = TEST_NAMES[comparison.test]
    if comparison.wilcoxon is not None:
        how = "exact" if comparison.wilcoxon.is_exact else "normal approximation"
        statistic = f"{name} signed-rank: T = {comparison.statistic:g}, {format_p(comparison.p_value)} ({how})"
    else:
        statistic = f"{name}: chi-square {comparison.statistic:.2f}, {format_p(comparison.p_value)}"
    if comparison.is_significant:
        return f"{statistic}: the methods differ at alpha = {comparison.alpha:g}."
    pair = "" if comparison.test != "friedman" else ", so Nemenyi's test calls no pair different"
    return f"{statistic}: no difference shown at alpha = {comparison.alpha:g}{pair}."


def _two_methods(comparison: Comparison, leaders: list[str]) -> str:
    """What Wilcoxon's test showed; the larger differences may favour the one that wins on fewer domains."""
    assert comparison.wilcoxon is not None
    better, worse = map(one_line, comparison.methods)
    if comparison.wilcoxon.positive_rank_sum > comparison.wilcoxon.negative_rank_sum:
        return f"{better} differs from {worse}, and the signed ranks favour {better}."
    wins = "as many" if len(leaders) > 1 else "more"
    return (
        f"{better} differs from {worse}, but the signed ranks favour {worse}: {better} is ahead on {wins} domains, "
        f"{worse} by more."
    )


def _nemenyi(comparison: Comparison, leader: str, others: list[str]) -> list[str]:
    different = [method for method in others if comparison.differs(leader, method)]
    same = [method for method in others if not comparison.differs(leader, method)]
    clauses = [f"Nemenyi (critical difference {comparison.critical_difference:.2f} ranks):"]
    if different:
        clauses.append(f"{one_line(leader)} differs from {_join(different)}.")
    if same:
        clauses.append(f"No difference between {one_line(leader)} and {_join(same, 'or')} was shown.")
    lines = [" ".join(clauses)]
    if not different and any(comparison.differs(a, b) for a, b in combinations(others, 2)):
        lines.append("Differences were shown between other pairs; see the table of p-values.")
    return lines


def _join(names: list[str], last: str = "and") -> str:
    names = [one_line(name) for name in names]
    separator = "; " if any("," in name for name in names) else ", "
    return names[0] if len(names) == 1 else f"{separator.join(names[:-1])} {last} {names[-1]}"
