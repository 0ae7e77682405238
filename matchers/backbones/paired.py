"""A backbone for each role: the networks that encode the source and the target of a pair.

The authors' paired backbones encode both pictures at once, in one network with all channels twice. Their
checkpoints hold every tensor doubled along its first axis: source first. Where the backbone was not tuned,
both halves are equal, and one network does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from harness.frames import Size
from harness.specs import FeatureMap, Lattice
from matchers.backbones.checkpoints import split_roles
from matchers.backbones.resnet import ResNet


class PairedResNet(nn.Module):
    """ResNets of source and target, whose batch norms keep their statistics in training, too.

    Attributes:
        source, target: the networks; one and the same object where they are equal.
    """

    def __init__(self, source: ResNet, target: ResNet) -> None:
        super().__init__()
        self.source, self.target = source, target
        self.train(False)

    @classmethod
    def of_doubled(cls, tensors: Mapping[str, Tensor], subject: str) -> Self:
        """Makes it from the doubled tensors of a checkpoint, with torchvision's names.

        Args:
            subject: their file, for messages.

        Raises:
            UserError: they are not those of a paired ResNet.
        """
        first, second = split_roles(tensors, subject)
        source = ResNet.like(first, subject).load(first, subject)
        if all(torch.equal(first[name], second[name]) for name in first):
            return cls(source, source)
        return cls(source, ResNet.like(second, subject).load(second, subject))

    @classmethod
    def of_single(cls, tensors: Mapping[str, Tensor], layers: int = 4, subject: str = "ResNet") -> Self:
        """Makes both networks of the same tensors, to be trained apart.

        Args:
            tensors: with torchvision's names.
            layers: how many of the layers are kept.

        Raises:
            UserError: they are not those of a ResNet.
        """
        kept = {name: tensor for name, tensor in tensors.items() if not _is_beyond(name, layers)}
        source, target = (ResNet.like(kept, subject).load(kept, subject) for _ in range(2))
        return cls(source, target)

    def train(self, mode: bool = True) -> Self:
        """Leaves the backbones as they are in use."""
        return super().train(False)

    @property
    def is_shared(self) -> bool:
        """Whether one network encodes both pictures."""
        return self.source is self.target

    def doubled_state(self) -> dict[str, Tensor]:
        """Its tensors as a checkpoint has them, with torchvision's names."""
        source, target = self.source.torchvision_state(), self.target.torchvision_state()
        return {
            name: torch.cat([tensor, target[name]]) if tensor.ndim else tensor
            for name, tensor in source.items()
        }

    def all_levels(self, pixels: Tensor, levels: Sequence[int]) -> list[Tensor]:
        """Levels after the ReLU of pictures whose role is not known yet: (B, C, h, w) each.

        Those of the source network, and after them those of the target network where it is another one.
        """
        outputs: list[Tensor] = self.source(pixels, levels)
        return outputs if self.is_shared else outputs + self.target(pixels, levels)

    def pair_levels(
        self, source: Tensor, target: Tensor, levels: Sequence[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Levels after the ReLU of source and target pictures, each by its own network."""
        return self.source(source, levels), self.target(target, levels)


def role_levels(
    source: Sequence[Tensor], target: Sequence[Tensor], count: int
) -> tuple[list[Tensor], list[Tensor]]:
    """The levels that belong to a pair's roles, as a batch of one.

    Args:
        source, target: all levels of either picture, as `all_levels` gives them.
        count: levels of one role.

    Raises:
        ValueError: a picture has not the levels of one network or of two.
    """
    for levels in (source, target):
        if len(levels) not in (count, 2 * count):
            raise ValueError(f"a map with {len(levels)} levels, and the matcher reads {count} for each role")
    return [level[None] for level in source[:count]], [level[None] for level in target[-count:]]


def doubled_lattice(feature_map: FeatureMap) -> Lattice:
    """Cells that lie corner to corner, twice as many across and down as those of a map."""
    width, height = feature_map.cells
    return Lattice(feature_map.frame, Size(2 * width, 2 * height), "corner")


def _is_beyond(name: str, layers: int) -> bool:
    return name.startswith("fc.") or (name.startswith("layer") and int(name[5]) > layers)
