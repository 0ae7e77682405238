"""Names of weight sources, each written once."""

from __future__ import annotations

CAPTIONER, ENCODER = "odise-captioner", "clip-vit-large-patch14-336"

BACKBONES = ("stable-diffusion-1-5", "stable-diffusion-2-1")
"""Sources of the Stable Diffusion that the prompt is for."""

SOURCE = "stable-diffusion-2-1"

DINO = "dinov2-base"
"""Source of the DINO whose patches the conditional prompting module sees."""
