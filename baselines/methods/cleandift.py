"""CleanDIFT (Stracke et al., 2025): DIFT's features from a U-Net that reads pictures without noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baselines.citations import CLEANDIFT as CITATION
from baselines.methods.dift import (
    PROMPT_KINDS,
    RESAMPLES,
    StretchedFeatures,
    fed_size,
)
from baselines.sources import CLEANDIFT, STABLE_DIFFUSION_2_1
from harness.specs import NOT_STATED, ExtractorSpec, ImageRequest, MakeContext, MethodSpec

if TYPE_CHECKING:
    import torch

POSTERIORS = ("mean", "sampled")
"""Values of the parameter `posterior`."""


class CleanFeatures(StretchedFeatures):
    """Activations of the tuned U-Net for stretched images, without noise (an `ImageExtractor`).

    The U-Net is given the scaled latents as they are: no noise is mixed in, and they are not made smaller as
    the noise schedule would. `timestep` is what it is told, not what is done to its input.
    """

    def __init__(self, context: MakeContext) -> None:
        super().__init__(context, context.weights[CLEANDIFT])

    def _latents(self, request: ImageRequest, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        """(1, 4, h, w): input of the U-Net for one image."""
        from baselines.stable_diffusion.backbone import draw_noise

        latents = mean
        if self._posterior == "sampled":
            draw = draw_noise(mean.shape, "posterior", request.seed, request.identity, "clean")
            latents = mean + std * draw.to(mean.device)
        return self.backbone.clean(latents[None])


EXTRACTOR = ExtractorSpec(
    name="clean-stable-diffusion",
    make=CleanFeatures,
    scope="image",
    prompt_kinds=PROMPT_KINDS,
    fed_size=fed_size,
    params={"timestep": 261, "level": "up-block 1", "posterior": "mean", "resample": "bicubic"},
    param_help={
        "timestep": "timestep that the U-Net is told; its input has no noise whatever it is",
        "level": "decoder features that are read: 'up-block 0' to 'up-block 3', or s5, s4, s3",
        "posterior": "latents from the VAE's posterior: mean, or sampled (by seed and image)",
        "resample": "filter that resizes the image: bilinear or bicubic (Pillow's), or bilinear-tensor, "
        "which neither smooths what becomes smaller nor rounds to bytes (SD4Match's test.py)",
    },
    param_choices={"posterior": POSTERIORS, "resample": RESAMPLES},
    weights=(STABLE_DIFFUSION_2_1, CLEANDIFT),
    citation=CITATION,
    description="decoder features of CleanDIFT's U-Net for a stretched image without noise",
)

METHOD = MethodSpec(
    name="cleandift",
    extractor="clean-stable-diffusion",
    prompt="category",
    localizer="argmax-original",
    tuned_on=(NOT_STATED,),
    description="CleanDIFT (2025): DIFT with a U-Net tuned to need no noise and no ensemble, up-block 1",
    notes=(
        "DIFT's pipeline with another U-Net beside Stable Diffusion 2-1's VAE and text encoder: 768 x 768 "
        "stretched, latents without noise and not scaled down by the noise schedule, one pass, 'a photo of a "
        "{category}' (the authors write 'A photo of a'; the text encoder does not tell case), argmax of the "
        "cosine at original resolution. The U-Net is told t 261, as in the authors' evaluation; their "
        "notebook takes the value that was learned from there on, which their larger file holds. Of that "
        "file the U-Net alone is read: the projection heads, whose norm takes its scale for its shift by "
        "mistake, have no part in the features. Ours: the mean of the VAE's posterior, so that features do "
        "not depend on the seed; posterior=sampled draws by seed and image."
    ),
    citation=CITATION,
)
