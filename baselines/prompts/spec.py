"""The prompt type `implicit-captioner`, described without importing torch.

Prompts are made by `baselines.prompts.implicit_captioner`.
"""

from __future__ import annotations

from baselines.citations import ODISE
from baselines.sources import CAPTIONER, CLIP_IMAGE_ENCODER
from harness.specs import MakeContext, Prompt, PromptSpec


def _make(context: MakeContext) -> Prompt:
    from baselines.prompts.implicit_captioner import make_prompt

    return make_prompt(context)


PROMPT = PromptSpec(
    name="implicit-captioner",
    kind="stable-diffusion",
    scope="image",
    make=_make,
    weights=(CAPTIONER, CLIP_IMAGE_ENCODER),
    description="made from the image's own CLIP embedding (ODISE, SD+DINO)",
    citation=ODISE,
)
