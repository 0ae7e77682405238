"""Datasets: one file for each, a split read once, and the checks that a dataset is present and complete."""
