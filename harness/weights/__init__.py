"""Weight sources: where they lie, which files of a folder are theirs, how they are fetched and checked."""
