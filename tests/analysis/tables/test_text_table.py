import pandas as pd
from markdown_it import MarkdownIt

from analysis.tables.text_table import Cell, Section, TextTable

TABLE = TextTable(
    caption="Accuracy in %, $5 each",
    corner="method",
    columns=("a_b", "50 %"),
    sections=(
        Section(
            title="First & foremost",
            rows=(
                ("[x]_1", (Cell(text="82.6", spread="± 0.4", is_best=True), None)),
                ("*B*", (Cell(text="79.2"), Cell(text="−1.5", is_best=True))),
            ),
        ),
        Section(title="Second", rows=(("C|D", (None, Cell(text="3.0", spread="± 0.1 (2 seeds)"))),)),
    ),
    note="Mean ± deviation; bold: best.",
)
ONE_SECTION = TextTable(
    caption="", corner="method", columns=("x",), sections=(Section(title="", rows=(("a", (None,)),)),), note=""
)


def test_frame() -> None:
    frame = TABLE.to_frame()
    assert frame.loc[("First & foremost", "[x]_1")].tolist() == ["82.6 ± 0.4", "–"]
    assert frame.loc[("Second", "C|D"), "50 %"] == "3.0 ± 0.1 (2 seeds)"
    assert frame.index.names == ["section", "method"]
    assert TABLE.best().to_numpy().tolist() == [[True, False], [False, True], [False, False]]
    expected = pd.DataFrame([["–"]], index=pd.Index(["a"], name="method", dtype=object), columns=["x"])
    pd.testing.assert_frame_equal(ONE_SECTION.to_frame(), expected)


def test_markdown_reads_back() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(TABLE.to_markdown())
    rows: list[list[str]] = []
    bold = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            children = token.children or []
            rows[-1].append("".join(child.content for child in children))
            bold += [children[i + 1].content for i, child in enumerate(children) if child.type == "strong_open"]
    assert rows[0] == ["method", "a_b", "50 %"]
    assert rows[1:4] == [["First & foremost", "", ""], ["[x]_1", "82.6 ± 0.4", "–"], ["*B*", "79.2", "−1.5"]]
    assert rows[5][:3] == ["C|D", "–", "3.0 ± 0.1 (2 seeds)"]
    assert bold == ["82.6", "−1.5"]
    assert TABLE.to_markdown().startswith("Accuracy in %, \\$5 each\n\n|")
    assert TABLE.to_markdown().endswith("|\n\nMean ± deviation; bold: best.\n")
    assert ONE_SECTION.to_markdown() == "| method | x |\n|---|---:|\n| a | – |\n"


def test_latex_by_hand() -> None:
    assert TABLE.to_latex(label="tab:a").split("\n") == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"  \centering",
        r"  \caption{Accuracy in \%, \$5 each}",
        r"  \label{tab:a}",
        r"  \begin{tabular}{lrr}",
        r"    \toprule",
        r"    method & a\_b & 50 \% \\",
        r"    \midrule",
        r"    \multicolumn{3}{l}{\emph{First \& foremost}} \\",
        r"    {[}x]\_1 & \textbf{82.6} $\pm$ 0.4 & -- \\",
        r"    {*}B{*} & 79.2 & \textbf{$-$1.5} \\",
        r"    \midrule",
        r"    \multicolumn{3}{l}{\emph{Second}} \\",
        r"    C\textbar{}D & -- & 3.0 $\pm$ 0.1 (2 seeds) \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"  \par\smallskip\begin{minipage}{\linewidth}\footnotesize Mean $\pm$ deviation; bold: best.",
        r"  \end{minipage}",
        r"\end{table}",
        "",
    ]
