"""What is worth keeping between the cells of one process: the loaded Stable Diffusion, and what it made of pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from baselines.stable_diffusion import StableDiffusion

Tensors = Mapping[str, "torch.Tensor"]


class Kept:
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


_last: tuple[Hashable, StableDiffusion, Kept] | None = None


def shared(folder: Path, device: str, precision: str, limit: int, compiled: bool = False) -> tuple[StableDiffusion, Kept]:
    """The Stable Diffusion in a folder, and what is kept of it; loaded anew where the last one asked for was another.

    Args:
        limit: bytes of what is kept.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """
    global _last  # noqa: PLW0603 - one backbone is held, whoever asks
    from baselines.stable_diffusion import StableDiffusion

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    state = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    key = (folder.resolve(), device, precision, compiled, state)
    if _last is None or _last[0] != key:
        # Before the next one is loaded: two need twice the memory.
        forget()
        _last = (key, StableDiffusion(folder, device, precision, compiled), Kept(limit))
    _last[2].limit = limit
    return _last[1:]


def forget() -> None:
    """Drops the backbone that is held."""
    global _last  # noqa: PLW0603
    _last = None
