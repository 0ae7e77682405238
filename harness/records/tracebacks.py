"""Tracebacks that a record keeps: one of each cause, whatever the order in which pairs were worked on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MOST = 20
"""Tracebacks of different errors that a record holds."""


def add_traceback(tracebacks: dict[str, str], cause: str, text: str) -> None:
    """Adds a traceback, unless there are as many, or one of the same cause, that come first in order of text.

    Args:
        cause: kind and place of the error.
    """
    tracebacks[cause] = min(text, tracebacks.get(cause, text))
    if len(tracebacks) > MOST:
        del tracebacks[max(tracebacks)]


def join_tracebacks(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The tracebacks of several runs of a cell, in order of cause."""
    joined: dict[str, str] = {}
    for tracebacks in several:
        for cause, text in tracebacks.items():
            add_traceback(joined, cause, text)
    return dict(sorted(joined.items()))
