"""Correlations by hand, and that domains are trained on alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bdw.errors import InputError
from benchmarks import use_or_likeness


def rows(weights: list[float], accuracies: list[float], losses: list[float]) -> list[dict[str, Any]]:
    """Of the target d0, one seed above and one below these accuracies."""
    return [
        {
            "target": "d0", "seed": seed, "domain": f"d{i}", "standardised_weight": {"m": weight},
            "accuracy": accuracy + 0.01 * (2 * seed - 1), "pretext_loss": loss,
        }
        for seed in (0, 1)
        for i, (weight, accuracy, loss) in enumerate(zip(weights, accuracies, losses, strict=True))
    ]  # fmt: skip


def test_correlations_are_spearmans_over_all_domains_and_over_the_others() -> None:
    # Ranks of weights 1 2 3 4 5 6; sum of squared rank differences 70 for accuracy reversed: 1 - 6 * 70 / 210 = -1.
    # Less loss: ranks 6 1 2 3 4 5, so that 25 + 5 = 30 and 1 - 6 * 30 / 210 = 1/7; without the first the same order: 1.
    runs = rows([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.1, 0.9, 0.8, 0.7, 0.6, 0.5])
    method, likeness = use_or_likeness.correlations(runs)["correlations"]
    assert (method["target"], method["by"], likeness["by"]) == ("d0", "m", "likeness")
    assert (method["accuracy"], method["accuracy_others"]) == (-1, -1)
    assert method["pretext_loss"] == pytest.approx(1 / 7, abs=1e-4)
    assert method["pretext_loss_others"] == 1
    # One above five that tie, whose mean rank is 3: 7.5 / sqrt(7.5 * 17.5).
    assert likeness["accuracy"] == likeness["pretext_loss"] == pytest.approx(0.6547, abs=1e-4)
    assert likeness["accuracy_others"] is likeness["pretext_loss_others"] is None


def test_every_domain_is_trained_on_alone_and_alike(
    results: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = ("gtsrb", "kmnist", "cifar10", "pedestrians")
    arguments = use_or_likeness.Arguments(
        data_root=str(shared_data), domains=domains, targets=("kmnist",), methods=("BDW meta_loss=pretext",),
        seeds=(0,), epochs=2, max_source=700, save="x",
    )  # fmt: skip
    use_or_likeness.main(arguments)
    saved = json.loads((results / "x.json").read_text())
    assert [run["domain"] for run in saved["runs"]] == list(domains)
    (steps,) = {(run["images"], run["instances"]) for run in saved["runs"]}
    assert steps[0] > 64
    assert steps[1] == 2 * steps[0]
    assert len({run["pretext_loss"] for run in saved["runs"]}) == 4
    weights = [run["standardised_weight"]["BDW meta_loss=pretext"] for run in saved["runs"]]
    assert min(weights) < 0 < max(weights) < 2, "in standard deviations, about the mean"
    assert [row["by"] for row in saved["correlations"]] == ["BDW meta_loss=pretext", "likeness"]
    assert "unknown" in capsys.readouterr().out, "likeness of other domains"


@pytest.mark.parametrize(
    ("targets", "domains", "message"),
    [
        (("dtd",), use_or_likeness.DOMAINS, r"targets: \['dtd'\] are not in the mixture"),
        (("kmnist",), ("kmnist", "mnist"), "domains: 2 cannot be correlated over"),
    ],
)
def test_what_cannot_be_correlated_is_refused(targets: tuple[str, ...], domains: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        use_or_likeness.main(use_or_likeness.Arguments(data_root="none", targets=targets, domains=domains))
