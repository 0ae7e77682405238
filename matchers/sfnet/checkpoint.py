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
from matchers.backbones.checkpoints import Checkpoint, load_tensors
from matchers.sfnet.network import Adaptation

THIRD, FOURTH = "state_dict1", "state_dict2"
"""Names of the two adaptations in a checkpoint: of the third level's features, and of the fourth's."""


LARGEST = 4_096
"""Pixels of the largest input whose correlation a machine could hold."""


@dataclass(frozen=True)
class Square:
    """The square that a network is fed.

    Attributes:
        side: pixels, the border included.
        border: black pixels on each side of the picture, which is stretched to the rest.
    """

    side: int
    border: int = 0

    def of(self, settings: Mapping[str, Scalar], path: Path) -> Self:
        """The square that a file's settings state; what they do not say is as published, this one's.

        Args:
            settings: of a checkpoint.
            path: its file, for messages.

        Raises:
            UserError: they leave no room for a picture, or are no whole numbers.
        """
        side, border = settings.get("image_size", self.side), settings.get("border", self.border)
        if isinstance(side, int) and isinstance(border, int) and 0 <= 2 * border < side <= LARGEST:
            return type(self)(side, border)
        raise UserError(
            f"{path}: its settings name an input of {side!r} pixels with a border of {border!r}, which "
            f"leaves no picture, or is more than {LARGEST:,} pixels wide; {AGAIN}"
        )


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
