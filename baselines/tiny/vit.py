"""The tiny DINO: DINOv2's architecture, trained without labels as a masked autoencoder (He et al., 2022).

Three quarters of a picture's patches are left out; from the rest the network has to say what they show. That takes knowing which part of
which object a visible patch is, and what lies beside it. Self-distillation between views, as DINO does it, was tried first: on so few
pictures it is solved by colours alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.dino import normalised
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import SIDE, Pictures

if TYPE_CHECKING:
    import torch

PATCH = 6
GRID = SIDE // PATCH
WIDTH = 144
LAYERS = 6
DECODER_WIDTH, DECODER_LAYERS = 96, 2
VISIBLE = 64
"""Patches of 256 that the network sees."""


def make_vit(width: int = WIDTH, layers: int = LAYERS) -> Any:
    """DINOv2's architecture: six layers of width 144, patches of 6 x 6 pixels."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 24,
        mlp_ratio=4,
        image_size=SIDE,
        patch_size=PATCH,
        layerscale_value=1.0,
        use_swiglu_ffn=False,
    )
    # On a CPU, attention written out trains twice as fast as the fused kernel.
    config._attn_implementation = "eager"
    return Dinov2Model(config)


def make_decoder() -> Any:
    """Visible tokens, and one token in the place of each other patch -> pixels; thrown away after training."""
    import torch
    from torch import nn

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(WIDTH, DECODER_WIDTH)
            self.absent = nn.Parameter(torch.zeros(1, 1, DECODER_WIDTH))
            self.position = nn.Parameter(0.02 * torch.randn(1, GRID * GRID, DECODER_WIDTH))
            self.layers = make_vit(DECODER_WIDTH, DECODER_LAYERS).encoder
            self.leave = nn.Sequential(nn.LayerNorm(DECODER_WIDTH), nn.Linear(DECODER_WIDTH, 3 * PATCH * PATCH))

        def forward(self, states: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
            """(n, 1 + visible, WIDTH) and (n, 256) patches, visible ones first -> (n, 256, 108) in that order."""
            tokens = self.enter(states[:, 1:])
            absent = self.absent.to(tokens.dtype).expand(len(tokens), order.shape[1] - tokens.shape[1], -1)
            position = self.position.expand(len(tokens), -1, -1).gather(1, order[..., None].expand(-1, -1, DECODER_WIDTH))
            decoded = self.layers(torch.cat([tokens, absent], dim=1) + position)
            pixels: torch.Tensor = self.leave(getattr(decoded, "last_hidden_state", decoded))
            return pixels

    return Decoder()


def train_vit(pictures: Pictures, folder: Path, schedule: Schedule, batch: int) -> None:
    """Trains encoder and decoder and keeps the encoder's running mean."""
    import torch

    model = torch.nn.ModuleDict({"vit": make_vit(), "decoder": make_decoder()})
    vit: Any = model["vit"]

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.captions), (batch,), generator=generator).numpy()
        images = torch.from_numpy(pictures.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        views = normalised(_cut(images, _crops(batch, generator)))
        order = torch.rand(batch, GRID * GRID, generator=generator).argsort(dim=1)
        with torch.autocast("cpu", torch.bfloat16):
            embedded = vit.embeddings(views)
            seen = _gathered(embedded[:, 1:], order[:, :VISIBLE])
            states = vit.encoder(torch.cat([embedded[:, :1], seen], dim=1))
            states = vit.layernorm(getattr(states, "last_hidden_state", states))
            predicted = model["decoder"](states, order)[:, VISIBLE:].float()
        errors = (predicted - _gathered(_patches(views), order[:, VISIBLE:])).square()
        return {"loss": errors.mean()}

    train(model, losses_of, schedule, folder)
    vit.save_pretrained(folder)


def _gathered(tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(n, tokens, width) and (n, m) -> (n, m, width)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


def _patches(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, 96, 96) -> (n, 256, 108), in rows from the top left."""
    import torch.nn.functional as F

    return F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)


def _crops(number: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 4) boxes x, y, width, height in shares of the picture, covering 35 to 100 % of it, nearly square."""
    import torch

    area, tall = 0.35 + 0.65 * torch.rand(number, generator=generator), torch.exp(0.25 * (2 * torch.rand(number, generator=generator) - 1))
    size = torch.stack([(area / tall).sqrt(), (area * tall).sqrt()], dim=1).clamp(max=1)
    return torch.cat([torch.rand(number, 2, generator=generator) * (1 - size), size], dim=1)


def _cut(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The crops, resized to the pictures' size."""
    import torch
    import torch.nn.functional as F

    steps = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = (boxes[:, axis, None] + boxes[:, axis + 2, None] * steps for axis in (0, 1))
    grid = torch.stack([x[:, None, :].expand(-1, SIDE, -1), y[:, :, None].expand(-1, -1, SIDE)], dim=-1)
    return F.grid_sample(images, 2 * grid - 1, mode="bilinear", padding_mode="border", align_corners=False)
