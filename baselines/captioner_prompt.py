"""The prompt type `implicit-captioner`, described without importing what makes it (`baselines.implicit_captioner`)."""

from __future__ import annotations

from harness.specs import MakeContext, Prompt, PromptSpec

CAPTIONER, ENCODER = "odise-captioner", "clip-vit-large-patch14-336"
BACKBONES = ("stable-diffusion-1-5", "stable-diffusion-2-1")
"""Sources of the Stable Diffusion that the prompt is for."""


def _make(context: MakeContext) -> Prompt:
    from baselines.implicit_captioner import make_prompt

    return make_prompt(context)


PROMPT = PromptSpec(
    name="implicit-captioner",
    kind="stable-diffusion",
    scope="image",
    make=_make,
    weights=(CAPTIONER, ENCODER),
    description="made from the image's own CLIP embedding (ODISE, SD+DINO)",
)
