"""Measurements of speed, memory and quality; results worth keeping lie in `results/`."""
