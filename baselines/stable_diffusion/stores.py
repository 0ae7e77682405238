"""The store on disk for the VAE's posteriors of images: `--cache` of `bench run` and of `bench train`."""

from __future__ import annotations

from baselines.stable_diffusion.card import Card
from harness.caching.array_store import Store
from harness.caching.disk_cache import Cache
from harness.plugins.closure import code_hash

LATENTS = 4
"""Channels of a latent."""


def posterior_store(cache: Cache, source: str, card: Card, resample: str) -> Store:
    """Store for the posterior of each image, stretched to the backbone's native square.

    An entry is (2, 4, h, w): mean and deviation.

    Args:
        source: the backbone's weight source.
        resample: Pillow's filter, `bilinear` or `bicubic`.
    """
    latent_side = card.native // card.factor
    return cache.store(
        "posterior",
        (2, LATENTS, latent_side, latent_side),
        source=source,
        part="vae/",
        package="diffusers",
        frame=[card.native, card.native],
        resample=resample,
        code=code_hash(__name__, "baselines.stable_diffusion.backbone", "harness.preprocess"),
    )
