"""What each selector chooses, against closed forms and slow references."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bdw.data import Problem
from bdw.errors import InputError
from bdw.weighting import selection
from bdw.weighting.selection.adaptation import adapted_accuracy
from bdw.weighting.selection.drawing import drawn, even_shares
from bdw.weighting.selection.experts import accuracy, blank, trained
from bdw.weighting.selection.kmeans import kmeans
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.selectors.hierarchical import drawn_evenly, next_to_centres, spread_clusters
from bdw.weighting.selection.selectors.importance import label_ratios
from bdw.weighting.selection.selectors.nearest_neighbour import retrieved
from bdw.weighting.selection.selectors.neural_data_server import probabilities
from bdw.weighting.selection.selectors.prototypes import cosine_distances
from bdw.weighting.selection.selectors.simcore import coreset
from bdw.weighting.selection.vectors import of_length_1
from tests.weighting.selection.conftest import COUNT, MakeSelector


@pytest.mark.parametrize("wanted", [1, 7, 30, 50])
def test_target_images_retrieve_equally_many(wanted: int) -> None:
    """The union of the k nearest of each for the largest k that fits, then the nearest of the next ones."""
    rng = np.random.default_rng(0)
    pool, target = rng.normal(size=(50, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    distances = np.square(target[:, None].astype(float) - pool[None]).sum(axis=2)
    lists = np.argsort(distances, axis=1)
    unions = [set(lists[:, :k].ravel().tolist()) for k in range(51)]
    k = max(k for k in range(51) if len(unions[k]) <= wanted)
    found = retrieved(pool, target, wanted).tolist()
    assert len(set(found)) == len(found) == wanted
    assert unions[k] == set(found[: len(unions[k])])
    if k < 50:
        ring: dict[int, float] = {}
        for own, distance in zip(lists[:, k].tolist(), np.sort(distances, axis=1)[:, k].tolist(), strict=True):
            ring[own] = min(distance, ring.get(own, np.inf))
        rest = sorted(set(ring) - unions[k], key=lambda row: ring[row])
        assert found[len(unions[k]) :] == rest[: wanted - len(unions[k])]


def test_nearest_images_are_those_like_the_target(
    make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit
) -> None:
    """The target looks like labels 2 and 3, half of the pool."""
    for name in ("nearest-neighbour", "importance"):
        config = make_selector(name, selected_share=0.5, features="pixels")
        chosen = selection.select(config, labelled_pool, toolkit).chosen
        np.testing.assert_array_equal(chosen, labelled_pool.source.labels >= 2)


def slow_coreset(cosines: np.ndarray, stop_below: float) -> list[set[int]]:
    """Rounds of the paper's criterion by its formula: f(S) = sum_c max_{u in S} cos(c, u)."""
    left, rounds, first = set(range(cosines.shape[1])), list[set[int]](), None
    while left:
        columns = sorted(left)
        picks = {columns[int(np.argmax(row[columns]))] for row in cosines}
        value = sum(max(row[u] for u in picks) for row in cosines)
        first = value if first is None else first
        if rounds and value < stop_below * first:
            break
        rounds.append(picks)
        left -= picks
    return rounds


@pytest.mark.parametrize("stop_below", [0.5, 0.8, 0.95])
def test_rounds_of_simcore_stop_by_the_papers_criterion(stop_below: float) -> None:
    cosines = np.random.default_rng(0).uniform(0, 1, (4, 60))
    rounds = slow_coreset(cosines, stop_below)
    found = coreset(cosines.astype(np.float32), None, stop_below)
    assert set(found.tolist()) == set().union(*rounds)
    assert 1 <= len(rounds) < 60 // 4 + 10
    first = found[: len(rounds[0])].tolist()
    assert set(first) == rounds[0]


def test_simcore_goes_on_until_it_has_as_many_as_asked_for() -> None:
    """Of its last round the most similar: 0.9 and 0.8 are taken before 0.7."""
    cosines = np.array([[1.0, 0.9, 0.1, 0.0, 0.2], [0.0, 0.1, 1.0, 0.7, 0.3], [0.5, 0.2, 0.3, 0.1, 0.8]], np.float32)
    assert coreset(cosines, 3, 0.95).tolist() == [0, 2, 4]
    assert coreset(cosines, 4, 0.95).tolist() == [0, 2, 4, 1]
    assert coreset(cosines, 5, 0.95).tolist() == [0, 2, 4, 1, 3]


def test_easy_and_hard_images_are_the_two_ends(
    make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    easy, hard = (
        selection.select(make_selector("prototypes", selected_share=0.5, keep=keep), labelled_pool, embedding_toolkit)
        for keep in ("easy", "hard")
    )
    np.testing.assert_array_equal(easy.chosen, ~hard.chosen)


def test_a_cosine_distance_is_that_to_the_nearest_prototype() -> None:
    rows = np.array([[1, 0], [0, 1], [-1, 0], [np.sqrt(0.5), np.sqrt(0.5)]], dtype=np.float32)
    np.testing.assert_allclose(cosine_distances(rows, rows[:1]), [0, 1, 2, 1 - np.sqrt(0.5)], atol=1e-7)
    np.testing.assert_allclose(cosine_distances(rows, rows[:2]), [0, 0, 1, 1 - np.sqrt(0.5)], atol=1e-7)


@pytest.mark.parametrize("total", [0, 1, 5, 9, 16, 23])
def test_groups_share_evenly(total: int) -> None:
    sizes = np.array([2, 0, 7, 1, 13])
    shares = even_shares(sizes, total, np.random.default_rng(0))
    assert shares.sum() == total
    assert (shares <= sizes).all()
    # Nobody who could give more gives less than another by two or more.
    has_more = shares < sizes
    assert not has_more.any() or shares.max() - shares[has_more].min() <= 1


def test_draws_follow_the_weights() -> None:
    """The first of a draw: 1/10, 3/10, 6/10; what weighs nothing comes last."""
    weights = np.array([0.0, 1.0, 3.0, 6.0])
    generator = np.random.default_rng(0)
    draws = np.array([drawn(weights, 4, generator) for _ in range(4000)])
    shares = np.bincount(draws[:, 0], minlength=4) / len(draws)
    # Four standard deviations of a share.
    assert (np.abs(shares - weights / 10) <= 4 * np.sqrt(0.25 / len(draws))).all()
    assert (draws[:, 3] == 0).all()
    # The second one, given that the first was the last position: 1/4 and 3/4.
    second = draws[draws[:, 0] == 3, 1]
    assert abs((second == 2).mean() - 0.75) <= 4 * np.sqrt(0.19 / len(second))


def test_a_hierarchy_gives_evenly_on_every_level() -> None:
    """Two top clusters, of one and of three clusters, of 40, 30, 2 and 8 images: 20 images are 10 and 4 + 2 + 4."""
    images = np.repeat([0, 1, 2, 3], [40, 30, 2, 8])
    found = drawn_evenly([images, np.array([0, 1, 1, 1])], 20, np.random.default_rng(0))
    assert len(set(found.tolist())) == 20
    assert np.bincount(images[found]).tolist() == [10, 4, 2, 4]


def test_rows_next_to_each_centre() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [10.0], [14.0]], dtype=np.float32)
    found = kmeans(rows, 2, 0)
    assert sorted(np.bincount(found.labels).tolist()) == [2, 3]
    assert next_to_centres(rows, found, 1).tolist() in ([1, 3], [1, 4])
    assert next_to_centres(rows, found, 5).tolist() == [0, 1, 2, 3, 4]


def test_resampled_centres_spread_over_where_images_are() -> None:
    """A dense spot of 2,000 images and a thin one of 60, equally wide: of 20 centres more go to the thin one."""
    rng = np.random.default_rng(0)
    thin = rng.uniform((9, -1), (11, 1), (60, 2))
    rows = np.concatenate([rng.uniform(-1, 1, (2000, 2)), thin]).astype(np.float32)
    plain, spread = (int((spread_clusters(rows, 20, rounds, 0).centres[:, 0] > 5).sum()) for rounds in (0, 10))
    assert spread > plain


def test_an_image_weighs_what_its_label_is_overrepresented_in_the_target() -> None:
    """Labels 0, 1, 2 are 1/2, 1/4, 1/4 of the pool and 1/4, 3/4, 0 of the target."""
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    target = centres[[0, 1, 1, 1]]
    expected = np.array([0.5, 3.0, 0.0])[labels]
    np.testing.assert_allclose(label_ratios(centres[labels], labels, target), expected)
    hidden = np.where(np.arange(8) == 1, -1, labels)  # found by the classifier
    np.testing.assert_allclose(label_ratios(centres[labels], hidden, target), expected)


def test_experts_share_by_softmax_and_size() -> None:
    """Accuracies 0.3, 0.5, 0.4 become 0, 1, 0.5, and with T = 0.1 the weights exp(0), exp(10), exp(5)."""
    parts = np.array([0, 0, 1, 2, 2, 2])
    weights = np.exp([0.0, 10.0, 5.0])
    expected = (weights / weights.sum() / [2, 1, 3])[parts]
    found = probabilities(np.array([0.3, 0.5, 0.4]), parts, 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(probabilities(np.array([0.4, 0.4]), np.array([0, 1, 1]), 0.1), [0.5, 0.25, 0.25])


def test_features_of_length_1() -> None:
    found = of_length_1(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_an_expert_learns_the_rotations_of_its_part(labelled_pool: Problem, toolkit: Toolkit) -> None:
    """Of images with a light upper half: an expert before training guesses, after it knows."""
    from bdw.config.selector_options import NeuralDataServerOptions
    from bdw.data import pack_arrays
    from bdw.weighting.selection.experts import Job

    rng = np.random.default_rng(0)
    images = rng.integers(0, 80, (64, 1, 8, 8), dtype=np.uint8)
    images[:, :, :4] += 120
    source = pack_arrays(toolkit.cache_dir / "light", images)
    options = NeuralDataServerOptions(features="pixels", expert_images=1280, expert_batch=32)
    job = Job(source, np.arange(48), options, 0, toolkit.cache_dir / "expert", "cpu")
    model, seen = trained(job)
    assert seen == 1280
    assert accuracy(model, images[48:], toolkit.device) > 0.9
    assert accuracy(blank(options, 1, 8, 0), images[48:], toolkit.device) < 0.6


def _counting(toolkit: Toolkit) -> tuple[Toolkit, list[int]]:
    """A toolkit, and how many experts it was asked to train each time."""
    trained_jobs: list[int] = []

    def counted(work, /):  # type: ignore[no-untyped-def]
        trained_jobs.append(len(work))
        return (each() for each in work)

    return dataclasses.replace(toolkit, in_parallel=counted), trained_jobs


def test_experts_are_trained_once_for_all_targets(
    make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    toolkit, trained_jobs = _counting(embedding_toolkit)
    config = make_selector("neural-data-server", selected_count=30)
    first = selection.select(config, labelled_pool, toolkit)
    target = labelled_pool.target
    darker = dataclasses.replace(target, train=dataclasses.replace(target.train, images=target.train.images // 2))
    second = selection.select(config, dataclasses.replace(labelled_pool, targets={"other": darker}), toolkit)
    assert trained_jobs == [3, 0]
    assert second.cost.shared_images == first.cost.shared_images
    # Experts of other settings are others.
    selection.select(make_selector("neural-data-server", selected_count=30, experts=2), labelled_pool, toolkit)
    assert trained_jobs == [3, 0, 2]
    # The temperature only says how they are weighed.
    selection.select(make_selector("neural-data-server", selected_count=30, temperature=0.5), labelled_pool, toolkit)
    assert trained_jobs == [3, 0, 2, 0]


def test_labels_can_be_the_parts(make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit) -> None:
    config = make_selector("neural-data-server", selected_count=30, partition="labels", features=None)
    found = selection.select(config, labelled_pool, toolkit)
    assert found.cost.shared_images == 4 * 96
    assert found.chosen.sum() == 30


def test_given_scores_choose_the_highest(make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit) -> None:
    scores = np.array([(7 * i) % 31 + 1 for i in range(COUNT)])
    found = selection.select(make_selector("given", selected_count=20), labelled_pool, toolkit)
    assert scores[found.chosen].min() >= np.sort(scores)[-20]
    everything = selection.select(make_selector("given"), labelled_pool, toolkit)
    assert everything.chosen.all()


def test_given_scores_of_too_few_are_refused(
    make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit
) -> None:
    path = toolkit.cache_dir.parent / "few.csv"
    path.write_text(
        "name,weight\n" + "".join(f"{name},{int(i < 9)}\n" for i, name in enumerate(labelled_pool.source.names))
    )
    few = make_selector("given", weights_file=str(path))
    assert np.flatnonzero(selection.select(few, labelled_pool, toolkit).chosen).tolist() == list(range(9))
    with pytest.raises(
        InputError, match=r"selected_count: 10 asks for 10 images, but .* gives 9 a weight above 0; allow"
    ):
        selection.select(make_selector("given", weights_file=str(path), selected_count=10), labelled_pool, toolkit)


def test_a_larger_random_choice_holds_the_smaller(
    make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit
) -> None:
    small, large = (
        selection.select(make_selector("random", selected_count=count), labelled_pool, toolkit).chosen
        for count in (20, 60)
    )
    assert (large | ~small).all()


def test_a_linear_layer_tells_labels_that_features_hold() -> None:
    """Against scikit-learn's own score, and a rule that can be known: features that are the label, and noise."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    noise = rng.normal(size=(60, 4)).astype(np.float32)
    known = np.concatenate([np.eye(3, dtype=np.float32)[labels], noise], axis=1)
    assert adapted_accuracy(known, labels, 0) == 1
    found = adapted_accuracy(noise, labels, 7)
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    scores = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), noise, labels, cv=folds)
    assert found == pytest.approx(scores.mean(), abs=1e-12)
    assert found < 0.6


def test_adaptation_asks_the_same_experts(
    make_selector: MakeSelector, labelled_pool: Problem, embedding_toolkit: Toolkit
) -> None:
    """They are not trained again, and what is drawn follows the labels that they tell."""
    toolkit, trained_jobs = _counting(embedding_toolkit)
    rotations = selection.select(make_selector("neural-data-server", selected_count=30), labelled_pool, toolkit)
    config = make_selector("neural-data-server", selected_count=30, adaptation="linear")
    labels = selection.select(config, labelled_pool, toolkit)
    assert trained_jobs == [3, 0]
    assert labels.chosen.sum() == 30
    assert labels.cost.images == rotations.cost.images == 3 * 20
    assert labels.cost.shared_images == rotations.cost.shared_images
    assert labels.cost.trained_images == 3 * 96 + 4


def test_adaptation_needs_labels_of_the_target(
    make_selector: MakeSelector, labelled_pool: Problem, toolkit: Toolkit
) -> None:
    target = labelled_pool.target
    train = dataclasses.replace(target.train, labels=np.arange(20))
    problem = dataclasses.replace(labelled_pool, targets={"a": dataclasses.replace(target, train=train)})
    config = make_selector(
        "neural-data-server", selected_count=30, adaptation="linear", partition="labels", features=None
    )
    with pytest.raises(
        InputError, match=r"selector.adaptation: 'linear' needs labels of the target, and 'a' has 20 diff"
    ):
        selection.select(config, problem, toolkit)
