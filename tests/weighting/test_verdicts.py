"""Verdicts on whole images, against scikit-learn's ridge regression and against what was planted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from torch import Tensor

from bdw.weighting import verdicts
from bdw.weighting.random_functions import MAX_WIDTH, RandomFunctions
from bdw.weighting.verdicts import LARGEST, NOISE, NUM_FUNCTIONS, SHARPNESS, Verdicts

N, BATCH = 600, 50
EXAMPLES = 4
"""Times that `_learnt` is told of examples in an epoch: after the first of twelve steps, and every third later."""
USEFUL = torch.arange(N) % 10 == 0
FOR_EVER = math.inf

Step = tuple[Tensor, tuple[Tensor, Tensor], Tensor]


def _drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _descriptions(useful: Tensor, seed: int, width: int = 8) -> tuple[Tensor, Tensor]:
    """Features in which a useful image lies beside the others, and colours that say nothing."""
    shift = 2.5 * useful.unsqueeze(1) * (torch.arange(width) % 2)
    return _drawn(len(useful), width, seed=seed) + shift, _drawn(len(useful), 3, seed=seed + 1000)


def _examples(count: int = 30, seed: int = 77, width: int = 8) -> tuple[Tensor, Tensor]:
    """Descriptions of images of the target, which look as the useful ones do."""
    return _descriptions(torch.ones(count), seed, width)


def _steps(epoch: int = 0, *, signal: float = 0.5, width: int = 8) -> list[Step]:
    """An epoch of visits whose derivatives are mostly noise: indices, descriptions, derivatives in any unit."""
    features, colours = _descriptions(USEFUL.float(), seed=1, width=width)
    derivatives = 1e-3 * (signal * USEFUL + _drawn(N, seed=100 + epoch))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch))
    return [(rows, (features[rows], colours[rows]), derivatives[rows].double()) for rows in order.split(BATCH)]


def _learnt(
    steps: Sequence[Step], examples: tuple[Tensor, Tensor] | None, memory: float = N, margin: float = 0.3
) -> Verdicts:
    """Told of all these steps, and of examples in every third of them."""
    learnt = Verdicts(memory, margin)
    for number, step in enumerate(steps):
        learnt.learn(*step)
        if examples is not None and number % 3 == 0:
            learnt.learn_examples(examples)
            learnt.measure_examples(examples)
    return learnt


def _by_index(judged: tuple[Tensor, Tensor]) -> Tensor:
    """What was said of each image, NaN of those that were not judged."""
    said = torch.full((N,), math.nan)
    said[judged[0]] = judged[1]
    return said


def test_what_helps_is_told_from_the_rest() -> None:
    """The sign of a visit is worth little, the verdict nearly everything, though no label was ever seen."""
    steps = _steps()
    rows, derivatives = torch.cat([step[0] for step in steps]), torch.cat([step[2] for step in steps])
    assert roc_auc_score(USEFUL[rows], derivatives) < 0.75
    said = _by_index(_learnt(steps, _examples()).judge())
    assert roc_auc_score(USEFUL, said) > 0.95
    assert float(said.min()) >= 0
    assert float(said.max()) <= 1
    assert float(said[USEFUL].mean()) > 0.5 > 2 * float(said[~USEFUL].mean())


def test_derivatives_alone_tell_too() -> None:
    """The examples say next to nothing here: there is one of them, and the visits' signal is strong."""
    said = _by_index(_learnt(_steps(signal=3.0)[:-1], _examples(1), margin=0.5).judge())
    judged = ~said.isnan()
    assert int(judged.sum()) == N - BATCH
    assert roc_auc_score(USEFUL[judged], said[judged]) > 0.95


def test_nobody_is_judged_where_the_target_is_the_pool() -> None:
    """Every visited image is an example, too: the target is not above the pool, whatever the derivatives say."""
    same = Verdicts(N, 0.3)
    for rows, parts, derivatives in _steps():
        same.learn(rows, parts, derivatives)
        same.learn_examples(parts)
        same.measure_examples(parts)
    assert [len(part) for part in same.judge()] == [0, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_one_example_does_not_outweigh_what_visits_say_of_its_like(sign: int) -> None:
    """Where what looks like the target harms, nobody is judged."""
    learnt = _learnt(_steps(signal=3.0 * sign), None, FOR_EVER)
    learnt.learn_examples(tuple(part[:1] for part in _examples()))
    learnt.measure_examples(tuple(part[:1] for part in _examples()))
    assert len(learnt.judge()[0]) == (N if sign > 0 else 0)


def test_nobody_is_judged_without_examples_or_visits() -> None:
    for none in (Verdicts(N, 0.1), _learnt(_steps(), None), _learnt([], None)):
        indices, helps = none.judge()
        assert len(indices) == len(helps) == 0
        assert indices.dtype == torch.int64


def test_an_image_is_judged_once_and_only_after_a_visit() -> None:
    steps = _steps()
    learnt = _learnt(steps[:4], _examples())
    indices, helps = learnt.judge()
    assert indices.tolist() == torch.cat([rows for rows, _, _ in steps[:4]]).tolist()
    assert len(helps) == 4 * BATCH
    assert [len(part) for part in learnt.judge()] == [0, 0]
    learnt.learn(*steps[4])
    assert learnt.judge()[0].tolist() == steps[4][0].tolist()


def _grouped(steps: Sequence[Step]) -> list[Step]:
    """Steps up to the next examples, as `_learnt` gives them, joined to one."""
    ends = [*range(1, len(steps), 3), len(steps)]
    groups = [steps[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    return [
        (
            torch.cat([step[0] for step in group]),
            (torch.cat([step[1][0] for step in group]), torch.cat([step[1][1] for step in group])),
            torch.cat([step[2] for step in group]),
        )
        for group in groups
    ]


def _written_out(
    steps: Sequence[Step], examples: tuple[Tensor, Tensor], memory: float, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """By scikit-learn, in float64: what is said of every visit, the same clamped to a verdict, and the target's lead.

    Every visit counts exp(-visits after its group / memory): a group of steps ends with examples, or with the last
    step. Functions are of what was known at their time.
    """
    steps = _grouped(steps)
    functions = RandomFunctions([part.shape[1] for part in examples], NUM_FUNCTIONS, sharpness=SHARPNESS)
    rows: list[NDArray[np.float64]] = []
    votes: list[float] = []
    ages: list[int] = []
    is_example: list[bool] = []
    done = [len(step[0]) for step in steps]
    for number, (_, parts, _) in enumerate(steps):
        before = [torch.cat(step[1], dim=1).double() for step in steps[: number + 1]]
        share = np.repeat(
            [math.exp(-sum(done[i + 1 : number + 1]) / memory) for i in range(number + 1)], done[: number + 1]
        )
        known = torch.cat(before).numpy()
        mean = torch.from_numpy(np.average(known, axis=0, weights=share))
        squares = torch.from_numpy(np.average(known**2, axis=0, weights=share))
        said = torch.cat([step[2] for step in steps[: number + 1]]).numpy()
        size = math.sqrt(np.average(said**2, weights=share))
        told = [(torch.cat(parts, dim=1), np.clip(said[-done[number] :] / size, -LARGEST, LARGEST), False)]
        if number < EXAMPLES:
            told.append((torch.cat(examples, dim=1), np.full(len(examples[0]), LARGEST), True))
        for descriptions, vote, example in told:
            rows.append(functions(descriptions.double(), mean, squares).numpy())
            votes.extend(vote)
            ages.extend([sum(done[number + 1 :])] * len(vote))
            is_example.extend([example] * len(vote))
    values, shares, of_target = np.vstack(rows), np.exp(-np.array(ages) / memory), np.array(is_example)
    ridge = Ridge(alpha=NOISE, fit_intercept=False, solver="cholesky").fit(values, votes, sample_weight=shares)
    predicted = ridge.predict(values)
    pool, target = (np.average(predicted[chosen], weights=shares[chosen]) for chosen in (~of_target, of_target))
    everyone = torch.cat([torch.cat(step[1], dim=1) for step in steps]).double()
    said = ridge.predict(functions(everyone, mean, squares).numpy())
    return ridge.coef_, np.clip((said - pool) / (2 * margin * (target - pool)), 0, 1), float(target - pool)


@pytest.mark.parametrize("memory", [FOR_EVER, 250.0])
def test_it_is_a_ridge_regression_in_which_old_visits_count_less(memory: float) -> None:
    """Coefficients and verdicts equal scikit-learn's to what float32 products and float16 descriptions allow."""
    steps, examples, margin = _steps(), _examples(), 0.4
    outliers = steps[5][2].abs().argmax()
    steps[5][2][outliers] *= 20
    learnt = _learnt(steps, examples, memory, margin)
    coefficients, expected, lead = _written_out(steps, examples, memory, margin)
    learnt._take_in()
    np.testing.assert_allclose(learnt._solved().numpy(), coefficients, rtol=0, atol=1e-4 * np.abs(coefficients).max())
    indices, helps = learnt.judge()
    assert indices.tolist() == torch.cat([rows for rows, _, _ in steps]).tolist()
    assert lead > 0.5
    assert np.mean((expected > 0) & (expected < 1)) > 0.05, "not all are at the limits"
    np.testing.assert_allclose(helps.numpy(), expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0])
def test_the_margin_is_where_helping_is_as_likely_as_not(margin: float) -> None:
    """Verdicts of two margins are the same line through the pool's mean, cut at 1."""
    steps, examples = _steps(), _examples()
    wide = _learnt(steps, examples, margin=1.0).judge()[1]
    found = _learnt(steps, examples, margin=margin).judge()[1]
    positive = wide > 0
    assert 0.1 < float(positive.float().mean()) < 0.9
    torch.testing.assert_close(found, (wide / margin).clamp(max=1), rtol=1e-5, atol=1e-6)


def test_units_of_derivatives_do_not_matter() -> None:
    other = [(rows, parts, 1e6 * said) for rows, parts, said in _steps()]
    torch.testing.assert_close(
        _learnt(other, _examples()).judge()[1], _learnt(_steps(), _examples()).judge()[1], rtol=1e-5, atol=1e-5
    )


def test_units_of_descriptions_do_not_matter_but_for_rounding() -> None:
    def scaled(parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return 50 * parts[0] - 20, 0.01 * parts[1] + 0.01

    other = [(rows, scaled(parts), said) for rows, parts, said in _steps()]
    found = _learnt(other, scaled(_examples())).judge()[1]
    torch.testing.assert_close(found, _learnt(_steps(), _examples()).judge()[1], rtol=0, atol=1e-2)


@pytest.mark.parametrize("value", [0.1, 0.7, -123.456, 3.3333])
def test_what_never_moves_changes_nothing(value: float) -> None:
    """A feature that is the same for all images, in float32, where its variance is not exactly 0: as if it were 0."""

    def verdicts_with(constant: float) -> Tensor:
        def extended(parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return torch.cat([parts[0], torch.full((len(parts[0]), 1), constant)], dim=1), parts[1]

        steps = [(rows, extended(parts), said) for rows, parts, said in _steps()]
        return _learnt(steps, extended(_examples())).judge()[1]

    assert torch.equal(verdicts_with(value), verdicts_with(0.0))


def test_numbers_that_float16_does_not_hold_still_give_verdicts() -> None:
    def large(parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return 2e4 * parts[0], parts[1]

    learnt = _learnt([(rows, large(parts), said) for rows, parts, said in _steps()], large(_examples()))
    features = torch.cat([large(parts)[0] for _, parts, _ in _steps()])
    assert 0 < int((features > 65504).any(dim=1).sum()) < N / 4
    said = _by_index(learnt.judge())
    assert said.isfinite().all()
    assert roc_auc_score(USEFUL, said) > 0.9


def test_derivatives_that_are_all_zero_leave_the_examples() -> None:
    silent = [(rows, parts, torch.zeros(len(rows), dtype=torch.float64)) for rows, parts, _ in _steps()]
    said = _by_index(_learnt(silent, _examples()).judge())
    assert said.isfinite().all()
    assert roc_auc_score(USEFUL, said) > 0.9


def test_how_many_are_judged_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _learnt(_steps(), _examples()).judge()
    monkeypatch.setattr(verdicts, "CHUNK", 7)
    parts = _learnt(_steps(), _examples()).judge()
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1], rtol=0, atol=1e-5)


def test_wide_features_are_narrowed_and_still_tell() -> None:
    width = 5 * MAX_WIDTH
    learnt = _learnt(_steps(width=width), _examples(width=width))
    state = learnt.state_dict()
    assert state["widths"].tolist() == [MAX_WIDTH, 3]
    assert state["descriptions"].shape == (N, MAX_WIDTH + 3)
    assert roc_auc_score(USEFUL, _by_index(learnt.judge())) > 0.95


def test_it_goes_on_bit_for_bit_from_the_middle_of_an_epoch() -> None:
    whole = _learnt(_steps(), _examples())
    whole.judge()
    again = _learnt(_steps(), _examples())
    again.judge()
    steps = _steps(1)
    for number, step in enumerate(steps):
        if number == 5:  # Into one that knows something else.
            other = _learnt(_steps(3)[:2], _examples(seed=8))
            other.load_state_dict(again.state_dict())
            again.learn(*_steps(2)[0])  # Whose state is its own.
            again = other
        for learnt in (whole, again):
            learnt.learn(*step)
            learnt.learn_examples(_examples(seed=number))
            learnt.measure_examples(_examples(seed=number))
    for one, other in zip(whole.judge(), again.judge(), strict=True):
        assert len(one) == N
        assert torch.equal(one, other)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())


def test_it_goes_on_from_before_the_first_visit_and_from_between_epochs() -> None:
    fresh, learnt = Verdicts(N, 0.3), _learnt(_steps(), _examples())
    fresh.load_state_dict(Verdicts(N, 0.3).state_dict())
    for step in _steps():
        fresh.learn(*step)
    assert len(fresh.state_dict()["visited"]) == N
    learnt.judge()
    between = Verdicts(N, 0.3)
    between.load_state_dict(learnt.state_dict())
    assert [len(part) for part in between.judge()] == [0, 0]
    for other in (learnt, between):
        other.learn(*_steps(1)[0])
    assert all(torch.equal(one, other) for one, other in zip(learnt.judge(), between.judge(), strict=True))
    forgotten = _learnt(_steps(), _examples())
    forgotten.load_state_dict(Verdicts(N, 0.3).state_dict())
    assert [len(part) for part in forgotten.judge()] == [0, 0]


def test_the_scale_is_measured_on_images_that_the_regression_was_not_told_of() -> None:
    """Examples that look like nothing in the pool are learnt by heart; others of the target, which look like the pool,
    say that the pool is as good as the target, and nobody is judged."""
    generator = torch.Generator().manual_seed(5)
    learnt = Verdicts(math.inf, 0.1)
    pool_like = (torch.randn(400, 8, generator=generator), torch.rand(400, 2, generator=generator))
    learnt.learn(torch.arange(400), pool_like, torch.randn(400, generator=generator))
    told = (torch.randn(40, 8, generator=generator) + 6, torch.rand(40, 2, generator=generator))
    learnt.learn_examples(told)
    others = tuple(-part for part in told)
    learnt.measure_examples(others)
    trained_on = Verdicts(math.inf, 0.1)
    trained_on.learn(torch.arange(400), pool_like, torch.zeros(400))
    trained_on.learn_examples(told)
    trained_on.measure_examples(told)
    assert len(trained_on.judge()[0]) == 400
    lead = float(learnt._examples @ learnt._solved() / learnt._examples[-1] - learnt._pool @ learnt._solved() / 400)
    told_lead = float(trained_on._examples @ trained_on._solved() / 40 - trained_on._pool @ trained_on._solved() / 400)
    assert lead < 0.5 * told_lead
