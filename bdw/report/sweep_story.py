"""What a sweep at equal budget found, from its story.json: verdict, headline numbers, tables and curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bdw.errors import InputError
from bdw.report.page import Block, Headline, Section, Table, Text, picture_file
from bdw.report.table_files import read_json_object
from bdw.report.wording import UNKNOWN, plural

STORY = "story.json"
Story = Mapping[str, Any]


def read_story(sweep_dir: Path) -> Story | None:
    """The object in story.json; None where there is no such file.

    Raises `InputError` with one line if the file is damaged or lacks its verdict, findings or tables.
    """
    path = sweep_dir / STORY
    if not path.is_file():
        return None
    story = read_json_object(path)
    missing = [name for name in ("verdict", "findings", "tables") if not story.get(name)]
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} missing; there are: {', '.join(story) or 'none'}")
    return story


def summary(story: Story) -> str:
    """One line: how many methods, domains and seeds."""
    found, methods = story["findings"], story["tables"]["methods"]["rows"]
    return (
        f"{plural(len(methods), 'method')} at an equal budget on {plural(found['num_domains'], 'target domain')}, "
        f"{plural(found['num_seeds'], 'seed')} each."
    )


def headlines(story: Story) -> list[Headline]:
    """The gain over the baseline, how much sooner, and the share of the oracle's gain, as far as they are known."""
    found = story["findings"]
    points, digits = " (points)" if found["is_share"] else "", found["decimals"]
    gain = _signed(found["gain"], digits)
    context = f"{found['method']}, test {found['label']}"
    if found["gain_low"] is not None:
        interval = f"{_signed(found['gain_low'], digits)} to {_signed(found['gain_high'], digits)}"
        context += f", 95\N{NO-BREAK SPACE}% interval {interval}"
    parts = [Headline(f"Gain over {found['baseline']}{points}", gain, context)]
    if found["num_domains"] > 1:
        parts.append(
            Headline("Better on", f"{found['num_better']} of {found['num_domains']}", "target domains, mean over seeds")
        )
    for kind in ("seconds", "images"):
        ratio = found[f"{kind}_ratio"]
        if ratio is not None:
            parts.append(
                Headline(
                    f"Sooner in {kind}", _times(ratio), f"to {found['baseline']}'s final validation {found['label']}"
                )
            )
    if found["oracle_share"] is not None:
        parts.append(Headline("Of the oracle's gain", f"{100 * found['oracle_share']:.0f} %", found["oracle"]))
    return parts


def found_section(story: Story, warnings: list[str]) -> Section:
    """The verdict, and what to keep in mind."""
    blocks: list[Block] = [Text(str(sentence), kind="lead") for sentence in story["verdict"]]
    blocks += [Text(warning, kind="warning") for warning in warnings]
    return Section("What was found", blocks)


def table_sections(story: Story) -> list[Section]:
    """What each method brought and cost; domains by methods."""
    titles = {"methods": "Methods at an equal budget", "domains": "Test scores by domain"}
    sections = []
    for name, title in titles.items():
        entry = story["tables"].get(name)
        if entry and entry["rows"]:
            sections.append(Section(title, [story_table(entry), Text(str(entry["note"]), kind="note")]))
    return sections


def story_table(entry: Mapping[str, Any]) -> Table:
    """A table of story.json: `headings`, `rows`, and `bold` as [row, column] pairs."""
    headings = tuple(map(str, entry["headings"]))
    return Table(
        headings,
        tuple(tuple(map(str, row)) for row in entry["rows"]),
        numeric=frozenset(headings[1:]),
        bold=frozenset((int(row), int(cell)) for row, cell in entry["bold"]),
    )


def curve_section(sweep_dir: Path, story: Story) -> Section | None:
    """The curves; None where there are none."""
    entry = story.get("curves") or {}
    file = sweep_dir / Path(str(entry.get("file", ""))).name
    if not entry or not file.is_file():
        return None
    alternative = "Best validation score so far against images and against seconds, one line a method"
    return Section("Scores through training", [picture_file(file, alternative, str(entry["caption"]))])


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    if not any(digit in "123456789" for digit in text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def _times(ratio: float | str) -> str:
    if isinstance(ratio, str):
        return "at once"
    return "never" if ratio == 0 else f"{ratio:.1f}×" if ratio > 0 else UNKNOWN
