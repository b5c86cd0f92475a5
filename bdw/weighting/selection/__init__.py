"""Weights that are fixed before training, one file each."""
