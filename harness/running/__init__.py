"""Cells become predictions and records.

`engine` loops over cells, `run_cell` knows folders, `predict` computes and writes nothing, `recording` makes
records.
"""
