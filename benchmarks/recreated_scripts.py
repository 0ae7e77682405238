"""Times the published way as the authors' scripts go through a list of pairs, on one thread.

DIFT and SD4Match-Single keep a map of each picture; SD4Match-CPM keeps nothing of a picture but DINOv2's
features, and its script reads points in four ways. Pictures are decoded, and loading is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import published
import published_points
import torch
from agreement import kernel_sigma
from cpm_stages import with_prompts
from ours import Setup, localizer_of, requests_of
from torch import Tensor

from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell
from harness.specs import ImagePair, ImageRequest

LOCALIZERS = ("argmax", "bilinear", "soft-argmax", "kernel-softmax")
"""All that SD4Match's script prints."""


@dataclass(frozen=True)
class ScriptCost:
    """Processor seconds of one thread for a list of pairs.

    Attributes:
        per_picture: for each different picture; 0 where nothing is kept of it.
        per_pair: for each pair.
    """

    per_picture: float
    per_pair: float
    pictures: int
    pairs: int

    @property
    def seconds(self) -> float:
        """Of the whole list."""
        return self.per_picture * self.pictures + self.per_pair * self.pairs


def time_script(
    setup: Setup, diffusion: published.Diffusion, method: str, pictures: int, pairs: int
) -> ScriptCost:
    """Times a sample of a list and returns the cost of all of it.

    Args:
        setup: with the list as its data.
        method: `dift`, `sd4match-single` or `sd4match-cpm`.
        pictures, pairs: sizes of the sample.
    """
    prepared = setup.resolve(method)
    all_pairs = list(prepared.index.pairs.values())
    requests = requests_of(all_pairs, prepared.index)
    # Spread over the list, since neighbours are of one category.
    sample = all_pairs[:: max(1, len(all_pairs) // pairs)][:pairs]
    with _one_thread(), torch.inference_mode():
        if method == "sd4match-cpm":
            per_picture, per_pair = 0.0, _cpm_pair(setup, diffusion, prepared, sample)
        else:
            few = requests[:: max(1, len(requests) // pictures)][:pictures]
            per_picture, per_pair = _kept_maps(setup, diffusion, prepared, few, sample)
    return ScriptCost(per_picture, per_pair, len(requests), len(all_pairs))


def _kept_maps(
    setup: Setup,
    diffusion: published.Diffusion,
    prepared: ResolvedCell,
    pictures: Sequence[ImageRequest],
    pairs: Sequence[ImagePair],
) -> tuple[float, float]:
    """Seconds of a picture and of a pair of a script that keeps a map of each picture."""
    backbone, _ = setup.backbone(prepared)
    # Any prompt takes as long.
    states = backbone.text_states("")
    is_dift = prepared.cell.method == "dift"

    def features(request: ImageRequest) -> Tensor:
        if is_dift:
            return published.dift_features(diffusion, request.image, states)
        (found,) = published.sd4match_maps(diffusion, [request.image], states)
        return found

    # Once before, to warm up.
    features(pictures[0])
    per_picture = _seconds(lambda: [features(request) for request in pictures]) / len(pictures)
    maps: dict[str, Tensor] = {}
    for request in requests_of(list(pairs), prepared.index):
        maps[request.identity] = features(request)

    def locate() -> None:
        for pair in pairs:
            source, target = maps[pair.source.identity()], maps[pair.target.identity()]
            if is_dift:
                points = torch.from_numpy(pair.source_points)
                published.dift_points(source, target, pair.source_size, pair.target_size, points)
            else:
                _locate_four_ways(prepared, diffusion.side, pair, source, target)

    return per_picture, _seconds(locate) / len(pairs)


def _cpm_pair(
    setup: Setup, diffusion: published.Diffusion, prepared: ResolvedCell, pairs: Sequence[ImagePair]
) -> float:
    """Seconds of a pair of a script that keeps DINOv2's features of each picture."""
    backbone, _ = setup.backbone(prepared)
    prompt: Any = make_pair_features(prepared, setup.shared).prompt

    def requests(pair: ImagePair) -> tuple[ImageRequest, ...]:
        source, target = (
            ImageRequest(image.open(), image.identity(), pair.category)
            for image in (pair.source, pair.target)
        )
        return source, target

    # DINOv2's features of their pictures are at hand afterwards, as a script made them before.
    with_prompts(prompt, [(pair, requests(pair)) for pair in pairs])

    def evaluate() -> None:
        for pair in pairs:
            opened = requests(pair)
            states = backbone.condition(prompt.make(pair.category, opened)).states
            maps = published.sd4match_maps(diffusion, [request.image for request in opened], states)
            _locate_four_ways(prepared, diffusion.side, pair, *maps)

    return _seconds(evaluate) / len(pairs)


def _locate_four_ways(
    prepared: ResolvedCell, side: int, pair: ImagePair, source: Tensor, target: Tensor
) -> None:
    scale = torch.tensor([side / size for size in pair.source_size], dtype=torch.float64)
    queries = (torch.from_numpy(pair.source_points) * scale).clamp(1e-4, side - 1 - 1e-4).to(source)
    for locate in (published_points.argmax, published_points.bilinear, published_points.soft_argmax):
        locate(source, target, queries, side)
    sigma = kernel_sigma(localizer_of(prepared), target)
    published.kernel_softmax(source, target, queries, side, sigma)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
