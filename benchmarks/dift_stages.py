"""Rows of `dift` in the table of ratios: features, points and the whole evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import published
import torch
from measuring import peak_bytes, seconds_of
from ours import (
    Evaluation,
    evaluate,
    extractor_of,
    localizer_of,
    requests_of,
    with_category_prompts,
)
from report import Row
from stages import Measured, Stages

from harness.messages import counted
from harness.running.resolve import ResolvedCell
from harness.specs import ImageExtractor, ImagePair, ImageRequest


@dataclass(frozen=True)
class _Material:
    """A cell of `dift`, its pictures with their prompts, and both ways to their features."""

    prepared: ResolvedCell
    requests: list[ImageRequest]
    extractor: ImageExtractor
    features_as_published: Callable[[ImageRequest], torch.Tensor]


class DiftStages(Stages):
    """The measurements of `dift`."""

    @cached_property
    def _material(self) -> _Material:
        setup = self._setup
        prepared = setup.resolve("dift")
        backbone, _ = setup.backbone(prepared)
        requests = with_category_prompts(requests_of(list(prepared.index.pairs.values()), prepared.index))

        def features_as_published(request: ImageRequest) -> torch.Tensor:
            return published.dift_features(
                self._diffusion, request.image, backbone.text_states(str(request.prompt))
            )

        return _Material(prepared, requests, extractor_of(setup, prepared), features_as_published)

    def dift(self) -> Measured:
        """Features, points, and the whole evaluation."""
        rows = [self.features(), *self.points()]
        whole = self.whole()
        return replace(whole, rows=[*rows, *whole.rows])

    def features(self) -> Row:
        """Features of some pictures."""
        material, sample = self._material, self._material.requests[: self._scale.images]
        with torch.inference_mode():
            timings = self._time(
                ours=lambda: material.extractor.extract(self._fresh(sample)),
                published=lambda: [material.features_as_published(request) for request in sample],
            )
        count = len(sample)
        return Row.of(
            "dift, features of a picture", "picture", timings, count, note=counted(count, "picture")
        )

    def points(self) -> list[Row]:
        """Points of some pairs."""
        pairs = list(self._material.prepared.index.pairs.values())
        return self._argmax_original(
            self._material.prepared, pairs[: self._scale.point_pairs], self._material.requests
        )

    def whole(self) -> Measured:
        """The whole evaluation, whose published time is put together from parts."""
        material = self._material
        row, *rest = self._whole_dift(material.prepared, material.requests, material.features_as_published)
        return Measured([row], *rest)

    def _argmax_original(
        self, prepared: ResolvedCell, pairs: list[ImagePair], requests: list[ImageRequest]
    ) -> list[Row]:
        """Rows for target maps that the localizer has met before, and for new ones."""
        by_identity = {request.identity: request for request in requests}
        wanted = []
        for pair in pairs:
            wanted.append(by_identity[pair.source.identity()])
            wanted.append(by_identity[pair.target.identity()])
        with torch.inference_mode():
            features = extractor_of(self._setup, prepared).extract(wanted)
        # Sources and targets alternate.
        maps = list(zip(pairs, features[::2], features[1::2], strict=True))
        known = localizer_of(prepared)

        def ours(localizer: Any) -> None:
            with torch.inference_mode():
                for pair, source, target in maps:
                    localizer(source, target, torch.from_numpy(pair.source_points)).points.cpu()

        def theirs(way: Callable[..., Any]) -> None:
            for pair, source, target in maps:
                way(
                    source.data,
                    target.data,
                    pair.source_size,
                    pair.target_size,
                    torch.from_numpy(pair.source_points),
                )

        timings = self._time(
            ours=lambda: ours(known),
            cold=lambda: ours(localizer_of(prepared)),
            published=lambda: theirs(published.dift_points),
            once=lambda: theirs(published.dift_points_normalised_once),
        )
        # A new localizer knows no norms of any target map.
        cold = {**timings, "ours": timings["cold"]}
        count = len(pairs)
        points = statistics.mean(len(pair.source_points) for pair in pairs)
        note = f"{counted(count, 'pair')}, {points:.1f} points each"
        name = "argmax-original"
        rows = []
        for way_timings, maps_note in (
            (timings, "target map met before, as 24 of 25 times"),
            (cold, "every target map new"),
        ):
            row_note = f"{note}; {maps_note}"
            rows += [
                Row.of(f"{name}, published per-point way", "pair", way_timings, count, 30, row_note),
                Row.of(f"{name}, normalise-once", "pair", way_timings, count, 5, row_note, other="once"),
            ]
        return rows

    def _whole_dift(
        self,
        prepared: ResolvedCell,
        requests: list[ImageRequest],
        features: Callable[[ImageRequest], torch.Tensor],
    ) -> tuple[Row, Evaluation, float, float]:
        setup, pairs = self._setup, list(prepared.index.pairs.values())
        # Spread over all pairs, since neighbours in the list are of one category.
        step = max(1, len(pairs) // self._scale.dift_pairs)
        sample = pairs[::step][: self._scale.dift_pairs]
        runs: list[Evaluation] = []
        picture, pair_seconds = [], []

        def theirs() -> None:
            maps: dict[str, torch.Tensor] = {}

            def extract() -> None:
                for request in requests:
                    maps[request.identity] = features(request)

            picture.append(seconds_of(extract, setup.device) / len(requests))

            def locate() -> None:
                for pair in sample:
                    published.dift_points(
                        maps[pair.source.identity()],
                        maps[pair.target.identity()],
                        pair.source_size,
                        pair.target_size,
                        torch.from_numpy(pair.source_points),
                    )

            pair_seconds.append(seconds_of(locate, setup.device) / len(sample))

        peaks = (0, 0)
        for _ in range(self._scale.whole):
            ours_peak = peak_bytes(
                lambda: runs.append(evaluate(setup, setup.resolve("dift"))), setup.device, 0.01
            )
            their_peak = peak_bytes(theirs, setup.device, 0.01)
            peaks = (max(peaks[0], ours_peak), max(peaks[1], their_peak))
        ours = statistics.median(run.seconds / run.pairs for run in runs)
        per_picture, per_pair = statistics.median(picture), statistics.median(pair_seconds)
        note = (
            f"{len(pairs)} pairs of {len(requests)} pictures; published: features of all of them, "
            f"points of {counted(len(sample), 'pair')}, "
            f"{per_picture:.3g} s a picture and {per_pair:.3g} s a pair"
        )
        # Every picture once and every pair once, as an evaluation of all of them would take.
        total = per_pair + per_picture * len(requests) / len(pairs)
        return (
            Row("dift, whole evaluation", "pair", ours, total, 10, None, peaks, note),
            runs[-1],
            per_picture,
            per_pair,
        )
