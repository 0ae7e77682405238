"""Stable Diffusion as a backbone: images -> noisy latents, and with prompts -> activations of the U-Net.

Everything is taken from diffusers' and transformers' public modules; hooks read what passes through them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from baselines.networks.compiling import DIFFUSION_BLOCKS, compile_blocks
from baselines.networks.loading import explain_loading_errors, load_diffuser
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.other_unet import tensors_of
from baselines.stable_diffusion.prefix import submodules_to_replace
from baselines.stable_diffusion.text_encoder import TextEncoder
from baselines.stable_diffusion.unet import UNetActivations
from harness.imports import uncollected


@dataclass(frozen=True, eq=False)
class Posterior:
    """The VAE's posterior of images before scaling: mean and deviation, each (n, 4, H / f, W / f)."""

    mean: torch.Tensor
    std: torch.Tensor


class StableDiffusion(TextEncoder, UNetActivations):
    """A frozen Stable Diffusion.

    Args:
        folder: a pipeline as diffusers saves it (`unet/`, `vae/`, `text_encoder/`, `tokenizer/`,
            `scheduler/`).
        precision: `fp32`, `bf16` or `fp16`; averages over ensemble members are taken in float32 in every
            case.
        compiled: whether blocks of the U-Net are compiled.
        unet: a file of another U-Net of the same shape, which takes the place of the folder's
            (`baselines.stable_diffusion.other_unet`).

    Attributes:
        card: sizes and levels.
        vae, scheduler: of diffusers.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        precision: str = "fp32",
        compiled: bool = False,
        unet: Path | None = None,
    ) -> None:
        with uncollected():
            from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        super().__init__(folder, device, precision)
        self.card = Card.of(folder)
        replace = partial(tensors_of, unet) if unet else None
        self.unet = self._freeze(
            load_diffuser(UNet2DConditionModel, folder / "unet", self.dtype, replace, str(unet or ""))
        )
        self.vae = self._freeze(load_diffuser(AutoencoderKL, folder / "vae", self.dtype))
        # On a CPU the U-Net is a sixth faster so, the encoder a third; tensor cores want it, too.
        for network in (self.unet, self.vae):
            network.to(memory_format=torch.channels_last)
        with explain_loading_errors(folder):
            # Only the noise schedule is used, which is the same for every sampler.
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
        if compiled:
            compile_blocks(self.unet, DIFFUSION_BLOCKS, skip=submodules_to_replace(self.unet))

    def check_timestep(self, timestep: int) -> None:
        """Raises `UserError` for a timestep that the noise schedule does not have."""
        self.card.check_timestep(timestep)

    @torch.no_grad()
    def posterior(self, pixels: torch.Tensor) -> Posterior:
        """(n, 3, H, W) pixels in [-1, 1] -> the posterior, in float32.

        Images are encoded one at a time, because the encoder needs most memory.
        """
        means, deviations = [], []
        for image in pixels:
            single = image[None].to(self.device, self.dtype)
            posterior = self.vae.encode(single).latent_dist
            means.append(posterior.mean)
            deviations.append(posterior.std)
        return Posterior(torch.cat(means).float(), torch.cat(deviations).float())

    def clean(self, latents: torch.Tensor) -> torch.Tensor:
        """Input of a U-Net that reads pictures without noise: (n, 4, h, w) latents, scaled."""
        scaled: torch.Tensor = latents * self.vae.config.scaling_factor
        return scaled

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timestep: int) -> torch.Tensor:
        """Input of the U-Net at a timestep: scaled latents with noise.

        Args:
            latents: (n, 4, h, w) before scaling.
            noise: of the same shape.
        """
        scaled = self.clean(latents)
        timesteps = torch.full((len(latents),), timestep, device=latents.device)
        mixed: torch.Tensor = self.scheduler.add_noise(scaled, noise, timesteps)
        return mixed


def draw_noise(shape: Sequence[int], *key: str | int) -> torch.Tensor:
    """Draws standard normal numbers, float32 on the CPU, that depend on the key alone.

    Args:
        key: such as (seed, image, timestep, ensemble member).
    """
    # The separator keeps ("1", "23") and ("12", "3") apart.
    text = "\x1f".join(map(str, key))
    digest = hashlib.sha256(text.encode()).digest()
    # Shifted into the positive numbers of a signed integer of 64 bits.
    seed = int.from_bytes(digest[:8], "little") >> 1
    # On the CPU, since a GPU draws other numbers from the same seed.
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)
