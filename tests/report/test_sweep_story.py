from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bdw.errors import InputError
from bdw.report import write_sweep_report

MakeStory = Callable[..., Path]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, make_story: MakeStory) -> Path:
    return make_story(tmp_path_factory.mktemp("story") / "sweep")


@pytest.fixture(scope="module")
def page(sweep: Path) -> str:
    return write_sweep_report(sweep, "Main job").read_text(encoding="utf-8")


def _titles(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_page_tells_the_story_first_and_the_trials_last(page: str) -> None:
    assert _titles(page) == [
        "What was found",
        "What to do next",
        "Methods at an equal budget",
        "Test scores by domain",
        "Scores through training",
        "Ranks over the domains",
        "Trials against their cost",
        "What the weights learnt",
        "Planted junk",
        "The images",
        "The search&#39;s trials",
        "Results by domain",
        "How to repeat this sweep",
        "Settings of the sweep",
    ]


def test_verdict_numbers_are_those_of_the_table(page: str, sweep: Path) -> None:
    story = json.loads((sweep / "story.json").read_text())
    lead = re.findall(r'<p class="lead">(.*?)</p>', page)
    assert len(lead) == len(story["verdict"]) == 3
    headline = dict(re.findall(r"<dt>(.*?)</dt><dd><strong>(.*?)</strong>", page))
    gain = headline["Gain over plain training (points)"]
    assert gain in lead[0]
    assert f"{gain} [" in page
    assert headline["Better on"] in lead[0]
    assert headline["Sooner in seconds"].removesuffix("×") + " times sooner in seconds" in lead[1]
    assert headline["Of the oracle&#39;s gain"] in lead[1]
    assert "Friedman&#39;s test over all 6 methods and 10 domains" in lead[2]


def test_the_best_real_competitor_is_bold(page: str, sweep: Path) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    (average,) = [row for row in rows if "<td>average</td>" in row]
    bold = re.findall(r"<strong>(.*?)</strong>", average)
    means = pd.read_parquet(sweep / "results.parquet").groupby("method")["value"].mean()
    assert bold == [f"{100 * means.drop('oracle (useful images only)').max():.1f}"]


def test_warnings_and_next_steps(page: str) -> None:
    warnings = re.findall(r'<p class="warning">(.*?)</p>', page)
    assert warnings[0].startswith("The domains are scripts of one rendered pool")
    assert warnings[1].startswith("Validation has few images on 10 of 10 domains (as few as 150)")
    assert len(warnings) == 2
    assert "python -m bdw fit --preset pictures --source photos/ --target labelled/ --run-dir runs/mine" in page
    assert "python sweeps/stl10_pruning.py --epochs 20 --seeds 0 1 2 3 4" in page
    assert "python -m sweeps.jobs.submit sweeps/stl10_pruning.py -- --seeds 0 1 2 --epochs 20 --storage-path" in page


def test_the_best_trial_is_the_searchs_as_in_the_terminal(page: str) -> None:
    # The baseline's run scored higher, but was not searched.
    (best,) = re.findall(r"<tr class=\"best\">(.*?)</tr>", page, flags=re.DOTALL)
    assert re.findall(r"<td[^>]*>(.*?)</td>", best)[0] == "1"
    assert "The best complete trial of the search by validation accuracy is highlighted." in page


def test_one_domain_and_no_gallery(tmp_path: Path, make_story: MakeStory) -> None:
    sweep = make_story(tmp_path / "sweep", num_domains=1)
    story = json.loads((sweep / "story.json").read_text())
    (sweep / "story.json").write_text(json.dumps({**story, "example_run": "runs/none", "curves": None}))
    titles = _titles(write_sweep_report(sweep, "t").read_text(encoding="utf-8"))
    assert "Ranks over the domains" not in titles
    assert "The images" not in titles
    assert "Scores through training" not in titles


def test_a_damaged_story_is_one_line(tmp_path: Path, make_story: MakeStory) -> None:
    sweep = make_story(tmp_path / "sweep", num_domains=1)
    (sweep / "story.json").write_text("{}")
    with pytest.raises(InputError, match="verdict, findings, tables missing"):
        write_sweep_report(sweep, "t")
