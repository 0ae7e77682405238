"""Files of SFNet and PMD: modules made to the sizes of their tensors, and the square that pictures fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor

from harness.errors import UserError
from harness.networks.comparing import AGAIN
from harness.specs import Scalar
from matchers.backbones.checkpoints import Checkpoint, is_whole, load_tensors
from matchers.sfnet.network import Adaptation

THIRD, FOURTH = "state_dict1", "state_dict2"
"""Names of the two adaptations in a checkpoint: of the third level's features, and of the fourth's."""


LARGEST = 4_096
"""Pixels of the largest input whose correlation a machine could hold."""


@dataclass(frozen=True)
class InputSettings:
    """What the shapes of tensors do not tell.

    Attributes:
        side: pixels of the square that the network is fed, the border included.
        border: black pixels on each side of the picture, which is stretched to the rest.
        layer: layer of the ResNet whose features are called the third level here; the next layer's are the
            fourth.
    """

    side: int
    border: int = 0
    layer: int = 3

    def of(self, settings: Mapping[str, Scalar], path: Path) -> Self:
        """What a file's settings state; what they do not say is as published, as it is here.

        Args:
            settings: of a checkpoint.
            path: its file, for messages.

        Raises:
            UserError: they leave no room for a picture, or are no whole numbers.
        """
        side, border = settings.get("image_size", self.side), settings.get("border", self.border)
        layer = settings.get("layer", self.layer)
        if not (is_whole(side) and is_whole(border) and 0 <= 2 * border < side <= LARGEST):
            raise UserError(
                f"{path}: its settings name an input of {side!r} pixels with a border of {border!r}, which "
                f"leaves no picture, or is more than {LARGEST:,} pixels wide; {AGAIN}"
            )
        if not is_whole(layer):
            raise UserError(f"{path}: its settings name layer {layer!r}, not a whole number; {AGAIN}")
        return type(self)(side, border, layer)


def read_adaptation(checkpoint: Checkpoint, name: str) -> Adaptation:
    """Makes one of a checkpoint's adaptations. Raises `UserError` that names a tensor."""
    tensors = checkpoint.group(name)
    channels, _, kernel, _ = convolution_shape(checkpoint, name, tensors, "conv1.0.weight")
    module = Adaptation(channels, kernel)
    load_tensors(module, tensors, checkpoint.path)
    return module


def convolution_shape(
    checkpoint: Checkpoint, group: str, tensors: Mapping[str, Tensor], name: str
) -> tuple[int, ...]:
    """Shape of a convolution's weight. Raises `UserError` where it is absent, or no convolution's."""
    weight = tensors.get(name)
    if weight is None or weight.ndim != 4:
        raise UserError(
            f"{checkpoint.path}: {name} is missing in '{group}', or not a convolution's; these are not the "
            f"weights of this network; {AGAIN}"
        )
    return tuple(weight.shape)
