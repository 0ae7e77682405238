"""The method that is examined, its objects, and the feature maps that several checks look at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from harness.doctor import pictures
from harness.doctor.findings import Failed, Skipped
from harness.doctor.layout import Layout, find_layout
from harness.features.requests import PromptUse
from harness.messages import counted
from harness.plugins.host import Host
from harness.plugins.registry import Plugin
from harness.specs import (
    ExtractorSpec,
    FeatureMap,
    ImageExtractor,
    ImagePair,
    ImageRequest,
    Localizer,
    LocalizerSpec,
    Located,
    MakeContext,
    Matcher,
    MatcherSpec,
    Matches,
    MethodSpec,
    PairExtractor,
    is_matches_reader,
)

if TYPE_CHECKING:
    import torch


class Subject:
    """The method that is examined, with its extractor and prompt once they are made.

    Args:
        spec: the method's extractor.
        plugin: the plugin that brought what is examined.
        pairs: two pairs of pictures to try it on.
        context: given to the `make` of the extractor, of the matcher and of the prompt.
        matcher: the method's matcher; None for a localizer that compares the maps.
    """

    def __init__(
        self,
        host: Host,
        method: MethodSpec,
        spec: ExtractorSpec,
        localizer: LocalizerSpec,
        plugin: Plugin,
        pairs: Sequence[ImagePair],
        context: MakeContext,
        matcher: MatcherSpec | None = None,
    ) -> None:
        self.host, self.pairs, self.context = host, pairs, context
        self.method, self.spec, self.localizer_spec, self.plugin = method, spec, localizer, plugin
        self.extractor: ImageExtractor | PairExtractor | None = None
        self.prompt: PromptUse | None = None
        self.matcher_spec = matcher
        self.matcher: Matcher | None = None

    @cached_property
    def layout(self) -> Layout:
        """The way in which its maps seem to lie."""
        plain = pictures.plain_picture()
        changed = [pictures.changed_picture(place) for place in pictures.PLACES]
        requests = []
        for picture in (plain, *changed):
            requests.append(ImageRequest(picture, pictures.identity_of(picture), self.pairs[0].category))
        # Beside the same picture each time, so that nothing else changes that a prompt, or an extractor of
        # scope `pair`, sees.
        pairs = [self.with_prompt((request, requests[0])) for request in requests]
        if self.spec.scope == "pair":
            maps = [source for source, _ in self.call(pairs)]
        else:
            maps = self.call_images([source for source, _ in pairs])
        return find_layout(maps[0], maps[1:], pictures.PLACES, self.localizer_spec.grid)

    @cached_property
    def maps(self) -> list[tuple[FeatureMap, FeatureMap]]:
        """Maps of all pairs, extracted together."""
        return self.extract(self.pairs)

    @cached_property
    def first_map(self) -> FeatureMap:
        """The first picture's map, extracted with that of its pair's other picture alone."""
        return self.extract(self.pairs[:1])[0][0]

    def localizer(self) -> Localizer:
        """Makes the localizer, with the options that the method's recipe gives it."""
        spec = self.localizer_spec
        return spec.make(**{**spec.options, **self.method.localizer_options.get(spec.name, {})})

    def locate(
        self, localizer: Localizer, source: FeatureMap, target: FeatureMap, points: torch.Tensor
    ) -> Located:
        """Predictions of a localizer: of maps, or of the matches that the method's matcher makes of them."""
        if self.matcher_spec is None:
            return localizer(source, target, points)
        (matches,) = self.match([(source, target)])
        if not is_matches_reader(localizer):
            raise Failed(f"'{self.localizer_spec.name}' declares matches and has no method 'read'")
        return localizer.read(matches, points)

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """Passes the maps of pairs through the matcher, all at once."""
        import torch

        if self.matcher is None:
            raise Skipped("no matcher")
        with torch.inference_mode():
            matches = list(self.matcher.match(pairs))
        if len(matches) != len(pairs):
            raise Failed(f"returned {counted(len(matches), 'result')} for {counted(len(pairs), 'pair')}")
        return matches

    def extract(self, pairs: Sequence[ImagePair]) -> list[tuple[FeatureMap, FeatureMap]]:
        """Feature maps of source and target of some pairs, extracted together."""
        return self.call([self.requests(pair) for pair in pairs])

    def call(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        """Passes requests of pairs through the extractor."""
        import torch

        if self.spec.scope == "pair":
            extractor = cast("PairExtractor", self._made_extractor())
            with torch.inference_mode():
                return list(extractor.extract_pairs(requests))
        # Source, target, source, target, ...: taken apart again below.
        maps = self.call_images(list(itertools.chain.from_iterable(requests)))
        return list(zip(maps[0::2], maps[1::2], strict=True))

    def call_images(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """Passes requests through an extractor that takes one image at a time, all at once."""
        import torch

        extractor = cast("ImageExtractor", self._made_extractor())
        with torch.inference_mode():
            maps = list(extractor.extract(requests))
        if len(maps) != len(requests):
            raise Failed(f"returned {len(maps)} feature maps for {len(requests)} images")
        return maps

    def _made_extractor(self) -> ImageExtractor | PairExtractor:
        if self.extractor is None:
            raise Skipped("no extractor")
        return self.extractor

    def requests(self, pair: ImagePair) -> tuple[ImageRequest, ImageRequest]:
        """Requests for source and target, with the values of the method's own prompt."""
        source = ImageRequest(pair.source.open(), pair.source.identity(), pair.category)
        target = ImageRequest(pair.target.open(), pair.target.identity(), pair.category)
        return self.with_prompt((source, target))

    def with_prompt(self, requests: tuple[ImageRequest, ImageRequest]) -> tuple[ImageRequest, ImageRequest]:
        """Requests for source and target with the values of the method's own prompt."""
        if self.prompt is None:
            return requests
        source, target = self.prompt.add_to(requests[0].category, requests)
        return source, target
