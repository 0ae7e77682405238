"""NCNet and PWarpC-NCNet against their authors' programs.

Vectors are in the authors' direction: source A, target B, and points of B are looked up. Here they are
swapped: the authors' target is the source of the matches that are read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import PIL.Image
import torch
from classic_rules import pictures_by_rule, points_by_rule, weights_by_rule
from classic_vectors import Arrays, Outputs, compare, compute_once, tensors_below
from torch import Tensor, nn

from harness.frames import Frame, Size
from harness.specs import ImageRequest, Lattice, MakeContext, Matches
from matchers.backbones.inputs import stretch_area
from matchers.convolution4d import swap_sides
from matchers.formulas import correlate, normalize_features, resize_corners, unit_coordinates
from matchers.localizers.four_cells import FourCells
from matchers.localizers.picture_pixels import best_targets
from matchers.localizers.upsampled_flow import UpsampledFlow
from matchers.ncnet import spec
from matchers.ncnet.network import NeighConsensus, filter_sides, refine
from matchers.ncnet.objective import best_probabilities
from matchers.pwarpc.network import Bin, drop_bin


def size_of(height_width: np.ndarray) -> Size:
    height, width = (int(side) for side in height_width)
    return Size(width, height)


def swapped_matches(correlation: Tensor, source: Size, target: Size) -> Matches:
    """Matches from B to A of a correlation (A, B).

    Args:
        source, target: sizes of the authors' pictures A and B.
    """
    volume = swap_sides(correlation)
    height, width, rows, columns = volume.shape
    fed = Size(400, 400)
    return Matches(
        Lattice(Frame.stretched(target, fed), Size(width, height)),
        Lattice(Frame.stretched(source, fed), Size(columns, rows)),
        volume=volume,
    )


def flow_of(read: Callable[[Matches, Tensor], object], matches: Matches) -> Tensor:
    """Flow (2, H, W) in pixels at all whole pixels of the picture that is looked up."""
    width, height = matches.source.frame.original
    grid = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    points = torch.stack(grid, dim=-1).double()
    located = read(matches, points.view(-1, 2))
    return (located.points.view(height, width, 2) - points).permute(2, 0, 1)


# NCNet's parts


def matches_of_cells(correlation: Tensor) -> Tensor:
    """For every B cell of (A, B) the best A cell: rows xA, yA, xB, yB in -1..1, and the softmax's score."""
    best, _ = best_targets(swap_sides(correlation))
    height, width, rows, columns = correlation.shape
    own = torch.meshgrid(unit_coordinates(columns, best), unit_coordinates(rows, best), indexing="xy")
    last = torch.tensor([width - 1, height - 1])
    in_units = best / last * 2 - 1
    score = best_probabilities(correlation[None].flatten(3).flatten(1, 2))[0]
    return torch.stack([*in_units.flatten(0, 1).T, *(axis.flatten() for axis in own), score.double()])


def compute_ncnet(arrays: Arrays) -> Outputs:
    given = tensors_below(arrays, "in/")
    features = [normalize_features(given[f"feature_{side}"]) for side in "ab"]
    corr = correlate(*features)
    mutual = filter_sides(corr)
    outputs = {"out/corr": corr, "out/mutual": mutual}
    for net in ("k33", "k555"):
        weights = tensors_below(arrays, f"{net}/weights/NeighConsensus.")
        consensus = NeighConsensus.like(weights, net)
        consensus.load_state_dict(weights)
        outputs[f"out/{net}/consensus"] = consensus(mutual)
        outputs[f"out/{net}/final"] = refine(corr, consensus)
    sizes = size_of(arrays["in/source_hw"]), size_of(arrays["in/target_hw"])
    matches = swapped_matches(given["points_corr"], *sizes)
    points = given["target_points"].double()
    predicted = FourCells().read(matches, points).points
    last = torch.tensor([sizes[0].width - 1, sizes[0].height - 1])
    outputs |= {
        "out/matches": matches_of_cells(given["points_corr"]),
        "out/inverted_matches": matches_of_cells(swap_sides(given["points_corr"]))[[2, 3, 0, 1, 4]],
        "out/points_bilinear": predicted,
        "out/points_bilinear_unit": (predicted - 1) / last * 2 - 1,
        "out/points_nearest": FourCells(nearest=True).read(matches, points).points,
        "out/resize_original": resize_corners(given["image"][None], (10, 12))[0],
    }
    return outputs


def ncnet(folder: Path) -> None:
    """NCNet's parts."""
    arrays, outputs = compute_once(folder / "ncnet.npz", compute_ncnet)
    # What the authors' program does on a PyTorch that it was not written for.
    wanted = {name: value for name, value in arrays.items() if name != "out/resize_head"}
    compare(wanted, outputs, lambda name, largest: 1e-3 if is_pixels(name) else 2e-5 * largest)


def is_pixels(name: str) -> bool:
    return name in {"out/points_bilinear", "out/points_nearest"}


# PWarpC-NCNet


def compute_pwarpc(arrays: Arrays) -> Outputs:
    return _read_flows(arrays) | _run_network(arrays)


def _read_flows(arrays: Arrays) -> Outputs:
    corr = torch.from_numpy(arrays["in/corr"])
    with_bin = Bin(float(arrays["in/bin"]))(corr.flatten(2))
    outputs = {"out/bin_probability": with_bin.view(len(corr), -1, *corr.shape[2:])}
    for height, width in ((13, 17), (6, 6)):
        for name, temperature in (("argmax", None), ("softargmax_t0.02", 0.02)):
            size = Size(width, height)
            read = UpsampledFlow(temperature=temperature).read
            flows = [flow_of(read, swapped_matches(one.view(6, 6, 6, 6), size, size)) for one in corr]
            outputs[f"out/flow_{name}_{height}x{width}"] = torch.stack(flows)
    return outputs


def _stand_in(weights: dict[str, Tensor]) -> nn.Module:
    """The small network that stood for the ResNet."""
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.Conv2d(12, 16, 3, stride=2, padding=1),
    )
    layers.load_state_dict(weights)
    return layers.eval()


def _run_network(arrays: Arrays) -> Outputs:
    weights = tensors_below(arrays, "weights/matching_model.")
    backbone = _stand_in(_below(weights, "FeatureExtraction.model."))
    consensus = NeighConsensus.like(_below(weights, "NeighConsensus."), "pwarpc")
    consensus.load_state_dict(_below(weights, "NeighConsensus."))
    pictures = [PIL.Image.fromarray(arrays[f"in/{side}"].transpose(1, 2, 0)) for side in ("source", "target")]
    prepared = [stretch_area(picture, 400) for picture in pictures]
    features = [normalize_features(backbone(pixels[None])) for pixels in prepared]
    correlation = refine(correlate(*features), consensus)
    bin_model = Bin(float(arrays["weights/bin_model.bin_score"]))
    probability = bin_model(correlation.flatten(3).flatten(1, 2))
    without_bin = drop_bin(probability, correlation)
    # Their loader pads both to one size, so that flows are in pixels of the target for both.
    size = Size(*pictures[1].size)
    weak, strong = (swapped_matches(volume[0], size, size) for volume in (without_bin, correlation))
    cells, scores = best_targets(swap_sides(without_bin[0]))
    return {
        "out/prepared_source_stride16": prepared[0][:, ::16, ::16],
        "out/feature_source": features[0][0],
        "out/feature_target": features[1][0],
        "out/probability_max": scores,
        "out/probability_bin": probability[0, -1].view(25, 25),
        "out/best_source_cell": cells[..., 1] * 25 + cells[..., 0],
        "out/flow_weak": flow_of(FourCells(whole_pixels=True).read, weak),
        "out/flow_strong": flow_of(UpsampledFlow().read, strong),
    }


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def pwarpc(folder: Path) -> None:
    """PWarpC's readings and bin, and PWarpC-NCNet from pictures to flow."""
    arrays, outputs = compute_once(folder / "pwarpc.npz", compute_pwarpc)
    compare(arrays, outputs, lambda name, largest: 1e-3 if "flow" in name else 2e-5 * largest)


# NCNet at true shape


def compute_true_shape(arrays: Arrays) -> Outputs:
    shapes = {
        name.removeprefix("shape/"): tuple(int(side) for side in shape)
        for name, shape in arrays.items()
        if name.startswith("shape/")
    }
    seed = int(arrays["seed"])
    weights = weights_by_rule(shapes, seed)
    with TemporaryDirectory() as folder:
        context = MakeContext(weights={spec.SOURCE: write_authors_file(Path(folder), weights)})
        extractor, matcher = spec.EXTRACTORS[0].make(context), spec.MATCHERS[0].make(context)
    requests = [
        ImageRequest(PIL.Image.new("RGB", size), "", "", prepared=pixels[0])
        for size, pixels in zip(((333, 240), (310, 320)), pictures_by_rule(seed, 160), strict=True)
    ]
    first, second = extractor.extract(requests)
    (matches,) = matcher.match([(second, first)])
    localizer = spec.LOCALIZERS[0].make(**spec.LOCALIZERS[0].options)
    head = [tensor.numel() for name, tensor in weights.items() if name.startswith("NeighConsensus")]
    return {
        "out/corr": swap_sides(matches.volume),
        "out/source_points": localizer.read(matches, points_by_rule(seed, 1, 300)).points,
        "parameters": torch.tensor(sum(head)),
    }


def write_authors_file(folder: Path, weights: Mapping[str, Tensor]) -> Path:
    """Writes a checkpoint as their training program does, with what it saves besides."""
    arguments = argparse.Namespace(ncons_kernel_sizes=[5, 5, 5], ncons_channels=[16, 16, 1])
    content = {"epoch": 5, "args": arguments, "state_dict": dict(weights), "best_test_loss": np.float64(-0.1)}
    path = folder / "ncnet_pfpascal.pth.tar"
    torch.save(content, path)
    return path


def true_shape_ncnet(folder: Path) -> None:
    """From a checkpoint file to points: extractor, matcher and localizer, on pictures of 10 x 10 cells."""
    arrays, outputs = compute_once(folder / "true_shape_ncnet.npz", compute_true_shape)
    tolerances = {"out/source_points": 2e-3, "parameters": 0.0}
    compare(arrays, outputs, lambda name, largest: tolerances.get(name, 2e-5 * largest))


CHECKS: dict[str, Callable[[Path], None]] = {
    "ncnet": ncnet,
    "pwarpc": pwarpc,
    "true_shape_ncnet": true_shape_ncnet,
}
