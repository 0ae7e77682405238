"""PCK of the prompt as it is: which one is kept (argmax, alpha 0.1, per image, protocol `sd4match`, as the release selects)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch

from harness.caching.lru import ByteLRU
from harness.datasets.splits import SplitIndex
from harness.frames import Frame, Size
from harness.localizers.on_grid import Argmax
from harness.scoring.pck import is_correct, relative_errors
from harness.scoring.protocols import SD4MATCH
from harness.specs import FeatureMap, ImagePair
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import PromptEncoder, Prompting

ALPHA = 0.1

LOCALIZER = "argmax"

PAIRS = 8
"""Pairs whose maps are computed at once."""

KEPT_BYTES = 2 << 30
"""Maps kept for the pairs that come: 2 GiB."""

MapKey = tuple[str, Hashable]
"""A picture and its prompt."""


class Validation:
    """The pairs of a validation split.

    The numbers are those of `bench run` at the training's timestep, seed and ensemble 1, but for rounding.
    """

    def __init__(
        self,
        index: SplitIndex,
        pairs: Sequence[ImagePair],
        maps: Maps,
        encoder: PromptEncoder,
        processes: Processes,
    ) -> None:
        self._index, self._maps, self._encoder, self._processes = index, maps, encoder, processes
        self._pairs = pairs[processes.share(len(pairs))]
        self._localizer = Argmax()

    @torch.no_grad()
    def pck(self, prompting: Prompting) -> float:
        """Percent: the mean over all processes' pairs of the share of points found."""
        kept = ByteLRU[torch.Tensor](KEPT_BYTES, _size_of)
        shares = [
            share
            for first in range(0, len(self._pairs), PAIRS)
            for share in self._shares(first, prompting, kept)
        ]
        everyone = [share for some in self._processes.gather(shares) for share in some]
        return 100 * math.fsum(everyone) / len(everyone)

    def _shares(self, first: int, prompting: Prompting, kept: ByteLRU[torch.Tensor]) -> list[float]:
        """Share of points found in each pair of a few."""
        pairs = self._pairs[first : first + PAIRS]
        wanted = [_map_keys(pair, prompting) for pair in pairs]
        held = self._held([key for both in wanted for key in both], prompting, kept)
        return [
            self._share(pair, *(held[key] for key in both)) for pair, both in zip(pairs, wanted, strict=True)
        ]

    def _held(
        self, keys: Sequence[MapKey], prompting: Prompting, kept: ByteLRU[torch.Tensor]
    ) -> dict[MapKey, torch.Tensor]:
        """Maps of some pictures, those that are not kept computed together."""
        held = {key: found for key in keys if (found := kept.get(key)) is not None}
        new = list(dict.fromkeys(key for key in keys if key not in held))
        if new:
            prompts = list(dict.fromkeys(prompt for _, prompt in new))
            states = self._encoder(prompting.rows(prompting.module, prompts))
            rows = states[[prompts.index(prompt) for _, prompt in new]]
            for key, one in zip(
                new,
                self._maps(self._maps.draw_for_evaluation([identity for identity, _ in new]), rows),
                strict=True,
            ):
                held[key] = one.clone()
                kept.put(key, held[key])
        return held

    def _share(self, pair: ImagePair, source: torch.Tensor, target: torch.Tensor) -> float:
        frame = self._maps.frame
        points = torch.from_numpy(self._index.source_points(pair.pair_id))
        found = self._localizer(
            _map(source, pair.source_size, frame), _map(target, pair.target_size, frame), points
        )
        predicted = found.points.double().cpu().numpy()
        errors = relative_errors(
            SD4MATCH, self._index.threshold, self._index.target(pair.pair_id), frame, predicted
        )
        return float(is_correct(errors, ALPHA, SD4MATCH.strict).mean())


def _map_keys(pair: ImagePair, prompting: Prompting) -> tuple[MapKey, MapKey]:
    source, target = prompting.keys(pair)
    return (pair.source.identity(), source), (pair.target.identity(), target)


def _map(data: torch.Tensor, original: Size, frame: Size) -> FeatureMap:
    return FeatureMap(data, Frame.stretched(original, frame))


def _size_of(data: torch.Tensor) -> int:
    return data.nbytes
