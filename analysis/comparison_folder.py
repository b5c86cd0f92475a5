"""The full comparison by one metric of a results table, in words and as files of one folder."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.errors import AnalysisInputError, OptionError, listing
from analysis.figures.comparison_matrix import draw_comparison_matrix
from analysis.figures.control_diagram import draw_control
from analysis.figures.critical_difference_diagram import draw_cd
from analysis.figures.domain_dots import MOST_METHODS, draw_domain_dots
from analysis.figures.figure_style import save_figure
from analysis.figures.missing_glyphs import missing_glyphs_told
from analysis.figures.performance_profiles import draw_performance_profiles
from analysis.figures.rank_heat_map import draw_rank_heat_map
from analysis.questions import (
    BESIDE_THE_TESTS,
    primary_tests,
    question_of_all,
    question_of_control,
    question_of_pairs,
)
from analysis.results_table import metric_direction
from analysis.statistics.bayesian_signed_rank import bayesian_signed_rank_of_all_pairs, require_rope
from analysis.statistics.comparison import TEST_NAMES, Comparison, compare
from analysis.statistics.control import compare_with_control
from analysis.statistics.effect_size import effect_sizes
from analysis.statistics.pairwise import compare_pairs
from analysis.statistics.pool_sensitivity import pool_sensitivity
from analysis.statistics.power import detectable_difference
from analysis.statistics.run_scores import interquartile_means
from analysis.statistics.wilcoxon_holm import WilcoxonHolm, wilcoxon_holm
from analysis.tables.score_tables import score_tables
from analysis.tables.text_table import TextTable
from analysis.verdict import describe, describe_control, describe_pairs
from analysis.wishes import Wishes

LEFT_OUT = "left out:"
_MOST_LINES = 12
"""Lines of one kind in the words, at most; the files hold all."""
_LONG = 50_000
"""From this number of pairs times domains on, effect sizes take so long that a line says so beforehand."""


@dataclass(frozen=True)
class Written:
    """The result of `write_comparison`, and where its files lie."""

    lines: tuple[str, ...]
    """In plain words."""
    paths: tuple[Path, ...]


def write_comparison(
    rows: pd.DataFrame, out: Path, wishes: Wishes, *, source: str, say: Callable[[str], None] = lambda line: None
) -> Written:
    """Compare, draw and tabulate; the folder is not touched before all of its files are made.

    Leaves cd.pdf and .png (control.pdf and .png with a control), ranks_by_domain, scores and pairs as figures of both
    kinds, scores.md and scores.tex, pairs.csv, ranks.csv and comparison.json; where scores are shares from 0 to 1, also
    profiles as figures and interquartile_means.csv. With gaps under Skillings and Mack's
    test there is no critical difference and no table of complete domains: then only what gaps allow. The figure of
    scores shows the ten methods of the best average ranks where there are more. The words name the primary test of
    each question (see `questions`); what other tests say is called secondary.

    Args:
        rows: long results table of one metric (see `rows_of_metric`), NaN where a score is missing.
        out: folder, made if absent.
        wishes: what is asked for.
        source: where the rows come from, for the record. say: gets a line before a part that takes long.

    Raises:
        AnalysisInputError: as `compare`; an unknown control; values that are no shares where percent is asked for; a
            folder that cannot be made or written.
    """
    higher_is_better = metric_direction(rows)
    as_given, rows = rows, wishes.as_shown(rows)
    comparison = compare(rows, higher_is_better=higher_is_better, alpha=wishes.alpha, missing=wishes.missing)
    record: dict[str, Any] = {"metric": str(rows["metric"].iloc[0]), "results": source, **comparison.to_dict()}
    record["primary_tests"] = primary_tests(comparison, with_control=wishes.control is not None)
    lines = [question_of_all(comparison), *describe(comparison).splitlines()]
    files: list[_File] = []
    rows = rows[rows["value"].notna()]
    kept = _kept_rows(rows, comparison)
    if comparison.critical_difference is None:
        pairs = wilcoxon_holm(rows, higher_is_better=higher_is_better, alpha=wishes.alpha, missing="common domains")
        lines += _pairs(comparison, pairs)
        lines.append(f"{LEFT_OUT} {_need_all_cells(comparison, wishes)}, which need every method on every domain.")
    else:
        num_cells = comparison.num_methods * (comparison.num_methods - 1) // 2 * comparison.num_domains
        if num_cells > _LONG:
            say(f"{num_cells:,} differences to resample for effect sizes: this may take a minute or more")
        pairs = wilcoxon_holm(kept, higher_is_better=higher_is_better, alpha=wishes.alpha)
        lines += _pairs(comparison, pairs)
        lines += _control(comparison, wishes, record, files)
        files += _figures(kept, comparison, wishes)
        lines += _run_scores(_kept_rows(as_given, comparison), kept, comparison, wishes, files)
        lines += _robustness(kept, comparison, record)
        files.append(_table("pairs.csv", _pair_table(kept, comparison, wishes, pairs.adjusted_p_values)))
    files.append(_table("ranks.csv", _rank_table(comparison)))
    table = _score_table(as_given, comparison, wishes)
    files += [_text("scores.md", table.to_markdown), _text("scores.tex", table.to_latex)]
    record |= {"wilcoxon_holm": pairs.to_dict(), "verdict": "\n".join(lines)}
    files.append(_text("comparison.json", lambda: json.dumps(record, indent=2, allow_nan=False) + "\n"))
    with tempfile.TemporaryDirectory() as folder, wishes.drawing(), missing_glyphs_told(say):
        made = [path for write in files for path in write(Path(folder))]
        return Written(tuple(lines), tuple(_move_all(made, out)))


def _move_all(paths: list[Path], out: Path) -> list[Path]:
    """Move files into the folder, each whole or not at all. The last file comes last: it says that all are there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"out: {out} cannot be made ({error.strerror}); allowed: a directory, new or old") from error
    # The folder may be on another file system, from which no file can be renamed into it.
    temporary = [out / f".{path.name}.{os.getpid()}.tmp" for path in paths]
    try:
        for path, copy in zip(paths, temporary, strict=True):
            shutil.copyfile(path, copy)
        for path, copy in zip(paths, temporary, strict=True):
            copy.replace(out / path.name)
    except OSError as error:
        raise OptionError(
            f"out: {out} cannot be written ({error.strerror}); allowed: a directory with room for the files"
        ) from error
    finally:
        for copy in temporary:
            copy.unlink(missing_ok=True)
    return [out / path.name for path in paths]


_File = Callable[[Path], list[Path]]
"""Writes into a folder and returns the paths."""


def _kept_rows(rows: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """The rows without the domains and methods that the comparison dropped."""
    names = {what: [one.name for one in comparison.dropped if one.what == what] for what in ("domain", "method")}
    dropped = pd.concat([rows[what].astype(str).isin(those) for what, those in names.items()], axis=1).any(axis=1)
    return rows[~dropped]


def _pairs(comparison: Comparison, pairs: WilcoxonHolm) -> list[str]:
    """What the tests of pairs showed, and a caution if the test of all methods disagrees."""
    if comparison.test == "wilcoxon":
        return []  # The same test of the same pair.
    lines = [question_of_pairs(comparison)]
    lines += _first(describe_pairs(pairs).splitlines(), "pairs; see comparison.json")
    methods = comparison.methods
    if not comparison.is_significant and any(pairs.differs(a, b) for a, b in combinations(methods, 2)):
        lines.append(
            f"{TEST_NAMES[comparison.test]}'s test of all methods and the tests of pairs do not agree: "
            "take what the pairs show as a hint, not as a finding."
        )
    return lines


def _need_all_cells(comparison: Comparison, wishes: Wishes) -> str:
    """The outputs that a table with gaps does not allow, among those always made and those asked for."""
    if wishes.control is not None and wishes.control not in comparison.methods:
        raise OptionError(f"control: {wishes.control!r} was not compared; allowed: {listing(comparison.methods)}")
    if wishes.rope is not None:
        require_rope(wishes.rope)
    asked = [
        *(["the comparison with the control"] if wishes.control is not None else []),
        *(["probabilities of equivalence"] if wishes.rope is not None else []),
    ]
    return ", ".join(["diagrams and effect sizes", *asked])


def _first(lines: list[str], rest: str) -> list[str]:
    """The first `_MOST_LINES` lines, and how many more there are."""
    more = len(lines) - _MOST_LINES
    return lines if more <= 1 else [*lines[:_MOST_LINES], f"... and {more} more {rest}."]


def _control(comparison: Comparison, wishes: Wishes, record: dict[str, Any], files: list[_File]) -> list[str]:
    if wishes.control is None:
        return []
    against = compare_with_control(comparison, wishes.control)
    record["control"] = against.to_dict()
    width = wishes.width_for(0)
    files.append(
        _figure("control", lambda: draw_control(against, title=wishes.title, best=wishes.best, width=width).figure)
    )
    return [question_of_control(against), *describe_control(against).splitlines()]


def _figures(rows: pd.DataFrame, comparison: Comparison, wishes: Wishes) -> list[_File]:
    higher_is_better = bool(comparison.higher_is_better)
    metric = str(rows["metric"].iloc[0])
    width, column = wishes.width_for(comparison.num_methods), wishes.width_for(0)
    pairs = compare_pairs(rows, higher_is_better=higher_is_better, alpha=wishes.alpha, against=wishes.control)
    best = list(comparison.methods[:MOST_METHODS])
    drawn = best if wishes.order is None else wishes.in_order([m for m in pd.unique(rows["method"]) if m in best], best)
    left_out = len(comparison.methods) - len(best)
    label = f"{metric} ({len(best)} best of {comparison.num_methods} methods)" if left_out else metric
    return [
        _figure("cd", lambda: draw_cd(comparison, title=wishes.title, best=wishes.best, width=column).figure),
        _figure(
            "ranks_by_domain",
            lambda: draw_rank_heat_map(rows, higher_is_better=higher_is_better, title=wishes.title, width=width).figure,
        ),
        _figure("pairs", lambda: draw_comparison_matrix(pairs, title=wishes.title, width=width).figure),
        _figure("scores", lambda: draw_domain_dots(rows, value_label=label, methods=drawn, width=column).figure),
    ]


def _run_scores(
    as_given: pd.DataFrame, rows: pd.DataFrame, comparison: Comparison, wishes: Wishes, files: list[_File]
) -> list[str]:
    """Interquartile means and performance profiles of shares; other scores need not have one scale on all domains."""
    if not as_given["value"].dropna().between(0, 1).all():
        return []
    try:
        means = interquartile_means(rows)
    except AnalysisInputError as error:
        return [f"{LEFT_OUT} interquartile means and performance profiles: {error}"]
    label, higher_is_better = str(rows["metric"].iloc[0]), bool(comparison.higher_is_better)
    width, shown = wishes.width_for(0), comparison.methods[:MOST_METHODS]
    files.append(_table("interquartile_means.csv", means))
    files.append(
        _figure(
            "profiles",
            lambda: (
                draw_performance_profiles(
                    rows, higher_is_better=higher_is_better, value_label=label, methods=shown, width=width
                ).figure
            ),
        )
    )
    return []


def _score_table(as_given: pd.DataFrame, comparison: Comparison, wishes: Wishes) -> TextTable:
    """The scores of what was compared, methods in the order that is asked for."""
    rows = _kept_rows(as_given[as_given["value"].notna()], comparison)
    order = wishes.in_order(list(pd.unique(rows["method"])), comparison.methods)
    rows = rows.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    return score_tables(
        rows,
        higher_is_better=metric_direction(rows),
        percent=wishes.percent,
        average_rank=comparison.critical_difference is not None,
    )


def _robustness(rows: pd.DataFrame, comparison: Comparison, record: dict[str, Any]) -> list[str]:
    """Which verdicts depend on the choice of methods, and what this number of domains could show at all."""
    pool = pool_sensitivity(rows, higher_is_better=bool(comparison.higher_is_better), alpha=comparison.alpha)
    record["pool_sensitivity"] = [
        {
            "methods": [pair.first, pair.second],
            "differs": pair.differs,
            "flipped_by": list(pair.flipped_by),
            "num_pools": pair.num_pools,
            "num_pools_with_difference": pair.num_pools_with_difference,
        }
        for pair in pool
    ]
    unstable = [pair for pair in pool if pair.flipped_by]
    detectable = detectable_difference(
        num_domains=comparison.num_domains, num_methods=comparison.num_methods, alpha=comparison.alpha
    )
    record["power"] = detectable.in_words()
    words = _first([pair.in_words() for pair in unstable], "pairs whose verdict depends on one other method")
    words = words or ["No verdict on a pair depends on a single other method."]
    return [BESIDE_THE_TESTS, *(words if comparison.num_methods > 2 else []), detectable.in_words()]


def _pair_table(rows: pd.DataFrame, comparison: Comparison, wishes: Wishes, adjusted: pd.DataFrame) -> pd.DataFrame:
    """A row a pair: effect sizes with intervals, adjusted p-values and, with a region of equivalence, probabilities."""
    higher_is_better = bool(comparison.higher_is_better)
    table = effect_sizes(rows, higher_is_better=higher_is_better)
    pairs = list(zip(table["first"], table["second"], strict=True))
    table["wilcoxon_holm_p"] = [float(adjusted.at[pair]) for pair in pairs]  # type: ignore[arg-type]
    table["nemenyi_p"] = [float(comparison.nemenyi_p_values.at[pair]) for pair in pairs]  # type: ignore[arg-type]
    if wishes.rope is not None:
        found = bayesian_signed_rank_of_all_pairs(rows, higher_is_better=higher_is_better, rope=wishes.rope)
        by_pair = {(one.first, one.second): one for one in found}
        for name in ("first_is_better", "equivalent", "second_is_better"):
            table[f"probability_{name}"] = [getattr(by_pair[pair], name) for pair in pairs]
    return table


def _rank_table(comparison: Comparison) -> pd.DataFrame:
    """One row a method, best first: its average rank, over how many domains, and Nemenyi's p-value against each."""
    p_values = comparison.nemenyi_p_values.add_prefix("nemenyi_p_against_")
    table = comparison.average_ranks.to_frame().assign(num_domains=comparison.domain_counts)
    return table.join(p_values).rename_axis("method").reset_index()


def _figure(name: str, draw: Callable[[], Figure]) -> _File:
    def write(folder: Path) -> list[Path]:
        figure = draw()
        return [save_figure(figure, folder / f"{name}.{kind}") for kind in ("pdf", "png")]

    return write


def _table(name: str, table: pd.DataFrame) -> _File:
    return _text(name, lambda: table.to_csv(index=False))


def _text(name: str, contents: Callable[[], str]) -> _File:
    def write(folder: Path) -> list[Path]:
        (folder / name).write_text(contents(), encoding="utf-8")
        return [folder / name]

    return write
