"""The contract of a method, checked on the bundled pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

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

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest difference, relative to the largest feature, that rounding explains."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    result: Literal["ok", "failed", "skipped"]
    detail: str = ""


class _Failed(BenchError):
    """A check that the method does not pass."""


class _Skipped(BenchError):
    """A check that does not apply."""


def examine_method(
    host: Host, method: str, pairs: Sequence[ImagePair], context: MakeContext
) -> Iterator[Finding]:
    """Makes every check of a method in turn; without an extractor those that need one are skipped.

    Args:
        pairs: two pairs of pictures to try it on.
        context: given to the `make` of the extractor and of the prompt.

    Raises:
        UserError: the method is unknown.
    """
    subject = _Subject(host, method, pairs, context)
    for name, check in CHECKS.items():
        try:
            yield Finding(name, "ok", check(subject))
        except _Skipped as error:
            yield Finding(name, "skipped", str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code, and its error is the finding
            detail = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            yield Finding(name, "failed", " ".join(detail.split()))


class _Subject:
    """The method that is examined, with its extractor and prompt once they are made."""

    def __init__(self, host: Host, method: str, pairs: Sequence[ImagePair], context: MakeContext) -> None:
        self.host, self.pairs, self.context = host, pairs, context
        self.method = host.methods[method]
        self.spec = host.extractors[self.method.extractor]
        self.extractor: ImageExtractor | PairExtractor | None = None
        self.prompt: PromptUse | None = None

    def extract(self, pairs: Sequence[ImagePair]) -> list[tuple[FeatureMap, FeatureMap]]:
        """Feature maps of source and target of some pairs, extracted together."""
        return self.call([self.requests(pair) for pair in pairs])

    def call(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        """Passes requests of pairs through the extractor."""
        import torch

        if self.extractor is None:
            raise _Skipped("no extractor")
        with torch.inference_mode():
            if self.spec.scope == "pair":
                return list(cast("PairExtractor", self.extractor).extract_pairs(requests))
            images = [request for pair_requests in requests for request in pair_requests]
            maps = cast("ImageExtractor", self.extractor).extract(images)
        if len(maps) != len(images):
            raise _Failed(f"returned {len(maps)} feature maps for {len(images)} images")
        return list(zip(maps[0::2], maps[1::2], strict=True))

    def requests(self, pair: ImagePair) -> tuple[ImageRequest, ImageRequest]:
        """Requests for source and target, with the values of the method's own prompt."""
        source, target = (
            ImageRequest(image.open(), image.identity(), pair.category)
            for image in (pair.source, pair.target)
        )
        if self.prompt is None:
            return source, target
        source, target = self.prompt.add_to(pair.category, (source, target))
        return source, target


HEAVY = ("torch", "pandas", "transformers", "diffusers")
"""Packages that importing a plugin must not import."""


def _check_import(subject: _Subject) -> str:
    plugin = subject.host.extractors.origin(subject.spec.name)
    module = getattr(subject.host.manager.get_plugin(plugin.name), "__name__", None)
    if module is None:
        raise _Skipped("the plugin is not a module")
    code = f"import sys, {module}; print(','.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise _Failed(f"import {module} fails in a fresh process: {done.stderr.strip().splitlines()[-1]}")
    # The import may print, too.
    lines = done.stdout.strip().splitlines()
    if lines and lines[-1]:
        raise _Failed(f"import {module} imports {lines[-1]}; import it in make")
    return str(module)


def _check_make(subject: _Subject) -> str:
    spec, method = subject.spec, subject.method
    subject.extractor = spec.make(subject.context)
    if spec.prompt_kinds and method.prompt != NO_PROMPT:
        prompt = subject.host.prompts[method.prompt]
        if prompt.kind not in spec.prompt_kinds:
            raise _Failed(
                f"its own prompt '{prompt.name}' is of kind '{prompt.kind}', which it does not take"
            )
        subject.prompt = PromptUse(prompt.make(subject.context), prompt.scope)
    name = "extract_pairs" if spec.scope == "pair" else "extract"
    if not callable(getattr(subject.extractor, name, None)):
        subject.extractor = None
        raise _Failed(f"has scope '{spec.scope}' and no method '{name}'")
    with_prompt = f", with prompt '{method.prompt}'" if subject.prompt else ""
    return f"{type(subject.extractor).__name__}{with_prompt}"


def _check_maps(subject: _Subject) -> str:
    all_maps = subject.extract(subject.pairs)
    for pair, maps in zip(subject.pairs, all_maps, strict=True):
        for feature_map, size in zip(maps, (pair.source_size, pair.target_size), strict=True):
            check_feature_map(feature_map, size)
    data = all_maps[0][0].data
    return f"{tuple(data.shape)}, {str(data.dtype).removeprefix('torch.')}"


def _check_frame(subject: _Subject) -> str:
    size = subject.extract(subject.pairs[:1])[0][0].frame.size
    declared = subject.spec.fed(subject.context.weights)
    if size != declared:
        raise _Failed(
            f"frame of {size.width} x {size.height}, image_size says {declared.width} x {declared.height}"
        )
    return f"{size.width} x {size.height}"


def _check_determinism(subject: _Subject) -> str:
    data, repeated = (subject.extract(subject.pairs[:1])[0][0].data for _ in range(2))
    return _compare(data, repeated, 0.0)


def _check_batch(subject: _Subject) -> str:
    together, alone = subject.extract(subject.pairs)[0], subject.extract(subject.pairs[:1])[0]
    return _compare(together[0].data, alone[0].data, TOLERANCE)


def _check_scope(subject: _Subject) -> str:
    if subject.spec.scope != "image":
        raise _Skipped(f"scope '{subject.spec.scope}'")
    # With the prompts left as they are: they depend on what the prompt's scope names, not the extractor's.
    source, target = subject.requests(subject.pairs[0])
    renamed = replace(source, category="something else")
    data = subject.call([(source, target)])[0][0].data
    return _compare(data, subject.call([(renamed, target)])[0][0].data, 0.0)


def _check_itself(subject: _Subject) -> str:
    import torch

    pair, method = subject.pairs[0], subject.method
    twin = replace(pair, target=pair.source, target_size=pair.source_size)
    source, target = subject.extract([twin])[0]
    localizer = subject.host.localizers[method.localizer]
    options = {**localizer.options, **method.localizer_options.get(localizer.name, {})}
    width, height = pair.source_size
    grid = torch.linspace(0.2, 0.8, 5, dtype=torch.float64)
    points = torch.cartesian_prod(grid * width, grid * height)
    predicted = localizer.make(**options)(source, target, points).points.double().cpu()
    errors = torch.linalg.vector_norm(predicted - points, dim=1) / max(width, height)
    pck = 100 * float((errors <= 0.1).double().mean())
    if pck < 100:
        raise _Failed(
            f"PCK@0.1 of the image is {pck:.0f}: frame, grid or layout of the map is not what it says, "
            "or its features do not tell places apart"
        )
    return f"largest error {float(errors.max()):.3f} of the image's longer side"


CHECKS: Mapping[str, Callable[[_Subject], str]] = {
    "the plugin's import is cheap": _check_import,
    "the extractor can be made": _check_make,
    "feature maps are (C, h, w), finite, of the request's image": _check_maps,
    "the frame is the declared image size": _check_frame,
    "the same request gives the same features": _check_determinism,
    "features do not depend on the batch": _check_batch,
    "features do not depend on the category, as the scope says": _check_scope,
    "an image matched with itself has PCK@0.1 of 100": _check_itself,
}
"""Checks in their order: each returns a detail, or raises with one."""


def _compare(data: torch.Tensor, other: torch.Tensor, tolerance: float) -> str:
    """Describes how far two maps are apart.

    Args:
        tolerance: relative to the largest feature of `data`.

    Raises:
        _Failed: they are further apart than that, or of different shapes.
    """
    if data.shape != other.shape:
        raise _Failed(f"shapes {tuple(data.shape)} and {tuple(other.shape)}")
    scale = max(float(data.abs().max()), 1e-30)
    apart = float((data.double() - other.double()).abs().max()) / scale
    if apart > tolerance:
        raise _Failed(f"features differ by {apart:.1e} of the largest; allowed {tolerance:.0e}")
    return f"apart by {apart:.0e} of the largest" if apart else "equal"
