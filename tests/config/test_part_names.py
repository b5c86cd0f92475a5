"""Names that the config knows without importing a part are those of the registries."""

from __future__ import annotations

from bdw import encoders, plugins, pretext
from bdw.config import encoder, weighter
from bdw.config import pretext as pretext_section
from bdw.config import selector as selector_section
from bdw.weighting import registry, selection


def test_encoders() -> None:
    assert encoders.available() == tuple(sorted({*encoder.ENCODERS, *plugins.names(encoder.PLUG_INS)}))


def test_pretext_tasks() -> None:
    """Others may have registered their options in this process."""
    assert set(pretext.available()) <= set(pretext_section.task_names())
    others = set(pretext_section.task_names()) - set(pretext.available())
    assert not [name for name in others if pretext_section.options_of(name).__module__.startswith("bdw.")]


def test_weighters() -> None:
    assert registry.available() == weighter.WEIGHTERS


def test_selectors() -> None:
    assert selection.available() == selector_section.selector_names()
