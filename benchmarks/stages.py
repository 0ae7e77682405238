"""Rows of the table of ratios: each stage, and end to end."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import published
import torch
from agreement import kernel_sigma, published_points
from measuring import alternating, peak_bytes, seconds_of, synchronise
from ours import (
    CountedTraining,
    Evaluation,
    Setup,
    evaluate,
    extractor_of,
    localizer_of,
    remarked,
    requests_of,
)
from published_training import PublishedTraining
from report import Row, counted
from workloads import SMALL, SPAIR_SHAPED, TRUE_SIZE, Extent

from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell
from harness.specs import FeatureMap, ImagePair, ImageRequest


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        extent: of the data.
        checked: pairs on which both ways must agree.
        images: pictures whose features are timed together.
        point_pairs: pairs on which localizers are timed.
        dift_pairs: pairs of the published whole evaluation of `dift`; its pictures are all of them.
        cpm_pairs: pairs of our whole evaluation of `sd4match-cpm`.
        published_cpm_pairs: of the published one.
        repeats: timed calls of a stage.
        whole: timed runs of a whole evaluation.
        steps: timed steps of a training.
        step_pairs: pairs of such a step.
        training_pairs: pairs that the training goes over, whose pictures are encoded before; None for all.
        points, sides: points per pair, and longer sides of pictures in pixels, that growth is measured over.
    """

    extent: Extent
    checked: int
    images: int
    point_pairs: int
    dift_pairs: int
    cpm_pairs: int
    published_cpm_pairs: int
    repeats: int
    whole: int
    steps: int
    step_pairs: int = 9
    training_pairs: int | None = None
    points: tuple[int, ...] = (1, 10, 100)
    sides: tuple[int, ...] = (250, 500, 1000)


TINY = Scale(SPAIR_SHAPED, 1, 8, 4, 6, 48, 16, repeats=3, whole=3, steps=5)
QUICK = Scale(SMALL, 1, 2, 1, 1, 4, 2, repeats=1, whole=1, steps=1, points=(1, 10), sides=(100, 200))
SD21 = Scale(TRUE_SIZE, 1, 4, 4, 4, 64, 8, repeats=3, whole=1, steps=3, step_pairs=1, training_pairs=4)
"""One pair a step: of each the published way keeps 6 GB for the way back in single precision, since its graph goes through all blocks."""


@dataclass(frozen=True)
class Measured:
    """What the measurements of one method left besides rows."""

    rows: list[Row]
    evaluation: Evaluation
    per_picture: float = 0.0
    """Seconds of the published way."""
    per_pair: float = 0.0


class Stages:
    """The measurements, one method after the other."""

    def __init__(self, setup: Setup, diffusion: published.Diffusion, scale: Scale) -> None:
        self._setup, self._diffusion, self._scale = setup, diffusion, scale
        self._mark = itertools.count()

    def _fresh(self, requests: list[ImageRequest]) -> list[ImageRequest]:
        """The pictures as if never seen before."""
        return remarked(requests, f"-{next(self._mark)}")

    # ------------------------------------------------------------------------------------------------------------- networks

    def networks(self) -> list[Row]:
        """The VAE's encoder and the U-Net by themselves."""
        setup, diffusion = self._setup, self._diffusion
        prepared = setup.prepared("dift")
        backbone, _ = setup.backbone(prepared)
        level = backbone.card.levels["up-block 1"]
        pixels = torch.rand(1, 3, diffusion.side, diffusion.side) * 2 - 1
        given = pixels.to(setup.device, diffusion.dtype)
        condition = backbone.condition("")
        with torch.inference_mode():
            posterior = backbone.posterior(pixels)
            noisy = torch.randn(8, *posterior.mean.shape[1:]).to(setup.device)
            states = condition.states.expand(8, -1, -1)
            encoders = self._timed(
                ours=lambda: backbone.posterior(pixels),
                published=lambda: diffusion.latents(given.repeat(8, 1, 1, 1), None),
                sd4match=lambda: diffusion.latents(given, None),
            )
            passes = self._timed(
                ours=lambda: backbone.activations(noisy, 261, [condition] * 8, [level]),
                published=lambda: diffusion.block_output(noisy.to(diffusion.dtype), 261, states, stop=True),
                sd4match=lambda: diffusion.block_output(noisy.to(diffusion.dtype), 50, states, stop=False),
            )
        return [
            Row.of("VAE encoder, DIFT's eight copies", "picture", encoders, 1),
            Row.of(
                "VAE encoder, SD4Match's one",
                "picture",
                encoders,
                1,
                other="sd4match",
                note="ours keeps it, SD4Match encodes again",
            ),
            Row.of("U-Net, eight draws, DIFT (stops at the block)", "picture", passes, 1),
            Row.of("U-Net, eight draws, SD4Match (whole)", "picture", passes, 1, other="sd4match"),
        ]

    def _timed(self, count_flops: bool = True, **calls: Callable[[], Any]) -> dict[str, Any]:
        return alternating(calls, self._scale.repeats, self._setup.device, count_flops)

    # ----------------------------------------------------------------------------------------------------------------- DIFT

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

    # ------------------------------------------------------------------------------------------------------------- SD4Match

    def cpm(self) -> Measured:
        """Features of pairs, points, and the whole evaluation."""
        setup, scale = self._setup, self._scale
        prepared = setup.prepared("sd4match-cpm", limit=scale.cpm_pairs)
        index, pairs = prepared.index, list(prepared.index.pairs.values())
        backbone, _ = setup.backbone(prepared)
        features, localizer = make_pair_features(prepared, setup.shared), localizer_of(prepared)
        prompt: Any = features.prompt
        extractor = features.extractor
        many: Any = localizer.many  # type: ignore[attr-defined]
        batch = [(pair, self._pair_requests(pair, index)) for pair in pairs[: min(8, scale.cpm_pairs)]]
        with torch.inference_mode():
            asked = [
                replace(one, prompt=prompt.make(pair.category, both)) for pair, both in batch for one in both
            ]
            flat = extractor.extract(asked)  # type: ignore[union-attr]
            maps = [(pair, flat[2 * at], flat[2 * at + 1]) for at, (pair, _) in enumerate(batch)]
            few = batch[: scale.published_cpm_pairs]

            def published_maps(pair: ImagePair, requests: tuple[ImageRequest, ...]) -> list[torch.Tensor]:
                states = backbone.condition(prompt.make(pair.category, requests)).states
                return published.sd4match_maps(self._diffusion, [one.image for one in requests], states)

            def ours() -> None:
                wanted = [
                    replace(one, prompt=value)
                    for pair, both in few
                    for value in [prompt.make(pair.category, both)]
                    for one in both
                ]
                extractor.extract(wanted)  # type: ignore[union-attr]

            made = self._timed(
                ours=ours, published=lambda: [published_maps(pair, both) for pair, both in few]
            )
            found = self._timed(
                ours=lambda: many(
                    [(one, replace(other), torch.from_numpy(pair.source_points)) for pair, one, other in maps]
                ),
                published=lambda: [
                    self._published_softmax(pair, source, target, localizer) for pair, source, target in maps
                ],
            )
        rows = [
            Row.of(
                "sd4match-cpm, prompt and features of a pair",
                "pair",
                made,
                len(few),
                note=f"{counted(len(few), 'pair')}, all kept that the prompt does not change",
            ),
            Row.of(
                "kernel-softmax",
                "pair",
                found,
                len(maps),
                note=f"{counted(len(maps), 'pair')} at once, every target map new; published: a pair's points at once",
            ),
        ]
        whole, evaluation = self._whole_cpm(
            prepared, pairs[: scale.published_cpm_pairs], published_maps, localizer
        )
        return Measured([*rows, whole], evaluation)

    @staticmethod
    def _pair_requests(pair: ImagePair, index: Any) -> tuple[ImageRequest, ...]:
        return tuple(
            ImageRequest(image.open(), image.identity(), index.prompt_category(pair))
            for image in (pair.source, pair.target)
        )

    @staticmethod
    def _published_softmax(
        pair: ImagePair, source: FeatureMap, target: FeatureMap, localizer: Any
    ) -> torch.Tensor:
        return published_points(
            [source.data, target.data], [source, target], torch.from_numpy(pair.source_points), localizer
        )

    def _whole_cpm(
        self, prepared: ResolvedCell, pairs: list[ImagePair], maps: Callable[..., Any], localizer: Any
    ) -> tuple[Row, Evaluation]:
        setup, side = self._setup, self._diffusion.side
        runs: list[Evaluation] = []
        seconds: list[float] = []

        def evaluated() -> None:
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
            run = setup.prepared("sd4match-cpm", limit=self._scale.cpm_pairs)
            ours_peak = peak_bytes(lambda run=run: runs.append(evaluate(setup, run)), setup.device, 0.01)  # type: ignore[misc]
            peak = peak_bytes(
                lambda: seconds.append(seconds_of(evaluated, setup.device) / len(pairs)), setup.device, 0.01
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

    # ------------------------------------------------------------------------------------------------------------- training

    def training(self, ours: CountedTraining, theirs: PublishedTraining) -> Row:
        """One step of SD4Match-CPM."""
        timings = alternating(
            {"ours": ours.step, "published": theirs.step},
            self._scale.steps,
            self._setup.device,
            count_flops=True,
        )
        synchronise(self._setup.device)
        measured = f"{counted(ours.job.settings.batch, 'pair')}, {counted(self._scale.steps, 'step')}"
        note = (
            f"{measured}; published: every picture encoded in every step, whole U-Net; ours: encoded before"
        )
        return Row.of("sd4match-cpm, training step", "step", timings, 1, 2, note)
