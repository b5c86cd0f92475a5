"""What the page and the console say of a certificate follows from its scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bdw.errors import InputError
from bdw.report import write_run_report
from bdw.report.certificate_section import in_words
from bdw.scoring.certificate import Arm, Certificate


def certificate(*, seeds: int = 3, **middles: float) -> Certificate:
    """Scores 0.01 apart about the middle that is given, or 0.5."""
    steps = [0.01 * (i - seeds // 2) for i in range(seeds)]
    return Certificate(
        measure="accuracy",
        higher_is_better=True,
        images=2000,
        kept=400,
        budget_images=12_345,
        seeds=tuple(range(seeds)),
        scores={arm: tuple(middles.get(arm.value, 0.5) + step for step in steps) for arm in Arm},
        seconds=dict.fromkeys(Arm, 65.0),
    )


def page_of(run: Path, found: Certificate) -> str:
    (run / "certificate.json").write_text(found.json())
    return write_run_report(run).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")


def test_the_section_shows_scores_differences_and_advice(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    page = page_of(make_run(tmp_path / "run"), certificate(kept=0.6, nearest=0.55))
    assert "What the kept set is worth" in page
    assert "Advice: prune: train on the kept images alone" in page
    assert "15 encoders were trained as this run was, but for its weights, on 12,345 images each" in page
    assert "The kept set has 400 of 2,000 images; seeds 0, 1, 2." in page
    assert "+10.0" in page
    assert "+8.0 to +12.0" in page
    assert "the kept images than as many nearest to the target" in page
    assert "With 3 seeds they hold at most 90 %" in page
    assert "The nearest neighbours of the target" not in page


def test_more_seeds_need_no_such_note(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    assert "they hold at most" not in page_of(make_run(tmp_path / "run"), certificate(seeds=5))


def test_neighbours_that_are_as_good_are_mentioned_with_the_advice_to_prune() -> None:
    lines = in_words(certificate(kept=0.6, nearest=0.6))
    assert lines[0].startswith("advice  prune: ")
    assert lines[0].endswith("The nearest neighbours of the target, which need no weights, are not shown to be worse.")
    assert in_words(certificate(nearest=0.6))[0].startswith("advice  leave it: ")
    assert lines[1] == "        the kept images against as many at random: +10.0 points (+8.0 to +12.0)"
    assert len(lines) == 6


def test_a_run_without_a_certificate_has_no_section(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    page = write_run_report(make_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "What the kept set is worth" not in page


@pytest.mark.parametrize("text", ["{}", '{"scores": {"kept": [0.5]}, "seeds": [0]}', '{"scores": 1, "seeds": [0]}'])
def test_any_other_file_is_one_line(tmp_path: Path, make_run: Callable[..., Path], text: str) -> None:
    run = make_run(tmp_path / "run")
    (run / "certificate.json").write_text(text)
    with pytest.raises(InputError, match=r"certificate\.json: is no certificate that `bdw certify` wrote"):
        write_run_report(run)
