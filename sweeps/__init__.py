"""Experiments on a Ray cluster: short entries (one file each) on shared machinery around an Optuna study."""
