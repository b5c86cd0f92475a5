"""What the meta-gradient's noise says of a run, and what other settings would have pruned."""
