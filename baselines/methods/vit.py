"""Any vision transformer by name, as a method: patch features, nearest neighbour by cosine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import PIL.Image

from baselines import citations
from baselines.sources import DINOV2
from baselines.vit.families import AnyCard
from harness.frames import PatchGrid
from harness.preprocess import padded, padded_maps, prepared_batch, stretched, stretched_maps
from harness.specs import NOT_STATED, ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec, Scalar

if TYPE_CHECKING:
    from baselines.vit.backbone import Facet


class VitFeatures:
    """Features of a vision transformer's patches (an `ImageExtractor`).

    Parameters: `layer` (negative numbers count from the end), `facet` (`baselines.vit.backbone.Facet`),
    `size` (side of the square in pixels, in whole patches; None for the native one), `stride` (from one patch
    to the next, as a share of the patch), `resize` (`padded` or `stretched`). `model` is among the weights.

    Raises:
        UserError: the folder does not hold a vision transformer, or it does not take a parameter.
    """

    def __init__(self, context: MakeContext) -> None:
        from baselines.vit.any_backbone import AnyVisionTransformer

        params, folder = context.params, context.weights[DINOV2]
        card = AnyCard.of(folder)
        self._side = card.side(_size(params))
        stride = card.sizes.stride(Fraction(str(params["stride"])))
        self.backbone = AnyVisionTransformer(
            folder, self._side, stride, context.device, context.precision, context.compiled
        )
        self._grid = PatchGrid(card.sizes.patch, stride)
        self._layer, self._facet = int(str(params["layer"])), cast("Facet", params["facet"])
        self._is_padded = params["resize"] == "padded"
        lanczos = PIL.Image.Resampling.LANCZOS
        if self._is_padded:
            self.prepare = partial(padded, side=self._side, resample=lanczos)
        else:
            self.prepare = partial(stretched, size=(self._side, self._side), resample=lanczos)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each image, padded in black to a square or stretched to it."""
        pixels = prepared_batch(requests, self.prepare, self.backbone.device)
        features = self.backbone.features(pixels, self._layer, self._facet)
        if self._is_padded:
            return padded_maps(features, requests, self._side, self._grid)
        return stretched_maps(features, requests, (self._side, self._side), self._grid)


def _size(params: Mapping[str, Scalar]) -> int | None:
    size = params.get("size")
    return None if size is None else int(size)


def _fed_size(weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[int, int]:
    side = AnyCard.of(weights[DINOV2]).side(_size(params))
    return side, side


def _remarks(weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[str, ...]:
    card = AnyCard.of(weights[DINOV2])
    card.sizes.block(int(str(params["layer"])))
    card.check_facet(str(params["facet"]))
    card.check_stride(card.sizes.stride(Fraction(str(params["stride"]))))
    return (*card.remarks, *card.size_remarks(_size(params)))


EXTRACTOR = ExtractorSpec(
    name="vit",
    make=VitFeatures,
    fed_size=_fed_size,
    remarks=_remarks,
    params={
        "model": None,
        "layer": -1,
        "facet": "token",
        "size": None,
        "stride": 1,
        "resize": "padded",
    },
    param_help={
        "model": (
            "folder of transformers, a name of 'bench weights list', or OWNER/NAME in the hub's cache; "
            "without one, dinov2-base"
        ),
        "layer": "transformer block that is read; 0 is the first, -1 the last",
        "facet": "features that are read of the block: token, token-norm, key, query or value",
        "size": "side in pixels of the square that is fed, in whole patches; without one, the native side",
        "stride": "distance from one patch to the next, as a share of the patch's side; 1 is without overlap",
        "resize": "how an image becomes a square: padded in black, or stretched",
    },
    param_kinds={"model": str, "size": int, "stride": float},
    param_choices={
        "facet": ("token", "token-norm", "key", "query", "value"),
        "resize": ("padded", "stretched"),
    },
    weights=(DINOV2,),
    weights_params={"model": DINOV2},
    description="features of any vision transformer's patches",
)

METHOD = MethodSpec(
    name="vit",
    extractor="vit",
    localizer="argmax-patch",
    tuned_on=(NOT_STATED,),
    description="any vision transformer by name (--set model=...): tokens of its last block",
    notes=(
        "Not a published recipe: one rule for all backbones, to compare them. The native size padded in "
        "black (Lanczos), tokens of the last block before the final norm, cosine. Positions are interpolated "
        "as transformers does for each family; dinov1 and dinov2 add a tenth of a cell, as their authors do. "
        "Without a model, dinov2-base. On which data a backbone was chosen is not stated."
    ),
    citation=citations.DINOV2,
)
