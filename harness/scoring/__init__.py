"""Scores, intervals and comparisons of stored predictions: protocols as data, pure functions over arrays. Never runs a model."""
