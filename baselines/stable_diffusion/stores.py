"""What networks make of pictures, as it is kept on disk: `--cache` of `bench run` and of `bench train`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from baselines.stable_diffusion.card import Card
from harness.caching.array_store import Store
from harness.caching.disk_cache import Cache

LATENTS = 4
"""Channels of a latent."""


def posterior_store(cache: Cache, source: str, card: Card, resample: str) -> Store:
    """(2, 4, h, w) means and deviations of the posteriors of pictures stretched to the backbone's native square.

    Args:
        source: the backbone's weight source.
        resample: Pillow's filter, `bilinear` or `bicubic`.
    """
    cells = card.native // card.factor
    return cache.store(
        "posterior",
        (2, LATENTS, cells, cells),
        source=source,
        part="vae/",
        package="diffusers",
        frame=[card.native, card.native],
        resample=resample,
    )


def stored(
    store: Store | None, identity: str, compute: Callable[[], torch.Tensor], device: str | torch.device
) -> torch.Tensor:
    """A picture's tensor out of a store, or computed and put there; without a store, computed.

    Contiguous float32 on the device in either case: what follows chooses its kernels by the layout, too.

    Args:
        compute: a tensor that float32 holds exactly.
    """
    if store is None:
        return compute().to(device, torch.float32).contiguous()
    return torch.from_numpy(store.once(identity, lambda: compute().float().cpu().contiguous().numpy())).to(
        device
    )
