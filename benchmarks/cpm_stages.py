"""Rows of `sd4match-cpm` in the table of ratios: features of pairs, points and the whole evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import published
import torch
from agreement import kernel_sigma, locate_as_published
from measuring import peak_bytes, seconds_of
from ours import (
    Evaluation,
    evaluate,
    localizer_of,
)
from report import Row
from stages import Measured, Stages

from harness.messages import counted
from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell
from harness.specs import FeatureMap, ImagePair, ImageRequest

Batch = Sequence[tuple[ImagePair, tuple[ImageRequest, ...]]]
"""Pairs, and the requests of their two pictures."""


def with_prompts(prompt: Any, batch: Batch) -> list[ImageRequest]:
    """The requests of all pairs, each with the prompt that is made of its pair."""
    prompted: list[ImageRequest] = []
    for pair, requests in batch:
        value = prompt.make(pair.category, requests)
        prompted += [replace(request, prompt=value) for request in requests]
    return prompted


class CpmStages(Stages):
    """The measurements of `sd4match-cpm`."""

    def cpm(self) -> Measured:
        """Features of pairs, points, and the whole evaluation."""
        setup, scale = self._setup, self._scale
        prepared = setup.resolve("sd4match-cpm", limit=scale.cpm_pairs)
        index, pairs = prepared.index, list(prepared.index.pairs.values())
        backbone, _ = setup.backbone(prepared)
        features, localizer = make_pair_features(prepared, setup.shared), localizer_of(prepared)
        prompt: Any = features.prompt
        extractor = features.extractor
        many: Any = localizer.many  # type: ignore[attr-defined]
        batch = [(pair, self._pair_requests(pair, index)) for pair in pairs[: min(8, scale.cpm_pairs)]]
        with torch.inference_mode():
            flat = extractor.extract(with_prompts(prompt, batch))  # type: ignore[union-attr]
            maps = [(pair, flat[2 * at], flat[2 * at + 1]) for at, (pair, _) in enumerate(batch)]
            few = batch[: scale.published_cpm_pairs]

            def maps_as_published(pair: ImagePair, requests: tuple[ImageRequest, ...]) -> list[torch.Tensor]:
                states = backbone.condition(prompt.make(pair.category, requests)).states
                return published.sd4match_maps(
                    self._diffusion, [request.image for request in requests], states
                )

            feature_timings = self._time(
                ours=lambda: extractor.extract(with_prompts(prompt, few)),  # type: ignore[union-attr]
                published=lambda: [maps_as_published(pair, requests) for pair, requests in few],
            )
            point_timings = self._time(
                ours=lambda: many(
                    [
                        (source, replace(target), torch.from_numpy(pair.source_points))
                        for pair, source, target in maps
                    ]
                ),
                published=lambda: [
                    self._locate_as_published(pair, source, target, localizer)
                    for pair, source, target in maps
                ],
            )
        rows = [
            Row.of(
                "sd4match-cpm, prompt and features of a pair",
                "pair",
                feature_timings,
                len(few),
                note=f"{counted(len(few), 'pair')}, all kept that the prompt does not change",
            ),
            Row.of(
                "kernel-softmax",
                "pair",
                point_timings,
                len(maps),
                note=f"{counted(len(maps), 'pair')} at once, every target map new; "
                "published: a pair's points at once",
            ),
        ]
        whole, evaluation = self._whole_cpm(
            prepared, pairs[: scale.published_cpm_pairs], maps_as_published, localizer
        )
        return Measured([*rows, whole], evaluation)

    @staticmethod
    def _pair_requests(pair: ImagePair, index: Any) -> tuple[ImageRequest, ...]:
        return tuple(
            ImageRequest(image.open(), image.identity(), index.prompt_category(pair))
            for image in (pair.source, pair.target)
        )

    @staticmethod
    def _locate_as_published(
        pair: ImagePair, source: FeatureMap, target: FeatureMap, localizer: Any
    ) -> torch.Tensor:
        return locate_as_published(
            [source.data, target.data], [source, target], torch.from_numpy(pair.source_points), localizer
        )

    def _whole_cpm(
        self, prepared: ResolvedCell, pairs: list[ImagePair], maps: Callable[..., Any], localizer: Any
    ) -> tuple[Row, Evaluation]:
        setup, side = self._setup, self._diffusion.side
        runs: list[Evaluation] = []
        seconds: list[float] = []

        def evaluate_published() -> None:
            for pair in pairs:
                source, target = maps(pair, self._pair_requests(pair, prepared.index))
                scale = torch.tensor(
                    [side / pair.source_size.width, side / pair.source_size.height], dtype=torch.float64
                )
                queries = (
                    (torch.from_numpy(pair.source_points) * scale).clamp(1e-4, side - 1 - 1e-4).to(source)
                )
                published.kernel_softmax(source, target, queries, side, kernel_sigma(localizer, target)).cpu()

        peaks = (0, 0)
        for _ in range(self._scale.whole):
            run = setup.resolve("sd4match-cpm", limit=self._scale.cpm_pairs)
            ours_peak = peak_bytes(lambda run=run: runs.append(evaluate(setup, run)), setup.device, 0.01)  # type: ignore[misc]
            peak = peak_bytes(
                lambda: seconds.append(seconds_of(evaluate_published, setup.device) / len(pairs)),
                setup.device,
                0.01,
            )
            peaks = (max(peaks[0], ours_peak), max(peaks[1], peak))
        ours = statistics.median(run.seconds / run.pairs for run in runs)
        encoded = runs[-1].caches["posteriors"].computed
        note = (
            f"ours: the first {runs[-1].pairs} pairs, which encode {counted(encoded, 'picture')}; "
            f"published: {counted(len(pairs), 'pair')}, DINOv2's features kept"
        )
        return Row(
            "sd4match-cpm, whole evaluation", "pair", ours, statistics.median(seconds), 3, None, peaks, note
        ), runs[-1]
