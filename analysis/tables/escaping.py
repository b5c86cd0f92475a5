"""Names as they are, whatever signs they hold, in LaTeX and in Markdown."""

from __future__ import annotations

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    # At the start of a row these two would be read as an argument of the \\ before it.
    "[": "{[}",
    "*": "{*}",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "†": r"\textdagger{}",
    "\N{NO-BREAK SPACE}": "~",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
}
_MARKDOWN = set("\\`*_[]<>|~$&#")


def latex(text: str) -> str:
    """Return text that LaTeX sets as it stands; every line break and run of blanks is one blank.

    Letters with accents are left to LaTeX's own UTF-8; signs of other scripts need a Unicode engine.
    """
    line = _one_line(text)
    return "".join(
        # Two of these in a row would become one sign, such as a dash.
        f"{sign}{{}}" if sign in "-," and line[i + 1 : i + 2] == sign else _LATEX.get(sign, sign)
        for i, sign in enumerate(line)
    )


def markdown(text: str) -> str:
    """Return text that Markdown shows as it stands, in a table's cell, too; every run of blanks is one blank."""
    return "".join(f"\\{sign}" if sign in _MARKDOWN else sign for sign in _one_line(text))


def _one_line(text: str) -> str:
    # Non-breaking spaces are kept, as split() alone would not.
    return " ".join(part for part in text.replace("\n", " ").replace("\t", " ").split(" ") if part)
