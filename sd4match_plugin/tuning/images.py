"""What training reads of pictures, encoded once: the VAE's posterior and, for the conditional prompting module, DINO's features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch

from baselines.networks.pixels import FILTERS
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import Posterior, StableDiffusion
from baselines.stable_diffusion.stores import posterior_store
from harness.caching.disk_cache import Cache
from harness.errors import UserError
from harness.specs import ImagePair, ImageSource
from sd4match_plugin.prompts.descriptors import Describer

Progress = Callable[[str, int, int], None]
"""Called with what is encoded, pictures done and pictures to do."""


class Posteriors:
    """Means and deviations of the latents of pictures stretched to the backbone's native square.

    Args:
        resample: how they are stretched, `bilinear` or `bicubic`.

    Attributes:
        store: where they are kept, in float32; that of `baselines.methods.dift`.
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
        found = self._backbone.posterior(2 * unit - 1)
        return torch.stack([found.mean[0], found.std[0]]).cpu().numpy()

    def __call__(self, identities: Sequence[str]) -> Posterior:
        """The posterior of n pictures, each (n, 4, h, w) on the CPU."""
        both = torch.from_numpy(np.stack([self.store[identity] for identity in identities]))
        return Posterior(both[:, 0], both[:, 1])


class Descriptors:
    """A DINO's features of pictures, as `sd4match_plugin.prompts.make` keeps them.

    Attributes:
        width, count: W channels of a token, and P patches of a picture.
    """

    def __init__(self, cache: Cache, describe: Describer) -> None:
        self._describe, self.store = describe, describe.store(cache)
        self.width, self.count = describe.width, describe.count

    def compute(self, image: PIL.Image.Image) -> np.ndarray:
        """One picture's features."""
        return self._describe(image).numpy()

    def __call__(self, identities: Sequence[str]) -> torch.Tensor:
        """(n, P, W) patches or (n, W) class tokens, on the CPU."""
        return torch.from_numpy(np.stack([self.store[identity] for identity in identities]))

    def release(self) -> None:
        """Gives the network's memory back: training needs none of it."""
        self._describe.release()


@dataclass(frozen=True)
class Images:
    """All that is kept of pictures.

    Attributes:
        descriptors: None for prompts that look at no image.
    """

    posteriors: Posteriors
    descriptors: Descriptors | None = None

    def fill(self, images: Iterable[ImageSource], progress: Progress = lambda what, done, total: None) -> int:
        """Encodes what is not kept yet, and says how many pictures that were.

        Raises:
            DataError: a picture is missing or broken.
            UserError: the cache cannot be written.
        """
        known = {image.identity(): image for image in images}
        kinds: list[tuple[str, Posteriors | Descriptors]] = [("latents", self.posteriors)]
        if self.descriptors:
            kinds.append(("DINO features", self.descriptors))
        computed = 0
        for what, kind in kinds:
            computed += kind.store.fill(
                known,
                lambda identity, kind=kind: kind.compute(known[identity].open()),  # type: ignore[misc]
                lambda done, total, what=what: progress(what, done, total),  # type: ignore[misc]
            )
        if self.descriptors:
            self.descriptors.release()
        return computed


def images_of(pairs: Iterable[ImagePair]) -> list[ImageSource]:
    """The pairs' pictures, each once, in order of first use.

    Raises:
        DataError: a picture is missing.
        UserError: a picture's size is not what its annotation says, since its points would be elsewhere.
    """
    found: dict[str, ImageSource] = {}
    for pair in pairs:
        for image, size in ((pair.source, pair.source_size), (pair.target, pair.target_size)):
            identity = image.identity()
            if identity not in found:
                found[identity] = _Checked(image, size)
    return list(found.values())


@dataclass(frozen=True)
class _Checked:
    """A picture that has the size its annotation says (an `ImageSource`)."""

    image: ImageSource
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return self.image.name

    def identity(self) -> str:
        return self.image.identity()

    def open(self) -> PIL.Image.Image:
        opened = self.image.open()
        if opened.size != tuple(self.size):
            raise UserError(
                f"image {self.name}: has {opened.size[0]} x {opened.size[1]} pixels, its annotation says "
                f"{self.size[0]} x {self.size[1]}; put the original file back"
            )
        return opened
