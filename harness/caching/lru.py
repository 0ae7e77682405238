"""Values in bounded memory, the least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


Tensors = Mapping[str, "torch.Tensor"]


class ByteLRU:
    """The last results used, within a number of bytes. A key says all that a result depends on besides the backbone.

    Attributes:
        limit: bytes that are kept: 1 GB are decoder states of forty images at the published sizes, or three thousand posteriors.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._held = limit, 0
        self._known: OrderedDict[Hashable, Tensors] = OrderedDict()

    def once(self, key: Hashable, compute: Callable[[], Tensors]) -> Tensors:
        """What was computed under a key before, or is now."""
        if key not in self._known:
            self._known[key] = compute()
            self._held += _bytes(self._known[key])
        self._known.move_to_end(key)
        # Two stay whatever their size: those of the pair at work.
        while self._held > self.limit and len(self._known) > 2:
            self._held -= _bytes(self._known.popitem(last=False)[1])
        return self._known[key]


def _bytes(tensors: Tensors) -> int:
    return sum(one.nbytes for one in tensors.values())
