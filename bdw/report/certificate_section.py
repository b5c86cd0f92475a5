"""What training on the kept set and on its rivals has shown: the section of a run's page, and lines for the console."""

from __future__ import annotations

import statistics

from bdw import evaluation
from bdw.errors import InputError
from bdw.evaluation import Measure
from bdw.report.page import Block, Section, Table, Text
from bdw.report.run_files import RunFiles
from bdw.report.table_files import read_json_object
from bdw.report.wording import count, plural, seconds
from bdw.runs.directory import RunDirectory
from bdw.scoring.certificate import LEAST_SEEDS, Advice, Arm, Certificate, Difference

MEANS = {
    Advice.PRUNE: "train on the kept images alone; they are worth more than as many others, and than all of them",
    Advice.WEIGH: "train on all images, each by its weight; leaving images out is not better than that",
    Advice.RANK_ONLY: "the weights put the better images first, but training on these alone is not better: use the "
    "ranks to look through the pool or to label images, and train on everything",
    Advice.LEAVE_IT: "the kept images are not shown to be worth more than as many drawn at random: train on everything",
}
CALLED = {
    Arm.KEPT: "the kept images",
    Arm.RANDOM: "as many at random",
    Arm.NEAREST: "as many nearest to the target",
    Arm.PLAIN: "all images",
    Arm.WEIGHTED: "all images by weight",
}


def certificate_sections(run: RunFiles) -> list[Section]:
    """The section, or nothing where the run has no certificate."""
    path = RunDirectory(run.directory).certificate
    if not path.is_file():
        return []
    try:
        found = Certificate.of_values(read_json_object(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: is no certificate that `bdw certify` wrote: {error}") from error
    measure = evaluation.measure(found.measure)
    blocks: list[Block] = [
        Text(f"Advice: {in_words(found)[0].removeprefix('advice  ')}", kind="lead"),
        Text(_how(found)),
        _scores(found, measure),
        _differences(found, measure),
        Text(_read_with_care(found), kind="note"),
    ]
    return [Section("What the kept set is worth", blocks)]


def in_words(found: Certificate) -> list[str]:
    """Lines for the console: advice, and the differences that it rests on."""
    measure = evaluation.measure(found.measure)
    lines = [f"advice  {found.advice.value}: {MEANS[found.advice]}{_no_better_than_neighbours(found)}"]
    for each in found.differences:
        lines.append(f"        {CALLED[each.arm]} against {CALLED[each.rival]}: {_difference(each, measure)}")
    return lines


def _no_better_than_neighbours(found: Certificate) -> str:
    if found.advice is not Advice.PRUNE or found.difference(Arm.KEPT, Arm.NEAREST).is_better:
        return "."
    return ". The nearest neighbours of the target, which need no weights, are not shown to be worse."


def _how(found: Certificate) -> str:
    return (
        f"{plural(len(Arm) * len(found.seeds), 'encoder')} were trained as this run was, but for its weights, on "
        f"{count(found.budget_images)} images each, repeats counted. The kept set has {found.kept:,} of "
        f"{plural(found.images, 'image')}; seeds {', '.join(map(str, found.seeds))}."
    )


def _scores(found: Certificate, measure: Measure) -> Table:
    headings = ("trained on", f"test {measure.heading}", *(f"seed {seed}" for seed in found.seeds), "time")
    rows = tuple(
        (
            CALLED[arm],
            _plain(statistics.fmean(found.scores[arm]), measure),
            *(_plain(score, measure) for score in found.scores[arm]),
            seconds(found.seconds[arm]),
        )
        for arm in Arm
    )
    return Table(headings, rows, "Scores of the best epoch, mean and by seed", numeric=frozenset(headings[1:]))


def _differences(found: Certificate, measure: Measure) -> Table:
    headings = ("better by", "difference", "95 % interval")
    rows = tuple(
        (f"{CALLED[each.arm]} than {CALLED[each.rival]}", _signed(each.mean, measure), _ends(each, measure))
        for each in found.differences
    )
    caption = "Positive numbers speak for what is named first"
    return Table(headings, rows, caption, numeric=frozenset(headings[1:]))


def _read_with_care(found: Certificate) -> str:
    text = (
        "Intervals are those of a bootstrap over seeds, widened for few of them. They cover what seeds do, not the "
        "choice of the target's images."
    )
    if len(found.seeds) == LEAST_SEEDS:
        text += f" With {LEAST_SEEDS} seeds they hold at most 90 % (bdw certify --seeds 5 adds seeds)."
    return text


def _difference(each: Difference, measure: Measure) -> str:
    unit = " points" if measure.is_share else ""
    return f"{_signed(each.mean, measure)}{unit} ({_ends(each, measure)})"


def _ends(each: Difference, measure: Measure) -> str:
    return f"{_signed(each.low, measure)} to {_signed(each.high, measure)}"


def _signed(value: float, measure: Measure) -> str:
    return f"{measure.factor * value:+.{measure.decimals}f}"


def _plain(score: float, measure: Measure) -> str:
    return f"{measure.factor * score:,.{measure.decimals}f}"
