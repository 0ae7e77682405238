"""Agreement of MARCO's adapters, enlargement and transfer with what the authors' own program returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from classic_vectors import tensors_below
from torch import Tensor, nn

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import FeatureMap
from heads.marco.network import Adapter, HeadShape, MarcoHead, adapt_block
from matchers.backbones.checkpoints import load_tensors

Arrays = Mapping[str, np.ndarray]

SIDE = 56
"""Of the image in which points lie."""


class MeanAttention(nn.Module):
    """Stands for attention in the vectors: a linear layer of the tokens plus their mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.l = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        mixed: Tensor = self.l(tokens + tokens.mean(1, keepdim=True))
        return mixed


class StandIn(nn.Module):
    """The vectors' block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = MeanAttention(width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    try:
        load_tensors(module, tensors, Path("vectors"))
    except UserError as error:
        raise AssertionError(str(error)) from error


def adapted_tokens(arrays: Arrays) -> Tensor:
    block = StandIn(arrays["adapter/in/tokens"].shape[-1])
    fill(block, tensors_below(arrays, "adapter/weights/block."))
    given = tensors_below(arrays, "adapter/weights/adapter.")
    adapter = Adapter(given["down_proj.weight"].shape[1], given["down_proj.weight"].shape[0])
    fill(adapter, given)
    adapt_block(block, adapter)
    tokens: Tensor = block(torch.from_numpy(arrays["adapter/in/tokens"]))
    return tokens


def enlarged_maps(arrays: Arrays) -> Tensor:
    given = tensors_below(arrays, "weights/")
    width = len(given["upscale.0.conv1.weight"])
    count = len({name.split(".")[1] for name in given})
    head = MarcoHead(HeadShape(width, {}, count))
    fill(head, given)
    maps: Tensor = head.upscale(torch.from_numpy(arrays["in/tokens_grid"]))
    return maps


def outputs(arrays: Arrays) -> Iterator[tuple[str, Tensor]]:
    yield "adapter/out/tokens", adapted_tokens(arrays)
    maps = enlarged_maps(arrays)
    yield "out/maps", maps
    frame = Frame.unchanged(Size(SIDE, SIDE))
    source, target = (FeatureMap(data, frame) for data in maps * float(arrays["scale_before_matching"]))
    points = torch.from_numpy(arrays["in/source_points"]).double()
    spec = load_plugins().localizers["marco"]
    transfer = spec.make(**spec.options)
    yield "out/similarity", transfer.similarity(source, target, points)
    yield "out/target_points", transfer(source, target, points).points


@torch.inference_mode()
def check(folder: Path) -> None:
    arrays = dict(np.load(folder / "marco.npz"))
    names = set()
    for name, value in outputs(arrays):
        names.add(name)
        expected = arrays[name].astype(np.float64)
        assert value.shape == expected.shape, name
        tolerance = 1e-3 if name.endswith("points") else 1e-5 * np.abs(expected).max()
        difference = np.abs(value.numpy() - expected).max()
        assert difference <= tolerance, f"{name}: {difference} > {tolerance}"
    assert names == {name for name in arrays if "out/" in name}


CHECKS: Mapping[str, Callable[[Path], None]] = {"marco": check}
