"""Stable Diffusion as a backbone: noisy latents and prompts -> activations of the U-Net, which stops at the last one that is read.

Everything is taken from diffusers' and transformers' public modules; hooks read what passes through them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from baselines.networks.activations import reading
from baselines.networks.compiling import DIFFUSION_BLOCKS, compile_blocks
from baselines.networks.loading import _loading
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.prefix import collected, prefix_of, put_in_place, reaching_into
from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.errors import UserError
from harness.imports import uncollected

POSITIONS = 8 * 96 * 96
"""Latent positions that pass through the U-Net at once: eight images of 768 x 768. Larger batches are cut, which bounds memory."""

CPU_POSITIONS = 2 * 96 * 96
"""The same on a CPU, whose caches hold no more: larger batches are slower there."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The VAE's posterior of images, before scaling: mean and standard deviation, each (n, 4, H / f, W / f)."""

    mean: torch.Tensor
    std: torch.Tensor


class StableDiffusion(TextEncoder):
    """A frozen Stable Diffusion.

    Args:
        folder: a pipeline as diffusers saves it (`unet/`, `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/`), safetensors only.
        precision: `fp32`, `bf16` or `fp16`; averages over ensemble members are taken in float32 whatever it is.
        compiled: whether blocks of the U-Net are compiled.

    Raises:
        UserError: the folder lacks something or a file is damaged.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", precision: str = "fp32", compiled: bool = False
    ) -> None:
        with uncollected():
            from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        super().__init__(folder, device, precision)
        self.card = Card.of(folder)
        with _loading(folder):
            self.unet = self._frozen(
                UNet2DConditionModel.from_pretrained(
                    folder, subfolder="unet", torch_dtype=self.dtype, use_safetensors=True
                )
            )
            self.vae = self._frozen(
                AutoencoderKL.from_pretrained(
                    folder, subfolder="vae", torch_dtype=self.dtype, use_safetensors=True
                )
            )
            # On a CPU the U-Net is a sixth faster that way and the encoder a third; it is also what tensor cores want.
            for network in (self.unet, self.vae):
                network.to(memory_format=torch.channels_last)
            # Only the noise schedule is used, which is the same for every sampler.
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
        if compiled:
            compile_blocks(self.unet, DIFFUSION_BLOCKS, reaching_into(self.unet))

    def check_timestep(self, timestep: int) -> None:
        """Raises `UserError` for a timestep that the noise schedule does not have."""
        last = len(self.scheduler.alphas_cumprod) - 1
        if not 0 <= timestep <= last:
            raise UserError(f"--timestep {timestep}: the backbone has timesteps 0 to {last}")

    @property
    def text_width(self) -> int:
        """D: width of the text encoder's states."""
        return int(self.unet.config.cross_attention_dim)

    # ---------------------------------------------------------------------------------------------------------------- latents

    @torch.no_grad()
    def posterior(self, pixels: torch.Tensor) -> Posterior:
        """(n, 3, H, W) pixels in [-1, 1] -> the posterior, in float32, one image at a time: the encoder is what needs most memory."""
        both = [self.vae.encode(one[None].to(self.device, self.dtype)).latent_dist for one in pixels]
        return Posterior(
            torch.cat([one.mean for one in both]).float(), torch.cat([one.std for one in both]).float()
        )

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timestep: int) -> torch.Tensor:
        """Latents before scaling and noise of the same shape -> what the U-Net is fed at a timestep."""
        scaled = latents * self.vae.config.scaling_factor
        steps = torch.full((len(latents),), timestep, device=latents.device)
        mixed: torch.Tensor = self.scheduler.add_noise(scaled, noise, steps)
        return mixed

    # ------------------------------------------------------------------------------------------------------------- activations

    def activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        places: Sequence[str],
        begun: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """What passes through the U-Net at some places.

        Args:
            noisy: (n, 4, h, w).
            prompts: one for each row.
            places: dotted names of submodules, such as `up_blocks.1`; nothing that comes after the last of them is computed.
            begun: what `begin` returned for the same latents and timestep; computed with the rest otherwise.

        Returns:
            place -> (n, C, h', w'), of the backbone's precision. Gradients reach the prompts where they are wanted.
        """
        parts = [
            self._pass(
                noisy[rows],
                timestep,
                prompts[rows],
                places,
                {name: values[rows] for name, values in (begun or {}).items()},
            )
            for rows in self._parts(noisy)
        ]
        return {place: torch.cat([part[place] for part in parts]) for place in places}

    def begin(self, noisy: torch.Tensor, timestep: int) -> dict[str, torch.Tensor]:
        """What the U-Net makes of latents (n, 4, h, w) before a prompt comes in (`baselines.stable_diffusion.prefix`); for prompts that leave time alone."""
        parts: list[dict[str, torch.Tensor]] = []
        places = prefix_of(self.unet)
        for rows in self._parts(noisy) if places else ():
            found: dict[str, Any] = {}
            unread = torch.zeros(len(noisy[rows]), 1, self.text_width, device=self.device, dtype=self.dtype)
            with reading(self._named(places), found):
                self.unet(noisy[rows].to(self.device, self.dtype), timestep, unread, return_dict=False)
            parts.append(collected(found))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}

    def mean_activations(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        place: str,
        members: int,
        begun: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """`activations` at one place for (n members, 4, h, w), averaged over the draws of each picture -> (n, C, h', w') in float32.

        A decoder block ends with a convolution of its upsampled state. That is linear, so it is computed once, of the mean.
        """

        def mean(where: str) -> torch.Tensor:
            averaged: torch.Tensor = (
                self.activations(noisy, timestep, prompts, [where], begun)[where]
                .unflatten(0, (-1, members))
                .float()
            )
            return averaged.mean(dim=1)

        block = self.unet.get_submodule(place)
        # Other sizes are upsampled to what the encoder had, which the block is told from outside.
        even = all(side % 2**self.unet.num_upsamplers == 0 for side in noisy.shape[-2:])
        if members == 1 or not (
            even and place.startswith("up_blocks.") and getattr(block, "upsamplers", None)
        ):
            return mean(place)
        layers = "attentions" if getattr(block, "attentions", None) else "resnets"
        state = mean(f"{place}.{layers}.{len(block.resnets) - 1}").to(self.dtype)
        for upsampler in block.upsamplers:
            state = upsampler(state)
        return state.float()

    def rows_at_once(self, height: int, width: int) -> int:
        """Latents (4, height, width) that pass through the U-Net together; at least one."""
        positions = min(POSITIONS, CPU_POSITIONS) if self.device.type == "cpu" else POSITIONS
        return max(1, positions // (height * width))

    def _parts(self, noisy: torch.Tensor) -> list[slice]:
        rows = self.rows_at_once(*noisy.shape[-2:])
        return [slice(at, at + rows) for at in range(0, len(noisy), rows)]

    def _pass(
        self,
        noisy: torch.Tensor,
        timestep: int,
        prompts: Sequence[Conditioning],
        places: Sequence[str],
        begun: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        found: dict[str, Any] = {}
        states = torch.stack([prompt.states for prompt in prompts]).to(self.dtype)
        in_place = put_in_place(self.unet, begun) if begun else nullcontext()
        with reading(self._named(places), found), self._shifted(prompts), in_place:
            self.unet(noisy.to(self.device, self.dtype), timestep, states, return_dict=False)
        return {place: output[0] if isinstance(output, tuple) else output for place, output in found.items()}

    def _named(self, places: Sequence[str]) -> dict[str, Any]:
        return {place: self.unet.get_submodule(place) for place in places}

    @contextmanager
    def _shifted(self, prompts: Sequence[Conditioning]) -> Iterator[None]:
        """Adds what prompts have to say about the timestep's embedding."""
        if all(prompt.time is None for prompt in prompts):
            yield
            return
        width = self.unet.time_embedding.linear_2.out_features
        shift = torch.stack(
            [torch.zeros(width) if prompt.time is None else prompt.time.cpu() for prompt in prompts]
        )
        shift = shift.to(self.device, self.dtype)
        hook = self.unet.time_embedding.register_forward_hook(lambda module, inputs, output: output + shift)
        try:
            yield
        finally:
            hook.remove()


def draw_noise(shape: Sequence[int], *key: str | int) -> torch.Tensor:
    """Standard normal numbers, float32 on the CPU, that belong to a key such as (seed, image, timestep, ensemble member)."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randn(*shape, generator=generator)
