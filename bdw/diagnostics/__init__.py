"""Signal and noise of a run's meta-gradient, and what other settings would have pruned."""
