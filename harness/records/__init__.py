"""Results on disk: a record's schema, the file of predictions, a cell's folder, and runs as the user names
them.

Knows nothing of datasets or models.
"""
