"""Vision transformers as one file of the authors' own names, such as iBOT's: `blocks.0.attn.qkv.weight`.

DINO's authors and iBOT's use the names of timm. The network is transformers' `ViTModel`, under the names that
its published files have. Torch is imported only where a file is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.vit.card import MOST_SIDE, VitCard
from harness.errors import UserError

if TYPE_CHECKING:
    import torch

HEAD_WIDTH = 64
"""Channels of an attention head in all of the published networks; the tensors do not tell it."""

HEADS_HELP = "attention heads of a file with the authors' names; without it, one for each 64 channels"
"""Meaning of the parameter `heads` of extractors, for users."""

_PATCHES = "patch_embed.proj.weight"

_UNREAD = ("head.*", "masked_embed", "mask_token")
"""Tensors that features do not depend on; `masked_embed` stood for hidden patches in iBOT's training."""

_BLOCK = re.compile(r"blocks\.(\d+)\.")

_IN_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""Modules of a block -> their names in transformers' files; `attn.qkv` is cut into three besides."""

_OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}


@dataclass(frozen=True, eq=False)
class TimmFile:
    """A vision transformer's tensors, which have the shapes that they have together.

    Attributes:
        path: the file.
        card: sizes of the network.
        hidden: width of the layer inside a block.
        tensors: by name, without wrappers' prefixes.
    """

    path: Path
    card: VitCard
    hidden: int
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def read(cls, path: Path) -> TimmFile:
        """Reads a file of PyTorch or safetensors.

        Raises:
            UserError: it is damaged or holds more than tensors, is no such network, or a tensor is missing
                or of another shape.
        """
        from harness.networks.comparing import check_names
        from harness.networks.tensor_files import read_tensors

        content = read_tensors(path)
        tensors = _without_prefix(path, content)
        card, hidden = _measure(path, tensors)
        expected = _expected_shapes(card, hidden)
        check_names(str(path), expected, {name: part.shape for name, part in tensors.items()}, _UNREAD)
        return cls(path, card, hidden, {name: tensors[name] for name in expected})

    def heads(self, chosen: int | None = None) -> int:
        """Number of attention heads; None for that of the published networks.

        Raises:
            UserError: the width is no whole number of heads.
        """
        width = self.card.width
        heads = width // HEAD_WIDTH if chosen is None else chosen
        if heads < 1 or width % heads or (chosen is None and width % HEAD_WIDTH):
            raise UserError(
                f"{self.path}: {width} channels are not cut into {max(heads, 1)} attention heads; "
                "give their number: --set heads=NUMBER"
            )
        return heads

    def configuration(self, heads: int) -> dict[str, Any]:
        """Keys of transformers' `ViTConfig`."""
        return {
            "hidden_size": self.card.width,
            "num_hidden_layers": self.card.layers,
            "num_attention_heads": heads,
            "intermediate_size": self.hidden,
            "image_size": self.card.native,
            "patch_size": self.card.patch,
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu",
            "qkv_bias": True,
        }

    def transformers_tensors(self) -> dict[str, torch.Tensor]:
        """The tensors under the names of transformers' files."""
        renamed: dict[str, torch.Tensor] = {}
        for name, tensor in self.tensors.items():
            match = _BLOCK.match(name)
            if match is None:
                renamed[_OUTSIDE[name]] = tensor
                continue
            module, _, kind = name[match.end() :].rpartition(".")
            block = f"encoder.layer.{match[1]}"
            if module == "attn.qkv":
                for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                    renamed[f"{block}.attention.attention.{part}.{kind}"] = rows
            else:
                renamed[f"{block}.{_IN_BLOCK[module]}.{kind}"] = tensor
        return renamed


def read_card(path: Path) -> VitCard:
    """Reads the card of a vision transformer: a folder as transformers saves it, or a file.

    Raises:
        UserError: it is neither.
    """
    return TimmFile.read(path).card if path.is_file() else VitCard.of(path)


def _without_prefix(path: Path, content: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's tensors among those of a training: its names come after one prefix."""
    prefixes = sorted((name.removesuffix(_PATCHES) for name in content if name.endswith(_PATCHES)), key=len)
    if not prefixes:
        raise UserError(
            f"{path}: holds no vision transformer: no tensor is called {_PATCHES}; "
            "give the authors' file, or a folder as transformers saves it"
        )
    # Of teacher and student, the teacher: its weights are those that are published.
    prefix = next((prefix for prefix in prefixes if "teacher" in prefix), prefixes[0])
    return {name.removeprefix(prefix): part for name, part in content.items() if name.startswith(prefix)}


def _measure(path: Path, tensors: Mapping[str, torch.Tensor]) -> tuple[VitCard, int]:
    """Sizes of the network, and the width inside its blocks."""
    patches, positions = tensors[_PATCHES], tensors.get("pos_embed")
    inner = tensors.get("blocks.0.mlp.fc1.weight")
    if positions is None or inner is None or patches.ndim != 4 or positions.ndim != 3 or inner.ndim != 2:
        raise UserError(
            f"{path}: holds no vision transformer: pos_embed or blocks.0.mlp.fc1.weight is missing, or of "
            "another shape; give the authors' file"
        )
    patch, side = patches.shape[-1], math.isqrt(positions.shape[1] - 1)
    if side * side != positions.shape[1] - 1 or not 1 <= side * patch <= MOST_SIDE:
        raise UserError(
            f"{path}: pos_embed has {positions.shape[1]} positions, "
            "not those of a class token and a square of patches; give the authors' file"
        )
    numbers = {int(match[1]) for name in tensors if (match := _BLOCK.match(name))}
    card = VitCard(
        architecture="ViTModel",
        native=side * patch,
        patch=patch,
        layers=len(numbers),
        width=len(patches),
        prefix=1,
    )
    return card, len(inner)


def _expected_shapes(card: VitCard, hidden: int) -> dict[str, tuple[int, ...]]:
    width = card.width
    positions = (card.native // card.patch) ** 2
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + positions, width),
        "patch_embed.proj.weight": (width, 3, card.patch, card.patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    linear |= {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    for block in range(card.layers):
        for name, shape in linear.items():
            shapes[f"blocks.{block}.{name}.weight"] = shape
            shapes[f"blocks.{block}.{name}.bias"] = shape[:1]
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{name}.weight"] = shapes[f"blocks.{block}.{name}.bias"] = (width,)
    return shapes
