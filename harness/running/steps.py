"""What a cell is at, in words, for whoever waits for its first pair."""

from __future__ import annotations

from collections.abc import Callable

from harness.specs import Scope


class EncodingSteps:
    """Says which images, or pairs, are being encoded.

    Args:
        scope: of the features; with `pair` they follow from both images.
        step: called with the words.
        pairs: number of pairs that are wanted. Beyond a trial's, more is encoded than they have, since
            batches are those of the whole split.
    """

    def __init__(self, scope: Scope, step: Callable[[str], None], pairs: int) -> None:
        self._noun = "pairs" if scope == "pair" else "images"
        self._step = step
        self._most = pairs if scope == "pair" else 2 * pairs
        self._begun = 0

    def begin_batch(self, items: int, needed: int | None) -> None:
        """Says that a batch of items is begun; `needed` is the number of items in all."""
        first, last = self._begun + 1, self._begun + items
        self._begun = last
        text = f"encoding {self._noun} {first:,} to {last:,}"
        if items == 1:
            text = f"encoding {self._noun[:-1]} {first:,}"
        # Where memory is short, some are computed again: the count is then of no use.
        if needed is None or last > needed:
            text = f"encoding {self._noun} again"
        else:
            text += f" of {needed:,}"
            if needed > self._most:
                text += " in whole batches"
        self._step(text)
