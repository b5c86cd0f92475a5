"""What every (lambda, rho) would have pruned, as a table for machines and as words for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from bdw.diagnostics.replay import Replay, Thresholds
from bdw.report.wording import UNKNOWN, plural

COLUMNS = (
    "epoch", "cdf_threshold", "density_threshold", "pruned", "pruned_fraction", "exact", "junk_fraction_of_pruned",
    "junk_pruned_fraction", "useful_pruned_fraction",
)  # fmt: skip
WORTHWHILE = (0.05, 0.95)
"""Shares pruned at the end between which thresholds are worth a trial: outside them runs hardly differ."""


def as_csv(replayed: Replay) -> str:
    """A row per pair of thresholds and epoch; a share is empty where nothing was planted, or nothing of it pruned."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair, outcome in replayed.outcomes.items():
        for i in range(replayed.num_epochs):
            pruned, junk, useful = (int(x[i]) for x in (outcome.pruned, outcome.junk_pruned, outcome.useful_pruned))
            shares = (
                [_share(junk, junk + useful), _share(junk, replayed.num_junk), _share(useful, replayed.num_useful)]
                if replayed.is_planted
                else ["", "", ""]
            )
            fraction = pruned / replayed.num_instances
            writer.writerow([i + 1, *pair, pruned, fraction, i + 1 <= outcome.last_exact, *shares])
    return text.getvalue()


def in_words(replayed: Replay, *, num_epochs: int, budget: tuple[int, int] | None = None) -> str:
    """The map for a terminal: what is pruned and when, what that saves, what it hits, and how far it can be trusted.

    `num_epochs`: those that the run was meant to have. `budget`, if its length is counted in images instead: those
    that the replayed epochs trained on, and those that the run was meant to.
    """
    saved = _trained(replayed) if budget is None else _saved_for_the_kept(replayed)
    paragraphs = [_heading(replayed, num_epochs, budget), _pruned(replayed), saved]
    if replayed.is_planted:
        paragraphs.append(_hit(replayed))
    return "\n\n".join("\n".join(lines) for lines in [*paragraphs, _worthwhile(replayed), _exactness(replayed)])


def _heading(replayed: Replay, num_epochs: int, budget: tuple[int, int] | None) -> list[str]:
    last = replayed.num_epochs
    if budget is None:
        short, planned = last != num_epochs, f"of {num_epochs} planned"
    else:
        short, planned = budget[0] < budget[1], f"{budget[0]:,} of the budget's {budget[1]:,} images"
    short_of = f" ({planned}: the run is not finished, or stopped recording)" if short else ""
    pairs = plural(len(replayed.outcomes), "pair")
    return [
        f"replayed {plural(last, 'epoch')}{short_of} of {plural(replayed.num_instances, 'image')} under {pairs} of "
        f"thresholds (lambda down, rho across; {UNKNOWN}: no run may have lambda above rho)"
    ]


def _pruned(replayed: Replay) -> list[str]:
    def cell(pair: Thresholds) -> str:
        outcome = replayed.outcomes[pair]
        mark = "" if outcome.first_floor is None else "*"
        if outcome.first_pruned is None:
            return f"0{mark}"
        return f"{100 * replayed.pruned_fraction(pair)[-1]:.1f}{mark} ({outcome.first_pruned})"

    lines = [
        f"Images pruned after epoch {replayed.num_epochs} (%), in brackets the first epoch that prunes any:",
        *_matrix(replayed, cell),
    ]
    if any(outcome.first_floor is not None for outcome in replayed.outcomes.values()):
        lines.append("* min_kept stopped it: the rule would have left fewer images than a run must keep")
    return lines


def _trained(replayed: Replay) -> list[str]:
    return [
        "Images trained on, of those of a run without pruning (%):",
        *_matrix(replayed, lambda pair: f"{100 * replayed.trained_fraction(pair):.0f}"),
    ]


def _saved_for_the_kept(replayed: Replay) -> list[str]:
    """What pruning buys in a run with a budget of images. Epochs of a run that pruned are short, and no measure."""
    no_shorter = (
        "The run's length is a budget of images, so that no pair makes it shorter: what pruning saves is spent on the "
        "images that are kept, in more and shorter epochs. Pairs that prune would prune after each of these, too."
    )
    if replayed.own is not None:
        return [no_shorter]
    return [
        "Images of the replayed epochs that are saved for those that are kept (%):",
        *_matrix(replayed, lambda pair: f"{100 * (1 - replayed.trained_fraction(pair)):.0f}"),
        no_shorter,
    ]


def _hit(replayed: Replay) -> list[str]:
    def cell(pair: Thresholds) -> str:
        outcome = replayed.outcomes[pair]
        junk, useful = outcome.junk_pruned[-1] / replayed.num_junk, outcome.useful_pruned[-1] / replayed.num_useful
        return f"{100 * junk:.0f}/{100 * useful:.0f}"

    return ["Planted junk that is pruned / useful images that are pruned (%):", *_matrix(replayed, cell)]


def _worthwhile(replayed: Replay) -> list[str]:
    low, high = WORTHWHILE
    ends = {pair: replayed.pruned_fraction(pair)[-1] for pair in replayed.outcomes}
    span = f"between {100 * low:.0f} % and {100 * high:.0f} % of the images"
    lines = []
    for cut in replayed.cdf_thresholds:
        good = [pair.density_threshold for pair, end in ends.items() if pair[0] == cut and low <= end <= high]
        if good:
            rho = f"{good[0]:g}" if len(good) == 1 else f"{good[0]:g} to {good[-1]:g}"
            lines.append(f"  lambda {cut:g}: rho {rho}")
    if lines:
        return [f"Worth a trial, since they prune {span}:", *lines]
    never = sum(end < low for end in ends.values())
    return [
        f"No pair prunes {span} ({never} less, {len(ends) - never} more): try others, or train for longer or with "
        "another --weight-lr (eta)."
    ]


def _exactness(replayed: Replay) -> list[str]:
    lines = [
        "Exact up to and including the first epoch that prunes anything (in brackets above). Later numbers are what "
        "the recorded weights say; in a real run a pruned image no longer moves the encoder and the other weights."
    ]
    if replayed.own is not None:
        lines.append(
            f"This run itself pruned from epoch {replayed.own_first_pruned} on (lambda {replayed.own.cdf_threshold:g}, "
            f"rho {replayed.own.density_threshold:g}), and weights of pruned images stand still: after that epoch only "
            "the run's own thresholds are exact, and others see less than they would have. Better replay a run with "
            "--record-trajectory --no-prune."
        )
    return lines


def _matrix(replayed: Replay, cell: Callable[[Thresholds], str]) -> list[str]:
    """A line for every lambda with a cell for every rho, under a line of headings."""
    shares = replayed.density_thresholds
    rows = [["", *(f"rho {share:g}" for share in shares)]]
    for cut in replayed.cdf_thresholds:
        pairs = [Thresholds(cut, share) for share in shares]
        rows.append([f"lambda {cut:g}", *(cell(pair) if pair in replayed.outcomes else UNKNOWN for pair in pairs)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _share(part: int, whole: int) -> float | str:
    return part / whole if whole else ""
