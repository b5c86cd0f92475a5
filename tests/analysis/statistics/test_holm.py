import gc

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.errors import OptionError
from analysis.statistics.holm import holm


def test_worked_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("seed", range(50))
def test_agrees_with_statsmodels(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels asks for half a second of it on every call.
    generator = np.random.default_rng(seed)
    # Rounding makes ties; small ones make something to reject.
    p_values = (generator.uniform(size=int(generator.integers(1, 30))) ** 3).round(2)
    rejected, adjusted, _, _ = multipletests(p_values, alpha=0.05, method="holm")
    np.testing.assert_allclose(holm(p_values), adjusted, atol=1e-15)
    np.testing.assert_array_equal(holm(p_values) <= 0.05, rejected)


def test_nothing_needs_no_adjustment() -> None:
    assert holm([]).shape == (0,)
    assert holm([0.2]).tolist() == [0.2]


@pytest.mark.parametrize("p_values", [[0.1, 1.5], [-0.1], [float("nan")], [[0.1]]])
def test_bad_p_values_are_refused(p_values: list[float]) -> None:
    with pytest.raises(OptionError, match=r"p_values: .*allowed"):
        holm(p_values)
