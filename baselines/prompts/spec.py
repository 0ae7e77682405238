"""The prompt types `implicit-captioner` and `captions`, described without importing torch.

Prompts are made by `baselines.prompts.implicit_captioner` and `baselines.prompts.captions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from baselines.citations import ODISE
from baselines.sources import CAPTIONER, CLIP_IMAGE_ENCODER
from harness.specs import MakeContext, Prompt, PromptSpec


def _make_implicit_captioner(context: MakeContext) -> Prompt:
    from baselines.prompts.implicit_captioner import make_prompt

    return make_prompt(context)


def _make_captions(context: MakeContext) -> Prompt:
    from baselines.prompts.captions import make_captions

    return make_captions(context)


def _check_captions(context: MakeContext) -> Sequence[str]:
    from baselines.prompts.captions import check_captions

    return check_captions(context)


PROMPTS = (
    PromptSpec(
        name="implicit-captioner",
        kind="stable-diffusion",
        scope="image",
        make=_make_implicit_captioner,
        weights=(CAPTIONER, CLIP_IMAGE_ENCODER),
        description="made from the image's own CLIP embedding (ODISE, SD+DINO)",
        citation=ODISE,
    ),
    PromptSpec(
        name="captions",
        kind="text",
        scope="image",
        make=_make_captions,
        check_file=_check_captions,
        description="a text for each image from a file of yours, captions=FILE: JSON, or CSV",
    ),
)
