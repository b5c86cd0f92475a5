"""A table of texts, to be shown as a DataFrame, in Markdown, in HTML and in LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

import pandas as pd

from analysis.tables import escaping

MISSING = "–"
"""Stands for a cell that was not measured."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a table as a text."""

    text: str
    spread: str = ""
    """What follows the number, such as "± 0.4"; never bold."""
    is_best: bool = False
    """Whether the number is set in bold."""

    @property
    def plain(self) -> str:
        """The cell without any mark-up."""
        return f"{self.text} {self.spread}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Section:
    """Rows of a table under a title of their own."""

    title: str
    """Empty for a table of one section."""
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    """Name and cells of every row, a cell for each column; None where nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """Sections of rows over the same columns. All texts are plain; mark-up and escapes are added by the writers."""

    caption: str
    corner: str
    """What the names of the rows are, such as "method"."""
    columns: tuple[str, ...]
    sections: tuple[Section, ...]
    note: str
    """What a reader must know of the numbers."""

    def to_frame(self) -> pd.DataFrame:
        """Return the cells' texts without mark-up, indexed by section (if there are several) and row name."""
        return self._frame(lambda cell: MISSING if cell is None else cell.plain)

    def best(self) -> pd.DataFrame:
        """Return which cells are bold: booleans in the shape of `to_frame`."""
        return self._frame(lambda cell: cell is not None and cell.is_best)

    def to_markdown(self) -> str:
        """Return caption, table (of GitHub's kind) and note as Markdown."""
        lines = [_markdown_row(map(escaping.markdown, (self.corner, *self.columns)))]
        lines.append("|---|" + "---:|" * len(self.columns))
        for section in self.sections:
            if section.title:
                lines.append(_markdown_row([f"*{escaping.markdown(section.title)}*", *[""] * len(self.columns)]))
            lines += [
                _markdown_row([escaping.markdown(name), *map(_markdown_cell, cells)]) for name, cells in section.rows
            ]
        parts = [escaping.markdown(self.caption), "\n".join(lines), escaping.markdown(self.note)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def to_html(self) -> str:
        """Return caption, table and note as HTML, to be put into a page; every text is escaped."""
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (self.corner, *self.columns))
        lines = ["<table>", f"<caption>{escape(self.caption)}</caption>" if self.caption else ""]
        lines.append(f"<thead><tr>{head}</tr></thead>")
        for section in self.sections:
            lines.append("<tbody>")
            if section.title:
                span = len(self.columns) + 1
                lines.append(f'<tr><th scope="rowgroup" colspan="{span}">{escape(section.title)}</th></tr>')
            lines += [
                f'<tr><th scope="row">{escape(name)}</th>{"".join(map(_html_cell, cells))}</tr>'
                for name, cells in section.rows
            ]
            lines.append("</tbody>")
        lines += ["</table>", f"<p>{escape(self.note)}</p>" if self.note else ""]
        return "\n".join(line for line in lines if line) + "\n"

    def to_latex(self, *, label: str = "") -> str:
        r"""Return a floating table for a document that loads the package booktabs.

        Args:
            label: what \ref refers to; none if empty.
        """
        width = len(self.columns) + 1
        lines = [r"% needs \usepackage{booktabs}", r"\begin{table}[t]", r"  \centering"]
        if self.caption:
            lines.append(rf"  \caption{{{escaping.latex(self.caption)}}}")
        if label:
            lines.append(rf"  \label{{{label}}}")
        lines += [rf"  \begin{{tabular}}{{l{'r' * len(self.columns)}}}", r"    \toprule"]
        lines.append(_latex_row(map(escaping.latex, (self.corner, *self.columns))))
        for section in self.sections:
            lines.append(r"    \midrule")
            if section.title:
                lines.append(rf"    \multicolumn{{{width}}}{{l}}{{\emph{{{escaping.latex(section.title)}}}}} \\")
            lines += [_latex_row([escaping.latex(name), *map(_latex_cell, cells)]) for name, cells in section.rows]
        lines += [r"    \bottomrule", r"  \end{tabular}"]
        if self.note:
            lines.append(rf"  \par\smallskip\begin{{minipage}}{{\linewidth}}\footnotesize {escaping.latex(self.note)}")
            lines.append(r"  \end{minipage}")
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def _frame(self, value: Callable[[Cell | None], str | bool]) -> pd.DataFrame:
        rows = [(section.title, name, cells) for section in self.sections for name, cells in section.rows]
        values = [[value(cell) for cell in cells] for _, _, cells in rows]
        names = pd.Index([name for _, name, _ in rows], name=self.corner, dtype=object)
        if len(self.sections) == 1:
            return pd.DataFrame(values, index=names, columns=list(self.columns))
        titles = pd.Index([title for title, _, _ in rows], dtype=object)
        index = pd.MultiIndex.from_arrays([titles, names], names=["section", self.corner])
        return pd.DataFrame(values, index=index, columns=list(self.columns))


def _markdown_row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return MISSING
    number, spread = escaping.markdown(cell.text), escaping.markdown(cell.spread)
    bold = f"**{number}**" if cell.is_best else number
    return f"{bold} {spread}".rstrip()


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return f"<td>{MISSING}</td>"
    number = f"<strong>{escape(cell.text)}</strong>" if cell.is_best else escape(cell.text)
    return f"<td>{f'{number} {escape(cell.spread)}'.rstrip()}</td>"


def _latex_row(texts: Iterable[str]) -> str:
    return rf"    {' & '.join(texts)} \\"


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return escaping.latex(MISSING)
    number, spread = escaping.latex(cell.text), escaping.latex(cell.spread)
    bold = rf"\textbf{{{number}}}" if cell.is_best else number
    return f"{bold} {spread}".rstrip()
