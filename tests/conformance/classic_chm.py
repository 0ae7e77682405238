"""Agreement of CHM, TransforMatcher and their reading with what the authors' own programs return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from classic_rules import pictures_by_rule, points_by_rule, weights_by_rule
from classic_vectors import tensors_below
from torch import Tensor

from harness.frames import Frame, Size
from harness.specs import FeatureMap, Lattice, MakeContext, Matcher, Matches
from matchers.backbones.checkpoints import Checkpoint
from matchers.chm.extractor import ChmFeatures
from matchers.chm.matcher import ChmMatcher
from matchers.chm.network import Chm, ChmLearner, load_learner
from matchers.localizers.neighbours import Neighbours
from matchers.transformatcher.extractor import BlockOutputs
from matchers.transformatcher.matcher import MatchTransformer
from matchers.transformatcher.network import MatchToMatch, TransforMatcher, load_head

Arrays = Mapping[str, np.ndarray]
Results = dict[str, Tensor]
Shapes = tuple[tuple[str, tuple[int, ...]], ...]

SIDE = 240
CHM_READING = Neighbours(sigma=17, reach=0.1, constant=0)
READING = Neighbours(sigma=10, reach=0.05, constant=1e-5)
TRAINING_READING = Neighbours(sigma=10, reach=0.1, constant=1e-5)

_computed: dict[str, Results] = {}
"""By the content of what goes in."""


def compute_once(compute: Callable[[Arrays], Results], arrays: Arrays) -> Results:
    """Results of a function of some arrays; worked out once for the same content."""
    digest = hashlib.sha256(compute.__name__.encode())
    for key in sorted(arrays):
        digest.update(key.encode() + arrays[key].tobytes())
    if digest.hexdigest() not in _computed:
        with torch.inference_mode():
            _computed[digest.hexdigest()] = compute(arrays)
    return _computed[digest.hexdigest()]


def part_of(arrays: Arrays, *starts: str) -> Arrays:
    return {name: value for name, value in arrays.items() if name.startswith(starts)}


def rows_of(volume: Tensor) -> Tensor:
    """(1, h, w, h', w') -> (S, T)."""
    return volume[0].flatten(0, 1).flatten(1)


def read_points(matrix: Tensor, points: Tensor, reading: Neighbours) -> Tensor:
    """Reads a correlation (900, 900) in an image of 240 x 240 pixels."""
    lattice = Lattice(Frame.unchanged(Size(SIDE, SIDE)), Size(30, 30), "corner")
    matches = Matches(lattice, lattice, volume=matrix.view(30, 30, 30, 30))
    return reading.read(matches, points).points


def sharp_matrix(arrays: Arrays) -> Tensor:
    random = np.random.RandomState(int(arrays["in/points_seed"]) + 7)
    return torch.from_numpy((random.standard_normal((900, 900)) * 6).astype(np.float32))


def chm_learner(arrays: Arrays) -> Results:
    """One of the two kernels."""
    weights, inputs = tensors_below(arrays, "weights/"), tensors_below(arrays, "in/")
    learner = ChmLearner.like(weights)
    learner.load_state_dict(weights)
    maps = [learner.reduce(inputs[side]) for side in ("source", "target")]
    cells = (inputs["source"].shape[2], inputs["source"].shape[3])
    correlations = learner.correlate(*maps, cells, cells)
    kernel = learner.chm6d.kernel()
    return {
        "out/corr6d": correlations,
        "out/kernel4d": learner.chm4d.kernel(),
        "out/kernel6d_scale": kernel[:, :, 2, 2, 2, 2],
        "out/kernel6d_mid": kernel[1, 1],
        "out/hough6d": learner.chm6d(correlations),
        "out/corr": rows_of(learner(*maps, cells, cells))[None],
    }


def chm_points(arrays: Arrays) -> Results:
    points = torch.from_numpy(arrays["in/source_points"])
    return {"out/target_points": read_points(sharp_matrix(arrays), points, CHM_READING)}


def chm_parts(arrays: Arrays) -> Iterator[Results]:
    yield compute_once(chm_points, part_of(arrays, "in/"))
    for kind in ("psi", "iso"):
        own = {name.removeprefix(f"{kind}/"): array for name, array in arrays.items()}
        learned = compute_once(chm_learner, part_of(own, "in/source", "in/target", "weights/"))
        yield {f"{kind}/{name}": value for name, value in learned.items()}


def make_head(arrays: Arrays) -> MatchToMatch:
    weights = tensors_below(arrays, "weights/")
    head = MatchToMatch.like(weights)
    head.load_state_dict(weights)
    return head


def first_blocks(arrays: Arrays) -> Results:
    tokens = torch.from_numpy(arrays["in/tokens"])
    attention, feed_forward = make_head(arrays).trans_nc[0]
    return {"out/tokens_attention": attention(tokens), "out/tokens_feedforward": feed_forward(tokens)}


def match_to_match(arrays: Arrays) -> Results:
    head, inputs = make_head(arrays), tensors_below(arrays, "in/")
    source, target = (
        [level[None].float() for layer in (3, 4) for level in inputs[f"{side}_layer{layer}"]]
        for side in ("source", "target")
    )
    cosines = head.correlate(source, target)
    return {
        "out/cosine_rows": cosines[0, :, ::7, 0, ::4, ::4],
        "out/refined": rows_of(head.refine(cosines)),
        "matrix": rows_of(head(source, target)),
    }


def sharp_points(arrays: Arrays) -> Results:
    points, sharp = torch.from_numpy(arrays["in/source_points"]), sharp_matrix(arrays)
    return {
        "out/target_points_sharp": read_points(sharp, points, READING),
        "out/target_points_sharp_train": read_points(sharp, points, TRAINING_READING),
    }


def transformatcher_parts(arrays: Arrays) -> Iterator[Results]:
    """The whole head last: a change of weights that the first blocks notice is told sooner."""
    weights = part_of(arrays, "weights/")
    yield compute_once(sharp_points, part_of(arrays, "in/source_points", "in/points_seed"))
    yield compute_once(first_blocks, weights | part_of(arrays, "in/tokens"))
    matches = compute_once(match_to_match, weights | part_of(arrays, "in/source_l", "in/target_l")).copy()
    matrix = matches.pop("matrix")
    points = torch.from_numpy(arrays["in/source_points"])
    yield matches | {
        "out/corr_rows": matrix[::97],
        "out/target_points": read_points(matrix, points, READING),
    }


@cache
def backbone_by_rule(seed: int, shapes: Shapes) -> dict[str, Tensor]:
    """The tensors of a backbone; their names come first in their order, so that both networks' are the same.

    Those of the classifier are missing, which the published files may have.
    """
    return weights_by_rule(dict(shapes), seed, skip=lambda name: ".fc." in name)


def checkpoint_by_rule(arrays: Arrays) -> Checkpoint:
    """What a file of a whole network would hold."""
    seed = int(arrays["seed"])
    shapes = {
        name.removeprefix("shape/"): tuple(int(side) for side in value)
        for name, value in arrays.items()
        if name.startswith("shape/")
    }
    backbone = tuple(sorted((name, shape) for name, shape in shapes.items() if name.startswith("backbone.")))
    head = weights_by_rule(shapes, seed, skip=lambda name: name.startswith("backbone."))
    return Checkpoint(Path("by-rule.pt"), backbone_by_rule(seed, backbone) | head)


def read_whole(
    arrays: Arrays, extractor: ChmFeatures | BlockOutputs, matcher: Matcher, reading: Neighbours
) -> Results:
    """Pictures to points, through what the harness calls."""
    seed = int(arrays["seed"])
    frame = Frame.unchanged(Size(SIDE, SIDE))
    pair = []
    for pixels in pictures_by_rule(seed, SIDE):
        data, levels = extractor.features(pixels)
        pair.append(FeatureMap(data[0], frame, levels=tuple(level[0] for level in levels)))
    (matches,) = matcher.match([(pair[0], pair[1])])
    return {
        "out/corr_rows": rows_of(matches.volume[None])[::97],
        "out/target_points": reading.read(matches, points_by_rule(seed, 5, 235)).points,
    }


def count_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def whole_chm(arrays: Arrays) -> Results:
    checkpoint = checkpoint_by_rule(arrays)
    network = Chm.of(checkpoint)
    parts = ChmFeatures(network, SIDE, MakeContext()), ChmMatcher(load_learner(checkpoint), MakeContext())
    results = read_whole(arrays, *parts, CHM_READING)
    return results | {"parameters": torch.tensor(count_parameters(network.learner))}


def whole_transformatcher(arrays: Arrays) -> Results:
    checkpoint = checkpoint_by_rule(arrays)
    network = TransforMatcher.of(checkpoint)
    parts = BlockOutputs(network, SIDE, MakeContext()), MatchTransformer(load_head(checkpoint), MakeContext())
    results = read_whole(arrays, *parts, READING)
    # The authors' count has the table that is never used.
    unused = checkpoint.tensors["match2match.posenc"].numel()
    return results | {"parameters": torch.tensor(count_parameters(network.match2match) + unused)}


RELATIVE = {"chm": 1e-5, "transformatcher": 1e-4}
ABSOLUTE = 1e-4
"""Of true-shape correlations."""

PIXELS = {"chm": 1e-3, "transformatcher": 1e-3}
TRUE_SHAPE_PIXELS = 2e-3


def tolerance(name: str, output: str, expected: np.ndarray) -> float:
    """Largest difference of a file's array."""
    if output == "parameters":
        return 0
    if "points" in output:
        return PIXELS.get(name, TRUE_SHAPE_PIXELS)
    return RELATIVE[name] * float(np.abs(expected).max()) if name in RELATIVE else ABSOLUTE


def check(name: str, parts: Callable[[Arrays], Iterator[Results]], folder: Path) -> None:
    """Compares all that comes out of a file, part by part."""
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    expected = {key: value for key, value in arrays.items() if "out/" in key or key == "parameters"}
    given = {key: value for key, value in arrays.items() if key not in expected}
    compared = set()
    for results in parts(given):
        for output, value in results.items():
            limit = tolerance(name, output, expected[output])
            np.testing.assert_allclose(value.numpy(), expected[output], rtol=0, atol=limit, err_msg=output)
            assert value.shape == expected[output].shape
            compared.add(output)
    assert compared == expected.keys()


def whole(compute: Callable[[Arrays], Results], arrays: Arrays) -> Iterator[Results]:
    yield compute_once(compute, arrays)


CHECKS: Mapping[str, Callable[[Path], None]] = {
    "chm": partial(check, "chm", chm_parts),
    "transformatcher": partial(check, "transformatcher", transformatcher_parts),
    "true_shape_chm": partial(check, "true_shape_chm", partial(whole, whole_chm)),
    "true_shape_transformatcher": partial(
        check, "true_shape_transformatcher", partial(whole, whole_transformatcher)
    ),
}
"""Name of a file -> its check."""
