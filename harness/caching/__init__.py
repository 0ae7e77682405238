"""Results that are kept: arrays on disk and values in bounded memory. Knows nothing of their meaning."""
