"""What is worth keeping between the cells of one process: the loaded Stable Diffusion, and what it made of pictures."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.caching.lru import ByteLRU, Tensors, tensor_bytes

if TYPE_CHECKING:
    from baselines.stable_diffusion.backbone import StableDiffusion

_last: tuple[Hashable, StableDiffusion, ByteLRU[Tensors]] | None = None


def shared(
    folder: Path, device: str, precision: str, limit: int, compiled: bool = False
) -> tuple[StableDiffusion, ByteLRU[Tensors]]:
    """The Stable Diffusion in a folder, and what is kept of it; loaded anew where the last one asked for was another.

    Args:
        limit: bytes of what is kept.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """
    global _last  # noqa: PLW0603 - one backbone is held, whoever asks
    from baselines.stable_diffusion.backbone import StableDiffusion

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    state = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    key = (folder.resolve(), device, precision, compiled, state)
    if _last is None or _last[0] != key:
        # Before the next one is loaded: two need twice the memory.
        forget()
        # Two stay whatever their size: those of the pair at work.
        kept = ByteLRU(limit, tensor_bytes, at_least=2)
        _last = (key, StableDiffusion(folder, device, precision, compiled), kept)
    _last[2].limit = limit
    return _last[1:]


def forget() -> None:
    """Drops the backbone that is held."""
    global _last  # noqa: PLW0603
    _last = None
