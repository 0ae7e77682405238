"""Agreement of the ResNets and of iBOT's vision transformer with what the authors' own programs return."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classic_rules import weights_by_rule
from classic_vectors import Arrays, Outputs, compare, compute_once, tensors_below

from baselines.networks.activations import record_outputs
from baselines.vit.backbone import VisionTransformer
from matchers.backbones.resnet import ResNet

BLOCKS = {"resnet101": (3, 4, 23, 3), "resnet50": (3, 4, 6, 3)}
HEADS = 2


def levels_of_resnets(arrays: Arrays) -> Outputs:
    """All that the file has, from weights by the rule."""
    seed = int(arrays["weights_seed"])
    noise = np.random.RandomState(seed + 1).standard_normal((2, 3, 64, 80))
    pixels = torch.from_numpy(noise.astype(np.float32))
    outputs: Outputs = {}
    for name, blocks in BLOCKS.items():
        with torch.device("meta"):
            empty = ResNet(64, (256, 512, 1024, 2048), blocks)
        shapes = {key: tuple(part.shape) for key, part in empty.torchvision_state().items()}
        weights = weights_by_rule(shapes, seed)
        network = ResNet.like(weights).load(weights).eval()
        assert network.blocks == blocks
        levels = range(network.last_level + 1)
        after, before = (network(pixels, levels, before_relu) for before_relu in (False, True))
        assert torch.equal(after[0], before[0])
        outputs[f"{name}/out/stem"] = after[0][:, ::4, ::2, ::2]
        for layer in range(1, 5):
            states, step = after[network.levels_of(layer)[-1]], max(1, 4 // layer)
            outputs[f"{name}/out/layer{layer}"] = states[:1, :: 2 ** (layer + 1), ::step, ::step]
        for key in arrays:
            if key.startswith(f"{name}/out/sum"):
                total = before[int(key[-2:])][0]
                step = 2 if total.shape[-1] > 5 else 1
                outputs[key] = total[:: max(1, len(total) // 32), ::step, ::step]
        numbers = sum(parameter.numel() for parameter in network.parameters())
        outputs[f"{name}/parameters_without_fc"] = torch.tensor(numbers)
    return outputs


def tokens_of_ibot(arrays: Arrays) -> Outputs:
    """All that the file has, through a checkpoint as the authors save it."""
    weights = tensors_below(arrays, "weights/")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint_teacher.pth"
        torch.save({"state_dict": weights}, path)
        network = VisionTransformer(path, heads=HEADS)
    outputs: Outputs = {}
    blocks = next(part for part in network.model.modules() if isinstance(part, torch.nn.ModuleList))
    for case in ("native", "larger", "wide"):
        pixels = torch.from_numpy(arrays[f"{case}/in/pixels"])
        states: dict[str, Any] = {}
        parts = {str(number): block for number, block in enumerate(blocks)}
        with record_outputs({**parts, "last": network.model.layernorm}, states):
            network.model(pixels, interpolate_pos_encoding=True)
        last = states.pop("last")
        for number, output in states.items():
            tokens = output[0] if isinstance(output, tuple) else output
            outputs[f"{case}/out/tokens_{number}"] = network.model.layernorm(tokens)
        outputs[f"{case}/out/last"] = last
        outputs[f"{case}/out/position"] = network.model.embeddings.interpolate_pos_encoding(
            last, *pixels.shape[2:]
        )
        # What the extractor reads of it.
        features = network.features(pixels, -1, "token-norm")
        assert torch.allclose(features.flatten(2).transpose(1, 2), last[:, 1:], atol=1e-6)
    return outputs


def check_resnets(folder: Path) -> None:
    """ResNet-101 and ResNet-50, before and after the ReLU."""
    arrays, outputs = compute_once(folder / "resnet.npz", levels_of_resnets)
    compare(arrays, outputs, lambda name, largest: 0 if "parameters" in name else 1e-4 * largest)


def check_ibot(folder: Path) -> None:
    """iBOT's vision transformer at its own and two other sizes."""
    arrays, outputs = compute_once(folder / "ibot.npz", tokens_of_ibot)
    compare(arrays, outputs, lambda _, largest: 1e-5 * largest)


CHECKS: Mapping[str, Callable[[Path], None]] = {"resnet": check_resnets, "ibot": check_ibot}
"""Name of a file -> its check."""
