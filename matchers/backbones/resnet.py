"""ResNets of any depth and width, in torchvision's layout, read by hyperpixel index.

Index 0 is the stem after pooling; then come the blocks of layer1, layer2 and so on: in a ResNet-101, 1 to 3,
4 to 7, 8 to 30 and 31 to 33. The network itself is transformers'; names of tensors are torchvision's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from harness.errors import UserError
from harness.networks.filling import fill_network

UNREAD = ("fc.*",)
"""Tensors that features do not depend on: those of the classifier."""

_BLOCK = re.compile(r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(.+)")
_CONVOLUTION = re.compile(r"layer(\d+)\.(\d+)\.conv1\.weight")


class ResNet(nn.Module):
    """A ResNet without its classifier.

    Its state dict, also within a larger network's, has torchvision's names.

    Args:
        embedding: channels of the stem.
        widths: channels that each layer's blocks put out.
        blocks: blocks of each layer. There may be fewer than four layers.
        bottleneck: whether blocks have three convolutions, as those of a ResNet-50 or larger; else two.

    Attributes:
        blocks: blocks of each layer.
        channels: channels of each level.
    """

    def __init__(
        self, embedding: int, widths: Sequence[int], blocks: Sequence[int], bottleneck: bool = True
    ) -> None:
        super().__init__()
        config = ResNetConfig(
            embedding_size=embedding,
            hidden_sizes=list(widths),
            depths=list(blocks),
            layer_type="bottleneck" if bottleneck else "basic",
        )
        network: Any = ResNetModel(config)
        self.embedder, self.encoder = network.embedder, network.encoder
        self.blocks = tuple(blocks)
        self.channels = (
            embedding,
            *(width for width, number in zip(widths, blocks, strict=True) for _ in range(number)),
        )
        # Through a name of no type: PyTorch has not annotated these two.
        module: Any = self
        module.register_state_dict_post_hook(_give_torchvision_names)
        module.register_load_state_dict_pre_hook(_take_torchvision_names)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], subject: str = "ResNet") -> Self:
        """Makes the network that some tensors belong to; its own hold nothing yet.

        Args:
            tensors: with torchvision's names; those of `fc` do not matter.
            subject: their file, for messages.

        Raises:
            UserError: they are not those of a ResNet.
        """
        blocks = _count_blocks(tensors)
        if "conv1.weight" not in tensors or not blocks:
            raise UserError(
                f"{subject}: holds no ResNet: there is no tensor conv1.weight, or none of layer1; "
                "give weights with torchvision's names"
            )
        last = "conv3" if "layer1.0.conv3.weight" in tensors else "conv2"
        names = [f"layer{layer}.0.{last}.weight" for layer in range(1, len(blocks) + 1)]
        for name in ("conv1.weight", *names):
            if name not in tensors or tensors[name].ndim != 4:
                raise UserError(f"{subject}: holds no ResNet: {name} is missing, or not a convolution's")
        widths = [len(tensors[name]) for name in names]
        # Random numbers would take longer than all the rest, and be written over.
        with torch.device("meta"):
            network = cls(len(tensors["conv1.weight"]), widths, blocks, last == "conv3")
        network.to_empty(device="cpu")
        for name, buffer in network.named_buffers():
            # The only tensors that a file may lack.
            if name.endswith("num_batches_tracked"):
                buffer.zero_()
        return network

    def load(self, tensors: Mapping[str, Tensor], subject: str = "ResNet") -> Self:
        """Fills the network with tensors of torchvision's names; returns itself.

        Raises:
            UserError: one line that names a tensor: it is missing, of another shape, or not the network's.
        """
        fill_network(self, tensors, subject, harmless=UNREAD)
        return self

    def torchvision_state(self) -> dict[str, Tensor]:
        """Its tensors under torchvision's names."""
        return dict(self.state_dict())

    @property
    def last_level(self) -> int:
        """The largest hyperpixel index."""
        return sum(self.blocks)

    def levels_of(self, layer: int) -> range:
        """Hyperpixel indices of the blocks of a layer, from 1. Raises `UserError` if there is none."""
        if not 1 <= layer <= len(self.blocks):
            raise UserError(f"layer {layer} of a ResNet that has layers 1 to {len(self.blocks)}")
        ends = [0, *accumulate(self.blocks)]
        return range(ends[layer - 1] + 1, ends[layer] + 1)

    def stride(self, level: int) -> int:
        """Input pixels from one cell of a level to the next."""
        layer = next((n for n in range(1, len(self.blocks) + 1) if level in self.levels_of(n)), 1)
        return 4 << (layer - 1)

    def check_levels(self, levels: Sequence[int]) -> None:
        """Raises `UserError` where a level is not there."""
        for level in levels:
            if not 0 <= level <= self.last_level:
                raise UserError(f"level {level} of a ResNet that has levels 0 to {self.last_level}")

    def forward(self, pixels: Tensor, levels: Sequence[int], before_relu: bool = False) -> list[Tensor]:
        """Computes some levels, and nothing after the last of them.

        Args:
            pixels: (B, 3, H, W), normalised as for ImageNet.
            levels: hyperpixel indices; one may occur twice.
            before_relu: whether a block's sum is read before the ReLU that ends the block. The stem is
                always read after its ReLU and pooling.

        Returns:
            (B, C, h, w) for each of `levels`, in their order.

        Raises:
            UserError: there is no such level.
        """
        self.check_levels(levels)
        states = self.embedder(pixels)
        outputs = {0: states}
        for level, block in enumerate(self._blocks()[: max(levels, default=0)], start=1):
            total = block.layer(states) + block.shortcut(states)
            states = block.activation(total)
            if level in levels:
                outputs[level] = total if before_relu else states
        return [outputs[level] for level in levels]

    def _blocks(self) -> list[Any]:
        encoder: Any = self.encoder
        return [block for stage in encoder.stages for block in stage.layers]


def _count_blocks(tensors: Mapping[str, Tensor]) -> list[int]:
    """Blocks of layer 1 and the following ones."""
    matches = [match for name in tensors if (match := _CONVOLUTION.fullmatch(name))]
    numbers = {(int(match[1]), int(match[2])) for match in matches}
    layers = max((layer for layer, _ in numbers), default=0)
    return [sum(layer == number for layer, _ in numbers) for number in range(1, layers + 1)]


def _torchvision_name(name: str) -> str:
    """Name that torchvision gives a tensor of transformers' ResNet."""
    match = _BLOCK.fullmatch(name)
    if match is None:
        name = name.replace("embedder.embedder.convolution", "conv1")
        return name.replace("embedder.embedder.normalization", "bn1")
    layer, block, rest = int(match[1]) + 1, match[2], match[3]
    module, number, rest = rest.split(".", 2) if rest.startswith("layer.") else ("", "", rest)
    kind, _, tensor = rest.removeprefix("shortcut.").partition(".")
    if module:
        kind = f"{'conv' if kind == 'convolution' else 'bn'}{int(number) + 1}"
    else:
        kind = f"downsample.{0 if kind == 'convolution' else 1}"
    return f"layer{layer}.{block}.{kind}.{tensor}"


def _give_torchvision_names(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Renames the tensors of a ResNet in the state dict of the network that it is part of."""
    for name in _own_names(module):
        state[prefix + _torchvision_name(name)] = state.pop(prefix + name)


def _take_torchvision_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Renames the tensors that a ResNet is to be filled with."""
    for name in _own_names(module):
        given = prefix + _torchvision_name(name)
        if given in state:
            state[prefix + name] = state.pop(given)


def _own_names(module: nn.Module) -> list[str]:
    buffers = [name for name, _ in module.named_buffers()]
    return [name for name, _ in module.named_parameters()] + buffers
