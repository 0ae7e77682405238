"""Pictures: paper to draw on, colours that everybody can tell apart, contact sheets.

Knows nothing of cells or records.
"""
