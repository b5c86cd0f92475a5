"""Methods whose weights learn, as benchmarks take them from the command line (see `sweeps.methods`)."""

from __future__ import annotations

from sweeps.methods import Method

LEARNING = {"BDW": Method("BDW", {"weighter": "beta"}), "Counts": Method("Counts", {"weighter": "counts"})}
