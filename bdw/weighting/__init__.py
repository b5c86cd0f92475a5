"""One training step: how useful every image is, and how its weight is learnt."""
