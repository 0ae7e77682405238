"""Agreement of DHPF and its reading with what the authors' own program returns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from classic_rules import pictures_by_rule, points_by_rule, weights_by_rule
from classic_vectors import tensors_below
from torch import Tensor

from harness.frames import Frame, Size, cells_to_pixels
from harness.specs import Lattice, Matches
from matchers.backbones.resnet import ResNet
from matchers.dhpf.checkpoint import read_all_levels
from matchers.dhpf.correlation import correlate_appearance, stack_levels
from matchers.dhpf.hough import HoughSpace
from matchers.dhpf.matcher import LATTICE
from matchers.dhpf.network import Learner, Widths, global_means, open_gates, taken_levels
from matchers.formulas import filter_mutually
from matchers.localizers.boxes import Boxes

Arrays = Mapping[str, np.ndarray]
Results = dict[str, np.ndarray]
Outputs = Iterator[tuple[str, Tensor]]

SMALL, TRUE = 32, 240
"""Sides of the input in pixels: of the small network, and of the authors'."""


def make_network(backbone: Mapping[str, Tensor], learner: Mapping[str, Tensor]) -> tuple[ResNet, Learner]:
    resnet = ResNet.like(backbone).load(backbone).eval()
    head = Learner(Widths.of(learner))
    head.load_state_dict(learner, strict=False)
    return resnet, head.eval()


def match(resnet: ResNet, learner: Learner, source: Tensor, target: Tensor) -> Outputs:
    """Everything between pictures (1, 3, side, side) and points."""
    levels = [read_all_levels(resnet, pixels) for pixels in (source, target)]
    gates = open_gates(learner.gate_scores(*(global_means(image) for image in levels))[0])
    yield "selected", gates.float()
    reduced = [learner.reduce(image) for image in levels]
    size = (levels[0][0].shape[2], levels[0][0].shape[3])
    numbers = taken_levels(gates)
    stacked = [stack_levels([image[number][0] for number in numbers], size) for image in reduced]
    appearance = correlate_appearance(*stacked)
    yield "appearance", appearance
    space = HoughSpace(source.shape[-1], size[1], appearance)
    yield "hough", space.all_scores(appearance)
    corr = appearance.clone()
    space.weigh(corr)
    yield "corr", corr
    yield "mutual", filter_mutually(corr, zero_maximum=True)


def lattice(side: int) -> Lattice:
    return Lattice(Frame.unchanged(Size(side, side)), Size(side // 4, side // 4), LATTICE)


def read_points(corr: Tensor, points: Tensor, side: int) -> Tensor:
    matches = Matches(lattice(side), lattice(side), volume=corr.view((side // 4,) * 4))
    return Boxes().read(matches, points.double()).points


def all_bins(space: HoughSpace) -> Tensor:
    """(S, T) bins, across first."""
    down = space.axis_bins[:, None, :, None]
    across = space.axis_bins[None, :, None, :]
    return (across + space.bins * down).reshape(space.cells**2, space.cells**2)


def small(arrays: Arrays) -> Outputs:
    resnet, learner = make_network(tensors_below(arrays, "backbone/"), tensors_below(arrays, "learner/"))
    given = tensors_below(arrays, "in/")
    for pair in range(3):
        if pair == 2:
            close_all_gates(learner)
        source, target = given["source"][pair, None], given["target"][pair, None]
        results = dict(match(resnet, learner, source, target))
        for name, value in results.items():
            yield f"out/{pair}/{name}", value
        yield (
            f"out/{pair}/target_points",
            read_points(results["corr"], given["source_points"][pair], SMALL),
        )
    space, reach = HoughSpace(SMALL, SMALL // 4, given["source"]), Boxes().reach * 4
    cells = torch.cartesian_prod(torch.arange(SMALL // 4), torch.arange(SMALL // 4)).flip(1).double()
    centres = cells_to_pixels(cells, Size(SMALL, SMALL), Size(SMALL // 4, SMALL // 4), LATTICE)
    yield "out/box_centers", centres
    yield "out/boxes", torch.cat([centres - reach, centres + reach], dim=1)
    yield "out/hough_bins", all_bins(space)
    yield "out/hough_filter", space.kernel
    yield "out/hough_size", torch.tensor([space.bins, space.bins])
    true_space = HoughSpace(TRUE, TRUE // 4, given["source"])
    yield "out/true_size_bins_rows", all_bins(true_space)[::601, ::37]
    yield "out/true_size_hough_size", torch.tensor([true_space.bins, true_space.bins])


def close_all_gates(learner: Learner) -> None:
    """Replaces each gate's last kernel by rows (|w|, -|w|), w its first row."""
    for gate in learner.gumbel_ffns:
        weight = gate[-1].weight.data
        weight.copy_(torch.stack([weight[0].abs(), -weight[0].abs()]))


def true_shape(arrays: Arrays) -> Outputs:
    seed = int(arrays["seed"])
    shapes = {
        name.removeprefix("shape/"): tuple(value)
        for name, value in arrays.items()
        if name.startswith("shape/")
    }
    learner_weights = weights_by_rule(shapes, seed + 100)
    published = ResNet(64, (256, 512, 1024, 2048), (3, 4, 23, 3))
    names = {name: tuple(value.shape) for name, value in published.state_dict().items()}
    # The classifier's tensors are counted.
    names |= {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    backbone = weights_by_rule(names, seed, skip=lambda name: name.startswith("fc."))
    resnet, learner = make_network(backbone, learner_weights)
    results = dict(match(resnet, learner, *pictures_by_rule(seed, TRUE)))
    yield "out/selected", results["selected"]
    yield "out/corr_rows", results["corr"][::601]
    yield "out/target_points", read_points(results["corr"], points_by_rule(seed, 5, 235), TRUE)
    yield "parameters", torch.tensor(sum(parameter.numel() for parameter in learner.parameters()))


RELATIVE = {"dhpf": 1e-5, "true_shape_dhpf": 2e-5}
PIXELS = {"dhpf": 1e-3, "true_shape_dhpf": 2e-3}
EXACT = ("selected", "boxes", "box_centers", "hough_bins", "bins_rows", "hough_size", "parameters")

COMPUTE: Mapping[str, Callable[[Arrays], Outputs]] = {"dhpf": small, "true_shape_dhpf": true_shape}

_computed: dict[str, Results] = {}
"""By the content of what goes in."""


def compute(name: str, arrays: Arrays) -> Results:
    """Our results for a file, whatever it says of the authors'."""
    digest = hashlib.sha256(name.encode())
    for key, value in sorted(arrays.items()):
        if not key.startswith("out/") and key != "parameters":
            digest.update(key.encode() + value.tobytes())
    key = digest.hexdigest()
    if key not in _computed:
        with torch.inference_mode():
            _computed[key] = {output: value.numpy() for output, value in COMPUTE[name](arrays)}
    return _computed[key]


def check(name: str, folder: Path) -> None:
    arrays = dict(np.load(folder / f"{name}.npz"))
    results = compute(name, arrays)
    assert results.keys() == {key for key in arrays if key.startswith("out/") or key == "parameters"}
    for output, value in results.items():
        expected = arrays[output].astype(np.float64)
        assert value.shape == expected.shape, output
        largest = np.abs(value - expected).max()
        if output.endswith(EXACT):
            tolerance = 0.0
        elif output.endswith("points"):
            tolerance = PIXELS[name]
        else:
            tolerance = RELATIVE[name] * np.abs(expected).max()
        assert largest <= tolerance, f"{output}: {largest} > {tolerance}"


CHECKS: Mapping[str, Callable[[Path], None]] = {
    "dhpf": lambda folder: check("dhpf", folder),
    "true_shape_dhpf": lambda folder: check("true_shape_dhpf", folder),
}
