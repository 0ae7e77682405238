"""The tiny Stable Diffusion: its three networks, and what each is trained for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baselines.tiny.captions import LENGTH, write_tokenizer
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import SIDE, Pictures

if TYPE_CHECKING:
    import torch

LATENT_SIDE = SIDE // 4
TEXT_WIDTH = 192
EMPTY = 0.15
"""Share of samples whose caption is dropped."""

WINDOWED = 0.9
"""Share of the autoencoder's steps that see windows of the pictures."""

GAMMA = 5.0
"""Clipping of the loss weight by signal-to-noise ratio (min-SNR, Hang et al., 2023)."""


def make_vae() -> Any:
    """Autoencoder: 96 x 96 x 3 pixels, 24 x 24 x 4 latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        layers_per_block=1,
        sample_size=SIDE,
        mid_block_add_attention=False,
    )


def make_unet() -> Any:
    """Three levels of 24 x 24, 12 x 12 and 6 x 6; attention, to itself and to the text, on the two lower ones."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        use_linear_projection=True,
    )


def make_text_encoder(tokenizer: Any) -> Any:
    """CLIP's text transformer, two layers of width 192."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=TEXT_WIDTH,
    )
    return CLIPTextModel(config)


def make_scheduler() -> Any:
    """Stable Diffusion's noise schedule; the network predicts the noise."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def train_vae(pictures: Pictures, folder: Path, schedule: Schedule, batch: int) -> Any:
    """Reconstruction in L1, edges included, and a little pressure on the posterior; ends with the latents' scale in its configuration.

    Nothing in it attends across the picture, so most steps see windows of half its side, a quarter of the
    work; the last see it whole.
    """
    import torch
    import torch.nn.functional as F

    vae = make_vae()

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        x = _batch(pictures, batch, generator)
        if step < WINDOWED * schedule.steps:
            top, left = (4 * int(torch.randint(SIDE // 8 + 1, (1,), generator=generator)) for _ in range(2))
            x = x[..., top : top + SIDE // 2, left : left + SIDE // 2]
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        decoded = decoded.float()
        reconstruction = F.l1_loss(decoded, x)
        edges = sum(F.l1_loss(decoded.diff(dim=axis), x.diff(dim=axis)) for axis in (2, 3))
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return {"loss": reconstruction + edges + 1e-3 * kl, "reconstruction": reconstruction, "kl": kl}

    train(vae, losses_of, schedule, folder)
    with torch.no_grad():
        means = torch.cat(
            [
                vae.encode(_pixels(pictures, np.arange(start, start + 50))).latent_dist.mean
                for start in range(0, 1000, 50)
            ]
        )
    vae.register_to_config(scaling_factor=round(1 / float(means.std()), 5))
    vae.save_pretrained(folder)
    return vae


def train_unet(
    pictures: Pictures, vae_folder: Path, folder: Path, schedule: Schedule, batch: int, compiled: bool = False
) -> None:
    """The noise that was added to a latent, given its caption, by U-Net and text encoder together.

    Args:
        compiled: through `torch.compile`: minutes to start, then a quarter faster.
    """
    import torch
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import AttnProcessor
    from transformers import CLIPTokenizer

    write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    vae = AutoencoderKL.from_pretrained(vae_folder)
    mean, std = latents(vae, pictures, folder.parent)
    scheduler, unet, text = make_scheduler(), make_unet(), make_text_encoder(tokenizer)
    # On a CPU, attention written out trains half again as fast as the fused kernel.
    unet.set_attn_processor(AttnProcessor())
    if compiled:
        unet.compile()
    model = torch.nn.ModuleDict({"unet": unet, "text_encoder": text})
    tokens = torch.tensor(
        tokenizer(
            [*pictures.captions, ""], padding="max_length", max_length=LENGTH, truncation=True
        ).input_ids
    )
    signal = scheduler.alphas_cumprod
    scale = vae.config.scaling_factor

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.captions), (batch,), generator=generator)
        dropped = torch.rand(batch, generator=generator) < EMPTY
        words = tokens[torch.where(dropped, len(pictures.captions), rows)]
        clean = scale * (
            mean[rows].float() + std[rows].float() * torch.randn(mean[rows].shape, generator=generator)
        )
        noise = torch.randn(clean.shape, generator=generator)
        t = draw_timesteps(batch, generator)
        with torch.autocast("cpu", torch.bfloat16):
            states = text(words).last_hidden_state
            predicted = unet(scheduler.add_noise(clean, noise, t), t, states).sample
        errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        snr = signal[t] / (1 - signal[t])
        return {"loss": (errors * snr.clamp(max=GAMMA) / snr).mean(), "error": errors.mean()}

    train(model, losses_of, schedule, folder)
    unet.save_pretrained(folder / "unet")
    text.save_pretrained(folder / "text_encoder")


def draw_timesteps(number: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) int64 below 1000. Features are read at t of 50 to 261, so low ones come more often: half are below 400."""
    import torch

    return (1000 * torch.rand(number, generator=generator) ** 1.3).long()


def latents(vae: Any, pictures: Pictures, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the posterior of every picture, (n, 4, 24, 24) float16, encoded once."""
    import torch
    from tqdm import tqdm

    path = folder / f"latents-{len(pictures.captions)}.npy"
    if not path.is_file():
        rows = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for start in tqdm(range(0, len(pictures.captions), 100), desc="encoding", disable=None):
                posterior = vae.encode(_pixels(pictures, np.arange(start, start + 100))).latent_dist
                rows.append(torch.stack([posterior.mean, posterior.std]).half())
        np.save(path, torch.cat(rows, dim=1).numpy())
    both = torch.from_numpy(np.load(path))
    return both[0], both[1]


def _batch(pictures: Pictures, size: int, generator: torch.Generator) -> torch.Tensor:
    import torch

    return _pixels(pictures, torch.randint(len(pictures.captions), (size,), generator=generator).numpy())


def _pixels(pictures: Pictures, rows: np.ndarray) -> torch.Tensor:
    """(n, 3, 96, 96) in [-1, 1]."""
    import torch

    return torch.from_numpy(pictures.pixels[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
