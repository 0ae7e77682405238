"""SFNet and PMD against what the authors' code returns: the parts, their reading, and whole networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classic_rules import pictures_by_rule, weights_by_rule
from torch import Tensor
from torch.nn import Module

from harness.frames import Frame, Size
from harness.specs import FeatureMap, Matches
from matchers.backbones.resnet import ResNet
from matchers.localizers.grid_corner import GridCorner, mean_targets
from matchers.pmd.network import ChannelAttention, attend
from matchers.sfnet.matcher import to_matches
from matchers.sfnet.network import Adaptation, rectified_cosines

Arrays = dict[str, Any]
Shapes = tuple[tuple[str, tuple[int, ...]], ...]

READINGS = {"beta50_sigma5": (50.0, 5.0), "beta20_sigma1.5": (20.0, 1.5)}

CELL = 16
"""Pixels of a cell in frames that are made here; SFNet's border is one cell."""

_OUTPUTS: dict[str, Arrays] = {}


def computed_once(path: Path, compute: Callable[[Mapping[str, np.ndarray]], Arrays]) -> tuple[Arrays, Arrays]:
    """The arrays of a file, and what our code makes of them: once for the same inputs and weights."""
    with np.load(path) as file:
        arrays = dict(file)
    digest = hashlib.sha256(compute.__name__.encode())
    for key in sorted(arrays):
        if "out/" not in key and key != "parameters":
            digest.update(key.encode() + arrays[key].tobytes())
    if digest.hexdigest() not in _OUTPUTS:
        with torch.inference_mode():
            _OUTPUTS[digest.hexdigest()] = compute(arrays)
    return arrays, _OUTPUTS[digest.hexdigest()]


def compare_outputs(arrays: Arrays, outputs: Arrays, tolerance: Callable[[str, np.ndarray], float]) -> None:
    """Compares every array that the file says comes out."""
    assert outputs.keys() == {key for key in arrays if "out/" in key or key == "parameters"}
    for key, actual in outputs.items():
        expected = arrays[key]
        limit = tolerance(key, expected)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, err_msg=key)


def compute_parts(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Outputs of both methods' parts."""
    outputs: Arrays = {}
    for method in ("sfnet", "pmd"):
        outputs |= _compute_method(arrays, method)
    return outputs


def _compute_method(arrays: Mapping[str, np.ndarray], method: str) -> Arrays:
    levels = {
        (side, level): torch.from_numpy(arrays[f"{method}/in/{side}_layer{level}"])[None]
        for side in ("source", "target")
        for level in (3, 4)
    }
    for level in (3, 4):
        weights = _weights(arrays, f"{method}/adap_layer_feat{level}")
        channels, _, kernel, _ = weights["conv1.0.weight"].shape
        module = Adaptation(channels, kernel)
        module.load_state_dict(weights)
        for side in ("source", "target"):
            levels[side, level] = module.eval()(levels[side, level])
    outputs = {f"{method}/out/adapted_source{level}": levels["source", level][0].numpy() for level in (3, 4)}
    cosines = rectified_cosines(levels["source", 3], levels["target", 3])[0]
    outputs[f"{method}/out/match3_source_to_target"] = cosines.flatten(2).permute(2, 0, 1).numpy()
    if method == "pmd":
        attention = ChannelAttention(levels["source", 4].shape[1])
        attention.load_state_dict(_weights(arrays, "pmd/chn4"))
        before = levels["source", 4], levels["target", 4]
        after = attend(attention.eval(), *before)
        outputs["pmd/out/attention_source"] = attention(*before)[0, :, 0, 0].numpy()
        outputs["pmd/out/attention_target"] = attention(before[1], after[0])[0, :, 0, 0].numpy()
        levels["source", 4], levels["target", 4] = after
    return outputs | _read(arrays, method, levels)


def _weights(arrays: Mapping[str, np.ndarray], module: str) -> dict[str, Tensor]:
    prefix = f"{module}/weights/"
    return {key.removeprefix(prefix): torch.tensor(arrays[key]) for key in arrays if key.startswith(prefix)}


def _read(arrays: Mapping[str, np.ndarray], method: str, levels: Mapping[tuple[str, int], Tensor]) -> Arrays:
    """Grids, flows and points. The authors' target is the harness's source."""
    border = 1 if method == "sfnet" else 0
    maps = {
        side: FeatureMap(levels[side, 3][0], _frame(arrays[f"in/{side}_hw"], 6, border), "corner")
        for side in ("source", "target")
    }

    def matches(start: str, goal: str) -> Matches:
        pairs = [(levels[side, 3], levels[side, 4]) for side in (start, goal)]
        return to_matches(maps[start], maps[goal], *pairs)

    to_source, to_target = matches("target", "source"), matches("source", "target")
    axis = torch.linspace(-1, 1, 6)
    own = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    outputs: Arrays = {}
    for reading, (beta, sigma) in READINGS.items():
        out = f"{method}/out/{reading}"
        grid = mean_targets(to_source.volume, sigma, beta)
        outputs[f"{out}/grid_target_to_source"] = grid.numpy()
        outputs[f"{out}/flow_target_to_source"] = (grid - own).permute(2, 0, 1).numpy()
        outputs[f"{out}/grid_source_to_target"] = mean_targets(to_target.volume, sigma, beta).numpy()
        points = torch.from_numpy(arrays[f"{method}/in/{reading}/target_points"]).double()
        outputs[f"{out}/source_points"] = GridCorner(sigma, beta).read(to_source, points).points.numpy()
    return outputs


def _frame(height_width: np.ndarray, cells: int, border: int) -> Frame:
    """The frame of a picture that was stretched to a square of so many cells, less a border of cells."""
    height, width = (int(side) for side in height_width)
    side, inner = cells * CELL, (cells - 2 * border) * CELL
    offset = float(border * CELL)
    return Frame(Size(width, height), Size(side, side), (inner / width, inner / height), (offset, offset))


def check_parts(folder: Path) -> None:
    """Adaptation, attention, correlation of two levels, and the reading of points."""
    arrays, outputs = computed_once(folder / "sfnet_pmd.npz", compute_parts)
    compare_outputs(
        arrays,
        outputs,
        lambda key, expected: 1e-3 if key.endswith("points") else 1e-5 * float(np.abs(expected).max()),
    )


def module_by_rule(make: Callable[..., Module], shapes: Shapes, name: str, seed: int) -> Module:
    """A module whose tensors are drawn from a seed of its own.

    Args:
        shapes: those of the whole network's tensors: name -> shape.
        name: of the module in it.
    """
    own = {key.removeprefix(f"{name}."): shape for key, shape in shapes if key.startswith(f"{name}.")}
    channels, _, kernel, _ = own["conv1.0.weight" if "conv1.0.weight" in own else "mu_conv.0.weight"]
    module = make(channels, kernel) if kernel > 1 else make(channels)
    tensors = {key: torch.zeros((), dtype=torch.long) for key in own if "num_batches_tracked" in key}
    module.load_state_dict(tensors | weights_by_rule(own, seed))
    return module.eval()


def resnet_by_rule(seed: int, layers: tuple[int, ...] = (3, 4, 23, 3)) -> ResNet:
    """A ResNet of bottlenecks whose tensors are drawn from a seed; those of a classifier are counted."""
    resnet = ResNet(64, (256, 512, 1024, 2048), layers)
    shapes: dict[str, Any] = {name: tensor.shape for name, tensor in resnet.torchvision_state().items()}
    shapes |= {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    return resnet.load(weights_by_rule(shapes, seed, lambda name: name.startswith("fc.")))


@cache
def _adapted_levels(seed: int, shapes: Shapes) -> tuple[list[tuple[Tensor, Tensor]], int]:
    """Both levels of the source and of the target, and the number of the adaptations' parameters.

    SFNet's and PMD's are the same, and computed once.
    """
    resnet = resnet_by_rule(seed).eval()
    indices = [resnet.levels_of(layer)[-1] for layer in (3, 4)]
    modules = [
        module_by_rule(Adaptation, shapes, f"adap_layer_feat{level}", seed + 97 + level) for level in (3, 4)
    ]
    levels = []
    for picture in pictures_by_rule(seed, 320):
        third, fourth = resnet(picture, indices)
        levels.append((modules[0](third), modules[1](fourth)))
    return levels, sum(_count_parameters(module) for module in modules)


def _count_parameters(module: Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def compute_whole(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Outputs of a whole network at true shape."""
    seed = int(arrays["seed"])
    shapes = tuple(
        (key.removeprefix("shape/"), tuple(int(side) for side in arrays[key]))
        for key in arrays
        if key.startswith("shape/")
    )
    adaptations = tuple((name, shape) for name, shape in shapes if name.startswith("adap_"))
    (source, target), parameters = _adapted_levels(seed, adaptations)
    if len(shapes) > len(adaptations):
        attention = module_by_rule(ChannelAttention, shapes, "chn4", seed + 102)
        parameters += _count_parameters(attention)
        deep_source, deep_target = attend(attention, source[1], target[1])
        source, target = (source[0], deep_source), (target[0], deep_target)
    frame = Frame.unchanged(Size(320, 320))
    maps = [FeatureMap(levels[0][0], frame, "corner") for levels in (target, source)]
    volume = to_matches(*maps, target, source).volume
    return {"out/grid_target_to_source": mean_targets(volume, 5.0, 50.0).numpy(), "parameters": parameters}


def check_whole(folder: Path, method: str) -> None:
    """The whole network, with weights made by a rule."""
    arrays, outputs = computed_once(folder / f"true_shape_{method}.npz", compute_whole)
    compare_outputs(arrays, outputs, lambda key, expected: 0.0 if key == "parameters" else 1e-4)


def check_whole_sfnet(folder: Path) -> None:
    """SFNet at true shape."""
    check_whole(folder, "sfnet")


def check_whole_pmd(folder: Path) -> None:
    """PMD at true shape."""
    check_whole(folder, "pmd")


CHECKS = {
    "sfnet_pmd": check_parts,
    "true_shape_sfnet": check_whole_sfnet,
    "true_shape_pmd": check_whole_pmd,
}
"""Name of a file -> its check."""
