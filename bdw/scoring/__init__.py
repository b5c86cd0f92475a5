"""Scores for images that a run never saw, choices among images that have scores, and what a choice is worth."""
