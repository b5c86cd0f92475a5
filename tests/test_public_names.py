"""The names that users import, whatever file holds the code."""

from __future__ import annotations

import bdw
from bdw.meta_gradient import instance_directional_derivatives, reference_weight_gradient


def test_names_of_the_package() -> None:
    assert all(callable(getattr(bdw, name)) for name in bdw.__all__)
    assert all(module.available() for module in (bdw.weighters, bdw.pretext, bdw.data, bdw.encoders, bdw.presets))


def test_the_meta_gradient_is_one_function_under_two_names() -> None:
    assert bdw.meta_gradient.instance_directional_derivatives is instance_directional_derivatives
    assert instance_directional_derivatives.__module__ == "bdw.weighting.gradient.forward_mode"
    assert bdw.meta_gradient.reference_weight_gradient is reference_weight_gradient
