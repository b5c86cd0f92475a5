"""Tables of texts: as DataFrame, Markdown and LaTeX; and numbers that papers published."""
