"""What is written for LaTeX, given to LaTeX."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import TextTable, score_tables
from analysis.tables.escaping import latex
from analysis.tables.text_table import Cell, Section

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

NAMES = [
    "a_b", "50 %", "$x", "{a}", "a & b", "#1", "C:\\dir\\new", "~tilde", "x^2", "<i>", "a|b", "`code`", "*best*",
    "[1] first", "a--b", "it's", 'a "quoted" one', "naïve Bayes", "η = 10, ρ = 0.5, λ ± 0.1",
]  # fmt: skip


def require_compiled(body: str, folder: Path, preamble: str = "") -> None:
    lines = [r"\documentclass{article}", r"\usepackage{booktabs}", preamble, r"\begin{document}", body]
    (folder / "document.tex").write_text("\n".join([*lines, r"\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout[-2000:]
    assert "Overfull" not in finished.stdout
    assert "Missing character" not in finished.stdout


@pytest.mark.parametrize("preamble", ["", r"\usepackage[T1]{fontenc}"])
def test_every_name_at_the_start_of_a_row(preamble: str, tmp_path: Path) -> None:
    rows = "\n".join(rf"{latex(name)} & \textbf{{{latex(name)}}} \\" for name in NAMES)
    require_compiled(rf"\begin{{tabular}}{{ll}}{rows}\end{{tabular}}", tmp_path, preamble)


def test_a_table_of_scores(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=(len(NAMES), 4))
    table = score_tables(
        pd.DataFrame(values, index=NAMES, columns=NAMES[:4]).mask(values > 0.9),
        higher_is_better=True,
        percent=True,
        domains_down=True,
        caption=" and ".join(NAMES),
    )
    require_compiled(table.to_latex(label="tab:scores") + r"\ref{tab:scores}", tmp_path)


@pytest.mark.parametrize("title", ["", "50 % & more"])
def test_sections_and_empty_texts(title: str, tmp_path: Path) -> None:
    section = Section(title=title, rows=(("[a]", (Cell(text="−1.5", spread="± 0.1", is_best=True), None)),))
    table = TextTable(caption="", corner="method", columns=("x", "y"), sections=(section, section), note="")
    require_compiled(table.to_latex(), tmp_path)
