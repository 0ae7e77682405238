"""Checks that both ways give the same numbers on the same draws, before anything is timed.

A faster way to other numbers would not be a gain.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import published
import torch
from ours import (
    CountedTraining,
    Setup,
    extractor_of,
    localizer_of,
    requests_of,
    with_category_prompts,
)
from published_training import PublishedTraining
from torch import Tensor

from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from harness.running.predict import make_pair_features
from harness.specs import FeatureMap, ImagePair, ImageRequest

ROUNDING = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.1}
"""Largest difference of two feature maps, over the map's norm."""

TIE = 1e-5
"""Cosines that differ by less are the same number computed in two orders."""

SOFT_PIXELS = 0.05
LOSS = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.05}
"""Largest relative difference of two losses."""


class Disagreement(Exception):
    """The published way and ours give different numbers."""


def draws(what: str, places: Sequence[Any], shape: Sequence[int]) -> Tensor:
    """The normal numbers that ours takes at some places: (n, *shape)."""
    tensors = []
    for place in places:
        key = place if isinstance(place, tuple) else (place,)
        tensors.append(draw_noise(shape, what, *key))
    return torch.stack(tensors)


def members(request: ImageRequest, timestep: int, count: int) -> list[tuple[Any, ...]]:
    """Keys of the draws of a picture's ensemble."""
    return [(request.seed, request.identity, timestep, member) for member in range(count)]


def sd4match_draws(
    requests: Sequence[ImageRequest], timestep: int, ensemble: int, shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Draws of a pair's pictures.

    Returns:
        (2, *shape) of the posteriors, one sample for each picture, and (2, ensemble, *shape) of the noise.
    """
    sample_keys, noise = [], []
    for request in requests:
        # Without an ensemble member: SD4Match repeats one sample.
        sample_keys.append((request.seed, request.identity, timestep))
        noise.append(draws("noise", members(request, timestep, ensemble), shape))
    return draws("posterior", sample_keys, shape), torch.stack(noise)


def check(name: str, difference: float, limit: float) -> str:
    """A line for the report. Raises `Disagreement`."""
    # Written so that NaN is refused.
    if not difference <= limit:
        raise Disagreement(
            f"{name}: ours and the published way differ by {difference:.3g}, more than {limit:g}"
        )
    return f"{name}: {difference:.2g} (limit {limit:g})"


def largest(differences: Sequence[float]) -> float:
    """The largest difference; NaN if one of them is, which Python's `max` would pass over."""
    return float(torch.tensor(differences, dtype=torch.float64).max())


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm."""
    expected = theirs.float()
    difference = ours.float() - expected
    return float(difference.norm() / expected.norm())


def check_dift(setup: Setup, diffusion: published.Diffusion, count: int) -> list[str]:
    """Features of the first pairs' pictures, and where `argmax-original` finds their points.

    Raises:
        Disagreement: features differ by more than rounding, or a predicted pixel has not the highest cosine.
    """
    prepared = setup.resolve("dift")
    backbone, _ = setup.backbone(prepared)
    params: dict[str, Any] = dict(prepared.cell.params)
    timestep, ensemble = params["timestep"], params["ensemble"]
    cell, pairs = prepared.index, list(prepared.index.pairs.values())[:count]
    requests = with_category_prompts(requests_of(pairs, cell))
    maps: dict[str, FeatureMap] = {}
    feature_maps = extractor_of(setup, prepared).extract(requests)
    for request, feature_map in zip(requests, feature_maps, strict=True):
        maps[request.identity] = feature_map
    shape = _latent_shape(backbone, diffusion)
    differences: list[float] = []
    for request in requests:
        ours = maps[request.identity]
        # The published way gets the numbers that ours has drawn: fresh ones would differ by chance.
        keys = members(request, timestep, ensemble)
        drawn, noise = draws("posterior", keys, shape), draws("noise", keys, shape)
        theirs = published.dift_features(
            diffusion,
            request.image,
            backbone.text_states(str(request.prompt)),
            timestep,
            ensemble,
            drawn,
            noise,
        )
        differences.append(relative(ours.data, theirs))
    checks = [check("features of dift, relative", largest(differences), ROUNDING[setup.precision])]
    localizer = localizer_of(prepared)
    deficits: list[float] = []
    moved = points = 0
    for pair in pairs:
        source = maps[pair.source.identity()]
        target = maps[pair.target.identity()]
        deficit, moved_points = _deficit(localizer, source, target, pair)
        deficits.append(deficit)
        moved += moved_points
        points += len(pair.source_points)
    same = f"{points - moved} of {points} points at the same pixel"
    # Rounding may exchange two pixels of nearly equal cosine, so cosines are compared instead of pixels.
    checks.append(check(f"argmax-original, cosine that is lacking ({same})", largest(deficits), TIE))
    return checks


def _latent_shape(backbone: StableDiffusion, diffusion: published.Diffusion) -> Sequence[int]:
    """(4, h, w): shape of the latents of one picture."""
    pixels = torch.zeros(1, 3, diffusion.side, diffusion.side)
    return backbone.posterior(pixels).mean.shape[1:]


def _deficit(localizer: Any, source: FeatureMap, target: FeatureMap, pair: ImagePair) -> tuple[float, int]:
    """The largest lack of cosine at our pixels against the highest, and the number of pixels that differ."""
    points = torch.from_numpy(pair.source_points)
    with torch.inference_mode():
        predicted = localizer(source, target, points).points.cpu()
    once, cosines = published.dift_points_normalised_once(
        source.data, target.data, pair.source_size, pair.target_size, points
    )
    plain = published.dift_points(source.data, target.data, pair.source_size, pair.target_size, points)
    if not torch.equal(once, plain):
        raise Disagreement("the published way finds other points when it normalises once")
    columns, rows = predicted.long().unbind(1)
    at_ours = cosines.cpu()[torch.arange(len(points)), rows, columns]
    highest = cosines.flatten(1).max(dim=1).values.cpu()
    elsewhere = (predicted != once).any(dim=1)
    return float((highest - at_ours).max()), int(elsewhere.sum())


def check_cpm(setup: Setup, diffusion: published.Diffusion, count: int) -> list[str]:
    """Maps and points of the first pairs under SD4Match-CPM. Raises `Disagreement`."""
    prepared = setup.resolve("sd4match-cpm")
    backbone, _ = setup.backbone(prepared)
    params: dict[str, Any] = dict(prepared.cell.params)
    timestep, ensemble = params["timestep"], params["ensemble"]
    features = make_pair_features(prepared, setup.shared)
    localizer = localizer_of(prepared)
    prompt: Any = features.prompt
    shape = _latent_shape(backbone, diffusion)
    differences: list[float] = []
    shifts: list[float] = []
    for pair in list(prepared.index.pairs.values())[:count]:
        ours = features(pair)
        requests = requests_of([pair], prepared.index)
        states = backbone.condition(prompt.make(pair.category, tuple(requests))).states
        images = [request.image for request in requests]
        drawn, noise = sd4match_draws(requests, timestep, ensemble, shape)
        theirs = published.sd4match_maps(diffusion, images, states, timestep, ensemble, drawn, noise)
        for feature_map, tensor in zip(ours, theirs, strict=True):
            differences.append(relative(feature_map.data, tensor))
        if setup.precision != "fp32":
            # Half precision moves soft localizers too far: they are compared on the same maps.
            theirs = [feature_map.data for feature_map in ours]
        points = torch.from_numpy(pair.source_points)
        with torch.inference_mode():
            predicted = localizer(*ours, points).points.cpu()
        expected = locate_as_published(theirs, ours, points, localizer)
        distances = (predicted - expected).norm(dim=1)
        shifts.append(float(distances.max()))
    return [
        check("maps of sd4match-cpm, relative", largest(differences), ROUNDING[setup.precision]),
        check("kernel-softmax, pixels", largest(shifts), SOFT_PIXELS),
    ]


def locate_as_published(
    maps: Sequence[Tensor], ours: Sequence[FeatureMap], points: Tensor, localizer: Any
) -> Tensor:
    """The published kernel-softmax in original pixels, (N, 2)."""
    source, target = (feature_map.frame for feature_map in ours)
    side = source.size.width
    # As the authors' code, which keeps queries off the outermost edge.
    queries = source.from_original(points).clamp(1e-4, side - 1 - 1e-4)
    sigma = kernel_sigma(localizer, maps[1])
    predicted = published.kernel_softmax(maps[0], maps[1], queries.to(maps[0]), side, sigma)
    converted: Tensor = target.to_original(predicted.double().cpu())
    return converted


def kernel_sigma(localizer: Any, target: Tensor) -> float:
    """Standard deviation of a localizer's Gaussian in cells of a map."""
    return float(localizer.sigma * max(target.shape[1:]) / localizer.relative_to)


def check_training(ours: CountedTraining, theirs: PublishedTraining) -> list[str]:
    """Checks the loss of the next step, from the same module and draws. Neither training moves.

    Raises:
        Disagreement: the losses differ by more than rounding.
    """
    settings, step = ours.job.settings, ours.job.training.step
    shape = ours.job.inputs.maps._shape
    # The published step moves its module and Adam's moments; both are put back below.
    state = copy.deepcopy(theirs.module.state_dict())
    optimizer = copy.deepcopy(theirs._optimizer.state_dict())

    def same(what: str, places: Sequence[str]) -> Tensor:
        keys = [("training", settings.seed, step, place) for place in places]
        return draws(what, keys, shape)

    our_loss = ours.job.training.gradients.accumulate(step)
    their_loss = theirs.step(same)
    theirs.module.load_state_dict(state)
    theirs._optimizer.load_state_dict(optimizer)
    theirs.step_number = step
    return [
        check(
            "loss of a training step, relative",
            abs(our_loss - their_loss) / abs(their_loss),
            LOSS[settings.precision],
        )
    ]
