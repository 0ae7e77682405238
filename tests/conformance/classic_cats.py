"""Agreement of CATs, SCorrSAN and their reading with what the authors' own programs return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import PIL.Image
import torch
from classic_rules import pictures_by_rule, points_by_rule, weights_by_rule
from classic_vectors import tensors_below
from torch import Tensor, nn

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, Lattice, MakeContext, Matches, SharedObjects
from matchers.backbones.checkpoints import load_tensors
from matchers.cats.files import (
    BACKBONE,
    PUBLISHED_LEVELS,
    UNREAD,
    check_constants,
    load_cats,
    share_network,
)
from matchers.cats.network import Cats, CatsHead, HeadShape, correlate_levels
from matchers.cats.targets import sparse_flow
from matchers.formulas import correlate, filter_mutually, resize_corners
from matchers.localizers.flow_pixel import FlowPixel, flow_of_volume
from matchers.scorrsan.files import load_scorrsan
from matchers.scorrsan.network import ScorrsanHead, ScorrsanShape, enlarge, filter_cosines

Arrays = Mapping[str, np.ndarray]
Results = dict[str, np.ndarray]
Outputs = Iterator[tuple[str, Tensor]]
Shapes = dict[str, tuple[int, ...]]

TEMPERATURE = 0.02
SIDE = 256
FILE = Path("vectors")
"""Stands for the weights' file in messages."""

UNUSED = ("decoder.norm.weight", "decoder.norm.bias")
"""Ends of the names of weights on which no output depends."""


def filled(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    try:
        load_tensors(network, weights, FILE, UNREAD)
        check_constants(weights, FILE)
    except UserError as error:
        raise AssertionError(str(error)) from error
    network.eval()


def as_matches(volume: Tensor) -> Matches:
    """A correlation (S, T) in the harness's direction: the authors look up cells of their target."""
    grid = round(volume.shape[0] ** 0.5)
    lattice = Lattice(Frame.unchanged(Size(SIDE, SIDE)), Size(grid, grid), "half-pixel")
    return Matches(lattice, lattice, volume=volume.T.reshape(grid, grid, grid, grid).contiguous())


def read_points(volume: Tensor, points: Tensor) -> Tensor:
    """Source points of target points (N, 2), both in a frame of 256 pixels, from a correlation (S, T)."""
    return FlowPixel(temperature=TEMPERATURE).read(as_matches(volume), points.double()).points


def flow_on_target(volume: Tensor) -> Tensor:
    """Flow (2, h, w) from target to source cells, from a correlation (S, T)."""
    matches = as_matches(volume)
    assert matches.volume is not None
    return flow_of_volume(matches.volume, TEMPERATURE)


def readings(volumes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Flows and source points of correlations (B, S, T) and target points (B, N, 2)."""
    flows = torch.stack([flow_on_target(volume) for volume in volumes])
    pairs = zip(volumes, points, strict=True)
    return flows, torch.stack([read_points(*pair) for pair in pairs])


def flat(volumes: Tensor) -> Tensor:
    """(B, h, w, h', w') -> (B, S, T)."""
    return volumes.flatten(3).flatten(1, 2)


def small_cats(arrays: Arrays) -> Outputs:
    for case in ("depth1", "depth2"):
        weights = tensors_below(arrays, f"{case}/weights/")
        head = CatsHead(HeadShape.of(weights))
        filled(head, weights)
        given = tensors_below(arrays, f"{case}/in/")
        source, target = ([given[f"{side}{level}"] for level in range(3)] for side in ("source", "target"))
        cosines = correlate_levels(source, target)
        mutual = filter_mutually(cosines, zero_maximum=True)
        refined = head(mutual, head.project(source), head.project(target))
        flows, points = readings(refined, given["target_points"])
        yield f"{case}/out/corr", cosines
        yield f"{case}/out/mutual", mutual
        yield f"{case}/out/refined", refined
        yield f"{case}/out/flow", flows
        yield f"{case}/out/source_points", points
    yield "out/level_resized", resize_corners(torch.from_numpy(arrays["in/level"]), (4, 4))
    source, target = (torch.from_numpy(arrays[f"in/train_{side}_points"]) for side in ("source", "target"))
    yield "out/train_flow", sparse_flow(target, source, grid=16, side=SIDE)[0]


def small_scorrsan(arrays: Arrays) -> Outputs:
    for case in ("k3", "k7"):
        weights = tensors_below(arrays, f"{case}/weights/")
        given = tensors_below(arrays, f"{case}/in/")
        head = ScorrsanHead(ScorrsanShape.of(weights, channels=given["source"].shape[1]))
        filled(head, weights)
        source, target = head.encode(given["source"]), head.encode(given["target"])
        mutual = filter_cosines(source, target)
        flows, points = readings(flat(enlarge(mutual, head.shape.grid)), given["target_points"])
        yield f"{case}/out/context_source", head.SCEs[0](given["source"])
        yield f"{case}/out/corr", flat(correlate(source, target))
        yield f"{case}/out/mutual", flat(mutual)
        yield f"{case}/out/flow", flows
        yield f"{case}/out/source_points", points


def shapes_of(arrays: Arrays) -> Shapes:
    return {
        name.removeprefix("shape/"): tuple(int(side) for side in value)
        for name, value in arrays.items()
        if name.startswith("shape/")
    }


def with_head(shapes: Shapes, head: nn.Module) -> Shapes:
    """A checkpoint's tensors with the head that is stated in place of its own."""
    backbone = {name: shape for name, shape in shapes.items() if name.startswith(BACKBONE)}
    return backbone | {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}


def parameters_of(head: nn.Module) -> int:
    return sum(tensor.numel() for tensor in head.state_dict().values())


def saved_as_the_authors_do(weights: Mapping[str, Tensor], folder: Path) -> Path:
    """A file with what their training program saves beside the network."""
    rest = {"epoch": 3, "best_loss": 1.5, "optimizer": {"state": {}, "param_groups": [{"lr": 3e-5}]}}
    torch.save({**rest, "state_dict": dict(weights)}, folder / "model_best.pth")
    return folder / "model_best.pth"


def matched_by_hooks(method: str, path: Path, seed: int) -> tuple[Matches, Tensor, SharedObjects]:
    """Matches and points by a method's own recipe, with a file of weights.

    The authors' target is the harness's source.
    """
    host = load_plugins()
    recipe = host.methods[method]
    extractor_spec, matcher_spec = host.extractors[recipe.extractor], host.matchers[recipe.matcher]
    context = MakeContext(weights={method: path}, params={**extractor_spec.params, **matcher_spec.params})
    assert extractor_spec.fed(context.weights) == (SIDE, SIDE)
    extractor, matcher = extractor_spec.make(context), matcher_spec.make(context)
    picture = PIL.Image.new("RGB", (SIDE, SIDE))
    requests = [
        ImageRequest(picture, str(number), "cat", prepared=pixels[0])
        for number, pixels in enumerate(pictures_by_rule(seed, SIDE))
    ]
    their_source, their_target = (extractor.extract([request])[0] for request in requests)
    (matches,) = matcher.match([(their_target, their_source)])
    options = recipe.localizer_options.get(recipe.localizer, {})
    localizer = host.localizers[recipe.localizer].make(**options)
    points = localizer.read(matches, points_by_rule(seed, 0, 255.9)).points
    return matches, points, context.shared


def only_head(tensors: Shapes, seed: int) -> dict[str, Tensor]:
    return weights_by_rule(tensors, seed, skip=lambda name: name.startswith(BACKBONE))


def true_cats(arrays: Arrays) -> Outputs:
    """SPair-71k's network as a file of the authors, through the hooks; PF-PASCAL's on the same backbone."""
    seed, shapes = int(arrays["seed"]), shapes_of(arrays)
    with TemporaryDirectory() as folder:
        path = saved_as_the_authors_do(weights_by_rule(shapes, seed), Path(folder))
        matches, points, shared = matched_by_hooks("cats", path, seed)
        context = MakeContext(weights={"cats": path}, shared=shared)
        network = share_network(context, "cats", load_cats, lambda whole: whole.backbone)
    yield "spair/out/flow", flow_of_volume(matches.volume, TEMPERATURE)
    yield "spair/out/source_points", points
    yield "spair/parameters", torch.tensor(parameters_of(CatsHead(network.shape)))
    levels = PUBLISHED_LEVELS[7]
    channels = tuple(network.backbone.channels[level] for level in levels)
    smaller = CatsHead(HeadShape(channels, grid=16, projection=128))
    # The backbone's tensors have the same places among the sorted names, and with them the same numbers.
    filled(smaller, only_head(with_head(shapes, smaller), seed))
    whole = Cats(network.backbone, smaller.shape, levels).eval()
    filled(whole, whole.state_dict() | smaller.state_dict())
    volume = whole.refine(*(whole.encode(pixels) for pixels in pictures_by_rule(seed, SIDE)))[0]
    yield "pfpascal/out/flow", flow_on_target(volume)
    yield "pfpascal/out/source_points", read_points(volume, points_by_rule(seed, 0, 255.9))
    yield "pfpascal/parameters", torch.tensor(parameters_of(smaller))


def true_scorrsan(arrays: Arrays) -> Outputs:
    """SPair-71k's network as a file of the authors' layout, through the hooks; PF-PASCAL's as for CATs."""
    seed, shapes = int(arrays["seed"]), shapes_of(arrays)
    with TemporaryDirectory() as folder:
        path = saved_as_the_authors_do(weights_by_rule(shapes, seed), Path(folder))
        matches, points, shared = matched_by_hooks("scorrsan", path, seed)
        context = MakeContext(weights={"scorrsan": path}, shared=shared)
        network = share_network(context, "scorrsan", load_scorrsan, lambda whole: whole.backbone)
    yield "spair/out/flow", flow_of_volume(matches.volume, TEMPERATURE)[:, ::3, ::3]
    yield "spair/out/source_points", points
    yield "spair/parameters", torch.tensor(parameters_of(network.SCEs))
    head = ScorrsanHead(ScorrsanShape(1024, 1024, kernel=13, grid=64))
    filled(head, only_head(with_head(shapes, head), seed))
    source, target = (head.encode(network.see(pixels)) for pixels in pictures_by_rule(seed, SIDE))
    volume = flat(head(source, target))[0]
    yield "pfpascal/out/flow", flow_on_target(volume)[:, ::3, ::3]
    yield "pfpascal/out/source_points", read_points(volume, points_by_rule(seed, 0, 255.9))
    yield "pfpascal/parameters", torch.tensor(parameters_of(head.SCEs))


COMPUTE: Mapping[str, Callable[[Arrays], Outputs]] = {
    "cats": small_cats,
    "scorrsan": small_scorrsan,
    "true_shape_cats": true_cats,
    "true_shape_scorrsan": true_scorrsan,
}

# Cells and pixels of a frame of 256; the authors' networks at true shape feel rounding more.
FLOW = {"cats": 2e-4, "scorrsan": 2e-4, "true_shape_cats": 1e-2, "true_shape_scorrsan": 2e-3}
POINTS = {"cats": 5e-3, "scorrsan": 5e-3, "true_shape_cats": 0.1, "true_shape_scorrsan": 1e-2}
MEAN_FLOW = {"true_shape_cats": 2e-4}

_computed: dict[str, Results] = {}
"""By the content of what goes in."""


def is_output(key: str) -> bool:
    return "out/" in key or key.endswith("parameters")


def compute(name: str, arrays: Arrays) -> Results:
    """Our results for a file, whatever it says of the authors'."""
    digest = hashlib.sha256(name.encode())
    for key, value in sorted(arrays.items()):
        if not is_output(key):
            digest.update(key.encode() + value.tobytes())
    key = digest.hexdigest()
    if key not in _computed:
        with torch.inference_mode():
            _computed[key] = {output: value.numpy() for output, value in COMPUTE[name](arrays)}
    return _computed[key]


def check(name: str, folder: Path) -> None:
    arrays = dict(np.load(folder / f"{name}.npz"))
    results = compute(name, arrays)
    assert results.keys() == {key for key in arrays if is_output(key)}
    for output, value in results.items():
        expected = arrays[output].astype(np.float64)
        assert value.shape == expected.shape, output
        differences = np.abs(value - expected)
        if output.endswith("parameters"):
            tolerance = 0.0
        elif output.endswith("out/flow"):
            tolerance = FLOW[name]
            assert differences.mean() <= MEAN_FLOW.get(name, tolerance), output
        elif output.endswith("points"):
            tolerance = POINTS[name]
        else:
            tolerance = 1e-5 * np.abs(expected).max()
        assert differences.max() <= tolerance, f"{output}: {differences.max()} > {tolerance}"


CHECKS: Mapping[str, Callable[[Path], None]] = {name: partial(check, name) for name in COMPUTE}
