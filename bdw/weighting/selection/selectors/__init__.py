"""Selectors that choose images before training, a file each."""
