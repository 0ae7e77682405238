"""The published way, written plainly from the authors' descriptions, to be timed on the same weights.

DIFT (evaluation on SPair-71k): every picture once; eight copies of it through the VAE's encoder, a sample
of each, noise, the U-Net up to the block that is read; the mean is stored. For every pair both maps are
enlarged to their pictures' original sizes, all channels of them, and for every point the cosine with the
whole enlarged target map is taken.

SD4Match-CPM (evaluation): for every pair both pictures through the VAE's encoder, one sample, eight draws
of noise, the whole U-Net, the mean; kernel-softmax. DINOv2's features are computed before and kept, there
as here. Training: likewise, with one draw, three pairs at a time, and the gradient's way back through the
U-Net and the text encoder.

The text encoder and the conditional prompting module are ours: they are a small part, and the same in
both. Half-precision autocast, attention slicing and xformers, which save memory on the authors' GPUs, are
left out: both ways compute in the precision that was asked for, with diffusers' own attention. DIFT's
files of features, written and read again, are left out too, and so are SD4Match's three other localizers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.networks.loading import DTYPES
from baselines.stable_diffusion.card import Card

TEMPERATURE = 0.04
EPSILON = 1e-6
"""Added to norms (SD4Match)."""


class _Stop(Exception):
    """DIFT's U-Net returns after the block that is read."""


class Diffusion:
    """VAE and U-Net as diffusers loads them.

    Args:
        folder: a pipeline as diffusers saves it.
        block: number of the decoder block whose output is read, after its upsampler.
    """

    def __init__(self, folder: Path, device: str, precision: str, block: int = 1) -> None:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

        self.device = device
        self.dtype = DTYPES[precision]
        self.side = Card.of(folder).native
        self.block = block
        load: dict[str, Any] = {
            "torch_dtype": self.dtype,
            "use_safetensors": True,
            "low_cpu_mem_usage": False,
        }
        vae: Any = AutoencoderKL.from_pretrained(folder, subfolder="vae", **load)
        unet: Any = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **load)
        # As they are loaded, in PyTorch's own memory format.
        self.vae = vae.to(device).eval().requires_grad_(False)
        self.unet = unet.to(device).eval().requires_grad_(False)
        self.scheduler: Any = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")

    def pixels(self, images: Sequence[PIL.Image.Image], resample: PIL.Image.Resampling) -> Tensor:
        """Pictures stretched to the native square -> (n, 3, H, W) in [-1, 1]."""
        arrays = []
        for image in images:
            resized = image.resize((self.side, self.side), resample)
            arrays.append(np.asarray(resized, dtype=np.float32))
        values = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        pixels = values / 127.5 - 1
        return pixels.to(self.device, self.dtype)

    def latents(self, pixels: Tensor, drawn: Tensor | None) -> Tensor:
        """Scaled samples of the posteriors (n, 4, h, w), from `drawn` or from fresh normal numbers."""
        posterior = self.vae.encode(pixels).latent_dist
        if drawn is None:
            drawn = torch.randn_like(posterior.mean)
        samples = posterior.mean + posterior.std * drawn.to(posterior.mean)
        scaled: Tensor = samples * self.vae.config.scaling_factor
        return scaled

    def noisy(self, latents: Tensor, timestep: int, noise: Tensor | None) -> Tensor:
        """Input of the U-Net: latents with noise."""
        if noise is None:
            noise = torch.randn_like(latents)
        steps = torch.full((len(latents),), timestep, device=latents.device)
        mixed: Tensor = self.scheduler.add_noise(latents, noise.to(latents), steps)
        return mixed

    def block_output(self, noisy: Tensor, timestep: int, states: Tensor, stop: bool) -> Tensor:
        """The block's output (n, C, h', w').

        With `stop`, nothing that comes after it is computed, as in DIFT; else everything is.
        """
        outputs: list[Tensor] = []

        def read(module: Any, inputs: Any, output: Tensor) -> None:
            outputs.append(output)
            if stop:
                raise _Stop

        hook = self.unet.up_blocks[self.block].register_forward_hook(read)
        try:
            with suppress(_Stop):
                self.unet(noisy, timestep, states.to(self.dtype))
        finally:
            hook.remove()
        return outputs[0]


@torch.inference_mode()
def dift_features(
    diffusion: Diffusion,
    image: PIL.Image.Image,
    states: Tensor,
    timestep: int = 261,
    ensemble: int = 8,
    drawn: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """(C, h, w) float32 of one picture.

    Args:
        states: (77, D) of the prompt.
        drawn, noise: (ensemble, 4, h, w) normal numbers; fresh ones by default.
    """
    pixels = diffusion.pixels([image], PIL.Image.Resampling.BICUBIC)
    # DIFT repeats the picture before the encoder, which then encodes it eight times.
    latents = diffusion.latents(pixels.repeat(ensemble, 1, 1, 1), drawn)
    noisy = diffusion.noisy(latents, timestep, noise)
    prompts = states.expand(ensemble, -1, -1)
    output = diffusion.block_output(noisy, timestep, prompts, stop=True)
    return output.float().mean(dim=0)


@torch.inference_mode()
def dift_points(
    source: Tensor, target: Tensor, source_size: Sequence[int], target_size: Sequence[int], points: Tensor
) -> Tensor:
    """(N, 2) pixels of the highest cosine; the enlarged target map is normalised again for every point.

    Args:
        source, target: (C, h, w).
        source_size, target_size: width and height in original pixels.
        points: (N, 2) original pixels.
    """
    large_source, large_target = _enlarge(source, source_size), _enlarge(target, target_size)
    width = target_size[0]
    pixels = []
    for x, y in _whole_pixels(points, source_size):
        query = F.normalize(large_source[:, y, x], dim=0)
        # Normalised again for every point, as published; once would do.
        normal = F.normalize(large_target, dim=0).flatten(1)
        cosines = query @ normal
        best = int(cosines.argmax())
        pixels.append((best % width, best // width))
    return torch.tensor(pixels, dtype=torch.float64)


@torch.inference_mode()
def dift_points_normalised_once(
    source: Tensor, target: Tensor, source_size: Sequence[int], target_size: Sequence[int], points: Tensor
) -> tuple[Tensor, Tensor]:
    """`dift_points`, the enlarged target map normalised once for all points; and cosines (N, H, W)."""
    large_source = _enlarge(source, source_size)
    normal = F.normalize(_enlarge(target, target_size), dim=0).flatten(1)
    width, height = target_size
    pixels, maps = [], []
    for x, y in _whole_pixels(points, source_size):
        cosines = F.normalize(large_source[:, y, x], dim=0) @ normal
        best = int(cosines.argmax())
        pixels.append((best % width, best // width))
        maps.append(cosines.view(height, width))
    return torch.tensor(pixels, dtype=torch.float64), torch.stack(maps)


def _enlarge(features: Tensor, size: Sequence[int]) -> Tensor:
    """(C, h, w) -> (C, H, W)."""
    width, height = size
    maps = features[None]
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)[0]


def _whole_pixels(points: Tensor, size: Sequence[int]) -> list[tuple[int, int]]:
    """The pixel that each point lies in."""
    width, height = size
    pixels = []
    for x, y in points.tolist():
        # A keypoint may lie on the right or lower edge, beyond the last pixel.
        column = min(int(x), width - 1)
        row = min(int(y), height - 1)
        pixels.append((column, row))
    return pixels


@torch.inference_mode()
def sd4match_maps(
    diffusion: Diffusion,
    images: Sequence[PIL.Image.Image],
    states: Tensor,
    timestep: int = 50,
    ensemble: int = 8,
    drawn: Tensor | None = None,
    noise: Tensor | None = None,
) -> list[Tensor]:
    """(C, h, w) float32 of the two pictures of a pair.

    Args:
        states: (77, D) of the pair's prompt.
        drawn: (2, 4, h, w) normal numbers, one sample for each picture.
        noise: (2, ensemble, 4, h, w).
    """
    maps = []
    for number, image in enumerate(images):
        pixels = diffusion.pixels([image], PIL.Image.Resampling.BILINEAR)
        sample_draw = None if drawn is None else drawn[number][None]
        noise_draws = None if noise is None else noise[number]
        # SD4Match repeats one sample of the latents, and adds noise to each copy.
        latents = diffusion.latents(pixels, sample_draw).repeat_interleave(ensemble, dim=0)
        noisy = diffusion.noisy(latents, timestep, noise_draws)
        prompts = states.expand(ensemble, -1, -1)
        # Its U-Net runs to the end: it returns the outputs of all four decoder blocks.
        output = diffusion.block_output(noisy, timestep, prompts, stop=False)
        maps.append(output.float().mean(dim=0))
    return maps


@torch.inference_mode()
def kernel_softmax(source: Tensor, target: Tensor, points: Tensor, side: int, sigma: float) -> Tensor:
    """(N, 2) places in pixels of the stretched square, all points of a pair at once.

    Args:
        source, target: (C, h, w).
        points: (N, 2) pixels of the stretched square.
        side: of that square.
        sigma: of the Gaussian, in cells.
    """
    height, width = target.shape[1:]
    similarity = _similarity(source, target, points, side)
    best = similarity.flatten(1).argmax(dim=1)
    rows = torch.arange(height, device=target.device, dtype=target.dtype)
    columns = torch.arange(width, device=target.device, dtype=target.dtype)
    # A Gaussian around the best cell keeps other peaks out of the mean.
    down = (rows[None] - (best // width)[:, None]) ** 2
    across = (columns[None] - (best % width)[:, None]) ** 2
    distances = down[:, :, None] + across[:, None]
    weighted = similarity * torch.exp(-distances / (2 * sigma**2))
    probability = (weighted.flatten(1) / TEMPERATURE).softmax(dim=1).view_as(weighted)
    # Expected column and row.
    x = (probability.sum(1) * columns).sum(1)
    y = (probability.sum(2) * rows).sum(1)
    cells = torch.stack([x, y], dim=1)
    # Corner to corner: the last cell lies on the last pixel (767 / 47 pixels a cell).
    last = side - 1
    steps = [last / (width - 1), last / (height - 1)]
    return cells * torch.tensor(steps, device=cells.device, dtype=cells.dtype)


def _similarity(source: Tensor, target: Tensor, points: Tensor, side: int) -> Tensor:
    """Cosines (N, h, w) of points' features with every cell."""
    # The source is read before it is normalised, the target normalised as a whole.
    relative = points[None] / (side - 1)
    queries = _sample(source[None], relative)[0, :, 0].T
    queries = queries / (queries.norm(dim=1, keepdim=True) + EPSILON)
    target = target / (target.norm(dim=0, keepdim=True) + EPSILON)
    return torch.einsum("nc,chw->nhw", queries, target)


def _sample(maps: Tensor, places: Tensor) -> Tensor:
    """(n, C, h, w) at (n, N, 2) places, first cell 0 and last cell 1 -> (n, C, 1, N)."""
    grid = (2 * places - 1)[:, None].to(maps)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)


def loss(
    sources: Tensor,
    targets: Tensor,
    source_points: Sequence[Tensor],
    target_points: Sequence[Tensor],
    side: int,
) -> Tensor:
    """Cross-entropy with a smoothed truth, mean over points and then over pairs.

    Args:
        sources, targets: (B, C, h, w).
        source_points, target_points: B times (N, 2) pixels of the stretched square.
    """
    losses = []
    for source, target, queries, truths in zip(sources, targets, source_points, target_points, strict=True):
        height, width = target.shape[1:]
        similarity = _similarity(source, target, queries.to(target), side)
        probability = (similarity.flatten(1) / TEMPERATURE).softmax(dim=1)
        probability = probability.view(len(queries), 1, height, width)
        # The smoothed truth: 7 x 7 cells around the point.
        steps = torch.arange(-3.0, 4.0, device=target.device)
        grid = torch.meshgrid(steps, steps, indexing="xy")
        offsets = torch.stack(grid, dim=-1).view(-1, 2)
        # A Gaussian's density, whose sum over the 7 x 7 cells is a little less than 1.
        distances = offsets.square().sum(1)
        variance = 1.5**2
        weights = torch.exp(-distances / (2 * variance)) / (2 * math.pi * variance)
        last = torch.tensor([width - 1, height - 1], device=target.device)
        around = truths.to(target)[:, None] / (side - 1) * last + offsets
        # Cells beyond the map's edge do not count, nor do those on it.
        is_inside = ((around > 0) & (around < last)).all(dim=2)
        logarithm = _sample(probability, around / last)[:, 0, 0].log()
        losses.append(-(logarithm * weights * is_inside).sum(1).mean())
    return torch.stack(losses).mean()


def training_maps(
    diffusion: Diffusion,
    images: Sequence[PIL.Image.Image],
    states: Tensor,
    timestep: int = 261,
    drawn: Tensor | None = None,
    noise: Tensor | None = None,
    resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR,
) -> Tensor:
    """(n, C, h, w) float32 of n pictures in one batch, for their states (n, 77, D), which gradients reach."""
    with torch.no_grad():
        latents = diffusion.latents(diffusion.pixels(images, resample), drawn)
        noisy = diffusion.noisy(latents, timestep, noise)
    return diffusion.block_output(noisy, timestep, states, stop=False).float()
