"""Turns records into tables: `catalogue` lists them, `view` chooses what they show, `table` renders them as text.

Reads records and scores; never runs a model.
"""
