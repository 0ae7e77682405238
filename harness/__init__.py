"""A benchmark harness for semantic correspondence."""

from harness.hookspecs import BENCH_API, hookimpl

__all__ = ["BENCH_API", "hookimpl"]
__version__ = "0.1.0"
