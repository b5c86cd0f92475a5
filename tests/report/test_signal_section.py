"""What the page of a diagnosed run says about signal and noise, and that its advice follows from the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bdw.config import RunConfig
from bdw.diagnostics.diagnosis import Diagnosis, Histogram
from bdw.diagnostics.forecast import Forecast
from bdw.diagnostics.variance_components import Anova, Signs, visits_to_tell
from bdw.errors import InputError
from bdw.report import write_run_report
from bdw.report.signal_advice import advice
from bdw.report.signal_figure import evidence_histogram

CONFIG = RunConfig().flat()


def diagnosis(signal_to_noise: float = 0.1, error: float = 0.001, **changes: Any) -> Diagnosis:
    variance = signal_to_noise**2
    between = Anova(0.0, variance, 1.0, variance / (1 + variance), error, 1.5, 0.0)
    found = Diagnosis(
        images=60,
        visits=8.0,
        naive=(0.2, 0.4, 0.6),
        noise_alone=(0.1, 0.2, 0.3),
        corrected=(0.05, 0.1, 0.2),
        seen=dataclasses.replace(between, mean=0.3),
        between=between,
        common_share=0.0,
        signs=Signs(0.1, 0.05, 0.06, 0.6),
        pairs=99,
        cosine=0.8,
        cosine_error=0.01,
        signal_to_noise=signal_to_noise,
        visits_to_tell=visits_to_tell(signal_to_noise),
        epochs_per_visit=1.0,
        forecast=Forecast(12, "", 0.4, 0.05),
        d_prime=math.nan,
        sign_d_prime=0.25,
        histogram=Histogram((-6.0, 0.0, 6.0), {"all": (20, 40)}, (30.0, 30.0)),
    )
    return dataclasses.replace(found, **changes)


def said(found: Diagnosis, **settings: Any) -> str:
    return "\n".join(advice(found, CONFIG | settings))


def test_little_is_called_little_with_the_epochs_that_it_takes() -> None:
    quiet = {"direction_parameters": "head", "natural_direction": True, "shared_derivatives": True}
    text = said(diagnosis(0.1), meta_loss="pretext", **quiet)
    assert "One visit says little: the signal-to-noise of one is 0.100" in text
    assert "after 271 epochs" in text, "(1.645 / 0.1)^2"
    assert "after 542 epochs" in said(diagnosis(0.1, epochs_per_visit=2.0))
    assert "after 271 visits, but weights are no longer learnt" in said(diagnosis(0.1, epochs_per_visit=math.nan))
    assert "Expect 12 more epochs" in text
    assert "5.0 % of the others" in text
    assert "Try" not in text
    assert "measure single visits, before images that look alike share" in text
    assert "single visits" not in said(diagnosis(0.1))


def test_what_no_visit_shows_is_called_chance() -> None:
    text = said(diagnosis(0.1, error=0.2, forecast=Forecast(why="never, as no signal could be told from noise")))
    assert "No signal could be told from noise (intraclass correlation 0.010 ± 0.200)" in text
    assert "Expected: never, as no signal" in text
    assert "at least two" in said(diagnosis(math.nan))


@pytest.mark.parametrize("settings", [{"weighter": "l2rw"}, {"pretext": "vae"}])
def test_nothing_is_advised_that_would_be_refused(settings: dict[str, Any]) -> None:
    asked = {"direction_parameters": "head", "natural_direction": False}
    assert "natural_direction" in said(diagnosis(), **asked)
    assert "natural_direction" not in said(diagnosis(), **asked | settings)


@pytest.mark.parametrize(
    ("changes", "settings", "phrase"),
    [
        ({}, {"meta_loss": "prototype"}, "Try meta_loss pretext"),
        ({}, {"tangent_views": 1}, "all views"),
        ({"cosine": 0.2}, {"direction_momentum": 0.0}, "direction_momentum 0.9: with counted signs"),
        ({"common_share": 0.3}, {"centred_derivatives": False}, "30.0 % of a visit's variance"),
        ({}, {"meta_loss": "pretext"}, "direction_parameters head"),
        ({}, {"direction_parameters": "head", "natural_direction": False}, "Try natural_direction"),
        ({}, {"shared_derivatives": False}, "Try shared_derivatives"),
        ({"forecast": Forecast(3, "", 0.4, 0.35)}, {}, "pruning on noise"),
        ({"forecast": Forecast(None, "not within 500 epochs", 0.4, 0.0)}, {}, "a larger weight_lr"),
    ],
)
def test_advice_follows_from_numbers_and_settings(
    changes: dict[str, Any], settings: dict[str, Any], phrase: str
) -> None:
    quiet = {"meta_loss": "pretext", "direction_parameters": "head", "direction_momentum": 0.9}
    quiet |= {"centred_derivatives": True, "shared_derivatives": True, "natural_direction": True}
    assert phrase in said(diagnosis(**changes), **quiet | {"direction_parameters": "all"} | settings)
    assert phrase not in said(diagnosis(), **quiet)
    assert "trial" not in said(diagnosis(**changes), **quiet), "one run beside another proves nothing"


def test_bars_and_line_hold_the_numbers() -> None:
    groups = {"useful": (1, 5), "others": (7, 2)}
    figure = evidence_histogram(Histogram((-6.0, 0.0, 6.0), groups, (7.5, 7.5)), {"others": "junk"})
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches[:4]] == [1, 5, 7, 2]
    assert [bar.get_y() for bar in axes.patches[2:4]] == [1, 5], "stacked"
    assert np.asarray(axes.patches[4].get_data().values).tolist() == [7.5, 7.5]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "useful, 6", "junk, 9", "expected of noise alone",
    }  # fmt: skip


def test_the_page_shows_it_where_it_was_asked_for(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    run = make_run(tmp_path / "run")
    title = "Signal and noise of the evidence"
    assert title not in write_run_report(run).read_text()
    (run / "signal.json").write_text(diagnosis(d_prime=0.42).json())
    page = write_run_report(run).read_text()
    assert title in page
    assert "0.420 standard deviations" in page
    assert "0.250 by its sign alone, which no outlier sways" in page
    assert "0.400 (0.200 to 0.600)" in page
    (run / "signal.json").write_text(diagnosis(math.nan, between=Anova(*(math.nan,) * 7)).json())
    assert "Too few visits" in write_run_report(run).read_text()
    (run / "signal.json").write_text("{}")
    with pytest.raises(InputError, match=r"signal\.json: cannot be read as a diagnosis"):
        write_run_report(run)
