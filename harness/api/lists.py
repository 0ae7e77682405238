"""Lists that users write as texts, and what is to be asked about one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from harness.messages import listed


def cut_paths(parts: Sequence[str]) -> Iterator[str]:
    """Yields paths that are there with a comma in their name, and were cut at it."""
    for start, part in enumerate(parts):
        path = part.partition("=")[2]
        for end in range(start + 2, len(parts) + 1):
            whole = ",".join([path, *parts[start + 1 : end]])
            # Not `Path.exists`, which raises for a name that is too long.
            if path and os.path.exists(whole) and not os.path.exists(path):  # noqa: PTH110
                yield whole


def split_at_commas(text: str) -> list[str]:
    """The parts between commas, without the double quotes that keep some commas together."""
    if text.count('"') % 2:
        # No pair of quotes: a name may well have one.
        return text.split(",")
    return [part.replace('"', "") for part in re.findall(r'(?:"[^"]*"|[^",])+', text)]


def large_alphas_question(alphas: Sequence[float]) -> str:
    """A question about thresholds above 1, which may be meant as percent; empty where there are none."""
    large = [alpha for alpha in alphas if alpha > 1]
    if not large:
        return ""
    values = listed([f"{alpha:g}" for alpha in large])
    fractions = listed([f"{alpha / 100:g}" for alpha in large])
    verb = "was" if len(large) == 1 else "were"
    return (
        f"{values}: above 1, where a point may miss by more than the whole length; {verb} {fractions} meant?"
    )
