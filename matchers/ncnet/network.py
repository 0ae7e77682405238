"""NCNet's network: a ResNet up to its third layer, and the consensus of neighbouring matches.

Correlations are in the authors' direction here: A is their source, B their target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from harness.errors import UserError
from matchers.backbones.checkpoints import load_tensors
from matchers.backbones.resnet import ResNet
from matchers.convolution4d import Convolution4d, swap_sides
from matchers.formulas import correlate, filter_mutually, normalize_features

IMAGE_SIZE = 400
"""Side of the square that pictures are stretched to, in the published networks."""

BACKBONE = "FeatureExtraction.model."
"""Prefix of the backbone's tensors."""

_OLD_BACKBONE = "FeatureExtraction.vgg."
"""The prefix in very old files, whatever the network."""

_PARTS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
"""A ResNet's parts -> their numbers in the authors' sequence; 2 is the ReLU and 3 the pooling."""

_LAYERS = 3


class FeatureExtraction(nn.Module):
    """The backbone, under the authors' names: parts of the ResNet by number.

    Attributes:
        model: a ResNet of three layers.
    """

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        self.model = model
        # Through a name of no type: PyTorch has not annotated these two.
        module: Any = self
        module.register_state_dict_post_hook(_give_numbers)
        module.register_load_state_dict_pre_hook(_take_numbers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), normalised as for ImageNet -> (B, C, H / 16, W / 16) of length 1."""
        (features,) = self.model(pixels, [self.model.last_level])
        return normalize_features(features)


class NeighConsensus(nn.Module):
    """Convolutions over both images' cells at once, each followed by a ReLU.

    Args:
        channels: of each convolution's output; the last is 1.
        kernels: of each convolution.
    """

    def __init__(self, channels: Sequence[int], kernels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in zip((1, *channels), channels, kernels, strict=False):
            layers += [Convolution4d(inputs, outputs, kernel), nn.ReLU(inplace=True)]
        self.conv = nn.Sequential(*layers)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], subject: str) -> Self:
        """Makes the network that tensors of the names `conv.0.weight` and so on belong to.

        Raises:
            UserError: they are not those of a neighbourhood consensus.
        """
        weights: list[Tensor] = []
        while (name := f"conv.{2 * len(weights)}.weight") in tensors:
            weights.append(tensors[name])
        if not weights or any(weight.ndim != 6 for weight in weights):
            raise UserError(
                f"{subject}: NeighConsensus.conv.0.weight is missing, or not of a 4-D convolution; "
                "give the weights of an NCNet"
            )
        return cls([weight.shape[1] for weight in weights], [weight.shape[0] for weight in weights])

    def forward(self, correlation: Tensor) -> Tensor:
        """Correlations (B, h, w, h', w'), as they are and with swapped sides -> the sum of both results."""
        swapped = swap_sides(self._one_way(swap_sides(correlation)))
        return self._one_way(correlation) + swapped

    def _one_way(self, correlation: Tensor) -> Tensor:
        result: Tensor = self.conv(correlation[:, None])
        return result[:, 0]


class NCNet(nn.Module):
    """The whole network; its tensors have the names of the authors' checkpoints."""

    def __init__(self, backbone: ResNet, consensus: NeighConsensus) -> None:
        super().__init__()
        self.FeatureExtraction = FeatureExtraction(backbone)
        self.NeighConsensus = consensus

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], path: Path) -> Self:
        """Makes the network that tensors of an authors' file belong to, and fills it.

        Raises:
            UserError: one line: they are another network's.
        """
        tensors = use_present_names(tensors)
        network = cls.like(tensors, str(path))
        load_tensors(network, tensors, path)
        return network

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], subject: str) -> Self:
        """Makes the network that tensors belong to; its own are still random."""
        consensus = NeighConsensus.like(_below(tensors, "NeighConsensus."), subject)
        numbered = _below(tensors, BACKBONE)
        numbers = {number: part for part, number in _PARTS.items()}
        backbone = ResNet.like({_rename(name, numbers): tensor for name, tensor in numbered.items()}, subject)
        return cls(backbone, consensus)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> refined correlations (B, h, w, h', w')."""
        return self.match(self.FeatureExtraction(source), self.FeatureExtraction(target))

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        """Features of length 1 (B, C, h, w), (B, C, h', w') -> refined correlations (B, h, w, h', w')."""
        return refine(correlate(source, target), self.NeighConsensus)


def refine(correlation: Tensor, consensus: NeighConsensus) -> Tensor:
    """Correlations (B, h, w, h', w') after mutual filter, consensus of neighbours, and mutual filter."""
    return filter_sides(consensus(filter_sides(correlation)))


def filter_sides(correlation: Tensor) -> Tensor:
    """Correlations (B, h, w, h', w') weighted by how close each is to the best of its two cells."""
    flat = correlation.flatten(3).flatten(1, 2)
    return filter_mutually(flat).view_as(correlation)


def first_layers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a ResNet, under torchvision's names, that NCNet's backbone has."""
    parts = ("conv1", "bn1", *(f"layer{number}" for number in range(1, _LAYERS + 1)))
    return {name: tensor for name, tensor in tensors.items() if name.split(".")[0] in parts}


def use_present_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file, under the names of today's files."""
    return {
        BACKBONE + name.removeprefix(_OLD_BACKBONE) if name.startswith(_OLD_BACKBONE) else name: tensor
        for name, tensor in tensors.items()
    }


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _rename(name: str, parts: Mapping[str, str]) -> str:
    """A tensor's name with its first part replaced."""
    part, _, rest = name.partition(".")
    return f"{parts.get(part, part)}.{rest}"


def _give_numbers(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
    """Numbers the parts of the ResNet in a state dict, which has torchvision's names before."""
    _rename_below(state, f"{prefix}model.", _PARTS)


def _take_numbers(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Names the parts of the ResNet as torchvision does, in tensors that it is to be filled with."""
    _rename_below(state, f"{prefix}model.", {number: part for part, number in _PARTS.items()})


def _rename_below(state: dict[str, Any], prefix: str, parts: Mapping[str, str]) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        state[prefix + _rename(name.removeprefix(prefix), parts)] = state.pop(name)
