"""Predictions become scores, intervals and comparisons: protocols as data, pure functions over arrays. Never runs a model."""
