"""The contract of a method, checked on the bundled pictures."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

from harness.doctor import pictures
from harness.doctor.layout import RIGHT, Layout, find_layout
from harness.errors import BenchError
from harness.features.extraction import check_feature_map
from harness.features.requests import PromptUse
from harness.frames import Size
from harness.isolation.guarded import without_guard
from harness.isolation.origin import traceback_of
from harness.messages import one_line, whole_message
from harness.plugins.host import Host
from harness.specs import (
    NO_PROMPT,
    FeatureMap,
    ImageExtractor,
    ImagePair,
    ImageRequest,
    Localizer,
    MakeContext,
    PairExtractor,
    is_batch_localizer,
    is_preparing_extractor,
)

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest difference, relative to the largest feature, that rounding explains."""

PEAK_TOLERANCE = 1.0
"""Original pixels by which a made-up peak may be missed: predictions may be whole pixels."""

BATCH_TOLERANCE = 0.01
"""Original pixels by which rounding moves predictions."""


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    result: Literal["ok", "failed", "skipped", "warned"]
    detail: str = ""
    traceback: str = ""


class _Failed(BenchError):
    """A check that the method does not pass."""


class _Skipped(BenchError):
    """A check that does not apply."""


class _Warned(BenchError):
    """A check that says how good the features are, and not that they are wrong."""


def examine_method(
    host: Host, method: str, pairs: Sequence[ImagePair], context: MakeContext, localizer: str | None = None
) -> Iterator[Finding]:
    """Makes every check of a method in turn; without an extractor those that need one are skipped.

    Args:
        pairs: two pairs of pictures to try it on.
        context: given to the `make` of the extractor and of the prompt.
        localizer: name of the localizer to check; None for the method's own.

    Raises:
        UserError: the method or the localizer is unknown.
    """
    subject = _Subject(host, method, pairs, context, localizer)
    for name, check in CHECKS.items():
        try:
            yield Finding(name, "ok", check(subject))
        except _Skipped as error:
            yield Finding(name, "skipped", str(error))
        except _Warned as error:
            yield Finding(name, "warned", str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error is the finding
            traceback = "" if isinstance(error, _Failed) else traceback_of(error)
            yield Finding(name, "failed", whole_message(error), traceback)


class _Subject:
    """The method that is examined, with its extractor and prompt once they are made."""

    def __init__(
        self,
        host: Host,
        method: str,
        pairs: Sequence[ImagePair],
        context: MakeContext,
        localizer: str | None,
    ) -> None:
        self.host, self.pairs, self.context = host, pairs, context
        self.method = host.methods[method]
        self.localizer_spec = host.localizers[localizer or self.method.localizer]
        self.spec = host.extractors[self.method.extractor]
        self.extractor: ImageExtractor | PairExtractor | None = None
        self.prompt: PromptUse | None = None

    @cached_property
    def layout(self) -> Layout:
        """The way in which its maps seem to lie."""
        plain = pictures.plain_picture()
        changed = [pictures.changed_picture(place) for place in pictures.PLACES]
        requests = []
        for picture in (plain, *changed):
            requests.append(ImageRequest(picture, pictures.identity_of(picture), self.pairs[0].category))
        # With scope `pair` beside the same picture each time, so that nothing else changes.
        pairs = [self.with_prompt((request, requests[0])) for request in requests]
        maps = [source for source, _ in self.call(pairs)]
        return find_layout(maps[0], maps[1:], pictures.PLACES, self.localizer_spec.grid)

    def localizer(self) -> Localizer:
        """Makes the localizer, with the options that the method's recipe gives it."""
        spec = self.localizer_spec
        return spec.make(**{**spec.options, **self.method.localizer_options.get(spec.name, {})})

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
            # Source, target, source, target, ...: taken apart again below.
            images = list(itertools.chain.from_iterable(requests))
            maps = cast("ImageExtractor", self.extractor).extract(images)
        if len(maps) != len(images):
            raise _Failed(f"returned {len(maps)} feature maps for {len(images)} images")
        return list(zip(maps[0::2], maps[1::2], strict=True))

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


HEAVY = ("torch", "pandas", "transformers", "diffusers")
"""Packages that importing a plugin must not import."""


def _check_import(subject: _Subject) -> str:
    plugin = subject.host.extractors.origin(subject.spec.name)
    module = getattr(subject.host.manager.get_plugin(plugin.name), "__name__", None)
    if module is None:
        raise _Skipped("the plugin is not a module")
    # In a process of its own: this one has imported torch already.
    code = f"import sys, {module}; print(','.join(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        # The last line of a traceback is the error itself.
        problem = done.stderr.strip().splitlines()[-1]
        raise _Failed(f"import {module} fails in a fresh process: {problem}")
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
        # The checks that need an extractor are skipped, instead of failing by the same fault once more.
        subject.extractor = None
        raise _Failed(f"has scope '{spec.scope}' and no method '{name}'")
    detail = type(without_guard(subject.extractor)).__name__
    if subject.prompt:
        detail += f", with prompt '{method.prompt}'"
    return detail


def _check_maps(subject: _Subject) -> str:
    all_maps = subject.extract(subject.pairs)
    for pair, (source_map, target_map) in zip(subject.pairs, all_maps, strict=True):
        check_feature_map(source_map, pair.source_size)
        check_feature_map(target_map, pair.target_size)
    data = all_maps[0][0].data
    if subject.layout.has_channels_last:
        raise _Failed(
            f"{tuple(data.shape)}: PCK would be {subject.layout.best:.0f} if {subject.layout.remedy}"
        )
    return f"{tuple(data.shape)}, {str(data.dtype).removeprefix('torch.')}"


def _check_layout(subject: _Subject) -> str:
    layout = subject.layout
    if layout.is_blind:
        raise _Skipped("the features do not depend on the picture")
    if layout.remedy:
        raise _Failed(
            f"a changed place is found with PCK@0.1 of {layout.pck:.0f}; "
            f"PCK would be {layout.best:.0f} if {layout.remedy}"
        )
    if layout.pck < RIGHT:
        raise _Warned(
            f"weak: features do not change most where the picture is changed (PCK@0.1 of {layout.pck:.0f})"
        )
    return f"right way round: a changed place is found with PCK@0.1 of {layout.pck:.0f}"


def _check_frame(subject: _Subject) -> str:
    size = subject.extract(subject.pairs[:1])[0][0].frame.size
    declared = subject.spec.fed(subject.context.weights)
    if size != declared:
        raise _Failed(
            f"frame of {size.width} x {size.height}, image_size says {declared.width} x {declared.height}"
        )
    return f"{size.width} x {size.height}"


def _check_determinism(subject: _Subject) -> str:
    data = subject.extract(subject.pairs[:1])[0][0].data
    repeated = subject.extract(subject.pairs[:1])[0][0].data
    return _compare(data, repeated, 0.0)


def _check_batch(subject: _Subject) -> str:
    together = subject.extract(subject.pairs)[0]
    alone = subject.extract(subject.pairs[:1])[0]
    # Not to the byte: kernels for another batch size add in another order.
    return _compare(together[0].data, alone[0].data, TOLERANCE)


def _check_scope(subject: _Subject) -> str:
    if subject.spec.scope != "image":
        raise _Skipped(f"scope '{subject.spec.scope}'")
    # With the prompts left as they are: they depend on what the prompt's scope names, not the extractor's.
    source, target = subject.requests(subject.pairs[0])
    renamed = replace(source, category="something else")
    data = subject.call([(source, target)])[0][0].data
    renamed_data = subject.call([(renamed, target)])[0][0].data
    return _compare(data, renamed_data, 0.0)


def _check_prepare(subject: _Subject) -> str:
    if subject.extractor is None:
        raise _Skipped("no extractor")
    if not is_preparing_extractor(subject.extractor):
        raise _Skipped("no `prepare`")
    try:
        # As the processes that decode pictures ahead get it.
        prepare = pickle.loads(pickle.dumps(subject.extractor.prepare))
    except Exception as error:
        raise _Failed(
            f"`prepare` cannot be pickled ({one_line(error)}); make it a function of the module or a "
            "functools.partial of one"
        ) from error
    source, target = subject.requests(subject.pairs[0])
    unprepared = subject.call([(source, target)])[0][0].data
    source = replace(source, prepared=prepare(source.image))
    target = replace(target, prepared=prepare(target.image))
    prepared = subject.call([(source, target)])[0][0].data
    return _compare(unprepared, prepared, 0.0)


def _check_grid(subject: _Subject) -> str:
    from harness.localizers import checks

    spec, localizer = subject.localizer_spec, subject.localizer()
    # The declared grid first: it wins where another one fits as well.
    grids = dict.fromkeys([spec.grid, *checks.GRIDS])
    errors = {}
    try:
        reads_pixels = checks.reads_whole_pixels(localizer)
        for grid in grids:
            errors[grid] = checks.peak_error(localizer, grid, spec.reads)
    except Exception as error:
        # A localizer may need features of its own kind.
        raise _Skipped(f"'{spec.name}' cannot be tried on made-up maps: {one_line(error)}") from error
    if reads_pixels is not None and reads_pixels != (spec.reads == "pixel"):
        behaviour = "reads whole pixels" if reads_pixels else "tells points within a pixel apart"
        raise _Failed(f"'{spec.name}' declares reads='{spec.reads}', but {behaviour}")
    best = min(grids, key=lambda grid: errors[grid])
    if errors[best] > PEAK_TOLERANCE:
        raise _Skipped(f"'{spec.name}' does not find a made-up peak under any known grid")
    if errors[spec.grid] > PEAK_TOLERANCE:
        raise _Failed(f"'{spec.name}' declares grid '{spec.grid}', but finds a peak where '{best}' puts it")
    return f"'{spec.name}': {spec.grid}, {spec.reads}"


def _check_many(subject: _Subject) -> str:
    from harness.localizers import checks

    name, localizer = subject.localizer_spec.name, subject.localizer()
    batch_localizer: object = localizer
    if not is_batch_localizer(batch_localizer):
        raise _Skipped(f"'{name}' takes one pair at a time")
    tasks = []
    for pair, (source, target) in zip(subject.pairs, subject.extract(subject.pairs), strict=True):
        tasks.append((source, target, _spread_points(pair.source_size)))
    are_equal, distance = checks.batch_differences(batch_localizer, localizer, tasks)
    if not are_equal:
        raise _Failed(f"predictions of '{name}' for a pair depend on the other pairs of the batch")
    if distance > BATCH_TOLERANCE:
        raise _Failed(f"predictions of '{name}' differ by {distance:.2g} px from those of a call")
    return f"apart by {distance:.0e} px" if distance else "equal"


def _check_itself(subject: _Subject) -> str:
    import torch

    from harness.localizers.on_grid import Argmax

    pair = subject.pairs[0]
    twin = replace(pair, target=pair.source, target_size=pair.source_size)
    source, target = subject.extract([twin])[0]
    size, points = pair.source_size, _spread_points(pair.source_size)
    predicted = subject.localizer()(source, target, points).points.double().cpu()
    pck, largest = _pck(predicted, points, size)
    if pck == 100:
        return f"largest error {largest:.3f} of the image's longer side"
    name = subject.localizer_spec.name
    sides = torch.tensor(size, dtype=torch.float64)
    x, y = (predicted / sides).unbind(1)
    for remedy, other in {
        "x and y were swapped": (y, x),
        "x were counted from the right": (1 - x, y),
        "y were counted from below": (x, 1 - y),
        "both were counted from the other side": (1 - x, 1 - y),
    }.items():
        better, _ = _pck(torch.stack(other, 1) * sides, points, size)
        if better >= max(80, pck + 30):
            raise _Failed(
                f"PCK@0.1 of the image is {pck:.0f}; "
                f"PCK would be {better:.0f} if in predictions of '{name}' {remedy}"
            )
    by_argmax, _ = _pck(Argmax()(source, target, points).points.double().cpu(), points, size)
    if by_argmax > pck:
        raise _Warned(f"'{name}' finds its own points with PCK@0.1 of {pck:.0f}, argmax with {by_argmax:.0f}")
    raise _Warned(f"weak: PCK@0.1 of the image is {pck:.0f}, so its features do not tell all places apart")


def _pck(predicted: torch.Tensor, points: torch.Tensor, size: Size) -> tuple[float, float]:
    """PCK@0.1 in percent, and the largest error, in shares of the longer side, of which alpha is one too."""
    import torch

    errors = torch.linalg.vector_norm(predicted - points, dim=1) / max(size)
    return 100 * float((errors <= 0.1).double().mean()), float(errors.max())


CHECKS: Mapping[str, Callable[[_Subject], str]] = {
    "the plugin's import is cheap": _check_import,
    "the extractor can be made": _check_make,
    "feature maps are (C, h, w), finite, of the request's image": _check_maps,
    "the feature map lies the right way round": _check_layout,
    "the frame is the declared image size": _check_frame,
    "the same request gives the same features": _check_determinism,
    "features do not depend on the batch": _check_batch,
    "features do not depend on the category, as the scope says": _check_scope,
    "features are the same whether `prepare` ran ahead or not": _check_prepare,
    "the localizer reads the grid that it declares": _check_grid,
    "the localizer predicts the same for one pair and for many": _check_many,
    "an image matched with itself has PCK@0.1 of 100": _check_itself,
}
"""Checks in their order: each returns a detail, or raises with one."""


def _spread_points(size: Size) -> torch.Tensor:
    """(25, 2) points spread over the middle of an image, in original pixels."""
    import torch

    shares = torch.linspace(0.2, 0.8, 5, dtype=torch.float64)
    return torch.cartesian_prod(shares * size.width, shares * size.height)


def _compare(data: torch.Tensor, other: torch.Tensor, tolerance: float) -> str:
    """Describes how far two maps are apart.

    Args:
        tolerance: relative to the largest feature of `data`.

    Raises:
        _Failed: they are further apart than that, or of different shapes.
    """
    if data.shape != other.shape:
        raise _Failed(f"shapes {tuple(data.shape)} and {tuple(other.shape)}")
    # Maps of zeros, which no division may meet.
    scale = max(float(data.abs().max()), 1e-30)
    apart = float((data.double() - other.double()).abs().max()) / scale
    if apart > tolerance:
        raise _Failed(f"features differ by {apart:.1e} of the largest; allowed {tolerance:.0e}")
    return f"apart by {apart:.0e} of the largest" if apart else "equal"
