"""What every selector must do that chooses images before training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bdw import plugins
from bdw.config import SelectorConfig
from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting import selection
from bdw.weighting.selection.protocol import Toolkit
from tests.weighting.selection.conftest import COUNT, MakeSelector

STOP_BY_THEMSELVES = {"given", "simcore"}
"""Selectors that need no size."""


@pytest.fixture(params=selection.available())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _global_generators_are_nobodys() -> Iterator[None]:
    ours, theirs = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), ours)
    np.testing.assert_array_equal(np.random.get_state()[1], theirs)  # noqa: NPY002


def names_chosen(config: SelectorConfig, problem: Problem, toolkit: Toolkit) -> set[str]:
    chosen = selection.select(config, problem, toolkit).chosen
    return set(problem.source.names[chosen].tolist())


@pytest.mark.parametrize(("size", "count"), [({"selected_count": 37}, 37), ({"selected_share": 0.25}, 30),
                                             ({"selected_count": 1}, 1), ({"selected_share": 1.0}, COUNT)])  # fmt: skip
def test_the_size_is_exactly_what_was_asked_for(
    name: str, size: dict[str, float], count: int, make_selector: MakeSelector, labelled_pool: Problem,
    embedding_toolkit: Toolkit,
) -> None:  # fmt: skip
    found = selection.select(make_selector(name, **size), labelled_pool, embedding_toolkit)
    assert (found.weights.shape, found.weights.dtype) == ((COUNT,), np.float64)
    assert set(np.unique(found.weights)) <= {0.0, 1.0}
    assert found.chosen.sum() == count


def test_the_same_seed_chooses_the_same(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    """Computed anew, or from what is kept in the cache."""
    config = make_selector(name, selected_count=30)
    first = names_chosen(config, labelled_pool, embedding_toolkit)
    assert names_chosen(config, labelled_pool, embedding_toolkit) == first
    elsewhere = dataclasses.replace(embedding_toolkit, cache_dir=embedding_toolkit.cache_dir / "elsewhere")
    assert names_chosen(config, labelled_pool, elsewhere) == first


def test_the_order_of_the_pool_does_not_matter(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, permuted: Problem, embedding_toolkit: Toolkit
) -> None:
    config = make_selector(name, selected_count=30)
    first = names_chosen(config, labelled_pool, embedding_toolkit)
    assert names_chosen(config, permuted, embedding_toolkit) == first


def test_none_looks_at_what_was_planted(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    blind = dataclasses.replace(
        labelled_pool, source=dataclasses.replace(labelled_pool.source, planted=None, planted_kinds=None)
    )
    config = make_selector(name, selected_count=30)
    assert names_chosen(config, blind, embedding_toolkit) == names_chosen(config, labelled_pool, embedding_toolkit)


IMAGES: dict[str, tuple[int, int]] = {
    "given": (0, 0),
    "hierarchical": (0, COUNT),
    "importance": (20, COUNT),
    "nearest-neighbour": (20, COUNT),
    # Three experts see the target. The pool is embedded and clustered, and each expert trained on six batches of 16;
    # but one, whose part is smaller, on batches of its whole part, which makes 100 of 96.
    "neural-data-server": (3 * 20, 2 * COUNT + 3 * 96 + 4),
    "prototypes": (0, COUNT),
    "random": (0, 0),
    "simcore": (20, COUNT),
}
"""What a choice costs in images: for this target alone, and shared with later ones."""


def test_it_says_what_it_costs(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    """The same where features and experts are found in the cache."""
    if name in plugins.names("bdw.selectors"):
        pytest.skip("of another package, which knows what it costs")
    config = make_selector(name, selected_count=30)
    first, again = (selection.select(config, labelled_pool, embedding_toolkit).cost for _ in range(2))
    assert (first.images, first.shared_images) == (again.images, again.shared_images) == IMAGES[name]
    assert first.seconds > 0
    assert (first.shared_seconds > 0) == (IMAGES[name][1] > 0)
    assert again.shared_seconds == pytest.approx(first.shared_seconds, rel=0.2)


def test_the_pool_is_embedded_once(make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit) -> None:
    from tests.weighting.selection.conftest import Projection

    projection = Projection()
    toolkit = dataclasses.replace(toolkit, embedder=lambda features: projection)
    for name in ("nearest-neighbour", "simcore", "importance"):
        selection.select(make_selector(name, selected_count=30), labelled_pool, toolkit)
    assert projection.images == COUNT + 3 * 20


@pytest.mark.parametrize("size", [{"selected_count": COUNT + 1}])
def test_more_images_than_the_pool_has_are_refused(
    name: str, size: dict[str, int], make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    with pytest.raises(InputError, match=r"selected_count: 121 is more than the 120 images .*; allowed: at most 120$"):
        selection.select(make_selector(name, **size), labelled_pool, embedding_toolkit)


def test_a_size_is_needed_where_it_cannot_stop_by_itself(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    if name in STOP_BY_THEMSELVES:
        assert 0 < selection.select(make_selector(name), labelled_pool, embedding_toolkit).chosen.sum() <= COUNT
        return
    with pytest.raises(
        InputError, match=f"selected_share: none cannot work with selector '{name}', which needs a size"
    ):
        selection.chooser(make_selector(name))


def test_what_images_are_compared_by_has_no_default(name: str, make_selector: MakeSelector) -> None:
    config = make_selector(name, selected_count=3)
    if not hasattr(config.selector_options, "features"):
        return
    without = make_selector(name, selected_count=3, features=None)
    with pytest.raises(InputError, match=r"selector\.features: none cannot work .*; allowed: pixels, an enc"):
        selection.chooser(without)


def test_pixels_need_no_encoder(
    name: str, make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit
) -> None:
    found = selection.select(make_selector(name, selected_count=30, features="pixels"), labelled_pool, toolkit)
    assert found.chosen.sum() == 30


@pytest.mark.parametrize(("name", "options", "line"), [
    ("hierarchical", {"levels": [121, 4]}, r"selector\.levels: 121 are more than the pool's 120 images; allowed: at m"),
    ("neural-data-server", {"experts": 121}, r"selector\.experts: 121 are more than the pool's 120 images; allowed: "),
    ("prototypes", {"clusters": 121}, r"selector\.clusters: 121 are more than the pool's 120 images; allowed: at most"),
    ("simcore", {"clusters": 21}, r"selector\.clusters: 21 are more than the target's 20 training images; allowed: "),
])  # fmt: skip
def test_more_clusters_than_images_are_refused(
    name: str, options: dict[str, object], line: str, make_selector: MakeSelector, labelled_pool: Problem,
    embedding_toolkit: Toolkit,
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=line):
        selection.select(make_selector(name, selected_count=3, **options), labelled_pool, embedding_toolkit)


@pytest.mark.parametrize(("name", "options"), [("importance", {}), ("neural-data-server", {"partition": "labels"})])
def test_a_pool_without_labels_is_refused_where_they_are_needed(
    name: str, options: dict[str, str], make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    none: NDArray[np.int64] = np.full(COUNT, -1, dtype=np.int64)
    blind = dataclasses.replace(labelled_pool, source=dataclasses.replace(labelled_pool.source, labels=none))
    with pytest.raises(
        InputError, match=r"needs labels of the pool, and .* has 0 different one\(s\); allowed: a sourc"
    ):
        selection.select(make_selector(name, selected_count=3, **options), blind, embedding_toolkit)


def test_an_unknown_selector_is_named_with_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"selector: 'simcor' is not known \(did you mean 'simcore'\?\); allowed: given"
    ):
        selection.chooser(SelectorConfig(selector="simcor"))
