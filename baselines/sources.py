"""Names of the baselines' weight sources; `baselines.weights` describes their files."""

from __future__ import annotations

STABLE_DIFFUSION_1_5 = "stable-diffusion-1-5"
STABLE_DIFFUSION_2_1 = "stable-diffusion-2-1"

STABLE_DIFFUSIONS = (STABLE_DIFFUSION_1_5, STABLE_DIFFUSION_2_1)
"""Backbones that a prompt of kind `stable-diffusion` can condition."""

DINOV1 = "dino-vits8"
DINOV2 = "dinov2-base"
DINOV2_LARGE_REGISTERS = "dinov2-large-registers"
DINOV3 = "dinov3-vitb16"
IBOT = "ibot-base"

CLEANDIFT = "cleandift"

CLIP_IMAGE_ENCODER = "clip-vit-large-patch14-336"
CAPTIONER = "odise-captioner"

TINY_STABLE_DIFFUSION = "tiny-stable-diffusion"
TINY_CLEANDIFT = "tiny-cleandift"
TINY_DINO = "tiny-dino"
TINY_CAPTIONER = "tiny-captioner"
