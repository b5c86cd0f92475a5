"""Compare methods over data sets from a CSV: `python examples/compare_methods.py TABLE.csv FOLDER`.

TABLE has a row a data set and a column a method, or a row a score with columns of methods, data sets and scores. The
command `python -m analysis compare` does this and more.
"""

import sys
from pathlib import Path

import analysis


def main(table: str, folder: str, *, higher_is_better: bool = True, alpha: float = 0.05) -> analysis.Comparison:
    """Test, say what it means, and draw the critical-difference diagram and the pairs."""
    rows = analysis.read_results(table, higher_is_better=higher_is_better)

    # The primary tests: Friedman's over all methods, then Nemenyi's for the pairs.
    compared = analysis.compare(rows, higher_is_better=higher_is_better, alpha=alpha)
    print(analysis.describe(compared))
    print(compared.average_ranks.round(2).to_string())

    # How large the differences are, with intervals over data sets.
    effects = analysis.effect_sizes(rows, higher_is_better=higher_is_better)
    print(effects[["first", "second", "mean_difference", "mean_difference_low", "mean_difference_high"]].to_string())

    # What this number of data sets could have shown at all.
    power = analysis.detectable_difference(
        num_domains=compared.num_domains, num_methods=compared.num_methods, alpha=alpha
    )
    print(power.in_words())

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    pairs = analysis.compare_pairs(rows, higher_is_better=higher_is_better, alpha=alpha)
    analysis.save_figure(analysis.draw_cd(compared).figure, out / "critical_difference.pdf")
    analysis.save_figure(analysis.draw_comparison_matrix(pairs).figure, out / "pairs.pdf")
    (out / "scores.md").write_text(analysis.score_tables(rows, higher_is_better=higher_is_better).to_markdown())
    return compared


if __name__ == "__main__":
    main(*sys.argv[1:3])
