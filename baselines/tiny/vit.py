"""The tiny DINO: DINOv2's architecture, which learns to give the patches of a picture the features of the tiny Stable Diffusion.

DINO's own self-distillation needs far more pictures than a laptop gets through: after 50,000 of them it told
patches apart by their colours alone. A network that has learned to draw the objects knows their parts. Its
features of a noisy latent, as DIFT reads them with the prompt "a photo of a {category}", are what this one
predicts from the clean picture, in one pass, without noise and without being told the category (as CleanDIFT
does for a U-Net, Stracke et al., 2025). So, unlike a real DINO, it stands on captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.methods.dino import DINOV2_SIDE
from baselines.networks.pixels import normalize_pixels
from baselines.tiny.captions import PLAIN
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import SIDE, PaddedPictures

if TYPE_CHECKING:
    import torch

PATCH = 8
WIDTH = 128
"""That of the features it predicts: a patch's token is their prediction, so that its cosines are theirs."""

FED = PATCH * round(SIDE * DINOV2_SIDE / PATCH)
"""Side in pixels of the padded picture, as DINOv2's recipe feeds it: 152."""

GRID = FED // PATCH
TIMESTEP = 100
PLACE = "up_blocks.1"


def make_vit() -> Any:
    """DINOv2's architecture: six layers of width 128, patches of 8 x 8 pixels."""
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


def train_vit(
    pictures: PaddedPictures,
    categories: Sequence[str],
    pipeline: Path,
    posteriors: tuple[torch.Tensor, torch.Tensor],
    folder: Path,
    schedule: Schedule,
    batch: int,
) -> None:
    """Trains it and keeps its running mean.

    Args:
        categories: of the pictures.
        pipeline: folder of the tiny Stable Diffusion.
        posteriors: mean and deviation of each picture's latents, stretched, in the pictures' order.
    """
    import torch
    import torch.nn.functional as F

    from baselines.stable_diffusion.backbone import StableDiffusion

    backbone = StableDiffusion(pipeline, precision="bf16")
    prompts = [backbone.condition(PLAIN.format(category=category)) for category in categories]
    mean, deviation = posteriors
    vit = make_vit()

    def features(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """(n, 128, 24, 24) of the stretched pictures."""
        with torch.no_grad():
            latents = mean[rows].float() + deviation[rows].float() * torch.randn(
                mean[rows].shape, generator=generator
            )
            noisy = backbone.noisy(latents, torch.randn(latents.shape, generator=generator), TIMESTEP)
            return backbone.activations(noisy, TIMESTEP, [prompts[row] for row in rows.tolist()], [PLACE])[
                PLACE
            ].float()

    # Channels differ in size: each is brought to mean 0 and deviation 1.
    sample = features(torch.arange(256), torch.Generator().manual_seed(0))
    shift, scale = sample.mean(dim=(0, 2, 3))[:, None], sample.std(dim=(0, 2, 3))[:, None]

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.sizes), (batch,), generator=generator)
        places, inside = _places(pictures.sizes[rows.numpy()])
        wanted = F.grid_sample(
            features(rows, generator), places, mode="bilinear", padding_mode="border", align_corners=False
        )
        wanted = ((wanted.flatten(2) - shift) / scale).transpose(1, 2)
        pixels = torch.from_numpy(pictures.pixels[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            states = vit.encoder(vit.embeddings(normalize_pixels(pixels)))
        tokens = getattr(states, "last_hidden_state", states)[:, 1:].float()
        errors = (tokens - wanted).square().mean(dim=2)
        apart = 1 - F.cosine_similarity(tokens, wanted, dim=2)
        loss, cosine = ((one * inside).sum() / inside.sum() for one in (errors + apart, apart))
        return {"loss": loss, "cosine": cosine}

    train(vit, losses_of, schedule, folder)
    vit.save_pretrained(folder)


def _places(sizes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the patches' centres of padded pictures lie in the stretched ones.

    Args:
        sizes: (n, 2) widths and heights.

    Returns:
        (n, 19, 19, 2) coordinates for `grid_sample`, from -1 to 1, and (n, 361): whether a centre lies on the
        picture.
    """
    import torch

    from harness.frames import Frame, Size

    steps = PATCH * (torch.arange(GRID) + 0.5)
    centres = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    places = torch.stack(
        [
            2 * Frame.padded(Size(*size), FED).to_original(centres) / torch.tensor(size, dtype=torch.float32)
            - 1
            for size in sizes.tolist()
        ]
    )
    return places, (places.abs() <= 1).all(dim=-1).flatten(1)
