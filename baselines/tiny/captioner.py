"""The tiny implicit captioner: it learns prompts that help the frozen tiny Stable Diffusion to denoise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.networks.pixels import normalize_pixels
from baselines.tiny.diffusion import denoising_losses, draw_latents, draw_timesteps, posteriors
from baselines.tiny.loop import Losses, Schedule, train
from baselines.tiny.pictures import Pictures

if TYPE_CHECKING:
    import torch


def train_captioner(
    pictures: Pictures,
    pipeline: Path,
    vit: Path,
    folder: Path,
    schedule: Schedule,
    batch: int,
) -> None:
    """Trains projections, positions and gates with the U-Net's training loss; every network is frozen.

    Args:
        pipeline: folder of the tiny Stable Diffusion.
        vit: folder of the tiny vision transformer, whose embedding of an image the captioner reads.
        folder: gets `captioner.safetensors`.
        batch: pictures of a step.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    from safetensors.torch import save_file

    from baselines.prompts.implicit_captioner import ImplicitCaptioner
    from baselines.stable_diffusion.backbone import StableDiffusion

    backbone = StableDiffusion(pipeline)
    empty = backbone.text_states("")
    unet: Any = UNet2DConditionModel.from_pretrained(pipeline, subfolder="unet", low_cpu_mem_usage=False)
    unet = unet.requires_grad_(False).float()
    # Attention is written out, as in the U-Net's own training.
    unet.set_attn_processor(AttnProcessor())
    scheduler: Any = DDIMScheduler.from_pretrained(pipeline, subfolder="scheduler")
    vae: Any = AutoencoderKL.from_pretrained(pipeline, subfolder="vae", low_cpu_mem_usage=False)
    mean, std = posteriors(vae, pictures, folder.parent)
    embeddings = _embeddings(pictures, vit)
    captioner = ImplicitCaptioner(embeddings.shape[1], empty.shape[1], backbone.card.time_width)
    # Each step leaves here what the hook adds to the timestep's embedding.
    shift: dict[str, torch.Tensor] = {}
    unet.time_embedding.register_forward_hook(
        lambda module, inputs, output: output + shift["time"].to(output.dtype)
    )

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.randint(len(pictures.captions), (batch,), generator=generator)
        clean = vae.config.scaling_factor * draw_latents(mean[rows], std[rows], generator)
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = draw_timesteps(batch, generator)
        states, shift["time"] = captioner(embeddings[rows])
        with torch.autocast("cpu", torch.bfloat16):
            noisy = scheduler.add_noise(clean, noise, timesteps)
            predicted = unet(noisy, timesteps, empty + states).sample
        return denoising_losses(predicted, noise, scheduler.alphas_cumprod[timesteps])

    train(captioner, losses_of, schedule, folder)
    save_file(captioner.tensors(), folder / "captioner.safetensors")


def _embeddings(pictures: Pictures, vit: Path) -> torch.Tensor:
    """(n, image_width) of all pictures, as the prompt computes them."""
    import torch

    from baselines.prompts.implicit_captioner import ImageEncoder

    encoder = ImageEncoder(vit, "cpu", "fp32")
    chunks = []
    for start in range(0, len(pictures.captions), 100):
        squares = torch.from_numpy(pictures.pixels[start : start + 100])
        pixels = squares.permute(0, 3, 1, 2).float() / 255
        chunks.append(encoder.embed(normalize_pixels(pixels)))
    return torch.cat(chunks)
