"""What the commands do, without the command line: Python's functions and `bench` share these bodies."""
