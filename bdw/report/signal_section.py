"""The section on signal and noise of a run that was diagnosed."""

from __future__ import annotations

import math

from bdw.diagnostics.diagnosis import Diagnosis
from bdw.report.page import Block, Section, Table, Text, picture
from bdw.report.planted import words
from bdw.report.run_files import RunFiles
from bdw.report.signal_advice import advice
from bdw.report.signal_figure import evidence_histogram
from bdw.report.wording import UNKNOWN, count, number, percent, plural, ratio


def signal_sections(run: RunFiles) -> list[Section]:
    """The section, or nothing where the run was not diagnosed."""
    found = run.signal
    if found is None:
        return []
    blocks: list[Block] = [Text(text) for text in advice(found, run.config)]
    if found.has_enough:
        blocks += [_histogram(found, run), _table(found)]
        if math.isfinite(found.d_prime):
            blocks.append(Text(_about(found)))
    return [Section("Signal and noise of the evidence", blocks)]


def _histogram(found: Diagnosis, run: RunFiles) -> Block:
    titles = {"all": "images"}
    if run.weights is not None and "planted" in run.weights.columns:
        called = words(run.weights, str(run.config.get("target", "")))
        titles |= {"useful": called.useful, "others": called.other}
    return picture(
        evidence_histogram(found.histogram, titles),
        f"Histogram of the t statistics of {plural(found.images, 'image')} beside what noise alone would show",
        "How sure each image's visits are that it helps more (right) or less (left) than the images beside it: the "
        "mean of its evidence over its standard error. The wider the bars against the line, the more is signal.",
    )


def _table(found: Diagnosis) -> Block:
    between, seen = found.between, found.seen
    rows = (
        ("Signal-to-noise of a visit, image against image", ratio(found.signal_to_noise), "0"),
        ("Intraclass correlation of visits", _with_error(between.correlation, between.standard_error), "0"),
        ("F of the analysis of variance (p, if noise were normal and alike)", _f(between.f, between.p), "1"),
        (
            "|mean| / deviation of an image's evidence, median (quartiles)",
            _spread(found.naive),
            _spread(found.noise_alone),
        ),
        ("The same, without what noise adds", _spread(found.corrected), "0"),
        ("Images whose visits all had one sign", percent(found.signs.consistent), percent(found.signs.by_coins)),
        ("… expected if all images were alike", "", percent(found.signs.if_alike)),
        ("Visits that said more weight helps", percent(found.signs.positive), "50.0 %"),
        ("Mean evidence / deviation of a visit", number(_over(seen.mean, seen.noise_variance)), "0"),
        ("Variance that all images of a step share (last epoch)", percent(found.common_share), "0.0 %"),
        ("Cosine of successive target directions", _with_error(found.cosine, found.cosine_error), "0"),
        ("Visits to tell a typical image with 95 %", _whole(found.visits_to_tell), "never"),
    )
    what = f"{plural(found.images, 'image')}, {found.visits:g} visits to most of them"
    return Table(("quantity", "measured", "noise alone"), rows, what, numeric=frozenset(("measured", "noise alone")))


def _about(found: Diagnosis) -> str:
    return (
        f"Reliable evidence need not be about usefulness. Here it is known which images are useful: one visit tells "
        f"them from the others by {found.d_prime:.3f} standard deviations of its noise (d′; {found.sign_d_prime:.3f} "
        f"by its sign alone, which no outlier sways). What visits tell of single images, useful or not, spreads by "
        f"{ratio(found.signal_to_noise)} of them."
    )


def _with_error(value: float, error: float) -> str:
    return f"{ratio(value)} ± {ratio(error)}"


def _f(f: float, p: float) -> str:
    return UNKNOWN if not math.isfinite(f) else f"{f:.2f} ({'< 0.001' if p < 0.001 else f'{p:.3f}'})"


def _spread(quartiles: tuple[float, ...]) -> str:
    low, median, high = map(ratio, quartiles)
    return f"{median} ({low} to {high})"


def _whole(visits: float) -> str:
    return count(math.ceil(visits)) if math.isfinite(visits) else "never"


def _over(mean: float, variance: float) -> float:
    return mean / math.sqrt(variance) if variance > 0 else math.nan
