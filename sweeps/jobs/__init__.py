"""Sweeps on a cluster: its file, submission, and machines that are taken away."""
