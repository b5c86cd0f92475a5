"""From an experiment's options to trials that run."""
