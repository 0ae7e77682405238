"""A benchmark harness for semantic correspondence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.hookspecs import BENCH_API, hookimpl
from harness.version import __version__

if TYPE_CHECKING:
    from harness.api.compare import compare, predictions
    from harness.api.evaluate import evaluate
    from harness.api.leaderboard import leaderboard, scores
    from harness.api.run import run
    from harness.matching.match import match

__all__ = [
    "BENCH_API",
    "__version__",
    "compare",
    "evaluate",
    "hookimpl",
    "leaderboard",
    "match",
    "predictions",
    "run",
    "scores",
]


def __getattr__(name: str) -> Any:
    # Imported only when it is used: every plugin imports this package, and `bench list` must stay fast.
    from importlib import import_module

    modules = {
        "compare": "harness.api.compare",
        "evaluate": "harness.api.evaluate",
        "leaderboard": "harness.api.leaderboard",
        "match": "harness.matching.match",
        "predictions": "harness.api.compare",
        "run": "harness.api.run",
        "scores": "harness.api.leaderboard",
    }
    if name in modules:
        return getattr(import_module(modules[name]), name)
    raise AttributeError(f"module 'harness' has no attribute '{name}'")


def __dir__() -> list[str]:
    # For completion in notebooks: functions that nobody has used yet are there as well.
    return sorted({*globals(), *__all__})
