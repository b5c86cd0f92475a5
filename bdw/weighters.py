"""The names of the weighters."""

from __future__ import annotations

from bdw.weighting.registry import available

__all__ = ["available"]
