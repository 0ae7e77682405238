"""What is kept of work: arrays on disk, and values in bounded memory. Knows nothing of what it keeps."""
