"""Scores, intervals and comparisons of stored predictions: protocols as data, pure functions over arrays.

Nothing here runs a model.
"""
