"""Rows of `dift` in the table of ratios: features, points and the whole evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
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
)
from report import Row, counted
from stages import Measured, Stages

from harness.running.resolve import ResolvedCell
from harness.specs import ImagePair, ImageRequest


class DiftStages(Stages):
    """The measurements of `dift`."""

    def dift(self) -> Measured:
        """Features, points, and the whole evaluation."""
        setup, scale = self._setup, self._scale
        prepared = setup.prepared("dift")
        index, pairs = prepared.index, list(prepared.index.pairs.values())
        backbone, _ = setup.backbone(prepared)
        requests = [replace(one, prompt=f"a photo of a {one.category}") for one in requests_of(pairs, index)]
        extractor, some = extractor_of(setup, prepared), requests[: scale.images]

        def published_features(request: ImageRequest) -> torch.Tensor:
            return published.dift_features(
                self._diffusion, request.image, backbone.text_states(str(request.prompt))
            )

        with torch.inference_mode():
            features = self._timed(
                ours=lambda: extractor.extract(self._fresh(some)),
                published=lambda: [published_features(one) for one in some],
            )
        rows = [
            Row.of(
                "dift, features of a picture",
                "picture",
                features,
                len(some),
                note=counted(len(some), "picture"),
            )
        ]
        rows += self._argmax_original(prepared, pairs[: scale.point_pairs], requests)
        whole, evaluation, per_picture, per_pair = self._whole_dift(prepared, requests, published_features)
        return Measured([*rows, whole], evaluation, per_picture, per_pair)

    def _argmax_original(
        self, prepared: ResolvedCell, pairs: list[ImagePair], requests: list[ImageRequest]
    ) -> list[Row]:
        """Once with target maps that the localizer has met before, and once with new ones, whose norms it has to work out."""
        by_identity = {one.identity: one for one in requests}
        wanted = [by_identity[image.identity()] for pair in pairs for image in (pair.source, pair.target)]
        with torch.inference_mode():
            extracted = dict(
                zip(
                    [one.identity for one in wanted],
                    extractor_of(self._setup, prepared).extract(wanted),
                    strict=True,
                )
            )
        maps = [
            (pair, extracted[pair.source.identity()], extracted[pair.target.identity()]) for pair in pairs
        ]
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

        timings = self._timed(
            ours=lambda: ours(known),
            cold=lambda: ours(localizer_of(prepared)),
            published=lambda: theirs(published.dift_points),
            once=lambda: theirs(published.dift_points_normalised_once),
        )
        cold = {"ours": timings["cold"], "published": timings["published"], "once": timings["once"]}
        count, points = len(pairs), statistics.mean(len(pair.source_points) for pair in pairs)
        note = f"{counted(count, 'pair')}, {points:.1f} points each"
        name = "argmax-original"
        return [
            Row.of(
                f"{name}, published per-point way",
                "pair",
                timings,
                count,
                30,
                f"{note}; target map met before, as 24 of 25 times",
            ),
            Row.of(
                f"{name}, normalise-once",
                "pair",
                timings,
                count,
                5,
                f"{note}; target map met before",
                other="once",
            ),
            Row.of(
                f"{name}, published per-point way", "pair", cold, count, 30, f"{note}; every target map new"
            ),
            Row.of(
                f"{name}, normalise-once",
                "pair",
                cold,
                count,
                5,
                f"{note}; every target map new",
                other="once",
            ),
        ]

    def _whole_dift(
        self,
        prepared: ResolvedCell,
        requests: list[ImageRequest],
        features: Callable[[ImageRequest], torch.Tensor],
    ) -> tuple[Row, Evaluation, float, float]:
        setup, pairs = self._setup, list(prepared.index.pairs.values())
        some = pairs[:: max(1, len(pairs) // self._scale.dift_pairs)][: self._scale.dift_pairs]
        runs: list[Evaluation] = []
        picture, pair_seconds = [], []

        def theirs() -> None:
            maps: dict[str, torch.Tensor] = {}
            picture.append(
                seconds_of(
                    lambda: maps.update({one.identity: features(one) for one in requests}), setup.device
                )
                / len(requests)
            )

            def locate() -> None:
                for pair in some:
                    source, target = (maps[image.identity()] for image in (pair.source, pair.target))
                    published.dift_points(
                        source,
                        target,
                        pair.source_size,
                        pair.target_size,
                        torch.from_numpy(pair.source_points),
                    )

            pair_seconds.append(seconds_of(locate, setup.device) / len(some))

        peaks = (0, 0)
        for _ in range(self._scale.whole):
            ours_peak = peak_bytes(
                lambda: runs.append(evaluate(setup, setup.prepared("dift"))), setup.device, 0.01
            )
            peaks = (max(peaks[0], ours_peak), max(peaks[1], peak_bytes(theirs, setup.device, 0.01)))
        ours = statistics.median(run.seconds / run.pairs for run in runs)
        per_picture, per_pair = statistics.median(picture), statistics.median(pair_seconds)
        note = (
            f"{len(pairs)} pairs of {len(requests)} pictures; published: features of all of them, points of {counted(len(some), 'pair')}, "
            f"{per_picture:.3g} s a picture and {per_pair:.3g} s a pair"
        )
        total = per_pair + per_picture * len(requests) / len(pairs)
        return (
            Row("dift, whole evaluation", "pair", ours, total, 10, None, peaks, note),
            runs[-1],
            per_picture,
            per_pair,
        )
