"""A benchmark harness for semantic correspondence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.hookspecs import BENCH_API, hookimpl
from harness.version import __version__

if TYPE_CHECKING:
    from harness.matching.match import match

__all__ = ["BENCH_API", "__version__", "hookimpl", "match"]


def __getattr__(name: str) -> Any:
    # Imported only when it is used: every plugin imports this package, and `bench list` must stay fast.
    if name == "match":
        from harness.matching.match import match

        return match
    raise AttributeError(f"module 'harness' has no attribute '{name}'")
