"""Methods that others published, one file each."""
