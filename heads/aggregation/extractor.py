"""Features of frozen networks, brought together by an aggregation network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness.specs import FeatureMap, ImageRequest, MakeContext
from heads.aggregation.features import DinoFeatures
from heads.aggregation.files import load_aggregation, not_this_head
from heads.aggregation.network import AggregationNetwork
from matchers.training.objective import Features


class AggregatedFeatures:
    """A head on frozen features (an `ImageExtractor`); in single precision, whatever the backbone's.

    Args:
        source: name of the head's weight source.
        make: makes the frozen networks.

    Raises:
        UserError: the head's file is another network's, or one for other features.
    """

    def __init__(self, context: MakeContext, source: str, make: Callable[[MakeContext], Features]) -> None:
        path = context.weights[source]
        network = load_aggregation(path)
        self._features = make(context)
        _check_levels(network, self._features, path)
        self._network = network.to(context.device)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(768, 60, 60) of each picture for the published networks; not normalised."""
        return [self._aggregate(each) for each in self._maps(requests)]

    def _maps(self, requests: Sequence[ImageRequest]) -> Sequence[FeatureMap]:
        return [self._features(request) for request in requests]

    def _aggregate(self, features: FeatureMap) -> FeatureMap:
        # One picture at a time, so that a map has the same bytes beside any others.
        return replace(features, data=self._network(features.data.float()[None])[0])


class AggregatedTokens(AggregatedFeatures):
    """A head on DINOv2's tokens, which are computed in batches."""

    def __init__(self, context: MakeContext, source: str) -> None:
        tokens = DinoFeatures(context)
        super().__init__(context, source, lambda _: tokens)
        self._tokens = tokens
        self.prepare = tokens.prepare

    def _maps(self, requests: Sequence[ImageRequest]) -> Sequence[FeatureMap]:
        return self._tokens.extract(requests)


def _check_levels(network: AggregationNetwork, features: Features, path: Path) -> None:
    """Raises `UserError` where a head is for other features."""
    shape = network.shape
    if shape.channels != features.channels or shape.repeats != 1:
        taken, given = (" + ".join(map(str, counts)) for counts in (shape.channels, features.channels))
        times = f", {shape.repeats} times" if shape.repeats != 1 else ""
        raise not_this_head(path, f"it takes features of {taken}{times} channels, not of {given}")
