"""The Ray edge: the only part of the package that imports ray. The loop itself does not know that it is there."""
