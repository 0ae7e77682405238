"""Rows of `sd4match-cpm` in the table of ratios: features of pairs, points and the whole evaluation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import published
import torch
from agreement import kernel_sigma, locate_as_published
from measuring import Timing, peak_bytes, seconds_of
from ours import Evaluation, Setup, evaluate, localizer_of
from report import Row
from stages import Measured, Stages
from workloads import shorten

from harness.messages import counted
from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell
from harness.specs import FeatureMap, ImagePair, ImageRequest, Localizer

Batch = Sequence[tuple[ImagePair, tuple[ImageRequest, ...]]]
"""Pairs, and the requests of their two pictures."""


def with_prompts(prompt: Any, batch: Batch) -> list[ImageRequest]:
    """The requests of all pairs, each with the prompt that is made of its pair."""
    prompted: list[ImageRequest] = []
    for pair, requests in batch:
        value = prompt.make(pair.category, requests)
        prompted += [replace(request, prompt=value) for request in requests]
    return prompted


@dataclass(frozen=True)
class _Material:
    """A cell of `sd4match-cpm`, its prompt, extractor and localizer, and the published way to its maps."""

    prepared: ResolvedCell
    prompt: Any
    extractor: Any
    localizer: Localizer
    maps_as_published: Callable[[ImagePair, tuple[ImageRequest, ...]], list[torch.Tensor]]


class CpmStages(Stages):
    """The measurements of `sd4match-cpm`."""

    @cached_property
    def _few(self) -> Setup:
        """The setup with the pairs that are measured alone."""
        setup, count = self._setup, self._scale.cpm_pairs
        return replace(setup, data=shorten(setup.data, setup.work / f"first-{count}", count))

    @cached_property
    def _material(self) -> _Material:
        setup = self._few
        prepared = setup.resolve("sd4match-cpm")
        backbone, _ = setup.backbone(prepared)
        features = make_pair_features(prepared, setup.shared)
        prompt: Any = features.prompt

        def maps_as_published(pair: ImagePair, requests: tuple[ImageRequest, ...]) -> list[torch.Tensor]:
            states = backbone.condition(prompt.make(pair.category, requests)).states
            images = [request.image for request in requests]
            return published.sd4match_maps(self._diffusion, images, states)

        return _Material(prepared, prompt, features.extractor, localizer_of(prepared), maps_as_published)

    def cpm(self) -> Measured:
        """Features of pairs, points, and the whole evaluation."""
        rows = [self.features(), self.points()]
        whole = self.whole()
        return replace(whole, rows=[*rows, *whole.rows])

    def _batch(self, count: int) -> list[tuple[ImagePair, tuple[ImageRequest, ...]]]:
        index = self._material.prepared.index
        pairs = list(index.pairs.values())[:count]
        return [(pair, self._pair_requests(pair, index)) for pair in pairs]

    def features(self) -> Row:
        """Features of pairs, with all kept that the prompt does not change."""
        material = self._material
        # As many pairs as the published way gets through, for both ways.
        few = self._batch(min(self._scale.feature_pairs, self._scale.published_cpm_pairs))
        with torch.inference_mode():
            # Whatever is kept is there before operations are counted.
            material.extractor.extract(with_prompts(material.prompt, few))
            timings = self._time(
                ours=lambda: material.extractor.extract(with_prompts(material.prompt, few)),
                published=lambda: [material.maps_as_published(pair, requests) for pair, requests in few],
            )
        return Row.of(
            "sd4match-cpm, prompt and features of a pair",
            "pair",
            timings,
            len(few),
            note=f"{counted(len(few), 'pair')}, all kept that the prompt does not change",
        )

    def points(self) -> Row:
        """Points of pairs."""
        material, batch = self._material, self._batch(min(8, self._scale.cpm_pairs))
        with torch.inference_mode():
            flat = material.extractor.extract(with_prompts(material.prompt, batch))
            # Sources and targets alternate.
            pairs = [pair for pair, _ in batch]
            maps = list(zip(pairs, flat[::2], flat[1::2], strict=True))
            timings = self._time_points(material.localizer, maps)
        return Row.of(
            "kernel-softmax",
            "pair",
            timings,
            len(maps),
            note=f"{counted(len(maps), 'pair')} at once, every target map new; "
            "published: a pair's points at once",
        )

    def whole(self) -> Measured:
        """The whole evaluation."""
        material = self._material
        pairs = list(material.prepared.index.pairs.values())[: self._scale.published_cpm_pairs]
        row, evaluation = self._whole_cpm(
            material.prepared, pairs, material.maps_as_published, material.localizer
        )
        return Measured([row], evaluation)

    def _time_points(
        self, localizer: Localizer, maps: Sequence[tuple[ImagePair, FeatureMap, FeatureMap]]
    ) -> dict[str, Timing]:
        """Times `kernel-softmax` on the maps of some pairs."""
        many: Any = localizer.many  # type: ignore[attr-defined]

        def locate_many() -> Any:
            queries = []
            for pair, source, target in maps:
                # A copy of the target map is a new one to the localizer, which has kept nothing of it.
                queries.append((source, replace(target), torch.from_numpy(pair.source_points)))
            return many(queries)

        def locate_each_as_published() -> list[torch.Tensor]:
            points = []
            for pair, source, target in maps:
                points.append(self._locate_as_published(pair, source, target, localizer))
            return points

        return self._time(ours=locate_many, published=locate_each_as_published)

    @staticmethod
    def _pair_requests(pair: ImagePair, index: Any) -> tuple[ImageRequest, ...]:
        category = index.prompt_category(pair)
        requests = []
        for image in (pair.source, pair.target):
            requests.append(ImageRequest(image.open(), image.identity(), category))
        return tuple(requests)

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
        setup, side = self._few, self._diffusion.side
        runs: list[Evaluation] = []
        seconds: list[float] = []

        def evaluate_published() -> None:
            for pair in pairs:
                source, target = maps(pair, self._pair_requests(pair, prepared.index))
                width, height = pair.source_size.width, pair.source_size.height
                scale = torch.tensor([side / width, side / height], dtype=torch.float64)
                points = torch.from_numpy(pair.source_points) * scale
                # As the authors' code, which keeps queries off the outermost edge.
                queries = points.clamp(1e-4, side - 1 - 1e-4).to(source)
                sigma = kernel_sigma(localizer, target)
                # To the CPU, so that a GPU's work falls into the time that is taken.
                published.kernel_softmax(source, target, queries, side, sigma).cpu()

        def time_published() -> None:
            seconds.append(seconds_of(evaluate_published, setup.device) / len(pairs))

        peaks = (0, 0)
        for _ in range(self._scale.whole):
            run = setup.resolve("sd4match-cpm")

            def evaluate_ours(run: ResolvedCell = run) -> None:
                runs.append(evaluate(setup, run))

            ours_peak = peak_bytes(evaluate_ours, setup.device, 0.01)
            peak = peak_bytes(time_published, setup.device, 0.01)
            peaks = (max(peaks[0], ours_peak), max(peaks[1], peak))
        ours = statistics.median(run.seconds / run.pairs for run in runs)
        encoded = runs[-1].caches["posteriors"].computed
        note = (
            f"ours: {runs[-1].pairs} pairs of the list, which encode {counted(encoded, 'picture')}; "
            f"published: {counted(len(pairs), 'pair')}, DINOv2's features kept"
        )
        return Row(
            "sd4match-cpm, whole evaluation", "pair", ours, statistics.median(seconds), 3, None, peaks, note
        ), runs[-1]
