"""Does the learnt weight follow use for the target, or only likeness to it? Domain by domain, on a blended source.

`python -m benchmarks.studies.use_or_likeness --data-root DIR` blends several data sets into one unlabelled source and
takes some of them as the target, one after the other. The use of a domain for a target is measured: plain training on
that domain's images alone, as many and with as many steps for every domain, and then the target's test accuracy and the
pretext loss on its test images. A method's mean weight of each domain is held against that, by Spearman's rank
correlation over the domains, and so is likeness (1 for the target's own domain, 0 for the others).

Likeness has a single rank to give: over six domains it correlates with any order that begins with the target's own by
0.65 and no more. What it cannot say at all is which of the *other* domains help, so that the correlation over these
alone is the one that tells use from likeness: it is near 0 for weights that only know the target's own domain.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from scipy.stats import spearmanr

from bdw.config import RunConfig
from bdw.data import load
from bdw.errors import InputError
from benchmarks.harness import spread
from benchmarks.methods import LEARNING
from benchmarks.studies.cells import CellArguments, Rows, work_through
from benchmarks.studies.subsets import mean_weights, trained_on
from benchmarks.studies.usefulness import RANKED
from sweeps.runner.methods import chosen

USES = {"accuracy": 1, "pretext_loss": -1}
"""What training on a domain reaches on the target's test split, and the sign with which more of it is of more use."""


DOMAINS = ("cifar10", "gtsrb", "kmnist", "omniglot", "vgg-flowers", "pedestrians")


@dataclass(frozen=True, kw_only=True)
class Arguments(CellArguments):
    """Command line of this benchmark."""

    targets: tuple[str, ...] = DOMAINS
    """Targets among the mixture's domains."""
    domains: tuple[str, ...] = DOMAINS
    """Domains of the mixture."""
    methods: tuple[str, ...] = ("BDW meta_loss=prototype", "BDW meta_loss=pretext", RANKED)
    """Methods whose weights to judge, as sweeps name a method: BDW or Counts and fields of the config."""
    epochs: int = 10
    """Epochs of every run."""
    max_source: int = 6000
    """Images of the mixture, drawn from all members together; the rarest decides how many of each are trained on."""
    image_size: int = 16
    """Side in pixels."""
    encoder: str = "small_cnn"


def main(arguments: Arguments) -> None:
    """Print a line a domain, then correlations by target and their means, and keep all of it if asked to."""
    chosen(arguments.methods, LEARNING)
    unknown = sorted(set(arguments.targets) - set(arguments.domains))
    if unknown:
        raise InputError(f"targets: {unknown} are not in the mixture; allowed: {', '.join(arguments.domains)}")
    if len(arguments.domains) < 4:
        raise InputError(f"domains: {len(arguments.domains)} cannot be correlated over; allowed: at least 4")
    _print_summary(correlations(work_through(arguments, measured, correlations)))


def measured(arguments: Arguments, target: str, seed: int, folder: str) -> Rows:
    """A row for each domain: what training on it alone reached for the target, and by method how far the mean weight of
    its images lies above that of all, in standard deviations over images."""
    config = _config(arguments, target, seed).replace(cache_dir=f"{folder}/packed")
    with tempfile.TemporaryDirectory(dir=folder) as own:
        problem = load(config.data, Path(own))
        kinds = problem.source.planted_kinds
        assert kinds is not None, "the target is a member of the mixture"
        methods = chosen(arguments.methods, LEARNING)
        weights = {
            each.name: _standardised(mean_weights(config.replace(**each.fields), problem, own)[0]) for each in methods
        }
        # The target leaves its own images out of the source, so that its domain may be the rarest.
        size = min(int((kinds == domain).sum()) for domain in arguments.domains)
        rows = []
        for domain in arguments.domains:
            members = np.random.default_rng([seed, len(kinds)]).permutation(np.flatnonzero(kinds == domain))
            use = trained_on(np.sort(members[:size]), config, problem, own)
            means = {name: round(float(values[kinds == domain].mean()), 5) for name, values in weights.items()}
            rows.append({"target": target, "seed": seed, "domain": domain, **use, "standardised_weight": means})
            print(
                f"{target:12} seed {seed}  on {domain:12} {size:>5} images {use['seconds']:6.1f} s  accuracy "
                f"{100 * use['accuracy']:5.2f} %  pretext loss {use['pretext_loss']:.3f}  weights "
                + "  ".join(f"{value:+.2f}" for value in means.values()),
                flush=True,
            )
    return rows


def _standardised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # The scale differs by orders of magnitude between methods and seeds; seeds are averaged.
    return np.asarray((weights - weights.mean()) / (weights.std() or 1.0))


def _config(arguments: Arguments, target: str, seed: int) -> RunConfig:
    """The digits' settings; a fifth of the target's images is its own."""
    return RunConfig().replace(
        source=f"mixture:{'+'.join(arguments.domains)}",
        target=target,
        target_fraction=0.2,
        data_root=arguments.data_root,
        max_source=arguments.max_source,
        image_size=arguments.image_size,
        crop_size=arguments.image_size,
        crop_padding=arguments.image_size // 8,
        encoder=arguments.encoder,
        epochs=arguments.epochs,
        seed=seed,
        # The last epoch alone: accuracy and loss are those of one model.
        evaluate_every=arguments.epochs,
        checkpoint_every=arguments.epochs,
        final_measures=["pretext_loss"],
        report=False,
        device="cpu",
    )


def correlations(runs: Rows) -> dict[str, Any]:
    """Spearman's correlation with every kind of use, over all domains and over those that are not the target's own.

    Of means over seeds: a row for each target and for each method and likeness, with the correlations by name of the
    use. None where it is not defined, as for the likeness of other domains.
    """
    found = []
    for target, own in pd.DataFrame(runs).groupby("target", sort=False):
        uses = own.groupby("domain", sort=False)[list(USES)].mean() * pd.Series(USES)
        weights = (
            pd.DataFrame(own["standardised_weight"].tolist(), index=own["domain"]).groupby(level=0, sort=False).mean()
        )
        weights["likeness"] = (weights.index == target).astype(float)
        for name, values in weights.items():
            row: dict[str, Any] = {"target": target, "by": name}
            for use in USES:
                others = values.index != target
                row[use] = _spearman(values, uses[use])
                row[f"{use}_others"] = _spearman(values[others], uses[use][others])
            found.append(row)
    return {"correlations": found}


def _spearman(first: pd.Series[float], second: pd.Series[float]) -> float | None:
    if first.nunique() == 1 or second.nunique() == 1:
        return None
    return round(float(spearmanr(first, second).statistic), 4)


def _print_summary(found: dict[str, Any]) -> None:
    rows = found["correlations"]
    print("\nSpearman's correlation with what training on a domain alone reaches for the target, means over targets")
    print("(lowest to highest): accuracy, over all domains | over the others; less pretext loss, the same")
    for name in dict.fromkeys(row["by"] for row in rows):
        own = [row for row in rows if row["by"] == name]
        print("   ".join(f"{spread([row[key] for row in own]):24}" for key in _COLUMNS) + f"   {name}")


_COLUMNS = tuple(f"{use}{part}" for use in USES for part in ("", "_others"))


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
