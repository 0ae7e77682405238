"""The contract of a method, checked on the bundled pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from harness.errors import BenchError
from harness.features.extraction import check_feature_map
from harness.features.requests import PromptUse
from harness.plugins.host import Host
from harness.specs import (
    NO_PROMPT,
    FeatureMap,
    ImageExtractor,
    ImagePair,
    ImageRequest,
    MakeContext,
    PairExtractor,
)

TOLERANCE = 1e-3
"""Largest difference, relative to the largest feature, that rounding explains."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    result: Literal["ok", "failed", "skipped"]
    detail: str = ""


class _Failed(BenchError):
    """A check's finding."""


class _Skipped(BenchError):
    """A check that does not apply."""


class Doctor:
    """Checks one method.

    Args:
        pairs: two pairs of pictures to try it on.
        context: what the extractor and the prompt are made with.
    """

    def __init__(self, host: Host, method: str, pairs: Sequence[ImagePair], context: MakeContext) -> None:
        self._host, self._pairs, self._context = host, pairs, context
        self._method = host.methods[method]
        self._spec = host.extractors[self._method.extractor]
        self._made: ImageExtractor | PairExtractor | None = None
        self._prompt: PromptUse | None = None

    def examine(self) -> Iterator[Finding]:
        """Every check in turn; those that need an extractor are skipped where none could be made."""
        checks: dict[str, Callable[[], str]] = {
            "the plugin's import is cheap": self._cheap,
            "the extractor can be made": self._make,
            "feature maps are (C, h, w), finite, of the request's image": self._maps,
            "the frame is the declared image size": self._frame,
            "the same request gives the same features": self._deterministic,
            "features do not depend on the batch": self._batch,
            "features do not depend on the category, as the scope says": self._scope,
            "an image matched with itself has PCK@0.1 of 100": self._itself,
        }
        for name, check in checks.items():
            try:
                yield Finding(name, "ok", check())
            except _Skipped as error:
                yield Finding(name, "skipped", str(error))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the method is a plugin's code, and its failing is the finding
                detail = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
                yield Finding(name, "failed", " ".join(detail.split()))

    # ------------------------------------------------------------------------------------------------------------- checks

    def _cheap(self) -> str:
        plugin = self._host.extractors.origin(self._spec.name)
        module = getattr(self._host.manager.get_plugin(plugin.name), "__name__", None)
        if module is None:
            raise _Skipped("the plugin is no module")
        code = f"import sys, {module}; print(','.join(m for m in ('torch', 'pandas', 'transformers', 'diffusers') if m in sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise _Failed(f"import {module} fails in a fresh process: {done.stderr.strip().splitlines()[-1]}")
        heavy = done.stdout.strip().splitlines()[-1:] or [""]
        if heavy[0]:
            raise _Failed(f"import {module} imports {heavy[0]}; import it in make")
        return str(module)

    def _make(self) -> str:
        self._made = self._spec.make(self._context)
        if self._spec.prompt_kinds and self._method.prompt != NO_PROMPT:
            spec = self._host.prompts[self._method.prompt]
            if spec.kind not in self._spec.prompt_kinds:
                raise _Failed(
                    f"its own prompt '{spec.name}' is of kind '{spec.kind}', which it does not take"
                )
            self._prompt = PromptUse(spec.make(self._context), spec.scope)
        wanted = "extract_pairs" if self._spec.scope == "pair" else "extract"
        if not callable(getattr(self._made, wanted, None)):
            self._made = None
            raise _Failed(f"has scope '{self._spec.scope}' and no method '{wanted}'")
        with_prompt = f", with prompt '{self._method.prompt}'" if self._prompt else ""
        return f"{type(self._made).__name__}{with_prompt}"

    def _maps(self) -> str:
        maps = self._extract(self._pairs)
        for pair, both in zip(self._pairs, maps, strict=True):
            for one, size in zip(both, (pair.source_size, pair.target_size), strict=True):
                check_feature_map(one, size)
        return f"{tuple(maps[0][0].data.shape)}, {str(maps[0][0].data.dtype).removeprefix('torch.')}"

    def _frame(self) -> str:
        found, declared = (
            self._extract(self._pairs[:1])[0][0].frame.size,
            self._spec.fed(self._context.weights),
        )
        if found != declared:
            raise _Failed(
                f"frame of {found.width} x {found.height}, image_size says {declared.width} x {declared.height}"
            )
        return f"{found.width} x {found.height}"

    def _deterministic(self) -> str:
        first, second = (self._extract(self._pairs[:1])[0][0].data for _ in range(2))
        return _same(first, second, 0.0)

    def _batch(self) -> str:
        together, alone = self._extract(self._pairs)[0], self._extract(self._pairs[:1])[0]
        return _same(together[0].data, alone[0].data, TOLERANCE)

    def _scope(self) -> str:
        if self._spec.scope != "image":
            raise _Skipped(f"scope '{self._spec.scope}'")
        # With the prompts left as they are: what the prompt depends on is the prompt's scope, not the extractor's.
        source, target = self._requests(self._pairs[0])
        first = self._call([(source, target)])[0][0].data
        second = self._call([(replace(source, category="something else"), target)])[0][0].data
        return _same(first, second, 0.0)

    def _itself(self) -> str:
        import torch

        pair = self._pairs[0]
        twin = replace(pair, target=pair.source, target_size=pair.source_size)
        source, target = self._extract([twin])[0]
        localizer = self._host.localizers[self._method.localizer]
        options = {**localizer.options, **self._method.localizer_options.get(localizer.name, {})}
        width, height = pair.source_size
        grid = torch.linspace(0.2, 0.8, 5, dtype=torch.float64)
        points = torch.cartesian_prod(grid * width, grid * height)
        found = localizer.make(**options)(source, target, points).points.double().cpu()
        errors = torch.linalg.vector_norm(found - points, dim=1) / max(width, height)
        right = 100 * float((errors <= 0.1).double().mean())
        if right < 100:
            raise _Failed(
                f"PCK@0.1 of the image is {right:.0f}: frame, grid or layout of the map is not what it says, or its features do not tell "
                "places apart"
            )
        return f"largest error {float(errors.max()):.3f} of the image's longer side"

    # ---------------------------------------------------------------------------------------------------------- extraction

    def _extract(self, pairs: Sequence[ImagePair]) -> list[tuple[FeatureMap, FeatureMap]]:
        return self._call([self._requests(pair) for pair in pairs])

    def _call(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        import torch

        if self._made is None:
            raise _Skipped("no extractor")
        with torch.inference_mode():
            if self._spec.scope == "pair":
                return list(cast("PairExtractor", self._made).extract_pairs(requests))
            maps = cast("ImageExtractor", self._made).extract([one for both in requests for one in both])
        if len(maps) != 2 * len(requests):
            raise _Failed(f"returned {len(maps)} feature maps for {2 * len(requests)} images")
        return [(maps[2 * number], maps[2 * number + 1]) for number in range(len(requests))]

    def _requests(self, pair: ImagePair) -> tuple[ImageRequest, ImageRequest]:
        source, target = (
            ImageRequest(image.open(), image.identity(), pair.category)
            for image in (pair.source, pair.target)
        )
        if self._prompt is None:
            return source, target
        source, target = self._prompt.add_to(pair.category, (source, target))
        return source, target


def _same(first: Any, second: Any, tolerance: float) -> str:
    """Says how far two maps are apart. Raises `_Failed` beyond the tolerance, which is relative to the largest feature."""
    if first.shape != second.shape:
        raise _Failed(f"shapes {tuple(first.shape)} and {tuple(second.shape)}")
    scale = max(float(first.abs().max()), 1e-30)
    apart = float((first.double() - second.double()).abs().max()) / scale
    if apart > tolerance:
        raise _Failed(f"features differ by {apart:.1e} of the largest; allowed {tolerance:.0e}")
    return f"apart by {apart:.0e} of the largest" if apart else "equal"
