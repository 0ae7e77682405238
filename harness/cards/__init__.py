"""What there is to say of a method, a dataset or a table of results: a page of text, and citations.

Everything is read from specs and records; no method is made, and torch is not imported.
"""
