"""timm, which not every installation has (the extra `timm`)."""

from __future__ import annotations

from types import ModuleType

from bdw.errors import InputError


def timm_library() -> ModuleType:
    """The package; `InputError` that names the extra where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise InputError(
            "encoder: vision transformers and timm's models need the package timm; allowed: pip install "
            "'beta-data-weighter[timm]', or another encoder"
        ) from error
    found: ModuleType = timm
    return found
