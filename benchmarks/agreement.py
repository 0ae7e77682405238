"""Both ways give the same: checked on the same draws before anything is timed, since a faster way to other numbers is no gain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import published
import torch
from ours import CountedTraining, Setup, extractor_of, localizer_of, requests_of
from published_training import PublishedTraining
from torch import Tensor

from baselines.stable_diffusion.backbone import draw_noise
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
    return torch.stack(
        [draw_noise(shape, what, *(place if isinstance(place, tuple) else (place,))) for place in places]
    )


def members(request: ImageRequest, timestep: int, count: int) -> list[tuple[Any, ...]]:
    """What the draws of a picture's ensemble belong to."""
    return [(request.seed, request.identity, timestep, member) for member in range(count)]


def check(name: str, found: float, limit: float) -> str:
    """A line for the report. Raises `Disagreement`."""
    if not found <= limit:
        raise Disagreement(f"{name}: ours and the published way differ by {found:.3g}, more than {limit:g}")
    return f"{name}: {found:.2g} (limit {limit:g})"


def relative(one: Tensor, other: Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((one.float() - other.float()).norm() / other.float().norm())


def check_dift(setup: Setup, diffusion: published.Diffusion, count: int) -> list[str]:
    """Features of the first pairs' pictures, and where `argmax-original` finds their points.

    Raises:
        Disagreement: features differ by more than rounding, or a point is found at a pixel whose cosine is not the highest.
    """
    prepared = setup.prepared("dift")
    backbone, _ = setup.backbone(prepared)
    params: dict[str, Any] = dict(prepared.cell.params)
    timestep, ensemble = params["timestep"], params["ensemble"]
    cell, pairs = prepared.index, list(prepared.index.pairs.values())[:count]
    requests = [replace(one, prompt=f"a photo of a {one.category}") for one in requests_of(pairs, cell)]
    maps = dict(
        zip([one.identity for one in requests], extractor_of(setup, prepared).extract(requests), strict=True)
    )
    worst = 0.0
    for request in requests:
        ours = maps[request.identity]
        shape = backbone.posterior(torch.zeros(1, 3, diffusion.side, diffusion.side)).mean.shape[1:]
        drawn, noise = (
            draws(what, members(request, timestep, ensemble), shape) for what in ("posterior", "noise")
        )
        theirs = published.dift_features(
            diffusion,
            request.image,
            backbone.text_states(str(request.prompt)),
            timestep,
            ensemble,
            drawn,
            noise,
        )
        worst = max(worst, relative(ours.data, theirs))
    told = [check("features of dift, relative", worst, ROUNDING[setup.precision])]
    localizer, deficit, moved, points = localizer_of(prepared), 0.0, 0, 0
    for pair in pairs:
        lack, elsewhere = _deficit(
            localizer, maps[pair.source.identity()], maps[pair.target.identity()], pair
        )
        deficit, moved, points = max(deficit, lack), moved + elsewhere, points + len(pair.source_points)
    told.append(
        check(
            f"argmax-original, cosine that is lacking ({points - moved} of {points} points at the same pixel)",
            deficit,
            TIE,
        )
    )
    return told


def _deficit(localizer: Any, source: FeatureMap, target: FeatureMap, pair: ImagePair) -> tuple[float, int]:
    """By how much the cosine at our pixels is below the highest, at most; and how many pixels are others than the published way's."""
    points = torch.from_numpy(pair.source_points)
    with torch.inference_mode():
        found = localizer(source, target, points).points.cpu()
    once, cosines = published.dift_points_normalised_once(
        source.data, target.data, pair.source_size, pair.target_size, points
    )
    plain = published.dift_points(source.data, target.data, pair.source_size, pair.target_size, points)
    if not torch.equal(once, plain):
        raise Disagreement("the published way finds other points when it normalises once")
    columns, rows = found.long().unbind(1)
    there = cosines.cpu()[torch.arange(len(points)), rows, columns]
    return float((cosines.flatten(1).max(dim=1).values.cpu() - there).max()), int(
        (found != once).any(dim=1).sum()
    )


def check_cpm(setup: Setup, diffusion: published.Diffusion, count: int) -> list[str]:
    """Maps and points of the first pairs under SD4Match-CPM. Raises `Disagreement`."""
    prepared = setup.prepared("sd4match-cpm")
    backbone, _ = setup.backbone(prepared)
    params: dict[str, Any] = dict(prepared.cell.params)
    timestep, ensemble = params["timestep"], params["ensemble"]
    features, localizer = make_pair_features(prepared, setup.shared), localizer_of(prepared)
    prompt: Any = features.prompt
    worst = shift = 0.0
    for pair in list(prepared.index.pairs.values())[:count]:
        ours = features(pair)
        requests = requests_of([pair], prepared.index)
        states = backbone.condition(prompt.make(pair.category, tuple(requests))).states
        shape = backbone.posterior(torch.zeros(1, 3, diffusion.side, diffusion.side)).mean.shape[1:]
        drawn = draws("posterior", [(one.seed, one.identity, timestep) for one in requests], shape)
        noise = torch.stack([draws("noise", members(one, timestep, ensemble), shape) for one in requests])
        theirs = published.sd4match_maps(
            diffusion, [one.image for one in requests], states, timestep, ensemble, drawn, noise
        )
        worst = max(worst, *(relative(one.data, other) for one, other in zip(ours, theirs, strict=True)))
        if setup.precision != "fp32":
            # In half precision maps differ by more than a soft localizer forgives: the localizers are compared on the same ones.
            theirs = [one.data for one in ours]
        points = torch.from_numpy(pair.source_points)
        with torch.inference_mode():
            found = localizer(*ours, points).points.cpu()
        shift = max(
            shift, float((found - published_points(theirs, ours, points, localizer)).norm(dim=1).max())
        )
    return [
        check("maps of sd4match-cpm, relative", worst, ROUNDING[setup.precision]),
        check("kernel-softmax, pixels", shift, SOFT_PIXELS),
    ]


def published_points(
    maps: Sequence[Tensor], ours: Sequence[FeatureMap], points: Tensor, localizer: Any
) -> Tensor:
    """The published kernel-softmax in original pixels, (N, 2)."""
    source, target = (one.frame for one in ours)
    side = source.size.width
    queries = source.from_original(points).clamp(1e-4, side - 1 - 1e-4)
    found = published.kernel_softmax(
        maps[0], maps[1], queries.to(maps[0]), side, kernel_sigma(localizer, maps[1])
    )
    converted: Tensor = target.to_original(found.double().cpu())
    return converted


def kernel_sigma(localizer: Any, target: Tensor) -> float:
    """Standard deviation of a localizer's Gaussian in cells of a map."""
    return float(localizer.sigma * max(target.shape[1:]) / localizer.relative_to)


def check_training(ours: CountedTraining, theirs: PublishedTraining) -> list[str]:
    """Losses of the step that comes, from the same prompting module and the same draws; neither training moves. Raises `Disagreement`."""
    settings, step = ours.job.settings, ours.job.training.step
    shape = ours.job.inputs.maps._shape
    state = copy.deepcopy(theirs.module.state_dict())
    optimizer = copy.deepcopy(theirs._optimizer.state_dict())

    def same(what: str, places: Sequence[str]) -> Tensor:
        return torch.stack(
            [draw_noise(shape, what, "training", settings.seed, step, place) for place in places]
        )

    one = ours.job.training.gradients.accumulate(step)
    other = theirs.step(same)
    theirs.module.load_state_dict(state)
    theirs._optimizer.load_state_dict(optimizer)
    theirs.step_number = step
    return [
        check("loss of a training step, relative", abs(one - other) / abs(other), LOSS[settings.precision])
    ]
