"""Turns records into tables; never runs a model.

`catalogue` lists the tables, `view` chooses what they show, `table` renders them as text.
"""
