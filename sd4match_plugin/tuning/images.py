"""Encoded pictures of a training, each encoded once: the VAE's posterior and, for the conditional prompting
module, DINO's features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch

from baselines.networks.pixels import FILTERS
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import Posterior, StableDiffusion
from baselines.stable_diffusion.stores import posterior_store
from harness.caching.disk_cache import Cache
from harness.features.pictures import open_checked
from harness.frames import Size
from harness.specs import ImagePair, ImageSource
from sd4match_plugin.prompts.descriptors import Describer

Progress = Callable[[str, int, int], None]
"""Called with the kind of encoding, pictures done and pictures to do."""

AnnotatedImage = tuple[ImageSource, Size]
"""A picture, and its size as annotated."""


class Posteriors:
    """Means and deviations of the latents of pictures stretched to the backbone's native square.

    Args:
        resample: the filter that stretches them, `bilinear` or `bicubic`.

    Attributes:
        store: float32 arrays on disk, shared with `baselines.methods.dift`.
    """

    def __init__(self, cache: Cache, backbone: StableDiffusion, resample: str) -> None:
        self._backbone, self._resample = backbone, resample
        self.store = posterior_store(cache, STABLE_DIFFUSION_2_1, backbone.card, resample)

    def compute(self, image: PIL.Image.Image) -> np.ndarray:
        """(2, 4, h, w): mean and deviation."""
        side = self._backbone.card.native
        pixels = np.asarray(image.resize((side, side), FILTERS[self._resample]))
        # The very numbers that `baselines.methods.dift` feeds the encoder.
        unit = torch.from_numpy(pixels.copy())[None].permute(0, 3, 1, 2).float() / 255
        posterior = self._backbone.posterior(2 * unit - 1)
        return torch.stack([posterior.mean[0], posterior.std[0]]).cpu().numpy()

    def __call__(self, identities: Sequence[str]) -> Posterior:
        """The posterior of n pictures, each (n, 4, h, w) on the CPU."""
        arrays = torch.from_numpy(np.stack([self.store[identity] for identity in identities]))
        return Posterior(arrays[:, 0], arrays[:, 1])


class Descriptors:
    """A DINO's features of pictures, in the same store as `sd4match_plugin.prompts.make` keeps them.

    Attributes:
        width, count: W channels of a token, and P patches of a picture.
        position_offset: cells that are added when the DINO's positions are interpolated.
    """

    def __init__(self, cache: Cache, describe: Describer) -> None:
        self._describe, self.store = describe, describe.store(cache)
        self.width, self.count = describe.width, describe.count
        self.position_offset = describe.position_offset

    def compute(self, image: PIL.Image.Image) -> np.ndarray:
        """One picture's features."""
        return self._describe(image).numpy()

    def __call__(self, identities: Sequence[str]) -> torch.Tensor:
        """(n, P, W) patches or (n, W) class tokens, on the CPU."""
        return torch.from_numpy(np.stack([self.store[identity] for identity in identities]))

    def release(self) -> None:
        """Gives the network's memory back: the steps do not need it."""
        self._describe.release()


@dataclass(frozen=True)
class Images:
    """All encodings of a training's pictures.

    Attributes:
        descriptors: None for prompts that look at no image.
    """

    posteriors: Posteriors
    descriptors: Descriptors | None = None

    def fill(
        self,
        images: Mapping[str, AnnotatedImage],
        progress: Progress = lambda kind, done, total: None,
    ) -> int:
        """Encodes the pictures whose encodings are missing, and returns their number over both kinds.

        Args:
            images: identity -> picture.

        Raises:
            DataError: a picture is missing or broken, or has another size than its annotation says.
            UserError: the cache cannot be written.
        """
        computed = _fill(self.posteriors, images, "latents", progress)
        if self.descriptors:
            computed += _fill(self.descriptors, images, "DINO features", progress)
            self.descriptors.release()
        return computed


def annotated_images(pairs: Iterable[ImagePair]) -> dict[str, AnnotatedImage]:
    """The pairs' pictures by identity, in order of first use. Raises `DataError` for a missing picture."""
    images: dict[str, AnnotatedImage] = {}
    # Pairs share pictures, some of them under several names.
    for pair in pairs:
        images.setdefault(pair.source.identity(), (pair.source, pair.source_size))
        images.setdefault(pair.target.identity(), (pair.target, pair.target_size))
    return images


def _fill(
    encoder: Posteriors | Descriptors, images: Mapping[str, AnnotatedImage], kind: str, progress: Progress
) -> int:
    def compute(identity: str) -> np.ndarray:
        return encoder.compute(open_checked(*images[identity]))

    def show(done: int, total: int) -> None:
        progress(kind, done, total)

    return encoder.store.fill(images, compute, show)
