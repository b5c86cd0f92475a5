"""Figures: each takes scores or a record of `analysis.statistics`, draws into axes and returns its artists."""
