"""PCK of a training's prompt, which chooses the best one (argmax, alpha 0.1, per image, protocol `sd4match`,
as in the release).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import chain

import torch

from harness.caching.lru import ByteLRU
from harness.datasets.splits import SplitIndex
from harness.frames import Frame
from harness.localizers.on_grid import Argmax
from harness.scoring.pck import is_correct, relative_errors
from harness.scoring.protocols import SD4MATCH
from harness.specs import FeatureMap, ImagePair
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import PromptEncoder, Prompting

ALPHA = 0.1

BATCH_PAIRS = 8
"""Pairs whose maps are computed together."""

MEMORY_BYTES = 2 << 30
"""Size of the maps that are kept for later pairs: 2 GiB."""

MapKey = tuple[str, Hashable]
"""A picture's identity, and the key of its prompt."""


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
        """PCK in percent: the mean over all processes' pairs of the share of correct points."""
        # Prompts change between validations, so maps are kept within one only.
        memory = ByteLRU[torch.Tensor](MEMORY_BYTES, _size_of)
        shares: list[float] = []
        for start in range(0, len(self._pairs), BATCH_PAIRS):
            shares += self._correct_shares(self._pairs[start : start + BATCH_PAIRS], prompting, memory)
        all_shares = list(chain.from_iterable(self._processes.gather(shares)))
        return 100 * math.fsum(all_shares) / len(all_shares)

    def _correct_shares(
        self, pairs: Sequence[ImagePair], prompting: Prompting, memory: ByteLRU[torch.Tensor]
    ) -> list[float]:
        """Share of correct points in each pair of a batch."""
        keys = [_map_keys(pair, prompting) for pair in pairs]
        maps = self._compute_maps(list(chain.from_iterable(keys)), prompting, memory)
        shares = []
        for pair, (source, target) in zip(pairs, keys, strict=True):
            shares.append(self._correct_share(pair, maps[source], maps[target]))
        return shares

    def _compute_maps(
        self, keys: Sequence[MapKey], prompting: Prompting, memory: ByteLRU[torch.Tensor]
    ) -> dict[MapKey, torch.Tensor]:
        """Maps of pictures under their prompts; those that are not in memory are computed together."""
        maps: dict[MapKey, torch.Tensor] = {}
        for key in keys:
            data = memory.get(key)
            if data is not None:
                maps[key] = data
        missing = list(dict.fromkeys(key for key in keys if key not in maps))
        if not missing:
            return maps
        prompts = list(dict.fromkeys(prompt for _, prompt in missing))
        states = self._encoder(prompting.rows(prompting.module, prompts))
        rows = states[[prompts.index(prompt) for _, prompt in missing]]
        noisy = self._maps.draw_for_evaluation([identity for identity, _ in missing])
        for key, data in zip(missing, self._maps(noisy, rows), strict=True):
            maps[key] = data.clone()
            memory.put(key, maps[key])
        return maps

    def _correct_share(self, pair: ImagePair, source: torch.Tensor, target: torch.Tensor) -> float:
        """Share of a pair's points that are predicted within the threshold."""
        frame = self._maps.frame
        located = self._localizer(
            FeatureMap(source, Frame.stretched(pair.source_size, frame)),
            FeatureMap(target, Frame.stretched(pair.target_size, frame)),
            torch.from_numpy(self._index.source_points(pair.pair_id)),
        )
        predicted = located.points.double().cpu().numpy()
        truth = self._index.target(pair.pair_id)
        errors = relative_errors(SD4MATCH, self._index.threshold, truth, frame, predicted)
        return float(is_correct(errors, ALPHA, SD4MATCH.strict).mean())


def _map_keys(pair: ImagePair, prompting: Prompting) -> tuple[MapKey, MapKey]:
    source, target = prompting.keys(pair)
    return (pair.source.identity(), source), (pair.target.identity(), target)


def _size_of(data: torch.Tensor) -> int:
    return data.nbytes
