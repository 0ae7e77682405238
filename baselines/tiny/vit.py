"""The tiny DINO: DINOv2's architecture, trained to predict the tiny Stable Diffusion's features of patches.

DINO's own self-distillation needs far more pictures than a laptop gets through: after 50,000 of them it
distinguished patches by their colours alone. A network that has learned to draw the objects knows their
parts. So this network predicts, from the clean picture, the features that DIFT reads of a noisy latent with
the prompt "a photo of a {category}": in one pass, without noise and without the category (as CleanDIFT does
for a U-Net, Stracke et al., 2025). Unlike a real DINO, it depends on captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.methods.dino import DINOV2_SIDE
from baselines.networks.pixels import normalize_pixels
from baselines.tiny.captions import PLAIN
from baselines.tiny.diffusion import draw_latents
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import SIDE, PaddedPictures

if TYPE_CHECKING:
    import torch

PATCH = 8
WIDTH = 128
"""Width of a token, which is that of the features: a patch's token predicts its feature."""

FED = PATCH * round(SIDE * DINOV2_SIDE / PATCH)
"""Side in pixels of the padded picture, as DINOv2's recipe feeds it: 152."""

GRID = FED // PATCH
TIMESTEP = 100
SUBMODULE = "up_blocks.1"


def make_vit() -> Any:
    """Builds DINOv2's architecture: six layers of width 128, patches of 8 x 8 pixels."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=4,
        mlp_ratio=4,
        image_size=SIDE,
        patch_size=PATCH,
        layerscale_value=1.0,
        use_swiglu_ffn=False,
    )
    # On a CPU, attention written out trains twice as fast as the fused kernel.
    config._attn_implementation = "eager"
    return Dinov2Model(config)


class _Teacher:
    """The tiny Stable Diffusion's features of the training pictures, which the vision transformer predicts.

    Args:
        pipeline, categories, posteriors: as of `train_vit`.
    """

    def __init__(
        self,
        pipeline: Path,
        categories: Sequence[str],
        posteriors: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        from baselines.stable_diffusion.backbone import StableDiffusion

        self._backbone = StableDiffusion(pipeline, precision="bf16")
        self._prompts = []
        for category in categories:
            text = PLAIN.format(category=category)
            self._prompts.append(self._backbone.condition(text))
        self._mean, self._std = posteriors

    def __call__(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(n, 128, 24, 24) features of some of the pictures, stretched, with noise from the generator."""
        import torch

        with torch.no_grad():
            latents = draw_latents(self._mean[rows], self._std[rows], generator)
            noise = torch.randn(latents.shape, generator=generator)
            noisy = self._backbone.noisy(latents, noise, TIMESTEP)
            prompts = [self._prompts[row] for row in rows.tolist()]
            activations = self._backbone.activations(noisy, TIMESTEP, prompts, [SUBMODULE])
            return activations[SUBMODULE].float()


def train_vit(
    pictures: PaddedPictures,
    categories: Sequence[str],
    pipeline: Path,
    posteriors: tuple[torch.Tensor, torch.Tensor],
    folder: Path,
    schedule: Schedule,
    batch: int,
) -> None:
    """Trains the vision transformer and saves the running mean of its weights.

    Args:
        categories: of the pictures.
        pipeline: folder of the tiny Stable Diffusion.
        posteriors: mean and deviation of each picture's latents, stretched, in the pictures' order.
    """
    import torch
    import torch.nn.functional as F

    teacher = _Teacher(pipeline, categories, posteriors)
    vit = make_vit()

    # Channels differ in size: each is brought to mean 0 and deviation 1.
    sample = teacher(torch.arange(256), torch.Generator().manual_seed(0))
    shift = sample.mean(dim=(0, 2, 3))[:, None]
    scale = sample.std(dim=(0, 2, 3))[:, None]

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.sizes), (batch,), generator=generator)
        coordinates, is_inside = patch_coordinates(pictures.sizes[rows.numpy()])
        target = F.grid_sample(
            teacher(rows, generator),
            coordinates,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        target = ((target.flatten(2) - shift) / scale).transpose(1, 2)
        squares = torch.from_numpy(pictures.pixels[rows.numpy()])
        pixels = squares.permute(0, 3, 1, 2).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            # Without the final norm: the recipe reads tokens before it.
            states = vit.encoder(vit.embeddings(normalize_pixels(pixels)))
        tokens = getattr(states, "last_hidden_state", states)[:, 1:].float()
        errors = (tokens - target).square().mean(dim=2)
        cosine_distances = 1 - F.cosine_similarity(tokens, target, dim=2)

        def mean_inside(values: torch.Tensor) -> torch.Tensor:
            return (values * is_inside).sum() / is_inside.sum()

        loss = mean_inside(errors + cosine_distances)
        return {"loss": loss, "cosine": mean_inside(cosine_distances)}

    train(vit, losses_of, schedule, folder)
    vit.save_pretrained(folder)


def patch_coordinates(sizes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps the centres of the patches of padded pictures into the stretched pictures.

    Args:
        sizes: (n, 2) widths and heights.

    Returns:
        (n, 19, 19, 2) coordinates for `grid_sample`, from -1 to 1, and (n, 361) booleans, true for a centre
        that lies on the picture.
    """
    import torch

    from harness.frames import Frame, Size

    steps = PATCH * (torch.arange(GRID) + 0.5)
    centres = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    rows = []
    for size in sizes.tolist():
        points = Frame.padded(Size(*size), FED).to_original(centres)
        rows.append(2 * points / torch.tensor(size, dtype=torch.float32) - 1)
    coordinates = torch.stack(rows)
    is_inside = (coordinates.abs() <= 1).all(dim=-1)
    return coordinates, is_inside.flatten(1)
