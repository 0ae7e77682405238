"""DINOv1 to 3 and iBOT as methods: patch features of the padded image, nearest neighbour by cosine.

Recipes are written relative to the backbone, so that a smaller one runs through the same code: the image's
side as a multiple of the native one, the layer counted from the end, the stride as a share of the patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import PIL.Image

from baselines import citations
from baselines.sources import DINOV1, DINOV2, DINOV3, IBOT
from baselines.vit.card import OFFSET_HELP
from baselines.vit.timm_files import HEADS_HELP, read_card
from harness.frames import PatchGrid
from harness.specs import NOT_STATED, ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec, Scalar

if TYPE_CHECKING:
    from baselines.vit.backbone import Facet

DINOV2_SIDE = Fraction(840, 518)
"""SD+DINO's 840 pixels for a backbone of native size 518: 60 x 60 patches."""


@dataclass(frozen=True)
class PaddedInput:
    """Input of an extractor's backbone: the image padded to a square.

    Attributes:
        weights: name of the backbone's weight source.
        factor: side of the square over the backbone's native side; rounded to whole patches.
    """

    weights: str
    factor: Fraction

    def fed_size(self, weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[int, int]:
        """Width and height in pixels.

        Raises:
            UserError: the backbone's configuration is damaged, or does not have what a parameter asks for.
        """
        card = read_card(weights[self.weights])
        layer = int(str(params["layer"]))
        card.block(layer)
        if params["facet"] == "token-norm":
            card.check_last(layer)
        card.stride(Fraction(str(params["stride"])))
        card.chosen_position_offset(params)
        side = card.side(self.factor)
        return side, side

    def make(self, context: MakeContext) -> PatchFeatures:
        """Makes the extractor."""
        return PatchFeatures(context, self)


class PatchFeatures:
    """Features of a DINO's patches (an `ImageExtractor`).

    Parameters: `layer` (negative numbers count from the end), `facet` (`baselines.vit.backbone.Facet`),
    `stride` (from one patch to the next, as a share of the patch), `position_offset` (`VitCard`), `heads`
    (`TimmFile.heads`).

    Raises:
        UserError: the folder or file does not hold a DINO, or the backbone does not have that stride.
    """

    def __init__(self, context: MakeContext, padded_input: PaddedInput) -> None:
        from baselines.vit.backbone import VisionTransformer
        from harness.preprocess import padded

        folder = context.weights[padded_input.weights]
        offset = read_card(folder).chosen_position_offset(context.params)
        heads = context.params.get("heads")
        self.backbone = VisionTransformer(
            folder,
            context.device,
            context.precision,
            context.compiled,
            offset,
            None if heads is None else int(heads),
        )
        card = self.backbone.card
        self._side = card.side(padded_input.factor)
        # By way of its text, so that 0.1 is exactly a tenth.
        self._stride = card.stride(Fraction(str(context.params["stride"])))
        self._layer = int(str(context.params["layer"]))
        self._facet = cast("Facet", context.params["facet"])
        self.prepare = partial(padded, side=self._side, resample=PIL.Image.Resampling.LANCZOS)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each image; (768, 60, 60) for DINOv2's base model.

        The longer side is resized to the square's, and the rest of the square is black.
        """
        from baselines.networks.pixels import normalize_pixels
        from harness.preprocess import padded_maps, prepared_batch

        pixels = normalize_pixels(prepared_batch(requests, self.prepare, self.backbone.device))
        features = self.backbone.features(pixels, self._layer, self._facet, self._stride)
        return padded_maps(features, requests, self._side, PatchGrid(self.backbone.card.patch, self._stride))


_PARAM_HELP = {
    "layer": "transformer block that is read; 0 is the first, -1 the last",
    "facet": "features that are read of the block: token, token-norm (last block only), key, query or value",
    "stride": "distance from one patch to the next, as a share of the patch's side; 1 is without overlap",
    "position_offset": OFFSET_HELP,
    "heads": HEADS_HELP,
}


# The default of 1 would make it a whole number, and one of None has no kind.
_PARAM_KINDS = {"stride": float, "position_offset": float, "heads": int}


def _extractor(
    name: str, weights: str, factor: Fraction, params: Mapping[str, Scalar], description: str
) -> ExtractorSpec:
    padded_input = PaddedInput(weights, factor)
    return ExtractorSpec(
        name=name,
        make=padded_input.make,
        fed_size=padded_input.fed_size,
        params=params,
        param_help={name: _PARAM_HELP[name] for name in params},
        param_kinds={name: kind for name, kind in _PARAM_KINDS.items() if name in params},
        param_choices={"facet": ("token", "token-norm", "key", "query", "value")},
        weights=(weights,),
        description=description,
    )


EXTRACTORS = (
    _extractor(
        "dinov1",
        DINOV1,
        Fraction(1),
        # Layer 9 of 12, counted from 0.
        {"layer": -3, "facet": "key", "stride": 0.5, "position_offset": None},
        "keys of DINOv1's tenth block, overlapping patches",
    ),
    _extractor(
        "dinov2",
        DINOV2,
        DINOV2_SIDE,
        {"layer": -1, "facet": "token", "stride": 1, "position_offset": None},
        "tokens of DINOv2's last block",
    ),
    _extractor(
        "dinov3",
        DINOV3,
        # 60 patches of 16 pixels, as many as DINOv2's recipe has.
        Fraction(960, 224),
        {"layer": -1, "facet": "token-norm", "stride": 1},
        "normed tokens of DINOv3's last block",
    ),
    _extractor(
        "ibot",
        IBOT,
        Fraction(2),
        {"layer": -1, "facet": "token-norm", "stride": 1, "position_offset": None, "heads": None},
        "normed tokens of iBOT's last block",
    ),
)

_NO_SETTINGS_STATED = (
    " SD4Match's paper has a row for it and does not state the settings. On which data layer and facet were "
    "chosen, SD+DINO's code does not say."
)

METHODS = (
    MethodSpec(
        name="dinov1",
        extractor="dinov1",
        localizer="argmax-patch",
        tuned_on=(NOT_STATED,),
        description="DINO (2021): ViT-S/8, keys of layer 9, stride 4 at 224 x 224",
        notes=(
            "Follows SD+DINO's code (DINOv1 alone), i.e. dino-vit-features without log binning: 224 x 224 "
            "padded in black (Lanczos), keys of all heads of layer 9 counted from 0 (the last but two), "
            "stride 4, 55 x 55 overlapping patches, cosine. On another backbone: its native size, the last "
            "block but two, half a patch. Positions are interpolated as the authors do (position_offset). "
            "Differs: of overlapping patches, a query is the one whose centre is nearest."
            + _NO_SETTINGS_STATED
        ),
        citation=f"{citations.DINO}\n\n{citations.DENSE_VIT_FEATURES}",
    ),
    MethodSpec(
        name="dinov2",
        extractor="dinov2",
        localizer="argmax-patch",
        tuned_on=(NOT_STATED,),
        description="DINOv2 (2023): ViT-B/14, tokens of the last block before the final norm, 840 x 840",
        notes=(
            "Follows SD+DINO's code (DINOv2 alone): 840 x 840 padded in black (Lanczos), 60 x 60 patches, "
            "layer 11 counted from 0 (the last) before the final norm, cosine. On another backbone: 840/518 "
            "of its native size, in whole patches. Positions are interpolated as the authors do "
            "(position_offset). Differs: a patch's centre is pixel 7 (theirs 6.5)."
            + _NO_SETTINGS_STATED
            + " Others report that SD+DINO's settings do not give its number."
        ),
        citation=citations.DINOV2,
    ),
    MethodSpec(
        name="dinov3",
        extractor="dinov3",
        localizer="argmax-patch",
        tuned_on=(NOT_STATED,),
        description="DINOv3 (2025): ViT-B/16, tokens of the last block after the final norm, 960 x 960",
        notes=(
            "Not a published recipe. As dinov2, with the same 60 x 60 patches: 960 x 960 padded in black "
            "(Lanczos), 960/224 of the native size that its configuration names; tokens after the final "
            "norm, since before it a few channels outweigh all others. On which data "
            "dinov2's layer was chosen is not stated."
        ),
        citation=citations.DINOV3,
    ),
    MethodSpec(
        name="ibot",
        extractor="ibot",
        localizer="argmax-patch",
        tuned_on=(),
        description="iBOT (2022): ViT-B/16, tokens of the last block after the final norm, 448 x 448",
        notes=(
            "Not a published recipe: the backbone that SimSC fine-tunes, as it is. 448 x 448 padded in black "
            "(Lanczos), twice the native size; tokens of the last block after the final norm, as iBOT's code "
            "hands them out; positions are interpolated as there (position_offset). Nothing was chosen by "
            "results. A file of the authors does not say its number of attention heads: there is one for "
            "each 64 channels in all that they published (heads)."
        ),
        citation=citations.IBOT,
    ),
)
