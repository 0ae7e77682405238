"""MARCO's network: adapters beside the MLPs of a transformer's last blocks, and what enlarges its map."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from baselines.vit.card import VitCard

SCALE = 0.1
"""Factor of what an adapter adds; it is in no file."""

EPSILON = 1e-6
"""Of the norm over channels after an enlargement."""

_SECOND_NORM = ("norm2", "layernorm_after")
"""Names in transformers of the norm that reads what attention leaves behind."""

_ADAPTER = re.compile(r"dino\.blocks\.(\d+)\.adapter\.")
_ENLARGEMENT = re.compile(r"upscale\.(\d+)\.")


@dataclass(frozen=True)
class HeadShape:
    """Sizes of what is learned.

    Attributes:
        width: channels of a token, and of the map.
        adapters: number of a block, from 0 -> width inside its adapter.
        enlargements: how many times the map's sides are doubled.
    """

    width: int
    adapters: Mapping[int, int]
    enlargements: int

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> HeadShape:
        """Reads the sizes off a file's tensors.

        Raises:
            KeyError: the name of a tensor that is missing.
        """
        blocks = _numbers(tensors, _ADAPTER)
        if not blocks:
            raise KeyError("dino.blocks.*.adapter.down_proj.weight")
        doubled = _numbers(tensors, _ENLARGEMENT)
        # One that is left out in the middle is missing under its own name.
        gap = next((number for number, given in enumerate(doubled) if number != given), None)
        if gap is not None or not doubled:
            raise KeyError(f"upscale.{gap or 0}.conv1.weight")
        adapters = {block: len(tensors[f"dino.blocks.{block}.adapter.down_proj.weight"]) for block in blocks}
        return cls(len(tensors["upscale.0.conv1.weight"]), adapters, len(doubled))


def _numbers(tensors: Mapping[str, Tensor], pattern: re.Pattern[str]) -> list[int]:
    return sorted({int(match[1]) for name in tensors if (match := pattern.match(name))})


class Adapter(nn.Module):
    """A narrow branch beside a block's MLP (AdaptFormer): (..., C) tokens -> (..., C) what is added to them.

    Args:
        inner: width of the branch.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.adapter_layer_norm_before = nn.LayerNorm(width)
        self.down_proj = nn.Linear(width, inner)
        self.up_proj = nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """What is added."""
        narrow = F.relu(self.down_proj(self.adapter_layer_norm_before(tokens)))
        added: Tensor = SCALE * self.up_proj(narrow)
        return added


def adapt_block(block: nn.Module, adapter: nn.Module) -> None:
    """Puts an adapter beside a block's MLP, for good.

    The adapter reads what the MLP's norm reads: the tokens after attention and its residual. What it gives
    is added to the block's output, past the block's own scales. Hooks do both, so that the block's own code
    runs, of whichever generation it is.
    """
    norm = next(
        module
        for name, module in block.named_modules()
        if name.rpartition(".")[2] in _SECOND_NORM and module is not block
    )
    after_attention: list[Tensor] = []

    def remember(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        after_attention[:] = inputs[:1]

    def add(module: nn.Module, inputs: Any, output: Any) -> Any:
        added = adapter(after_attention.pop())
        # A tensor or a tuple, according to the release of transformers.
        return (output[0] + added, *output[1:]) if isinstance(output, tuple) else output + added

    norm.register_forward_pre_hook(remember)
    block.register_forward_hook(add)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (N, C, h, w)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        normed: Tensor = super().forward(maps.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


class Enlargement(nn.Module):
    """Doubles the sides of maps (N, C, h, w)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width, bias=False)
        self.norm = ChannelNorm(width, eps=EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, C, 2 h, 2 w)."""
        normed: Tensor = self.norm(self.conv2(F.gelu(self.conv1(maps))))
        return normed


class MarcoHead(nn.Module):
    """All that is learned, under the names of the authors' files."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        blocks = {
            str(block): nn.ModuleDict({"adapter": Adapter(shape.width, inner)})
            for block, inner in shape.adapters.items()
        }
        self.dino = nn.ModuleDict({"blocks": nn.ModuleDict(blocks)})
        self.upscale = nn.Sequential(*(Enlargement(shape.width) for _ in range(shape.enlargements)))

    def adapter(self, block: int) -> nn.Module:
        """The adapter of a block."""
        return self.dino.get_submodule(f"blocks.{block}.adapter")


class Marco(nn.Module):
    """The whole network.

    Args:
        backbone: a DINO of transformers, whose learned positions are interpolated as its authors do; it is
            changed in place.
        card: its sizes.
        head: for tokens of its width, with adapters of blocks that it has.
    """

    def __init__(self, backbone: Any, card: VitCard, head: MarcoHead) -> None:
        super().__init__()
        self.backbone, self.card, self.head = backbone, card, head
        # Each architecture names its blocks differently; they are its first list of modules.
        blocks = next(module for module in backbone.modules() if isinstance(module, nn.ModuleList))
        for block in head.shape.adapters:
            adapt_block(blocks[block], head.adapter(block))

    def tokens(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, h, w): the last block's tokens of patches after the final norm."""
        height, width = pixels.shape[2:]
        rows, columns = self.card.grid_size(height, width, self.card.patch)
        # DINOv1's class takes other sizes than its own only with this option; the others always do.
        options = {"interpolate_pos_encoding": True} if self.card.architecture == "ViTModel" else {}
        states: Tensor = self.backbone(pixels, **options).last_hidden_state[:, self.card.prefix :]
        return states.transpose(1, 2).reshape(len(pixels), -1, rows, columns)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, h, w) maps; (1024, 220, 220) for the published network at 770 x 770."""
        maps: Tensor = self.head.upscale(self.tokens(pixels))
        return maps
