"""The tiny Stable Diffusion: its three networks and their training."""

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
EMPTY_SHARE = 0.15
"""Share of samples whose caption is dropped."""

WINDOWED_SHARE = 0.9
"""Share of the autoencoder's steps that see windows of the pictures."""

GAMMA = 5.0
"""Clipping of the loss weight by signal-to-noise ratio (min-SNR, Hang et al., 2023)."""


def make_vae() -> Any:
    """Builds the autoencoder: 96 x 96 x 3 pixels, 24 x 24 x 4 latents."""
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
    """Builds the U-Net: levels of 24 x 24, 12 x 12 and 6 x 6.

    The two lower levels have self-attention, and cross-attention to the text.
    """
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
    """Builds CLIP's text transformer, two layers of width 192."""
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
    """Builds Stable Diffusion's noise schedule; the network predicts the noise."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def train_vae(
    pictures: Pictures,
    folder: Path,
    schedule: Schedule,
    batch: int,
) -> Any:
    """Trains the autoencoder: reconstruction in L1, edges included, and a little pressure on the posterior.

    In the end the latents' scale goes into its configuration.

    No layer attends across the picture, so most steps see windows of half its side, a quarter of the
    work; the last see it whole.
    """
    import torch
    import torch.nn.functional as F

    vae = make_vae()

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        pixels = _draw_batch(pictures, batch, generator)
        if step < WINDOWED_SHARE * schedule.steps:
            # Windows begin at whole latents.
            offsets = SIDE // 8 + 1
            top = 4 * int(torch.randint(offsets, (1,), generator=generator))
            left = 4 * int(torch.randint(offsets, (1,), generator=generator))
            pixels = pixels[..., top : top + SIDE // 2, left : left + SIDE // 2]
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        decoded = decoded.float()
        reconstruction = F.l1_loss(decoded, pixels)
        edges = sum(F.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis)) for axis in (2, 3))
        # diffusers sums over an image's latents.
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return {"loss": reconstruction + edges + 1e-3 * kl, "reconstruction": reconstruction, "kl": kl}

    train(vae, losses_of, schedule, folder)
    # Scaled latents have deviation 1, as in every published Stable Diffusion.
    means = []
    with torch.no_grad():
        for start in range(0, 1000, 50):
            pixels = _pixels(pictures, np.arange(start, start + 50))
            means.append(vae.encode(pixels).latent_dist.mean)
    deviation = float(torch.cat(means).std())
    vae.register_to_config(scaling_factor=round(1 / deviation, 5))
    vae.save_pretrained(folder)
    return vae


def train_unet(
    pictures: Pictures,
    vae_folder: Path,
    folder: Path,
    schedule: Schedule,
    batch: int,
    compiled: bool = False,
) -> None:
    """Trains U-Net and text encoder together to predict the noise in a latent, given its caption.

    Args:
        vae_folder: of the trained autoencoder.
        folder: gets `unet/`, `text_encoder/` and `tokenizer/`.
        compiled: whether `torch.compile` is used: minutes to start, then a quarter faster.
    """
    import torch
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import AttnProcessor
    from transformers import CLIPTokenizer

    write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    vae = AutoencoderKL.from_pretrained(vae_folder, low_cpu_mem_usage=False)
    mean, std = posteriors(vae, pictures, folder.parent)
    scheduler, unet, text = make_scheduler(), make_unet(), make_text_encoder(tokenizer)
    # On a CPU, attention written out trains half again as fast as the fused kernel.
    unet.set_attn_processor(AttnProcessor())
    if compiled:
        unet.compile()
    model = torch.nn.ModuleDict({"unet": unet, "text_encoder": text})
    # The last row is the empty caption, which dropped ones become.
    captions = [*pictures.captions, ""]
    token_ids = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True).input_ids
    tokens = torch.tensor(token_ids)

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.captions), (batch,), generator=generator)
        is_dropped = torch.rand(batch, generator=generator) < EMPTY_SHARE
        words = tokens[torch.where(is_dropped, len(pictures.captions), rows)]
        clean = vae.config.scaling_factor * draw_latents(mean[rows], std[rows], generator)
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = draw_timesteps(batch, generator)
        with torch.autocast("cpu", torch.bfloat16):
            states = text(words).last_hidden_state
            noisy = scheduler.add_noise(clean, noise, timesteps)
            predicted = unet(noisy, timesteps, states).sample
        return denoising_losses(predicted, noise, scheduler.alphas_cumprod[timesteps])

    train(model, losses_of, schedule, folder)
    unet.save_pretrained(folder / "unet")
    text.save_pretrained(folder / "text_encoder")


def draw_timesteps(number: int, generator: torch.Generator) -> torch.Tensor:
    """Draws (n,) timesteps, int64 below 1000.

    Features are read at t of 50 to 261, so low timesteps come more often: half of them are below 400.
    """
    import torch

    return (1000 * torch.rand(number, generator=generator) ** 1.3).long()


def posteriors(vae: Any, pictures: Pictures, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of every picture's posterior, each (n, 4, 24, 24) float16.

    Pictures are encoded once and kept in `folder`.
    """
    import torch
    from tqdm import tqdm

    path = folder / f"latents-{len(pictures.captions)}.npy"
    if not path.is_file():
        chunks = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            starts = range(0, len(pictures.captions), 100)
            for start in tqdm(starts, desc="encoding", disable=None):
                pixels = _pixels(pictures, np.arange(start, min(start + 100, len(pictures.captions))))
                posterior = vae.encode(pixels).latent_dist
                chunks.append(torch.stack([posterior.mean, posterior.std]).half())
        np.save(path, torch.cat(chunks, dim=1).numpy())
    moments = torch.from_numpy(np.load(path))
    return moments[0], moments[1]


def draw_latents(mean: torch.Tensor, std: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draws latents before scaling from posteriors, (n, 4, 24, 24) float32."""
    import torch

    return mean.float() + std.float() * torch.randn(mean.shape, generator=generator)


def denoising_losses(predicted: torch.Tensor, noise: torch.Tensor, signal: torch.Tensor) -> Losses:
    """Losses of predicted noise, weighted by the signal-to-noise ratio (min-SNR).

    Args:
        predicted, noise: (n, 4, h, w).
        signal: (n,) share of the signal's variance at the timesteps.
    """
    errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
    snr = signal / (1 - signal)
    # Hang et al.'s weight for a network that predicts noise: min(SNR, gamma) / SNR.
    weighted = errors * snr.clamp(max=GAMMA) / snr
    return {"loss": weighted.mean(), "error": errors.mean()}


def _draw_batch(pictures: Pictures, size: int, generator: torch.Generator) -> torch.Tensor:
    """(size, 3, 96, 96) pixels of pictures drawn at random."""
    import torch

    rows = torch.randint(len(pictures.captions), (size,), generator=generator)
    return _pixels(pictures, rows.numpy())


def _pixels(pictures: Pictures, rows: np.ndarray) -> torch.Tensor:
    """(n, 3, 96, 96) pixels in [-1, 1]."""
    import torch

    pixels = torch.from_numpy(pictures.pixels[rows]).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1
