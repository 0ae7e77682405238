"""A plugin for tests that cannot be imported."""

raise ImportError("libbroken.so: cannot open shared object file")
