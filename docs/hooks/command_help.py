"""Puts what a command answers to `--help` into a page, where it says `<!-- help: fit --help-all -->`.

So the reference of the commands is what the commands themselves say, in the version that the site is built from.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

MARK = re.compile(r"^<!-- help: (?P<module>[\w./]+) (?P<words>[\w -]+) -->$", re.MULTILINE)
WIDTH = 100
"""Of the text, in characters."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with the answers in code blocks; `PluginError` where a command does not answer."""
    root = Path(config.docs_dir).parent

    def answered(match: re.Match[str]) -> str:
        return f"```text\n{_answer(match['module'], match['words'].split(), root)}\n```"

    return MARK.sub(answered, markdown)


def _answer(module: str, words: list[str], root: Path) -> str:
    start = [str(root / module)] if module.endswith(".py") else ["-m", module]
    environment = os.environ | {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "PYTHONPATH": str(root), "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, *start, *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PluginError(f"{module} {' '.join(words)} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.rstrip()
