"""Scores for images that a run never saw, and choices among images that have scores."""
