"""SD+DINO (Zhang et al., 2023), and its Stable Diffusion part alone (SD+DINO* in SD4Match's Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.methods.dift import PROMPT_KINDS
from baselines.methods.dino import DINOV2_SIDE
from baselines.sources import DINOV2, STABLE_DIFFUSION_1_5
from baselines.vit.card import OFFSET_HELP, VitCard
from harness.citations import SD_DINO
from harness.errors import UserError
from harness.frames import Frame
from harness.specs import NOT_STATED, ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec, Scalar
from harness.specs.lengths import power_of_two, unit_features

if TYPE_CHECKING:
    import torch

    from baselines.vit.padded_tokens import PaddedTokens

LEVELS = ("s3", "s4", "s5")

COMPONENTS = 256
"""Directions that PCA keeps at each level."""


def square_side(native: int, stride: int) -> int:
    """Side of the padded square: 15/8 of the native size, i.e. 960 of 512.

    It is a whole number of strides of the coarsest level that is read.
    """
    return round(native * 15 / 8 / stride) * stride


def fed_size(weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[int, int]:
    """Width and height in pixels of the padded image.

    Raises:
        UserError: a backbone's configuration is damaged, or does not have what a parameter asks for.
    """
    from baselines.stable_diffusion.card import Card

    card = Card.of(weights[STABLE_DIFFUSION_1_5])
    card.check_timestep(int(str(params["timestep"])))
    if params["dino"]:
        VitCard.of(weights[DINOV2]).chosen_position_offset(params)
    side = square_side(card.native, card.strides["s5"])
    return side, side


class SDDino:
    """Decoder states of padded images, reduced by a PCA of both images of a pair (a `PairExtractor`).

    Per image: decoder states s3, s4, s5 (`baselines.stable_diffusion.decoder_states`). Per pair and level:
    principal components of both images' positions together. Levels are brought to the size of s3 and joined.
    With parameter `dino`: these features and DINOv2's tokens, each normalised, are joined.
    """

    def __init__(self, context: MakeContext) -> None:
        from baselines.stable_diffusion.decoder_states import PaddedDecoderStates
        from baselines.stable_diffusion.shared import shared_backbone
        from baselines.vit.padded_tokens import PaddedTokens

        timestep = int(str(context.params["timestep"]))
        folder = context.weights[STABLE_DIFFUSION_1_5]
        self.backbone, memory = shared_backbone(context, folder, context.cache_bytes)
        self.backbone.check_timestep(timestep)
        card = self.backbone.card
        missing_levels = set(LEVELS) - card.levels.keys()
        if missing_levels:
            raise UserError(
                f"{folder}: its decoder has fewer than three blocks; SD+DINO reads {', '.join(LEVELS)}"
            )
        self._side = square_side(card.native, card.strides["s5"])
        self._decoder_states = PaddedDecoderStates(
            self.backbone,
            memory,
            timestep=timestep,
            source=STABLE_DIFFUSION_1_5,
            side=self._side,
            cache=context.cache,
        )
        self._dino_tokens: PaddedTokens | None = None
        if context.params["dino"]:
            dino_card = VitCard.of(context.weights[DINOV2])
            offset = dino_card.chosen_position_offset(context.params)
            self._dino_tokens = PaddedTokens(context, memory, DINOV2, dino_card.side(DINOV2_SIDE), offset)

    def extract_pairs(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        """Feature maps of both images of each pair: (768, 60, 60) at 960 x 960, (1536, 60, 60) with DINO."""
        return [self._extract_pair(source, target) for source, target in requests]

    def _extract_pair(self, source: ImageRequest, target: ImageRequest) -> tuple[FeatureMap, FeatureMap]:
        source_states, target_states = self._decoder_states(source), self._decoder_states(target)
        source_levels, target_levels = {}, {}
        for level in LEVELS:
            source_levels[level], target_levels[level] = principal_components(
                source_states[level], target_states[level], COMPONENTS
            )
        return self._feature_map(source, source_levels), self._feature_map(target, target_levels)

    def _feature_map(self, request: ImageRequest, levels: Mapping[str, torch.Tensor]) -> FeatureMap:
        """Joins an image's reduced levels, and DINOv2's tokens with parameter `dino`."""
        import torch

        # In the authors' steps and order: s5 comes to the size of s3 by way of that of s4.
        s3, s4, s5 = levels["s3"], levels["s4"], levels["s5"]
        coarse = torch.cat([s4, _resize_map(s5, s4.shape[-2:])])
        features = torch.cat([s3, _resize_map(coarse, s3.shape[-2:])])
        if self._dino_tokens:
            tokens = _resize_map(self._dino_tokens(request), s3.shape[-2:])
            # Halves of one norm weigh the same in a cosine: the authors' weights 1 and 1.
            halves = [unit_features(features.float(), 0), unit_features(tokens.float(), 0)]
            features = torch.cat(halves)
        return FeatureMap(features, Frame.padded(request.size, self._side), "patch-centre")


def principal_components(
    source: torch.Tensor, target: torch.Tensor, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Projects both maps on the principal directions of all their positions together.

    Directions are exact eigenvectors of the covariance. The authors use `torch.pca_lowrank`, which draws from
    the global random stream.

    Args:
        source, target: (C, h, w), (C, h', w').
        number: directions to keep; all C if there are fewer.

    Returns:
        (number, h, w) and (number, h', w').
    """
    import torch

    # Both maps get the same basis: in two bases their cosines would mean nothing.
    positions = torch.cat([source.flatten(1), target.flatten(1)], dim=1)
    centred = positions - positions.mean(dim=1, keepdim=True)
    # Directions do not depend on the states' magnitude, whose squares could overflow or vanish.
    ordinary = centred * 2.0 ** power_of_two(centred)
    _, vectors = torch.linalg.eigh((ordinary @ ordinary.T).double())
    # `eigh` sorts by rising eigenvalue.
    directions = vectors.flip(1)[:, :number].T
    projected = directions.to(centred.dtype) @ centred
    counts = [source[0].numel(), target[0].numel()]
    of_source, of_target = projected.split(counts, dim=1)
    source_map = of_source.unflatten(1, source.shape[1:])
    target_map = of_target.unflatten(1, target.shape[1:])
    return source_map, target_map


def _resize_map(features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    import torch.nn.functional as F

    return F.interpolate(features[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


_PARAM_HELP = {
    "timestep": "diffusion timestep at which noise is added; 0 to 999 for Stable Diffusion",
    "dino": "whether DINOv2's features are joined; follows from the method",
    "position_offset": OFFSET_HELP,
}


def _extractor(name: str, dino: bool) -> ExtractorSpec:
    weights: tuple[str, ...] = (STABLE_DIFFUSION_1_5,)
    description = "decoder states s5, s4, s3 of the padded image, joint PCA per pair"
    params: dict[str, Scalar] = {"timestep": 100, "dino": dino}
    if dino:
        params["position_offset"] = None
        weights = (STABLE_DIFFUSION_1_5, DINOV2)
        description += ", with DINOv2"
    return ExtractorSpec(
        name=name,
        make=SDDino,
        scope="pair",
        prompt_kinds=PROMPT_KINDS,
        fed_size=fed_size,
        params=params,
        param_help={name: _PARAM_HELP[name] for name in params},
        param_kinds={"position_offset": float} if dino else {},
        # The weights that are read follow from the method, so another value would lack them.
        param_choices={"dino": (dino,)},
        weights=weights,
        description=description,
    )


_NOTES = (
    "Follows the authors' code: 960 x 960 padded in black, four crops of 512, posterior mean, t 100, one "
    "noise for all images, decoder states before their last skip connection, PCA of both images to 256 per "
    "level. Differs: the PCA is exact (theirs draws random numbers), and no captioner adds to the "
    "timestep unless it is the prompt (theirs keeps that branch beside text). Its "
    "t is from a grid search (SD4Match, section 4.4), the data of which are not stated there."
)

EXTRACTORS = (_extractor("sd-decoder-states", dino=False), _extractor("sd-decoder-states-dinov2", dino=True))

METHODS = (
    MethodSpec(
        name="sd-dino-star",
        extractor="sd-decoder-states",
        prompt="implicit-captioner",
        localizer="argmax-patch",
        tuned_on=(NOT_STATED,),
        description="SD+DINO*: the Stable Diffusion 1-5 part of SD+DINO alone",
        notes=_NOTES,
        citation=SD_DINO,
    ),
    MethodSpec(
        name="sd-dino",
        extractor="sd-decoder-states-dinov2",
        prompt="implicit-captioner",
        localizer="argmax-patch",
        tuned_on=(NOT_STATED,),
        description="SD+DINO (2023): Stable Diffusion 1-5 and DINOv2",
        notes=_NOTES
        + " DINOv2: 840 x 840 padded, last block before the final norm; halves normalised and joined, "
        "weights 1 and 1; its positions are interpolated as its authors do (position_offset).",
        citation=SD_DINO,
    ),
)
