"""One self-contained page of a results folder: tables, figures, pairs with their points, and provenance.

`page` puts everything together. `figures` draws charts of `series`; `gallery` shows pairs, in the order of
`selection`; `summary` lists cells and their origin. Reads records, tables and scores; never runs a model.
"""
