"""Diffusion Hyperfeatures' extractors, reading, recipes and weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from baselines.methods.dift import PROMPT_KINDS
from baselines.sources import STABLE_DIFFUSION_1_5
from harness.localizers.make import make_localizer
from harness.specs import (
    NOT_STATED,
    ExtractorSpec,
    ImageExtractor,
    LocalizerSpec,
    MakeContext,
    MethodSpec,
    WeightSource,
)
from heads.hyperfeatures.citation import HYPERFEATURES as CITATION
from heads.weights import bundled_head, read_training

SOURCE = "hyperfeatures"
ONE_STEP = "hyperfeatures-one-step"

STEPS, EVERY = 50, 5
"""Passes of the published inversion, and the distance of those that are kept."""

POSTERIORS = ("sampled", "mean")
"""Values of the parameter `posterior`."""


def native_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels that the backbone was trained at."""
    from baselines.stable_diffusion.card import Card

    side = Card.of(weights[STABLE_DIFFUSION_1_5]).native
    return side, side


def make_extractor(context: MakeContext, source: str) -> ImageExtractor:
    """Makes the extractor of a source's aggregation network."""
    from heads.hyperfeatures.extractor import Hyperfeatures

    return Hyperfeatures(context, source)


def _extractor(source: str, steps: int, description: str) -> ExtractorSpec:
    return ExtractorSpec(
        name=source,
        make=partial(make_extractor, source=source),
        scope="image",
        prompt_kinds=PROMPT_KINDS,
        image_size=native_size,
        params={"steps": steps, "every": EVERY, "posterior": "sampled"},
        param_help={
            "steps": "passes through the U-Net from the picture to noise; the network is made for a number",
            "every": "features are kept of each so many steps from the noisiest one on, and of the first",
            "posterior": "latents from the VAE's posterior: sampled (by seed and image), or mean",
        },
        param_choices={"posterior": POSTERIORS},
        weights=(STABLE_DIFFUSION_1_5, source),
        citation=CITATION,
        description=description,
    )


EXTRACTORS = (
    _extractor(SOURCE, STEPS, "the decoder's convolutions at 11 of 50 steps to noise, aggregated"),
    _extractor(ONE_STEP, 1, "the decoder's convolutions for the picture without noise, aggregated"),
)

LOCALIZERS = (
    LocalizerSpec(
        name="argmax-frame",
        make=partial(make_localizer, "heads.hyperfeatures.localizer", "ArgmaxFrame"),
        grid="half-pixel",
        citation=CITATION,
        description="the most similar pixel of the square that the network is fed (Diffusion Hyperfeatures)",
    ),
)

_NOTES = (
    "Follows the authors' code: stretched to 512 x 512 (bilinear), a sample of the VAE's posterior, DDIM "
    "inversion with the empty text and no guidance, whose first pass is told t -1 for latents without noise "
    "and each later one the timestep of its latents; outputs of the second convolution of the decoder's "
    "residual blocks before their sum, brought to 64 x 64; one bottleneck per layer, shared by the "
    "timesteps, one weight per timestep and layer. A query is the nearest pixel of the square, a prediction "
    "the pixel of the highest cosine; its number is scaled to the picture without half a pixel. Their points "
    "count with <=. Differs: the sample belongs to (seed, image), theirs is unseeded; float32 where theirs "
    "is half precision (--precision changes the U-Net's alone); blocks are never compiled. Their paper reads "
    "at 224 x 224 to compare with DINO, their training program at 512. Their SPair-71k numbers are of 360 "
    "pairs. Their network for Stable Diffusion 2-1 was trained on its 512-pixel base model: give both by "
    "--weights."
)

METHODS = (
    MethodSpec(
        name=SOURCE,
        extractor=SOURCE,
        prompt="empty",
        localizer="argmax-frame",
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="Diffusion Hyperfeatures (2023): Stable Diffusion 1-5's decoder at 11 timesteps, "
        "aggregated; 50 passes for a picture",
        citation=CITATION,
        notes=_NOTES,
    ),
    MethodSpec(
        name=ONE_STEP,
        extractor=ONE_STEP,
        prompt="empty",
        localizer="argmax-frame",
        supervision="K",
        trained_on="spair-71k",
        tuned_on=(NOT_STATED,),
        description="Diffusion Hyperfeatures of one pass, for the picture without noise",
        citation=CITATION,
        notes=_NOTES,
    ),
)


def _source(name: str, file: str, description: str) -> WeightSource:
    return WeightSource(
        name=name,
        mirrors=("g-luo/diffusion-hyperfeatures",),
        file=f"weights/{file}",
        stand_in=f"tiny-{name}",
        training=read_training,
        citation=CITATION,
        description=f"{description}; no licence; read with torch.load(weights_only=True)",
    )


WEIGHTS = (
    _source(SOURCE, "aggregation_network.pt", "Hyperfeatures' aggregation network for 11 timesteps"),
    _source(ONE_STEP, "aggregation_network_one-step.pt", "Hyperfeatures' aggregation network for one pass"),
    bundled_head(SOURCE, "a small aggregation network for 11 timesteps, trained on keypoints"),
    bundled_head(ONE_STEP, "a small aggregation network for one pass, trained on keypoints"),
)
