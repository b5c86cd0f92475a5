"""Tables of scores for the tests of statistics."""

import numpy as np
import pandas as pd


def random_table(seed: int, num_domains: int = 10, num_methods: int = 5) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(num_domains, num_methods))
    methods = [f"m{i}" for i in range(num_methods)]
    return pd.DataFrame(values, index=[f"d{i}" for i in range(num_domains)], columns=methods)


def long_table(num_seeds: int = 3) -> pd.DataFrame:
    wide = random_table(0)
    rows = [
        {"method": m, "domain": d, "seed": s, "metric": "accuracy", "value": wide.at[d, m] + 0.01 * (s - 1)}
        for d in wide.index
        for m in wide.columns
        for s in range(num_seeds)
    ]
    return pd.DataFrame(rows).assign(higher_is_better=True)
