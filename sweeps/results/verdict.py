"""A comparison at equal budget in two or three plain sentences that claim no more than its numbers show."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The numbers of a verdict. Scores and gains are in readable units (percent and points for shares)."""

    method: str
    """The method that the verdict is about."""
    baseline: str
    label: str
    """Name of the score, such as accuracy."""
    is_share: bool
    """Whether scores are in percent and gains in points."""
    decimals: int
    mean: float
    """Mean score of the method over domains."""
    baseline_mean: float
    gain: float
    """Paired gain over the baseline; positive is better."""
    gain_low: float | None
    """End of the 95 % interval over domains; None for one domain."""
    gain_high: float | None
    num_domains: int
    num_better: int
    num_seeds: int
    num_candidates: int = 1
    """Number of methods among which the method was chosen by these very scores; 1 if it was named beforehand."""
    seconds_ratio: float | None = None
    """The baseline's whole cost, divided by the method's cost up to the baseline's final score; 0 if it never reached
    that score, None if unknown."""
    images_ratio: float | None = None
    share_reached: float = math.nan
    """Share of the method's runs that reached the baseline's final score, 0 to 1."""
    baseline_ratio: float | None = None
    """The baseline's own ratio of seconds: above 1 if it had its best score before its end."""
    test: str | None = None
    """Name of the test over all methods; None if there was none."""
    p_value: float = math.nan
    is_significant: bool = False
    differs: bool = False
    """Whether the pair of method and baseline was shown to differ."""
    num_methods: int = 0
    """p-value of that test."""
    oracle: str | None = None
    oracle_gain: float = math.nan
    oracle_low: float | None = None

    @property
    def oracle_share(self) -> float | None:
        """The method's gain as a share of the oracle's (0 to 1 and beyond); None unless the oracle surely gains."""
        if self.oracle is None or self.oracle_low is None or not self.oracle_low > 0:
            return None
        return self.gain / self.oracle_gain


def sentences(found: Findings) -> tuple[str, ...]:
    """The verdict in words: what was found, what it bought, and how sure it is.

    Args:
        found: the numbers.

    Returns:
        two or three paragraphs of a sentence or two each: the gain with its interval and domains; how much sooner, and
        how much of an oracle's gain, where known; what the test over all methods says, where there was one.
    """
    parts = (_gain(found), " ".join(filter(None, (_sooner(found), _oracle(found)))), _sure(found))
    return tuple(part for part in parts if part)


def _gain(found: Findings) -> str:
    method, baseline = found.method, found.baseline
    scores = f"{found.label} {_score(found, found.mean)} against {_score(found, found.baseline_mean)}"
    gained = f"{_signed(found, found.gain)}{' points' if found.is_share else ''}"
    if found.gain_low is None or found.gain_high is None:
        return (
            f"On the only domain compared, {method} reached {scores} of {baseline} ({gained}). One domain says nothing "
            "about others."
        )
    interval = f"95 % interval {_signed(found, found.gain_low)} to {_signed(found, found.gain_high)}"
    where = f"better on {found.num_better} of {found.num_domains} domains"
    told = f"{scores}, {gained} on average ({interval}), {where}."
    if found.gain_low > 0:
        text = f"{method} is better than {baseline}: {told}"
    elif found.gain_high < 0:
        text = f"{method} is worse than {baseline}: {told}"
    else:
        text = f"No difference between {method} and {baseline} was shown: {told}"
    if found.num_candidates > 1:
        text += f" It is the best of {found.num_candidates} methods by these very scores, which flatters it somewhat."
    return text


def _sooner(found: Findings) -> str:
    if found.seconds_ratio is None or found.images_ratio is None:
        return ""
    score = f"{found.baseline}'s final validation {found.label}"
    if found.seconds_ratio == 0 or found.images_ratio == 0:
        return f"It reached {score} in only {100 * found.share_reached:.0f} % of its runs, so that it saved no time."
    told = f"It reached {score} {_times(found.seconds_ratio, 'seconds')} and {_times(found.images_ratio, 'images')}"
    basis = f"medians over domains; {100 * found.share_reached:.0f} % of its runs reached it"
    own = ""
    if found.baseline_ratio is not None and found.baseline_ratio >= 1.05:
        own = f"; {found.baseline} itself had it {_number(found.baseline_ratio)} times sooner than its end"
    return f"{told} ({basis}{own})."


def _times(ratio: float, unit: str) -> str:
    if math.isinf(ratio):
        return f"at once in {unit}"
    if ratio >= 1.05:
        return f"{_number(ratio)} times sooner in {unit}"
    return f"{_number(1 / ratio)} times later in {unit}" if ratio <= 1 / 1.05 else f"no sooner in {unit}"


def _oracle(found: Findings) -> str:
    if found.oracle is None:
        return ""
    gain = f"{_signed(found, found.oracle_gain)}{' points' if found.is_share else ''}"
    share = found.oracle_share
    if share is None:
        return f"How much of {found.oracle}'s gain it gets cannot be told: that gain itself ({gain}) is not sure."
    if share <= 0:
        return f"Of what {found.oracle} gains ({gain}) it gets nothing."
    return f"It gets {100 * share:.0f} % of what {found.oracle} gains ({gain})."


def _sure(found: Findings) -> str:
    if found.test is None:
        return ""
    p_value = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
    if found.num_methods == 2:
        does = "shows a difference" if found.is_significant else "shows no difference"
        return f"{found.test}'s test over the domains {does} ({p_value})."
    over = f"{found.test}'s test over all {found.num_methods} methods and {found.num_domains} domains"
    if not found.is_significant:
        return f"{over} shows no difference between any of them ({p_value})."
    pair = f"{found.method} and {found.baseline}"
    if found.differs:
        return f"{over} shows differences ({p_value}), and Nemenyi's test tells {pair} apart."
    return f"{over} shows differences ({p_value}), but Nemenyi's test of all pairs does not tell {pair} apart."


def _score(found: Findings, value: float) -> str:
    return f"{value:,.{found.decimals}f}{' %' if found.is_share else ''}"


def _signed(found: Findings, value: float) -> str:
    text = f"{abs(value):,.{found.decimals}f}"
    if not any(digit in "123456789" for digit in text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def _number(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"
