"""The questions that a comparison answers: one primary test each, chosen beforehand; every other test is secondary.

Several tests of one question, of which the one that rejects is reported, find differences where there are none more
often than their level says.
"""

from __future__ import annotations

from analysis.errors import one_line
from analysis.statistics.comparison import Comparison
from analysis.statistics.control import ControlComparison

BESIDE_THE_TESTS = "Beside the tests:"


def question_of_all(comparison: Comparison) -> str:
    """The heading above what `describe` says, with the primary test or tests of the question."""
    match comparison.test:
        case "wilcoxon":
            return "Do the two methods differ? Primary test: Wilcoxon's signed ranks."
        case "skillings-mack":
            return "Do the methods differ? Primary test: Skillings and Mack's."
        case _:
            return "Do the methods differ, and which pairs? Primary tests: Friedman's, then Nemenyi's."


def question_of_pairs(comparison: Comparison) -> str:
    """The heading above what `describe_pairs` says."""
    if comparison.critical_difference is None:
        return "Which pairs differ? Primary test: Wilcoxon's signed ranks with Holm's correction, on common domains."
    return "Secondary, the same pairs by signed differences instead of ranks; report it beside the primary test:"


def question_of_control(compared: ControlComparison) -> str:
    """The heading above what `describe_control` says."""
    return (
        f"Which methods differ from {one_line(compared.control)}? Primary test: Bonferroni and Dunn's; "
        "Holm's procedure is secondary."
    )


def primary_tests(comparison: Comparison, *, with_control: bool) -> dict[str, str]:
    """Question -> its primary test, for the record; any other test there is secondary."""
    pairs = {"friedman": "nemenyi", "skillings-mack": "wilcoxon-holm"}.get(comparison.test, comparison.test)
    return {"all methods": comparison.test, "pairs": pairs} | ({"control": "bonferroni-dunn"} if with_control else {})
