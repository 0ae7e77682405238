"""Facts about a vision transformer that a recipe needs before it is loaded: sizes and number of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from baselines.published import VISION_DEFAULTS
from baselines.stated_values import check_values
from harness.errors import UserError
from harness.networks.configuration import read_configuration
from harness.specs import Scalar

ARCHITECTURES: Mapping[str, str] = {
    "vit": "ViTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}
"""`model_type` in config.json -> class of transformers."""

OFFSET_HELP = (
    "cells added to the grid to which learned positions are interpolated, from 0 to less than 1; "
    "without one, the authors': 0.1 for DINOv1 and DINOv2, 0 with registers"
)
"""Meaning of the parameter `position_offset` of extractors, for users."""

MOST_SIDE = 16_384
"""Side in pixels of the largest image that a network is fed: a wrong number would take all memory."""

_POSITION_OFFSETS: Mapping[str, float] = {
    "ViTModel": 0.1,
    "Dinov2Model": 0.1,
    "Dinov2WithRegistersModel": 0.0,
}
"""Cells that the authors' code adds to a grid when it interpolates learned positions to it."""


@dataclass(frozen=True)
class VitCard:
    """Read from the `config.json` of a folder as transformers saves it.

    Attributes:
        architecture: class of transformers.
        native: side in pixels of the images it was trained on, as the configuration says: 224 for DINOv1, 518
            for DINOv2.
        patch: side of a patch in pixels.
        layers: number of blocks.
        width: channels of a token.
        prefix: number of tokens before the patches: the class token and the registers.
    """

    architecture: str
    native: int
    patch: int
    layers: int
    width: int
    prefix: int

    @classmethod
    def of(cls, folder: Path) -> VitCard:
        """Reads the card of a folder. Raises `UserError` if it does not hold a known DINO."""
        path = folder / "config.json"
        config = read_configuration(
            path, "a DINO is a folder as transformers saves it: config.json, model.safetensors"
        )
        model_type = str(config.get("model_type", "missing"))
        if model_type not in ARCHITECTURES:
            raise UserError(
                f"{path}: model_type is '{model_type}', not that of a DINO; known: {', '.join(ARCHITECTURES)}"
            )
        check_values(path, config, VISION_DEFAULTS[model_type])
        try:
            return cls(
                architecture=ARCHITECTURES[model_type],
                native=square_side(config["image_size"]),
                patch=square_side(config["patch_size"]),
                layers=int(config["num_hidden_layers"]),
                width=int(config["hidden_size"]),
                # The class token, and the registers of the architectures that have them.
                prefix=1 + int(config.get("num_register_tokens", 0)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: not the configuration of a vision transformer ({error!r})") from error

    @property
    def has_learned_positions(self) -> bool:
        """True for a square of learned positions, False for rotary ones."""
        return self.architecture in _POSITION_OFFSETS

    @property
    def has_antialiased_positions(self) -> bool:
        """True where positions are interpolated with antialiasing: DINOv2 with registers."""
        return self.architecture == "Dinov2WithRegistersModel"

    def position_offset(self, offset: float | None = None) -> float:
        """Cells added to a grid when learned positions are interpolated to it (`baselines.vit.positions`).

        Args:
            offset: the user's choice; None for the authors' value: 0.1 for DINOv1 and for DINOv2 without
                registers, 0 for others.

        Raises:
            UserError: an offset that is not from 0 to less than 1, or one of a network with rotary positions.
        """
        if offset is None:
            return _POSITION_OFFSETS.get(self.architecture, 0.0)
        # Not `offset >= 1`, which NaN would pass.
        if not 0 <= offset < 1:
            raise UserError(f"a position offset of {offset} cells; it must be from 0 to less than 1")
        if offset and not self.has_learned_positions:
            raise UserError(
                f"a position offset of {offset} cells: {self.architecture} has rotary positions, "
                "which are not interpolated; leave it out"
            )
        return float(offset)

    def chosen_position_offset(self, params: Mapping[str, Scalar]) -> float:
        """`position_offset` of an extractor's parameters; None and absent stand for the authors' value."""
        offset = params.get("position_offset")
        return self.position_offset(None if offset is None else float(offset))

    def block(self, layer: int) -> int:
        """Number of a block, from 0; negative layers count from the end.

        Raises:
            UserError: the network has fewer blocks.
        """
        if not -self.layers <= layer < self.layers:
            raise UserError(f"layer {layer} of a backbone that has layers 0 to {self.layers - 1}")
        return layer % self.layers

    def check_last(self, layer: int) -> None:
        """Raises `UserError` for a layer whose tokens the network does not norm: any but the last."""
        last = self.layers - 1
        if self.block(layer) != last:
            raise UserError(f"facet 'token-norm' is the last layer's, {last}, not that of layer {layer}")

    def side(self, factor: Fraction) -> int:
        """Side in pixels of a square `factor` times as large as the native one, in whole patches."""
        return self.patch * max(1, round(self.native * factor / self.patch))

    def stride(self, share: Fraction) -> int:
        """Pixels from one patch to the next, from a share of the patch.

        Raises:
            UserError: if that is not a whole number of pixels, or does not divide the patch.
        """
        pixels = self.patch * share
        if pixels.denominator != 1 or pixels < 1 or self.patch % int(pixels):
            raise UserError(
                f"a stride of {share} patches of {self.patch} pixels is {float(pixels):g} pixels, "
                "which does not divide the patch"
            )
        return int(pixels)

    def grid_size(self, height: int, width: int, stride: int) -> tuple[int, int]:
        """Rows and columns of an image's feature map: 1 + (side - patch) // stride each (dino-vit-features).

        Args:
            height, width: of the image, in pixels.
            stride: pixels from one patch to the next.

        Raises:
            UserError: if a side is not a multiple of the patch, or the stride does not divide the patch.
        """
        patch = self.patch
        if height % patch or width % patch or not (height and width):
            raise UserError(
                f"an image of {width} x {height} pixels is not a whole number of patches of {patch} pixels"
            )
        if stride < 1 or patch % stride:
            raise UserError(f"a stride of {stride} pixels does not divide the patch of {patch} pixels")
        return 1 + (height - patch) // stride, 1 + (width - patch) // stride


def square_side(value: Any) -> int:
    """A side that a configuration writes as one number, or as two equal ones. Raises ValueError."""
    values = value if isinstance(value, list) else [value]
    sides = set(map(int, values))
    if len(sides) != 1 or not 1 <= min(sides) <= MOST_SIDE:
        raise ValueError(f"{value!r:.40} is not the size of a square of at most {MOST_SIDE:,} pixels")
    return sides.pop()
