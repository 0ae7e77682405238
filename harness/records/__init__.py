"""Results on disk: the schema of a record, the file of predictions, a cell's folder, and runs named by the user. Knows nothing of datasets or models."""
