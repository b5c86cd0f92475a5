"""Lets pages link to files of the repository that are no pages of the site.

On GitHub a relative link such as `../cluster/README.md` or `../bdw/weighting/step.py` leads to the file. The site gets
a page for each file that some page links to: a Markdown file as it is, any other text in a code block, a folder as the
list of its files. So the site is whole by itself, and a link to a file that is not there fails the strict build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = "docs/"
SHOWN = "repository/"
"""Folder of the site in which the pages of files outside docs lie."""
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
FENCE = re.compile(r"^\s*(```+|~~~+)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash"}
PICTURES = (".png", ".svg", ".jpg")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside docs, and every program inside, that some page links to."""
    root = Path(config.docs_dir).parent
    waiting = [file for file in files.documentation_pages() if file.abs_src_path]
    while waiting:
        page = waiting.pop()
        for link in _links(page.content_string):
            path = _repository_path(page.src_uri, link)
            place = path and _site_path(root, path)
            if place and files.get_file_from_path(place) is None:
                added = _page(root / path, place, root, config)
                files.append(added)
                if (root / path).suffix == ".md" or (root / path).is_dir():
                    waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with links to files of the repository turned into links to their pages."""
    root, source = Path(config.docs_dir).parent, page.file.src_uri
    here = posixpath.dirname(source)

    def turned(match: re.Match[str]) -> str:
        path = _repository_path(source, match[0])
        place = path and _site_path(root, path)
        if not place:
            return match[0]
        _, hash_sign, anchor = match[0].partition("#")
        return posixpath.relpath(place, here or ".") + hash_sign + anchor

    return "".join(LINK.sub(turned, line) if is_text else line for line, is_text in _lines(markdown))


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Every line, and whether it is text rather than code between fences."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        found = FENCE.match(line)
        if found and not fence:
            fence = found[1]
            yield line, False
        elif found and found[1].startswith(fence):
            fence = ""
            yield line, False
        else:
            yield line, not fence


def _links(markdown: str) -> Iterator[str]:
    for line, is_text in _lines(markdown):
        if is_text:
            yield from LINK.findall(line)


def _repository_path(source: str, link: str) -> str:
    """The path in the repository that a relative link of that page of the site means; "" for any other link."""
    target = link.partition("#")[0]
    if not target or re.match(r"[a-z]+:|/", target):
        return ""
    own = source.removeprefix(SHOWN) if source.startswith(SHOWN) else DOCS + source
    return posixpath.normpath(posixpath.join(posixpath.dirname(own), target))


def _site_path(root: Path, path: str) -> str:
    """Where the site has that file of the repository; "" for what does not exist, which the strict build tells."""
    there = root / path
    if path.startswith("..") or not there.exists():
        return ""
    if there.is_dir():
        return f"{SHOWN}{path}/README.md"
    if path.startswith(DOCS) and there.suffix in (".md", *PICTURES):
        return path.removeprefix(DOCS)
    return f"{SHOWN}{path}" if there.suffix in (".md", *PICTURES) else f"{SHOWN}{path}.md"


def _page(there: Path, place: str, root: Path, config: MkDocsConfig) -> File:
    if there.suffix in PICTURES:
        return File.generated(config, place, abs_src_path=str(there))
    name = there.relative_to(root).as_posix()
    if there.is_dir():
        readme = there / "README.md"
        names = sorted(f"`{each.name}{'/' * each.is_dir()}`" for each in there.iterdir() if each.name[0] not in "._")
        listed = f"# `{name}/`\n\nA folder of the repository:\n\n" + "\n".join(f"* {each}" for each in names) + "\n"
        return File.generated(config, place, content=readme.read_text("utf-8") if readme.is_file() else listed)
    text = there.read_text(encoding="utf-8")
    if there.suffix == ".md":
        return File.generated(config, place, content=text)
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    # Code would drown the pages in the search's answers.
    head = f"---\nsearch:\n  exclude: true\n---\n# `{name}`\n\nA file of the repository.\n\n"
    content = f"{head}{fence}{LANGUAGES.get(there.suffix, 'text')}\n{text.rstrip()}\n{fence}\n"
    return File.generated(config, place, content=content)
