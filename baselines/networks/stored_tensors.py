"""Tensors of images out of a store on disk (`--cache`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from harness.caching.array_store import Store


def load_or_compute(
    store: Store | None, identity: str, compute: Callable[[], torch.Tensor], device: str | torch.device
) -> torch.Tensor:
    """Loads an image's tensor from a store, or computes it and puts it there; without a store, computes it.

    The tensor is contiguous float32 on the device in either case, since later kernels are chosen by the
    layout, too.

    Args:
        compute: a tensor that float32 holds exactly.
    """
    if store is None:
        return compute().to(device, torch.float32).contiguous()

    def to_array() -> np.ndarray:
        # numpy has no bfloat16; widening loses nothing.
        array: np.ndarray = compute().float().cpu().contiguous().numpy()
        return array

    return torch.from_numpy(store.once(identity, to_array)).to(device)
